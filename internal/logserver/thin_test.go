package logserver

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"akashi/internal/store"
)

// rawArchive is an archive of checkpoints that have only their times.
func rawArchive(t *testing.T, points []timed) *archive {
	t.Helper()
	st := store.NewMemory()
	for _, p := range points {
		putRaw(t, st, p)
	}
	return must(loadArchive(t.Context(), st, nil, nil))
}

func putRaw(t *testing.T, st store.Store, p timed) {
	t.Helper()
	times := binary.BigEndian.AppendUint64(nil, uint64(p.existedBy))
	times = append(binary.BigEndian.AppendUint64(times, uint64(p.notLargerAt)), 0)
	err := st.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Set(numbered(keyTime, p.size), times), tx.Set(numbered(keyNote, p.size), []byte("note")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// randomPoints returns checkpoints from before and after the cutoff, with witnesses whose clocks are wrong in both directions.
func randomPoints(rnd *rand.Rand, begin int64, n int) (points []timed) {
	at, size := begin, uint64(0)
	for range n {
		at += []int64{1, 60, 600, hour, 5 * hour}[rnd.IntN(5)]
		if rnd.IntN(4) == 0 {
			at -= at % hour // on the hour
		}
		size += 1 + rnd.Uint64N(3)
		by := at - rnd.Int64N(3)*rnd.Int64N(hour)
		not := at + rnd.Int64N(3)*rnd.Int64N(hour)
		if rnd.IntN(3) == 0 {
			by, not = at, at
		}
		points = append(points, timed{size, by, not})
	}
	return points
}

// times returns the times of the answers about entry i, and makes sure that their notes are there.
func (a *archive) times(t *testing.T, all map[uint64]timed, i uint64) (by, not int64, ok1, ok2 bool) {
	t.Helper()
	first, ok1 := a.firstAfter(i)
	last, ok2 := a.lastBefore(i)
	for size, ok := range map[uint64]bool{first: ok1, last: ok2} {
		if !ok {
			continue
		}
		if _, err := a.note(context.Background(), size); err != nil {
			t.Fatalf("answer for entry %d: %v", i, err)
		}
	}
	return all[first].existedBy, all[last].notLargerAt, ok1, ok2
}

// What could be shown about any entry and any full hour before the archive was thinned can be shown after it, nothing else can, and all
// checkpoints of 30 days are there.
func TestThin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	removed, kept := 0, 0
	for range 150 {
		now := int64(1_780_000_000)
		cutoff := now - int64(keepAll/time.Second)
		points := randomPoints(rnd, cutoff-int64(rnd.IntN(60))*hour, 1+rnd.IntN(70))
		a := rawArchive(t, points)
		all := make(map[uint64]timed)
		for _, p := range points {
			all[p.size] = p
		}
		type shown struct{ inTime, premature, late, atAll bool }
		hours := func() (out []shown) {
			for i := range points[len(points)-1].size + 2 {
				by, not, ok1, ok2 := a.times(t, all, i)
				for h := floorHour(points[0].existedBy) - 3; h <= ceilHour(points[len(points)-1].notLargerAt)+3; h++ {
					d := h * hour
					out = append(out, shown{ok1 && by <= d, ok1 && by < d, ok2 && not > d, ok2 && not >= d})
				}
			}
			return out
		}
		before := hours()
		check := func(when string) {
			t.Helper()
			after := hours()
			for n := range before {
				if before[n] != after[n] {
					t.Fatalf("%s: %v: was %+v, is %+v", when, points, before[n], after[n])
				}
			}
		}
		for round := range 3 {
			if err := a.thin(t.Context(), time.Unix(now, 0)); err != nil {
				t.Fatal(err)
			}
			check([]string{"out of the answers", "deleted", "again"}[round])
		}
		left := make(map[uint64]bool)
		err := a.store.View(t.Context(), func(tx store.Tx) error {
			return scanTimes(tx, func(p timed, _ bool) error { left[p.size] = true; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range points {
			if p.existedBy >= cutoff && !left[p.size] {
				t.Fatalf("checkpoint %+v is gone, and younger than 30 days", p)
			}
		}
		removed, kept = removed+len(points)-len(left), kept+len(left)
		a = must(loadArchive(t.Context(), a.store, nil, nil))
		check("loaded again")
	}
	if removed == 0 {
		t.Error("nothing was ever removed")
	}
	t.Logf("%d removed, %d kept", removed, kept)
}

// A registry that publishes each minute for a year keeps about four checkpoints an hour of what is older than 30 days.
func TestThinKeepsFew(t *testing.T) {
	var points []timed
	begin := int64(1_700_000_000)
	for n := range int64(60 * 24 * 10) {
		points = append(points, timed{uint64(2 * (n + 1)), begin + 60*n, begin + 60*n + 1})
	}
	if got := len(needed(points)); got > 4*24*10+8 {
		t.Errorf("%d of %d are kept, want at most four an hour", got, len(points))
	}
}

// A checkpoint that is archived, or gets another line, while the archive is thinned is neither lost nor deleted.
func TestThinMeanwhile(t *testing.T) {
	now := int64(1_780_000_000)
	old := now - 2*int64(keepAll/time.Second)
	old -= old % hour
	a := rawArchive(t, []timed{{2, old + 60, old + 60}, {4, old + 120, old + 120}, {6, old + 180, old + 180}, {8, old + 240, old + 240}})
	if err := a.thin(t.Context(), time.Unix(now, 0)); err != nil {
		t.Fatal(err)
	}
	if len(a.doomed) != 2 {
		t.Fatalf("%v are to be deleted, want 4 and 6", a.doomed)
	}
	a.mu.Lock()
	a.index(4, old-3600, old+120, false) // a late line with an earlier time
	a.mu.Unlock()
	for range 2 {
		if err := a.deleteDoomed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if size, ok := a.firstAfter(3); !ok || size != 4 {
		t.Errorf("got %d, want the one that was signed late", size)
	}
	if _, err := a.note(t.Context(), 4); err != nil {
		t.Error(err)
	}
	if _, err := a.note(t.Context(), 6); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("6 is there: %v", err)
	}
}
