package compliance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
)

// Ruleset is the name of the rules that this package holds. An engagement names the rules that it was made under.
const Ruleset = "ssw-1"

// EventEnd is the end of the contract, the one kind of event from which duties arise here.
const EventEnd = "end"

// Event is something that happened under an engagement and gives rise to duties.
type Event struct {
	Kind        string           `json:"kind"` // EventEnd
	Date        attestation.Date `json:"date"`
	ReasonClass string           `json:"reason_class,omitempty"` // "" when it was not shown

	// EmployerOnly says that only the employer states the end: duties of later periods are doubtful, not gone, up to Until.
	EmployerOnly bool `json:"employer_only,omitempty"`
	// Until is the last day for which periodic duties arise, where that is not Date. Under EmployerOnly the zero Until is the
	// contract's own end.
	Until attestation.Date `json:"until,omitzero"`
}

// Duty is one thing that was, or will be, due.
type Duty struct {
	Obligation     string               `json:"obligation"`
	Title          map[string]string    `json:"title"`
	LegalBasis     string               `json:"legal_basis"`
	DutyHolder     attestation.Role     `json:"duty_holder"`
	AlsoAnswerable []attestation.Role   `json:"also_answerable"`
	Period         string               `json:"period"` // period, or the event date of an event duty
	Rule           string               `json:"rule"`   // the deadline rule and the roll that gave Due
	NominalDue     attestation.Date     `json:"nominal_due"`
	Due            attestation.Date     `json:"due,omitzero"` // zero beyond the holiday table
	GraceUntil     time.Time            `json:"grace_until,omitzero"`
	Streams        []attestation.Stream `json:"streams"`        // whose entries can fulfil it
	Note           string               `json:"note,omitempty"` // why the duty or its due date is doubtful

	rule     *rule
	occasion occasion
	later    bool // falls after an end that only the employer states
	doubtful bool // it was not shown whether the duty arises
}

// Calendar lists every duty of the engagement whose period shares a day with the contract and with the months from to to, and every
// duty from an event in that time, in the order of the register. Zero dates stand for the contract's own. The order within an
// obligation is that of time.
//
// A due date beyond the holiday table stays empty, with a note; nothing is guessed.
func Calendar(e attestation.Engagement, events []Event, from, to attestation.Date) ([]Duty, error) {
	reg, err := loaded()
	if err != nil {
		return nil, err
	}
	return reg.calendar(&e, events, from, to)
}

func (reg *register) calendar(e *attestation.Engagement, events []Event, from, to attestation.Date) ([]Duty, error) {
	if err := checkTerms(e); err != nil {
		return nil, err
	}
	s, err := spanOf(e, events, from, to)
	if err != nil {
		return nil, err
	}
	var out []Duty
	for i := range reg.rules {
		r := &reg.rules[i]
		for _, o := range s.occasions(e, r) {
			if d, ok := reg.duty(e, r, o, s); ok {
				out = append(out, d)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Duty) int {
		if a.rule.row.Order != b.rule.row.Order {
			return a.rule.row.Order - b.rule.row.Order
		}
		return strings.Compare(a.Period, b.Period)
	})
	return out, nil
}

// ErrTerms is returned for an engagement whose terms no calendar can be computed from.
var ErrTerms = errors.New("the engagement's terms are not usable")

// checkTerms refuses terms that the deadline rules cannot work on. Decoding has refused most of them before.
func checkTerms(e *attestation.Engagement) error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{e.Ruleset == Ruleset, "ruleset: only " + Ruleset + " is known"},
		{usableDay(e.Start) && usableDay(e.End) && !e.End.Before(e.Start), "start and end"},
		{e.End.Year-e.Start.Year <= maxYears, "start and end: longer than any contract"},
		{e.ClosingDay >= 1 && e.ClosingDay <= 31, "closing_day"},
		{e.PayDay >= 1 && e.PayDay <= 31, "pay_day"},
		{e.PayMonthOffset >= 0 && e.PayMonthOffset <= 2, "pay_month_offset"},
		{slices.Contains([]string{attestation.HolidayPrev, attestation.HolidayNext, attestation.HolidayNone}, e.HolidayRule), "holiday_rule"},
		{slices.Contains([]string{attestation.SupportFull, attestation.SupportPartial, attestation.SupportSelf}, e.SupportMode), "support_mode"},
		{e.SupportMode == attestation.SupportSelf == (e.Support == nil), "support and support_mode"},
	} {
		if !c.ok {
			return fmt.Errorf("%w: %s", ErrTerms, c.what)
		}
	}
	return nil
}

const maxYears = 50

// usableDay reports whether d exists and lies in years in which this law can apply.
func usableDay(d attestation.Date) bool {
	return d == attestation.NewDate(d.Year, d.Month, d.Day) && d.Year >= 1990 && d.Year < 2200
}

// A span is the days under judgement and the days of the contract.
type span struct {
	from, to    attestation.Date // months under judgement
	start, last attestation.Date // days on which the contract runs, as far as it is established
	claimed     attestation.Date // end that only the employer states; the zero date is none
	events      []Event          // in from..to
}

func spanOf(e *attestation.Engagement, events []Event, from, to attestation.Date) (span, error) {
	s := span{from: from, to: to, start: e.Start, last: e.End}
	if s.from.IsZero() {
		s.from = e.Start
	}
	if s.to.IsZero() {
		s.to = e.End
	}
	if !usableDay(s.from) || !usableDay(s.to) {
		return s, errors.New("the months to judge are not dates")
	}
	for _, ev := range events {
		if ev.Kind != EventEnd || !usableDay(ev.Date) || !ev.Until.IsZero() && !usableDay(ev.Until) {
			return s, fmt.Errorf("event %q of %s: only %q with a date is known", ev.Kind, ev.Date, EventEnd)
		}
		s.end(ev)
		if !ev.Date.Before(s.from) && !ev.Date.After(s.to) {
			s.events = append(s.events, ev)
		}
	}
	return s, nil
}

// end takes an end of the contract into account for the periodic duties.
func (s *span) end(ev Event) {
	until := ev.Until
	if until.IsZero() && !ev.EmployerOnly {
		until = ev.Date
	}
	if !until.IsZero() && until.Before(s.last) {
		s.last = until
	}
	if ev.EmployerOnly && (s.claimed.IsZero() || ev.Date.Before(s.claimed)) {
		s.claimed = ev.Date
	}
}

// occasions lists what the rule can arise from in the span.
func (s *span) occasions(e *attestation.Engagement, r *rule) []occasion {
	var out []occasion
	if r.kind == attestation.Events {
		for _, ev := range s.events {
			out = append(out, occasion{attestation.EventsOf(ev.Date), ev})
		}
		return out
	}
	// The last pay period may close in the month after the end.
	for _, p := range attestation.PeriodsBetween(r.kind, latest(s.from, s.start), earliest(s.to, s.last.AddMonths(1))) {
		first, last := covered(e, p)
		if !first.After(s.last) && !last.Before(s.start) {
			out = append(out, occasion{period: p})
		}
	}
	return out
}

// covered returns the days that a period stands for: of a month the pay period that closes in it, else its own.
func covered(e *attestation.Engagement, p attestation.Period) (first, last attestation.Date) {
	if p.Kind() != attestation.Month {
		return p.First(), p.Last()
	}
	before := attestation.MonthOf(p.First().AddDays(-1))
	return dayOfMonth(before, e.ClosingDay).AddDays(1), dayOfMonth(p, e.ClosingDay)
}

func latest(a, b attestation.Date) attestation.Date {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b attestation.Date) attestation.Date {
	if a.Before(b) {
		return a
	}
	return b
}

// duty computes one duty, and reports false where none arises.
func (reg *register) duty(e *attestation.Engagement, r *rule, o occasion, s span) (Duty, bool) {
	applies := r.applies(e, o)
	if applies == Fail || !r.inForce(o.day()) {
		return Duty{}, false
	}
	d := Duty{Obligation: r.row.ID, Title: r.row.Title, LegalBasis: r.basis, DutyHolder: r.holder(e), AlsoAnswerable: r.alsoAnswerable(e),
		Period: o.name(), Rule: r.row.Deadline + ", roll " + r.row.Roll, Streams: r.streams, NominalDue: r.deadline(e, o),
		rule: r, occasion: o, doubtful: applies == CannotTell}
	due, err := r.roll(reg.holidays, e, d.NominalDue)
	if err == nil {
		d.Due, d.GraceUntil = due, due.AddDays(r.row.GraceDays).End()
	}
	if r.kind == attestation.Quarter && d.NominalDue.After(s.last) {
		return Duty{}, false // the contract ended before the interview had to be held
	}
	d.later = r.kind != attestation.Events && !s.claimed.IsZero() && d.begins(e).After(s.claimed)
	d.Note = d.note(err)
	return d, true
}

// day is the date by which the law in force is picked.
func (o occasion) day() attestation.Date {
	if o.event.Kind != "" {
		return o.event.Date
	}
	return o.period.Last()
}

func (o occasion) name() string {
	if o.event.Kind != "" {
		return o.event.Date.String()
	}
	return string(o.period)
}

// begins is the first day on which an end of the contract no longer undoes the duty: it arises when the contract runs on that day.
func (d *Duty) begins(e *attestation.Engagement) attestation.Date {
	if d.rule.kind == attestation.Quarter {
		return d.NominalDue
	}
	first, _ := covered(e, d.occasion.period)
	return first
}

func (d *Duty) note(err error) string {
	switch {
	case err != nil:
		return err.Error()
	case d.later:
		return "only the employer says that the contract had ended before"
	case d.doubtful:
		return "it was not shown whose cause the end of the contract is"
	}
	return ""
}
