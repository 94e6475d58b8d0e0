package logserver

import (
	"bytes"
	"context"
	"crypto/rand"

	"akashi/internal/store"
	"akashi/registry"
)

// LogUnchecked logs entries for empty slots that nobody submitted, and returns when their checkpoint is published. It is for measuring
// what the log, the map and the head cost without admission: no submission stands behind these entries and their records are empty, so no
// auditor signs a log that has any. Nothing that answers requests calls it.
func (s *Server) LogUnchecked(ctx context.Context, refs []registry.RecordRef) error {
	j := &job{refs: refs, records: make([]*sealedRecord, len(refs)), listN: 1, jwt: "unchecked", pass: &pass{entity: "unchecked"}}
	rand.Read(j.pass.jti[:])
	empty := &sealedRecord{count: 1}
	for i := range j.records {
		j.records[i] = empty
	}
	_, err := s.submit(ctx, j)
	return err
}

// WithoutRecords returns st as a store that takes sealed records and their submissions and does not keep them, for measuring without them.
// The registry over it can log and publish, and cannot show what it logged.
func WithoutRecords(st store.Store) store.Store { return recordless{st} }

type recordless struct{ store.Store }

type recordlessTx struct{ store.Tx }

func (s recordless) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.Update(ctx, func(tx store.Tx) error { return fn(recordlessTx{tx}) })
}

func (tx recordlessTx) Set(key, value []byte) error {
	if bytes.HasPrefix(key, []byte(keyRecord)) || bytes.HasPrefix(key, []byte(keySubmission)) {
		return nil
	}
	return tx.Tx.Set(key, value)
}
