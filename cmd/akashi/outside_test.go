package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/dcql"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/issuer"
	"akashi/schemas"
	"akashi/testdata/story"
	"akashi/verifier"
	"akashi/wallet"
)

// outsideSources are programs for Node.js in which implementations by others act as wallet, issuer and verifier.
const outsideSources = "testdata/outside"

// outsider is a process with implementations by others. It is told what to do, one line at a time.
type outsider struct {
	t   *testing.T
	to  io.Writer
	out *bufio.Reader
}

// startOutsider starts the outside implementations, or skips the test: AKASHI_OUTSIDE is the folder in which npm has installed what package.json
// names. Once it is set, what is missing fails the test.
func startOutsider(t *testing.T, ca string) *outsider {
	t.Helper()
	if testing.Short() {
		t.Skip("a short test tries no implementation by others")
	}
	folder := os.Getenv("AKASHI_OUTSIDE")
	if folder == "" {
		t.Skipf("AKASHI_OUTSIDE is not set: no implementation by others is tried (npm install in a copy of cmd/akashi/%s, and give that folder)", outsideSources)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed, and AKASHI_OUTSIDE asks for it: install Node.js 20 or newer")
	}
	dir := t.TempDir()
	o := &outsider{t: t}
	o.check(os.CopyFS(dir, os.DirFS(outsideSources)))
	modules, err := filepath.Abs(filepath.Join(folder, "node_modules"))
	o.check(err)
	o.check(os.Symlink(modules, filepath.Join(dir, "node_modules")))
	o.checkVersions(dir)
	cmd := exec.CommandContext(t.Context(), node, filepath.Join(dir, "main.mjs"))
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	cmd.Stderr = t.Output()
	o.to, err = cmd.StdinPipe()
	o.check(err)
	stdout, err := cmd.StdoutPipe()
	o.check(err)
	o.out = bufio.NewReader(stdout)
	o.check(cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has killed it
	return o
}

func (o *outsider) check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// run runs a part of the test, by which the outsider reports meanwhile.
func (o *outsider) run(name string, part func(*testing.T)) {
	whole := o.t
	whole.Run(name, func(t *testing.T) {
		o.t = t
		defer func() { o.t = whole }()
		part(t)
	})
}

// checkVersions compares what is installed with what package.json asks for.
func (o *outsider) checkVersions(dir string) {
	o.t.Helper()
	type pack struct {
		Version      string
		Dependencies map[string]string
	}
	read := func(elem ...string) (p pack) {
		data, err := os.ReadFile(filepath.Join(append([]string{dir}, elem...)...))
		o.check(err)
		o.check(json.Unmarshal(data, &p))
		return p
	}
	want := read("package.json").Dependencies
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got := read("node_modules", name, "package.json").Version; got != want[name] {
			o.t.Fatalf("AKASHI_OUTSIDE has %s %s, want %s: run npm install there with the package.json of %s", name, got, want[name], outsideSources)
		}
		o.t.Logf("%s %s", name, want[name])
	}
}

// try tells one of the outside parties to do something, and returns what it says, or why it could not.
func (o *outsider) try(who, act string, with, done any) string {
	o.t.Helper()
	line, err := json.Marshal(map[string]any{"who": who, "do": act, "with": with})
	o.check(err)
	_, err = o.to.Write(append(line, '\n'))
	o.check(err)
	said, err := o.out.ReadBytes('\n')
	o.check(err)
	var answer struct {
		Done  json.RawMessage
		Error string
	}
	o.check(json.Unmarshal(said, &answer))
	if answer.Error == "" && done != nil {
		o.check(json.Unmarshal(answer.Done, done))
	}
	return answer.Error
}

func (o *outsider) do(who, act string, with, done any) {
	o.t.Helper()
	if problem := o.try(who, act, with, done); problem != "" {
		o.t.Fatalf("%s: %s", act, problem)
	}
}

// outsideWorld is an instance over https, and outside parties that trust its authorities.
type outsideWorld struct {
	*player
	*outsider
	employer string
}

func newOutsideWorld(t *testing.T) *outsideWorld {
	t.Helper()
	cfg := outsideConfig(t)
	provider, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := startOutsideWorld(t, cfg, provider, startOutsider(t, cfg.path(fileCA)))
	w.startWallet(provider)
	return w
}

func outsideConfig(t *testing.T) *Config {
	t.Helper()
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// startOutsideWorld starts the instance, whose issuers know the provider of the outside wallet.
func startOutsideWorld(t *testing.T, cfg *Config, provider *keys.Private, o *outsider) *outsideWorld {
	t.Helper()
	w := &outsideWorld{outsider: o, player: &player{clock: new(storyClock), parties: map[string]story.Party{}, workers: map[string]*storyWorker{}}}
	w.check(os.WriteFile(cfg.path("provider.pub"), provider.Public().JWK(), 0o600))
	cfg.VCI = VCIConfig{RatePerSecond: -1, WalletKeys: []string{"provider.pub"}}
	var err error
	w.in, err = startInstance(t.Context(), cfg, instanceOptions{epoch: 200 * time.Millisecond, log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		if err := w.in.stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w.check(err)
	w.clock.set(time.Now())
	w.check(w.addParties(t.Context()))
	w.employer = w.parties["employer-A"].ID
	return w
}

// startWallet tells the outside wallet whom it trusts, and gives it the key of its provider.
func (w *outsideWorld) startWallet(provider *keys.Private) {
	w.t.Helper()
	jwk, err := provider.MarshalJWK()
	w.check(err)
	w.do("wallet", "start", map[string]any{"provider": json.RawMessage(jwk), "roots": []string{w.read(fileCA), w.read(fileIssuerCA)}}, nil)
}

func (w *outsideWorld) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.in.cfg.path(name))
	w.check(err)
	return string(data)
}

// received is what the outside wallet says that it has collected.
type received struct {
	Version     string
	Signed      bool
	TokenType   string
	Credentials []struct {
		Compact, VCT, Typ, Type string
		Claims                  map[string]any
		Status                  map[string]any
		Disclosable             []string
	}
	Interval int // seconds after which to ask again for what comes later
	Seen     []string
}

func (w *outsideWorld) offer(req issuer.OfferRequest) string {
	w.t.Helper()
	return w.offerOf(w.employer, req)
}

func (w *outsideWorld) offerOf(org string, req issuer.OfferRequest) string {
	w.t.Helper()
	offer, err := w.in.admin().Offer(w.t.Context(), offerRequest{Org: org, OfferRequest: req})
	w.check(err)
	return offer.Link
}

func (w *outsideWorld) receive(link string, with map[string]any) received {
	w.t.Helper()
	var got received
	w.do("wallet", "receive", merge(map[string]any{"link": link}, with), &got)
	return got
}

func merge(a, b map[string]any) map[string]any {
	maps.Copy(a, b)
	return a
}

// TestOutsideWalletCollects lets an outside wallet collect from our issuer. It verifies what it gets by the issuer's certificate, the type's metadata and
// the status list.
func TestOutsideWalletCollects(t *testing.T) {
	w := newOutsideWorld(t)
	for _, c := range []struct {
		name  string
		offer issuer.OfferRequest
		with  map[string]any
		count int
		seen  string // requests and their answers, in this order with others between
	}{
		{"pre-authorized code, batch", issuer.OfferRequest{}, map[string]any{"batch": 20, "notify": "credential_accepted"}, 20,
			"GET offers 200, GET .well-known 200, POST token 400, POST token 200, POST nonce 200, POST credential 200, GET status 200, GET types 200, POST notification 204"},
		{"transaction code", issuer.OfferRequest{TxCode: "4935"}, map[string]any{"txCode": "4935"}, 1, "POST token 200, POST credential 200"},
		{"several requests", issuer.OfferRequest{Scheme: "haip-vci://"}, map[string]any{"requests": 2}, 2, "POST token 200, POST credential 200, POST nonce 200, POST credential 200"},
		{"by value, key named by did:jwk", issuer.OfferRequest{ByValue: true}, map[string]any{"did": true}, 1, "POST token 200, POST credential 200"},
		{"EdDSA", issuer.OfferRequest{}, map[string]any{"alg": "EdDSA"}, 1, "POST token 200, POST credential 200"},
		{"attested", issuer.OfferRequest{}, map[string]any{"attested": "challenge"}, 1, "POST challenge 200, POST token 200, POST credential 200"},
		{"keys attested", issuer.OfferRequest{}, map[string]any{"keyAttestation": "standard", "batch": 3}, 3, "POST nonce 200, POST credential 200"},
		{"encrypted, A128GCM", issuer.OfferRequest{}, map[string]any{"encrypt": "A128GCM", "batch": 2}, 2, "POST credential 200"},
		{"encrypted, A256GCM", issuer.OfferRequest{}, map[string]any{"encrypt": "A256GCM"}, 1, "POST credential 200"},
		{"authorization code", issuer.OfferRequest{Authorize: true}, map[string]any{"notify": "credential_deleted"}, 1,
			"POST par 400, POST par 201, GET authorize 200, POST authorize 303, POST token 200, POST nonce 200, POST credential 200, POST notification 204"},
		{"authorization code, attested", issuer.OfferRequest{Authorize: true}, map[string]any{"attested": "challenge", "batch": 2}, 2,
			"POST challenge 200, POST par 201, POST authorize 303, POST challenge 200, POST token 200, POST credential 200"},
	} {
		w.run(c.name, func(t *testing.T) {
			c.offer.Type, c.offer.Example = "staff-card", true
			got := w.receive(w.offer(c.offer), c.with)
			if len(got.Credentials) != c.count || !got.Signed || got.TokenType != "DPoP" || got.Version != "V1" {
				t.Errorf("%d credentials of %s, metadata signed: %t, token type %s", len(got.Credentials), got.Version, got.Signed, got.TokenType)
			}
			for _, one := range got.Credentials {
				if one.Type != one.VCT || one.Typ != "dc+sd-jwt" || one.Status == nil || one.Claims["number"] == nil {
					t.Errorf("got %+v", one)
				}
			}
			if !inOrder(got.Seen, strings.Split(c.seen, ", ")) {
				t.Errorf("it went %v", got.Seen)
			}
		})
	}
}

// inOrder reports whether the wanted requests are among the seen ones in that order. "GET offers 200" is a GET with offers in its path, answered with 200.
func inOrder(seen, want []string) bool {
	for _, line := range seen {
		if len(want) == 0 {
			break
		}
		parts := strings.Fields(want[0])
		if strings.HasPrefix(line, parts[0]) && strings.Contains(line, "/"+parts[1]) && strings.HasSuffix(line, parts[2]) {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// TestOutsideWalletIsRefused: the outside wallet understands why, and what was revoked it finds revoked.
func TestOutsideWalletIsRefused(t *testing.T) {
	w := newOutsideWorld(t)
	for _, c := range []struct {
		name  string
		offer issuer.OfferRequest
		with  map[string]any
		want  string
	}{
		{"wrong transaction code", issuer.OfferRequest{TxCode: "4935"}, map[string]any{"txCode": "4936"}, "invalid_grant"},
		{"no transaction code", issuer.OfferRequest{TxCode: "4935"}, map[string]any{}, "requires a 'tx_code'"},
		{"attested without challenge", issuer.OfferRequest{}, map[string]any{"attested": "library"}, "use_attestation_challenge"},
		{"key attestation with the typ of a draft", issuer.OfferRequest{}, map[string]any{"keyAttestation": "library"}, "invalid_proof"},
		{"alg that is not announced", issuer.OfferRequest{}, map[string]any{"alg": "ES384"}, "does not support the 'ES384' alg"},
	} {
		c.offer.Type, c.offer.Example = "staff-card", true
		if got := w.try("wallet", "receive", merge(map[string]any{"link": w.offer(c.offer)}, c.with), nil); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %s", c.name, got, c.want)
		}
	}
	link := w.offer(issuer.OfferRequest{Type: "staff-card", Example: true})
	card := w.receive(link, nil).Credentials[0]
	if got := w.try("wallet", "receive", map[string]any{"link": link}, nil); !strings.Contains(got, "404") {
		t.Errorf("an offer taken twice: got %q", got)
	}
	id := must(sdjwt.Parse(card.Compact))(t).ID()
	w.expectStatuses("valid")
	for _, step := range []struct {
		status statuslist.Status
		want   string
	}{{statuslist.Suspended, "Status is not valid"}, {statuslist.Valid, "valid"}, {statuslist.Invalid, "Status is not valid"}} {
		_, err := w.in.admin().Revoke(t.Context(), revokeRequest{Org: w.employer, ID: id, Revocation: issuer.Revocation{Status: step.status, Reason: "test"}})
		w.check(err)
		w.expectStatuses(step.want)
	}
}

// expectStatuses lets the outside library read the status list for the one credential that its wallet holds.
func (w *outsideWorld) expectStatuses(want string) {
	w.t.Helper()
	var got []string
	w.do("wallet", "statuses", nil, &got)
	if !slices.Equal(got, []string{want}) {
		w.t.Errorf("got %q, want %q", got, want)
	}
}

// presented is what the outside wallet says of an answer.
type presented struct {
	Status  int            // of the verifier's answer
	Body    map[string]any // of it
	Enc     string
	Prefix  string
	Queries map[string]int // credentials given
	Seen    []string
}

func (w *outsideWorld) ask(o verifier.CreateOptions) *verifier.View {
	w.t.Helper()
	view, err := w.in.verifier.Create(w.t.Context(), o)
	w.check(err)
	return view
}

func (w *outsideWorld) session(id string) *verifier.View {
	w.t.Helper()
	view, err := w.in.verifier.Session(w.t.Context(), id)
	w.check(err)
	return view
}

func (w *outsideWorld) present(link string, with map[string]any) presented {
	w.t.Helper()
	var got presented
	w.do("wallet", "present", merge(map[string]any{"link": link}, with), &got)
	return got
}

// TestOutsideWalletPresents lets an outside wallet answer our verifier, in every way that the verifier can ask.
func TestOutsideWalletPresents(t *testing.T) {
	w := newOutsideWorld(t)
	card := w.receive(w.offer(issuer.OfferRequest{Type: "staff-card", Example: true}), map[string]any{"batch": 3}).Credentials[0]
	query := func() *dcql.Query {
		return &dcql.Query{Credentials: []dcql.Credential{{
			ID: "card", Format: dcql.FormatSDJWTVC, Multiple: true, Meta: &dcql.Meta{VCTs: []string{card.VCT}},
			Claims: []dcql.Claim{{ID: "n", Path: dcql.Path{"number"}}, {ID: "x", Path: dcql.Path{"nothing"}}}, ClaimSets: [][]string{{"n", "x"}, {"n"}},
		}}}
	}
	transaction := base64.RawURLEncoding.EncodeToString([]byte(`{"type":"example","credential_ids":["card"]}`))
	for _, c := range []struct {
		name string
		o    verifier.CreateOptions
		with map[string]any
		want presented
	}{
		{"x509_hash, A256GCM", verifier.CreateOptions{}, map[string]any{"enc": "A256GCM"}, presented{Prefix: oid4vc.PrefixX509Hash, Enc: "A256GCM"}},
		{"x509_hash, A128GCM, multiple", verifier.CreateOptions{}, map[string]any{"enc": "A128GCM", "multiple": true}, presented{Prefix: oid4vc.PrefixX509Hash, Enc: "A128GCM", Queries: map[string]int{"card": 3}}},
		{"x509_san_dns, request by POST with wallet_nonce", verifier.CreateOptions{Prefix: oid4vc.PrefixX509SANDNS, Post: true}, nil, presented{Prefix: oid4vc.PrefixX509SANDNS, Enc: "A256GCM", Seen: []string{"POST request 200"}}},
		{"decentralized_identifier", verifier.CreateOptions{Prefix: oid4vc.PrefixDID}, nil, presented{Prefix: oid4vc.PrefixDID, Enc: "A256GCM"}},
		{"redirect_uri, the whole request in the link", verifier.CreateOptions{Prefix: oid4vc.PrefixRedirectURI, Mode: oid4vc.ModeDirectPost}, nil, presented{Prefix: oid4vc.PrefixRedirectURI}},
		{"direct_post", verifier.CreateOptions{Mode: oid4vc.ModeDirectPost}, nil, presented{Prefix: oid4vc.PrefixX509Hash}},
		{"transaction_data", verifier.CreateOptions{TransactionData: []string{transaction}}, nil, presented{Prefix: oid4vc.PrefixX509Hash, Enc: "A256GCM"}},
		{"the same device", verifier.CreateOptions{SameDevice: true, Browser: outsideBrowser}, nil, presented{Prefix: oid4vc.PrefixX509Hash, Enc: "A256GCM"}},
	} {
		w.run(c.name, func(t *testing.T) {
			c.o.Query = query()
			view := w.ask(c.o)
			got := w.present(view.Link, merge(map[string]any{}, c.with))
			if c.want.Queries == nil {
				c.want.Queries = map[string]int{"card": 1}
			}
			if got.Status != http.StatusOK || got.Prefix != c.want.Prefix || got.Enc != c.want.Enc || !maps.Equal(got.Queries, c.want.Queries) || !inOrder(got.Seen, c.want.Seen) {
				t.Fatalf("got %+v", got)
			}
			want := verifier.Answered
			if c.o.SameDevice {
				want = verifier.Returning
				if back, _ := got.Body["redirect_uri"].(string); !strings.HasPrefix(back, w.in.cfg.Verifier.URL) {
					t.Errorf("it is led to %q", back)
				}
			}
			if view = w.session(view.ID); view.Status != want {
				t.Fatalf("got %+v", view)
			}
			if want == verifier.Answered {
				w.checkShown(view.Result, got.Queries["card"])
			}
		})
	}
}

// TestOutsideWalletAnswersPage lets an outside wallet answer a page of our verifier over the Digital Credentials API: the signed request encrypted, and the
// unsigned one in the clear. The test stands in for the browser.
func TestOutsideWalletAnswersPage(t *testing.T) {
	w := newOutsideWorld(t)
	card := w.receive(w.offer(issuer.OfferRequest{Type: "staff-card", Example: true}), nil).Credentials[0]
	for n, mode := range []string{oid4vc.ModeDCAPIJWT, oid4vc.ModeDCAPI} {
		view := w.ask(verifier.CreateOptions{Mode: mode, Browser: outsideBrowser, Query: &dcql.Query{Credentials: []dcql.Credential{{
			ID: "card", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{card.VCT}}, Claims: []dcql.Claim{{Path: dcql.Path{"number"}}}}}}})
		var options struct {
			Digital struct{ Requests []map[string]any }
		}
		w.page(http.MethodGet, view.Link, nil, &options)
		if len(options.Digital.Requests) != 2 {
			t.Fatalf("%s: %d requests, want one signed and one unsigned", mode, len(options.Digital.Requests))
		}
		var given map[string]any
		w.do("wallet", "presentToPage", merge(options.Digital.Requests[n], map[string]any{"origin": w.in.cfg.Verifier.URL}), &given)
		var got verifier.View
		w.page(http.MethodPost, view.Link, merge(given, map[string]any{"origin": w.in.cfg.Verifier.URL}), &got)
		if got.Status != verifier.Answered {
			t.Fatalf("%s: %+v", mode, got)
		}
		w.checkShown(got.Result, 1)
	}
}

// outsideBrowser is the secret of the browser session of a page.
var outsideBrowser = strings.Repeat("b", 43)

// page does what the script of the verifier's page does.
func (w *outsideWorld) page(method, url string, send, got any) {
	w.t.Helper()
	body, err := json.Marshal(send)
	w.check(err)
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, bytes.NewReader(body))
	w.check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", w.in.cfg.Verifier.URL)
	req.AddCookie(verifier.BrowserCookie(outsideBrowser))
	resp, err := w.in.client.Do(req)
	w.check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	w.check(err)
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s: %s", method, resp.Status, answer)
	}
	w.check(json.Unmarshal(answer, got))
}

// checkShown: what was asked for is shown, and nothing else that can be withheld.
func (w *outsideWorld) checkShown(result json.RawMessage, count int) {
	w.t.Helper()
	var shown struct {
		Credentials map[string][]struct{ Claims map[string]any }
	}
	w.check(json.Unmarshal(result, &shown))
	if len(shown.Credentials["card"]) != count {
		w.t.Fatalf("got %s", result)
	}
	for _, one := range shown.Credentials["card"] {
		if number, _ := one.Claims["number"].(string); !strings.HasPrefix(number, "S-") || one.Claims["department"] != nil {
			w.t.Errorf("got %s", result)
		}
	}
}

// TestOutsideWalletDoesNotPresent: a wallet that refuses, that has nothing to show, or that answers another request.
func TestOutsideWalletDoesNotPresent(t *testing.T) {
	w := newOutsideWorld(t)
	card := w.receive(w.offer(issuer.OfferRequest{Type: "staff-card", Example: true}), nil).Credentials[0]
	query := func(vct string) *dcql.Query {
		return &dcql.Query{Credentials: []dcql.Credential{{ID: "card", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{vct}}, Claims: []dcql.Claim{{Path: dcql.Path{"number"}}}}}}
	}
	for _, c := range []struct {
		name, act, vct string
		with           map[string]any
		answer         int
		status         verifier.Status
		reason         string
	}{
		{"refused", "refuse", card.VCT, map[string]any{"clear": true}, http.StatusOK, verifier.Refused, oid4vc.CodeAccessDenied},
		{"refused, encrypted", "refuse", card.VCT, nil, http.StatusOK, verifier.Refused, oid4vc.CodeAccessDenied},
		{"nothing to show", "present", "https://other.example/card", nil, http.StatusOK, verifier.Refused, oid4vc.CodeAccessDenied},
		{"another nonce", "present", card.VCT, map[string]any{"spoil": "nonce"}, http.StatusBadRequest, verifier.Failed, "kb.nonce"},
	} {
		w.run(c.name, func(t *testing.T) {
			view := w.ask(verifier.CreateOptions{Query: query(c.vct)})
			var got presented
			w.do("wallet", c.act, merge(map[string]any{"link": view.Link}, c.with), &got)
			if view = w.session(view.ID); got.Status != c.answer || view.Status != c.status || view.Reason != c.reason {
				t.Errorf("got %d %v, %+v", got.Status, got.Body, view)
			}
		})
	}
}

// TestOutsideWalletAssessed: a wallet that knows nothing of Akashi collects an engagement and copies of the wage payments of a year, and answers an assessment.
// With its period secrets alone the whole timeline is judged, and with the copies the amounts are.
func TestOutsideWalletAssessed(t *testing.T) {
	w := newOutsideWorld(t)
	w.receive(w.offer(issuer.OfferRequest{Type: "engagement", Claims: w.contractOfA(), Reference: "1042"}), map[string]any{"notify": "credential_accepted"})
	months := w.payAll()
	got := w.receive(w.offer(issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}), map[string]any{"requests": len(months)})
	var periods []string
	for _, one := range got.Credentials {
		period, _ := one.Claims["period"].(string)
		periods = append(periods, period)
	}
	if slices.Sort(periods); !slices.Equal(periods, months) {
		t.Errorf("copies of %v, want %v", periods, months)
	}
	w.check(w.in.registry.WaitAudited(t.Context()))
	for _, c := range []struct {
		name      string
		o         verifier.CreateOptions
		with      map[string]any
		queries   []map[string]int // credentials given in each step
		disclosed int              // wage payments with their amounts
	}{
		{"with multiple", verifier.CreateOptions{}, map[string]any{"multiple": true}, []map[string]int{{"engagement": 1}, {"engagement": 1, "wage-payment": len(months)}}, len(months)},
		{"without multiple", verifier.CreateOptions{}, nil, []map[string]int{{"engagement": 1}, {"engagement": 1, "wage-payment": 1}}, 1},
		{"one step", verifier.CreateOptions{OneStep: true, From: storyFrom, To: storyTo}, map[string]any{"multiple": true}, []map[string]int{{"engagement": 1, "wage-payment": len(months)}}, len(months)},
	} {
		w.run(c.name, func(t *testing.T) {
			view := w.ask(c.o)
			var steps []map[string]int
			for view.Status == verifier.Waiting {
				steps = append(steps, w.present(view.Link, merge(map[string]any{}, c.with)).Queries)
				view = w.session(view.ID)
			}
			if view.Status != verifier.Answered || !reflect.DeepEqual(steps, c.queries) {
				t.Fatalf("got %v after %v", view, steps)
			}
			w.checkTimeline(view.ID, months, c.disclosed)
		})
	}
}

// TestOutsideWalletWaits: a copy that the issuer has not made yet comes later, and that of the next month with a refreshed token.
func TestOutsideWalletWaits(t *testing.T) {
	w := newOutsideWorld(t)
	w.receive(w.offer(issuer.OfferRequest{Type: "engagement", Claims: w.contractOfA(), Reference: "1042"}), nil)
	got := w.receive(w.offer(issuer.OfferRequest{Type: "wage-payment", Reference: "1042"}), map[string]any{"attested": "challenge"})
	ask := func(act string) {
		t.Helper()
		got = received{}
		w.do("wallet", act, nil, &got)
	}
	for range 2 {
		if len(got.Credentials) != 0 || got.Interval <= 0 {
			t.Fatalf("before anything was paid: %+v", got)
		}
		ask("later")
	}
	wages := slices.DeleteFunc(story.Timeline(), func(it story.Item) bool {
		return it.Action != "import" || it.Actor != "employer-A" || it.Type != attestation.TypeWagePayment
	})
	for i, act := range []string{"later", "refresh", "refresh"} {
		w.check(w.importFile(t.Context(), wages[i]))
		if ask(act); len(got.Credentials) != 1 || got.Interval != 0 || got.Credentials[0].Claims["period"] != string(wages[i].Period) {
			t.Errorf("%s after %s was paid: %+v", act, wages[i].Period, got)
		}
	}
}

// payAll imports what employer A paid in a year, and returns the months.
func (w *outsideWorld) payAll() (months []string) {
	w.t.Helper()
	for _, it := range story.Timeline() {
		if it.Action == "import" && it.Actor == "employer-A" && it.Type == attestation.TypeWagePayment && !it.Correct {
			w.check(w.importFile(w.t.Context(), it))
			months = append(months, string(it.Period))
		}
	}
	return months
}

// checkTimeline looks into the evidence file of an assessment: every month has its record, and of as many as were presented the amounts are known.
func (w *outsideWorld) checkTimeline(id string, months []string, disclosed int) {
	w.t.Helper()
	data, err := w.in.verifier.Evidence(w.t.Context(), id)
	w.check(err)
	trust, err := w.in.cfg.trust()
	w.check(err)
	result, c := evidence.VerifyCase(data, trust, evidence.Options{})
	if result.Result != compliance.Pass {
		w.t.Fatalf("got %v: %+v", result.Result, result.Checks)
	}
	var paid []string
	shown := 0
	for _, l := range c.Ladders {
		if l.Stream != attestation.WageEmployer || len(l.Rungs) == 0 {
			continue
		}
		paid = append(paid, string(l.Period))
		if p, ok := l.Rungs[0].Claims.(*attestation.WagePayment); ok && l.Rungs[0].Presented && p.Net != nil {
			shown++
		}
	}
	if !slices.Equal(paid, months) || shown != disclosed {
		w.t.Errorf("records of %v, %d of them with amounts; want %v, %d", paid, shown, months, disclosed)
	}
	counts := result.Assessment.Counts
	if total := len(result.Assessment.Findings); total < len(months) || counts["contradicted"] > 0 {
		w.t.Errorf("%d findings: %v", total, counts)
	}
	w.t.Logf("%d findings: %v", len(result.Assessment.Findings), counts)
}

// contractOfA are the claims of worker A's engagement.
func (w *outsideWorld) contractOfA() json.RawMessage {
	w.t.Helper()
	claims := map[string]any{}
	w.check(json.Unmarshal(schemas.Example(attestation.TypeEngagement.VCT()), &claims))
	delete(claims, "slots")
	delete(claims, "delivery_proof")
	data, err := json.Marshal(claims)
	w.check(err)
	return data
}

// TestOutsideWalletStory gives worker A of the story a wallet that knows nothing of Akashi. The year goes by; with the engagement alone the assessment finds
// all that rests on no amount, and with copies of what employer and bank attested it finds what it finds of our own wallet.
func TestOutsideWalletStory(t *testing.T) {
	w := newOutsideStory(t)
	attested := w.playOutside()
	w.compareOutside(true)
	for who, n := range attested {
		if who.typ != attestation.TypeWagePayment && who.typ != attestation.TypeWageReceipt {
			continue
		}
		got := w.receive(w.offerOf(w.parties[who.actor].ID, issuer.OfferRequest{Type: string(who.typ), Reference: who.reference}), map[string]any{"requests": n})
		if len(got.Credentials) != n {
			t.Errorf("%s: %d copies, want %d", who.typ, len(got.Credentials), n)
		}
	}
	w.compareOutside(false)
}

// compareOutside lets the outside wallet answer an assessment of the year, and compares it with what the story expects of worker A. Where amounts are
// withheld the duty to pay in full (W-03) stays undisclosed, but for the month of leave, for which no wage was due.
func (w *outsideWorld) compareOutside(withheld bool) {
	w.t.Helper()
	w.check(w.audited(w.t.Context()))
	view := w.ask(verifier.CreateOptions{From: storyFrom, To: storyTo})
	for view.Status == verifier.Waiting {
		w.present(view.Link, map[string]any{"multiple": true})
		view = w.session(view.ID)
	}
	if view.Status != verifier.Answered {
		w.t.Fatalf("got %+v", view)
	}
	found, err := decode[evidence.Result](view.Result)
	w.check(err)
	want := story.Expected().Engagements["A"].Findings
	if len(found.Assessment.Findings) != len(want) {
		w.t.Fatalf("%d findings, want %d", len(found.Assessment.Findings), len(want))
	}
	for i, got := range found.Assessment.Findings {
		if withheld && got.Obligation == "W-03" && got.Period != "2026-02" {
			want[i].Finding = compliance.Undisclosed.String()
		}
		if got.Obligation != want[i].Obligation || got.Period != want[i].Period || got.Finding.String() != want[i].Finding || got.DaysLate != want[i].DaysLate {
			w.t.Errorf("%s %s %s, %d days late, want %+v: %v", got.Obligation, got.Period, got.Finding, got.DaysLate, want[i], got.Checks)
		}
	}
}

// copied is what an organization attested, and under which number it knows the worker.
type copied struct {
	actor     string
	typ       attestation.Type
	reference string
}

// newOutsideStory is the story's instance, and outside parties that trust its authorities.
func newOutsideStory(t *testing.T) *outsideWorld {
	t.Helper()
	p := startStory(t)
	w := &outsideWorld{player: p, outsider: startOutsider(t, p.in.cfg.path(fileCA)), employer: p.parties["employer-A"].ID}
	provider, err := keys.Generate(keys.ES256)
	w.check(err)
	w.startWallet(provider)
	return w
}

// playOutside lets the story's year go by for worker A, whose wallet is the outside one, and returns how many attestations were made.
func (w *outsideWorld) playOutside() map[copied]int {
	w.t.Helper()
	attested, known := map[copied]int{}, map[string]string{}
	for _, it := range story.Timeline() {
		w.check(w.advance(w.t.Context(), it.At))
		switch {
		case it.Action == "checkpoint":
			w.check(w.in.registry.CloseEpoch(w.t.Context()))
		case it.Engagement != "A":
		case it.Action == "log-engagement":
			w.setClock()
			w.receive(w.offer(issuer.OfferRequest{Type: "engagement", Claims: w.contractOfA(), Reference: it.Reference}), nil)
			w.check(w.in.registry.WaitAudited(w.t.Context()))
			known[it.Actor] = it.Reference
		case it.Action == "enrol":
			w.enrolOutside(it)
			known[it.Actor] = it.Reference
		case it.Action == "import":
			data, err := story.File(it.File)
			w.check(err)
			resp, err := w.importRows(w.t.Context(), it, data)
			w.check(err)
			attested[copied{it.Actor, it.Type, known[it.Actor]}] += len(resp.Report.Rows)
		}
	}
	w.setClock()
	return attested
}

func (w *outsideWorld) setClock() {
	w.t.Helper()
	w.do("clock", "set", map[string]any{"now": w.clock.now()}, nil)
}

// enrolOutside lets the outside wallet show the engagement to an organization, as a file, with that organization's streams only.
func (w *outsideWorld) enrolOutside(it story.Item) {
	w.t.Helper()
	party := w.parties[it.Actor]
	org, err := w.in.issuer.Org(w.t.Context(), party.ID)
	w.check(err)
	var paths [][]string
	for _, s := range attestation.Streams {
		if s.Role() == party.Role {
			paths = append(paths, []string{"slots", string(s)})
		}
	}
	if party.Role == attestation.Bank {
		paths = append(paths, []string{"terms", "payer_kana"})
	}
	var shown string
	w.do("wallet", "show", map[string]any{"vct": attestation.TypeEngagement.VCT(), "paths": paths, "aud": org.Issuer, "nonce": issuer.EnrolNonce}, &shown)
	data, err := json.Marshal(evidence.Presentation{Engagement: shown})
	w.check(err)
	list, err := w.in.cfg.latestTrustList()
	w.check(err)
	_, err = w.in.issuer.Enrol(w.t.Context(), party.ID, it.Reference, data, list)
	w.check(err)
}

// ourWallet is a wallet of ours that meets the outside issuer and verifier. It knows neither.
func (w *outsideWorld) ourWallet() *wallet.Wallet {
	w.t.Helper()
	var err error
	wa := w.workers["A"].wallet
	wa.Web, err = fetcher(w.in.cfg.Registry.URL, w.in.cfg.path(fileCA))
	w.check(err)
	wa.Now = time.Now
	w.check(pinPolicies(w.t.Context(), wa, filepath.Dir(w.in.cfg.path(fileCA))))
	return wa
}

// tls is the server certificate of this machine, for the outside issuer and verifier.
func (w *outsideWorld) tls() map[string]string {
	return map[string]string{"cert": w.read(fileTLS), "key": w.read(fileTLSKey)}
}

// collectOutside lets our wallet take an offer of the outside issuer.
func (w *outsideWorld) collectOutside(wa *wallet.Wallet, batch int, revoked bool) *wallet.Collected {
	w.t.Helper()
	var offer struct{ Link string }
	w.do("issuer", "offer", map[string]any{"txCode": "4935", "revoked": revoked}, &offer)
	o, err := wa.OpenOffer(w.t.Context(), offer.Link)
	w.check(err)
	if o.Entity != "" || o.TxCode == nil {
		w.t.Errorf("got the offer %+v", o)
	}
	got, err := wa.Collect(w.t.Context(), o, wallet.CollectOptions{TxCode: "4935", TrustAny: true, Batch: batch})
	if !revoked {
		w.check(err)
	}
	return got
}

// TestWalletMeetsOutside lets our wallet collect from an outside issuer, and show what it has to an outside verifier.
func TestWalletMeetsOutside(t *testing.T) {
	w := newOutsideWorld(t)
	wa := w.ourWallet()
	w.do("issuer", "start", map[string]any{"tls": w.tls()}, nil)
	if got := w.collectOutside(wa, 1, true); len(got.Credentials) != 0 || len(got.Refused) != 1 {
		t.Errorf("revoked already: got %+v", got)
	}
	got := w.collectOutside(wa, 3, false)
	if len(got.Credentials) != 3 || len(got.Refused) != 0 {
		t.Fatalf("got %+v", got)
	}
	card := got.Credentials[0]
	if card.Status != "valid" || !strings.Contains(string(card.Claims), `"street":"Sakae"`) {
		t.Errorf("got %+v", card)
	}
	var report struct{ Notified []string }
	w.do("issuer", "report", nil, &report)
	if !slices.Equal(report.Notified, []string{"credential_failure", "credential_accepted"}) {
		t.Errorf("the issuer was told %q", report.Notified)
	}
	w.startOutsideVerifier()
	for _, c := range []struct {
		name  string
		with  map[string]any
		query string
		shown []string // of the claims that can be withheld
		enc   string
	}{
		{"x509_san_dns, GET", map[string]any{}, `{"path":["number"]}`, []string{"number"}, "A256GCM"},
		{"x509_hash, POST with wallet_nonce", map[string]any{"prefix": "x509_hash", "post": true}, `{"path":["address","street"]}`, []string{"address"}, "A256GCM"},
		{"A128GCM only", map[string]any{"enc": []string{"A128GCM"}}, `{"path":["roles",null]}`, nil, "A128GCM"},
		{"direct_post", map[string]any{"mode": "direct_post"}, `{"path":["number"]}`, []string{"number"}, ""},
		{"transaction_data", map[string]any{"transaction": map[string]any{"type": wallet.TransactionPurpose, "credential_ids": []string{"c"}, "purpose": "test"}}, `{"path":["number"]}`, []string{"number"}, "A256GCM"},
	} {
		w.run(c.name, func(t *testing.T) {
			c.with["query"] = cardQuery(card.VCT, c.query)
			outcome := w.answerOutsideVerifier(wa, c.with)
			if outcome.Error != "" || !outcome.Satisfied || len(outcome.Shown["c"]) != 1 {
				t.Fatalf("got %+v", outcome)
			}
			for _, name := range []string{"number", "address"} {
				if _, shown := outcome.Shown["c"][0][name]; shown != slices.Contains(c.shown, name) {
					t.Errorf("%s: shown %t", name, shown)
				}
			}
			if outcome.Enc != c.enc {
				t.Errorf("encrypted with %q, want %q", outcome.Enc, c.enc)
			}
		})
	}
	w.run("refused", func(t *testing.T) { // to a verifier whom the wallet knows; it says nothing to a stranger
		ca, err := loadAuthority(w.in.cfg.path(fileCA), w.in.cfg.path(fileCAKey))
		w.check(err)
		wa.VerifierRoots = []*x509.Certificate{ca.cert}
		asking := w.openOutside(wa, map[string]any{"query": cardQuery(card.VCT, `{"path":["number"]}`)})
		_, _, err = wa.Refuse(t.Context(), asking)
		w.check(err)
		var got outcome
		if w.do("verifier", "ended", nil, &got); !got.Refused || got.Error != oid4vc.CodeAccessDenied {
			t.Errorf("got %+v", got)
		}
	})
}

func cardQuery(vct, claim string) json.RawMessage {
	return json.RawMessage(`{"credentials":[{"id":"c","format":"dc+sd-jwt","meta":{"vct_values":["` + vct + `"]},"claims":[` + claim + `]}]}`)
}

// outcome is what the outside verifier says of an answer.
type outcome struct {
	Shown     map[string][]map[string]any
	Satisfied bool
	Enc       string
	Error     string
	Refused   bool
}

// startOutsideVerifier starts the outside verifier with a certificate of the folder's authority.
func (w *outsideWorld) startOutsideVerifier() {
	w.t.Helper()
	key, err := keys.Generate(keys.ES256)
	w.check(err)
	ca, err := loadAuthority(w.in.cfg.path(fileCA), w.in.cfg.path(fileCAKey))
	w.check(err)
	x5c, err := ca.signer("outside verifier", "localhost", key.Public().Crypto(), time.Now())
	w.check(err)
	jwk, err := key.MarshalJWK()
	w.check(err)
	w.do("verifier", "start", map[string]any{"tls": w.tls(), "x5c": x5c, "key": json.RawMessage(jwk)}, nil)
}

// answerOutsideVerifier lets our wallet answer the outside verifier.
func (w *outsideWorld) answerOutsideVerifier(wa *wallet.Wallet, with map[string]any) outcome {
	w.t.Helper()
	asking := w.openOutside(wa, with)
	answer, err := wa.Answer(w.t.Context(), asking, wallet.AnswerOptions{TrustAny: true})
	w.check(err)
	receipt, _, err := wa.Send(w.t.Context(), asking, answer)
	var got outcome
	w.do("verifier", "ended", nil, &got)
	if err != nil || receipt.Outcome != wallet.OutcomeAccepted {
		w.t.Errorf("sending: %v; the receipt says %s", err, receipt.Outcome)
	}
	return got
}

func (w *outsideWorld) openOutside(wa *wallet.Wallet, with map[string]any) *wallet.Asking {
	w.t.Helper()
	var asked struct{ Link string }
	w.do("verifier", "ask", with, &asked)
	asking, err := wa.OpenRequest(w.t.Context(), asked.Link)
	w.check(err)
	return asking
}
