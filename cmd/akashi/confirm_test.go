package main

import (
	"testing"
	"time"

	"akashi/attestation"
	"akashi/testdata/story"
)

// TestReceiptsAreConfirmed imports a payroll and lets the issuer confirm its receipts, over https and under the folder's own policies.
func TestReceiptsAreConfirmed(t *testing.T) {
	a := newAttackers(t)
	req := importRequest{Org: a.parties["employer-A"].ID, Type: attestation.TypeWagePayment, Name: "A-2026-05.csv",
		Data: must(story.File("payroll/A-2026-05.csv"))(t), Mapping: must(story.File("payroll/A.mapping.json"))(t)}
	a.at(2026, time.May, 25, 18)
	first := must(a.in.admin().Import(t.Context(), req))(t)
	if n := len(first.Report.Rows); n == 0 || !first.Report.OK() {
		t.Fatalf("%d rows, %+v", n, first.Report.Errors)
	}
	if first.Report.Rows[0].Confirmed {
		t.Error("an import waits for more than its receipts")
	}
	if err := a.audited(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := a.in.issuer.Flush(t.Context()); n != 0 || err != nil {
		t.Fatalf("sent %d again, %v", n, err)
	}
	again := must(a.in.admin().Import(t.Context(), req))(t)
	for _, row := range again.Report.Rows {
		if !row.Confirmed || row.Index == nil || *row.Index != *first.Report.Rows[0].Index {
			t.Errorf("%+v, want it confirmed", row)
		}
	}
}
