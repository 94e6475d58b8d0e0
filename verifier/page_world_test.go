package verifier

import (
	"fmt"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/schemas"
)

// drawn is an assessment as the checks of a file would have left it, to lay out what no single case has: all findings, many gaps.
type drawn struct {
	result *evidence.Result
	facts  *evidence.Case
}

// newDrawn is a case of two parties under full outsourcing, from November 2025 to October 2026, without any finding.
func newDrawn() *drawn {
	date := func(y int, m time.Month, d int) attestation.Date { return attestation.NewDate(y, m, d) }
	name := "NGUYEN VAN AN"
	terms := &attestation.Engagement{
		Employer:    attestation.Party{ID: "8990000000001", Name: map[string]string{"ja": "株式会社見本製造", "en": "Mihon Manufacturing K.K."}},
		Support:     &attestation.Party{ID: "19登-999999", Name: map[string]string{"ja": "一般社団法人見本支援機構", "en": "Mihon Support Association"}},
		SupportMode: attestation.SupportFull, Start: date(2025, 11, 1), End: date(2027, 10, 31), PayDay: 25,
		WorkerIdentity: &attestation.WorkerIdentity{Name: &name},
	}
	asOf := date(2026, 11, 20).Start()
	d := &drawn{
		result: &evidence.Result{Result: compliance.Pass, Kind: evidence.Kind, Assessment: &compliance.Assessment{
			AsOf: asOf, Ruleset: compliance.Ruleset, Gaps: map[string]int{}, Counts: map[string]int{},
			Checks: []compliance.Check{{Code: compliance.CodeAuditorsQuorum, Result: compliance.Pass}, {Code: compliance.CodeHeadFresh, Result: compliance.Pass}},
		}},
		facts: &evidence.Case{
			Evidence: compliance.Evidence{Terms: terms, IssuerID: terms.Employer.ID, AbsentAsOf: asOf},
			Shown:    terms, First: "2025-11", Last: "2026-10", LogSize: 422, Present: 31, Absent: 51,
			Names:       map[string]map[string]string{terms.Employer.ID: terms.Employer.Name, "5990000000004": {"ja": "見本銀行", "en": "Mihon Bank"}},
			Credentials: map[uint64]string{}, Stated: map[string]string{},
			Witnesses: evidence.Signers{Signed: 4, Of: 4, Quorum: 3}, Auditors: evidence.Signers{Signed: 3, Of: 3, Quorum: 2},
		},
	}
	for _, c := range evidence.Codes {
		d.result.Checks = append(d.result.Checks, compliance.Check{Code: c.Code, Result: compliance.Pass})
	}
	for _, s := range []attestation.Stream{attestation.SeparationEmployer, attestation.SeparationOffice} {
		for _, p := range []attestation.Period{"events-FY2025", "events-FY2026"} {
			d.facts.Ladders = append(d.facts.Ladders, compliance.Ladder{Stream: s, Period: p, Opened: true, Closed: true})
		}
	}
	return d
}

// find adds a finding and returns it.
func (d *drawn) find(obligation, period string, due attestation.Date, f compliance.Finding) *compliance.DutyFinding {
	var o schemas.Obligation
	for _, row := range schemas.Obligations() {
		if row.ID == obligation {
			o = row
		}
	}
	a := d.result.Assessment
	finding := compliance.DutyFinding{
		Obligation: obligation, Title: o.Title, LegalBasis: o.LegalBasis["ja"] + " / " + o.LegalBasis["en"], DutyHolder: attestation.Role(o.DutyHolder), Period: period,
		Due: due, NominalDue: due, GraceUntil: due.AddDays(10).End(), Finding: f, AsOf: a.AsOf,
	}
	for _, other := range o.AlsoAnswerable {
		finding.AlsoAnswerable = append(finding.AlsoAnswerable, attestation.Role(other.Role))
	}
	a.Findings = append(a.Findings, finding)
	a.Counts[f.String()]++
	if f.Gap() {
		a.Gaps[o.DutyHolder]++
	}
	return &a.Findings[len(a.Findings)-1]
}

// entry adds an entry of a stream to the last finding.
func (d *drawn) entry(s attestation.Stream, p attestation.Period, e compliance.Entry) {
	e.Index = uint64(100 + len(d.facts.Ladders))
	if e.ExistedBy.IsZero() {
		e.ExistedBy = attestation.NewDate(2026, 6, 1).Start()
	}
	e.NotBefore, e.Role, e.Type = e.ExistedBy.Add(-time.Minute), s.Role(), s.Type()
	d.facts.Ladders = append(d.facts.Ladders, compliance.Ladder{Stream: s, Period: p, Opened: true, Closed: true, Rungs: []compliance.Entry{e}})
	d.facts.Credentials[e.Index] = fmt.Sprintf("token-%d~", e.Index)
	f := &d.result.Assessment.Findings[len(d.result.Assessment.Findings)-1]
	f.Entries = append(f.Entries, compliance.EntryRef{Stream: s, J: e.J, Index: e.Index, ExistedBy: e.ExistedBy, Type: e.Type})
}

// page lays the case out in a language.
func (d *drawn) page(t testing.TB, lang string) *assessmentPage {
	t.Helper()
	p := layOut(lang, d.result, d.facts)
	if p.text.err != nil {
		t.Fatal(p.text.err)
	}
	p.Number = "7F3K-Q2MX-91TD"
	if err := p.drawCode("https://verify.example.jp"); err != nil {
		t.Fatal(err)
	}
	return p
}

// html is the page as one file.
func (d *drawn) html(t testing.TB, lang string, on *paper) string {
	t.Helper()
	p := d.page(t, lang)
	p.Digest = "b036bd6133b1692be49d0a526c383bb29f05adc869377970a1fbf072728141a6"
	if p.Paper = on; on != nil {
		p.Drawers = nil
	}
	body, err := execute(lang, pagePaper, newAlone(lang, p))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// everyFinding is a case with each finding once, and everything that stands beside a finding.
func everyFinding() *drawn {
	d := newDrawn()
	yen := func(n int64) *int64 { return &n }
	wage := func(month time.Month) (string, attestation.Date) {
		return string(attestation.MonthOf(attestation.NewDate(2026, month, 1))), attestation.NewDate(2026, month, 25)
	}
	pay := func(month time.Month, f compliance.Finding) *compliance.DutyFinding {
		p, due := wage(month)
		return d.find("W-05", p, due, f)
	}
	pay(1, compliance.Fulfilled).CorroboratedBy = []attestation.Role{attestation.Bank}
	zero := pay(2, compliance.Fulfilled)
	zero.CorroboratedBy = []attestation.Role{attestation.Worker}
	d.entry(attestation.WageEmployer, "2026-02", compliance.Entry{Validity: compliance.Valid, Attester: "8990000000001", Claims: &attestation.WagePayment{Period: "2026-02", Kind: attestation.WageZero, PaidDate: attestation.NewDate(2026, 2, 25), Net: yen(0)}})
	pay(3, compliance.PerformedLate).DaysLate = 6
	pay(4, compliance.Short).Checks = []compliance.Check{{Code: compliance.CodeAmountTerms, Result: compliance.Fail}}
	d.facts.Terms.Terms = &attestation.Terms{BaseAmount: yen(230000)}
	d.entry(attestation.WageEmployer, "2026-04", compliance.Entry{Validity: compliance.Valid, Attester: "8990000000001", Claims: &attestation.WagePayment{Period: "2026-04", Kind: attestation.WageRegular, Base: yen(180000), Allowances: map[string]int64{"skill": 8000}, PaidDate: attestation.NewDate(2026, 4, 24)}})
	pay(5, compliance.Remedied)
	d.facts.Ladders = append(d.facts.Ladders, compliance.Ladder{Stream: attestation.RemedyEmployer, Period: "events-FY2026", Opened: true, Rungs: []compliance.Entry{{
		Index: 90, Validity: compliance.Valid, Claims: &attestation.Remedy{Duty: attestation.DutyRef{Obligation: "W-05", Period: "2026-05"}, RemediedDate: attestation.NewDate(2026, 7, 3)},
	}}})
	contradicted := pay(6, compliance.Contradicted)
	contradicted.Checks = []compliance.Check{{Code: compliance.CodeAmountDiffers, Result: compliance.Fail, Detail: "employer 212,000 yen, bank 170,000 yen"}}
	absent := pay(7, compliance.Absent)
	absent.WorkerActions = []compliance.WorkerAction{{Kind: attestation.StatementUnpaid, Date: attestation.NewDate(2026, 7, 30)}}
	absent.Checks = []compliance.Check{{Code: compliance.CodeMapAbsent, Result: compliance.Pass}, {Code: "entry.of_a_later_release", Result: compliance.Fail, Detail: "seen"}}
	d.entry(attestation.WageEmployer, "2026-07", compliance.Entry{Validity: compliance.Junk, Reason: compliance.CodeEntryJunk, Submitter: "8990000000001", ExistedBy: attestation.NewDate(2026, 8, 5).Start()})
	pay(8, compliance.Unknown)
	pay(9, compliance.Undisclosed).Checks = []compliance.Check{{Code: compliance.CodeSlotNotOpened, Result: compliance.CannotTell, Detail: "wage-bank 2026-09"}}
	pay(10, compliance.Pending)
	d.find("W-03", "2026-03", attestation.NewDate(2026, 3, 25), compliance.Undisclosed).Checks = []compliance.Check{{Code: compliance.CodeClaimWithheld, Result: compliance.CannotTell}}
	d.entry(attestation.WageBank, "2026-03", compliance.Entry{Validity: compliance.Valid, Attester: "5990000000004", Claims: &attestation.WageReceipt{Period: "2026-03", ValueDate: attestation.NewDate(2026, 3, 31), Source: attestation.SourceAccountStatement}})
	own := d.find("S-10/worker", "2026-Q1", attestation.NewDate(2026, 3, 31), compliance.Fulfilled)
	own.OwnRecordOnly = true
	late := d.find("S-10/supervisor", "2026-Q2", attestation.NewDate(2026, 6, 30), compliance.AttestedLate)
	late.DaysLate = 21
	d.find("S-10/supervisor", "2026-Q3", attestation.NewDate(2026, 9, 30), compliance.Excused)
	d.find("P-01", "FY2026", attestation.NewDate(2027, 5, 31), compliance.NotDue)
	return d
}

// eightGaps is a full sheet: twelve months, eight obligations, eight gaps.
func eightGaps() *drawn {
	d := newDrawn()
	for i, p := range attestation.PeriodsBetween(attestation.Month, attestation.NewDate(2025, 11, 1), attestation.NewDate(2026, 10, 31)) {
		due := p.First().AddDays(24)
		switch i {
		case 6:
			d.find("W-05", string(p), due, compliance.PerformedLate).DaysLate = 11
		case 7:
			f := d.find("W-05", string(p), due, compliance.Absent)
			f.WorkerActions = []compliance.WorkerAction{{Kind: attestation.StatementUnpaid, Date: due.AddDays(8)}, {Kind: attestation.StatementDemand, Date: due.AddDays(20)}}
			d.entry(attestation.WageEmployer, p, compliance.Entry{Validity: compliance.Junk, Reason: compliance.CodeEntryJunk, Submitter: "8990000000001"})
		default:
			d.find("W-05", string(p), due, compliance.Fulfilled)
		}
		if i != 7 {
			finding := compliance.Fulfilled
			if i == 4 || i == 5 {
				finding = compliance.Contradicted
			}
			f := d.find("W-03", string(p), due, finding)
			if finding == compliance.Contradicted {
				f.Checks = []compliance.Check{{Code: compliance.CodeAmountDiffers, Result: compliance.Fail, Detail: "employer 212,000 yen, bank 170,000 yen"}}
				d.entry(attestation.WageEmployer, p, compliance.Entry{Validity: compliance.Valid, Attester: "8990000000001"})
				d.entry(attestation.WageBank, p, compliance.Entry{Validity: compliance.Valid, Attester: "5990000000004"})
			}
		}
	}
	d.find("S-10/worker", "2026-Q2", attestation.NewDate(2026, 6, 30), compliance.Absent)
	d.find("S-10/supervisor", "2026-Q2", attestation.NewDate(2026, 6, 30), compliance.AttestedLate).DaysLate = 21
	d.entry(attestation.InterviewSuperior, "2026-Q2", compliance.Entry{Validity: compliance.Valid, Attester: "19登-999999"})
	d.find("N-02", "2026-07-10", attestation.NewDate(2026, 7, 24), compliance.Absent)
	d.find("N-06", "2026-07-10", attestation.NewDate(2026, 7, 24), compliance.Absent)
	d.find("P-01", "FY2025", attestation.NewDate(2026, 5, 31), compliance.Fulfilled)
	d.find("P-01", "FY2026", attestation.NewDate(2027, 5, 31), compliance.NotDue)
	d.find("H-01", "2026-07-10", attestation.NewDate(2026, 7, 24), compliance.Fulfilled).OwnRecordOnly = true
	for _, code := range []string{evidence.CodeNotSealed, compliance.CodeTermsAsStated, compliance.CodeContractFiled} {
		d.result.Assessment.Checks = append(d.result.Assessment.Checks, compliance.Check{Code: code})
	}
	return d
}
