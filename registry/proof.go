package registry

import (
	"crypto/sha256"
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

var (
	// ErrInclusion is returned when an inclusion proof does not lead from the entry to the root.
	ErrInclusion = errors.New("inclusion proof does not lead to the root")
	// ErrConsistency is returned when a consistency proof does not join the two trees: with both checkpoints signed that is proof of
	// a forked log.
	ErrConsistency = errors.New("consistency proof does not join the two trees")
	// ErrTreeSize is returned for an index outside its tree, and for sizes that no log reaches.
	ErrTreeSize = errors.New("index or tree size out of range")
)

// maxTreeSize bounds sizes taken from outside. The proof arithmetic underneath is over int64 and does not end above it.
const maxTreeSize = 1 << 62

// VerifyInclusion checks that entry is the log's entry at index in the tree of that size and root (RFC 9162, Section 2.1.3.2).
func VerifyInclusion(entry []byte, index, size uint64, proof []Hash, root Hash) error {
	if size > maxTreeSize || index >= size {
		return ErrTreeSize
	}
	if tlog.CheckRecord(tlogHashes(proof), int64(size), tlog.Hash(root), int64(index), tlog.RecordHash(entry)) != nil {
		return ErrInclusion
	}
	return nil
}

// VerifyConsistency checks that the tree of size2 begins with the whole tree of size1 (RFC 9162, Section 2.1.4.2). Of two equal
// sizes, and of size1 = 0, the proof is empty and the roots are compared.
func VerifyConsistency(size1, size2 uint64, root1, root2 Hash, proof []Hash) error {
	switch {
	case size2 > maxTreeSize || size1 > size2:
		return ErrTreeSize
	case size1 == 0:
		if len(proof) != 0 || root1 != emptyTree || size2 == 0 && root2 != emptyTree {
			return ErrConsistency
		}
	case tlog.CheckTree(tlogHashes(proof), int64(size2), tlog.Hash(root2), int64(size1), tlog.Hash(root1)) != nil:
		return ErrConsistency
	}
	return nil
}

var emptyTree Hash = sha256.Sum256(nil)

func tlogHashes(proof []Hash) []tlog.Hash {
	hs := make([]tlog.Hash, len(proof))
	for i, h := range proof {
		hs[i] = tlog.Hash(h)
	}
	return hs
}

// RecordRef names one record of a submission: the slot and what is written to it.
type RecordRef struct {
	K Key
	V Value
}

// leaf returns the data of the record's leaf in the records tree, H(K || V).
func (r RecordRef) leaf() []byte {
	h := hashOf("", r.K[:], r.V[:])
	return h[:]
}

// RecordsRoot returns what a submission signs: the root of the RFC 6962 tree whose leaves are H(K || V) of its records in order,
//
//	MTH(records), leaf hash = H(0x00 || H(K || V)), node = H(0x01 || left || right), no records = H()
func RecordsRoot(refs []RecordRef) Hash { return treeRoot(leafHashes(refs)) }

// RecordsPaths returns the inclusion proof, leaf to root, of every record, hashing each node once.
func RecordsPaths(refs []RecordRef) [][]Hash {
	paths := make([][]Hash, len(refs))
	if len(refs) > 0 {
		treePaths(leafHashes(refs), paths)
	}
	return paths
}

// VerifyRecordsPath checks that ref is the record at position among count in the submission with that root.
func VerifyRecordsPath(ref RecordRef, position, count int, path []Hash, root Hash) error {
	if position < 0 || count < 0 {
		return ErrTreeSize
	}
	return VerifyInclusion(ref.leaf(), uint64(position), uint64(count), path, root)
}

func leafHashes(refs []RecordRef) []Hash {
	hs := make([]Hash, len(refs))
	for i, r := range refs {
		hs[i] = Hash(tlog.RecordHash(r.leaf()))
	}
	return hs
}

func treeRoot(leaves []Hash) Hash {
	switch len(leaves) {
	case 0:
		return emptyTree
	case 1:
		return leaves[0]
	}
	k := splitAt(len(leaves))
	return Hash(tlog.NodeHash(tlog.Hash(treeRoot(leaves[:k])), tlog.Hash(treeRoot(leaves[k:]))))
}

// treePaths returns the root over leaves and appends to each path what leads there (RFC 9162, Section 2.1.3.1).
func treePaths(leaves []Hash, paths [][]Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := splitAt(len(leaves))
	left, right := treePaths(leaves[:k], paths[:k]), treePaths(leaves[k:], paths[k:])
	for i := range paths {
		sibling := right
		if i >= k {
			sibling = left
		}
		paths[i] = append(paths[i], sibling)
	}
	return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}

// splitAt returns the largest power of two below n, for n > 1.
func splitAt(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}
