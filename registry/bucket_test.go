package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

type vectorBucket struct {
	Prefix Key
	Bits   int
	Bucket hexBytes
}

type bucketVectors struct {
	NumberedSets []struct {
		Size    int
		Root    Hash
		Buckets []vectorBucket
	} `json:"numbered_sets"`
	OddSet struct {
		Members []MapMember
		Root    Hash
		Buckets []vectorBucket
	} `json:"odd_set"`
}

func numberedMembers(size int) []MapMember {
	members := make([]MapMember, size)
	for n := range members {
		number := binary.BigEndian.AppendUint32(nil, uint32(n))
		members[n] = MapMember{Key(HashOf(append([]byte("vector key "), number...))), uint64(n), Value(HashOf(append([]byte("vector value "), number...)))}
	}
	SortMembers(members)
	return members
}

// TestBucketVectors compares buckets, to the byte, with those of a program in another language.
func TestBucketVectors(t *testing.T) {
	var v bucketVectors
	readVectors(t, "buckets.json", &v)
	kinds := map[ProofKind]int{}
	check := func(members []MapMember, root Hash, buckets []vectorBucket) {
		t.Helper()
		if got := MapRoot(members); got != root {
			t.Errorf("root of %d members: got %v, want %v", len(members), got, root)
		}
		for _, want := range buckets {
			b, err := VerifyBucket(root, want.Prefix, want.Bits, want.Bucket)
			if err != nil {
				t.Errorf("%d bits of %v among %d: %v", want.Bits, want.Prefix, len(members), err)
				continue
			}
			kinds[b.Way.Kind]++
			checkBucket(t, b, root, members)
			if len(members) == 0 {
				continue
			}
			if got := BucketBelow(want.Prefix, want.Bits, nil, nil, members).Marshal(); !bytes.Equal(got, want.Bucket) {
				t.Errorf("%d bits of %v among %d:\ngot  %x\nwant %x", want.Bits, want.Prefix, len(members), got, []byte(want.Bucket))
			}
		}
	}
	for _, set := range v.NumberedSets {
		check(numberedMembers(set.Size), set.Root, set.Buckets)
	}
	SortMembers(v.OddSet.Members)
	check(v.OddSet.Members, v.OddSet.Root, v.OddSet.Buckets)
	if kinds[ProofEmpty] < 3 || kinds[ProofForeign] < 10 || kinds[ProofInner] < 10 {
		t.Errorf("the vectors are cut: %v", kinds)
	}
}

// checkBucket compares what a bucket says, and the single proofs it gives, with the members of the map.
func checkBucket(t *testing.T, b *Bucket, root Hash, members []MapMember) {
	t.Helper()
	asked := []Key{b.Prefix}
	for _, m := range members {
		asked = append(asked, m.Key)
	}
	for _, k := range asked {
		i, v, ok, err := b.Find(k)
		proof, proveErr := b.Prove(k)
		if k.PrefixBits(b.Bits) != b.Prefix {
			if err != ErrBucketKey || proveErr != ErrBucketKey || ok {
				t.Errorf("a key of another bucket: %v, %v, %v", ok, err, proveErr)
			}
			continue
		}
		at := slices.IndexFunc(members, func(m MapMember) bool { return m.Key == k })
		if err != nil || proveErr != nil || ok != (at >= 0) || ok && (i != members[at].Index || v != members[at].Value) {
			t.Errorf("Find(%v) = %d %v %v %v, Prove: %v", k, i, v, ok, err, proveErr)
		}
		pi, pv, err := VerifyMember(root, k, proof)
		if ok != (err == nil) || ok && (pi != i || pv != v) {
			t.Errorf("the proof for %v: %d %v %v", k, pi, pv, err)
		}
		if err := VerifyAbsent(root, k, proof); ok == (err == nil) {
			t.Errorf("VerifyAbsent of %v, which is there: %v, gives %v", k, ok, err)
		}
	}
}

// bucketOfThree is the bucket of the bit 0 in threeKeys, foreignBucket that of 001, innerBucket that of 0001 in lateKeys.
func bucketOfThree() Bucket {
	return Bucket{Bits: 1, Members: []MapMember{{threeKeys.a, 1, Value{1}}, {threeKeys.b, 2, Value{2}}},
		Way: MapProof{Depths: []byte{0}, Siblings: []Hash{threeKeys.leafC}}}
}

func foreignBucket() Bucket { return Bucket{Bits: 3, Prefix: Key{0x20}, Way: foreignProof()} }
func innerBucket() Bucket   { return Bucket{Bits: 4, Prefix: Key{0x10}, Way: innerProof()} }

// TestBucketRefused spoils one thing of a valid bucket.
func TestBucketRefused(t *testing.T) {
	full := func(f func(*Bucket)) Bucket { b := bucketOfThree(); f(&b); return b }
	foreign := func(f func(*Bucket)) Bucket { b := foreignBucket(); f(&b); return b }
	inner := func(f func(*Bucket)) Bucket { b := innerBucket(); f(&b); return b }
	nothing := func(*Bucket) {}
	for _, c := range []struct {
		name   string
		root   Hash
		bucket Bucket
		want   error
	}{
		{"valid", threeKeys.root, full(nothing), nil},
		{"valid, ends at a leaf", threeKeys.root, foreign(nothing), nil},
		{"valid, ends at a node", lateKeys.root, inner(nothing), nil},
		{"another root", lateKeys.root, full(nothing), ErrProofRoot},
		{"a member left out", threeKeys.root, full(func(b *Bucket) { b.Members = b.Members[:1] }), ErrProofRoot},
		{"a member more", threeKeys.root, full(func(b *Bucket) { b.Members = append(b.Members, MapMember{Key{0x41}, 3, Value{}}) }), ErrProofRoot},
		{"another index", threeKeys.root, full(func(b *Bucket) { b.Members[0].Index++ }), ErrProofRoot},
		{"another value", threeKeys.root, full(func(b *Bucket) { b.Members[1].Value[31]++ }), ErrProofRoot},
		{"another sibling", threeKeys.root, full(func(b *Bucket) { b.Way.Siblings = []Hash{{}} }), ErrProofRoot},
		{"another depth", threeKeys.root, full(func(b *Bucket) { b.Bits = 2; b.Way.Depths = []byte{1}; b.Members = b.Members[:1] }), ErrProofRoot},
		{"out of order", threeKeys.root, full(func(b *Bucket) { b.Members[0], b.Members[1] = b.Members[1], b.Members[0] }), ErrBucketOrder},
		{"a member twice", threeKeys.root, full(func(b *Bucket) { b.Members[1] = b.Members[0] }), ErrBucketOrder},
		{"a member of another bucket", threeKeys.root, full(func(b *Bucket) { b.Members[1].Key = threeKeys.c }), ErrBucketForeign},
		{"tests a bit beyond the prefix", threeKeys.root, full(func(b *Bucket) { b.Way.Depths = []byte{1} }), ErrBucketDepth},
		{"half of a bucket shown as all", threeKeys.root, full(func(b *Bucket) {
			b.Members, b.Way.Depths, b.Way.Siblings = b.Members[:1], []byte{0, 1}, []Hash{threeKeys.leafC, threeKeys.leafB}
		}), ErrBucketDepth},

		{"empty: a member's own proof", threeKeys.root, foreign(func(b *Bucket) { b.Way.Kind = ProofMember }), ErrProofPresence},
		{"empty: an empty map", threeKeys.root, foreign(func(b *Bucket) { b.Way = MapProof{} }), ErrProofRoot},
		{"empty: the leaf at the end is in the bucket", threeKeys.root, foreign(func(b *Bucket) { b.Bits, b.Prefix = 2, Key{} }), ErrBucketHides},
		{"empty: all keys", threeKeys.root, foreign(func(b *Bucket) { b.Bits, b.Prefix, b.Way.Depths, b.Way.Siblings = 0, Key{}, nil, nil }), ErrBucketHides},
		{"empty: tests a bit beyond the prefix", threeKeys.root, foreign(func(b *Bucket) { b.Bits, b.Prefix = 1, Key{} }), ErrBucketDepth},
		{"empty: the leaf parts at a tested bit", threeKeys.root, foreign(func(b *Bucket) { b.Prefix = Key{0x60} }), ErrProofOffPath},
		{"empty: another leaf", threeKeys.root, foreign(func(b *Bucket) { b.Way.Index++ }), ErrProofRoot},
		{"empty: no way", threeKeys.root, foreign(func(b *Bucket) { b.Way.Depths, b.Way.Siblings = nil, nil }), ErrProofRoot},
		{"empty: the node at the end is above the bucket", lateKeys.root, inner(func(b *Bucket) { b.Bits, b.Prefix = 16, Key{} }), ErrBucketHides},
		{"empty: the node at the end is the bucket", lateKeys.root, inner(func(b *Bucket) { b.Bits, b.Prefix = 3, Key{} }), ErrBucketHides},
		{"empty: the node parts at a tested bit", lateKeys.root, inner(func(b *Bucket) { b.Prefix = Key{0x90} }), ErrProofOffPath},
		{"empty: the node is not deeper than the last bit", lateKeys.root, inner(func(b *Bucket) { b.Way.Depth = 0 }), ErrProofDepth},
		{"empty: the node's prefix has the bit at depth", lateKeys.root, inner(func(b *Bucket) { b.Way.Prefix = Key{0, 1} }), ErrProofPrefix},
		{"empty: the node's prefix is another", lateKeys.root, inner(func(b *Bucket) { b.Way.Prefix = Key{0x20} }), ErrProofRoot},
		{"empty: the node is another", lateKeys.root, inner(func(b *Bucket) { b.Way.Left, b.Way.Right = b.Way.Right, b.Way.Left }), ErrProofRoot},
	} {
		got, err := VerifyBucket(c.root, c.bucket.Prefix, c.bucket.Bits, c.bucket.Marshal())
		if !errors.Is(err, c.want) || (err == nil) != (got != nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestBucketOctetsRefused(t *testing.T) {
	full, foreign := bucketOfThree(), foreignBucket()
	edit := func(b Bucket, f func(b []byte) []byte) []byte { return f(b.Marshal()) }
	at := func(i int, v byte) func([]byte) []byte { return func(b []byte) []byte { b[i] = v; return b } }
	const way = 2 + 1 + 4 + 2*memberSize
	for _, c := range []struct {
		name   string
		octets []byte
		want   error
	}{
		{"nothing", nil, ErrBucketCut},
		{"a prefix of 257 bits", edit(full, func(b []byte) []byte { b[0], b[1] = 1, 1; return b }), ErrBucketPrefix},
		{"a prefix of other length", edit(full, at(1, 2)), ErrBucketPrefix},
		{"bits beyond the prefix", edit(full, at(2, 0x40)), ErrBucketPrefix},
		{"the other half", edit(full, at(2, 0x80)), ErrBucketPrefix},
		{"2^32-1 members", edit(full, func(b []byte) []byte { copy(b[3:], "\xff\xff\xff\xff"); return b }), ErrBucketCut},
		{"a member more than there is", edit(full, at(6, 3)), ErrBucketCut},
		{"a member fewer", edit(full, at(6, 1)), ErrProofBitmap},
		{"a bitmap of 33 bytes", edit(full, at(way, 33)), ErrProofBitmap},
		{"a bitmap that ends with zero", edit(full, at(way+1, 0)), ErrProofBitmap},
		{"more depths than siblings", edit(full, at(way+1, 0xc0)), ErrBucketCut},
		{"a byte left over", edit(full, func(b []byte) []byte { return append(b, 0) }), ErrBucketLeftOver},
		{"empty: a byte left over", edit(foreign, func(b []byte) []byte { return append(b, 0) }), ErrProofLeftOver},
		{"empty: unknown kind", edit(foreign, at(7, 4)), ErrProofKind},
		{"empty: no proof", edit(foreign, func(b []byte) []byte { return b[:7] }), ErrProofCut},
	} {
		if _, err := VerifyBucket(threeKeys.root, full.Prefix, full.Bits, c.octets); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for _, b := range []Bucket{full, foreign} {
		octets := b.Marshal()
		for n := range octets {
			if _, err := parseBucket(octets[:n]); err == nil {
				t.Errorf("%d of %d bytes were read", n, len(octets))
			}
		}
	}
}

// FuzzBucket looks for panics, for a second spelling of a bucket, and for one that leaves out or adds a member.
func FuzzBucket(f *testing.F) {
	var v bucketVectors
	readVectors(f, "buckets.json", &v)
	SortMembers(v.OddSet.Members)
	for _, b := range v.OddSet.Buckets {
		f.Add([]byte(b.Bucket))
	}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, octets []byte) {
		b, err := parseBucket(octets)
		if err != nil {
			return
		}
		if !bytes.Equal(b.Marshal(), octets) {
			t.Errorf("%x is written again as %x", octets, b.Marshal())
		}
		if b, err = VerifyBucket(v.OddSet.Root, b.Prefix, b.Bits, octets); err != nil {
			return
		}
		want := slices.Clone(v.OddSet.Members)
		want = slices.DeleteFunc(want, func(m MapMember) bool { return m.Key.PrefixBits(b.Bits) != b.Prefix })
		if !slices.Equal(b.Members, want) {
			t.Errorf("%x has other members than the map", octets)
		}
	})
}
