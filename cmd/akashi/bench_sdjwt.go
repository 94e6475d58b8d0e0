package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
)

// benchSDJWT issues and verifies a wage payment as a payroll program states it, with the issuer's certificate in the header.
func benchSDJWT(ctx context.Context, b *benchRun) error {
	c, err := newBenchCredential()
	if err != nil {
		return err
	}
	sign, verify := c.bareOps()
	times, err := b.perOp(ctx, c.issueOnce, sign)
	if err != nil {
		return err
	}
	b.addBeside("sdjwt.issue", micros(times[0]), micros(times[1]))
	verifyKB, err := c.verifyOp()
	if err != nil {
		return err
	}
	if times, err = b.perOp(ctx, verifyKB, verify); err != nil {
		return err
	}
	b.addBeside("sdjwt.verify_kb", micros(times[0]), micros(2*times[1]))
	return nil
}

type benchCredential struct {
	issuer, holder *keys.Private
	header         keys.Header
	payload        map[string]any
}

// newBenchCredential makes keys and a payload of twelve claims, eight of them disclosures.
func newBenchCredential() (*benchCredential, error) {
	issuer, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	holder, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority("Akashi issuers", time.Now())
	if err != nil {
		return nil, err
	}
	x5c, err := ca.signer("8990000000001", "localhost", issuer.Public().Crypto(), time.Now())
	if err != nil {
		return nil, err
	}
	return &benchCredential{
		issuer: issuer, holder: holder,
		header: keys.Header{"typ": sdjwt.Typ, "kid": issuer.Public().Thumbprint(), "x5c": x5c},
		payload: map[string]any{
			"iss": "https://localhost/o/8990000000001", "iat": time.Now().Unix(), "vct": attestation.TypeWagePayment.VCT(),
			"cnf":   map[string]any{"jwk": holder.Public().JWK()},
			"gross": sdjwt.Hidden(265625), "net": sdjwt.Hidden(212000), "base": sdjwt.Hidden(230000), "tax": sdjwt.Hidden(5325),
			"rent": sdjwt.Hidden(10000), "hours": sdjwt.Hidden("160.0"), "overtime": sdjwt.Hidden("8.0"), "allowance": sdjwt.Hidden(20000),
		},
	}, nil
}

func (c *benchCredential) issueOnce() error {
	_, err := sdjwt.Issue(c.issuer, c.header, c.payload, sdjwt.Options{})
	return err
}

// verifyOp verifies a presentation of everything, with its key binding.
func (c *benchCredential) verifyOp() (func() error, error) {
	compact, err := sdjwt.Issue(c.issuer, c.header, c.payload, sdjwt.Options{})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	const audience, nonce = "https://verifier.example", "bench"
	bound, err := sdjwt.BindKey(compact, c.holder, audience, nonce, now)
	if err != nil {
		return nil, err
	}
	key := c.issuer.Public()
	want := sdjwt.Expect{
		Algs: []keys.Alg{keys.ES256}, VCT: []string{attestation.TypeWagePayment.VCT()}, Now: now,
		KeyBinding: &sdjwt.ExpectKeyBinding{Audience: audience, Nonce: nonce, Now: now},
	}
	return func() error {
		u, err := sdjwt.Parse(bound)
		if err != nil {
			return err
		}
		_, err = u.Verify(key, want)
		return err
	}, nil
}

// bareOps returns one bare ES256 signature and one bare verification, with the hash of a message as long as a credential.
func (c *benchCredential) bareOps() (sign, verify func() error) {
	key := c.issuer.Signer().(*ecdsa.PrivateKey)
	message := make([]byte, 1500)
	sign = func() error {
		sum := sha256.Sum256(message)
		_, _, err := ecdsa.Sign(rand.Reader, key, sum[:])
		return err
	}
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	verify = func() error {
		sum := sha256.Sum256(message)
		if err != nil || !ecdsa.Verify(&key.PublicKey, sum[:], r, s) {
			return errors.Join(err, errBareCheck)
		}
		return nil
	}
	return sign, verify
}

var errBareCheck = errors.New("a bare signature does not verify")
