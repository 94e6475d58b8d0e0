package logserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"akashi/registry"
)

// scrape returns the values of all gauges and counters, and the counts of histograms, by name and labels.
func scrape(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	r := newRig(t).start()
	r.witnesses[3].down(true)
	r.auditors[2].down(true)
	var recs []registry.Record
	for range 5 {
		rec, _ := record("r")
		recs = append(recs, rec)
	}
	r.submit(recs...)
	r.submit(recs[0])
	r.waitAudited()
	r.lookup(keyOf(recs[0]), keyOf(recs[1]))
	size := float64(r.server.published.size)
	want := map[string]float64{
		"akashi_registry_log_entries":                            size,
		"akashi_registry_published_entries":                      size,
		"akashi_registry_audited_entries":                        size,
		"akashi_registry_map_keys":                               5,
		"akashi_registry_trust_list_version":                     1,
		"akashi_registry_queue_records":                          0,
		"akashi_registry_ready":                                  1,
		"akashi_registry_records_total logged":                   5,
		"akashi_registry_records_total already":                  1,
		"akashi_registry_lookup_keys_total":                      2,
		"akashi_registry_lookup_seconds":                         1,
		"akashi_registry_epoch_failures_total":                   0,
		"akashi_registry_cosigner_up witness-1 witness":          1,
		"akashi_registry_cosigner_up witness-4 witness":          0,
		"akashi_registry_cosigner_up auditor-3 auditor":          0,
		"akashi_registry_cosigner_lag_entries witness-1 witness": 0,
		"akashi_registry_cosigner_lag_seconds witness-1 witness": 0,
		"akashi_registry_cosigner_lag_entries auditor-1 auditor": 0,
	}
	var got map[string]float64
	var wrong []string
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // some counters move a moment after the answer
		got, wrong = scrape(t, r.server), nil
		for name, v := range want {
			if g, ok := got[name]; !ok || g != v {
				wrong = append(wrong, fmt.Sprintf("%s: got %v, want %v", name, g, v))
			}
		}
		if len(wrong) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	for _, name := range []string{
		"akashi_registry_cosigner_lag_entries witness-4 witness", "akashi_registry_cosigner_lag_seconds witness-4 witness",
		"akashi_registry_cosigner_lag_entries auditor-3 auditor", "akashi_registry_disk_free_bytes", "akashi_registry_disk_size_bytes",
		"akashi_registry_epoch_seconds", "akashi_registry_publish_seconds published", "akashi_registry_published_age_seconds",
	} {
		if got[name] <= 0 {
			t.Errorf("%s: got %v, want more than 0", name, got[name])
		}
	}
	for _, w := range r.witnesses {
		w.down(true)
	}
	if err := r.server.CloseEpoch(t.Context()); err == nil {
		t.Fatal("published without witnesses")
	}
	if got := scrape(t, r.server); got["akashi_registry_ready"] != 0 || got["akashi_registry_publish_seconds failed"] == 0 || got["akashi_registry_log_entries"] != size+1 {
		t.Errorf("below quorum: %v", got)
	}
}

// Spans say how much and how long, and nothing of what was in a request.
func TestTraces(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	r := newRig(t, func(c *Config) { c.Traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)) }).start()
	rec, _ := record("secret")
	r.submit(rec)
	r.waitAudited()
	r.lookup(keyOf(rec))
	if _, err := r.client.Submit(t.Context(), registry.SubmitRequest{Submission: "no token", Records: []registry.Record{rec}}); err == nil {
		t.Fatal("nonsense was taken")
	}
	seen := make(map[string]bool)
	linked := func(s sdktrace.ReadOnlySpan) bool { return s.Name() == spanEpoch && len(s.Links()) == 1 }
	waitFor(t, "an epoch that is linked to its submission", func() bool { return slices.ContainsFunc(spans.Ended(), linked) })
	waitFor(t, "the refused submission", func() bool {
		return slices.ContainsFunc(spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Status().Code == codes.Error })
	})
	for _, s := range spans.Ended() {
		seen[s.Name()] = true
		for _, a := range s.Attributes() {
			if !slices.Contains([]string{string(attrRecords), string(attrKeys), string(attrSize), string(attrJobs)}, string(a.Key)) {
				t.Errorf("span %s has attribute %s", s.Name(), a.Key)
			}
		}
		if s.Status().Code == codes.Error && s.Status().Description != "failed" || len(s.Events()) > 0 {
			t.Errorf("span %s says %q %v", s.Name(), s.Status().Description, s.Events())
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); strings.Join(got, " ") != "registry.epoch registry.lookup registry.publish registry.submit" {
		t.Errorf("got spans %v", got)
	}
}

// A registry that is stopped finishes the epoch: who was let in gets a receipt.
func TestCloseFinishesEpoch(t *testing.T) {
	r := newRig(t, func(c *Config) { c.EpochInterval = time.Minute }).start()
	rec, _ := record("last")
	answer := make(chan error, 1)
	req := r.sign(rec)
	go func() {
		resp, err := r.client.Submit(context.WithoutCancel(t.Context()), req)
		if err == nil && resp.Results[0].Status != registry.StatusLogged {
			t.Errorf("got %+v, want logged", resp.Results[0])
		}
		answer <- err
	}()
	waitFor(t, "the queue", func() bool { return r.server.seq.waiting() == 1 })
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Fatalf("no receipt: %v", err)
	}
	size := r.server.published.size
	r.open()
	if got := r.server.published.size; got != size || r.server.seq.state.size != size {
		t.Errorf("opened at %d, published at %d, want %d: a stop must not leave an epoch open", r.server.seq.state.size, got, size)
	}
}

// With nothing to finish a stop adds nothing to the log, and below the quorum it does not wait for ever.
func TestCloseWithoutWork(t *testing.T) {
	r := newRig(t)
	r.reopen()
	if got := r.server.seq.state.size; got != 0 {
		t.Errorf("an empty log has %d entries after a stop", got)
	}
	r.start()
	size := r.server.published.size
	r.reopen()
	if got := r.server.published.size; got != size {
		t.Errorf("got size %d after a stop, want %d", got, size)
	}
	for _, w := range r.witnesses {
		w.down(true)
	}
	if err := r.server.CloseEpoch(t.Context()); err == nil {
		t.Fatal("published without witnesses")
	}
	if err := r.server.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
