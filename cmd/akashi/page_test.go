package main

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"akashi/compliance"
	"akashi/schemas"
	"akashi/testdata/story"
	"akashi/verifier"
)

// cellOfPage is a cell that leads to a drawer: its glyph, and what a screen reader hears.
var cellOfPage = regexp.MustCompile(`<a href="#(d-[^"]*)"><b aria-hidden="true">([^<]*)(?:<sup>[^<]*</sup>)?</b><span class="vh">([^<]*)</span>`)

// checkPages writes the assessment of a case as a page, in both languages and for submission, and compares every cell with what is expected.
func checkPages(t *testing.T, p *player, name string, file []byte) {
	t.Helper()
	trust, err := p.in.cfg.trust()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []verifier.PageOptions{{Lang: "ja"}, {Lang: "en"}, {Submission: true, FileName: name + ".evidence.json", Made: story.Expected().AsOf}} {
		var b bytes.Buffer
		result, err := verifier.WritePage(&b, file, trust, o)
		if err != nil || result.Result != compliance.Pass {
			t.Fatalf("%+v: %v, %v", o, result, err)
		}
		page := b.String()
		if o.Lang != "" {
			comparePage(t, page, o.Lang, story.Expected().Engagements[name])
		}
		if lang := o.Lang; lang != "" && !strings.Contains(page, `id="answer">`+html.EscapeString(answers[lang][name])+"<") {
			t.Errorf("in %s the answer is not %q", lang, answers[lang][name])
		}
		if o.Submission && (!strings.Contains(page, "疎明資料") || !strings.Contains(page, "令和8年11月20日") || strings.Contains(page, "<details")) {
			t.Error("the page to submit lacks its heading or a date in the Japanese calendar, or it has drawers")
		}
	}
}

// comparePage compares the cells of a page with the findings that are expected.
func comparePage(t *testing.T, page, lang string, want story.Case) {
	t.Helper()
	type cell struct{ glyph, word string }
	cells := map[string]cell{}
	for _, m := range cellOfPage.FindAllStringSubmatch(page, -1) {
		cells[m[1]] = cell{m[2], strings.TrimSpace(html.UnescapeString(m[3]))}
	}
	if len(cells) != len(want.Findings) {
		t.Errorf("%d cells, want %d", len(cells), len(want.Findings))
	}
	for _, f := range want.Findings {
		word := schemas.Words().Findings[f.Finding]
		heard := word.Text[lang]
		if f.DaysLate > 0 {
			heard += " " + strings.ReplaceAll(word.Detail[lang], "{n}", fmt.Sprint(f.DaysLate))
		}
		got := cells["d-"+strings.ReplaceAll(f.Obligation, "/", "-")+"-"+f.Period]
		if got.glyph != word.Glyph || !strings.HasPrefix(got.word, heard) {
			t.Errorf("%s %s: the cell says %s %q, want %s %q", f.Obligation, f.Period, got.glyph, got.word, word.Glyph, heard)
		}
	}
}
