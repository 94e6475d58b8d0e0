package compliance

import "akashi/attestation"

// judgeInterview: the worker and the worker's supervisor are each interviewed at least once in three months (2019 Ministry of Justice
// Ordinance 5, Article 3(1)(i)(nu); operating guideline, chapter 4). The finding is by calendar quarter. Whether the law means that or
// any three months is open, so that the rolling gap is a check beside it.
func (c *caseFile) judgeInterview(d *Duty) verdict {
	own := c.slotsOf(d)[0]
	v := c.judgeDated(d, dated{own: own.rungs, read: firstInterview,
		denials: []string{attestation.StatementNotHeld, attestation.StatementContradiction}})
	c.checkRollingGap(d, own, &v)
	return v
}

// firstInterview is the day of the earliest interview.
func firstInterview(records []rung) (day attestation.Date, ok bool) {
	for _, r := range records {
		if v := r.Claims.(*attestation.SupportInterview); !ok || v.Date.Before(day) {
			day, ok = v.Date, true
		}
	}
	return day, ok
}

func lastInterview(records []rung) (day attestation.Date, ok bool) {
	for _, r := range records {
		day, ok = latest(day, r.Claims.(*attestation.SupportInterview).Date), true
	}
	return day, ok
}

// checkRollingGap compares the interview with the one before, or with the start of the contract: three months from that day, the first
// day not counted (Civil Code, Articles 140 and 143), except that the contract's first day counts.
func (c *caseFile) checkRollingGap(d *Duty, own *slot, v *verdict) {
	held, ok := firstInterview(live(own.rungs))
	if !ok {
		return
	}
	by := lastDayOf(c.terms.Start, 3)
	before := attestation.QuarterOf(d.occasion.period.First().AddDays(-1))
	if d.occasion.period != attestation.QuarterOf(c.terms.Start) {
		last, known := lastInterview(live(c.slot(own.stream, before).rungs))
		if !known {
			v.check(CodeRollingGap, CannotTell, "no interview of %s is known", before)
			return
		}
		by = last.AddMonths(3)
	}
	v.check(CodeRollingGap, passIf(!held.After(by)), "held %s, three months from the one before end on %s", held, by)
}
