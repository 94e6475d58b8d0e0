package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"akashi/attestation"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/internal/store"
)

// ErrUnknownCredential is returned for an ID of nothing that was issued here.
var ErrUnknownCredential = errors.New("no credential with this ID was issued by this organization")

// ErrEngagementStays is returned for an engagement, which nobody can take back.
var ErrEngagementStays = errors.New("an engagement cannot be revoked: it is ended by a separation, and replaced by a successor that the worker accepts")

// Revocation says what becomes of a credential.
type Revocation struct {
	Status statuslist.Status `json:"status"` // Invalid, for good; Suspended, or Valid again
	Reason string            `json:"reason"` // kept here; nobody else sees it
}

// Revoked says what a revocation changed.
type Revoked struct {
	Credentials []string `json:"credentials"`         // whose status changed
	Withdrawn   string   `json:"withdrawn,omitempty"` // attestation that a rung in its slot takes back
	Recorded    bool     `json:"recorded,omitempty"`  // the registry gave its receipt for the rung
}

// Revoke suspends, resumes or revokes what has the ID: a credential that a wallet collected, or a logged attestation with all its copies.
// Revoking an attestation also takes it back in its slot, so that it does not just vanish.
func (i *Issuer) Revoke(ctx context.Context, orgID, id string, how Revocation) (*Revoked, error) {
	o, err := i.vciOrg(ctx, orgID)
	if err != nil {
		return nil, err
	}
	if how.Reason == "" {
		return nil, errors.New("a reason is needed")
	}
	logged, ids, err := i.affected(ctx, o, id)
	if err != nil {
		return nil, err
	}
	out := &Revoked{}
	if logged != nil && how.Status == statuslist.Invalid {
		if out.Recorded, err = i.withdraw(ctx, o, logged); err != nil {
			return nil, err
		}
		out.Withdrawn = logged.ID
	}
	for _, id := range ids {
		if err := i.setStatus(ctx, o, id, how); err != nil {
			return nil, err
		}
		out.Credentials = append(out.Credentials, id)
	}
	return out, nil
}

// affected finds the attestation and the credentials that an ID stands for.
func (i *Issuer) affected(ctx context.Context, o *org, id string) (logged *record, ids []string, err error) {
	err = i.Store.View(ctx, func(tx store.Tx) error {
		s := new(issued)
		switch err := store.GetJSON(tx, issuedKey(o.ID, id), s); {
		case errors.Is(err, store.ErrNotFound):
			s.Logged = id
		case err != nil:
			return err
		case s.Configuration == string(attestation.TypeEngagement):
			return ErrEngagementStays
		case s.Logged == "":
			ids = []string{id}
			return nil
		}
		var err error
		if logged, err = loggedRecord(tx, o.ID, s.Logged); err != nil {
			return err
		}
		prefix := copyPrefix(o.ID, s.Logged)
		return tx.Scan(prefix, func(key, _ []byte) error {
			ids = append(ids, string(bytes.TrimPrefix(key, prefix)))
			return nil
		})
	})
	return logged, ids, err
}

// loggedRecord finds an attestation by its ID.
func loggedRecord(tx store.Tx, orgID, id string) (found *record, err error) {
	err = tx.Scan([]byte(prefixSlot+orgID+"/"), func(_, value []byte) error {
		r := new(record)
		if err := json.Unmarshal(value, r); err != nil {
			return err
		}
		if r.ID == id {
			found = r
			return store.ErrStop
		}
		return nil
	})
	switch {
	case err != nil:
	case found == nil:
		err = ErrUnknownCredential
	case found.Type == attestation.TypeEngagement:
		err = ErrEngagementStays
	}
	return found, err
}

// withdraw writes the rung that takes an attestation back: what it says with "withdraws". Again it is the same rung.
func (i *Issuer) withdraw(ctx context.Context, o *org, r *record) (recorded bool, err error) {
	defer i.imports.lock(o.ID)()
	d, err := i.withdrawal(ctx, o, r)
	if err != nil {
		return false, err
	}
	report := &Report{}
	drafts, err := i.place(ctx, o, []*draft{d}, Options{}, report)
	if err != nil {
		return false, err
	}
	if len(drafts) != 1 {
		return false, fmt.Errorf("the attestation cannot be taken back in its slot: %v", problems(report))
	}
	if d.record != nil {
		d.record.Withdraws = r.ID
	}
	if err := i.issueWithin(ctx, o, drafts, time.Minute); err != nil {
		return false, err
	}
	return d.record.Logged, nil
}

// withdrawal makes the draft of the rung from the attestation as it was signed.
func (i *Issuer) withdrawal(ctx context.Context, o *org, r *record) (*draft, error) {
	d := &draft{typ: r.Type, stream: r.Stream, period: r.Period}
	var sdJWT []byte
	err := i.Store.View(ctx, func(tx store.Tx) error {
		stored, err := loadOctets(tx, o.ID, r)
		if err != nil {
			return err
		}
		sdJWT = stored.sdJWT
		reference, err := tx.Get(engagementKey(o.ID, r.Engagement))
		if err != nil {
			return err
		}
		d.reference = string(reference)
		d.enrolment, err = loadEnrolment(tx, o.ID, d.reference)
		return err
	})
	if err != nil {
		return nil, err
	}
	u, err := sdjwt.Parse(string(sdJWT))
	if err != nil {
		return nil, err
	}
	v, err := u.Verify(o.signing.Public(), sdjwt.Expect{Algs: vciAlgs})
	if err != nil {
		return nil, err
	}
	d.payload = maps.Clone(v.Claims)
	for _, name := range []string{"iss", "iat", "vct", "vct#integrity", "cnf", "supersedes"} {
		delete(d.payload, name)
	}
	d.payload["withdraws"] = r.ID
	return d, nil
}
