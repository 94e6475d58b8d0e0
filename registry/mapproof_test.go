package registry

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// threeKeys is the map of the keys 00..., 01... and 1..., with all its nodes:
//
//	root tests bit 0: low, c      low tests bit 1: a, b
var threeKeys = func() (m struct {
	a, b, c             Key
	leafA, leafB, leafC Hash
	low, root           Hash
}) {
	m.a, m.b, m.c = Key{0x00}, Key{0x40}, Key{0x80}
	m.leafA, m.leafB, m.leafC = LeafHash(m.a, 1, Value{1}), LeafHash(m.b, 2, Value{2}), LeafHash(m.c, 3, Value{3})
	m.low = InnerHash(1, Key{}, m.leafA, m.leafB)
	m.root = InnerHash(0, Key{}, m.low, m.leafC)
	return m
}()

// lateKeys is the map of 0x00 0x00..., 0x00 0x01... and 0x80...: under bit 0 = 0 the next node tests bit 15.
var lateKeys = func() (m struct {
	low, leafC, root Hash
	left, right      Hash
}) {
	m.left, m.right = LeafHash(Key{}, 1, Value{1}), LeafHash(Key{0, 1}, 2, Value{2})
	m.leafC = LeafHash(Key{0x80}, 3, Value{3})
	m.low = InnerHash(15, Key{}, m.left, m.right)
	m.root = InnerHash(0, Key{}, m.low, m.leafC)
	return m
}()

// memberProof shows a in threeKeys, foreignProof that 0x20... is not there, innerProof that 0x10... is not in lateKeys.
func memberProof() MapProof {
	return MapProof{Kind: ProofMember, Depths: []byte{0, 1}, Siblings: []Hash{threeKeys.leafC, threeKeys.leafB}, Index: 1, Value: Value{1}}
}

func foreignProof() MapProof {
	p := memberProof()
	p.Kind, p.Foreign = ProofForeign, threeKeys.a
	return p
}

func innerProof() MapProof {
	return MapProof{Kind: ProofInner, Depths: []byte{0}, Siblings: []Hash{lateKeys.leafC},
		Depth: 15, Left: lateKeys.left, Right: lateKeys.right}
}

func TestValidProofsBeforeSpoiling(t *testing.T) {
	member, foreign, inner := memberProof(), foreignProof(), innerProof()
	if i, v, err := VerifyMember(threeKeys.root, threeKeys.a, member.Marshal()); err != nil || i != 1 || v != (Value{1}) {
		t.Errorf("member: %d %v %v", i, v, err)
	}
	if err := VerifyAbsent(threeKeys.root, Key{0x20}, foreign.Marshal()); err != nil {
		t.Errorf("foreign leaf: %v", err)
	}
	if err := VerifyAbsent(lateKeys.root, Key{0x10}, inner.Marshal()); err != nil {
		t.Errorf("inner node: %v", err)
	}
	if err := VerifyAbsent(EmptyRoot(), Key{0x10}, []byte{0, 0}); err != nil {
		t.Errorf("empty map: %v", err)
	}
}

// TestBytesRefused spoils the octets of a valid proof.
func TestBytesRefused(t *testing.T) {
	member, foreign, inner := memberProof(), foreignProof(), innerProof()
	edit := func(p MapProof, f func(b []byte) []byte) []byte { return f(p.Marshal()) }
	at := func(i int, v byte) func([]byte) []byte { return func(b []byte) []byte { b[i] = v; return b } }
	for _, c := range []struct {
		name  string
		proof []byte
		want  error
	}{
		{"nothing", nil, ErrProofCut},
		{"only a kind", []byte{1}, ErrProofCut},
		{"bitmap missing", []byte{1, 1}, ErrProofCut},
		{"unknown kind", edit(member, at(0, 4)), ErrProofKind},
		{"unknown kind 255", edit(member, at(0, 255)), ErrProofKind},
		{"bitmap of 33 bytes", edit(member, at(1, 33)), ErrProofBitmap},
		{"last byte of the bitmap zero", edit(member, func(b []byte) []byte { b[1] = 2; return slices.Insert(b, 3, 0) }), ErrProofBitmap},
		{"bitmap of one zero byte", []byte{2, 1, 0}, ErrProofBitmap},
		{"empty map with depths", []byte{0, 1, 0x80}, ErrProofEmpty},
		{"empty map with more", []byte{0, 0, 0}, ErrProofLeftOver},
		{"one more depth than siblings", edit(member, at(2, 0xe0)), ErrProofCut},
		{"one sibling more than depths", edit(member, at(2, 0x80)), ErrProofLeftOver},
		{"a byte left over, member", append(member.Marshal(), 0), ErrProofLeftOver},
		{"a byte left over, foreign", append(foreign.Marshal(), 0), ErrProofLeftOver},
		{"a byte left over, inner", append(inner.Marshal(), 0), ErrProofLeftOver},
		{"member as foreign", edit(member, at(0, 2)), ErrProofCut},
		{"foreign as member", edit(foreign, at(0, 1)), ErrProofLeftOver},
	} {
		if _, err := ParseProof(c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: ParseProof = %v, want %v", c.name, err, c.want)
		}
		if _, _, err := VerifyMember(threeKeys.root, threeKeys.a, c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: VerifyMember = %v, want %v", c.name, err, c.want)
		}
		if err := VerifyAbsent(threeKeys.root, Key{0x20}, c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: VerifyAbsent = %v, want %v", c.name, err, c.want)
		}
	}
	for _, p := range []MapProof{member, foreign, inner} {
		b := p.Marshal()
		for n := range b {
			if _, err := ParseProof(b[:n]); err == nil {
				t.Errorf("kind %d cut to %d of %d bytes was read", p.Kind, n, len(b))
			}
		}
	}
}

// TestAbsenceRefused spoils one thing of a valid proof of absence, or tries to show a member absent with what the map truly holds.
func TestAbsenceRefused(t *testing.T) {
	m, late := threeKeys, lateKeys
	for _, c := range []struct {
		name  string
		root  Hash
		k     Key
		proof MapProof
		want  error
	}{
		{"a member's own proof", m.root, m.a, memberProof(), ErrProofPresence},
		{"foreign leaf is the key itself", m.root, m.a, foreignProof(), ErrProofSameKey},
		{"foreign leaf of the other side", m.root, m.c,
			MapProof{Kind: ProofForeign, Depths: []byte{0, 1}, Siblings: []Hash{m.leafC, m.leafB}, Foreign: m.a, Index: 1, Value: Value{1}}, ErrProofOffPath},
		{"foreign leaf parts at the last tested bit", m.root, m.b, foreignProof(), ErrProofOffPath},
		{"foreign leaf with another index", m.root, Key{0x20}, func() MapProof { p := foreignProof(); p.Index++; return p }(), ErrProofRoot},
		{"foreign leaf with another value", m.root, Key{0x20}, func() MapProof { p := foreignProof(); p.Value[0]++; return p }(), ErrProofRoot},
		{"foreign leaf with siblings swapped", m.root, Key{0x20}, func() MapProof {
			p := foreignProof()
			p.Siblings = []Hash{p.Siblings[1], p.Siblings[0]}
			return p
		}(), ErrProofRoot},
		{"foreign leaf at other depths", m.root, Key{0x20}, func() MapProof { p := foreignProof(); p.Depths, p.Siblings = []byte{1}, p.Siblings[1:]; return p }(), ErrProofRoot},
		{"empty map", m.root, Key{0x20}, MapProof{Kind: ProofEmpty}, ErrProofRoot},
		{"the top node as an end", m.root, m.a, MapProof{Kind: ProofInner, Depth: 0, Left: m.low, Right: m.leafC}, ErrProofCovers},
		{"the node above a member as its end", m.root, m.a,
			MapProof{Kind: ProofInner, Depths: []byte{0}, Siblings: []Hash{m.leafC}, Depth: 1, Left: m.leafA, Right: m.leafB}, ErrProofCovers},
		{"a node the key is below", late.root, Key{0, 0, 0xff}, innerProof(), ErrProofCovers},
		{"a node of the other side", late.root, Key{0x80}, innerProof(), ErrProofOffPath},
		{"a node parting at the last tested bit", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Prefix = Key{0x80}; return p }(), ErrProofOffPath},
		{"depth equal to the last tested bit", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Depths = []byte{15}; return p }(), ErrProofDepth},
		{"depth before the last tested bit", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Depths = []byte{16}; return p }(), ErrProofDepth},
		{"prefix with the bit at depth", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Prefix = Key{0, 1}; return p }(), ErrProofPrefix},
		{"prefix with the last bit of all", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Prefix[31] = 1; return p }(), ErrProofPrefix},
		{"another depth", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Depth = 16; return p }(), ErrProofRoot},
		{"another prefix", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Prefix = Key{0x20}; return p }(), ErrProofRoot},
		{"left and right swapped", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Left, p.Right = p.Right, p.Left; return p }(), ErrProofRoot},
		{"no way to the node", late.root, Key{0x10}, func() MapProof { p := innerProof(); p.Depths, p.Siblings = nil, nil; return p }(), ErrProofRoot},
	} {
		if err := VerifyAbsent(c.root, c.k, c.proof.Marshal()); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestMemberRefused(t *testing.T) {
	m := threeKeys
	for _, c := range []struct {
		name  string
		k     Key
		proof MapProof
		want  error
	}{
		{"an absence", Key{0x20}, foreignProof(), ErrProofAbsence},
		{"an empty map", m.a, MapProof{Kind: ProofEmpty}, ErrProofAbsence},
		{"an inner node", m.a, innerProof(), ErrProofAbsence},
		{"another key", m.b, memberProof(), ErrProofRoot},
		{"another index", m.a, func() MapProof { p := memberProof(); p.Index = 9; return p }(), ErrProofRoot},
		{"another value", m.a, func() MapProof { p := memberProof(); p.Value[31] = 1; return p }(), ErrProofRoot},
		{"another sibling", m.a, func() MapProof { p := memberProof(); p.Siblings[0][0] ^= 1; return p }(), ErrProofRoot},
		{"another depth", m.a, func() MapProof { p := memberProof(); p.Depths[1] = 7; return p }(), ErrProofRoot},
		{"a level less", m.a, func() MapProof { p := memberProof(); p.Depths, p.Siblings = p.Depths[:1], p.Siblings[:1]; return p }(), ErrProofRoot},
	} {
		if _, _, err := VerifyMember(m.root, c.k, c.proof.Marshal()); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCommonBits(t *testing.T) {
	for d := range 256 {
		var k, o Key
		o[d/8] = 0x80 >> (d % 8)
		if got := k.CommonBits(o); got != d {
			t.Errorf("keys that part at bit %d share %d bits", d, got)
		}
		if k.Bit(byte(d)) != 0 || o.Bit(byte(d)) != 1 || o.Prefix(byte(d)) != k {
			t.Errorf("bit %d: Bit or Prefix is wrong", d)
		}
		o[31] |= 1
		if d < 255 && (o.Prefix(byte(d)) != Key{} || o.Prefix(byte(d)+1).CommonBits(o) <= d) {
			t.Errorf("bit %d: Prefix is wrong", d)
		}
	}
	if got := (Key{1}).CommonBits(Key{1}); got != 256 {
		t.Errorf("equal keys share %d bits", got)
	}
}

// FuzzProof looks for panics, for a second spelling of a proof, and for a member shown absent.
func FuzzProof(f *testing.F) {
	var v mapVectors
	readVectors(f, "map.json", &v)
	for _, p := range v.OddSet.Proofs {
		f.Add([]byte(p.Proof))
	}
	f.Add([]byte{0, 0})
	f.Add([]byte{3, 32})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err == nil && !bytes.Equal(p.Marshal(), b) {
			t.Errorf("%x is written again as %x", b, p.Marshal())
		}
		for _, m := range v.OddSet.Members {
			if VerifyAbsent(v.OddSet.Root, m.Key, b) == nil {
				t.Errorf("the member %v is shown absent by %x", m.Key, b)
			}
			if i, value, err := VerifyMember(v.OddSet.Root, m.Key, b); err == nil && (i != m.Index || value != m.Value) {
				t.Errorf("the member %v is shown with another index or value by %x", m.Key, b)
			}
		}
	})
}
