package oid4vc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"akashi/internal/did"
	"akashi/internal/keys"
)

// Client identifier prefixes (OpenID4VP 1.0, Section 5.9.3) that can be made and verified here. Requests of the prefix redirect_uri show nothing
// about who makes them but where the answer goes.
const (
	PrefixRedirectURI = "redirect_uri"
	PrefixX509SANDNS  = "x509_san_dns"
	PrefixX509Hash    = "x509_hash"
	PrefixDID         = "decentralized_identifier"
)

// SplitClientID divides a client_id at its first colon. Prefixes that are not known here, "origin" among them, which a request must never
// have, are refused: nothing would show who asks.
func SplitClientID(clientID string) (prefix, rest string, err error) {
	prefix, rest, ok := strings.Cut(clientID, ":")
	known := []string{PrefixRedirectURI, PrefixX509SANDNS, PrefixX509Hash, PrefixDID}
	if !ok || rest == "" || len(clientID) > maxURL || !slices.Contains(known, prefix) {
		return "", "", ErrVPClientID
	}
	return prefix, rest, nil
}

// X509HashClientID is the client_id of a verifier by its certificate:
//
//	x509_hash:BASE64URL(SHA-256(DER))
func X509HashClientID(leaf *x509.Certificate) string { return PrefixX509Hash + ":" + leafHash(leaf) }

func leafHash(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.Raw)
	return b64.EncodeToString(sum[:])
}

// ExpectRequest says what a wallet accepts.
type ExpectRequest struct {
	ClientID    string              // of the link, octet by octet
	WalletNonce string              // that the wallet sent, "" for none
	Roots       []*x509.Certificate // for verifiers known by a certificate; without any, none is accepted
	AnyRoot     bool                // take certificates of whatever authority: they then show nothing but that the client_id's own key signed
	Now         time.Time
}

// VerifiedRequest is a request with what its signature shows about the verifier.
type VerifiedRequest struct {
	PresentationRequest
	Prefix string
	Leaf   *x509.Certificate // of x509_san_dns and x509_hash
	Key    keys.Public       // that signed; zero for redirect_uri, where nobody did
}

// identify verifies the signature with the key that the client_id leads to (Section 5.9.3).
func (u *UnverifiedPresentationRequest) identify(want ExpectRequest) (*VerifiedRequest, error) {
	prefix, rest, err := SplitClientID(u.wire.ClientID)
	if err != nil {
		return nil, err
	}
	v := &VerifiedRequest{PresentationRequest: u.wire.PresentationRequest, Prefix: prefix}
	switch prefix {
	case PrefixX509SANDNS, PrefixX509Hash:
		v.Key, v.Leaf, err = want.leaf(u.token.Header().X5C)
		if err == nil && !leafIs(prefix, rest, v.Leaf) {
			err = errors.New("the certificate is of another client_id")
		}
	case PrefixDID:
		v.Key, err = didKey(rest, u.token.Header().Kid)
	default: // redirect_uri: nobody can sign, see [PrefixRedirectURI]
		if !u.plain {
			return nil, ErrVPSigned
		}
		return v, nil
	}
	if err == nil {
		_, err = u.token.Verify(v.Key, keys.ES256, keys.EdDSA)
	}
	if err != nil {
		return nil, ErrVPRequestSignature.because(err)
	}
	return v, nil
}

// leaf returns the key and the certificate that signed.
func (want ExpectRequest) leaf(x5c []string) (keys.Public, *x509.Certificate, error) {
	if !want.AnyRoot {
		return keys.VerifyChain(x5c, want.Roots, want.Now)
	}
	chain, err := keys.ParseChain(x5c)
	if err != nil {
		return keys.Public{}, nil, err
	}
	if want.Now.Before(chain[0].NotBefore) || want.Now.After(chain[0].NotAfter) {
		return keys.Public{}, nil, errors.New("the certificate is not valid now")
	}
	key, err := keys.PublicFrom(chain[0].PublicKey)
	return key, chain[0], err
}

func leafIs(prefix, rest string, leaf *x509.Certificate) bool {
	if prefix == PrefixX509Hash {
		return leafHash(leaf) == rest
	}
	return slices.Contains(leaf.DNSNames, rest)
}

// didKey returns the key of a DID that contains it. kid must be the DID URL of its one verification method.
func didKey(identifier, kid string) (keys.Public, error) {
	if kid != DIDVerificationMethod(identifier) {
		return keys.Public{}, errors.New("kid is not the verification method of the client_id's DID")
	}
	return did.Resolve(identifier)
}

// DIDVerificationMethod returns the DID URL of the one verification method of a did:jwk or did:key.
func DIDVerificationMethod(identifier string) string {
	if value, ok := strings.CutPrefix(identifier, "did:key:"); ok {
		return identifier + "#" + value
	}
	return identifier + "#0"
}

// VerifierMetadata is the client_metadata of a request (Section 5.1). Members that are not used here are dropped on reading.
type VerifierMetadata struct {
	JWKS    *KeySet                    `json:"jwks,omitempty"`
	Encs    []string                   `json:"encrypted_response_enc_values_supported,omitempty"` // nil means A128GCM
	Formats map[string]json.RawMessage `json:"vp_formats_supported"`
}

// sdjwtFormat is the member of vp_formats_supported for SD-JWT VC (Appendix B.3.4). Absent lists allow every algorithm.
type sdjwtFormat struct {
	Issuer []string `json:"sd-jwt_alg_values,omitempty"`
	Holder []string `json:"kb-jwt_alg_values,omitempty"`
}

// ownFormat names fully specified algorithms only (Appendix B.3.4, RFC 9864), which EdDSA, taken as well, is not.
var ownFormat = sdjwtFormat{[]string{string(keys.ES256)}, []string{string(keys.ES256)}}

// NewVerifierMetadata is the metadata of a verifier of SD-JWT VCs, with a key for encrypted responses where one is given. Both content encryptions
// are offered (HAIP 1.0, Section 5).
func NewVerifierMetadata(encryption keys.EncryptionKey) (*VerifierMetadata, error) {
	format, err := json.Marshal(ownFormat)
	if err != nil {
		return nil, err
	}
	m := &VerifierMetadata{Formats: map[string]json.RawMessage{FormatSDJWTVC: format}}
	if encryption.IsZero() {
		return m, nil
	}
	jwk, err := json.Marshal(encryption)
	if err != nil {
		return nil, err
	}
	m.JWKS, m.Encs = &KeySet{Keys: []json.RawMessage{jwk}}, []string{string(keys.A128GCM), string(keys.A256GCM)}
	return m, nil
}

// Validate checks the form, and that the keys have kids that differ.
func (m *VerifierMetadata) Validate() error {
	if len(m.Formats) == 0 {
		return ErrVPMetadata
	}
	if err := checkNonEmptySet(m.Encs); err != nil {
		return ErrVPMetadata.because(err)
	}
	if m.JWKS == nil {
		return nil
	}
	var seen []string
	for _, jwk := range m.JWKS.Keys {
		var kid, alg string
		if err := decodeKeyNames(jwk, &kid, &alg); err != nil {
			return ErrVPMetadata.because(err)
		}
		if kid == "" || slices.Contains(seen, kid) {
			return ErrVPMetadata
		}
		seen = append(seen, kid)
	}
	return nil
}

// Encryption chooses the key and the content encryption for a response (Section 8.3): the first key that can be used, and A256GCM before
// A128GCM. Keys and names of other kinds are passed over.
func (m *VerifierMetadata) Encryption() (keys.EncryptionKey, keys.Enc, error) {
	if m.JWKS == nil {
		return keys.EncryptionKey{}, "", ErrVPEncryption
	}
	key, err := m.JWKS.EncryptionKey()
	if err != nil {
		return keys.EncryptionKey{}, "", ErrVPEncryption.because(err)
	}
	offered := m.Encs
	if offered == nil {
		offered = []string{string(keys.A128GCM)}
	}
	for _, enc := range []keys.Enc{keys.A256GCM, keys.A128GCM} {
		if slices.Contains(offered, string(enc)) {
			return key, enc, nil
		}
	}
	return keys.EncryptionKey{}, "", ErrVPEncryption
}

// CheckFormats tells a wallet whether the verifier reads SD-JWT VCs with key bindings made by alg, and by which algorithms the credentials may be
// signed: nil for any.
func (m *VerifierMetadata) CheckFormats(alg keys.Alg) (issuer []string, err error) {
	f, err := sdjwtFormatOf(m.Formats)
	if err != nil {
		return nil, ErrVPFormats.because(err)
	}
	if f.Holder != nil && !slices.Contains(f.Holder, string(alg)) {
		return nil, ErrVPFormats
	}
	return f.Issuer, nil
}

// sdjwtFormatOf reads the member of vp_formats_supported for SD-JWT VC; null there says as little as an empty object.
func sdjwtFormatOf(formats map[string]json.RawMessage) (f sdjwtFormat, err error) {
	text, ok := formats[FormatSDJWTVC]
	if !ok {
		return f, errors.New("no format that is known")
	}
	if err := keys.DecodeJSON(text, &f); err != nil {
		return f, err
	}
	return f, errors.Join(checkNonEmptySet(f.Issuer), checkNonEmptySet(f.Holder))
}

// Schemes of presentation request links. A wallet may also be met at an https address.
const (
	SchemePresentation     = "openid4vp://"
	SchemePresentationHAIP = "haip-vp://"
)

// RequestLink is a link as a wallet reads it: where to fetch a request, a signed request in it, or an unsigned request by itself.
type RequestLink struct {
	ClientID string
	URI      string           // request_uri
	Post     bool             // request_uri_method is post
	Object   string           // request: the request object itself
	Plain    *VerifiedRequest // unsigned
}

// maxRequestLink bounds a link; a request may stand in it whole.
const maxRequestLink = 64 << 10

// ParseRequestLink reads a link of any of the schemes, or to an https address of the wallet. No parameter may stand twice (RFC 6749, Section 3.1).
func ParseRequestLink(link string) (*RequestLink, error) {
	if len(link) > maxRequestLink {
		return nil, ErrVPRequestMalformed
	}
	u, err := url.Parse(link)
	if err != nil || !slices.Contains([]string{"openid4vp", "haip-vp", "https"}, u.Scheme) {
		return nil, ErrVPRequestMalformed
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, ErrVPRequestMalformed
	}
	for _, values := range query {
		if len(values) > 1 {
			return nil, ErrVPRequestMalformed
		}
	}
	if query.Has("request_uri") || query.Has("request") {
		return referenceOf(query)
	}
	plain, err := ParsePlainRequest(query)
	if err != nil {
		return nil, err
	}
	return &RequestLink{ClientID: plain.ClientID, Plain: plain}, nil
}

// referenceOf reads a link whose parameters but these do not count: those of the request object do (Section 5.10.1).
func referenceOf(query url.Values) (*RequestLink, error) {
	l := &RequestLink{ClientID: query.Get("client_id"), URI: query.Get("request_uri"), Object: query.Get("request")}
	if _, _, err := SplitClientID(l.ClientID); err != nil {
		return nil, err
	}
	if query.Has("request") {
		if l.Object == "" || query.Has("request_uri") || query.Has("request_uri_method") {
			return nil, ErrVPRequestMalformed
		}
		return l, nil
	}
	if err := checkEndpoint(l.URI); err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	switch method := query.Get("request_uri_method"); {
	case !query.Has("request_uri_method") || method == "get":
	case method == "post":
		l.Post = true
	default:
		return nil, ErrVPURIMethod
	}
	return l, nil
}

// Link writes the link to a request object. base is one of the schemes, or the https address of a wallet.
func (l *RequestLink) Link(base string) (string, error) {
	query := url.Values{"client_id": {l.ClientID}}
	for name, value := range map[string]string{"request_uri": l.URI, "request": l.Object} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if l.Post {
		query.Set("request_uri_method", "post")
	}
	if _, err := referenceOf(query); err != nil {
		return "", err
	}
	return presentationLink(base, query)
}

// PlainLink writes an unsigned request into a link.
func (r *PresentationRequest) PlainLink(base string) (string, error) {
	query, err := r.Plain()
	if err != nil {
		return "", err
	}
	return presentationLink(base, query)
}

func presentationLink(base string, query url.Values) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("%q is no scheme and no address of a wallet", base)
	}
	separator := "?"
	if u.RawQuery != "" {
		separator = "&"
	}
	return base + separator + strings.ReplaceAll(query.Encode(), "+", "%20"), nil
}
