package prefixmap

import (
	"sync/atomic"

	"akashi/registry"
)

// Snapshot is the map as it was at one moment. Its methods may be called from several goroutines, and do not wait for inserts.
type Snapshot struct {
	m       *Map
	arena   arena
	top     ref
	hash    registry.Hash
	count   int
	epoch   uint32
	dead    []ref // guarded by m.mu: nodes that the snapshot before shows and this one does not
	holders atomic.Int64
}

// Root returns the root hash.
func (s *Snapshot) Root() registry.Hash { return s.hash }

// Len returns the number of keys.
func (s *Snapshot) Len() int { return s.count }

// Get returns the index and value at k.
func (s *Snapshot) Get(k registry.Key) (i uint64, v registry.Value, ok bool) {
	return s.arena.get(s.top, k)
}

// Prove returns the proof that k is, or is not, a member under the snapshot's root: the bytes of a [registry.MapProof].
func (s *Snapshot) Prove(k registry.Key) []byte {
	if s.top == none {
		return (&registry.MapProof{Kind: registry.ProofEmpty}).Marshal()
	}
	near := s.arena.leaf(s.arena.walk(s.top, k))
	common := near.key.CommonBits(k)
	p := registry.MapProof{Depths: make([]byte, 0, 40), Siblings: make([]registry.Hash, 0, 40)}
	r := s.descend(&p, k, common)
	if r.isLeaf() {
		endAtLeaf(&p, k, s.arena.leaf(r))
	} else {
		s.endAtInner(&p, near.key, s.arena.inner(r))
	}
	return p.Marshal()
}

// descend follows the bits of k from the root to the first node that is a leaf or tests bit end or a later one, and writes the way down.
func (s *Snapshot) descend(p *registry.MapProof, k registry.Key, end int) ref {
	r := s.top
	for !r.isLeaf() && int(s.arena.inner(r).depth) < end {
		n := s.arena.inner(r)
		side := k.Bit(n.depth)
		p.Depths = append(p.Depths, n.depth)
		p.Siblings = append(p.Siblings, s.arena.hash(n.child[1-side]))
		r = n.child[side]
	}
	return r
}

func endAtLeaf(p *registry.MapProof, k registry.Key, l *leaf) {
	p.Kind, p.Index, p.Value = registry.ProofMember, l.index, l.value
	if l.key != k {
		p.Kind, p.Foreign = registry.ProofForeign, l.key
	}
}

// endAtInner ends an absence at a node deeper than the bit where the key parts from all keys below it, of which below is one.
func (s *Snapshot) endAtInner(p *registry.MapProof, below registry.Key, n *inner) {
	p.Kind, p.Depth, p.Prefix = registry.ProofInner, n.depth, below.Prefix(n.depth)
	p.Left, p.Right = s.arena.hash(n.child[0]), s.arena.hash(n.child[1])
}

// Retain adds a holder, so that the snapshot outlives the next Release. It returns false when the snapshot is already gone: then take
// a newer one.
func (s *Snapshot) Retain() bool {
	for {
		n := s.holders.Load()
		if n <= 0 {
			return false
		}
		if s.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives the snapshot up; each holder calls it once. After the last one its nodes are used again, and what it would then say is
// undefined.
func (s *Snapshot) Release() {
	for {
		n := s.holders.Load()
		if n <= 0 {
			return
		}
		if s.holders.CompareAndSwap(n, n-1) {
			if n == 1 {
				s.m.forget(s)
			}
			return
		}
	}
}
