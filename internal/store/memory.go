package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// memory keeps everything under one lock: an Update excludes all others, so it never conflicts.
type memory struct {
	now func() time.Time

	mu     sync.RWMutex // guards everything below
	closed bool
	keys   []string // sorted
	values map[string]entry
}

type entry struct {
	value   []byte
	expires int64 // Unix seconds, 0 = never
	deleted bool  // only in the writes of a transaction
}

// NewMemory returns an empty store that is gone with the process.
func NewMemory() Store { return NewMemoryAt(time.Now) }

// NewMemoryAt is [NewMemory] with a clock of the caller's for what SetUntil lets expire.
func NewMemoryAt(now func() time.Time) Store {
	return &memory{now: now, values: map[string]entry{}}
}

func (m *memory) View(ctx context.Context, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	return fn(&memoryTx{ctx: ctx, m: m, now: m.now().Unix()})
}

func (m *memory) Update(ctx context.Context, fn func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	tx := &memoryTx{ctx: ctx, m: m, now: m.now().Unix(), writes: map[string]entry{}}
	if err := fn(tx); err != nil {
		return err
	}
	m.apply(tx.writes)
	return nil
}

func (m *memory) apply(writes map[string]entry) {
	for k, e := range writes {
		at, found := slices.BinarySearch(m.keys, k)
		switch {
		case e.deleted && found:
			m.keys = slices.Delete(m.keys, at, at+1)
			delete(m.values, k)
		case !e.deleted:
			if !found {
				m.keys = slices.Insert(m.keys, at, k)
			}
			m.values[k] = e
		}
	}
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.keys, m.values = true, nil, nil
	return nil
}

// memoryTx lives while its store's lock is held.
type memoryTx struct {
	ctx    context.Context
	m      *memory
	now    int64
	writes map[string]entry // nil in a View
}

func (tx *memoryTx) lookup(key string) (entry, bool) {
	e, ok := tx.writes[key]
	if !ok {
		e, ok = tx.m.values[key]
	}
	return e, ok && !e.deleted && (e.expires == 0 || e.expires > tx.now)
}

func (tx *memoryTx) Get(key []byte) ([]byte, error) {
	e, ok := tx.lookup(string(key))
	if !ok {
		return nil, ErrNotFound
	}
	return bytes.Clone(e.value), nil
}

func (tx *memoryTx) Set(key, value []byte) error { return tx.write(key, entry{value: value}) }

func (tx *memoryTx) SetUntil(key, value []byte, expires time.Time) error {
	return tx.write(key, entry{value: value, expires: expirySecond(expires)})
}

func (tx *memoryTx) Delete(key []byte) error { return tx.write(key, entry{deleted: true}) }

func (tx *memoryTx) write(key []byte, e entry) error {
	if tx.writes == nil {
		return ErrReadOnly
	}
	if err := checkKey(key); err != nil {
		return err
	}
	e.value = append([]byte{}, e.value...)
	tx.writes[string(key)] = e
	return nil
}

func (tx *memoryTx) Scan(prefix []byte, fn func(key, value []byte) error) error {
	type pair struct{ key, value []byte }
	var found []pair
	for _, k := range tx.keysWith(string(prefix)) {
		if e, ok := tx.lookup(k); ok {
			found = append(found, pair{[]byte(k), bytes.Clone(e.value)})
		}
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

// keysWith returns the keys that begin with prefix, in order, those of the transaction's writes included.
func (tx *memoryTx) keysWith(prefix string) []string {
	var keys []string
	at, _ := slices.BinarySearch(tx.m.keys, prefix)
	for ; at < len(tx.m.keys) && strings.HasPrefix(tx.m.keys[at], prefix); at++ {
		keys = append(keys, tx.m.keys[at])
	}
	for k := range tx.writes {
		if _, old := tx.m.values[k]; !old && strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// expirySecond returns the first second at which a value is gone. The zero second would mean never.
func expirySecond(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return max(s, 1)
}
