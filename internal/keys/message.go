package keys

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Enc is a JWE content encryption name (RFC 7518, Section 5.1).
type Enc string

// The content encryptions of messages.
const (
	A128GCM Enc = "A128GCM"
	A256GCM Enc = "A256GCM"
)

const (
	algECDHES  = "ECDH-ES"
	zipDeflate = "DEF"
)

// EncryptionKey is a public P-256 key that messages are encrypted to with ECDH-ES. The zero value is no key.
type EncryptionKey struct {
	public Public
	kid    string
}

// NewEncryptionKey makes an encryption key of a P-256 key.
func NewEncryptionKey(public Public, kid string) (EncryptionKey, error) {
	if public.alg != ES256 {
		return EncryptionKey{}, fmt.Errorf("%w: encrypting needs a P-256 key", ErrKey)
	}
	return EncryptionKey{public, kid}, nil
}

// ParseEncryptionKey reads a public encryption key from outside. "alg" must be there and be ECDH-ES (OpenID4VCI 1.0, Section 10); "use",
// where it stands, must be enc. Private members, other curves and points off the curve are refused, unknown members ignored.
func ParseEncryptionKey(jwk []byte) (EncryptionKey, error) {
	var members map[string]any
	if err := DecodeJSON(jwk, &members); err != nil {
		return EncryptionKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return EncryptionKey{}, fmt.Errorf("%w: a public key must not have the private member %q", ErrKey, name)
		}
	}
	if members["alg"] != algECDHES {
		return EncryptionKey{}, fmt.Errorf(`%w: "alg" of an encryption key must be %s`, ErrKey, algECDHES)
	}
	if v, ok := members["use"]; ok && v != "enc" {
		return EncryptionKey{}, fmt.Errorf(`%w: "use" of an encryption key must be enc`, ErrKey)
	}
	if err := checkDerive(members); err != nil {
		return EncryptionKey{}, err
	}
	kid, _ := members["kid"].(string)
	if _, ok := members["kid"]; ok && kid == "" {
		return EncryptionKey{}, fmt.Errorf(`%w: "kid" must be a string and not empty`, ErrKey)
	}
	public, err := publicFromMembers(onlyPoint(members), "")
	if err != nil {
		return EncryptionKey{}, err
	}
	return NewEncryptionKey(public, kid)
}

// checkDerive checks key_ops (RFC 7517, Section 4.3), which may be absent.
func checkDerive(members map[string]any) error {
	v, ok := members["key_ops"]
	if !ok {
		return nil
	}
	ops, _ := v.([]any)
	if !slices.Contains(ops, any("deriveKey")) && !slices.Contains(ops, any("deriveBits")) {
		return fmt.Errorf(`%w: "key_ops" of an encryption key must contain deriveKey or deriveBits`, ErrKey)
	}
	return nil
}

func onlyPoint(members map[string]any) map[string]any {
	point := make(map[string]any, 4)
	for _, name := range []string{"kty", "crv", "x", "y"} {
		if v, ok := members[name]; ok {
			point[name] = v
		}
	}
	return point
}

// KID is the name the owner gave the key, "" for none.
func (k EncryptionKey) KID() string { return k.kid }

// Public is the key itself.
func (k EncryptionKey) Public() Public { return k.public }

// IsZero tells whether there is no key.
func (k EncryptionKey) IsZero() bool { return k.public.IsZero() }

// MarshalJSON writes the key as a JWK with alg, use and, where there is one, kid.
func (k EncryptionKey) MarshalJSON() ([]byte, error) {
	if k.IsZero() {
		return nil, fmt.Errorf("%w: no key to write", ErrKey)
	}
	members := map[string]any{"alg": algECDHES, "use": "enc"}
	if k.kid != "" {
		members["kid"] = k.kid
	}
	if err := json.Unmarshal([]byte(k.public.jwk), &members); err != nil {
		return nil, err
	}
	return json.Marshal(members)
}

// EncryptMessage makes a compact JWE (RFC 7516, Section 7.1) with ECDH-ES in direct key agreement:
//
//	protected header = {"alg":"ECDH-ES","enc":...,"epk":{...},"kid":... where the key has one,"zip":"DEF" where asked for}
//
// Unlike [Encrypt] it is between two services that agreed on the parameters, and binds the message to nothing.
func EncryptMessage(to EncryptionKey, enc Enc, deflate bool, plaintext []byte) (string, error) {
	options := &jose.EncrypterOptions{}
	if deflate {
		options.Compression = jose.DEFLATE
	}
	return encryptMessage(to, enc, options, plaintext)
}

// EncryptToken encrypts a signed token to a nested JWT, whose header says so with "cty":"JWT" (RFC 7519, Section 5.2).
func EncryptToken(to EncryptionKey, enc Enc, compact string) (string, error) {
	return encryptMessage(to, enc, (&jose.EncrypterOptions{}).WithContentType("JWT"), []byte(compact))
}

func encryptMessage(to EncryptionKey, enc Enc, options *jose.EncrypterOptions, plaintext []byte) (string, error) {
	if to.IsZero() || enc != A128GCM && enc != A256GCM {
		return "", fmt.Errorf("%w: encrypting needs a P-256 key, and A128GCM or A256GCM", ErrKey)
	}
	recipient := jose.Recipient{Algorithm: jose.ECDH_ES, Key: to.public.key, KeyID: to.kid}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), recipient, options)
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	message, err := encrypter.Encrypt(plaintext)
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	return message.CompactSerialize()
}

// UnverifiedMessage is an encrypted message that was read and not opened.
type UnverifiedMessage struct {
	compact string
	Enc     Enc
	KID     string // of the key it is encrypted to, "" where the header names none
	Deflate bool
}

// ParseMessage reads a compact JWE with ECDH-ES and one of encs, so that the key can be chosen by what it says before [UnverifiedMessage.Open].
func ParseMessage(compact string, encs ...Enc) (*UnverifiedMessage, error) {
	header, err := splitEncrypted(compact)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := DecodeJSON(header, &members); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrDecrypt, err)
	}
	if _, ok := members["crit"]; ok {
		return nil, fmt.Errorf("%w: %w", ErrDecrypt, ErrCritical)
	}
	enc, _ := members["enc"].(string)
	if members["alg"] != algECDHES || !slices.Contains(encs, Enc(enc)) {
		return nil, fmt.Errorf("%w: alg must be %s and enc one of those offered", ErrDecrypt, algECDHES)
	}
	epk, _ := members["epk"].(map[string]any)
	if _, private := epk["d"]; private {
		return nil, fmt.Errorf("%w: epk must not be a private key", ErrDecrypt)
	}
	if key, err := publicFromMembers(onlyPoint(epk), ""); err != nil || key.alg != ES256 {
		return nil, fmt.Errorf("%w: epk is not a P-256 key", ErrDecrypt)
	}
	m := &UnverifiedMessage{compact: compact, Enc: Enc(enc)}
	if v, ok := members["kid"]; ok {
		if m.KID, ok = v.(string); !ok {
			return nil, fmt.Errorf("%w: kid must be a string", ErrDecrypt)
		}
	}
	if zip, ok := members["zip"]; ok {
		if m.Deflate = zip == zipDeflate; !m.Deflate {
			return nil, fmt.Errorf("%w: zip must be %s", ErrDecrypt, zipDeflate)
		}
	}
	return m, nil
}

// Open decrypts the message. A compressed one is inflated to no more than maxBytes. "apu" and "apv" enter the key derivation where the
// header has them (RFC 7518, Section 4.6.2).
func (m *UnverifiedMessage) Open(key *Private, maxBytes int) ([]byte, error) {
	private, ok := key.signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it takes a P-256 key", ErrKey)
	}
	parsed, err := jose.ParseEncryptedCompact(m.compact, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.ContentEncryption(m.Enc)})
	if err != nil {
		return nil, fmt.Errorf("%w: malformed", ErrDecrypt)
	}
	plaintext, err := parsed.Decrypt(private)
	if err != nil {
		return nil, fmt.Errorf("%w: not for this key, or changed", ErrDecrypt)
	}
	if len(plaintext) > maxBytes {
		return nil, fmt.Errorf("%w: more than %d octets", ErrDecrypt, maxBytes)
	}
	return plaintext, nil
}

// splitEncrypted checks the five parts of a compact JWE in direct agreement with GCM and returns the header.
func splitEncrypted(compact string) (header []byte, err error) {
	segments := strings.Split(compact, ".")
	if len(compact) > 2*maxJSON || len(segments) != 5 {
		return nil, fmt.Errorf("%w: a compact message has five parts", ErrDecrypt)
	}
	var decoded [5][]byte
	for i, segment := range segments {
		if decoded[i], err = decodeStrict(segment); err != nil {
			return nil, fmt.Errorf("%w: part %d is not base64url", ErrDecrypt, i+1)
		}
	}
	if len(decoded[1]) != 0 || len(decoded[2]) != 12 || len(decoded[4]) != 16 {
		return nil, fmt.Errorf("%w: a part has the wrong length", ErrDecrypt)
	}
	return decoded[0], nil
}
