package issuer

import (
	"encoding/csv"
	"reflect"
	"strings"
	"testing"

	"akashi/attestation"
)

var ledgerKey = []byte("a ledger key for tests, 32 octets")

// payrollRows is a payroll file with one row as cells by column.
type payrollRows struct {
	header []string
	cells  map[string]string
	twice  bool
}

func validPayroll() payrollRows {
	return payrollRows{
		header: []string{"社員番号", "氏名", "自", "至", "支給日", "所定", "残業", "基本給", "欠勤控除", "技能手当", "時間外手当", "総支給額", "健康保険", "家賃", "控除合計", "差引支給額"},
		cells: map[string]string{"社員番号": "1042", "氏名": "見本", "自": "2025/11/01", "至": "2025/11/30", "支給日": "令和7年11月25日", "所定": "160", "残業": "8:00",
			"基本給": "230,000", "欠勤控除": "", "技能手当": "20000", "時間外手当": "¥15,625", "総支給額": "265,625", "健康保険": "43,625", "家賃": "10,000", "控除合計": "53,625", "差引支給額": "212,000"},
	}
}

func (p payrollRows) text() []byte {
	var buf strings.Builder
	w := csv.NewWriter(&buf)
	row := make([]string, len(p.header))
	for i, name := range p.header {
		row[i] = p.cells[name]
	}
	rows := [][]string{p.header, row}
	if p.twice {
		rows = append(rows, row)
	}
	_ = w.WriteAll(rows)
	return []byte(buf.String())
}

func TestPayrollRow(t *testing.T) {
	m := validMapping()
	got := ParsePayroll("p.csv", validPayroll().text(), &m, ledgerKey)
	if len(got.Errors) != 0 || len(got.Rows) != 1 {
		t.Fatalf("got %d rows, errors %v", len(got.Rows), got.Errors)
	}
	yen := func(n int64) *int64 { return &n }
	want := attestation.WagePayment{
		Period: "2025-11", From: attestation.NewDate(2025, 11, 1), To: attestation.NewDate(2025, 11, 30), Kind: "regular", PaidDate: attestation.NewDate(2025, 11, 25),
		Method: "transfer", DeclaredInFull: true, LedgerRowHash: got.Rows[0].Claims.LedgerRowHash,
		Hours: &attestation.Hours{Scheduled: "160.0", Overtime: "8.0"}, Base: yen(230_000), Allowances: map[string]int64{"skill": 20_000},
		OvertimePay: map[string]int64{"overtime": 15_625}, Gross: yen(265_625), Deductions: map[string]int64{"health": 43_625, "rent": 10_000}, Net: yen(212_000),
	}
	if r := got.Rows[0]; r.Reference != "1042" || r.Row != 2 || !reflect.DeepEqual(r.Claims, want) {
		t.Errorf("got row %d of %s: %+v", r.Row, r.Reference, r.Claims)
	}
	if len(got.Ignored) != 1 || got.Ignored[0] != "氏名" {
		t.Errorf("ignored columns: got %q, want 氏名", got.Ignored)
	}
	if len(got.Notes) != 1 || got.Notes[0].Column != "欠勤控除" {
		t.Errorf("notes: got %v, want one on the empty cell read as 0", got.Notes)
	}
}

func TestPayrollRowIsRefused(t *testing.T) {
	set := func(column, value string) func(*payrollRows, *Mapping) {
		return func(p *payrollRows, _ *Mapping) { p.cells[column] = value }
	}
	for _, c := range []struct {
		name            string
		spoil           func(*payrollRows, *Mapping)
		column, problem string
	}{
		{"net one yen off", set("差引支給額", "212001"), "差引支給額", "the net is not the gross minus the deductions"},
		{"gross not its parts", set("基本給", "230001"), "総支給額", "the gross is not the sum of base, allowances and overtime pay"},
		{"deductions not their parts", set("家賃", "10001"), "控除合計", "the total is not the sum of the deductions"},
		{"absence not in gross", set("欠勤控除", "1"), "総支給額", "the gross is not the sum of base, allowances and overtime pay"},
		{"negative", set("家賃", "▲10,000"), "家賃", "the amount is negative"},
		{"not an amount", set("総支給額", "26万"), "総支給額", "this is not an amount in yen"},
		{"no employee", set("社員番号", " "), "社員番号", "the cell is empty"},
		{"no such day", set("支給日", "2025/11/31"), "支給日", "there is no such day"},
		{"year of two digits", set("支給日", "07/11/25"), "支給日", "a year of two digits can be of an era or of a century"},
		{"period backwards", set("自", "2025/12/01"), "至", "the pay period ends before it begins"},
		{"hours", set("残業", "8:20"), "残業", "these minutes are not a whole hundredth of an hour"},
		{"blank where the mapping allows none", func(_ *payrollRows, m *Mapping) { m.BlankIsZero = new(bool) }, "欠勤控除", "the cell is empty"},
		{"net not filled in", set("差引支給額", ""), "差引支給額", "the cell is empty"},
		{"gross not filled in", set("総支給額", " "), "総支給額", "the cell is empty"},
		{"My Number", set("氏名", myNumber), "氏名", "this looks like an Individual Number (My Number), which must not be collected here"},
		{"column missing", func(p *payrollRows, _ *Mapping) { p.header = p.header[:len(p.header)-1] }, "差引支給額", "the mapping names this column for net, and the file does not have it"},
		{"kind zero with amounts", func(p *payrollRows, m *Mapping) {
			p.header, m.Columns["kind"], m.Kinds = append(p.header, "区分"), "区分", map[string]string{"支給なし": "zero"}
			p.cells["区分"] = "支給なし"
		}, "区分", "a wage of kind zero has no amounts, and a wage without amounts is of kind zero"},
		{"unknown kind", func(p *payrollRows, m *Mapping) {
			p.header, m.Columns["kind"], m.Kinds = append(p.header, "区分"), "区分", map[string]string{"定例": "regular"}
			p.cells["区分"] = "賞与"
		}, "区分", "this is not one of the known words"},
		{"month against period", func(p *payrollRows, m *Mapping) {
			p.header, m.Columns["month"] = append(p.header, "月"), "月"
			p.cells["月"] = "2025年12月"
		}, "月", "this is not the month in which the pay period ends"},
		{"encoding", func(_ *payrollRows, m *Mapping) { m.Encoding = CP932 }, "", "the mapping says Shift_JIS, and the file is UTF-8"},
	} {
		p, m := validPayroll(), validMapping()
		c.spoil(&p, &m)
		got := ParsePayroll("p.csv", p.text(), &m, ledgerKey)
		if len(got.Rows) != 0 || len(got.Errors) != 1 || got.Errors[0].Column != c.column || got.Errors[0].Problem != c.problem || got.Errors[0].Remedy == "" {
			t.Errorf("%s: got %d rows, errors %v, want %s: %s", c.name, len(got.Rows), got.Errors, c.column, c.problem)
		}
	}
}

func TestPayrollRefusesBothRowsOfAnEmployee(t *testing.T) {
	p, m := validPayroll(), validMapping()
	p.twice = true
	got := ParsePayroll("p.csv", p.text(), &m, ledgerKey)
	if len(got.Rows) != 0 || len(got.Errors) != 2 || got.Errors[0].Row != 2 || got.Errors[1].Row != 3 {
		t.Errorf("got %d rows, errors %v, want both rows refused", len(got.Rows), got.Errors)
	}
}

func TestPayrollNeedsALedgerKey(t *testing.T) {
	m := validMapping()
	if got := ParsePayroll("p.csv", validPayroll().text(), &m, nil); len(got.Rows) != 0 || len(got.Errors) != 1 {
		t.Errorf("got %d rows, errors %v, want one error", len(got.Rows), got.Errors)
	}
}

func TestPayrollByMonth(t *testing.T) {
	for _, c := range []struct {
		closing  int
		month    string
		from, to string
	}{{31, "2026-02", "2026-02-01", "2026-02-28"}, {20, "2026-01", "2025-12-21", "2026-01-20"}, {30, "2026-03", "2026-03-01", "2026-03-30"}, {31, "2025-11", "2025-11-01", "2025-11-30"}} {
		from, to := payPeriod(attestation.Period(c.month), c.closing)
		if from.String() != c.from || to.String() != c.to {
			t.Errorf("closing day %d, %s: got %s to %s, want %s to %s", c.closing, c.month, from, to, c.from, c.to)
		}
	}
}

func TestPayrollZeroWage(t *testing.T) {
	p, m := validPayroll(), validMapping()
	for _, column := range p.header[5:] {
		p.cells[column] = "0"
	}
	got := ParsePayroll("p.csv", p.text(), &m, ledgerKey)
	if len(got.Rows) != 1 || got.Rows[0].Claims.Kind != attestation.WageZero || *got.Rows[0].Claims.Net != 0 {
		t.Errorf("got %+v, errors %v, want a wage of kind zero", got.Rows, got.Errors)
	}
}

func TestLedgerRowHash(t *testing.T) {
	hash := func(key []byte, reference string, period attestation.Period, header, cells []string) string {
		return ledgerRowHash(key, reference, period, header, cells)
	}
	base := hash(ledgerKey, "7", "2025-11", []string{"a", "b"}, []string{"1", "2"})
	if again := hash(ledgerKey, "7", "2025-11", []string{"b", "a", ""}, []string{"2", "1", "x"}); again != base {
		t.Error("the order of columns changes the hash")
	}
	for name, other := range map[string]string{
		"key":       hash([]byte("another ledger key"), "7", "2025-11", []string{"a", "b"}, []string{"1", "2"}),
		"reference": hash(ledgerKey, "8", "2025-11", []string{"a", "b"}, []string{"1", "2"}),
		"period":    hash(ledgerKey, "7", "2025-12", []string{"a", "b"}, []string{"1", "2"}),
		"cell":      hash(ledgerKey, "7", "2025-11", []string{"a", "b"}, []string{"1", "3"}),
		"column":    hash(ledgerKey, "7", "2025-11", []string{"a", "c"}, []string{"1", "2"}),
	} {
		if other == base {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	if got, want := string(canonicalRow([]string{"b", "a"}, []string{"<2>", `"1"`})), `[["a","\"1\""],["b","<2>"]]`; got != want {
		t.Errorf("canonical row: got %s, want %s", got, want)
	}
}

func FuzzPayroll(f *testing.F) {
	f.Add(validPayroll().text())
	f.Add(cp932(f, strings.ReplaceAll(string(validPayroll().text()), "¥", `\`)))
	f.Add([]byte("社員番号,総支給額\n1,\"2"))
	m := validMapping()
	f.Fuzz(func(t *testing.T, data []byte) {
		got := ParsePayroll("p.csv", data, &m, ledgerKey)
		for _, r := range got.Rows {
			w := r.Claims
			var deductions int64
			for _, d := range w.Deductions {
				deductions += d
			}
			if *w.Gross-deductions != *w.Net || *w.Net < 0 || r.Reference == "" || w.Period != attestation.MonthOf(w.To) {
				t.Fatalf("a row that does not balance was read: line %d", r.Row)
			}
		}
		if len(got.Rows) == 0 && len(got.Errors) == 0 {
			t.Fatal("neither rows nor errors")
		}
	})
}
