package compliance

import "akashi/attestation"

// attribute counts the findings, and the gaps by the one duty holder of each. The worker's own duties stand in the same table.
func (a *Assessment) attribute() {
	a.Gaps = map[string]int{string(attestation.Worker): 0}
	a.Counts = map[string]int{}
	for _, f := range a.Findings {
		a.Counts[f.Finding.String()]++
		gaps := a.Gaps[string(f.DutyHolder)]
		if f.Finding.Gap() {
			gaps++
		}
		a.Gaps[string(f.DutyHolder)] = gaps
	}
}
