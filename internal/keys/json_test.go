package keys

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	josejson "github.com/go-jose/go-jose/v4/json"
)

func TestDecodeJSON(t *testing.T) {
	const text = ` {"a": [1, -2.50e3, true, false, null], "b":{}, "c" : [ ], "d":"x\"\u00e9\n", "e":{"f":{"g":"日"}}} `
	var got, want any
	if err := DecodeJSON([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	elements, texts, err := DecodeArray([]byte(`[ "a" , {"b":1} ]`))
	if err != nil || len(elements) != 2 || elements[0] != "a" || string(texts[0]) != `"a"` || string(texts[1]) != `{"b":1}` {
		t.Errorf("array: %v, %s, %v", elements, texts, err)
	}
	if _, _, err := DecodeArray([]byte(`{}`)); !errors.Is(err, ErrJSON) {
		t.Errorf("an object as an array: got %v", err)
	}
	members, memberTexts, err := DecodeObject([]byte(`{ "a" : {"b":1}, "c":null}`))
	if err != nil || len(members) != 2 || members["c"] != nil || string(memberTexts["a"]) != `{"b":1}` || string(memberTexts["c"]) != "null" {
		t.Errorf("object: %v, %s, %v", members, memberTexts, err)
	}
	for _, text := range []string{`[]`, `null`, `{"a":1,"a":1}`} {
		if _, _, err := DecodeObject([]byte(text)); !errors.Is(err, ErrJSON) {
			t.Errorf("%s as an object: got %v", text, err)
		}
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	rows := []struct{ name, text string }{
		{"empty", ""}, {"space", " "}, {"trailing value", "{} {}"}, {"trailing brace", "{}}"}, {"comma", "[1,]"}, {"leading zero", "[01]"}, {"NaN", "[NaN]"},
		{"no number", "-"}, {"open object", `{"a":1`}, {"open array", "[1"}, {"open string", `"a`}, {"open escape", `"a\`}, {"no colon", `{"a" 1}`}, {"no name", "{1:2}"},
		{"no comma", "[1 2]"}, {"comma first", "[,1]"}, {"comma last", `{"a":1,}`}, {"wrong bracket", "[1}"}, {"literal cut", "tru"}, {"literal wrong", "[nul1]"},
		{"control character", "\"a\nb\""}, {"zero octet", "\"\x00\""}, {"other escape", `"\x"`}, {"other space", "\f1"}, {"number and name", "[1a]"},
		{"name twice", `{"a":1,"a":1}`}, {"name twice, escaped", `{"a":1,"\u0061":1}`}, {"name twice, deep", `[{"x":{"a":1,"b":2,"a":3}}]`},
		{"not UTF-8", "[\"\xff\"]"}, {"lone high surrogate", `["\ud800"]`}, {"lone low surrogate", `["\udc00x"]`}, {"byte order mark", "\ufeff{}"},
		{"too deep", strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2)}, {"far too deep", strings.Repeat("[", 500000)},
		{"too large", `"` + strings.Repeat("x", maxJSON) + `"`},
	}
	for _, row := range rows {
		var v any
		if err := DecodeJSON([]byte(row.text), &v); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrJSON)
		}
	}
	for _, text := range []string{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), `["\ufffd","\ud83d\ude00"]`} {
		var v any
		if err := DecodeJSON([]byte(text), &v); err != nil {
			t.Errorf("valid text refused: %v", err)
		}
	}
}

type embedded struct {
	Promoted string `json:"promoted"`
}

type record struct {
	embedded
	Name  string            `json:"name"`
	Plain int               // takes "Plain"
	Raw   json.RawMessage   `json:"raw"`
	Sub   []*record         `json:"sub"`
	Map   map[string]record `json:"map"`
	Any   any               `json:"any"`
}

func TestDecodeJSONNames(t *testing.T) {
	var r record
	good := `{"promoted":"p","name":"n","Plain":1,"raw":{"NAME":1},"sub":[{"name":"s"}],"map":{"NAME":{"name":"m"}},"any":{"Name":7},"unknown":[{"NAME":1}]}`
	if err := DecodeJSON([]byte(good), &r); err != nil {
		t.Fatal(err)
	}
	if r.Promoted != "p" || r.Name != "n" || r.Plain != 1 || r.Sub[0].Name != "s" || r.Map["NAME"].Name != "m" {
		t.Errorf("got %+v", r)
	}
	if n := r.Any.(map[string]any)["Name"]; n != json.Number("7") {
		t.Errorf("number in an interface: %T", n)
	}
	for _, bad := range []string{`{"NAME":"n"}`, `{"Promoted":"p"}`, `{"plain":1}`, `{"sub":[{"Name":"s"}]}`, `{"map":{"x":{"Name":"s"}}}`, `{"raw":{"a":1,"a":2}}`, `{"name":1}`, `{"Plain":1.5}`} {
		if err := DecodeJSON([]byte(bad), &r); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: got %v, want %v", bad, err, ErrJSON)
		}
	}
	var object map[string]any
	var array []any
	for _, err := range []error{DecodeJSON([]byte("null"), &object), DecodeJSON([]byte("{}"), &array)} {
		if !errors.Is(err, ErrJSON) {
			t.Errorf("another kind of value: got %v, want %v", err, ErrJSON)
		}
	}
}

func TestDecodeKnownJSON(t *testing.T) {
	var r record
	if err := DecodeKnownJSON([]byte(`{"promoted":"p","raw":{"a":1},"sub":[{"name":"s"}],"map":{"x":{"name":"m"}},"any":{"b":7}}`), &r, 100); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"x":1}`, `{"x":null}`, `{"sub":[{"x":1}]}`, `{"map":{"x":{"y":1}}}`, `{"NAME":"n"}`, `{"name":"n","name":"n"}`} {
		if err := DecodeKnownJSON([]byte(bad), &r, 100); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: got %v, want %v", bad, err, ErrJSON)
		}
	}
	if err := DecodeKnownJSON([]byte(`{"name":"n"}`), &r, 10); !errors.Is(err, ErrJSON) {
		t.Errorf("too long: got %v", err)
	}
}

// A value of the text must not reach the error: it may be a wage.
func TestDecodeJSONErrorsAreDiscreet(t *testing.T) {
	var v struct {
		Amount int `json:"amount"`
	}
	err := DecodeJSON([]byte(`{"amount":"345678"}`), &v)
	if err == nil || strings.Contains(err.Error(), "345678") {
		t.Errorf("got %v", err)
	}
	err = DecodeJSON([]byte(`{"amount":345678.25}`), &v)
	if err == nil || strings.Contains(err.Error(), "345678") {
		t.Errorf("got %v", err)
	}
}

// FuzzDecodeJSON compares with encoding/json for the value and with the reader of go-jose, which refuses duplicates too.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,{"b":null}],"c":"\u00e9"}`, `{"a":1,"\u0061":2}`, `["\ud800",1e400]`, `{} x`, `[[[[]]]]`, `-0`, `"\\\""`, `{"a":{"a":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got any
		if err := DecodeJSON(data, &got); err != nil {
			if errors.Is(err, errNotWellFormed) && json.Valid(data) && utf8.Valid(data) {
				t.Fatal("encoding/json takes what we call not well formed")
			}
			return
		}
		var want any
		if err := decodeTyped(data, nil, &want, false); err != nil {
			t.Fatalf("encoding/json refuses what we take: %v", err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, encoding/json %#v", got, want)
		}
		var v any
		if err := josejson.Unmarshal(data, &v); err != nil && !strings.Contains(err.Error(), "cannot unmarshal number") {
			t.Fatalf("go-jose refuses what we take: %v", err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again any
		if err := DecodeJSON(text, &again); err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("written and read again: %#v, %v", again, err)
		}
	})
}

func FuzzPeekHeader(f *testing.F) {
	key := generate(f, ES256)
	good, err := key.Sign(Header{"typ": "t", "kid": "k", "x5c": []string{"AA=="}}, []byte("{}"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, compact string) {
		header, err := PeekHeader(compact)
		if err != nil {
			return
		}
		if header.Alg == "" || len(header.Raw) == 0 {
			t.Fatalf("taken without alg: %+v", header)
		}
		if _, err := ID(compact); err != nil {
			t.Fatalf("a header but no ID: %v", err)
		}
		if _, err := Verify(compact, key.Public(), ES256); err == nil && compact != good {
			t.Fatal("forged")
		}
	})
}

func FuzzParsePublic(f *testing.F) {
	f.Add([]byte(generate(f, ES256).Public().JWK()))
	f.Add([]byte(generate(f, EdDSA).Public().JWK()))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	f.Fuzz(func(t *testing.T, jwk []byte) {
		key, err := ParsePublic(jwk)
		if err != nil {
			return
		}
		again, err := ParsePublic(key.JWK())
		if err != nil || !again.Equal(key) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

// The texts of an object's members are those that encoding/json finds, and what is no object is refused.
func TestDecodeJSONMembers(t *testing.T) {
	for _, text := range []string{`{}`, `null`, ` { "a" : 1 , "b":[1, {"c":"}"}] ,"c":{ "d":null } ,"\u0065": "x\"y" } `, `{"a":-1.5e3}`} {
		var got, want map[string]json.RawMessage
		if err := DecodeJSON([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{`[]`, `"a"`, `1`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1}x`, `{"a":01}`, ``} {
		members := map[string]json.RawMessage{"before": nil}
		if err := DecodeJSON([]byte(text), &members); !errors.Is(err, ErrJSON) {
			t.Errorf("%s: got %v, want ErrJSON", text, err)
		}
	}
}
