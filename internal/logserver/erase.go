package logserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// errNotYet is returned for records that no auditor can have seen.
var errNotYet = errors.New("the statement is not in the registry, or the auditors have not seen it yet: ask again later")

func (s *Server) serveErase(w http.ResponseWriter, r *http.Request) {
	var req registry.EraseRequest
	if err := s.readJSON(r, &req); err != nil {
		s.fail(w, r, asRequestError(err))
		return
	}
	answerWith(s, w, r)(struct{}{}, s.processErase(r.Context(), req))
}

// processErase deletes the record of a worker's statement, when the worker who made it asks ([registry.EraseRequest]). The auditors that
// have not seen it yet would otherwise be stuck for good.
func (s *Server) processErase(ctx context.Context, req registry.EraseRequest) error {
	list := s.inForce()
	if list == nil {
		return retryError{errNoList, s.cfg.RetryInterval}
	}
	x, k := req.Slot()
	v, err := s.checkWorker(req.Request, list, registry.EraseNonce(k))
	if err != nil {
		return err
	}
	if _, err := keys.Verify(req.Statement, v.Holder, keys.ES256, keys.EdDSA); err != nil {
		return fmt.Errorf("%w: the statement is not signed with the key of the engagement: %w", ErrNotAdmitted, err)
	}
	audited, err := s.isAudited(ctx, k)
	if err != nil {
		return err
	}
	if !audited {
		return errNotYet
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return tx.Set(keyed(keyRecord, k), (&sealedRecord{erased: true, x: x}).marshal())
	})
}

// isAudited tells whether k is a member under the newest head with the auditors' quorum.
func (s *Server) isAudited(ctx context.Context, k registry.Key) (bool, error) {
	s.mu.RLock()
	e := s.audited
	if e == nil {
		s.mu.RUnlock()
		return false, nil
	}
	e.snap.Retain()
	s.mu.RUnlock()
	defer e.snap.Release()
	_, _, ok, err := e.snap.Get(ctx, k)
	return ok, err
}
