package compliance

import "akashi/attestation"

// A reading says on which day the records given show a duty performed, and false when none does.
type reading func(records []rung) (attestation.Date, bool)

// A dated duty is performed on one day, and nothing but the day is judged: an interview, a notice, a report.
type dated struct {
	own     []rung  // the duty holder's rungs that concern the duty
	read    reading // of the duty holder's records
	office  *slot   // of an independent role; nil where there is none
	denials []string
}

// judgeDated judges a dated duty. The record of an independent role is the better evidence of the day.
func (c *caseFile) judgeDated(d *Duty, r dated) verdict {
	return c.overSplits(d, r.own, func(stood int) verdict { return c.datedWith(d, r, stood) })
}

func (c *caseFile) datedWith(d *Duty, r dated, stood int) verdict {
	received, copied := c.received(d, r.office)
	_, some := r.read(live(r.own))
	switch {
	case withdrawn(r.own, stood):
		return verdict{}.with(Contradicted, CodeWithdraws, Fail, "a record was withdrawn after grace")
	case c.officeWithdrew(d, r.office) == Fail:
		return verdict{}.with(Contradicted, CodeWithdraws, Fail, "an authority's record was withdrawn after grace")
	case c.officeWithdrew(d, r.office) == CannotTell:
		return verdict{}.with(Unknown, CodeTimeUndetermined, CannotTell, "no checkpoint tells when a record was withdrawn")
	case !received.IsZero():
		v := timed(d, received)
		v.by = []attestation.Role{attestation.Authority}
		return v
	case !some && copied:
		return verdict{}.with(Unknown, CodeCorroborationTie, CannotTell, "only a record that is not independent of the duty holder shows it")
	case !some:
		return c.missing(d)
	}
	return c.acceptedBy(d, c.datedByOwn(d, r, stood))
}

// datedByOwn judges the duty holder's word as it stood at due + grace, and lets each later record only make it worse.
func (c *caseFile) datedByOwn(d *Duty, r dated, stood int) (v verdict) {
	_, known := r.read(live(r.own[:stood]))
	for n, first := stood, true; n <= len(r.own); n++ {
		done, some := r.read(live(r.own[:n]))
		if !some {
			continue
		}
		next := c.ownDay(d, r, done)
		if !known && next.finding == Fulfilled {
			next = r.leaning(c.recordedLate(d, r.own))
		}
		if first || worse(v.finding, next.finding) != v.finding {
			v, first = next, false
		}
	}
	return v
}

func (c *caseFile) ownDay(d *Duty, r dated, done attestation.Date) verdict {
	if s, ok := c.find(d, done, r.denials...); ok {
		return r.leaning(verdict{}).with(Contradicted, CodeWorkerDisputes, Fail, "the worker stated on %s that the record is wrong", s.Claims.Date)
	}
	v := timed(d, done)
	if v.finding == PerformedLate && r.office != nil && !r.office.opened {
		return v.with(Undisclosed, CodeSlotNotOpened, CannotTell, "%s %s was not opened: it may show another day", r.office.stream, r.office.period)
	}
	return v
}

// leaning adds that the office holds no record, where there is an office.
func (r dated) leaning(v verdict) verdict {
	if r.office != nil {
		v.leans = []*slot{r.office}
	}
	return v
}

// received is the day of arrival by an independent record; copied tells of records that are none.
func (c *caseFile) received(d *Duty, office *slot) (day attestation.Date, copied bool) {
	if office == nil {
		return day, false
	}
	for _, r := range live(office.rungs) {
		v, ok := r.Claims.(*attestation.NotificationReceipt)
		switch {
		case !ok || !concerns(d, v):
		case r.Tied || v.Source != attestation.SourceAuthority:
			copied = true
		default:
			day = v.ArrivedDate
		}
	}
	return day, copied
}

func (c *caseFile) officeWithdrew(d *Duty, office *slot) Result {
	if office == nil {
		return Pass
	}
	return lateWithdrawal(concerning(d, office.rungs), c.limit(d))
}

// concerning returns the rungs that name the duty.
func concerning(d *Duty, rungs []rung) []rung {
	var out []rung
	for _, r := range rungs {
		if r.reason == "" && concerns(d, r.Claims) {
			out = append(out, r)
		}
	}
	return out
}

// concerns reports whether claims name the duty. A slot of events holds those of several; other slots hold one duty's.
func concerns(d *Duty, claims any) bool {
	var n *attestation.Notification
	switch v := claims.(type) {
	case *attestation.NotificationFiled:
		n = &v.Notification
	case *attestation.NotificationReceipt:
		n = &v.Notification
	default:
		return true
	}
	return n.Obligation == d.Obligation && (n.EventDate == d.occasion.event.Date)
}
