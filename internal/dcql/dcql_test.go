package dcql

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"akashi/internal/keys"
)

const valid = `{"credentials":[
 {"id":"w","format":"dc+sd-jwt","meta":{"vct_values":["https://i.example/wage"]},
  "trusted_authorities":[{"type":"aki","values":["s9tIpPmhxdiuNkHMEWNpYim8S8Y"]},{"type":"etsi_tl","values":["https://tl.example"]}],
  "claims":[{"id":"a","path":["period","month"]},{"id":"b","path":["items",null,"amount"],"values":[1,-2,"x",true]},{"id":"c","path":["items",0]}],
  "claim_sets":[["a","b"],["a"]]},
 {"id":"x","format":"dc+sd-jwt","multiple":true,"require_cryptographic_holder_binding":false,"meta":{}},
 {"id":"m","format":"mso_mdoc","meta":{"doctype_value":"d"},"claims":[{"path":["n","e"],"intent_to_retain":true}]},
 {"id":"j","format":"jwt_vc_json","meta":{"type_values":[["https://t.example/A"]]}}],
 "credential_sets":[{"options":[["w"],["x","m"]]},{"options":[["j"]],"required":false}]}`

func TestParse(t *testing.T) {
	q, err := Parse([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	if got := q.Credentials[0].Claims[1].Path; !reflect.DeepEqual(got, Path{"items", nil, "amount"}) {
		t.Errorf("got %v", got)
	}
	if !q.Credentials[0].NeedsHolderBinding() || q.Credentials[1].NeedsHolderBinding() || !q.Sets[0].IsRequired() || q.Sets[1].IsRequired() {
		t.Error("a default is wrong")
	}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil || !reflect.DeepEqual(q, again) {
		t.Errorf("written and read again: got %+v, %v", again, err)
	}
}

func TestParseRefuses(t *testing.T) {
	credential := func(m map[string]any, i int) map[string]any { return m["credentials"].([]any)[i].(map[string]any) }
	claim := func(m map[string]any, i int) map[string]any {
		return credential(m, 0)["claims"].([]any)[i].(map[string]any)
	}
	set := func(m map[string]any) map[string]any { return m["credential_sets"].([]any)[0].(map[string]any) }
	for _, c := range []struct {
		name  string
		spoil func(map[string]any)
		want  string
	}{
		{"no credentials", func(m map[string]any) { delete(m, "credentials") }, "1 to"},
		{"empty credentials", func(m map[string]any) { m["credentials"] = []any{} }, "1 to"},
		{"id missing", func(m map[string]any) { delete(credential(m, 0), "id") }, "id must be unique"},
		{"id of other characters", func(m map[string]any) { credential(m, 0)["id"] = "w w" }, "id must be unique"},
		{"id twice", func(m map[string]any) { credential(m, 1)["id"] = "w" }, "id must be unique"},
		{"format missing", func(m map[string]any) { delete(credential(m, 0), "format") }, "format"},
		{"meta missing", func(m map[string]any) { delete(credential(m, 0), "meta") }, "meta"},
		{"no type", func(m map[string]any) { credential(m, 0)["meta"] = map[string]any{"vct_values": []any{}} }, "vct_values"},
		{"empty type", func(m map[string]any) { credential(m, 0)["meta"] = map[string]any{"vct_values": []any{""}} }, "vct_values"},
		{"no W3C type", func(m map[string]any) { credential(m, 3)["meta"] = map[string]any{"type_values": []any{}} }, "type_values"},
		{"empty W3C types", func(m map[string]any) { credential(m, 3)["meta"] = map[string]any{"type_values": []any{[]any{}}} }, "type_values"},
		{"no authorities", func(m map[string]any) { credential(m, 0)["trusted_authorities"] = []any{} }, "trusted_authorities"},
		{"authority without values", func(m map[string]any) {
			credential(m, 0)["trusted_authorities"] = []any{map[string]any{"type": "aki"}}
		}, "trusted_authorities"},
		{"authority without type", func(m map[string]any) {
			credential(m, 0)["trusted_authorities"] = []any{map[string]any{"values": []any{"AAAA"}}}
		}, "trusted_authorities"},
		{"authority with an empty value", func(m map[string]any) {
			credential(m, 0)["trusted_authorities"] = []any{map[string]any{"type": "etsi_tl", "values": []any{""}}}
		}, "trusted_authorities"},
		{"empty W3C type", func(m map[string]any) { credential(m, 3)["meta"] = map[string]any{"type_values": []any{[]any{""}}} }, "type_values"},
		{"aki in standard base64", func(m map[string]any) {
			credential(m, 0)["trusted_authorities"] = []any{map[string]any{"type": "aki", "values": []any{"a+/="}}}
		}, "base64url"},
		{"empty claims", func(m map[string]any) { credential(m, 1)["claims"] = []any{} }, "claims"},
		{"claim_sets without claims", func(m map[string]any) { credential(m, 1)["claim_sets"] = []any{[]any{"a"}} }, "without claims"},
		{"empty claim_sets", func(m map[string]any) { credential(m, 0)["claim_sets"] = []any{} }, "claim_sets"},
		{"empty claim set", func(m map[string]any) { credential(m, 0)["claim_sets"] = []any{[]any{}} }, "claim_sets"},
		{"unknown claim", func(m map[string]any) { credential(m, 0)["claim_sets"] = []any{[]any{"z"}} }, "claim_sets"},
		{"claim without id", func(m map[string]any) { delete(claim(m, 0), "id") }, "needs an id"},
		{"claim id twice", func(m map[string]any) { claim(m, 1)["id"] = "a" }, "id must be unique"},
		{"path missing", func(m map[string]any) { delete(claim(m, 0), "path") }, "path"},
		{"empty path", func(m map[string]any) { claim(m, 0)["path"] = []any{} }, "path"},
		{"negative index", func(m map[string]any) { claim(m, 0)["path"] = []any{-1} }, "path"},
		{"fraction", func(m map[string]any) { claim(m, 0)["path"] = []any{1.5} }, "path"},
		{"boolean component", func(m map[string]any) { claim(m, 0)["path"] = []any{true} }, "path"},
		{"mdoc path", func(m map[string]any) {
			credential(m, 2)["claims"] = []any{map[string]any{"path": []any{"n", "e", "f"}}}
		}, "mso_mdoc"},
		{"no values", func(m map[string]any) { claim(m, 1)["values"] = []any{} }, "values"},
		{"object among values", func(m map[string]any) { claim(m, 1)["values"] = []any{map[string]any{}} }, "values"},
		{"fraction among values", func(m map[string]any) { claim(m, 1)["values"] = []any{1.5} }, "values"},
		{"null among values", func(m map[string]any) { claim(m, 1)["values"] = []any{nil} }, "values"},
		{"empty credential_sets", func(m map[string]any) { m["credential_sets"] = []any{} }, "credential_sets"},
		{"no options", func(m map[string]any) { set(m)["options"] = []any{} }, "options"},
		{"empty option", func(m map[string]any) { set(m)["options"] = []any{[]any{}} }, "options"},
		{"option of an unknown query", func(m map[string]any) { set(m)["options"] = []any{[]any{"z"}} }, "options"},
		{"option with a query twice", func(m map[string]any) { set(m)["options"] = []any{[]any{"w", "w"}} }, "options"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m map[string]any
			if err := json.Unmarshal([]byte(valid), &m); err != nil {
				t.Fatal(err)
			}
			c.spoil(m)
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Parse(text); !errors.Is(err, ErrQuery) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want one about %q", err, c.want)
			}
		})
	}
	for _, text := range []string{"", "[]", "null", `{"credentials":[],"credentials":[]}`, strings.Repeat(" ", MaxQuery) + valid} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrQuery) {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
}

// The examples published with OpenID4VP 1.0. AKASHI_VECTORS names the folder that holds them.
func TestPublishedExamples(t *testing.T) {
	folder := os.Getenv("AKASHI_VECTORS")
	if folder == "" {
		t.Skip("AKASHI_VECTORS is not set")
	}
	var files []string
	for _, pattern := range []string{"query_lang/*.json", "request/dcql_*.json"} {
		found, err := filepath.Glob(filepath.Join(folder, "oid4vp-1_0-examples", pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 9 {
		t.Fatalf("only %d examples", len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

// held is a wage credential with amount and one element of notes withheld.
func held(t testing.TB) Candidate {
	t.Helper()
	var claims map[string]any
	err := keys.DecodeJSON([]byte(`{"vct":"https://i.example/wage","period":{"month":"2026-05"},"items":[{"amount":1},{"amount":2,"note":"n"},{}],
		"net":212000,"paid":true,"address":{"street":"s","city":{"name":"c"}}}`), &claims)
	if err != nil {
		t.Fatal(err)
	}
	return Candidate{
		Format: FormatSDJWTVC, Types: []string{"https://i.example/wage", "https://i.example/payment"}, Bound: true, KeyIDs: []string{"AAAA", "BBBB"},
		Claims:    claims,
		Disclosed: []Path{{"period"}, {"period", "month"}, {"items", 0}, {"items", 1}, {"items", 1, "amount"}, {"net"}, {"address", "city"}, {"address", "city", "name"}},
	}
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name, query string // of the credential query, the members after id
		want        error
		disclose    []Path
	}{
		{"no claims discloses nothing", `"meta":{}`, nil, nil},
		{"type", `"meta":{"vct_values":["x","https://i.example/wage"]}`, nil, nil},
		{"type that it also stands for", `"meta":{"vct_values":["https://i.example/payment"]}`, nil, nil},
		{"other type", `"meta":{"vct_values":["https://i.example/Wage"]}`, ErrType, nil},
		{"key identifier", `"meta":{},"trusted_authorities":[{"type":"aki","values":["CCCC"]},{"type":"aki","values":["CCCC","BBBB"]}]`, nil, nil},
		{"other key identifier", `"meta":{},"trusted_authorities":[{"type":"aki","values":["CCCC"]}]`, ErrAuthority, nil},
		{"authority of another kind", `"meta":{},"trusted_authorities":[{"type":"etsi_tl","values":["AAAA"]}]`, ErrAuthority, nil},
		{"parents go along", `"meta":{},"claims":[{"path":["period","month"]}]`, nil, []Path{{"period"}, {"period", "month"}}},
		{"visible claim", `"meta":{},"claims":[{"path":["paid"]}]`, nil, nil},
		{"whole object", `"meta":{},"claims":[{"path":["address"]}]`, nil, []Path{{"address", "city"}, {"address", "city", "name"}}},
		{"member absent", `"meta":{},"claims":[{"path":["paid"]},{"path":["none"]}]`, ErrClaims, nil},
		{"index", `"meta":{},"claims":[{"path":["items",0,"amount"]}]`, nil, []Path{{"items", 0}}},
		{"index beyond", `"meta":{},"claims":[{"path":["items",3]}]`, ErrClaims, nil},
		{"all elements that have it", `"meta":{},"claims":[{"path":["items",null,"amount"]}]`, nil, []Path{{"items", 0}, {"items", 1}, {"items", 1, "amount"}}},
		{"null on an object", `"meta":{},"claims":[{"path":["period",null]}]`, ErrClaims, nil},
		{"index on an object", `"meta":{},"claims":[{"path":["period",0]}]`, ErrClaims, nil},
		{"name on an array", `"meta":{},"claims":[{"path":["items","amount"]}]`, ErrClaims, nil},
		{"name on a string", `"meta":{},"claims":[{"path":["vct","x"]}]`, ErrClaims, nil},
		{"value", `"meta":{},"claims":[{"path":["net"],"values":[1,212000]}]`, nil, []Path{{"net"}}},
		{"value of another type", `"meta":{},"claims":[{"path":["net"],"values":["212000"]}]`, ErrClaims, nil},
		{"boolean value", `"meta":{},"claims":[{"path":["paid"],"values":[true]}]`, nil, nil},
		{"other boolean value", `"meta":{},"claims":[{"path":["paid"],"values":[false]}]`, ErrClaims, nil},
		{"value of an object", `"meta":{},"claims":[{"path":["period"],"values":["2026-05"]}]`, ErrClaims, nil},
		{"values among elements", `"meta":{},"claims":[{"path":["items",null,"amount"],"values":[2]}]`, nil, []Path{{"items", 1}, {"items", 1, "amount"}}},
		{"claim asked for twice", `"meta":{},"claims":[{"path":["net"]},{"path":["paid"]},{"path":["net"],"values":[1]}]`, nil, []Path{{"net"}}},
		{"first claim set", `"meta":{},"claims":[{"id":"a","path":["net"]},{"id":"b","path":["paid"]}],"claim_sets":[["a"],["b"]]`, nil, []Path{{"net"}}},
		{"second claim set", `"meta":{},"claims":[{"id":"a","path":["net"],"values":[1]},{"id":"b","path":["paid"]},{"id":"c","path":["items",0]}],"claim_sets":[["a","b"],["b","c"]]`, nil, []Path{{"items", 0}}},
		{"no claim set", `"meta":{},"claims":[{"id":"a","path":["no"]},{"id":"b","path":["paid"]}],"claim_sets":[["a","b"],["a"]]`, ErrClaims, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := Parse([]byte(`{"credentials":[{"id":"w","format":"dc+sd-jwt",` + c.query + `}]}`))
			if err != nil {
				t.Fatal(err)
			}
			m, err := q.Credentials[0].Evaluate(held(t))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil && !reflect.DeepEqual(m.Disclose, c.disclose) {
				t.Errorf("discloses %v, want %v", m.Disclose, c.disclose)
			}
			presented := held(t)
			presented.Disclosed = c.disclose
			if err := q.CheckPresentation("w", presented); !errors.Is(err, c.want) {
				t.Errorf("the verifier says %v, want %v", err, c.want)
			}
		})
	}
}

// What was disclosed beyond what was asked for is refused, also where all that was asked for is there.
func TestUnasked(t *testing.T) {
	const net = `"meta":{},"claims":[{"path":["net"]}]`
	for _, c := range []struct {
		name, query string // of the credential queries, the members after the id; the second is another one's
		other       string
		disclosed   []Path
		want        error
	}{
		{"as asked", net, "", []Path{{"net"}}, nil},
		{"one more", net, "", []Path{{"net"}, {"period"}}, ErrUnasked},
		{"where nothing was asked", `"meta":{}`, "", []Path{{"net"}}, ErrUnasked},
		{"what holds it", `"meta":{},"claims":[{"path":["period","month"]}]`, "", []Path{{"period"}, {"period", "month"}}, nil},
		{"what lies beside it", `"meta":{},"claims":[{"path":["address","street"]}]`, "", []Path{{"address", "city"}}, ErrUnasked},
		{"what lies in it", `"meta":{},"claims":[{"path":["address"]}]`, "", []Path{{"address", "city"}, {"address", "city", "name"}}, nil},
		{"all elements", `"meta":{},"claims":[{"path":["items",null,"amount"]}]`, "", []Path{{"items", 0}, {"items", 1}, {"items", 1, "amount"}}, nil},
		{"another member of an element", `"meta":{},"claims":[{"path":["items",null,"amount"]}]`, "", []Path{{"items", 1}, {"items", 1, "note"}}, ErrUnasked},
		{"an element that stood elsewhere", `"meta":{},"claims":[{"path":["items",1,"amount"]}]`, "", []Path{{"items", 0}}, nil},
		{"a name for an element", `"meta":{},"claims":[{"path":["items",null]}]`, "", []Path{{"items", "0"}}, ErrUnasked},
		{"of another claim set", `"meta":{},"claims":[{"id":"a","path":["paid"]},{"id":"b","path":["net"]}],"claim_sets":[["a"],["b"]]`, "", []Path{{"net"}}, nil},
		{"for another query that it fulfils", net, `"meta":{},"claims":[{"path":["period","month"]}]`, []Path{{"net"}, {"period"}, {"period", "month"}}, nil},
		{"for another query of another type", net, `"meta":{"vct_values":["x"]},"claims":[{"path":["period","month"]}]`, []Path{{"net"}, {"period"}, {"period", "month"}}, ErrUnasked},
		{"for no query", net, `"meta":{},"claims":[{"path":["period","month"]}]`, []Path{{"net"}, {"address", "city"}}, ErrUnasked},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := `{"credentials":[{"id":"w","format":"dc+sd-jwt",` + c.query + `}`
			if c.other != "" {
				text += `,{"id":"o","format":"dc+sd-jwt",` + c.other + `}`
			}
			presented := held(t)
			presented.Disclosed = c.disclosed
			if err := query(t, text+"]}").CheckPresentation("w", presented); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// An element stands further ahead in what a verifier sees than where the wallet counted it, if others were withheld.
func TestIndexBehindWithheld(t *testing.T) {
	for _, c := range []struct {
		name, claims, of string
		disclosed        []Path
		want             error
	}{
		{"the second, as the only one", `[{"path":["items",1,"amount"]}]`, `"items":[{"amount":2}]`, []Path{{"items", 0}, {"items", 0, "amount"}}, nil},
		{"of the value", `[{"path":["items",1,"amount"],"values":[2]}]`, `"items":[{"amount":2}]`, []Path{{"items", 0}}, nil},
		{"of another value", `[{"path":["items",1,"amount"],"values":[1]}]`, `"items":[{"amount":2}]`, []Path{{"items", 0}}, ErrClaims},
		{"of an array in an array", `[{"path":["items",2,3]}]`, `"items":[["a"]]`, []Path{{"items", 0}, {"items", 0, 0}}, nil},
		{"of an array that all can see", `[{"path":["items",1]}]`, `"items":["a"]`, nil, ErrClaims},
		{"where another array has withheld elements", `[{"path":["items",1]}]`, `"items":["a"],"others":["b"]`, []Path{{"others", 0}}, ErrClaims},
		{"where nothing is left", `[{"path":["items",1]}]`, `"items":[]`, nil, ErrClaims},
	} {
		t.Run(c.name, func(t *testing.T) {
			presented := Candidate{Format: FormatSDJWTVC, Bound: true, Disclosed: c.disclosed}
			if err := keys.DecodeJSON([]byte("{"+c.of+"}"), &presented.Claims); err != nil {
				t.Fatal(err)
			}
			q := query(t, `{"credentials":[{"id":"w","format":"dc+sd-jwt","meta":{},"claims":`+c.claims+`}]}`)
			if err := q.CheckPresentation("w", presented); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestEvaluateFormatAndBinding(t *testing.T) {
	q, err := Parse([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	unbound := held(t)
	unbound.Bound = false
	other := held(t)
	other.Format = FormatJWTVC
	for _, c := range []struct {
		id   string
		with Candidate
		want error
	}{
		{"x", unbound, nil},
		{"w", unbound, ErrHolderBinding},
		{"x", other, ErrFormat},
		{"m", held(t), ErrFormat},
		{"j", other, ErrFormat}, // not evaluated
		{"z", held(t), ErrUnknownID},
	} {
		c.with.Disclosed = nil
		if err := q.CheckPresentation(c.id, c.with); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.id, err, c.want)
		}
	}
}

func query(t *testing.T, text string) *Query {
	t.Helper()
	q, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestChooseAndCheckAnswer(t *testing.T) {
	const three = `{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["A"]}},{"id":"b","format":"dc+sd-jwt","meta":{"vct_values":["B"]}},{"id":"c","format":"dc+sd-jwt","meta":{"vct_values":["C"]}}]`
	for _, c := range []struct {
		name, sets, held string
		want             []Choice // nil: nothing may be sent
	}{
		{"all", ``, "ABC", []Choice{{-1, []string{"a", "b", "c"}, false}}},
		{"not all", ``, "AB", nil},
		{"first option", `[{"options":[["a"],["b"]]}]`, "AB", []Choice{{0, []string{"a"}, false}}},
		{"second option", `[{"options":[["a","c"],["b"]]}]`, "AB", []Choice{{0, []string{"b"}, false}}},
		{"none", `[{"options":[["a","c"],["b"]]}]`, "A", nil},
		{"optional", `[{"options":[["a"]]},{"options":[["b"]],"required":false}]`, "AB", []Choice{{0, []string{"a"}, false}, {1, []string{"b"}, true}}},
		{"optional missing", `[{"options":[["a"]]},{"options":[["b"]],"required":false}]`, "A", []Choice{{0, []string{"a"}, false}}},
		{"required missing", `[{"options":[["a"]]},{"options":[["b"]],"required":false}]`, "B", nil},
		{"only optional, none held", `[{"options":[["b"]],"required":false}]`, "A", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := three + "}"
			if c.sets != "" {
				text = three + `,"credential_sets":` + c.sets + "}"
			}
			q := query(t, text)
			var candidates []Candidate
			for _, v := range c.held {
				candidates = append(candidates, Candidate{Format: FormatSDJWTVC, Types: []string{string(v)}, Bound: true})
			}
			choices, err := q.Choose(q.Match(candidates))
			if !reflect.DeepEqual(choices, c.want) || (err == nil) != (c.want != nil) {
				t.Fatalf("got %v, %v; want %v", choices, err, c.want)
			}
			var answered, required []string
			for _, choice := range choices {
				answered = append(answered, choice.IDs...)
				if !choice.Optional {
					required = append(required, choice.IDs...)
				}
			}
			if c.want == nil {
				return
			}
			if err := errors.Join(q.CheckAnswer(answered), q.CheckAnswer(required)); err != nil {
				t.Errorf("the verifier says %v", err)
			}
			if len(required) > 0 {
				if err := q.CheckAnswer(required[1:]); !errors.Is(err, ErrUnsatisfied) {
					t.Errorf("with one less the verifier says %v", err)
				}
			}
		})
	}
}

func TestRepeatsClaim(t *testing.T) {
	for claims, want := range map[string]bool{
		`[{"path":["a"]},{"path":["b"]}]`:                       false,
		`[{"path":["a"]},{"path":["b"]},{"path":["a"]}]`:        true,
		`[{"path":["a",0]},{"path":["a",null]},{"path":["a"]}]`: false,
	} {
		q := query(t, `{"credentials":[{"id":"c","format":"dc+sd-jwt","meta":{},"claims":`+claims+`}]}`)
		if got := q.RepeatsClaim(); got != want {
			t.Errorf("%s: got %v", claims, got)
		}
	}
}

func TestCheckCounts(t *testing.T) {
	q := query(t, valid)
	for _, c := range []struct {
		counts map[string]int
		want   error
	}{
		{map[string]int{"w": 1, "x": 7}, nil},
		{map[string]int{"w": 2}, ErrCount},
		{map[string]int{"w": 0}, ErrCount},
		{map[string]int{"x": 0}, ErrCount},
		{map[string]int{"z": 1}, ErrUnknownID},
	} {
		if err := q.CheckCounts(c.counts); !errors.Is(err, c.want) {
			t.Errorf("%v: got %v, want %v", c.counts, err, c.want)
		}
	}
}

// What parses is written and read again as the same, and evaluating it never fails in another way than by an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(`{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{},"claims":[{"path":["items",null,"amount"],"values":[2]}]}]}`))
	f.Add([]byte(`{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{},"claims":[{"path":[0]}],"claim_sets":[["a"]]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := Parse(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("%s was read again as %+v, %v", text, again, err)
		}
		matches := q.Match([]Candidate{held(t)})
		choices, err := q.Choose(matches)
		if err != nil {
			return
		}
		var ids []string
		for _, c := range choices {
			ids = append(ids, c.IDs...)
		}
		if err := q.CheckAnswer(ids); err != nil {
			t.Fatalf("%s: what was chosen is refused: %v", text, err)
		}
		for id, found := range matches {
			presented := held(t)
			presented.Disclosed = found[0].Disclose
			if err := q.CheckPresentation(id, presented); err != nil {
				t.Fatalf("%s: what was disclosed is refused: %v", text, err)
			}
		}
	})
}

// A query and a credential that are made for each other cost no more than a bound: many claims that each select all of a long array, nested arrays,
// many claim sets of many claims, and many alternatives.
func TestBombs(t *testing.T) {
	long := make([]any, 100_000)
	for i := range long {
		long[i] = map[string]any{}
	}
	var nested any = "x"
	for range maxPath - 1 {
		nested = []any{nested, nested} // 2^15 places, of 15 values
	}
	candidate := Candidate{Format: FormatSDJWTVC, Bound: true, Claims: map[string]any{"long": long, "short": long[:1000], "nested": nested}}
	claims := func(n int, path string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":"c%d","path":%s}`, i, path)
		}
		return b.String()
	}
	var names, sets []string
	for i := range 500 {
		names = append(names, fmt.Sprintf(`"c%d"`, i))
	}
	for range maxOptions {
		sets = append(sets, "["+strings.Join(names, ",")+"]")
	}
	for name, c := range map[string]struct {
		members string
		want    error
	}{
		"one long array":           {`"claims":[{"path":["long",null]}]`, ErrClaims},
		"many of a short one":      {`"claims":[` + claims(maxClaims, `["short",null]`) + `],"claim_sets":[["c4095"]]`, ErrClaims},
		"the first of many":        {`"claims":[` + claims(maxClaims, `["short",null]`) + `],"claim_sets":[["c4095"],["c0"]]`, nil},
		"arrays in arrays":         {`"claims":[{"path":["nested"` + strings.Repeat(",null", maxPath-1) + `]}]`, nil},
		"twice arrays in arrays":   {`"claims":[{"path":["nested"` + strings.Repeat(",null", maxPath-1) + `]},{"path":["nested",0` + strings.Repeat(",null", maxPath-2) + `]}]`, ErrClaims},
		"many sets of many claims": {`"claims":[` + claims(499, `["short",0]`) + `,{"id":"c499","path":["none"]}],"claim_sets":[` + strings.Join(sets, ",") + `]`, ErrClaims},
	} {
		q := query(t, `{"credentials":[{"id":"w","format":"dc+sd-jwt","meta":{},`+c.members+`}]}`)
		m, err := q.Credentials[0].Evaluate(candidate)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if m != nil && len(m.Claims) > maxSelected {
			t.Errorf("%s: %d claims", name, len(m.Claims))
		}
	}
	var many strings.Builder
	for i := range maxCredentials {
		fmt.Fprintf(&many, `{"id":"a%d","format":"f","meta":{}},`, i)
	}
	for name, text := range map[string]string{
		"too many credentials":    `{"credentials":[` + many.String() + `{"id":"a","format":"f","meta":{}}]}`,
		"too many claims":         `{"credentials":[{"id":"a","format":"f","meta":{},"claims":[` + claims(maxClaims+1, `["a"]`) + `]}]}`,
		"too many claim sets":     `{"credentials":[{"id":"a","format":"f","meta":{},"claims":[` + claims(1, `["a"]`) + `],"claim_sets":[["c0"]` + strings.Repeat(`,["c0"]`, maxOptions) + `]}]}`,
		"too many sets":           `{"credentials":[{"id":"a","format":"f","meta":{}}],"credential_sets":[{"options":[["a"]]}` + strings.Repeat(`,{"options":[["a"]]}`, maxOptions) + `]}`,
		"too long a path":         `{"credentials":[{"id":"a","format":"f","meta":{},"claims":[{"path":["a"` + strings.Repeat(",null", maxPath) + `]}]}]}`,
		"deep JSON":               `{"credentials":` + strings.Repeat("[", 10_000),
		"a member twice":          `{"credentials":[{"id":"a","id":"b","format":"f","meta":{}}]}`,
		"a member twice, escaped": `{"credentials":[{"id":"a","\u0069d":"b","format":"f","meta":{}}]}`,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrQuery) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
