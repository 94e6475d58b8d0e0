package verifier_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/verifier"
)

// whats are what the audit log records, in turn.
func (w *deskWorld) whats() (out []string) {
	w.t.Helper()
	lines, err := w.desk.Audit(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range lines {
		out = append(out, l.What)
	}
	return out
}

// TestCase: a reviewer opens a case, the worker answers in two steps, and the assessment is shown, saved and listed.
func TestCase(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	b.get("/desk").want(t, http.StatusOK, "There is no case yet.", "Reviewer One")
	p := b.post("/desk/cases", newCase()).want(t, http.StatusOK, "Waiting for the proof", "Extension of the period of stay")
	path := p.url.Path
	first := p.link(t)
	h := w.worker()
	h.answer(first)
	p = b.get(path).want(t, http.StatusOK, "Once more: the second request")
	if p.link(t) == first {
		t.Error("the second request is the first")
	}
	h.answer(p.link(t))
	p = b.get(path).want(t, http.StatusOK, "Assessment no.")
	number := p.find(t, `<b>([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})</b>`)
	b.get("/desk").want(t, http.StatusOK, "answered", number)

	file := b.get(path+"/evidence").want(t, http.StatusOK)
	if got := file.header.Get("Content-Disposition"); got != `attachment; filename="`+number+`.evidence.json"` {
		t.Errorf("Content-Disposition: %s", got)
	}
	r := evidence.VerifyBytes([]byte(file.body), w.Trust(), evidence.Options{})
	if r.Result != compliance.Pass || r.SavedBy == nil || r.SavedBy.ID != evidencetest.VerifierID || r.SavedBy.Number != number {
		t.Errorf("the saved file: %v, saved by %+v", r.Result, r.SavedBy)
	}
	want := []string{"signin.ok", "case.opened", "case.answered", "case.seen", "case.saved"}
	if got := w.whats(); !slices.Equal(got, want) {
		t.Errorf("the audit log has %v, want %v", got, want)
	}
	lines, _ := w.desk.Audit(context.Background())
	if l := lines[4]; l.Who != "r1" || l.Name != "Reviewer One" || l.Number != number || l.Case == "" {
		t.Errorf("who saved it: %+v", l)
	}
}

// TestCaseBelongsToItsReviewer: nobody else sees, saves, asks again or deletes.
func TestCaseBelongsToItsReviewer(t *testing.T) {
	w := newDeskWorld(t, nil)
	path := w.answered(w.signedIn("r1", "Reviewer One"), "/desk")
	other, nobody := w.signedIn("r2", "Reviewer Two"), w.browser()
	for _, c := range []struct{ method, path string }{{"GET", ""}, {"GET", "/evidence"}, {"GET", "/paper"}, {"GET", "/events"}, {"POST", "/again"}, {"POST", "/delete"}, {"POST", "/keep"}} {
		for name, b := range map[string]*browser{"another": other, "nobody": nobody} {
			p := shownPage{}
			if c.method == "GET" {
				p = b.get(path + c.path)
			} else {
				p = b.post(path+c.path, url.Values{"device": {"other"}})
			}
			signIn := p.url.Path == "/signin" && name == "nobody"
			if p.status != http.StatusNotFound && !signIn || strings.Contains(p.body, "Assessment no.") {
				t.Errorf("%s %s%s: %s got %d at %s", c.method, path, c.path, name, p.status, p.url)
			}
		}
	}
	other.get(strings.Replace(path, "/desk/", "/submission/", 1)).want(t, http.StatusNotFound)
	other.get("/desk").want(t, http.StatusOK, "There is no case yet.")
}

// TestNewCaseForm: what a form of a new case must say.
func TestNewCaseForm(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	for _, c := range []struct {
		name   string
		change []string
		status int
		text   string
	}{
		{"as it is", nil, http.StatusOK, "the whole contract"},
		{"the last 12 months", []string{"period", "12"}, http.StatusOK, "2025-01 – 2025-12"},
		{"given months", []string{"period", "months", "from", "2025-11", "to", "2025-12"}, http.StatusOK, "2025-11 – 2025-12"},
		{"no purpose", []string{"purpose", ""}, http.StatusBadRequest, "malformed"},
		{"another purpose", []string{"purpose", "submission"}, http.StatusBadRequest, "malformed"},
		{"another period", []string{"period", "13"}, http.StatusBadRequest, "malformed"},
		{"no months", []string{"period", "months"}, http.StatusBadRequest, "Write months as"},
		{"years for months", []string{"period", "months", "from", "2025", "to", "2026"}, http.StatusBadRequest, "Write months as"},
		{"months beside another period", []string{"period", "12", "from", "2025-11", "to", "2025-12"}, http.StatusBadRequest, "another period is chosen"},
		{"the last before the first", []string{"period", "months", "from", "2025-12", "to", "2025-11"}, http.StatusBadRequest, "Write months as"},
	} {
		t.Run(c.name, func(t *testing.T) { b.post("/desk/cases", newCase(c.change...)).want(t, c.status, c.text) })
	}
}

// TestCaseEnds: a case that comes to no answer says why and what to do, and can be asked again with a new request.
func TestCaseEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(w *deskWorld, link string)
		text string
	}{
		{"refused by the holder", func(w *deskWorld, link string) { w.refuse(link, oid4vc.CodeAccessDenied) }, "which is their right"},
		{"refused by the wallet", func(w *deskWorld, link string) { w.refuse(link, "wallet_unavailable") }, "The wallet could not answer"},
		{"made for another request", func(w *deskWorld, link string) {
			r := w.fetch(link)
			other := *r
			other.Nonce = "another"
			w.send(r, &oid4vc.VPResponse{Token: w.worker().token(&other), State: r.State})
		}, "was not made for this request"},
		{"malformed", func(w *deskWorld, link string) { w.postForm(w.fetch(link).ResponseURI, url.Values{"vp_token": {"{"}}) }, "malformed"},
		{"expired", func(w *deskWorld, _ string) { w.clock.forward(6 * time.Minute) }, "No answer came in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDeskWorld(t, nil)
			b := w.signedIn("r1", "Reviewer One")
			p := b.post("/desk/cases", newCase()).want(t, http.StatusOK)
			path, first := p.url.Path, p.link(t)
			c.end(w, first)
			p = b.get(path).want(t, http.StatusOK, c.text)
			if strings.Contains(p.body, "openid4vp://") {
				t.Error("the page of a case that has ended still has a request")
			}
			p = b.post(path+"/again", url.Values{"device": {"other"}}).want(t, http.StatusOK, "Waiting for the proof")
			if p.url.Path != path || p.link(t) == first {
				t.Error("it was not asked again with a new request")
			}
			if got := w.whats(); !slices.Equal(got, []string{"signin.ok", "case.opened", "case.ended", "case.asked"}) {
				t.Errorf("the audit log has %v", got)
			}
		})
	}
}

// refuse answers a request with an error.
func (w *deskWorld) refuse(link, code string) {
	w.t.Helper()
	r := w.fetch(link)
	w.postForm(r.ResponseURI, url.Values{"error": {code}, "state": {r.State}})
}

// TestPeriodOutsideTheContract says what is wrong with it.
func TestPeriodOutsideTheContract(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase("period", "months", "from", "2020-01", "to", "2020-12")).want(t, http.StatusOK)
	h := w.worker()
	h.answer(p.link(t))
	r := h.fetch(b.get(p.url.Path).link(t))
	if status, _ := h.send(r, &oid4vc.VPResponse{Token: h.token(r), State: r.State}); status < 400 {
		t.Errorf("the wallet got %d", status)
	}
	b.get(p.url.Path).want(t, http.StatusOK, "The months lie outside the contract")
}

// TestDeskSameDevice: the wallet leads the browser that began back to the page of the case, and no other browser.
func TestDeskSameDevice(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase("device", "same")).want(t, http.StatusOK, "leads back to this browser")
	path := p.url.Path
	h := w.worker()
	back := strings.TrimPrefix(h.answer(p.link(t)).RedirectURI, vpURL)
	p = b.get(back).want(t, http.StatusOK, "Once more: the second request")
	if p.url.Path != path {
		t.Errorf("the wallet led to %s", p.url)
	}
	b.get(back).want(t, http.StatusOK, "Once more") // used already: the page says how things stand
	back = strings.TrimPrefix(h.answer(p.link(t)).RedirectURI, vpURL)
	w.browser().get(back).want(t, http.StatusForbidden, "begun in another browser")
	b.get(path).want(t, http.StatusOK, "begun in another browser")
}

// TestCode: a wallet finds the request under the code that a person types, while it waits.
func TestCode(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase()).want(t, http.StatusOK)
	code := p.find(t, `<code class="code">([0-9A-Z-]{9})</code>`)
	phone := w.browser()
	typed := phone.get("/c?code="+url.QueryEscape(strings.ToLower(strings.Replace(code, "-", " ", 1)))).want(t, http.StatusOK, "A request to present")
	if typed.link(t) != p.link(t) {
		t.Error("the code leads to another request")
	}
	req, _ := http.NewRequest(http.MethodGet, vpURL+"/c/"+strings.ReplaceAll(code, "-", ""), nil)
	req.Header.Set("Accept", "application/json")
	var answer struct{ Link string }
	if err := json.Unmarshal([]byte(phone.do(req).body), &answer); err != nil || answer.Link != p.link(t) {
		t.Errorf("a wallet got %q, %v", answer.Link, err)
	}
	phone.get("/c?code=AAAA-AAAA").want(t, http.StatusNotFound, "There is no such code")
	phone.get("/c?code=x").want(t, http.StatusNotFound, "There is no such code")
	w.refuse(p.link(t), oid4vc.CodeAccessDenied)
	phone.get("/c/"+code).want(t, http.StatusNotFound, "There is no such code")
	b.get(p.url.Path).want(t, http.StatusOK)
	phone.get("/c/"+code).want(t, http.StatusNotFound, "There is no such code")
}

func TestReadCode(t *testing.T) {
	for _, c := range []struct{ typed, want string }{
		{"ABCD-EFGH", "ABCDEFGH"}, {"abcd efgh", "ABCDEFGH"}, {"oil0-1234", "01101234"}, {"ABCD", ""}, {"ABCD-EFGU", ""}, {"ABCD-EFGHJ", ""}, {"", ""},
	} {
		if got, ok := verifier.ReadCode(c.typed); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%q: got %q, %v", c.typed, got, ok)
		}
	}
}

// FuzzReadCode: what is read is read again to the same.
func FuzzReadCode(f *testing.F) {
	for _, seed := range []string{"ABCD-EFGH", "oil0 1234", "", "ＡＢＣＤ", "ABCD-EFGU"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		if code, ok := verifier.ReadCode(typed); ok {
			if again, ok := verifier.ReadCode(code); !ok || again != code {
				t.Errorf("%q gives %q, which gives %q", typed, code, again)
			}
		}
	})
}

// TestGuessing: who tries code after code is told to wait.
func TestGuessing(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.browser()
	refused := func(path string, tries int) {
		t.Helper()
		for range tries {
			if p := b.get(path); p.status == http.StatusTooManyRequests {
				if p.header.Get("Retry-After") == "" {
					t.Error("it is not said for how long")
				}
				p.want(t, http.StatusTooManyRequests, "Too many requests")
				return
			}
		}
		t.Errorf("%s: %d guesses were answered", path, tries)
	}
	refused("/c/AAAA-AAAA", 100)
	refused("/r/7F3KQ2MX91TD", 3) // one may be let through in five seconds
	b.get("/").want(t, http.StatusOK)
}

// TestDeskEvents: whoever watches a case hears of each change at once.
func TestDeskEvents(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase()).want(t, http.StatusOK)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, vpURL+p.url.Path+"/events", nil)
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("Content-Type: %s", got)
	}
	states := bufio.NewScanner(resp.Body)
	next := func() string {
		for states.Scan() {
			if state, ok := strings.CutPrefix(states.Text(), "data: "); ok {
				return state
			}
		}
		return ""
	}
	if got := next(); got != "waiting.1" {
		t.Errorf("at first: %s", got)
	}
	h := w.worker()
	h.answer(p.link(t))
	for got := next(); got != "waiting.2"; got = next() {
		if got != "verifying.1" {
			t.Fatalf("after the first answer: %q", got)
		}
	}
	h.answer(b.get(p.url.Path).link(t))
	for got := next(); got != "answered"; got = next() {
		if got != "verifying.2" {
			t.Fatalf("after the second answer: %q", got)
		}
	}
	if got := next(); got != "" {
		t.Errorf("after the end: %s", got)
	}
}

// TestStale: nobody stays signed in for ever.
func TestStale(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []time.Duration
		in    bool
	}{
		{"at once", nil, true},
		{"29 minutes", []time.Duration{29 * time.Minute}, true},
		{"idle", []time.Duration{30 * time.Minute}, false},
		{"at work", slices.Repeat([]time.Duration{20 * time.Minute}, 29), true},
		{"too long", slices.Repeat([]time.Duration{20 * time.Minute}, 30), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDeskWorld(t, nil)
			b := w.signedIn("r1", "Reviewer One")
			p := b.get("/desk")
			for _, step := range c.steps {
				w.clock.forward(step)
				p = b.get("/desk")
			}
			if in := p.url.Path == "/desk"; in != c.in {
				t.Errorf("signed in: %v", in)
			}
		})
	}
}

// TestSignOut: the browser is out, and so is who copied its cookie.
func TestSignOut(t *testing.T) {
	w := newDeskWorld(t, nil)
	cookie := w.desk.Enter(t, "r1", "Reviewer One")
	if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("the cookie: %v", cookie)
	}
	b, thief := w.browser(), w.browser()
	b.set(cookie)
	thief.set(cookie)
	b.get("/desk").want(t, http.StatusOK, "Reviewer One")
	b.post("/signout", nil).want(t, http.StatusOK)
	for name, one := range map[string]*browser{"the browser": b, "the thief": thief} {
		if p := one.get("/desk"); p.url.Path != "/signin" {
			t.Errorf("%s is still in: %s", name, p.url)
		}
	}
	if got := w.whats(); !slices.Equal(got, []string{"signin.ok", "signin.out"}) {
		t.Errorf("the audit log has %v", got)
	}
}

// TestOnlyHashesOfSecrets: whoever reads the store cannot sign in with it.
func TestOnlyHashesOfSecrets(t *testing.T) {
	w := newDeskWorld(t, nil)
	cookie := w.desk.Enter(t, "r1", "Reviewer One")
	err := w.store.View(context.Background(), func(tx store.Tx) error {
		return tx.Scan(nil, func(key, value []byte) error {
			if strings.Contains(string(key)+string(value), cookie.Value) {
				t.Errorf("%s holds the secret of a browser", key)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRemoveReviewer: a removed reviewer is out at once.
func TestRemoveReviewer(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	if err := w.desk.RemoveReviewer(context.Background(), "r1"); err != nil {
		t.Fatal(err)
	}
	if p := b.get("/desk"); p.url.Path != "/signin" {
		t.Errorf("still at %s", p.url)
	}
	if err := w.desk.RemoveReviewer(context.Background(), "r1"); err != nil {
		t.Errorf("twice: %v", err)
	}
	if err := w.desk.RemoveReviewer(context.Background(), "nobody"); !errors.Is(err, verifier.ErrReviewer) {
		t.Errorf("nobody: %v", err)
	}
	all, err := w.desk.Reviewers(context.Background())
	if err != nil || len(all) != 1 || !all[0].Removed {
		t.Errorf("reviewers %+v, %v", all, err)
	}
	if got := w.whats(); !slices.Equal(got, []string{"signin.ok", "reviewer.removed"}) {
		t.Errorf("the audit log has %v", got)
	}
}

// TestOtherOrigins: a page of another site cannot have the browser do anything here; wallets of any origin can answer.
func TestOtherOrigins(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	for _, c := range []struct{ name, header, value string }{
		{"another site", "Sec-Fetch-Site", "cross-site"}, {"another origin of the site", "Sec-Fetch-Site", "same-site"}, {"an older browser", "Origin", "https://evil.test"},
	} {
		for _, path := range []string{"/desk/cases", "/signout", "/submission/cases", "/r"} {
			req, _ := http.NewRequest(http.MethodPost, vpURL+path, strings.NewReader(newCase().Encode()))
			req.Header.Set("Content-Type", oid4vc.MediaTypeForm)
			req.Header.Set(c.header, c.value)
			if p := b.do(req); p.status != http.StatusForbidden {
				t.Errorf("%s, %s: got %d", c.name, path, p.status)
			}
		}
	}
	b.get("/desk").want(t, http.StatusOK, "There is no case yet.")
	r := w.fetch(b.post("/desk/cases", newCase()).link(t))
	req, _ := http.NewRequest(http.MethodPost, r.ResponseURI, strings.NewReader(url.Values{"error": {"access_denied"}, "state": {r.State}}.Encode()))
	req.Header.Set("Content-Type", oid4vc.MediaTypeForm)
	req.Header.Set("Origin", "https://wallet.test")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	b.do(req).want(t, http.StatusOK)
}

func TestLocalNext(t *testing.T) {
	for next, want := range map[string]string{
		"/desk": "/desk", "/desk/cases/X": "/desk/cases/X", "": "/desk", "/": "/desk", "//evil.test": "/desk", "https://evil.test": "/desk",
		"/desk\\..": "/desk", "/deskx": "/desk", "/desk/?a": "/desk", "/signout": "/desk", "/desk/\nX": "/desk",
	} {
		if got := verifier.LocalNext(next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
}

// TestPagesAreStrict: every page says what a browser may do with it, and holds no script or style of its own.
func TestPagesAreStrict(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	path := w.answered(b, "/desk")
	waiting := b.post("/desk/cases", newCase()).url.Path
	for _, path := range []string{"/", "/signin", "/desk", "/submission", "/c", "/r", path, path + "/paper", waiting, "/nothing"} {
		p := b.get(path)
		csp := p.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || p.header.Get("Cache-Control") != "no-store" || p.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: header fields %v", path, p.header)
		}
		for _, inline := range []string{"<style", " style=", "onclick", "<script>"} {
			if strings.Contains(p.body, inline) {
				t.Errorf("%s has %q", path, inline)
			}
		}
		p.want(t, p.status, "<html lang=\"")
	}
}

// TestDeskConfig: what cannot work is refused.
func TestDeskConfig(t *testing.T) {
	w := newDeskWorld(t, nil)
	for name, cfg := range map[string]verifier.DeskConfig{
		"no verifier": {}, "negative streams": {VP: w.vp, Streams: -1}, "negative retention": {VP: w.vp, Retention: -1}, "negative idle": {VP: w.vp, Idle: -1},
	} {
		if _, err := verifier.NewDesk(cfg); !errors.Is(err, verifier.ErrDeskConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
