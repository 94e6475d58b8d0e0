package issuer

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"akashi/attestation"
)

// PayrollRow is one wage of one employee; its Reference is the employee number.
type PayrollRow = Row[attestation.WagePayment]

// Payroll is a payroll file.
type Payroll = Sheet[attestation.WagePayment]

// minLedgerKey is the least number of octets of a ledger key.
const minLedgerKey = 16

// ParsePayroll reads a payroll file (CSV) by its mapping. A row is refused whose net is not its payments minus its deductions, whose
// gross is not the sum of the parts that are mapped, or that appears twice. ledgerKey is the organization's secret for
// ledger_row_hash, see [ledgerRowHash].
func ParsePayroll(file string, data []byte, m *Mapping, ledgerKey []byte) *Payroll {
	t := readTable(file, data, m.Encoding, m.Separator)
	p := payrollReader{table: t, mapping: m, key: ledgerKey, columns: map[string]int{}, methods: words(m.Methods), kinds: words(m.Kinds)}
	out := &Payroll{File: file, Encoding: t.encoding}
	if len(ledgerKey) < minLedgerKey {
		t.fail(0, "", "", "the organization has no ledger key", "set one up: at least 16 secret random octets")
	} else if len(t.header) > 0 && p.findColumns() {
		out.Ignored, out.Headers = t.ignored(p.used()), t.headers(p.columns)
		out.Headers["reference"] = out.Headers["employee_number"]
		out.Rows = p.readAll(t.rows)
		p.noteBlanks()
		out.Rows = p.refuseTwice(out.Rows)
	}
	slices.SortStableFunc(t.errors, func(a, b RowError) int { return a.Row - b.Row })
	out.Errors, out.Notes = t.errors, t.notes
	return out
}

// A payrollReader reads the rows of one file.
type payrollReader struct {
	*table
	mapping        *Mapping
	key            []byte
	columns        map[string]int      // field to column
	yen            []string            // the fields that are amounts
	codes          map[string][]string // of allowances, overtime_pay and deductions
	methods, kinds choice
	blanks         map[string]int // column name to number of empty cells read as 0
}

// yenFields are the fields that are amounts, besides those with codes.
var yenFields = []string{"base", "absence", "gross", "total_deductions", "net"}

// prepare finds what is the same for all rows.
func (p *payrollReader) prepare() {
	for _, field := range slices.Sorted(maps.Keys(p.columns)) {
		if codedField.MatchString(field) || slices.Contains(yenFields, field) {
			p.yen = append(p.yen, field)
		}
	}
	p.codes = map[string][]string{}
	for _, prefix := range []string{"allowances", "overtime_pay", "deductions"} {
		p.codes[prefix] = p.mapping.coded(prefix)
	}
}

// readAll returns the wages in rows without errors, read on all processors.
func (p *payrollReader) readAll(rows []tableRow) (wages []PayrollRow) {
	type part struct {
		reader payrollReader
		wages  []PayrollRow
	}
	p.prepare()
	var parts []*part
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for chunk := range slices.Chunk(rows, 256) {
		found := *p.table
		found.errors, found.notes = nil, nil
		next := &part{reader: *p}
		next.reader.table = &found
		parts = append(parts, next)
		g.Go(func() error {
			for _, row := range chunk {
				if w, ok := next.reader.read(row); ok {
					next.wages = append(next.wages, w)
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	for _, done := range parts {
		wages = append(wages, done.wages...)
		p.errors = append(p.errors, done.reader.errors...)
		p.notes = append(p.notes, done.reader.notes...)
		for column, n := range done.reader.blanks {
			p.countBlanks(column, n)
		}
	}
	return wages
}

func (p *payrollReader) findColumns() bool {
	ok := true
	for _, field := range slices.Sorted(maps.Keys(p.mapping.Columns)) {
		name := p.mapping.Columns[field]
		i := p.column(name)
		if i < 0 {
			p.fail(1, headerName(name), "", "the mapping names this column for "+field+", and the file does not have it", "export the file with this column, or correct the mapping")
			ok = false
		}
		p.columns[field] = i
	}
	return ok
}

func (p *payrollReader) used() map[int]bool {
	used := map[int]bool{}
	for _, i := range p.columns {
		used[i] = true
	}
	return used
}

// read returns the wage in row; false after errors, which are all reported.
func (p *payrollReader) read(row tableRow) (PayrollRow, bool) {
	c := cells{table: p.table, row: row, columns: p.columns}
	r := PayrollRow{Row: row.line, Reference: c.text("employee_number")}
	w := &r.Claims
	p.readPeriod(&c, w)
	w.PaidDate = c.day("paid_date", p.mapping.ShortWareki)
	w.Method, w.DeclaredInFull = p.mapping.Method, p.mapping.DeclaredInFull
	if p.mapping.has("method") {
		w.Method = c.choice("method", p.methods)
	}
	amounts := p.readAmounts(&c)
	p.readHours(&c, w)
	if c.failed {
		return r, false
	}
	p.balance(&c, amounts)
	p.setAmounts(w, amounts)
	p.readKind(&c, w)
	w.LedgerRowHash = ledgerRowHash(p.key, r.Reference, w.Period, p.header, row.cells)
	return r, !c.failed
}

func (p *payrollReader) readPeriod(c *cells, w *attestation.WagePayment) {
	var month attestation.Period
	if p.mapping.has("month") {
		month = c.month("month")
	}
	if p.mapping.has("to") {
		w.From, w.To = c.day("from", p.mapping.ShortWareki), c.day("to", p.mapping.ShortWareki)
		w.Period = attestation.MonthOf(w.To)
		if c.failed {
			return
		}
		if w.To.Before(w.From) {
			c.fail("to", "the pay period ends before it begins", "check both dates")
		}
		if month != "" && month != w.Period {
			c.fail("month", "this is not the month in which the pay period ends", "check the month and the dates of the pay period")
		}
		return
	}
	if month == "" {
		return
	}
	w.Period = month
	w.From, w.To = payPeriod(month, p.mapping.ClosingDay)
}

// payPeriod returns the days of the pay period that closes in month.
func payPeriod(month attestation.Period, closingDay int) (from, to attestation.Date) {
	close := func(first attestation.Date) attestation.Date {
		last := attestation.MonthOf(first).Last()
		return attestation.Date{Year: first.Year, Month: first.Month, Day: min(closingDay, last.Day)}
	}
	return close(month.First().AddMonths(-1)).AddDays(1), close(month.First())
}

// readAmounts returns the amount in every mapped column of yen. Gross and net are never taken as 0 from an empty cell: a row that was not
// filled in must not become a statement that nothing was due.
func (p *payrollReader) readAmounts(c *cells) map[string]int64 {
	amounts := make(map[string]int64, len(p.yen))
	for _, field := range p.yen {
		if c.blank(field) && p.mapping.blankIsZero() && field != "gross" && field != "net" {
			p.countBlanks(c.name(field), 1)
			amounts[field] = 0
			continue
		}
		amounts[field] = c.yen(field)
	}
	return amounts
}

func (p *payrollReader) readHours(c *cells, w *attestation.WagePayment) {
	if !p.mapping.has("hours.scheduled") {
		return
	}
	hours := func(field string) string {
		if !p.mapping.has(field) {
			return ""
		}
		if c.blank(field) && p.mapping.blankIsZero() {
			p.countBlanks(c.name(field), 1)
			return "0.0"
		}
		return c.hours(field)
	}
	w.Hours = &attestation.Hours{Scheduled: hours("hours.scheduled"), Overtime: hours("hours.overtime"), Overtime60: hours("hours.overtime_60"),
		Holiday: hours("hours.holiday"), Night: hours("hours.night")}
}

// balance checks what every payslip satisfies: payments minus deductions is the net, and the totals are the sums of their parts.
func (p *payrollReader) balance(c *cells, a map[string]int64) {
	sum := func(prefix string) (s int64) {
		for _, code := range p.codes[prefix] {
			s += a[prefix+"."+code]
		}
		return s
	}
	deductions := sum("deductions")
	if p.mapping.has("total_deductions") {
		if len(p.codes["deductions"]) > 0 && deductions != a["total_deductions"] {
			c.fail("total_deductions", "the total is not the sum of the deductions", "map every column of deductions, or correct the row in the payroll program")
		}
		deductions = a["total_deductions"]
	}
	if p.mapping.has("base") && a["base"]-a["absence"]+sum("allowances")+sum("overtime_pay") != a["gross"] {
		c.fail("gross", "the gross is not the sum of base, allowances and overtime pay", "map every column of payments, or correct the row in the payroll program")
	}
	if a["absence"] > a["base"] {
		c.fail("absence", "more is taken for absence than the base pay", "correct the row in the payroll program")
	}
	if a["gross"]-deductions != a["net"] {
		c.fail("net", "the net is not the gross minus the deductions", "correct the row in the payroll program and export again: a row that does not balance is never attested")
	}
}

// setAmounts puts the amounts into the claims. Every mapped code is stated, 0 too, so that the number of claims tells nothing.
func (p *payrollReader) setAmounts(w *attestation.WagePayment, a map[string]int64) {
	group := func(prefix string) map[string]int64 {
		codes := p.codes[prefix]
		if len(codes) == 0 {
			return nil
		}
		m := make(map[string]int64, len(codes))
		for _, code := range codes {
			m[code] = a[prefix+"."+code]
		}
		return m
	}
	gross, net := a["gross"], a["net"]
	w.Gross, w.Net = &gross, &net
	if p.mapping.has("base") {
		base := a["base"] - a["absence"]
		w.Base = &base
	}
	w.Allowances, w.OvertimePay, w.Deductions = group("allowances"), group("overtime_pay"), group("deductions")
}

// readKind takes the kind from its column. Without one a wage is regular, or zero when nothing was paid and nothing deducted.
func (p *payrollReader) readKind(c *cells, w *attestation.WagePayment) {
	nothing := *w.Gross == 0 && *w.Net == 0
	w.Kind = attestation.WageRegular
	if p.mapping.has("kind") {
		w.Kind = c.choice("kind", p.kinds)
	} else if nothing {
		w.Kind = attestation.WageZero
	}
	if !c.failed && nothing != (w.Kind == attestation.WageZero) {
		c.fail("kind", "a wage of kind zero has no amounts, and a wage without amounts is of kind zero", "correct the kind or the amounts")
	}
}

func (p *payrollReader) countBlanks(column string, n int) {
	if p.blanks == nil {
		p.blanks = map[string]int{}
	}
	p.blanks[column] += n
}

func (p *payrollReader) noteBlanks() {
	for _, column := range slices.Sorted(maps.Keys(p.blanks)) {
		p.note(0, column, fmt.Sprintf("%d empty cells were read as 0, as the mapping allows", p.blanks[column]))
	}
}

// refuseTwice refuses every row of an employee who has another one for the same period: it cannot be told which is right. Parts of a
// wage paid on different days may stand side by side.
func (p *payrollReader) refuseTwice(rows []PayrollRow) []PayrollRow {
	type wage struct {
		reference string
		period    attestation.Period
		part      attestation.Date
	}
	id := func(r PayrollRow) wage {
		w := wage{r.Reference, r.Claims.Period, attestation.Date{}}
		if r.Claims.Kind == attestation.WagePart {
			w.part = r.Claims.PaidDate
		}
		return w
	}
	count := map[wage]int{}
	for _, r := range rows {
		count[id(r)]++
	}
	return slices.DeleteFunc(rows, func(r PayrollRow) bool {
		twice := count[id(r)] > 1
		if twice {
			p.fail(r.Row, headerName(p.mapping.Columns["employee_number"]), r.Reference, "this employee has more than one row for the period",
				"keep one row, or mark each as a part of the wage with its own day of payment")
		}
		return twice
	})
}

// ledgerRowHash commits the organization to the whole row of its payroll, with the columns that are not attested:
//
//	salt = HMAC-SHA-256(ledgerKey, "akashi/ledger-row/v1" || 0x00 || reference || 0x00 || period)
//	hash = BASE64URL(SHA-256(salt || row))
//
// row is a JSON array of [column, cell] pairs, sorted by column, normalised to NFKC without white space at the ends, columns without
// a name left out. The claim is always visible and a payslip has little entropy, so a bare hash would give away the amounts that the
// worker does not show. The organization proves a row to an inspector by its salt, which opens no other row.
func ledgerRowHash(ledgerKey []byte, reference string, period attestation.Period, header, cells []string) string {
	mac := hmac.New(sha256.New, ledgerKey)
	fmt.Fprintf(mac, "akashi/ledger-row/v1\x00%s\x00%s", reference, period)
	sum := sha256.New()
	sum.Write(mac.Sum(nil))
	sum.Write(canonicalRow(header, cells))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

func canonicalRow(header, cells []string) []byte {
	var pairs [][2]string
	for i, name := range header {
		if name != "" {
			pairs = append(pairs, [2]string{name, cells[i]})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(pairs) // strings always encode
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
