package registry

import (
	"errors"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// A range proof ties a run of entries to a tree (RFC 9162, Section 2.1): the hashes, from left to right, of the largest subtrees that
// have none of the run's entries. With one entry it is an inclusion proof in another order; with none it shows the root that the
// tree had at an earlier size.

// ErrRange is returned when a range proof does not lead from the entries to the root.
var ErrRange = errors.New("range proof does not lead to the root")

// RangeParts returns the subtrees, as first leaf and the leaf behind the last, whose hashes are the range proof of entries from up to
// but without end, in a tree of that size.
func RangeParts(from, end, size uint64) [][2]uint64 {
	var parts [][2]uint64
	var walk func(a, b uint64)
	walk = func(a, b uint64) {
		switch {
		case b <= from || a >= end:
			parts = append(parts, [2]uint64{a, b})
		case a >= from && b <= end:
		default:
			k := a + splitPoint(b-a)
			walk(a, k)
			walk(k, b)
		}
	}
	if size > 0 {
		walk(0, size)
	}
	return parts
}

// splitPoint is the largest power of two smaller than n, for n > 1.
func splitPoint(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// VerifyRange checks that entries are those of the log from index from on, in the tree of that size and root.
func VerifyRange(entries [][]byte, from, size uint64, proof []Hash, root Hash) error {
	n := uint64(len(entries))
	if size > maxTreeSize || n == 0 || from >= size || n > size-from {
		return ErrTreeSize
	}
	r := rangeReader{from: from, end: from + n, proof: proof}
	for _, e := range entries {
		r.leaves = append(r.leaves, Hash(tlog.RecordHash(e)))
	}
	got, ok := r.hash(0, size)
	if !ok || len(r.proof) > 0 || got != root {
		return ErrRange
	}
	return nil
}

// PrefixRoot returns the root that the tree of that size and root had at an earlier size, by a range proof of the empty run there.
func PrefixRoot(earlier, size uint64, proof []Hash, root Hash) (Hash, error) {
	if size > maxTreeSize || earlier == 0 || earlier >= size {
		return Hash{}, ErrTreeSize
	}
	r := rangeReader{from: earlier, end: earlier, proof: proof}
	if got, ok := r.hash(0, size); !ok || len(r.proof) > 0 || got != root {
		return Hash{}, ErrRange
	}
	// The subtrees on the left are those of the earlier tree: 2^a, 2^b ... leaves, descending.
	left := proof[:bits.OnesCount64(earlier)]
	prefix := left[len(left)-1]
	for i := len(left) - 2; i >= 0; i-- {
		prefix = nodeHash(left[i], prefix)
	}
	return prefix, nil
}

func nodeHash(left, right Hash) Hash {
	return Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}

// rangeReader recomputes a tree of the leaves from from to end and the hashes of the other parts.
type rangeReader struct {
	from, end uint64
	leaves    []Hash
	proof     []Hash // not used yet
}

func (r *rangeReader) hash(a, b uint64) (Hash, bool) {
	switch {
	case b <= r.from || a >= r.end:
		if len(r.proof) == 0 {
			return Hash{}, false
		}
		h := r.proof[0]
		r.proof = r.proof[1:]
		return h, true
	case b == a+1:
		return r.leaves[a-r.from], true
	}
	k := a + splitPoint(b-a)
	left, ok := r.hash(a, k)
	if !ok {
		return Hash{}, false
	}
	right, ok := r.hash(k, b)
	return nodeHash(left, right), ok
}
