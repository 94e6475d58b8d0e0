package schemas

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"akashi/attestation"
)

// quickTypes are the types of which an import has many rows.
var quickTypes = []attestation.Type{attestation.TypeWagePayment, attestation.TypeWageReceipt, attestation.TypeSupportSession}

// What a check accepts, the library accepts; and a check accepts nearly everything that the library does, else it were of no use.
func TestChecksAcceptWhatTheLibraryAccepts(t *testing.T) {
	for _, typ := range attestation.Types {
		c := checks()[typ.VCT()]
		if c == nil {
			continue
		}
		accepted, missed := 0, 0
		spoil(withRegistered(decodeExample(t, Example(typ.VCT()))), func(v any) {
			want := compiled()[typeOf(typ.VCT())].Validate(v)
			switch got := c.accepts(v); {
			case got && want != nil:
				text, _ := json.Marshal(v)
				t.Errorf("%s: accepted, and not by the library: %v\n%s", typ, want, text)
			case got:
				accepted++
			case want == nil:
				missed++
			}
		})
		if accepted < 10 || missed > accepted/10 {
			t.Errorf("%s: accepted %d, left %d to the library", typ, accepted, missed)
		}
	}
	for _, typ := range quickTypes {
		if checks()[typ.VCT()] == nil {
			t.Errorf("%s has no check", typ)
		}
	}
}

func withRegistered(v any) any {
	claims := maps.Clone(v.(map[string]any))
	maps.Copy(claims, map[string]any{"iss": "https://issuer.example/a", "iat": int64(1764547200), "vct#integrity": "sha256-x",
		"cnf": map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}}})
	return claims
}

// Many changes at a time.
func FuzzChecks(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		random := rand.New(rand.NewPCG(a, b))
		typ := attestation.Types[random.IntN(len(attestation.Types))]
		c := checks()[typ.VCT()]
		if c == nil {
			return
		}
		v := withRegistered(decodeExample(t, Example(typ.VCT())))
		for range random.IntN(4) {
			var choices []any
			spoil(v, func(other any) { choices = append(choices, other) })
			if next, ok := choices[random.IntN(len(choices))].(map[string]any); ok {
				v = next
			}
		}
		if c.accepts(v) {
			if err := compiled()[typeOf(typ.VCT())].Validate(v); err != nil {
				text, _ := json.Marshal(v)
				t.Errorf("%s: accepted, and not by the library: %v\n%s", typ, err, text)
			}
		}
	})
}

// Each keyword by itself: what one value is held to, beside values that keep to it and values that do not.
func TestCheckKeywords(t *testing.T) {
	for _, test := range []struct {
		schema    string
		good, bad []any
	}{
		{`true`, []any{"x", int64(1)}, nil},
		{`false`, nil, []any{"x", int64(1), map[string]any{}}},
		{`{"type":"string","minLength":2,"maxLength":3}`, []any{"ab", "日本語"}, []any{"a", "abcd", int64(3), "\xff\xff"}},
		{`{"pattern":"^a"}`, []any{"ab", int64(1), true}, []any{"b"}},
		{`{"format":"date"}`, []any{"2024-02-29", int64(1)}, []any{"2025-02-29", "2025-2-1", "2025-02-01 "}},
		{`{"format":"entity-id"}`, []any{"8990000000001"}, []any{"8990000000002"}},
		{`{"enum":["a","b"]}`, []any{"a"}, []any{"c", int64(1), true, []any{}, map[string]any{}}},
		{`{"const":"a"}`, []any{"a"}, []any{"b", false}},
		{`{"type":"integer","minimum":1,"maximum":9}`, []any{int64(1), 9, json.Number("5")}, []any{int64(0), 10, json.Number("1.5"), json.Number("9e9"), "5"}},
		{`{"type":"boolean"}`, []any{true}, []any{"true", nil}},
		{`{"type":"array","minItems":1,"maxItems":2,"items":{"type":"string"}}`, []any{[]any{"a"}}, []any{[]any{}, []any{"a", "b", "c"}, []any{int64(1)}, []any(nil), []string{"a"}}},
		{`{"type":"object","minProperties":1}`, []any{map[string]any{"a": true}}, []any{map[string]any{}, map[string]any(nil)}},
		{`{"properties":{"a":{"type":"string"},"b":false},"required":["a"],"additionalProperties":false}`,
			[]any{map[string]any{"a": "x"}}, []any{map[string]any{}, map[string]any{"a": true}, map[string]any{"a": "x", "b": "x"}, map[string]any{"a": "x", "c": "x"}}},
		{`{"patternProperties":{"^a":{"type":"string"}},"additionalProperties":false}`, []any{map[string]any{"ab": "x"}}, []any{map[string]any{"ab": true}, map[string]any{"b": "x"}}},
		{`{"not":{"required":["a","b"]}}`, []any{map[string]any{"a": true}}, []any{map[string]any{"a": true, "b": true}}},
		{`{"allOf":[{"minLength":2},{"maxLength":3}]}`, []any{"ab"}, []any{"a", "abcd"}},
		{`{"allOf":[{"properties":{"a":{"type":"string"}},"required":["a"]}],"properties":{"a":{"minLength":2},"b":true},"unevaluatedProperties":false}`,
			[]any{map[string]any{"a": "xx", "b": true}}, []any{map[string]any{"a": "x"}, map[string]any{"b": true}, map[string]any{"a": "xx", "c": true}}},
	} {
		c, err := compileCheck(schemaOf(t, test.schema))
		if err != nil {
			t.Errorf("%s: %v", test.schema, err)
			continue
		}
		for _, v := range test.good {
			if !c.accepts(v) {
				t.Errorf("%s: %#v is not accepted", test.schema, v)
			}
		}
		for _, v := range test.bad {
			if c.accepts(v) {
				t.Errorf("%s: %#v is accepted", test.schema, v)
			}
		}
	}
}

// What has no exact quick form is left to the library.
func TestCheckRefusesKeywords(t *testing.T) {
	for _, schema := range []string{
		`1`, `{"oneOf":[true]}`, `{"if":true}`, `{"multipleOf":2}`, `{"type":["string"]}`, `{"const":1}`, `{"enum":["a",1]}`, `{"enum":["a"],"const":"a"}`,
		`{"format":"email"}`, `{"pattern":1}`, `{"pattern":"("}`, `{"minLength":"1"}`, `{"minimum":1.5}`, `{"not":{"type":"string"}}`, `{"not":{"required":["a"],"type":"object"}}`,
		`{"additionalProperties":{"type":"string"}}`, `{"properties":1}`, `{"properties":{"a":{"oneOf":[]}}}`, `{"patternProperties":1}`, `{"patternProperties":{"(":true}}`,
		`{"patternProperties":{"a":1}}`, `{"required":[1]}`, `{"allOf":1}`, `{"allOf":[{"oneOf":[]}]}`, `{"items":1}`, `{"$ref":"#"}`,
		`{"allOf":[{"properties":{"a":true},"additionalProperties":false}]}`, `{"allOf":[{"properties":{"a":true}}],"additionalProperties":false}`,
		`{"allOf":[{"properties":{"a":true},"minProperties":1}],"minProperties":2}`,
	} {
		if _, err := compileCheck(schemaOf(t, schema)); err == nil {
			t.Errorf("%s was compiled", schema)
		}
	}
}

func schemaOf(t *testing.T, text string) (schema any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// The quick answer of holdsMyNumber is that of the search.
func FuzzHoldsMyNumber(f *testing.F) {
	for _, s := range []string{"123456789018", "1234-5678-9018", "1234 5678\t9018", "1234 - 5678 - 9018", "a123456789018b", "12345678901-8", "1234_5678_9018", "１２３４56789018"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := holdsMyNumber(s), findMyNumber(s) || findMyNumber(norm.NFKC.String(s)); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	})
}

func BenchmarkValidateClaims(b *testing.B) {
	text := Example(attestation.TypeWagePayment.VCT())
	v, err := read(text)
	if err != nil {
		b.Fatal(err)
	}
	claims := withRegistered(v).(map[string]any)
	for b.Loop() {
		if err := ValidateClaims(attestation.TypeWagePayment.VCT(), claims); err != nil {
			b.Fatal(err)
		}
	}
}
