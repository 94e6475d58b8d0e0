package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/issuer"
)

const (
	vciConfiguration = "staff-card" // the ready-made credential configuration
	vciWallets       = 128          // that collect at the same time, each over a connection of its own that it keeps
	vciSlices        = 16           // the exchanges are measured for that many slices a round, so that beginning and end weigh little
)

// benchVCI measures how fast wallets collect credentials by OpenID4VCI over https on loopback, from an issuer whose store is on disk. One exchange
// is what a wallet with an access token does for one credential: it takes a nonce from the nonce endpoint (OpenID4VCI 1.0, Section 7), makes a
// DPoP proof (with the server's nonce from the answer before) and a key proof, requests the credential (Section 8), and verifies what it
// gets, before which the issuer has checked both proofs, signed, and stored on disk that proofs and nonce are used up and what was issued.
//
// Raw is what such an exchange signs and verifies, with nothing around it, over as many threads as there are processors, which the exchange
// has too: wallets and issuer share this process.
func benchVCI(ctx context.Context, b *benchRun) (err error) {
	dir, err := os.MkdirTemp("", "akashi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	if err != nil {
		return err
	}
	cfg.VCI.RatePerSecond = -1
	in, err := startInstance(ctx, cfg, instanceOptions{epoch: importEpoch})
	defer func() {
		err = errors.Join(err, stopBench(ctx, in))
	}()
	if err != nil {
		return err
	}
	wallets, err := newVCIWallets(ctx, in)
	if err != nil {
		return err
	}
	defer func() {
		for _, w := range wallets {
			w.http.CloseIdleConnections()
		}
	}()
	bare, err := wallets[0].bareExchange(ctx)
	if err != nil {
		return err
	}
	runtime.GC()
	var rates, raws []float64
	for range b.rounds {
		raw, err := rateOf(ctx, runtime.GOMAXPROCS(0), vciSlices/4*b.slice, func(context.Context, int) error { return bare() })
		if err != nil {
			return err
		}
		rate, err := rateOf(ctx, len(wallets), vciSlices*b.slice, func(ctx context.Context, n int) error {
			_, err := wallets[n].collect(ctx)
			return err
		})
		if err != nil {
			return err
		}
		rates, raws = append(rates, rate), append(raws, raw)
	}
	b.addBeside("vci.credential", median(rates), median(raws))
	return nil
}

// rateOf returns how often a second op is done, by workers that each begin it again until the time is over.
func rateOf(ctx context.Context, workers int, during time.Duration, op func(ctx context.Context, worker int) error) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	counts := make([]int, workers)
	start := time.Now()
	for w := range workers {
		g.Go(func() error {
			for {
				if err := op(ctx, w); err != nil {
					return err
				}
				counts[w]++
				if time.Since(start) >= during {
					return nil
				}
			}
		})
	}
	err := g.Wait()
	took, done := time.Since(start), 0
	for _, n := range counts {
		done += n
	}
	return float64(done) / took.Seconds(), err
}

// vciWallet is a wallet with an access token.
type vciWallet struct {
	http         *http.Client
	issuer       string
	signer       keys.Public // of the issuer's credentials
	holder, dpop *keys.Private
	serverNonce  string // of the last answer
	token        string
}

// newVCIWallets adds an organization and gives each wallet a token for its credentials.
func newVCIWallets(ctx context.Context, in *instance) ([]*vciWallet, error) {
	employer := importEmployers()[0]
	_, err := in.admin().AddOrg(ctx, orgRequest{
		Role: attestation.AcceptingOrganization, ID: employer, Name: map[string]string{"ja": "見本"}, From: attestation.DateOf(time.Now()),
	})
	if err != nil {
		return nil, err
	}
	wallets := make([]*vciWallet, vciWallets)
	for n := range wallets {
		made, err := in.admin().Offer(ctx, offerRequest{Org: employer, OfferRequest: issuer.OfferRequest{Type: vciConfiguration, Example: true, ByValue: true}})
		if err != nil {
			return nil, err
		}
		link, err := oid4vc.ParseOfferLink(made.Link)
		if err != nil {
			return nil, err
		}
		if wallets[n], err = newVCIWallet(ctx, in, link.Offer); err != nil {
			return nil, err
		}
	}
	return wallets, nil
}

func newVCIWallet(ctx context.Context, in *instance, offer *oid4vc.CredentialOffer) (w *vciWallet, err error) {
	w = &vciWallet{issuer: offer.CredentialIssuer}
	if w.http, err = in.cfg.client(); err != nil {
		return nil, err
	}
	if w.holder, err = keys.Generate(keys.ES256); err != nil {
		return nil, err
	}
	if w.dpop, err = keys.Generate(keys.ES256); err != nil {
		return nil, err
	}
	if err := w.findSigner(ctx); err != nil {
		return nil, err
	}
	if _, err := w.nonce(ctx); err != nil { // for the server's nonce that comes along
		return nil, err
	}
	form := url.Values{"grant_type": {oid4vc.GrantPreAuthorizedCode}, "pre-authorized_code": {offer.Grants.PreAuthorizedCode.Code}}
	proof, err := w.proof("/token")
	if err != nil {
		return nil, err
	}
	body, err := w.post(ctx, "/token", oid4vc.MediaTypeForm, []byte(form.Encode()), proof)
	if err != nil {
		return nil, err
	}
	var token oid4vc.TokenResponse
	err = json.Unmarshal(body, &token)
	w.token = token.AccessToken
	return w, err
}

// findSigner reads the key of the issuer's credentials where SD-JWT VC says (JWT VC Issuer Metadata).
func (w *vciWallet) findSigner(ctx context.Context) error {
	u, err := url.Parse(w.issuer)
	if err != nil {
		return err
	}
	u.Path = "/.well-known/jwt-vc-issuer" + u.Path
	body, _, err := w.send(ctx, http.MethodGet, u.String(), nil, http.Header{})
	if err != nil {
		return err
	}
	var metadata struct {
		JWKS struct {
			Keys []json.RawMessage `json:"keys"`
		} `json:"jwks"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || len(metadata.JWKS.Keys) == 0 {
		return errors.Join(err, errors.New("the issuer names no key"))
	}
	w.signer, err = keys.ParsePublic(metadata.JWKS.Keys[0])
	return err
}

// collected is what one exchange signed.
type collected struct{ dpop, proof, credential string }

// collect is one exchange.
func (w *vciWallet) collect(ctx context.Context) (c collected, err error) {
	nonce, err := w.nonce(ctx)
	if err != nil {
		return c, err
	}
	if c.proof, err = oid4vc.MakeKeyProof(w.holder, oid4vc.KeyProofOptions{Issuer: w.issuer, Nonce: nonce, Now: time.Now()}); err != nil {
		return c, err
	}
	request, err := json.Marshal(oid4vc.CredentialRequest{ConfigurationID: vciConfiguration, Proofs: &oid4vc.Proofs{Type: oid4vc.ProofTypeJWT, Values: []string{c.proof}}})
	if err != nil {
		return c, err
	}
	if c.dpop, err = w.proof("/credential"); err != nil {
		return c, err
	}
	body, err := w.post(ctx, "/credential", oid4vc.MediaTypeJSON, request, c.dpop)
	if err != nil {
		return c, err
	}
	resp, err := oid4vc.ParseCredentialResponse(http.StatusOK, body, 1)
	if err != nil {
		return c, err
	}
	if c.credential, err = resp.Credentials[0].Text(); err != nil {
		return c, err
	}
	u, err := sdjwt.Parse(c.credential)
	if err != nil {
		return c, err
	}
	verified, err := u.Verify(w.signer, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}, Now: time.Now()})
	if err == nil && !verified.Holder.Equal(w.holder.Public()) {
		err = errors.New("the credential is bound to another key")
	}
	return c, err
}

func (w *vciWallet) nonce(ctx context.Context) (string, error) {
	body, err := w.post(ctx, "/nonce", "", nil, "")
	if err != nil {
		return "", err
	}
	var answer oid4vc.NonceResponse
	err = json.Unmarshal(body, &answer)
	return answer.Nonce, err
}

func (w *vciWallet) proof(endpoint string) (string, error) {
	return oid4vc.MakeDPoP(w.dpop, oid4vc.DPoPOptions{Method: http.MethodPost, URL: w.issuer + endpoint, AccessToken: w.token, Nonce: w.serverNonce, Now: time.Now()})
}

// post sends a request to an endpoint of the issuer, with a DPoP proof unless it is "".
func (w *vciWallet) post(ctx context.Context, endpoint, mediaType string, body []byte, dpop string) ([]byte, error) {
	header := http.Header{}
	if mediaType != "" {
		header.Set("Content-Type", mediaType)
	}
	if dpop != "" {
		header.Set(oid4vc.HeaderDPoP, dpop)
	}
	if w.token != "" && dpop != "" {
		header.Set("Authorization", oid4vc.TokenDPoP+" "+w.token)
	}
	answer, got, err := w.send(ctx, http.MethodPost, w.issuer+endpoint, body, header)
	if nonce := got.Get(oid4vc.HeaderDPoPNonce); nonce != "" {
		w.serverNonce = nonce
	}
	return answer, err
}

func (w *vciWallet) send(ctx context.Context, method, target string, body []byte, header http.Header) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", req.URL.Path, resp.Status, answer)
	}
	return answer, resp.Header, err
}

// bareExchange makes one exchange and returns its signatures and verifications alone, over the octets that it had. Access tokens are no JWTs, and
// TLS connections are kept: there are no others.
//
//	wallet  signs the DPoP proof and the key proof, verifies the credential
//	issuer  verifies both proofs, signs the credential
func (w *vciWallet) bareExchange(ctx context.Context) (func() error, error) {
	c, err := w.collect(ctx)
	if err != nil {
		return nil, err
	}
	jwt, _, _ := strings.Cut(c.credential, "~")
	standIn, err := keys.Generate(keys.ES256) // the issuer's own key is not at hand, and any does the same work
	if err != nil {
		return nil, err
	}
	collector := &bareCollector{}
	var signs []func() error
	for _, t := range []struct {
		compact  string
		verifier keys.Public
		signer   *keys.Private
	}{{c.dpop, w.dpop.Public(), w.dpop}, {c.proof, w.holder.Public(), w.holder}, {jwt, w.signer, standIn}} {
		collector.jwt(t.compact, t.verifier)
		key, input := t.signer.Signer().(*ecdsa.PrivateKey), []byte(t.compact[:strings.LastIndexByte(t.compact, '.')])
		signs = append(signs, func() error {
			sum := sha256.Sum256(input)
			_, _, err := ecdsa.Sign(rand.Reader, key, sum[:])
			return err
		})
	}
	return func() error {
		for _, sign := range signs {
			if err := sign(); err != nil {
				return err
			}
		}
		return runBare(collector.checks)
	}, collector.err
}
