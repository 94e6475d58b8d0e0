package verifier_test

import (
	"crypto/x509"
	"encoding/base64"
	"testing"

	"akashi/internal/dcql"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/verifier"
)

// A credential of an issuer that no trust list names is taken under an authority of the operator's, and trusted_authorities are checked.
func TestOtherIssuers(t *testing.T) {
	w := newVPWorld(t)
	issuer := evidencetest.Key(t)
	cardUnder := func(leaf *x509.Certificate) string {
		card, err := sdjwt.Issue(issuer, keys.Header{"x5c": keys.FormatChain(leaf)}, map[string]any{
			"vct": "https://issuer.example/card", "aka_vcts": []any{"https://issuer.example/document"}, "iss": "https://issuer.example",
			"cnf": map[string]any{"jwk": w.Holder.Public().JWK()}, "number": sdjwt.Hidden("S-1"),
		}, sdjwt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return card
	}
	leaf, root := certified(t, issuer, w.World.Now)
	oldLeaf, oldRoot := certified(t, issuer, w.World.Now.AddDate(-2, 0, 0))
	nextLeaf, nextRoot := certified(t, issuer, w.World.Now.AddDate(0, 0, 1))
	aki := base64.RawURLEncoding.EncodeToString(leaf.AuthorityKeyId)
	if aki == "" {
		t.Fatal("the certificate names no authority key")
	}
	for _, c := range []struct {
		name   string
		leaf   *x509.Certificate
		roots  []*x509.Certificate
		types  string
		aki    string
		reason string // "" for answered
	}{
		{"by its type", leaf, []*x509.Certificate{root}, "https://issuer.example/card", "", ""},
		{"by a type that it also stands for", leaf, []*x509.Certificate{root}, "https://issuer.example/document", "", ""},
		{"under an authority asked for", leaf, []*x509.Certificate{root}, "https://issuer.example/card", aki, ""},
		{"under another authority", leaf, []*x509.Certificate{root}, "https://issuer.example/card", "AAAA", "query.authority"},
		{"no authority trusted", leaf, nil, "https://issuer.example/card", "", "issuer.listed"},
		{"another authority trusted", leaf, []*x509.Certificate{w.root}, "https://issuer.example/card", "", "issuer.listed"},
		{"the certificate has expired", oldLeaf, []*x509.Certificate{oldRoot}, "https://issuer.example/card", "", "issuer.listed"},
		{"the certificate is not valid yet", nextLeaf, []*x509.Certificate{nextRoot}, "https://issuer.example/card", "", "issuer.listed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.vp.Roots = c.roots
			q := &dcql.Query{Credentials: []dcql.Credential{{ID: "card", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{c.types}}, Claims: []dcql.Claim{{Path: dcql.Path{"number"}}}}}}
			if c.aki != "" {
				q.Credentials[0].Authorities = []dcql.Authority{{Type: dcql.AuthorityKeyIdentifier, Values: []string{c.aki}}}
			}
			s := w.create(verifier.CreateOptions{Query: q})
			r := w.fetch(s.Link)
			bound, err := sdjwt.BindKey(cardUnder(c.leaf), w.Holder, r.ClientID, r.Nonce, w.World.Now)
			if err != nil {
				t.Fatal(err)
			}
			status, body := w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"card": {bound}}, State: r.State})
			if now := w.session(s.ID); now.Reason != c.reason || (status == 200) != (c.reason == "") {
				t.Errorf("got %d %s, %s for %q", status, body, now.Status, now.Reason)
			}
		})
	}
}
