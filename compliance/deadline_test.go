package compliance

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/schemas"
)

func reg(t testing.TB) *register {
	t.Helper()
	r, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFourteenDays(t *testing.T) {
	for _, c := range [][3]string{ // event, nominal, rolled
		{"2026-04-07", "2026-04-21", "2026-04-21"},
		{"2026-04-20", "2026-05-04", "2026-05-07"},
		{"2026-04-21", "2026-05-05", "2026-05-07"},
		{"2026-05-01", "2026-05-15", "2026-05-15"},
		{"2026-09-08", "2026-09-22", "2026-09-24"},
		{"2026-12-15", "2026-12-29", "2027-01-04"},
		{"2026-12-18", "2027-01-01", "2027-01-04"},
		{"2027-02-09", "2027-02-23", "2027-02-24"},
		{"2025-04-01", "2025-04-15", "2025-04-15"}, // the last quarterly report
	} {
		nominal := fourteenDays(nil, occasion{event: Event{Date: day(c[0])}})
		due, err := rollNotice(reg(t).holidays, nil, nominal)
		if err != nil || nominal.String() != c[1] || due.String() != c[2] {
			t.Errorf("event %s: got %s, rolled %s, %v; want %s, rolled %s", c[0], nominal, due, err, c[1], c[2])
		}
	}
}

func TestReportIsDueOnTheLenientReading(t *testing.T) {
	for fy, want := range map[attestation.Period][2]string{"FY2025": {"2026-05-31", "2026-06-01"}, "FY2026": {"2027-05-31", "2027-05-31"}} {
		nominal := may31(nil, occasion{period: fy})
		due, err := rollNotice(reg(t).holidays, nil, nominal)
		if err != nil || nominal.String() != want[0] || due.String() != want[1] {
			t.Errorf("%s: got %s, rolled %s, %v; want %s, rolled %s", fy, nominal, due, err, want[0], want[1])
		}
	}
}

func TestPayDay(t *testing.T) {
	for _, c := range []struct {
		period      attestation.Period
		day, offset int
		rule        string
		nominal     string
		due         string
	}{
		{"2025-12", 31, 0, attestation.HolidayPrev, "2025-12-31", "2025-12-30"},
		{"2025-12", 31, 0, attestation.HolidayNext, "2025-12-31", "2026-01-05"},
		{"2025-12", 31, 0, attestation.HolidayNone, "2025-12-31", "2025-12-31"},
		{"2025-12", 29, 0, attestation.HolidayNext, "2025-12-29", "2025-12-29"}, // banks are open
		{"2026-02", 31, 0, attestation.HolidayPrev, "2026-02-28", "2026-02-27"},
		{"2026-01", 25, 0, attestation.HolidayPrev, "2026-01-25", "2026-01-23"},
		{"2026-09", 10, 1, attestation.HolidayNext, "2026-10-10", "2026-10-13"},
		{"2026-12", 5, 2, attestation.HolidayNext, "2027-02-05", "2027-02-05"},
		{"2026-04", 5, 1, attestation.HolidayPrev, "2026-05-05", "2026-05-01"}, // Golden Week
		{"2026-04", 5, 1, attestation.HolidayNext, "2026-05-05", "2026-05-07"},
	} {
		e := &attestation.Engagement{PayDay: c.day, PayMonthOffset: c.offset, HolidayRule: c.rule}
		nominal := payDay(e, occasion{period: c.period})
		due, err := rollPayDay(reg(t).holidays, e, nominal)
		if err != nil || nominal.String() != c.nominal || due.String() != c.due {
			t.Errorf("%s, day %d, %s: got %s, rolled %s, %v; want %s, rolled %s", c.period, c.day, c.rule, nominal, due, err, c.nominal, c.due)
		}
	}
}

func TestFirstInterview(t *testing.T) {
	for start, want := range map[string]string{
		"2025-11-01": "2026-01-31", "2025-10-01": "2025-12-31", "2025-12-01": "2026-02-28", "2025-11-30": "2026-02-28", "2026-01-31": "2026-04-30", "2025-12-31": "2026-03-30",
	} {
		e := &attestation.Engagement{Start: day(start)}
		if got := quarterEnd(e, occasion{period: attestation.QuarterOf(e.Start)}); got != day(want) {
			t.Errorf("start %s: got %s, want %s", start, got, want)
		}
		next := attestation.QuarterOf(e.Start).Next()
		if got := quarterEnd(e, occasion{period: next}); got != next.Last() {
			t.Errorf("start %s, quarter after: got %s", start, got)
		}
	}
}

func TestNoDeadlineBeyondTheHolidayTable(t *testing.T) {
	for _, d := range []string{"2024-12-31", "2028-01-04"} {
		if _, err := rollNotice(reg(t).holidays, nil, day(d)); !errors.Is(err, schemas.ErrOutsideCalendar) {
			t.Errorf("%s: got %v, want %v", d, err, schemas.ErrOutsideCalendar)
		}
	}
	f := newFile(25, 0, attestation.HolidayPrev)
	duties, err := Calendar(f.terms, nil, attestation.Date{}, attestation.Date{})
	if err != nil {
		t.Fatal(err)
	}
	last := duties[len(duties)-1]
	if last.Period != "FY2027" || !last.Due.IsZero() || last.Note == "" || last.NominalDue != day("2028-05-31") {
		t.Errorf("the report due beyond the table: %+v", last)
	}
	ev := f.as(at("2027-11-20"))
	ev.To = attestation.Date{}
	if d, _ := findingOf(assess(t, ev, at("2027-11-20")), "P-01 FY2027"); d.Finding != Unknown || !has(d, CodeNoCalendar) {
		t.Errorf("got %s %v, want unknown for want of a calendar", d.Finding, d.Checks)
	}
}

func TestRegisterRefusesNamesWithoutFunction(t *testing.T) {
	if _, err := bind(schemas.Obligations()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		spoil func(*schemas.Obligation)
	}{
		{"deadline rule", func(o *schemas.Obligation) { o.Deadline = "sometime" }},
		{"roll", func(o *schemas.Obligation) { o.Roll = "lunar" }},
		{"applicability", func(o *schemas.Obligation) { o.Applicability = "perhaps" }},
		{"recurrence", func(o *schemas.Obligation) { o.Recurrence = "week" }},
		{"recurrence", func(o *schemas.Obligation) { o.Recurrence = "event" }},
		{"obligation to judge", func(o *schemas.Obligation) { o.ID = "Z-99" }},
		{"streams", func(o *schemas.Obligation) { o.Streams = []string{"wage-bank", "wage-employer"} }},
		{"role", func(o *schemas.Obligation) { o.DutyHolder = "landlord" }},
		{"condition", func(o *schemas.Obligation) {
			o.AlsoAnswerable = []schemas.AlsoAnswerable{{When: "always", Role: "worker"}}
		}},
		{"date", func(o *schemas.Obligation) { o.Effective.From = "2019" }},
		{"grace", func(o *schemas.Obligation) { o.GraceDays = -1 }},
	} {
		rows := slices.Clone(schemas.Obligations())
		i := slices.IndexFunc(rows, func(o schemas.Obligation) bool { return o.ID == "W-05" })
		c.spoil(&rows[i])
		if _, err := bind(rows); err == nil || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: got %v", c.what, err)
		}
	}
}

// A row is law by the date of the event or the last day of the period, whatever day it is today.
func TestRowIsPickedByTheDateOfTheEvent(t *testing.T) {
	f := newFile(25, 0, attestation.HolidayPrev)
	f.terms.Start = day("2024-11-01")
	end := func(date string) []Event {
		return []Event{{Kind: EventEnd, Date: day(date), ReasonClass: attestation.ReasonEmployer}}
	}
	for date, want := range map[string]bool{"2025-03-31": false, "2025-04-01": true} {
		duties, err := Calendar(f.terms, end(date), day("2025-01-01"), day("2026-12-31"))
		if err != nil {
			t.Fatal(err)
		}
		got := slices.ContainsFunc(duties, func(d Duty) bool { return d.Obligation == "N-06" })
		if got != want {
			t.Errorf("N-06 for an end on %s: got %t, want %t", date, got, want)
		}
	}
	rows := slices.Clone(schemas.Obligations())
	i := slices.IndexFunc(rows, func(o schemas.Obligation) bool { return o.ID == "N-02" })
	rows[i].Effective.To = "2026-06-30"
	amended := rows[i]
	amended.Effective, amended.GraceDays = schemas.Effective{From: "2026-07-01"}, 20
	rules, err := bind(append(rows, amended))
	if err != nil {
		t.Fatal(err)
	}
	r := &register{rules, schemas.Holidays()}
	for date, grace := range map[string]int{"2026-06-30": 10, "2026-07-01": 20} {
		duties, err := r.calendar(&f.terms, end(date), attestation.Date{}, attestation.Date{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range duties {
			if d.Obligation == "N-02" && !d.GraceUntil.Equal(d.Due.AddDays(grace).End()) {
				t.Errorf("end on %s: grace until %v, want %d days", date, d.GraceUntil, grace)
			}
		}
	}
}

func TestCalendar(t *testing.T) {
	f := newFile(25, 0, attestation.HolidayPrev)
	count := func(events []Event, spoil func(*attestation.Engagement)) map[string]int {
		e := f.terms
		spoil(&e)
		duties, err := Calendar(e, events, day("2025-11-01"), day("2026-10-31"))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]int{}
		for _, d := range duties {
			out[d.Obligation]++
		}
		return out
	}
	none := func(*attestation.Engagement) {}
	end := Event{Kind: EventEnd, Date: day("2026-07-10"), ReasonClass: attestation.ReasonEmployer}
	alone, until, unknown := end, end, end
	alone.EmployerOnly, until.Until, unknown.ReasonClass = true, day("2026-08-31"), ""
	for _, c := range []struct {
		name   string
		events []Event
		spoil  func(*attestation.Engagement)
		want   map[string]int
	}{
		{"a year", nil, none, map[string]int{"W-05": 12, "W-03": 12, "S-10/worker": 5, "S-10/supervisor": 5, "P-01": 2}},
		{"class ii has no support", nil, func(e *attestation.Engagement) { e.Class = attestation.ClassII }, map[string]int{"W-05": 12, "W-03": 12, "P-01": 2}},
		{"ended", []Event{end}, none, map[string]int{"W-05": 9, "W-03": 9, "S-10/worker": 3, "S-10/supervisor": 3, "N-02": 1, "N-06": 1, "P-01": 2, "H-01": 1}},
		{"ended by the employer's word alone", []Event{alone}, none, map[string]int{"W-05": 12, "W-03": 12, "S-10/worker": 5, "S-10/supervisor": 5, "N-02": 1, "N-06": 1, "P-01": 2, "H-01": 1}},
		{"ended later by the worker's word", []Event{until}, none, map[string]int{"W-05": 10, "W-03": 10, "S-10/worker": 3, "S-10/supervisor": 3, "N-02": 1, "N-06": 1, "P-01": 2, "H-01": 1}},
		{"cause not shown", []Event{unknown}, none, map[string]int{"W-05": 9, "W-03": 9, "S-10/worker": 3, "S-10/supervisor": 3, "N-02": 1, "N-06": 1, "P-01": 2, "H-01": 1}},
		{"pay periods close on the 15th", nil, func(e *attestation.Engagement) { e.Start, e.ClosingDay = day("2025-11-20"), 15 },
			map[string]int{"W-05": 11, "W-03": 11, "S-10/worker": 5, "S-10/supervisor": 5, "P-01": 2}},
		{"one day in March is a fiscal year", nil, func(e *attestation.Engagement) { e.Start = day("2026-03-31") },
			map[string]int{"W-05": 8, "W-03": 8, "S-10/worker": 4, "S-10/supervisor": 4, "P-01": 2}},
	} {
		t.Run(c.name, func(t *testing.T) { same(t, "duties", count(c.events, c.spoil), c.want) })
	}
}

func TestCalendarRefusesUnusableTerms(t *testing.T) {
	for _, spoil := range []func(*attestation.Engagement){
		func(e *attestation.Engagement) { e.Ruleset = "ssw-2" },
		func(e *attestation.Engagement) { e.End = day("2025-10-31") },
		func(e *attestation.Engagement) { e.End = attestation.Date{Year: 9999, Month: 1, Day: 1} },
		func(e *attestation.Engagement) { e.Start.Month = 13 },
		func(e *attestation.Engagement) { e.PayDay = 0 },
		func(e *attestation.Engagement) { e.ClosingDay = 32 },
		func(e *attestation.Engagement) { e.PayMonthOffset = 3 },
		func(e *attestation.Engagement) { e.HolidayRule = "" },
		func(e *attestation.Engagement) { e.SupportMode = "some" },
		func(e *attestation.Engagement) { e.Support = nil },
	} {
		e := newFile(25, 0, attestation.HolidayPrev).terms
		spoil(&e)
		if _, err := Calendar(e, nil, attestation.Date{}, attestation.Date{}); !errors.Is(err, ErrTerms) {
			t.Errorf("got %v, want %v", err, ErrTerms)
		}
		if _, err := Assess(Evidence{Terms: &e}, time.Now()); !errors.Is(err, ErrTerms) {
			t.Errorf("Assess: got %v, want %v", err, ErrTerms)
		}
	}
	e := newFile(25, 0, attestation.HolidayPrev).terms
	if _, err := Calendar(e, []Event{{Kind: "birthday", Date: day("2026-01-01")}}, attestation.Date{}, attestation.Date{}); err == nil {
		t.Error("an unknown kind of event passes")
	}
}
