package compliance

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"akashi/attestation"
)

const (
	employerID = "8990000000001"
	supportID  = "19登-999999"
	bankID     = "5990000000004"
	officeID   = "4990000000005"
)

func day(s string) attestation.Date {
	d, err := attestation.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// at reads an instant: a day alone is its first moment in Japan.
func at(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, attestation.JST); err == nil {
			return t
		}
	}
	panic("not a time: " + s)
}

func ptr[T any](v T) *T { return &v }

// A file is what was recorded under one engagement, from which evidence is made as it stood at any time.
type file struct {
	terms      attestation.Engagement
	logged     time.Time // of the engagement
	records    []record
	statements []record
	accepted   bool
}

type record struct {
	stream attestation.Stream
	period attestation.Period
	logged time.Time
	entry  Entry
}

func newFile(payDay, offset int, holiday string) *file {
	return &file{logged: at("2025-10-30 10:00"), accepted: true, terms: attestation.Engagement{
		Employer: attestation.Party{ID: employerID}, Support: &attestation.Party{ID: supportID}, Ruleset: Ruleset,
		Class: attestation.ClassI, SupportMode: attestation.SupportFull, Start: day("2025-11-01"), End: day("2027-10-31"),
		ClosingDay: 31, PayDay: payDay, PayMonthOffset: offset, HolidayRule: holiday, PayMethod: attestation.PayTransfer}}
}

// add puts a valid attestation on the ladder of a slot, and returns the entry to change.
func (f *file) add(s attestation.Stream, p attestation.Period, logged string, claims any) *Entry {
	attester := map[attestation.Role]string{attestation.AcceptingOrganization: employerID, attestation.SupportOrganization: supportID,
		attestation.Bank: bankID, attestation.Authority: officeID}
	role := s.Filler(f.terms.HasSupport())
	f.records = append(f.records, record{s, p, at(logged), Entry{Validity: Valid, ID: fmt.Sprintf("%s/%s/%d", s, p, len(f.records)),
		Type: s.Type(), Attester: attester[role], Role: role, Claims: claims, Presented: true}})
	return &f.records[len(f.records)-1].entry
}

func (f *file) junk(s attestation.Stream, p attestation.Period, logged string) *Entry {
	e := f.add(s, p, logged, nil)
	*e = Entry{Validity: Junk, Reason: CodeEntryJunk, Submitter: e.Attester}
	return e
}

// pay records a wage of 212,000 yen, in full.
func (f *file) pay(p attestation.Period, paid, logged string) (*Entry, *attestation.WagePayment) {
	first, last := covered(&f.terms, p)
	v := &attestation.WagePayment{Period: p, From: first, To: last, Kind: attestation.WageRegular, PaidDate: day(paid),
		DeclaredInFull: true, Net: ptr(int64(212_000))}
	return f.add(attestation.WageEmployer, p, logged, v), v
}

func (f *file) credit(p attestation.Period, value, logged string, amount int64) (*Entry, *attestation.WageReceipt) {
	v := &attestation.WageReceipt{Period: p, ValueDate: day(value), Source: attestation.SourceAccountStatement, Amount: &amount}
	return f.add(attestation.WageBank, p, logged, v), v
}

// paid records a wage on both sides, at the default times.
func (f *file) paid(p attestation.Period, on string) {
	f.pay(p, on, on+" 18:00")
	f.credit(p, on, nextBankDay(on)+" 09:30", 212_000)
}

func nextBankDay(on string) string {
	reg, err := loaded()
	if err != nil {
		panic(err)
	}
	d, err := open(reg.holidays, day(on).AddDays(1), bankYearEnd, +1)
	if err != nil {
		panic(err)
	}
	return d.String()
}

func (f *file) interview(s attestation.Stream, p attestation.Period, held, logged string) *Entry {
	return f.add(s, p, logged, &attestation.SupportInterview{Interviewee: interviewees[s], Date: day(held)})
}

// interviewed records both interviews of a quarter three days after they were held.
func (f *file) interviewed(p attestation.Period, held string) {
	for _, s := range []attestation.Stream{attestation.InterviewWorker, attestation.InterviewSuperior} {
		f.interview(s, p, held, day(held).AddDays(3).String()+" 12:00")
	}
}

func (f *file) filedNotice(obligation, event, arrived, logged string) *Entry {
	return f.add(attestation.NoticeEmployer, attestation.EventsOf(day(event)), logged, &attestation.NotificationFiled{Notification: attestation.Notification{
		Obligation: obligation, EventDate: day(event), FiledDate: day(arrived), ArrivedDate: day(arrived)}})
}

func (f *file) filedReport(p attestation.Period, arrived string) *Entry {
	return f.add(attestation.ReportEmployer, p, arrived+" 17:00", &attestation.NotificationFiled{Notification: attestation.Notification{
		Obligation: "P-01", Period: p, FiledDate: day(arrived), ArrivedDate: day(arrived)}})
}

func (f *file) separation(s attestation.Stream, end, reason, logged string) *Entry {
	v := &attestation.Separation{EndDate: day(end)}
	if reason != "" {
		v.ReasonClass = &reason
	}
	return f.add(s, attestation.EventsOf(day(end)), logged, v)
}

// state records a statement of the worker at 20:00 of its date.
func (f *file) state(kind, date string, about *attestation.About) string {
	id := fmt.Sprintf("statement/%d", len(f.statements))
	f.statements = append(f.statements, record{logged: at(date + " 20:00"),
		entry: Entry{ID: id, Claims: &attestation.WorkerStatement{Date: day(date), Kind: &kind, About: about}}})
	return id
}

func wage(p attestation.Period) *attestation.About {
	return &attestation.About{Stream: attestation.WageEmployer, Period: p}
}

// as makes the evidence as it stood at asOf. A checkpoint a minute after each logging proves that it existed, one an hour before that it
// did not.
func (f *file) as(asOf time.Time) Evidence {
	ev := Evidence{EngagementID: "engagement", Terms: &f.terms, Accepted: f.accepted, IssuerID: employerID, Audited: true,
		AbsentAsOf: asOf.Add(-time.Minute), From: day("2025-11-01"), To: day("2026-10-31"), Checkpoint: "checkpoint", Policy: "policy",
		PlanSince: map[attestation.Stream]map[attestation.Period]time.Time{}}
	for s, periods := range f.terms.Plan() {
		ev.PlanSince[s] = map[attestation.Period]time.Time{}
		for _, p := range periods {
			ev.PlanSince[s][p] = f.logged
			ev.Ladders = append(ev.Ladders, f.ladder(s, p, asOf))
		}
	}
	slices.SortFunc(ev.Ladders, func(a, b Ladder) int {
		return slices.Compare([]string{string(a.Stream), string(a.Period)}, []string{string(b.Stream), string(b.Period)})
	})
	for i, r := range f.statements {
		if r.logged.Before(asOf) {
			ev.Statements = append(ev.Statements, Statement{ID: r.entry.ID, Index: uint64(1000 + i), ExistedBy: r.logged.Add(time.Minute),
				NotBefore: r.logged.Add(-time.Hour), Claims: r.entry.Claims.(*attestation.WorkerStatement)})
		}
	}
	return ev
}

func (f *file) ladder(s attestation.Stream, p attestation.Period, asOf time.Time) Ladder {
	l := Ladder{Stream: s, Period: p, Opened: true, Closed: true}
	for i, r := range f.records {
		if r.stream == s && r.period == p && r.logged.Before(asOf) {
			e := r.entry
			e.J, e.Index = len(l.Rungs), uint64(i)
			if e.ExistedBy.IsZero() {
				e.ExistedBy = r.logged.Add(time.Minute)
			}
			if e.NotBefore.IsZero() {
				e.NotBefore = r.logged.Add(-time.Hour)
			}
			l.Rungs = append(l.Rungs, e)
		}
	}
	return l
}

// ladderOf returns the ladder in evidence to spoil.
func ladderOf(ev *Evidence, s attestation.Stream, p attestation.Period) *Ladder {
	for i := range ev.Ladders {
		if ev.Ladders[i].Stream == s && ev.Ladders[i].Period == p {
			return &ev.Ladders[i]
		}
	}
	panic("no such slot")
}

// hide closes a period.
func hide(ev *Evidence, s attestation.Stream, p attestation.Period) {
	*ladderOf(ev, s, p) = Ladder{Stream: s, Period: p}
}

func assess(t *testing.T, ev Evidence, asOf time.Time) *Assessment {
	t.Helper()
	a, err := Assess(ev, asOf)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// findingOf returns the finding of a duty, named "W-05 2026-05", and whether there is one.
func findingOf(a *Assessment, duty string) (DutyFinding, bool) {
	for _, f := range a.Findings {
		if f.Obligation+" "+f.Period == duty {
			return f, true
		}
	}
	return DutyFinding{}, false
}

func has(f DutyFinding, code string) bool {
	return slices.ContainsFunc(f.Checks, func(c Check) bool { return c.Code == code })
}

// line writes what the story states of a finding.
func line(f DutyFinding) string {
	s := f.Due.String() + " " + f.Finding.String()
	if f.DaysLate != 0 {
		s += fmt.Sprintf(" %d", f.DaysLate)
	}
	s += " " + string(f.DutyHolder)
	for _, r := range f.CorroboratedBy {
		s += " +" + string(r)
	}
	if f.OwnRecordOnly {
		s += " own"
	}
	return s
}

func same[K comparable](t *testing.T, what string, got, want map[K]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
