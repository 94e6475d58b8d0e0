package issuer

import (
	"cmp"
	"encoding/json"
	"slices"

	"akashi/attestation"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
)

// copy makes a copy of a logged attestation for another wallet key: the payload of the logged JWT with its digests, and its disclosures; cnf,
// iat and status are the copy's own, and logged names the original.
func (b *bearer) copy(want *wanted) (made, error) {
	var original *record
	var sdJWT string
	err := b.i.Store.View(b.ctx, func(tx store.Tx) (err error) {
		if original, err = b.pick(tx, want); err != nil {
			return err
		}
		stored, err := loadOctets(tx, b.o.ID, original)
		sdJWT = string(stored.sdJWT)
		return err
	})
	if err != nil {
		return made{}, err
	}
	places, err := b.i.freeIndices(b.ctx, 1)
	if err != nil {
		return made{}, err
	}
	compact, err := sdjwt.Reissue(b.o.signing, b.o.header(), sdJWT, map[string]any{
		"cnf": map[string]any{"jwk": want.holders[0].Key}, "iat": roundToDay(b.i.Now()), "status": b.i.statusClaim(places[0]), "logged": original.ID,
	})
	if err != nil {
		return made{}, err
	}
	return b.i.made(compact, issued{Configuration: want.configuration.id, Logged: original.ID, List: places[0].list, Index: places[0].index})
}

// pick finds the attestation that is meant: the one named, or the newest that this grant has not given yet, or the newest.
func (b *bearer) pick(tx store.Tx, want *wanted) (*record, error) {
	records, err := attestationsOf(tx, b.o.ID, want.subject.Engagement, want.configuration.typ)
	if err != nil {
		return nil, err
	}
	for _, r := range slices.Backward(records) {
		if want.logged == r.ID || want.logged == "" && !slices.Contains(b.grant.Collected, r.ID) {
			return r, nil
		}
	}
	if want.logged != "" {
		return nil, oid4vc.ErrCredentialRequestDenied // taken back since
	}
	if len(records) == 0 {
		return nil, errNotReady
	}
	return records[len(records)-1], nil
}

// attestationsOf returns the logged attestations of a type about an engagement, the earliest first, without those that were taken back.
func attestationsOf(tx store.Tx, orgID, engagement string, typ attestation.Type) ([]*record, error) {
	var out []*record
	withdrawn := map[string]bool{}
	err := tx.Scan([]byte(prefixSlot+orgID+"/"+engagement+"/"), func(_, value []byte) error {
		r := new(record)
		if err := json.Unmarshal(value, r); err != nil {
			return err
		}
		switch {
		case r.Withdraws != "":
			withdrawn[r.Withdraws] = true
		case r.Type == typ && r.Logged:
			out = append(out, r)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b *record) int { return cmp.Compare(a.Index, b.Index) })
	return slices.DeleteFunc(out, func(r *record) bool { return withdrawn[r.ID] }), err
}
