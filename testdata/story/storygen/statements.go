package storygen

import "akashi/attestation"

// A statement is one line of statements.json: the claims of a worker's statement without the engagement's ID.
type statement struct {
	Name       string                      `json:"name"`
	Engagement string                      `json:"engagement"`
	Claims     attestation.WorkerStatement `json:"claims"`
}

func said(name, engagement, date, kind string, about *attestation.About, text string) statement {
	s := statement{name, engagement, attestation.WorkerStatement{Date: day(date), Kind: &kind, About: about}}
	if text != "" {
		s.Claims.Text = &text
	}
	return s
}

func aboutWage(period attestation.Period) *attestation.About {
	return &attestation.About{Stream: attestation.WageEmployer, Period: period}
}

func statements() []statement {
	demand := said("B-demand-2026-08-03", "B", "2026-08-03", attestation.StatementDemand, nil, "2026年6月分と7月分の賃金の支払いを手紙で求めました。")
	demand.Claims.Addressee = &[]string{companies["B"].nameJA}[0]
	filed := func(e, date, event, number string) statement {
		s := said(e+"-filed-H-01", e, date, attestation.StatementFiled, &attestation.About{Obligation: "H-01", EventDate: day(event)}, "")
		d := day(date)
		s.Claims.FiledDate, s.Claims.ReferenceNumber = &d, &number
		return s
	}
	return []statement{
		said("A-accept-wage-2026-02", "A", "2026-02-26", attestation.StatementAccept, aboutWage("2026-02"), "自分の希望で無給の休みを取りました。"),
		said("B-unpaid-2026-06", "B", "2026-07-03", attestation.StatementUnpaid, aboutWage("2026-06"), "6月分の賃金が口座に入っていません。"),
		said("B-ended", "B", "2026-07-13", attestation.StatementEnded, &attestation.About{EndDate: day("2026-07-10"), ReasonClass: attestation.ReasonEmployer}, "会社が仕事をやめ、7月10日で終わりと言われました。"),
		filed("B", "2026-07-21", "2026-07-10", "H26-0721-B"),
		said("B-job-search-2026-07-22", "B", "2026-07-22", attestation.StatementJobSearch, nil, "ハローワークに登録しました。"),
		said("B-unpaid-2026-07", "B", "2026-07-30", attestation.StatementUnpaid, aboutWage("2026-07"), "7月分の賃金が口座に入っていません。"),
		demand,
		said("B-job-search-2026-09-10", "B", "2026-09-10", attestation.StatementJobSearch, nil, "ハローワークで相談しました。"),
		said("C-accept-separation", "C", "2026-10-03", attestation.StatementAccept,
			&attestation.About{Stream: attestation.SeparationEmployer, Period: attestation.EventsOf(day("2026-09-30")), EventDate: day("2026-09-30")}, "自分で辞めました。"),
		said("B-job-search-2026-10-05", "B", "2026-10-05", attestation.StatementJobSearch, nil, "食品工場の面接を受けました。"),
		filed("C", "2026-10-09", "2026-09-30", "H26-1009-C"),
	}
}

func writeStatements(files map[string][]byte) error {
	return writeJSON(files, "statements.json", statements())
}
