package wallet

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/schemas"
)

// typeMetadata is what of SD-JWT VC Type Metadata (Section 4) is checked.
type typeMetadata struct {
	VCT       string     `json:"vct"`
	Extends   string     `json:"extends"`
	Integrity string     `json:"extends#integrity"`
	Claims    []typeRule `json:"claims"`
}

// typeRule is a type's rule for one claim.
type typeRule struct {
	Path      oid4vc.ClaimPath `json:"path"`
	Mandatory *bool            `json:"mandatory"` // nil: as in the type that is extended
	SD        string           `json:"sd"`        // "": likewise
}

// maxTypes is how many types may extend one another. Each is fetched.
const maxTypes = 8

// checkType checks a credential by its type's metadata, and those of the types that it extends. A type whose metadata cannot be had is not
// judged, unless the credential commits to them: then nobody could judge it later.
func (w *Wallet) checkType(ctx context.Context, v *sdjwt.Verified) error {
	vct, _ := v.Claims["vct"].(string)
	integrity, committed := v.Claims["vct#integrity"].(string)
	body := w.typeDocument(ctx, vct)
	switch {
	case body == nil && committed:
		return fmt.Errorf("%w: what it says about the type cannot be read", ErrTypeMetadata)
	case body == nil:
		return nil
	case committed && !hasIntegrity(integrity, body):
		return fmt.Errorf("%w: the type's metadata are others than it was issued with", ErrTypeMetadata)
	}
	rules, err := w.typeRules(ctx, vct, body)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if err := rule.check(v); err != nil {
			return err
		}
	}
	return nil
}

// typeDocument returns the metadata of a type, nil where they cannot be had.
func (w *Wallet) typeDocument(ctx context.Context, vct string) []byte {
	if body, ok := schemas.TypeMetadata(vct); ok {
		return body
	}
	if !strings.HasPrefix(vct, "https://") {
		return nil
	}
	resp, err := w.Web.Get(ctx, vct, oid4vc.MediaTypeJSON)
	if err != nil || resp.Status != http.StatusOK || resp.MediaType != oid4vc.MediaTypeJSON {
		return nil
	}
	return resp.Body
}

// typeRules returns the rules of a type (SD-JWT VC, Section 4.4): those of the type that it extends, and so on, with its own in their place. Every
// one must be to be had, and as the type that extends it says.
func (w *Wallet) typeRules(ctx context.Context, vct string, body []byte) ([]typeRule, error) {
	var chain []typeMetadata
	for {
		var m typeMetadata
		if err := keys.DecodeJSON(body, &m); err != nil || m.VCT != vct {
			return nil, fmt.Errorf("%w: the type's metadata are malformed or of another type", ErrTypeMetadata)
		}
		chain = append(chain, m)
		if m.Extends == "" {
			break
		}
		if len(chain) == maxTypes || slices.ContainsFunc(chain, func(known typeMetadata) bool { return known.VCT == m.Extends }) {
			return nil, fmt.Errorf("%w: the type extends itself, or more than %d others", ErrTypeMetadata, maxTypes-1)
		}
		vct = m.Extends
		if body = w.typeDocument(ctx, vct); body == nil {
			return nil, fmt.Errorf("%w: what it says about a type that it extends cannot be read", ErrTypeMetadata)
		}
		if m.Integrity != "" && !hasIntegrity(m.Integrity, body) {
			return nil, fmt.Errorf("%w: the metadata of a type that it extends are others than it says", ErrTypeMetadata)
		}
	}
	var rules []typeRule
	for _, m := range slices.Backward(chain) {
		for _, own := range m.Claims {
			i := slices.IndexFunc(rules, func(r typeRule) bool { return slices.Equal([]any(r.Path), []any(own.Path)) })
			if i < 0 {
				rules = append(rules, own)
				continue
			}
			if err := rules[i].narrow(own); err != nil {
				return nil, err
			}
		}
	}
	return rules, nil
}

// narrow puts the rule of an extending type in the place of that of the extended one, which it may not loosen.
func (r *typeRule) narrow(own typeRule) error {
	fixed := r.SD == schemas.SDAlways || r.SD == schemas.SDNever
	if own.SD != "" && own.SD != r.SD && fixed || own.Mandatory != nil && !*own.Mandatory && r.mandatory() {
		return fmt.Errorf("%w: a type loosens a rule of the type that it extends, for the claim %v", ErrTypeMetadata, []any(r.Path))
	}
	if own.SD != "" {
		r.SD = own.SD
	}
	if own.Mandatory != nil {
		r.Mandatory = own.Mandatory
	}
	return nil
}

func (r *typeRule) mandatory() bool { return r.Mandatory != nil && *r.Mandatory }

// check holds a credential against the rule.
func (r *typeRule) check(v *sdjwt.Verified) error {
	disclosed := slices.ContainsFunc(v.Disclosed, func(d sdjwt.DisclosedClaim) bool { return slices.Equal(d.Path, []any(r.Path)) })
	there := hasClaim(v.Claims, r.Path)
	switch {
	case r.mandatory() && !there:
		return fmt.Errorf("%w: the claim %v is missing", ErrTypeMetadata, []any(r.Path))
	case there && r.SD == schemas.SDAlways && !disclosed && !slices.Contains([]any(r.Path), nil):
		return fmt.Errorf("%w: the claim %v could not be withheld", ErrTypeMetadata, []any(r.Path))
	case disclosed && r.SD == schemas.SDNever:
		return fmt.Errorf("%w: the claim %v must always be visible", ErrTypeMetadata, []any(r.Path))
	}
	return nil
}

// hasClaim tells whether a path leads to something.
func hasClaim(v any, path []any) bool {
	if len(path) == 0 {
		return true
	}
	switch step := path[0].(type) {
	case string:
		object, _ := v.(map[string]any)
		member, ok := object[step]
		return ok && hasClaim(member, path[1:])
	case int:
		array, _ := v.([]any)
		return step < len(array) && hasClaim(array[step], path[1:])
	}
	array, _ := v.([]any) // null: any element
	return slices.ContainsFunc(array, func(element any) bool { return hasClaim(element, path[1:]) })
}

// hasIntegrity checks W3C Subresource Integrity metadata (SD-JWT VC, Section 6): of several, those of the strongest algorithm count.
func hasIntegrity(integrity string, body []byte) bool {
	sums := map[string][]byte{}
	s2, s3, s5 := sha256.Sum256(body), sha512.Sum384(body), sha512.Sum512(body)
	sums["sha256"], sums["sha384"], sums["sha512"] = s2[:], s3[:], s5[:]
	strongest, ok := "", false
	for _, one := range strings.Fields(integrity) {
		name, value, _ := strings.Cut(one, "-")
		value, _, _ = strings.Cut(value, "?")
		if sums[name] == nil || name < strongest {
			continue
		}
		fits := value == base64.StdEncoding.EncodeToString(sums[name])
		ok = fits || ok && name == strongest
		strongest = name
	}
	return ok
}
