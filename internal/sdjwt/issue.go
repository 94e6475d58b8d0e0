package sdjwt

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"akashi/internal/keys"
)

const saltSize = 16 // octets; RFC 9901, Section 9.3 asks for 128 bits

// hidden is a value that its holder may withhold.
type hidden struct{ value any }

// MarshalJSON fails, so that a hidden value inside a Go type that [Issue] does not look into cannot come out in the open.
func (hidden) MarshalJSON() ([]byte, error) {
	return nil, errors.New("a hidden value may only stand in map[string]any and []any")
}

// Hidden marks the value of a member of a map[string]any, or an element of a []any, as selectively disclosable. Both may stand inside other
// hidden values (recursive disclosure, RFC 9901, Section 4.2.6).
func Hidden(v any) any { return hidden{v} }

// Options of [Issue].
type Options struct {
	Rand   io.Reader // source of salts and decoys; nil means crypto/rand
	Decoys int       // decoy digests beside the top level's claims (RFC 9901, Section 4.2.7); nested objects get none
	Plain  bool      // an SD-JWT that is no verifiable credential: the rules of SD-JWT VC are not applied
}

// Issue signs an SD-JWT with all its disclosures and without key binding. Objects are map[string]any, arrays []any; other values are marshalled
// by encoding/json. An object with hidden members gets "_sd" with their sorted digests; without any hidden value neither "_sd" nor "_sd_alg" appear.
// Unless opts.Plain is set, "typ" becomes dc+sd-jwt and the rules of SD-JWT VC for issuers are checked.
func Issue(key *keys.Private, header keys.Header, payload map[string]any, opts Options) (string, error) {
	if !opts.Plain {
		var err error
		if header, err = checkIssue(header, payload); err != nil {
			return "", err
		}
	}
	b := builder{rand: opts.Rand, disclosures: make([]byte, 0, 1<<10)}
	if b.rand == nil {
		b.rand = rand.Reader
	}
	claims, err := b.payload(payload, opts.Decoys)
	if err != nil {
		return "", err
	}
	jwt, err := key.AppendSigned(nil, header, claims)
	if err != nil {
		return "", err
	}
	return string(jwt) + "~" + string(b.disclosures), nil
}

// checkIssue applies the rules of SD-JWT VC (Sections 2.2.1 and 2.2.2) to what is about to be signed.
func checkIssue(header keys.Header, payload map[string]any) (keys.Header, error) {
	if typ, ok := header["typ"]; !ok {
		header = maps.Clone(header)
		if header == nil {
			header = keys.Header{}
		}
		header["typ"] = Typ
	} else if typ != Typ {
		return nil, fmt.Errorf("%w: it must be %s", ErrType, Typ)
	}
	for name := range neverDisclosable {
		if v, ok := payload[name]; ok && containsHidden(v) {
			return nil, fmt.Errorf("%w: %s", ErrNeverDisclosable, name)
		}
	}
	return header, checkTypes(payload)
}

func containsHidden(v any) bool {
	switch v := v.(type) {
	case hidden:
		return true
	case map[string]any:
		for _, member := range v {
			if containsHidden(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, containsHidden)
	}
	return false
}

// builder writes JSON and takes the hidden values out of it on the way.
type builder struct {
	rand        io.Reader
	disclosures []byte // "<disclosure>~" each
	digests     int    // digests in the payload and the disclosures, decoys too
	text        []byte // room for the text of a disclosure, nil while one is written
}

func (b *builder) payload(claims map[string]any, decoys int) ([]byte, error) {
	out, err := b.members(make([]byte, 0, 1024), claims, decoys, 0)
	if err != nil {
		return nil, err
	}
	if b.digests > 0 {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, `"_sd_alg":"sha-256"`...)
	}
	return append(out, '}'), nil
}

// members writes an object up to its closing brace.
func (b *builder) members(out []byte, object map[string]any, decoys, depth int) (_ []byte, err error) {
	var digests []digestText
	out = append(out, '{')
	names := make([]string, 0, 24)
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if isReserved(name) {
			return nil, ErrReservedName
		}
		if h, ok := object[name].(hidden); ok {
			d, err := b.disclose(name, false, h.value, depth)
			if err != nil {
				return nil, err
			}
			digests = append(digests, d)
			continue
		}
		if out, err = appendString(separate(out), name); err != nil {
			return nil, err
		}
		if out, err = b.value(append(out, ':'), object[name], depth+1); err != nil {
			return nil, err
		}
	}
	for range decoys {
		d, err := b.decoy()
		if err != nil {
			return nil, err
		}
		digests = append(digests, d)
	}
	if len(digests) == 0 {
		return out, nil
	}
	// The order must not tell which is which (RFC 9901, Section 4.2.4.1).
	slices.SortFunc(digests, func(a, b digestText) int { return bytes.Compare(a[:], b[:]) })
	out = append(separate(out), `"_sd":[`...)
	for i := range digests {
		out = append(append(append(separate(out), '"'), digests[i][:]...), '"')
	}
	return append(out, ']'), nil
}

// separate adds a comma unless a bracket was just opened.
func separate(out []byte) []byte {
	if last := out[len(out)-1]; last == '{' || last == '[' {
		return out
	}
	return append(out, ',')
}

func (b *builder) value(out []byte, v any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return nil, ErrTooDeep
	}
	switch v := v.(type) {
	case string:
		return appendString(out, v)
	case bool:
		return strconv.AppendBool(out, v), nil
	case int:
		return strconv.AppendInt(out, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(out, v, 10), nil
	case map[string]any:
		if v == nil {
			return append(out, "null"...), nil
		}
		out, err = b.members(out, v, 0, depth)
		return append(out, '}'), err
	case []any:
		if v == nil {
			return append(out, "null"...), nil
		}
		return b.array(out, v, depth)
	}
	return b.other(out, v, depth)
}

func (b *builder) array(out []byte, array []any, depth int) (_ []byte, err error) {
	out = append(out, '[')
	for i, element := range array {
		if i > 0 {
			out = append(out, ',')
		}
		if h, ok := element.(hidden); ok {
			d, err := b.disclose("", true, h.value, depth)
			if err != nil {
				return nil, err
			}
			out = append(append(append(out, `{"...":"`...), d[:]...), `"}`...)
			continue
		}
		if out, err = b.value(out, element, depth+1); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

// other writes a value of any other Go type. Where the text might contain a reserved name, it is read back and looked through.
func (b *builder) other(out []byte, v any, depth int) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing a claim: %w", err)
	}
	if !bytes.Contains(text, []byte(`"_sd`)) && !bytes.Contains(text, []byte(`"..."`)) {
		return append(out, text...), nil
	}
	var tree any
	if err := keys.DecodeJSON(text, &tree); err != nil {
		return nil, fmt.Errorf("writing a claim: %w", err)
	}
	switch tree.(type) {
	case map[string]any, []any:
		return b.value(out, tree, depth)
	}
	return append(out, text...), nil
}

// disclose writes one disclosure and returns its digest (RFC 9901, Sections 4.2.1 to 4.2.3):
//
//	BASE64URL(["<salt>", "<name>", <value>]) for a member, BASE64URL(["<salt>", <value>]) for an element
func (b *builder) disclose(name string, isElement bool, v any, depth int) (d digestText, err error) {
	if _, twice := v.(hidden); twice {
		return d, fmt.Errorf("%w: a value was hidden twice", ErrDisclosure)
	}
	var salt [saltSize]byte
	if _, err := io.ReadFull(b.rand, salt[:]); err != nil {
		return d, fmt.Errorf("drawing a salt: %w", err)
	}
	text := append(b.text[:0], `["`...)
	b.text = nil // disclosures may stand inside this one
	text = append(b64.AppendEncode(text, salt[:]), `",`...)
	if !isElement {
		if text, err = appendString(text, name); err != nil {
			return d, err
		}
		text = append(text, ',')
	}
	if text, err = b.value(text, v, depth+1); err != nil {
		return d, err
	}
	text = append(text, ']')
	start := len(b.disclosures)
	b.disclosures = b64.AppendEncode(b.disclosures, text)
	d = digestOf(b.disclosures[start:])
	b.disclosures = append(b.disclosures, '~')
	b.digests++
	b.text = text
	return d, nil
}

// decoy is the digest of 32 random octets: nothing distinguishes it from the digest of a disclosure.
func (b *builder) decoy() (d digestText, err error) {
	var random [32]byte
	if _, err := io.ReadFull(b.rand, random[:]); err != nil {
		return d, fmt.Errorf("drawing a decoy: %w", err)
	}
	b.digests++
	return digestOf(random[:]), nil
}

// appendString writes a JSON string; what needs no escape takes the short way.
func appendString(out []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: a string is not UTF-8", ErrMalformed)
	}
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(out, '"'), s...), '"'), nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing a claim: %w", err)
	}
	return append(out, text...), nil
}
