package web

import (
	"container/list"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RateLimit says how much one client may ask. Zero values take the defaults.
type RateLimit struct {
	PerSecond  float64 // 50; below zero: no limit
	Burst      int     // 500
	MaxClients int     // how many are remembered at once: 65,536. The one not seen for longest is forgotten first.
	Now        func() time.Time
}

// RateLimiter limits the requests of each client by a token bucket. Its memory is bounded: about 200 octets a client.
type RateLimiter struct {
	limit RateLimit

	mu      sync.Mutex // guards what follows
	buckets map[string]*list.Element
	recent  *list.List // of *bucket, the latest in front
}

type bucket struct {
	client string
	tokens float64
	at     time.Time
}

// NewRateLimiter makes a limiter.
func NewRateLimiter(limit RateLimit) *RateLimiter {
	if limit.PerSecond == 0 {
		limit.PerSecond = 50
	}
	if limit.Burst <= 0 {
		limit.Burst = 500
	}
	if limit.MaxClients <= 0 {
		limit.MaxClients = 1 << 16
	}
	if limit.Now == nil {
		limit.Now = time.Now
	}
	return &RateLimiter{limit: limit, buckets: make(map[string]*list.Element), recent: list.New()}
}

// Allow takes one request of a client into account. When it is one too many it also tells after how long to come back.
func (l *RateLimiter) Allow(client string) (ok bool, retryAfter time.Duration) {
	if l.limit.PerSecond < 0 {
		return true, 0
	}
	now := l.limit.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketOf(client, now)
	if elapsed := now.Sub(b.at); elapsed > 0 {
		b.tokens = min(float64(l.limit.Burst), b.tokens+elapsed.Seconds()*l.limit.PerSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return false, time.Duration((1 - b.tokens) / l.limit.PerSecond * float64(time.Second))
	}
	b.tokens--
	return true, 0
}

func (l *RateLimiter) bucketOf(client string, now time.Time) *bucket {
	if e, ok := l.buckets[client]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if l.recent.Len() >= l.limit.MaxClients {
		oldest := l.recent.Back()
		delete(l.buckets, l.recent.Remove(oldest).(*bucket).client)
	}
	b := &bucket{strings.Clone(client), float64(l.limit.Burst), now}
	l.buckets[b.client] = l.recent.PushFront(b)
	return b
}

// Limit answers 429 with Retry-After to clients that ask too much. clientOf names the client of a request, see [ClientAddress].
func (l *RateLimiter) Limit(next http.Handler, clientOf func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok, after := l.Allow(clientOf(r))
		if !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
			WriteProblem(w, Problem{Status: http.StatusTooManyRequests, Title: "too many requests, come back after the time in Retry-After"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ClientAddress names the client of a request by its address; of IPv6 only the first 64 bits, since a client has all the rest to choose from. Behind
// proxies of ours, whose addresses are in trusted, it is the last address in X-Forwarded-For that is not one of them.
func ClientAddress(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, err := addr.Prefix(64)
		if err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
