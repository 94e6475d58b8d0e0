// Package evidencetest is a small registry in memory, with its log, map, witnesses, auditors and trust list, and a worker with an
// engagement, for tests that need evidence. Every byte is made by the packages that the real parties use; only the network is missing.
package evidencetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/prefixmap"
	"akashi/registry/trustlist"
)

// Origin is the name of the registry's log.
const Origin = "registry.test/log"

// Entity ids of the parties.
const (
	EmployerID  = "8990000000001"
	SupportID   = "19登-999999"
	BankID      = "5990000000004"
	AuthorityID = "4990000000005"
	VerifierID  = "3990000000006"
)

// Party is an organization with its keys.
type Party struct {
	ID         string
	Role       attestation.Role
	Issuer     string
	Key        *keys.Private // signs attestations
	Submission *keys.Private // signs submissions
	Types      []attestation.Type
}

// World is a registry and its parties. Its methods fail the test on an error of their own.
type World struct {
	TB  testing.TB
	Now time.Time // of all clocks; witnesses' ones are up to three seconds ahead

	Anchor                             *keys.Private
	Policy, Auditors                   *registry.Policy
	Employer, Support, Bank, Authority *Party
	Verifier                           *Party                    // attests nothing
	Holder, Delivery                   *keys.Private             // the worker's signing and delivery keys
	Statuses                           []trustlist.StatusService // of the next trust list

	Engagement   string // as issued, with all disclosures
	EngagementID string
	Secrets      map[string]registry.Secret // by stream and period, joined by a space
	ContractHash registry.Hash

	logSigner   note.Signer
	cosigners   []note.Signer // witnesses, then auditors
	entries     [][]byte
	hashes      []tlog.Hash // as tlog stores them
	slots       *prefixmap.Map
	stored      map[registry.Key]*storedRecord
	lists       []listed
	checkpoints []*registry.Checkpoint
	head        registry.HeadEntry
	headIndex   uint64
	snapshot    *prefixmap.Snapshot
}

type storedRecord struct {
	ref        registry.RecordRef
	index      uint64
	a, b       []byte
	erased     bool
	submission string
	path       []registry.Hash
	position   int
	count      int
}

type listed struct {
	jwt   string
	index uint64
}

// New returns a world with a trust list of all parties in its log, at the given time. Its policies ask for 3 of 4 witnesses and 2 of 3
// auditors.
func New(tb testing.TB, now time.Time) *World { return newWorld(tb, now, 4, 3, 3, 2) }

// NewLean returns a world with one witness and one auditor, whose files are smaller.
func NewLean(tb testing.TB, now time.Time) *World { return newWorld(tb, now, 1, 1, 1, 1) }

func newWorld(tb testing.TB, now time.Time, witnesses, witnessQuorum, auditors, auditorQuorum int) *World {
	w := &World{
		TB: tb, Now: now, Anchor: Key(tb), Holder: Key(tb), Delivery: Key(tb),
		Secrets: make(map[string]registry.Secret),
		slots:   prefixmap.New(), stored: make(map[registry.Key]*storedRecord),
	}
	w.Employer = newParty(tb, EmployerID, attestation.AcceptingOrganization, attestation.TypeEngagement, attestation.TypeWagePayment,
		attestation.TypeNotificationFiled, attestation.TypeSeparation, attestation.TypeRemedy)
	w.Support = newParty(tb, SupportID, attestation.SupportOrganization, attestation.TypeSupportInterview, attestation.TypeSupportSession)
	w.Bank = newParty(tb, BankID, attestation.Bank, attestation.TypeWageReceipt)
	w.Authority = newParty(tb, AuthorityID, attestation.Authority, attestation.TypeSeparation, attestation.TypeNotificationReceipt)
	w.Verifier = newParty(tb, VerifierID, attestation.Verifier)
	w.Verifier.Issuer = ""
	w.makePolicies(witnesses, witnessQuorum, auditors, auditorQuorum)
	w.AddTrustList(w.Entities()...)
	return w
}

// Key returns a new P-256 key.
func Key(tb testing.TB) *keys.Private {
	tb.Helper()
	k, err := keys.Generate(keys.ES256)
	check(tb, err)
	return k
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newParty(tb testing.TB, id string, role attestation.Role, types ...attestation.Type) *Party {
	return &Party{ID: id, Role: role, Issuer: "https://" + string(role) + ".test", Key: Key(tb), Submission: Key(tb), Types: types}
}

// Entity returns the party's entry for a trust list.
func (p *Party) Entity() *trustlist.Entity {
	return &trustlist.Entity{
		ID: p.ID, Name: map[string]string{"en": string(p.Role)}, Roles: []attestation.Role{p.Role}, Issuer: p.Issuer, Types: p.Types,
		From: attestation.NewDate(2025, 10, 1),
		Keys: []json.RawMessage{p.Key.Public().JWK()}, SubmissionKeys: []json.RawMessage{p.Submission.Public().JWK()},
	}
}

// Entities returns the entries of all parties.
func (w *World) Entities() []*trustlist.Entity {
	var out []*trustlist.Entity
	for _, p := range []*Party{w.Employer, w.Support, w.Bank, w.Authority, w.Verifier} {
		out = append(out, p.Entity())
	}
	return out
}

// Trust returns what a verifier pins.
func (w *World) Trust() evidence.Trust {
	return evidence.Trust{Policy: w.Policy, Auditors: w.Auditors, Anchor: w.Anchor.Public()}
}

func (w *World) makePolicies(witnesses, witnessQuorum, auditors, auditorQuorum int) {
	logKey, logVKey, err := note.GenerateKey(rand.Reader, Origin)
	check(w.TB, err)
	signer, err := note.NewSigner(logKey)
	check(w.TB, err)
	w.logSigner = signer
	w.Policy = w.policy(logVKey, "witness", witnesses, witnessQuorum)
	w.Auditors = w.policy(logVKey, "auditor", auditors, auditorQuorum)
}

func (w *World) policy(logVKey, name string, n, q int) *registry.Policy {
	var members []registry.Member
	for i := range n {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		check(w.TB, err)
		keyName := fmt.Sprintf("%s%d.test", name, i)
		ahead := time.Duration(i) * time.Second
		signer, err := registry.NewCosigner(keyName, key, func() time.Time { return w.Now.Add(ahead) })
		check(w.TB, err)
		w.cosigners = append(w.cosigners, signer)
		members = append(members, registry.Member{Name: fmt.Sprintf("%s%d", name, i), VKey: registry.CosignerVKey(keyName, key.Public().(ed25519.PublicKey))})
	}
	p, err := registry.NewPolicy(logVKey, "", members, q)
	check(w.TB, err)
	return p
}

func (w *World) append(entry []byte) uint64 {
	index := uint64(len(w.entries))
	stored, err := tlog.StoredHashesForRecordHash(int64(index), tlog.RecordHash(entry), w)
	check(w.TB, err)
	w.entries, w.hashes = append(w.entries, entry), append(w.hashes, stored...)
	return index
}

// ReadHashes makes the world a [tlog.HashReader] of its own log.
func (w *World) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(w.hashes)) {
			return nil, errors.New("hash not stored")
		}
		out[i] = w.hashes[n]
	}
	return out, nil
}

func (w *World) inclusion(index, size uint64) []registry.Hash {
	proof, err := tlog.ProveRecord(int64(size), int64(index), w)
	check(w.TB, err)
	out := make([]registry.Hash, len(proof))
	for i, h := range proof {
		out[i] = registry.Hash(h)
	}
	return out
}

// AddTrustList logs the next version of the trust list and closes the epoch.
func (w *World) AddTrustList(entities ...*trustlist.Entity) {
	n := uint64(len(w.lists) + 1)
	jwt, err := trustlist.Sign(w.Anchor, n, w.Now, entities, w.Statuses...)
	check(w.TB, err)
	index := w.append(registry.ListEntry{N: n, Hash: registry.HashOf([]byte(jwt))}.Marshal())
	w.lists = append(w.lists, listed{jwt, index})
	w.CloseEpoch()
}

// CloseEpoch logs a head over all slots before it and publishes the checkpoint with every witness's and auditor's line.
func (w *World) CloseEpoch() {
	snapshot := w.slots.Snapshot()
	h := registry.HeadEntry{
		Epoch: w.head.Epoch + 1, Covered: uint64(len(w.entries)), MapSize: uint64(snapshot.Len()), UnixMilli: w.Now.UnixMilli(),
		ListN: uint64(len(w.lists)), MapRoot: snapshot.Root(), PrevIndex: registry.NoPrevHead,
	}
	if w.head.Epoch > 0 {
		h.PrevIndex, h.PrevHash = w.headIndex, registry.HashOf(w.head.Marshal())
	}
	if w.snapshot != nil {
		w.snapshot.Release()
	}
	w.snapshot, w.head, w.headIndex = snapshot, h, w.append(h.Marshal())
	w.publish()
}

func (w *World) publish() {
	size := int64(len(w.entries))
	root, err := tlog.TreeHash(size, w)
	check(w.TB, err)
	text := fmt.Sprintf("%s\n%d\n%s\n", Origin, size, root)
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{w.logSigner}, w.cosigners...)...)
	check(w.TB, err)
	c, err := registry.OpenCheckpoint(signed, w.Policy, w.Auditors)
	check(w.TB, err)
	w.checkpoints = append(w.checkpoints, c)
}

// Submit logs sealed records as a party's submission and closes the epoch.
func (w *World) Submit(p *Party, records ...registry.Record) {
	w.idle()
	writer := registry.WriterFor(p.Role, p.ID)
	refs := registry.Refs(records, writer)
	submission, err := registry.MakeSubmission(p.Submission, p.ID, Origin, records, writer, w.Now)
	check(w.TB, err)
	paths := registry.RecordsPaths(refs)
	for i, r := range records {
		w.insert(&storedRecord{ref: refs[i], a: r.A, b: r.B, submission: submission, path: paths[i], position: i, count: len(records)})
	}
	w.CloseEpoch()
}

// idle closes an epoch, as a registry at rest does every minute, unless one was closed at this very time: it proves of what is logged next
// that it was not in the log before.
func (w *World) idle() {
	if w.head.UnixMilli != w.Now.UnixMilli() {
		w.CloseEpoch()
	}
}

func (w *World) insert(r *storedRecord) {
	r.index = w.append(registry.SlotEntry{K: r.ref.K, V: r.ref.V}.Marshal())
	if w.slots.Insert(r.ref.K, r.index, r.ref.V) {
		w.stored[r.ref.K] = r
	}
}

// Lose makes the registry forget the boxes of a record; erased says that it was on the worker's request.
func (w *World) Lose(k registry.Key, erased bool) {
	r := w.stored[k]
	r.a, r.b, r.erased = nil, nil, erased
}

// Lookup answers as the registry does, under the newest head.
func (w *World) Lookup(_ context.Context, slots []registry.Key) (*registry.LookupResponse, error) {
	c := w.checkpoints[len(w.checkpoints)-1]
	out := &registry.LookupResponse{Head: registry.HeadProof{
		Entry: w.head.Marshal(), Index: w.headIndex, Inclusion: w.inclusion(w.headIndex, c.Size), Checkpoint: string(c.Note),
	}}
	for _, k := range slots {
		result := registry.LookupResult{Key: k, Proof: w.snapshot.Prove(k)}
		if r := w.stored[k]; r != nil {
			result.Member = w.member(r, c.Size)
		}
		out.Results = append(out.Results, result)
	}
	return out, nil
}

func (w *World) member(r *storedRecord, size uint64) *registry.MemberProof {
	m := &registry.MemberProof{
		Index: r.index, Value: r.ref.V, A: r.a, B: r.b, HB: registry.HashOf(r.b), Erased: r.erased,
		Inclusion: w.inclusion(r.index, size), Submission: r.submission, Path: r.path, Position: r.position, Count: r.count,
	}
	var before *registry.Checkpoint
	for _, c := range slices.Backward(w.checkpoints) { // their times grow with their size
		if c.Size > r.index {
			m.FirstAfter = string(c.Note)
		} else if before == nil {
			before = c
			m.LastBefore = string(c.Note)
		}
	}
	return m
}

// TrustLists answers as the registry does.
func (w *World) TrustLists(context.Context) (*registry.TrustListsResponse, error) {
	c := w.checkpoints[len(w.checkpoints)-1]
	out := &registry.TrustListsResponse{Checkpoint: string(c.Note)}
	for _, l := range w.lists {
		out.Lists = append(out.Lists, registry.TrustListItem{JWT: l.jwt, Index: l.index, Inclusion: w.inclusion(l.index, c.Size)})
	}
	return out, nil
}
