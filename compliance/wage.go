package compliance

import (
	"slices"
	"strconv"

	"akashi/attestation"
)

// wages are the records of one period's wage.
type wages struct {
	own, bank *slot
	credits   []rung // the bank's, as they stand
	copies    []rung // by a tied bank, or copied from the payer's own papers: they corroborate nothing
}

func (c *caseFile) wagesOf(d *Duty) wages {
	w := wages{own: c.slot(attestation.WageEmployer, d.occasion.period), bank: c.slot(attestation.WageBank, d.occasion.period)}
	for _, r := range live(w.bank.rungs) {
		if independentCredit(r) {
			w.credits = append(w.credits, r)
		} else {
			w.copies = append(w.copies, r)
		}
	}
	return w
}

// independentCredit reports whether a receipt was read from the worker's own account by a bank that is not tied to the employer.
func independentCredit(r rung) bool {
	v := r.Claims.(*attestation.WageReceipt)
	return !r.Tied && (v.Source == attestation.SourceAccountStatement || v.Source == attestation.SourceAccountProvider)
}

// content returns what the employer's records say in the end: the last one of a whole wage and the part payments after it, or all the
// part payments.
func content(records []rung) []*attestation.WagePayment {
	var out []*attestation.WagePayment
	for _, r := range records {
		v := r.Claims.(*attestation.WagePayment)
		if v.Kind != attestation.WagePart {
			out = out[:0]
		}
		out = append(out, v)
	}
	return out
}

// A payment is when a wage was paid, by the records taken together.
type payment struct {
	some    bool // there is a record
	full    bool // of the whole wage
	unclear bool // which credit completed it depends on amounts that were not shown
	date    attestation.Date
}

// paid brings the employer's records and the bank's credits together. The bank's value dates are the better evidence of the day.
func (w wages) paid(own []rung, due attestation.Date) payment {
	said := content(own)
	p := payment{some: len(said) > 0 || len(w.credits) > 0, full: len(said) == 0}
	for _, v := range said {
		p.date = latest(p.date, v.PaidDate)
		if v.DeclaredInFull || v.Kind == attestation.WageZero {
			p.full = true
			break
		}
	}
	if p.full && len(w.credits) > 0 {
		total, known := sumNet(said)
		p.date, p.unclear = w.completed(total, known && len(said) > 0, due)
	}
	return p
}

// completed returns the value date of the credit that brought the sum to total, or of the last one where it never did. With amounts
// not shown, the day is unclear when credits lie on both sides of the due date.
func (w wages) completed(total int64, known bool, due attestation.Date) (date attestation.Date, unclear bool) {
	credits := make([]*attestation.WageReceipt, len(w.credits))
	for i, r := range w.credits {
		credits[i] = r.Claims.(*attestation.WageReceipt)
		known = known && credits[i].Amount != nil
	}
	slices.SortStableFunc(credits, func(a, b *attestation.WageReceipt) int { return a.ValueDate.Compare(b.ValueDate) })
	last := credits[len(credits)-1].ValueDate
	if !known {
		return last, !credits[0].ValueDate.After(due) && last.After(due)
	}
	var sum int64
	for _, v := range credits {
		if sum += *v.Amount; sum >= total {
			return v.ValueDate, false
		}
	}
	return last, false
}

// sumNet adds up the net amounts, and reports false when one was not disclosed.
func sumNet(said []*attestation.WagePayment) (sum int64, known bool) {
	for _, v := range said {
		switch {
		case v.Kind == attestation.WageZero:
		case v.Net == nil:
			return 0, false
		default:
			sum += *v.Net
		}
	}
	return sum, true
}

// judgePayDay: wages are paid at least once a month on a fixed day (Labor Standards Act, Article 24(2)). The finding is about the day.
func (c *caseFile) judgePayDay(d *Duty) verdict {
	w := c.wagesOf(d)
	v := c.overSplits(d, w.own.rungs, func(stood int) verdict { return c.payDayWith(d, w, stood) })
	if len(w.copies) > 0 {
		v.check(CodeCorroborationTie, CannotTell, "a record in %s is not independent of the employer", w.bank.stream)
	}
	return v
}

func (c *caseFile) payDayWith(d *Duty, w wages, stood int) verdict {
	now := w.paid(live(w.own.rungs), d.Due)
	switch takenBack := lateWithdrawal(w.bank.rungs, c.limit(d)); {
	case withdrawn(w.own.rungs, stood) || takenBack == Fail:
		return verdict{}.with(Contradicted, CodeWithdraws, Fail, "a record was withdrawn after grace")
	case takenBack == CannotTell:
		return verdict{}.with(Unknown, CodeTimeUndetermined, CannotTell, "no checkpoint tells when a record was withdrawn")
	case !now.some && len(w.copies) > 0:
		return verdict{}.with(Unknown, CodeCorroborationTie, CannotTell, "only a record that is not independent of the employer shows a payment")
	case !now.some:
		return c.unpaid(d)
	}
	return c.corroboratePay(d, w, c.payDayByRecords(d, w, stood))
}

// unpaid is the verdict where no record shows a payment. The worker's own statement agrees with it.
func (c *caseFile) unpaid(d *Duty) verdict {
	v := c.missing(d)
	if s, ok := c.find(d, attestation.Date{}, attestation.StatementUnpaid); ok {
		v.by = []attestation.Role{attestation.Worker}
		v.check(CodeUnpaidStatement, Fail, "the worker stated on %s that the wage was not paid", s.Claims.Date)
	}
	return v
}

// payDayByRecords judges the records as they stood at due + grace, and lets each later one only make it worse. One that completes a part
// payment on a later day makes of a shortfall a late payment.
func (c *caseFile) payDayByRecords(d *Duty, w wages, stood int) (v verdict) {
	known := w.paid(live(w.own.rungs[:stood]), d.Due).some
	for n, first := stood, true; n <= len(w.own.rungs); n++ {
		p := w.paid(live(w.own.rungs[:n]), d.Due)
		if !p.some {
			continue
		}
		next := c.payDayOf(d, w, p)
		if !known && next.finding == Fulfilled {
			next = c.recordedLate(d, w.own.rungs)
			next.leans = []*slot{w.bank}
		}
		paidSince := v.finding == Short && next.finding == PerformedLate
		if first || paidSince || worse(v.finding, next.finding) != v.finding {
			v, first = next, false
		}
	}
	return v
}

func (c *caseFile) payDayOf(d *Duty, w wages, p payment) verdict {
	if len(w.credits) == 0 {
		if s, ok := c.find(d, p.date, attestation.StatementUnpaid, attestation.StatementContradiction); ok {
			v := verdict{leans: []*slot{w.bank}}
			return v.with(Contradicted, CodeUnpaidStatement, Fail, "the worker stated on %s that the wage was not paid, and no bank record shows it", s.Claims.Date)
		}
	}
	switch {
	case p.unclear:
		return verdict{}.with(Undisclosed, CodeClaimWithheld, CannotTell, "which payment completed the wage depends on amounts that were not disclosed")
	case !p.full && !c.asOf.After(c.limit(d)):
		return verdict{}.with(Pending, CodePartial, Fail, "the employer declares a part payment so far")
	case !p.full:
		return verdict{}.with(Short, CodePartial, Fail, "the employer declares that the wage was not paid in full")
	}
	v := timed(d, p.date)
	if v.finding == PerformedLate && !w.bank.opened {
		return v.with(Undisclosed, CodeSlotNotOpened, CannotTell, "%s %s was not opened: it may show another day", w.bank.stream, w.bank.period)
	}
	return v
}

func (c *caseFile) corroboratePay(d *Duty, w wages, v verdict) verdict {
	if !v.performed() {
		return v
	}
	if len(w.credits) > 0 {
		v.by = append(v.by, attestation.Bank)
		if _, ok := c.find(d, attestation.Date{}, attestation.StatementUnpaid); ok {
			v.check(CodeUnpaidStatement, CannotTell, "the worker stated that the wage was not paid; the bank's record shows a payment")
		}
	}
	return c.acceptedBy(d, v)
}

// acceptedBy adds the worker to those who agree that the duty was performed.
func (c *caseFile) acceptedBy(d *Duty, v verdict) verdict {
	if !v.performed() {
		return v
	}
	if s, ok := c.find(d, attestation.Date{}, attestation.StatementAccept); ok {
		v.by = append(v.by, attestation.Worker)
		v.check(CodeWorkerAccepted, Pass, "accepted on %s", s.Claims.Date)
	}
	return v
}

// judgeFullPay: wages are paid in full (Labor Standards Act, Article 24(1)). It has a finding only where the pay day has a payment.
func (c *caseFile) judgeFullPay(d *Duty) verdict {
	w := c.wagesOf(d)
	return c.overSplits(d, w.own.rungs, func(stood int) verdict { return c.fullPayWith(d, w, stood) })
}

// fullPayWith judges the amounts as they stood at due + grace, and lets each later record only make it worse. What the employer does not
// call the whole wage is not compared, unless it never says more.
func (c *caseFile) fullPayWith(d *Duty, w wages, stood int) verdict {
	v := c.compare(d, w, content(live(w.own.rungs)))
	known := len(wholeAt(w.own.rungs[:stood])) > 0
	if !known && v.finding == Fulfilled && len(w.credits) == 0 {
		late := c.recordedLate(d, w.own.rungs)
		late.leans, late.by = []*slot{w.bank}, v.by
		v = late
	}
	for n := stood; n < len(w.own.rungs); n++ {
		said := wholeAt(w.own.rungs[:n])
		if len(said) == 0 {
			continue
		}
		if before := c.compare(d, w, said); worse(before.finding, v.finding) == before.finding {
			v = before
		}
	}
	return v
}

// wholeAt returns what the employer called the whole wage with these rungs.
func wholeAt(rungs []rung) []*attestation.WagePayment {
	said := content(live(rungs))
	for _, v := range said {
		if v.DeclaredInFull || v.Kind == attestation.WageZero {
			return said
		}
	}
	return nil
}

// compare sets what the employer says was paid against what the bank credited.
func (c *caseFile) compare(d *Duty, w wages, said []*attestation.WagePayment) verdict {
	var v verdict
	net, known := sumNet(said)
	switch {
	case !w.bank.opened || !w.own.opened:
		return v.with(Undisclosed, CodeSlotNotOpened, CannotTell, "the wage records of %s were not all opened", d.Period)
	case len(said) == 0:
		return v.with(Unknown, CodeAmountNoPayslip, CannotTell, "the employer recorded no amount to compare with")
	case len(w.credits)+len(w.copies) == 0:
		return c.ownAmounts(d, w, said, known)
	}
	credited, shown := sumCredits(w)
	if !known || !shown {
		return v.with(Undisclosed, CodeClaimWithheld, CannotTell, "an amount was not disclosed")
	}
	return c.compareSums(d, w, said, net, credited)
}

// ownAmounts judges the employer's word where the bank has no record of the period.
func (c *caseFile) ownAmounts(d *Duty, w wages, said []*attestation.WagePayment, known bool) verdict {
	var v verdict
	if code, detail := unreadable([]*slot{w.bank}, nil); code != "" {
		return v.with(Unknown, code, CannotTell, "%s", detail)
	}
	if !known {
		return v.with(Undisclosed, CodeClaimWithheld, CannotTell, "an amount was not disclosed")
	}
	if c.belowTerms(said) {
		return belowTermsVerdict()
	}
	v.finding = Fulfilled
	return c.acceptedBy(d, v)
}

func belowTermsVerdict() verdict {
	return verdict{}.with(Short, CodeAmountTerms, Fail, "a full month's base and allowances lie below the contract's base amount")
}

func (c *caseFile) compareSums(d *Duty, w wages, said []*attestation.WagePayment, net, credited int64) verdict {
	var v verdict
	switch {
	case credited < net && !c.asOf.After(c.limit(d)):
		return v.with(Pending, CodeAmountDiffers, CannotTell, "the bank's credits do not reach the employer's net so far")
	case credited < net:
		v.leans = []*slot{w.bank} // no further credit
		fallthrough
	case credited > net:
		return v.with(Contradicted, CodeAmountDiffers, Fail, "employer %s yen, bank %s yen", yen(net), yen(credited))
	case c.belowTerms(said):
		return belowTermsVerdict()
	}
	v.finding = Fulfilled
	v.check(CodeAmountEqual, Pass, "employer and bank agree")
	if len(w.credits) > 0 {
		v.by = append(v.by, attestation.Bank)
	}
	return c.acceptedBy(d, v)
}

// sumCredits adds up the bank's credits, or where there are none the copies, and reports false when an amount was not disclosed.
func sumCredits(w wages) (sum int64, known bool) {
	records := w.credits
	if len(records) == 0 {
		records = w.copies
	}
	for _, r := range records {
		v := r.Claims.(*attestation.WageReceipt)
		if v.Amount == nil {
			return 0, false
		}
		sum += *v.Amount
	}
	return sum, true
}

// belowTerms recomputes the one thing that needs no table: base and allowances of a full month worked in full, against the contract's
// monthly base amount. Nothing is inferred from a claim that was not disclosed, nor from days not worked.
func (c *caseFile) belowTerms(said []*attestation.WagePayment) bool {
	t := c.terms.Terms
	if t == nil || t.PayKind == nil || *t.PayKind != "monthly" || t.BaseAmount == nil || t.ScheduledHours == nil || len(said) != 1 {
		return false
	}
	v := said[0]
	first, last := covered(c.terms, v.Period)
	if v.Kind != attestation.WageRegular || v.From != first || v.To != last || v.Hours == nil || v.Base == nil || v.Allowances == nil {
		return false
	}
	worked, err1 := strconv.ParseFloat(v.Hours.Scheduled, 64)
	agreed, err2 := strconv.ParseFloat(*t.ScheduledHours, 64)
	got := *v.Base
	for _, a := range v.Allowances {
		got += a
	}
	return err1 == nil && err2 == nil && worked >= agreed && got < *t.BaseAmount
}

// yen writes an amount with separators.
func yen(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
