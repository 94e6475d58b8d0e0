package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/did"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// CreateOptions say what to ask a wallet for. Zero values take the defaults named here.
type CreateOptions struct {
	Query  *dcql.Query // nil: what an assessment needs, in two steps
	Prefix string      // of the client_id: x509_hash, or decentralized_identifier without a certificate
	Mode   string      // response mode: direct_post.jwt; dc_api.jwt and dc_api ask over the Digital Credentials API
	Post   bool        // the wallet fetches the request by POST, and may add its nonce
	// Protocols of the Digital Credentials API, the preferred first: openid4vp-v1-signed, then openid4vp-v1-unsigned; and the origin of the page that
	// asks: the verifier's own.
	Protocols []string
	Origin    string
	// Page lets the page of the browser session ask over the Digital Credentials API too, where the link is shown. The first answer counts.
	Page bool
	// Browser is the secret of the browser session that may see the result, which [BrowserCookie] carries; "" for none.
	Browser    string
	SameDevice bool // the wallet is on the device of that browser, and leads it back

	From, To        attestation.Period // months to assess
	OneStep         bool               // assess with one request, for the months From to To, before the plan is known
	TransactionData []string
	VerifierInfo    []oid4vc.VerifierInfo
}

// ErrOptions is returned for a request that this verifier cannot make.
var ErrOptions = errors.New("this request cannot be made")

// clientIDs returns the client_id for each prefix that can be used.
func (v *VP) clientIDs() map[string]string {
	ids := map[string]string{
		oid4vc.PrefixDID:         oid4vc.PrefixDID + ":" + did.FromKeyJWK(v.Key.Public()),
		oid4vc.PrefixRedirectURI: "", // one for each request
	}
	if len(v.Chain) > 0 {
		ids[oid4vc.PrefixX509Hash] = oid4vc.X509HashClientID(v.Chain[0])
		if net.ParseIP(v.host) == nil && slices.Contains(v.Chain[0].DNSNames, v.host) {
			ids[oid4vc.PrefixX509SANDNS] = oid4vc.PrefixX509SANDNS + ":" + v.host
		}
	}
	return ids
}

// Create begins a session with a request for a wallet; the link in what it returns goes into a QR code or a button.
func (v *VP) Create(ctx context.Context, o CreateOptions) (*View, error) {
	s, err := v.newSession(o)
	if err != nil {
		return nil, err
	}
	if _, err := v.request(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if err := v.Store.Update(ctx, func(tx store.Tx) error { return v.begin(tx, s) }); err != nil {
		return nil, fmt.Errorf("storing a session: %w", err)
	}
	return v.view(s)
}

func (v *VP) newSession(o CreateOptions) (*session, error) {
	ids := v.clientIDs()
	if o.Prefix == "" {
		o.Prefix = oid4vc.PrefixDID
		if _, ok := ids[oid4vc.PrefixX509Hash]; ok {
			o.Prefix = oid4vc.PrefixX509Hash
		}
	}
	if o.Mode == "" {
		o.Mode = oid4vc.ModeDirectPostJWT
	}
	_, known := ids[o.Prefix]
	switch {
	case !known:
		return nil, fmt.Errorf("%w: client_id prefix %q: this verifier has %v", ErrOptions, o.Prefix, slices.Sorted(maps.Keys(ids)))
	case o.SameDevice && o.Browser == "":
		return nil, fmt.Errorf("%w: on the same device the browser session must be known", ErrOptions)
	case o.isDCAPI() && o.Browser == "" && v.AdminToken == "":
		return nil, fmt.Errorf("%w: over the Digital Credentials API the browser session of the page must be known", ErrOptions)
	case o.Post && o.Prefix == oid4vc.PrefixRedirectURI:
		return nil, fmt.Errorf("%w: an unsigned request stands in the link and is not fetched", ErrOptions)
	}
	if err := o.completeDCAPI(v.origin); err != nil {
		return nil, err
	}
	s := &session{ID: random(), Status: Waiting, Prefix: o.Prefix, Mode: o.Mode, Protocols: o.Protocols, Origin: o.Origin, Page: o.Page, Post: o.Post, SameDevice: o.SameDevice,
		TransactionData: o.TransactionData, VerifierInfo: o.VerifierInfo}
	if o.Browser != "" {
		s.Browser = hashed(o.Browser)
	}
	if err := o.checkMonths(); err != nil {
		return nil, err
	}
	query := o.Query
	if query == nil {
		if o.TransactionData != nil {
			return nil, fmt.Errorf("%w: an assessment has no transaction data", ErrOptions)
		}
		s.Assessment, query = &assessing{Step: 1, From: o.From, To: o.To}, engagementQuery()
		if o.OneStep {
			var err error
			if query, err = oneStepQuery(o.From, o.To, attestation.DateOf(v.Now())); err != nil {
				return nil, err
			}
			s.Assessment.Step = 2
		}
	}
	if err := checkQuery(query); err != nil {
		return nil, err
	}
	return s, v.nextExchange(s, query)
}

// checkMonths checks which months an assessment is of.
func (o *CreateOptions) checkMonths() error {
	if o.Query != nil && (o.OneStep || o.From != "" || o.To != "") {
		return fmt.Errorf("%w: months, and one step, are for assessments", ErrOptions)
	}
	for _, p := range []attestation.Period{o.From, o.To} {
		if p != "" && p.Kind() != attestation.Month {
			return fmt.Errorf("%w: from and to must be months, as 2026-01", ErrOptions)
		}
	}
	if o.From != "" && o.To != "" && o.To.Last().Before(o.From.First()) {
		return fmt.Errorf("%w: the last month is before the first", ErrOptions)
	}
	return nil
}

// checkQuery refuses what this verifier could not verify when it came.
func checkQuery(q *dcql.Query) error {
	if err := q.Validate(); err != nil {
		return err
	}
	if q.RepeatsClaim() {
		return fmt.Errorf("%w: a credential query points to the same claim twice", ErrOptions)
	}
	for _, c := range q.Credentials {
		if c.Format != dcql.FormatSDJWTVC {
			return fmt.Errorf("%w: credential query %s: only credentials of format %s are verified here", ErrOptions, c.ID, dcql.FormatSDJWTVC)
		}
		if len(c.Authorities) > 0 && !slices.ContainsFunc(c.Authorities, func(a dcql.Authority) bool { return a.Type == dcql.AuthorityKeyIdentifier }) {
			return fmt.Errorf("%w: credential query %s: of the trusted authorities only aki can be verified here", ErrOptions, c.ID)
		}
	}
	return nil
}

// nextExchange gives the session a new request, with names, nonce, state and key of its own.
func (v *VP) nextExchange(s *session, q *dcql.Query) error {
	e := exchange{Request: random(), Response: random(), Nonce: random(), State: random(), Query: (*storedQuery)(q)}
	if s.Mode == oid4vc.ModeDirectPostJWT || s.Mode == oid4vc.ModeDCAPIJWT {
		key, err := keys.Generate(keys.ES256)
		if err != nil {
			return fmt.Errorf("making the key of a request: %w", err)
		}
		if e.Key, err = key.MarshalJWK(); err != nil {
			return fmt.Errorf("making the key of a request: %w", err)
		}
	}
	s.Exchange, s.Expires = e, v.Now().Add(v.Life)
	return nil
}

// audience is whom the key bindings must name: the client_id of the session's request, or over the Digital Credentials API the origin of the page.
func (v *VP) audience(s *session) string {
	if s.isDCAPI() {
		return oid4vc.OriginAudience(s.Origin)
	}
	if s.Prefix == oid4vc.PrefixRedirectURI {
		return oid4vc.PrefixRedirectURI + ":" + v.responseURI(s)
	}
	return v.clientIDs()[s.Prefix]
}

func (v *VP) responseURI(s *session) string { return v.URL + pathResponse + s.Exchange.Response }

// pageURI is where the page gets what it asks with over the Digital Credentials API, and sends what it got.
func (v *VP) pageURI(s *session) string { return v.URL + pathCredential + s.Exchange.Response }

// request is the request that the session waits with.
func (v *VP) request(s *session) (*oid4vc.PresentationRequest, error) {
	var encryption keys.EncryptionKey
	key, err := s.Exchange.responseKey()
	if err != nil {
		return nil, err
	}
	if key.Private != nil {
		if encryption, err = keys.NewEncryptionKey(key.Private.Public(), key.KID); err != nil {
			return nil, err
		}
	}
	metadata, err := oid4vc.NewVerifierMetadata(encryption)
	if err != nil {
		return nil, err
	}
	r := &oid4vc.PresentationRequest{ResponseType: oid4vc.ResponseTypeVPToken, ResponseMode: s.mode(), Nonce: s.Exchange.Nonce, Query: s.Exchange.query(),
		Metadata: metadata, TransactionData: s.TransactionData, VerifierInfo: s.VerifierInfo}
	if s.isDCAPI() { // there is no state: the page's session takes its place
		r.ClientID, r.ExpectedOrigins = v.clientIDs()[s.Prefix], []string{s.Origin}
	} else {
		r.ClientID, r.ResponseURI, r.State = v.audience(s), v.responseURI(s), s.Exchange.State
	}
	return r, r.Validate()
}

// link is what the wallet is handed, or over the Digital Credentials API where the page gets what it asks with.
func (v *VP) link(s *session) (string, error) {
	if s.isDCAPI() {
		return v.pageURI(s), nil
	}
	if s.Prefix == oid4vc.PrefixRedirectURI {
		r, err := v.request(s)
		if err != nil {
			return "", err
		}
		return r.PlainLink(v.Base)
	}
	l := oid4vc.RequestLink{ClientID: v.audience(s), URI: v.URL + pathRequest + s.Exchange.Request, Post: s.Post}
	return l.Link(v.Base)
}

// object makes the signed request object, encrypted where the wallet asks for that.
func (v *VP) object(s *session, post *oid4vc.WalletPost) (string, error) {
	r, err := v.request(s)
	if err != nil {
		return "", err
	}
	r.WalletNonce = post.Nonce
	if post.Metadata != nil {
		if err := post.Metadata.Check(r, v.Key.Public().Alg()); err != nil {
			return "", err
		}
	}
	compact, err := oid4vc.SignPresentationRequest(v.Key, v.signatureHeader(s.Prefix), r, v.Now(), s.Expires)
	if err != nil || post.Metadata == nil {
		return compact, err
	}
	return post.Metadata.SealRequestObject(compact)
}

// signatureHeader says by what the signer of a prefix is known.
func (v *VP) signatureHeader(prefix string) keys.Header {
	if prefix == oid4vc.PrefixDID {
		return keys.Header{"kid": oid4vc.DIDVerificationMethod(did.FromKeyJWK(v.Key.Public()))}
	}
	return keys.Header{"x5c": keys.FormatChain(v.Chain...)}
}

// serveRequest gives the request object, as often as it is fetched while the session waits: wallets and what stands between fetch more than once.
func (v *VP) serveRequest(w http.ResponseWriter, r *http.Request) {
	text, err := v.processRequest(r)
	if err != nil {
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	web.WriteBody(w, http.StatusOK, oid4vc.MediaTypeRequestObject, []byte(text))
}

var errMethod = &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequestURIMethod, text: "fetch this request by the request_uri_method of its link", reason: "request.method"}

func (v *VP) processRequest(r *http.Request) (string, error) {
	var s *session
	name := mux.Vars(r)["id"]
	err := v.Store.View(r.Context(), func(tx store.Tx) (err error) {
		s, err = byName(tx, keyRequest(name))
		return err
	})
	if err != nil {
		return "", err
	}
	switch s.current(v.Now()); {
	case s.Status == Expired:
		return "", errEnded
	case s.Status != Waiting || s.Exchange.Request != name:
		return "", errUsed
	case s.Prefix == oid4vc.PrefixRedirectURI || s.isDCAPI():
		return "", errNoSession
	case r.Method == http.MethodGet:
		return v.object(s, new(oid4vc.WalletPost))
	case !s.Post:
		return "", errMethod
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return "", err
	}
	post, err := oid4vc.ParseWalletPost(form)
	if err != nil {
		return "", err
	}
	return v.object(s, post)
}

// createBody is the body of a request for a request.
type createBody struct {
	Query           json.RawMessage       `json:"dcql_query,omitempty"` // absent: an assessment
	Prefix          string                `json:"client_id_prefix,omitempty"`
	Mode            string                `json:"response_mode,omitempty"`
	Protocols       []string              `json:"protocols,omitempty"`
	Origin          string                `json:"origin,omitempty"`
	Page            bool                  `json:"page,omitempty"`
	OneStep         bool                  `json:"one_step,omitempty"`
	Post            bool                  `json:"request_uri_post,omitempty"`
	SameDevice      bool                  `json:"same_device,omitempty"`
	From            attestation.Period    `json:"from,omitempty"`
	To              attestation.Period    `json:"to,omitempty"`
	TransactionData []string              `json:"transaction_data,omitempty"`
	VerifierInfo    []oid4vc.VerifierInfo `json:"verifier_info,omitempty"`
}

var errNotAdmin = &refusal{status: http.StatusUnauthorized, code: oid4vc.CodeInvalidToken, text: "only the administrator may ask for presentations", reason: "admin"}

// serveCreate begins a session for the administrator, bound to the browser session that the cookie names, or to a new one.
func (v *VP) serveCreate(w http.ResponseWriter, r *http.Request) {
	browser := browserOf(r)
	if len(browser) != len(random()) {
		browser = random()
	}
	created, err := v.processCreate(r, browser)
	if err != nil {
		if errors.Is(err, ErrOptions) || errors.Is(err, dcql.ErrQuery) {
			web.WriteProblem(w, web.Problem{Title: "this request cannot be made", Status: http.StatusBadRequest, Detail: err.Error()})
			return
		}
		web.WriteOAuthError(w, r, err, oid4vc.CodeInvalidRequest, v.Log)
		return
	}
	http.SetCookie(w, BrowserCookie(browser))
	web.WriteJSON(w, http.StatusCreated, created)
}

func (v *VP) processCreate(r *http.Request, browser string) (*View, error) {
	if !v.isAdmin(r) {
		return nil, errNotAdmin
	}
	var b createBody
	if err := web.ReadJSON(r, &b); err != nil {
		return nil, err
	}
	o := CreateOptions{Prefix: b.Prefix, Mode: b.Mode, Protocols: b.Protocols, Origin: b.Origin, Page: b.Page, OneStep: b.OneStep, Post: b.Post, Browser: browser, SameDevice: b.SameDevice, From: b.From, To: b.To,
		TransactionData: b.TransactionData, VerifierInfo: b.VerifierInfo}
	if b.Query != nil {
		var err error
		if o.Query, err = dcql.Parse(b.Query); err != nil {
			return nil, err
		}
	}
	return v.Create(r.Context(), o)
}
