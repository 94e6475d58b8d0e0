package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// The keys of the store, all of which begin with "log/". Integers are big endian.
//
//	log/record/ || K(32)             sealedRecord
//	log/submission/ || H(JWT)(32)    submission JWT
//	log/list/ || n(8)                trust list JWT
//	log/list-at/ || n(8)             index(8) at which version n is to be logged: a note that the log has to confirm
//	log/note/ || size(8)             checkpoint note with all lines so far
//	log/time/ || size(8)             existed_by(8) || not_larger_at(8) || audited(1): unix seconds, read whole at the start
//	log/jti/ || H(jti)(32)           exp(8): submissions not to be taken again
//	log/quota/ || keyed hash(32)     day(8) || count(8): worker's statements under one engagement
//	log/secret                       key of that hash
const (
	keyRecord     = "log/record/"
	keySubmission = "log/submission/"
	keyList       = "log/list/"
	keyListAt     = "log/list-at/"
	keyNote       = "log/note/"
	keyTime       = "log/time/"
	keyJTI        = "log/jti/"
	keyQuota      = "log/quota/"
	keySecret     = "log/secret"
)

func keyed(prefix string, h [32]byte) []byte { return append([]byte(prefix), h[:]...) }

func numbered(prefix string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), n)
}

// sealedRecord is what the registry keeps of a record beside the log. Stored as
//
//	0x02 || x(32)                                   for one that was erased
//	0x01 || H(submission JWT)(32), zero for a worker's statement || position(2) || count(2)
//	|| hashes in path(1) || path || length of A(4) || A || B
type sealedRecord struct {
	submission registry.Hash
	position   int
	count      int
	path       []registry.Hash
	a, b       []byte

	erased bool
	x      registry.Hash // of an erased one
}

var errRecord = errors.New("stored record is damaged")

func (r *sealedRecord) marshal() []byte {
	if r.erased {
		return append([]byte{0x02}, r.x[:]...)
	}
	out := make([]byte, 0, 1+32+2+2+1+32*len(r.path)+4+len(r.a)+len(r.b))
	out = append(out, 0x01)
	out = append(out, r.submission[:]...)
	out = binary.BigEndian.AppendUint16(out, uint16(r.position))
	out = binary.BigEndian.AppendUint16(out, uint16(r.count))
	out = append(out, byte(len(r.path)))
	for _, h := range r.path {
		out = append(out, h[:]...)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(r.a)))
	return append(append(out, r.a...), r.b...)
}

func parseSealedRecord(data []byte) (*sealedRecord, error) {
	const fixed = 1 + 32 + 2 + 2 + 1
	if len(data) == 1+32 && data[0] == 0x02 {
		return &sealedRecord{erased: true, x: registry.Hash(data[1:])}, nil
	}
	if len(data) < fixed || data[0] != 0x01 {
		return nil, errRecord
	}
	r := &sealedRecord{
		submission: registry.Hash(data[1:33]),
		position:   int(binary.BigEndian.Uint16(data[33:])),
		count:      int(binary.BigEndian.Uint16(data[35:])),
	}
	hashes, rest := int(data[37]), data[fixed:]
	if len(rest) < 32*hashes+4 {
		return nil, errRecord
	}
	for range hashes {
		r.path = append(r.path, registry.Hash(rest[:32]))
		rest = rest[32:]
	}
	n := binary.BigEndian.Uint32(rest)
	if rest = rest[4:]; uint64(n) > uint64(len(rest)) {
		return nil, errRecord
	}
	r.a, r.b = rest[:n], rest[n:]
	return r, nil
}

// readRecord returns the record at k, nil when the store has none.
func readRecord(tx store.Tx, k registry.Key) (*sealedRecord, error) {
	data, err := tx.Get(keyed(keyRecord, k))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseSealedRecord(data)
}

// storedListOf returns storedList as a function of the entry.
func (s *Server) storedListOf(ctx context.Context) func(registry.ListEntry) (*trustlist.List, error) {
	return func(e registry.ListEntry) (*trustlist.List, error) { return s.storedList(ctx, e) }
}

// listIndex returns where the list entry of version n is said to be.
func (s *Server) listIndex(ctx context.Context, n uint64) (index uint64, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		data, err := tx.Get(numbered(keyListAt, n))
		if err == nil && len(data) != 8 {
			err = errRecord
		}
		if err == nil {
			index = binary.BigEndian.Uint64(data)
		}
		return err
	})
	return index, err
}

// storedList returns the trust list version that a list entry admits.
func (s *Server) storedList(ctx context.Context, e registry.ListEntry) (*trustlist.List, error) {
	var jwt []byte
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		jwt, err = tx.Get(numbered(keyList, e.N))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("trust list %d is in the log but cannot be read from the store: %w", e.N, err)
	}
	if registry.HashOf(jwt) != e.Hash {
		return nil, fmt.Errorf("trust list %d in the store is not the one in the log", e.N)
	}
	return trustlist.Verify(string(jwt), s.cfg.Anchor)
}
