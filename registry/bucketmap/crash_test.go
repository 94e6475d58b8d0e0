package bucketmap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
)

// entryOf returns the slot entry that the test log has at index i; ok is false for one of another kind. Some want a slot that is taken.
func entryOf(i uint64) (k registry.Key, v registry.Value, ok bool) {
	n := i
	if i%11 == 10 {
		n = i / 2
	}
	return keyOf(int(n)), registry.Value{byte(i)}, i%7 != 6
}

// referenceRoot returns the root over the first size entries of the test log.
func referenceRoot(size uint64) registry.Hash {
	m := prefixmap.New()
	for i := range size {
		if k, v, ok := entryOf(i); ok {
			m.Insert(k, i, v)
		}
	}
	return m.Snapshot().Root()
}

// play brings the map from where it is to size, in epochs. After each, and before the first, it calls done.
func play(m *Map, size, epoch uint64, done func(*Snapshot) error) error {
	for {
		if err := done(m.Snapshot()); err != nil || m.Covered() >= size {
			return err
		}
		first := m.Covered()
		end := min(first-first%epoch+epoch, size)
		for i := first; i < end; i++ {
			k, v, ok := entryOf(i)
			if !ok {
				continue
			}
			if _, err := m.Insert(ctx, k, i, v); err != nil {
				return err
			}
		}
		if _, err := m.Commit(ctx, end); err != nil {
			return err
		}
	}
}

// failingStore fails one update: before it has done anything or after it has done everything.
type failingStore struct {
	store.Store
	at    int // which one, counted down
	after bool
}

var errFull = errors.New("no space left")

func (s *failingStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.at--; s.at != 0 {
		return s.Store.Update(ctx, fn)
	}
	if s.after {
		return errors.Join(errFull, s.Store.Update(ctx, fn))
	}
	return errFull
}

// TestEveryUpdateFails lets each update of a run fail in turn, before and after it was stored. The map is then used on in the same
// process, with the same epoch or a longer one, or opened again as after a crash; in both cases it must end where it would have.
func TestEveryUpdateFails(t *testing.T) {
	const size, epoch = 90, 20
	want := referenceRoot(size)
	for _, after := range []bool{false, true} {
		for _, then := range []string{"again", "longer epoch", "opened again"} {
			failed := 0
			for at := 1; ; at++ {
				s := &failingStore{Store: store.NewMemory(), at: at, after: after}
				m, err := Open(ctx, s, Options{BucketSize: 2})
				if err != nil {
					t.Fatal(err)
				}
				m.perUpdate = 500
				held := []*Snapshot{}
				hold := func(s *Snapshot) error { held = append(held, s); return nil }
				err = play(m, size, epoch, hold)
				if err == nil {
					break // every update has had its turn
				}
				failed++
				if !errors.Is(err, errFull) {
					t.Fatalf("update %d: %v", at, err)
				}
				if root := m.Snapshot().Root(); root != referenceRoot(m.Covered()) {
					t.Fatalf("update %d failed: the map covers %d entries but has another root", at, m.Covered())
				}
				next := uint64(epoch)
				switch then {
				case "longer epoch":
					next = 100
				case "opened again":
					if m, err = Open(ctx, s, Options{BucketSize: 2}); err != nil {
						t.Fatalf("update %d: opening again: %v", at, err)
					}
					if root := m.Snapshot().Root(); root != referenceRoot(m.Covered()) {
						t.Fatalf("update %d: opened again, the map covers %d entries but has another root", at, m.Covered())
					}
				}
				if err := play(m, size, next, hold); err != nil || m.Snapshot().Root() != want {
					t.Fatalf("update %d, %s: covered %d, %v; want another root", at, then, m.Covered(), err)
				}
				again, err := Open(ctx, s, Options{})
				if err != nil || again.Snapshot().Root() != want {
					t.Fatalf("update %d, %s: opened at the end: %v", at, then, err)
				}
				for _, s := range held {
					checkHeld(t, s, size)
				}
			}
			if failed < 20 {
				t.Errorf("%d updates failed in turn, want many", failed)
			}
		}
	}
}

// checkHeld proves every key of the test log in a version of before.
func checkHeld(t *testing.T, s *Snapshot, size uint64) {
	t.Helper()
	for i := range size {
		k, _, _ := entryOf(i)
		proof, err := s.Prove(ctx, k)
		_, _, ok, getErr := s.Get(ctx, k)
		if err != nil || getErr != nil {
			t.Fatalf("a version of before, key of entry %d: %v, %v", i, err, getErr)
		}
		if _, _, err := registry.VerifyMember(s.Root(), k, proof); ok != (err == nil) {
			t.Fatalf("a version of before, key of entry %d: Get says %v, the proof %v", i, ok, err)
		}
	}
}

// The test of kills runs the test's own program once more with this variable naming a folder, to be killed.
const (
	childVariable = "AKASHI_TEST_BUCKETMAP"

	childSize  = 400_000
	childEpoch = 97
)

// child opens the map in the folder, writes epochs, and the map in memory to a file beside it, until it is done or killed.
func child(dir string) error {
	s, err := store.OpenBadger(filepath.Join(dir, "store"), nil, nil)
	if err != nil {
		return err
	}
	m, err := Open(ctx, s, Options{})
	if err != nil {
		return err
	}
	m.perUpdate = 20 << 10
	memory := prefixmap.New()
	next := uint64(0)
	fmt.Println("ready")
	err = play(m, childSize, childEpoch, func(s *Snapshot) error {
		for ; next < s.Covered(); next++ {
			if k, v, ok := entryOf(next); ok {
				memory.Insert(k, next, v)
			}
		}
		snap := memory.Snapshot()
		defer snap.Release()
		return snap.Save(filepath.Join(dir, "map"), s.Covered())
	})
	return errors.Join(err, s.Close())
}

// runChild starts the child and kills it some time after it is ready. It returns false when the child came to its end before.
func runChild(t *testing.T, dir string, after time.Duration) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child did not start: %v\n%s", cmd.Wait(), said.String())
	}
	time.Sleep(after)
	_ = cmd.Process.Kill()
	err = cmd.Wait()
	if err != nil && cmd.ProcessState.Exited() {
		t.Fatalf("the child failed: %v\n%s", err, said.String())
	}
	return err != nil
}

// TestKill kills a process that writes epochs, again and again, at moments that differ. After each kill the map must have the root of
// what it says it covers, and the file of the map in memory too; in the end a replay leads where an undisturbed run does. With
// AKASHI_LONG set it is 200 kills.
func TestKill(t *testing.T) {
	kills := 20
	switch {
	case os.Getenv("AKASHI_LONG") != "":
		kills = 200
	case testing.Short():
		kills = 3
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	unfinished, advanced, last := 0, 0, uint64(0)
	for n := 0; n < kills || advanced == 0; n++ {
		life := time.Duration(random.IntN(60_000)) * time.Microsecond
		if n >= kills { // too short for this machine
			life *= 1 << min(n-kills, 10)
		}
		if !runChild(t, dir, life) {
			t.Fatal("the child came to its end: the test log is too short for so many kills")
		}
		covered, torn := checkKilled(t, dir)
		if torn {
			unfinished++
		}
		if covered > last {
			advanced++
		}
		last = covered
	}
	t.Logf("%d kills, %d in the middle of an epoch; %d entries covered", kills, unfinished, last)
	s, err := store.OpenBadger(filepath.Join(dir, "store"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := Open(ctx, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	size := last + 3000
	if err := play(m, size, 1000, func(*Snapshot) error { return nil }); err != nil || m.Snapshot().Root() != referenceRoot(size) {
		t.Errorf("after the replay: %v, want the root of an undisturbed run", err)
	}
}

// checkKilled checks what a killed process left. It returns how far the map goes and whether there was more, of an epoch cut off.
func checkKilled(t *testing.T, dir string) (covered uint64, torn bool) {
	t.Helper()
	s, err := store.OpenBadger(filepath.Join(dir, "store"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := loader{m: &Map{store: s}}
	buckets, err := l.read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		torn = torn || b.node.newest >= l.state.covered
	}
	m, err := Open(ctx, s, Options{})
	if err != nil {
		t.Fatalf("after a kill: %v", err)
	}
	if m.Snapshot().Root() != referenceRoot(m.Covered()) {
		t.Fatalf("after a kill: the map covers %d entries but has another root", m.Covered())
	}
	memory, inFile, err := prefixmap.Load(filepath.Join(dir, "map"))
	if err == nil && memory.Snapshot().Root() != referenceRoot(inFile) {
		t.Fatalf("after a kill: the file covers %d entries but has another root", inFile)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("after a kill: %v", err)
	}
	return m.Covered(), torn
}
