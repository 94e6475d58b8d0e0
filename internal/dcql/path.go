package dcql

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"akashi/internal/keys"
)

// b64 is base64url without padding and without a second spelling.
var b64 = base64.RawURLEncoding.Strict()

// Path is a claims path pointer (Section 7): a string selects a member, an int an element, nil all elements of an array.
type Path []any

// Errors of following a path through a credential; all mean that the claim is not there.
var (
	errContainer = errors.New("a path asks for a member of what is no object, or an element of what is no array")
	errNothing   = errors.New("a path selects nothing")
	errTooMany   = errors.New("the paths of a query select too much")
)

// UnmarshalJSON reads a path and takes nothing but strings, non-negative integers and null.
func (p *Path) UnmarshalJSON(data []byte) error {
	var raw []any
	if err := keys.DecodeJSON(data, &raw); err != nil {
		return err
	}
	path := make(Path, len(raw))
	for i, component := range raw {
		path[i] = component
		n, isNumber := component.(json.Number)
		if !isNumber {
			continue
		}
		index, err := strconv.Atoi(n.String())
		if err != nil || !isInteger(n) {
			return errors.New("an index of a path must be a non-negative integer")
		}
		path[i] = index
	}
	*p = path
	return nil
}

func (p Path) validate() error {
	if len(p) == 0 || len(p) > maxPath {
		return fmt.Errorf("path must have 1 to %d components", maxPath)
	}
	for _, component := range p {
		switch c := component.(type) {
		case string, nil:
			continue
		case int:
			if c >= 0 {
				continue
			}
		}
		return errors.New("a component of a path must be a string, a non-negative integer or null")
	}
	return nil
}

func (p Path) isMDoc() bool {
	if len(p) != 2 {
		return false
	}
	_, namespace := p[0].(string)
	_, element := p[1].(string)
	return namespace && element
}

// String is the path as JSON, by which paths are compared.
func (p Path) String() string {
	text, err := json.Marshal([]any(p))
	if err != nil {
		return "invalid path"
	}
	return string(text)
}

// Selected is one claim that a path selected.
type Selected struct {
	Path  Path // its place: strings and ints
	Value any
}

// Select follows the path through processed claims (Section 7.1), whose objects are map[string]any and arrays []any. A component that does
// not fit what it meets, and a path that selects nothing, are errors.
func (p Path) Select(claims map[string]any) ([]Selected, error) {
	left := maxSelected
	return p.follow(claims, &left)
}

// follow is Select with a bound on the places that may still be visited.
func (p Path) follow(claims map[string]any, left *int) ([]Selected, error) {
	current := []Selected{{nil, claims}}
	for _, component := range p {
		var next []Selected
		for _, s := range current {
			found, err := s.step(component)
			if err != nil {
				return nil, err
			}
			if *left -= len(found); *left < 0 {
				return nil, errTooMany
			}
			next = append(next, found...)
		}
		if current = next; len(current) == 0 {
			return nil, errNothing
		}
	}
	return current, nil
}

// step selects below one claim.
func (s Selected) step(component any) ([]Selected, error) {
	if name, ok := component.(string); ok {
		object, ok := s.Value.(map[string]any)
		if !ok {
			return nil, errContainer
		}
		v, present := object[name]
		if !present {
			return nil, nil
		}
		return []Selected{s.below(name, v)}, nil
	}
	array, ok := s.Value.([]any)
	if !ok {
		return nil, errContainer
	}
	if index, ok := component.(int); ok {
		if index < 0 || index >= len(array) {
			return nil, nil
		}
		return []Selected{s.below(index, array[index])}, nil
	}
	if len(array) > maxSelected {
		return nil, errTooMany
	}
	all := make([]Selected, len(array))
	for i, v := range array {
		all[i] = s.below(i, v)
	}
	return all, nil
}

func (s Selected) below(component, value any) Selected {
	path := make(Path, len(s.Path)+1)
	copy(path, s.Path)
	path[len(s.Path)] = component
	return Selected{path, value}
}

// within tells whether one place is the other or lies in it.
func (p Path) within(outer []any) bool {
	if len(p) < len(outer) {
		return false
	}
	for i := range outer {
		if p[i] != outer[i] {
			return false
		}
	}
	return true
}

// isElement tells whether one place is an element, or lies in one, of an array that a path selects.
func (p Path) isElement(array Path) bool {
	if len(p) <= len(array) {
		return false
	}
	for i := range array {
		if p[i] != array[i] && array[i] != nil {
			return false
		}
	}
	_, isIndex := p[len(array)].(int)
	return isIndex
}

// equalValue compares type and value exactly, as claims are read: numbers are json.Number, and an integer is spelt as one.
func equalValue(asked, has any) bool {
	switch has.(type) {
	case string, bool, json.Number:
		return asked == has
	}
	return false
}
