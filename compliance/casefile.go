package compliance

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"akashi/attestation"
)

// freshFor is how old the map's head may be for an absence to be stated.
const freshFor = 24 * time.Hour

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

// endFacts is what is known of the end of the contract.
type endFacts struct {
	events     []Event
	ids        []string // of the separations
	workerOnly bool
	disputed   string // what the parties state differently
	reasons    bool   // they differ on whose cause it is
}

// A stated end is one party's word.
type stated struct {
	date   attestation.Date
	reason string // "" when it was not shown
	there  bool
}

// readEnds brings together what the employer, an authority and the worker state of the end of the contract. Its date is that of the
// authority, else of the employer, else of the worker. It ends later duties unless the employer is alone in saying so.
func (c *caseFile) readEnds() endFacts {
	var f endFacts
	office := c.separation(&f, attestation.SeparationOffice)
	employer := c.separation(&f, attestation.SeparationEmployer)
	worker := c.stated()
	e := Event{Kind: EventEnd}
	switch {
	case office.there:
		e.Date = office.date
	case employer.there:
		e.Date = employer.date
		switch {
		case worker.there:
			e.EmployerOnly, e.Until = employer.date.Before(worker.date), worker.date
		case !c.acceptsEnd(&f, employer.date):
			e.EmployerOnly = true
		}
	case worker.there:
		e.Date, f.workerOnly = worker.date, true
	default:
		return f
	}
	e.ReasonClass = reasonOf(&f, office, employer, worker)
	f.compareDates(e.Date, office, employer, worker)
	f.events = []Event{e}
	return f
}

// reasonOf is the authority's word, else what the employer and the worker agree on or only one of them says. Where they differ it is
// the worker's, and disputed. A reason that was withheld might be any.
func reasonOf(f *endFacts, office, employer, worker stated) string {
	switch {
	case office.there:
		return office.reason
	case !employer.there:
		return worker.reason
	case employer.reason == "" || !worker.there || worker.reason == "":
		return employer.reason
	}
	if employer.reason != worker.reason {
		f.disputed, f.reasons = "whose cause the end of the contract is", true
	}
	return worker.reason
}

func (f *endFacts) compareDates(date attestation.Date, all ...stated) {
	for _, s := range all {
		if s.there && s.date != date {
			f.disputed = "the date of the end of the contract"
		}
	}
}

// separation returns the last separation that stands in any slot of the stream. A record by an entity tied to the employer is not an
// authority's.
func (c *caseFile) separation(f *endFacts, stream attestation.Stream) (out stated) {
	for _, p := range attestation.PeriodsBetween(attestation.Events, c.terms.Start, c.terms.End) {
		for _, r := range live(c.slot(stream, p).rungs) {
			v, ok := r.Claims.(*attestation.Separation)
			if !ok || r.ExistedBy.IsZero() || r.ExistedBy.After(c.asOf) || r.Tied {
				continue
			}
			f.ids = append(f.ids, r.ID)
			out = stated{date: v.EndDate, there: true}
			if v.ReasonClass != nil {
				out.reason = *v.ReasonClass
			}
		}
	}
	return out
}

// stated returns the worker's own last word on the end.
func (c *caseFile) stated() (out stated) {
	for i := range c.statements {
		s := &c.statements[i]
		if c.standing(s, attestation.StatementEnded) && !s.Claims.About.EndDate.IsZero() && !s.ExistedBy.IsZero() && !s.ExistedBy.After(c.asOf) {
			out = stated{s.Claims.About.EndDate, s.Claims.About.ReasonClass, true}
		}
	}
	return out
}

// acceptsEnd reports whether the worker accepted the employer's separation: by its ID, or by the date of the end.
func (c *caseFile) acceptsEnd(f *endFacts, date attestation.Date) bool {
	for i := range c.statements {
		s := &c.statements[i]
		if a := s.Claims.About; c.standing(s, attestation.StatementAccept) && (slices.Contains(f.ids, a.ID) || a.EndDate == date ||
			a.Stream == attestation.SeparationEmployer && a.Period == attestation.EventsOf(date)) {
			return true
		}
	}
	return false
}

// endExcluded asks whether an end of the contract before day, unknown so far, is excluded: every slot that could hold one must be
// readable to its end. It returns the finding that stands in for a gap otherwise, and Fulfilled when it is excluded.
func (c *caseFile) endExcluded(day attestation.Date) (Finding, *Check) {
	if day.Before(c.terms.Start) {
		return Fulfilled, nil
	}
	worst, detail := Fulfilled, ""
	for _, p := range attestation.PeriodsBetween(attestation.Events, c.terms.Start, earliest(day, c.terms.End)) {
		for _, stream := range []attestation.Stream{attestation.SeparationEmployer, attestation.SeparationOffice} {
			s, f := c.slot(stream, p), Fulfilled
			switch {
			case !s.opened:
				f = Undisclosed
			case !s.whole || s.clouded:
				f = Unknown
			}
			if f != Fulfilled && (worst == Fulfilled || worse(f, worst) == f) {
				worst, detail = f, fmt.Sprintf("%s %s could hold an end of the contract", stream, p)
			}
		}
	}
	if worst == Fulfilled {
		return worst, nil
	}
	return worst, &Check{CodeEndNotExcluded, CannotTell, detail}
}
