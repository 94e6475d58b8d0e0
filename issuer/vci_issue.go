package issuer

import (
	"maps"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
)

// issued is what the organization keeps of a credential that a wallet collected: enough to suspend or revoke it, and nothing that it says.
type issued struct {
	ID            string    `json:"id"`
	Configuration string    `json:"configuration"`
	Logged        string    `json:"logged,omitempty"` // attestation that this is a copy of
	List          int       `json:"list,omitempty"`   // status list, 0 for none
	Index         uint64    `json:"index,omitempty"`
	Status        string    `json:"status,omitempty"` // "" for valid
	Reason        string    `json:"reason,omitempty"`
	Event         string    `json:"event,omitempty"` // last notification of the wallet
	EventAt       time.Time `json:"event_at,omitzero"`
}

// made is a credential that was signed and is not stored yet.
type made struct {
	compact string
	issued  issued
}

// save stores the credential and takes its index.
func (m *made) save(tx store.Tx, orgID string) error {
	if m.issued.List > 0 {
		if err := takeIndex(tx, m.issued.List, m.issued.Index, m.issued.ID); err != nil {
			return err
		}
	}
	if m.issued.Logged != "" {
		if err := tx.Set(append(copyPrefix(orgID, m.issued.Logged), m.issued.ID...), []byte{1}); err != nil {
			return err
		}
	}
	return store.SetJSON(tx, issuedKey(orgID, m.issued.ID), m.issued)
}

// produce makes the credentials that are wanted, one for each holder, or says that they are not ready.
func (b *bearer) produce(want *wanted) ([]made, error) {
	switch {
	case want.configuration.typ == attestation.TypeEngagement:
		m, err := b.i.collectEngagement(b.ctx, b.o, want)
		return []made{m}, err
	case isAttestation(want.configuration.typ) && !want.subject.Example:
		m, err := b.copy(want)
		return []made{m}, err
	}
	claims, err := b.i.claims(b.o, want)
	if err != nil {
		return nil, err
	}
	out := make([]made, len(want.holders))
	places, err := b.i.freeIndices(b.ctx, len(want.holders))
	for n := 0; n < len(out) && err == nil; n++ {
		out[n], err = b.i.sign1(b.o, want.configuration, claims, want.holders[n], places[n])
	}
	return out, err
}

// claims are those of all credentials of one request (OpenID4VCI 1.0, Section 3.3.2: a batch shares its dataset), the disclosable ones marked.
func (i *Issuer) claims(o *org, want *wanted) (claims map[string]any, err error) {
	if want.subject.Example {
		claims, err = i.example(o, want.configuration)
	} else {
		claims = map[string]any{}
		err = keys.DecodeJSON(want.subject.Claims, &claims)
	}
	if err != nil {
		return nil, err
	}
	return want.configuration.hide(claims), nil
}

// sign1 makes one credential of an operator-defined type, or an example of an attestation, which is logged nowhere and counts for nothing.
func (i *Issuer) sign1(o *org, c *configuration, claims map[string]any, h holder, ref place) (made, error) {
	payload := maps.Clone(claims)
	var err error
	if payload["vct#integrity"], err = c.integrity(o); err != nil {
		return made{}, err
	}
	payload["vct"], payload["iss"], payload["iat"] = c.vct(o), o.Issuer, roundToDay(i.Now())
	payload["cnf"], payload["status"] = map[string]any{"jwk": h.Key}, i.statusClaim(ref)
	if exp := c.expires(i.Now()); exp != 0 {
		payload["exp"] = exp
	}
	compact, err := sdjwt.Issue(o.signing, o.header(), payload, sdjwt.Options{Rand: i.Rand})
	if err != nil {
		return made{}, err
	}
	return i.made(compact, issued{Configuration: c.id, List: ref.list, Index: ref.index})
}

func (i *Issuer) made(compact string, what issued) (m made, err error) {
	what.ID, err = keys.ID(jwtOf(compact))
	return made{compact, what}, err
}
