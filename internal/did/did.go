// Package did reads and writes the two kinds of decentralized identifiers that contain their key: did:key (W3C CCG did:key method, with the
// multicodec names p256-pub and ed25519-pub) and did:jwk. Nothing is fetched. Left out: did:web and did:webvh, which need a network, DID
// documents, DID URLs with path, query or fragment, and keys other than P-256 and Ed25519.
package did

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/multiformats/go-multibase"

	"akashi/internal/keys"
)

// ErrDID is returned for an identifier that is malformed or not of a kind that this package knows.
var ErrDID = errors.New("DID refused")

const (
	prefixKey = "did:key:"
	prefixJWK = "did:jwk:"
	maxLength = 4096
)

// Multicodec codes as unsigned varints, before the raw key.
var (
	codecP256    = []byte{0x80, 0x24} // p256-pub, 0x1200: compressed point
	codecEd25519 = []byte{0xed, 0x01} // ed25519-pub, 0xed
)

var b64 = base64.RawURLEncoding.Strict()

// FromKey returns the did:key of a key, "" for none:
//
//	did:key:z<base58btc(codec || key)>
func FromKey(key keys.Public) string {
	var raw []byte
	switch k := key.Crypto().(type) {
	case *ecdsa.PublicKey:
		raw = append(bytes.Clone(codecP256), compress(k)...)
	case ed25519.PublicKey:
		raw = append(bytes.Clone(codecEd25519), k...)
	default:
		return ""
	}
	text, err := multibase.Encode(multibase.Base58BTC, raw)
	if err != nil { // only for an unknown base
		return ""
	}
	return prefixKey + text
}

// compress writes a point as 0x02 or 0x03, by the parity of y, and x (SEC 1, Section 2.3.3).
func compress(key *ecdsa.PublicKey) []byte {
	point, err := key.Bytes() // 0x04 || x || y
	if err != nil {
		return nil // a keys.Public holds points of the curve only
	}
	x, y := point[1:33], point[33:]
	return append([]byte{2 | y[31]&1}, x...)
}

// KeyFromDIDKey returns the key of a did:key. Every key has one spelling only.
func KeyFromDIDKey(did string) (keys.Public, error) {
	text, ok := strings.CutPrefix(did, prefixKey)
	if !ok || len(did) > maxLength || !strings.HasPrefix(text, "z") {
		return keys.Public{}, fmt.Errorf("%w: it must begin with %sz", ErrDID, prefixKey)
	}
	_, raw, err := multibase.Decode(text)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: not base58btc", ErrDID)
	}
	key, err := keyFromMulticodec(raw)
	if err != nil {
		return keys.Public{}, err
	}
	if FromKey(key) != did {
		return keys.Public{}, fmt.Errorf("%w: another spelling of the same key", ErrDID)
	}
	return key, nil
}

func keyFromMulticodec(raw []byte) (keys.Public, error) {
	if rest, ok := bytes.CutPrefix(raw, codecEd25519); ok {
		return checked(keys.PublicFrom(ed25519.PublicKey(rest)))
	}
	rest, ok := bytes.CutPrefix(raw, codecP256)
	if !ok {
		return keys.Public{}, fmt.Errorf("%w: the key must be P-256 or Ed25519", ErrDID)
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), rest)
	if x == nil {
		return keys.Public{}, fmt.Errorf("%w: not a compressed point of the curve P-256", ErrDID)
	}
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: not a point of the curve P-256", ErrDID)
	}
	return checked(keys.PublicFrom(key))
}

func checked(key keys.Public, err error) (keys.Public, error) {
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: %w", ErrDID, err)
	}
	return key, nil
}

// FromKeyJWK returns the did:jwk of a key, "" for none. Of the many spellings it is the one over the required members only.
//
//	did:jwk:<base64url(JWK)>
func FromKeyJWK(key keys.Public) string {
	if key.IsZero() {
		return ""
	}
	return prefixJWK + b64.EncodeToString(key.JWK())
}

// KeyFromDIDJWK returns the key of a did:jwk. The JWK is read as strictly as [keys.ParsePublic] does; a key for encryption is refused.
func KeyFromDIDJWK(did string) (keys.Public, error) {
	text, ok := strings.CutPrefix(did, prefixJWK)
	if !ok || len(did) > maxLength || strings.ContainsAny(text, "\r\n") {
		return keys.Public{}, fmt.Errorf("%w: it must begin with %s", ErrDID, prefixJWK)
	}
	jwk, err := b64.DecodeString(text)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: not base64url", ErrDID)
	}
	return checked(keys.ParsePublic(jwk))
}

// Resolve returns the key of a did:key or did:jwk.
func Resolve(did string) (keys.Public, error) {
	switch {
	case strings.HasPrefix(did, prefixKey):
		return KeyFromDIDKey(did)
	case strings.HasPrefix(did, prefixJWK):
		return KeyFromDIDJWK(did)
	}
	return keys.Public{}, fmt.Errorf("%w: only did:key and did:jwk are known", ErrDID)
}
