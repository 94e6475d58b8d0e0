package storygen

import "akashi/attestation"

var interviewHeader = []string{"利用者番号", "利用者名", "面談対象", "面談日", "実施方法", "個室", "使用言語", "通訳", "面談者", "開始時刻", "終了時刻", "備考"}

var mothersTongue = map[string]string{"A": "ベトナム語", "B": "インドネシア語", "C": "フィリピノ語"}

func interviewRow(e, interviewee string, d attestation.Date) []string {
	row := []string{people[e].client, people[e].name, interviewee, slashes(d), "対面", "○", mothersTongue[e], "外部", "支援担当者", "14:00", "14:40", ""}
	if interviewee == "監督者" {
		row[6], row[7], row[9], row[10] = "日本語", "不要", "15:00", "15:20"
	}
	return row
}

// An interviewSheet is the supporter's sheet of a quarter as it stood on one day: it grows, and each time the whole sheet is imported.
type interviewSheet struct {
	path       string
	logged     attestation.Date
	engagement string // whose rows are new
	quarter    string
	rows       [][]string
}

// lateSupervisor is the interview of C's supervisor that the supporter forgot to record.
const lateSupervisor = "2026-Q2"

func interviewSheets() []interviewSheet {
	var sheets []interviewSheet
	for _, q := range interviews {
		var rows [][]string
		for _, e := range engagements {
			held := q.days[e]
			if held == "" {
				continue
			}
			rows = append(rows, interviewRow(e, "本人", day(held)))
			if !(e == "C" && q.quarter == lateSupervisor) {
				rows = append(rows, interviewRow(e, "監督者", day(held)))
			}
			logged := day(held).AddDays(3)
			sheets = append(sheets, interviewSheet{"interviews/" + q.quarter + "-as-of-" + logged.String() + ".csv", logged, e, q.quarter, append([][]string{interviewHeader}, rows...)})
		}
		if q.quarter == lateSupervisor {
			sheets = append(sheets, interviewSheet{"interviews/" + q.quarter + "-late-supervisor.csv", day("2026-07-21"), "C", q.quarter,
				[][]string{interviewHeader, interviewRow("C", "監督者", day(q.days["C"]))}})
		}
	}
	return sheets
}

func writeInterviews(files map[string][]byte) error {
	for _, s := range interviewSheets() {
		files[s.path] = withBOM(table(s.rows...))
	}
	return nil
}

// A notice is one notice filed.
type notice struct {
	engagement, obligation, event, period, filed, form, receipt string
}

var notices = []notice{
	{"A", "P-01", "", "2025年度", "2026-05-15", "参考様式第3-6号", "E26-0515-A"},
	{"B", "P-01", "", "2025年度", "2026-05-20", "参考様式第3-6号", "E26-0520-B"},
	{"C", "P-01", "", "令和7年度", "2026-06-01", "参考様式第3-6号", "E26-0601-C"},
	{"C", "N-02", "2026-09-30", "", "2026-10-22", "参考様式第3-1-2号", "E26-1022-C"},
}

func (n notice) path() string { return "notices/" + n.engagement + "-" + n.obligation + ".csv" }

// A separation is the end of a contract, as one party states it.
type separation struct {
	actor, engagement, reference, end, reason, code, objection string
	logged                                                     string
}

var separations = []separation{
	{"authority", "B", "見本-0207", "2026-07-10", "会社都合", "1A", "", "2026-08-20"},
	{"employer-C", "C", people["C"].employee, "2026-09-30", "自己都合", "4D", "無", "2026-10-02"},
}

func (s separation) path() string { return "separations/" + s.engagement + ".csv" }

func writeNotices(files map[string][]byte) error {
	for _, n := range notices {
		event := ""
		if n.event != "" {
			event = slashes(day(n.event))
		}
		files[n.path()] = withBOM(table(
			[]string{"社員番号", "届出区分", "対象年度", "事由発生日", "届出日", "受理日", "提出方法", "様式番号", "届出先", "受付番号"},
			[]string{people[n.engagement].employee, n.obligation, n.period, event, slashes(day(n.filed)), slashes(day(n.filed)), "電子届出システム", n.form, "出入国在留管理庁", n.receipt},
		))
	}
	for _, s := range separations {
		files[s.path()] = withBOM(table(
			[]string{"対象者番号", "離職日", "離職理由", "離職理由コード", "異議の有無"},
			[]string{s.reference, reiwa(day(s.end)), s.reason, s.code, s.objection},
		))
	}
	return nil
}

// An enrolment is an organization's taking up of an engagement, from a presentation that the worker makes for it.
type enrolment struct{ actor, engagement, reference string }

func enrolments() []enrolment {
	var list []enrolment
	for _, e := range engagements {
		list = append(list, enrolment{"supporter", e, people[e].client}, enrolment{"bank", e, "9999-999-" + people[e].account})
	}
	return append(list, enrolment{"authority", "B", separations[0].reference})
}

// PresentationFile is the name under which the worker hands over a presentation of the engagement.
func (e enrolment) presentationFile() string { return e.engagement + "-" + e.actor + ".sdjwt" }

func writeEnrolments(files map[string][]byte) error {
	rows := map[string][][]string{}
	for _, e := range enrolments() {
		if rows[e.actor] == nil {
			rows[e.actor] = [][]string{{"reference", "presentation"}}
		}
		rows[e.actor] = append(rows[e.actor], []string{e.reference, e.presentationFile()})
	}
	for actor, r := range rows {
		files["enrolment/"+actor+".csv"] = table(r...)
	}
	return nil
}
