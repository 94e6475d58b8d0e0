package verifier

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
)

// PageOptions change how an assessment is put on paper, never what it says.
type PageOptions struct {
	Lang       string    // ja or en; "" is ja
	Submission bool      // as material to submit to an authority: one sheet, without the drawers
	FileName   string    // of the evidence file, as it is attached to a submission
	Service    string    // URL of a verifier whose page verifies it again; "" puts the assessment number alone into the QR code
	Made       time.Time // on which day a submission is made
}

// alone is what standalone.html shows.
type alone struct {
	Lang      string
	Style     template.CSS
	StyleHash string // for the file's own Content-Security-Policy (CSP Level 3, Section 6.7.3.2)
	Data      *assessmentPage
}

// paperStyles are the style sheets that a file holds.
var paperStyles = []string{"page.css", "assessment.css"}

// WritePage writes the assessment of an evidence file as one HTML file that loads nothing: to be read anywhere, and to be printed on one sheet of
// A4. The evidence is verified for it with what the caller pins, and the result is returned; a file that does not hold gives a page that says
// so and shows no counts.
func WritePage(w io.Writer, file []byte, trust evidence.Trust, o PageOptions) (*evidence.Result, error) {
	if o.Lang == "" {
		o.Lang = i18n.Languages[0]
	}
	if !slices.Contains(i18n.Languages, o.Lang) {
		return nil, fmt.Errorf("no page is written in language %q: one of %v", o.Lang, i18n.Languages)
	}
	p, result, err := newAssessmentPage(o.Lang, file, trust)
	if err != nil {
		return nil, err
	}
	if err := p.drawCode(o.Service); err != nil {
		return nil, err
	}
	if o.Submission {
		p.Drawers = nil
		p.Paper = &paper{FileName: o.FileName, Made: dateOnPaper(attestation.DateOf(o.Made))}
	}
	body, err := execute(o.Lang, pagePaper, newAlone(o.Lang, p))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return result, nil
}

// dateOnPaper is a date in both calendars.
func dateOnPaper(d attestation.Date) string { return fmt.Sprintf("%s（%s）", d, i18n.Wareki(d)) }

func newAlone(lang string, p *assessmentPage) alone {
	var style []byte
	for _, name := range paperStyles {
		for _, a := range assets() {
			if a.name == name {
				style = append(style, a.content...)
			}
		}
	}
	sum := sha256.Sum256(style)
	return alone{Lang: lang, Style: template.CSS(style), StyleHash: "sha256-" + base64.StdEncoding.EncodeToString(sum[:]), Data: p}
}
