package issuer

import (
	"context"
	"errors"
	"net/http"
	"time"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// code is an authorization code or a pre-authorized code. A used one is kept for its lifetime, so that a second use is noticed.
type code struct {
	Org           string    `json:"org"`
	PreAuthorized bool      `json:"pre_authorized,omitempty"`
	Offer         string    `json:"offer,omitempty"`
	Subject       subject   `json:"subject"` // of an authorization code; a pre-authorized one takes the offer's
	Client        string    `json:"client,omitempty"`
	Instance      string    `json:"instance,omitempty"` // attested key of the client that asked for authorization
	RedirectURI   string    `json:"redirect_uri,omitempty"`
	Challenge     string    `json:"challenge,omitempty"`
	JKT           string    `json:"jkt,omitempty"`
	Details       bool      `json:"details,omitempty"`
	Used          bool      `json:"used,omitempty"`
	Grant         string    `json:"grant,omitempty"` // that was made of it
	Expires       time.Time `json:"expires"`
}

// grant is what one wallet may collect. Deleting it revokes all its tokens.
type grant struct {
	ID          string    `json:"id"`
	Org         string    `json:"org"`
	Subject     subject   `json:"subject"`
	Client      string    `json:"client,omitempty"`
	ProvenBy    bool      `json:"authenticated,omitempty"` // the client authenticated, and must again
	Instance    string    `json:"instance,omitempty"`      // attested key of the client, which must be the same again
	JKT         string    `json:"jkt,omitempty"`           // DPoP key, "" for Bearer tokens
	Identifiers bool      `json:"identifiers,omitempty"`   // the first token response gave credential_identifiers
	Collected   []string  `json:"collected,omitempty"`     // IDs of logged attestations
	Expires     time.Time `json:"expires"`
}

type access struct {
	Grant       string    `json:"grant"`
	Identifiers bool      `json:"identifiers,omitempty"` // the token response gave credential_identifiers
	Expires     time.Time `json:"expires"`
}

type refresh struct {
	Grant   string    `json:"grant"`
	Used    bool      `json:"used,omitempty"`
	Expires time.Time `json:"expires"`
}

func (g *grant) save(tx store.Tx) error { return setJSONFor(tx, grantKey(g.ID), g, grantLife) }

// serveToken is the token endpoint (OpenID4VCI 1.0, Section 6; RFC 6749, Section 3.2).
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request, o *org) error {
	form, err := web.ReadForm(r, "resource")
	if err != nil {
		return err
	}
	c, err := i.caller(r, o, "/token", form)
	if err != nil {
		return err
	}
	req, err := oid4vc.ParseTokenRequest(form)
	if err == nil && c.dpop == nil && !i.vci.cfg.Bearer {
		err = oid4vc.ErrDPoPMissing
	}
	if err != nil {
		return errors.Join(err, i.spend(r, c.once))
	}
	resp, err := i.processToken(r.Context(), o, c, req)
	if err == nil {
		web.WriteJSON(w, http.StatusOK, resp)
	}
	return err
}

// processToken answers a token request in one transaction, so that of two requests with the same code one fails. A refusal undoes nothing
// of what it must leave behind: a counted attempt, a revoked grant, a used proof.
func (i *Issuer) processToken(ctx context.Context, o *org, c *caller, req *oid4vc.TokenRequest) (resp *oid4vc.TokenResponse, err error) {
	secrets := make([]string, 3)
	for n := range secrets {
		if secrets[n], err = i.secretText(); err != nil {
			return nil, err
		}
	}
	var refused *oid4vc.Refusal
	err = i.Store.Update(ctx, func(tx store.Tx) error {
		resp, refused = nil, nil
		if err := use(tx, c.once...); err != nil {
			return err
		}
		t := tokenRequest{i: i, tx: tx, o: o, c: c, req: req, secrets: secrets}
		g, err := t.grant()
		if err == nil {
			resp, err = t.respond(g)
		}
		if errors.As(err, &refused) {
			return nil
		}
		return err
	})
	if err == nil && refused != nil {
		err = refused
	}
	return resp, err
}

// tokenRequest is one token request in its transaction.
type tokenRequest struct {
	i       *Issuer
	tx      store.Tx
	o       *org
	c       *caller
	req     *oid4vc.TokenRequest
	secrets []string // of grant, access token and refresh token

	identifiers bool // the answer has credential_identifiers
}

// grant finds or makes the grant that the request is for.
func (t *tokenRequest) grant() (*grant, error) {
	switch t.req.GrantType {
	case oid4vc.GrantAuthorizationCode:
		return t.authorizationCode()
	case oid4vc.GrantPreAuthorizedCode:
		return t.preAuthorizedCode()
	}
	return t.refreshToken()
}

// code reads a code that is there, of this organization, and was not used. A second use revokes what the first one gave.
func (t *tokenRequest) code(text string, preAuthorized bool) (*code, error) {
	c := new(code)
	if err := find(t.tx, codeKey(text), c, oid4vc.ErrInvalidGrant); err != nil {
		return nil, err
	}
	if c.Org != t.o.ID || c.PreAuthorized != preAuthorized {
		return nil, oid4vc.ErrInvalidGrant
	}
	if c.Used {
		return nil, errors.Join(t.tx.Delete(grantKey(c.Grant)), oid4vc.ErrInvalidGrant)
	}
	if !t.i.Now().Before(c.Expires) {
		return nil, oid4vc.ErrInvalidGrant
	}
	return c, nil
}

func (t *tokenRequest) authorizationCode() (*grant, error) {
	c, err := t.code(t.req.Code, false)
	if err != nil {
		return nil, err
	}
	if c.Client != t.c.id || c.Instance != t.c.instance || c.RedirectURI != t.req.RedirectURI || t.c.registered == nil && !t.c.authenticated {
		return nil, oid4vc.ErrInvalidGrant
	}
	if err := oid4vc.CheckCodeVerifier(t.req.CodeVerifier, c.Challenge); err != nil {
		return nil, err
	}
	if c.JKT != "" && (t.c.dpop == nil || t.c.dpop.Thumbprint != c.JKT) {
		return nil, oid4vc.ErrDPoPBinding
	}
	if err := t.narrow(c.Subject, c.Details); err != nil {
		return nil, err
	}
	if c.Offer != "" {
		if _, err := t.take(c.Offer); err != nil {
			return nil, err
		}
	}
	return t.newGrant(t.req.Code, c, c.Subject)
}

// take marks an offer as taken: of several codes for it the first to come wins.
func (t *tokenRequest) take(id string) (*offer, error) {
	f := new(offer)
	if err := find(t.tx, offerKey(t.o.ID, id), f, oid4vc.ErrInvalidGrant); err != nil {
		return nil, err
	}
	if f.Taken {
		return nil, oid4vc.ErrInvalidGrant
	}
	f.Taken = true
	return f, setJSONFor(t.tx, offerKey(t.o.ID, id), f, offerLife)
}

func (t *tokenRequest) preAuthorizedCode() (*grant, error) {
	c, err := t.code(t.req.PreAuthorizedCode, true)
	if err != nil {
		return nil, err
	}
	f := new(offer)
	if err := find(t.tx, offerKey(t.o.ID, c.Offer), f, oid4vc.ErrInvalidGrant); err != nil {
		return nil, err
	}
	if f.Taken {
		return nil, oid4vc.ErrInvalidGrant
	}
	if err := t.checkTxCode(f); err != nil {
		return nil, err
	}
	if err := t.narrow(f.Subject, false); err != nil {
		return nil, err
	}
	if _, err := t.take(f.ID); err != nil {
		return nil, err
	}
	return t.newGrant(t.req.PreAuthorizedCode, c, f.Subject)
}

// narrow checks that the authorization_details of the request ask for no more than was granted (RFC 9396, Section 6; OpenID4VCI 1.0, Section
// 6.1.1), and notes whether the answer has credential_identifiers: where details were used, now or before.
func (t *tokenRequest) narrow(s subject, before bool) error {
	if err := oid4vc.CheckLocations(t.req.Details, t.o.Issuer, false); err != nil {
		return err
	}
	for _, d := range t.req.Details {
		if d.ConfigurationID != s.Configuration {
			return oid4vc.ErrDetailsNotGranted
		}
	}
	t.identifiers = before || len(t.req.Details) > 0
	return nil
}

// checkTxCode checks the transaction code, and counts wrong ones: after the last attempt the offer is gone.
func (t *tokenRequest) checkTxCode(f *offer) error {
	switch {
	case len(f.TxCode) == 0 && t.req.TxCode != "":
		return oid4vc.ErrTxCodeUnexpected
	case len(f.TxCode) == 0:
		return nil
	case t.req.TxCode == "":
		return oid4vc.ErrTxCodeMissing
	case f.isTxCode(t.req.TxCode):
		return nil
	}
	f.Attempts++
	f.Taken = f.Attempts >= maxTxAttempts
	return errors.Join(setJSONFor(t.tx, offerKey(t.o.ID, f.ID), f, offerLife), oid4vc.ErrTxCodeWrong)
}

func (t *tokenRequest) newGrant(text string, c *code, s subject) (*grant, error) {
	g := &grant{ID: t.secrets[0], Org: t.o.ID, Subject: s, Client: t.c.id, ProvenBy: t.c.authenticated, Instance: t.c.instance,
		Identifiers: t.identifiers, Expires: t.i.Now().Add(grantLife)}
	if t.c.dpop != nil {
		g.JKT = t.c.dpop.Thumbprint
	}
	c.Used, c.Grant = true, g.ID
	return g, errors.Join(setJSONFor(t.tx, codeKey(text), c, offerLife), g.save(t.tx))
}

// refreshToken finds the grant of a refresh token. One that is bound to a DPoP key stays good, so that a wallet that lost an answer is not locked
// out (FAPI 2.0 Security Profile, Section 5.3.2.1). One that is bound to nothing is exchanged for another (RFC 9700, Section 4.14.2); when it
// comes a second time it was stolen by one of two parties, and both lose the grant.
func (t *tokenRequest) refreshToken() (*grant, error) {
	old := new(refresh)
	if err := find(t.tx, refreshKey(t.req.RefreshToken), old, oid4vc.ErrInvalidGrant); err != nil {
		return nil, err
	}
	g := new(grant)
	if err := find(t.tx, grantKey(old.Grant), g, oid4vc.ErrInvalidGrant); err != nil {
		return nil, err
	}
	switch {
	case g.Org != t.o.ID, !t.i.Now().Before(old.Expires), !t.isClientOf(g):
		return nil, oid4vc.ErrInvalidGrant
	case g.JKT != "" && (t.c.dpop == nil || t.c.dpop.Thumbprint != g.JKT):
		return nil, oid4vc.ErrDPoPBinding
	case old.Used:
		return nil, errors.Join(t.tx.Delete(grantKey(g.ID)), oid4vc.ErrInvalidGrant)
	}
	if err := errors.Join(t.narrow(g.Subject, g.Identifiers), t.checkScope(g)); err != nil {
		return nil, err
	}
	if g.JKT != "" {
		return g, nil
	}
	old.Used = true
	return g, setJSONFor(t.tx, refreshKey(t.req.RefreshToken), old, grantLife)
}

// isClientOf tells whether the client is the one that has the grant: under the same client_id, authenticated if it was, and the same instance of
// an attested wallet, to whose key its refresh tokens are bound.
func (t *tokenRequest) isClientOf(g *grant) bool {
	return (g.Client == "" || t.c.id == g.Client) && (!g.ProvenBy || t.c.authenticated) && (g.Instance == "" || t.c.instance == g.Instance)
}

// checkScope refuses a scope that was not granted (RFC 6749, Section 6). Unknown ones are ignored.
func (t *tokenRequest) checkScope(g *grant) error {
	known := t.i.configurations(t.o)
	for _, scope := range t.req.Scope {
		if known[scope] != nil && scope != g.Subject.Configuration {
			return oid4vc.ErrScopeNotGranted
		}
	}
	return nil
}

// accessLife is how long an access token of the grant is good: not for more than five minutes where it is bound to no key (OpenID4VCI 1.0,
// Section 13.10).
func (g *grant) accessLife() time.Duration {
	if g.JKT == "" {
		return bearerLife
	}
	return accessLife
}

// respond gives the tokens of a grant.
func (t *tokenRequest) respond(g *grant) (*oid4vc.TokenResponse, error) {
	resp := &oid4vc.TokenResponse{AccessToken: t.secrets[1], TokenType: oid4vc.TokenBearer, ExpiresIn: int(g.accessLife().Seconds()), RefreshToken: t.secrets[2]}
	if g.JKT != "" {
		resp.TokenType = oid4vc.TokenDPoP
	}
	if t.identifiers {
		identifiers, err := t.i.identifiers(t.tx, t.o, g)
		if err != nil {
			return nil, err
		}
		resp.Details = []oid4vc.AuthorizationDetail{{Type: oid4vc.TypeOpenIDCredential, ConfigurationID: g.Subject.Configuration, Identifiers: identifiers}}
	} else {
		resp.Scope = g.Subject.Configuration
	}
	err := setJSONFor(t.tx, accessKey(resp.AccessToken), access{g.ID, t.identifiers, t.i.Now().Add(g.accessLife())}, g.accessLife())
	if t.req.RefreshToken != "" && g.JKT != "" {
		resp.RefreshToken = t.req.RefreshToken
		return resp, err
	}
	return resp, errors.Join(err, setJSONFor(t.tx, refreshKey(resp.RefreshToken), refresh{Grant: g.ID, Expires: g.Expires}, grantLife))
}

// identifiers are the credentials of a grant: of attestations each that is there, of everything else one.
func (i *Issuer) identifiers(tx store.Tx, o *org, g *grant) ([]string, error) {
	c := i.configurations(o)[g.Subject.Configuration]
	if c == nil {
		return nil, oid4vc.ErrInvalidGrant
	}
	var out []string
	if isAttestation(c.typ) && !g.Subject.Example {
		records, err := attestationsOf(tx, o.ID, g.Subject.Engagement, c.typ)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			out = append(out, r.ID)
		}
	}
	if len(out) == 0 {
		out = []string{g.identifier()}
	}
	return out, nil
}

// identifier is the credential_identifier of what a grant gives where it is no single attestation.
func (g *grant) identifier() string { return g.Subject.Configuration + "." + g.ID[:8] }
