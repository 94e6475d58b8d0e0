package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// The map is a binary trie over the keys' bits, most significant bit first, in which a node stands only where keys part. It is
// write-once and has no history: the same set of members has the same root.
//
//	root(no member)   = H(0x02)
//	root(one member)  = H(0x00 || K || i(8) || V)
//	root(more)        = H(0x01 || depth(1) || prefix(32) || root(those with bit 0) || root(those with bit 1))
//
// where depth is the number of leading bits that all the keys share, prefix those bits padded with zeros, and the bit is the one at
// depth. i is the index of the member's entry in the log.

// EmptyRoot returns the root of the map without members.
func EmptyRoot() Hash { return sha256.Sum256([]byte{0x02}) }

// LeafHash returns the hash of the member K with index i and value v.
func LeafHash(k Key, i uint64, v Value) Hash {
	var b [1 + 32 + 8 + 32]byte
	b[0] = 0x00
	copy(b[1:], k[:])
	binary.BigEndian.PutUint64(b[33:], i)
	copy(b[41:], v[:])
	return sha256.Sum256(b[:])
}

// InnerHash returns the hash of a node that tests the bit at depth. Only the first depth bits of prefix count.
func InnerHash(depth byte, prefix Key, left, right Hash) Hash {
	p := prefix.Prefix(depth)
	var b [1 + 1 + 32 + 32 + 32]byte
	b[0], b[1] = 0x01, depth
	copy(b[2:], p[:])
	copy(b[34:], left[:])
	copy(b[66:], right[:])
	return sha256.Sum256(b[:])
}

// Bit returns bit d of the key, counted from the most significant.
func (k Key) Bit(d byte) byte { return k[d>>3] >> (7 - d&7) & 1 }

// Prefix returns the first d bits of the key, padded with zeros.
func (k Key) Prefix(d byte) Key {
	var p Key
	copy(p[:], k[:d>>3])
	p[d>>3] = k[d>>3] &^ (0xff >> (d & 7))
	return p
}

// CommonBits returns the number of leading bits that both keys share: 256 when they are equal.
func (k Key) CommonBits(o Key) int {
	for w := 0; w < len(k); w += 8 {
		if x := binary.BigEndian.Uint64(k[w:]) ^ binary.BigEndian.Uint64(o[w:]); x != 0 {
			return 8*w + bits.LeadingZeros64(x)
		}
	}
	return 8 * len(k)
}

// ProofKind says what stands where the walk along the bits of a key ends.
type ProofKind byte

const (
	ProofEmpty   ProofKind = 0 // the map has no member
	ProofMember  ProofKind = 1 // the key's own leaf
	ProofForeign ProofKind = 2 // the leaf of another key
	ProofInner   ProofKind = 3 // a node whose prefix the key does not have
)

// MapProof is a proof of presence or absence as bytes say it; nothing in it is verified before [VerifyMember] or [VerifyAbsent].
//
//	kind(1) || n(1) || depth bitmap(n) || siblings(32 each) || terminal
//
// The bitmap has a bit for each depth tested on the way, most significant bit first, its last byte is not zero; the siblings follow
// from the root to the leaf, one for each bit set. The terminal is, by kind:
//
//	0  empty map      nothing, and n = 0
//	1  own leaf       i(8) || V(32)
//	2  foreign leaf   K'(32) || i(8) || V(32)
//	3  inner node     depth(1) || prefix(32) || left(32) || right(32)
type MapProof struct {
	Kind     ProofKind
	Depths   []byte // the depths tested, ascending
	Siblings []Hash // one for each depth

	Foreign Key    // kind 2: the other key
	Index   uint64 // kinds 1 and 2
	Value   Value  // kinds 1 and 2

	Depth       byte // kind 3, with Prefix, Left and Right
	Prefix      Key
	Left, Right Hash
}

// Why a proof is refused. Each is a fact about the bytes, so a refused proof is never evidence for the opposite.
var (
	ErrProofKind     = errors.New("map proof: unknown kind")
	ErrProofCut      = errors.New("map proof: bytes are missing")
	ErrProofLeftOver = errors.New("map proof: bytes are left over")
	ErrProofBitmap   = errors.New("map proof: depth bitmap is longer than it must be")
	ErrProofEmpty    = errors.New("map proof: an empty map has no depths to test")
	ErrProofAbsence  = errors.New("map proof: shows an absence, not a member")
	ErrProofPresence = errors.New("map proof: shows a member, not an absence")
	ErrProofSameKey  = errors.New("map proof: the other leaf has the very key that is said to be absent")
	ErrProofOffPath  = errors.New("map proof: the node at the end does not lie on the path of the key")
	ErrProofDepth    = errors.New("map proof: the node at the end is not deeper than the last tested bit")
	ErrProofPrefix   = errors.New("map proof: prefix has bits set beyond its depth")
	ErrProofCovers   = errors.New("map proof: the key has the prefix of the node at the end, so the key may stand below it")
	ErrProofRoot     = errors.New("map proof: does not lead to the root")
)

const proofMaxBitmap = 32

// Marshal returns the proof's bytes.
func (p *MapProof) Marshal() []byte {
	var bitmap [proofMaxBitmap]byte
	n := 0
	for _, d := range p.Depths {
		bitmap[d>>3] |= 0x80 >> (d & 7)
		n = int(d>>3) + 1
	}
	b := make([]byte, 0, 2+n+32*len(p.Siblings)+97)
	b = append(b, byte(p.Kind), byte(n))
	b = append(b, bitmap[:n]...)
	for i := range p.Siblings {
		b = append(b, p.Siblings[i][:]...)
	}
	switch p.Kind {
	case ProofForeign:
		b = append(b, p.Foreign[:]...)
		fallthrough
	case ProofMember:
		b = binary.BigEndian.AppendUint64(b, p.Index)
		b = append(b, p.Value[:]...)
	case ProofInner:
		b = append(b, p.Depth)
		b = append(b, p.Prefix[:]...)
		b = append(b, p.Left[:]...)
		b = append(b, p.Right[:]...)
	}
	return b
}

// ParseProof reads a proof. What it accepts, Marshal writes again to the byte.
func ParseProof(b []byte) (*MapProof, error) {
	r := proofReader{rest: b}
	p := &MapProof{Kind: ProofKind(r.byte())}
	n := int(r.byte())
	if r.cut {
		return nil, ErrProofCut
	}
	switch {
	case p.Kind > ProofInner:
		return nil, fmt.Errorf("%w %d", ErrProofKind, p.Kind)
	case n > proofMaxBitmap:
		return nil, ErrProofBitmap
	case p.Kind == ProofEmpty && n != 0:
		return nil, ErrProofEmpty
	}
	bitmap := r.take(n)
	if n > 0 && !r.cut && bitmap[n-1] == 0 {
		return nil, ErrProofBitmap
	}
	p.readPath(&r, bitmap)
	p.readTerminal(&r)
	switch {
	case r.cut:
		return nil, ErrProofCut
	case len(r.rest) != 0:
		return nil, ErrProofLeftOver
	}
	return p, nil
}

func (p *MapProof) readPath(r *proofReader, bitmap []byte) {
	count := 0
	for _, b := range bitmap {
		count += bits.OnesCount8(b)
	}
	if len(r.rest) < 32*count {
		r.cut = true
		return
	}
	p.Depths = make([]byte, 0, count)
	p.Siblings = make([]Hash, 0, count)
	for i, b := range bitmap {
		for ; b != 0; b &^= 0x80 >> bits.LeadingZeros8(b) {
			p.Depths = append(p.Depths, byte(8*i+bits.LeadingZeros8(b)))
			p.Siblings = append(p.Siblings, r.hash())
		}
	}
}

func (p *MapProof) readTerminal(r *proofReader) {
	switch p.Kind {
	case ProofForeign:
		p.Foreign = Key(r.hash())
		fallthrough
	case ProofMember:
		p.Index = r.uint64()
		p.Value = Value(r.hash())
	case ProofInner:
		p.Depth = r.byte()
		p.Prefix = Key(r.hash())
		p.Left, p.Right = r.hash(), r.hash()
	}
}

// VerifyMember checks that under root the key k is in the map, and returns the index and the value that stand there. A member counts
// only together with the inclusion in the log of its slot entry at that index.
func VerifyMember(root Hash, k Key, proof []byte) (i uint64, v Value, err error) {
	p, err := ParseProof(proof)
	if err != nil {
		return 0, Value{}, err
	}
	if p.Kind != ProofMember {
		return 0, Value{}, ErrProofAbsence
	}
	if p.root(k, LeafHash(k, p.Index, p.Value)) != root {
		return 0, Value{}, ErrProofRoot
	}
	return p.Index, p.Value, nil
}

// VerifyAbsent checks that under root the key k is not in the map.
//
// A walk from the root along the bits of k ends at another key's leaf, or at a node that k cannot be below. Both must lie on k's own
// side at every tested bit, otherwise a proof could point beside the place where k stands.
func VerifyAbsent(root Hash, k Key, proof []byte) error {
	p, err := ParseProof(proof)
	if err != nil {
		return err
	}
	var end Hash
	switch p.Kind {
	case ProofMember:
		return ErrProofPresence
	case ProofEmpty:
		end = EmptyRoot()
	case ProofForeign:
		if err := p.checkForeign(k); err != nil {
			return err
		}
		end = LeafHash(p.Foreign, p.Index, p.Value)
	case ProofInner:
		if err := p.checkInner(k); err != nil {
			return err
		}
		end = InnerHash(p.Depth, p.Prefix, p.Left, p.Right)
	}
	if p.root(k, end) != root {
		return ErrProofRoot
	}
	return nil
}

// lastTested returns the deepest bit tested on the way, -1 for none.
func (p *MapProof) lastTested() int {
	if len(p.Depths) == 0 {
		return -1
	}
	return int(p.Depths[len(p.Depths)-1])
}

func (p *MapProof) checkForeign(k Key) error {
	switch common := k.CommonBits(p.Foreign); {
	case common == 256:
		return ErrProofSameKey
	case common <= p.lastTested():
		return ErrProofOffPath
	}
	return nil
}

func (p *MapProof) checkInner(k Key) error {
	common, last := k.CommonBits(p.Prefix), p.lastTested()
	switch {
	case int(p.Depth) <= last:
		return ErrProofDepth
	case p.Prefix != p.Prefix.Prefix(p.Depth):
		return ErrProofPrefix
	case common <= last:
		return ErrProofOffPath
	case common >= int(p.Depth):
		return ErrProofCovers
	}
	return nil
}

// root folds the hash at the end of the path up to the root. Every prefix is k's own: the proof brings none for the way.
func (p *MapProof) root(k Key, end Hash) Hash {
	h := end
	for i := len(p.Depths) - 1; i >= 0; i-- {
		d := p.Depths[i]
		if k.Bit(d) == 0 {
			h = InnerHash(d, k, h, p.Siblings[i])
		} else {
			h = InnerHash(d, k, p.Siblings[i], h)
		}
	}
	return h
}

// proofReader takes bytes from the front; once any were missing, cut stays set and all it gives is zero.
type proofReader struct {
	rest []byte
	cut  bool
}

func (r *proofReader) take(n int) []byte {
	if len(r.rest) < n {
		r.rest, r.cut = nil, true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *proofReader) byte() byte     { return r.take(1)[0] }
func (r *proofReader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
func (r *proofReader) hash() Hash     { return Hash(r.take(32)) }
