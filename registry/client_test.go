package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fakeRegistry answers every request with a status, a content type and a body, and records what was asked.
type fakeRegistry struct {
	status      int
	contentType string
	header      http.Header
	body        string

	request  string // method and URI
	sent     string
	sentType string
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	f.request, f.sent, f.sentType = r.Method+" "+r.URL.RequestURI(), string(b), r.Header.Get("Content-Type")
	for k, v := range f.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", f.contentType)
	w.WriteHeader(f.status)
	io.WriteString(w, f.body)
}

func newFake(t *testing.T) (*fakeRegistry, *Client) {
	f := &fakeRegistry{status: http.StatusOK, contentType: "application/json"}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return f, &Client{BaseURL: srv.URL, HTTP: srv.Client(), Origin: testOrigin}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientAsks(t *testing.T) {
	f, c := newFake(t)
	ctx := context.Background()
	k := Key(HashOf([]byte("k")))
	lookup := LookupResponse{
		Head: HeadProof{Entry: Bytes("head"), Index: 5, Inclusion: []Hash{HashOf([]byte("h"))}, Checkpoint: "note\n"},
		Results: []LookupResult{{Key: k, Proof: Bytes{1}, Member: &MemberProof{
			Index: 3, Value: ValueOf([]byte("a"), nil), A: Bytes("a"), HB: HashOf(nil), Inclusion: []Hash{}, FirstAfter: "x", Submission: "s", Path: []Hash{HashOf(nil)}, Count: 2,
		}}},
	}
	for _, call := range []struct {
		name, request string
		answer        any
		do            func() (any, error)
	}{
		{"lookup", "POST /v1/lookup", &lookup, func() (any, error) { return c.Lookup(ctx, []Key{k}) }},
		{"head", "GET /v1/heads/latest", &lookup.Head, func() (any, error) { return c.LatestHead(ctx) }},
		{"head at", "GET /v1/heads/6", &lookup.Head, func() (any, error) { return c.HeadAt(ctx, 6) }},
		{"trust list", "GET /v1/trust-list/latest", &TrustListProof{JWT: "j", Index: 1, Inclusion: []Hash{}, Checkpoint: "n"}, func() (any, error) { return c.TrustList(ctx, 0) }},
		{"trust list 2", "GET /v1/trust-list/2", &TrustListProof{JWT: "j", Index: 1, Inclusion: []Hash{}, Checkpoint: "n"}, func() (any, error) { return c.TrustList(ctx, 2) }},
		{"trust lists", "GET /v1/trust-lists", &TrustListsResponse{Checkpoint: "n", Lists: []TrustListItem{{JWT: "j", Index: 1, Inclusion: []Hash{}}}}, func() (any, error) { return c.TrustLists(ctx) }},
		{"first after", "GET /v1/checkpoints?first_after=7", CheckpointsResponse{"note"}, func() (any, error) {
			s, err := c.FirstAfter(ctx, 7)
			return CheckpointsResponse{s}, err
		}},
		{"last before", "GET /v1/checkpoints?last_before=7", CheckpointsResponse{"note"}, func() (any, error) {
			s, err := c.LastBefore(ctx, 7)
			return CheckpointsResponse{s}, err
		}},
		{"submit", "POST /v1/entries", &SubmitResponse{Results: []SubmitResult{{Key: k, Index: 3, Status: "logged"}}, Checkpoint: "n"}, func() (any, error) {
			return c.Submit(ctx, SubmitRequest{Submission: "s", Records: []Record{{}}})
		}},
	} {
		f.body = toJSON(t, call.answer)
		got, err := call.do()
		if err != nil || !reflect.DeepEqual(got, call.answer) {
			t.Errorf("%s: got %+v, %v", call.name, got, err)
		}
		if f.request != call.request {
			t.Errorf("%s: asked %s", call.name, f.request)
		}
	}
	f.body = "a note\n"
	if b, err := c.Checkpoint(ctx); err != nil || string(b) != f.body || f.request != "GET /checkpoint" {
		t.Errorf("checkpoint: got %q, %v", b, err)
	}
	if m := lookup.Results[0].Member; !m.MatchesValue() {
		t.Error("A and the hash of B do not match the value")
	} else if m.A = nil; m.MatchesValue() {
		t.Error("a missing A matches")
	}
}

func TestClientOctets(t *testing.T) {
	f, c := newFake(t)
	ctx := context.Background()
	k := Key(HashOf([]byte("k")))
	want := []StoredRecord{{Key: k, Index: 3, A: Bytes("a"), B: Bytes("b")}, {Key: Key{1}}}
	f.body = string(octetsOf(t, want))
	var got []StoredRecord
	collect := func(r StoredRecord) error {
		r.A, r.B = bytes.Clone(r.A), bytes.Clone(r.B)
		got = append(got, r)
		return nil
	}
	if err := c.Records(ctx, []Key{k}, collect); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if f.request != "POST /v1/records" || f.sent != `{"keys":["`+k.String()+`"]}` {
		t.Errorf("asked %s with %s", f.request, f.sent)
	}
	own := errors.New("own")
	if err := c.Records(ctx, []Key{k}, func(StoredRecord) error { return own }); !errors.Is(err, own) {
		t.Errorf("got %v, want the function's error", err)
	}
	f.body += "x"
	if err := c.Records(ctx, []Key{k}, collect); !errors.Is(err, ErrAnswer) || !errors.Is(err, ErrOctets) {
		t.Errorf("got %v, want a refusal", err)
	}
	f.contentType, f.status, f.body = "application/problem+json", http.StatusNotFound, `{"title":"t"}`
	if err := c.Records(ctx, []Key{k}, collect); !errors.As(err, new(*Problem)) {
		t.Errorf("got %v, want a problem", err)
	}

	f.contentType, f.status, f.body = "application/json", http.StatusOK, toJSON(t, &SubmitResponse{Results: make([]SubmitResult, 1)})
	req := SubmitRequest{Submission: "s", Records: []Record{{X: Hash(k), A: Bytes("a"), B: Bytes("b")}}}
	if _, err := c.Submit(ctx, req); err != nil {
		t.Fatal(err)
	}
	if sent, err := ReadSubmitRequest(strings.NewReader(f.sent)); err != nil || !reflect.DeepEqual(*sent, req) || f.sentType != TypeOctetsSubmission {
		t.Errorf("sent %+v as %s, %v", sent, f.sentType, err)
	}
	if _, err := c.Submit(ctx, SubmitRequest{Records: make([]Record, MaxRecords+1)}); !errors.Is(err, ErrOctets) {
		t.Errorf("too many records: got %v", err)
	}
}

func TestClientRefusesAnswers(t *testing.T) {
	f, c := newFake(t)
	k := Key(HashOf([]byte("k")))
	good := LookupResponse{Results: []LookupResult{{Key: k, Proof: Bytes{1}}}}
	for name, body := range map[string]string{
		"not JSON":         "<html>",
		"another key":      toJSON(t, LookupResponse{Results: []LookupResult{{}}}),
		"no result":        toJSON(t, LookupResponse{}),
		"duplicate member": strings.Replace(toJSON(t, good), `{"head"`, `{"head":{},"head"`, 1),
		"loose base64":     strings.Replace(toJSON(t, good), `"AQ=="`, `"AR=="`, 1),
		"trailing data":    toJSON(t, good) + "{}",
	} {
		f.body = body
		if _, err := c.Lookup(context.Background(), []Key{k}); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	f.body = strings.Repeat(" ", maxAnswer+1)
	if _, err := c.LatestHead(context.Background()); !errors.Is(err, ErrAnswer) {
		t.Errorf("endless answer: got %v", err)
	}
	f.body = toJSON(t, SubmitResponse{})
	if _, err := c.Submit(context.Background(), SubmitRequest{Records: []Record{{}}}); !errors.Is(err, ErrAnswer) {
		t.Errorf("submit without results: got %v", err)
	}
}

func TestClientConflict(t *testing.T) {
	f, c := newFake(t)
	want := &SubmitResponse{Results: []SubmitResult{{Index: 3, Status: "conflict"}}, Checkpoint: "n"}
	f.status, f.body = http.StatusConflict, toJSON(t, want)
	got, err := c.Submit(context.Background(), SubmitRequest{Records: []Record{{}}})
	if !errors.Is(err, ErrConflict) || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	f.contentType, f.body = "application/problem+json", `{"title":"other","status":409}`
	got, err = c.Submit(context.Background(), SubmitRequest{Records: []Record{{}}})
	if p := new(Problem); errors.Is(err, ErrConflict) || !errors.As(err, &p) || got != nil {
		t.Errorf("a problem with 409: got %+v, %v", got, err)
	}
}

func TestClientProblems(t *testing.T) {
	f, c := newFake(t)
	f.status, f.contentType = http.StatusForbidden, "application/problem+json; charset=utf-8"
	f.body = `{"type":"urn:x","title":"not accredited","status":200,"detail":"payload 4111"}`
	_, err := c.LatestHead(context.Background())
	var p *Problem
	if !errors.As(err, &p) || p.Status != http.StatusForbidden || p.Title != "not accredited" || p.Type != "urn:x" {
		t.Errorf("got %#v", err)
	}
	if strings.Contains(err.Error(), "4111") {
		t.Errorf("the error repeats the detail: %v", err)
	}
	f.contentType, f.body = "text/html", "<html>"
	if _, err = c.LatestHead(context.Background()); !errors.As(err, &p) || p.Status != http.StatusForbidden || p.Title != "" {
		t.Errorf("without a problem: got %#v", err)
	}
	for _, row := range []struct {
		retryAfter, date string
		want             time.Duration
	}{
		{"7", "", 7 * time.Second}, {"", "", time.Second}, {"-5", "", time.Second}, {"999999999", "", time.Hour}, {"soon", "", time.Second},
		{"Wed, 05 Nov 2025 10:00:30 GMT", "Wed, 05 Nov 2025 10:00:00 GMT", 30 * time.Second},
		{"Wed, 05 Nov 2025 10:00:30 GMT", "Wed, 05 Nov 2025 11:00:00 GMT", time.Second},
	} {
		f.status = http.StatusTooManyRequests
		f.header = http.Header{"Retry-After": {row.retryAfter}}
		if row.date != "" {
			f.header.Set("Date", row.date)
		}
		_, err := c.LatestHead(context.Background())
		var retry *RetryError
		if !errors.As(err, &retry) || retry.After != row.want {
			t.Errorf("Retry-After %q: got %v, want %v", row.retryAfter, err, row.want)
		}
		if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests {
			t.Errorf("the problem is not within: %v", err)
		}
	}
}

func TestClientStopsWithContext(t *testing.T) {
	_, c := newFake(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.LatestHead(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
