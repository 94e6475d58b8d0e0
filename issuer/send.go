package issuer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/registry"
)

const (
	batchSize   = 250 // records of one submission: with the largest boxes it stays under the registry's bound for a request
	maxInFlight = 16  // submissions that wait for their epoch at the same time
	maxTries    = 5   // of one submission that meets a full queue
	maxWait     = time.Minute
)

// errUnclear says that a slot was taken by a record that the registry does not show yet, or cannot show. Moving on without seeing it
// might log one attestation twice, or leave a rung empty and with it all above it worthless.
var errUnclear = errors.New("the registry says that slots are taken and does not show yet by what; the records wait")

// Flush looks up the records whose receipts are not confirmed yet, and sends every record of every organization that has no receipt, as after
// a crash, while the registry was away, or when a receipt was found to be false ([ErrNotLogged]). It returns how many got one.
func (i *Issuer) Flush(ctx context.Context) (sent int, err error) {
	ids, err := i.Orgs(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, id := range ids {
		n, err := i.flushOrg(ctx, id)
		sent += n
		if err != nil {
			errs = append(errs, fmt.Errorf("organization %s: %w", id, err))
		}
	}
	return sent, errors.Join(errs...)
}

func (i *Issuer) flushOrg(ctx context.Context, id string) (int, error) {
	o, err := i.org(ctx, id)
	if err != nil {
		return 0, err
	}
	confirmErr := i.confirm(ctx, o)
	defer i.imports.lock(o.ID)()
	sent, err := i.send(ctx, o)
	return sent, errors.Join(confirmErr, err)
}

// send submits every record of the organization that has no receipt, and returns how many got one.
func (i *Issuer) send(ctx context.Context, o *org) (sent int, err error) {
	s := i.sender(o)
	err = s.run(ctx, nil)
	return s.sent, err
}

// sender is one run of [Issuer.send].
//
// Of one ladder only the lowest rung without a receipt is ever under way, so a record that finds its slot taken can move up, and what stands
// above it with it, without a gap and without changing octets that were sent.
type sender struct {
	i      *Issuer
	o      *org
	recent recent
	busy   map[ladder]int // the rung that is under way; this and passed are for the goroutine of [sender.run] alone
	passed bool           // the last look found more records in these ladders

	mu      sync.Mutex // guards what follows
	sent    int
	unclear map[ladder]bool
	why     error // of the first unclear one for which there is more to say
}

func (i *Issuer) sender(o *org) *sender {
	return &sender{i: i, o: o, busy: map[ladder]int{}, unclear: map[ladder]bool{}}
}

// wait leaves the record's ladder alone for the rest of the run.
func (s *sender) wait(r *record, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unclear[r.ladder()] = true
	if s.why == nil {
		s.why = why
	}
}

// waits reports whether the ladder is left alone.
func (s *sender) waits(l ladder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unclear[l]
}

// ended is a batch that is no longer under way.
type ended struct {
	batch []*record
	err   error
}

// run sends in batches, several at a time, until nothing is left and stored is closed or nil; each signal of stored says that there is more.
// A batch begins as soon as another ends. After the first that fails none is begun.
func (s *sender) run(ctx context.Context, stored <-chan struct{}) (err error) {
	var (
		queue   [][]*record
		running int
		done    = make(chan ended, maxInFlight)
		look    = true // there may be records to send
	)
	for {
		if look && err == nil {
			var front []*record
			front, err = s.front(ctx)
			queue = slices.AppendSeq(queue, slices.Chunk(front, batchSize))
		}
		for look = false; err == nil && len(queue) > 0 && running < maxInFlight; running++ {
			batch := queue[0]
			queue = queue[1:]
			go func() { done <- ended{batch, s.sendBatch(ctx, batch)} }()
		}
		if err != nil {
			queue = nil
			s.recent.clear()
		}
		if running == 0 && stored == nil {
			break
		}
		select {
		case e := <-done:
			running--
			for _, r := range e.batch {
				delete(s.busy, r.ladder())
			}
			look = s.passed || slices.ContainsFunc(e.batch, func(r *record) bool { return !r.Logged })
			err = cmp.Or(err, e.err)
		case _, more := <-stored:
			if look = true; !more {
				stored = nil
			}
		}
	}
	if err == nil && len(s.unclear) > 0 {
		err = errors.Join(errUnclear, s.why)
	}
	return err
}

// front returns the records to send next, and makes their ladders busy: of every ladder that is neither busy nor unclear the lowest rung without
// a receipt.
func (s *sender) front(ctx context.Context) (front []*record, err error) {
	s.passed = false
	err = s.i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixPending+s.o.ID+"/"), func(_, slot []byte) error {
			r, err := s.pending(tx, slot)
			if err != nil {
				return err
			}
			l := r.ladder()
			if j, busy := s.busy[l]; busy {
				s.passed = s.passed || r.J != j
			} else if !s.waits(l) {
				front = append(front, r)
				s.busy[l] = r.J
			}
			return nil
		})
	})
	return front, err
}

func (s *sender) pending(tx store.Tx, slot []byte) (*record, error) {
	if f, ok := s.recent.of(slot); ok {
		return f.record, nil
	}
	r := new(record)
	return r, store.GetJSON(tx, slot, r)
}

// sendBatch submits one batch and notes the receipts. Records without one stay pending.
func (s *sender) sendBatch(ctx context.Context, records []*record) error {
	wire, err := s.wire(ctx, records)
	if err != nil {
		return err
	}
	resp, err := s.submit(ctx, wire)
	if err != nil && !errors.Is(err, registry.ErrConflict) {
		return err
	}
	if resp == nil || len(resp.Results) != len(records) {
		return fmt.Errorf("%w: it is not about the records that were sent", registry.ErrAnswer)
	}
	var logged, taken []*record
	for n, r := range records {
		result := resp.Results[n]
		if result.Key != r.Key {
			return fmt.Errorf("%w: it is not about the records that were sent", registry.ErrAnswer)
		}
		r.Index = result.Index // of the record, or of what is said to hold its slot: as stated
		if result.Status == registry.StatusConflict {
			taken = append(taken, r)
			continue
		}
		r.Logged, r.Receipt = true, s.i.Now().Unix()
		logged = append(logged, r)
	}
	if err := s.note(ctx, logged); err != nil {
		return err
	}
	s.recent.drop(s.o.ID, records)
	return s.resolve(ctx, taken)
}

// wire returns what the registry is sent: the stored octets.
func (s *sender) wire(ctx context.Context, records []*record) ([]registry.Record, error) {
	out := make([]registry.Record, len(records))
	err := s.i.Store.View(ctx, func(tx store.Tx) error {
		for n, r := range records {
			o, err := s.octets(tx, r.slot(s.o.ID))
			if err != nil {
				return err
			}
			out[n] = registry.Record{X: r.X, A: o.a, B: o.b}
		}
		return nil
	})
	return out, err
}

func (s *sender) octets(tx store.Tx, slot []byte) (octets, error) {
	if f, ok := s.recent.of(slot); ok {
		return f.octets, nil
	}
	return loadOctets(tx, slot)
}

// submit signs and sends one submission, and waits where the registry has no room just now.
func (s *sender) submit(ctx context.Context, batch []registry.Record) (*registry.SubmitResponse, error) {
	for try := 1; ; try++ {
		jwt, err := registry.MakeSubmission(s.o.submission, s.o.ID, s.i.Origin, batch, registry.WriterFor(s.o.Role, s.o.ID), s.i.Now())
		if err != nil {
			return nil, err
		}
		resp, err := s.i.Registry.Submit(ctx, registry.SubmitRequest{Submission: jwt, Records: batch})
		var busy *registry.RetryError
		if !errors.As(err, &busy) || try == maxTries || busy.After > maxWait {
			return resp, err
		}
		select {
		case <-time.After(busy.After):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// note stores receipts.
func (s *sender) note(ctx context.Context, logged []*record) error {
	if len(logged) == 0 {
		return nil
	}
	err := s.i.Store.Update(ctx, func(tx store.Tx) error {
		for _, r := range logged {
			if err := r.save(tx, s.o.ID, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.mu.Lock()
		s.sent += len(logged)
		s.mu.Unlock()
	}
	return err
}

// resolve looks at slots that are said to hold another value. Only what is proven counts: our own record or JWT there is done, another one
// moves the record on, and everything else leaves it where it is.
func (s *sender) resolve(ctx context.Context, taken []*record) error {
	if len(taken) == 0 {
		return nil
	}
	look, err := s.i.lookup(ctx, keysOf(taken))
	if errors.Is(err, registry.ErrNotProven) || errors.Is(err, ErrOldHead) {
		for _, r := range taken {
			s.wait(r, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	for n, r := range taken {
		if err := s.resolveOne(ctx, r, look.Head, &look.Results[n]); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) resolveOne(ctx context.Context, r *record, head *registry.VerifiedHead, result *registry.VerifiedResult) error {
	what, err := s.inspect(ctx, r, result)
	if err != nil {
		return err
	}
	switch {
	case what == holdsOurs:
		r.Logged, r.Confirmed, r.Index, r.Receipt = true, true, result.Index, s.i.Now().Unix()
		return s.note(ctx, []*record{r})
	case what == holdsAnother:
		return s.moveUp(ctx, r)
	case what == holdsNothing && head.Covered > r.Index:
		s.wait(r, ErrNotTaken)
	default:
		s.wait(r, result.Err)
	}
	return nil
}

// enrolment returns the enrolment that the record was made from.
func (s *sender) enrolment(ctx context.Context, r *record) (*Enrolment, error) {
	engagement := r.Engagement
	if r.Type == attestation.TypeEngagement {
		engagement = r.ID
	}
	e := new(Enrolment)
	err := s.i.Store.View(ctx, func(tx store.Tx) error {
		reference, err := tx.Get(engagementKey(s.o.ID, engagement))
		if err != nil {
			return err
		}
		return store.GetJSON(tx, enrolKey(s.o.ID, string(reference)), e)
	})
	return e, err
}

// waiting is a record without a receipt on its way to another rung.
type waiting struct {
	record *record
	octets octets
	latest bool // about its thing
}

// moveUp gives r the next free rung, and what stands above it and was never sent those after.
func (s *sender) moveUp(ctx context.Context, r *record) error {
	e, err := s.enrolment(ctx, r)
	if err != nil {
		return err
	}
	s.recent.forget(r.ladder())
	return s.i.Store.Update(ctx, func(tx store.Tx) error {
		now := new(record)
		if err := store.GetJSON(tx, r.slot(s.o.ID), now); errors.Is(err, store.ErrNotFound) || err == nil && (now.ID != r.ID || now.Logged) {
			return nil // another run was faster
		} else if err != nil {
			return err
		}
		rungs, err := s.takeWaiting(tx, r)
		if err != nil {
			return err
		}
		for _, w := range rungs {
			if err := s.putUp(tx, w, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// takeWaiting takes r, and the records above it that were never sent, out of the ladder, the lowest first. One that was sent keeps its rung: the
// registry may still log it there.
func (s *sender) takeWaiting(tx store.Tx, r *record) (rungs []waiting, err error) {
	err = tx.Scan(pendingKey(ladderKey(s.o.ID, r.ladder())), func(_, slot []byte) (err error) {
		w := waiting{record: new(record)}
		if err := store.GetJSON(tx, slot, w.record); err != nil {
			return err
		}
		if w.record.J < r.J || w.record.J > r.J && w.record.Receipt != 0 {
			return nil
		}
		if w.octets, err = loadOctets(tx, slot); err != nil {
			return err
		}
		latest, err := tx.Get(identityKey(s.o.ID, w.record.Engagement, w.record.Identity))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		w.latest = bytes.Equal(latest, slot)
		rungs = append(rungs, w)
		return w.record.remove(tx, s.o.ID)
	})
	return rungs, err
}

// putUp gives the record the next rung that no other record has.
func (s *sender) putUp(tx store.Tx, w waiting, e *Enrolment) error {
	for {
		w.record.J++
		// Reading the place makes a draft that is stored there at the same time a conflict of the transactions.
		if _, err := tx.Get(w.record.slot(s.o.ID)); errors.Is(err, store.ErrNotFound) {
			break
		} else if err != nil {
			return err
		}
	}
	w.record.Receipt = 0 // of what it was at its old rung
	out, err := s.i.sealOrPark(w.record, s.o, e, w.octets)
	if err != nil {
		return err
	}
	if err := w.record.save(tx, s.o.ID, out); err != nil || !w.latest {
		return err
	}
	return w.record.saveLatest(tx, s.o.ID)
}

// jwtOf returns the issuer-signed JWT of an SD-JWT.
func jwtOf(compact string) string {
	jwt, _, _ := strings.Cut(compact, "~")
	return jwt
}
