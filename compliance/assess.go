package compliance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"akashi/attestation"
)

// Assess judges every duty of the engagement that the evidence covers, as of the instant given. An error means that the terms are not
// there or cannot be judged by these rules; doubt about single duties is in their findings.
func Assess(ev Evidence, asOf time.Time) (*Assessment, error) {
	if ev.Terms == nil {
		return nil, fmt.Errorf("%w: no engagement", ErrTerms)
	}
	if err := checkTerms(ev.Terms); err != nil {
		return nil, err
	}
	if !usableDay(attestation.DateOf(asOf)) {
		return nil, errors.New("the time to judge is not usable")
	}
	c := openCase(&ev, asOf)
	duties, err := Calendar(*ev.Terms, c.ends.events, ev.From, c.lastDay())
	if err != nil {
		return nil, err
	}
	a := &Assessment{Engagement: ev.EngagementID, AsOf: asOf.UTC(), Ruleset: Ruleset,
		VerdictBasis: Basis{ev.Checkpoint, ev.Policy}, Findings: []DutyFinding{}, Checks: c.caseChecks()}
	for i := range duties {
		if f, ok := c.judgeDuty(&duties[i]); ok {
			a.Findings = append(a.Findings, f)
		}
	}
	a.attribute()
	return a, nil
}

// lastDay is the last day under judgement: that of the evidence, else the day of judgement within the contract.
func (c *caseFile) lastDay() attestation.Date {
	if !c.ev.To.IsZero() {
		return c.ev.To
	}
	return latest(c.terms.Start, earliest(c.terms.End, attestation.DateOf(c.asOf)))
}

// judgeDuty returns the finding of one duty; false for the amount of a wage whose payment is not shown, which has none.
func (c *caseFile) judgeDuty(d *Duty) (DutyFinding, bool) {
	if d.Obligation == payInFull && !c.paid[d.Period] {
		return DutyFinding{}, false
	}
	v := c.verdictOf(d)
	if d.Obligation == payOnDay {
		c.paid[d.Period] = v.performed()
	}
	return c.report(d, v), true
}

// The amount of a wage is judged only where its payment is, so that one missed wage is one gap.
const (
	payOnDay  = "W-05"
	payInFull = "W-03"
)

func (c *caseFile) verdictOf(d *Duty) verdict {
	if d.Due.IsZero() {
		return verdict{}.with(Unknown, CodeNoCalendar, CannotTell, "%s", d.Note)
	}
	return c.settle(d, d.rule.judge(c, d))
}

// report writes a verdict as a finding, with what it rests on.
func (c *caseFile) report(d *Duty, v verdict) DutyFinding {
	f := DutyFinding{Obligation: d.Obligation, Title: d.Title, LegalBasis: d.LegalBasis, DutyHolder: d.DutyHolder, Period: d.Period,
		Due: d.Due, NominalDue: d.NominalDue, GraceUntil: c.limit(d), Finding: v.finding, DaysLate: v.late, AsOf: c.asOf.UTC(),
		AlsoAnswerable: d.AlsoAnswerable, CorroboratedBy: slices.Compact(slices.Sorted(slices.Values(v.by))),
		WorkerActions: c.actions(d), Entries: []EntryRef{}, Checks: []Check{}}
	if v.holder != "" {
		f.DutyHolder, f.AlsoAnswerable = v.holder, []attestation.Role{}
	}
	if v.finding == Absent {
		f.AsOf = c.at.UTC()
	}
	if f.CorroboratedBy == nil {
		f.CorroboratedBy = []attestation.Role{}
	}
	f.OwnRecordOnly = v.finding == Fulfilled && len(f.CorroboratedBy) == 0
	c.reportSlots(d, &f)
	f.Checks = append(f.Checks, v.checks...)
	if !d.Due.IsZero() && !f.GraceUntil.Equal(d.GraceUntil) {
		f.Checks = append(f.Checks, Check{CodeOutage, Pass, "grace lengthened to " + stamp(f.GraceUntil)})
	}
	f.Checks = append(f.Checks, c.eventChecks(d)...)
	return f
}

// reportSlots lists the entries and what was seen of each slot.
func (c *caseFile) reportSlots(d *Duty, f *DutyFinding) {
	for _, s := range c.slotsOf(d) {
		name := fmt.Sprintf("%s %s", s.stream, s.period)
		switch {
		case !s.planned:
			f.Checks = append(f.Checks, Check{CodeSlotNotInPlan, CannotTell, name})
			continue
		case !s.opened:
			f.Checks = append(f.Checks, Check{CodeSlotNotOpened, CannotTell, name})
			continue
		case len(s.rungs) > 0 || s.whole:
			f.Checks = append(f.Checks, Check{CodeSlotOpened, Pass, name})
		}
		for _, r := range s.rungs {
			c.reportRung(d, s, r, f)
		}
	}
	for _, r := range c.statementsFor(d) {
		f.Entries = append(f.Entries, EntryRef{"", 0, r.Index, r.ExistedBy.UTC(), r.Type})
	}
}

func (c *caseFile) reportRung(d *Duty, s *slot, r rung, f *DutyFinding) {
	ref := EntryRef{s.stream, r.J, r.Index, r.ExistedBy.UTC(), s.stream.Type()}
	where := fmt.Sprintf("%s %s j=%d", s.stream, s.period, r.J)
	switch {
	case r.reason == "" && !concerns(d, r.Claims):
		return
	case r.reason == "":
		f.Checks = append(f.Checks, Check{CodeMapMember, Pass, where})
		f.Checks = append(f.Checks, linkChecks(where, r)...)
	case r.unclear:
		f.Checks = append(f.Checks, Check{r.reason, CannotTell, where})
	default:
		if r.Submitter != "" {
			where += ", submitted by " + r.Submitter
		}
		f.Checks = append(f.Checks, Check{r.reason, Fail, where})
	}
	f.Entries = append(f.Entries, ref)
}

func linkChecks(where string, r rung) []Check {
	switch {
	case r.links.Supersedes != "":
		return []Check{{CodeSupersedes, Pass, where}}
	case r.links.Withdraws != "":
		return []Check{{CodeWithdraws, Pass, where}}
	}
	return nil
}

// statementsFor returns the worker's own records of an own duty.
func (c *caseFile) statementsFor(d *Duty) []rung {
	if d.DutyHolder != attestation.Worker {
		return nil
	}
	return c.filed(d)
}

// eventChecks tells how the event of an event duty is known.
func (c *caseFile) eventChecks(d *Duty) []Check {
	var out []Check
	if d.occasion.event.Kind == "" {
		return nil
	}
	if c.ends.workerOnly {
		out = append(out, Check{CodeEventWorkerOnly, CannotTell, "the end of the contract is known from the worker alone"})
	}
	if c.ends.disputed != "" {
		out = append(out, Check{CodeEventDisputed, Fail, "the parties differ on " + c.ends.disputed})
	}
	return out
}

// caseChecks are the checks of the whole case: those handed in, and what an absence needs of the map's head.
func (c *caseFile) caseChecks() []Check {
	out := slices.Clone(c.ev.Checks)
	add := func(code string, ok bool, detail string) {
		if !slices.ContainsFunc(out, func(k Check) bool { return k.Code == code }) {
			r := Pass
			if !ok {
				r = CannotTell
			}
			out = append(out, Check{code, r, detail})
		}
	}
	add(CodeAuditorsQuorum, c.ev.Audited, "the auditors' quorum for the map's head")
	add(CodeHeadFresh, !c.at.IsZero() && c.asOf.Sub(c.at) <= FreshFor, "absences are proven as of "+stamp(c.at))
	add(CodeTermsAsStated, c.ev.Accepted, "the worker accepted the engagement; without that its terms are the employer's word")
	add(CodeContractFiled, c.contractFiled(), "an authority's receipt names this contract document; without that the parties may have another contract, with slots of its own")
	return out
}

// contractFiled reports whether an authority itself has acknowledged, by now, the receipt of the contract document that the engagement was made
// for. Papers of the employer's that an authority copied say nothing, nor does a receipt of any other document.
func (c *caseFile) contractFiled() bool {
	for _, s := range c.slots {
		for _, r := range live(s.rungs) {
			v, ok := r.Claims.(*attestation.NotificationReceipt) // stands only in an authority's slots
			if ok && v.Source == attestation.SourceAuthority && !r.Tied && r.onTime(c.asOf) && v.DocumentHash != nil && *v.DocumentHash == c.terms.ContractHash {
				return true
			}
		}
	}
	return false
}
