package verifier_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/verifier"
)

const (
	vpURL      = "https://verifier.test"
	adminToken = "the administrator's token"
)

// vpWorld is a verifier behind https over a world with one engagement and its records.
type vpWorld struct {
	*evidencetest.World
	t    *testing.T
	vp   *verifier.VP
	root *x509.Certificate
	http *http.Client

	payment, receipt string // of November
}

func newVPWorld(t *testing.T) *vpWorld {
	t.Helper()
	w := &vpWorld{World: evidencetest.New(t, evidencetest.At(2025, 10, 30, 9)), t: t}
	w.Now = evidencetest.At(2025, 10, 30, 10)
	w.Engage(0, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)))
	w.Now = evidencetest.At(2025, 11, 25, 18)
	w.payment = w.WagePayment(november, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, november, 0, w.payment)
	w.receipt = w.WageReceipt(november, attestation.NewDate(2025, 11, 25), 212000)
	w.Log(w.Bank, attestation.WageBank, november, 0, w.receipt)
	w.Now = evidencetest.At(2025, 12, 8, 9)
	w.CloseEpoch()
	w.serve()
	return w
}

// serve puts the verifier behind https.
func (w *vpWorld) serve() {
	w.t.Helper()
	key := evidencetest.Key(w.t)
	var leaf *x509.Certificate
	leaf, w.root = certified(w.t, key, w.World.Now)
	var err error
	w.vp, err = verifier.NewVP(verifier.VPConfig{
		URL: vpURL, Store: store.NewMemory(), Key: key, Chain: []*x509.Certificate{leaf}, Registry: w.World, Trust: w.Trust(), AdminToken: adminToken,
		Now: func() time.Time { return w.World.Now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewTLSServer(w.vp.Handler())
	w.t.Cleanup(server.Close)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com"} // the test certificate's
	w.http = &http.Client{Transport: transport}
	w.t.Cleanup(transport.CloseIdleConnections)
}

// certified makes an authority and its certificate for the verifier's key.
func certified(t *testing.T, key *keys.Private, now time.Time) (leaf, root *x509.Certificate) {
	t.Helper()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(template, parent *x509.Certificate, public any) *x509.Certificate {
		template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(1, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root = make(template, template, &rootKey.PublicKey)
	leaf = make(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "verifier"}, DNSNames: []string{"verifier.test"}, KeyUsage: x509.KeyUsageDigitalSignature}, root, key.Public().Crypto())
	return leaf, root
}

// create begins a session.
func (w *vpWorld) create(o verifier.CreateOptions) *verifier.View {
	w.t.Helper()
	view, err := w.vp.Create(context.Background(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return view
}

func (w *vpWorld) session(id string) *verifier.View {
	w.t.Helper()
	view, err := w.vp.Session(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return view
}

// do sends a request and returns status and body.
func (w *vpWorld) do(req *http.Request) (int, []byte) {
	w.t.Helper()
	resp, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (w *vpWorld) get(target, browser string) (int, []byte) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if browser != "" {
		req.AddCookie(verifier.BrowserCookie(browser))
	}
	return w.do(req)
}

func (w *vpWorld) post(target, mediaType, body string) (int, []byte) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	return w.do(req)
}

func (w *vpWorld) postForm(target string, form url.Values) (int, []byte) {
	w.t.Helper()
	return w.post(target, oid4vc.MediaTypeForm, form.Encode())
}

// fetch reads the request behind a link as a wallet does.
func (w *vpWorld) fetch(link string) *oid4vc.PresentationRequest {
	w.t.Helper()
	l, err := oid4vc.ParseRequestLink(link)
	if err != nil {
		w.t.Fatal(err)
	}
	if l.Plain != nil {
		return &l.Plain.PresentationRequest
	}
	want := oid4vc.ExpectRequest{ClientID: l.ClientID, Roots: []*x509.Certificate{w.root}, Now: w.World.Now}
	status, body := 0, []byte(nil)
	if l.Post {
		want.WalletNonce = "nonce-of-the-wallet"
		status, body = w.postForm(l.URI, url.Values{"wallet_nonce": {want.WalletNonce}, "wallet_metadata": {`{"vp_formats_supported":{"dc+sd-jwt":{}}}`}})
	} else {
		status, body = w.get(l.URI, "")
	}
	if status != http.StatusOK {
		w.t.Fatalf("the request object: %d %s", status, body)
	}
	u, err := oid4vc.ParsePresentationRequest(string(body))
	if err != nil {
		w.t.Fatal(err)
	}
	verified, err := u.Verify(want)
	if err != nil {
		w.t.Fatal(err)
	}
	return &verified.PresentationRequest
}

// holding is a wallet that knows OpenID4VP and DCQL and nothing else.
type holding struct {
	*vpWorld
	held     []string // SD-JWTs, with all disclosures
	single   bool     // it knows no "multiple"
	withhold func(path []any) bool
}

// candidates are what the wallet holds.
func (h *holding) candidates() []dcql.Candidate {
	h.t.Helper()
	var out []dcql.Candidate
	for _, compact := range h.held {
		u, err := sdjwt.Parse(compact)
		if err != nil {
			h.t.Fatal(err)
		}
		verified := h.verifyOwn(u)
		c := dcql.Candidate{Format: dcql.FormatSDJWTVC, Types: []string{verified.Claims["vct"].(string)}, Bound: !verified.Holder.IsZero(), Claims: verified.Claims}
		for _, d := range verified.Disclosed {
			if h.withhold == nil || !h.withhold(d.Path) {
				c.Disclosed = append(c.Disclosed, dcql.Path(d.Path))
			} else {
				forget(c.Claims, d.Path)
			}
		}
		out = append(out, c)
	}
	return out
}

// forget removes a claim, as if the holder did not have it.
func forget(claims map[string]any, path []any) {
	for _, name := range path[:len(path)-1] {
		claims = claims[name.(string)].(map[string]any)
	}
	delete(claims, path[len(path)-1].(string))
}

func (h *holding) verifyOwn(u *sdjwt.Unverified) *sdjwt.Verified {
	h.t.Helper()
	for _, key := range []*keys.Private{h.Employer.Key, h.Bank.Key, h.Holder} {
		if verified, err := u.Verify(key.Public(), sdjwt.Expect{Algs: []keys.Alg{keys.ES256}}); err == nil {
			return verified
		}
	}
	h.t.Fatal("a credential of nobody")
	return nil
}

// token answers a request.
func (h *holding) token(r *oid4vc.PresentationRequest) oid4vc.VPToken {
	h.t.Helper()
	candidates := h.candidates()
	matches := r.Query.Match(candidates)
	choices, err := r.Query.Choose(matches)
	if err != nil {
		h.t.Fatal(err)
	}
	token := make(oid4vc.VPToken)
	for _, choice := range choices {
		for _, id := range choice.IDs {
			c := r.Query.Credential(id)
			for _, m := range matches[id] {
				if len(token[id]) > 0 && (h.single || !c.Multiple) {
					break
				}
				token[id] = append(token[id], h.present(r, c, h.held[m.Candidate], m))
			}
		}
	}
	return token
}

func (h *holding) present(r *oid4vc.PresentationRequest, c *dcql.Credential, compact string, m dcql.Match) string {
	h.t.Helper()
	shown, err := sdjwt.Present(compact, func(path []any) bool {
		for _, d := range m.Disclose {
			if dcql.Path(path).String() == d.String() {
				return true
			}
		}
		return false
	})
	if err == nil && c.NeedsHolderBinding() {
		shown, err = sdjwt.BindKey(shown, h.Holder, r.ClientID, r.Nonce, h.World.Now)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return shown
}

// send posts a response and returns status and body.
func (w *vpWorld) send(r *oid4vc.PresentationRequest, response *oid4vc.VPResponse) (int, []byte) {
	w.t.Helper()
	form, err := response.FormFor(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.postForm(r.ResponseURI, form)
}

// answer does all that a wallet does with a link.
func (h *holding) answer(link string) *oid4vc.VPAnswer {
	h.t.Helper()
	r := h.fetch(link)
	status, body := h.send(r, &oid4vc.VPResponse{Token: h.token(r), State: r.State})
	if status != http.StatusOK {
		h.t.Fatalf("the response: %d %s", status, body)
	}
	answer, err := oid4vc.ParseVPAnswer(body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer
}

// signedAnew signs the claims of a JWT again after they were spoilt.
func signedAnew(t *testing.T, key *keys.Private, compact string, spoil func(header keys.Header, claims map[string]any)) string {
	t.Helper()
	u, err := keys.ParseToken(compact)
	if err != nil {
		t.Fatal(err)
	}
	header, claims := make(keys.Header), make(map[string]any)
	if err := errors.Join(json.Unmarshal(u.Header().Raw, &header), json.Unmarshal(u.UnverifiedPayload(), &claims)); err != nil {
		t.Fatal(err)
	}
	delete(header, "alg")
	spoil(header, claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	again, err := key.Sign(header, bytes.Clone(payload))
	if err != nil {
		t.Fatal(err)
	}
	return again
}
