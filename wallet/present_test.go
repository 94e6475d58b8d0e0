package wallet_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/issuer"
	"akashi/wallet"
)

type presentation = evidence.Presentation

const (
	audience = "https://verifier.example"
	nonce    = "n-1"
)

// shown verifies one credential of a presentation, with its key binding, and returns the paths that it discloses.
func shown(t testing.TB, s *setup, compact string) (id string, paths []string) {
	t.Helper()
	return shownTo(t, s, compact, audience, nonce)
}

func shownTo(t testing.TB, s *setup, compact, audience, nonce string) (id string, paths []string) {
	t.Helper()
	u, err := sdjwt.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := s.Registry.List.EntityForHeader(u.Header(), s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}, Now: s.Clock.Now(), KeyBinding: &sdjwt.ExpectKeyBinding{Audience: audience, Nonce: nonce, Now: s.Clock.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range v.Disclosed {
		var parts []string
		for _, p := range d.Path {
			parts = append(parts, p.(string))
		}
		paths = append(paths, strings.Join(parts, "."))
	}
	slices.Sort(paths)
	return v.ID, paths
}

// full is a wallet with an engagement, two wages and two statements.
func full(t testing.TB) (s *setup, wages []string, statement string) {
	t.Helper()
	s = received(t)
	for _, name := range []string{"payroll/A-2026-03.csv", "payroll/A-2026-05.csv"} {
		wages = append(wages, s.importFile(name, issuer.Options{}).Rows[0].ID)
	}
	s.sync()
	for _, c := range statements()[:2] {
		it, err := s.wallet.State(ctx, "", c)
		if err != nil {
			t.Fatal(err)
		}
		statement = it.ID
		s.Clock.Set(s.Clock.Now().Add(time.Second))
	}
	return s, wages, statement
}

func present(t testing.TB, s *setup, o wallet.PresentOptions) *presentation {
	t.Helper()
	o.Audience, o.Nonce = audience, nonce
	p, err := s.wallet.Present(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPresentEverything(t *testing.T) {
	s, wages, _ := full(t)
	p := present(t, s, wallet.PresentOptions{})
	id, paths := shown(t, s, p.Engagement)
	if id != s.engagement || !slices.Contains(paths, "worker.name") || !slices.Contains(paths, "slots.wage-bank.2026-05.s") {
		t.Errorf("engagement %s shows %v", id, paths)
	}
	var got []string
	for _, a := range p.Attestations {
		id, paths := shown(t, s, a)
		got = append(got, id)
		if !slices.Contains(paths, "net") || !slices.Contains(paths, "deductions.rent") {
			t.Errorf("wage shows %v", paths)
		}
	}
	slices.Sort(got)
	slices.Sort(wages)
	if !slices.Equal(got, wages) || len(p.Statements) != 2 {
		t.Errorf("%d attestations, %d statements", len(got), len(p.Statements))
	}
	for _, compact := range p.Statements {
		u, err := sdjwt.Parse(compact)
		if err != nil || u.KeyBinding() != "" || len(u.Disclosures()) == 0 {
			t.Errorf("statement: %v", err)
		}
	}
}

func TestPresentChosenPaths(t *testing.T) {
	s, wages, statement := full(t)
	p := present(t, s, wallet.PresentOptions{Show: []string{"slots.wage-bank", "terms.payer_kana"}})
	_, paths := shown(t, s, p.Engagement)
	if len(p.Attestations)+len(p.Statements) != 0 || len(paths) != 25 {
		t.Errorf("%d attestations, %d statements, %d paths", len(p.Attestations), len(p.Statements), len(paths))
	}
	for _, at := range paths {
		if at != "terms.payer_kana" && !strings.HasPrefix(at, "slots.wage-bank.") {
			t.Errorf("%s was shown", at)
		}
	}
	p = present(t, s, wallet.PresentOptions{Hide: []string{"worker", "slots.wage-bank.2026-05", wages[0], statement, wages[1] + ".net", wages[1] + ".deductions"}})
	_, paths = shown(t, s, p.Engagement)
	for _, at := range paths {
		if strings.HasPrefix(at, "worker.") || at == "slots.wage-bank.2026-05.s" {
			t.Errorf("%s was not hidden", at)
		}
	}
	if !slices.Contains(paths, "slots.wage-bank.2026-04.s") || len(p.Attestations) != 1 || len(p.Statements) != 1 {
		t.Fatalf("%d attestations, %d statements", len(p.Attestations), len(p.Statements))
	}
	id, paths := shown(t, s, p.Attestations[0])
	if id != wages[1] || !slices.Equal(paths, []string{"allowances", "base", "gross", "hours", "overtime_pay"}) {
		t.Errorf("%s shows %v", id, paths)
	}
}

func TestPresentRefuses(t *testing.T) {
	s, wages, _ := full(t)
	for name, o := range map[string]wallet.PresentOptions{
		"mistyped ID":     {Audience: audience, Nonce: nonce, Hide: []string{wages[0][1:]}},
		"mistyped path":   {Audience: audience, Nonce: nonce, Hide: []string{"worker.nmae"}},
		"path cut short":  {Audience: audience, Nonce: nonce, Show: []string{"slots.wage"}},
		"mistyped member": {Audience: audience, Nonce: nonce, Hide: []string{wages[0] + ".nett"}},
	} {
		if _, err := s.wallet.Present(ctx, o); !errors.Is(err, wallet.ErrNoMatch) {
			t.Errorf("%s: %v, want %v", name, err, wallet.ErrNoMatch)
		}
	}
	for _, o := range []wallet.PresentOptions{{Nonce: nonce}, {Audience: audience}, {Audience: audience, Nonce: nonce, Engagement: "x"}, {Audience: audience, Nonce: nonce, Engagement: wages[0]}} {
		if _, err := s.wallet.Present(ctx, o); err == nil {
			t.Errorf("%+v was presented", o)
		}
	}
}

func TestWhichEngagement(t *testing.T) {
	s := newSetup(t)
	if _, err := s.wallet.Present(ctx, wallet.PresentOptions{Audience: audience, Nonce: nonce}); err == nil {
		t.Error("an empty wallet presented something")
	}
	if _, err := s.wallet.Receive(ctx, s.compact); err != nil {
		t.Fatal(err)
	}
	proof, err := s.wallet.DeliveryProof()
	if err != nil {
		t.Fatal(err)
	}
	second := s.EngageKeys("B", s.wallet.PublicJWK(), proof)
	if _, err := s.wallet.Receive(ctx, second.Rows[0].SDJWT); err != nil {
		t.Fatal(err)
	}
	if _, err := s.wallet.State(ctx, "", statements()[0]); err == nil || !strings.Contains(err.Error(), "--engagement") {
		t.Errorf("one of two engagements was chosen: %v", err)
	}
	s.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	it, err := s.wallet.State(ctx, second.Rows[0].ID, statements()[0])
	if err != nil || it.Engagement != second.Rows[0].ID {
		t.Errorf("%+v, %v", it, err)
	}
	p := present(t, s, wallet.PresentOptions{Engagement: s.engagement})
	if len(p.Statements) != 0 {
		t.Error("a statement about another engagement was shown")
	}
}
