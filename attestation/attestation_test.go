package attestation

import (
	"fmt"
	"slices"
	"testing"
)

func TestPeriods(t *testing.T) {
	for _, c := range []struct{ in, first, last, next string }{
		{"2026-05", "2026-05-01", "2026-05-31", "2026-06"},
		{"2026-12", "2026-12-01", "2026-12-31", "2027-01"},
		{"2026-Q1", "2026-01-01", "2026-03-31", "2026-Q2"},
		{"2026-Q4", "2026-10-01", "2026-12-31", "2027-Q1"},
		{"FY2025", "2025-04-01", "2026-03-31", "FY2026"},
		{"events-FY2025", "2025-04-01", "2026-03-31", "events-FY2026"},
	} {
		p, err := ParsePeriod(c.in)
		if err != nil {
			t.Errorf("ParsePeriod(%q): %v", c.in, err)
			continue
		}
		if p.First().String() != c.first || p.Last().String() != c.last || string(p.Next()) != c.next {
			t.Errorf("%s: got %v to %v then %v, want %s to %s then %s", p, p.First(), p.Last(), p.Next(), c.first, c.last, c.next)
		}
	}
	for _, bad := range []string{"", "2026", "2026-5", "2026-13", "2026-00", "2026-Q5", "2026-Q0", "2026-Q11", "FY26", "FY2026x", "events-2026", "2026-05-01", "+026-05", "2026-+5", " 2026-05"} {
		if p, err := ParsePeriod(bad); err == nil {
			t.Errorf("ParsePeriod(%q) = %q, want an error", bad, p)
		}
	}
}

func TestFiscalYearTurnsOnTheFirstOfApril(t *testing.T) {
	for in, want := range map[string]Period{"2026-03-31": "FY2025", "2026-04-01": "FY2026", "2026-12-31": "FY2026", "2027-01-01": "FY2026"} {
		d, err := ParseDate(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := FiscalYearOf(d); got != want {
			t.Errorf("FiscalYearOf(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestAddMonths(t *testing.T) {
	for _, c := range []struct {
		from string
		n    int
		want string
	}{{"2025-11-30", 3, "2026-02-28"}, {"2027-11-30", 3, "2028-02-29"}, {"2025-10-31", 3, "2026-01-31"}, {"2025-12-31", -1, "2025-11-30"}, {"2026-01-15", -1, "2025-12-15"}} {
		d, _ := ParseDate(c.from)
		if got := d.AddMonths(c.n).String(); got != c.want {
			t.Errorf("%s plus %d months = %s, want %s", c.from, c.n, got, c.want)
		}
	}
}

func TestDayEndsAtFifteenUTC(t *testing.T) {
	d, _ := ParseDate("2026-07-05")
	if got, want := d.End().Format("2006-01-02T15:04:05Z07:00"), "2026-07-05T15:00:00Z"; got != want {
		t.Errorf("End = %s, want %s", got, want)
	}
	if got := DateOf(d.End()); got != d.AddDays(1) {
		t.Errorf("DateOf(End) = %v, want the next day", got)
	}
}

func TestPlanOfTwoYears(t *testing.T) {
	start, _ := ParseDate("2025-11-01")
	end, _ := ParseDate("2027-10-31")
	plan := Plan(start, end, 31)
	want := map[Stream]int{WageEmployer: 24, WageBank: 24, InterviewWorker: 9, InterviewSuperior: 9, ReportEmployer: 3, ReportAuthority: 3,
		NoticeEmployer: 3, NoticeAuthority: 3, SeparationEmployer: 3, SeparationOffice: 3, SessionSupport: 3, RemedyEmployer: 3}
	for s, n := range want {
		if len(plan[s]) != n {
			t.Errorf("%s: %d periods, want %d", s, len(plan[s]), n)
		}
	}
	if len(plan) != len(want) {
		t.Errorf("%d streams, want %d", len(plan), len(want))
	}
}

func TestPlanFollowsTheClosingDay(t *testing.T) {
	start, _ := ParseDate("2025-11-25")
	end, _ := ParseDate("2026-01-31")
	for closingDay, want := range map[int][]Period{31: {"2025-11", "2025-12", "2026-01"}, 20: {"2025-12", "2026-01", "2026-02"}, 25: {"2025-11", "2025-12", "2026-01", "2026-02"}} {
		if got := Plan(start, end, closingDay)[WageBank]; !slices.Equal(got, want) {
			t.Errorf("closing day %d: %v, want %v", closingDay, got, want)
		}
	}
}

func TestPeriodsEndWhereNoneCanBeWritten(t *testing.T) {
	for _, c := range []struct{ first, last, want string }{
		{"9999-11-30", "9999-12-31", "[9999-11 9999-12]"},
		{"0001-01-01", "0001-02-01", "[]"},
	} {
		first, _ := ParseDate(c.first)
		last, _ := ParseDate(c.last)
		if got := fmt.Sprint(PeriodsBetween(Month, first, last)); got != c.want {
			t.Errorf("%s to %s: got %s, want %s", c.first, c.last, got, c.want)
		}
	}
}
