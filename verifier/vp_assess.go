package verifier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/evidence"
	"akashi/internal/sdjwt"
)

// Ids of the credential queries of an assessment; those of attestations are the names of their types.
const (
	idEngagement = "engagement"
	idStatements = "statements"
)

// engagementQuery asks for the engagement with nothing disclosed: its plan is always visible, and says what to ask for in the second step.
func engagementQuery() *dcql.Query {
	return &dcql.Query{Credentials: []dcql.Credential{{
		ID: idEngagement, Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{attestation.TypeEngagement.VCT()}},
	}}}
}

// monthRanges are the ranges of latest months that the second step asks for, the longest first; before them stands the whole plan, after them
// nothing. A holder who withholds what lies before can answer with a shorter one.
var monthRanges = []int{24, 12, 6, 3}

// wantedTerms are the terms without which amounts cannot be judged, the fullest set first.
var wantedTerms = [][]string{
	{"pay_kind", "base_amount", "scheduled_hours", "allowances", "overtime_rate", "agreed_deductions", "prefecture", "payer_kana"},
	{"pay_kind", "base_amount", "scheduled_hours", "overtime_rate", "agreed_deductions", "prefecture", "payer_kana"},
	{"pay_kind", "base_amount", "scheduled_hours"},
	{"base_amount"},
	{},
}

// wantedClaims says for each type of attestation which of its disclosable claims to ask for, the fullest set first. The last set is empty:
// what was withheld is then found as claim.withheld.
var wantedClaims = []struct {
	t    attestation.Type
	sets [][]string
}{
	{attestation.TypeWagePayment, [][]string{
		{"hours", "base", "allowances", "overtime_pay", "gross", "deductions", "net"}, {"hours", "base", "overtime_pay", "gross", "deductions", "net"},
		{"hours", "base", "allowances", "gross", "deductions", "net"}, {"hours", "base", "gross", "deductions", "net"}, {"base", "gross", "net"}, {"gross", "net"}, {"net"}, {},
	}},
	{attestation.TypeWageReceipt, [][]string{{"amount", "payer_name"}, {"amount"}, {}}},
	{attestation.TypeSupportInterview, [][]string{{"private", "interviewer_role"}, {}}},
	{attestation.TypeSupportSession, [][]string{{}}},
	{attestation.TypeNotificationFiled, [][]string{{"receipt_number"}, {}}},
	{attestation.TypeNotificationReceipt, [][]string{{"receipt_number", "office"}, {"receipt_number"}, {}}},
	{attestation.TypeSeparation, [][]string{{"reason_class"}, {}}},
	{attestation.TypeRemedy, [][]string{{"amounts"}, {}}},
}

// assessmentQuery asks for what an assessment of an engagement needs. Only the engagement is required: with its period secrets the records, and
// their absence, are found in the registry. The attestations show the amounts, and a wallet that knows no "multiple" sends one of each.
func assessmentQuery(id string, e *attestation.Engagement, today attestation.Date) *dcql.Query {
	engagements := []any{id}
	if e.Supersedes != "" {
		engagements = append(engagements, e.Supersedes)
	}
	return withRecords(planQuery(e, today), engagements)
}

// withRecords asks besides an engagement for the records of it, by the IDs under which they may name it, or of any where those are not known.
func withRecords(plan dcql.Credential, engagements []any) *dcql.Query {
	q := &dcql.Query{
		Credentials: []dcql.Credential{plan},
		Sets:        []dcql.CredentialSet{{Options: [][]string{{idEngagement}}}},
	}
	add := func(c dcql.Credential, sets [][]string) {
		c.Format, c.Multiple = dcql.FormatSDJWTVC, true
		c.Claims = []dcql.Claim{{ID: "engagement", Path: dcql.Path{"engagement"}, Values: engagements}}
		for _, name := range sets[0] {
			c.Claims = append(c.Claims, dcql.Claim{ID: name, Path: dcql.Path{name}})
		}
		for _, set := range sets {
			c.ClaimSets = append(c.ClaimSets, append([]string{"engagement"}, set...))
		}
		q.Credentials = append(q.Credentials, c)
		q.Sets = append(q.Sets, dcql.CredentialSet{Options: [][]string{{c.ID}}, Required: dcql.Bool(false)})
	}
	for _, w := range wantedClaims {
		add(dcql.Credential{ID: string(w.t), Meta: &dcql.Meta{VCTs: []string{w.t.VCT()}}}, w.sets)
	}
	// The worker's own statements are signed by the holder and need no key binding to show whose they are.
	add(dcql.Credential{ID: idStatements, HolderBinding: dcql.Bool(false), Meta: &dcql.Meta{VCTs: []string{attestation.TypeWorkerStatement.VCT()}}},
		[][]string{{"kind", "about", "text"}, {"kind", "about"}, {"kind"}, {}})
	return q
}

// planQuery asks for the period secrets of a plan and the terms, and for no period that begins after today: what is opened stays open, and
// nobody needs to read what is yet to come. The claim sets go from the whole of it over ranges of the latest months to none.
func planQuery(e *attestation.Engagement, today attestation.Date) dcql.Credential {
	c := dcql.Credential{
		ID: idEngagement, Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{attestation.TypeEngagement.VCT()}},
		Claims: []dcql.Claim{{ID: "contract", Path: dcql.Path{"contract_hash"}, Values: []any{e.ContractHash}}},
	}
	for _, name := range wantedTerms[0] {
		c.Claims = append(c.Claims, dcql.Claim{ID: name, Path: dcql.Path{"terms", name}})
	}
	type slot struct {
		id    string
		until attestation.Date
	}
	var slots []slot
	for _, s := range slices.Sorted(maps.Keys(e.Slots)) {
		for _, p := range slices.Sorted(maps.Keys(e.Slots[s])) {
			if p.First().After(today) {
				continue
			}
			id := fmt.Sprintf("s%d", len(slots))
			c.Claims = append(c.Claims, dcql.Claim{ID: id, Path: dcql.Path{"slots", string(s), string(p), "s"}})
			slots = append(slots, slot{id, p.Last()})
		}
	}
	add := func(keep func(slot) bool, terms []string) {
		set := append([]string{"contract"}, terms...)
		for _, s := range slots {
			if keep(s) {
				set = append(set, s.id)
			}
		}
		if !slices.ContainsFunc(c.ClaimSets, func(other []string) bool { return slices.Equal(set, other) }) {
			c.ClaimSets = append(c.ClaimSets, set)
		}
	}
	for _, terms := range wantedTerms {
		add(func(slot) bool { return true }, terms)
	}
	last := e.End
	if today.Before(last) {
		last = today
	}
	for _, months := range monthRanges {
		first := last.AddMonths(-months)
		for _, terms := range wantedTerms {
			add(func(s slot) bool { return s.until.After(first) }, terms)
		}
	}
	add(func(slot) bool { return false }, nil)
	return c
}

// advance goes on with an assessment: after the first step to the query of the second, after the second to the judgement, of which it returns
// the evidence file.
func (v *VP) advance(ctx context.Context, s *session, presented presentations, memory *evidence.Memory) ([]byte, error) {
	shown := presented.of(idEngagement)[0]
	asked := s.Assessment.Engagement
	if asked != "" { // the second step of two
		if shown.verified.ID != asked {
			return nil, refuseResponse("engagement.changed", "the engagement is another than in the first step", nil)
		}
		return v.judge(ctx, s, presented, memory)
	}
	vct, _ := shown.verified.Claims["vct"].(string)
	claims, err := attestation.Decode(vct, shown.verified.Claims)
	if err != nil {
		return nil, refuseResponse(evidence.CodeEngagementClaims, "the claims of the engagement are not those of its type", err)
	}
	engagement, ok := claims.(*attestation.Engagement)
	if !ok {
		return nil, refuseResponse(evidence.CodeEngagementClaims, "an engagement was asked for", sdjwt.ErrVCT)
	}
	s.Assessment.narrow(engagement)
	if s.Assessment.Step > 1 { // the one step
		return v.judge(ctx, s, presented, memory)
	}
	s.Assessment.Engagement = shown.verified.ID
	next := assessmentQuery(shown.verified.ID, engagement, attestation.DateOf(v.Now()))
	s.Exchange.Query = (*storedQuery)(next)
	return nil, checkQuery(next)
}

// narrow leaves out the months before and after a contract, of which a reviewer who does not know it yet may have asked.
func (a *assessing) narrow(e *attestation.Engagement) {
	if a.From != "" && a.From.Last().Before(e.Start) {
		a.From = attestation.MonthOf(e.Start)
	}
	if a.To != "" && e.End.Before(a.To.First()) {
		a.To = attestation.MonthOf(e.End)
	}
}

// judge looks up in the registry what was opened, and judges it.
func (v *VP) judge(ctx context.Context, s *session, presented presentations, memory *evidence.Memory) ([]byte, error) {
	p := evidence.Presentation{Engagement: presented.of(idEngagement)[0].compact}
	for _, one := range presented {
		switch one.query.ID {
		case idEngagement:
		case idStatements:
			p.Statements = append(p.Statements, one.compact)
		default:
			p.Attestations = append(p.Attestations, one.compact)
		}
	}
	file, data, result, err := assess(ctx, Request{
		Presentation: p, Audience: v.audience(s), Nonce: s.Exchange.Nonce, Now: v.Now(), From: s.Assessment.From, To: s.Assessment.To,
		Memory: memory,
	}, v.Registry, v.Trust)
	var failed *evidence.CheckError
	switch {
	case errors.As(err, &failed):
		return nil, refuseResponse(failed.Check.Code, "the presentation cannot be judged: a check failed", err)
	case errors.Is(err, evidence.ErrNotLogged):
		return nil, refuseResponse(reasonOf(err), "the engagement does not stand in the registry", err)
	case err != nil:
		return nil, registryDown(err)
	}
	s.Result = result
	return v.save(ctx, file, data, memory)
}
