package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-jose/go-jose/v4"
	josecipher "github.com/go-jose/go-jose/v4/cipher"
)

// ErrDecrypt is returned when an encrypted message is malformed, of another form than ours, or not for this key and apv.
var ErrDecrypt = errors.New("message cannot be decrypted")

// Encrypt makes a compact JWE (RFC 7516, Section 7.1) for a P-256 key: ECDH-ES in direct key agreement (RFC 7518, Section 4.6) with A256GCM.
//
//	protected header = {"alg":"ECDH-ES","apv":BASE64URL(apv),"enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":...,"y":...}}
//
// and nothing else: a "kid" would tie together all messages to one person. apv names what the message belongs to; it enters the key
// derivation as PartyVInfo, so the ciphertext opens nowhere else. It is composed here of go-jose's key derivation and the standard
// library: go-jose's own encrypter leaves apv out of the derivation, and jwx takes three times as long, which an import of many records
// feels. go-jose decrypts.
func Encrypt(to Public, apv []byte, plaintext []byte) ([]byte, error) {
	message, _, err := EncryptRecipe(to, apv, plaintext)
	return message, err
}

// EncryptRecipe is [Encrypt] for one who may have to send the same octets again, and keeps their recipe instead of them.
func EncryptRecipe(to Public, apv []byte, plaintext []byte) (message []byte, r Recipe, err error) {
	if r, err = newRecipe(to, apv); err != nil {
		return nil, r, err
	}
	message, err = r.Encrypt(apv, plaintext)
	return message, r, err
}

// Recipe makes a message of [Encrypt] again from its apv and its plaintext. It opens that message and no other, so it is as secret as the
// plaintext; and it must never meet another plaintext, since the pair of key and nonce would be used twice. Layout:
//
//	content encryption key(32) || iv(12) || x of epk(32) || y of epk(32)
type Recipe [cekSize + ivSize + 2*coordinate]byte

const (
	cekSize = 32 // octets (RFC 7518, Section 5.3)
	ivSize  = 12
	tagSize = 16
)

// newRecipe draws what [Encrypt] needs, and agrees upon the key.
func newRecipe(to Public, apv []byte) (r Recipe, err error) {
	key, ok := to.key.(*ecdsa.PublicKey)
	if !ok {
		return r, fmt.Errorf("%w: encrypting needs a P-256 key", ErrKey)
	}
	if len(apv) == 0 {
		return r, errors.New("encrypting: apv must not be empty")
	}
	peer, err := key.ECDH()
	if err != nil {
		return r, fmt.Errorf("encrypting: %w", err)
	}
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return r, fmt.Errorf("encrypting: %w", err)
	}
	z, err := ephemeral.ECDH(peer)
	if err != nil {
		return r, fmt.Errorf("encrypting: %w", err)
	}
	cek, err := contentKey(z, apv)
	if err != nil {
		return r, fmt.Errorf("encrypting: %w", err)
	}
	rest := r[copy(r[:], cek):]
	if _, err := io.ReadFull(rand.Reader, rest[:ivSize]); err != nil {
		return r, fmt.Errorf("encrypting: %w", err)
	}
	copy(rest[ivSize:], ephemeral.PublicKey().Bytes()[1:]) // 0x04 || x || y
	return r, nil
}

// Encrypt makes the message.
func (r *Recipe) Encrypt(apv, plaintext []byte) ([]byte, error) {
	return sealCompact(encryptHeader(r[cekSize+ivSize:], apv), r[:cekSize], r[cekSize:cekSize+ivSize], plaintext)
}

// encryptHeader writes the protected header for an epk of x || y. Nothing in it needs an escape.
func encryptHeader(epk, apv []byte) []byte {
	out := append(make([]byte, 0, 320), `{"alg":"ECDH-ES","apv":"`...)
	out = b64.AppendEncode(out, apv)
	out = append(out, `","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"`...)
	out = b64.AppendEncode(out, epk[:coordinate])
	out = append(out, `","y":"`...)
	out = b64.AppendEncode(out, epk[coordinate:])
	return append(out, `"}}`...)
}

// contentKey derives the key of 256 bits for A256GCM from the shared secret z (RFC 7518, Section 4.6.2), with an empty PartyUInfo.
func contentKey(z, apv []byte) ([]byte, error) {
	field := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	kdf := josecipher.NewConcatKDF(crypto.SHA256, z, field([]byte(A256GCM)), field(nil), field(apv), binary.BigEndian.AppendUint32(nil, 256), nil)
	key := make([]byte, 32)
	_, err := io.ReadFull(kdf, key)
	return key, err
}

// sealCompact encrypts and writes the five parts; the second, the encrypted key, is empty in direct agreement. The associated data is
// the header as it is sent (RFC 7516, Section 5.1).
func sealCompact(header, key, iv, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	size := b64.EncodedLen(len(header)) + 4 + b64.EncodedLen(len(iv)) + b64.EncodedLen(len(plaintext)) + b64.EncodedLen(tagSize)
	out := b64.AppendEncode(make([]byte, 0, size), header)
	sealed := gcm.Seal(make([]byte, 0, len(plaintext)+tagSize), iv, plaintext, out)
	out = b64.AppendEncode(append(out, ".."...), iv)
	out = b64.AppendEncode(append(out, '.'), sealed[:len(plaintext)])
	return b64.AppendEncode(append(out, '.'), sealed[len(plaintext):]), nil
}

// Decrypt opens what [Encrypt] made for this key and apv. A header with any member more or less is refused.
func (p *Private) Decrypt(compact string, wantAPV []byte) ([]byte, error) {
	key, ok := p.signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it takes a P-256 key", ErrKey)
	}
	if err := checkEncrypted(compact, wantAPV); err != nil {
		return nil, err
	}
	parsed, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, fmt.Errorf("%w: malformed", ErrDecrypt)
	}
	plaintext, err := parsed.Decrypt(key)
	if err != nil {
		return nil, fmt.Errorf("%w: not for this key, or changed", ErrDecrypt)
	}
	return plaintext, nil
}

// checkEncrypted checks the five parts and every member of the header.
func checkEncrypted(compact string, wantAPV []byte) error {
	header, err := splitEncrypted(compact)
	if err != nil {
		return err
	}
	return checkEncryptedHeader(header, wantAPV)
}

func checkEncryptedHeader(raw, wantAPV []byte) error {
	var members map[string]any
	if err := DecodeJSON(raw, &members); err != nil {
		return fmt.Errorf("%w: header: %w", ErrDecrypt, err)
	}
	want := map[string]any{"alg": "ECDH-ES", "enc": "A256GCM", "apv": b64.EncodeToString(wantAPV)}
	for name, v := range want {
		if members[name] != v {
			return fmt.Errorf("%w: header member %q is not the expected one", ErrDecrypt, name)
		}
	}
	epk, ok := members["epk"].(map[string]any)
	if !ok || len(epk) != 4 || len(members) != len(want)+1 {
		return fmt.Errorf("%w: the header must have exactly alg, enc, epk, apv, and epk exactly kty, crv, x, y", ErrDecrypt)
	}
	if key, err := publicFromMembers(epk, ""); err != nil || key.alg != ES256 {
		return fmt.Errorf("%w: epk is not a P-256 key", ErrDecrypt)
	}
	return nil
}
