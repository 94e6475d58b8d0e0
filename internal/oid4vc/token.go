package oid4vc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"akashi/internal/keys"
)

// Refusals of token requests.
var (
	ErrGrantType      = refuse(CodeUnsupportedGrantType, "grant_type is not supported")
	ErrTokenParameter = refuse(CodeInvalidRequest, "grant_type or a parameter of the grant is missing, or one of another grant is there")
)

// TokenRequest is a token request (RFC 6749, Sections 4.1.3 and 6; OpenID4VCI 1.0, Section 6.1).
type TokenRequest struct {
	GrantType         string
	ClientID          string // may be absent with a pre-authorized code, and where the client authenticates
	Code              string
	RedirectURI       string
	CodeVerifier      string
	PreAuthorizedCode string
	TxCode            string
	RefreshToken      string
	Scope             []string
	Details           []AuthorizationDetail
	Resource          []string
}

// ParseTokenRequest reads a token request: each grant has its own parameters and takes none of another. Unknown parameters are ignored.
func ParseTokenRequest(form url.Values) (*TokenRequest, error) {
	if err := checkParameters(form); err != nil {
		return nil, err
	}
	r := &TokenRequest{GrantType: form.Get("grant_type"), ClientID: form.Get("client_id"), Code: form.Get("code"), RedirectURI: form.Get("redirect_uri"), CodeVerifier: form.Get("code_verifier"),
		PreAuthorizedCode: form.Get("pre-authorized_code"), TxCode: form.Get("tx_code"), RefreshToken: form.Get("refresh_token"), Resource: form["resource"]}
	ok := false
	switch r.GrantType {
	case GrantAuthorizationCode:
		ok = r.Code != "" && r.RedirectURI != "" && r.PreAuthorizedCode == "" && r.RefreshToken == "" && r.TxCode == ""
	case GrantPreAuthorizedCode:
		ok = r.PreAuthorizedCode != "" && r.Code == "" && r.RefreshToken == ""
	case GrantRefreshToken:
		ok = r.RefreshToken != "" && r.Code == "" && r.PreAuthorizedCode == "" && r.TxCode == ""
	case "":
	default:
		return nil, ErrGrantType
	}
	if !ok {
		return nil, ErrTokenParameter
	}
	var err error
	if r.Scope, err = parseScope(form.Get("scope")); err != nil {
		return nil, err
	}
	r.Details, err = ParseAuthorizationDetails(form.Get("authorization_details"))
	return r, err
}

// Values writes the request's parameters.
func (r *TokenRequest) Values() (url.Values, error) {
	v := url.Values{}
	if len(r.Details) > 0 {
		details, err := (&AuthorizationRequest{Details: r.Details}).Values()
		if err != nil {
			return nil, err
		}
		v["authorization_details"] = details["authorization_details"]
	}
	for name, value := range map[string]string{"grant_type": r.GrantType, "client_id": r.ClientID, "code": r.Code, "redirect_uri": r.RedirectURI, "code_verifier": r.CodeVerifier,
		"pre-authorized_code": r.PreAuthorizedCode, "tx_code": r.TxCode, "refresh_token": r.RefreshToken, "scope": strings.Join(r.Scope, " ")} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(r.Resource) > 0 {
		v["resource"] = r.Resource
	}
	return v, nil
}

// Token types (RFC 6750, RFC 9449), compared without regard to case.
const (
	TokenBearer = "Bearer"
	TokenDPoP   = "DPoP"
)

// TokenResponse is a successful answer (RFC 6749, Section 5.1; OpenID4VCI 1.0, Section 6.2). It is sent with Cache-Control: no-store.
type TokenResponse struct {
	AccessToken  string                `json:"access_token"`
	TokenType    string                `json:"token_type"`
	ExpiresIn    int                   `json:"expires_in,omitempty"`
	RefreshToken string                `json:"refresh_token,omitempty"`
	Scope        string                `json:"scope,omitempty"`
	Details      []AuthorizationDetail `json:"authorization_details,omitempty"`
}

// ErrTokenResponse is returned for a token response that is not of the standard's form.
var ErrTokenResponse = errors.New("token response refused")

// ParseTokenResponse reads a token response. detailsAsked tells whether authorization_details were used in one of the requests: then they must
// come back, each with credential_identifiers.
func ParseTokenResponse(body []byte, detailsAsked bool) (*TokenResponse, error) {
	var r TokenResponse
	if err := keys.DecodeJSON(body, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenResponse, err)
	}
	if err := checkOpaque("access_token", r.AccessToken); err != nil || strings.ContainsFunc(r.AccessToken, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, fmt.Errorf("%w: access_token is missing or has characters that no header takes", ErrTokenResponse)
	}
	if !strings.EqualFold(r.TokenType, TokenBearer) && !strings.EqualFold(r.TokenType, TokenDPoP) {
		return nil, fmt.Errorf("%w: token_type must be DPoP or Bearer", ErrTokenResponse)
	}
	if r.ExpiresIn < 0 || len(r.RefreshToken) > maxOpaque {
		return nil, fmt.Errorf("%w: expires_in or refresh_token is out of bounds", ErrTokenResponse)
	}
	if detailsAsked && len(r.Details) == 0 {
		return nil, fmt.Errorf("%w: authorization_details are missing", ErrTokenResponse)
	}
	for _, d := range r.Details {
		if d.Type != TypeOpenIDCredential {
			continue
		}
		if d.ConfigurationID == "" || len(d.Identifiers) == 0 || checkNonEmptySet(d.Identifiers) != nil {
			return nil, fmt.Errorf("%w: authorization_details must have credential_configuration_id and credential_identifiers", ErrTokenResponse)
		}
	}
	return &r, nil
}

// IsDPoP tells whether the token is bound to a DPoP key.
func (r *TokenResponse) IsDPoP() bool { return strings.EqualFold(r.TokenType, TokenDPoP) }

// Authorization returns the header field to send with the token.
func (r *TokenResponse) Authorization() string {
	if r.IsDPoP() {
		return TokenDPoP + " " + r.AccessToken
	}
	return TokenBearer + " " + r.AccessToken
}

// Refusals at protected resources (RFC 6750, Section 3; RFC 9449, Section 7.1). ErrNoToken is answered with 401 and a challenge without error code.
var (
	ErrNoToken             = &Refusal{Code: CodeInvalidToken, Status: http.StatusUnauthorized, Description: "an access token is needed in the Authorization header"}
	ErrBoundToken          = refuse(CodeInvalidToken, "the access token is bound to a key: use the DPoP scheme with a proof")
	ErrUnboundToken        = refuse(CodeInvalidToken, "the access token is not bound to a key: use the Bearer scheme")
	ErrAuthorizationHeader = refuse(CodeInvalidRequest, "the request has more than one Authorization header, or a malformed one")
)

// AccessToken reads the Authorization header of a request to a protected resource. The scheme comes back as [TokenBearer] or [TokenDPoP].
// Tokens in the body or the query are not looked at.
func AccessToken(header http.Header) (scheme, token string, err error) {
	fields := header.Values("Authorization")
	if len(fields) == 0 {
		return "", "", ErrNoToken
	}
	scheme, token, found := strings.Cut(fields[0], " ")
	if len(fields) > 1 || !found || token == "" || len(token) > maxOpaque || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "", "", ErrAuthorizationHeader
	}
	for _, known := range []string{TokenBearer, TokenDPoP} {
		if strings.EqualFold(scheme, known) {
			return known, token, nil
		}
	}
	return "", "", ErrNoToken
}
