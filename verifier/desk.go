package verifier

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/store"
	"akashi/internal/web"
)

// DeskConfig configures a [Desk]. Zero values take the defaults named here.
type DeskConfig struct {
	VP *VP // asks the wallets. Its store, its clock and its log are the desk's too

	SignIn []SignInMethod // for reviewers; none: nobody can sign in, and the public pages serve alone

	Retention  time.Duration // how long a reviewer's case is kept after it was opened: 90 days
	Submission time.Duration // how long an assessment is kept that a worker made alone: 24 hours
	Idle       time.Duration // a reviewer who does nothing for so long is signed out: 30 minutes
	Longest    time.Duration // nobody stays signed in for longer: 10 hours

	TrustedProxies []netip.Prefix // whose X-Forwarded-For names the client, for the limits of rate

	Streams          int // of events that are open at once, in all: 2,000
	StreamsPerClient int // and for one client: 100, since an office may have one address
}

// Desk is the reviewer's desk, and the public pages beside it: it opens cases, asks wallets through [VP], shows and keeps what they answer, and writes
// down who saw what. Without signing in, a worker makes an assessment for submission, and anybody verifies one again.
type Desk struct {
	DeskConfig
	vp      *VP
	limits  limits
	streams streams
}

// ErrDeskConfig is returned for a configuration that cannot work.
var ErrDeskConfig = errors.New("reviewer's desk")

// NewDesk makes a desk.
func NewDesk(cfg DeskConfig) (*Desk, error) {
	if cfg.VP == nil {
		return nil, fmt.Errorf("%w: a verifier is needed", ErrDeskConfig)
	}
	for _, d := range []struct {
		field    *time.Duration
		standard time.Duration
		name     string
	}{
		{&cfg.Retention, 90 * 24 * time.Hour, "retention"}, {&cfg.Submission, 24 * time.Hour, "submission_retention"},
		{&cfg.Idle, 30 * time.Minute, "signin_idle"}, {&cfg.Longest, 10 * time.Hour, "signin_longest"},
	} {
		if *d.field < 0 {
			return nil, fmt.Errorf("%w: %s must not be negative", ErrDeskConfig, d.name)
		}
		if *d.field == 0 {
			*d.field = d.standard
		}
	}
	for _, n := range []struct {
		field    *int
		standard int
	}{{&cfg.Streams, 2000}, {&cfg.StreamsPerClient, 100}} {
		if *n.field < 0 {
			return nil, fmt.Errorf("%w: the number of streams must not be negative", ErrDeskConfig)
		}
		if *n.field == 0 {
			*n.field = n.standard
		}
	}
	return &Desk{DeskConfig: cfg, vp: cfg.VP, limits: newLimits(), streams: streams{of: make(map[string]int)}}, nil
}

func (d *Desk) now() time.Time { return d.vp.Now() }

// Paths of the pages.
const (
	pathHome       = "/"
	pathDesk       = "/desk"
	pathSubmission = "/submission"
	pathCode       = "/c" // with the 8 characters that a desk shows
	pathReverify   = "/r"
	pathSignIn     = "/signin"
	pathSignOut    = "/signout"
)

// limits are those of one client, by what is asked.
type limits struct {
	pages   *web.RateLimiter
	wallets *web.RateLimiter
	guesses *web.RateLimiter // codes, numbers, sign-ins
	heavy   *web.RateLimiter // what verifies a file or asks the registry
}

func newLimits() limits {
	return limits{
		pages:   web.NewRateLimiter(web.RateLimit{PerSecond: 10, Burst: 200}),
		wallets: web.NewRateLimiter(web.RateLimit{PerSecond: 20, Burst: 200}),
		guesses: web.NewRateLimiter(web.RateLimit{PerSecond: 0.2, Burst: 30}),
		heavy:   web.NewRateLimiter(web.RateLimit{PerSecond: 0.2, Burst: 20}),
	}
}

// client names who asks.
func (d *Desk) client(r *http.Request) string { return web.ClientAddress(r, d.TrustedProxies) }

// limited answers with a page of status 429 to who asks too much.
func (d *Desk) limited(l *web.RateLimiter, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if ok, after := l.Allow(d.client(r)); !ok {
			w.Header().Set("Retry-After", fmt.Sprint(int(after.Seconds())+1))
			d.shown(r, renderProblem(w, r, http.StatusTooManyRequests, ""))
			return
		}
		next(w, r)
	}
}

// Handler serves the pages and the endpoints of [VP].
func (d *Desk) Handler() http.Handler {
	r := mux.NewRouter()
	r.HandleFunc(pathReturn, d.serveReturn).Methods(http.MethodGet)
	asked := d.vp.Handler()
	limited := func(next http.Handler) http.Handler { return d.limits.wallets.Limit(next, d.client) }
	r.Handle(pathSessions+"/{id}/events", limited(d.oneStream(asked.ServeHTTP))).Methods(http.MethodGet)
	r.PathPrefix("/vp/").Handler(limited(asked))
	pages := r.NewRoute().Subrouter()
	pages.Use(d.sameOrigin, mux.MiddlewareFunc(func(next http.Handler) http.Handler { return d.limited(d.limits.pages, next.ServeHTTP) }))
	routeAssets(pages)
	pages.HandleFunc(pathHome, d.serveHome).Methods(http.MethodGet)
	d.routeSignIn(pages)
	d.routeCases(pages, pathDesk, d.ownerByReviewer)
	d.routeCases(pages, pathSubmission, d.ownerByBrowser)
	d.routeCodes(pages)
	d.routeReverify(pages)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.shown(r, renderProblem(w, r, http.StatusNotFound, "")) })
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.shown(r, renderProblem(w, r, http.StatusMethodNotAllowed, ""))
	})
	return deadlines(web.SecureHeaders(web.LimitBody(maxUpload, r)))
}

// sameOrigin refuses what a page of another origin has a browser do.
func (d *Desk) sameOrigin(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.shown(r, renderProblem(w, r, http.StatusForbidden, "desk.other_origin"))
	}))
	return p.Handler(next)
}

// deadlines bounds how long an answer may take. Streams of events put it off with each event.
func deadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin)) // a writer without deadlines is one of a test
		next.ServeHTTP(w, r)
	})
}

// shown logs what went wrong with a page.
func (d *Desk) shown(r *http.Request, err error) {
	if err != nil && r.Context().Err() == nil {
		d.vp.Log.ErrorContext(r.Context(), "a page could not be shown", "route", web.Route(r), "error", err)
	}
}

// pageError is an error that knows its page.
type pageError struct {
	status  int
	message string // key of a text
}

func (e *pageError) Error() string { return e.message }

var (
	errNoCase  = &pageError{http.StatusNotFound, "desk.no_case"}
	errForm    = &pageError{http.StatusBadRequest, "page.problem_400"}
	errPeriod  = &pageError{http.StatusBadRequest, "desk.bad_period"}
	errPeriods = &pageError{http.StatusBadRequest, "desk.two_periods"}
)

// refuse answers with the page of an error. One that knows none is our own fault and goes to the log.
func (d *Desk) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var known *pageError
	switch {
	case errors.Is(err, errNotSignedIn):
		d.toSignIn(w, r)
	case errors.As(err, &known):
		d.shown(r, renderProblem(w, r, known.status, known.message))
	case errors.Is(err, web.ErrTooLarge):
		d.shown(r, renderProblem(w, r, http.StatusRequestEntityTooLarge, ""))
	case errors.Is(err, web.ErrMediaType), errors.Is(err, web.ErrBody), errors.Is(err, web.ErrTwice):
		d.shown(r, renderProblem(w, r, http.StatusBadRequest, ""))
	default:
		d.shown(r, errors.Join(err, renderProblem(w, r, http.StatusInternalServerError, "")))
	}
}

// homePage leads to what can be done here.
type homePage struct{ SignedIn *reviewer }

func (d *Desk) serveHome(w http.ResponseWriter, r *http.Request) {
	who, err := d.signedIn(r)
	if err != nil && !errors.Is(err, errNotSignedIn) {
		d.refuse(w, r, err)
		return
	}
	d.shown(r, render(w, r, http.StatusOK, "home", homePage{who}))
}

// forget removes a session of [VP], with all that it knows of the wallet's answer.
func (v *VP) forget(tx store.Tx, s *session) error {
	return errors.Join(tx.Delete(keySession(s.ID)), tx.Delete(keyRequest(s.Exchange.Request)), tx.Delete(keyResponse(s.Exchange.Response)), tx.Delete(keyEvidence(s.ID)))
}
