package evidence

import (
	"errors"
	"fmt"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
)

// statement is a statement of the worker, verified with the holder's key.
type statement struct {
	id      string
	jwt     string
	compact string // as presented
	claims  *attestation.WorkerStatement
}

func (j *judge) openStatements() (string, error) {
	seen := make(map[string]bool)
	for i, compact := range j.file.Presentation.Statements {
		s, err := j.memory.statement(compact, j.engagement.verified.Holder)
		if err != nil {
			return "", fmt.Errorf("statement %d: %w", i, err)
		}
		if seen[s.id] {
			return "", fmt.Errorf("statement %d stands twice", i)
		}
		seen[s.id] = true
		j.statements = append(j.statements, *s)
	}
	return fmt.Sprintf("%d statements", len(j.statements)), nil
}

// CheckStatement verifies a statement outside of a file, with the key that the worker's engagement confirms, and returns its ID.
func CheckStatement(compact string, holder keys.Public) (id string, err error) {
	s, err := (*Memory)(nil).statement(compact, holder)
	if err != nil {
		return "", err
	}
	return s.id, nil
}

// statement verifies a statement: an SD-JWT VC that the holder's own key signed, named by its thumbprint, without certificate, issuer
// and confirmation key.
func (m *Memory) statement(compact string, holder keys.Public) (*statement, error) {
	u, err := m.parse(compact)
	if err != nil {
		return nil, err
	}
	v, err := m.verify(u, holder, nil)
	if err != nil {
		return nil, err
	}
	if v.Header.Kid != holder.Thumbprint() || v.Header.X5C != nil {
		return nil, errors.New("the header must name the holder's key by its thumbprint and nothing else")
	}
	for _, name := range []string{"iss", "cnf"} {
		if _, ok := v.Claims[name]; ok {
			return nil, fmt.Errorf("a statement has no claim %s", name)
		}
	}
	vct := attestation.TypeWorkerStatement.VCT()
	if v.Claims["vct"] != vct {
		return nil, sdjwt.ErrVCT
	}
	claims, err := m.decode(vct, v)
	if err != nil {
		return nil, err
	}
	return &statement{id: v.ID, jwt: v.JWT, compact: compact, claims: claims.(*attestation.WorkerStatement)}, nil
}
