package issuertest

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"akashi/internal/keys"
)

// Authority is a certificate authority. Its certificates are valid from 2025-10 to 2030-10.
type Authority struct {
	Cert *x509.Certificate
	key  *keys.Private
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{key: Key(t)}
	ca := template(name)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	a.Cert = ca
	a.Cert = a.sign(t, ca, a.key)
	return a
}

// Chain returns the certificate of a key in the form of x5c, without the anchor.
func (a *Authority) Chain(t testing.TB, key *keys.Private) []string {
	t.Helper()
	leaf := template("signer")
	leaf.KeyUsage, leaf.DNSNames = x509.KeyUsageDigitalSignature, []string{"issuer.example"}
	return keys.FormatChain(a.sign(t, leaf, key))
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 10, 1, 0, 0, 0, 0, time.UTC)}
}

func (a *Authority) sign(t testing.TB, of *x509.Certificate, key *keys.Private) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, of, a.Cert, key.Public().Crypto(), a.key.Signer())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// SelfSigned returns a certificate that a key made for itself, in the form of x5c.
func SelfSigned(t testing.TB, key *keys.Private) []string {
	t.Helper()
	leaf := template("self-signed")
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	return keys.FormatChain((&Authority{Cert: leaf, key: key}).sign(t, leaf, key))
}
