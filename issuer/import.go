package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/registry"
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
	DryRun    bool // show, sign nothing
	GoodRows  bool // issue the good rows although others have errors; else one error stops the file
	Supersede bool // a row that differs from what was attested before replaces it as a further rung
	List      *trustlist.List
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
	Index      *uint64            `json:"index,omitempty"` // in the log, once the registry gave its receipt

	SDJWT string `json:"-"` // of an engagement: for the worker, see --out
}

// What became of a row.
const (
	StatusReady   = "ready"   // dry run: would be issued
	StatusLogged  = "logged"  // signed, stored, and in the registry with a receipt
	StatusStored  = "stored"  // signed and stored; the registry gave no receipt yet, it is sent again by itself
	StatusAlready = "already" // was issued before, nothing was done
	StatusEnrol   = "enrolled"
)

// OK reports whether every row is where it should be.
func (r *Report) OK() bool {
	return len(r.Errors) == 0 && !slices.ContainsFunc(r.Rows, func(row RowResult) bool { return row.Status == StatusStored })
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

// draft is a row on its way to being an attestation.
type draft struct {
	row       int
	reference string
	typ       attestation.Type
	payload   map[string]any // claims without iss, iat, vct, cnf
	stream    attestation.Stream
	period    attestation.Period
	identity  string // what it speaks of, so that a second one that differs is a correction; "" when it cannot be one
	enrolment *Enrolment
	digest    registry.Hash

	result *RowResult
	record *record
}

// ErrType is returned for a type that the organization's role cannot attest or that has no file form.
var ErrType = errors.New("this organization does not import that type")

// TypeEnrolment is the pseudo type of a file that says which worker's presentation belongs to which reference.
const TypeEnrolment attestation.Type = "enrolment"

// Import reads a file and issues one attestation a row. A nil error with errors in the report means that the file was read and rows were
// refused; nothing is half done: rows that are issued are stored whole before the registry hears of them.
func (i *Issuer) Import(ctx context.Context, orgID string, typ attestation.Type, f File, opt Options) (*Report, error) {
	defer i.ladders.lock(orgID)()
	o, err := i.org(ctx, orgID)
	if err != nil {
		return nil, err
	}
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
	report.Rows = make([]RowResult, len(drafts))
	for n, d := range drafts {
		report.Rows[n] = d.asResult()
		d.result = &report.Rows[n]
	}
	if opt.DryRun || len(report.Errors) > 0 && !opt.GoodRows {
		return report, nil
	}
	return report, i.issue(ctx, o, slices.DeleteFunc(drafts, func(d *draft) bool { return d.result.Status == StatusAlready }))
}

func (d *draft) asResult() RowResult {
	r := RowResult{Row: d.row, Status: StatusReady, Reference: d.reference, Stream: d.stream, Period: d.period}
	r.Engagement = d.enrolment.Engagement
	r.Supersedes, _ = d.payload["supersedes"].(string)
	if d.record != nil {
		r.J, r.ID = d.record.J, d.record.ID
		if d.record.Logged {
			r.Index = &d.record.Index
		}
		if r.ID != "" {
			r.Status, r.Supersedes = StatusAlready, ""
			d.result = &r
			d.settleEngagement()
		}
	}
	return r
}

// place finds each draft's slot: the same content again is the record made before; other content about the same thing is a correction,
// which must be asked for; else the next rung of the period.
func (i *Issuer) place(ctx context.Context, o *org, drafts []*draft, opt Options, report *Report) ([]*draft, error) {
	p := placer{o: o, opt: opt, report: report, next: map[string]int{}, digests: map[registry.Hash]int{}}
	err := i.Store.View(ctx, func(tx store.Tx) error {
		drafts = slices.DeleteFunc(drafts, func(d *draft) bool {
			ok, err := p.place(tx, d)
			p.err = errors.Join(p.err, err)
			return !ok
		})
		return p.err
	})
	return drafts, err
}

type placer struct {
	o       *org
	opt     Options
	report  *Report
	next    map[string]int // by engagement, stream and period: the next free rung
	digests map[registry.Hash]int
	err     error
}

func (p *placer) refuse(d *draft, column, problem, remedy string) (bool, error) {
	p.report.Errors = append(p.report.Errors, RowError{File: p.report.File, Row: d.row, Column: column, Value: d.reference, Problem: problem, Remedy: remedy})
	return false, nil
}

func (p *placer) place(tx store.Tx, d *draft) (ok bool, err error) {
	engagement := d.enrolment.Engagement
	if d.typ == attestation.TypeEngagement {
		engagement = d.enrolment.Terms.ContractHash
	} else {
		if _, ok := d.enrolment.Secrets[d.stream][d.period]; !ok {
			return p.refuse(d, "", fmt.Sprintf("slot %s %s is not open to this organization", d.stream, d.period),
				"check the dates; if they are right, the period is outside the contract, or the worker has not shown it: enrol again")
		}
		d.payload["engagement"] = engagement
	}
	if d.digest, err = contentDigest(engagement, d.stream, d.payload); err != nil {
		return false, err
	}
	if earlier, twice := p.digests[d.digest]; twice {
		return p.refuse(d, "", fmt.Sprintf("the same as row %d", earlier), "delete one of them")
	}
	p.digests[d.digest] = d.row
	if slot, err := tx.Get(doneKey(p.o.ID, d.digest)); err == nil {
		d.record, err = loadRecord(tx, slot)
		return err == nil, err
	} else if !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	if last, err := p.lastOf(tx, d, engagement); err != nil {
		return false, err
	} else if last != nil {
		if d.typ == attestation.TypeEngagement {
			return p.refuse(d, "", "an engagement with other terms was issued for this contract document", "use the hash of the new contract document")
		}
		if !p.opt.Supersede {
			return p.refuse(d, "", fmt.Sprintf("%s was attested before with other values", d.identity), "if this row corrects it, import again with --supersede; the earlier one stays visible as replaced")
		}
		d.payload["supersedes"] = last.ID
	}
	return p.rung(tx, d, engagement)
}

// lastOf returns the latest record about the same thing, or nil.
func (p *placer) lastOf(tx store.Tx, d *draft, engagement string) (*record, error) {
	if d.identity == "" {
		return nil, nil
	}
	slot, err := tx.Get(identityKey(p.o.ID, engagement, d.identity))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return loadRecord(tx, slot)
}

// rung gives d the next free rung of its ladder.
func (p *placer) rung(tx store.Tx, d *draft, engagement string) (bool, error) {
	ladder := string(slotKey(p.o.ID, engagement, d.stream, d.period, 0))
	j, ok := p.next[ladder]
	if !ok && d.typ != attestation.TypeEngagement {
		var err error
		if j, err = rungs(tx, p.o.ID, engagement, d.stream, d.period); err != nil {
			return false, err
		}
	}
	if j >= maxRung {
		return p.refuse(d, "", fmt.Sprintf("the period has %d records, which is all it can hold", j), "check whether rows were imported by mistake; ask the registry's operator")
	}
	p.next[ladder] = j + 1
	d.record = &record{Type: d.typ, Engagement: engagement, Digest: d.digest, Identity: d.identity, Stream: d.stream, Period: d.period, J: j}
	return true, nil
}

// rungs counts the records that the organization has in a ladder, or returns the first free rung after them.
func rungs(tx store.Tx, orgID, engagement string, stream attestation.Stream, period attestation.Period) (next int, err error) {
	prefix := slotKey(orgID, engagement, stream, period, 0)
	err = tx.Scan(prefix[:len(prefix)-2], func(key, _ []byte) error {
		var j int
		if _, err := fmt.Sscanf(string(key[len(prefix)-2:]), "%d", &j); err != nil {
			return err
		}
		next = j + 1
		return nil
	})
	return next, err
}

func (i *Issuer) importEnrolments(ctx context.Context, o *org, f File, opt Options, report *Report) error {
	sheet := ParseEnrolments(f.Name, f.Data)
	report.take(sheet.Encoding, sheet.Ignored, sheet.Notes, sheet.Errors)
	var found []*Enrolment
	for _, row := range sheet.Rows {
		fail := func(problem string) {
			report.Errors = append(report.Errors, RowError{File: f.Name, Row: row.Row, Column: "presentation", Value: row.Claims.Presentation, Problem: problem, Remedy: "ask the worker for a new presentation to " + o.Issuer})
		}
		data, err := f.Open(row.Claims.Presentation)
		if err != nil {
			fail("the file cannot be read: " + err.Error())
			continue
		}
		v, err := i.verifyEngagement(data, o.Issuer, opt.List)
		if err != nil {
			fail(err.Error())
			continue
		}
		e, err := i.enrolment(o, row.Reference, v)
		if err != nil {
			fail(err.Error())
			continue
		}
		found = append(found, e)
		report.Rows = append(report.Rows, RowResult{Row: row.Row, Status: StatusReady, Reference: row.Reference, Engagement: e.Engagement})
	}
	if opt.DryRun || len(report.Errors) > 0 && !opt.GoodRows {
		return nil
	}
	return i.Store.Update(ctx, func(tx store.Tx) error {
		for n, e := range found {
			if err := saveEnrolment(tx, o.ID, e); err != nil {
				return err
			}
			report.Rows[n].Status = StatusEnrol
		}
		return nil
	})
}

func (r *Report) take(enc Encoding, ignored []string, notes []Note, errs []RowError) {
	r.Encoding = enc
	r.Ignored = append(r.Ignored, ignored...)
	r.Notes = append(r.Notes, notes...)
	r.Errors = append(r.Errors, errs...)
}
