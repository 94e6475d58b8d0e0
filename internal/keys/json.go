package keys

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	maxDepth  = 32
	maxJSON   = 1 << 20
	maxValues = 1 << 19 // a value takes far more memory than its octets
)

// ErrJSON is returned for JSON that is not well formed, is ambiguous, or goes beyond the limits.
var ErrJSON = errors.New("JSON refused")

// DecodeJSON reads one JSON value from outside into v. Beyond what encoding/json asks it refuses duplicate member names at every level,
// members that match a field of v in other letter case, text that is not UTF-8, unpaired surrogates, anything after the value,
// more than 32 levels, more than half a million values, and more than 1 MiB. Numbers that land in an interface are [json.Number].
func DecodeJSON(data []byte, v any) error {
	return DecodeJSONMax(data, v, maxJSON)
}

// DecodeJSONMax is [DecodeJSON] with another limit on the size, for evidence files.
func DecodeJSONMax(data []byte, v any, maxBytes int) error {
	if texts, ok := v.(*map[string]json.RawMessage); ok {
		_, members, err := parseObject(data, maxBytes)
		*texts = members
		return err
	}
	tree, _, err := parse(data, maxBytes)
	if err != nil {
		return err
	}
	return assign(data, tree, v)
}

// parseObject reads an object, or null, as a tree, and the text of each member as a part of data.
func parseObject(data []byte, maxBytes int) (map[string]any, map[string]json.RawMessage, error) {
	p, err := newParser(data, maxBytes)
	if err != nil {
		return nil, nil, err
	}
	p.members = make(map[string]json.RawMessage)
	tree, err := p.whole()
	if err != nil {
		return nil, nil, err
	}
	object, ok := tree.(map[string]any)
	switch {
	case tree == nil:
		return nil, nil, nil
	case !ok:
		return nil, nil, errOtherKind
	}
	return object, p.members, nil
}

// DecodeKnownJSON is [DecodeJSONMax] into a Go type that has a field for every member: others are refused.
func DecodeKnownJSON(data []byte, v any, maxBytes int) error {
	tree, _, err := parse(data, maxBytes)
	if err != nil {
		return err
	}
	return decodeTyped(data, tree, v, true)
}

// CheckSize refuses a text that is too long, or that could hold more values than a reader should make, before anything is made of it.
func CheckSize(data []byte, maxBytes int) error {
	if len(data) > maxBytes {
		return fmt.Errorf("%w: more than %d octets", ErrJSON, maxBytes)
	}
	values := 0
	for _, sign := range []byte("{[,") {
		values += bytes.Count(data, []byte{sign})
	}
	if values > maxValues {
		return fmt.Errorf("%w: more than %d values", ErrJSON, maxValues)
	}
	return nil
}

// DecodeObject is [DecodeJSON] for an object, which null is not, and also returns the text of each member.
func DecodeObject(data []byte) (members map[string]any, texts map[string]json.RawMessage, err error) {
	members, texts, err = parseObject(data, maxJSON)
	if err == nil && members == nil {
		err = errOtherKind
	}
	return members, texts, err
}

// DecodeArray is [DecodeJSON] for an array, and also returns the text of each element.
func DecodeArray(data []byte) (elements []any, texts []json.RawMessage, err error) {
	tree, texts, err := parse(data, maxJSON)
	if err != nil {
		return nil, nil, err
	}
	elements, ok := tree.([]any)
	if !ok {
		return nil, nil, fmt.Errorf("%w: not an array", ErrJSON)
	}
	return elements, texts, nil
}

// parse reads the text as a tree; texts are the elements of an array at the outermost level.
func parse(data []byte, maxBytes int) (tree any, texts []json.RawMessage, err error) {
	p, err := newParser(data, maxBytes)
	if err != nil {
		return nil, nil, err
	}
	tree, err = p.whole()
	return tree, p.top, err
}

func newParser(data []byte, maxBytes int) (*parser, error) {
	if err := CheckSize(data, maxBytes); err != nil {
		return nil, err
	}
	if !utf8.Valid(data) {
		return nil, errNotWellFormed
	}
	return &parser{data: data, text: string(data)}, nil
}

// whole reads the one value that the text is.
func (p *parser) whole() (any, error) {
	tree, err := p.value(0)
	if p.space(); err == nil && p.pos < len(p.data) {
		err = errNotWellFormed
	}
	if err != nil {
		return nil, err
	}
	return tree, nil
}

// assign puts the tree into v. The targets of the verification path need no second pass over the text.
func assign(data []byte, tree, v any) error {
	ok := false
	switch target := v.(type) {
	case *any:
		*target, ok = tree, true
	case *map[string]any:
		*target, ok = tree.(map[string]any)
	case *[]any:
		*target, ok = tree.([]any)
	case *string:
		*target, ok = tree.(string)
	default:
		return decodeTyped(data, tree, v, false)
	}
	if !ok {
		return errOtherKind
	}
	return nil
}

// decodeTyped decodes into a Go type by encoding/json, after the names were compared exactly, which encoding/json does not do.
// With known every member must have a field.
func decodeTyped(data []byte, tree, v any, known bool) error {
	if err := checkNames(reflect.TypeOf(v), tree, known); err != nil {
		return err
	}
	if err := unmarshal(data, v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) { // its text may quote the value
			return fmt.Errorf("%w: member %q must be a %s", ErrJSON, wrong.Field, wrong.Type)
		}
		return fmt.Errorf("%w: %w", ErrJSON, err)
	}
	return nil
}

// unmarshal decodes by encoding/json, with numbers as they are written where v can hold any value: only a decoder does that, and it copies the
// text into a buffer of its own.
func unmarshal(data []byte, v any) error {
	if !holdsAny(reflect.TypeOf(v)) {
		return json.Unmarshal(data, v)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

var holdingAny sync.Map // reflect.Type to bool

// holdsAny tells whether a type has an interface somewhere in it, or may have.
func holdsAny(t reflect.Type) bool {
	if known, ok := holdingAny.Load(t); ok {
		return known.(bool)
	}
	holds := false
	switch {
	case decodesItself(t):
	case t.Kind() == reflect.Struct:
		holdingAny.Store(t, true) // for a type that contains itself
		for n := range t.NumField() {
			holds = holds || holdsAny(t.Field(n).Type)
		}
	case t.Kind() == reflect.Interface:
		holds = true
	case t.Kind() == reflect.Map, t.Kind() == reflect.Pointer, t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		holds = holdsAny(t.Elem())
	}
	holdingAny.Store(t, holds)
	return holds
}

var (
	errNotWellFormed = fmt.Errorf("%w: not well formed", ErrJSON)
	errOtherKind     = fmt.Errorf("%w: another kind of value than expected", ErrJSON)
)

// parser reads text by the grammar of RFC 8259. The strings that it returns are parts of the text.
type parser struct {
	data []byte
	text string // data
	pos  int
	top  []json.RawMessage // the values directly inside the outermost array

	members map[string]json.RawMessage // those of the outermost object; nil where nobody asks for them
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrJSON, maxDepth)
	}
	p.space()
	switch p.peek() {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		return p.string()
	case 't':
		return true, p.literal("true")
	case 'f':
		return false, p.literal("false")
	case 'n':
		return nil, p.literal("null")
	}
	return p.number()
}

func (p *parser) object(depth int) (any, error) {
	object := make(map[string]any)
	for first := true; ; first = false {
		more, err := p.next('}', first)
		if err != nil || !more {
			return object, err
		}
		name, err := p.string()
		if err != nil {
			return nil, err
		}
		if _, ok := object[name]; ok {
			return nil, fmt.Errorf("%w: a member name occurs twice in one object", ErrJSON)
		}
		if p.space(); !p.take(':') {
			return nil, errNotWellFormed
		}
		p.space()
		start := p.pos
		if object[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if depth == 0 && p.members != nil {
			p.members[name] = json.RawMessage(p.data[start:p.pos])
		}
	}
}

func (p *parser) array(depth int) (any, error) {
	array := make([]any, 0, 4)
	if depth == 0 {
		p.top = make([]json.RawMessage, 0, 4)
	}
	for first := true; ; first = false {
		more, err := p.next(']', first)
		if err != nil || !more {
			return array, err
		}
		start := p.pos
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if depth == 0 {
			p.top = append(p.top, json.RawMessage(p.data[start:p.pos]))
		}
		array = append(array, v)
	}
}

// next steps over the opening bracket, which is first, or over the comma to the next member, or over the closing bracket, after which
// there are no more.
func (p *parser) next(closing byte, first bool) (more bool, err error) {
	if first {
		p.pos++
	}
	p.space()
	switch {
	case p.take(closing):
		return false, nil
	case !first && !p.take(','):
		return false, errNotWellFormed
	}
	p.space()
	return true, nil
}

// peek returns the next octet; at the end one that the grammar has nowhere.
func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) literal(name string) error {
	if !strings.HasPrefix(p.text[p.pos:], name) {
		return errNotWellFormed
	}
	p.pos += len(name)
	return nil
}

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\r', '\n':
			p.pos++
		default:
			return
		}
	}
}

// number reads a number: what its octets could be part of, if encoding/json finds it to be one.
func (p *parser) number() (any, error) {
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte("+-.eE0123456789", p.text[p.pos]) >= 0 {
		p.pos++
	}
	if start == p.pos || !json.Valid(p.data[start:p.pos]) {
		return nil, errNotWellFormed
	}
	return json.Number(p.text[start:p.pos]), nil
}

// string reads a string. One with escapes is left to encoding/json.
func (p *parser) string() (string, error) {
	start := p.pos
	if !p.take('"') {
		return "", errNotWellFormed
	}
	plain := true
	for p.skipPlain(); p.peek() != '"'; p.skipPlain() {
		if p.peek() != '\\' { // also at the end
			return "", errNotWellFormed
		}
		plain = false
		p.pos += 2
	}
	p.pos++
	raw := p.text[start:p.pos]
	if plain {
		return raw[1 : len(raw)-1], nil
	}
	var s string
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return "", errNotWellFormed
	}
	// encoding/json turns an unpaired surrogate into U+FFFD, so two different texts would become one.
	if strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsRune(raw, utf8.RuneError) && !strings.Contains(strings.ToLower(raw), `\ufffd`) {
		return "", fmt.Errorf("%w: an unpaired surrogate in a string", ErrJSON)
	}
	return s, nil
}

// plainOctets are those that stand in a string as they are.
var plainOctets = func() (is [256]bool) {
	for c := range is {
		is[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return is
}()

// skipPlain steps over the part of a string that stands for itself.
func (p *parser) skipPlain() {
	text, pos := p.text, p.pos
	for pos < len(text) && plainOctets[text[pos]] {
		pos++
	}
	p.pos = pos
}

// checkNames refuses members that encoding/json would put into a field although the letter case differs (RFC 8259, Section 8.3:
// names are compared code unit by code unit), and with known those that have no field. What decodes itself is left to its own method.
func checkNames(t reflect.Type, tree any, known bool) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if decodesItself(t) {
		return nil
	}
	switch tree := tree.(type) {
	case map[string]any:
		return checkObject(t, tree, known)
	case []any:
		if t.Kind() != reflect.Slice && t.Kind() != reflect.Array {
			return nil
		}
		for _, v := range tree {
			if err := checkNames(t.Elem(), v, known); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkObject(t reflect.Type, object map[string]any, known bool) error {
	switch t.Kind() {
	case reflect.Map:
		for _, v := range object {
			if err := checkNames(t.Elem(), v, known); err != nil {
				return err
			}
		}
	case reflect.Struct:
		fields := fieldsOf(t)
		for name, v := range object {
			field, ok := fields.exact[name]
			switch {
			case !ok && fields.folded(name):
				return fmt.Errorf("%w: member %q is known in other letter case only", ErrJSON, name)
			case !ok && known:
				return fmt.Errorf("%w: member %q is unknown", ErrJSON, name)
			case !ok:
				continue
			}
			if err := checkNames(field, v, known); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
}

// structFields are the JSON names of a struct type with the types behind them, those of embedded structs included.
type structFields struct {
	exact map[string]reflect.Type
}

func (f structFields) folded(name string) bool {
	for known := range f.exact {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

var fieldCache sync.Map // reflect.Type to structFields

func fieldsOf(t reflect.Type) structFields {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.(structFields)
	}
	fields := structFields{exact: make(map[string]reflect.Type)}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		fields.exact[name] = f.Type
	}
	fieldCache.Store(t, fields)
	return fields
}
