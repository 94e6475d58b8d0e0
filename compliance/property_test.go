package compliance

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"akashi/attestation"

	"pgregory.net/rapid"
)

// drawFile draws records of every kind around the due dates of the spring of 2026: few values, so that they meet.
func drawFile(t *rapid.T) *file {
	f := newFile(25, 0, rapid.SampledFrom([]string{attestation.HolidayPrev, attestation.HolidayNext, attestation.HolidayNone}).Draw(t, "holiday rule"))
	if rapid.IntRange(0, 4).Draw(t, "support") == 0 {
		f.terms.SupportMode, f.terms.Support = attestation.SupportSelf, nil
	}
	for range rapid.IntRange(0, 14).Draw(t, "records") {
		f.drawRecord(t)
	}
	for range rapid.IntRange(0, 4).Draw(t, "statements") {
		f.drawStatement(t)
	}
	slices.SortStableFunc(f.records, func(a, b record) int { return a.logged.Compare(b.logged) })
	return f
}

func drawDay(t *rapid.T, name string) attestation.Date {
	return day("2026-03-01").AddDays(7 * rapid.IntRange(0, 22).Draw(t, name))
}

func (f *file) drawRecord(t *rapid.T) {
	s := rapid.SampledFrom(attestation.Streams).Draw(t, "stream")
	done := drawDay(t, "done")
	logged := done.AddDays(rapid.SampledFrom([]int{0, 0, 1, 3, 40, -2}).Draw(t, "recorded after")).String() + " 12:00"
	p := attestation.PeriodOf(s.Kind(), done)
	if rapid.IntRange(0, 9).Draw(t, "junk") == 0 {
		f.junk(s, p, logged)
		return
	}
	e := f.add(s, p, logged, nil)
	e.Claims = f.drawClaims(t, s, p, done)
	e.Tied = rapid.IntRange(0, 9).Draw(t, "tied") == 0
	if rapid.IntRange(0, 14).Draw(t, "unavailable") == 0 {
		e.Validity, e.Reason = Unavailable, CodeEntryUnavailable
	}
}

func (f *file) drawClaims(t *rapid.T, s attestation.Stream, p attestation.Period, done attestation.Date) any {
	supersedes, withdraws := f.drawLinks(t, s, p)
	amount := rapid.SampledFrom([]*int64{nil, ptr(int64(100_000)), ptr(int64(112_000)), ptr(int64(212_000)), ptr(int64(212_000))}).Draw(t, "amount")
	event := rapid.SampledFrom([]attestation.Date{day("2026-05-12"), day("2026-05-19")}).Draw(t, "event")
	notification := attestation.Notification{Obligation: rapid.SampledFrom([]string{"N-02", "N-06", "H-01"}).Draw(t, "notice"), EventDate: event,
		FiledDate: done, ArrivedDate: done, Supersedes: supersedes, Withdraws: withdraws}
	if s.Kind() == attestation.FiscalYear {
		notification.Obligation, notification.EventDate, notification.Period = "P-01", attestation.Date{}, p
	}
	switch s {
	case attestation.WageEmployer:
		kind := rapid.SampledFrom([]string{attestation.WageRegular, attestation.WageRegular, attestation.WagePart, attestation.WageZero}).Draw(t, "kind")
		return &attestation.WagePayment{Period: p, PaidDate: done, Kind: kind, DeclaredInFull: rapid.Bool().Draw(t, "in full"), Net: amount, Supersedes: supersedes, Withdraws: withdraws}
	case attestation.WageBank:
		source := rapid.SampledFrom([]string{attestation.SourceAccountStatement, attestation.SourceAccountStatement, attestation.SourceTranscribed}).Draw(t, "source")
		return &attestation.WageReceipt{Period: p, ValueDate: done, Source: source, Amount: amount, Supersedes: supersedes, Withdraws: withdraws}
	case attestation.InterviewWorker, attestation.InterviewSuperior:
		return &attestation.SupportInterview{Interviewee: interviewees[s], Date: done, Supersedes: supersedes, Withdraws: withdraws}
	case attestation.NoticeEmployer, attestation.ReportEmployer:
		return &attestation.NotificationFiled{Notification: notification}
	case attestation.NoticeAuthority, attestation.ReportAuthority:
		return &attestation.NotificationReceipt{Notification: notification, Source: attestation.SourceAuthority}
	case attestation.SeparationEmployer, attestation.SeparationOffice:
		reason := rapid.SampledFrom([]*string{nil, ptr(attestation.ReasonEmployer), ptr(attestation.ReasonWorker)}).Draw(t, "reason")
		return &attestation.Separation{EndDate: event, ReasonClass: reason, Supersedes: supersedes, Withdraws: withdraws}
	case attestation.SessionSupport:
		return &attestation.SupportSession{Item: attestation.ItemEnrolled, Date: done}
	}
	return &attestation.Remedy{Duty: attestation.DutyRef{Obligation: "W-05", Period: attestation.MonthOf(done)}, RemediedDate: done}
}

// drawLinks may name an earlier rung of the same slot.
func (f *file) drawLinks(t *rapid.T, s attestation.Stream, p attestation.Period) (supersedes, withdraws string) {
	for _, r := range f.records[:len(f.records)-1] {
		if r.stream != s || r.period != p {
			continue
		}
		switch rapid.IntRange(0, 3).Draw(t, "link") {
		case 0:
			return r.entry.ID, ""
		case 1:
			return "", r.entry.ID
		}
	}
	return "", ""
}

func (f *file) drawStatement(t *rapid.T) {
	kind := rapid.SampledFrom([]string{attestation.StatementUnpaid, attestation.StatementAccept, attestation.StatementEnded, attestation.StatementNotHeld,
		attestation.StatementContradiction, attestation.StatementRetract, attestation.StatementFiled}).Draw(t, "kind of statement")
	on := drawDay(t, "stated on")
	s := rapid.SampledFrom([]attestation.Stream{wageEmployer, interviewW}).Draw(t, "about")
	about := &attestation.About{Stream: s, Period: attestation.PeriodOf(s.Kind(), drawDay(t, "about the period of"))}
	switch kind {
	case attestation.StatementEnded:
		about = &attestation.About{EndDate: day("2026-05-12"), ReasonClass: rapid.SampledFrom([]string{"", attestation.ReasonEmployer}).Draw(t, "stated reason")}
	case attestation.StatementFiled:
		about = &attestation.About{Obligation: "H-01", EventDate: day("2026-05-12")}
	case attestation.StatementRetract:
		about = &attestation.About{ID: fmt.Sprintf("statement/%d", rapid.IntRange(0, 3).Draw(t, "retracts"))}
	}
	f.state(kind, on.String(), about)
}

func drawAsOf(t *rapid.T) time.Time {
	return day("2026-04-01").AddDays(rapid.IntRange(0, 230).Draw(t, "as of")).Start()
}

// spoilTimes draws time bounds that no log gives, and closes ladders and heads at will.
func spoilTimes(t *rapid.T, ev *Evidence) {
	ev.Audited = rapid.IntRange(0, 5).Draw(t, "audited") > 0
	for i := range ev.Ladders {
		for j := range ev.Ladders[i].Rungs {
			e := &ev.Ladders[i].Rungs[j]
			switch rapid.IntRange(0, 6).Draw(t, "times") {
			case 0:
				e.ExistedBy = time.Time{}
			case 1:
				e.NotBefore = time.Time{}
			case 2:
				e.ExistedBy = e.ExistedBy.Add(30 * 24 * time.Hour)
			case 3:
				e.J = rapid.IntRange(-1, 70).Draw(t, "j")
			}
		}
	}
}

func TestEveryDutyHasOneFinding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, asOf := drawFile(t), drawAsOf(t)
		ev := f.as(asOf)
		spoilTimes(t, &ev)
		a, err := Assess(ev, asOf)
		if err != nil {
			t.Fatal(err)
		}
		counts, gaps, seen := map[string]int{}, map[string]int{"worker": 0}, map[string]Finding{}
		for _, d := range a.Findings {
			counts[d.Finding.String()]++
			gaps[string(d.DutyHolder)] += 0
			if d.Finding.Gap() {
				gaps[string(d.DutyHolder)]++
			}
			name := d.Obligation + " " + d.Period
			if _, twice := seen[name]; twice {
				t.Fatalf("two findings of %s", name)
			}
			seen[name] = d.Finding
		}
		if !maps.Equal(counts, a.Counts) || !maps.Equal(gaps, a.Gaps) {
			t.Fatalf("counts %v, gaps %v; counted %v, %v", a.Counts, a.Gaps, counts, gaps)
		}
		duties, err := Calendar(f.terms, openCase(&ev, asOf).ends.events, ev.From, ev.To)
		if err != nil {
			t.Fatal(err)
		}
		left := maps.Clone(seen)
		for _, d := range duties {
			_, found := seen[d.Obligation+" "+d.Period]
			paid := seen["W-05 "+d.Period]
			if want := d.Obligation != "W-03" || paid == Fulfilled || paid == AttestedLate || paid == PerformedLate; found != want {
				t.Fatalf("%s %s: found %t, want %t", d.Obligation, d.Period, found, want)
			}
			delete(left, d.Obligation+" "+d.Period)
		}
		if len(left) > 0 {
			t.Fatalf("findings without a duty: %v", left)
		}
	})
}

func gapsOf(t *rapid.T, ev Evidence, asOf time.Time) map[string]Finding {
	a, err := Assess(ev, asOf)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Finding{}
	for _, f := range a.Findings {
		out[f.Obligation+" "+f.Period] = f.Finding
	}
	return out
}

// Closing a period never makes a gap. Closing a slot of separations may hide an end of the contract, so that duties of later periods
// appear; even then nothing becomes absent, and no duty from an event becomes a gap.
func TestClosingAPeriodMakesNoGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, asOf := drawFile(t), drawAsOf(t)
		ev := f.as(asOf)
		before := gapsOf(t, ev, asOf)
		i := rapid.SampledFrom(closable(&ev)).Draw(t, "closed")
		l := &ev.Ladders[i]
		separation := l.Stream == attestation.SeparationEmployer || l.Stream == attestation.SeparationOffice
		hide(&ev, l.Stream, l.Period)
		for duty, finding := range gapsOf(t, ev, asOf) {
			ofEvent := duty[0] == 'N' || duty[0] == 'H'
			if finding.Gap() && !before[duty].Gap() && (!separation || finding == Absent || ofEvent) {
				t.Fatalf("closing %s %s turned %s from %s to %s", l.Stream, l.Period, duty, before[duty], finding)
			}
			if finding == Absent && before[duty] != Absent && before[duty] != Remedied {
				t.Fatalf("closing %s %s turned %s from %s to absent", l.Stream, l.Period, duty, before[duty])
			}
		}
	})
}

// closable lists the slots that hold something, and some that hold nothing.
func closable(ev *Evidence) []int {
	var out []int
	for i, l := range ev.Ladders {
		if len(l.Rungs) > 0 || i%7 == 0 {
			out = append(out, i)
		}
	}
	return out
}

// Junk above a ladder changes no finding.
func TestJunkChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, asOf := drawFile(t), drawAsOf(t)
		ev := f.as(asOf)
		before := gapsOf(t, ev, asOf)
		l := &ev.Ladders[rapid.SampledFrom(closable(&ev)).Draw(t, "slot")]
		l.Rungs = append(l.Rungs, Entry{J: len(l.Rungs), Validity: Junk, ExistedBy: asOf, NotBefore: asOf.Add(-time.Hour)})
		if after := gapsOf(t, ev, asOf); !maps.Equal(before, after) {
			t.Fatalf("junk in %s %s: %v, before %v", l.Stream, l.Period, after, before)
		}
	})
}

// The employer's record made after grace closes no gap.
func TestLateOwnRecordClosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		asOf := at("2026-11-20")
		before := gapsOf(t, f.as(asOf), asOf)
		p := attestation.MonthOf(drawDay(t, "month"))
		f.pay(p, payDay(&f.terms, occasion{period: p}).AddDays(-10).String(), "2026-11-01 12:00")
		after := gapsOf(t, f.as(asOf), asOf)
		for _, duty := range []string{"W-05 " + string(p), "W-03 " + string(p)} {
			if was, known := before[duty]; known && was.Gap() && (after[duty] == Fulfilled || after[duty] == NotDue || after[duty] == Pending) {
				t.Fatalf("%s went from %s to %s", duty, was, after[duty])
			}
		}
	})
}

// The more that is withheld of the amounts, the less is known: never a gap that was not there.
func TestWithholdingAnAmountMakesNoGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, asOf := drawFile(t), drawAsOf(t)
		before := gapsOf(t, f.as(asOf), asOf)
		for i := range f.records {
			if rapid.Bool().Draw(t, "withheld") {
				withhold(&f.records[i].entry)
			}
		}
		for duty, finding := range gapsOf(t, f.as(asOf), asOf) {
			if finding.Gap() && !before[duty].Gap() {
				t.Fatalf("withholding turned %s from %s to %s", duty, before[duty], finding)
			}
		}
	})
}

func withhold(e *Entry) {
	switch v := e.Claims.(type) {
	case *attestation.WagePayment:
		w := *v
		w.Net = nil
		e.Claims = &w
	case *attestation.WageReceipt:
		w := *v
		w.Amount = nil
		e.Claims = &w
	case *attestation.Separation:
		w := *v
		w.ReasonClass = nil
		e.Claims = &w
	}
}
