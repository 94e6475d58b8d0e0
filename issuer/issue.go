package issuer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
)

// Records signed and stored in one transaction: at most chunkSize, and half of what is left towards the end, so that little is still to be
// stored and sent when the last is signed.
const (
	chunkSize = 500
	lastChunk = 100 // not divided any more
)

// chunks divides drafts for [Issuer.sign].
func chunks(drafts []*draft) iter.Seq[[]*draft] {
	return func(yield func([]*draft) bool) {
		for len(drafts) > 0 {
			n := min(len(drafts), chunkSize, max(len(drafts)/2, lastChunk))
			if !yield(drafts[:n:n]) {
				return
			}
			drafts = drafts[n:]
		}
	}
}

// sealed is a chunk of drafts with their sealed octets.
type sealed struct {
	drafts []*draft
	octets []*octets
}

// issue signs, stores and sends all new drafts, and whatever else has no receipt, each step while the one before goes on with the next
// chunk. When the registry gives no receipt the drafts stay stored, and that is no error.
func (i *Issuer) issue(ctx context.Context, o *org, drafts []*draft) error {
	g, running := errgroup.WithContext(ctx)
	made, stored := make(chan sealed, 1), make(chan []outgoing, 1)
	sender := i.sender(o)
	g.Go(func() error {
		defer close(made)
		for chunk := range chunks(fresh(drafts)) {
			s, err := i.sign(o, chunk)
			if err != nil {
				return err
			}
			select {
			case made <- s:
			case <-running.Done():
				return running.Err()
			}
		}
		return nil
	})
	g.Go(func() error {
		defer close(stored)
		for s := range made {
			records, err := i.store(running, o, s)
			if err != nil {
				return err
			}
			stored <- records // which the sender takes at once, until there are no more
		}
		return nil
	})
	g.Go(func() error {
		if err := sender.run(ctx, stored); err != nil {
			i.Log.WarnContext(ctx, "records have no receipt yet; they are kept and sent again", "organization", o.ID, "error", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	receipts := sender.receipts()
	return each(drafts, func(d *draft) error {
		if r := receipts[d.record.ID]; r != nil && !d.isEngagement() {
			d.record = r
			return nil
		}
		return i.Store.View(ctx, func(tx store.Tx) error { return d.settle(tx, o.ID) })
	})
}

// settle reads what became of the record.
func (d *draft) settle(tx store.Tx, orgID string) (err error) {
	if d.record, err = recordOf(tx, orgID, d.digest); err != nil || !d.isEngagement() {
		return err
	}
	octets, err := loadOctets(tx, orgID, d.record)
	d.sdJWT = string(octets.sdJWT)
	return err
}

// sign signs and seals one chunk.
func (i *Issuer) sign(o *org, chunk []*draft) (sealed, error) {
	out := sealed{chunk, make([]*octets, len(chunk))}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n, d := range chunk {
		g.Go(func() (err error) {
			if out.octets[n], err = i.signOne(o, d); err != nil {
				return fmt.Errorf("row %d: %w", d.row, err)
			}
			return nil
		})
	}
	return out, g.Wait()
}

// store stores one chunk and returns the records as they are stored. After it they survive anything.
func (i *Issuer) store(ctx context.Context, o *org, s sealed) (records []outgoing, err error) {
	err = i.Store.Update(ctx, func(tx store.Tx) error {
		records = records[:0]
		for n, d := range s.drafts {
			r, err := i.storeOne(tx, o, d, s.octets[n])
			if err != nil {
				return err
			}
			records = append(records, r)
		}
		return nil
	})
	for _, d := range s.drafts {
		d.payload = nil // a large file has many
	}
	return records, err
}

// storeOne stores one draft. A record that had to leave its rung may have come to stand in this one's: then this one goes after it. The
// draft stays as it is, for the transaction may run again.
func (i *Issuer) storeOne(tx store.Tx, o *org, d *draft, out *octets) (outgoing, error) {
	r := *d.record
	switch _, err := tx.Get(r.slot(o.ID)); {
	case err == nil:
		if r.J, err = nextRung(tx, o.ID, d.ladder); err != nil {
			return outgoing{}, err
		}
		if out, err = i.sealOrPark(&r, o, d.enrolment, *out); err != nil {
			return outgoing{}, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return outgoing{}, err
	}
	if err := errors.Join(r.save(tx, o.ID, out), r.saveLatest(tx, o.ID)); err != nil || !d.isEngagement() {
		return outgoing{&r, out}, err
	}
	d.enrolment.Engagement = r.ID
	return outgoing{&r, out}, d.enrolment.save(tx, o.ID)
}

func (i *Issuer) signOne(o *org, d *draft) (*octets, error) {
	sdJWT, err := sdjwt.Issue(o.signing, o.header(), hide(d.typ, d.payload), sdjwt.Options{Rand: i.Rand})
	if err != nil {
		return nil, err
	}
	if d.record.ID, err = keys.ID(jwtOf(sdJWT)); err != nil {
		return nil, err
	}
	return i.seal(d.record, o, d.enrolment, sdJWT)
}
