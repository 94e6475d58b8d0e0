package verifier

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// VPConfig configures a [VP]. Zero values take the defaults named here.
type VPConfig struct {
	URL   string // https, without a slash at the end: where wallets and browsers reach the service
	Store store.Store

	// Key signs the requests, and Chain is its certificate and what lies between it and the authority that wallets trust, without that
	// (HAIP 1.0, Section 5). Without Chain only the prefixes decentralized_identifier and redirect_uri can be used.
	Key   *keys.Private
	Chain []*x509.Certificate

	Registry evidence.Source     // of records and trust lists
	Trust    evidence.Trust      // pinned
	Roots    []*x509.Certificate // authorities of issuers besides those on the trust list, for queries of the operator's own

	Statuses   StatusSource  // of status lists, for queries of the operator's own; nil: the status stays unknown
	AdminToken string        // bearer token for creating requests over HTTP; "" means that they are made by [VP.Create] alone
	Life       time.Duration // of one request: 5 minutes
	Retention  time.Duration // how long a session and its result are kept after the request's end: 24 hours
	Base       string        // of links: openid4vp://
	Now        func() time.Time
	Log        *slog.Logger
}

// VP is a verifier of OpenID4VP 1.0: it asks wallets for presentations, verifies what they answer while they wait, and tells whoever asked
// how it ended. One request has one session, which is answered once and always ends: answered, refused, failed or expired.
type VP struct {
	VPConfig
	host   string
	origin string // of the pages that ask over the Digital Credentials API
	hub    hub
}

// ErrVPConfig is returned for a configuration that cannot work.
var ErrVPConfig = errors.New("verifier configuration")

// NewVP makes a verifier.
func NewVP(cfg VPConfig) (*VP, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || oid4vc.CheckIdentifier(cfg.URL) != nil || strings.HasSuffix(cfg.URL, "/") || oid4vc.CheckOrigin(u.Scheme+"://"+u.Host) != nil {
		return nil, fmt.Errorf("%w: url must be an https URL without a slash at the end, its host in lower case", ErrVPConfig)
	}
	if cfg.Store == nil || cfg.Key == nil || cfg.Registry == nil {
		return nil, fmt.Errorf("%w: a store, a key and a registry are needed", ErrVPConfig)
	}
	if err := checkOwnChain(cfg.Key, cfg.Chain); err != nil {
		return nil, err
	}
	if cfg.Life <= 0 {
		cfg.Life = 5 * time.Minute
	}
	if cfg.Retention <= 0 {
		cfg.Retention = 24 * time.Hour
	}
	if cfg.Base == "" {
		cfg.Base = oid4vc.SchemePresentation
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &VP{VPConfig: cfg, host: u.Hostname(), origin: u.Scheme + "://" + u.Host, hub: hub{closed: make(chan struct{})}}, nil
}

// checkOwnChain checks that the certificate is of the key, and that no certificate in the chain is self-signed: neither the verifier's own nor the
// authority's may be (HAIP 1.0, Section 5).
func checkOwnChain(key *keys.Private, chain []*x509.Certificate) error {
	for i, c := range chain {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return fmt.Errorf("%w: certificate %d of the chain is self-signed", ErrVPConfig, i)
		}
	}
	if len(chain) == 0 {
		return nil
	}
	if public, err := keys.PublicFrom(chain[0].PublicKey); err != nil || !public.Equal(key.Public()) {
		return fmt.Errorf("%w: the first certificate of the chain is not of the key", ErrVPConfig)
	}
	return nil
}

// Paths of the endpoints.
const (
	pathSessions   = "/vp/sessions"
	pathRequest    = "/vp/request/"
	pathResponse   = "/vp/response/"
	pathCredential = "/vp/credential/"
	pathReturn     = "/vp/return"
)

// Handler serves the endpoints for wallets (request object and response), for pages that ask over the Digital Credentials API (what to ask with,
// and the response), and for whoever asked (session, events, return).
func (v *VP) Handler() http.Handler {
	r := mux.NewRouter()
	wrongMethod := web.ProblemHandler(http.StatusMethodNotAllowed, "this address does not take that method")
	r.Handle(pathRequest+"{id}", web.CORS(http.HandlerFunc(v.serveRequest))).Methods(http.MethodGet, http.MethodPost)
	r.Handle(pathResponse+"{id}", web.CORS(http.HandlerFunc(v.serveResponse))).Methods(http.MethodPost)
	for _, path := range []string{pathRequest, pathResponse} { // wallets run in browsers
		r.Handle(path+"{id}", web.CORS(wrongMethod)).Methods(http.MethodOptions)
	}
	r.HandleFunc(pathCredential+"{id}", v.serveCredentialRequest).Methods(http.MethodGet)
	r.HandleFunc(pathCredential+"{id}", v.serveCredentialResponse).Methods(http.MethodPost)
	r.HandleFunc(pathReturn, v.serveReturn).Methods(http.MethodGet)
	r.HandleFunc(pathSessions, v.serveCreate).Methods(http.MethodPost)
	r.HandleFunc(pathSessions+"/{id}", v.serveSession).Methods(http.MethodGet)
	r.HandleFunc(pathSessions+"/{id}/events", v.serveEvents).Methods(http.MethodGet)
	r.HandleFunc(pathSessions+"/{id}/evidence", v.serveEvidence).Methods(http.MethodGet)
	r.NotFoundHandler = web.ProblemHandler(http.StatusNotFound, "no such page")
	r.MethodNotAllowedHandler = wrongMethod
	return web.LimitBody(web.MaxBody, web.SecureHeaders(r))
}

// refusal is a request that is answered with an error of OAuth 2.0. reason is a stable code for the session.
type refusal struct {
	status     int
	code, text string
	reason     string
	because    error
}

func (r *refusal) Error() string {
	if r.because != nil {
		return r.reason + ": " + r.because.Error()
	}
	return r.reason
}

func (r *refusal) Unwrap() error { return r.because }

// OAuthError returns what to answer.
func (r *refusal) OAuthError() (status int, code, description string) {
	return r.status, r.code, r.text + " (" + r.reason + ")"
}

func refuseResponse(reason, text string, because error) *refusal {
	return &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequest, text: text, reason: reason, because: because}
}

// random returns 256 random bits in base64url: 43 characters.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// hashed is what is stored of a secret that a browser brings back.
func hashed(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// cookieName has the prefix that lets no other host set it.
const cookieName = "__Host-akashi-vp"

// browserOf returns the secret of the browser session that a request comes in, "" for none.
func browserOf(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// BrowserCookie is the cookie that binds sessions to a browser; its value goes to [CreateOptions]. Lax, since the wallet's app leads the browser
// back.
func BrowserCookie(secret string) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func (v *VP) isAdmin(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && v.AdminToken != "" && sameSecret(hashed(token), hashed(v.AdminToken))
}
