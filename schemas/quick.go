package schemas

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// A check is a schema made ready for the claims of an import, which are many and nearly always right. It is compiled from the same file
// as the library's form and only ever answers that the library would accept: everything it does not accept, and every schema with a
// keyword it does not know, is the library's to judge, which also says what is wrong. The tests hold the two against each other.
type check struct {
	never bool // the schema false

	kind   string   // "type", "" for any
	values []string // "enum" and "const", of strings; nil for any

	pattern    *regexp.Regexp
	format     func(string) bool
	minLength  int
	maxLength  int
	minimum    int64
	maximum    int64
	minItems   int
	maxItems   int
	items      *check
	properties map[string][]*check // all must hold
	named      []namedCheck        // "patternProperties"
	closed     bool                // no other members
	required   []string
	together   [][]string // members that must not all be there: "not" of "required"
	minMembers int

	all []*check // "allOf" of other than objects
}

type namedCheck struct {
	name  *regexp.Regexp
	value *check
}

// errKeyword says that a schema cannot be made into a check.
var errKeyword = errors.New("keyword without a quick form")

const noLimit = 1<<63 - 1

// checks returns the checks of those types that have one, by vct.
var checks = sync.OnceValue(func() map[string]*check {
	out := map[string]*check{}
	for name, schema := range inlined() {
		if c, err := compileCheck(schema); err == nil {
			out["urn:akashi:"+name+":1"] = c
		}
	}
	return out
})

func compileCheck(schema any) (*check, error) {
	c := &check{maxLength: noLimit, minimum: -noLimit, maximum: noLimit, maxItems: noLimit}
	switch s := schema.(type) {
	case bool:
		c.never = !s
		return c, nil
	case map[string]any:
		// "additionalProperties" looks at the members named beside it and not at those of an "allOf".
		if s["additionalProperties"] != nil && s["allOf"] != nil {
			return nil, errKeyword
		}
		return c, c.add(s)
	}
	return nil, errKeyword
}

// add takes the keywords of one schema.
func (c *check) add(schema map[string]any) (err error) {
	for keyword, v := range schema {
		switch keyword {
		case "$schema", "$id", "$comment", "title", "description":
		case "type":
			err = assign(&c.kind, v)
		case "const":
			err = c.allow([]any{v})
		case "enum":
			err = c.allow(v)
		case "pattern":
			c.pattern, err = compilePattern(v)
		case "format":
			err = c.setFormat(v)
		case "minLength":
			err = setInt(&c.minLength, v)
		case "maxLength":
			err = setInt(&c.maxLength, v)
		case "minimum":
			err = setInt(&c.minimum, v)
		case "maximum":
			err = setInt(&c.maximum, v)
		case "minItems":
			err = setInt(&c.minItems, v)
		case "maxItems":
			err = setInt(&c.maxItems, v)
		case "minProperties":
			err = setInt(&c.minMembers, v)
		case "items":
			c.items, err = compileCheck(v)
		case "properties":
			err = c.addProperties(v)
		case "patternProperties":
			err = c.addNamed(v)
		case "additionalProperties", "unevaluatedProperties":
			err = c.close(v)
		case "required":
			var names []string
			names, err = stringsOf(v)
			c.required = append(c.required, names...)
		case "not":
			err = c.addTogether(v)
		case "allOf":
			err = c.addParts(v)
		default:
			return errKeyword
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func assign[T any](to *T, v any) error {
	t, ok := v.(T)
	if !ok {
		return errKeyword
	}
	*to = t
	return nil
}

func setInt[T int | int64](to *T, v any) error {
	n, ok := v.(json.Number)
	if !ok {
		return errKeyword
	}
	i, err := strconv.ParseInt(string(n), 10, 64)
	*to = T(i)
	return err
}

func stringsOf(v any) ([]string, error) {
	list, ok := v.([]any)
	out := make([]string, len(list))
	for i, e := range list {
		var isString bool
		out[i], isString = e.(string)
		ok = ok && isString
	}
	if !ok {
		return nil, errKeyword
	}
	return out, nil
}

func compilePattern(v any) (*regexp.Regexp, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errKeyword
	}
	return regexp.Compile(s)
}

// allow takes an enumeration; of two, which nothing here has, the library judges.
func (c *check) allow(v any) (err error) {
	if c.values != nil {
		return errKeyword
	}
	c.values, err = stringsOf(v)
	return err
}

func (c *check) setFormat(v any) error {
	name, _ := v.(string)
	if name == "date" {
		c.format = isDate
		return nil
	}
	own := formats[name]
	if own == nil {
		return errKeyword
	}
	c.format = func(s string) bool { return own(s) == nil }
	return nil
}

// isDate accepts a full-date (RFC 3339, Section 5.6).
func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func (c *check) addProperties(v any) error {
	properties, ok := v.(map[string]any)
	if !ok {
		return errKeyword
	}
	if c.properties == nil {
		c.properties = make(map[string][]*check, len(properties))
	}
	for name, schema := range properties {
		value, err := compileCheck(schema)
		if err != nil {
			return err
		}
		c.properties[name] = append(c.properties[name], value)
	}
	return nil
}

func (c *check) addNamed(v any) error {
	patterns, ok := v.(map[string]any)
	if !ok {
		return errKeyword
	}
	for pattern, schema := range patterns {
		name, err := regexp.Compile(pattern)
		if err != nil {
			return err
		}
		value, err := compileCheck(schema)
		if err != nil {
			return err
		}
		c.named = append(c.named, namedCheck{name, value})
	}
	return nil
}

func (c *check) close(v any) error {
	if v != false {
		return errKeyword
	}
	c.closed = true
	return nil
}

// addTogether takes a "not" of members that are required.
func (c *check) addTogether(v any) error {
	s, _ := v.(map[string]any)
	if hasBeside(s, "required") {
		return errKeyword
	}
	names, err := stringsOf(s["required"])
	c.together = append(c.together, names)
	return err
}

// addParts takes an "allOf". Parts that speak of members become part of c, so that "unevaluatedProperties" knows their names; a part that
// closes the object for itself, which would be "additionalProperties", has no quick form.
func (c *check) addParts(v any) error {
	parts, ok := v.([]any)
	if !ok {
		return errKeyword
	}
	for _, part := range parts {
		s, _ := part.(map[string]any)
		if s["additionalProperties"] != nil || s["unevaluatedProperties"] != nil {
			return errKeyword
		}
		if s["properties"] != nil || s["required"] != nil || s["not"] != nil {
			if hasScalars(s) {
				return errKeyword
			}
			if err := c.add(s); err != nil {
				return err
			}
			continue
		}
		more, err := compileCheck(part)
		if err != nil {
			return err
		}
		c.all = append(c.all, more)
	}
	return nil
}

// hasScalars tells whether a part of an allOf has a keyword that c can hold once only.
func hasScalars(s map[string]any) bool {
	for keyword := range s {
		switch keyword {
		case "$comment", "title", "description", "properties", "required", "not", "allOf":
		default:
			return true
		}
	}
	return false
}

// accepts reports whether the library accepts v; false says nothing. Members of Go types that JSON does not have are never accepted.
func (c *check) accepts(v any) bool {
	if c.never {
		return false
	}
	ok := false
	switch v := v.(type) {
	case string:
		ok = c.acceptsString(v)
	case bool:
		ok = c.is("boolean")
	case int:
		ok = c.acceptsInt(int64(v))
	case int64:
		ok = c.acceptsInt(v)
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		ok = err == nil && c.acceptsInt(n)
	case map[string]any:
		ok = v != nil && c.is("object") && c.acceptsObject(v)
	case []any:
		ok = v != nil && c.is("array") && c.acceptsArray(v)
	}
	if !ok {
		return false
	}
	for _, more := range c.all {
		if !more.accepts(v) {
			return false
		}
	}
	return true
}

// is tells whether values of the kind, other than strings, can be accepted.
func (c *check) is(kind string) bool { return (c.kind == "" || c.kind == kind) && c.values == nil }

func (c *check) acceptsString(s string) bool {
	if c.kind != "" && c.kind != "string" || !utf8.ValidString(s) {
		return false
	}
	if c.values != nil && !slices.Contains(c.values, s) {
		return false
	}
	if n := utf8.RuneCountInString(s); n < c.minLength || n > c.maxLength {
		return false
	}
	return (c.format == nil || c.format(s)) && (c.pattern == nil || c.pattern.MatchString(s))
}

func (c *check) acceptsInt(n int64) bool {
	return (c.is("integer") || c.is("number")) && n >= c.minimum && n <= c.maximum
}

func (c *check) acceptsArray(array []any) bool {
	if len(array) < c.minItems || len(array) > c.maxItems {
		return false
	}
	for _, element := range array {
		if c.items != nil && !c.items.accepts(element) {
			return false
		}
	}
	return true
}

func (c *check) acceptsObject(object map[string]any) bool {
	if len(object) < c.minMembers {
		return false
	}
	for _, name := range c.required {
		if _, ok := object[name]; !ok {
			return false
		}
	}
	for _, names := range c.together {
		if hasAll(object, names) {
			return false
		}
	}
	for name, v := range object {
		if !c.acceptsMember(name, v) {
			return false
		}
	}
	return true
}

func hasAll(object map[string]any, names []string) bool {
	for _, name := range names {
		if _, ok := object[name]; !ok {
			return false
		}
	}
	return true
}

func (c *check) acceptsMember(name string, v any) bool {
	checks, known := c.properties[name]
	for _, value := range checks {
		if !value.accepts(v) {
			return false
		}
	}
	for _, n := range c.named {
		if n.name.MatchString(name) {
			if known = true; !n.value.accepts(v) {
				return false
			}
		}
	}
	return known || !c.closed
}

// isPlain reports whether the rules of [read] that JSON Schema cannot state are kept; false says nothing.
func isPlain(v any, depth int) bool {
	switch v := v.(type) {
	case bool:
		return true
	case string:
		return !holdsMyNumber(v)
	case json.Number:
		return isPlainInteger(string(v)) && !holdsMyNumber(string(v))
	case int:
		return isPlain(int64(v), depth)
	case int64:
		return v < 1e11 && v > -1e11 // fewer than twelve digits
	case map[string]any:
		if depth >= maxDepth {
			return false
		}
		for name, member := range v {
			if holdsMyNumber(name) || !isPlain(member, depth+1) {
				return false
			}
		}
		return true
	case []any:
		if depth >= maxDepth {
			return false
		}
		for _, element := range v {
			if !isPlain(element, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}
