// Package trustlist reads and writes the trust list: who may attest what, as which role, from when until when, and with which keys.
//
// A trust list is a JWT (RFC 7519, typ akashi-trust-list+jwt) signed by the trust anchor, whose key every verifier has pinned. Versions
// are numbered from 1 without gaps and each is logged, so that the list in force for an entry of the log is the last version below it
// ([History.At]). A later version changes nothing for entries already logged, with one exception: it may say that a key was compromised
// since some time, which voids what the key signed and witnesses saw only afterwards ([History.Compromised]).
//
//	{"n": 1, "iat": 1759276800, "entities": [{
//	  "id": "8990000000001", "name": {"ja": "...", "en": "..."}, "roles": ["accepting-organization"],
//	  "issuer": "https://employer.example", "types": ["engagement", "wage-payment"], "from": "2025-10-01", "until": "2030-03-31",
//	  "group": "...", "keys": [JWK], "roots": ["base64 DER"], "submission_keys": [JWK],
//	  "compromised": [{"kid": "thumbprint", "since": "2026-07-01T00:00:00Z"}]}],
//	  "status_lists": [{"uri": "https://shared.example/status/", "keys": [JWK]}]}
//
// Use: [Verify] with the anchor's key gives a [List]; [NewHistory] orders the logged versions; [List.EntityForHeader] finds the entity
// and the key for a token's header, and [Entity.MayAttest] says whether it may attest; [List.StatusKey] finds the key of a status list.
// Nothing is fetched here. Left out: revocation of certificates (a compromised key is named in the list instead) and delegation
// between entities.
package trustlist

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/registry"
)

// Typ is the typ header of a trust list.
const Typ = "akashi-trust-list+jwt"

// maxPayload bounds the JSON of a list.
const maxPayload = 2 << 20

var (
	// ErrList is returned for a list that is not signed by the anchor or breaks a rule of this package.
	ErrList = errors.New("trust list")
	// ErrSuccessor is returned for a version that may not follow the one before.
	ErrSuccessor = errors.New("trust list version may not follow")
	// ErrUnknownKey is returned when no entity of the list has the key that a token names.
	ErrUnknownKey = errors.New("signing key is of no entity on the trust list")
	// ErrNotAccredited is returned when an entity may not attest the type, in the role, on the day.
	ErrNotAccredited = errors.New("not accredited")
)

// Entity is one party on the list. The list's parser checks it whole; treat it as read-only.
type Entity struct {
	ID     string             `json:"id"` // corporate number, or registration number of a support organization
	Name   map[string]string  `json:"name"`
	Roles  []attestation.Role `json:"roles"`
	Issuer string             `json:"issuer,omitempty"` // iss of its credentials; "" for a party that only submits or verifies
	Types  []attestation.Type `json:"types,omitempty"`  // what it may attest; the streams follow from the roles
	From   attestation.Date   `json:"from"`
	Until  attestation.Date   `json:"until,omitzero"` // last day, inclusive; zero means without end
	Group  string             `json:"group,omitempty"`
	// Keys sign attestations, and as a verifier's requests and evidence files; SubmissionKeys sign submissions to the registry; Roots are
	// certification authorities (DER) of which every leaf signs as one of Keys.
	Keys           []json.RawMessage `json:"keys,omitempty"`
	Roots          []registry.Bytes  `json:"roots,omitempty"`
	SubmissionKeys []json.RawMessage `json:"submission_keys,omitempty"`
	Compromised    []Compromise      `json:"compromised,omitempty"`
}

// Compromise voids what a key signed and the witnesses saw only after Since.
type Compromise struct {
	Kid   string    `json:"kid"` // RFC 7638 thumbprint
	Since time.Time `json:"since"`
}

// HasRole reports whether the entity plays the role.
func (e *Entity) HasRole(r attestation.Role) bool { return slices.Contains(e.Roles, r) }

// Tied reports whether two entities are one or belong to one group, so that they are not independent of each other.
func (e *Entity) Tied(o *Entity) bool { return e.ID == o.ID || e.Group != "" && e.Group == o.Group }

// MayAttest returns nil if the entity may attest type t in role r on day d, else an error that wraps [ErrNotAccredited].
func (e *Entity) MayAttest(t attestation.Type, r attestation.Role, d attestation.Date) error {
	switch {
	case !e.HasRole(r):
		return fmt.Errorf("%w: %s is not listed as %s", ErrNotAccredited, e.ID, r)
	case !slices.Contains(e.Types, t):
		return fmt.Errorf("%w: %s may not attest %s", ErrNotAccredited, e.ID, t)
	case d.IsZero() || d.Before(e.From) || !e.Until.IsZero() && d.After(e.Until):
		return fmt.Errorf("%w: the listing of %s does not cover %s", ErrNotAccredited, e.ID, d)
	}
	return nil
}

// List is one verified version.
type List struct {
	N              uint64
	IssuedAt       time.Time
	Entities       []*Entity
	StatusServices []StatusService
	JWT            string

	byID         map[string]*Entity
	bySigning    map[string]listedKey // by thumbprint
	bySubmission map[string]listedKey
	byStatus     map[string]statusKey
	byRoot       map[string]*Entity // by DER
	roots        *x509.CertPool
}

type listedKey struct {
	entity *Entity
	key    keys.Public
}

// payload is the list as it stands in the JWT.
type payload struct {
	N              uint64          `json:"n"`
	IssuedAt       int64           `json:"iat"`
	Entities       []*Entity       `json:"entities"`
	StatusServices []StatusService `json:"status_lists,omitempty"`
}

// received is a payload with the entities as they are written.
type received struct {
	N              uint64            `json:"n"`
	IssuedAt       int64             `json:"iat"`
	Entities       []json.RawMessage `json:"entities"`
	StatusServices []StatusService   `json:"status_lists"`
}

// Sign makes version n of the trust list, after checking it as [Verify] will.
func Sign(anchor *keys.Private, n uint64, issuedAt time.Time, entities []*Entity, services ...StatusService) (string, error) {
	body, err := json.Marshal(payload{n, issuedAt.Unix(), entities, services})
	if err != nil {
		return "", fmt.Errorf("encoding the trust list: %w", err)
	}
	l, err := NewReader(anchor.Public()).parse(body)
	if err == nil {
		err = l.checkAnchor(anchor.Public())
	}
	if err != nil {
		return "", err
	}
	return anchor.Sign(keys.Header{"typ": Typ, "kid": anchor.Public().Thumbprint()}, body)
}

// Verify checks the anchor's signature and every rule of a list.
func Verify(jwt string, anchor keys.Public) (*List, error) { return NewReader(anchor).Verify(jwt) }

// Reader reads versions of the list. They have most entities in common, and it reads each of those, and each key, once.
type Reader struct {
	anchor   keys.Public
	keys     map[string]keys.Public // by the JWK's octets
	entities map[string]*Entity     // by theirs
}

// NewReader returns a reader of lists that this anchor signed. It is for one goroutine.
func NewReader(anchor keys.Public) *Reader {
	return &Reader{anchor: anchor, keys: make(map[string]keys.Public), entities: make(map[string]*Entity)}
}

// key is [keys.ParsePublic].
func (r *Reader) key(jwk []byte) (keys.Public, error) {
	if k, ok := r.keys[string(jwk)]; ok {
		return k, nil
	}
	k, err := keys.ParsePublic(jwk)
	if err == nil {
		r.keys[string(jwk)] = k
	}
	return k, err
}

// entity reads an entity; nil for null. Unknown members are refused: a misspelt "compromised" must not pass in silence.
func (r *Reader) entity(text json.RawMessage) (e *Entity, err error) {
	if e, ok := r.entities[string(text)]; ok {
		return e, nil
	}
	if err = keys.DecodeKnownJSON(text, &e, maxPayload); err == nil {
		r.entities[string(text)] = e
	}
	return e, err
}

// Verify is [Verify] with the reader's anchor.
func (r *Reader) Verify(jwt string) (*List, error) {
	token, err := keys.Verify(jwt, r.anchor, keys.ES256, keys.EdDSA)
	if err != nil {
		return nil, fmt.Errorf("%w: not signed by the trust anchor: %w", ErrList, err)
	}
	if token.Header.Typ != Typ {
		return nil, fmt.Errorf("%w: typ is not %s", ErrList, Typ)
	}
	l, err := r.parse(token.Payload)
	if err == nil {
		err = l.checkAnchor(r.anchor)
	}
	if err != nil {
		return nil, err
	}
	l.JWT = jwt
	return l, nil
}

// parse reads and checks the payload of a list.
func (r *Reader) parse(body []byte) (*List, error) {
	var p received
	if err := keys.DecodeKnownJSON(body, &p, maxPayload); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	if p.N == 0 {
		return nil, fmt.Errorf("%w: n must be 1 or more", ErrList)
	}
	if p.IssuedAt <= 0 {
		return nil, fmt.Errorf("%w: iat is missing", ErrList)
	}
	l := &List{
		N: p.N, IssuedAt: time.Unix(p.IssuedAt, 0).UTC(), Entities: make([]*Entity, len(p.Entities)), StatusServices: p.StatusServices,
		byID: make(map[string]*Entity), bySigning: make(map[string]listedKey), bySubmission: make(map[string]listedKey),
		byStatus: make(map[string]statusKey), byRoot: make(map[string]*Entity), roots: x509.NewCertPool(),
	}
	issuers := make(map[string]bool)
	for i, text := range p.Entities {
		e, err := r.entity(text)
		if err == nil {
			l.Entities[i], err = e, l.add(e, issuers, r.key)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: entity %d: %w", ErrList, i, err)
		}
	}
	for i, s := range p.StatusServices {
		if err := l.addService(s, r.key); err != nil {
			return nil, fmt.Errorf("%w: status list service %d: %w", ErrList, i, err)
		}
	}
	return l, nil
}

// EntityByID returns the entity with that id.
func (l *List) EntityByID(id string) (*Entity, bool) {
	e, ok := l.byID[id]
	return e, ok
}

// EntityByKey returns the entity that has the signing key with that thumbprint.
func (l *List) EntityByKey(thumbprint string) (*Entity, keys.Public, bool) {
	k, ok := l.bySigning[thumbprint]
	return k.entity, k.key, ok
}

// EntityBySubmissionKey returns the entity that has the submission key with that thumbprint.
func (l *List) EntityBySubmissionKey(thumbprint string) (*Entity, keys.Public, bool) {
	k, ok := l.bySubmission[thumbprint]
	return k.entity, k.key, ok
}

// Entry returns the entry with which the log records this version.
func (l *List) Entry() registry.ListEntry {
	return registry.ListEntry{N: l.N, Hash: registry.HashOf([]byte(l.JWT))}
}
