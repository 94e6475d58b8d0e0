// Package storetest is the suite that every [store.Store] must pass.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/internal/store"
)

// Run runs the suite. open returns a new, empty store; the suite closes it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"get and set", testGetSet},
		{"delete", testDelete},
		{"rollback", testRollback},
		{"read only", testReadOnly},
		{"keys refused", testKeysRefused},
		{"scan order", testScanOrder},
		{"scan sees own writes", testScanOwnWrites},
		{"scan stops", testScanStops},
		{"delete and scan inside a scan", testNested},
		{"view is one moment", testViewIsOneMoment},
		{"values are copies", testCopies},
		{"large values", testLargeValues},
		{"expiry", testExpiry},
		{"concurrent counters", testCounters},
		{"updates that meet stand or fall alone", testMeeting},
		{"a panic goes to who made it", testPanic},
		{"context", testContext},
		{"model", testModel},
		{"close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			c.test(t, s)
		})
	}
}

var ctx = context.Background()

func update(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(ctx, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t *testing.T, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.View(ctx, fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// put sets pairs "key=value".
func put(t *testing.T, s store.Store, pairs ...string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			if err := tx.Set([]byte(k), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
}

// expect compares what stands at key within tx; "-" is nothing.
func expect(t *testing.T, tx store.Tx, key, want string) {
	t.Helper()
	v, err := tx.Get([]byte(key))
	got := string(v)
	if errors.Is(err, store.ErrNotFound) {
		got = "-"
	} else if err != nil {
		t.Errorf("Get(%q): %v", key, err)
	}
	if got != want {
		t.Errorf("Get(%q) = %q, want %q", key, got, want)
	}
}

// scan returns "key=value" of everything under prefix.
func scan(tx store.Tx, prefix string) (pairs []string, err error) {
	err = tx.Scan([]byte(prefix), func(k, v []byte) error {
		pairs = append(pairs, string(k)+"="+string(v))
		return nil
	})
	return pairs, err
}

func expectScan(t *testing.T, tx store.Tx, prefix string, want ...string) {
	t.Helper()
	if got, err := scan(tx, prefix); err != nil || !slices.Equal(got, want) {
		t.Errorf("Scan(%q) = %q, %v; want %q", prefix, got, err, want)
	}
}

func testGetSet(t *testing.T, s store.Store) {
	view(t, s, func(tx store.Tx) error {
		expect(t, tx, "a", "-")
		expect(t, tx, "", "-")
		return nil
	})
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.Set([]byte("a"), []byte("1")), tx.Set([]byte("a"), []byte("2")), tx.Set([]byte("empty"), nil))
		expect(t, tx, "a", "2")
		expect(t, tx, "empty", "")
		return err
	})
	view(t, s, func(tx store.Tx) error {
		expect(t, tx, "a", "2")
		expect(t, tx, "empty", "")
		expect(t, tx, "aa", "-")
		return nil
	})
}

func testDelete(t *testing.T, s store.Store) {
	put(t, s, "a=1", "b=2")
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.Delete([]byte("a")), tx.Delete([]byte("not there")))
		expect(t, tx, "a", "-")
		return err
	})
	view(t, s, func(tx store.Tx) error {
		expect(t, tx, "a", "-")
		expectScan(t, tx, "", "b=2")
		return nil
	})
	put(t, s, "a=3")
	view(t, s, func(tx store.Tx) error { expect(t, tx, "a", "3"); return nil })
}

func testRollback(t *testing.T, s store.Store) {
	put(t, s, "a=1")
	mine := errors.New("mine")
	err := s.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.Set([]byte("a"), []byte("2")), tx.Set([]byte("b"), nil), tx.Delete([]byte("a")), mine)
	})
	if !errors.Is(err, mine) {
		t.Errorf("Update = %v, want the error of its function", err)
	}
	view(t, s, func(tx store.Tx) error { expectScan(t, tx, "", "a=1"); return nil })
	if err := s.View(ctx, func(store.Tx) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("View = %v, want the error of its function", err)
	}
}

func testReadOnly(t *testing.T, s store.Store) {
	put(t, s, "a=1")
	view(t, s, func(tx store.Tx) error {
		for name, err := range map[string]error{
			"Set":      tx.Set([]byte("a"), []byte("2")),
			"SetUntil": tx.SetUntil([]byte("a"), []byte("2"), time.Now().Add(time.Hour)),
			"Delete":   tx.Delete([]byte("a")),
		} {
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("%s in View = %v, want ErrReadOnly", name, err)
			}
		}
		expect(t, tx, "a", "1")
		return nil
	})
}

func testKeysRefused(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		for name, key := range map[string]string{"empty": "", "long": strings.Repeat("k", 1025), "reserved": "!badger!x"} {
			if err := tx.Set([]byte(key), nil); !errors.Is(err, store.ErrKey) {
				t.Errorf("Set of the %s key = %v, want ErrKey", name, err)
			}
			if err := tx.Delete([]byte(key)); !errors.Is(err, store.ErrKey) {
				t.Errorf("Delete of the %s key = %v, want ErrKey", name, err)
			}
		}
		return tx.Set(bytes.Repeat([]byte("k"), 1024), nil)
	})
}

func testScanOrder(t *testing.T, s store.Store) {
	put(t, s, "b=3", "a\xff=2", "a=1", "a\x00=0", "ab=4", "c=5")
	view(t, s, func(tx store.Tx) error {
		expectScan(t, tx, "", "a=1", "a\x00=0", "ab=4", "a\xff=2", "b=3", "c=5")
		expectScan(t, tx, "a", "a=1", "a\x00=0", "ab=4", "a\xff=2")
		expectScan(t, tx, "a\xff", "a\xff=2")
		expectScan(t, tx, "d")
		return nil
	})
}

func testScanOwnWrites(t *testing.T, s store.Store) {
	put(t, s, "p/a=1", "p/c=1", "p/d=1")
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.Set([]byte("p/b"), []byte("2")), tx.Set([]byte("p/c"), []byte("2")), tx.Delete([]byte("p/d")))
		expectScan(t, tx, "p/", "p/a=1", "p/b=2", "p/c=2")
		return err
	})
}

func testScanStops(t *testing.T, s store.Store) {
	put(t, s, "a=", "b=", "c=")
	mine := errors.New("mine")
	both := func(tx store.Tx) error {
		for _, c := range []struct{ give, want error }{{store.ErrStop, nil}, {fmt.Errorf("enough: %w", store.ErrStop), nil}, {mine, mine}} {
			n := 0
			err := tx.Scan(nil, func(_, _ []byte) error {
				if n++; n == 2 {
					return c.give
				}
				return nil
			})
			if n != 2 || !errors.Is(err, c.want) {
				t.Errorf("Scan stopped with %v: %d calls, %v; want 2 calls, %v", c.give, n, err, c.want)
			}
		}
		return nil
	}
	view(t, s, both)
	update(t, s, both)
}

func testNested(t *testing.T, s store.Store) {
	put(t, s, "a=1", "b=2", "c=3")
	update(t, s, func(tx store.Tx) error {
		var seen []string
		err := tx.Scan(nil, func(k, v []byte) error {
			seen = append(seen, string(k))
			_, err := scan(tx, string(k))
			return errors.Join(err, tx.Delete([]byte("a")), tx.Delete([]byte("c")), tx.Set(append(k, '+'), v))
		})
		if want := []string{"a", "b", "c"}; !slices.Equal(seen, want) {
			t.Errorf("the scan showed %q, want %q", seen, want)
		}
		return err
	})
	view(t, s, func(tx store.Tx) error {
		err := tx.Scan(nil, func(k, _ []byte) error {
			_, err := scan(tx, string(k))
			return err
		})
		expectScan(t, tx, "", "a+=1", "b=2", "b+=2", "c+=3")
		return err
	})
}

// testViewIsOneMoment moves one coin between two places; no view may see none or two.
func testViewIsOneMoment(t *testing.T, s store.Store) {
	put(t, s, "left=1", "right=0")
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			l, r := "01"[n%2:n%2+1], "10"[n%2:n%2+1]
			err := s.Update(ctx, func(tx store.Tx) error {
				return errors.Join(tx.Set([]byte("left"), []byte(l)), tx.Set([]byte("right"), []byte(r)))
			})
			if err != nil {
				t.Errorf("Update: %v", err)
				return
			}
		}
	})
	for range 200 {
		view(t, s, func(tx store.Tx) error {
			l, err1 := tx.Get([]byte("left"))
			r, err2 := tx.Get([]byte("right"))
			if string(l) == string(r) {
				t.Errorf("saw %q and %q in one view", l, r)
			}
			return errors.Join(err1, err2)
		})
	}
	close(stop)
	mover.Wait()
}

func testCopies(t *testing.T, s store.Store) {
	key, value := []byte("key"), []byte("value")
	var got, scanned []byte
	update(t, s, func(tx store.Tx) error {
		err := tx.Set(key, value)
		key[0], value[0] = 'X', 'X'
		mine, _ := tx.Get([]byte("key"))
		mine[1] = 'Y'
		return err
	})
	view(t, s, func(tx store.Tx) (err error) {
		got, err = tx.Get([]byte("key"))
		return errors.Join(err, tx.Scan(nil, func(_, v []byte) error { scanned = v; return nil }))
	})
	if string(got) != "value" || string(scanned) != "value" {
		t.Errorf("got %q and %q, want the value as it was set", got, scanned)
	}
	got[0], scanned[0] = 'Z', 'Z'
	view(t, s, func(tx store.Tx) error { expect(t, tx, "key", "value"); return nil })
}

// testLargeValues writes a thousand sealed records in one transaction, the most that one submission holds.
func testLargeValues(t *testing.T, s store.Store) {
	value := func(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 8<<10) }
	update(t, s, func(tx store.Tx) error {
		for n := range 1000 {
			if err := tx.Set(binary.BigEndian.AppendUint16(nil, uint16(n)), value(n)); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx store.Tx) error {
		n := 0
		err := tx.Scan(nil, func(k, v []byte) error {
			if int(binary.BigEndian.Uint16(k)) != n || !bytes.Equal(v, value(n)) {
				t.Errorf("record %d differs", n)
			}
			n++
			return nil
		})
		if n != 1000 {
			t.Errorf("%d records, want 1000", n)
		}
		return err
	})
}

func testExpiry(t *testing.T, s store.Store) {
	now := time.Now()
	update(t, s, func(tx store.Tx) error {
		return errors.Join(
			tx.SetUntil([]byte("past"), []byte("1"), now.Add(-time.Hour)),
			tx.SetUntil([]byte("before 1970"), []byte("1"), time.Time{}),
			tx.SetUntil([]byte("future"), []byte("1"), now.Add(time.Hour)),
			tx.SetUntil([]byte("renewed"), []byte("1"), now.Add(-time.Hour)),
			tx.Set([]byte("renewed"), []byte("2")),
		)
	})
	view(t, s, func(tx store.Tx) error {
		expect(t, tx, "past", "-")
		expect(t, tx, "before 1970", "-")
		expectScan(t, tx, "", "future=1", "renewed=2")
		return nil
	})
	put(t, s, "past=new")
	view(t, s, func(tx store.Tx) error { expect(t, tx, "past", "new"); return nil })
}

// testCounters adds to one counter from many goroutines. No addition may be lost, nor counted twice.
func testCounters(t *testing.T, s store.Store) {
	const workers, each = 8, 25
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for range each {
				err := s.Update(ctx, func(tx store.Tx) error {
					return errors.Join(add(tx, "all"), add(tx, fmt.Sprint("worker ", w)))
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	done.Wait()
	view(t, s, func(tx store.Tx) error {
		expect(t, tx, "all", string(binary.BigEndian.AppendUint64(nil, workers*each)))
		for w := range workers {
			expect(t, tx, fmt.Sprint("worker ", w), string(binary.BigEndian.AppendUint64(nil, each)))
		}
		return nil
	})
}

// testMeeting holds one update up until others wait for it, of which some are refused, some too late, and some find what others wrote.
func testMeeting(t *testing.T, s store.Store) {
	put(t, s, "taken=no")
	refused := errors.New("taken already")
	gone, cancel := context.WithCancel(ctx)
	inside, release := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		update(t, s, func(tx store.Tx) error {
			close(inside)
			<-release
			return tx.Set([]byte("first"), nil)
		})
	})
	<-inside
	results := make(chan error)
	for n := range 20 {
		all.Go(func() {
			err := s.Update(ctx, func(tx store.Tx) error {
				if err := tx.Set(fmt.Appendf(nil, "try/%02d", n), nil); err != nil {
					return err
				}
				if v, err := tx.Get([]byte("taken")); err != nil || string(v) != "no" {
					return errors.Join(err, refused)
				}
				return tx.Set([]byte("taken"), fmt.Appendf(nil, "%02d", n))
			})
			results <- err
		})
	}
	all.Go(func() {
		err := s.Update(gone, func(tx store.Tx) error { return tx.Set([]byte("late"), nil) })
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Update with a cancelled context = %v, want Canceled", err)
		}
		late := "-"
		if err == nil {
			late = ""
		}
		view(t, s, func(tx store.Tx) error { expect(t, tx, "late", late); return nil })
	})
	cancel()
	close(release)
	won := 0
	for range 20 {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, refused):
			t.Errorf("Update = %v, want the error of its function", err)
		}
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d took what one may take", won)
	}
	view(t, s, func(tx store.Tx) error {
		taken, err := tx.Get([]byte("taken"))
		expectScan(t, tx, "try/", "try/"+string(taken)+"=")
		expect(t, tx, "first", "")
		return err
	})
}

func testPanic(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			defer func() {
				if v := recover(); (v == "mine") != (n%2 == 0) {
					t.Errorf("update %d: recovered %v", n, v)
				}
			}()
			update(t, s, func(tx store.Tx) error {
				err := tx.Set([]byte{'p', byte('a' + n)}, nil)
				if n%2 == 0 {
					panic("mine")
				}
				return err
			})
		})
	}
	all.Wait()
	view(t, s, func(tx store.Tx) error {
		expectScan(t, tx, "p", "pb=", "pd=", "pf=", "ph=", "pj=", "pl=", "pn=", "pp=", "pr=", "pt=")
		return nil
	})
}

func add(tx store.Tx, key string) error {
	var n uint64
	switch v, err := tx.Get([]byte(key)); {
	case err == nil:
		n = binary.BigEndian.Uint64(v)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return tx.Set([]byte(key), binary.BigEndian.AppendUint64(nil, n+1))
}

func testContext(t *testing.T, s store.Store) {
	put(t, s, "a=1", "b=2")
	gone, cancel := context.WithCancel(ctx)
	err := s.View(gone, func(tx store.Tx) error {
		return tx.Scan(nil, func(_, _ []byte) error { cancel(); return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Scan after cancelling = %v, want Canceled", err)
	}
	never := func(store.Tx) error { t.Error("the function ran"); return nil }
	if err := s.View(gone, never); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v, want Canceled", err)
	}
	if err := s.Update(gone, never); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want Canceled", err)
	}
}

// testModel plays random transactions against a plain map.
func testModel(t *testing.T, s store.Store) {
	random := rand.New(rand.NewPCG(3, 4))
	model := map[string]string{}
	for range 150 {
		next, keep := cloneMap(model), random.IntN(4) > 0
		err := s.Update(ctx, func(tx store.Tx) error {
			next = cloneMap(model)
			for range random.IntN(6) {
				k := string("abc"[random.IntN(3)]) + string("abcd"[random.IntN(4)])
				var err error
				if random.IntN(3) == 0 {
					delete(next, k)
					err = tx.Delete([]byte(k))
				} else {
					next[k] = fmt.Sprint(random.IntN(100))
					err = tx.Set([]byte(k), []byte(next[k]))
				}
				if err != nil {
					return err
				}
				for _, prefix := range []string{"", "a", "b"} {
					expectScan(t, tx, prefix, pairsOf(next, prefix)...)
				}
			}
			if !keep {
				return errors.New("undo")
			}
			return nil
		})
		if keep {
			model = next
			if err != nil {
				t.Fatalf("Update: %v", err)
			}
		}
		view(t, s, func(tx store.Tx) error { expectScan(t, tx, "", pairsOf(model, "")...); return nil })
	}
}

func cloneMap(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func pairsOf(m map[string]string, prefix string) []string {
	var keys []string
	for k := range m {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = k + "=" + m[k]
	}
	return keys
}

func testClose(t *testing.T, s store.Store) {
	put(t, s, "a=1")
	inside, release := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		err := s.View(ctx, func(tx store.Tx) error {
			close(inside)
			<-release
			expect(t, tx, "a", "1")
			return nil
		})
		if err != nil {
			t.Errorf("the transaction that ran during Close: %v", err)
		}
	})
	<-inside
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait for a running transaction")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	running.Wait()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	never := func(store.Tx) error { t.Error("the function ran"); return nil }
	if err := s.View(ctx, never); !errors.Is(err, store.ErrClosed) {
		t.Errorf("View after Close = %v, want ErrClosed", err)
	}
	if err := s.Update(ctx, never); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update after Close = %v, want ErrClosed", err)
	}
}
