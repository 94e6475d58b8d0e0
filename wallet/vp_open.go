package wallet

import (
	"context"
	"crypto/rand"
	"encoding/base64"
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
	Entity   string            `json:"entity,omitempty"` // id on the trust list, where the verifier signs with a listed key
	Names    map[string]string `json:"names"`            // by language: the trust list's, or that of the certificate; none for a stranger
	Known    bool              `json:"known"`            // on the trust list, or certified by an authority of [Config.VerifierRoots]

	request *oid4vc.PresentationRequest
}

var (
	// ErrAsking is returned for a request that cannot be had any more.
	ErrAsking = errors.New("the request cannot be read: it may be answered or expired, so ask for another")
	// ErrUnknownVerifier is returned where nothing shows who asks. It is a stop, not a warning.
	ErrUnknownVerifier = errors.New("nothing shows who asks: show nothing, and ask for help")
	// ErrElsewhere is returned where the answer would go to a host that the verifier does not stand for.
	ErrElsewhere = errors.New("the answer would go to another host than the verifier's: show nothing")
	// ErrWidePath is returned for a request for more than single period secrets, which would open periods that are still to come.
	ErrWidePath = errors.New("the request asks for all periods at once: each period must be asked for by itself, as slots, stream, period, s")
)

// OpenRequest reads the link of a presentation request, fetches the request, and verifies who asks. Nothing is shown yet.
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
	object, nonce, err := w.fetchRequest(ctx, l)
	if err != nil {
		return nil, errors.Join(ErrAsking, err)
	}
	u, err := oid4vc.ParsePresentationRequest(object)
	if err != nil {
		return nil, err
	}
	want := oid4vc.ExpectRequest{ClientID: l.ClientID, WalletNonce: nonce, Roots: w.VerifierRoots, Now: w.Now()}
	v, err := u.Verify(want)
	rooted := err == nil && v.Leaf != nil
	if errors.Is(err, oid4vc.ErrVPRequestSignature) {
		want.AnyRoot = true // a stranger, unless the signature is wrong
		v, err = u.Verify(want)
	}
	if err != nil {
		return nil, err
	}
	return w.asking(v, w.whoAsks(v, rooted, history.Latest()), l.URI)
}

// fetchRequest fetches the request object as the link says, and returns the nonce that it must name. Redirects are not followed.
func (w *Wallet) fetchRequest(ctx context.Context, l *oid4vc.RequestLink) (object, nonce string, err error) {
	r := web.Request{Method: http.MethodGet, URL: l.URI, Header: http.Header{"Accept": {oid4vc.MediaTypeRequestObject}}}
	if l.Post {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		nonce = base64.RawURLEncoding.EncodeToString(secret)
		r.Method = http.MethodPost
		r.Header.Set("Content-Type", oid4vc.MediaTypeForm)
		r.Body = []byte(url.Values{"wallet_nonce": {nonce}, "wallet_metadata": {walletMetadata}}.Encode())
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
	return strings.TrimSpace(string(resp.Body)), nonce, nil
}

// walletMetadata says what this wallet can (OpenID4VP 1.0, Section 10), the same for every wallet.
const walletMetadata = `{"vp_formats_supported":{"dc+sd-jwt":{"sd-jwt_alg_values":["ES256","EdDSA"],"kb-jwt_alg_values":["ES256"]}},` +
	`"client_id_prefixes_supported":["x509_hash","x509_san_dns","decentralized_identifier","redirect_uri"],"response_modes_supported":["direct_post","direct_post.jwt"]}`

// whoAsks finds the verifier on the trust list, or by its certificate.
func (w *Wallet) whoAsks(v *oid4vc.VerifiedRequest, rooted bool, list *trustlist.List) *Asking {
	if e := listedKey(list, v.Key, attestation.DateOf(w.Now())); e != nil {
		return &Asking{Entity: e.ID, Names: e.Name, Known: true}
	}
	a := &Asking{Names: map[string]string{}, Known: rooted}
	if rooted && v.Leaf.Subject.CommonName != "" { // a stranger's certificate says what it likes
		a.Names[""] = v.Leaf.Subject.CommonName
	}
	return a
}

// listedKey returns who is listed with a key on the day, nil for nobody and for a key that was reported as compromised.
func listedKey(list *trustlist.List, key keys.Public, day attestation.Date) *trustlist.Entity {
	kid := key.Thumbprint()
	e, _, ok := list.EntityByKey(kid)
	if !ok || day.Before(e.From) || !e.Until.IsZero() && e.Until.Before(day) ||
		slices.ContainsFunc(e.Compromised, func(c trustlist.Compromise) bool { return c.Kid == kid }) {
		return nil
	}
	return e
}

// asking checks what of the request this wallet never answers.
func (w *Wallet) asking(v *oid4vc.VerifiedRequest, a *Asking, fetched string) (*Asking, error) {
	target, err := url.Parse(v.ResponseURI)
	if err != nil {
		return nil, oid4vc.ErrVPResponseURI
	}
	a.ClientID, a.Host, a.request = v.ClientID, target.Host, &v.PresentationRequest
	switch {
	case !atHome(v, target, fetched):
		return nil, ErrElsewhere
	case v.TransactionData != nil:
		return nil, oid4vc.ErrVPTransactionData // of no type that this wallet knows
	}
	if err := checkPaths(v.Query); err != nil {
		return nil, err
	}
	return a, v.Metadata.CheckFormats(keys.ES256)
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
	const toSecret = 4 // slots, stream, period, s
	for _, c := range q.Credentials {
		if len(c.Meta.VCTs) > 0 && !slices.Contains(c.Meta.VCTs, attestation.TypeEngagement.VCT()) {
			continue
		}
		if slices.ContainsFunc(c.Claims, func(claim dcql.Claim) bool { return claim.Path[0] == "slots" && len(claim.Path) < toSecret }) {
			return ErrWidePath
		}
	}
	return nil
}
