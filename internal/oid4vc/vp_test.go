package oid4vc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"akashi/internal/dcql"
	"akashi/internal/did"
	"akashi/internal/keys"
)

// vpVerifier is a verifier with a certificate of an authority.
type vpVerifier struct {
	key        *keys.Private
	leaf, root *x509.Certificate
	encryption *keys.Private
}

func newVPVerifier(t testing.TB) *vpVerifier {
	t.Helper()
	v := &vpVerifier{encryption: newKey(t, keys.ES256)}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	v.root = certify(t, root, root, &rootKey.PublicKey, rootKey)
	v.key = newKey(t, keys.ES256)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "verifier"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter, DNSNames: []string{"verifier.example"}, KeyUsage: x509.KeyUsageDigitalSignature}
	v.leaf = certify(t, leaf, v.root, v.key.Public().Crypto(), rootKey)
	return v
}

func certify(t testing.TB, template, parent *x509.Certificate, public any, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (v *vpVerifier) metadata(t testing.TB) *VerifierMetadata {
	t.Helper()
	key, err := keys.NewEncryptionKey(v.encryption.Public(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewVerifierMetadata(key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const vpResponseURI = "https://verifier.example/vp/response/1"

func (v *vpVerifier) request(t testing.TB, clientID string) *PresentationRequest {
	t.Helper()
	q, err := dcql.Parse([]byte(`{"credentials":[{"id":"w","format":"dc+sd-jwt","meta":{"vct_values":["x"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return &PresentationRequest{
		ResponseType: ResponseTypeVPToken, ResponseMode: ModeDirectPostJWT, ClientID: clientID, ResponseURI: vpResponseURI,
		Nonce: strings.Repeat("n", 43), State: "s", Query: q, Metadata: v.metadata(t),
		TransactionData: []string{b64.EncodeToString([]byte(`{"type":"t","credential_ids":["w"]}`))},
		VerifierInfo:    []VerifierInfo{{Format: "jwt", Data: json.RawMessage(`"x"`), CredentialIDs: []string{"w"}}},
	}
}

func (v *vpVerifier) header() keys.Header { return keys.Header{"x5c": keys.FormatChain(v.leaf)} }

func (v *vpVerifier) sign(t testing.TB, r *PresentationRequest, header keys.Header) string {
	t.Helper()
	compact, err := SignPresentationRequest(v.key, header, r, now, now.Add(5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func (v *vpVerifier) expect(clientID string) ExpectRequest {
	return ExpectRequest{ClientID: clientID, Roots: []*x509.Certificate{v.root}, Now: now}
}

func verifyRequest(compact string, want ExpectRequest) (*VerifiedRequest, error) {
	u, err := ParsePresentationRequest(compact)
	if err != nil {
		return nil, err
	}
	return u.Verify(want)
}

func TestPresentationRequest(t *testing.T) {
	v := newVPVerifier(t)
	didJWK, didKeyID := did.FromKeyJWK(v.key.Public()), did.FromKey(v.key.Public())
	for _, c := range []struct {
		clientID string
		header   keys.Header
	}{
		{"x509_san_dns:verifier.example", v.header()},
		{X509HashClientID(v.leaf), v.header()},
		{"decentralized_identifier:" + didJWK, keys.Header{"kid": didJWK + "#0"}},
		{"decentralized_identifier:" + didKeyID, keys.Header{"kid": DIDVerificationMethod(didKeyID)}},
	} {
		r := v.request(t, c.clientID)
		compact := v.sign(t, r, c.header)
		got, err := verifyRequest(compact, v.expect(c.clientID))
		if err != nil {
			t.Fatalf("%s: %v", c.clientID, err)
		}
		if !got.Key.Equal(v.key.Public()) || !reflect.DeepEqual(got.Query, r.Query) || got.Nonce != r.Nonce || got.Expires == nil {
			t.Errorf("%s: got %+v", c.clientID, got)
		}
		if h := headerOf(t, compact); h["typ"] != "oauth-authz-req+jwt" {
			t.Errorf("got header %v", h)
		}
	}
}

func TestPresentationRequestRefused(t *testing.T) {
	v, other := newVPVerifier(t), newVPVerifier(t)
	const san = "x509_san_dns:verifier.example"
	didJWK := did.FromKeyJWK(v.key.Public())
	member := func(name string, value any) func(header, claims object) {
		return func(_, claims object) { claims[name] = value }
	}
	without := func(name string) func(header, claims object) {
		return func(_, claims object) { delete(claims, name) }
	}
	in := func(name string, spoil func(object)) func(header, claims object) {
		return func(_, claims object) { spoil(claims[name].(object)) }
	}
	transaction := func(text string) func(header, claims object) {
		return member("transaction_data", []string{b64.EncodeToString([]byte(text))})
	}
	for _, c := range []struct {
		name  string
		spoil func(header, claims object)
		want  error
	}{
		{"typ", func(h, _ object) { h["typ"] = "JWT" }, ErrVPRequestType},
		{"typ missing", func(h, _ object) { delete(h, "typ") }, ErrVPRequestType},
		{"x5c missing", func(h, _ object) { delete(h, "x5c") }, ErrVPRequestSignature},
		{"anchor in x5c", func(h, _ object) { h["x5c"] = keys.FormatChain(v.leaf, v.root) }, ErrVPRequestSignature},
		{"certificate of another", func(h, _ object) { h["x5c"] = keys.FormatChain(other.leaf) }, ErrVPRequestSignature},
		{"other client_id than the link's", member("client_id", "x509_san_dns:other.example"), ErrVPClientID},
		{"client_id of another prefix", member("client_id", X509HashClientID(v.leaf)), ErrVPClientID},
		{"client_id without prefix", member("client_id", "verifier.example"), ErrVPClientID},
		{"client_id origin", member("client_id", "origin:https://verifier.example"), ErrVPClientID},
		{"client_id missing", without("client_id"), ErrVPClientID},
		{"response_type", member("response_type", "code"), ErrVPResponseType},
		{"response_mode", member("response_mode", "fragment"), ErrVPResponseMode},
		{"response_mode missing", without("response_mode"), ErrVPResponseMode},
		{"response_uri missing", without("response_uri"), ErrVPResponseURI},
		{"response_uri http", member("response_uri", "http://verifier.example/"), ErrVPResponseURI},
		{"response_uri elsewhere", member("response_uri", "https://other.example/"), ErrVPClientURI},
		{"redirect_uri too", member("redirect_uri", "https://verifier.example/"), ErrVPResponseURI},
		{"nonce missing", without("nonce"), ErrVPNonce},
		{"nonce with a space", member("nonce", "a b"), ErrVPNonce},
		{"nonce in standard base64", member("nonce", "ab+/=="), ErrVPNonce},
		{"query missing", without("dcql_query"), ErrVPQuery},
		{"query null", member("dcql_query", nil), ErrVPQuery},
		{"query malformed", in("dcql_query", func(q object) { q["credentials"] = []any{} }), ErrVPQuery},
		{"query as string", member("dcql_query", "{}"), ErrVPRequestMalformed},
		{"scope too", member("scope", "x"), ErrVPScope},
		{"no state without holder binding", func(_, claims object) {
			delete(claims, "state")
			claims["dcql_query"].(object)["credentials"].([]any)[0].(object)["require_cryptographic_holder_binding"] = false
		}, ErrVPState},
		{"state too long", member("state", strings.Repeat("s", 600)), ErrVPState},
		{"state with characters that are not allowed", member("state", "a b"), ErrVPState},
		{"request inside", member("request", "x"), ErrVPRequestMalformed},
		{"request_uri inside", member("request_uri", "https://verifier.example/"), ErrVPRequestMalformed},
		{"mode of the Digital Credentials API", member("response_mode", "dc_api.jwt"), ErrVPResponseMode},
		{"metadata missing", without("client_metadata"), ErrVPMetadata},
		{"formats missing", in("client_metadata", func(m object) { delete(m, "vp_formats_supported") }), ErrVPMetadata},
		{"no encryption key", in("client_metadata", func(m object) { delete(m, "jwks") }), ErrVPEncryption},
		{"no usable encryption key", in("client_metadata", func(m object) {
			m["jwks"] = object{"keys": []any{object{"kid": "a", "kty": "RSA"}}}
		}), ErrVPEncryption},
		{"key without kid", in("client_metadata", func(m object) { delete(m["jwks"].(object)["keys"].([]any)[0].(object), "kid") }), ErrVPMetadata},
		{"kid twice", in("client_metadata", func(m object) {
			k := m["jwks"].(object)["keys"].([]any)
			m["jwks"] = object{"keys": []any{k[0], k[0]}}
		}), ErrVPMetadata},
		{"no usable enc", in("client_metadata", func(m object) { m["encrypted_response_enc_values_supported"] = []any{"A256CBC-HS512"} }), ErrVPEncryption},
		{"no enc", in("client_metadata", func(m object) { m["encrypted_response_enc_values_supported"] = []any{} }), ErrVPMetadata},
		{"aud", member("aud", "https://wallet.example"), ErrVPRequestAudience},
		{"expired", member("exp", now.Unix()), ErrVPRequestTime},
		{"not yet", member("nbf", now.Add(time.Hour).Unix()), ErrVPRequestTime},
		{"wallet_nonce unasked", member("wallet_nonce", "x"), ErrVPWalletNonce},
		{"no transaction_data", member("transaction_data", []any{}), ErrVPTransactionData},
		{"transaction_data in other base64", member("transaction_data", []any{"e30="}), ErrVPTransactionData},
		{"transaction_data without type", transaction(`{"credential_ids":["w"]}`), ErrVPTransactionData},
		{"transaction_data for nothing", transaction(`{"type":"t","credential_ids":[]}`), ErrVPTransactionData},
		{"transaction_data for an unknown query", transaction(`{"type":"t","credential_ids":["z"]}`), ErrVPTransactionData},
		{"transaction_data twice", func(_, claims object) {
			d := claims["transaction_data"].([]any)
			claims["transaction_data"] = []any{d[0], d[0]}
		}, ErrVPTransactionData},
		{"transaction_data without holder binding", in("dcql_query", func(q object) {
			q["credentials"].([]any)[0].(object)["require_cryptographic_holder_binding"] = false
		}), ErrVPTransactionData},
		{"transaction_data with another hash", transaction(`{"type":"t","credential_ids":["w"],"transaction_data_hashes_alg":["sha-512"]}`), ErrVPTransactionData},
		{"no verifier_info", member("verifier_info", []any{}), ErrVPVerifierInfo},
		{"verifier_info without format", member("verifier_info", []any{object{"data": "x"}}), ErrVPVerifierInfo},
		{"verifier_info without data", member("verifier_info", []any{object{"format": "jwt"}}), ErrVPVerifierInfo},
		{"verifier_info for no query", member("verifier_info", []any{object{"format": "jwt", "data": "x", "credential_ids": []any{}}}), ErrVPVerifierInfo},
		{"verifier_info for an unknown query", member("verifier_info", []any{object{"format": "jwt", "data": object{}, "credential_ids": []any{"z"}}}), ErrVPVerifierInfo},
	} {
		t.Run(c.name, func(t *testing.T) {
			compact := respell(t, v.key, v.sign(t, v.request(t, san), v.header()), c.spoil)
			if _, err := verifyRequest(compact, v.expect(san)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}

	t.Run("what is answered", func(t *testing.T) {
		for _, c := range []struct {
			name  string
			spoil func(header, claims object)
			tell  bool
		}{
			{"a scope", member("scope", "x"), true},
			{"a redirect_uri", member("redirect_uri", "https://verifier.example/"), true},
			{"unknown formats", in("client_metadata", func(m object) { delete(m, "vp_formats_supported") }), true},
			{"a response_uri elsewhere", member("response_uri", "https://other.example/"), false},
			{"expired", member("exp", now.Unix()), false},
			{"no certificate", func(h, _ object) { delete(h, "x5c") }, false},
		} {
			_, err := verifyRequest(respell(t, v.key, v.sign(t, v.request(t, san), v.header()), c.spoil), v.expect(san))
			var refused *RequestError
			if got := errors.As(err, &refused); err == nil || got != c.tell || got && refused.Request.ResponseURI != vpResponseURI {
				t.Errorf("%s: got %v", c.name, err)
			}
		}
	})
	t.Run("iss and unknown members are ignored", func(t *testing.T) {
		compact := respell(t, v.key, v.sign(t, v.request(t, san), v.header()), func(_, claims object) { claims["iss"], claims["x"] = "https://other.example", object{} })
		if _, err := verifyRequest(compact, v.expect(san)); err != nil {
			t.Error(err)
		}
	})
	t.Run("key of another", func(t *testing.T) {
		compact := respell(t, other.key, v.sign(t, v.request(t, san), v.header()), func(object, object) {})
		if _, err := verifyRequest(compact, v.expect(san)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("alg none", func(t *testing.T) {
		compact := v.sign(t, v.request(t, san), v.header())
		header := headerOf(t, compact)
		header["alg"] = "none"
		if _, err := verifyRequest(unsigned(t, header, compact), v.expect(san)); RefusalOf(err) == nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("root not trusted", func(t *testing.T) {
		if _, err := verifyRequest(v.sign(t, v.request(t, san), v.header()), other.expect(san)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("name not in the certificate", func(t *testing.T) {
		r := v.request(t, "x509_san_dns:other.example")
		r.ResponseURI = "https://other.example/"
		if _, err := verifyRequest(v.sign(t, r, v.header()), v.expect(r.ClientID)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("hash of another certificate", func(t *testing.T) {
		r := v.request(t, X509HashClientID(other.leaf))
		if _, err := verifyRequest(v.sign(t, r, v.header()), v.expect(r.ClientID)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DID with another kid", func(t *testing.T) {
		r := v.request(t, "decentralized_identifier:"+didJWK)
		if _, err := verifyRequest(v.sign(t, r, keys.Header{"kid": didJWK + "#1"}), v.expect(r.ClientID)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DID of another key", func(t *testing.T) {
		d := did.FromKeyJWK(other.key.Public())
		r := v.request(t, "decentralized_identifier:"+d)
		if _, err := verifyRequest(v.sign(t, r, keys.Header{"kid": d + "#0"}), v.expect(r.ClientID)); !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("redirect_uri in an unsigned object", func(t *testing.T) {
		clientID := "redirect_uri:" + vpResponseURI
		plain := func(spoil func(header, claims object)) string {
			compact := unsigned(t, object{"alg": "none", "typ": TypeRequestObject}, respell(t, v.key, v.sign(t, v.request(t, san), v.header()), spoil))
			return compact[:strings.LastIndex(compact, ".")+1]
		}
		compact := plain(member("client_id", clientID))
		got, err := verifyRequest(compact, v.expect(clientID))
		if err != nil || !got.Key.IsZero() {
			t.Errorf("got %+v, %v", got, err)
		}
		for _, broken := range []string{compact + "AAAA", plain(func(_, claims object) { claims["client_id"], claims["scope"] = clientID, "x" })} {
			_, err := verifyRequest(broken, v.expect(clientID))
			var refused *RequestError
			if err == nil || errors.As(err, &refused) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("redirect_uri signed", func(t *testing.T) {
		r := v.request(t, "redirect_uri:"+vpResponseURI)
		if _, err := SignPresentationRequest(v.key, nil, r, now, now); !errors.Is(err, ErrVPSigned) {
			t.Errorf("made: %v", err)
		}
		compact := respell(t, v.key, v.sign(t, v.request(t, san), v.header()), member("client_id", r.ClientID))
		if _, err := verifyRequest(compact, v.expect(r.ClientID)); !errors.Is(err, ErrVPSigned) {
			t.Errorf("verified: %v", err)
		}
	})
	t.Run("wallet_nonce", func(t *testing.T) {
		r := v.request(t, san)
		r.WalletNonce = "mine"
		want := v.expect(san)
		want.WalletNonce = "mine"
		if _, err := verifyRequest(v.sign(t, r, v.header()), want); err != nil {
			t.Errorf("got %v", err)
		}
		want.WalletNonce = "other"
		if _, err := verifyRequest(v.sign(t, r, v.header()), want); !errors.Is(err, ErrVPWalletNonce) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRequestLink(t *testing.T) {
	for _, base := range []string{SchemePresentation, SchemePresentationHAIP, "https://wallet.example/present?x=1"} {
		want := &RequestLink{ClientID: "x509_san_dns:verifier.example", URI: "https://verifier.example/r/1?a=b", Post: true}
		link, err := want.Link(base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRequestLink(link)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", link, got, err)
		}
	}
	if l, err := ParseRequestLink("haip-vp://?client_id=x509_san_dns:verifier.example&request=a.b.c&nonce=x"); err != nil || l.Object != "a.b.c" || l.URI != "" {
		t.Errorf("by value: got %+v, %v", l, err)
	}
	const good = "client_id=x509_san_dns:verifier.example&request_uri=https://verifier.example/r"
	for query, want := range map[string]error{
		"openid4vp://?" + good + "&request_uri_method=put":                                           ErrVPURIMethod,
		"openid4vp://?" + good + "&request_uri=https://other.example":                                ErrVPRequestMalformed,
		"openid4vp://?" + good + "&request=e30":                                                      ErrVPRequestMalformed,
		"openid4vp://?" + good + "&x=1&x=2":                                                          ErrVPRequestMalformed,
		"openid4vp://?client_id=x509_san_dns:verifier.example&request=":                              ErrVPRequestMalformed,
		"openid4vp://?client_id=x509_san_dns:verifier.example&request=e30&request_uri_method=post":   ErrVPRequestMalformed,
		"openid4vp://?" + good + "&request_uri_method=POST":                                          ErrVPURIMethod,
		"openid4vp://?client_id=x509_san_dns:verifier.example&request_uri=http://verifier.example/r": ErrVPRequestMalformed,
		"openid4vp://?client_id=verifier.example&request_uri=https://verifier.example/r":             ErrVPClientID,
		"openid4vp://?client_id=origin:https://v.example&request_uri=https://v.example/r":            ErrVPClientID,
		"openid4vp://?client_id=x509_san_dns:verifier.example&response_type=vp_token":                ErrVPSigned,
		"other://?" + good: ErrVPRequestMalformed,
		"openid4vp://?%zz": ErrVPRequestMalformed,
		"openid4vp://?" + good + strings.Repeat("x", maxRequestLink): ErrVPRequestMalformed,
	} {
		if _, err := ParseRequestLink(query); !errors.Is(err, want) {
			t.Errorf("%.90s: got %v, want %v", query, err, want)
		}
	}
}

func TestPlainRequest(t *testing.T) {
	v := newVPVerifier(t)
	r := v.request(t, "redirect_uri:"+vpResponseURI)
	link, err := r.PlainLink(SchemePresentation)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRequestLink(link)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Plain.PresentationRequest, *r) || !got.Plain.Key.IsZero() {
		t.Errorf("got %+v", got.Plain)
	}
	query, err := r.Plain()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(url.Values)
		want  error
	}{
		"response_uri left out":  {func(q url.Values) { q.Del("response_uri") }, nil},
		"response_uri elsewhere": {func(q url.Values) { q.Set("response_uri", "https://other.example/") }, ErrVPClientURI},
		"request_uri_method":     {func(q url.Values) { q.Set("request_uri_method", "get") }, ErrVPRequestMalformed},
		"other prefix":           {func(q url.Values) { q.Set("client_id", "x509_san_dns:verifier.example") }, ErrVPSigned},
		"query no JSON":          {func(q url.Values) { q.Set("dcql_query", "{") }, ErrVPRequestMalformed},
		"redirect_uri":           {func(q url.Values) { q.Set("redirect_uri", "https://verifier.example/") }, ErrVPResponseURI},
		"unknown parameter":      {func(q url.Values) { q.Set("x", "y") }, nil},
	} {
		spoilt := make(url.Values)
		for k, v := range query {
			spoilt[k] = append([]string(nil), v...)
		}
		c.spoil(spoilt)
		if _, err := ParsePlainRequest(spoilt); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := v.request(t, X509HashClientID(v.leaf)).PlainLink(SchemePresentation); !errors.Is(err, ErrVPSigned) {
		t.Errorf("a signed client made a plain link: %v", err)
	}
}

func TestVPResponse(t *testing.T) {
	v := newVPVerifier(t)
	r := v.request(t, X509HashClientID(v.leaf))
	sealed := ResponseKey{v.encryption, "k1"}
	for _, mode := range []string{ModeDirectPost, ModeDirectPostJWT} {
		key := sealed
		if mode == ModeDirectPost {
			key = ResponseKey{}
		}
		for _, resp := range []*VPResponse{
			{Token: VPToken{"w": {"a~b~c"}}, State: "s"},
			{Error: &ErrorResponse{Code: CodeAccessDenied, Description: "no"}, State: "s"},
		} {
			r.ResponseMode = mode
			form, err := resp.FormFor(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadVPResponse(form, key, "s")
			if err != nil || !reflect.DeepEqual(got, resp) {
				t.Errorf("%s: got %+v, %v", mode, got, err)
			}
			if _, err := ReadVPResponse(form, key, "t"); !errors.Is(err, ErrVPResponseState) {
				t.Errorf("%s: with another state got %v", mode, err)
			}
		}
	}
	for _, encs := range [][]string{nil, {"A128GCM"}, {"A128GCM", "A256GCM"}, {"x", "A256GCM"}} {
		r.Metadata.Encs = encs
		form, err := (&VPResponse{Token: VPToken{"w": {"a"}}}).Seal(r.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadVPResponse(form, sealed, ""); err != nil {
			t.Errorf("%v: %v", encs, err)
		}
	}
}

func TestVPResponseRefused(t *testing.T) {
	v := newVPVerifier(t)
	sealed := ResponseKey{v.encryption, "k1"}
	seal := func(to *keys.Private, kid string, deflate bool, text string) url.Values {
		key, err := keys.NewEncryptionKey(to.Public(), kid)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := keys.EncryptMessage(key, keys.A256GCM, deflate, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return url.Values{"response": {compact}}
	}
	plain := func(token string) url.Values { return url.Values{"vp_token": {token}, "state": {"s"}} }
	const good = `{"vp_token":{"w":["a"]},"state":"s"}`
	for _, c := range []struct {
		name string
		form url.Values
		key  ResponseKey
		want error
	}{
		{"good", seal(v.encryption, "k1", false, good), sealed, nil},
		{"good in clear", plain(`{"w":["a"]}`), ResponseKey{}, nil},
		{"in clear where encryption is asked", plain(`{"w":["a"]}`), sealed, ErrVPResponsePlain},
		{"encrypted unasked", seal(v.encryption, "k1", false, good), ResponseKey{}, ErrVPResponseEncrypted},
		{"error in clear where encryption is asked", url.Values{"error": {"access_denied"}, "state": {"s"}}, sealed, nil},
		{"another key", seal(v.key, "k1", false, good), sealed, ErrVPResponseDecrypt},
		{"another kid", seal(v.encryption, "k2", false, good), sealed, ErrVPResponseDecrypt},
		{"no kid", seal(v.encryption, "", false, good), sealed, ErrVPResponseDecrypt},
		{"compressed", seal(v.encryption, "k1", true, good), sealed, ErrVPResponseDecrypt},
		{"no JWE", url.Values{"response": {"x"}}, sealed, ErrVPResponseDecrypt},
		{"content no JSON", seal(v.encryption, "k1", false, "x"), sealed, ErrVPResponse},
		{"content without token", seal(v.encryption, "k1", false, `{"state":"s"}`), sealed, ErrVPToken},
		{"encrypted and in clear", url.Values{"response": {"x"}, "vp_token": {"{}"}}, sealed, ErrVPResponse},
		{"nothing", url.Values{}, ResponseKey{}, ErrVPToken},
		{"error and token", url.Values{"vp_token": {"{}"}, "error": {"access_denied"}}, ResponseKey{}, ErrVPResponse},
		{"empty error", url.Values{"error": {""}}, ResponseKey{}, ErrVPResponse},
		{"error with odd characters", url.Values{"error": {"<script>"}, "state": {"s"}}, ResponseKey{}, ErrVPResponse},
		{"string, no array", plain(`{"w":"a"}`), ResponseKey{}, ErrVPToken},
		{"array, no object", plain(`["a"]`), ResponseKey{}, ErrVPToken},
		{"empty array", plain(`{"w":[]}`), ResponseKey{}, ErrVPToken},
		{"empty presentation", plain(`{"w":[""]}`), ResponseKey{}, ErrVPToken},
		{"presentation of another kind", plain(`{"w":[{}]}`), ResponseKey{}, ErrVPToken},
		{"empty object", plain(`{}`), ResponseKey{}, ErrVPToken},
		{"id twice", plain(`{"w":["a"],"w":["b"]}`), ResponseKey{}, ErrVPToken},
		{"no state", url.Values{"vp_token": {`{"w":["a"]}`}}, ResponseKey{}, ErrVPResponseState},
	} {
		if _, err := ReadVPResponse(c.form, c.key, "s"); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestTransactionHashes(t *testing.T) {
	a := b64.EncodeToString([]byte(`{"type":"t","credential_ids":["w"]}`))
	b := b64.EncodeToString([]byte(`{"type":"t","credential_ids":["w","x"],"transaction_data_hashes_alg":["sha-512","sha-256"]}`))
	hashes := func(of ...string) []string {
		for i := range of {
			of[i] = TransactionHash(of[i])
		}
		return of
	}
	key := newKey(t, keys.ES256)
	for _, c := range []struct {
		name, id string
		claims   object
		want     []int
		err      error
	}{
		{"both", "w", object{"transaction_data_hashes": hashes(a, b), "transaction_data_hashes_alg": "sha-256"}, []int{0, 1}, nil},
		{"in another order", "w", object{"transaction_data_hashes": hashes(b, a), "transaction_data_hashes_alg": "sha-256"}, []int{1, 0}, nil},
		{"one of two", "w", object{"transaction_data_hashes": hashes(a)}, []int{0}, nil},
		{"the one", "x", object{"transaction_data_hashes": hashes(b), "transaction_data_hashes_alg": "sha-256"}, []int{1}, nil},
		{"none", "w", object{}, nil, nil},
		{"an empty array", "w", object{"transaction_data_hashes": []string{}}, nil, ErrVPTransactionHashes},
		{"one twice", "w", object{"transaction_data_hashes": hashes(a, a)}, nil, ErrVPTransactionHashes},
		{"of other data", "w", object{"transaction_data_hashes": hashes("other")}, nil, ErrVPTransactionHashes},
		{"for another credential", "y", object{"transaction_data_hashes": hashes(a)}, nil, ErrVPTransactionHashes},
		{"algorithm not named", "x", object{"transaction_data_hashes": hashes(b)}, nil, ErrVPTransactionHashes},
		{"other algorithm", "x", object{"transaction_data_hashes": hashes(b), "transaction_data_hashes_alg": "sha-512"}, nil, ErrVPTransactionHashes},
		{"no array", "x", object{"transaction_data_hashes": "x"}, nil, ErrVPTransactionHashes},
	} {
		compact, err := key.Sign(nil, jsonOf(t, c.claims))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ConfirmedTransactions(compact, c.id, []string{a, b}); !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
	for _, elements := range [][]string{nil, {a}, {a, b}} {
		claims, err := TransactionClaims(elements)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := key.Sign(nil, jsonOf(t, claims))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ConfirmedTransactions(compact, "w", elements); err != nil || len(got) != len(elements) {
			t.Errorf("made and read: got %v, %v", got, err)
		}
	}
}

func TestVPAnswer(t *testing.T) {
	a, err := ParseVPAnswer([]byte(`{"redirect_uri":"https://verifier.example/back#response_code=x"}`))
	if err != nil || a.RedirectURI == "" {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, body := range []string{"", `{"redirect_uri":"javascript:x"}`, `{"redirect_uri":1}`, `{"redirect_uri":"http://x.example"}`,
		`{"redirect_uri":"https://x.example/#\u009b2K"}`, `{"redirect_uri":"https://x.example/\u202e"}`, `{"redirect_uri":"https://x.example/#a b"}`} {
		if _, err := ParseVPAnswer([]byte(body)); err == nil {
			t.Errorf("%s was taken", body)
		}
	}
}

// The examples published with OpenID4VP 1.0. AKASHI_VECTORS names the folder that holds them.
func TestPublishedVerifierMetadata(t *testing.T) {
	folder := os.Getenv("AKASHI_VECTORS")
	if folder == "" {
		t.Skip("AKASHI_VECTORS is not set")
	}
	files, err := filepath.Glob(filepath.Join(folder, "oid4vp-1_0-examples", "client_metadata", "*.json"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m VerifierMetadata
		if err := keys.DecodeJSON(text, &m); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
		want := ErrVPFormats
		if strings.HasPrefix(filepath.Base(file), "sd_jwt") {
			want = nil
		}
		if _, err := m.CheckFormats(keys.ES256); (err == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", filepath.Base(file), err, want)
		}
	}
}

func FuzzParsePresentationRequest(f *testing.F) {
	v := newVPVerifier(f)
	f.Add(string(jsonOf(f, v.request(f, X509HashClientID(v.leaf)))))
	f.Add(string(jsonOf(f, v.request(f, "redirect_uri:"+vpResponseURI))))
	f.Fuzz(func(t *testing.T, payload string) {
		w, err := readRequest([]byte(payload))
		if err != nil || w.validate() != nil {
			return
		}
		again, err := readRequest(jsonOf(t, w))
		if err != nil || again.validate() != nil || !reflect.DeepEqual(jsonOf(t, w), jsonOf(t, again)) {
			t.Fatalf("read again as %+v, %v", again, err)
		}
	})
}

func FuzzRequestLink(f *testing.F) {
	f.Add("openid4vp://?client_id=x509_san_dns:v.example&request_uri=https://v.example/r&request_uri_method=post")
	f.Fuzz(func(t *testing.T, link string) {
		l, err := ParseRequestLink(link)
		if err != nil || l.Plain != nil {
			return
		}
		text, err := l.Link(SchemePresentation)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseRequestLink(text); err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("read again as %+v, %v", again, err)
		}
	})
}

func FuzzReadVPResponse(f *testing.F) {
	f.Add(`vp_token={"w":["a"]}&state=s`)
	f.Add("error=access_denied&state=s")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		r, err := ReadVPResponse(form, ResponseKey{}, form.Get("state"))
		if err != nil {
			return
		}
		again, err := r.Form()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ReadVPResponse(again, ResponseKey{}, r.State); err != nil || !reflect.DeepEqual(r, back) {
			t.Fatalf("read again as %+v, %v", back, err)
		}
	})
}

// The example of OpenID4VP 1.0, Section 8.3: keys of four kinds, of which one can be used, and a response encrypted to it.
func TestPublishedResponse(t *testing.T) {
	const metadata = `{"jwks":{"keys":[
		{"kty":"EC","kid":"ac","use":"enc","crv":"P-256","alg":"ECDH-ES","x":"YO4epjifD-KWeq1sL2tNmm36BhXnkJ0He-WqMYrp9Fk","y":"Hekpm0zfK7C-YccH5iBjcIXgf6YdUvNUac_0At55Okk"},
		{"kty":"OKP","kid":"jc","use":"enc","crv":"X25519","alg":"ECDH-ES","x":"WPX7wnwq10hFNK9aDSyG1QlLswE_CJY14LdhcFUIVVc"},
		{"kty":"EC","kid":"lc","use":"enc","crv":"P-384","alg":"ECDH-ES","x":"iHytgLNtXjEyYMAIGwfgjINZRmLfObYbmjPhkaPD8OiTkJtRHjegTNdH31Mxg4nV","y":"MizXWSqNB7sSt_SNjg3spvaJnmjB-LpxsPpLUaea33rvINL3Mq-gEaANErRQpbLx"},
		{"kty":"OKP","kid":"bc","use":"enc","crv":"X448","alg":"ECDH-ES","x":"pK5IRpLlX-8XcsRYWHejpzkfsHoDOmAYuBzAC7aTpewWOw_QFHSa64t9p2kuommI8JQQLohS2AIA"}]},
		"encrypted_response_enc_values_supported":["A128GCM","A128CBC-HS256"],"vp_formats_supported":{"dc+sd-jwt":{}}}`
	const private = `{"kty":"EC","crv":"P-256","x":"YO4epjifD-KWeq1sL2tNmm36BhXnkJ0He-WqMYrp9Fk","y":"Hekpm0zfK7C-YccH5iBjcIXgf6YdUvNUac_0At55Okk","d":"Et-3ce0omz8_TuZ96Df9lp0GAaaDoUnDe6X-CRO7Aww"}`
	const response = "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTEyOEdDTSIsImtpZCI6ImFjIiwiZXBrIjp7Imt0eSI6IkVDIiwieCI6Im5ubVZwbTNWM2piaGNhZlFhUkJrU1ZOSGx3Wkh3dC05ck9wSnVmeVlJdWsiLCJ5I" +
		"joicjRmakRxd0p5czlxVU9QLV9iM21SNVNaRy0tQ3dPMm1pYzVWU05UWU45ZyIsImNydiI6IlAtMjU2In19..uAYcHRUSSn2X0WPX.yVzlGSYG4qbg0bq18JcUiDRw56yVnbKR8E7S7YlEtzT00RqE3Pw5oTpUG3hdLN" +
		"4taHZ9gC1kwak8JOnJgQ.1wR024_3-qtAlx1oFIUpQQ"
	var m VerifierMetadata
	if err := keys.DecodeJSON([]byte(metadata), &m); err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	key, enc, err := m.Encryption()
	if err != nil || key.KID() != "ac" || enc != keys.A128GCM {
		t.Errorf("chose %q, %s, %v", key.KID(), enc, err)
	}
	m.JWKS.Keys = append(m.JWKS.Keys[1:], m.JWKS.Keys[0]) // those that cannot be used first
	if key, _, err := m.Encryption(); err != nil || key.KID() != "ac" {
		t.Errorf("chose %q, %v", key.KID(), err)
	}
	mine, err := keys.ParsePrivate([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadVPResponse(url.Values{"response": {response}}, ResponseKey{mine, "ac"}, "")
	if err != nil || len(got.Token["example_credential_id"]) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Whatever a holder signs, what counts as confirmed was asked for, once.
func FuzzConfirmedTransactions(f *testing.F) {
	data := []string{b64.EncodeToString([]byte(`{"type":"t","credential_ids":["w"]}`)), b64.EncodeToString([]byte(`{"type":"t","credential_ids":["x"]}`))}
	f.Add([]byte(`{"transaction_data_hashes":["` + TransactionHash(data[0]) + `"],"transaction_data_hashes_alg":"sha-256"}`))
	f.Add([]byte(`{"transaction_data_hashes":["` + TransactionHash(data[1]) + `","x"]}`))
	key := newKey(f, keys.ES256)
	f.Fuzz(func(t *testing.T, payload []byte) {
		compact, err := key.Sign(nil, payload)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ConfirmedTransactions(compact, "w", data)
		if err != nil && RefusalOf(err) == nil {
			t.Fatalf("an error without answer: %v", err)
		}
		if len(got) > 1 || len(got) == 1 && got[0] != 0 {
			t.Fatalf("got %v", got)
		}
	})
}
