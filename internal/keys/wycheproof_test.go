package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// The vectors of C2SP/wycheproof (testvectors_v1), read from the folder that AKASHI_VECTORS names.
type wycheproof struct {
	TestGroups []struct {
		Comment      string          `json:"comment"`
		Public       json.RawMessage `json:"public"`
		Private      json.RawMessage `json:"private"`
		PublicKeyJWK json.RawMessage `json:"publicKeyJwk"`
		PublicKey    struct {
			Uncompressed string `json:"uncompressed"`
			PK           string `json:"pk"`
		} `json:"publicKey"`
		Tests []struct {
			TcID    int    `json:"tcId"`
			Comment string `json:"comment"`
			JWS     string `json:"jws"`
			Msg     string `json:"msg"`
			Sig     string `json:"sig"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

func readWycheproof(t *testing.T, name string) wycheproof {
	t.Helper()
	dir := os.Getenv("AKASHI_VECTORS")
	if dir == "" {
		t.Skip("AKASHI_VECTORS is not set: the Wycheproof vectors are not tested")
	}
	data, err := os.ReadFile(filepath.Join(dir, "wycheproof", name))
	if err != nil {
		t.Fatal(err)
	}
	var w wycheproof
	if err := json.Unmarshal(data, &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// Every valid case of an algorithm that we have must verify; every other case must not, be it by the key or by the token.
func TestWycheproofSignatures(t *testing.T) {
	for name, wantValid := range map[string]int{"json_web_signature_test.json": 2, "json_web_key_test.json": 0} {
		valid := 0
		for _, group := range readWycheproof(t, name).TestGroups {
			jwk := group.Public
			if jwk == nil {
				jwk = group.Private
			}
			keys, refused := parseAll(t, jwk)
			for _, test := range group.Tests {
				verifies := false
				for _, key := range keys {
					_, err := Verify(test.JWS, key, ES256, EdDSA)
					verifies = verifies || err == nil
				}
				if want := test.Result == "valid" && !refused; verifies != want {
					t.Errorf("%s %d %s %s: verifies %v, want %v", name, test.TcID, group.Comment, test.Comment, verifies, want)
				}
				if verifies {
					valid++
				}
			}
		}
		if valid != wantValid {
			t.Errorf("%s: %d cases verify, want %d", name, valid, wantValid)
		}
	}
}

// parseAll reads a key or a set of keys; refused tells that a key of it is none of ours.
func parseAll(t *testing.T, jwk json.RawMessage) (keys []Public, refused bool) {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwk, &set); err != nil {
		t.Fatal(err)
	}
	if set.Keys == nil {
		set.Keys = []json.RawMessage{jwk}
	}
	for _, one := range set.Keys {
		key, err := ParsePublic(one)
		if err != nil {
			refused = true
			continue
		}
		keys = append(keys, key)
	}
	return keys, refused
}

// The message of a JWS begins with its header, so the raw vectors cannot be wrapped into tokens. They go through the verifiers of jwx,
// which end in the same functions of crypto/ecdsa and crypto/ed25519 as those of go-jose; their keys go through ParsePublic or PublicFrom.
func TestWycheproofRaw(t *testing.T) {
	for name, alg := range map[string]Alg{"ecdsa_secp256r1_sha256_p1363_test.json": ES256, "ed25519_test.json": EdDSA} {
		verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range readWycheproof(t, name).TestGroups {
			key := rawKey(t, group.PublicKey.Uncompressed+group.PublicKey.PK)
			if group.PublicKeyJWK != nil {
				parsed, err := ParsePublic(group.PublicKeyJWK)
				if err != nil || !parsed.Equal(key) {
					t.Fatalf("%s: the JWK is another key: %v", name, err)
				}
			}
			for _, test := range group.Tests {
				signature := unhex(t, test.Sig)
				err := verifier.Verify(unhex(t, test.Msg), signature, key.Crypto())
				if verifies := err == nil && len(signature) == signatureSize; verifies != (test.Result == "valid") {
					t.Errorf("%s %d %s: verifies %v, want %s", name, test.TcID, test.Comment, verifies, test.Result)
				}
			}
		}
	}
}

func rawKey(t *testing.T, text string) Public {
	t.Helper()
	raw := unhex(t, text)
	var key crypto.PublicKey = ed25519.PublicKey(raw)
	if len(raw) == 1+2*coordinate {
		point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
		if err != nil {
			t.Fatal(err)
		}
		key = point
	}
	public, err := PublicFrom(key)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
