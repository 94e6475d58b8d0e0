package issuer_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

// BenchmarkImport imports 10,000 payslips of 500 workers: signed, sealed, stored in Badger on disk, and submitted to a registry that accepts
// at once. It reports rows a second, beside the rate at which one thread makes bare ES256 signatures, and the processor time of both, which
// does not change with what else the machine does.
func BenchmarkImport(b *testing.B) {
	const workers, months = 500, 20
	s, err := store.OpenBadger(b.TempDir(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	w := issuertest.New(b, s)
	w.Registry.Unchecked = true
	p := issuertest.NewWorker(b)
	for n := range workers {
		if r := w.EngageMore(fmt.Sprint(5000+n), p); !r.OK() {
			b.Fatal(r.Errors)
		}
	}
	w.Clock.Set(time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC))
	cpu := cpuTime(b)
	for run := 0; b.Loop(); run++ {
		var rows [][2]string
		for n := range workers * months {
			month := time.Date(2025, time.Month(11+n%months), 1, 0, 0, 0, 0, time.UTC)
			rows = append(rows, [2]string{month.Format("2006-01"), fmt.Sprint(5000 + n/months)})
		}
		r := pay(b, w, payslips(fmt.Sprintf("%d.00", run), rows...), issuer.Options{Supersede: true})
		if n := r.Count(issuer.StatusLogged); n != len(rows) {
			b.Fatalf("%d rows logged of %d; %v", n, len(rows), r.Errors)
		}
	}
	n := float64(workers * months * b.N)
	rate, perRow := n/b.Elapsed().Seconds(), (cpuTime(b)-cpu).Seconds()/n
	signing, perSignature := signingRate(b)
	b.ReportMetric(rate, "rows/s")
	b.ReportMetric(signing, "signatures/s")
	b.ReportMetric(rate/signing, "ratio")
	b.ReportMetric(perRow*1e6, "cpu-us/row")
	b.ReportMetric(perSignature*1e6, "cpu-us/signature")
}

// cpuTime returns the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// signingRate signs bare tokens of a payslip's size on one thread.
func signingRate(b *testing.B) (perSecond, cpuSeconds float64) {
	b.Helper()
	key := issuertest.Key(b)
	payload := []byte(strings.Repeat("x", 1000))
	const n = 5000
	start, cpu := time.Now(), cpuTime(b)
	for range n {
		if _, err := key.Sign(keys.Header{"typ": "dc+sd-jwt"}, payload); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(start).Seconds(), (cpuTime(b) - cpu).Seconds() / n
}
