package oid4vc

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"akashi/internal/keys"
)

// clockSkew is how far ahead another machine's clock may be.
const clockSkew = time.Minute

// signJWT signs claims with a type and further header members.
func signJWT(key *keys.Private, typ string, header keys.Header, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", typ, err)
	}
	full := keys.Header{"typ": typ}
	for name, v := range header {
		full[name] = v
	}
	return key.Sign(full, payload)
}

func datePointer(t time.Time) *keys.NumericDate {
	d := keys.DateOf(t)
	return &d
}

// randomToken returns 128 random bits in base64url, for jti and the like.
func randomToken() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return b64.EncodeToString(b)
}

// Audience is the "aud" claim: one string or an array of them (RFC 7519, Section 4.1.3).
type Audience []string

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = Audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil || len(many) == 0 {
		return errors.New("aud must be a string or an array of strings")
	}
	*a = many
	return nil
}

// MarshalJSON writes one audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// is tells whether the token is for one audience and nobody else.
func (a Audience) is(audience string) bool { return len(a) == 1 && a[0] == audience && audience != "" }

// algsOrDefault are the algorithms to accept where the caller names none: both of the project.
func algsOrDefault(algs []keys.Alg) []keys.Alg {
	if len(algs) > 0 {
		return algs
	}
	return []keys.Alg{keys.ES256, keys.EdDSA}
}

// window is the time in which a freshly made token is accepted.
type window struct {
	now           time.Time
	maxAge, ahead time.Duration
}

func newWindow(now time.Time, maxAge, ahead time.Duration) window {
	if maxAge <= 0 {
		maxAge = 5 * time.Minute
	}
	if ahead <= 0 {
		ahead = clockSkew
	}
	return window{now, maxAge, ahead}
}

func (w window) contains(iat *keys.NumericDate) bool {
	if iat == nil {
		return false
	}
	t := iat.Time()
	return !t.After(w.now.Add(w.ahead)) && !t.Before(w.now.Add(-w.maxAge))
}

// forgetAfter is when a token of that age is refused for its age, so that its jti need not be remembered any longer.
func (w window) forgetAfter(iat *keys.NumericDate) time.Time {
	return iat.Time().Add(w.maxAge + time.Second)
}

// expired judges exp and nbf, both of which may be absent.
func (w window) expired(exp, nbf *keys.NumericDate) bool {
	return exp != nil && !w.now.Before(exp.Time()) || nbf != nil && nbf.Time().After(w.now.Add(w.ahead))
}

// algAllowed is asked before a key is looked for: the caller names the algorithms, not the token.
func algAllowed(h keys.UnverifiedHeader, algs []keys.Alg) bool {
	return slices.Contains(algs, keys.Alg(h.Alg))
}

// claimReader takes claims out of a verified payload, and members out of a message. Others are ignored, null is a claim that is not there, and wrong
// is that of the first claim of another kind.
type claimReader struct {
	claims map[string]any
	wrong  error
}

func readClaims(payload []byte) (*claimReader, error) {
	r := &claimReader{}
	return r, keys.DecodeJSON(payload, &r.claims)
}

func (r *claimReader) has(name string) bool { return r.claims[name] != nil }

// text returns a claim that is a string, "" for none.
func (r *claimReader) text(name string) string { return claimOf[string](r, name, "a string") }

// number returns a claim that is a number, "" for none.
func (r *claimReader) number(name string) json.Number {
	return claimOf[json.Number](r, name, "a number")
}

// array returns a claim that is an array, nil for none.
func (r *claimReader) array(name string) []any { return claimOf[[]any](r, name, "an array") }

func claimOf[T any](r *claimReader, name, kind string) T {
	v, ok := r.claims[name].(T)
	if !ok && r.has(name) && r.wrong == nil {
		r.wrong = fmt.Errorf("%s must be %s", name, kind)
	}
	return v
}

// date returns a claim that is a NumericDate, nil for none.
func (r *claimReader) date(name string) *keys.NumericDate {
	if !r.has(name) {
		return nil
	}
	number, _ := r.claims[name].(json.Number)
	d := new(keys.NumericDate)
	if err := d.UnmarshalJSON([]byte(number)); err != nil && r.wrong == nil {
		r.wrong = fmt.Errorf("%s: %w", name, err)
	}
	return d
}
