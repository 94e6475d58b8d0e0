// Package browsertest drives a headless Chromium for the tests of pages: it opens them at the widths of a desk and of a phone, looks for sideways
// scrolling, prints them to PDF, and has axe-core look for what people who use assistive technology would stumble over.
//
// Use: [New] once a test, then [Browser.Open] for each page. Where no browser is installed a test is skipped with a line that says so;
// AKASHI_BROWSER=required makes that a failure. A short test (-short) starts none. AKASHI_AXE is the path of axe.min.js (npm pack axe-core); without it [Page.Axe] says
// that it did not look. Left out: any other browser.
package browsertest

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Widths in CSS pixels: a desk, a phone, and the narrowest at which a page must reflow (WCAG 2.2, 1.4.10).
const (
	Desk   = 1280
	Phone  = 390
	Narrow = 320
)

// patience bounds each thing that a page does; a loaded machine is slow.
const patience = 2 * time.Minute

// names are those of the browser.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Browser is a browser that ends with its test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// required reports whether what is missing fails the test.
func required() bool { return os.Getenv("AKASHI_BROWSER") == "required" }

func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// New starts a browser, or skips the test.
func New(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("a short test starts no browser")
	}
	path := ""
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		missing(t, "no browser is installed: the page is not tried in one (apt-get install chromium)")
	}
	dir, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // of the browser's own, which may still be writing
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(patience))
	allocated, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(endAllocator)
	ctx, end := chromedp.NewContext(allocated)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{t, ctx}
}

// Page is a page in a tab of its own.
type Page struct {
	t   testing.TB
	ctx context.Context
}

// Options of [Browser.Open].
type Options struct {
	Width    int    // [Desk] when zero
	Dark     bool   // the reader prefers dark pages
	NoScript bool   // scripts are off
	Accept   string // Accept-Language, "ja" when empty
	Script   string // runs before those of every page in the tab: doubles of what a browser without a person has not
}

// watch keeps what the page's Content-Security-Policy refused.
const watch = `window.refused = []; document.addEventListener("securitypolicyviolation", e => window.refused.push(e.effectiveDirective + " " + e.blockedURI))`

// Open loads a page and waits until it is complete.
func (b *Browser) Open(url string, o Options) *Page {
	b.t.Helper()
	tab, end := chromedp.NewContext(b.ctx)
	b.t.Cleanup(end)
	if err := chromedp.Do(tab); err != nil { // the tab lives as long as the context of the first action
		b.t.Fatalf("opening a tab: %v", err)
	}
	p := &Page{b.t, tab}
	media := emulation.SetEmulatedMediaParams{}
	if o.Dark {
		media.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
	}
	p.Do(
		chromedp.EmulateViewport(int64(cmp.Or(o.Width, Desk)), 900),
		call(emulation.SetEmulatedMedia, media),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript}),
		call(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch + "\n" + o.Script}),
	)
	accept := network.Headers{"Accept-Language": cmp.Or(o.Accept, "ja")}
	p.Do(
		call(network.Enable, network.EnableParams{}),
		call(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: accept}),
		chromedp.Navigate(url),
	)
	return p
}

// call is a command of the browser's protocol as an action.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// Do takes actions in the page.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, patience)
	defer stop()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("in the browser: %v", err)
	}
}

// get takes an action that returns a value.
func get[T any](p *Page, a chromedp.Action[T]) T {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, patience)
	defer stop()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		p.t.Fatalf("in the browser: %v", err)
	}
	return v
}

// Eval returns the value of an expression in the page.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return get(p, chromedp.Evaluate[T](expression))
}

// Await returns the value of the promise that an expression in the page makes.
func Await[T any](p *Page, expression string) T {
	p.t.Helper()
	return get(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// DigitalCredentials is a script for [Options] that stands for the Digital Credentials API, and for whoever chooses a wallet there: what a page asks
// for is in asking.options until the test says what comes of it, by asking.gives(credential) or asking.fails(error).
const DigitalCredentials = `window.DigitalCredential = class DigitalCredential {};
navigator.credentials.get = options => new Promise((gives, fails) => { window.asking = {options, gives, fails}; });`

// Text is what a reader sees of the first element that a CSS selector finds.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return get(p, chromedp.Text(chromedp.CSS(selector)))
}

// Click clicks the first element that a CSS selector finds.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.Do(chromedp.Click(chromedp.CSS(selector)))
}

// Wait waits until an expression is true, in this page or in the one that it leads to.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, patience)
	defer stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		switch {
		case ok:
			return
		case ctx.Err() != nil:
			p.t.Fatalf("it never was so: %s: %v", expression, err)
		}
		time.Sleep(20 * time.Millisecond) // an error may be that of a page that is being left
	}
}

// NoSidewaysScroll fails the test if the page as a whole is wider than the window; tables scroll inside their own region.
func (p *Page) NoSidewaysScroll() {
	p.t.Helper()
	if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		p.t.Errorf("the page is %v px wider than the window", over)
	}
}

// LoadsNothingElse fails the test if the page loaded anything but what begins with one of the addresses, or if its own policy had to refuse
// something.
func (p *Page) LoadsNothingElse(addresses ...string) {
	p.t.Helper()
	for _, loaded := range Eval[[]string](p, `performance.getEntriesByType("resource").map(e => e.name)`) {
		if strings.HasSuffix(loaded, "/favicon.ico") { // which a browser looks for by itself
			continue
		}
		if !slices.ContainsFunc(addresses, func(a string) bool { return strings.HasPrefix(loaded, a) }) {
			p.t.Errorf("the page loaded %s", loaded)
		}
	}
	if refused := Eval[[]string](p, `window.refused`); len(refused) > 0 {
		p.t.Errorf("the page's policy refused %q", refused)
	}
}

func axePath() string { return os.Getenv("AKASHI_AXE") }

// Axe fails the test for every violation that axe-core finds. It needs a page whose scripts are on.
func (p *Page) Axe() {
	p.t.Helper()
	path := axePath()
	if path == "" {
		p.t.Log("AKASHI_AXE is not set: axe-core did not look at the page (npm pack axe-core, and give the path of axe.min.js)")
		return
	}
	script, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatalf("AKASHI_AXE: %v", err)
	}
	type violation struct {
		ID, Help string
		Nodes    []string
	}
	p.Do(chromedp.Evaluate[chromedp.Void](string(script))) // by the debugger, which no policy of the page holds back
	violations := Await[[]violation](p, `axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(
		v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => n.html.slice(0, 160))})))`)
	for _, v := range violations {
		p.t.Errorf("axe %s: %s, in %d places:\n%s", v.ID, v.Help, len(v.Nodes), strings.Join(v.Nodes[:min(len(v.Nodes), 3)], "\n"))
	}
}

// Screenshot is a picture of the whole page (PNG).
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	return get(p, chromedp.FullScreenshot(100))
}

// PDF is the page as it is printed.
func (p *Page) PDF() []byte {
	p.t.Helper()
	return get(p, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
}

// pageObject is the dictionary of one page (ISO 32000-1, Section 7.7.3.3); /Type /Pages is the tree of them.
var pageObject = regexp.MustCompile(`/Type\s*/Page[^s]`)

// PDFPages counts the pages of what [Page.PDF] returned.
func PDFPages(pdf []byte) int { return len(pageObject.FindAll(pdf, -1)) }

// PDFText is the text of a PDF, or the test ends here without pdftotext.
func PDFText(t testing.TB, pdf []byte) string {
	t.Helper()
	return pdftotext(t, pdf, "-raw")
}

// below is the lower edge of a word in points.
var below = regexp.MustCompile(`yMax="([0-9.]+)"`)

// PDFLowest is how far down the text of a PDF's first page reaches, in millimetres, or the test ends here without pdftotext.
func PDFLowest(t testing.TB, pdf []byte) (lowest float64) {
	t.Helper()
	for _, m := range below.FindAllStringSubmatch(pdftotext(t, pdf, "-bbox", "-l", "1"), -1) {
		y, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		lowest = max(lowest, y)
	}
	return lowest / 72 * 25.4
}

func pdftotext(t testing.TB, pdf []byte, args ...string) string {
	t.Helper()
	tool, err := exec.LookPath("pdftotext")
	if err != nil {
		missing(t, "pdftotext is missing: what is printed is not looked at (apt-get install poppler-utils)")
	}
	cmd := exec.Command(tool, append(args, "-", "-")...)
	cmd.Stdin = bytes.NewReader(pdf)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pdftotext: %v", err)
	}
	return string(out)
}
