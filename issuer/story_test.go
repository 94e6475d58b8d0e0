package issuer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/schemas"
	"akashi/testdata/story"
	"akashi/testdata/story/storygen"
)

func storyFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := story.File(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestStoryFilesAreWhatTheFactsGive(t *testing.T) {
	files, err := storygen.Files()
	if err != nil {
		t.Fatal(err)
	}
	names := story.Names()
	for _, name := range names {
		if !bytes.Equal(storyFile(t, name), files[name]) {
			t.Errorf("%s differs: run go run ./testdata/story/generate", name)
		}
	}
	if len(names) != len(files) {
		t.Errorf("%d files embedded, %d generated", len(names), len(files))
	}
}

// fact is a wage as the story's table has it: period, due or paid date, and amount.
type fact struct {
	period, paid string
	net          int64
}

func facts(lines string) (out []fact) {
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		var f fact
		fmt.Sscan(line, &f.period, &f.paid, &f.net)
		out = append(out, f)
	}
	return out
}

// Wages as employers record them, in the order of recording.
var recorded = map[string][]fact{
	"A": facts("2025-11 2025-11-25 212000\n2025-12 2025-12-25 212000\n2026-01 2026-01-23 212000\n2026-02 2026-02-25 0\n2026-03 2026-03-25 212000\n2026-04 2026-04-24 212000\n2026-04 2026-04-24 212000\n" +
		"2026-05 2026-05-25 212000\n2026-06 2026-06-25 212000\n2026-07 2026-07-24 212000\n2026-08 2026-08-25 212000\n2026-09 2026-09-25 212000\n2026-10 2026-10-23 212000"),
	"B": facts("2025-11 2025-11-25 212000\n2025-12 2025-12-25 212000\n2026-01 2026-01-26 212000\n2026-02 2026-02-25 212000\n2026-03 2026-03-25 212000\n2026-04 2026-04-27 212000\n2026-05 2026-05-29 212000\n2026-06 2026-06-25 212000"),
	"C": facts("2025-11 2025-12-10 212000\n2025-12 2026-01-13 212000\n2026-01 2026-02-10 212000\n2026-02 2026-03-16 212000\n2026-03 2026-04-10 212000\n2026-04 2026-05-11 212000\n2026-05 2026-06-10 212000\n2026-06 2026-07-10 212000\n" +
		"2026-07 2026-08-21 212000\n2026-08 2026-09-10 212000\n2026-09 2026-10-13 212000"),
}

// Wages as the bank credits them.
var credited = map[string][]fact{
	"A": slices.DeleteFunc(slices.CompactFunc(slices.Clone(recorded["A"]), func(a, b fact) bool { return a == b }), func(f fact) bool { return f.net == 0 }),
	"B": recorded["B"][:7],
	"C": underpaid(recorded["C"]),
}

func underpaid(wages []fact) []fact {
	out := slices.Clone(wages)
	for i := 5; i <= 7; i++ {
		out[i].net = 170_000
	}
	return out
}

func TestStoryPayroll(t *testing.T) {
	got := map[string][]fact{}
	hours := map[string]string{}
	for _, item := range story.Timeline() {
		if item.Type != attestation.TypeWagePayment {
			continue
		}
		m, err := ParseMapping(storyFile(t, item.Mapping))
		if err != nil {
			t.Fatalf("%s: %v", item.Mapping, err)
		}
		p := ParsePayroll(item.File, storyFile(t, item.File), m, ledgerKey)
		if len(p.Errors) != 0 || len(p.Rows) != 1 || p.Encoding != map[string]Encoding{"A": CP932, "B": CP932, "C": UTF8BOM}[item.Engagement] || len(p.Ignored) == 0 {
			t.Fatalf("%s: got %d rows in %s, ignored %q, errors %v", item.File, len(p.Rows), p.Encoding, p.Ignored, p.Errors)
		}
		w := p.Rows[0].Claims
		if p.Rows[0].Reference != employeeNumber(item.Engagement) || w.Period != item.Period || w.From != w.Period.First() || w.To != w.Period.Last() || w.Method != "transfer" || !w.DeclaredInFull {
			t.Errorf("%s: got %+v", item.File, w)
		}
		checkSlip(t, item.File, w)
		got[item.Engagement] = append(got[item.Engagement], fact{string(w.Period), w.PaidDate.String(), *w.Net})
		hours[item.File] = w.Hours.Overtime
		checkSchema(t, item.File, attestation.TypeWagePayment, w)
	}
	for e, want := range recorded {
		if !slices.Equal(got[e], want) {
			t.Errorf("%s: got %v, want %v", e, got[e], want)
		}
	}
	if hours["payroll/A-2026-04.csv"] != "80.0" || hours["payroll/A-2026-04-correction.csv"] != "8.0" {
		t.Errorf("A 2026-04: got %s, then %s overtime hours", hours["payroll/A-2026-04.csv"], hours["payroll/A-2026-04-correction.csv"])
	}
}

func employeeNumber(engagement string) string {
	for _, p := range story.Parties() {
		if p.Engagement == engagement {
			return p.EmployeeNumber
		}
	}
	return ""
}

// checkSlip compares a payslip with the one of the story: every month the same, but for the month of leave.
func checkSlip(t *testing.T, file string, w attestation.WagePayment) {
	t.Helper()
	want := []int64{230_000, 20_000, 15_625, 265_625, 13_000, 23_800, 1_500, 5_325, 10_000, 212_000}
	kind := attestation.WageRegular
	if file == "payroll/A-2026-02.csv" {
		want, kind = make([]int64, len(want)), attestation.WageZero
	}
	d := w.Deductions
	got := []int64{*w.Base, w.Allowances["skill"], w.OvertimePay["overtime"], *w.Gross, d["health"], d["pension"], d["employment_insurance"], d["income_tax"], d["rent"], *w.Net}
	if !slices.Equal(got, want) || w.Kind != kind {
		t.Errorf("%s: got %s wage %v, want %s %v", file, w.Kind, got, kind, want)
	}
}

// checkSchema adds what the issuing service adds and validates against the type's schema.
func checkSchema(t *testing.T, file string, typ attestation.Type, claims any) {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var payload map[string]any
	if err := keys.DecodeJSON(text, &payload); err != nil {
		t.Fatal(err)
	}
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	payload["vct"], payload["engagement"] = typ.VCT(), zero
	if typ == attestation.TypeEngagement {
		delete(payload, "engagement")
		payload["registry"] = "registry.example/log"
		payload["slots"] = map[string]any{"wage-employer": map[string]any{"2025-11": map[string]any{"s": zero}}}
	}
	if text, err = json.Marshal(payload); err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate(typ.VCT(), text); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func TestStoryBank(t *testing.T) {
	payers := map[string]string{}
	accounts := map[string]string{}
	for _, p := range story.Parties() {
		if p.PayerKana != "" {
			payers[strings.TrimPrefix(p.Actor, "employer-")] = p.PayerKana
		}
		if p.Account != "" {
			accounts[p.Engagement] = "9999-999-" + p.Account
		}
	}
	got := map[string][]fact{}
	others := 0
	for _, item := range story.Timeline() {
		if item.Type != attestation.TypeWageReceipt {
			continue
		}
		b := ParseZengin(item.File, storyFile(t, item.File))
		if len(b.Errors) != 0 || b.Accounts != 1 || len(b.Skipped) < 3 {
			t.Fatalf("%s: got %d accounts, %d skipped, errors %v", item.File, b.Accounts, len(b.Skipped), b.Errors)
		}
		for _, r := range b.Rows {
			if r.Reference() != accounts[item.Engagement] || r.Reference() != item.Reference {
				t.Errorf("%s: account %s", item.File, r.Reference())
			}
			if MatchKana(r.PayerName) != MatchKana(payers[item.Engagement]) {
				others++
				continue
			}
			if r.TransactionClass != "11" {
				t.Errorf("%s: class %s", item.File, r.TransactionClass)
			}
			if attestation.DateOf(item.At).DaysSince(r.ValueDate) < 1 || item.At.In(attestation.JST).Format("15:04") != "09:30" {
				t.Errorf("%s: value date %s, recorded at %s", item.File, r.ValueDate, item.At)
			}
			got[item.Engagement] = append(got[item.Engagement], fact{string(item.Period), r.ValueDate.String(), r.Amount})
		}
	}
	for e, want := range credited {
		if !slices.Equal(got[e], want) {
			t.Errorf("%s: got %v, want %v", e, got[e], want)
		}
	}
	if others == 0 {
		t.Error("no transfer from anybody but the employers: the payer's name would not be tested")
	}
}

func TestStoryBankRecordsOnTheNextBusinessDay(t *testing.T) {
	closed := func(d attestation.Date) bool {
		holiday, err := schemas.Holidays().IsNational(d.Year, d.Month, d.Day)
		if err != nil {
			t.Fatal(err)
		}
		yearEnd := d.Month == time.December && d.Day == 31 || d.Month == time.January && d.Day <= 3
		return holiday || yearEnd || d.Weekday() == time.Saturday || d.Weekday() == time.Sunday
	}
	for _, item := range story.Timeline() {
		if item.Actor != "bank" || item.Action != "import" {
			continue
		}
		text := string(storyFile(t, item.File)[16:22]) // last day of the file
		last := attestation.NewDate(2018+int(text[0]-'0')*10+int(text[1]-'0'), time.Month(int(text[2]-'0')*10+int(text[3]-'0')), int(text[4]-'0')*10+int(text[5]-'0'))
		day := last.AddDays(1)
		for closed(day) {
			day = day.AddDays(1)
		}
		if attestation.DateOf(item.At) != day {
			t.Errorf("%s: recorded on %s, want %s", item.File, attestation.DateOf(item.At), day)
		}
	}
}

func TestStoryInterviews(t *testing.T) {
	type held struct{ reference, interviewee, date, logged string }
	first := map[held]bool{}
	seen := map[[3]string]bool{}
	for _, item := range story.Timeline() {
		if item.Type != attestation.TypeSupportInterview {
			continue
		}
		s := ParseInterviews(item.File, storyFile(t, item.File))
		if len(s.Errors) != 0 {
			t.Fatalf("%s: %v", item.File, s.Errors)
		}
		for _, r := range s.Rows {
			checkSchema(t, item.File, item.Type, r.Claims)
			if id := [3]string{r.Reference, r.Claims.Interviewee, r.Claims.Date.String()}; !seen[id] {
				seen[id] = true
				first[held{id[0], id[1], id[2], item.At.In(attestation.JST).Format("2006-01-02 15:04")}] = true
			}
			if attestation.QuarterOf(r.Claims.Date) != item.Period {
				t.Errorf("%s: %s lies outside %s", item.File, r.Claims.Date, item.Period)
			}
		}
	}
	want := map[held]bool{}
	for e, days := range map[string]string{"01": "2025-12-10 2026-03-05 2026-06-03 2026-09-02", "02": "2025-12-12 2026-03-11", "03": "2025-12-15 2026-03-12 2026-06-10 2026-09-03"} {
		for _, d := range strings.Fields(days) {
			date, _ := attestation.ParseDate(d)
			logged := date.AddDays(3).String() + " 12:00"
			want[held{"S-2510-" + e, "worker", d, logged}] = true
			if d == "2026-06-10" {
				logged = "2026-07-21 12:00"
			}
			want[held{"S-2510-" + e, "supervisor", d, logged}] = true
		}
	}
	for h := range want {
		if !first[h] {
			t.Errorf("missing: %+v", h)
		}
	}
	if len(first) != len(want) {
		t.Errorf("%d interviews, want %d", len(first), len(want))
	}
}

func TestStoryNoticesAndSeparations(t *testing.T) {
	var got []string
	for _, item := range story.Timeline() {
		when := item.At.In(attestation.JST).Format("2006-01-02 15:04")
		switch item.Type {
		case attestation.TypeNotificationFiled:
			s := ParseNotifications(item.File, storyFile(t, item.File))
			if len(s.Errors) != 0 || len(s.Rows) != 1 {
				t.Fatalf("%s: %v", item.File, s.Errors)
			}
			n := s.Rows[0].Claims
			checkSchema(t, item.File, item.Type, n)
			got = append(got, fmt.Sprintf("%s %s %s %s%s filed %s arrived %s", when, item.Actor, n.Obligation, n.Period, n.EventDate, n.FiledDate, n.ArrivedDate))
		case attestation.TypeSeparation:
			s := ParseSeparations(item.File, storyFile(t, item.File))
			if len(s.Errors) != 0 || len(s.Rows) != 1 || s.Rows[0].Reference != item.Reference {
				t.Fatalf("%s: %v", item.File, s.Errors)
			}
			checkSchema(t, item.File, item.Type, s.Rows[0].Claims)
			got = append(got, fmt.Sprintf("%s %s end %s %s", when, item.Actor, s.Rows[0].Claims.EndDate, *s.Rows[0].Claims.ReasonClass))
		}
	}
	want := []string{
		"2026-05-15 17:00 employer-A P-01 FY2025 filed 2026-05-15 arrived 2026-05-15",
		"2026-05-20 17:00 employer-B P-01 FY2025 filed 2026-05-20 arrived 2026-05-20",
		"2026-06-01 17:00 employer-C P-01 FY2025 filed 2026-06-01 arrived 2026-06-01",
		"2026-08-20 12:00 authority end 2026-07-10 employer",
		"2026-10-02 12:00 employer-C end 2026-09-30 worker",
		"2026-10-22 17:00 employer-C N-02 2026-09-30 filed 2026-10-22 arrived 2026-10-22",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStoryEngagements(t *testing.T) {
	jwk := holderJWK(t)
	for name, want := range map[string]string{
		"A": "8990000000001 mfg Aichi 31 25 0 prev ｶ)ﾐﾎﾝA", "B": "7990000000002 food Ibaraki 31 25 0 next ｶ)ﾐﾎﾝB", "C": "6990000000003 bldgclean Osaka 31 10 1 next ｶ)ﾐﾎﾝC",
	} {
		file := "engagement/" + name + ".csv"
		s := ParseEngagements(file, story.FillEngagement(storyFile(t, file), jwk, "a.b.c"))
		if len(s.Errors) != 0 || len(s.Rows) != 1 || len(s.Ignored) != 0 {
			t.Fatalf("%s: ignored %q, errors %v", file, s.Ignored, s.Errors)
		}
		r := s.Rows[0]
		e := r.Claims.Engagement
		got := fmt.Sprintln(e.Employer.ID, e.Field, *e.Terms.Prefecture, e.ClosingDay, e.PayDay, e.PayMonthOffset, e.HolidayRule, *e.Terms.PayerKana)
		if strings.TrimSpace(got) != want || r.Reference != employeeNumber(name) || r.Claims.HolderJWK != jwk || r.Claims.DeliveryProof != "a.b.c" {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if e.Start.String() != "2025-11-01" || e.End.String() != "2027-10-31" || e.Class != "i" || e.SupportMode != "full" || e.Support.ID != "19登-999999" || e.PayMethod != "transfer" ||
			*e.Terms.EstimatedNet != 212_000 || *e.Terms.BaseAmount != 230_000 || e.WorkerIdentity.StayUntil.String() != "2026-10-28" {
			t.Errorf("%s: got %+v", name, e)
		}
		sum := sha256.Sum256(storyFile(t, "contract/"+name+".txt"))
		if e.ContractHash != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("%s: the contract hash is not that of the contract", name)
		}
		checkSchema(t, file, attestation.TypeEngagement, e)
	}
}

func TestStoryEnrolments(t *testing.T) {
	rows := map[string]string{}
	for _, item := range story.Timeline() {
		if item.Action != "enrol" {
			continue
		}
		s := ParseEnrolments(item.File, storyFile(t, item.File))
		if len(s.Errors) != 0 {
			t.Fatalf("%s: %v", item.File, s.Errors)
		}
		for _, r := range s.Rows {
			if r.Reference == item.Reference {
				rows[item.Actor+" "+item.Engagement] = r.Claims.Presentation
			}
		}
	}
	if len(rows) != 7 || rows["bank A"] != "A-bank.sdjwt" || rows["authority B"] != "B-authority.sdjwt" {
		t.Errorf("got %v, want bank and supporter for each engagement, and the authority for B", rows)
	}
}

func TestStoryStatements(t *testing.T) {
	var got []string
	for _, item := range story.Timeline() {
		if item.Action != "statement" {
			continue
		}
		s, ok := story.StatementNamed(item.Statement)
		if !ok || s.Engagement != item.Engagement || !item.At.Equal(s.Claims.Date.Start().Add(20*time.Hour)) {
			t.Errorf("%s at %s: %+v", item.Statement, item.At, s)
			continue
		}
		checkSchema(t, s.Name, attestation.TypeWorkerStatement, s.Claims)
		got = append(got, fmt.Sprintf("%s %s %s", s.Engagement, s.Claims.Date, *s.Claims.Kind))
	}
	want := []string{"A 2026-02-26 accept", "B 2026-07-03 unpaid", "B 2026-07-13 ended", "B 2026-07-21 filed", "B 2026-07-22 job-search", "B 2026-07-30 unpaid", "B 2026-08-03 demand", "B 2026-09-10 job-search",
		"C 2026-10-03 accept", "B 2026-10-05 job-search", "C 2026-10-09 filed"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStoryTimeline(t *testing.T) {
	items := story.Timeline()
	stops := map[time.Time]bool{}
	closed := map[time.Time]bool{}
	actions := map[string]int{}
	for i, item := range items {
		if i > 0 && item.At.Before(items[i-1].At) {
			t.Errorf("item %d goes back in time", i)
		}
		stops[item.At] = true
		actions[item.Action]++
		if item.Action == "checkpoint" {
			closed[item.At] = true
		}
		if strings.HasPrefix(item.Action, "assess") && !closed[item.At] {
			t.Errorf("judged at %s without a checkpoint", item.At)
		}
	}
	if actions["log-engagement"] != 3 || actions["enrol"] != 7 || actions["junk"] != 1 || actions["assess"] != 3 || len(stops) < 130 {
		t.Errorf("got %v at %d instants", actions, len(stops))
	}
	last := items[len(items)-1]
	if last.Action != "assess" || last.Engagement != "C" || !last.At.Equal(story.Expected().AsOf) || len(last.Hide) != 1 || last.Hide[0] != (story.Hidden{Type: attestation.TypeWageReceipt, Period: "2026-03"}) {
		t.Errorf("the story ends with %+v", last)
	}
	for _, f := range story.Earlier() {
		if !closed[f.AsOf] {
			t.Errorf("no checkpoint at %s", f.AsOf)
		}
	}
	for e, c := range story.Expected().Engagements {
		for _, f := range c.Findings {
			if stop := f.Due.AddDays(10).End().Add(time.Hour); stop.Before(last.At) && !closed[stop] {
				t.Errorf("%s %s %s: no checkpoint after grace", e, f.Obligation, f.Period)
			}
		}
	}
}

// TestStoryTotals compares the expected findings with the story's table of totals.
func TestStoryTotals(t *testing.T) {
	expected := story.Expected()
	if got := expected.AsOf.Format(time.RFC3339); got != "2026-11-20T00:00:00Z" {
		t.Errorf("as of %s", got)
	}
	columns := []string{"fulfilled", "performed_late", "attested_late", "contradicted", "absent", "undisclosed", "not_due"}
	for e, want := range map[string][]int{"A": {33, 0, 0, 0, 0, 0, 3, 36, 0, 0, 0}, "B": {19, 1, 0, 1, 5, 0, 1, 27, 5, 2, 0}, "C": {25, 3, 1, 3, 0, 1, 1, 34, 6, 1, 0}} {
		c := expected.Engagements[e]
		counted := map[string]int{}
		for _, f := range c.Findings {
			counted[f.Finding]++
			if f.Reason == "" || f.Due.IsZero() || f.CorroboratedBy == nil {
				t.Errorf("%s: %+v is not complete", e, f)
			}
		}
		var got []int
		for _, column := range columns {
			got = append(got, counted[column])
			if counted[column] != c.Counts[column] {
				t.Errorf("%s: %d %s counted, %d stated", e, counted[column], column, c.Counts[column])
			}
		}
		got = append(got, len(c.Findings), c.Gaps["accepting-organization"], c.Gaps["support-organization"], c.Gaps["worker"])
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", e, got, want)
		}
	}
	if n := len(story.Earlier()); n != 21 {
		t.Errorf("%d findings judged earlier, want 21", n)
	}
}

func TestStoryParties(t *testing.T) {
	roles := map[attestation.Role]int{}
	for _, p := range story.Parties() {
		roles[p.Role]++
		if p.Role == attestation.Worker {
			continue
		}
		if err := attestation.CheckEntityID(p.ID); err != nil || p.From.String() != "2025-10-01" || p.Name["ja"] == "" || p.Name["en"] == "" {
			t.Errorf("%s: %+v: %v", p.Actor, p, err)
		}
	}
	if roles[attestation.AcceptingOrganization] != 3 || roles[attestation.SupportOrganization] != 1 || roles[attestation.Bank] != 1 || roles[attestation.Authority] != 1 || roles[attestation.Worker] != 3 {
		t.Errorf("got %v", roles)
	}
}
