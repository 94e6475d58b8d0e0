package verifier_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"akashi/internal/evidence/evidencetest"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/verifier"
)

// deskWorld is a reviewer's desk behind https over a vpWorld.
type deskWorld struct {
	*vpWorld
	desk   *verifier.Desk
	store  store.Store
	server *httptest.Server
	url    string
	clock  deskClock
}

// deskClock is a clock that a test may move while the desk goes on.
type deskClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *deskClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *deskClock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newDeskWorld makes a desk whose verifier stands on the trust list.
func newDeskWorld(t *testing.T, change func(*verifier.DeskConfig)) *deskWorld {
	t.Helper()
	return newDeskWorldOver(t, &registryDown{}, vpURL, change)
}

// onThisMachine is the address of a desk that a real browser reaches; the port is added.
const onThisMachine = "https://localhost:"

// registryDown is a registry that a test may take down.
type registryDown struct {
	*evidencetest.World
	down atomic.Bool
}

func (r *registryDown) Lookup(ctx context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	if r.down.Load() {
		return nil, errDown
	}
	return r.World.Lookup(ctx, slots)
}

func (r *registryDown) TrustLists(ctx context.Context) (*registry.TrustListsResponse, error) {
	if r.down.Load() {
		return nil, errDown
	}
	return r.World.TrustLists(ctx)
}

func newDeskWorldOver(t *testing.T, over *registryDown, address string, change func(*verifier.DeskConfig)) *deskWorld {
	t.Helper()
	w := &deskWorld{vpWorld: newVPWorld(t), store: store.NewMemory(), server: httptest.NewUnstartedServer(nil), url: address}
	if address == onThisMachine {
		_, port, err := net.SplitHostPort(w.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		w.url += port
	}
	over.World = w.World
	w.clock.now = w.World.Now
	var leaf *x509.Certificate
	leaf, w.root = certified(t, w.Verifier.Key, w.World.Now)
	var err error
	w.vp, err = verifier.NewVP(verifier.VPConfig{
		URL: w.url, Store: w.store, Key: w.Verifier.Key, Chain: []*x509.Certificate{leaf}, Registry: over, Trust: w.Trust(), AdminToken: adminToken, Now: w.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := verifier.DeskConfig{VP: w.vp}
	if change != nil {
		change(&cfg)
	}
	if w.desk, err = verifier.NewDesk(cfg); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = w.desk.Handler()
	w.server.StartTLS()
	t.Cleanup(func() {
		w.vp.Close()
		w.server.Close()
	})
	w.http = w.browser().client
	return w
}

// browser is a browser without scripts: it keeps cookies and follows redirects within the desk.
type browser struct {
	t      *testing.T
	client *http.Client
	jar    http.CookieJar
}

func (w *deskWorld) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := w.server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.server.Listener.Addr().String())
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com"} // the test certificate's
	w.t.Cleanup(transport.CloseIdleConnections)
	return &browser{w.t, &http.Client{Transport: transport, Jar: jar}, jar}
}

// signedIn is a browser in which a reviewer has signed in.
func (w *deskWorld) signedIn(id, name string) *browser {
	w.t.Helper()
	b := w.browser()
	b.set(w.desk.Enter(w.t, id, name))
	return b
}

func (b *browser) set(c *http.Cookie) {
	b.t.Helper()
	u, err := url.Parse(vpURL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.jar.SetCookies(u, []*http.Cookie{c})
}

// shownPage is an answer that a browser shows.
type shownPage struct {
	status int
	url    *url.URL
	header http.Header
	body   string
}

func (b *browser) do(req *http.Request) shownPage {
	b.t.Helper()
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return shownPage{resp.StatusCode, resp.Request.URL, resp.Header, string(body)}
}

func (b *browser) get(path string) shownPage {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, vpURL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", "en")
	return b.do(req)
}

func (b *browser) post(path string, form url.Values) shownPage {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, vpURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", oid4vc.MediaTypeForm)
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

// want fails the test unless the page has a status and a text.
func (p shownPage) want(t *testing.T, status int, texts ...string) shownPage {
	t.Helper()
	if p.status != status {
		t.Fatalf("%s: got status %d, want %d: %s", p.url, p.status, status, p.body)
	}
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Fatalf("%s has no %q:\n%s", p.url, text, p.body)
		}
	}
	return p
}

func (p shownPage) find(t *testing.T, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("%s has nothing like %s:\n%s", p.url, pattern, p.body)
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

// link is the request that a page waits with.
func (p shownPage) link(t *testing.T) string {
	t.Helper()
	return p.find(t, `href="(openid4vp://[^"]+)"`)
}

// newCase is the form of a new case.
func newCase(change ...string) url.Values {
	f := url.Values{"purpose": {"renewal"}, "period": {"0"}, "device": {"other"}}
	for i := 0; i < len(change); i += 2 {
		f.Set(change[i], change[i+1])
	}
	return f
}

// worker is a wallet that holds all there is.
func (w *deskWorld) worker() *holding {
	return &holding{vpWorld: w.vpWorld, held: []string{w.Engagement, w.payment, w.receipt}}
}

// answered opens a case in a browser and has it answered, and returns the path of its page.
func (w *deskWorld) answered(b *browser, base string) string {
	w.t.Helper()
	p := b.post(base+"/cases", newCase()).want(w.t, http.StatusOK)
	path := p.url.Path
	h := w.worker()
	h.answer(p.link(w.t))
	if p = b.get(path); strings.Contains(p.body, "openid4vp://") {
		h.answer(p.link(w.t))
	}
	b.get(path).want(w.t, http.StatusOK, "Assessment no.")
	return path
}
