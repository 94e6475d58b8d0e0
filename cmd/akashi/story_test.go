package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/testdata/story"
	"akashi/verifier"
	"akashi/wallet"
)

// startStory makes a player that is stopped when the test ends.
func startStory(t *testing.T) *player {
	t.Helper()
	p, err := newPlayer(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.in.stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return p
}

// TestStory plays the whole year over https and compares every finding with expected.json, those of earlier instants with earlier.json,
// and verifies the evidence files offline a simulated year later.
func TestStory(t *testing.T) {
	p := startStory(t)
	probed := map[time.Time]bool{}
	result, err := p.play(t.Context(), func(it story.Item) error {
		probed[it.At] = true
		_, r, err := p.assess(t.Context(), it.Engagement)
		if err != nil {
			return err
		}
		compareEarlier(t, it, r.Assessment)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range story.Earlier() {
		if !probed[e.AsOf] {
			t.Errorf("nothing was judged as of %s", e.AsOf)
		}
	}
	for i, name := range story.Engagements() {
		t.Run(name, func(t *testing.T) {
			compareExpected(t, story.Expected().Engagements[name], result.Assessments[i])
			verifyLater(t, p, result.cases[name].file, result.Assessments[i])
			checkSaved(t, p, result.cases[name].file)
			checkReceipts(t, p, name)
			checkPages(t, p, name, result.cases[name].file)
		})
	}
}

// checkReceipts finds in the worker's wallet what every assessment ended with: two answers to the listed verifier, over https, which it took.
func checkReceipts(t *testing.T, p *player, engagement string) {
	t.Helper()
	receipts := must(p.workers[engagement].wallet.Shown(t.Context()))(t)
	at := receipts[:0]
	for _, r := range receipts {
		if r.At.Equal(story.Expected().AsOf) {
			at = append(at, r)
		}
	}
	if len(at) != 2 {
		t.Fatalf("%d answers to the verifier, want one for each step", len(at))
	}
	for _, r := range at {
		if r.Outcome != wallet.OutcomeAccepted || r.Entity != p.parties["authority"].ID || "https://"+r.Host != p.in.cfg.Verifier.URL {
			t.Errorf("an answer was %s by %q at %s, want it accepted by the authority at %s", r.Outcome, r.Entity, r.Host, p.in.cfg.Verifier.URL)
		}
	}
	if first, second := len(at[0].Documents), len(at[1].Documents); min(first, second) != 1 || max(first, second) < 20 {
		t.Errorf("shown: %d and %d documents, want the engagement alone, and everything", first, second)
	}
}

func compareEarlier(t *testing.T, it story.Item, a *compliance.Assessment) {
	t.Helper()
	for _, want := range story.Earlier() {
		if !want.AsOf.Equal(it.At) || want.Engagement != it.Engagement {
			continue
		}
		got := "none"
		for _, f := range a.Findings {
			if f.Obligation != want.Obligation || f.Period != want.Period {
				continue
			}
			got = f.Finding.String()
			if f.DaysLate != want.DaysLate || len(want.CorroboratedBy) > 0 && !slices.Equal(f.CorroboratedBy, want.CorroboratedBy) {
				t.Errorf("as of %s, %s %s %s: %d days late, corroborated by %v; want %d, %v", it.At, want.Engagement, want.Obligation, want.Period, f.DaysLate, f.CorroboratedBy, want.DaysLate, want.CorroboratedBy)
			}
		}
		if got != want.Finding {
			t.Errorf("as of %s, %s %s %s: %s, want %s (%s)", it.At, want.Engagement, want.Obligation, want.Period, got, want.Finding, want.Reason)
		}
	}
}

func compareExpected(t *testing.T, want story.Case, got *compliance.Assessment) {
	t.Helper()
	if !got.AsOf.Equal(story.Expected().AsOf) {
		t.Errorf("as of %s, want %s", got.AsOf, story.Expected().AsOf)
	}
	if len(got.Findings) != len(want.Findings) {
		t.Errorf("%d findings, want %d", len(got.Findings), len(want.Findings))
	}
	for i, w := range want.Findings[:min(len(want.Findings), len(got.Findings))] {
		g := got.Findings[i]
		if g.Obligation != w.Obligation || g.Period != w.Period {
			t.Fatalf("finding %d is %s %s, want %s %s", i, g.Obligation, g.Period, w.Obligation, w.Period)
		}
		if g.Finding.String() != w.Finding || g.Due != w.Due || g.DaysLate != w.DaysLate || g.DutyHolder != w.DutyHolder || !slices.Equal(g.CorroboratedBy, w.CorroboratedBy) {
			t.Errorf("%s %s: %s due %s +%d by %s corroborated by %v; want %s due %s +%d by %s corroborated by %v (%s)", w.Obligation, w.Period,
				g.Finding, g.Due, g.DaysLate, g.DutyHolder, g.CorroboratedBy, w.Finding, w.Due, w.DaysLate, w.DutyHolder, w.CorroboratedBy, w.Reason)
		}
	}
	for holder, n := range want.Gaps {
		if got.Gaps[holder] != n {
			t.Errorf("%d gaps of %s, want %d", got.Gaps[holder], holder, n)
		}
	}
	for finding, n := range want.Counts {
		if got.Counts[finding] != n {
			t.Errorf("%d times %s, want %d", got.Counts[finding], finding, n)
		}
	}
}

// verifyLater verifies an evidence file with the policy and the trust anchor alone, a year later.
func verifyLater(t *testing.T, p *player, data []byte, want *compliance.Assessment) {
	t.Helper()
	trust, err := p.in.cfg.trust()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{want.AsOf, want.AsOf.AddDate(1, 0, 0)} {
		r := verifier.Verify(data, trust, verifier.Options{At: at})
		if r.Result != compliance.Pass {
			t.Fatalf("at %s: %s %v", at, r.Result, r.Checks)
		}
		if got, want := mustJSON(t, r.Assessment), mustJSON(t, want); !bytes.Equal(got, want) {
			t.Errorf("at %s the assessment differs:\n got %s\nwant %s", at, got, want)
		}
	}
	trust.Auditors = nil
	if r := verifier.Verify(data, trust, verifier.Options{}); r.Result != compliance.CannotTell {
		t.Errorf("without the auditors' policy: %s, want unknown", r.Result)
	}
}

// checkSaved finds out from an evidence file who saved it.
func checkSaved(t *testing.T, p *player, data []byte) {
	t.Helper()
	var out strings.Builder
	if err := printVerification(streams{out: &out}, verifier.Verify(data, must(p.in.cfg.trust())(t), verifier.Options{}), false); err != nil {
		t.Fatal(err)
	}
	if want := "saved by " + p.parties["authority"].Name["ja"]; !strings.Contains(out.String(), want) {
		t.Errorf("the output has no %q:\n%s", want, out.String())
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
