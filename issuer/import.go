package issuer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/registry/trustlist"
)

// File is a file as the clerk has it.
type File struct {
	Name    string
	Data    []byte
	Mapping []byte                            // for payroll: which column holds what
	Open    func(name string) ([]byte, error) // for enrolments: reads a presentation file that a row names
}

// Options of an import.
type Options struct {
	DryRun    bool            // show; sign nothing, store nothing
	GoodRows  bool            // issue the good rows although others have errors; else one error stops the file
	Supersede bool            // a row that differs from what was attested last about the same thing replaces it, as a further rung
	List      *trustlist.List // for enrolments: who may issue engagements
}

// Report says what an import did, or would do.
type Report struct {
	Organization string      `json:"organization"`
	Type         string      `json:"type"`
	File         string      `json:"file"`
	Encoding     Encoding    `json:"encoding,omitempty"`
	DryRun       bool        `json:"dry_run"`
	Ignored      []string    `json:"ignored_columns"`
	Notes        []Note      `json:"notes"`
	Errors       []RowError  `json:"errors"`
	Rows         []RowResult `json:"rows"`

	headers map[string]string // of the file's columns, by field
}

// RowResult says what became of one good row.
type RowResult struct {
	Row        int                `json:"row"`
	Status     string             `json:"status"` // one of the Status constants
	Reference  string             `json:"reference"`
	Engagement string             `json:"engagement,omitempty"`
	ID         string             `json:"id,omitempty"`
	Stream     attestation.Stream `json:"stream,omitempty"`
	Period     attestation.Period `json:"period,omitempty"`
	J          int                `json:"j"`
	Supersedes string             `json:"supersedes,omitempty"`
	Index      *uint64            `json:"index,omitempty"`     // in the log, once the registry gave its receipt
	Confirmed  bool               `json:"confirmed,omitempty"` // the index is proven under witnesses and auditors, and not only stated

	SDJWT string `json:"-"` // of an engagement: for the worker, see --out
}

// What became of a row.
const (
	StatusReady   = "ready"    // dry run, or stopped by the errors of other rows: would be issued
	StatusLogged  = "logged"   // signed, stored, and in the registry as its receipt states
	StatusStored  = "stored"   // signed and stored; the registry gave no receipt yet, it is sent again by itself
	StatusAlready = "already"  // was issued and logged before, nothing was done
	StatusNoRoom  = "no-room"  // signed and stored, and cannot be logged: others have filled the period's slots
	StatusEnrol   = "enrolled" // of an enrolment
)

// OK reports whether every row is where it should be.
func (r *Report) OK() bool {
	return len(r.Errors) == 0 && r.Count(StatusStored) == 0 && r.Count(StatusNoRoom) == 0
}

// Count returns the number of rows with the status.
func (r *Report) Count(status string) (n int) {
	for _, row := range r.Rows {
		if row.Status == status {
			n++
		}
	}
	return n
}

// take adds what a parser found.
func (r *Report) take(enc Encoding, ignored []string, headers map[string]string, notes []Note, errs []RowError) {
	r.Encoding, r.headers = enc, headers
	r.Ignored = append(r.Ignored, ignored...)
	r.Notes = append(r.Notes, notes...)
	r.Errors = append(r.Errors, errs...)
}

// refuse names the column as the file does, where it has the field.
func (r *Report) refuse(row int, field, value, problem, remedy string) {
	column := field
	if header := r.headers[field]; header != "" {
		column = header
	}
	r.Errors = append(r.Errors, RowError{File: r.File, Row: row, Column: column, Value: value, Problem: problem, Remedy: remedy})
}

func (r *Report) note(row int, text string) {
	r.Notes = append(r.Notes, Note{File: r.File, Row: row, Text: text})
}

// stopped reports whether nothing may be stored.
func (r *Report) stopped(opt Options) bool {
	return opt.DryRun || len(r.Errors) > 0 && !opt.GoodRows
}

var (
	// ErrType is returned for a type that the organization's role cannot attest or that has no file form.
	ErrType = errors.New("this organization does not import that type")
	// ErrNoTrustList is returned for enrolments without a trust list.
	ErrNoTrustList = errors.New("enrolments need the trust list, which says who may issue engagements")
)

// TypeEnrolment is the pseudo type of a file that says which worker's presentation belongs to which reference.
const TypeEnrolment attestation.Type = "enrolment"

// Import reads a file and issues one attestation a row. A nil error with errors in the report means that the file was read and rows
// were refused. Nothing is half done: all rows that are issued are stored before the registry hears of the first, and a row issued
// before is recognised by what it says.
func (i *Issuer) Import(ctx context.Context, orgID string, typ attestation.Type, f File, opt Options) (*Report, error) {
	o, err := i.org(ctx, orgID)
	if err != nil {
		return nil, err
	}
	defer i.imports.lock(o.ID)()
	report := &Report{Organization: o.ID, Type: string(typ), File: f.Name, DryRun: opt.DryRun, Ignored: []string{}, Notes: []Note{}, Errors: []RowError{}, Rows: []RowResult{}}
	if typ == TypeEnrolment {
		return report, i.importEnrolments(ctx, o, f, opt, report)
	}
	drafts, err := i.read(ctx, o, typ, f, report)
	if err != nil {
		return nil, err
	}
	if drafts, err = i.place(ctx, o, drafts, opt, report); err != nil {
		return nil, err
	}
	slices.SortStableFunc(report.Errors, func(a, b RowError) int { return cmp.Compare(a.Row, b.Row) })
	if !report.stopped(opt) {
		err = i.issue(ctx, o, drafts)
	}
	for _, d := range drafts {
		report.Rows = append(report.Rows, d.result())
	}
	return report, err
}

// importEnrolments takes up the presentation that each row names.
func (i *Issuer) importEnrolments(ctx context.Context, o *org, f File, opt Options, report *Report) error {
	if opt.List == nil {
		return ErrNoTrustList
	}
	if f.Open == nil {
		return errors.New("enrolments need the presentation files that the sheet names")
	}
	sheet := ParseEnrolments(f.Name, f.Data)
	report.take(sheet.Encoding, sheet.Ignored, sheet.Headers, sheet.Notes, sheet.Errors)
	var found []*Enrolment
	seen := map[string]string{} // reference to engagement
	for _, row := range sheet.Rows {
		e, err := i.openEnrolment(ctx, o, row, f, opt.List)
		if err == nil && seen[row.Reference] != "" && seen[row.Reference] != e.Engagement {
			err = errReference
		}
		if err != nil {
			report.refuse(row.Row, "presentation", row.Claims.Presentation, err.Error(), "ask the worker for a new presentation to "+o.Issuer)
			continue
		}
		seen[row.Reference] = e.Engagement
		found = append(found, e)
		report.Rows = append(report.Rows, RowResult{Row: row.Row, Status: StatusReady, Reference: row.Reference, Engagement: e.Engagement})
	}
	if report.stopped(opt) {
		return nil
	}
	for n, e := range found {
		if err := i.Store.Update(ctx, func(tx store.Tx) error { return e.save(tx, o.ID) }); err != nil {
			return fmt.Errorf("row %d: %w", report.Rows[n].Row, err)
		}
		report.Rows[n].Status = StatusEnrol
	}
	return nil
}

// openEnrolment reads and checks one row's presentation, and that the reference is free for it.
func (i *Issuer) openEnrolment(ctx context.Context, o *org, row Row[EnrolmentRow], f File, list *trustlist.List) (*Enrolment, error) {
	data, err := f.Open(row.Claims.Presentation)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	e, err := i.checkEnrolment(o, row.Reference, data, list)
	if err != nil {
		return nil, err
	}
	return e, i.Store.View(ctx, func(tx store.Tx) error {
		_, err := e.earlier(tx, o.ID)
		return err
	})
}
