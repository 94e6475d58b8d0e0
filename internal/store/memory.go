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
	now := m.now()
	tx := newOverlay(ctx, &memoryTx{ctx: ctx, m: m, now: now.Unix()}, now)
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

// memoryTx reads while its store's lock is held.
type memoryTx struct {
	readOnly
	ctx context.Context
	m   *memory
	now int64
}

func (tx *memoryTx) Get(key []byte) ([]byte, error) {
	e, ok := tx.m.values[string(key)]
	if !ok || !e.isThere(tx.now) {
		return nil, ErrNotFound
	}
	return bytes.Clone(e.value), nil
}

func (tx *memoryTx) Scan(prefix []byte, fn func(key, value []byte) error) error {
	at, _ := slices.BinarySearch(tx.m.keys, string(prefix))
	for _, k := range tx.m.keys[at:] {
		if !strings.HasPrefix(k, string(prefix)) {
			return nil
		}
		value, err := tx.Get([]byte(k))
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err := errors.Join(tx.ctx.Err(), err); err != nil {
			return err
		}
		if err := fn([]byte(k), value); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
