package logserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"akashi/registry"
)

// cosigner asks one witness or auditor for its cosignatures (C2SP tlog-witness, add-checkpoint).
type cosigner struct {
	name string
	url  string
	http *http.Client

	busy chan struct{} // holds one token while a request is under way

	mu       sync.Mutex
	known    uint64    // the size it signed last, as far as we know
	signedAt time.Time // when, by the machine's clock; at first the start
	down     bool      // it did not answer the last time
}

func newCosigners(endpoints []Endpoint, client *http.Client) []*cosigner {
	var cs []*cosigner
	for _, e := range endpoints {
		cs = append(cs, &cosigner{name: e.Name, url: e.URL, http: client, signedAt: time.Now(), busy: make(chan struct{}, 1)})
	}
	return cs
}

var (
	errBusy  = errors.New("an earlier request is still under way")
	errAhead = errors.New("it has signed a larger tree: a later checkpoint overtook this one, or the log has lost entries")
)

// tries bounds how often a cosigner is asked that names another size each time.
const tries = 3

// ask brings a checkpoint of that size and returns the signature lines. One request is under way at a time: the next one waits if the
// cosigner is well, and gives errBusy if it is not.
func (c *cosigner) ask(ctx context.Context, signed []byte, p *prover) ([]byte, error) {
	if c.isDown() {
		select {
		case c.busy <- struct{}{}:
		default:
			return nil, errBusy
		}
	} else {
		select {
		case c.busy <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-c.busy }()
	lines, err := c.request(ctx, signed, p)
	c.mu.Lock()
	c.down = err != nil && !errors.Is(err, errAhead)
	if err == nil {
		c.known, c.signedAt = p.size, time.Now()
	}
	c.mu.Unlock()
	return lines, err
}

func (c *cosigner) request(ctx context.Context, signed []byte, p *prover) ([]byte, error) {
	c.mu.Lock()
	old := c.known
	c.mu.Unlock()
	for range tries {
		req := registry.AddCheckpoint{OldSize: old, Note: signed}
		if old > 0 && old < p.size {
			var err error
			if req.Proof, err = p.consistency(ctx, old); err != nil {
				return nil, err
			}
		}
		var stale *registry.StaleSizeError
		lines, err := registry.RequestCosignature(ctx, c.http, c.url, req)
		if !errors.As(err, &stale) {
			return lines, err
		}
		if stale.Size > p.size {
			return nil, fmt.Errorf("%w: it is at size %d, this is %d", errAhead, stale.Size, p.size)
		}
		old = stale.Size
	}
	return nil, errors.New("names another size each time")
}

func (c *cosigner) isDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}
