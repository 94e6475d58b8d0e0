package prefixmap

import (
	"runtime"
	"sync"
	"testing"

	"akashi/registry"
)

const million = 1_000_000

// big is a map of a million keys, made once for all benchmarks.
var big = sync.OnceValue(func() *bigMap {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := &bigMap{m: New()}
	for ; b.next < million; b.next++ {
		b.m.Insert(keyOf(b.next), uint64(b.next), registry.Value{1})
	}
	b.m.Snapshot().Release()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.perKey = float64(after.HeapAlloc-before.HeapAlloc) / million
	return b
})

type bigMap struct {
	m      *Map
	next   int
	perKey float64 // bytes of memory
}

// BenchmarkEpoch inserts 500 keys and works out the root, with the snapshot of the epoch before still held, as a server does it.
func BenchmarkEpoch(b *testing.B) {
	g := big()
	last := g.m.Snapshot()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		keys := make([]registry.Key, 500)
		for j := range keys {
			keys[j] = keyOf(g.next)
			g.next++
		}
		b.StartTimer()
		for _, k := range keys {
			g.m.Insert(k, 1, registry.Value{})
		}
		s := g.m.Snapshot()
		last.Release()
		last = s
	}
	last.Release()
	b.ReportMetric(g.perKey, "B/key")
}

func BenchmarkProve(b *testing.B) {
	s := big().m.Snapshot()
	defer s.Release()
	for _, c := range []struct {
		name  string
		first int
	}{{"member", 0}, {"absent", 1 << 40}} {
		b.Run(c.name, func(b *testing.B) {
			n, size := c.first, 0
			for b.Loop() {
				size += len(s.Prove(keyOf(n)))
				n += 7919
				if n >= c.first+million {
					n -= million
				}
			}
			b.ReportMetric(float64(size)/float64(b.N), "B/proof")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	s := big().m.Snapshot()
	defer s.Release()
	proofs := make([][]byte, 2000)
	for j := range proofs {
		proofs[j] = s.Prove(keyOf(1<<40 + j))
	}
	j := 0
	for b.Loop() {
		if err := registry.VerifyAbsent(s.Root(), keyOf(1<<40+j), proofs[j]); err != nil {
			b.Fatal(err)
		}
		j = (j + 1) % len(proofs)
	}
}

// TestMemoryAndProofSize keeps the figures that capacity planning rests on.
func TestMemoryAndProofSize(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a map of a million keys")
	}
	g := big()
	if g.perKey > 130 {
		t.Errorf("%.1f bytes of memory a key, want at most 130", g.perKey)
	}
	s := g.m.Snapshot()
	defer s.Release()
	size := 0
	const sample = 5000
	for j := range sample {
		size += len(s.Prove(keyOf(j))) + len(s.Prove(keyOf(1<<40+j)))
	}
	if avg := size / (2 * sample); avg > 720 {
		t.Errorf("a proof of %d bytes on average, want at most 720", avg)
	}
	t.Logf("%.1f bytes a key, %d bytes a proof", g.perKey, size/(2*sample))
}
