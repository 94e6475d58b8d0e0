package verifier

import (
	"net/http"
	"slices"

	"akashi/attestation"
	"akashi/internal/i18n"
)

// servePaper shows the assessment as the one-page form for submission, with the name of the evidence file that goes with it. It is in Japanese, as those
// read it to whom it is handed in, whatever the language of who makes it; another one has to be asked for.
func (p casePages) servePaper(w http.ResponseWriter, r *http.Request) {
	c, data, err := p.fileFor(w, r, auditCaseSeen)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	lang := i18n.Languages[0]
	if asked := r.URL.Query().Get(i18n.QueryName); slices.Contains(i18n.Languages, asked) {
		lang = asked
	}
	page, _, err := newAssessmentPage(lang, data, p.vp.Trust)
	if err == nil {
		err = page.drawCode(p.vp.URL)
	}
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	page.Drawers = nil
	page.Links = assessmentLinks{Service: p.vp.URL, Evidence: p.pathOf(c) + "/evidence", Desk: p.base}
	page.Paper = &paper{FileName: evidenceName(c.Number), Made: dateOnPaper(attestation.DateOf(p.now()))}
	body, err := execute(lang, pageAssessment, chrome{Lang: lang, Data: page})
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	writePage(w, http.StatusOK, lang, body)
}
