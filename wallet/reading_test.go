package wallet_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// provenRegistry adds buckets, proofs and cosigned heads to the registry in memory. Each answer is under a head of its own, made of all
// entries so far.
type provenRegistry struct {
	*issuertest.Registry
	t                   testing.TB
	log                 note.Signer
	cosigners           []note.Signer
	witnesses, auditors *registry.Policy
	anchor              keys.Public
	clock               func() time.Time

	head   func(*registry.HeadEntry)      // spoils heads before they are signed
	answer func(*registry.HeadProof)      // spoils heads after they are signed
	bucket func(*registry.BucketResponse) // spoils buckets
	lookup func(*registry.LookupResponse) // spoils lookups
	asked  []int                          // how many keys each lookup named
	drop   int                            // cosigners that do not sign, from the end
}

func newProvenRegistry(t testing.TB, r *issuertest.Registry, clock func() time.Time) *provenRegistry {
	t.Helper()
	p := &provenRegistry{Registry: r, t: t, clock: clock}
	skey, vkey, err := note.GenerateKey(rand.Reader, issuertest.Origin)
	check(t, err)
	p.log, err = note.NewSigner(skey)
	check(t, err)
	members := func(name string, n int) (out []registry.Member) {
		for i := range n {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			check(t, err)
			full := fmt.Sprintf("%s%d.example", name, i)
			signer, err := registry.NewCosigner(full, private, clock)
			check(t, err)
			p.cosigners = append(p.cosigners, signer)
			out = append(out, registry.Member{Name: full, VKey: registry.CosignerVKey(full, public)})
		}
		return out
	}
	p.witnesses, err = registry.NewPolicy(vkey, "", members("w", 4), 3)
	check(t, err)
	p.auditors, err = registry.NewPolicy(vkey, "", members("a", 2), 2)
	check(t, err)
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// state is the log as it is now, with a head as its last entry.
type state struct {
	hashes  []tlog.Hash // stored hashes
	members []registry.MapMember
	head    registry.HeadProof
	size    int64
}

func (s *state) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = s.hashes[at]
	}
	return out, nil
}

func (s *state) inclusion(t testing.TB, index uint64) []registry.Hash {
	proof, err := tlog.ProveRecord(s.size, int64(index), s)
	check(t, err)
	out := []registry.Hash{}
	for _, h := range proof {
		out = append(out, registry.Hash(h))
	}
	return out
}

func (p *provenRegistry) state() *state {
	s := &state{}
	entries := make([][]byte, p.Size())
	for k, m := range p.Entries() {
		entries[m.Index] = registry.SlotEntry{K: k, V: m.Value}.Marshal()
		s.members = append(s.members, registry.MapMember{Key: k, Index: m.Index, Value: m.Value})
	}
	for _, l := range p.Lists {
		list, err := trustlist.Verify(l.JWT, p.anchor)
		check(p.t, err)
		entries[l.Index] = list.Entry().Marshal()
	}
	registry.SortMembers(s.members)
	head := registry.HeadEntry{Epoch: 1, Covered: uint64(len(entries)), MapSize: uint64(len(s.members)), MapRoot: registry.MapRoot(s.members), PrevIndex: registry.NoPrevHead}
	if p.head != nil {
		p.head(&head)
	}
	entries = append(entries, head.Marshal())
	for i, e := range entries {
		hashes, err := tlog.StoredHashes(int64(i), e, s)
		check(p.t, err)
		s.hashes = append(s.hashes, hashes...)
	}
	s.size = int64(len(entries))
	root, err := tlog.TreeHash(s.size, s)
	check(p.t, err)
	text := fmt.Sprintf("%s\n%d\n%s\n", issuertest.Origin, s.size, root)
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{p.log}, p.cosigners[:len(p.cosigners)-p.drop]...)...)
	check(p.t, err)
	at := uint64(s.size - 1)
	s.head = registry.HeadProof{Entry: head.Marshal(), Index: at, Inclusion: s.inclusion(p.t, at), Checkpoint: string(signed)}
	if p.answer != nil {
		p.answer(&s.head)
	}
	return s
}

func (p *provenRegistry) LatestHead(context.Context) (*registry.HeadProof, error) {
	h := p.state().head
	return &h, nil
}

func (p *provenRegistry) Bucket(_ context.Context, prefix registry.Key, bits int) (*registry.BucketResponse, error) {
	s := p.state()
	b := &registry.Bucket{Prefix: prefix.PrefixBits(bits), Bits: bits}
	if len(s.members) > 0 {
		b = registry.BucketBelow(prefix, bits, nil, nil, s.members)
	}
	resp := &registry.BucketResponse{Head: s.head, Bucket: b.Marshal()}
	if p.bucket != nil {
		p.bucket(resp)
	}
	return resp, nil
}

func (p *provenRegistry) Lookup(ctx context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	resp, err := p.Registry.Lookup(ctx, slots)
	if err != nil {
		return nil, err
	}
	p.asked = append(p.asked, len(slots))
	s := p.state()
	resp.Head = s.head
	for n, r := range resp.Results {
		one := registry.BucketBelow(r.Key, registry.MaxBucketBits, nil, nil, s.members)
		proof, err := one.Prove(r.Key)
		check(p.t, err)
		resp.Results[n].Proof = proof
		if r.Member != nil {
			r.Member.Inclusion = s.inclusion(p.t, r.Member.Index)
		}
	}
	if p.lookup != nil {
		p.lookup(resp)
	}
	return resp, nil
}

func (p *provenRegistry) TrustLists(context.Context) (*registry.TrustListsResponse, error) {
	answer := p.answer
	p.answer = nil
	s := p.state()
	p.answer = answer
	resp := &registry.TrustListsResponse{Checkpoint: s.head.Checkpoint}
	for _, l := range p.Lists {
		l.Inclusion = s.inclusion(p.t, l.Index)
		resp.Lists = append(resp.Lists, l)
	}
	return resp, nil
}

// pinned is received, with the policies pinned, a wage of May 2026 in the registry, and other people's records beside it.
func pinned(t testing.TB) (*setup, *provenRegistry) {
	t.Helper()
	s := newSetup(t)
	p := newProvenRegistry(t, s.Registry, s.Clock.Now)
	p.anchor = s.Anchor.Public()
	s.wallet.Registry = p
	check(t, s.wallet.Pin(ctx, p.witnesses, p.auditors))
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
		{"an auditor missing", func(p *provenRegistry) { p.drop = 1 }, wallet.ErrNotProven},
		{"two witnesses missing", func(p *provenRegistry) { p.cosigners = p.cosigners[2:] }, wallet.ErrNotProven},
		{"another log's key", func(p *provenRegistry) { p.log = newProvenRegistry(p.t, p.Registry, p.clock).log }, wallet.ErrNotProven},
		{"another map root", func(p *provenRegistry) { p.head = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 } }, wallet.ErrNotProven},
		{"head covers less", func(p *provenRegistry) { p.head = func(h *registry.HeadEntry) { h.Covered-- } }, wallet.ErrNotProven},
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
	other := newProvenRegistry(t, s.Registry, s.Clock.Now)
	if err := s.wallet.Pin(ctx, other.witnesses, other.auditors); !errors.Is(err, wallet.ErrPinned) {
		t.Errorf("other policies: %v", err)
	}
	if err := s.wallet.Pin(ctx, p.witnesses, other.auditors); !errors.Is(err, registry.ErrPolicy) {
		t.Errorf("policies of two logs: %v", err)
	}
	if err := s.wallet.Pin(ctx, p.witnesses, p.auditors); err != nil {
		t.Errorf("the same again: %v", err)
	}
	w, err := wallet.Create(ctx, s.config(store.NewMemory()), "other.example", s.Anchor.Public())
	check(t, err)
	if err := w.Pin(ctx, p.witnesses, p.auditors); err == nil {
		t.Error("policies of another registry were pinned")
	}
}
