package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

var quiet = slog.New(slog.DiscardHandler)

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/x?code=query", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func TestReadForm(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	got, err := ReadForm(post(form+"; charset=UTF-8", "a=1&b=%20x&resource=1&resource=2"), "resource")
	if err != nil || got.Get("b") != " x" || len(got["resource"]) != 2 || got.Has("code") {
		t.Errorf("got %v, %v", got, err)
	}
	rows := []struct {
		name string
		r    *http.Request
		want error
	}{
		{"no type", post("", "a=1"), ErrMediaType},
		{"JSON", post("application/json", "{}"), ErrMediaType},
		{"multipart", post("multipart/form-data; boundary=x", ""), ErrMediaType},
		{"charset", post(form+"; charset=utf-16", "a=1"), ErrMediaType},
		{"nonsense", post(";;;", "a=1"), ErrMediaType},
		{"twice", post(form, "a=1&a=1"), ErrTwice},
		{"escape", post(form, "a=%zz"), ErrBody},
		{"semicolon", post(form, "a=1;b=2"), ErrBody},
		{"large", post(form, "a="+strings.Repeat("x", MaxBody)), ErrTooLarge},
	}
	two := post(form, "a=1")
	two.Header.Add("Content-Type", "application/json")
	packed := post(form, "a=1")
	packed.Header.Set("Content-Encoding", "gzip")
	limited := post(form, "a=12345")
	limited.Body = http.MaxBytesReader(httptest.NewRecorder(), limited.Body, 3)
	broken := post(form, "")
	broken.Body = io.NopCloser(iotestReader{})
	rows = append(rows, []struct {
		name string
		r    *http.Request
		want error
	}{{"two types", two, ErrMediaType}, {"compressed", packed, ErrMediaType}, {"limited", limited, ErrTooLarge}, {"broken off", broken, ErrBody}}...)
	for _, row := range rows {
		if _, err := ReadForm(row.r); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

type iotestReader struct{}

func (iotestReader) Read([]byte) (int, error) { return 0, errors.New("connection lost") }

func TestReadJSON(t *testing.T) {
	var v struct {
		A int `json:"a"`
	}
	if err := ReadJSON(post("application/json", `{"a":1,"b":2}`), &v); err != nil || v.A != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
	for body, want := range map[string]error{`{"a":1,"a":2}`: ErrBody, `{"A":1}`: ErrBody, `{`: ErrBody, ``: ErrBody, `{} {}`: ErrBody} {
		if err := ReadJSON(post("application/json", body), &v); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
	if err := ReadJSON(post("text/plain", "{}"), &v); !errors.Is(err, ErrMediaType) {
		t.Errorf("text: got %v", err)
	}
	if m, body, err := ReadBody(post("Application/JWT", "a.b"), "application/json", "application/jwt"); err != nil || m != "application/jwt" || string(body) != "a.b" {
		t.Errorf("got %s, %s, %v", m, body, err)
	}
}

func FuzzReadForm(f *testing.F) {
	f.Add("a=1&b=2")
	f.Add("a=%zz;")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := ReadForm(post("application/x-www-form-urlencoded", body))
		if err != nil {
			return
		}
		again, err := url.ParseQuery(form.Encode())
		if err != nil || len(again) != len(form) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

type refusal struct {
	status            int
	code, description string
}

func (r refusal) Error() string                     { return r.description }
func (r refusal) OAuthError() (int, string, string) { return r.status, r.code, r.description }

func TestWriteOAuthError(t *testing.T) {
	rows := []struct {
		name   string
		err    error
		status int
		body   string
	}{
		{"known", fmt.Errorf("inside: %w", refusal{401, "invalid_client", "no"}), 401, `{"error":"invalid_client","error_description":"no"}`},
		{"malformed", fmt.Errorf("%w: secret", ErrBody), 400, `{"error":"invalid_request","error_description":"the request body is malformed"}`},
		{"type", ErrMediaType, 400, `{"error":"invalid_request","error_description":"the request has another Content-Type than this endpoint takes"}`},
		{"large", ErrTooLarge, 413, `{"error":"invalid_request","error_description":"the request is too large"}`},
		{"internal", errors.New("secret"), 500, `{"error":"server_error"}`},
	}
	for _, row := range rows {
		w := httptest.NewRecorder()
		WriteOAuthError(w, post("", ""), row.err, "invalid_request", quiet)
		if w.Code != row.status || w.Body.String() != row.body || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d %s %v", row.name, w.Code, w.Body, w.Header())
		}
	}
}

// The name of an offer or a session is a secret between two parties: what a path holds is not logged.
func TestPathIsNotLogged(t *testing.T) {
	for _, cause := range []error{errors.New("cause"), refusal{400, "invalid_request", "no"}} {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		router := mux.NewRouter()
		router.HandleFunc("/offer/{name}", func(w http.ResponseWriter, r *http.Request) { WriteOAuthError(w, r, cause, "invalid_request", log) })
		router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/offer/secret", nil))
		if got := text.String(); !strings.Contains(got, "route=/offer/{name}") || strings.Contains(got, "secret") {
			t.Errorf("%v: logged %s", cause, got)
		}
	}
}

func TestWriteResourceError(t *testing.T) {
	challenge := Challenge{Schemes: []string{"DPoP", "Bearer"}, DPoPAlgs: []string{"ES256", "EdDSA"}}
	bare := challenge
	bare.Bare = true
	rows := []struct {
		name      string
		err       error
		challenge Challenge
		status    int
		fields    []string
	}{
		{"token", refusal{401, "invalid_token", "expired"}, challenge, 401, []string{`DPoP error="invalid_token", error_description="expired", algs="ES256 EdDSA"`, `Bearer error="invalid_token", error_description="expired"`}},
		{"nonce", refusal{400, "use_dpop_nonce", ""}, challenge, 401, []string{`DPoP error="use_dpop_nonce", algs="ES256 EdDSA"`, `Bearer error="use_dpop_nonce"`}},
		{"proof", refusal{400, "invalid_dpop_proof", ""}, challenge, 401, []string{`DPoP error="invalid_dpop_proof", algs="ES256 EdDSA"`, `Bearer error="invalid_dpop_proof"`}},
		{"no token", refusal{401, "invalid_token", "none"}, bare, 401, []string{`DPoP algs="ES256 EdDSA"`, "Bearer"}},
		{"scope", refusal{403, "insufficient_scope", ""}, Challenge{Schemes: []string{"Bearer"}}, 403, []string{`Bearer error="insufficient_scope"`}},
		{"request", refusal{400, "invalid_proof", ""}, challenge, 400, nil},
	}
	for _, row := range rows {
		w := httptest.NewRecorder()
		WriteResourceError(w, post("", ""), row.err, "invalid_credential_request", row.challenge, quiet)
		if got := w.Header().Values("WWW-Authenticate"); w.Code != row.status || strings.Join(got, "|") != strings.Join(row.fields, "|") {
			t.Errorf("%s: got %d %q", row.name, w.Code, got)
		}
	}
}

func TestProblems(t *testing.T) {
	w := httptest.NewRecorder()
	ProblemHandler(404, "no such resource").ServeHTTP(w, post("", ""))
	if w.Code != 404 || w.Body.String() != `{"title":"no such resource","status":404}` || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	WriteJSON(w, 200, func() {})
	if w.Code != 500 || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
		t.Errorf("what does not marshal: got %d", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	done := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	h := SecureHeaders(CORS(done))
	other := SecureHeaders(CORS(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // what one answer does with its fields is no other's
		for name := range w.Header() {
			w.Header().Add(name, "more")
			w.Header().Set(name, "other")
		}
	})))
	other.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://a.example/", nil))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://a.example/", nil))
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": "*", "Strict-Transport-Security": "max-age=31536000"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q", name, got)
		}
	}
	preflight := httptest.NewRequest(http.MethodOptions, "/", nil)
	preflight.Header.Set("Access-Control-Request-Method", "POST")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, preflight)
	if w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "DPoP") || w.Header().Get("Strict-Transport-Security") != "" {
		t.Errorf("preflight: got %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	LimitBody(3, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := ReadForm(r); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})).ServeHTTP(w, post("application/x-www-form-urlencoded", "a=123"))
}

func TestRateLimiter(t *testing.T) {
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	l := NewRateLimiter(RateLimit{PerSecond: 2, Burst: 3, MaxClients: 2, Now: func() time.Time { return now }})
	allowed := func(client string, n int) (count int) {
		for range n {
			if ok, after := l.Allow(client); ok {
				count++
			} else if after <= 0 || after > 500*time.Millisecond {
				t.Errorf("come back after %v", after)
			}
		}
		return count
	}
	if got := allowed("a", 10); got != 3 {
		t.Errorf("the burst: got %d", got)
	}
	if got := allowed("b", 10); got != 3 {
		t.Errorf("another client: got %d", got)
	}
	now = now.Add(time.Second)
	if got := allowed("a", 10); got != 2 {
		t.Errorf("after a second: got %d", got)
	}
	now = now.Add(-time.Hour)
	if got := allowed("a", 10); got != 0 {
		t.Errorf("with the clock set back: got %d", got)
	}
	allowed("c", 1) // b is forgotten
	if len(l.buckets) != 2 || l.recent.Len() != 2 || l.buckets["b"] != nil {
		t.Errorf("%d clients are remembered", len(l.buckets))
	}
	off := NewRateLimiter(RateLimit{PerSecond: -1})
	for range 10000 {
		if ok, _ := off.Allow("a"); !ok {
			t.Fatal("no limit was asked for")
		}
	}
	if d := NewRateLimiter(RateLimit{}); d.limit.PerSecond != 50 || d.limit.Burst != 500 {
		t.Errorf("defaults: %+v", d.limit)
	}
}

func TestLimit(t *testing.T) {
	now := time.Now()
	l := NewRateLimiter(RateLimit{PerSecond: 0.25, Burst: 1, Now: func() time.Time { return now }})
	h := l.Limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), func(*http.Request) string { return "a" })
	for i, want := range []int{204, 429} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("", ""))
		if w.Code != want || i == 1 && w.Header().Get("Retry-After") != "4" {
			t.Errorf("request %d: got %d %v", i, w.Code, w.Header())
		}
	}
}

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	rows := []struct{ remote, forwarded, want string }{
		{"198.51.100.7:1234", "", "198.51.100.7"},
		{"198.51.100.7:1234", "203.0.113.1", "198.51.100.7"}, // anybody can write this field
		{"10.0.0.1:1234", "203.0.113.1", "203.0.113.1"},
		{"10.0.0.1:1234", "9.9.9.9, 203.0.113.1, 10.0.0.2", "203.0.113.1"},
		{"10.0.0.1:1234", "nonsense", "10.0.0.1"},
		{"10.0.0.1:1234", "", "10.0.0.1"},
		{"[::ffff:198.51.100.7]:1234", "", "198.51.100.7"},
		{"[2001:db8:1:2:3:4:5:6]:1234", "", "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::9%eth0]:1234", "", "2001:db8:1:2::/64"},
		{"@", "", "@"},
	}
	for _, row := range rows {
		r := post("", "")
		r.RemoteAddr = row.remote
		if row.forwarded != "" {
			r.Header.Set("X-Forwarded-For", row.forwarded)
		}
		if got := ClientAddress(r, trusted); got != row.want {
			t.Errorf("%+v: got %s", row, got)
		}
	}
}
