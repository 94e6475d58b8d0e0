package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
	"akashi/registry/trustlist"
	"akashi/verifier"
)

// oneList answers every question with one token.
type oneList struct {
	token string
	err   error
	at    time.Time
}

func (l oneList) StatusList(context.Context, string) (string, time.Time, error) {
	return l.token, l.at, l.err
}

func TestStatus(t *testing.T) {
	w := newVPWorld(t)
	const uri, shared = "https://employer.example/status/1", "https://shared.example/status/1"
	service := evidencetest.Key(t)
	w.Statuses = []trustlist.StatusService{{URI: "https://shared.example/status/", Keys: []json.RawMessage{service.Public().JWK()}}}
	w.AddTrustList(w.Entities()...)
	listAt := func(uri string, key *keys.Private, status statuslist.Status) oneList {
		l, err := statuslist.New(2, 16)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Set(7, status); err != nil {
			t.Fatal(err)
		}
		token, err := statuslist.SignToken(key, l, statuslist.TokenOptions{URI: uri, IssuedAt: w.World.Now, TTL: time.Hour, KeyID: key.Public().Thumbprint()})
		if err != nil {
			t.Fatal(err)
		}
		return oneList{token: token, at: w.World.Now}
	}
	list := func(key *keys.Private, status statuslist.Status) oneList { return listAt(uri, key, status) }
	there := statuslist.Reference{Index: 7, URI: shared}.Claim()
	stale := list(w.Employer.Key, statuslist.Valid)
	stale.at = w.World.Now.Add(-2 * time.Hour)
	for _, c := range []struct {
		name   string
		source verifier.StatusSource
		status any // claim
		reason string
		check  compliance.Result
	}{
		{"valid", list(w.Employer.Key, statuslist.Valid), statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.Pass},
		{"revoked", list(w.Employer.Key, statuslist.Invalid), statuslist.Reference{Index: 7, URI: uri}.Claim(), "credential.revoked", 0},
		{"suspended", list(w.Employer.Key, statuslist.Suspended), statuslist.Reference{Index: 7, URI: uri}.Claim(), "credential.suspended", 0},
		{"another status", list(w.Employer.Key, 3), statuslist.Reference{Index: 7, URI: uri}.Claim(), "credential.status", 0},
		{"beyond the list", list(w.Employer.Key, statuslist.Valid), statuslist.Reference{Index: 99, URI: uri}.Claim(), "", compliance.CannotTell},
		{"another list", list(w.Employer.Key, statuslist.Valid), statuslist.Reference{Index: 7, URI: uri + "0"}.Claim(), "", compliance.CannotTell},
		{"signed by another organization", list(w.Bank.Key, statuslist.Valid), statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"signed by nobody known", list(w.Holder, statuslist.Invalid), statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"too old", stale, statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"unreachable", oneList{err: errors.New("no route")}, statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"no source", nil, statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"shared, valid", listAt(shared, service, statuslist.Valid), there, "", compliance.Pass},
		{"shared, revoked", listAt(shared, service, statuslist.Invalid), there, "credential.revoked", 0},
		{"shared, signed by the issuer", listAt(shared, w.Employer.Key, statuslist.Valid), there, "", compliance.CannotTell},
		{"signed by a service for others", list(service, statuslist.Invalid), statuslist.Reference{Index: 7, URI: uri}.Claim(), "", compliance.CannotTell},
		{"of another kind", list(w.Employer.Key, statuslist.Valid), map[string]any{"other": true}, "", compliance.CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.vp.Statuses = c.source
			p := partsOf(w.payment)
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) { claims["status"] = c.status })
			wallet := &holding{vpWorld: w, held: []string{p.String()}}
			s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
			r := w.fetch(s.Link)
			w.send(r, &oid4vc.VPResponse{Token: wallet.token(r), State: r.State})
			now := w.session(s.ID)
			if now.Reason != c.reason || (c.reason == "") != (now.Status == verifier.Answered) {
				t.Fatalf("got %s for %q, want %q", now.Status, now.Reason, c.reason)
			}
			if c.reason != "" {
				return
			}
			var result struct {
				Credentials map[string][]struct{ Checks []compliance.Check }
			}
			if err := json.Unmarshal(now.Result, &result); err != nil {
				t.Fatal(err)
			}
			if got := result.Credentials["wage"][0].Checks; len(got) != 2 || got[1].Code != verifier.CodeStatus || got[1].Result != c.check {
				t.Errorf("got %+v", got)
			}
		})
	}
}
