package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// importers says which role imports which type, and how its file is read.
var importers = map[attestation.Type]struct {
	roles []attestation.Role
	read  func(*reader, File) error
}{
	attestation.TypeEngagement:          {[]attestation.Role{attestation.AcceptingOrganization}, (*reader).engagements},
	attestation.TypeWagePayment:         {[]attestation.Role{attestation.AcceptingOrganization}, (*reader).payroll},
	attestation.TypeWageReceipt:         {[]attestation.Role{attestation.Bank}, (*reader).bank},
	attestation.TypeSupportInterview:    {[]attestation.Role{attestation.SupportOrganization, attestation.AcceptingOrganization}, (*reader).interviews},
	attestation.TypeSupportSession:      {[]attestation.Role{attestation.SupportOrganization, attestation.AcceptingOrganization}, (*reader).sessions},
	attestation.TypeNotificationFiled:   {[]attestation.Role{attestation.AcceptingOrganization}, (*reader).notifications},
	attestation.TypeNotificationReceipt: {[]attestation.Role{attestation.Authority}, (*reader).receipts},
	attestation.TypeRemedy:              {[]attestation.Role{attestation.AcceptingOrganization}, (*reader).remedies},
	attestation.TypeSeparation:          {[]attestation.Role{attestation.AcceptingOrganization, attestation.Authority}, (*reader).separations},
}

// reader turns the rows of one file into drafts.
type reader struct {
	i      *Issuer
	o      *org
	report *Report
	drafts []*draft
	find   func(reference string) (*Enrolment, error) // reads an enrolment; nil where rows have none

	known     map[string]*Enrolment // by reference, nil where there is none
	calendars map[string]payDays    // by engagement
}

func (i *Issuer) read(ctx context.Context, o *org, typ attestation.Type, f File, report *Report) ([]*draft, error) {
	how, ok := importers[typ]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrType, typ)
	}
	if !slices.Contains(how.roles, o.Role) {
		return nil, fmt.Errorf("%w: %s is for %v, this organization is listed as %s", ErrType, typ, how.roles, o.Role)
	}
	find := func(reference string) (e *Enrolment, err error) {
		err = i.Store.View(ctx, func(tx store.Tx) error {
			e, err = loadEnrolment(tx, o.ID, reference)
			return err
		})
		return e, err
	}
	r := &reader{i: i, o: o, report: report, find: find, known: map[string]*Enrolment{}, calendars: map[string]payDays{}}
	if err := how.read(r, f); err != nil {
		return nil, err
	}
	return r.drafts, each(r.drafts, (*draft).spell)
}

// enrolment finds the engagement of a row, or reports that there is none.
func (r *reader) enrolment(row int, reference string) (*Enrolment, error) {
	e, ok := r.known[reference]
	if !ok {
		var err error
		if e, err = r.find(reference); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		r.known[reference] = e
	}
	if e == nil {
		r.report.refuse(row, "reference", reference, "no engagement is known under this number", "check the number; a new worker's engagement must be imported or enrolled first")
	}
	return e, nil
}

// add makes a draft of one row, unless the row speaks of a day to come: a record that stood in the log before the act attests nothing, and
// keeps its rung for good.
func (r *reader) add(row int, reference string, e *Enrolment, typ attestation.Type, stream attestation.Stream, period attestation.Period, identity string, claims any) {
	if claim, day := actOf(claims); day.After(attestation.DateOf(r.i.Now())) {
		r.report.refuse(row, claim, day.String(), "this day is yet to come", "import it on or after "+day.String())
		return
	}
	r.drafts = append(r.drafts, &draft{row: row, reference: reference, typ: typ, claims: claims, stream: stream, period: period, identity: identity, enrolment: e})
}

// actOf returns the day in Japan on which claims say that the act was done, and the claim that says so; no day for a contract.
func actOf(claims any) (claim string, day attestation.Date) {
	switch c := claims.(type) {
	case attestation.WagePayment:
		return "paid_date", c.PaidDate
	case attestation.WageReceipt:
		return "value_date", c.ValueDate
	case attestation.SupportInterview:
		return "date", c.Date
	case attestation.SupportSession:
		return "date", c.Date
	case attestation.NotificationFiled:
		return "arrived_date", c.ArrivedDate
	case attestation.NotificationReceipt:
		return "arrived_date", c.ArrivedDate
	case attestation.Remedy:
		return "remedied_date", c.RemediedDate
	case attestation.Separation:
		return "end_date", c.EndDate
	}
	return "", attestation.Date{}
}

// rows makes a draft of every row of a sheet; place says where a row's claims stand and what they speak of.
func rows[T any](r *reader, s *Sheet[T], typ attestation.Type, place func(e *Enrolment, claims T) (attestation.Stream, attestation.Period, string)) error {
	r.report.take(s.Encoding, s.Ignored, s.Headers, s.Notes, s.Errors)
	for _, row := range s.Rows {
		e, err := r.enrolment(row.Row, row.Reference)
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		stream, period, identity := place(e, row.Claims)
		r.add(row.Row, row.Reference, e, typ, stream, period, identity, row.Claims)
	}
	return nil
}

func (r *reader) payroll(f File) error {
	if len(f.Mapping) == 0 {
		return errors.New("a payroll file needs --mapping FILE, which says which column holds what")
	}
	m, err := ParseMapping(f.Mapping)
	if err != nil {
		return err
	}
	sheet := ParsePayroll(f.Name, f.Data, m, r.o.Ledger)
	return rows(r, sheet, attestation.TypeWagePayment, func(_ *Enrolment, w attestation.WagePayment) (attestation.Stream, attestation.Period, string) {
		identity := "wage of " + string(w.Period)
		if w.Kind == attestation.WagePart {
			identity = "part paid on " + w.PaidDate.String() + " of the wage of " + string(w.Period)
		}
		return attestation.WageEmployer, w.Period, identity
	})
}

func (r *reader) interviews(f File) error {
	return rows(r, ParseInterviews(f.Name, f.Data), attestation.TypeSupportInterview, func(_ *Enrolment, c attestation.SupportInterview) (attestation.Stream, attestation.Period, string) {
		stream := attestation.InterviewWorker
		if c.Interviewee == attestation.IntervieweeSupervisor {
			stream = attestation.InterviewSuperior
		}
		return stream, attestation.QuarterOf(c.Date), "interview with the " + c.Interviewee + " on " + c.Date.String()
	})
}

func (r *reader) sessions(f File) error {
	return rows(r, ParseSessions(f.Name, f.Data), attestation.TypeSupportSession, func(_ *Enrolment, c attestation.SupportSession) (attestation.Stream, attestation.Period, string) {
		return attestation.SessionSupport, attestation.EventsOf(c.Date), "support item " + c.Item + " on " + c.Date.String()
	})
}

func (r *reader) notifications(f File) error {
	return rows(r, ParseNotifications(f.Name, f.Data), attestation.TypeNotificationFiled, func(_ *Enrolment, c attestation.NotificationFiled) (attestation.Stream, attestation.Period, string) {
		return placeNotice(&c.Notification, attestation.ReportEmployer, attestation.NoticeEmployer)
	})
}

func (r *reader) receipts(f File) error {
	return rows(r, ParseReceipts(f.Name, f.Data), attestation.TypeNotificationReceipt, func(_ *Enrolment, c attestation.NotificationReceipt) (attestation.Stream, attestation.Period, string) {
		return placeNotice(&c.Notification, attestation.ReportAuthority, attestation.NoticeAuthority)
	})
}

// placeNotice says where a notice stands: reports by their period, notices by the date of their event.
func placeNotice(n *attestation.Notification, report, notice attestation.Stream) (attestation.Stream, attestation.Period, string) {
	if n.EventDate.IsZero() {
		return report, n.Period, n.Obligation + " for " + string(n.Period)
	}
	return notice, attestation.EventsOf(n.EventDate), n.Obligation + " for " + n.EventDate.String()
}

func (r *reader) remedies(f File) error {
	return rows(r, ParseRemedies(f.Name, f.Data), attestation.TypeRemedy, func(_ *Enrolment, c attestation.Remedy) (attestation.Stream, attestation.Period, string) {
		about := string(c.Duty.Period)
		if about == "" {
			about = c.Duty.EventDate.String()
		}
		return attestation.RemedyEmployer, attestation.EventsOf(c.RemediedDate), "remedy of " + c.Duty.Obligation + " for " + about
	})
}

func (r *reader) separations(f File) error {
	stream := attestation.SeparationEmployer
	if r.o.Role == attestation.Authority {
		stream = attestation.SeparationOffice
	}
	return rows(r, ParseSeparations(f.Name, f.Data), attestation.TypeSeparation, func(_ *Enrolment, c attestation.Separation) (attestation.Stream, attestation.Period, string) {
		return stream, attestation.EventsOf(c.EndDate), "end of the contract"
	})
}

// bankHeaders are the names of fields in the Zengin layout.
var bankHeaders = map[string]string{"reference": "口座番号", "value_date": "預入・払出日", "payer_name": "振込依頼人名"}

// bank reads the statements of workers' own accounts. A credit is a wage receipt when it comes from the payer that the worker's
// engagement names.
func (r *reader) bank(f File) error {
	file := ParseZengin(f.Name, f.Data)
	r.report.take("", nil, bankHeaders, file.Notes, file.Errors)
	for _, s := range file.Skipped {
		r.report.note(s.Record, "not a wage: "+s.Reason)
	}
	for _, row := range file.Rows {
		e, err := r.enrolment(row.Record, row.Reference())
		if err != nil {
			return err
		}
		if e == nil {
			continue
		}
		if err := r.credit(row, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) credit(row BankRow, e *Enrolment) error {
	switch {
	case e.Terms.Terms == nil || e.Terms.Terms.PayerKana == nil:
		r.report.refuse(row.Record, "payer_name", "", "the employer's name as payer is not known for this account",
			"enrol the account again with a presentation that shows terms.payer_kana")
		return nil
	case MatchKana(row.PayerName) != MatchKana(*e.Terms.Terms.PayerKana):
		r.report.note(row.Record, "not a wage: another payer than the employer")
		return nil
	}
	days, err := r.payDays(e)
	if err != nil {
		return err
	}
	pay, ok := days.of(row.ValueDate)
	if !ok {
		r.report.refuse(row.Record, "value_date", row.ValueDate.String(), "no pay day of the contract can be told for this day", "check the contract; the table of holidays may end before")
		return nil
	}
	if pay.day != row.ValueDate {
		r.report.note(row.Record, fmt.Sprintf("taken as the wage of %s, whose pay day is %s", pay.period, pay.day))
	}
	claims := attestation.WageReceipt{Period: pay.period, ValueDate: row.ValueDate, Source: attestation.SourceAccountStatement,
		Amount: &row.Amount, PayerName: &row.PayerName, TransactionClass: &row.TransactionClass}
	if row.PayerCode != "" {
		claims.PayerCode = &row.PayerCode
	}
	r.add(row.Record, row.Reference(), e, attestation.TypeWageReceipt, attestation.WageBank, pay.period, "", claims)
	return nil
}

// payDayDuty is the obligation whose due dates are the pay days.
const payDayDuty = "W-05"

// payDay is the day on which the wage of a period is due.
type payDay struct {
	period attestation.Period
	day    attestation.Date
}

// payDays are a contract's, in order.
type payDays []payDay

// payDays returns the pay days of an engagement, as far as the table of holidays goes.
func (r *reader) payDays(e *Enrolment) (payDays, error) {
	if days, ok := r.calendars[e.Engagement]; ok {
		return days, nil
	}
	duties, err := compliance.Calendar(e.Terms, nil, attestation.Date{}, attestation.Date{})
	if err != nil {
		return nil, err
	}
	var days payDays
	for _, d := range duties {
		if d.Obligation == payDayDuty && !d.Due.IsZero() {
			days = append(days, payDay{attestation.Period(d.Period), d.Due})
		}
	}
	r.calendars[e.Engagement] = days
	return days, nil
}

// of returns the pay day that a credit belongs to: the last that is not after the following day, so that a wage paid late stays with its
// month until the next pay day. A credit before the first belongs to the first. False when the days known end
// long before.
func (p payDays) of(credit attestation.Date) (payDay, bool) {
	var found payDay
	for _, d := range p {
		if found.period != "" && d.day.After(credit.AddDays(1)) {
			return found, true
		}
		found = d
	}
	return found, found.period != "" && !credit.After(found.day.AddDays(maxLate))
}

// maxLate is the number of days after the last pay day known within which a credit is still taken as its wage.
const maxLate = 92

// engagements reads contracts. Every slot of the plan gets a random secret.
func (r *reader) engagements(f File) error {
	sheet := ParseEngagements(f.Name, f.Data)
	r.report.take(sheet.Encoding, sheet.Ignored, sheet.Headers, sheet.Notes, sheet.Errors)
	for _, row := range sheet.Rows {
		r.engagement(row)
	}
	return nil
}

// engagement makes a draft of one contract.
func (r *reader) engagement(row Row[EngagementRow]) {
	refuse := func(column, problem, remedy string) { r.report.refuse(row.Row, column, "", problem, remedy) }
	terms := row.Claims.Engagement
	if terms.Employer.ID != r.o.ID {
		refuse("employer_id", "the employer is another organization", "import the row for --org of the employer")
		return
	}
	holder, err := keys.ParsePublic([]byte(row.Claims.HolderJWK))
	if err != nil {
		refuse("holder_jwk", err.Error(), "take the public JWK that `akashi wallet init` printed")
		return
	}
	e := &Enrolment{Reference: row.Reference, Holder: holder.JWK(), Terms: terms, Secrets: map[attestation.Stream]map[attestation.Period]registry.Secret{}}
	if proof := row.Claims.DeliveryProof; proof != "" {
		if e.Delivery, err = deliveryOf(proof, holder, r.i.Origin); err != nil {
			refuse("delivery_proof", err.Error(), "take the delivery proof that `akashi wallet init` printed for this registry")
			return
		}
	}
	if err := e.prepare(); err != nil {
		refuse("holder_jwk", err.Error(), "take the public JWK that `akashi wallet init` printed")
		return
	}
	r.addEngagement(row.Row, e, row.Claims.DeliveryProof)
}

func (r *reader) addEngagement(row int, e *Enrolment, deliveryProof string) {
	e.Terms.Registry = r.i.Origin
	claims := e.Terms
	if deliveryProof != "" {
		claims.DeliveryProof = &deliveryProof
	}
	e.Terms.WorkerIdentity = nil
	r.add(row, e.Reference, e, attestation.TypeEngagement, "", "", "contract", claims)
}
