package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

func generate(t testing.TB, alg Alg) *Private {
	t.Helper()
	key, err := Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The example of RFC 8037, Appendix A: private key, public key and thumbprint.
func TestThumbprintRFC8037(t *testing.T) {
	key, err := ParsePrivate([]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
		"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := key.Public().Thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint: got %s, want %s", got, want)
	}
	const want = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc." +
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	got, err := key.Sign(nil, []byte("Example of Ed25519 signing"))
	if err != nil || got != want {
		t.Errorf("signature: got %s, %v, want %s", got, err, want)
	}
}

// Both libraries must name the same thumbprint as we do.
func TestThumbprintOracles(t *testing.T) {
	for _, alg := range []Alg{ES256, EdDSA} {
		key := generate(t, alg).Public()
		ours := key.Thumbprint()
		theirs, err := jwk.FromRaw(key.Crypto())
		if err != nil {
			t.Fatal(err)
		}
		sum, err := theirs.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if got := b64.EncodeToString(sum); got != ours {
			t.Errorf("%s: jwx says %s, we say %s", alg, got, ours)
		}
		sum, err = (&jose.JSONWebKey{Key: key.Crypto()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if got := b64.EncodeToString(sum); got != ours {
			t.Errorf("%s: go-jose says %s, we say %s", alg, got, ours)
		}
	}
}

func TestPrivateRoundTrip(t *testing.T) {
	for _, alg := range []Alg{ES256, EdDSA} {
		key := generate(t, alg)
		text, err := key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePrivate(text)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if !again.Public().Equal(key.Public()) {
			t.Errorf("%s: another key came back", alg)
		}
		if _, err := ParsePublic(text); !errors.Is(err, ErrKey) {
			t.Errorf("%s: a private key was taken for a public one: %v", alg, err)
		}
		public, err := ParsePublic(key.Public().JWK())
		if err != nil || !public.Equal(key.Public()) {
			t.Errorf("%s: public key: %v", alg, err)
		}
	}
}

func TestParsePublicRefuses(t *testing.T) {
	ec := `{"kty":"EC","crv":"P-256","x":"b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ","y":"Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"}`
	okp := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	with := func(jwk, member string) string { return strings.Replace(jwk, "{", "{"+member+",", 1) }
	swap := func(jwk, old, new string) string {
		if !strings.Contains(jwk, old) {
			t.Fatalf("%s is not in the key", old)
		}
		return strings.Replace(jwk, old, new, 1)
	}
	edX := "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	y := func(n *big.Int) string { // the Ed25519 encoding of y = n
		b := n.FillBytes(make([]byte, 32))
		for i, j := 0, 31; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return b64.EncodeToString(b)
	}
	for _, good := range []string{ec, okp, with(ec, `"alg":"ES256","use":"sig","kid":"k","key_ops":["verify"]`), with(okp, `"alg":"EdDSA"`)} {
		if _, err := ParsePublic([]byte(good)); err != nil {
			t.Errorf("valid key refused: %v", err)
		}
	}
	rows := []struct{ name, jwk string }{
		{"not JSON", `{`}, {"an array", `[]`}, {"null", `null`}, {"trailing text", ec + "x"},
		{"private scalar", with(ec, `"d":"5K5SCos8zf9zRemGGUl6yfok-_NiiryNZsvANWMhF-I"`)},
		{"private member, null", with(ec, `"d":null`)},
		{"symmetric member", with(ec, `"k":"AA"`)},
		{"member twice", with(ec, `"kty":"EC"`)},
		{"member twice by an escape", with(ec, `"k\u0074y":"EC"`)},
		{"kty in other case", swap(ec, `"kty"`, `"Kty"`)},
		{"kty oct", swap(ec, `"EC"`, `"oct"`)}, {"kty RSA", swap(ec, `"EC"`, `"RSA"`)},
		{"crv P-384", swap(ec, "P-256", "P-384")}, {"crv secp256k1", swap(ec, "P-256", "secp256k1")},
		{"crv X25519", swap(okp, "Ed25519", "X25519")}, {"kty EC with Ed25519", swap(okp, "OKP", "EC")},
		{"alg of another kind", with(ec, `"alg":"EdDSA"`)}, {"alg none", with(ec, `"alg":"none"`)}, {"alg a number", with(ec, `"alg":1`)},
		{"use enc", with(ec, `"use":"enc"`)}, {"use null", with(ec, `"use":null`)},
		{"key_ops encrypt", with(ec, `"key_ops":["encrypt"]`)}, {"key_ops a string", with(ec, `"key_ops":"verify"`)},
		{"point off the curve", swap(ec, "b28d4", "b28d5")},
		{"point at infinity", `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`},
		{"x padded", swap(ec, `uNtQ"`, `uNtQ="`)}, {"x not canonical base64", swap(ec, `uNtQ"`, `uNtR"`)},
		{"x with a line break", swap(ec, `uNtQ"`, `uNtQ\n"`)},
		{"x with a leading zero octet", swap(ec, `"b28d4`, `"AAb28d4`)}, {"x short", swap(ec, `"b28d`, `"`)},
		{"x missing", swap(ec, `"x"`, `"z"`)}, {"y missing", swap(ec, `"y"`, `"z"`)}, {"x a number", `{"kty":"EC","crv":"P-256","x":1,"y":2}`},
		{"Ed25519 with y", with(okp, `"y":"AA"`)},
		{"Ed25519 no point", swap(okp, edX, y(big.NewInt(2)))},
		{"Ed25519 identity", swap(okp, edX, y(big.NewInt(1)))},
		{"Ed25519 order 2", swap(okp, edX, y(edSmall[2]))},
		{"Ed25519 order 4", swap(okp, edX, y(edSmall[0]))},
		{"Ed25519 order 8", swap(okp, edX, y(edSmall[3]))},
		{"Ed25519 not canonical", swap(okp, edX, y(new(big.Int).Add(edP, big.NewInt(3))))},
	}
	for _, row := range rows {
		if _, err := ParsePublic([]byte(row.jwk)); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrKey)
		}
	}
}

// The y of order 8 must solve d y⁴ + 2 y² - 1 = 0.
func TestSmallOrderConstant(t *testing.T) {
	yy := new(big.Int).Exp(edSmall[3], big.NewInt(2), edP)
	sum := new(big.Int).Mul(edD, new(big.Int).Mul(yy, yy))
	sum.Add(sum, new(big.Int).Lsh(yy, 1)).Sub(sum, edOne).Mod(sum, edP)
	if sum.Sign() != 0 {
		t.Error("the constant has another order")
	}
}

func TestParsePrivateRefuses(t *testing.T) {
	a, b := generate(t, ES256), generate(t, ES256)
	text, err := a.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var mine, other map[string]any
	if err := DecodeJSON(text, &mine); err != nil {
		t.Fatal(err)
	}
	if text, err = b.MarshalJWK(); err != nil {
		t.Fatal(err)
	}
	if err := DecodeJSON(text, &other); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]any{"of another key": other["d"], "missing": nil, "zero": strings.Repeat("A", 43), "too large": strings.Repeat("_", 42) + "8"} {
		mine["d"] = d
		text, err := json.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePrivate(text); !errors.Is(err, ErrKey) {
			t.Errorf("d %s: got %v, want %v", name, err, ErrKey)
		}
	}
}

func TestOtherKindsOfKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.PublicKey{nil, "key", &p384.PublicKey, (*ecdsa.PublicKey)(nil), ed25519.PublicKey(nil)} {
		if _, err := PublicFrom(key); !errors.Is(err, ErrKey) {
			t.Errorf("%T: got %v, want %v", key, err, ErrKey)
		}
	}
	if _, err := PrivateFrom(p384); !errors.Is(err, ErrKey) {
		t.Errorf("P-384: got %v, want %v", err, ErrKey)
	}
	if _, err := Generate("HS256"); !errors.Is(err, ErrKey) {
		t.Errorf("HS256: got %v, want %v", err, ErrKey)
	}
	if (Public{}).Equal(Public{}) {
		t.Error("no key must not equal no key")
	}
}

func TestSignAndVerify(t *testing.T) {
	for _, alg := range []Alg{ES256, EdDSA} {
		key := generate(t, alg)
		compact, err := key.Sign(Header{"typ": "x+jwt", "kid": key.Public().Thumbprint()}, []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		token, err := Verify(compact, key.Public(), alg)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if string(token.Payload) != `{"a":1}` || token.Header.Typ != "x+jwt" || token.Header.Kid != key.Public().Thumbprint() {
			t.Errorf("%s: got %+v", alg, token)
		}
		if _, err := jws.Verify([]byte(compact), jws.WithKey(jwa.SignatureAlgorithm(alg), key.Public().Crypto())); err != nil {
			t.Errorf("%s: jwx does not verify our token: %v", alg, err)
		}
		theirs, err := jws.Sign([]byte(`{"a":1}`), jws.WithKey(jwa.SignatureAlgorithm(alg), key.Signer()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(string(theirs), key.Public(), ES256, EdDSA); err != nil {
			t.Errorf("%s: a token of jwx: %v", alg, err)
		}
	}
}

// Tokens with one header share what go-jose made of it; none of them may see the signature of another.
func TestVerifyConcurrently(t *testing.T) {
	key, other := generate(t, ES256), generate(t, ES256)
	var wait sync.WaitGroup
	for i := range 8 {
		compact, err := key.Sign(Header{"typ": "t"}, []byte{byte('0' + i)})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range 20 {
				if token, err := Verify(compact, key.Public(), ES256); err != nil || token.Payload[0] != byte('0'+i) {
					t.Errorf("got %v, %v", token, err)
				}
				if _, err := Verify(compact, other.Public(), ES256); !errors.Is(err, ErrSignature) {
					t.Errorf("other key: got %v", err)
				}
			}
		})
	}
	wait.Wait()
}

func TestVerifyRefuses(t *testing.T) {
	key, other := generate(t, ES256), generate(t, ES256)
	ed := generate(t, EdDSA)
	payload := []byte(`{"a":1}`)
	sign := func(h Header) string {
		compact, err := key.Sign(h, payload)
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	raw := func(header string, signer *Private) string { // signs a header that Sign would not make
		input := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(payload)
		signature, err := signer.signOctets([]byte(input))
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + b64.EncodeToString(signature)
	}
	good := sign(nil)
	part := strings.Split(good, ".")
	signature, err := b64.DecodeString(part[2])
	if err != nil {
		t.Fatal(err)
	}
	withSignature := func(b []byte) string { return part[0] + "." + part[1] + "." + b64.EncodeToString(b) }
	macJWK := string(key.Public().JWK())
	hs, err := jws.Sign(payload, jws.WithKey(jwa.HS256, []byte(macJWK)))
	if err != nil {
		t.Fatal(err)
	}
	last := func(s string) string { // the same octets in another spelling, where unused bits exist
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		i := strings.IndexByte(alphabet, s[len(s)-1])
		return s[:len(s)-1] + string(alphabet[i^1])
	}
	rows := []struct {
		name, compact string
		key           Public
		algs          []Alg
		want          error
	}{
		{"other key", good, other.Public(), []Alg{ES256}, ErrSignature},
		{"no key", good, Public{}, []Alg{ES256}, ErrKey},
		{"no algorithm allowed", good, key.Public(), nil, ErrAlgorithm},
		{"other algorithm allowed", good, key.Public(), []Alg{EdDSA}, ErrAlgorithm},
		{"key of the other kind", good, ed.Public(), []Alg{ES256, EdDSA}, ErrAlgorithm},
		{"EdDSA header, ES256 key", raw(`{"alg":"EdDSA"}`, key), key.Public(), []Alg{ES256, EdDSA}, ErrAlgorithm},
		{"alg none", b64.EncodeToString([]byte(`{"alg":"none"}`)) + "." + part[1] + ".", key.Public(), []Alg{ES256, "none"}, ErrAlgorithm},
		{"HMAC with the public key", string(hs), key.Public(), []Alg{ES256, "HS256"}, ErrAlgorithm},
		{"alg missing", raw(`{}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"alg twice", raw(`{"alg":"none","alg":"ES256"}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"alg in other case", raw(`{"Alg":"ES256"}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"crit", raw(`{"alg":"ES256","crit":["exp"],"exp":1}`, key), key.Public(), []Alg{ES256}, ErrCritical},
		{"crit empty", raw(`{"alg":"ES256","crit":[]}`, key), key.Public(), []Alg{ES256}, ErrCritical},
		{"b64", raw(`{"alg":"ES256","b64":true}`, key), key.Public(), []Alg{ES256}, ErrCritical},
		{"typ a number", raw(`{"alg":"ES256","typ":1}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"x5c a string", raw(`{"alg":"ES256","x5c":"AA"}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"x5c no certificate", raw(`{"alg":"ES256","x5c":["AA=="]}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"embedded private key", raw(`{"alg":"ES256","jwk":{"kty":"oct","k":"AA"}}`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"embedded key of the forger", raw(`{"alg":"ES256","jwk":`+string(other.Public().JWK())+`}`, other), key.Public(), []Alg{ES256}, ErrSignature},
		{"header not an object", raw(`[]`, key), key.Public(), []Alg{ES256}, ErrMalformed},
		{"signature of 63 octets", withSignature(signature[:63]), key.Public(), []Alg{ES256}, ErrSignature},
		{"signature of 65 octets", withSignature(append([]byte{0}, signature...)), key.Public(), []Alg{ES256}, ErrSignature},
		{"signature empty", withSignature(nil), key.Public(), []Alg{ES256}, ErrSignature},
		{"signature zero", withSignature(make([]byte, 64)), key.Public(), []Alg{ES256}, ErrSignature},
		{"signature spelt otherwise", part[0] + "." + part[1] + "." + last(part[2]), key.Public(), []Alg{ES256}, ErrSignature},
		{"payload spelt otherwise", part[0] + "." + last(part[1]) + "." + part[2], key.Public(), []Alg{ES256}, ErrMalformed},
		{"header padded", part[0] + "=." + part[1] + "." + part[2], key.Public(), []Alg{ES256}, ErrMalformed},
		{"line break", part[0] + "." + part[1] + "\n." + part[2], key.Public(), []Alg{ES256}, ErrMalformed},
		{"leading space", " " + good, key.Public(), []Alg{ES256}, ErrMalformed},
		{"two parts", part[0] + "." + part[1], key.Public(), []Alg{ES256}, ErrMalformed},
		{"four parts", good + ".", key.Public(), []Alg{ES256}, ErrMalformed},
		{"empty", "", key.Public(), []Alg{ES256}, ErrMalformed},
	}
	for _, row := range rows {
		if _, err := Verify(row.compact, row.key, row.algs...); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := key.Sign(Header{"alg": "none"}, payload); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("signing with alg none: got %v", err)
	}
}

func TestPeekAndID(t *testing.T) {
	key := generate(t, ES256)
	compact, err := key.Sign(Header{"typ": "t", "x5c": []string{"AA=="}, "jwk": key.Public().JWK()}, []byte("p"))
	if err != nil {
		t.Fatal(err)
	}
	header, err := PeekHeader(compact)
	if err != nil {
		t.Fatal(err)
	}
	if header.Alg != "ES256" || header.Typ != "t" || len(header.X5C) != 1 || string(header.JWK) != string(key.Public().JWK()) {
		t.Errorf("got %+v", header)
	}
	payload, err := UnverifiedPayload(compact)
	if err != nil || string(payload) != "p" {
		t.Errorf("payload: %q, %v", payload, err)
	}
	first, err := ID(compact)
	if err != nil {
		t.Fatal(err)
	}
	// Another signature over the same octets is the same token.
	again, err := ID(compact[:strings.LastIndexByte(compact, '.')] + ".AAAA")
	if err != nil || first != again || len(first) != 43 {
		t.Errorf("ID: %s and %s, %v", first, again, err)
	}
	// H("a.b"), worked out with sha256sum.
	if got, err := ID("a.b.c"); err != nil || got != "LnM23I66h-9HLfVow1SCq_JXXcPl6sDFxiuP-urCyTQ" {
		t.Errorf("ID of a.b.c is %s, %v", got, err)
	}
}

func TestEncryption(t *testing.T) {
	key, other := generate(t, ES256), generate(t, ES256)
	apv, plaintext := []byte("slot"), []byte("disclosures")
	sealed, err := Encrypt(key.Public(), apv, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	compact := string(sealed)
	got, err := key.Decrypt(compact, apv)
	if err != nil || string(got) != string(plaintext) {
		t.Fatalf("got %q, %v", got, err)
	}
	header, err := headerOfJWE(compact)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) != 4 || string(header["apv"]) != `"c2xvdA"` || string(header["alg"]) != `"ECDH-ES"` || string(header["enc"]) != `"A256GCM"` {
		t.Errorf("header: %s", header)
	}
	part := strings.Split(compact, ".")
	reencode := func(header string) string {
		return strings.Join(append([]string{b64.EncodeToString([]byte(header))}, part[1:]...), ".")
	}
	rawHeader, err := b64.DecodeString(part[0])
	if err != nil {
		t.Fatal(err)
	}
	h := string(rawHeader)
	swap := func(old, new string) string { return reencode(strings.Replace(h, old, new, 1)) }
	withoutAPV, err := jwe.Encrypt(plaintext, jwe.WithKey(jwa.ECDH_ES, key.Public().Crypto()))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name, compact string
		key           *Private
		apv           []byte
		want          error
	}{
		{"other key", compact, other, apv, ErrDecrypt},
		{"Ed25519 key", compact, generate(t, EdDSA), apv, ErrKey},
		{"other apv", compact, key, []byte("slit"), ErrDecrypt},
		{"apv exchanged in the header", swap(`"c2xvdA"`, `"c2xpdA"`), key, []byte("slit"), ErrDecrypt},
		{"without apv", string(withoutAPV), key, nil, ErrDecrypt},
		{"a member more", swap(`{`, `{"kid":"x",`), key, apv, ErrDecrypt},
		{"a member twice", swap(`{`, `{"alg":"ECDH-ES",`), key, apv, ErrDecrypt},
		{"zip", swap(`{`, `{"zip":"DEF",`), key, apv, ErrDecrypt},
		{"another enc", swap("A256GCM", "A128GCM"), key, apv, ErrDecrypt},
		{"another alg", swap("ECDH-ES", "dir"), key, apv, ErrDecrypt},
		{"a member more in epk", swap(`"kty"`, `"use":"enc","kty"`), key, apv, ErrDecrypt},
		{"ciphertext changed", strings.Join([]string{part[0], part[1], part[2], "AAAA" + part[3][4:], part[4]}, "."), key, apv, ErrDecrypt},
		{"encrypted key present", strings.Join([]string{part[0], "AAAA", part[2], part[3], part[4]}, "."), key, apv, ErrDecrypt},
		{"tag cut", strings.Join([]string{part[0], part[1], part[2], part[3], part[4][:8]}, "."), key, apv, ErrDecrypt},
		{"padding", compact + "=", key, apv, ErrDecrypt},
		{"four parts", strings.Join(part[:4], "."), key, apv, ErrDecrypt},
		{"empty", "", key, apv, ErrDecrypt},
	}
	for _, row := range rows {
		if _, err := row.key.Decrypt(row.compact, row.apv); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := Encrypt(generate(t, EdDSA).Public(), apv, plaintext); !errors.Is(err, ErrKey) {
		t.Errorf("to an Ed25519 key: got %v", err)
	}
	if _, err := Encrypt(key.Public(), nil, plaintext); err == nil {
		t.Error("an empty apv was taken")
	}
	// jwx opens it too, and two messages share nothing.
	if _, err := jwe.Decrypt([]byte(compact), jwe.WithKey(jwa.ECDH_ES, key.Signer())); err != nil {
		t.Errorf("jwx: %v", err)
	}
	second, err := Encrypt(key.Public(), apv, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(string(second), part[0]) {
		t.Error("the ephemeral key was used twice")
	}
}

// headerOfJWE reads the header of a compact JWE.
func headerOfJWE(compact string) (header map[string]json.RawMessage, err error) {
	raw, err := b64.DecodeString(strings.Split(compact, ".")[0])
	if err != nil {
		return nil, err
	}
	return header, DecodeJSON(raw, &header)
}

func BenchmarkEncrypt(b *testing.B) {
	to, plaintext := generate(b, ES256).Public(), make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encrypt(to, []byte("slot"), plaintext); err != nil {
			b.Fatal(err)
		}
	}
}

// A key that signs under one header and another writes each as it is.
// TestEmbeddedKey: the key in a header is read as [ParsePublic] reads it, the second time as the first.
func TestEmbeddedKey(t *testing.T) {
	key := generate(t, ES256)
	private, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		header Header
		want   error
	}{
		"public":  {Header{"jwk": key.Public().JWK()}, nil},
		"private": {Header{"jwk": json.RawMessage(private)}, ErrKey},
		"text":    {Header{"jwk": string(key.Public().JWK())}, ErrKey},
		"none":    {Header{"kid": "k"}, ErrKey},
	} {
		compact, err := key.Sign(row.header, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			u, err := ParseToken(compact)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.Header().EmbeddedKey()
			if !errors.Is(err, row.want) || (err == nil) != got.Equal(key.Public()) {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
	}
	if _, err := (UnverifiedHeader{JWK: key.Public().JWK()}).EmbeddedKey(); !errors.Is(err, ErrKey) {
		t.Errorf("a header of no token: got %v", err)
	}
}

func TestSignHeaders(t *testing.T) {
	key := generate(t, ES256)
	for _, h := range []Header{
		nil, {}, {"typ": "t"}, {"typ": "t"}, {"typ": "u"}, {"kid": "t"}, {"typ": "t", "kid": "k"}, {"typ": "t", "x5c": []string{"AA=="}}, {"typ": "t", "x5c": []string{"AA==", "AA=="}},
		{"typ": "t", "x5c": []string{}}, {"typ": "t", "x5c": []string(nil)}, {"typ": "t", "x5c": "AA=="}, {"typ": "t", "n": 1}, {"typ": "t", "n": 2}, {"typ": "t"},
		{"jwk": key.Public().JWK()}, {"jwk": key.Public().JWK()}, {"jwk": json.RawMessage(`{"a":1}`)}, {"jwk": json.RawMessage(nil)}, {"jwk": "{}"},
	} {
		compact, err := key.Sign(h, []byte("p"))
		if err != nil {
			t.Fatal(err)
		}
		want := Header{"alg": string(ES256)}
		maps.Copy(want, h)
		written, _ := json.Marshal(want)
		header, _, _ := strings.Cut(compact, ".")
		if got, err := b64.DecodeString(header); err != nil || string(got) != string(written) {
			t.Errorf("got %s, %v, want %s", got, err, written)
		}
	}
	changed := Header{"typ": "t", "x5c": []string{"AA=="}, "jwk": json.RawMessage(`{"a":1}`)}
	if _, err := key.Sign(changed, nil); err != nil {
		t.Fatal(err)
	}
	changed["x5c"].([]string)[0] = "AQ=="
	changed["jwk"].(json.RawMessage)[5] = '2'
	if compact, err := key.Sign(changed, nil); err != nil || !strings.HasPrefix(compact, b64.EncodeToString([]byte(`{"alg":"ES256","jwk":{"a":2},"typ":"t","x5c":["AQ=="]}`))) {
		t.Errorf("a header that was changed after it was used is written as before: %s, %v", compact, err)
	}
}
