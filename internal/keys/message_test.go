package keys

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
)

func encryptionKey(t testing.TB) (*Private, EncryptionKey) {
	t.Helper()
	private := generate(t, ES256)
	key, err := NewEncryptionKey(private.Public(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	return private, key
}

func TestMessage(t *testing.T) {
	private, key := encryptionKey(t)
	text := []byte(`{"credentials":[{"credential":"` + strings.Repeat("abc", 1000) + `"}]}`)
	for _, enc := range []Enc{A128GCM, A256GCM} {
		for _, deflate := range []bool{false, true} {
			compact, err := EncryptMessage(key, enc, deflate, text)
			if err != nil {
				t.Fatal(err)
			}
			m, err := ParseMessage(compact, A128GCM, A256GCM)
			if err != nil || m.Enc != enc || m.Deflate != deflate || m.KID != "k1" {
				t.Fatalf("%s, %v: got %+v, %v", enc, deflate, m, err)
			}
			if got, err := m.Open(private, 1<<20); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s, %v: %v", enc, deflate, err)
			}
			if _, err := m.Open(private, 100); !errors.Is(err, ErrDecrypt) {
				t.Errorf("%s, %v: larger than allowed: got %v", enc, deflate, err)
			}
			if _, err := m.Open(generate(t, ES256), 1<<20); !errors.Is(err, ErrDecrypt) {
				t.Errorf("%s, %v: another key: got %v", enc, deflate, err)
			}
			if _, err := m.Open(generate(t, EdDSA), 1<<20); !errors.Is(err, ErrKey) {
				t.Errorf("%s, %v: Ed25519: got %v", enc, deflate, err)
			}
			// The other library reads what we write.
			if got, err := jwe.Decrypt([]byte(compact), jwe.WithKey(jwa.ECDH_ES, private.Signer())); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s, %v: jwx: %v", enc, deflate, err)
			}
		}
	}
}

// We read what the other library writes, also with apu and apv, which then enter the key derivation.
func TestMessageFromJWX(t *testing.T) {
	private, key := encryptionKey(t)
	headers := jwe.NewHeaders()
	for name, v := range map[string]any{"kid": "k1", jwe.AgreementPartyUInfoKey: []byte("u"), jwe.AgreementPartyVInfoKey: []byte("v")} {
		if err := headers.Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	compact, err := jwe.Encrypt([]byte("{}"), jwe.WithKey(jwa.ECDH_ES, key.Public().Crypto().(*ecdsa.PublicKey), jwe.WithPerRecipientHeaders(headers)),
		jwe.WithContentEncryption(jwa.A128GCM), jwe.WithCompress(jwa.Deflate))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMessage(string(compact), A128GCM)
	if err != nil || m.KID != "k1" || !m.Deflate {
		t.Fatalf("got %+v, %v", m, err)
	}
	if got, err := m.Open(private, 10); err != nil || string(got) != "{}" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMessageBomb(t *testing.T) {
	private, key := encryptionKey(t)
	compact, err := EncryptMessage(key, A256GCM, true, make([]byte, 20<<20))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMessage(compact, A256GCM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(private, 64<<20); !errors.Is(err, ErrDecrypt) {
		t.Errorf("20 MiB in %d octets: got %v", len(compact), err)
	}
}

func TestParseMessageRefuses(t *testing.T) {
	_, key := encryptionKey(t)
	good, err := EncryptMessage(key, A256GCM, false, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name  string
		spoil func(members map[string]any)
	}{
		{"alg", func(m map[string]any) { m["alg"] = "ECDH-ES+A256KW" }},
		{"alg dir", func(m map[string]any) { m["alg"] = "dir" }},
		{"alg missing", func(m map[string]any) { delete(m, "alg") }},
		{"enc not offered", func(m map[string]any) { m["enc"] = "A128GCM" }},
		{"enc unknown", func(m map[string]any) { m["enc"] = "A256CBC-HS512" }},
		{"crit", func(m map[string]any) { m["crit"] = []string{"exp"} }},
		{"zip", func(m map[string]any) { m["zip"] = "GZ" }},
		{"kid", func(m map[string]any) { m["kid"] = 1 }},
		{"epk missing", func(m map[string]any) { delete(m, "epk") }},
		{"epk private", func(m map[string]any) { m["epk"].(map[string]any)["d"] = "AA" }},
		{"epk off the curve", func(m map[string]any) { m["epk"].(map[string]any)["x"] = m["epk"].(map[string]any)["y"] }},
		{"epk of another curve", func(m map[string]any) { m["epk"].(map[string]any)["crv"] = "P-384" }},
	}
	header, rest, _ := strings.Cut(good, ".")
	raw, err := b64.DecodeString(header)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		var members map[string]any
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatal(err)
		}
		row.spoil(members)
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMessage(b64.EncodeToString(text)+"."+rest, A256GCM); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrDecrypt)
		}
	}
	for _, compact := range []string{"", "a.b.c", good + ".x", "." + rest, strings.Replace(good, "..", ".AAAA.", 1), good + "=", header + "\n." + rest} {
		if _, err := ParseMessage(compact, A256GCM); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%.20q: got %v", compact, err)
		}
	}
}

func TestParseEncryptionKey(t *testing.T) {
	private, key := encryptionKey(t)
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseEncryptionKey(text)
	if err != nil || again.KID() != key.KID() || !again.Public().Equal(key.Public()) {
		t.Fatalf("written and read again: %+v, %v", again, err)
	}
	secret, err := private.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ D string }
	if err := json.Unmarshal(secret, &d); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name  string
		spoil func(members map[string]any)
	}{
		{"alg missing", func(m map[string]any) { delete(m, "alg") }},
		{"alg of signatures", func(m map[string]any) { m["alg"] = "ES256" }},
		{"use sig", func(m map[string]any) { m["use"] = "sig" }},
		{"key_ops", func(m map[string]any) { m["key_ops"] = []string{"verify"} }},
		{"kid empty", func(m map[string]any) { m["kid"] = "" }},
		{"kid number", func(m map[string]any) { m["kid"] = 1 }},
		{"private", func(m map[string]any) { m["d"] = d.D }},
		{"symmetric", func(m map[string]any) { m["k"] = "AAAA" }},
		{"curve", func(m map[string]any) { m["crv"] = "P-384" }},
		{"off the curve", func(m map[string]any) { m["y"] = m["x"] }},
		{"Ed25519", func(m map[string]any) { m["kty"], m["crv"] = "OKP", "Ed25519"; delete(m, "y") }},
	}
	for _, row := range rows {
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		row.spoil(members)
		spoilt, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseEncryptionKey(spoilt); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrKey)
		}
	}
	if _, err := NewEncryptionKey(generate(t, EdDSA).Public(), ""); !errors.Is(err, ErrKey) {
		t.Errorf("Ed25519: got %v", err)
	}
	if _, err := EncryptMessage(EncryptionKey{}, A128GCM, false, nil); !errors.Is(err, ErrKey) {
		t.Errorf("no key: got %v", err)
	}
	if _, err := json.Marshal(EncryptionKey{}); err == nil {
		t.Error("no key was written as one")
	}
}

func FuzzParseMessage(f *testing.F) {
	private, key := encryptionKey(f)
	good, err := EncryptMessage(key, A256GCM, true, []byte(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("eyJhbGciOiJFQ0RILUVTIn0....")
	f.Fuzz(func(t *testing.T, compact string) {
		m, err := ParseMessage(compact, A256GCM)
		if err != nil {
			return
		}
		if text, err := m.Open(private, 1<<16); err == nil && !json.Valid(text) {
			t.Fatal("opened to something else")
		}
	})
}

func FuzzParseEncryptionKey(f *testing.F) {
	_, key := encryptionKey(f)
	text, err := json.Marshal(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"kty":"EC","crv":"P-256","alg":"ECDH-ES","x":"AA","y":"AA"}`))
	f.Fuzz(func(t *testing.T, jwk []byte) {
		key, err := ParseEncryptionKey(jwk)
		if err != nil {
			return
		}
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseEncryptionKey(text); err != nil || again.KID() != key.KID() || !again.Public().Equal(key.Public()) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
