package trustlist

import (
	"crypto/x509"
	"fmt"
	"time"

	"akashi/internal/keys"
)

// EntityForHeader returns the entity and the key with which to verify a token, from the token's header. at is the time at which
// certificates must be valid, normally the witnesses' time of the entry.
//
// Without x5c the kid must be the thumbprint of a listed signing key. With x5c (RFC 7515, Section 4.1.6) the leaf must hold a listed
// key, or lead to a root listed for the entity with every certificate valid at that time; a kid, if present, must be the thumbprint of
// the leaf's key. Errors wrap [ErrUnknownKey].
func (l *List) EntityForHeader(h keys.UnverifiedHeader, at time.Time) (*Entity, keys.Public, error) {
	if h.X5C != nil {
		return l.entityForChain(h, at)
	}
	if h.Kid == "" {
		return nil, keys.Public{}, fmt.Errorf("%w: the header has neither kid nor x5c", ErrUnknownKey)
	}
	e, key, ok := l.EntityByKey(h.Kid)
	if !ok {
		return nil, keys.Public{}, ErrUnknownKey
	}
	return e, key, nil
}

func (l *List) entityForChain(h keys.UnverifiedHeader, at time.Time) (*Entity, keys.Public, error) {
	refuse := func(why string) (*Entity, keys.Public, error) {
		return nil, keys.Public{}, fmt.Errorf("%w: x5c: %s", ErrUnknownKey, why)
	}
	chain, err := h.Chain()
	if err != nil {
		return refuse(err.Error())
	}
	key, err := h.LeafKey()
	if err != nil {
		return refuse("the leaf's key is of a kind that is not used here")
	}
	if h.Kid != "" && h.Kid != key.Thumbprint() {
		return refuse("kid is not the thumbprint of the leaf's key")
	}
	if e, listed, ok := l.EntityByKey(key.Thumbprint()); ok {
		return e, listed, nil
	}
	if at.IsZero() {
		return refuse("without a time no certificate is valid")
	}
	if leaf := chain[0]; leaf.IsCA || leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return refuse("the leaf is not for signing")
	}
	e := l.entityForRoot(chain, at)
	if e == nil {
		return refuse("the chain leads to no listed root, or was not valid at the time")
	}
	return e, key, nil
}

// LastValid returns the last instant at which the certificates in x5c are all valid; false for a header without, or with others than
// certificates. For a token logged at a time that is known from two sides only, it is the time to try besides the later one.
func LastValid(h keys.UnverifiedHeader) (time.Time, bool) {
	chain, err := h.Chain()
	if err != nil {
		return time.Time{}, false
	}
	last := chain[0].NotAfter
	for _, c := range chain[1:] {
		if c.NotAfter.Before(last) {
			last = c.NotAfter
		}
	}
	return last, true
}

// entityForRoot returns the entity at whose root the chain ends, nil if there is none or more than one.
func (l *List) entityForRoot(chain []*x509.Certificate, at time.Time) *Entity {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	found, err := chain[0].Verify(x509.VerifyOptions{
		Roots: l.roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil
	}
	var entity *Entity
	for _, c := range found {
		e := l.byRoot[string(c[len(c)-1].Raw)]
		if e == nil || entity != nil && e != entity {
			return nil
		}
		entity = e
	}
	return entity
}
