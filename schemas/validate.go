package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Error says which claim breaks which rule. It never holds the claim's value.
type Error struct {
	VCT  string
	Path string // JSON Pointer (RFC 6901) of the claim, "" for the claims as a whole
	Rule string // what is required, for people
}

func (e *Error) Error() string {
	path := e.Path
	if path == "" {
		path = "/"
	}
	return fmt.Sprintf("claims of %s: %s: %s", e.VCT, path, e.Rule)
}

// Validate refuses processed claims (digests and disclosures already gone) that do not keep to the schema of vct, that name a member
// twice, that write a number other than as a plain integer, or that hold an Individual Number (My Number) anywhere. Claims that are
// selectively disclosable may be missing. The error is an [*Error] wherever a claim is at fault.
func Validate(vct string, claims []byte) error {
	return validate(vct, func() (any, error) { return read(claims) })
}

// ValidateClaims is [Validate] for claims that are about to be written by encoding/json, and need not be written for this. Claims of the
// types string, bool, int, int64, [json.Number], []any and map[string]any are looked at as they are.
func ValidateClaims(vct string, claims map[string]any) error {
	if c := checks()[vct]; c != nil && isPlain(claims, 0) && c.accepts(claims) {
		return nil
	}
	return validate(vct, func() (any, error) { return walk(claims, nil) })
}

func validate(vct string, claims func() (any, error)) error {
	name := typeOf(vct)
	if name == "" {
		return fmt.Errorf("unknown credential type %q", vct)
	}
	v, err := claims()
	if err != nil {
		return withVCT(err, vct)
	}
	if err := compiled()[name].Validate(v); err != nil {
		return withVCT(explain(err), vct)
	}
	return nil
}

func withVCT(err error, vct string) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.VCT = vct
	}
	return err
}

// inlined returns the schema of every type by name, rewritten by [inliner].
var inlined = sync.OnceValue(func() map[string]any {
	entries, err := files.ReadDir("types")
	if err != nil {
		panic(err)
	}
	in := inliner{readSchema("common.schema.json")["$defs"].(map[string]any)}
	out := make(map[string]any, len(entries))
	for _, e := range entries {
		out[strings.TrimSuffix(e.Name(), ".schema.json")] = in.schema(readSchema(e.Name()))
	}
	return out
})

// compiled returns the library's form of every schema by name.
var compiled = sync.OnceValue(func() map[string]*jsonschema.Schema {
	c := newCompiler()
	for name, schema := range inlined() {
		if err := c.AddResource(schemaBase+name+".schema.json", schema); err != nil {
			panic(err)
		}
	}
	out := make(map[string]*jsonschema.Schema, len(inlined()))
	for name := range inlined() {
		out[name] = c.MustCompile(schemaBase + name + ".schema.json")
	}
	return out
})

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for name, check := range formats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: check})
	}
	return c
}

func readSchema(name string) map[string]any {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(mustRead("types/" + name)))
	if err != nil {
		panic(err)
	}
	return doc.(map[string]any)
}

// schemaBase is a name, not an address: .invalid resolves nowhere (RFC 2606).
const schemaBase = "https://akashi.invalid/schemas/types/"

// formats are the formats beside those of JSON Schema.
var formats = map[string]func(any) error{
	"corporate-number":      func(v any) error { return stringFormat(v, isCorporateNumber) },
	"entity-id":             func(v any) error { return stringFormat(v, isEntityID) },
	"residence-card-number": func(v any) error { return stringFormat(v, cardNumber.MatchString) },
}

var (
	corporateNumber = regexp.MustCompile(`^[1-9][0-9]{12}$`)
	registration    = regexp.MustCompile(`^[0-9]{2}登-[0-9]{6}$`)
	cardNumber      = regexp.MustCompile(`^[A-Z]{2}[0-9]{8}[A-Z]{2}$`)
)

func stringFormat(v any, is func(string) bool) error {
	if s, ok := v.(string); ok && !is(s) {
		return errors.New("not of this format")
	}
	return nil
}

// isCorporateNumber checks the first digit: 9 minus the remainder by 9 of the sum of the others, weighted from the right 1, 2, 1 ...
func isCorporateNumber(s string) bool {
	if !corporateNumber.MatchString(s) {
		return false
	}
	sum := 0
	for i, r := range s[1:] {
		sum += int(r-'0') * (1 + (i+1)%2)
	}
	return int(s[0]-'0') == 9-sum%9
}

func isEntityID(s string) bool { return isCorporateNumber(s) || registration.MatchString(s) }

// maxDepth is far beyond any claim.
const maxDepth = 16

// read decodes one JSON value and applies the rules that JSON Schema cannot state.
func read(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return readAll(d, nil)
}

func readAll(d *json.Decoder, path []string) (any, error) {
	v, err := readValue(d, path)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Error{Path: pointer(path), Rule: "something follows the JSON value"}
	}
	return v, nil
}

// walk applies the rules of [read] to a Go value and returns it as read would have.
func walk(v any, path []string) (any, error) {
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		return v, refuseMyNumber(v, path)
	case json.Number:
		return number(v, path)
	case int:
		return walk(int64(v), path)
	case int64:
		return v, refuseMyNumber(strconv.FormatInt(v, 10), path)
	case map[string]any:
		if v != nil {
			return walkObject(v, path)
		}
	case []any:
		if v != nil {
			return walkArray(v, path)
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, &Error{Path: pointer(path), Rule: "not JSON"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return readAll(d, path)
}

func walkObject(object map[string]any, path []string) (any, error) {
	if len(path) >= maxDepth {
		return nil, errDeep(path)
	}
	out := make(map[string]any, len(object))
	var refused error // of the first such member by name, as maps have no order
	var at string
	for name, v := range object {
		err := refuseMyNumber(name, path)
		if err == nil {
			out[name], err = walk(v, append(path, name))
		}
		if err != nil && (refused == nil || name < at) {
			refused, at = err, name
		}
	}
	return out, refused
}

func walkArray(array []any, path []string) (any, error) {
	if len(path) >= maxDepth {
		return nil, errDeep(path)
	}
	out := make([]any, len(array))
	for i, v := range array {
		var err error
		if out[i], err = walk(v, append(path, strconv.Itoa(i))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func errDeep(path []string) error { return &Error{Path: pointer(path), Rule: "nested too deeply"} }

// number takes a plain integer; as an int64, where it fits, it is cheaper to compare.
func number(n json.Number, path []string) (any, error) {
	if !isPlainInteger(string(n)) {
		return nil, &Error{Path: pointer(path), Rule: "write numbers as plain integers, without fraction or exponent"}
	}
	if err := refuseMyNumber(string(n), path); err != nil {
		return nil, err
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil && n != "-0" {
		return i, nil
	}
	return n, nil
}

func isPlainInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}

func readValue(d *json.Decoder, path []string) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, &Error{Path: pointer(path), Rule: "not JSON"}
	}
	switch t := token.(type) {
	case json.Delim:
		if len(path) >= maxDepth {
			return nil, errDeep(path)
		}
		if t == '[' {
			return readArray(d, path)
		}
		return readObject(d, path)
	case json.Number:
		return number(t, path)
	case string:
		return t, refuseMyNumber(t, path)
	}
	return token, nil
}

func readArray(d *json.Decoder, path []string) (any, error) {
	out := []any{}
	for d.More() {
		v, err := readValue(d, append(path, strconv.Itoa(len(out))))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	if _, err := d.Token(); err != nil {
		return nil, &Error{Path: pointer(path), Rule: "not JSON"}
	}
	return out, nil
}

func readObject(d *json.Decoder, path []string) (any, error) {
	out := map[string]any{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, &Error{Path: pointer(path), Rule: "not JSON"}
		}
		if err := refuseMyNumber(name, path); err != nil {
			return nil, err
		}
		member := append(path, name)
		if _, twice := out[name]; twice {
			return nil, &Error{Path: pointer(member), Rule: "the member stands twice"}
		}
		if out[name], err = readValue(d, member); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, &Error{Path: pointer(path), Rule: "not JSON"}
	}
	return out, nil
}

func refuseMyNumber(s string, path []string) error {
	if holdsMyNumber(s) {
		return &Error{Path: pointer(path), Rule: "holds twelve digits that read as an Individual Number (My Number), which must not be collected: remove them"}
	}
	return nil
}

// pointer writes a JSON Pointer (RFC 6901, Section 3).
func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}

// explain turns the first failure, by path, into an [*Error], leaving out the values that the library puts in its messages.
func explain(err error) error {
	v, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return errors.New("the schema cannot be applied")
	}
	for len(v.Causes) > 0 && !saysEnough(v.ErrorKind) {
		v = slices.MinFunc(v.Causes, func(a, b *jsonschema.ValidationError) int {
			return slices.Compare(a.InstanceLocation, b.InstanceLocation)
		})
	}
	return &Error{Path: pointer(v.InstanceLocation), Rule: rule(v.ErrorKind)}
}

// saysEnough reports whether the causes below a failure would mislead: of alternatives, each fails for its own reason.
func saysEnough(k jsonschema.ErrorKind) bool {
	switch k.(type) {
	case *kind.OneOf, *kind.AnyOf, *kind.Not:
		return true
	}
	return false
}

func rule(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return "missing: " + strings.Join(k.Missing, ", ")
	case *kind.AdditionalProperties:
		return "no claim of this type: " + strings.Join(k.Properties, ", ")
	case *kind.FalseSchema:
		return "no claim of this type, or not beside the others"
	case *kind.Type:
		return "must be of type " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		return fmt.Sprintf("must be one of %v", k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Format:
		return "must be a valid " + k.Want
	case *kind.Pattern:
		return "must be written as " + k.Want
	case *kind.OneOf:
		return "exactly one of the alternatives must hold"
	case *kind.Not:
		return "members that exclude each other"
	case *kind.DependentRequired:
		return "missing beside another member: " + strings.Join(k.Missing, ", ")
	}
	return "breaks the rule " + strings.Join(k.KeywordPath(), "/")
}
