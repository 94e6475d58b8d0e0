package oid4vc

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"akashi/internal/keys"
)

func TestWalletPost(t *testing.T) {
	for form, want := range map[string]error{
		"":                                      nil,
		"wallet_nonce=n&wallet_metadata=%7B%7D": nil,
		"wallet_nonce=n&x=y":                    nil,
		"wallet_nonce=":                         ErrVPWalletNonce,
		"wallet_nonce=" + strings.Repeat("n", 600):         ErrVPWalletNonce,
		"wallet_metadata=x":                                ErrVPRequestMalformed,
		"wallet_metadata=null":                             ErrVPRequestMalformed,
		"wallet_metadata=%5B%5D":                           ErrVPRequestMalformed,
		`wallet_metadata={"response_modes_supported":"x"}`: ErrVPRequestMalformed,
	} {
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWalletPost(values); !errors.Is(err, want) {
			t.Errorf("%.30s: got %v, want %v", form, err, want)
		}
	}
}

// metadataOf reads what a wallet says.
func metadataOf(t *testing.T, text string) *WalletMetadata {
	t.Helper()
	p, err := ParseWalletPost(url.Values{"wallet_metadata": {text}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Metadata
}

func TestWalletMetadata(t *testing.T) {
	v := newVPVerifier(t)
	own, err := NewWalletMetadata(keys.EncryptionKey{})
	if err != nil {
		t.Fatal(err)
	}
	const formats = `"vp_formats_supported":{"dc+sd-jwt":{}}`
	for _, c := range []struct {
		name, metadata string
		want           error
	}{
		{"our own wallet", string(jsonOf(t, own)), nil},
		{"formats alone", `{` + formats + `}`, nil},
		{"format null, unknown members", `{"vp_formats_supported":{"dc+sd-jwt":null,"mso_mdoc":{}},"x":1}`, nil},
		{"algorithms", `{"vp_formats_supported":{"dc+sd-jwt":{"sd-jwt_alg_values":["ES384","ES256"],"kb-jwt_alg_values":["ES256"]}}}`, nil},
		{"no formats", `{}`, ErrVPFormats},
		{"other formats", `{"vp_formats_supported":{"mso_mdoc":{}}}`, ErrVPFormats},
		{"other algorithms of issuers", `{"vp_formats_supported":{"dc+sd-jwt":{"sd-jwt_alg_values":["ES384"]}}}`, ErrVPFormats},
		{"other algorithms of holders", `{"vp_formats_supported":{"dc+sd-jwt":{"kb-jwt_alg_values":["ES384"]}}}`, ErrVPFormats},
		{"no algorithms", `{"vp_formats_supported":{"dc+sd-jwt":{"kb-jwt_alg_values":[]}}}`, ErrVPFormats},
		{"prefixes", `{` + formats + `,"client_id_prefixes_supported":["x509_san_dns","x509_hash"]}`, nil},
		{"other prefixes", `{` + formats + `,"client_id_prefixes_supported":["x509_san_dns"]}`, ErrVPWallet},
		{"other response types", `{` + formats + `,"response_types_supported":["code"]}`, ErrVPWallet},
		{"modes", `{` + formats + `,"response_modes_supported":["fragment","direct_post.jwt"]}`, nil},
		{"other modes", `{` + formats + `,"response_modes_supported":["direct_post"]}`, ErrVPWallet},
		{"other signatures", `{` + formats + `,"request_object_signing_alg_values_supported":["RS256"]}`, ErrVPWallet},
		{"other encryption", `{` + formats + `,"authorization_encryption_alg_values_supported":["RSA-OAEP"]}`, ErrVPWallet},
		{"other content encryption", `{` + formats + `,"authorization_encryption_enc_values_supported":["A256CBC-HS512"]}`, ErrVPWallet},
	} {
		r := v.request(t, X509HashClientID(v.leaf))
		if err := metadataOf(t, c.metadata).Check(r, keys.ES256); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSealRequestObject(t *testing.T) {
	v := newVPVerifier(t)
	const clientID = "x509_san_dns:verifier.example"
	compact := v.sign(t, v.request(t, clientID), v.header())
	mine, key := encryptionPair(t, "w1")
	m, err := NewWalletMetadata(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, encs := range [][]string{m.RequestEncs, nil, {"A256GCM"}} {
		m.RequestEncs = encs
		sealed, err := m.SealRequestObject(compact)
		if err != nil {
			t.Fatal(err)
		}
		text, err := b64.DecodeString(sealed[:strings.Index(sealed, ".")])
		if err != nil {
			t.Fatal(err)
		}
		var header object
		if err := json.Unmarshal(text, &header); err != nil {
			t.Fatal(err)
		}
		if header["cty"] != "JWT" || header["kid"] != "w1" || header["alg"] != "ECDH-ES" {
			t.Errorf("got header %v", header)
		}
		if got, err := OpenRequestObject(sealed, mine, "w1"); err != nil || got != compact {
			t.Errorf("got %q, %v", got, err)
		}
		for name, c := range map[string]struct {
			text string
			key  *keys.Private
			kid  string
		}{
			"another key":  {sealed, v.key, "w1"},
			"another kid":  {sealed, mine, "w2"},
			"changed":      {sealed[:len(sealed)-4] + "AAAA", mine, "w1"},
			"not a token":  {"x", mine, "w1"},
			"four of five": {sealed[:strings.LastIndex(sealed, ".")], mine, "w1"},
		} {
			if got, err := OpenRequestObject(c.text, c.key, c.kid); !errors.Is(err, ErrVPRequestMalformed) || got != "" {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	}
	if got, err := OpenRequestObject(compact, mine, "w1"); err != nil || got != compact {
		t.Errorf("in clear: got %q, %v", got, err)
	}
	for name, c := range map[string]struct {
		spoil func(m *WalletMetadata)
		want  error
	}{
		"no keys":             {func(m *WalletMetadata) { m.JWKS = nil }, nil},
		"keys of other kinds": {func(m *WalletMetadata) { m.JWKS = &KeySet{Keys: []json.RawMessage{[]byte(`{"kty":"RSA","kid":"a"}`)}} }, ErrVPWallet},
		"other algs":          {func(m *WalletMetadata) { m.RequestAlgs = []string{"RSA-OAEP-256"} }, ErrVPWallet},
		"other encs":          {func(m *WalletMetadata) { m.RequestEncs = []string{"A256CBC-HS512"} }, ErrVPWallet},
	} {
		spoilt := *m
		c.spoil(&spoilt)
		got, err := spoilt.SealRequestObject(compact)
		if !errors.Is(err, c.want) || err == nil && got != compact || err != nil && got != "" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func FuzzWalletPost(f *testing.F) {
	own, err := NewWalletMetadata(keys.EncryptionKey{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(jsonOf(f, own)))
	f.Add(`{"vp_formats_supported":{"dc+sd-jwt":null},"jwks":{"keys":[{"kty":"EC","kid":"a"}]}}`)
	v := newVPVerifier(f)
	r := v.request(f, X509HashClientID(v.leaf))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseWalletPost(url.Values{"wallet_metadata": {text}})
		if err != nil {
			return
		}
		again, err := ParseWalletPost(url.Values{"wallet_metadata": {string(jsonOf(t, p.Metadata))}})
		if err != nil || !reflect.DeepEqual(jsonOf(t, p.Metadata), jsonOf(t, again.Metadata)) {
			t.Fatalf("read again as %+v, %v", again, err)
		}
		if err := p.Metadata.Check(r, keys.ES256); err != nil && RefusalOf(err) == nil {
			t.Fatalf("an error without answer: %v", err)
		}
		if got, err := p.Metadata.SealRequestObject("a.b.c"); err == nil && got == "" {
			t.Fatal("sealed to nothing")
		}
	})
}
