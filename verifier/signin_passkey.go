package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/gorilla/mux"

	"akashi/internal/store"
	"akashi/internal/web"
)

// passkeys lets reviewers sign in with passkeys (Web Authentication, Level 3): discoverable credentials that verify the person. A person gets one with an
// invitation of the operator's.
type passkeys struct {
	rp *webauthn.WebAuthn
}

// NewPasskeys makes the method for a desk that browsers reach at a URL.
func NewPasskeys(serviceURL string) (SignInMethod, error) {
	u, err := url.Parse(serviceURL)
	if err != nil {
		return nil, fmt.Errorf("%w: url: %w", ErrDeskConfig, err)
	}
	rp, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Akashi", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: passkeys: %w", ErrDeskConfig, err)
	}
	return &passkeys{rp}, nil
}

func (*passkeys) name() string { return methodPasskey }

const pathPasskey = pathSignIn + "/passkey"

func (p *passkeys) route(d *Desk, r *mux.Router) {
	h := passkeyDesk{p, d}
	r.HandleFunc(pathInvitation, h.serveInvitation).Methods(http.MethodGet)
	for path, serve := range map[string]http.HandlerFunc{
		"/make/begin": h.serveMakeBegin, "/make/finish": h.serveMakeFinish, "/begin": h.serveBegin, "/finish": h.serveFinish,
	} {
		r.HandleFunc(pathPasskey+path, d.limited(d.limits.guesses, serve)).Methods(http.MethodPost)
	}
}

// passkeyDesk is the method at a desk.
type passkeyDesk struct {
	*passkeys
	*Desk
}

// passkeyUser is a reviewer as the library knows one.
type passkeyUser struct {
	*reviewer
	credentials []webauthn.Credential
}

func (u passkeyUser) WebAuthnID() []byte                         { return []byte(u.ID) }
func (u passkeyUser) WebAuthnName() string                       { return u.Name }
func (u passkeyUser) WebAuthnDisplayName() string                { return u.Name }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

func userOf(r *reviewer) (u passkeyUser, err error) {
	u.reviewer = r
	if r.Credentials != nil {
		err = json.Unmarshal(r.Credentials, &u.credentials)
	}
	return u, err
}

// ceremony is what is kept between the two halves of making or using a passkey.
type ceremony struct {
	Reviewer *reviewer            `json:"reviewer,omitempty"` // for whom a passkey is made
	Session  webauthn.SessionData `json:"session"`
}

// Kinds of ceremonies, for [once].
const (
	onceMake = "passkey.make"
	onceUse  = "passkey.use"
)

// begun is what a browser gets to call its authenticator with.
type begun struct {
	Ceremony string `json:"ceremony"` // to be brought back
	Options  any    `json:"options"`
}

// passkeyBody is what a browser sends.
type passkeyBody struct {
	Invitation string          `json:"invitation,omitempty"`
	Ceremony   string          `json:"ceremony,omitempty"`
	Credential json.RawMessage `json:"credential,omitempty"`
}

// answer sends a browser what comes next. An error is told to the page as a problem, in words to the person by the page, and to the audit log by its code.
func (h passkeyDesk) answer(w http.ResponseWriter, r *http.Request, reason string, v any, err error) {
	switch {
	case err == nil && v != nil:
		web.WriteJSON(w, http.StatusOK, v)
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, web.ErrBody), errors.Is(err, web.ErrMediaType), errors.Is(err, web.ErrTooLarge):
		web.WriteProblem(w, web.Problem{Title: "the request is malformed", Status: http.StatusBadRequest})
	case errors.Is(err, errOnce), errors.Is(err, errPasskey):
		h.vp.Log.InfoContext(r.Context(), "a passkey was refused", "reason", reason)
		h.refused(r, reason)
		web.WriteProblem(w, web.Problem{Title: "this was refused", Status: http.StatusForbidden, Detail: reason})
	default:
		h.vp.Log.ErrorContext(r.Context(), "signing in failed", "error", err)
		web.WriteProblem(w, web.Problem{Title: "an error of our own", Status: http.StatusInternalServerError})
	}
}

// errPasskey is returned for what an authenticator answered and does not verify.
var errPasskey = errors.New("the passkey does not verify")

func (h passkeyDesk) serveInvitation(w http.ResponseWriter, r *http.Request) {
	h.shown(r, render(w, r, http.StatusOK, "invitation", nil))
}

// begin stores a ceremony.
func (h passkeyDesk) begin(tx store.Tx, kind string, c ceremony) (secret string, err error) {
	data, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	secret = random()
	return secret, h.putOnce(tx, secret, once{Kind: kind, Data: data}, signInLife)
}

// take ends a ceremony: it can be finished once, whether well or not.
func (h passkeyDesk) take(r *http.Request, secret, kind string) (c ceremony, err error) {
	err = h.vp.Store.Update(r.Context(), func(tx store.Tx) error {
		o, err := h.takeOnce(tx, secret, kind)
		if err != nil {
			return err
		}
		return json.Unmarshal(o.Data, &c)
	})
	return c, err
}

func (h passkeyDesk) serveMakeBegin(w http.ResponseWriter, r *http.Request) {
	out, err := h.makeBegin(r)
	if err != nil {
		out = nil
	}
	h.answer(w, r, "invitation", out, err)
}

// makeBegin lets an invited person's browser make a passkey.
func (h passkeyDesk) makeBegin(r *http.Request) (any, error) {
	var b passkeyBody
	if err := web.ReadJSON(r, &b); err != nil {
		return nil, err
	}
	var out begun
	err := h.vp.Store.Update(r.Context(), func(tx store.Tx) error {
		o, err := h.getOnce(tx, b.Invitation, onceInvitation)
		if err != nil {
			return err
		}
		who, err := h.invited(tx, o.Name)
		if err != nil {
			return err
		}
		user, err := userOf(who)
		if err != nil {
			return err
		}
		options, session, err := h.rp.BeginRegistration(user, webauthn.WithExclusions(webauthn.Credentials(user.credentials).CredentialDescriptors()))
		if err != nil {
			return err
		}
		out.Options = options.Response
		out.Ceremony, err = h.begin(tx, onceMake, ceremony{who, *session})
		return err
	})
	return &out, err
}

// invited is the reviewer of a name, or a new one.
func (h passkeyDesk) invited(tx store.Tx, name string) (*reviewer, error) {
	who := &reviewer{ID: newCode() + newCode(), Name: name, Method: methodPasskey, Since: h.now().UTC()}
	err := scanReviewers(tx, func(r reviewer) {
		if r.Name == name && r.Method == methodPasskey && !r.Removed {
			who = &r
		}
	})
	return who, err
}

func (h passkeyDesk) serveMakeFinish(w http.ResponseWriter, r *http.Request) {
	secret, err := h.makeFinish(r)
	if err == nil {
		http.SetCookie(w, hostCookie(reviewerCookie, secret))
	}
	h.answer(w, r, "passkey.make", nil, err)
}

// makeFinish takes the passkey that was made, uses the invitation up, and signs the person in.
func (h passkeyDesk) makeFinish(r *http.Request) (secret string, err error) {
	var b passkeyBody
	if err := web.ReadJSON(r, &b); err != nil {
		return "", err
	}
	c, err := h.take(r, b.Ceremony, onceMake)
	if err != nil {
		return "", err
	}
	user, err := userOf(c.Reviewer)
	if err != nil {
		return "", err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(b.Credential)
	if err != nil {
		return "", errPasskey
	}
	made, err := h.rp.CreateCredential(user, c.Session, parsed)
	if err != nil {
		return "", errPasskey
	}
	err = h.update(r.Context(), func(tx store.Tx) error {
		if _, err := h.takeOnce(tx, b.Invitation, onceInvitation); err != nil {
			return err
		}
		who, err := h.invited(tx, c.Reviewer.Name)
		if err != nil {
			return err
		}
		switch {
		case who.Credentials == nil && c.Reviewer.Credentials == nil:
			who = c.Reviewer // under the id that the passkey was made for
		case who.ID != c.Reviewer.ID:
			return errOnce // removed since, or another invitation of the same name was faster
		}
		if user, err = userOf(who); err != nil {
			return err
		}
		if err := who.hold(append(user.credentials, *made)); err != nil {
			return err
		}
		if secret, err = h.enter(tx, who); err != nil {
			return err
		}
		return errors.Join(store.SetJSON(tx, keyReviewer(who.ID), who), h.record(tx, AuditLine{What: auditEnrolled, Who: who.ID, Name: who.Name}))
	})
	return secret, err
}

// hold gives a reviewer passkeys.
func (r *reviewer) hold(credentials []webauthn.Credential) (err error) {
	r.Credentials, err = json.Marshal(credentials)
	return err
}

func (h passkeyDesk) serveBegin(w http.ResponseWriter, r *http.Request) {
	var out begun
	options, session, err := h.rp.BeginDiscoverableLogin()
	if err == nil {
		out.Options = options.Response
		err = h.vp.Store.Update(r.Context(), func(tx store.Tx) (err error) {
			out.Ceremony, err = h.begin(tx, onceUse, ceremony{Session: *session})
			return err
		})
	}
	h.answer(w, r, "passkey.use", &out, err)
}

func (h passkeyDesk) serveFinish(w http.ResponseWriter, r *http.Request) {
	secret, err := h.finish(r)
	if err == nil {
		http.SetCookie(w, hostCookie(reviewerCookie, secret))
	}
	h.answer(w, r, "passkey.use", nil, err)
}

// finish signs in the reviewer whose passkey answered.
func (h passkeyDesk) finish(r *http.Request) (secret string, err error) {
	var b passkeyBody
	if err := web.ReadJSON(r, &b); err != nil {
		return "", err
	}
	c, err := h.take(r, b.Ceremony, onceUse)
	if err != nil {
		return "", err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(b.Credential)
	if err != nil {
		return "", errPasskey
	}
	err = h.update(r.Context(), func(tx store.Tx) error {
		var who reviewer
		find := func(_, userHandle []byte) (webauthn.User, error) {
			if err := store.GetJSON(tx, keyReviewer(string(userHandle)), &who); err != nil {
				return nil, err
			}
			if who.Removed || who.Method != methodPasskey {
				return nil, errPasskey
			}
			return userOf(&who)
		}
		_, used, err := h.rp.ValidatePasskeyLogin(find, c.Session, parsed)
		if err != nil || used.Authenticator.CloneWarning {
			return errPasskey
		}
		user, err := userOf(&who)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(user.credentials, func(one webauthn.Credential) bool { return slices.Equal(one.ID, used.ID) })
		user.credentials[at] = *used // with its new counter
		if err := who.hold(user.credentials); err != nil {
			return err
		}
		if secret, err = h.enter(tx, &who); err != nil {
			return err
		}
		return store.SetJSON(tx, keyReviewer(who.ID), who)
	})
	return secret, err
}
