package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"sync/atomic"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer"
	"akashi/registry"
	"akashi/testdata/story"
	"akashi/verifier"
	"akashi/wallet"
)

// storyClock shows the time of the story. It only goes forward.
type storyClock struct{ unixNano atomic.Int64 }

func (c *storyClock) now() time.Time { return time.Unix(0, c.unixNano.Load()).UTC() }

func (c *storyClock) set(t time.Time) {
	if n := t.UnixNano(); n > c.unixNano.Load() {
		c.unixNano.Store(n)
	}
}

// storyWorker is one worker with a wallet.
type storyWorker struct {
	wallet     *wallet.Wallet
	engagement string // ID
}

// player drives the story: it sets the clock and lets each party do what the timeline says.
type player struct {
	in      *instance
	clock   *storyClock
	parties map[string]story.Party
	workers map[string]*storyWorker // by engagement
	browser *storyBrowser           // of the workers
	stops   int
}

// storyEpoch is how long an epoch of the story waits for company. The story's clock stands still meanwhile.
const storyEpoch = 2 * time.Millisecond

var storyBegin = time.Date(2025, time.October, 1, 0, 0, 0, 0, time.UTC)

// newPlayer makes and starts an instance in dir whose log, witnesses, auditors and issuers go by the story's clock, with every party of
// the story and a wallet for every worker.
func newPlayer(ctx context.Context, dir string) (*player, error) {
	p := &player{clock: new(storyClock), parties: map[string]story.Party{}, workers: map[string]*storyWorker{}}
	p.clock.set(storyBegin)
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: storyBegin})
	if err != nil {
		return nil, err
	}
	p.in, err = startInstance(ctx, cfg, instanceOptions{now: p.clock.now, epoch: storyEpoch, log: slog.New(slog.DiscardHandler)})
	if err == nil {
		p.browser, err = newStoryBrowser(cfg.Verifier.URL, p.in.client.Transport)
	}
	if err == nil {
		err = p.addParties(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.in.stop(ctx))
	}
	return p, nil
}

func (p *player) addParties(ctx context.Context) error {
	for _, party := range story.Parties() {
		p.parties[party.Actor] = party
		if party.Role == attestation.Worker {
			if err := p.addWorker(ctx, party.Engagement); err != nil {
				return err
			}
			continue
		}
		roles := []attestation.Role{party.Role}
		if party.Role == attestation.Authority {
			roles = append(roles, attestation.Verifier) // the desk to which workers present
		}
		for _, role := range roles {
			if _, err := p.in.admin().AddOrg(ctx, orgRequest{Role: role, ID: party.ID, Name: party.Name, From: party.From}); err != nil {
				return fmt.Errorf("adding %s as %s: %w", party.Actor, role, err)
			}
		}
	}
	return nil
}

// addWorker gives a worker a wallet. It reaches the services over https, as any wallet does, and knows them by the trust list.
func (p *player) addWorker(ctx context.Context, engagement string) error {
	roots := p.in.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	meets := web.NewFetcher(web.FetchOptions{Timeout: time.Minute, RootCAs: roots, DangerouslyAllowLoopback: true})
	cfg := wallet.Config{Store: store.NewMemory(), Registry: p.client(), Web: meets, Now: p.clock.now}
	w, err := wallet.Create(ctx, cfg, p.in.cfg.Registry.Origin, p.in.anchor)
	if err != nil {
		return err
	}
	p.workers[engagement] = &storyWorker{wallet: w}
	return nil
}

func (p *player) client() *registry.Client {
	return &registry.Client{BaseURL: p.in.cfg.Registry.URL, HTTP: p.in.client}
}

// play carries out the timeline. probe, when given, is called at each assess-at item with the clock there and a closed, audited head.
func (p *player) play(ctx context.Context, probe func(story.Item) error) (*demoResult, error) {
	result := &demoResult{cases: map[string]*demoCase{}}
	for _, it := range story.Timeline() {
		if err := p.advance(ctx, it.At); err != nil {
			return nil, storyError(it, err)
		}
		if err := p.step(ctx, it, probe, result); err != nil {
			return nil, storyError(it, err)
		}
	}
	return result, nil
}

// advance moves the clock and lets the registry close an epoch, as one at rest does every minute: it proves of what is logged next that it
// was not in the log before.
func (p *player) advance(ctx context.Context, at time.Time) error {
	if !at.After(p.clock.now()) {
		return nil
	}
	p.stops++
	p.clock.set(at)
	return p.in.registry.CloseEpoch(ctx)
}

func (p *player) step(ctx context.Context, it story.Item, probe func(story.Item) error, result *demoResult) error {
	switch it.Action {
	case "log-engagement":
		return p.logEngagement(ctx, it)
	case "enrol":
		return p.enrol(ctx, it)
	case "import":
		return p.importFile(ctx, it)
	case "statement":
		return p.state(ctx, it)
	case "junk":
		return p.junk(ctx, it)
	case "checkpoint":
		return p.in.registry.CloseEpoch(ctx)
	case "assess-at":
		if err := p.audited(ctx); err != nil || probe == nil {
			return err
		}
		return probe(it)
	case "assess":
		return p.assessInto(ctx, it, result)
	}
	return fmt.Errorf("unknown action %q", it.Action)
}

// audited closes an epoch and waits until the auditors have signed it.
func (p *player) audited(ctx context.Context) error {
	if err := p.in.registry.CloseEpoch(ctx); err != nil {
		return err
	}
	return p.in.registry.WaitAudited(ctx)
}

// importRows imports a file and demands that every row is logged.
func (p *player) importRows(ctx context.Context, it story.Item, data []byte) (*importResponse, error) {
	req := importRequest{Org: p.parties[it.Actor].ID, Type: it.Type, Name: path.Base(it.File), Data: data, Supersede: it.Correct}
	if it.Mapping != "" {
		var err error
		if req.Mapping, err = story.File(it.Mapping); err != nil {
			return nil, err
		}
	}
	resp, err := p.in.admin().Import(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, e := range resp.Report.Errors {
		err = errors.Join(err, e)
	}
	if err == nil && !resp.Report.OK() {
		err = errors.New("the registry gave no receipt")
	}
	return resp, err
}

func (p *player) importFile(ctx context.Context, it story.Item) error {
	data, err := story.File(it.File)
	if err != nil {
		return err
	}
	_, err = p.importRows(ctx, it, data)
	return err
}

// logEngagement issues the engagement for the worker's keys and puts it into the worker's wallet.
func (p *player) logEngagement(ctx context.Context, it story.Item) error {
	w := p.workers[it.Engagement]
	proof, err := w.wallet.DeliveryProof()
	if err != nil {
		return err
	}
	sheet, err := story.File(it.File)
	if err != nil {
		return err
	}
	resp, err := p.importRows(ctx, it, story.FillEngagement(sheet, string(w.wallet.PublicJWK()), proof))
	if err != nil {
		return err
	}
	if len(resp.SDJWTs) != 1 {
		return fmt.Errorf("%d engagements instead of one", len(resp.SDJWTs))
	}
	// The wallet looks the engagement up under an audited head.
	if err := p.in.registry.WaitAudited(ctx); err != nil {
		return err
	}
	item, err := w.wallet.Receive(ctx, resp.SDJWTs[0])
	if err != nil {
		return err
	}
	w.engagement = item.ID
	return nil
}

// enrol lets the worker show the engagement to an organization, with that organization's streams only.
func (p *player) enrol(ctx context.Context, it story.Item) error {
	party := p.parties[it.Actor]
	org, err := p.in.issuer.Org(ctx, party.ID)
	if err != nil {
		return err
	}
	o := wallet.PresentOptions{Audience: org.Issuer, Nonce: issuer.EnrolNonce, Show: []string{"delivery_proof"}}
	for _, s := range attestation.Streams {
		if s.Role() == party.Role {
			o.Show = append(o.Show, "slots."+string(s))
		}
	}
	if party.Role == attestation.Bank {
		o.Show = append(o.Show, "terms.payer_kana")
	}
	shown, err := p.workers[it.Engagement].wallet.Present(ctx, o)
	if err != nil {
		return err
	}
	data, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	list, err := p.in.cfg.latestTrustList()
	if err != nil {
		return err
	}
	_, err = p.in.issuer.Enrol(ctx, party.ID, it.Reference, data, list)
	return err
}

func (p *player) state(ctx context.Context, it story.Item) error {
	s, ok := story.StatementNamed(it.Statement)
	if !ok {
		return fmt.Errorf("no statement %q", it.Statement)
	}
	w := p.workers[it.Engagement]
	_, err := w.wallet.State(ctx, w.engagement, s.Claims)
	return err
}

// junk writes octets that do not open into the first slot of a period, with the actor's own submission key.
func (p *player) junk(ctx context.Context, it story.Item) error {
	party := p.parties[it.Actor]
	org, err := p.in.issuer.Org(ctx, party.ID)
	if err != nil {
		return err
	}
	key, err := keys.ParsePrivate(org.Submission)
	if err != nil {
		return err
	}
	secret, err := p.periodSecret(ctx, it)
	if err != nil {
		return err
	}
	// The outer form of a sealed record, which the registry checks, around random octets.
	s := registry.SlotSecret(secret, 0)
	x := s.Find()
	k := registry.KeyOf(party.ID, x)
	a, err := registry.SealA(rand.Reader, registry.Secret{}, k, "junk")
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(rand.Reader, a); err != nil {
		return err
	}
	records := []registry.Record{{X: x, A: a, B: registry.Bytes{}}}
	jwt, err := registry.MakeSubmission(key, party.ID, p.in.cfg.Registry.Origin, records, party.ID, p.clock.now())
	if err != nil {
		return err
	}
	_, err = p.client().Submit(ctx, registry.SubmitRequest{Submission: jwt, Records: records})
	return err
}

func (p *player) periodSecret(ctx context.Context, it story.Item) (s registry.Secret, err error) {
	w := p.workers[it.Engagement]
	item, err := w.wallet.Show(ctx, w.engagement)
	if err != nil {
		return s, err
	}
	e, err := decode[attestation.Engagement](item.Claims)
	if err != nil {
		return s, err
	}
	text, ok := e.Opened(it.Stream, it.Period)
	if !ok {
		return s, fmt.Errorf("slot %s %s is not in the plan", it.Stream, it.Period)
	}
	return s, s.UnmarshalText([]byte(text))
}

// decode reads JSON of our own.
func decode[T any](data []byte) (*T, error) {
	v := new(T)
	return v, json.Unmarshal(data, v)
}

// assessInto lets the worker make an assessment for submission, and keeps it.
func (p *player) assessInto(ctx context.Context, it story.Item, result *demoResult) error {
	if err := p.audited(ctx); err != nil {
		return err
	}
	c, err := p.submit(ctx, it.Engagement, it.Hide)
	if err != nil {
		return err
	}
	trust, err := p.in.cfg.trust()
	if err != nil {
		return err
	}
	r := verifier.Verify(c.file, trust, verifier.Options{At: p.clock.now()})
	if r.Result != compliance.Pass {
		return fmt.Errorf("the evidence gathered is not whole: %v", r.Checks)
	}
	result.Assessments = append(result.Assessments, r.Assessment)
	result.cases[it.Engagement] = c
	return nil
}

// storyFrom and storyTo are the months under judgement.
const storyFrom, storyTo = attestation.Period("2025-11"), attestation.Period("2026-10")

// assess lets the worker's wallet show the verifier all that it asks for by OpenID4VP: the engagement first, then what its plan leads to. The evidence
// file and what was found are those of the verifier's session.
func (p *player) assess(ctx context.Context, engagement string) (*evidence.File, *evidence.Result, error) {
	view, err := p.in.verifier.Create(ctx, verifier.CreateOptions{From: storyFrom, To: storyTo})
	if err != nil {
		return nil, nil, err
	}
	for !view.Status.IsFinal() {
		if err := p.workers[engagement].answer(ctx, view.Link, nil); err != nil {
			return nil, nil, err
		}
		if view, err = p.in.verifier.Session(ctx, view.ID); err != nil {
			return nil, nil, err
		}
	}
	data, err := p.in.verifier.Evidence(ctx, view.ID)
	if err != nil {
		return nil, nil, err
	}
	file, err := evidence.Read(data)
	if err != nil {
		return nil, nil, err
	}
	found, err := decode[evidence.Result](view.Result)
	return file, found, err
}

// answer shows a verifier the newest of what its link asks for, without some documents.
func (w *storyWorker) answer(ctx context.Context, link string, hide []story.Hidden) error {
	if _, err := w.wallet.Sync(ctx); err != nil {
		return err
	}
	asking, err := w.wallet.OpenRequest(ctx, link)
	if err != nil {
		return err
	}
	o, err := w.without(ctx, hide)
	if err != nil {
		return err
	}
	answer, err := w.wallet.Answer(ctx, asking, o)
	if err != nil {
		return err
	}
	_, _, err = w.wallet.Send(ctx, asking, answer)
	return err
}

// without is how a worker answers who leaves out some documents.
func (w *storyWorker) without(ctx context.Context, hide []story.Hidden) (wallet.AnswerOptions, error) {
	o := wallet.AnswerOptions{Engagement: w.engagement}
	items, err := w.wallet.List(ctx)
	for _, item := range items {
		if slices.Contains(hide, story.Hidden{Type: item.Type, Period: item.Period}) {
			o.Hide = append(o.Hide, item.ID)
		}
	}
	return o, err
}

// trust returns what a verifier pins: both policies and the trust anchor.
func (c *Config) trust() (evidence.Trust, error) {
	return loadTrust(c.dir, c.path(fileAnchor))
}
