package compliance

import (
	"time"

	"akashi/attestation"
)

// fullLadder is the number of rungs a slot can have.
const fullLadder = 64

type slotKey struct {
	stream attestation.Stream
	period attestation.Period
}

// A slot is a ladder as far as it could be read, with its valid rungs told from its junk.
type slot struct {
	slotKey
	planned bool      // some engagement rung has it
	since   time.Time // when the first of those stood in the log; zero when that is not proven
	opened  bool
	whole   bool // its end is proven: what is not in rungs was not in the log
	clouded bool // some rung is unavailable, so that nothing can rest on what the slot does not hold
	hidden  bool // what some rung says is not known, so that it may correct or take back another
	rungs   []rung
}

// A rung is an entry, with the reason why it is not valid.
type rung struct {
	*Entry
	links   attestation.Links
	reason  string // "" when valid
	unclear bool   // not valid for want of knowledge, so that it may be
}

// emptySlot is read where no ladder was handed in.
func emptySlot(k slotKey) *slot { return &slot{slotKey: k} }

// readSlot sorts a ladder's rungs. A rung ahead of a gap is no member of the ladder, and what lies behind the gap is not known; a rung that
// was not yet in the log at the time of judgement ends the ladder as it stood then.
func (c *caseFile) readSlot(l *Ladder) *slot {
	s := emptySlot(slotKey{l.Stream, l.Period})
	s.since, s.planned = c.ev.PlanSince[l.Stream][l.Period]
	s.opened = l.Opened
	if !s.opened || !s.planned {
		return s
	}
	s.whole = l.Closed || len(l.Rungs) >= fullLadder
	for i := range l.Rungs {
		e := &l.Rungs[i]
		if e.J != i || i >= fullLadder {
			s.whole = i >= fullLadder
			break
		}
		if e.NotBefore.After(c.asOf) {
			s.whole = true
			break
		}
		r := c.readRung(s, e)
		s.clouded = s.clouded || r.unclear
		s.hidden = s.hidden || r.unclear && r.reason != CodeIssuerCompromised
		s.rungs = append(s.rungs, r)
	}
	return s
}

func (c *caseFile) readRung(s *slot, e *Entry) rung {
	r := rung{Entry: e, unclear: e.Validity == Unavailable}
	switch {
	case e.Validity == Unavailable:
		r.reason = orElse(e.Reason, CodeEntryUnavailable)
	case e.Validity != Valid:
		r.reason = orElse(e.Reason, CodeEntryJunk)
	case !c.belongs(s.slotKey, e):
		r.reason = CodeEntryMisplaced
	case premature(e) == Fail:
		r.reason = CodeEntryPremature
	case premature(e) == CannotTell:
		r.reason, r.unclear = CodeEntryUndetermined, true
	case e.ID != "" && names(s.rungs, e.ID, e.Attester):
		r.reason = CodeEntryRepeated
	default:
		r.links = attestation.LinksOf(e.Claims)
	}
	return r
}

// aheadAtMost is how long before the day of the act a record may have stood in the log without a checkpoint that tells. A registry at
// rest publishes one every minute; the day allows for outages.
const aheadAtMost = 24 * time.Hour

// premature reports [Fail] where a record stood in the log before the day on which it says the act was done: it is no record of the act.
// Whoever hands on evidence may leave out the checkpoint that proves this. So without one that proves the opposite nobody can tell.
func premature(e *Entry) Result {
	day := doneOn(e.Claims).Start()
	switch {
	case !e.ExistedBy.IsZero() && e.ExistedBy.Before(day):
		return Fail
	case e.NotBefore.Before(day.Add(-aheadAtMost)):
		return CannotTell
	}
	return Pass
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// belongs reports whether a valid attestation may stand in the slot: it is of the stream's type and role, by the party that the
// engagement names (any accredited bank or authority), and about the slot's period.
func (c *caseFile) belongs(k slotKey, e *Entry) bool {
	if e.Type != k.stream.Type() || e.Role != k.stream.Filler(c.terms.HasSupport()) {
		return false
	}
	switch e.Role {
	case attestation.AcceptingOrganization:
		return e.Attester == c.terms.Employer.ID && isAbout(k, e.Claims)
	case attestation.SupportOrganization:
		return c.terms.Support != nil && e.Attester == c.terms.Support.ID && isAbout(k, e.Claims)
	}
	return isAbout(k, e.Claims)
}

// isAbout reports whether claims are of the slot's type and fall into its period.
func isAbout(k slotKey, claims any) bool {
	if typeOf(claims) != k.stream.Type() {
		return false
	}
	switch v := claims.(type) {
	case *attestation.WagePayment:
		return v != nil && v.Period == k.period
	case *attestation.WageReceipt:
		return v != nil && v.Period == k.period
	case *attestation.SupportInterview:
		return v != nil && interviewees[k.stream] == v.Interviewee && !v.Date.Before(k.period.First())
	case *attestation.NotificationFiled:
		return v != nil && notificationIsAbout(k, &v.Notification)
	case *attestation.NotificationReceipt:
		return v != nil && notificationIsAbout(k, &v.Notification)
	case *attestation.Separation:
		return v != nil && attestation.EventsOf(v.EndDate) == k.period
	case *attestation.SupportSession:
		return v != nil && attestation.EventsOf(v.Date) == k.period
	case *attestation.Remedy:
		return v != nil
	}
	return false
}

// typeOf is the type of the claims themselves, whatever the entry says.
func typeOf(claims any) attestation.Type {
	switch claims.(type) {
	case *attestation.WagePayment:
		return attestation.TypeWagePayment
	case *attestation.WageReceipt:
		return attestation.TypeWageReceipt
	case *attestation.SupportInterview:
		return attestation.TypeSupportInterview
	case *attestation.SupportSession:
		return attestation.TypeSupportSession
	case *attestation.NotificationFiled:
		return attestation.TypeNotificationFiled
	case *attestation.NotificationReceipt:
		return attestation.TypeNotificationReceipt
	case *attestation.Separation:
		return attestation.TypeSeparation
	case *attestation.Remedy:
		return attestation.TypeRemedy
	}
	return ""
}

func notificationIsAbout(k slotKey, n *attestation.Notification) bool {
	if k.stream.Kind() == attestation.FiscalYear {
		return n.Period == k.period
	}
	return !n.EventDate.IsZero() && attestation.EventsOf(n.EventDate) == k.period
}

var interviewees = map[attestation.Stream]string{
	attestation.InterviewWorker:   attestation.IntervieweeWorker,
	attestation.InterviewSuperior: attestation.IntervieweeSupervisor,
}

// doneOn is the day on which an attestation says that the act was done; a record made before it is no record of the act.
func doneOn(claims any) attestation.Date {
	switch v := claims.(type) {
	case *attestation.WagePayment:
		return v.PaidDate
	case *attestation.WageReceipt:
		return v.ValueDate
	case *attestation.SupportInterview:
		return v.Date
	case *attestation.SupportSession:
		return v.Date
	case *attestation.NotificationFiled:
		return v.ArrivedDate
	case *attestation.NotificationReceipt:
		return v.ArrivedDate
	case *attestation.Separation:
		return v.EndDate
	case *attestation.Remedy:
		return v.RemediedDate
	case *attestation.WorkerStatement:
		if v.FiledDate != nil {
			return *v.FiledDate
		}
		return v.Date
	}
	return attestation.Date{}
}

// splits returns the least and the greatest number of rungs that stood in the log at limit. The times given are those of rungs 0..j
// together, so one late rung makes all above it late, and one on-time rung all below it on time.
func splits(rungs []rung, limit time.Time) (lo, hi int) {
	hi = len(rungs)
	for i, r := range rungs {
		if r.onTime(limit) {
			lo = i + 1
		}
		if r.late(limit) && i < hi {
			hi = i
		}
	}
	return min(lo, hi), max(lo, hi)
}

func (e *Entry) onTime(limit time.Time) bool {
	return !e.ExistedBy.IsZero() && !e.ExistedBy.After(limit)
}

func (e *Entry) late(limit time.Time) bool { return e.NotBefore.After(limit) }

// recordedOn is the day on which the entry was not in the log yet, as far as that is proven: whatever checkpoints are left out, nothing
// is said to be later than it was.
func (e *Entry) recordedOn() attestation.Date { return attestation.DateOf(e.NotBefore) }

// live returns the valid rungs that no later one in rungs supersedes or withdraws, without those that only withdraw.
func live(rungs []rung) []rung {
	var gone map[string]bool
	for i := range rungs {
		for _, id := range []string{rungs[i].links.Supersedes, rungs[i].links.Withdraws} {
			if id != "" && rungs[i].reason == "" && names(rungs[:i], id, rungs[i].Attester) {
				if gone == nil {
					gone = make(map[string]bool)
				}
				gone[id] = true
			}
		}
	}
	out := make([]rung, 0, len(rungs))
	for _, r := range rungs {
		if r.reason == "" && !gone[r.ID] && r.links.Withdraws == "" {
			out = append(out, r)
		}
	}
	return out
}

// names reports whether id is a valid rung of the same attester: nobody takes back another's word.
func names(rungs []rung, id, attester string) bool {
	for _, r := range rungs {
		if r.reason == "" && r.ID == id && r.Attester == attester {
			return true
		}
	}
	return false
}

// withdrawn reports whether one of rungs[n:] takes back a valid rung below it.
func withdrawn(rungs []rung, n int) bool {
	for i := n; i < len(rungs); i++ {
		if r := rungs[i]; r.reason == "" && r.links.Withdraws != "" && names(rungs[:i], r.links.Withdraws, r.Attester) {
			return true
		}
	}
	return false
}

// firstValid returns the first valid rung that is not a mere withdrawal.
func firstValid(rungs []rung) (rung, bool) {
	for _, r := range rungs {
		if r.reason == "" && r.links.Withdraws == "" {
			return r, true
		}
	}
	return rung{}, false
}
