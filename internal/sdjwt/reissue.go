package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"akashi/internal/keys"
)

// Reissue signs the payload of an SD-JWT VC again with some visible claims set to other values, for another holder: the digests stay, and with
// them the disclosures, so that what is disclosed of one can be found in the other. The SD-JWT is the issuer's own, from its store; it must
// have no key binding. Batches must not be made this way: the common digests link the credentials (RFC 9901, Section 10.1).
func Reissue(key *keys.Private, header keys.Header, compact string, claims map[string]any) (string, error) {
	u, err := Parse(compact)
	if err != nil {
		return "", err
	}
	if u.keyBinding != "" {
		return "", ErrKeyBindingUnexpected
	}
	payload := maps.Clone(u.claims)
	for name, v := range claims {
		if isReserved(name) {
			return "", ErrReservedName
		}
		payload[name] = v
	}
	if header, err = checkIssue(header, payload); err != nil {
		return "", err
	}
	if containsHidden(payload) {
		return "", errors.New("a claim that is set anew must be visible")
	}
	for _, d := range u.disclosures {
		if _, set := claims[d.Name]; set && !d.IsElement {
			return "", fmt.Errorf("%w: %s is disclosable", ErrNameTaken, d.Name)
		}
	}
	text, err := json.Marshal(payload)
	if err != nil {
		return "", fmt.Errorf("writing the claims: %w", err)
	}
	jwt, err := key.Sign(header, text)
	if err != nil {
		return "", err
	}
	return jwt + strings.TrimPrefix(compact, u.jwt), nil
}
