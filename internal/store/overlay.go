package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// readOnly refuses the writes of a transaction that reads.
type readOnly struct{}

func (readOnly) Set(_, _ []byte) error                   { return ErrReadOnly }
func (readOnly) SetUntil(_, _ []byte, _ time.Time) error { return ErrReadOnly }
func (readOnly) Delete(_ []byte) error                   { return ErrReadOnly }

// overlay is a transaction over another one, which it only reads: to undo what it writes is to forget it.
type overlay struct {
	ctx    context.Context
	below  Tx
	now    int64 // Unix seconds, for what SetUntil has let expire
	writes map[string]entry
}

// entry is a value, or that there is none any more.
type entry struct {
	value   []byte
	expires int64 // Unix seconds, 0 = never
	deleted bool
}

func newOverlay(ctx context.Context, below Tx, now time.Time) *overlay {
	return &overlay{ctx: ctx, below: below, now: now.Unix(), writes: map[string]entry{}}
}

func (e entry) isThere(now int64) bool { return !e.deleted && (e.expires == 0 || e.expires > now) }

func (tx *overlay) Get(key []byte) ([]byte, error) {
	e, ok := tx.writes[string(key)]
	switch {
	case !ok:
		return tx.below.Get(key)
	case !e.isThere(tx.now):
		return nil, ErrNotFound
	}
	return bytes.Clone(e.value), nil
}

func (tx *overlay) Set(key, value []byte) error { return tx.write(key, entry{value: value}) }

func (tx *overlay) SetUntil(key, value []byte, expires time.Time) error {
	return tx.write(key, entry{value: value, expires: expirySecond(expires)})
}

func (tx *overlay) Delete(key []byte) error { return tx.write(key, entry{deleted: true}) }

func (tx *overlay) write(key []byte, e entry) error {
	if err := checkKey(key); err != nil {
		return err
	}
	e.value = append([]byte{}, e.value...)
	tx.writes[string(key)] = e
	return nil
}

// Scan reads everything before it calls fn, which may write and scan.
func (tx *overlay) Scan(prefix []byte, fn func(key, value []byte) error) error {
	found, err := tx.collect(prefix)
	if err != nil {
		return err
	}
	for _, p := range found {
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		if err := fn(p.key, p.value); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

type pair struct{ key, value []byte }

// collect merges what is below with what was written.
func (tx *overlay) collect(prefix []byte) (found []pair, err error) {
	err = tx.below.Scan(prefix, func(key, value []byte) error {
		if _, written := tx.writes[string(key)]; !written {
			found = append(found, pair{key, value})
		}
		return tx.ctx.Err()
	})
	below := len(found)
	for k, e := range tx.writes {
		if strings.HasPrefix(k, string(prefix)) && e.isThere(tx.now) {
			found = append(found, pair{[]byte(k), bytes.Clone(e.value)})
		}
	}
	if len(found) > below {
		slices.SortFunc(found, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	}
	return found, err
}

// expirySecond returns the first second at which a value is gone. The zero second would mean never.
func expirySecond(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return max(s, 1)
}
