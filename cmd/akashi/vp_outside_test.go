package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/internal/web"
	"akashi/issuer/issuertest"
	"akashi/verifier"
)

// outsideIssuer issues credentials that name addresses of its own for status and type. It counts who connects to it.
type outsideIssuer struct {
	*httptest.Server
	t         *testing.T
	authority *authority
	key       *keys.Private
	x5c       []string
	status    statuslist.Status // of every credential
	met       atomic.Int64      // connections
}

func newOutsideIssuer(t *testing.T) *outsideIssuer {
	t.Helper()
	o := &outsideIssuer{t: t, key: issuertest.Key(t)}
	var err error
	o.authority, err = newAuthority("outside authority", time.Now())
	o.check(err)
	o.x5c, err = o.authority.signer("outside issuer", "127.0.0.1", o.key.Public().Crypto(), time.Now())
	o.check(err)
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(o.serveStatus))
	o.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			o.met.Add(1)
		}
	}
	certificate, err := o.authority.server("127.0.0.1", time.Now())
	o.check(err)
	o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

func (o *outsideIssuer) check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

const outsideIndex = 7

func (o *outsideIssuer) statusURI() string { return o.URL + "/status/1" }

func (o *outsideIssuer) serveStatus(w http.ResponseWriter, _ *http.Request) {
	list, err := statuslist.New(2, statuslist.MinEntries)
	o.check(err)
	o.check(list.Set(outsideIndex, o.status))
	token, err := statuslist.SignToken(o.key, list, statuslist.TokenOptions{URI: o.statusURI(), IssuedAt: time.Now(), TTL: time.Hour, X5C: o.x5c})
	o.check(err)
	web.WriteBody(w, http.StatusOK, statuslist.MediaType, []byte(token))
}

func (o *outsideIssuer) vct() string { return o.URL + "/types/card" }

func (o *outsideIssuer) card(holder *keys.Private) string {
	o.t.Helper()
	card, err := sdjwt.Issue(o.key, keys.Header{"x5c": o.x5c}, map[string]any{
		"iss": o.URL, "vct": o.vct(), "iat": time.Now().Unix(), "cnf": map[string]any{"jwk": holder.Public().JWK()},
		"status": statuslist.Reference{Index: outsideIndex, URI: o.statusURI()}.Claim(), "number": "S-1",
	}, sdjwt.Options{})
	o.check(err)
	return card
}

// TestOutsideIssuer presents a credential of an outside issuer to the verifier of an instance over https. The issuer is not asked, so it does not learn
// where its credential is shown, and whether it is still valid stays unknown; unless the operator has named where its status lists are.
func TestOutsideIssuer(t *testing.T) {
	for _, c := range []struct {
		name   string
		named  bool
		status statuslist.Status
		want   verifier.Status
		reason string
		check  compliance.Result
	}{
		{"not asked", false, statuslist.Invalid, verifier.Answered, "", compliance.CannotTell},
		{"valid", true, statuslist.Valid, verifier.Answered, "", compliance.Pass},
		{"revoked", true, statuslist.Invalid, verifier.Failed, "credential.revoked", 0},
		{"suspended", true, statuslist.Suspended, verifier.Failed, "credential.suspended", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer := newOutsideIssuer(t)
			issuer.status = c.status
			in := startOutside(t, issuer, c.named)
			view, status := presentOutside(t, in, issuer)
			if view.Status != c.want || view.Reason != c.reason || (status == http.StatusOK) != (c.want == verifier.Answered) || status >= 500 {
				t.Fatalf("got %d, %+v", status, view)
			}
			if met := issuer.met.Load(); (met > 0) != c.named {
				t.Errorf("the issuer was met %d times", met)
			}
			if c.want != verifier.Answered {
				return
			}
			var result struct {
				Credentials map[string][]struct{ Checks []compliance.Check }
			}
			issuer.check(json.Unmarshal(view.Result, &result))
			if checks := result.Credentials["card"][0].Checks; len(checks) != 2 || checks[1].Code != verifier.CodeStatus || checks[1].Result != c.check {
				t.Errorf("got %+v", checks)
			}
		})
	}
}

// TestHAIPOverHTTP asks as a web site does, with the token of verifier.admin_token, for a wallet on the same device: the result is shown to the browser that
// the wallet leads back, and to no other.
func TestHAIPOverHTTP(t *testing.T) {
	issuer := newOutsideIssuer(t)
	in := startOutside(t, issuer, true)
	query := `{"credentials":[{"id":"card","format":"dc+sd-jwt","meta":{"vct_values":["` + issuer.vct() + `"]},"claims":[{"path":["number"]}]}]}`
	ask := func(token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, in.cfg.Verifier.URL+"/vp/sessions", strings.NewReader(`{"dcql_query":`+query+`,"same_device":true}`))
		issuer.check(err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := in.client.Do(req)
		issuer.check(err)
		return resp
	}
	refused := ask("another token")
	issuer.check(refused.Body.Close())
	if refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("with another token: %s", refused.Status)
	}
	created := ask(outsideToken)
	var view verifier.View
	issuer.check(json.NewDecoder(created.Body).Decode(&view))
	issuer.check(created.Body.Close())
	if created.StatusCode != http.StatusCreated || len(created.Cookies()) != 1 {
		t.Fatalf("got %s", created.Status)
	}
	answer := answerOutside(t, in, issuer, view.Link)
	if answer.RedirectURI == "" {
		t.Fatal("the wallet is not led back")
	}
	back := func(cookie *http.Cookie) (int, *verifier.View) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, answer.RedirectURI, nil)
		issuer.check(err)
		if cookie != nil {
			req.AddCookie(cookie)
		}
		resp, err := in.client.Do(req)
		issuer.check(err)
		defer resp.Body.Close()
		var view verifier.View
		issuer.check(json.NewDecoder(resp.Body).Decode(&view))
		return resp.StatusCode, &view
	}
	if status, view := back(created.Cookies()[0]); status != http.StatusOK || view.Status != verifier.Answered || !strings.Contains(string(view.Result), "S-1") {
		t.Errorf("got %d, %+v", status, view)
	}
	if status, _ := back(nil); status < 400 {
		t.Errorf("in another browser: %d", status)
	}
}

func TestAdminTokenOfTheVerifier(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Verifier.AdminToken = "token"
	for text, valid := range map[string]bool{outsideToken + "\n": true, "short": false, "": false} {
		if err := os.WriteFile(cfg.path("token"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := cfg.adminToken(); (err == nil) != valid || valid && got != outsideToken {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	cfg.Verifier.AdminToken = "none"
	if _, err := cfg.adminToken(); err == nil {
		t.Error("a file that is not there was read")
	}
}

const outsideToken = "0123456789abcdef0123456789abcdef"

// startOutside starts an instance whose verifier knows the issuer's authority, and asks for its status lists where the operator names them.
func startOutside(t *testing.T, issuer *outsideIssuer, named bool) *instance {
	t.Helper()
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	issuer.check(err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.authority.cert.Raw})
	issuer.check(os.WriteFile(cfg.path("outside.pem"), text, 0o600))
	issuer.check(os.WriteFile(cfg.path("token"), []byte(outsideToken), 0o600))
	cfg.Verifier.IssuerRoots, cfg.Verifier.AdminToken = []string{"outside.pem"}, "token"
	if named {
		cfg.Verifier.StatusLists = []string{issuer.URL + "/status/"}
		folder, err := os.ReadFile(cfg.path(fileCA)) // whose server the instance believes
		issuer.check(err)
		issuer.check(os.WriteFile(cfg.path(fileCA), append(folder, text...), 0o600))
	}
	in, err := startInstance(t.Context(), cfg, instanceOptions{})
	t.Cleanup(func() { issuer.check(in.stop(context.WithoutCancel(t.Context()))) })
	issuer.check(err)
	return in
}

// presentOutside is a wallet that shows the credential.
func presentOutside(t *testing.T, in *instance, issuer *outsideIssuer) (*verifier.View, int) {
	t.Helper()
	view, err := in.verifier.Create(t.Context(), verifier.CreateOptions{Query: &dcql.Query{Credentials: []dcql.Credential{{ID: "card", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{issuer.vct()}}}}}})
	issuer.check(err)
	resp := postOutside(t, in, issuer, view.Link)
	issuer.check(resp.Body.Close())
	view, err = in.verifier.Session(t.Context(), view.ID)
	issuer.check(err)
	return view, resp.StatusCode
}

func postOutside(t *testing.T, in *instance, issuer *outsideIssuer, link string) *http.Response {
	t.Helper()
	holder := issuertest.Key(t)
	r := readRequest(t, in, link)
	bound, err := sdjwt.BindKey(issuer.card(holder), holder, r.ClientID, r.Nonce, time.Now())
	issuer.check(err)
	form, err := (&oid4vc.VPResponse{Token: oid4vc.VPToken{"card": {bound}}, State: r.State}).FormFor(r)
	issuer.check(err)
	resp, err := in.client.PostForm(r.ResponseURI, form)
	issuer.check(err)
	return resp
}

func answerOutside(t *testing.T, in *instance, issuer *outsideIssuer, link string) *oid4vc.VPAnswer {
	t.Helper()
	resp := postOutside(t, in, issuer, link)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	issuer.check(err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s: %s", resp.Status, body)
	}
	answer, err := oid4vc.ParseVPAnswer(body)
	issuer.check(err)
	return answer
}

func TestStatusListsOfTheVerifier(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, valid := range map[string]bool{"https://issuer.example/status/": true, "https://issuer.example": false, "http://issuer.example/": false, "": false} {
		cfg.Verifier.StatusLists = []string{prefix}
		if err := cfg.check(); (err == nil) != valid {
			t.Errorf("%q: got %v", prefix, err)
		}
	}
}
