package wallet_test

import (
	"errors"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/registry"
	"akashi/wallet"
)

// unpaid is a statement to make.
func unpaid() attestation.WorkerStatement {
	kind, text := attestation.StatementUnpaid, "nothing came"
	return attestation.WorkerStatement{Date: attestation.NewDate(2026, 5, 28), Kind: &kind, Text: &text, About: &attestation.About{Stream: attestation.WageEmployer, Period: "2026-04"}}
}

func statementKey(it *wallet.Item) registry.Key {
	_, k := registry.EraseRequest{Statement: it.SDJWT[:strings.IndexByte(it.SDJWT, '~')]}.Slot()
	return k
}

func TestErase(t *testing.T) {
	s := received(t)
	it, err := s.wallet.State(ctx, "", unpaid())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.wallet.State(ctx, "", unpaid())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.wallet.Erase(ctx, it.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		it     *wallet.Item
		erased bool
	}{{it, true}, {kept, false}} {
		m, ok := s.Registry.Entries()[statementKey(c.it)]
		if !ok || m.Erased != c.erased || (len(m.A) == 0) != c.erased {
			t.Errorf("in the registry: %+v, want erased %v", m, c.erased)
		}
		if _, err := s.wallet.Show(ctx, c.it.ID); errors.Is(err, wallet.ErrUnknownID) != c.erased {
			t.Errorf("in the wallet: %v, want erased %v", err, c.erased)
		}
	}
	if p, err := s.wallet.Present(ctx, wallet.PresentOptions{Audience: "a", Nonce: "n"}); err != nil || len(p.Statements) != 1 {
		t.Errorf("shown later: %+v, %v", p, err)
	}
	s.reopen()
	if report := s.sync(); report.Sent != 0 || len(report.Unavailable) != 0 {
		t.Errorf("sync: %+v", report)
	}
}

// TestEraseRefuses: what others recorded stays, and nothing is forgotten before the registry has erased it.
func TestEraseRefuses(t *testing.T) {
	s := received(t)
	if err := s.wallet.Erase(ctx, s.engagement); !errors.Is(err, wallet.ErrNotErasable) {
		t.Errorf("an engagement: got %v", err)
	}
	if err := s.wallet.Erase(ctx, "nothing"); !errors.Is(err, wallet.ErrUnknownID) {
		t.Errorf("nothing: got %v", err)
	}
	it, err := s.wallet.State(ctx, "", unpaid())
	if err != nil {
		t.Fatal(err)
	}
	s.Registry.EraseFails = errors.New("not seen by the auditors yet")
	if err := s.wallet.Erase(ctx, it.ID); !errors.Is(err, s.Registry.EraseFails) {
		t.Errorf("got %v", err)
	}
	if _, err := s.wallet.Show(ctx, it.ID); err != nil {
		t.Errorf("forgotten before it was erased: %v", err)
	}
}

// TestEraseBeforeTheReceipt: a statement that waits to be sent is never sent; one whose receipt got lost is erased in the registry too.
func TestEraseBeforeTheReceipt(t *testing.T) {
	lost := errors.New("lost")
	for name, fail := range map[string]func(*setup){
		"never sent":   func(s *setup) { s.Registry.Before = func(registry.SubmitRequest) error { return lost } },
		"receipt lost": func(s *setup) { s.Registry.After = func(registry.SubmitRequest) error { return lost } },
	} {
		s := received(t)
		fail(s)
		it, err := s.wallet.State(ctx, "", unpaid())
		if !errors.Is(err, lost) || it == nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, before := s.Registry.Entries()[statementKey(it)]
		s.Registry.Before, s.Registry.After = nil, nil
		if err := s.wallet.Erase(ctx, it.ID); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if report := s.sync(); report.Sent != 0 {
			t.Errorf("%s: sent by sync: %+v", name, report)
		}
		m, after := s.Registry.Entries()[statementKey(it)]
		if after != before || m.Erased != before {
			t.Errorf("%s: in the registry: %+v", name, m)
		}
	}
}
