package auditor

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches. The label is the auditor's own name.
type metrics struct {
	work    *prometheus.HistogramVec // by outcome
	signed  atomic.Int64             // unix nanoseconds by the machine's clock of the last cosignature, or of the start
	size    *prometheus.Desc
	stopped *prometheus.Desc
	age     *prometheus.Desc
}

// Outcomes of the work on one checkpoint.
const (
	outcomeCosigned    = "cosigned"
	outcomeDivergence  = "divergence"
	outcomeUnavailable = "unavailable" // something could not be had: it is tried again when asked again
	outcomeRefused     = "refused"     // stale, or a request that is not in order
)

func newMetrics(name string) *metrics {
	labels := prometheus.Labels{"name": name}
	desc := func(metric, help string) *prometheus.Desc {
		return prometheus.NewDesc("akashi_auditor_"+metric, help, nil, labels)
	}
	m := &metrics{
		work: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "akashi", Subsystem: "auditor", Name: "checkpoint_seconds", ConstLabels: labels,
			Help:    "Time for one checkpoint: replay, records, map, state on disk.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"outcome"}),
		size:    desc("cosigned_entries", "Size of the checkpoint that was cosigned last."),
		stopped: desc("stopped", "1 when a divergence has stopped the auditor for good: look into fraud.json."),
		age:     desc("cosigned_age_seconds", "Time since the last cosignature, or since the start before the first."),
	}
	m.signed.Store(time.Now().UnixNano())
	return m
}

func (m *metrics) worked(begin time.Time, outcome string) {
	m.work.WithLabelValues(outcome).Observe(time.Since(begin).Seconds())
	if outcome == outcomeCosigned {
		m.signed.Store(time.Now().UnixNano())
	}
}

// Describe is of [prometheus.Collector].
func (a *Auditor) Describe(c chan<- *prometheus.Desc) {
	a.metrics.work.Describe(c)
	c <- a.metrics.size
	c <- a.metrics.stopped
	c <- a.metrics.age
}

// Collect is of [prometheus.Collector]. It does not wait for work under way.
func (a *Auditor) Collect(c chan<- prometheus.Metric) {
	a.metrics.work.Collect(c)
	gauge := func(d *prometheus.Desc, v float64) { c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	st := a.Status()
	stopped := 0.0
	if st.Fraud != nil {
		stopped = 1
	}
	gauge(a.metrics.size, float64(st.Size))
	gauge(a.metrics.stopped, stopped)
	gauge(a.metrics.age, time.Since(time.Unix(0, a.metrics.signed.Load())).Seconds())
}
