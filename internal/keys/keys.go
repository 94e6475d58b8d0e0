// Package keys holds the signing keys of the project and everything JOSE: JSON Web Keys (RFC 7517, RFC 8037), thumbprints
// (RFC 7638), compact JSON Web Signatures (RFC 7515), certificate chains in them, and JSON Web Encryption (RFC 7516) in two forms:
// [Encrypt] for the delivery of records, [EncryptMessage] for messages of OpenID4VC.
// It also has [DecodeJSON], the strict reader for all JSON that comes from outside.
//
// Two libraries meet here and nowhere else: jwx marshals our own keys and signs what we issue; go-jose parses, verifies and decrypts
// what others made, always with the algorithms that the caller names, and encrypts. So each checks the other.
//
// Only ES256 (P-256) and EdDSA (Ed25519) exist. Left out on purpose: other curves and RSA, HMAC, JSON serialization, detached
// payloads, critical headers, and keys that a token brings or points to ("jwk", "jku", "x5u" are never used to verify).
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
)

// Alg is a JWS algorithm name (RFC 7518, Section 3.1; RFC 8037, Section 3.1).
type Alg string

// The two algorithms of this project.
const (
	ES256 Alg = "ES256"
	EdDSA Alg = "EdDSA"
)

// ErrKey is returned for a key that is malformed, of another kind than the project uses, or not meant for the use at hand.
var ErrKey = errors.New("key not usable")

// b64 is the base64url of JOSE (RFC 7515, Section 2): no padding, and no second spelling of the same octets.
var b64 = base64.RawURLEncoding.Strict()

const coordinate = 32 // octets of a P-256 coordinate, of an Ed25519 key and of their private scalars and seeds

// Public is a public key. The zero value is no key: it verifies nothing. Values are immutable and may be shared.
type Public struct {
	alg        Alg
	key        crypto.PublicKey // *ecdsa.PublicKey or ed25519.PublicKey
	jwk        string           // required members in the order of RFC 7638, Section 3
	thumbprint string
}

// PublicFrom takes a key of the crypto packages: *ecdsa.PublicKey on P-256 or ed25519.PublicKey.
func PublicFrom(key crypto.PublicKey) (Public, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return Public{}, fmt.Errorf("%w: the curve must be P-256", ErrKey)
		}
		point, err := k.Bytes()
		if err != nil {
			return Public{}, fmt.Errorf("%w: the point is not on the curve P-256", ErrKey)
		}
		return newP256(k, point), nil
	case ed25519.PublicKey:
		return newEd25519(k)
	}
	return Public{}, fmt.Errorf("%w: the kind must be ECDSA on P-256 or Ed25519", ErrKey)
}

// newP256 takes a key and its uncompressed point (0x04 || x || y), already known to be on the curve.
func newP256(key *ecdsa.PublicKey, point []byte) Public {
	x, y := b64.EncodeToString(point[1:1+coordinate]), b64.EncodeToString(point[1+coordinate:])
	return finish(ES256, key, `{"crv":"P-256","kty":"EC","x":"`+x+`","y":"`+y+`"}`)
}

func newEd25519(key ed25519.PublicKey) (Public, error) {
	if err := checkEd25519Point(key); err != nil {
		return Public{}, err
	}
	return finish(EdDSA, key, `{"crv":"Ed25519","kty":"OKP","x":"`+b64.EncodeToString(key)+`"}`), nil
}

func finish(alg Alg, key crypto.PublicKey, jwk string) Public {
	sum := sha256.Sum256([]byte(jwk))
	return Public{alg: alg, key: key, jwk: jwk, thumbprint: b64.EncodeToString(sum[:])}
}

// JWK returns the key with its required members only, in the order of RFC 7638: the octets that the thumbprint hashes.
func (p Public) JWK() json.RawMessage { return json.RawMessage(p.jwk) }

// Thumbprint is the base64url SHA-256 thumbprint (RFC 7638).
func (p Public) Thumbprint() string { return p.thumbprint }

// Alg is the one algorithm that this key is used with.
func (p Public) Alg() Alg { return p.alg }

// Crypto returns *ecdsa.PublicKey or ed25519.PublicKey, which must not be changed; nil for the zero value.
func (p Public) Crypto() crypto.PublicKey { return p.key }

// Equal tells whether both are the same key. Two zero values are not: no key equals no key.
func (p Public) Equal(q Public) bool { return !p.IsZero() && p.jwk == q.jwk }

// IsZero tells whether there is no key.
func (p Public) IsZero() bool { return p.key == nil }

// Private is a private key of our own.
type Private struct {
	public Public
	signer crypto.Signer // *ecdsa.PrivateKey or ed25519.PrivateKey
	header atomic.Pointer[encodedHeader]
}

// Generate makes a new key.
func Generate(alg Alg) (*Private, error) {
	switch alg {
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating a P-256 key: %w", err)
		}
		return PrivateFrom(key)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating an Ed25519 key: %w", err)
		}
		return PrivateFrom(key)
	}
	return nil, fmt.Errorf("%w: the algorithm must be ES256 or EdDSA", ErrKey)
}

// PrivateFrom takes a key of the crypto packages: *ecdsa.PrivateKey on P-256 or ed25519.PrivateKey.
func PrivateFrom(key crypto.Signer) (*Private, error) {
	switch key.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
	default:
		return nil, fmt.Errorf("%w: the kind must be ECDSA on P-256 or Ed25519", ErrKey)
	}
	public, err := PublicFrom(key.Public())
	if err != nil {
		return nil, err
	}
	return &Private{public: public, signer: key}, nil
}

// Public returns the public half.
func (p *Private) Public() Public { return p.public }

// Signer returns the key for use with other packages (certificates, TLS).
func (p *Private) Signer() crypto.Signer { return p.signer }

// MarshalJWK writes the whole key, private members included, for keeping in a place where secrets are kept.
func (p *Private) MarshalJWK() ([]byte, error) {
	key, err := jwk.FromRaw(p.signer)
	if err != nil {
		return nil, fmt.Errorf("writing a private key: %w", err)
	}
	if err := key.Set(jwk.AlgorithmKey, jwa.SignatureAlgorithm(p.public.alg)); err != nil {
		return nil, fmt.Errorf("writing a private key: %w", err)
	}
	return json.Marshal(key)
}
