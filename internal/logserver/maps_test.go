package logserver

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
)

// mapKinds are run through by tests that must hold for every map store.
var mapKinds = []MapKind{MapMemory, MapBuckets}

// naiveRoot reads the whole log over HTTP and works out the root of its map, with the first write to a key winning, in the plainest way.
func (r *rig) naiveRoot(size uint64) registry.Hash {
	r.t.Helper()
	var members []registry.MapMember
	seen := make(map[registry.Key]bool)
	for i, data := range r.readLog(size) {
		entry, err := registry.ParseEntry(data)
		if err != nil {
			r.t.Fatal(err)
		}
		if e, ok := entry.(registry.SlotEntry); ok && !seen[e.K] {
			seen[e.K] = true
			members = append(members, registry.MapMember{Key: e.K, Index: uint64(i), Value: e.V})
		}
	}
	registry.SortMembers(members)
	return registry.MapRoot(members)
}

// The same submissions give the same roots in both map stores, after every epoch and after every restart, and after a change of store.
func TestMapStoresAgree(t *testing.T) {
	var rigs []*rig
	for _, kind := range mapKinds {
		r := newRig(t, func(c *Config) { c.Map = kind; c.MapFileEpochs = 2 }).start()
		rigs = append(rigs, r)
	}
	rigs[1].employer = rigs[0].employer // signs for both
	rigs[1].entities[0].SubmissionKeys = rigs[0].entities[0].SubmissionKeys
	rigs[1].addList(2)
	rigs[0].addList(2)
	var records []registry.Record
	for round := range 8 {
		for range 70 {
			rec, _ := record(fmt.Sprint(round))
			records = append(records, rec)
		}
		fresh := records[len(records)-70:]
		var roots []registry.Hash
		for _, r := range rigs {
			r.submit(fresh...)
			absent, _ := record("absent")
			look, head, cp := r.lookupPublished(keyOf(fresh[3]), keyOf(records[0]), keyOf(absent))
			r.checkMember(look.Results[0], fresh[3], head, cp)
			r.checkMember(look.Results[1], records[0], head, cp)
			if err := registry.VerifyAbsent(head.MapRoot, keyOf(absent), look.Results[2].Proof); err != nil {
				t.Error(err)
			}
			if want := r.naiveRoot(cp.Size); head.MapRoot != want {
				t.Errorf("round %d, %s: root is not that of the log's entries", round, r.cfg.Map)
			}
			roots = append(roots, head.MapRoot)
		}
		if roots[0] != roots[1] {
			t.Errorf("round %d: roots differ between the map stores", round)
		}
		if round%3 == 2 {
			for i, r := range rigs {
				if round == 5 { // each goes on with the other store, over what is on disk
					r.cfg.Map = mapKinds[1-i]
				}
				r.reopen()
			}
		}
	}
}

// A map on disk that is not, or not any more, the map of the log is refused and the whole log replayed.
func TestMapOnDiskUnusable(t *testing.T) {
	damage := func(change func([]byte) []byte) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			path := filepath.Join(r.cfg.Dir, mapFile)
			data := must(os.ReadFile(path))
			if err := os.WriteFile(path, change(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	inStore := func(prefix string, change func(tx store.Tx, key, value []byte) error) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) {
			err := r.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
				return tx.Scan([]byte(prefix), func(key, value []byte) error { return change(tx, key, value) })
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(tx store.Tx, key, value []byte) error {
		value[len(value)-1] ^= 1
		return tx.Set(key, value)
	}
	remove := func(tx store.Tx, key, _ []byte) error { return tx.Delete(key) }
	for _, test := range []struct {
		name  string
		kind  MapKind
		spoil func(*testing.T, *rig)
	}{
		{"file gone", MapMemory, func(t *testing.T, r *rig) {
			if err := os.Remove(filepath.Join(r.cfg.Dir, mapFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"file cut", MapMemory, damage(func(b []byte) []byte { return b[:len(b)/2] })},
		{"file empty", MapMemory, damage(func([]byte) []byte { return nil })},
		{"one bit flipped", MapMemory, damage(func(b []byte) []byte { b[len(b)/2] ^= 4; return b })},
		{"file of another log", MapMemory, func(t *testing.T, r *rig) {
			other := newRig(t).start()
			rec, _ := record("other")
			other.submit(rec)
			other.waitAudited()
			if err := other.server.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			data := must(os.ReadFile(filepath.Join(other.cfg.Dir, mapFile)))
			if err := os.WriteFile(filepath.Join(r.cfg.Dir, mapFile), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"place of a trust list gone", MapMemory, inStore(keyListAt, remove)},
		{"place of a trust list wrong", MapMemory, inStore(keyListAt, flip)},
		{"bucket flipped", MapBuckets, inStore("map/top/", flip)},
		{"bucket gone", MapBuckets, inStore("map/top/", remove)},
		{"state gone", MapBuckets, inStore("map/state", remove)},
		{"all gone", MapBuckets, inStore("map/", remove)},
		{"place of a trust list gone", MapBuckets, inStore(keyListAt, remove)},
	} {
		t.Run(string(test.kind)+" "+test.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Map = test.kind }).start()
			rec, _ := record("a")
			r.submit(rec)
			more, _ := record("b")
			r.submit(more)
			r.waitAudited()
			_, before, _ := r.lookup(keyOf(rec))
			if err := r.server.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.spoil(t, r)
			r.open()
			look, after, cp := r.lookup(keyOf(rec), keyOf(more))
			if after != before {
				t.Errorf("head is %+v, was %+v", after, before)
			}
			r.checkMember(look.Results[0], rec, after, cp)
			if resp := r.submit(rec, more); resp.Results[0].Status != registry.StatusAlready || resp.Results[1].Status != registry.StatusAlready {
				t.Errorf("got %+v, want already", resp.Results)
			}
			next, _ := record("next")
			r.submit(next)
			look, head, cp := r.lookupPublished(keyOf(next))
			r.checkMember(look.Results[0], next, head, cp)
		})
	}
}

// A restart reads only the entries above the map on disk.
func TestRestartReadsLittle(t *testing.T) {
	for _, kind := range mapKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Map = kind }).start()
			rec, _ := record("a")
			r.submit(rec)
			r.waitAudited()
			if err := r.server.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := &Server{cfg: r.cfg}
			log, err := openTileLog(t.Context(), r.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.shutdown(t.Context()) }()
			s.log = log
			s.archive = must(loadArchive(t.Context(), r.cfg.Store, r.cfg.Policy, r.cfg.Auditors))
			m := must(s.openMap(t.Context()))
			st, err := s.stateAt(t.Context(), m)
			if size := must(log.reader.IntegratedSize(t.Context())); err != nil || st.size != size || st.listN() != 1 {
				t.Errorf("got %+v, %v, want the state at %d", st, err, size)
			}
		})
	}
}

// A folder that was restored has of each file only the newest part. It serves what is older all the same: a registry that was behind with
// its auditors when it was copied starts, and answers under the head that they have signed.
func TestOnlyNewestParts(t *testing.T) {
	for _, kind := range mapKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Map = kind }).start()
			records := r.fill(300)
			r.waitAll(t)
			for _, a := range r.auditors {
				a.down(true)
			}
			r.fill(3)
			size := must(r.server.log.reader.IntegratedSize(t.Context()))
			if err := r.server.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			newest := fmt.Sprint(size % 256)
			err := filepath.WalkDir(filepath.Join(r.cfg.Dir, "tile"), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || filepath.Ext(filepath.Dir(path)) != ".p" {
					return err
				}
				if strings.HasSuffix(filepath.Dir(path), "001.p") && filepath.Base(path) != newest || strings.HasSuffix(filepath.Dir(path), "000.p") && !strings.Contains(path, "/1/") {
					return os.Remove(path)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			r.open()
			look, head, cp := r.lookup(keyOf(records[0]), keyOf(records[299]))
			if cp.Size >= size {
				t.Errorf("answers under a head of size %d, which no auditor has signed", cp.Size)
			}
			r.checkMember(look.Results[0], records[0], head, cp)
			r.checkMember(look.Results[1], records[299], head, cp)
		})
	}
}

// The map's file is written while the registry runs, for those who do not get to close it.
func TestMapFileWritten(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MapFileEpochs = 2 }).start()
	var covered uint64
	for range 3 {
		for range 3 {
			r.fill(1)
			r.waitAudited()
		}
		waitFor(t, "a newer file", func() bool {
			_, now, err := prefixmap.Load(filepath.Join(r.cfg.Dir, mapFile))
			newer := err == nil && now > covered
			if newer {
				covered = now
			}
			return newer
		})
	}
}
