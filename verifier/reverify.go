package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
	"akashi/internal/store"
	"akashi/internal/web"
)

// maxUpload bounds an evidence file that somebody hands in, and with it every body: a file over years of one contract takes about 1 MiB a year.
const maxUpload = 16 << 20

// routeReverify adds the public page that verifies an assessment again: by its file, or by the number on the printed page, which the QR code there
// holds too. Nothing that is handed in is stored, and nothing is shown that the printed page does not show.
func (d *Desk) routeReverify(r *mux.Router) {
	r.HandleFunc(pathReverify, d.serveReverify).Methods(http.MethodGet)
	r.HandleFunc(pathReverify, d.limited(d.limits.heavy, d.serveReverifyFile)).Methods(http.MethodPost)
	r.HandleFunc(pathShort+"{number}", d.limited(d.limits.guesses, d.serveReverifyNumber)).Methods(http.MethodGet)
}

// reverifyPage asks for a file or a number, and says why what was given does not do.
type reverifyPage struct {
	Number  string // as typed
	Problem string // key of a text, "" for none
	Deleted string // day on which the file of the number was deleted
	MaxMiB  int
}

func (d *Desk) askAgain(w http.ResponseWriter, r *http.Request, status int, p reverifyPage) {
	p.MaxMiB = maxUpload >> 20
	d.shown(r, render(w, r, status, "reverify", p))
}

func (d *Desk) serveReverify(w http.ResponseWriter, r *http.Request) {
	typed := r.URL.Query().Get("number")
	if typed == "" {
		d.askAgain(w, r, http.StatusOK, reverifyPage{})
		return
	}
	number, ok := ParseAssessmentNumber(typed)
	if !ok {
		d.askAgain(w, r, http.StatusBadRequest, reverifyPage{Number: typed, Problem: "reverify.no_number"})
		return
	}
	target := shortLink("", number)
	if lang := r.URL.Query().Get(i18n.QueryName); lang != "" {
		target += "?" + url.Values{i18n.QueryName: {lang}}.Encode()
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// serveReverifyNumber verifies again what is kept under the number of a printed page.
func (d *Desk) serveReverifyNumber(w http.ResponseWriter, r *http.Request) {
	typed := mux.Vars(r)["number"]
	number, ok := ParseAssessmentNumber(typed)
	if !ok {
		d.askAgain(w, r, http.StatusNotFound, reverifyPage{Number: typed, Problem: "reverify.no_number"})
		return
	}
	file, deleted, err := d.byNumber(r.Context(), number)
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.askAgain(w, r, http.StatusNotFound, reverifyPage{Number: number, Problem: "reverify.unknown"})
		return
	case err != nil:
		d.refuse(w, r, err)
		return
	case file == nil:
		d.askAgain(w, r, http.StatusGone, reverifyPage{Number: number, Problem: "reverify.deleted", Deleted: attestation.DateOf(deleted).String()})
		return
	}
	d.showReverified(w, r, file, true)
}

// byNumber returns the evidence file of an assessment number, or when it was deleted; [store.ErrNotFound] for a number that was never given here.
func (d *Desk) byNumber(ctx context.Context, number string) (file []byte, deleted time.Time, err error) {
	now := d.now()
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		var n numbered
		if err := store.GetJSON(tx, keyNumber(number), &n); err != nil {
			return err
		}
		if deleted = n.Deleted; n.Case == "" {
			return nil
		}
		c, err := getCase(tx, n.Case)
		if err != nil {
			return err
		}
		if deleted = c.Until; !now.Before(c.Until) { // the sweep is yet to come
			return nil
		}
		file, err = tx.Get(keyFile(n.Case))
		return err
	})
	return file, deleted, err
}

// serveReverifyFile verifies a file that is handed in, which is read into memory and nowhere else.
func (d *Desk) serveReverifyFile(w http.ResponseWriter, r *http.Request) {
	file, err := readUpload(r)
	if errors.Is(err, errNoFile) {
		d.askAgain(w, r, http.StatusBadRequest, reverifyPage{Problem: "reverify.no_file"})
		return
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.showReverified(w, r, file, false)
}

var errNoFile = errors.New("no file was handed in")

// readUpload reads the member "file" of a form (RFC 7578).
func readUpload(r *http.Request) ([]byte, error) {
	form, err := r.MultipartReader()
	if err != nil {
		return nil, web.ErrMediaType
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, errNoFile
		}
		if err != nil {
			return nil, uploadError(err)
		}
		if part.FormName() != "file" {
			continue
		}
		data, err := io.ReadAll(part)
		switch {
		case err != nil:
			return nil, uploadError(err)
		case len(data) == 0:
			return nil, errNoFile
		}
		return data, nil
	}
}

func uploadError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || errors.Is(err, multipart.ErrMessageTooLarge) {
		return web.ErrTooLarge
	}
	return fmt.Errorf("%w: %w", web.ErrBody, err)
}

// reverified is what is shown of an assessment that was verified again.
type reverified struct {
	texts

	Kept      bool     // it was found by its number; else it was handed in
	Holds     bool     // the file is as it was made, and proves what it says
	Undecided bool     // it is as it was made; whether it proves what it says cannot be decided by these rules
	Failed    []string // codes of checks
	Number    string
	SavedBy   string
	SavedAt   string
	AsOf      moment
	Rules     rules
	Digest    string
	From, To  string
	Answer    answer
	Holders   []holderCount

	Asked   bool // the registry was asked how things stand now
	Now     moment
	Same    bool
	Changes []change
}

// change is a duty of which another thing is found now.
type change struct {
	Period, Title, Second string
	Holder                string // key of its name
	Then, Now             changeState
}

type changeState struct{ Class, Glyph, Word string }

func (d *Desk) showReverified(w http.ResponseWriter, r *http.Request, file []byte, kept bool) {
	p, err := d.reverify(r.Context(), i18n.Of(r), file)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	p.Kept = kept
	d.shown(r, render(w, r, http.StatusOK, "reverified", p))
}

// reverify verifies an evidence file and, where it holds, asks the registry how the same duties stand under its newest head.
func (d *Desk) reverify(ctx context.Context, lang string, data []byte) (*reverified, error) {
	page, result, err := newAssessmentPage(lang, data, d.vp.Trust)
	if err != nil {
		return nil, err
	}
	p := &reverified{texts: texts{lang: lang}, Number: page.Number, AsOf: page.AsOf, Rules: page.Rules, Digest: page.Digest, Answer: page.Answer}
	for _, c := range troubles(result.Checks) {
		if c.Result == result.Result {
			p.Failed = append(p.Failed, c.Code)
		}
	}
	if p.Undecided = result.Result == compliance.CannotTell; result.Result != compliance.Pass || page.Case == nil {
		return p, nil
	}
	p.Holds, p.From, p.To, p.SavedBy, p.SavedAt = true, page.Case.From, page.Case.To, page.SavedBy, page.SavedAt
	p.Answer.Details = nil
	for _, h := range page.Holders {
		h.Details = nil
		p.Holders = append(p.Holders, h)
	}
	err = d.askNow(ctx, p, data, result.Assessment)
	return p, errors.Join(err, p.texts.err)
}

// askNow compares what is found now with what the file says. A registry that cannot be asked leaves the file what it is.
func (d *Desk) askNow(ctx context.Context, p *reverified, data []byte, then *compliance.Assessment) error {
	f, err := evidence.Read(data)
	if err != nil {
		return err
	}
	_, result, err := evidence.Make(ctx, f.Presentation, d.vp.Registry, d.vp.Trust, evidence.MakeOptions{From: f.From, To: f.To})
	if err == nil && result.Assessment == nil {
		err = errors.New("the assessment could not be made again")
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.vp.Log.WarnContext(ctx, "an assessment could not be compared with the registry's newest state", "error", err)
		return nil
	}
	p.Asked, p.Now = true, momentOf(result.Assessment.AsOf)
	p.Changes = changesOf(&p.texts, then, result.Assessment)
	p.Same = len(p.Changes) == 0
	return nil
}

// changesOf lists the duties of which another thing is found now, in the order of the register.
func changesOf(t *texts, then, now *compliance.Assessment) (out []change) {
	id := func(f *compliance.DutyFinding) string { return f.Obligation + " " + f.Period }
	before := make(map[string]*compliance.DutyFinding)
	for i := range then.Findings {
		before[id(&then.Findings[i])] = &then.Findings[i]
	}
	for i := range now.Findings {
		f := &now.Findings[i]
		old := before[id(f)]
		delete(before, id(f))
		if old == nil || old.Finding != f.Finding || old.DaysLate != f.DaysLate || old.OwnRecordOnly != f.OwnRecordOnly {
			out = append(out, t.change(old, f))
		}
	}
	for i := range then.Findings {
		if f := &then.Findings[i]; before[id(f)] != nil {
			out = append(out, t.change(f, nil))
		}
	}
	return out
}

func (t *texts) change(then, now *compliance.DutyFinding) change {
	f := now
	if f == nil {
		f = then
	}
	return change{
		Period: t.period(f.Period), Title: f.Title[t.lang], Second: f.Title[otherLanguage(t.lang)], Holder: holderKey(f.DutyHolder),
		Then: t.state(then), Now: t.state(now),
	}
}

// state is a finding as a cell shows it; one that was not found is none.
func (t *texts) state(f *compliance.DutyFinding) changeState {
	if f == nil {
		return changeState{Class: "nd", Glyph: "–", Word: t.t("reverify.not_found")}
	}
	g := glyph(f.Finding)
	s := changeState{Class: classes[g], Glyph: g, Word: t.word(f.Finding)}
	if f.DaysLate > 0 && slices.Contains([]compliance.Finding{compliance.PerformedLate, compliance.AttestedLate}, f.Finding) {
		s.Word += " " + t.t("reverify.days", "n", f.DaysLate)
	}
	if f.OwnRecordOnly {
		s.Word = strings.TrimSpace(s.Word + t.t("assessment.addition", "note", t.note(noteOwnRecord)))
	}
	return s
}
