package oid4vc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"akashi/internal/keys"
)

// Refusals of credential, deferred and notification requests.
var (
	ErrCredentialRequest   = refuse(CodeInvalidCredentialRequest, "the credential request is malformed")
	ErrCredentialWhich     = refuse(CodeInvalidCredentialRequest, "there must be exactly one of credential_configuration_id and credential_identifier")
	ErrIdentifierExpected  = refuse(CodeInvalidCredentialRequest, "the token response gave credential_identifiers: credential_identifier must be used")
	ErrIdentifierUnasked   = refuse(CodeInvalidCredentialRequest, "the token response gave no credential_identifiers: credential_configuration_id must be used")
	ErrProofsMalformed     = refuse(CodeInvalidProof, "proofs must have exactly one proof type with a non-empty array")
	ErrDeferredRequest     = refuse(CodeInvalidCredentialRequest, "transaction_id is missing")
	ErrNotificationRequest = refuse(CodeInvalidNotificationRequest, "the notification must have notification_id and a known event")
)

// CredentialRequest is a credential request (OpenID4VCI 1.0, Section 8.2). There is no "format" and no single "proof" in it.
type CredentialRequest struct {
	Identifier         string              `json:"credential_identifier,omitempty"`
	ConfigurationID    string              `json:"credential_configuration_id,omitempty"`
	Proofs             *Proofs             `json:"proofs,omitempty"`
	ResponseEncryption *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// ParseCredentialRequest reads a credential request. Unknown members are ignored.
func ParseCredentialRequest(body []byte) (*CredentialRequest, error) {
	members, texts, err := keys.DecodeObject(body)
	if err != nil {
		return nil, ErrCredentialRequest.because(err)
	}
	m := &claimReader{claims: members}
	r := &CredentialRequest{Identifier: m.text("credential_identifier"), ConfigurationID: m.text("credential_configuration_id")}
	if m.wrong != nil {
		return nil, ErrCredentialRequest.because(m.wrong)
	}
	if m.has("credential_identifier") == m.has("credential_configuration_id") {
		return nil, ErrCredentialWhich
	}
	if r.Identifier == "" && r.ConfigurationID == "" || len(r.Identifier)+len(r.ConfigurationID) > maxOpaque {
		return nil, ErrCredentialWhich
	}
	if proofs, ok := members["proofs"]; ok {
		r.Proofs = new(Proofs)
		if err := r.Proofs.read(proofs); err != nil {
			return nil, ErrProofsMalformed.because(err)
		}
	}
	r.ResponseEncryption, err = parseResponseEncryption(texts["credential_response_encryption"])
	return r, err
}

// CheckIdentified checks the request against what the token response gave (Section 8.2): identifiers, or none where a scope was used alone.
func (r *CredentialRequest) CheckIdentified(identifiersGiven bool) error {
	if identifiersGiven && r.Identifier == "" {
		return ErrIdentifierExpected
	}
	if !identifiersGiven && r.Identifier != "" {
		return ErrIdentifierUnasked
	}
	return nil
}

// decodeObject is [keys.DecodeJSON] for a JSON object, which null is not.
func decodeObject(data []byte, v any) error {
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return errors.New("not an object")
	}
	return keys.DecodeJSON(data, v)
}

// DeferredRequest asks for credentials that were not ready (Section 9.1). The encryption parameters of this request count, not those of the first.
type DeferredRequest struct {
	TransactionID      string              `json:"transaction_id"`
	ResponseEncryption *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// ParseDeferredRequest reads a deferred credential request. Unknown members are ignored.
func ParseDeferredRequest(body []byte) (*DeferredRequest, error) {
	var raw struct {
		TransactionID string          `json:"transaction_id"`
		Encryption    json.RawMessage `json:"credential_response_encryption"`
	}
	if err := decodeObject(body, &raw); err != nil {
		return nil, ErrCredentialRequest.because(err)
	}
	if err := checkOpaque("transaction_id", raw.TransactionID); err != nil {
		return nil, ErrDeferredRequest
	}
	encryption, err := parseResponseEncryption(raw.Encryption)
	return &DeferredRequest{TransactionID: raw.TransactionID, ResponseEncryption: encryption}, err
}

// CredentialResponse is the answer of the credential and of the deferred credential endpoint (Sections 8.3 and 9.2): credentials with status 200, or a
// transaction with status 202.
type CredentialResponse struct {
	Credentials    []IssuedCredential `json:"credentials,omitempty"`
	NotificationID string             `json:"notification_id,omitempty"`
	TransactionID  string             `json:"transaction_id,omitempty"`
	Interval       int                `json:"interval,omitempty"` // seconds
}

// IssuedCredential is one credential; what it is depends on the format: a string, such as an SD-JWT, or an object.
type IssuedCredential struct {
	Credential any `json:"credential"`
}

// TextCredential is a credential that is a string, such as an SD-JWT.
func TextCredential(compact string) IssuedCredential { return IssuedCredential{compact} }

// Text returns a credential that is a string.
func (c IssuedCredential) Text() (string, error) {
	s, ok := c.Credential.(string)
	if !ok || s == "" {
		return "", fmt.Errorf("%w: the credential is not a string", ErrCredentialResponse)
	}
	return s, nil
}

// ErrCredentialResponse is returned for a credential response that is not of the standard's form.
var ErrCredentialResponse = errors.New("credential response refused")

// Status is the HTTP status that goes with the response.
func (r *CredentialResponse) Status() int {
	if r.TransactionID != "" {
		return http.StatusAccepted
	}
	return http.StatusOK
}

// ParseCredentialResponse reads the answer to a credential request for that many keys, 0 for a credential without key.
func ParseCredentialResponse(status int, body []byte, keyCount int) (*CredentialResponse, error) {
	m, err := readClaims(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentialResponse, err)
	}
	r := &CredentialResponse{NotificationID: m.text("notification_id"), TransactionID: m.text("transaction_id")}
	if seconds, err := m.number("interval").Float64(); err == nil { // not necessarily a whole one
		r.Interval = int(math.Ceil(min(max(seconds, 0), maxInterval)))
	}
	for _, v := range m.array("credentials") {
		c, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%w: credentials must be objects", ErrCredentialResponse)
		}
		r.Credentials = append(r.Credentials, IssuedCredential{c["credential"]})
	}
	if m.wrong != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentialResponse, m.wrong)
	}
	return r, r.check(status, keyCount)
}

// maxInterval bounds how long an issuer can make a wallet wait: a year.
const maxInterval = 365 * 24 * 60 * 60

func (r *CredentialResponse) check(status, keyCount int) error {
	switch {
	case (len(r.Credentials) > 0) == (r.TransactionID != ""):
		return fmt.Errorf("%w: it must have credentials or transaction_id, and not both", ErrCredentialResponse)
	case r.TransactionID != "" && (status != http.StatusAccepted || r.Interval <= 0 || r.NotificationID != ""):
		return fmt.Errorf("%w: a deferred answer has status 202, a positive interval and no notification_id", ErrCredentialResponse)
	case r.TransactionID == "" && status != http.StatusOK:
		return fmt.Errorf("%w: credentials come with status 200", ErrCredentialResponse)
	case len(r.Credentials) > max(1, keyCount):
		return fmt.Errorf("%w: there are more credentials than keys", ErrCredentialResponse)
	case len(r.TransactionID) > maxOpaque || len(r.NotificationID) > maxOpaque:
		return fmt.Errorf("%w: an identifier is too long", ErrCredentialResponse)
	}
	for _, c := range r.Credentials {
		_, isText := c.Credential.(string)
		_, isObject := c.Credential.(map[string]any)
		if !isText && !isObject {
			return fmt.Errorf("%w: a credential is neither a string nor an object", ErrCredentialResponse)
		}
	}
	return nil
}

// Events of notifications (Section 11.1).
const (
	EventAccepted = "credential_accepted"
	EventFailure  = "credential_failure"
	EventDeleted  = "credential_deleted"
)

// NotificationRequest tells an issuer what became of the credentials of one response.
type NotificationRequest struct {
	NotificationID string `json:"notification_id"`
	Event          string `json:"event"`
	Description    string `json:"event_description,omitempty"`
}

// ParseNotificationRequest reads a notification. Unknown members are ignored.
func ParseNotificationRequest(body []byte) (*NotificationRequest, error) {
	var r NotificationRequest
	if err := decodeObject(body, &r); err != nil {
		return nil, ErrNotificationRequest.because(err)
	}
	if checkOpaque("notification_id", r.NotificationID) != nil || len(r.Description) > maxOpaque || strings.ContainsFunc(r.Description, notDescriptive) {
		return nil, ErrNotificationRequest
	}
	switch r.Event {
	case EventAccepted, EventFailure, EventDeleted:
		return &r, nil
	}
	return nil, ErrNotificationRequest
}

// notDescriptive tells which characters must not stand in descriptions (Sections 8.3.1.2 and 11.1).
func notDescriptive(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }
