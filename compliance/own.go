package compliance

import "akashi/attestation"

// judgeOwnNotice: the worker's own notice of the end of the contract (Immigration Control and Refugee Recognition Act,
// Article 19-16(ii)). The agency holds its own record, so that no entry here proves nothing, and is never a gap.
func (c *caseFile) judgeOwnNotice(d *Duty) verdict {
	own := c.filed(d)
	office := c.slotsOf(d)[0]
	if received, _ := c.received(d, office); len(own) == 0 && received.IsZero() {
		return c.notFiled(d)
	}
	return c.judgeDated(d, dated{own: own, read: firstFiled, office: office})
}

// filed returns the worker's statements of having filed the notice, as records.
func (c *caseFile) filed(d *Duty) []rung {
	var out []rung
	for i := range c.statements {
		s := &c.statements[i]
		a := s.Claims.About
		if c.standing(s, attestation.StatementFiled) && a.Obligation == d.Obligation && a.EventDate == d.occasion.event.Date {
			out = append(out, rung{Entry: &Entry{Index: s.Index, ExistedBy: s.ExistedBy, NotBefore: s.NotBefore, Validity: Valid,
				ID: s.ID, Type: attestation.TypeWorkerStatement, Role: attestation.Worker, Claims: s.Claims}})
		}
	}
	return out
}

// firstFiled is the earliest day of filing.
func firstFiled(records []rung) (day attestation.Date, ok bool) {
	for _, r := range records {
		if on := doneOn(r.Claims); !ok || on.Before(day) {
			day, ok = on, true
		}
	}
	return day, ok
}

func (c *caseFile) notFiled(d *Duty) verdict {
	switch {
	case c.asOf.Before(d.Due.End()):
		return verdict{finding: NotDue}
	case !c.asOf.After(c.limit(d)):
		return verdict{finding: Pending}
	}
	return verdict{}.with(Unknown, CodeOwnNoEntry, CannotTell, "no entry; the agency holds its own record")
}
