package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A map delta shows how the map grew between two positions of the log, to whoever has the root at the earlier one and the slot entries
// between. It is the later map, cut down to the keys of those entries:
//
//	node = 0x00 || hash(32)                                       a part that none of the keys is in
//	       0x01                                                   the leaf of the next key, made by its first slot entry in the span
//	       0x02 || K(32) || i(8) || V(32)                         any other leaf; of one of the keys when that was taken before
//	       0x03 || depth(1) || node || node                       an inner node with at least one of the keys below it
//	       0x04 || depth(1) || prefix(32) || left(32) || right(32)   an inner node that none of the keys is below
//
// The keys are those of the slot entries, each once, ascending; the prefix of a node of kind 0x03 is the first depth bits of any key below
// it. Taking the leaves of kind 0x01 away again, latest first, gives the root at every head in the span and at last the earlier root. So
// the map at the later position is the earlier one with exactly these leaves, if the part beside a leaf that is taken away alone says
// what its prefix is: kind 0x02, 0x03 or 0x04. A reader refuses anything else there, or a leaf could have been put in at a wrong depth.
const (
	deltaHash  = 0x00
	deltaNew   = 0x01
	deltaLeaf  = 0x02
	deltaInner = 0x03
	deltaOther = 0x04
)

// Why a delta is refused.
var (
	ErrDeltaCut    = errors.New("map delta: bytes are missing")
	ErrDeltaLeft   = errors.New("map delta: bytes are left over")
	ErrDeltaKind   = errors.New("map delta: unknown kind of node")
	ErrDeltaKeys   = errors.New("map delta: has not exactly the keys of the slot entries")
	ErrDeltaShape  = errors.New("map delta: a node does not stand where its keys part")
	ErrDeltaHidden = errors.New("map delta: a part beside a new leaf does not say what its prefix is")
	ErrDeltaOrder  = errors.New("map delta: positions must be taken from the latest to the earliest")
)

// MapDelta is the later map, as far as a delta shows it. It proves nothing until it was rewound to a root that the reader trusts.
type MapDelta struct {
	top   *deltaNode  // nil for the empty map
	added []MapMember // leaves of kind 0x01 that are still there, in the order of the log
	at    uint64      // entries from there on are taken away
}

type deltaNode struct {
	kind  byte
	hash  Hash
	key   Key // of the leaf; of any key below an inner node
	depth byte
	child [2]*deltaNode // kind 0x03
}

// firstWrites returns what each key of the slots, which are in the order of the log, was first written with, sorted by key.
func firstWrites(slots []MapMember) []MapMember {
	sorted := slices.Clone(slots)
	slices.SortStableFunc(sorted, func(a, b MapMember) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return slices.CompactFunc(sorted, func(a, b MapMember) bool { return a.Key == b.Key })
}

// ParseMapDelta reads a delta over slots: every slot entry from index from on, in the order of the log.
func ParseMapDelta(data []byte, from uint64, slots []MapMember) (*MapDelta, error) {
	r := deltaReader{proofReader: proofReader{rest: data}, keys: firstWrites(slots), from: from}
	d := &MapDelta{at: ^uint64(0)}
	var err error
	if d.top, err = r.node(-1); err != nil {
		return nil, err
	}
	switch {
	case len(r.rest) > 0:
		return nil, ErrDeltaLeft
	case len(r.keys) > 0:
		return nil, ErrDeltaKeys
	}
	d.added = r.added
	slices.SortFunc(d.added, func(a, b MapMember) int {
		if a.Index < b.Index {
			return -1
		}
		return 1
	})
	return d, nil
}

type deltaReader struct {
	proofReader
	keys  []MapMember // still to come
	from  uint64
	added []MapMember
}

// node reads the node below one that tests the bit above, -1 at the top.
func (r *deltaReader) node(above int) (*deltaNode, error) {
	n := &deltaNode{kind: r.byte()}
	if r.cut {
		return nil, ErrDeltaCut
	}
	var err error
	switch n.kind {
	case deltaHash:
		n.hash = r.hash()
	case deltaNew:
		err = r.newLeaf(n)
	case deltaLeaf:
		err = r.leaf(n)
	case deltaInner:
		n.depth = r.byte()
		err = r.inner(n, above)
	case deltaOther:
		n.depth, n.key = r.byte(), Key(r.hash())
		if int(n.depth) <= above || n.key != n.key.Prefix(n.depth) {
			err = ErrDeltaShape
		}
		n.hash = InnerHash(n.depth, n.key, r.hash(), r.hash())
	default:
		err = fmt.Errorf("%w %d", ErrDeltaKind, n.kind)
	}
	if r.cut {
		return nil, ErrDeltaCut
	}
	return n, err
}

func (r *deltaReader) newLeaf(n *deltaNode) error {
	if len(r.keys) == 0 {
		return ErrDeltaKeys
	}
	m := r.keys[0]
	r.keys, r.added = r.keys[1:], append(r.added, m)
	n.key, n.hash = m.Key, LeafHash(m.Key, m.Index, m.Value)
	return nil
}

func (r *deltaReader) leaf(n *deltaNode) error {
	m := MapMember{Key: Key(r.hash()), Index: r.uint64(), Value: Value(r.hash())}
	if len(r.keys) > 0 && r.keys[0].Key == m.Key {
		r.keys = r.keys[1:]
	}
	if m.Index >= r.from {
		return ErrDeltaKeys
	}
	n.key, n.hash = m.Key, LeafHash(m.Key, m.Index, m.Value)
	return nil
}

// inner reads the two parts of an inner node. Parts that say their prefix must lie on their side of its bit, under the same prefix.
func (r *deltaReader) inner(n *deltaNode, above int) error {
	if r.cut {
		return ErrDeltaCut
	}
	if int(n.depth) <= above || len(r.keys) == 0 {
		return ErrDeltaShape
	}
	n.key = r.keys[0].Key
	before := len(r.keys)
	for side := range n.child {
		c, err := r.node(int(n.depth))
		if err != nil {
			return err
		}
		if c.kind != deltaHash && (c.key.CommonBits(n.key) < int(n.depth) || c.key.Bit(n.depth) != byte(side)) {
			return ErrDeltaShape
		}
		n.child[side] = c
	}
	if len(r.keys) == before {
		return ErrDeltaShape // none of the keys is below it
	}
	n.rehash()
	return nil
}

func (n *deltaNode) rehash() {
	n.hash = InnerHash(n.depth, n.key, n.child[0].hash, n.child[1].hash)
}

// Root returns the root of the map as of the position that the delta was rewound to.
func (d *MapDelta) Root() Hash {
	if d.top == nil {
		return EmptyRoot()
	}
	return d.top.hash
}

// Added returns how many keys the delta has at its position that were not there at the beginning.
func (d *MapDelta) Added() int { return len(d.added) }

// Rewind takes away what entries from index covered on have put in, and returns the root. Positions descend from call to call.
func (d *MapDelta) Rewind(covered uint64) (Hash, error) {
	if covered > d.at {
		return Hash{}, ErrDeltaOrder
	}
	d.at = covered
	for n := len(d.added); n > 0 && d.added[n-1].Index >= covered; n-- {
		top, err := d.top.without(d.added[n-1].Key)
		if err != nil {
			return Hash{}, err
		}
		d.top, d.added = top, d.added[:n-1]
	}
	return d.Root(), nil
}

// without takes the leaf of a key away, which is below n.
func (n *deltaNode) without(k Key) (*deltaNode, error) {
	if n.kind != deltaInner {
		return nil, nil
	}
	side := k.Bit(n.depth)
	rest, err := n.child[side].without(k)
	if err != nil {
		return nil, err
	}
	if rest != nil {
		n.child[side] = rest
		n.rehash()
		return n, nil
	}
	if other := n.child[1-side]; other.kind != deltaHash {
		return other, nil
	}
	return nil, ErrDeltaHidden
}

// MakeMapDelta makes a delta over slots, every slot entry from index from on in the order of the log. prove gives the proof of a key under
// the later root.
func MakeMapDelta(from uint64, slots []MapMember, prove func(Key) ([]byte, error)) ([]byte, error) {
	m := deltaMaker{from: from, prove: prove}
	for _, s := range firstWrites(slots) {
		p, err := m.proof(s.Key)
		if err != nil {
			return nil, err
		}
		if p.Kind != ProofMember {
			return nil, fmt.Errorf("map delta: slot entry %d is not in the map", s.Index)
		}
		m.keys, m.proofs = append(m.keys, s), append(m.proofs, p)
	}
	if len(m.keys) == 0 {
		return m.unchanged()
	}
	b, _, err := m.node(nil, 0, len(m.keys), 0)
	return b, err
}

type deltaMaker struct {
	from   uint64
	prove  func(Key) ([]byte, error)
	keys   []MapMember
	proofs []*MapProof // of the keys
}

func (m *deltaMaker) proof(k Key) (*MapProof, error) {
	b, err := m.prove(k)
	if err != nil {
		return nil, err
	}
	return ParseProof(b)
}

// unchanged is the delta without keys: any proof leads to the root.
func (m *deltaMaker) unchanged() ([]byte, error) {
	p, err := m.proof(Key{})
	if err != nil {
		return nil, err
	}
	root := p.fold(Key{}, 0)
	return append([]byte{deltaHash}, root[:]...), nil
}

// node writes the node that the proofs of keys lo to hi share at a level of their ways, and tells whether all that is below it is new.
func (m *deltaMaker) node(b []byte, lo, hi, level int) (_ []byte, fresh bool, err error) {
	p := m.proofs[lo]
	if level == len(p.Depths) {
		k := m.keys[lo]
		if p.Index == k.Index {
			return append(b, deltaNew), true, nil
		}
		return appendLeaf(b, k.Key, p.Index, p.Value), false, nil
	}
	d := p.Depths[level]
	mid := lo
	for mid < hi && m.keys[mid].Key.Bit(d) == 0 {
		mid++
	}
	b = append(b, deltaInner, d)
	switch {
	case mid == lo:
		// The part on the left comes first, and how it is written depends on the right.
		right, fresh, err := m.node(nil, lo, hi, level+1)
		if err != nil {
			return nil, false, err
		}
		if b, err = m.beside(b, lo, level, fresh); err != nil {
			return nil, false, err
		}
		return append(b, right...), false, nil
	case mid == hi:
		b, fresh, err := m.node(b, lo, hi, level+1)
		if err != nil {
			return nil, false, err
		}
		b, err = m.beside(b, lo, level, fresh)
		return b, false, err
	}
	b, left, err := m.node(b, lo, mid, level+1)
	if err != nil {
		return nil, false, err
	}
	b, right, err := m.node(b, mid, hi, level+1)
	return b, left && right, err
}

func appendLeaf(b []byte, k Key, i uint64, v Value) []byte {
	b = append(append(b, deltaLeaf), k[:]...)
	return append(binary.BigEndian.AppendUint64(b, i), v[:]...)
}

// beside writes the part beside the way of a key at a level: its hash, or, beside what is all new, what tells its prefix. For that the way
// of a key that parts there leads into it.
func (m *deltaMaker) beside(b []byte, key, level int, open bool) ([]byte, error) {
	p, k := m.proofs[key], m.keys[key].Key
	if !open {
		return append(append(b, deltaHash), p.Siblings[level][:]...), nil
	}
	d := p.Depths[level]
	k[d>>3] ^= 0x80 >> (d & 7)
	into, err := m.proof(k)
	if err != nil {
		return nil, err
	}
	level++
	switch {
	case level < len(into.Depths):
		return into.appendInner(b, k, level), nil
	case into.Kind == ProofInner:
		b = append(append(b, deltaOther, into.Depth), into.Prefix[:]...)
		return append(append(b, into.Left[:]...), into.Right[:]...), nil
	case into.Kind == ProofForeign:
		return appendLeaf(b, into.Foreign, into.Index, into.Value), nil
	}
	return appendLeaf(b, k, into.Index, into.Value), nil
}

// appendInner writes the node at a level of the way of k as one that none of the keys is below.
func (p *MapProof) appendInner(b []byte, k Key, level int) []byte {
	d, mine, other := p.Depths[level], p.fold(k, level+1), p.Siblings[level]
	if k.Bit(d) == 1 {
		mine, other = other, mine
	}
	prefix := k.Prefix(d)
	b = append(append(b, deltaOther, d), prefix[:]...)
	return append(append(b, mine[:]...), other[:]...)
}

// fold returns the hash of the node at a level of the way of k.
func (p *MapProof) fold(k Key, level int) Hash {
	var end Hash
	switch p.Kind {
	case ProofEmpty:
		end = EmptyRoot()
	case ProofMember:
		end = LeafHash(k, p.Index, p.Value)
	case ProofForeign:
		end = LeafHash(p.Foreign, p.Index, p.Value)
	case ProofInner:
		end = InnerHash(p.Depth, p.Prefix, p.Left, p.Right)
	}
	below := MapProof{Depths: p.Depths[level:], Siblings: p.Siblings[level:]}
	return below.root(k, end)
}
