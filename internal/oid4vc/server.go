package oid4vc

import (
	"errors"
	"fmt"
	"slices"

	"akashi/internal/keys"
)

// ServerMetadata is authorization server metadata (RFC 8414, Section 2) with the members of RFC 9126, 9207, 9396, 9449, of attestation-based
// client authentication and of OpenID4VCI 1.0 (Section 12.3). Unknown members are dropped on reading.
type ServerMetadata struct {
	Issuer                        string   `json:"issuer"`
	AuthorizationEndpoint         string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                 string   `json:"token_endpoint,omitempty"`
	PushedEndpoint                string   `json:"pushed_authorization_request_endpoint,omitempty"`
	RequirePushed                 bool     `json:"require_pushed_authorization_requests,omitempty"`
	JWKSURI                       string   `json:"jwks_uri,omitempty"`
	ScopesSupported               []string `json:"scopes_supported,omitempty"`
	ResponseTypesSupported        []string `json:"response_types_supported,omitempty"`
	ResponseModesSupported        []string `json:"response_modes_supported,omitempty"`
	GrantTypesSupported           []string `json:"grant_types_supported,omitempty"`
	CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported,omitempty"`
	TokenAuthMethodsSupported     []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	TokenAuthAlgsSupported        []string `json:"token_endpoint_auth_signing_alg_values_supported,omitempty"`
	DPoPAlgsSupported             []string `json:"dpop_signing_alg_values_supported,omitempty"`
	IssParameterSupported         bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	DetailsTypesSupported         []string `json:"authorization_details_types_supported,omitempty"`
	ChallengeEndpoint             string   `json:"challenge_endpoint,omitempty"`
	AttestationAlgsSupported      []string `json:"client_attestation_signing_alg_values_supported,omitempty"`
	AttestationPoPAlgsSupported   []string `json:"client_attestation_pop_signing_alg_values_supported,omitempty"`
	AnonymousPreAuthorized        bool     `json:"pre-authorized_grant_anonymous_access_supported,omitempty"`
	StatusAggregation             string   `json:"status_list_aggregation_endpoint,omitempty"`
}

// Client authentication methods (OAuth Token Endpoint Authentication Methods registry).
const (
	AuthNone            = "none"
	AuthPrivateKeyJWT   = "private_key_jwt"
	AuthAttestation     = "attest_jwt_client_auth"
	AuthAttestationDPoP = "attest_jwt_client_auth_dpop" // draft -10: the DPoP proof is the proof of possession
)

// Grant types.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantPreAuthorizedCode = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
	GrantRefreshToken      = "refresh_token"
)

// ParseServerMetadata reads the metadata of the authorization server that it was asked for and validates it.
func ParseServerMetadata(data []byte, issuer string) (*ServerMetadata, error) {
	var m ServerMetadata
	if err := decodeMetadata(data, &m); err != nil {
		return nil, err
	}
	return &m, m.Validate(issuer)
}

// Validate checks the metadata by RFC 8414, Sections 2 and 3.3, for the grants that it names.
func (m *ServerMetadata) Validate(issuer string) error {
	if m.Issuer != issuer {
		return ErrMetadataIssuer
	}
	if err := CheckIdentifier(issuer); err != nil {
		return fmt.Errorf("%w: issuer: %w", ErrMetadata, err)
	}
	endpoints := map[string]string{"authorization_endpoint": m.AuthorizationEndpoint, "token_endpoint": m.TokenEndpoint, "pushed_authorization_request_endpoint": m.PushedEndpoint,
		"jwks_uri": m.JWKSURI, "challenge_endpoint": m.ChallengeEndpoint, "status_list_aggregation_endpoint": m.StatusAggregation}
	if err := checkEndpoints(endpoints); err != nil {
		return err
	}
	for name, values := range map[string][]string{"scopes_supported": m.ScopesSupported, "response_types_supported": m.ResponseTypesSupported,
		"grant_types_supported": m.GrantTypesSupported, "code_challenge_methods_supported": m.CodeChallengeMethodsSupported,
		"token_endpoint_auth_methods_supported": m.TokenAuthMethodsSupported, "dpop_signing_alg_values_supported": m.DPoPAlgsSupported,
		"authorization_details_types_supported":               m.DetailsTypesSupported,
		"client_attestation_signing_alg_values_supported":     m.AttestationAlgsSupported,
		"client_attestation_pop_signing_alg_values_supported": m.AttestationPoPAlgsSupported} {
		if err := checkNonEmptySet(values); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrMetadata, name, err)
		}
	}
	if m.TokenEndpoint == "" {
		return fmt.Errorf("%w: token_endpoint is missing", ErrMetadata)
	}
	if m.RequirePushed && m.PushedEndpoint == "" {
		return fmt.Errorf("%w: pushed requests are required and there is no endpoint for them", ErrMetadata)
	}
	return nil
}

// Supports tells whether the server names the grant; without a list it is the default of RFC 8414, authorization_code and implicit.
func (m *ServerMetadata) Supports(grant string) bool {
	if m.GrantTypesSupported == nil {
		return grant == GrantAuthorizationCode
	}
	return slices.Contains(m.GrantTypesSupported, grant)
}

// JWTVCIssuerMetadata tells the keys of an issuer of SD-JWT VCs (SD-JWT VC, Section 4): by value or by reference, exactly one.
type JWTVCIssuerMetadata struct {
	Issuer  string  `json:"issuer"`
	JWKS    *KeySet `json:"jwks,omitempty"`
	JWKSURI string  `json:"jwks_uri,omitempty"`
}

// ParseJWTVCIssuerMetadata reads the metadata of the issuer named in the "iss" claim.
func ParseJWTVCIssuerMetadata(data []byte, iss string) (*JWTVCIssuerMetadata, error) {
	var m JWTVCIssuerMetadata
	if err := decodeMetadata(data, &m); err != nil {
		return nil, err
	}
	return &m, m.Validate(iss)
}

// Validate checks the metadata by Section 4.2 of SD-JWT VC.
func (m *JWTVCIssuerMetadata) Validate(iss string) error {
	if m.Issuer != iss {
		return ErrMetadataIssuer
	}
	if err := CheckIdentifier(iss); err != nil {
		return fmt.Errorf("%w: issuer: %w", ErrMetadata, err)
	}
	if (m.JWKS != nil) == (m.JWKSURI != "") {
		return fmt.Errorf("%w: it must have jwks or jwks_uri, and not both", ErrMetadata)
	}
	if m.JWKS != nil && len(m.JWKS.Keys) == 0 {
		return fmt.Errorf("%w: jwks is empty", ErrMetadata)
	}
	return checkEndpoints(map[string]string{"jwks_uri": m.JWKSURI})
}

// NonceResponse is the answer of the nonce endpoint (OpenID4VCI 1.0, Section 7.2).
type NonceResponse struct {
	Nonce string `json:"c_nonce"`
}

// ParseNonceResponse reads the answer of a nonce endpoint.
func ParseNonceResponse(body []byte) (string, error) {
	var r NonceResponse
	if err := keys.DecodeJSON(body, &r); err != nil {
		return "", fmt.Errorf("nonce response: %w", err)
	}
	return r.Nonce, checkOpaque("c_nonce", r.Nonce)
}

// ChallengeResponse is the answer of the challenge endpoint of attestation-based client authentication.
type ChallengeResponse struct {
	Challenge string `json:"attestation_challenge"`
}

// ParseChallengeResponse reads the answer of a challenge endpoint.
func ParseChallengeResponse(body []byte) (string, error) {
	var r ChallengeResponse
	if err := keys.DecodeJSON(body, &r); err != nil {
		return "", fmt.Errorf("challenge response: %w", err)
	}
	return r.Challenge, checkOpaque("attestation_challenge", r.Challenge)
}

// maxOpaque bounds values that one side makes up and the other hands back.
const maxOpaque = 4096

func checkOpaque(name, value string) error {
	if value == "" || len(value) > maxOpaque {
		return errors.New(name + " is missing or too long")
	}
	return nil
}
