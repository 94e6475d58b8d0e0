package oid4vc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"akashi/internal/keys"
)

// Refusals of authorization and pushed authorization requests.
var (
	ErrResponseType         = refuse(CodeUnsupportedResponseType, "response_type must be code")
	ErrResponseTypeMissing  = refuse(CodeInvalidRequest, "response_type is missing")
	ErrParameterTwice       = refuse(CodeInvalidRequest, "a parameter stands more than once")
	ErrClientID             = refuse(CodeInvalidRequest, "client_id is missing")
	ErrRedirectURI          = refuse(CodeInvalidRequest, "redirect_uri is missing, malformed or not registered for the client")
	ErrCodeChallenge        = refuse(CodeInvalidRequest, "code_challenge with code_challenge_method S256 is needed")
	ErrResponseMode         = refuse(CodeInvalidRequest, "response_mode must be query, or left out")
	ErrRequestURI           = refuse(CodeInvalidRequest, "request_uri must not be pushed")
	ErrRequestObject        = refuse(CodeInvalidRequest, "request objects are not supported")
	ErrParameterLength      = refuse(CodeInvalidRequest, "a parameter is too long")
	ErrDPoPThumbprint       = refuse(CodeInvalidRequest, "dpop_jkt is not a SHA-256 thumbprint")
	ErrAuthorizationDetails = refuse(CodeInvalidAuthorizationDetails, "authorization_details are malformed")
	ErrDetailsLocations     = refuse(CodeInvalidAuthorizationDetails, "locations of authorization_details must be the credential issuer")
	ErrDetailsNotGranted    = refuse(CodeInvalidAuthorizationDetails, "authorization_details ask for a credential that was not granted")
	ErrScope                = refuse(CodeInvalidScope, "scope is malformed, or names no credential of this issuer")
	ErrScopeNotGranted      = refuse(CodeInvalidScope, "scope asks for more than was granted")
)

// TypeOpenIDCredential is the type of authorization details for credentials (OpenID4VCI 1.0, Section 5.1.1).
const TypeOpenIDCredential = "openid_credential"

// AuthorizationRequest is an authorization request (OpenID4VCI 1.0, Section 5.1; RFC 6749, Section 4.1.1), as it is pushed (RFC 9126, Section 2.1).
type AuthorizationRequest struct {
	ClientID      string
	RedirectURI   string
	State         string
	CodeChallenge string // S256 always
	Scope         []string
	Details       []AuthorizationDetail // of type openid_credential; others are refused on reading
	IssuerState   string                // may have been injected by anybody: no reason to trust
	Resource      []string              // RFC 8707
	DPoPJKT       string                // RFC 9449, Section 10
}

// AuthorizationDetail asks for, or in a token response gives, credentials of one configuration (Sections 5.1.1 and 6.2).
type AuthorizationDetail struct {
	Type            string             `json:"type"`
	ConfigurationID string             `json:"credential_configuration_id"`
	Claims          []ClaimDescription `json:"claims,omitempty"`
	Locations       []string           `json:"locations,omitempty"`
	Identifiers     []string           `json:"credential_identifiers,omitempty"` // token response only
}

// repeatable are the parameters that may stand more than once (RFC 8707, Section 2).
var repeatable = []string{"resource"}

// ParseAuthorizationRequest reads the parameters of a request that is pushed or comes to the authorization endpoint. Client and redirect_uri are
// not judged: the server knows them. Unknown parameters are ignored.
func ParseAuthorizationRequest(form url.Values) (*AuthorizationRequest, error) {
	if err := checkParameters(form); err != nil {
		return nil, err
	}
	if form.Has("request_uri") {
		return nil, ErrRequestURI
	}
	if form.Has("request") {
		return nil, ErrRequestObject
	}
	r := &AuthorizationRequest{ClientID: form.Get("client_id"), RedirectURI: form.Get("redirect_uri"), State: form.Get("state"), CodeChallenge: form.Get("code_challenge"),
		IssuerState: form.Get("issuer_state"), Resource: form["resource"], DPoPJKT: form.Get("dpop_jkt")}
	switch {
	case r.ClientID == "":
		return nil, ErrClientID
	case form.Get("response_type") == "":
		return nil, ErrResponseTypeMissing
	case form.Get("response_type") != "code":
		return nil, ErrResponseType
	case form.Get("response_mode") != "" && form.Get("response_mode") != "query":
		return nil, ErrResponseMode
	case CheckRedirectURI(r.RedirectURI) != nil:
		return nil, ErrRedirectURI
	case form.Get("code_challenge_method") != "S256" || !isSHA256(r.CodeChallenge):
		return nil, ErrCodeChallenge
	case r.DPoPJKT != "" && !isSHA256(r.DPoPJKT):
		return nil, ErrDPoPThumbprint
	}
	var err error
	if r.Scope, err = parseScope(form.Get("scope")); err != nil {
		return nil, err
	}
	if r.Details, err = ParseAuthorizationDetails(form.Get("authorization_details")); err != nil {
		return nil, err
	}
	return r, nil
}

// checkParameters refuses a parameter that stands twice (RFC 6749, Section 3.1) and ones longer than any of ours.
func checkParameters(form url.Values) error {
	for name, values := range form {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return ErrParameterTwice
		}
		for _, v := range values {
			if len(v) > maxOfferLink {
				return ErrParameterLength
			}
		}
	}
	return nil
}

// CheckRedirectURI checks the form of a redirect URI (RFC 6749, Section 3.1.2): absolute, without fragment, and of no scheme that a browser
// would run. Private schemes of apps are fine.
func CheckRedirectURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() || len(uri) > maxURL || strings.Contains(uri, "#") || u.User != nil || strings.ContainsAny(uri, " \t\r\n\\\"<>") {
		return fmt.Errorf("%w: redirect_uri must be absolute and have no fragment", ErrIdentifier)
	}
	switch u.Scheme {
	case "javascript", "data", "vbscript", "file", "blob", "about":
		return fmt.Errorf("%w: redirect_uri has a scheme that is not followed", ErrIdentifier)
	case "https":
		_, err = parseURL(uri)
	case "http":
		if !isLoopback(u.Hostname()) {
			return fmt.Errorf("%w: redirect_uri must begin with https://", ErrIdentifier)
		}
	}
	return err
}

// isSHA256 tells whether the text is the base64url of 32 octets.
func isSHA256(text string) bool {
	octets, err := b64.DecodeString(text)
	return err == nil && len(octets) == sha256.Size && len(text) == b64.EncodedLen(sha256.Size)
}

// parseScope reads scope values separated by one space (RFC 6749, Section 3.3).
func parseScope(scope string) ([]string, error) {
	if scope == "" {
		return nil, nil
	}
	values := strings.Split(scope, " ")
	for _, v := range values {
		if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }) {
			return nil, ErrScope
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// ParseAuthorizationDetails reads the parameter (RFC 9396, Section 2) and returns the details of type openid_credential; "" gives none.
func ParseAuthorizationDetails(text string) ([]AuthorizationDetail, error) {
	if text == "" {
		return nil, nil
	}
	_, elements, err := keys.DecodeArray([]byte(text))
	if err != nil {
		return nil, ErrAuthorizationDetails.because(err)
	}
	if len(elements) == 0 {
		return nil, ErrAuthorizationDetails
	}
	var details []AuthorizationDetail
	for _, element := range elements {
		var kind struct {
			Type string `json:"type"`
		}
		if err := keys.DecodeJSON(element, &kind); err != nil {
			return nil, ErrAuthorizationDetails.because(err)
		}
		if kind.Type != TypeOpenIDCredential { // RFC 9396, Section 5: an unknown type must be refused
			return nil, ErrAuthorizationDetails
		}
		var d AuthorizationDetail
		if err := keys.DecodeJSON(element, &d); err != nil {
			return nil, ErrAuthorizationDetails.because(err)
		}
		if err := d.validate(); err != nil {
			return nil, ErrAuthorizationDetails.because(err)
		}
		details = append(details, d)
	}
	return details, nil
}

func (d *AuthorizationDetail) validate() error {
	if d.ConfigurationID == "" {
		return errors.New("credential_configuration_id is missing")
	}
	if d.Claims != nil && len(d.Claims) == 0 {
		return errors.New("claims must not be empty")
	}
	if err := checkNonEmptySet(d.Locations); err != nil {
		return fmt.Errorf("locations: %w", err)
	}
	return checkClaims(d.Claims)
}

// CheckLocations checks that each detail asks for a credential of this issuer. Where the issuer names its authorization servers in its metadata,
// locations must be there (Section 5.1.1).
func CheckLocations(details []AuthorizationDetail, issuer string, required bool) error {
	for _, d := range details {
		if d.Locations == nil && !required {
			continue
		}
		if !slices.Contains(d.Locations, issuer) {
			return ErrDetailsLocations
		}
	}
	return nil
}

// Values writes the request's parameters.
func (r *AuthorizationRequest) Values() (url.Values, error) {
	v := url.Values{"response_type": {"code"}, "client_id": {r.ClientID}, "redirect_uri": {r.RedirectURI}, "code_challenge": {r.CodeChallenge}, "code_challenge_method": {"S256"}}
	for name, value := range map[string]string{"state": r.State, "scope": strings.Join(r.Scope, " "), "issuer_state": r.IssuerState, "dpop_jkt": r.DPoPJKT} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(r.Resource) > 0 {
		v["resource"] = r.Resource
	}
	if len(r.Details) > 0 {
		text, err := json.Marshal(r.Details)
		if err != nil {
			return nil, err
		}
		v.Set("authorization_details", string(text))
	}
	return v, nil
}

// PKCE (RFC 7636), S256 only.

// ErrCodeVerifier is the refusal of a code_verifier that is missing, malformed or not the one of the challenge.
var ErrCodeVerifier = refuse(CodeInvalidGrant, "code_verifier does not fit the code_challenge")

// NewCodeVerifier returns 256 random bits in base64url: 43 characters.
func NewCodeVerifier() string { return randomToken() + randomToken()[:21] }

// CodeChallenge is BASE64URL(SHA-256(ASCII(code_verifier))) (RFC 7636, Section 4.2).
func CodeChallenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return b64.EncodeToString(sum[:])
}

// CheckCodeVerifier checks the verifier of a token request against the challenge of the authorization request.
func CheckCodeVerifier(verifier, challenge string) error {
	unreserved := !strings.ContainsFunc(verifier, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	})
	if len(verifier) < 43 || len(verifier) > 128 || !unreserved {
		return ErrCodeVerifier
	}
	if subtle.ConstantTimeCompare([]byte(CodeChallenge(verifier)), []byte(challenge)) != 1 {
		return ErrCodeVerifier
	}
	return nil
}

// RequestURIPrefix begins the request URIs that a server makes up (RFC 9126, Section 2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// PushedResponse is the answer to a pushed request, with status 201.
type PushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"`
}

// ParsePushedResponse reads the answer to a pushed request.
func ParsePushedResponse(body []byte) (*PushedResponse, error) {
	var r PushedResponse
	if err := keys.DecodeJSON(body, &r); err != nil {
		return nil, fmt.Errorf("pushed authorization response: %w", err)
	}
	if err := checkOpaque("request_uri", r.RequestURI); err != nil || r.ExpiresIn <= 0 {
		return nil, errors.New("pushed authorization response: request_uri and a positive expires_in are needed")
	}
	return &r, nil
}

// Errors of an authorization response, for the client.
var (
	ErrResponseState  = errors.New("authorization response refused: state is not the one sent")
	ErrResponseIssuer = errors.New("authorization response refused: iss is missing or another server's")
	ErrResponseCode   = errors.New("authorization response refused: it must have a code, or an error")
)

// ParseAuthorizationResponse reads what came back to the redirect URI and returns the code. iss is checked against the server's issuer (RFC
// 9207, Section 2.4): it must be there when the server says that it sends it. An error of the server is returned as [ErrorResponse], after the
// same checks.
func ParseAuthorizationResponse(query url.Values, state string, server *ServerMetadata) (code string, err error) {
	for _, values := range query {
		if len(values) != 1 {
			return "", ErrResponseCode
		}
	}
	if state == "" || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 {
		return "", ErrResponseState
	}
	if (query.Has("iss") || server.IssParameterSupported) && query.Get("iss") != server.Issuer {
		return "", ErrResponseIssuer
	}
	code, failed := query.Get("code"), query.Get("error")
	if (code == "") == (failed == "") || len(code) > maxOpaque {
		return "", ErrResponseCode
	}
	if failed != "" {
		return "", &ErrorResponse{Code: failed, Description: query.Get("error_description")}
	}
	return code, nil
}

// RedirectTo writes an authorization response: parameters added to the redirect URI, which keeps its own query.
func RedirectTo(redirectURI string, parameters url.Values) (string, error) {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return "", ErrRedirectURI
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += parameters.Encode()
	return u.String(), nil
}
