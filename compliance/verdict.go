package compliance

import (
	"fmt"
	"slices"
	"time"

	"akashi/attestation"
)

// A verdict is what a rule makes of the records, and what that rests on.
type verdict struct {
	finding Finding
	late    int                // days
	by      []attestation.Role // independent roles that agree
	leans   []*slot            // it rests on these slots holding nothing, or nothing more
	clear   []*slot            // it rests on every rung of these being readable
	holder  attestation.Role   // who answers for the gap, where not the duty's holder
	checks  []Check
}

func (v *verdict) check(code string, r Result, format string, args ...any) {
	v.checks = append(v.checks, Check{code, r, fmt.Sprintf(format, args...)})
}

// with returns v with another finding, for the reason of the check.
func (v verdict) with(f Finding, code string, r Result, format string, args ...any) verdict {
	v.finding, v.late, v.by = f, 0, nil
	v.check(code, r, format, args...)
	return v
}

// performed reports whether the records show that the duty was performed, in time or late.
func (v *verdict) performed() bool {
	return v.finding == Fulfilled || v.finding == PerformedLate || v.finding == AttestedLate
}

// precedence says which finding stands when several apply.
var precedence = [...]Finding{Unknown, Contradicted, Absent, Short, PerformedLate, AttestedLate, Remedied, Undisclosed, Pending, Fulfilled, Excused, NotDue}

// worse returns the finding that stands when both apply.
func worse(a, b Finding) Finding {
	if slices.Index(precedence[:], b) < slices.Index(precedence[:], a) {
		return b
	}
	return a
}

// overSplits judges with every number of the duty holder's rungs that may have stood at due + grace. If the finding depends on what no
// checkpoint tells, it is unknown.
func (c *caseFile) overSplits(d *Duty, own []rung, at func(stood int) verdict) verdict {
	lo, hi := splits(own, c.limit(d))
	v := at(lo)
	for n := lo + 1; n <= hi; n++ {
		if at(n).finding != v.finding {
			return v.with(Unknown, CodeTimeUndetermined, CannotTell, "no checkpoint tells whether the record stood in the log by %s", stamp(c.limit(d)))
		}
	}
	if first, ok := firstValid(own); ok {
		if first.onTime(c.limit(d)) {
			v.check(CodeTimeOnTime, Pass, "recorded by %s", stamp(first.ExistedBy))
		} else if first.late(c.limit(d)) {
			v.check(CodeTimeLate, Fail, "recorded after %s, by %s", stamp(c.limit(d)), stamp(first.ExistedBy))
		}
	}
	return v
}

// missing is the verdict where nothing shows that the duty was performed.
func (c *caseFile) missing(d *Duty) verdict {
	return verdict{finding: Absent, leans: c.slotsOf(d)}
}

// timed is the verdict for a duty performed on a day.
func timed(d *Duty, done attestation.Date) verdict {
	if n := done.DaysSince(d.Due); n > 0 {
		return verdict{finding: PerformedLate, late: n}
	}
	return verdict{finding: Fulfilled}
}

// recordedLate is the verdict for a duty of which only the holder's own record tells, made after grace.
func (c *caseFile) recordedLate(d *Duty, own []rung) verdict {
	v := verdict{finding: AttestedLate, clear: c.slotsOf(d)}
	if first, ok := firstValid(own); ok {
		v.late = max(0, first.recordedOn().DaysSince(d.Due))
	}
	return v
}

// lateWithdrawal reports whether a rung of an independent ladder takes back another: after grace [Fail], before [Pass], and
// [CannotTell] where no checkpoint tells.
func lateWithdrawal(rungs []rung, limit time.Time) Result {
	lo, hi := splits(rungs, limit)
	switch {
	case withdrawn(rungs, hi):
		return Fail
	case withdrawn(rungs, lo):
		return CannotTell
	}
	return Pass
}

// settle asks what a verdict rests on, and makes of it what can be stated.
func (c *caseFile) settle(d *Duty, v verdict) verdict {
	v = c.prove(d, c.read(d, v))
	if v.finding == Absent {
		v = c.attribute(d, v)
	}
	if v.finding.Gap() {
		v = c.guardEnd(d, v)
	}
	if v.finding.Gap() {
		v = c.remedy(d, v)
	}
	event := d.occasion.event.Kind != ""
	switch {
	case d.later:
		return v.with(Unknown, CodeEndEmployerOnly, CannotTell, "only the employer says that the contract had ended before")
	case d.doubtful && (v.finding.Gap() || v.finding == Pending):
		return v.with(Undisclosed, CodeClaimWithheld, CannotTell, "whose cause the end of the contract is was not disclosed")
	case event && c.ends.reasons && c.dependsOnReason(d) && v.finding.Gap():
		return v.with(Unknown, CodeEventDisputed, Fail, "the parties differ on %s", c.ends.disputed)
	}
	return v
}

// read drops a verdict that rests on records of a slot in which another cannot be read: that one may correct it or take it back.
func (c *caseFile) read(d *Duty, v verdict) verdict {
	if v.finding == NotDue || v.finding == Pending || v.finding == Undisclosed {
		return v
	}
	for _, s := range c.slotsOf(d) {
		if s.hidden && len(concerning(d, s.rungs)) > 0 {
			return v.with(Unknown, CodeEntryUnavailable, CannotTell, "an entry of %s %s cannot be read: it may correct another or take it back", s.stream, s.period)
		}
	}
	return v
}

// dependsOnReason reports whether the duty arises only for some causes of the end.
func (c *caseFile) dependsOnReason(d *Duty) bool {
	unknownCause := occasion{d.occasion.period, Event{Kind: EventEnd, Date: d.occasion.event.Date}}
	return d.rule.applies(c.terms, unknownCause) == CannotTell
}

// prove keeps a verdict that rests on what slots do not hold only if that is proven: every slot of the plan read to its end, nothing in
// it unreadable, the head audited, fresh and later than grace, and the engagement in the log before the duty fell due.
func (c *caseFile) prove(d *Duty, v verdict) verdict {
	if len(v.leans) == 0 && len(v.clear) == 0 {
		return v
	}
	if v.finding == Absent && c.asOf.Before(d.Due.End()) {
		v.finding, v.by = NotDue, nil
		return v
	}
	for _, s := range v.leans {
		if !s.opened {
			return c.unproven(d, v.with(Undisclosed, CodeSlotNotOpened, CannotTell, "%s %s was not opened", s.stream, s.period))
		}
	}
	if len(v.leans) > 0 && !c.asOf.After(c.limit(d)) {
		v.finding, v.late, v.by = Pending, 0, nil
		return v
	}
	if code, detail := unreadable(v.leans, v.clear); code != "" {
		return v.with(Unknown, code, CannotTell, "%s", detail)
	}
	return c.proveTime(d, v)
}

// unproven makes an undisclosed verdict unknown where another slot cannot be judged at all.
func (c *caseFile) unproven(d *Duty, v verdict) verdict {
	if c.asOf.After(c.limit(d)) {
		if code, detail := unreadable(v.leans, v.clear); code != "" {
			return v.with(Unknown, code, CannotTell, "%s", detail)
		}
	}
	return v
}

// unreadable names the first slot of which not every entry is known. Slots that were not opened are another matter.
func unreadable(leans, clear []*slot) (code, detail string) {
	for _, s := range slices.Concat(leans, clear) {
		switch {
		case !s.planned:
			return CodeSlotNotInPlan, fmt.Sprintf("%s %s is in no rung of the engagement", s.stream, s.period)
		case !s.opened:
		case !s.whole:
			return CodeLadderIncomplete, fmt.Sprintf("the end of %s %s is not proven", s.stream, s.period)
		case s.clouded:
			return CodeEntryUnavailable, fmt.Sprintf("an entry of %s %s cannot be read", s.stream, s.period)
		}
	}
	return "", ""
}

func (c *caseFile) proveTime(d *Duty, v verdict) verdict {
	for _, s := range c.slotsOf(d) {
		if s.planned && (s.since.IsZero() || s.since.After(d.Due.Start())) {
			return v.with(Unknown, CodeLoggedBeforeDue, CannotTell, "the engagement is not proven to have had %s %s in the log before %s", s.stream, s.period, d.Due)
		}
	}
	switch {
	case len(v.leans) == 0:
		return v
	case !c.ev.Audited:
		return v.with(Unknown, CodeAuditorsQuorum, CannotTell, "the auditors' quorum does not vouch for the map's head")
	case c.at.IsZero() || c.asOf.Sub(c.at) > FreshFor:
		return v.with(Unknown, CodeHeadFresh, CannotTell, "the map's head is more than 24 hours older than the judgement")
	case !c.at.After(c.limit(d)):
		v.finding, v.late, v.by = Pending, 0, nil
		return v
	}
	for _, s := range v.leans {
		if _, ok := firstValid(s.rungs); !ok {
			v.check(CodeMapAbsent, Pass, "%s %s held no valid entry by %s", s.stream, s.period, stamp(c.at))
		}
	}
	return v
}

// attribute holds an absence against the duty holder if that party is known to have taken up the engagement before the due date, else
// against the issuer where it answers for the duty too.
func (c *caseFile) attribute(d *Duty, v verdict) verdict {
	switch c.enrolled(d.DutyHolder, d.Due) {
	case Pass:
		return v
	case Fail:
		for _, role := range d.AlsoAnswerable {
			if c.issued(role) {
				v.holder = role
				v.check(CodePartyEnrolled, Fail, "no entry of the %s before %s: the issuer answers for the duty", d.DutyHolder, d.Due)
				return v
			}
		}
	}
	return v.with(Unknown, CodePartyEnrolled, CannotTell, "no entry of the %s before %s is known", d.DutyHolder, d.Due)
}

func (c *caseFile) entityOf(role attestation.Role) string {
	switch {
	case role == attestation.AcceptingOrganization:
		return c.terms.Employer.ID
	case role == attestation.SupportOrganization && c.terms.Support != nil:
		return c.terms.Support.ID
	}
	return ""
}

func (c *caseFile) issued(role attestation.Role) bool {
	id := c.entityOf(role)
	return id != "" && id == c.ev.IssuerID
}

// enrolled reports whether the role's party issued the engagement or has a valid entry of it from before the due date. It cannot tell
// while a slot of the party that may hold one was not opened.
func (c *caseFile) enrolled(role attestation.Role, due attestation.Date) Result {
	if c.issued(role) {
		return Pass
	}
	id, out := c.entityOf(role), Fail
	for _, s := range c.slotsOfRole(role, due) {
		for _, r := range s.rungs {
			if r.reason == "" && r.Attester == id && r.onTime(due.Start()) {
				return Pass
			}
		}
		if !s.opened || !s.whole || s.clouded {
			out = CannotTell
		}
	}
	return out
}

// slotsOfRole returns the slots of the plan that the role fills and whose period begins before the day.
func (c *caseFile) slotsOfRole(role attestation.Role, day attestation.Date) []*slot {
	var out []*slot
	for _, stream := range attestation.Streams {
		if stream.Filler(c.terms.HasSupport()) != role {
			continue
		}
		for p := range c.ev.PlanSince[stream] {
			if p.First().Before(day) {
				out = append(out, c.slot(stream, p))
			}
		}
	}
	return out
}

// guardEnd drops gaps of duties that may not have arisen, because the contract may have ended before without this being shown. A duty
// of which a record exists did arise; an event duty depends on the facts of the event.
func (c *caseFile) guardEnd(d *Duty, v verdict) verdict {
	day := d.occasion.period.Last()
	if d.occasion.event.Kind == "" {
		if v.finding != Absent {
			return v
		}
		day = d.begins(c.terms).AddDays(-1)
	}
	if f, check := c.endExcluded(day); check != nil {
		return v.with(f, check.Code, check.Result, "%s", check.Detail)
	}
	return v
}

// remedy turns an absence or a shortfall into remedied where the accepting organization states that it was mended since. What the
// worker contradicted stays so until the worker accepts the remedy, and becomes so if the worker denies it.
func (c *caseFile) remedy(d *Duty, v verdict) verdict {
	r, done := c.findRemedy(d)
	if r.Entry == nil {
		return v
	}
	accepted := c.aboutID(r.ID, attestation.StatementAccept)
	denied := c.aboutID(r.ID, attestation.StatementContradiction)
	if _, ok := c.find(d, done, attestation.StatementUnpaid, attestation.StatementNotHeld); ok || denied {
		return v.with(Contradicted, CodeWorkerDisputes, Fail, "the worker denies the remedy of %s", done)
	}
	if v.finding == Absent || v.finding == Short || v.finding == Contradicted && accepted {
		was := v.finding
		v = v.with(Remedied, CodeRemedied, Pass, "%s before, mended on %s", was, done)
		if accepted {
			v.by = []attestation.Role{attestation.Worker}
		}
	}
	return v
}

func (c *caseFile) findRemedy(d *Duty) (found rung, done attestation.Date) {
	for _, p := range attestation.PeriodsBetween(attestation.Events, c.terms.Start, c.terms.End) {
		s := c.slots[slotKey{attestation.RemedyEmployer, p}]
		if s == nil {
			continue
		}
		for _, r := range live(s.rungs) {
			v, ok := r.Claims.(*attestation.Remedy)
			if ok && v.RemediedDate.After(d.Due) && v.Duty.Obligation == d.Obligation && d.Period == orElse(string(v.Duty.Period), v.Duty.EventDate.String()) {
				found, done = r, v.RemediedDate
			}
		}
	}
	return found, done
}

// aboutID reports whether a standing statement of the kind names the attestation.
func (c *caseFile) aboutID(id, kind string) bool {
	for i := range c.statements {
		if s := &c.statements[i]; c.standing(s, kind) && s.Claims.About.ID == id {
			return true
		}
	}
	return false
}

// stamp writes an instant in Japan time for people.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "a time that no checkpoint proves"
	}
	return t.In(attestation.JST).Format("2006-01-02 15:04 JST")
}
