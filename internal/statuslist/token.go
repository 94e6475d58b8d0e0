package statuslist

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"akashi/internal/keys"
)

// Typ and MediaType are the type of a Status List Token and its media type (Sections 5.1 and 8.1).
const (
	Typ       = "statuslist+jwt"
	MediaType = "application/statuslist+jwt"
)

// Errors of tokens, in the order of the checks of Section 8.3.
var (
	ErrMalformed = errors.New("status list token: malformed")
	ErrTyp       = errors.New("status list token: typ is not statuslist+jwt")
	ErrSignature = errors.New("status list token: not signed by the expected key")
	ErrClaims    = errors.New("status list token: a required claim is missing or of the wrong kind")
	ErrSubject   = errors.New("status list token: sub is not the uri of the reference")
	ErrExpired   = errors.New("status list token: expired")
	ErrAhead     = errors.New("status list token: iat lies ahead")
	ErrStale     = errors.New("status list token: fetched longer ago than its ttl")
	ErrReference = errors.New("status reference malformed")
)

type tokenClaims struct {
	Subject    string            `json:"sub"`
	IssuedAt   *keys.NumericDate `json:"iat"`
	Expires    *keys.NumericDate `json:"exp,omitempty"`
	TTL        *json.Number      `json:"ttl,omitempty"`
	StatusList *Encoded          `json:"status_list"`
}

// TokenOptions say what stands in a token.
type TokenOptions struct {
	URI            string // of the list, as credentials refer to it
	AggregationURI string // "" for none
	IssuedAt       time.Time
	Expires        time.Time     // zero for none
	TTL            time.Duration // how long it may be cached, in whole seconds; 0 for none
	KeyID          string        // "kid", "" for none
	X5C            []string      // certificate chain without the trust anchor (HAIP 1.0, Section 6.1), nil for none
}

// SignToken makes a Status List Token of the list as it is now.
func SignToken(key *keys.Private, l *List, o TokenOptions) (string, error) {
	if err := checkURI(o.URI); err != nil {
		return "", err
	}
	encoded, err := l.Encode()
	if err != nil {
		return "", fmt.Errorf("status list token: %w", err)
	}
	encoded.AggregationURI = o.AggregationURI
	issued := keys.DateOf(o.IssuedAt)
	claims := tokenClaims{Subject: o.URI, IssuedAt: &issued, StatusList: &encoded}
	if !o.Expires.IsZero() {
		expires := keys.DateOf(o.Expires)
		claims.Expires = &expires
	}
	if o.TTL >= time.Second {
		ttl := json.Number(fmt.Sprint(int64(o.TTL / time.Second)))
		claims.TTL = &ttl
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("status list token: %w", err)
	}
	header := keys.Header{"typ": Typ}
	if o.KeyID != "" {
		header["kid"] = o.KeyID
	}
	if len(o.X5C) > 0 {
		header["x5c"] = o.X5C
	}
	return key.Sign(header, payload)
}

// checkURI takes absolute URLs without fragment; who may be met is up to who fetches.
func checkURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Contains(uri, "#") || len(uri) > 2048 {
		return fmt.Errorf("%w: uri must be an absolute URL", ErrReference)
	}
	return nil
}

// Unverified is a token that was read and not verified.
type Unverified struct{ token *keys.UnverifiedToken }

// maxToken bounds a token: [MaxEntries] do not fit, and need not: what is served to everyone on a timer should be smaller.
const maxToken = 1 << 20

// Parse reads a token as it was fetched, so that the key can be found by its header.
func Parse(compact string) (*Unverified, error) {
	if len(compact) > maxToken {
		return nil, fmt.Errorf("%w: longer than %d octets", ErrTooLarge, maxToken)
	}
	token, err := keys.ParseToken(compact)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &Unverified{token}, nil
}

// Header is the protected header.
func (u *Unverified) Header() keys.UnverifiedHeader { return u.token.Header() }

// UnverifiedFreshUntil is [Token.FreshUntil] as the token states it, for caches: whoever answers for the URI may say how long to keep what it sent.
func (u *Unverified) UnverifiedFreshUntil(fetched time.Time) time.Time {
	var claims tokenClaims
	if err := keys.DecodeJSON(u.token.UnverifiedPayload(), &claims); err != nil {
		return fetched
	}
	t, err := claims.token()
	if err != nil {
		return fetched
	}
	return t.FreshUntil(fetched)
}

// Expect is what the one who relies on a credential expects of its status list.
type Expect struct {
	URI     string     // of the credential's reference
	Algs    []keys.Alg // none: ES256 and EdDSA
	Now     time.Time
	Fetched time.Time     // when the token was fetched; zero: now
	Ahead   time.Duration // how far iat may lie ahead: a minute where zero
	MaxSize int           // octets of the list when inflated: 2 MiB where zero
}

// Token is a verified Status List Token.
type Token struct {
	Subject        string
	AggregationURI string
	IssuedAt       time.Time
	Expires        time.Time     // zero for none
	TTL            time.Duration // 0 for none
	list           *List
}

// Verify checks the token in the order of Section 8.3: type, signature, claims, subject, expiry, age in the cache, and then inflates the list.
func (u *Unverified) Verify(key keys.Public, want Expect) (*Token, error) {
	want = want.withDefaults()
	if u.Header().Typ != Typ {
		return nil, ErrTyp
	}
	verified, err := u.token.Verify(key, want.Algs...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	var claims tokenClaims
	if err := keys.DecodeJSON(verified.Payload, &claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	t, err := claims.token()
	if err != nil {
		return nil, err
	}
	switch {
	case t.Subject != want.URI:
		return nil, ErrSubject
	case !t.Expires.IsZero() && !want.Now.Before(t.Expires):
		return nil, ErrExpired
	case t.IssuedAt.After(want.Now.Add(want.Ahead)):
		return nil, ErrAhead
	case t.TTL > 0 && want.Now.Sub(want.Fetched) > t.TTL:
		return nil, ErrStale
	}
	t.list, err = Decode(*claims.StatusList, want.MaxSize)
	return t, err
}

func (e Expect) withDefaults() Expect {
	if len(e.Algs) == 0 {
		e.Algs = []keys.Alg{keys.ES256, keys.EdDSA}
	}
	if e.Fetched.IsZero() {
		e.Fetched = e.Now
	}
	if e.Ahead <= 0 {
		e.Ahead = time.Minute
	}
	if e.MaxSize <= 0 {
		e.MaxSize = 2 << 20
	}
	return e
}

func (c *tokenClaims) token() (*Token, error) {
	if c.Subject == "" || c.IssuedAt == nil || c.StatusList == nil {
		return nil, ErrClaims
	}
	t := &Token{Subject: c.Subject, AggregationURI: c.StatusList.AggregationURI, IssuedAt: c.IssuedAt.Time()}
	if c.Expires != nil {
		t.Expires = c.Expires.Time()
	}
	if c.TTL != nil {
		seconds, err := c.TTL.Float64()
		const century = 100 * 365 * 24 * 60 * 60
		if err != nil || seconds <= 0 || seconds > century {
			return nil, fmt.Errorf("%w: ttl must be a positive number", ErrClaims)
		}
		t.TTL = time.Duration(seconds * float64(time.Second))
	}
	return t, nil
}

// Status returns the status at the index of a reference.
func (t *Token) Status(idx uint64) (Status, error) { return t.list.Get(idx) }

// Len is the number of entries.
func (t *Token) Len() int { return t.list.Len() }

// FreshUntil is until when a token fetched at that time may be used: the earlier of ttl and exp, or the zero time where
// the token sets no limit.
func (t *Token) FreshUntil(fetched time.Time) time.Time {
	until := t.Expires
	if t.TTL > 0 {
		if byTTL := fetched.Add(t.TTL); until.IsZero() || byTTL.Before(until) {
			until = byTTL
		}
	}
	return until
}

// Reference is the place of one credential in a list (Section 6.2).
type Reference struct {
	Index uint64 `json:"idx"`
	URI   string `json:"uri"`
}

// Claim returns the value of a credential's "status" claim.
func (r Reference) Claim() map[string]any {
	return map[string]any{"status_list": map[string]any{"idx": r.Index, "uri": r.URI}}
}

// ReferenceOf finds the reference in the claims of a credential as [keys.DecodeJSON] reads them. A credential without "status" has none; one
// whose status is of another kind, or malformed, gives an error, since it must not be taken for valid.
func ReferenceOf(claims map[string]any) (*Reference, error) {
	v, ok := claims["status"]
	if !ok {
		return nil, nil
	}
	status, _ := v.(map[string]any)
	list, ok := status["status_list"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: it has no status_list", ErrReference)
	}
	number, isNumber := list["idx"].(json.Number)
	uri, isString := list["uri"].(string)
	idx, err := number.Int64()
	if !isNumber || !isString || err != nil || idx < 0 {
		return nil, fmt.Errorf("%w: idx must be a non-negative integer and uri a string", ErrReference)
	}
	return &Reference{uint64(idx), uri}, checkURI(uri)
}

// Aggregation names the lists of an issuer (Section 9.3), so that all can be fetched ahead.
type Aggregation struct {
	StatusLists []string `json:"status_lists"`
}

// maxAggregation bounds how many lists one answer can make somebody fetch.
const maxAggregation = 4096

// ParseAggregation reads an aggregation.
func ParseAggregation(body []byte) (*Aggregation, error) {
	var a Aggregation
	if err := keys.DecodeJSON(body, &a); err != nil {
		return nil, fmt.Errorf("status list aggregation: %w", err)
	}
	if a.StatusLists == nil || len(a.StatusLists) > maxAggregation {
		return nil, fmt.Errorf("%w: status_lists must be there, with at most %d members", ErrReference, maxAggregation)
	}
	for _, uri := range a.StatusLists {
		if err := checkURI(uri); err != nil {
			return nil, err
		}
	}
	return &a, nil
}
