package evidence_test

import (
	"slices"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

// TestVerifyCase: a case holds what the checks established, and no case what they did not.
func TestVerifyCase(t *testing.T) {
	w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	w.Now = evidencetest.At(2025, 11, 25, 18)
	payment, receipt := w.WagePayment("2025-11", attestation.NewDate(2025, 11, 25)), w.WageReceipt("2025-11", attestation.NewDate(2025, 11, 25), 212000)
	w.Log(w.Employer, attestation.WageEmployer, "2025-11", 0, payment)
	w.Log(w.Bank, attestation.WageBank, "2025-11", 0, receipt)
	statement := w.Statement(true, map[string]any{"date": "2025-11-26", "kind": "accept", "about": map[string]any{"id": w.IDOf(payment)}})
	w.Now = evidencetest.At(2025, 12, 8, 9)
	w.CloseEpoch()
	f, _, err := evidence.Make(t.Context(), w.Presentation(evidencetest.All, []string{payment}, []string{statement}), w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := evidencetest.Marshal(w, f)

	r, c := evidence.VerifyCase(file, w.Trust(), evidence.Options{})
	if r.Result != compliance.Pass || c == nil || r.Checks[0].Code != evidence.CodeCanonical {
		t.Fatalf("%+v", r)
	}
	if c.First != "2025-11" || c.RulesetHash != f.RulesetHash || c.LogSize == 0 || c.Absent == 0 || c.Present != 4 { // the engagement, two wages' records and the statement
		t.Errorf("months from %s, log of %d, %d present, %d absent", c.First, c.LogSize, c.Present, c.Absent)
	}
	if (c.Witnesses != evidence.Signers{Signed: 4, Of: 4, Quorum: 3}) || (c.Auditors != evidence.Signers{Signed: 3, Of: 3, Quorum: 2}) {
		t.Errorf("signed by %+v witnesses and %+v auditors", c.Witnesses, c.Auditors)
	}
	if c.Names[w.Bank.ID] == nil || len(c.Statements) != 1 || c.Stated[c.Statements[0].ID] != statement {
		t.Errorf("names %v, statements %v", c.Names, c.Stated)
	}
	tokens := map[attestation.Stream]string{}
	for _, l := range c.Ladders {
		for _, e := range l.Rungs {
			tokens[l.Stream] = c.Credentials[e.Index]
		}
	}
	if !strings.HasPrefix(tokens[attestation.WageEmployer], evidencetest.JWT(payment)+"~") || strings.HasSuffix(tokens[attestation.WageEmployer], "~") {
		t.Error("the credential that was presented does not stand there with its key binding")
	}
	if tokens[attestation.WageBank] != evidencetest.JWT(receipt)+"~" {
		t.Error("the credential that was not presented does not stand there as its slot holds it, without disclosures")
	}

	unaudited := w.Trust()
	unaudited.Auditors = nil
	if r, c := evidence.VerifyCase(file, unaudited, evidence.Options{}); r.Result != compliance.CannotTell || c == nil || c.Auditors != (evidence.Signers{}) {
		t.Errorf("without auditors: %v", r.Result)
	}
	for name, data := range map[string][]byte{"not a file": []byte("{}"), "a file that was changed": slices.Replace(slices.Clone(file), 200, 201, file[200]^1)} {
		if r, c := evidence.VerifyCase(data, w.Trust(), evidence.Options{}); r.Result != compliance.Fail || c != nil {
			t.Errorf("%s: %v, %v", name, r.Result, c)
		}
	}
}
