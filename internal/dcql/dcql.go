// Package dcql implements the Digital Credentials Query Language (OpenID4VP 1.0, Sections 6 and 7), for both sides. A verifier makes a
// [Query] and asks [Query.CheckPresentation] and [Query.CheckAnswer] about what comes; a wallet reads it with [Parse] and asks
// [Query.Match] and [Query.Choose] what to send and which claims to disclose.
//
// Nothing here verifies a credential: a [Candidate] is what the caller has verified or holds. Queries of every format parse; SD-JWT VC
// alone is evaluated. Left out: trusted authorities of the types etsi_tl and openid_federation, which need the network: they parse, and no
// candidate matches one; types inherited by type metadata, which the caller adds to [Candidate.Types].
package dcql

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"akashi/internal/keys"
)

// ErrQuery is what every error of a malformed query wraps.
var ErrQuery = errors.New("DCQL query refused")

// Credential format identifiers (OpenID4VP 1.0, Appendix B).
const (
	FormatSDJWTVC = "dc+sd-jwt"
	FormatMDoc    = "mso_mdoc"
	FormatJWTVC   = "jwt_vc_json"
	FormatLDPVC   = "ldp_vc"
)

// Types of trusted authorities (Section 6.1.1).
const (
	AuthorityKeyIdentifier = "aki"
	AuthorityETSI          = "etsi_tl"
	AuthorityFederation    = "openid_federation"
)

// MaxQuery bounds the text of a query.
const MaxQuery = 256 << 10

// Limits of what a query may hold, so that its evaluation is bounded.
const (
	maxCredentials = 64
	maxClaims      = 4096
	maxOptions     = 64
	maxPath        = 16
	maxSelected    = 1 << 16 // places that the claims of one credential query visit in one credential
)

// Query asks for credentials (Section 6).
type Query struct {
	Credentials []Credential    `json:"credentials"`
	Sets        []CredentialSet `json:"credential_sets,omitempty"`
}

// Credential asks for presentations of one credential, or with Multiple of several that match alike (Section 6.1).
type Credential struct {
	ID          string      `json:"id"`
	Format      string      `json:"format"`
	Multiple    bool        `json:"multiple,omitempty"`
	Meta        *Meta       `json:"meta"`
	Authorities []Authority `json:"trusted_authorities,omitempty"`
	// HolderBinding is nil for the default: the presentation must prove that the holder made it.
	HolderBinding *bool      `json:"require_cryptographic_holder_binding,omitempty"`
	Claims        []Claim    `json:"claims,omitempty"`
	ClaimSets     [][]string `json:"claim_sets,omitempty"`
}

// Meta says which types are asked for; which member is used depends on the format (Appendix B). An empty one asks for no type.
type Meta struct {
	VCTs    []string   `json:"vct_values,omitempty"`    // dc+sd-jwt
	DocType string     `json:"doctype_value,omitempty"` // mso_mdoc
	Types   [][]string `json:"type_values,omitempty"`   // W3C formats: each a set of fully expanded types
}

// Authority is a hint by whom, or under whom, a credential must be issued.
type Authority struct {
	Type   string   `json:"type"`
	Values []string `json:"values"`
}

// Claim asks for the claims that a path selects (Section 6.3). With Values only those equal to one of them count.
type Claim struct {
	ID     string `json:"id,omitempty"`
	Path   Path   `json:"path"`
	Values []any  `json:"values,omitempty"` // string, bool, and json.Number of an integer
}

// CredentialSet names alternatives, each a set of ids of credential queries, the preferred first (Section 6.2).
type CredentialSet struct {
	Options  [][]string `json:"options"`
	Required *bool      `json:"required,omitempty"` // nil means true
}

// IsRequired tells whether an answer must have one of the options.
func (s CredentialSet) IsRequired() bool { return s.Required == nil || *s.Required }

// NeedsHolderBinding tells whether the presentation must prove that the holder made it.
func (c Credential) NeedsHolderBinding() bool { return c.HolderBinding == nil || *c.HolderBinding }

// Bool is a value for the optional members.
func Bool(v bool) *bool { return &v }

// Parse reads and validates a query. Members that the standard does not know are ignored.
func Parse(data []byte) (*Query, error) {
	var q Query
	if err := keys.DecodeJSONMax(data, &q, MaxQuery); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	return &q, q.Validate()
}

// UnmarshalJSON also refuses arrays that are there and empty, which the zero value would take for absent ones.
func (q *Query) UnmarshalJSON(data []byte) error {
	type plain Query
	var p plain
	if err := keys.DecodeJSONMax(data, &p, MaxQuery); err != nil {
		return err
	}
	if p.Sets != nil && len(p.Sets) == 0 {
		return errors.New("credential_sets must not be empty")
	}
	*q = Query(p)
	return nil
}

// Credential returns the credential query of an id, nil if there is none.
func (q *Query) Credential(id string) *Credential {
	for i := range q.Credentials {
		if q.Credentials[i].ID == id {
			return &q.Credentials[i]
		}
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// RepeatsClaim tells whether a credential query points to the same claim more than once, which a verifier must not do. A wallet ignores all but the
// first of them (Section 6.1), so it is no error of [Query.Validate].
func (q *Query) RepeatsClaim() bool {
	return slices.ContainsFunc(q.Credentials, func(c Credential) bool { return len(c.distinct()) < len(c.Claims) })
}

// distinct returns the claims without those whose path an earlier one has.
func (c *Credential) distinct() []Claim {
	seen := make(map[string]bool, len(c.Claims))
	return slices.DeleteFunc(slices.Clone(c.Claims), func(claim Claim) bool {
		p := claim.Path.String()
		again := seen[p]
		seen[p] = true
		return again
	})
}

// Validate checks the rules of Section 6 that hold whatever is held.
func (q *Query) Validate() error {
	if len(q.Credentials) == 0 || len(q.Credentials) > maxCredentials {
		return fmt.Errorf("%w: credentials must have 1 to %d members", ErrQuery, maxCredentials)
	}
	known := make(map[string]bool, len(q.Credentials))
	for i := range q.Credentials {
		c := &q.Credentials[i]
		if !identifier.MatchString(c.ID) || known[c.ID] {
			return fmt.Errorf("%w: credentials[%d]: id must be unique and of letters, digits, _ and -", ErrQuery, i)
		}
		known[c.ID] = true
		if err := c.validate(); err != nil {
			return fmt.Errorf("%w: credential query %s: %w", ErrQuery, c.ID, err)
		}
	}
	for i, s := range q.Sets {
		if err := checkOptions(s.Options, known); err != nil {
			return fmt.Errorf("%w: credential_sets[%d]: options: %w", ErrQuery, i, err)
		}
	}
	if len(q.Sets) > maxOptions {
		return fmt.Errorf("%w: credential_sets must have at most %d members", ErrQuery, maxOptions)
	}
	return nil
}

func (c *Credential) validate() error {
	if c.Format == "" {
		return errors.New("format is missing")
	}
	if err := c.checkMeta(); err != nil {
		return err
	}
	if c.Authorities != nil && len(c.Authorities) == 0 {
		return errors.New("trusted_authorities must not be empty")
	}
	for _, a := range c.Authorities {
		if err := a.validate(); err != nil {
			return err
		}
	}
	return c.checkClaims()
}

func (c *Credential) checkMeta() error {
	m := c.Meta
	if m == nil {
		return errors.New("meta is missing; it may be empty")
	}
	if m.VCTs != nil && (len(m.VCTs) == 0 || !allFilled(m.VCTs)) {
		return errors.New("vct_values must be a non-empty array of types")
	}
	if m.Types != nil && len(m.Types) == 0 {
		return errors.New("type_values must not be empty")
	}
	for _, types := range m.Types {
		if len(types) == 0 || !allFilled(types) {
			return errors.New("type_values must be arrays of types, none empty")
		}
	}
	return nil
}

func allFilled(values []string) bool {
	for _, v := range values {
		if v == "" {
			return false
		}
	}
	return true
}

func (a Authority) validate() error {
	if a.Type == "" || len(a.Values) == 0 || !allFilled(a.Values) {
		return errors.New("each of trusted_authorities must have a type and values")
	}
	if a.Type != AuthorityKeyIdentifier {
		return nil
	}
	for _, v := range a.Values {
		if _, err := b64.DecodeString(v); err != nil {
			return errors.New("values of aki must be base64url without padding")
		}
	}
	return nil
}

func (c *Credential) checkClaims() error {
	if c.Claims != nil && len(c.Claims) == 0 || len(c.Claims) > maxClaims {
		return fmt.Errorf("claims, where present, must have 1 to %d members", maxClaims)
	}
	ids := make(map[string]bool)
	for i, claim := range c.Claims {
		if err := claim.validate(c.Format); err != nil {
			return fmt.Errorf("claims[%d]: %w", i, err)
		}
		switch {
		case claim.ID == "" && c.ClaimSets != nil:
			return fmt.Errorf("claims[%d]: with claim_sets every claim needs an id", i)
		case claim.ID != "" && (!identifier.MatchString(claim.ID) || ids[claim.ID]):
			return fmt.Errorf("claims[%d]: id must be unique and of letters, digits, _ and -", i)
		}
		ids[claim.ID] = true
	}
	if c.ClaimSets == nil {
		return nil
	}
	if c.Claims == nil {
		return errors.New("claim_sets must not be there without claims")
	}
	if err := checkOptions(c.ClaimSets, ids); err != nil {
		return fmt.Errorf("claim_sets: %w", err)
	}
	return nil
}

func (c Claim) validate(format string) error {
	if err := c.Path.validate(); err != nil {
		return err
	}
	if format == FormatMDoc && !c.Path.isMDoc() {
		return errors.New("a path of mso_mdoc is a namespace and an element")
	}
	if c.Values != nil && len(c.Values) == 0 {
		return errors.New("values must not be empty")
	}
	for _, v := range c.Values {
		switch v := v.(type) {
		case string, bool:
			continue
		case json.Number:
			if isInteger(v) {
				continue
			}
		}
		return errors.New("values must be strings, integers or booleans")
	}
	return nil
}

var integer = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func isInteger(n json.Number) bool { return integer.MatchString(n.String()) }

// checkOptions checks alternatives, each a non-empty set of known names.
func checkOptions(options [][]string, known map[string]bool) error {
	if len(options) == 0 || len(options) > maxOptions {
		return fmt.Errorf("there must be 1 to %d alternatives", maxOptions)
	}
	for _, option := range options {
		if len(option) == 0 {
			return errors.New("an alternative is empty")
		}
		seen := make(map[string]bool, len(option))
		for _, name := range option {
			if name == "" || !known[name] || seen[name] {
				return errors.New("an alternative names something that is not in the query, or twice")
			}
			seen[name] = true
		}
	}
	return nil
}
