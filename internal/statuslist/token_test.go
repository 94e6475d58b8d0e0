package statuslist

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"time"

	"akashi/internal/keys"
)

var now = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

const uri = "https://status.example/lists/7"

func newKey(t testing.TB) *keys.Private {
	t.Helper()
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate makes a certificate of the key: go-jose parses what stands in x5c.
func certificate(t testing.TB, key *keys.Private) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public().Crypto(), key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func newToken(t testing.TB, key *keys.Private) string {
	t.Helper()
	l, err := New(2, MinEntries)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Set(412, Suspended); err != nil {
		t.Fatal(err)
	}
	token, err := SignToken(key, l, TokenOptions{URI: uri, AggregationURI: "https://status.example/lists", IssuedAt: now.Add(-time.Hour), Expires: now.Add(24 * time.Hour), TTL: 12 * time.Hour, KeyID: "k", X5C: []string{certificate(t, key)}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func verify(compact string, key keys.Public, want Expect) (*Token, error) {
	u, err := Parse(compact)
	if err != nil {
		return nil, err
	}
	return u.Verify(key, want)
}

func TestToken(t *testing.T) {
	key := newKey(t)
	compact := newToken(t, key)
	u, err := Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	if h := u.Header(); h.Typ != "statuslist+jwt" || h.Kid != "k" || len(h.X5C) != 1 {
		t.Errorf("header: %+v", h)
	}
	token, err := u.Verify(key.Public(), Expect{URI: uri, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for idx, want := range map[uint64]Status{411: Valid, 412: Suspended, 413: Valid} {
		if got, err := token.Status(idx); err != nil || got != want {
			t.Errorf("entry %d: got %v, %v", idx, got, err)
		}
	}
	if _, err := token.Status(uint64(token.Len())); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("out of range: got %v", err)
	}
	if token.AggregationURI != "https://status.example/lists" || token.Subject != uri || !token.IssuedAt.Equal(now.Add(-time.Hour)) {
		t.Errorf("got %+v", token)
	}
	if got := token.FreshUntil(now); !got.Equal(now.Add(12 * time.Hour)) {
		t.Errorf("fresh by ttl until %v", got)
	}
	if got := token.FreshUntil(now.Add(20 * time.Hour)); !got.Equal(now.Add(24 * time.Hour)) {
		t.Errorf("fresh by exp until %v", got)
	}
	if got := (&Token{}).FreshUntil(now); !got.IsZero() {
		t.Errorf("without limit: %v", got)
	}
}

// claimsOf is a valid token's payload and header to spoil.
func claimsOf(t testing.TB, compact string) (header keys.Header, claims map[string]any) {
	t.Helper()
	payload, err := keys.UnverifiedPayload(compact)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.DecodeJSON(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return keys.Header{"typ": Typ}, claims
}

func TestTokenRefuses(t *testing.T) {
	key, other := newKey(t), newKey(t)
	compact := newToken(t, key)
	rows := []struct {
		name  string
		spoil func(h keys.Header, c map[string]any, want *Expect)
		err   error
	}{
		{"typ of a JWT", func(h keys.Header, _ map[string]any, _ *Expect) { h["typ"] = "JWT" }, ErrTyp},
		{"typ missing", func(h keys.Header, _ map[string]any, _ *Expect) { delete(h, "typ") }, ErrTyp},
		{"typ as media type", func(h keys.Header, _ map[string]any, _ *Expect) { h["typ"] = MediaType }, ErrTyp},
		{"alg not expected", func(_ keys.Header, _ map[string]any, w *Expect) { w.Algs = []keys.Alg{keys.EdDSA} }, ErrSignature},
		{"sub of another list", func(_ keys.Header, c map[string]any, _ *Expect) { c["sub"] = uri + "8" }, ErrSubject},
		{"sub in other spelling", func(_ keys.Header, c map[string]any, _ *Expect) { c["sub"] = "https://STATUS.example/lists/7" }, ErrSubject},
		{"sub missing", func(_ keys.Header, c map[string]any, _ *Expect) { delete(c, "sub") }, ErrClaims},
		{"iat missing", func(_ keys.Header, c map[string]any, _ *Expect) { delete(c, "iat") }, ErrClaims},
		{"iat text", func(_ keys.Header, c map[string]any, _ *Expect) { c["iat"] = "1" }, ErrClaims},
		{"iat ahead", func(_ keys.Header, c map[string]any, _ *Expect) { c["iat"] = now.Add(2 * time.Minute).Unix() }, ErrAhead},
		{"status_list missing", func(_ keys.Header, c map[string]any, _ *Expect) { delete(c, "status_list") }, ErrClaims},
		{"exp passed", func(_ keys.Header, c map[string]any, _ *Expect) { c["exp"] = now.Unix() }, ErrExpired},
		{"ttl zero", func(_ keys.Header, c map[string]any, _ *Expect) { c["ttl"] = 0 }, ErrClaims},
		{"ttl negative", func(_ keys.Header, c map[string]any, _ *Expect) { c["ttl"] = -1 }, ErrClaims},
		{"ttl without end", func(_ keys.Header, c map[string]any, _ *Expect) { c["ttl"] = 1e300 }, ErrClaims},
		{"ttl text", func(_ keys.Header, c map[string]any, _ *Expect) { c["ttl"] = "an hour" }, ErrClaims},
		{"too long in the cache", func(_ keys.Header, _ map[string]any, w *Expect) { w.Fetched = now.Add(-13 * time.Hour) }, ErrStale},
		{"bits", func(_ keys.Header, c map[string]any, _ *Expect) { c["status_list"].(map[string]any)["bits"] = 3 }, ErrBits},
		{"lst", func(_ keys.Header, c map[string]any, _ *Expect) { c["status_list"].(map[string]any)["lst"] = "AAAA" }, ErrEncoding},
		{"bomb", func(_ keys.Header, _ map[string]any, w *Expect) { w.MaxSize = 1000 }, ErrTooLarge},
	}
	for _, row := range rows {
		header, claims := claimsOf(t, compact)
		want := Expect{URI: uri, Now: now}
		row.spoil(header, claims, &want)
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		spoilt, err := key.Sign(header, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify(spoilt, key.Public(), want); !errors.Is(err, row.err) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.err)
		}
	}
	if _, err := verify(compact, other.Public(), Expect{URI: uri, Now: now}); !errors.Is(err, ErrSignature) {
		t.Errorf("another key: got %v", err)
	}
	if _, err := Parse("a.b"); !errors.Is(err, ErrMalformed) {
		t.Errorf("malformed: got %v", err)
	}
	if _, err := Parse(string(make([]byte, maxToken+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too long: got %v", err)
	}
	if _, err := SignToken(key, &List{bits: 1, data: []byte{0}}, TokenOptions{URI: "lists/7"}); !errors.Is(err, ErrReference) {
		t.Errorf("uri: got %v", err)
	}
}

func TestReference(t *testing.T) {
	var claims map[string]any
	text, err := json.Marshal(map[string]any{"status": Reference{412, uri}.Claim()})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.DecodeJSON(text, &claims); err != nil {
		t.Fatal(err)
	}
	if r, err := ReferenceOf(claims); err != nil || *r != (Reference{412, uri}) {
		t.Errorf("got %v, %v", r, err)
	}
	if r, err := ReferenceOf(map[string]any{}); r != nil || err != nil {
		t.Errorf("none: got %v, %v", r, err)
	}
	for _, text := range []string{`{"status":{}}`, `{"status":null}`, `{"status":{"status_list":{}}}`, `{"status":{"status_list":{"idx":-1,"uri":"https://a.example"}}}`,
		`{"status":{"status_list":{"idx":1.5,"uri":"https://a.example"}}}`, `{"status":{"status_list":{"idx":"1","uri":"https://a.example"}}}`,
		`{"status":{"status_list":{"idx":1,"uri":"a"}}}`, `{"status":{"status_list":{"idx":1}}}`, `{"status":{"other":{}}}`} {
		var claims map[string]any
		if err := keys.DecodeJSON([]byte(text), &claims); err != nil {
			t.Fatal(err)
		}
		if _, err := ReferenceOf(claims); !errors.Is(err, ErrReference) {
			t.Errorf("%s: got %v, want %v", text, err, ErrReference)
		}
	}
}

func TestAggregation(t *testing.T) {
	a, err := ParseAggregation([]byte(`{"status_lists":["https://a.example/1","https://a.example/2"]}`))
	if err != nil || len(a.StatusLists) != 2 {
		t.Errorf("got %v, %v", a, err)
	}
	for _, text := range []string{`{}`, `[]`, `{"status_lists":["1"]}`, `{"status_lists":[1]}`, `{"status_lists":["file:///etc/passwd"]}`} {
		if _, err := ParseAggregation([]byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	key := newKey(f)
	f.Add(newToken(f, key))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, compact string) {
		if token, err := verify(compact, key.Public(), Expect{URI: uri, Now: now}); err == nil && token.Len() != MinEntries {
			t.Fatal("forged")
		}
	})
}

// FuzzClaims signs whatever payload comes, so that the readers behind the signature are reached.
func FuzzClaims(f *testing.F) {
	key := newKey(f)
	payload, err := keys.UnverifiedPayload(newToken(f, key))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte(`{"sub":"https://status.example/lists/7","iat":1,"ttl":1e5,"status_list":{"bits":1,"lst":"eNrbuRgAAhcBXQ"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		compact, err := key.Sign(keys.Header{"typ": Typ}, payload)
		if err != nil {
			t.Skip("the payload cannot be signed")
		}
		if token, err := verify(compact, key.Public(), Expect{URI: uri, Now: now}); err == nil && (token.Len() == 0 || token.Subject != uri) {
			t.Fatalf("got %+v", token)
		}
		if _, err := ParseAggregation(payload); err != nil {
			return
		}
	})
}
