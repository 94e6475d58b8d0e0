package registry

import (
	"testing"

	"akashi/attestation"
)

func TestRungsInRange(t *testing.T) {
	for _, j := range []int{-1, MaxRungs, 1 << 16} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("rung %d has a secret", j)
				}
			}()
			SlotSecret(Secret{}, j)
		}()
	}
	seen := map[Secret]bool{}
	for j := range MaxRungs {
		seen[SlotSecret(Secret{}, j)], seen[EngagementSecret(Hash{}, j)] = true, true
	}
	if len(seen) != 2*MaxRungs {
		t.Errorf("%d different secrets, want %d", len(seen), 2*MaxRungs)
	}
}

func TestWriterOf(t *testing.T) {
	for _, c := range []struct {
		stream        attestation.Stream
		with, without string // with and without a support organization
	}{
		{attestation.WageEmployer, "employer", "employer"},
		{attestation.WageBank, "bank", "bank"},
		{attestation.InterviewWorker, "support", "employer"},
		{attestation.InterviewSuperior, "support", "employer"},
		{attestation.ReportEmployer, "employer", "employer"},
		{attestation.ReportAuthority, "authority", "authority"},
		{attestation.NoticeEmployer, "employer", "employer"},
		{attestation.NoticeAuthority, "authority", "authority"},
		{attestation.SeparationEmployer, "employer", "employer"},
		{attestation.SeparationOffice, "authority", "authority"},
		{attestation.SessionSupport, "support", "employer"},
		{attestation.RemedyEmployer, "employer", "employer"},
	} {
		if got := WriterOf(c.stream, "employer", "support"); got != c.with {
			t.Errorf("%s: writer %q, want %q", c.stream, got, c.with)
		}
		if got := WriterOf(c.stream, "employer", ""); got != c.without {
			t.Errorf("%s under self-support: writer %q, want %q", c.stream, got, c.without)
		}
	}
	if got := WriterFor(attestation.Worker, "anyone"); got != "worker" {
		t.Errorf("a worker writes as %q", got)
	}
}
