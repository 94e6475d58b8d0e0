package verifier

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/browsertest"
)

// squeezed is the text of a page without the spaces that a PDF puts where it likes.
func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

// widelySpaced gives the text of a page the spacing that it must bear (WCAG 2.2, 1.4.12).
const widelySpaced = `(() => { const s = new CSSStyleSheet();
	s.replaceSync("*{line-height:1.5!important;letter-spacing:.12em!important;word-spacing:.16em!important} p{margin-bottom:2em!important}");
	document.adoptedStyleSheets = [s]; return true })()`

// TestAssessmentInABrowser: the served page at the widths of a desk, a phone and the narrowest reflow, light and dark.
func TestAssessmentInABrowser(t *testing.T) {
	b := browsertest.New(t)
	server := httptest.NewServer(pageServer(t))
	t.Cleanup(server.Close)
	for _, width := range []int{browsertest.Desk, browsertest.Phone, browsertest.Narrow} {
		for _, dark := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d dark %t", width, dark), func(t *testing.T) {
				p := b.Open(server.URL+"/assessment", browsertest.Options{Width: width, Dark: dark})
				if got, want := p.Text("#answer"), "期限内の履行を確認できない義務は6件。"; !strings.HasPrefix(got, want) {
					t.Errorf("the answer reads %q, want %q first", got, want)
				}
				p.NoSidewaysScroll()
				p.LoadsNothingElse(server.URL + pathAssets)
				p.Axe()
				browsertest.Eval[bool](p, widelySpaced)
				p.NoSidewaysScroll()
			})
		}
	}
	t.Run("language", func(t *testing.T) {
		p := b.Open(server.URL+"/assessment", browsertest.Options{Accept: "en"})
		if got := p.Text("#answer"); !strings.HasPrefix(got, "6 obligations are not shown as met on time") {
			t.Errorf("the answer reads %q", got)
		}
		p.Click(`.languages a[lang=ja]`)
		p.Wait(`document.documentElement.lang === "ja"`)
		p.Click(`.languages a[lang=en]`)
		p.Wait(`document.documentElement.lang === "en"`)
		p.Axe()
	})
}

// TestDrawersInABrowser: a cell leads to its drawer, which opens, with a script and without.
func TestDrawersInABrowser(t *testing.T) {
	b := browsertest.New(t)
	server := httptest.NewServer(pageServer(t))
	t.Cleanup(server.Close)
	for _, noScript := range []bool{false, true} {
		t.Run(fmt.Sprintf("without script %t", noScript), func(t *testing.T) {
			p := b.Open(server.URL+"/assessment", browsertest.Options{NoScript: noScript})
			p.Click(`a[href="#d-W-05-2026-07"]`)
			p.Wait(`document.getElementById("d-W-05-2026-07").closest("details").open`)
			if got := p.Text(`#d-W-05-2026-07`); !strings.Contains(got, "不存在を証明した時点") || strings.Contains(got, "token-") {
				t.Errorf("the drawer reads %q", got)
			}
			if n := browsertest.Eval[int](p, `document.querySelectorAll("details.drawer[open]").length`); n != 1 {
				t.Errorf("%d drawers are open", n)
			}
			if print := browsertest.Eval[bool](p, `document.querySelector("[data-print]").hidden`); print != noScript {
				t.Errorf("the button that prints is hidden: %t", print)
			}
		})
	}
}

// TestPrintedPage: a full sheet of twelve months, eight obligations and eight gaps is one page of A4 in both languages, as read and as
// submitted; what does not fit goes on under the same heading.
func TestPrintedPage(t *testing.T) {
	b := browsertest.New(t)
	on := &paper{Made: "2026-11-25（令和8年11月25日）", FileName: "7F3K-Q2MX-91TD.evidence.json"}
	for _, c := range []struct {
		name  string
		lang  string
		d     *drawn
		paper *paper
		pages int
	}{
		{"eight gaps", "ja", eightGaps(), nil, 1},
		{"eight gaps to submit", "ja", eightGaps(), on, 1},
		{"eight gaps in English", "en", eightGaps(), nil, 1},
		{"eight gaps in English to submit", "en", eightGaps(), on, 1},
		{"every finding", "ja", everyFinding(), nil, 1},
		{"many gaps", "ja", manyGaps(), nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.html")
			if err := os.WriteFile(file, []byte(c.d.html(t, c.lang, c.paper)), 0o600); err != nil {
				t.Fatal(err)
			}
			p := b.Open("file://"+file, browsertest.Options{})
			p.LoadsNothingElse()
			p.Axe()
			pdf := p.PDF()
			if n := browsertest.PDFPages(pdf); n != c.pages {
				t.Errorf("%d pages are printed, want %d", n, c.pages)
			}
			if low := browsertest.PDFLowest(t, pdf); c.pages == 1 && low > 284 {
				t.Errorf("the text reaches %.1f mm down: another font would break the page", low)
			}
			text := squeezed(browsertest.PDFText(t, pdf))
			for _, want := range []string{c.d.page(t, c.lang).Answer.First, c.d.page(t, c.lang).Answer.Second} {
				if !strings.Contains(text, squeezed(want)) {
					t.Errorf("printed is not %q", want)
				}
			}
			if n := strings.Count(text, "7F3K-Q2MX-91TD"); n < c.pages+1 {
				t.Errorf("the number is printed %d times on %d pages", n, c.pages)
			}
			if strings.Contains(text, squeezed("義務ごとの根拠")) || c.paper != nil && !strings.Contains(text, "疎明資料") {
				t.Error("the drawers are printed, or the heading of a submission is not")
			}
		})
	}
}

// manyGaps is a case that no single sheet holds.
func manyGaps() *drawn {
	d := eightGaps()
	for i := range 14 {
		due := attestation.NewDate(2026, 7, 10).AddDays(i)
		d.find("N-02", due.AddDays(-14).String(), due, compliance.Absent)
	}
	return d
}
