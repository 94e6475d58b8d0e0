package verifier

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"akashi/attestation"
)

// The query of the most months that can be asked for in one step is a valid one, of a size that wallets take. Its claim sets only get smaller, the last
// opens nothing, and no period is asked for twice or before it has begun.
func TestOneStepQuery(t *testing.T) {
	today := attestation.NewDate(2026, 1, 15)
	q, err := oneStepQuery("2024-02", "2026-01", today)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkQuery(q); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 64<<10 {
		t.Errorf("it has %d octets", len(text))
	}
	plan := q.Credential(idEngagement)
	if got := len(plan.ClaimSets); got != 2*maxOneStep+1 {
		t.Errorf("%d claim sets", got)
	}
	if !slices.IsSortedFunc(plan.ClaimSets, func(a, b []string) int { return len(b) - len(a) }) || len(plan.ClaimSets[0]) != len(plan.Claims) || len(plan.ClaimSets[len(plan.ClaimSets)-1]) != 1 {
		t.Error("the claim sets do not go from everything to nothing")
	}
	months := 0
	for _, c := range plan.Claims {
		if c.Path[0] != "slots" {
			continue
		}
		p := attestation.Period(c.Path[2].(string))
		if p.First().After(today) {
			t.Errorf("%v has not begun", c.Path)
		}
		if c.Path[1] == string(attestation.WageBank) {
			months++
		}
	}
	if months != maxOneStep {
		t.Errorf("%d months", months)
	}
	for _, c := range q.Credentials[1:] {
		if c.Claims[0].Values != nil || !c.Multiple {
			t.Errorf("%s is asked for as %+v", c.ID, c)
		}
	}
}

func TestOneStepMonths(t *testing.T) {
	today := attestation.NewDate(2026, 1, 15)
	for _, c := range []struct {
		from, to    attestation.Period
		first, last attestation.Period // "" is refused
	}{
		{"", "", "2025-02", "2026-01"},
		{"2025-11", "", "2025-11", "2026-01"},
		{"2025-11", "2025-12", "2025-11", "2025-12"},
		{"", "2025-12", "2025-01", "2025-12"},
		{"2025-11", "2026-06", "2025-11", "2026-01"},
		{"2026-02", "2026-06", "", ""},
		{"2025-12", "2025-11", "", ""},
		{"2023-01", "2025-12", "", ""},
	} {
		got, err := oneStepMonths(c.from, c.to, today)
		if c.first == "" {
			if !errors.Is(err, ErrOptions) {
				t.Errorf("%s to %s: got %v, %v", c.from, c.to, got, err)
			}
			continue
		}
		if err != nil || got[0] != c.first || got[len(got)-1] != c.last {
			t.Errorf("%s to %s: got %v, %v", c.from, c.to, got, err)
		}
	}
}
