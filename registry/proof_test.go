package registry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// testLog is a small log with the proofs of another implementation.
type testLog struct {
	hashes []tlog.Hash
	size   uint64
}

func (l *testLog) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func entryAt(n uint64) []byte { return fmt.Appendf(nil, "entry %d", n) }

func newTestLog(t *testing.T, size uint64) *testLog {
	l := &testLog{}
	for ; l.size < size; l.size++ {
		hs, err := tlog.StoredHashes(int64(l.size), entryAt(l.size), l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, hs...)
	}
	return l
}

func (l *testLog) root(t *testing.T, size uint64) Hash {
	h, err := tlog.TreeHash(int64(size), l)
	if err != nil {
		t.Fatal(err)
	}
	return Hash(h)
}

func fromTlog(hs []tlog.Hash) []Hash {
	var out []Hash
	for _, h := range hs {
		out = append(out, Hash(h))
	}
	return out
}

func TestInclusion(t *testing.T) {
	const size = 21
	l := newTestLog(t, size)
	root := l.root(t, size)
	for n := range uint64(size) {
		rp, err := tlog.ProveRecord(size, int64(n), l)
		if err != nil {
			t.Fatal(err)
		}
		proof := fromTlog(rp)
		if err := VerifyInclusion(entryAt(n), n, size, proof, root); err != nil {
			t.Errorf("entry %d: %v", n, err)
		}
		for _, c := range []struct {
			name        string
			entry       []byte
			index, size uint64
			proof       []Hash
			root        Hash
			want        error
		}{
			{"another entry", entryAt(n + 1), n, size, proof, root, ErrInclusion},
			{"another index", entryAt(n), (n + 1) % size, size, proof, root, ErrInclusion},
			{"another root", entryAt(n), n, size, proof, Hash{}, ErrInclusion},
			{"a hash too few", entryAt(n), n, size, proof[1:], root, ErrInclusion},
			{"a hash too many", entryAt(n), n, size, append(slices.Clone(proof), Hash{}), root, ErrInclusion},
			{"index is the size", entryAt(n), size, size, proof, root, ErrTreeSize},
			{"empty tree", entryAt(n), 0, 0, nil, root, ErrTreeSize},
			{"size no log reaches", entryAt(n), n, math.MaxUint64, proof, root, ErrTreeSize},
			{"size at the bound", entryAt(n), n, 1 << 62, proof, root, ErrInclusion},
		} {
			if err := VerifyInclusion(c.entry, c.index, c.size, c.proof, c.root); !errors.Is(err, c.want) {
				t.Errorf("entry %d, %s: got %v, want %v", n, c.name, err, c.want)
			}
		}
	}
}

func TestConsistency(t *testing.T) {
	const last = 21
	l := newTestLog(t, last)
	for b := uint64(1); b <= last; b++ {
		for a := uint64(1); a <= b; a++ {
			tp, err := tlog.ProveTree(int64(b), int64(a), l)
			if err != nil {
				t.Fatal(err)
			}
			proof := fromTlog(tp)
			rootA, rootB := l.root(t, a), l.root(t, b)
			if err := VerifyConsistency(a, b, rootA, rootB, proof); err != nil {
				t.Errorf("%d to %d: %v", a, b, err)
			}
			for name, err := range map[string]error{
				"another first root":  VerifyConsistency(a, b, Hash{}, rootB, proof),
				"another second root": VerifyConsistency(a, b, rootA, Hash{}, proof),
				"a hash too many":     VerifyConsistency(a, b, rootA, rootB, append(slices.Clone(proof), Hash{})),
			} {
				if !errors.Is(err, ErrConsistency) {
					t.Errorf("%d to %d, %s: got %v, want ErrConsistency", a, b, name, err)
				}
			}
			if a < b {
				if err := VerifyConsistency(b, a, rootB, rootA, proof); !errors.Is(err, ErrTreeSize) {
					t.Errorf("%d back to %d: got %v, want ErrTreeSize", b, a, err)
				}
			}
		}
	}
	root := l.root(t, last)
	for _, c := range []struct {
		name         string
		size1, size2 uint64
		root1, root2 Hash
		proof        []Hash
		want         error
	}{
		{"from the empty tree", 0, last, emptyTree, root, nil, nil},
		{"both empty", 0, 0, emptyTree, emptyTree, nil, nil},
		{"from the empty tree with a proof", 0, last, emptyTree, root, []Hash{{}}, ErrConsistency},
		{"from an empty tree with another root", 0, last, root, root, nil, ErrConsistency},
		{"to an empty tree with another root", 0, 0, emptyTree, root, nil, ErrConsistency},
		{"size no log reaches", 1, math.MaxUint64, root, root, nil, ErrTreeSize},
	} {
		if err := VerifyConsistency(c.size1, c.size2, c.root1, c.root2, c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRecordsPaths(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 5, 8, 13, 64, 100} {
		refs := make([]RecordRef, n)
		for i := range refs {
			refs[i] = RecordRef{Key{byte(i)}, Value{byte(n)}}
		}
		root, paths := RecordsRoot(refs), RecordsPaths(refs)
		if len(paths) != n {
			t.Fatalf("%d paths for %d records", len(paths), n)
		}
		for i, path := range paths {
			if err := VerifyRecordsPath(refs[i], i, n, path, root); err != nil {
				t.Errorf("record %d of %d: %v", i, n, err)
			}
		}
	}
}

func TestVerifyRecordsPath(t *testing.T) {
	refs := []RecordRef{{Key{1}, Value{1}}, {Key{2}, Value{2}}, {Key{3}, Value{3}}}
	root := RecordsRoot(refs)
	path := RecordsPaths(refs)[1]
	for _, c := range []struct {
		name            string
		ref             RecordRef
		position, count int
		want            error
	}{
		{"valid", refs[1], 1, 3, nil},
		{"another record", refs[0], 1, 3, ErrInclusion},
		{"another value", RecordRef{Key{2}, Value{9}}, 1, 3, ErrInclusion},
		{"another position", refs[1], 2, 3, ErrInclusion},
		{"negative position", refs[1], -1, 3, ErrTreeSize},
		{"negative count", refs[1], 1, -3, ErrTreeSize},
		{"position beyond count", refs[1], 3, 3, ErrTreeSize},
	} {
		if err := VerifyRecordsPath(c.ref, c.position, c.count, path, root); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}
