package issuer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
)

// chunkSize is the number of records signed and stored in one transaction.
const chunkSize = 500

// issue signs, seals and stores all new drafts, then sends what has no receipt. When the registry gives none the drafts stay stored, and
// that is no error.
func (i *Issuer) issue(ctx context.Context, o *org, drafts []*draft) error {
	for chunk := range slices.Chunk(fresh(drafts), chunkSize) {
		if err := i.make(ctx, o, chunk); err != nil {
			return err
		}
	}
	if _, err := i.send(ctx, o); err != nil {
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

// settle reads what became of the record.
func (d *draft) settle(tx store.Tx, orgID string) (err error) {
	if d.record, err = recordOf(tx, orgID, d.digest); err != nil || !d.isEngagement() {
		return err
	}
	octets, err := loadOctets(tx, d.record.slot(orgID))
	d.sdJWT = string(octets.sdJWT)
	return err
}

// make signs, seals and stores one chunk. After it the records survive anything.
func (i *Issuer) make(ctx context.Context, o *org, chunk []*draft) error {
	made := make([]*octets, len(chunk))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n, d := range chunk {
		g.Go(func() (err error) {
			if made[n], err = i.makeOne(o, d); err != nil {
				return fmt.Errorf("row %d: %w", d.row, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return i.Store.Update(ctx, func(tx store.Tx) error {
		for n, d := range chunk {
			if err := d.save(tx, o.ID, made[n]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *draft) save(tx store.Tx, orgID string, o *octets) error {
	if err := errors.Join(d.record.save(tx, orgID, o), d.record.saveLatest(tx, orgID)); err != nil {
		return err
	}
	if !d.isEngagement() {
		return nil
	}
	d.enrolment.Engagement = d.record.ID
	return d.enrolment.save(tx, orgID)
}

func (i *Issuer) makeOne(o *org, d *draft) (*octets, error) {
	sdJWT, err := sdjwt.Issue(o.signing, o.header(), hide(d.typ, d.payload), sdjwt.Options{Rand: i.Rand})
	if err != nil {
		return nil, err
	}
	if d.record.ID, err = keys.ID(jwtOf(sdJWT)); err != nil {
		return nil, err
	}
	return i.seal(d.record, o, d.enrolment, sdJWT)
}
