package attestation

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// A checker refuses values that no attestation of its type can have.
type checker interface{ check() error }

// checks collects the first thing that is wrong.
type checks struct{ err error }

func (c *checks) that(ok bool, format string, args ...any) {
	if c.err == nil && !ok {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checks) oneOf(name, value string, allowed ...string) {
	c.that(slices.Contains(allowed, value), "%s is none of %v", name, allowed)
}

func (c *checks) maybeOneOf(name string, value *string, allowed ...string) {
	if value != nil {
		c.oneOf(name, *value, allowed...)
	}
}

// digest checks base64url of 32 bytes; the empty string is for the caller to allow.
func (c *checks) digest(name, value string) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	c.that(err == nil && len(b) == 32, "%s is not base64url of 32 bytes", name)
}

func (c *checks) maybeDigest(name string, value *string) {
	if value != nil {
		c.digest(name, *value)
	}
}

func (c *checks) links(engagement, supersedes, withdraws string) {
	c.digest("engagement", engagement)
	if supersedes != "" {
		c.digest("supersedes", supersedes)
	}
	if withdraws != "" {
		c.digest("withdraws", withdraws)
	}
	c.that(supersedes == "" || withdraws == "", "supersedes and withdraws exclude each other")
}

func (c *checks) period(name string, p Period, kinds ...PeriodKind) {
	_, err := ParsePeriod(string(p))
	c.that(err == nil && slices.Contains(kinds, p.Kind()), "%s is not a period of the right kind", name)
}

// amounts checks whole yen, none negative.
func (c *checks) amounts(name string, amounts map[string]int64) {
	for _, code := range sortedKeys(amounts) {
		c.amount(name+"."+code, amounts[code])
	}
}

func (c *checks) maybeAmount(name string, v *int64) {
	if v != nil {
		c.amount(name, *v)
	}
}

func (c *checks) amount(name string, v int64) {
	c.that(v >= 0 && v <= maxYen, "%s is not an amount from 0 to %d yen", name, maxYen)
}

// maxYen is far above any wage and has fewer digits than a My Number.
const maxYen = 999_999_999

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,3})(\.[0-9]{1,2})?$`)

func (c *checks) decimal(name, v string) {
	c.that(v == "" || decimal.MatchString(v), "%s is not a decimal number such as 8.0", name)
}

// duty checks that a duty is named by its period or by the date of its event, not both.
func (c *checks) duty(obligation string, p Period, event Date) {
	c.that(obligation != "", "obligation is missing")
	c.that((p == "") != event.IsZero(), "one of period and event_date is needed, not both")
	if p != "" {
		c.period("period", p, Month, Quarter, FiscalYear)
	}
}

func (e *Engagement) check() error {
	var c checks
	e.checkParties(&c)
	c.oneOf("class", e.Class, ClassI, ClassII)
	c.that(!e.End.Before(e.Start), "end lies before start")
	c.that(e.ClosingDay >= 1 && e.ClosingDay <= 31, "closing_day is not 1 to 31")
	c.that(e.PayDay >= 1 && e.PayDay <= 31, "pay_day is not 1 to 31")
	c.that(e.PayMonthOffset >= 0 && e.PayMonthOffset <= 2, "pay_month_offset is not 0, 1 or 2")
	c.oneOf("holiday_rule", e.HolidayRule, HolidayPrev, HolidayNext, HolidayNone)
	c.oneOf("pay_method", e.PayMethod, PayTransfer, PayCash, PayFundsTransfer)
	c.digest("contract_hash", e.ContractHash)
	if e.Supersedes != "" {
		c.digest("supersedes", e.Supersedes)
	}
	if w := e.WorkerIdentity; w != nil && w.CardNumber != nil {
		c.that(CheckCardNumber(*w.CardNumber) == nil, "worker.card_number is not two letters, eight digits, two letters")
	}
	if t := e.Terms; t != nil {
		t.check(&c)
	}
	e.checkPlan(&c)
	return c.err
}

func (e *Engagement) checkParties(c *checks) {
	c.that(CheckCorporateNumber(e.Employer.ID) == nil, "employer.id is not a corporate number")
	c.oneOf("support_mode", e.SupportMode, SupportFull, SupportPartial, SupportSelf)
	c.that((e.SupportMode == SupportSelf) == (e.Support == nil), "support is named exactly when support_mode is full or partial")
	if e.Support != nil {
		c.that(CheckEntityID(e.Support.ID) == nil, "support.id is neither a registration number nor a corporate number")
	}
}

func (t *Terms) check(c *checks) {
	c.maybeOneOf("terms.pay_kind", t.PayKind, "monthly", "daily", "hourly")
	c.maybeAmount("terms.base_amount", t.BaseAmount)
	c.maybeAmount("terms.estimated_net", t.EstimatedNet)
	if t.ScheduledHours != nil {
		c.decimal("terms.scheduled_hours", *t.ScheduledHours)
	}
	c.amounts("terms.allowances", t.Allowances)
	for _, class := range sortedKeys(t.OvertimeRate) {
		c.decimal("terms.overtime_rate."+class, t.OvertimeRate[class])
	}
	c.amounts("terms.agreed_deductions", t.AgreedDeductions)
}

func (e *Engagement) checkPlan(c *checks) {
	for _, s := range sortedKeys(e.Slots) {
		_, err := ParseStream(string(s))
		c.that(err == nil, "slots has a stream that does not exist")
		for _, p := range sortedKeys(e.Slots[s]) {
			c.period("slots."+string(s)+": a member", p, s.Kind())
			c.maybeDigest("slots."+string(s)+"."+string(p)+".s", e.Slots[s][p].S)
		}
	}
}

func (w *WagePayment) check() error {
	var c checks
	c.links(w.Engagement, w.Supersedes, w.Withdraws)
	c.period("period", w.Period, Month)
	c.that(!w.To.Before(w.From), "to lies before from")
	c.oneOf("kind", w.Kind, WageRegular, WagePart, WageFinal, WageZero)
	c.oneOf("method", w.Method, PayTransfer, PayCash, PayFundsTransfer)
	c.digest("ledger_row_hash", w.LedgerRowHash)
	if h := w.Hours; h != nil {
		c.decimal("hours.scheduled", h.Scheduled)
		c.decimal("hours.overtime", h.Overtime)
		c.decimal("hours.overtime_60", h.Overtime60)
		c.decimal("hours.holiday", h.Holiday)
		c.decimal("hours.night", h.Night)
	}
	c.maybeAmount("base", w.Base)
	c.amounts("allowances", w.Allowances)
	c.amounts("overtime_pay", w.OvertimePay)
	c.maybeAmount("gross", w.Gross)
	c.amounts("deductions", w.Deductions)
	c.maybeAmount("net", w.Net)
	return c.err
}

func (w *WageReceipt) check() error {
	var c checks
	c.links(w.Engagement, w.Supersedes, w.Withdraws)
	c.period("period", w.Period, Month)
	c.oneOf("source", w.Source, SourceAccountStatement, SourceAccountProvider, SourcePayerTransferResult, SourceTranscribed)
	c.maybeAmount("amount", w.Amount)
	return c.err
}

// Items are the ten mandatory support items (2019 Ministry of Justice Ordinance 5, Article 3(1)(i)).
var Items = []string{"イ", "ロ", "ハ", "ニ", "ホ", "ヘ", "ト", "チ", "リ", "ヌ"}

func (s *SupportSession) check() error {
	var c checks
	c.links(s.Engagement, s.Supersedes, s.Withdraws)
	c.oneOf("item", s.Item, append(slices.Clone(Items), ItemEnrolled)...)
	c.oneOf("mode", s.Mode, ModeInPerson, ModeOnline)
	if s.Minutes != nil {
		c.that(*s.Minutes >= 0 && *s.Minutes <= 24*60, "minutes is not 0 to 1440")
	}
	c.maybeOneOf("interpreter", s.Interpreter, "own", "external", "none")
	c.maybeDigest("materials_hash", s.MaterialsHash)
	return c.err
}

var clockTime = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

func (c *checks) maybeClockTime(name string, v *string) {
	c.that(v == nil || clockTime.MatchString(*v), "%s is not a time such as 09:30", name)
}

func (s *SupportInterview) check() error {
	var c checks
	c.links(s.Engagement, s.Supersedes, s.Withdraws)
	c.oneOf("interviewee", s.Interviewee, IntervieweeWorker, IntervieweeSupervisor)
	c.oneOf("mode", s.Mode, ModeInPerson, ModeOnline)
	c.maybeOneOf("interpreter", s.Interpreter, "own", "external", "none")
	c.maybeOneOf("interviewer_role", s.InterviewerRole, "responsible", "charge")
	c.maybeClockTime("start", s.Start)
	c.maybeClockTime("end", s.End)
	c.maybeDigest("recording_hash", s.RecordingHash)
	return c.err
}

func (n *Notification) check() error {
	var c checks
	c.links(n.Engagement, n.Supersedes, n.Withdraws)
	c.duty(n.Obligation, n.Period, n.EventDate)
	c.that(!n.ArrivedDate.Before(n.FiledDate), "arrived_date lies before filed_date")
	c.oneOf("channel", n.Channel, ChannelESystem, ChannelCounter, ChannelPost)
	c.maybeDigest("document_hash", n.DocumentHash)
	return c.err
}

// SourceAuthority is the source of a receipt that the office itself issued.
const SourceAuthority = "authority"

func (n *NotificationReceipt) check() error {
	var c checks
	c.oneOf("source", n.Source, SourceAuthority, SourceTranscribed)
	if c.err != nil {
		return c.err
	}
	return n.Notification.check()
}

func (s *Separation) check() error {
	var c checks
	c.links(s.Engagement, s.Supersedes, s.Withdraws)
	c.maybeOneOf("reason_class", s.ReasonClass, ReasonEmployer, ReasonWorker, ReasonExpiry, ReasonAuthority)
	return c.err
}

func (r *Remedy) check() error {
	var c checks
	c.links(r.Engagement, r.Supersedes, r.Withdraws)
	c.duty(r.Duty.Obligation, r.Duty.Period, r.Duty.EventDate)
	c.amounts("amounts", r.Amounts)
	return c.err
}

func (s *WorkerStatement) check() error {
	var c checks
	c.digest("engagement", s.Engagement)
	c.maybeOneOf("kind", s.Kind, StatementUnpaid, StatementNotHeld, StatementDemand, StatementComplaint, StatementJobSearch,
		StatementContradiction, StatementEnded, StatementAccept, StatementRetract, StatementFiled)
	if s.About != nil {
		s.About.check(&c)
	}
	c.amounts("amounts", s.Amounts)
	return c.err
}

func (a *About) check(c *checks) {
	named := 0
	for _, there := range []bool{a.Stream != "", a.Obligation != "", a.ID != "", !a.EndDate.IsZero()} {
		if there {
			named++
		}
	}
	c.that(named == 1, "about names exactly one of stream, obligation, id and end_date")
	switch {
	case a.Stream != "":
		_, err := ParseStream(string(a.Stream))
		c.that(err == nil, "about.stream does not exist")
		c.period("about.period", a.Period, a.Stream.Kind())
		c.that(a.EventDate.IsZero() || a.Stream.Kind() == Events, "about.event_date belongs to a stream of events")
	case a.Obligation != "":
		c.duty(a.Obligation, a.Period, a.EventDate)
	case a.ID != "":
		c.digest("about.id", a.ID)
		c.that(a.Period == "" && a.EventDate.IsZero(), "about.id stands alone")
	default:
		c.that(a.Period == "" && a.EventDate.IsZero(), "about.end_date stands with reason_class only")
	}
	if a.ReasonClass != "" {
		c.that(!a.EndDate.IsZero(), "about.reason_class belongs to end_date")
		c.oneOf("about.reason_class", a.ReasonClass, ReasonEmployer, ReasonWorker, ReasonExpiry, ReasonAuthority)
	}
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
