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
	key, ok := to.key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: encrypting needs a P-256 key", ErrKey)
	}
	if len(apv) == 0 {
		return nil, errors.New("encrypting: apv must not be empty")
	}
	peer, err := key.ECDH()
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	z, err := ephemeral.ECDH(peer)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	var iv [ivSize]byte
	if _, err := io.ReadFull(rand.Reader, iv[:]); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	cek, err := contentKey(z, apv)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return sealCompact(encryptHeader(ephemeral.PublicKey(), apv), cek, iv[:], plaintext)
}

const (
	ivSize  = 12 // octets (RFC 7518, Section 5.3)
	tagSize = 16
)

// encryptHeader writes the protected header. Nothing in it needs an escape.
func encryptHeader(epk *ecdh.PublicKey, apv []byte) []byte {
	point := epk.Bytes() // 0x04 || x || y
	out := append(make([]byte, 0, 320), `{"alg":"ECDH-ES","apv":"`...)
	out = b64.AppendEncode(out, apv)
	out = append(out, `","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"`...)
	out = b64.AppendEncode(out, point[1:1+coordinate])
	out = append(out, `","y":"`...)
	out = b64.AppendEncode(out, point[1+coordinate:])
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
