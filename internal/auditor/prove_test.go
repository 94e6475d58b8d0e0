package auditor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"akashi/registry"
	"akashi/registry/fraud"
	"akashi/registry/trustlist"
)

// checkProven expects that a report convinces whoever has the keys of the log and the anchor, and nobody else, and that a report in
// which anything of the proof was changed does not.
func checkProven(t *testing.T, f *fixture, data []byte, provable bool) {
	t.Helper()
	r, err := fraud.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	err = fraud.Check(r, f.log, f.anchor.Public())
	if !provable {
		if !errors.Is(err, fraud.ErrNoProof) {
			t.Errorf("got %v, want ErrNoProof", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("not proven: %v", err)
	}
	if err := fraud.Check(r, newFakeLog().log, f.anchor.Public()); !errors.Is(err, fraud.ErrNotProven) {
		t.Errorf("by another log's key: got %v, want ErrNotProven", err)
	}
	if r.Proof == nil {
		return
	}
	for i, spoilt := range spoil(t, data) {
		if err := fraud.Check(spoilt, f.log, f.anchor.Public()); err == nil {
			t.Errorf("change %d: still proven: %+v", i, spoilt)
		}
	}
}

// spoil returns reports with one part of the proof changed or missing.
func spoil(t *testing.T, data []byte) []*fraud.Report {
	t.Helper()
	var out []*fraud.Report
	change := func(fn func(*fraud.Report)) {
		r, err := fraud.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		before, _ := json.Marshal(r)
		fn(r)
		if after, _ := json.Marshal(r); !bytes.Equal(before, after) {
			out = append(out, r)
		}
	}
	change(func(r *fraud.Report) { r.Checkpoint = r.Earlier })
	change(func(r *fraud.Report) { r.Kind = "other" })
	change(func(r *fraud.Report) { r.Proof = nil })
	change(func(r *fraud.Report) { r.Proof.Range = nil })
	change(func(r *fraud.Report) { r.Proof.Range = append(r.Proof.Range, registry.Hash{}) })
	change(func(r *fraud.Report) {
		if n := len(r.Proof.Range); n > 0 {
			r.Proof.Range[n-1][0] ^= 1
		}
	})
	change(func(r *fraud.Report) { r.Proof.Entries = r.Proof.Entries[:max(0, len(r.Proof.Entries)-1)] })
	change(func(r *fraud.Report) {
		if r.Proof.Head != nil {
			r.Proof.Head[20] ^= 1
		}
	})
	for i := range 3 {
		change(func(r *fraud.Report) {
			if i < len(r.Proof.Entries) {
				r.Proof.Entries[i][len(r.Proof.Entries[i])-1] ^= 1
			}
		})
	}
	change(func(r *fraud.Report) {
		if r.TrustList != "" {
			r.Entry[20] ^= 1
		}
	})
	change(func(r *fraud.Report) {
		if r.TrustList != "" {
			r.TrustList += "x"
		}
	})
	return out
}

// No report about an honest log proves anything, whatever is put into it.
func TestHonestLogIsNotProvenFalse(t *testing.T) {
	f := newFixture(t).begin()
	f.trustList(2, f.anchor)
	for i := range 20 {
		f.slot(fmt.Sprint(i))
	}
	f.head()
	f.signed()
	size := len(f.entries)
	cp := must(registry.OpenLogCheckpoint(f.sign(size), f.log))
	for index, data := range f.entries {
		for _, kind := range []string{KindHead, KindTrustList, KindFork} {
			r := &fraud.Report{Format: fraud.Format, Kind: kind, Index: uint64(index), Entry: data, Checkpoint: string(cp.Note), Earlier: string(f.sign(max(1, index)))}
			if entry, err := registry.ParseEntry(data); err == nil && kind == KindTrustList {
				if e, ok := entry.(registry.ListEntry); ok {
					r.TrustList = f.lists[e.N]
				}
			}
			f.a.state.chain.At = registry.NoPrevHead
			p, err := f.a.proof(t.Context(), r, cp)
			if err != nil {
				continue
			}
			r.Proof = p
			if err := fraud.Check(r, f.log, f.anchor.Public()); err == nil {
				t.Errorf("entry %d: a %s is proven on an honest log", index, kind)
			}
		}
	}
}

// A version that the anchor signed and that may not follow is proven with the one before.
func TestListThatMayNotFollow(t *testing.T) {
	f := newFixture(t).begin()
	size := f.a.Status().Size
	f.trustList(2, f.anchor)
	f.lists[2] = must(trustlist.Sign(f.anchor, 2, time.Unix(1760000000, 0), nil))
	f.entries = f.entries[:len(f.entries)-1]
	f.add(registry.ListEntry{N: 2, Hash: registry.HashOf([]byte(f.lists[2]))}.Marshal())
	f.head()
	if status, body := f.ask(f.request(int(size))); status != 422 {
		t.Fatalf("got %d %s, want 422", status, body)
	}
	r := f.a.Status().Fraud
	if r.Proof == nil || r.Proof.Previous == "" {
		t.Fatalf("got %+v, want a proof with the version before", r)
	}
	checkProven(t, f, must(encodeReport(r)), true)
	for name, change := range map[string]func(*fraud.Proof){
		"no version before":            func(p *fraud.Proof) { p.Previous = "" },
		"another version before":       func(p *fraud.Proof) { p.Previous = f.lists[2] },
		"version before elsewhere":     func(p *fraud.Proof) { p.PreviousIndex++ },
		"version before stands behind": func(p *fraud.Proof) { p.PreviousIndex = r.Index },
	} {
		spoilt, p := *r, *r.Proof
		change(&p)
		spoilt.Proof = &p
		if err := fraud.Check(&spoilt, f.log, f.anchor.Public()); !errors.Is(err, fraud.ErrNotProven) {
			t.Errorf("%s: got %v, want ErrNotProven", name, err)
		}
	}
}
