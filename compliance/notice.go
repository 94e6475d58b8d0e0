package compliance

import "akashi/attestation"

// judgeNotice: a notice of the end of the contract, or that acceptance became difficult (Immigration Control and Refugee Recognition
// Act, Article 19-18(1)). A notice is performed when it arrives at the office (Administrative Procedure Act, Article 37).
func (c *caseFile) judgeNotice(d *Duty) verdict {
	slots := c.slotsOf(d)
	return c.judgeDated(d, dated{own: concerning(d, slots[0].rungs), read: lastArrival, office: slots[1],
		denials: []string{attestation.StatementContradiction}})
}

// lastArrival is the day of arrival by the last record: a slot is judged by its last valid rung.
func lastArrival(records []rung) (day attestation.Date, ok bool) {
	for _, r := range records {
		day, ok = r.Claims.(*attestation.NotificationFiled).ArrivedDate, true
	}
	return day, ok
}

// judgeReport: the yearly report on acceptance, activity and support (Immigration Control and Refugee Recognition Act,
// Article 19-18(2)). Where the last day of the window is a closed day, both readings are told: late means later than the rolled day.
func (c *caseFile) judgeReport(d *Duty) verdict {
	v := c.judgeNotice(d)
	slots := c.slotsOf(d)
	arrived, _ := c.received(d, slots[1])
	if own, ok := lastArrival(live(concerning(d, slots[0].rungs))); ok && arrived.IsZero() {
		arrived = own
	}
	if !arrived.IsZero() && d.NominalDue != d.Due {
		n := max(0, arrived.DaysSince(d.NominalDue))
		v.check(CodeNominal, passIf(n == 0), "by the nominal day %s: %d days late", d.NominalDue, n)
	}
	return v
}
