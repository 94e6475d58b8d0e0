package verifier_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"akashi/verifier"
)

// TestDeskStreams: so many streams of events are open for one client, and so many in all. The room of one that has ended is free again.
func TestDeskStreams(t *testing.T) {
	w := newDeskWorld(t, func(cfg *verifier.DeskConfig) {
		cfg.Streams, cfg.StreamsPerClient, cfg.TrustedProxies = 3, 2, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase()).want(t, http.StatusOK)
	path := p.url.Path + "/events"
	session := w.create(verifier.CreateOptions{Query: wageQuery(t)})
	open := func(client, path string) (resp *http.Response, leave func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, vpURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", client)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		if resp, err = b.client.Do(req); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			resp.Body.Close()
		})
		return resp, cancel
	}
	want := func(status int, client, path, text string) (leave func()) {
		t.Helper()
		resp, leave := open(client, path)
		if resp.StatusCode != status {
			t.Fatalf("%s for %s: got %d, want %d", path, client, resp.StatusCode, status)
		}
		if status != http.StatusOK {
			body := make([]byte, 512)
			n, _ := resp.Body.Read(body)
			if resp.Header.Get("Retry-After") != "15" || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(body[:n]), text) {
				t.Errorf("%v %s", resp.Header, body[:n])
			}
		}
		return leave
	}
	const here, there, elsewhere = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	leave := want(http.StatusOK, here, path, "")
	want(http.StatusOK, here, "/vp/sessions/"+session.ID+"/events", "")
	want(http.StatusTooManyRequests, here, path, "close some of them")
	want(http.StatusTooManyRequests, here, "/vp/sessions/"+session.ID+"/events", "close some of them")
	want(http.StatusOK, there, "/c/"+p.find(t, `<code class="code">([^<]+)`)+"/events", "")
	want(http.StatusServiceUnavailable, elsewhere, path, "load the page again")
	leave()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, _ := open(elsewhere, path)
		if resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the room of a stream that ended is not free")
		}
	}
	want(http.StatusServiceUnavailable, elsewhere, path, "load the page again")
	b.get(p.url.Path).want(t, http.StatusOK)
}
