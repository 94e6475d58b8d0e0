package issuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
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
		if err := takeIndex(tx, orgID, m.issued.List, m.issued.Index, m.issued.ID); err != nil {
			return err
		}
	}
	if m.issued.Logged != "" {
		if err := tx.Set(append(copyPrefix(orgID, m.issued.Logged), m.issued.ID...), []byte{1}); err != nil {
			return err
		}
	}
	return setJSON(tx, issuedKey(orgID, m.issued.ID), m.issued)
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
	out := make([]made, len(want.holders))
	places, err := b.i.freeIndices(b.ctx, b.o, len(want.holders))
	for n := 0; n < len(out) && err == nil; n++ {
		out[n], err = b.i.sign1(b.o, want, want.holders[n], places[n])
	}
	return out, err
}

// sign1 makes one credential of an operator-defined type, or an example of an attestation, which is logged nowhere and counts for nothing.
func (i *Issuer) sign1(o *org, want *wanted, h holder, ref place) (made, error) {
	c, s := want.configuration, want.subject
	claims := map[string]any{}
	var err error
	if s.Example {
		claims, err = i.example(o, c)
	} else {
		err = keys.DecodeJSON(s.Claims, &claims)
	}
	if err != nil {
		return made{}, err
	}
	payload := maps.Clone(c.hide(claims))
	if payload["vct#integrity"], err = c.integrity(o); err != nil {
		return made{}, err
	}
	payload["vct"], payload["iss"], payload["iat"] = c.vct(o), o.Issuer, roundToDay(i.Now())
	payload["cnf"], payload["status"] = map[string]any{"jwk": h.Key}, ref.claim(o)
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

// copy makes a copy of a logged attestation for another wallet key: the payload of the logged JWT with its digests, and its disclosures; cnf,
// iat and status are the copy's own, and logged names the original.
func (b *bearer) copy(want *wanted) (made, error) {
	var original *record
	var sdJWT string
	err := b.i.Store.View(b.ctx, func(tx store.Tx) (err error) {
		if original, err = b.pick(tx, want); err != nil {
			return err
		}
		stored, err := loadOctets(tx, original.slot(b.o.ID))
		sdJWT = string(stored.sdJWT)
		return err
	})
	if err != nil {
		return made{}, err
	}
	places, err := b.i.freeIndices(b.ctx, b.o, 1)
	if err != nil {
		return made{}, err
	}
	compact, err := sdjwt.Reissue(b.o.signing, b.o.header(), sdJWT, map[string]any{
		"cnf": map[string]any{"jwk": want.holders[0].Key}, "iat": roundToDay(b.i.Now()), "status": places[0].claim(b.o), "logged": original.ID,
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
	slices.SortStableFunc(out, func(a, b *record) int { return int(int64(a.Index) - int64(b.Index)) })
	return slices.DeleteFunc(out, func(r *record) bool { return withdrawn[r.ID] }), err
}

// registerWait is how long a wallet waits in the line for the registry's receipt, before it is told to come back.
const registerWait = 8 * time.Second

// errKeyTaken is the refusal of another key for a contract that has its engagement.
var errKeyTaken = oid4vc.ErrCredentialRequestDenied

// collectEngagement issues an engagement for the wallet's key and logs it. Asked again for the same key it is the same engagement.
func (i *Issuer) collectEngagement(ctx context.Context, o *org, want *wanted) (made, error) {
	var terms attestation.Engagement
	if err := keys.DecodeJSON(want.subject.Claims, &terms); err != nil {
		return made{}, err
	}
	terms.DeliveryProof = nil
	row := EngagementRow{Engagement: terms, HolderJWK: string(want.holders[0].Key), DeliveryProof: want.holders[0].DeliveryProof}
	result, err := i.issueEngagement(ctx, o, want.subject.Reference, row)
	if err != nil {
		return made{}, err
	}
	switch result.Status {
	case StatusLogged, StatusAlready:
		return i.made(result.SDJWT, issued{Configuration: want.configuration.id, Logged: ""})
	case StatusStored:
		return made{}, errNotReady
	}
	return made{}, errKeyTaken
}

// issueEngagement puts one contract through what an import does with a row, and waits for the receipt for a while.
func (i *Issuer) issueEngagement(ctx context.Context, o *org, reference string, row EngagementRow) (RowResult, error) {
	ctx = context.WithoutCancel(ctx) // a wallet that hangs up in the middle leaves no half of it
	defer i.imports.lock(o.ID)()
	report := &Report{Organization: o.ID, Type: string(attestation.TypeEngagement)}
	r := &reader{i: i, ctx: ctx, o: o, report: report}
	r.engagement(Row[EngagementRow]{Reference: reference, Claims: row})
	if err := each(r.drafts, (*draft).spell); err != nil {
		return RowResult{}, err
	}
	drafts, err := i.place(ctx, o, r.drafts, Options{}, report)
	if err != nil {
		return RowResult{}, err
	}
	if len(drafts) != 1 {
		i.Log.WarnContext(ctx, "an engagement that was offered cannot be issued", "organization", o.ID, "problem", problems(report))
		return RowResult{}, errKeyTaken
	}
	if err := i.issueWithin(ctx, o, drafts, registerWait); err != nil {
		return RowResult{}, err
	}
	return drafts[0].result(), nil
}

// issueWithin is issue with a bound on the wait for the registry: what has no receipt by then stays stored, and is sent again by itself.
func (i *Issuer) issueWithin(ctx context.Context, o *org, drafts []*draft, wait time.Duration) error {
	for _, d := range fresh(drafts) {
		s, err := i.sign(o, []*draft{d})
		if err != nil {
			return err
		}
		if err := i.store(ctx, o, s); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := i.send(waiting, o); err != nil {
		i.Log.WarnContext(ctx, "records have no receipt yet; they are kept and sent again", "organization", o.ID, "err", err)
	}
	return i.Store.View(ctx, func(tx store.Tx) error {
		for _, d := range drafts {
			if err := d.settle(tx, o.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// problems names what a report refuses, without values.
func problems(r *Report) (out []string) {
	for _, e := range r.Errors {
		out = append(out, e.Problem)
	}
	return out
}

// tryEngagement checks that an engagement can be made of the terms, and makes none.
func (i *Issuer) tryEngagement(o *org, terms attestation.Engagement, holder keys.Public) error {
	report := &Report{}
	r := &reader{i: i, o: o, report: report}
	r.engagement(Row[EngagementRow]{Reference: "1", Claims: EngagementRow{Engagement: terms, HolderJWK: string(holder.JWK())}})
	if err := errors.Join(each(r.drafts, (*draft).spell), each(r.drafts, (*draft).state)); err != nil {
		return err
	}
	i.complete(o, r.drafts, report)
	if p := problems(report); len(p) > 0 {
		return fmt.Errorf("%w: %s", ErrOfferWhat, p[0])
	}
	return nil
}

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
		switch err := getJSON(tx, issuedKey(o.ID, id), s); {
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
	d := &draft{typ: r.Type, stream: r.Stream, period: r.Period, enrolment: new(Enrolment)}
	var sdJWT []byte
	err := i.Store.View(ctx, func(tx store.Tx) error {
		stored, err := loadOctets(tx, r.slot(o.ID))
		if err != nil {
			return err
		}
		sdJWT = stored.sdJWT
		reference, err := tx.Get(engagementKey(o.ID, r.Engagement))
		if err != nil {
			return err
		}
		d.reference = string(reference)
		return getJSON(tx, enrolKey(o.ID, d.reference), d.enrolment)
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
