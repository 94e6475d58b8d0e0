package logserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"akashi/registry"
)

func (s *Server) serveDelta(w http.ResponseWriter, r *http.Request) {
	from, err := number(r.URL.Query().Get("from"))
	if err != nil {
		s.fail(w, r, errors.Join(errRequest, errors.New("give from, the size of a checkpoint")))
		return
	}
	answerWith(s, w, r)(s.processDelta(r.Context(), from))
}

// processDelta makes the delta from a position after a head to the head that readers see.
func (s *Server) processDelta(ctx context.Context, from uint64) (*registry.DeltaResponse, error) {
	v, err := s.view(ctx, anyEpoch)
	if err != nil {
		return nil, err
	}
	defer v.snap.Release()
	switch {
	case from > v.size:
		return nil, errNotFound
	case v.size-from > registry.MaxDeltaEntries:
		return nil, fmt.Errorf("%w: more than %d entries lie between: replay the log", errRequest, registry.MaxDeltaEntries)
	}
	span, err := s.spanOf(ctx, from, v.size)
	if err != nil {
		return nil, err
	}
	resp := new(registry.DeltaResponse)
	if resp.Head, err = v.headProof(ctx); err != nil {
		return nil, err
	}
	resp.Delta, err = registry.MakeMapDelta(from, span.Slots(), func(k registry.Key) ([]byte, error) { return v.snap.Prove(ctx, k) })
	return resp, err
}

// spanOf reads the entries from a position that follows a head up to size.
func (s *Server) spanOf(ctx context.Context, from, size uint64) (registry.Span, error) {
	var span registry.Span
	if from > 0 {
		data, err := s.log.entry(ctx, from-1, size)
		if err != nil {
			return span, err
		}
		head, ok := parseHead(data)
		if !ok {
			return span, fmt.Errorf("%w: entry %d is not a head", errRequest, from-1)
		}
		span.Head = &head
	}
	return span, s.log.entries(ctx, from, size, func(data []byte) error {
		span.Entries = append(span.Entries, data)
		return nil
	})
}

func parseHead(data []byte) (registry.HeadEntry, bool) {
	entry, err := registry.ParseEntry(data)
	if err != nil {
		return registry.HeadEntry{}, false
	}
	head, ok := entry.(registry.HeadEntry)
	return head, ok
}
