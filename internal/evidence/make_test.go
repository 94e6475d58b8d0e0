package evidence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// engaged is a world with a contract of November and December 2025 and nothing else, on the November pay day.
func engaged(t *testing.T) *evidencetest.World {
	w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	w.Now = evidencetest.At(2025, 11, 25, 18)
	return w
}

// evidenceOf makes a file of a presentation in which everything is opened, and returns what it hands to the judgement.
func evidenceOf(t *testing.T, w *evidencetest.World, credentials, statements []string) (compliance.Evidence, *evidence.File) {
	t.Helper()
	w.Now = w.Now.Add(24 * time.Hour)
	w.CloseEpoch()
	f, r, err := evidence.Make(context.Background(), w.Presentation(evidencetest.All, credentials, statements), w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Result != compliance.Pass {
		t.Fatalf("the file that was just made: got %v, want pass: %+v", r.Result, r.Checks)
	}
	ev, r := evidence.EvidenceOf(f, w.Trust())
	if r.Result != compliance.Pass {
		t.Fatalf("verified again: got %v, want pass: %+v", r.Result, r.Checks)
	}
	return ev, f
}

func ladderOf(t *testing.T, ev compliance.Evidence, s attestation.Stream, p attestation.Period) compliance.Ladder {
	t.Helper()
	i := slices.IndexFunc(ev.Ladders, func(l compliance.Ladder) bool { return l.Stream == s && l.Period == p })
	if i < 0 {
		t.Fatalf("there is no ladder of %s %s", s, p)
	}
	return ev.Ladders[i]
}

func TestWhatAnEntryIsWorth(t *testing.T) {
	paid := attestation.NewDate(2025, 11, 25)
	log := func(w *evidencetest.World, compact string) {
		w.Log(w.Employer, attestation.WageEmployer, nov, 0, compact)
	}
	claims := func(w *evidencetest.World) map[string]any {
		c := w.Common(w.Employer, attestation.TypeWagePayment)
		maps.Copy(c, map[string]any{
			"period": "2025-11", "from": "2025-11-01", "to": "2025-11-30", "kind": "regular", "paid_date": "2025-11-25",
			"method": "transfer", "declared_in_full": true, "ledger_row_hash": w.ContractHash.String(),
		})
		return c
	}
	with := func(name string, v any) func(*evidencetest.World) {
		return func(w *evidencetest.World) {
			c := claims(w)
			c[name] = v
			log(w, w.Issue(w.Employer.Key, c))
		}
	}
	for _, c := range []struct {
		name     string
		act      func(*evidencetest.World)
		validity compliance.Validity
		reason   string
	}{
		{"the employer's own", func(w *evidencetest.World) { log(w, w.WagePayment(nov, paid)) }, compliance.Valid, ""},
		{"does not open", func(w *evidencetest.World) { w.Submit(w.Employer, w.JunkRecord(attestation.WageEmployer, nov, 0)) }, compliance.Junk, evidence.ReasonJunk},
		{"no credential", func(w *evidencetest.World) { log(w, "hello") }, compliance.Junk, evidence.ReasonJunk},
		{"signature broken", func(w *evidencetest.World) {
			compact := w.WagePayment(nov, paid)
			log(w, strings.Replace(compact, evidencetest.JWT(compact), flipSignature(evidencetest.JWT(compact)), 1))
		}, compliance.Junk, evidence.ReasonSignature},
		{"signed by nobody on the list", func(w *evidencetest.World) { log(w, w.Issue(evidencetest.Key(t), claims(w))) }, compliance.Junk, evidence.ReasonNotAccredited},
		{"signed by the bank as itself", func(w *evidencetest.World) {
			c := claims(w)
			c["iss"] = w.Bank.Issuer
			log(w, w.Issue(w.Bank.Key, c))
		}, compliance.Junk, evidence.ReasonNotAccredited},
		{"signed by the bank as the employer", func(w *evidencetest.World) { log(w, w.Issue(w.Bank.Key, claims(w))) }, compliance.Junk, evidence.ReasonNotAccredited},
		{"another issuer", with("iss", "https://stranger.test"), compliance.Junk, evidence.ReasonNotAccredited},
		{"another type", func(w *evidencetest.World) {
			c := w.Common(w.Employer, attestation.TypeSeparation)
			c["end_date"] = "2025-11-25"
			log(w, w.Issue(w.Employer.Key, c))
		}, compliance.Junk, evidence.ReasonType},
		{"a claim that the type does not have", with("bonus", 1), compliance.Junk, evidence.ReasonType},
		{"of another engagement", with("engagement", registry.Hash{1}.String()), compliance.Junk, evidence.ReasonEngagement},
		{"bound to another key", with("cnf", map[string]any{"jwk": evidencetest.Key(t).Public().JWK()}), compliance.Junk, evidence.ReasonHolder},
		{"bound to no key", func(w *evidencetest.World) {
			c := claims(w)
			delete(c, "cnf")
			log(w, w.Issue(w.Employer.Key, c))
		}, compliance.Junk, evidence.ReasonHolder},
		{"of another month", with("period", "2025-12"), compliance.Junk, evidence.ReasonSlot},
		{"lost by the registry", func(w *evidencetest.World) {
			log(w, w.WagePayment(nov, paid))
			w.Lose(w.KeyOf(attestation.WageEmployer, nov, 0), false)
		}, compliance.Unavailable, evidence.ReasonUnavailable},
		{"erased", func(w *evidencetest.World) {
			log(w, w.WagePayment(nov, paid))
			w.Lose(w.KeyOf(attestation.WageEmployer, nov, 0), true)
		}, compliance.Unavailable, evidence.ReasonErased},
		{"signed with a key that was compromised before", func(w *evidencetest.World) {
			log(w, w.WagePayment(nov, paid))
			marked := w.Entities()
			marked[0].Compromised = []trustlist.Compromise{{Kid: w.Employer.Key.Public().Thumbprint(), Since: w.Now.Add(-time.Hour)}}
			w.AddTrustList(marked...)
		}, compliance.Unavailable, evidence.ReasonCompromised},
		{"signed with a key that was compromised afterwards", func(w *evidencetest.World) {
			log(w, w.WagePayment(nov, paid))
			marked := w.Entities()
			marked[0].Compromised = []trustlist.Compromise{{Kid: w.Employer.Key.Public().Thumbprint(), Since: w.Now.Add(time.Hour)}}
			w.AddTrustList(marked...)
		}, compliance.Valid, ""},
		{"signer left after the engagement was logged", func(w *evidencetest.World) {
			left := w.Entities()
			left[0].Until = attestation.NewDate(2025, 11, 10)
			w.AddTrustList(left...)
			log(w, w.WagePayment(nov, paid))
		}, compliance.Valid, ""},
		{"signer may not attest the type any more", func(w *evidencetest.World) {
			less := w.Entities()
			less[0].Types = []attestation.Type{attestation.TypeEngagement}
			w.AddTrustList(less...)
			log(w, w.WagePayment(nov, paid))
		}, compliance.Junk, evidence.ReasonNotAccredited},
		{"signer may not attest the type since", func(w *evidencetest.World) {
			log(w, w.WagePayment(nov, paid))
			less := w.Entities()
			less[0].Types = []attestation.Type{attestation.TypeEngagement}
			w.AddTrustList(less...)
		}, compliance.Valid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := engaged(t)
			c.act(w)
			ev, _ := evidenceOf(t, w, nil, nil)
			l := ladderOf(t, ev, attestation.WageEmployer, nov)
			if len(l.Rungs) != 1 || !l.Closed || !l.Opened {
				t.Fatalf("got %+v, want one rung and its end", l)
			}
			got := l.Rungs[0]
			if got.Validity != c.validity || got.Reason != c.reason {
				t.Errorf("got %v with %q, want %v with %q", got.Validity, got.Reason, c.validity, c.reason)
			}
			if want := map[bool]string{true: w.Employer.ID}[c.validity == compliance.Junk]; got.Submitter != want {
				t.Errorf("submitter: got %q, want %q", got.Submitter, want)
			}
			if (got.ID != "") != (c.validity == compliance.Valid) || (got.Claims != nil) != (c.validity == compliance.Valid) {
				t.Errorf("got %+v: claims belong to valid entries only", got)
			}
		})
	}
}

// flipSignature changes a character in the middle of a JWT's signature.
func flipSignature(jwt string) string {
	i := strings.LastIndexByte(jwt, '.') + 40
	return jwt[:i] + flip(jwt[i:i+1]) + jwt[i+1:]
}

func TestRungAheadOfAGap(t *testing.T) {
	w := engaged(t)
	first, second := w.WagePayment(nov, attestation.NewDate(2025, 11, 25)), w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 1, second)
	w.Now = w.Now.Add(48 * time.Hour)
	ev, _ := evidenceOf(t, w, nil, nil)
	if l := ladderOf(t, ev, attestation.WageEmployer, nov); len(l.Rungs) != 0 || !l.Closed {
		t.Fatalf("above a gap: got %+v, want an empty ladder", l)
	}
	w.Now = w.Now.Add(24 * time.Hour)
	filled := w.Now
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, first)
	ev, _ = evidenceOf(t, w, nil, nil)
	l := ladderOf(t, ev, attestation.WageEmployer, nov)
	if len(l.Rungs) != 2 || l.Rungs[1].Index >= l.Rungs[0].Index {
		t.Fatalf("got %+v, want two rungs, the second logged first", l)
	}
	for _, r := range l.Rungs {
		if r.ExistedBy.Before(filled) {
			t.Errorf("rung %d: existed by %v, before the gap was filled at %v", r.J, r.ExistedBy, filled)
		}
	}
}

func TestPresentedClaimsJoinTheirEntry(t *testing.T) {
	w := engaged(t)
	payment := w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	receipt := w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 212000)
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, payment)
	w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
	ev, _ := evidenceOf(t, w, []string{receipt}, nil)
	shown := ladderOf(t, ev, attestation.WageBank, nov).Rungs[0]
	if c := shown.Claims.(*attestation.WageReceipt); !shown.Presented || c.Amount == nil || *c.Amount != 212000 {
		t.Errorf("presented: got %+v, want its disclosed amount", shown)
	}
	closed := ladderOf(t, ev, attestation.WageEmployer, nov).Rungs[0]
	if c := closed.Claims.(*attestation.WagePayment); closed.Presented || c.Net != nil || c.PaidDate.String() != "2025-11-25" {
		t.Errorf("not presented: got %+v, want its visible claims alone", closed)
	}
}

func TestTiedEntities(t *testing.T) {
	w := engaged(t)
	group := w.Entities()
	group[0].Group, group[2].Group = "group-1", "group-1"
	w.AddTrustList(group...)
	w.Log(w.Bank, attestation.WageBank, nov, 0, w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 212000))
	ev, _ := evidenceOf(t, w, nil, nil)
	if r := ladderOf(t, ev, attestation.WageBank, nov).Rungs[0]; !r.Tied {
		t.Errorf("a bank of the employer's group: got %+v, want it tied", r)
	}
}

func TestInterviewsBelongToTheirStream(t *testing.T) {
	for _, c := range []struct {
		name, interviewee string
		date              attestation.Date
		validity          compliance.Validity
	}{
		{"in the quarter", "worker", attestation.NewDate(2025, 11, 20), compliance.Valid},
		{"after the quarter", "worker", attestation.NewDate(2026, 1, 20), compliance.Valid},
		{"before the quarter", "worker", attestation.NewDate(2025, 9, 30), compliance.Junk},
		{"with another person", "supervisor", attestation.NewDate(2025, 11, 20), compliance.Junk},
	} {
		w := engaged(t)
		w.Log(w.Support, attestation.InterviewWorker, "2025-Q4", 0, w.Interview(c.interviewee, c.date))
		ev, _ := evidenceOf(t, w, nil, nil)
		if got := ladderOf(t, ev, attestation.InterviewWorker, "2025-Q4").Rungs[0]; got.Validity != c.validity {
			t.Errorf("%s: got %v (%s), want %v", c.name, got.Validity, got.Reason, c.validity)
		}
	}
}

// TestEngagementLadder logs a second engagement of the contract, which adds a month.
func TestEngagementLadder(t *testing.T) {
	w := engaged(t)
	first, firstID := w.Engagement, w.EngagementID
	payment := w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, payment)
	w.Now = evidencetest.At(2025, 12, 20, 12)
	w.EngageSigned(1, w.Extend(first, attestation.NewDate(2026, 1, 31)))

	t.Run("the later one shown", func(t *testing.T) {
		ev, _ := evidenceOf(t, w, []string{payment}, nil)
		if ev.EngagementID != w.EngagementID || ev.Terms.End.String() != "2026-01-31" {
			t.Errorf("got %s until %v, want the later engagement", ev.EngagementID, ev.Terms.End)
		}
		if r := ladderOf(t, ev, attestation.WageEmployer, nov).Rungs[0]; r.Validity != compliance.Valid {
			t.Errorf("an attestation that names the earlier one: got %v (%s), want valid", r.Validity, r.Reason)
		}
		since := ev.PlanSince[attestation.WageEmployer]
		if !since[nov].Before(since["2026-01"]) || since["2026-01"].IsZero() {
			t.Errorf("plan since %v: the added month must count from the later engagement", since)
		}
	})
	t.Run("the earlier one shown", func(t *testing.T) {
		w.Engagement = first
		ev, _ := evidenceOf(t, w, nil, nil)
		if ev.EngagementID == firstID || ev.Terms.End.String() != "2026-01-31" || ev.Terms.Terms.BaseAmount != nil {
			t.Errorf("got %s until %v, want the visible terms of the later engagement", ev.EngagementID, ev.Terms.End)
		}
		if !slices.ContainsFunc(ev.Checks, func(c compliance.Check) bool {
			return c.Code == evidence.CodeEngagementInForce && c.Result == compliance.CannotTell
		}) {
			t.Errorf("no check says that a later engagement is in force: %+v", ev.Checks)
		}
	})
}

// TestLaterEngagementMustRepeatSlots shows a later engagement that changes a secret, and one that adds a month that had begun.
func TestLaterEngagementMustRepeatSlots(t *testing.T) {
	for name, later := range map[string]func(w *evidencetest.World) string{
		"another secret": func(w *evidencetest.World) string {
			delete(w.Secrets, "wage-bank 2025-12")
			return w.Issue(w.Employer.Key, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
		},
		"a month that had begun": func(w *evidencetest.World) string {
			w.Now = evidencetest.At(2026, 1, 2, 12)
			return w.Extend(w.Engagement, attestation.NewDate(2026, 1, 31))
		},
	} {
		w := engaged(t)
		w.EngageSigned(1, later(w))
		w.Now = w.Now.Add(24 * time.Hour)
		w.CloseEpoch()
		_, _, err := evidence.Make(context.Background(), w.Presentation(evidencetest.All, nil, nil), w, w.Trust(), evidence.MakeOptions{})
		wantCheck(t, name, err, evidence.CodeEngagementSlots)
	}
}

// TestWhoMayIssueAnEngagement has each party issue it, after the trust list says that it may attest engagements.
func TestWhoMayIssueAnEngagement(t *testing.T) {
	for _, c := range []struct {
		name   string
		issuer func(*evidencetest.World) *evidencetest.Party
		ok     bool
	}{
		{"authority", func(w *evidencetest.World) *evidencetest.Party { return w.Authority }, true},
		{"support organization", func(w *evidencetest.World) *evidencetest.Party { return w.Support }, true},
		{"bank", func(w *evidencetest.World) *evidencetest.Party { return w.Bank }, false},
	} {
		w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
		p := c.issuer(w)
		p.Types = append(p.Types, attestation.TypeEngagement)
		w.AddTrustList(w.Entities()...)
		claims := w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31))
		claims["iss"] = p.Issuer
		w.EngageBy(p, 0, w.Issue(p.Key, claims))
		if c.ok {
			ev, _ := evidenceOf(t, w, nil, nil)
			if ev.IssuerID != p.ID {
				t.Errorf("%s: got issuer %s", c.name, ev.IssuerID)
			}
			continue
		}
		_, _, err := evidence.Make(context.Background(), w.Presentation(evidencetest.All, nil, nil), w, w.Trust(), evidence.MakeOptions{})
		if !errors.Is(err, evidence.ErrNotLogged) { // its name is none under which an engagement can stand
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

// wantCheck expects that making a file failed by a check.
func wantCheck(t *testing.T, name string, err error, code string) {
	t.Helper()
	var failed *evidence.CheckError
	if !errors.As(err, &failed) || failed.Check.Code != code {
		t.Errorf("%s: got %v, want a failure of %s", name, err, code)
	}
}

func TestSlotsOfOtherShape(t *testing.T) {
	secret := strings.Repeat("A", 43)
	for name, slot := range map[string]any{
		"two secrets":            map[string]any{"s": sdjwt.Hidden(secret), "t": sdjwt.Hidden(secret)},
		"a secret and a decoy":   map[string]any{"s": sdjwt.Hidden(secret), "x": sdjwt.Hidden(1)},
		"another name":           map[string]any{"secret": sdjwt.Hidden(secret)},
		"not hidden":             map[string]any{"s": secret},
		"hidden and visible":     map[string]any{"s": sdjwt.Hidden(secret), "n": 1},
		"nothing":                map[string]any{},
		"no secret":              map[string]any{"s": sdjwt.Hidden("short")},
		"null":                   map[string]any{"s": sdjwt.Hidden(nil)},
		"no base64url":           map[string]any{"s": sdjwt.Hidden(strings.Repeat("=", 43))},
		"hidden as a whole":      sdjwt.Hidden(map[string]any{"s": secret}),
		"hidden inside hidden":   sdjwt.Hidden(map[string]any{"s": sdjwt.Hidden(secret)}),
		"an object as a secret":  map[string]any{"s": sdjwt.Hidden(map[string]any{"s": secret})},
		"a string for an object": "s",
	} {
		w := engaged(t)
		claims := w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31))
		claims["slots"].(map[string]any)["wage-bank"].(map[string]any)["2025-11"] = slot
		w.ContractHash = registry.Hash{7}
		claims["contract_hash"] = w.ContractHash.String()
		w.Engage(0, claims)
		_, _, err := evidence.Make(context.Background(), w.Presentation(evidencetest.All, nil, nil), w, w.Trust(), evidence.MakeOptions{})
		wantCheck(t, name, err, evidence.CodeEngagementSlots)
	}
}

// notes returns the details of the credentials that were left out.
func notes(r *evidence.Result) (out []string) {
	for _, c := range r.Checks {
		if c.Code == evidence.CodeNotLogged {
			out = append(out, c.Detail)
		}
	}
	return out
}

func TestWhatIsLeftOut(t *testing.T) {
	w := engaged(t)
	logged := w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, logged)
	offLog := w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 212000)
	misplaced := w.WagePayment(dec, attestation.NewDate(2025, 12, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 1, misplaced)
	said := w.Statement(true, map[string]any{"date": "2025-11-26", "kind": "complaint"})
	unsaid := w.Statement(false, map[string]any{"date": "2025-11-27", "kind": "complaint"})
	forged := w.Issue(evidencetest.Key(t), map[string]any{"vct": attestation.TypeWorkerStatement.VCT(), "engagement": w.EngagementID, "date": "2025-11-27", "kind": "accept"})
	w.CloseEpoch()

	p := w.Presentation(evidencetest.All, []string{misplaced, offLog, logged, logged}, []string{unsaid, said, forged, said})
	f, r, err := evidence.Make(context.Background(), p, w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(f.Presentation.Attestations); got != 1 || w.IDOf(f.Presentation.Attestations[0]) != w.IDOf(logged) {
		t.Errorf("got %d attestations, want the logged one", got)
	}
	if got := f.Presentation.Statements; len(got) != 1 || got[0] != said {
		t.Errorf("got %d statements, want the logged one", len(got))
	}
	if got := notes(r); len(got) != 5 {
		t.Errorf("got %d notes, want one for each credential and statement left out: %q", len(got), got)
	}
	ev, _ := evidence.EvidenceOf(f, w.Trust())
	l := ladderOf(t, ev, attestation.WageEmployer, nov)
	if len(l.Rungs) != 2 || !l.Rungs[0].Presented || l.Rungs[1].Validity != compliance.Junk || l.Rungs[1].Reason != evidence.ReasonSlot {
		t.Errorf("got %+v, want the presented rung and a misplaced one", l.Rungs)
	}
}

func TestStatements(t *testing.T) {
	w := engaged(t)
	accept := w.Statement(true, map[string]any{"date": "2025-11-01", "kind": "accept", "about": map[string]any{"id": w.EngagementID}})
	id := w.EngagementID
	w.EngagementID = registry.Hash{9}.String()
	elsewhere := w.Statement(true, map[string]any{"date": "2025-11-02", "kind": "complaint"})
	w.EngagementID = id
	ev, _ := evidenceOf(t, w, nil, []string{accept, elsewhere})
	if !ev.Accepted || len(ev.Statements) != 1 || ev.Statements[0].ID != w.IDOf(accept) || ev.Statements[0].ExistedBy.IsZero() {
		t.Errorf("got accepted %v and %+v, want the one statement about this engagement", ev.Accepted, ev.Statements)
	}
}

func TestRefusedPresentations(t *testing.T) {
	w, p := small(t)
	kb := func(aud, nonce string, now time.Time) evidence.MakeOptions {
		return evidence.MakeOptions{KeyBinding: &sdjwt.ExpectKeyBinding{Audience: aud, Nonce: nonce, Now: now}}
	}
	make := func(p evidence.Presentation, o evidence.MakeOptions) error {
		_, _, err := evidence.Make(context.Background(), p, w, w.Trust(), o)
		return err
	}
	if err := make(p, kb(evidencetest.Audience, evidencetest.Nonce, w.Now)); err != nil {
		t.Errorf("made for this request: %v", err)
	}
	wantCheck(t, "for another audience", make(p, kb("another", evidencetest.Nonce, w.Now)), evidence.CodeKBEngagement)
	wantCheck(t, "for another nonce", make(p, kb(evidencetest.Audience, "another", w.Now)), evidence.CodeKBEngagement)
	wantCheck(t, "an hour old", make(p, kb(evidencetest.Audience, evidencetest.Nonce, w.Now.Add(time.Hour))), evidence.CodeKBEngagement)
	wantCheck(t, "an attestation instead", make(evidence.Presentation{Engagement: p.Attestations[0]}, evidence.MakeOptions{}), evidence.CodeEngagementSignature)
	wantCheck(t, "nothing", make(evidence.Presentation{}, evidence.MakeOptions{}), evidence.CodeEngagementSignature)
	wantCheck(t, "months outside the contract", make(p, evidence.MakeOptions{From: "2024-01", To: "2026-12"}), evidence.CodeRange)

	stranger := evidencetest.New(t, w.Now) // has its own parties and another log, with the same names
	_, _, err := evidence.Make(context.Background(), p, stranger, stranger.Trust(), evidence.MakeOptions{})
	wantCheck(t, "to a verifier of another registry", err, evidence.CodeEngagementSignature)
	_, _, err = evidence.Make(context.Background(), p, w, stranger.Trust(), evidence.MakeOptions{})
	wantCheck(t, "with a registry that is not the pinned one", err, evidence.CodeListAnchor)

	unlogged := w.Issue(w.Employer.Key, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	if err := make(evidence.Presentation{Engagement: w.Present(unlogged, evidencetest.All)}, evidence.MakeOptions{}); !errors.Is(err, evidence.ErrNotLogged) {
		t.Errorf("an engagement that is not logged: got %v, want %v", err, evidence.ErrNotLogged)
	}
}

// moving is a source whose registry closes an epoch before each of the first lookups.
type moving struct {
	*evidencetest.World
	moves, lookups int
}

func (m *moving) Lookup(ctx context.Context, k []registry.Key) (*registry.LookupResponse, error) {
	if m.lookups++; m.moves > 0 {
		m.moves--
		m.CloseEpoch()
	}
	return m.World.Lookup(ctx, k)
}

func TestEverythingUnderOneHead(t *testing.T) {
	w, p := small(t)
	for _, c := range []struct {
		moves   int
		lookups int // 0: gives up
	}{{0, 2}, {3, 5}, {1000, 0}} {
		src := &moving{World: w, moves: c.moves}
		_, _, err := evidence.Make(context.Background(), p, src, w.Trust(), evidence.MakeOptions{})
		switch {
		case c.lookups == 0 && !errors.Is(err, evidence.ErrRegistryMoves):
			t.Errorf("%d moves: got %v, want %v", c.moves, err, evidence.ErrRegistryMoves)
		case c.lookups > 0 && (err != nil || src.lookups != c.lookups):
			t.Errorf("%d moves: %d lookups and %v, want %d", c.moves, src.lookups, err, c.lookups)
		}
	}
}

func TestWithoutAuditorsNothingIsAbsent(t *testing.T) {
	w, p := small(t)
	trust := w.Trust()
	trust.Auditors = nil
	f, r, err := evidence.Make(context.Background(), p, w, trust, evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Result != compliance.CannotTell || r.Assessment.Counts["absent"] != 0 || r.Assessment.Counts["unknown"] != 1 {
		t.Errorf("got %v with %v, want unknown and nothing absent", r.Result, r.Assessment.Counts)
	}
	if r := evidence.Verify(f, w.Trust(), evidence.Options{}); r.Result != compliance.Fail {
		t.Errorf("verified with auditors: got %v, want fail, since absences follow that were not stated", r.Result)
	}
}

func TestCompletePosition(t *testing.T) {
	for count := 1; count <= 40; count++ {
		refs := make([]registry.RecordRef, count)
		for i := range refs {
			refs[i].K[0] = byte(i)
		}
		for i, path := range registry.RecordsPaths(refs) {
			p := evidence.CompletePosition(i, count)
			if err := registry.VerifyRecordsPath(refs[i], p, 1<<len(path), path, registry.RecordsRoot(refs)); err != nil {
				t.Errorf("record %d of %d at position %d: %v", i, count, p, err)
			}
			for q := range 1 << len(path) {
				if err := registry.VerifyRecordsPath(refs[i], q, 1<<len(path), path, registry.RecordsRoot(refs)); err == nil && q != p {
					t.Errorf("record %d of %d verifies at %d and at %d", i, count, p, q)
				}
			}
		}
	}
}

func TestPresentationFiles(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"engagement":"a~b"}`:                          true,
		`{"engagement":"a~b","attestations":["c~"]}`:    true,
		` {"statements":["c~"], "engagement" : "a~b"} `: true,
		``:                  false,
		`{}`:                false,
		`{"engagement":""}`: false,
		`{"engagement":1}`:  false,
		`{"engagement":"a~b","attestations":null}`:    false,
		`{"engagement":"a~b","extra":1}`:              false,
		`{"engagement":"a~b","engagement":"a~b"}`:     false,
		`{"engagement":"a~b","Attestations":[]}`:      false,
		`{"engagement":"a~b"}{}`:                      false,
		fmt.Sprintf(`{"engagement":%q}`, "a\u0000~ÿ"): false,
	} {
		if _, err := evidence.ParsePresentation([]byte(text)); (err == nil) != ok {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
