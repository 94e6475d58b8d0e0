package compliance

import "testing"

// BenchmarkAssessYear judges the year of one contract.
func BenchmarkAssessYear(b *testing.B) {
	for name, f := range map[string]*file{"kept": kept(), "abandoned": abandoned(), "underpaid": underpaid()} {
		b.Run(name, func(b *testing.B) {
			ev := f.as(storyEnd)
			duties := 0
			for b.Loop() {
				a, err := Assess(ev, storyEnd)
				if err != nil {
					b.Fatal(err)
				}
				duties += len(a.Findings)
			}
			b.ReportMetric(float64(duties)/b.Elapsed().Seconds(), "duties/s")
		})
	}
}
