package prefixmap

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"akashi/registry"
)

// BenchmarkGrowth shows how the map grows with its keys: bytes of a proof that a key is absent, an epoch of 500 inserts with the snapshot
// of the one before still held, bytes of memory a key, and a start from the map's file. One run of each size is all of it:
//
//	go test ./registry/prefixmap -run '^$' -bench Growth -benchtime 1x -timeout 30m
func BenchmarkGrowth(b *testing.B) {
	for _, keys := range []int{10_000, 100_000, million, 10 * million} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			for b.Loop() {
				measureGrowth(b, keys)
			}
			b.ReportMetric(0, "ns/op") // the time to fill a map tells nothing
		})
	}
}

func measureGrowth(b *testing.B, keys int) {
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	m := New()
	insert := func(n int) {
		for first := m.Len(); n > 0; n-- {
			m.Insert(keyOf(first), uint64(first), registry.Value{1})
			first++
		}
	}
	insert(keys)
	last := m.Snapshot()
	b.ReportMetric(float64(heap()-before)/float64(keys), "B/key")

	const sample = 2000
	size := 0
	for i := range sample {
		size += len(last.Prove(keyOf(1<<40 + i)))
	}
	b.ReportMetric(float64(size)/sample, "B/proof")

	path := filepath.Join(b.TempDir(), "map")
	if err := last.Save(path, uint64(keys)); err != nil {
		b.Fatal(err)
	}
	var epochs []time.Duration
	for range 21 {
		start := time.Now()
		insert(500)
		s := m.Snapshot()
		last.Release()
		last = s
		epochs = append(epochs, time.Since(start))
	}
	last.Release()
	slices.Sort(epochs)
	b.ReportMetric(float64(epochs[len(epochs)/2].Microseconds())/1000, "ms/epoch")

	start := time.Now()
	loaded, _, err := Load(path)
	if err != nil || loaded.Len() != keys {
		b.Fatalf("%d keys loaded: %v", loaded.Len(), err)
	}
	b.ReportMetric(time.Since(start).Seconds(), "s/start")
}
