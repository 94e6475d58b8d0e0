package logserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"syscall"

	"github.com/transparency-dev/tessera"

	"akashi/internal/store"
	"akashi/registry"
)

// fullStore is a store on a disk that has no room while it is told so.
type fullStore struct {
	store.Store
	full *atomic.Bool
}

func (f fullStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.full.Load() {
		return fmt.Errorf("write: %+v", syscall.ENOSPC) // only the text is left, as Badger does it
	}
	return f.Store.Update(ctx, fn)
}

// On a full disk, wherever that is noticed, submissions are refused with a problem that says so, proofs are given as before, and when
// there is room again everything goes on, without a restart.
func TestDiskFull(t *testing.T) {
	full := new(atomic.Bool)
	for _, test := range []struct {
		name  string
		kind  MapKind
		setup func(t *testing.T, c *Config)
		start func(r *rig)
	}{
		{"below the reserve", MapMemory, func(_ *testing.T, c *Config) {
			c.Reserve = 100 << 20
			c.free = func(string) (uint64, bool) {
				if full.Load() {
					return 99 << 20, true
				}
				return 101 << 20, true
			}
		}, nil},
		{"another folder below the reserve", MapMemory, func(_ *testing.T, c *Config) {
			c.Folders = []string{"store"}
			c.free = func(folder string) (uint64, bool) {
				if full.Load() && folder == "store" {
					return 1, true
				}
				return 1 << 40, true
			}
		}, nil},
		{"store", MapMemory, func(_ *testing.T, c *Config) { c.Store = fullStore{c.Store, full} }, nil},
		{"store with buckets", MapBuckets, func(_ *testing.T, c *Config) { c.Store = fullStore{c.Store, full} }, nil},
		{"log", MapMemory, nil, func(r *rig) {
			add := r.server.log.appender.Add
			r.server.log.appender.Add = func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
				if full.Load() {
					return func() (tessera.Index, error) {
						return tessera.Index{}, &os.PathError{Op: "write", Path: "tile", Err: syscall.ENOSPC}
					}
				}
				return add(ctx, e)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			full.Store(false)
			r := newRig(t, func(c *Config) {
				c.Map = test.kind
				if test.setup != nil {
					test.setup(t, c)
				}
			})
			if test.start != nil {
				test.start(r)
			}
			r.start()
			r.fullAndBack(t, func(now bool) { full.Store(now) })
		})
	}
}

// fullAndBack submits before, while and after the disk is full.
func (r *rig) fullAndBack(t *testing.T, fill func(bool)) {
	t.Helper()
	before, _ := record("before")
	r.submit(before)
	r.waitAll(t)
	_, old, _ := r.lookup(keyOf(before))

	fill(true)
	refused, _ := record("refused")
	req := r.sign(refused)
	for range 3 {
		resp, body := r.post("/v1/entries", octetsOf(req))
		if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "disk is full") || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("got %d %s, want 503 that says why and when", resp.StatusCode, body)
		}
	}
	look, head, cp := r.lookup(keyOf(before), keyOf(refused))
	r.checkMember(look.Results[0], before, head, cp)
	if head.MapRoot != old.MapRoot || registry.VerifyAbsent(head.MapRoot, keyOf(refused), look.Results[1].Proof) != nil {
		t.Error("what was refused has changed the map")
	}
	for _, path := range []string{"/checkpoint", "/tile/0/000.p/1", "/v1/heads/latest", "/healthz"} {
		if resp, body := r.get(path); resp.StatusCode != http.StatusOK {
			t.Errorf("%s on a full disk: %d %s", path, resp.StatusCode, body)
		}
	}

	fill(false)
	var resp *registry.SubmitResponse
	waitFor(t, "room", func() (ok bool) {
		var err error
		resp, err = r.client.Submit(t.Context(), req)
		var retry *registry.RetryError
		if err != nil && !errors.As(err, &retry) {
			t.Fatal(err)
		}
		return err == nil
	})
	if resp.Results[0].Status == registry.StatusConflict {
		t.Errorf("got %+v", resp.Results[0])
	}
	look, head, cp = r.lookupPublished(keyOf(before), keyOf(refused))
	r.checkMember(look.Results[0], before, head, cp)
	r.checkMember(look.Results[1], refused, head, cp)
	if got := r.naiveRoot(cp.Size); got != head.MapRoot {
		t.Error("the head has another root than the log's entries")
	}
	if resp, body := r.get("/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("readyz with room: %d %s", resp.StatusCode, body)
	}
}

// A real disk, small and filled to the last byte under the log. It takes the right to mount one.
func TestDiskReallyFull(t *testing.T) {
	disk := t.TempDir()
	if err := mountSmallDisk(disk); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unmount(disk) })
	r := newRig(t, func(c *Config) { c.Dir = filepath.Join(disk, "log"); c.Reserve = 1 }).start()
	filler := filepath.Join(disk, "filler")
	r.fullAndBack(t, func(now bool) {
		if !now {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			return
		}
		f := must(os.Create(filler))
		defer f.Close()
		for size := 1 << 16; size > 0; size /= 2 {
			for {
				if _, err := f.Write(make([]byte, size)); err != nil {
					break
				}
			}
		}
	})
	r.reopen()
	rec, _ := record("after a restart")
	r.submit(rec)
}
