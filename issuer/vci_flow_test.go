package issuer_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
	"akashi/testdata/story"
)

// verify checks a credential as its issuer's, which its certificate must say as well (HAIP 1.0, Section 6.1.1), and returns its claims.
func (w *vciWorld) verify(actor, compact string) *sdjwt.Verified {
	w.T.Helper()
	u, err := sdjwt.Parse(compact)
	if err != nil {
		w.T.Fatal(err)
	}
	key := w.certified(u.Header())
	if signing, err := keys.ParsePrivate(w.Orgs[actor].Signing); err != nil || !signing.Public().Equal(key) {
		w.T.Fatalf("the certificate is of another key than that of %s: %v", actor, err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}, Now: w.Clock.Now()})
	if err != nil {
		w.T.Fatal(err)
	}
	return v
}

// certified returns the key of x5c: a chain without the anchor, whose leaf is not self-signed.
func (w *vciWorld) certified(h keys.UnverifiedHeader) keys.Public {
	w.T.Helper()
	key, _, err := keys.VerifyChain(h.X5C, []*x509.Certificate{w.CA.Cert}, w.Clock.Now())
	if err != nil || h.Kid != key.Thumbprint() {
		w.T.Fatalf("x5c and kid: %v", err)
	}
	return key
}

// status reads the status of a credential from its list.
func (w *vciWorld) status(v *sdjwt.Verified) statuslist.Status {
	w.T.Helper()
	ref, err := statuslist.ReferenceOf(v.Claims)
	if err != nil || ref == nil {
		w.T.Fatalf("status reference: %v %v", ref, err)
	}
	s, err := w.statusList(ref.URI, "", w.Clock.Now()).Status(ref.Index)
	if err != nil {
		w.T.Fatal(err)
	}
	return s
}

// statusList reads a list as it is or, with a query, was. Its signer stands on the trust list, and has a certificate.
func (w *vciWorld) statusList(uri, query string, at time.Time) *statuslist.Token {
	w.T.Helper()
	r := w.get(uri + query).want(http.StatusOK)
	if got := r.header.Get("Content-Type"); got != statuslist.MediaType {
		w.T.Errorf("Content-Type of the status list: %q", got)
	}
	u, err := statuslist.Parse(string(r.body))
	if err != nil {
		w.T.Fatal(err)
	}
	key, served, err := w.Registry.List.StatusKey(uri, u.Header())
	if err != nil || !served || !key.Equal(w.certified(u.Header())) {
		w.T.Fatalf("the signer of the status list: served %t, %v", served, err)
	}
	token, err := u.Verify(key, statuslist.Expect{URI: uri, Now: at})
	if err != nil {
		w.T.Fatal(err)
	}
	if token.Len() < statuslist.MinEntries {
		w.T.Errorf("the list has %d entries", token.Len())
	}
	return token
}

func TestVCIExample(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
	if !p.token.IsDPoP() || p.token.RefreshToken == "" {
		t.Fatalf("token response %+v", p.token)
	}
	credential, resp := p.collect("staff-card")
	v := w.verify("employer-A", credential)
	if !v.Holder.Equal(p.holder.Public()) || v.Claims["vct"] != p.issuer+"/types/staff-card" {
		t.Errorf("claims %v", v.Claims)
	}
	for _, name := range []string{"iat", "exp"} {
		if n, err := v.Claims[name].(json.Number).Int64(); err != nil || n%86400 != 0 {
			t.Errorf("%s %v is no whole day", name, v.Claims[name])
		}
	}
	if got := w.status(v); got != statuslist.Valid {
		t.Errorf("status %s", got)
	}
	for range 2 { // idempotent
		p.json("/notification", oid4vc.NotificationRequest{NotificationID: resp.NotificationID, Event: oid4vc.EventAccepted}).want(http.StatusNoContent)
	}
	again, _ := p.collect("staff-card")
	if slices.Equal(v.Payload, w.verify("employer-A", again).Payload) {
		t.Error("an example is not made anew")
	}
}

func TestVCIBatch(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}), "authorization_details", `[{"type":"openid_credential","credential_configuration_id":"staff-card"}]`)
	nonce := p.challenge()
	req := oid4vc.CredentialRequest{Identifier: p.token.Details[0].Identifiers[0], Proofs: &oid4vc.Proofs{Type: "jwt"}}
	holders := map[string]bool{}
	for range 20 {
		key := issuertest.Key(t)
		holders[key.Public().Thumbprint()] = true
		req.Proofs.Values = append(req.Proofs.Values, p.keyProof(key, nonce))
	}
	var resp oid4vc.CredentialResponse
	p.json("/credential", req).want(http.StatusOK).as(&resp)
	if len(resp.Credentials) != 20 {
		t.Fatalf("%d credentials", len(resp.Credentials))
	}
	seen := map[string]bool{}
	datasets := map[string]bool{}
	for _, c := range resp.Credentials {
		text, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		v := w.verify("employer-A", text)
		if !holders[v.Holder.Thumbprint()] {
			t.Error("bound to a key that was not asked for, or twice")
		}
		delete(holders, v.Holder.Thumbprint())
		datasets[w.dataset(v)] = true
		ref, err := statuslist.ReferenceOf(v.Claims)
		if err != nil {
			t.Fatal(err)
		}
		mustBeNew(t, seen, "index", json.Number(mustJSON(t, ref.Index)).String())
		for _, d := range v.Disclosed {
			mustBeNew(t, seen, "salt", d.Salt)
		}
	}
	if len(datasets) != 1 {
		t.Errorf("%d datasets in one batch", len(datasets))
	}
	req.Proofs.Values = append(req.Proofs.Values, req.Proofs.Values[0])
	p.json("/credential", req).refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
}

// dataset is what a credential says, without what is its own.
func (w *vciWorld) dataset(v *sdjwt.Verified) string {
	w.T.Helper()
	claims := maps.Clone(v.Claims)
	for _, own := range []string{"cnf", "iat", "exp", "status"} {
		delete(claims, own)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		w.T.Fatal(err)
	}
	return string(text)
}

func mustBeNew(t *testing.T, seen map[string]bool, what, value string) {
	t.Helper()
	if seen[what+value] {
		t.Errorf("%s is used twice", what)
	}
	seen[what+value] = true
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVCIEngagement(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	delivery := issuertest.Key(t)
	deliveryProof, err := registry.MakeDeliveryProof(p.holder, delivery.Public(), issuertest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "engagement", Example: true, Reference: "77", TxCode: "493536"}), "tx_code", "493536")
	w.Registry.Before = func(registry.SubmitRequest) error { return errors.New("the registry is away") }
	ask := func() oid4vc.CredentialRequest {
		proof, err := oid4vc.MakeKeyProof(p.holder, oid4vc.KeyProofOptions{Issuer: p.issuer, Nonce: p.challenge(), Now: w.Clock.Now(), DeliveryProof: deliveryProof})
		if err != nil {
			t.Fatal(err)
		}
		return oid4vc.CredentialRequest{ConfigurationID: "engagement", Proofs: &oid4vc.Proofs{Type: "jwt", Values: []string{proof}}}
	}
	var resp oid4vc.CredentialResponse
	p.json("/credential", ask()).want(http.StatusAccepted).as(&resp)
	if resp.TransactionID == "" || resp.Interval <= 0 || resp.NotificationID != "" {
		t.Fatalf("response %+v", resp)
	}
	transaction := oid4vc.DeferredRequest{TransactionID: resp.TransactionID}
	p.json("/deferred", transaction).want(http.StatusAccepted)
	w.Registry.Before = nil
	w.restart() // the transaction survives
	resp = oid4vc.CredentialResponse{}
	p.json("/deferred", transaction).want(http.StatusOK).as(&resp)
	v := w.verify("employer-A", p.first(resp))
	if v.Claims["vct"] != attestation.TypeEngagement.VCT() || v.Claims["status"] != nil || v.Claims["delivery_proof"] != deliveryProof || !v.Holder.Equal(p.holder.Public()) {
		t.Errorf("claims %v", v.Claims)
	}
	p.json("/deferred", transaction).refused(http.StatusBadRequest, oid4vc.CodeInvalidTransactionID)

	again := oid4vc.CredentialResponse{}
	p.json("/credential", ask()).want(http.StatusOK).as(&again)
	if p.first(again) != p.first(resp) {
		t.Error("the same key got another engagement")
	}
	p.holder = issuertest.Key(t)
	p.json("/credential", p.ask("engagement")).refused(http.StatusBadRequest, oid4vc.CodeCredentialRequestDenied)
	if _, err := w.Issuer.Revoke(context.Background(), w.Orgs["employer-A"].ID, v.ID, issuer.Revocation{Status: statuslist.Invalid, Reason: "test"}); !errors.Is(err, issuer.ErrEngagementStays) {
		t.Errorf("revoking an engagement: %v", err)
	}
}

// afterWages is a time after the pay days of the story's first months.
var afterWages = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)

func TestVCICopies(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	worker := issuertest.NewWorker(t)
	w.Engage("A", worker)
	w.Clock.Set(afterWages)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	details := []string{"authorization_details", `[{"type":"openid_credential","credential_configuration_id":"wage-payment"}]`}
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}), details...)

	var waiting oid4vc.CredentialResponse
	p.json("/credential", p.ask("")).want(http.StatusAccepted).as(&waiting)
	payWage(t, w, "2025-11")
	var resp oid4vc.CredentialResponse
	p.json("/deferred", oid4vc.DeferredRequest{TransactionID: waiting.TransactionID}).want(http.StatusOK).as(&resp)
	november := w.verify("employer-A", p.first(resp))
	if november.Claims["period"] != "2025-11" || november.Claims["logged"] == nil || !november.Holder.Equal(p.holder.Public()) || november.Claims["net"] == nil {
		t.Fatalf("claims %v", november.Claims)
	}
	payWage(t, w, "2025-12")
	p.form("/token", url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}).want(http.StatusOK).as(&p.token)
	if ids := p.token.Details[0].Identifiers; len(ids) != 2 || ids[0] != november.Claims["logged"] {
		t.Fatalf("identifiers %v", ids)
	}
	ask := p.ask("")
	ask.Identifier = p.token.Details[0].Identifiers[1]
	resp = oid4vc.CredentialResponse{}
	p.json("/credential", ask).want(http.StatusOK).as(&resp)
	december := w.verify("employer-A", p.first(resp))
	if december.Claims["period"] != "2025-12" {
		t.Errorf("claims %v", december.Claims)
	}

	before := len(w.Registry.Submits)
	how := issuer.Revocation{Status: statuslist.Invalid, Reason: "paid to the wrong account"}
	revoked, err := w.Issuer.Revoke(context.Background(), w.Orgs["employer-A"].ID, november.Claims["logged"].(string), how)
	if err != nil {
		t.Fatal(err)
	}
	if !revoked.Recorded || !slices.Equal(revoked.Credentials, []string{november.ID}) || len(w.Registry.Submits) != before+1 {
		t.Errorf("revoked %+v, %d submissions", revoked, len(w.Registry.Submits)-before)
	}
	if got := w.status(november); got != statuslist.Invalid {
		t.Errorf("status of the revoked one: %s", got)
	}
	if got := w.status(december); got != statuslist.Valid {
		t.Errorf("status of the other one: %s", got)
	}
	if _, err := w.Issuer.Revoke(context.Background(), w.Orgs["employer-A"].ID, november.ID, how); err != nil || len(w.Registry.Submits) != before+1 {
		t.Errorf("revoking again: %v, %d submissions", err, len(w.Registry.Submits)-before)
	}
}

// payWage imports the wage of a month.
func payWage(t *testing.T, w *vciWorld, month string) {
	t.Helper()
	for _, item := range wageItems(month) {
		if r := w.ImportItem(item, issuer.Options{GoodRows: true}); r.Count(issuer.StatusLogged) == 0 {
			t.Fatalf("%s: %+v", item.File, r)
		}
	}
}

// wageItems are the payroll files of employer A for a month.
func wageItems(month string) (items []story.Item) {
	for _, it := range story.Timeline() {
		if it.Actor == "employer-A" && it.Type == attestation.TypeWagePayment && string(it.Period) == month && !it.Correct {
			items = append(items, it)
		}
	}
	return items
}
