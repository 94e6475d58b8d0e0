package wallet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/issuer/issuertest"
	"akashi/wallet"
)

// fakeVerifier asks for one thing, and is spoilt in one part by each test.
type fakeVerifier struct {
	*setup
	srv     *httptest.Server
	key     *keys.Private // signs requests
	encrypt *keys.Private // opens answers
	leaf    *x509.Certificate
	root    *x509.Certificate

	request  oid4vc.PresentationRequest
	linkID   string // client_id in the link
	post     bool
	nonce    func(string) string // what is made of the wallet_nonce
	issued   time.Duration       // from now
	header   keys.Header
	signer   *keys.Private
	members  map[string]any // of the request object, in place of what is asked
	unsigned bool
	status   int
	got      *oid4vc.VPResponse
	redirect string
	requests int
	agents   []string // User-Agent of the wallet
}

func newFakeVerifier(t *testing.T, s *setup) *fakeVerifier {
	t.Helper()
	f := &fakeVerifier{setup: s, key: issuertest.Key(t), encrypt: issuertest.Key(t), nonce: func(n string) string { return n }, status: http.StatusOK}
	f.srv = httptest.NewTLSServer(f)
	t.Cleanup(f.srv.Close)
	f.leaf, f.root = f.certify(f.key.Public())
	encryption, err := keys.NewEncryptionKey(f.encrypt.Public(), "e")
	f.check(err)
	metadata, err := oid4vc.NewVerifierMetadata(encryption)
	f.check(err)
	f.linkID, f.signer, f.header = oid4vc.X509HashClientID(f.leaf), f.key, keys.Header{"x5c": keys.FormatChain(f.leaf)}
	f.request = oid4vc.PresentationRequest{
		ResponseType: oid4vc.ResponseTypeVPToken, ResponseMode: oid4vc.ModeDirectPostJWT, ClientID: f.linkID, ResponseURI: f.srv.URL + "/answer",
		Nonce: "n-0S6_WzA2Mj", State: "s", Metadata: metadata,
		Query: &dcql.Query{Credentials: []dcql.Credential{{ID: "e", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{attestation.TypeEngagement.VCT()}},
			Claims: []dcql.Claim{{ID: "a", Path: dcql.Path{"terms", "base_amount"}}, {ID: "b", Path: dcql.Path{"terms", "payer_kana"}}}, ClaimSets: [][]string{{"a", "b"}, {"b"}}}}},
	}
	pool := x509.NewCertPool()
	pool.AddCert(f.srv.Certificate())
	s.wallet.Web = web.NewFetcher(web.FetchOptions{RootCAs: pool, DangerouslyAllowLoopback: true})
	s.wallet.VerifierRoots = []*x509.Certificate{f.root}
	return f
}

func (f *fakeVerifier) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeVerifier) certify(public keys.Public) (leaf, root *x509.Certificate) {
	f.t.Helper()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.check(err)
	sign := func(template, parent *x509.Certificate, public any) *x509.Certificate {
		template.NotBefore, template.NotAfter = f.Clock.Now().Add(-time.Hour), f.Clock.Now().AddDate(1, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, rootKey)
		f.check(err)
		c, err := x509.ParseCertificate(der)
		f.check(err)
		return c
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root = sign(template, template, &rootKey.PublicKey)
	return sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "desk"}, DNSNames: []string{"desk.example"}, KeyUsage: x509.KeyUsageDigitalSignature}, root, public.Crypto()), root
}

// ServeHTTP gives the request and takes the answer.
func (f *fakeVerifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests, f.agents = f.requests+1, append(f.agents, r.Header["User-Agent"]...)
	form, err := url.Values{}, error(nil)
	if r.Method == http.MethodPost {
		form, err = web.ReadForm(r)
	}
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, quiet)
		return
	}
	if r.URL.Path == "/answer" {
		key := oid4vc.ResponseKey{Private: f.encrypt, KID: "e"}
		if f.request.ResponseMode == oid4vc.ModeDirectPost {
			key = oid4vc.ResponseKey{}
		}
		if f.got, err = oid4vc.ReadVPResponse(form, key, f.request.State); err != nil {
			web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, quiet)
			return
		}
		web.WriteJSON(w, f.status, oid4vc.VPAnswer{RedirectURI: f.redirect})
		return
	}
	request := f.request
	if (r.Method == http.MethodPost) != f.post {
		http.Error(w, "wrong method", http.StatusMethodNotAllowed)
		return
	}
	request.WalletNonce = f.nonce(form.Get("wallet_nonce"))
	compact := f.sign(request)
	if f.post { // encrypted, since the wallet gave a key
		post, err := oid4vc.ParseWalletPost(form)
		f.check(err)
		f.check(post.Metadata.Check(&request, keys.ES256))
		compact, err = post.Metadata.SealRequestObject(compact)
		f.check(err)
	}
	web.WriteBody(w, http.StatusOK, oid4vc.MediaTypeRequestObject, []byte(compact))
}

// sign makes the request object as spoilt as it is.
func (f *fakeVerifier) sign(request oid4vc.PresentationRequest) string {
	payload, err := json.Marshal(request)
	f.check(err)
	var members map[string]any
	f.check(json.Unmarshal(payload, &members))
	members["aud"], members["exp"] = "https://self-issued.me/v2", f.Clock.Now().Add(f.issued+5*time.Minute).Unix()
	maps.Copy(members, f.members)
	payload, err = json.Marshal(members)
	f.check(err)
	header := keys.Header{"typ": oid4vc.TypeRequestObject}
	if f.unsigned {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"oauth-authz-req+jwt"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	maps.Copy(header, f.header)
	compact, err := f.signer.Sign(header, payload)
	f.check(err)
	return compact
}

func (f *fakeVerifier) link() string {
	l := oid4vc.RequestLink{ClientID: f.linkID, URI: f.srv.URL + "/request", Post: f.post}
	link, err := l.Link(oid4vc.SchemePresentationHAIP)
	f.check(err)
	return link
}

// The wallet refuses what is wrong in one thing, and shows nothing.
func TestOpenRequestRefuses(t *testing.T) {
	s := received(t)
	for name, c := range map[string]struct {
		spoil func(f *fakeVerifier)
		want  error
	}{
		"client_id of the link":     {func(f *fakeVerifier) { f.linkID = oid4vc.X509HashClientID(f.root) }, oid4vc.ErrVPClientID},
		"client_id of another leaf": {func(f *fakeVerifier) { f.linkID = oid4vc.X509HashClientID(f.root); f.request.ClientID = f.linkID }, oid4vc.ErrVPRequestSignature},
		"signed with another key":   {func(f *fakeVerifier) { f.signer = f.encrypt }, oid4vc.ErrVPRequestSignature},
		"no certificate":            {func(f *fakeVerifier) { f.header = nil }, oid4vc.ErrVPRequestSignature},
		"expired":                   {func(f *fakeVerifier) { f.issued = -time.Hour }, oid4vc.ErrVPRequestTime},
		"answer to another host":    {func(f *fakeVerifier) { f.request.ResponseURI = "https://elsewhere.example/answer" }, wallet.ErrElsewhere},
		"answer without https":      {func(f *fakeVerifier) { f.request.ResponseURI = "http://desk.example/answer" }, oid4vc.ErrVPResponseURI},
		"no key for encryption":     {func(f *fakeVerifier) { m := *f.request.Metadata; m.JWKS = nil; f.request.Metadata = &m }, oid4vc.ErrVPEncryption},
		"other formats": {func(f *fakeVerifier) {
			m := *f.request.Metadata
			m.Formats = map[string]json.RawMessage{"mso_mdoc": json.RawMessage("{}")}
			f.request.Metadata = &m
		}, oid4vc.ErrVPFormats},
		"transaction data": {func(f *fakeVerifier) {
			f.request.TransactionData = []string{"eyJ0eXBlIjoidCIsImNyZWRlbnRpYWxfaWRzIjpbImUiXX0"} // {"type":"t","credential_ids":["e"]}
		}, oid4vc.ErrVPTransactionData},
		"another wallet's nonce": {func(f *fakeVerifier) { f.post, f.nonce = true, func(string) string { return "other" } }, oid4vc.ErrVPWalletNonce},
		"no wallet_nonce":        {func(f *fakeVerifier) { f.post, f.nonce = true, func(string) string { return "" } }, oid4vc.ErrVPWalletNonce},
		"a nonce not sent":       {func(f *fakeVerifier) { f.nonce = func(string) string { return "other" } }, oid4vc.ErrVPWalletNonce},
		"all slots":              {func(f *fakeVerifier) { f.ask(dcql.Path{"slots"}) }, wallet.ErrWidePath},
		"a stream":               {func(f *fakeVerifier) { f.ask(dcql.Path{"slots", "wage-bank"}) }, wallet.ErrWidePath},
		"a period":               {func(f *fakeVerifier) { f.ask(dcql.Path{"slots", "wage-bank", "2026-05"}) }, wallet.ErrWidePath},
		"any of the slots": {func(f *fakeVerifier) {
			f.ask(dcql.Path{"slots", "wage-bank"})
			f.request.Query.Credentials[0].Meta = &dcql.Meta{}
		}, wallet.ErrWidePath},
		"gone": {func(f *fakeVerifier) { f.srv.Close() }, wallet.ErrAsking},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVerifier(t, s)
			c.spoil(f)
			if _, err := s.wallet.OpenRequest(ctx, f.link()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// ask asks for one claim of the engagement.
func (f *fakeVerifier) ask(path dcql.Path) {
	f.request.Query.Credentials[0].Claims, f.request.Query.Credentials[0].ClaimSets = []dcql.Claim{{Path: path}}, nil
}

func TestAnswer(t *testing.T) {
	s, _, _ := full(t)
	for name, c := range map[string]struct {
		set     func(f *fakeVerifier)
		hide    []string
		claims  int
		outcome string
	}{
		"as asked":              {func(*fakeVerifier) {}, nil, 2, wallet.OutcomeAccepted},
		"in clear, by POST":     {func(f *fakeVerifier) { f.request.ResponseMode, f.post = oid4vc.ModeDirectPost, true }, nil, 2, wallet.OutcomeAccepted},
		"with a claim hidden":   {func(*fakeVerifier) {}, []string{"terms.base_amount"}, 1, wallet.OutcomeAccepted},
		"the answer is seen":    {func(f *fakeVerifier) { f.status = http.StatusBadRequest }, nil, 2, wallet.OutcomeRejected},
		"one period's secret":   {func(f *fakeVerifier) { f.ask(dcql.Path{"slots", "wage-bank", "2026-05", "s"}) }, nil, 1, wallet.OutcomeAccepted},
		"going on in a browser": {func(f *fakeVerifier) { f.redirect = "https://desk.example/#response_code=1" }, nil, 2, wallet.OutcomeAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			s.Clock.Set(s.Clock.Now().Add(time.Second))
			f := newFakeVerifier(t, s)
			c.set(f)
			a, err := s.wallet.OpenRequest(ctx, f.link())
			f.check(err)
			if !a.Known || a.Entity != "" || a.Names[""] != "desk" {
				t.Errorf("who asks: %+v", a)
			}
			answer, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{Hide: c.hide})
			f.check(err)
			r, next, err := s.wallet.Send(ctx, a, answer)
			if (err == nil) != (c.outcome == wallet.OutcomeAccepted) || r == nil || r.Outcome != c.outcome || next != f.redirect {
				t.Fatalf("got %+v, %q, %v", r, next, err)
			}
			if len(r.Documents) != 1 || len(r.Documents[0].Claims) != c.claims {
				t.Errorf("shown: %+v", r.Documents)
			}
			f.verify(c.claims)
			log, err := s.wallet.Shown(ctx)
			f.check(err)
			if last := log[len(log)-1]; last.ClientID != f.linkID || last.Outcome != c.outcome || len(last.Documents) != 1 {
				t.Errorf("log: %+v", last)
			}
		})
	}
}

// verify checks the answer as a verifier does.
func (f *fakeVerifier) verify(claims int) {
	f.t.Helper()
	if f.got == nil || len(f.got.Token["e"]) != 1 {
		f.t.Fatalf("the verifier got %+v", f.got)
	}
	if _, paths := shownTo(f.t, f.setup, f.got.Token["e"][0], f.request.ClientID, f.request.Nonce); len(paths) != claims {
		f.t.Errorf("disclosed: %v", paths)
	}
}

func TestAnswerStops(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	open := func() *wallet.Asking {
		t.Helper()
		a, err := s.wallet.OpenRequest(ctx, f.link())
		f.check(err)
		return a
	}
	refused := func(o wallet.AnswerOptions, want error) {
		t.Helper()
		if _, err := s.wallet.Answer(ctx, open(), o); !errors.Is(err, want) {
			t.Errorf("%+v: got %v, want %v", o, err, want)
		}
	}
	refused(wallet.AnswerOptions{Hide: []string{"terms"}}, wallet.ErrCannotAnswer)
	refused(wallet.AnswerOptions{Hide: []string{s.engagement}}, wallet.ErrCannotAnswer)
	refused(wallet.AnswerOptions{Hide: []string{"terms.base"}}, wallet.ErrNoMatch)
	refused(wallet.AnswerOptions{Engagement: "none"}, wallet.ErrUnknownID)
	f.ask(dcql.Path{"no", "such"})
	refused(wallet.AnswerOptions{}, wallet.ErrCannotAnswer)

	r, _, err := s.wallet.Refuse(ctx, open())
	if err != nil || r.Outcome != wallet.OutcomeRefused || f.got.Error == nil || f.got.Error.Code != oid4vc.CodeAccessDenied || f.got.Token != nil {
		t.Errorf("refusing: %+v, %v, the verifier got %+v", r, err, f.got)
	}
	f = newFakeVerifier(t, s)
	s.wallet.VerifierRoots = nil
	if a := open(); a.Known || len(a.Names) != 0 {
		t.Errorf("a stranger: %+v", a)
	}
	refused(wallet.AnswerOptions{}, wallet.ErrUnknownVerifier)
	if _, err := s.wallet.Answer(ctx, open(), wallet.AnswerOptions{TrustAny: true}); err != nil {
		t.Errorf("a stranger, trusted: %v", err)
	}
	s.wallet.Web = nil
	if _, err := s.wallet.OpenRequest(ctx, f.link()); !errors.Is(err, wallet.ErrOffline) {
		t.Errorf("without a way out: %v", err)
	}
}
