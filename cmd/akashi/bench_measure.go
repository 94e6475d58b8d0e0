package main

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// perOp returns the median time of one call of each function. Every round runs each of them for a while, one after the other, so that
// whatever else the machine does falls on all alike. One thread runs everything, the collector of garbage included.
func (e benchEffort) perOp(ctx context.Context, ops ...func() error) ([]time.Duration, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	runtime.GC()
	times := make([][]time.Duration, len(ops))
	for range e.rounds {
		for i, op := range ops {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			t, err := timeOf(op, e.slice)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], t)
		}
	}
	medians := make([]time.Duration, len(ops))
	for i := range ops {
		medians[i] = median(times[i])
	}
	return medians, nil
}

// timeOf returns the mean time of one call of op, called for about as long as slice and at least twice.
func timeOf(op func() error, slice time.Duration) (time.Duration, error) {
	start := time.Now()
	for n := 1; ; n++ {
		if err := op(); err != nil {
			return 0, err
		}
		if took := time.Since(start); n > 1 && took >= slice {
			return took / time.Duration(n), nil
		}
	}
}

func median[T ~int64 | ~float64](values []T) T {
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// stopBench stops an instance. The client lets go of its connections first, so that no server waits for it.
func stopBench(ctx context.Context, in *instance) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	in.client.CloseIdleConnections()
	return in.stop(ctx)
}
