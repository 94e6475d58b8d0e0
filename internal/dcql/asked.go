package dcql

import "errors"

// ErrUnasked is returned for a presentation that discloses what could have been withheld and was not asked for, which no wallet may send
// (Section 6.4). It cannot be cut off: the holder's signature is over all that was sent. So nothing of it is kept.
var ErrUnasked = errors.New("the presentation discloses claims that were not asked for")

// asked is the paths of credential queries as a tree.
type asked struct {
	members  map[string]*asked
	elements *asked // of indices and of null
	whole    bool   // a path ends here, and with it all that lies below is asked for
}

// add adds a path. Which element an index meant the verifier cannot tell: those that were withheld do not count in what it sees.
func (a *asked) add(p Path) {
	for _, component := range p {
		name, isName := component.(string)
		next := a.elements
		if isName {
			next = a.members[name]
		}
		switch {
		case next != nil:
		case isName:
			next = new(asked)
			if a.members == nil {
				a.members = make(map[string]*asked)
			}
			a.members[name] = next
		default:
			next = new(asked)
			a.elements = next
		}
		a = next
	}
	a.whole = true
}

// has tells whether the claim at a place was asked for: itself, something below it, or what holds it.
func (a *asked) has(place Path) bool {
	for _, component := range place {
		if a.whole {
			return true
		}
		next := a.elements
		if name, ok := component.(string); ok {
			next = a.members[name]
		}
		if next == nil {
			return false
		}
		a = next
	}
	return true
}

// checkAsked makes sure that all that was disclosed was asked for, by the credential query that is answered or by another one that the same
// credential fulfils (Section 6.4.1).
func (q *Query) checkAsked(c *Credential, presented Candidate) error {
	var all asked
	rest := all.unasked(c, presented.Disclosed)
	for i := range q.Credentials {
		other := &q.Credentials[i]
		if len(rest) == 0 {
			return nil
		}
		if other == c {
			continue
		}
		if other.takes(presented) == nil {
			rest = all.unasked(other, rest)
		}
	}
	if len(rest) > 0 {
		return ErrUnasked
	}
	return nil
}

// unasked adds what a credential query asks for, and returns the places that were still not.
func (a *asked) unasked(c *Credential, places []Path) []Path {
	for _, claim := range c.Claims {
		a.add(claim.Path)
	}
	var rest []Path
	for _, place := range places {
		if !a.has(place) {
			rest = append(rest, place)
		}
	}
	return rest
}
