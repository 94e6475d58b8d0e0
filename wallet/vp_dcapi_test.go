package wallet_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/did"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/web"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

const pageOrigin = "https://desk.example"

// asDCAPI makes of the request one over the Digital Credentials API.
func (f *fakeVerifier) asDCAPI(mode string) oid4vc.PresentationRequest {
	r := f.request
	r.ResponseMode, r.ResponseURI, r.State, r.ClientID, r.ExpectedOrigins = mode, "", "", "", []string{pageOrigin}
	return r
}

// dcRequest writes the request in one of the protocols.
func (f *fakeVerifier) dcRequest(protocol, mode string) oid4vc.DCRequest {
	f.t.Helper()
	r, issued, expires := f.asDCAPI(mode), f.Clock.Now(), f.Clock.Now().Add(time.Minute)
	d := did.FromKeyJWK(f.signer.Public())
	signers := []oid4vc.DCSigner{
		{ClientID: oid4vc.PrefixDID + ":" + d, Key: f.signer, Header: keys.Header{"kid": oid4vc.DIDVerificationMethod(d)}},
		{ClientID: f.linkID, Key: f.signer, Header: f.header},
	}
	var out oid4vc.DCRequest
	var err error
	switch protocol {
	case oid4vc.ProtocolUnsigned:
		out, err = oid4vc.UnsignedDCRequest(r)
	case oid4vc.ProtocolSigned:
		out, err = oid4vc.SignedDCRequest(r, signers[1], issued, expires)
	default:
		out, err = oid4vc.MultisignedDCRequest(r, signers, issued, expires)
	}
	f.check(err)
	return out
}

// A request of a page is answered in every way, for that page's origin whoever signs. Of the two signatures the second is by a certificate that is known.
func TestCredentialRequest(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	for _, mode := range []string{oid4vc.ModeDCAPI, oid4vc.ModeDCAPIJWT} {
		for _, protocol := range []string{oid4vc.ProtocolUnsigned, oid4vc.ProtocolSigned, oid4vc.ProtocolMultisigned} {
			s.Clock.Set(s.Clock.Now().Add(time.Second))
			a, err := s.wallet.OpenCredentialRequest(ctx, pageOrigin, protocol, f.dcRequest(protocol, mode).Data)
			f.check(err)
			signed := protocol != oid4vc.ProtocolUnsigned
			if a.Host != "desk.example" || a.ClientID != "origin:"+pageOrigin || signed != a.Known {
				t.Errorf("%s: who asks: %+v", protocol, a)
			}
			if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{}); errors.Is(err, wallet.ErrUnknownVerifier) == signed {
				t.Errorf("%s: without trusting anybody: %v", protocol, err)
			}
			answer, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{TrustAny: true})
			f.check(err)
			data, receipt, err := s.wallet.Credential(ctx, a, answer)
			f.check(err)
			key := oid4vc.ResponseKey{}
			if mode == oid4vc.ModeDCAPIJWT {
				key = oid4vc.ResponseKey{Private: f.encrypt, KID: "e"}
			}
			got, err := oid4vc.ReadDCResponse(data, key)
			f.check(err)
			if _, paths := shownTo(t, s, got.Token["e"][0], "origin:"+pageOrigin, f.request.Nonce); len(paths) != 2 {
				t.Errorf("%s: disclosed: %v", protocol, paths)
			}
			log, err := s.wallet.Shown(ctx)
			f.check(err)
			if last := log[len(log)-1]; receipt.Outcome != wallet.OutcomeSent || last.ClientID != a.ClientID || len(last.Documents) != 1 {
				t.Errorf("log: %+v", last)
			}
			data, receipt, err = s.wallet.RefuseCredential(ctx, a)
			if err != nil || string(data) != `{"error":"access_denied"}` || receipt.Outcome != wallet.OutcomeRefused {
				t.Errorf("refusing: %s, %+v, %v", data, receipt, err)
			}
		}
	}
	if f.got != nil {
		t.Error("something was posted to the verifier")
	}
}

// Of several signatures one by a verifier's key on the trust list is taken, whatever others say.
func TestCredentialRequestOfListed(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	org := s.Orgs["authority"]
	relist(s, "authority", func(e *trustlist.Entity) { e.Roles = append(e.Roles[:1:1], attestation.Verifier) })
	var err error
	f.signer, err = keys.ParsePrivate(org.Signing)
	f.check(err)
	a, err := s.wallet.OpenCredentialRequest(ctx, pageOrigin, oid4vc.ProtocolMultisigned, f.dcRequest(oid4vc.ProtocolMultisigned, oid4vc.ModeDCAPI).Data)
	if err != nil || !a.Known || a.Entity != org.ID {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestCredentialRequestRefused(t *testing.T) {
	s := received(t)
	for name, c := range map[string]struct {
		spoil    func(f *fakeVerifier)
		origin   string
		protocol string
		want     error
	}{
		"signed for another origin":    {func(*fakeVerifier) {}, "https://evil.example", oid4vc.ProtocolSigned, oid4vc.ErrVPOrigin},
		"another port":                 {func(*fakeVerifier) {}, pageOrigin + ":8443", oid4vc.ProtocolSigned, oid4vc.ErrVPOrigin},
		"multisigned for another":      {func(*fakeVerifier) {}, "https://evil.example", oid4vc.ProtocolMultisigned, oid4vc.ErrVPOrigin},
		"no origin":                    {func(*fakeVerifier) {}, "", oid4vc.ProtocolUnsigned, oid4vc.ErrIdentifier},
		"a page without https":         {func(*fakeVerifier) {}, "http://desk.example", oid4vc.ProtocolUnsigned, oid4vc.ErrIdentifier},
		"an address for an origin":     {func(*fakeVerifier) {}, pageOrigin + "/", oid4vc.ProtocolUnsigned, oid4vc.ErrIdentifier},
		"another protocol's data":      {func(*fakeVerifier) {}, pageOrigin, "org-iso-mdoc", oid4vc.ErrVPProtocol},
		"signed by another":            {func(f *fakeVerifier) { f.signer = f.encrypt }, pageOrigin, oid4vc.ProtocolSigned, oid4vc.ErrVPRequestSignature},
		"all periods at once":          {func(f *fakeVerifier) { f.ask(dcql.Path{"slots"}) }, pageOrigin, oid4vc.ProtocolUnsigned, wallet.ErrWidePath},
		"transactions of unknown type": {func(f *fakeVerifier) { f.transact(`{"type":"t","credential_ids":["e"]}`) }, pageOrigin, oid4vc.ProtocolUnsigned, oid4vc.ErrVPTransactionData},
		"other formats": {func(f *fakeVerifier) {
			m := *f.request.Metadata
			m.Formats = map[string]json.RawMessage{"mso_mdoc": json.RawMessage("{}")}
			f.request.Metadata = &m
		}, pageOrigin, oid4vc.ProtocolUnsigned, oid4vc.ErrVPFormats},
	} {
		f := newFakeVerifier(t, s)
		c.spoil(f)
		protocol := c.protocol
		if protocol == "org-iso-mdoc" {
			protocol = oid4vc.ProtocolUnsigned
		}
		a, err := s.wallet.OpenCredentialRequest(ctx, c.origin, c.protocol, f.dcRequest(protocol, oid4vc.ModeDCAPI).Data)
		if !errors.Is(err, c.want) || a != nil {
			t.Errorf("%s: got %+v, %v; want %v", name, a, err, c.want)
		}
	}
}

// transact asks for agreement to a transaction.
func (f *fakeVerifier) transact(texts ...string) {
	f.request.TransactionData = nil
	for _, text := range texts {
		f.request.TransactionData = append(f.request.TransactionData, base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
}

const purpose = `{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"],"purpose":"Extension of stay","office":"Sample bureau"`

// What the holder agrees to is shown, and confirmed by one key binding.
func TestTransaction(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	two := *f.request.Query
	two.Credentials = append(two.Credentials[:1:1], two.Credentials[0])
	two.Credentials[1].ID = "f"
	f.request.Query = &two
	f.transact(purpose+`}`, strings.Replace(purpose, `["e"]`, `["f","e"]`, 1)+`,"transaction_data_hashes_alg":["sha-256"]}`)
	a, err := s.wallet.OpenRequest(ctx, f.link())
	f.check(err)
	if len(a.Transactions) != 2 || a.Transactions[0].Purpose != "Extension of stay" || a.Transactions[0].Office != "Sample bureau" || a.Transactions[0].Type != wallet.TransactionPurpose {
		t.Errorf("shown: %+v", a.Transactions)
	}
	answer, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{})
	f.check(err)
	if _, _, err := s.wallet.Send(ctx, a, answer); err != nil {
		t.Fatal(err)
	}
	confirmed := make(map[string][]int)
	for id, presented := range f.got.Token {
		u, err := sdjwt.Parse(presented[0])
		f.check(err)
		confirmed[id], err = oid4vc.ConfirmedTransactions(u.KeyBinding(), id, f.request.TransactionData)
		f.check(err)
	}
	// "e" comes first in the answer, and confirms both.
	if !maps.EqualFunc(confirmed, map[string][]int{"e": {0, 1}, "f": nil}, func(a, b []int) bool { return len(a) == len(b) }) {
		t.Errorf("got %v", confirmed)
	}
}

func TestTransactionRefused(t *testing.T) {
	s := received(t)
	for name, text := range map[string]string{
		"unknown type":     `{"type":"t","credential_ids":["e"]}`,
		"one unknown":      purpose + `}` + "\x00" + `{"type":"t","credential_ids":["e"]}`,
		"unknown member":   purpose + `,"amount":1}`,
		"purpose missing":  `{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"]}`,
		"purpose no text":  `{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"],"purpose":1}`,
		"purpose too long": `{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"],"purpose":"` + strings.Repeat("x", 2000) + `"}`,
		"a second line":    strings.Replace(purpose, "stay", `stay\nasked by: Sample bureau`, 1) + `}`,
		"terminal control": strings.Replace(purpose, "stay", `\u001b[2K`, 1) + `}`,
		"C1 control":       strings.Replace(purpose, "Sample", `\u009b2K`, 1) + `}`,
		"turned around":    strings.Replace(purpose, "Sample", `\u202eelpmaS`, 1) + `}`,
		"other hashes":     purpose + `,"transaction_data_hashes_alg":["sha-512"]}`,
		"not asked for":    strings.Replace(purpose, `["e"]`, `["z"]`, 1) + `}`,
		"for nothing":      strings.Replace(purpose, `["e"]`, `[]`, 1) + `}`,
	} {
		f := newFakeVerifier(t, s)
		f.transact(strings.Split(text, "\x00")...)
		_, err := s.wallet.OpenRequest(ctx, f.link())
		var rejection *wallet.Rejection
		if !errors.Is(err, oid4vc.ErrVPTransactionData) || !errors.As(err, &rejection) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// The credential that would confirm it is withheld.
	f := newFakeVerifier(t, s)
	q := *f.request.Query
	q.Credentials = append(q.Credentials[:1:1], dcql.Credential{ID: "x", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{"https://issuer.example/none"}}})
	q.Sets = []dcql.CredentialSet{{Options: [][]string{{"e"}}}, {Options: [][]string{{"x"}}, Required: dcql.Bool(false)}}
	f.request.Query = &q
	f.transact(strings.Replace(purpose, `["e"]`, `["x"]`, 1) + `}`)
	a, err := s.wallet.OpenRequest(ctx, f.link())
	f.check(err)
	if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{}); !errors.Is(err, oid4vc.ErrVPTransactionData) {
		t.Errorf("withheld: got %v", err)
	}
}

// A verifier who is known is told why there is no answer, if the holder wants that; nobody else is, and never at an address that is not shown to be the
// verifier's.
func TestReject(t *testing.T) {
	s := received(t)
	member := func(name string, value any) func(f *fakeVerifier) {
		return func(f *fakeVerifier) { f.members = map[string]any{name: value} }
	}
	for name, c := range map[string]struct {
		spoil func(f *fakeVerifier)
		code  string // "": nobody is told
	}{
		"other formats": {func(f *fakeVerifier) {
			m := *f.request.Metadata
			m.Formats = map[string]json.RawMessage{"mso_mdoc": json.RawMessage("{}")}
			f.request.Metadata = &m
		}, oid4vc.CodeVPFormatsNotSupported},
		"a query for other formats": {func(f *fakeVerifier) {
			f.request.Query = &dcql.Query{Credentials: []dcql.Credential{{ID: "m", Format: dcql.FormatMDoc, Meta: &dcql.Meta{DocType: "org.iso.18013.5.1.mDL"}}}}
		}, oid4vc.CodeVPFormatsNotSupported},
		"a redirect_uri":       {member("redirect_uri", "https://desk.example/"), oid4vc.CodeInvalidRequest},
		"a scope":              {member("scope", "x"), oid4vc.CodeInvalidScope},
		"no query":             {member("dcql_query", nil), oid4vc.CodeInvalidRequest},
		"another type":         {member("response_type", "code"), oid4vc.CodeUnsupportedResponseType},
		"a transaction":        {func(f *fakeVerifier) { f.transact(`{"type":"t","credential_ids":["e"]}`) }, oid4vc.CodeInvalidTransactionData},
		"all periods":          {func(f *fakeVerifier) { f.ask(dcql.Path{"slots"}) }, oid4vc.CodeInvalidRequest},
		"no key to encrypt to": {func(f *fakeVerifier) { m := *f.request.Metadata; m.JWKS = nil; f.request.Metadata = &m }, oid4vc.CodeInvalidRequest},
		"what is not held":     {func(f *fakeVerifier) { f.ask(dcql.Path{"no", "such"}) }, oid4vc.CodeAccessDenied},
		"a stranger": {func(f *fakeVerifier) {
			f.ask(dcql.Path{"slots"})
			s.wallet.VerifierRoots = nil
		}, ""},
		"another host": {func(f *fakeVerifier) {
			f.request.ResponseURI = "https://elsewhere.example/answer"
			f.members = map[string]any{"scope": "x"}
		}, ""},
		"no https": {func(f *fakeVerifier) { f.request.ResponseURI = "http://desk.example/answer" }, ""},
		"expired":  {func(f *fakeVerifier) { f.issued = -time.Hour; f.members = map[string]any{"scope": "x"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeVerifier(t, s)
			c.spoil(f)
			a, err := s.wallet.OpenRequest(ctx, f.link())
			if err == nil {
				_, err = s.wallet.Answer(ctx, a, wallet.AnswerOptions{})
			}
			var rejection *wallet.Rejection
			if told := errors.As(err, &rejection); told != (c.code != "") || err == nil {
				t.Fatalf("got %v", err)
			}
			if c.code == "" {
				return
			}
			receipt, _, err := s.wallet.Reject(ctx, rejection)
			f.check(err)
			if receipt.Outcome != wallet.OutcomeRefused || f.got == nil || f.got.Error == nil || f.got.Error.Code != c.code || f.got.Token != nil {
				t.Errorf("got %+v, the verifier %+v", receipt, f.got)
			}
		})
	}
	f := newFakeVerifier(t, s)
	s.wallet.VerifierRoots = nil
	a, err := s.wallet.OpenRequest(ctx, f.link())
	f.check(err)
	if _, _, err := s.wallet.Refuse(ctx, a); !errors.Is(err, wallet.ErrUnknownVerifier) || f.got != nil {
		t.Errorf("refusing a stranger: %v, who got %+v", err, f.got)
	}
	link, err := (&oid4vc.PresentationRequest{ResponseType: oid4vc.ResponseTypeVPToken, ResponseMode: oid4vc.ModeDirectPostJWT, ClientID: "redirect_uri:" + f.request.ResponseURI,
		ResponseURI: f.request.ResponseURI, Nonce: "n", Query: f.request.Query, Metadata: f.request.Metadata}).PlainLink(oid4vc.SchemePresentation)
	f.check(err)
	a, err = s.wallet.OpenRequest(ctx, link)
	f.check(err)
	if _, _, err := s.wallet.Refuse(ctx, a); !errors.Is(err, wallet.ErrUnknownVerifier) || f.got != nil {
		t.Errorf("refusing an unsigned request: %v", err)
	}
}

// A request object in the link itself, signed, and one that is fetched unsigned from a verifier who cannot sign.
func TestOpenRequestByValue(t *testing.T) {
	s := received(t)
	f := newFakeVerifier(t, s)
	f.request.ResponseURI = "https://desk.example/answer" // a host of the certificate: nothing was fetched
	l := oid4vc.RequestLink{ClientID: f.linkID, Object: f.sign(f.request)}
	link, err := l.Link(oid4vc.SchemePresentation)
	f.check(err)
	if a, err := s.wallet.OpenRequest(ctx, link); err != nil || !a.Known {
		t.Errorf("by value: %+v, %v", a, err)
	}
	f.request.ResponseURI = f.srv.URL + "/answer"
	l.Object = f.sign(f.request)
	link, err = l.Link(oid4vc.SchemePresentation)
	f.check(err)
	if _, err := s.wallet.OpenRequest(ctx, link); !errors.Is(err, wallet.ErrElsewhere) {
		t.Errorf("by value, to another host: %v", err)
	}

	f = newFakeVerifier(t, s)
	f.linkID = "redirect_uri:" + f.request.ResponseURI
	f.request.ClientID, f.unsigned = f.linkID, true
	if a, err := s.wallet.OpenRequest(ctx, f.link()); err != nil || a.Known || len(a.Names) != 0 {
		t.Errorf("unsigned: %+v, %v", a, err)
	}
	f.unsigned = false
	if _, err := s.wallet.OpenRequest(ctx, f.link()); !errors.Is(err, oid4vc.ErrVPSigned) {
		t.Errorf("signed, but by whom: %v", err)
	}
}

// While a credential is shown nobody but the verifier is asked: not the issuer's status list, type metadata or keys. The issuer would learn where and
// when its credentials are used.
func TestPresentingAsksNoIssuer(t *testing.T) {
	o := newOnline(t)
	if _, got, err := o.collect(o.fake.link(true)); err != nil || len(got.Credentials) == 0 {
		t.Fatal(err)
	}
	f := newFakeVerifier(t, o.setup)
	pool := x509.NewCertPool()
	pool.AddCert(f.srv.Certificate())
	pool.AddCert(o.fake.srv.Certificate())
	o.wallet.Web = web.NewFetcher(web.FetchOptions{RootCAs: pool, DangerouslyAllowLoopback: true, Now: o.Clock.Now})
	f.request.Query = &dcql.Query{Credentials: []dcql.Credential{{ID: "e", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{o.fake.vct()}}, Claims: []dcql.Claim{{Path: dcql.Path{"name"}}}}}}
	o.fake.mu.Lock()
	clear(o.fake.asked)
	o.fake.mu.Unlock()
	for _, f.post = range []bool{false, true} {
		a, err := o.wallet.OpenRequest(ctx, f.link())
		f.check(err)
		answer, err := o.wallet.Answer(ctx, a, wallet.AnswerOptions{})
		f.check(err)
		if r, _, err := o.wallet.Send(ctx, a, answer); err != nil || r.Outcome != wallet.OutcomeAccepted {
			t.Fatalf("got %+v, %v", r, err)
		}
		o.Clock.Set(o.Clock.Now().Add(time.Second))
	}
	o.fake.mu.Lock()
	defer o.fake.mu.Unlock()
	if len(o.fake.asked) != 0 {
		t.Errorf("the issuer was asked: %v", o.fake.asked)
	}
	if f.requests != 4 || f.agents != nil {
		t.Errorf("%d requests at the verifier, which learned that the wallet is %v", f.requests, f.agents)
	}
}

// Credentials that are signed in a way that the verifier does not read are not shown.
func TestIssuerAlgorithms(t *testing.T) {
	s := received(t)
	for algs, want := range map[string]error{`["ES256"]`: nil, `["ES384","ES256"]`: nil, `["ES384"]`: wallet.ErrCannotAnswer} {
		f := newFakeVerifier(t, s)
		m := *f.request.Metadata
		m.Formats = map[string]json.RawMessage{"dc+sd-jwt": json.RawMessage(`{"sd-jwt_alg_values":` + algs + `}`)}
		f.request.Metadata = &m
		a, err := s.wallet.OpenRequest(ctx, f.link())
		f.check(err)
		if _, err := s.wallet.Answer(ctx, a, wallet.AnswerOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", algs, err, want)
		}
	}
}
