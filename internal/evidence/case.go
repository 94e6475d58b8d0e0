package evidence

import (
	"maps"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/registry"
)

// Case is what a verification established besides the assessment, for pages that show it to people. Nothing in it goes beyond what the checks
// passed; claims are those that the holder disclosed.
type Case struct {
	compliance.Evidence
	Shown       *attestation.Engagement // as presented; the rung in force is Evidence.Terms
	First, Last attestation.Period      // months under judgement
	RulesetHash registry.Hash           // of the rules by which the file was judged

	Names       map[string]map[string]string // of the trust list's organizations, by id and language
	Credentials map[uint64]string            // by index in the log: as presented, else the JWT that the sealed record holds
	Stated      map[string]string            // the worker's statements as presented, by ID

	LogSize         uint64 // under the checkpoint
	Witnesses       Signers
	Auditors        Signers // zero without the auditors' policy
	Present, Absent int     // keys proven in the map, and not in it
}

// Signers are how many of a policy's members signed the checkpoint.
type Signers struct{ Signed, Of, Quorum int }

// VerifyCase is [VerifyBytes] and what it established; the case is nil when a check before the assessment failed.
func VerifyCase(data []byte, trust Trust, o Options) (*Result, *Case) {
	f, err := Read(data)
	if err != nil {
		return VerifyBytes(data, trust, o), nil
	}
	var c *Case
	r := verify(f, trust, o, func(j *judge) { c = j.caseOf() })
	r.Checks = append([]compliance.Check{{Code: CodeCanonical, Result: compliance.Pass}}, r.Checks...)
	return r, c
}

// caseOf collects what was verified.
func (j *judge) caseOf() *Case {
	c := &Case{
		Evidence: j.evidence(), Shown: j.engagement.claims, First: j.file.From, Last: j.file.To, RulesetHash: j.file.RulesetHash,
		Names: j.names(), Credentials: map[uint64]string{}, Stated: map[string]string{},
		LogSize: j.checkpoint.Size, Witnesses: signers(j.checkpoint, j.trust.Policy), Auditors: signers(j.checkpoint, j.trust.Auditors),
	}
	for i := range j.statements {
		c.Stated[j.statements[i].id] = j.statements[i].compact
	}
	for _, r := range j.rungs {
		if !r.member {
			c.Absent++
			continue
		}
		c.Present++
		switch {
		case r.isCopy:
			c.Credentials[r.index] = joined(r.jwt, r.presented)
		case r.presented != "":
			c.Credentials[r.index] = r.presented
		case r.jwt != "":
			c.Credentials[r.index] = r.jwt + "~"
		}
	}
	return c
}

// names are those of the newest trust list, and of earlier ones for who left it.
func (j *judge) names() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, v := range j.lists.versions {
		for _, e := range v.List.Entities {
			out[e.ID] = maps.Clone(e.Name)
		}
	}
	return out
}

// signers counts the members of a policy that have a line under the checkpoint. Its note holds valid lines of policy keys only.
func signers(c *registry.Checkpoint, p *registry.Policy) Signers {
	if p == nil {
		return Signers{}
	}
	lines := strings.Split(string(c.Note), "\n")
	s := Signers{Of: len(p.Members), Quorum: p.Quorum}
	for _, m := range p.Members {
		if slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "— "+m.Verifier.Name()+" ") }) {
			s.Signed++
		}
	}
	return s
}
