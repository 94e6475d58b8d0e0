package evidence_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

// year is a world with a year of wages: sixty attestations, each in an epoch of its own, in twenty-four ladders, so with twenty-four
// absences at their ends.
func year(tb testing.TB) (*evidencetest.World, *evidence.File) {
	w := evidencetest.New(tb, evidencetest.At(2025, 10, 30, 9))
	start, end := attestation.NewDate(2025, 11, 1), attestation.NewDate(2026, 10, 31)
	w.Engage(0, w.Claims(start, end))
	open := map[attestation.Stream][]attestation.Period{}
	var shown []string
	log := func(p *evidencetest.Party, s attestation.Stream, m attestation.Period, j int, compact string) {
		w.Now = w.Now.Add(time.Hour)
		w.Log(p, s, m, j, compact)
		shown = append(shown, compact)
	}
	for _, m := range attestation.PeriodsBetween(attestation.Month, start, end) {
		paid := m.First().AddDays(24)
		w.Now = evidencetest.At(paid.Year, paid.Month, paid.Day, 17)
		for j := range 3 {
			log(w.Employer, attestation.WageEmployer, m, j, w.WagePayment(m, paid))
		}
		for j := range 2 {
			log(w.Bank, attestation.WageBank, m, j, w.WageReceipt(m, paid, 212000))
		}
		open[attestation.WageEmployer] = append(open[attestation.WageEmployer], m)
		open[attestation.WageBank] = append(open[attestation.WageBank], m)
	}
	w.Now = evidencetest.At(2026, 11, 20, 9)
	w.CloseEpoch()
	return w, makeFile(tb, w, w.Presentation(evidencetest.Only(open), shown, nil))
}

// signatures counts the signatures in a file: ES256 of credentials, key bindings and trust lists, Ed25519 of checkpoints.
func signatures(f *evidence.File) (es256, ed int) {
	es256 = 2 + 2*len(f.Presentation.Attestations) + len(f.Presentation.Statements) + len(f.TrustLists)
	for _, note := range append([]string{f.Checkpoint}, f.Notes...) {
		ed += strings.Count(note, "\n— ")
	}
	return es256, ed
}

// BenchmarkVerifyYear verifies the year's file, and reports the time beside that of its bare signature checks.
func BenchmarkVerifyYear(b *testing.B) {
	w, f := year(b)
	data := evidencetest.Marshal(w, f)
	trust := w.Trust()
	es256, ed := signatures(f)
	raw := rawSignatures(b, es256, ed)
	var rawTook time.Duration
	b.ResetTimer()
	for range b.N {
		if r := evidence.VerifyBytes(data, trust, evidence.Options{}); r.Result != compliance.Pass {
			b.Fatalf("%+v", r.Checks)
		}
		b.StopTimer() // both under the same load
		start := time.Now()
		raw()
		rawTook += time.Since(start)
		b.StartTimer()
	}
	b.ReportMetric(float64(rawTook)/float64(b.N)/1e6, "raw-ms")
	b.ReportMetric(float64(b.Elapsed())/float64(rawTook), "ratio")
	b.ReportMetric(float64(len(data)), "bytes")
	b.ReportMetric(float64(es256), "es256")
	b.ReportMetric(float64(ed), "ed25519")
}

// rawSignatures returns a function that makes so many bare signature checks.
func rawSignatures(b *testing.B, es256, ed int) func() {
	k := evidencetest.Key(b)
	sum := sha256.Sum256([]byte("message"))
	sig, err := ecdsa.SignASN1(nil, k.Signer().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		b.Fatal(err)
	}
	public, private, _ := ed25519.GenerateKey(nil)
	message := make([]byte, 150)
	edSig := ed25519.Sign(private, message)
	return func() {
		for range es256 {
			if !ecdsa.VerifyASN1(k.Public().Crypto().(*ecdsa.PublicKey), sum[:], sig) {
				b.Fatal("ES256")
			}
		}
		for range ed {
			if !ed25519.Verify(public, message, edSig) {
				b.Fatal("Ed25519")
			}
		}
	}
}

func BenchmarkMakeYear(b *testing.B) {
	w, f := year(b)
	p := f.Presentation
	b.ResetTimer()
	for range b.N {
		if _, _, err := evidence.Make(b.Context(), p, w, w.Trust(), evidence.MakeOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSizes reports what a slot costs in bytes: its proofs alone, and with what it discloses.
func BenchmarkSizes(b *testing.B) {
	w, f := year(b)
	for b.Loop() {
		_ = evidencetest.Marshal(w, f)
	}
	proof, records := 0, 0
	for _, r := range f.Slots {
		proof += len(r.Proof)*4/3 + len(r.Inclusion)*32*4/3
		records++
	}
	b.ReportMetric(float64(proof)/float64(records), "proof-bytes/record")
	b.ReportMetric(float64(len(evidencetest.Marshal(w, f))), "bytes")
	b.ReportMetric(float64(len(f.Notes)), "notes")
	b.ReportMetric(float64(len(f.Assessment)), "assessment-bytes")
}
