package evidence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"testing"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/registry"
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

// TestEncodingIsThatOfEncodingJSON writes files as encoding/json does, and reads them to what it reads.
func TestEncodingIsThatOfEncodingJSON(t *testing.T) {
	w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
	credentials, statements := play(w)
	whole := makeFile(t, w, w.Presentation(opened, credentials[1:], statements))
	hb := registry.HashOf(nil)
	odd := &evidence.File{
		Format: "\u2028\x00\"\\<>&é\U0001f512\xff", From: "2026-01", To: "", Checkpoint: "line\nline\r\t\b\f\x1f\x7f",
		Presentation: evidence.Presentation{Attestations: []string{"", "a~b"}, Statements: []string{}},
		Head:         evidence.Head{Entry: registry.Bytes{1}, Inclusion: evidence.Path{}},
		TrustLists:   []evidence.TrustList{{Index: math.MaxUint64}, {JWT: "j", Inclusion: evidence.Path{hb, hb}}},
		Slots: []evidence.Record{
			{},
			{HB: &hb, Nonce: registry.Bytes{1, 2}, JWT: "a.b.c", A: registry.Bytes{3}, Erased: true, Submission: &evidence.Submission{}},
			{Submission: &evidence.Submission{JWT: "j", Position: -1, Path: evidence.Path{hb}}},
		},
		Statements: []evidence.Record{}, Notes: []string{"— n"}, Assessment: json.RawMessage(" { \"<\" : [ 1 , \"\u2028\" ] } "),
	}
	for i, f := range []*evidence.File{whole, odd, {}} {
		got, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(f); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(append(got, '\n'), want.Bytes()) {
			t.Errorf("file %d: got\n%s, encoding/json writes\n%s", i, got, want.Bytes())
		}
	}
	data := evidencetest.Marshal(w, whole)
	got, err := evidence.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	want := new(evidence.File)
	if err := json.Unmarshal(data, want); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read to another file than by encoding/json: %v", err)
	}
}
