package prefixmap

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"akashi/registry"
)

func written(t interface{ Fatalf(string, ...any) }, s *Snapshot, covered uint64) []byte {
	var b bytes.Buffer
	if err := s.Write(&b, covered); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.Bytes()
}

func smallMap(keys int) *Map {
	m := New()
	for n := range keys {
		m.Insert(keyOf(n), uint64(n), registry.Value{byte(n)})
	}
	return m
}

// TestFileKeepsTheMap writes and reads maps, and goes on inserting: everything must be as if there had been no file.
func TestFileKeepsTheMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) registry.Key { return genKey(t, "key") }), 0, 40).Draw(t, "keys")
		at := rapid.IntRange(0, len(keys)).Draw(t, "saved after")
		m := New()
		for n, k := range keys[:at] {
			m.Insert(k, uint64(n), registry.Value{byte(n)})
		}
		again, covered, err := Read(bytes.NewReader(written(t, m.Snapshot(), uint64(at))))
		if err != nil || covered != uint64(at) {
			t.Fatalf("Read = %d, %v; want %d", covered, err, at)
		}
		for n, k := range keys { // those before the position once more: they must change nothing
			m.Insert(k, uint64(n), registry.Value{byte(n)})
			again.Insert(k, uint64(n), registry.Value{byte(n)})
		}
		a, b := m.Snapshot(), again.Snapshot()
		if a.Root() != b.Root() || a.Len() != b.Len() {
			t.Fatalf("got root %v of %d, want %v of %d", b.Root(), b.Len(), a.Root(), a.Len())
		}
		for _, k := range append(keys, registry.Key{}, registry.Key{0x80}) {
			if !bytes.Equal(a.Prove(k), b.Prove(k)) {
				t.Fatalf("another proof for %v", k)
			}
		}
	})
}

// TestFileBytes pins the layout.
func TestFileBytes(t *testing.T) {
	s := smallMap(2).Snapshot()
	want := append([]byte("akashi map\n"), 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2)
	root := s.Root()
	want = append(want, root[:]...)
	order := []int{0, 1}
	if a, b := keyOf(0), keyOf(1); bytes.Compare(a[:], b[:]) > 0 {
		slices.Reverse(order)
	}
	for _, n := range order {
		k, v := keyOf(n), registry.Value{byte(n)}
		want = append(binary.BigEndian.AppendUint64(append(want, k[:]...), uint64(n)), v[:]...)
	}
	sum := sha256.Sum256(want)
	if got := written(t, s, 9); !bytes.Equal(got, append(want, sum[:]...)) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// TestDamagedFile cuts a file at every length, turns over a bit of every byte, and spoils it in ways that the checksum does not show.
func TestDamagedFile(t *testing.T) {
	whole := written(t, smallMap(20).Snapshot(), 20)
	refused := func(what string, file []byte) {
		t.Helper()
		if m, _, err := Read(bytes.NewReader(file)); !errors.Is(err, ErrDamaged) || m != nil {
			t.Errorf("%s: Read = %v, %v; want ErrDamaged", what, m != nil, err)
		}
	}
	for n := range whole {
		refused("cut", whole[:n])
		spoiled := bytes.Clone(whole)
		spoiled[n] ^= 1 << (n % 8)
		refused("a bit turned over", spoiled)
	}
	refused("a byte more", append(bytes.Clone(whole), 0))
	refused("of zeros", make([]byte, len(whole)))

	const member0, index0 = 60, 60 + 32
	sealed := func(f func(body []byte) []byte) []byte {
		body := f(bytes.Clone(whole[:len(whole)-32]))
		sum := sha256.Sum256(body)
		return append(body, sum[:]...)
	}
	refused("another version", sealed(func(b []byte) []byte { b[11] = 2; return b }))
	refused("another root", sealed(func(b []byte) []byte { b[28]++; return b }))
	refused("another value", sealed(func(b []byte) []byte { b[index0+8]++; return b }))
	refused("a member that is not covered", sealed(func(b []byte) []byte { b[index0+7] = 20; return b }))
	refused("a member twice", sealed(func(b []byte) []byte { copy(b[member0+72:], b[member0:member0+72]); return b }))
	refused("a member less", sealed(func(b []byte) []byte { return b[:len(b)-72] }))
	refused("a huge count", sealed(func(b []byte) []byte { copy(b[20:], "\xff\xff\xff\xff\xff\xff\xff\xff"); return b }))
	if _, _, err := Read(bytes.NewReader(sealed(func(b []byte) []byte { return b }))); err != nil {
		t.Errorf("unspoiled: %v", err)
	}
}

// failingWriter takes n bytes and then no more, like a full disk.
type failingWriter struct{ n int }

var errFull = errors.New("no space left")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteFails(t *testing.T) {
	s := smallMap(20).Snapshot()
	size := len(written(t, s, 20))
	for n := range size {
		if err := s.Write(&failingWriter{n}, 20); !errors.Is(err, errFull) {
			t.Fatalf("with room for %d of %d bytes: %v", n, size, err)
		}
	}
	if err := s.Write(io.Discard, 19); err == nil {
		t.Error("a position below a member's index was written")
	}
}

func TestSaveAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map")
	if _, _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing = %v, want ErrNotExist", err)
	}
	if err := os.WriteFile(path+".new", []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []int{0, 3, 20} {
		s := smallMap(keys).Snapshot()
		if err := s.Save(path, uint64(keys)); err != nil {
			t.Fatal(err)
		}
		m, covered, err := Load(path)
		if err != nil || covered != uint64(keys) || m.Snapshot().Root() != s.Root() {
			t.Errorf("%d keys: covered %d, %v", keys, covered, err)
		}
	}
	if err := smallMap(5).Snapshot().Save(path, 4); err == nil {
		t.Error("Save of a wrong position succeeded")
	}
	if _, covered, err := Load(path); err != nil || covered != 20 {
		t.Errorf("after a Save that failed: %d, %v; want the file of before", covered, err)
	}
	if err := smallMap(1).Snapshot().Save(filepath.Join(path, "no folder"), 1); err == nil {
		t.Error("Save into a folder that is none succeeded")
	}
	if left, _ := filepath.Glob(path + "?*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzRead(f *testing.F) {
	for _, keys := range []int{0, 1, 5} {
		f.Add(written(f, smallMap(keys).Snapshot(), uint64(keys)))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, covered, err := Read(bytes.NewReader(file))
		if err == nil && !bytes.Equal(written(t, m.Snapshot(), covered), file) {
			t.Errorf("%x is written again otherwise", file)
		}
	})
}

// TestBuckets compares buckets with those worked out from the list of members alone.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) registry.Key { return genKey(t, "key") }), 0, 40).Draw(t, "keys")
		m, members := New(), []registry.MapMember(nil)
		for n, k := range keys {
			if m.Insert(k, uint64(n), registry.Value{1}) {
				members = append(members, registry.MapMember{Key: k, Index: uint64(n), Value: registry.Value{1}})
			}
		}
		registry.SortMembers(members)
		s := m.Snapshot()
		for range 10 {
			prefix, bits := genKey(t, "prefix"), rapid.IntRange(0, 256).Draw(t, "bits")
			got := s.Bucket(prefix, bits).Marshal()
			if _, err := registry.VerifyBucket(s.Root(), prefix, bits, got); err != nil {
				t.Fatalf("%d bits of %v: %v", bits, prefix, err)
			}
			if len(members) == 0 {
				continue
			}
			if want := registry.BucketBelow(prefix, bits, nil, nil, members).Marshal(); !bytes.Equal(got, want) {
				t.Fatalf("%d bits of %v:\ngot  %x\nwant %x", bits, prefix, got, want)
			}
		}
	})
}

// BenchmarkFile saves and loads a map of a million keys.
func BenchmarkFile(b *testing.B) {
	s := big().m.Snapshot()
	defer s.Release()
	path := filepath.Join(b.TempDir(), "map")
	var saving, loading time.Duration
	for b.Loop() {
		start := time.Now()
		if err := s.Save(path, 1<<62); err != nil {
			b.Fatal(err)
		}
		saved := time.Now()
		if _, _, err := Load(path); err != nil {
			b.Fatal(err)
		}
		saving, loading = saving+saved.Sub(start), loading+time.Since(saved)
	}
	b.ReportMetric(saving.Seconds()*1000/float64(b.N), "ms/save")
	b.ReportMetric(loading.Seconds()*1000/float64(b.N), "ms/load")
}
