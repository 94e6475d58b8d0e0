package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"akashi/internal/store"
)

const (
	// keepAll is how long every checkpoint stays in the archive.
	keepAll = 30 * 24 * time.Hour
	// thinInterval is how often the archive is thinned, and how long what is taken out of it can still be read by requests under way.
	thinInterval = time.Hour

	hour = int64(time.Hour / time.Second)
)

// timed is an archived checkpoint with its times in unix seconds.
type timed struct {
	size                   uint64
	existedBy, notLargerAt int64
}

// needed returns the sizes of the checkpoints that say all that the others say about every full hour, with which all periods of grace end.
// For each hour D it has the largest that existed by D, which shows that its entries were there in time, and the smallest whose
// not_larger_at is after D, which shows that all entries beyond were late; and both once more with D itself counted on the other side, as
// for what must not have existed before a day began.
func needed(points []timed) map[uint64]bool {
	upTo, before := make(map[int64]uint64), make(map[int64]uint64) // the largest, by the first hour for which it counts
	after, from := make(map[int64]uint64), make(map[int64]uint64)  // the smallest, by the last hour for which it counts
	larger := func(m map[int64]uint64, h int64, size uint64) { m[h] = max(m[h], size) }
	smaller := func(m map[int64]uint64, h int64, size uint64) {
		if old, ok := m[h]; !ok || size < old {
			m[h] = size
		}
	}
	for _, p := range points {
		larger(upTo, ceilHour(p.existedBy), p.size)
		larger(before, floorHour(p.existedBy)+1, p.size)
		smaller(after, ceilHour(p.notLargerAt)-1, p.size)
		smaller(from, floorHour(p.notLargerAt), p.size)
	}
	keep := make(map[uint64]bool)
	for _, m := range []map[int64]uint64{upTo, before} {
		var largest uint64
		for _, h := range slices.Sorted(maps.Keys(m)) {
			largest = max(largest, m[h])
			keep[largest] = true
		}
	}
	for _, m := range []map[int64]uint64{after, from} {
		smallest := ^uint64(0)
		for _, h := range slices.Backward(slices.Sorted(maps.Keys(m))) {
			smallest = min(smallest, m[h])
			keep[smallest] = true
		}
	}
	return keep
}

func floorHour(unix int64) int64 {
	h := unix / hour
	if unix%hour < 0 {
		h--
	}
	return h
}

func ceilHour(unix int64) int64 { return -floorHour(-unix) }

// thin takes out of the archive what is older than [keepAll] and not needed, except the sizes to keep. It first deletes what the last
// round took out of the answers.
func (a *archive) thin(ctx context.Context, now time.Time, keep ...uint64) error {
	if err := a.deleteDoomed(ctx); err != nil {
		return err
	}
	old, err := a.before(ctx, now.Add(-keepAll).Unix())
	if err != nil {
		return err
	}
	published, audited := a.newest()
	need := needed(old)
	doomed := make(map[uint64]bool)
	for _, p := range old {
		if !need[p.size] && !slices.Contains(keep, p.size) && p.size != published && p.size != audited {
			doomed[p.size] = true
		}
	}
	if len(doomed) == 0 {
		return nil
	}
	return a.forget(ctx, doomed)
}

// before returns the checkpoints in the order of their size up to the first one with a time that is not before cutoff.
func (a *archive) before(ctx context.Context, cutoff int64) (old []timed, err error) {
	err = a.store.View(ctx, func(tx store.Tx) error {
		return scanTimes(tx, func(p timed, _ bool) error {
			if p.existedBy >= cutoff || p.notLargerAt >= cutoff {
				return store.ErrStop
			}
			old = append(old, p)
			return nil
		})
	})
	return old, err
}

// scanTimes calls fn for each archived checkpoint in the order of their size.
func scanTimes(tx store.Tx, fn func(p timed, audited bool) error) error {
	return tx.Scan([]byte(keyTime), func(key, value []byte) error {
		if len(key) != len(keyTime)+8 || len(value) != 17 {
			return errors.New("a stored checkpoint time is damaged")
		}
		return fn(timed{
			size:        binary.BigEndian.Uint64(key[len(keyTime):]),
			existedBy:   int64(binary.BigEndian.Uint64(value)),
			notLargerAt: int64(binary.BigEndian.Uint64(value[8:])),
		}, value[16] == 1)
	})
}

// forget takes checkpoints out of the answers. They are deleted in the next round: requests under way may have been told of them. The
// frontiers are worked out anew, while others are archived: what a removed one had made useless may be useful again.
func (a *archive) forget(ctx context.Context, doomed map[uint64]bool) error {
	a.mu.Lock()
	a.meanwhile = []timed{}
	a.mu.Unlock()
	var first, last frontier
	add := func(p timed) {
		if !doomed[p.size] {
			first.addFirst(point{p.size, p.existedBy})
			last.addLast(point{p.size, p.notLargerAt})
		}
	}
	err := a.store.View(ctx, func(tx store.Tx) error {
		first, last = nil, nil
		return scanTimes(tx, func(p timed, _ bool) error { add(p); return nil })
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	late := a.meanwhile
	a.meanwhile = nil
	if err != nil {
		return err
	}
	for _, p := range late {
		delete(doomed, p.size) // it has just got a line
		add(p)
	}
	a.first, a.last = first, last
	a.doomed = slices.Sorted(maps.Keys(doomed))
	return nil
}

// deletesPerUpdate bounds one transaction.
const deletesPerUpdate = 1000

func (a *archive) deleteDoomed(ctx context.Context) error {
	for part := range slices.Chunk(a.takeDoomed(), deletesPerUpdate) {
		if err := a.delete(ctx, part); err != nil {
			return fmt.Errorf("thinning the archive: %w", err)
		}
	}
	return nil
}

func (a *archive) takeDoomed() []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	doomed := a.doomed
	a.doomed = nil
	return doomed
}

// delete deletes checkpoints, except those that have come back into the answers because somebody signed them late.
func (a *archive) delete(ctx context.Context, sizes []uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.store.Update(ctx, func(tx store.Tx) error {
		for _, size := range sizes {
			if a.first.has(size) || a.last.has(size) {
				continue
			}
			if err := errors.Join(tx.Delete(numbered(keyNote, size)), tx.Delete(numbered(keyTime, size))); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f frontier) has(size uint64) bool {
	at := f.search(size)
	return at < len(f) && f[at].size == size
}

// thinSometimes thins the archive when it is time.
func (s *Server) thinSometimes(ctx context.Context) {
	if !s.thinning.TryLock() {
		return
	}
	defer s.thinning.Unlock()
	if time.Since(s.thinned) < thinInterval {
		return
	}
	s.thinned = time.Now()
	if err := s.archive.thin(ctx, s.cfg.Now(), s.saved.Load()); err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the archive was not thinned", "error", err)
	}
}
