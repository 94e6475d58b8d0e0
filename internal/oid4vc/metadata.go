package oid4vc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"akashi/internal/keys"
)

// Errors of reading metadata.
var (
	ErrMetadata          = errors.New("metadata refused")
	ErrMetadataIssuer    = errors.New("metadata is of another issuer than the one asked for")
	ErrMetadataSignature = errors.New("signed metadata refused")
)

// IssuerMetadata is credential issuer metadata (OpenID4VCI 1.0, Section 12.2.4). Unknown members are dropped on reading.
type IssuerMetadata struct {
	CredentialIssuer     string                             `json:"credential_issuer"`
	AuthorizationServers []string                           `json:"authorization_servers,omitempty"`
	CredentialEndpoint   string                             `json:"credential_endpoint"`
	NonceEndpoint        string                             `json:"nonce_endpoint,omitempty"`
	DeferredEndpoint     string                             `json:"deferred_credential_endpoint,omitempty"`
	NotificationEndpoint string                             `json:"notification_endpoint,omitempty"`
	RequestEncryption    *RequestEncryptionMetadata         `json:"credential_request_encryption,omitempty"`
	ResponseEncryption   *ResponseEncryptionMetadata        `json:"credential_response_encryption,omitempty"`
	Batch                *BatchMetadata                     `json:"batch_credential_issuance,omitempty"`
	Display              []Display                          `json:"display,omitempty"`
	StatusAggregation    string                             `json:"status_list_aggregation_endpoint,omitempty"` // Token Status List, Section 9
	Configurations       map[string]CredentialConfiguration `json:"credential_configurations_supported"`
}

// RequestEncryptionMetadata says how requests may be encrypted.
type RequestEncryptionMetadata struct {
	JWKS     KeySet   `json:"jwks"`
	Enc      []string `json:"enc_values_supported"`
	Zip      []string `json:"zip_values_supported,omitempty"`
	Required bool     `json:"encryption_required"`
}

// ResponseEncryptionMetadata says how responses can be encrypted.
type ResponseEncryptionMetadata struct {
	Alg      []string `json:"alg_values_supported"`
	Enc      []string `json:"enc_values_supported"`
	Zip      []string `json:"zip_values_supported,omitempty"`
	Required bool     `json:"encryption_required"`
}

// BatchMetadata says that more than one credential can be had in one request.
type BatchMetadata struct {
	BatchSize int `json:"batch_size"`
}

// Display is the name of an issuer, a credential or a claim in one language.
type Display struct {
	Name            string `json:"name,omitempty"`
	Locale          string `json:"locale,omitempty"`
	Logo            *Logo  `json:"logo,omitempty"`
	Description     string `json:"description,omitempty"`
	BackgroundColor string `json:"background_color,omitempty"`
	BackgroundImage *Logo  `json:"background_image,omitempty"`
	TextColor       string `json:"text_color,omitempty"`
}

// Logo is an image by reference.
type Logo struct {
	URI     string `json:"uri"`
	AltText string `json:"alt_text,omitempty"`
}

// CredentialConfiguration describes one kind of credential that an issuer offers. The members after Metadata belong to formats (Appendix A).
type CredentialConfiguration struct {
	Format         string                     `json:"format"`
	Scope          string                     `json:"scope,omitempty"`
	SigningAlgs    []any                      `json:"credential_signing_alg_values_supported,omitempty"` // names; for mdoc numbers
	BindingMethods []string                   `json:"cryptographic_binding_methods_supported,omitempty"`
	ProofTypes     map[string]ProofTypeConfig `json:"proof_types_supported,omitempty"`
	Metadata       *CredentialMetadata        `json:"credential_metadata,omitempty"`
	VCT            string                     `json:"vct,omitempty"`                   // dc+sd-jwt
	Doctype        string                     `json:"doctype,omitempty"`               // mso_mdoc
	Definition     json.RawMessage            `json:"credential_definition,omitempty"` // W3C formats
}

// ProofTypeConfig says how a proof type is used. KeyAttestations is nil where none is wanted; with neither level any attestation will do.
type ProofTypeConfig struct {
	SigningAlgs     []string                 `json:"proof_signing_alg_values_supported"`
	KeyAttestations *KeyAttestationsRequired `json:"key_attestations_required,omitempty"`
}

// KeyAttestationsRequired lists the acceptable levels (Appendix D.2); one of each list that is there must be met.
type KeyAttestationsRequired struct {
	KeyStorage         []string `json:"key_storage,omitempty"`
	UserAuthentication []string `json:"user_authentication,omitempty"`
}

// CredentialMetadata is how a credential is shown. In 1.0 display and claims stand in here, not beside it.
type CredentialMetadata struct {
	Display []Display          `json:"display,omitempty"`
	Claims  []ClaimDescription `json:"claims,omitempty"`
}

// ClaimDescription describes one claim (Appendix B). In an authorization request only Path and Mandatory have a meaning.
type ClaimDescription struct {
	Path      ClaimPath `json:"path"`
	Mandatory bool      `json:"mandatory,omitempty"`
	Display   []Display `json:"display,omitempty"`
}

// ClaimPath points to claims (Appendix C): strings name members, non-negative integers elements, nil all elements. It is checked on reading,
// and its numbers are int then.
type ClaimPath []any

// UnmarshalJSON reads a path.
func (p *ClaimPath) UnmarshalJSON(data []byte) error {
	var steps []any
	if err := keys.DecodeJSON(data, &steps); err != nil {
		return err
	}
	for i, step := range steps {
		switch step := step.(type) {
		case nil, string:
		case json.Number:
			n, err := step.Int64()
			if err != nil || n < 0 || n > 1<<30 {
				return errors.New("a claims path has strings, nulls and non-negative integers only")
			}
			steps[i] = int(n)
		default:
			return errors.New("a claims path has strings, nulls and non-negative integers only")
		}
	}
	if len(steps) == 0 {
		return errors.New("a claims path must not be empty")
	}
	*p = steps
	return nil
}

// ParseIssuerMetadata reads the metadata of the issuer that it was asked for and validates it.
func ParseIssuerMetadata(data []byte, identifier string) (*IssuerMetadata, error) {
	var m IssuerMetadata
	if err := decodeMetadata(data, &m); err != nil {
		return nil, err
	}
	return &m, m.Validate(identifier)
}

func decodeMetadata(data []byte, v any) error {
	if err := keys.DecodeJSON(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	return nil
}

// Validate checks the metadata by Section 12.2.4. Both sides use it: an issuer before it serves, a wallet after it fetched.
func (m *IssuerMetadata) Validate(identifier string) error {
	if m.CredentialIssuer != identifier {
		return ErrMetadataIssuer
	}
	if err := CheckIdentifier(identifier); err != nil {
		return fmt.Errorf("%w: credential_issuer: %w", ErrMetadata, err)
	}
	if m.CredentialEndpoint == "" {
		return fmt.Errorf("%w: credential_endpoint is missing", ErrMetadata)
	}
	endpoints := map[string]string{"credential_endpoint": m.CredentialEndpoint, "nonce_endpoint": m.NonceEndpoint, "deferred_credential_endpoint": m.DeferredEndpoint,
		"notification_endpoint": m.NotificationEndpoint, "status_list_aggregation_endpoint": m.StatusAggregation}
	if err := checkEndpoints(endpoints); err != nil {
		return err
	}
	if err := checkNonEmptySet(m.AuthorizationServers); err != nil {
		return fmt.Errorf("%w: authorization_servers: %w", ErrMetadata, err)
	}
	for _, server := range m.AuthorizationServers {
		if err := CheckIdentifier(server); err != nil {
			return fmt.Errorf("%w: authorization_servers: %w", ErrMetadata, err)
		}
	}
	if m.Batch != nil && m.Batch.BatchSize < 2 {
		return fmt.Errorf("%w: batch_size must be 2 or more", ErrMetadata)
	}
	if err := checkDisplay(m.Display); err != nil {
		return fmt.Errorf("%w: display: %w", ErrMetadata, err)
	}
	if err := m.validateEncryption(); err != nil {
		return err
	}
	return m.validateConfigurations()
}

func checkEndpoints(endpoints map[string]string) error {
	for name, endpoint := range endpoints {
		if endpoint == "" {
			continue
		}
		if err := checkEndpoint(endpoint); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrMetadata, name, err)
		}
	}
	return nil
}

func (m *IssuerMetadata) validateEncryption() error {
	if e := m.RequestEncryption; e != nil {
		if err := e.validate(); err != nil {
			return fmt.Errorf("%w: credential_request_encryption: %w", ErrMetadata, err)
		}
	}
	e := m.ResponseEncryption
	if e == nil {
		return nil
	}
	if len(e.Alg) == 0 || len(e.Enc) == 0 {
		return fmt.Errorf("%w: credential_response_encryption: alg_values_supported and enc_values_supported must be there", ErrMetadata)
	}
	for _, values := range [][]string{e.Alg, e.Enc, e.Zip} {
		if err := checkNonEmptySet(values); err != nil {
			return fmt.Errorf("%w: credential_response_encryption: %w", ErrMetadata, err)
		}
	}
	return nil
}

func (e *RequestEncryptionMetadata) validate() error {
	if len(e.JWKS.Keys) == 0 || len(e.Enc) == 0 {
		return errors.New("jwks and enc_values_supported must be there")
	}
	for _, values := range [][]string{e.Enc, e.Zip} {
		if err := checkNonEmptySet(values); err != nil {
			return err
		}
	}
	var seen []string
	for _, jwk := range e.JWKS.Keys {
		var kid, alg string
		if err := decodeKeyNames(jwk, &kid, &alg); err != nil {
			return err
		}
		if kid == "" || alg == "" || slices.Contains(seen, kid) {
			return errors.New("each key must have alg and a kid of its own")
		}
		seen = append(seen, kid)
	}
	return nil
}

func (m *IssuerMetadata) validateConfigurations() error {
	if m.Configurations == nil {
		return fmt.Errorf("%w: credential_configurations_supported is missing", ErrMetadata)
	}
	for id, c := range m.Configurations {
		if err := c.validate(); err != nil {
			return fmt.Errorf("%w: credential configuration %s: %w", ErrMetadata, printable(id), err)
		}
	}
	return nil
}

func (c *CredentialConfiguration) validate() error {
	if err := c.validateFormat(); err != nil {
		return err
	}
	if strings.ContainsAny(c.Scope, " \t\r\n\"\\") {
		return errors.New("scope must be one scope value")
	}
	if c.SigningAlgs != nil && len(c.SigningAlgs) == 0 {
		return errors.New("credential_signing_alg_values_supported must not be empty")
	}
	if (len(c.BindingMethods) > 0) != (len(c.ProofTypes) > 0) {
		return errors.New("cryptographic_binding_methods_supported and proof_types_supported must both be there, or neither")
	}
	if err := checkNonEmptySet(c.BindingMethods); err != nil {
		return fmt.Errorf("cryptographic_binding_methods_supported: %w", err)
	}
	for name, p := range c.ProofTypes {
		if err := p.validate(); err != nil {
			return fmt.Errorf("proof type %s: %w", printable(name), err)
		}
	}
	if c.Metadata == nil {
		return nil
	}
	return c.Metadata.validate()
}

// validateFormat checks what the format asks for (Appendix A). Formats that we do not know are let through: an issuer may offer others too.
func (c *CredentialConfiguration) validateFormat() error {
	switch c.Format {
	case "":
		return errors.New("format is missing")
	case FormatSDJWTVC:
		if c.VCT == "" {
			return errors.New("vct is missing")
		}
	case "mso_mdoc":
		if c.Doctype == "" {
			return errors.New("doctype is missing")
		}
		return nil
	case "jwt_vc_json", "jwt_vc_json-ld", "ldp_vc":
		if len(c.Definition) == 0 {
			return errors.New("credential_definition is missing")
		}
	}
	for _, alg := range c.SigningAlgs {
		if s, _ := alg.(string); s == "" {
			return errors.New("credential_signing_alg_values_supported must have names")
		}
	}
	return nil
}

func (p *ProofTypeConfig) validate() error {
	if len(p.SigningAlgs) == 0 {
		return errors.New("proof_signing_alg_values_supported is missing")
	}
	lists := [][]string{p.SigningAlgs}
	if p.KeyAttestations != nil {
		lists = append(lists, p.KeyAttestations.KeyStorage, p.KeyAttestations.UserAuthentication)
	}
	for _, values := range lists {
		if err := checkNonEmptySet(values); err != nil {
			return err
		}
	}
	return nil
}

func (m *CredentialMetadata) validate() error {
	if m.Claims != nil && len(m.Claims) == 0 {
		return errors.New("claims must not be empty")
	}
	if err := checkDisplay(m.Display); err != nil {
		return fmt.Errorf("display: %w", err)
	}
	for _, d := range m.Display {
		if d.Name == "" {
			return errors.New("display of a credential must have a name")
		}
	}
	return checkClaims(m.Claims)
}

// checkDisplay checks that each language stands once, and that there is one where there is an array.
func checkDisplay(display []Display) error {
	if display != nil && len(display) == 0 {
		return errors.New("it must not be empty")
	}
	for i, d := range display {
		if slices.ContainsFunc(display[:i], func(o Display) bool { return o.Locale == d.Locale }) {
			return errors.New("a language stands twice")
		}
		for _, logo := range []*Logo{d.Logo, d.BackgroundImage} {
			if logo != nil && logo.URI == "" {
				return errors.New("an image has no uri")
			}
		}
	}
	return nil
}

// checkClaims applies the processing rules of Appendix B.3: no two descriptions address the same claim, and none contradict each other about
// whether a claim is an object or an array.
func checkClaims(claims []ClaimDescription) error {
	for i, c := range claims {
		if len(c.Path) == 0 {
			return errors.New("a claim description has no path")
		}
		if err := checkDisplay(c.Display); err != nil {
			return fmt.Errorf("claim display: %w", err)
		}
		for _, other := range claims[:i] {
			if contradict(c.Path, other.Path) {
				return errors.New("two claim descriptions repeat or contradict each other")
			}
		}
	}
	return nil
}

// contradict compares two paths up to their first difference.
func contradict(a, b ClaimPath) bool {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		return stepKind(a[i]) != stepKind(b[i])
	}
	return len(a) == len(b)
}

// stepKind tells apart member, element and all elements. An element next to another element is no contradiction, next to "all" it is one.
func stepKind(step any) string { return fmt.Sprintf("%T", step) }

// ValidateHAIP checks what HAIP 1.0, Section 4.1 asks of an issuer beyond [IssuerMetadata.Validate]: a scope in each configuration, and a nonce
// endpoint where keys are bound.
func (m *IssuerMetadata) ValidateHAIP() error {
	for id, c := range m.Configurations {
		if c.Scope == "" {
			return fmt.Errorf("%w: credential configuration %s has no scope", ErrMetadata, printable(id))
		}
		if len(c.BindingMethods) > 0 && m.NonceEndpoint == "" {
			return fmt.Errorf("%w: nonce_endpoint is missing", ErrMetadata)
		}
	}
	return nil
}

// Servers returns the authorization servers of the issuer; without a list it is its own. hint is the authorization_server of an offer, "" for
// none: where it is there it must be one of them, and is the only one (Sections 4.1.1 and 12.2.4).
func (m *IssuerMetadata) Servers(hint string) ([]string, error) {
	servers := m.AuthorizationServers
	if len(servers) == 0 {
		servers = []string{m.CredentialIssuer}
	}
	if hint == "" {
		return servers, nil
	}
	if !slices.Contains(servers, hint) {
		return nil, fmt.Errorf("%w: the offer names an authorization server that the issuer does not", ErrMetadataIssuer)
	}
	return []string{hint}, nil
}

// TypIssuerMetadata is the type of signed metadata (Section 12.2.3), spelt as the standard does.
const TypIssuerMetadata = "openidvci-issuer-metadata+jwt"

// signedMetadataClaims are the claims beside the metadata parameters.
type signedMetadataClaims struct {
	Issuer   string            `json:"iss,omitempty"`
	Subject  string            `json:"sub"`
	IssuedAt *keys.NumericDate `json:"iat"`
	Expires  *keys.NumericDate `json:"exp,omitempty"`
}

// SignIssuerMetadata makes signed metadata. The header names the signer (x5c without the trust anchor, kid); expires may be zero.
func SignIssuerMetadata(key *keys.Private, header keys.Header, m *IssuerMetadata, issued, expires time.Time) (string, error) {
	if err := m.Validate(m.CredentialIssuer); err != nil {
		return "", err
	}
	claims := struct {
		signedMetadataClaims
		*IssuerMetadata
	}{signedMetadataClaims{Subject: m.CredentialIssuer, IssuedAt: datePointer(issued)}, m}
	if !expires.IsZero() {
		claims.Expires = datePointer(expires)
	}
	return signJWT(key, TypIssuerMetadata, header, claims)
}

// UnverifiedIssuerMetadata is signed metadata that was read and not verified.
type UnverifiedIssuerMetadata struct{ token *keys.UnverifiedToken }

// ParseSignedIssuerMetadata reads signed metadata, so that the signer can be found by its header.
func ParseSignedIssuerMetadata(compact string) (*UnverifiedIssuerMetadata, error) {
	token, err := keys.ParseToken(strings.TrimSpace(compact))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadataSignature, err)
	}
	return &UnverifiedIssuerMetadata{token}, nil
}

// Header names the signer, to be trusted or not by the caller.
func (u *UnverifiedIssuerMetadata) Header() keys.UnverifiedHeader { return u.token.Header() }

// Verify checks signature, type, subject and times, and then the metadata as [ParseIssuerMetadata] does.
func (u *UnverifiedIssuerMetadata) Verify(key keys.Public, identifier string, now time.Time) (*IssuerMetadata, error) {
	if u.Header().Typ != TypIssuerMetadata {
		return nil, fmt.Errorf("%w: typ must be %s", ErrMetadataSignature, TypIssuerMetadata)
	}
	token, err := u.token.Verify(key, keys.ES256, keys.EdDSA)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadataSignature, err)
	}
	var claims signedMetadataClaims
	if err := keys.DecodeJSON(token.Payload, &claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMetadataSignature, err)
	}
	switch {
	case claims.Subject != identifier:
		return nil, ErrMetadataIssuer
	case claims.IssuedAt == nil || claims.IssuedAt.Time().After(now.Add(clockSkew)):
		return nil, fmt.Errorf("%w: iat is missing or lies ahead", ErrMetadataSignature)
	case claims.Expires != nil && !now.Before(claims.Expires.Time()):
		return nil, fmt.Errorf("%w: it has expired", ErrMetadataSignature)
	}
	return ParseIssuerMetadata(token.Payload, identifier)
}
