package wallet_test

import (
	"errors"
	"testing"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/registry"
	"akashi/wallet"
)

// An engagement that also goes by another type gives no more than its single period secrets under that one either.
func TestWidePathByAnotherType(t *testing.T) {
	const other = "https://employer.example/pass"
	s := newSetup(t)
	compact := s.ForgeEngagement("employer-A", s.compact, func(claims map[string]any) {
		claims["contract_hash"] = registry.Hash{1}.String()
		claims["aka_vcts"] = []any{other}
	})
	s.logEngagement("employer-A", compact)
	if _, err := s.wallet.Receive(ctx, compact); err != nil {
		t.Fatal(err)
	}
	f := newFakeVerifier(t, s)
	f.request.Query.Credentials[0].Meta.VCTs = []string{other}
	for _, c := range []struct {
		path dcql.Path
		want error
	}{
		{dcql.Path{"slots"}, wallet.ErrWidePath},
		{dcql.Path{"slots", string(attestation.WageBank), "2026-05"}, wallet.ErrWidePath},
		{dcql.Path{"slots", string(attestation.WageBank), "2026-05", "s"}, nil},
	} {
		f.ask(c.path)
		a, err := s.wallet.OpenRequest(ctx, f.link())
		f.check(err)
		if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{}); !errors.Is(err, c.want) {
			t.Errorf("%v: got %v, want %v", c.path, err, c.want)
		}
	}
}
