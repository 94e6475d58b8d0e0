package verifier_test

import (
	"context"
	"slices"
	"testing"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/verifier"
)

// TestSavedFileIsSigned: the file of an answered assessment says which office saved it, and under which number, once the office is listed.
func TestSavedFileIsSigned(t *testing.T) {
	w := newVPWorld(t)
	save := func() (data []byte, result *evidence.Result) {
		t.Helper()
		wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment, w.receipt}}
		s := w.create(verifier.CreateOptions{})
		wallet.answer(s.Link)
		wallet.answer(w.session(s.ID).Link)
		result = w.assessment(s.ID)
		data, err := w.vp.Evidence(context.Background(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return data, result
	}
	if _, r := save(); r.SavedBy != nil || !slices.ContainsFunc(r.Checks, func(c compliance.Check) bool { return c.Code == evidence.CodeNotSealed }) {
		t.Errorf("by a verifier that nobody has listed: %+v, %+v", r.SavedBy, r.Checks)
	}
	entities := w.Entities()
	office := entities[len(entities)-1]
	office.Keys = append(office.Keys, w.vp.Key.Public().JWK())
	w.AddTrustList(entities...)
	data, r := save()
	if by := r.SavedBy; by == nil || by.ID != evidencetest.VerifierID || by.Number != verifier.AssessmentNumber(data) || !by.At.Equal(w.World.Now) {
		t.Errorf("by a listed verifier: %+v, want %s", by, verifier.AssessmentNumber(data))
	}
}
