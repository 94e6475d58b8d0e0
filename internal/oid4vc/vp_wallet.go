package oid4vc

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"

	"akashi/internal/keys"
)

// ErrVPWallet is the refusal of a wallet that cannot take the request as it is.
var ErrVPWallet = refuse(CodeInvalidRequest, "the wallet_metadata rules out the client_id prefix, response type or mode, signature or encryption of this request")

// WalletPost is what a wallet sends to a request_uri by POST (Section 5.10).
type WalletPost struct {
	Nonce    string          // wallet_nonce, "" for none
	Metadata *WalletMetadata // nil for none
}

// ParseWalletPost reads the form. Parameters that are not known are ignored.
func ParseWalletPost(form url.Values) (*WalletPost, error) {
	p := &WalletPost{Nonce: form.Get("wallet_nonce")}
	if form.Has("wallet_nonce") && (p.Nonce == "" || len(p.Nonce) > maxNonce) {
		return nil, ErrVPWalletNonce
	}
	if !form.Has("wallet_metadata") {
		return p, nil
	}
	p.Metadata = new(WalletMetadata)
	if err := decodeObject([]byte(form.Get("wallet_metadata")), p.Metadata); err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	return p, nil
}

// WalletMetadata is what a wallet says that it can (OpenID4VP 1.0, Section 10; RFC 9101, Section 10.5). A list that is absent says nothing. Members that
// are not used here are dropped on reading.
type WalletMetadata struct {
	Formats       map[string]json.RawMessage `json:"vp_formats_supported"`
	Prefixes      []string                   `json:"client_id_prefixes_supported,omitempty"`
	ResponseTypes []string                   `json:"response_types_supported,omitempty"`
	ResponseModes []string                   `json:"response_modes_supported,omitempty"`
	ResponseAlgs  []string                   `json:"authorization_encryption_alg_values_supported,omitempty"`
	ResponseEncs  []string                   `json:"authorization_encryption_enc_values_supported,omitempty"`
	SigningAlgs   []string                   `json:"request_object_signing_alg_values_supported,omitempty"`
	JWKS          *KeySet                    `json:"jwks,omitempty"` // keys to encrypt the request object to
	RequestAlgs   []string                   `json:"request_object_encryption_alg_values_supported,omitempty"`
	RequestEncs   []string                   `json:"request_object_encryption_enc_values_supported,omitempty"`
}

// NewWalletMetadata is the metadata of a wallet that holds SD-JWT VCs and takes the prefixes and modes that are known here. Where a key is given the
// request object is to be encrypted to it.
func NewWalletMetadata(encryption keys.EncryptionKey) (*WalletMetadata, error) {
	format, err := json.Marshal(ownFormat)
	if err != nil {
		return nil, err
	}
	encs := []string{string(keys.A256GCM), string(keys.A128GCM)}
	m := &WalletMetadata{
		Formats:       map[string]json.RawMessage{FormatSDJWTVC: format},
		Prefixes:      []string{PrefixX509Hash, PrefixX509SANDNS, PrefixDID, PrefixRedirectURI},
		ResponseTypes: []string{ResponseTypeVPToken}, ResponseModes: []string{ModeDirectPost, ModeDirectPostJWT},
		ResponseAlgs: []string{AlgECDHES}, ResponseEncs: encs, SigningAlgs: []string{string(keys.ES256), string(keys.EdDSA)},
	}
	if encryption.IsZero() {
		return m, nil
	}
	jwk, err := json.Marshal(encryption)
	if err != nil {
		return nil, err
	}
	m.JWKS, m.RequestAlgs, m.RequestEncs = &KeySet{Keys: []json.RawMessage{jwk}}, []string{AlgECDHES}, encs
	return m, nil
}

// Check tells a verifier whether the wallet takes a request, signed with alg.
func (m *WalletMetadata) Check(r *PresentationRequest, alg keys.Alg) error {
	f, err := sdjwtFormatOf(m.Formats)
	if err != nil {
		return ErrVPFormats.because(err)
	}
	if !common(f.Issuer, ownFormat.Issuer...) || !common(f.Holder, ownFormat.Holder...) {
		return ErrVPFormats
	}
	prefix, _, _ := SplitClientID(r.ClientID)
	for name, ok := range map[string]bool{
		"client_id_prefixes_supported":                  common(m.Prefixes, prefix),
		"response_types_supported":                      common(m.ResponseTypes, r.ResponseType),
		"response_modes_supported":                      common(m.ResponseModes, r.ResponseMode),
		"request_object_signing_alg_values_supported":   common(m.SigningAlgs, string(alg)),
		"authorization_encryption_alg_values_supported": !r.IsEncrypted() || common(m.ResponseAlgs, AlgECDHES),
		"authorization_encryption_enc_values_supported": !r.IsEncrypted() || common(m.ResponseEncs, string(keys.A128GCM), string(keys.A256GCM)),
	} {
		if !ok {
			return ErrVPWallet.because(errors.New(name))
		}
	}
	return nil
}

// common tells whether a list has one of the values, or is absent.
func common(list []string, values ...string) bool {
	return list == nil || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(list, v) })
}

// SealRequestObject encrypts a signed request object to a key of the wallet, if it gave any (OpenID4VP 1.0, Section 5.10; RFC 9101, Section 6.1). A
// wallet that gives keys none of which can be used gets no request: it would have to be sent in clear.
func (m *WalletMetadata) SealRequestObject(compact string) (string, error) {
	if m.JWKS == nil || len(m.JWKS.Keys) == 0 {
		return compact, nil
	}
	key, err := m.JWKS.EncryptionKey()
	if err != nil {
		return "", ErrVPWallet.because(err)
	}
	if !common(m.RequestAlgs, AlgECDHES) {
		return "", ErrVPWallet
	}
	enc, known := chooseEnc(m.RequestEncs)
	switch {
	case m.RequestEncs == nil:
		enc = keys.A128GCM
	case !known:
		return "", ErrVPWallet
	}
	return keys.EncryptToken(key, enc, compact)
}

// OpenRequestObject decrypts a request object that was sealed for the key of a wallet. One that is in clear is returned as it is: a signature
// shows who made it either way.
func OpenRequestObject(text string, key *keys.Private, kid string) (string, error) {
	if _, err := keys.PeekHeader(text); err == nil {
		return text, nil
	}
	m, err := keys.ParseMessage(text, keys.A128GCM, keys.A256GCM)
	if err != nil {
		return "", ErrVPRequestMalformed.because(err)
	}
	if m.Deflate || m.KID != kid {
		return "", ErrVPRequestMalformed
	}
	compact, err := m.Open(key, MaxMessage)
	if err != nil {
		return "", ErrVPRequestMalformed.because(err)
	}
	return string(compact), nil
}
