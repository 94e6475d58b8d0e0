package schemas_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/schemas"
)

// visible are the claims of each type that can never be withheld; disclosable the others.
var visible = map[attestation.Type]string{
	"engagement":           "employer support ruleset class field support_mode start end closing_day pay_day pay_month_offset holiday_rule pay_method contract_hash registry supersedes worker terms slots",
	"wage-payment":         "engagement supersedes withdraws period from to kind paid_date method declared_in_full ledger_row_hash deductions",
	"wage-receipt":         "engagement supersedes withdraws period value_date source",
	"support-session":      "engagement supersedes withdraws item date mode",
	"support-interview":    "engagement supersedes withdraws interviewee date mode",
	"notification-filed":   "engagement supersedes withdraws obligation event_date period known_date filed_date arrived_date channel",
	"notification-receipt": "engagement supersedes withdraws obligation event_date period known_date filed_date arrived_date channel source",
	"separation":           "engagement supersedes withdraws end_date",
	"remedy":               "engagement supersedes withdraws duty remedied_date",
	"worker-statement":     "engagement date",
}

var disclosable = map[attestation.Type]string{
	"engagement": "worker.name worker.birth_date worker.nationality worker.card_number worker.stay_until terms.pay_kind terms.base_amount terms.estimated_net " +
		"terms.scheduled_hours terms.allowances terms.overtime_rate terms.agreed_deductions terms.prefecture terms.payer_kana delivery_proof",
	"wage-payment": "hours base allowances overtime_pay gross net deductions.health deductions.care deductions.pension deductions.employment_insurance deductions.income_tax " +
		"deductions.resident_tax deductions.rent deductions.utilities deductions.meals deductions.union_dues deductions.savings deductions.absence deductions.other",
	"wage-receipt":         "amount payer_name payer_code transaction_class",
	"support-session":      "minutes place language interpreter staff topics materials_hash",
	"support-interview":    "private language interpreter interviewer_role start end online_consent recording_hash second_signature findings reported_to reported_at",
	"notification-filed":   "form office receipt_number document_hash",
	"notification-receipt": "form office receipt_number document_hash",
	"separation":           "reason_class reason_code objection",
	"remedy":               "amounts directive_number",
	"worker-statement":     "kind about text amounts addressee filed_date reference_number",
}

func TestMetadataSaysWhatMayBeWithheld(t *testing.T) {
	for _, typ := range attestation.Types {
		got := map[string][]string{}
		m, ok := schemas.ReadMetadata(typ.VCT())
		if !ok || m.VCT != typ.VCT() {
			t.Errorf("%s: no metadata", typ)
			continue
		}
		for _, c := range m.Claims {
			if c.Path[0] == "slots" && len(c.Path) == 2 {
				if _, err := attestation.ParseStream(c.Path[1]); err != nil || c.SD != schemas.SDNever {
					t.Errorf("%s: %v", typ, c.Path)
				}
				continue
			}
			side := "disclosable"
			if c.SD == schemas.SDNever {
				side = "visible"
			}
			got[side] = append(got[side], strings.Join(c.Path, "."))
		}
		for side, want := range map[string]string{"visible": visible[typ], "disclosable": disclosable[typ]} {
			wanted := strings.Fields(want)
			slices.Sort(wanted)
			slices.Sort(got[side])
			if !slices.Equal(got[side], wanted) {
				t.Errorf("%s %s:\n got %v\nwant %v", typ, side, got[side], wanted)
			}
		}
	}
}

// Every member of an example has its rule, and every claim of the metadata is in the example unless it can stand beside no other.
func TestMetadataAgreesWithExamples(t *testing.T) {
	absent := map[string]bool{"supersedes": true, "withdraws": true, "event_date": true, "known_date": true, "period": true, "filed_date": true}
	for _, typ := range attestation.Types {
		ex := example(t, typ)
		for name := range ex {
			if _, ok := schemas.SDOf(typ.VCT(), name); !ok {
				t.Errorf("%s: the metadata does not know %s", typ, name)
			}
		}
		m, _ := schemas.ReadMetadata(typ.VCT())
		for _, c := range m.Claims {
			parent := in(ex, c.Path[:len(c.Path)-1]...)
			name := c.Path[len(c.Path)-1]
			if _, there := parent[name]; !there && !absent[name] && c.Path[0] != "deductions" {
				t.Errorf("%s: the example lacks %v", typ, c.Path)
			}
		}
	}
	for _, path := range [][]string{{"slots", "wage-bank", "2026-05", "s"}} {
		if sd, _ := schemas.SDOf(attestation.TypeEngagement.VCT(), path...); sd != schemas.SDAlways {
			t.Errorf("%v: %q", path, sd)
		}
	}
	if _, ok := schemas.SDOf(attestation.TypeEngagement.VCT(), "slots", "wage-bank", "2026-05"); ok {
		t.Error("a period of the plan is never disclosable and has no row")
	}
}

func TestMetadataIsBilingual(t *testing.T) {
	for _, typ := range attestation.Types {
		m, _ := schemas.ReadMetadata(typ.VCT())
		if len(m.Display) != 3 || m.Display[0].Locale != "ja" || m.Display[1].Locale != "en" || m.Display[2].Locale != "vi" || m.Name == "" || m.Description == "" {
			t.Errorf("%s: display %v", typ, m.Display)
		}
		for _, d := range m.Display {
			if d.Name == "" || d.Description == "" {
				t.Errorf("%s: %s has no name or description", typ, d.Locale)
			}
		}
		for _, c := range m.Claims {
			if len(c.Display) != 2 || c.Display[0].Locale != "ja" || c.Display[1].Locale != "en" || c.Display[0].Label == "" || c.Display[1].Label == "" {
				t.Errorf("%s: %v: display %v", typ, c.Path, c.Display)
			}
			if !slices.Contains([]string{schemas.SDNever, schemas.SDAlways, schemas.SDAllowed}, c.SD) || c.Mandatory && c.SD != schemas.SDNever {
				t.Errorf("%s: %v: sd %q, mandatory %v", typ, c.Path, c.SD, c.Mandatory)
			}
		}
	}
}

// The schema requires exactly the claims that the metadata calls mandatory.
func TestMandatoryIsRequired(t *testing.T) {
	for _, typ := range attestation.Types {
		m, _ := schemas.ReadMetadata(typ.VCT())
		for _, c := range m.Claims {
			if len(c.Path) != 1 {
				continue
			}
			ex := example(t, typ)
			if _, there := ex[c.Path[0]]; !there {
				continue
			}
			delete(ex, c.Path[0])
			err := validate(t, typ, ex)
			either := c.Path[0] == "event_date" || c.Path[0] == "period" && !c.Mandatory || c.Path[0] == "support"
			if (err != nil) != c.Mandatory && !either {
				t.Errorf("%s without %s: %v, mandatory %v", typ, c.Path[0], err, c.Mandatory)
			}
		}
	}
}

func TestSchemasAreServed(t *testing.T) {
	for _, typ := range attestation.Types {
		s, ok := schemas.Schema(typ.VCT())
		if !ok || !json.Valid(s) || !json.Valid(schemas.CommonSchema()) {
			t.Errorf("%s: no schema", typ)
		}
		if _, ok := schemas.TypeMetadata(typ.VCT()); !ok {
			t.Errorf("%s: no metadata", typ)
		}
	}
	if _, ok := schemas.Schema("urn:akashi:common:1"); ok || schemas.Example("x") != nil {
		t.Error("an unknown type has a schema or an example")
	}
}

func TestObligationsOfTheRegister(t *testing.T) {
	want := []struct{ id, holder, deadline, roll, applies, streams string }{
		{"W-05", "accepting-organization", "pay-day", "bank", "wage", "wage-employer wage-bank"},
		{"W-03", "accepting-organization", "pay-day", "bank", "wage", "wage-employer wage-bank"},
		{"S-10/worker", "support-organization", "quarter-end", "none", "class-i", "interview-worker-support"},
		{"S-10/supervisor", "support-organization", "quarter-end", "none", "class-i", "interview-supervisor-support"},
		{"N-02", "accepting-organization", "event+14d", "government", "end", "notice-employer notice-authority"},
		{"N-06", "accepting-organization", "event+14d", "government", "end-by-employer", "notice-employer notice-authority"},
		{"P-01", "accepting-organization", "fiscal-year-may-31", "government", "any-day-in-fiscal-year", "report-employer report-authority"},
		{"H-01", "worker", "event+14d", "government", "own-end", "notice-authority"},
	}
	rows := schemas.Obligations()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, w := range want {
		o := rows[i]
		if o.ID != w.id || o.DutyHolder != w.holder || o.Deadline != w.deadline || o.Roll != w.roll || o.Applicability != w.applies || strings.Join(o.Streams, " ") != w.streams || o.GraceDays != 10 {
			t.Errorf("row %d: %+v, want %+v", i, o, w)
		}
		if _, err := attestation.ParseRole(o.DutyHolder); err != nil {
			t.Error(err)
		}
		kind := map[string]attestation.PeriodKind{"month": attestation.Month, "quarter": attestation.Quarter, "fiscal-year": attestation.FiscalYear, "event": attestation.Events}[o.Recurrence]
		for _, name := range o.Streams {
			if s, err := attestation.ParseStream(name); err != nil || s.Kind() != kind {
				t.Errorf("%s: stream %s does not recur by %s: %v", o.ID, name, o.Recurrence, err)
			}
		}
		for _, day := range []string{o.Effective.From, o.Effective.To} {
			if _, err := attestation.ParseDate(day); day != "" && err != nil {
				t.Errorf("%s: %v", o.ID, err)
			}
		}
		support := strings.HasPrefix(o.ID, "S-10/")
		if support != (len(o.AlsoAnswerable) == 1 && o.AlsoAnswerable[0] == schemas.AlsoAnswerable{When: "support-full", Role: "accepting-organization"}) || support != (o.DutyHolderWithoutSupport == "accepting-organization") {
			t.Errorf("%s: who answers: %+v, without support %q", o.ID, o.AlsoAnswerable, o.DutyHolderWithoutSupport)
		}
	}
}

func TestHolidays(t *testing.T) {
	h := schemas.Holidays()
	if first, last := h.Years(); first != 2025 || last != 2027 {
		t.Errorf("years %d to %d", first, last)
	}
	count := map[int]int{}
	for d := attestation.NewDate(2025, 1, 1); d.Year < 2028; d = d.AddDays(1) {
		is, err := h.IsNational(d.Year, d.Month, d.Day)
		if err != nil {
			t.Fatal(err)
		}
		if is {
			count[d.Year]++
		}
	}
	if count[2025] != 19 || count[2026] != 18 || count[2027] != 17 {
		t.Errorf("holidays a year: %v", count)
	}
	for in, want := range map[string]bool{"2026-09-22": true, "2026-01-12": true, "2026-10-12": true, "2026-08-10": false, "2027-03-22": true, "2026-12-31": false, "2025-05-06": true, "2026-05-07": false} {
		d, _ := attestation.ParseDate(in)
		if got, err := h.IsNational(d.Year, d.Month, d.Day); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, year := range []int{2024, 2028} {
		if _, err := h.IsNational(year, time.January, 1); !errors.Is(err, schemas.ErrOutsideCalendar) {
			t.Errorf("%d: %v", year, err)
		}
	}
}

// A holiday that falls on a Sunday moves to the next day that is none, and a day between two holidays is one (Act on National Holidays,
// Article 3).
func TestHolidaysKeepTheActsArticle3(t *testing.T) {
	h := schemas.Holidays()
	is := func(d attestation.Date) bool { ok, _ := h.IsNational(d.Year, d.Month, d.Day); return ok }
	for d := attestation.NewDate(2025, 1, 2); d.Before(attestation.NewDate(2027, 12, 31)); d = d.AddDays(1) {
		if is(d) && d.Weekday() == time.Sunday {
			next := d.AddDays(1)
			for is(next) && is(next.AddDays(1)) {
				next = next.AddDays(1)
			}
			if !is(next) {
				t.Errorf("%v is a Sunday and has no substitute", d)
			}
		}
		if !is(d) && is(d.AddDays(-1)) && is(d.AddDays(1)) {
			t.Errorf("%v lies between two holidays", d)
		}
	}
}

func TestWords(t *testing.T) {
	w := schemas.Words()
	glyphs := map[string]string{"unknown": "!", "not_due": "–", "pending": "…", "fulfilled": "○", "excused": "–", "undisclosed": "？", "performed_late": "△",
		"attested_late": "△", "short": "△", "remedied": "△", "contradicted": "≠", "absent": "×"}
	if len(w.Findings) != len(glyphs) {
		t.Errorf("%d findings, want %d", len(w.Findings), len(glyphs))
	}
	seen := map[string]string{}
	for name, glyph := range glyphs {
		f := w.Findings[name]
		if f.Glyph != glyph || f.Text["ja"] == "" || f.Text["en"] == "" {
			t.Errorf("%s: %+v", name, f)
		}
		for _, lang := range []string{"ja", "en"} {
			if other := seen[lang+f.Text[lang]]; other != "" {
				t.Errorf("%s and %s share the %s word %q", name, other, lang, f.Text[lang])
			}
			seen[lang+f.Text[lang]] = name
		}
	}
	placeholder := regexp.MustCompile(`\{[a-z]\}`)
	for _, table := range []map[string]map[string]string{w.Notes, w.Texts} {
		for key, text := range table {
			for lang, s := range text {
				if s == "" || lang != "ja-easy" && !slices.Equal(placeholder.FindAllString(s, -1), placeholder.FindAllString(text["en"], -1)) {
					t.Errorf("%s in %s: %q does not match the English %q", key, lang, s, text["en"])
				}
			}
			if text["ja"] == "" || text["en"] == "" {
				t.Errorf("%s needs ja and en", key)
			}
		}
	}
	for key, text := range w.Texts {
		if text["vi"] == "" || text["ja-easy"] == "" {
			t.Errorf("%s needs vi and ja-easy", key)
		}
	}
}
