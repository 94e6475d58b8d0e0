package evidence_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/registry"
)

// noting is a source that keeps the checkpoints which it gave as bounds of times.
type noting struct {
	evidence.Source
	notes []string
}

func (s *noting) Lookup(ctx context.Context, keys []registry.Key) (*registry.LookupResponse, error) {
	answer, err := s.Source.Lookup(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, r := range answer.Results {
		if r.Member != nil {
			s.notes = append(s.notes, r.Member.FirstAfter, r.Member.LastBefore)
		}
	}
	return answer, nil
}

// TestWithoutNeedlessCheckpointsItIsTheSame records wages around every limit of time, in epochs close to it and far from it. What a file says is what
// all checkpoints that the registry gave let it say, although it does not hold them all.
func TestWithoutNeedlessCheckpointsItIsTheSame(t *testing.T) {
	due := evidencetest.At(2025, 11, 25, 0)
	trimmed := false
	for _, paid := range []int{0, 9} { // days after the due day
		for _, after := range []time.Duration{18 * time.Hour, 24 * time.Hour, 5 * 24 * time.Hour, 14*24*time.Hour + 12*time.Hour, 40 * 24 * time.Hour} {
			w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
			w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
			w.Now = due
			w.CloseEpoch()
			day := attestation.NewDate(2025, 11, 25).AddDays(paid)
			w.Now = due.Add(after)
			payment := w.WagePayment(nov, day)
			w.Log(w.Employer, attestation.WageEmployer, nov, 0, payment)
			w.Now = w.Now.Add(20 * 24 * time.Hour)
			receipt := w.WageReceipt(nov, day, 212000)
			w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
			w.Now = w.Now.Add(time.Hour)
			w.CloseEpoch()
			src := &noting{Source: w}
			f, r, err := evidence.Make(context.Background(), w.Presentation(opened, []string{payment, receipt}, nil), src, w.Trust(), evidence.MakeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			all, err := evidence.Bounds(src.notes, f, w.Trust())
			if err != nil {
				t.Fatal(err)
			}
			want, err := evidence.AssessedUnder(f, w.Trust(), all)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r.Assessment.Findings, want.Findings) {
				t.Errorf("paid %d days late, recorded %v after: with %d of %d checkpoints got %+v, want %+v", paid, after, len(f.Notes), len(all), r.Assessment.Findings, want.Findings)
			}
			if slices.ContainsFunc(f.Notes, func(n string) bool { return !slices.Contains(all, n) }) {
				t.Error("the file has a checkpoint that the registry did not give")
			}
			trimmed = trimmed || len(f.Notes) < len(all)
		}
	}
	if !trimmed {
		t.Error("no file left out a checkpoint")
	}
}
