package compliance

import (
	"fmt"
	"slices"

	"akashi/attestation"
)

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
