package keys

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"testing"
	"time"
)

var chainTime = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// authority is a certificate with its key.
type authority struct {
	key  *Private
	cert *x509.Certificate
}

// certify makes a certificate for key, signed by parent, or by itself.
func certify(t testing.TB, name string, key *Private, parent *authority, change func(*x509.Certificate)) *authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: chainTime.AddDate(0, -1, 0), NotAfter: chainTime.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = &authority{key, template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public().Crypto(), parent.key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

func asCA(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func TestVerifyChain(t *testing.T) {
	root := certify(t, "root", generate(t, ES256), nil, asCA)
	between := certify(t, "between", generate(t, ES256), root, asCA)
	key := generate(t, EdDSA)
	leaf := certify(t, "leaf", key, between, nil)
	roots := []*x509.Certificate{root.cert}
	good := FormatChain(leaf.cert, between.cert)
	got, cert, err := VerifyChain(good, roots, chainTime)
	if err != nil || !got.Equal(key.Public()) || !cert.Equal(leaf.cert) {
		t.Fatalf("got %v", err)
	}
	selfSigned := certify(t, "self", generate(t, ES256), nil, nil)
	other := certify(t, "other", generate(t, ES256), nil, asCA)
	urlEncoded := base64.RawURLEncoding.EncodeToString(leaf.cert.Raw)
	rows := []struct {
		name  string
		x5c   []string
		roots []*x509.Certificate
		at    time.Time
	}{
		{"empty", nil, roots, chainTime},
		{"too long", append(append(append([]string{}, good...), good...), append(good, FormatChain(leaf.cert, leaf.cert, leaf.cert)...)...), roots, chainTime},
		{"base64url", []string{urlEncoded, good[1]}, roots, chainTime},
		{"line break", []string{good[0][:8] + "\n" + good[0][8:], good[1]}, roots, chainTime},
		{"no certificate", []string{"AAAA", good[1]}, roots, chainTime},
		{"anchor inside", FormatChain(leaf.cert, between.cert, root.cert), roots, chainTime},
		{"link missing", good[:1], roots, chainTime},
		{"another root", good, []*x509.Certificate{other.cert}, chainTime},
		{"no root", good, nil, chainTime},
		{"expired", good, roots, chainTime.AddDate(1, 0, 0)},
		{"not yet valid", good, roots, chainTime.AddDate(-1, 0, 0)},
		{"self-signed leaf", FormatChain(selfSigned.cert), []*x509.Certificate{root.cert}, chainTime},
		{"self-signed leaf, trusted", FormatChain(selfSigned.cert), []*x509.Certificate{selfSigned.cert}, chainTime},
		{"leaf is a CA", FormatChain(between.cert), roots, chainTime},
		{"leaf is for encryption", FormatChain(certify(t, "leaf", key, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }).cert), roots, chainTime},
	}
	for _, row := range rows {
		if _, _, err := VerifyChain(row.x5c, row.roots, row.at); !errors.Is(err, ErrChain) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrChain)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for text, want := range map[string]NumericDate{"1764547200": 1764547200, "1764547200.9": 1764547200, "-1.5": -2, "1.7645472e9": 1764547200, "0": 0} {
		var d NumericDate
		if err := DecodeJSON([]byte(text), &d); err != nil || d != want {
			t.Errorf("%s: got %d, %v", text, d, err)
		}
	}
	for _, text := range []string{`"1764547200"`, "1e40", "true", "[]", "{}", "1e400"} {
		var d NumericDate
		if err := DecodeJSON([]byte(text), &d); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: got %v, want %v", text, err, ErrJSON)
		}
	}
	if d := DateOf(chainTime); !d.Time().Equal(chainTime) {
		t.Errorf("got %v", d.Time())
	}
}

func FuzzParseChain(f *testing.F) {
	root := certify(f, "root", generate(f, ES256), nil, asCA)
	f.Add(FormatChain(root.cert)[0])
	f.Fuzz(func(t *testing.T, text string) {
		chain, err := ParseChain([]string{text})
		if err == nil && FormatChain(chain...)[0] != text {
			t.Fatal("written and read again it is another text")
		}
	})
}
