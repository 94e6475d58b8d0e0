package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer"
	"akashi/testdata/story"
	"akashi/wallet"
)

// flow is one way from an offer to a stored credential.
type flow struct {
	grant      string // pre-authorized, with code, authorization
	client     string // none, private_key_jwt, attestation
	encrypted  bool
	credential string // engagement, wage-payment (a copy, made only later), staff-card
	batch      int
}

func (f flow) String() string {
	return fmt.Sprintf("%-14s  %-22s  %-9t  %-12s  %5d  %t", f.grant, f.client, f.encrypted, f.credential, f.batch, f.credential == "wage-payment")
}

func flows() (all []flow) {
	for _, grant := range []string{"pre-authorized", "with code", "authorization"} {
		for _, client := range []string{"none", oid4vc.AuthPrivateKeyJWT, oid4vc.AuthAttestation} {
			for _, encrypted := range []bool{true, false} {
				for _, credential := range []string{"staff-card", "engagement", "wage-payment"} {
					all = append(all, flow{grant, client, encrypted, credential, 1})
					if credential == "staff-card" {
						all = append(all, flow{grant, client, encrypted, credential, 5})
					}
				}
			}
		}
	}
	return all
}

// seenWeb is the wallet's way to issuers. It takes encryption out of issuers' metadata where a flow is to go without, and looks at what goes by.
type seenWeb struct {
	wallet.Web
	plain                                bool
	dpop, nonced, sealed, opened, attest int // requests with a DPoP proof, refused for the nonce, encrypted; answers encrypted; requests attested
	jwt                                  int // with private_key_jwt
}

func (s *seenWeb) Get(ctx context.Context, target string, accept ...string) (*web.Response, error) {
	if !s.plain || !strings.Contains(target, "/.well-known/"+oid4vc.WellKnownCredentialIssuer) {
		return s.Web.Get(ctx, target, accept...)
	}
	resp, err := s.Web.Get(ctx, target, oid4vc.MediaTypeJSON)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(resp.Body, &members); err != nil {
		return nil, err
	}
	delete(members, "credential_request_encryption")
	delete(members, "credential_response_encryption")
	resp.Body, err = json.Marshal(members)
	return resp, err
}

func (s *seenWeb) Do(ctx context.Context, r web.Request) (*web.Response, error) {
	resp, err := s.Web.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	count := func(n *int, ok bool) {
		if ok {
			*n++
		}
	}
	count(&s.dpop, r.Header.Get(oid4vc.HeaderDPoP) != "")
	count(&s.nonced, resp.Status >= 400 && oid4vc.ParseErrorResponse(resp.Status, resp.Body).Code == oid4vc.CodeUseDPoPNonce)
	count(&s.sealed, r.Header.Get("Content-Type") == oid4vc.MediaTypeJWT)
	count(&s.opened, resp.MediaType == oid4vc.MediaTypeJWT)
	count(&s.attest, r.Header.Get(oid4vc.HeaderClientAttestation) != "")
	count(&s.jwt, strings.Contains(string(r.Body), "client_assertion="))
	return resp, nil
}

// flowWorld is an instance over https, whose issuer knows the wallet's provider and key, with worker A engaged.
type flowWorld struct {
	*player
	t                 *testing.T
	sealed, plain     *wallet.Wallet // one wallet, in two places: with and without encryption
	provider, own, ca string
}

func newFlowWorld(t *testing.T) *flowWorld {
	t.Helper()
	dir := t.TempDir()
	w := &flowWorld{t: t, player: &player{clock: new(storyClock), parties: map[string]story.Party{}, workers: map[string]*storyWorker{}},
		provider: filepath.Join(dir, "provider.jwk"), own: filepath.Join(dir, "own.jwk"), ca: filepath.Join(dir, fileCA)}
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	w.must(err)
	w.write("provider.pub", w.newKey(w.provider).JWK())
	set, err := oid4vc.SigningKeySet(w.newKey(w.own))
	w.must(err)
	jwks, err := json.Marshal(set)
	w.must(err)
	w.write("own.jwks", jwks)
	cfg.VCI = VCIConfig{RatePerSecond: -1, WalletKeys: []string{"provider.pub"}, Clients: []VCIClientConfig{{ID: "registered", RedirectURIs: []string{"http://127.0.0.1/callback"}, JWKS: "own.jwks"}}}
	w.in, err = startInstance(t.Context(), cfg, instanceOptions{epoch: 200 * time.Millisecond, log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { w.must(w.in.stop(context.WithoutCancel(t.Context()))) })
	w.must(err)
	w.clock.set(time.Now())
	w.must(w.addParties(t.Context()))
	for _, it := range story.Timeline() {
		if it.Action == "log-engagement" && it.Engagement == "A" {
			w.must(w.logEngagement(t.Context(), it))
		}
	}
	w.sealed = w.open(w.workers["A"].wallet)
	code := wallet.NewRecoveryCode()
	data, err := w.sealed.Backup(t.Context(), code, nil)
	w.must(err)
	b, err := wallet.OpenBackup(data, code)
	w.must(err)
	w.plain, err = b.Restore(t.Context(), wallet.Config{Store: store.NewMemory(), Registry: w.client()})
	w.must(err)
	w.open(w.plain)
	return w
}

func (w *flowWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *flowWorld) write(name string, data []byte) {
	w.t.Helper()
	w.must(os.WriteFile(filepath.Join(filepath.Dir(w.own), name), data, 0o600))
}

func (w *flowWorld) newKey(path string) keys.Public {
	w.t.Helper()
	key, err := keys.Generate(keys.ES256)
	w.must(err)
	jwk, err := key.MarshalJWK()
	w.must(err)
	w.must(os.WriteFile(path, jwk, 0o600))
	return key.Public()
}

// open gives a wallet its way to issuers, the machine's clock and the pinned policies.
func (w *flowWorld) open(wa *wallet.Wallet) *wallet.Wallet {
	w.t.Helper()
	issuers, err := fetcher(w.in.cfg.Registry.URL, w.ca)
	w.must(err)
	wa.Web, wa.Now = &seenWeb{Web: issuers, plain: wa == w.plain}, time.Now
	w.must(pinPolicies(w.t.Context(), wa, filepath.Dir(w.own)))
	return wa
}

// TestWalletAndIssuer runs our wallet against our issuer over https in every combination, and prints the table of them.
func TestWalletAndIssuer(t *testing.T) {
	w := newFlowWorld(t)
	table := []string{"grant           client                  encrypted  credential    batch  deferred"}
	later := map[*wallet.Wallet]int{}
	for _, f := range flows() {
		wa := w.plain
		if f.encrypted {
			wa = w.sealed
		}
		got, err := w.collect(wa, f)
		switch {
		case err != nil:
			t.Errorf("%s: %v", f, err)
		case f.credential == "wage-payment":
			later[wa]++
			if got.Deferred != 1 || len(got.Items) != 0 {
				t.Errorf("%s: %+v", f, got)
			}
		case f.credential == "engagement" && (len(got.Items) != 1 || !got.Items[0].Proven || !got.Items[0].Complete):
			t.Errorf("%s: %+v", f, got)
		case f.credential == "staff-card" && len(got.Credentials) != f.batch:
			t.Errorf("%s: %d credentials", f, len(got.Credentials))
		}
		table = append(table, f.String())
	}
	w.payNovember()
	for wa, n := range later {
		w.must(w.in.registry.WaitAudited(t.Context()))
		report, err := wa.Sync(t.Context())
		w.must(err)
		if len(report.New) != 1 || report.New[0].Type != attestation.TypeWagePayment || !report.New[0].Proven {
			t.Errorf("sync: %+v", report)
		}
		got, err := w.refresh(wa)
		w.must(err)
		if len(got.Items) != n || got.Deferred != 0 || len(got.Refused) != 0 {
			t.Errorf("refresh brought %d of %d copies, %d are deferred still; %v", len(got.Items), n, got.Deferred, got.Refused)
		}
		again, err := w.refresh(wa)
		w.must(err)
		if len(again.Items)+len(again.Credentials) != 0 {
			t.Errorf("refreshing again brought %+v", again)
		}
	}
	t.Logf("%d combinations, all with DPoP and server nonces:\n%s", len(table)-1, strings.Join(table, "\n"))
}

// collect makes an offer and takes it, and checks that everything went the way that the flow says.
func (w *flowWorld) collect(wa *wallet.Wallet, f flow) (*wallet.Collected, error) {
	req := issuer.OfferRequest{Type: f.credential, Example: true, Authorize: f.grant == "authorization"}
	if f.credential == "wage-payment" {
		req.Example, req.Reference = false, "1042"
	}
	opt := wallet.CollectOptions{Batch: f.batch, TxCode: ""}
	if f.grant == "with code" {
		req.TxCode, opt.TxCode = "4935", "4935"
	}
	made, err := w.in.admin().Offer(w.t.Context(), offerRequest{Org: w.parties["employer-A"].ID, OfferRequest: req})
	if err != nil {
		return nil, err
	}
	if wa.Client, err = w.clientOf(f.client).client(); err != nil {
		return nil, err
	}
	offer, err := wa.OpenOffer(w.t.Context(), made.Link)
	if err != nil {
		return nil, err
	}
	b, err := (&walletFlags{ca: w.ca}).openBrowser(streams{}, "approve")
	if err != nil {
		return nil, err
	}
	defer b.close()
	opt.Authorize, opt.Redirect = b.authorize, b.redirect
	if f.client == oid4vc.AuthPrivateKeyJWT {
		opt.Redirect = "http://127.0.0.1/callback"
	}
	seen := wa.Web.(*seenWeb)
	before := *seen
	got, err := wa.Collect(w.t.Context(), offer, opt)
	if err == nil {
		err = settle(w.t.Context(), wa, got, patience)
	}
	return got, errors.Join(err, f.check(before, *seen, offer))
}

func (w *flowWorld) clientOf(method string) *clientFlags {
	switch method {
	case oid4vc.AuthPrivateKeyJWT:
		return &clientFlags{id: "registered", key: w.own}
	case oid4vc.AuthAttestation:
		return &clientFlags{provider: w.provider}
	}
	return new(clientFlags)
}

// check compares what went over the line with what the flow says.
func (f flow) check(before, after seenWeb, offer *wallet.Offer) error {
	var errs []error
	expect := func(what string, got, want bool) {
		if got != want {
			errs = append(errs, fmt.Errorf("%s: %t", what, got))
		}
	}
	expect("a DPoP proof was sent", after.dpop > before.dpop, true)
	expect("a DPoP nonce was asked for", after.nonced > before.nonced, true)
	expect("requests were encrypted", after.sealed > before.sealed, f.encrypted)
	expect("answers were encrypted", after.opened > before.opened, f.encrypted)
	expect("the client was attested", after.attest > before.attest, f.client == oid4vc.AuthAttestation)
	expect("the client signed", after.jwt > before.jwt, f.client == oid4vc.AuthPrivateKeyJWT)
	expect("a transaction code was asked for", offer.TxCode != nil, f.grant == "with code")
	expect("the person was asked", offer.Grant == oid4vc.GrantAuthorizationCode, f.grant == "authorization")
	expect("the metadata were signed", offer.Signed, f.encrypted)
	return errors.Join(errs...)
}

// refresh asks for all that was deferred, as often as the issuer's intervals need.
func (w *flowWorld) refresh(wa *wallet.Wallet) (*wallet.Collected, error) {
	attested, err := w.clientOf(oid4vc.AuthAttestation).client()
	if err != nil {
		return nil, err
	}
	registered, err := w.clientOf(oid4vc.AuthPrivateKeyJWT).client()
	if err != nil {
		return nil, err
	}
	wa.Client = wallet.Client{Key: registered.Key, Attest: attested.Attest}
	all := new(wallet.Collected)
	for end := time.Now().Add(patience); ; {
		got, err := wa.Refresh(w.t.Context())
		if err != nil {
			return nil, err
		}
		all.Items, all.Credentials, all.Refused = append(all.Items, got.Items...), append(all.Credentials, got.Credentials...), append(all.Refused, got.Refused...)
		if all.Deferred = got.Deferred; all.Deferred == 0 || time.Now().After(end) {
			return all, nil
		}
		time.Sleep(time.Second)
	}
}

func (w *flowWorld) payNovember() {
	w.t.Helper()
	for _, it := range story.Timeline() {
		if it.Actor == "employer-A" && it.Type == attestation.TypeWagePayment && it.Period == "2025-11" && !it.Correct {
			w.must(w.importFile(w.t.Context(), it))
		}
	}
}

// TestBrowser: what the browser is sent back to the wallet's port with is the answer, and nothing else is.
func TestBrowser(t *testing.T) {
	b, err := new(walletFlags).openBrowser(streams{err: io.Discard}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	get := func(target string, status int) {
		resp, err := http.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", target, resp.StatusCode, status)
		}
	}
	get(strings.TrimSuffix(b.redirect, "callback")+"favicon.ico", http.StatusNotFound)
	get(b.redirect+"?code=1&state=2", http.StatusOK)
	answer, err := b.authorize(t.Context(), "https://issuer.example/authorize")
	if err != nil || answer != b.redirect+"?code=1&state=2" {
		t.Errorf("got %q, %v", answer, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.authorize(ctx, "https://issuer.example/authorize"); err == nil {
		t.Error("an answer came from nowhere")
	}
}
