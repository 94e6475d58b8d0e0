package issuer_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

func example(typ string) issuer.OfferRequest { return issuer.OfferRequest{Type: typ, Example: true} }

func TestVCIMetadata(t *testing.T) {
	w := newHostileWorld(t)
	for actor, o := range w.Orgs {
		at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, o.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		r := w.get(at, "Accept", "application/json, application/jwt;q=0.5").want(http.StatusOK)
		m, err := oid4vc.ParseIssuerMetadata(r.body, o.Issuer)
		if err != nil {
			t.Fatalf("%s: %v", actor, err)
		}
		if err := m.ValidateHAIP(); err != nil {
			t.Errorf("%s: %v", actor, err)
		}
		checkDisplay(t, m)
		signed := w.get(at, "Accept", oid4vc.MediaTypeJWT).want(http.StatusOK)
		u, err := oid4vc.ParseSignedIssuerMetadata(string(signed.body))
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.ParsePrivate(o.Signing)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Verify(key.Public(), o.Issuer, w.Clock.Now()); err != nil || len(u.Header().X5C) == 0 {
			t.Errorf("%s: signed metadata: %v", actor, err)
		}
		at, err = oid4vc.WellKnown(oid4vc.WellKnownAuthorizationServer, o.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		server, err := oid4vc.ParseServerMetadata(w.get(at).want(http.StatusOK).body, o.Issuer)
		if err != nil || !server.RequirePushed || !server.IssParameterSupported || server.ChallengeEndpoint == "" {
			t.Errorf("%s: %+v %v", actor, server, err)
		}
	}
	w.get("https://issuer.example/.well-known/openid-credential-issuer/o/1").want(http.StatusNotFound)
}

func checkDisplay(t *testing.T, m *oid4vc.IssuerMetadata) {
	t.Helper()
	for id, c := range m.Configurations {
		locales := map[string]bool{}
		for _, d := range c.Metadata.Display {
			locales[d.Locale] = true
		}
		if !locales["ja"] || !locales["en"] || !locales["vi"] || len(c.Metadata.Claims) == 0 {
			t.Errorf("%s: display in %v, %d claims", id, locales, len(c.Metadata.Claims))
		}
	}
}

// TestVCITypeMetadata fetches the type of a credential as a wallet does, and compares vct#integrity.
func TestVCITypeMetadata(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	for _, typ := range []string{"staff-card", "wage-payment"} {
		p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example(typ)))
		credential, _ := p.collect(typ)
		v := w.verify("employer-A", credential)
		at := v.Claims["vct"].(string)
		if strings.HasPrefix(at, "urn:") {
			at = "https://issuer.example/types/" + typ
		}
		body := w.get(at).want(http.StatusOK).body
		sum := sha256.Sum256(body)
		if got := "sha256-" + base64.StdEncoding.EncodeToString(sum[:]); got != v.Claims["vct#integrity"] {
			t.Errorf("%s: vct#integrity %v, of the document %s", typ, v.Claims["vct#integrity"], got)
		}
		var m struct{ VCT string }
		if err := json.Unmarshal(body, &m); err != nil || m.VCT != v.Claims["vct"] {
			t.Errorf("%s: %v %q", typ, err, m.VCT)
		}
	}
	w.get(w.Orgs["employer-A"].Issuer + "/types/nothing").want(http.StatusNotFound)
}

func TestVCIOffer(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	o := w.Orgs["employer-A"]
	made, err := w.Issuer.MakeOffer(context.Background(), o.ID, example("staff-card"))
	if err != nil {
		t.Fatal(err)
	}
	for suffix, mediaType := range map[string]string{"": "application/json", "/qr.png": "image/png", "/qr.svg": "image/svg+xml", "/qr.svg?scheme=haip": "image/svg+xml"} {
		r := w.get(made.URL + suffix).want(http.StatusOK)
		if r.header.Get("Content-Type") != mediaType || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", suffix, r.header)
		}
	}
	for scheme, prefix := range map[string]string{"": "openid-credential-offer://?", "haip-vci://": "haip-vci://?", "https://wallet.example/collect": "https://wallet.example/collect?"} {
		for _, byValue := range []bool{false, true} {
			req := example("staff-card")
			req.Scheme, req.ByValue = scheme, byValue
			made, err := w.Issuer.MakeOffer(context.Background(), o.ID, req)
			if err != nil || !strings.HasPrefix(made.Link, prefix) {
				t.Errorf("%q: %v", scheme, err)
			}
		}
	}
	w.get(made.URL+"x").refused(http.StatusNotFound, oid4vc.CodeInvalidRequest)
	w.wallet(o.Issuer).redeem(mustOffer(t, w, made))
	w.get(made.URL).refused(http.StatusNotFound, oid4vc.CodeInvalidRequest) // taken
	late := w.offer("employer-A", example("staff-card"))
	w.Clock.Set(w.Clock.Now().Add(25 * time.Hour))
	w.wallet(o.Issuer).form("/token", preAuthorized(late)).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
}

func mustOffer(t *testing.T, w *vciWorld, made *issuer.Offer) *oid4vc.CredentialOffer {
	t.Helper()
	offer, err := oid4vc.ParseOffer(w.get(made.URL).want(http.StatusOK).body)
	if err != nil {
		t.Fatal(err)
	}
	return offer
}

func TestVCITxCode(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	req := example("staff-card")
	p.form("/token", preAuthorized(w.offer("employer-A", req), "tx_code", "1234")).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	req.TxCode = "4935"
	offer := w.offer("employer-A", req)
	if tx := offer.Grants.PreAuthorizedCode.TxCode; tx == nil || tx.Length != 4 || tx.InputMode != "numeric" {
		t.Errorf("tx_code %+v", tx)
	}
	p.form("/token", preAuthorized(offer)).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	p.form("/token", preAuthorized(offer, "tx_code", "0000")).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	p.redeem(offer, "tx_code", "4935")
	burnt := w.offer("employer-A", req)
	for range 5 {
		p.form("/token", preAuthorized(burnt, "tx_code", "0000")).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	}
	w.restart()
	p.form("/token", preAuthorized(burnt, "tx_code", "4935")).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
}

// TestVCICodeOnce uses a code from many wallets at once, in the store on disk, and nonces again after a restart.
func TestVCICodeOnce(t *testing.T) {
	disk, err := store.OpenBadger(t.TempDir(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &vciWorld{World: issuertest.New(t, disk)}
	w.restart()
	t.Cleanup(func() { _ = disk.Close() })
	offer := w.offer("employer-A", example("staff-card"))
	var wg sync.WaitGroup
	replies := make([]*reply, 8)
	for n := range replies {
		p := w.wallet(w.Orgs["employer-A"].Issuer)
		p.challenge()
		wg.Go(func() { replies[n] = p.form("/token", preAuthorized(offer)) })
	}
	wg.Wait()
	good := 0
	for _, r := range replies {
		if r.status == http.StatusOK {
			good++
			continue
		}
		r.refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	}
	if good != 1 {
		t.Errorf("%d wallets got tokens", good)
	}
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	w.restart()
	ask := p.ask("staff-card")
	p.json("/credential", ask).want(http.StatusOK)
	p.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeInvalidNonce)
	w.restart()
	p.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeInvalidNonce)
	nonce := p.challenge()
	for _, spelling := range []string{nonce + "\n", nonce[:9] + "\r" + nonce[9:]} { // which decoders of base64 pass over
		ask.Proofs.Values = []string{p.keyProof(p.holder, spelling)}
		p.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeInvalidNonce)
	}
}

func TestVCIReplayRevokes(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	offer := w.offer("employer-A", example("staff-card"))
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(offer)
	thief := w.wallet(p.issuer)
	thief.form("/token", preAuthorized(offer)).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	p.json("/credential", p.ask("staff-card")).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
	refresh := url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}
	p.form("/token", refresh).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
}

func TestVCIRefresh(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	first := url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}
	thief := w.wallet(p.issuer)
	thief.form("/token", first).refused(http.StatusBadRequest, oid4vc.CodeInvalidDPoPProof)
	w.Clock.Set(w.Clock.Now().Add(40 * 24 * time.Hour))
	p.challenge()
	p.form("/token", first).want(http.StatusOK).as(&p.token)
	p.collect("staff-card")
	// Bound to the wallet's key it stays good, so that a wallet that lost an answer can ask again.
	if first.Get("refresh_token") != p.token.RefreshToken {
		t.Error("a refresh token that is bound to a key was rotated")
	}
	p.form("/token", first).want(http.StatusOK).as(&p.token)
	p.collect("staff-card")
	w.Clock.Set(w.Clock.Now().Add(361 * 24 * time.Hour))
	p.challenge()
	p.form("/token", first).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
}

// TestVCIRefreshRotates refreshes with tokens that are bound to nothing: each is good once, and one that comes twice ends the grant.
func TestVCIRefreshRotates(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{Bearer: true})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.dpop = nil
	p.redeem(w.offer("employer-A", example("staff-card")))
	first := url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}
	p.form("/token", first).want(http.StatusOK).as(&p.token)
	p.collect("staff-card")
	if first.Get("refresh_token") == p.token.RefreshToken {
		t.Error("the refresh token is not rotated")
	}
	p.form("/token", first).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	p.form("/token", url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}).refused(http.StatusBadRequest, oid4vc.CodeInvalidGrant)
	p.json("/credential", p.ask("staff-card")).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
}

// TestVCIAuthorizationCode goes through the code grant as each kind of client.
func TestVCIAuthorizationCode(t *testing.T) {
	w := newHostileWorld(t)
	for name, c := range map[string]struct{ clientID, redirect string }{
		"public": {issuer.PublicWallet, "http://127.0.0.1:43210/callback"}, "private_key_jwt": {"bank-app", "https://app.example/back"},
		"attestation": {"good-wallet", "https://wallet.example/back"}, "attestation by DPoP": {"good-wallet", "wallet.example:/back"},
	} {
		for _, details := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				p := w.wallet(w.Orgs["employer-A"].Issuer)
				p.clientID = c.clientID
				offered := example("staff-card")
				offered.Authorize = true
				offer := w.offer("employer-A", offered)
				verifier := oid4vc.NewCodeVerifier()
				req := oid4vc.AuthorizationRequest{ClientID: c.clientID, RedirectURI: c.redirect, State: "xyz", CodeChallenge: oid4vc.CodeChallenge(verifier),
					IssuerState: offer.Grants.AuthorizationCode.IssuerState, Resource: []string{p.issuer}}
				if details {
					req.Details = []oid4vc.AuthorizationDetail{{Type: oid4vc.TypeOpenIDCredential, ConfigurationID: "staff-card"}}
				} else {
					req.Scope = []string{"unknown", "staff-card"}
				}
				authenticate := func(form url.Values) []string { return w.authentication(t, name, p, form) }
				form, err := req.Values()
				if err != nil {
					t.Fatal(err)
				}
				form.Set("unknown", "ignored")
				var answer oid4vc.PushedResponse
				header := authenticate(form)
				p.form("/par", form, header...).want(http.StatusCreated).as(&answer)
				back := p.decide(c.clientID, answer.RequestURI, "approve")
				if back.Get("iss") != p.issuer || back.Get("state") != "xyz" {
					t.Errorf("redirect %v", back)
				}
				token := url.Values{"grant_type": {oid4vc.GrantAuthorizationCode}, "code": {back.Get("code")}, "redirect_uri": {c.redirect}, "code_verifier": {verifier}, "client_id": {c.clientID}}
				header = authenticate(token)
				p.form("/token", token, header...).want(http.StatusOK).as(&p.token)
				if details != (len(p.token.Details) == 1) {
					t.Errorf("token response %+v", p.token)
				}
				p.collect("staff-card")
			})
		}
	}
}

// authentication adds what the kind of client sends.
func (h *hostileWorld) authentication(t *testing.T, kind string, p *testWallet, form url.Values) (header []string) {
	t.Helper()
	switch kind {
	case "private_key_jwt":
		if err := oid4vc.MakeClientAssertion(form, h.client, "bank-app", p.issuer, h.Clock.Now()); err != nil {
			t.Fatal(err)
		}
	case "attestation":
		return []string{oid4vc.HeaderClientAttestation, h.attestation(t, p), oid4vc.HeaderClientAttestationPoP, h.pop(t, p)}
	case "attestation by DPoP":
		p.dpop = p.holder
		return []string{oid4vc.HeaderClientAttestation, h.attestation(t, p)}
	}
	return nil
}

// TestVCIAuthorizationRefused spoils one thing of a good authorization code flow in each row.
func TestVCIAuthorizationRefused(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.clientID = issuer.PublicWallet
	const redirect = "http://127.0.0.1:43210/callback"
	offered := example("staff-card")
	offered.Authorize = true
	push := func() url.Values {
		form := pushedForm(t, issuer.PublicWallet, redirect)
		form.Set("issuer_state", w.offer("employer-A", offered).Grants.AuthorizationCode.IssuerState)
		return form
	}
	for name, row := range map[string]struct {
		spoil  func(url.Values)
		status int
		code   string
	}{
		"unknown client":     {func(f url.Values) { f.Set("client_id", "nobody") }, 401, oid4vc.CodeInvalidClient},
		"client without key": {func(f url.Values) { f.Set("client_id", "bank-app"); f.Set("redirect_uri", "https://app.example/back") }, 401, oid4vc.CodeInvalidClient},
		"client secret":      {func(f url.Values) { f.Set("client_secret", "x") }, 401, oid4vc.CodeInvalidClient},
		"open redirect":      {func(f url.Values) { f.Set("redirect_uri", "https://evil.example/callback") }, 400, oid4vc.CodeInvalidRequest},
		"loopback path":      {func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:1/other") }, 400, oid4vc.CodeInvalidRequest},
		"user in redirect":   {func(f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:1@evil.example/callback") }, 400, oid4vc.CodeInvalidRequest},
		"javascript":         {func(f url.Values) { f.Set("redirect_uri", "javascript:alert(1)") }, 400, oid4vc.CodeInvalidRequest},
		"no challenge":       {func(f url.Values) { f.Del("code_challenge") }, 400, oid4vc.CodeInvalidRequest},
		"plain":              {func(f url.Values) { f.Set("code_challenge_method", "plain") }, 400, oid4vc.CodeInvalidRequest},
		"token":              {func(f url.Values) { f.Set("response_type", "token") }, 400, oid4vc.CodeUnsupportedResponseType},
		"request_uri":        {func(f url.Values) { f.Set("request_uri", "urn:x") }, 400, oid4vc.CodeInvalidRequest},
		"scope":              {func(f url.Values) { f.Set("scope", "nothing") }, 400, oid4vc.CodeInvalidScope},
		"details": {func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"nothing"}]`)
		}, 400, oid4vc.CodeInvalidAuthorizationDetails},
		"details of no JSON": {func(f url.Values) { f.Set("authorization_details", `[`) }, 400, oid4vc.CodeInvalidAuthorizationDetails},
		"locations": {func(f url.Values) {
			f.Set("authorization_details", `[{"type":"openid_credential","credential_configuration_id":"staff-card","locations":["https://evil.example"]}]`)
		}, 400, oid4vc.CodeInvalidAuthorizationDetails},
		"dpop_jkt": {func(f url.Values) { f.Set("dpop_jkt", issuertest.Key(t).Public().Thumbprint()) }, 400, oid4vc.CodeInvalidDPoPProof},
	} {
		t.Run(name, func(t *testing.T) {
			form := push()
			row.spoil(form)
			r := p.form("/par", form)
			r.t = t
			r.refused(row.status, row.code)
		})
	}
	var answer oid4vc.PushedResponse
	p.form("/par", push()).want(http.StatusCreated).as(&answer)
	authorize := func(query url.Values) *reply { return w.get(p.issuer + "/authorize?" + query.Encode()) }
	authorize(push()).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest) // not pushed
	authorize(url.Values{"client_id": {"bank-app"}, "request_uri": {answer.RequestURI}}).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	authorize(url.Values{"client_id": {issuer.PublicWallet}, "request_uri": {"urn:ietf:params:oauth:request_uri:x"}}).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	decide := func(decision string) *reply {
		form := url.Values{"client_id": {issuer.PublicWallet}, "request_uri": {answer.RequestURI}, "decision": {decision}}
		return w.do(w.request(http.MethodPost, p.issuer+"/authorize", oid4vc.MediaTypeForm, []byte(form.Encode())))
	}
	decide("perhaps").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	if got := decide("deny").want(http.StatusSeeOther).header.Get("Location"); !strings.Contains(got, "error=access_denied") || !strings.HasPrefix(got, redirect) {
		t.Errorf("denied: %s", got)
	}
	decide("approve").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest) // decided before
	p.form("/par", push()).want(http.StatusCreated).as(&answer)
	w.Clock.Set(w.Clock.Now().Add(6 * time.Minute))
	decide("approve").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
}

// TestVCICodeRefused spoils one parameter of the token request.
func TestVCICodeRefused(t *testing.T) {
	w := newHostileWorld(t)
	const redirect = "http://127.0.0.1:43210/callback"
	for name, row := range map[string]struct {
		spoil func(*testWallet, url.Values)
		code  string
	}{
		"verifier":       {func(_ *testWallet, f url.Values) { f.Set("code_verifier", oid4vc.NewCodeVerifier()) }, oid4vc.CodeInvalidGrant},
		"no verifier":    {func(_ *testWallet, f url.Values) { f.Del("code_verifier") }, oid4vc.CodeInvalidGrant},
		"redirect":       {func(_ *testWallet, f url.Values) { f.Set("redirect_uri", "http://127.0.0.1:1/callback") }, oid4vc.CodeInvalidGrant},
		"another client": {func(_ *testWallet, f url.Values) { f.Set("client_id", "nobody") }, oid4vc.CodeInvalidGrant},
		"another key":    {func(p *testWallet, _ url.Values) { p.dpop = issuertest.Key(t) }, oid4vc.CodeInvalidDPoPProof},
		"another code":   {func(_ *testWallet, f url.Values) { f.Set("code", "x") }, oid4vc.CodeInvalidGrant},
		"as a pre-authorized code": {func(_ *testWallet, f url.Values) {
			f.Set("grant_type", oid4vc.GrantPreAuthorizedCode)
			f.Set("pre-authorized_code", f.Get("code"))
			f.Del("code")
			f.Del("redirect_uri")
			f.Del("code_verifier")
		}, oid4vc.CodeInvalidGrant},
		"late":     {func(p *testWallet, _ url.Values) { w.Clock.Set(w.Clock.Now().Add(61 * time.Second)); p.challenge() }, oid4vc.CodeInvalidGrant},
		"password": {func(_ *testWallet, f url.Values) { f.Set("grant_type", "password") }, oid4vc.CodeUnsupportedGrantType},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			offered := example("staff-card")
			offered.Authorize = true
			verifier := oid4vc.NewCodeVerifier()
			back := p.authorize(oid4vc.AuthorizationRequest{ClientID: issuer.PublicWallet, RedirectURI: redirect, State: "s", CodeChallenge: oid4vc.CodeChallenge(verifier),
				Scope: []string{"staff-card"}, IssuerState: w.offer("employer-A", offered).Grants.AuthorizationCode.IssuerState}, "approve")
			form := url.Values{"grant_type": {oid4vc.GrantAuthorizationCode}, "code": {back.Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier}, "client_id": {issuer.PublicWallet}}
			row.spoil(p, form)
			r := p.form("/token", form)
			r.t = t
			r.refused(http.StatusBadRequest, row.code)
		})
	}
}

// TestVCIOpenExamples collects without an offer where the operator allows it, and not elsewhere.
func TestVCIOpenExamples(t *testing.T) {
	for _, open := range []bool{true, false} {
		w := newVCIWorld(t, issuer.VCIConfig{OpenExamples: open})
		p := w.wallet(w.Orgs["employer-A"].Issuer)
		var answer oid4vc.PushedResponse
		p.form("/par", pushedForm(t, issuer.PublicWallet, "http://127.0.0.1:9/callback")).want(http.StatusCreated).as(&answer)
		form := url.Values{"client_id": {issuer.PublicWallet}, "request_uri": {answer.RequestURI}, "decision": {"approve"}}
		r := w.do(w.request(http.MethodPost, p.issuer+"/authorize", oid4vc.MediaTypeForm, []byte(form.Encode())))
		if open {
			r.want(http.StatusSeeOther)
		} else {
			r.refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
		}
	}
}

func TestVCIBearer(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.dpop = nil
	p.form("/token", preAuthorized(w.offer("employer-A", example("staff-card")))).refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	w = newVCIWorld(t, issuer.VCIConfig{Bearer: true})
	p = w.wallet(w.Orgs["employer-A"].Issuer)
	p.dpop = nil
	p.redeem(w.offer("employer-A", example("staff-card")))
	if p.token.IsDPoP() {
		t.Errorf("token_type %s", p.token.TokenType)
	}
	p.collect("staff-card")
}

// TestVCIEncryption encrypts requests and responses in each way that the metadata names.
func TestVCIEncryption(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	at, _ := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, p.issuer)
	m, err := oid4vc.ParseIssuerMetadata(w.get(at).body, p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	to, err := m.RequestEncryption.JWKS.EncryptionKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, enc := range []keys.Enc{keys.A128GCM, keys.A256GCM} {
		for _, zip := range []bool{false, true} {
			own := issuertest.Key(t)
			key, err := keys.NewEncryptionKey(own.Public(), "mine")
			if err != nil {
				t.Fatal(err)
			}
			ask := p.ask("staff-card")
			ask.ResponseEncryption = &oid4vc.ResponseEncryption{Key: key, Enc: enc, Zip: zip}
			p.json("/credential", ask).refused(http.StatusBadRequest, oid4vc.CodeInvalidEncryptionParameters) // asked for in the open
			sealed, err := oid4vc.RequestEncryption{Key: to, Enc: enc, Zip: zip}.Seal(mustJSON(t, ask))
			if err != nil {
				t.Fatal(err)
			}
			r := p.resource("/credential", oid4vc.MediaTypeJWT, []byte(sealed)).want(http.StatusOK)
			if got := r.header.Get("Content-Type"); got != oid4vc.MediaTypeJWT {
				t.Errorf("Content-Type %q", got)
			}
			body, err := ask.ResponseEncryption.OpenResponse(string(r.body), own)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := oid4vc.ParseCredentialResponse(r.status, body, 1); err != nil {
				t.Error(err)
			}
			p.resource("/credential", oid4vc.MediaTypeJWT, []byte(sealed)).refused(http.StatusBadRequest, oid4vc.CodeInvalidNonce) // errors are plain
		}
	}
}

// TestVCICredentialRefused spoils one thing of a good credential request.
func TestVCICredentialRefused(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	for name, row := range map[string]struct {
		spoil  func(*oid4vc.CredentialRequest)
		status int
		code   string
	}{
		"unknown configuration": {func(r *oid4vc.CredentialRequest) { r.ConfigurationID = "nothing" }, 400, oid4vc.CodeUnknownCredentialConfiguration},
		"another configuration": {func(r *oid4vc.CredentialRequest) { r.ConfigurationID = "engagement" }, 403, oid4vc.CodeInsufficientScope},
		"identifier":            {func(r *oid4vc.CredentialRequest) { r.Identifier, r.ConfigurationID = "x", "" }, 400, oid4vc.CodeUnknownCredentialIdentifier},
		"both":                  {func(r *oid4vc.CredentialRequest) { r.Identifier = "x" }, 400, oid4vc.CodeInvalidCredentialRequest},
		"neither":               {func(r *oid4vc.CredentialRequest) { r.ConfigurationID = "" }, 400, oid4vc.CodeInvalidCredentialRequest},
		"no proof":              {func(r *oid4vc.CredentialRequest) { r.Proofs = nil }, 400, oid4vc.CodeInvalidProof},
		"di_vp": {func(r *oid4vc.CredentialRequest) {
			r.Proofs = &oid4vc.Proofs{Type: "di_vp", Others: []any{map[string]any{}}}
		}, 400, oid4vc.CodeInvalidProof},
		"attestation": {func(r *oid4vc.CredentialRequest) { r.Proofs.Type = "attestation" }, 400, oid4vc.CodeInvalidProof},
		"key twice": {func(r *oid4vc.CredentialRequest) {
			r.Proofs.Values = append(r.Proofs.Values, p.keyProof(p.holder, p.challenge()))
		}, 400, oid4vc.CodeInvalidProof},
	} {
		t.Run(name, func(t *testing.T) {
			ask := p.ask("staff-card")
			row.spoil(&ask)
			r := p.json("/credential", ask)
			r.t = t
			r.refused(row.status, row.code)
		})
	}
	other := w.wallet(p.issuer).redeem(w.offer("employer-A", example("staff-card")))
	_, resp := other.collect("staff-card")
	note := oid4vc.NotificationRequest{NotificationID: resp.NotificationID, Event: oid4vc.EventAccepted}
	p.json("/notification", note).refused(http.StatusBadRequest, oid4vc.CodeInvalidNotificationID) // another wallet's
	note.Event = "credential_loved"
	other.json("/notification", note).refused(http.StatusBadRequest, oid4vc.CodeInvalidNotificationRequest)
	p.json("/deferred", oid4vc.DeferredRequest{TransactionID: "x"}).refused(http.StatusBadRequest, oid4vc.CodeInvalidTransactionID)
}

// TestVCIKeyAttestation binds credentials to the keys that a wallet provider attests, by both types of proof.
func TestVCIKeyAttestation(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	attest := func(provider *keys.Private, nonce string) string {
		text, err := oid4vc.MakeKeyAttestation(provider, keys.Header{"kid": w.provider.Public().Thumbprint()}, oid4vc.KeyAttestationOptions{
			Keys: []keys.Public{p.holder.Public(), issuertest.Key(t).Public()}, Nonce: nonce, Issued: w.Clock.Now(), Expires: w.Clock.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	send := func(typ, value string) *reply {
		return p.json("/credential", oid4vc.CredentialRequest{ConfigurationID: "staff-card", Proofs: &oid4vc.Proofs{Type: typ, Values: []string{value}}})
	}
	withAttestation := func(provider *keys.Private) string {
		nonce := p.challenge()
		proof, err := oid4vc.MakeKeyProof(p.holder, oid4vc.KeyProofOptions{Issuer: p.issuer, Nonce: nonce, Now: w.Clock.Now(), KeyAttestation: attest(provider, nonce)})
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	for _, r := range []*reply{send("attestation", attest(w.provider, p.challenge())), send("jwt", withAttestation(w.provider))} {
		var resp oid4vc.CredentialResponse
		r.want(http.StatusOK).as(&resp)
		if len(resp.Credentials) != 2 {
			t.Errorf("%d credentials for two attested keys", len(resp.Credentials))
		}
	}
	stranger := issuertest.Key(t)
	send("attestation", attest(stranger, p.challenge())).refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
	send("attestation", attest(w.provider, "")).refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
	send("attestation", attest(w.provider, "AAAA")).refused(http.StatusBadRequest, oid4vc.CodeInvalidNonce)
	send("jwt", withAttestation(stranger)).refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
}

// TestVCIBindings names the key in each way.
func TestVCIBindings(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	for _, alg := range []keys.Alg{keys.ES256, keys.EdDSA} {
		for _, binding := range []string{oid4vc.BindingJWK, oid4vc.BindingDIDKey, oid4vc.BindingDIDJWK} {
			holder, err := keys.Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := oid4vc.MakeKeyProof(holder, oid4vc.KeyProofOptions{Issuer: p.issuer, Nonce: p.challenge(), Now: w.Clock.Now(), Binding: binding})
			if err != nil {
				t.Fatal(err)
			}
			var resp oid4vc.CredentialResponse
			p.json("/credential", oid4vc.CredentialRequest{ConfigurationID: "staff-card", Proofs: &oid4vc.Proofs{Type: "jwt", Values: []string{proof}}}).want(http.StatusOK).as(&resp)
			if v := w.verify("employer-A", p.first(resp)); !v.Holder.Equal(holder.Public()) {
				t.Errorf("%s %s: bound to another key", alg, binding)
			}
		}
	}
}

// TestVCIOfferRefused offers what cannot be offered.
func TestVCIOfferRefused(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	for name, req := range map[string]issuer.OfferRequest{
		"unknown type":        example("nothing"),
		"another role's type": example("wage-receipt"),
		"nothing":             {Type: "staff-card"},
		"wrong claims":        {Type: "staff-card", Claims: []byte(`{"number":1}`)},
		"issuer's claims":     {Type: "staff-card", Claims: []byte(`{"number":"1","iss":"x"}`)},
		"no JSON":             {Type: "staff-card", Claims: []byte(`{`)},
		"unknown reference":   {Type: "wage-payment", Reference: "nobody"},
		"another employer":    {Type: "engagement", Claims: []byte(`{"employer":{"id":"1"}}`)},
		"short tx_code":       {Type: "staff-card", Example: true, TxCode: "1"},
		"tx_code and code":    {Type: "staff-card", Example: true, TxCode: "1234", Authorize: true},
	} {
		if _, err := w.Issuer.MakeOffer(context.Background(), w.Orgs["employer-A"].ID, req); err == nil {
			t.Errorf("%s was offered", name)
		}
	}
	if _, err := w.Issuer.MakeOffer(context.Background(), "1", example("staff-card")); err == nil {
		t.Error("an unknown organization offers")
	}
}

func TestVCIRateLimit(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{Rate: web.RateLimit{PerSecond: 1, Burst: 3, Now: func() time.Time { return afterWages }}})
	target := w.Orgs["employer-A"].Issuer + "/nonce"
	for range 3 {
		w.do(w.request(http.MethodPost, target, "", nil)).want(http.StatusOK)
	}
	if r := w.do(w.request(http.MethodPost, target, "", nil)); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
}

// TestVCIConfiguration issues a type that an operator defined.
func TestVCIConfiguration(t *testing.T) {
	c, err := issuer.ParseConfiguration([]byte(`{"id":"permit","vct":"https://types.example/permit","name":"Permit","description":"","display":[{"locale":"en","name":"Permit","logo":{"uri":"data:image/svg+xml,x","alt_text":"A seal"}}],
		"claims":[{"path":["holder","name"],"sd":"always"},{"path":["kind"],"sd":"never"}],"schema":{"type":"object","required":["kind"]},
		"example":{"kind":"{random}","holder":{"name":"X"}},"batch":false,"valid_days":0,"key_attestation":null}`))
	if err != nil {
		t.Fatal(err)
	}
	w := newVCIWorld(t, issuer.VCIConfig{Configurations: []issuer.Configuration{c}})
	at, _ := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, w.Orgs["bank"].Issuer)
	m, err := oid4vc.ParseIssuerMetadata(w.get(at).want(http.StatusOK).body, w.Orgs["bank"].Issuer)
	if err != nil {
		t.Fatal(err)
	}
	if logo := m.Configurations["permit"].Metadata.Display[0].Logo; logo == nil || logo.URI != "data:image/svg+xml,x" || logo.AltText != "A seal" {
		t.Errorf("logo %+v", logo)
	}
	p := w.wallet(w.Orgs["bank"].Issuer).redeem(w.offer("bank", example("permit")))
	credential, _ := p.collect("permit")
	v := w.verify("bank", credential)
	if v.Claims["vct"] != "https://types.example/permit" || v.Claims["exp"] != nil || len(v.Disclosed) != 1 || v.Disclosed[0].Name != "name" {
		t.Errorf("claims %v, disclosed %v", v.Claims, v.Disclosed)
	}
	for name, text := range map[string]string{
		"no JSON": `{`, "unknown member": `{"ide":"x"}`, "id": `{"id":"X Y"}`, "attestation": `{"id":"` + string(attestation.TypeEngagement) + `","name":"x"}`,
		"no display":       `{"id":"x","name":"x","schema":{}}`,
		"a language twice": `{"id":"x","name":"x","display":[{"locale":"en","name":"x"},{"locale":"en","name":"y"}],"schema":{}}`,
		"no name":          `{"id":"x","name":"x","display":[{"locale":"en"}],"schema":{}}`,
		"logo of nothing":  `{"id":"x","name":"x","display":[{"locale":"en","name":"x","logo":{}}],"schema":{}}`,
		"no path":          `{"id":"x","name":"x","display":[{"locale":"en","name":"x"}],"claims":[{"path":[]}],"schema":{}}`,
		"a claim twice":    `{"id":"x","name":"x","display":[{"locale":"en","name":"x"}],"claims":[{"path":["a"]},{"path":["a"]}],"schema":{}}`,
		"schema":           `{"id":"x","name":"x","display":[{"locale":"en","name":"x"}],"schema":{"type":7}}`,
		"foreign schema":   `{"id":"x","name":"x","display":[{"locale":"en","name":"x"}],"schema":{"$ref":"https://evil.example/schema"}}`,
	} {
		if _, err := issuer.ParseConfiguration([]byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

// TestVCIChallenge takes the challenge of a client attestation from its endpoint.
func TestVCIChallenge(t *testing.T) {
	w := newHostileWorld(t)
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	p.dpop = nil
	r := w.do(w.request(http.MethodPost, p.issuer+"/challenge", "", nil)).want(http.StatusOK)
	challenge, err := oid4vc.ParseChallengeResponse(r.body)
	if err != nil || r.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%v %v", err, r.header)
	}
	p.nonce = challenge
	p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, w.attestation(t, p), oid4vc.HeaderClientAttestationPoP, w.pop(t, p)).want(http.StatusCreated)
	p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, w.attestation(t, p)).refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
}

// TestVCIDeferredForDays collects what was asked for a week ago with refreshed tokens, and not what another wallet asked for.
func TestVCIDeferredForDays(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	w.Engage("A", issuertest.NewWorker(t))
	w.Clock.Set(afterWages)
	offered := issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", offered))
	var waiting, resp oid4vc.CredentialResponse
	p.json("/credential", p.ask("wage-payment")).want(http.StatusAccepted).as(&waiting)
	other := w.wallet(p.issuer).redeem(w.offer("employer-A", offered))
	other.json("/deferred", oid4vc.DeferredRequest{TransactionID: waiting.TransactionID}).refused(http.StatusBadRequest, oid4vc.CodeInvalidTransactionID)
	payWage(t, w, "2025-11")
	w.restart()
	w.Clock.Set(w.Clock.Now().Add(7 * 24 * time.Hour))
	p.challenge()
	p.form("/token", url.Values{"grant_type": {oid4vc.GrantRefreshToken}, "refresh_token": {p.token.RefreshToken}}).want(http.StatusOK).as(&p.token)
	p.json("/deferred", oid4vc.DeferredRequest{TransactionID: waiting.TransactionID}).want(http.StatusOK).as(&resp)
	if v := w.verify("employer-A", p.first(resp)); v.Claims["period"] != "2025-11" || !v.Holder.Equal(p.holder.Public()) {
		t.Errorf("claims %v", v.Claims)
	}
}
