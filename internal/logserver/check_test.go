package logserver

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"

	"akashi/internal/store"
	"akashi/registry"
)

func TestCheck(t *testing.T) {
	r := newRig(t).start()
	recs := r.fill(700)
	r.fill(3)
	r.addList(2)
	r.waitAudited()
	report, err := r.server.Check(t.Context())
	if err != nil || report.Difference != nil {
		t.Fatalf("running: %v, %+v", err, report.Difference)
	}
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := r.server.published
	stopped, err := Check(t.Context(), r.cfg)
	if err != nil || stopped.Size != last.size || stopped.Root != last.root || stopped.Entries != last.size || stopped.Keys != 703 ||
		stopped.Records != 703 || stopped.Lists != 2 || stopped.Heads < 4 || stopped.Checkpoints != stopped.Heads || stopped.Difference != nil {
		t.Fatalf("stopped: %v, %+v", err, stopped)
	}

	value := func(key []byte, change func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) {
			var old []byte
			set := func(v []byte) {
				err := r.cfg.Store.Update(t.Context(), func(tx store.Tx) (err error) {
					if old, err = tx.Get(key); err != nil {
						return err
					}
					if v = change(bytes.Clone(old)); v == nil {
						return tx.Delete(key)
					}
					return tx.Set(key, v)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			set(nil)
			t.Cleanup(func() {
				err := r.cfg.Store.Update(context.WithoutCancel(t.Context()), func(tx store.Tx) error { return tx.Set(key, old) })
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	file := func(path string, change func([]byte) []byte) func(*testing.T) {
		return func(t *testing.T) {
			path := filepath.Join(r.cfg.Dir, filepath.FromSlash(path))
			old := must(os.ReadFile(path))
			if err := os.WriteFile(path, change(bytes.Clone(old)), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.WriteFile(path, old, 0o600) })
		}
	}
	flipLast := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	none := func([]byte) []byte { return nil }
	index, _, _, err := last.snap.Get(t.Context(), keyOf(recs[500]))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		spoil func(*testing.T)
		want  string
		at    uint64
	}{
		{"record changed", value(keyed(keyRecord, keyOf(recs[500])), flipLast), "not the one", index},
		{"record missing", value(keyed(keyRecord, keyOf(recs[500])), none), "missing", index},
		{"record damaged", value(keyed(keyRecord, keyOf(recs[500])), func(b []byte) []byte { return b[:9] }), "damaged", index},
		{"list changed", value(numbered(keyList, 1), flipLast), "trust list version 1", 0},
		{"list missing", value(numbered(keyList, 2), none), "trust list version 2", last.size - 2},
		{"checkpoint of another size", value(numbered(keyNote, last.head.PrevIndex+1), func([]byte) []byte { return r.server.served }), "another root", last.head.PrevIndex},
		{"checkpoint changed", value(numbered(keyNote, last.head.PrevIndex+1), flipLast), "archived checkpoint", last.head.PrevIndex},
		{"checkpoint missing", value(numbered(keyNote, last.head.PrevIndex+1), none), "are archived", last.size - 1},
		{"entry changed", file(layout.EntriesPath(1, 0), func(b []byte) []byte { b[74*10+60] ^= 1; return b }), "does not hash", 266},
		{"tile changed", file(layout.TilePath(0, 1, 0), func(b []byte) []byte { b[32*7] ^= 1; return b }), "does not hash", 263},
		{"upper tile changed", file(layout.TilePath(1, 0, layout.PartialTileSize(1, 0, last.size)), func(b []byte) []byte { b[40] ^= 1; return b }), "tile 1/0", 256},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.spoil(t)
			got, err := Check(t.Context(), r.cfg)
			if err != nil || got.Difference == nil || !strings.Contains(got.Difference.What, test.want) || got.Difference.Index != test.at {
				t.Errorf("got %v, %+v; want %q at %d", err, got.Difference, test.want, test.at)
			}
		})
	}
	t.Run("entries cut", func(t *testing.T) {
		file(layout.EntriesPath(1, 0), func(b []byte) []byte { return b[:100] })(t)
		if _, err := Check(t.Context(), r.cfg); err == nil || !strings.Contains(err.Error(), "bundle 1") {
			t.Errorf("got %v, want an error that names the bundle", err)
		}
	})
	if got, err := Check(t.Context(), r.cfg); err != nil || got.Difference != nil {
		t.Errorf("mended: %v, %+v", err, got.Difference)
	}
}

// A head that the operator has spoilt is found where it stands.
func TestCheckLyingHead(t *testing.T) {
	r := newRig(t).start()
	r.fill(5)
	r.server.seq.tamper = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 }
	if err := r.server.CloseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.server.seq.tamper = nil
	report, err := r.server.Check(t.Context())
	if err != nil || report.Difference == nil || !strings.Contains(report.Difference.What, "map root") || report.Difference.Index != report.Size-1 {
		t.Errorf("got %v, %+v", err, report.Difference)
	}
}

func TestDelta(t *testing.T) {
	r := newRig(t).start()
	r.fill(40)
	r.waitAudited()
	from := r.server.published
	again, _ := record("twice")
	r.submit(again)
	r.fill(30)
	r.submit(again)
	r.waitAudited()
	for _, start := range []uint64{0, from.size, r.server.published.size} {
		resp, err := r.client.Delta(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		cp, head := r.checkHead(resp.Head)
		span, err := r.server.spanOf(t.Context(), start, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := span.Check(resp.Delta); err != nil {
			t.Errorf("from %d: %v", start, err)
		}
		if start == from.size && (head.MapSize != 71 || len(span.Slots()) != 31) {
			t.Errorf("got %d keys, %d slot entries; want 71, 31", head.MapSize, len(span.Slots()))
		}
	}
	for _, query := range []string{"", "?from=", "?from=-1", "?from=5", "?from=1000000", "?from=01"} {
		resp, _ := r.get("/v1/delta" + query)
		if resp.StatusCode != 400 && resp.StatusCode != 404 {
			t.Errorf("%q: got %d, want 400 or 404", query, resp.StatusCode)
		}
	}
}
