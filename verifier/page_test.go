package verifier

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"text/template/parse"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
	"akashi/schemas"
)

// TestTemplatesNameTexts: every text that a template names by its key is in the catalogues.
func TestTemplatesNameTexts(t *testing.T) {
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil || len(names) == 0 {
		t.Fatalf("templates %v, %v", names, err)
	}
	seen := 0
	for _, name := range names {
		text, err := pageFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:t|t2|both) "([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
			if seen++; !i18n.Has(m[1]) {
				t.Errorf("%s names the text %q, which no catalogue has", name, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d texts were found", seen)
	}
}

// TestSourcesNameTexts: so is every key that the source of a page names in full, and every value of a vocabulary has its word.
func TestSourcesNameTexts(t *testing.T) {
	files, err := filepath.Glob("page*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if lit, isLit := call.Args[0].(*ast.BasicLit); ok && isLit && (fun.Sel.Name == "t" || fun.Sel.Name == "second") {
				if key, _ := strconv.Unquote(lit.Value); !i18n.Has(key) {
					t.Errorf("%s names the text %q, which no catalogue has", file, key)
				}
			}
			return true
		})
	}
	for prefix, values := range map[string][]string{
		"role.":        {string(attestation.AcceptingOrganization), string(attestation.SupportOrganization), string(attestation.Worker), string(attestation.Bank), string(attestation.Authority)},
		"kind.":        {attestation.WageRegular, attestation.WagePart, attestation.WageFinal, attestation.WageZero},
		"source.":      {attestation.SourceAccountStatement, attestation.SourceAccountProvider, attestation.SourcePayerTransferResult, attestation.SourceTranscribed, attestation.SourceAuthority},
		"mode.":        {attestation.ModeInPerson, attestation.ModeOnline},
		"interviewee.": {attestation.IntervieweeWorker, attestation.IntervieweeSupervisor},
		"channel.":     {attestation.ChannelESystem, attestation.ChannelCounter, attestation.ChannelPost},
		"reason.":      {attestation.ReasonEmployer, attestation.ReasonWorker, attestation.ReasonExpiry, attestation.ReasonAuthority},
		"statement.": {attestation.StatementUnpaid, attestation.StatementNotHeld, attestation.StatementDemand, attestation.StatementComplaint, attestation.StatementJobSearch,
			attestation.StatementContradiction, attestation.StatementEnded, attestation.StatementAccept, attestation.StatementRetract, attestation.StatementFiled},
		"result.": {"pass", "fail", "unknown"},
		"legend.": {"fulfilled", "late", "contradicted", "absent", "undisclosed", "not_due", "pending", "unknown"},
	} {
		for _, v := range values {
			if !i18n.Has(prefix + v) {
				t.Errorf("no catalogue has %s%s", prefix, v)
			}
		}
	}
	for _, o := range schemas.Obligations() {
		keys := []string{"due." + o.Deadline, "role." + o.DutyHolder}
		if o.Deadline == "pay-day" {
			keys = []string{"due.pay-day_0", "due.pay-day_1", "due.pay-day_2", "due.pay-day_0_last", "due.pay-day_1_last", "due.pay-day_2_last"}
		}
		for _, s := range o.Streams {
			keys = append(keys, "stream."+s)
		}
		for _, key := range keys {
			if !i18n.Has(key) {
				t.Errorf("%s: no catalogue has %s", o.ID, key)
			}
		}
	}
	for _, typ := range attestation.Types {
		if typ != attestation.TypeEngagement && !i18n.Has("type."+string(typ)) {
			t.Errorf("no catalogue has type.%s", typ)
		}
	}
}

// TestCodesHaveSentences: the drawer has a sentence for every code of a check.
func TestCodesHaveSentences(t *testing.T) {
	seen := 0
	for _, source := range []string{"verify.go", "../compliance/codes.go", "../internal/evidence/codes.go", "../internal/evidence/entry.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") && !strings.HasPrefix(spec.Names[0].Name, "Reason") {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				code, _ := strconv.Unquote(lit.Value)
				if seen++; !i18n.Has("check." + code) {
					t.Errorf("%s: %s has no sentence: check.json", source, code)
				}
			}
			return true
		})
	}
	if seen < 80 {
		t.Errorf("only %d codes were found", seen)
	}
}

// rawKey is the key of a text as it would stand on a page that forgot to look it up.
var rawKey = regexp.MustCompile(`\b(assessment|role|due|stream|statement|fact|legend|checks|result|drawer|value|kind|source|interviewee|mode|channel|reason|paper|page|doubt)\.[a-z_]+`)

func TestNoPageShowsAKey(t *testing.T) {
	for _, lang := range i18n.Languages {
		for name, d := range map[string]*drawn{"every finding": everyFinding(), "eight gaps": eightGaps()} {
			html := regexp.MustCompile(`(?s)<style>.*</style>|<code>[^<]*</code>`).ReplaceAllString(d.html(t, lang, nil), "")
			if found := rawKey.FindString(html); found != "" {
				t.Errorf("%s in %s shows %s", name, lang, found)
			}
		}
	}
}

// cellText finds a finding's cell by its drawer: glyph, and what a screen reader hears.
func cellText(t *testing.T, text, drawer string) (glyph, heard, seen string) {
	t.Helper()
	m := regexp.MustCompile(`<a href="#` + regexp.QuoteMeta(drawer) + `"><b aria-hidden="true">([^<]*)(?:<sup>([^<]*)</sup>)?</b><span class="vh">([^<]*)</span>((?:<small[^>]*>[^<]*</small>)*)</a>`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no cell of %s", drawer)
	}
	for i := range m {
		m[i] = html.UnescapeString(m[i])
	}
	return m[1], strings.TrimSpace(m[3]), strings.TrimSpace(m[2] + " " + regexp.MustCompile(`<[^>]*>|\s+`).ReplaceAllString(m[4], ""))
}

func TestCells(t *testing.T) {
	ja, en := everyFinding().html(t, "ja", nil), everyFinding().html(t, "en", nil)
	for _, c := range []struct{ drawer, glyph, ja, en, seen string }{
		{"d-W-05-2026-01", "○", "履行", "fulfilled", ""},
		{"d-W-05-2026-02", "○", "履行・0円", "fulfilled, ¥0", ""},
		{"d-W-05-2026-03", "△", "遅延 +6日", "late +6 days", "+6日E-1"},
		{"d-W-05-2026-04", "△", "不足 ¥42,000", "short ¥42,000", "¥42,000E-2"},
		{"d-W-05-2026-05", "△", "是正 7/3", "remedied 3 Jul", "7/3E-3"},
		{"d-W-05-2026-06", "≠", "矛盾", "contradicted", "E-4"},
		{"d-W-05-2026-07", "×", "不存在・無効な記録", "proven absent, invalid record", "E-5"},
		{"d-W-05-2026-08", "!", "検証不能", "cannot verify", ""},
		{"d-W-05-2026-09", "？", "未提示・有無は不明", "undisclosed, existence unknown", "†"},
		{"d-W-05-2026-10", "…", "処理中", "pending", ""},
		{"d-W-03-2026-03", "？", "未提示", "undisclosed", ""},
		{"d-S-10-worker-2026-Q1", "○", "履行・当事者の記録のみ", "fulfilled, own record only", "*"},
		{"d-S-10-supervisor-2026-Q2", "△", "記録遅れ +21日", "recorded late +21 days", "+21日E-6"},
		{"d-S-10-supervisor-2026-Q3", "–", "免除", "excused", ""},
		{"d-P-01-FY2026", "–", "期限前", "not due", ""},
	} {
		t.Run(c.drawer, func(t *testing.T) {
			glyph, heard, seen := cellText(t, ja, c.drawer)
			if glyph != c.glyph || heard != c.ja || seen != c.seen {
				t.Errorf("ja: %s %q, seen %q; want %s %q, %q", glyph, heard, seen, c.glyph, c.ja, c.seen)
			}
			if glyph, heard, _ := cellText(t, en, c.drawer); glyph != c.glyph || heard != c.en {
				t.Errorf("en: %s %q; want %s %q", glyph, heard, c.glyph, c.en)
			}
		})
	}
	for _, want := range []string{
		`<span class="vh">対象外 </span>`, // a month without a duty of the kind
		"不存在証明 11/20", "契約の額を下回る", "所属機関 ¥212,000 ≠ 銀行 ¥170,000（差額 ¥42,000）", "無効な記録 8/5（株式会社見本製造）", "7/30 未払の申立て", "（委託元）株式会社見本製造",
	} {
		if !strings.Contains(ja, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestMatrixIsATable: rows and columns have their headings, for readers who hear the table.
func TestMatrixIsATable(t *testing.T) {
	html := eightGaps().html(t, "ja", nil)
	for _, c := range []struct {
		what string
		n    int
	}{{`<th scope="row">賃金`, 2}, {`<span class="vh">2026年7月</span>`, 1}, {`<th scope="col" class="m out">`, 1}, {`id="E-8"`, 1}, {`id="E-9"`, 0}} {
		if n := strings.Count(html, c.what); n != c.n {
			t.Errorf("%s stands %d times, want %d", c.what, n, c.n)
		}
	}
}

// TestRowsOfEvents: what arises from the end of the contract is not applicable only where every slot that could tell of an end was opened.
func TestRowsOfEvents(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*drawn)
		rows  int
	}{
		{"all opened", func(*drawn) {}, 3},
		{"one not opened", func(d *drawn) { d.facts.Ladders[1].Opened = false }, 0},
		{"one of a later year not opened", func(d *drawn) {
			d.facts.Ladders = append(d.facts.Ladders, compliance.Ladder{Stream: attestation.SeparationOffice, Period: "events-FY2027"})
		}, 3},
		{"none known", func(d *drawn) { d.facts.Ladders = nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDrawn()
			d.find("W-05", "2026-01", attestation.NewDate(2026, 1, 26), compliance.Fulfilled)
			c.spoil(d)
			p := d.page(t, "ja")
			if n := len(p.Blocks[0].Rows) - 1; n != c.rows {
				t.Errorf("%d rows of events, want %d", n, c.rows)
			}
			if said := strings.Contains(strings.Join(p.Notes, " "), "legend.events_not_opened"); said != (c.rows == 0) {
				t.Errorf("the note stands there: %t", said)
			}
		})
	}
}

// TestLongRange: more months than fit beside each other go on in a further table.
func TestLongRange(t *testing.T) {
	d := newDrawn()
	d.facts.Last = "2027-10"
	d.find("W-05", "2026-01", attestation.NewDate(2026, 1, 26), compliance.Fulfilled)
	p := d.page(t, "ja")
	if len(p.Blocks) != 2 || len(p.Blocks[0].Months) != 12 || len(p.Blocks[1].Months) != 12 || p.Blocks[1].Months[0].Year != "2026" {
		t.Errorf("blocks %+v", p.Blocks)
	}
}

func TestAnswer(t *testing.T) {
	due := attestation.NewDate(2026, 1, 26)
	with := func(findings ...compliance.Finding) *drawn {
		d := newDrawn()
		for i, f := range findings {
			d.find("W-05", string(attestation.MonthOf(due.AddMonths(i))), due.AddMonths(i), f)
		}
		return d
	}
	for _, c := range []struct {
		name   string
		d      *drawn
		ja, en string
	}{
		{"gaps", with(compliance.Absent, compliance.Fulfilled), "期限内の履行を確認できない義務は1件。義務者は所属機関1件・支援機関0件、本人0件。", "1 obligation is not shown as met on time: employer 1, supporter 0, worker 0."},
		{"gaps and what was not shown", with(compliance.Absent, compliance.Absent, compliance.Undisclosed), "期限内の履行を確認できない義務は2件。義務者は所属機関2件・支援機関0件、本人0件。", "2 obligations are not shown as met on time: employer 2, supporter 0, worker 0."},
		{"all fulfilled", with(compliance.Fulfilled, compliance.NotDue), "対象期間の義務はすべて期限内に履行。", "Every obligation of the period was fulfilled in time."},
		{"not all shown", with(compliance.Fulfilled, compliance.Undisclosed), "提示された範囲では、対象期間の義務はすべて期限内に履行。", "Within what was shown, every obligation of the period was fulfilled in time."},
		{"not all decided", with(compliance.Fulfilled, compliance.Unknown), "判定できた範囲では、対象期間の義務はすべて期限内に履行。", "As far as it could be judged, every obligation of the period was fulfilled in time."},
		{"inside grace", with(compliance.Fulfilled, compliance.Pending), "判定できた範囲では、対象期間の義務はすべて期限内に履行。", "As far as it could be judged, every obligation of the period was fulfilled in time."},
		{"nothing due", with(compliance.NotDue), "対象期間に期限の到来した義務はない。", "No obligation of the period has fallen due."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.d.page(t, "ja").Answer; got.First != c.ja || got.Second != c.en {
				t.Errorf("got %q, %q; want %q, %q", got.First, got.Second, c.ja, c.en)
			}
		})
	}
}

// TestAnswerIsWithheld: when the log, its auditors or the engagement do not hold, the page says so and shows no counts. One cell that cannot be
// judged changes nothing of the kind.
func TestAnswerIsWithheld(t *testing.T) {
	add := func(code string, r compliance.Result) func(*drawn) {
		return func(d *drawn) {
			d.result.Assessment.Checks = append(d.result.Assessment.Checks, compliance.Check{Code: code, Result: r})
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*drawn)
		holds bool
	}{
		{"all holds", func(*drawn) {}, true},
		{"a cell cannot be verified", func(d *drawn) { d.find("W-05", "2026-02", attestation.NewDate(2026, 2, 25), compliance.Unknown) }, true},
		{"a later engagement is in force", add(evidence.CodeEngagementInForce, compliance.CannotTell), true},
		{"the terms are the employer's word", add(compliance.CodeTermsAsStated, compliance.CannotTell), true},
		{"the verification failed", func(d *drawn) { d.result.Result = compliance.Fail }, false},
		{"it cannot be decided", func(d *drawn) { d.result.Result = compliance.CannotTell }, false},
		{"the auditors' quorum is missing", add(compliance.CodeAuditorsQuorum, compliance.CannotTell), false},
		{"the head is old", add(compliance.CodeHeadFresh, compliance.CannotTell), false},
		{"the engagement fails", add(evidence.CodeEngagementInForce, compliance.Fail), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDrawn()
			d.find("W-05", "2026-01", attestation.NewDate(2026, 1, 26), compliance.Absent)
			c.spoil(d)
			html := d.html(t, "ja", nil)
			withheld, counted := strings.Contains(html, `id="answer">検証不能：`), strings.Contains(html, "期限内の履行を確認できない義務は") || strings.Contains(html, `<ul class="attr"`)
			if withheld == c.holds || counted != c.holds {
				t.Errorf("withheld %t, counted %t", withheld, counted)
			}
		})
	}
}

// TestWorkerIsNamedOnlyIfDisclosed, and never as markup.
func TestWorkerIsNamedOnlyIfDisclosed(t *testing.T) {
	d := newDrawn()
	d.find("W-05", "2026-01", attestation.NewDate(2026, 1, 26), compliance.Fulfilled)
	if html := d.html(t, "ja", nil); !strings.Contains(html, "NGUYEN VAN AN") || strings.Contains(html, "氏名は開示されていない") {
		t.Error("the name that was disclosed does not stand there")
	}
	hostile, card := `<script>alert(1)</script>`, "ZZ12345678YY"
	d.facts.Shown.WorkerIdentity = &attestation.WorkerIdentity{Name: &hostile, CardNumber: &card}
	html := d.html(t, "ja", nil)
	if strings.Contains(html, hostile) || !strings.Contains(html, "&lt;script&gt;") {
		t.Error("the name is not escaped")
	}
	if strings.Contains(html, card) || !strings.Contains(html, "ZZ••••••78YY") {
		t.Error("the card's number is not masked")
	}
	d.facts.Shown.WorkerIdentity = nil
	if html := d.html(t, "ja", nil); strings.Contains(html, "NGUYEN") || !strings.Contains(html, "氏名は開示されていない") {
		t.Error("the page does not say that no name was disclosed")
	}
}

// TestWordsThatThePageNeverSays: it reports evidence, and keeps to its vocabulary.
func TestWordsThatThePageNeverSays(t *testing.T) {
	for _, d := range []*drawn{everyFinding(), eightGaps()} {
		ja, en := d.html(t, "ja", nil), strings.ToLower(d.html(t, "en", nil))
		for _, word := range []string{"許可する", "不許可", "欠落", "未確認", "違反"} {
			if strings.Contains(ja, word) {
				t.Errorf("the page says %s", word)
			}
		}
		for _, word := range []string{"violat", "refuse", "was not paid"} {
			if strings.Contains(en, word) {
				t.Errorf("the page says %s", word)
			}
		}
	}
}

func TestDrawers(t *testing.T) {
	html := everyFinding().html(t, "ja", nil)
	of := func(id string) string {
		_, rest, ok := strings.Cut(html, `id="`+id+`"`)
		if !ok {
			t.Fatalf("there is no drawer %s", id)
		}
		out, _, _ := strings.Cut(rest, `<details class="drawer">`)
		return out
	}
	for id, wants := range map[string][]string{
		"d-W-05-2026-07": {"不存在を証明した時点", "2026-11-20 00:00 JST", "有効な記録がないことを証明：入金証明", "支払証明</b>（無効）", "株式会社見本製造（8990000000001）", "<pre tabindex=\"0\">token-", "entry.of_a_later_release", "労働基準法第24条"},
		"d-W-03-2026-03": {"見本銀行（5990000000004）", "入金額</dt><dd class=\"und\">未提示", "開示された期間から取得", "2026-03-31", "判定に要する項目が提示されていない"},
		"d-P-01-FY2026":  {"この判定の根拠となる記録はない"},
	} {
		drawer := of(id)
		for _, want := range wants {
			if !strings.Contains(drawer, want) {
				t.Errorf("the drawer %s does not say %q", id, want)
			}
		}
	}
	if strings.Contains(of("d-W-05-2026-01"), "token-") {
		t.Error("a drawer shows a token of another duty")
	}
}

// inline is what a strict policy would have to refuse.
var inline = regexp.MustCompile(`(?i)<[^>]*\s(style|on[a-z]+)=|<script(?:>|\s[^>]*>[^<])|javascript:|<style`)

func TestTemplatesHaveNothingInline(t *testing.T) {
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := pageFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "pages/"+layoutAlone+".html" { // has its one style sheet in it
			text = []byte(strings.Replace(string(text), "<style>{{.Style}}</style>", "", 1))
		}
		if found := inline.Find(text); found != nil {
			t.Errorf("%s has %s", name, found)
		}
	}
}

// pageServer answers with the pages of this test.
func pageServer(t *testing.T) http.Handler {
	t.Helper()
	r := mux.NewRouter()
	routeAssets(r)
	answer := func(name string, data any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := render(w, r, http.StatusOK, name, data); (err != nil) != (data == nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	r.HandleFunc("/assessment", func(w http.ResponseWriter, r *http.Request) {
		if err := render(w, r, http.StatusOK, pageAssessment, everyFinding().page(t, i18n.Of(r))); err != nil {
			t.Error(err)
		}
	})
	r.HandleFunc("/broken", answer(pageAssessment, nil))
	r.HandleFunc("/unknown", answer("nothing", nil))
	r.HandleFunc("/problem", func(w http.ResponseWriter, r *http.Request) {
		if err := renderProblem(w, r, http.StatusNotFound, ""); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRender(t *testing.T) {
	server := pageServer(t)
	for _, c := range []struct {
		target, method string
		status         int
		holds          string
	}{
		{"/assessment", "GET", 200, `<html lang="ja">`},
		{"/assessment?lang=en&a=b", "GET", 200, `<html lang="en">`},
		{"/assessment?lang=en&a=b", "GET", 200, `href="/assessment?a=b&amp;lang=ja"`},
		{"/problem", "GET", 404, "このページはありません"},
		{"/broken", "GET", 500, "内部の誤りです"},
		{"/unknown", "GET", 500, "内部の誤りです"},
	} {
		t.Run(c.target, func(t *testing.T) {
			w := httptest.NewRecorder()
			server.ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
			body := w.Body.String()
			if w.Code != c.status || !strings.Contains(body, c.holds) || !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
				t.Errorf("%d, %d octets, want %d with %q", w.Code, len(body), c.status, c.holds)
			}
			for name, want := range map[string]string{
				"Content-Security-Policy": pagePolicy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest("POST", "/assessment", nil))
	if strings.Contains(w.Body.String(), "hreflang") {
		t.Error("the answer to a form links to itself in other languages")
	}
}

func TestAssets(t *testing.T) {
	server := pageServer(t)
	address, err := assetURL("page.css")
	if err != nil || !regexp.MustCompile(`^/assets/page-[0-9a-f]{16}\.css$`).MatchString(address) {
		t.Fatalf("page.css is at %q, %v", address, err)
	}
	for _, c := range []struct {
		target string
		status int
		cache  string
	}{
		{address, 200, "public, max-age=31536000, immutable"},
		{"/assets/page.css", 404, ""},
		{"/assets/layout.html", 404, ""},
		{"/assets/page.go", 404, ""},
	} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequest("GET", c.target, nil))
		if w.Code != c.status || w.Header().Get("Cache-Control") != c.cache {
			t.Errorf("%s: %d, %q", c.target, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if _, err := assetURL("nothing.css"); err == nil {
		t.Error("an asset that is not there has an address")
	}
}

func TestParsePagesRefuses(t *testing.T) {
	for name, text := range map[string]string{"no template": `{{`, "unknown function": `{{f}}`} {
		t.Run(name, func(t *testing.T) {
			if _, err := parsePages(fstest.MapFS{"pages/layout.html": {Data: []byte("x")}, "pages/_x.html": {Data: []byte("x")}, "pages/a.html": {Data: []byte(text)}}); err == nil {
				t.Error("it was parsed")
			}
		})
	}
}

// TestEveryPageHasItsParts: what layout.html leaves open is defined by every page.
func TestEveryPageHasItsParts(t *testing.T) {
	for lang, pages := range pageTemplates() {
		for name, page := range pages {
			for _, part := range []string{"title", "main"} {
				if p := page.Lookup(part); p == nil || parse.IsEmptyTree(p.Tree.Root) {
					t.Errorf("%s in %s has no %s", name, lang, part)
				}
			}
		}
	}
	if _, err := os.Stat("pages/" + layoutServed + ".html"); err != nil {
		t.Error(err)
	}
}

// BenchmarkPage lays out and writes the page of a year with eight gaps, of what was verified before.
func BenchmarkPage(b *testing.B) {
	d := eightGaps()
	for b.Loop() {
		d.html(b, "ja", nil)
	}
}
