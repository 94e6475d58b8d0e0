package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// MapMember is one member of the map.
type MapMember struct {
	Key   Key
	Index uint64 // of its slot entry in the log
	Value Value
}

const memberSize = 32 + 8 + 32

// AppendMember appends K(32) || i(8) || V(32) to b.
func AppendMember(b []byte, m MapMember) []byte {
	b = append(b, m.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, m.Index)
	return append(b, m.Value[:]...)
}

// MapRoot returns the root of the map that has exactly these members, which must be sorted by key, each key once.
func MapRoot(sorted []MapMember) Hash {
	switch len(sorted) {
	case 0:
		return EmptyRoot()
	case 1:
		return LeafHash(sorted[0].Key, sorted[0].Index, sorted[0].Value)
	}
	d, at := partMembers(sorted)
	return InnerHash(d, sorted[0].Key, MapRoot(sorted[:at]), MapRoot(sorted[at:]))
}

// partMembers returns the bit at which the keys of two or more sorted members part, and the place of the first one that has it set.
func partMembers(sorted []MapMember) (d byte, at int) {
	d = byte(sorted[0].Key.CommonBits(sorted[len(sorted)-1].Key))
	return d, sort.Search(len(sorted), func(i int) bool { return sorted[i].Key.Bit(d) == 1 })
}

// Bucket is the whole part of a map whose keys begin with the same bits, together with what leads from it to the map's root. Whoever
// fetches buckets instead of single proofs does not say which of the keys it wants. As octets:
//
//	bits(2) || prefix((bits + 7) / 8, the bits beyond zero) || count(4) || count members || way
//
//	member = K(32) || i(8) || V(32)                                       ascending by K, every K begins with the prefix
//	way    = n(1) || n bytes of depth bitmap || siblings(32 each)         when count > 0
//	         the octets of a MapProof of kind 0, 2 or 3                   when count = 0
//
// Bitmap and siblings are those of a [MapProof]: the depths below bits that the walk along the prefix tests. It ends at the node or the
// leaf that has the members, all of them, below it; its hash is the root of the map of these members alone. Where there are none, the
// walk ends at the same things as that for an absent key, and what stands there must part from the prefix before bit bits.
type Bucket struct {
	Prefix  Key // zeros beyond the first Bits bits
	Bits    int // 0 (the whole map) ... 256 (one key)
	Members []MapMember

	// Way has the depths and siblings from the root on; when there are no members also the end, with kind 0, 2 or 3.
	Way MapProof
}

// Why a bucket is refused, besides the errors of the proof in it.
var (
	ErrBucketCut      = errors.New("bucket: bytes are missing")
	ErrBucketLeftOver = errors.New("bucket: bytes are left over")
	ErrBucketPrefix   = errors.New("bucket: is not the one that was asked for")
	ErrBucketOrder    = errors.New("bucket: keys are not in ascending order")
	ErrBucketForeign  = errors.New("bucket: a key does not begin with the prefix")
	ErrBucketDepth    = errors.New("bucket: a tested bit lies beyond the prefix")
	ErrBucketHides    = errors.New("bucket: said to be empty, but its proof ends at something that begins with the prefix")
	ErrBucketKey      = errors.New("bucket: the key does not begin with its prefix, so it says nothing about it")
)

// PrefixBits returns the first bits bits of the key, padded with zeros: the Prefix of the bucket that the key belongs to.
func (k Key) PrefixBits(bits int) Key {
	if bits >= 256 {
		return k
	}
	return k.Prefix(byte(bits))
}

// BucketBelow makes a bucket out of the map's members below a node on the walk along prefix (or, where the walk has left the prefix
// already, below the node that it met). depths and siblings lead from the root to that node; sorted holds all members below it, sorted
// by key, at least one. It neither keeps nor changes the slices.
func BucketBelow(prefix Key, bits int, depths []byte, siblings []Hash, sorted []MapMember) *Bucket {
	b := &Bucket{Prefix: prefix.PrefixBits(bits), Bits: bits}
	b.Way.Depths, b.Way.Siblings = slices.Clone(depths), slices.Clone(siblings)
	for {
		first := sorted[0].Key
		parts := first.CommonBits(sorted[len(sorted)-1].Key) // 256 for one alone
		common := b.Prefix.CommonBits(first)
		switch {
		case common < min(parts, bits):
			b.endElsewhere(sorted)
			return b
		case parts >= bits:
			b.Members = slices.Clone(sorted)
			return b
		}
		d, at := partMembers(sorted)
		other, mine := sorted[:at], sorted[at:]
		if b.Prefix.Bit(d) == 0 {
			other, mine = mine, other
		}
		b.Way.Depths, b.Way.Siblings = append(b.Way.Depths, d), append(b.Way.Siblings, MapRoot(other))
		sorted = mine
	}
}

// endElsewhere ends the way of an empty bucket at members that part from the prefix.
func (b *Bucket) endElsewhere(sorted []MapMember) {
	first := sorted[0]
	if len(sorted) == 1 {
		b.Way.Kind, b.Way.Foreign, b.Way.Index, b.Way.Value = ProofForeign, first.Key, first.Index, first.Value
		return
	}
	d, at := partMembers(sorted)
	b.Way.Kind, b.Way.Depth, b.Way.Prefix = ProofInner, d, first.Key.Prefix(d)
	b.Way.Left, b.Way.Right = MapRoot(sorted[:at]), MapRoot(sorted[at:])
}

// Find returns what the map has at k: index and value, or ok = false when k is absent. For a key of another bucket it returns
// [ErrBucketKey].
func (b *Bucket) Find(k Key) (i uint64, v Value, ok bool, err error) {
	if k.PrefixBits(b.Bits) != b.Prefix {
		return 0, Value{}, false, ErrBucketKey
	}
	at, ok := slices.BinarySearchFunc(b.Members, k, compareMember)
	if !ok {
		return 0, Value{}, false, nil
	}
	return b.Members[at].Index, b.Members[at].Value, true, nil
}

func compareMember(m MapMember, k Key) int { return bytes.Compare(m.Key[:], k[:]) }

// Prove returns the proof for one key of the bucket, the same octets that the registry would give: so that a holder of the bucket can
// show a third person that key and no other.
func (b *Bucket) Prove(k Key) ([]byte, error) {
	if k.PrefixBits(b.Bits) != b.Prefix {
		return nil, ErrBucketKey
	}
	if len(b.Members) == 0 {
		return b.Way.Marshal(), nil
	}
	one := BucketBelow(k, 256, b.Way.Depths, b.Way.Siblings, b.Members)
	if len(one.Members) == 1 {
		one.Way.Kind, one.Way.Index, one.Way.Value = ProofMember, one.Members[0].Index, one.Members[0].Value
	}
	return one.Way.Marshal(), nil
}

// Marshal returns the bucket's octets.
func (b *Bucket) Marshal() []byte {
	way := b.Way.Marshal()
	if len(b.Members) > 0 {
		way = (&MapProof{Depths: b.Way.Depths, Siblings: b.Way.Siblings}).Marshal()[1:] // without the kind
	}
	out := make([]byte, 0, 2+32+4+memberSize*len(b.Members)+len(way))
	out = binary.BigEndian.AppendUint16(out, uint16(b.Bits))
	out = append(out, b.Prefix[:(b.Bits+7)/8]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.Members)))
	for _, m := range b.Members {
		out = AppendMember(out, m)
	}
	return append(out, way...)
}

// VerifyBucket checks that the octets are, under root, the whole bucket of the keys that begin with the first bits bits of prefix: every
// member it lists is in the map, and no other key with that prefix is. As with [VerifyMember], a member counts only together with the
// inclusion in the log of its slot entry, and an absence only under the root in an audited head.
func VerifyBucket(root Hash, prefix Key, bits int, octets []byte) (*Bucket, error) {
	b, err := parseBucket(octets)
	if err != nil {
		return nil, err
	}
	if b.Bits != bits || b.Prefix != prefix.PrefixBits(bits) {
		return nil, ErrBucketPrefix
	}
	if b.Way.lastTested() >= b.Bits {
		return nil, ErrBucketDepth
	}
	end, err := b.end()
	if err != nil {
		return nil, err
	}
	if b.Way.root(b.Prefix, end) != root {
		return nil, ErrProofRoot
	}
	return b, nil
}

// end returns the hash of what stands where the way ends, after checking that it may stand there.
func (b *Bucket) end() (Hash, error) {
	if len(b.Members) > 0 {
		for i, m := range b.Members {
			switch {
			case m.Key.PrefixBits(b.Bits) != b.Prefix:
				return Hash{}, ErrBucketForeign
			case i > 0 && compareMember(b.Members[i-1], m.Key) >= 0:
				return Hash{}, ErrBucketOrder
			}
		}
		return MapRoot(b.Members), nil
	}
	switch b.Way.Kind {
	case ProofEmpty:
		return EmptyRoot(), nil
	case ProofForeign:
		common := b.Prefix.CommonBits(b.Way.Foreign)
		switch {
		case common >= b.Bits:
			return Hash{}, ErrBucketHides
		case common <= b.Way.lastTested():
			return Hash{}, ErrProofOffPath
		}
		return LeafHash(b.Way.Foreign, b.Way.Index, b.Way.Value), nil
	case ProofInner:
		return b.innerEnd()
	}
	return Hash{}, ErrProofPresence
}

func (b *Bucket) innerEnd() (Hash, error) {
	w := &b.Way
	common, last := b.Prefix.CommonBits(w.Prefix), w.lastTested()
	switch {
	case int(w.Depth) <= last:
		return Hash{}, ErrProofDepth
	case w.Prefix != w.Prefix.Prefix(w.Depth):
		return Hash{}, ErrProofPrefix
	case common <= last:
		return Hash{}, ErrProofOffPath
	case common >= min(int(w.Depth), b.Bits):
		return Hash{}, ErrBucketHides
	}
	return InnerHash(w.Depth, w.Prefix, w.Left, w.Right), nil
}

// parseBucket reads a bucket, unverified. What it accepts, Marshal writes again to the byte.
func parseBucket(octets []byte) (*Bucket, error) {
	r := proofReader{rest: octets}
	b := &Bucket{Bits: int(binary.BigEndian.Uint16(r.take(2)))}
	if b.Bits > 256 {
		return nil, fmt.Errorf("%w: a prefix of %d bits", ErrBucketPrefix, b.Bits)
	}
	copy(b.Prefix[:], r.take((b.Bits+7)/8))
	count := uint64(binary.BigEndian.Uint32(r.take(4)))
	switch {
	case r.cut || count*memberSize > uint64(len(r.rest)):
		return nil, ErrBucketCut
	case b.Prefix != b.Prefix.PrefixBits(b.Bits):
		return nil, fmt.Errorf("%w: bits are set beyond the prefix", ErrBucketPrefix)
	}
	if count == 0 {
		way, err := ParseProof(r.rest)
		if err != nil {
			return nil, fmt.Errorf("empty bucket: %w", err)
		}
		b.Way = *way
		return b, nil
	}
	b.Members = make([]MapMember, count)
	for i := range b.Members {
		b.Members[i] = MapMember{Key: Key(r.hash()), Index: r.uint64(), Value: Value(r.hash())}
	}
	return b, b.readWay(&r)
}

func (b *Bucket) readWay(r *proofReader) error {
	n := int(r.byte())
	if n > proofMaxBitmap {
		return ErrProofBitmap
	}
	bitmap := r.take(n)
	if n > 0 && !r.cut && bitmap[n-1] == 0 {
		return ErrProofBitmap
	}
	b.Way.readPath(r, bitmap)
	switch {
	case r.cut:
		return ErrBucketCut
	case len(r.rest) > 0:
		return ErrBucketLeftOver
	}
	return nil
}

// SortMembers sorts members by key.
func SortMembers(members []MapMember) {
	slices.SortFunc(members, func(a, b MapMember) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}
