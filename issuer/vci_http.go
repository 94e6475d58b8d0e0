package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

// orgHandler is a handler of one organization's endpoint. An error that it returns is answered by the endpoint's rules.
type orgHandler func(http.ResponseWriter, *http.Request, *org) error

// endpoint is one endpoint of an organization.
type endpoint struct {
	path     string
	methods  []string
	fallback string // the error code of a malformed request
	resource bool   // needs an access token
	handle   orgHandler
}

// endpoints are the routes of an organization below its issuer identifier, those that are asked most before the others, which the router tries
// one after another.
func (i *Issuer) endpoints() []endpoint {
	get, post := []string{http.MethodGet, http.MethodHead}, []string{http.MethodPost}
	return []endpoint{
		{"/credential", post, oid4vc.CodeInvalidCredentialRequest, true, i.serveCredential},
		{"/nonce", post, oid4vc.CodeInvalidRequest, false, i.serveNonce},
		{"/par", post, oid4vc.CodeInvalidRequest, false, i.servePushed},
		{"/authorize", []string{http.MethodGet, http.MethodHead, http.MethodPost}, oid4vc.CodeInvalidRequest, false, i.serveAuthorize},
		{"/token", post, oid4vc.CodeInvalidRequest, false, i.serveToken},
		{"/challenge", post, oid4vc.CodeInvalidRequest, false, i.serveChallenge},
		{"/deferred", post, oid4vc.CodeInvalidCredentialRequest, true, i.serveDeferred},
		{"/notification", post, oid4vc.CodeInvalidNotificationRequest, true, i.serveNotification},
		{"/offers/{offer}", get, oid4vc.CodeInvalidRequest, false, i.serveOffer},
		{"/offers/{offer}/qr.{kind:png|svg}", get, oid4vc.CodeInvalidRequest, false, i.serveOfferQR},
		{"/jwks", get, oid4vc.CodeInvalidRequest, false, serveKeys},
		{"/types/{type}", get, oid4vc.CodeInvalidRequest, false, i.serveOwnType},
	}
}

// routeVCI adds the routes of OpenID4VCI.
func (i *Issuer) routeVCI(r *mux.Router) {
	for _, e := range i.endpoints() {
		r.Handle("/o/{id}"+e.path, i.orgEndpoint(e))
	}
	get := []string{http.MethodGet, http.MethodHead}
	for name, h := range map[string]orgHandler{oid4vc.WellKnownCredentialIssuer: i.serveCredentialIssuer, oid4vc.WellKnownAuthorizationServer: i.serveServerMetadata} {
		r.Handle("/.well-known/"+name+"/o/{id}", i.orgEndpoint(endpoint{methods: get, fallback: oid4vc.CodeInvalidRequest, handle: h}))
	}
	r.Handle(statusPath, i.sharedEndpoint(i.serveAggregation))
	r.Handle(statusPath+"/{list:[0-9]{1,4}}", i.sharedEndpoint(i.serveStatusList))
}

// sharedEndpoint is one of the whole instance, which is read.
func (i *Issuer) sharedEndpoint(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	e := endpoint{methods: []string{http.MethodGet, http.MethodHead}, fallback: oid4vc.CodeInvalidRequest}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := e.checkMethod(w, r)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			web.WriteOAuthError(w, r, err, e.fallback, i.Log)
		}
	})
}

// orgEndpoint finds the organization, checks the method and answers errors. Every answer of an endpoint that takes DPoP proofs brings the
// nonce for the next one (RFC 9449, Section 8.2).
func (i *Issuer) orgEndpoint(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := i.vciOrg(r.Context(), idOfPath(mux.Vars(r)["id"]))
		if errors.Is(err, ErrUnknownOrg) {
			writeProblem(w, http.StatusNotFound, "no such issuer")
			return
		}
		if err == nil {
			err = e.checkMethod(w, r)
		}
		if err == nil && r.Method == http.MethodPost {
			err = i.offerNonces(w, r, o)
		}
		if err == nil {
			err = e.handle(w, r, o)
		}
		if err == nil {
			return
		}
		if e.resource {
			web.WriteResourceError(w, r, err, e.fallback, i.challenge(err), i.Log)
			return
		}
		web.WriteOAuthError(w, r, err, e.fallback, i.Log)
	})
}

func (e endpoint) checkMethod(w http.ResponseWriter, r *http.Request) error {
	for _, m := range e.methods {
		if r.Method == m {
			return nil
		}
	}
	w.Header().Set("Allow", strings.Join(e.methods, ", "))
	return &oid4vc.Refusal{Code: e.fallback, Status: http.StatusMethodNotAllowed, Description: "this endpoint takes another method, see Allow"}
}

func (i *Issuer) offerNonces(w http.ResponseWriter, r *http.Request, o *org) error {
	nonce, err := i.newNonce(r.Context(), o, nonceServer)
	if err != nil {
		return err
	}
	w.Header().Set(oid4vc.HeaderDPoPNonce, nonce)
	if i.attestsKeys() {
		w.Header().Set(oid4vc.HeaderClientAttestationChallenge, nonce)
	}
	return nil
}

// challenge is how a protected endpoint asks for a token.
func (i *Issuer) challenge(err error) web.Challenge {
	c := web.Challenge{Schemes: []string{oid4vc.TokenDPoP}, DPoPAlgs: algNames(), Bare: errors.Is(err, oid4vc.ErrNoToken)}
	if i.vci.cfg.Bearer {
		c.Schemes = append(c.Schemes, oid4vc.TokenBearer)
	}
	return c
}

// writePublic answers with a document that anybody may keep for a while.
func writePublic(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "internal error")
		return
	}
	writeJSON(w, body)
}
