package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/schemas"
)

const (
	digest   = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	myNumber = "123456789018" // a published sample with a right check digit
)

func example(t testing.TB, typ attestation.Type) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(schemas.Example(typ.VCT())))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("example of %s: %v", typ, err)
	}
	return m
}

func validate(t testing.TB, typ attestation.Type, m map[string]any) error {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return schemas.Validate(typ.VCT(), text)
}

func TestExamplesAreValid(t *testing.T) {
	for _, typ := range attestation.Types {
		m := example(t, typ)
		if err := validate(t, typ, m); err != nil {
			t.Error(err)
		}
		if _, err := attestation.Decode(typ.VCT(), m); err != nil {
			t.Errorf("example of %s: %v", typ, err)
		}
		maps.Copy(m, map[string]any{"iss": "https://issuer.example/a", "iat": 1764547200, "vct": typ.VCT(), "logged": digest,
			"cnf": map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": digest, "y": digest}}})
		if err := validate(t, typ, m); err != nil {
			t.Errorf("with the claims of any credential: %v", err)
		}
	}
}

func TestExampleHasThePlanOfItsContract(t *testing.T) {
	out, err := attestation.Decode(attestation.TypeEngagement.VCT(), example(t, attestation.TypeEngagement))
	if err != nil {
		t.Fatal(err)
	}
	e := out.(*attestation.Engagement)
	for s, periods := range e.Plan() {
		for _, p := range periods {
			if _, ok := e.Opened(s, p); !ok {
				t.Errorf("slot %s %s is missing", s, p)
			}
		}
		if len(e.Slots[s]) != len(periods) {
			t.Errorf("%s: %d periods, want %d", s, len(e.Slots[s]), len(periods))
		}
	}
}

func TestEverythingDisclosableMayBeWithheld(t *testing.T) {
	for _, typ := range attestation.Types {
		m := example(t, typ)
		withhold(typ, m, nil)
		if err := validate(t, typ, m); err != nil {
			t.Error(err)
		}
		if _, err := attestation.Decode(typ.VCT(), m); err != nil {
			t.Error(err)
		}
	}
}

func withhold(typ attestation.Type, m map[string]any, path []string) {
	for name, v := range m {
		member := append(slices.Clone(path), name)
		if sd, _ := schemas.SDOf(typ.VCT(), member...); sd != schemas.SDNever && sd != "" {
			delete(m, name)
		} else if inner, ok := v.(map[string]any); ok {
			withhold(typ, inner, member)
		}
	}
}

// in returns the object at path inside m.
func in(m map[string]any, path ...string) map[string]any {
	for _, p := range path {
		m = m[p].(map[string]any)
	}
	return m
}

func TestValidateOneThingSpoilt(t *testing.T) {
	for _, c := range []struct {
		name  string
		typ   attestation.Type
		spoil func(map[string]any)
		path  string
		rule  string
	}{
		{"unknown claim", "wage-payment", func(m map[string]any) { m["bonus"] = 1 }, "/bonus", "no claim of this type"},
		{"visible claim missing", "wage-payment", func(m map[string]any) { delete(m, "paid_date") }, "", "missing: paid_date"},
		{"no such day", "wage-payment", func(m map[string]any) { m["paid_date"] = "2026-02-30" }, "/paid_date", "must be a valid date"},
		{"day with time", "wage-payment", func(m map[string]any) { m["paid_date"] = "2026-05-25T00:00:00Z" }, "/paid_date", "must be a valid date"},
		{"month 13", "wage-payment", func(m map[string]any) { m["period"] = "2026-13" }, "/period", "must be written as"},
		{"quarter for a month", "wage-payment", func(m map[string]any) { m["period"] = "2026-Q2" }, "/period", "must be written as"},
		{"amount as text", "wage-payment", func(m map[string]any) { m["net"] = "212000" }, "/net", "must be of type integer"},
		{"amount with a fraction", "wage-payment", func(m map[string]any) { m["net"] = json.Number("212000.0") }, "/net", "plain integers"},
		{"amount with an exponent", "wage-payment", func(m map[string]any) { m["net"] = json.Number("2e5") }, "/net", "plain integers"},
		{"amount below zero", "wage-payment", func(m map[string]any) { m["net"] = -1 }, "/net", "minimum"},
		{"amount of ten digits", "wage-payment", func(m map[string]any) { m["net"] = 1000000000 }, "/net", "maximum"},
		{"null", "wage-payment", func(m map[string]any) { m["net"] = nil }, "/net", "must be of type"},
		{"deduction below zero", "wage-payment", func(m map[string]any) { in(m, "deductions")["rent"] = -5 }, "/deductions/rent", "minimum"},
		{"deduction without a code", "wage-payment", func(m map[string]any) { in(m, "deductions")["家賃"] = 5 }, "/deductions", "no claim of this type: 家賃"},
		{"hours as a number", "wage-payment", func(m map[string]any) { in(m, "hours")["overtime"] = 8 }, "/hours/overtime", "must be of type string"},
		{"class of hours unknown", "wage-payment", func(m map[string]any) { in(m, "hours")["idle"] = "8" }, "/hours", "no claim of this type: idle"},
		{"kind unknown", "wage-payment", func(m map[string]any) { m["kind"] = "bonus" }, "/kind", "must be one of"},
		{"truth as text", "wage-payment", func(m map[string]any) { m["declared_in_full"] = "true" }, "/declared_in_full", "must be of type boolean"},
		{"digest of 42 characters", "wage-payment", func(m map[string]any) { m["ledger_row_hash"] = digest[1:] }, "/ledger_row_hash", "must be written as"},
		{"digest with stray bits", "wage-payment", func(m map[string]any) { m["ledger_row_hash"] = digest[:42] + "V" }, "/ledger_row_hash", "must be written as"},
		{"digest with padding", "wage-payment", func(m map[string]any) { m["ledger_row_hash"] = digest + "=" }, "/ledger_row_hash", "must be written as"},
		{"digest with a line end", "wage-payment", func(m map[string]any) { m["ledger_row_hash"] = digest + "\n" }, "/ledger_row_hash", "must be written as"},
		{"no engagement", "wage-payment", func(m map[string]any) { delete(m, "engagement") }, "", "missing: engagement"},
		{"supersedes and withdraws", "wage-payment", func(m map[string]any) { m["supersedes"], m["withdraws"] = digest, digest }, "", "exclude each other"},
		{"another type's vct", "wage-payment", func(m map[string]any) { m["vct"] = "urn:akashi:remedy:1" }, "/vct", "must be urn:akashi:wage-payment:1"},
		{"issuer without scheme", "wage-payment", func(m map[string]any) { m["iss"] = "issuer.example" }, "/iss", "must be written as"},
		{"private key in cnf", "wage-payment", func(m map[string]any) {
			m["cnf"] = map[string]any{"jwk": map[string]any{"kty": "EC", "d": "AQ"}}
		}, "/cnf/jwk/d", "no claim"},
		{"source unknown", "wage-receipt", func(m map[string]any) { m["source"] = "hearsay" }, "/source", "must be one of"},
		{"transaction class", "wage-receipt", func(m map[string]any) { m["transaction_class"] = "1" }, "/transaction_class", "must be written as"},
		{"check digit of the employer", "engagement", func(m map[string]any) { in(m, "employer")["id"] = "8990000000002" }, "/employer/id", "must be a valid corporate-number"},
		{"registration number as employer", "engagement", func(m map[string]any) { in(m, "employer")["id"] = "19登-999999" }, "/employer/id", "must be a valid corporate-number"},
		{"registration number without hyphen", "engagement", func(m map[string]any) { in(m, "support")["id"] = "19登999999" }, "/support/id", "must be a valid entity-id"},
		{"card number", "engagement", func(m map[string]any) { in(m, "worker")["card_number"] = "ZZ0000001ZZ" }, "/worker/card_number", "must be a valid residence-card-number"},
		{"nationality in words", "engagement", func(m map[string]any) { in(m, "worker")["nationality"] = "Vietnam" }, "/worker/nationality", "must be written as"},
		{"full support by nobody", "engagement", func(m map[string]any) { delete(m, "support") }, "", "missing: support"},
		{"self-support with a supporter", "engagement", func(m map[string]any) { m["support_mode"] = "self" }, "", "exclude each other"},
		{"closing day 0", "engagement", func(m map[string]any) { m["closing_day"] = 0 }, "/closing_day", "minimum"},
		{"pay in four months", "engagement", func(m map[string]any) { m["pay_month_offset"] = 4 }, "/pay_month_offset", "maximum"},
		{"field unknown", "engagement", func(m map[string]any) { m["field"] = "space" }, "/field", "must be one of"},
		{"stream unknown", "engagement", func(m map[string]any) { in(m, "slots")["wage-worker"] = map[string]any{} }, "/slots", "no claim of this type: wage-worker"},
		{"quarter among months", "engagement", func(m map[string]any) { in(m, "slots", "wage-bank")["2026-Q2"] = map[string]any{} }, "/slots/wage-bank", "no claim of this type: 2026-Q2"},
		{"second member in a slot", "engagement", func(m map[string]any) { in(m, "slots", "wage-bank", "2026-05")["t"] = digest }, "/slots/wage-bank/2026-05", "no claim of this type: t"},
		{"delivery proof in two parts", "engagement", func(m map[string]any) { m["delivery_proof"] = "a.b" }, "/delivery_proof", "must be written as"},
		{"support item outside the law", "support-session", func(m map[string]any) { m["item"] = "ル" }, "/item", "must be one of"},
		{"a day of 25 hours", "support-session", func(m map[string]any) { m["minutes"] = 1500 }, "/minutes", "maximum"},
		{"interviewee", "support-interview", func(m map[string]any) { m["interviewee"] = "colleague" }, "/interviewee", "must be one of"},
		{"clock", "support-interview", func(m map[string]any) { m["start"] = "9:30" }, "/start", "must be written as"},
		{"obligation", "notification-filed", func(m map[string]any) { m["obligation"] = "N2" }, "/obligation", "must be written as"},
		{"event and period", "notification-filed", func(m map[string]any) { m["period"] = "FY2025" }, "", "exactly one"},
		{"neither event nor period", "notification-receipt", func(m map[string]any) { delete(m, "period") }, "", "exactly one"},
		{"receipt without source", "notification-receipt", func(m map[string]any) { delete(m, "source") }, "", "missing: source"},
		{"reason", "separation", func(m map[string]any) { m["reason_class"] = "other" }, "/reason_class", "must be one of"},
		{"duty of two kinds", "remedy", func(m map[string]any) { in(m, "duty")["event_date"] = "2026-06-01" }, "/duty", "exactly one"},
		{"about two things", "worker-statement", func(m map[string]any) { in(m, "about")["id"] = digest }, "/about", "exactly one"},
		{"about a stream without period", "worker-statement", func(m map[string]any) { delete(in(m, "about"), "period") }, "/about", "exactly one"},
		{"reason without an end", "worker-statement", func(m map[string]any) { in(m, "about")["reason_class"] = "employer" }, "/about", "missing beside"},
		{"empty text", "worker-statement", func(m map[string]any) { m["text"] = "" }, "/text", "minLength"},
		{"My Number in a text", "worker-statement", func(m map[string]any) { m["text"] = "番号は" + myNumber + "です" }, "/text", "My Number"},
		{"My Number in groups", "worker-statement", func(m map[string]any) { m["text"] = "1234-5678-9018" }, "/text", "My Number"},
		{"My Number in full width", "worker-statement", func(m map[string]any) { m["text"] = "１２３４　５６７８　９０１８" }, "/text", "My Number"},
		{"My Number in circles", "worker-statement", func(m map[string]any) { m["text"] = "①②③④⑤⑥⑦⑧⑨⓪①⑧" }, "/text", "My Number"},
		{"My Number as a receipt number", "notification-filed", func(m map[string]any) { m["receipt_number"] = myNumber }, "/receipt_number", "My Number"},
		{"My Number as an integer", "wage-payment", func(m map[string]any) { in(m, "deductions")["rent"] = json.Number(myNumber) }, "/deductions/rent", "My Number"},
		{"My Number as a member's name", "wage-payment", func(m map[string]any) { in(m, "deductions")["x"+myNumber] = 1 }, "/deductions", "My Number"},
		{"My Number in a list", "support-session", func(m map[string]any) { m["topics"] = []any{"a", myNumber} }, "/topics/1", "My Number"},
		{"My Number in the status", "separation", func(m map[string]any) { m["status"] = map[string]any{"a/b": myNumber} }, "/status/a~1b", "My Number"},
	} {
		m := example(t, c.typ)
		c.spoil(m)
		err := validate(t, c.typ, m)
		e, ok := errors.AsType[*schemas.Error](err)
		if !ok {
			t.Errorf("%s: got %v, want an *Error", c.name, err)
			continue
		}
		if e.Path != c.path || !strings.Contains(e.Rule, c.rule) || e.VCT != c.typ.VCT() {
			t.Errorf("%s: got %v, want %q %q", c.name, err, c.path, c.rule)
		}
		if strings.Contains(err.Error(), myNumber) || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error quotes the value: %v", c.name, err)
		}
	}
}

func TestValidateRefusesWhatIsNotOneJSONValue(t *testing.T) {
	vct := attestation.TypeSeparation.VCT()
	for _, text := range []string{"", "{", "[]", "null", `{"a":1}{}`, `{"end_date":"2026-07-10","end_date":"2026-07-10"}`, `{"a":` + strings.Repeat("[", 100), `{"a":01}`} {
		if schemas.Validate(vct, []byte(text)) == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	for _, vct := range []string{"", "urn:akashi:bonus:1", "urn:akashi:common:1", "urn:akashi:separation:2", "urn:akashi:../types/separation:1", "separation"} {
		if err := schemas.Validate(vct, schemas.Example(attestation.TypeSeparation.VCT())); err == nil {
			t.Errorf("type %q is accepted", vct)
		}
	}
}

// Whatever the vocabulary finds, the schemas refuse: each is written for itself, since neither package imports the other.
func FuzzMyNumber(f *testing.F) {
	for _, s := range []string{myNumber, "1234-5678-9018", "１２３４－５６７８－９０１８", "1234\u200b56789018", "123456789012", "8990000000001", "090-1234-5678 90", "2026-06-25 2026-07-25"} {
		f.Add(s)
	}
	vct := attestation.TypeWorkerStatement.VCT()
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(map[string]any{"engagement": digest, "date": "2026-07-03", "text": s})
		if err != nil || s == "" || len(s) > 1000 {
			return
		}
		err = schemas.Validate(vct, text)
		e, _ := errors.AsType[*schemas.Error](err)
		refused := e != nil && strings.Contains(e.Rule, "My Number")
		if attestation.FindMyNumber(s) && !refused {
			t.Errorf("%q is found and not refused: %v", s, err)
		}
	})
}

func FuzzValidate(f *testing.F) {
	for _, typ := range attestation.Types {
		f.Add(typ.VCT(), schemas.Example(typ.VCT()))
	}
	f.Fuzz(func(t *testing.T, vct string, text []byte) {
		if schemas.Validate(vct, text) != nil {
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("accepted, but not JSON: %v", err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(vct, again); err != nil {
			t.Errorf("accepted, but not when written again: %v", err)
		}
		if claims, ok := v.(map[string]any); ok {
			if err := schemas.ValidateClaims(vct, claims); err != nil {
				t.Errorf("accepted as text, but not as claims: %v", err)
			}
		}
	})
}

// claimsOf reads claims as an issuer has them.
func claimsOf(tb testing.TB, text []byte) (claims map[string]any) {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		tb.Fatal(err)
	}
	return claims
}

// Claims as Go values are judged as their text is.
func TestValidateClaims(t *testing.T) {
	vct := attestation.TypeWagePayment.VCT()
	deep := map[string]any{}
	for range 20 {
		deep = map[string]any{"x": deep}
	}
	for _, typ := range attestation.Types {
		if err := schemas.ValidateClaims(typ.VCT(), claimsOf(t, schemas.Example(typ.VCT()))); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
	for name, spoil := range map[string]func(c map[string]any){
		"nothing":            func(map[string]any) {},
		"int64":              func(c map[string]any) { c["gross"] = int64(1) },
		"int":                func(c map[string]any) { c["gross"] = 1 },
		"negative":           func(c map[string]any) { c["gross"] = -1 },
		"minus zero":         func(c map[string]any) { c["gross"] = json.Number("-0") },
		"a large number":     func(c map[string]any) { c["gross"] = json.Number("99999999999999999999999") },
		"a float":            func(c map[string]any) { c["gross"] = 1.5 },
		"an exponent":        func(c map[string]any) { c["gross"] = json.Number("1e3") },
		"a raw number":       func(c map[string]any) { c["gross"] = json.RawMessage("1") },
		"nil":                func(c map[string]any) { c["gross"] = nil },
		"nil object":         func(c map[string]any) { c["hours"] = map[string]any(nil) },
		"nil array":          func(c map[string]any) { c["aka_vcts"] = []any(nil) },
		"array":              func(c map[string]any) { c["aka_vcts"] = []any{"a", "b"} },
		"strings":            func(c map[string]any) { c["aka_vcts"] = []string{"a", "b"} },
		"array of others":    func(c map[string]any) { c["aka_vcts"] = []any{"a", 1} },
		"raw":                func(c map[string]any) { c["cnf"] = map[string]any{"jwk": json.RawMessage(`{"kty":"EC"}`)} },
		"raw, a private key": func(c map[string]any) { c["cnf"] = map[string]any{"jwk": json.RawMessage(`{"kty":"EC","d":"x"}`)} },
		"raw, twice":         func(c map[string]any) { c["cnf"] = map[string]any{"jwk": json.RawMessage(`{"kty":"EC","kty":"EC"}`)} },
		"My Number":          func(c map[string]any) { c["iss"] = "https://x.example/123456789018" },
		"My Number as int":   func(c map[string]any) { c["gross"] = 123456789018 },
		"My Number, member":  func(c map[string]any) { c["123456789018"] = 1 },
		"My Number, array":   func(c map[string]any) { c["aka_vcts"] = []any{"123456789018"} },
		"a member more":      func(c map[string]any) { c["x"] = true },
		"a member less":      func(c map[string]any) { delete(c, "period") },
		"deep":               func(c map[string]any) { c["status"] = deep },
	} {
		claims := claimsOf(t, schemas.Example(vct))
		spoil(claims)
		got, want := schemas.ValidateClaims(vct, claims), schemas.Validate(vct, must(json.Marshal(claims)))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, as text %v", name, got, want)
		}
	}
	if err := schemas.ValidateClaims(vct, map[string]any{"x": func() {}}); err == nil {
		t.Error("a function was taken for a claim")
	}
	if err := schemas.ValidateClaims("x", nil); err == nil {
		t.Error("an unknown type was taken")
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func BenchmarkValidate(b *testing.B) {
	vct, text := attestation.TypeWagePayment.VCT(), schemas.Example(attestation.TypeWagePayment.VCT())
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			if err := schemas.Validate(vct, text); err != nil {
				b.Fatal(err)
			}
		}
	})
	claims := claimsOf(b, text)
	b.Run("claims", func(b *testing.B) {
		for b.Loop() {
			if err := schemas.ValidateClaims(vct, claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}
