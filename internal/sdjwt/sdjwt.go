// Package sdjwt implements Selective Disclosure for JWTs (RFC 9901) in the compact form, with key binding, and the rules of SD-JWT-based
// Verifiable Credentials (draft-ietf-oauth-sd-jwt-vc) on top: issuing, presenting and verifying.
//
// An issuer marks what may be withheld with [Hidden] and calls [Issue]. A holder picks with [Present] and signs with [BindKey]. A verifier
// calls [Parse], finds the issuer's key by what [Unverified] says, and gets a [Verified] from [Unverified.Verify] or one error with the
// first rule that is broken. The rules are checked in a fixed order: signature, type, digests, claims, time, holder.
//
// Left out on purpose: the JSON serialization, hash algorithms other than SHA-256, type metadata and status, which are the caller's, and
// every way of finding keys.
package sdjwt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"akashi/internal/keys"
)

// Media types for the "typ" header (SD-JWT VC, Section 2.2.1; RFC 9901, Section 4.3).
const (
	Typ           = "dc+sd-jwt"
	TypKeyBinding = "kb+jwt"
)

// Names with a meaning of their own (RFC 9901, Sections 4.1.1, 4.2.4).
const (
	memberSD     = "_sd"
	memberSDAlg  = "_sd_alg"
	memberDigest = "..."
	hashName     = "sha-256"
)

const (
	maxCompact     = 1 << 20
	maxDisclosures = 4096
	maxDepth       = 32
)

// Errors of the form (RFC 9901, Section 4) and of the processing (Section 7.1). Each is one rule.
var (
	ErrMalformed              = errors.New("SD-JWT malformed")
	ErrTilde                  = errors.New("SD-JWT does not end with a tilde or a key binding JWT")
	ErrDisclosure             = errors.New("disclosure malformed")
	ErrElementCount           = errors.New("disclosure has the wrong number of elements for its place")
	ErrReservedName           = errors.New("a claim must not be named _sd, ... or _sd_alg")
	ErrNameTaken              = errors.New("a disclosed claim is already present at its level")
	ErrDigestForm             = errors.New("digests are not in the form of the standard")
	ErrDigestTwice            = errors.New("a digest occurs twice")
	ErrUnreferencedDisclosure = errors.New("a disclosure belongs to no digest")
	ErrHashAlgorithm          = errors.New("hash algorithm is not sha-256")
	ErrTooDeep                = errors.New("claims are nested too deeply")
)

// b64 is base64url without padding and without a second spelling.
var b64 = base64.RawURLEncoding.Strict()

// Disclosure is one disclosure as it was sent (RFC 9901, Section 4.2).
type Disclosure struct {
	Encoded   string          // base64url text; the digest is over these octets, never over a new encoding
	Salt      string          // opaque
	Name      string          // the claim's name; empty for an array element
	IsElement bool            // an array element: [salt, value] instead of [salt, name, value]
	Value     json.RawMessage // as sent, with the digests inside it
	Digest    string

	value any // decoded Value, not to be changed
}

// Text returns the value where it is a string.
func (d *Disclosure) Text() (string, bool) {
	s, ok := d.value.(string)
	return s, ok
}

// digestText is a digest as it is written.
type digestText [43]byte

// digestOf returns what stands for a disclosure in _sd or "..." (RFC 9901, Section 4.2.3):
//
//	BASE64URL(SHA-256(ASCII(Disclosure)))
func digestOf(encoded []byte) (text digestText) {
	sum := sha256.Sum256(encoded)
	b64.Encode(text[:], sum[:])
	return text
}

func digest(encoded string) string {
	d := digestOf([]byte(encoded))
	return string(d[:])
}

// Unverified is an SD-JWT that was read and not verified: nothing in it may be believed.
type Unverified struct {
	jwt         string
	token       *keys.UnverifiedToken // of jwt
	claims      map[string]any        // decoded payload, not to be changed
	disclosures []Disclosure
	keyBinding  string
	presented   string // everything before the KB-JWT, the last tilde included (RFC 9901, Section 4.3.1)
}

// Parse reads the compact form (RFC 9901, Section 4):
//
//	<issuer-signed JWT>~<disclosure 1>~...~<disclosure n>~[<key binding JWT>]
func Parse(compact string) (*Unverified, error) {
	if len(compact) > maxCompact {
		return nil, fmt.Errorf("%w: longer than %d octets", ErrMalformed, maxCompact)
	}
	jwt, rest, ok := strings.Cut(compact, "~")
	if !ok {
		return nil, ErrTilde
	}
	u := &Unverified{jwt: jwt}
	if err := u.parseJWT(); err != nil {
		return nil, err
	}
	last := strings.LastIndexByte(compact, '~')
	u.presented, u.keyBinding = compact[:last+1], compact[last+1:]
	if u.keyBinding != "" && strings.Count(u.keyBinding, ".") != 2 {
		return nil, ErrTilde // most likely a disclosure with its tilde cut off
	}
	return u, u.parseDisclosures(rest[:len(rest)-len(u.keyBinding)])
}

func (u *Unverified) parseJWT() (err error) {
	if u.token, err = keys.ParseToken(u.jwt); err != nil {
		return fmt.Errorf("%w: issuer-signed JWT: %w", ErrMalformed, err)
	}
	if err := keys.DecodeJSON(u.token.UnverifiedPayload(), &u.claims); err != nil {
		return fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}
	return nil
}

// parseDisclosures takes "<disclosure>~" any number of times.
func (u *Unverified) parseDisclosures(list string) error {
	count := strings.Count(list, "~")
	if count > maxDisclosures {
		return fmt.Errorf("%w: more than %d disclosures", ErrMalformed, maxDisclosures)
	}
	u.disclosures = make([]Disclosure, 0, count)
	for list != "" {
		var encoded string
		encoded, list, _ = strings.Cut(list, "~")
		d, err := parseDisclosure(encoded)
		if err != nil {
			return fmt.Errorf("disclosure %d: %w", len(u.disclosures), err)
		}
		u.disclosures = append(u.disclosures, d)
	}
	return nil
}

func parseDisclosure(encoded string) (Disclosure, error) {
	d := Disclosure{Encoded: encoded, Digest: digest(encoded)}
	text, err := b64.DecodeString(encoded)
	if err != nil || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return d, fmt.Errorf("%w: not base64url", ErrDisclosure)
	}
	array, raw, err := keys.DecodeArray(text)
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrDisclosure, err)
	}
	if len(array) != 2 && len(array) != 3 {
		return d, fmt.Errorf("%w: it must have two or three elements", ErrDisclosure)
	}
	last := len(array) - 1
	d.IsElement, d.value, d.Value = last == 1, array[last], raw[last]
	var saltOK bool
	nameOK := d.IsElement
	d.Salt, saltOK = array[0].(string)
	if !d.IsElement {
		d.Name, nameOK = array[1].(string)
	}
	if !saltOK || !nameOK {
		return d, fmt.Errorf("%w: salt and name must be strings", ErrDisclosure)
	}
	if isReserved(d.Name) {
		return d, ErrReservedName
	}
	return d, nil
}

func isReserved(name string) bool {
	return name == memberSD || name == memberDigest || name == memberSDAlg
}

// JWT is the issuer-signed JWT alone.
func (u *Unverified) JWT() string { return u.jwt }

// ID is the name of the issuer-signed JWT, see [keys.ID].
func (u *Unverified) ID() string { return u.token.ID() }

// Header is the protected header of the issuer-signed JWT.
func (u *Unverified) Header() keys.UnverifiedHeader { return u.token.Header() }

// Disclosures are the disclosures in the order sent.
func (u *Unverified) Disclosures() []Disclosure { return u.disclosures }

// KeyBinding is the key binding JWT, "" if there is none.
func (u *Unverified) KeyBinding() string { return u.keyBinding }

// UnverifiedPayload is the payload of the issuer-signed JWT, with digests and without disclosed claims.
func (u *Unverified) UnverifiedPayload() []byte { return u.token.UnverifiedPayload() }
