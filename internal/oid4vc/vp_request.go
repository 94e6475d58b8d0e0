package oid4vc

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"akashi/internal/dcql"
	"akashi/internal/keys"
)

// Error codes of OpenID4VP 1.0, Section 8.5, beside those of OAuth 2.0.
const (
	CodeVPFormatsNotSupported   = "vp_formats_not_supported"
	CodeInvalidRequestURIMethod = "invalid_request_uri_method"
	CodeInvalidTransactionData  = "invalid_transaction_data"
	CodeWalletUnavailable       = "wallet_unavailable"
)

// Refusals of presentation requests. A wallet answers them to the response_uri, where it could read one.
var (
	ErrVPRequestMalformed = refuse(CodeInvalidRequest, "the presentation request is malformed")
	ErrVPRequestType      = refuse(CodeInvalidRequest, "the request object must have the typ oauth-authz-req+jwt")
	ErrVPRequestSignature = refuse(CodeInvalidClient, "the request object is not signed by the verifier that its client_id names")
	ErrVPRequestTime      = refuse(CodeInvalidRequest, "the request object has expired or is not valid yet")
	ErrVPRequestAudience  = refuse(CodeInvalidRequest, "the request object is meant for another wallet")
	ErrVPResponseType     = refuse(CodeUnsupportedResponseType, "response_type must be vp_token")
	ErrVPResponseMode     = refuse(CodeInvalidRequest, "response_mode must be one that this way of asking has: direct_post or direct_post.jwt by links, dc_api or dc_api.jwt over the Digital Credentials API")
	ErrVPResponseURI      = refuse(CodeInvalidRequest, "response_uri must be an https URL, and redirect_uri must be absent")
	ErrVPNonce            = refuse(CodeInvalidRequest, "nonce is missing or has characters that are not allowed")
	ErrVPState            = refuse(CodeInvalidRequest, "state is needed where no holder binding is asked for, must be short, and must have no characters that are not allowed")
	ErrVPQuery            = refuse(CodeInvalidRequest, "dcql_query is missing or malformed")
	ErrVPScope            = refuse(CodeInvalidScope, "scope stands for no query here: use dcql_query")
	ErrVPClientID         = refuse(CodeInvalidRequest, "client_id has no prefix that is known, or differs from that of the link")
	ErrVPClientURI        = refuse(CodeInvalidClient, "response_uri does not belong to the client_id")
	ErrVPSigned           = refuse(CodeInvalidRequest, "this client_id must sign its requests, or must not")
	ErrVPWalletNonce      = refuse(CodeInvalidRequest, "wallet_nonce is missing or another than the wallet sent")
	ErrVPMetadata         = refuse(CodeInvalidRequest, "client_metadata is missing or malformed")
	ErrVPFormats          = refuse(CodeVPFormatsNotSupported, "verifier and wallet have no credential format or algorithm in common")
	ErrVPEncryption       = refuse(CodeInvalidRequest, "the verifier asks for encryption with no key or algorithm that can be used")
	ErrVPTransactionData  = refuse(CodeInvalidTransactionData, "transaction_data is malformed, of an unknown type, or for no credential of the query")
	ErrVPVerifierInfo     = refuse(CodeInvalidRequest, "verifier_info is malformed")
	ErrVPURIMethod        = refuse(CodeInvalidRequestURIMethod, "request_uri_method must be get or post")
	ErrVPOrigin           = refuse(CodeInvalidRequest, "the request was made for pages of other origins than the one that brought it")
	ErrVPProtocol         = refuse(CodeInvalidRequest, "this protocol of the Digital Credentials API is not known")
)

// ResponseTypeVPToken is the one response type.
const ResponseTypeVPToken = "vp_token"

// Response modes: of requests by links, and of those over the Digital Credentials API.
const (
	ModeDirectPost    = "direct_post"
	ModeDirectPostJWT = "direct_post.jwt"
	ModeDCAPI         = "dc_api"
	ModeDCAPIJWT      = "dc_api.jwt"
)

// IsDCAPI tells whether the request goes over the Digital Credentials API (Appendix A).
func (r *PresentationRequest) IsDCAPI() bool {
	return r.ResponseMode == ModeDCAPI || r.ResponseMode == ModeDCAPIJWT
}

// IsEncrypted tells whether the response must be encrypted.
func (r *PresentationRequest) IsEncrypted() bool {
	return r.ResponseMode == ModeDirectPostJWT || r.ResponseMode == ModeDCAPIJWT
}

// TypeRequestObject is the typ of a request object, and with application/ before it its media type (RFC 9101).
const (
	TypeRequestObject      = "oauth-authz-req+jwt"
	MediaTypeRequestObject = "application/" + TypeRequestObject
)

// audienceStatic is the "aud" of a request object for whatever wallet takes it (Section 5.8).
const audienceStatic = "https://self-issued.me/v2"

// maxNonce bounds nonce, state and wallet_nonce.
const maxNonce = 512

var nonceText = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// PresentationRequest is an authorization request for presentations (OpenID4VP 1.0, Section 5).
type PresentationRequest struct {
	ResponseType    string            `json:"response_type"`
	ResponseMode    string            `json:"response_mode"`
	ClientID        string            `json:"client_id,omitempty"` // with its prefix: the audience of the key bindings; absent over the Digital Credentials API where nobody signs
	ResponseURI     string            `json:"response_uri,omitempty"`
	Nonce           string            `json:"nonce"`
	State           string            `json:"state,omitempty"`
	Query           *dcql.Query       `json:"dcql_query"`
	Metadata        *VerifierMetadata `json:"client_metadata,omitempty"`
	TransactionData []string          `json:"transaction_data,omitempty"` // base64url of JSON, see [TransactionData]
	VerifierInfo    []VerifierInfo    `json:"verifier_info,omitempty"`
	WalletNonce     string            `json:"wallet_nonce,omitempty"`
	ExpectedOrigins []string          `json:"expected_origins,omitempty"` // of signed requests over the Digital Credentials API

	// Of a signed request object only.
	Audience Audience          `json:"-"`
	Issued   *keys.NumericDate `json:"-"`
	Expires  *keys.NumericDate `json:"-"`
}

// VerifierInfo is an attestation about the verifier (Section 5.11). A wallet may ignore it.
type VerifierInfo struct {
	Format        string          `json:"format"`
	Data          json.RawMessage `json:"data"` // a string or an object
	CredentialIDs []string        `json:"credential_ids,omitempty"`
}

// requestWire is a request as it is written, with the members that must not be there and those of a signed one.
type requestWire struct {
	PresentationRequest
	RedirectURI *string           `json:"redirect_uri,omitempty"`
	Scope       *string           `json:"scope,omitempty"`
	Request     any               `json:"request,omitempty"`     // RFC 9101, Section 4: not in a request object
	RequestURI  any               `json:"request_uri,omitempty"` // the same
	Audience    Audience          `json:"aud,omitempty"`
	Issued      *keys.NumericDate `json:"iat,omitempty"`
	Expires     *keys.NumericDate `json:"exp,omitempty"`
	NotBefore   *keys.NumericDate `json:"nbf,omitempty"`
}

// readRequest reads the members of a request, whatever they say.
func readRequest(payload []byte) (*requestWire, error) {
	var w requestWire
	if err := keys.DecodeJSON(payload, &w); err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	w.PresentationRequest.Audience, w.PresentationRequest.Issued, w.PresentationRequest.Expires = w.Audience, w.Issued, w.Expires
	return &w, nil
}

// validate checks a request that came by a link.
func (w *requestWire) validate() error {
	switch {
	case w.RedirectURI != nil:
		return ErrVPResponseURI
	case w.Scope != nil:
		return ErrVPScope
	case w.Request != nil || w.RequestURI != nil:
		return ErrVPRequestMalformed
	case w.IsDCAPI():
		return ErrVPResponseMode
	}
	return w.Validate()
}

// Validate checks the rules of Section 5, or for a request over the Digital Credentials API of Appendix A.2, that need no signature.
func (r *PresentationRequest) Validate() error {
	prefix, rest, err := r.validateClientID()
	if err != nil {
		return err
	}
	switch {
	case r.ResponseType != ResponseTypeVPToken:
		return ErrVPResponseType
	case !slices.Contains([]string{ModeDirectPost, ModeDirectPostJWT, ModeDCAPI, ModeDCAPIJWT}, r.ResponseMode):
		return ErrVPResponseMode
	case len(r.Nonce) > maxNonce || !nonceText.MatchString(r.Nonce):
		return ErrVPNonce
	case r.WalletNonce != "" && len(r.WalletNonce) > maxNonce:
		return ErrVPWalletNonce
	case r.Query == nil:
		return ErrVPQuery
	}
	if err := r.Query.Validate(); err != nil {
		return ErrVPQuery.because(err)
	}
	if !r.IsDCAPI() {
		if err := r.validateReturn(prefix, rest); err != nil {
			return err
		}
	}
	if err := r.validateMetadata(); err != nil {
		return err
	}
	return r.validateAttached()
}

// validateClientID checks who asks. Over the Digital Credentials API that is the origin of the page, and for signed requests a client_id besides.
func (r *PresentationRequest) validateClientID() (prefix, rest string, err error) {
	if r.IsDCAPI() && r.ClientID == "" && r.ExpectedOrigins == nil {
		return "", "", nil
	}
	prefix, rest, err = SplitClientID(r.ClientID)
	switch {
	case err != nil || !r.IsDCAPI():
		return prefix, rest, err
	case prefix == PrefixRedirectURI:
		return "", "", ErrVPSigned
	case len(r.ExpectedOrigins) == 0 || slices.Contains(r.ExpectedOrigins, ""):
		return "", "", ErrVPOrigin
	}
	return prefix, rest, nil
}

// validateReturn checks where a response by a link goes, and the state that comes back with it. A fresh nonce in the key binding makes up for a
// missing state; without holder binding nothing does (Section 5.3).
func (r *PresentationRequest) validateReturn(prefix, rest string) error {
	allBound := !slices.ContainsFunc(r.Query.Credentials, func(c dcql.Credential) bool { return !c.NeedsHolderBinding() })
	if len(r.State) > maxNonce || r.State != "" && !nonceText.MatchString(r.State) || r.State == "" && !allBound {
		return ErrVPState
	}
	return r.validateURI(prefix, rest)
}

func (r *PresentationRequest) validateURI(prefix, rest string) error {
	u, err := parseURL(r.ResponseURI)
	if err != nil {
		return ErrVPResponseURI.because(err)
	}
	if prefix == PrefixRedirectURI && rest != r.ResponseURI || prefix == PrefixX509SANDNS && u.Hostname() != rest {
		return ErrVPClientURI
	}
	return nil
}

func (r *PresentationRequest) validateMetadata() error {
	if r.Metadata == nil {
		return ErrVPMetadata
	}
	if err := r.Metadata.Validate(); err != nil {
		return err
	}
	if r.IsEncrypted() {
		_, _, err := r.Metadata.Encryption()
		return err
	}
	return nil
}

func (r *PresentationRequest) validateAttached() error {
	if r.TransactionData != nil && len(r.TransactionData) == 0 {
		return ErrVPTransactionData
	}
	for i, encoded := range r.TransactionData {
		d, err := ParseTransactionData(encoded)
		if err != nil {
			return err
		}
		if slices.Contains(r.TransactionData[:i], encoded) || !r.knows(d.CredentialIDs) || !r.bound(d.CredentialIDs) {
			return ErrVPTransactionData
		}
	}
	if r.VerifierInfo != nil && len(r.VerifierInfo) == 0 {
		return ErrVPVerifierInfo
	}
	for _, info := range r.VerifierInfo {
		if info.Format == "" || len(info.Data) == 0 || info.Data[0] != '"' && info.Data[0] != '{' || info.CredentialIDs != nil && len(info.CredentialIDs) == 0 || !r.knows(info.CredentialIDs) {
			return ErrVPVerifierInfo
		}
	}
	return nil
}

func (r *PresentationRequest) knows(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return r.Query.Credential(id) == nil })
}

// bound tells whether every one of the credentials is to prove its holder, who alone can agree to a transaction (Appendix B.3.3).
func (r *PresentationRequest) bound(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !r.Query.Credential(id).NeedsHolderBinding() })
}

// SignPresentationRequest makes a request object (Section 5.4, RFC 9101). header has x5c or kid, as the prefix of the client_id asks:
//
//	header  {"alg": ..., "typ": "oauth-authz-req+jwt", "x5c" or "kid": ...}
//	payload the parameters, "aud": "https://self-issued.me/v2", "iat": ..., "exp": ...
func SignPresentationRequest(key *keys.Private, header keys.Header, r *PresentationRequest, issued, expires time.Time) (string, error) {
	prefix, _, err := SplitClientID(r.ClientID)
	if err != nil {
		return "", err
	}
	if prefix == PrefixRedirectURI {
		return "", ErrVPSigned
	}
	if err := r.Validate(); err != nil {
		return "", err
	}
	return signJWT(key, TypeRequestObject, header, r.signed(issued, expires))
}

// signed is the request with the claims of a signed one.
func (r *PresentationRequest) signed(issued, expires time.Time) requestWire {
	return requestWire{PresentationRequest: *r, Audience: Audience{audienceStatic}, Issued: datePointer(issued), Expires: datePointer(expires)}
}

// UnverifiedPresentationRequest is a request object that was read and not verified.
type UnverifiedPresentationRequest struct {
	token *keys.UnverifiedToken
	plain bool // "alg":"none", and no signature
	wire  *requestWire
}

// ParsePresentationRequest reads a request object.
func ParsePresentationRequest(compact string) (*UnverifiedPresentationRequest, error) {
	token, err := keys.ParseToken(compact)
	if err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	if token.Header().Typ != TypeRequestObject {
		return nil, ErrVPRequestType
	}
	w, err := readRequest(token.UnverifiedPayload())
	if err != nil {
		return nil, err
	}
	return &UnverifiedPresentationRequest{token, token.Header().Alg == "none" && strings.HasSuffix(compact, "."), w}, nil
}

// A RequestError is a request that must not be answered with presentations, of a verifier who can be told so: it signed the request, for this
// wallet and now, and the response_uri is its own.
type RequestError struct {
	Request *VerifiedRequest
	Err     error
}

func (e *RequestError) Error() string { return e.Err.Error() }

func (e *RequestError) Unwrap() error { return e.Err }

// Verify checks that the verifier named by client_id signed the request, for this link, this wallet and now, and then its form. What is wrong with
// the form of a signed request is a [*RequestError].
func (u *UnverifiedPresentationRequest) Verify(want ExpectRequest) (*VerifiedRequest, error) {
	r := &u.wire.PresentationRequest
	if r.ClientID != want.ClientID {
		return nil, ErrVPClientID
	}
	v, err := u.identify(want)
	if err != nil {
		return nil, err
	}
	if err := u.wire.checkFresh(want); err != nil {
		return nil, err
	}
	err = u.wire.validate()
	if _, rest, _ := SplitClientID(r.ClientID); err != nil && !u.plain && r.validateURI(v.Prefix, rest) == nil {
		return nil, &RequestError{v, err}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// checkFresh checks that the request object is for wallets, for this one, and for now.
func (w *requestWire) checkFresh(want ExpectRequest) error {
	switch {
	case len(w.Audience) > 0 && !slices.Contains(w.Audience, audienceStatic):
		return ErrVPRequestAudience
	case newWindow(want.Now, 0, 0).expired(w.Expires, w.NotBefore):
		return ErrVPRequestTime
	case w.WalletNonce != want.WalletNonce:
		return ErrVPWalletNonce
	}
	return nil
}

// ParsePlainRequest reads an unsigned request from the parameters of a link (Section 5.9.3, prefix redirect_uri): objects are JSON in strings.
// Nothing shows who makes it.
func ParsePlainRequest(query url.Values) (*VerifiedRequest, error) {
	prefix, rest, err := SplitClientID(query.Get("client_id"))
	if err != nil {
		return nil, err
	}
	if prefix != PrefixRedirectURI {
		return nil, ErrVPSigned
	}
	members, err := plainMembers(query)
	if err != nil {
		return nil, err
	}
	if _, given := members["response_uri"]; !given {
		members["response_uri"], _ = json.Marshal(rest) // a string always marshals
	}
	payload, err := json.Marshal(members)
	if err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	w, err := readRequest(payload)
	if err != nil {
		return nil, err
	}
	if err := w.validate(); err != nil {
		return nil, err
	}
	return &VerifiedRequest{PresentationRequest: w.PresentationRequest, Prefix: prefix}, nil
}

// plainMembers makes members of the parameters that are known.
func plainMembers(query url.Values) (map[string]json.RawMessage, error) {
	members := make(map[string]json.RawMessage)
	if query.Has("request_uri_method") { // Section 5.1: only with a request_uri
		return nil, ErrVPRequestMalformed
	}
	for name, values := range query {
		switch name {
		case "dcql_query", "client_metadata", "transaction_data", "verifier_info":
			members[name] = json.RawMessage(values[0])
		case "response_type", "response_mode", "client_id", "response_uri", "nonce", "state", "redirect_uri", "scope":
			text, err := json.Marshal(values[0])
			if err != nil {
				return nil, ErrVPRequestMalformed.because(err)
			}
			members[name] = text
		}
	}
	return members, nil
}

// Plain writes an unsigned request as the parameters of a link.
func (r *PresentationRequest) Plain() (url.Values, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if prefix, _, _ := SplitClientID(r.ClientID); prefix != PrefixRedirectURI {
		return nil, ErrVPSigned
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	query := make(url.Values)
	for name, member := range members {
		value := string(member)
		if member[0] == '"' {
			if err := json.Unmarshal(member, &value); err != nil {
				return nil, fmt.Errorf("writing the request: %w", err)
			}
		}
		query.Set(name, value)
	}
	return query, nil
}
