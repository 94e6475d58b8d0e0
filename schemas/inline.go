package schemas

import (
	"maps"
	"strings"
)

// inliner rewrites a schema before it is compiled, so that a value is gone through once and not once for every reference: definitions
// are put where they are referred to, and an allOf of mere lists of properties becomes properties of the object. What the schema accepts
// stays the same.
type inliner struct{ defs map[string]any }

// schema returns the rewritten form of one schema.
func (in inliner) schema(v any) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v // true, false
	}
	if ref, ok := s["$ref"].(string); ok && !hasBeside(s, "$ref") {
		return in.schema(in.defs[ref[strings.LastIndexByte(ref, '/')+1:]])
	}
	out := make(map[string]any, len(s))
	for keyword, v := range s {
		switch keyword {
		case "properties", "patternProperties":
			v = in.named(v)
		case "allOf", "anyOf", "oneOf":
			v = in.list(v)
		case "not", "if", "then", "else", "items", "additionalProperties":
			v = in.schema(v)
		}
		out[keyword] = v
	}
	return mergeAllOf(out)
}

func (in inliner) named(v any) any {
	out := map[string]any{}
	for name, s := range v.(map[string]any) {
		out[name] = in.schema(s)
	}
	return out
}

func (in inliner) list(v any) any {
	var out []any
	for _, s := range v.([]any) {
		out = append(out, in.schema(s))
	}
	return out
}

// mergeAllOf takes the parts of an allOf that only list properties into s, which must not list the same. When nothing else is left that
// could name properties, those that are not listed are refused as additional ones.
func mergeAllOf(s map[string]any) map[string]any {
	parts, _ := s["allOf"].([]any)
	properties, _ := s["properties"].(map[string]any)
	if len(parts) == 0 || properties == nil {
		return s
	}
	merged := maps.Clone(properties)
	for _, part := range parts {
		part, _ := part.(map[string]any)
		names, _ := part["properties"].(map[string]any)
		if names == nil || hasBeside(part, "properties") {
			return s
		}
		for name, v := range names {
			if known, twice := merged[name]; twice {
				v = map[string]any{"allOf": []any{v, known}}
			}
			merged[name] = v
		}
	}
	delete(s, "allOf")
	s["properties"] = merged
	for _, other := range []string{"anyOf", "oneOf", "if", "not", "$ref", "patternProperties"} {
		if _, ok := s[other]; ok {
			return s
		}
	}
	if s["unevaluatedProperties"] == false {
		delete(s, "unevaluatedProperties")
		s["additionalProperties"] = false
	}
	return s
}

// hasBeside reports whether the schema says more than the keyword does.
func hasBeside(s map[string]any, keyword string) bool {
	for name := range s {
		switch name {
		case keyword, "$comment", "title", "description":
		default:
			return true
		}
	}
	return false
}
