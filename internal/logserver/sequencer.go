package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// job is something that waits for the sequencer: a submission, a trust list version, or a wish that the epoch be closed now.
type job struct {
	// a submission
	refs    []registry.RecordRef
	records []*sealedRecord
	jwt     string // of the submission; "" for a worker's statement
	pass    *pass
	listN   uint64                      // the list under which it was checked
	recheck func(*trustlist.List) error // whether it stands under another list

	trace trace.SpanContext // of the submission

	list    *trustlist.List // a version to log, at once
	closing bool            // close the epoch at once, even when nothing else waits
	last    bool            // no job comes after it: answer it when all that is in the log is published

	results []registry.SubmitResult
	needs   uint64       // size of the log that covers all results
	done    chan outcome // has room for one
}

func (j *job) urgent() bool { return j.closing || j.last || j.list != nil }

type outcome struct {
	checkpoint []byte
	err        error
}

// finish answers the waiting caller. It never blocks.
func (j *job) finish(checkpoint []byte, err error) {
	select {
	case j.done <- outcome{checkpoint, err}:
	default:
	}
}

// sequencer is the queue in front of the one goroutine that writes, and that goroutine's state.
type sequencer struct {
	mu      sync.Mutex // guards the queue
	queue   []*job
	records int // in the queue
	hurry   bool
	closed  bool

	wake chan struct{} // something is in the queue
	now  chan struct{} // the epoch is full or wanted at once

	state *state // of the sequencer goroutine, once that runs
	fault error  // of the same: the log must be read again before anything is added

	// tamper changes a head before it is logged. Tests set it, to be an operator who lies.
	tamper func(*registry.HeadEntry)
}

func (q *sequencer) init() {
	q.wake, q.now = make(chan struct{}, 1), make(chan struct{}, 1)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var errQueueFull = errors.New("too much is waiting")

// enqueue puts a job into the queue. Submissions have a bound, the operator's own jobs have none.
func (s *Server) enqueue(j *job) error {
	q := &s.seq
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed && !j.last:
		return ErrStopped
	case len(j.refs) > 0 && q.records+len(j.refs) > s.cfg.Limits.QueueRecords:
		return retryError{errQueueFull, s.cfg.EpochInterval}
	}
	j.done = make(chan outcome, 1)
	q.queue = append(q.queue, j)
	q.records += len(j.refs)
	if j.urgent() || q.records >= s.cfg.Limits.EpochRecords {
		q.hurry = true
		signal(q.now)
	}
	signal(q.wake)
	return nil
}

// submit enqueues a job and waits for what becomes of it. When ctx ends the job goes on.
func (s *Server) submit(ctx context.Context, j *job) ([]byte, error) {
	if err := s.enqueue(j); err != nil {
		return nil, err
	}
	return j.wait(ctx)
}

func (j *job) wait(ctx context.Context) ([]byte, error) {
	select {
	case out := <-j.done:
		return out.checkpoint, out.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take returns the jobs of one epoch.
func (s *Server) take() []*job {
	q := &s.seq
	q.mu.Lock()
	defer q.mu.Unlock()
	n, records := 0, 0
	for n < len(q.queue) && (n == 0 || records+len(q.queue[n].refs) <= s.cfg.Limits.EpochRecords) {
		records += len(q.queue[n].refs)
		n++
	}
	batch := q.queue[:n:n]
	q.queue = q.queue[n:]
	q.records -= records
	q.hurry = q.records >= s.cfg.Limits.EpochRecords
	for _, j := range q.queue {
		q.hurry = q.hurry || j.urgent()
	}
	if len(q.queue) > 0 {
		signal(q.wake)
	}
	return batch
}

func (q *sequencer) hurried() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.hurry
}

// close refuses further jobs. It returns false when that was done already.
func (q *sequencer) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := !q.closed
	q.closed = true
	return first
}

// sequence is the sequencer goroutine.
func (s *Server) sequence(ctx context.Context) {
	defer s.drain()
	s.resume(ctx)
	for {
		var idle <-chan time.Time
		if s.cfg.IdleInterval > 0 {
			idle = time.After(s.cfg.IdleInterval)
		}
		select {
		case <-ctx.Done():
			return
		case <-idle:
			s.runEpoch(ctx, []*job{{closing: true, done: make(chan outcome, 1)}})
		case <-s.seq.wake:
			s.collect(ctx)
			if batch := s.take(); len(batch) > 0 {
				s.runEpoch(ctx, batch)
			}
		}
	}
}

// resume brings what an earlier run left open before the witnesses.
func (s *Server) resume(ctx context.Context) {
	st := s.seq.state
	switch {
	case st.size == 0 || s.published != nil && s.published.size == st.size:
	case st.closed():
		e, err := st.epoch(ctx)
		if err != nil {
			s.cfg.Log.Error("the last epoch is not published", "error", err)
			return
		}
		s.offer(e, nil)
	default:
		s.runEpoch(ctx, []*job{{closing: true, done: make(chan outcome, 1)}})
	}
}

// collect waits until the epoch's time is over, or it is full, or wanted at once.
func (s *Server) collect(ctx context.Context) {
	timer := time.NewTimer(s.cfg.EpochInterval)
	defer timer.Stop()
	for !s.seq.hurried() {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-s.seq.now:
		}
	}
}

// drain answers all who still wait when the sequencer ends.
func (s *Server) drain() {
	q := &s.seq
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, j := range q.queue {
		j.finish(nil, ErrStopped)
	}
	q.queue = nil
}

// runEpoch sequences a batch. After a failure nobody knows how much of it is in the log, so the log is read again before the next one.
// The epoch is not cut short when the server stops: what has begun is brought to its end.
func (s *Server) runEpoch(ctx context.Context, batch []*job) {
	ctx, span := s.span(context.WithoutCancel(ctx), spanEpoch, linksOf(batch))
	begin := time.Now()
	err := s.checkSpace()
	if err == nil {
		err = s.catchUp(ctx)
	}
	if err == nil {
		err = s.closeEpoch(ctx, batch)
		s.seq.fault = err
	}
	s.metrics.epoch(begin, batch, s.seq.state.size, err)
	endSpan(span, err, attrCount(attrJobs, len(batch)), attrCount(attrSize, int(s.seq.state.size)))
	if err == nil {
		return
	}
	s.cfg.Log.Error("epoch failed", "error", err)
	if !isDiskFull(err) { // that passes without us, and is told as long as it lasts
		s.trouble("the log cannot be written")
	}
	for _, j := range batch {
		j.finish(nil, fmt.Errorf("%w: %w", errInternal, err))
	}
}

var errInternal = errors.New("the registry could not write")

// catchUp applies entries that the log has and the state does not, after a failure.
func (s *Server) catchUp(ctx context.Context) error {
	if s.seq.fault == nil {
		return nil
	}
	size, err := s.log.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("reading the size of the log: %w", err)
	}
	if err := s.replay(ctx, size); err != nil {
		return err
	}
	s.seq.fault = nil
	return nil
}

// closeEpoch decides what becomes of each record, logs those that are new, and closes the epoch with a head where something was logged
// or is wanted. Callers are answered after publication, except those that it refuses.
func (s *Server) closeEpoch(ctx context.Context, batch []*job) error {
	st := s.seq.state
	plan, err := s.decide(ctx, batch)
	if err != nil {
		return err
	}
	if err := s.save(ctx, plan); err != nil {
		return err
	}
	s.reached(stepStored)
	if err := s.append(ctx, plan.entries); err != nil {
		return err
	}
	s.reached(stepLogged)
	s.showLists()
	if len(plan.entries) == 0 && !plan.closing && (st.closed() || st.size == 0) {
		return s.answerOld(ctx, plan.waiting)
	}
	head := registry.HeadEntry{
		Epoch: st.epochs + 1, Covered: st.size, UnixMilli: s.cfg.Now().UnixMilli(), ListN: st.listN(),
		PrevIndex: st.headAt, PrevHash: st.headHash,
	}
	snap, err := st.commit(ctx)
	if err != nil {
		return err
	}
	s.reached(stepMapped)
	head.MapRoot, head.MapSize = snap.Root(), uint64(snap.Len())
	if s.seq.tamper != nil {
		s.seq.tamper(&head)
	}
	if err := s.append(ctx, [][]byte{head.Marshal()}); err != nil {
		snap.Release()
		return err
	}
	s.reached(stepHeaded)
	e, err := st.epochWith(snap)
	if err != nil {
		return err
	}
	s.offer(e, plan.waiting)
	return nil
}

// plan is what an epoch will log.
type plan struct {
	entries [][]byte
	added   []addition
	again   []addition          // records that stand in their slots already: they heal a store that has lost them
	lists   []trustlist.Version // with the index that they will have
	waiting []*job              // to be answered after publication
	closing bool
}

// addition is a record as it is stored.
type addition struct {
	key    registry.Key
	record *sealedRecord
	jwt    string
}

// decide goes through the batch in order. First write to a slot wins, within the batch too; the record that stands there already is
// answered with its index, another one is a conflict.
func (s *Server) decide(ctx context.Context, batch []*job) (*plan, error) {
	st, p := s.seq.state, new(plan)
	fresh := make(map[registry.Key]standing) // in this batch
	lists := make([]*trustlist.List, 0, len(st.lists))
	for _, v := range st.lists {
		lists = append(lists, v.List)
	}
	for _, j := range batch {
		if j.list != nil {
			isNew, err := follows(lists, j.list)
			if err != nil {
				j.finish(nil, err)
				continue
			}
			if isNew {
				lists, p.lists = append(lists, j.list), append(p.lists, trustlist.Version{List: j.list, Index: st.size + uint64(len(p.entries))})
				p.entries = append(p.entries, j.list.Entry().Marshal())
			}
			j.needs = st.size + uint64(len(p.entries))
		}
		if n := len(lists); len(j.refs) > 0 && uint64(n) != j.listN {
			if err := j.recheck(lists[n-1]); err != nil {
				j.finish(nil, err)
				continue
			}
		}
		for i, ref := range j.refs {
			result := registry.SubmitResult{Key: ref.K, Status: registry.StatusAlready}
			stands, ok := fresh[ref.K]
			index, v, old, err := st.m.Get(ctx, ref.K)
			if err != nil {
				return nil, err
			}
			if old {
				stands, ok = standing{index, v}, true
			}
			switch {
			case !ok:
				stands = standing{st.size + uint64(len(p.entries)), ref.V}
				fresh[ref.K], result.Status = stands, registry.StatusLogged
				p.entries = append(p.entries, registry.SlotEntry(ref).Marshal())
				p.added = append(p.added, addition{ref.K, j.records[i], j.jwt})
			case stands.v != ref.V:
				result.Status = registry.StatusConflict
			default:
				p.again = append(p.again, addition{ref.K, j.records[i], j.jwt})
			}
			result.Index = stands.index
			j.results = append(j.results, result)
			j.needs = max(j.needs, stands.index+1)
		}
		if j.last {
			j.needs = st.size + uint64(len(p.entries))
		}
		p.closing = p.closing || j.closing
		p.waiting = append(p.waiting, j)
	}
	return p, nil
}

// standing is what stands in a slot.
type standing struct {
	index uint64
	v     registry.Value
}

// follows tells whether next is to be logged after the versions admitted so far: no if it is one of them.
func follows(admitted []*trustlist.List, next *trustlist.List) (bool, error) {
	n := uint64(len(admitted))
	switch {
	case next.N <= n && admitted[next.N-1].JWT == next.JWT:
		return false, nil
	case n == 0 && next.N == 1:
		return true, nil
	case n == 0:
		return false, fmt.Errorf("trust list %d cannot be the first: versions begin with 1", next.N)
	}
	if err := trustlist.ValidateSuccessor(admitted[n-1], next); err != nil {
		return false, err
	}
	return true, nil
}

// recordsPerWrite bounds one transaction of the store.
const recordsPerWrite = 500

// save makes everything durable that the log will commit to, in as few transactions as the store allows.
func (s *Server) save(ctx context.Context, p *plan) error {
	small, added := len(p.lists)+len(p.waiting) > 0, p.added
	for small || len(added) > 0 {
		part := added[:min(len(added), recordsPerWrite)]
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			if small {
				if err := p.saveSmall(tx); err != nil {
					return err
				}
			}
			return saveRecords(tx, part)
		})
		if err != nil {
			return fmt.Errorf("storing submissions and records: %w", err)
		}
		small, added = false, added[len(part):]
	}
	for part := range slices.Chunk(p.again, recordsPerWrite) {
		if err := s.cfg.Store.Update(ctx, func(tx store.Tx) error { return healRecords(tx, part) }); err != nil {
			return fmt.Errorf("storing records: %w", err)
		}
	}
	return nil
}

// healRecords stores those records that are missing. Their values are the ones in the log.
func healRecords(tx store.Tx, again []addition) error {
	var missing []addition
	for _, a := range again {
		rec, err := readRecord(tx, a.key)
		if err != nil {
			return err
		}
		if rec == nil {
			missing = append(missing, a)
		}
	}
	return saveRecords(tx, missing)
}

func (p *plan) saveSmall(tx store.Tx) error {
	for _, l := range p.lists {
		err := errors.Join(tx.Set(numbered(keyList, l.List.N), []byte(l.List.JWT)),
			tx.Set(numbered(keyListAt, l.List.N), binary.BigEndian.AppendUint64(nil, l.Index)))
		if err != nil {
			return err
		}
	}
	for _, j := range p.waiting {
		if j.pass == nil {
			continue
		}
		if err := j.pass.save(tx); err != nil {
			return err
		}
	}
	return nil
}

func saveRecords(tx store.Tx, added []addition) error {
	var last string // records of one submission are neighbours
	for _, a := range added {
		if a.jwt != last && a.jwt != "" {
			if err := tx.Set(keyed(keySubmission, a.record.submission), []byte(a.jwt)); err != nil {
				return err
			}
			last = a.jwt
		}
		if err := tx.Set(keyed(keyRecord, a.key), a.record.marshal()); err != nil {
			return err
		}
	}
	return nil
}

// append adds entries to the log and applies them.
func (s *Server) append(ctx context.Context, entries [][]byte) error {
	if len(entries) == 0 {
		return nil
	}
	st := s.seq.state
	if err := s.log.add(ctx, st.size, entries); err != nil {
		return err
	}
	for _, data := range entries {
		if err := st.apply(ctx, data, s.storedListOf(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// showLists lets readers see the trust lists that the log has now.
func (s *Server) showLists() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = s.seq.state.lists
}

// answerOld answers jobs that brought nothing new: at once where a published checkpoint covers their records, else together with the
// next attempt to publish one.
func (s *Server) answerOld(ctx context.Context, jobs []*job) error {
	s.mu.RLock()
	var size uint64
	if s.published != nil {
		size = s.published.size
	}
	served := s.served
	s.mu.RUnlock()
	var rest []*job
	for _, j := range jobs {
		if j.needs <= size {
			j.finish(served, nil)
		} else {
			rest = append(rest, j)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	e, err := s.seq.state.epoch(ctx)
	if err != nil {
		return err
	}
	s.offer(e, rest)
	return nil
}
