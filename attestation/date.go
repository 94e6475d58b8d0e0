package attestation

import (
	"fmt"
	"time"
)

// JST is Japan standard time, which has had no daylight saving since 1951.
var JST = time.FixedZone("JST", 9*60*60)

// Date is a civil day in Japan. The zero Date is "no day".
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// NewDate returns the date, normalised as by [time.Date].
func NewDate(year int, month time.Month, day int) Date {
	return dateOfUTC(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// ParseDate reads YYYY-MM-DD (ISO 8601) and refuses days that do not exist.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is not a date: write YYYY-MM-DD", s)
	}
	return dateOfUTC(t), nil
}

// DateOf returns the day in Japan on which t falls.
func DateOf(t time.Time) Date {
	t = t.In(JST)
	return Date{t.Year(), t.Month(), t.Day()}
}

func dateOfUTC(t time.Time) Date { return Date{t.Year(), t.Month(), t.Day()} }

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// IsZero reports whether d is no day.
func (d Date) IsZero() bool { return d == Date{} }

// String returns YYYY-MM-DD, or "" for the zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

// MarshalText writes YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads YYYY-MM-DD; the empty text is the zero Date.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Date{}
		return nil
	}
	v, err := ParseDate(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// Start returns 00:00 Japan time of the day.
func (d Date) Start() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, JST).UTC() }

// End returns 24:00 Japan time of the day, the first instant that no longer belongs to it.
func (d Date) End() time.Time { return d.AddDays(1).Start() }

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date { return NewDate(d.Year, d.Month, d.Day+n) }

// AddMonths returns the corresponding day n months later, or the last day of that month where it has no such day (Civil Code,
// Article 143(2)).
func (d Date) AddMonths(n int) Date {
	last := NewDate(d.Year, d.Month+time.Month(n)+1, 0)
	return Date{last.Year, last.Month, min(d.Day, last.Day)}
}

// Compare returns -1, 0 or +1 as d is before, the same as, or after e.
func (d Date) Compare(e Date) int { return d.utc().Compare(e.utc()) }

// Before reports whether d is an earlier day than e.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// After reports whether d is a later day than e.
func (d Date) After(e Date) bool { return d.Compare(e) > 0 }

// DaysSince returns the number of days from e to d, negative when d is earlier.
func (d Date) DaysSince(e Date) int { return int(d.utc().Sub(e.utc()) / (24 * time.Hour)) }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }
