package issuer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// record is one attestation in its slot: what the registry is sent, kept for good so that the same octets can be sent again.
type record struct {
	ID         string             `json:"id"`
	Type       attestation.Type   `json:"type"`
	Engagement string             `json:"engagement"`       // of an engagement itself: the hash of its contract document
	Digest     registry.Hash      `json:"digest"`           // of the content, see contentDigest
	Identity   string             `json:"identity"`         // what it speaks of
	Stream     attestation.Stream `json:"stream,omitempty"` // none for an engagement
	Period     attestation.Period `json:"period,omitempty"`
	J          int                `json:"j"`
	X          registry.Hash      `json:"x"`
	Key        registry.Key       `json:"key"`
	Logged     bool               `json:"logged"`
	Index      uint64             `json:"index,omitempty"`

	octets octets // stored beside, under octetsKey
}

// octets are the parts of a record that are large.
type octets struct{ a, b, sdjwt []byte }

// marshal lays the octets out as
//
//	uint32 length of A || A || uint32 length of B || B || SD-JWT
func (o octets) marshal() []byte {
	buf := make([]byte, 0, 8+len(o.a)+len(o.b)+len(o.sdjwt))
	buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(o.a))), o.a...)
	buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(o.b))), o.b...)
	return append(buf, o.sdjwt...)
}

var errOctets = errors.New("stored record is damaged")

func parseOctets(b []byte) (o octets, err error) {
	cut := func() (part []byte) {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
			err = errOctets
			return nil
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		part, b = b[4:n], b[n:]
		return part
	}
	if o.a = cut(); err != nil {
		return octets{}, err
	}
	if o.b = cut(); err != nil {
		return octets{}, err
	}
	o.sdjwt = b
	return o, nil
}

// slot returns the key under which the record is stored.
func (r *record) slot(orgID string) []byte {
	return slotKey(orgID, r.Engagement, r.Stream, r.Period, r.J)
}

func octetsKey(slot []byte) []byte { return append([]byte("octets/"), slot...) }

func (r *record) save(tx store.Tx, orgID string) error {
	slot := r.slot(orgID)
	if err := setJSON(tx, slot, r); err != nil {
		return err
	}
	if r.octets.a != nil {
		if err := tx.Set(octetsKey(slot), r.octets.marshal()); err != nil {
			return err
		}
	}
	if err := tx.Set(doneKey(orgID, r.Digest), slot); err != nil {
		return err
	}
	if r.Identity != "" {
		if err := tx.Set(identityKey(orgID, r.Engagement, r.Identity), slot); err != nil {
			return err
		}
	}
	if r.Logged {
		return tx.Delete(pendingKey(orgID, slot))
	}
	return tx.Set(pendingKey(orgID, slot), slot)
}

func loadRecord(tx store.Tx, slot []byte) (*record, error) {
	var r record
	if err := getJSON(tx, slot, &r); err != nil {
		return nil, err
	}
	b, err := tx.Get(octetsKey(slot))
	if err != nil {
		return nil, err
	}
	r.octets, err = parseOctets(b)
	return &r, err
}

// wire is what the registry is sent.
func (r *record) wire() registry.Record { return registry.Record{X: r.X, A: r.octets.a, B: r.octets.b} }

// seal puts the SD-JWT into rung r.J of the period, or of the contract's ladder of engagements.
func (i *Issuer) seal(r *record, o *org, secret registry.Secret, sdJWT string, delivery keys.Public) (err error) {
	jwt, disclosures, _ := strings.Cut(sdJWT, "~")
	r.X = secret.Find()
	r.Key = registry.KeyOf(registry.WriterFor(o.Role, o.ID), r.X)
	r.octets.sdjwt = []byte(sdJWT)
	if r.octets.a, err = registry.SealA(i.Rand, secret, r.Key, jwt); err != nil {
		return err
	}
	r.octets.b = []byte{}
	if list := strings.Split(strings.TrimSuffix(disclosures, "~"), "~"); !delivery.IsZero() && r.Type != attestation.TypeEngagement {
		r.octets.b, err = registry.SealB(delivery, r.Key, list)
	}
	return err
}

// contentDigest identifies what a row says, so that a file imported twice issues nothing twice. payload is the claims without what
// signing adds.
func contentDigest(engagement string, stream attestation.Stream, payload map[string]any) (registry.Hash, error) {
	b, err := json.Marshal(payload) // maps are written in the order of their keys
	if err != nil {
		return registry.Hash{}, err
	}
	return sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", engagement, stream, b)), nil
}
