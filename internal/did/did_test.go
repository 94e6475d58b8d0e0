package did

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/multiformats/go-multibase"

	"akashi/internal/keys"
)

// Examples published with the did:key method (W3C CCG, test vectors for Ed25519 and P-256) and the did:jwk method.
const (
	didEd25519 = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
	didP256    = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169"
	didJWK     = "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
)

func TestPublishedExamples(t *testing.T) {
	for did, alg := range map[string]keys.Alg{didEd25519: keys.EdDSA, didP256: keys.ES256, didJWK: keys.ES256} {
		key, err := Resolve(did)
		if err != nil {
			t.Errorf("%s: %v", did, err)
			continue
		}
		if key.Alg() != alg {
			t.Errorf("%s: got %s, want %s", did, key.Alg(), alg)
		}
		if FromKey(key) != did && FromKeyJWK(key) != did {
			t.Errorf("%s came back as %s", did, FromKey(key))
		}
	}
	key, err := Resolve(didEd25519)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"crv":"Ed25519","kty":"OKP","x":"lJZrfAjkBXdfjebMHEUI9usidAPhAlssitLXR3OYxbI"}`
	if got := string(key.JWK()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, alg := range []keys.Alg{keys.ES256, keys.EdDSA} {
		for range 20 { // both parities of y
			private, err := keys.Generate(alg)
			if err != nil {
				t.Fatal(err)
			}
			for _, did := range []string{FromKey(private.Public()), FromKeyJWK(private.Public())} {
				key, err := Resolve(did)
				if err != nil || !key.Equal(private.Public()) {
					t.Fatalf("%s: %v", did, err)
				}
			}
		}
	}
	if FromKey(keys.Public{}) != "" || FromKeyJWK(keys.Public{}) != "" {
		t.Error("no key has no DID")
	}
}

func TestRefuses(t *testing.T) {
	encode := func(base multibase.Encoding, raw ...byte) string {
		text, err := multibase.Encode(base, raw)
		if err != nil {
			t.Fatal(err)
		}
		return prefixKey + text
	}
	_, raw, err := multibase.Decode(strings.TrimPrefix(didP256, prefixKey))
	if err != nil {
		t.Fatal(err)
	}
	offCurve := append([]byte{}, raw...)
	for i := range offCurve[3:] {
		offCurve[3+i] = 0xff
	}
	jwk := func(text string) string { return prefixJWK + base64.RawURLEncoding.EncodeToString([]byte(text)) }
	rows := []struct{ name, did string }{
		{"empty", ""}, {"other method", "did:web:example.org"}, {"no key", prefixKey}, {"no method", "did:"}, {"upper case", "DID:KEY:" + didP256[8:]},
		{"DID URL", didP256 + "#" + didP256[8:]}, {"space", didP256 + " "},
		{"base16 instead of base58", encode(multibase.Base16, raw...)}, {"base64url instead of base58", encode(multibase.Base64url, raw...)},
		{"no base58", prefixKey + "z0OIl"}, {"only a codec", encode(multibase.Base58BTC, 0x80, 0x24)},
		{"secp256k1", encode(multibase.Base58BTC, append([]byte{0xe7, 0x01}, raw[2:]...)...)},
		{"X25519", encode(multibase.Base58BTC, append([]byte{0xec, 0x01}, make([]byte, 32)...)...)},
		{"point off the curve", encode(multibase.Base58BTC, offCurve...)},
		{"point cut", encode(multibase.Base58BTC, raw[:34]...)}, {"octet more", encode(multibase.Base58BTC, append(raw, 0)...)},
		{"Ed25519 cut", encode(multibase.Base58BTC, append([]byte{0xed, 0x01}, make([]byte, 31)...)...)},
		{"Ed25519 small order", encode(multibase.Base58BTC, append([]byte{0xed, 0x01}, make([]byte, 32)...)...)},
		{"did:jwk not base64url", didJWK + "="}, {"did:jwk line break", didJWK + "\n"}, {"did:jwk no JSON", jwk("x")},
		{"did:jwk private", jwk(`{"crv":"Ed25519","kty":"OKP","x":"lJZrfAjkBXdfjebMHEUI9usidAPhAlssitLXR3OYxbI","d":"AA"}`)},
		{"did:jwk for encryption", jwk(`{"crv":"Ed25519","kty":"OKP","x":"lJZrfAjkBXdfjebMHEUI9usidAPhAlssitLXR3OYxbI","use":"enc"}`)},
		{"too long", prefixKey + "z" + strings.Repeat("1", maxLength)},
	}
	for _, row := range rows {
		if _, err := Resolve(row.did); !errors.Is(err, ErrDID) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrDID)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{didEd25519, didP256, didJWK, prefixKey + "z", "did:jwk:e30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, did string) {
		key, err := Resolve(did)
		if err != nil {
			return
		}
		again, err := Resolve(FromKey(key))
		if err != nil || !again.Equal(key) {
			t.Fatalf("written and read again: %v", err)
		}
		if strings.HasPrefix(did, prefixKey) && FromKey(key) != did {
			t.Fatalf("%s has two spellings", did)
		}
	})
}
