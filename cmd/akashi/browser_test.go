package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"akashi/internal/browsertest"
	"akashi/internal/oid4vc"
	"akashi/schemas"
	"akashi/testdata/story"
)

// demoPages are the pages of the demo, in a browser.
type demoPages struct {
	*player
	t       *testing.T
	browser *browsertest.Browser
	result  *demoResult
	base    string // of the addresses that lead to the assessments
}

// answers are the first lines of the assessments, by language and engagement.
var answers = map[string]map[string]string{
	"ja": {
		"A": "対象期間の義務はすべて期限内に履行。",
		"B": "期限内の履行を確認できない義務は7件。義務者は所属機関5件・支援機関2件、本人0件。",
		"C": "期限内の履行を確認できない義務は7件。義務者は所属機関6件・支援機関1件、本人0件。",
	},
	"en": {
		"A": "Every obligation of the period was fulfilled in time.",
		"B": "7 obligations are not shown as met on time: employer 5, supporter 2, worker 0.",
		"C": "7 obligations are not shown as met on time: employer 6, supporter 1, worker 0.",
	},
}

// TestPages goes through the pages as the demo leaves them: the reviewer's desk (R1) with its QR code, code and button, the assessment (R2), its drawers
// (R3), the evidence file (R4), the page that verifies again (R5), and the sheet for submission.
func TestPages(t *testing.T) {
	browsertest.New(t) // or the story need not be played
	p := startStory(t)
	d := &demoPages{player: p, result: must(p.play(t.Context(), nil))(t)}
	d.base = must(p.showCases(d.result.cases))(t)
	for _, name := range story.Engagements() {
		t.Run(name, func(t *testing.T) { d.with(t).assessment(name) })
	}
	t.Run("desk", func(t *testing.T) { d.with(t).desk() })
	for _, protocol := range []string{oid4vc.ProtocolSigned, oid4vc.ProtocolUnsigned} {
		t.Run(protocol, func(t *testing.T) { d.with(t).through(protocol) })
	}
	t.Run("code", func(t *testing.T) { d.with(t).code() })
	t.Run("submission", func(t *testing.T) { d.with(t).submission() })
}

// with returns the same pages for a test of their own, in a browser that has not seen them.
func (d *demoPages) with(t *testing.T) *demoPages {
	own := *d
	own.t, own.browser = t, browsertest.New(t)
	return &own
}

// until waits until an expression is true, whatever page the tab has come to.
func until(p *browsertest.Page, expression string) {
	p.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		for {
			yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
			if err == nil && yes { // an error is that of a page which is just left
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", expression, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}))
}

// arrived is true on a page, by its path, that has loaded.
func arrived(pattern string) string {
	return fmt.Sprintf(`document.readyState === "complete" && new RegExp(%q).test(location.pathname)`, pattern)
}

// assessment looks at the page of a worker's own assessment.
func (d *demoPages) assessment(name string) {
	page := d.browser.Open(d.base+"/"+name, browsertest.Options{Accept: "ja"})
	d.findings(page, "ja", name)
	d.printed(page)
	page.Axe()
	phone := d.browser.Open(d.base+"/"+name, browsertest.Options{Width: browsertest.Phone, Accept: "en"})
	d.findings(phone, "en", name)
	phone.NoSidewaysScroll()
	phone.Axe()
}

// shownFinding is a cell of the matrix.
type shownFinding struct{ Glyph, Word, Detail, Drawer, Title string }

// matrixCells reads the cells of the matrix, with the titles of their drawers, by the drawer's id.
const matrixCells = `Object.fromEntries([...document.querySelectorAll("table.mx td a")].map(a => [a.hash.slice(1), {
	Glyph: a.querySelector("b").firstChild.textContent, Word: a.querySelector(".vh").textContent,
	Detail: a.querySelector("small:not(.no)")?.textContent ?? "",
	Drawer: document.getElementById(a.hash.slice(1)).closest("details").querySelector("summary").textContent,
	Title: a.closest("tr").querySelector("th").firstChild.textContent}]))`

// findings compares the words and glyphs of every cell and its drawer with what is expected of an engagement, and the answer above them.
func (d *demoPages) findings(page *browsertest.Page, lang, name string) {
	t, want := d.t, story.Expected().Engagements[name]
	cells := browsertest.Eval[map[string]shownFinding](page, matrixCells)
	if len(cells) != len(want.Findings) {
		t.Errorf("%d findings in the matrix, want %d", len(cells), len(want.Findings))
	}
	for _, f := range want.Findings {
		got, word := cells["d-"+strings.ReplaceAll(f.Obligation, "/", "-")+"-"+f.Period], schemas.Words().Findings[f.Finding]
		if got.Glyph != word.Glyph || !strings.HasPrefix(got.Word, word.Text[lang]) || f.DaysLate > 0 && !strings.Contains(got.Detail, fmt.Sprint(f.DaysLate)) {
			t.Errorf("%s %s: the cell says %s %s %s, want %s %s %d", f.Obligation, f.Period, got.Glyph, got.Word, got.Detail, word.Glyph, word.Text[lang], f.DaysLate)
		}
		if !strings.Contains(got.Drawer, word.Glyph) || !strings.Contains(got.Drawer, word.Text[lang]) || got.Title == "" || !strings.Contains(got.Drawer, got.Title) {
			t.Errorf("%s %s: the drawer of %q says %q, want %s %s", f.Obligation, f.Period, got.Title, got.Drawer, word.Glyph, word.Text[lang])
		}
	}
	if got := page.Text("#answer"); got != answers[lang][name] {
		t.Errorf("the answer is %q, want %q", got, answers[lang][name])
	}
	counts := browsertest.Eval[[]string](page, `[...document.querySelectorAll(".attr b")].map(b => b.textContent)`)
	for i, holder := range []string{"accepting-organization", "support-organization", "worker"} {
		if len(counts) <= i || counts[i] != fmt.Sprint(want.Gaps[holder]) {
			t.Errorf("gaps by duty holder: %q, want %v", counts, want.Gaps)
		}
	}
}

// printed prints the assessment: one page, with the answer on it.
func (d *demoPages) printed(page *browsertest.Page) {
	pdf := page.PDF()
	if n := browsertest.PDFPages(pdf); n != 1 {
		d.t.Errorf("%d pages are printed, want one", n)
	}
	if answer := page.Text("#answer"); !strings.Contains(unspaced(browsertest.PDFText(d.t, pdf)), unspaced(answer)) {
		d.t.Errorf("the answer %q is not in what is printed", answer)
	}
}

// unspaced is a text without white space, which a PDF puts anywhere.
func unspaced(s string) string { return strings.Join(strings.Fields(s), "") }

// code answers a request by the code that its page shows, as whoever watches the demo has a worker do.
func (d *demoPages) code() {
	page := d.browser.Open(d.in.cfg.Verifier.URL+"/submission", browsertest.Options{Accept: "ja"})
	d.ask(page, "^/submission/cases/")
	if err := d.answerLine(d.t.Context(), "c "+page.Text("code.code")); err != nil {
		d.t.Fatal(err)
	}
	until(page, assessed)
	d.findings(page, "ja", "C")
	for _, line := range []string{"", "C", "D 1234-5678", "C 1234-5678"} {
		if err := d.answerLine(d.t.Context(), line); err == nil {
			d.t.Errorf("%q was answered", line)
		}
	}
}

// submission is what a worker without a reviewer does, at an NGO's desk for example: the wallet answers the QR code, and the assessment is printed on one
// page to hand in, saved, and verified again.
func (d *demoPages) submission() {
	page := d.browser.Open(d.in.cfg.Verifier.URL+"/submission", browsertest.Options{Width: browsertest.Phone, Accept: "ja"})
	d.ask(page, "^/submission/cases/")
	d.waiting(page, "B")
	d.findings(page, "ja", "B")
	d.drawers(page, "B")
	file, number := d.save(page), page.Text(".meta b")
	page.Click(`.bar a[href="/submission"]`)
	until(page, arrived("^/submission$"))
	page.Axe()
	page.Click(`.mine a[href$="/paper"]`)
	until(page, arrived("/paper$"))
	d.printed(page)
	if text := unspaced(browsertest.PDFText(d.t, page.PDF())); !strings.Contains(text, "疎明資料") || !strings.Contains(text, number) || !strings.Contains(text, "令和8年11月20日") {
		d.t.Errorf("the sheet says %s", text)
	}
	d.again(file, number)
}

// desk is a reviewer's case from signing in to verifying it again.
func (d *demoPages) desk() {
	page := d.signIn()
	d.ask(page, "^/desk/cases/")
	d.waiting(page, "B")
	d.findings(page, "ja", "B")
	d.drawers(page, "B")
	d.printed(page)
	file, number := d.save(page), page.Text(".meta b")
	page.Click(`.bar a[href="/desk"]`)
	until(page, arrived("^/desk$"))
	page.Axe()
	if listed := page.Text(".cases tbody"); !strings.Contains(listed, number) {
		d.t.Errorf("the desk lists %s, and not %s", listed, number)
	}
	d.again(file, number)
	page.Click(".who button")
	until(page, arrived("^/$"))
}

// signIn makes a passkey by invitation, with an authenticator that the browser makes up, and comes to the desk.
func (d *demoPages) signIn() *browsertest.Page {
	invitation := must(d.in.desk.Invite(d.t.Context(), "審査 花子"))(d.t)
	page := d.browser.Open(invitation.Link, browsertest.Options{Accept: "ja"})
	page.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tab, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
			IsUserVerified: true, AutomaticPresenceSimulation: true,
		}})
		return err
	}))
	page.NoSidewaysScroll()
	page.Axe()
	page.Click(`[data-passkey]`)
	until(page, arrived("^/desk$"))
	return page
}

// through answers a request over the Digital Credentials API, with what stands for the platform between the page and the worker's wallet. Whoever makes an unsigned
// request is nobody that the wallet knows, and the worker trusts them all the same.
func (d *demoPages) through(protocol string) {
	page := d.browser.Open(d.in.cfg.Verifier.URL+"/submission", browsertest.Options{Width: browsertest.Phone, Accept: "ja", Script: browsertest.DigitalCredentials})
	d.ask(page, "^/submission/cases/")
	for step := 1; step <= 2; step++ {
		until(page, fmt.Sprintf(`document.readyState === "complete" && document.querySelector("[data-state='waiting.%d'] ~ .through:not([hidden])") !== null`, step))
		page.Click("[data-ask] button")
		until(page, `!!window.asking`)
		data := must(d.workers["C"].credential(d.t, browsertest.Eval[string](page, `location.origin`), protocol,
			browsertest.Eval[string](page, fmt.Sprintf(`JSON.stringify(asking.options.digital.requests.find(r => r.protocol === %q).data)`, protocol))))(d.t)
		browsertest.Eval[bool](page, fmt.Sprintf(`(asking.gives({protocol: %q, data: %s}), true)`, protocol, data))
	}
	until(page, assessed)
	d.findings(page, "ja", "C")
}

// credential is what a worker's wallet answers a page of an origin.
func (w *storyWorker) credential(t *testing.T, origin, protocol, request string) (json.RawMessage, error) {
	ctx := t.Context()
	asking, err := w.wallet.OpenCredentialRequest(ctx, origin, protocol, json.RawMessage(request))
	if err != nil {
		return nil, err
	}
	if signed := protocol != oid4vc.ProtocolUnsigned; asking.Known != signed {
		t.Errorf("%s: the wallet knows who asks: %t", protocol, asking.Known)
	}
	o, err := w.without(ctx, hiddenBy("C"))
	if err != nil {
		return nil, err
	}
	o.TrustAny = !asking.Known
	answer, err := w.wallet.Answer(ctx, asking, o)
	if err != nil {
		return nil, err
	}
	data, _, err := w.wallet.Credential(ctx, asking, answer)
	return data, err
}

// ask fills in the form of a new case for the story's months, and comes to its page.
func (d *demoPages) ask(page *browsertest.Page, path string) {
	page.NoSidewaysScroll()
	page.Axe()
	page.Click(`input[name="period"][value="months"]`)
	page.Do(chromedp.SetValue(chromedp.CSS(`input[name="from"]`), string(storyFrom)), chromedp.SetValue(chromedp.CSS(`input[name="to"]`), string(storyTo)))
	page.Click(`form.new button[type="submit"]`)
	until(page, arrived(path))
	page.NoSidewaysScroll()
	page.Axe()
}

// waiting answers what the page of a case asks for, as a wallet that reads its QR code does. The page comes to the next step and to the assessment by itself.
func (d *demoPages) waiting(page *browsertest.Page, name string) {
	for step := 1; step <= 2; step++ {
		until(page, fmt.Sprintf(`document.querySelector("[data-state]")?.dataset.state === "waiting.%d" && document.querySelector("figure svg path") !== null`, step))
		link := browsertest.Eval[string](page, `document.querySelector("a[href^='openid4vp']").href`)
		if err := d.workers[name].answer(d.t.Context(), link, hiddenBy(name)); err != nil {
			d.t.Fatal(err)
		}
	}
	until(page, assessed)
}

// assessed is true on the page of an assessment that has loaded.
const assessed = `document.readyState === "complete" && document.querySelector("#answer") !== null`

// drawers opens the drawer of each gap from its cell.
func (d *demoPages) drawers(page *browsertest.Page, name string) {
	for _, f := range story.Expected().Engagements[name].Findings {
		if f.Finding != "absent" && f.Finding != "contradicted" && f.Finding != "performed_late" {
			continue
		}
		id := "d-" + strings.ReplaceAll(f.Obligation, "/", "-") + "-" + f.Period
		page.Click(`table.mx a[href="#` + id + `"]`)
		until(page, fmt.Sprintf(`document.getElementById(%q).closest("details").open`, id))
		if text := page.Text("#" + id); !strings.Contains(text, f.Due.String()) {
			d.t.Errorf("the drawer of %s %s does not say when it was due: %s", f.Obligation, f.Period, text)
		}
	}
}

// save downloads the evidence file, which the command line verifies.
func (d *demoPages) save(page *browsertest.Page) (path string) {
	dir := d.t.TempDir()
	page.Do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.CallBrowser(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
		return err
	}))
	page.Click(`a[download]`)
	for end := time.Now().Add(patience); path == ""; time.Sleep(20 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(dir, "*.evidence.json"))
		if err != nil || time.Now().After(end) {
			d.t.Fatalf("no evidence file was saved: %v", err)
		}
		if len(found) == 1 {
			path = found[0]
		}
	}
	var out strings.Builder
	args := []string{"verify", path, "--policy", d.in.cfg.dir, "--trust-anchor", d.in.cfg.path(fileAnchor)}
	if code := run(args, nil, &out, io.Discard); code != 0 || !strings.Contains(out.String(), "saved by "+d.parties["authority"].Name["ja"]) {
		d.t.Errorf("akashi verify: exit code %d: %s", code, out.String())
	}
	return path
}

var assessmentNumber = regexp.MustCompile(`^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}$`)

// again verifies the assessment again, by its number and by its file, and a file that was changed.
func (d *demoPages) again(file, number string) {
	t := d.t
	if !assessmentNumber.MatchString(number) || filepath.Base(file) != number+".evidence.json" {
		t.Errorf("the number is %q, the file %s", number, filepath.Base(file))
	}
	data := must(os.ReadFile(file))(t)
	data[len(data)/2] ^= 1
	changed := filepath.Join(t.TempDir(), "changed.json")
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	address := must(url.JoinPath(d.in.cfg.Verifier.URL, "r"))(t)
	for _, c := range []struct {
		name    string
		width   int
		give    chromedp.Action[chromedp.Void]
		verdict string
	}{
		{"by number", browsertest.Phone, chromedp.SendKeys(chromedp.CSS("#number"), strings.ToLower(number)+"\r"), "good"},
		{"by file", browsertest.Desk, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), "good"},
		{"a changed file", browsertest.Desk, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{changed}), "bad"},
	} {
		page := d.browser.Open(address, browsertest.Options{Width: c.width, Accept: "ja"})
		page.NoSidewaysScroll()
		page.Do(c.give)
		if c.width == browsertest.Desk {
			page.Click(`form[method="post"] button`)
		}
		until(page, `document.readyState === "complete" && document.querySelector("#verdict") !== null`)
		if class := browsertest.Eval[string](page, `document.querySelector("section.verdict").className`); class != "verdict "+c.verdict {
			t.Errorf("%s: the verdict is %q, want %s: %s", c.name, class, c.verdict, page.Text("#verdict"))
		}
		if c.verdict == "good" && page.Text("#answer") != answers["ja"]["B"] {
			t.Errorf("%s: the answer is %q", c.name, page.Text("#answer"))
		}
		page.NoSidewaysScroll()
		page.Axe()
	}
}
