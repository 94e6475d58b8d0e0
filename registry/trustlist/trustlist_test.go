package trustlist

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/registry"
)

var (
	issued = time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC)
	during = time.Date(2026, 5, 25, 9, 0, 0, 0, time.UTC)
)

func newKey(t testing.TB, alg keys.Alg) *keys.Private {
	t.Helper()
	k, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// parties is a trust anchor with an employer and a bank.
type parties struct {
	anchor, employerKey, employerSubmission, bankKey *keys.Private
	ca                                               *authority
	employer, bank                                   *Entity
	extra                                            []*Entity
}

func (p *parties) entities() []*Entity {
	var es []*Entity
	for _, e := range append([]*Entity{p.employer, p.bank}, p.extra...) {
		if e != nil {
			es = append(es, e)
		}
	}
	return es
}

func jwks(ks ...*keys.Private) []json.RawMessage {
	var out []json.RawMessage
	for _, k := range ks {
		out = append(out, k.Public().JWK())
	}
	return out
}

func date(year int, month time.Month, day int) attestation.Date {
	return attestation.NewDate(year, month, day)
}

func newParties(t testing.TB) *parties {
	p := &parties{
		anchor: newKey(t, keys.EdDSA), employerKey: newKey(t, keys.ES256), employerSubmission: newKey(t, keys.ES256), bankKey: newKey(t, keys.EdDSA),
		ca: newAuthority(t, "bank CA"),
	}
	p.employer = &Entity{
		ID: "8990000000001", Name: map[string]string{"ja": "株式会社ミホンA", "en": "Mihon A"}, Roles: []attestation.Role{attestation.AcceptingOrganization},
		Issuer: "https://a.example", Types: []attestation.Type{attestation.TypeEngagement, attestation.TypeWagePayment},
		From: date(2025, 10, 1), Keys: jwks(p.employerKey), SubmissionKeys: jwks(p.employerSubmission),
	}
	p.bank = &Entity{
		ID: "5990000000004", Name: map[string]string{"en": "Bank"}, Roles: []attestation.Role{attestation.Bank},
		Issuer: "https://bank.example/issuer", Types: []attestation.Type{attestation.TypeWageReceipt},
		From: date(2025, 10, 1), Until: date(2027, 3, 31), Group: "mihon", Keys: jwks(p.bankKey), Roots: []registry.Bytes{p.ca.cert.Raw},
	}
	return p
}

func (p *parties) list(t testing.TB, n uint64) *List {
	t.Helper()
	jwt, err := Sign(p.anchor, n, issued.AddDate(0, 0, int(n)), p.entities())
	if err != nil {
		t.Fatal(err)
	}
	l, err := Verify(jwt, p.anchor.Public())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// authority is a certification authority, or an intermediate one.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t testing.TB, name string) *authority {
	a := &authority{t: t, key: newECKey(t)}
	a.cert = a.sign(caTemplate(name), &a.key.PublicKey)
	return a
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: issued.AddDate(-1, 0, 0), NotAfter: issued.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

func leafTemplate() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: issued, NotAfter: issued.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// sign makes a certificate; without a certificate of its own the authority signs itself.
func (a *authority) sign(template *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func x5c(certs ...*x509.Certificate) []string {
	var out []string
	for _, c := range certs {
		out = append(out, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return out
}

func TestSignAndVerify(t *testing.T) {
	p := newParties(t)
	l := p.list(t, 3)
	if l.N != 3 || !l.IssuedAt.Equal(issued.AddDate(0, 0, 3)) || len(l.Entities) != 2 || l.JWT == "" {
		t.Errorf("got %+v", l)
	}
	e, ok := l.EntityByID("5990000000004")
	if !ok || e.Until != date(2027, 3, 31) || e.Name["en"] != "Bank" {
		t.Errorf("EntityByID: got %+v", e)
	}
	if e, k, ok := l.EntityByKey(p.bankKey.Public().Thumbprint()); !ok || e.ID != p.bank.ID || !k.Equal(p.bankKey.Public()) {
		t.Errorf("EntityByKey: got %+v", e)
	}
	if e, k, ok := l.EntityBySubmissionKey(p.employerSubmission.Public().Thumbprint()); !ok || e.ID != p.employer.ID || !k.Equal(p.employerSubmission.Public()) {
		t.Errorf("EntityBySubmissionKey: got %+v", e)
	}
	// One purpose each.
	if _, _, ok := l.EntityByKey(p.employerSubmission.Public().Thumbprint()); ok {
		t.Error("a submission key signs attestations")
	}
	if _, _, ok := l.EntityBySubmissionKey(p.employerKey.Public().Thumbprint()); ok {
		t.Error("a signing key submits")
	}
	if got := l.Entry(); got.N != 3 || got.Hash != registry.HashOf([]byte(l.JWT)) {
		t.Errorf("Entry: got %+v", got)
	}
}

func TestVerifyRefusesTheJWT(t *testing.T) {
	p := newParties(t)
	good := p.list(t, 1).JWT
	payload, err := keys.UnverifiedPayload(good)
	if err != nil {
		t.Fatal(err)
	}
	resign := func(k *keys.Private, typ string, body []byte) string {
		jwt, err := k.Sign(keys.Header{"typ": typ}, body)
		if err != nil {
			t.Fatal(err)
		}
		return jwt
	}
	for name, jwt := range map[string]string{
		"empty":            "",
		"another key":      resign(newKey(t, keys.EdDSA), Typ, payload),
		"an entity's key":  resign(p.employerKey, Typ, payload),
		"another typ":      resign(p.anchor, "akashi-submission+jwt", payload),
		"cut":              good[:len(good)-3],
		"not a list":       resign(p.anchor, Typ, []byte(`[]`)),
		"duplicate member": resign(p.anchor, Typ, []byte(strings.Replace(string(payload), `{"n":1`, `{"n":1,"n":1`, 1))),
	} {
		if l, err := Verify(jwt, p.anchor.Public()); !errors.Is(err, ErrList) || l != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Verify(good, keys.Public{}); !errors.Is(err, ErrList) {
		t.Errorf("without an anchor: got %v", err)
	}
}

// TestListRules starts from a good list and breaks one rule per row; neither Sign nor the parser lets it pass.
func TestListRules(t *testing.T) {
	leaf := func(p *parties) []byte { return p.ca.sign(leafTemplate(), &newECKey(t).PublicKey).Raw }
	for _, c := range []struct {
		name  string
		spoil func(p *parties)
		want  string
	}{
		{"id missing", func(p *parties) { p.bank.ID = "" }, "id:"},
		{"id with a wrong check digit", func(p *parties) { p.bank.ID = "5990000000005" }, "id:"},
		{"id of a role", func(p *parties) { p.bank.ID = "bank" }, "id:"},
		{"id twice", func(p *parties) { p.bank.ID = p.employer.ID }, "id stands twice"},
		{"no name", func(p *parties) { p.bank.Name = map[string]string{"vi": "x"} }, "name needs"},
		{"no role", func(p *parties) { p.bank.Roles = nil }, "no role"},
		{"unknown role", func(p *parties) { p.bank.Roles = []attestation.Role{"banker"} }, "unknown role"},
		{"worker", func(p *parties) { p.bank.Roles = []attestation.Role{attestation.Worker} }, "workers are not listed"},
		{"role twice", func(p *parties) { p.bank.Roles = append(p.bank.Roles, attestation.Bank) }, "role stands twice"},
		{"no issuer", func(p *parties) { p.bank.Issuer = "" }, "no issuer"},
		{"issuer over http", func(p *parties) { p.bank.Issuer = "http://bank.example" }, "https"},
		{"issuer with query", func(p *parties) { p.bank.Issuer = "https://bank.example?x" }, "without query"},
		{"issuer with fragment", func(p *parties) { p.bank.Issuer = "https://bank.example#" }, "without query"},
		{"issuer with user", func(p *parties) { p.bank.Issuer = "https://a@bank.example" }, "without query"},
		{"issuer without host", func(p *parties) { p.bank.Issuer = "https:///x" }, "without query"},
		{"issuer twice", func(p *parties) { p.bank.Issuer = p.employer.Issuer }, "issuer stands twice"},
		{"unknown type", func(p *parties) { p.bank.Types = []attestation.Type{"wage"} }, "not one that an organization attests"},
		{"worker's type", func(p *parties) { p.bank.Types = []attestation.Type{attestation.TypeWorkerStatement} }, "not one that an organization attests"},
		{"type twice", func(p *parties) { p.bank.Types = append(p.bank.Types, attestation.TypeWageReceipt) }, "type stands twice"},
		{"no from", func(p *parties) { p.bank.From = attestation.Date{} }, "from is missing"},
		{"until before from", func(p *parties) { p.bank.Until = date(2025, 9, 30) }, "until lies before"},
		{"bad key", func(p *parties) { p.bank.Keys = []json.RawMessage{json.RawMessage(`{"kty":"EC"}`)} }, "key"},
		{"key of another entity", func(p *parties) { p.bank.Keys = jwks(p.employerKey) }, "key stands twice"},
		{"key for two purposes", func(p *parties) { p.bank.SubmissionKeys = jwks(p.bankKey) }, "key stands twice"},
		{"submission key of another entity", func(p *parties) { p.bank.SubmissionKeys = jwks(p.employerSubmission) }, "key stands twice"},
		{"the anchor's key", func(p *parties) { p.bank.Keys = jwks(p.anchor) }, "trust anchor's key"},
		{"the anchor's key for submissions", func(p *parties) { p.bank.SubmissionKeys = jwks(p.anchor) }, "trust anchor's key"},
		{"root not a certificate", func(p *parties) { p.bank.Roots = []registry.Bytes{[]byte("x")} }, "not a certificate"},
		{"root not an authority", func(p *parties) { p.bank.Roots = []registry.Bytes{leaf(p)} }, "not a certification authority"},
		{"root of two", func(p *parties) { p.employer.Roots = p.bank.Roots }, "root stands twice"},
		{"kid not a thumbprint", func(p *parties) { p.bank.Compromised = []Compromise{{"key-1", during}} }, "not a thumbprint"},
		{"compromise without a time", func(p *parties) { p.bank.Compromised = []Compromise{{p.bankKey.Public().Thumbprint(), time.Time{}}} }, "since is missing"},
		{"compromised twice", func(p *parties) {
			m := Compromise{p.bankKey.Public().Thumbprint(), during}
			p.bank.Compromised = []Compromise{m, m}
		}, "compromised twice"},
	} {
		p := newParties(t)
		c.spoil(p)
		if _, err := Sign(p.anchor, 1, issued, p.entities()); !errors.Is(err, ErrList) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Sign: got %v, want %q", c.name, err, c.want)
		}
		body, err := json.Marshal(payload{N: 1, IssuedAt: issued.Unix(), Entities: p.entities()})
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := p.anchor.Sign(keys.Header{"typ": Typ}, body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(jwt, p.anchor.Public()); !errors.Is(err, ErrList) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Verify: got %v, want %q", c.name, err, c.want)
		}
	}
	p := newParties(t)
	if _, err := Sign(p.anchor, 0, issued, p.entities()); !errors.Is(err, ErrList) {
		t.Errorf("n = 0: got %v", err)
	}
	if _, err := Sign(p.anchor, 1, time.Unix(0, 0), p.entities()); !errors.Is(err, ErrList) {
		t.Errorf("no iat: got %v", err)
	}
	if _, err := Sign(p.anchor, 1, issued, []*Entity{nil}); !errors.Is(err, ErrList) {
		t.Errorf("null entity: got %v", err)
	}
	for _, body := range []string{`{"n":1,"iat":5,"entities":[],"x":1}`, `{"n":1,"iat":5,"entities":[{"compromized":[]}]}`, `{"n":-1,"iat":5}`, `{"n":1,"iat":5}x`} {
		if _, err := NewReader(keys.Public{}).parse([]byte(body)); !errors.Is(err, ErrList) {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestLocalIssuersAndRelays(t *testing.T) {
	p := newParties(t)
	p.employer.Issuer, p.bank.Issuer = "http://127.0.0.1:8080/a", "http://localhost:8080/b"
	p.list(t, 1)
	// A support service may relay submissions without attesting anything.
	p.bank.Issuer, p.bank.Types, p.bank.Keys, p.bank.Roots = "", nil, nil, nil
	p.bank.SubmissionKeys = jwks(p.bankKey)
	p.list(t, 1)
}

// TestVerifiersNeedNoIssuer lists an office that attests nothing and signs requests and evidence files.
func TestVerifiersNeedNoIssuer(t *testing.T) {
	p := newParties(t)
	p.bank.Roles, p.bank.Issuer, p.bank.Types = []attestation.Role{attestation.Verifier}, "", nil
	l := p.list(t, 1)
	if e, _, ok := l.EntityByKey(p.bankKey.Public().Thumbprint()); !ok || !e.HasRole(attestation.Verifier) {
		t.Errorf("got %+v, want the verifier", e)
	}
	p.bank.Types = []attestation.Type{attestation.TypeWageReceipt}
	if _, err := Sign(p.anchor, 1, issued, []*Entity{p.bank}); err == nil {
		t.Error("a verifier without an issuer was given a type to attest")
	}
}

func TestMayAttest(t *testing.T) {
	p := newParties(t)
	bank, employer := p.bank, p.employer
	for _, c := range []struct {
		name string
		e    *Entity
		typ  attestation.Type
		role attestation.Role
		date attestation.Date
		ok   bool
	}{
		{"good", bank, attestation.TypeWageReceipt, attestation.Bank, date(2026, 5, 25), true},
		{"first day", bank, attestation.TypeWageReceipt, attestation.Bank, date(2025, 10, 1), true},
		{"last day", bank, attestation.TypeWageReceipt, attestation.Bank, date(2027, 3, 31), true},
		{"no end", employer, attestation.TypeWagePayment, attestation.AcceptingOrganization, date(2050, 1, 1), true},
		{"day before", bank, attestation.TypeWageReceipt, attestation.Bank, date(2025, 9, 30), false},
		{"day after", bank, attestation.TypeWageReceipt, attestation.Bank, date(2027, 4, 1), false},
		{"no day", bank, attestation.TypeWageReceipt, attestation.Bank, attestation.Date{}, false},
		{"another type", bank, attestation.TypeWagePayment, attestation.Bank, date(2026, 5, 25), false},
		{"another role", bank, attestation.TypeWageReceipt, attestation.AcceptingOrganization, date(2026, 5, 25), false},
		{"type of another's role", employer, attestation.TypeWageReceipt, attestation.Bank, date(2026, 5, 25), false},
	} {
		err := c.e.MayAttest(c.typ, c.role, c.date)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNotAccredited) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestTied(t *testing.T) {
	p := newParties(t)
	if p.bank.Tied(p.employer) || !p.bank.Tied(p.bank) {
		t.Error("without a common group only an entity and itself are tied")
	}
	p.employer.Group = p.bank.Group
	if !p.bank.Tied(p.employer) {
		t.Error("one group, not tied")
	}
	p.employer.Group, p.bank.Group = "", ""
	if p.bank.Tied(p.employer) {
		t.Error("no group at all ties")
	}
}

func TestEntityForHeader(t *testing.T) {
	p := newParties(t)
	l := p.list(t, 1)
	chained := newECKey(t) // listed nowhere, certified by the bank's root
	chainedKey, err := keys.PublicFrom(&chained.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	middle := &authority{t: t, key: newECKey(t)}
	middle.cert = p.ca.sign(caTemplate("middle"), &middle.key.PublicKey)
	stranger := newAuthority(t, "bank CA")
	leaf := p.ca.sign(leafTemplate(), &chained.PublicKey)
	below := middle.sign(leafTemplate(), &chained.PublicKey)
	short := caTemplate("short")
	short.NotAfter = during.AddDate(0, -1, 0)
	shortLived := &authority{t: t, key: newECKey(t)}
	shortLived.cert = p.ca.sign(short, &shortLived.key.PublicKey)
	notForSigning := leafTemplate()
	notForSigning.KeyUsage = x509.KeyUsageKeyEncipherment
	bankPublic := p.bankKey.Public().Crypto().(ed25519.PublicKey)
	listedLeaf := stranger.sign(leafTemplate(), bankPublic)
	kid := func(k keys.Public) keys.UnverifiedHeader { return keys.UnverifiedHeader{Kid: k.Thumbprint()} }
	chain := func(certs ...*x509.Certificate) keys.UnverifiedHeader {
		return keys.UnverifiedHeader{X5C: x5c(certs...)}
	}
	loose := x5c(leaf)[0]
	var tooMany []*x509.Certificate
	for range 9 { // one more than keys.ParseChain reads
		tooMany = append(tooMany, leaf)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header keys.UnverifiedHeader
		at     time.Time
		want   string // entity id, "" for refusal
		key    keys.Public
	}{
		{"kid", kid(p.employerKey.Public()), during, p.employer.ID, p.employerKey.Public()},
		{"kid of a submission key", kid(p.employerSubmission.Public()), during, "", keys.Public{}},
		{"unknown kid", kid(chainedKey), during, "", keys.Public{}},
		{"nothing", keys.UnverifiedHeader{}, during, "", keys.Public{}},
		{"embedded key only", keys.UnverifiedHeader{JWK: chainedKey.JWK()}, during, "", keys.Public{}},
		{"leaf with a listed key", chain(listedLeaf), during, p.bank.ID, p.bankKey.Public()},
		{"leaf with a listed key and its kid", keys.UnverifiedHeader{Kid: p.bankKey.Public().Thumbprint(), X5C: x5c(listedLeaf)}, during, p.bank.ID, p.bankKey.Public()},
		{"leaf with a listed key and another kid", keys.UnverifiedHeader{Kid: p.employerKey.Public().Thumbprint(), X5C: x5c(listedLeaf)}, during, "", keys.Public{}},
		{"leaf below the root", chain(leaf), during, p.bank.ID, chainedKey},
		{"leaf below the root, root sent along", chain(leaf, p.ca.cert), during, p.bank.ID, chainedKey},
		{"leaf below the root and its kid", keys.UnverifiedHeader{Kid: chainedKey.Thumbprint(), X5C: x5c(leaf)}, during, p.bank.ID, chainedKey},
		{"leaf below the root, another's listed kid", keys.UnverifiedHeader{Kid: p.employerKey.Public().Thumbprint(), X5C: x5c(leaf)}, during, "", keys.Public{}},
		{"intermediate", chain(below, middle.cert), during, p.bank.ID, chainedKey},
		{"intermediate missing", chain(below), during, "", keys.Public{}},
		{"intermediate expired", chain(shortLived.sign(leafTemplate(), &chained.PublicKey), shortLived.cert), during, "", keys.Public{}},
		{"before the leaf's time", chain(leaf), issued.AddDate(0, 0, -1), "", keys.Public{}},
		{"after the leaf's time", chain(leaf), issued.AddDate(2, 0, 0), "", keys.Public{}},
		{"no time", chain(leaf), time.Time{}, "", keys.Public{}},
		{"root of the same name", chain(stranger.sign(leafTemplate(), &chained.PublicKey), stranger.cert), during, "", keys.Public{}},
		{"the root itself", chain(p.ca.cert), during, "", keys.Public{}},
		{"leaf not for signing", chain(p.ca.sign(notForSigning, &chained.PublicKey)), during, "", keys.Public{}},
		{"leaf on another curve", chain(p.ca.sign(leafTemplate(), &p384.PublicKey)), during, "", keys.Public{}},
		{"empty chain", keys.UnverifiedHeader{Kid: p.employerKey.Public().Thumbprint(), X5C: []string{}}, during, "", keys.Public{}},
		{"chain too long", chain(tooMany...), during, "", keys.Public{}},
		{"not base64", keys.UnverifiedHeader{X5C: []string{"-" + loose}}, during, "", keys.Public{}},
		{"base64 with a line break", keys.UnverifiedHeader{X5C: []string{loose[:8] + "\n" + loose[8:]}}, during, "", keys.Public{}},
		{"not a certificate", keys.UnverifiedHeader{X5C: []string{"AAAA"}}, during, "", keys.Public{}},
	} {
		e, k, err := l.EntityForHeader(c.header, c.at)
		if c.want == "" {
			if !errors.Is(err, ErrUnknownKey) || e != nil || !k.IsZero() {
				t.Errorf("%s: got %v, %v", c.name, e, err)
			}
			continue
		}
		if err != nil || e.ID != c.want || !k.Equal(c.key) {
			t.Errorf("%s: got %+v, %v", c.name, e, err)
		}
	}
}

func TestHistory(t *testing.T) {
	p := newParties(t)
	l1 := p.list(t, 1)
	kid := p.employerKey.Public().Thumbprint()
	p.employer.Keys = jwks(newKey(t, keys.ES256))
	p.employer.Compromised = []Compromise{{kid, during}}
	l2 := p.list(t, 2)
	p.employer.Compromised = []Compromise{{kid, during.Add(-time.Hour)}}
	l3 := p.list(t, 3)
	h, err := NewHistory([]Version{{l1, 4}, {l2, 9}, {l3, 20}})
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range map[uint64]*List{0: nil, 4: nil, 5: l1, 9: l1, 10: l2, 20: l2, 21: l3, 1 << 60: l3} {
		if got := h.At(index); got != want {
			t.Errorf("At(%d): got %v", index, got)
		}
	}
	if h.Latest() != l3 || len(h.Versions()) != 3 {
		t.Error("Latest, Versions")
	}
	for at, want := range map[time.Time]bool{during.Add(-2 * time.Hour): false, during.Add(-time.Hour): false, during.Add(-time.Hour + time.Second): true, during.AddDate(1, 0, 0): true} {
		if got := h.Compromised(kid, at); got != want {
			t.Errorf("Compromised at %v: got %v", at, got)
		}
	}
	if h.Compromised(p.bankKey.Public().Thumbprint(), during.AddDate(1, 0, 0)) {
		t.Error("another key is compromised")
	}
	for name, versions := range map[string][]Version{
		"none":            nil,
		"first missing":   {{l2, 9}, {l3, 20}},
		"gap":             {{l1, 4}, {l3, 20}},
		"order":           {{l2, 9}, {l1, 4}},
		"twice":           {{l1, 4}, {l1, 5}},
		"logged at once":  {{l1, 4}, {l2, 4}},
		"logged backward": {{l1, 10}, {l2, 9}},
	} {
		if _, err := NewHistory(versions); !errors.Is(err, ErrSuccessor) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestValidateSuccessor(t *testing.T) {
	later := func(p *parties, n uint64, days int) *List {
		jwt, err := Sign(p.anchor, n, issued.AddDate(0, 0, days), p.entities())
		if err != nil {
			t.Fatal(err)
		}
		l, err := Verify(jwt, p.anchor.Public())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	mark := func(k *keys.Private, at time.Time) []Compromise { return []Compromise{{k.Public().Thumbprint(), at}} }
	// In version 1 the employer's own key is already marked.
	for _, c := range []struct {
		name   string
		n      uint64
		days   int
		change func(p *parties)
		want   string // "" for a valid successor
	}{
		{"nothing changed", 2, 1, func(*parties) {}, ""},
		{"same time", 2, 0, func(*parties) {}, ""},
		{"key added", 2, 1, func(p *parties) { p.employer.Keys = append(p.employer.Keys, jwks(newKey(t, keys.ES256))...) }, ""},
		{"key taken away", 2, 1, func(p *parties) { p.employer.Keys = nil }, ""},
		{"type taken away, ended", 2, 1, func(p *parties) { p.bank.Types, p.bank.Until = nil, date(2026, 1, 1) }, ""},
		{"order changed", 2, 1, func(p *parties) { p.bank, p.employer = p.employer, p.bank }, ""},
		{"marked since earlier", 2, 1, func(p *parties) { p.employer.Compromised = mark(p.employerKey, during.Add(-1)) }, ""},
		{"submission key marked", 2, 1, func(p *parties) {
			p.employer.Compromised = append(p.employer.Compromised, mark(p.employerSubmission, during)...)
		}, ""},
		{"key below a root marked", 2, 1, func(p *parties) { p.bank.Compromised = mark(newKey(t, keys.ES256), during) }, ""},
		{"marked key taken away", 2, 1, func(p *parties) {
			p.employer.SubmissionKeys, p.employer.Compromised = nil, append(p.employer.Compromised, mark(p.employerSubmission, during)...)
		}, ""},
		{"entity added", 2, 1, func(p *parties) {
			e := *p.bank
			e.ID, e.Issuer, e.Keys, e.Roots = "7990000000002", "https://b.example", jwks(newKey(t, keys.ES256)), nil
			p.extra = append(p.extra, &e)
		}, ""},
		{"same n", 1, 1, func(*parties) {}, "does not follow"},
		{"gap", 3, 1, func(*parties) {}, "does not follow"},
		{"issued before", 2, -1, func(*parties) {}, "issued before"},
		{"entity vanished", 2, 1, func(p *parties) { p.bank = nil }, "is missing"},
		{"mark taken back", 2, 1, func(p *parties) { p.employer.Compromised = nil }, "takes back"},
		{"marked since later", 2, 1, func(p *parties) { p.employer.Compromised = mark(p.employerKey, during.Add(1)) }, "takes back"},
		{"mark on a stranger's key", 2, 1, func(p *parties) {
			p.employer.Compromised = append(p.employer.Compromised, mark(newKey(t, keys.ES256), during)...)
		}, "does not have"},
		{"key moved", 2, 1, func(p *parties) { p.employer.Keys, p.bank.Keys = jwks(p.bankKey), nil }, "a key moves"},
		{"submission key moved", 2, 1, func(p *parties) { p.employer.SubmissionKeys, p.bank.Keys = nil, jwks(p.employerSubmission) }, "a key moves"},
		{"root moved", 2, 1, func(p *parties) { p.employer.Roots, p.bank.Roots = p.bank.Roots, nil }, "a root moves"},
	} {
		p := newParties(t)
		p.employer.Compromised = mark(p.employerKey, during)
		prev := later(p, 1, 0)
		c.change(p)
		err := ValidateSuccessor(prev, later(p, c.n, c.days))
		if c.want == "" && err != nil {
			t.Errorf("%s: got %v", c.name, err)
		}
		if c.want != "" && (!errors.Is(err, ErrSuccessor) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	p := newParties(f)
	p.employer.Compromised = []Compromise{{p.employerKey.Public().Thumbprint(), during}}
	body, err := json.Marshal(payload{N: 1, IssuedAt: issued.Unix(), Entities: p.entities()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"n":1,"iat":5,"entities":[{"id":"8990000000001"}]}`))
	f.Add([]byte(`{"n":1,"iat":5,"entities":[null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := NewReader(keys.Public{}).parse(body)
		if err != nil {
			return
		}
		again, err := json.Marshal(payload{l.N, l.IssuedAt.Unix(), l.Entities, l.StatusServices})
		if err != nil {
			t.Fatal(err)
		}
		if l2, err := NewReader(keys.Public{}).parse(again); err != nil || l2.N != l.N || len(l2.byID) != len(l.byID) || len(l2.bySigning) != len(l.bySigning) {
			t.Fatalf("accepted, but not after writing it again: %v", err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	p := newParties(f)
	f.Add(p.list(f, 1).JWT)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, jwt string) {
		if l, err := Verify(jwt, p.anchor.Public()); err == nil && l.JWT != jwt {
			t.Fatal("not the list that was given")
		}
	})
}
