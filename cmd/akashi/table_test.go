package main

import (
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
)

// TestTable reads the columns of a table as a terminal with narrow glyphs shows them: a glyph of two columns moves none of the others.
func TestTable(t *testing.T) {
	duty := func(period string, f compliance.Finding) compliance.DutyFinding {
		return compliance.DutyFinding{Obligation: "W-03", Title: map[string]string{"en": "Wage paid in full"}, Period: period, Finding: f,
			DutyHolder: attestation.AcceptingOrganization, AsOf: time.Date(2026, 11, 19, 15, 30, 0, 0, time.UTC)}
	}
	a := &compliance.Assessment{AsOf: time.Date(2026, 11, 19, 15, 30, 0, 0, time.UTC), Findings: []compliance.DutyFinding{
		duty("2026-03", compliance.Undisclosed), duty("2026-04", compliance.Absent), duty("2026-05", compliance.Fulfilled),
	}}
	var out strings.Builder
	printAssessment(&out, "X", a)
	for _, want := range []string{
		"as of 2026-11-20 00:30 JST",
		"                 26-03 26-04 26-05\n",
		"W-03              ？    ×     ○\n",
		"？ undisclosed   × proven absent   ○ fulfilled\n",
		"  W-03            Wage paid in full\n",
		"      no such attestation was recorded by 2026-11-20 00:30 JST\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "not paid") {
		t.Error("the table says \"not paid\"")
	}
}

// TestTableSaysOnceWhatIsTheSame: an engagement that was logged late makes many duties unknown for one reason.
func TestTableSaysOnceWhatIsTheSame(t *testing.T) {
	unknown := func(period string, codes ...string) compliance.DutyFinding {
		f := compliance.DutyFinding{Obligation: "W-05", Title: map[string]string{"en": "Wage on pay day"}, Period: period, Finding: compliance.Unknown,
			Checks: []compliance.Check{{Code: compliance.CodeSlotOpened, Result: compliance.Pass, Detail: "wage-employer " + period}}}
		for _, code := range codes {
			f.Checks = append(f.Checks, compliance.Check{Code: code, Result: compliance.CannotTell, Detail: "the reason for " + period})
		}
		return f
	}
	var out strings.Builder
	printAssessment(&out, "X", &compliance.Assessment{Findings: []compliance.DutyFinding{
		unknown("2025-11", compliance.CodeLoggedBeforeDue), unknown("2025-12", compliance.CodeLoggedBeforeDue),
		unknown("2026-01", compliance.CodeLoggedBeforeDue, compliance.CodeLadderIncomplete), unknown("2026-02"),
	}})
	if got := strings.Count(out.String(), "logged_before_due"); got != 2 { // once for two periods, once beside another reason
		t.Errorf("said %d times:\n%s", got, out.String())
	}
	for _, want := range []string{"      W-05: 2025-11, 2025-12\n", "the reason for 2026-01", "W-05 2026-02 (Wage on pay day)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

// TestTableOnTerminal names the column of every cell, so that glyphs of any width stay below their month.
func TestTableOnTerminal(t *testing.T) {
	var out strings.Builder
	l := &line{w: &out, terminal: true}
	l.at(0, "W-05")
	l.at(18, "○")
	l.at(24, "")
	l.at(30, "×")
	l.end()
	if want := "W-05\x1b[19G○\x1b[31G×\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
