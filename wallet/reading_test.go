package wallet_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
	"akashi/wallet"
)

// provenRegistry adds buckets to the registry in memory, and proofs to its trust lists. Each answer is under a head of its own, made of all
// entries so far.
type provenRegistry struct {
	*issuertest.Registry

	answer func(*registry.HeadProof)      // spoils heads after they are signed
	bucket func(*registry.BucketResponse) // spoils buckets
	lookup func(*registry.LookupResponse) // spoils lookups
	asked  []int                          // how many keys each lookup named
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func call[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

func (p *provenRegistry) LatestHead(context.Context) (*registry.HeadProof, error) {
	h := p.State().Head
	call(p.answer, &h)
	return &h, nil
}

func (p *provenRegistry) Bucket(_ context.Context, prefix registry.Key, bits int) (*registry.BucketResponse, error) {
	s := p.State()
	b := &registry.Bucket{Prefix: prefix.PrefixBits(bits), Bits: bits}
	if len(s.Members) > 0 {
		b = registry.BucketBelow(prefix, bits, nil, nil, s.Members)
	}
	resp := &registry.BucketResponse{Head: s.Head, Bucket: b.Marshal()}
	call(p.answer, &resp.Head)
	call(p.bucket, resp)
	return resp, nil
}

func (p *provenRegistry) Lookup(ctx context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	resp, err := p.Registry.Lookup(ctx, slots)
	if err != nil {
		return nil, err
	}
	p.asked = append(p.asked, len(slots))
	call(p.answer, &resp.Head)
	call(p.lookup, resp)
	return resp, nil
}

func (p *provenRegistry) TrustLists(context.Context) (*registry.TrustListsResponse, error) {
	s := p.State()
	resp := &registry.TrustListsResponse{Checkpoint: s.Head.Checkpoint}
	for _, l := range p.Lists {
		l.Inclusion = s.Inclusion(l.Index)
		resp.Lists = append(resp.Lists, l)
	}
	return resp, nil
}

// pinned is received, with the policies pinned, a wage of May 2026 in the registry, and other people's records beside it.
func pinned(t testing.TB) (*setup, *provenRegistry) {
	t.Helper()
	s := newSetup(t)
	p := &provenRegistry{Registry: s.Registry}
	s.wallet.Registry = p
	check(t, s.wallet.Pin(ctx, p.Policy, p.Auditors))
	for i := range 20 {
		secret := registry.EngagementSecret(registry.HashOf([]byte{byte(i)}), 0)
		p.Put("9999999999999", registry.Record{X: secret.Find(), A: make([]byte, 12+4096+16), B: []byte{}})
	}
	it, err := s.wallet.Receive(ctx, s.compact)
	check(t, err)
	if !it.Proven {
		t.Error("the engagement is not said to be proven")
	}
	s.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	s.importFile("payroll/A-2026-05.csv", issuer.Options{})
	return s, p
}

// TestSyncByBuckets: what the registry sees is buckets and all their members, never a wanted key alone.
func TestSyncByBuckets(t *testing.T) {
	s, p := pinned(t)
	p.asked, s.Registry.Lookups = nil, nil
	report := s.sync()
	if len(report.New) != 1 || !report.New[0].Proven || !report.Proven || report.AsOf == nil || !report.AsOf.Equal(s.Clock.Now()) {
		t.Errorf("%+v", report)
	}
	for _, n := range p.asked {
		if n < 5 {
			t.Errorf("a lookup named %d keys of a map with %d: that is no crowd", n, s.Registry.Len())
		}
	}
	known := p.Entries()
	for _, k := range s.Registry.Lookups {
		if _, ok := known[k]; !ok {
			t.Error("a key that nobody else can know was looked up")
		}
	}
	w, err := wallet.Open(ctx, wallet.Config{Store: s.store, Registry: p, Now: s.Clock.Now})
	check(t, err)
	if again, err := w.Sync(ctx); err != nil || len(again.New) != 0 || !w.Pinned() {
		t.Errorf("opened again: %+v, %v", again, err)
	}
	w, err = wallet.Open(ctx, s.config(s.store))
	check(t, err)
	if _, err := w.Sync(ctx); err == nil {
		t.Error("a registry without buckets was read")
	}
}

// TestUnproven starts from answers that hold and spoils one thing a row.
func TestUnproven(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*provenRegistry)
		want  error
	}{
		{"nothing", func(*provenRegistry) {}, nil},
		{"an auditor missing", func(p *provenRegistry) { p.Absent = 1 }, wallet.ErrNotProven},
		{"two witnesses missing", func(p *provenRegistry) { p.Cosigners = p.Cosigners[2:] }, wallet.ErrNotProven},
		{"another log's key", func(p *provenRegistry) { p.Log = issuertest.NewSigners(t, time.Now).Log }, wallet.ErrNotProven},
		{"another map root", func(p *provenRegistry) { p.Head = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 } }, wallet.ErrNotProven},
		{"head covers less", func(p *provenRegistry) { p.Head = func(h *registry.HeadEntry) { h.Covered-- } }, wallet.ErrNotProven},
		{"another entry", func(p *provenRegistry) { p.answer = func(h *registry.HeadProof) { h.Entry[70] ^= 1 } }, wallet.ErrNotProven},
		{"another index", func(p *provenRegistry) { p.answer = func(h *registry.HeadProof) { h.Index-- } }, wallet.ErrNotProven},
		{"no bucket", func(p *provenRegistry) {
			p.bucket = func(r *registry.BucketResponse) { r.Bucket = nil }
		}, wallet.ErrNotProven},
		{"a member left out", func(p *provenRegistry) {
			p.bucket = func(r *registry.BucketResponse) { r.Bucket = r.Bucket[:len(r.Bucket)-1] }
		}, wallet.ErrNotProven},
		{"record of another slot", func(p *provenRegistry) {
			p.lookup = func(r *registry.LookupResponse) {
				r.Results[0].Member, r.Results[1].Member = r.Results[1].Member, r.Results[0].Member
			}
		}, wallet.ErrNotProven},
		{"said to be absent", func(p *provenRegistry) {
			p.lookup = func(r *registry.LookupResponse) { r.Results[0].Member = nil }
		}, wallet.ErrNotProven},
		{"no inclusion", func(p *provenRegistry) {
			p.lookup = func(r *registry.LookupResponse) {
				for _, one := range r.Results {
					one.Member.Inclusion = one.Member.Inclusion[1:]
				}
			}
		}, wallet.ErrNotProven},
		{"no proof", func(p *provenRegistry) {
			p.lookup = func(r *registry.LookupResponse) {
				for n := range r.Results {
					r.Results[n].Proof = nil
				}
			}
		}, wallet.ErrNotProven},
		{"other results", func(p *provenRegistry) {
			p.lookup = func(r *registry.LookupResponse) { slices.Reverse(r.Results) }
		}, registry.ErrAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, p := pinned(t)
			c.spoil(p)
			report, err := s.wallet.Sync(ctx)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want != nil && len(report.New) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestAnOlderHeadIsRefused(t *testing.T) {
	s, p := pinned(t)
	var old *registry.HeadProof
	p.answer = func(h *registry.HeadProof) {
		if old == nil {
			copied := *h
			old = &copied
		}
	}
	s.sync()
	s.importFile("payroll/A-2026-04.csv", issuer.Options{})
	s.sync()
	p.answer = func(h *registry.HeadProof) { *h = *old }
	if _, err := s.wallet.Sync(ctx); !errors.Is(err, wallet.ErrOldHead) {
		t.Errorf("got %v, want %v", err, wallet.ErrOldHead)
	}
	p.answer = nil
	s.sync()
}

func TestPinRefuses(t *testing.T) {
	s, p := pinned(t)
	other := issuertest.NewSigners(t, s.Clock.Now)
	if err := s.wallet.Pin(ctx, other.Policy, other.Auditors); !errors.Is(err, wallet.ErrPinned) {
		t.Errorf("other policies: %v", err)
	}
	if err := s.wallet.Pin(ctx, p.Policy, other.Auditors); !errors.Is(err, registry.ErrPolicy) {
		t.Errorf("policies of two logs: %v", err)
	}
	if err := s.wallet.Pin(ctx, p.Policy, p.Auditors); err != nil {
		t.Errorf("the same again: %v", err)
	}
	w, err := wallet.Create(ctx, s.config(store.NewMemory()), "other.example", s.Anchor.Public())
	check(t, err)
	if err := w.Pin(ctx, p.Policy, p.Auditors); err == nil {
		t.Error("policies of another registry were pinned")
	}
}
