package schemas

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sync"
)

// Obligation is a duty in law as a row of data. The names of deadlines, rolls and applicabilities are a small fixed set that package
// compliance implements; everything else is for a lawyer to correct here.
type Obligation struct {
	Order      int               `json:"order"` // place in lists
	ID         string            `json:"id"`
	Title      map[string]string `json:"title"`       // by language: ja, en
	LegalBasis map[string]string `json:"legal_basis"` // by language: ja, en
	DutyHolder string            `json:"duty_holder"` // a role

	// DutyHolderWithoutSupport replaces DutyHolder where the engagement names no support organization.
	DutyHolderWithoutSupport string           `json:"duty_holder_without_support,omitempty"`
	AlsoAnswerable           []AlsoAnswerable `json:"also_answerable,omitempty"`

	Streams    []string `json:"streams"`              // able to fulfil it
	Statements []string `json:"statements,omitempty"` // kinds of worker's statement able to fulfil it

	Recurrence    string          `json:"recurrence"`    // month, quarter, fiscal-year, event
	Deadline      string          `json:"deadline"`      // pay-day, quarter-end, event+14d, fiscal-year-may-31
	Roll          string          `json:"roll"`          // calendar over which the due date rolls: bank, government, none
	Applicability string          `json:"applicability"` // wage, class-i, end, end-by-employer, any-day-in-fiscal-year, own-end
	Effective     Effective       `json:"effective"`
	GraceDays     int             `json:"grace_days"`   // time to record, in calendar days after the due date
	Consequences  []string        `json:"consequences"` // codes, see [Consequences]
	Facts         map[string]Fact `json:"facts"`        // how sure each fact is, by the name of its column
}

// AlsoAnswerable names a second role that answers for the duty.
type AlsoAnswerable struct {
	When string `json:"when"` // support-full: all support is outsourced
	Role string `json:"role"`
}

// Effective is the time in which a row is law: the row is picked by the date of the event or the end of the period, never by today.
type Effective struct {
	From string `json:"from"`         // first day, YYYY-MM-DD
	To   string `json:"to,omitempty"` // last day, empty while it is law
}

// Fact says how sure a cell of the row is, and why.
type Fact struct {
	Confidence string `json:"confidence"` // S sure, L likely, U unverified
	Source     string `json:"source"`
}

// Consequences are the codes of what follows when an obligation is missed.
var Consequences = map[string]string{
	"G":    "guidance or advice (Immigration Act, Art. 19-19)",
	"R":    "report or inspection (Art. 19-20)",
	"O":    "improvement order, published (Art. 19-21)",
	"F20":  "fine of up to 200,000 yen on the worker (Art. 71-5)",
	"F30":  "fine of up to 300,000 yen (Art. 71-4)",
	"J6":   "imprisonment of up to 6 months or fine of up to 300,000 yen for breach of an order (Art. 71-3)",
	"K10":  "non-penal fine of up to 100,000 yen (Art. 77-2)",
	"DQ5":  "disqualification for 5 years (Ministry of Justice Ordinance 5 of 2019, Art. 2(1)(iv))",
	"NC":   "non-conformity: no new acceptance, renewal refused while it lasts",
	"X":    "cancellation of the support organization's registration (Art. 19-32)",
	"L119": "Labor Standards Act, Art. 119",
	"L120": "Labor Standards Act, Art. 120",
}

// Obligations returns the register in its order. The caller may change the slice, not what its rows refer to.
func Obligations() []Obligation { return slices.Clone(obligations()) }

var obligations = sync.OnceValue(func() []Obligation {
	entries, err := files.ReadDir("obligations")
	if err != nil {
		panic(err)
	}
	rows := make([]Obligation, len(entries))
	for i, e := range entries {
		mustLoad("obligations/"+e.Name(), &rows[i])
	}
	slices.SortFunc(rows, func(a, b Obligation) int { return cmp.Compare(a.Order, b.Order) })
	if err := checkRegister(rows); err != nil {
		panic(err)
	}
	return rows
})

var isoDay = regexp.MustCompile(`^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$`)

// checkRegister refuses a register that could not be judged by: a misspelt name in it must not pass for a duty that nobody owes.
func checkRegister(rows []Obligation) error {
	for i, o := range rows {
		if err := checkRow(o); err != nil {
			return fmt.Errorf("obligation %s: %w", o.ID, err)
		}
		for _, p := range rows[:i] {
			if p.Order == o.Order {
				return fmt.Errorf("obligations %s and %s have the same order", p.ID, o.ID)
			}
			if p.ID == o.ID && (p.Effective.To == "" || o.Effective.From <= p.Effective.To) && (o.Effective.To == "" || p.Effective.From <= o.Effective.To) {
				return fmt.Errorf("two rows of obligation %s are in force at the same time", o.ID)
			}
		}
	}
	return nil
}

var roles = []string{"accepting-organization", "support-organization", "worker"}

// required are the columns whose confidence must be stated.
var required = []string{"legal_basis", "deadline", "roll", "applicability", "consequences", "grace_days"}

func checkRow(o Obligation) error {
	for _, c := range []struct {
		column, value string
		allowed       []string
	}{
		{"duty_holder", o.DutyHolder, roles},
		{"duty_holder_without_support", o.DutyHolderWithoutSupport, append([]string{""}, roles...)},
		{"recurrence", o.Recurrence, []string{"month", "quarter", "fiscal-year", "event"}},
		{"deadline", o.Deadline, []string{"pay-day", "quarter-end", "event+14d", "fiscal-year-may-31"}},
		{"roll", o.Roll, []string{"bank", "government", "none"}},
		{"applicability", o.Applicability, []string{"wage", "class-i", "end", "end-by-employer", "any-day-in-fiscal-year", "own-end"}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("%s %q is none of %q", c.column, c.value, c.allowed)
		}
	}
	switch {
	case o.ID == "" || o.Order < 1:
		return fmt.Errorf("id or order is missing")
	case o.Title["ja"] == "" || o.Title["en"] == "" || o.LegalBasis["ja"] == "" || o.LegalBasis["en"] == "":
		return fmt.Errorf("title and legal_basis need ja and en")
	case len(o.Streams) == 0:
		return fmt.Errorf("no stream can fulfil it")
	case o.GraceDays < 0:
		return fmt.Errorf("grace_days is negative")
	case !isoDay.MatchString(o.Effective.From) || o.Effective.To != "" && (!isoDay.MatchString(o.Effective.To) || o.Effective.To < o.Effective.From):
		return fmt.Errorf("effective needs from, and to not before it, as YYYY-MM-DD")
	}
	for _, a := range o.AlsoAnswerable {
		if a.When != "support-full" || !slices.Contains(roles, a.Role) {
			return fmt.Errorf("also_answerable names an unknown condition or role")
		}
	}
	for _, c := range o.Consequences {
		if Consequences[c] == "" {
			return fmt.Errorf("unknown consequence %q", c)
		}
	}
	return checkFacts(o.Facts)
}

func checkFacts(facts map[string]Fact) error {
	for _, column := range required {
		if _, ok := facts[column]; !ok {
			return fmt.Errorf("facts says nothing about %s", column)
		}
	}
	for column, f := range facts {
		if !slices.Contains([]string{"S", "L", "U"}, f.Confidence) || f.Source == "" {
			return fmt.Errorf("facts: %s needs a confidence S, L or U and a source", column)
		}
	}
	return nil
}
