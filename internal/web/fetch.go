package web

import (
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Errors of fetching. None quotes the URL's query, which may hold a secret.
var (
	ErrFetchURL      = errors.New("this URL is not followed: it must be https, without user and fragment")
	ErrFetchInternal = errors.New("this URL leads to an internal address")
	ErrFetchRedirect = errors.New("too many redirects")
	ErrFetchSize     = errors.New("the answer is too large")
)

// FetchOptions bound what a [Fetcher] does. Zero values take the defaults.
type FetchOptions struct {
	Timeout      time.Duration  // of one fetch with its redirects: 10 s
	MaxBytes     int64          // of one answer: 1 MiB
	MaxRedirects int            // 3; below zero: none
	CacheBytes   int64          // of all answers kept: 16 MiB; below zero: no cache
	MaxCacheAge  time.Duration  // the longest that an answer is kept, whatever its header says: 24 h
	RootCAs      *x509.CertPool // nil: those of the system
	Now          func() time.Time

	// DangerouslyAllowLoopback lets the client meet loopback addresses, over https or http. It is for instances on one machine and for tests; on
	// a server that others can reach it gives them every service of that machine.
	DangerouslyAllowLoopback bool
}

// Fetcher is the client for URLs that somebody else wrote: status lists, key sets, type metadata, offers, issuers' endpoints. It meets only
// public addresses, which it checks after name resolution, on the very address it connects to, so that a name cannot change its
// answer in between. It uses no proxy, no cookies and no credentials.
type Fetcher struct {
	options FetchOptions
	client  *http.Client
	cache   *cache
}

// NewFetcher makes a client.
func NewFetcher(o FetchOptions) *Fetcher {
	o = o.withDefaults()
	f := &Fetcher{options: o, cache: newCache(o.CacheBytes)}
	dialer := &net.Dialer{Timeout: o.Timeout, ControlContext: f.control}
	f.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would be what is connected to, and checked, instead
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    o.Timeout,
			ResponseHeaderTimeout:  o.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f
}

func (o FetchOptions) withDefaults() FetchOptions {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.MaxRedirects == 0 {
		o.MaxRedirects = 3
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.MaxCacheAge <= 0 {
		o.MaxCacheAge = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// control refuses to connect to an internal address. It sees the address after name resolution.
func (f *Fetcher) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrFetchInternal
	}
	ip := addr.Addr().Unmap()
	if ip.IsLoopback() && f.options.DangerouslyAllowLoopback {
		return nil
	}
	if !IsPublic(ip) {
		return ErrFetchInternal
	}
	return nil
}

// internal are the networks of the IANA special-purpose registries that are no place on the public internet.
var internal = mustPrefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// Prefixes of IPv6 that carry an IPv4 address, with the octet where it begins: NAT64 (RFC 6052) and 6to4 (RFC 3056).
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

func mustPrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		prefixes[i] = netip.MustParsePrefix(t)
	}
	return prefixes
}

// IsPublic tells whether an address is one of the public internet.
func IsPublic(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, e := range embedding {
		if e.prefix.Contains(addr) {
			octets := addr.As16()
			return IsPublic(netip.AddrFrom4([4]byte(octets[e.at : e.at+4])))
		}
	}
	return addr.IsValid() && !contains(internal, addr)
}

// Response is an answer, read whole.
type Response struct {
	Status    int
	MediaType string // of Content-Type, without parameters, in lower case
	Header    http.Header
	Body      []byte
	URL       string    // where the answer came from, after redirects
	Fetched   time.Time // when; earlier than now for one from the cache
}

// Request is a request to an endpoint.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
}

// Do sends a request to an endpoint. Redirects are not followed and nothing is cached: what is sent may be a secret, meant for this address only.
func (f *Fetcher) Do(ctx context.Context, request Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	return f.once(ctx, request)
}

// Get fetches a document, from the cache where its header allowed to keep it. accept are the media types to ask for. An answer of any status is
// returned; redirects are followed, each checked like the first URL.
func (f *Fetcher) Get(ctx context.Context, target string, accept ...string) (*Response, error) {
	if err := f.checkURL(target); err != nil {
		return nil, err
	}
	key := strings.Join(accept, ", ") + " " + target
	if r := f.cache.get(key, f.options.Now()); r != nil {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	header := http.Header{}
	if len(accept) > 0 {
		header.Set("Accept", strings.Join(accept, ", "))
	}
	for hop := 0; ; hop++ {
		r, err := f.once(ctx, Request{Method: http.MethodGet, URL: target, Header: header})
		if err != nil {
			return nil, err
		}
		location := r.Header.Get("Location")
		if !isRedirect(r.Status) || location == "" {
			if until, ok := keepUntil(r, f.options.MaxCacheAge); ok {
				f.cache.put(key, r, until)
			}
			return r, nil
		}
		if hop >= f.options.MaxRedirects {
			return nil, ErrFetchRedirect
		}
		if target, err = resolve(target, location); err != nil {
			return nil, err
		}
	}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func resolve(base, location string) (string, error) {
	from, err := url.Parse(base)
	if err != nil {
		return "", ErrFetchURL
	}
	to, err := from.Parse(location)
	if err != nil {
		return "", ErrFetchURL
	}
	to.Fragment, to.RawFragment = "", ""
	return to.String(), nil
}

// checkURL checks the form of a URL; its address is checked when it is known. Plain http is for loopback addresses only.
func (f *Fetcher) checkURL(target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(target, "#") || len(target) > 8<<10 {
		return ErrFetchURL
	}
	if u.Scheme == "https" || u.Scheme == "http" && f.options.DangerouslyAllowLoopback && isLoopbackHost(u.Hostname()) {
		return nil
	}
	return ErrFetchURL
}

func isLoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// once sends one request and reads the answer whole.
func (f *Fetcher) once(ctx context.Context, request Request) (*Response, error) {
	if err := f.checkURL(request.URL); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, request.Method, request.URL, bytes.NewReader(request.Body))
	if err != nil {
		return nil, ErrFetchURL
	}
	for name, values := range request.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if _, given := r.Header["User-Agent"]; !given { // an empty one is not sent
		r.Header.Set("User-Agent", "akashi")
	}
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, discreet(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, f.options.MaxBytes+1))
	if err != nil {
		return nil, discreet(err)
	}
	if int64(len(body)) > f.options.MaxBytes {
		return nil, ErrFetchSize
	}
	mediaType, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return &Response{Status: answer.StatusCode, MediaType: mediaType, Header: answer.Header, Body: body, URL: request.URL, Fetched: f.options.Now()}, nil
}

// discreet takes the URL out of an error of net/http.
func discreet(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	return fmt.Errorf("fetching: %w", err)
}

// keepUntil tells until when an answer may be used again (RFC 9111): by max-age, or by Expires, and never for longer than maxAge.
func keepUntil(r *Response, maxAge time.Duration) (time.Time, bool) {
	if r.Status != http.StatusOK || r.Header.Get("Vary") == "*" {
		return time.Time{}, false
	}
	age, stated := time.Duration(0), false
	for _, directive := range strings.Split(strings.Join(r.Header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache", "private":
			return time.Time{}, false
		case "max-age":
			seconds, err := time.ParseDuration(strings.Trim(value, `"`) + "s")
			if err != nil {
				return time.Time{}, false
			}
			age, stated = seconds, true
		}
	}
	if expires, err := http.ParseTime(r.Header.Get("Expires")); err == nil && !stated {
		age = expires.Sub(r.Fetched)
	}
	if passed, err := time.ParseDuration(r.Header.Get("Age") + "s"); err == nil && passed > 0 {
		age -= passed
	}
	age = min(age, maxAge)
	return r.Fetched.Add(age), age > 0
}

// cache keeps answers up to a number of octets; the one not used for longest goes first.
type cache struct {
	max int64

	mu      sync.Mutex // guards what follows
	size    int64
	entries map[string]*list.Element
	recent  *list.List // of *cached, the latest in front
}

type cached struct {
	key      string
	response *Response
	until    time.Time
}

func newCache(maxBytes int64) *cache {
	return &cache{max: maxBytes, entries: make(map[string]*list.Element), recent: list.New()}
}

// weight is about what an entry takes in memory.
func (c *cached) weight() int64 { return int64(len(c.response.Body)+len(c.key)) + 4<<10 }

func (c *cache) get(key string, now time.Time) *Response {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return nil
	}
	entry := e.Value.(*cached)
	if !now.Before(entry.until) {
		c.remove(e)
		return nil
	}
	c.recent.MoveToFront(e)
	r := *entry.response
	r.Body, r.Header = bytes.Clone(r.Body), r.Header.Clone()
	return &r
}

func (c *cache) put(key string, r *Response, until time.Time) {
	kept := *r
	kept.Body, kept.Header = bytes.Clone(r.Body), r.Header.Clone()
	entry := &cached{key, &kept, until}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[key]; ok {
		c.remove(old)
	}
	if entry.weight() > c.max {
		return
	}
	c.size += entry.weight()
	c.entries[key] = c.recent.PushFront(entry)
	for c.size > c.max {
		c.remove(c.recent.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	entry := c.recent.Remove(e).(*cached)
	delete(c.entries, entry.key)
	c.size -= entry.weight()
}
