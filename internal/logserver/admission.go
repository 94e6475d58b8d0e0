package logserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

var (
	// ErrNotAdmitted is returned for submissions whose sender may not write: the wrapped error says why.
	ErrNotAdmitted = errors.New("submission refused")
	errNoList      = errors.New("no trust list is admitted yet: nobody can write")
	errRequest     = errors.New("request not understood")
)

// keyBindingAge is how old the key binding of a worker's statement may be.
const keyBindingAge = 5 * time.Minute

// admit checks a submission and puts it before the sequencer. Nothing of a submission that is turned away has any effect.
func (s *Server) admit(ctx context.Context, req *registry.SubmitRequest) (*job, error) {
	j, err := s.check(req)
	if err != nil {
		return nil, err
	}
	j.trace = trace.SpanContextFromContext(ctx)
	if err := s.gate.admit(j.pass, func() error { return s.enqueue(j) }); err != nil {
		return nil, err
	}
	return j, nil
}

// check judges a submission by itself, under the trust list in force.
func (s *Server) check(req *registry.SubmitRequest) (*job, error) {
	if err := s.checkSpace(); err != nil {
		return nil, err
	}
	list := s.inForce()
	if list == nil {
		return nil, retryError{errNoList, s.cfg.RetryInterval}
	}
	if n := len(req.Records); n == 0 || n > registry.MaxRecords {
		return nil, fmt.Errorf("%w: %w", errRequest, registry.ErrSubmissionCount)
	}
	for i, r := range req.Records {
		if err := registry.CheckBoxes(r.A, r.B); err != nil {
			return nil, fmt.Errorf("%w: record %d: %w", errRequest, i, err)
		}
	}
	if strings.Contains(req.Submission, "~") {
		return s.checkStatement(req, list)
	}
	return s.checkSubmission(req, list)
}

// checkSubmission checks a submission JWT by the key that the trust list has for it.
func (s *Server) checkSubmission(req *registry.SubmitRequest, list *trustlist.List) (*job, error) {
	header, err := keys.PeekHeader(req.Submission)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	entity, key, err := s.submitter(list, header.Kid)
	if err != nil {
		return nil, err
	}
	sub, err := registry.CheckSubmission(req.Submission, key, registry.ExpectSubmission{
		Issuer: entity.ID, Roles: writerRoles(entity), Origin: s.cfg.Origin, Now: s.cfg.Now(),
	}, req.Records)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	if sub.Writer == string(attestation.Worker) {
		if err := checkStatementBoxes(req.Records); err != nil {
			return nil, err
		}
	}
	id := registry.HashOf([]byte(req.Submission))
	paths := registry.RecordsPaths(sub.Refs)
	j := &job{
		refs: sub.Refs, jwt: req.Submission, listN: list.N,
		pass: &pass{
			entity: entity.ID, records: len(sub.Refs), expires: sub.Expires,
			jti: registry.HashOf([]byte(entity.ID + "\x00" + sub.ID)),
		},
		recheck: func(l *trustlist.List) error {
			e, _, err := s.submitter(l, header.Kid)
			if err == nil && (e.ID != entity.ID || !mayWriteAs(e, sub.Writer)) {
				err = fmt.Errorf("%w: %w", ErrNotAdmitted, trustlist.ErrUnknownKey)
			}
			return err
		},
	}
	for i, r := range req.Records {
		j.records = append(j.records, &sealedRecord{submission: id, position: i, count: len(req.Records), path: paths[i], a: r.A, b: r.B})
	}
	return j, nil
}

// writerRoles returns the roles under whose names an entity may write. Relays (a watch, an NGO) and support organizations hand on
// statements of workers, sealed, which they need not be able to open, and the registry does not learn from whom. It does nobody good to
// make such records up: a statement takes its slot from its own text and counts only under the signature of the worker who shows it.
func writerRoles(e *trustlist.Entity) []attestation.Role {
	var roles []attestation.Role
	relays := false
	for _, r := range e.Roles {
		relays = relays || r == attestation.Relay || r == attestation.SupportOrganization
		if r != attestation.Relay {
			roles = append(roles, r)
		}
	}
	if relays {
		roles = append(roles, attestation.Worker)
	}
	return roles
}

func mayWriteAs(e *trustlist.Entity, writer string) bool {
	return slices.ContainsFunc(writerRoles(e), func(r attestation.Role) bool { return registry.WriterFor(r, e.ID) == writer })
}

// checkStatementBoxes refuses worker's statements with a box B: there is nobody to deliver to.
func checkStatementBoxes(records []registry.Record) error {
	if slices.ContainsFunc(records, func(r registry.Record) bool { return len(r.B) > 0 }) {
		return fmt.Errorf("%w: a worker's statement has no box B", errRequest)
	}
	return nil
}

// submitter returns the entity whose submission key has that thumbprint, if it may write now.
func (s *Server) submitter(list *trustlist.List, kid string) (*trustlist.Entity, keys.Public, error) {
	refuse := func(err error) (*trustlist.Entity, keys.Public, error) {
		return nil, keys.Public{}, fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	e, key, ok := list.EntityBySubmissionKey(kid)
	if !ok {
		return refuse(errors.New("the trust list has no submission key with this kid"))
	}
	today := attestation.DateOf(s.cfg.Now())
	if today.Before(e.From) || !e.Until.IsZero() && today.After(e.Until) {
		return refuse(fmt.Errorf("%w: the listing of %s does not cover today", trustlist.ErrNotAccredited, e.ID))
	}
	if slices.ContainsFunc(e.Compromised, func(c trustlist.Compromise) bool { return c.Kid == kid }) {
		return refuse(errors.New("the trust list says that this key was compromised"))
	}
	return e, key, nil
}

// checkStatement checks the submission of a worker: the engagement without disclosures, bound to this one record. The engagement and
// the key binding are forgotten after that.
func (s *Server) checkStatement(req *registry.SubmitRequest, list *trustlist.List) (*job, error) {
	if len(req.Records) != 1 {
		return nil, fmt.Errorf("%w: a worker's statement is submitted alone", errRequest)
	}
	if err := checkStatementBoxes(req.Records); err != nil {
		return nil, err
	}
	record := req.Records[0]
	ref := record.Ref(string(attestation.Worker))
	v, err := s.checkWorker(req.Submission, list, registry.StatementNonce(ref.K, ref.V))
	if err != nil {
		return nil, err
	}
	return &job{
		refs: []registry.RecordRef{ref}, records: []*sealedRecord{{count: 1, a: record.A, b: record.B}}, listN: list.N,
		pass:    &pass{records: 1, counter: s.gate.counterOf(v.ID)},
		recheck: func(*trustlist.List) error { return nil }, // engagements outlive the listing of their issuer
	}, nil
}

// checkWorker verifies what a worker asks for under an engagement: the engagement without disclosures, and its key binding with that nonce.
func (s *Server) checkWorker(presentation string, list *trustlist.List, nonce string) (*sdjwt.Verified, error) {
	u, err := sdjwt.Parse(presentation)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(u.Disclosures()) > 0 {
		return nil, fmt.Errorf("%w: send the engagement without disclosures, the registry must not learn them", errRequest)
	}
	now := s.cfg.Now()
	entity, key, err := list.EntityForHeader(u.Header(), now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	v, err := u.Verify(key, sdjwt.Expect{
		Algs: []keys.Alg{keys.ES256, keys.EdDSA}, VCT: []string{attestation.TypeEngagement.VCT()},
		KeyBinding: &sdjwt.ExpectKeyBinding{
			Audience: s.cfg.Origin, Nonce: nonce, Now: now, MaxAge: keyBindingAge, Ahead: registry.SubmissionAhead,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	if iss, _ := v.Claims["iss"].(string); iss == "" || iss != entity.Issuer {
		return nil, fmt.Errorf("%w: the engagement's iss is not that of the entity whose key signed it", ErrNotAdmitted)
	}
	return v, nil
}
