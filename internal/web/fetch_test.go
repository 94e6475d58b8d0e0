package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long tests wait for what takes a moment on a machine with nothing else to do.
const patience = 2 * time.Minute

func TestIsPublic(t *testing.T) {
	for _, text := range []string{"8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "172.32.0.1", "100.128.0.1"} {
		if !IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is public", text)
		}
	}
	for _, text := range []string{"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
		"255.255.255.255", "198.18.0.1", "192.0.2.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "fec0::1", "ff02::1",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001::1", "2001:db8::1"} {
		if IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is not public", text)
		}
	}
	if IsPublic(netip.Addr{}) {
		t.Error("no address is not public")
	}
}

// A plain fetcher must not meet the machine it runs on, whatever the name or the way there.
func TestFetcherRefusesInternal(t *testing.T) {
	var met atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { met.Add(1) }))
	defer server.Close()
	port := strings.TrimPrefix(server.URL, "https://127.0.0.1")
	f := NewFetcher(FetchOptions{Timeout: patience, RootCAs: poolOf(server)})
	for _, target := range []string{"https://127.0.0.1" + port, "https://localhost" + port, "https://[::1]" + port, "https://0.0.0.0" + port, "https://[::ffff:127.0.0.1]" + port, "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data"} {
		if _, err := f.Get(context.Background(), target); !errors.Is(err, ErrFetchInternal) {
			t.Errorf("%s: got %v, want %v", target, err, ErrFetchInternal)
		}
		if _, err := f.Do(context.Background(), Request{Method: http.MethodPost, URL: target}); !errors.Is(err, ErrFetchInternal) {
			t.Errorf("POST %s: got %v, want %v", target, err, ErrFetchInternal)
		}
	}
	if met.Load() != 0 {
		t.Error("the server was met")
	}
}

// Loopback allowed, everything else internal stays refused.
func TestFetcherAllowsLoopbackOnly(t *testing.T) {
	f := NewFetcher(FetchOptions{DangerouslyAllowLoopback: true})
	for _, address := range []string{"127.0.0.1:443", "[::1]:443"} {
		if err := f.control(context.Background(), "tcp", address, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"10.0.0.1:443", "[fd00::1]:443", "169.254.169.254:80", "nonsense"} {
		if err := f.control(context.Background(), "tcp", address, nil); !errors.Is(err, ErrFetchInternal) {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestFetcherURLs(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		f := NewFetcher(FetchOptions{DangerouslyAllowLoopback: allowed})
		for _, target := range []string{"", "x", "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://", "https://user@example.com/", "https://example.com/#f", "https:opaque", "gopher://127.0.0.1/", "https://example.com/" + strings.Repeat("x", 9000)} {
			if _, err := f.Get(context.Background(), target); !errors.Is(err, ErrFetchURL) {
				t.Errorf("%.40s: got %v, want %v", target, err, ErrFetchURL)
			}
		}
		if err := f.checkURL("http://127.0.0.1:8080/"); (err == nil) != allowed {
			t.Errorf("http on loopback, allowed %v: got %v", allowed, err)
		}
	}
}

func poolOf(s *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// site is a server with one handler a path.
func site(t *testing.T, now func() time.Time) (*http.ServeMux, *Fetcher, string) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	f := NewFetcher(FetchOptions{DangerouslyAllowLoopback: true, RootCAs: poolOf(server), MaxBytes: 1000, CacheBytes: 20 << 10, Now: now, Timeout: patience})
	return mux, f, server.URL
}

func TestFetcherRedirects(t *testing.T) {
	mux, f, base := site(t, nil)
	for i := range 9 {
		mux.HandleFunc(fmt.Sprintf("/%d", i), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, fmt.Sprintf("/%d", i-1), http.StatusFound)
		})
	}
	mux.HandleFunc("/-1", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) })
	to := func(target string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusFound)
		}
	}
	mux.HandleFunc("/http", to("http://example.com/"))
	mux.HandleFunc("/internal", to("https://10.0.0.1/"))
	mux.HandleFunc("/file", to("file:///etc/passwd"))
	mux.HandleFunc("/user", to("https://a:b@example.com/"))
	r, err := f.Get(context.Background(), base+"/2")
	if err != nil || string(r.Body) != "here" || r.URL != base+"/-1" {
		t.Errorf("three redirects: got %+v, %v", r, err)
	}
	for path, want := range map[string]error{"/3": ErrFetchRedirect, "/http": ErrFetchURL, "/internal": ErrFetchInternal, "/file": ErrFetchURL, "/user": ErrFetchURL} {
		if _, err := f.Get(context.Background(), base+path); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	if r, err := f.Do(context.Background(), Request{Method: http.MethodPost, URL: base + "/2"}); err != nil || r.Status != http.StatusFound {
		t.Errorf("a request is not redirected: got %+v, %v", r, err)
	}
}

func TestFetcherLimits(t *testing.T) {
	mux, f, base := site(t, nil)
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) })
	mux.HandleFunc("/fits", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "Application/JSON; charset=utf-8")
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, r.Method, r.Header.Get("Accept"), r.Header.Get("DPoP"))
	})
	if _, err := f.Get(context.Background(), base+"/large"); !errors.Is(err, ErrFetchSize) {
		t.Errorf("large: got %v", err)
	}
	if r, err := f.Get(context.Background(), base+"/fits"); err != nil || len(r.Body) != 1000 {
		t.Errorf("fits: got %v", err)
	}
	hasty := NewFetcher(FetchOptions{DangerouslyAllowLoopback: true, RootCAs: f.options.RootCAs, Timeout: time.Second})
	if _, err := hasty.Get(context.Background(), base+"/slow?secret=1"); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
		t.Errorf("slow: got %v", err)
	}
	r, err := f.Get(context.Background(), base+"/echo", "application/jwt", "application/json")
	if err != nil || string(r.Body) != "GETapplication/jwt, application/json" || r.MediaType != "application/json" || r.Status != http.StatusTeapot {
		t.Errorf("echo: got %+v, %v", r, err)
	}
	r, err = f.Do(context.Background(), Request{Method: http.MethodPost, URL: base + "/echo", Header: http.Header{"DPoP": {"proof"}}})
	if err != nil || string(r.Body) != "POSTproof" {
		t.Errorf("echo: got %+v, %v", r, err)
	}
	strangers := NewFetcher(FetchOptions{DangerouslyAllowLoopback: true, Timeout: patience})
	var unknown *tls.CertificateVerificationError
	if _, err := strangers.Get(context.Background(), base+"/fits"); !errors.As(err, &unknown) {
		t.Errorf("unknown CA: got %v", err)
	}
}

func TestFetcherCache(t *testing.T) {
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	mux, f, base := site(t, func() time.Time { return now })
	var met atomic.Int64
	serve := func(path string, status int, header ...string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Add(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, met.Add(1))
		})
	}
	serve("/hour", 200, "Cache-Control", "public, max-age=3600")
	serve("/expires", 200, "Expires", now.Add(time.Hour).Format(http.TimeFormat))
	serve("/aged", 200, "Cache-Control", "max-age=3600", "Age", "3000")
	serve("/long", 200, "Cache-Control", "max-age=99999999")
	serve("/none", 200)
	serve("/no-store", 200, "Cache-Control", "max-age=3600, no-store")
	serve("/vary", 200, "Cache-Control", "max-age=3600", "Vary", "*")
	serve("/error", 404, "Cache-Control", "max-age=3600")
	serve("/nonsense", 200, "Cache-Control", "max-age=soon")
	kept := func(path string, after time.Duration) bool {
		t.Helper()
		before := now
		first, err := f.Get(context.Background(), base+path)
		if err != nil {
			t.Fatal(err)
		}
		first.Body[0] = 'x' // the caller's copy
		now = now.Add(after)
		second, err := f.Get(context.Background(), base+path)
		if err != nil {
			t.Fatal(err)
		}
		hit := second.Fetched.Equal(before)
		if hit && second.Body[0] == 'x' {
			t.Errorf("%s: the cache was changed from outside", path)
		}
		now = now.Add(1000 * time.Hour) // forget
		return hit
	}
	rows := []struct {
		path  string
		after time.Duration
		want  bool
	}{
		{"/hour", time.Minute, true}, {"/hour", 59 * time.Minute, true}, {"/hour", time.Hour, false},
		{"/aged", 9 * time.Minute, true}, {"/aged", 11 * time.Minute, false},
		{"/long", 23 * time.Hour, true}, {"/long", 24 * time.Hour, false},
		{"/none", time.Second, false}, {"/no-store", time.Second, false}, {"/vary", time.Second, false}, {"/error", time.Second, false}, {"/nonsense", time.Second, false},
	}
	if !kept("/expires", time.Minute) {
		t.Error("/expires was fetched anew")
	}
	for _, row := range rows {
		if got := kept(row.path, row.after); got != row.want {
			t.Errorf("%s after %v: kept %v, want %v", row.path, row.after, got, row.want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(20 << 10)
	until := time.Now().Add(time.Hour)
	for i := range 1000 {
		c.put(fmt.Sprint(i), &Response{Body: make([]byte, 100)}, until)
		c.put(fmt.Sprint(i), &Response{Body: make([]byte, 200)}, until)
	}
	c.put("large", &Response{Body: make([]byte, 30<<10)}, until)
	if c.size > c.max || len(c.entries) != c.recent.Len() || len(c.entries) != 4 {
		t.Errorf("%d octets in %d entries", c.size, len(c.entries))
	}
	if c.get("999", time.Now()) == nil || c.get("1", time.Now()) != nil || c.get("large", time.Now()) != nil {
		t.Error("the latest is kept, the oldest and the too large are not")
	}
	off := newCache(-1)
	off.put("a", &Response{}, until)
	if off.get("a", time.Now()) != nil {
		t.Error("no cache was asked for")
	}
}

// A name may not be resolved to something public for the check and to something internal for the connection: the check is at the connection.
func TestCheckIsAtTheConnection(t *testing.T) {
	f := NewFetcher(FetchOptions{})
	transport := f.client.Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("a proxy would be checked instead of the target")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if _, err := transport.DialContext(context.Background(), "tcp", listener.Addr().String()); !errors.Is(err, ErrFetchInternal) {
		t.Errorf("got %v, want %v", err, ErrFetchInternal)
	}
}
