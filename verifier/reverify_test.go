package verifier_test

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/store"
	"akashi/verifier"
)

// upload hands in a file on the public page.
func (b *browser) upload(field string, data []byte) shownPage {
	b.t.Helper()
	return b.do(uploadRequest(b.t, field, data))
}

func uploadRequest(t *testing.T, field string, data []byte) *http.Request {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile(field, "whatever.json")
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, vpURL+"/r", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Accept-Language", "en")
	return req
}

// saved returns the evidence file of an answered case.
func (b *browser) saved(path string) []byte {
	b.t.Helper()
	return []byte(b.get(path+"/evidence").want(b.t, http.StatusOK).body)
}

// TestReverify: by number, by link and by file, anybody sees the same, and no more than the paper has.
func TestReverify(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	file := b.saved(w.answered(b, "/desk"))
	number := verifier.AssessmentNumber(file)
	public := w.browser()
	pages := map[string]shownPage{
		"typed":     public.get("/r?number=" + url.QueryEscape(strings.ToLower(number))),
		"scanned":   public.get("/r/" + strings.ReplaceAll(number, "-", "")),
		"handed in": public.upload("file", file),
	}
	for name, p := range pages {
		p.want(t, http.StatusOK, "Same as printed", number, "Saved by")
		for _, personal := range []string{"212000", "212,000", "NGUYEN", "Reviewer One", "openid4vp", evidencetest.EmployerID} {
			if strings.Contains(p.body, personal) {
				t.Errorf("%s: the page has %q:\n%s", name, personal, p.body)
			}
		}
	}
	if got := w.whats(); slices.Contains(got, "case.seen") && slices.Index(got, "case.seen") != len(got)-2 {
		t.Errorf("the audit log has %v", got)
	}
}

// TestReverifyChanges: what was recorded after the page was printed is told.
func TestReverifyChanges(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	file := b.saved(w.answered(b, "/desk"))
	w.recordDecember()
	p := w.browser().upload("file", file).want(t, http.StatusOK, "since it was printed", "Dec 2025", "When printed")
	if strings.Contains(p.body, "Same as printed") {
		t.Error("it says both")
	}
}

// recordDecember has the wage of December recorded.
func (w *deskWorld) recordDecember() {
	december := attestation.Period("2025-12")
	w.World.Now = evidencetest.At(2025, 12, 25, 18)
	w.Log(w.Employer, attestation.WageEmployer, december, 0, w.WagePayment(december, attestation.NewDate(2025, 12, 25)))
	w.Log(w.Bank, attestation.WageBank, december, 0, w.WageReceipt(december, attestation.NewDate(2025, 12, 25), 212000))
	w.World.Now = evidencetest.At(2026, 1, 8, 9)
	w.CloseEpoch()
}

// TestReverifyWithoutRegistry: the file is still what it is, and the page does not say how things stand now.
func TestReverifyWithoutRegistry(t *testing.T) {
	down := &registryDown{}
	w := newDeskWorldOver(t, down, vpURL, nil)
	b := w.signedIn("r1", "Reviewer One")
	file := b.saved(w.answered(b, "/desk"))
	down.down.Store(true)
	w.browser().upload("file", file).want(t, http.StatusOK, "The evidence holds; it cannot be compared")
}

// TestReverifyRefuses: what does not hold shows nothing of what it says.
func TestReverifyRefuses(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	file := b.saved(w.answered(b, "/desk"))
	public := w.browser()
	for _, c := range []struct {
		name   string
		data   []byte
		status int
		text   string
	}{
		{"as it was saved", file, http.StatusOK, "Same as printed"},
		{"another finding", bytes.Replace(file, []byte(`"fulfilled"`), []byte(`"absent"`), 1), http.StatusOK, "Cannot be verified"},
		{"another seal", append(bytes.TrimSuffix(bytes.Clone(file), []byte(`"}`)), []byte(`A"}`)...), http.StatusOK, "Cannot be verified"},
		{"cut off", file[:len(file)/2], http.StatusOK, "Cannot be verified"},
		{"no evidence file", []byte(`{"format":"something"}`), http.StatusOK, "Cannot be verified"},
		{"no JSON", []byte("%PDF-1.7"), http.StatusOK, "Cannot be verified"},
		{"empty", nil, http.StatusBadRequest, "No file was chosen"},
		{"too large", make([]byte, 17<<20), http.StatusRequestEntityTooLarge, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := public.upload("file", c.data).want(t, c.status, c.text)
			if c.text != "Same as printed" && strings.Contains(p.body, "Gaps") {
				t.Errorf("the page says what the file says:\n%s", p.body)
			}
		})
	}
	public.upload("another", file).want(t, http.StatusBadRequest, "No file was chosen")
	public.post("/r", url.Values{"file": {"x"}}).want(t, http.StatusBadRequest, "malformed")
	public.get("/r?number=x").want(t, http.StatusBadRequest, "This is no assessment number")
	public.get("/r/x").want(t, http.StatusNotFound, "This is no assessment number")
	public.get("/r/7F3KQ2MX91TD").want(t, http.StatusNotFound, "Nothing is kept here under this number")
}

// TestReverifyUndecided: without the auditors' policy nothing can be said of absences, nor of the file.
func TestReverifyUndecided(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	file := b.saved(w.answered(b, "/desk"))
	trust := w.Trust()
	trust.Auditors = nil
	vp, err := verifier.NewVP(verifier.VPConfig{URL: vpURL, Store: store.NewMemory(), Key: w.Verifier.Key, Registry: w.World, Trust: trust, Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := verifier.NewDesk(verifier.DeskConfig{VP: vp})
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	desk.Handler().ServeHTTP(answer, uploadRequest(t, "file", file))
	if body := answer.Body.String(); answer.Code != http.StatusOK || !strings.Contains(body, "It cannot be decided here") || strings.Contains(body, "Same as printed") {
		t.Errorf("%d %s", answer.Code, body)
	}
}

// TestRetention: when its time has come a case is gone, with everything that the worker has shown; that it was there is not forgotten.
func TestRetention(t *testing.T) {
	w := newDeskWorld(t, func(c *verifier.DeskConfig) { c.Retention = 10 * 24 * time.Hour })
	b := w.signedIn("r1", "Reviewer One")
	path := w.answered(b, "/desk")
	number := verifier.AssessmentNumber(b.saved(path))
	w.sweep(0)
	w.clock.forward(10*24*time.Hour - time.Second)
	w.sweep(0)
	w.clock.forward(time.Second)
	w.browser().get("/r/"+number).want(t, http.StatusGone, "was deleted on 2025-12-18") // before the sweep, too
	w.sweep(1)
	w.sweep(0)
	w.signedIn("r1", "Reviewer One").get(path).want(t, http.StatusNotFound)
	w.browser().get("/r/"+number).want(t, http.StatusGone, "was deleted on 2025-12-18")
	w.holdsNothingOf(number)
	if got := w.whats(); !slices.Contains(got, "case.deleted") || !slices.Contains(got, "case.opened") {
		t.Errorf("the audit log has %v", got)
	}
}

func (w *deskWorld) sweep(want int) {
	w.t.Helper()
	if n, err := w.desk.Sweep(context.Background()); err != nil || n != want {
		w.t.Errorf("deleted %d, %v; want %d", n, err, want)
	}
}

// holdsNothingOf fails the test if the store has anything left that the worker has shown.
func (w *deskWorld) holdsNothingOf(number string) {
	w.t.Helper()
	var keys []string
	w.scan(func(key, value []byte) {
		keys = append(keys, string(key))
		if bytes.Contains(value, []byte(w.EngagementID)) || bytes.Contains(value, []byte("akashi-evidence")) {
			w.t.Errorf("%s holds what was shown", key)
		}
	})
	for _, prefix := range []string{"desk/case/", "desk/file/", "desk/of/", "desk/code/", "desk/asked/", "vp/session/", "vp/evidence/"} {
		if slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, prefix) }) {
			w.t.Errorf("something is left under %s: %v", prefix, keys)
		}
	}
	if !slices.Contains(keys, "desk/number/"+number) {
		w.t.Error("that there was such a number is forgotten")
	}
}

// TestSessionIsTakenOver: what a wallet answered is with the case alone, also when nobody looked.
func TestSessionIsTakenOver(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	p := b.post("/desk/cases", newCase())
	h := w.worker()
	h.answer(p.link(t))
	h.answer(b.get(p.url.Path).link(t))
	w.sweep(0)
	w.scan(func(key, _ []byte) {
		if strings.HasPrefix(string(key), "vp/session/") || strings.HasPrefix(string(key), "vp/evidence/") {
			t.Errorf("%s is still there", key)
		}
	})
	b.get(p.url.Path).want(t, http.StatusOK, "Assessment no.")
}

// TestDelete: a reviewer deletes a case before its time.
func TestDelete(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	path := w.answered(b, "/desk")
	number := verifier.AssessmentNumber(b.saved(path))
	b.post(path+"/delete", nil).want(t, http.StatusOK, "There is no case yet.")
	b.get(path).want(t, http.StatusNotFound)
	w.holdsNothingOf(number)
	lines, err := w.desk.Audit(context.Background())
	if l := lines[len(lines)-1]; err != nil || l.What != "case.deleted" || l.Who != "r1" || l.Reason != "request" || l.Number != number {
		t.Errorf("the audit log ends with %+v, %v", l, err)
	}
	waiting := b.post("/desk/cases", newCase())
	code := waiting.find(t, `<code class="code">([0-9A-Z-]{9})</code>`)
	b.post(waiting.url.Path+"/delete", nil).want(t, http.StatusOK, "There is no case yet.")
	b.get("/c/"+code).want(t, http.StatusNotFound)
}

// TestSubmission: a worker alone makes the page to hand in, which no other browser sees, and which is kept for a short time or, if the worker wants it,
// for longer.
func TestSubmission(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.browser()
	b.get("/submission").want(t, http.StatusOK, "No sign-in is needed")
	path := w.answered(b, "/submission")
	number := verifier.AssessmentNumber(b.saved(path))
	b.get(path+"/paper").want(t, http.StatusOK, "疎明資料", number, number+".evidence.json")
	b.get(path+"/paper?lang=en").want(t, http.StatusOK, "疎明資料", number)
	b.get("/submission").want(t, http.StatusOK, number, "Open the page to hand in")
	other := w.browser()
	for _, p := range []string{path, path + "/paper", path + "/evidence", path + "/events"} {
		other.get(p).want(t, http.StatusNotFound)
	}
	other.get("/r/"+number).want(t, http.StatusOK, "Same as printed")
	kept := w.answered(b, "/submission")
	keptNumber := verifier.AssessmentNumber(b.saved(kept))
	b.post(kept+"/keep", nil).want(t, http.StatusOK, "It can be verified by its number until")
	w.clock.forward(24 * time.Hour)
	w.sweep(1)
	b.get(path).want(t, http.StatusNotFound)
	b.get("/r/"+number).want(t, http.StatusGone)
	b.get("/r/"+keptNumber).want(t, http.StatusOK, "Same as printed")
	w.clock.forward(89 * 24 * time.Hour)
	w.sweep(1)
	for _, l := range w.lines() {
		if l.Who != "worker" && l.Who != "service" || l.Name != "" {
			t.Errorf("the audit log names somebody: %+v", l)
		}
	}
}

// TestSubmissionKeepsNoReviewersCase: only what was made here is kept for longer, and only when it was answered.
func TestSubmissionKeepsNothingUnanswered(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.browser()
	p := b.post("/submission/cases", newCase())
	b.post(p.url.Path+"/keep", nil).want(t, http.StatusNotFound)
}

func (w *deskWorld) lines() []verifier.AuditLine {
	w.t.Helper()
	lines, err := w.desk.Audit(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}
