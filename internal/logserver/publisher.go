package logserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"akashi/registry"
)

// publisher holds the newest epoch that is not published yet, and who waits for it.
type publisher struct {
	mu      sync.Mutex // guards what follows
	next    *epoch     // holds its snapshot
	waiting []*job     // the log's size at next covers them all
	stopped bool

	wake chan struct{}
}

// offer hands an epoch, whose snapshot the publisher then holds, to the publisher. A newer one takes the place of one that still waits.
func (s *Server) offer(e *epoch, waiting []*job) {
	p := &s.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		finishAll(waiting, nil, ErrStopped)
		return
	}
	if p.next != nil {
		p.next.snap.Release()
	}
	p.next = e
	p.waiting = append(p.waiting, waiting...)
	signal(p.wake)
}

func finishAll(jobs []*job, checkpoint []byte, err error) {
	for _, j := range jobs {
		j.finish(checkpoint, err)
	}
}

// publish is the publisher goroutine.
func (s *Server) publish(ctx context.Context) {
	for {
		var retry <-chan time.Time
		if s.pub.pending() {
			retry = time.After(s.cfg.RetryInterval)
		}
		select {
		case <-s.pub.wake:
		case <-retry:
		case <-ctx.Done():
			s.pub.giveUp()
			return
		}
		s.publishNext(ctx)
	}
}

func (p *publisher) pending() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next != nil
}

func (p *publisher) take() (*epoch, []*job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, waiting := p.next, p.waiting
	p.next, p.waiting = nil, nil
	return e, waiting
}

// putBack keeps an epoch that could not be published for the next attempt, unless a newer one has come.
func (p *publisher) putBack(e *epoch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = e
	} else {
		e.snap.Release()
	}
}

func (p *publisher) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	finishAll(p.waiting, nil, ErrStopped)
	p.waiting = nil
}

func (s *Server) publishNext(ctx context.Context) {
	e, waiting := s.pub.take()
	if e == nil {
		return
	}
	begin := time.Now()
	ctx, span := s.span(ctx, spanPublish)
	signed, late, err := s.witnessed(ctx, e)
	if err == nil {
		s.reached(stepWitnessed)
		err = s.archive.put(ctx, signed)
	}
	s.metrics.published(begin, err)
	endSpan(span, err, attrCount(attrSize, int(e.size)))
	if err != nil {
		s.cfg.Log.Warn("checkpoint not published", "size", e.size, "error", err)
		s.trouble(publicCause(err))
		s.pub.putBack(e)
		finishAll(waiting, nil, err)
		return
	}
	s.reached(stepArchived)
	s.show(e, signed)
	s.reached(stepShown)
	finishAll(waiting, signed, nil)
	s.reached(stepAnswered)
	signal(s.auditWake)
	s.done.Go(func() { s.mergeLate(ctx, e.size, late) })
	s.done.Go(func() { s.thinSometimes(ctx) })
}

// show makes a published epoch the one that readers see. Its snapshot goes to s.published.
func (s *Server) show(e *epoch, signed []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.published != nil {
		s.published.snap.Release()
	}
	s.published, s.served, s.troubled = e, signed, ""
	s.announce()
}

func (s *Server) trouble(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubled = what
	s.announce()
}

// publicCause is what anybody may read about a failed publication.
func publicCause(err error) string {
	if errors.Is(err, ErrNotPublished) {
		return err.Error()
	}
	return "the checkpoint cannot be signed or archived"
}

// answer is what a cosigner said.
type answer struct {
	from  *cosigner
	lines []byte
	err   error
}

// answers are those of cosigners that were asked together.
type answers struct {
	c    <-chan answer
	left int // still to come
}

// askAll brings a checkpoint to cosigners in parallel. Every one of them gives exactly one answer, at the latest after timeout.
func (s *Server) askAll(ctx context.Context, cosigners []*cosigner, size uint64, signed []byte, timeout time.Duration) answers {
	c := make(chan answer, len(cosigners))
	for _, from := range cosigners {
		s.done.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			lines, err := from.ask(ctx, signed, s.prover(size))
			c <- answer{from, lines, err}
		})
	}
	return answers{c, len(cosigners)}
}

// witnessed brings the epoch's checkpoint before all witnesses and returns it with their lines. It waits for the quorum, and then a
// while for the others: with the lines of all, one wrong clock among the first to answer moves no time. Those that did not answer the
// last time are not waited for; their answers come later.
func (s *Server) witnessed(ctx context.Context, e *epoch) (_ []byte, later answers, _ error) {
	signed, err := s.log.checkpoint(ctx, e.size, e.root)
	if err != nil {
		return nil, answers{}, err
	}
	missing := make(map[*cosigner]bool) // those worth waiting for
	for _, c := range s.witnesses {
		missing[c] = !c.isDown()
	}
	later = s.askAll(ctx, s.witnesses, e.size, signed, s.cfg.WitnessTimeout)
	var grace <-chan time.Time
	quorum, ahead := false, 0
	for later.left > 0 && !(quorum && !anyOf(missing)) {
		select {
		case a := <-later.c:
			later.left--
			delete(missing, a.from)
			if errors.Is(a.err, errAhead) {
				ahead++
			}
			if signed, err = s.absorb(signed, a, "witness"); err != nil {
				return nil, answers{}, err
			}
		case <-grace:
			clear(missing)
		}
		if !quorum && s.hasQuorum(signed) {
			quorum = true
			grace = time.After(s.cfg.WitnessGrace)
		}
	}
	if !quorum && ahead > len(s.cfg.Policy.Members)-s.cfg.Policy.Quorum {
		return nil, answers{}, errBehind
	}
	if !quorum {
		return nil, answers{}, ErrNotPublished
	}
	return signed, later, nil
}

func anyOf(m map[*cosigner]bool) bool {
	for _, v := range m {
		if v {
			return true
		}
	}
	return false
}

// absorb merges one answer into a note. What does not verify changes nothing but is told to the operator.
func (s *Server) absorb(signed []byte, a answer, kind string) ([]byte, error) {
	if a.err != nil {
		s.cfg.Log.Warn(kind+" did not sign", "name", a.from.name, "error", a.err)
		return signed, nil
	}
	merged, added, err := registry.MergeCosignatures(signed, a.lines, s.cfg.Policy, s.cfg.Auditors)
	if err != nil {
		return nil, fmt.Errorf("merging cosignatures: %w", err)
	}
	if added == 0 {
		s.cfg.Log.Warn(kind+" answered without a line that counts", "name", a.from.name)
	}
	return merged, nil
}

func (s *Server) hasQuorum(signed []byte) bool {
	c, err := registry.OpenCheckpoint(signed, s.cfg.Policy, s.cfg.Auditors)
	if err != nil {
		return false
	}
	_, ok := c.ExistedBy()
	return ok
}

// mergeLate merges the answers that nobody waited for. The checkpoint is in the archive.
func (s *Server) mergeLate(ctx context.Context, size uint64, late answers) {
	for range late.left {
		a := <-late.c
		if a.err != nil {
			continue
		}
		if _, err := s.mergeLines(ctx, size, a.lines); err != nil {
			s.cfg.Log.Warn("late cosignature not merged", "name", a.from.name, "error", err)
		}
	}
}

// mergeLines merges lines into the archived and, where it is the same, the served checkpoint.
func (s *Server) mergeLines(ctx context.Context, size uint64, lines []byte) (*registry.Checkpoint, error) {
	c, err := s.archive.merge(ctx, size, lines)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.published != nil && s.published.size == size && len(c.Note) > len(s.served) {
		s.served = c.Note
	}
	return c, nil
}
