package prefixmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"akashi/registry"
)

// grown is a map that has grown from one position of a log to a later one.
type grown struct {
	before, after registry.Hash
	from          uint64
	slots         []registry.MapMember // slot entries from there on, second writes among them
	delta         []byte
	roots         []registry.Hash // before each of the slots
}

// grow makes a map of old entries and adds more. Keys have few bits that differ, so that they part in all ways, and some come twice.
func grow(t testing.TB, old, more int, rnd *rand.Rand) grown {
	m := New()
	key := func() (k registry.Key) {
		binary.BigEndian.PutUint16(k[rnd.IntN(3):], uint16(rnd.IntN(1<<rnd.IntN(13))))
		return k
	}
	index := uint64(0)
	add := func() registry.MapMember {
		e := registry.MapMember{Key: key(), Index: index, Value: registry.Value{byte(rnd.IntN(256)), byte(index)}}
		m.Insert(e.Key, e.Index, e.Value)
		index++
		return e
	}
	root := func() registry.Hash {
		s := m.Snapshot()
		defer s.Release()
		return s.Root()
	}
	for range old {
		add()
	}
	g := grown{before: root(), from: index}
	for range more {
		g.roots = append(g.roots, root())
		g.slots = append(g.slots, add())
	}
	s := m.Snapshot()
	defer s.Release()
	g.after = s.Root()
	var err error
	if g.delta, err = registry.MakeMapDelta(g.from, g.slots, func(k registry.Key) ([]byte, error) { return s.Prove(k), nil }); err != nil {
		t.Fatal(err)
	}
	return g
}

// check reads a delta and rewinds it entry by entry.
func (g grown) check(delta []byte) error {
	d, err := registry.ParseMapDelta(delta, g.from, g.slots)
	if err != nil {
		return err
	}
	if d.Root() != g.after {
		return errors.New("another root at the end")
	}
	for i := len(g.slots) - 1; i >= 0; i-- {
		root, err := d.Rewind(g.slots[i].Index)
		if err != nil {
			return err
		}
		if root != g.roots[i] {
			return errors.New("another root on the way")
		}
	}
	if d.Root() != g.before || d.Added() != 0 {
		return errors.New("another root at the beginning")
	}
	return nil
}

func TestDelta(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		g := grow(t, rapid.IntRange(0, 60).Draw(rt, "old"), rapid.IntRange(0, 40).Draw(rt, "more"), rand.New(rand.NewPCG(seed, 1)))
		if err := g.check(g.delta); err != nil {
			rt.Fatal(err)
		}
	})
}

// No change of a delta makes it lead from the same root to another one: that is what it is for.
func TestDeltaMutated(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	n := 5000
	if testing.Short() {
		n = 1000
	}
	for range n {
		g := grow(t, 1+rnd.IntN(20), 1+rnd.IntN(6), rnd)
		bad := mutate(g.delta, rnd)
		if bytes.Equal(bad, g.delta) {
			continue
		}
		d, err := registry.ParseMapDelta(bad, g.from, g.slots)
		if err != nil {
			continue
		}
		after := d.Root()
		before, err := d.Rewind(g.from)
		if err == nil && before == g.before && after != g.after {
			t.Fatalf("delta %x\nchanged %x leads to another root", g.delta, bad)
		}
	}
}

// mutate changes a byte, repeats, cuts or exchanges parts.
func mutate(b []byte, rnd *rand.Rand) []byte {
	b = bytes.Clone(b)
	i, j := rnd.IntN(len(b)), rnd.IntN(len(b))
	switch rnd.IntN(4) {
	case 0:
		b[i] ^= 1 << rnd.IntN(8)
	case 1:
		b[i] = byte(rnd.IntN(6))
	case 2:
		b = append(b[:i], b[min(len(b), i+rnd.IntN(40)):]...)
	case 3:
		n := min(33, len(b)-max(i, j))
		part := bytes.Clone(b[i : i+n])
		copy(b[i:i+n], b[j:j+n])
		copy(b[j:j+n], part)
	}
	return b
}

// A new leaf put in one bit too high or too low, beside a part whose prefix is not told, would lead back to the right root as well.
func TestDeltaHidden(t *testing.T) {
	m := New()
	old := registry.Key{0x80}
	one := registry.Value{1}
	m.Insert(old, 0, one)
	before := m.Snapshot()
	defer before.Release()
	added := registry.MapMember{Key: registry.Key{0x81}, Index: 1, Value: registry.Value{2}}
	for depth := range byte(16) {
		root := before.Root()
		hash := append([]byte{0x00}, root[:]...)
		leaf := append(append([]byte{0x02}, old[:]...), append(make([]byte, 8), one[:]...)...)
		for name, part := range map[string][]byte{"hash": hash, "leaf": leaf} {
			delta := append([]byte{0x03, depth}, part...)
			delta = append(delta, 0x01)
			if added.Key.Bit(depth) == 0 {
				delta = append([]byte{0x03, depth, 0x01}, part...)
			}
			d, err := registry.ParseMapDelta(delta, 1, []registry.MapMember{added})
			if err == nil {
				_, err = d.Rewind(1)
			}
			if ok := name == "leaf" && depth == 7; ok != (err == nil) {
				t.Errorf("%s beside a leaf parted at bit %d: %v", name, depth, err)
			}
		}
	}
}

func FuzzDelta(f *testing.F) {
	var maps []grown
	for seed := range uint64(4) {
		g := grow(f, int(seed)*7, int(seed)*3, rand.New(rand.NewPCG(seed, 3)))
		f.Add(g.delta, seed)
		maps = append(maps, g)
	}
	f.Fuzz(func(t *testing.T, delta []byte, seed uint64) {
		g := maps[seed%4]
		d, err := registry.ParseMapDelta(delta, g.from, g.slots)
		if err != nil {
			return
		}
		after := d.Root()
		if before, err := d.Rewind(g.from); err == nil && before == g.before && after != g.after {
			t.Fatal("leads to another root")
		}
	})
}
