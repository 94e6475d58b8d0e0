package issuertest

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/testdata/story"
)

// Clock is a clock that tests set.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// Now returns the time that was set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Set sets the time.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// URL is where the world's issuer is reached.
const URL = "https://issuer.example"

// World is the organizations of the story, their issuer and a registry.
type World struct {
	T        testing.TB
	Clock    *Clock
	Anchor   *keys.Private
	CA       *Authority    // of the issuers' certificates
	Status   *keys.Private // signs the status lists
	Services []trustlist.StatusService
	Entities []*trustlist.Entity
	Registry *Registry
	Orgs     map[string]issuer.Org // by actor
	Store    store.Store
	Issuer   *issuer.Issuer
}

// New makes a world whose issuer works over s. Its clock stands at the day on which the engagements of the story were logged.
func New(t testing.TB, s store.Store) *World {
	t.Helper()
	w := &World{T: t, Clock: &Clock{t: time.Date(2025, 10, 30, 1, 0, 0, 0, time.UTC)}, Anchor: Key(t), CA: NewAuthority(t, "issuers"), Status: Key(t), Orgs: map[string]issuer.Org{}, Store: s}
	w.Services = []trustlist.StatusService{{URI: issuer.StatusLists(URL), Keys: []json.RawMessage{w.Status.Public().JWK()}}}
	for _, p := range story.Parties() {
		if p.Role != attestation.Worker {
			w.addParty(p)
		}
	}
	w.Registry = &Registry{Signers: NewSigners(t, w.Clock.Now), Now: w.Clock.Now}
	w.Publish()
	w.Restart()
	for _, o := range w.Orgs {
		if err := w.Issuer.AddOrg(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// Config returns what the world's issuer works with.
func (w *World) Config() issuer.Config {
	return issuer.Config{Store: w.Store, Registry: w.Registry, Origin: Origin, Policy: w.Registry.Policy, Auditors: w.Registry.Auditors, Now: w.Clock.Now, Log: slog.New(slog.DiscardHandler),
		Status: issuer.StatusSigner{URL: URL, Key: w.Status, X5C: w.CA.Chain(w.T, w.Status)}}
}

// Restart puts a new issuer over the store, as after a crash.
func (w *World) Restart() {
	w.T.Helper()
	i, err := issuer.New(w.Config())
	if err != nil {
		w.T.Fatal(err)
	}
	w.Issuer = i
}

// Publish signs the next version of the trust list.
func (w *World) Publish() {
	w.T.Helper()
	jwt, err := trustlist.Sign(w.Anchor, uint64(len(w.Registry.Lists)+1), w.Clock.Now(), w.Entities, w.Services...)
	if err != nil {
		w.T.Fatal(err)
	}
	list, err := trustlist.Verify(jwt, w.Anchor.Public())
	if err != nil {
		w.T.Fatal(err)
	}
	w.Registry.Publish(list)
}

var types = map[attestation.Role][]attestation.Type{
	attestation.AcceptingOrganization: {attestation.TypeEngagement, attestation.TypeWagePayment, attestation.TypeNotificationFiled, attestation.TypeSeparation, attestation.TypeSupportSession, attestation.TypeSupportInterview},
	attestation.SupportOrganization:   {attestation.TypeSupportSession, attestation.TypeSupportInterview},
	attestation.Bank:                  {attestation.TypeWageReceipt},
	attestation.Authority:             {attestation.TypeSeparation},
}

func (w *World) addParty(p story.Party) {
	signing, submission := Key(w.T), Key(w.T)
	o := issuer.Org{ID: p.ID, Role: p.Role, Name: p.Name, Issuer: URL + issuer.Path(p.ID),
		Signing: jwk(w.T, signing), Submission: jwk(w.T, submission), X5C: w.CA.Chain(w.T, signing), Ledger: []byte("ledger key of " + p.Actor)}
	w.Orgs[p.Actor] = o
	w.Entities = append(w.Entities, &trustlist.Entity{ID: p.ID, Name: p.Name, Roles: []attestation.Role{p.Role}, Issuer: o.Issuer, Types: types[p.Role], From: p.From,
		Keys: []json.RawMessage{signing.Public().JWK()}, SubmissionKeys: []json.RawMessage{submission.Public().JWK()}})
}

// Key makes an ES256 key.
func Key(t testing.TB) *keys.Private {
	t.Helper()
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func jwk(t testing.TB, k *keys.Private) json.RawMessage {
	t.Helper()
	b, err := k.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Worker is a worker's keys and engagement, without a wallet.
type Worker struct {
	Holder, Delivery *keys.Private
	Engagement       string // ID
	SDJWT            string
}

// NewWorker makes the keys of a worker.
func NewWorker(t testing.TB) *Worker { return &Worker{Holder: Key(t), Delivery: Key(t)} }

// Proof returns the worker's delivery proof.
func (p *Worker) Proof(t testing.TB) string {
	t.Helper()
	proof, err := registry.MakeDeliveryProof(p.Holder, p.Delivery.Public(), Origin)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// File returns a file of the story.
func File(t testing.TB, name string) []byte {
	t.Helper()
	data, err := story.File(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Import imports data for the organization of actor and fails the test on an error that is not in the report.
func (w *World) Import(actor string, typ attestation.Type, f issuer.File, opt issuer.Options) *issuer.Report {
	w.T.Helper()
	opt.List = w.Registry.List
	report, err := w.Issuer.Import(context.Background(), w.Orgs[actor].ID, typ, f, opt)
	if err != nil {
		w.T.Fatalf("importing %s: %v", f.Name, err)
	}
	return report
}

// ImportItem imports the file of an item of the timeline.
func (w *World) ImportItem(it story.Item, opt issuer.Options) *issuer.Report {
	w.T.Helper()
	f := issuer.File{Name: it.File, Data: File(w.T, it.File)}
	if it.Mapping != "" {
		f.Mapping = File(w.T, it.Mapping)
	}
	opt.Supersede = it.Correct
	return w.Import(it.Actor, it.Type, f, opt)
}

// Engage issues the engagement A, B or C of the story for the worker.
func (w *World) Engage(name string, p *Worker) *issuer.Report {
	w.T.Helper()
	return p.take(w.EngageKeys(name, p.Holder.Public().JWK(), p.Proof(w.T)))
}

// EngageMore issues a further engagement of employer A for the worker, under another reference and contract.
func (w *World) EngageMore(reference string, p *Worker) *issuer.Report {
	w.T.Helper()
	sheet := bytes.Replace(File(w.T, "engagement/A.csv"), []byte("1042,"), []byte(reference+","), 1)
	sheet = bytes.Replace(sheet, []byte("L5fxGAGyXFpcn3faroc3eLGSIbpD-qlusyeJ4WU13t8"), []byte(registry.HashOf([]byte(reference)).String()), 1)
	return p.take(w.engage("A", sheet, p.Holder.Public().JWK(), p.Proof(w.T)))
}

// EngageKeys issues the engagement A, B or C of the story for the holder of the key.
func (w *World) EngageKeys(name string, holder json.RawMessage, proof string) *issuer.Report {
	w.T.Helper()
	return w.engage(name, File(w.T, "engagement/"+name+".csv"), holder, proof)
}

func (w *World) engage(name string, sheet []byte, holder json.RawMessage, proof string) *issuer.Report {
	w.T.Helper()
	data := story.FillEngagement(sheet, string(holder), proof)
	return w.Import("employer-"+name, attestation.TypeEngagement, issuer.File{Name: name + ".csv", Data: data}, issuer.Options{})
}

// take keeps the engagement that was issued.
func (p *Worker) take(r *issuer.Report) *issuer.Report {
	if len(r.Rows) == 1 {
		p.Engagement, p.SDJWT = r.Rows[0].Engagement, r.Rows[0].SDJWT
	}
	return r
}

// Present makes the worker's presentation file of the engagement with the claims at or below the paths.
func (p *Worker) Present(t testing.TB, audience, nonce string, at time.Time, paths ...string) []byte {
	t.Helper()
	shown, err := sdjwt.Present(p.SDJWT, func(path []any) bool {
		var parts []string
		for _, v := range path {
			parts = append(parts, v.(string))
		}
		for _, want := range paths {
			if strings.HasPrefix(strings.Join(parts, ".")+".", want+".") {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	bound, err := sdjwt.BindKey(shown, p.Holder, audience, nonce, at)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(evidence.Presentation{Engagement: bound})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// StreamsOf are the paths that a worker shows an organization of the role to enrol.
func StreamsOf(role attestation.Role) []string {
	paths := []string{"delivery_proof", "terms.payer_kana"}
	for _, s := range attestation.Streams {
		if s.Role() == role {
			paths = append(paths, "slots."+string(s))
		}
	}
	return paths
}

// Enrol enrols the worker with the organization of actor.
func (w *World) Enrol(actor, reference string, p *Worker) {
	w.T.Helper()
	o := w.Orgs[actor]
	data := p.Present(w.T, o.Issuer, issuer.EnrolNonce, w.Clock.Now(), StreamsOf(o.Role)...)
	if _, err := w.Issuer.Enrol(context.Background(), o.ID, reference, data, w.Registry.List); err != nil {
		w.T.Fatalf("enrolling with %s: %v", actor, err)
	}
}

// Start engages workers A, B and C and enrols them as the story does.
func (w *World) Start() map[string]*Worker {
	w.T.Helper()
	workers := map[string]*Worker{}
	for _, it := range story.Timeline() {
		switch it.Action {
		case "log-engagement":
			workers[it.Engagement] = NewWorker(w.T)
			if r := w.Engage(it.Engagement, workers[it.Engagement]); !r.OK() {
				w.T.Fatalf("engagement %s: %+v", it.Engagement, r.Errors)
			}
		case "enrol":
			w.Enrol(it.Actor, it.Reference, workers[it.Engagement])
		}
	}
	return workers
}
