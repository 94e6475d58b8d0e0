package issuer

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// validMapping returns a mapping that names every column of validPayroll.
func validMapping() Mapping {
	return Mapping{Name: "test", Method: "transfer", DeclaredInFull: true, Columns: map[string]string{
		"employee_number": "社員番号", "from": "自", "to": "至", "paid_date": "支給日", "hours.scheduled": "所定", "hours.overtime": "残業",
		"base": "基本給", "absence": "欠勤控除", "allowances.skill": "技能手当", "overtime_pay.overtime": "時間外手当", "gross": "総支給額",
		"deductions.health": "健康保険", "deductions.rent": "家賃", "total_deductions": "控除合計", "net": "差引支給額",
	}}
}

func mappingText(t testing.TB, m Mapping) []byte {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMappingIsRefused(t *testing.T) {
	if _, err := ParseMapping(mappingText(t, validMapping())); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*Mapping)
		want  string
	}{
		{"no gross", func(m *Mapping) { delete(m.Columns, "gross") }, "gross is needed"},
		{"no net", func(m *Mapping) { delete(m.Columns, "net") }, "net is needed"},
		{"no employee number", func(m *Mapping) { delete(m.Columns, "employee_number") }, "employee_number is needed"},
		{"no paid date", func(m *Mapping) { delete(m.Columns, "paid_date") }, "paid_date is needed"},
		{"no deductions", func(m *Mapping) {
			for _, f := range []string{"total_deductions", "deductions.health", "deductions.rent"} {
				delete(m.Columns, f)
			}
		}, "deductions"},
		{"from without to", func(m *Mapping) { delete(m.Columns, "to") }, "from and to"},
		{"no period", func(m *Mapping) { delete(m.Columns, "to"); delete(m.Columns, "from") }, "closing_day"},
		{"month without closing day", func(m *Mapping) { delete(m.Columns, "to"); delete(m.Columns, "from"); m.Columns["month"] = "月" }, "closing_day"},
		{"closing day", func(m *Mapping) { m.ClosingDay = 32 }, "closing_day"},
		{"parts without base", func(m *Mapping) { delete(m.Columns, "base") }, "base is needed"},
		{"hours without scheduled", func(m *Mapping) { delete(m.Columns, "hours.scheduled") }, "hours.scheduled"},
		{"unknown field", func(m *Mapping) { m.Columns["nett"] = "x" }, `no field "nett"`},
		{"bad code", func(m *Mapping) { m.Columns["deductions.Rent"] = "x" }, "no field"},
		{"column without a name", func(m *Mapping) { m.Columns["net"] = "　" }, "no column name"},
		{"one column twice", func(m *Mapping) { m.Columns["net"] = "総支給 額" }, "both name the column"},
		{"encoding", func(m *Mapping) { m.Encoding = "EUC-JP" }, "encoding"},
		{"separator", func(m *Mapping) { m.Separator = "|" }, "separator"},
		{"no method", func(m *Mapping) { m.Method = "" }, "how wages are paid"},
		{"method", func(m *Mapping) { m.Method = "cheque" }, "method is none"},
		{"words without column", func(m *Mapping) { m.Kinds = map[string]string{"定例": "regular"} }, "kinds"},
		{"column without words", func(m *Mapping) { m.Columns["method"] = "方法" }, "methods"},
		{"word of nothing", func(m *Mapping) { m.Columns["kind"] = "区分"; m.Kinds = map[string]string{"定例": "normal"} }, "kinds"},
	} {
		m := validMapping()
		c.spoil(&m)
		_, err := ParseMapping(mappingText(t, m))
		if !errors.Is(err, ErrMapping) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want ErrMapping with %q", c.name, err, c.want)
		}
	}
	for _, text := range []string{"", "[]", `{"columns": {"net": "a", "net": "b"}}`, `{"colums": {}}`, strings.Replace(string(mappingText(t, validMapping())), `"declared_in_full"`, `"declared_in_ful"`, 1)} {
		if _, err := ParseMapping([]byte(text)); !errors.Is(err, ErrMapping) {
			t.Errorf("%s: got %v, want ErrMapping", text, err)
		}
	}
}

func FuzzMapping(f *testing.F) {
	f.Add(mappingText(f, validMapping()))
	f.Add([]byte(`{"columns":{"net":"a"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMapping(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseMapping(text); err != nil {
			t.Fatalf("what was read does not read again: %v", err)
		}
	})
}
