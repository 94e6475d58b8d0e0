package verifier

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

func isDCAPI(mode string) bool { return mode == oid4vc.ModeDCAPI || mode == oid4vc.ModeDCAPIJWT }

func (o *CreateOptions) isDCAPI() bool { return isDCAPI(o.Mode) }

// completeDCAPI checks what is asked with over the Digital Credentials API (OpenID4VP 1.0, Appendix A), and fills in the defaults.
func (o *CreateOptions) completeDCAPI(origin string) error {
	dc := o.isDCAPI()
	if (dc || o.Page) && o.Origin == "" {
		o.Origin = origin
	}
	switch {
	case o.Page && (dc || o.Browser == "" || o.Prefix == oid4vc.PrefixRedirectURI):
		return fmt.Errorf("%w: beside a page that asks there is a signed request, by a link, of a browser session", ErrOptions)
	case !dc && !o.Page && (o.Protocols != nil || o.Origin != ""):
		return fmt.Errorf("%w: protocols and origin are for the response modes %s and %s", ErrOptions, oid4vc.ModeDCAPI, oid4vc.ModeDCAPIJWT)
	case !dc && !o.Page:
		return nil
	case oid4vc.CheckOrigin(o.Origin) != nil:
		return fmt.Errorf("%w: origin must be scheme, host and port of a page, as browsers write it", ErrOptions)
	case dc && (o.Post || o.SameDevice || o.Prefix == oid4vc.PrefixRedirectURI):
		return fmt.Errorf("%w: over the Digital Credentials API nothing is fetched, and the browser that asks is the one that gets the answer", ErrOptions)
	case o.Protocols == nil:
		o.Protocols = []string{oid4vc.ProtocolSigned, oid4vc.ProtocolUnsigned}
	}
	for i, p := range o.Protocols {
		if !slices.Contains([]string{oid4vc.ProtocolSigned, oid4vc.ProtocolUnsigned, oid4vc.ProtocolMultisigned}, p) || slices.Contains(o.Protocols[:i], p) {
			return fmt.Errorf("%w: protocol %q is not known or stands twice", ErrOptions, p)
		}
	}
	if len(o.Protocols) == 0 {
		return fmt.Errorf("%w: a protocol is needed", ErrOptions)
	}
	return nil
}

// credentialRequestOptions is what a page hands to navigator.credentials.get (Digital Credentials API).
type credentialRequestOptions struct {
	Mediation string            `json:"mediation"`
	Digital   digitalCredential `json:"digital"`
}

type digitalCredential struct {
	Requests []oid4vc.DCRequest `json:"requests"`
}

// dcRequests writes the session's request in each of its protocols; the platform takes the first that a wallet knows.
func (v *VP) dcRequests(s *session) ([]oid4vc.DCRequest, error) {
	r, err := v.request(s)
	if err != nil {
		return nil, err
	}
	signer := func(prefix, clientID string) oid4vc.DCSigner {
		return oid4vc.DCSigner{ClientID: clientID, Key: v.Key, Header: v.signatureHeader(prefix)}
	}
	var out []oid4vc.DCRequest
	for _, protocol := range s.Protocols {
		var one oid4vc.DCRequest
		switch protocol {
		case oid4vc.ProtocolUnsigned:
			one, err = oid4vc.UnsignedDCRequest(*r)
		case oid4vc.ProtocolSigned:
			one, err = oid4vc.SignedDCRequest(*r, signer(s.Prefix, r.ClientID), v.Now(), s.Expires)
		case oid4vc.ProtocolMultisigned:
			var signers []oid4vc.DCSigner
			for _, prefix := range []string{oid4vc.PrefixX509Hash, oid4vc.PrefixX509SANDNS, oid4vc.PrefixDID} {
				if id, ok := v.clientIDs()[prefix]; ok {
					signers = append(signers, signer(prefix, id))
				}
			}
			one, err = oid4vc.MultisignedDCRequest(*r, signers, v.Now(), s.Expires)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// mayAsk tells whether a request comes from the page that asks over the Digital Credentials API.
func (v *VP) mayAsk(r *http.Request) func(*session) bool {
	return func(s *session) bool { return (s.Page || s.isDCAPI()) && v.mayWatch(r, s) }
}

// asksHere is where the page that a request asks for gets what it hands to navigator.credentials.get, "" in a browser that did not begin the session.
func (v *VP) asksHere(r *http.Request, id string) string {
	s, err := v.read(r.Context(), id)
	if err != nil || s.Status != Waiting || !v.mayAsk(r)(s) {
		return ""
	}
	return v.pageURI(s)
}

// serveCredentialRequest gives the page of the browser session that began what it hands to navigator.credentials.get.
func (v *VP) serveCredentialRequest(w http.ResponseWriter, r *http.Request) {
	options, err := v.processCredentialRequest(r.Context(), mux.Vars(r)["id"], v.mayAsk(r))
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteJSON(w, http.StatusOK, options)
}

func (v *VP) processCredentialRequest(ctx context.Context, name string, may func(*session) bool) (*credentialRequestOptions, error) {
	var s *session
	err := v.Store.View(ctx, func(tx store.Tx) (err error) {
		s, err = byName(tx, keyResponse(name))
		return err
	})
	if err != nil {
		return nil, err
	}
	switch s.current(v.Now()); {
	case !may(s):
		return nil, errNoSession
	case s.Status == Expired:
		return nil, errEnded
	case s.Status != Waiting || s.Exchange.Response != name:
		return nil, errUsed
	}
	s.byPage()
	requests, err := v.dcRequests(s)
	if err != nil {
		return nil, err
	}
	return &credentialRequestOptions{"required", digitalCredential{requests}}, nil
}

// credentialBody is what the page's script sends: protocol and data of the DigitalCredential that it got, and its own origin.
type credentialBody struct {
	Protocol string          `json:"protocol"`
	Data     json.RawMessage `json:"data"`
	Origin   string          `json:"origin"`
}

// serveCredentialResponse takes what the page got from the wallet, and tells it how the session goes on.
func (v *VP) serveCredentialResponse(w http.ResponseWriter, r *http.Request) {
	s, _, err := v.respond(r, v.mayAsk(r), func(s *session, key oid4vc.ResponseKey) (*oid4vc.VPResponse, error) {
		s.byPage()
		return v.readCredential(r, s, key)
	})
	var out *View
	if err == nil {
		out, err = v.view(s)
	}
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteJSON(w, http.StatusOK, out)
}

// readCredential reads the response. The browser says by a header of its own from which page it comes; that the wallet was asked by such a page the
// key bindings show.
func (v *VP) readCredential(r *http.Request, s *session, key oid4vc.ResponseKey) (*oid4vc.VPResponse, error) {
	var b credentialBody
	if err := web.ReadJSON(r, &b); err != nil {
		return nil, err
	}
	for _, origin := range append(r.Header.Values("Origin"), b.Origin) {
		if origin != s.Origin {
			return nil, oid4vc.ErrVPOrigin
		}
	}
	if !slices.Contains(s.Protocols, b.Protocol) {
		return nil, oid4vc.ErrVPProtocol
	}
	return oid4vc.ReadDCResponse(b.Data, key)
}
