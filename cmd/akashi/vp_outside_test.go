package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/verifier"
)

// TestVerifyingAsksNoIssuer presents a credential of an outside issuer, who names addresses of its own for status, type and keys, to the verifier of an
// instance over https. The issuer is not asked, so it does not learn where its credential is shown: whether it is still valid stays unknown.
func TestVerifyingAsksNoIssuer(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newKey := func() *keys.Private {
		key, err := keys.Generate(keys.ES256)
		check(err)
		return key
	}
	var met atomic.Int64 // connections
	issuer := httptest.NewUnstartedServer(http.NotFoundHandler())
	issuer.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			met.Add(1)
		}
	}
	issuer.StartTLS()
	defer issuer.Close()
	dir := t.TempDir()
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	check(err)
	outside, err := newAuthority("outside authority", time.Now())
	check(err)
	check(os.WriteFile(cfg.path("outside.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: outside.cert.Raw}), 0o600))
	cfg.Verifier.IssuerRoots = []string{"outside.pem"}
	ctx := context.Background()
	in, err := startInstance(ctx, cfg, instanceOptions{})
	defer func() { check(in.stop(ctx)) }()
	check(err)

	key, holder := newKey(), newKey()
	x5c, err := outside.signer("outside issuer", "127.0.0.1", key.Public().Crypto(), time.Now())
	check(err)
	vct := issuer.URL + "/types/card"
	card, err := sdjwt.Issue(key, keys.Header{"x5c": x5c}, map[string]any{
		"iss": issuer.URL, "vct": vct, "iat": time.Now().Unix(), "cnf": map[string]any{"jwk": holder.Public().JWK()},
		"status": statuslist.Reference{Index: 7, URI: issuer.URL + "/status/1"}.Claim(), "number": sdjwt.Hidden("S-1"),
	}, sdjwt.Options{})
	check(err)

	view, err := in.verifier.Create(ctx, verifier.CreateOptions{Query: &dcql.Query{Credentials: []dcql.Credential{{ID: "card", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{vct}}}}}})
	check(err)
	r := readRequest(t, in, view.Link)
	bound, err := sdjwt.BindKey(card, holder, r.ClientID, r.Nonce, time.Now())
	check(err)
	form, err := (&oid4vc.VPResponse{Token: oid4vc.VPToken{"card": {bound}}, State: r.State}).FormFor(r)
	check(err)
	resp, err := in.client.PostForm(r.ResponseURI, form)
	check(err)
	check(resp.Body.Close())
	view, err = in.verifier.Session(ctx, view.ID)
	check(err)
	if resp.StatusCode != http.StatusOK || view.Status != verifier.Answered {
		t.Fatalf("got %s, %+v", resp.Status, view)
	}
	var result struct {
		Credentials map[string][]struct{ Checks []compliance.Check }
	}
	check(json.Unmarshal(view.Result, &result))
	if checks := result.Credentials["card"][0].Checks; len(checks) != 2 || checks[1].Code != verifier.CodeStatus || checks[1].Result != compliance.CannotTell {
		t.Errorf("got %+v", checks)
	}
	if n := met.Load(); n != 0 {
		t.Errorf("the issuer was met %d times", n)
	}
}
