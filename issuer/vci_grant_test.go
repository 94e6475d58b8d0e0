package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

const loopbackRedirect = "http://127.0.0.1:43210/callback"

// details is an authorization_details parameter for one configuration.
func details(configuration string) string {
	return `[{"type":"openid_credential","credential_configuration_id":"` + configuration + `"}]`
}

// approved goes through the authorization code grant as the kind of client up to the token request, which it returns with its header.
func (h *hostileWorld) approved(t *testing.T, kind string, p *testWallet, ask func(url.Values)) (url.Values, []string) {
	t.Helper()
	clientID, redirect := issuer.PublicWallet, loopbackRedirect
	if strings.HasPrefix(kind, "attestation") {
		clientID, redirect = "good-wallet", "https://wallet.example/back"
	}
	if kind == "private_key_jwt" {
		clientID, redirect = "bank-app", "https://app.example/back"
	}
	p.clientID = clientID
	offered := example("staff-card")
	offered.Authorize = true
	verifier := oid4vc.NewCodeVerifier()
	form := pushedForm(t, clientID, redirect)
	form.Set("code_challenge", oid4vc.CodeChallenge(verifier))
	form.Set("issuer_state", h.offer("employer-A", offered).Grants.AuthorizationCode.IssuerState)
	if ask != nil {
		ask(form)
	}
	header := h.authentication(t, kind, p, form)
	var answer oid4vc.PushedResponse
	p.form("/par", form, header...).want(http.StatusCreated).as(&answer)
	code := p.decide(clientID, answer.RequestURI, "approve").Get("code")
	token := url.Values{"grant_type": {oid4vc.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}, "client_id": {clientID}}
	return token, h.authentication(t, kind, p, token)
}

func refreshForm(p *testWallet) url.Values {
	return url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}, "client_id": {p.clientID}}
}

// redeemed exchanges a form for tokens.
func (p *testWallet) redeemed(form url.Values, header ...string) *testWallet {
	p.w.T.Helper()
	p.token = oid4vc.TokenResponse{}
	p.form("/token", form, header...).want(http.StatusOK).as(&p.token)
	return p
}

// TestVCITokenDetails asks by authorization_details in the token requests of the code grant and of a refresh: for what was granted, and for more.
func TestVCITokenDetails(t *testing.T) {
	w := newHostileWorld(t)
	for name, first := range map[string]func(url.Values){
		"scope first": nil, "details first": func(f url.Values) { f.Del("scope"); f.Set("authorization_details", details("staff-card")) },
	} {
		t.Run(name, func(t *testing.T) {
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			form, _ := w.approved(t, "public", p, first)
			for _, more := range []string{details("wage-payment"), details("nothing"), "[" + strings.Trim(details("staff-card"), "[]") + "," + strings.Trim(details("engagement"), "[]") + "]",
				`[{"type":"openid_credential","credential_configuration_id":"staff-card","locations":["https://other.example"]}]`, `[{"type":"other"}]`} {
				form.Set("authorization_details", more)
				p.form("/token", form).refused(http.StatusBadRequest, oid4vc.CodeInvalidAuthorizationDetails)
			}
			form.Set("authorization_details", details("staff-card"))
			p.redeemed(form)
			if len(p.token.Details) != 1 || len(p.token.Details[0].Identifiers) != 1 || p.token.Details[0].ConfigurationID != "staff-card" {
				t.Fatalf("token response %+v", p.token)
			}
			p.collect("")
			refresh := refreshForm(p)
			refresh.Set("authorization_details", details("wage-payment"))
			p.form("/token", refresh).refused(http.StatusBadRequest, oid4vc.CodeInvalidAuthorizationDetails)
			refresh.Set("authorization_details", details("staff-card"))
			p.redeemed(refresh)
			if len(p.token.Details) != 1 {
				t.Errorf("refreshed with details: %+v", p.token)
			}
			p.collect("")
		})
	}
	// Details in one refresh are of that access token alone: the next comes as the grant was made.
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	form, _ := w.approved(t, "public", p, nil)
	p.redeemed(form)
	withDetails := refreshForm(p)
	withDetails.Set("authorization_details", details("staff-card"))
	p.redeemed(withDetails)
	if len(p.token.Details) != 1 || p.token.Scope != "" {
		t.Errorf("with details: %+v", p.token)
	}
	p.redeemed(refreshForm(p))
	if len(p.token.Details) != 0 || p.token.Scope != "staff-card" {
		t.Errorf("without: %+v", p.token)
	}
	p.collect("staff-card")
	for scope, code := range map[string]string{"engagement": oid4vc.CodeInvalidScope, "a\\b": oid4vc.CodeInvalidScope} {
		form := refreshForm(p)
		form.Set("scope", scope)
		p.form("/token", form).refused(http.StatusBadRequest, code)
	}
	form = refreshForm(p)
	form.Set("scope", "staff-card unheard-of")
	p.redeemed(form)
}

// TestVCIIdentifiers asks for credentials that the token does not list.
func TestVCIIdentifiers(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")), "authorization_details", details("staff-card"))
	other := w.wallet(p.issuer).redeem(w.offer("employer-A", example("staff-card")), "authorization_details", details("staff-card"))
	for name, identifier := range map[string]string{"made up": "nothing", "another wallet's": other.token.Details[0].Identifiers[0], "the configuration": "staff-card"} {
		ask := p.ask("")
		ask.Identifier = identifier
		r := p.json("/credential", ask)
		if r.status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, r.status)
		}
		r.refused(http.StatusBadRequest, oid4vc.CodeUnknownCredentialIdentifier)
	}
	ask := p.ask("")
	ask.Identifier, ask.ConfigurationID = "", "staff-card"
	p.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeInvalidCredentialRequest)

	worker := issuertest.NewWorker(t)
	w.Engage("A", worker)
	w.Clock.Set(afterWages)
	q := w.wallet(p.issuer).redeem(w.offer("employer-A", issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}), "authorization_details", details("wage-payment"))
	ask = q.ask("")
	ask.Identifier = worker.Engagement
	q.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeUnknownCredentialIdentifier)
}

// TestVCIRefreshByAnother refreshes as somebody else than the one to whom the tokens were given.
func TestVCIRefreshByAnother(t *testing.T) {
	w := newHostileWorld(t)
	for _, kind := range []string{"public", "private_key_jwt", "attestation", "attestation by DPoP"} {
		t.Run(kind, func(t *testing.T) {
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			form, header := w.approved(t, kind, p, nil)
			p.redeemed(form, header...)
			refused := func(what string, r *reply) {
				t.Helper()
				if r.status != http.StatusBadRequest && r.status != http.StatusUnauthorized {
					t.Errorf("%s: got %d %s", what, r.status, r.body)
				}
			}
			bare := refreshForm(p)
			bare.Del("client_id")
			refused("nobody", p.form("/token", bare))
			other := refreshForm(p)
			other.Set("client_id", "somebody")
			refused("another client_id", p.form("/token", other))
			if kind != "private_key_jwt" {
				asserted := refreshForm(p)
				asserted.Del("client_id")
				refused("another registered client", p.form("/token", asserted, w.authentication(t, "private_key_jwt", p, asserted)...))
			}
			if kind == "attestation" {
				holder := p.holder
				p.holder = issuertest.Key(t) // another instance of the same wallet, which has the DPoP key all the same
				p.form("/token", refreshForm(p), w.authentication(t, kind, p, refreshForm(p))...).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
				p.holder = holder
			}
			again := refreshForm(p)
			p.redeemed(again, w.authentication(t, kind, p, again)...)
			p.collect("staff-card")
		})
	}
}

// TestVCICodeOfAnotherInstance redeems a code as another instance of the same wallet.
func TestVCICodeOfAnotherInstance(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	form, _ := w.approved(t, "attestation", p, nil)
	p.holder = issuertest.Key(t)
	p.form("/token", form, w.authentication(t, "attestation", p, form)...).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
}

// TestVCIBearerLife reads how long tokens live that are bound to no key, and uses one later.
func TestVCIBearerLife(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{Bearer: true})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.dpop = nil
	p.redeem(w.offer("employer-A", example("staff-card")))
	if p.token.ExpiresIn > 300 || p.token.IsDPoP() {
		t.Errorf("token response %+v", p.token)
	}
	w.Clock.Set(w.Clock.Now().Add(4 * time.Minute))
	p.collect("staff-card")
	w.Clock.Set(w.Clock.Now().Add(time.Minute + time.Second))
	p.json("/credential", p.ask("staff-card")).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
	p.redeemed(url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}})
	p.collect("staff-card")
}

// TestVCIServerMetadata reads every member of the authorization server metadata, in the world where everything is configured.
func TestVCIServerMetadata(t *testing.T) {
	w := newHostileWorld(t)
	o := w.Orgs["employer-A"]
	at, err := oid4vc.WellKnown(oid4vc.WellKnownAuthorizationServer, o.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	algs := []any{"ES256", "EdDSA"}
	want := map[string]any{
		"issuer": o.Issuer, "authorization_endpoint": o.Issuer + "/authorize", "token_endpoint": o.Issuer + "/token",
		"pushed_authorization_request_endpoint": o.Issuer + "/par", "require_pushed_authorization_requests": true,
		"jwks_uri": o.Issuer + "/jwks", "challenge_endpoint": o.Issuer + "/challenge", "status_list_aggregation_endpoint": issuertest.URL + "/status",
		"response_types_supported": []any{"code"}, "response_modes_supported": []any{"query"},
		"grant_types_supported":                            []any{oid4vc.GrantAuthorizationCode, oid4vc.GrantPreAuthorizedCode, oid4vc.GrantRefreshToken},
		"code_challenge_methods_supported":                 []any{"S256"},
		"token_endpoint_auth_methods_supported":            []any{"attest_jwt_client_auth", "attest_jwt_client_auth_dpop", "private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg_values_supported": algs, "dpop_signing_alg_values_supported": algs,
		"client_attestation_signing_alg_values_supported": algs, "client_attestation_pop_signing_alg_values_supported": algs,
		"authorization_response_iss_parameter_supported":  true,
		"authorization_details_types_supported":           []any{"openid_credential"},
		"pre-authorized_grant_anonymous_access_supported": true,
		"scopes_supported": w.scopes(o.Issuer),
	}
	r := w.get(at).want(http.StatusOK)
	got := map[string]any{}
	r.as(&got)
	for name, value := range want {
		if text, _ := json.Marshal(got[name]); string(text) != string(mustJSON(t, value)) {
			t.Errorf("%s: %s, want %s", name, text, mustJSON(t, value))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not accounted for", name)
		}
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
	set, err := oid4vc.ParseKeySet(w.get(o.Issuer + "/jwks").want(http.StatusOK).body)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := keys.ParsePrivate(o.Signing)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := set.Find(signing.Public().Thumbprint()); err != nil || !key.Equal(signing.Public()) {
		t.Errorf("jwks_uri: %v", err)
	}
}

// scopes are those of the credential configurations (OpenID4VCI 1.0, Section 12.2.4).
func (w *vciWorld) scopes(issuerID string) (out []string) {
	w.T.Helper()
	at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, issuerID)
	if err != nil {
		w.T.Fatal(err)
	}
	m, err := oid4vc.ParseIssuerMetadata(w.get(at).want(http.StatusOK).body, issuerID)
	if err != nil {
		w.T.Fatal(err)
	}
	for _, c := range m.Configurations {
		out = append(out, c.Scope)
	}
	slices.Sort(out)
	return out
}

// TestVCINotCached reads the header fields of every answer that holds a secret or a nonce.
func TestVCINotCached(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	answers := map[string]*reply{}
	answers["nonce"] = w.do(w.request(http.MethodPost, p.issuer+"/nonce", "", nil)).want(http.StatusOK)
	answers["challenge"] = w.do(w.request(http.MethodPost, p.issuer+"/challenge", "", nil)).want(http.StatusOK)
	answers["pushed"] = p.form("/par", pushedForm(t, issuer.PublicWallet, loopbackRedirect)).want(http.StatusCreated)
	answers["token"] = p.form("/token", preAuthorized(w.offer("employer-A", example("staff-card")))).want(http.StatusOK).as(&p.token)
	ask := p.ask("staff-card")
	var resp oid4vc.CredentialResponse
	answers["credential"] = p.json("/credential", ask).want(http.StatusOK).as(&resp)
	answers["notification"] = p.json("/notification", oid4vc.NotificationRequest{NotificationID: resp.NotificationID, Event: oid4vc.EventAccepted}).want(http.StatusNoContent)
	answers["refreshed"] = p.form("/token", url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}).want(http.StatusOK).as(&p.token)
	worker := issuertest.NewWorker(t)
	w.Engage("A", worker)
	q := w.wallet(p.issuer).redeem(w.offer("employer-A", issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}))
	var waiting oid4vc.CredentialResponse
	answers["transaction"] = q.json("/credential", q.ask("wage-payment")).want(http.StatusAccepted).as(&waiting)
	answers["deferred"] = q.json("/deferred", oid4vc.DeferredRequest{TransactionID: waiting.TransactionID}).want(http.StatusAccepted)
	for name, r := range answers {
		if got := r.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
		if r.header.Get("DPoP-Nonce") == "" {
			t.Errorf("%s: no DPoP-Nonce", name)
		}
		if exposed := r.header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "DPoP-Nonce") || !strings.Contains(exposed, "WWW-Authenticate") {
			t.Errorf("%s: exposes %q", name, exposed)
		}
	}
	for _, name := range []string{"credential", "transaction", "token", "nonce"} {
		if got := answers[name].header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: Content-Type %q", name, got)
		}
	}
}

// TestVCIDenied reads the redirect of a person who refuses, and of one whose offer is gone.
func TestVCIDenied(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	for name, state := range map[string]string{"denied": "", "an issuer_state of nobody": "made up"} {
		form := pushedForm(t, issuer.PublicWallet, loopbackRedirect+"?kept=1")
		form.Set("redirect_uri", loopbackRedirect)
		decision := "deny"
		if state != "" {
			form.Set("issuer_state", state)
			decision = "approve"
		}
		var answer oid4vc.PushedResponse
		p.form("/par", form).want(http.StatusCreated).as(&answer)
		back := p.decide(issuer.PublicWallet, answer.RequestURI, decision)
		want := url.Values{"error": {oid4vc.CodeAccessDenied}, "iss": {p.issuer}, "state": {"s"}}
		if len(back) != len(want) || !slices.Equal([]string{back.Get("error"), back.Get("iss"), back.Get("state")}, []string{want.Get("error"), want.Get("iss"), want.Get("state")}) {
			t.Errorf("%s: redirected with %v, want %v", name, back, want)
		}
	}
}

// TestVCIAttestationByCertificate names wallet providers by certificates under configured roots, for client and key attestations.
func TestVCIAttestationByCertificate(t *testing.T) {
	ca, stranger := issuertest.NewAuthority(t, "wallet providers"), issuertest.NewAuthority(t, "others")
	w := &hostileWorld{provider: issuertest.Key(t), client: issuertest.Key(t)}
	w.vciWorld = newVCIWorld(t, issuer.VCIConfig{WalletRoots: certificates(ca)})
	chain := ca.Chain(t, w.provider)
	for _, row := range []struct {
		name   string
		header keys.Header
		ok     bool
	}{
		{"under the root", keys.Header{"x5c": chain}, true},
		{"with the anchor", keys.Header{"x5c": append(slices.Clone(chain), keys.FormatChain(ca.Cert)...)}, false},
		{"the anchor alone", keys.Header{"x5c": keys.FormatChain(ca.Cert)}, false},
		{"under another root", keys.Header{"x5c": stranger.Chain(t, w.provider)}, false},
		{"of another key", keys.Header{"x5c": ca.Chain(t, issuertest.Key(t))}, false},
		{"self-signed", keys.Header{"x5c": issuertest.SelfSigned(t, w.provider)}, false},
		{"by kid alone", keys.Header{"kid": w.provider.Public().Thumbprint()}, false},
		{"no base64", keys.Header{"x5c": []string{"%"}}, false},
		{"no certificates", keys.Header{"x5c": []string{}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			attestation := w.attestationWith(t, p, row.header, func(*oid4vc.ClientAttestationOptions) {})
			header := []string{oid4vc.HeaderClientAttestation, attestation, oid4vc.HeaderClientAttestationPoP, w.pop(t, p)}
			r := p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), header...)
			if row.ok {
				r.want(http.StatusCreated)
			} else {
				r.refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
			}
			p.redeem(w.offer("employer-A", example("staff-card")))
			r = p.attest(t, w.provider, row.header, func(*oid4vc.KeyAttestationOptions) {})
			if row.ok {
				r.want(http.StatusOK)
			} else {
				r.refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
			}
		})
	}
}
