package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"akashi/attestation"
	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/logserver"
	"akashi/internal/store"
	"akashi/internal/witness"
	"akashi/registry"
	"akashi/registry/trustlist"
)

const (
	pipelineEpochs = 4 // in one round
	admittedEpochs = 2
	slowRounds     = 5 // of what takes seconds

	benchOrigin = "log.bench.example"
	benchBankID = "9990000000009"

	benchMapFile = "map" // of package logserver, in the folder of the log
)

// benchPipeline puts entries for fresh slots through log, map and head of a registry on disk, and waits until three of four witnesses,
// over HTTP, have signed. The next epoch is written while the last one is published. Sealed records are not stored.
func benchPipeline(ctx context.Context, b *benchRun) (err error) {
	r, err := newBenchRegistry(ctx, b.epoch, logserver.WithoutRecords)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(ctx)) }()
	if err := r.log(ctx, pipelineEpochs, b.epoch); err != nil { // tables and files grow to their size
		return err
	}
	leaf := make([]byte, 1+72)
	var rates, raws []float64
	for range b.rounds {
		took, err := r.timedLog(ctx, pipelineEpochs, b.epoch)
		if err != nil {
			return err
		}
		rates = append(rates, float64(pipelineEpochs*b.epoch)/took.Seconds())
		raw, err := timeOf(func() error {
			for range 1000 {
				sum := sha256.Sum256(leaf)
				leaf[1] = sum[0]
			}
			return nil
		}, b.slice)
		if err != nil {
			return err
		}
		raws = append(raws, 1000/raw.Seconds())
	}
	b.addBeside("registry.pipeline", median(rates), median(raws))
	return nil
}

// benchAdmitted takes submissions of one record, each under an ES256 JWT of its own, from the octets of the request to the receipt, in
// process; nothing is left out of the store. The submissions are made before the clock runs.
func benchAdmitted(ctx context.Context, b *benchRun) (err error) {
	r, err := newBenchRegistry(ctx, b.epoch, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(ctx)) }()
	verification, err := newES256Verification()
	if err != nil {
		return err
	}
	var rates, raws []float64
	for round := range 1 + min(b.rounds, slowRounds) {
		bodies, err := r.submissions(admittedEpochs * b.epoch)
		if err != nil {
			return err
		}
		raw, err := timeOf(verification, b.slice)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := r.post(ctx, bodies); err != nil {
			return err
		}
		if took := time.Since(start); round > 0 { // the first one warms up
			rates = append(rates, float64(len(bodies))/took.Seconds())
			raws = append(raws, 1/raw.Seconds())
		}
	}
	b.addBeside("registry.pipeline_admitted", median(rates), median(raws))
	return nil
}

// newES256Verification returns the check of the bare signature of a submission, hash included.
func newES256Verification() (func() error, error) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	message := make([]byte, 500)
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, k.Signer().(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		return nil, err
	}
	public := k.Public().Crypto().(*ecdsa.PublicKey)
	return func() error {
		sum := sha256.Sum256(message)
		if !ecdsa.Verify(public, sum[:], r, s) {
			return errBareCheck
		}
		return nil
	}, nil
}

// benchRestart opens a registry with a map in memory of 10^6 keys: from the map's file, as it is after a stop, and without it, as it is
// after a crash before the file was ever written: then the whole log is replayed.
func benchRestart(ctx context.Context, b *benchRun) (err error) {
	r, err := newBenchRegistry(ctx, b.epoch, logserver.WithoutRecords)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(ctx)) }()
	if err := r.log(ctx, (b.mapKeys+b.epoch-1)/b.epoch, b.epoch); err != nil {
		return err
	}
	if err := r.server.WaitAudited(ctx); err != nil {
		return err
	}
	var loads, replays []time.Duration
	for range min(b.rounds, slowRounds) {
		took, err := r.restart(ctx, false)
		if err != nil {
			return err
		}
		loads = append(loads, took)
		if took, err = r.restart(ctx, true); err != nil {
			return err
		}
		replays = append(replays, took)
	}
	b.add("map.restart_1e6", median(loads).Seconds())
	b.add("map.replay_1e6", median(replays).Seconds())
	return nil
}

// benchRegistry is a registry on disk with four witnesses and three auditors over HTTP. The auditors stand for machines of others: they
// sign as witnesses do, without work of their own.
type benchRegistry struct {
	dir    string
	cfg    logserver.Config
	anchor *keys.Private
	bank   *keys.Private
	server *logserver.Server

	stops []func() error // in the order of the starts
}

// newBenchRegistry starts a registry with epochs of that size. What wrap makes of the store is what the registry writes to.
func newBenchRegistry(ctx context.Context, epoch int, wrap func(store.Store) store.Store) (r *benchRegistry, err error) {
	r = new(benchRegistry)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop(ctx))
		}
	}()
	if r.dir, err = os.MkdirTemp("", "akashi-bench-"); err != nil {
		return r, err
	}
	if r.anchor, err = keys.Generate(keys.ES256); err != nil {
		return r, err
	}
	if r.bank, err = keys.Generate(keys.ES256); err != nil {
		return r, err
	}
	if err := r.configure(epoch); err != nil {
		return r, err
	}
	st, err := store.OpenBadger(filepath.Join(r.dir, "store"), nil, nil)
	if err != nil {
		return r, err
	}
	r.stops = append(r.stops, st.Close)
	if r.cfg.Store = st; wrap != nil {
		r.cfg.Store = wrap(st)
	}
	if r.server, err = logserver.Open(ctx, r.cfg); err != nil {
		return r, err
	}
	return r, r.admitBank(ctx)
}

// configure makes the log's key and all members, and everything of the configuration but the store.
func (r *benchRegistry) configure(epoch int) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, benchOrigin)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	transport := &http.Transport{}
	r.stops = append(r.stops, func() error { transport.CloseIdleConnections(); return nil })
	r.cfg = logserver.Config{
		Dir: filepath.Join(r.dir, "log"), Origin: benchOrigin, LogKey: signer, Anchor: r.anchor.Public(), HTTP: &http.Client{Transport: transport},
		Limits: logserver.Limits{EpochRecords: epoch, QueueRecords: 4 * epoch, Concurrent: 4 * epoch, EntityPerMinute: 1e9},
	}
	if r.cfg.Policy, r.cfg.Witnesses, err = r.members(vkey, "witness", "", 4, 3); err != nil {
		return err
	}
	r.cfg.Auditors, r.cfg.AuditorURLs, err = r.members(vkey, "auditor", auditor.KeySuffix, 3, 2)
	return err
}

// members starts n cosigners of the log and returns their policy and where they answer.
func (r *benchRegistry) members(vkey, role, suffix string, n, quorum int) (*registry.Policy, []logserver.Endpoint, error) {
	var members []registry.Member
	var endpoints []logserver.Endpoint
	for i := range n {
		name := fmt.Sprintf("%s-%d", role, i+1)
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		w, err := witness.New(witness.Config{
			Name: name + ".bench.example" + suffix, Key: key, Store: store.NewMemory(), Logs: []string{vkey}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			return nil, nil, err
		}
		url, err := r.serve(w.Handler())
		if err != nil {
			return nil, nil, err
		}
		members = append(members, registry.Member{Name: name, VKey: w.VKey()})
		endpoints = append(endpoints, logserver.Endpoint{Name: name, URL: url})
	}
	policy, err := registry.NewPolicy(vkey, "", members, quorum)
	return policy, endpoints, err
}

// serve answers on a free port of loopback until the registry is stopped, and returns the address.
func (r *benchRegistry) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	r.stops = append(r.stops, func() error {
		err := server.Close()
		if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	})
	return "http://" + l.Addr().String(), nil
}

// admitBank admits a trust list with the one that submits.
func (r *benchRegistry) admitBank(ctx context.Context) error {
	now := time.Now()
	list, err := trustlist.Sign(r.anchor, 1, now, []*trustlist.Entity{{
		ID: benchBankID, Name: map[string]string{"en": "Bank"}, Roles: []attestation.Role{attestation.Bank}, Issuer: "https://bank.bench.example",
		Types: []attestation.Type{attestation.TypeWageReceipt}, From: attestation.DateOf(now), SubmissionKeys: []json.RawMessage{r.bank.Public().JWK()},
	}})
	if err != nil {
		return err
	}
	return r.server.AddTrustList(ctx, list)
}

// stop ends everything and removes the folder.
func (r *benchRegistry) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var err error
	if r.server != nil {
		err = r.server.Close(ctx)
	}
	for i := len(r.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, r.stops[i]())
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

func (r *benchRegistry) log(ctx context.Context, epochs, size int) error {
	_, err := r.timedLog(ctx, epochs, size)
	return err
}

// timedLog logs epochs of fresh slots, two of them under way at a time, and returns how long it took.
func (r *benchRegistry) timedLog(ctx context.Context, epochs, size int) (time.Duration, error) {
	batches := make([][]registry.RecordRef, epochs)
	for i := range batches {
		batches[i] = make([]registry.RecordRef, size)
		for j := range batches[i] {
			rand.Read(batches[i][j].K[:])
			rand.Read(batches[i][j].V[:])
		}
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, refs := range batches {
		group.Go(func() error { return r.server.LogUnchecked(ctx, refs) })
	}
	err := group.Wait()
	return time.Since(start), err
}

// submissions makes requests of one record each: what a bank sends for a wage received, sealed, the size of a real one.
func (r *benchRegistry) submissions(n int) ([][]byte, error) {
	bodies := make([][]byte, n)
	jwt := string(bytes.Repeat([]byte("x"), 1200))
	for i := range bodies {
		var secret registry.Secret
		rand.Read(secret[:])
		x := secret.Find()
		a, err := registry.SealA(rand.Reader, secret, registry.KeyOf(string(attestation.Bank), x), jwt)
		if err != nil {
			return nil, err
		}
		records := []registry.Record{{X: x, A: a}}
		submission, err := registry.MakeSubmission(r.bank, benchBankID, benchOrigin, records, string(attestation.Bank), time.Now())
		if err != nil {
			return nil, err
		}
		if bodies[i], err = (registry.SubmitRequest{Submission: submission, Records: records}).Marshal(); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

// post sends all requests at once and demands a receipt for each.
func (r *benchRegistry) post(ctx context.Context, bodies [][]byte) error {
	h := r.server.Handler()
	group, ctx := errgroup.WithContext(ctx)
	for _, body := range bodies {
		group.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "/v1/entries", bytes.NewReader(body))
			if err != nil {
				return err
			}
			answer := &benchAnswer{status: http.StatusOK}
			h.ServeHTTP(answer, req)
			var receipt registry.SubmitResponse
			if answer.status != http.StatusOK {
				return fmt.Errorf("a submission was answered %d: %s", answer.status, answer.body.Bytes())
			}
			if err := json.Unmarshal(answer.body.Bytes(), &receipt); err != nil || len(receipt.Results) != 1 || receipt.Checkpoint == "" {
				return errors.Join(err, errors.New("a submission has no receipt"))
			}
			return nil
		})
	}
	return group.Wait()
}

// restart stops the registry and returns how long it takes to open it again, with the map's file or without.
func (r *benchRegistry) restart(ctx context.Context, withoutFile bool) (time.Duration, error) {
	old := r.server
	r.server = nil
	if err := old.Close(ctx); err != nil {
		return 0, err
	}
	if withoutFile {
		if err := os.Remove(filepath.Join(r.cfg.Dir, benchMapFile)); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	server, err := logserver.Open(ctx, r.cfg)
	if err != nil {
		return 0, err
	}
	r.server = server
	return time.Since(start), nil
}

// benchAnswer keeps an answer.
type benchAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *benchAnswer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

func (a *benchAnswer) WriteHeader(status int) { a.status = status }

func (a *benchAnswer) Write(p []byte) (int, error) { return a.body.Write(p) }
