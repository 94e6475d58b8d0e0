// Package issuertest has what tests of issuers and wallets share: a registry in memory that fails on demand, and the organizations of the
// story with their keys on a trust list.
package issuertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Origin is the name of the registry's log.
const Origin = "registry.example"

// Registry is a registry in memory. It admits what the real one admits, keeps the first record of each slot, and proves what Lookup answers
// under a head over all entries so far. The heads are in no entry of its own log: each closes a log that ends with it.
//
// The callbacks, where set, let a call fail: Before before anything is done, After when the records are stored and only the answer is
// lost. After Blind the auditors have seen nothing yet, and after Freeze nothing more.
type Registry struct {
	*Signers

	List  *trustlist.List          // in force
	Lists []registry.TrustListItem // every version, oldest first
	Now   func() time.Time

	Before, After func(registry.SubmitRequest) error
	BeforeLookup  func([]registry.Key) error
	Alter         func(registry.Key, *registry.MemberProof) // what Lookup answers of a member
	AlterLookup   func(*registry.LookupResponse)            // what Lookup answers
	EraseFails    error                                     // what Erase answers, without doing it
	Unchecked     bool                                      // admit without looking at the submission: for benchmarks

	mu      sync.Mutex
	frozen  *State // from which Lookup answers; nil for one that is made anew
	entries map[registry.Key]*registry.MemberProof
	size    uint64                   // of the log
	Submits []registry.SubmitRequest // every one that was admitted, in order, unless Unchecked
	Lookups []registry.Key           // every key that was asked for
}

// Submit admits records.
func (r *Registry) Submit(ctx context.Context, req registry.SubmitRequest) (*registry.SubmitResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := call(r.Before, req); err != nil {
		return nil, err
	}
	writer, err := r.admit(req)
	if err != nil {
		return nil, err
	}
	resp, err := r.take(req, writer)
	if lost := call(r.After, req); lost != nil {
		return nil, lost
	}
	return resp, err
}

func call[T any](f func(T) error, v T) error {
	if f == nil {
		return nil
	}
	return f(v)
}

// Submitter returns the entity whose key signed a submission.
func (r *Registry) Submitter(req registry.SubmitRequest) (*trustlist.Entity, error) {
	header, err := keys.PeekHeader(req.Submission)
	if err != nil {
		return nil, err
	}
	entity, _, ok := r.List.EntityBySubmissionKey(header.Kid)
	if !ok {
		return nil, errors.New("no such submission key")
	}
	return entity, nil
}

func (r *Registry) admit(req registry.SubmitRequest) (writer string, err error) {
	if strings.Contains(req.Submission, "~") {
		return string(attestation.Worker), r.admitStatement(req)
	}
	header, err := keys.PeekHeader(req.Submission)
	if err != nil {
		return "", err
	}
	entity, key, ok := r.List.EntityBySubmissionKey(header.Kid)
	if !ok {
		return "", errors.New("no such submission key")
	}
	if r.Unchecked {
		return registry.WriterFor(entity.Roles[0], entity.ID), nil
	}
	for _, rec := range req.Records {
		if err := registry.CheckBoxes(rec.A, rec.B); err != nil {
			return "", err
		}
	}
	s, err := registry.CheckSubmission(req.Submission, key, registry.ExpectSubmission{Issuer: entity.ID, Roles: entity.Roles, Origin: Origin, Now: r.Now()}, req.Records)
	if err != nil {
		return "", err
	}
	return s.Writer, nil
}

func (r *Registry) admitStatement(req registry.SubmitRequest) error {
	if len(req.Records) != 1 {
		return errors.New("a statement comes alone")
	}
	ref := req.Records[0].Ref(string(attestation.Worker))
	_, err := r.worker(req.Submission, registry.StatementNonce(ref.K, ref.V))
	return err
}

func (r *Registry) take(req registry.SubmitRequest, writer string) (*registry.SubmitResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.Unchecked {
		r.Submits = append(r.Submits, req)
	}
	var err error
	resp := &registry.SubmitResponse{Checkpoint: "checkpoint"}
	for _, rec := range req.Records {
		result := r.put(writer, rec)
		resp.Results = append(resp.Results, result)
		if result.Status == registry.StatusConflict {
			err = registry.ErrConflict
		}
	}
	return resp, err
}

func (r *Registry) put(writer string, rec registry.Record) registry.SubmitResult {
	k, v := registry.KeyOf(writer, rec.X), registry.ValueOf(rec.A, rec.B)
	if m := r.entries[k]; m != nil {
		if m.Value == v {
			return registry.SubmitResult{Key: k, Index: m.Index, Status: registry.StatusAlready}
		}
		return registry.SubmitResult{Key: k, Index: m.Index, Status: registry.StatusConflict}
	}
	if r.entries == nil {
		r.entries = map[registry.Key]*registry.MemberProof{}
	}
	m := &registry.MemberProof{Index: r.size, Value: v, A: slices.Clone(rec.A), B: slices.Clone(rec.B), HB: registry.HashOf(rec.B)}
	r.entries[k] = m
	r.size++
	return registry.SubmitResult{Key: k, Index: m.Index, Status: registry.StatusLogged}
}

// Put writes a record into a slot as if its writer had submitted it.
func (r *Registry) Put(writer string, rec registry.Record) registry.SubmitResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.put(writer, rec)
}

// Junk writes octets that do not open into rung j of a period.
func (r *Registry) Junk(writer string, period registry.Secret, j int) {
	r.Put(writer, registry.Record{X: registry.SlotSecret(period, j).Find(), A: make([]byte, 12+4096+16), B: []byte{}})
}

// Lookup answers what stands at the keys.
func (r *Registry) Lookup(ctx context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	if err := errors.Join(ctx.Err(), call(r.BeforeLookup, slots)); err != nil {
		return nil, err
	}
	if len(slots) > registry.MaxLookupKeys {
		return nil, fmt.Errorf("%d keys at once", len(slots))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Lookups = append(r.Lookups, slots...)
	st := r.frozen
	if st == nil {
		st = r.state(r.size)
	}
	resp := &registry.LookupResponse{Head: st.Head}
	for _, k := range slots {
		result := registry.LookupResult{Key: k, Proof: st.Prove(k)}
		if m := r.entries[k]; m != nil && st.Covers(m.Index) {
			copied := *m
			copied.Inclusion = st.Inclusion(m.Index)
			if result.Member = &copied; r.Alter != nil {
				r.Alter(k, result.Member)
			}
		}
		resp.Results = append(resp.Results, result)
	}
	if r.AlterLookup != nil {
		r.AlterLookup(resp)
	}
	return resp, nil
}

// State closes all entries of the log.
func (r *Registry) State() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(r.size)
}

// state closes the first entries of the log.
func (r *Registry) state(size uint64) *State {
	entries := make([][]byte, r.size)
	for k, m := range r.entries {
		entries[m.Index] = registry.SlotEntry{K: k, V: m.Value}.Marshal()
	}
	for n, l := range r.Lists {
		entries[l.Index] = registry.ListEntry{N: uint64(n + 1), Hash: registry.HashOf([]byte(l.JWT))}.Marshal()
	}
	return r.Signers.State(entries[:size])
}

// Erase deletes the record of a statement, as the registry does for the worker who made it.
func (r *Registry) Erase(ctx context.Context, req registry.EraseRequest) error {
	if r.EraseFails != nil {
		return r.EraseFails
	}
	x, k := req.Slot()
	holder, err := r.worker(req.Request, registry.EraseNonce(k))
	if err != nil {
		return err
	}
	if _, err := keys.Verify(req.Statement, holder, keys.ES256); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.entries[k]
	if m == nil {
		return errors.New("no such record")
	}
	m.A, m.B, m.Erased, m.X = nil, nil, true, x
	return ctx.Err()
}

// worker checks a bare engagement with a key binding for the registry, and returns the worker's key.
func (r *Registry) worker(bound, nonce string) (keys.Public, error) {
	u, err := sdjwt.Parse(bound)
	if err != nil {
		return keys.Public{}, err
	}
	_, key, err := r.List.EntityForHeader(u.Header(), r.Now())
	if err != nil {
		return keys.Public{}, err
	}
	if len(u.Disclosures()) > 0 {
		return keys.Public{}, errors.New("the engagement must be bare")
	}
	v, err := u.Verify(key, sdjwt.Expect{
		Algs: []keys.Alg{keys.ES256}, VCT: []string{attestation.TypeEngagement.VCT()},
		KeyBinding: &sdjwt.ExpectKeyBinding{Audience: Origin, Nonce: nonce, Now: r.Now()},
	})
	if err != nil {
		return keys.Public{}, err
	}
	return v.Holder, nil
}

// TrustLists answers every version of the trust list.
func (r *Registry) TrustLists(ctx context.Context) (*registry.TrustListsResponse, error) {
	if err := errors.Join(ctx.Err(), call(r.BeforeLookup, nil)); err != nil {
		return nil, err
	}
	return &registry.TrustListsResponse{Lists: r.Lists}, nil
}

// Publish logs the next version of the trust list.
func (r *Registry) Publish(l *trustlist.List) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.List = l
	r.Lists = append(slices.Clone(r.Lists), registry.TrustListItem{JWT: l.JWT, Index: r.size})
	r.size++
}

// Blind lets Lookup answer under a head that covers nothing; Unblind ends it.
func (r *Registry) Blind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = r.state(0)
}

// Freeze lets Lookup answer under a head of now; Unblind ends it.
func (r *Registry) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = r.state(r.size)
}

// Unblind ends Blind and Freeze.
func (r *Registry) Unblind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = nil
}

// Entries returns every member by key.
func (r *Registry) Entries() map[registry.Key]registry.MemberProof {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[registry.Key]registry.MemberProof, len(r.entries))
	for k, m := range maps.All(r.entries) {
		out[k] = *m
	}
	return out
}

// Len returns the number of records.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// Size returns the size of the log: records and trust lists.
func (r *Registry) Size() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}
