package verifier

import (
	"fmt"
	"slices"

	"akashi/attestation"
	"akashi/internal/dcql"
)

// maxOneStep bounds the months of an assessment in one step: with each there is one more claim set for the wallet to try.
const maxOneStep = 24

// oneStepQuery asks for what an assessment needs before the plan of the engagement is known, for a wallet that is met once. Each claim set asks for
// the period secrets of a range of latest months, the longest first, and the last for none: a plan without a month, or a holder who withholds it, is
// met by the range that begins after it. A month lies in every plan that covers it, and so do the quarter and the years around it.
func oneStepQuery(from, to attestation.Period, today attestation.Date) (*dcql.Query, error) {
	months, err := oneStepMonths(from, to, today)
	if err != nil {
		return nil, err
	}
	plan := dcql.Credential{ID: idEngagement, Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{attestation.TypeEngagement.VCT()}}}
	visible := dcql.Claim{ID: "contract", Path: dcql.Path{"contract_hash"}}
	plan.Claims = append(plan.Claims, visible)
	for _, name := range wantedTerms[0] {
		plan.Claims = append(plan.Claims, dcql.Claim{ID: name, Path: dcql.Path{"terms", name}})
	}
	ids := make(map[string]string) // by path
	for _, terms := range [][]string{wantedTerms[0], {}} {
		for i := range months {
			set := append([]string{visible.ID}, terms...)
			for _, s := range attestation.Streams {
				for _, p := range attestation.PeriodsBetween(s.Kind(), months[i].First(), months[len(months)-1].Last()) {
					path := dcql.Path{"slots", string(s), string(p), "s"}
					id, known := ids[path.String()]
					if !known {
						id = fmt.Sprintf("s%d", len(ids))
						ids[path.String()] = id
						plan.Claims = append(plan.Claims, dcql.Claim{ID: id, Path: path})
					}
					set = append(set, id)
				}
			}
			plan.ClaimSets = append(plan.ClaimSets, set)
		}
	}
	plan.ClaimSets = append(plan.ClaimSets, []string{visible.ID})
	slices.SortStableFunc(plan.ClaimSets, func(a, b []string) int { return len(b) - len(a) })
	return withRecords(plan, nil), nil
}

// oneStepMonths are the months to ask for: those that were named, at most until today's, or the last twelve.
func oneStepMonths(from, to attestation.Period, today attestation.Date) ([]attestation.Period, error) {
	last := attestation.MonthOf(today)
	if to != "" && to.Last().Before(last.Last()) {
		last = to
	}
	if from == "" {
		from = attestation.MonthOf(last.First().AddMonths(-11))
	}
	months := attestation.PeriodsBetween(attestation.Month, from.First(), last.Last())
	if len(months) == 0 || len(months) > maxOneStep {
		return nil, fmt.Errorf("%w: an assessment in one step is of 1 to %d months that have begun", ErrOptions, maxOneStep)
	}
	return months, nil
}
