package issuer

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
)

// Mapping says which column of a payroll file holds what. It is a JSON file, one for each customer and payroll program, because
// customers choose the columns of their exports themselves:
//
//	{
//	  "name": "給与計算 月次一覧",
//	  "encoding": "Shift_JIS",          UTF-8 or Shift_JIS; without it the encoding is detected and shown
//	  "separator": ";",                 what divides the cells: a comma (this is the default), a semicolon or a tab ("\t")
//	  "short_wareki": false,            true: 07/11/25 is 25 November of Reiwa 7
//	  "blank_is_zero": true,            an empty cell of amounts or hours is 0, except gross and net (this is the default); false: an error
//	  "closing_day": 31,                with "month" instead of "from" and "to": last day of the pay period, 31 is the month's last
//	  "method": "transfer",             how wages are paid where no column says it
//	  "methods": {"銀行振込": "transfer"},  the words of the column "method"
//	  "kinds": {"定例": "regular"},         the words of the column "kind"
//	  "declared_in_full": true,         the organization declares each row to be the whole wage that was due
//	  "columns": {"employee_number": "社員番号", "gross": "総支給額", "net": "差引支給額", ...}
//	}
//
// The fields of columns are those of [payrollFields]; allowances.CODE, overtime_pay.CLASS and deductions.CODE may stand any number of times.
type Mapping struct {
	Name           string            `json:"name"`
	Encoding       Encoding          `json:"encoding"`
	Separator      string            `json:"separator"`
	ShortWareki    bool              `json:"short_wareki"`
	BlankIsZero    *bool             `json:"blank_is_zero"` // nil means true
	ClosingDay     int               `json:"closing_day"`
	Method         string            `json:"method"`
	Methods        map[string]string `json:"methods"`
	Kinds          map[string]string `json:"kinds"`
	DeclaredInFull bool              `json:"declared_in_full"`
	Columns        map[string]string `json:"columns"`
}

// Fields of a payroll row. absence is what was taken from the base pay for absence, as a positive amount.
var payrollFields = []string{
	"employee_number", "month", "from", "to", "paid_date", "method", "kind",
	"hours.scheduled", "hours.overtime", "hours.overtime_60", "hours.holiday", "hours.night",
	"base", "absence", "gross", "total_deductions", "net",
}

var codedField = regexp.MustCompile(`^(allowances|overtime_pay|deductions)\.[a-z][a-z0-9_]{0,31}$`)

const maxMapping = 1 << 20

// ErrMapping is returned for a mapping that cannot be used.
var ErrMapping = errors.New("mapping refused")

// ParseMapping reads a mapping file. One without the columns for gross and net, or without any for deductions, is refused: rows could
// not be checked to balance. So is one with a member that is not above: a misspelt one must not be without effect.
func ParseMapping(data []byte) (*Mapping, error) {
	var m Mapping
	if err := keys.DecodeKnownJSON(data, &m, maxMapping); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	for _, check := range []func() error{m.checkNames, m.checkPresent, m.checkWords} {
		if err := check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMapping, err)
		}
	}
	return &m, nil
}

func (m *Mapping) checkNames() error {
	used := map[string]string{}
	for _, field := range slices.Sorted(maps.Keys(m.Columns)) {
		if !slices.Contains(payrollFields, field) && !codedField.MatchString(field) {
			return fmt.Errorf("there is no field %q: the fields are %s, allowances.CODE, overtime_pay.CLASS, deductions.CODE", field, strings.Join(payrollFields, ", "))
		}
		name := headerName(m.Columns[field])
		if name == "" {
			return fmt.Errorf("field %s has no column name", field)
		}
		if other, ok := used[name]; ok {
			return fmt.Errorf("fields %s and %s both name the column %q", other, field, name)
		}
		used[name] = field
	}
	return nil
}

func (m *Mapping) checkPresent() error {
	for _, field := range []string{"employee_number", "paid_date", "gross", "net"} {
		if !m.has(field) {
			return fmt.Errorf("a column for %s is needed", field)
		}
	}
	if !m.has("total_deductions") && len(m.coded("deductions")) == 0 {
		return errors.New("a column for total_deductions or columns for deductions.CODE are needed, to check that each row balances")
	}
	if m.has("from") != m.has("to") {
		return errors.New("from and to are needed together")
	}
	if !m.has("to") && (!m.has("month") || m.ClosingDay == 0) {
		return errors.New("columns for from and to are needed, or a column for month and closing_day")
	}
	if m.ClosingDay < 0 || m.ClosingDay > 31 {
		return errors.New("closing_day is not 1 to 31")
	}
	if !m.has("base") && (m.has("absence") || len(m.coded("allowances"))+len(m.coded("overtime_pay")) > 0) {
		return errors.New("a column for base is needed beside allowances, overtime_pay or absence")
	}
	if !m.has("hours.scheduled") && slices.ContainsFunc(slices.Collect(maps.Keys(m.Columns)), func(f string) bool { return strings.HasPrefix(f, "hours.") }) {
		return errors.New("a column for hours.scheduled is needed beside other hours")
	}
	return nil
}

func (m *Mapping) checkWords() error {
	switch m.Encoding {
	case "", UTF8, UTF8BOM, CP932:
	default:
		return fmt.Errorf("encoding is none of %s, %s", UTF8, CP932)
	}
	if _, ok := separators[m.Separator]; m.Separator != "" && !ok {
		return errors.New(`separator is none of ",", ";" and "\\t"`)
	}
	methods := []string{attestation.PayTransfer, attestation.PayCash, attestation.PayFundsTransfer}
	if m.Method == "" && !m.has("method") {
		return errors.New("say how wages are paid: method, or a column for it")
	}
	if m.Method != "" && !slices.Contains(methods, m.Method) {
		return fmt.Errorf("method is none of %s", strings.Join(methods, ", "))
	}
	kinds := []string{attestation.WageRegular, attestation.WagePart, attestation.WageFinal, attestation.WageZero}
	if err := checkChoice("methods", m.Methods, methods, m.has("method")); err != nil {
		return err
	}
	return checkChoice("kinds", m.Kinds, kinds, m.has("kind"))
}

func checkChoice(name string, words map[string]string, allowed []string, needed bool) error {
	if needed != (len(words) > 0) {
		return fmt.Errorf("%s, the words of a column, is needed exactly where the column is", name)
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if !slices.Contains(allowed, words[word]) {
			return fmt.Errorf("%s: %q is none of %s", name, words[word], strings.Join(allowed, ", "))
		}
	}
	return nil
}

func (m *Mapping) has(field string) bool { _, ok := m.Columns[field]; return ok }

func (m *Mapping) blankIsZero() bool { return m.BlankIsZero == nil || *m.BlankIsZero }

// coded returns the codes under prefix, sorted.
func (m *Mapping) coded(prefix string) []string {
	var codes []string
	for field := range m.Columns {
		if code, ok := strings.CutPrefix(field, prefix+"."); ok {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return codes
}

// words normalises the keys of a word list, as the cells are.
func words(list map[string]string) choice {
	c := choice{}
	for k, v := range list {
		c[strings.ToLower(normalise(k))] = v
	}
	return c
}
