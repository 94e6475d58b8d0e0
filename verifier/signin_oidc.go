package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/gorilla/mux"
	"golang.org/x/oauth2"

	"akashi/internal/store"
)

// OIDCConfig is the identity provider of an office (OpenID Connect Core 1.0), and whom of its people the desk lets in: whoever is named by one of
// Subjects, Emails, or Claim with one of Values.
type OIDCConfig struct {
	Issuer       string // https; http for loopback addresses alone
	ClientID     string
	ClientSecret string   // "" for a public client
	Scopes       []string // besides openid: profile and email

	Subjects []string // values of sub
	Emails   []string // values of email, which the provider must have verified
	Claim    string   // name of a claim, such as groups
	Values   []string // of which one must be the claim's, or in it where it is a list

	HTTP *http.Client // nil: one with a time limit
}

// oidcSignIn signs in with an identity provider: authorization code flow with state, nonce and PKCE (RFC 7636).
type oidcSignIn struct {
	OIDCConfig

	mu       sync.Mutex // guards provider
	provider *oidc.Provider
}

// NewOIDC makes the method. The provider is not asked before somebody signs in.
func NewOIDC(cfg OIDCConfig) (SignInMethod, error) {
	switch {
	case !isSecureURL(cfg.Issuer):
		return nil, fmt.Errorf("%w: oidc.issuer must be an https URL", ErrDeskConfig)
	case cfg.ClientID == "":
		return nil, fmt.Errorf("%w: oidc.client_id is missing", ErrDeskConfig)
	case (cfg.Claim == "") != (len(cfg.Values) == 0):
		return nil, fmt.Errorf("%w: oidc.claim and oidc.values go together", ErrDeskConfig)
	case len(cfg.Subjects)+len(cfg.Emails)+len(cfg.Values) == 0:
		return nil, fmt.Errorf("%w: oidc: say who may sign in, by subjects, emails, or claim and values", ErrDeskConfig)
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"profile", "email"}
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	return &oidcSignIn{OIDCConfig: cfg}, nil
}

// isSecureURL tells whether a provider may be asked there.
func isSecureURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

func (*oidcSignIn) name() string { return methodOIDC }

const (
	pathOIDC         = pathSignIn + "/oidc"
	pathOIDCCallback = pathOIDC + "/callback"
)

// oidcCookie binds a sign-in to the browser in which it began: nobody else's answer of the provider is taken there.
const oidcCookie = "__Host-akashi-signin"

func (m *oidcSignIn) route(d *Desk, r *mux.Router) {
	h := oidcDesk{m, d}
	r.HandleFunc(pathOIDC, d.limited(d.limits.guesses, h.serveBegin)).Methods(http.MethodGet)
	r.HandleFunc(pathOIDCCallback, d.limited(d.limits.guesses, h.serveCallback)).Methods(http.MethodGet)
}

// oidcDesk is the method at a desk.
type oidcDesk struct {
	*oidcSignIn
	*Desk
}

// oidcBegun is what is kept while somebody is at the provider.
type oidcBegun struct {
	Browser  string `json:"browser"` // hash of the cookie
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of PKCE
	Next     string `json:"next"`
}

// oidcRefusal is a sign-in that is refused: reason is a stable code, message the key of a text.
type oidcRefusal struct{ reason, message string }

func (e *oidcRefusal) Error() string { return e.reason }

var (
	errOIDCState      = &oidcRefusal{"oidc.state", "signin.refused"}
	errOIDCIssuer     = &oidcRefusal{"oidc.issuer", "signin.refused"}
	errOIDCProvider   = &oidcRefusal{"oidc.error", "signin.refused"} // the provider itself said no
	errOIDCCode       = &oidcRefusal{"oidc.code", "signin.refused"}
	errOIDCToken      = &oidcRefusal{"oidc.id_token", "signin.refused"}
	errOIDCNonce      = &oidcRefusal{"oidc.nonce", "signin.refused"}
	errOIDCNotAllowed = &oidcRefusal{"oidc.not_allowed", "signin.not_allowed"}
	errOIDCRemoved    = &oidcRefusal{"oidc.removed", "signin.not_allowed"}
)

// errOIDCDown is returned when the provider cannot be asked, which is nobody's fault who signs in.
var errOIDCDown = errors.New("the identity provider cannot be asked")

// serveBegin leads to the provider.
func (h oidcDesk) serveBegin(w http.ResponseWriter, r *http.Request) {
	browser := random()
	target, err := h.begin(r, browser)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.SetCookie(w, hostCookie(oidcCookie, browser))
	http.Redirect(w, r, target, http.StatusSeeOther)
}

func (h oidcDesk) begin(r *http.Request, browser string) (target string, err error) {
	provider, err := h.discover(r.Context())
	if err != nil {
		return "", err
	}
	state := random()
	b := oidcBegun{Browser: hashed(browser), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Next: localNext(r.URL.Query().Get("next"))}
	data, err := json.Marshal(b)
	if err != nil {
		return "", err
	}
	err = h.vp.Store.Update(r.Context(), func(tx store.Tx) error { return h.putOnce(tx, state, once{Kind: methodOIDC, Data: data}, signInLife) })
	return h.client(provider).AuthCodeURL(state, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)), err
}

func (h oidcDesk) client(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: h.ClientID, ClientSecret: h.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: h.vp.URL + pathOIDCCallback,
		Scopes: append([]string{oidc.ScopeOpenID}, h.Scopes...),
	}
}

// discover reads the provider's metadata (OpenID Connect Discovery 1.0), once.
func (m *oidcSignIn) discover(ctx context.Context) (*oidc.Provider, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.provider != nil {
		return m.provider, nil
	}
	// The provider keeps the context for reading keys later: it must not end with this request.
	p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), m.HTTP), m.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOIDCDown, err)
	}
	var metadata struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := p.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("%w: %w", errOIDCDown, err)
	}
	for _, u := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL, metadata.JWKS} {
		if !isSecureURL(u) {
			return nil, fmt.Errorf("%w: its metadata has an address that is not https", errOIDCDown)
		}
	}
	m.provider = p
	return p, nil
}

// serveCallback is where the provider leads back.
func (h oidcDesk) serveCallback(w http.ResponseWriter, r *http.Request) {
	forgetCookie(w, oidcCookie)
	secret, next, err := h.callback(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	http.SetCookie(w, hostCookie(reviewerCookie, secret))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (h oidcDesk) callback(r *http.Request) (secret, next string, err error) {
	b, code, err := h.response(r)
	if err != nil {
		return "", "", err
	}
	token, err := h.exchange(r.Context(), b, code)
	if err != nil {
		return "", "", err
	}
	who, err := h.allowed(token)
	if err != nil {
		return "", "", err
	}
	secret, err = h.welcome(r.Context(), who)
	return secret, b.Next, err
}

// response reads what the provider sent by the browser (OpenID Connect Core 1.0, Section 3.1.2.5), which ends what had begun.
func (h oidcDesk) response(r *http.Request) (b oidcBegun, code string, err error) {
	q := r.URL.Query()
	err = h.vp.Store.Update(r.Context(), func(tx store.Tx) error {
		o, err := h.takeOnce(tx, q.Get("state"), methodOIDC)
		if err != nil {
			return err
		}
		return json.Unmarshal(o.Data, &b)
	})
	iss := q["iss"]
	switch {
	case errors.Is(err, errOnce):
		return b, "", errOIDCState
	case err != nil:
		return b, "", err
	case !sameSecret(b.Browser, hashed(cookieOf(r, oidcCookie))):
		return b, "", errOIDCState
	case len(iss) > 0 && iss[0] != h.Issuer: // RFC 9207
		return b, "", errOIDCIssuer
	case q.Has("error") || q.Get("code") == "":
		return b, "", errOIDCProvider
	}
	return b, q.Get("code"), nil
}

// signingAlgs are the algorithms by which ID Tokens may be signed.
var signingAlgs = []string{oidc.RS256, oidc.ES256, oidc.PS256, oidc.EdDSA}

// exchange gets the ID Token for a code, and verifies it (OpenID Connect Core 1.0, Section 3.1.3.7).
func (h oidcDesk) exchange(ctx context.Context, b oidcBegun, code string) (*oidc.IDToken, error) {
	provider, err := h.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, h.HTTP)
	answer, err := h.client(provider).Exchange(ctx, code, oauth2.VerifierOption(b.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
		return nil, errOIDCCode
	}
	if err != nil {
		return nil, fmt.Errorf("%w: exchanging the code", errOIDCDown) // the error may hold the provider's answer
	}
	raw, _ := answer.Extra("id_token").(string)
	token, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: h.ClientID, Now: h.now, SupportedSigningAlgs: signingAlgs}).Verify(ctx, raw)
	if err != nil {
		return nil, errOIDCToken
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if err := token.Claims(&claims); err != nil || len(token.Audience) > 1 && claims.AuthorizedParty == "" || claims.AuthorizedParty != "" && claims.AuthorizedParty != h.ClientID {
		return nil, errOIDCToken
	}
	if !sameSecret(token.Nonce, b.Nonce) {
		return nil, errOIDCNonce
	}
	return token, nil
}

// allowed finds out whether an account is one of those that the configuration lets in.
func (m *oidcSignIn) allowed(token *oidc.IDToken) (*reviewer, error) {
	var all map[string]any
	if err := token.Claims(&all); err != nil || token.Subject == "" {
		return nil, errOIDCToken
	}
	email, _ := all["email"].(string)
	if verified, _ := all["email_verified"].(bool); !verified {
		email = ""
	}
	if !slices.Contains(m.Subjects, token.Subject) && (email == "" || !slices.ContainsFunc(m.Emails, func(e string) bool { return strings.EqualFold(e, email) })) && !m.inGroup(all) {
		return nil, errOIDCNotAllowed
	}
	who := &reviewer{ID: subjectID(token), Method: methodOIDC, Name: token.Subject}
	for _, name := range []any{all["name"], all["preferred_username"], email} {
		if s, ok := name.(string); ok && s != "" && len(s) <= maxName {
			who.Name = s
			break
		}
	}
	return who, nil
}

func (m *oidcSignIn) inGroup(all map[string]any) bool {
	if m.Claim == "" {
		return false
	}
	values, ok := all[m.Claim].([]any)
	if !ok {
		values = []any{all[m.Claim]}
	}
	return slices.ContainsFunc(values, func(v any) bool {
		s, ok := v.(string)
		return ok && slices.Contains(m.Values, s)
	})
}

// subjectID is the reviewer's id of an account.
func subjectID(token *oidc.IDToken) string {
	sum := sha256.Sum256([]byte(token.Issuer + "\n" + token.Subject))
	return crockford.EncodeToString(sum[:10])
}

// welcome signs in an account that may, unless the operator has removed it.
func (h oidcDesk) welcome(ctx context.Context, who *reviewer) (secret string, err error) {
	err = h.update(ctx, func(tx store.Tx) error {
		var known reviewer
		err := store.GetJSON(tx, keyReviewer(who.ID), &known)
		first := errors.Is(err, store.ErrNotFound)
		switch {
		case err != nil && !first:
			return err
		case known.Removed:
			return errOIDCRemoved
		}
		if who.Since = known.Since; first {
			who.Since = h.now().UTC()
			err = h.record(tx, AuditLine{What: auditEnrolled, Who: who.ID, Name: who.Name})
		}
		if err != nil {
			return err
		}
		if secret, err = h.enter(tx, who); err != nil {
			return err
		}
		return store.SetJSON(tx, keyReviewer(who.ID), who)
	})
	return secret, err
}

// fail answers a sign-in that came to nothing, with a page that does not repeat what stands in the address.
func (h oidcDesk) fail(w http.ResponseWriter, r *http.Request, err error) {
	r = r.Clone(r.Context())
	r.URL = &url.URL{Path: pathSignIn}
	var refused *oidcRefusal
	switch {
	case errors.As(err, &refused):
		h.refused(r, refused.reason)
		h.shown(r, render(w, r, http.StatusForbidden, "signin", h.signInPage(nil, "", refused.message)))
	case errors.Is(err, errOIDCDown):
		h.vp.Log.WarnContext(r.Context(), "signing in failed", "error", err)
		h.shown(r, render(w, r, http.StatusBadGateway, "signin", h.signInPage(nil, "", "signin.provider_down")))
	default:
		h.refuse(w, r, err)
	}
}
