package logserver

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// metrics are the counts and durations that an operator watches. What is a state of the server rather than an event is read from it
// when it is asked for ([Server.Collect]). Labels are names from the policy and closed lists of words, never anything that a client sent.
type metrics struct {
	epochs   prometheus.Histogram
	publish  *prometheus.HistogramVec // by outcome
	records  *prometheus.CounterVec   // by status
	lookups  prometheus.Histogram
	keys     prometheus.Counter
	failures prometheus.Counter

	logged atomic.Uint64 // entries in the log, heads and unpublished ones included
	shown  atomic.Int64  // unix nanoseconds by the machine's clock of the last publication, or of the start
}

const namespace = "akashi_registry"

// seconds are the buckets of all durations: from a millisecond to a minute.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics() *metrics {
	histogram := func(name, help string) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: seconds}
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
	}
	m := &metrics{
		epochs:   prometheus.NewHistogram(histogram("epoch_seconds", "Time from taking a batch to its head in the log, without collecting and publication.")),
		publish:  prometheus.NewHistogramVec(histogram("publish_seconds", "Time to bring a checkpoint before the witnesses and archive it."), []string{"outcome"}),
		records:  prometheus.NewCounterVec(counter("records_total", "Records that were decided on."), []string{"status"}),
		lookups:  prometheus.NewHistogram(histogram("lookup_seconds", "Time to answer a lookup.")),
		keys:     prometheus.NewCounter(counter("lookup_keys_total", "Keys that were looked up.")),
		failures: prometheus.NewCounter(counter("epoch_failures_total", "Epochs that could not be written.")),
	}
	m.shown.Store(time.Now().UnixNano())
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.epochs, m.publish, m.records, m.lookups, m.keys, m.failures}
}

// published notes one attempt to publish.
func (m *metrics) published(begin time.Time, err error) {
	outcome := "published"
	if err != nil {
		outcome = "failed"
	} else {
		m.shown.Store(time.Now().UnixNano())
	}
	m.publish.WithLabelValues(outcome).Observe(time.Since(begin).Seconds())
}

// epoch notes one epoch.
func (m *metrics) epoch(begin time.Time, batch []*job, size uint64, err error) {
	if err != nil {
		m.failures.Inc()
		return
	}
	m.epochs.Observe(time.Since(begin).Seconds())
	m.logged.Store(size)
	for _, j := range batch {
		for _, r := range j.results {
			m.records.WithLabelValues(string(r.Status)).Inc()
		}
	}
}

// The states that are read when they are asked for.
var (
	descEntries   = desc("log_entries", "Entries in the log, heads and entries that are not published yet included.")
	descPublished = desc("published_entries", "Size of the newest checkpoint with the witnesses' quorum.")
	descAudited   = desc("audited_entries", "Size of the newest checkpoint with the auditors' quorum too.")
	descAge       = desc("published_age_seconds", "Time since the last publication, or since the start before the first.")
	descKeys      = desc("map_keys", "Keys in the map at the newest published checkpoint.")
	descLists     = desc("trust_list_version", "Number of the trust list in force.")
	descQueue     = desc("queue_records", "Records waiting for an epoch.")
	descQueueMax  = desc("queue_limit_records", "Bound of the queue: above it submissions are answered with 429.")
	descReady     = desc("ready", "1 when the last publication found its quorum, as /readyz says.")
	descLag       = desc("cosigner_lag_entries", "Entries by which a witness or auditor is behind the newest published checkpoint.", "role", "name")
	descLagTime   = desc("cosigner_lag_seconds", "Time since a witness or auditor that is behind signed something, or since the start; 0 for one that is not behind.", "role", "name")
	descUp        = desc("cosigner_up", "0 when a witness or auditor did not sign the last time it was asked.", "role", "name")
	descFree      = desc("disk_free_bytes", "Space left for us on the disk of the log.")
	descTotal     = desc("disk_size_bytes", "Size of the disk of the log.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Describe is of [prometheus.Collector].
func (s *Server) Describe(c chan<- *prometheus.Desc) {
	for _, m := range s.metrics.collectors() {
		m.Describe(c)
	}
	for _, d := range []*prometheus.Desc{
		descEntries, descPublished, descAudited, descAge, descKeys, descLists, descQueue, descQueueMax, descReady, descLag, descLagTime, descUp, descFree, descTotal,
	} {
		c <- d
	}
}

// Collect is of [prometheus.Collector].
func (s *Server) Collect(c chan<- prometheus.Metric) {
	for _, m := range s.metrics.collectors() {
		m.Collect(c)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s.mu.RLock()
	var published, audited uint64
	var members int
	if s.published != nil {
		published, members = s.published.size, s.published.snap.Len()
	}
	if s.audited != nil {
		audited = s.audited.size
	}
	lists, ready := len(s.lists), s.published != nil && s.troubled == ""
	s.mu.RUnlock()

	gauge(descEntries, float64(s.metrics.logged.Load()))
	gauge(descPublished, float64(published))
	gauge(descAudited, float64(audited))
	gauge(descAge, time.Since(time.Unix(0, s.metrics.shown.Load())).Seconds())
	gauge(descKeys, float64(members))
	gauge(descLists, float64(lists))
	gauge(descQueue, float64(s.seq.waiting()))
	gauge(descQueueMax, float64(s.cfg.Limits.QueueRecords))
	gauge(descReady, number01(ready))
	for role, cosigners := range map[string][]*cosigner{"witness": s.witnesses, "auditor": s.auditors} {
		for _, c := range cosigners {
			behind, since, up := c.lag(published)
			gauge(descLag, float64(behind), role, c.name)
			gauge(descLagTime, since.Seconds(), role, c.name)
			gauge(descUp, number01(up), role, c.name)
		}
	}
	if free, total, ok := diskSpace(s.cfg.Dir); ok {
		gauge(descFree, float64(free))
		gauge(descTotal, float64(total))
	}
}

func number01(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// waiting returns how many records are in the queue.
func (q *sequencer) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.records
}

// lag tells by how many entries a cosigner is behind a published size, and since when it signed nothing.
func (c *cosigner) lag(published uint64) (behind uint64, since time.Duration, up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known < published {
		behind, since = published-c.known, time.Since(c.signedAt)
	}
	return behind, since, !c.down
}

// Names of spans and attributes. A span says how much, how long and whether it failed, and nothing of what was in it: no key, writer,
// token or address.
const (
	tracerName  = "akashi/internal/logserver"
	spanSubmit  = "registry.submit"
	spanEpoch   = "registry.epoch"
	spanPublish = "registry.publish"
	spanLookup  = "registry.lookup"
	attrRecords = attribute.Key("akashi.records")
	attrKeys    = attribute.Key("akashi.keys")
	attrSize    = attribute.Key("akashi.log.size")
	attrJobs    = attribute.Key("akashi.submissions")
)

// span begins a span of its own trace: what a client says about traces is not taken over.
func (s *Server) span(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	return s.tracer.Start(ctx, name, opts...)
}

// endSpan ends a span. The error's text stays out of it: it may quote what a client sent.
func endSpan(span trace.Span, err error, attributes ...attribute.KeyValue) {
	span.SetAttributes(attributes...)
	if err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}

// linksOf joins an epoch to the submissions in it.
func linksOf(batch []*job) trace.SpanStartOption {
	var links []trace.Link
	for _, j := range batch {
		if j.trace.IsValid() {
			links = append(links, trace.Link{SpanContext: j.trace})
		}
	}
	return trace.WithLinks(links...)
}

func attrCount(k attribute.Key, n int) attribute.KeyValue { return k.Int(n) }
