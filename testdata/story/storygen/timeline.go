package storygen

import (
	"cmp"
	"slices"
	"time"

	"akashi/attestation"
)

// An item is one line of timeline.json; package story documents it.
type item struct {
	At         time.Time   `json:"at"`
	Action     string      `json:"action"`
	Actor      string      `json:"actor,omitempty"`
	Engagement string      `json:"engagement,omitempty"`
	Type       string      `json:"type,omitempty"`
	File       string      `json:"file,omitempty"`
	Mapping    string      `json:"mapping,omitempty"`
	Reference  string      `json:"reference,omitempty"`
	Statement  string      `json:"statement,omitempty"`
	Stream     string      `json:"stream,omitempty"`
	Period     string      `json:"period,omitempty"`
	Correct    bool        `json:"correct,omitempty"`
	Hide       []hiddenOne `json:"hide,omitempty"`
	Note       string      `json:"note,omitempty"`
}

// hiddenOne names a credential that the worker does not present.
type hiddenOne struct {
	Type   string `json:"type"`
	Period string `json:"period"`
}

// Actions in the order in which they happen at one instant: what is due at the instant is judged after everything else happened.
var actionOrder = []string{"log-engagement", "enrol", "import", "junk", "statement", "checkpoint", "assess-at", "assess"}

func writeTimeline(files map[string][]byte) error {
	items := slices.Concat(engagementItems(), wageItems(), bankItems(), sheetItems(), statementItems(), stopItems())
	slices.SortStableFunc(items, func(a, b item) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(slices.Index(actionOrder, a.Action), slices.Index(actionOrder, b.Action)))
	})
	return writeJSON(files, "timeline.json", items)
}

func engagementItems() (items []item) {
	for _, e := range engagements {
		items = append(items, item{At: at(day("2025-10-30"), 10, 0), Action: "log-engagement", Actor: "employer-" + e, Engagement: e, Type: "engagement",
			File: "engagement/" + e + ".csv", Reference: people[e].employee})
	}
	for _, e := range enrolments() {
		when := at(day("2025-10-30"), 11, 0)
		if e.actor == "authority" { // the worker registers as a job seeker
			when = at(day("2026-07-22"), 11, 0)
		}
		items = append(items, item{At: when, Action: "enrol", Actor: e.actor, Engagement: e.engagement, File: "enrolment/" + e.actor + ".csv", Reference: e.reference})
	}
	return items
}

func wageItems() (items []item) {
	for _, e := range engagements {
		for _, w := range wages[e] {
			if w.paid == "" {
				continue
			}
			items = append(items, item{At: at(day(cmp.Or(w.recorded, w.paid)), 18, 0), Action: "import", Actor: "employer-" + e, Engagement: e,
				Type: "wage-payment", File: payrollFile(e, w), Mapping: "payroll/" + e + ".mapping.json", Period: w.period})
		}
	}
	return append(items,
		item{At: at(day("2026-04-30"), 12, 0), Action: "import", Actor: "employer-A", Engagement: "A", Type: "wage-payment", File: "payroll/A-2026-04-correction.csv",
			Mapping: "payroll/A.mapping.json", Period: "2026-04", Correct: true, Note: "8.0 overtime hours in place of 80.0"},
		item{At: at(day("2026-08-05"), 18, 0), Action: "junk", Actor: "employer-B", Engagement: "B", Stream: string(attestation.WageEmployer), Period: "2026-07",
			Note: "octets that do not open, into the slot of the wage of 2026-07"})
}

func bankItems() (items []item) {
	for _, e := range engagements {
		for _, f := range bankFiles(e) {
			i := item{At: at(nextBankDay(f.to), 9, 30), Action: "import", Actor: "bank", Engagement: e, Type: "wage-receipt", File: f.path(e), Reference: "9999-999-" + people[e].account}
			if f.wage == nil {
				i.Note = "no credit of the employer in this file"
			} else {
				i.Period = f.wage.period
			}
			items = append(items, i)
		}
	}
	return items
}

func sheetItems() (items []item) {
	for _, s := range interviewSheets() {
		items = append(items, item{At: at(s.logged, 12, 0), Action: "import", Actor: "supporter", Engagement: s.engagement, Type: "support-interview", File: s.path,
			Period: s.quarter})
	}
	for _, n := range notices {
		items = append(items, item{At: at(day(n.filed), 17, 0), Action: "import", Actor: "employer-" + n.engagement, Engagement: n.engagement, Type: "notification-filed", File: n.path()})
	}
	for _, s := range separations {
		items = append(items, item{At: at(day(s.logged), 12, 0), Action: "import", Actor: s.actor, Engagement: s.engagement, Type: "separation", File: s.path(), Reference: s.reference})
	}
	return items
}

func statementItems() (items []item) {
	for _, s := range statements() {
		items = append(items, item{At: at(s.Claims.Date, 20, 0), Action: "statement", Actor: "worker-" + s.Engagement, Engagement: s.Engagement, Type: "worker-statement", Statement: s.Name})
	}
	return items
}

// asOf is the instant of the assessment.
var asOf = time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC)

const graceDays = 10

// stopItems are the checkpoints at which time passes without a record: one hour after the end of every grace, so that what comes later
// is proven late and what never comes is proven absent; and every instant at which the case is judged.
func stopItems() (items []item) {
	stops := map[time.Time]bool{asOf: true}
	for _, e := range engagements {
		for _, f := range expectedFindings(e) {
			if stop := day(f.Due).AddDays(graceDays).End().Add(time.Hour); stop.Before(asOf) {
				stops[stop] = true
			}
		}
	}
	for _, f := range earlier {
		stops[f.instant()] = true
		items = append(items, item{At: f.instant(), Action: "assess-at", Engagement: f.engagement})
	}
	for stop := range stops {
		items = append(items, item{At: stop, Action: "checkpoint"})
	}
	for _, e := range engagements {
		i := item{At: asOf, Action: "assess", Actor: "worker-" + e, Engagement: e}
		if e == "C" {
			i.Hide = []hiddenOne{{"wage-receipt", "2026-03"}}
		}
		items = append(items, i)
	}
	return unique(items)
}

// unique drops an assess-at of the same engagement and instant, and puts the items into a fixed order.
func unique(items []item) []item {
	slices.SortFunc(items, func(a, b item) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(slices.Index(actionOrder, a.Action), slices.Index(actionOrder, b.Action)), cmp.Compare(a.Engagement, b.Engagement))
	})
	return slices.CompactFunc(items, func(a, b item) bool {
		return a.At.Equal(b.At) && a.Action == b.Action && a.Engagement == b.Engagement && a.Action == "assess-at"
	})
}
