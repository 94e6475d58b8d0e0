package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/statuslist"
)

// statusHost serves tokens that it makes, and counts what it is asked.
type statusHost struct {
	t     *testing.T
	key   *keys.Private
	now   time.Time
	ttl   time.Duration
	asked map[string]int
	fail  bool
}

const statusBase = "https://status.example/lists"

func newStatusHost(t *testing.T) *statusHost {
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &statusHost{t: t, key: key, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), ttl: time.Hour, asked: map[string]int{}}
}

func (h *statusHost) fetch(_ context.Context, target string, _ ...string) (*Response, error) {
	h.asked[target]++
	if h.fail {
		return nil, errors.New("no route")
	}
	if target == statusBase {
		return &Response{Status: http.StatusOK, MediaType: "application/json", Body: []byte(`{"status_lists":["` + statusBase + `/1","` + statusBase + `/2","https://elsewhere.example/1"]}`), Fetched: h.now}, nil
	}
	l, err := statuslist.New(1, 8)
	if err != nil {
		return nil, err
	}
	token, err := statuslist.SignToken(h.key, l, statuslist.TokenOptions{URI: target, IssuedAt: h.now, TTL: h.ttl})
	return &Response{Status: http.StatusOK, MediaType: statuslist.MediaType, Body: []byte(token), Fetched: h.now}, err
}

func (h *statusHost) lists() *StatusLists {
	return &StatusLists{Fetch: h.fetch, Now: func() time.Time { return h.now }, Allow: func(uri string) bool { return strings.HasPrefix(uri, statusBase) }}
}

func TestStatusLists(t *testing.T) {
	ctx := context.Background()
	h := newStatusHost(t)
	s := h.lists()
	ask := func(uri string) (string, time.Time) {
		t.Helper()
		token, fetched, err := s.StatusList(ctx, uri)
		if err != nil {
			t.Fatal(err)
		}
		return token, fetched
	}
	begun := h.now
	first, _ := ask(statusBase + "/1")
	h.now = h.now.Add(59 * time.Minute)
	if again, fetched := ask(statusBase + "/1"); again != first || !fetched.Equal(begun) || h.asked[statusBase+"/1"] != 1 {
		t.Errorf("asked %v times before the ttl was over", h.asked)
	}
	h.now = h.now.Add(time.Minute)
	if again, fetched := ask(statusBase + "/1"); again == first || !fetched.Equal(h.now) {
		t.Error("a list is kept for longer than its ttl")
	}
	if _, _, err := s.StatusList(ctx, "https://elsewhere.example/1"); !errors.Is(err, ErrStatusList) || h.asked["https://elsewhere.example/1"] != 0 {
		t.Errorf("a list of nobody known: %v, asked %v", err, h.asked)
	}
	h.ttl = 0
	ask(statusBase + "/2")
	h.now = h.now.Add(statusLife)
	ask(statusBase + "/2")
	if h.asked[statusBase+"/2"] != 2 {
		t.Errorf("a list without ttl was asked for %d times", h.asked[statusBase+"/2"])
	}
	h.fail, h.now = true, h.now.Add(48*time.Hour)
	if _, _, err := s.StatusList(ctx, statusBase+"/1"); err == nil {
		t.Error("an old list in place of one that cannot be had")
	}
}

// What is read ahead answers from memory, so that no question follows from a credential.
func TestStatusListsReadAhead(t *testing.T) {
	ctx := context.Background()
	h := newStatusHost(t)
	s := h.lists()
	for range 20 {
		if err := s.Refresh(ctx, statusBase); err != nil {
			t.Fatal(err)
		}
		before := h.asked[statusBase+"/1"]
		for _, uri := range []string{statusBase + "/1", statusBase + "/2"} {
			if _, _, err := s.StatusList(ctx, uri); err != nil {
				t.Fatal(err)
			}
		}
		if h.asked[statusBase+"/1"] != before {
			t.Fatal("a question went out for a list that was read ahead")
		}
		h.now = h.now.Add(time.Minute * 15)
	}
	if got := h.asked[statusBase+"/1"]; got < 5 || got > 12 { // in five hours of a ttl of one
		t.Errorf("the list was read %d times", got)
	}
	if h.asked["https://elsewhere.example/1"] != 0 {
		t.Error("a list of nobody known was read ahead")
	}
	h.fail = true
	if err := s.Refresh(ctx, statusBase); err == nil {
		t.Error("nothing said that the lists cannot be had")
	}
}

func TestStatusListsRefuse(t *testing.T) {
	good := Response{Status: http.StatusOK, MediaType: statuslist.MediaType}
	for name, spoil := range map[string]func(*Response){
		"not found":          func(r *Response) { r.Status = http.StatusNotFound },
		"another media type": func(r *Response) { r.MediaType = "application/jwt" },
		"no token":           func(r *Response) { r.Body = []byte("a.b") },
	} {
		h := newStatusHost(t)
		resp, err := h.fetch(context.Background(), statusBase+"/1")
		if err != nil {
			t.Fatal(err)
		}
		good.Body = resp.Body
		answer := good
		spoil(&answer)
		s := &StatusLists{Now: time.Now, Fetch: func(context.Context, string, ...string) (*Response, error) { return &answer, nil }}
		if _, _, err := s.StatusList(context.Background(), statusBase+"/1"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestWriteCompressed(t *testing.T) {
	body := bytes.Repeat([]byte("akashi "), 100)
	for accept, want := range map[string]bool{
		"": false, "identity": false, "gzip": true, "br, gzip;q=0.8": true, "GZIP": true, "gzip;q=0": false, "*": true, "*;q=0, gzip;q=1.0": true, "gzip;q=0, *": false, "br": false, "gzip;q=x": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if accept != "" {
			r.Header.Set("Accept-Encoding", accept)
		}
		w := httptest.NewRecorder()
		WriteCompressed(w, r, "text/plain", body)
		got := w.Body.Bytes()
		if (w.Header().Get("Content-Encoding") == "gzip") != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: header %v", accept, w.Header())
		}
		if want {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, body) {
			t.Errorf("%q: another body", accept)
		}
	}
}
