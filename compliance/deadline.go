package compliance

import (
	"time"

	"akashi/attestation"
	"akashi/schemas"
)

// closed reports whether d is a Saturday, a Sunday, a national holiday, or lies in the year-end days from the given day of December
// to January 3. It fails in a year that the holiday table does not cover.
func closed(h schemas.HolidayTable, d attestation.Date, december int) (bool, error) {
	national, err := h.IsNational(d.Year, d.Month, d.Day)
	if err != nil {
		return false, err
	}
	yearEnd := d.Month == time.December && d.Day >= december || d.Month == time.January && d.Day <= 3
	return national || yearEnd || d.Weekday() == time.Saturday || d.Weekday() == time.Sunday, nil
}

// Bank holidays end the year on December 31 (Banking Act Enforcement Order, Article 5), those of administrative organs on
// December 29 (Act on Holidays of Administrative Organs, Article 1).
const (
	bankYearEnd       = 31
	governmentYearEnd = 29
)

// open returns the first day at or beyond d, stepping by step days, on which offices are open.
func open(h schemas.HolidayTable, d attestation.Date, december, step int) (attestation.Date, error) {
	for {
		closed, err := closed(h, d, december)
		if err != nil || !closed {
			return d, err
		}
		d = d.AddDays(step)
	}
}

// A roll moves a nominal due date off closed days.
type roll func(h schemas.HolidayTable, e *attestation.Engagement, nominal attestation.Date) (attestation.Date, error)

// rolls are the calendars that a row of the register may name.
var rolls = map[string]roll{
	"none": func(_ schemas.HolidayTable, _ *attestation.Engagement, d attestation.Date) (attestation.Date, error) {
		return d, nil
	},
	"bank":       rollPayDay,
	"government": rollNotice,
}

// rollPayDay moves a pay day on a bank holiday as the contract says. No statute does (Labor Standards Act, Article 24(2), 89(ii)).
func rollPayDay(h schemas.HolidayTable, e *attestation.Engagement, d attestation.Date) (attestation.Date, error) {
	switch e.HolidayRule {
	case attestation.HolidayPrev:
		return open(h, d, bankYearEnd, -1)
	case attestation.HolidayNext:
		return open(h, d, bankYearEnd, +1)
	}
	return d, nil
}

// rollNotice moves the last day of a period for a filing to the next open day (Act on Holidays of Administrative Organs, Article 2).
func rollNotice(h schemas.HolidayTable, _ *attestation.Engagement, d attestation.Date) (attestation.Date, error) {
	return open(h, d, governmentYearEnd, +1)
}

// An occasion is what gives rise to a duty once: a period, or an event.
type occasion struct {
	period attestation.Period // of the duty, and of its slots
	event  Event              // of an event duty
}

// A deadline returns the nominal due date, before any roll.
type deadline func(e *attestation.Engagement, o occasion) attestation.Date

// deadlines are the rules that a row of the register may name.
var deadlines = map[string]deadline{
	"pay-day":            payDay,
	"quarter-end":        quarterEnd,
	"fiscal-year-may-31": may31,
	"event+14d":          fourteenDays,
}

// payDay is the contract's pay day for the period, or the last day of a shorter month.
func payDay(e *attestation.Engagement, o occasion) attestation.Date {
	return dayOfMonth(attestation.MonthOf(o.period.First().AddMonths(e.PayMonthOffset)), e.PayDay)
}

func dayOfMonth(month attestation.Period, day int) attestation.Date {
	last := month.Last()
	return attestation.Date{Year: last.Year, Month: last.Month, Day: min(day, last.Day)}
}

// quarterEnd is the last day of the calendar quarter. In the quarter in which the contract starts it is the last day of three months
// from the start where that is later: an interview is due at least once in three months (operating guideline, chapter 4, on
// 2019 Ministry of Justice Ordinance 5, Article 3(1)(i)).
func quarterEnd(e *attestation.Engagement, o occasion) attestation.Date {
	last := o.period.Last()
	if first := lastDayOf(e.Start, 3); o.period == attestation.QuarterOf(e.Start) && first.After(last) {
		return first
	}
	return last
}

// lastDayOf returns the last day of n months whose first day counts: the day before the corresponding day, or the end of a month
// that has none (Civil Code, Articles 140 proviso and 143(2)).
func lastDayOf(first attestation.Date, n int) attestation.Date {
	corresponding := first.AddMonths(n)
	if corresponding.Day != first.Day {
		return corresponding
	}
	return corresponding.AddDays(-1)
}

// may31 ends the yearly window for the report of a fiscal year, April 1 to May 31 after it (Immigration Control and Refugee
// Recognition Act Enforcement Ordinance, Article 19-18).
func may31(_ *attestation.Engagement, o occasion) attestation.Date {
	return attestation.NewDate(o.period.Last().Year, time.May, 31)
}

// fourteenDays counts 14 days from the event, the first day not counted (Civil Code, Articles 140 and 141).
func fourteenDays(_ *attestation.Engagement, o occasion) attestation.Date {
	return o.event.Date.AddDays(14)
}
