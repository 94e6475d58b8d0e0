package bucketmap

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"akashi/internal/store"
	"akashi/registry"
)

const million = 1_000_000

var ctx = context.Background()

func keyOf(n int) registry.Key {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// bigMap is a map of a million keys on disk, made once for all benchmarks.
type bigMap struct {
	store  store.Store
	m      *Map
	next   int
	perKey float64 // bytes of memory
}

var (
	bigDir string // removed by TestMain
	big    = sync.OnceValue(makeBig)
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if bigDir != "" {
		_ = os.RemoveAll(bigDir)
	}
	os.Exit(code)
}

func makeBig() *bigMap {
	var err error
	if bigDir, err = os.MkdirTemp("", "bucketmap"); err != nil {
		panic(err)
	}
	b := &bigMap{}
	if b.store, err = store.OpenBadger(bigDir, nil, nil); err != nil {
		panic(err)
	}
	if b.m, err = Open(ctx, b.store, Options{}); err != nil {
		panic(err)
	}
	for b.next < million {
		b.insert(20_000)
	}
	b.reopen()
	return b
}

// insert commits an epoch of n keys.
func (b *bigMap) insert(n int) {
	for range n {
		if _, err := b.m.Insert(ctx, keyOf(b.next), uint64(b.next), registry.Value{1}); err != nil {
			panic(err)
		}
		b.next++
	}
	if _, err := b.m.Commit(ctx, uint64(b.next)); err != nil {
		panic(err)
	}
}

// reopen closes the store and opens everything again. It returns how long the map took.
func (b *bigMap) reopen() (store_, map_ time.Duration) {
	err := b.store.Close()
	if err != nil {
		panic(err)
	}
	b.m = nil
	start := time.Now()
	if b.store, err = store.OpenBadger(bigDir, nil, nil); err != nil {
		panic(err)
	}
	opened := time.Now()
	if b.m, err = Open(ctx, b.store, Options{}); err != nil {
		panic(err)
	}
	store_, map_ = opened.Sub(start), time.Since(opened)
	runtime.GC()
	var with, without runtime.MemStats
	runtime.ReadMemStats(&with)
	kept := b.m.current.top
	b.m.current.top = nil
	runtime.KeepAlive(kept)
	kept = nil
	runtime.GC()
	runtime.ReadMemStats(&without)
	b.perKey = float64(with.HeapAlloc-without.HeapAlloc) / float64(b.next)
	if b.m, err = Open(ctx, b.store, Options{}); err != nil {
		panic(err)
	}
	return store_, map_
}

func BenchmarkOpen(b *testing.B) {
	g := big()
	var stores, maps time.Duration
	for b.Loop() {
		s, m := g.reopen()
		stores, maps = stores+s, maps+m
	}
	b.ReportMetric(stores.Seconds()*1000/float64(b.N), "ms/store")
	b.ReportMetric(maps.Seconds()*1000/float64(b.N), "ms/map")
	b.ReportMetric(g.perKey, "B/key")
	b.ReportMetric(float64(folderSize(bigDir))/float64(g.next), "disk-B/key")
}

// folderSize returns what the tables of Badger take; its logs are files of a fixed size, most of it a hole.
func folderSize(dir string) (n int64) {
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	for _, name := range tables {
		if info, err := os.Stat(name); err == nil {
			n += info.Size()
		}
	}
	return n
}

func BenchmarkEpoch(b *testing.B) {
	g := big()
	for b.Loop() {
		g.insert(500)
	}
}

func BenchmarkEpoch5000(b *testing.B) {
	g := big()
	for b.Loop() {
		g.insert(5000)
	}
}

func BenchmarkProve(b *testing.B) {
	s := big().m.Snapshot()
	for _, c := range []struct {
		name  string
		first int
	}{{"member", 0}, {"absent", 1 << 40}} {
		b.Run(c.name, func(b *testing.B) {
			n, size := 0, 0
			for b.Loop() {
				proof, err := s.Prove(ctx, keyOf(c.first+n))
				if err != nil {
					b.Fatal(err)
				}
				size += len(proof)
				n = (n + 7919) % million
			}
			b.ReportMetric(float64(size)/float64(b.N), "B/proof")
		})
	}
}

// BenchmarkAt goes back over the last 5,000 keys.
func BenchmarkAt(b *testing.B) {
	g := big()
	for b.Loop() {
		if _, err := g.m.At(ctx, g.m.Covered()-5000); err != nil {
			b.Fatal(err)
		}
	}
}
