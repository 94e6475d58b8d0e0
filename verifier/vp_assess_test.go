package verifier

import (
	"encoding/json"
	"slices"
	"testing"

	"akashi/attestation"
)

// The query for a contract of five years is a valid one, of a size that wallets take, and its claim sets only get smaller.
func TestAssessmentQueryOfFiveYears(t *testing.T) {
	e := &attestation.Engagement{
		Start: attestation.NewDate(2025, 11, 1), End: attestation.NewDate(2030, 10, 31), ClosingDay: 31, ContractHash: "h", Supersedes: "earlier",
		Slots: make(map[attestation.Stream]map[attestation.Period]attestation.Slot),
	}
	slots := 0
	for s, periods := range e.Plan() {
		e.Slots[s] = make(map[attestation.Period]attestation.Slot)
		for _, p := range periods {
			e.Slots[s][p] = attestation.Slot{}
			slots++
		}
	}
	q := assessmentQuery("id", e, e.End)
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
	c := q.Credential(idEngagement)
	if want := 1 + len(wantedTerms[0]) + slots; len(c.Claims) != want || len(c.ClaimSets[0]) != want {
		t.Errorf("%d claims, of which the first set has %d; want %d", len(c.Claims), len(c.ClaimSets[0]), want)
	}
	if !slices.IsSortedFunc(c.ClaimSets, func(a, b []string) int { return len(b) - len(a) }) || len(c.ClaimSets[len(c.ClaimSets)-1]) != 1 {
		t.Error("the claim sets do not go from everything to nothing")
	}
	if got := q.Credential(string(attestation.TypeWagePayment)).Claims[0].Values; !slices.Equal(got, []any{"id", "earlier"}) {
		t.Errorf("attestations are asked for of %v", got)
	}
	for i, s := range q.Sets {
		if s.IsRequired() != (i == 0) {
			t.Errorf("set %d: required %v", i, s.IsRequired())
		}
	}
}

// TestAssessmentAsksForNothingToCome: what is opened stays open, so a period that has not begun is not asked for.
func TestAssessmentAsksForNothingToCome(t *testing.T) {
	e := &attestation.Engagement{
		Start: attestation.NewDate(2025, 11, 1), End: attestation.NewDate(2027, 10, 31), ClosingDay: 31,
		Slots: map[attestation.Stream]map[attestation.Period]attestation.Slot{attestation.WageBank: {}},
	}
	for _, p := range e.Plan()[attestation.WageBank] {
		e.Slots[attestation.WageBank][p] = attestation.Slot{}
	}
	var asked []any
	for _, c := range planQuery(e, attestation.NewDate(2026, 1, 15)).Claims {
		if c.Path[0] == "slots" {
			asked = append(asked, c.Path[2])
		}
	}
	if want := []any{"2025-11", "2025-12", "2026-01"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
