package compliance

import (
	"slices"
	"strings"
	"testing"

	"akashi/attestation"
)

var storyEnd = at("2026-11-20T00:00:00Z")

// months runs fn for the periods from first to last with the due dates given.
func (f *file) months(first attestation.Period, due ...string) {
	for p := first; len(due) > 0; p, due = p.Next(), due[1:] {
		f.paid(p, due[0])
	}
}

// kept is engagement A: everything was done.
func kept() *file {
	f := newFile(25, 0, attestation.HolidayPrev)
	f.months("2025-11", "2025-11-25", "2025-12-25", "2026-01-23")
	_, zero := f.pay("2026-02", "2026-02-25", "2026-02-25 18:00")
	zero.Kind, zero.Net = attestation.WageZero, ptr(int64(0))
	f.state(attestation.StatementAccept, "2026-02-26", wage("2026-02"))
	f.months("2026-03", "2026-03-25", "2026-04-24", "2026-05-25", "2026-06-25", "2026-07-24", "2026-08-25", "2026-09-25", "2026-10-23")
	corrected := f.firstID(attestation.WageEmployer, "2026-04")
	_, again := f.pay("2026-04", "2026-04-24", "2026-04-30 12:00")
	again.Supersedes = corrected
	for p, held := range map[attestation.Period]string{"2025-Q4": "2025-12-10", "2026-Q1": "2026-03-05", "2026-Q2": "2026-06-03", "2026-Q3": "2026-09-02"} {
		f.interviewed(p, held)
	}
	f.filedReport("FY2025", "2026-05-15")
	return f
}

func (f *file) firstID(s attestation.Stream, p attestation.Period) string {
	i := slices.IndexFunc(f.records, func(r record) bool { return r.stream == s && r.period == p })
	return f.records[i].entry.ID
}

// abandoned is engagement B: the employer stops paying, then operating.
func abandoned() *file {
	f := newFile(25, 0, attestation.HolidayNext)
	f.months("2025-11", "2025-11-25", "2025-12-25", "2026-01-26", "2026-02-25", "2026-03-25", "2026-04-27")
	f.pay("2026-05", "2026-05-29", "2026-05-29 18:00")
	f.credit("2026-05", "2026-05-29", "2026-06-01 09:30", 212_000)
	f.interviewed("2025-Q4", "2025-12-12")
	f.interviewed("2026-Q1", "2026-03-11")
	f.filedReport("FY2025", "2026-05-20")
	f.state(attestation.StatementUnpaid, "2026-07-03", wage("2026-06"))
	f.state(attestation.StatementEnded, "2026-07-13", &attestation.About{EndDate: day("2026-07-10"), ReasonClass: attestation.ReasonEmployer})
	f.files("2026-07-21", "2026-07-10")
	for _, d := range []string{"2026-07-22", "2026-09-10", "2026-10-05"} {
		f.state(attestation.StatementJobSearch, d, nil)
	}
	f.state(attestation.StatementUnpaid, "2026-07-30", wage("2026-07"))
	f.state(attestation.StatementDemand, "2026-08-03", wage("2026-06"))
	f.state(attestation.StatementDemand, "2026-08-03", wage("2026-07"))
	f.junk(attestation.WageEmployer, "2026-07", "2026-08-05 18:00")
	f.separation(attestation.SeparationOffice, "2026-07-10", attestation.ReasonEmployer, "2026-08-20 12:00")
	f.pay("2026-06", "2026-06-25", "2026-09-18 18:00")
	return f
}

// files states that the worker filed H-01.
func (f *file) files(on, event string) {
	f.state(attestation.StatementFiled, on, &attestation.About{Obligation: "H-01", EventDate: day(event)})
	f.statements[len(f.statements)-1].entry.Claims.(*attestation.WorkerStatement).FiledDate = ptr(day(on))
}

// underpaid is engagement C: late, and less than stated.
func underpaid() *file {
	f := newFile(10, 1, attestation.HolidayNext)
	f.months("2025-11", "2025-12-10", "2026-01-13", "2026-02-10")
	f.pay("2026-02", "2026-03-16", "2026-03-16 18:00")
	f.credit("2026-02", "2026-03-16", "2026-03-17 09:30", 212_000)
	f.pay("2026-03", "2026-04-10", "2026-04-10 18:00")
	withheld, receipt := f.credit("2026-03", "2026-04-10", "2026-04-13 09:30", 0)
	withheld.Presented, receipt.Amount = false, nil
	for p, due := range map[attestation.Period]string{"2026-04": "2026-05-11", "2026-05": "2026-06-10", "2026-06": "2026-07-10"} {
		f.pay(p, due, due+" 18:00")
		f.credit(p, due, nextBankDay(due)+" 09:30", 170_000)
	}
	f.pay("2026-07", "2026-08-21", "2026-08-21 18:00")
	f.credit("2026-07", "2026-08-21", "2026-08-24 09:30", 212_000)
	f.months("2026-08", "2026-09-10", "2026-10-13")
	for p, held := range map[attestation.Period]string{"2025-Q4": "2025-12-15", "2026-Q1": "2026-03-12", "2026-Q3": "2026-09-03"} {
		f.interviewed(p, held)
	}
	f.interview(attestation.InterviewWorker, "2026-Q2", "2026-06-10", "2026-06-13 12:00")
	f.interview(attestation.InterviewSuperior, "2026-Q2", "2026-06-10", "2026-07-21 12:00")
	f.filedReport("FY2025", "2026-06-01")
	e := f.separation(attestation.SeparationEmployer, "2026-09-30", attestation.ReasonWorker, "2026-10-02 12:00")
	f.state(attestation.StatementAccept, "2026-10-03", &attestation.About{ID: e.ID})
	f.files("2026-10-09", "2026-09-30")
	f.filedNotice("N-02", "2026-09-30", "2026-10-22", "2026-10-22 17:00")
	return f
}

const (
	ao  = " accepting-organization"
	aoB = " accepting-organization +bank"
	rso = " support-organization"
)

func TestStory(t *testing.T) {
	for _, c := range []struct {
		name   string
		file   *file
		want   string
		counts map[string]int
		gaps   map[string]int
	}{
		{"A", kept(), `
W-05 2025-11: 2025-11-25 fulfilled` + aoB + `
W-05 2025-12: 2025-12-25 fulfilled` + aoB + `
W-05 2026-01: 2026-01-23 fulfilled` + aoB + `
W-05 2026-02: 2026-02-25 fulfilled` + ao + ` +worker
W-05 2026-03: 2026-03-25 fulfilled` + aoB + `
W-05 2026-04: 2026-04-24 fulfilled` + aoB + `
W-05 2026-05: 2026-05-25 fulfilled` + aoB + `
W-05 2026-06: 2026-06-25 fulfilled` + aoB + `
W-05 2026-07: 2026-07-24 fulfilled` + aoB + `
W-05 2026-08: 2026-08-25 fulfilled` + aoB + `
W-05 2026-09: 2026-09-25 fulfilled` + aoB + `
W-05 2026-10: 2026-10-23 fulfilled` + aoB + `
W-03 2025-11: 2025-11-25 fulfilled` + aoB + `
W-03 2025-12: 2025-12-25 fulfilled` + aoB + `
W-03 2026-01: 2026-01-23 fulfilled` + aoB + `
W-03 2026-02: 2026-02-25 fulfilled` + ao + ` +worker
W-03 2026-03: 2026-03-25 fulfilled` + aoB + `
W-03 2026-04: 2026-04-24 fulfilled` + aoB + `
W-03 2026-05: 2026-05-25 fulfilled` + aoB + `
W-03 2026-06: 2026-06-25 fulfilled` + aoB + `
W-03 2026-07: 2026-07-24 fulfilled` + aoB + `
W-03 2026-08: 2026-08-25 fulfilled` + aoB + `
W-03 2026-09: 2026-09-25 fulfilled` + aoB + `
W-03 2026-10: 2026-10-23 fulfilled` + aoB + `
S-10/worker 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/worker 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/worker 2026-Q2: 2026-06-30 fulfilled` + rso + ` own
S-10/worker 2026-Q3: 2026-09-30 fulfilled` + rso + ` own
S-10/worker 2026-Q4: 2026-12-31 not_due` + rso + `
S-10/supervisor 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q2: 2026-06-30 fulfilled` + rso + ` own
S-10/supervisor 2026-Q3: 2026-09-30 fulfilled` + rso + ` own
S-10/supervisor 2026-Q4: 2026-12-31 not_due` + rso + `
P-01 FY2025: 2026-06-01 fulfilled` + ao + ` own
P-01 FY2026: 2027-05-31 not_due` + ao,
			map[string]int{"fulfilled": 33, "not_due": 3},
			map[string]int{"accepting-organization": 0, "support-organization": 0, "worker": 0}},
		{"B", abandoned(), `
W-05 2025-11: 2025-11-25 fulfilled` + aoB + `
W-05 2025-12: 2025-12-25 fulfilled` + aoB + `
W-05 2026-01: 2026-01-26 fulfilled` + aoB + `
W-05 2026-02: 2026-02-25 fulfilled` + aoB + `
W-05 2026-03: 2026-03-25 fulfilled` + aoB + `
W-05 2026-04: 2026-04-27 fulfilled` + aoB + `
W-05 2026-05: 2026-05-25 performed_late 4` + aoB + `
W-05 2026-06: 2026-06-25 contradicted` + ao + `
W-05 2026-07: 2026-07-27 absent` + ao + ` +worker
W-03 2025-11: 2025-11-25 fulfilled` + aoB + `
W-03 2025-12: 2025-12-25 fulfilled` + aoB + `
W-03 2026-01: 2026-01-26 fulfilled` + aoB + `
W-03 2026-02: 2026-02-25 fulfilled` + aoB + `
W-03 2026-03: 2026-03-25 fulfilled` + aoB + `
W-03 2026-04: 2026-04-27 fulfilled` + aoB + `
W-03 2026-05: 2026-05-25 fulfilled` + aoB + `
S-10/worker 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/worker 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/worker 2026-Q2: 2026-06-30 absent` + rso + `
S-10/supervisor 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q2: 2026-06-30 absent` + rso + `
N-02 2026-07-10: 2026-07-24 absent` + ao + `
N-06 2026-07-10: 2026-07-24 absent` + ao + `
P-01 FY2025: 2026-06-01 fulfilled` + ao + ` own
P-01 FY2026: 2027-05-31 not_due` + ao + `
H-01 2026-07-10: 2026-07-24 fulfilled worker own`,
			map[string]int{"fulfilled": 19, "performed_late": 1, "contradicted": 1, "absent": 5, "not_due": 1},
			map[string]int{"accepting-organization": 5, "support-organization": 2, "worker": 0}},
		{"C", underpaid(), `
W-05 2025-11: 2025-12-10 fulfilled` + aoB + `
W-05 2025-12: 2026-01-13 fulfilled` + aoB + `
W-05 2026-01: 2026-02-10 fulfilled` + aoB + `
W-05 2026-02: 2026-03-10 performed_late 6` + aoB + `
W-05 2026-03: 2026-04-10 fulfilled` + aoB + `
W-05 2026-04: 2026-05-11 fulfilled` + aoB + `
W-05 2026-05: 2026-06-10 fulfilled` + aoB + `
W-05 2026-06: 2026-07-10 fulfilled` + aoB + `
W-05 2026-07: 2026-08-10 performed_late 11` + aoB + `
W-05 2026-08: 2026-09-10 fulfilled` + aoB + `
W-05 2026-09: 2026-10-13 fulfilled` + aoB + `
W-03 2025-11: 2025-12-10 fulfilled` + aoB + `
W-03 2025-12: 2026-01-13 fulfilled` + aoB + `
W-03 2026-01: 2026-02-10 fulfilled` + aoB + `
W-03 2026-02: 2026-03-10 fulfilled` + aoB + `
W-03 2026-03: 2026-04-10 undisclosed` + ao + `
W-03 2026-04: 2026-05-11 contradicted` + ao + `
W-03 2026-05: 2026-06-10 contradicted` + ao + `
W-03 2026-06: 2026-07-10 contradicted` + ao + `
W-03 2026-07: 2026-08-10 fulfilled` + aoB + `
W-03 2026-08: 2026-09-10 fulfilled` + aoB + `
W-03 2026-09: 2026-10-13 fulfilled` + aoB + `
S-10/worker 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/worker 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/worker 2026-Q2: 2026-06-30 fulfilled` + rso + ` own
S-10/worker 2026-Q3: 2026-09-30 fulfilled` + rso + ` own
S-10/supervisor 2025-Q4: 2026-01-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q1: 2026-03-31 fulfilled` + rso + ` own
S-10/supervisor 2026-Q2: 2026-06-30 attested_late 21` + rso + `
S-10/supervisor 2026-Q3: 2026-09-30 fulfilled` + rso + ` own
N-02 2026-09-30: 2026-10-14 performed_late 8` + ao + `
P-01 FY2025: 2026-06-01 fulfilled` + ao + ` own
P-01 FY2026: 2027-05-31 not_due` + ao + `
H-01 2026-09-30: 2026-10-14 fulfilled worker own`,
			map[string]int{"fulfilled": 25, "performed_late": 3, "attested_late": 1, "contradicted": 3, "undisclosed": 1, "not_due": 1},
			map[string]int{"accepting-organization": 6, "support-organization": 1, "worker": 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := assess(t, c.file.as(storyEnd), storyEnd)
			var got []string
			for _, f := range a.Findings {
				got = append(got, f.Obligation+" "+f.Period+": "+line(f))
			}
			want := strings.Split(strings.TrimSpace(c.want), "\n")
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Errorf("finding %d of %d, want %d:\n got %v\nwant %v", i, len(got), len(want), got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
					break
				}
			}
			same(t, "counts", a.Counts, c.counts)
			same(t, "gaps", a.Gaps, c.gaps)
		})
	}
}

// The same case judged earlier, from what stood in the log then.
func TestStoryEarlier(t *testing.T) {
	files := map[string]*file{"B": abandoned(), "C": underpaid()}
	for _, c := range []struct{ asOf, file, duty, want, code string }{
		{"2026-06-26", "B", "W-05 2026-06", "2026-06-25 pending" + ao, ""},
		{"2026-07-05", "B", "W-05 2026-06", "2026-06-25 pending" + ao, ""},
		{"2026-07-07", "B", "W-05 2026-06", "2026-06-25 absent" + ao + " +worker", CodeUnpaidStatement},
		{"2026-09-20", "B", "W-05 2026-06", "2026-06-25 contradicted" + ao, CodeUnpaidStatement},
		{"2026-08-06", "B", "W-05 2026-07", "2026-07-27 pending" + ao, CodeEntryJunk},
		{"2026-08-08", "B", "W-05 2026-07", "2026-07-27 absent" + ao + " +worker", CodeEntryJunk},
		{"2026-07-12", "B", "N-02 2026-07-10", "", ""},
		{"2026-07-12", "B", "N-06 2026-07-10", "", ""},
		{"2026-07-12", "B", "H-01 2026-07-10", "", ""},
		{"2026-07-15", "B", "N-02 2026-07-10", "2026-07-24 not_due" + ao, CodeEventWorkerOnly},
		{"2026-07-15", "B", "N-06 2026-07-10", "2026-07-24 not_due" + ao, CodeEventWorkerOnly},
		{"2026-08-05", "B", "N-02 2026-07-10", "2026-07-24 absent" + ao, CodeEventWorkerOnly},
		{"2026-08-05", "B", "N-06 2026-07-10", "2026-07-24 absent" + ao, CodeEventWorkerOnly},
		{"2026-03-15", "C", "W-05 2026-02", "2026-03-10 pending" + ao, ""},
		{"2026-03-18", "C", "W-05 2026-02", "2026-03-10 performed_late 6" + aoB, ""},
		{"2026-08-21 12:00", "C", "W-05 2026-07", "2026-08-10 absent" + ao, CodeMapAbsent},
		{"2026-08-25", "C", "W-05 2026-07", "2026-08-10 performed_late 11" + aoB, CodeTimeLate},
		{"2026-07-12", "C", "S-10/supervisor 2026-Q2", "2026-06-30 absent" + rso, CodeMapAbsent},
		{"2026-07-23", "C", "S-10/supervisor 2026-Q2", "2026-06-30 attested_late 21" + rso, CodeTimeLate},
		{"2026-05-28", "C", "P-01 FY2025", "2026-06-01 not_due" + ao, ""},
		{"2026-06-03", "C", "P-01 FY2025", "2026-06-01 fulfilled" + ao + " own", CodeNominal},
	} {
		then := files[c.file].as(at(c.asOf))
		later := files[c.file].as(storyEnd) // with records that did not stand then: the judgement is the same
		for name, ev := range map[string]Evidence{"then": then, "from later evidence": later} {
			f, ok := findingOf(assess(t, ev, at(c.asOf)), c.duty)
			if got := line(f); ok != (c.want != "") || ok && got != c.want {
				t.Errorf("%s %s as of %s, %s: got %q, want %q", c.file, c.duty, c.asOf, name, got, c.want)
			}
			if ok && c.code != "" && !has(f, c.code) {
				t.Errorf("%s %s as of %s, %s: no check %s in %v", c.file, c.duty, c.asOf, name, c.code, f.Checks)
			}
		}
	}
}

func TestStoryDetails(t *testing.T) {
	b := assess(t, abandoned().as(storyEnd), storyEnd)
	w, _ := findingOf(b, "W-05 2026-07")
	if want := []WorkerAction{{"unpaid", day("2026-07-30")}, {"demand", day("2026-08-03")}}; !slices.Equal(w.WorkerActions, want) {
		t.Errorf("worker's actions: got %v, want %v", w.WorkerActions, want)
	}
	if len(w.Entries) != 1 || w.Entries[0].Stream != attestation.WageEmployer {
		t.Errorf("the junk is not among the entries: %v", w.Entries)
	}
	if !w.AsOf.Equal(at("2026-11-20T00:00:00Z").Add(-60e9)) {
		t.Errorf("absence as of %v, want the time it is proven for", w.AsOf)
	}
	s, _ := findingOf(b, "S-10/worker 2026-Q2")
	if !slices.Equal(s.AlsoAnswerable, []attestation.Role{attestation.AcceptingOrganization}) {
		t.Errorf("also answerable for support: %v", s.AlsoAnswerable)
	}
	p, _ := findingOf(assess(t, underpaid().as(storyEnd), storyEnd), "P-01 FY2025")
	i := slices.IndexFunc(p.Checks, func(c Check) bool { return c.Code == CodeNominal })
	if i < 0 || p.Checks[i].Result != Fail || p.NominalDue != day("2026-05-31") {
		t.Errorf("nominal reading: %v, %v", p.NominalDue, p.Checks)
	}
	for _, f := range assess(t, kept().as(storyEnd), storyEnd).Findings {
		for _, k := range f.Checks {
			if k.Code == CodeRollingGap && k.Result != Pass {
				t.Errorf("%s %s: rolling gap %s: %s", f.Obligation, f.Period, k.Result, k.Detail)
			}
		}
	}
}
