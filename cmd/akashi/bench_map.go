package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"time"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/bucketmap"
	"akashi/registry/prefixmap"
)

const (
	benchEpoch  = 500    // keys in one epoch
	benchProofs = 2000   // absences that are proven and verified
	bucketsFill = 20_000 // keys in one epoch while the map in buckets is filled
)

// benchMapKey returns the nth of a list of keys.
func benchMapKey(n int) registry.Key {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// benchMap measures the map as the registry keeps it, with the snapshot of the epoch before still held.
func benchMap(ctx context.Context, b *benchRun) error {
	m, perKey := fillMap(b.mapKeys)
	b.add("map.bytes_per_key", perKey)
	b.add("map.epoch500_1e6", millis(b.epochs(m)))

	s := m.Snapshot()
	defer s.Release()
	absent := make([]registry.Key, benchProofs)
	proofs := make([][]byte, benchProofs)
	size := 0
	for i := range absent {
		absent[i] = benchMapKey(1<<40 + i)
		proofs[i] = s.Prove(absent[i])
		size += len(proofs[i])
	}
	b.add("map.absence_bytes_1e6", float64(size)/benchProofs)
	proved, verified := 0, 0
	times, err := b.perOp(ctx, func() error {
		proved = (proved + 1) % benchProofs
		s.Prove(absent[proved])
		return nil
	}, func() error {
		verified = (verified + 1) % benchProofs
		return registry.VerifyAbsent(s.Root(), absent[verified], proofs[verified])
	})
	if err != nil {
		return err
	}
	b.add("map.prove", micros(times[0]))
	b.add("map.verify", micros(times[1]))
	return nil
}

// benchLargeMap measures an epoch of a map that takes more than a gigabyte.
func benchLargeMap(_ context.Context, b *benchRun) error {
	m, _ := fillMap(b.largeKeys)
	b.add("map.epoch500_1e7", millis(b.epochs(m)))
	return nil
}

// benchBuckets measures an epoch of the map in buckets, each of which is durable before the next one begins.
func benchBuckets(ctx context.Context, b *benchRun) (err error) {
	dir, err := os.MkdirTemp("", "akashi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	st, err := store.OpenBadger(dir, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	m, err := bucketmap.Open(ctx, st, bucketmap.Options{})
	if err != nil {
		return err
	}
	for m.Len() < b.mapKeys {
		if err := insertEpoch(ctx, m, min(bucketsFill, b.mapKeys-m.Len())); err != nil {
			return err
		}
	}
	var times []time.Duration
	for range 4 * b.rounds {
		start := time.Now()
		if err := insertEpoch(ctx, m, benchEpoch); err != nil {
			return err
		}
		times = append(times, time.Since(start))
	}
	b.add("map.buckets_epoch500_1e6", millis(median(times)))
	return nil
}

// insertEpoch inserts the next n keys and commits them.
func insertEpoch(ctx context.Context, m *bucketmap.Map, n int) error {
	first := m.Len()
	for i := first; i < first+n; i++ {
		if _, err := m.Insert(ctx, benchMapKey(i), uint64(i), registry.Value{1}); err != nil {
			return err
		}
	}
	_, err := m.Commit(ctx, uint64(first+n))
	return err
}

// fillMap makes a map of n keys and returns how many bytes of memory each takes.
func fillMap(n int) (m *prefixmap.Map, perKey float64) {
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	m = prefixmap.New()
	for i := range n {
		m.Insert(benchMapKey(i), uint64(i), registry.Value{1})
	}
	m.Snapshot().Release()
	perKey = float64(heap()-before) / float64(n)
	return m, perKey
}

// epochs returns the median time of an epoch of 500 inserts, root included.
func (e benchEffort) epochs(m *prefixmap.Map) time.Duration {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	last := m.Snapshot()
	defer func() { last.Release() }()
	var times []time.Duration
	for range 4 * e.rounds {
		first := m.Len()
		keys := make([]registry.Key, benchEpoch)
		for i := range keys {
			keys[i] = benchMapKey(first + i)
		}
		start := time.Now()
		for i, k := range keys {
			m.Insert(k, uint64(first+i), registry.Value{1})
		}
		s := m.Snapshot()
		last.Release()
		last = s
		times = append(times, time.Since(start))
	}
	return median(times)
}
