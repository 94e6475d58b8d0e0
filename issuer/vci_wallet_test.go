package issuer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

// vciWorld is the organizations of the story behind https, for wallets.
type vciWorld struct {
	*issuertest.World
	cfg    issuer.VCIConfig
	server *httptest.Server
	http   *http.Client
}

// newVCIWorld serves the world's issuer with the configuration at https://issuer.example.
func newVCIWorld(t *testing.T, cfg issuer.VCIConfig) *vciWorld {
	t.Helper()
	w := &vciWorld{World: issuertest.New(t, store.NewMemory()), cfg: cfg}
	w.restart()
	return w
}

// restart puts a new issuer over the store.
func (w *vciWorld) restart() {
	w.T.Helper()
	if w.cfg.Rate.PerSecond == 0 {
		w.cfg.Rate.PerSecond = -1
	}
	cfg := w.Config()
	cfg.VCI = w.cfg
	i, err := issuer.New(cfg)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Issuer = i
	w.server = httptest.NewTLSServer(i.Handler())
	w.T.Cleanup(w.server.Close)
	transport := w.server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.server.Listener.Addr().String())
	}
	transport.MaxIdleConnsPerHost = 64
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com"} // the test certificate's
	w.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is an answer, read whole.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// as decodes the body.
func (r *reply) as(v any) *reply {
	r.t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		r.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return r
}

// want fails the test unless the status is the one given.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// refused fails the test unless the answer is an error of the standard's form with the code.
func (r *reply) refused(status int, code string) {
	r.t.Helper()
	var e struct{ Error string }
	_ = json.Unmarshal(r.body, &e)
	if r.status != status || e.Error != code {
		r.t.Errorf("got %d %s, want %d %s", r.status, r.body, status, code)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		r.t.Errorf("Content-Type of the error: %q", got)
	}
	if got := r.header.Get("Cache-Control"); got != "no-store" {
		r.t.Errorf("Cache-Control of the error: %q", got)
	}
}

func (w *vciWorld) do(req *http.Request) *reply {
	w.T.Helper()
	resp, err := w.http.Do(req)
	if err != nil {
		w.T.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.T.Fatal(err)
	}
	return &reply{w.T, resp.StatusCode, resp.Header, body}
}

func (w *vciWorld) get(target string, header ...string) *reply {
	w.T.Helper()
	return w.do(w.request(http.MethodGet, target, "", nil, header...))
}

func (w *vciWorld) request(method, target, contentType string, body []byte, header ...string) *http.Request {
	w.T.Helper()
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		w.T.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for n := 0; n+1 < len(header); n += 2 {
		req.Header.Add(header[n], header[n+1])
	}
	return req
}

// testWallet is a wallet that does one thing at a time, so that a test can spoil any of them.
type testWallet struct {
	w        *vciWorld
	issuer   string
	holder   *keys.Private
	dpop     *keys.Private // nil: Bearer
	clientID string
	nonce    string // last DPoP-Nonce
	token    oid4vc.TokenResponse
}

func (w *vciWorld) wallet(issuerID string) *testWallet {
	return &testWallet{w: w, issuer: issuerID, holder: issuertest.Key(w.T), dpop: issuertest.Key(w.T)}
}

func (p *testWallet) keep(r *reply) *reply {
	if n := r.header.Get("DPoP-Nonce"); n != "" {
		p.nonce = n
	}
	return r
}

// proof returns a DPoP header for an endpoint.
func (p *testWallet) proof(method, target, token string) string {
	p.w.T.Helper()
	proof, err := oid4vc.MakeDPoP(p.dpop, oid4vc.DPoPOptions{Method: method, URL: target, AccessToken: token, Nonce: p.nonce, Now: p.w.Clock.Now()})
	if err != nil {
		p.w.T.Fatal(err)
	}
	return proof
}

// challenge gets a server nonce.
func (p *testWallet) challenge() string {
	p.w.T.Helper()
	var c oid4vc.NonceResponse
	p.keep(p.w.do(p.w.request(http.MethodPost, p.issuer+"/nonce", "", nil)).want(http.StatusOK)).as(&c)
	return c.Nonce
}

// form posts a form to an endpoint of the authorization server.
func (p *testWallet) form(endpoint string, form url.Values, header ...string) *reply {
	p.w.T.Helper()
	if p.nonce == "" {
		p.challenge()
	}
	if p.dpop != nil {
		header = append(header, "DPoP", p.proof(http.MethodPost, p.issuer+endpoint, ""))
	}
	return p.keep(p.w.do(p.w.request(http.MethodPost, p.issuer+endpoint, oid4vc.MediaTypeForm, []byte(form.Encode()), header...)))
}

// resource posts a message to a protected endpoint.
func (p *testWallet) resource(endpoint, contentType string, body []byte) *reply {
	p.w.T.Helper()
	header := []string{"Authorization", "Bearer " + p.token.AccessToken}
	if p.dpop != nil {
		header = []string{"Authorization", "DPoP " + p.token.AccessToken, "DPoP", p.proof(http.MethodPost, p.issuer+endpoint, p.token.AccessToken)}
	}
	return p.keep(p.w.do(p.w.request(http.MethodPost, p.issuer+endpoint, contentType, body, header...)))
}

func (p *testWallet) json(endpoint string, message any) *reply {
	p.w.T.Helper()
	body, err := json.Marshal(message)
	if err != nil {
		p.w.T.Fatal(err)
	}
	return p.resource(endpoint, oid4vc.MediaTypeJSON, body)
}

// offer makes an offer and reads it as a wallet does.
func (w *vciWorld) offer(actor string, req issuer.OfferRequest) *oid4vc.CredentialOffer {
	w.T.Helper()
	made, err := w.Issuer.MakeOffer(context.Background(), w.Orgs[actor].ID, req)
	if err != nil {
		w.T.Fatal(err)
	}
	link, err := oid4vc.ParseOfferLink(made.Link)
	if err != nil {
		w.T.Fatal(err)
	}
	if link.Offer != nil {
		return link.Offer
	}
	r := w.get(link.URI).want(http.StatusOK)
	offer, err := oid4vc.ParseOffer(r.body)
	if err != nil {
		w.T.Fatal(err)
	}
	return offer
}

// redeem takes tokens for the pre-authorized code of an offer.
func (p *testWallet) redeem(offer *oid4vc.CredentialOffer, more ...string) *testWallet {
	p.w.T.Helper()
	p.form("/token", preAuthorized(offer, more...)).want(http.StatusOK).as(&p.token)
	return p
}

func preAuthorized(offer *oid4vc.CredentialOffer, more ...string) url.Values {
	form := url.Values{"grant_type": {oid4vc.GrantPreAuthorizedCode}, "pre-authorized_code": {offer.Grants.PreAuthorizedCode.Code}}
	for n := 0; n+1 < len(more); n += 2 {
		form.Set(more[n], more[n+1])
	}
	return form
}

// keyProof makes a proof for a key.
func (p *testWallet) keyProof(holder *keys.Private, nonce string) string {
	p.w.T.Helper()
	proof, err := oid4vc.MakeKeyProof(holder, oid4vc.KeyProofOptions{Issuer: p.issuer, ClientID: p.clientID, Nonce: nonce, Now: p.w.Clock.Now()})
	if err != nil {
		p.w.T.Fatal(err)
	}
	return proof
}

// ask makes a credential request for the wallet's key.
func (p *testWallet) ask(configuration string) oid4vc.CredentialRequest {
	p.w.T.Helper()
	req := oid4vc.CredentialRequest{ConfigurationID: configuration, Proofs: &oid4vc.Proofs{Type: "jwt", Values: []string{p.keyProof(p.holder, p.challenge())}}}
	if len(p.token.Details) > 0 {
		req.ConfigurationID, req.Identifier = "", p.token.Details[0].Identifiers[0]
	}
	return req
}

// collect asks for a credential and expects to get it.
func (p *testWallet) collect(configuration string) (credential string, resp oid4vc.CredentialResponse) {
	p.w.T.Helper()
	p.json("/credential", p.ask(configuration)).want(http.StatusOK).as(&resp)
	return p.first(resp), resp
}

func (p *testWallet) first(resp oid4vc.CredentialResponse) string {
	p.w.T.Helper()
	if len(resp.Credentials) == 0 {
		p.w.T.Fatal("no credential in the response")
	}
	text, err := resp.Credentials[0].Text()
	if err != nil {
		p.w.T.Fatal(err)
	}
	return text
}

// authorize goes through the pushed request and the consent page, and returns the parameters of the redirect.
func (p *testWallet) authorize(req oid4vc.AuthorizationRequest, decision string, header ...string) url.Values {
	p.w.T.Helper()
	form, err := req.Values()
	if err != nil {
		p.w.T.Fatal(err)
	}
	var answer oid4vc.PushedResponse
	p.form("/par", form, header...).want(http.StatusCreated).as(&answer)
	return p.decide(req.ClientID, answer.RequestURI, decision)
}

func (p *testWallet) decide(clientID, requestURI, decision string) url.Values {
	p.w.T.Helper()
	query := url.Values{"client_id": {clientID}, "request_uri": {requestURI}}
	page := p.w.get(p.issuer + "/authorize?" + query.Encode()).want(http.StatusOK)
	if !strings.Contains(string(page.body), `name="decision"`) {
		p.w.T.Fatalf("no form to decide: %s", page.body)
	}
	query.Set("decision", decision)
	r := p.w.do(p.w.request(http.MethodPost, p.issuer+"/authorize", oid4vc.MediaTypeForm, []byte(query.Encode()))).want(http.StatusSeeOther)
	location, err := url.Parse(r.header.Get("Location"))
	if err != nil {
		p.w.T.Fatal(err)
	}
	return location.Query()
}
