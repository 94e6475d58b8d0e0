package logserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"akashi/internal/store"
	"akashi/registry"
)

// gate decides whether a submission that is in order may come in now: it remembers which were seen, and counts what each writer sends.
// Nothing is taken note of for a submission that is turned away.
type gate struct {
	limits Limits
	now    func() time.Time
	secret []byte // key of the hash under which engagements are counted

	mu         sync.Mutex
	seen       map[registry.Hash]int64 // H(jti) to exp in unix seconds
	swept      int64                   // when seen was tidied last
	entities   map[string]*bucket
	statements map[registry.Hash]dayCount
}

// bucket holds what an entity may still send now. It fills up in a minute.
type bucket struct {
	level float64
	at    time.Time // on the machine's clock
}

type dayCount struct{ day, n uint64 }

// pass is what a submission asks of the gate and, once let in, what the store must remember of it.
type pass struct {
	entity  string // "" for a worker's statement
	records int
	jti     registry.Hash
	expires time.Time
	counter registry.Hash // keyed hash of the engagement, for a worker's statement
	count   dayCount      // set by admit
}

var (
	// ErrReplay is returned for a submission that was sent before.
	ErrReplay = errors.New("this submission was taken already: sign a new one to send the records again")
	errQuota  = errors.New("quota used up")
)

func loadGate(ctx context.Context, cfg Config) (*gate, error) {
	g := &gate{
		limits: cfg.Limits, now: cfg.Now,
		seen: make(map[registry.Hash]int64), entities: make(map[string]*bucket), statements: make(map[registry.Hash]dayCount),
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err := cfg.Store.Update(ctx, func(tx store.Tx) error {
		var err error
		if g.secret, err = tx.Get([]byte(keySecret)); errors.Is(err, store.ErrNotFound) {
			g.secret = fresh
			err = tx.Set([]byte(keySecret), fresh)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the submissions seen: %w", err)
	}
	err = cfg.Store.View(ctx, func(tx store.Tx) error {
		err := tx.Scan([]byte(keyJTI), func(key, value []byte) error {
			if len(key) == len(keyJTI)+32 && len(value) == 8 {
				g.seen[registry.Hash(key[len(keyJTI):])] = int64(binary.BigEndian.Uint64(value))
			}
			return nil
		})
		return errors.Join(err, tx.Scan([]byte(keyQuota), func(key, value []byte) error {
			if len(key) == len(keyQuota)+32 && len(value) == 16 {
				g.statements[registry.Hash(key[len(keyQuota):])] = dayCount{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])}
			}
			return nil
		}))
	})
	if err != nil {
		return nil, fmt.Errorf("reading the submissions seen: %w", err)
	}
	return g, nil
}

// counterOf returns the name under which statements of an engagement are counted. Without the secret it tells nothing.
func (g *gate) counterOf(engagementID string) registry.Hash {
	mac := hmac.New(sha256.New, g.secret)
	mac.Write([]byte(engagementID))
	return registry.Hash(mac.Sum(nil))
}

// admit lets a submission in, when enqueue has room for it too.
func (g *gate) admit(p *pass, enqueue func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.sweep(now.Unix())
	if p.entity == "" {
		today := uint64(now.Unix() / 86400)
		if p.count = g.statements[p.counter]; p.count.day != today {
			p.count = dayCount{day: today}
		}
		if p.count.n++; p.count.n > uint64(g.limits.StatementsPerDay) {
			return retryError{errQuota, time.Hour}
		}
		if err := enqueue(); err != nil {
			return err
		}
		g.statements[p.counter] = p.count
		return nil
	}
	if _, ok := g.seen[p.jti]; ok {
		return ErrReplay
	}
	b, wait := g.bucket(p.entity, p.records)
	if wait > 0 {
		return retryError{errQuota, wait}
	}
	if err := enqueue(); err != nil {
		return err
	}
	b.level -= float64(p.records)
	g.seen[p.jti] = p.expires.Unix()
	return nil
}

// forget lets a submission that got no receipt come again as it is. That its records may be in the log does no harm: they are found there.
func (g *gate) forget(p *pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen, p.jti)
}

// bucket returns an entity's bucket and how long it takes until n records fit. g.mu is held.
func (g *gate) bucket(entity string, n int) (*bucket, time.Duration) {
	full := float64(g.limits.EntityPerMinute)
	b, now := g.entities[entity], time.Now()
	if b == nil {
		b = &bucket{level: full, at: now}
		g.entities[entity] = b
	}
	b.level = min(full, b.level+full*now.Sub(b.at).Minutes())
	b.at = now
	if missing := float64(n) - b.level; missing > 0 {
		return b, time.Duration(missing / full * float64(time.Minute))
	}
	return b, 0
}

// sweep forgets submissions that have expired: they are refused for that. g.mu is held.
func (g *gate) sweep(now int64) {
	if now-g.swept < 60 && now >= g.swept {
		return
	}
	g.swept = now
	for jti, exp := range g.seen {
		if exp < now {
			delete(g.seen, jti)
		}
	}
	for counter, c := range g.statements {
		if c.day < uint64(now/86400) {
			delete(g.statements, counter)
		}
	}
}

// save writes what must be remembered across a restart. Expiry in the store is by the machine's clock, which a story's clock may be
// far from, so it is only for tidying up.
func (p *pass) save(tx store.Tx) error {
	if p.entity == "" {
		value := binary.BigEndian.AppendUint64(nil, p.count.day)
		return tx.SetUntil(keyed(keyQuota, p.counter), binary.BigEndian.AppendUint64(value, p.count.n), time.Now().Add(48*time.Hour))
	}
	value := binary.BigEndian.AppendUint64(nil, uint64(p.expires.Unix()))
	return tx.SetUntil(keyed(keyJTI, p.jti), value, time.Now().Add(2*registry.MaxSubmissionAge))
}

// retryError is a refusal that passes with time.
type retryError struct {
	error
	after time.Duration
}

func (e retryError) Unwrap() error { return e.error }
