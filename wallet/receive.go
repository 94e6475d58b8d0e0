package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

var (
	// ErrFollows is returned for an engagement that may not follow one of the same contract that was logged before it.
	ErrFollows = errors.New("another engagement of this contract stands in the registry, so that this one would count for nothing: refuse it and ask the employer for one with a contract document of its own")
	// ErrPlan is returned for an engagement whose plan of slots is not the whole one.
	ErrPlan = errors.New("the engagement's plan is not complete, so gaps could be hidden in it: refuse it and ask the employer for a right one")
	// ErrIncomplete is returned for an engagement without all of its disclosures.
	ErrIncomplete = errors.New("parts of the engagement are missing: ask the employer for the whole file")
	// ErrNotLogged is returned for a document that does not stand in the registry: until then it counts for nothing.
	ErrNotLogged = errors.New("the document does not stand in the registry, so it counts for nothing: ask the issuer to record it, or try again in a minute")
)

// Receive takes an engagement, or the disclosures of an attestation that the wallet knows from its slot, as an SD-JWT, and stores it when
// every check holds.
func (w *Wallet) Receive(ctx context.Context, compact string) (*Item, error) {
	history, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	d, err := w.verify(compact, history.Latest())
	if err != nil {
		return nil, err
	}
	if d.typ != attestation.TypeEngagement {
		return w.receiveAttestation(ctx, d, history.Latest())
	}
	it, err := d.item(w.Now())
	if err != nil {
		return nil, err
	}
	role, err := w.checkEngagement(d)
	if err != nil {
		return nil, err
	}
	index, err := w.engagementIndex(ctx, d, role, history.Latest())
	if err != nil {
		return nil, err
	}
	it.Index, it.Proven = &index, w.Pinned()
	return it, w.Store.Update(ctx, func(tx store.Tx) error { return saveItem(tx, *it) })
}

// receiveAttestation adds the disclosures of an attestation that the wallet knows from its slot. The JWT stays the one that was logged.
func (w *Wallet) receiveAttestation(ctx context.Context, d *document, list *trustlist.List) (*Item, error) {
	return w.join(ctx, d.ID, d.Disclosed, list)
}

// join adds disclosures to an attestation that the wallet knows from its slot, if they belong to its digests.
func (w *Wallet) join(ctx context.Context, id string, disclosed []sdjwt.DisclosedClaim, list *trustlist.List) (*Item, error) {
	it, err := w.Show(ctx, id)
	if errors.Is(err, ErrUnknownID) {
		return nil, fmt.Errorf("%w (or run `akashi wallet sync` first)", ErrNotLogged)
	}
	if err != nil {
		return nil, err
	}
	joined := strings.Split(strings.TrimSuffix(it.SDJWT, "~"), "~")
	for _, c := range disclosed {
		if !slices.Contains(joined, c.Encoded) {
			joined = append(joined, c.Encoded)
		}
	}
	whole, err := w.verify(strings.Join(joined, "~")+"~", list)
	if err != nil {
		return nil, err
	}
	more, err := whole.item(it.Received)
	if err != nil {
		return nil, err
	}
	it.Claims, it.SDJWT, it.Complete = more.Claims, more.SDJWT, more.Complete
	return it, w.Store.Update(ctx, func(tx store.Tx) error { return saveItem(tx, *it) })
}

// checkEngagement checks what an engagement must have before the wallet calls it usable, and returns the role in which it was issued.
func (w *Wallet) checkEngagement(d *document) (attestation.Role, error) {
	e := d.claims.(*attestation.Engagement)
	role := issuerRole(d.issuer, e)
	if err := d.mayAttest(role); err != nil {
		return "", err
	}
	if e.Registry != w.settings.Origin {
		return "", fmt.Errorf("the engagement is for the registry %q, this wallet for %q", e.Registry, w.settings.Origin)
	}
	if !d.complete() {
		return "", ErrIncomplete
	}
	return role, errors.Join(checkSlots(d.Payload), checkPlan(e), w.checkDelivery(e))
}

// issuerRole returns the role in which an entity can have issued the engagement: as the employer or support organization that it names,
// else as an authority.
func issuerRole(issuer *trustlist.Entity, e *attestation.Engagement) attestation.Role {
	switch {
	case issuer.ID == e.Employer.ID:
		return attestation.AcceptingOrganization
	case e.Support != nil && issuer.ID == e.Support.ID:
		return attestation.SupportOrganization
	}
	return attestation.Authority
}

// checkSlots checks the form of the slots as they were signed: each an object that has only _sd, with exactly one digest. Whoever judges the
// engagement refuses any other form, and with it the worker's whole evidence.
func checkSlots(payload []byte) error {
	var claims struct {
		Slots map[attestation.Stream]map[attestation.Period]map[string][]string `json:"slots"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fmt.Errorf("%w: its slots are not in the right form", ErrPlan)
	}
	for stream, periods := range claims.Slots {
		for period, slot := range periods {
			if len(slot) != 1 || len(slot["_sd"]) != 1 {
				return fmt.Errorf("%w: %s %s does not have exactly one secret", ErrPlan, stream, period)
			}
		}
	}
	return nil
}

// checkPlan compares the engagement's slots with the wallet's own calendar: each must be there and opened, no two by one secret.
func checkPlan(e *attestation.Engagement) error {
	seen := map[registry.Secret]bool{}
	for stream, periods := range e.Plan() {
		for _, p := range periods {
			s, ok := opened(e, stream, p)
			switch {
			case !e.InPlan(stream, p):
				return fmt.Errorf("%w: %s %s is missing", ErrPlan, stream, p)
			case !ok:
				return fmt.Errorf("%w: %s %s cannot be opened", ErrPlan, stream, p)
			case seen[s]:
				return fmt.Errorf("%w: %s %s has the secret of another slot", ErrPlan, stream, p)
			}
			seen[s] = true
		}
	}
	return nil
}

// checkDelivery refuses an engagement that would deliver to somebody else's key.
func (w *Wallet) checkDelivery(e *attestation.Engagement) error {
	if e.DeliveryProof == nil {
		return nil
	}
	delivery, err := registry.CheckDeliveryProof(*e.DeliveryProof, w.holder.Public(), w.settings.Origin)
	if err == nil && !delivery.Equal(w.delivery.Public()) {
		err = errors.New("it names another key than this wallet's")
	}
	if err != nil {
		return fmt.Errorf("the engagement's delivery proof is not this wallet's, refuse it: %w", err)
	}
	return nil
}

// engagementIndex finds the engagement in its contract's ladder and returns its place in the log. Those below it must be such that it may
// follow them: an employer could log one beforehand, and all that the worker gets under this one would be worth nothing.
func (w *Wallet) engagementIndex(ctx context.Context, d *document, role attestation.Role, list *trustlist.List) (uint64, error) {
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(d.claims.(*attestation.Engagement).ContractHash)); err != nil {
		return 0, fmt.Errorf("contract_hash: %w", err)
	}
	writer, reader := registry.WriterFor(role, d.issuer.ID), w.reader()
	for n := range registry.MaxRungs {
		s := registry.EngagementSecret(contract, n)
		key := registry.KeyOf(writer, s.Find())
		members, err := reader.lookup(ctx, []registry.Key{key})
		if err != nil {
			return 0, err
		}
		m := members[0]
		if m == nil {
			return 0, ErrNotLogged
		}
		jwt, err := registry.OpenA(s, key, m.A)
		switch {
		case err != nil || !m.MatchesValue():
			continue
		case sameJWT(jwt, d.Verified):
			return m.Index, nil
		}
		earlier, err := w.verify(jwt+"~", list)
		if err != nil || earlier.typ != attestation.TypeEngagement || earlier.issuer.ID != d.issuer.ID {
			continue // counts for nobody
		}
		if err := evidence.CheckFollows(earlier.claims.(*attestation.Engagement), d.claims.(*attestation.Engagement), earlier.Payload, d.Payload); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrFollows, err)
		}
	}
	return 0, ErrNotLogged
}

// sameJWT compares by ID: one signing input may have several signatures.
func sameJWT(jwt string, v *sdjwt.Verified) bool {
	u, err := sdjwt.Parse(jwt + "~")
	return err == nil && u.ID() == v.ID
}
