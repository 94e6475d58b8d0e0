package logserver

import (
	"context"
	"time"
)

// audit is the goroutine that brings published checkpoints before the auditors. All are asked for the same checkpoint at a time: a
// quorum counts on one only. One that takes long for it is left to its work and asked again for a later one.
//
// They are asked at most once in AuditInterval, unless somebody waits for their word ([Server.WaitAudited]): what they read they read
// once, however many epochs it came in, and a pay day's stream of submissions is not slowed by its own audit.
func (s *Server) audit(ctx context.Context) {
	var last time.Time
	for {
		var retry <-chan time.Time
		if s.unaudited() {
			retry = time.After(s.cfg.RetryInterval)
		}
		select {
		case <-s.auditWake:
		case <-retry:
		case <-ctx.Done():
			return
		}
		if s.unaudited() {
			s.paceAudit(ctx, last)
			last = time.Now()
			s.auditNewest(ctx)
		}
	}
}

// paceAudit waits until AuditInterval has passed since the last time, or somebody is waiting.
func (s *Server) paceAudit(ctx context.Context, last time.Time) {
	select {
	case <-time.After(s.cfg.AuditInterval - time.Since(last)):
	case <-s.auditUrgent:
	case <-ctx.Done():
	}
}

// unaudited tells whether the newest published checkpoint lacks the auditors' quorum.
func (s *Server) unaudited() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.published != nil && (s.audited == nil || s.audited.size < s.published.size)
}

func (s *Server) auditNewest(ctx context.Context) {
	s.mu.RLock()
	e, signed := s.published, s.served
	e.snap.Retain()
	s.mu.RUnlock()
	asked := s.askAll(ctx, s.auditors, e.size, signed, s.cfg.AuditorTimeout)
	for asked.left > 0 {
		a := <-asked.c
		asked.left--
		if a.err != nil {
			if ctx.Err() == nil {
				s.cfg.Log.Warn("auditor did not sign", "name", a.from.name, "size", e.size, "error", a.err)
			}
			continue
		}
		c, err := s.mergeLines(ctx, e.size, a.lines)
		if err != nil {
			s.cfg.Log.Warn("auditor's line not merged", "name", a.from.name, "error", err)
			continue
		}
		if c.Audited() {
			s.setAudited(e)
			s.done.Go(func() { s.mergeLate(ctx, e.size, asked) })
			return
		}
	}
	e.snap.Release()
}

// setAudited makes e, whose snapshot goes with it, the newest audited epoch.
func (s *Server) setAudited(e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.audited != nil {
		s.audited.snap.Release()
	}
	s.audited = e
	s.announce()
	if e.head.Epoch >= s.savedEpoch.Load()+s.cfg.MapFileEpochs {
		s.savedEpoch.Store(e.head.Epoch) // also when it fails: not again at once
		s.done.Go(s.saveMap)
	}
}
