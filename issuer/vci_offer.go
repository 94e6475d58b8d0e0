package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/gorilla/mux"
	qrcode "github.com/skip2/go-qrcode"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// OfferRequest says what to offer to one person's wallet.
type OfferRequest struct {
	Type      string          `json:"type"`                // id of a credential configuration
	Claims    json.RawMessage `json:"claims,omitempty"`    // of an engagement or an operator-defined type
	Example   bool            `json:"example,omitempty"`   // instead of Claims: fresh valid ones
	Reference string          `json:"reference,omitempty"` // of an attestation: whose; of an engagement: the number it gets here, "" for one made up
	TxCode    string          `json:"tx_code,omitempty"`   // the person must know it, with a pre-authorized code
	Authorize bool            `json:"authorize,omitempty"` // the authorization code grant, instead of a pre-authorized code
	ByValue   bool            `json:"by_value,omitempty"`  // the whole offer in the link
	Scheme    string          `json:"scheme,omitempty"`    // of the link: "" for openid-credential-offer://, haip-vci://, or the https address of a wallet
}

// Offer is an offer that was made.
type Offer struct {
	Link    string    `json:"offer"` // for the wallet; it is a secret
	URL     string    `json:"url"`   // of the offer; with /qr.png or /qr.svg it is its QR code
	Expires time.Time `json:"expires"`
}

// subject is what is given to a wallet under an offer, a grant and its tokens.
type subject struct {
	Configuration string          `json:"configuration"`
	Claims        json.RawMessage `json:"claims,omitempty"`     // engagement, operator-defined
	Example       bool            `json:"example,omitempty"`    // fresh claims each time
	Reference     string          `json:"reference,omitempty"`  // of an engagement
	Engagement    string          `json:"engagement,omitempty"` // of attestations
}

// offer is an offer as it is stored.
type offer struct {
	ID       string    `json:"id"`
	Subject  subject   `json:"subject"`
	Code     string    `json:"code,omitempty"`  // pre-authorized
	State    string    `json:"state,omitempty"` // issuer_state
	TxCode   []byte    `json:"tx_code,omitempty"`
	TxLength int       `json:"tx_length,omitempty"`
	TxText   bool      `json:"tx_text,omitempty"` // not only digits
	Attempts int       `json:"attempts,omitempty"`
	Taken    bool      `json:"taken,omitempty"` // tokens were given for it, or the attempts are used up
	Expires  time.Time `json:"expires"`
}

var (
	// ErrOfferWhat is returned for an offer of something that the organization does not have.
	ErrOfferWhat = errors.New("this cannot be offered")
	errOfferGone = &oid4vc.Refusal{Code: oid4vc.CodeInvalidRequest, Status: http.StatusNotFound, Description: "there is no such offer, or it has expired or was taken"}
)

// MakeOffer makes an offer of one organization.
func (i *Issuer) MakeOffer(ctx context.Context, orgID string, req OfferRequest) (*Offer, error) {
	o, err := i.vciOrg(ctx, orgID)
	if err != nil {
		return nil, err
	}
	s, err := i.subjectOf(ctx, o, req)
	if err != nil {
		return nil, err
	}
	stored, err := i.newOffer(s, req)
	if err != nil {
		return nil, err
	}
	if err := i.Store.Update(ctx, func(tx store.Tx) error { return stored.save(tx, o.ID) }); err != nil {
		return nil, err
	}
	link, err := stored.link(o, req.Scheme, req.ByValue)
	return &Offer{Link: link, URL: stored.url(o), Expires: stored.Expires}, err
}

// subjectOf checks what is to be offered.
func (i *Issuer) subjectOf(ctx context.Context, o *org, req OfferRequest) (subject, error) {
	c := i.configuration(o, req.Type)
	s := subject{Configuration: req.Type, Reference: normalise(req.Reference), Claims: req.Claims, Example: req.Example}
	switch {
	case c == nil:
		return s, fmt.Errorf("%w: this organization has no credential configuration %q", ErrOfferWhat, req.Type)
	case isAttestation(c.typ) && !req.Example:
		return i.attestationsOf(ctx, o, s)
	case req.Example == (len(req.Claims) > 0):
		return s, fmt.Errorf("%w: give either claims or --example", ErrOfferWhat)
	case c.typ == attestation.TypeEngagement:
		return i.contract(o, c, s)
	case req.Example:
		_, err := i.example(o, c)
		return s, err
	}
	claims := map[string]any{}
	if err := keys.DecodeJSON(req.Claims, &claims); err != nil {
		return s, fmt.Errorf("reading the claims: %w", err)
	}
	return s, c.check(claims)
}

// attestationsOf finds whose attestations are offered.
func (i *Issuer) attestationsOf(ctx context.Context, o *org, s subject) (subject, error) {
	if s.Reference == "" || len(s.Claims) > 0 {
		return s, fmt.Errorf("%w: attestations are made by `akashi issuer import`; offer a worker copies of them with --reference, or an --example", ErrOfferWhat)
	}
	e := new(Enrolment)
	err := i.get(ctx, enrolKey(o.ID, s.Reference), e)
	if errors.Is(err, store.ErrNotFound) {
		return s, fmt.Errorf("%w: no engagement is known under this reference", ErrOfferWhat)
	}
	s.Engagement = e.Engagement
	return s, err
}

// contract checks the claims of an engagement as an import would, with a key of its own in place of the worker's, and fixes those of an
// example: of one contract there is one engagement.
func (i *Issuer) contract(o *org, c *configuration, s subject) (subject, error) {
	if s.Example {
		claims, err := i.example(o, c)
		if err != nil {
			return s, err
		}
		if s.Claims, err = json.Marshal(claims); err != nil {
			return s, err
		}
		s.Example = false
	}
	if s.Reference == "" {
		id, err := i.secretText()
		if err != nil {
			return s, err
		}
		s.Reference = "offer-" + id[:12]
	}
	var terms attestation.Engagement
	if err := keys.DecodeJSON(s.Claims, &terms); err != nil {
		return s, fmt.Errorf("reading the claims: %w", err)
	}
	if terms.Employer.ID != o.ID {
		return s, fmt.Errorf("%w: the employer in the claims is another organization", ErrOfferWhat)
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return s, err
	}
	return s, i.tryEngagement(o, terms, key.Public())
}

// newOffer draws the codes of an offer.
func (i *Issuer) newOffer(s subject, req OfferRequest) (*offer, error) {
	id, err := i.secretText()
	if err != nil {
		return nil, err
	}
	code, err := i.secretText()
	if err != nil {
		return nil, err
	}
	out := &offer{ID: id, Subject: s, Expires: i.Now().Add(offerLife).Truncate(time.Second)}
	if req.Authorize {
		if req.TxCode != "" {
			return nil, fmt.Errorf("%w: a tx_code goes with a pre-authorized code only", ErrOfferWhat)
		}
		out.State = code
		return out, nil
	}
	out.Code = code
	if req.TxCode == "" {
		return out, nil
	}
	if len(req.TxCode) < 4 || len(req.TxCode) > 64 {
		return nil, fmt.Errorf("%w: a tx_code has 4 to 64 characters", ErrOfferWhat)
	}
	out.TxCode, out.TxLength = out.txHash(req.TxCode), len([]rune(req.TxCode))
	out.TxText = strings.ContainsFunc(req.TxCode, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsDigit(r) })
	return out, nil
}

func (f *offer) txHash(code string) []byte {
	sum := sha256.Sum256([]byte(f.ID + "\n" + code))
	return sum[:]
}

func (f *offer) isTxCode(code string) bool {
	return subtle.ConstantTimeCompare(f.TxCode, f.txHash(code)) == 1
}

func (f *offer) save(tx store.Tx, orgID string) error {
	key := offerKey(orgID, f.ID)
	if err := setJSONFor(tx, key, f, offerLife); err != nil {
		return err
	}
	if f.State != "" {
		return tx.SetUntil(issuerStateKey(orgID+f.State), key, time.Now().Add(offerLife+keptLonger))
	}
	return setJSONFor(tx, codeKey(f.Code), code{Org: orgID, Offer: f.ID, PreAuthorized: true, Expires: f.Expires}, offerLife)
}

func (f *offer) url(o *org) string { return o.Issuer + "/offers/" + f.ID }

// wire is the offer as a wallet reads it.
func (f *offer) wire(o *org) *oid4vc.CredentialOffer {
	out := &oid4vc.CredentialOffer{CredentialIssuer: o.Issuer, ConfigurationIDs: []string{f.Subject.Configuration}, Grants: &oid4vc.OfferGrants{}}
	if f.State != "" {
		out.Grants.AuthorizationCode = &oid4vc.OfferAuthorizationCode{IssuerState: f.State}
		return out
	}
	out.Grants.PreAuthorizedCode = &oid4vc.OfferPreAuthorizedCode{Code: f.Code}
	if len(f.TxCode) > 0 {
		mode := "numeric"
		if f.TxText {
			mode = "text"
		}
		out.Grants.PreAuthorizedCode.TxCode = &oid4vc.TxCode{InputMode: mode, Length: f.TxLength}
	}
	return out
}

// link writes the link for the wallet.
func (f *offer) link(o *org, scheme string, byValue bool) (string, error) {
	if scheme == "" {
		scheme = oid4vc.SchemeOffer
	}
	if byValue {
		return f.wire(o).Link(scheme)
	}
	return oid4vc.OfferReference(scheme, f.url(o))
}

// openOffer reads an offer that can still be taken.
func (i *Issuer) openOffer(r *http.Request, o *org) (*offer, error) {
	f := new(offer)
	err := i.Store.View(r.Context(), func(tx store.Tx) error {
		return find(tx, offerKey(o.ID, mux.Vars(r)["offer"]), f, errOfferGone)
	})
	if err == nil && (f.Taken || !i.Now().Before(f.Expires)) {
		err = errOfferGone
	}
	return f, err
}

// serveOffer serves an offer by reference (OpenID4VCI 1.0, Section 4.1.3). Its URL is as secret as what it leads to.
func (i *Issuer) serveOffer(w http.ResponseWriter, r *http.Request, o *org) error {
	f, err := i.openOffer(r, o)
	if err == nil {
		web.WriteJSON(w, http.StatusOK, f.wire(o))
	}
	return err
}

// serveOfferQR draws the offer by reference. scheme=haip draws haip-vci://.
func (i *Issuer) serveOfferQR(w http.ResponseWriter, r *http.Request, o *org) error {
	f, err := i.openOffer(r, o)
	if err != nil {
		return err
	}
	scheme := ""
	if r.URL.Query().Get("scheme") == "haip" {
		scheme = oid4vc.SchemeOfferHAIP
	}
	link, err := f.link(o, scheme, false)
	if err != nil {
		return err
	}
	draw, mediaType := QRPNG, "image/png"
	if mux.Vars(r)["kind"] == "svg" {
		draw, mediaType = QRSVG, "image/svg+xml"
	}
	image, err := draw(link)
	if err == nil {
		web.WriteBody(w, http.StatusOK, mediaType, image)
	}
	return err
}

// QRPNG draws a QR code of a link.
func QRPNG(link string) ([]byte, error) {
	return qrcode.Encode(link, qrcode.Medium, 512)
}

// QRSVG draws a QR code of a link: one path of unit squares.
func QRSVG(link string) ([]byte, error) {
	code, err := qrcode.New(link, qrcode.Medium)
	if err != nil {
		return nil, err
	}
	modules := code.Bitmap()
	var path strings.Builder
	for y, row := range modules {
		for x, dark := range row {
			if dark {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="%s"/></svg>`,
		len(modules), len(modules), len(modules), len(modules), path.String()), nil
}
