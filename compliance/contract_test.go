package compliance

import (
	"testing"

	"akashi/attestation"
)

// TestContractFiled starts from an authority's receipt of this contract document and spoils one thing a row.
func TestContractFiled(t *testing.T) {
	const document, other, period = "ulQiw4_bFS7a389YO6Wkffi7CVRI6oTzcy9u_2FGqlM", "L5fxGAGyXFpcn3faroc3eLGSIbpD-qlusyeJ4WU13t8", attestation.Period("FY2025")
	office := attestation.ReportAuthority
	for _, c := range []struct {
		name  string
		file  func(*file, *Entry, *attestation.NotificationReceipt)
		spoil func(*Evidence)
		want  Result
	}{
		{"nothing", nil, nil, Pass},
		{"another document", func(_ *file, _ *Entry, r *attestation.NotificationReceipt) { r.DocumentHash = ptr(other) }, nil, CannotTell},
		{"the document not named", func(_ *file, _ *Entry, r *attestation.NotificationReceipt) { r.DocumentHash = nil }, nil, CannotTell},
		{"transcribed", func(_ *file, _ *Entry, r *attestation.NotificationReceipt) { r.Source = attestation.SourceTranscribed }, nil, CannotTell},
		{"tied to the employer", func(_ *file, e *Entry, _ *attestation.NotificationReceipt) { e.Tied = true }, nil, CannotTell},
		{"junk", func(_ *file, e *Entry, _ *attestation.NotificationReceipt) {
			e.Validity, e.Reason = Junk, CodeEntryJunk
		}, nil, CannotTell},
		{"another role", func(_ *file, e *Entry, _ *attestation.NotificationReceipt) { e.Role = attestation.Bank }, nil, CannotTell},
		{"withdrawn", func(f *file, e *Entry, r *attestation.NotificationReceipt) {
			withdrawal := *r
			withdrawal.Withdraws = e.ID
			f.add(office, period, "2026-06-01 12:00", &withdrawal)
		}, nil, CannotTell},
		{"the employer's word alone", func(f *file, e *Entry, r *attestation.NotificationReceipt) {
			*e = Entry{Validity: Junk, Reason: CodeEntryJunk}
			f.add(attestation.ReportEmployer, period, "2026-05-16 12:00", &attestation.NotificationFiled{Notification: r.Notification})
		}, nil, CannotTell},
		{"not opened", nil, func(ev *Evidence) { hide(ev, office, period) }, CannotTell},
		{"not in the log yet", nil, func(ev *Evidence) { ladderOf(ev, office, period).Rungs[0].ExistedBy = storyEnd.AddDate(0, 0, 1) }, CannotTell},
		{"the contract is another", nil, func(ev *Evidence) {
			terms := *ev.Terms
			terms.ContractHash = other
			ev.Terms = &terms
		}, CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFile(25, 0, attestation.HolidayPrev)
			f.terms.ContractHash = document
			receipt := &attestation.NotificationReceipt{Source: attestation.SourceAuthority, Notification: attestation.Notification{
				Obligation: "P-01", Period: period, FiledDate: day("2026-05-15"), ArrivedDate: day("2026-05-15"), DocumentHash: ptr(document)}}
			e := f.add(office, period, "2026-05-16 12:00", receipt)
			if c.file != nil {
				c.file(f, e, receipt)
			}
			ev := f.as(storyEnd)
			if c.spoil != nil {
				c.spoil(&ev)
			}
			var got []Check
			for _, k := range assess(t, ev, storyEnd).Checks {
				if k.Code == CodeContractFiled {
					got = append(got, k)
				}
			}
			if len(got) != 1 || got[0].Result != c.want {
				t.Errorf("got %v, want one that is %v", got, c.want)
			}
		})
	}
}
