package evidence

import (
	"errors"
	"slices"
	"time"

	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
)

// Kind is the kind of an evidence file in a [Result].
const Kind = "evidence"

// Trust is what a verifier has pinned. Nothing in a file adds to it.
type Trust struct {
	Policy   *registry.Policy // log and witnesses
	Auditors *registry.Policy // nil: absences stay unknown
	Anchor   keys.Public      // signs the trust lists
}

// Options change what is reported, never what is found.
type Options struct {
	At time.Time // when the file was verified again; zero reports nothing
}

// Result is the outcome of a verification. Result is fail when a check fails, unknown when nothing fails and it cannot be decided, else
// pass, whatever the findings.
type Result struct {
	Result     compliance.Result      `json:"result"`
	Kind       string                 `json:"kind"`
	Checks     []compliance.Check     `json:"checks"`
	Assessment *compliance.Assessment `json:"assessment,omitempty"` // as recomputed; nil when a check before it failed
	SavedBy    *SavedBy               `json:"saved_by,omitempty"`   // by whose seal; nil when there is none, and when a check failed
}

// VerifyBytes is [Read] and [Verify].
func VerifyBytes(data []byte, trust Trust, o Options) *Result {
	f, err := Read(data)
	if err != nil {
		return &Result{
			Result: compliance.Fail, Kind: Kind,
			Checks: []compliance.Check{{Code: CodeCanonical, Result: compliance.Fail, Detail: err.Error()}},
		}
	}
	r := Verify(f, trust, o)
	r.Checks = append([]compliance.Check{{Code: CodeCanonical, Result: compliance.Pass}}, r.Checks...)
	return r
}

// Verify repeats every check of a file and its assessment. The checks run in the order of [Codes] and stop at the first that fails. The
// file is judged as of its checkpoint; o.At changes nothing.
func Verify(f *File, trust Trust, o Options) *Result {
	return verify(f, trust, o, func(*judge) {})
}

// verify is [Verify]; before the comparison assessed is called with the judge that has assessed the file.
func verify(f *File, trust Trust, o Options, assessed func(*judge)) *Result {
	return (&judge{file: f, trust: trust}).verify(o, assessed)
}

func (j *judge) verify(o Options, assessed func(*judge)) *Result {
	r := &Result{Kind: Kind, Result: compliance.Pass}
	if j.run(verifySteps) {
		assessed(j)
		j.compare()
		r.Assessment = j.assessment
		if !j.failed {
			j.checkSeal()
			r.SavedBy = j.savedBy
		}
	}
	if !o.At.IsZero() {
		j.note(compliance.Check{Code: CodeReverified, Result: compliance.Pass, Detail: o.At.UTC().Format(time.RFC3339)})
	}
	r.Checks = j.checks
	switch {
	case j.failed:
		r.Result = compliance.Fail
	case !j.checkpoint.Audited(), j.otherRules:
		r.Result = compliance.CannotTell
	}
	return r
}

// judge is one verification under way. Its fields are filled by the steps in their order, each from what earlier steps verified.
type judge struct {
	file   *File
	trust  Trust
	memory *Memory // of the making of the file; nil for a file from elsewhere

	checks []compliance.Check
	failed bool

	policyHash registry.Hash
	checkpoint *registry.Checkpoint
	notes      []*registry.Checkpoint // by size, each smaller than the checkpoint
	head       registry.HeadEntry
	lists      *history

	engagement engagement
	statements []statement
	slots      []slot  // those of the plan that the file must show
	rungs      []*rung // all records: the engagement's ladder, the slots' rungs, the statements
	asOf       time.Time
	inForce    compliance.Check

	making bool                    // a file is being made: presented credentials that do not hold are marked, not refused
	expect *sdjwt.ExpectKeyBinding // what the key bindings must be made for; nil offline

	otherRules bool // the file was judged by other rules than these
	assessment *compliance.Assessment
	stated     []byte // the recomputed assessment in its canonical encoding

	seal     unverifiedSeal
	unsealed *registry.Hash // of the file without its seal, where it is known
	savedBy  *SavedBy
}

// A step verifies one thing under one code. It returns nil, [errCannotTell], or what is wrong; a [failure] names another code.
type step struct {
	code string
	run  func(*judge) (detail string, err error)
}

var verifySteps = []step{
	{CodePolicyPair, (*judge).checkPolicies},
	{CodeCheckpointSignature, (*judge).openCheckpoint},
	{CodeCheckpointWitnesses, (*judge).checkWitnesses},
	{CodeAuditorsQuorum, (*judge).checkAuditors},
	{CodeNotes, (*judge).openNotes},
	{CodeHeadInclusion, (*judge).checkHeadInclusion},
	{CodeHeadFields, (*judge).checkHeadFields},
	{CodeListAnchor, (*judge).openLists},
	{CodeListSequence, (*judge).checkListSequence},
	{CodeListInclusion, (*judge).checkListInclusion},
	{CodeEngagementSignature, (*judge).openEngagement},
	{CodeEngagementSlots, (*judge).openSlots},
	{CodeEngagementClaims, (*judge).readClaims},
	{CodeEngagementRegistry, (*judge).checkRegistry},
	{CodeEngagementIssuer, (*judge).checkIssuer},
	{CodeRange, (*judge).checkRange},
	{CodeStatementSignature, (*judge).openStatements},
	{CodeRecordOrder, (*judge).checkOrder},
	{CodeRecordProof, (*judge).checkProofs},
	{CodeRecordInclusion, (*judge).checkInclusions},
	{CodeRecordValue, (*judge).checkValues},
	{CodeEngagementLadder, (*judge).checkLadder},
	{CodeAttestation, (*judge).openRecords},
	{CodeRecordSubmission, (*judge).checkSubmissions},
	{CodeNotesUsed, (*judge).checkNotesUsed},
	{CodeRuleset, (*judge).checkRuleset},
	{CodeAssess, (*judge).assess},
}

// errCannotTell is returned by a step that could not decide and does not stop the others.
var errCannotTell = errors.New("cannot tell")

// failure is an error that belongs to another code than its step's.
type failure struct {
	code string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// run takes the steps in order, notes their outcome and reports whether none failed.
func (j *judge) run(steps []step) bool {
	for _, s := range steps {
		detail, err := s.run(j)
		check := compliance.Check{Code: s.code, Result: compliance.Pass, Detail: detail}
		switch {
		case errors.Is(err, errCannotTell):
			check.Result = compliance.CannotTell
		case err != nil:
			check.Result, check.Detail = compliance.Fail, err.Error()
			if other := (*failure)(nil); errors.As(err, &other) {
				check.Code = other.code
			}
			j.failed = true
		}
		j.note(check)
		if j.failed {
			return false
		}
	}
	return true
}

// mustRun is run, and turns a failed check into an error.
func (j *judge) mustRun(steps []step) error {
	if j.run(steps) {
		return nil
	}
	return &CheckError{j.checks[len(j.checks)-1]}
}

// stepOf returns the place of a code's step among those of the verification.
func stepOf(code string) int {
	return slices.IndexFunc(verifySteps, func(s step) bool { return s.code == code })
}

func (j *judge) note(c compliance.Check) { j.checks = append(j.checks, c) }

// compare holds the stated assessment against the recomputed one, octet by octet. Without the auditors' policy absences are unknown here
// and were not to whoever stated them, so nothing follows from a difference, nor under other rules.
func (j *judge) compare() {
	check := compliance.Check{Code: CodeReproduced, Result: compliance.Pass}
	switch {
	case string(j.stated) == string(j.file.Assessment):
	case j.trust.Auditors == nil:
		check.Result, check.Detail = compliance.CannotTell, "without policy-auditors absences are unknown; give the policy to decide"
	case j.otherRules:
		check.Result, check.Detail = compliance.CannotTell, "under these rules another assessment follows from the evidence"
	default:
		check.Result, check.Detail = compliance.Fail, "the stated assessment is not the one that follows from the evidence"
		j.failed = true
	}
	j.note(check)
}
