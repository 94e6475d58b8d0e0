package verifier

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

// ownerOf finds out whose cases a request may see. With begin it may give a browser that has none a secret of its own.
type ownerOf func(w http.ResponseWriter, r *http.Request, begin bool) (owner, error)

// routeCases adds the pages of cases below a path: the reviewer's desk, or the page for submission.
func (d *Desk) routeCases(r *mux.Router, base string, of ownerOf) {
	p := casePages{Desk: d, base: base, of: of}
	one := base + "/cases/{id}"
	r.HandleFunc(base, p.serveList).Methods(http.MethodGet)
	r.HandleFunc(base+"/cases", d.limited(d.limits.heavy, p.serveOpen)).Methods(http.MethodPost)
	r.HandleFunc(one, p.serveCase).Methods(http.MethodGet)
	r.Handle(one+"/events", d.oneStream(p.serveEvents)).Methods(http.MethodGet)
	r.HandleFunc(one+"/evidence", p.serveEvidence).Methods(http.MethodGet)
	r.HandleFunc(one+"/paper", p.servePaper).Methods(http.MethodGet)
	r.HandleFunc(one+"/again", d.limited(d.limits.heavy, p.serveAgain)).Methods(http.MethodPost)
	r.HandleFunc(one+"/delete", p.serveDelete).Methods(http.MethodPost)
	r.HandleFunc(one+"/keep", p.serveKeep).Methods(http.MethodPost)
}

// casePages are the pages of one kind of owner.
type casePages struct {
	*Desk
	base string
	of   ownerOf
}

func (p casePages) pathOf(c *deskCase) string { return p.base + "/cases/" + c.ID }

// baseOf is where the pages of a case are.
func baseOf(c *deskCase) string {
	if c.Purpose == purposeSubmission {
		return pathSubmission
	}
	return pathDesk
}

func (d *Desk) ownerByReviewer(w http.ResponseWriter, r *http.Request, begin bool) (owner, error) {
	who, err := d.signedIn(r)
	if err != nil {
		return owner{}, err
	}
	return owner{name: "reviewer-" + who.ID, reviewer: who, browser: browserFor(w, r, begin)}, nil
}

func (d *Desk) ownerByBrowser(w http.ResponseWriter, r *http.Request, begin bool) (owner, error) {
	browser := browserFor(w, r, begin)
	if browser == "" {
		return owner{}, errNoCase
	}
	return owner{name: "browser-" + hashed(browser), browser: browser}, nil
}

// browserFor returns the secret of the browser, and with begin gives one to a browser that has none.
func browserFor(w http.ResponseWriter, r *http.Request, begin bool) string {
	browser := browserOf(r)
	if len(browser) == len(random()) {
		return browser
	}
	if !begin {
		return ""
	}
	browser = random()
	http.SetCookie(w, BrowserCookie(browser))
	return browser
}

// listPage is the desk, or the page for submission.
type listPage struct {
	Base     string
	SignedIn *reviewer
	Purposes []string
	Periods  []periodChoice
	Cases    []caseLine
	Keep     int // days for which cases are kept
	Hours    int // for which those of a worker's own are
}

// periodChoice is one of the periods on offer.
type periodChoice struct {
	Months   int // 0: the whole contract
	From, To attestation.Period
}

type caseLine struct {
	*deskCase
	Path      string
	Opened    string
	Period    string
	Kept      bool // for as long as a reviewer's
	KeptUntil string
}

// monthsOnOffer are the periods to choose from, the first is chosen; 0 is the whole contract.
var monthsOnOffer = []int{12, 24, 6, 0}

func lastMonths(today attestation.Date, n int) (from, to attestation.Period) {
	if n <= 0 {
		return "", ""
	}
	to = attestation.MonthOf(today)
	return attestation.MonthOf(to.First().AddMonths(1 - n)), to
}

func (p casePages) serveList(w http.ResponseWriter, r *http.Request) {
	page := listPage{Base: p.base, Purposes: purposes, Keep: int(p.Retention.Hours() / 24), Hours: int(p.Submission.Hours())}
	o, err := p.of(w, r, false)
	if err == nil {
		page.SignedIn = o.reviewer
		page.Cases, err = p.lines(r, o)
	} else if errors.Is(err, errNoCase) { // a browser that has begun nothing
		err = nil
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	for _, n := range monthsOnOffer {
		from, to := lastMonths(attestation.DateOf(p.now()), n)
		page.Periods = append(page.Periods, periodChoice{n, from, to})
	}
	name := "desk"
	if p.base == pathSubmission {
		name = "submission"
	}
	p.shown(r, render(w, r, http.StatusOK, name, page))
}

func (p casePages) lines(r *http.Request, o owner) (out []caseLine, err error) {
	cases, err := p.casesOf(r.Context(), o)
	for _, c := range cases {
		out = append(out, caseLine{
			deskCase: c, Path: p.pathOf(c), Opened: clockOf(c.Opened), Period: periodOf(c),
			Kept: c.Until.Sub(c.Opened) >= p.Retention, KeptUntil: clockOf(c.Until),
		})
	}
	return out, err
}

// periodOf writes the months of a case, "" for the whole contract.
func periodOf(c *deskCase) string {
	if c.From == "" {
		return ""
	}
	return string(c.From) + " – " + string(c.To)
}

func (p casePages) serveOpen(w http.ResponseWriter, r *http.Request) {
	o, err := p.of(w, r, true)
	var a asking
	if err == nil {
		a, err = p.readAsking(r)
	}
	var c *deskCase
	if err == nil {
		c, err = p.open(r.Context(), o, a)
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, p.pathOf(c), http.StatusSeeOther)
}

// readAsking reads the form of a new case.
func (p casePages) readAsking(r *http.Request) (a asking, err error) {
	form, err := web.ReadForm(r)
	if err != nil {
		return a, err
	}
	a.Purpose, a.SameDevice = form.Get("purpose"), form.Get("device") == "same"
	if p.base == pathSubmission {
		a.Purpose = purposeSubmission
	} else if !isPurpose(a.Purpose) {
		return a, errForm
	}
	if form.Get("period") == "months" {
		a.From, a.To = attestation.Period(form.Get("from")), attestation.Period(form.Get("to"))
		return a, checkMonths(a.From, a.To)
	}
	if form.Get("from")+form.Get("to") != "" { // two periods: it must not be the wrong one that is assessed
		return a, errPeriods
	}
	n, err := strconv.Atoi(form.Get("period"))
	if err != nil || !slices.Contains(monthsOnOffer, n) {
		return a, errForm
	}
	a.From, a.To = lastMonths(attestation.DateOf(p.now()), n)
	return a, nil
}

func checkMonths(from, to attestation.Period) error {
	for _, m := range []attestation.Period{from, to} {
		if _, err := attestation.ParsePeriod(string(m)); err != nil || m.Kind() != attestation.Month {
			return errPeriod
		}
	}
	if to.First().Before(from.First()) {
		return errPeriod
	}
	return nil
}

// caseFor returns the case that a request names, if it is its owner's.
func (p casePages) caseFor(w http.ResponseWriter, r *http.Request, begin bool) (o owner, c *deskCase, err error) {
	if o, err = p.of(w, r, begin); err == nil {
		c, err = p.caseOf(r.Context(), o, mux.Vars(r)["id"])
	}
	return o, c, err
}

// fileFor returns the evidence file of an answered case, and writes down what it is shown for.
func (p casePages) fileFor(w http.ResponseWriter, r *http.Request, what string) (c *deskCase, data []byte, err error) {
	o, c, err := p.caseFor(w, r, false)
	if err == nil && c.Status != Answered {
		err = errNoCase
	}
	if err == nil {
		data, err = p.file(r.Context(), o, c, what)
	}
	return c, data, err
}

// casePage shows a case that has not been answered: what to scan, or why it ended and what to do.
type casePage struct {
	*deskCase
	Path     string
	Base     string
	SignedIn *reviewer
	State    string       // changes when the page must
	Second   bool         // of two requests
	Phone    bool         // it is shown to who typed the code
	Link     template.URL // for a wallet on this device
	Ask      string       // where the page gets what it asks with over the Digital Credentials API, "" in a browser that may not
	QR       qr
	Written  string // the code
	Short    string // where the code leads
	Period   string
	Minutes  int    // for which the request waits still
	Why      string // key of the text that says why it ended
}

func (p casePages) serveCase(w http.ResponseWriter, r *http.Request) {
	o, c, err := p.caseFor(w, r, false)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	if c.Status == Answered {
		p.serveAnswered(w, r, o, c)
		return
	}
	page, err := p.casePage(r.Context(), c)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	page.Path, page.Base, page.SignedIn = p.pathOf(c), p.base, o.reviewer
	if page.Link != "" {
		page.Ask = p.vp.asksHere(r, c.Session)
	}
	p.shown(r, render(w, r, http.StatusOK, "case", page))
}

// serveAnswered shows the assessment.
func (p casePages) serveAnswered(w http.ResponseWriter, r *http.Request, o owner, c *deskCase) {
	data, err := p.file(r.Context(), o, c, auditCaseSeen)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	links := assessmentLinks{Service: p.vp.URL, Evidence: p.pathOf(c) + "/evidence", Desk: p.base}
	p.shown(r, renderAssessment(w, r, data, p.vp.Trust, links))
}

// casePage lays out a case that waits or has ended without an answer.
func (d *Desk) casePage(ctx context.Context, c *deskCase) (*casePage, error) {
	page := &casePage{deskCase: c, State: string(c.Status), Period: periodOf(c), Written: writtenCode(c.Code), Short: d.vp.URL + pathCode + "/" + c.Code}
	if c.Status.IsFinal() {
		page.Why = reasonText(c.Status, c.Reason)
		return page, nil
	}
	view, err := d.vp.Session(ctx, c.Session)
	if err != nil {
		return nil, err
	}
	page.Second, page.State = view.Step == 2, stateOf(view)
	page.Minutes = int(view.Expires.Sub(d.now()).Round(time.Minute).Minutes())
	if view.Link == "" {
		return page, nil
	}
	page.Link = template.URL(view.Link) // of our own making, with a scheme that html/template does not know
	page.QR, err = drawQR(view.Link)
	return page, err
}

// Says are the texts that the script shows while it asks through the browser, by the end of their keys.
func (*casePage) Says() []string {
	return []string{"busy", "cancelled", "unable", "nothing", "unsent"}
}

// stateOf names what a page shows of a session: another state is another page.
func stateOf(v *View) string { return fmt.Sprintf("%s.%d", v.Status, v.Step) }

// reasonTexts are the texts for the reasons for which a case ended, by how they begin.
var reasonTexts = []struct{ prefix, key string }{
	{"kb.", "desk.failed_kb"}, {"return.", "desk.failed_browser"}, {"issuer.", "desk.failed_issuer"}, {"registry.", "desk.failed_registry"},
	{"engagement.not_logged", "desk.failed_not_logged"}, {"engagement.changed", "desk.failed_changed"}, {evidence.CodeRange, "desk.failed_range"},
	{"query.", "desk.failed_query"}, {"response.", "desk.failed_response"},
}

// reasonText is the key of the text that says why a case ended without an answer, and what to do.
func reasonText(s Status, reason string) string {
	switch s {
	case Refused:
		if reason == oid4vc.CodeAccessDenied {
			return "desk.refused_holder"
		}
		return "desk.refused_wallet"
	case Expired:
		return "desk.expired"
	}
	for _, t := range reasonTexts {
		if strings.HasPrefix(reason, t.prefix) {
			return t.key
		}
	}
	return "desk.failed_other"
}

// serveEvidence lets the evidence file be saved (R4), under the number of the assessment alone.
func (p casePages) serveEvidence(w http.ResponseWriter, r *http.Request) {
	c, data, err := p.fileFor(w, r, auditCaseSaved)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="`+evidenceName(c.Number)+`"`)
	web.WriteBody(w, http.StatusOK, oid4vc.MediaTypeJSON, data)
}

// evidenceName is the name of the file that an evidence file is saved as.
func evidenceName(number string) string { return number + ".evidence.json" }

func (p casePages) serveAgain(w http.ResponseWriter, r *http.Request) {
	o, c, err := p.caseFor(w, r, true)
	var form url.Values
	if err == nil {
		form, err = web.ReadForm(r)
	}
	if err == nil {
		err = p.again(r.Context(), o, c, form.Get("device") == "same")
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, p.pathOf(c), http.StatusSeeOther)
}

func (p casePages) serveDelete(w http.ResponseWriter, r *http.Request) {
	o, c, err := p.caseFor(w, r, false)
	if err == nil {
		by := o.line(auditCaseDeleted, c)
		by.Reason = deletedByOwner
		err = p.remove(r.Context(), c.ID, by)
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, p.base, http.StatusSeeOther)
}

// serveKeep keeps a worker's own case longer, so that an office can verify the printed page by its number.
func (p casePages) serveKeep(w http.ResponseWriter, r *http.Request) {
	o, c, err := p.caseFor(w, r, false)
	if err == nil && c.Status != Answered {
		err = errNoCase
	}
	if err == nil {
		err = p.keep(r.Context(), o, c)
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	http.Redirect(w, r, p.base, http.StatusSeeOther)
}

// serveReturn is where a wallet leads the browser of the same device: to the page of its case, where the session is one of a case.
func (d *Desk) serveReturn(w http.ResponseWriter, r *http.Request) {
	c, err := d.caseBy(r.Context(), keyAsked(r.URL.Query().Get("session")))
	if errors.Is(err, errNoCase) { // a session of the operator's own, or none
		d.vp.serveReturn(w, r)
		return
	}
	if err == nil {
		_, err = d.vp.processReturn(r)
	}
	var refused *refusal
	switch {
	case errors.Is(err, errOtherReturn):
		d.shown(r, renderProblem(w, r, http.StatusForbidden, "desk.failed_browser"))
	case err == nil, errors.As(err, &refused): // a code that was used before leads to the page too, which says how things stand
		http.Redirect(w, r, baseOf(c)+"/cases/"+c.ID, http.StatusSeeOther)
	default:
		d.refuse(w, r, err)
	}
}

// routeCodes adds the pages for the code that a worker types.
func (d *Desk) routeCodes(r *mux.Router) {
	r.HandleFunc(pathCode, d.serveCodeForm).Methods(http.MethodGet)
	r.Handle(pathCode+"/{code}", web.CORS(d.limited(d.limits.guesses, d.serveCode))).Methods(http.MethodGet)
	r.Handle(pathCode+"/{code}/events", d.limited(d.limits.guesses, d.oneStream(d.serveCodeEvents).ServeHTTP)).Methods(http.MethodGet)
}

// codePage asks for a code, or shows what waits under it.
type codePage struct {
	*casePage // where Found
	Found     bool
	Typed     string
	Unknown   bool
}

func (d *Desk) serveCodeForm(w http.ResponseWriter, r *http.Request) {
	typed := r.URL.Query().Get("code")
	if typed == "" {
		d.shown(r, render(w, r, http.StatusOK, "code", codePage{}))
		return
	}
	code, ok := readCode(typed)
	if !ok {
		d.shown(r, render(w, r, http.StatusNotFound, "code", codePage{Typed: typed, Unknown: true}))
		return
	}
	target := pathCode + "/" + code
	if lang := r.URL.Query().Get(i18n.QueryName); lang != "" {
		target += "?" + url.Values{i18n.QueryName: {lang}}.Encode()
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// caseByCode returns the case that waits under a code.
func (d *Desk) caseByCode(r *http.Request) (*deskCase, error) {
	code, ok := readCode(mux.Vars(r)["code"])
	if !ok {
		return nil, errNoCase
	}
	c, err := d.caseBy(r.Context(), keyCode(code))
	if err == nil && c.Status.IsFinal() {
		err = errNoCase
	}
	return c, err
}

// codeAnswer is what a wallet that asks for JSON gets under a code.
type codeAnswer struct {
	Link    string    `json:"link"` // of the request; for the step that waits
	Expires time.Time `json:"expires"`
}

// serveCode shows the request that waits under a code, to a phone as a link and as a QR code, to a wallet as JSON. Who guesses a code learns that
// somebody is asked, and nothing about whom.
func (d *Desk) serveCode(w http.ResponseWriter, r *http.Request) {
	c, err := d.caseByCode(r)
	asJSON := strings.HasPrefix(r.Header.Get("Accept"), oid4vc.MediaTypeJSON)
	switch {
	case errors.Is(err, errNoCase) && asJSON:
		web.WriteProblem(w, web.Problem{Title: "there is no such code, or its time is over", Status: http.StatusNotFound})
		return
	case errors.Is(err, errNoCase):
		d.shown(r, render(w, r, http.StatusNotFound, "code", codePage{Typed: mux.Vars(r)["code"], Unknown: true}))
		return
	}
	var page *casePage
	if err == nil {
		page, err = d.casePage(r.Context(), c)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	if asJSON {
		web.WriteJSON(w, http.StatusOK, codeAnswer{string(page.Link), d.expiryOf(r.Context(), c)})
		return
	}
	page.Path, page.Phone = pathCode+"/"+c.Code, true
	d.shown(r, render(w, r, http.StatusOK, "code", codePage{casePage: page, Found: true}))
}

// expiryOf is when the request of a case runs out.
func (d *Desk) expiryOf(ctx context.Context, c *deskCase) time.Time {
	view, err := d.vp.Session(ctx, c.Session)
	if err != nil {
		return d.now()
	}
	return view.Expires
}

func (d *Desk) serveCodeEvents(w http.ResponseWriter, r *http.Request) {
	c, err := d.caseByCode(r)
	if err != nil {
		http.Error(w, "there is no such code", http.StatusNotFound)
		return
	}
	d.sendEvents(w, r, c)
}
