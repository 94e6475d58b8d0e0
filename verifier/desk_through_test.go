package verifier_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"akashi/internal/browsertest"
	"akashi/internal/oid4vc"
)

// platform stands for what lies between a page that asks over the Digital Credentials API and a wallet: a browser that shows a person no wallet to choose
// from has none.
type platform struct {
	*browsertest.Page
	*deskWorld
	wallet *holding
	origin string // that it tells the wallet
}

// asks has the page ask, and returns the requests.
func (p *platform) asks() []oid4vc.DCRequest {
	p.t.Helper()
	p.Click("[data-ask] button")
	arrive(p.Page, `window.asking`)
	var requests []oid4vc.DCRequest
	if err := json.Unmarshal([]byte(browsertest.Eval[string](p.Page, `JSON.stringify(asking.options.digital.requests)`)), &requests); err != nil {
		p.t.Fatal(err)
	}
	return requests
}

// read is the request of a protocol as the wallet reads it.
func (p *platform) read(requests []oid4vc.DCRequest, protocol string) *oid4vc.PresentationRequest {
	p.t.Helper()
	for _, dc := range requests {
		if dc.Protocol != protocol {
			continue
		}
		u, err := oid4vc.ParseDCRequest(dc)
		if err != nil {
			p.t.Fatal(err)
		}
		v, err := u.Verify(oid4vc.ExpectRequest{Roots: []*x509.Certificate{p.root}, Now: p.clock.Now()}, p.url, func(*oid4vc.VerifiedRequest) bool { return true })
		if err != nil {
			p.t.Fatal(err)
		}
		r := v.PresentationRequest
		r.ClientID = oid4vc.OriginAudience(p.origin)
		return &r
	}
	p.t.Fatalf("there is no request of protocol %s", protocol)
	return nil
}

// presentation is what the wallet answers.
func (p *platform) presentation(r *oid4vc.PresentationRequest) string {
	p.t.Helper()
	data, err := (&oid4vc.VPResponse{Token: p.wallet.token(r)}).Data(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(data)
}

// gives hands the page what the wallet answered.
func (p *platform) gives(protocol, data string) {
	p.t.Helper()
	browsertest.Eval[bool](p.Page, fmt.Sprintf(`(asking.gives({type: "digital", protocol: %q, data: %s}), true)`, protocol, data))
}

func (p *platform) answers(protocol string) {
	p.t.Helper()
	p.gives(protocol, p.presentation(p.read(p.asks(), protocol)))
}

// post is a script that sends an answer to the request that waits, and says how it went.
func (p *platform) post(data, mediaType, mode string) string {
	p.t.Helper()
	return fmt.Sprintf(`fetch(%q, {method: "POST", mode: %q, credentials: "include", headers: {"Content-Type": %q}, body: JSON.stringify({protocol: %q, data: %s, origin: %q})})
		.then(r => String(r.status), e => e.name)`,
		browsertest.Eval[string](p.Page, `document.querySelector("[data-ask]").dataset.ask`), mode, mediaType, oid4vc.ProtocolSigned, data, p.url)
}

// through opens a case, of the reviewer's or of a worker's own.
func (w *deskWorld) through(b *browsertest.Browser, base string, o browsertest.Options) *platform {
	w.t.Helper()
	o.Script = browsertest.DigitalCredentials
	p := &platform{b.Open(w.url+"/", o), w, w.worker(), w.url}
	w.come(p.Page, w.desk.Enter(w.t, "r1", "審査 太郎"), base)
	p.Click(`input[name=period][value="0"]`)
	p.Click(".new button[type=submit]")
	arrive(p.Page, `document.querySelector("[data-state='waiting.1'] ~ .through:not([hidden])")`)
	return p
}

// TestThroughTheBrowser: a page with the Digital Credentials API asks by it, signed and unsigned, beside the QR code and beside the link on the same
// device, and becomes the assessment.
func TestThroughTheBrowser(t *testing.T) {
	b := browsertest.New(t)
	for _, c := range []struct {
		name, base, protocol, lang, button, answer string
		width                                      int
		same                                       bool
	}{
		{"signed, at the desk", "/desk", oid4vc.ProtocolSigned, "ja", "このブラウザーを通して答える", "期限内に履行", browsertest.Desk, false},
		{"unsigned, on a worker's phone", "/submission", oid4vc.ProtocolUnsigned, "en", "Answer through this browser", "fulfilled in time", browsertest.Narrow, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
			p := w.through(b, c.base, browsertest.Options{Width: c.width, Accept: c.lang})
			if c.same {
				p.Click(".again button")
				arrive(p.Page, `document.querySelector("[data-state='waiting.1'] ~ .scan .button.p")`)
			}
			for step := 1; step <= 2; step++ {
				arrive(p.Page, fmt.Sprintf(`document.querySelector("[data-state='waiting.%d'] ~ .through:not([hidden])")`, step))
				if got := p.Text("[data-ask] button"); got != c.button {
					t.Errorf("the button says %q", got)
				}
				p.NoSidewaysScroll()
				p.Axe()
				look(t, p.Page, fmt.Sprintf("through-%s-%d", c.lang, step))
				p.answers(c.protocol)
			}
			arrive(p.Page, `document.querySelector("#answer")`)
			if got := p.Text("#answer"); !strings.Contains(got, c.answer) {
				t.Errorf("the answer: %q", got)
			}
			p.LoadsNothingElse(w.url)
		})
	}
}

// TestThroughTheBrowserInVain: why nothing came is said in words, and the request waits on.
func TestThroughTheBrowserInVain(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	p := w.through(b, "/desk", browsertest.Options{Width: browsertest.Phone})
	for _, c := range []struct{ fails, says string }{
		{`new DOMException("", "NotAllowedError")`, "取り消されました"},
		{`new DOMException("", "AbortError")`, "取り消されました"},
		{`new DOMException("", "NotSupportedError")`, "このブラウザーからは"},
		{`new TypeError("")`, "このブラウザーからは"},
		{`new DOMException("", "NetworkError")`, "ウォレットから回答がありませんでした"},
	} {
		p.asks()
		if got := p.Text(".through [role=status]"); got != "ブラウザーがウォレットに求めています。見せる範囲は、そこで選んでください。" {
			t.Errorf("while asking: %q", got)
		}
		browsertest.Eval[bool](p.Page, `(asking.fails(`+c.fails+`), window.asking = null, true)`)
		arrive(p.Page, `document.querySelector(".through .trouble:not([hidden])")`)
		if got := p.Text(".through [role=status]"); !strings.Contains(got, c.says) {
			t.Errorf("%s: %q", c.fails, got)
		}
		if focus := browsertest.Eval[bool](p.Page, `document.activeElement === document.querySelector("[data-ask] button")`); !focus {
			t.Errorf("%s: the button has lost the focus", c.fails)
		}
	}
	p.NoSidewaysScroll()
	p.Axe()
	look(t, p.Page, "through-in-vain")
	p.asks()
	browsertest.Eval[bool](p.Page, `(asking.gives(null), window.asking = null, true)`)
	arrive(p.Page, `document.querySelector("[data-says=nothing]:not([hidden])")`)
	browsertest.Eval[bool](p.Page, `(window.fetch = () => Promise.reject(new TypeError("no network")), true)`)
	p.Do(chromedp.SendKeys(chromedp.CSS("[data-ask] button"), "\r")) // by the keyboard
	arrive(p.Page, `document.querySelector("[data-says=unsent]:not([hidden])")`)
	p.wallet.answer(browsertest.Eval[string](p.Page, `document.querySelector("a[href^=openid4vp]").href`))
	arrive(p.Page, `document.querySelector("[data-state='waiting.2'] ~ .through:not([hidden])")`)
	p.asks()
	p.gives(oid4vc.ProtocolSigned, `{"error":"access_denied"}`)
	arrive(p.Page, `document.querySelector("[data-state='refused']")`)
	if got := p.Text(".trouble"); !strings.Contains(got, "提示は任意です") {
		t.Errorf("refused: %q", got)
	}
}

// TestThroughTheBrowserHostile: an answer that is not this wallet's to this page's request shows nothing.
func TestThroughTheBrowserHostile(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(elsewhere.Close)
	p := w.through(b, "/desk", browsertest.Options{Width: browsertest.Phone})
	other := w.through(b, "/desk", browsertest.Options{Width: browsertest.Phone})
	failed := func(name, reason string) {
		t.Helper()
		arrive(p.Page, `document.querySelector("[data-state='failed']")`)
		if got := p.Text(".trouble code"); got != reason {
			t.Errorf("%s: failed for %q, want %q", name, got, reason)
		}
		if shown := browsertest.Eval[string](p.Page, `document.body.innerText`); strings.Contains(shown, w.Employer.ID) {
			t.Errorf("%s: the page shows what was presented", name)
		}
		p.Click(".again button[type=submit]")
		arrive(p.Page, `document.querySelector("[data-state='waiting.1'] ~ .through:not([hidden])")`)
	}

	request := p.read(p.asks(), oid4vc.ProtocolSigned)
	request.ClientID = oid4vc.OriginAudience(elsewhere.URL)
	p.gives(oid4vc.ProtocolSigned, p.presentation(request))
	failed("a wallet asked by another origin", "kb.audience")

	p.asks()
	p.gives(oid4vc.ProtocolSigned, p.presentation(other.read(other.asks(), oid4vc.ProtocolSigned)))
	failed("another session's answer", "response.decrypt")

	// A page of another origin, of the same site even, so that the browser sends the cookie along.
	evil := b.Open(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), browsertest.Options{})
	data := p.presentation(p.read(p.asks(), oid4vc.ProtocolSigned))
	if got := browsertest.Await[string](evil, p.post(data, "application/json", "cors")); got != "TypeError" {
		t.Errorf("another origin posted JSON: %s", got)
	}
	if state := browsertest.Eval[string](p.Page, `document.querySelector("[data-state]").dataset.state`); state != "waiting.1" {
		t.Errorf("after another origin could not post: %s", state)
	}
	browsertest.Await[string](evil, p.post(data, "text/plain", "no-cors"))
	failed("a page of another origin", "response.form")

	data = p.presentation(p.read(p.asks(), oid4vc.ProtocolSigned))
	replay := p.post(data, "application/json", "cors")
	p.gives(oid4vc.ProtocolSigned, data)
	arrive(p.Page, `document.querySelector("[data-state='waiting.2']")`)
	if got := browsertest.Await[string](p.Page, replay); got != fmt.Sprint(http.StatusBadRequest) {
		t.Errorf("an answer again: %s", got)
	}
	p.Do(chromedp.Reload())
	if state := browsertest.Eval[string](p.Page, `document.querySelector("[data-state]").dataset.state`); state != "waiting.2" {
		t.Errorf("after an answer again: %s", state)
	}
}

// TestWithoutTheAPI: a browser that has no Digital Credentials API, or none for these protocols, shows no button for it; neither does one without scripts, which has a link to
// load the page again.
func TestWithoutTheAPI(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	for name, o := range map[string]browsertest.Options{
		"no API":              {Script: `delete window.DigitalCredential`},
		"for other protocols": {Script: `window.DigitalCredential = class { static userAgentAllowsProtocol(p) { return p === "org-iso-mdoc" } }`},
		"no script":           {NoScript: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.Open(w.url+"/", o)
			w.come(p, w.desk.Enter(t, "r1", "審査 太郎"), "/desk")
			p.Click(".new button[type=submit]")
			arrive(p, `document.querySelector("[data-state='waiting.1']")`)
			if hidden := browsertest.Eval[bool](p, `document.querySelector("[data-ask]").hidden && document.querySelector(".scan svg") !== null`); !hidden {
				t.Error("the button is shown")
			}
			if link := browsertest.Eval[bool](p, `document.querySelector("noscript a") !== null`); link != o.NoScript {
				t.Errorf("a link to load the page again: %t", link)
			}
		})
	}
}

// TestAnotherBrowserDoesNotAsk: a reviewer who looks at a case in a second browser sees the QR code, and no button: the answer would not be taken from there.
func TestAnotherBrowserDoesNotAsk(t *testing.T) {
	w := newDeskWorld(t, nil)
	first, second := w.signedIn("r1", "Reviewer One"), w.signedIn("r1", "Reviewer One")
	path := first.post("/desk/cases", newCase()).want(t, http.StatusOK, "data-ask").url.Path
	if p := second.get(path).want(t, http.StatusOK, "openid4vp://"); strings.Contains(p.body, "data-ask") {
		t.Error("a second browser is offered to ask")
	}
	code := first.get("/c/" + first.get(path).find(t, `<code class="code">([^<]+)`))
	if strings.Contains(code.body, "data-ask") {
		t.Error("whoever types the code is offered to ask")
	}
}
