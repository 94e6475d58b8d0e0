package evidence_test

import (
	"bytes"
	"context"
	"maps"
	"testing"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

var (
	nov = attestation.Period("2025-11")
	dec = attestation.Period("2025-12")
)

// small is a world with a contract of two months: the wage of November is paid and received, the bank's slot of December is empty and the
// employer's holds junk, the worker says so.
func small(tb testing.TB) (*evidencetest.World, evidence.Presentation) {
	w := evidencetest.New(tb, evidencetest.At(2025, 10, 30, 9))
	credentials, statements := play(w)
	return w, w.Presentation(opened, credentials, statements)
}

// opened are the slots that the small world's worker opens.
var opened = evidencetest.Only(map[attestation.Stream][]attestation.Period{
	attestation.WageEmployer: {nov, dec}, attestation.WageBank: {nov, dec},
	attestation.SeparationEmployer: {"events-FY2025"}, attestation.SeparationOffice: {"events-FY2025"},
})

// play lets the small world's story happen, and returns the payment, the receipt and the statement.
func play(w *evidencetest.World) (credentials, statements []string) {
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))

	w.Now = evidencetest.At(2025, 11, 25, 18)
	payment := w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, payment)
	w.Now = evidencetest.At(2025, 11, 26, 10)
	receipt := w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 212000)
	w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
	w.Now = evidencetest.At(2025, 12, 26, 18)
	w.Submit(w.Employer, w.JunkRecord(attestation.WageEmployer, dec, 0))
	w.Now = evidencetest.At(2026, 1, 5, 20)
	unpaid := w.Statement(true, map[string]any{
		"date": "2026-01-05", "kind": "unpaid", "about": map[string]any{"stream": "wage-employer", "period": string(dec)},
	})
	w.Now = evidencetest.At(2026, 1, 20, 9)
	w.CloseEpoch()
	return []string{payment, receipt}, []string{unpaid}
}

func makeFile(tb testing.TB, w *evidencetest.World, p evidence.Presentation) *evidence.File {
	tb.Helper()
	f, r, err := evidence.Make(context.Background(), p, w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	if r.Result != compliance.Pass {
		tb.Fatalf("the file that was just made: got %v, want pass: %+v", r.Result, r.Checks)
	}
	return f
}

func TestMadeFileVerifies(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	data := evidencetest.Marshal(w, f)
	r := evidence.VerifyBytes(data, w.Trust(), evidence.Options{})
	if r.Result != compliance.Pass || r.Assessment == nil {
		t.Fatalf("got %v: %+v", r.Result, r.Checks)
	}
	again, err := evidence.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(evidencetest.Marshal(w, again), data) {
		t.Error("read and written again, the file has other octets")
	}
	want := map[string]int{"fulfilled": 2, "absent": 1, "not_due": 1}
	if !maps.Equal(r.Assessment.Counts, want) {
		t.Errorf("findings: got %v, want %v", r.Assessment.Counts, want)
	}
}
