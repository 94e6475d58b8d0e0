package bucketmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
)

// slotMap is what a user needs of either map, as it would declare it.
type slotMap interface {
	Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error)
	Insert(ctx context.Context, k registry.Key, i uint64, v registry.Value) (bool, error)
	Commit(ctx context.Context, covered uint64) (mapSnapshot, error)
}

type mapSnapshot interface {
	Root() registry.Hash
	Len() int
	Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error)
	Prove(ctx context.Context, k registry.Key) ([]byte, error)
	Bucket(ctx context.Context, prefix registry.Key, bits int) (*registry.Bucket, error)
	Retain() bool
	Release()
}

type memoryMap struct{ m *prefixmap.Map }

func (m memoryMap) Get(_ context.Context, k registry.Key) (uint64, registry.Value, bool, error) {
	i, v, ok := m.m.Get(k)
	return i, v, ok, nil
}

func (m memoryMap) Insert(_ context.Context, k registry.Key, i uint64, v registry.Value) (bool, error) {
	return m.m.Insert(k, i, v), nil
}

func (m memoryMap) Commit(context.Context, uint64) (mapSnapshot, error) {
	return memorySnapshot{m.m.Snapshot()}, nil
}

type memorySnapshot struct{ *prefixmap.Snapshot }

func (s memorySnapshot) Get(_ context.Context, k registry.Key) (uint64, registry.Value, bool, error) {
	i, v, ok := s.Snapshot.Get(k)
	return i, v, ok, nil
}

func (s memorySnapshot) Prove(_ context.Context, k registry.Key) ([]byte, error) {
	return s.Snapshot.Prove(k), nil
}

func (s memorySnapshot) Bucket(_ context.Context, prefix registry.Key, bits int) (*registry.Bucket, error) {
	return s.Snapshot.Bucket(prefix, bits), nil
}

type bucketMap struct{ *Map }

func (m bucketMap) Commit(ctx context.Context, covered uint64) (mapSnapshot, error) {
	return m.Map.Commit(ctx, covered)
}

var (
	_ slotMap     = memoryMap{}
	_ slotMap     = bucketMap{}
	_ mapSnapshot = (*Snapshot)(nil)
)

// naiveMap is the third implementation: the definition of roots and proofs, word by word, over a list in no order.
type naiveMap []registry.MapMember

func (set naiveMap) part() (d byte, zero, one naiveMap) {
	same := func(d byte) bool {
		return !slices.ContainsFunc(set, func(m registry.MapMember) bool { return m.Key.Bit(d) != set[0].Key.Bit(d) })
	}
	for same(d) {
		d++
	}
	for _, m := range set {
		if m.Key.Bit(d) == 0 {
			zero = append(zero, m)
		} else {
			one = append(one, m)
		}
	}
	return d, zero, one
}

func (set naiveMap) root() registry.Hash {
	switch len(set) {
	case 0:
		return registry.EmptyRoot()
	case 1:
		return registry.LeafHash(set[0].Key, set[0].Index, set[0].Value)
	}
	d, zero, one := set.part()
	return registry.InnerHash(d, set[0].Key, zero.root(), one.root())
}

func (set naiveMap) prove(k registry.Key) []byte {
	var p registry.MapProof
	for len(set) > 1 {
		d, zero, one := set.part()
		if set[0].Key.Prefix(d) != k.Prefix(d) {
			p.Kind, p.Depth, p.Prefix, p.Left, p.Right = registry.ProofInner, d, set[0].Key.Prefix(d), zero.root(), one.root()
			return p.Marshal()
		}
		mine, other := zero, one
		if k.Bit(d) == 1 {
			mine, other = one, zero
		}
		p.Depths, p.Siblings = append(p.Depths, d), append(p.Siblings, other.root())
		set = mine
	}
	if len(set) == 1 {
		p.Kind, p.Foreign, p.Index, p.Value = registry.ProofForeign, set[0].Key, set[0].Index, set[0].Value
		if p.Foreign == k {
			p.Kind = registry.ProofMember
		}
	}
	return p.Marshal()
}

// below returns the members whose index is below covered.
func (set naiveMap) below(covered uint64) naiveMap {
	return slices.DeleteFunc(slices.Clone(set), func(m registry.MapMember) bool { return m.Index >= covered })
}

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

type fataler interface{ Fatalf(string, ...any) }

func mustOpen(t fataler, s store.Store, size int) *Map {
	m, err := Open(ctx, s, Options{BucketSize: size})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	m.perUpdate = 400
	return m
}

// checkSnapshots compares snapshots of all three maps over the same set, for the members and other keys, to the octet.
func checkSnapshots(t fataler, got mapSnapshot, memory mapSnapshot, set naiveMap, asked []registry.Key) {
	root := set.root()
	if got.Root() != root || memory.Root() != root || got.Len() != len(set) || memory.Len() != len(set) {
		t.Fatalf("of %d members: root %v of %d and %v of %d, want %v", len(set), got.Root(), got.Len(), memory.Root(), memory.Len(), root)
	}
	for _, k := range asked {
		proof, err := got.Prove(ctx, k)
		inMemory, _ := memory.Prove(ctx, k)
		if want := set.prove(k); err != nil || !bytes.Equal(proof, want) || !bytes.Equal(inMemory, want) {
			t.Fatalf("the proofs for %v among %d are\n%x (%v)\n%x, want\n%x", k, len(set), proof, err, inMemory, want)
		}
		i, v, ok, err := got.Get(ctx, k)
		mi, mv, mok, _ := memory.Get(ctx, k)
		at := slices.IndexFunc(set, func(m registry.MapMember) bool { return m.Key == k })
		if err != nil || ok != (at >= 0) || ok && (set[at] != registry.MapMember{Key: k, Index: i, Value: v}) || mi != i || mv != v || mok != ok {
			t.Fatalf("Get(%v) = %d %v %v %v, in memory %d %v %v", k, i, v, ok, err, mi, mv, mok)
		}
		for _, bits := range []int{0, 1, 3, 8, int(k[31]), 255, 256} {
			b, err := got.Bucket(ctx, k, bits)
			if err != nil {
				t.Fatalf("Bucket of %d bits of %v: %v", bits, k, err)
			}
			m, _ := memory.Bucket(ctx, k, bits)
			if !bytes.Equal(b.Marshal(), m.Marshal()) {
				t.Fatalf("the buckets of %d bits of %v are\n%x\n%x", bits, k, b.Marshal(), m.Marshal())
			}
			if _, err := registry.VerifyBucket(root, k, bits, b.Marshal()); err != nil {
				t.Fatalf("the bucket of %d bits of %v: %v", bits, k, err)
			}
		}
	}
}

// sameMaps plays random sets in random epochs against all three maps. In between the store is opened again, and entries come again.
func sameMaps(t *rapid.T, open func() store.Store, reopen func(store.Store) store.Store) {
	type version struct {
		covered     uint64
		got, memory mapSnapshot
	}
	size := rapid.IntRange(1, 4).Draw(t, "bucket size")
	s := open()
	defer func() { _ = s.Close() }()
	m, memory := slotMap(bucketMap{mustOpen(t, s, size)}), slotMap(memoryMap{prefixmap.New()})
	var set naiveMap
	var log []registry.Key // key of each entry
	asked := []registry.Key{{}, {0x80}}
	var versions []version
	for range rapid.IntRange(1, 12).Draw(t, "epochs") {
		for range rapid.IntRange(0, 12).Draw(t, "entries") {
			k, i := genKey(t, "key"), uint64(len(log))
			log, asked = append(log, k), append(asked, k)
			vacant := !slices.ContainsFunc(set, func(m registry.MapMember) bool { return m.Key == k })
			e := registry.MapMember{Key: k, Index: i, Value: registry.Value{byte(i)}}
			for name, m := range map[string]slotMap{"buckets": m, "memory": memory} {
				if ok, err := m.Insert(ctx, k, i, e.Value); ok != vacant || err != nil {
					t.Fatalf("%s: Insert = %v, %v; want %v", name, ok, err, vacant)
				}
				if _, _, ok, err := m.Get(ctx, k); !ok || err != nil {
					t.Fatalf("%s: Get after Insert = %v, %v", name, ok, err)
				}
			}
			if vacant {
				set = append(set, e)
			}
		}
		covered := uint64(len(log))
		got, err := m.Commit(ctx, covered)
		if err != nil {
			t.Fatalf("Commit: %v", err)
		}
		inMemory, _ := memory.Commit(ctx, covered)
		versions = append(versions, version{covered, got, inMemory})
		checkSnapshots(t, got, inMemory, set, asked)
		if rapid.IntRange(0, 3).Draw(t, "reopen") == 0 {
			s = reopen(s)
			again := mustOpen(t, s, size)
			if again.Covered() != covered {
				t.Fatalf("Covered after opening again = %d, want %d", again.Covered(), covered)
			}
			m = bucketMap{again}
			for n := rapid.IntRange(0, len(log)).Draw(t, "replay from"); n < len(log); n++ {
				if ok, err := m.Insert(ctx, log[n], uint64(n), registry.Value{byte(n)}); ok || err != nil {
					t.Fatalf("Insert of an entry that came before = %v, %v", ok, err)
				}
			}
			for v := range versions { // snapshots of before live on in their own positions
				if versions[v].got, err = again.At(ctx, versions[v].covered); err != nil {
					t.Fatalf("At(%d): %v", versions[v].covered, err)
				}
			}
		}
	}
	for _, v := range versions {
		checkSnapshots(t, v.got, v.memory, set.below(v.covered), asked)
	}
}

func TestSameMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sameMaps(t, store.NewMemory, func(s store.Store) store.Store { return s })
	})
}

func TestSameMapsOnDisk(t *testing.T) {
	dir := t.TempDir()
	n := 0
	open := func(t *rapid.T) store.Store {
		s, err := store.OpenBadger(fmt.Sprint(dir, "/", n), nil, nil)
		if err != nil {
			t.Fatalf("OpenBadger: %v", err)
		}
		return s
	}
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		if runs++; runs > 6 {
			return // a database takes longer to open than a hundred keys to insert
		}
		n++
		sameMaps(t, func() store.Store { return open(t) }, func(s store.Store) store.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return open(t)
		})
	})
}

// numbered inserts the members first ... end-1 and commits them.
func numbered(t testing.TB, m *Map, first, end int) *Snapshot {
	t.Helper()
	for n := first; n < end; n++ {
		if ok, err := m.Insert(ctx, keyOf(n), uint64(n), registry.Value{byte(n)}); !ok || err != nil {
			t.Fatalf("Insert of %d = %v, %v", n, ok, err)
		}
	}
	s, err := m.Commit(ctx, uint64(end))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func numberedRoot(end int) registry.Hash {
	m := prefixmap.New()
	for n := range end {
		m.Insert(keyOf(n), uint64(n), registry.Value{byte(n)})
	}
	return m.Snapshot().Root()
}

// TestLargeFirstEpoch inserts more than one pass takes into a map where one bucket, or none, is split into all others.
func TestLargeFirstEpoch(t *testing.T) {
	for _, first := range []int{0, 5} {
		s := store.NewMemory()
		m, err := Open(ctx, s, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if first > 0 {
			numbered(t, m, 0, first)
		}
		const end = 3*membersPerPass + 7
		if got, want := numbered(t, m, first, end).Root(), numberedRoot(end); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		again, err := Open(ctx, s, Options{BucketSize: 3})
		if err != nil {
			t.Fatal(err)
		}
		if again.Covered() != end || again.Len() != end || again.Snapshot().Root() != m.Snapshot().Root() {
			t.Errorf("opened again: %d of %d keys", again.Covered(), again.Len())
		}
		if got, want := numbered(t, again, end, end+100).Root(), numberedRoot(end+100); got != want {
			t.Errorf("with smaller buckets: got %v, want %v", got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	s := store.NewMemory()
	for _, size := range []int{-1, 57} {
		if _, err := Open(ctx, s, Options{BucketSize: size}); err == nil {
			t.Errorf("buckets of %d members were accepted", size)
		}
	}
	m := mustOpen(t, s, 2)
	numbered(t, m, 0, 10)
	if _, err := m.Insert(ctx, keyOf(100), 9, registry.Value{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("an entry that should be there: %v, want ErrDamaged", err)
	}
	if _, err := m.Insert(ctx, keyOf(5), 4, registry.Value{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a member with an earlier index: %v, want ErrDamaged", err)
	}
	if _, err := m.Commit(ctx, 9); err == nil {
		t.Error("an earlier position was committed")
	}
	if _, err := m.At(ctx, 11); err == nil {
		t.Error("a later version was given")
	}
	if _, err := m.Insert(ctx, keyOf(10), 10, registry.Value{10}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Commit(ctx, 10); err == nil {
		t.Error("a position below an entry was committed")
	}
	if got, err := m.Commit(ctx, 11); err != nil || got.Root() != numberedRoot(11) || m.Len() != 11 {
		t.Errorf("after the refusals: %v", err)
	}
}

// TestDamage spoils each value in the store. The map must not open or, where only the members of a bucket are wrong, say nothing about
// them; after erasing it is as new.
func TestDamage(t *testing.T) {
	fill := func() store.Store {
		s := store.NewMemory()
		numbered(t, mustOpen(t, s, 3), 0, 12)
		return s
	}
	keys, err := someKeys(ctx, fill())
	if err != nil || len(keys) < 9 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		for name, spoil := range map[string]func([]byte) []byte{
			"a bit":   func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
			"cut":     func(b []byte) []byte { return b[:len(b)-1] },
			"version": func(b []byte) []byte { b[0]++; return b },
			"gone":    func([]byte) []byte { return nil },
		} {
			s := fill()
			err := s.Update(ctx, func(tx store.Tx) error {
				b, err := tx.Get(key)
				if err != nil {
					return err
				}
				if b = spoil(b); b == nil {
					return tx.Delete(key)
				}
				return tx.Set(key, b)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := usable(s); !errors.Is(err, ErrDamaged) && !(name == "gone" && string(key) == keyState) {
				t.Errorf("%q, %s: %v, want ErrDamaged", key, name, err)
			}
			if err := Erase(ctx, s); err != nil {
				t.Fatal(err)
			}
			if got := numbered(t, mustOpen(t, s, 3), 0, 12).Root(); got != numberedRoot(12) {
				t.Errorf("%q, %s: another root after building it anew", key, name)
			}
		}
	}
	s := fill()
	err = s.Update(ctx, func(tx store.Tx) error {
		return tx.Set(append([]byte(keyTop), bytes.Repeat([]byte{1}, 257)...), marshalTop(&node{count: 1}))
	})
	if err := errors.Join(err, usable(s)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a path of 257 bits: %v", err)
	}
	err = s.Update(ctx, func(tx store.Tx) error { return tx.Set([]byte(keyTop), marshalTop(&node{count: 1})) })
	if err := errors.Join(err, usable(s)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a bucket around all others: %v", err)
	}
}

// usable opens the map and asks for everything in it.
func usable(s store.Store) error {
	m, err := Open(ctx, s, Options{})
	if err != nil {
		return err
	}
	for n := range 12 {
		_, _, ok, getErr := m.Snapshot().Get(ctx, keyOf(n))
		if getErr == nil && !ok {
			return fmt.Errorf("member %d is said to be absent", n)
		}
		_, proveErr := m.Snapshot().Prove(ctx, keyOf(n))
		err = errors.Join(err, getErr, proveErr)
	}
	return err
}

// TestReadersWhileWriting reads from versions of the map that are replaced all the time, on disk.
func TestReadersWhileWriting(t *testing.T) {
	s, err := store.OpenBadger(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := mustOpen(t, s, 4)
	first := numbered(t, m, 0, 10)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			for n := r; ; n += 7 {
				select {
				case <-stop:
					return
				default:
				}
				for _, s := range []*Snapshot{first, m.Snapshot()} {
					k := keyOf(n % 1000)
					proof, err := s.Prove(ctx, k)
					if err != nil {
						t.Errorf("Prove: %v", err)
						return
					}
					if uint64(n%1000) < s.Covered() {
						_, _, err = registry.VerifyMember(s.Root(), k, proof)
					} else {
						err = registry.VerifyAbsent(s.Root(), k, proof)
					}
					if err != nil {
						t.Errorf("key %d at %d: %v", n%1000, s.Covered(), err)
						return
					}
				}
			}
		})
	}
	for n := 10; n < 1000; n += 30 {
		numbered(t, m, n, n+30)
	}
	close(stop)
	readers.Wait()
	if first.Root() != numberedRoot(10) {
		t.Error("the first version has another root")
	}
}
