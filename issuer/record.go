package issuer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// record is one attestation in its slot, kept for good together with its octets.
type record struct {
	ID         string             `json:"id"`
	Type       attestation.Type   `json:"type"`
	Engagement string             `json:"engagement"`         // of an engagement itself: the hash of its contract document
	Digest     registry.Hash      `json:"digest"`             // of the content
	Identity   string             `json:"identity,omitempty"` // what it speaks of
	Stream     attestation.Stream `json:"stream,omitempty"`   // none for an engagement
	Period     attestation.Period `json:"period,omitempty"`
	J          int                `json:"j"` // from registry.MaxRungs on: no rung at all, see NoRoom
	X          registry.Hash      `json:"x"`
	Key        registry.Key       `json:"key"`
	Logged     bool               `json:"logged,omitempty"`    // as the registry's receipt states
	Confirmed  bool               `json:"confirmed,omitempty"` // proven under a head that the auditors vouch for
	Receipt    int64              `json:"receipt,omitempty"`   // Unix time of the last receipt, true or not, for the record at this rung
	Withdraws  string             `json:"withdraws,omitempty"` // the record that this one takes back
	NoRoom     bool               `json:"no_room,omitempty"`   // cannot be logged: others have filled the ladder
	Index      uint64             `json:"index,omitempty"`
}

func (r *record) ladder() ladder { return ladder{r.Engagement, r.Stream, r.Period} }

// octets are what the registry is sent, and the SD-JWT that was sealed: sealed anew it would be another record.
type octets struct {
	a, b, sdJWT []byte
	recipe      recipe
}

// recipe is what makes the boxes again of the SD-JWT: for A the secret of the rung and the nonce, which A begins with.
type recipe struct {
	secret registry.Secret
	nonce  [registry.NonceSize]byte
	b      keys.Recipe // zero where B is empty
}

// recipeSize is the length of a recipe in the store.
const recipeSize = len(recipe{}.secret) + len(recipe{}.nonce) + len(recipe{}.b)

// marshal lays the octets out without the boxes, which are longer than the rest and follow from it:
//
//	secret(32) || nonce of A(12) || recipe of B(108) || SD-JWT
func (o *octets) marshal() []byte {
	buf := make([]byte, 0, recipeSize+len(o.sdJWT))
	buf = append(buf, o.recipe.secret[:]...)
	buf = append(buf, o.recipe.nonce[:]...)
	buf = append(buf, o.recipe.b[:]...)
	return append(buf, o.sdJWT...)
}

var errOctets = errors.New("a stored record is damaged: restore the store from a backup")

// parseOctets reads what marshal wrote; the boxes are left out.
func parseOctets(data []byte) (o octets, err error) {
	if len(data) < recipeSize {
		return octets{}, errOctets
	}
	rest := data[copy(o.recipe.secret[:], data):]
	rest = rest[copy(o.recipe.nonce[:], rest):]
	o.sdJWT = rest[copy(o.recipe.b[:], rest):]
	return o, nil
}

// seal makes the boxes for the key as they were sealed before.
func (o *octets) seal(k registry.Key) (err error) {
	jwt, disclosures := partsOf(string(o.sdJWT))
	if o.a, err = registry.SealA(bytes.NewReader(o.recipe.nonce[:]), o.recipe.secret, k, jwt); err != nil {
		return err
	}
	o.b, err = registry.SealBAgain(o.recipe.b, k, disclosures)
	return err
}

// partsOf returns the JWT and the disclosures of an SD-JWT.
func partsOf(sdJWT string) (jwt string, disclosures []string) {
	parts := strings.Split(strings.TrimSuffix(sdJWT, "~"), "~")
	return parts[0], parts[1:]
}

// slot returns the key under which the record is stored.
func (r *record) slot(orgID string) []byte { return slotKey(orgID, r.ladder(), r.J) }

// save stores the record; with its octets when they are new.
func (r *record) save(tx store.Tx, orgID string, o *octets) error {
	slot := r.slot(orgID)
	if err := store.SetJSON(tx, slot, r); err != nil {
		return err
	}
	if o != nil {
		if err := errors.Join(tx.Set(octetsKey(slot), o.marshal()), tx.Set(doneKey(orgID, r.Digest), slot)); err != nil {
			return err
		}
	}
	return r.saveMarks(tx, slot)
}

// saveMarks lists the record among the unsent, among those to be confirmed, or nowhere. It takes it out of the other list only where it may be
// there, since stores write what they delete.
func (r *record) saveMarks(tx store.Tx, slot []byte) error {
	switch {
	case !r.Logged && !r.NoRoom && r.Receipt == 0:
		return tx.Set(pendingKey(slot), slot)
	case !r.Logged && !r.NoRoom:
		return errors.Join(tx.Set(pendingKey(slot), slot), tx.Delete(unconfirmedKey(slot)))
	case r.Logged && !r.Confirmed:
		return errors.Join(tx.Delete(pendingKey(slot)), tx.Set(unconfirmedKey(slot), slot))
	}
	return errors.Join(tx.Delete(pendingKey(slot)), tx.Delete(unconfirmedKey(slot)))
}

// saveLatest notes the record as the latest about its thing.
func (r *record) saveLatest(tx store.Tx, orgID string) error {
	if r.Identity == "" {
		return nil
	}
	return tx.Set(identityKey(orgID, r.Engagement, r.Identity), r.slot(orgID))
}

func (r *record) remove(tx store.Tx, orgID string) error {
	slot := r.slot(orgID)
	return errors.Join(tx.Delete(slot), tx.Delete(octetsKey(slot)), tx.Delete(pendingKey(slot)), tx.Delete(unconfirmedKey(slot)))
}

// follow returns the record that the value at key points to, nil when there is none.
func follow(tx store.Tx, key []byte) (*record, error) {
	slot, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(record)
	err = store.GetJSON(tx, slot, r)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errOctets
	}
	return r, err
}

// recordOf returns the record that was issued for the content, nil when there is none.
func recordOf(tx store.Tx, orgID string, digest registry.Hash) (*record, error) {
	return follow(tx, doneKey(orgID, digest))
}

// loadOctets returns the octets of a stored record.
func loadOctets(tx store.Tx, orgID string, r *record) (octets, error) {
	b, err := tx.Get(octetsKey(r.slot(orgID)))
	if err != nil {
		return octets{}, err
	}
	o, err := parseOctets(b)
	if err != nil {
		return octets{}, err
	}
	// The recipe is for one SD-JWT, and what it makes goes to the registry for good.
	if id, err := keys.ID(jwtOf(string(o.sdJWT))); err != nil || id != r.ID {
		return octets{}, errOctets
	}
	return o, o.seal(r.Key)
}

// nextRung returns the rung after the last record that the organization has in the ladder.
func nextRung(tx store.Tx, orgID string, l ladder) (next int, err error) {
	prefix := ladderKey(orgID, l)
	err = tx.Scan(prefix, func(key, _ []byte) error {
		j, err := strconv.Atoi(string(key[len(prefix):]))
		next = max(next, j+1)
		return err
	})
	return next, err
}

// seal seals the SD-JWT for the record's rung.
func (i *Issuer) seal(r *record, o *org, e *Enrolment, sdJWT string) (out *octets, err error) {
	secret, err := r.secret(e)
	if err != nil {
		return nil, err
	}
	jwt, disclosures := partsOf(sdJWT)
	r.X = secret.Find()
	r.Key = registry.KeyOf(registry.WriterFor(o.Role, o.ID), r.X)
	out = &octets{sdJWT: []byte(sdJWT)}
	if out.a, err = registry.SealA(i.Rand, secret, r.Key, jwt); err != nil {
		return nil, err
	}
	out.recipe.secret, out.recipe.nonce = secret, [registry.NonceSize]byte(out.a)
	if r.Type != attestation.TypeEngagement {
		out.b, out.recipe.b, err = registry.SealBRecipe(e.to, r.Key, disclosures)
	}
	return out, err
}

// sealOrPark seals the record again for the rung that it has come to. Beyond the last rung it keeps its octets and is sent no more.
func (i *Issuer) sealOrPark(r *record, o *org, e *Enrolment, old octets) (*octets, error) {
	if r.J >= registry.MaxRungs {
		r.NoRoom = true
		return &old, nil
	}
	return i.seal(r, o, e, string(old.sdJWT))
}

// secret returns the secret of the record's rung.
func (r *record) secret(e *Enrolment) (registry.Secret, error) {
	if r.Type != attestation.TypeEngagement {
		period, ok := e.Secrets[r.Stream][r.Period]
		if !ok {
			return registry.Secret{}, fmt.Errorf("the enrolment has no secret for %s %s any more", r.Stream, r.Period)
		}
		return registry.SlotSecret(period, r.J), nil
	}
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(e.Terms.ContractHash)); err != nil {
		return registry.Secret{}, fmt.Errorf("contract_hash: %w", err)
	}
	return registry.EngagementSecret(contract, r.J), nil
}
