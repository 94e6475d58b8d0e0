package compliance_test

import (
	"fmt"

	"akashi/attestation"
	"akashi/compliance"
)

func ExampleCalendar() {
	date := func(s string) attestation.Date {
		d, err := attestation.ParseDate(s)
		if err != nil {
			panic(err)
		}
		return d
	}
	e := attestation.Engagement{Ruleset: compliance.Ruleset, Class: attestation.ClassI, SupportMode: attestation.SupportSelf,
		Start: date("2025-11-01"), End: date("2027-10-31"), ClosingDay: 31, PayDay: 25, HolidayRule: attestation.HolidayPrev}
	end := []compliance.Event{{Kind: compliance.EventEnd, Date: date("2026-01-10"), ReasonClass: attestation.ReasonEmployer}}
	duties, err := compliance.Calendar(e, end, date("2026-01-01"), date("2026-01-31"))
	if err != nil {
		panic(err)
	}
	for _, d := range duties {
		fmt.Println(d.Obligation, d.Period, "due", d.Due, "by", d.DutyHolder)
	}
	// Output:
	// W-05 2026-01 due 2026-01-23 by accepting-organization
	// W-03 2026-01 due 2026-01-23 by accepting-organization
	// N-02 2026-01-10 due 2026-01-26 by accepting-organization
	// N-06 2026-01-10 due 2026-01-26 by accepting-organization
	// P-01 FY2025 due 2026-06-01 by accepting-organization
	// H-01 2026-01-10 due 2026-01-26 by worker
}
