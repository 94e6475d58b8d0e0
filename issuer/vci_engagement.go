package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
)

// registerWait is how long a wallet waits in the line for the registry's receipt, before it is told to come back.
const registerWait = 8 * time.Second

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
		return i.made(result.SDJWT, issued{Configuration: want.configuration.id})
	case StatusStored:
		return made{}, errNotReady
	}
	return made{}, oid4vc.ErrCredentialRequestDenied // the contract has an engagement, for another key
}

// issueEngagement puts one contract through what an import does with a row, and waits for the receipt for a while.
func (i *Issuer) issueEngagement(ctx context.Context, o *org, reference string, row EngagementRow) (RowResult, error) {
	ctx = context.WithoutCancel(ctx) // a wallet that hangs up in the middle leaves no half of it
	unlock, ok := i.imports.lockWithin(o.ID, registerWait)
	if !ok {
		return RowResult{Status: StatusStored}, nil // a large import is under way
	}
	defer unlock()
	report := &Report{Organization: o.ID, Type: string(attestation.TypeEngagement)}
	r := &reader{i: i, o: o, report: report}
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
		return RowResult{}, oid4vc.ErrCredentialRequestDenied
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
		if _, err := i.store(ctx, o, s); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if _, err := i.send(waiting, o); err != nil {
		i.Log.WarnContext(ctx, "records have no receipt yet; they are kept and sent again", "organization", o.ID, "error", err)
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
