package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/internal/store"
	"akashi/internal/store/storetest"
)

var ctx = context.Background()

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}

func TestBadger(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openBadger(t, t.TempDir(), nil) })
}

func TestBadgerEncrypted(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openBadger(t, t.TempDir(), testKey) })
}

var testKey = bytes.Repeat([]byte{7}, 32)

func openBadger(t *testing.T, dir string, key []byte) store.Store {
	t.Helper()
	s, err := store.OpenBadger(dir, key, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t *testing.T, s store.Store, key string, value []byte) {
	t.Helper()
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.Set([]byte(key), value) }); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s store.Store, key string) (value []byte) {
	t.Helper()
	err := s.View(ctx, func(tx store.Tx) (err error) {
		value, err = tx.Get([]byte(key))
		return err
	})
	if err != nil {
		t.Errorf("Get(%q): %v", key, err)
	}
	return value
}

func TestMemoryClock(t *testing.T) {
	now := time.Unix(1000, 0)
	s := store.NewMemoryAt(func() time.Time { return now })
	defer s.Close()
	err := s.Update(ctx, func(tx store.Tx) error { return tx.SetUntil([]byte("k"), nil, time.Unix(1010, 1)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   int64
		want error
	}{{1009, nil}, {1010, nil}, {1011, store.ErrNotFound}} {
		now = time.Unix(c.at, 0)
		err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Get([]byte("k")); return err })
		if !errors.Is(err, c.want) {
			t.Errorf("at second %d: got %v, want %v", c.at, err, c.want)
		}
	}
}

func TestBadgerKeepsWhatWasCommitted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "anew")
	for n := range 3 {
		s := openBadger(t, dir, testKey)
		if n > 0 && string(get(t, s, "k")) != "v" {
			t.Errorf("opened %d times: the value is lost", n)
		}
		set(t, s, "k", []byte("v"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKill ends a process, without any chance to tidy up, right after commits, many of them at once.
func TestKill(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_KILL"); dir != "" {
		s := openBadger(t, dir, testKey)
		var all sync.WaitGroup
		for n := range meeting {
			all.Go(func() { set(t, s, fmt.Sprint("meeting ", n), nil) })
		}
		all.Wait()
		set(t, s, "small", []byte("v"))
		set(t, s, "large", bytes.Repeat([]byte("v"), 20_000))
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), "STORE_TEST_KILL="+dir)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the process was to be killed, but ended well: %s", out)
	}
	s := openBadger(t, dir, testKey)
	defer s.Close()
	if string(get(t, s, "small")) != "v" || len(get(t, s, "large")) != 20_000 {
		t.Error("a committed value did not survive")
	}
	for n := range meeting {
		get(t, s, fmt.Sprint("meeting ", n)) // reports what is not there
	}
}

const meeting = 300

func TestEncryptionLeavesNoPlaintext(t *testing.T) {
	dir := t.TempDir()
	secrets := []string{"key-of-the-wage-record", "plain-value-300000-yen", "large-value-of-the-record"}
	write := func(key []byte, dir string) {
		s := openBadger(t, dir, key)
		set(t, s, secrets[0], []byte(secrets[1]))
		set(t, s, secrets[0]+"/large", bytes.Repeat([]byte(secrets[2]), 1000))
		if found := search(t, dir, secrets); key != nil && len(found) > 0 { // the files of the running store too
			t.Errorf("open store: found in plaintext: %q", found)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(testKey, dir)
	if found := search(t, dir, secrets); len(found) > 0 {
		t.Errorf("found in plaintext: %q", found)
	}
	control := t.TempDir()
	write(nil, control)
	if found := search(t, control, secrets); len(found) == 0 {
		t.Error("the search finds nothing in an unencrypted store either, so it shows nothing")
	}
}

// search returns which of the words stand in any file below dir.
func search(t *testing.T, dir string, words []string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, w := range words {
			if bytes.Contains(data, []byte(w)) {
				found = append(found, w+" in "+d.Name())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestBadgerOpenErrors(t *testing.T) {
	dir := t.TempDir()
	s := openBadger(t, dir, testKey)
	if _, err := store.OpenBadger(dir, testKey, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opening twice: got %v, want a hint to the other process", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"another key": bytes.Repeat([]byte{8}, 32), "no key": nil, "a key of 5 bytes": testKey[:5]} {
		if _, err := store.OpenBadger(dir, key, nil); err == nil || !strings.Contains(err.Error(), "give the key") {
			t.Errorf("opening with %s: got %v, want a hint to the key", name, err)
		}
	}
	if s, err := store.OpenBadger(dir, testKey, nil); err != nil {
		t.Errorf("opening after failures: %v", err)
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestBadgerTooBig(t *testing.T) {
	s := openBadger(t, t.TempDir(), nil)
	defer s.Close()
	fill := func(tx store.Tx, prefix string, values int) error {
		for n := range values {
			if err := tx.Set(fmt.Appendf(nil, "%s/%d", prefix, n), make([]byte, 2000)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.Update(ctx, func(tx store.Tx) error { return fill(tx, "too big", 10_000) }); !errors.Is(err, store.ErrTooBig) {
		t.Errorf("got %v, want ErrTooBig", err)
	}
	var all sync.WaitGroup
	for n := range 8 { // each fits, together they do not
		all.Go(func() {
			if err := s.Update(ctx, func(tx store.Tx) error { return fill(tx, fmt.Sprint("fits ", n), 1000) }); err != nil {
				t.Errorf("update %d: %v", n, err)
			}
		})
	}
	all.Wait()
	for n := range 8 {
		get(t, s, fmt.Sprintf("fits %d/999", n))
	}
}
