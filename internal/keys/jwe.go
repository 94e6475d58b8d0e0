package keys

import (
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwe"
)

// ErrDecrypt is returned when an encrypted message is malformed, of another form than ours, or not for this key and apv.
var ErrDecrypt = errors.New("message cannot be decrypted")

// Encrypt makes a compact JWE (RFC 7516, Section 7.1) for a P-256 key: ECDH-ES in direct key agreement (RFC 7518, Section 4.6) with A256GCM.
//
//	protected header = {"alg":"ECDH-ES","apv":BASE64URL(apv),"enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":...,"y":...}}
//
// and nothing else: a "kid" would tie together all messages to one person. apv names what the message belongs to; it enters the key
// derivation as PartyVInfo, so the ciphertext opens nowhere else. jwx encrypts because go-jose leaves apv out of the derivation.
func Encrypt(to Public, apv []byte, plaintext []byte) (string, error) {
	if to.alg != ES256 {
		return "", fmt.Errorf("%w: encrypting needs a P-256 key", ErrKey)
	}
	if len(apv) == 0 {
		return "", errors.New("encrypting: apv must not be empty")
	}
	headers := jwe.NewHeaders()
	if err := headers.Set(jwe.AgreementPartyVInfoKey, apv); err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	compact, err := jwe.Encrypt(plaintext,
		jwe.WithKey(jwa.ECDH_ES, to.key, jwe.WithPerRecipientHeaders(headers)),
		jwe.WithContentEncryption(jwa.A256GCM))
	if err != nil {
		return "", fmt.Errorf("encrypting: %w", err)
	}
	return string(compact), nil
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
