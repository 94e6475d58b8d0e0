package sdjwt

import (
	"fmt"
	"strings"
)

// Present makes a presentation without key binding from a stored SD-JWT: it keeps the disclosures for which keep says so, and those that hold
// them. keep is asked with each disclosure's path in the fully disclosed claims (names, and int indices in arrays). Nothing is verified.
func Present(compact string, keep func(path []any) bool) (string, error) {
	u, err := Parse(compact)
	if err != nil {
		return "", fmt.Errorf("presenting: %w", err)
	}
	_, p, err := u.place()
	if err != nil {
		return "", fmt.Errorf("presenting: %w", err)
	}
	wanted := make([]bool, len(u.disclosures))
	for i, path := range p.paths {
		if !keep(path) {
			continue
		}
		for j := i; j != noParent && !wanted[j]; j = p.parents[j] {
			wanted[j] = true
		}
	}
	var out strings.Builder
	out.WriteString(u.jwt + "~")
	for i, d := range u.disclosures {
		if wanted[i] {
			out.WriteString(d.Encoded + "~")
		}
	}
	return out.String(), nil
}
