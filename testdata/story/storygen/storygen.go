// Package storygen writes the files of package story from the facts of the story, in the formats in which companies export them. Nothing of
// it is used to build or to judge: the files are checked in, and a test compares them with what Files returns.
package storygen

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/text/encoding/japanese"

	"akashi/attestation"
)

// Files returns every file of the story by its path.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, write := range []func(map[string][]byte) error{
		writeParties, writeContracts, writePayroll, writeBank, writeInterviews, writeNotices, writeEnrolments, writeStatements, writeTimeline, writeExpected, writeEarlier,
	} {
		if err := write(files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// A wage is one month's wage of one engagement.
type wage struct {
	period   string
	due      string
	paid     string // by the employer's record; empty: no record at all
	recorded string // day of the employer's record, when it is not the day of payment
	credited int64  // by the bank, on the day of payment; 0: nothing
	zero     bool
}

const fullNet = 212_000

func paid(period, due string) wage {
	return wage{period: period, due: due, paid: due, credited: fullNet}
}

func late(period, due, day string) wage {
	return wage{period: period, due: due, paid: day, credited: fullNet}
}

func under(period, due string) wage {
	return wage{period: period, due: due, paid: due, credited: 170_000}
}

// wages are the facts of the wages: a missing month has no wage duty.
var wages = map[string][]wage{
	"A": {
		paid("2025-11", "2025-11-25"), paid("2025-12", "2025-12-25"), paid("2026-01", "2026-01-23"),
		{period: "2026-02", due: "2026-02-25", paid: "2026-02-25", zero: true},
		paid("2026-03", "2026-03-25"), paid("2026-04", "2026-04-24"), paid("2026-05", "2026-05-25"), paid("2026-06", "2026-06-25"),
		paid("2026-07", "2026-07-24"), paid("2026-08", "2026-08-25"), paid("2026-09", "2026-09-25"), paid("2026-10", "2026-10-23"),
	},
	"B": {
		paid("2025-11", "2025-11-25"), paid("2025-12", "2025-12-25"), paid("2026-01", "2026-01-26"), paid("2026-02", "2026-02-25"),
		paid("2026-03", "2026-03-25"), paid("2026-04", "2026-04-27"), late("2026-05", "2026-05-25", "2026-05-29"),
		{period: "2026-06", due: "2026-06-25", paid: "2026-06-25", recorded: "2026-09-18"}, // the record is false: the bank has nothing
		{period: "2026-07", due: "2026-07-27"},
	},
	"C": {
		paid("2025-11", "2025-12-10"), paid("2025-12", "2026-01-13"), paid("2026-01", "2026-02-10"), late("2026-02", "2026-03-10", "2026-03-16"),
		paid("2026-03", "2026-04-10"), under("2026-04", "2026-05-11"), under("2026-05", "2026-06-10"), under("2026-06", "2026-07-10"),
		late("2026-07", "2026-08-10", "2026-08-21"), paid("2026-08", "2026-09-10"), paid("2026-09", "2026-10-13"),
	},
}

var engagements = []string{"A", "B", "C"}

// interviews are the days on which worker and supervisor were interviewed, by quarter.
var interviews = []struct {
	quarter string
	days    map[string]string
}{
	{"2025-Q4", map[string]string{"A": "2025-12-10", "B": "2025-12-12", "C": "2025-12-15"}},
	{"2026-Q1", map[string]string{"A": "2026-03-05", "B": "2026-03-11", "C": "2026-03-12"}},
	{"2026-Q2", map[string]string{"A": "2026-06-03", "C": "2026-06-10"}},
	{"2026-Q3", map[string]string{"A": "2026-09-02", "C": "2026-09-03"}},
}

func day(s string) attestation.Date {
	d, err := attestation.ParseDate(s)
	if err != nil {
		panic(err) // a fact of this package
	}
	return d
}

// at returns the instant of a day and a time of day in Japan.
func at(d attestation.Date, hour, minute int) time.Time {
	return d.Start().Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

// holidays are the national holidays on which banks are closed besides Saturdays, Sundays and December 31 to January 3.
var holidays = map[string]bool{
	"2025-11-03": true, "2025-11-23": true, "2025-11-24": true,
	"2026-01-01": true, "2026-01-12": true, "2026-02-11": true, "2026-02-23": true, "2026-03-20": true, "2026-04-29": true, "2026-05-03": true,
	"2026-05-04": true, "2026-05-05": true, "2026-05-06": true, "2026-07-20": true, "2026-08-11": true, "2026-09-21": true, "2026-09-22": true,
	"2026-09-23": true, "2026-10-12": true, "2026-11-03": true, "2026-11-23": true,
}

// nextBankDay returns the first day after d on which banks are open.
func nextBankDay(d attestation.Date) attestation.Date {
	for {
		d = d.AddDays(1)
		yearEnd := d.Month == time.December && d.Day == 31 || d.Month == time.January && d.Day <= 3
		weekend := d.Weekday() == time.Saturday || d.Weekday() == time.Sunday
		if !yearEnd && !weekend && !holidays[d.String()] {
			return d
		}
	}
}

// table returns rows as CSV with line ends CR LF, as spreadsheets write them.
func table(rows ...[]string) []byte {
	var buf bytes.Buffer
	w := csv.NewWriter(&buf)
	w.UseCRLF = true
	_ = w.WriteAll(rows) // a buffer takes everything
	return buf.Bytes()
}

func shiftJIS(text []byte) ([]byte, error) { return japanese.ShiftJIS.NewEncoder().Bytes(text) }

func withBOM(text []byte) []byte { return append([]byte("\ufeff"), text...) }

func writeJSON(files map[string][]byte, path string, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	files[path] = buf.Bytes()
	return nil
}

func yen(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func slashes(d attestation.Date) string { return fmt.Sprintf("%d/%02d/%02d", d.Year, d.Month, d.Day) }

func reiwa(d attestation.Date) string {
	return fmt.Sprintf("令和%d年%d月%d日", d.Year-2018, d.Month, d.Day)
}
