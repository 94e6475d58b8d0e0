package verifier

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
	"akashi/schemas"
)

// pageAssessment is the page of an assessment: the answer, who answers for what, the duties by month, the evidence of each gap, the checks,
// and below all of that one drawer for each duty with what its finding rests on.
const pageAssessment = "assessment"

// assessmentLinks are what a page of an assessment leads to; "" for what there is not.
type assessmentLinks struct {
	Service  string // URL of the service whose page verifies a printed assessment again
	Evidence string // where the evidence file is saved from
	Desk     string // where the reviewer came from
}

// renderAssessment answers with the page of an evidence file (R2 and R3), which is verified for it: nothing is shown that was only stored. The
// error is for the log.
func renderAssessment(w http.ResponseWriter, r *http.Request, file []byte, trust evidence.Trust, links assessmentLinks) error {
	lang := i18n.Of(r)
	p, _, err := newAssessmentPage(lang, file, trust)
	if err != nil {
		return cmp.Or(renderProblem(w, r, http.StatusInternalServerError, ""), err)
	}
	p.Links = links
	if err := p.drawCode(links.Service); err != nil {
		return cmp.Or(renderProblem(w, r, http.StatusInternalServerError, ""), err)
	}
	return render(w, r, http.StatusOK, pageAssessment, p)
}

// assessmentPage is what assessment.html shows. Its texts are in one language, with the other beside where the template has both.
type assessmentPage struct {
	text texts

	Links   assessmentLinks
	Paper   *paper // of the form for submission; nil on the screen
	Number  string
	SavedBy string // the verifier whose seal the file has, "" for none
	SavedAt string
	AsOf    moment
	Rules   rules
	Digest  string // SHA-256 of the evidence file, in hexadecimal
	Code    qr
	Link    string // that the code holds

	Case       *caseHead // nil when the file does not hold
	Answer     answer
	Holders    []holderCount
	Blocks     []matrix // the duties by month, in blocks of columns that fit a page
	Legend     []legendItem
	Notes      []string // keys of texts under the matrix
	Deviations []deviation
	Bases      []basis // of the deviations
	Checks     []checkGroup
	Passed     int // of Checks
	Doubts     []checkLine
	Drawers    []drawer
}

// paper is what the form for submission says besides.
type paper struct {
	Made     string // date, in both calendars
	FileName string // of the evidence file that belongs to it
}

// moment is a time as pages show it.
type moment struct{ Clock, Wareki string }

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{Clock: clockOf(t), Wareki: i18n.Wareki(attestation.DateOf(t))}
}

// clockOf writes a time as the clock in Japan shows it.
func clockOf(t time.Time) string { return t.In(attestation.JST).Format("2006-01-02 15:04 JST") }

// rules names the rule set and the hash of its data.
type rules struct{ Name, Hash string }

func (r rules) Short() string {
	if len(r.Hash) < 12 {
		return r.Hash
	}
	return r.Hash[:6] + "…" + r.Hash[len(r.Hash)-4:]
}

// caseHead says whose case it is.
type caseHead struct {
	Worker            string // "" where the worker did not disclose a name
	Employer, Support string
	From, To          string
	Months            int
	Wareki            string // the months in the Japanese calendar
}

// answer is the first line: what the reviewer came to learn.
type answer struct {
	Class   string // of its box
	First   string
	Second  string // the same in the other language
	Details []string
}

// holderCount is one party's part in the gaps.
type holderCount struct {
	Count   int
	Key     string // of its name
	Hot     bool
	Details []string
}

// newAssessmentPage verifies a file and lays out what it shows.
func newAssessmentPage(lang string, file []byte, trust evidence.Trust) (*assessmentPage, *evidence.Result, error) {
	result, c := evidence.VerifyCase(file, trust, evidence.Options{})
	p := layOut(lang, result, c)
	sum := sha256.Sum256(file)
	p.Digest = hex.EncodeToString(sum[:])
	if p.Number == "" {
		p.Number = AssessmentNumber(file)
	}
	return p, result, p.text.err
}

// layOut makes the page of what was verified; the case is nil where a check before the assessment failed.
func layOut(lang string, result *evidence.Result, c *evidence.Case) *assessmentPage {
	p := &assessmentPage{text: texts{lang: lang}}
	t := &p.text
	p.Answer = p.cannotVerify()
	p.Checks = groupChecks(t, result.Checks, c)
	for _, g := range p.Checks {
		if g.Result == compliance.Pass {
			p.Passed++
		}
	}
	if c == nil || result.Assessment == nil {
		p.Doubts = checkLines(t, troubles(result.Checks))
		return p
	}
	v := newView(t, result.Assessment, c)
	p.Rules = rules{Name: result.Assessment.Ruleset, Hash: hex.EncodeToString(c.RulesetHash[:])}
	if by := result.SavedBy; by != nil {
		p.Number, p.SavedBy, p.SavedAt = by.Number, t.pick(by.Name), clockOf(by.At)
	}
	p.AsOf, p.Case = momentOf(result.Assessment.AsOf), v.head()
	p.Blocks, p.Legend, p.Notes = v.matrices(), v.legend(), v.notes()
	p.Deviations, p.Bases, p.Drawers = v.deviations(), v.bases(), v.drawers()
	p.Doubts = checkLines(t, troubles(slices.Concat(result.Checks, result.Assessment.Checks)))
	if holds(result) {
		p.Answer, p.Holders = v.answer(), v.holders()
	}
	return p
}

// cannotVerify is the answer where the proofs do not hold: no counts.
func (p *assessmentPage) cannotVerify() answer {
	return answer{Class: "cannot", First: p.text.t("assessment.answer_cannot"), Second: p.text.second("assessment.answer_cannot")}
}

// holds reports whether the answer can be given: every check of the file passes, and so do those of log, auditors and engagement in the
// assessment. A duty that cannot be judged is another matter: it has its cell.
func holds(r *evidence.Result) bool {
	if r.Result != compliance.Pass {
		return false
	}
	return !slices.ContainsFunc(r.Assessment.Checks, func(c compliance.Check) bool {
		switch {
		case c.Code == compliance.CodeAuditorsQuorum || c.Code == compliance.CodeHeadFresh:
			return c.Result != compliance.Pass
		case strings.HasPrefix(c.Code, "engagement."):
			return c.Result == compliance.Fail
		}
		return false
	})
}

// drawCode makes the code that leads from paper to the page that verifies again: a link to a service, else the number alone.
func (p *assessmentPage) drawCode(service string) (err error) {
	p.Link = p.Number
	if service != "" {
		p.Link = shortLink(service, p.Number)
	}
	p.Code, err = drawQR(p.Link)
	return err
}

// texts gives the texts of a page in its language, and keeps the first error for its end.
type texts struct {
	lang string
	err  error
}

func (t *texts) in(lang, key string, args []any) string {
	s, err := i18n.Text(lang, key, args...)
	t.err = cmp.Or(t.err, err)
	return s
}

// t returns a text in the page's language.
func (t *texts) t(key string, args ...any) string { return t.in(t.lang, key, args) }

// second returns it in the language beside.
func (t *texts) second(key string, args ...any) string {
	return t.in(otherLanguage(t.lang), key, args)
}

// word returns a finding's word.
func (t *texts) word(f compliance.Finding) string {
	return schemas.Words().Findings[f.String()].Text[t.lang]
}

// note returns an addition to a finding's word.
func (t *texts) note(name string) string { return schemas.Words().Notes[name][t.lang] }

// pick returns the text of the page's language.
func (t *texts) pick(byLanguage map[string]string) string {
	return cmp.Or(byLanguage[t.lang], byLanguage["ja"], byLanguage["en"])
}

// period writes the period of a duty: a month, a quarter, a fiscal year, or the date of an event.
func (t *texts) period(p string) string {
	period := attestation.Period(p)
	switch period.Kind() {
	case attestation.Month:
		first := period.First()
		return t.t("assessment.period_month", "y", first.Year, "m", t.monthName(first))
	case attestation.Quarter:
		first := period.First()
		return t.t("assessment.period_quarter", "y", first.Year, "q", (int(first.Month)+2)/3)
	case attestation.FiscalYear:
		return t.t("assessment.period_year", "y", period.First().Year)
	}
	return t.t("assessment.period_event", "d", p)
}

// monthName is a number in Japanese, and the beginning of the name in English.
func (t *texts) monthName(d attestation.Date) string {
	if t.lang == "en" {
		return d.Month.String()[:3]
	}
	return strconv.Itoa(int(d.Month))
}

// yen writes an amount as on a payslip.
func yen(n int64) string {
	s := fmt.Sprint(max(n, -n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n < 0 {
		s = "−" + s
	}
	return "¥" + s
}

// view lays out one assessment.
type view struct {
	*texts
	assessment *compliance.Assessment
	facts      *evidence.Case

	entries map[uint64]located // by index in the log
	gaps    map[int]string     // number of the gap, by place of the finding
}

// located is an entry with the slot that it stands in.
type located struct {
	ladder *compliance.Ladder
	entry  *compliance.Entry
}

func newView(t *texts, a *compliance.Assessment, c *evidence.Case) *view {
	v := &view{texts: t, assessment: a, facts: c, entries: map[uint64]located{}, gaps: map[int]string{}}
	for i := range v.facts.Ladders {
		l := &v.facts.Ladders[i]
		for j := range l.Rungs {
			v.entries[l.Rungs[j].Index] = located{l, &l.Rungs[j]}
		}
	}
	for i, f := range v.assessment.Findings {
		if f.Finding.Gap() {
			v.gaps[i] = fmt.Sprintf("E-%d", len(v.gaps)+1)
		}
	}
	return v
}

func (v *view) head() *caseHead {
	e := v.facts.Shown
	h := &caseHead{
		Employer: v.pick(e.Employer.Name), From: v.period(string(v.facts.First)), To: v.period(string(v.facts.Last)),
		Months: len(attestation.PeriodsBetween(attestation.Month, v.facts.First.First(), v.facts.Last.Last())),
		Wareki: i18n.WarekiMonth(v.facts.First.First()) + " – " + i18n.WarekiMonth(v.facts.Last.First()),
	}
	if e.Support != nil {
		h.Support = v.pick(e.Support.Name)
	}
	if e.WorkerIdentity != nil && e.WorkerIdentity.Name != nil {
		h.Worker = *e.WorkerIdentity.Name
	}
	return h
}

// holders are the parties that can owe a duty, in the order of the answer.
var holders = []attestation.Role{attestation.AcceptingOrganization, attestation.SupportOrganization, attestation.Worker}

func holderKey(role attestation.Role) string { return "role." + string(role) }

func (v *view) gapsOf(role attestation.Role) int { return v.assessment.Gaps[string(role)] }

func (v *view) count(f compliance.Finding) int { return v.assessment.Counts[f.String()] }

// answer is the first line in its fixed grammar: gaps n, and whose; or that all was fulfilled in time, as far as that was shown.
func (v *view) answer() answer {
	total := len(v.gaps)
	done, ownOnly := v.count(compliance.Fulfilled), 0
	for _, f := range v.assessment.Findings {
		if f.OwnRecordOnly {
			ownOnly++
		}
	}
	a := answer{Class: "fine"}
	if total > 0 {
		args := []any{"n", total, "employer", v.gapsOf(attestation.AcceptingOrganization), "supporter", v.gapsOf(attestation.SupportOrganization), "worker", v.gapsOf(attestation.Worker)}
		a = answer{Class: "gaps", First: v.t("assessment.answer_gaps", args...), Second: v.second("assessment.answer_gaps", args...)}
	} else {
		key := v.answerWithoutGap(done)
		a.First, a.Second = v.t(key), v.second(key)
	}
	if amount, more := v.unshown(); amount > 0 {
		a.Details = append(a.Details, v.t(atLeast("assessment.unshown", more), "yen", yen(amount)))
	}
	for _, open := range []struct {
		finding compliance.Finding
		key     string
	}{{compliance.Pending, "assessment.open_pending"}, {compliance.Unknown, "assessment.open_unknown"}} {
		if n := v.count(open.finding); n > 0 {
			a.Details = append(a.Details, v.t(open.key, "n", n))
		}
	}
	if ownOnly > 0 {
		a.Details = append(a.Details, v.t("assessment.own_only", "n", ownOnly, "all", done))
	}
	return a
}

func atLeast(key string, more bool) string {
	if more {
		return key + "_at_least"
	}
	return key
}

func (v *view) answerWithoutGap(done int) string {
	switch {
	case v.count(compliance.Undisclosed) > 0:
		return "assessment.answer_shown"
	case v.count(compliance.Unknown) > 0 || v.count(compliance.Pending) > 0:
		return "assessment.answer_settled"
	case done+v.count(compliance.Excused) == 0:
		return "assessment.answer_nothing_due"
	}
	return "assessment.answer_fulfilled"
}

// holders counts the gaps by who owes the duty, the worker's own in the same table, and what was not shown.
func (v *view) holders() (out []holderCount) {
	for _, role := range holders {
		c := holderCount{Count: v.gapsOf(role), Key: holderKey(role)}
		c.Hot = c.Count > 0
		if d := v.breakdown(role); d != "" {
			c.Details = append(c.Details, d)
		}
		if role == attestation.Worker {
			c.Details = append(c.Details, v.diligence())
		}
		out = append(out, c)
	}
	undisclosed := holderCount{Count: v.count(compliance.Undisclosed), Key: "assessment.undisclosed"}
	if undisclosed.Count > 0 {
		undisclosed.Details = []string{v.t("assessment.undisclosed_unused")}
	}
	return append(out, undisclosed)
}

// breakdown lists a party's gaps by finding.
func (v *view) breakdown(role attestation.Role) string {
	n := map[compliance.Finding]int{}
	for _, f := range v.assessment.Findings {
		if f.Finding.Gap() && f.DutyHolder == role {
			n[f.Finding]++
		}
	}
	var parts []string
	for f := compliance.Absent; f > compliance.Unknown; f-- {
		if n[f] > 0 {
			parts = append(parts, v.t("assessment.word_count", "word", v.word(f), "count", n[f]))
		}
	}
	return strings.Join(parts, v.t("assessment.list"))
}

// diligence says how often the worker spoke up: also that is evidence.
func (v *view) diligence() string {
	raised := 0
	for _, s := range v.facts.Statements {
		if k := s.Claims.Kind; k != nil && slices.Contains(raising, *k) {
			raised++
		}
	}
	return v.t("assessment.diligence", "n", len(v.facts.Statements), "raised", raised)
}

// raising are the kinds of statement by which a worker asks for what is owed, or says that it was not given.
var raising = []string{
	attestation.StatementUnpaid, attestation.StatementNotHeld, attestation.StatementDemand, attestation.StatementComplaint, attestation.StatementContradiction,
}

// unshown adds up the wages whose payment is not shown, as far as amounts were disclosed; more reports that there are gaps without one.
func (v *view) unshown() (sum int64, more bool) {
	for i := range v.assessment.Findings {
		f := &v.assessment.Findings[i]
		if f.Obligation != "W-05" && f.Obligation != "W-03" {
			continue
		}
		switch f.Finding {
		case compliance.Absent, compliance.Contradicted, compliance.Short:
			amount, known := v.unshownOf(f)
			sum, more = sum+amount, more || !known
		}
	}
	return sum, more
}
