package trustlist

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"akashi/internal/keys"
)

// ErrStatusKey is returned when a status list token is not signed by the service that serves the list.
var ErrStatusKey = errors.New("signing key is not of the service of this status list")

// StatusService serves the status lists (Token Status List) of many organizations merged, so that a list does not tell whose credential is
// looked up. It signs them with keys of its own, which attest nothing.
type StatusService struct {
	URI  string            `json:"uri"`  // begins the URIs of its lists and ends with a slash
	Keys []json.RawMessage `json:"keys"` // of its status list tokens
}

type statusKey struct {
	uri string
	key keys.Public
}

// addService checks a service against what was added before, and indexes it.
func (l *List) addService(s StatusService, parse parseKey) error {
	if err := checkIssuer(s.URI); err != nil || !strings.HasSuffix(s.URI, "/") {
		return errors.New("uri must be an https URL that ends with a slash")
	}
	if len(s.Keys) == 0 {
		return errors.New("has no keys")
	}
	for _, o := range l.StatusServices {
		if o.URI != s.URI && (strings.HasPrefix(o.URI, s.URI) || strings.HasPrefix(s.URI, o.URI)) {
			return errors.New("its uri stands inside another's")
		}
	}
	for _, jwk := range s.Keys {
		k, err := parse(jwk)
		if err != nil {
			return err
		}
		if l.owner(k.Thumbprint()) != "" {
			return errors.New("a key stands twice: each has one purpose")
		}
		l.byStatus[k.Thumbprint()] = statusKey{s.URI, k}
	}
	return nil
}

// StatusService returns the service that serves the list at uri.
func (l *List) StatusService(uri string) (StatusService, bool) {
	if l == nil {
		return StatusService{}, false
	}
	for _, s := range l.StatusServices {
		if strings.HasPrefix(uri, s.URI) {
			return s, true
		}
	}
	return StatusService{}, false
}

// StatusKey returns the key with which to verify the status list token with this header, fetched from uri. served tells whether a listed
// service serves the list: then nobody else may sign it, and without a key the error wraps [ErrStatusKey]. Services are judged by the
// newest list. With x5c the leaf must hold the listed key.
func (l *List) StatusKey(uri string, h keys.UnverifiedHeader) (key keys.Public, served bool, err error) {
	service, served := l.StatusService(uri)
	if !served {
		return keys.Public{}, false, nil
	}
	kid := h.Kid
	if h.X5C != nil {
		chain, err := h.Chain()
		if err != nil {
			return keys.Public{}, true, fmt.Errorf("%w: %w", ErrStatusKey, err)
		}
		leaf, err := keys.PublicFrom(chain[0].PublicKey)
		if err != nil || kid != "" && kid != leaf.Thumbprint() {
			return keys.Public{}, true, ErrStatusKey
		}
		kid = leaf.Thumbprint()
	}
	known, ok := l.byStatus[kid]
	if !ok || known.uri != service.URI {
		return keys.Public{}, true, ErrStatusKey
	}
	return known.key, true, nil
}
