package issuer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/registry"
)

const (
	batchSize   = 500      // records of one submission
	maxOctets   = 12 << 20 // octets of its boxes: under the registry's bound for a request
	maxInFlight = 8        // submissions that wait for their epoch at the same time
	maxHeld     = 4000     // records whose octets wait in memory to be sent; those of others are read from the store again
	maxTries    = 5        // of one submission that meets a full queue
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
	return len(s.receipts()), err
}

// outgoing is a record to be sent.
type outgoing struct {
	*record
	octets *octets // nil: in the store
}

// size is a bound on the octets of the boxes.
func (r outgoing) size() int {
	if r.octets == nil {
		return registry.MaxA + registry.MaxB
	}
	return len(r.octets.a) + len(r.octets.b)
}

// sender is one run of [Issuer.send].
//
// Of one ladder only the lowest rung without a receipt is ever under way, so a record that finds its slot taken can move up, and what stands
// above it with it, without a gap and without changing octets that were sent.
type sender struct {
	i *Issuer
	o *org

	// These are for the goroutine of run alone.
	queue  []outgoing
	busy   map[ladder]int  // the rung that is in the queue or under way
	begun  map[string]bool // IDs of records that were in the queue
	held   int             // records in the queue or under way with their octets
	passed bool            // there are more records in these ladders

	mu      sync.Mutex // guards what follows
	logged  map[string]*record
	moved   map[ladder]bool // records of these stand elsewhere than they were first stored
	unclear map[ladder]bool
	why     error // of the first unclear one for which there is more to say
}

func (i *Issuer) sender(o *org) *sender {
	return &sender{i: i, o: o, busy: map[ladder]int{}, begun: map[string]bool{}, logged: map[string]*record{}, moved: map[ladder]bool{}, unclear: map[ladder]bool{}}
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
func (s *sender) waits(l ladder) bool { return s.has(s.unclear, l) }

// has looks into one of the sets that mu guards.
func (s *sender) has(set map[ladder]bool, l ladder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return set[l]
}

// move notes that records of the ladder get other rungs.
func (s *sender) move(l ladder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved[l] = true
}

// receipts returns the records that got a receipt in this run, by ID.
func (s *sender) receipts() map[string]*record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged
}

// ended is a batch that is no longer under way.
type ended struct {
	batch []outgoing
	err   error
}

// run sends in batches, several at a time, until nothing is left and stored, over which come records that were just stored, is closed or nil.
// A batch begins as soon as another ends. After the first that fails none is begun.
func (s *sender) run(ctx context.Context, stored <-chan []outgoing) (err error) {
	var (
		running int
		done    = make(chan ended, maxInFlight)
		look    = true // the store may have records to send
	)
	for {
		if look && err == nil {
			err = s.look(ctx)
		}
		for look = false; err == nil && len(s.queue) > 0 && running < maxInFlight; running++ {
			batch := s.take()
			go func() { done <- ended{batch, s.sendBatch(ctx, batch)} }()
		}
		if err != nil {
			s.queue = nil
		}
		if running == 0 && stored == nil {
			break
		}
		select {
		case e := <-done:
			running--
			look = s.release(e.batch)
			err = cmp.Or(err, e.err)
		case records, more := <-stored:
			s.add(records)
			if !more { // a last look
				stored, look = nil, s.passed
			}
		}
	}
	if err == nil && len(s.unclear) > 0 {
		err = errors.Join(errUnclear, s.why)
	}
	return err
}

// add queues records that were just stored. Those that must wait for others of their ladder are found by a later look.
func (s *sender) add(records []outgoing) {
	for _, r := range records {
		l := r.ladder()
		if s.begun[r.ID] || r.NoRoom || s.waits(l) {
			continue
		}
		if _, busy := s.busy[l]; busy || s.has(s.moved, l) {
			s.passed = true
			continue
		}
		if s.held < maxHeld {
			s.held++
		} else {
			r.octets = nil
		}
		s.enqueue(r)
	}
}

func (s *sender) enqueue(r outgoing) {
	s.busy[r.ladder()] = r.J
	s.begun[r.ID] = true
	s.queue = append(s.queue, r)
}

// look queues what the store has without a receipt: of every ladder that is neither busy nor unclear the lowest rung.
func (s *sender) look(ctx context.Context) error {
	s.passed = false
	return s.i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixPending+s.o.ID+"/"), func(_, slot []byte) error {
			r := new(record)
			if err := store.GetJSON(tx, slot, r); err != nil {
				return err
			}
			l := r.ladder()
			if j, busy := s.busy[l]; busy {
				s.passed = s.passed || r.J != j
			} else if !s.waits(l) {
				s.enqueue(outgoing{record: r})
			}
			return nil
		})
	})
}

// take takes the records of one submission from the queue.
func (s *sender) take() []outgoing {
	n, size := 0, 0
	for n < len(s.queue) && n < batchSize && (n == 0 || size+s.queue[n].size() <= maxOctets) {
		size += s.queue[n].size()
		n++
	}
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
	return batch
}

// release frees the ladders of a batch that is no longer under way, and reports whether the store may have something to send in them.
func (s *sender) release(batch []outgoing) (look bool) {
	for _, r := range batch {
		delete(s.busy, r.ladder())
		if r.octets != nil {
			s.held--
		}
		look = look || !r.Logged
	}
	return look || s.passed
}

// sendBatch submits one batch and notes the receipts. Records without one stay pending.
func (s *sender) sendBatch(ctx context.Context, records []outgoing) error {
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
			taken = append(taken, r.record)
			continue
		}
		r.Logged, r.Receipt = true, s.i.Now().Unix()
		logged = append(logged, r.record)
	}
	if err := s.note(ctx, logged); err != nil {
		return err
	}
	return s.resolve(ctx, taken)
}

// wire returns what the registry is sent: the stored octets.
func (s *sender) wire(ctx context.Context, records []outgoing) ([]registry.Record, error) {
	out := make([]registry.Record, len(records))
	err := s.i.Store.View(ctx, func(tx store.Tx) error {
		for n, r := range records {
			o := r.octets
			if o == nil {
				loaded, err := loadOctets(tx, s.o.ID, r.record)
				if err != nil {
					return err
				}
				o = &loaded
			}
			out[n] = registry.Record{X: r.X, A: o.a, B: o.b}
		}
		return nil
	})
	return out, err
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
		defer s.mu.Unlock()
		for _, r := range logged {
			s.logged[r.ID] = r
		}
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
	var e *Enrolment
	err := s.i.Store.View(ctx, func(tx store.Tx) error {
		reference, err := tx.Get(engagementKey(s.o.ID, engagement))
		if err != nil {
			return err
		}
		e, err = loadEnrolment(tx, s.o.ID, string(reference))
		return err
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
	s.move(r.ladder())
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
		if w.octets, err = loadOctets(tx, s.o.ID, w.record); err != nil {
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
