package wallet_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// fakeIssuer is an issuer that is strict by itself, and that tests spoil one part of.
type fakeIssuer struct {
	t       testing.TB
	srv     *httptest.Server
	key     *keys.Private // signs credentials, metadata, status lists
	encrypt *keys.Private // opens requests
	clock   func() time.Time

	issuer   func(*oid4vc.IssuerMetadata)
	server   func(*oid4vc.ServerMetadata)
	token    func(*oid4vc.TokenResponse)
	claims   func(n int, claims map[string]any)
	response func(*oid4vc.CredentialResponse)
	redirect func(url.Values)
	handle   map[string]http.HandlerFunc // in place of the fake's own, by path; nil goes on
	status   statuslist.Status
	signer   *keys.Private // of credentials, where it is another key
	plain    bool          // answers unencrypted whatever was asked for
	deferred int           // how often it says to come later
	give     int           // credentials at most, 0 = one for each key
	// attesterKey returns the key of who attests keys, where they must be attested; nil where not.
	attesterKey func(keys.UnverifiedHeader) (keys.Public, error)

	proofType string
	header    keys.Header // of credentials and status lists; nil: the kid of the key

	mu     sync.Mutex
	nonce  int            // of DPoP
	proofs map[string]int // c_nonce -> times it may be used
	asked  map[string]int // requests by path
	events []string       // notifications
	keys   []keys.Public  // of the last request
	form   url.Values     // of the last token request
	bound  string         // DPoP thumbprint
	pushed url.Values
}

var quiet = slog.New(slog.DiscardHandler)

const fakeNonce = "dpop-nonce-%d"

func newFakeIssuer(t testing.TB, clock func() time.Time) *fakeIssuer {
	t.Helper()
	f := &fakeIssuer{t: t, key: issuertest.Key(t), encrypt: issuertest.Key(t), clock: clock, proofs: map[string]int{}, asked: map[string]int{}, handle: map[string]http.HandlerFunc{}}
	f.signer, f.proofType = f.key, oid4vc.ProofTypeJWT
	f.srv = httptest.NewTLSServer(f)
	t.Cleanup(f.srv.Close)
	return f
}

func (f *fakeIssuer) id() string { return f.srv.URL + "/o/1" }

func (f *fakeIssuer) vct() string { return f.srv.URL + "/types/card" }

func (f *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[r.URL.Path]++
	if h := f.handle[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	switch path, _ := strings.CutPrefix(r.URL.Path, "/o/1"); path {
	case "/.well-known/openid-credential-issuer/o/1":
		f.serveMetadata(w, r)
	case "/.well-known/oauth-authorization-server/o/1":
		web.WriteJSON(w, 200, f.serverMetadata())
	case "/.well-known/jwt-vc-issuer/o/1":
		set, err := oid4vc.SigningKeySet(f.key.Public())
		check(f.t, err)
		web.WriteJSON(w, 200, oid4vc.JWTVCIssuerMetadata{Issuer: f.id(), JWKS: &set})
	case "/types/card":
		web.WriteJSON(w, 200, json.RawMessage(`{"vct":"`+f.vct()+`","claims":[{"path":["name"],"mandatory":true,"sd":"always"},{"path":["level"],"sd":"never"}]}`))
	case "/offer":
		web.WriteJSON(w, 200, f.offer(true))
	case "/par":
		f.servePAR(w, r)
	case "/authorize":
		f.serveAuthorize(w, r)
	case "/token":
		f.serveToken(w, r)
	case "/nonce":
		n := fmt.Sprintf("c-%d", len(f.proofs))
		f.proofs[n] = 1
		web.WriteJSON(w, 200, oid4vc.NonceResponse{Nonce: n})
	case "/credential":
		f.serveCredential(w, r, false)
	case "/deferred":
		f.serveCredential(w, r, true)
	case "/notification":
		f.serveNotification(w, r)
	case "/status":
		f.serveStatus(w)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeIssuer) metadata() *oid4vc.IssuerMetadata {
	jwk, err := keys.NewEncryptionKey(f.encrypt.Public(), "enc-1")
	check(f.t, err)
	text, err := json.Marshal(jwk)
	check(f.t, err)
	m := &oid4vc.IssuerMetadata{
		CredentialIssuer: f.id(), CredentialEndpoint: f.id() + "/credential", NonceEndpoint: f.id() + "/nonce", DeferredEndpoint: f.id() + "/deferred", NotificationEndpoint: f.id() + "/notification",
		RequestEncryption:  &oid4vc.RequestEncryptionMetadata{JWKS: oid4vc.KeySet{Keys: []json.RawMessage{text}}, Enc: []string{"A256GCM"}, Zip: []string{"DEF"}},
		ResponseEncryption: &oid4vc.ResponseEncryptionMetadata{Alg: []string{"ECDH-ES"}, Enc: []string{"A256GCM"}, Zip: []string{"DEF"}},
		Batch:              &oid4vc.BatchMetadata{BatchSize: 3}, Display: []oid4vc.Display{{Name: "Fake", Locale: "en"}},
		Configurations: map[string]oid4vc.CredentialConfiguration{"card": {
			Format: oid4vc.FormatSDJWTVC, VCT: f.vct(), Scope: "card", SigningAlgs: []any{"ES256"}, BindingMethods: []string{"jwk"},
			ProofTypes: map[string]oid4vc.ProofTypeConfig{"jwt": {SigningAlgs: []string{"ES256"}}}, Metadata: &oid4vc.CredentialMetadata{Display: []oid4vc.Display{{Name: "Card", Locale: "en"}}},
		}},
	}
	if f.issuer != nil {
		f.issuer(m)
	}
	return m
}

func (f *fakeIssuer) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Accept"), oid4vc.MediaTypeJWT) {
		web.WriteJSON(w, 200, f.metadata())
		return
	}
	jwt, err := oid4vc.SignIssuerMetadata(f.key, keys.Header{"kid": f.key.Public().Thumbprint()}, f.metadata(), f.clock(), f.clock().Add(time.Hour))
	check(f.t, err)
	web.WriteBody(w, 200, oid4vc.MediaTypeJWT, []byte(jwt))
}

func (f *fakeIssuer) serverMetadata() *oid4vc.ServerMetadata {
	m := &oid4vc.ServerMetadata{Issuer: f.id(), AuthorizationEndpoint: f.id() + "/authorize", TokenEndpoint: f.id() + "/token", PushedEndpoint: f.id() + "/par", RequirePushed: true,
		ResponseTypesSupported: []string{"code"}, GrantTypesSupported: []string{oid4vc.GrantAuthorizationCode, oid4vc.GrantPreAuthorizedCode, oid4vc.GrantRefreshToken},
		CodeChallengeMethodsSupported: []string{"S256"}, DPoPAlgsSupported: []string{"ES256"}, TokenAuthMethodsSupported: []string{"none"}, IssParameterSupported: true, AnonymousPreAuthorized: true}
	if f.server != nil {
		f.server(m)
	}
	return m
}

func (f *fakeIssuer) offer(preAuthorized bool) *oid4vc.CredentialOffer {
	o := &oid4vc.CredentialOffer{CredentialIssuer: f.id(), ConfigurationIDs: []string{"card"}, Grants: &oid4vc.OfferGrants{}}
	if preAuthorized {
		o.Grants.PreAuthorizedCode = &oid4vc.OfferPreAuthorizedCode{Code: "code", TxCode: &oid4vc.TxCode{Length: 4}}
	} else {
		o.Grants.AuthorizationCode = &oid4vc.OfferAuthorizationCode{IssuerState: "state-1"}
	}
	return o
}

func (f *fakeIssuer) link(preAuthorized bool) string {
	l, err := f.offer(preAuthorized).Link(oid4vc.SchemeOffer)
	check(f.t, err)
	return l
}

// proved checks the DPoP proof, which must have the newest nonce; it makes a new one for each request.
func (f *fakeIssuer) proved(w http.ResponseWriter, r *http.Request, token string) bool {
	want := fmt.Sprintf(fakeNonce, f.nonce)
	p, err := oid4vc.CheckDPoP(r.Header, oid4vc.ExpectDPoP{Method: "POST", URL: f.srv.URL + r.URL.Path, Now: f.clock(), AccessToken: token, Thumbprint: f.bound, Nonce: func(n string) error {
		if n != want {
			return errors.New("another nonce")
		}
		return nil
	}})
	f.nonce++
	w.Header().Set(oid4vc.HeaderDPoPNonce, fmt.Sprintf(fakeNonce, f.nonce))
	if err != nil {
		f.refuse(w, r, err, token != "")
		return false
	}
	f.bound = p.Thumbprint
	return true
}

func (f *fakeIssuer) refuse(w http.ResponseWriter, r *http.Request, err error, resource bool) {
	if resource {
		web.WriteResourceError(w, r, err, oid4vc.CodeInvalidCredentialRequest, web.Challenge{Schemes: []string{"DPoP"}, DPoPAlgs: []string{"ES256"}}, quiet)
		return
	}
	web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, quiet)
}

func (f *fakeIssuer) servePAR(w http.ResponseWriter, r *http.Request) {
	if !f.proved(w, r, "") {
		return
	}
	form, err := web.ReadForm(r)
	if err == nil {
		_, err = oid4vc.ParseAuthorizationRequest(form)
	}
	if err != nil {
		f.refuse(w, r, err, false)
		return
	}
	f.pushed = form
	web.WriteJSON(w, 201, oid4vc.PushedResponse{RequestURI: oid4vc.RequestURIPrefix + "1", ExpiresIn: 60})
}

func (f *fakeIssuer) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	answer := url.Values{"code": {"code"}, "state": {f.pushed.Get("state")}, "iss": {f.id()}}
	if f.redirect != nil {
		f.redirect(answer)
	}
	to, err := oid4vc.RedirectTo(f.pushed.Get("redirect_uri"), answer)
	check(f.t, err)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (f *fakeIssuer) serveToken(w http.ResponseWriter, r *http.Request) {
	if !f.proved(w, r, "") {
		return
	}
	form, err := web.ReadForm(r)
	if err != nil {
		f.refuse(w, r, err, false)
		return
	}
	f.form = form
	req, err := oid4vc.ParseTokenRequest(form)
	switch {
	case err != nil:
	case req.GrantType == oid4vc.GrantPreAuthorizedCode && (req.PreAuthorizedCode != "code" || req.TxCode != "1234"):
		err = oid4vc.ErrTxCodeWrong
	case req.GrantType == oid4vc.GrantAuthorizationCode:
		err = oid4vc.CheckCodeVerifier(req.CodeVerifier, f.pushed.Get("code_challenge"))
	}
	if err != nil {
		f.refuse(w, r, err, false)
		return
	}
	resp := oid4vc.TokenResponse{AccessToken: "token", TokenType: oid4vc.TokenDPoP, ExpiresIn: 600, RefreshToken: fmt.Sprintf("refresh-%d", f.nonce)}
	if f.token != nil {
		f.token(&resp)
	}
	web.WriteJSON(w, 200, resp)
}

func (f *fakeIssuer) serveCredential(w http.ResponseWriter, r *http.Request, later bool) {
	if !f.proved(w, r, "token") {
		return
	}
	_, body, err := web.ReadBody(r, oid4vc.MediaTypeJWT, oid4vc.MediaTypeJSON)
	check(f.t, err)
	m := f.metadata()
	if m.RequestEncryption != nil {
		if body, err = oid4vc.OpenRequest(string(body), m.RequestEncryption, func(string) *keys.Private { return f.encrypt }); err != nil {
			f.refuse(w, r, err, true)
			return
		}
	}
	var encryption *oid4vc.ResponseEncryption
	if later {
		req, err := oid4vc.ParseDeferredRequest(body)
		check(f.t, err)
		encryption = req.ResponseEncryption
	} else {
		req, err := oid4vc.ParseCredentialRequest(body)
		check(f.t, err)
		encryption = req.ResponseEncryption
		set, err := oid4vc.CheckProofs(req.Proofs, oid4vc.ExpectProofs{Issuer: f.id(), Types: map[string][]keys.Alg{f.proofType: {keys.ES256}}, BindingMethods: m.Configurations["card"].BindingMethods, MaxProofs: 3,
			ClientID: f.form.Get("client_id"), Now: f.clock(), NonceRequired: true, Nonce: func(n string) error {
				if f.proofs[n]--; f.proofs[n] < 0 {
					return errors.New("used")
				}
				return nil
			}, AttestationRequired: f.attesterKey != nil, KeyAttestation: &oid4vc.ExpectKeyAttestation{AttesterKey: f.attesterKey}})
		if err != nil {
			f.refuse(w, r, err, true)
			return
		}
		f.keys = set.Keys
	}
	f.answer(w, encryption)
}

func (f *fakeIssuer) answer(w http.ResponseWriter, encryption *oid4vc.ResponseEncryption) {
	resp := &oid4vc.CredentialResponse{}
	if f.deferred > 0 {
		f.deferred--
		resp.TransactionID, resp.Interval = "transaction", 5
	} else {
		resp.NotificationID = "notification"
		for n, k := range f.keys {
			if f.give == 0 || n < f.give {
				resp.Credentials = append(resp.Credentials, oid4vc.TextCredential(f.credential(n, k)))
			}
		}
		slices.Reverse(resp.Credentials) // order carries no meaning
	}
	if f.response != nil {
		f.response(resp)
	}
	if encryption == nil || f.plain {
		web.WriteJSON(w, resp.Status(), resp)
		return
	}
	body, err := json.Marshal(resp)
	check(f.t, err)
	jwe, err := encryption.Seal(body)
	check(f.t, err)
	web.WriteBody(w, resp.Status(), oid4vc.MediaTypeJWT, []byte(jwe))
}

func (f *fakeIssuer) credential(n int, holder keys.Public) string {
	claims := map[string]any{"iss": f.id(), "vct": f.vct(), "iat": f.clock().Truncate(24 * time.Hour).Unix(), "exp": f.clock().Add(30 * 24 * time.Hour).Unix(),
		"cnf": map[string]any{"jwk": holder.JWK()}, "name": sdjwt.Hidden("Nguyen"), "status": statuslist.Reference{Index: uint64(n), URI: f.id() + "/status"}.Claim()}
	if f.claims != nil {
		f.claims(n, claims)
	}
	header := keys.Header{"kid": f.key.Public().Thumbprint()}
	if f.header != nil {
		header = f.header
	}
	compact, err := sdjwt.Issue(f.signer, header, claims, sdjwt.Options{})
	check(f.t, err)
	return compact
}

func (f *fakeIssuer) serveNotification(w http.ResponseWriter, r *http.Request) {
	if !f.proved(w, r, "token") {
		return
	}
	_, body, err := web.ReadBody(r, oid4vc.MediaTypeJSON)
	check(f.t, err)
	n, err := oid4vc.ParseNotificationRequest(body)
	check(f.t, err)
	f.events = append(f.events, n.Event)
	w.WriteHeader(http.StatusNoContent)
}

func (f *fakeIssuer) serveStatus(w http.ResponseWriter) {
	l, err := statuslist.New(2, statuslist.MinEntries)
	check(f.t, err)
	check(f.t, l.Set(1, f.status))
	token, err := statuslist.SignToken(f.key, l, statuslist.TokenOptions{URI: f.id() + "/status", IssuedAt: f.clock(), TTL: time.Hour, KeyID: f.key.Public().Thumbprint()})
	check(f.t, err)
	web.WriteBody(w, 200, statuslist.MediaType, []byte(token))
}

// online is a wallet that meets a fake issuer.
type online struct {
	*setup
	fake *fakeIssuer
}

// newOnline makes one with the issuer on the trust list.
func newOnline(t testing.TB) *online {
	t.Helper()
	o := newStranger(t)
	o.Entities = slices.DeleteFunc(o.Entities, func(e *trustlist.Entity) bool { return e.ID == "5990000000004" })
	o.Entities = append(o.Entities, &trustlist.Entity{ID: "5990000000004", Name: map[string]string{"en": "Sample school"}, Roles: []attestation.Role{attestation.Bank}, Issuer: o.fake.id(),
		From: attestation.NewDate(2026, 1, 1), Keys: []json.RawMessage{o.fake.key.Public().JWK()}})
	o.Publish()
	return o
}

// newStranger makes one with an issuer whom nobody has listed.
func newStranger(t testing.TB) *online {
	t.Helper()
	s := &setup{World: issuertest.New(t, store.NewMemory()), t: t, store: store.NewMemory()}
	s.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	o := &online{s, newFakeIssuer(t, s.Clock.Now)}
	s.wallet = s.newWallet(s.store)
	o.connect()
	return o
}

// connect gives the wallet its way to issuers.
func (o *online) connect() {
	pool := x509.NewCertPool()
	pool.AddCert(o.fake.srv.Certificate())
	o.wallet.Web = web.NewFetcher(web.FetchOptions{RootCAs: pool, DangerouslyAllowLoopback: true, Now: o.Clock.Now})
}

func (o *online) browse(ctx context.Context, target string) (string, error) {
	client := o.fake.srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(target)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Header.Get("Location"), nil
}

func (o *online) collect(link string) (*wallet.Offer, *wallet.Collected, error) {
	offer, err := o.wallet.OpenOffer(ctx, link)
	if err != nil {
		return nil, nil, err
	}
	got, err := o.wallet.Collect(ctx, offer, wallet.CollectOptions{TxCode: "1234", Authorize: o.browse, Redirect: "http://127.0.0.1:1/callback"})
	return offer, got, err
}

func TestCollect(t *testing.T) {
	for _, c := range []struct {
		name    string
		pre     bool
		prepare func(*fakeIssuer)
		count   int
	}{
		{"pre-authorized code", true, func(*fakeIssuer) {}, 3},
		{"authorization code", false, func(*fakeIssuer) {}, 3},
		{"no batch", true, func(f *fakeIssuer) { f.issuer = func(m *oid4vc.IssuerMetadata) { m.Batch = nil } }, 1},
		{"batch short", true, func(f *fakeIssuer) { f.give = 2 }, 2},
		{"no encryption", true, func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) { m.RequestEncryption, m.ResponseEncryption = nil, nil }
		}, 3},
		{"no PAR", false, func(f *fakeIssuer) {
			f.server = func(m *oid4vc.ServerMetadata) { m.PushedEndpoint, m.RequirePushed = "", false }
			f.handle["/o/1/authorize"] = func(w http.ResponseWriter, r *http.Request) {
				f.pushed = r.URL.Query()
				f.serveAuthorize(w, r)
			}
		}, 3},
		{"replayed c_nonce", true, func(f *fakeIssuer) {
			f.handle["/o/1/nonce"] = func(w http.ResponseWriter, r *http.Request) {
				delete(f.handle, "/o/1/nonce")
				web.WriteJSON(w, 200, oid4vc.NonceResponse{Nonce: "used"})
			}
		}, 3},
		{"keys named by did:jwk", true, func(f *fakeIssuer) { f.issuer = bindings(oid4vc.BindingDIDJWK) }, 3},
		{"keys named by did:key", true, func(f *fakeIssuer) { f.issuer = bindings(oid4vc.BindingDIDKey) }, 3},
		{"status list out of reach", true, func(f *fakeIssuer) { f.handle["/o/1/status"] = http.NotFound }, 3},
		{"type metadata out of reach", true, func(f *fakeIssuer) { f.handle["/types/card"] = http.NotFound }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			c.prepare(o.fake)
			offer, got, err := o.collect(o.fake.link(c.pre))
			if err != nil {
				t.Fatal(err)
			}
			if !offer.Signed || offer.Entity != "5990000000004" || offer.Names["en"] != "Sample school" || offer.Credentials[0].Names["en"] != "Card" {
				t.Errorf("%+v", offer)
			}
			held, err := o.wallet.Credentials(ctx)
			check(t, err)
			if len(held) != c.count || len(got.Credentials) != c.count || len(got.Refused) != 0 || !got.Refreshable {
				t.Errorf("%d held, %+v", len(held), got)
			}
			bound := map[string]bool{}
			for _, h := range held {
				bound[h.Key] = true
				want := wallet.StatusValid
				if o.fake.handle["/o/1/status"] != nil {
					want = wallet.StatusUnknown
				}
				if h.Status != want || h.Entity != "5990000000004" || h.Expires == nil {
					t.Errorf("%+v", h)
				}
			}
			if len(bound) != c.count {
				t.Errorf("%d keys for %d credentials", len(bound), c.count)
			}
			if !slices.Equal(o.fake.events, []string{oid4vc.EventAccepted}) {
				t.Errorf("notified %v", o.fake.events)
			}
			if again, err := o.wallet.Refresh(ctx); err != nil || len(again.Credentials) != 0 {
				t.Errorf("refresh brought %+v, %v, though nothing is due", again, err)
			}
			o.Clock.Set(o.Clock.Now().AddDate(0, 0, 25))
			o.fake.handle = map[string]http.HandlerFunc{}
			if again, err := o.wallet.Refresh(ctx); err != nil || len(again.Credentials) == 0 {
				t.Errorf("refresh before the expiry: %+v, %v", again, err)
			}
		})
	}
}

func bindings(methods ...string) func(*oid4vc.IssuerMetadata) {
	return func(m *oid4vc.IssuerMetadata) {
		c := m.Configurations["card"]
		c.BindingMethods = methods
		m.Configurations["card"] = c
	}
}

func TestCollectDeferred(t *testing.T) {
	o := newOnline(t)
	o.fake.deferred = 2
	_, got, err := o.collect(o.fake.link(true))
	if err != nil || got.Deferred != 1 || len(got.Credentials) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	o.reopen()
	o.connect()
	asked := func() int { return o.fake.asked["/o/1/deferred"] }
	if got, err = o.wallet.Refresh(ctx); err != nil || got.Deferred != 1 || asked() != 0 {
		t.Errorf("too soon: %+v, %v, asked %d times", got, err, asked())
	}
	o.Clock.Set(o.Clock.Now().Add(6 * time.Second))
	if got, err = o.wallet.Refresh(ctx); err != nil || got.Deferred != 1 || asked() != 2 { // once for the nonce of DPoP
		t.Errorf("later still: %+v, %v, asked %d times", got, err, asked())
	}
	o.Clock.Set(o.Clock.Now().Add(2 * time.Hour)) // the access token has expired
	if got, err = o.wallet.Refresh(ctx); err != nil || got.Deferred != 0 || len(got.Credentials) != 3 {
		t.Errorf("there: %+v, %v", got, err)
	}
	o.Clock.Set(o.Clock.Now().Add(time.Minute))
	before := asked()
	if got, err = o.wallet.Refresh(ctx); err != nil || len(got.Credentials) != 0 || asked() != before {
		t.Errorf("asked again for what is there: %+v, %v", got, err)
	}
}

// TestCollectRefuses starts from an issuer of which the wallet takes three credentials and spoils one thing a row.
func TestCollectRefuses(t *testing.T) {
	other := issuertest.Key(t)
	for _, c := range []struct {
		name  string
		code  bool // authorization code in place of a pre-authorized one
		spoil func(*fakeIssuer)
		want  error // nil: any
		says  string
		held  int // of three
	}{
		{name: "another issuer in the metadata", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) { m.CredentialIssuer += "x" }
			f.handle["/.well-known/openid-credential-issuer/o/1"] = func(w http.ResponseWriter, _ *http.Request) { web.WriteJSON(w, 200, f.metadata()) }
		}, want: wallet.ErrMetadata},
		{name: "another server in its metadata", spoil: func(f *fakeIssuer) { f.server = func(m *oid4vc.ServerMetadata) { m.Issuer += "x" } }, want: wallet.ErrMetadata},
		{name: "an endpoint without https", spoil: func(f *fakeIssuer) {
			f.handle["/.well-known/openid-credential-issuer/o/1"] = func(w http.ResponseWriter, _ *http.Request) {
				m := f.metadata()
				m.CredentialEndpoint = "http://example.com/credential"
				web.WriteJSON(w, 200, m)
			}
		}, want: wallet.ErrMetadata},
		{name: "metadata too large", spoil: func(f *fakeIssuer) {
			f.handle["/.well-known/openid-credential-issuer/o/1"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteBody(w, 200, "application/json", make([]byte, 2<<20))
			}
		}, want: web.ErrFetchSize},
		{name: "signature over the metadata", spoil: func(f *fakeIssuer) {
			f.handle["/.well-known/openid-credential-issuer/o/1"] = func(w http.ResponseWriter, _ *http.Request) {
				jwt, err := oid4vc.SignIssuerMetadata(other, keys.Header{"kid": f.key.Public().Thumbprint()}, f.metadata(), f.clock(), f.clock().Add(time.Hour))
				check(f.t, err)
				web.WriteBody(w, 200, oid4vc.MediaTypeJWT, []byte(jwt))
			}
		}, want: wallet.ErrMetadata},
		{name: "credential too large", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/credential"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteBody(w, 200, "application/json", make([]byte, 2<<20))
			}
		}, want: web.ErrFetchSize},
		{name: "a redirect with the token in hand", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/credential"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://other.example/", http.StatusTemporaryRedirect)
			}
		}, says: "307"},
		{name: "format", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) {
				c := m.Configurations["card"]
				c.Format, c.Doctype, c.VCT = "mso_mdoc", "org.example", ""
				m.Configurations["card"] = c
			}
		}, want: wallet.ErrUnusable},
		{name: "not known in the metadata", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) {
				m.Configurations["other"] = m.Configurations["card"]
				delete(m.Configurations, "card")
			}
		}, want: wallet.ErrMetadata},
		{name: "server without the grant", spoil: func(f *fakeIssuer) {
			f.server = func(m *oid4vc.ServerMetadata) { m.GrantTypesSupported = []string{oid4vc.GrantAuthorizationCode} }
		}, want: wallet.ErrUnusable},
		{name: "unknown way to authenticate", code: true, spoil: func(f *fakeIssuer) {
			f.server = func(m *oid4vc.ServerMetadata) { m.TokenAuthMethodsSupported = []string{"client_secret_basic"} }
		}, want: wallet.ErrUnusable},
		{name: "no PKCE", code: true, spoil: func(f *fakeIssuer) {
			f.server = func(m *oid4vc.ServerMetadata) { m.CodeChallengeMethodsSupported = []string{"plain"} }
		}},
		{name: "another iss in the answer", code: true, spoil: func(f *fakeIssuer) { f.redirect = func(v url.Values) { v.Set("iss", "https://other.example") } }, want: oid4vc.ErrResponseIssuer},
		{name: "no iss in the answer", code: true, spoil: func(f *fakeIssuer) { f.redirect = func(v url.Values) { v.Del("iss") } }, want: oid4vc.ErrResponseIssuer},
		{name: "another state", code: true, spoil: func(f *fakeIssuer) { f.redirect = func(v url.Values) { v.Set("state", "x") } }, want: oid4vc.ErrResponseState},
		{name: "the person said no", code: true, spoil: func(f *fakeIssuer) {
			f.redirect = func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }
		}, says: "access_denied"},
		{name: "code of an expired offer", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/token"] = func(w http.ResponseWriter, r *http.Request) {
				web.WriteOAuthError(w, r, oid4vc.ErrInvalidGrant, oid4vc.CodeInvalidGrant, quiet)
			}
		}, says: "invalid_grant"},
		{name: "DPoP nonces without end", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/token"] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("DPoP-Nonce", fmt.Sprint(f.asked["/o/1/token"]))
				web.WriteOAuthError(w, r, oid4vc.ErrUseDPoPNonce, oid4vc.CodeUseDPoPNonce, quiet)
			}
		}, says: "use_dpop_nonce"},
		{name: "a token bound to nothing", spoil: func(f *fakeIssuer) { f.token = func(r *oid4vc.TokenResponse) { r.TokenType = "Bearer" } }, want: wallet.ErrDowngrade},
		{name: "keys named in an unknown way", spoil: func(f *fakeIssuer) { f.issuer = bindings("did:web") }, want: wallet.ErrUnusable},
		{name: "no known kind of proof", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) {
				c := m.Configurations["card"]
				c.ProofTypes = map[string]oid4vc.ProofTypeConfig{"jwt": {SigningAlgs: []string{"ES384"}}}
				m.Configurations["card"] = c
			}
		}, want: wallet.ErrUnusable},
		{name: "requests to be encrypted in an unknown way", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) {
				m.RequestEncryption.Enc, m.RequestEncryption.Required, m.ResponseEncryption = []string{"A128CBC-HS256"}, true, nil
			}
		}, want: wallet.ErrUnusable},
		{name: "answers to be encrypted in an unknown way", spoil: func(f *fakeIssuer) {
			f.issuer = func(m *oid4vc.IssuerMetadata) {
				m.ResponseEncryption.Alg, m.ResponseEncryption.Required = []string{"RSA-OAEP"}, true
			}
		}, want: wallet.ErrUnusable},
		{name: "nonces that are never good", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/nonce"] = func(w http.ResponseWriter, r *http.Request) {
				web.WriteJSON(w, 200, oid4vc.NonceResponse{Nonce: "used"})
			}
		}, says: "invalid_nonce"},
		{name: "in the open though asked to encrypt", spoil: func(f *fakeIssuer) { f.plain = true }, want: wallet.ErrDowngrade},
		{name: "more credentials than keys", spoil: func(f *fakeIssuer) {
			f.response = func(r *oid4vc.CredentialResponse) { r.Credentials = append(r.Credentials, r.Credentials[0]) }
		}, want: oid4vc.ErrCredentialResponse},
		{name: "no string", spoil: func(f *fakeIssuer) {
			f.response = func(r *oid4vc.CredentialResponse) { r.Credentials[0].Credential = json.RawMessage(`{}`) }
		}, want: oid4vc.ErrCredentialResponse, held: 2},
		{name: "the same twice", spoil: func(f *fakeIssuer) {
			f.response = func(r *oid4vc.CredentialResponse) { r.Credentials[0] = r.Credentials[1] }
		}, want: wallet.ErrNotYours, held: 2},
		{name: "for another key", spoil: claim(func(c map[string]any) { c["cnf"] = map[string]any{"jwk": other.Public().JWK()} }), want: wallet.ErrNotYours, held: 2},
		{name: "for no key", spoil: claim(func(c map[string]any) { delete(c, "cnf") }), want: wallet.ErrNotYours, held: 2},
		{name: "another type", spoil: claim(func(c map[string]any) { c["vct"] = "https://other.example/card" }), want: wallet.ErrOtherCredential, held: 2},
		{name: "another issuer", spoil: claim(func(c map[string]any) { c["iss"] = "https://other.example" }), want: wallet.ErrOtherCredential, held: 2},
		{name: "no issuer", spoil: claim(func(c map[string]any) { delete(c, "iss") }), want: wallet.ErrOtherCredential, held: 2},
		{name: "expired", spoil: claim(func(c map[string]any) { c["exp"] = 1 }), want: sdjwt.ErrExpired, held: 2},
		{name: "not valid yet", spoil: claim(func(c map[string]any) { c["nbf"] = int64(4e9) }), want: sdjwt.ErrNotYetValid, held: 2},
		{name: "of the future", spoil: claim(func(c map[string]any) { c["iat"] = int64(4e9) }), want: wallet.ErrFuture, held: 2},
		{name: "another key's signature", spoil: func(f *fakeIssuer) { f.signer = other }, want: keys.ErrSignature},
		{name: "a mandatory claim missing", spoil: claim(func(c map[string]any) { delete(c, "name") }), want: wallet.ErrTypeMetadata, held: 2},
		{name: "a claim in the open", spoil: claim(func(c map[string]any) { c["name"] = "Nguyen" }), want: wallet.ErrTypeMetadata, held: 2},
		{name: "a claim hidden", spoil: claim(func(c map[string]any) { c["level"] = sdjwt.Hidden(1) }), want: wallet.ErrTypeMetadata, held: 2},
		{name: "integrity of the type", spoil: claim(func(c map[string]any) { c["vct#integrity"] = "sha256-AAAA" }), want: wallet.ErrTypeMetadata, held: 2},
		{name: "withdrawn", spoil: func(f *fakeIssuer) { f.status = statuslist.Invalid }, want: wallet.ErrRevoked, held: 2},
		{name: "another list's status", spoil: func(f *fakeIssuer) {
			f.handle["/o/1/status"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteBody(w, 200, statuslist.MediaType, []byte("a.b.c"))
			}
		}, want: wallet.ErrStatus},
		{name: "status list on an internal address", spoil: claim(func(c map[string]any) {
			c["status"] = statuslist.Reference{URI: "https://10.0.0.1/status"}.Claim()
		}), held: 3}, // not met, so it decides nothing
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			c.spoil(o.fake)
			_, got, err := o.collect(o.fake.link(!c.code))
			if c.held < 3 && (err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says)) {
				t.Errorf("got %v, want %v %q", err, c.want, c.says)
			}
			held, err := o.wallet.Credentials(ctx)
			check(t, err)
			if len(held) != c.held {
				t.Errorf("%d held, want %d; %+v", len(held), c.held, got)
			}
			if got != nil && len(got.Refused) > 0 && !slices.Contains(o.fake.events, oid4vc.EventFailure) {
				t.Errorf("the issuer was told %v", o.fake.events)
			}
		})
	}
}

// claim spoils the claims of one of three credentials.
func claim(spoil func(map[string]any)) func(*fakeIssuer) {
	return func(f *fakeIssuer) {
		f.claims = func(n int, claims map[string]any) {
			if n == 1 {
				spoil(claims)
			}
		}
	}
}

func TestOpenOfferRefuses(t *testing.T) {
	o := newOnline(t)
	byReference := func(uri string) string {
		l, err := oid4vc.OfferReference(oid4vc.SchemeOfferHAIP, uri)
		if err != nil { // what nobody would make, and an attacker does
			return oid4vc.SchemeOffer + "?" + url.Values{"credential_offer_uri": {uri}}.Encode()
		}
		return l
	}
	o.fake.handle["/gone"] = http.NotFound
	o.fake.handle["/html"] = func(w http.ResponseWriter, _ *http.Request) { web.WriteBody(w, 200, "text/html", []byte("<p>")) }
	o.fake.handle["/inside"] = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://10.0.0.1/offer", http.StatusFound)
	}
	o.fake.handle["/plain"] = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.com/offer", http.StatusFound)
	}
	for name, c := range map[string]struct {
		link string
		want error
	}{
		"expired":             {byReference(o.fake.srv.URL + "/gone"), wallet.ErrOffer},
		"no offer":            {byReference(o.fake.srv.URL + "/html"), wallet.ErrOffer},
		"internal address":    {byReference("https://169.254.169.254/offer"), web.ErrFetchInternal},
		"redirected inside":   {byReference(o.fake.srv.URL + "/inside"), web.ErrFetchInternal},
		"redirected to http":  {byReference(o.fake.srv.URL + "/plain"), web.ErrFetchURL},
		"without https":       {byReference("http://example.com/offer"), nil},
		"both forms":          {o.fake.link(true) + "&credential_offer_uri=https%3A%2F%2Fexample.com", oid4vc.ErrOffer},
		"neither form":        {oid4vc.SchemeOffer, oid4vc.ErrOffer},
		"another scheme":      {"openid4vp://?request_uri=x", oid4vc.ErrOffer},
		"issuer without path": {strings.Replace(o.fake.link(true), "o%2F1", "x", 1), wallet.ErrMetadata},
	} {
		if _, err := o.wallet.OpenOffer(ctx, c.link); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for _, base := range []string{oid4vc.SchemeOffer, oid4vc.SchemeOfferHAIP, "https://wallet.example/receive"} {
		l, err := oid4vc.OfferReference(base, o.fake.id()+"/offer")
		check(t, err)
		if offer, err := o.wallet.OpenOffer(ctx, l); err != nil || offer.TxCode == nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	o.wallet.Web = nil
	if _, err := o.wallet.OpenOffer(ctx, o.fake.link(true)); !errors.Is(err, wallet.ErrOffline) {
		t.Errorf("without a way to issuers: %v", err)
	}
}

// TestUnknownIssuer: one that is not on the trust list is a stop, unless the person wants it all the same; then its own keys count.
func TestUnknownIssuer(t *testing.T) {
	o := newStranger(t)
	offer, got, err := o.collect(o.fake.link(true))
	if !errors.Is(err, wallet.ErrUnknownIssuer) || len(got.Credentials) != 0 || offer.Entity != "" || offer.Signed || offer.Names["en"] != "Fake" || o.fake.asked["/o/1/token"] != 0 {
		t.Errorf("%+v, %+v, %v", offer, got, err)
	}
	opt := wallet.CollectOptions{TxCode: "1234", TrustAny: true}
	if got, err = o.wallet.Collect(ctx, offer, opt); err != nil || len(got.Credentials) != 3 || got.Credentials[0].Entity != "" {
		t.Errorf("trusted all the same: %+v, %v", got, err)
	}
	o.fake.handle["/.well-known/jwt-vc-issuer/o/1"], o.fake.bound = http.NotFound, ""
	if got, err = o.wallet.Collect(ctx, offer, opt); !errors.Is(err, wallet.ErrUntrusted) || len(got.Credentials) != 0 {
		t.Errorf("without keys: %+v, %v", got, err)
	}
	for _, code := range []string{"", "12", "abcd"} {
		if _, err := o.wallet.Collect(ctx, offer, wallet.CollectOptions{TrustAny: true, TxCode: code}); err == nil {
			t.Errorf("transaction code %q was sent", code)
		}
	}
}

// TestClientAuthentication: what the server supports is used, the strongest first.
func TestClientAuthentication(t *testing.T) {
	provider, registered := issuertest.Key(t), issuertest.Key(t)
	attest := func(clock func() time.Time) func(context.Context, keys.Public) (string, error) {
		return func(_ context.Context, instance keys.Public) (string, error) {
			return oid4vc.MakeClientAttestation(provider, keys.Header{"kid": provider.Public().Thumbprint()}, oid4vc.ClientAttestationOptions{Issuer: "https://provider.example", ClientID: wallet.DefaultClientID,
				Key: instance, Issued: clock(), Expires: clock().Add(time.Hour)})
		}
	}
	for _, c := range []struct {
		name      string
		supported []string
		client    func(func() time.Time) wallet.Client
		check     func(*online, *http.Request, url.Values) error
	}{
		{"attestation", []string{"none", oid4vc.AuthPrivateKeyJWT, oid4vc.AuthAttestation}, func(clock func() time.Time) wallet.Client {
			return wallet.Client{Key: registered, Attest: attest(clock)}
		}, func(o *online, r *http.Request, form url.Values) error {
			_, err := oid4vc.CheckClientAttestation(r.Header, oid4vc.ExpectClientAttestation{Issuer: o.fake.id(), ClientID: form.Get("client_id"), Algs: []keys.Alg{keys.ES256}, Now: o.Clock.Now(),
				AttesterKey: func(keys.UnverifiedHeader, string) (keys.Public, error) { return provider.Public(), nil },
				Challenge: func(challenge string) error {
					if challenge != "second" {
						return errors.New("old")
					}
					return nil
				}})
			return err
		}},
		{"private_key_jwt", []string{"none", oid4vc.AuthPrivateKeyJWT}, func(clock func() time.Time) wallet.Client {
			return wallet.Client{Key: registered, Attest: attest(clock)}
		}, func(o *online, _ *http.Request, form url.Values) error {
			_, err := oid4vc.CheckClientAssertion(form, oid4vc.ExpectClientAssertion{Issuer: o.fake.id(), Algs: []keys.Alg{keys.ES256}, Now: o.Clock.Now(),
				ClientKey: func(string, keys.UnverifiedHeader) (keys.Public, error) { return registered.Public(), nil }})
			return err
		}},
		{"public client", []string{"none"}, func(clock func() time.Time) wallet.Client {
			return wallet.Client{Key: registered, Attest: attest(clock)}
		},
			func(_ *online, _ *http.Request, form url.Values) error {
				if form.Get("client_id") != wallet.DefaultClientID {
					return oid4vc.ErrClientID
				}
				return nil
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			o.wallet.Client = c.client(o.Clock.Now)
			o.fake.server = func(m *oid4vc.ServerMetadata) {
				m.TokenAuthMethodsSupported, m.TokenAuthAlgsSupported = c.supported, []string{"ES256"}
				m.ChallengeEndpoint, m.AttestationAlgsSupported, m.AttestationPoPAlgsSupported = o.fake.id()+"/challenge", []string{"ES256"}, []string{"ES256"}
			}
			o.fake.handle["/o/1/challenge"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteJSON(w, 200, oid4vc.ChallengeResponse{Challenge: "first"})
			}
			for path, h := range map[string]http.HandlerFunc{"/o/1/par": o.fake.servePAR, "/o/1/token": o.fake.serveToken} {
				o.fake.handle[path] = func(w http.ResponseWriter, r *http.Request) {
					check(t, r.ParseForm())
					if err := c.check(o, r, r.PostForm); err != nil {
						w.Header().Set(oid4vc.HeaderClientAttestationChallenge, "second")
						o.fake.refuse(w, r, err, false)
						return
					}
					r.Body = http.NoBody
					r2 := r.Clone(r.Context())
					r2.Body = readCloser(r.PostForm.Encode())
					h(w, r2)
				}
			}
			if _, got, err := o.collect(o.fake.link(false)); err != nil || len(got.Credentials) != 3 {
				t.Errorf("%+v, %v", got, err)
			}
			if got, err := o.wallet.Refresh(ctx); err != nil {
				t.Errorf("refresh: %+v, %v", got, err)
			}
		})
	}
}

func readCloser(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

// TestKeyAttestation: where the issuer wants keys attested, one proof brings them all.
func TestKeyAttestation(t *testing.T) {
	o := newOnline(t)
	provider := issuertest.Key(t)
	o.fake.attesterKey = func(keys.UnverifiedHeader) (keys.Public, error) { return provider.Public(), nil }
	o.fake.issuer = func(m *oid4vc.IssuerMetadata) {
		m.Configurations["card"].ProofTypes["jwt"] = oid4vc.ProofTypeConfig{SigningAlgs: []string{"ES256"}, KeyAttestations: &oid4vc.KeyAttestationsRequired{}}
	}
	if _, _, err := o.collect(o.fake.link(true)); !errors.Is(err, wallet.ErrUnusable) {
		t.Errorf("without a wallet provider: %v", err)
	}
	o.fake.bound = ""
	o.wallet.Client.AttestKeys = func(_ context.Context, bound []keys.Public, nonce string) (string, error) {
		return oid4vc.MakeKeyAttestation(provider, keys.Header{"kid": provider.Public().Thumbprint()}, oid4vc.KeyAttestationOptions{Keys: bound, Nonce: nonce, Issued: o.Clock.Now(), Expires: o.Clock.Now().Add(time.Hour)})
	}
	for _, proofType := range []string{oid4vc.ProofTypeJWT, oid4vc.ProofTypeAttestation} {
		o.fake.bound, o.fake.proofType = "", proofType
		o.fake.issuer = func(m *oid4vc.IssuerMetadata) {
			c := m.Configurations["card"]
			c.ProofTypes = map[string]oid4vc.ProofTypeConfig{proofType: {SigningAlgs: []string{"ES256"}, KeyAttestations: &oid4vc.KeyAttestationsRequired{}}}
			m.Configurations["card"] = c
		}
		if _, got, err := o.collect(o.fake.link(true)); err != nil || len(got.Credentials) != 3 {
			t.Errorf("%s: %+v, %v", proofType, got, err)
		}
	}
}

// TestCertificateOfAnUnknownIssuer: who trusts an unknown issuer still wants its certificate to be its own.
func TestCertificateOfAnUnknownIssuer(t *testing.T) {
	for _, c := range []struct {
		name  string
		named func(issuer string) string
		roots int // 0 none, 1 the right one, 2 another
		want  error
	}{
		{"its own, from an authority that is known", func(issuer string) string { return issuer }, 1, nil},
		{"its own, nothing known", func(issuer string) string { return issuer }, 0, nil},
		{"from another authority", func(issuer string) string { return issuer }, 2, keys.ErrChain},
		{"another's", func(string) string { return "https://other.example/o/1" }, 0, wallet.ErrUntrusted},
		{"another's, from an authority that is known", func(string) string { return "https://other.example/o/1" }, 1, wallet.ErrUntrusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newStranger(t)
			root, other := newRoot(t, o.Clock.Now()), newRoot(t, o.Clock.Now())
			u, err := url.Parse(c.named(o.fake.id()))
			check(t, err)
			leaf := root.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: o.Clock.Now(), NotAfter: o.Clock.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{u}}, o.fake.key)
			o.fake.header = keys.Header{"x5c": keys.FormatChain(leaf)}
			o.fake.claims = func(_ int, claims map[string]any) { delete(claims, "status") }
			o.fake.handle["/.well-known/jwt-vc-issuer/o/1"] = http.NotFound
			switch c.roots {
			case 1:
				o.wallet.IssuerRoots = []*x509.Certificate{root.cert}
			case 2:
				o.wallet.IssuerRoots = []*x509.Certificate{other.cert}
			}
			offer, err := o.wallet.OpenOffer(ctx, o.fake.link(true))
			check(t, err)
			got, err := o.wallet.Collect(ctx, offer, wallet.CollectOptions{TxCode: "1234", TrustAny: true})
			if !errors.Is(err, c.want) || (c.want == nil) != (len(got.Credentials) == 3) {
				t.Errorf("%+v, %v; want %v", got, err, c.want)
			}
		})
	}
}

type root struct {
	key  *keys.Private
	cert *x509.Certificate
}

func newRoot(t testing.TB, now time.Time) *root {
	t.Helper()
	r := &root{key: issuertest.Key(t)}
	r.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: r.key.Public().Thumbprint()}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	r.cert = r.sign(t, r.cert, r.key)
	return r
}

func (r *root) sign(t testing.TB, template *x509.Certificate, of *keys.Private) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, of.Public().Crypto(), r.key.Signer())
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return cert
}

// TestGrantOver: an issuer that gives nothing more is asked no more.
func TestGrantOver(t *testing.T) {
	o := newOnline(t)
	if _, _, err := o.collect(o.fake.link(true)); err != nil {
		t.Fatal(err)
	}
	token := o.fake.handle["/o/1/token"]
	o.fake.handle["/o/1/token"] = func(w http.ResponseWriter, r *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) }
	if _, err := o.wallet.Refresh(ctx); err == nil || errors.Is(err, wallet.ErrGrantOver) {
		t.Errorf("a server that is down: %v", err)
	}
	o.fake.handle["/o/1/token"] = token
	if _, err := o.wallet.Refresh(ctx); err != nil {
		t.Errorf("up again: %v", err)
	}
	o.fake.handle["/o/1/token"] = func(w http.ResponseWriter, r *http.Request) {
		web.WriteOAuthError(w, r, oid4vc.ErrInvalidGrant, oid4vc.CodeInvalidGrant, quiet)
	}
	if _, err := o.wallet.Refresh(ctx); !errors.Is(err, wallet.ErrGrantOver) {
		t.Errorf("a refresh token that is not taken: %v", err)
	}
	if _, err := o.wallet.Refresh(ctx); err != nil {
		t.Errorf("asked again: %v", err)
	}

	o.fake.handle["/o/1/token"], o.fake.bound, o.fake.deferred = nil, "", 9
	o.fake.token = func(r *oid4vc.TokenResponse) { r.RefreshToken = "" }
	if _, got, err := o.collect(o.fake.link(true)); err != nil || got.Deferred != 1 || got.Refreshable {
		t.Fatalf("%+v, %v", got, err)
	}
	o.Clock.Set(o.Clock.Now().Add(time.Minute))
	if got, err := o.wallet.Refresh(ctx); err != nil || got.Deferred != 1 {
		t.Errorf("while the access token is good: %+v, %v", got, err)
	}
	o.Clock.Set(o.Clock.Now().Add(time.Hour))
	if _, err := o.wallet.Refresh(ctx); !errors.Is(err, wallet.ErrGrantOver) {
		t.Errorf("after the access token: %v", err)
	}
}

// TestEngagementWaitsForTheRegistry: an engagement that was issued and that the registry does not show yet is kept, and counts when it does.
func TestEngagementWaitsForTheRegistry(t *testing.T) {
	o := newStranger(t)
	proof, err := o.wallet.DeliveryProof()
	check(t, err)
	issued := o.EngageKeys("A", o.wallet.PublicJWK(), proof)
	if !issued.OK() {
		t.Fatal(issued.Errors)
	}
	signing, err := o.fake.key.MarshalJWK()
	check(t, err)
	o.Orgs["fake"] = issuer.Org{ID: "5990000000004", Issuer: o.fake.id(), Signing: signing}
	o.Entities = slices.DeleteFunc(o.Entities, func(e *trustlist.Entity) bool { return e.ID == "5990000000004" })
	o.Entities = append(o.Entities, &trustlist.Entity{ID: "5990000000004", Name: map[string]string{"en": "Sample"}, Roles: []attestation.Role{attestation.AcceptingOrganization}, Issuer: o.fake.id(),
		Types: []attestation.Type{attestation.TypeEngagement}, From: attestation.NewDate(2025, 1, 1), Keys: []json.RawMessage{o.fake.key.Public().JWK()}})
	o.Publish()
	compact := o.ForgeEngagement("fake", issued.Rows[0].SDJWT, func(c map[string]any) {
		c["iss"] = o.fake.id()
		c["employer"].(map[string]any)["id"] = "5990000000004"
	})
	o.fake.issuer = func(m *oid4vc.IssuerMetadata) {
		c := m.Configurations["card"]
		c.VCT = attestation.TypeEngagement.VCT()
		m.Configurations["card"] = c
	}
	o.fake.response = func(r *oid4vc.CredentialResponse) {
		r.Credentials = []oid4vc.IssuedCredential{oid4vc.TextCredential(compact)}
	}
	_, got, err := o.collect(o.fake.link(true))
	check(t, err)
	if len(got.Waiting) != 1 || len(got.Items) != 0 || len(o.list()) != 0 {
		t.Errorf("%+v", got)
	}
	if len(o.fake.keys) != 1 || string(o.fake.keys[0].JWK()) != string(o.wallet.PublicJWK()) {
		t.Error("the engagement was not asked for with the wallet's own key alone")
	}
	if report := o.sync(); len(report.New) != 0 {
		t.Errorf("%+v", report)
	}
	check(t, o.wallet.Settle(ctx, got))
	if len(got.Waiting) != 1 {
		t.Errorf("%+v", got)
	}
	o.logEngagement("fake", compact)
	if report := o.sync(); len(report.New) != 1 || report.New[0].Type != attestation.TypeEngagement || report.New[0].Index == nil {
		t.Errorf("%+v", report)
	}
	if report := o.sync(); len(report.New) != 0 || len(o.list()) != 1 {
		t.Errorf("again: %+v", report)
	}
}
