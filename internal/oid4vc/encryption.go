package oid4vc

import (
	"encoding/json"
	"slices"

	"akashi/internal/keys"
)

// Names of JWE algorithms in metadata and requests.
const (
	AlgECDHES  = "ECDH-ES"
	ZipDeflate = "DEF"
)

// Refusals of encrypted messages and of what is asked for.
var (
	ErrEncryptionMalformed = refuse(CodeInvalidEncryptionParameters, "credential_response_encryption must have a public jwk with alg ECDH-ES, and enc")
	ErrEncryptionEnc       = refuse(CodeInvalidEncryptionParameters, "enc is not one of those supported")
	ErrEncryptionZip       = refuse(CodeInvalidEncryptionParameters, "zip is not one of those supported")
	ErrEncryptionUnasked   = refuse(CodeInvalidEncryptionParameters, "this issuer does not encrypt responses")
	ErrEncryptionPlain     = refuse(CodeInvalidEncryptionParameters, "credential_response_encryption is taken from encrypted requests only")
	ErrEncryptedRequest    = refuse(CodeInvalidEncryptionParameters, "the request cannot be decrypted with the parameters of this issuer's metadata")
)

// MaxMessage bounds a message after decryption and decompression.
const MaxMessage = 1 << 20

// ResponseEncryption asks for an encrypted response (OpenID4VCI 1.0, Section 8.2).
type ResponseEncryption struct {
	Key keys.EncryptionKey
	Enc keys.Enc
	Zip bool // DEF
}

// MarshalJSON writes {"jwk":...,"enc":...,"zip":"DEF"}.
func (e ResponseEncryption) MarshalJSON() ([]byte, error) {
	members := map[string]any{"jwk": e.Key, "enc": e.Enc}
	if e.Zip {
		members["zip"] = ZipDeflate
	}
	return json.Marshal(members)
}

// parseResponseEncryption reads the member, nil where it is absent. The algorithm is that of the jwk; a member alg beside it, as drafts of the
// protocol had, must not say another.
func parseResponseEncryption(text json.RawMessage) (*ResponseEncryption, error) {
	if text == nil {
		return nil, nil
	}
	var raw struct {
		JWK json.RawMessage `json:"jwk"`
		Alg *string         `json:"alg"`
		Enc string          `json:"enc"`
		Zip *string         `json:"zip"`
	}
	if err := decodeObject(text, &raw); err != nil {
		return nil, ErrEncryptionMalformed.because(err)
	}
	if raw.Alg != nil && *raw.Alg != AlgECDHES {
		return nil, ErrEncryptionMalformed
	}
	key, err := keys.ParseEncryptionKey(raw.JWK)
	if err != nil {
		return nil, ErrEncryptionMalformed.because(err)
	}
	if raw.Zip != nil && *raw.Zip != ZipDeflate {
		return nil, ErrEncryptionZip
	}
	return &ResponseEncryption{Key: key, Enc: keys.Enc(raw.Enc), Zip: raw.Zip != nil}, nil
}

// CheckResponseEncryption checks what a request asks for, nil for nothing, against what the issuer offers, nil for nothing. requestEncrypted
// tells whether the request itself came encrypted: only then could nobody have put another key in.
func CheckResponseEncryption(e *ResponseEncryption, offered *ResponseEncryptionMetadata, requestEncrypted bool) error {
	switch {
	case e == nil && offered != nil && offered.Required:
		return ErrEncryptionRequired
	case e == nil:
		return nil
	case offered == nil || !slices.Contains(offered.Alg, AlgECDHES):
		return ErrEncryptionUnasked
	case !slices.Contains(offered.Enc, string(e.Enc)) || !isKnownEnc(e.Enc):
		return ErrEncryptionEnc
	case e.Zip && !slices.Contains(offered.Zip, ZipDeflate):
		return ErrEncryptionZip
	case !requestEncrypted:
		return ErrEncryptionPlain
	}
	return nil
}

func isKnownEnc(enc keys.Enc) bool { return enc == keys.A128GCM || enc == keys.A256GCM }

// Seal encrypts a response, to be sent as application/jwt. Error responses are never encrypted.
func (e *ResponseEncryption) Seal(body []byte) (string, error) {
	return keys.EncryptMessage(e.Key, e.Enc, e.Zip, body)
}

// OpenResponse decrypts a response with the key that the wallet asked it to be encrypted to.
func (e *ResponseEncryption) OpenResponse(compact string, key *keys.Private) ([]byte, error) {
	m, err := keys.ParseMessage(compact, e.Enc)
	if err != nil {
		return nil, err
	}
	if m.Deflate && !e.Zip || m.KID != e.Key.KID() {
		return nil, keys.ErrDecrypt
	}
	return m.Open(key, MaxMessage)
}

// OpenRequest decrypts a request that came as application/jwt. find returns the private key of a kid of the issuer's metadata, nil for none.
func OpenRequest(compact string, offered *RequestEncryptionMetadata, find func(kid string) *keys.Private) ([]byte, error) {
	if offered == nil {
		return nil, ErrEncryptedRequest
	}
	encs := make([]keys.Enc, len(offered.Enc))
	for i, enc := range offered.Enc {
		encs[i] = keys.Enc(enc)
	}
	m, err := keys.ParseMessage(compact, encs...)
	if err != nil {
		return nil, ErrEncryptedRequest.because(err)
	}
	if m.Deflate && !slices.Contains(offered.Zip, ZipDeflate) {
		return nil, ErrEncryptionZip
	}
	key := find(m.KID)
	if m.KID == "" || key == nil {
		return nil, ErrEncryptedRequest
	}
	body, err := m.Open(key, MaxMessage)
	if err != nil {
		return nil, ErrEncryptedRequest.because(err)
	}
	return body, nil
}

// RequestEncryption is how a wallet encrypts its requests to one issuer.
type RequestEncryption struct {
	Key keys.EncryptionKey
	Enc keys.Enc
	Zip bool
}

// ChooseRequestEncryption picks what both sides know, A256GCM before A128GCM. ok is false where there is nothing to pick.
func ChooseRequestEncryption(offered *RequestEncryptionMetadata) (e RequestEncryption, ok bool) {
	if offered == nil {
		return e, false
	}
	key, err := offered.JWKS.EncryptionKey()
	enc, known := chooseEnc(offered.Enc)
	if err != nil || !known || key.KID() == "" {
		return e, false
	}
	return RequestEncryption{Key: key, Enc: enc, Zip: slices.Contains(offered.Zip, ZipDeflate)}, true
}

// Seal encrypts a request, to be sent as application/jwt.
func (e RequestEncryption) Seal(body []byte) (string, error) {
	return keys.EncryptMessage(e.Key, e.Enc, e.Zip, body)
}

// ChooseResponseEncryption makes what a wallet asks for, with a key of its own made for this request. ok is false where the issuer offers
// nothing that we know.
func ChooseResponseEncryption(offered *ResponseEncryptionMetadata, key keys.EncryptionKey) (e *ResponseEncryption, ok bool) {
	if offered == nil || !slices.Contains(offered.Alg, AlgECDHES) {
		return nil, false
	}
	enc, known := chooseEnc(offered.Enc)
	if !known {
		return nil, false
	}
	return &ResponseEncryption{Key: key, Enc: enc, Zip: slices.Contains(offered.Zip, ZipDeflate)}, true
}

func chooseEnc(offered []string) (keys.Enc, bool) {
	for _, enc := range []keys.Enc{keys.A256GCM, keys.A128GCM} {
		if slices.Contains(offered, string(enc)) {
			return enc, true
		}
	}
	return "", false
}
