package issuer

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/schemas"
)

// Configuration is a credential configuration that an operator defines: a type of credential that organizations here issue besides
// attestations. It is one JSON file.
type Configuration struct {
	ID          string          `json:"id"`            // also its scope and the name of its type metadata
	VCT         string          `json:"vct,omitempty"` // empty: the https URL of the type metadata served here
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Display     []CardDisplay   `json:"display"`
	Claims      []schemas.Claim `json:"claims"` // sd: always is selectively disclosable, anything else always visible
	Schema      json.RawMessage `json:"schema"` // JSON Schema (draft 2020-12) of the claims
	Example     json.RawMessage `json:"example"`
	Batch       bool            `json:"batch"`
	ValidDays   int             `json:"valid_days"` // 0: without exp

	KeyAttestation *KeyAttestationRule `json:"key_attestation"` // the wallet's key must be attested by a wallet provider; null: need not
}

// CardDisplay is how a credential is shown in one language.
type CardDisplay struct {
	schemas.TypeDisplay
	BackgroundColor string       `json:"background_color,omitempty"`
	TextColor       string       `json:"text_color,omitempty"`
	Logo            *oid4vc.Logo `json:"logo,omitempty"`
	BackgroundImage *oid4vc.Logo `json:"background_image,omitempty"`
}

// ParseConfiguration reads the file of an operator-defined configuration.
func ParseConfiguration(data []byte) (Configuration, error) {
	var c Configuration
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("reading a credential configuration: %w", err)
	}
	_, err := c.compile()
	return c, err
}

//go:embed staff-card.json
var staffCard []byte

// readyMade is the configuration that every instance has.
func readyMade() Configuration {
	var c Configuration
	if err := json.Unmarshal(staffCard, &c); err != nil {
		panic(err) // embedded, and read by a test
	}
	return c
}

// configuration is what can be issued under one id, by one organization or all.
type configuration struct {
	Configuration
	id     string
	typ    attestation.Type // "" for an operator-defined one
	schema *jsonschema.Schema

	integrities sync.Map // of the type metadata, by issuer: neither changes while the service runs
}

var configurationID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

func (c Configuration) compile() (*configuration, error) {
	switch {
	case !configurationID.MatchString(c.ID):
		return nil, errors.New("id must be of small letters, digits and hyphens")
	case slices.Contains(offeredTypes, attestation.Type(c.ID)):
		return nil, errors.New("id is that of an attestation")
	case len(c.Display) == 0 || c.Name == "":
		return nil, errors.New("name and display are needed")
	case c.ValidDays < 0:
		return nil, errors.New("valid_days must not be negative")
	}
	if err := c.KeyAttestation.check(); err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.Schema))
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	location := "urn:akashi:configuration:" + c.ID
	if err := compiler.AddResource(location, doc); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	schema, err := compiler.Compile(location)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	out := &configuration{Configuration: c, id: c.ID, schema: schema}
	return out, out.checkShown()
}

// checkShown checks what the issuer metadata will say of the configuration, so that a mistake stops the start and not the metadata of every
// organization.
func (c *configuration) checkShown() error {
	const somebody = "https://issuer.example"
	m := oid4vc.IssuerMetadata{CredentialIssuer: somebody, CredentialEndpoint: somebody, Configurations: map[string]oid4vc.CredentialConfiguration{
		c.id: {Format: oid4vc.FormatSDJWTVC, VCT: "type", Metadata: c.wireMetadata()},
	}}
	return m.Validate(somebody)
}

// noLoader refuses references out of a schema: nothing is fetched.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema must not refer to others")
}

// offeredTypes are the attestations that wallets collect.
var offeredTypes = slices.Sorted(maps.Keys(importers))

// configurations returns what an organization issues, by id.
func (i *Issuer) configurations(o *org) map[string]*configuration {
	out := map[string]*configuration{}
	for _, typ := range offeredTypes {
		if c := i.configuration(o, string(typ)); c != nil {
			out[c.id] = c
		}
	}
	for _, c := range i.vci.own {
		out[c.id] = c
	}
	return out
}

// configuration returns one of what an organization issues, nil for none.
func (i *Issuer) configuration(o *org, id string) *configuration {
	if typ := attestation.Type(id); slices.Contains(importers[typ].roles, o.Role) {
		return &configuration{id: id, typ: typ}
	}
	if n := slices.IndexFunc(i.vci.own, func(c *configuration) bool { return c.id == id }); n >= 0 {
		return i.vci.own[n]
	}
	return nil
}

func (c *configuration) vct(o *org) string {
	switch {
	case c.typ != "":
		return c.typ.VCT()
	case c.VCT != "":
		return c.VCT
	}
	return o.Issuer + "/types/" + c.id
}

// typeMetadata is the SD-JWT VC Type Metadata document (SD-JWT VC, Section 5), octet for octet what is served.
func (c *configuration) typeMetadata(o *org) ([]byte, error) {
	if c.typ != "" {
		body, ok := schemas.TypeMetadata(c.typ.VCT())
		if !ok {
			return nil, fmt.Errorf("no type metadata of %s", c.typ)
		}
		return body, nil
	}
	m := schemas.Metadata{VCT: c.vct(o), Name: c.Name, Description: c.Description, Claims: c.Claims}
	for _, d := range c.Display {
		m.Display = append(m.Display, d.TypeDisplay)
	}
	return json.Marshal(m)
}

// integrity is the value of vct#integrity (SD-JWT VC, Section 6).
func (c *configuration) integrity(o *org) (string, error) {
	if c.typ != "" {
		return typeIntegrity(c.typ), nil
	}
	if known, ok := c.integrities.Load(o.Issuer); ok {
		return known.(string), nil
	}
	body, err := c.typeMetadata(o)
	if err != nil {
		return "", err
	}
	integrity := integrityOf(body)
	c.integrities.Store(o.Issuer, integrity)
	return integrity, nil
}

// integrityOf is W3C Subresource Integrity over the octets served.
func integrityOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// typeIntegrity is the vct#integrity of an attestation's type.
func typeIntegrity(typ attestation.Type) string { return typeIntegrities()[typ] }

var typeIntegrities = sync.OnceValue(func() map[attestation.Type]string {
	out := map[attestation.Type]string{}
	for typ := range hidden {
		body, _ := schemas.TypeMetadata(typ.VCT())
		out[typ] = integrityOf(body)
	}
	return out
})

// wire is the configuration as issuer metadata names it. attested tells whether key attestations can be checked here.
func (c *configuration) wire(o *org, attested bool) oid4vc.CredentialConfiguration {
	proof := oid4vc.ProofTypeConfig{SigningAlgs: algNames()}
	if rule := c.KeyAttestation; rule != nil {
		proof.KeyAttestations = &oid4vc.KeyAttestationsRequired{KeyStorage: rule.KeyStorage, UserAuthentication: rule.UserAuthentication}
	}
	proofs := map[string]oid4vc.ProofTypeConfig{oid4vc.ProofTypeJWT: proof}
	if attested {
		proofs[oid4vc.ProofTypeAttestation] = proof
	}
	return oid4vc.CredentialConfiguration{
		Format: oid4vc.FormatSDJWTVC, VCT: c.vct(o), Scope: c.id, SigningAlgs: []any{string(o.signing.Public().Alg())},
		BindingMethods: []string{oid4vc.BindingJWK, oid4vc.BindingDIDKey, oid4vc.BindingDIDJWK}, ProofTypes: proofs, Metadata: c.wireMetadata(),
	}
}

func (c *configuration) wireMetadata() *oid4vc.CredentialMetadata {
	claims, display := c.Claims, c.Display
	if c.typ != "" {
		m, _ := schemas.ReadMetadata(c.typ.VCT())
		claims = m.Claims
		for _, d := range m.Display {
			display = append(display, CardDisplay{TypeDisplay: d})
		}
	}
	out := &oid4vc.CredentialMetadata{}
	for _, d := range display {
		out.Display = append(out.Display, oid4vc.Display{Name: d.Name, Locale: d.Locale, Description: d.Description, BackgroundColor: d.BackgroundColor, TextColor: d.TextColor,
			Logo: d.Logo, BackgroundImage: d.BackgroundImage})
	}
	for _, claim := range claims {
		path := make(oid4vc.ClaimPath, len(claim.Path))
		for n, step := range claim.Path {
			path[n] = step
		}
		described := oid4vc.ClaimDescription{Path: path, Mandatory: claim.Mandatory}
		for _, d := range claim.Display {
			described.Display = append(described.Display, oid4vc.Display{Name: d.Label, Locale: d.Locale})
		}
		out.Claims = append(out.Claims, described)
	}
	return out
}

// check checks claims by the schema. reserved claims are the issuer's alone.
func (c *configuration) check(claims map[string]any) error {
	for name := range claims {
		if slices.Contains(issuersClaims, name) {
			return fmt.Errorf("claim %s is set by the issuer: leave it out", name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if err := c.schema.Validate(v); err != nil {
		return fmt.Errorf("the claims do not fit the schema of %s: %w", c.id, err)
	}
	return nil
}

var issuersClaims = []string{"iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status", "logged", "_sd", "_sd_alg"}

// hide marks what the holder may withhold.
func (c *configuration) hide(claims map[string]any) map[string]any {
	if c.typ != "" {
		return hide(c.typ, claims)
	}
	out := maps.Clone(claims)
	for _, claim := range c.Claims {
		if claim.SD == schemas.SDAlways {
			hideAt(out, claim.Path)
		}
	}
	return out
}

// hideAt marks the member at path; objects inside this one are copied for it.
func hideAt(object map[string]any, path []string) {
	v, ok := object[path[0]]
	if !ok {
		return
	}
	if len(path) == 1 {
		object[path[0]] = sdjwt.Hidden(v)
	} else if inner, ok := v.(map[string]any); ok {
		inner = maps.Clone(inner)
		hideAt(inner, path[1:])
		object[path[0]] = inner
	}
}

// example returns fresh valid claims: of operator-defined types the example of the file with {random} and {today} filled in, of attestations
// the example of the schemas, about nobody and nothing that is logged.
func (i *Issuer) example(o *org, c *configuration) (map[string]any, error) {
	text := []byte(c.Example)
	if c.typ != "" {
		text = schemas.Example(c.typ.VCT())
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s has no example: give --claims", c.id)
	}
	random, err := i.random(64)
	if err != nil {
		return nil, err
	}
	today := attestation.DateOf(i.Now())
	text = bytes.ReplaceAll(text, []byte("{random}"), []byte(hex.EncodeToString(random[:4])))
	text = bytes.ReplaceAll(text, []byte("{today}"), []byte(today.String()))
	claims := map[string]any{}
	if err := keys.DecodeJSON(text, &claims); err != nil {
		return nil, err
	}
	for n, name := range []string{"engagement", "ledger_row_hash"} {
		if _, ok := claims[name]; ok {
			claims[name] = registry.HashOf(random[n*32 : n*32+32]).String()
		}
	}
	if c.typ == attestation.TypeEngagement {
		exampleContract(o, claims, today, registry.HashOf(random).String())
	}
	return claims, nil
}

// exampleContract makes the example engagement one of this organization, for two years from this month on.
func exampleContract(o *org, claims map[string]any, today attestation.Date, contract string) {
	start := attestation.MonthOf(today).First()
	claims["employer"] = map[string]any{"id": o.ID, "name": map[string]any{"ja": o.Name["ja"], "en": english(o.Name)}}
	claims["start"], claims["end"] = start.String(), start.AddMonths(24).AddDays(-1).String()
	claims["contract_hash"] = contract
	delete(claims, "slots")
	delete(claims, "delivery_proof")
}

// english returns a name in English, or in whatever there is.
func english(name map[string]string) string {
	if en := name["en"]; en != "" {
		return en
	}
	return name["ja"]
}

// expires is the exp of a credential made now, 0 for none: whole days, as iat.
func (c *configuration) expires(now time.Time) int64 {
	if c.ValidDays == 0 {
		return 0
	}
	return roundToDay(now.AddDate(0, 0, c.ValidDays))
}

func isAttestation(typ attestation.Type) bool {
	return typ != "" && typ != attestation.TypeEngagement
}
