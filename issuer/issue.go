package issuer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
)

const (
	maxRung   = registry.MaxRungs
	chunkSize = 500 // rows signed, stored and submitted together
)

// issue signs and seals the drafts in chunks, stores each chunk whole, and submits it while the next one is being made.
func (i *Issuer) issue(ctx context.Context, o *org, drafts []*draft) error {
	g, ctx := errgroup.WithContext(ctx)
	made := make(chan []*draft, 1)
	g.Go(func() error {
		defer close(made)
		for len(drafts) > 0 {
			chunk := drafts[:min(chunkSize, len(drafts))]
			drafts = drafts[len(chunk):]
			if err := i.make(ctx, o, chunk); err != nil {
				return err
			}
			select {
			case made <- chunk:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	g.Go(func() error {
		for chunk := range made {
			records := make([]*record, len(chunk))
			for n, d := range chunk {
				records[n] = d.record
			}
			err := i.submit(ctx, o, records)
			for _, d := range chunk {
				d.settle()
			}
			if err != nil {
				i.Log.WarnContext(ctx, "registry gave no receipt; records are kept and sent again", "organization", o.ID, "records", len(chunk), "err", err)
			}
		}
		return nil
	})
	return g.Wait()
}

// settle copies what became of the record to the row's result.
func (d *draft) settle() {
	d.result.ID, d.result.J, d.result.Status = d.record.ID, d.record.J, StatusStored
	if d.record.Logged {
		d.result.Status, d.result.Index = StatusLogged, &d.record.Index
	}
	d.settleEngagement()
}

// settleEngagement adds what only the issuing of an engagement gives: its ID, and the credential for the worker.
func (d *draft) settleEngagement() {
	if d.typ == attestation.TypeEngagement {
		d.result.Engagement, d.result.SDJWT = d.record.ID, string(d.record.octets.sdjwt)
	}
}

// make signs, seals and stores one chunk. After it, the records survive anything.
func (i *Issuer) make(ctx context.Context, o *org, chunk []*draft) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	now := i.Now()
	for _, d := range chunk {
		g.Go(func() error {
			if err := i.makeOne(o, d, now); err != nil {
				return fmt.Errorf("row %d: %w", d.row, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return i.Store.Update(ctx, func(tx store.Tx) error {
		for _, d := range chunk {
			if err := d.save(tx, o.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *draft) save(tx store.Tx, orgID string) error {
	if err := d.record.save(tx, orgID); err != nil {
		return err
	}
	if d.typ != attestation.TypeEngagement {
		return nil
	}
	d.enrolment.Engagement = d.record.ID
	return saveEnrolment(tx, orgID, d.enrolment)
}

func (i *Issuer) makeOne(o *org, d *draft, now time.Time) error {
	if d.typ == attestation.TypeEngagement {
		if err := i.newSlots(d.enrolment, d.payload); err != nil {
			return err
		}
	}
	sdJWT, err := o.sign(d.typ, d.payload, d.enrolment.Holder, now, sdjwt.Options{Rand: i.Rand})
	if err != nil {
		return err
	}
	jwt, _, _ := strings.Cut(sdJWT, "~")
	if d.record.ID, err = keys.ID(jwt); err != nil {
		return err
	}
	secret, err := d.secret()
	if err != nil {
		return err
	}
	delivery, err := d.enrolment.deliveryKey()
	if err != nil {
		return err
	}
	return i.seal(d.record, o, secret, sdJWT, delivery)
}

// secret returns the secret of the draft's rung.
func (d *draft) secret() (registry.Secret, error) {
	if d.typ != attestation.TypeEngagement {
		return registry.SlotSecret(d.enrolment.Secrets[d.stream][d.period], d.record.J), nil
	}
	var contract registry.Hash
	err := contract.UnmarshalText([]byte(d.enrolment.Terms.ContractHash))
	return registry.EngagementSecret(contract, d.record.J), err
}

// submit sends records to the registry and notes the receipts. A slot that holds something else already moves the record to the next
// rung. Records without a receipt stay pending.
func (i *Issuer) submit(ctx context.Context, o *org, records []*record) error {
	for len(records) > 0 {
		batch := make([]registry.Record, len(records))
		for n, r := range records {
			batch[n] = r.wire()
		}
		resp, err := i.send(ctx, o, batch)
		if err != nil && !errors.Is(err, registry.ErrConflict) {
			return err
		}
		if len(resp.Results) != len(records) {
			return fmt.Errorf("the registry answered for %d records instead of %d", len(resp.Results), len(records))
		}
		var again []*record
		for n, r := range records {
			if resp.Results[n].Status == registry.StatusConflict {
				again = append(again, r)
				continue
			}
			r.Logged, r.Index = true, resp.Results[n].Index
		}
		if err := i.saveAll(ctx, o, records); err != nil {
			return err
		}
		if records, err = i.resolve(ctx, o, again); err != nil {
			return err
		}
	}
	return nil
}

// send submits one batch and waits out a full queue.
func (i *Issuer) send(ctx context.Context, o *org, batch []registry.Record) (*registry.SubmitResponse, error) {
	for try := 0; ; try++ {
		jwt, err := registry.MakeSubmission(o.submission, o.ID, i.Origin, batch, registry.WriterFor(o.Role, o.ID), i.Now())
		if err != nil {
			return nil, err
		}
		resp, err := i.Registry.Submit(ctx, registry.SubmitRequest{Submission: jwt, Records: batch})
		var retry *registry.RetryError
		if !errors.As(err, &retry) || try == maxTries {
			return resp, err
		}
		select {
		case <-time.After(retry.After):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

const maxTries = 5

func (i *Issuer) saveAll(ctx context.Context, o *org, records []*record) error {
	return i.Store.Update(ctx, func(tx store.Tx) error {
		for _, r := range records {
			slot := r.slot(o.ID)
			if err := setJSON(tx, slot, r); err != nil {
				return err
			}
			if r.Logged {
				if err := tx.Delete(pendingKey(o.ID, slot)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// resolve looks at slots that hold another value: our own JWT sealed before counts as done, anything else moves the record on.
func (i *Issuer) resolve(ctx context.Context, o *org, records []*record) (again []*record, err error) {
	if len(records) == 0 {
		return nil, nil
	}
	wanted := make([]registry.Key, len(records))
	for n, r := range records {
		wanted[n] = r.Key
	}
	resp, err := i.Registry.Lookup(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if len(resp.Results) != len(records) {
		return nil, fmt.Errorf("the registry answered for %d slots instead of %d", len(resp.Results), len(records))
	}
	for n, r := range records {
		secret, e, err := i.secretOf(ctx, o, r)
		if err != nil {
			return nil, err
		}
		if m := resp.Results[n].Member; m != nil && holds(secret, r, m) {
			r.Logged, r.Index = true, m.Index
			if err := i.saveAll(ctx, o, []*record{r}); err != nil {
				return nil, err
			}
			continue
		}
		if err := i.moveOn(ctx, o, r, e); err != nil {
			return nil, err
		}
		again = append(again, r)
	}
	return again, nil
}

// holds reports whether the entry is our own JWT.
func holds(secret registry.Secret, r *record, m *registry.MemberProof) bool {
	jwt, err := registry.OpenA(secret, r.Key, m.A)
	if err != nil {
		return false
	}
	id, err := keys.ID(jwt)
	return err == nil && id == r.ID
}

// secretOf returns the secret of the record's rung and the enrolment that it came from.
func (i *Issuer) secretOf(ctx context.Context, o *org, r *record) (registry.Secret, *Enrolment, error) {
	engagement := r.Engagement
	if r.Type == attestation.TypeEngagement {
		engagement = r.ID
	}
	e, err := i.enrolmentOf(ctx, o.ID, engagement)
	if err != nil {
		return registry.Secret{}, nil, err
	}
	s, err := (&draft{typ: r.Type, stream: r.Stream, period: r.Period, enrolment: e, record: r}).secret()
	return s, e, err
}

func (i *Issuer) enrolmentOf(ctx context.Context, orgID, engagement string) (*Enrolment, error) {
	var e Enrolment
	err := i.Store.View(ctx, func(tx store.Tx) error {
		var reference string
		if err := getJSON(tx, engagementKey(orgID, engagement), &reference); err != nil {
			return err
		}
		return getJSON(tx, enrolKey(orgID, reference), &e)
	})
	return &e, err
}

// moveOn seals the record again for the next free rung and stores it in place of the old one.
func (i *Issuer) moveOn(ctx context.Context, o *org, r *record, e *Enrolment) error {
	delivery, err := e.deliveryKey()
	if err != nil {
		return err
	}
	return i.Store.Update(ctx, func(tx store.Tx) error {
		old := r.slot(o.ID)
		next, err := rungs(tx, o.ID, r.Engagement, r.Stream, r.Period)
		if err != nil {
			return err
		}
		moved := *r
		moved.J = max(next, r.J+1)
		if moved.J >= maxRung {
			return fmt.Errorf("all %d rungs of %s %s are taken", maxRung, r.Stream, r.Period)
		}
		secret, err := (&draft{typ: r.Type, stream: r.Stream, period: r.Period, enrolment: e, record: &moved}).secret()
		if err != nil {
			return err
		}
		if err := i.seal(&moved, o, secret, string(r.octets.sdjwt), delivery); err != nil {
			return err
		}
		for _, key := range [][]byte{old, octetsKey(old), pendingKey(o.ID, old)} {
			if err := tx.Delete(key); err != nil {
				return err
			}
		}
		if err := moved.save(tx, o.ID); err != nil {
			return err
		}
		*r = moved
		return nil
	})
}

// Flush sends every record of every organization that has no receipt yet, as after a crash or while the registry was away.
func (i *Issuer) Flush(ctx context.Context) (sent int, err error) {
	ids, err := i.Orgs(ctx)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		n, err := i.flushOrg(ctx, id)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func (i *Issuer) flushOrg(ctx context.Context, orgID string) (sent int, err error) {
	defer i.ladders.lock(orgID)()
	o, err := i.org(ctx, orgID)
	if err != nil {
		return 0, err
	}
	for {
		records, err := i.pending(ctx, orgID)
		if err != nil || len(records) == 0 {
			return sent, err
		}
		if err := i.submit(ctx, o, records); err != nil {
			return sent, err
		}
		sent += len(records)
	}
}

// pending returns up to chunkSize records without a receipt.
func (i *Issuer) pending(ctx context.Context, orgID string) (records []*record, err error) {
	err = i.Store.View(ctx, func(tx store.Tx) error {
		records = nil
		return tx.Scan([]byte(prefixPending+orgID+"/"), func(_, slot []byte) error {
			r, err := loadRecord(tx, slot)
			if err != nil {
				return err
			}
			if records = append(records, r); len(records) == chunkSize {
				return store.ErrStop
			}
			return nil
		})
	})
	return records, err
}
