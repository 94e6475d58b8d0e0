package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"akashi/internal/keys"
)

// ErrConfirmationKey is returned when the "cnf" claim has no usable key, or another one than is at hand.
var ErrConfirmationKey = errors.New("cnf does not hold the expected public key")

// Expect says what a verifier accepts. It comes from the verifier's own policy, never from the token.
type Expect struct {
	Algs  []keys.Alg // algorithms for the issuer's signature; none allowed if empty
	Typ   string     // header typ; "" means dc+sd-jwt, or with Plain that it is not looked at
	VCT   []string   // types asked for, one must match; nil means any
	Plain bool       // an SD-JWT that is no verifiable credential: the rules of SD-JWT VC are not applied
	Now   time.Time  // the time at which nbf and exp are judged; zero means that they are not judged

	KeyBinding *ExpectKeyBinding // nil means that there must be no key binding JWT
}

// DisclosedClaim is a claim that came from a disclosure, with its place in the processed claims: names, and indices in arrays.
type DisclosedClaim struct {
	Path []any // string or int
	Disclosure
}

// Verified is an SD-JWT that holds under the expectations it was verified with.
type Verified struct {
	ID        string
	JWT       string
	Header    keys.UnverifiedHeader // signed by the issuer; the chain in x5c is still the caller's to check
	Claims    map[string]any        // processed: digests removed, disclosed claims in place, numbers json.Number
	Payload   []byte                // as signed, with the digests
	Signed    map[string]any        // decoded Payload, not to be changed
	Disclosed []DisclosedClaim      // in the order sent; every claim that is in none of them was visible from the start
	Holder    keys.Public           // cnf.jwk, zero if there is none
	KB        *KeyBindingClaims     // nil if none was asked for
}

// ClaimsJSON is the processed claims as JSON.
func (v *Verified) ClaimsJSON() []byte {
	text, err := json.Marshal(v.Claims)
	if err != nil {
		panic("sdjwt: decoded JSON cannot be encoded: " + err.Error()) // maps, arrays, strings, json.Number, bool and nil only
	}
	return text
}

// Verify checks signature, type, digests (RFC 9901, Section 7.1), the rules of SD-JWT VC, time, and key binding (Section 7.3), in this order.
func (u *Unverified) Verify(key keys.Public, want Expect) (*Verified, error) {
	token, err := u.token.Verify(key, want.Algs...)
	if err != nil {
		return nil, fmt.Errorf("issuer-signed JWT: %w", err)
	}
	if err := checkTyp(token.Header.Typ, want); err != nil {
		return nil, err
	}
	claims, disclosed, err := u.process()
	if err != nil {
		return nil, err
	}
	if !want.Plain {
		if err := checkVisible(u.claims, disclosed); err != nil {
			return nil, err
		}
		if err := checkVCT(claims, want.VCT); err != nil {
			return nil, err
		}
	}
	if err := checkTimes(claims, want.Now); err != nil {
		return nil, err
	}
	holder, err := u.holder()
	if err != nil && !(want.Plain && want.KeyBinding == nil) { // RFC 9901 alone leaves the kind of cnf open
		return nil, err
	}
	kb, err := u.verifyKeyBinding(holder, want.KeyBinding)
	if err != nil {
		return nil, err
	}
	return &Verified{ID: u.ID(), JWT: u.jwt, Header: token.Header, Claims: claims, Payload: token.Payload, Signed: u.claims, Disclosed: disclosed, Holder: holder, KB: kb}, nil
}

func checkTyp(typ string, want Expect) error {
	expected := want.Typ
	if expected == "" && !want.Plain {
		expected = Typ
	}
	if expected != "" && typ != expected {
		return fmt.Errorf("%w: it must be %s", ErrType, expected)
	}
	return nil
}

// holder reads cnf.jwk (RFC 7800, Section 3.2) from the visible payload; no cnf gives no key.
func (u *Unverified) holder() (keys.Public, error) {
	cnf, ok := u.claims["cnf"]
	if !ok {
		return keys.Public{}, nil
	}
	object, ok := cnf.(map[string]any)
	if !ok {
		return keys.Public{}, fmt.Errorf("%w: cnf is not an object", ErrConfirmationKey)
	}
	jwk, ok := object["jwk"].(map[string]any)
	if !ok {
		return keys.Public{}, fmt.Errorf("%w: cnf has no jwk", ErrConfirmationKey)
	}
	key, err := keys.PublicFromMembers(jwk)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: %w", ErrConfirmationKey, err)
	}
	return key, nil
}

// processor puts disclosed claims in their places. It copies what it changes, so an Unverified can be processed again.
type processor struct {
	disclosures []Disclosure
	byDigest    map[string]int // digest to index of its disclosure
	paths       [][]any        // by disclosure; nil until it is found
	parents     []int          // by disclosure: the one whose value holds its digest, or noParent
	seen        map[string]struct{}
	path        []any // of the value at hand
}

const noParent = -1

// process runs RFC 9901, Section 7.1, steps 3 to 5.
func (u *Unverified) process() (map[string]any, []DisclosedClaim, error) {
	claims, p, err := u.place()
	if err != nil {
		return nil, nil, err
	}
	disclosed := make([]DisclosedClaim, len(u.disclosures))
	for i, d := range u.disclosures {
		disclosed[i] = DisclosedClaim{Path: p.paths[i], Disclosure: d}
	}
	return claims, disclosed, nil
}

func (u *Unverified) place() (map[string]any, *processor, error) {
	if alg, ok := u.claims[memberSDAlg]; ok && alg != hashName {
		return nil, nil, ErrHashAlgorithm
	}
	n := len(u.disclosures)
	p := &processor{disclosures: u.disclosures, byDigest: make(map[string]int, n), paths: make([][]any, n), parents: make([]int, n), seen: make(map[string]struct{}, 2*n)}
	for i, d := range u.disclosures {
		if _, twice := p.byDigest[d.Digest]; twice {
			return nil, nil, fmt.Errorf("%w: disclosure %d was sent before", ErrDigestTwice, i)
		}
		p.byDigest[d.Digest] = i
	}
	claims, err := p.object(u.claims, noParent)
	if err != nil {
		return nil, nil, err
	}
	if i := slices.IndexFunc(p.paths, func(path []any) bool { return path == nil }); i >= 0 {
		return nil, nil, fmt.Errorf("%w: disclosure %d", ErrUnreferencedDisclosure, i)
	}
	return claims, p, nil
}

func (p *processor) value(v any, parent int) (any, error) {
	if len(p.path) > maxDepth {
		return nil, ErrTooDeep
	}
	switch v := v.(type) {
	case map[string]any:
		return p.object(v, parent)
	case []any:
		return p.array(v, parent)
	}
	return v, nil
}

// at processes v as the member or element that step names.
func (p *processor) at(step, v any, parent int) (any, error) {
	p.path = append(p.path, step)
	out, err := p.value(v, parent)
	p.path = p.path[:len(p.path)-1]
	return out, err
}

func (p *processor) object(in map[string]any, parent int) (map[string]any, error) {
	out := make(map[string]any, len(in))
	for name, v := range in {
		if name == memberSD || name == memberSDAlg && len(p.path) == 0 {
			continue
		}
		if isReserved(name) {
			return nil, ErrReservedName
		}
		processed, err := p.at(name, v, parent)
		if err != nil {
			return nil, err
		}
		out[name] = processed
	}
	if sd, ok := in[memberSD]; ok {
		if err := p.disclosedMembers(out, sd, parent); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// disclosedMembers inserts into out what the digests of its _sd stand for.
func (p *processor) disclosedMembers(out map[string]any, sd any, parent int) error {
	digests, ok := sd.([]any)
	if !ok {
		return fmt.Errorf("%w: _sd must be an array", ErrDigestForm)
	}
	for _, v := range digests {
		i, found, err := p.find(v, parent)
		if err != nil {
			return err
		}
		if !found {
			continue // withheld, or a decoy
		}
		d := &p.disclosures[i]
		if d.IsElement {
			return fmt.Errorf("%w: a member needs three", ErrElementCount)
		}
		if _, taken := out[d.Name]; taken {
			return ErrNameTaken
		}
		if out[d.Name], err = p.disclosed(i, d.Name); err != nil {
			return err
		}
	}
	return nil
}

func (p *processor) array(in []any, parent int) ([]any, error) {
	out := make([]any, 0, len(in))
	for _, v := range in {
		object, _ := v.(map[string]any)
		element, isDigest := object[memberDigest]
		if !isDigest {
			processed, err := p.at(len(out), v, parent)
			if err != nil {
				return nil, err
			}
			out = append(out, processed)
			continue
		}
		if len(object) != 1 {
			return nil, fmt.Errorf(`%w: an object with "..." has no other member`, ErrDigestForm)
		}
		i, found, err := p.find(element, parent)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		if !p.disclosures[i].IsElement {
			return nil, fmt.Errorf("%w: an array element needs two", ErrElementCount)
		}
		processed, err := p.disclosed(i, len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, processed)
	}
	return out, nil
}

// find looks up the disclosure of a digest and notes that the digest was met.
func (p *processor) find(v any, parent int) (i int, found bool, err error) {
	d, ok := v.(string)
	if !ok {
		return 0, false, fmt.Errorf("%w: a digest must be a string", ErrDigestForm)
	}
	if _, twice := p.seen[d]; twice {
		return 0, false, ErrDigestTwice
	}
	p.seen[d] = struct{}{}
	if i, found = p.byDigest[d]; found {
		p.parents[i] = parent
	}
	return i, found, nil
}

// disclosed processes the value of disclosure i at its place.
func (p *processor) disclosed(i int, step any) (any, error) {
	p.paths[i] = append(slices.Clone(p.path), step)
	return p.at(step, p.disclosures[i].value, i)
}
