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

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/registry/trustlist"
)

// Asking is a verifier's request with what the wallet found out about who asks, for the person to decide on.
type Asking struct {
	ClientID string            `json:"client_id"`        // who is answered: the key bindings name it
	Host     string            `json:"host"`             // where the answer goes
	Entity   string            `json:"entity,omitempty"` // id on the trust list, where the request is signed with a listed key
	Names    map[string]string `json:"names"`            // by language: the trust list's, or that of the certificate; none for a stranger
	Known    bool              `json:"known"`            // on the trust list as a verifier, or not on it and certified by an authority of [Config.VerifierRoots]

	Transactions []Transaction `json:"transactions,omitempty"` // what the person agrees to by answering

	request   *oid4vc.PresentationRequest
	issuerAlg []string // by which a credential may be signed; nil for any
}

var (
	// ErrAsking is returned for a request that cannot be had any more.
	ErrAsking = errors.New("the request cannot be read: it may be answered or expired, so ask for another")
	// ErrUnknownVerifier is returned where nothing shows who asks. It is a stop, not a warning.
	ErrUnknownVerifier = errors.New("nothing shows who asks: show nothing, and ask for help")
	// ErrNotVerifier is returned where an organization of the trust list asks that is not listed as a verifier: an employer must not pose as a reviewer.
	ErrNotVerifier = errors.New("who asks is registered, but not as somebody who may ask for proof: show nothing, and ask for help")
	// ErrElsewhere is returned where the answer would go to a host that the verifier does not stand for.
	ErrElsewhere = errors.New("the answer would go to another host than the verifier's: show nothing")
	// ErrWidePath is returned for a request for more than single period secrets, which would open periods that are still to come.
	ErrWidePath = errors.New("the request asks for all periods at once: each period must be asked for by itself, as slots, stream, period, s")
)

// mayAsk is nil for a verifier who is known.
func (a *Asking) mayAsk() error {
	switch {
	case a.Known:
		return nil
	case a.Entity != "":
		return ErrNotVerifier
	}
	return ErrUnknownVerifier
}

// A Rejection is a request that the wallet must not, or cannot, answer with presentations, of a verifier whom it knows. The person decides whether the
// verifier is told so, by [Wallet.Reject].
type Rejection struct {
	Asking *Asking
	Err    error
}

func (r *Rejection) Error() string { return r.Err.Error() }

func (r *Rejection) Unwrap() error { return r.Err }

// OpenRequest reads the link of a presentation request, fetches the request, and verifies who asks. Nothing is shown yet. What is wrong with a request
// whose sender can be told so is a [*Rejection].
func (w *Wallet) OpenRequest(ctx context.Context, link string) (*Asking, error) {
	if w.Web == nil {
		return nil, ErrOffline
	}
	l, err := oid4vc.ParseRequestLink(link)
	if err != nil {
		return nil, err
	}
	if l.Plain != nil {
		return w.asking(l.Plain, &Asking{Names: map[string]string{}}, "")
	}
	history, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	object, nonce := l.Object, ""
	if object == "" {
		if object, nonce, err = w.fetchRequest(ctx, l); err != nil {
			return nil, errors.Join(ErrAsking, err)
		}
	}
	u, err := oid4vc.ParsePresentationRequest(object)
	if err != nil {
		return nil, err
	}
	v, rooted, err := w.verifyRequest(oid4vc.ExpectRequest{ClientID: l.ClientID, WalletNonce: nonce}, u.Verify)
	var refused *oid4vc.RequestError
	if errors.As(err, &refused) {
		return nil, w.rejection(refused.Request, w.whoAsks(refused.Request, rooted, history.Latest()), l.URI, refused.Err)
	}
	if err != nil {
		return nil, err
	}
	return w.asking(v, w.whoAsks(v, rooted, history.Latest()), l.URI)
}

// verifyRequest verifies who signed a request: somebody under the authorities for verifiers, or else a stranger, unless the signature is wrong.
func (w *Wallet) verifyRequest(want oid4vc.ExpectRequest, verify func(oid4vc.ExpectRequest) (*oid4vc.VerifiedRequest, error)) (v *oid4vc.VerifiedRequest, rooted bool, err error) {
	want.Roots, want.Now = w.VerifierRoots, w.Now()
	v, err = verify(want)
	if errors.Is(err, oid4vc.ErrVPRequestSignature) {
		want.AnyRoot = true
		v, err = verify(want)
	}
	var refused *oid4vc.RequestError
	signed := v
	if errors.As(err, &refused) {
		signed = refused.Request
	}
	return v, !want.AnyRoot && signed != nil && signed.Leaf != nil, err
}

// fetchRequest fetches the request object as the link says, and returns the nonce that it must name. Redirects are not followed. By POST the wallet
// says what it can and gives a key, made for this request, to encrypt the object to.
func (w *Wallet) fetchRequest(ctx context.Context, l *oid4vc.RequestLink) (object, nonce string, err error) {
	// No User-Agent: it would tell what program the holder uses (OpenID4VP 1.0, Section 15.8).
	r := web.Request{Method: http.MethodGet, URL: l.URI, Header: http.Header{"Accept": {oid4vc.MediaTypeRequestObject}, "User-Agent": {""}}}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return "", "", err
	}
	if l.Post {
		nonce = base64.RawURLEncoding.EncodeToString(randomOctets(32))
		metadata, err := postedMetadata(l.ClientID, key)
		if err != nil {
			return "", "", err
		}
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", oid4vc.MediaTypeForm)
		r.Body = []byte(url.Values{"wallet_nonce": {nonce}, "wallet_metadata": {string(metadata)}}.Encode())
	}
	resp, err := w.Web.Do(ctx, r)
	if err != nil {
		return "", "", err
	}
	if resp.Status != http.StatusOK {
		return "", "", oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	}
	if resp.MediaType != oid4vc.MediaTypeRequestObject {
		return "", "", fmt.Errorf("the answer is of type %q", resp.MediaType)
	}
	object, err = oid4vc.OpenRequestObject(strings.TrimSpace(string(resp.Body)), key, encryptionKID)
	return object, nonce, err
}

// encryptionKID names the wallet's key in its metadata, the same for every wallet.
const encryptionKID = "1"

// postedMetadata says what this wallet can (OpenID4VP 1.0, Sections 5.10 and 10), the same for every wallet but for the key. To a verifier who cannot
// sign it does not say which signatures it takes.
func postedMetadata(clientID string, key *keys.Private) ([]byte, error) {
	encryption, err := keys.NewEncryptionKey(key.Public(), encryptionKID)
	if err != nil {
		return nil, err
	}
	m, err := oid4vc.NewWalletMetadata(encryption)
	if err != nil {
		return nil, err
	}
	if prefix, _, _ := oid4vc.SplitClientID(clientID); prefix == oid4vc.PrefixRedirectURI {
		m.SigningAlgs = nil
	}
	return json.Marshal(m)
}

func randomOctets(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// whoAsks finds the verifier on the trust list, or by its certificate. Of an organization that is listed in other roles only, the list says who it is,
// and not that it may ask, and nor does a certificate: issuers have those of the same authority. Whoever signs with a key that was reported as compromised is a stranger, certified or not.
func (w *Wallet) whoAsks(v *oid4vc.VerifiedRequest, rooted bool, list *trustlist.List) *Asking {
	if isCompromised(list, v.Key) {
		return &Asking{Names: map[string]string{}}
	}
	if e := listedKey(list, v.Key, attestation.DateOf(w.Now())); e != nil {
		return &Asking{Entity: e.ID, Names: e.Name, Known: e.HasRole(attestation.Verifier)}
	}
	a := &Asking{Names: map[string]string{}, Known: rooted}
	if rooted && v.Leaf.Subject.CommonName != "" { // a stranger's certificate says what it likes
		a.Names[""] = v.Leaf.Subject.CommonName
	}
	return a
}

// listedKey returns who is listed with a key on the day, nil for nobody.
func listedKey(list *trustlist.List, key keys.Public, day attestation.Date) *trustlist.Entity {
	e, _, ok := list.EntityByKey(key.Thumbprint())
	if !ok || day.Before(e.From) || !e.Until.IsZero() && e.Until.Before(day) {
		return nil
	}
	return e
}

// isCompromised tells whether a list reports a key as compromised.
func isCompromised(list *trustlist.List, key keys.Public) bool {
	kid := key.Thumbprint()
	return slices.ContainsFunc(list.Entities, func(e *trustlist.Entity) bool {
		return slices.ContainsFunc(e.Compromised, func(c trustlist.Compromise) bool { return c.Kid == kid })
	})
}

// asking checks where the answer would go, and then what of the request this wallet never answers.
func (w *Wallet) asking(v *oid4vc.VerifiedRequest, a *Asking, fetched string) (*Asking, error) {
	if err := a.goesTo(v, fetched); err != nil {
		return nil, err
	}
	if err := a.check(&v.PresentationRequest); err != nil {
		return nil, w.rejection(v, a, fetched, err)
	}
	return a, nil
}

// goesTo notes where the answer goes, and makes sure that it is the verifier's.
func (a *Asking) goesTo(v *oid4vc.VerifiedRequest, fetched string) error {
	target, err := url.Parse(v.ResponseURI)
	if err != nil {
		return oid4vc.ErrVPResponseURI
	}
	a.ClientID, a.Host, a.request = v.ClientID, target.Host, &v.PresentationRequest
	if !atHome(v, target, fetched) {
		return ErrElsewhere
	}
	return nil
}

// check checks what is asked for.
func (a *Asking) check(r *oid4vc.PresentationRequest) (err error) {
	a.request = r
	if !slices.ContainsFunc(r.Query.Credentials, func(c dcql.Credential) bool { return c.Format == dcql.FormatSDJWTVC }) {
		return oid4vc.ErrVPFormats
	}
	if a.Transactions, err = transactionsOf(r.TransactionData); err != nil {
		return err
	}
	if err := checkPaths(r.Query); err != nil {
		return err
	}
	a.issuerAlg, err = r.Metadata.CheckFormats(keys.ES256)
	return err
}

// rejection is err, with a way to tell the verifier where that is safe: only somebody who is known and has signed where the answer goes.
func (w *Wallet) rejection(v *oid4vc.VerifiedRequest, a *Asking, fetched string, err error) error {
	if !a.Known || v.Key.IsZero() || a.goesTo(v, fetched) != nil {
		return err
	}
	return &Rejection{a, err}
}

// atHome tells whether the answer goes to where the request came from, or to a host that the verifier's certificate names. That of an unsigned
// request is its client_id.
func atHome(v *oid4vc.VerifiedRequest, target *url.URL, fetched string) bool {
	if v.Prefix == oid4vc.PrefixRedirectURI {
		return true
	}
	from, err := url.Parse(fetched)
	return err == nil && from.Host == target.Host || v.Leaf != nil && v.Leaf.VerifyHostname(target.Hostname()) == nil
}

// checkPaths refuses a path into an engagement's slots that ends above a period secret.
func checkPaths(q *dcql.Query) error {
	for i := range q.Credentials {
		c := &q.Credentials[i]
		if (len(c.Meta.VCTs) == 0 || slices.Contains(c.Meta.VCTs, attestation.TypeEngagement.VCT())) && opensMore(c) {
			return ErrWidePath
		}
	}
	return nil
}

// opensMore tells whether a credential query asks for more of an engagement's slots than single period secrets.
func opensMore(c *dcql.Credential) bool {
	const toSecret = 4 // slots, stream, period, s
	return slices.ContainsFunc(c.Claims, func(claim dcql.Claim) bool { return claim.Path[0] == "slots" && len(claim.Path) < toSecret })
}
