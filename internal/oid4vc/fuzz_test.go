package oid4vc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"akashi/internal/keys"
)

// again checks that what parsed writes itself so that it parses to the same.
func again[T any](t *testing.T, v *T, parse func([]byte) (*T, error)) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	other, err := parse(text)
	if err != nil {
		t.Fatalf("written and read again: %v", err)
	}
	if twice, err := json.Marshal(other); err != nil || string(twice) != string(text) {
		t.Fatalf("written twice:\n%s\n%s", text, twice)
	}
}

func FuzzIssuerMetadata(f *testing.F) {
	f.Add(jsonOf(f, validMetadata(f)))
	f.Add([]byte(`{"credential_issuer":"https://issuer.example/o/1234","credential_endpoint":"https://a.example","credential_configurations_supported":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parse := func(data []byte) (*IssuerMetadata, error) { return ParseIssuerMetadata(data, issuerID) }
		if m, err := parse(data); err == nil {
			again(t, m, parse)
		}
	})
}

func FuzzServerMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://issuer.example/o/1234","token_endpoint":"https://a.example","jwks":{"keys":[{"kty":"EC"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parse := func(data []byte) (*ServerMetadata, error) { return ParseServerMetadata(data, issuerID) }
		if m, err := parse(data); err == nil {
			again(t, m, parse)
		}
		if m, err := ParseJWTVCIssuerMetadata(data, issuerID); err == nil && m.JWKS != nil {
			_, _ = m.JWKS.Find("x")
		}
		if set, err := ParseKeySet(data); err == nil {
			_, _ = set.EncryptionKey()
		}
	})
}

func FuzzOfferLink(f *testing.F) {
	link, err := validOffer().Link(SchemeOffer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(link)
	f.Add(SchemeOfferHAIP + "?credential_offer_uri=https%3A%2F%2Fa.example")
	f.Fuzz(func(t *testing.T, link string) {
		l, err := ParseOfferLink(link)
		if err != nil {
			return
		}
		if (l.Offer == nil) == (l.URI == "") {
			t.Fatalf("got %+v", l)
		}
		if l.Offer == nil {
			return
		}
		written, err := l.Offer.Link(SchemeOffer)
		if err != nil {
			t.Fatal(err)
		}
		if len(written) > maxOfferLink { // percent signs make it longer than it came
			return
		}
		if other, err := ParseOfferLink(written); err != nil || !reflect.DeepEqual(other, l) {
			t.Fatalf("written and read again: %+v, %v", other, err)
		}
	})
}

func FuzzForms(f *testing.F) {
	request, err := validRequest().Values()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request.Encode())
	f.Add("grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fa.example&code_verifier=v")
	f.Add("code=c&state=s&iss=https%3A%2F%2Fissuer.example%2Fo%2F1234")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if r, err := ParseAuthorizationRequest(form); err == nil {
			v, err := r.Values()
			if err != nil {
				t.Fatal(err)
			}
			if other, err := ParseAuthorizationRequest(v); err != nil || !reflect.DeepEqual(other, r) {
				t.Fatalf("written and read again: %+v, %v", other, err)
			}
		}
		if r, err := ParseTokenRequest(form); err == nil {
			v, err := r.Values()
			if err != nil {
				t.Fatal(err)
			}
			if other, err := ParseTokenRequest(v); err != nil || other.GrantType != r.GrantType {
				t.Fatalf("written and read again: %+v, %v", other, err)
			}
		}
		if code, err := ParseAuthorizationResponse(form, "s", &ServerMetadata{Issuer: issuerID, IssParameterSupported: true}); err == nil && (code == "" || form.Get("iss") != issuerID) {
			t.Fatal("taken without iss")
		}
		_, _ = CheckClientAssertion(form, ExpectClientAssertion{Issuer: issuerID, Now: now, ClientKey: func(string, keys.UnverifiedHeader) (keys.Public, error) { return keys.Public{}, nil }})
	})
}

func FuzzMessages(f *testing.F) {
	_, key := encryptionPair(f, "k")
	f.Add(jsonOf(f, CredentialRequest{ConfigurationID: "a", Proofs: jwtProofs("x"), ResponseEncryption: &ResponseEncryption{Key: key, Enc: keys.A256GCM}}))
	f.Add(jsonOf(f, CredentialResponse{Credentials: []IssuedCredential{TextCredential("a")}, NotificationID: "n"}))
	f.Add(jsonOf(f, CredentialResponse{TransactionID: "t", Interval: 5}))
	f.Add(jsonOf(f, NotificationRequest{NotificationID: "n", Event: EventAccepted}))
	f.Add(jsonOf(f, TokenResponse{AccessToken: "a", TokenType: "DPoP"}))
	f.Add([]byte(`{"request_uri":"urn:x","expires_in":60,"c_nonce":"n","attestation_challenge":"c","error":"e"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseCredentialRequest(data); err == nil {
			again(t, r, ParseCredentialRequest)
		} else if RefusalOf(err) == nil {
			t.Fatalf("an error without answer: %v", err)
		}
		if r, err := ParseDeferredRequest(data); err == nil {
			again(t, r, ParseDeferredRequest)
		}
		if r, err := ParseNotificationRequest(data); err == nil {
			again(t, r, ParseNotificationRequest)
		}
		for _, status := range []int{200, 202} {
			parse := func(data []byte) (*CredentialResponse, error) { return ParseCredentialResponse(status, data, 2) }
			if r, err := parse(data); err == nil {
				again(t, r, parse)
			}
		}
		parse := func(data []byte) (*TokenResponse, error) { return ParseTokenResponse(data, false) }
		if r, err := parse(data); err == nil {
			again(t, r, parse)
		}
		_, _ = ParsePushedResponse(data)
		_, _ = ParseNonceResponse(data)
		_, _ = ParseChallengeResponse(data)
		_ = ParseErrorResponse(400, data).Error()
	})
}

// FuzzTokens feeds tokens as they come.
func FuzzTokens(f *testing.F) {
	r := newProofRig(f)
	r.attest()
	r.options.KeyAttestation = r.keyAttestation(f)
	f.Add(r.proof(f, r.holder))
	f.Add(r.options.KeyAttestation)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, compact string) {
		checkTokens(t, r, compact)
	})
}

// FuzzClaims signs whatever header and claims come, so that the readers behind the signature are reached.
func FuzzClaims(f *testing.F) {
	r := newProofRig(f)
	r.attest()
	for _, compact := range []string{r.proof(f, r.holder), r.keyAttestation(f)} {
		u, err := keys.ParseToken(compact)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(u.Header().Raw), u.UnverifiedPayload())
	}
	dpop, err := MakeDPoP(r.holder, DPoPOptions{Method: "POST", URL: issuerID, Now: now})
	if err != nil {
		f.Fatal(err)
	}
	payload, err := keys.UnverifiedPayload(dpop)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"typ":"dpop+jwt"}`), payload)
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		var h keys.Header
		if err := json.Unmarshal(header, &h); err != nil || h == nil {
			t.Skip("the header is no JSON object")
		}
		delete(h, "alg")
		if _, ok := h["jwk"]; ok {
			h["jwk"] = r.holder.Public().JWK()
		}
		for _, key := range []*keys.Private{r.holder, r.provider} {
			if compact, err := key.Sign(h, payload); err == nil {
				checkTokens(t, r, compact)
			}
		}
	})
}

func checkTokens(t *testing.T, r *proofRig, compact string) {
	t.Helper()
	want := r.want
	for _, required := range []bool{false, true} {
		want.AttestationRequired = required
		for _, p := range []*Proofs{jwtProofs(compact), {Type: ProofTypeAttestation, Values: []string{compact}}} {
			set, err := CheckProofs(p, want)
			if err == nil && (len(set.Keys) == 0 || len(set.Nonces) == 0) {
				t.Fatalf("got %+v", set)
			}
			if err != nil && RefusalOf(err) == nil {
				t.Fatalf("an error without answer: %v", err)
			}
		}
	}
	if got, err := CheckDPoP(http.Header{"Dpop": {compact}}, ExpectDPoP{Method: "POST", URL: issuerID, Now: now}); err == nil && (got.JTI == "" || got.Key.IsZero()) {
		t.Fatalf("got %+v", got)
	}
	a := &attested{provider: r.provider, instance: r.holder, attestation: compact, pop: compact}
	if got, err := CheckClientAttestation(a.header(), a.expect()); err == nil && got.ClientID == "" {
		t.Fatalf("got %+v", got)
	}
	if u, err := ParseSignedIssuerMetadata(compact); err == nil {
		_, _ = u.Verify(r.provider.Public(), issuerID, now)
	}
}
