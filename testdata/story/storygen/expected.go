package storygen

import (
	"cmp"
	"time"
)

// A finding is one line of expected.json.
type finding struct {
	Obligation     string   `json:"obligation"`
	Period         string   `json:"period"` // of an event duty: the event date
	Due            string   `json:"due"`
	Finding        string   `json:"finding"`
	DaysLate       int      `json:"days_late"`
	DutyHolder     string   `json:"duty_holder"`
	CorroboratedBy []string `json:"corroborated_by"`
	Reason         string   `json:"reason"`
}

const (
	employer  = "accepting-organization"
	supporter = "support-organization"
	worker    = "worker"
)

var gapFindings = map[string]bool{"absent": true, "contradicted": true, "short": true, "performed_late": true, "attested_late": true, "remedied": true}

type expectedCase struct {
	Findings []finding      `json:"findings"`
	Gaps     map[string]int `json:"gaps"`
	Counts   map[string]int `json:"counts"`
}

func writeExpected(files map[string][]byte) error {
	cases := map[string]expectedCase{}
	for _, e := range engagements {
		c := expectedCase{Findings: expectedFindings(e), Gaps: map[string]int{employer: 0, supporter: 0, worker: 0}, Counts: map[string]int{}}
		for _, f := range c.Findings {
			c.Counts[f.Finding]++
			if gapFindings[f.Finding] {
				c.Gaps[f.DutyHolder]++
			}
		}
		cases[e] = c
	}
	return writeJSON(files, "expected.json", map[string]any{"as_of": asOf.Format(time.RFC3339), "engagements": cases})
}

// A departure is a finding that is not what the plain case gives.
type departure struct {
	finding      string
	daysLate     int
	corroborated []string // nil: as in the plain case; empty: by nobody
	reason       string
}

var none = []string{}

// departures hold every finding that departs from "fulfilled", by engagement, obligation and period, and reasons worth stating.
var departures = map[[3]string]departure{
	{"A", "W-05", "2026-02"}: {"fulfilled", 0, []string{worker}, "nothing was due for a month of unpaid leave; the worker accepted the zero wage on 2026-02-26"},
	{"A", "W-03", "2026-02"}: {"fulfilled", 0, []string{worker}, "zero is the full wage of a month of unpaid leave, and the worker accepted it"},
	{"A", "W-05", "2026-04"}: {"fulfilled", 0, nil, "paid on the due date; the record was corrected inside grace on 2026-04-30, the payment is the same"},
	{"A", "W-03", "2026-04"}: {"fulfilled", 0, nil, "the corrected record of 2026-04-30 stands, and its net is what the bank credited"},

	{"B", "W-05", "2026-05"}:            {"performed_late", 4, nil, "due 2026-05-25, paid and credited 2026-05-29, recorded inside grace"},
	{"B", "W-03", "2026-05"}:            {"fulfilled", 0, nil, "late, but the bank credited the whole net"},
	{"B", "W-05", "2026-06"}:            {"contradicted", 0, none, "the employer's record of 2026-09-18 says paid, the bank has nothing, and the worker's unpaid of 2026-07-03 stands"},
	{"B", "W-05", "2026-07"}:            {"absent", 0, []string{worker}, "the employer's slot holds junk of 2026-08-05, the bank's is empty; the worker's unpaid of 2026-07-30 agrees"},
	{"B", "S-10/worker", "2026-Q2"}:     {"absent", 0, none, "no interview of the worker was recorded for the quarter"},
	{"B", "S-10/supervisor", "2026-Q2"}: {"absent", 0, none, "no interview of the supervisor was recorded for the quarter"},
	{"B", "N-02", "2026-07-10"}:         {"absent", 0, none, "the contract ended on 2026-07-10 and no notice was recorded by 2026-08-03"},
	{"B", "N-06", "2026-07-10"}:         {"absent", 0, none, "the end was the employer's cause and no notice of difficulty to continue was recorded by 2026-08-03"},
	{"B", "H-01", "2026-07-10"}:         {"fulfilled", 0, none, "the worker filed on 2026-07-21 and stated the receipt number"},

	{"C", "W-05", "2026-02"}:            {"performed_late", 6, nil, "due 2026-03-10, paid and credited 2026-03-16"},
	{"C", "W-03", "2026-02"}:            {"fulfilled", 0, nil, "late, but the bank credited the whole net"},
	{"C", "W-05", "2026-03"}:            {"fulfilled", 0, nil, "the bank's value date is visible in the opened slot, though the receipt was not presented"},
	{"C", "W-03", "2026-03"}:            {"undisclosed", 0, none, "the amount in the bank's receipt was not shown"},
	{"C", "W-05", "2026-04"}:            {"fulfilled", 0, nil, "a wage was credited on the due date, whatever its amount"},
	{"C", "W-03", "2026-04"}:            {"contradicted", 0, none, "the employer states 212,000 net, the bank credited 170,000"},
	{"C", "W-05", "2026-05"}:            {"fulfilled", 0, nil, "a wage was credited on the due date, whatever its amount"},
	{"C", "W-03", "2026-05"}:            {"contradicted", 0, none, "the employer states 212,000 net, the bank credited 170,000"},
	{"C", "W-05", "2026-06"}:            {"fulfilled", 0, nil, "a wage was credited on the due date, whatever its amount"},
	{"C", "W-03", "2026-06"}:            {"contradicted", 0, none, "the employer states 212,000 net, the bank credited 170,000"},
	{"C", "W-05", "2026-07"}:            {"performed_late", 11, nil, "due 2026-08-10, paid and credited 2026-08-21"},
	{"C", "W-03", "2026-07"}:            {"fulfilled", 0, nil, "late, but the bank credited the whole net"},
	{"C", "S-10/supervisor", "2026-Q2"}: {"attested_late", 21, none, "held on 2026-06-10, recorded only on 2026-07-21, after grace ended on 2026-07-10"},
	{"C", "N-02", "2026-09-30"}:         {"performed_late", 8, none, "due 2026-10-14, filed and arrived 2026-10-22"},
	{"C", "H-01", "2026-09-30"}:         {"fulfilled", 0, none, "the worker filed on 2026-10-09 and stated the receipt number"},
	{"C", "P-01", "FY2025"}:             {"fulfilled", 0, none, "filed 2026-06-01, the last day of the lenient reading; one day late by the nominal one"},
}

// expectedFindings are all findings of an engagement as of the day of assessment, in the order of the obligations.
func expectedFindings(e string) []finding {
	var list []finding
	add := func(obligation, period, due, holder string, plain departure) {
		d, ok := departures[[3]string{e, obligation, period}]
		if !ok {
			d = plain
		}
		if d.corroborated == nil {
			d.corroborated = plain.corroborated
		}
		list = append(list, finding{obligation, period, due, d.finding, d.daysLate, holder, d.corroborated, d.reason})
	}
	bank := []string{"bank"}
	for _, w := range wages[e] {
		add("W-05", w.period, w.due, employer, departure{"fulfilled", 0, bank, "paid and credited on the due date"})
	}
	for _, w := range wages[e] {
		if w.credited > 0 || w.zero { // W-03 asks how much only where W-05 has a payment
			add("W-03", w.period, w.due, employer, departure{"fulfilled", 0, bank, "the bank credited the net that the employer states"})
		}
	}
	for _, witness := range []string{"worker", "supervisor"} {
		for _, q := range quartersOf(e) {
			add("S-10/"+witness, q.quarter, q.due, supporter, q.plain(e))
		}
	}
	switch e { // events
	case "B":
		add("N-02", "2026-07-10", "2026-07-24", employer, departure{})
		add("N-06", "2026-07-10", "2026-07-24", employer, departure{})
	case "C":
		add("N-02", "2026-09-30", "2026-10-14", employer, departure{})
	}
	add("P-01", "FY2025", "2026-06-01", employer, departure{"fulfilled", 0, none, "filed before 2026-05-31"})
	add("P-01", "FY2026", "2027-05-31", employer, departure{"not_due", 0, none, "due on 2027-05-31, for the days worked since 2026-04-01"})
	switch e {
	case "B":
		add("H-01", "2026-07-10", "2026-07-24", worker, departure{})
	case "C":
		add("H-01", "2026-09-30", "2026-10-14", worker, departure{})
	}
	return list
}

type quarter struct{ quarter, due, held string }

func (q quarter) plain(string) departure {
	if q.held == "" {
		return departure{"not_due", 0, none, "the quarter has not ended"}
	}
	return departure{"fulfilled", 0, none, "held on " + q.held + " and recorded three days later"}
}

// quartersOf are the quarters with a duty: those whose due date lies inside the contract. The first is due three months after the start.
func quartersOf(e string) []quarter {
	dues := map[string]string{"2025-Q4": "2026-01-31", "2026-Q1": "2026-03-31", "2026-Q2": "2026-06-30", "2026-Q3": "2026-09-30", "2026-Q4": "2026-12-31"}
	end := map[string]string{"A": "2027-10-31", "B": "2026-07-10", "C": "2026-09-30"}[e]
	var list []quarter
	for _, q := range interviews {
		if dues[q.quarter] <= end {
			list = append(list, quarter{q.quarter, dues[q.quarter], q.days[e]})
		}
	}
	if e == "A" {
		list = append(list, quarter{"2026-Q4", dues["2026-Q4"], ""})
	}
	return list
}

// An early judgement is a finding of the same case judged before the day of assessment.
type early struct {
	asOf                           string // day, or day and time, in Japan
	engagement, obligation, period string
	finding                        string // empty: no finding, since no event is known
	daysLate                       int
	corroborated                   []string
	reason                         string
}

func (f early) instant() time.Time {
	d := day(f.asOf[:10])
	if len(f.asOf) > 10 {
		return at(d, int(f.asOf[11]-'0')*10+int(f.asOf[12]-'0'), 0)
	}
	return d.Start()
}

var earlier = []early{
	{"2026-06-26", "B", "W-05", "2026-06", "pending", 0, none, "due the day before; grace runs until 2026-07-05 24:00"},
	{"2026-07-05", "B", "W-05", "2026-06", "pending", 0, none, "the last day of grace"},
	{"2026-07-07", "B", "W-05", "2026-06", "absent", 0, []string{worker}, "grace is over, both wage slots are empty, the worker's unpaid agrees"},
	{"2026-09-20", "B", "W-05", "2026-06", "contradicted", 0, none, "the employer's late record says paid, against the bank and the worker; still one gap"},
	{"2026-08-06", "B", "W-05", "2026-07", "pending", 0, none, "inside grace; the junk of 2026-08-05 changes nothing"},
	{"2026-08-08", "B", "W-05", "2026-07", "absent", 0, []string{worker}, "grace is over; the junk is reported against the employer"},
	{"2026-07-12", "B", "N-02", "2026-07-10", "", 0, nil, "no event is recorded yet"},
	{"2026-07-12", "B", "N-06", "2026-07-10", "", 0, nil, "no event is recorded yet"},
	{"2026-07-12", "B", "H-01", "2026-07-10", "", 0, nil, "no event is recorded yet"},
	{"2026-07-15", "B", "N-02", "2026-07-10", "not_due", 0, none, "due 2026-07-24; the event is known from the worker alone"},
	{"2026-07-15", "B", "N-06", "2026-07-10", "not_due", 0, none, "due 2026-07-24; the event is known from the worker alone"},
	{"2026-08-05", "B", "N-02", "2026-07-10", "absent", 0, none, "grace ended on 2026-08-03"},
	{"2026-08-05", "B", "N-06", "2026-07-10", "absent", 0, none, "grace ended on 2026-08-03"},
	{"2026-03-15", "C", "W-05", "2026-02", "pending", 0, none, "due 2026-03-10, inside grace"},
	{"2026-03-18", "C", "W-05", "2026-02", "performed_late", 6, []string{"bank"}, "paid and credited on 2026-03-16"},
	{"2026-08-21 12:00", "C", "W-05", "2026-07", "absent", 0, none, "grace ended on 2026-08-20 and nothing is recorded"},
	{"2026-08-25", "C", "W-05", "2026-07", "performed_late", 11, []string{"bank"}, "paid and credited on 2026-08-21"},
	{"2026-07-12", "C", "S-10/supervisor", "2026-Q2", "absent", 0, none, "grace ended on 2026-07-10 and nothing is recorded"},
	{"2026-07-23", "C", "S-10/supervisor", "2026-Q2", "attested_late", 21, none, "recorded on 2026-07-21, after grace"},
	{"2026-05-28", "C", "P-01", "FY2025", "not_due", 0, none, "due 2026-06-01"},
	{"2026-06-03", "C", "P-01", "FY2025", "fulfilled", 0, none, "filed on the last day of the lenient reading; nominal reading one day late"},
}

func writeEarlier(files map[string][]byte) error {
	type line struct {
		AsOf           string   `json:"as_of"`
		Engagement     string   `json:"engagement"`
		Obligation     string   `json:"obligation"`
		Period         string   `json:"period"`
		Finding        string   `json:"finding"`
		DaysLate       int      `json:"days_late"`
		CorroboratedBy []string `json:"corroborated_by,omitempty"`
		Reason         string   `json:"reason"`
	}
	var lines []line
	for _, f := range earlier {
		lines = append(lines, line{f.instant().Format(time.RFC3339), f.engagement, f.obligation, f.period, cmp.Or(f.finding, "none"), f.daysLate, f.corroborated, f.reason})
	}
	return writeJSON(files, "earlier.json", lines)
}
