package compliance

import (
	"testing"
	"time"

	"akashi/attestation"
)

// blank is a contract as A's of which nothing is recorded.
func blank() *file { return newFile(25, 0, attestation.HolidayPrev) }

const (
	june  = attestation.Period("2026-06") // due 2026-06-25, grace until 2026-07-05 24:00
	q2    = attestation.Period("2026-Q2") // due 2026-06-30, grace until 2026-07-10 24:00
	ended = "2026-07-10"                  // N-02 due 2026-07-24, grace until 2026-08-03 24:00
)

var (
	wageEmployer = attestation.WageEmployer
	wageBank     = attestation.WageBank
	interviewW   = attestation.InterviewWorker
)

func TestRules(t *testing.T) {
	type row struct {
		name  string
		file  func(*file)
		spoil func(*Evidence)
		duty  string
		want  string
		code  string // a check that must be there
	}
	const (
		pay    = "W-05 2026-06"
		amount = "W-03 2026-06"
		meet   = "S-10/worker 2026-Q2"
		n02    = "N-02 " + ended
		n06    = "N-06 " + ended
		h01    = "H-01 " + ended
		due    = "2026-06-25 "
	)
	ok := func(f *file) { f.paid(june, "2026-06-25") }
	own := func(f *file) { f.pay(june, "2026-06-25", "2026-06-25 18:00") }
	nothing := func(*file) {}
	asIs := func(*Evidence) {}
	closing := func(s attestation.Stream, p attestation.Period) func(*Evidence) {
		return func(ev *Evidence) { hide(ev, s, p) }
	}
	endBy := func(reason string) func(*file) {
		return func(f *file) { f.separation(attestation.SeparationOffice, ended, reason, "2026-07-15 12:00") }
	}
	rung := func(s attestation.Stream, p attestation.Period, j int, change func(*Entry)) func(*Evidence) {
		return func(ev *Evidence) { change(&ladderOf(ev, s, p).Rungs[j]) }
	}
	both := func(fs ...func(*file)) func(*file) {
		return func(f *file) {
			for _, g := range fs {
				g(f)
			}
		}
	}
	part := func(paid, logged string, net int64, inFull bool) func(*file) {
		return func(f *file) {
			_, v := f.pay(june, paid, logged)
			v.Kind, v.Net, v.DeclaredInFull = attestation.WagePart, &net, inFull
		}
	}
	credit := func(value, logged string, yen int64) func(*file) {
		return func(f *file) { f.credit(june, value, logged, yen) }
	}
	unpaidOn := func(date string) func(*file) {
		return func(f *file) { f.state(attestation.StatementUnpaid, date, wage(june)) }
	}
	withdrawal := func(s attestation.Stream, logged string) func(*file) {
		return func(f *file) {
			id := f.firstID(s, june)
			if s == wageBank {
				_, v := f.credit(june, "2026-06-25", logged, 0)
				v.Withdraws = id
				return
			}
			_, v := f.pay(june, "2026-06-25", logged)
			v.Withdraws = id
		}
	}
	correction := func(paid, logged string, net int64) func(*file) {
		return func(f *file) {
			id := f.firstID(wageEmployer, june)
			_, v := f.pay(june, paid, logged)
			v.Supersedes, v.Net = id, &net
		}
	}
	zero := func(f *file) {
		_, v := f.pay(june, "2026-06-25", "2026-06-25 18:00")
		v.Kind, v.Net = attestation.WageZero, ptr(int64(0))
	}
	source := func(s string) func(*file) {
		return func(f *file) {
			_, v := f.credit(june, "2026-06-25", "2026-06-26 09:30", 212_000)
			v.Source = s
		}
	}
	remedied := func(on string) func(*file) {
		return func(f *file) {
			f.add(attestation.RemedyEmployer, "events-FY2026", on+" 12:00", &attestation.Remedy{Duty: attestation.DutyRef{Obligation: "W-05", Period: june}, RemediedDate: day(on)})
		}
	}

	receipt := func(source, arrived, withdraws string) func(*file) {
		return func(f *file) {
			f.add(attestation.NoticeAuthority, "events-FY2026", "2026-09-01 12:00", &attestation.NotificationReceipt{Source: source, Notification: attestation.Notification{
				Obligation: "N-02", EventDate: day(ended), FiledDate: day(arrived), ArrivedDate: day(arrived), Withdraws: withdraws}})
		}
	}

	for _, r := range []row{
		// What is not there.
		{"both wage slots empty", nothing, asIs, pay, due + "absent" + ao, CodeMapAbsent},
		{"no finding about the amount of a wage not paid", nothing, asIs, amount, "", ""},
		{"junk fulfils nothing", func(f *file) { f.junk(wageEmployer, june, "2026-06-25 18:00") }, asIs, pay, due + "absent" + ao, CodeEntryJunk},
		{"junk blocks nothing", both(func(f *file) { f.junk(wageEmployer, june, "2026-06-24 18:00") }, ok), asIs, pay, due + "fulfilled" + aoB, CodeEntryJunk},
		{"an attestation in no ladder counts for nothing", ok, func(ev *Evidence) {
			ladderOf(ev, wageEmployer, june).Rungs, ladderOf(ev, wageBank, june).Rungs = nil, nil
		}, pay, due + "absent" + ao, CodeMapAbsent},
		{"a rung ahead of a gap counts for nothing", own, rung(wageEmployer, june, 0, func(e *Entry) { e.J = 1 }), pay, due + "unknown" + ao, CodeLadderIncomplete},
		{"a record of another month is misplaced", func(f *file) { _, v := f.pay(june, "2026-06-25", "2026-06-25 18:00"); v.Period = "2026-05" }, asIs, pay, due + "absent" + ao, CodeEntryMisplaced},
		{"a record by another employer is misplaced", own, rung(wageEmployer, june, 0, func(e *Entry) { e.Attester = "7990000000002" }), pay, due + "absent" + ao, CodeEntryMisplaced},
		{"claims of another type are misplaced", own, rung(wageEmployer, june, 0, func(e *Entry) { e.Claims = &attestation.WageReceipt{Period: june} }), pay, due + "absent" + ao, CodeEntryMisplaced},
		{"no claims are misplaced", own, rung(wageEmployer, june, 0, func(e *Entry) { e.Claims = (*attestation.WagePayment)(nil) }), pay, due + "absent" + ao, CodeEntryMisplaced},
		{"a wage logged before it is paid is junk", func(f *file) { f.pay(june, "2026-06-25", "2026-06-24 18:00") }, asIs, pay, due + "absent" + ao, CodeEntryPremature},
		{"a full ladder is closed", func(f *file) {
			for range fullLadder {
				f.junk(wageEmployer, june, "2026-06-25 18:00")
			}
		}, func(ev *Evidence) { ladderOf(ev, wageEmployer, june).Closed = false }, pay, due + "absent" + ao, CodeEntryJunk},
		{"the last of a full ladder counts", func(f *file) {
			for range fullLadder - 1 {
				f.junk(wageEmployer, june, "2026-06-25 17:00")
			}
			own(f)
		}, func(ev *Evidence) { ladderOf(ev, wageEmployer, june).Closed = false }, pay, due + "fulfilled" + ao + " own", ""},

		// What was not shown is not absent.
		{"the employer's period not opened", nothing, closing(wageEmployer, june), pay, due + "undisclosed" + ao, CodeSlotNotOpened},
		{"the bank's period not opened", nothing, closing(wageBank, june), pay, due + "undisclosed" + ao, CodeSlotNotOpened},
		{"a payment shown beside a period not opened", own, closing(wageBank, june), pay, due + "fulfilled" + ao + " own", CodeSlotNotOpened},
		{"the amount needs both periods", own, closing(wageBank, june), amount, due + "undisclosed" + ao, CodeSlotNotOpened},
		{"a late record beside the bank's period not opened", func(f *file) { f.pay(june, "2026-06-25", "2026-08-01") }, closing(wageBank, june), pay, due + "undisclosed" + ao, CodeSlotNotOpened},
		{"the worker's word against a period not opened", both(own, unpaidOn("2026-07-03")), closing(wageBank, june), pay, due + "undisclosed" + ao, CodeSlotNotOpened},
		{"an amount withheld", ok, rung(wageBank, june, 0, func(e *Entry) {
			e.Claims = &attestation.WageReceipt{Period: june, ValueDate: day("2026-06-25"), Source: "account-statement"}
		}), amount, due + "undisclosed" + ao, CodeClaimWithheld},
		{"visible claims of what was not presented", ok, rung(wageBank, june, 0, func(e *Entry) { e.Presented = false }), pay, due + "fulfilled" + aoB, ""},
		{"an interview not opened", nothing, closing(interviewW, q2), meet, "2026-06-30 undisclosed" + rso, CodeSlotNotOpened},
		{"no absence while an end of the contract is not excluded", nothing, closing(attestation.SeparationEmployer, "events-FY2025"), pay, due + "undisclosed" + ao, CodeEndNotExcluded},
		{"an end of later years does not matter", nothing, closing(attestation.SeparationEmployer, "events-FY2027"), pay, due + "absent" + ao, ""},
		{"no gap of an event while its facts are not all shown", endBy("employer"), closing(attestation.SeparationEmployer, "events-FY2026"), n02, "2026-07-24 undisclosed" + ao, CodeEndNotExcluded},

		// What cannot be verified is unknown.
		{"not audited", nothing, func(ev *Evidence) { ev.Audited = false }, pay, due + "unknown" + ao, CodeAuditorsQuorum},
		{"no head", nothing, func(ev *Evidence) { ev.AbsentAsOf = time.Time{} }, pay, due + "unknown" + ao, CodeHeadFresh},
		{"a stale head", nothing, func(ev *Evidence) { ev.AbsentAsOf = storyEnd.Add(-24*time.Hour - time.Second) }, pay, due + "unknown" + ao, CodeHeadFresh},
		{"a head of 24 hours", nothing, func(ev *Evidence) { ev.AbsentAsOf = storyEnd.Add(-24 * time.Hour) }, pay, due + "absent" + ao, CodeMapAbsent},
		{"the engagement logged after the due date", func(f *file) { f.logged = at("2026-06-26") }, asIs, pay, due + "unknown" + ao, CodeLoggedBeforeDue},
		{"the engagement logged on the due date", func(f *file) { f.logged = at("2026-06-25 00:01") }, asIs, pay, due + "unknown" + ao, CodeLoggedBeforeDue},
		{"no proof when the engagement was logged", func(f *file) { f.logged = time.Time{} }, asIs, pay, due + "unknown" + ao, CodeLoggedBeforeDue},
		{"a period in no plan", nothing, func(ev *Evidence) { delete(ev.PlanSince[wageBank], june) }, pay, due + "unknown" + ao, CodeSlotNotInPlan},
		{"a ladder not looked up", nothing, func(ev *Evidence) { ladderOf(ev, wageBank, june).Period = "2031-01" }, pay, due + "unknown" + ao, CodeLadderIncomplete},
		{"a ladder without its end", nothing, func(ev *Evidence) { ladderOf(ev, wageBank, june).Closed = false }, pay, due + "unknown" + ao, CodeLadderIncomplete},
		{"two ladders for one slot", nothing, func(ev *Evidence) { ev.Ladders = append(ev.Ladders, *ladderOf(ev, wageBank, june)) }, pay, due + "unknown" + ao, CodeLadderIncomplete},
		{"a record that is not to be had", own, rung(wageEmployer, june, 0, func(e *Entry) { e.Validity, e.Reason = Unavailable, "entry.erased" }), pay, due + "unknown" + ao, "entry.erased"},
		{"a compromised key's record", own, rung(wageEmployer, june, 0, func(e *Entry) { e.Validity, e.Reason = Unavailable, "issuer.compromised" }), pay, due + "unknown" + ao, "issuer.compromised"},
		{"no checkpoint tells whether it was on time", own, rung(wageEmployer, june, 0, func(e *Entry) { e.ExistedBy, e.NotBefore = at("2026-08-01"), at("2026-07-01") }), pay, due + "unknown" + ao, CodeTimeUndetermined},
		{"undetermined, but the bank settles it", ok, rung(wageEmployer, june, 0, func(e *Entry) { e.ExistedBy, e.NotBefore = at("2026-08-01"), at("2026-07-01") }), pay, due + "fulfilled" + aoB, ""},
		{"grace ends at 24:00", own, rung(wageEmployer, june, 0, func(e *Entry) { e.ExistedBy = at("2026-07-06") }), pay, due + "fulfilled" + ao + " own", CodeTimeOnTime},
		{"and not a second later", own, rung(wageEmployer, june, 0, func(e *Entry) { e.ExistedBy, e.NotBefore = at("2026-07-06").Add(2e9), at("2026-07-06").Add(1e9) }), pay, due + "attested_late 11" + ao, CodeTimeLate},
		{"the times of rungs 0..j count, not the rung's own", own, rung(wageEmployer, june, 0, func(e *Entry) { e.ExistedBy, e.NotBefore = at("2026-09-01 12:00"), at("2026-09-01 11:00") }), pay, due + "attested_late 68" + ao, CodeTimeLate},

		// Wages: the day.
		{"own record only", own, asIs, pay, due + "fulfilled" + ao + " own", CodeTimeOnTime},
		{"the bank's record alone", credit("2026-06-25", "2026-06-26 09:30", 212_000), asIs, pay, due + "fulfilled" + aoB, ""},
		{"the bank's record alone, made late", credit("2026-06-25", "2026-09-01 09:30", 212_000), asIs, pay, due + "fulfilled" + aoB, ""},
		{"the bank's record alone shows no payslip", credit("2026-06-25", "2026-06-26 09:30", 212_000), asIs, amount, due + "unknown" + ao, CodeAmountNoPayslip},
		{"the bank's day is the better evidence", both(own, credit("2026-06-29", "2026-06-30 09:30", 212_000)), asIs, pay, due + "performed_late 4" + aoB, ""},
		{"also against the employer's own date", both(func(f *file) { f.pay(june, "2026-06-29", "2026-06-29 18:00") }, credit("2026-06-25", "2026-06-26 09:30", 212_000)), asIs, pay, due + "fulfilled" + aoB, ""},
		{"recorded after grace, by the employer alone", func(f *file) { f.pay(june, "2026-06-25", "2026-08-01 12:00") }, asIs, pay, due + "attested_late 37" + ao, CodeTimeLate},
		{"then its amount too is the late record's alone", func(f *file) { f.pay(june, "2026-06-25", "2026-08-01 12:00") }, asIs, amount, due + "attested_late 37" + ao, CodeTimeLate},
		{"recorded after grace, with the bank", both(func(f *file) { f.pay(june, "2026-06-25", "2026-08-01 12:00") }, credit("2026-06-25", "2026-06-26 09:30", 212_000)), asIs, pay, due + "fulfilled" + aoB, CodeTimeLate},
		{"against the worker's word", both(own, unpaidOn("2026-07-03")), asIs, pay, due + "contradicted" + ao, CodeUnpaidStatement},
		{"the worker's word retracted", func(f *file) {
			own(f)
			id := f.state(attestation.StatementUnpaid, "2026-07-03", wage(june))
			f.state(attestation.StatementRetract, "2026-07-04", &attestation.About{ID: id})
		}, asIs, pay, due + "fulfilled" + ao + " own", ""},
		{"unpaid before the day it was paid", both(func(f *file) { f.pay(june, "2026-07-02", "2026-07-02 18:00") }, unpaidOn("2026-06-30")), asIs, pay, due + "performed_late 7" + ao, ""},
		{"the bank against the worker's word", both(ok, unpaidOn("2026-07-03")), asIs, pay, due + "fulfilled" + aoB, CodeUnpaidStatement},
		{"not audited, the worker's word is not enough", both(own, unpaidOn("2026-07-03")), func(ev *Evidence) { ev.Audited = false }, pay, due + "unknown" + ao, CodeAuditorsQuorum},
		{"accepted by the worker", both(own, func(f *file) { f.state(attestation.StatementAccept, "2026-06-26", wage(june)) }), asIs, pay, due + "fulfilled" + ao + " +worker", CodeWorkerAccepted},

		// Ties and copies.
		{"a tied bank corroborates nothing", ok, rung(wageBank, june, 0, func(e *Entry) { e.Tied = true }), pay, due + "fulfilled" + ao + " own", CodeCorroborationTie},
		{"nor does it the amount", ok, rung(wageBank, june, 0, func(e *Entry) { e.Tied = true }), amount, due + "fulfilled" + ao + " own", CodeAmountEqual},
		{"a tied bank that says less contradicts", both(own, credit("2026-06-25", "2026-06-26 09:30", 170_000)), rung(wageBank, june, 0, func(e *Entry) { e.Tied = true }), amount, due + "contradicted" + ao, CodeAmountDiffers},
		{"a transcribed receipt corroborates nothing", both(own, source(attestation.SourceTranscribed)), asIs, pay, due + "fulfilled" + ao + " own", CodeCorroborationTie},
		{"nor does the payer's own transfer result", both(own, source(attestation.SourcePayerTransferResult)), asIs, pay, due + "fulfilled" + ao + " own", CodeCorroborationTie},
		{"a copy alone shows nothing, and is no absence", source(attestation.SourceTranscribed), asIs, pay, due + "unknown" + ao, CodeCorroborationTie},
		{"a copy against the worker's word", both(own, source(attestation.SourceTranscribed), unpaidOn("2026-07-03")), asIs, pay, due + "contradicted" + ao, CodeUnpaidStatement},
		{"an account-information provider corroborates", both(own, source(attestation.SourceAccountProvider)), asIs, pay, due + "fulfilled" + aoB, ""},

		// Corrections and withdrawals.
		{"a partial record", part("2026-06-25", "2026-06-25 18:00", 100_000, false), asIs, pay, due + "short" + ao, CodePartial},
		{"corrected within grace", both(part("2026-06-25", "2026-06-25 18:00", 100_000, false), correction("2026-06-25", "2026-07-01 12:00", 212_000)), asIs, pay, due + "fulfilled" + ao + " own", CodeSupersedes},
		{"corrected after grace is not fulfilled", both(part("2026-06-25", "2026-06-25 18:00", 100_000, false), correction("2026-06-25", "2026-08-01 12:00", 212_000)), asIs, pay, due + "short" + ao, CodeSupersedes},
		{"a later correction can make it worse", both(own, correction("2026-06-29", "2026-08-01 12:00", 212_000)), asIs, pay, due + "performed_late 4" + ao, CodeSupersedes},
		{"also the amount", both(ok, correction("2026-06-25", "2026-08-01 12:00", 170_000)), asIs, amount, due + "contradicted" + ao, CodeAmountDiffers},
		{"a later correction cannot make it better", both(own, credit("2026-06-25", "2026-06-26 09:30", 170_000), correction("2026-06-25", "2026-08-01 12:00", 170_000)), asIs, amount, due + "contradicted" + ao, CodeAmountDiffers},
		{"corrected within grace it agrees", both(own, credit("2026-06-25", "2026-06-26 09:30", 170_000), correction("2026-06-25", "2026-07-01 12:00", 170_000)), asIs, amount, due + "fulfilled" + aoB, CodeAmountEqual},
		{"withdrawn within grace is as if never said", both(own, withdrawal(wageEmployer, "2026-07-01 12:00")), asIs, pay, due + "absent" + ao, CodeWithdraws},
		{"withdrawn after grace", both(own, withdrawal(wageEmployer, "2026-08-01 12:00")), asIs, pay, due + "contradicted" + ao, CodeWithdraws},
		{"withdrawn at a time that is not proven", both(own, withdrawal(wageEmployer, "2026-08-01 12:00")), rung(wageEmployer, june, 1, func(e *Entry) { e.NotBefore = at("2026-07-01") }), pay, due + "unknown" + ao, CodeTimeUndetermined},
		{"the bank withdraws within grace", both(ok, withdrawal(wageBank, "2026-07-01 12:00")), asIs, pay, due + "fulfilled" + ao + " own", CodeWithdraws},
		{"the bank withdraws after grace", both(ok, withdrawal(wageBank, "2026-08-01 12:00")), asIs, pay, due + "contradicted" + ao, CodeWithdraws},
		{"the bank withdraws at a time that is not proven", both(ok, withdrawal(wageBank, "2026-08-01 12:00")), rung(wageBank, june, 1, func(e *Entry) { e.NotBefore = at("2026-07-01") }), pay, due + "unknown" + ao, CodeTimeUndetermined},
		{"the bank's ladder without its end, beside the employer's amount", own, func(ev *Evidence) { ladderOf(ev, wageBank, june).Closed = false }, amount, due + "unknown" + ao, CodeLadderIncomplete},
		{"the employer's own amount withheld", own, rung(wageEmployer, june, 0, func(e *Entry) { v := *e.Claims.(*attestation.WagePayment); v.Net = nil; e.Claims = &v }), amount, due + "undisclosed" + ao, CodeClaimWithheld},
		{"nobody withdraws another's word", both(ok, withdrawal(wageBank, "2026-08-01 12:00")), rung(wageBank, june, 1, func(e *Entry) { e.Attester = "another bank" }), pay, due + "fulfilled" + aoB, ""},

		// Parts.
		{"parts that make up the whole", both(part("2026-06-20", "2026-06-20 18:00", 100_000, false), part("2026-06-25", "2026-06-25 18:00", 112_000, true), credit("2026-06-20", "2026-06-22 09:30", 100_000), credit("2026-06-25", "2026-06-26 09:30", 112_000)), asIs, pay, due + "fulfilled" + aoB, ""},
		{"their amounts", both(part("2026-06-20", "2026-06-20 18:00", 100_000, false), part("2026-06-25", "2026-06-25 18:00", 112_000, true), credit("2026-06-20", "2026-06-22 09:30", 100_000), credit("2026-06-25", "2026-06-26 09:30", 112_000)), asIs, amount, due + "fulfilled" + aoB, CodeAmountEqual},
		{"the last part is the day", both(part("2026-06-25", "2026-06-25 18:00", 100_000, false), part("2026-07-01", "2026-07-01 18:00", 112_000, true), credit("2026-06-25", "2026-06-26 09:30", 100_000), credit("2026-07-01", "2026-07-02 09:30", 112_000)), asIs, pay, due + "performed_late 6" + aoB, ""},
		{"the last part after grace", both(part("2026-06-25", "2026-06-25 18:00", 100_000, false), part("2026-08-01", "2026-08-01 18:00", 112_000, true), credit("2026-06-25", "2026-06-26 09:30", 100_000), credit("2026-08-01", "2026-08-03 09:30", 112_000)), asIs, pay, due + "performed_late 37" + aoB, ""},
		{"and its amounts", both(part("2026-06-25", "2026-06-25 18:00", 100_000, false), part("2026-08-01", "2026-08-01 18:00", 112_000, true), credit("2026-06-25", "2026-06-26 09:30", 100_000), credit("2026-08-01", "2026-08-03 09:30", 112_000)), asIs, amount, due + "fulfilled" + aoB, CodeAmountEqual},
		{"two late records, the second of which corrects the first", both(func(f *file) { f.pay(june, "2026-06-29", "2026-08-01 12:00") }, correction("2026-06-25", "2026-08-02 12:00", 212_000)), asIs, pay, due + "performed_late 4" + ao, CodeSupersedes},
		{"a credit beyond the whole does not move the day", both(ok, credit("2026-07-02", "2026-07-03 09:30", 5_000)), asIs, pay, due + "fulfilled" + aoB, ""},
		{"but it does contradict the amount", both(ok, credit("2026-07-02", "2026-07-03 09:30", 5_000)), asIs, amount, due + "contradicted" + ao, CodeAmountDiffers},
		{"which credit completed it was not shown", both(ok, credit("2026-07-02", "2026-07-03 09:30", 5_000)), closing(wageEmployer, june), pay, due + "undisclosed" + ao, CodeClaimWithheld},

		// Nothing due.
		{"a zero month", zero, asIs, pay, due + "fulfilled" + ao + " own", ""},
		{"its amount", zero, asIs, amount, due + "fulfilled" + ao + " own", ""},
		{"a zero month accepted", both(zero, func(f *file) { f.state(attestation.StatementAccept, "2026-06-26", wage(june)) }), asIs, amount, due + "fulfilled" + ao + " +worker", CodeWorkerAccepted},
		{"a zero month denied", both(zero, unpaidOn("2026-06-26")), asIs, pay, due + "contradicted" + ao, CodeUnpaidStatement},
		{"a zero month with a credit", both(zero, credit("2026-06-25", "2026-06-26 09:30", 1_000)), asIs, amount, due + "contradicted" + ao, CodeAmountDiffers},

		// Against the contract's terms.
		{"below the contract's base", func(f *file) {
			ok(f)
			f.terms.Terms = &attestation.Terms{PayKind: ptr("monthly"), BaseAmount: ptr(int64(230_000)), ScheduledHours: ptr("160")}
			v := f.records[0].entry.Claims.(*attestation.WagePayment)
			v.Hours, v.Base, v.Allowances = &attestation.Hours{Scheduled: "160.0"}, ptr(int64(200_000)), map[string]int64{"skill": 20_000}
		}, asIs, amount, due + "short" + ao, CodeAmountTerms},
		{"below it for days not worked", func(f *file) {
			ok(f)
			f.terms.Terms = &attestation.Terms{PayKind: ptr("monthly"), BaseAmount: ptr(int64(230_000)), ScheduledHours: ptr("160")}
			v := f.records[0].entry.Claims.(*attestation.WagePayment)
			v.Hours, v.Base, v.Allowances = &attestation.Hours{Scheduled: "120.0"}, ptr(int64(170_000)), map[string]int64{}
		}, asIs, amount, due + "fulfilled" + aoB, CodeAmountEqual},

		// Remedies.
		{"an absence mended since", remedied("2026-09-01"), asIs, pay, due + "remedied" + ao, CodeRemedied},
		{"a remedy denied", both(remedied("2026-09-01"), unpaidOn("2026-09-02")), asIs, pay, due + "contradicted" + ao, CodeWorkerDisputes},
		{"a remedy does not clear a contradiction", both(own, unpaidOn("2026-07-03"), remedied("2026-09-01")), asIs, pay, due + "contradicted" + ao, CodeUnpaidStatement},
		{"an accepted one does", both(own, unpaidOn("2026-07-03"), remedied("2026-09-01"), func(f *file) {
			f.state(attestation.StatementAccept, "2026-09-02", &attestation.About{ID: f.firstID(attestation.RemedyEmployer, "events-FY2026")})
		}), asIs, pay, due + "remedied" + ao + " +worker", CodeRemedied},

		// Interviews.
		{"held after the quarter", func(f *file) { f.interview(interviewW, q2, "2026-07-02", "2026-07-03 12:00") }, asIs, meet, "2026-06-30 performed_late 2" + rso, ""},
		{"of another quarter", func(f *file) { f.interview(interviewW, q2, "2026-03-30", "2026-06-03 12:00") }, asIs, meet, "2026-06-30 absent" + ao, CodeEntryMisplaced},
		{"of the supervisor in the worker's slot", func(f *file) {
			f.interview(interviewW, "2026-Q1", "2026-03-05", "2026-03-08 12:00")
			f.interview(interviewW, q2, "2026-06-03", "2026-06-06 12:00").Claims.(*attestation.SupportInterview).Interviewee = attestation.IntervieweeSupervisor
		}, asIs, meet, "2026-06-30 absent" + rso, CodeEntryMisplaced},
		{"denied by the worker", func(f *file) {
			f.interview(interviewW, q2, "2026-06-03", "2026-06-06 12:00")
			f.state(attestation.StatementNotHeld, "2026-06-10", &attestation.About{Stream: interviewW, Period: q2})
		}, asIs, meet, "2026-06-30 contradicted" + rso, CodeWorkerDisputes},
		{"more than three months after the one before", func(f *file) {
			f.interview(interviewW, "2026-Q1", "2026-01-20", "2026-01-23 12:00")
			f.interview(interviewW, q2, "2026-06-03", "2026-06-06 12:00")
		}, asIs, meet, "2026-06-30 fulfilled" + rso + " own", CodeRollingGap},
		{"the supporter never took part", nothing, asIs, meet, "2026-06-30 absent" + ao, CodePartyEnrolled},
		{"the supporter enrolled", func(f *file) {
			f.add(attestation.SessionSupport, "events-FY2025", "2025-11-05 12:00", &attestation.SupportSession{Item: attestation.ItemEnrolled, Date: day("2025-11-05")})
		}, asIs, meet, "2026-06-30 absent" + rso, ""},
		{"the supporter enrolled too late", func(f *file) {
			f.add(attestation.SessionSupport, "events-FY2026", "2026-06-30 12:00", &attestation.SupportSession{Item: attestation.ItemEnrolled, Date: day("2026-06-30")})
		}, asIs, meet, "2026-06-30 absent" + ao, CodePartyEnrolled},
		{"whether the supporter enrolled was not shown", nothing, closing(attestation.SessionSupport, "events-FY2025"), meet, "2026-06-30 unknown" + rso, CodePartyEnrolled},
		{"the issuer does not answer for it", nothing, func(ev *Evidence) { ev.IssuerID = "3990000000006" }, meet, "2026-06-30 unknown" + rso, CodePartyEnrolled},
		{"self-support is the employer's", func(f *file) { f.terms.SupportMode, f.terms.Support = attestation.SupportSelf, nil }, asIs, meet, "2026-06-30 absent" + ao, ""},
		{"and the employer's record counts", func(f *file) {
			f.terms.SupportMode, f.terms.Support = attestation.SupportSelf, nil
			f.interview(interviewW, q2, "2026-06-03", "2026-06-06 12:00")
		}, asIs, meet, "2026-06-30 fulfilled" + ao + " own", ""},
		{"support outsourced in part stays the employer's", func(f *file) {
			f.terms.SupportMode = attestation.SupportPartial
			f.interview(interviewW, q2, "2026-06-03", "2026-06-06 12:00")
		}, asIs, meet, "2026-06-30 fulfilled" + ao + " own", ""},

		// Notices.
		{"the notice of another event does not count", both(endBy("employer"), func(f *file) { f.filedNotice("N-02", "2026-07-01", "2026-07-10", "2026-07-10 17:00") }), asIs, n02, "2026-07-24 absent" + ao, ""},
		{"nor does another notice of this event", both(endBy("employer"), func(f *file) { f.filedNotice("N-06", ended, "2026-07-13", "2026-07-13 17:00") }), asIs, n02, "2026-07-24 absent" + ao, ""},
		{"each counts for its own duty", both(endBy("employer"), func(f *file) { f.filedNotice("N-06", ended, "2026-07-13", "2026-07-13 17:00") }), asIs, n06, "2026-07-24 fulfilled" + ao + " own", ""},
		{"junk in an events ladder", both(endBy("employer"), func(f *file) { f.junk(attestation.NoticeEmployer, "events-FY2026", "2026-07-13 17:00") }), asIs, n02, "2026-07-24 absent" + ao, CodeEntryJunk},
		{"junk below a valid notice", both(endBy("employer"), func(f *file) {
			f.junk(attestation.NoticeEmployer, "events-FY2026", "2026-07-13 17:00")
			f.filedNotice("N-02", ended, "2026-07-14", "2026-07-14 17:00")
		}), asIs, n02, "2026-07-24 fulfilled" + ao + " own", CodeEntryJunk},
		{"the office's receipt corroborates", both(endBy("employer"), func(f *file) {
			f.filedNotice("N-02", ended, "2026-07-14", "2026-07-14 17:00")
			receipt("authority", "2026-07-15", "")(f)
		}), asIs, n02, "2026-07-24 fulfilled" + ao + " +authority", ""},
		{"a transcribed receipt does not", both(endBy("employer"), func(f *file) {
			f.filedNotice("N-02", ended, "2026-07-14", "2026-07-14 17:00")
			receipt("transcribed", "2026-07-15", "")(f)
		}), asIs, n02, "2026-07-24 fulfilled" + ao + " own", ""},
		{"recorded after grace", both(endBy("employer"), func(f *file) { f.filedNotice("N-02", ended, "2026-07-14", "2026-08-10 17:00") }), asIs, n02, "2026-07-24 attested_late 17" + ao, CodeTimeLate},
		{"an admission of lateness, while the office's slot is closed", both(endBy("employer"), func(f *file) { f.filedNotice("N-02", ended, "2026-07-28", "2026-07-28 17:00") }), closing(attestation.NoticeAuthority, "events-FY2026"), n02, "2026-07-24 undisclosed" + ao, CodeSlotNotOpened},
		{"the office's receipt alone", both(endBy("employer"), receipt("authority", "2026-07-15", "")), asIs, n02, "2026-07-24 fulfilled" + ao + " +authority", ""},
		{"a transcribed receipt alone is no absence", both(endBy("employer"), receipt("transcribed", "2026-07-15", "")), asIs, n02, "2026-07-24 unknown" + ao, CodeCorroborationTie},
		{"the office withdraws its receipt after grace", both(endBy("employer"), receipt("authority", "2026-07-15", ""), receipt("authority", "2026-07-15", "notice-authority/events-FY2026/1")), asIs, n02, "2026-07-24 contradicted" + ao, CodeWithdraws},
		{"a record of the notice withdrawn after grace", both(endBy("employer"), func(f *file) {
			id := f.filedNotice("N-02", ended, "2026-07-14", "2026-07-14 17:00").ID
			f.filedNotice("N-02", ended, "2026-07-14", "2026-09-14 17:00").Claims.(*attestation.NotificationFiled).Withdraws = id
		}), asIs, n02, "2026-07-24 contradicted" + ao, CodeWithdraws},
		{"no event, no finding", nothing, asIs, n02, "", ""},
		{"the worker's own resignation needs no N-06", endBy("worker"), asIs, n06, "", ""},
		{"the cause was not shown", endBy(""), asIs, n06, "2026-07-24 undisclosed" + ao, CodeClaimWithheld},
		{"the parties differ on the cause", func(f *file) {
			f.separation(attestation.SeparationEmployer, ended, attestation.ReasonWorker, "2026-07-15 12:00")
			f.state(attestation.StatementEnded, "2026-07-13", &attestation.About{EndDate: day(ended), ReasonClass: attestation.ReasonEmployer})
		}, asIs, n06, "2026-07-24 unknown" + ao, CodeEventDisputed},
		{"the notice of the end is due all the same", func(f *file) {
			f.separation(attestation.SeparationEmployer, ended, attestation.ReasonWorker, "2026-07-15 12:00")
			f.state(attestation.StatementEnded, "2026-07-13", &attestation.About{EndDate: day(ended), ReasonClass: attestation.ReasonEmployer})
		}, asIs, n02, "2026-07-24 absent" + ao, CodeEventDisputed},
		{"an event known only from junk is none", func(f *file) { f.junk(attestation.SeparationEmployer, "events-FY2026", "2026-07-15 12:00") }, asIs, n02, "", ""},

		// Ends.
		{"the employer's word alone does not end wages", func(f *file) {
			f.separation(attestation.SeparationEmployer, "2026-05-20", attestation.ReasonWorker, "2026-05-21 12:00")
		}, asIs, pay, due + "unknown" + ao, CodeEndEmployerOnly},
		{"accepted by the worker it does", func(f *file) {
			e := f.separation(attestation.SeparationEmployer, "2026-05-20", attestation.ReasonWorker, "2026-05-21 12:00")
			f.state(attestation.StatementAccept, "2026-05-22", &attestation.About{ID: e.ID})
		}, asIs, pay, "", ""},
		{"an authority's word ends them", func(f *file) {
			f.separation(attestation.SeparationOffice, "2026-05-20", attestation.ReasonWorker, "2026-05-21 12:00")
		}, asIs, pay, "", ""},
		{"so does the worker's", func(f *file) {
			f.state(attestation.StatementEnded, "2026-05-21", &attestation.About{EndDate: day("2026-05-20")})
		}, asIs, pay, "", ""},
		{"an earlier end by the employer's word alone", func(f *file) {
			f.separation(attestation.SeparationEmployer, "2026-05-20", attestation.ReasonWorker, "2026-05-21 12:00")
			f.state(attestation.StatementEnded, "2026-07-21", &attestation.About{EndDate: day("2026-07-10")})
		}, asIs, pay, due + "unknown" + ao, CodeEndEmployerOnly},
		{"wages before the end stay due", func(f *file) {
			f.separation(attestation.SeparationEmployer, "2026-06-10", attestation.ReasonWorker, "2026-06-21 12:00")
		}, asIs, pay, due + "absent" + ao, ""},

		// The worker's own duty.
		{"no entry is no gap", endBy("employer"), asIs, h01, "2026-07-24 unknown worker", CodeOwnNoEntry},
		{"filed late", both(endBy("employer"), func(f *file) { f.files("2026-07-27", ended) }), asIs, h01, "2026-07-24 performed_late 3 worker", ""},
		{"filing retracted", both(endBy("employer"), func(f *file) {
			f.files("2026-07-21", ended)
			f.state(attestation.StatementRetract, "2026-07-22", &attestation.About{ID: "statement/0"})
		}), asIs, h01, "2026-07-24 unknown worker", CodeOwnNoEntry},
		{"filing stated before the day", both(endBy("employer"), func(f *file) {
			f.files("2026-07-21", ended)
			f.statements[0].logged = at("2026-07-20 12:00")
		}), asIs, h01, "2026-07-24 unknown worker", CodeOwnNoEntry},

		// Outages.
		{"an outage lengthens grace", own, func(ev *Evidence) {
			ev.Outages = []Outage{{at("2026-07-04"), at("2026-08-01")}}
			ladderOf(ev, wageEmployer, june).Rungs[0].ExistedBy = at("2026-08-02 12:00")
		}, pay, due + "fulfilled" + ao + " own", CodeOutage},
		{"by no more than it took", own, func(ev *Evidence) {
			ev.Outages = []Outage{{at("2026-07-04"), at("2026-08-01")}}
			e := &ladderOf(ev, wageEmployer, june).Rungs[0]
			e.ExistedBy, e.NotBefore = at("2026-08-04 12:00"), at("2026-08-04 11:00")
		}, pay, due + "attested_late 40" + ao, CodeTimeLate},
		{"one that is over before the end of grace does not", nothing, func(ev *Evidence) { ev.Outages = []Outage{{at("2026-06-26"), at("2026-07-04")}} }, pay, due + "absent" + ao, ""},
	} {
		t.Run(r.name, func(t *testing.T) {
			f := blank()
			r.file(f)
			ev := f.as(storyEnd)
			r.spoil(&ev)
			got, found := findingOf(assess(t, ev, storyEnd), r.duty)
			if found != (r.want != "") || found && line(got) != r.want {
				t.Errorf("got %q, want %q\n%v", line(got), r.want, got.Checks)
			}
			if r.code != "" && !has(got, r.code) {
				t.Errorf("no check %s in %v", r.code, got.Checks)
			}
		})
	}
}

// Less than one checkpoint after grace nothing is proven yet.
func TestPendingUntilACheckpointAfterGrace(t *testing.T) {
	f := blank()
	for asOf, want := range map[string]Finding{"2026-06-25 23:59": NotDue, "2026-06-26": Pending, "2026-07-06": Pending, "2026-07-06 00:00:30": Pending, "2026-07-06 00:02": Absent} {
		instant, err := time.ParseInLocation("2006-01-02 15:04:05", asOf, attestation.JST)
		if err != nil {
			instant = at(asOf)
		}
		got, _ := findingOf(assess(t, f.as(instant), instant), "W-05 2026-06")
		if got.Finding != want {
			t.Errorf("as of %s: got %s, want %s", asOf, got.Finding, want)
		}
	}
}
