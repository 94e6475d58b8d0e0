package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

var (
	// ErrUntrusted is returned for a document whose issuer is not on the trust list for it. The wallet stops there: it is not a warning.
	ErrUntrusted = errors.New("the issuer is not a registered organization for this document: do not accept it, and ask for help")
	// ErrNotYours is returned for a document bound to another key.
	ErrNotYours = errors.New("the document is made for another wallet's key")
	// ErrPlan is returned for an engagement whose plan of slots is not the whole one.
	ErrPlan = errors.New("the engagement's plan is not complete, so gaps could be hidden in it: refuse it and ask the employer for a right one")
	// ErrNotLogged is returned for a document that does not stand in the registry: until then it counts for nothing.
	ErrNotLogged = errors.New("the document does not stand in the registry, so it counts for nothing: ask the issuer to record it")
)

// Receive takes an engagement, or an attestation with its disclosures, as an SD-JWT, and stores it when every check holds.
func (w *Wallet) Receive(ctx context.Context, compact string) (*Item, error) {
	list, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	v, entity, err := w.verify(compact, list)
	if err != nil {
		return nil, err
	}
	typ, claims, err := decode(v)
	if err != nil {
		return nil, err
	}
	if typ != attestation.TypeEngagement {
		return w.receiveAttestation(ctx, v, compact)
	}
	verified, err := json.Marshal(v.Claims)
	if err != nil {
		return nil, err
	}
	it := Item{ID: v.ID, Type: typ, Claims: verified, Engagement: v.ID, Issuer: entity.ID, Received: w.Now(), Complete: true, SDJWT: compact}
	index, err := w.checkEngagement(ctx, v, claims.(*attestation.Engagement), entity)
	if err != nil {
		return nil, err
	}
	it.Index = &index
	return &it, w.Store.Update(ctx, func(tx store.Tx) error { return saveItem(tx, it) })
}

// receiveAttestation adds the disclosures of an attestation that the wallet knows from its slot.
func (w *Wallet) receiveAttestation(ctx context.Context, v *sdjwt.Verified, compact string) (*Item, error) {
	it, err := w.Show(ctx, v.ID)
	if errors.Is(err, ErrUnknownID) {
		return nil, fmt.Errorf("%w (or run `akashi wallet sync` first)", ErrNotLogged)
	}
	if err != nil {
		return nil, err
	}
	if it.Claims, err = json.Marshal(v.Claims); err != nil {
		return nil, err
	}
	it.SDJWT, it.Complete = compact, true
	return it, w.Store.Update(ctx, func(tx store.Tx) error { return saveItem(tx, *it) })
}

// verify checks the issuer's signature by the trust list and that the document is bound to this wallet's key.
func (w *Wallet) verify(compact string, list *trustlist.List) (*sdjwt.Verified, *trustlist.Entity, error) {
	u, err := sdjwt.Parse(compact)
	if err != nil {
		return nil, nil, err
	}
	entity, key, err := list.EntityForHeader(u.Header(), w.Now())
	if err != nil {
		return nil, nil, errors.Join(ErrUntrusted, err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256, keys.EdDSA}, Now: w.Now()})
	if err != nil {
		return nil, nil, err
	}
	if !v.Holder.Equal(w.holder.Public()) {
		return nil, nil, ErrNotYours
	}
	if iss, _ := v.Claims["iss"].(string); iss != entity.Issuer {
		return nil, nil, fmt.Errorf("%w: the issuer named is not the one whose key signed", ErrUntrusted)
	}
	return v, entity, nil
}

// decode returns the typed claims of a verified credential.
func decode(v *sdjwt.Verified) (attestation.Type, any, error) {
	vct, _ := v.Claims["vct"].(string)
	typ, err := attestation.TypeOf(vct)
	if err != nil {
		return "", nil, err
	}
	claims, err := attestation.Decode(vct, v.Claims)
	return typ, claims, err
}

// checkEngagement checks what an engagement must have before the wallet calls it usable, and returns its place in the log.
func (w *Wallet) checkEngagement(ctx context.Context, v *sdjwt.Verified, e *attestation.Engagement, issuer *trustlist.Entity) (uint64, error) {
	if err := mayIssueEngagement(issuer, attestation.DateOf(w.Now())); err != nil {
		return 0, errors.Join(ErrUntrusted, err)
	}
	if e.Registry != w.settings.Origin {
		return 0, fmt.Errorf("the engagement is for the registry %q, this wallet for %q", e.Registry, w.settings.Origin)
	}
	if err := checkPlan(e); err != nil {
		return 0, err
	}
	if err := w.checkDelivery(e); err != nil {
		return 0, err
	}
	return w.engagementIndex(ctx, v, e, issuer)
}

func mayIssueEngagement(e *trustlist.Entity, day attestation.Date) error {
	var err error
	for _, role := range e.Roles {
		if err = e.MayAttest(attestation.TypeEngagement, role, day); err == nil {
			return nil
		}
	}
	return err
}

// checkPlan compares the engagement's slots with the wallet's own calendar: each must be there and opened.
func checkPlan(e *attestation.Engagement) error {
	for stream, periods := range e.Plan() {
		for _, p := range periods {
			if !e.InPlan(stream, p) {
				return fmt.Errorf("%w: %s %s is missing", ErrPlan, stream, p)
			}
			secret, ok := e.Opened(stream, p)
			var s registry.Secret
			if !ok || s.UnmarshalText([]byte(secret)) != nil {
				return fmt.Errorf("%w: %s %s cannot be opened", ErrPlan, stream, p)
			}
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

// engagementIndex finds the engagement in its contract's ladder.
func (w *Wallet) engagementIndex(ctx context.Context, v *sdjwt.Verified, e *attestation.Engagement, issuer *trustlist.Entity) (uint64, error) {
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(e.ContractHash)); err != nil {
		return 0, fmt.Errorf("contract_hash: %w", err)
	}
	writer := issuer.ID
	if issuer.ID != e.Employer.ID && (e.Support == nil || issuer.ID != e.Support.ID) {
		writer = string(issuer.Roles[0])
	}
	for n := range registry.MaxRungs {
		s := registry.EngagementSecret(contract, n)
		key := registry.KeyOf(writer, s.Find())
		resp, err := w.Registry.Lookup(ctx, []registry.Key{key})
		if err != nil {
			return 0, err
		}
		if len(resp.Results) != 1 || resp.Results[0].Member == nil {
			return 0, ErrNotLogged
		}
		m := resp.Results[0].Member
		if jwt, err := registry.OpenA(s, key, m.A); err == nil && m.MatchesValue() && jwt == v.JWT {
			return m.Index, nil
		}
	}
	return 0, ErrNotLogged
}
