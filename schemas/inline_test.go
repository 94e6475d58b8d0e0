package schemas

import (
	"encoding/json"
	"maps"
	"testing"

	"akashi/attestation"
)

// The rewritten schemas accept what the files accept, and nothing else.
func TestInlined(t *testing.T) {
	c := newCompiler()
	for name := range compiled() {
		if err := c.AddResource(schemaBase+name+".schema.json", readSchema(name+".schema.json")); err != nil {
			t.Fatal(err)
		}
	}
	for _, typ := range attestation.Types {
		name := typeOf(typ.VCT())
		written, rewritten := c.MustCompile(schemaBase+name+".schema.json"), compiled()[name]
		cases := 0
		spoil(decodeExample(t, Example(typ.VCT())), func(v any) {
			cases++
			if want, got := written.Validate(v), rewritten.Validate(v); (want == nil) != (got == nil) {
				text, _ := json.Marshal(v)
				t.Errorf("%s: got %v, want %v\n%s", typ, got, want, text)
			}
		})
		if cases < 50 {
			t.Errorf("%s: only %d cases", typ, cases)
		}
	}
}

func decodeExample(t *testing.T, text []byte) any {
	t.Helper()
	v, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	slots, _ := v.(map[string]any)["slots"].(map[string]any)
	for stream, periods := range slots { // all alike
		periods := periods.(map[string]any)
		for period := range periods {
			if len(periods) > 1 || len(slots) > 2 {
				delete(periods, period)
			}
		}
		if len(slots) > 2 {
			delete(slots, stream)
		}
	}
	return v
}

// spoil calls check with v and with v changed in one place at a time: a value of every kind in the place of another, a member less, a
// member more.
func spoil(v any, check func(any)) {
	check(v)
	for _, other := range []any{nil, true, "", "x", "2026-05", "2026-05-01", int64(-1), int64(0), json.Number("1.5"), map[string]any{}, []any{}, []any{"x", "x"}} {
		check(other)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"x", "engagement", "period", "event_date", "supersedes", "withdraws", "kind", "about", "cnf", "logged", "hours", "123"} {
			if _, ok := v[name]; !ok {
				more := maps.Clone(v)
				more[name] = "x"
				check(more)
			}
		}
		for name, member := range v {
			less := maps.Clone(v)
			delete(less, name)
			check(less)
			spoil(member, func(m any) {
				other := maps.Clone(v)
				other[name] = m
				check(other)
			})
		}
	case []any:
		for i, element := range v {
			spoil(element, func(e any) {
				other := append([]any{}, v...)
				other[i] = e
				check(other)
			})
		}
	}
}
