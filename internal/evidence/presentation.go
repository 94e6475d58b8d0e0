package evidence

import (
	"errors"
	"fmt"
	"strings"

	"akashi/internal/keys"
)

// ErrPresentation is returned for a presentation that cannot be used at all.
var ErrPresentation = errors.New("presentation")

// Presentation is what the holder showed: the engagement and the attestations as SD-JWT with key binding, each with the disclosures
// that the holder chose, and the worker's own statements as SD-JWT. An attestation may be a copy under another wallet key. Attestations in an evidence file are in the order of the records that
// they belong to. The same JSON is the presentation file that a wallet writes.
type Presentation struct {
	Engagement   string   `json:"engagement"`
	Attestations []string `json:"attestations,omitempty"`
	Statements   []string `json:"statements,omitempty"`
}

// ParsePresentation reads a presentation file. Nothing in it is verified.
func ParsePresentation(data []byte) (*Presentation, error) {
	var members map[string]any
	if err := keys.DecodeJSONMax(data, &members, MaxFile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPresentation, err)
	}
	for name, v := range members {
		if !(name == "engagement" || name == "attestations" || name == "statements") || v == nil {
			return nil, fmt.Errorf("%w: needs engagement, and at most attestations and statements besides", ErrPresentation)
		}
	}
	p := new(Presentation)
	if err := keys.DecodeJSONMax(data, p, MaxFile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPresentation, err)
	}
	if p.Engagement == "" {
		return nil, fmt.Errorf("%w: has no engagement: present the engagement credential with its key binding", ErrPresentation)
	}
	return p, nil
}

// jwtOf returns the issuer-signed JWT of an SD-JWT.
func jwtOf(compact string) string {
	jwt, _, _ := strings.Cut(compact, "~")
	return jwt
}
