package compliance

import (
	"fmt"
	"time"

	"akashi/attestation"
)

// Finding is the judgement of one duty. The zero value counts against nobody.
type Finding int

const (
	Unknown       Finding = iota // cannot verify
	NotDue                       // before the end of the due day, or not applicable
	Pending                      // due, inside grace
	Fulfilled                    // performed by the due date, recorded by due + grace
	Excused                      // a named exemption
	Undisclosed                  // period not opened, or a needed claim withheld
	PerformedLate                // after the due date
	AttestedLate                 // only the duty holder's own record, made after grace
	Short                        // below contract or law, recomputed, undisputed
	Remedied                     // was a gap, mended since
	Contradicted                 // two attesters, or the worker, disagree
	Absent                       // proven, with the time it is proven for
)

var findingNames = [...]string{"unknown", "not_due", "pending", "fulfilled", "excused", "undisclosed", "performed_late", "attested_late", "short", "remedied", "contradicted", "absent"}

// String returns the finding's name in JSON and on pages.
func (f Finding) String() string {
	if f < 0 || int(f) >= len(findingNames) {
		return "unknown"
	}
	return findingNames[f]
}

// MarshalText writes the finding's name.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a finding's name.
func (f *Finding) UnmarshalText(b []byte) error {
	for i, n := range findingNames {
		if n == string(b) {
			*f = Finding(i)
			return nil
		}
	}
	return fmt.Errorf("unknown finding %q", b)
}

// Gap reports whether the finding counts against the duty holder.
func (f Finding) Gap() bool {
	switch f {
	case PerformedLate, AttestedLate, Short, Remedied, Contradicted, Absent:
		return true
	}
	return false
}

// Result is the outcome of one check. The zero value is "cannot tell".
type Result int

const (
	CannotTell Result = iota
	Pass
	Fail
)

// String returns pass, fail or unknown.
func (r Result) String() string {
	return [...]string{"unknown", "pass", "fail"}[max(0, min(int(r), 2))]
}

// MarshalText writes pass, fail or unknown.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads pass, fail or unknown.
func (r *Result) UnmarshalText(b []byte) error {
	switch string(b) {
	case "pass":
		*r = Pass
	case "fail":
		*r = Fail
	case "unknown":
		*r = CannotTell
	default:
		return fmt.Errorf("unknown check result %q", b)
	}
	return nil
}

// Check is one thing that was checked, could not be checked, or failed.
type Check struct {
	Code   string `json:"code"` // stable; see codes.go
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"` // for people; never holds a claim that was not disclosed
}

// Assessment is every finding of an engagement at a time, with who is answerable for each gap.
type Assessment struct {
	Engagement   string         `json:"engagement"`
	AsOf         time.Time      `json:"as_of"`
	Ruleset      string         `json:"ruleset"`
	VerdictBasis Basis          `json:"verdict_basis"`
	Findings     []DutyFinding  `json:"findings"`
	Gaps         map[string]int `json:"gaps"`   // by duty holder; every duty holder of the findings and the worker are listed
	Counts       map[string]int `json:"counts"` // by finding
	Checks       []Check        `json:"checks"` // of the whole case
}

// Basis names what the judgement rests on.
type Basis struct {
	Checkpoint string `json:"checkpoint"`
	Policy     string `json:"policy"`
}

// DutyFinding is the finding of one duty.
type DutyFinding struct {
	Obligation     string             `json:"obligation"`
	Title          map[string]string  `json:"title"`
	LegalBasis     string             `json:"legal_basis"`
	DutyHolder     attestation.Role   `json:"duty_holder"`
	Period         string             `json:"period"` // period, or the event date of an event duty
	Due            attestation.Date   `json:"due"`
	NominalDue     attestation.Date   `json:"nominal_due"`
	GraceUntil     time.Time          `json:"grace_until"`
	Finding        Finding            `json:"finding"`
	DaysLate       int                `json:"days_late"`
	AsOf           time.Time          `json:"as_of"` // what the finding is proven for: T of an absence, else the assessment's time
	AlsoAnswerable []attestation.Role `json:"also_answerable"`
	OwnRecordOnly  bool               `json:"own_record_only"`
	WorkerActions  []WorkerAction     `json:"worker_actions"`
	Entries        []EntryRef         `json:"entries"`
	CorroboratedBy []attestation.Role `json:"corroborated_by"`
	Checks         []Check            `json:"checks"`
}

// WorkerAction is what the worker stated about a duty.
type WorkerAction struct {
	Kind string           `json:"kind"`
	Date attestation.Date `json:"date"`
}

// EntryRef points at an entry that the finding rests on.
type EntryRef struct {
	Stream    attestation.Stream `json:"stream"`
	J         int                `json:"j"`
	Index     uint64             `json:"index"`
	ExistedBy time.Time          `json:"existed_by"`
	Type      attestation.Type   `json:"type"`
}
