package attestation

import (
	"fmt"
	"strings"
	"time"
)

// Period names the time that one slot of a stream covers:
//
//	2026-05          a month
//	2026-Q2          a calendar quarter
//	FY2026           a fiscal year, April 2026 to March 2027
//	events-FY2026    all events whose date lies in that fiscal year
type Period string

// PeriodKind is the shape of a period.
type PeriodKind int

const (
	Month PeriodKind = iota + 1
	Quarter
	FiscalYear
	Events
)

// ParsePeriod returns the period written s, and refuses any other spelling of it.
func ParsePeriod(s string) (Period, error) {
	if p := Period(s); p.Kind() != 0 {
		return p, nil
	}
	return "", fmt.Errorf("%q is not a period: write 2026-05, 2026-Q2, FY2026 or events-FY2026", s)
}

// split returns the parts of a period, all zero for text that is none.
func (p Period) split() (kind PeriodKind, year, n int) {
	s := string(p)
	switch {
	case strings.HasPrefix(s, "events-FY"):
		kind, year = Events, digits(s[len("events-FY"):], 4)
	case strings.HasPrefix(s, "FY"):
		kind, year = FiscalYear, digits(s[len("FY"):], 4)
	case len(s) == len("2026-Q2") && s[4:6] == "-Q":
		kind, year, n = Quarter, digits(s[:4], 4), digits(s[6:], 1)
		if n > 4 {
			n = -1
		}
	case len(s) == len("2026-05") && s[4] == '-':
		kind, year, n = Month, digits(s[:4], 4), digits(s[5:], 2)
		if n > 12 {
			n = -1
		}
	}
	if year < 1000 || n < 0 || n == 0 && (kind == Month || kind == Quarter) {
		return 0, 0, 0
	}
	return kind, year, n
}

// digits returns the number written in exactly n ASCII digits, or -1.
func digits(s string, n int) int {
	if len(s) != n {
		return -1
	}
	v := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return -1
		}
		v = 10*v + int(c-'0')
	}
	return v
}

func build(k PeriodKind, year, n int) Period {
	switch k {
	case Events:
		return Period(fmt.Sprintf("events-FY%04d", year))
	case FiscalYear:
		return Period(fmt.Sprintf("FY%04d", year))
	case Quarter:
		return Period(fmt.Sprintf("%04d-Q%d", year, n))
	}
	return Period(fmt.Sprintf("%04d-%02d", year, n))
}

// MonthOf, QuarterOf, FiscalYearOf and EventsOf return the period of each kind in which d falls.
func MonthOf(d Date) Period   { return build(Month, d.Year, int(d.Month)) }
func QuarterOf(d Date) Period { return build(Quarter, d.Year, (int(d.Month)+2)/3) }
func FiscalYearOf(d Date) Period {
	return build(FiscalYear, d.AddMonths(-3).Year, 0)
}
func EventsOf(d Date) Period { return build(Events, d.AddMonths(-3).Year, 0) }

// PeriodOf returns the period of kind k in which d falls.
func PeriodOf(k PeriodKind, d Date) Period {
	switch k {
	case Quarter:
		return QuarterOf(d)
	case FiscalYear:
		return FiscalYearOf(d)
	case Events:
		return EventsOf(d)
	}
	return MonthOf(d)
}

// Kind returns the shape of p, or 0 when p is not a period.
func (p Period) Kind() PeriodKind { k, _, _ := p.split(); return k }

// First returns the first day of p.
func (p Period) First() Date {
	k, y, n := p.split()
	switch k {
	case Month:
		return NewDate(y, time.Month(n), 1)
	case Quarter:
		return NewDate(y, time.Month(3*n-2), 1)
	case FiscalYear, Events:
		return NewDate(y, time.April, 1)
	}
	return Date{}
}

// Last returns the last day of p.
func (p Period) Last() Date {
	k, y, n := p.split()
	switch k {
	case Month:
		return NewDate(y, time.Month(n+1), 0)
	case Quarter:
		return NewDate(y, time.Month(3*n+1), 0)
	case FiscalYear, Events:
		return NewDate(y+1, time.March, 31)
	}
	return Date{}
}

// Next returns the period of the same kind that follows p.
func (p Period) Next() Period { return PeriodOf(p.Kind(), p.Last().AddDays(1)) }

// Overlaps reports whether p shares a day with first..last (inclusive).
func (p Period) Overlaps(first, last Date) bool {
	return !p.First().After(last) && !p.Last().Before(first)
}

// PeriodsBetween returns every period of kind k that shares a day with first..last, in order.
func PeriodsBetween(k PeriodKind, first, last Date) []Period {
	var out []Period
	for p := PeriodOf(k, first); p.Kind() == k && !p.First().After(last); p = p.Next() { // no period can be written beyond the year 9999
		out = append(out, p)
	}
	return out
}
