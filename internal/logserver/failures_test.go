package logserver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"akashi/internal/store"
	"akashi/registry"
)

// flaky fails the n-th write from when it is told, before it is done or after it.
type flaky struct {
	store.Store
	n     atomic.Int64 // writes until the failure; none when it is not above 0
	after bool
}

func (f *flaky) Update(ctx context.Context, fn func(store.Tx) error) error {
	due := f.n.Add(-1) == 0
	if due {
		if !f.after {
			return errors.New("not written")
		}
	}
	err := f.Store.Update(ctx, fn)
	if due && err == nil {
		return errors.New("written, answer lost")
	}
	return err
}

// Whichever write of the store fails in the course of an epoch, and whether it was done all the same: the submitter sends again until it
// has its receipt, the record stands in its slot once, and the auditors find nothing wrong. So it is after a restart too.
func TestStoreFailsAnywhere(t *testing.T) {
	for _, kind := range mapKinds {
		for _, after := range []bool{false, true} {
			for n := range int64(7) {
				t.Run(fmt.Sprintf("%s, write %d, done %t", kind, n+1, after), func(t *testing.T) {
					t.Parallel()
					storeFailsAt(t, kind, &flaky{Store: store.NewMemory(), after: after}, n+1)
				})
			}
		}
	}
}

func storeFailsAt(t *testing.T, kind MapKind, f *flaky, n int64) {
	r := newRig(t, func(c *Config) { c.Store, c.Map = f, kind }).start()
	before, _ := record("before")
	r.submit(before)
	r.waitAll(t)
	a, _ := record("a")
	b, secret := record("b")
	f.n.Store(n)
	statuses := make(map[registry.Key]int)
	receipt := false
	for range 50 {
		resp, err := r.client.Submit(t.Context(), r.sign(a, b))
		var p *registry.Problem
		switch {
		case err == nil:
			receipt = true
			for _, res := range resp.Results {
				if res.Status == registry.StatusLogged {
					statuses[res.Key]++
				}
			}
		case !errors.As(err, &p) || p.Status < 500:
			t.Fatal(err)
		}
		if receipt {
			break
		}
	}
	if !receipt {
		t.Fatal("no receipt")
	}
	for k, n := range statuses {
		if n > 1 {
			t.Errorf("slot %v was logged %d times", k, n)
		}
	}
	other := recordAt(secret, employerID, "another")
	var err error
	waitFor(t, "an answer about another record", func() bool { // that write may be the one that fails
		_, err = r.client.Submit(t.Context(), r.sign(other))
		var p *registry.Problem
		return !errors.As(err, &p) || p.Status < 500
	})
	if !errors.Is(err, registry.ErrConflict) {
		t.Errorf("another record in the slot: got %v, want a conflict", err)
	}
	for range 2 {
		look, head, cp := r.lookupPublished(keyOf(before), keyOf(a), keyOf(b))
		for i, rec := range []registry.Record{before, a, b} {
			r.checkMember(look.Results[i], rec, head, cp)
		}
		if head.MapRoot != r.naiveRoot(cp.Size) {
			t.Error("the head has another root than the log's entries")
		}
		f.n.Store(0)
		r.reopen()
	}
}
