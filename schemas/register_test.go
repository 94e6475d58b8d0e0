package schemas

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckRegisterOneThingSpoilt(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(*Obligation)
		wantErr string
	}{
		{"deadline misspelt", func(o *Obligation) { o.Deadline = "payday" }, "deadline"},
		{"applicability misspelt", func(o *Obligation) { o.Applicability = "wages" }, "applicability"},
		{"roll misspelt", func(o *Obligation) { o.Roll = "banks" }, "roll"},
		{"recurrence misspelt", func(o *Obligation) { o.Recurrence = "monthly" }, "recurrence"},
		{"nobody owes it", func(o *Obligation) { o.DutyHolder = "" }, "duty_holder"},
		{"no id", func(o *Obligation) { o.ID = "" }, "id or order"},
		{"no Japanese title", func(o *Obligation) { o.Title = map[string]string{"en": "x"} }, "title"},
		{"no stream", func(o *Obligation) { o.Streams = nil }, "no stream"},
		{"no first day", func(o *Obligation) { o.Effective.From = "" }, "effective"},
		{"ends before it starts", func(o *Obligation) { o.Effective.To = "2018-01-01" }, "effective"},
		{"unknown consequence", func(o *Obligation) { o.Consequences = []string{"F99"} }, "consequence"},
		{"unknown condition", func(o *Obligation) { o.AlsoAnswerable = []AlsoAnswerable{{"always", "worker"}} }, "also_answerable"},
		{"a fact without its source", func(o *Obligation) { o.Facts = nil }, "facts"},
		{"order used twice", func(o *Obligation) { o.Order = 2 }, "same order"},
		{"two rows at one time", func(o *Obligation) { o.ID = "W-03" }, "in force at the same time"},
		{"a day without zeros", func(o *Obligation) { o.Effective.From = "2019-4-1" }, "effective"},
	} {
		rows := Obligations()
		c.spoil(&rows[0])
		if err := checkRegister(rows); err == nil || !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.wantErr)
		}
	}
	rows := Obligations()
	rows[0].Effective.To = "2026-03-31"
	next := rows[0]
	next.Order, next.Effective = 9, Effective{From: "2026-04-01"}
	if err := checkRegister(append(rows, next)); err != nil {
		t.Errorf("a row that follows another: %v", err)
	}
}

func TestHolidayFileOneThingSpoilt(t *testing.T) {
	good := func() holidayFile {
		return holidayFile{Years: []holidayYear{{2025, []string{"2025-01-01", "2025-01-13"}}, {2026, []string{"2026-01-01"}}}}
	}
	if _, err := tableOf(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*holidayFile){
		"no year":           func(f *holidayFile) { f.Years = nil },
		"a gap":             func(f *holidayFile) { f.Years[1].Year = 2027 },
		"another year":      func(f *holidayFile) { f.Years[1].Days[0] = "2025-12-31" },
		"a day twice":       func(f *holidayFile) { f.Years[0].Days[1] = "2025-01-01" },
		"days out of order": func(f *holidayFile) { slices.Reverse(f.Years[0].Days) },
		"no day":            func(f *holidayFile) { f.Years[0].Days[0] = "2025-01-00" },
	} {
		f := good()
		spoil(&f)
		if _, err := tableOf(f); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestStrictRefusesUnknownMembers(t *testing.T) {
	var o Obligation
	for _, text := range []string{`{"grace_day":10}`, `{} {}`, `[]`} {
		if strict([]byte(text), &o) == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
