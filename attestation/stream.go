package attestation

import "fmt"

// Stream is a row of slots that one role fills: an obligation, or a group of event obligations, seen by one kind of attester. The
// list is closed.
type Stream string

const (
	WageEmployer       Stream = "wage-employer"
	WageBank           Stream = "wage-bank"
	InterviewWorker    Stream = "interview-worker-support"
	InterviewSuperior  Stream = "interview-supervisor-support"
	ReportEmployer     Stream = "report-employer"
	ReportAuthority    Stream = "report-authority"
	NoticeEmployer     Stream = "notice-employer"
	NoticeAuthority    Stream = "notice-authority"
	SeparationEmployer Stream = "separation-employer"
	SeparationOffice   Stream = "separation-authority"
	SessionSupport     Stream = "support-session-support"
	RemedyEmployer     Stream = "remedy-employer"
)

type streamFacts struct {
	kind PeriodKind
	role Role
	typ  Type
}

var streams = map[Stream]streamFacts{
	WageEmployer:       {Month, AcceptingOrganization, TypeWagePayment},
	WageBank:           {Month, Bank, TypeWageReceipt},
	InterviewWorker:    {Quarter, SupportOrganization, TypeSupportInterview},
	InterviewSuperior:  {Quarter, SupportOrganization, TypeSupportInterview},
	ReportEmployer:     {FiscalYear, AcceptingOrganization, TypeNotificationFiled},
	ReportAuthority:    {FiscalYear, Authority, TypeNotificationReceipt},
	NoticeEmployer:     {Events, AcceptingOrganization, TypeNotificationFiled},
	NoticeAuthority:    {Events, Authority, TypeNotificationReceipt},
	SeparationEmployer: {Events, AcceptingOrganization, TypeSeparation},
	SeparationOffice:   {Events, Authority, TypeSeparation},
	SessionSupport:     {Events, SupportOrganization, TypeSupportSession},
	RemedyEmployer:     {Events, AcceptingOrganization, TypeRemedy},
}

// Streams lists every stream in the order of the plan.
var Streams = []Stream{
	WageEmployer, WageBank, InterviewWorker, InterviewSuperior, ReportEmployer, ReportAuthority,
	NoticeEmployer, NoticeAuthority, SeparationEmployer, SeparationOffice, SessionSupport, RemedyEmployer,
}

// ParseStream returns the stream named s.
func ParseStream(s string) (Stream, error) {
	if _, ok := streams[Stream(s)]; ok {
		return Stream(s), nil
	}
	return "", fmt.Errorf("unknown stream %q", s)
}

// Kind returns the kind of period that the stream's slots cover.
func (s Stream) Kind() PeriodKind { return streams[s].kind }

// Role returns the role that fills the stream. Under self-support the support streams are the employer's: see [Stream.Filler].
func (s Stream) Role() Role { return streams[s].role }

// Type returns the credential type that stands in the stream's slots.
func (s Stream) Type() Type { return streams[s].typ }

// Filler returns the role that fills the stream for an engagement that has, or has not, a support organization.
func (s Stream) Filler(hasSupport bool) Role {
	if s.Role() == SupportOrganization && !hasSupport {
		return AcceptingOrganization
	}
	return s.Role()
}

// Plan returns the slots that an engagement from start to end must have: every stream with every period of its kind that shares a
// day with the contract. The period of a wage is the month in which its pay period closes, so a contract that ends after its closing
// day has one more.
func Plan(start, end Date, closingDay int) map[Stream][]Period {
	plan := make(map[Stream][]Period, len(Streams))
	for _, s := range Streams {
		first, last := start, end
		if s.Kind() == Month {
			first, last = closing(start, closingDay), closing(end, closingDay)
		}
		plan[s] = PeriodsBetween(s.Kind(), first, last)
	}
	return plan
}

// closing returns a day of the month in which the pay period of d closes.
func closing(d Date, closingDay int) Date {
	if d.Day > closingDay {
		return d.AddMonths(1)
	}
	return d
}

// Plan returns the slots that the engagement must have.
func (e *Engagement) Plan() map[Stream][]Period { return Plan(e.Start, e.End, e.ClosingDay) }
