package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"akashi/internal/keys"
)

// ErrKeyBinding is what every error of the key binding JWT (RFC 9901, Section 7.3) wraps. Each of the others is one rule.
var (
	ErrKeyBinding           = errors.New("key binding refused")
	ErrKeyBindingMissing    = fmt.Errorf("%w: there is none", ErrKeyBinding)
	ErrKeyBindingUnexpected = fmt.Errorf("%w: there is one, but none was asked for", ErrKeyBinding)
	ErrKeyBindingNoKey      = fmt.Errorf("%w: the credential is bound to no key", ErrKeyBinding)
	ErrKeyBindingSignature  = fmt.Errorf("%w: not signed by the key that the credential is bound to", ErrKeyBinding)
	ErrKeyBindingType       = fmt.Errorf("%w: typ is not kb+jwt", ErrKeyBinding)
	ErrKeyBindingClaims     = fmt.Errorf("%w: a claim is missing or of the wrong kind", ErrKeyBinding)
	ErrKeyBindingIat        = fmt.Errorf("%w: made too long ago or in the future", ErrKeyBinding)
	ErrKeyBindingAudience   = fmt.Errorf("%w: made for another audience", ErrKeyBinding)
	ErrKeyBindingNonce      = fmt.Errorf("%w: made for another nonce", ErrKeyBinding)
	ErrKeyBindingSDHash     = fmt.Errorf("%w: made for another presentation", ErrKeyBinding)
)

// Defaults of [ExpectKeyBinding].
const (
	DefaultMaxAge = 5 * time.Minute
	DefaultAhead  = time.Minute
)

// ExpectKeyBinding says that a key binding JWT must be there and what it must be made for.
type ExpectKeyBinding struct {
	Audience string
	Nonce    string
	// AnyAudience is for verifying a stored presentation again, offline: an empty Audience, an empty Nonce and a zero Now are then not compared
	// with anything. It never belongs where a presentation is received.
	AnyAudience bool
	Now         time.Time     // the time at which iat is judged; required unless AnyAudience is set
	MaxAge      time.Duration // zero means DefaultMaxAge
	Ahead       time.Duration // how far iat may lie in the future; zero means DefaultAhead
}

// KeyBindingClaims are the claims of a key binding JWT (RFC 9901, Section 4.3).
type KeyBindingClaims struct {
	Iat    time.Time
	Aud    string
	Nonce  string
	SDHash string
}

// BindKey appends a key binding JWT to a presentation, which must end with its tilde. The holder must be the key in its cnf claim.
//
//	header  {"alg": ..., "typ": "kb+jwt"}
//	payload {"aud": aud, "iat": seconds, "nonce": nonce, "sd_hash": BASE64URL(SHA-256(presentation))}
func BindKey(presentation string, holder *keys.Private, aud, nonce string, iat time.Time) (string, error) {
	return BindKeyWith(presentation, holder, aud, nonce, iat, nil)
}

// BindKeyWith is [BindKey] with further claims, such as those that confirm transaction data; none of them takes the place of its own.
func BindKeyWith(presentation string, holder *keys.Private, aud, nonce string, iat time.Time, further map[string]any) (string, error) {
	u, err := Parse(presentation)
	if err != nil {
		return "", fmt.Errorf("binding a presentation: %w", err)
	}
	if u.keyBinding != "" {
		return "", fmt.Errorf("binding a presentation: %w", ErrKeyBindingUnexpected)
	}
	if bound, err := u.holder(); err != nil || !bound.Equal(holder.Public()) {
		return "", fmt.Errorf("binding a presentation: %w", ErrConfirmationKey)
	}
	claims := make(map[string]any)
	maps.Copy(claims, further)
	maps.Copy(claims, map[string]any{"aud": aud, "iat": iat.Unix(), "nonce": nonce, "sd_hash": digest(presentation)})
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("binding a presentation: %w", err)
	}
	jwt, err := holder.Sign(keys.Header{"typ": TypKeyBinding}, payload)
	if err != nil {
		return "", fmt.Errorf("binding a presentation: %w", err)
	}
	return presentation + jwt, nil
}

// verifyKeyBinding runs RFC 9901, Section 7.3, step 5. Whether there must be a key binding is the caller's decision, so both a missing and an
// unexpected one are errors.
func (u *Unverified) verifyKeyBinding(holder keys.Public, want *ExpectKeyBinding) (*KeyBindingClaims, error) {
	switch {
	case want == nil && u.keyBinding == "":
		return nil, nil
	case want == nil:
		return nil, ErrKeyBindingUnexpected
	case u.keyBinding == "":
		return nil, ErrKeyBindingMissing
	case holder.IsZero():
		return nil, ErrKeyBindingNoKey
	}
	token, err := keys.Verify(u.keyBinding, holder, keys.ES256, keys.EdDSA)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyBindingSignature, err)
	}
	if token.Header.Typ != TypKeyBinding {
		return nil, ErrKeyBindingType
	}
	kb, err := readKeyBinding(token.Payload, want.Now)
	if err != nil {
		return nil, err
	}
	if kb.SDHash != digest(u.presented) {
		return nil, ErrKeyBindingSDHash
	}
	return kb, want.check(kb)
}

// readKeyBinding reads the claims; further ones (transaction data) are allowed. An exp or nbf of its own is honoured.
func readKeyBinding(payload []byte, now time.Time) (*KeyBindingClaims, error) {
	var claims map[string]any
	if err := keys.DecodeJSON(payload, &claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyBindingClaims, err)
	}
	kb := &KeyBindingClaims{}
	for name, field := range map[string]*string{"aud": &kb.Aud, "nonce": &kb.Nonce, "sd_hash": &kb.SDHash} {
		s, ok := claims[name].(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("%w: %s must be a non-empty string", ErrKeyBindingClaims, name)
		}
		*field = strings.Clone(s)
	}
	var err error
	if kb.Iat, err = numericDate(claims["iat"]); err != nil {
		return nil, fmt.Errorf("%w: iat must be a number of seconds", ErrKeyBindingClaims)
	}
	if err := checkTimes(claims, now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyBindingIat, err)
	}
	return kb, nil
}

func (want *ExpectKeyBinding) check(kb *KeyBindingClaims) error {
	stored := want.AnyAudience
	if kb.Aud != want.Audience && !(stored && want.Audience == "") {
		return ErrKeyBindingAudience
	}
	if kb.Nonce != want.Nonce && !(stored && want.Nonce == "") {
		return ErrKeyBindingNonce
	}
	if stored && want.Now.IsZero() {
		return nil
	}
	maxAge, ahead := want.MaxAge, want.Ahead
	if maxAge == 0 {
		maxAge = DefaultMaxAge
	}
	if ahead == 0 {
		ahead = DefaultAhead
	}
	if kb.Iat.Before(want.Now.Add(-maxAge)) || kb.Iat.After(want.Now.Add(ahead)) {
		return ErrKeyBindingIat
	}
	return nil
}
