package attestation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const id43 = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

// valid holds one object per type, with every kind of disclosable claim opened in some.
var valid = map[Type]string{
	TypeEngagement: `{"employer":{"id":"8990000000001","name":{"ja":"見本","en":"Sample"}},"support":{"id":"19登-999999","name":{"ja":"支援"}},
		"ruleset":"ssw-1","class":"i","field":"mfg","support_mode":"full","start":"2025-11-01","end":"2027-10-31","closing_day":31,"pay_day":25,
		"pay_month_offset":0,"holiday_rule":"prev","pay_method":"transfer","contract_hash":"` + id43 + `","registry":"registry.example",
		"worker":{"name":"A","card_number":"AB12345678CD"},"terms":{"base_amount":230000,"scheduled_hours":"160","overtime_rate":{"overtime":"1.25"}},
		"slots":{"wage-bank":{"2026-05":{"s":"` + id43 + `"},"2026-06":{}}}}`,
	TypeWagePayment: `{"engagement":"` + id43 + `","period":"2026-05","from":"2026-05-01","to":"2026-05-31","kind":"regular","paid_date":"2026-05-25",
		"method":"transfer","declared_in_full":true,"ledger_row_hash":"` + id43 + `","hours":{"scheduled":"160.0","overtime":"8.0"},
		"deductions":{"rent":10000},"net":212000}`,
	TypeWageReceipt:      `{"engagement":"` + id43 + `","period":"2026-05","value_date":"2026-05-25","source":"account-statement","amount":212000}`,
	TypeSupportSession:   `{"engagement":"` + id43 + `","item":"ニ","date":"2025-11-04","mode":"in-person","minutes":480,"topics":["daily-life"]}`,
	TypeSupportInterview: `{"engagement":"` + id43 + `","interviewee":"worker","date":"2026-06-03","mode":"online","private":true,"start":"10:00","reported_at":"2026-06-04"}`,
	TypeNotificationFiled: `{"engagement":"` + id43 + `","obligation":"N-02","event_date":"2026-09-30","known_date":"2026-09-30","filed_date":"2026-10-22",
		"arrived_date":"2026-10-22","channel":"e-system","form":"3-1-2"}`,
	TypeNotificationReceipt: `{"engagement":"` + id43 + `","obligation":"P-01","period":"FY2025","filed_date":"2026-05-15","arrived_date":"2026-05-15",
		"channel":"e-system","source":"authority"}`,
	TypeSeparation:      `{"engagement":"` + id43 + `","end_date":"2026-07-10","reason_class":"employer"}`,
	TypeRemedy:          `{"engagement":"` + id43 + `","duty":{"obligation":"W-05","period":"2026-06"},"remedied_date":"2026-09-01","amounts":{"wage":212000}}`,
	TypeWorkerStatement: `{"engagement":"` + id43 + `","date":"2026-07-13","kind":"ended","about":{"end_date":"2026-07-10","reason_class":"employer"}}`,
}

func object(t testing.TB, text string) map[string]any {
	v, err := tree([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func tree(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func TestDecodeKeepsEveryClaim(t *testing.T) {
	for _, typ := range Types {
		in := object(t, valid[typ])
		for name, v := range map[string]any{"iss": "https://a.example", "iat": json.Number("1764547200"), "vct": typ.VCT(), "cnf": map[string]any{}, "logged": id43} {
			in[name] = v
		}
		out, err := Decode(typ.VCT(), in)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		if want := "*attestation." + strings.ReplaceAll(strings.ToTitle(string(typ[:1]))+string(typ[1:]), "-", ""); !strings.EqualFold(fmt.Sprintf("%T", out), want) {
			t.Errorf("%s gives %T", typ, out)
		}
		again, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := object(t, string(again)), object(t, valid[typ]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", typ, got, want)
		}
		if typ != TypeEngagement && LinksOf(out).Engagement != id43 {
			t.Errorf("%s: the link to the engagement is lost", typ)
		}
	}
}

func TestDecodeOneThingSpoilt(t *testing.T) {
	for _, c := range []struct {
		name    string
		typ     Type
		spoil   func(map[string]any)
		wantErr string
	}{
		{"a visible claim is missing", TypeWagePayment, func(m map[string]any) { delete(m, "paid_date") }, "paid_date is missing"},
		{"a false that is missing", TypeWagePayment, func(m map[string]any) { delete(m, "declared_in_full") }, "declared_in_full is missing"},
		{"a claim of no type", TypeWagePayment, func(m map[string]any) { m["bonus"] = json.Number("1") }, "bonus is null, or no claim"},
		{"a claim in capitals", TypeWagePayment, func(m map[string]any) { m["Net"] = json.Number("1") }, "Net is null, or no claim"},
		{"null", TypeWagePayment, func(m map[string]any) { m["net"] = nil }, "net is null"},
		{"null for an object", TypeEngagement, func(m map[string]any) { m["slots"] = nil }, "slots is null"},
		{"a name that is null", TypeEngagement, func(m map[string]any) { m["employer"].(map[string]any)["name"] = nil }, "employer.name is null"},
		{"an object for text", TypeWagePayment, func(m map[string]any) { m["kind"] = map[string]any{} }, "kind has the wrong type"},
		{"an array for an object", TypeWagePayment, func(m map[string]any) { m["hours"] = []any{} }, "hours has the wrong type"},
		{"a member missing below", TypeWagePayment, func(m map[string]any) { m["hours"] = map[string]any{} }, "hours.scheduled is missing"},
		{"an empty string in a list", TypeSupportSession, func(m map[string]any) { m["topics"] = []any{""} }, "topics is empty"},
		{"minus nothing", TypeWagePayment, func(m map[string]any) { m["net"] = json.Number("-0") }, "net is not written"},
		{"an amount with an exponent", TypeWagePayment, func(m map[string]any) { m["net"] = json.Number("2e5") }, "net has the wrong type"},
		{"an amount with a fraction", TypeWagePayment, func(m map[string]any) { m["net"] = json.Number("212000.0") }, "net has the wrong type"},
		{"an amount as text", TypeWagePayment, func(m map[string]any) { m["net"] = "212000" }, "net has the wrong type"},
		{"a negative amount", TypeWagePayment, func(m map[string]any) { m["net"] = json.Number("-1") }, "net is not an amount"},
		{"an amount of twelve digits", TypeWagePayment, func(m map[string]any) { m["net"] = json.Number("123456789012") }, "net is not an amount"},
		{"an empty string", TypeWagePayment, func(m map[string]any) { m["supersedes"] = "" }, "supersedes is empty"},
		{"an empty date", TypeWagePayment, func(m map[string]any) { m["paid_date"] = "" }, "paid_date is empty"},
		{"a day that does not exist", TypeWagePayment, func(m map[string]any) { m["paid_date"] = "2026-02-30" }, "paid_date is not a date"},
		{"a quarter", TypeWagePayment, func(m map[string]any) { m["period"] = "2026-Q2" }, "period is not a period of the right kind"},
		{"a kind that does not exist", TypeWagePayment, func(m map[string]any) { m["kind"] = "bonus" }, "kind is none of"},
		{"a short hash", TypeWagePayment, func(m map[string]any) { m["ledger_row_hash"] = "AAAA" }, "ledger_row_hash is not base64url"},
		{"stray bits in a hash", TypeWagePayment, func(m map[string]any) { m["ledger_row_hash"] = id43[:42] + "V" }, "ledger_row_hash is not base64url"},
		{"hours as a number", TypeWagePayment, func(m map[string]any) { m["hours"].(map[string]any)["scheduled"] = json.Number("160") }, "hours.scheduled has the wrong type"},
		{"hours with a comma", TypeWagePayment, func(m map[string]any) { m["hours"].(map[string]any)["scheduled"] = "160,0" }, "hours.scheduled is not a decimal"},
		{"supersedes and withdraws", TypeWagePayment, func(m map[string]any) { m["supersedes"], m["withdraws"] = id43, id43 }, "exclude each other"},
		{"from after to", TypeWagePayment, func(m map[string]any) { m["from"] = "2026-06-01" }, "to lies before from"},
		{"a wrong check digit", TypeEngagement, func(m map[string]any) { m["employer"].(map[string]any)["id"] = "8990000000002" }, "employer.id"},
		{"support by nobody", TypeEngagement, func(m map[string]any) { delete(m, "support") }, "support is named exactly"},
		{"self-support with a supporter", TypeEngagement, func(m map[string]any) { m["support_mode"] = "self" }, "support is named exactly"},
		{"a stream that does not exist", TypeEngagement, func(m map[string]any) { m["slots"].(map[string]any)["wage-worker"] = map[string]any{} }, "slots has a stream"},
		{"a quarter among the months", TypeEngagement, func(m map[string]any) {
			m["slots"].(map[string]any)["wage-bank"].(map[string]any)["2026-Q2"] = map[string]any{}
		}, "slots.wage-bank"},
		{"a second member beside s", TypeEngagement, func(m map[string]any) {
			m["slots"].(map[string]any)["wage-bank"].(map[string]any)["2026-05"].(map[string]any)["t"] = id43
		}, "slots.wage-bank.2026-05.t"},
		{"no day 32", TypeEngagement, func(m map[string]any) { m["pay_day"] = json.Number("32") }, "pay_day"},
		{"a card number", TypeEngagement, func(m map[string]any) { m["worker"].(map[string]any)["card_number"] = "AB1234567CD" }, "worker.card_number"},
		{"an item outside the law", TypeSupportSession, func(m map[string]any) { m["item"] = "ル" }, "item is none of"},
		{"a list with a number", TypeSupportSession, func(m map[string]any) { m["topics"] = []any{json.Number("1")} }, "topics has the wrong type"},
		{"a colleague as interviewee", TypeSupportInterview, func(m map[string]any) { m["interviewee"] = "colleague" }, "interviewee is none of"},
		{"25 o'clock", TypeSupportInterview, func(m map[string]any) { m["start"] = "25:00" }, "start is not a time"},
		{"event and period", TypeNotificationFiled, func(m map[string]any) { m["period"] = "FY2025" }, "one of period and event_date"},
		{"neither event nor period", TypeNotificationReceipt, func(m map[string]any) { delete(m, "period") }, "one of period and event_date"},
		{"arrived before filed", TypeNotificationFiled, func(m map[string]any) { m["arrived_date"] = "2026-10-21" }, "arrived_date lies before"},
		{"a receipt without source", TypeNotificationReceipt, func(m map[string]any) { delete(m, "source") }, "source is missing"},
		{"a reason outside the list", TypeSeparation, func(m map[string]any) { m["reason_class"] = "other" }, "reason_class is none of"},
		{"a remedy of two duties", TypeRemedy, func(m map[string]any) { m["duty"].(map[string]any)["event_date"] = "2026-06-01" }, "one of period and event_date"},
		{"about two things", TypeWorkerStatement, func(m map[string]any) { m["about"].(map[string]any)["id"] = id43 }, "about names exactly one"},
		{"about nothing", TypeWorkerStatement, func(m map[string]any) { m["about"] = map[string]any{} }, "about names exactly one"},
		{"the wrong period of a stream", TypeWorkerStatement, func(m map[string]any) {
			m["about"] = map[string]any{"stream": "wage-employer", "period": "FY2025"}
		}, "about.period"},
	} {
		in := object(t, valid[c.typ])
		c.spoil(in)
		_, err := Decode(c.typ.VCT(), in)
		if err == nil || !strings.Contains(err.Error(), c.wantErr) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.wantErr)
		}
	}
	if _, err := Decode("urn:akashi:bonus:1", map[string]any{}); err == nil {
		t.Error("an unknown type is accepted")
	}
}

func TestErrorsHoldNoValues(t *testing.T) {
	for _, v := range []any{"SECRET-9", json.Number("987654321.5"), []any{"SECRET-9"}, map[string]any{"x": "SECRET-9"}, true} {
		for _, typ := range Types {
			for name := range object(t, valid[typ]) {
				in := object(t, valid[typ])
				in[name] = v
				if _, err := Decode(typ.VCT(), in); err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "987654321")) {
					t.Errorf("%s.%s: the error quotes the value: %v", typ, name, err)
				}
			}
		}
	}
}

func TestPlanAndOpenedAreTwoThings(t *testing.T) {
	out, err := Decode(TypeEngagement.VCT(), object(t, valid[TypeEngagement]))
	if err != nil {
		t.Fatal(err)
	}
	e := out.(*Engagement)
	for _, c := range []struct {
		p              Period
		inPlan, opened bool
	}{{"2026-05", true, true}, {"2026-06", true, false}, {"2026-07", false, false}} {
		if _, opened := e.Opened(WageBank, c.p); e.InPlan(WageBank, c.p) != c.inPlan || opened != c.opened {
			t.Errorf("%s: in plan %v, opened %v", c.p, e.InPlan(WageBank, c.p), opened)
		}
	}
	if !e.HasSupport() {
		t.Error("the support organization is lost")
	}
}

func FuzzDecode(f *testing.F) {
	for _, typ := range Types {
		f.Add(typ.VCT(), []byte(valid[typ]))
	}
	f.Fuzz(func(t *testing.T, vct string, text []byte) {
		v, err := tree(text)
		in, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		out, err := Decode(vct, in)
		if err != nil {
			return
		}
		again, err := json.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range registered {
			delete(in, name)
		}
		if got := object(t, string(again)); !reflect.DeepEqual(got, in) {
			t.Errorf("encoded again it gives %v, not %v", got, in)
		}
	})
}
