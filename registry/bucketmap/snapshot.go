package bucketmap

import (
	"context"
	"fmt"

	"akashi/internal/store"
	"akashi/registry"
)

// Snapshot is the map as of one position. Its methods may be called from several goroutines, and do not wait for the writer. It stays as
// it is, and costs nothing but its own part of the top levels, for as long as somebody has it.
type Snapshot struct {
	store   store.Store
	top     *node
	covered uint64
}

// Root returns the root hash.
func (s *Snapshot) Root() registry.Hash { return rootOf(s.top) }

// Len returns the number of keys.
func (s *Snapshot) Len() int { return countOf(s.top) }

// Covered returns the position: the entries of the log below it are in this version of the map.
func (s *Snapshot) Covered() uint64 { return s.covered }

// Get returns the index and value at k.
func (s *Snapshot) Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error) {
	n, p := s.bucketOf(k)
	if n == nil {
		return 0, v, false, nil
	}
	members, err := s.members(ctx, n, p)
	if err != nil {
		return 0, v, false, err
	}
	e, ok := findMember(members, k)
	return e.Index, e.Value, ok, nil
}

// Prove returns the proof that k is, or is not, a member under the snapshot's root: the bytes of a [registry.MapProof].
func (s *Snapshot) Prove(ctx context.Context, k registry.Key) ([]byte, error) {
	b, err := s.Bucket(ctx, k, 256)
	if err != nil {
		return nil, err
	}
	return b.Prove(k)
}

// Bucket returns all members whose keys begin with the first bits bits of prefix, with what proves that under the snapshot's root. It is
// not bound to the buckets in the store.
func (s *Snapshot) Bucket(ctx context.Context, prefix registry.Key, bits int) (*registry.Bucket, error) {
	prefix = prefix.PrefixBits(bits)
	empty := &registry.Bucket{Prefix: prefix, Bits: bits}
	if s.top == nil {
		return empty, nil
	}
	way := &empty.Way
	n, p := s.top, make(path, 0, 64)
	for parted := false; !n.isBucket() && (len(p) < bits || parted); {
		bit := 0
		if !parted {
			bit = int(prefix.Bit(byte(len(p))))
		}
		mine, other := n.child[bit], n.child[1-bit]
		switch {
		case mine != nil && other != nil && parted:
			way.Kind, way.Depth, way.Prefix, way.Left, way.Right = registry.ProofInner, byte(len(p)), p.prefix(), mine.hash, other.hash
			return empty, nil
		case mine != nil && other != nil:
			way.Depths, way.Siblings = append(way.Depths, byte(len(p))), append(way.Siblings, other.hash)
		case mine == nil:
			parted = true
			bit, mine = 1-bit, other
		}
		n, p = mine, append(p, byte(bit))
	}
	members, err := s.members(ctx, n, p)
	if err != nil {
		return nil, err
	}
	return registry.BucketBelow(prefix, bits, way.Depths, way.Siblings, members), nil
}

// bucketOf returns the bucket in which k is if it is a member, nil where there is none.
func (s *Snapshot) bucketOf(k registry.Key) (*node, path) {
	n, depth := s.top, 0
	for n != nil && !n.isBucket() {
		n = n.child[k.Bit(byte(depth))]
		depth++
	}
	return n, pathOf(k, depth)
}

func (s *Snapshot) members(ctx context.Context, n *node, p path) (members []registry.MapMember, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		members, err = checkedMembers(tx, n, p, s.covered)
		return err
	})
	return members, err
}

// checkedMembers returns the members at and below n, as of the given position. It checks them against the hash in the top levels, so
// that what the map says and what it proves are the same.
func checkedMembers(tx store.Tx, n *node, p path, covered uint64) ([]registry.MapMember, error) {
	members, err := readMembers(tx, p, covered)
	if err != nil {
		return nil, err
	}
	if registry.MapRoot(members) != n.hash {
		return nil, fmt.Errorf("%w: a bucket has another root than the levels above it say", ErrDamaged)
	}
	return members, nil
}

// Retain and Release do nothing: they are there so that a snapshot can be held like one of package prefixmap.
func (s *Snapshot) Retain() bool { return true }

// Release does nothing; see [Snapshot.Retain].
func (s *Snapshot) Release() {}
