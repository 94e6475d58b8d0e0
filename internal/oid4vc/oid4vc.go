// Package oid4vc implements the messages of OpenID for Verifiable Credential Issuance 1.0 and of what it stands on, for both sides: issuer
// and authorization server, and wallet. It makes them, reads them and checks them, and holds what HAIP 1.0 adds:
//
//   - identifiers and metadata: OpenID4VCI 1.0 Section 12, RFC 8414, JWT VC Issuer Metadata (SD-JWT VC, Section 4);
//   - credential offers: Section 4;
//   - authorization, pushed requests, tokens: Sections 5 and 6, RFC 6749, RFC 7636, RFC 9126, RFC 9207, RFC 9396;
//   - DPoP (RFC 9449), private_key_jwt (RFC 7523), attestation-based client authentication (drafts -07 and -10);
//   - key proofs and key attestations: Appendices D and F;
//   - credential, deferred and notification messages and their encryption: Sections 7 to 11.
//
// In the files vp_*.go are the messages of OpenID for Verifiable Presentations 1.0, for verifier and wallet: request objects and links
// (Section 5), responses (Section 8), transaction data, metadata of wallets and verifiers, and the Digital Credentials API (Appendix A); the query
// is package dcql. Left out of them: scope for a query, and the client identifier prefixes verifier_attestation and openid_federation.
//
// What parses is not yet true: a Parse function checks the form, a Check function also signatures, times and audiences against what the
// caller expects. What a server must refuse is a [Refusal], which knows the code and the status to answer.
//
// No socket and no store is opened here. One-time values (jti, nonces, codes) are handed back for the caller to remember. Left out: the
// proof type di_vp, mdoc and W3C credentials beyond carrying them, OpenID Federation, request objects (RFC 9101), x5c as a holder's key.
package oid4vc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrIdentifier is returned for an issuer identifier or a URL of another form than the standards ask for.
var ErrIdentifier = errors.New("URL refused")

// Names of well-known documents (RFC 8615).
const (
	WellKnownCredentialIssuer    = "openid-credential-issuer"
	WellKnownAuthorizationServer = "oauth-authorization-server"
	WellKnownJWTVCIssuer         = "jwt-vc-issuer"
)

// Media types of the messages.
const (
	MediaTypeJSON = "application/json"
	MediaTypeJWT  = "application/jwt" // encrypted messages and signed metadata
	MediaTypeForm = "application/x-www-form-urlencoded"
)

// FormatSDJWTVC is the credential format identifier of SD-JWT VC (Appendix A.3).
const FormatSDJWTVC = "dc+sd-jwt"

// b64 is base64url without padding and without a second spelling.
var b64 = base64.RawURLEncoding.Strict()

const maxURL = 2048

// CheckIdentifier checks the identifier of a credential issuer or an authorization server (OpenID4VCI 1.0, Section 12.2.1; RFC 8414, Section 2): an
// https URL without query and fragment. Identifiers are compared octet by octet; nothing here changes one.
func CheckIdentifier(identifier string) error {
	u, err := parseURL(identifier)
	if err != nil {
		return err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return fmt.Errorf("%w: an identifier has no query", ErrIdentifier)
	}
	return nil
}

// checkEndpoint checks the URL of an endpoint, which may have a query.
func checkEndpoint(endpoint string) error {
	_, err := parseURL(endpoint)
	return err
}

// parseURL takes https URLs, and http for loopback addresses, which local instances use: whether those may be met is up to who connects.
func parseURL(text string) (*url.URL, error) {
	if text == "" || len(text) > maxURL || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= utf8.RuneSelf || r == 0x7f || r == '\\' }) {
		return nil, fmt.Errorf("%w: it must be an absolute URL of at most %d printable ASCII characters", ErrIdentifier, maxURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: it must be an absolute URL with a host", ErrIdentifier)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("%w: it must begin with https://", ErrIdentifier)
	}
	if u.User != nil || strings.Contains(text, "#") {
		return nil, fmt.Errorf("%w: it must have no user and no fragment", ErrIdentifier)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// WellKnown returns where a document about an identifier stands: the well-known part goes between host and path (RFC 8414, Section 3.1), and a
// slash at the end of the path is dropped.
//
//	https://host:port/a/b -> https://host:port/.well-known/<name>/a/b
func WellKnown(name, identifier string) (string, error) {
	if err := CheckIdentifier(identifier); err != nil {
		return "", err
	}
	schemeEnd := strings.Index(identifier, "://") + len("://")
	host, path := identifier[schemeEnd:], ""
	if slash := strings.IndexByte(host, '/'); slash >= 0 {
		host, path = host[:slash], strings.TrimSuffix(host[slash:], "/")
	}
	return identifier[:schemeEnd] + host + "/.well-known/" + name + path, nil
}

// checkNonEmptySet checks an array of a document: where it is present it has members, and none twice.
func checkNonEmptySet(values []string) error {
	if values != nil && len(values) == 0 {
		return errors.New("it must not be empty")
	}
	for i, v := range values {
		if v == "" {
			return errors.New("it must not contain an empty string")
		}
		if slices.Contains(values[:i], v) {
			return errors.New("it must not contain a value twice")
		}
	}
	return nil
}
