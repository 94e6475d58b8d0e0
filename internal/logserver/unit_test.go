package logserver

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"

	"akashi/internal/store"
	"akashi/registry"
)

// The frontiers answer as a search through all checkpoints does, in whatever order those come and however often one is changed.
func TestFrontiers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		a := new(archive)
		all := make(map[uint64][2]int64)
		for range 1 + rnd.IntN(12) {
			size := 1 + rnd.Uint64N(10)
			by, not := 10+rnd.Int64N(6), 10+rnd.Int64N(6)
			if old, ok := all[size]; ok { // more lines: earlier, and later
				by, not = min(by, old[0]), max(not, old[1])
			}
			all[size] = [2]int64{by, not}
			a.index(size, by, not, false)
		}
		for i := range uint64(12) {
			var wantFirst, wantLast int64
			for size, times := range all {
				if size > i && (wantFirst == 0 || times[0] < wantFirst) {
					wantFirst = times[0]
				}
				if size <= i && times[1] > wantLast {
					wantLast = times[1]
				}
			}
			first, ok := a.firstAfter(i)
			if ok != (wantFirst != 0) || ok && (first <= i || all[first][0] != wantFirst) {
				t.Fatalf("firstAfter(%d) of %v: got %d, %t, want one with time %d", i, all, first, ok, wantFirst)
			}
			last, ok := a.lastBefore(i)
			if ok != (wantLast != 0) || ok && (last > i || all[last][1] != wantLast) {
				t.Fatalf("lastBefore(%d) of %v: got %d, %t, want one with time %d", i, all, last, ok, wantLast)
			}
		}
	}
}

func FuzzSealedRecord(f *testing.F) {
	f.Add((&sealedRecord{count: 1, a: []byte("a")}).marshal())
	f.Add((&sealedRecord{submission: registry.Hash{1}, position: 3, count: 9, path: make([]registry.Hash, 4), a: []byte("a"), b: []byte("b")}).marshal())
	f.Add((&sealedRecord{erased: true, x: registry.Hash{1}}).marshal())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseSealedRecord(data)
		if err != nil {
			return
		}
		if again := r.marshal(); !bytes.Equal(again, data) {
			t.Errorf("%x read and written again is %x", data, again)
		}
	})
}

// Whatever comes to POST /v1/entries is answered with 4xx unless it is a submission in order. The server is stopped, so that nothing
// else runs that the fuzzer would take for coverage; a submission in order is then answered with 503.
func FuzzSubmit(f *testing.F) {
	r := newRig(f).start()
	if err := r.server.Close(f.Context()); err != nil {
		f.Fatal(err)
	}
	rec, _ := record("x")
	good := octetsOf(r.sign(rec))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(octetsOf(registry.SubmitRequest{Submission: "eyJhbGciOiJFUzI1NiJ9.e30.AA~", Records: []registry.Record{{}}}))
	f.Add(octetsOf(registry.SubmitRequest{Submission: r.sign(rec).Submission, Records: []registry.Record{{X: rec.X}}}))
	f.Add([]byte(`{}`))
	h := r.server.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/entries", bytes.NewReader(body)))
		req, err := registry.ReadSubmitRequest(bytes.NewReader(body))
		inOrder := err == nil && reflect.DeepEqual(req.Records, []registry.Record{rec})
		if w.Code < 400 || w.Code >= 500 && !(inOrder && w.Code == http.StatusServiceUnavailable) {
			t.Errorf("got %d %s, want 4xx", w.Code, w.Body)
		}
	})
}

// The log takes the entries and the answer is lost. Whoever sends again learns that they are there, once.
func TestLogAnswerLost(t *testing.T) {
	r := newRig(t).start()
	add := r.server.log.appender.Add
	var lose atomic.Bool
	lose.Store(true)
	r.server.log.appender.Add = func(ctx context.Context, e *tessera.Entry) tessera.IndexFuture {
		future := add(ctx, e)
		return func() (tessera.Index, error) {
			i, err := future()
			if lose.Load() {
				return tessera.Index{}, errors.Join(err, errors.New("answer lost"))
			}
			return i, err
		}
	}
	rec, _ := record("lost")
	other, _ := record("other")
	if resp, body := r.post("/v1/entries", octetsOf(r.sign(rec))); resp.StatusCode != http.StatusInternalServerError || strings.Contains(body, "answer lost") {
		t.Errorf("got %d %s, want 500 without the cause", resp.StatusCode, body)
	}
	lose.Store(false)
	resp := r.submit(rec, other)
	if resp.Results[0].Status != registry.StatusAlready || resp.Results[1].Status != registry.StatusLogged {
		t.Errorf("got %+v, want already and logged", resp.Results)
	}
	look, head, cp := r.lookupPublished(keyOf(rec), keyOf(other))
	r.checkMember(look.Results[0], rec, head, cp)
	r.checkMember(look.Results[1], other, head, cp)
}

// failing is a store whose writes fail while it is told so, before or after they are done.
type failing struct {
	store.Store
	before, after atomic.Bool
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.before.Load() {
		return errors.New("disk full")
	}
	err := f.Store.Update(ctx, fn)
	if f.after.Load() && err == nil {
		return errors.New("answer lost")
	}
	return err
}

// Without its sealed record durable nothing is logged; a checkpoint that cannot be archived is not published.
func TestStoreFails(t *testing.T) {
	for name, fail := range map[string]func(*failing){
		"before the write": func(f *failing) { f.before.Store(true) },
		"after the write":  func(f *failing) { f.after.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &failing{Store: store.NewMemory()}
			r := newRig(t, func(c *Config) { c.Store = f }).start()
			size := must(r.server.log.reader.IntegratedSize(t.Context()))
			r.waitAudited()
			for _, a := range r.auditors {
				a.down(true) // their lines are merged in the background
			}
			rec, _ := record("x")
			fail(f)
			if resp, _ := r.post("/v1/entries", octetsOf(r.sign(rec))); resp.StatusCode != http.StatusInternalServerError {
				t.Errorf("got %d, want 500", resp.StatusCode)
			}
			if now := must(r.server.log.reader.IntegratedSize(t.Context())); now != size {
				t.Errorf("the log has grown from %d to %d", size, now)
			}
			f.before.Store(false)
			f.after.Store(false)
			for _, a := range r.auditors {
				a.down(false)
			}
			if resp := r.submit(rec); resp.Results[0].Status != registry.StatusLogged {
				t.Errorf("got %+v, want it logged", resp.Results[0])
			}
			look, head, cp := r.lookupPublished(keyOf(rec))
			r.checkMember(look.Results[0], rec, head, cp)
		})
	}
}

func TestConfig(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		name  string
		spoil func(*Config)
	}{
		{"no folder", func(c *Config) { c.Dir = "" }},
		{"another origin", func(c *Config) { c.Origin = "other.example/log" }},
		{"unsafe quorum", func(c *Config) {
			c.Policy = must(registry.NewPolicy(c.Policy.LogVKey, "", c.Policy.Members, 2))
		}},
		{"witnesses as auditors", func(c *Config) { c.Auditors = c.Policy }},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := r.cfg
			cfg.Dir, cfg.Store = t.TempDir(), store.NewMemory()
			test.spoil(&cfg)
			if s, err := Open(t.Context(), cfg); err == nil {
				_ = s.Close(t.Context())
				t.Error("opened")
			}
		})
	}
}

// BenchmarkEpoch measures submissions from request to receipt over HTTP, with the store on disk and four witnesses, without the time in
// which the epoch collects.
func BenchmarkEpoch(b *testing.B) {
	for _, bench := range []struct{ clients, records int }{{1, 1}, {1, 1000}, {5, 1000}} {
		b.Run(fmt.Sprintf("%dx%d", bench.clients, bench.records), func(b *testing.B) {
			st := must(store.OpenBadger(b.TempDir(), nil, nil))
			b.Cleanup(func() { _ = st.Close() })
			r := newRig(b, func(c *Config) {
				c.Store, c.EpochInterval, c.Limits.EntityPerMinute = st, time.Minute, 1e9
				c.Limits.EpochRecords = bench.clients * bench.records
			}).start()
			for _, a := range r.auditors {
				a.down(true)
			}
			for b.Loop() {
				b.StopTimer()
				reqs := make([]registry.SubmitRequest, bench.clients)
				for i := range reqs {
					records := make([]registry.Record, bench.records)
					for j := range records {
						records[j], _ = record("x")
					}
					reqs[i] = r.sign(records...)
				}
				b.StartTimer()
				var wg sync.WaitGroup
				for _, req := range reqs {
					wg.Go(func() {
						if _, err := r.client.Submit(b.Context(), req); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

// BenchmarkSequence measures the pipeline alone: store, log, map, head, of epochs of 5,000 records of 4 KiB.
func BenchmarkSequence(b *testing.B) {
	for name, open := range map[string]func() store.Store{
		"memory": store.NewMemory,
		"badger": func() store.Store { return must(store.OpenBadger(b.TempDir(), nil, nil)) },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.Store = open(); c.EpochInterval = time.Hour }).start()
			a := make([]byte, 12+4096+16)
			for b.Loop() {
				b.StopTimer()
				j := &job{listN: 1, pass: &pass{entity: "e", jti: registry.Hash{byte(b.N)}}, jwt: "x", done: make(chan outcome, 1)}
				for range 5000 {
					var k registry.Key
					crand.Read(k[:])
					j.refs = append(j.refs, registry.RecordRef{K: k})
					j.records = append(j.records, &sealedRecord{submission: registry.Hash{1}, count: 1, path: make([]registry.Hash, 10), a: a})
				}
				b.StartTimer()
				if err := r.server.closeEpoch(b.Context(), []*job{j}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkLookup measures a lookup of 1,000 members, proofs and answer included.
func BenchmarkLookup(b *testing.B) {
	r := newRig(b).start()
	var slots []registry.Key
	for range 5 {
		records := make([]registry.Record, 1000)
		slots = slots[:0]
		for i := range records {
			records[i], _ = record("x")
			slots = append(slots, keyOf(records[i]))
		}
		if _, err := r.client.Submit(b.Context(), r.sign(records...)); err != nil {
			b.Fatal(err)
		}
	}
	r.waitAudited()
	for b.Loop() {
		if _, err := r.server.processLookup(b.Context(), slots); err != nil {
			b.Fatal(err)
		}
	}
}
