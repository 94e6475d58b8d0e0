package registry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

type vectorDelta struct {
	Size          int
	Slots         []vectorMember
	Before, After Hash
	Delta         string
}

func deltaVectors(t testing.TB) []vectorDelta {
	var v struct{ Deltas []vectorDelta }
	readVectors(t, "deltas.json", &v)
	return v.Deltas
}

func (v vectorDelta) slots() []MapMember {
	var out []MapMember
	for _, s := range v.Slots {
		out = append(out, MapMember(s))
	}
	return out
}

func TestDeltaVectors(t *testing.T) {
	kinds := map[byte]bool{}
	for _, v := range deltaVectors(t) {
		data, err := hex.DecodeString(v.Delta)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseMapDelta(data, uint64(v.Size), v.slots())
		if err != nil || d.Root() != v.After {
			t.Errorf("%d and %d: %v, root %v; want %v", v.Size, len(v.Slots), err, d.Root(), v.After)
			continue
		}
		d.top.eachKind(kinds)
		if root, err := d.Rewind(uint64(v.Size)); err != nil || root != v.Before {
			t.Errorf("%d and %d rewound: %v, root %v; want %v", v.Size, len(v.Slots), err, root, v.Before)
		}
		if _, err := d.Rewind(uint64(v.Size) + 1); !errors.Is(err, ErrDeltaOrder) {
			t.Errorf("rewound forwards: %v", err)
		}
	}
	for kind := byte(deltaHash); kind <= deltaOther; kind++ {
		if !kinds[kind] {
			t.Errorf("no node of kind %d among the vectors", kind)
		}
	}
}

func (n *deltaNode) eachKind(seen map[byte]bool) {
	seen[n.kind] = true
	if n.kind == deltaInner {
		n.child[0].eachKind(seen)
		n.child[1].eachKind(seen)
	}
}

func TestDeltaRefused(t *testing.T) {
	k := func(b byte) Key { return Key{b} }
	slot := func(b byte, i uint64) MapMember { return MapMember{Key: k(b), Index: i, Value: Value{b}} }
	hash := append([]byte{deltaHash}, make([]byte, 32)...)
	leaf := func(b byte, i byte) []byte {
		return append(append(append([]byte{deltaLeaf, b}, make([]byte, 31)...), 0, 0, 0, 0, 0, 0, 0, i), make([]byte, 32)...)
	}
	other := func(depth, prefix byte) []byte {
		return append([]byte{deltaOther, depth, prefix}, make([]byte, 31+64)...)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	inner := func(depth byte) []byte { return []byte{deltaInner, depth} }
	newLeaf := []byte{deltaNew}
	one := []MapMember{slot(0x80, 9)}
	two := []MapMember{slot(0x80, 9), slot(0x40, 8)}
	tests := []struct {
		name  string
		slots []MapMember
		delta []byte
		want  error
	}{
		{"one", one, newLeaf, nil},
		{"beside a leaf", one, join(inner(0), leaf(0x40, 3), newLeaf), nil},
		{"two", two, join(inner(0), newLeaf, newLeaf), nil},
		{"taken before", one, leaf(0x80, 3), nil},
		{"nothing", one, nil, ErrDeltaCut},
		{"hash cut", nil, hash[:20], ErrDeltaCut},
		{"leaf cut", one, leaf(0x80, 3)[:40], ErrDeltaCut},
		{"inner cut", one, inner(0), ErrDeltaCut},
		{"inner without depth", one, inner(0)[:1], ErrDeltaCut},
		{"other cut", nil, other(1, 0)[:50], ErrDeltaCut},
		{"left over", one, join(newLeaf, newLeaf), ErrDeltaLeft},
		{"unknown kind", one, []byte{5}, ErrDeltaKind},
		{"a key too few", two, newLeaf, ErrDeltaKeys},
		{"a key too many", []MapMember{slot(0x40, 9)}, join(inner(0), newLeaf, newLeaf), ErrDeltaKeys},
		{"new and not among the keys", one, join(inner(0), leaf(0x40, 5), newLeaf), ErrDeltaKeys},
		{"taken by a later entry", one, leaf(0x80, 9), ErrDeltaKeys},
		{"inner without keys", one, join(inner(0), hash, hash), ErrDeltaShape},
		{"inner after the last key", two, join(inner(0), join(inner(1), newLeaf, newLeaf), join(inner(1), hash, hash)), ErrDeltaShape},
		{"leaf on the wrong side", one, join(inner(0), newLeaf, leaf(0x40, 3)), ErrDeltaShape},
		{"inner above its place", one, join(inner(1), newLeaf, leaf(0x40, 3)), ErrDeltaShape},
		{"inner below its place", two, join(inner(1), newLeaf, newLeaf), ErrDeltaShape},
		{"depth does not grow", two, join(inner(0), join(inner(0), newLeaf, hash), newLeaf), ErrDeltaShape},
		{"other not deeper", one, join(inner(0), other(0, 0), newLeaf), ErrDeltaShape},
		{"prefix beyond its depth", one, join(inner(0), other(1, 0x40), newLeaf), ErrDeltaShape},
		{"other elsewhere", one, join(inner(0), other(2, 0x80), newLeaf), ErrDeltaShape},
		{"beside a hash", one, join(inner(0), hash, newLeaf), ErrDeltaHidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := ParseMapDelta(test.delta, 5, test.slots)
			if err == nil {
				_, err = d.Rewind(5)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
