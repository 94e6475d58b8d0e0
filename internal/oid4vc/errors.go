package oid4vc

import (
	"errors"
	"fmt"
	"net/http"

	"akashi/internal/keys"
)

// Error codes of the standards: OAuth 2.0 (RFC 6749, Sections 4.1.2.1 and 5.2), RFC 6750, RFC 9126, RFC 9396, RFC 9449, attestation-based client
// authentication, and OpenID4VCI 1.0 (Sections 8.3.1, 9.3 and 11.3).
const (
	CodeInvalidRequest              = "invalid_request"
	CodeInvalidClient               = "invalid_client"
	CodeInvalidGrant                = "invalid_grant"
	CodeInvalidScope                = "invalid_scope"
	CodeInvalidToken                = "invalid_token"
	CodeInsufficientScope           = "insufficient_scope"
	CodeUnauthorizedClient          = "unauthorized_client"
	CodeUnsupportedGrantType        = "unsupported_grant_type"
	CodeUnsupportedResponseType     = "unsupported_response_type"
	CodeAccessDenied                = "access_denied"
	CodeServerError                 = "server_error"
	CodeTemporarilyUnavailable      = "temporarily_unavailable"
	CodeInvalidAuthorizationDetails = "invalid_authorization_details"
	CodeInvalidDPoPProof            = "invalid_dpop_proof"
	CodeUseDPoPNonce                = "use_dpop_nonce"
	CodeUseAttestationChallenge     = "use_attestation_challenge"
	CodeUseFreshAttestation         = "use_fresh_attestation"

	CodeInvalidCredentialRequest       = "invalid_credential_request"
	CodeUnknownCredentialConfiguration = "unknown_credential_configuration"
	CodeUnknownCredentialIdentifier    = "unknown_credential_identifier"
	CodeInvalidProof                   = "invalid_proof"
	CodeInvalidNonce                   = "invalid_nonce"
	CodeInvalidEncryptionParameters    = "invalid_encryption_parameters"
	CodeCredentialRequestDenied        = "credential_request_denied"
	CodeInvalidTransactionID           = "invalid_transaction_id"
	CodeInvalidNotificationID          = "invalid_notification_id"
	CodeInvalidNotificationRequest     = "invalid_notification_request"
)

// A Refusal is one broken rule of a request, with what the standard says to answer. The variables of this package named Err... that a server
// answers with are refusals; compare with errors.Is, and find the answer with errors.As or [RefusalOf].
type Refusal struct {
	Code        string // one of the codes above
	Status      int    // of the answer where the endpoint's own standard names no other
	Description string // for error_description: ASCII without quotes and backslashes, the same for every request
}

func refuse(code, description string) *Refusal {
	status := http.StatusBadRequest
	if code == CodeInvalidClient || code == CodeInvalidToken {
		status = http.StatusUnauthorized
	}
	if code == CodeInsufficientScope {
		status = http.StatusForbidden
	}
	return &Refusal{Code: code, Status: status, Description: description}
}

// Error is the description.
func (r *Refusal) Error() string { return r.Description }

// OAuthError returns what to answer; web.WriteOAuthError asks for it.
func (r *Refusal) OAuthError() (status int, code, description string) {
	return r.Status, r.Code, r.Description
}

// RefusalOf finds the refusal in an error, nil if there is none.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// because joins the refusal with the detail that goes to the log: what the token or key reader found. No such detail quotes a value.
func (r *Refusal) because(err error) error { return fmt.Errorf("%w: %w", r, err) }

// Refusals that no single check of this package makes, for servers to answer with.
var (
	ErrInvalidRequest           = refuse(CodeInvalidRequest, "the request is malformed")
	ErrInvalidClient            = refuse(CodeInvalidClient, "client authentication failed")
	ErrInvalidGrant             = refuse(CodeInvalidGrant, "the code or refresh token is unknown, expired or used, or belongs to another client")
	ErrInvalidToken             = refuse(CodeInvalidToken, "the access token is unknown, expired or revoked")
	ErrInsufficientScope        = refuse(CodeInsufficientScope, "the access token does not allow this")
	ErrUnauthorizedClient       = refuse(CodeUnauthorizedClient, "the client may not use this grant")
	ErrAccessDenied             = refuse(CodeAccessDenied, "the request was refused by the person asked")
	ErrUnknownConfiguration     = refuse(CodeUnknownCredentialConfiguration, "this issuer has no such credential configuration")
	ErrUnknownIdentifier        = refuse(CodeUnknownCredentialIdentifier, "the access token gives no such credential identifier")
	ErrCredentialRequestDenied  = refuse(CodeCredentialRequestDenied, "the credential will not be issued")
	ErrInvalidTransactionID     = refuse(CodeInvalidTransactionID, "the transaction is unknown or its credentials were collected")
	ErrInvalidNotificationID    = refuse(CodeInvalidNotificationID, "the notification_id is unknown")
	ErrUseAttestationChallenge  = refuse(CodeUseAttestationChallenge, "the client attestation needs a challenge of this server")
	ErrUseDPoPNonce             = refuse(CodeUseDPoPNonce, "the DPoP proof needs a nonce of this server")
	ErrInvalidNonce             = refuse(CodeInvalidNonce, "the nonce of a key proof is unknown, used or too old: ask the nonce endpoint for another")
	ErrReplayedDPoP             = refuse(CodeInvalidDPoPProof, "the DPoP proof was used before")
	ErrReplayedClientAssertion  = refuse(CodeInvalidClient, "the client assertion or attestation proof was used before")
	ErrTxCodeMissing            = refuse(CodeInvalidRequest, "this pre-authorized code needs a tx_code")
	ErrTxCodeUnexpected         = refuse(CodeInvalidRequest, "this pre-authorized code takes no tx_code")
	ErrTxCodeWrong              = refuse(CodeInvalidGrant, "the tx_code is wrong")
	ErrAnonymousClient          = refuse(CodeInvalidClient, "this server does not serve clients without client_id")
	ErrEncryptionRequired       = refuse(CodeInvalidEncryptionParameters, "this issuer answers encrypted only: send an encrypted request with credential_response_encryption")
	ErrRequestEncryptionMissing = refuse(CodeInvalidEncryptionParameters, "this request must be encrypted")
)

// ErrorResponse is an error answer of a server (RFC 6749, Section 5.2), as a client reads it. It is an error itself.
type ErrorResponse struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	URI         string `json:"error_uri,omitempty"`
	Status      int    `json:"-"` // HTTP status, 0 for one that came by redirect
}

// Error names the code and the server's own words, made safe to print.
func (e *ErrorResponse) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the server answered with status %d and no error code", e.Status)
	}
	if e.Description == "" {
		return fmt.Sprintf("the server answered %s", printable(e.Code))
	}
	return fmt.Sprintf("the server answered %s: %s", printable(e.Code), printable(e.Description))
}

// ParseErrorResponse reads the body of an answer with an error status. A body of another form gives an ErrorResponse without code.
func ParseErrorResponse(status int, body []byte) *ErrorResponse {
	var e ErrorResponse
	if err := keys.DecodeJSON(body, &e); err != nil || e.Code == "" {
		return &ErrorResponse{Status: status}
	}
	e.Status = status
	return &e
}

// printable keeps what RFC 6749, Section 5.2 allows in error texts, and bounds the length: it goes to a terminal.
func printable(s string) string {
	const limit = 300
	out := make([]rune, 0, min(len(s), limit))
	for _, r := range s {
		if len(out) == limit {
			break
		}
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
