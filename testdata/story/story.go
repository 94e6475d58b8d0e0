// Package story holds the files of the project's worked example: three workers, three companies, one year. Engagement A is kept,
// B abandoned, C underpaid. The files are what companies, a bank and a support organization would export; all parties and numbers
// are synthetic. It is used by the demonstration and by tests, and is written by generate.
//
//	parties.json                 who takes part
//	contract/, engagement/       contracts, and the sheets from which the engagements are issued
//	enrolment/                   which presentation of a worker belongs to which reference of an organization
//	payroll/, bank/              one payroll file a month and company with the companies' mappings; one Zengin file a month and account
//	interviews/, notices/, separations/
//	statements.json              what the workers state
//	timeline.json                who does what when
//	expected.json, earlier.json  what must be found
package story

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"akashi/attestation"
)

//go:embed *.json bank contract engagement enrolment interviews notices payroll separations
var files embed.FS

// Party is an organization or a worker.
type Party struct {
	Actor           string            `json:"actor"` // as in the timeline
	Role            attestation.Role  `json:"role"`
	ID              string            `json:"id"`               // corporate number or registration number; workers have none
	CorporateNumber string            `json:"corporate_number"` // of the support organization
	Name            map[string]string `json:"name"`             // by language; a worker's also as kana
	From            attestation.Date  `json:"from"`             // on the trust list since, without end
	PayerKana       string            `json:"payer_kana"`       // name under which an employer pays
	BankCode        string            `json:"bank_code"`
	BranchCode      string            `json:"branch_code"`

	Engagement       string `json:"engagement"` // a worker's: A, B or C
	Account          string `json:"account"`
	Nationality      string `json:"nationality"`
	EmployeeNumber   string `json:"employee_number"`
	SupportReference string `json:"support_reference"`
}

// Item is one thing that happens. Items stand in order; the clock is set to At, the item is carried out, and what it wrote to the
// registry is covered by a published head before the next item, whose At is later or the same.
//
// Actions:
//
//	log-engagement  the employer issues the engagement from File, in which FillEngagement puts the worker's keys
//	enrol           the worker presents the engagement to Actor, who takes it up under Reference (File lists the same)
//	import          Actor imports File of Type, with Mapping for payroll; Correct: rows replace what stands in the slot
//	junk            Actor's key writes octets that do not open into the slot of Stream and Period
//	statement       the worker makes the statement named Statement
//	checkpoint      time has come: a head is closed and audited although nothing was recorded
//	assess-at       tests judge the engagement as of At, see Earlier
//	assess          the worker presents everything but Hide, and the case is judged as of At, see Expected
type Item struct {
	At         time.Time          `json:"at"`
	Action     string             `json:"action"`
	Actor      string             `json:"actor"`
	Engagement string             `json:"engagement"`
	Type       attestation.Type   `json:"type"`
	File       string             `json:"file"`
	Mapping    string             `json:"mapping"`
	Reference  string             `json:"reference"`
	Statement  string             `json:"statement"`
	Stream     attestation.Stream `json:"stream"`
	Period     attestation.Period `json:"period"` // what an import is about: for checks, the files say it themselves
	Correct    bool               `json:"correct"`
	Hide       []Hidden           `json:"hide"`
	Note       string             `json:"note"`
}

// Hidden names a credential that is not presented.
type Hidden struct {
	Type   attestation.Type   `json:"type"`
	Period attestation.Period `json:"period"`
}

// Statement is a worker's statement; its claims lack the engagement's ID.
type Statement struct {
	Name       string                      `json:"name"`
	Engagement string                      `json:"engagement"`
	Claims     attestation.WorkerStatement `json:"claims"`
}

// Expectation is every finding of the three cases as of one instant.
type Expectation struct {
	AsOf        time.Time       `json:"as_of"`
	Engagements map[string]Case `json:"engagements"`
}

// Case is what must be found about one engagement.
type Case struct {
	Findings []Finding      `json:"findings"` // by obligation W-05, W-03, S-10/worker, S-10/supervisor, N-02, N-06, P-01, H-01, then by period
	Gaps     map[string]int `json:"gaps"`     // by duty holder
	Counts   map[string]int `json:"counts"`   // by finding
}

// Finding is one finding, with its reason in one line.
type Finding struct {
	Obligation     string             `json:"obligation"`
	Period         string             `json:"period"` // of an event duty the event date
	Due            attestation.Date   `json:"due"`
	Finding        string             `json:"finding"`
	DaysLate       int                `json:"days_late"`
	DutyHolder     attestation.Role   `json:"duty_holder"`
	CorroboratedBy []attestation.Role `json:"corroborated_by"`
	Reason         string             `json:"reason"`
}

// EarlierFinding is a finding of a case judged before the end of the story. Finding is "none" where there must not be one.
type EarlierFinding struct {
	AsOf           time.Time          `json:"as_of"`
	Engagement     string             `json:"engagement"`
	Obligation     string             `json:"obligation"`
	Period         string             `json:"period"`
	Finding        string             `json:"finding"`
	DaysLate       int                `json:"days_late"`
	CorroboratedBy []attestation.Role `json:"corroborated_by"`
	Reason         string             `json:"reason"`
}

// Parties returns everybody who takes part.
func Parties() []Party { return read[[]Party]("parties.json") }

// Timeline returns everything that happens, in order.
func Timeline() []Item { return read[[]Item]("timeline.json") }

// Statements returns what the workers state, in order.
func Statements() []Statement { return read[[]Statement]("statements.json") }

// Expected returns the findings as of the end of the story.
func Expected() Expectation { return read[Expectation]("expected.json") }

// Earlier returns the findings of the same cases judged earlier.
func Earlier() []EarlierFinding { return read[[]EarlierFinding]("earlier.json") }

// Engagements are the names of the engagements.
func Engagements() []string { return []string{"A", "B", "C"} }

// File returns the octets of a file named in the timeline.
func File(name string) ([]byte, error) { return files.ReadFile(name) }

// Names returns the paths of all files, sorted.
func Names() []string {
	var names []string
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("story: %v", err)) // embedded files are always there
	}
	return names
}

// StatementNamed returns the statement that an item names.
func StatementNamed(name string) (Statement, bool) {
	for _, s := range Statements() {
		if s.Name == name {
			return s, true
		}
	}
	return Statement{}, false
}

// FillEngagement puts a worker's public key (JWK) and delivery proof into the places that a sheet of contracts keeps for them. The key
// is quoted as CSV asks for it.
func FillEngagement(sheet []byte, holderJWK, deliveryProof string) []byte {
	quoted := `"` + strings.ReplaceAll(holderJWK, `"`, `""`) + `"`
	sheet = bytes.ReplaceAll(sheet, []byte("{{holder_jwk}}"), []byte(quoted))
	return bytes.ReplaceAll(sheet, []byte("{{delivery_proof}}"), []byte(deliveryProof))
}

func read[T any](name string) T {
	var v T
	text, err := files.ReadFile(name)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(&v)
	}
	if err != nil {
		panic(fmt.Sprintf("story: %s: %v", name, err)) // checked in, and covered by tests
	}
	return v
}
