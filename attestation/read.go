package attestation

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// This file reads processed claims into the structs of claims.go. Encoding the struct again would give the same claims: every member has
// a field, every field that is not marked omitempty or omitzero has a member, nothing is null or the empty string, and numbers and dates are
// written in their one way. [json.Unmarshal] asks for none of that.

// fault is what is wrong with a claim. It never holds the claim's value.
type fault struct {
	path string // as in hours.scheduled
	what string
}

func (f *fault) Error() string { return f.path + " " + f.what }

// below puts the name of what holds the claim before its path.
func (f *fault) below(name string) *fault {
	if f != nil {
		f.path = strings.TrimSuffix(name+"."+f.path, ".")
	}
	return f
}

func wrong(what string) *fault { return &fault{what: what} }

var (
	wrongType  = "has the wrong type of value"
	unknown    = "is null, or no claim of this type"
	noDate     = "is not a date written YYYY-MM-DD"
	isEmpty    = "is empty"
	isMissing  = "is missing"
	misspelt   = "is not written as required"
	typeOfDate = reflect.TypeFor[Date]()
)

// readClaims fills out, a pointer to a struct, from claims as keys.DecodeJSON gives them: objects, arrays, strings, [json.Number], bool. The
// registered claims are passed over.
func readClaims(claims map[string]any, out any) error {
	if f := readStruct(claims, reflect.ValueOf(out).Elem(), registered); f != nil {
		return f
	}
	return nil
}

func readStruct(in map[string]any, out reflect.Value, besides []string) *fault {
	members := membersOf(out.Type())
	for _, m := range members.list {
		v, ok := in[m.name]
		switch {
		case ok:
			if f := readValue(v, out.FieldByIndex(m.index)); f != nil {
				return f.below(m.name)
			}
		case !m.optional:
			return wrong(isMissing).below(m.name)
		}
	}
	var strange []string
	for name := range in {
		if !members.names[name] && !slices.Contains(besides, name) {
			strange = append(strange, name)
		}
	}
	if len(strange) > 0 {
		return wrong(unknown).below(slices.Min(strange))
	}
	return nil
}

func readValue(in any, out reflect.Value) *fault {
	switch in {
	case nil:
		return wrong(unknown)
	case "":
		return wrong(isEmpty)
	}
	if out.Type() == typeOfDate {
		return readDate(in, out.Addr().Interface().(*Date))
	}
	ok := false
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		return readValue(in, out.Elem())
	case reflect.Struct:
		var members map[string]any
		if members, ok = in.(map[string]any); ok {
			return readStruct(members, out, nil)
		}
	case reflect.Map:
		var members map[string]any
		if members, ok = in.(map[string]any); ok {
			return readMap(members, out)
		}
	case reflect.Slice:
		var elements []any
		if elements, ok = in.([]any); ok {
			return readSlice(elements, out)
		}
	case reflect.Int, reflect.Int64:
		return readInt(in, out)
	case reflect.String:
		var s string
		s, ok = in.(string)
		out.SetString(s)
	case reflect.Bool:
		var b bool
		b, ok = in.(bool)
		out.SetBool(b)
	}
	if !ok {
		return wrong(wrongType)
	}
	return nil
}

func readMap(in map[string]any, out reflect.Value) *fault {
	t := out.Type()
	out.Set(reflect.MakeMapWithSize(t, len(in)))
	v := reflect.New(t.Elem()).Elem()
	for _, name := range sortedKeys(in) {
		v.SetZero()
		if f := readValue(in[name], v); f != nil {
			return f.below(name)
		}
		out.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), v)
	}
	return nil
}

func readSlice(in []any, out reflect.Value) *fault {
	out.Set(reflect.MakeSlice(out.Type(), len(in), len(in)))
	for i, v := range in {
		if f := readValue(v, out.Index(i)); f != nil {
			return f
		}
	}
	return nil
}

// readInt reads a whole number in its one spelling: digits, after a minus where it is negative.
func readInt(in any, out reflect.Value) *fault {
	text, ok := in.(json.Number)
	n, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case !ok || err != nil || out.OverflowInt(n):
		return wrong(wrongType)
	case strconv.FormatInt(n, 10) != string(text):
		return wrong(misspelt)
	}
	out.SetInt(n)
	return nil
}

func readDate(in any, out *Date) *fault {
	text, ok := in.(string)
	if !ok {
		return wrong(wrongType)
	}
	d, err := ParseDate(text)
	if err != nil || d.String() != text {
		return wrong(noDate)
	}
	*out = d
	return nil
}

// member is how a struct's field stands in JSON.
type member struct {
	name     string
	index    []int
	optional bool
}

type members struct {
	list  []member
	names map[string]bool
}

var membersCache sync.Map // reflect.Type to members

// membersOf returns the members of a claims struct, those of an embedded one included.
func membersOf(t reflect.Type) members {
	if cached, ok := membersCache.Load(t); ok {
		return cached.(members)
	}
	out := members{names: make(map[string]bool)}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			panic(fmt.Sprintf("attestation: field %s of %s has no JSON name", f.Name, t))
		}
		out.list = append(out.list, member{name, f.Index, options == "omitempty" || options == "omitzero"})
		out.names[name] = true
	}
	membersCache.Store(t, out)
	return out
}
