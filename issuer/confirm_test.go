package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
)

// liar is a registry that answers a submission without looking at it as long as lie is set.
type liar struct {
	*issuertest.Registry
	lie *registry.SubmitResult
}

func (l *liar) Submit(ctx context.Context, req registry.SubmitRequest) (*registry.SubmitResponse, error) {
	if l.lie == nil {
		return l.Registry.Submit(ctx, req)
	}
	writer, err := l.Submitter(req)
	if err != nil {
		return nil, err
	}
	resp := &registry.SubmitResponse{}
	for _, r := range req.Records {
		result := *l.lie
		result.Key = registry.KeyOf(writer.ID, r.X)
		resp.Results = append(resp.Results, result)
	}
	if l.lie.Status == registry.StatusConflict {
		return resp, registry.ErrConflict
	}
	return resp, nil
}

// lying puts a liar between the issuer and the registry of worker A's world.
func lying(t *testing.T) (*issuertest.World, *issuertest.Worker, *liar) {
	t.Helper()
	w, p := workerA(t, store.NewMemory())
	l := &liar{Registry: w.Registry}
	cfg := w.Config()
	cfg.Registry = l
	i, err := issuer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Issuer = i
	flush(t, w, 0) // confirms the engagement
	return w, p, l
}

// grow logs something else.
func grow(w *issuertest.World) {
	w.Registry.Junk("9999999999999", registry.Secret{byte(w.Registry.Len())}, 0)
}

func TestConfirmation(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		flush(t, w, 0)
		w.Registry.Lookups = nil
		var rows [][2]string
		for _, month := range []string{"2026-01", "2026-02", "2026-03", "2026-04"} {
			rows = append(rows, [2]string{month, "1042"})
		}
		r := pay(t, w, payslips("8.00", rows...), issuer.Options{})
		if r.Count(issuer.StatusLogged) != 4 || r.Rows[0].Confirmed || len(w.Registry.Lookups) > 0 {
			t.Fatalf("%+v, %d keys looked up: an import waits for the receipt and no longer", r.Rows, len(w.Registry.Lookups))
		}
		reopen()
		calls := 0
		w.Registry.BeforeLookup = func([]registry.Key) error { calls++; return nil }
		flush(t, w, 0)
		if calls != 1 || len(w.Registry.Lookups) != 4 {
			t.Errorf("%d keys in %d lookups, want 4 in one", len(w.Registry.Lookups), calls)
		}
		for _, row := range pay(t, w, payslips("8.00", rows...), issuer.Options{}).Rows {
			if row.Status != issuer.StatusAlready || !row.Confirmed || row.Index == nil {
				t.Errorf("%+v", row)
			}
		}
		if flush(t, w, 0); calls != 1 {
			t.Error("what is confirmed was looked up again")
		}
	})
}

// TestReceiptWithoutLogging: the registry says logged, and has thrown the record away.
func TestReceiptWithoutLogging(t *testing.T) {
	for _, c := range []struct {
		name  string
		index uint64
		later func(*issuertest.World) // until the lie must come out
	}{
		{"an index that was taken", 0, func(*issuertest.World) {}},
		{"the next index", 100, func(w *issuertest.World) {
			for w.Registry.Size() <= 100 {
				grow(w)
			}
		}},
		{"an index far away", 1 << 40, func(w *issuertest.World) { w.Clock.Set(w.Clock.Now().Add(2 * time.Hour)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p, l := lying(t)
			l.lie = &registry.SubmitResult{Index: c.index, Status: registry.StatusLogged}
			wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusLogged)
			if c.index > 0 {
				flush(t, w, 0) // it may be true
			}
			c.later(w)
			for range 2 {
				if n, err := w.Issuer.Flush(ctx); n != 1 || !errors.Is(err, issuer.ErrNotLogged) {
					t.Fatalf("a registry that goes on lying: sent %d, %v, want %v", n, err, issuer.ErrNotLogged)
				}
				c.later(w)
			}
			l.lie = nil
			if n, err := w.Issuer.Flush(ctx); n != 1 || !errors.Is(err, issuer.ErrNotLogged) {
				t.Fatalf("sent %d, %v", n, err)
			}
			flush(t, w, 0)
			r := pay(t, w, may, issuer.Options{})
			if got := ladder(t, w, p, attestation.WageEmployer, "2026-05"); len(got) != 1 || r.Rows[0].J != 0 || !r.Rows[0].Confirmed {
				t.Errorf("%d rungs, %+v", len(got), r.Rows)
			}
		})
	}
}

// TestReceiptNotShownYet: as long as no head has to have the record, or none is proven, nothing is concluded and nothing is sent again.
func TestReceiptNotShownYet(t *testing.T) {
	freeze := func(w *issuertest.World) { w.Registry.Freeze() }
	for _, c := range []struct {
		name   string
		before func(*issuertest.World) // the import
		hide   func(*issuertest.World) // what it logged
		want   error
	}{
		{"not covered yet", freeze, func(*issuertest.World) {}, nil},
		{"nothing newer for a day", freeze, func(w *issuertest.World) { w.Clock.Set(w.Clock.Now().Add(25 * time.Hour)) }, issuer.ErrOldHead},
		{"an earlier state than before", nil, func(w *issuertest.World) { w.Registry.Blind() }, issuer.ErrOldHead},
		{"not audited", nil, func(w *issuertest.World) { w.Registry.Absent = 1 }, registry.ErrNotAudited},
		{"wrong map root", nil, func(w *issuertest.World) {
			w.Registry.Head = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 }
			grow(w)
		}, registry.ErrProofRoot},
		{"another record", nil, func(w *issuertest.World) {
			w.Registry.Alter = func(_ registry.Key, m *registry.MemberProof) { m.Index++ }
		}, registry.ErrNotProven},
		{"said to be absent", nil, func(w *issuertest.World) {
			w.Registry.AlterLookup = func(l *registry.LookupResponse) { l.Results[0].Member = nil }
		}, registry.ErrProofPresence},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _, l := lying(t)
			honest := *w.Registry.Signers
			if c.before != nil {
				c.before(w)
			}
			wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusLogged)
			c.hide(w)
			l.lie = &registry.SubmitResult{Status: registry.StatusConflict} // nothing is to be sent
			if n, err := w.Issuer.Flush(ctx); n != 0 || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("Flush sent %d, %v, want %v", n, err, c.want)
			}
			w.Registry.Unblind()
			w.Registry.Alter, w.Registry.AlterLookup, *w.Registry.Signers = nil, nil, honest
			grow(w)
			flush(t, w, 0)
			if r := pay(t, w, may, issuer.Options{}); !r.Rows[0].Confirmed || r.Rows[0].J != 0 {
				t.Errorf("%+v", r.Rows[0])
			}
		})
	}
}

// TestReceiptForSlotOfAnother: the registry says logged where it has another record. The record leaves the slot once that is proven and shown.
func TestReceiptForSlotOfAnother(t *testing.T) {
	w, p, l := lying(t)
	w.Registry.Junk(w.Orgs["employer-A"].ID, period(t, w, p, attestation.WageEmployer, "2026-05"), 0)
	l.lie = &registry.SubmitResult{Status: registry.StatusLogged}
	wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusLogged)
	l.lie = nil
	w.Registry.Alter = func(_ registry.Key, m *registry.MemberProof) { m.A, m.Erased = nil, true }
	if n, err := w.Issuer.Flush(ctx); n != 0 || !errors.Is(err, registry.ErrNotProven) {
		t.Errorf("erased: sent %d, %v", n, err)
	}
	w.Registry.Alter = nil
	if n, err := w.Issuer.Flush(ctx); n != 1 || !errors.Is(err, issuer.ErrNotLogged) {
		t.Errorf("sent %d, %v, want %v", n, err, issuer.ErrNotLogged)
	}
	flush(t, w, 0)
	if got := ladder(t, w, p, attestation.WageEmployer, "2026-05"); len(got) != 2 || got[1].verified == nil {
		t.Errorf("%d rungs, want junk and the record", len(got))
	}
}

// TestInventedConflict: the registry says that an empty slot is taken. Were it believed, the record would stand above an empty rung, and
// the month would be proven to have none.
func TestInventedConflict(t *testing.T) {
	for _, c := range []struct {
		name  string
		index uint64
		hide  func(*issuertest.World)
		want  error
	}{
		{"by what the head covers", 0, func(*issuertest.World) {}, issuer.ErrNotTaken},
		{"by what no head covers", 1 << 40, func(*issuertest.World) {}, nil},
		{"and says it was erased", 0, func(w *issuertest.World) {
			w.Registry.AlterLookup = func(l *registry.LookupResponse) { l.Results[0].Member = &registry.MemberProof{Erased: true} }
		}, registry.ErrProofAbsence},
		{"and shows another record", 0, func(w *issuertest.World) {
			a := make([]byte, 12+4096+16)
			w.Registry.AlterLookup = func(l *registry.LookupResponse) {
				l.Results[0].Member = &registry.MemberProof{A: a, HB: registry.HashOf(nil), Value: registry.ValueOf(a, nil)}
			}
		}, registry.ErrProofAbsence},
		{"in a map of its own, unaudited", 0, func(w *issuertest.World) {
			w.Registry.AlterLookup = func(l *registry.LookupResponse) { ownMap(w, l) }
		}, registry.ErrNotAudited},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p, l := lying(t)
			c.hide(w)
			l.lie = &registry.SubmitResult{Index: c.index, Status: registry.StatusConflict}
			wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusStored)
			if n, err := w.Issuer.Flush(ctx); n != 0 || err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("Flush sent %d, %v, want %v", n, err, c.want)
			}
			l.lie, w.Registry.AlterLookup = nil, nil
			flush(t, w, 1)
			got := ladder(t, w, p, attestation.WageEmployer, "2026-05")
			if r := pay(t, w, may, issuer.Options{}); len(got) != 1 || r.Rows[0].J != 0 {
				t.Errorf("%d rungs, the record at rung %d", len(got), r.Rows[0].J)
			}
		})
	}
}

// ownMap answers a lookup from a map in which every key that was asked for is taken by junk, under a head that the witnesses sign and the
// auditors do not.
func ownMap(w *issuertest.World, l *registry.LookupResponse) {
	a := make([]byte, 12+4096+16)
	v := registry.ValueOf(a, nil)
	var entries [][]byte
	for _, r := range l.Results {
		entries = append(entries, registry.SlotEntry{K: r.Key, V: v}.Marshal())
	}
	signers := *w.Registry.Signers
	signers.Absent = 1
	st := signers.State(entries)
	l.Head = st.Head
	for n := range l.Results {
		r := &l.Results[n]
		r.Proof = st.Prove(r.Key)
		r.Member = &registry.MemberProof{Index: uint64(n), Value: v, A: a, HB: registry.HashOf(nil), Inclusion: st.Inclusion(uint64(n))}
	}
}

// TestFalseReceiptBelowTrueOnes: the lowest of three rungs was never logged, and another record stands there now. It goes above those that
// were, which stay where they are.
func TestFalseReceiptBelowTrueOnes(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprint("taken ", taken), func(t *testing.T) {
			w, p, l := lying(t)
			var ids []string
			for n, overtime := range []string{"8.00", "9.00", "10.00"} {
				if l.lie = nil; n == 0 {
					l.lie = &registry.SubmitResult{Status: registry.StatusLogged}
				}
				r := pay(t, w, payslips(overtime, [2]string{"2026-05", "1042"}), issuer.Options{Supersede: true})
				wantStatus(t, r, issuer.StatusLogged)
				ids = append(ids, r.Rows[0].ID)
			}
			want := ids
			if taken {
				w.Registry.Junk(w.Orgs["employer-A"].ID, period(t, w, p, attestation.WageEmployer, "2026-05"), 0)
				want = []string{"", ids[1], ids[2], ids[0]}
			}
			if n, err := w.Issuer.Flush(ctx); n != 1 || !errors.Is(err, issuer.ErrNotLogged) {
				t.Errorf("sent %d, %v, want %v", n, err, issuer.ErrNotLogged)
			}
			flush(t, w, 0)
			var got []string
			for _, r := range ladder(t, w, p, attestation.WageEmployer, "2026-05") {
				id := ""
				if r.verified != nil {
					id = r.verified.ID
				}
				got = append(got, id)
			}
			if !slices.Equal(got, want) {
				t.Errorf("rungs %q, want %q", got, want)
			}
		})
	}
}
