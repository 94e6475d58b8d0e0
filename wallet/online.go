package wallet

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

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// Web is what the wallet needs to meet issuers; [web.Fetcher] is one. It must meet no internal address.
type Web interface {
	Get(ctx context.Context, target string, accept ...string) (*web.Response, error)
	Do(ctx context.Context, request web.Request) (*web.Response, error)
}

// DefaultClientID is the client_id under which issuers know this wallet without further authentication.
const DefaultClientID = "akashi-wallet"

// Client says how the wallet shows authorization servers what program it is. The zero value is the public client [DefaultClientID]. What a
// server supports is used in this order: attestation, key, nothing.
type Client struct {
	ID  string        // client_id; empty means DefaultClientID
	Key *keys.Private // of a client that the server has registered (private_key_jwt)

	// Attest asks the wallet provider to attest that the key belongs to an instance of this wallet (attestation-based client authentication).
	Attest func(ctx context.Context, instance keys.Public) (attestation string, err error)
	// AttestKeys asks the wallet provider to attest the keys that credentials are to be bound to (OpenID4VCI 1.0, Appendix D).
	AttestKeys func(ctx context.Context, bound []keys.Public, nonce string) (attestation string, err error)
}

func (c *Client) id() string {
	if c.ID == "" {
		return DefaultClientID
	}
	return c.ID
}

var (
	// ErrOffline is returned by everything that meets issuers where the wallet was given no way to.
	ErrOffline = errors.New("this wallet was opened without access to issuers")
	// ErrUnusable is returned when an issuer offers nothing that this wallet can or may use.
	ErrUnusable = errors.New("the issuer cannot be used by this wallet")
	// ErrDowngrade is returned when an issuer answers with less protection than it said that it would.
	ErrDowngrade = errors.New("the issuer answered with less protection than agreed: nothing was stored")
)

// channel sends requests for one grant. It proves possession of the grant's key in each of them (DPoP, RFC 9449), and keeps the nonces and
// challenges that servers hand out.
type channel struct {
	w        *Wallet
	key      *keys.Private
	instance *keys.Private // attested at this server; nil until it is needed
	method   string        // of client authentication
	clientID string        // "" for an anonymous client

	server    *oid4vc.ServerMetadata
	metadata  *oid4vc.IssuerMetadata
	nonces    map[string]string // DPoP nonces, by kind of server and origin: an authorization server's is not a resource's
	challenge string            // for the next client attestation
}

// attempt is one request, made anew for each try since its proofs are good for one only.
type attempt struct {
	target, kind string // kind of server: kindAuthorization or kindResource
	token        *oid4vc.TokenResponse
	make         func(header http.Header) (mediaType string, body []byte, err error)
}

const (
	kindAuthorization = "as "
	kindResource      = "rs "
)

// maxTries is how often a request is sent: once, again with the DPoP nonce and with the challenge that the server asked for, and once more
// when one of the two got old meanwhile.
const maxTries = 4

func (c *channel) send(ctx context.Context, a attempt) (*web.Response, error) {
	for try := 1; ; try++ {
		resp, err := c.once(ctx, a)
		if err != nil {
			return nil, err
		}
		if try == maxTries || !c.again(a, resp) {
			return resp, nil
		}
	}
}

func (c *channel) once(ctx context.Context, a attempt) (*web.Response, error) {
	header := http.Header{"Accept": {"application/json, application/jwt"}}
	mediaType, body, err := a.make(header)
	if err != nil {
		return nil, err
	}
	header.Set("Content-Type", mediaType)
	o := oid4vc.DPoPOptions{Method: http.MethodPost, URL: a.target, Nonce: c.nonces[nonceName(a)], Now: c.w.Now()}
	if a.token != nil {
		o.AccessToken = a.token.AccessToken
		header.Set("Authorization", a.token.Authorization())
	}
	if a.token == nil || a.token.IsDPoP() {
		proof, err := oid4vc.MakeDPoP(c.key, o)
		if err != nil {
			return nil, err
		}
		header.Set(oid4vc.HeaderDPoP, proof)
	}
	return c.w.Web.Do(ctx, web.Request{Method: http.MethodPost, URL: a.target, Header: header, Body: body})
}

func nonceName(a attempt) string {
	u, err := url.Parse(a.target)
	if err != nil {
		return a.kind
	}
	return a.kind + u.Scheme + "://" + u.Host
}

// again keeps the nonce and challenge of an answer and tells whether the request is to be sent again with them.
func (c *channel) again(a attempt, resp *web.Response) bool {
	name := nonceName(a)
	before, challenge := c.nonces[name], c.challenge
	if nonce := resp.Header.Get(oid4vc.HeaderDPoPNonce); nonce != "" {
		c.nonces[name] = nonce
	}
	if fresh := resp.Header.Get(oid4vc.HeaderClientAttestationChallenge); fresh != "" || resp.Status < http.StatusBadRequest {
		c.challenge = fresh // one that was accepted is used up
	}
	if resp.Status != http.StatusBadRequest && resp.Status != http.StatusUnauthorized {
		return false
	}
	code := oid4vc.ParseErrorResponse(resp.Status, resp.Body).Code
	switch {
	case code == oid4vc.CodeUseDPoPNonce || code == "" && strings.Contains(resp.Header.Get("WWW-Authenticate"), oid4vc.CodeUseDPoPNonce):
		return c.nonces[name] != before
	case code == oid4vc.CodeUseAttestationChallenge:
		return c.challenge != "" && c.challenge != challenge
	}
	return false
}

// form sends a form to the authorization server with the client's authentication.
func (c *channel) form(ctx context.Context, target string, values url.Values) (*web.Response, error) {
	return c.send(ctx, attempt{target: target, kind: kindAuthorization, make: func(header http.Header) (string, []byte, error) {
		form := url.Values{}
		for name, value := range values {
			form[name] = slices.Clone(value)
		}
		if err := c.authenticate(ctx, header, form); err != nil {
			return "", nil, err
		}
		return oid4vc.MediaTypeForm, []byte(form.Encode()), nil
	}})
}

// authenticate adds who the client is to a request.
func (c *channel) authenticate(ctx context.Context, header http.Header, form url.Values) error {
	if c.clientID == "" {
		return nil
	}
	form.Set("client_id", c.clientID)
	switch c.method {
	case oid4vc.AuthPrivateKeyJWT:
		return oid4vc.MakeClientAssertion(form, c.w.Client.Key, c.clientID, c.server.Issuer, c.w.Now())
	case oid4vc.AuthAttestation:
		return c.attest(ctx, header)
	}
	return nil
}

// attest adds the wallet provider's attestation, and a proof with the challenge of the server where it has such.
func (c *channel) attest(ctx context.Context, header http.Header) error {
	if c.instance == nil {
		var err error
		if c.instance, err = c.w.instanceKey(ctx, c.server.Issuer); err != nil {
			return err
		}
	}
	attestation, err := c.w.Client.Attest(ctx, c.instance.Public())
	if err != nil {
		return fmt.Errorf("asking the wallet provider for an attestation: %w", err)
	}
	if c.challenge == "" && c.server.ChallengeEndpoint != "" {
		if err := c.askChallenge(ctx); err != nil {
			return err
		}
	}
	proof, err := oid4vc.MakeClientAttestationPoP(c.instance, oid4vc.ClientAttestationPoPOptions{
		ClientID: c.clientID, Audience: c.server.Issuer, Challenge: c.challenge, Now: c.w.Now(),
	})
	if err != nil {
		return err
	}
	header.Set(oid4vc.HeaderClientAttestation, attestation)
	header.Set(oid4vc.HeaderClientAttestationPoP, proof)
	return nil
}

func (c *channel) askChallenge(ctx context.Context) error {
	resp, err := c.w.Web.Do(ctx, web.Request{Method: http.MethodPost, URL: c.server.ChallengeEndpoint, Header: http.Header{"Accept": {oid4vc.MediaTypeJSON}}})
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	}
	c.challenge, err = oid4vc.ParseChallengeResponse(resp.Body)
	return err
}

// instanceKey returns the key that the wallet provider attests for one server. Each has its own, so that servers cannot tell that they meet
// the same wallet (HAIP 1.0, Section 4.4.1).
func (w *Wallet) instanceKey(ctx context.Context, server string) (key *keys.Private, err error) {
	fresh, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	text, err := fresh.MarshalJWK()
	if err != nil {
		return nil, err
	}
	err = w.Store.Update(ctx, func(tx store.Tx) error {
		var known json.RawMessage
		err := store.GetJSON(tx, []byte(prefixInstance+server), &known)
		if errors.Is(err, store.ErrNotFound) {
			key = fresh
			return store.SetJSON(tx, []byte(prefixInstance+server), json.RawMessage(text))
		}
		if err == nil {
			key, err = keys.ParsePrivate(known)
		}
		return err
	})
	return key, err
}

// chooseClient decides how the client shows who it is: the strongest of what the server supports and the wallet can.
func (c *channel) chooseClient(grant string) error {
	supported := c.server.TokenAuthMethodsSupported
	client := &c.w.Client
	switch {
	case client.Attest != nil && slices.Contains(supported, oid4vc.AuthAttestation):
		c.method, c.clientID = oid4vc.AuthAttestation, client.id()
	case client.Key != nil && slices.Contains(supported, oid4vc.AuthPrivateKeyJWT):
		c.method, c.clientID = oid4vc.AuthPrivateKeyJWT, client.id()
	case grant == oid4vc.GrantPreAuthorizedCode && c.server.AnonymousPreAuthorized:
		c.method, c.clientID = oid4vc.AuthNone, ""
	case len(supported) == 0 || slices.Contains(supported, oid4vc.AuthNone):
		c.method, c.clientID = oid4vc.AuthNone, client.id()
	default:
		return fmt.Errorf("%w: it asks the wallet to authenticate by %s", ErrUnusable, strings.Join(supported, " or "))
	}
	return nil
}

// resource posts a JSON message to a protected endpoint, encrypted where the issuer can read that. A notification never is.
func (c *channel) resource(ctx context.Context, target string, token *oid4vc.TokenResponse, message any) (*web.Response, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	encryption, encrypt := oid4vc.ChooseRequestEncryption(c.metadata.RequestEncryption)
	plain := target == c.metadata.NotificationEndpoint // Section 11.1
	encrypt = encrypt && !plain
	if !encrypt && !plain && c.metadata.RequestEncryption != nil && c.metadata.RequestEncryption.Required {
		return nil, fmt.Errorf("%w: it wants requests encrypted in a way that this wallet does not know", ErrUnusable)
	}
	return c.send(ctx, attempt{target: target, kind: kindResource, token: token, make: func(http.Header) (string, []byte, error) {
		if !encrypt {
			return oid4vc.MediaTypeJSON, body, nil
		}
		sealed, err := encryption.Seal(body)
		return oid4vc.MediaTypeJWT, []byte(sealed), err
	}})
}

// nonce asks for a nonce for key proofs, "" where the issuer has no nonces.
func (c *channel) nonce(ctx context.Context) (string, error) {
	target := c.metadata.NonceEndpoint
	if target == "" {
		return "", nil
	}
	resp, err := c.w.Web.Do(ctx, web.Request{Method: http.MethodPost, URL: target, Header: http.Header{"Accept": {oid4vc.MediaTypeJSON}}})
	if err != nil {
		return "", err
	}
	if resp.Status != http.StatusOK {
		return "", oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	}
	if nonce := resp.Header.Get(oid4vc.HeaderDPoPNonce); nonce != "" {
		c.nonces[nonceName(attempt{target: target, kind: kindResource})] = nonce
	}
	return oid4vc.ParseNonceResponse(resp.Body)
}

// tokens asks for tokens.
func (c *channel) tokens(ctx context.Context, r oid4vc.TokenRequest, detailsAsked bool) (*oid4vc.TokenResponse, time.Time, error) {
	values, err := r.Values()
	if err != nil {
		return nil, time.Time{}, err
	}
	resp, err := c.form(ctx, c.server.TokenEndpoint, values)
	if err != nil {
		return nil, time.Time{}, err
	}
	if resp.Status != http.StatusOK {
		return nil, time.Time{}, oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	}
	t, err := oid4vc.ParseTokenResponse(resp.Body, detailsAsked)
	if err != nil {
		return nil, time.Time{}, err
	}
	if !t.IsDPoP() && len(c.server.DPoPAlgsSupported) > 0 {
		return nil, time.Time{}, fmt.Errorf("%w: the access token is not bound to the wallet's key", ErrDowngrade)
	}
	life := time.Duration(t.ExpiresIn) * time.Second
	if life == 0 {
		life = unknownLife
	}
	return t, c.w.Now().Add(life), nil
}

// unknownLife is how long an access token is tried where the server does not say how long it lives.
const unknownLife = 24 * time.Hour
