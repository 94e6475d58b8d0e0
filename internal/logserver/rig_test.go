package logserver

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"akashi/attestation"
	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/internal/witness"
	"akashi/registry"
	"akashi/registry/trustlist"
)

const (
	origin     = "registry.example/log"
	employerID = "8990000000001"
	bankID     = "5990000000004"
)

// swap is a server whose handler comes later, and which can be switched off.
type swap struct {
	*httptest.Server
	mu      sync.Mutex
	handler http.Handler
	off     bool
	wait    time.Duration
	gate    chan struct{} // requests wait until it is closed
}

func newSwap(t testing.TB) *swap {
	s := new(swap)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h, off, wait, gate := s.handler, s.off, s.wait, s.gate
		s.mu.Unlock()
		if h == nil || off {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		time.Sleep(wait)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *swap) set(h http.Handler) { s.mu.Lock(); s.handler = h; s.mu.Unlock() }
func (s *swap) down(off bool)      { s.mu.Lock(); s.off = off; s.mu.Unlock() }
func (s *swap) slow(d time.Duration) {
	s.mu.Lock()
	s.wait = d
	s.mu.Unlock()
}

// hold lets requests wait until release is called.
func (s *swap) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = make(chan struct{})
	return sync.OnceFunc(func() { close(s.gate) })
}

// patience is how long tests wait for what takes a moment on a machine with nothing else to do.
const patience = 2 * time.Minute

// rig is a whole registry: log, four witnesses, three auditors, an employer, a bank, a worker's engagement.
type rig struct {
	t         testing.TB
	cfg       Config
	server    *Server
	front     *swap
	witnesses []*swap
	auditors  []*swap
	audits    []*auditor.Auditor
	auditCfgs []auditor.Config
	client    *registry.Client
	anchor    *keys.Private
	entities  []*trustlist.Entity
	employer  *keys.Private // submission key
	bank      *keys.Private
	issuer    *keys.Private // signing key of the employer
	clock     *clock
	skey      string // of the log
}

// clock is a story's clock: it stands unless it is moved.
type clock struct {
	mu   sync.Mutex
	t    time.Time
	skew [4]time.Duration // by which the witnesses' clocks are wrong
}

func (c *clock) wrongBy(witness int) func() time.Time {
	return func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t.Add(c.skew[witness]) }
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) forward(d time.Duration) { c.mu.Lock(); c.t = c.t.Add(d); c.mu.Unlock() }
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
func mustKey(alg keys.Alg) *keys.Private { return must(keys.Generate(alg)) }
func edKey() ed25519.PrivateKey          { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) }
func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a goroutine may log after the test is over
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	r := newWorld(t, change...)
	r.open()
	return r
}

// newWorld is a rig without a server.
func newWorld(t testing.TB, change ...func(*Config)) *rig {
	r := &rig{t: t, front: newSwap(t), clock: &clock{t: time.Date(2026, 5, 25, 9, 0, 0, 0, time.UTC)}}
	r.anchor, r.employer, r.bank, r.issuer = mustKey(keys.ES256), mustKey(keys.EdDSA), mustKey(keys.ES256), mustKey(keys.ES256)
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	var members []registry.Member
	var endpoints []Endpoint
	for i := range 4 {
		name := fmt.Sprintf("witness-%d", i+1)
		w := must(witness.New(witness.Config{Name: "w.example/" + name, Key: edKey(), Store: store.NewMemory(), Logs: []string{vkey}, Now: r.clock.wrongBy(i), Log: quiet(t)}))
		s := newSwap(t)
		s.set(w.Handler())
		r.witnesses = append(r.witnesses, s)
		members = append(members, registry.Member{Name: name, VKey: w.VKey()})
		endpoints = append(endpoints, Endpoint{name, s.URL})
	}
	r.skey = skey
	policy := must(registry.NewPolicy(vkey, "", members, 3))
	var watchers []registry.Member
	var watching []Endpoint
	for i := range 3 {
		name := fmt.Sprintf("auditor-%d", i+1)
		cfg := auditor.Config{
			Name: "a.example/" + name, Key: edKey(), Store: store.NewMemory(), Dir: t.TempDir(), LogURL: r.front.URL,
			Log: policy.Log, Anchor: r.anchor.Public(), Now: r.clock.now, Logger: quiet(t),
		}
		a := must(auditor.New(t.Context(), cfg))
		s := newSwap(t)
		s.set(a.Handler())
		r.auditors, r.audits, r.auditCfgs = append(r.auditors, s), append(r.audits, a), append(r.auditCfgs, cfg)
		watchers = append(watchers, registry.Member{Name: name, VKey: a.VKey()})
		watching = append(watching, Endpoint{name, s.URL})
	}
	r.cfg = Config{
		Dir: t.TempDir(), Origin: origin, LogKey: must(note.NewSigner(skey)), Store: store.NewMemory(), Anchor: r.anchor.Public(),
		Policy: policy, Auditors: must(registry.NewPolicy(vkey, "", watchers, 2)), Witnesses: endpoints, AuditorURLs: watching,
		Now: r.clock.now, Log: quiet(t), EpochInterval: 5 * time.Millisecond, RetryInterval: 50 * time.Millisecond,
		WitnessTimeout: patience, WitnessGrace: patience, // of all that are up, so that what they say hangs on no clock
	}
	for _, c := range change {
		c(&r.cfg)
	}
	r.client = &registry.Client{BaseURL: r.front.URL, Origin: origin}
	r.entities = []*trustlist.Entity{{
		ID: employerID, Name: map[string]string{"en": "Employer A"}, Roles: []attestation.Role{attestation.AcceptingOrganization},
		Issuer: "https://employer.example", Types: []attestation.Type{attestation.TypeEngagement, attestation.TypeWagePayment},
		From: attestation.NewDate(2025, 10, 1), Keys: []json.RawMessage{r.issuer.Public().JWK()},
		SubmissionKeys: []json.RawMessage{r.employer.Public().JWK()},
	}, {
		ID: bankID, Name: map[string]string{"en": "Bank"}, Roles: []attestation.Role{attestation.Bank},
		Issuer: "https://bank.example", Types: []attestation.Type{attestation.TypeWageReceipt},
		From: attestation.NewDate(2025, 10, 1), SubmissionKeys: []json.RawMessage{r.bank.Public().JWK()},
	}}
	return r
}

func (r *rig) open() {
	r.t.Helper()
	s, err := Open(r.t.Context(), r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = s
	r.front.set(s.Handler())
	r.t.Cleanup(func() { _ = s.Close(context.Background()) })
}

// reopen closes the registry and opens it again over the same folder and store.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.server.Close(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// start admits the first trust list.
func (r *rig) start() *rig {
	r.t.Helper()
	r.addList(1)
	return r
}

func (r *rig) addList(n uint64) {
	r.t.Helper()
	jwt := must(trustlist.Sign(r.anchor, n, r.clock.now(), r.entities))
	if err := r.server.AddTrustList(r.t.Context(), jwt); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) waitAudited() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	if err := r.server.WaitAudited(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// record makes a record of the employer's for a fresh slot.
func record(text string) (registry.Record, registry.Secret) {
	var s registry.Secret
	rand.Read(s[:])
	return recordAt(s, employerID, text), s
}

func recordAt(s registry.Secret, writer, text string) registry.Record {
	k := registry.KeyOf(writer, s.Find())
	return registry.Record{X: s.Find(), A: must(registry.SealA(rand.Reader, s, k, text))}
}

func keyOf(rec registry.Record) registry.Key { return registry.KeyOf(employerID, rec.X) }

// sign makes the employer's submission.
func (r *rig) sign(records ...registry.Record) registry.SubmitRequest {
	r.t.Helper()
	jwt, err := registry.MakeSubmission(r.employer, employerID, origin, records, employerID, r.clock.now())
	if err != nil {
		r.t.Fatal(err)
	}
	return registry.SubmitRequest{Submission: jwt, Records: records}
}

func (r *rig) submit(records ...registry.Record) *registry.SubmitResponse {
	r.t.Helper()
	resp, err := r.client.Submit(r.t.Context(), r.sign(records...))
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// post sends a body as it is and returns status and answer.
// octetsOf returns a submission as it is sent.
func octetsOf(req registry.SubmitRequest) []byte { return must(req.Marshal()) }

func (r *rig) post(path string, body []byte) (*http.Response, string) {
	r.t.Helper()
	resp, err := http.Post(r.front.URL+path, "application/json", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(answer)
}

// lookup asks for keys and verifies everything in the answer that does not depend on them.
func (r *rig) lookup(slots ...registry.Key) (*registry.LookupResponse, registry.HeadEntry, *registry.Checkpoint) {
	r.t.Helper()
	resp, err := r.client.Lookup(r.t.Context(), slots)
	if err != nil {
		r.t.Fatal(err)
	}
	cp, head := r.checkHead(resp.Head)
	return resp, head, cp
}

func (r *rig) checkHead(p registry.HeadProof) (*registry.Checkpoint, registry.HeadEntry) {
	r.t.Helper()
	cp, err := registry.OpenCheckpointExactly([]byte(p.Checkpoint), r.cfg.Policy, r.cfg.Auditors)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := registry.VerifyInclusion(p.Entry, p.Index, cp.Size, p.Inclusion, cp.Root); err != nil {
		r.t.Fatal(err)
	}
	entry, err := registry.ParseEntry(p.Entry)
	if err != nil {
		r.t.Fatal(err)
	}
	head := entry.(registry.HeadEntry)
	if head.Covered != p.Index || p.Index != cp.Size-1 {
		r.t.Fatalf("head covers %d at index %d under a checkpoint of %d", head.Covered, p.Index, cp.Size)
	}
	return cp, head
}

// checkMember verifies one member with the registry's own checks.
func (r *rig) checkMember(res registry.LookupResult, rec registry.Record, head registry.HeadEntry, cp *registry.Checkpoint) {
	r.t.Helper()
	i, v, err := registry.VerifyMember(head.MapRoot, res.Key, res.Proof)
	if err != nil {
		r.t.Fatal(err)
	}
	m := res.Member
	if m == nil || m.Index != i || m.Value != v || v != registry.ValueOf(rec.A, rec.B) || !m.MatchesValue() {
		r.t.Fatalf("member %+v does not fit the map's (%d, %v)", m, i, v)
	}
	entry := registry.SlotEntry{K: res.Key, V: v}.Marshal()
	if err := registry.VerifyInclusion(entry, i, cp.Size, m.Inclusion, cp.Root); err != nil {
		r.t.Fatal(err)
	}
	err = registry.CheckSubmissionRecord(m.Submission, r.employer.Public(), employerID, origin, registry.RecordRef{K: res.Key, V: v}, m.Position, m.Count, m.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	after := must(registry.OpenCheckpointExactly([]byte(m.FirstAfter), r.cfg.Policy, r.cfg.Auditors))
	if after.Size <= i {
		r.t.Fatalf("first_after has size %d for entry %d", after.Size, i)
	}
	if m.LastBefore != "" {
		before := must(registry.OpenCheckpointExactly([]byte(m.LastBefore), r.cfg.Policy, r.cfg.Auditors))
		if before.Size > i {
			r.t.Fatalf("last_before has size %d for entry %d", before.Size, i)
		}
	}
}
