package wallet_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/issuer/issuertest"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// TestOfferWithoutGrants: the metadata of the servers decide (OpenID4VCI 1.0, Section 4.1.1). Without a code in hand there is one way.
func TestOfferWithoutGrants(t *testing.T) {
	const code, pre, refresh = oid4vc.GrantAuthorizationCode, oid4vc.GrantPreAuthorizedCode, oid4vc.GrantRefreshToken
	for _, c := range []struct {
		name   string
		grants *oid4vc.OfferGrants
		own    []string // grants of the issuer's own server
		other  []string // of another one, which stands first; nil for no such
		server string   // that is used
		want   error
	}{
		{"both grants", nil, []string{pre, code}, nil, "/o/1", nil},
		{"empty grants", &oid4vc.OfferGrants{}, []string{code}, nil, "/o/1", nil},
		{"a server that lists no grants", nil, []string{}, nil, "/o/1", nil},
		{"pre-authorized codes alone", nil, []string{pre}, nil, "", wallet.ErrUnusable},
		{"two servers, the second has it", nil, []string{code}, []string{pre, refresh}, "/o/1", nil},
		{"two servers, the first has it", nil, []string{pre}, []string{code}, "/as", nil},
		{"two servers, none has it", nil, []string{pre}, []string{pre}, "", wallet.ErrUnusable},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			o.fake.server = func(m *oid4vc.ServerMetadata) { m.GrantTypesSupported = c.own }
			if c.other != nil {
				second := o.fake.srv.URL + "/as"
				o.fake.issuer = func(m *oid4vc.IssuerMetadata) { m.AuthorizationServers = []string{second, o.fake.id()} }
				o.fake.handle["/.well-known/oauth-authorization-server/as"] = func(w http.ResponseWriter, _ *http.Request) {
					m := o.fake.serverMetadata()
					m.Issuer, m.GrantTypesSupported = second, c.other
					web.WriteJSON(w, http.StatusOK, m)
				}
				if c.server == "/as" { // what it sends back names itself
					o.fake.redirect = func(v url.Values) { v.Set("iss", second) }
				}
			}
			offer := o.fake.offer(true)
			offer.Grants = c.grants
			link, err := offer.Link(oid4vc.SchemeOffer)
			check(t, err)
			opened, got, err := o.collect(link)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want != nil {
				return
			}
			if opened.Grant != code || opened.TxCode != nil || len(got.Credentials) != 3 || o.fake.pushed.Has("issuer_state") {
				t.Errorf("offer %+v, got %+v, pushed %v", opened, got, o.fake.pushed)
			}
		})
	}
}

// provider is a wallet provider with a certificate.
type provider struct {
	key    *keys.Private
	root   *root
	header keys.Header
}

func newProvider(t testing.TB, now time.Time) *provider {
	p := &provider{key: issuertest.Key(t), root: newRoot(t, now)}
	leaf := p.root.sign(t, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now, NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature}, p.key)
	p.header = keys.Header{"x5c": keys.FormatChain(leaf)}
	return p
}

// client lets the provider attest instances and keys.
func (p *provider) client(now func() time.Time) wallet.Client {
	return wallet.Client{
		Attest: func(_ context.Context, instance keys.Public) (string, error) {
			return oid4vc.MakeClientAttestation(p.key, p.header, oid4vc.ClientAttestationOptions{ClientID: wallet.DefaultClientID, Key: instance, Issued: now(), Expires: now().Add(time.Hour)})
		},
		AttestKeys: func(_ context.Context, bound []keys.Public, nonce string) (string, error) {
			return oid4vc.MakeKeyAttestation(p.key, p.header, oid4vc.KeyAttestationOptions{Keys: bound, Nonce: nonce, Issued: now(), Expires: now().Add(time.Hour)})
		},
	}
}

// byCertificate finds the provider's key as one who knows its root alone.
func (p *provider) byCertificate(h keys.UnverifiedHeader, now time.Time) (keys.Public, error) {
	key, _, err := keys.VerifyChain(h.X5C, []*x509.Certificate{p.root.cert}, now)
	return key, err
}

// met is what a server learns of a client.
type met struct {
	subject          string
	instance, tokens string // thumbprints of the attested key, and of that of DPoP
	proofs           []string
	attestation      string
}

// attested lets the fake issuer ask for attestations of wallet and keys by certificate, and keeps what it learns.
func (f *fakeIssuer) attested(t testing.TB, p *provider) *met {
	m := new(met)
	f.server = func(s *oid4vc.ServerMetadata) {
		s.TokenAuthMethodsSupported, s.AttestationAlgsSupported, s.AttestationPoPAlgsSupported = []string{oid4vc.AuthAttestation}, []string{"ES256"}, []string{"ES256"}
	}
	f.issuer = func(i *oid4vc.IssuerMetadata) {
		i.Configurations["card"].ProofTypes["jwt"] = oid4vc.ProofTypeConfig{SigningAlgs: []string{"ES256"}, KeyAttestations: &oid4vc.KeyAttestationsRequired{}}
	}
	f.attesterKey = func(h keys.UnverifiedHeader) (keys.Public, error) { return p.byCertificate(h, f.clock()) }
	f.handle["/o/1/token"] = func(w http.ResponseWriter, r *http.Request) {
		check(t, r.ParseForm())
		a, err := oid4vc.CheckClientAttestation(r.Header, oid4vc.ExpectClientAttestation{Issuer: f.id(), ClientID: r.PostForm.Get("client_id"), Algs: []keys.Alg{keys.ES256}, Now: f.clock(),
			AttesterKey: func(h keys.UnverifiedHeader, _ string) (keys.Public, error) { return p.byCertificate(h, f.clock()) }})
		if err != nil {
			f.refuse(w, r, err, false)
			return
		}
		m.subject, m.instance, m.attestation = a.ClientID, a.Key.Thumbprint(), r.Header.Get(oid4vc.HeaderClientAttestation)
		r2 := r.Clone(r.Context())
		r2.Body = readCloser(r.PostForm.Encode())
		f.serveToken(w, r2)
	}
	return m
}

// learned completes what a server learned.
func (f *fakeIssuer) learned(m *met) *met {
	m.tokens = f.bound
	for _, k := range f.keys {
		m.proofs = append(m.proofs, k.Thumbprint())
	}
	return m
}

// TestAttestedByCertificate: the provider's certificate goes along with both kinds of attestation; one from another authority is refused.
func TestAttestedByCertificate(t *testing.T) {
	o := newOnline(t)
	p, stranger := newProvider(t, o.Clock.Now()), newProvider(t, o.Clock.Now())
	m := o.fake.attested(t, p)
	o.wallet.Client = p.client(o.Clock.Now)
	if _, got, err := o.collect(o.fake.link(true)); err != nil || len(got.Credentials) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	header, err := keys.PeekHeader(m.attestation)
	check(t, err)
	if chain, err := header.Chain(); err != nil || len(chain) != 1 || chain[0].IsCA || chain[0].CheckSignatureFrom(p.root.cert) != nil {
		t.Errorf("x5c of the attestation: %v, %v", chain, err)
	}
	o.fake.bound = ""
	o.wallet.Client.Attest = stranger.client(o.Clock.Now).Attest
	if _, _, err := o.collect(o.fake.link(true)); err == nil {
		t.Error("a wallet attestation of another authority was taken")
	}
	o.fake.bound = ""
	o.wallet.Client = p.client(o.Clock.Now)
	o.wallet.Client.AttestKeys = stranger.client(o.Clock.Now).AttestKeys
	if _, _, err := o.collect(o.fake.link(true)); err == nil {
		t.Error("a key attestation of another authority was taken")
	}
}

// TestIssuersCannotLink: two issuers that put together what they learn cannot tell that they met the same wallet. What is the same at both is
// the same for every wallet (HAIP 1.0, Section 4.4.1).
func TestIssuersCannotLink(t *testing.T) {
	first := newOnline(t)
	p := newProvider(t, first.Clock.Now())
	second := newFakeIssuer(t, first.Clock.Now)
	first.Entities = append(first.Entities, &trustlist.Entity{ID: "3990000000006", Name: map[string]string{"en": "Another school"}, Roles: first.Entities[0].Roles, Issuer: second.id(),
		From: first.Entities[0].From, Keys: []json.RawMessage{second.key.Public().JWK()}})
	first.Publish()
	pool := x509.NewCertPool()
	pool.AddCert(first.fake.srv.Certificate())
	pool.AddCert(second.srv.Certificate())
	meet := func(w *wallet.Wallet, f *fakeIssuer) *met {
		t.Helper()
		w.Web = web.NewFetcher(web.FetchOptions{RootCAs: pool, DangerouslyAllowLoopback: true, Now: first.Clock.Now})
		w.Client = p.client(first.Clock.Now)
		m := f.attested(t, p)
		f.bound = ""
		offer, err := w.OpenOffer(ctx, f.link(true))
		check(t, err)
		if got, err := w.Collect(ctx, offer, wallet.CollectOptions{TxCode: "1234"}); err != nil || len(got.Credentials) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		return f.learned(m)
	}
	a, b := meet(first.wallet, first.fake), meet(first.wallet, second)
	again := meet(first.wallet, first.fake)
	stranger := meet(first.newWallet(store.NewMemory()), first.fake)

	if a.subject != wallet.DefaultClientID || b.subject != a.subject || stranger.subject != a.subject {
		t.Errorf("subjects %q, %q, of another wallet %q: want one for all", a.subject, b.subject, stranger.subject)
	}
	if again.instance != a.instance {
		t.Error("one issuer meets another instance of the same wallet")
	}
	seen := map[string]string{}
	for name, m := range map[string]*met{"the first issuer": a, "the second issuer": b, "another wallet": stranger} {
		for _, key := range append([]string{m.instance, m.tokens}, m.proofs...) {
			if key == "" {
				t.Fatalf("%s learned no key", name)
			}
			if other, ok := seen[key]; ok {
				t.Errorf("%s meets a key that %s has met", name, other)
			}
			seen[key] = name
		}
	}
	if len(seen) != 3*5 {
		t.Errorf("%d keys, want 5 at each", len(seen))
	}
}
