package compliance

import (
	"time"

	"akashi/attestation"
)

// Evidence is what the caller has verified about one engagement: signatures, map and log proofs, time bounds and accreditation are
// facts here; what could not be verified is absent or marked. [Assess] judges it and never looks further.
type Evidence struct {
	EngagementID string                  // ID of the rung in force
	Terms        *attestation.Engagement // the rung in force, with the claims that were disclosed
	Accepted     bool                    // a statement `accept` of the worker names the engagement; else its terms are the employer's word
	IssuerID     string                  // entity that issued the engagement
	Ladders      []Ladder                // one per slot of the plan that could be looked up, and one per slot not opened
	Statements   []Statement             // of the worker's own key, each logged
	PlanSince    map[attestation.Stream]map[attestation.Period]time.Time
	// PlanSince gives, for every slot of the plan, when the first engagement rung that has it stood in the log (witness time).

	From, To   attestation.Date // months under judgement, inclusive
	Audited    bool             // the head carries the auditors' quorum
	AbsentAsOf time.Time        // T: every non-membership below holds as of this instant; zero when no head could be used
	Checkpoint string           // text of the checkpoint everything was proved against
	Policy     string           // hash of the policy files, base64url
	Outages    []Outage         // signed by the trust anchor
	Checks     []Check          // checks of the whole case made by the caller: log, auditors, engagement, presentation
}

// Ladder is one slot's rungs 0, 1, 2 ... up to the first that is proven empty.
type Ladder struct {
	Stream attestation.Stream
	Period attestation.Period
	Opened bool    // the period's secret was disclosed; if not, the rest is empty
	Rungs  []Entry // members, in order of j
	Closed bool    // the rung after the last is proven empty as of Evidence.AbsentAsOf, or the ladder is full (64)
}

// Validity says what an entry is worth.
type Validity int

const (
	Unavailable Validity = iota // the sealed record is not to be had, erased, or its issuer cannot be judged: counts for nobody
	Junk                        // present, and fails to open, to verify, or to be accredited for the stream
	Valid
)

// Entry is one member of a ladder.
type Entry struct {
	J         int
	Index     uint64    // its own index in the log
	ExistedBy time.Time // instant by which rungs 0..j all stood in the log; zero when no checkpoint proves one
	NotBefore time.Time // instant at which one of rungs 0..j was not yet in the log; zero when no checkpoint proves one
	Validity  Validity
	Reason    string // code of the check that made it junk or unavailable: entry.junk, entry.unavailable, entry.erased, issuer.compromised, ...
	Submitter string // entity that submitted a junk entry, when its submission was shown

	ID        string           // ID of the issuer-signed JWT; empty unless Valid
	Type      attestation.Type // of the claims
	Attester  string           // entity id
	Role      attestation.Role // in which it attested
	Tied      bool             // the trust list ties the attester to the duty holder's entity by `group`
	Claims    any              // *attestation.WagePayment etc.: visible claims, and the disclosable ones that were disclosed
	Presented bool             // the credential itself was presented with key binding (not only found in its slot)
}

// Statement is a worker's own statement, verified against the engagement's key and logged.
type Statement struct {
	ID        string
	Index     uint64
	ExistedBy time.Time
	NotBefore time.Time
	Claims    *attestation.WorkerStatement
}

// Outage lengthens grace for duties whose grace would have ended inside it.
type Outage struct{ From, Until time.Time }
