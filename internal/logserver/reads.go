package logserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"akashi/internal/store"
	"akashi/registry"
)

// view is an epoch that a request answers from, with its checkpoint. The request holds its snapshot.
type view struct {
	*epoch
	note   string
	prover *prover
}

// view returns the newest audited epoch or, while none is audited or when it does not satisfy enough, the newest published one:
// verifiers see by the lines of its checkpoint what it is worth. The caller releases the snapshot.
func (s *Server) view(ctx context.Context, enough func(*epoch) bool) (*view, error) {
	s.mu.RLock()
	e := s.audited
	if e == nil || !enough(e) {
		e = s.published
	}
	if e == nil || !enough(e) {
		s.mu.RUnlock()
		return nil, errNothing
	}
	e.snap.Retain()
	s.mu.RUnlock()
	note, err := s.archive.note(ctx, e.size)
	if err != nil {
		e.snap.Release()
		return nil, err
	}
	return &view{epoch: e, note: string(note), prover: s.prover(e.size)}, nil
}

func anyEpoch(*epoch) bool { return true }

// headProof proves the head that closed the epoch.
func (v *view) headProof(ctx context.Context) (registry.HeadProof, error) {
	inclusion, err := v.prover.inclusion(ctx, v.size-1)
	return registry.HeadProof{Entry: v.head.Marshal(), Index: v.size - 1, Inclusion: inclusion, Checkpoint: v.note}, err
}

func (s *Server) processLookup(ctx context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	v, err := s.view(ctx, anyEpoch)
	if err != nil {
		return nil, err
	}
	defer v.snap.Release()
	resp := &registry.LookupResponse{Results: make([]registry.LookupResult, len(slots))}
	if resp.Head, err = v.headProof(ctx); err != nil {
		return nil, err
	}
	for i, k := range slots {
		proof, err := v.snap.Prove(ctx, k)
		if err != nil {
			return nil, err
		}
		resp.Results[i] = registry.LookupResult{Key: k, Proof: proof}
		index, value, ok, err := v.snap.Get(ctx, k)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		inclusion, err := v.prover.inclusion(ctx, index)
		if err != nil {
			return nil, err
		}
		resp.Results[i].Member = &registry.MemberProof{Index: index, Value: value, Inclusion: inclusion}
	}
	if err := s.addTimes(ctx, resp.Results); err != nil {
		return nil, err
	}
	return resp, s.cfg.Store.View(ctx, func(tx store.Tx) error { return addRecords(tx, resp.Results) })
}

// bucket returns a whole bucket of the epoch's map.
func (v *view) bucket(ctx context.Context, prefix registry.Key, bits int) (*registry.BucketResponse, error) {
	if want := registry.BucketBits(uint64(v.snap.Len())); v.snap.Len()>>bits > registry.MaxBucketMembers {
		return nil, fmt.Errorf("%w: the bucket is too large to be served, name %d bits", errRequest, want)
	}
	head, err := v.headProof(ctx)
	if err != nil {
		return nil, err
	}
	b, err := v.snap.Bucket(ctx, prefix, bits)
	if err != nil {
		return nil, err
	}
	return &registry.BucketResponse{Head: head, Bucket: b.Marshal()}, nil
}

// addTimes adds the checkpoints that bound the time of each member.
func (s *Server) addTimes(ctx context.Context, results []registry.LookupResult) error {
	notes := noteCache{archive: s.archive}
	for _, r := range results {
		if r.Member == nil {
			continue
		}
		size, ok := s.archive.firstAfter(r.Member.Index)
		var err error
		if r.Member.FirstAfter, err = notes.get(ctx, size, ok); err != nil {
			return err
		}
		size, ok = s.archive.lastBefore(r.Member.Index)
		if r.Member.LastBefore, err = notes.get(ctx, size, ok); err != nil {
			return err
		}
	}
	return nil
}

// addRecords adds to each member its sealed record and who submitted it.
func addRecords(tx store.Tx, results []registry.LookupResult) error {
	jwts := make(map[registry.Hash]string)
	for _, r := range results {
		if r.Member == nil {
			continue
		}
		rec, err := readRecord(tx, r.Key)
		if err != nil {
			return err
		}
		if rec == nil {
			continue
		}
		m := r.Member
		if m.Erased, m.X = rec.erased, rec.x; rec.erased {
			continue
		}
		m.A, m.B, m.HB = rec.a, rec.b, registry.HashOf(rec.b)
		m.Path, m.Position, m.Count = rec.path, rec.position, rec.count
		if m.Submission, err = readSubmission(tx, rec.submission, jwts); err != nil {
			return err
		}
	}
	return nil
}

// readSubmission returns a submission JWT, "" for a worker's statement, reading each once.
func readSubmission(tx store.Tx, id registry.Hash, jwts map[registry.Hash]string) (string, error) {
	if id == (registry.Hash{}) {
		return "", nil
	}
	if jwt, ok := jwts[id]; ok {
		return jwt, nil
	}
	jwt, err := tx.Get(keyed(keySubmission, id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	jwts[id] = string(jwt)
	return string(jwt), nil
}

// processRecords answers auditors, who ask for records of the newest published checkpoint.
func (s *Server) processRecords(ctx context.Context, slots []registry.Key) (records []registry.StoredRecord, err error) {
	v, err := s.view(ctx, func(e *epoch) bool { return s.isPublished(e) })
	if err != nil {
		return nil, err
	}
	defer v.snap.Release()
	for _, k := range slots {
		index, _, ok, err := v.snap.Get(ctx, k)
		if err != nil {
			return nil, err
		}
		if ok {
			records = append(records, registry.StoredRecord{Key: k, Index: index})
		}
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		for i := range records {
			stored := &records[i]
			rec, err := readRecord(tx, stored.Key)
			if err != nil {
				return err
			}
			if rec != nil {
				stored.A, stored.B, stored.Erased = rec.a, rec.b, rec.erased
			}
		}
		return nil
	})
	return records, err
}

// isPublished tells whether e is the newest published epoch. s.mu is held.
func (s *Server) isPublished(e *epoch) bool { return e == s.published }

// processHead returns the head at a checkpoint's size, or the newest for size 0.
func (s *Server) processHead(ctx context.Context, size uint64) (*registry.HeadProof, error) {
	if size == 0 {
		v, err := s.view(ctx, anyEpoch)
		if err != nil {
			return nil, err
		}
		defer v.snap.Release()
		head, err := v.headProof(ctx)
		return &head, err
	}
	note, err := s.archive.note(ctx, size)
	if err != nil {
		return nil, err
	}
	entry, err := s.log.entry(ctx, size-1, size)
	if err != nil {
		return nil, err
	}
	inclusion, err := s.prover(size).inclusion(ctx, size-1)
	return &registry.HeadProof{Entry: entry, Index: size - 1, Inclusion: inclusion, Checkpoint: string(note)}, err
}

// processTrustList returns version n of the trust list, or the latest for n = 0.
func (s *Server) processTrustList(ctx context.Context, n uint64) (*registry.TrustListProof, error) {
	all, err := s.processTrustLists(ctx)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		n = uint64(len(all.Lists))
	}
	if n == 0 || n > uint64(len(all.Lists)) {
		return nil, errNotFound
	}
	l := all.Lists[n-1]
	return &registry.TrustListProof{JWT: l.JWT, Index: l.Index, Inclusion: l.Inclusion, Checkpoint: all.Checkpoint}, nil
}

// processTrustLists proves all published versions of the trust list under one checkpoint: the newest audited one if it covers them all.
func (s *Server) processTrustLists(ctx context.Context) (*registry.TrustListsResponse, error) {
	v, err := s.view(ctx, func(e *epoch) bool { return s.published != nil && e.lists == s.published.lists })
	if err != nil {
		return nil, err
	}
	defer v.snap.Release()
	s.mu.RLock()
	lists := s.lists[:v.lists]
	s.mu.RUnlock()
	resp := &registry.TrustListsResponse{Checkpoint: v.note, Lists: []registry.TrustListItem{}}
	for _, l := range lists {
		inclusion, err := v.prover.inclusion(ctx, l.Index)
		if err != nil {
			return nil, err
		}
		resp.Lists = append(resp.Lists, registry.TrustListItem{JWT: l.List.JWT, Index: l.Index, Inclusion: inclusion})
	}
	return resp, nil
}

// serveFile serves a tile or an entry bundle. path comes from the numbers of the request, never from its text. The files never change;
// a partial one may be gone when the full one is there, and readers then ask for that (C2SP tlog-tiles, "Partial tiles").
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, path string) {
	data, err := os.ReadFile(filepath.Join(s.cfg.Dir, filepath.FromSlash(path)))
	if errors.Is(err, fs.ErrNotExist) {
		err = errNotFound
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}
