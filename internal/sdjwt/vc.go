package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Errors of the rules of SD-JWT VC (Section 2.2) and of the time claims (RFC 7519, Sections 4.1.4 and 4.1.5).
var (
	ErrType             = errors.New("header typ is not the expected one")
	ErrNeverDisclosable = errors.New("a claim that must always be visible is selectively disclosable")
	ErrVCT              = errors.New("vct is missing or not one of the expected types")
	ErrAkaVCTs          = errors.New("aka_vcts must be a non-empty array of types other than vct")
	ErrClaim            = errors.New("a registered claim has a value of the wrong kind")
	ErrExpired          = errors.New("expired")
	ErrNotYetValid      = errors.New("not valid yet")
)

// neverDisclosable are the claims that are always visible, with everything inside them (SD-JWT VC, Section 2.2.2.2).
var neverDisclosable = map[string]bool{
	"iss": true, "nbf": true, "exp": true, "cnf": true, "vct": true, "vct#integrity": true, "aka_vcts": true, "status": true,
}

// checkVisible applies the rule of neverDisclosable to what was received: no such claim came out of a disclosure, and none has digests
// inside, also undisclosed ones.
func checkVisible(payload map[string]any, disclosed []DisclosedClaim) error {
	for _, d := range disclosed {
		if name, _ := d.Path[0].(string); neverDisclosable[name] {
			return fmt.Errorf("%w: %s", ErrNeverDisclosable, name)
		}
	}
	for name := range neverDisclosable {
		if v, ok := payload[name]; ok && containsDigests(v) {
			return fmt.Errorf("%w: %s", ErrNeverDisclosable, name)
		}
	}
	return nil
}

func containsDigests(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if isReserved(name) || containsDigests(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, containsDigests)
	}
	return false
}

// checkTypes checks the form of iss, vct and aka_vcts.
func checkTypes(claims map[string]any) error {
	if vct, _ := claims["vct"].(string); vct == "" {
		return fmt.Errorf("%w: it must be a non-empty string", ErrVCT)
	}
	for _, name := range []string{"iss", "vct#integrity"} {
		if v, ok := claims[name]; ok {
			if s, _ := v.(string); s == "" {
				return fmt.Errorf("%w: %s must be a non-empty string", ErrClaim, name)
			}
		}
	}
	_, err := akaVCTs(claims)
	return err
}

// akaVCTs returns the further types of a credential.
func akaVCTs(claims map[string]any) ([]string, error) {
	v, ok := claims["aka_vcts"]
	if !ok {
		return nil, nil
	}
	array, _ := v.([]any)
	types := make([]string, 0, len(array))
	for _, element := range array {
		s, _ := element.(string)
		if s == "" || s == claims["vct"] || slices.Contains(types, s) {
			return nil, ErrAkaVCTs
		}
		types = append(types, s)
	}
	if len(types) == 0 {
		return nil, ErrAkaVCTs
	}
	return types, nil
}

// checkVCT matches vct, or one of aka_vcts, with the types asked for, byte by byte.
func checkVCT(claims map[string]any, want []string) error {
	if err := checkTypes(claims); err != nil {
		return err
	}
	if want == nil {
		return nil
	}
	types, err := akaVCTs(claims)
	if err != nil {
		return err
	}
	vct, _ := claims["vct"].(string)
	for _, t := range append(types, vct) {
		if slices.Contains(want, t) {
			return nil
		}
	}
	return ErrVCT
}

// checkTimes reads iat, nbf and exp and, where now is given, judges the last two.
func checkTimes(claims map[string]any, now time.Time) error {
	var at [3]time.Time
	for i, name := range []string{"iat", "nbf", "exp"} {
		v, ok := claims[name]
		if !ok {
			continue
		}
		var err error
		if at[i], err = numericDate(v); err != nil {
			return fmt.Errorf("%w: %s must be a number of seconds", ErrClaim, name)
		}
	}
	if now.IsZero() {
		return nil
	}
	if nbf := at[1]; !nbf.IsZero() && now.Before(nbf) {
		return ErrNotYetValid
	}
	if exp := at[2]; !exp.IsZero() && !now.Before(exp) {
		return ErrExpired
	}
	return nil
}

// numericDate reads a NumericDate (RFC 7519, Section 2): seconds since 1970, possibly with a fraction.
func numericDate(v any) (time.Time, error) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, ErrClaim
	}
	const limit = 1 << 40 // the year 36812
	if whole, err := n.Int64(); err == nil && whole >= -limit && whole <= limit {
		return time.Unix(whole, 0), nil
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > limit {
		return time.Time{}, ErrClaim
	}
	whole, fraction := math.Modf(f)
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}
