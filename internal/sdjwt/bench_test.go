package sdjwt

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"akashi/internal/keys"
)

// The bars: issuing costs at most 2.2 bare signatures, verifying with key binding at most 1.6 times two bare verifications. To compare, run
// the four benchmarks in one go.

func benchHeader(b *testing.B, issuer *keys.Private) keys.Header {
	b.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "employer.example"}, NotBefore: issueTime,
		NotAfter: issueTime.AddDate(1, 0, 0), DNSNames: []string{"employer.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, issuer.Signer().Public(), issuer.Signer())
	if err != nil {
		b.Fatal(err)
	}
	return keys.Header{"typ": Typ, "kid": issuer.Public().Thumbprint(), "x5c": []string{base64.StdEncoding.EncodeToString(der)}}
}

// benchPayload has twelve claims, eight of them hidden.
func benchPayload(holder keys.Public) map[string]any {
	return map[string]any{
		"iss": "https://employer.example", "iat": issueTime.Unix(), "vct": "urn:akashi:wage-payment:1", "cnf": map[string]any{"jwk": holder.JWK()},
		"gross": Hidden(212000), "net": Hidden(170000), "base": Hidden(190000), "tax": Hidden(3500), "rent": Hidden(20000),
		"hours": Hidden("160.0"), "overtime": Hidden("8.5"), "allowance": Hidden(10000),
	}
}

func BenchmarkIssue(b *testing.B) {
	w := newBench(b)
	header, payload := benchHeader(b, w.issuer), benchPayload(w.holder.Public())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Issue(w.issuer, header, payload, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSign(b *testing.B) {
	key := newBench(b).issuer.Signer().(*ecdsa.PrivateKey)
	message := make([]byte, 1500)
	for b.Loop() {
		sum := sha256.Sum256(message)
		if _, _, err := ecdsa.Sign(rand.Reader, key, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyKB(b *testing.B) {
	w := newBench(b)
	compact, err := Issue(w.issuer, benchHeader(b, w.issuer), benchPayload(w.holder.Public()), Options{})
	if err != nil {
		b.Fatal(err)
	}
	bound := w.bind(compact)
	want := expectBound()
	key := w.issuer.Public()
	b.ReportAllocs()
	for b.Loop() {
		u, err := Parse(bound)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := u.Verify(key, want); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareVerify is one of the two verifications.
func BenchmarkBareVerify(b *testing.B) {
	key := newBench(b).issuer.Signer().(*ecdsa.PrivateKey)
	message := make([]byte, 1500)
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		sum := sha256.Sum256(message)
		if !ecdsa.Verify(&key.PublicKey, sum[:], r, s) {
			b.Fatal("does not verify")
		}
	}
}

func BenchmarkBindKey(b *testing.B) {
	w := newBench(b)
	compact := w.issue(benchPayload(w.holder.Public()), Options{})
	for b.Loop() {
		if _, err := BindKey(compact, w.holder, aud, nonce, time.Unix(1, 0)); err != nil {
			b.Fatal(err)
		}
	}
}
