package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/schemas"
)

// maxRequest bounds a request body: the largest is a credential request with a batch of proofs.
const maxRequest = 256 << 10

// Handler serves what anybody may read of the issuers here. These are all its routes.
//
//	GET /.well-known/jwt-vc-issuer/o/{id}   JWT VC Issuer Metadata (SD-JWT VC, Section 4) of one organization
//	GET /types/{type}                       SD-JWT VC Type Metadata (Section 5)
//	GET /healthz
//	and those of OpenID4VCI, see routeVCI
func (i *Issuer) Handler() http.Handler {
	r := mux.NewRouter()
	i.routeVCI(r)
	get := func(path string, h http.HandlerFunc) { r.HandleFunc(path, h).Methods(http.MethodGet, http.MethodHead) }
	get("/.well-known/jwt-vc-issuer/o/{id}", i.serveIssuerMetadata)
	get("/types/{type}", serveTypeMetadata)
	get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, []byte(`{"status":"ok"}`)) })
	r.NotFoundHandler = web.ProblemHandler(http.StatusNotFound, "no such resource")
	r.MethodNotAllowedHandler = web.ProblemHandler(http.StatusMethodNotAllowed, "this resource is read with GET")
	limited := i.vci.limiter.Limit(web.LimitBody(maxRequest, r), func(r *http.Request) string { return web.ClientAddress(r, i.vci.cfg.TrustedProxies) })
	return web.SecureHeaders(web.CORS(limited))
}

func (i *Issuer) serveIssuerMetadata(w http.ResponseWriter, r *http.Request) {
	o, err := i.org(r.Context(), idOfPath(mux.Vars(r)["id"]))
	if errors.Is(err, ErrUnknownOrg) {
		writeProblem(w, http.StatusNotFound, "no such issuer")
		return
	}
	var body []byte
	if err == nil {
		body, err = o.metadata()
	}
	if err != nil {
		i.Log.ErrorContext(r.Context(), "issuer metadata", "error", err)
		writeProblem(w, http.StatusInternalServerError, "internal error")
		return
	}
	writeJSON(w, body)
}

// metadata returns the metadata document: the keys by which to verify what the issuer signed.
func (o *org) metadata() ([]byte, error) {
	set, err := oid4vc.SigningKeySet(o.signing.Public())
	if err != nil {
		return nil, err
	}
	return json.Marshal(oid4vc.JWTVCIssuerMetadata{Issuer: o.Issuer, JWKS: &set})
}

// serveKeys serves the keys alone, as authorization server metadata names them (RFC 8414, Section 2): what the organization signs about itself.
func serveKeys(w http.ResponseWriter, _ *http.Request, o *org) error {
	set, err := oid4vc.SigningKeySet(o.signing.Public())
	if err == nil {
		writePublic(w, set)
	}
	return err
}

func serveTypeMetadata(w http.ResponseWriter, r *http.Request) {
	body, ok := schemas.TypeMetadata(attestation.Type(mux.Vars(r)["type"]).VCT())
	if !ok {
		writeProblem(w, http.StatusNotFound, "no such credential type")
		return
	}
	writeJSON(w, body)
}

// idOfPath is the reverse of [Path].
func idOfPath(segment string) string { return strings.ReplaceAll(segment, "T", "登") }

func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(body) // a reader that went away needs no answer
}

func writeProblem(w http.ResponseWriter, status int, title string) {
	web.WriteProblem(w, web.Problem{Title: title, Status: status})
}
