package issuer

import (
	"bytes"
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// pushed is an authorization request that waits for a person (RFC 9126).
type pushed struct {
	Org         string    `json:"org"`
	Client      string    `json:"client"`
	Instance    string    `json:"instance,omitempty"` // attested key of the client
	RedirectURI string    `json:"redirect_uri"`
	State       string    `json:"state"`
	Challenge   string    `json:"challenge"`
	JKT         string    `json:"jkt,omitempty"`
	IssuerState string    `json:"issuer_state,omitempty"`
	Asked       []asked   `json:"asked"` // at least one
	Expires     time.Time `json:"expires"`
}

// asked is a credential that a request asks for, one way or the other.
type asked struct {
	Configuration string `json:"configuration"`
	Details       bool   `json:"details,omitempty"` // by authorization_details
}

// find returns what was asked for the configuration.
func (p *pushed) find(configuration string) (asked, bool) {
	n := slices.IndexFunc(p.Asked, func(a asked) bool { return a.Configuration == configuration })
	if n < 0 {
		return asked{}, false
	}
	return p.Asked[n], true
}

var (
	errPushedGone = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusBadRequest, Description: "the request_uri is unknown, expired or used, or belongs to another client"}
	errDecision   = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusBadRequest, Description: "decision must be approve or deny"}
	errNoOffer    = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusBadRequest, Description: "issuer_state is not that of an open offer of this credential"}
)

// servePushed is the pushed authorization request endpoint.
func (i *Issuer) servePushed(w http.ResponseWriter, r *http.Request, o *org) error {
	form, err := web.ReadForm(r, "resource")
	if err != nil {
		return err
	}
	c, err := i.caller(r, o, "/par", form)
	if err != nil {
		return err
	}
	p, err := i.processPushed(o, c, form)
	if err != nil {
		return errors.Join(err, i.spend(r, c.once))
	}
	random, err := i.secretText()
	if err != nil {
		return err
	}
	requestURI := oid4vc.RequestURIPrefix + random
	err = i.Store.Update(r.Context(), func(tx store.Tx) error {
		if err := use(tx, c.once...); err != nil {
			return err
		}
		return setJSONFor(tx, pushedKey(requestURI), p, pushedLife)
	})
	if err != nil {
		return err
	}
	web.WriteJSON(w, http.StatusCreated, oid4vc.PushedResponse{RequestURI: requestURI, ExpiresIn: int(pushedLife.Seconds())})
	return nil
}

// spend uses one-time values of a request that is refused all the same.
func (i *Issuer) spend(r *http.Request, values []once) error {
	if len(values) == 0 {
		return nil
	}
	return i.Store.Update(r.Context(), func(tx store.Tx) error { return use(tx, values...) })
}

func (i *Issuer) processPushed(o *org, c *caller, form url.Values) (*pushed, error) {
	req, err := oid4vc.ParseAuthorizationRequest(form)
	if err != nil {
		return nil, err
	}
	if c.id != req.ClientID {
		return nil, oid4vc.ErrInvalidClient
	}
	if err := c.mayAuthorize(req.RedirectURI); err != nil {
		return nil, err
	}
	p := &pushed{Org: o.ID, Client: c.id, Instance: c.instance, RedirectURI: req.RedirectURI, State: req.State, Challenge: req.CodeChallenge, JKT: req.DPoPJKT, IssuerState: req.IssuerState,
		Expires: i.Now().Add(pushedLife)}
	if c.dpop != nil {
		if p.JKT != "" && p.JKT != c.dpop.Thumbprint {
			return nil, oid4vc.ErrDPoPBinding
		}
		p.JKT = c.dpop.Thumbprint
	}
	p.Asked, err = i.asked(o, req)
	return p, err
}

// asked finds which credentials a request asks for, each on its own (OpenID4VCI 1.0, Sections 5.1.1 and 5.1.2). Details win over a scope for the
// same credential; scopes that are not known here are ignored. A grant is for one credential, so that of several one is given, and the token
// response says which (RFC 6749, Section 3.3; RFC 9396, Section 7).
func (i *Issuer) asked(o *org, req *oid4vc.AuthorizationRequest) ([]asked, error) {
	known := i.configurations(o)
	if err := oid4vc.CheckLocations(req.Details, o.Issuer, false); err != nil {
		return nil, err
	}
	p := new(pushed)
	for _, d := range req.Details {
		if known[d.ConfigurationID] == nil {
			return nil, oid4vc.ErrAuthorizationDetails
		}
		if _, before := p.find(d.ConfigurationID); !before {
			p.Asked = append(p.Asked, asked{d.ConfigurationID, true})
		}
	}
	for _, scope := range req.Scope {
		if _, before := p.find(scope); known[scope] != nil && !before {
			p.Asked = append(p.Asked, asked{Configuration: scope})
		}
	}
	if len(p.Asked) == 0 {
		return nil, oid4vc.ErrScope
	}
	return p.Asked, nil
}

// serveAuthorize is the authorization endpoint: GET shows who asks for what, POST decides. There is no login: what a person may have is
// known by the issuer_state of the offer that was handed to them.
func (i *Issuer) serveAuthorize(w http.ResponseWriter, r *http.Request, o *org) error {
	err := i.authorize(w, r, o)
	var refusal *oid4vc.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return err
	}
	var page bytes.Buffer // nobody but the person can be told: where to send them is not known, or not to be believed
	if err := stoppedPage.Execute(&page, refusal); err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", consentPolicy)
	web.WriteBody(w, refusal.Status, "text/html; charset=utf-8", page.Bytes())
	return nil
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request, o *org) error {
	if r.Method == http.MethodPost {
		return i.decide(w, r, o)
	}
	query := r.URL.Query()
	if err := web.CheckOnce(query); err != nil {
		return err
	}
	p, err := i.pushed(r, o, query)
	if err != nil {
		return err
	}
	return i.showConsent(w, r, o, p, query.Get("request_uri"))
}

// pushed finds the pushed request that a form or query refers to. It may be read more than once, and decided once.
func (i *Issuer) pushed(r *http.Request, o *org, values url.Values) (*pushed, error) {
	if values.Get("request_uri") == "" {
		return nil, &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusBadRequest, Description: "the authorization request must be pushed first"}
	}
	p := new(pushed)
	err := i.Store.View(r.Context(), func(tx store.Tx) error {
		return find(tx, pushedKey(values.Get("request_uri")), p, errPushedGone)
	})
	if err == nil && (p.Org != o.ID || p.Client != values.Get("client_id") || !i.Now().Before(p.Expires)) {
		err = errPushedGone
	}
	return p, err
}

//go:embed consent.html
var consentHTML string

//go:embed stopped.html
var stoppedHTML string

var (
	consentPage = template.Must(template.New("consent").Parse(consentHTML))
	stoppedPage = template.Must(template.New("stopped").Parse(stoppedHTML))
)

// consentPolicy lets the page be styled and the form be answered by a redirect to a wallet, which form-action would forbid.
const consentPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

func (i *Issuer) showConsent(w http.ResponseWriter, r *http.Request, o *org, p *pushed, requestURI string) error {
	var page bytes.Buffer
	// What would be given; where that shows only when the person types in the code, what was asked for first.
	what := code{Subject: subject{Configuration: p.Asked[0].Configuration}}
	err := i.Store.View(r.Context(), func(tx store.Tx) error { return i.authorized(tx, o, p, &what) })
	if err != nil && !errors.Is(err, errNoOffer) {
		return err
	}
	names := map[string]string{}
	for _, d := range i.configuration(o, what.Subject.Configuration).wireMetadata().Display {
		names[d.Locale] = d.Name
	}
	host := ""
	if u, err := url.Parse(p.RedirectURI); err == nil {
		if host = u.Host; host == "" {
			host = u.Scheme
		}
	}
	err = consentPage.Execute(&page, map[string]any{"Issuer": o.Name, "Credential": names, "Client": p.Client, "Host": host, "RequestURI": requestURI,
		"AskState": p.IssuerState == "" && err != nil})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", consentPolicy)
	web.WriteBody(w, http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}

// isOpen tells whether anybody may have an example of the configuration.
func (i *Issuer) isOpen(o *org, id string) bool {
	c := i.configuration(o, id)
	return i.vci.cfg.OpenExamples && c != nil && c.typ == ""
}

// decide answers the client with a code, or with the refusal of the person.
func (i *Issuer) decide(w http.ResponseWriter, r *http.Request, o *org) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	if form.Get("request_uri") == "" {
		form.Set("request_uri", r.URL.Query().Get("request_uri"))
		form.Set("client_id", r.URL.Query().Get("client_id"))
	}
	p, err := i.pushed(r, o, form)
	if err != nil {
		return err
	}
	decision := form.Get("decision")
	if !slices.Contains([]string{"approve", "deny"}, decision) {
		return errDecision
	}
	typed := p.IssuerState == ""
	if typed {
		p.IssuerState = normalise(form.Get("issuer_state"))
	}
	answer, err := i.processDecision(r, o, p, form.Get("request_uri"), decision == "approve")
	if errors.Is(err, errNoOffer) && !typed {
		// Nobody at this page can mend what the client pushed: the client is told.
		answer, err = i.processDecision(r, o, p, form.Get("request_uri"), false)
	}
	if err != nil {
		return err
	}
	to, err := oid4vc.RedirectTo(p.RedirectURI, answer)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (i *Issuer) processDecision(r *http.Request, o *org, p *pushed, requestURI string, approved bool) (url.Values, error) {
	answer := url.Values{"iss": {o.Issuer}}
	if p.State != "" {
		answer.Set("state", p.State)
	}
	text, err := i.secretText()
	if err != nil {
		return nil, err
	}
	err = i.Store.Update(r.Context(), func(tx store.Tx) error {
		if err := find(tx, pushedKey(requestURI), new(pushed), errPushedGone); err != nil {
			return err
		}
		if !approved {
			return tx.Delete(pushedKey(requestURI))
		}
		c := code{Org: o.ID, Client: p.Client, Instance: p.Instance, RedirectURI: p.RedirectURI, Challenge: p.Challenge, JKT: p.JKT, Expires: i.Now().Add(codeLife)}
		if err := i.authorized(tx, o, p, &c); err != nil {
			return err
		}
		return errors.Join(tx.Delete(pushedKey(requestURI)), setJSONFor(tx, codeKey(text), c, codeLife))
	})
	if !approved {
		answer.Set("error", oid4vc.CodeAccessDenied)
	} else {
		answer.Set("code", text)
	}
	return answer, err
}

// authorized finds what the person may have of what was asked for: what the offer with the issuer_state says or, without, an example that is open
// to anybody.
func (i *Issuer) authorized(tx store.Tx, o *org, p *pushed, c *code) error {
	if n := slices.IndexFunc(p.Asked, func(a asked) bool { return i.isOpen(o, a.Configuration) }); p.IssuerState == "" && n >= 0 {
		c.Subject, c.Details = subject{Configuration: p.Asked[n].Configuration, Example: true}, p.Asked[n].Details
		return nil
	}
	key, err := tx.Get(issuerStateKey(o.ID + p.IssuerState))
	if errors.Is(err, store.ErrNotFound) {
		return errNoOffer
	}
	if err != nil {
		return err
	}
	f := new(offer)
	if err := find(tx, key, f, errNoOffer); err != nil {
		return err
	}
	a, wanted := p.find(f.Subject.Configuration)
	if f.Taken || !i.Now().Before(f.Expires) || !wanted {
		return errNoOffer
	}
	c.Offer, c.Subject, c.Details = f.ID, f.Subject, a.Details
	return nil
}
