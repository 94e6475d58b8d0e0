package oid4vc

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
)

func TestWellKnown(t *testing.T) {
	for identifier, want := range map[string]string{
		"https://a.example":          "https://a.example/.well-known/n",
		"https://a.example/":         "https://a.example/.well-known/n",
		"https://a.example:8443/o/1": "https://a.example:8443/.well-known/n/o/1",
		"https://a.example/o/1/":     "https://a.example/.well-known/n/o/1",
		"https://a.example/o%2F1":    "https://a.example/.well-known/n/o%2F1",
		"http://127.0.0.1:8080/o/1":  "http://127.0.0.1:8080/.well-known/n/o/1",
	} {
		if got, err := WellKnown("n", identifier); err != nil || got != want {
			t.Errorf("%s: got %s, %v", identifier, got, err)
		}
	}
	for _, identifier := range []string{"", "a.example", "http://a.example", "ftp://a.example", "https://a.example?x", "https://a.example/?", "https://a.example#", "https://a.example/#x", "https://u@a.example",
		"https://", "https:///x", "https:a", "https://a.example/ x", "https://a.example/\n", "https://a.example/é", `https://a.example\@b.example`, "https://a.example/" + strings.Repeat("x", 3000)} {
		if _, err := WellKnown("n", identifier); !errors.Is(err, ErrIdentifier) {
			t.Errorf("%.40q: got %v, want %v", identifier, err, ErrIdentifier)
		}
	}
}

// validMetadata has every member.
func validMetadata(t testing.TB) *IssuerMetadata {
	t.Helper()
	key, err := keys.NewEncryptionKey(newKey(t, keys.ES256).Public(), "e1")
	if err != nil {
		t.Fatal(err)
	}
	return &IssuerMetadata{
		CredentialIssuer: issuerID, AuthorizationServers: []string{issuerID}, CredentialEndpoint: issuerID + "/credential", NonceEndpoint: issuerID + "/nonce",
		DeferredEndpoint: issuerID + "/deferred", NotificationEndpoint: issuerID + "/notification?x=1", StatusAggregation: issuerID + "/status",
		RequestEncryption:  &RequestEncryptionMetadata{JWKS: KeySet{Keys: []json.RawMessage{jsonOf(t, key)}}, Enc: []string{"A128GCM", "A256GCM"}, Zip: []string{"DEF"}},
		ResponseEncryption: &ResponseEncryptionMetadata{Alg: []string{"ECDH-ES"}, Enc: []string{"A256GCM"}, Zip: []string{"DEF"}},
		Batch:              &BatchMetadata{BatchSize: 20},
		Display:            []Display{{Name: "Example", Locale: "en"}, {Name: "例", Locale: "ja", Logo: &Logo{URI: "https://a.example/logo.png"}}},
		Configurations: map[string]CredentialConfiguration{"a": {
			Format: FormatSDJWTVC, Scope: "a", VCT: "urn:example:a:1", SigningAlgs: []any{"ES256"}, BindingMethods: []string{BindingJWK},
			ProofTypes: map[string]ProofTypeConfig{ProofTypeJWT: {SigningAlgs: []string{"ES256"}, KeyAttestations: &KeyAttestationsRequired{KeyStorage: []string{"iso_18045_high"}}}},
			Metadata: &CredentialMetadata{Display: []Display{{Name: "A", Locale: "en"}}, Claims: []ClaimDescription{{Path: ClaimPath{"a", nil, "b"}, Mandatory: true, Display: []Display{{Name: "b"}}},
				{Path: ClaimPath{"a"}}, {Path: ClaimPath{"c", 0}}, {Path: ClaimPath{"c", 1}}}},
		}},
	}
}

func TestIssuerMetadata(t *testing.T) {
	text := jsonOf(t, validMetadata(t))
	m, err := ParseIssuerMetadata(text, issuerID)
	if err != nil {
		t.Fatal(err)
	}
	if again := jsonOf(t, m); string(again) != string(text) {
		t.Errorf("written again it is\n%s, want\n%s", again, text)
	}
	if err := m.ValidateHAIP(); err != nil {
		t.Error(err)
	}
	if _, err := ParseIssuerMetadata(text, issuerID+"/"); !errors.Is(err, ErrMetadataIssuer) {
		t.Errorf("another issuer: got %v", err)
	}
	configuration := func(m object) object {
		return m["credential_configurations_supported"].(object)["a"].(object)
	}
	proof := func(m object) object { return configuration(m)["proof_types_supported"].(object)["jwt"].(object) }
	metadata := func(m object) object { return configuration(m)["credential_metadata"].(object) }
	jwks := func(m object) []any {
		return m["credential_request_encryption"].(object)["jwks"].(object)["keys"].([]any)
	}
	path := func(paths ...[]any) func(object) {
		return func(m object) {
			var claims []any
			for _, p := range paths {
				claims = append(claims, object{"path": p})
			}
			metadata(m)["claims"] = claims
		}
	}
	rows := []struct {
		name  string
		spoil func(m object)
	}{
		{"credential_endpoint missing", func(m object) { delete(m, "credential_endpoint") }},
		{"credential_endpoint http", func(m object) { m["credential_endpoint"] = "http://issuer.example/c" }},
		{"nonce_endpoint relative", func(m object) { m["nonce_endpoint"] = "/nonce" }},
		{"deferred_credential_endpoint fragment", func(m object) { m["deferred_credential_endpoint"] = issuerID + "#x" }},
		{"notification_endpoint number", func(m object) { m["notification_endpoint"] = 1 }},
		{"status_list_aggregation_endpoint", func(m object) { m["status_list_aggregation_endpoint"] = "x" }},
		{"authorization_servers empty", func(m object) { m["authorization_servers"] = []any{} }},
		{"authorization_servers twice", func(m object) { m["authorization_servers"] = []any{issuerID, issuerID} }},
		{"authorization_servers http", func(m object) { m["authorization_servers"] = []any{"http://a.example"} }},
		{"batch_size 1", func(m object) { m["batch_credential_issuance"].(object)["batch_size"] = 1 }},
		{"batch_size missing", func(m object) { m["batch_credential_issuance"] = object{} }},
		{"display empty", func(m object) { m["display"] = []any{} }},
		{"display twice in a language", func(m object) { m["display"] = []any{object{"locale": "ja"}, object{"locale": "ja"}} }},
		{"logo without uri", func(m object) { m["display"] = []any{object{"logo": object{}}} }},
		{"request encryption without keys", func(m object) { m["credential_request_encryption"].(object)["jwks"] = object{"keys": []any{}} }},
		{"request encryption without enc", func(m object) { delete(m["credential_request_encryption"].(object), "enc_values_supported") }},
		{"request encryption zip empty", func(m object) { m["credential_request_encryption"].(object)["zip_values_supported"] = []any{} }},
		{"request encryption key without kid", func(m object) { delete(jwks(m)[0].(object), "kid") }},
		{"request encryption key without alg", func(m object) { delete(jwks(m)[0].(object), "alg") }},
		{"request encryption kid number", func(m object) { jwks(m)[0].(object)["kid"] = 1 }},
		{"request encryption kid twice", func(m object) {
			m["credential_request_encryption"].(object)["jwks"] = object{"keys": []any{jwks(m)[0], jwks(m)[0]}}
		}},
		{"response encryption without alg", func(m object) { delete(m["credential_response_encryption"].(object), "alg_values_supported") }},
		{"response encryption enc empty", func(m object) { m["credential_response_encryption"].(object)["enc_values_supported"] = []any{} }},
		{"response encryption zip empty", func(m object) { m["credential_response_encryption"].(object)["zip_values_supported"] = []any{} }},
		{"configurations missing", func(m object) { delete(m, "credential_configurations_supported") }},
		{"format missing", func(m object) { delete(configuration(m), "format") }},
		{"vct missing", func(m object) { delete(configuration(m), "vct") }},
		{"doctype missing", func(m object) { configuration(m)["format"] = "mso_mdoc" }},
		{"definition missing", func(m object) { configuration(m)["format"] = "ldp_vc" }},
		{"two scopes", func(m object) { configuration(m)["scope"] = "a b" }},
		{"signing algs empty", func(m object) { configuration(m)["credential_signing_alg_values_supported"] = []any{} }},
		{"signing alg number", func(m object) { configuration(m)["credential_signing_alg_values_supported"] = []any{-7} }},
		{"binding without proofs", func(m object) { delete(configuration(m), "proof_types_supported") }},
		{"proofs without binding", func(m object) { delete(configuration(m), "cryptographic_binding_methods_supported") }},
		{"binding twice", func(m object) { configuration(m)["cryptographic_binding_methods_supported"] = []any{"jwk", "jwk"} }},
		{"proof algs missing", func(m object) { delete(proof(m), "proof_signing_alg_values_supported") }},
		{"proof algs empty string", func(m object) { proof(m)["proof_signing_alg_values_supported"] = []any{""} }},
		{"key_storage empty", func(m object) { proof(m)["key_attestations_required"].(object)["key_storage"] = []any{} }},
		{"user_authentication empty", func(m object) { proof(m)["key_attestations_required"].(object)["user_authentication"] = []any{} }},
		{"credential display empty", func(m object) { metadata(m)["display"] = []any{} }},
		{"credential display without name", func(m object) { metadata(m)["display"] = []any{object{"locale": "en"}} }},
		{"claims empty", func(m object) { metadata(m)["claims"] = []any{} }},
		{"claim display twice", func(m object) {
			metadata(m)["claims"] = []any{object{"path": []any{"a"}, "display": []any{object{}, object{}}}}
		}},
		{"path missing", func(m object) { metadata(m)["claims"] = []any{object{}} }},
		{"path empty", path([]any{})},
		{"path negative", path([]any{"a", -1})},
		{"path fraction", path([]any{"a", 1.5})},
		{"path bool", path([]any{true})},
		{"same claim twice", path([]any{"a", "b"}, []any{"a", "b"})},
		{"element and all", path([]any{"a", 0}, []any{"a", nil})},
		{"object and array", path([]any{"a", "b"}, []any{"a", nil, "c"})},
		{"object and array by index", path([]any{"a", 1}, []any{"a", "b"})},
	}
	for _, row := range rows {
		if _, err := ParseIssuerMetadata(spoilt(t, text, row.spoil), issuerID); !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrMetadata)
		}
	}
	for _, body := range []string{"", "[]", "null", `{"credential_issuer":"a","credential_issuer":"b"}`} {
		if _, err := ParseIssuerMetadata([]byte(body), issuerID); err == nil {
			t.Errorf("%q was taken", body)
		}
	}
	unknown := spoilt(t, text, func(m object) {
		m["new_member"] = object{"x": 1}
		m["credential_configurations_supported"].(object)["other"] = object{"format": "new_format", "x": 1}
	})
	if _, err := ParseIssuerMetadata(unknown, issuerID); err != nil {
		t.Errorf("unknown members and formats: %v", err)
	}
}

func TestServers(t *testing.T) {
	own, listed := &IssuerMetadata{CredentialIssuer: "https://a.example"}, &IssuerMetadata{CredentialIssuer: "https://a.example", AuthorizationServers: []string{"https://b.example", "https://c.example"}}
	for _, row := range []struct {
		m    *IssuerMetadata
		hint string
		want string
	}{{own, "", "https://a.example"}, {own, "https://a.example", "https://a.example"}, {listed, "", "https://b.example https://c.example"}, {listed, "https://c.example", "https://c.example"}} {
		if got, err := row.m.Servers(row.hint); err != nil || strings.Join(got, " ") != row.want {
			t.Errorf("%s: got %v, %v", row.hint, got, err)
		}
	}
	for _, m := range []*IssuerMetadata{own, listed} {
		if _, err := m.Servers("https://evil.example"); !errors.Is(err, ErrMetadataIssuer) {
			t.Errorf("got %v", err)
		}
	}
}

func TestValidateHAIP(t *testing.T) {
	m := validMetadata(t)
	m.NonceEndpoint = ""
	if err := m.ValidateHAIP(); !errors.Is(err, ErrMetadata) {
		t.Errorf("no nonce endpoint: got %v", err)
	}
	m = validMetadata(t)
	c := m.Configurations["a"]
	c.Scope = ""
	m.Configurations["a"] = c
	if err := m.ValidateHAIP(); !errors.Is(err, ErrMetadata) {
		t.Errorf("no scope: got %v", err)
	}
}

func TestSignedMetadata(t *testing.T) {
	key := newKey(t, keys.ES256)
	compact, err := SignIssuerMetadata(key, keys.Header{"kid": "k1"}, validMetadata(t), now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(compact string, key keys.Public, at time.Time) (*IssuerMetadata, error) {
		u, err := ParseSignedIssuerMetadata(compact)
		if err != nil {
			return nil, err
		}
		return u.Verify(key, issuerID, at)
	}
	m, err := verify(compact+"\n", key.Public(), now)
	if err != nil || m.Batch.BatchSize != 20 {
		t.Fatalf("got %v", err)
	}
	rows := []struct {
		name  string
		spoil func(h, c object)
		want  error
	}{
		{"typ", func(h, _ object) { h["typ"] = "openid4vci-issuer-metadata+jwt" }, ErrMetadataSignature},
		{"typ missing", func(h, _ object) { delete(h, "typ") }, ErrMetadataSignature},
		{"sub missing", func(_, c object) { delete(c, "sub") }, ErrMetadataIssuer},
		{"sub of another", func(_, c object) { c["sub"] = issuerID + "5" }, ErrMetadataIssuer},
		{"iat missing", func(_, c object) { delete(c, "iat") }, ErrMetadataSignature},
		{"iat ahead", func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }, ErrMetadataSignature},
		{"exp passed", func(_, c object) { c["exp"] = now.Unix() }, ErrMetadataSignature},
		{"exp text", func(_, c object) { c["exp"] = "never" }, ErrMetadataSignature},
		{"metadata of another", func(_, c object) { c["credential_issuer"] = issuerID + "5" }, ErrMetadataIssuer},
		{"metadata spoilt", func(_, c object) { delete(c, "credential_endpoint") }, ErrMetadata},
	}
	for _, row := range rows {
		if _, err := verify(respell(t, key, compact, row.spoil), key.Public(), now); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := verify(compact, newKey(t, keys.ES256).Public(), now); !errors.Is(err, ErrMetadataSignature) {
		t.Errorf("another key: got %v", err)
	}
	if _, err := verify("a.b", key.Public(), now); !errors.Is(err, ErrMetadataSignature) {
		t.Errorf("malformed: got %v", err)
	}
	if _, err := SignIssuerMetadata(key, nil, &IssuerMetadata{}, now, time.Time{}); err == nil {
		t.Error("invalid metadata was signed")
	}
}

func TestServerMetadata(t *testing.T) {
	valid := ServerMetadata{Issuer: issuerID, AuthorizationEndpoint: issuerID + "/authorize", TokenEndpoint: issuerID + "/token", PushedEndpoint: issuerID + "/par", RequirePushed: true,
		JWKSURI: issuerID + "/jwks", ChallengeEndpoint: issuerID + "/challenge", GrantTypesSupported: []string{GrantPreAuthorizedCode}, IssParameterSupported: true}
	text := jsonOf(t, valid)
	m, err := ParseServerMetadata(text, issuerID)
	if err != nil || string(jsonOf(t, m)) != string(text) || !m.Supports(GrantPreAuthorizedCode) || m.Supports(GrantAuthorizationCode) {
		t.Fatalf("got %+v, %v", m, err)
	}
	if m := (&ServerMetadata{}); !m.Supports(GrantAuthorizationCode) || m.Supports(GrantPreAuthorizedCode) {
		t.Error("the defaults of RFC 8414")
	}
	rows := []struct {
		name  string
		spoil func(m object)
		want  error
	}{
		{"issuer", func(m object) { m["issuer"] = issuerID + "/" }, ErrMetadataIssuer},
		{"token_endpoint missing", func(m object) { delete(m, "token_endpoint") }, ErrMetadata},
		{"token_endpoint http", func(m object) { m["token_endpoint"] = "http://a.example/t" }, ErrMetadata},
		{"authorization_endpoint", func(m object) { m["authorization_endpoint"] = "x" }, ErrMetadata},
		{"challenge_endpoint", func(m object) { m["challenge_endpoint"] = "x" }, ErrMetadata},
		{"pushed required without endpoint", func(m object) { delete(m, "pushed_authorization_request_endpoint") }, ErrMetadata},
		{"grants empty", func(m object) { m["grant_types_supported"] = []any{} }, ErrMetadata},
		{"grants of another kind", func(m object) { m["grant_types_supported"] = "x" }, ErrMetadata},
	}
	for _, row := range rows {
		if _, err := ParseServerMetadata(spoilt(t, text, row.spoil), issuerID); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if err := (&ServerMetadata{Issuer: "x"}).Validate("x"); !errors.Is(err, ErrMetadata) {
		t.Errorf("issuer no URL: got %v", err)
	}
}

func TestJWTVCIssuerMetadata(t *testing.T) {
	a, b := newKey(t, keys.ES256).Public(), newKey(t, keys.EdDSA).Public()
	set, err := SigningKeySet(a, b)
	if err != nil {
		t.Fatal(err)
	}
	text := jsonOf(t, JWTVCIssuerMetadata{Issuer: issuerID, JWKS: &set})
	m, err := ParseJWTVCIssuerMetadata(text, issuerID)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []keys.Public{a, b} {
		if got, err := m.JWKS.Find(key.Thumbprint()); err != nil || !got.Equal(key) {
			t.Errorf("got %v", err)
		}
	}
	for _, kid := range []string{"", "x"} {
		if _, err := m.JWKS.Find(kid); !errors.Is(err, ErrKeyNotFound) {
			t.Errorf("kid %q: got %v", kid, err)
		}
	}
	one, err := SigningKeySet(a)
	if err != nil {
		t.Fatal(err)
	}
	one.Keys = append(one.Keys, json.RawMessage(`{"kty":"RSA","kid":"r"}`), json.RawMessage(`{"kid":1}`), json.RawMessage(`1`))
	if got, err := one.Find(""); err != nil || !got.Equal(a) {
		t.Errorf("the only usable key: %v", err)
	}
	if _, err := one.EncryptionKey(); !errors.Is(err, ErrKeyNotFound) {
		t.Errorf("no encryption key: got %v", err)
	}
	rows := []struct {
		name  string
		spoil func(m object)
		want  error
	}{
		{"issuer", func(m object) { m["issuer"] = issuerID + "/" }, ErrMetadataIssuer},
		{"no keys", func(m object) { delete(m, "jwks") }, ErrMetadata},
		{"both", func(m object) { m["jwks_uri"] = issuerID }, ErrMetadata},
		{"empty", func(m object) { m["jwks"] = object{"keys": []any{}} }, ErrMetadata},
		{"jwks_uri", func(m object) { delete(m, "jwks"); m["jwks_uri"] = "http://a.example" }, ErrMetadata},
	}
	for _, row := range rows {
		if _, err := ParseJWTVCIssuerMetadata(spoilt(t, text, row.spoil), issuerID); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := ParseKeySet(jsonOf(t, set)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "[]", "{}", `{"keys":[]}`, `{"keys":1}`} {
		if _, err := ParseKeySet([]byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestNonceAndChallenge(t *testing.T) {
	if n, err := ParseNonceResponse([]byte(`{"c_nonce":"x","c_nonce_expires_in":1}`)); err != nil || n != "x" {
		t.Errorf("got %s, %v", n, err)
	}
	if c, err := ParseChallengeResponse([]byte(`{"attestation_challenge":"x"}`)); err != nil || c != "x" {
		t.Errorf("got %s, %v", c, err)
	}
	for _, body := range []string{"", "{}", `{"c_nonce":1,"attestation_challenge":1}`, `{"c_nonce":"","attestation_challenge":""}`, `{"c_nonce":"` + strings.Repeat("x", 5000) + `","attestation_challenge":"` + strings.Repeat("x", 5000) + `"}`} {
		_, errNonce := ParseNonceResponse([]byte(body))
		_, errChallenge := ParseChallengeResponse([]byte(body))
		if errNonce == nil || errChallenge == nil {
			t.Errorf("%.30s was taken", body)
		}
	}
}

// example reads a published example of OpenID4VCI 1.0 from the folder that AKASHI_VECTORS names.
func example(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("AKASHI_VECTORS")
	if dir == "" {
		t.Skip("AKASHI_VECTORS is not set: the examples of OpenID4VCI 1.0 are not tested")
	}
	data, err := os.ReadFile(filepath.Join(dir, "oid4vci-1_0-examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// body takes the HTTP header off an example, and the line breaks inside its strings.
func body(data []byte) []byte {
	text := string(data)
	if i := strings.IndexByte(text, '{'); i >= 0 {
		text = text[i:]
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return []byte(strings.Join(lines, ""))
}

func joined(data []byte) string { return strings.Join(strings.Fields(string(data)), "") }

func TestExamplesMetadata(t *testing.T) {
	const id = "https://credential-issuer.example.com"
	m, err := ParseIssuerMetadata(example(t, "credential_issuer_metadata_sd_jwt_long.json"), id)
	if err != nil {
		t.Fatal(err)
	}
	c := m.Configurations["SD_JWT_VC_example_in_OpenID4VCI"]
	if c.ProofTypes["jwt"].KeyAttestations.KeyStorage[0] != "iso_18045_moderate" || len(c.Metadata.Claims) != 13 || !m.RequestEncryption.Required {
		t.Errorf("got %+v", c)
	}
	if e, ok := ChooseRequestEncryption(m.RequestEncryption); !ok || e.Key.KID() != "ac" || !e.Zip {
		t.Errorf("request encryption: %+v, %v", e, ok)
	}
	for _, name := range []string{"sd_jwt_vc", "jwt_vc_json", "ldp_vc", "mso_mdoc"} {
		var fragment struct {
			Configurations map[string]CredentialConfiguration `json:"credential_configurations_supported"`
		}
		if err := keys.DecodeJSON(example(t, "credential_metadata_"+name+".json"), &fragment); err != nil || len(fragment.Configurations) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		for _, c := range fragment.Configurations {
			err := c.validate()
			// Two examples name a binding method and no proof type, which the text of Section 12.2.4 forbids.
			if wrong := name == "ldp_vc" || name == "mso_mdoc"; (err != nil) != wrong {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	u, err := ParseSignedIssuerMetadata(joined(example(t, "credential_issuer_metadata_sd_jwt_jwt.txt")))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := u.Verify(leafKey(t, u.Header()), id, now); err != nil || m.Display[1].Locale != "fr-FR" {
		t.Errorf("signed: %v", err)
	}
}

// leafKey is the key of the first certificate, which the examples sign themselves.
func leafKey(t *testing.T, h keys.UnverifiedHeader) keys.Public {
	t.Helper()
	chain, err := keys.ParseChain(h.X5C)
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.PublicFrom(chain[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestExamplesOffers(t *testing.T) {
	for name, check := range map[string]func(*CredentialOffer) bool{
		"credential_offer_authz_code.txt": func(o *CredentialOffer) bool {
			return o.Grants.AuthorizationCode.IssuerState == "eyJhbGciOiJSU0Et...FYUaBy"
		},
		"credential_offer_by_reference.json": func(o *CredentialOffer) bool { return o.Grants.PreAuthorizedCode.TxCode != nil },
		"credential_offer_multiple_credentials.json": func(o *CredentialOffer) bool {
			return len(o.ConfigurationIDs) == 2 && o.Grants.PreAuthorizedCode.TxCode.Length == 4
		},
		"credential_offer_pre-authz_code.json": func(o *CredentialOffer) bool { return o.Grants.PreAuthorizedCode.Code == "adhjhdjajkdkhjhdj" },
	} {
		o, err := ParseOffer(body(example(t, name)))
		if err != nil || !check(o) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestExamplesMessages(t *testing.T) {
	for _, name := range []string{"", "_jwt_vc_json", "_ldp_vc", "_mso_doc", "_multiple_credentials", "_sd_jwt_vc", "_with_as"} {
		details, err := ParseAuthorizationDetails(string(example(t, "authorization_details"+name+".json")))
		if err != nil || len(details) == 0 || details[0].ConfigurationID == "" {
			t.Errorf("authorization_details%s: %v", name, err)
		}
	}
	for _, name := range []string{"jwt_vc_json", "ldp_vc", "mso_mdoc", "sd_jwt_vc"} {
		r, err := ParseCredentialResponse(200, body(example(t, "credential_response_"+name+".txt")), 1)
		if err != nil || len(r.Credentials) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := r.Credentials[0].Text(); (err != nil) != (name == "ldp_vc") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The one request among the examples is of an older draft: it names a format.
	if _, err := ParseCredentialRequest(example(t, "credential_request_iso_mdl.json")); !errors.Is(err, ErrCredentialWhich) {
		t.Errorf("credential request: got %v", err)
	}
	var set struct {
		JWKS KeySet `json:"jwks"`
	}
	if err := keys.DecodeJSON(body(example(t, "issuer_jwks.json")), &set); err != nil {
		t.Fatal(err)
	}
	if _, err := set.JWKS.Find("urn:ietf:params:oauth:jwk-thumbprint:sha-256:mlUpog7vEewFBem6Ul09c2dtTwc8dFzVpIDX3sqGWW0"); err != nil {
		t.Error(err)
	}
}

func TestExampleWalletAttestation(t *testing.T) {
	compact := joined(example(t, "wallet_attestation.jwt.txt"))
	want := ExpectClientAttestation{AttesterKey: func(h keys.UnverifiedHeader, iss string) (keys.Public, error) {
		if iss != "https://wallet-provider.example.com" {
			t.Errorf("iss %q", iss)
		}
		return leafKey(t, h), nil
	}}
	claims, err := verifyAttestation(compact, &want, newWindow(time.Unix(1755050000, 0), 0, 0))
	if err != nil || claims.Subject != "https://wallet.example.com" || claims.WalletName == "" {
		t.Fatalf("got %+v, %v", claims, err)
	}
	if _, err := keys.ParsePublic(claims.Confirmation.JWK); err != nil {
		t.Error(err)
	}
	if _, err := verifyAttestation(compact, &want, newWindow(now, 0, 0)); !errors.Is(err, ErrAttestationExpired) {
		t.Errorf("today: got %v", err)
	}
}
