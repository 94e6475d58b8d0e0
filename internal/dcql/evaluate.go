package dcql

import (
	"errors"
	"fmt"
	"slices"
)

// Candidate is a credential as a wallet holds it, with everything disclosed, or as a verifier has verified it, with what was disclosed.
type Candidate struct {
	Format    string
	Types     []string       // vct, and the types it also stands for (aka_vcts, extends)
	Bound     bool           // wallet: it is bound to a key that can sign; verifier: the holder's signature was verified
	KeyIDs    []string       // of the authority key identifiers of the certificates in its chain, in base64url
	Claims    map[string]any // processed, numbers as json.Number
	Disclosed []Path         // places of the claims that can be withheld
}

// Match is a candidate that a credential query takes.
type Match struct {
	Candidate int        // index
	Claims    []Selected // that the query asks for
	Disclose  []Path     // of Candidate.Disclosed, those that must be sent for them; nothing else may be
}

// Reasons for which a candidate does not match. Each is one rule.
var (
	ErrFormat        = errors.New("the credential is of another format than was asked for")
	ErrType          = errors.New("the credential is of none of the types that were asked for")
	ErrHolderBinding = errors.New("the credential is not bound to its holder")
	ErrAuthority     = errors.New("the credential comes from none of the authorities that were asked for")
	ErrClaims        = errors.New("claims that were asked for are not in the credential, or have other values")
)

// Reasons for which an answer as a whole does not hold.
var (
	ErrUnknownID   = errors.New("the answer has a presentation for something that was not asked")
	ErrCount       = errors.New("the answer has another number of presentations than was asked for")
	ErrUnsatisfied = errors.New("the answer does not have all the credentials that were asked for")
)

// Evaluate decides whether a credential query takes a candidate, and which claims go.
func (c *Credential) Evaluate(candidate Candidate) (*Match, error) {
	selected, err := c.take(candidate)
	if err != nil {
		return nil, err
	}
	return &Match{Claims: selected, Disclose: candidate.toDisclose(selected)}, nil
}

// take decides whether a credential query takes a candidate, and selects the claims.
func (c *Credential) take(candidate Candidate) ([]Selected, error) {
	if c.Format != candidate.Format || c.Format != FormatSDJWTVC {
		return nil, ErrFormat
	}
	if len(c.Meta.VCTs) > 0 && !slices.ContainsFunc(candidate.Types, func(t string) bool { return slices.Contains(c.Meta.VCTs, t) }) {
		return nil, ErrType
	}
	if c.NeedsHolderBinding() && !candidate.Bound {
		return nil, ErrHolderBinding
	}
	if len(c.Authorities) > 0 && !slices.ContainsFunc(c.Authorities, candidate.isUnder) {
		return nil, ErrAuthority
	}
	return c.selectClaims(candidate.Claims)
}

func (c Candidate) isUnder(a Authority) bool {
	return a.Type == AuthorityKeyIdentifier && slices.ContainsFunc(c.KeyIDs, func(id string) bool { return slices.Contains(a.Values, id) })
}

// selectClaims applies Section 6.4.1: all claims, or those of the first claim set that can be met; without claims none.
func (c *Credential) selectClaims(claims map[string]any) ([]Selected, error) {
	left := maxSelected
	if c.ClaimSets == nil {
		var all []Selected
		for _, claim := range c.distinct() {
			s := claim.find(claims, &left)
			if s == nil {
				return nil, ErrClaims
			}
			all = append(all, s...)
		}
		return all, nil
	}
	found := make(map[string][]Selected) // by id
	for _, claim := range c.Claims {
		found[claim.ID] = claim.find(claims, &left)
	}
	for _, set := range c.ClaimSets {
		if slices.ContainsFunc(set, func(id string) bool { return found[id] == nil }) {
			continue
		}
		var chosen []Selected
		for _, id := range set {
			chosen = append(chosen, found[id]...)
		}
		return chosen, nil
	}
	return nil, ErrClaims
}

// find returns what the claim query selects, nil for nothing. Where the path selects several, those with one of the values count. Of a query and
// a credential that are made for each other, with many claims that each select all of a long array, only so much is followed as left says.
func (c Claim) find(claims map[string]any, left *int) []Selected {
	selected, err := c.Path.follow(claims, left)
	if err != nil {
		return nil
	}
	if c.Values == nil {
		return selected
	}
	var equal []Selected
	for _, s := range selected {
		if slices.ContainsFunc(c.Values, func(v any) bool { return equalValue(v, s.Value) }) {
			equal = append(equal, s)
		}
	}
	return equal
}

// toDisclose returns the disclosures that the selected claims need: those that hold them, and, where a whole object or array was asked for, those
// in it.
func (c Candidate) toDisclose(selected []Selected) []Path {
	var out []Path
	for _, d := range c.Disclosed {
		if slices.ContainsFunc(selected, func(s Selected) bool { return s.Path.within(d) || d.within(s.Path) }) {
			out = append(out, d)
		}
	}
	return out
}

// Match finds, for each credential query by its id, the candidates that it takes, in their order. A wallet lets the holder choose among them.
func (q *Query) Match(candidates []Candidate) map[string][]Match {
	matches := make(map[string][]Match)
	for i := range q.Credentials {
		c := &q.Credentials[i]
		for n, candidate := range candidates {
			m, err := c.Evaluate(candidate)
			if err != nil {
				continue
			}
			m.Candidate = n
			matches[c.ID] = append(matches[c.ID], *m)
		}
	}
	return matches
}

// Choice is a set of the query and the alternative taken.
type Choice struct {
	Set      int // index in Query.Sets; -1 for a query without sets
	IDs      []string
	Optional bool // the holder may leave it out
}

// Choose picks what to answer by Section 6.4.2: of each set the first alternative of which every credential query has a match. ErrUnsatisfied
// means that nothing may be sent.
func (q *Query) Choose(matches map[string][]Match) ([]Choice, error) {
	has := func(id string) bool { return len(matches[id]) > 0 }
	if q.Sets == nil {
		var ids []string
		for _, c := range q.Credentials {
			ids = append(ids, c.ID)
		}
		if !all(ids, has) {
			return nil, ErrUnsatisfied
		}
		return []Choice{{Set: -1, IDs: ids}}, nil
	}
	var choices []Choice
	for i, s := range q.Sets {
		n := slices.IndexFunc(s.Options, func(option []string) bool { return all(option, has) })
		switch {
		case n >= 0:
			choices = append(choices, Choice{Set: i, IDs: s.Options[n], Optional: !s.IsRequired()})
		case s.IsRequired():
			return nil, ErrUnsatisfied
		}
	}
	if len(choices) == 0 {
		return nil, ErrUnsatisfied
	}
	return choices, nil
}

func all(ids []string, has func(string) bool) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return !has(id) })
}

// CheckPresentation tells a verifier whether a verified presentation is what the credential query of that id asked for, and no more.
func (q *Query) CheckPresentation(id string, presented Candidate) error {
	c := q.Credential(id)
	if c == nil {
		return ErrUnknownID
	}
	if err := c.takes(presented); err != nil {
		return err
	}
	return q.checkAsked(c, presented)
}

// takes is take for what a verifier sees. The wallet counts the elements of an array before it withholds some of them.
func (c *Credential) takes(presented Candidate) error {
	_, err := c.take(presented)
	if !errors.Is(err, ErrClaims) {
		return err
	}
	moved := *c
	moved.Claims = slices.Clone(c.Claims)
	for i := range moved.Claims {
		moved.Claims[i].Path = presented.anyElement(moved.Claims[i].Path)
	}
	_, err = moved.take(presented)
	return err
}

// anyElement is a path with null for each index into an array of which elements were disclosed: others were withheld, or may have been.
func (c Candidate) anyElement(p Path) Path {
	out := slices.Clone(p)
	for i := range out {
		if _, isIndex := out[i].(int); isIndex && slices.ContainsFunc(c.Disclosed, func(d Path) bool { return d.isElement(out[:i]) }) {
			out[i] = nil
		}
	}
	return out
}

// CheckCounts tells a verifier whether the keys of a vp_token are ids of the query, each with one presentation, or with Multiple at least one.
func (q *Query) CheckCounts(counts map[string]int) error {
	for id, n := range counts {
		c := q.Credential(id)
		switch {
		case c == nil:
			return ErrUnknownID
		case n < 1 || n > 1 && !c.Multiple:
			return fmt.Errorf("%w: credential query %s", ErrCount, c.ID)
		}
	}
	return nil
}

// CheckAnswer tells a verifier whether the credential queries that were answered satisfy the query as a whole (Section 6.4.2).
func (q *Query) CheckAnswer(answered []string) error {
	has := func(id string) bool { return slices.Contains(answered, id) }
	if q.Sets == nil {
		for _, c := range q.Credentials {
			if !has(c.ID) {
				return ErrUnsatisfied
			}
		}
		return nil
	}
	for _, s := range q.Sets {
		if s.IsRequired() && !slices.ContainsFunc(s.Options, func(option []string) bool { return all(option, has) }) {
			return ErrUnsatisfied
		}
	}
	return nil
}
