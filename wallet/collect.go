package wallet

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/registry/trustlist"
)

// CollectOptions say how an offer is taken.
type CollectOptions struct {
	TxCode string
	// TrustAny takes credentials of issuers that are not on the trust list, by the keys that they publish themselves. They count for nothing
	// in an assessment.
	TrustAny bool
	// Batch is how many copies of a credential are asked for where the issuer gives several, each with a key of its own so that those who see
	// them cannot tell that they see the same person; 0 means DefaultBatch.
	Batch int
	// Authorize lets the person decide in a browser: it opens the URL and returns the one that the browser was sent to at last, which begins
	// with Redirect.
	Authorize func(ctx context.Context, target string) (answer string, err error)
	Redirect  string
}

// DefaultBatch is how many copies of a credential are asked for.
const DefaultBatch = 10

// Collected says what came of asking an issuer.
type Collected struct {
	Items       []Item         `json:"items"`       // engagements and attestations
	Credentials []Credential   `json:"credentials"` // all others
	Waiting     []string       `json:"waiting"`     // IDs of what is not in the registry yet, kept until it is
	Deferred    int            `json:"deferred"`    // what the issuer has not made yet
	Refused     []string       `json:"refused"`     // why something was not stored
	Statuses    []StatusChange `json:"statuses"`    // what a refresh found out about credentials that the wallet had
	Refreshable bool           `json:"refreshable"` // more can be had with `wallet refresh`
}

func newCollected() *Collected {
	return &Collected{Items: []Item{}, Credentials: []Credential{}, Waiting: []string{}, Refused: []string{}, Statuses: []StatusChange{}}
}

// grant is a right to credentials of one issuer, as long as its refresh token lasts.
type grant struct {
	ID             string          `json:"id"`
	Issuer         string          `json:"issuer"`
	Server         string          `json:"server"`
	TrustAny       bool            `json:"trust_any,omitempty"`
	Configurations []string        `json:"configurations"`
	Details        bool            `json:"details,omitempty"` // authorization_details were used
	Method         string          `json:"method"`
	ClientID       string          `json:"client_id,omitempty"`
	Batch          int             `json:"batch"`
	Key            json.RawMessage `json:"key"` // private JWK that the tokens are bound to
	Refresh        string          `json:"refresh,omitempty"`
	Taken          []string        `json:"taken,omitempty"` // credential identifiers that were collected
	Deferred       []deferred      `json:"deferred,omitempty"`

	Token   *oid4vc.TokenResponse `json:"token,omitempty"`
	Expires time.Time             `json:"expires"`
}

// deferred is a credential that the issuer has not made yet.
type deferred struct {
	Configuration string            `json:"configuration"`
	Identifier    string            `json:"identifier,omitempty"`
	Transaction   string            `json:"transaction"`
	Keys          []json.RawMessage `json:"keys,omitempty"` // private JWKs; none for the wallet's own key
	After         time.Time         `json:"after"`
}

var (
	// ErrTxCode is returned when an offer needs a transaction code and none was given.
	ErrTxCode = errors.New("the offer needs the transaction code that the issuer gave you by another way: give it with --tx-code")
	// ErrGrantOver is returned by Refresh when an issuer gives nothing more under an offer that was taken: the wallet forgets it.
	ErrGrantOver = errors.New("the issuer gives nothing more under an offer that you took: ask it for another one")
	// ErrNoBrowser is returned when an offer asks the person to decide in a browser and there is none.
	ErrNoBrowser = errors.New("the issuer asks you to decide in a browser")
)

// Collect takes an offer: it gets the credentials, checks and stores them. What was stored before an error stays.
func (w *Wallet) Collect(ctx context.Context, o *Offer, opt CollectOptions) (*Collected, error) {
	if o.Entity == "" && !opt.TrustAny {
		return newCollected(), ErrUnknownIssuer
	}
	c, err := w.authorized(ctx, o, opt)
	if err != nil {
		return newCollected(), err
	}
	return c.run(ctx, nil)
}

// collecting is the work under one grant.
type collecting struct {
	*channel
	grant  *grant
	list   *trustlist.List
	lists  *statusLists // read so far; nil before the first
	report *Collected
}

// authorized gets the tokens of a new grant.
func (w *Wallet) authorized(ctx context.Context, o *Offer, opt CollectOptions) (*collecting, error) {
	history, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	ch := &channel{w: w, key: key, server: o.server, metadata: o.metadata, nonces: map[string]string{}}
	if err := ch.chooseClient(o.Grant); err != nil {
		return nil, err
	}
	g := &grant{ID: randomText(), Issuer: o.Issuer, Server: o.server.Issuer, TrustAny: opt.TrustAny && o.Entity == "", Method: ch.method, ClientID: ch.clientID, Batch: opt.Batch}
	if g.Key, err = key.MarshalJWK(); err != nil {
		return nil, err
	}
	for _, cred := range o.Credentials {
		g.Configurations = append(g.Configurations, cred.Configuration)
	}
	c := &collecting{channel: ch, grant: g, list: history.Latest(), report: newCollected()}
	request, err := c.redeem(ctx, o, opt)
	if err != nil {
		return nil, err
	}
	if g.Token, g.Expires, err = c.tokens(ctx, *request, g.Details); err != nil {
		return nil, fmt.Errorf("asking for an access token: %w", err)
	}
	g.Refresh, g.Token.RefreshToken = g.Token.RefreshToken, ""
	return c, c.save(ctx)
}

// redeem makes the token request out of the offer, after the person decided where that is needed.
func (c *collecting) redeem(ctx context.Context, o *Offer, opt CollectOptions) (*oid4vc.TokenRequest, error) {
	var details []oid4vc.AuthorizationDetail
	var scope []string
	for _, id := range c.grant.Configurations {
		if !o.usesDetails(id) {
			scope = append(scope, o.metadata.Configurations[id].Scope)
			continue
		}
		d := oid4vc.AuthorizationDetail{Type: oid4vc.TypeOpenIDCredential, ConfigurationID: id}
		if len(o.metadata.AuthorizationServers) > 0 {
			d.Locations = []string{o.Issuer}
		}
		details = append(details, d)
	}
	c.grant.Details = len(details) > 0
	if o.Grant == oid4vc.GrantAuthorizationCode {
		return c.askPerson(ctx, o, opt, scope, details)
	}
	if o.TxCode != nil {
		if opt.TxCode == "" {
			return nil, ErrTxCode
		}
		if err := o.TxCode.Check(opt.TxCode); err != nil {
			return nil, fmt.Errorf("the transaction code: %w", err)
		}
	}
	r := &oid4vc.TokenRequest{GrantType: o.Grant, PreAuthorizedCode: o.offer.Grants.PreAuthorizedCode.Code, Details: details}
	if o.TxCode != nil {
		r.TxCode = opt.TxCode
	}
	return r, nil
}

// askPerson runs the authorization code flow up to the code (RFC 6749, Section 4.1) with PKCE, a pushed request where the server takes one,
// and the check of iss.
func (c *collecting) askPerson(ctx context.Context, o *Offer, opt CollectOptions, scope []string, details []oid4vc.AuthorizationDetail) (*oid4vc.TokenRequest, error) {
	if opt.Authorize == nil || opt.Redirect == "" {
		return nil, ErrNoBrowser
	}
	if len(c.server.CodeChallengeMethodsSupported) > 0 && !slices.Contains(c.server.CodeChallengeMethodsSupported, "S256") {
		return nil, fmt.Errorf("%w: its authorization server has no PKCE with S256", ErrUnusable)
	}
	verifier, state := oid4vc.NewCodeVerifier(), randomText()
	r := &oid4vc.AuthorizationRequest{ClientID: c.clientID, RedirectURI: opt.Redirect, State: state, CodeChallenge: oid4vc.CodeChallenge(verifier),
		Scope: scope, Details: details, DPoPJKT: c.key.Public().Thumbprint()}
	if g := o.offer.Grants; g != nil && g.AuthorizationCode != nil {
		r.IssuerState = g.AuthorizationCode.IssuerState
	}
	target, err := c.push(ctx, r)
	if err != nil {
		return nil, err
	}
	answer, err := opt.Authorize(ctx, target)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(answer)
	if err != nil || !strings.HasPrefix(answer, opt.Redirect) {
		return nil, oid4vc.ErrResponseCode
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, oid4vc.ErrResponseCode
	}
	code, err := oid4vc.ParseAuthorizationResponse(query, state, c.server)
	if err != nil {
		return nil, err
	}
	return &oid4vc.TokenRequest{GrantType: oid4vc.GrantAuthorizationCode, Code: code, RedirectURI: opt.Redirect, CodeVerifier: verifier}, nil
}

// push returns the URL to open in the browser.
func (c *collecting) push(ctx context.Context, r *oid4vc.AuthorizationRequest) (string, error) {
	values, err := r.Values()
	if err != nil {
		return "", err
	}
	if c.server.AuthorizationEndpoint == "" {
		return "", fmt.Errorf("%w: its authorization server has no authorization endpoint", ErrUnusable)
	}
	if c.server.PushedEndpoint == "" {
		return oid4vc.RedirectTo(c.server.AuthorizationEndpoint, values)
	}
	resp, err := c.form(ctx, c.server.PushedEndpoint, values)
	if err != nil {
		return "", err
	}
	if resp.Status != http.StatusCreated {
		return "", fmt.Errorf("announcing the request: %w", oid4vc.ParseErrorResponse(resp.Status, resp.Body))
	}
	pushed, err := oid4vc.ParsePushedResponse(resp.Body)
	if err != nil {
		return "", err
	}
	return oid4vc.RedirectTo(c.server.AuthorizationEndpoint, url.Values{"client_id": {c.clientID}, "request_uri": {pushed.RequestURI}})
}

func randomText() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// save stores the grant. One that can bring nothing more is forgotten.
func (c *collecting) save(ctx context.Context) error {
	key := []byte(prefixGrant + c.grant.ID)
	return c.w.Store.Update(ctx, func(tx store.Tx) error {
		if c.grant.Token == nil && c.grant.Refresh == "" && len(c.grant.Deferred) == 0 {
			return tx.Delete(key)
		}
		return store.SetJSON(tx, key, c.grant)
	})
}

// forget removes the grant.
func (c *collecting) forget(ctx context.Context) error {
	return c.w.Store.Update(ctx, func(tx store.Tx) error { return tx.Delete([]byte(prefixGrant + c.grant.ID)) })
}

// wish is one credential to ask for.
type wish struct{ configuration, identifier string }

// wishes are what the grant's tokens give and the wallet has not got. want, when given, chooses among configurations.
func (c *collecting) wishes(want func(configuration string) bool) []wish {
	var out []wish
	for _, id := range c.grant.Configurations {
		if want != nil && !want(id) {
			continue
		}
		named := false
		for _, d := range c.grant.Token.Details {
			if d.ConfigurationID != id {
				continue
			}
			named = true
			for _, identifier := range d.Identifiers {
				if !slices.Contains(c.grant.Taken, identifier) {
					out = append(out, wish{id, identifier})
				}
			}
		}
		if !named {
			out = append(out, wish{configuration: id})
		}
	}
	return out
}

// run asks for everything that is wanted under the grant.
func (c *collecting) run(ctx context.Context, want func(configuration string) bool) (*Collected, error) {
	var errs []error
	for _, wish := range c.wishes(want) {
		if slices.ContainsFunc(c.grant.Deferred, func(d deferred) bool { return d.Configuration == wish.configuration }) {
			continue // it is being made
		}
		if err := c.ask(ctx, wish); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", wish.configuration, err))
		}
	}
	if !c.w.Now().Before(c.grant.Expires) || len(c.grant.Deferred) == 0 {
		c.grant.Token = nil // not needed any more
	}
	c.report.Deferred += len(c.grant.Deferred)
	c.report.Refreshable = c.report.Refreshable || c.grant.Refresh != ""
	return c.report, errors.Join(append(errs, c.save(ctx))...)
}

// Refresh asks issuers for what is new under every grant that the wallet has, and for what they deferred. Unlike Sync it shows each issuer
// that the wallet looks.
func (w *Wallet) Refresh(ctx context.Context) (*Collected, error) {
	if w.Web == nil {
		return newCollected(), ErrOffline
	}
	history, err := w.trust(ctx)
	if err != nil {
		return newCollected(), err
	}
	report := newCollected()
	var grants []*grant
	err = w.Store.View(ctx, func(tx store.Tx) error {
		grants = nil
		return tx.Scan([]byte(prefixGrant), func(_, value []byte) error {
			g := new(grant)
			grants = append(grants, g)
			return json.Unmarshal(value, g)
		})
	})
	errs := []error{err}
	for _, g := range grants {
		if err := w.refreshGrant(ctx, g, history.Latest(), report); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", g.Issuer, err))
		}
	}
	errs = append(errs, w.takeWaiting(ctx, report))
	return report, errors.Join(errs...)
}

func (w *Wallet) refreshGrant(ctx context.Context, g *grant, list *trustlist.List, report *Collected) error {
	c, err := w.resume(ctx, g, list, report)
	if err != nil {
		return err
	}
	if err := c.renew(ctx); err != nil {
		return err
	}
	if c.grant.Token == nil {
		return errors.Join(ErrGrantOver, c.forget(ctx))
	}
	err = errors.Join(c.askStatuses(ctx), c.pollDeferred(ctx))
	_, runErr := c.run(ctx, func(configuration string) bool { return c.isDue(ctx, configuration) })
	return errors.Join(err, runErr)
}

// resume makes ready for requests under a stored grant.
func (w *Wallet) resume(ctx context.Context, g *grant, list *trustlist.List, report *Collected) (*collecting, error) {
	key, err := keys.ParsePrivate(g.Key)
	if err != nil {
		return nil, err
	}
	if entityOf(list, g.Issuer, attestation.DateOf(w.Now())) == nil && !g.TrustAny {
		return nil, ErrUnknownIssuer
	}
	metadata, _, err := w.issuerMetadata(ctx, g.Issuer, list)
	if err != nil {
		return nil, errors.Join(ErrMetadata, err)
	}
	server, err := w.serverMetadata(ctx, g.Server)
	if err != nil {
		return nil, errors.Join(ErrMetadata, err)
	}
	ch := &channel{w: w, key: key, server: server, metadata: metadata, method: g.Method, clientID: g.ClientID, nonces: map[string]string{}}
	return &collecting{channel: ch, grant: g, list: list, report: report}, nil
}

// renew gets new tokens. The new refresh token is stored before anything else, since the old one is good for nothing then.
func (c *collecting) renew(ctx context.Context) error {
	if c.grant.Refresh == "" {
		if c.grant.Token != nil && !c.w.Now().Before(c.grant.Expires) {
			c.grant.Token = nil
		}
		return nil
	}
	t, expires, err := c.tokens(ctx, oid4vc.TokenRequest{GrantType: oid4vc.GrantRefreshToken, RefreshToken: c.grant.Refresh}, false)
	var refused *oid4vc.ErrorResponse
	if errors.As(err, &refused) && refused.Code == oid4vc.CodeInvalidGrant {
		return errors.Join(ErrGrantOver, err, c.forget(ctx))
	}
	if err != nil {
		return fmt.Errorf("refreshing: %w", err)
	}
	if t.RefreshToken != "" {
		c.grant.Refresh = t.RefreshToken
	}
	t.RefreshToken = ""
	c.grant.Token, c.grant.Expires = t, expires
	return c.save(ctx)
}
