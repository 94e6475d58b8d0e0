package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/verifier"
)

const november = attestation.Period("2025-11")

// presented is a world with one wage, recorded by the employer alone, and a presentation of it.
func presented(t *testing.T) (*evidencetest.World, evidence.Presentation) {
	w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	w.Now = evidencetest.At(2025, 11, 25, 18)
	payment := w.WagePayment(november, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, november, 0, payment)
	w.Now = evidencetest.At(2025, 12, 8, 9)
	statement := w.Statement(true, map[string]any{"date": "2025-12-08", "kind": "accept", "about": map[string]any{"id": w.EngagementID}})
	return w, w.Presentation(evidencetest.All, []string{payment}, []string{statement})
}

func request(w *evidencetest.World, p evidence.Presentation) verifier.Request {
	return verifier.Request{Presentation: p, Audience: evidencetest.Audience, Nonce: evidencetest.Nonce, Now: w.Now.Add(time.Minute)}
}

func TestAssess(t *testing.T) {
	w, p := presented(t)
	f, r, err := verifier.Assess(context.Background(), request(w, p), w, w.Trust())
	if err != nil {
		t.Fatal(err)
	}
	if r.Result != compliance.Pass || r.Assessment.Findings[0].Finding != compliance.Fulfilled {
		t.Errorf("got %v and %+v", r.Result, r.Assessment.Findings[0])
	}
	data, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again := verifier.Verify(data, w.Trust(), verifier.Options{})
	if again.Result != compliance.Pass || again.Kind != "evidence" {
		t.Errorf("the file: got %v of kind %s: %+v", again.Result, again.Kind, again.Checks)
	}
}

func TestAssessRefuses(t *testing.T) {
	w, p := presented(t)
	for name, spoil := range map[string]func(*verifier.Request){
		"another audience":          func(r *verifier.Request) { r.Audience = "x509_san_dns:other.test" },
		"another nonce":             func(r *verifier.Request) { r.Nonce = "other" },
		"too late":                  func(r *verifier.Request) { r.Now = r.Now.Add(time.Hour) },
		"too late for a longer age": func(r *verifier.Request) { r.Now, r.MaxAge = r.Now.Add(3*time.Hour), 2*time.Hour },
		"too early":                 func(r *verifier.Request) { r.Now = r.Now.Add(-time.Hour) },
	} {
		r := request(w, p)
		spoil(&r)
		var failed *evidence.CheckError
		if _, _, err := verifier.Assess(context.Background(), r, w, w.Trust()); !errors.As(err, &failed) || failed.Check.Code != evidence.CodeKBEngagement {
			t.Errorf("%s: got %v, want a failure of %s", name, err, evidence.CodeKBEngagement)
		}
	}
	later := request(w, p)
	later.Now, later.MaxAge = later.Now.Add(time.Hour), 2*time.Hour
	if _, _, err := verifier.Assess(context.Background(), later, w, w.Trust()); err != nil {
		t.Errorf("an hour late where two are allowed: %v", err)
	}
	for name, r := range map[string]verifier.Request{
		"no audience": {Presentation: p, Nonce: "n", Now: w.Now}, "no nonce": {Presentation: p, Audience: "a", Now: w.Now}, "no time": {Presentation: p, Audience: "a", Nonce: "n"},
	} {
		if _, _, err := verifier.Assess(context.Background(), r, w, w.Trust()); !errors.Is(err, verifier.ErrRequest) {
			t.Errorf("%s: got %v, want %v", name, err, verifier.ErrRequest)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestVerifyKinds(t *testing.T) {
	w, p := presented(t)
	lists, err := w.TrustLists(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	list := lists.Lists[0].JWT
	stranger := evidencetest.New(t, w.Now)
	strangers, _ := stranger.TrustLists(context.Background())
	engagement, attested := p.Engagement, p.Attestations[0]
	unbound := attested[:strings.LastIndexByte(attested, '~')+1]

	for _, c := range []struct {
		name   string
		file   string
		list   string
		kind   string
		result compliance.Result
		code   string // of a check with that result
	}{
		{"presentation", marshal(t, p), list, verifier.KindPresentation, compliance.Pass, verifier.CodeBinding},
		{"presentation without a list", marshal(t, p), "", verifier.KindPresentation, compliance.CannotTell, verifier.CodeIssuer},
		{"presentation with another anchor's list", marshal(t, p), strangers.Lists[0].JWT, verifier.KindPresentation, compliance.Fail, verifier.CodeList},
		{"presentation with a member more", strings.Replace(marshal(t, p), "{", `{"x":1,`, 1), list, verifier.KindPresentation, compliance.Fail, verifier.CodeForm},
		{"presentation with a foreign statement", marshal(t, evidence.Presentation{Engagement: engagement, Statements: []string{unbound}}), list, verifier.KindPresentation, compliance.Fail, verifier.CodeSignature},
		{"presentation whose engagement nobody signed for", marshal(t, evidence.Presentation{Engagement: engagement[:strings.LastIndexByte(engagement, '~')+1]}), list, verifier.KindPresentation, compliance.Fail, verifier.CodeBinding},
		{"presentation whose attestation nobody signed for", marshal(t, evidence.Presentation{Engagement: engagement, Attestations: []string{unbound}}), list, verifier.KindPresentation, compliance.Fail, verifier.CodeBinding},
		{"presentation with a broken attestation", marshal(t, evidence.Presentation{Engagement: engagement, Attestations: []string{"x"}}), list, verifier.KindPresentation, compliance.Fail, verifier.CodeSignature},
		{"SD-JWT with key binding", attested, list, verifier.KindSDJWT, compliance.Pass, verifier.CodeBinding},
		{"SD-JWT", unbound + "\n", list, verifier.KindSDJWT, compliance.Pass, verifier.CodeClaims},
		{"SD-JWT without a list", unbound, "", verifier.KindSDJWT, compliance.CannotTell, verifier.CodeIssuer},
		{"SD-JWT cut", unbound[:len(unbound)-30] + "~", list, verifier.KindSDJWT, compliance.Fail, verifier.CodeSignature},
		{"SD-JWT with the wrong disclosure", unbound + strings.Split(engagement, "~")[1] + "~", list, verifier.KindSDJWT, compliance.Fail, verifier.CodeSignature},
		{"SD-JWT bound for another presentation", unbound + attested[len(unbound):len(attested)-1] + flipped(attested[len(attested)-1:]), list, verifier.KindSDJWT, compliance.Fail, verifier.CodeBinding},
		{"SD-JWT of a stranger", stranger.Issue(stranger.Bank.Key, map[string]any{"vct": "x", "iss": "https://x.test"}), list, verifier.KindSDJWT, compliance.Fail, verifier.CodeIssuer},
		{"SD-JWT of another issuer", w.Issue(w.Bank.Key, map[string]any{"vct": "x", "iss": "https://x.test"}), list, verifier.KindSDJWT, compliance.Fail, verifier.CodeSignature},
		{"SD-JWT of another type", w.Issue(w.Bank.Key, map[string]any{"vct": "x", "iss": w.Bank.Issuer}), list, verifier.KindSDJWT, compliance.Fail, verifier.CodeClaims},
		{"cut evidence file", `{"format":"akashi-evidence/1"}`, list, evidence.Kind, compliance.Fail, evidence.CodeCanonical},
		{"cut JSON", `{"format":`, list, verifier.KindUnknown, compliance.Fail, verifier.CodeForm},
		{"nothing", "", list, verifier.KindUnknown, compliance.Fail, verifier.CodeForm},
		{"a JWT", evidencetest.JWT(unbound), list, verifier.KindUnknown, compliance.Fail, verifier.CodeForm},
	} {
		r := verifier.Verify([]byte(c.file), w.Trust(), verifier.Options{TrustList: c.list})
		if r.Result != c.result || r.Kind != c.kind {
			t.Errorf("%s: got %v of kind %s, want %v of kind %s: %+v", c.name, r.Result, r.Kind, c.result, c.kind, r.Checks)
		}
		if !slices.ContainsFunc(r.Checks, func(k compliance.Check) bool { return k.Code == c.code && k.Result == c.result }) {
			t.Errorf("%s: no check %s with %v in %+v", c.name, c.code, c.result, r.Checks)
		}
	}
}

// flipped returns another character of base64url that leaves the last two bits alone.
func flipped(s string) string {
	if s == "A" {
		return "Q"
	}
	return "A"
}

func TestResultAsJSON(t *testing.T) {
	got := marshal(t, verifier.Verify(nil, evidence.Trust{}, verifier.Options{At: time.Unix(0, 0)}))
	want := `{"result":"fail","kind":"unknown","checks":[{"code":"file.form","result":"fail","detail":"neither an evidence file, a presentation, an SD-JWT nor an auditor's report"}]}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
