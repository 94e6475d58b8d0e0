package prefixmap

import "akashi/registry"

// ref names a node: the place of a leaf in the leaves with the highest bit set, or the place of an inner node in the inner nodes.
type ref uint32

const (
	leafBit ref = 1 << 31
	none    ref = leafBit - 1 // the tree without nodes

	chunkBits = 13
	chunkLen  = 1 << chunkBits
)

func (r ref) isLeaf() bool { return r&leafBit != 0 }

// leaf is one member. It never changes.
type leaf struct {
	key   registry.Key
	index uint64
	value registry.Value
}

// inner is a place where keys part. Its prefix is not kept: every leaf below it has it.
type inner struct {
	hash  registry.Hash // valid unless stale
	child [2]ref
	born  uint32 // the epoch it was made in: snapshots before that do not show it
	depth byte   // the bit that it tests
	stale bool   // changed since the last snapshot; then so are all nodes above, and a child that is not a leaf
}

// arena holds nodes in chunks that never move. A copy of an arena shows the nodes made before the copy, also while others are added:
// those lie beyond the copy's lengths.
type arena struct {
	leaves    []*[chunkLen]leaf
	inners    []*[chunkLen]inner
	leafCount uint32
	innerUsed uint32
}

func (a *arena) leaf(r ref) *leaf {
	i := r &^ leafBit
	return &a.leaves[i>>chunkBits][i%chunkLen]
}

func (a *arena) inner(r ref) *inner { return &a.inners[r>>chunkBits][r%chunkLen] }

func (a *arena) newLeaf(k registry.Key, i uint64, v registry.Value) ref {
	if a.leafCount%chunkLen == 0 {
		a.leaves = append(a.leaves, new([chunkLen]leaf))
	}
	r := ref(a.leafCount) | leafBit
	a.leafCount++
	*a.leaf(r) = leaf{k, i, v}
	return r
}

func (a *arena) newInner() ref {
	if a.innerUsed%chunkLen == 0 {
		a.inners = append(a.inners, new([chunkLen]inner))
	}
	a.innerUsed++
	return ref(a.innerUsed - 1)
}

// walk follows the bits of k from root down to a leaf. Of all leaves that leaf shares the most leading bits with k, or as many as any.
func (a *arena) walk(root ref, k registry.Key) ref {
	r := root
	for !r.isLeaf() {
		n := a.inner(r)
		r = n.child[k.Bit(n.depth)]
	}
	return r
}

func (a *arena) get(root ref, k registry.Key) (i uint64, v registry.Value, ok bool) {
	if root == none {
		return 0, v, false
	}
	if l := a.leaf(a.walk(root, k)); l.key == k {
		return l.index, l.value, true
	}
	return 0, v, false
}

func (l *leaf) hash() registry.Hash { return registry.LeafHash(l.key, l.index, l.value) }

// hash returns the hash of a node that is not stale.
func (a *arena) hash(r ref) registry.Hash {
	if r.isLeaf() {
		return a.leaf(r).hash()
	}
	return a.inner(r).hash
}

// rehash brings the hashes at and below r up to date. It also returns a leaf below r, from which the node above takes its prefix; nil
// when r was up to date. A stale node has a child that is stale or a leaf, so that it always finds one.
func (a *arena) rehash(r ref) (registry.Hash, *leaf) {
	if r.isLeaf() {
		l := a.leaf(r)
		return l.hash(), l
	}
	n := a.inner(r)
	if !n.stale {
		return n.hash, nil
	}
	left, below := a.rehash(n.child[0])
	right, other := a.rehash(n.child[1])
	if below == nil {
		below = other
	}
	n.hash = registry.InnerHash(n.depth, below.key, left, right)
	n.stale = false
	return n.hash, below
}
