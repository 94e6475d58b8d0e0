package oid4vc

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"akashi/internal/keys"
)

// hostileRows are the same for every JWT that carries its own key: the header is spoilt, or signed by another.
type hostileRow struct {
	name string
	make func() string
	want *Refusal
}

func TestDPoP(t *testing.T) {
	const target = "https://issuer.example/token"
	for _, alg := range []keys.Alg{keys.ES256, keys.EdDSA} {
		key := newKey(t, alg)
		proof, err := MakeDPoP(key, DPoPOptions{Method: "POST", URL: target + "?x=1#f", AccessToken: "at", Nonce: "n", Now: now})
		if err != nil {
			t.Fatal(err)
		}
		got, err := CheckDPoP(http.Header{"Dpop": {proof}}, ExpectDPoP{Method: "POST", URL: target, Now: now, AccessToken: "at", Thumbprint: key.Public().Thumbprint(), Nonce: func(n string) error {
			if n != "n" {
				return errors.New("unknown")
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Key.Equal(key.Public()) || got.JTI == "" || got.Nonce != "n" || !got.IssuedAt.Equal(now) || !got.ForgetAfter.Equal(now.Add(5*time.Minute+time.Second)) {
			t.Errorf("got %+v", got)
		}
	}
}

// The example of RFC 9449, Section 4.2.
func TestDPoPExample(t *testing.T) {
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	got, err := CheckDPoP(http.Header{"Dpop": {proof}}, ExpectDPoP{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
	if err != nil || got.JTI != "-BwC3ESc6acc2lTc" || got.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := TokenHash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"); got != "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo" {
		t.Errorf("ath: got %s", got)
	}
}

func TestDPoPRefuses(t *testing.T) {
	const target = "https://issuer.example/token"
	key, other := newKey(t, keys.ES256), newKey(t, keys.ES256)
	good, err := MakeDPoP(key, DPoPOptions{Method: "POST", URL: target, AccessToken: "at", Nonce: "n", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	want := ExpectDPoP{Method: "POST", URL: target, Now: now, AccessToken: "at", Thumbprint: key.Public().Thumbprint(), Nonce: func(n string) error {
		if n != "n" {
			return errors.New("unknown")
		}
		return nil
	}}
	spoil := func(spoil func(h, c object)) func() string {
		return func() string { return respell(t, key, good, spoil) }
	}
	rows := []hostileRow{
		{"typ", spoil(func(h, _ object) { h["typ"] = "JWT" }), ErrDPoPTyp},
		{"typ missing", spoil(func(h, _ object) { delete(h, "typ") }), ErrDPoPTyp},
		{"alg none", func() string { h := headerOf(t, good); h["alg"] = "none"; return unsigned(t, h, good) }, ErrDPoPAlg},
		{"alg HS256", func() string { h := headerOf(t, good); h["alg"] = "HS256"; return unsigned(t, h, good) }, ErrDPoPAlg},
		{"jwk missing", spoil(func(h, _ object) { delete(h, "jwk") }), ErrDPoPKey},
		{"jwk private", spoil(func(h, _ object) { h["jwk"] = secretJWK(t, key) }), ErrDPoPKey},
		{"jwk of another", spoil(func(h, _ object) { h["jwk"] = other.Public().JWK() }), ErrDPoPSignature},
		{"jwk symmetric", spoil(func(h, _ object) { h["jwk"] = object{"kty": "oct", "k": "AAAA"} }), ErrDPoPKey},
		{"crit", spoil(func(h, _ object) { h["crit"] = []string{"x"} }), ErrDPoPMalformed},
		{"signature of another", func() string { return respell(t, other, good, func(_, _ object) {}) }, ErrDPoPSignature},
		{"no token", func() string { return "x" }, ErrDPoPMalformed},
		{"claim twice", func() string {
			compact, err := key.Sign(keys.Header{"typ": TypDPoP, "jwk": key.Public().JWK()}, []byte(`{"jti":"a","jti":"b"}`))
			if err != nil {
				t.Fatal(err)
			}
			return compact
		}, ErrDPoPMalformed},
		{"jti missing", spoil(func(_, c object) { delete(c, "jti") }), ErrDPoPMalformed},
		{"jti long", spoil(func(_, c object) { c["jti"] = string(make([]byte, maxJTI+1)) }), ErrDPoPMalformed},
		{"jti number", spoil(func(_, c object) { c["jti"] = 1 }), ErrDPoPMalformed},
		{"htm missing", spoil(func(_, c object) { delete(c, "htm") }), ErrDPoPMalformed},
		{"htm", spoil(func(_, c object) { c["htm"] = "GET" }), ErrDPoPMethod},
		{"htm in small letters", spoil(func(_, c object) { c["htm"] = "post" }), ErrDPoPMethod},
		{"htu missing", spoil(func(_, c object) { delete(c, "htu") }), ErrDPoPMalformed},
		{"htu", spoil(func(_, c object) { c["htu"] = "https://issuer.example/credential" }), ErrDPoPURL},
		{"htu of another", spoil(func(_, c object) { c["htu"] = "https://evil.example/token" }), ErrDPoPURL},
		{"iat missing", spoil(func(_, c object) { delete(c, "iat") }), ErrDPoPMalformed},
		{"iat old", spoil(func(_, c object) { c["iat"] = now.Add(-time.Hour).Unix() }), ErrDPoPTime},
		{"iat ahead", spoil(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrDPoPTime},
		{"ath missing", spoil(func(_, c object) { delete(c, "ath") }), ErrDPoPToken},
		{"ath of another token", spoil(func(_, c object) { c["ath"] = TokenHash("bt") }), ErrDPoPToken},
		{"another key", func() string {
			proof, err := MakeDPoP(other, DPoPOptions{Method: "POST", URL: target, AccessToken: "at", Nonce: "n", Now: now})
			if err != nil {
				t.Fatal(err)
			}
			return proof
		}, ErrDPoPBinding},
		{"nonce missing", spoil(func(_, c object) { delete(c, "nonce") }), ErrUseDPoPNonce},
		{"nonce unknown", spoil(func(_, c object) { c["nonce"] = "m" }), ErrUseDPoPNonce},
	}
	for _, row := range rows {
		if _, err := CheckDPoP(http.Header{"Dpop": {row.make()}}, want); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	for _, header := range []http.Header{{}, {"Dpop": {good, good}}, {"Dpop": {good + ", " + good}}} {
		if _, err := CheckDPoP(header, want); RefusalOf(err) != ErrDPoPCount {
			t.Errorf("%d headers: got %v", len(header["Dpop"]), err)
		}
	}
	only := want
	only.Algs = []keys.Alg{keys.EdDSA}
	if _, err := CheckDPoP(http.Header{"Dpop": {good}}, only); RefusalOf(err) != ErrDPoPAlg {
		t.Errorf("alg not offered: got %v", err)
	}
	for _, skew := range []time.Duration{-10 * time.Second, 10 * time.Second} {
		shifted := respell(t, key, good, func(_, c object) { c["iat"] = now.Add(skew).Unix() })
		if _, err := CheckDPoP(http.Header{"Dpop": {shifted}}, want); err != nil {
			t.Errorf("clock %v off: %v", skew, err)
		}
	}
	if !HasDPoP(http.Header{"Dpop": {""}}) || HasDPoP(http.Header{}) {
		t.Error("HasDPoP")
	}
	if _, err := MakeDPoP(key, DPoPOptions{URL: "%"}); err == nil {
		t.Error("malformed URL")
	}
}

func TestSameTarget(t *testing.T) {
	const target = "https://issuer.example/o/1/token"
	for _, htu := range []string{target, "https://ISSUER.example/o/1/token", "HTTPS://issuer.example:443/o/1/token", target + "?x", target + "#f", "https://issuer.example/o/%31/token", "https://issuer.example/o/x/../1/./token"} {
		if !sameTarget(htu, target) {
			t.Errorf("%s is the same", htu)
		}
	}
	for _, htu := range []string{"", "x", "/o/1/token", target + "/", "http://issuer.example/o/1/token", "https://issuer.example:8443/o/1/token", "https://issuer.example/O/1/token", "https://issuer.example/o%2F1/token", "https://u@issuer.example/o/1/token", "https:o", "https://issuer.example//o/1/token"} {
		if sameTarget(htu, target) {
			t.Errorf("%s is another", htu)
		}
	}
	for a, b := range map[string]string{"https://a.example": "https://a.example/", "https://a.example/%7eu": "https://a.example/~u", "https://a.example/%c3%a9": "https://a.example/%C3%A9", "https://[::1]:443/": "https://[::1]/", "http://127.0.0.1:80/": "http://127.0.0.1/",
		"https://a.example/x/.": "https://a.example/x/", "https://a.example/x/y/..": "https://a.example/x/", "https://a.example/../": "https://a.example/"} {
		if !sameTarget(a, b) {
			t.Errorf("%s is %s", a, b)
		}
	}
}
