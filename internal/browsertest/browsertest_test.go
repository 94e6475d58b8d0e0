package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const good = `<!doctype html><html lang="en"><head><title>A page</title><meta name="viewport" content="width=device-width">
<style>@page{size:A4}</style></head><body><main><h1>Hello</h1><button onclick="this.textContent='on'">off</button>
<details><summary>more</summary><p>hidden</p></details></main></body></html>`

// recorder is a test that is told of failures and goes on.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func serve(t *testing.T, pages map[string]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path == "/policy" {
			w.Header().Set("Content-Security-Policy", "img-src 'none'")
		}
		_, _ = w.Write([]byte(strings.ReplaceAll(body, "LANGUAGE", r.Header.Get("Accept-Language"))))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestPage(t *testing.T) {
	b := New(t)
	s := serve(t, map[string]string{"/": good, "/language": "<p>LANGUAGE</p>"})
	p := b.Open(s.URL, Options{Width: Phone})
	if got := p.Text("h1"); got != "Hello" {
		t.Errorf("the heading reads %q", got)
	}
	p.Click("button")
	p.Wait(`document.querySelector("button").textContent === "on"`)
	p.NoSidewaysScroll()
	p.LoadsNothingElse()
	p.Axe()
	if width := Eval[int](p, `innerWidth`); width != Phone {
		t.Errorf("the window is %d px wide", width)
	}
	if png := p.Screenshot(); !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("the picture begins with %.4q", png)
	}
	pdf := p.PDF()
	if n := PDFPages(pdf); n != 1 {
		t.Errorf("%d pages are printed", n)
	}
	if text := PDFText(t, pdf); !strings.Contains(text, "Hello") {
		t.Errorf("printed is %q", text)
	}
	if y := PDFLowest(t, pdf); y < 10 || y > 100 {
		t.Errorf("the text reaches %.0f mm down", y)
	}
	if got := b.Open(s.URL+"/language", Options{Accept: "en"}).Text("p"); got != "en" {
		t.Errorf("the page was asked for in %q", got)
	}
}

func TestNoScript(t *testing.T) {
	b := New(t)
	s := serve(t, map[string]string{"/": `<!doctype html><title>x</title><p>off</p><script>document.querySelector("p").textContent = "on"</script>`})
	for _, off := range []bool{true, false} {
		want := "on"
		if off {
			want = "off"
		}
		if got := b.Open(s.URL, Options{NoScript: off}).Text("p"); got != want {
			t.Errorf("scripts off %t: %q, want %q", off, got, want)
		}
	}
}

// TestFindsWhatIsWrong: the checks that a page must pass do fail.
func TestFindsWhatIsWrong(t *testing.T) {
	b := New(t)
	s := serve(t, map[string]string{
		"/wide":    `<!doctype html><title>x</title><div style="width:2000px">x</div>`,
		"/other":   `<!doctype html><title>x</title><img src="/nothing.png" alt="">`,
		"/policy":  `<!doctype html><title>x</title><img src="/nothing.png" alt="">`,
		"/unnamed": `<!doctype html><html><title>x</title><img src="data:,">`,
	})
	for _, c := range []struct {
		path  string
		check func(*Page)
		axe   bool
	}{
		{"/wide", (*Page).NoSidewaysScroll, false},
		{"/other", func(p *Page) { p.LoadsNothingElse(s.URL + "/assets/") }, false},
		{"/policy", func(p *Page) { p.LoadsNothingElse(s.URL) }, false},
		{"/unnamed", (*Page).Axe, true},
	} {
		t.Run(c.path, func(t *testing.T) {
			if c.axe && axePath() == "" {
				t.Skip("AKASHI_AXE is not set")
			}
			r := &recorder{TB: t}
			p := b.Open(s.URL+c.path, Options{})
			p.t = r
			if c.check(p); len(r.failures) == 0 {
				t.Error("nothing was found")
			}
		})
	}
}
