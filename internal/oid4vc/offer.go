package oid4vc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"akashi/internal/keys"
)

// ErrOffer is returned for a credential offer or a link to one that is not of the standard's form.
var ErrOffer = errors.New("credential offer refused")

// Schemes of credential offer links. A wallet may also be met at an https address.
const (
	SchemeOffer     = "openid-credential-offer://"
	SchemeOfferHAIP = "haip-vci://"
)

// CredentialOffer is an offer (OpenID4VCI 1.0, Section 4.1.1). It is never signed: nothing in it may be believed but for where to ask.
type CredentialOffer struct {
	CredentialIssuer string       `json:"credential_issuer"`
	ConfigurationIDs []string     `json:"credential_configuration_ids"`
	Grants           *OfferGrants `json:"grants,omitempty"`
}

// OfferGrants are the grants that the issuer is ready for. Grants of other kinds are dropped on reading.
type OfferGrants struct {
	AuthorizationCode *OfferAuthorizationCode `json:"authorization_code,omitempty"`
	PreAuthorizedCode *OfferPreAuthorizedCode `json:"urn:ietf:params:oauth:grant-type:pre-authorized_code,omitempty"`
}

// OfferAuthorizationCode is the offer to authorize at the server. IssuerState goes into the authorization request.
type OfferAuthorizationCode struct {
	IssuerState         string `json:"issuer_state,omitempty"`
	AuthorizationServer string `json:"authorization_server,omitempty"`
}

// OfferPreAuthorizedCode is the offer to collect without another authorization. TxCode is not nil where a transaction code is needed.
type OfferPreAuthorizedCode struct {
	Code                string  `json:"pre-authorized_code"`
	TxCode              *TxCode `json:"tx_code,omitempty"`
	AuthorizationServer string  `json:"authorization_server,omitempty"`
}

// TxCode describes the transaction code to ask the person for.
type TxCode struct {
	InputMode   string `json:"input_mode,omitempty"` // numeric, the default, or text
	Length      int    `json:"length,omitempty"`
	Description string `json:"description,omitempty"` // at most 300 characters
}

const (
	maxTxDescription = 300
	maxTxLength      = 64
	maxOfferIDs      = 64
	maxOfferLink     = 16 << 10
)

// ParseOffer reads and validates an offer.
func ParseOffer(data []byte) (*CredentialOffer, error) {
	if len(data) > maxOfferLink {
		return nil, fmt.Errorf("%w: it is too long", ErrOffer)
	}
	var o CredentialOffer
	if err := keys.DecodeJSON(data, &o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	return &o, o.Validate()
}

// Validate checks the offer by Section 4.1.1.
func (o *CredentialOffer) Validate() error {
	if err := CheckIdentifier(o.CredentialIssuer); err != nil {
		return fmt.Errorf("%w: credential_issuer: %w", ErrOffer, err)
	}
	if len(o.ConfigurationIDs) == 0 || len(o.ConfigurationIDs) > maxOfferIDs {
		return fmt.Errorf("%w: credential_configuration_ids must have 1 to %d members", ErrOffer, maxOfferIDs)
	}
	if err := checkNonEmptySet(o.ConfigurationIDs); err != nil {
		return fmt.Errorf("%w: credential_configuration_ids: %w", ErrOffer, err)
	}
	if o.Grants == nil {
		return nil
	}
	if g := o.Grants.AuthorizationCode; g != nil {
		if err := checkOfferServer(g.AuthorizationServer); err != nil || len(g.IssuerState) > maxOpaque {
			return errors.Join(fmt.Errorf("%w: grant authorization_code", ErrOffer), err)
		}
	}
	if g := o.Grants.PreAuthorizedCode; g != nil {
		return g.validate()
	}
	return nil
}

func (g *OfferPreAuthorizedCode) validate() error {
	if err := checkOpaque("pre-authorized_code", g.Code); err != nil {
		return fmt.Errorf("%w: %w", ErrOffer, err)
	}
	if err := checkOfferServer(g.AuthorizationServer); err != nil {
		return fmt.Errorf("%w: grant pre-authorized_code: %w", ErrOffer, err)
	}
	if g.TxCode == nil {
		return nil
	}
	return g.TxCode.validate()
}

func checkOfferServer(server string) error {
	if server == "" {
		return nil
	}
	return CheckIdentifier(server)
}

func (t *TxCode) validate() error {
	if t.InputMode != "" && t.InputMode != "numeric" && t.InputMode != "text" {
		return fmt.Errorf("%w: input_mode of tx_code must be numeric or text", ErrOffer)
	}
	if t.Length < 0 || t.Length > maxTxLength {
		return fmt.Errorf("%w: length of tx_code must be 1 to %d", ErrOffer, maxTxLength)
	}
	if utf8.RuneCountInString(t.Description) > maxTxDescription {
		return fmt.Errorf("%w: description of tx_code must have at most %d characters", ErrOffer, maxTxDescription)
	}
	return nil
}

// Check tells whether a person's input can be the code at all, so that a slip of the finger costs none of the attempts.
func (t *TxCode) Check(code string) error {
	if code == "" || t.Length > 0 && utf8.RuneCountInString(code) != t.Length {
		return fmt.Errorf("%w: the transaction code has %d characters", ErrOffer, t.Length)
	}
	if t.InputMode != "text" && strings.Trim(code, "0123456789") != "" {
		return fmt.Errorf("%w: the transaction code has digits only", ErrOffer)
	}
	return nil
}

// UnmarshalJSON also refuses a length of 0, which is the zero value of no length.
func (t *TxCode) UnmarshalJSON(data []byte) error {
	type plain TxCode
	var p struct {
		plain
		Length *int `json:"length"`
	}
	if err := keys.DecodeJSON(data, &p); err != nil {
		return err
	}
	if p.Length != nil && *p.Length < 1 {
		return errors.New("length of tx_code must be 1 or more")
	}
	*t = TxCode(p.plain)
	if p.Length != nil {
		t.Length = *p.Length
	}
	return nil
}

// OfferLink is a link as a wallet reads it from a QR code: either the offer or where to fetch it.
type OfferLink struct {
	Offer *CredentialOffer // by value
	URI   string           // by reference: an https URL that gives the offer as application/json
}

// ParseOfferLink reads a link of any of the schemes, or to an https address of the wallet. The parameters are exactly one of credential_offer and
// credential_offer_uri, once; others are ignored.
func ParseOfferLink(link string) (*OfferLink, error) {
	query, err := offerQuery(link)
	if err != nil {
		return nil, err
	}
	values, references := query["credential_offer"], query["credential_offer_uri"]
	if len(values)+len(references) != 1 {
		return nil, fmt.Errorf("%w: the link must have one of credential_offer and credential_offer_uri, once", ErrOffer)
	}
	if len(values) == 1 {
		offer, err := ParseOffer([]byte(values[0]))
		if err != nil {
			return nil, err
		}
		return &OfferLink{Offer: offer}, nil
	}
	if err := checkEndpoint(references[0]); err != nil {
		return nil, fmt.Errorf("%w: credential_offer_uri: %w", ErrOffer, err)
	}
	return &OfferLink{URI: references[0]}, nil
}

func offerQuery(link string) (url.Values, error) {
	if len(link) > maxOfferLink {
		return nil, fmt.Errorf("%w: the link is too long", ErrOffer)
	}
	u, err := url.Parse(link)
	if err != nil || !slices.Contains([]string{"openid-credential-offer", "haip-vci", "https"}, u.Scheme) {
		return nil, fmt.Errorf("%w: the link must begin with %s, %s or https://", ErrOffer, SchemeOffer, SchemeOfferHAIP)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: the link's parameters are malformed", ErrOffer)
	}
	return query, nil
}

// Link writes the offer into a link. base is one of the schemes, or the https address of a wallet.
func (o *CredentialOffer) Link(base string) (string, error) {
	if err := o.Validate(); err != nil {
		return "", err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	return offerLink(base, "credential_offer", string(text))
}

// OfferReference writes a link to an offer that waits at an https URL.
func OfferReference(base, uri string) (string, error) {
	if err := checkEndpoint(uri); err != nil {
		return "", fmt.Errorf("%w: credential_offer_uri: %w", ErrOffer, err)
	}
	return offerLink(base, "credential_offer_uri", uri)
}

func offerLink(base, name, value string) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("%w: %q is no scheme and no address of a wallet", ErrOffer, base)
	}
	separator := "?"
	if u.RawQuery != "" {
		separator = "&"
	}
	// A space as "+" is for forms; wallets decode links in either way, and %20 in both.
	return base + separator + strings.ReplaceAll(url.Values{name: {value}}.Encode(), "+", "%20"), nil
}
