package main

import (
	"log/slog"
	"testing"
	"time"

	"akashi/internal/store"
	"akashi/issuer/issuertest"
)

// A server that fails ends serve while its own context goes on: what runs beside it must not be waited for in vain.
func TestFlushingStops(t *testing.T) {
	in := &instance{issuer: issuertest.New(t, store.NewMemory()).Issuer, opt: instanceOptions{log: slog.New(slog.DiscardHandler)}}
	stop := in.flushing(t.Context())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	select {
	case <-stopped:
	case <-time.After(patience):
		t.Error("the flusher goes on after it was stopped")
	}
}
