package oid4vc

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"akashi/internal/keys"
)

// attested is a wallet instance with its attestation.
type attested struct {
	provider, instance *keys.Private
	attestation, pop   string
}

func newAttested(t testing.TB) *attested {
	t.Helper()
	a := &attested{provider: newKey(t, keys.ES256), instance: newKey(t, keys.ES256)}
	var err error
	a.attestation, err = MakeClientAttestation(a.provider, keys.Header{"kid": "provider"}, ClientAttestationOptions{Issuer: "https://provider.example", ClientID: clientID,
		Key: a.instance.Public(), Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour), WalletName: "W", WalletLink: "https://wallet.example/about", Status: []byte(`{"status_list":{}}`)})
	if err != nil {
		t.Fatal(err)
	}
	a.pop, err = MakeClientAttestationPoP(a.instance, ClientAttestationPoPOptions{ClientID: clientID, Audience: issuerID, Challenge: "c", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *attested) header() http.Header {
	h := http.Header{}
	h.Set(HeaderClientAttestation, a.attestation)
	h.Set(HeaderClientAttestationPoP, a.pop)
	return h
}

func (a *attested) expect() ExpectClientAttestation {
	return ExpectClientAttestation{Issuer: issuerID, ClientID: clientID, Now: now,
		AttesterKey: func(h keys.UnverifiedHeader, _ string) (keys.Public, error) {
			if h.Kid != "provider" {
				return keys.Public{}, errors.New("unknown provider")
			}
			return a.provider.Public(), nil
		},
		Challenge: func(c string) error {
			if c != "c" {
				return errors.New("unknown challenge")
			}
			return nil
		}}
}

func TestClientAttestation(t *testing.T) {
	a := newAttested(t)
	got, err := CheckClientAttestation(a.header(), a.expect())
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != clientID || !got.Key.Equal(a.instance.Public()) || got.JTI == "" || got.WalletName != "W" || got.Issuer != "https://provider.example" || len(got.Status) == 0 || !got.ForgetAfter.After(now) {
		t.Errorf("got %+v", got)
	}
	// Draft -10: no iss in either; without nbf and iat; members that we do not know.
	a.attestation = respell(t, a.provider, a.attestation, func(_, c object) { delete(c, "iss"); delete(c, "iat"); c["x"] = 1 })
	a.pop = respell(t, a.instance, a.pop, func(_, c object) { delete(c, "iss"); c["aud"] = []string{issuerID}; c["x"] = 1 })
	want := a.expect()
	want.ClientID = "" // the form has none
	if _, err := CheckClientAttestation(a.header(), want); err != nil {
		t.Errorf("draft -10: %v", err)
	}
	if !HasClientAttestation(a.header()) || HasClientAttestation(http.Header{}) {
		t.Error("HasClientAttestation")
	}
}

func TestClientAttestationByDPoP(t *testing.T) {
	a := newAttested(t)
	h := a.header()
	h.Del(HeaderClientAttestationPoP)
	want := a.expect()
	if _, err := CheckClientAttestation(h, want); RefusalOf(err) != ErrAttestationCount {
		t.Errorf("no proof at all: got %v", err)
	}
	want.DPoP = &DPoPProof{Key: a.instance.Public(), Nonce: "c"}
	if got, err := CheckClientAttestation(h, want); err != nil || got.JTI != "" || got.ClientID != clientID {
		t.Errorf("got %+v, %v", got, err)
	}
	want.DPoP = &DPoPProof{Key: a.instance.Public()}
	if _, err := CheckClientAttestation(h, want); RefusalOf(err) != ErrUseAttestationChallenge {
		t.Errorf("no challenge: got %v", err)
	}
	want.DPoP = &DPoPProof{Key: newKey(t, keys.ES256).Public(), Nonce: "c"}
	if _, err := CheckClientAttestation(h, want); RefusalOf(err) != ErrPoPSignature {
		t.Errorf("another key: got %v", err)
	}
}

func TestClientAttestationRefuses(t *testing.T) {
	other := newKey(t, keys.ES256)
	att := func(spoil func(h, c object)) func(*testing.T, *attested, *ExpectClientAttestation) {
		return func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			a.attestation = respell(t, a.provider, a.attestation, spoil)
		}
	}
	pop := func(spoil func(h, c object)) func(*testing.T, *attested, *ExpectClientAttestation) {
		return func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			a.pop = respell(t, a.instance, a.pop, spoil)
		}
	}
	rows := []struct {
		name  string
		spoil func(t *testing.T, a *attested, want *ExpectClientAttestation)
		want  *Refusal
	}{
		{"attestation malformed", func(_ *testing.T, a *attested, _ *ExpectClientAttestation) { a.attestation = "x" }, ErrAttestationMalformed},
		{"attestation typ", att(func(h, _ object) { h["typ"] = "JWT" }), ErrAttestationTyp},
		{"attestation alg none", func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			h := headerOf(t, a.attestation)
			h["alg"] = "none"
			a.attestation = unsigned(t, h, a.attestation)
		}, ErrAttestationAlg},
		{"attestation alg HS256", func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			h := headerOf(t, a.attestation)
			h["alg"] = "HS256"
			a.attestation = unsigned(t, h, a.attestation)
		}, ErrAttestationAlg},
		{"provider unknown", att(func(h, _ object) { h["kid"] = "x" }), ErrAttestationUntrusted},
		{"nobody trusted", func(_ *testing.T, _ *attested, w *ExpectClientAttestation) { w.AttesterKey = nil }, ErrAttestationUntrusted},
		{"signature of another", func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			a.attestation = respell(t, other, a.attestation, func(_, _ object) {})
		}, ErrAttestationSignature},
		{"sub missing", att(func(_, c object) { delete(c, "sub") }), ErrAttestationMalformed},
		{"exp missing", att(func(_, c object) { delete(c, "exp") }), ErrAttestationMalformed},
		{"exp text", att(func(_, c object) { c["exp"] = "x" }), ErrAttestationMalformed},
		{"cnf missing", att(func(_, c object) { delete(c, "cnf") }), ErrAttestationMalformed},
		{"cnf without jwk", att(func(_, c object) { c["cnf"] = object{"kid": "x"} }), ErrAttestationMalformed},
		{"cnf private", att(func(_, c object) { c["cnf"] = object{"jwk": secretJWK(t, other)} }), ErrAttestationKey},
		{"cnf of another", att(func(_, c object) { c["cnf"] = object{"jwk": other.Public().JWK()} }), ErrPoPSignature},
		{"expired", att(func(_, c object) { c["exp"] = now.Unix() }), ErrAttestationExpired},
		{"nbf ahead", att(func(_, c object) { c["nbf"] = now.Add(time.Hour).Unix() }), ErrAttestationExpired},
		{"iat ahead", att(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrAttestationExpired},
		{"too old", func(_ *testing.T, _ *attested, w *ExpectClientAttestation) { w.MaxAttestationAge = time.Minute }, ErrAttestationOld},
		{"client_id of another", func(_ *testing.T, _ *attested, w *ExpectClientAttestation) { w.ClientID = "https://other.example" }, ErrAttestationClient},
		{"pop malformed", func(_ *testing.T, a *attested, _ *ExpectClientAttestation) { a.pop = "x" }, ErrPoPMalformed},
		{"pop is the attestation", func(_ *testing.T, a *attested, _ *ExpectClientAttestation) { a.pop = a.attestation }, ErrPoPTyp},
		{"pop typ", pop(func(h, _ object) { h["typ"] = "JWT" }), ErrPoPTyp},
		{"pop alg none", func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			h := headerOf(t, a.pop)
			h["alg"] = "none"
			a.pop = unsigned(t, h, a.pop)
		}, ErrPoPSignature},
		{"pop signature of another", func(t *testing.T, a *attested, _ *ExpectClientAttestation) {
			a.pop = respell(t, other, a.pop, func(_, _ object) {})
		}, ErrPoPSignature},
		{"pop iss of another", pop(func(_, c object) { c["iss"] = "https://other.example" }), ErrPoPIssuer},
		{"pop aud missing", pop(func(_, c object) { delete(c, "aud") }), ErrPoPAudience},
		{"pop aud of the endpoint", pop(func(_, c object) { c["aud"] = issuerID + "/token" }), ErrPoPAudience},
		{"pop aud of two", pop(func(_, c object) { c["aud"] = []string{issuerID, "https://other.example"} }), ErrPoPAudience},
		{"pop aud number", pop(func(_, c object) { c["aud"] = 1 }), ErrPoPMalformed},
		{"pop jti missing", pop(func(_, c object) { delete(c, "jti") }), ErrPoPMalformed},
		{"pop iat missing", pop(func(_, c object) { delete(c, "iat") }), ErrPoPTime},
		{"pop iat old", pop(func(_, c object) { c["iat"] = now.Add(-time.Hour).Unix() }), ErrPoPTime},
		{"pop iat ahead", pop(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrPoPTime},
		{"pop expired", pop(func(_, c object) { c["exp"] = now.Unix() }), ErrPoPTime},
		{"challenge missing", pop(func(_, c object) { delete(c, "challenge") }), ErrUseAttestationChallenge},
		{"challenge unknown", pop(func(_, c object) { c["challenge"] = "d" }), ErrUseAttestationChallenge},
	}
	for _, row := range rows {
		a := newAttested(t)
		want := a.expect()
		row.spoil(t, a, &want)
		if _, err := CheckClientAttestation(a.header(), want); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	a := newAttested(t)
	for name, spoil := range map[string]func(h http.Header){
		"attestation missing": func(h http.Header) { h.Del(HeaderClientAttestation) },
		"pop missing":         func(h http.Header) { h.Del(HeaderClientAttestationPoP) },
		"attestation twice":   func(h http.Header) { h.Add(HeaderClientAttestation, a.attestation) },
		"pop twice":           func(h http.Header) { h.Add(HeaderClientAttestationPoP, a.pop) },
	} {
		h := a.header()
		spoil(h)
		if _, err := CheckClientAttestation(h, a.expect()); RefusalOf(err) != ErrAttestationCount {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestClientAssertion(t *testing.T) {
	key, other := newKey(t, keys.EdDSA), newKey(t, keys.EdDSA)
	want := ExpectClientAssertion{Issuer: issuerID, Now: now, ClientKey: func(id string, h keys.UnverifiedHeader) (keys.Public, error) {
		if id != clientID || h.Kid != key.Public().Thumbprint() {
			return keys.Public{}, errors.New("unknown")
		}
		return key.Public(), nil
	}}
	valid := func() url.Values {
		form := url.Values{"grant_type": {"x"}}
		if err := MakeClientAssertion(form, key, clientID, issuerID, now); err != nil {
			t.Fatal(err)
		}
		return form
	}
	got, err := CheckClientAssertion(valid(), want)
	if err != nil || got.ClientID != clientID || got.JTI == "" || !got.Key.Equal(key.Public()) || !got.ForgetAfter.After(now) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if !HasClientAssertion(valid()) || HasClientAssertion(url.Values{}) {
		t.Error("HasClientAssertion")
	}
	claims := func(spoil func(h, c object)) func(url.Values) {
		return func(f url.Values) { f.Set("client_assertion", respell(t, key, f.Get("client_assertion"), spoil)) }
	}
	rows := []struct {
		name  string
		spoil func(f url.Values)
		want  *Refusal
	}{
		{"missing", func(f url.Values) { f.Del("client_assertion") }, ErrAssertionForm},
		{"type missing", func(f url.Values) { f.Del("client_assertion_type") }, ErrAssertionForm},
		{"type SAML", func(f url.Values) {
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		}, ErrAssertionForm},
		{"twice", func(f url.Values) { f.Add("client_assertion", f.Get("client_assertion")) }, ErrAssertionForm},
		{"malformed", func(f url.Values) { f.Set("client_assertion", "x") }, ErrAssertionForm},
		{"client_id of another", func(f url.Values) { f.Set("client_id", "x") }, ErrAssertionClient},
		{"sub missing", claims(func(_, c object) { delete(c, "sub") }), ErrAssertionClient},
		{"iss of another", claims(func(_, c object) { c["iss"] = "x" }), ErrAssertionClient},
		{"unknown client", func(f url.Values) {
			f.Del("client_id")
			claims(func(_, c object) { c["iss"], c["sub"] = "x", "x" })(f)
		}, ErrAssertionKey},
		{"unknown key", claims(func(h, _ object) { h["kid"] = "x" }), ErrAssertionKey},
		{"signature of another", func(f url.Values) {
			f.Set("client_assertion", respell(t, other, f.Get("client_assertion"), func(_, _ object) {}))
		}, ErrAssertionSignature},
		{"alg none", func(f url.Values) {
			h := headerOf(t, f.Get("client_assertion"))
			h["alg"] = "none"
			f.Set("client_assertion", unsigned(t, h, f.Get("client_assertion")))
		}, ErrAssertionSignature},
		{"aud missing", claims(func(_, c object) { delete(c, "aud") }), ErrAssertionAudience},
		{"aud of the endpoint", claims(func(_, c object) { c["aud"] = issuerID + "/token" }), ErrAssertionAudience},
		{"aud of two", claims(func(_, c object) { c["aud"] = []string{issuerID, issuerID + "/token"} }), ErrAssertionAudience},
		{"jti missing", claims(func(_, c object) { delete(c, "jti") }), ErrAssertionForm},
		{"exp missing", claims(func(_, c object) { delete(c, "exp") }), ErrAssertionForm},
		{"expired", claims(func(_, c object) { c["exp"] = now.Unix() }), ErrAssertionTime},
		{"exp too far", claims(func(_, c object) { c["exp"] = now.Add(2 * time.Hour).Unix() }), ErrAssertionTime},
		{"nbf ahead", claims(func(_, c object) { c["nbf"] = now.Add(time.Hour).Unix() }), ErrAssertionTime},
		{"iat ahead", claims(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrAssertionTime},
		{"iat text", claims(func(_, c object) { c["iat"] = "x" }), ErrAssertionForm},
	}
	if _, err := CheckClientAssertion(valid(), ExpectClientAssertion{Issuer: issuerID, Now: now}); RefusalOf(err) != ErrAssertionKey {
		t.Errorf("no clients: got %v", err)
	}
	for _, row := range rows {
		form := valid()
		row.spoil(form)
		if _, err := CheckClientAssertion(form, want); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}
