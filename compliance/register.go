package compliance

import (
	"fmt"
	"slices"
	"sync"

	"akashi/attestation"
	"akashi/schemas"
)

// A rule is one row of the register of obligations with the functions that it names.
type rule struct {
	row      schemas.Obligation
	basis    string // Japanese / English
	kind     attestation.PeriodKind
	streams  []attestation.Stream
	deadline deadline
	roll     roll
	applies  applicability
	judge    judge
	from, to attestation.Date // in force, inclusive; the zero to has no end
}

// A judge returns the finding of one duty, before [caseFile.settle] asks what it rests on.
type judge func(c *caseFile, d *Duty) verdict

// judges are the obligations that can be judged, each with the streams that its judge reads, in their order. A row of any other
// obligation, or with other streams, is an error.
var judges = map[string]struct {
	judge   judge
	streams []attestation.Stream
}{
	"W-05":            {(*caseFile).judgePayDay, []attestation.Stream{attestation.WageEmployer, attestation.WageBank}},
	"W-03":            {(*caseFile).judgeFullPay, []attestation.Stream{attestation.WageEmployer, attestation.WageBank}},
	"S-10/worker":     {(*caseFile).judgeInterview, []attestation.Stream{attestation.InterviewWorker}},
	"S-10/supervisor": {(*caseFile).judgeInterview, []attestation.Stream{attestation.InterviewSuperior}},
	"N-02":            {(*caseFile).judgeNotice, []attestation.Stream{attestation.NoticeEmployer, attestation.NoticeAuthority}},
	"N-06":            {(*caseFile).judgeNotice, []attestation.Stream{attestation.NoticeEmployer, attestation.NoticeAuthority}},
	"P-01":            {(*caseFile).judgeReport, []attestation.Stream{attestation.ReportEmployer, attestation.ReportAuthority}},
	"H-01":            {(*caseFile).judgeOwnNotice, []attestation.Stream{attestation.NoticeAuthority}},
}

// kinds are the recurrences that a row may name.
var kinds = map[string]attestation.PeriodKind{
	"month": attestation.Month, "quarter": attestation.Quarter, "fiscal-year": attestation.FiscalYear, "event": attestation.Events,
}

// An applicability says whether a duty arises: [Pass] it does, [Fail] it does not, [CannotTell] it depends on what was not shown.
type applicability func(e *attestation.Engagement, o occasion) Result

// applicabilities are the conditions that a row may name.
var applicabilities = map[string]applicability{
	"wage":                   always,
	"any-day-in-fiscal-year": always, // a fiscal year is an occasion only where it shares a day with the contract
	"class-i":                classOne,
	"end":                    always, // of the contract: the one kind of event there is
	"own-end":                always,
	"end-by-employer":        endByEmployer,
}

func always(*attestation.Engagement, occasion) Result { return Pass }

// classOne: support is owed to Specified Skilled Workers (i) only.
func classOne(e *attestation.Engagement, _ occasion) Result {
	return passIf(e.Class == attestation.ClassI)
}

// endByEmployer: since 2025-04-01 a voluntary resignation needs no notice of difficulty.
func endByEmployer(_ *attestation.Engagement, o occasion) Result {
	if o.event.ReasonClass == "" {
		return CannotTell
	}
	return passIf(o.event.ReasonClass == attestation.ReasonEmployer)
}

func passIf(ok bool) Result {
	if ok {
		return Pass
	}
	return Fail
}

// A register is the rules in their order, and the holidays.
type register struct {
	rules    []rule
	holidays schemas.HolidayTable
}

// loaded is the register of package schemas, bound once.
var loaded = sync.OnceValues(func() (*register, error) {
	rules, err := bind(schemas.Obligations())
	if err != nil {
		return nil, err
	}
	return &register{rules, schemas.Holidays()}, nil
})

// bind gives every row its functions. A name that no function has is an error: a row must never be judged by a rule it does not state.
func bind(rows []schemas.Obligation) ([]rule, error) {
	out := make([]rule, 0, len(rows))
	for _, row := range rows {
		r, err := bindRow(row)
		if err != nil {
			return nil, fmt.Errorf("obligation %s: %w", row.ID, err)
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b rule) int { return a.row.Order - b.row.Order })
	return out, nil
}

func bindRow(row schemas.Obligation) (r rule, err error) {
	r = rule{row: row, basis: row.LegalBasis["ja"] + " / " + row.LegalBasis["en"]}
	if r.kind, err = named(kinds, "recurrence", row.Recurrence); err != nil {
		return r, err
	}
	if r.deadline, err = named(deadlines, "deadline rule", row.Deadline); err != nil {
		return r, err
	}
	if r.roll, err = named(rolls, "roll", row.Roll); err != nil {
		return r, err
	}
	if r.applies, err = named(applicabilities, "applicability", row.Applicability); err != nil {
		return r, err
	}
	j, err := named(judges, "obligation to judge", row.ID)
	if err != nil {
		return r, err
	}
	r.judge, r.streams = j.judge, j.streams
	return r, r.checkValues()
}

func named[T any](functions map[string]T, what, name string) (T, error) {
	f, ok := functions[name]
	if !ok {
		return f, fmt.Errorf("there is no %s named %q", what, name)
	}
	return f, nil
}

func (r *rule) checkValues() error {
	if !slices.EqualFunc(r.row.Streams, r.streams, func(a string, b attestation.Stream) bool { return a == string(b) }) {
		return fmt.Errorf("its streams must be %v", r.streams)
	}
	if r.streams[0].Kind() != r.kind {
		return fmt.Errorf("its streams have no periods of recurrence %q", r.row.Recurrence)
	}
	for _, role := range []string{r.row.DutyHolder, r.row.DutyHolderWithoutSupport} {
		if role == "" && r.row.DutyHolder != "" {
			continue
		}
		if _, err := attestation.ParseRole(role); err != nil {
			return err
		}
	}
	for _, also := range r.row.AlsoAnswerable {
		if _, err := attestation.ParseRole(also.Role); err != nil {
			return err
		}
		if also.When != "support-full" {
			return fmt.Errorf("there is no condition named %q", also.When)
		}
	}
	return r.bindDates()
}

func (r *rule) bindDates() (err error) {
	if r.from, err = attestation.ParseDate(r.row.Effective.From); err != nil {
		return err
	}
	if r.row.Effective.To != "" {
		r.to, err = attestation.ParseDate(r.row.Effective.To)
	}
	if r.row.GraceDays < 0 {
		return fmt.Errorf("grace of %d days", r.row.GraceDays)
	}
	return err
}

// inForce reports whether the row was law on d: the date of the event, or the last day of the period. Never today.
func (r *rule) inForce(d attestation.Date) bool {
	return !d.Before(r.from) && (r.to.IsZero() || !d.After(r.to))
}

// holder is who owes the duty under the engagement. Support that is not outsourced as a whole stays the accepting organization's own.
func (r *rule) holder(e *attestation.Engagement) attestation.Role {
	if r.row.DutyHolderWithoutSupport != "" && e.SupportMode != attestation.SupportFull {
		return attestation.Role(r.row.DutyHolderWithoutSupport)
	}
	return attestation.Role(r.row.DutyHolder)
}

// alsoAnswerable lists who answers for the duty besides its holder.
func (r *rule) alsoAnswerable(e *attestation.Engagement) []attestation.Role {
	out := []attestation.Role{}
	if e.SupportMode == attestation.SupportFull {
		for _, also := range r.row.AlsoAnswerable {
			out = append(out, attestation.Role(also.Role))
		}
	}
	return out
}
