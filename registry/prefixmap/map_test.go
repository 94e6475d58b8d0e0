package prefixmap

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"akashi/registry"
)

type member struct {
	k registry.Key
	i uint64
	v registry.Value
}

// naiveRoot is the definition of the map's root, word by word: the oracle for the trie.
func naiveRoot(set []member) registry.Hash {
	switch len(set) {
	case 0:
		return registry.EmptyRoot()
	case 1:
		return registry.LeafHash(set[0].k, set[0].i, set[0].v)
	}
	d := 0
	for same := true; same; {
		for _, m := range set {
			same = same && bitOf(m.k, d) == bitOf(set[0].k, d)
		}
		if same {
			d++
		}
	}
	var zero, one []member
	var prefix registry.Key
	for j := range d {
		prefix[j/8] |= bitOf(set[0].k, j) << (7 - j%8)
	}
	for _, m := range set {
		if bitOf(m.k, d) == 0 {
			zero = append(zero, m)
		} else {
			one = append(one, m)
		}
	}
	left, right := naiveRoot(zero), naiveRoot(one)
	h := sha256.New()
	h.Write([]byte{1, byte(d)})
	h.Write(prefix[:])
	h.Write(left[:])
	h.Write(right[:])
	return registry.Hash(h.Sum(nil))
}

func bitOf(k registry.Key, d int) byte { return k[d/8] >> (7 - d%8) & 1 }

// genKey makes keys that often share long prefixes, so that every depth and every kind of ending occurs.
func genKey(t *rapid.T, label string) registry.Key {
	var k registry.Key
	if rapid.Bool().Draw(t, label+" base") {
		for i := range k {
			k[i] = 0xff
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, label+" flips") {
		d := rapid.IntRange(0, 255).Draw(t, label+" bit")
		k[d/8] ^= 0x80 >> (d % 8)
	}
	if rapid.Bool().Draw(t, label+" low") {
		k[31] ^= rapid.Byte().Draw(t, label+" last")
	}
	return k
}

// checkBothWays proves that a member is present and not absent, and of any other key the reverse.
func checkBothWays(t interface{ Fatalf(string, ...any) }, s *Snapshot, k registry.Key, want *member) {
	proof := s.Prove(k)
	i, v, memberErr := registry.VerifyMember(s.Root(), k, proof)
	absentErr := registry.VerifyAbsent(s.Root(), k, proof)
	gi, gv, ok := s.Get(k)
	if want == nil {
		if absentErr != nil || memberErr == nil || ok {
			t.Fatalf("%v: VerifyAbsent = %v, VerifyMember = %v, Get = %v; want an absence", k, absentErr, memberErr, ok)
		}
		return
	}
	if memberErr != nil || absentErr == nil || !ok {
		t.Fatalf("%v: VerifyMember = %v, VerifyAbsent = %v, Get = %v; want a member", k, memberErr, absentErr, ok)
	}
	if i != want.i || v != want.v || gi != want.i || gv != want.v {
		t.Fatalf("%v: got %d %v and %d %v, want %d %v", k, i, v, gi, gv, want.i, want.v)
	}
}

func TestEveryKeyBothWaysAfterEachInsert(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		universe := make([]registry.Key, rapid.IntRange(1, 24).Draw(t, "keys"))
		for j := range universe {
			universe[j] = genKey(t, "key")
		}
		m, set, at := New(), []member(nil), map[registry.Key]*member{}
		for n, k := range universe {
			e := member{k, uint64(n), registry.Value{byte(n)}}
			vacant := at[k] == nil
			if got := m.Insert(k, e.i, e.v); got != vacant {
				t.Fatalf("Insert = %v, want %v", got, vacant)
			}
			if vacant {
				set, at[k] = append(set, e), &e
			}
			s := m.Snapshot()
			if got, want := s.Root(), naiveRoot(set); got != want {
				t.Fatalf("root after %d inserts: got %v, want %v", n+1, got, want)
			}
			if s.Len() != len(set) || m.Len() != len(set) {
				t.Fatalf("Len = %d and %d, want %d", s.Len(), m.Len(), len(set))
			}
			for _, k := range universe {
				checkBothWays(t, s, k, at[k])
			}
			s.Release()
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) registry.Key { return genKey(t, "key") }), 1, 40,
			func(k registry.Key) registry.Key { return k }).Draw(t, "set")
		order := rapid.Permutation(keys).Draw(t, "order")
		a, b := New(), New()
		for _, k := range keys {
			a.Insert(k, uint64(k[0]), registry.Value(k))
		}
		for _, k := range order {
			b.Insert(k, uint64(k[0]), registry.Value(k))
			if rapid.Bool().Draw(t, "close an epoch") {
				b.Snapshot().Release()
			}
		}
		if got, want := b.Snapshot().Root(), a.Snapshot().Root(); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// TestSnapshotsStay takes and releases snapshots in any order between inserts; each must go on saying what it said, and a map whose
// snapshots are gone must not hold more nodes than it needs.
func TestSnapshotsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type held struct {
			s   *Snapshot
			set []member
		}
		m, set, at := New(), []member(nil), map[registry.Key]*member{}
		var live []held
		for n := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				e := member{genKey(t, "key"), uint64(n), registry.Value{byte(n)}}
				if m.Insert(e.k, e.i, e.v) {
					set, at[e.k] = append(set, e), &e
				}
			case 2:
				live = append(live, held{m.Snapshot(), set})
			case 3:
				if len(live) > 0 {
					j := rapid.IntRange(0, len(live)-1).Draw(t, "which")
					live[j].s.Release()
					live = append(live[:j:j], live[j+1:]...)
				}
			}
			for _, h := range live {
				if got, want := h.s.Root(), naiveRoot(h.set); got != want {
					t.Fatalf("a snapshot of %d keys has another root", len(h.set))
				}
				for j := range set {
					var want *member
					if j < len(h.set) {
						want = &set[j]
					}
					checkBothWays(t, h.s, set[j].k, want)
				}
			}
		}
		for _, h := range live {
			h.s.Release()
		}
		needed := max(len(set)-1, 0)
		if got := int(m.arena.innerUsed) - len(m.free); got != needed {
			t.Fatalf("%d nodes in use with no snapshot left, want %d", got, needed)
		}
		if len(m.dead) != 0 || len(m.snapshots) != 0 {
			t.Fatalf("%d dead nodes and %d snapshots remain", len(m.dead), len(m.snapshots))
		}
	})
}

// TestReadersWhileWriting runs proofs on snapshots that are replaced all the time. The race detector judges with it.
func TestReadersWhileWriting(t *testing.T) {
	m := New()
	var mu sync.Mutex
	current := m.Snapshot()
	newest := func() *Snapshot {
		mu.Lock()
		defer mu.Unlock()
		if !current.Retain() {
			t.Error("the current snapshot is gone")
		}
		return current
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(r)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := newest()
				n := random.IntN(4000)
				k := keyOf(n)
				if n < s.Len() {
					checkBothWays(failer{t}, s, k, &member{k, uint64(n), registry.Value(k)})
				} else {
					checkBothWays(failer{t}, s, k, nil)
				}
				s.Release()
			}
		})
	}
	for n := range 4000 {
		m.Insert(keyOf(n), uint64(n), registry.Value(keyOf(n)))
		if n%40 == 39 {
			s := m.Snapshot()
			mu.Lock()
			old := current
			current = s
			mu.Unlock()
			old.Release()
		}
	}
	close(stop)
	readers.Wait()
	if old := current; old.Retain() {
		old.Release()
		old.Release()
		if old.Retain() {
			t.Error("Retain after the last Release = true, want false")
		}
		old.Release() // does nothing
	}
}

// failer reports from a goroutine that is not the test's.
type failer struct{ t *testing.T }

func (f failer) Fatalf(format string, args ...any) { f.t.Errorf(format, args...) }

func keyOf(n int) registry.Key {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func TestGetSeesWhatNoSnapshotHas(t *testing.T) {
	m := New()
	k := keyOf(1)
	s := m.Snapshot()
	if !m.Insert(k, 7, registry.Value{1}) || m.Insert(k, 8, registry.Value{2}) {
		t.Fatal("the first write must win, and only it")
	}
	if i, v, ok := m.Get(k); !ok || i != 7 || v != (registry.Value{1}) {
		t.Errorf("Map.Get = %d %v %v", i, v, ok)
	}
	if _, _, ok := s.Get(k); ok {
		t.Error("an older snapshot shows a later insert")
	}
	if _, _, ok := m.Get(keyOf(2)); ok {
		t.Error("Get of another key = true")
	}
}
