package logserver

import (
	"bytes"
	crand "crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// pipelineRig is a rig for measuring: the store on disk, without sealed records, four witnesses over HTTP, and no auditors.
func pipelineRig(b *testing.B, kind MapKind) *rig {
	st := must(store.OpenBadger(b.TempDir(), nil, nil))
	b.Cleanup(func() { _ = st.Close() })
	r := newRig(b, func(c *Config) {
		c.Store, c.Map, c.EpochInterval = WithoutRecords(st), kind, time.Hour
		c.Limits = Limits{EpochRecords: 5000, QueueRecords: 1e6, EntityPerMinute: 1e9, Concurrent: 1e5}
	}).start()
	for _, a := range r.auditors {
		a.down(true)
	}
	return r
}

// freshSlots are n slots that nobody has asked for.
func freshSlots(n int) []registry.RecordRef {
	refs := make([]registry.RecordRef, n)
	for i := range refs {
		crand.Read(refs[i].K[:])
		crand.Read(refs[i].V[:])
	}
	return refs
}

// reportEntries reports how many entries went through in the time of the benchmark, and what each cost in time of the processors: on a
// machine that others use too, or with a slow disk, that tells more.
func reportEntries(b *testing.B, each int, spent time.Duration) {
	n := float64(each * b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "entries/s")
	if spent > 0 {
		b.ReportMetric(float64(spent.Microseconds())/n, "cpu-µs/entry")
	}
}

// BenchmarkPipeline measures log, map, head and publication of epochs of 5,000 entries of 72 bytes, without sealed records. The next epoch
// is written while the last one is published.
func BenchmarkPipeline(b *testing.B) {
	for _, kind := range mapKinds {
		b.Run(string(kind), func(b *testing.B) {
			r := pipelineRig(b, kind)
			var inFlight errgroup.Group
			inFlight.SetLimit(2)
			begin := cpuTime()
			b.ResetTimer()
			for range b.N { // b.Loop would stop the clock while the last two are under way
				refs := freshSlots(5000)
				inFlight.Go(func() error { return r.server.LogUnchecked(b.Context(), refs) })
			}
			if err := inFlight.Wait(); err != nil {
				b.Fatal(err)
			}
			reportEntries(b, 5000, cpuTime()-begin)
		})
	}
}

// BenchmarkRequests measures from the bytes of requests, each with one record under one ES256 submission JWT, to their receipts, in
// process, 5,000 at a time.
func BenchmarkRequests(b *testing.B) {
	for _, kind := range mapKinds {
		b.Run(string(kind), func(b *testing.B) {
			r := pipelineRig(b, kind)
			h := r.server.Handler()
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				bodies := make([][]byte, 5000)
				for i := range bodies {
					rec, _ := record("x")
					jwt := must(registry.MakeSubmission(r.bank, bankID, origin, []registry.Record{rec}, "bank", r.clock.now()))
					bodies[i] = octetsOf(registry.SubmitRequest{Submission: jwt, Records: []registry.Record{rec}})
				}
				b.StartTimer()
				before := cpuTime()
				var wg sync.WaitGroup
				for _, body := range bodies {
					wg.Go(func() {
						w := httptest.NewRecorder()
						h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/entries", bytes.NewReader(body)))
						if w.Code != http.StatusOK {
							b.Errorf("%d %s", w.Code, w.Body)
						}
					})
				}
				wg.Wait()
				spent += cpuTime() - before
			}
			reportEntries(b, 5000, spent)
		})
	}
}

// BenchmarkVerifyES256 is what of that is the signature alone.
func BenchmarkVerifyES256(b *testing.B) {
	key := mustKey(keys.ES256)
	jwt := must(key.Sign(keys.Header{}, []byte(`{}`)))
	for b.Loop() {
		if _, err := keys.Verify(jwt, key.Public(), keys.ES256); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart measures Open with a million keys: from the map on disk, and by replay of the whole log.
func BenchmarkRestart(b *testing.B) {
	for _, kind := range mapKinds {
		b.Run(string(kind), func(b *testing.B) {
			r := pipelineRig(b, kind)
			for range 200 {
				if err := r.server.LogUnchecked(b.Context(), freshSlots(5000)); err != nil {
					b.Fatal(err)
				}
			}
			s := r.server
			s.mu.Lock() // as if the auditors had kept up, who could not: there are no records
			s.published.snap.Retain()
			s.audited = s.published
			s.mu.Unlock()
			restart := func(what string) {
				if err := r.server.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				begin := time.Now()
				s, err := Open(b.Context(), r.cfg)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(time.Since(begin).Seconds(), fmt.Sprintf("s/%s", what))
				r.server = s
			}
			for b.Loop() {
				restart("restart")
			}
			b.StopTimer()
			r.cfg.Map = map[MapKind]MapKind{MapMemory: MapBuckets, MapBuckets: MapMemory}[kind]
			restart("replay-to-" + string(r.cfg.Map))
			_ = r.server.Close(b.Context())
		})
	}
}
