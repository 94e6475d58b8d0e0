package verifier_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"akashi/internal/browsertest"
	"akashi/verifier"
)

// arrive waits until a condition holds on a page that is complete, over as many navigations as it takes.
func arrive(p *browsertest.Page, condition string) {
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for {
			there, err := chromedp.Evaluate[bool](`document.readyState === "complete" && !!(`+condition+`)`)(ctx, t)
			if err == nil && there {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", condition, ctx.Err())
			case <-time.After(20 * time.Millisecond): // a page that is being left answers with an error
			}
		}
	}))
}

// come sets the cookie of a signed-in reviewer in a page's browser, and opens a page.
func (w *deskWorld) come(p *browsertest.Page, c *http.Cookie, path string) {
	w.t.Helper()
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: w.url + "/", Path: "/", Secure: new(true), HTTPOnly: new(true)})
		return err
	}), chromedp.Navigate(w.url+path))
}

// look writes a picture of a page where AKASHI_SHOTS names a folder, for people.
func look(t *testing.T, p *browsertest.Page, name string) {
	t.Helper()
	dir := os.Getenv("AKASHI_SHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), p.Screenshot(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDeskInABrowser: from the desk (R1) over the answer of a wallet to the assessment (R2), the saved file (R4) and the page that verifies it again (R5),
// at the widths of a desk and of a phone, in both languages. The page moves on by itself.
func TestDeskInABrowser(t *testing.T) {
	for _, c := range []struct {
		name, lang string
		width      int
		waiting    string
		step2      string
		answered   string
		same       string
	}{
		{"desk in Japanese", "ja", browsertest.Desk, "提示を待っています", "続けて、2回目の読み取り", "期限内に履行", "印刷されたときと同じ"},
		{"narrow phone in English", "en", browsertest.Narrow, "Waiting for the proof", "Once more: the second request", "fulfilled in time", "Same as printed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
			p := browsertest.New(t).Open(w.url+"/", browsertest.Options{Width: c.width, Accept: c.lang})
			check := func(name string) {
				t.Helper()
				p.NoSidewaysScroll()
				p.LoadsNothingElse(w.url)
				p.Axe()
				look(t, p, c.lang+"-"+name)
			}
			check("home")
			w.come(p, w.desk.Enter(t, "r1", "審査 太郎"), "/desk")
			check("desk")
			months := func() string {
				return browsertest.Eval[string](p, `document.querySelector("[name=period]:checked").value + document.querySelector("[name=from]").value`)
			}
			browsertest.Eval[bool](p, `(f => (f.value = "2025-11", f.dispatchEvent(new Event("input", {bubbles: true}))))(document.querySelector("[name=from]"))`)
			if got := months(); got != "months2025-11" {
				t.Errorf("months filled in: %q", got)
			}
			p.Click(`input[name=period][value="0"]`)
			if got := months(); got != "0" {
				t.Errorf("and another period chosen: %q", got)
			}
			p.Click(".new button[type=submit]")
			arrive(p, `location.pathname.startsWith("/desk/cases/")`)
			if got := p.Text("h1"); !strings.Contains(got, c.waiting) {
				t.Errorf("while waiting: %q", got)
			}
			check("waiting")
			h := w.worker()
			link := func() string { return browsertest.Eval[string](p, `document.querySelector("a[href^=openid4vp]").href`) }
			h.answer(link())
			arrive(p, `document.querySelector("[data-state='waiting.2']")`)
			if got := p.Text("h1"); !strings.Contains(got, c.step2) {
				t.Errorf("the second step: %q", got)
			}
			check("step2")
			h.answer(link())
			arrive(p, `document.querySelector("#answer")`)
			if got := p.Text("#answer"); !strings.Contains(got, c.answered) {
				t.Errorf("the answer: %q", got)
			}
			check("assessment")
			file := browsertest.Eval[string](p, `document.querySelector("a[download]").href`)
			if !strings.HasSuffix(file, "/evidence") {
				t.Errorf("the evidence file is at %s", file)
			}
			number := strings.ReplaceAll(browsertest.Eval[string](p, `document.querySelector(".qr code").textContent`), "-", "")
			p.Do(chromedp.Navigate(w.url + "/desk"))
			check("cases")
			p.Do(chromedp.Navigate(w.url + "/r"))
			check("reverify")
			p.Do(chromedp.SetValue(chromedp.CSS("#number"), number))
			p.Click("form[method=get] button")
			arrive(p, `document.querySelector("#verdict")`)
			if got := p.Text("#verdict"); got != c.same {
				t.Errorf("verified again: %q", got)
			}
			check("reverified")
		})
	}
}

// TestEndsInABrowser: the page tells at once that a case has come to nothing, and what to do.
func TestEndsInABrowser(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	p := b.Open(w.url+"/", browsertest.Options{Width: browsertest.Phone, Accept: "ja"})
	w.come(p, w.desk.Enter(t, "r1", "審査 太郎"), "/desk")
	open := func() string {
		p.Click(`input[name=period][value="12"]`)
		p.Click(".new button[type=submit]")
		arrive(p, `document.querySelector("a[href^=openid4vp]")`)
		return browsertest.Eval[string](p, `document.querySelector("a[href^=openid4vp]").href`)
	}
	w.refuse(open(), "access_denied")
	arrive(p, `document.querySelector("[data-state='refused']")`)
	if got := p.Text(".trouble"); !strings.Contains(got, "提示は任意です") {
		t.Errorf("refused: %q", got)
	}
	p.NoSidewaysScroll()
	p.Axe()
	look(t, p, "refused")
	p.Click(".again button[type=submit]")
	arrive(p, `document.querySelector("a[href^=openid4vp]")`)
	w.clock.forward(6 * time.Minute)
	arrive(p, `document.querySelector("[data-state='expired']")`)
	if got := p.Text("h1"); !strings.Contains(got, "要求の期限が切れました") {
		t.Errorf("expired: %q", got)
	}
}

// TestSubmissionInABrowser: a worker alone, on a phone, to the one page that is handed in.
func TestSubmissionInABrowser(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	p := b.Open(w.url+"/submission", browsertest.Options{Width: browsertest.Phone, Accept: "ja"})
	check := func(name string) {
		t.Helper()
		p.NoSidewaysScroll()
		p.LoadsNothingElse(w.url)
		p.Axe()
		look(t, p, "submission-"+name)
	}
	check("start")
	p.Click(".new button[type=submit]")
	arrive(p, `document.querySelector("a[href^=openid4vp]")`)
	code := browsertest.Eval[string](p, `document.querySelector("code.code").textContent`)
	phone := b.Open(w.url+"/c", browsertest.Options{Width: browsertest.Phone, Accept: "ja"})
	phone.NoSidewaysScroll()
	phone.Axe()
	look(t, phone, "code-form")
	phone.Do(chromedp.SetValue(chromedp.CSS("#code"), code))
	phone.Click("form button")
	arrive(phone, `document.querySelector("a[href^=openid4vp]")`)
	phone.NoSidewaysScroll()
	phone.Axe()
	look(t, phone, "code")
	onPhone := func() string {
		return browsertest.Eval[string](phone, `document.querySelector("a[href^=openid4vp]").href`)
	}
	w.worker().answer(onPhone())
	arrive(phone, `document.querySelector("[data-state='waiting.2']")`)
	w.worker().answer(onPhone())
	arrive(p, `document.querySelector("#answer")`)
	p.Do(chromedp.Navigate(w.url + "/submission"))
	check("made")
	p.Click(`.mine a[href$="/paper"]`)
	arrive(p, `document.querySelector(".kind")`)
	if n := browsertest.PDFPages(p.PDF()); n != 1 {
		t.Errorf("the form has %d pages", n)
	}
	check("paper")
}

// TestChangesInABrowser: what was recorded since is told at the head of the page.
func TestChangesInABrowser(t *testing.T) {
	b := browsertest.New(t)
	w := newDeskWorldOver(t, &registryDown{}, onThisMachine, nil)
	r := w.signedIn("r1", "審査 太郎")
	number := verifier.AssessmentNumber(r.saved(w.answered(r, "/desk")))
	w.recordDecember()
	p := b.Open(w.url+"/r/"+number, browsertest.Options{Width: browsertest.Phone, Accept: "ja"})
	if got := p.Text("#verdict"); !strings.Contains(got, "印刷の後に 2 件の変化あり") {
		t.Errorf("the verdict: %q", got)
	}
	p.NoSidewaysScroll()
	p.Axe()
	look(t, p, "changed")
}
