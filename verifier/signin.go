package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/store"
)

// A SignInMethod is a way in which reviewers sign in.
type SignInMethod interface {
	// name is the method's name in texts and in what is stored of a reviewer.
	name() string
	// route adds the method's endpoints below [pathSignIn].
	route(d *Desk, r *mux.Router)
}

// reviewer is somebody who may sign in.
type reviewer struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Method      string          `json:"method"`
	Since       time.Time       `json:"since"`
	Removed     bool            `json:"removed,omitempty"`     // and may not come back
	Credentials json.RawMessage `json:"credentials,omitempty"` // of the method
}

// deskSession is what is stored of a browser in which a reviewer has signed in.
type deskSession struct {
	Reviewer string    `json:"reviewer"`
	Since    time.Time `json:"since"`
	Seen     time.Time `json:"seen"`
}

// once is something that may be used once, by whoever brings its secret.
type once struct {
	Kind    string          `json:"kind"`
	Expires time.Time       `json:"expires"`
	Name    string          `json:"name,omitempty"` // of an invitation: who is invited
	Data    json.RawMessage `json:"data,omitempty"` // of a sign-in that has begun
}

// onceInvitation is the kind of an invitation; those of sign-ins are their methods' own.
const onceInvitation = "invitation"

const (
	inviteLife = time.Hour
	signInLife = 10 * time.Minute // between beginning and end of one sign-in
	seenEvery  = time.Minute      // how often it is stored that a reviewer is still there
)

var (
	errNotSignedIn = errors.New("nobody has signed in")
	errOnce        = errors.New("it is unknown, was used already, or has run out")
)

// reviewerCookie holds the secret of a signed-in browser; only its hash is stored. Lax: Strict would lose it on the way back from the identity
// provider and from a wallet.
const reviewerCookie = "__Host-akashi-reviewer"

// hostCookie is a cookie that no other host can set, until the browser closes.
func hostCookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func forgetCookie(w http.ResponseWriter, name string) {
	c := hostCookie(name, "")
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (d *Desk) routeSignIn(r *mux.Router) {
	r.HandleFunc(pathSignIn, d.serveSignIn).Methods(http.MethodGet)
	r.HandleFunc(pathSignOut, d.serveSignOut).Methods(http.MethodPost)
	for _, m := range d.SignIn {
		m.route(d, r)
	}
}

// signInPage says how to sign in.
type signInPage struct {
	Methods  []string
	Next     string // where to go on
	SignedIn *reviewer
	Problem  string // key of a text, "" for none
}

func (p signInPage) Has(method string) bool { return slices.Contains(p.Methods, method) }

func (d *Desk) serveSignIn(w http.ResponseWriter, r *http.Request) {
	who, err := d.signedIn(r)
	if err != nil && !errors.Is(err, errNotSignedIn) {
		d.refuse(w, r, err)
		return
	}
	d.shown(r, render(w, r, http.StatusOK, "signin", d.signInPage(who, r.URL.Query().Get("next"), "")))
}

func (d *Desk) signInPage(who *reviewer, next, problem string) signInPage {
	p := signInPage{Next: localNext(next), SignedIn: who, Problem: problem}
	for _, m := range d.SignIn {
		p.Methods = append(p.Methods, m.name())
	}
	return p
}

// toSignIn leads to the page for signing in, and from there back.
func (d *Desk) toSignIn(w http.ResponseWriter, r *http.Request) {
	next := pathDesk
	if r.Method == http.MethodGet {
		next = localNext(r.URL.Path)
	}
	http.Redirect(w, r, pathSignIn+"?"+url.Values{"next": {next}}.Encode(), http.StatusSeeOther)
}

// localNext is a page of the desk, whatever was asked for.
func localNext(next string) string {
	if next != pathDesk && !strings.HasPrefix(next, pathDesk+"/") || strings.ContainsAny(next, "\\?#\r\n") {
		return pathDesk
	}
	return next
}

// signedIn returns the reviewer of a request, or errNotSignedIn.
func (d *Desk) signedIn(r *http.Request) (*reviewer, error) {
	secret := cookieOf(r, reviewerCookie)
	if secret == "" {
		return nil, errNotSignedIn
	}
	var s deskSession
	var who reviewer
	err := d.vp.Store.View(r.Context(), func(tx store.Tx) error {
		if err := store.GetJSON(tx, keySignedIn(secret), &s); err != nil {
			return err
		}
		return store.GetJSON(tx, keyReviewer(s.Reviewer), &who)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNotSignedIn
	}
	if err != nil {
		return nil, fmt.Errorf("reading who has signed in: %w", err)
	}
	now := d.now()
	if who.Removed || !now.Before(s.Seen.Add(d.Idle)) || !now.Before(s.Since.Add(d.Longest)) {
		return nil, errNotSignedIn
	}
	if now.Sub(s.Seen) < seenEvery {
		return &who, nil
	}
	return &who, d.stay(r.Context(), secret)
}

// stay notes that a signed-in browser is still there.
func (d *Desk) stay(ctx context.Context, secret string) error {
	err := d.vp.Store.Update(ctx, func(tx store.Tx) error {
		var s deskSession
		if err := store.GetJSON(tx, keySignedIn(secret), &s); err != nil {
			return err
		}
		s.Seen = d.now()
		return setUntil(tx, keySignedIn(secret), s, d.Longest)
	})
	if errors.Is(err, store.ErrNotFound) { // signed out in between
		return errNotSignedIn
	}
	return err
}

// enter signs a reviewer in, in the transaction that has found out who it is, and returns the secret of the browser.
func (d *Desk) enter(tx store.Tx, who *reviewer) (secret string, err error) {
	secret = random()
	s := deskSession{Reviewer: who.ID, Since: d.now(), Seen: d.now()}
	return secret, errors.Join(setUntil(tx, keySignedIn(secret), s, d.Longest), d.record(tx, AuditLine{What: auditSignedIn, Who: who.ID, Name: who.Name}))
}

// refused records that somebody could not sign in.
func (d *Desk) refused(r *http.Request, reason string) {
	if err := d.note(r.Context(), AuditLine{What: auditSignInRefused, Reason: reason}); err != nil {
		d.vp.Log.ErrorContext(r.Context(), "the audit log cannot be written", "error", err)
	}
}

func (d *Desk) serveSignOut(w http.ResponseWriter, r *http.Request) {
	who, err := d.signedIn(r)
	if err == nil {
		err = d.update(r.Context(), func(tx store.Tx) error {
			return errors.Join(tx.Delete(keySignedIn(cookieOf(r, reviewerCookie))), d.record(tx, AuditLine{What: auditSignedOut, Who: who.ID, Name: who.Name}))
		})
	}
	if err != nil && !errors.Is(err, errNotSignedIn) {
		d.refuse(w, r, err)
		return
	}
	forgetCookie(w, reviewerCookie)
	http.Redirect(w, r, pathHome, http.StatusSeeOther)
}

// putOnce stores something that may be used once.
func (d *Desk) putOnce(tx store.Tx, secret string, o once, life time.Duration) error {
	o.Expires = d.now().Add(life)
	return setUntil(tx, keyOnce(secret), o, life)
}

// getOnce returns something that may be used once, without using it.
func (d *Desk) getOnce(tx store.Tx, secret, kind string) (o once, err error) {
	err = store.GetJSON(tx, keyOnce(secret), &o)
	if errors.Is(err, store.ErrNotFound) || err == nil && (o.Kind != kind || !d.now().Before(o.Expires)) {
		err = errOnce
	}
	return o, err
}

// takeOnce uses it.
func (d *Desk) takeOnce(tx store.Tx, secret, kind string) (o once, err error) {
	if o, err = d.getOnce(tx, secret, kind); err != nil {
		return o, err
	}
	return o, tx.Delete(keyOnce(secret))
}

// Invitation lets one person make a passkey for this desk.
type Invitation struct {
	Name    string    `json:"name"`
	Link    string    `json:"link"` // once, until it expires; the secret is in the fragment, which no server sees
	Expires time.Time `json:"expires"`
}

// ErrReviewer is returned for a reviewer that cannot be invited or removed.
var ErrReviewer = errors.New("reviewer")

const maxName = 80

// pathInvitation is the page where an invited person makes a passkey.
const pathInvitation = pathSignIn + "/invitation"

// Invite makes a link with which a person makes a passkey and is a reviewer from then on. Under the name of a reviewer it adds a passkey to theirs.
func (d *Desk) Invite(ctx context.Context, name string) (*Invitation, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "" || len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }):
		return nil, fmt.Errorf("%w: a name of at most %d octets is needed", ErrReviewer, maxName)
	case !slices.ContainsFunc(d.SignIn, func(m SignInMethod) bool { return m.name() == methodPasskey }):
		return nil, fmt.Errorf("%w: reviewers sign in with the identity provider of the configuration; who may is said there", ErrReviewer)
	}
	secret := random()
	out := &Invitation{Name: name, Link: d.vp.URL + pathInvitation + "#" + secret, Expires: d.now().Add(inviteLife)}
	return out, d.update(ctx, func(tx store.Tx) error {
		return errors.Join(d.putOnce(tx, secret, once{Kind: onceInvitation, Name: name}, inviteLife), d.record(tx, AuditLine{What: auditInvited, Who: byOperator, About: name}))
	})
}

// Methods of signing in, in what is stored and in texts.
const (
	methodPasskey = "passkey"
	methodOIDC    = "oidc"
)

// Reviewer is somebody who may sign in, or might.
type Reviewer struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Method  string    `json:"method"`
	Since   time.Time `json:"since"`
	Removed bool      `json:"removed,omitempty"`
}

// Reviewers lists everybody who has ever been a reviewer.
func (d *Desk) Reviewers(ctx context.Context) (out []Reviewer, err error) {
	all, err := d.reviewers(ctx)
	for _, r := range all {
		out = append(out, Reviewer{r.ID, r.Name, r.Method, r.Since, r.Removed})
	}
	return out, err
}

func (d *Desk) reviewers(ctx context.Context) (out []reviewer, err error) {
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		out = nil
		return scanReviewers(tx, func(r reviewer) { out = append(out, r) })
	})
	slices.SortFunc(out, func(a, b reviewer) int { return a.Since.Compare(b.Since) })
	return out, err
}

func scanReviewers(tx store.Tx, see func(reviewer)) error {
	return tx.Scan(prefixReviewers, func(_, value []byte) error {
		var r reviewer
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("reading a reviewer: %w", err)
		}
		see(r)
		return nil
	})
}

// RemoveReviewer keeps a reviewer, by id, from signing in, and ends their sessions. The record stays, so that an identity provider does not bring them
// back and the audit log stays readable; their passkeys are deleted.
func (d *Desk) RemoveReviewer(ctx context.Context, id string) error {
	return d.update(ctx, func(tx store.Tx) error {
		var who reviewer
		err := store.GetJSON(tx, keyReviewer(id), &who)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("%w: there is none with id %q", ErrReviewer, id)
		case err != nil:
			return err
		case who.Removed:
			return nil
		}
		who.Removed, who.Credentials = true, nil
		ended, err := sessionsOf(tx, id)
		if err != nil {
			return err
		}
		for _, key := range ended {
			err = errors.Join(err, tx.Delete(key))
		}
		return errors.Join(err, store.SetJSON(tx, keyReviewer(id), who), d.record(tx, AuditLine{What: auditRemoved, Who: byOperator, About: id}))
	})
}

// sessionsOf returns the keys of the browsers in which a reviewer has signed in.
func sessionsOf(tx store.Tx, id string) (keys [][]byte, err error) {
	err = tx.Scan(prefixSignedIn, func(key, value []byte) error {
		var s deskSession
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("reading a signed-in browser: %w", err)
		}
		if s.Reviewer == id {
			keys = append(keys, slices.Clone(key))
		}
		return nil
	})
	return keys, err
}
