package main

import (
	"context"
	"errors"
	"time"

	"akashi/attestation"
	"akashi/compliance"
)

// benchDuties judges a year of one contract: every wage paid and received, every interview held; the wages of the last
// two months and the year's report are missing.
func benchDuties(ctx context.Context, b *benchRun) error {
	ev, asOf := benchEvidence()
	found := 0
	times, err := b.perOp(ctx, func() error {
		a, err := compliance.Assess(ev, asOf)
		if err != nil {
			return err
		}
		if found = len(a.Findings); a.Counts[compliance.Absent.String()] != benchUnpaid+1 {
			return errors.New("the assessment is not the one expected")
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.add("compliance.duties", float64(found)/times[0].Seconds())
	return nil
}

// benchUnpaid is the number of months at the end for which nothing was recorded.
const benchUnpaid = 2

func benchEvidence() (compliance.Evidence, time.Time) {
	start, end := attestation.NewDate(2025, time.November, 1), attestation.NewDate(2026, time.October, 31)
	logged, asOf := start.AddDays(-2).Start(), end.AddDays(20).Start()
	ev := compliance.Evidence{
		Accepted: true, IssuerID: "8990000000001", From: start, To: end, Audited: true, AbsentAsOf: asOf,
		Terms: &attestation.Engagement{
			Employer: attestation.Party{ID: "8990000000001"}, Support: &attestation.Party{ID: "19登-999999"}, Ruleset: compliance.Ruleset,
			Class: attestation.ClassI, SupportMode: attestation.SupportFull, Start: start, End: end,
			ClosingDay: 31, PayDay: 25, HolidayRule: attestation.HolidayPrev, PayMethod: attestation.PayTransfer,
		},
		PlanSince: map[attestation.Stream]map[attestation.Period]time.Time{},
	}
	for stream, periods := range ev.Terms.Plan() {
		ev.PlanSince[stream] = map[attestation.Period]time.Time{}
		for i, p := range periods {
			ev.PlanSince[stream][p] = logged
			l := compliance.Ladder{Stream: stream, Period: p, Opened: true, Closed: true}
			if p.Kind() != attestation.Month || i < len(periods)-benchUnpaid {
				l.Rungs = benchRungs(ev.Terms, stream, p)
			}
			ev.Ladders = append(ev.Ladders, l)
		}
	}
	return ev, asOf
}

// benchRungs returns what is recorded of wages and interviews: one record a period.
func benchRungs(e *attestation.Engagement, s attestation.Stream, p attestation.Period) []compliance.Entry {
	day, net := p.Last().AddDays(-10), int64(212_000)
	role := s.Filler(true)
	attester := map[attestation.Role]string{
		attestation.AcceptingOrganization: e.Employer.ID, attestation.SupportOrganization: e.Support.ID, attestation.Bank: "5990000000004",
	}[role]
	entry := compliance.Entry{
		ID: string(s) + " " + string(p), Validity: compliance.Valid, Type: s.Type(), Attester: attester, Role: role, Presented: true,
		ExistedBy: day.AddDays(1).Start(), NotBefore: day.Start(),
	}
	switch s {
	case attestation.WageEmployer:
		entry.Claims = &attestation.WagePayment{
			Period: p, From: p.First(), To: p.Last(), Kind: attestation.WageRegular, PaidDate: day, Method: attestation.PayTransfer, DeclaredInFull: true, Net: &net,
		}
	case attestation.WageBank:
		entry.Claims = &attestation.WageReceipt{Period: p, ValueDate: day, Source: attestation.SourceAccountStatement, Amount: &net}
	case attestation.InterviewWorker:
		entry.Claims = &attestation.SupportInterview{Interviewee: attestation.IntervieweeWorker, Date: day, Mode: attestation.ModeInPerson}
	case attestation.InterviewSuperior:
		entry.Claims = &attestation.SupportInterview{Interviewee: attestation.IntervieweeSupervisor, Date: day, Mode: attestation.ModeInPerson}
	default:
		return nil
	}
	return []compliance.Entry{entry}
}
