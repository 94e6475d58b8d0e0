package issuer_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
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

// jwt is a signed token taken apart, to be spoilt and signed again.
type jwt struct {
	header, claims map[string]any
	key            *keys.Private
	mac            []byte // signs with HS256 instead
	unsigned       bool   // alg none
	text           string // replaces the payload's text
}

func takeApart(t *testing.T, compact string, key *keys.Private) *jwt {
	t.Helper()
	j := &jwt{key: key}
	for n, part := range strings.Split(compact, ".")[:2] {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, []*map[string]any{&j.header, &j.claims}[n]); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func (j *jwt) sign(t *testing.T) string {
	t.Helper()
	payload := []byte(j.text)
	if j.text == "" {
		payload = mustJSON(t, j.claims)
	}
	if j.mac == nil && !j.unsigned {
		delete(j.header, "alg")
		compact, err := j.key.Sign(keys.Header(j.header), payload)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	j.header["alg"] = "none"
	if j.mac != nil {
		j.header["alg"] = "HS256"
	}
	input := base64.RawURLEncoding.EncodeToString(mustJSON(t, j.header)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	if j.mac == nil {
		return input + "."
	}
	mac := hmac.New(sha256.New, j.mac)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// spoilsOfAnyJWT are what no token may be.
func spoilsOfAnyJWT(now time.Time) map[string]func(*jwt) {
	return map[string]func(*jwt){
		"alg none":        func(j *jwt) { j.unsigned = true },
		"HS256 confusion": func(j *jwt) { j.mac = j.key.Public().JWK() },
		"unknown crit":    func(j *jwt) { j.header["crit"], j.header["http://x"] = []string{"http://x"}, 1 },
		"wrong typ":       func(j *jwt) { j.header["typ"] = "JWT" },
		"stale iat": func(j *jwt) {
			j.claims["iat"] = now.Add(-2 * time.Hour).Unix()
			j.claims["exp"] = now.Add(-time.Hour).Unix()
		},
		"iat ahead":        func(j *jwt) { j.claims["iat"] = now.Add(time.Hour).Unix(); j.claims["nbf"] = now.Add(time.Hour).Unix() },
		"iat is a string":  func(j *jwt) { j.claims["iat"] = "now"; j.claims["exp"] = "then" },
		"duplicate member": func(j *jwt) { j.text = `{"a":1,"a":2}` },
		"no JSON":          func(j *jwt) { j.text = `]` },
		"another key":      func(j *jwt) { j.key, _ = keys.Generate(keys.ES256) },
	}
}

// with adds rows to a table of spoils.
func with(a map[string]func(*jwt), b map[string]func(*jwt)) map[string]func(*jwt) {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// hostile is one kind of message that a client can send, valid until spoilt.
type hostile struct {
	name   string
	code   string // of the refusal of a bad token in it
	status int
	token  func() *jwt                 // the valid token
	send   func(compact string) *reply // the request with the token
	spoils map[string]func(*jwt)       // beside those of any token
	skip   []string                    // spoils that do not concern this token
	codes  map[string]string           // of single spoils, where it is another
}

// refusal is what a spoilt token must be answered with.
func (h *hostile) refusal(spoil string) (status int, code string) {
	switch code := h.codes[spoil]; code {
	case "":
		return h.status, h.code
	case oid4vc.CodeUseAttestationChallenge:
		return http.StatusBadRequest, code
	default:
		return h.status, code
	}
}

func (h *hostile) run(t *testing.T, now time.Time) {
	for name, spoil := range with(spoilsOfAnyJWT(now), h.spoils) {
		if slices.Contains(h.skip, name) {
			continue
		}
		t.Run(h.name+"/"+name, func(t *testing.T) {
			j := h.token()
			spoil(j)
			r := h.send(j.sign(t))
			r.t = t
			status, code := h.refusal(name)
			r.refused(status, code)
		})
	}
	t.Run(h.name+"/replayed", func(t *testing.T) {
		compact := h.token().sign(t)
		if r := h.send(compact); r.status >= http.StatusBadRequest {
			t.Fatalf("the valid request is refused: %d %s", r.status, r.body)
		}
		r := h.send(compact)
		r.t = t
		status, code := h.refusal("replayed")
		r.refused(status, code)
	})
}

// private spoils a token by putting the private key into its header.
func private(t *testing.T) func(*jwt) {
	return func(j *jwt) {
		jwk, err := j.key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		j.header["jwk"] = json.RawMessage(jwk)
	}
}

// hostileWorld is a world in which every kind of client authentication is known.
type hostileWorld struct {
	*vciWorld
	provider, client *keys.Private
}

func newHostileWorld(t *testing.T) *hostileWorld {
	h := &hostileWorld{provider: issuertest.Key(t), client: issuertest.Key(t)}
	h.vciWorld = newVCIWorld(t, issuer.VCIConfig{
		WalletKeys: []json.RawMessage{h.provider.Public().JWK()},
		Clients:    []issuer.VCIClient{{ID: "bank-app", RedirectURIs: []string{"https://app.example/back"}, Keys: []json.RawMessage{h.client.Public().JWK()}}},
	})
	return h
}

func (h *hostileWorld) attestation(t *testing.T, p *testWallet) string {
	t.Helper()
	compact, err := oid4vc.MakeClientAttestation(h.provider, keys.Header{"kid": h.provider.Public().Thumbprint()},
		oid4vc.ClientAttestationOptions{Issuer: "https://wallets.example", ClientID: "good-wallet", Key: p.holder.Public(), Issued: h.Clock.Now(), Expires: h.Clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (h *hostileWorld) pop(t *testing.T, p *testWallet) string {
	t.Helper()
	if p.nonce == "" {
		p.challenge()
	}
	compact, err := oid4vc.MakeClientAttestationPoP(p.holder, oid4vc.ClientAttestationPoPOptions{ClientID: "good-wallet", Audience: p.issuer, Challenge: p.nonce, Now: h.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func pushedForm(t *testing.T, clientID, redirect string) url.Values {
	t.Helper()
	form, err := (&oid4vc.AuthorizationRequest{ClientID: clientID, RedirectURI: redirect, State: "s", CodeChallenge: oid4vc.CodeChallenge(oid4vc.NewCodeVerifier()), Scope: []string{"staff-card"}}).Values()
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// TestVCIHostileTokens spoils every token that a client can send, in every way, at every endpoint that takes it.
func TestVCIHostileTokens(t *testing.T) {
	w := newHostileWorld(t)
	now := w.Clock.Now()
	issuerID := w.Orgs["employer-A"].Issuer
	p := w.wallet(issuerID)
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
	p.challenge()

	dpopSpoils := map[string]func(*jwt){
		"private jwk":   private(t),
		"no jwk":        func(j *jwt) { delete(j.header, "jwk") },
		"no jti":        func(j *jwt) { delete(j.claims, "jti") },
		"wrong htm":     func(j *jwt) { j.claims["htm"] = "GET" },
		"wrong htu":     func(j *jwt) { j.claims["htu"] = issuerID + "/elsewhere" },
		"no nonce":      func(j *jwt) { delete(j.claims, "nonce") },
		"made-up nonce": func(j *jwt) { j.claims["nonce"] = "AAAA" },
	}
	dpopCodes := map[string]string{"no nonce": oid4vc.CodeUseDPoPNonce, "made-up nonce": oid4vc.CodeUseDPoPNonce}
	form := func(endpoint string, values func() url.Values) hostile {
		return hostile{name: "DPoP at " + endpoint, code: oid4vc.CodeInvalidDPoPProof, status: http.StatusBadRequest, spoils: dpopSpoils, codes: dpopCodes,
			token: func() *jwt {
				p.challenge()
				return takeApart(t, p.proof(http.MethodPost, issuerID+endpoint, ""), p.dpop)
			},
			send: func(compact string) *reply {
				return w.do(w.request(http.MethodPost, issuerID+endpoint, oid4vc.MediaTypeForm, []byte(values().Encode()), "DPoP", compact))
			}}
	}
	resource := func(endpoint string, body func() []byte) hostile {
		h := hostile{name: "DPoP at " + endpoint, code: oid4vc.CodeInvalidDPoPProof, status: http.StatusUnauthorized, codes: dpopCodes,
			token: func() *jwt {
				p.challenge()
				return takeApart(t, p.proof(http.MethodPost, issuerID+endpoint, p.token.AccessToken), p.dpop)
			},
			send: func(compact string) *reply {
				return w.do(w.request(http.MethodPost, issuerID+endpoint, oid4vc.MediaTypeJSON, body(), "Authorization", "DPoP "+p.token.AccessToken, "DPoP", compact))
			}}
		h.spoils = with(dpopSpoils, map[string]func(*jwt){
			"no ath":      func(j *jwt) { delete(j.claims, "ath") },
			"another ath": func(j *jwt) { j.claims["ath"] = oid4vc.TokenHash("x") },
			"another wallet's key": func(j *jwt) {
				j.key, _ = keys.Generate(keys.ES256)
				j.header["jwk"] = j.key.Public().JWK()
			},
		})
		return h
	}
	note := func() []byte {
		_, resp := p.collect("staff-card")
		return mustJSON(t, oid4vc.NotificationRequest{NotificationID: resp.NotificationID, Event: oid4vc.EventAccepted})
	}()
	rows := []hostile{
		form("/token", func() url.Values {
			return preAuthorized(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
		}),
		form("/par", func() url.Values { return pushedForm(t, issuer.PublicWallet, "http://127.0.0.1:9/callback") }),
		resource("/credential", func() []byte { return mustJSON(t, p.ask("staff-card")) }),
		resource("/notification", func() []byte { return note }),
		w.keyProofs(t, p), w.attestations(t), w.pops(t), w.assertions(t),
	}
	for _, h := range rows {
		h.run(t, now)
	}
}

// keyProofs is the proof in a credential request.
func (h *hostileWorld) keyProofs(t *testing.T, p *testWallet) hostile {
	return hostile{name: "key proof", code: oid4vc.CodeInvalidProof, status: http.StatusBadRequest,
		token: func() *jwt { return takeApart(t, p.keyProof(p.holder, p.challenge()), p.holder) },
		send: func(compact string) *reply {
			return p.json("/credential", oid4vc.CredentialRequest{ConfigurationID: "staff-card", Proofs: &oid4vc.Proofs{Type: "jwt", Values: []string{compact}}})
		},
		spoils: map[string]func(*jwt){
			"private jwk":  private(t),
			"no key":       func(j *jwt) { delete(j.header, "jwk") },
			"two keys":     func(j *jwt) { j.header["kid"] = "did:key:zDn" },
			"jku":          func(j *jwt) { delete(j.header, "jwk"); j.header["jku"] = "https://evil.example/keys" },
			"wrong aud":    func(j *jwt) { j.claims["aud"] = "https://other.example" },
			"no aud":       func(j *jwt) { delete(j.claims, "aud") },
			"aud endpoint": func(j *jwt) { j.claims["aud"] = p.issuer + "/credential" },
			"iss":          func(j *jwt) { j.claims["iss"] = "somebody" },
			"no nonce":     func(j *jwt) { delete(j.claims, "nonce") },
			"old nonce":    func(j *jwt) { j.claims["nonce"] = "AAAA" },
			"DPoP nonce":   func(j *jwt) { j.claims["nonce"] = p.nonce },
		},
		codes: map[string]string{"old nonce": oid4vc.CodeInvalidNonce, "DPoP nonce": oid4vc.CodeInvalidNonce, "replayed": oid4vc.CodeInvalidNonce},
	}
}

// attestations is the client attestation of a pushed request.
func (h *hostileWorld) attestations(t *testing.T) hostile {
	p := h.wallet(h.Orgs["employer-A"].Issuer)
	p.dpop = nil
	var pop string
	return hostile{name: "client attestation", code: oid4vc.CodeInvalidClient, status: http.StatusUnauthorized,
		token: func() *jwt {
			pop = h.pop(t, p)
			return takeApart(t, h.attestation(t, p), h.provider)
		},
		send: func(compact string) *reply {
			return p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, compact, oid4vc.HeaderClientAttestationPoP, pop)
		},
		spoils: map[string]func(*jwt){
			"another client": func(j *jwt) { j.claims["sub"] = "other-wallet" },
			"private cnf": func(j *jwt) {
				jwk, _ := p.holder.MarshalJWK()
				j.claims["cnf"] = map[string]any{"jwk": json.RawMessage(jwk)}
			},
			"no cnf":           func(j *jwt) { delete(j.claims, "cnf") },
			"unknown provider": func(j *jwt) { j.header["kid"] = "nobody" },
		},
	}
}

// pops is the proof of possession of a client attestation.
func (h *hostileWorld) pops(t *testing.T) hostile {
	p := h.wallet(h.Orgs["employer-A"].Issuer)
	p.dpop = nil
	return hostile{name: "attestation proof", code: oid4vc.CodeInvalidClient, status: http.StatusUnauthorized,
		token: func() *jwt { return takeApart(t, h.pop(t, p), p.holder) },
		send: func(compact string) *reply {
			return p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, h.attestation(t, p), oid4vc.HeaderClientAttestationPoP, compact)
		},
		spoils: map[string]func(*jwt){
			"wrong aud":     func(j *jwt) { j.claims["aud"] = p.issuer + "/par" },
			"no jti":        func(j *jwt) { delete(j.claims, "jti") },
			"no challenge":  func(j *jwt) { delete(j.claims, "challenge") },
			"old challenge": func(j *jwt) { j.claims["challenge"] = "AAAA" },
		},
		codes: map[string]string{"no challenge": oid4vc.CodeUseAttestationChallenge, "old challenge": oid4vc.CodeUseAttestationChallenge},
	}
}

// assertions is the client assertion of private_key_jwt.
func (h *hostileWorld) assertions(t *testing.T) hostile {
	p := h.wallet(h.Orgs["employer-A"].Issuer)
	p.dpop = nil
	form := pushedForm(t, "bank-app", "https://app.example/back")
	return hostile{name: "client assertion", code: oid4vc.CodeInvalidClient, status: http.StatusUnauthorized,
		token: func() *jwt {
			if err := oid4vc.MakeClientAssertion(form, h.client, "bank-app", p.issuer, h.Clock.Now()); err != nil {
				t.Fatal(err)
			}
			return takeApart(t, form.Get("client_assertion"), h.client)
		},
		send: func(compact string) *reply {
			form.Set("client_assertion", compact)
			return p.form("/par", form)
		},
		skip: []string{"wrong typ"}, // the standard names none
		spoils: map[string]func(*jwt){
			"wrong aud":   func(j *jwt) { j.claims["aud"] = p.issuer + "/token" },
			"no jti":      func(j *jwt) { delete(j.claims, "jti") },
			"another sub": func(j *jwt) { j.claims["sub"] = "other" },
			"another iss": func(j *jwt) { j.claims["iss"] = "other" },
			"far exp":     func(j *jwt) { j.claims["exp"] = h.Clock.Now().Add(48 * time.Hour).Unix() },
			"unknown kid": func(j *jwt) { j.header["kid"] = "nobody" },
		},
	}
}

// TestVCIHostileBodies sends every endpoint what is no request at all.
func TestVCIHostileBodies(t *testing.T) {
	w := newHostileWorld(t)
	issuerID := w.Orgs["employer-A"].Issuer
	p := w.wallet(issuerID)
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
	large := strings.Repeat("x", 300<<10)
	forms, messages := []string{"/par", "/token"}, []string{"/credential", "/deferred", "/notification"}
	codes := map[string]string{"/par": oid4vc.CodeInvalidRequest, "/token": oid4vc.CodeInvalidRequest, "/nonce": oid4vc.CodeInvalidRequest, "/challenge": oid4vc.CodeInvalidRequest,
		"/credential": oid4vc.CodeInvalidCredentialRequest, "/deferred": oid4vc.CodeInvalidCredentialRequest, "/notification": oid4vc.CodeInvalidNotificationRequest}
	for _, e := range forms {
		send := func(contentType, body string) *reply {
			p.challenge()
			return w.do(w.request(http.MethodPost, issuerID+e, contentType, []byte(body), "DPoP", p.proof(http.MethodPost, issuerID+e, "")))
		}
		send(oid4vc.MediaTypeJSON, "{}").refused(http.StatusBadRequest, codes[e])
		send("", "a=b").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeForm, "a=%zz").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeForm, "grant_type=a&grant_type=b").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeForm, "a="+large).refused(http.StatusRequestEntityTooLarge, codes[e])
	}
	for _, e := range messages {
		send := func(contentType, body string) *reply {
			p.challenge()
			return p.resource(e, contentType, []byte(body))
		}
		send(oid4vc.MediaTypeForm, "a=b").refused(http.StatusBadRequest, codes[e])
		send("", "{}").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeJSON, "").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeJSON, "[]").refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeJSON, `{"transaction_id":"a","transaction_id":"b","notification_id":"a","notification_id":"b","credential_identifier":"a","credential_identifier":"b"}`).refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeJSON, strings.Repeat("[", 10000)).refused(http.StatusBadRequest, codes[e])
		send(oid4vc.MediaTypeJSON, `{"a":"`+large+`"}`).refused(http.StatusRequestEntityTooLarge, codes[e])
		encrypted := oid4vc.CodeInvalidEncryptionParameters
		if e == "/notification" {
			encrypted = codes[e]
		}
		send(oid4vc.MediaTypeJWT, "a.b.c.d.e").refused(http.StatusBadRequest, encrypted)
	}
	for e, code := range codes {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			r := w.do(w.request(method, issuerID+e, "", nil))
			r.refused(http.StatusMethodNotAllowed, code)
			if r.header.Get("Allow") != http.MethodPost {
				t.Errorf("%s %s: Allow %q", method, e, r.header.Get("Allow"))
			}
		}
	}
}

// TestVCIHostileAccess comes to the protected endpoints without the right token.
func TestVCIHostileAccess(t *testing.T) {
	w := newHostileWorld(t)
	issuerID := w.Orgs["employer-A"].Issuer
	p := w.wallet(issuerID)
	p.redeem(w.offer("employer-A", issuer.OfferRequest{Type: "staff-card", Example: true}))
	other := w.wallet(w.Orgs["employer-B"].Issuer)
	other.token = p.token
	other.dpop = p.dpop
	other.challenge()
	other.json("/credential", map[string]string{}).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
	for _, e := range []string{"/credential", "/deferred", "/notification"} {
		send := func(header ...string) *reply {
			return w.do(w.request(http.MethodPost, issuerID+e, oid4vc.MediaTypeJSON, []byte("{}"), header...))
		}
		r := send()
		r.refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
		if got := r.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "DPoP") || strings.Contains(got, "error=") {
			t.Errorf("%s: WWW-Authenticate %q", e, got)
		}
		send("Authorization", "Bearer "+p.token.AccessToken).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
		send("Authorization", "DPoP "+p.token.AccessToken).refused(http.StatusUnauthorized, oid4vc.CodeInvalidDPoPProof)
		send("Authorization", "DPoP unknown", "DPoP", p.proof(http.MethodPost, issuerID+e, "unknown")).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
		twice := p.proof(http.MethodPost, issuerID+e, p.token.AccessToken)
		send("Authorization", "DPoP "+p.token.AccessToken, "DPoP", twice, "DPoP", twice).refused(http.StatusUnauthorized, oid4vc.CodeInvalidDPoPProof)
	}
	w.Clock.Set(w.Clock.Now().Add(11 * time.Minute))
	p.challenge()
	p.json("/credential", p.ask("staff-card")).refused(http.StatusUnauthorized, oid4vc.CodeInvalidToken)
}
