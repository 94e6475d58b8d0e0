package compliance

import (
	"cmp"
	"slices"
	"time"

	"akashi/attestation"
)

// FreshFor is how old the map's head may be for an absence to be stated. An older one may hide what came after it.
const FreshFor = 24 * time.Hour

// A caseFile is the evidence of one engagement as it stood at one time, sorted for judging.
type caseFile struct {
	ev    *Evidence
	terms *attestation.Engagement
	asOf  time.Time
	at    time.Time // time for which absences are proven: that of the evidence, at most asOf

	slots      map[slotKey]*slot
	statements []Statement // in the log and not after asOf, by date
	retracted  map[string]bool
	ends       endFacts
	paid       map[string]bool // periods whose wage is shown to be paid
}

func openCase(ev *Evidence, asOf time.Time) *caseFile {
	c := &caseFile{ev: ev, terms: ev.Terms, asOf: asOf, at: ev.AbsentAsOf,
		slots: make(map[slotKey]*slot, len(ev.Ladders)), retracted: map[string]bool{}, paid: map[string]bool{}}
	if c.at.After(asOf) {
		c.at = asOf // what is absent later was absent then
	}
	for i := range ev.Ladders {
		l := &ev.Ladders[i]
		k := slotKey{l.Stream, l.Period}
		s := c.readSlot(l)
		if c.slots[k] != nil {
			s.whole = false // two ladders for one slot: neither can be relied on to be all of it
		}
		c.slots[k] = s
	}
	c.readStatements()
	c.ends = c.readEnds()
	return c
}

// slot returns the slot of a stream and period, known or not.
func (c *caseFile) slot(s attestation.Stream, p attestation.Period) *slot {
	k := slotKey{s, p}
	if found := c.slots[k]; found != nil {
		return found
	}
	empty := emptySlot(k)
	empty.since, empty.planned = c.ev.PlanSince[s][p]
	empty.opened = true // nobody said that it was withheld: its ladder is merely not known
	c.slots[k] = empty
	return empty
}

// slotsOf returns the slots whose entries can fulfil the duty.
func (c *caseFile) slotsOf(d *Duty) []*slot {
	out := make([]*slot, len(d.Streams))
	for i, s := range d.Streams {
		out[i] = c.slot(s, d.occasion.period)
	}
	return out
}

func (c *caseFile) readStatements() {
	for _, s := range c.ev.Statements {
		if s.Claims == nil || s.NotBefore.After(c.asOf) || !s.ExistedBy.IsZero() && s.ExistedBy.Before(doneOn(s.Claims).Start()) {
			continue
		}
		c.statements = append(c.statements, s)
		if kindOf(&s) == attestation.StatementRetract && s.Claims.About != nil {
			c.retracted[s.Claims.About.ID] = true
		}
	}
	slices.SortStableFunc(c.statements, func(a, b Statement) int {
		return cmp.Or(a.Claims.Date.Compare(b.Claims.Date), cmp.Compare(a.Index, b.Index))
	})
}

// kindOf is the statement's kind, "" when it was not disclosed.
func kindOf(s *Statement) string {
	if s.Claims.Kind == nil {
		return ""
	}
	return *s.Claims.Kind
}

// standing reports whether the statement is of one of the kinds and was not retracted.
func (c *caseFile) standing(s *Statement, kinds ...string) bool {
	return slices.Contains(kinds, kindOf(s)) && s.Claims.About != nil && !c.retracted[s.ID]
}

// isAboutRecord reports whether a statement names the duty, its slot, or one of the attestations ids.
func isAboutRecord(a *attestation.About, d *Duty, ids []string) bool {
	event := d.occasion.event.Date
	switch {
	case a == nil:
		return false
	case a.ID != "":
		return slices.Contains(ids, a.ID)
	case a.Obligation != "":
		return a.Obligation == d.Obligation && (a.EventDate.IsZero() && string(a.Period) == d.Period || !event.IsZero() && a.EventDate == event)
	case a.Stream != "":
		return slices.Contains(d.Streams, a.Stream) && a.Period == d.occasion.period && (a.EventDate.IsZero() || a.EventDate == event)
	}
	return false
}

// isAboutEvent reports whether a statement names the event of the duty, or what others attested of it.
func (c *caseFile) isAboutEvent(a *attestation.About, d *Duty) bool {
	return a != nil && d.occasion.event.Kind != "" && (a.EndDate == d.occasion.event.Date || slices.Contains(c.ends.ids, a.ID))
}

// find returns the last standing statement of the kinds about the duty that is dated on or after since.
func (c *caseFile) find(d *Duty, since attestation.Date, kinds ...string) (Statement, bool) {
	ids := c.idsOf(d)
	for i := len(c.statements) - 1; i >= 0; i-- {
		s := &c.statements[i]
		if c.standing(s, kinds...) && isAboutRecord(s.Claims.About, d, ids) && !s.Claims.Date.Before(since) {
			return *s, true
		}
	}
	return Statement{}, false
}

// idsOf lists the attestations of the duty that a statement may name.
func (c *caseFile) idsOf(d *Duty) []string {
	var ids []string
	for _, s := range c.slotsOf(d) {
		for _, r := range s.rungs {
			if r.reason == "" && concerns(d, r.Claims) {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids
}

// actions lists what the worker stated about the duty, with retractions.
func (c *caseFile) actions(d *Duty) []WorkerAction {
	ids := c.idsOf(d)
	out := []WorkerAction{}
	for i := range c.statements {
		s := &c.statements[i]
		if kindOf(s) == "" || !isAboutRecord(s.Claims.About, d, ids) && !c.isAboutEvent(s.Claims.About, d) {
			continue
		}
		out = append(out, WorkerAction{kindOf(s), s.Claims.Date})
		ids = append(ids, s.ID)
	}
	return out
}

// limit is the end of grace: 24:00 Japan time of due + grace, lengthened by the hours of grace that an outage took.
func (c *caseFile) limit(d *Duty) time.Time {
	limit := d.GraceUntil
	outages := slices.SortedFunc(slices.Values(c.ev.Outages), func(a, b Outage) int { return a.From.Compare(b.From) })
	for _, o := range outages {
		if o.From.After(limit) || o.Until.Before(limit) || !o.Until.After(o.From) {
			continue
		}
		from := o.From
		if due := d.Due.End(); from.Before(due) {
			from = due
		}
		limit = attestation.DateOf(o.Until.Add(limit.Sub(from))).End()
	}
	return limit
}
