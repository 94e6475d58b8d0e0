package logserver

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/client"

	"akashi/internal/store"
	"akashi/registry"
)

// fill submits n fresh records and returns them.
func (r *rig) fill(n int) []registry.Record {
	r.t.Helper()
	var recs []registry.Record
	for range n {
		rec, _ := record("r")
		recs = append(recs, rec)
	}
	r.submit(recs...)
	return recs
}

// emptied is the registry's configuration over an empty folder and store.
func (r *rig) emptied() Config {
	cfg := r.cfg
	cfg.Dir, cfg.Store = filepath.Join(r.t.TempDir(), "log"), store.NewMemory()
	return cfg
}

func (r *rig) backup() string {
	r.t.Helper()
	dst := filepath.Join(r.t.TempDir(), "backup")
	if _, err := r.server.Backup(r.t.Context(), dst, nil); err != nil {
		r.t.Fatal(err)
	}
	return dst
}

// A backup taken while the registry writes is whole, and a registry made of the newest one has the same root and goes on.
func TestBackupRestore(t *testing.T) {
	r := newRig(t).start()
	recs := r.fill(300) // more than one tile
	stop, done := make(chan bool), make(chan []registry.Record)
	go func() {
		var more []registry.Record
		for {
			select {
			case <-stop:
				done <- more
				return
			default:
				rec, _ := record("meanwhile")
				if _, err := r.client.Submit(context.WithoutCancel(t.Context()), r.sign(rec)); err == nil {
					more = append(more, rec)
				}
			}
		}
	}()
	first := r.backup()
	close(stop)
	recs = append(recs, <-done...)
	if _, err := Restore(t.Context(), r.emptied(), first, nil); err != nil {
		if behind := new(BehindError); !errors.As(err, &behind) {
			t.Fatal(err)
		}
	}

	last := r.backup()
	r.waitAudited()
	before := r.server.published
	files := client.FileFetcher{Root: last}
	signed, err := files.ReadCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cp, err := registry.OpenCheckpoint(signed, r.cfg.Policy, r.cfg.Auditors); err != nil || cp.Root != before.root {
		t.Fatalf("the backup's checkpoint: %v %v, want root %v", cp, err, before.root)
	}
	cfg := r.emptied()
	info, err := Restore(t.Context(), cfg, last, nil)
	if err != nil || info.Size != before.size || info.Root != before.root {
		t.Fatalf("got %+v %v, want size %d", info, err, before.size)
	}
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.cfg = cfg
	r.open()
	if r.server.published.size != before.size || r.server.published.root != before.root || r.server.published.snap.Root() != before.head.MapRoot {
		t.Errorf("restored at %d, %v, want %d, %v", r.server.published.size, r.server.published.root, before.size, before.root)
	}
	again := r.submit(recs[0])
	if again.Results[0].Status != registry.StatusAlready {
		t.Errorf("got %v for a record of before, want already", again.Results[0].Status)
	}
	rec := r.fill(1)[0]
	r.waitAudited()
	look, head, cp := r.lookup(keyOf(recs[0]), keyOf(recs[len(recs)-1]), keyOf(rec))
	for i, want := range []registry.Record{recs[0], recs[len(recs)-1], rec} {
		r.checkMember(look.Results[i], want, head, cp)
	}
}

// An old copy is not gone on from: not when it is restored, not when it is started.
func TestOldCopyRefused(t *testing.T) {
	r := newRig(t).start()
	r.fill(3)
	old := r.backup()
	copied := r.emptied()
	if _, err := Restore(t.Context(), copied, old, nil); err != nil {
		t.Fatal(err)
	}
	r.fill(1)
	behind := new(BehindError)
	cfg := r.emptied()
	_, err := Restore(t.Context(), cfg, old, nil)
	if !errors.As(err, &behind) || behind.Signed != r.server.published.size || !strings.Contains(err.Error(), "too old") {
		t.Errorf("restore: got %v, want a BehindError with size %d", err, r.server.published.size)
	}
	if _, err := os.Stat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was written")
	}
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), copied); !errors.As(err, &behind) {
		t.Errorf("start: got %v, want a BehindError", err)
	}
	r.open() // the right one
	r.fill(1)

	// One witness that says so does not stop a registry.
	liar := newSwap(t)
	liar.set(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", registry.TypeTreeSize)
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte("1000000\n"))
	}))
	r.cfg.Witnesses[0].URL = liar.URL
	r.reopen()
	r.fill(1)
}

// A registry that begins anew under a log key that witnesses know gets no signature, and the operator is told why.
func TestEmptyFolderOfKnownLog(t *testing.T) {
	r := newRig(t).start()
	r.fill(10)
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.cfg = r.emptied()
	r.open()
	if err := r.server.CloseEpoch(t.Context()); !errors.Is(err, errBehind) || !errors.Is(err, ErrNotPublished) {
		t.Errorf("got %v, want errBehind", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	r := newRig(t).start()
	r.fill(300)
	spoil := func(path string, change func([]byte) []byte) func(*testing.T, string, *Config) {
		return func(t *testing.T, dir string, _ *Config) {
			path := filepath.Join(dir, filepath.FromSlash(path))
			data := must(os.ReadFile(path))
			if err := os.WriteFile(path, change(bytes.Clone(data)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	tests := []struct {
		name  string
		spoil func(*testing.T, string, *Config)
		want  string
	}{
		{"nothing", func(*testing.T, string, *Config) {}, ""},
		{"no manifest", func(_ *testing.T, dir string, _ *Config) { _ = os.Remove(filepath.Join(dir, backupFile)) }, "no whole backup"},
		{"manifest cut", spoil(backupFile, cut), "backup.json"},
		{"another format", spoil(backupFile, func(b []byte) []byte {
			return bytes.Replace(b, []byte("akashi-backup/1"), []byte("akashi-backup/9"), 1)
		}), "format"},
		{"another size", spoil(backupFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"size": `), []byte(`"size": 1`), 1) }), "not the one that it names"},
		{"checkpoint flipped", spoil("checkpoint", flip), "checkpoint"},
		{"entry flipped", spoil("tile/entries/000", flip), "do not hash"},
		{"entries cut", spoil("tile/entries/000", cut), ""},
		{"log folder in use", func(_ *testing.T, _ string, cfg *Config) { cfg.Dir = r.cfg.Dir }, "not empty"},
		{"store in use", func(_ *testing.T, _ string, cfg *Config) { cfg.Store = r.cfg.Store }, "not empty"},
		{"no values", func(t *testing.T, dir string, _ *Config) {
			if err := os.RemoveAll(filepath.Join(dir, backupStore)); err != nil {
				t.Fatal(err)
			}
		}, "store"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, cfg := r.backup(), r.emptied()
			test.spoil(t, dir, &cfg)
			_, err := Restore(t.Context(), cfg, dir, nil)
			switch {
			case test.name == "nothing" && err != nil:
				t.Fatal(err)
			case test.name != "nothing" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := r.server.Backup(t.Context(), r.cfg.Dir, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("backup into a folder in use: got %v", err)
	}
	empty := newRig(t)
	if _, err := empty.server.Backup(t.Context(), filepath.Join(t.TempDir(), "b"), nil); !errors.Is(err, errNeverPublished) {
		t.Errorf("backup of nothing: got %v", err)
	}
}
