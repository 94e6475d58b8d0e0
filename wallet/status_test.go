package wallet_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer/issuertest"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// The list of many issuers is signed by the service that the trust list names for it, and by nobody else, the issuer included.
func TestSharedStatusList(t *testing.T) {
	for _, c := range []struct {
		name   string
		signer func(o *online, service *keys.Private) *keys.Private
		status statuslist.Status
		want   error
	}{
		{"valid", func(_ *online, service *keys.Private) *keys.Private { return service }, statuslist.Valid, nil},
		{"withdrawn", func(_ *online, service *keys.Private) *keys.Private { return service }, statuslist.Invalid, wallet.ErrRevoked},
		{"signed by the issuer", func(o *online, _ *keys.Private) *keys.Private { return o.fake.key }, statuslist.Valid, wallet.ErrStatus},
		{"signed by another service", func(o *online, _ *keys.Private) *keys.Private { return o.Status }, statuslist.Valid, wallet.ErrStatus},
		{"signed by nobody known", func(*online, *keys.Private) *keys.Private { return issuertest.Key(t) }, statuslist.Valid, wallet.ErrStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			service := issuertest.Key(t)
			o.Services = append(o.Services, trustlist.StatusService{URI: o.fake.srv.URL + "/shared/", Keys: []json.RawMessage{service.Public().JWK()}})
			o.Publish()
			uri := o.fake.srv.URL + "/shared/1"
			o.fake.claims = func(_ int, claims map[string]any) {
				claims["status"] = statuslist.Reference{Index: 1, URI: uri}.Claim()
			}
			l, err := statuslist.New(2, statuslist.MinEntries)
			check(t, err)
			check(t, l.Set(1, c.status))
			signer := c.signer(o, service)
			token, err := statuslist.SignToken(signer, l, statuslist.TokenOptions{URI: uri, IssuedAt: o.Clock.Now(), TTL: time.Hour, KeyID: signer.Public().Thumbprint()})
			check(t, err)
			o.fake.handle["/shared/1"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteBody(w, http.StatusOK, statuslist.MediaType, []byte(token))
			}
			_, _, err = o.collect(o.fake.link(true))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			held, err := o.wallet.Credentials(ctx)
			check(t, err)
			if (len(held) > 0) != (c.want == nil) {
				t.Errorf("%d credentials are held", len(held))
			}
			for _, h := range held {
				if h.Status != wallet.StatusValid {
					t.Errorf("status %s", h.Status)
				}
			}
		})
	}
}

// shareStatus lets a service of the trust list serve the status list of the fake issuer's cards, with the status that set gives the second.
func (o *online) shareStatus() (set func(statuslist.Status)) {
	service := issuertest.Key(o.t)
	o.Services = append(o.Services, trustlist.StatusService{URI: o.fake.srv.URL + "/shared/", Keys: []json.RawMessage{service.Public().JWK()}})
	o.Publish()
	uri := o.fake.srv.URL + "/shared/1"
	o.fake.claims = func(n int, claims map[string]any) {
		claims["status"] = statuslist.Reference{Index: uint64(n), URI: uri}.Claim()
	}
	status := statuslist.Valid
	o.fake.handle["/shared/1"] = func(w http.ResponseWriter, _ *http.Request) {
		l, err := statuslist.New(2, statuslist.MinEntries)
		check(o.t, err)
		check(o.t, l.Set(1, status))
		token, err := statuslist.SignToken(service, l, statuslist.TokenOptions{URI: uri, IssuedAt: o.Clock.Now(), TTL: time.Second, KeyID: service.Public().Thumbprint()})
		check(o.t, err)
		web.WriteBody(w, http.StatusOK, statuslist.MediaType, []byte(token))
	}
	return func(s statuslist.Status) { status = s }
}

// statuses returns the status of each card, in the order of their places in the list.
func (o *online) statuses() []string {
	held, err := o.wallet.Credentials(ctx)
	check(o.t, err)
	out := make([]string, len(held))
	for _, h := range held {
		var claims map[string]any
		check(o.t, keys.DecodeJSON(h.Claims, &claims))
		ref, err := statuslist.ReferenceOf(claims)
		check(o.t, err)
		out[ref.Index] = h.Status
	}
	return out
}

// TestStatusIsAskedAgain: a sync finds out what became of a card, from the service and not from the issuer.
func TestStatusIsAskedAgain(t *testing.T) {
	o := newOnline(t)
	set := o.shareStatus()
	if _, _, err := o.collect(o.fake.link(true)); err != nil {
		t.Fatal(err)
	}
	was := wallet.StatusValid
	for _, c := range []struct {
		status statuslist.Status
		is     string
	}{{statuslist.Valid, wallet.StatusValid}, {statuslist.Suspended, wallet.StatusSuspended}, {statuslist.Valid, wallet.StatusValid}, {statuslist.Invalid, wallet.StatusRevoked}} {
		set(c.status)
		o.Clock.Set(o.Clock.Now().Add(time.Minute))
		before := o.fake.asked["/shared/1"]
		report := o.sync()
		if got := o.statuses(); len(got) != 3 || got[0] != wallet.StatusValid || got[1] != c.is || got[2] != wallet.StatusValid {
			t.Errorf("%s: got %v", c.is, got)
		}
		switch {
		case was == c.is && len(report.Statuses) != 0, was != c.is && (len(report.Statuses) != 1 || report.Statuses[0].Was != was || report.Statuses[0].Is != c.is):
			t.Errorf("%s after %s: reported %+v", c.is, was, report.Statuses)
		case o.fake.asked["/shared/1"] != before+1:
			t.Errorf("the list was fetched %d times", o.fake.asked["/shared/1"]-before)
		}
		was = c.is
	}
	held, err := o.wallet.Credentials(ctx)
	check(t, err)
	if held[0].Checked == nil || !held[0].Checked.Equal(o.Clock.Now()) {
		t.Errorf("checked at %v", held[0].Checked)
	}

	// One that cannot be had changes nothing, a wrong one is an error.
	o.Clock.Set(o.Clock.Now().Add(time.Minute))
	o.fake.handle["/shared/1"] = http.NotFound
	if report := o.sync(); len(report.Statuses) != 0 || o.statuses()[1] != wallet.StatusRevoked {
		t.Errorf("out of reach: %+v, %v", report.Statuses, o.statuses())
	}
	o.fake.handle["/shared/1"] = func(w http.ResponseWriter, _ *http.Request) {
		web.WriteBody(w, http.StatusOK, statuslist.MediaType, []byte("a.b.c"))
	}
	o.Clock.Set(o.Clock.Now().Add(time.Minute))
	if _, err := o.wallet.Sync(ctx); !errors.Is(err, wallet.ErrStatus) || o.statuses()[1] != wallet.StatusRevoked {
		t.Errorf("a list that is none: %v, %v", err, o.statuses())
	}

	o.wallet.Web = nil
	if report := o.sync(); len(report.Statuses) != 0 {
		t.Errorf("without a way to lists: %+v", report)
	}
}

// TestIssuersOwnList: a list that the issuer serves itself is asked for by refresh alone, and a revoked card is then asked for anew.
func TestIssuersOwnList(t *testing.T) {
	o := newOnline(t)
	o.fake.issuer = func(m *oid4vc.IssuerMetadata) { m.Batch = nil }
	o.fake.claims = func(_ int, claims map[string]any) {
		claims["status"] = statuslist.Reference{Index: 1, URI: o.fake.id() + "/status"}.Claim()
	}
	if _, _, err := o.collect(o.fake.link(true)); err != nil {
		t.Fatal(err)
	}
	o.fake.status = statuslist.Invalid
	o.Clock.Set(o.Clock.Now().Add(2 * time.Hour))
	before := o.fake.asked["/o/1/status"]
	if report := o.sync(); len(report.Statuses) != 0 || o.fake.asked["/o/1/status"] != before {
		t.Errorf("sync asked the issuer: %+v", report)
	}
	got, err := o.wallet.Refresh(ctx)
	if !errors.Is(err, wallet.ErrRevoked) || len(got.Statuses) != 1 || got.Statuses[0].Is != wallet.StatusRevoked {
		t.Errorf("refresh: %+v, %v; want the card revoked, and the new one refused for the same reason", got, err)
	}
	held, err := o.wallet.Credentials(ctx)
	check(t, err)
	if len(held) != 1 || held[0].Status != wallet.StatusRevoked {
		t.Errorf("%+v", held)
	}
}

// TestRevokedIsNotShown: of a card's copies a revoked one is passed over, and with no other there is nothing to show.
func TestRevokedIsNotShown(t *testing.T) {
	o := newOnline(t)
	set := o.shareStatus()
	o.fake.give = 2
	if _, _, err := o.collect(o.fake.link(true)); err != nil {
		t.Fatal(err)
	}
	set(statuslist.Invalid)
	o.Clock.Set(o.Clock.Now().Add(time.Minute))
	changes := o.sync().Statuses
	if len(changes) != 1 {
		t.Fatalf("%+v", changes)
	}
	v := newFakeVerifier(t, o.setup)
	v.request.Query = &dcql.Query{Credentials: []dcql.Credential{{ID: "c", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{o.fake.vct()}}}}}
	asking, err := o.wallet.OpenRequest(ctx, v.link())
	check(t, err)
	for range 3 { // the one that was shown least often is chosen
		answer, err := o.wallet.Answer(ctx, asking, wallet.AnswerOptions{})
		check(t, err)
		if len(answer.Documents) != 1 || answer.Documents[0].ID == changes[0].ID {
			t.Errorf("shows %+v, the revoked one is %s", answer.Documents, changes[0].ID)
		}
		_, _, err = o.wallet.Send(ctx, asking, answer)
		check(t, err)
	}
	held, err := o.wallet.Credentials(ctx)
	check(t, err)
	check(t, o.store.Update(ctx, func(tx store.Tx) (err error) {
		for _, h := range held {
			if h.ID != changes[0].ID {
				err = errors.Join(err, tx.Delete([]byte("credential/"+h.ID)))
			}
		}
		return err
	}))
	if _, err := o.wallet.Answer(ctx, asking, wallet.AnswerOptions{}); !errors.Is(err, wallet.ErrCannotAnswer) {
		t.Errorf("with the revoked one alone: %v", err)
	}
}
