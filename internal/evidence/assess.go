package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/registry"
	"akashi/schemas"
)

// checkRuleset compares the rules. Under others nothing follows from what comes out.
func (j *judge) checkRuleset() (string, error) {
	here := registry.Hash(schemas.RulesetHash())
	if j.file.RulesetHash == here {
		return here.String(), nil
	}
	j.otherRules = true
	return fmt.Sprintf("the file was judged by rule set %s, this program has %s: verify it with the release that has the former", j.file.RulesetHash, here), errCannotTell
}

// assess judges what was verified, as of the checkpoint.
func (j *judge) assess() (string, error) {
	a, err := compliance.Assess(j.evidence(), j.asOf)
	if err != nil && j.otherRules {
		return err.Error(), errCannotTell
	}
	if err != nil {
		return "", err
	}
	j.assessment = a
	j.stated, err = marshalAssessment(a)
	return "", err
}

// marshalAssessment writes an assessment in the encoding that a file holds.
func marshalAssessment(a *compliance.Assessment) ([]byte, error) {
	var b bytes.Buffer
	if err := encode(&b, a); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// evidence hands what was verified to the judgement.
func (j *judge) evidence() compliance.Evidence {
	e := &j.engagement
	terms, id := e.claims, e.verified.ID
	if e.inForceID != id && e.inForce != nil {
		terms, id = e.inForce, e.inForceID
	}
	ev := compliance.Evidence{
		EngagementID: id, Terms: terms, IssuerID: e.entity.ID,
		Ladders: j.ladders(), Statements: j.workerStatements(), PlanSince: e.planSince,
		From: j.file.From.First(), To: j.file.To.Last(),
		Audited: j.checkpoint.Audited(), AbsentAsOf: j.asOf,
		Checkpoint: j.checkpoint.Text(), Policy: j.policyHash.String(),
		Checks: append(slices.Clone(j.checks), j.inForce),
	}
	ev.Accepted = slices.ContainsFunc(ev.Statements, func(s compliance.Statement) bool {
		return s.Claims.Kind != nil && *s.Claims.Kind == attestation.StatementAccept && s.Claims.About != nil && s.Claims.About.ID == id
	})
	return ev
}

// ladders gives every slot of the plan that was looked up, and every one that was not opened.
func (j *judge) ladders() []compliance.Ladder {
	e := &j.engagement
	var out []compliance.Ladder
	for _, s := range j.slots {
		l := compliance.Ladder{Stream: s.stream, Period: s.period, Opened: true, Closed: s.closed}
		for _, r := range s.rungs {
			l.Rungs = append(l.Rungs, r.entry)
		}
		out = append(out, l)
	}
	for _, s := range attestation.Streams {
		for _, p := range slices.Sorted(maps.Keys(e.plan[s])) {
			if _, opened := e.secrets[s][p]; !opened {
				out = append(out, compliance.Ladder{Stream: s, Period: p})
			}
		}
	}
	return out
}

func (j *judge) workerStatements() []compliance.Statement {
	var out []compliance.Statement
	for _, r := range j.rungs {
		if r.of != ofStatement || !j.engagement.ids[j.statements[r.n].claims.Engagement] {
			continue
		}
		existedBy, notBefore := j.bounds(r.index)
		s := j.statements[r.n]
		out = append(out, compliance.Statement{ID: s.id, Index: r.index, ExistedBy: existedBy, NotBefore: notBefore, Claims: s.claims})
	}
	return out
}
