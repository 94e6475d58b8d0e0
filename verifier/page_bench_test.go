package verifier

import "testing"

// BenchmarkAssessmentPage lays a year's case out, with its drawers and its QR code, and writes the reviewer's page of it: what an answer takes beyond
// its verification.
func BenchmarkAssessmentPage(b *testing.B) {
	d := eightGaps()
	for b.Loop() {
		d.html(b, "ja", nil)
	}
}
