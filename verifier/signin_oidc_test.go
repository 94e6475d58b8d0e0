package verifier_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"akashi/verifier"
)

// provider is a little identity provider: one account, codes that are good once, PKCE, and ID Tokens signed with ES256.
type provider struct {
	t      *testing.T
	server *httptest.Server
	key    *ecdsa.PrivateKey
	now    func() time.Time
	codes  map[string]url.Values // authorization requests, by code

	claims map[string]any         // of the account, and what a test spoils
	spoil  func(*provider, *idTo) // what goes to the token endpoint's answer
	back   func(url.Values)       // spoils what leads back
	status int                    // of the token endpoint; 0: as it should be
	jwks   string                 // of the metadata; "": as it should be
	asked  int                    // of the token endpoint
}

// idTo is what the token endpoint is about to answer.
type idTo struct {
	claims map[string]any
	key    *ecdsa.PrivateKey
	raw    string // in place of the signed token
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t, key: newECKey(t), codes: map[string]url.Values{}, claims: map[string]any{
		"sub": "user-1", "name": "Reviewer Oidc", "email": "one@office.test", "email_verified": true, "groups": []string{"desk", "others"},
	}}
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/openid-configuration", p.metadata)
	m.HandleFunc("GET /keys", p.keys)
	m.HandleFunc("GET /authorize", p.authorize)
	m.HandleFunc("POST /token", p.token)
	p.server = httptest.NewServer(m) // on a loopback address
	t.Cleanup(p.server.Close)
	return p
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *provider) metadata(w http.ResponseWriter, _ *http.Request) {
	jwks := p.jwks
	if jwks == "" {
		jwks = p.server.URL + "/keys"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer": p.server.URL, "authorization_endpoint": p.server.URL + "/authorize", "token_endpoint": p.server.URL + "/token", "jwks_uri": jwks,
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *provider) keys(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
}

func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := rand.Text()
	p.codes[code] = q
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.server.URL}}
	if p.back != nil {
		p.back(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.asked++
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	id, secret, _ := r.BasicAuth()
	request, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !known || id != "desk" || secret != "secret" || request.Get("code_challenge") != challenge || request.Get("code_challenge_method") != "S256" || request.Get("redirect_uri") != r.PostFormValue("redirect_uri") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	now := p.now()
	out := idTo{claims: maps.Clone(p.claims), key: p.key}
	maps.Copy(out.claims, map[string]any{"iss": p.server.URL, "aud": "desk", "nonce": request.Get("nonce"), "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if p.spoil != nil {
		p.spoil(p, &out)
	}
	if out.raw == "" {
		out.raw = p.sign(out.claims, out.key)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": out.raw})
}

func (p *provider) sign(claims map[string]any, key *ecdsa.PrivateKey) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return compact
}

// newOIDCWorld is a desk whose reviewers sign in with a provider.
func newOIDCWorld(t *testing.T, change func(*verifier.OIDCConfig)) (*deskWorld, *provider) {
	t.Helper()
	p := newProvider(t)
	cfg := verifier.OIDCConfig{Issuer: p.server.URL, ClientID: "desk", ClientSecret: "secret", Subjects: []string{"user-1"}}
	if change != nil {
		change(&cfg)
	}
	m, err := verifier.NewOIDC(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := newDeskWorld(t, func(c *verifier.DeskConfig) { c.SignIn = []verifier.SignInMethod{m} })
	p.now = w.clock.Now
	return w, p
}

// signIn goes to the provider and back. The browser reaches the provider and the desk.
func (b *browser) signIn(p *provider) shownPage {
	b.t.Helper()
	return b.at(p).get("/signin/oidc?next=/desk")
}

// at lets a browser reach a provider besides the desk.
func (b *browser) at(p *provider) *browser {
	b.client.Transport = byHost{b.client.Transport, p}
	return b
}

type byHost struct {
	desk     http.RoundTripper
	provider *provider
}

func (h byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	if "http://"+r.URL.Host == h.provider.server.URL {
		return h.provider.server.Client().Transport.RoundTrip(r)
	}
	return h.desk.RoundTrip(r)
}

// TestOIDC: a reviewer of the office signs in, comes to where they wanted, and is known by the same id the next time.
func TestOIDC(t *testing.T) {
	w, p := newOIDCWorld(t, nil)
	b := w.browser()
	b.get("/desk").want(t, http.StatusOK, "Sign in with your office")
	if got := b.signIn(p).want(t, http.StatusOK, "Reviewer Oidc"); got.url.Path != "/desk" {
		t.Errorf("the browser is at %s", got.url)
	}
	w.browser().signIn(p).want(t, http.StatusOK, "Reviewer Oidc")
	if got := w.whats(); !slices.Equal(got, []string{"reviewer.enrolled", "signin.ok", "signin.ok"}) {
		t.Errorf("the audit log has %v", got)
	}
	all, err := w.desk.Reviewers(context.Background())
	if err != nil || len(all) != 1 || all[0].Name != "Reviewer Oidc" || all[0].Method != "oidc" {
		t.Errorf("reviewers %+v, %v", all, err)
	}
}

// TestOIDCRefuses: one thing is wrong at a time, nobody is signed in, and the audit log says what it was.
func TestOIDCRefuses(t *testing.T) {
	set := func(claim string, value any) func(*provider) {
		return func(p *provider) { p.spoil = func(_ *provider, out *idTo) { out.claims[claim] = value } }
	}
	lead := func(name, value string) func(*provider) {
		return func(p *provider) { p.back = func(q url.Values) { q.Set(name, value) } }
	}
	for _, c := range []struct {
		name   string
		spoil  func(*provider)
		reason string
	}{
		{"nothing", func(*provider) {}, ""},
		{"another nonce", set("nonce", "another"), "oidc.nonce"},
		{"no nonce", func(p *provider) { p.spoil = func(_ *provider, out *idTo) { delete(out.claims, "nonce") } }, "oidc.nonce"},
		{"another audience", set("aud", "another"), "oidc.id_token"},
		{"two audiences and no authorized party", set("aud", []string{"desk", "another"}), "oidc.id_token"},
		{"another authorized party", set("azp", "another"), "oidc.id_token"},
		{"another issuer", set("iss", "https://another.test"), "oidc.id_token"},
		{"expired", set("exp", 1), "oidc.id_token"},
		{"not valid yet", set("nbf", time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()), "oidc.id_token"},
		{"another key", func(p *provider) { p.spoil = func(p *provider, out *idTo) { out.key = newECKey(p.t) } }, "oidc.id_token"},
		{"no signature", func(p *provider) {
			p.spoil = func(_ *provider, out *idTo) {
				text, _ := json.Marshal(out.claims)
				out.raw = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
			}
		}, "oidc.id_token"},
		{"no ID Token", func(p *provider) { p.spoil = func(_ *provider, out *idTo) { out.raw = "-" } }, "oidc.id_token"},
		{"no subject", set("sub", ""), "oidc.id_token"},
		{"another subject", set("sub", "user-2"), "oidc.not_allowed"},
		{"another state", lead("state", "another"), "oidc.state"},
		{"no state", lead("state", ""), "oidc.state"},
		{"another code", lead("code", "another"), "oidc.code"},
		{"no code", lead("code", ""), "oidc.error"},
		{"the answer of another provider", lead("iss", "https://another.test"), "oidc.issuer"},
		{"the provider says no", func(p *provider) {
			p.back = func(q url.Values) {
				q.Del("code")
				q.Set("error", "access_denied")
				q.Set("error_description", "secret-detail")
			}
		}, "oidc.error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p := newOIDCWorld(t, nil)
			c.spoil(p)
			b := w.browser()
			got := b.signIn(p)
			if in := b.get("/desk").url.Path == "/desk"; in != (c.reason == "") {
				t.Fatalf("signed in: %v: %s", in, got.body)
			}
			if c.reason == "" {
				return
			}
			got.want(t, http.StatusForbidden, "role=\"alert\"")
			if lines := w.lines(); len(lines) != 1 || lines[0].What != "signin.refused" || lines[0].Reason != c.reason {
				t.Errorf("the audit log has %+v, want %s", lines, c.reason)
			}
			if strings.Contains(got.body, "secret-detail") {
				t.Error("the page repeats what the address says")
			}
		})
	}
}

// TestOIDCWhoMay: by subject, verified address, or claim.
func TestOIDCWhoMay(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*verifier.OIDCConfig)
		claims map[string]any
		may    bool
	}{
		{"subject", nil, nil, true},
		{"address", func(c *verifier.OIDCConfig) { c.Subjects, c.Emails = nil, []string{"One@Office.test"} }, nil, true},
		{"address of somebody else", func(c *verifier.OIDCConfig) { c.Subjects, c.Emails = nil, []string{"two@office.test"} }, nil, false},
		{"address that is not verified", func(c *verifier.OIDCConfig) { c.Subjects, c.Emails = nil, []string{"one@office.test"} }, map[string]any{"email_verified": false}, false},
		{"no address", func(c *verifier.OIDCConfig) { c.Subjects, c.Emails = nil, []string{""} }, map[string]any{"email": ""}, false},
		{"group", func(c *verifier.OIDCConfig) { c.Subjects, c.Claim, c.Values = nil, "groups", []string{"desk"} }, nil, true},
		{"another group", func(c *verifier.OIDCConfig) { c.Subjects, c.Claim, c.Values = nil, "groups", []string{"admins"} }, nil, false},
		{"a claim with one value", func(c *verifier.OIDCConfig) { c.Subjects, c.Claim, c.Values = nil, "role", []string{"reviewer"} }, map[string]any{"role": "reviewer"}, true},
		{"no such claim", func(c *verifier.OIDCConfig) { c.Subjects, c.Claim, c.Values = nil, "role", []string{"reviewer"} }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p := newOIDCWorld(t, c.config)
			maps.Copy(p.claims, c.claims)
			b := w.browser()
			b.signIn(p)
			if may := b.get("/desk").url.Path == "/desk"; may != c.may {
				t.Errorf("may: %v", may)
			}
		})
	}
}

// TestOIDCOnceAndInOneBrowser: what leads back is taken once, in the browser in which it began, and in time.
func TestOIDCOnceAndInOneBrowser(t *testing.T) {
	start := func(t *testing.T) (w *deskWorld, p *provider, b *browser, back string) {
		w, p = newOIDCWorld(t, nil)
		b = w.browser().at(p)
		b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.Path, "/signin/oidc/callback") {
				back = r.URL.RequestURI()
				return http.ErrUseLastResponse
			}
			return nil
		}
		b.get("/signin/oidc")
		b.client.CheckRedirect = nil
		if back == "" {
			t.Fatal("the provider did not lead back")
		}
		return w, p, b, back
	}
	t.Run("as it should be", func(t *testing.T) {
		_, _, b, back := start(t)
		b.get(back).want(t, http.StatusOK, "Reviewer Oidc")
	})
	t.Run("twice", func(t *testing.T) {
		_, p, b, back := start(t)
		b.get(back).want(t, http.StatusOK)
		b.post("/signout", nil)
		b.get(back).want(t, http.StatusForbidden)
		if p.asked != 1 {
			t.Errorf("the provider was asked %d times", p.asked)
		}
	})
	t.Run("in another browser", func(t *testing.T) {
		w, p, b, back := start(t)
		w.browser().get(back).want(t, http.StatusForbidden)
		b.get(back).want(t, http.StatusForbidden) // and is used up
		if p.asked != 0 {
			t.Errorf("the provider was asked %d times", p.asked)
		}
	})
	t.Run("too late", func(t *testing.T) {
		w, _, b, back := start(t)
		w.clock.forward(10 * time.Minute)
		b.get(back).want(t, http.StatusForbidden)
	})
}

// TestOIDCProviderDown: it is nobody's fault, and nobody comes in.
func TestOIDCProviderDown(t *testing.T) {
	for name, spoil := range map[string]func(*provider){
		"the token endpoint":         func(p *provider) { p.status = http.StatusInternalServerError },
		"the whole of it":            func(p *provider) { p.server.Close() },
		"keys by another way":        func(p *provider) { p.jwks = "http://keys.test/" },
		"keys that cannot be parsed": func(p *provider) { p.jwks = "::" },
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newOIDCWorld(t, nil)
			spoil(p)
			w.browser().signIn(p).want(t, http.StatusBadGateway, "cannot be reached")
		})
	}
}

// TestOIDCRemoved: the operator's word stands above the provider's.
func TestOIDCRemoved(t *testing.T) {
	w, p := newOIDCWorld(t, nil)
	b := w.browser()
	b.signIn(p).want(t, http.StatusOK)
	all, err := w.desk.Reviewers(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.desk.RemoveReviewer(context.Background(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	b.signIn(p).want(t, http.StatusForbidden, "may not use the desk")
	if _, err := w.desk.Invite(context.Background(), "Somebody"); !errors.Is(err, verifier.ErrReviewer) {
		t.Errorf("an invitation without passkeys: %v", err)
	}
}

func TestNewOIDC(t *testing.T) {
	valid := verifier.OIDCConfig{Issuer: "https://idp.test", ClientID: "desk", Subjects: []string{"a"}}
	for _, c := range []struct {
		name  string
		spoil func(*verifier.OIDCConfig)
		ok    bool
	}{
		{"as it should be", func(*verifier.OIDCConfig) {}, true},
		{"on a loopback address", func(c *verifier.OIDCConfig) { c.Issuer = "http://127.0.0.1:9000" }, true},
		{"plain http", func(c *verifier.OIDCConfig) { c.Issuer = "http://idp.test" }, false},
		{"no issuer", func(c *verifier.OIDCConfig) { c.Issuer = "" }, false},
		{"a user in the address", func(c *verifier.OIDCConfig) { c.Issuer = "https://a@idp.test" }, false},
		{"no client", func(c *verifier.OIDCConfig) { c.ClientID = "" }, false},
		{"nobody may", func(c *verifier.OIDCConfig) { c.Subjects = nil }, false},
		{"a claim without values", func(c *verifier.OIDCConfig) { c.Claim = "groups" }, false},
		{"values without a claim", func(c *verifier.OIDCConfig) { c.Values = []string{"a"} }, false},
	} {
		cfg := valid
		c.spoil(&cfg)
		if _, err := verifier.NewOIDC(cfg); (err == nil) != c.ok || err != nil && !errors.Is(err, verifier.ErrDeskConfig) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
