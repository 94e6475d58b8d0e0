package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"akashi/internal/evidence"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/registry"
	"akashi/verifier"
)

// judgeYear measures what a verifier does with the response of a wallet that presents the year by OpenID4VP, the second step of an assessment:
// from the octets of the HTTP request to the answer, with decryption, verification of every presentation, the evidence out of the registry's
// answers, the judgement, and the session in a store in memory. The registry's answers, which are looked at anew each time, were fetched
// before; what the wallet does is not measured. One thread does everything, as raw: the signatures that the verifier checks, each once.
func (b *benchRun) judgeYear(ctx context.Context, p *player) error {
	v, err := p.in.cfg.newVerifier(verifier.VPConfig{Store: store.NewMemory(), Statuses: p.in.statuses, Now: p.clock.now})
	if err != nil {
		return err
	}
	replayed := &replayedRegistry{Source: v.Registry, lookups: map[string]*registry.LookupResponse{}}
	v.Registry = replayed
	worker := p.workers[yearEngagement]
	desk := &deskInProcess{handler: v.Handler()}
	outside := worker.wallet.Web
	worker.wallet.Web = desk
	defer func() { worker.wallet.Web = outside }()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	file, err := presentYear(ctx, v, worker) // fetches
	if err != nil {
		return err
	}
	bare, err := replayed.bareChecks(file, v.Trust)
	if err != nil {
		return err
	}
	var times, raws []time.Duration
	for range b.rounds {
		if _, err := presentYear(ctx, v, worker); err != nil {
			return err
		}
		raw, err := timeOf(func() error { return runBare(bare) }, b.slice)
		if err != nil {
			return err
		}
		times, raws = append(times, desk.took), append(raws, raw)
	}
	b.addBeside("vp.judge_year", millis(median(times)), millis(median(raws)))
	return nil
}

// presentYear lets the worker present both steps, and returns the evidence file.
func presentYear(ctx context.Context, v *verifier.VP, worker *storyWorker) (*evidence.File, error) {
	view, err := v.Create(ctx, verifier.CreateOptions{From: storyFrom, To: storyTo})
	for err == nil && !view.Status.IsFinal() {
		if err = worker.answer(ctx, view.Link, nil); err == nil {
			view, err = v.Session(ctx, view.ID)
		}
	}
	if err != nil {
		return nil, err
	}
	found, err := decode[evidence.Result](view.Result)
	if err != nil || found.Assessment == nil {
		return nil, errors.Join(err, fmt.Errorf("the presentation was not judged: %s, %s", view.Status, view.Reason))
	}
	data, err := v.Evidence(ctx, view.ID)
	if err != nil {
		return nil, err
	}
	return evidence.Read(data)
}

// replayedRegistry asks the registry the first time only.
type replayedRegistry struct {
	evidence.Source
	lookups map[string]*registry.LookupResponse // by keys
	lists   *registry.TrustListsResponse
}

func (r *replayedRegistry) Lookup(ctx context.Context, keys []registry.Key) (*registry.LookupResponse, error) {
	var name strings.Builder
	for _, k := range keys {
		name.Write(k[:])
	}
	if known := r.lookups[name.String()]; known != nil {
		return known, nil
	}
	answer, err := r.Source.Lookup(ctx, keys)
	if err == nil {
		r.lookups[name.String()] = answer
	}
	return answer, err
}

func (r *replayedRegistry) TrustLists(ctx context.Context) (lists *registry.TrustListsResponse, err error) {
	if r.lists == nil {
		r.lists, err = r.Source.TrustLists(ctx)
	}
	return r.lists, err
}

// bareChecks returns the signatures that are checked in the making of a file: those in it, the verifier's own seal, and those under the checkpoints that
// the registry gave as bounds of times and that turned out to add nothing.
func (r *replayedRegistry) bareChecks(f *evidence.File, trust evidence.Trust) ([]bareCheck, error) {
	file := *f
	for _, answer := range r.lookups {
		for _, result := range answer.Results {
			if m := result.Member; m != nil {
				file.Notes = append(file.Notes, m.FirstAfter, m.LastBefore)
			}
		}
	}
	slices.Sort(file.Notes)
	file.Notes = slices.CompactFunc(slices.DeleteFunc(file.Notes, func(note string) bool { return note == "" }), sameCheckpoint)
	checks, err := bareChecks(&file, trust)
	if err != nil {
		return nil, err
	}
	c := &bareCollector{anchor: trust.Anchor}
	if c.openList(f.TrustLists[len(f.TrustLists)-1].JWT); f.Seal != "" {
		c.jwt(f.Seal, c.signer(f.Seal))
	}
	return append(checks, c.checks...), c.err
}

// sameCheckpoint compares what was signed, not by whom.
func sameCheckpoint(a, b string) bool {
	textA, _, _ := strings.Cut(a, "\n\n")
	textB, _, _ := strings.Cut(b, "\n\n")
	return textA == textB
}

// deskInProcess brings what a wallet sends straight to a verifier's handler, and keeps how long the last request took there.
type deskInProcess struct {
	handler http.Handler
	took    time.Duration
}

func (d *deskInProcess) Get(ctx context.Context, target string, accept ...string) (*web.Response, error) {
	return d.Do(ctx, web.Request{Method: http.MethodGet, URL: target, Header: http.Header{"Accept": {strings.Join(accept, ", ")}}})
}

func (d *deskInProcess) Do(ctx context.Context, request web.Request) (*web.Response, error) {
	r, err := http.NewRequestWithContext(ctx, request.Method, request.URL, bytes.NewReader(request.Body))
	if err != nil {
		return nil, err
	}
	r.Header, r.RemoteAddr = request.Header.Clone(), "127.0.0.1:1"
	w := &answerInMemory{header: http.Header{}, status: http.StatusOK}
	runtime.GC() // the wallet's garbage is not the verifier's
	begin := time.Now()
	d.handler.ServeHTTP(w, r)
	d.took = time.Since(begin)
	mediaType, _, err := mime.ParseMediaType(w.header.Get("Content-Type"))
	return &web.Response{Status: w.status, MediaType: mediaType, Header: w.header, Body: w.body.Bytes(), URL: request.URL}, err
}

// answerInMemory is the answer of a handler.
type answerInMemory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerInMemory) Header() http.Header              { return w.header }
func (w *answerInMemory) WriteHeader(status int)           { w.status = status }
func (w *answerInMemory) Write(octets []byte) (int, error) { return w.body.Write(octets) }
