package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"akashi/internal/store"
	"akashi/registry"
)

// archive keeps published checkpoints and finds those that bound the time of an entry: all of the last 30 days, and of those before what
// the full hours need (thin.go).
type archive struct {
	store               store.Store
	witnesses, auditors *registry.Policy

	mu    sync.RWMutex // guards the frontiers, and that notes are merged one at a time
	first frontier     // by existed_by: for "which checkpoint over i existed first?"
	last  frontier     // by not_larger_at: for "which checkpoint below i was the log's latest?"

	publishedSize, auditedSize uint64

	meanwhile []timed  // archived while the frontiers are worked out anew, nil at other times
	doomed    []uint64 // no longer in the answers, to be deleted
}

// point is a checkpoint and one of its times.
type point struct {
	size uint64
	unix int64
}

// frontier holds the points that can be the answer to a question, in the order of their size. Both kinds rise in time as well: a
// larger checkpoint with an earlier existed_by makes the smaller ones useless, and a smaller one with a later not_larger_at the larger.
type frontier []point

// search returns the position of the first point of that size or more.
func (f frontier) search(size uint64) int {
	return sort.Search(len(f), func(i int) bool { return f[i].size >= size })
}

// addFirst adds a point to the frontier of existed_by.
func (f *frontier) addFirst(p point) {
	at := f.without(p.size)
	if at < len(*f) && (*f)[at].unix <= p.unix {
		return
	}
	from := at
	for from > 0 && (*f)[from-1].unix >= p.unix {
		from--
	}
	*f = slices.Replace(*f, from, at, p)
}

// addLast adds a point to the frontier of not_larger_at.
func (f *frontier) addLast(p point) {
	at := f.without(p.size)
	if at > 0 && (*f)[at-1].unix >= p.unix {
		return
	}
	to := at
	for to < len(*f) && (*f)[to].unix <= p.unix {
		to++
	}
	*f = slices.Replace(*f, at, to, p)
}

// without removes the point of that size and returns where one belongs.
func (f *frontier) without(size uint64) int {
	at := f.search(size)
	if at < len(*f) && (*f)[at].size == size {
		*f = slices.Delete(*f, at, at+1)
	}
	return at
}

func loadArchive(ctx context.Context, st store.Store, witnesses, auditors *registry.Policy) (*archive, error) {
	a := &archive{store: st, witnesses: witnesses, auditors: auditors}
	err := st.View(ctx, func(tx store.Tx) error {
		return scanTimes(tx, func(p timed, audited bool) error {
			a.index(p.size, p.existedBy, p.notLargerAt, audited)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the archive of checkpoints: %w", err)
	}
	return a, nil
}

// index takes one checkpoint into the frontiers.
func (a *archive) index(size uint64, existedBy, notLargerAt int64, audited bool) {
	a.first.addFirst(point{size, existedBy})
	a.last.addLast(point{size, notLargerAt})
	if a.meanwhile != nil {
		a.meanwhile = append(a.meanwhile, timed{size, existedBy, notLargerAt})
	}
	a.publishedSize = max(a.publishedSize, size)
	if audited {
		a.auditedSize = max(a.auditedSize, size)
	}
}

// newest returns the sizes of the newest published and the newest audited checkpoint, 0 for none.
func (a *archive) newest() (published, audited uint64) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.publishedSize, a.auditedSize
}

// put makes a checkpoint with the witnesses' quorum durable.
func (a *archive) put(ctx context.Context, signed []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.write(ctx, signed)
	return err
}

// write is put for a caller who holds the lock.
func (a *archive) write(ctx context.Context, signed []byte) (*registry.Checkpoint, error) {
	c, err := registry.OpenCheckpoint(signed, a.witnesses, a.auditors)
	if err != nil {
		return nil, err
	}
	existedBy, ok1 := c.ExistedBy()
	notLargerAt, ok2 := c.NotLargerAt()
	if !ok1 || !ok2 {
		return nil, errors.New("checkpoint without the witnesses' quorum cannot be archived")
	}
	times := binary.BigEndian.AppendUint64(nil, uint64(existedBy.Unix()))
	times = binary.BigEndian.AppendUint64(times, uint64(notLargerAt.Unix()))
	times = append(times, 0)
	if c.Audited() {
		times[16] = 1
	}
	err = a.store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.Set(numbered(keyNote, c.Size), c.Note), tx.Set(numbered(keyTime, c.Size), times))
	})
	if err != nil {
		return nil, fmt.Errorf("archiving a checkpoint: %w", err)
	}
	a.index(c.Size, existedBy.Unix(), notLargerAt.Unix(), c.Audited())
	return c, nil
}

// merge adds signature lines to the archived checkpoint of that size and returns it. Lines that do not count leave it as it is.
func (a *archive) merge(ctx context.Context, size uint64, lines []byte) (*registry.Checkpoint, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, err := a.note(ctx, size)
	if err != nil {
		return nil, err
	}
	merged, added, err := registry.MergeCosignatures(before, lines, a.witnesses, a.auditors)
	if err != nil {
		return nil, err
	}
	if added == 0 {
		return registry.OpenCheckpoint(before, a.witnesses, a.auditors)
	}
	return a.write(ctx, merged)
}

// note returns the archived checkpoint of that size, or an error that wraps [store.ErrNotFound].
func (a *archive) note(ctx context.Context, size uint64) (signed []byte, err error) {
	err = a.store.View(ctx, func(tx store.Tx) (err error) {
		signed, err = tx.Get(numbered(keyNote, size))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoint of size %d: %w", size, err)
	}
	return signed, nil
}

// firstAfter returns the size of the checkpoint over entry i with the smallest existed_by.
func (a *archive) firstAfter(i uint64) (size uint64, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if at := a.first.search(i + 1); at < len(a.first) {
		return a.first[at].size, true
	}
	return 0, false
}

// lastBefore returns the size of the checkpoint not over entry i with the largest not_larger_at.
func (a *archive) lastBefore(i uint64) (size uint64, ok bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if at := a.last.search(i + 1); at > 0 {
		return a.last[at-1].size, true
	}
	return 0, false
}

// noteCache reads each archived checkpoint once in the course of a request.
type noteCache struct {
	archive *archive
	notes   map[uint64]string
}

// get returns the note of that size, "" when ok is false.
func (c *noteCache) get(ctx context.Context, size uint64, ok bool) (string, error) {
	if !ok {
		return "", nil
	}
	if n, ok := c.notes[size]; ok {
		return n, nil
	}
	n, err := c.archive.note(ctx, size)
	if err != nil {
		return "", err
	}
	if c.notes == nil {
		c.notes = make(map[uint64]string)
	}
	c.notes[size] = string(n)
	return string(n), nil
}
