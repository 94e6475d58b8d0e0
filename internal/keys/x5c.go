package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxChain bounds x5c.
const maxChain = 8

// ErrChain is returned for a certificate chain that is malformed or not trusted.
var ErrChain = errors.New("certificate chain refused")

// ParseChain reads an "x5c" header member (RFC 7515, Section 4.1.6): standard base64 of DER, not base64url, the leaf first. Nothing is verified.
func ParseChain(x5c []string) ([]*x509.Certificate, error) {
	if len(x5c) == 0 || len(x5c) > maxChain {
		return nil, fmt.Errorf("%w: it must have 1 to %d certificates", ErrChain, maxChain)
	}
	chain := make([]*x509.Certificate, len(x5c))
	for i, text := range x5c {
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("%w: certificate %d is not standard base64", ErrChain, i)
		}
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("%w: certificate %d does not parse", ErrChain, i)
		}
	}
	return chain, nil
}

// FormatChain is the reverse of [ParseChain].
func FormatChain(chain ...*x509.Certificate) []string {
	x5c := make([]string, len(chain))
	for i, c := range chain {
		x5c[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	return x5c
}

// VerifyChain checks an "x5c" header member against the roots that the caller trusts for this purpose, at a time, and returns the key and the
// certificate of the leaf. As HAIP 1.0 (Sections 4.1, 4.5.1 and 6.1.1) asks, the leaf must not be self-signed and no root may stand in the
// chain. The leaf must be for signatures and no CA.
func VerifyChain(x5c []string, roots []*x509.Certificate, at time.Time) (Public, *x509.Certificate, error) {
	chain, err := ParseChain(x5c)
	if err != nil {
		return Public{}, nil, err
	}
	leaf := chain[0]
	if err := checkLeaf(leaf); err != nil {
		return Public{}, nil, err
	}
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range roots {
		trusted.AddCert(root)
		if slices.ContainsFunc(chain, root.Equal) {
			return Public{}, nil, fmt.Errorf("%w: the trust anchor must not be in it", ErrChain)
		}
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	options := x509.VerifyOptions{Roots: trusted, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if _, err := leaf.Verify(options); err != nil {
		return Public{}, nil, fmt.Errorf("%w: it leads to no trusted root, or a certificate is not valid at the time", ErrChain)
	}
	key, err := PublicFrom(leaf.PublicKey)
	if err != nil {
		return Public{}, nil, fmt.Errorf("%w: leaf: %w", ErrChain, err)
	}
	return key, leaf, nil
}

func checkLeaf(leaf *x509.Certificate) error {
	if bytes.Equal(leaf.RawIssuer, leaf.RawSubject) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil {
		return fmt.Errorf("%w: the leaf is self-signed", ErrChain)
	}
	if leaf.IsCA || leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("%w: the leaf is not for signing", ErrChain)
	}
	return nil
}
