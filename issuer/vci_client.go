package issuer

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
)

// caller is who sends a request to the authorization server.
type caller struct {
	id            string // client_id, "" for none
	authenticated bool
	instance      string // thumbprint of the attested key, "" for none
	registered    *VCIClient
	dpop          *oid4vc.DPoPProof // nil for none
	once          []once            // to be used up together with what the request does
}

// caller checks DPoP proof and client authentication of a request to PAR or token endpoint.
func (i *Issuer) caller(r *http.Request, o *org, endpoint string, form url.Values) (*caller, error) {
	c := &caller{id: form.Get("client_id")}
	if oid4vc.HasDPoP(r.Header) {
		proof, err := oid4vc.CheckDPoP(r.Header, i.expectDPoP(r.Context(), o, http.MethodPost, endpoint))
		if err != nil {
			return nil, err
		}
		c.dpop = proof
		c.once = append(c.once, onceDPoP(proof))
	}
	if err := i.authenticate(r, o, form, c); err != nil {
		return nil, err
	}
	c.registered = i.vci.client(c.id)
	if !c.authenticated && (i.vci.cfg.Authenticated || c.registered != nil && len(c.registered.Keys) > 0) {
		return nil, oid4vc.ErrInvalidClient
	}
	return c, nil
}

func (i *Issuer) expectDPoP(ctx context.Context, o *org, method, endpoint string) oid4vc.ExpectDPoP {
	return oid4vc.ExpectDPoP{Method: method, URL: o.Issuer + endpoint, Algs: vciAlgs, Now: i.Now(),
		Nonce: func(nonce string) error { return i.checkNonce(ctx, o, nonceServer, nonce) }}
}

func onceDPoP(p *oid4vc.DPoPProof) once {
	return once{"dpop", p.Thumbprint + "\n" + p.JTI, 2 * nonceLife, oid4vc.ErrReplayedDPoP}
}

// authenticate checks what the request has of client authentication. A request with two kinds is refused (RFC 6749, Section 2.3).
func (i *Issuer) authenticate(r *http.Request, o *org, form url.Values, c *caller) error {
	attested, asserted := oid4vc.HasClientAttestation(r.Header), oid4vc.HasClientAssertion(form)
	switch {
	case attested && asserted, form.Has("client_secret"), len(r.Header.Values("Authorization")) > 0:
		return oid4vc.ErrInvalidClient
	case attested:
		return i.authenticateAttested(r, o, c)
	case asserted:
		return i.authenticateAsserted(o, form, c)
	}
	return nil
}

func (i *Issuer) authenticateAttested(r *http.Request, o *org, c *caller) error {
	a, err := oid4vc.CheckClientAttestation(r.Header, oid4vc.ExpectClientAttestation{
		Issuer: o.Issuer, ClientID: c.id, Algs: vciAlgs, Now: i.Now(), DPoP: c.dpop,
		AttesterKey: func(h keys.UnverifiedHeader, _ string) (keys.Public, error) { return i.walletProvider(h) },
		Challenge:   func(challenge string) error { return i.checkNonce(r.Context(), o, nonceServer, challenge) },

		MaxAttestationAge: i.vci.cfg.Attestations.MaxAge,
	})
	if err != nil {
		return err
	}
	if err := i.checkAttested(r.Context(), a.Status, oid4vc.ErrAttestationStatus); err != nil {
		return err
	}
	c.id, c.authenticated, c.instance = a.ClientID, true, a.Key.Thumbprint()
	if a.JTI != "" {
		c.once = append(c.once, once{"pop", a.Key.Thumbprint() + "\n" + a.JTI, 2 * nonceLife, oid4vc.ErrReplayedClientAssertion})
	}
	return nil
}

func (i *Issuer) authenticateAsserted(o *org, form url.Values, c *caller) error {
	a, err := oid4vc.CheckClientAssertion(form, oid4vc.ExpectClientAssertion{Issuer: o.Issuer, Algs: vciAlgs, Now: i.Now(), ClientKey: i.clientKey})
	if err != nil {
		return err
	}
	c.id, c.authenticated = a.ClientID, true
	life := max(a.ForgetAfter.Sub(i.Now()), nonceLife)
	c.once = append(c.once, once{"assertion", a.ClientID + "\n" + a.JTI, life, oid4vc.ErrReplayedClientAssertion})
	return nil
}

// clientKey finds the key of a registered client by kid, which may also be the key's thumbprint, or takes the only one.
func (i *Issuer) clientKey(clientID string, header keys.UnverifiedHeader) (keys.Public, error) {
	client := i.vci.client(clientID)
	if client == nil {
		return keys.Public{}, oid4vc.ErrAssertionKey
	}
	set := oid4vc.KeySet{Keys: client.Keys}
	return set.FindNamed(header.Kid)
}

// walletProvider returns the key of a wallet provider that is trusted here.
func (i *Issuer) walletProvider(h keys.UnverifiedHeader) (keys.Public, error) {
	if len(h.X5C) > 0 {
		key, _, err := keys.VerifyChain(h.X5C, i.vci.cfg.WalletRoots, i.Now())
		return key, err
	}
	set := oid4vc.KeySet{Keys: i.vci.cfg.WalletKeys}
	return set.FindNamed(h.Kid)
}

// mayAuthorize checks that the client may ask for authorization: the redirect URI of a registered client is one of its own, octet for
// octet; clients that a wallet provider vouches for bring theirs. Nobody else is sent anywhere, so nobody can use this server to send
// people elsewhere.
func (c *caller) mayAuthorize(redirectURI string) error {
	switch {
	case c.registered != nil:
		if slices.ContainsFunc(c.registered.RedirectURIs, func(own string) bool { return own == redirectURI || isLoopbackOf(own, redirectURI) }) {
			return nil
		}
		return oid4vc.ErrRedirectURI
	case c.authenticated:
		return nil // its form was checked
	}
	return oid4vc.ErrInvalidClient
}

// isLoopbackOf tells whether uri is the registered loopback address with any port (RFC 8252, Section 7.3).
func isLoopbackOf(registered, uri string) bool {
	a, err := url.Parse(registered)
	if err != nil || a.Scheme != "http" {
		return false
	}
	if ip, err := netip.ParseAddr(a.Hostname()); err != nil || !ip.IsLoopback() {
		return false
	}
	b, err := url.Parse(uri)
	if err != nil || b.User != nil {
		return false
	}
	return b.Scheme == a.Scheme && b.Hostname() == a.Hostname() && b.EscapedPath() == a.EscapedPath() && b.RawQuery == a.RawQuery && b.Fragment == ""
}
