package verifier_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/dcql"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/verifier"
)

// wageQuery asks for the employer's record of a wage and its net amount.
func wageQuery(t *testing.T) *dcql.Query {
	t.Helper()
	q, err := dcql.Parse([]byte(`{"credentials":[{"id":"wage","format":"dc+sd-jwt","meta":{"vct_values":["` + attestation.TypeWagePayment.VCT() + `"]},"claims":[{"path":["net"]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestQueryByEveryWay(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment, w.receipt}}
	for _, prefix := range []string{oid4vc.PrefixX509Hash, oid4vc.PrefixX509SANDNS, oid4vc.PrefixDID, oid4vc.PrefixRedirectURI} {
		for _, mode := range []string{oid4vc.ModeDirectPost, oid4vc.ModeDirectPostJWT} {
			for _, post := range []bool{false, true} {
				if post && prefix == oid4vc.PrefixRedirectURI {
					continue
				}
				s := w.create(verifier.CreateOptions{Query: wageQuery(t), Prefix: prefix, Mode: mode, Post: post})
				if s.Status != verifier.Waiting || !strings.HasPrefix(s.Link, "openid4vp://") {
					t.Fatalf("got %+v", s)
				}
				if a := wallet.answer(s.Link); a.RedirectURI != "" {
					t.Errorf("got %+v", a)
				}
				s = w.session(s.ID)
				var result struct {
					Credentials map[string][]struct {
						Issuer string
						Claims map[string]any
						Checks []compliance.Check
					}
				}
				if err := json.Unmarshal(s.Result, &result); err != nil {
					t.Fatalf("%s %s: %v in %+v", prefix, mode, err, s)
				}
				got := result.Credentials["wage"]
				if s.Status != verifier.Answered || len(got) != 1 || got[0].Issuer != w.Employer.ID || got[0].Claims["net"] == nil || got[0].Claims["gross"] != nil || got[0].Checks[0].Result != compliance.Pass {
					t.Errorf("%s %s: got %s: %+v", prefix, mode, s.Status, got)
				}
			}
		}
	}
}

func TestRequestIsReadTwiceAndNotAfterwards(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
	first, second := w.fetch(s.Link), w.fetch(s.Link)
	if !reflect.DeepEqual(first.Metadata, second.Metadata) || first.Nonce != second.Nonce {
		t.Error("the same request was given in two ways")
	}
	other := w.fetch(w.create(verifier.CreateOptions{Query: wageQuery(t)}).Link)
	if other.Nonce == first.Nonce || other.State == first.State || reflect.DeepEqual(other.Metadata.JWKS, first.Metadata.JWKS) {
		t.Error("two requests have nonce, state or key in common")
	}
	wallet.answer(s.Link)
	l, err := oid4vc.ParseRequestLink(s.Link)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{l.URI: 400, l.URI + "x": 404, vpURL + "/vp/request/": 404} {
		if status, body := w.get(target, ""); status != want {
			t.Errorf("%s: got %d %s, want %d", target, status, body, want)
		}
	}
	if status, _ := w.postForm(l.URI, nil); status != 400 {
		t.Errorf("POST of an answered request: %d", status)
	}
	s = w.create(verifier.CreateOptions{Query: wageQuery(t)})
	if l, err = oid4vc.ParseRequestLink(s.Link); err != nil {
		t.Fatal(err)
	}
	if status, body := w.postForm(l.URI, url.Values{"wallet_nonce": {"n"}}); status != 400 || !strings.Contains(string(body), oid4vc.CodeInvalidRequestURIMethod) {
		t.Errorf("POST of a request for GET: %d %s", status, body)
	}
}

func (w *vpWorld) assessment(id string) *evidence.Result {
	w.t.Helper()
	s := w.session(id)
	if s.Status != verifier.Answered {
		w.t.Fatalf("the session is %s for %q", s.Status, s.Reason)
	}
	var r struct {
		Result     string
		Assessment *compliance.Assessment
	}
	if err := json.Unmarshal(s.Result, &r); err != nil {
		w.t.Fatal(err)
	}
	data, err := w.vp.Evidence(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	again := verifier.Verify(data, w.Trust(), verifier.Options{})
	if again.Result != compliance.Pass {
		w.t.Errorf("the evidence file: %+v", again.Checks)
	}
	return again
}

// findings are the findings of November's wage by obligation.
func findings(r *evidence.Result) map[string]compliance.Finding {
	out := make(map[string]compliance.Finding)
	for _, f := range r.Assessment.Findings {
		if f.Period == string(november) {
			out[f.Obligation] = f.Finding
		}
	}
	return out
}

func TestAssessment(t *testing.T) {
	w := newVPWorld(t)
	statement := w.Statement(true, map[string]any{"date": "2025-12-08", "kind": "accept", "about": map[string]any{"id": w.EngagementID}})
	all := []string{w.Engagement, w.payment, w.receipt, statement}
	for _, c := range []struct {
		name   string
		wallet holding
		want   compliance.Finding // of W-05, when the wage was paid
		amount compliance.Finding // of W-03, how much; the zero value where there is none
	}{
		{"everything", holding{held: all}, compliance.Fulfilled, compliance.Fulfilled},
		{"no multiple", holding{held: all, single: true}, compliance.Fulfilled, compliance.Fulfilled},
		{"the engagement alone", holding{held: all[:1]}, compliance.Fulfilled, compliance.Undisclosed},
		{"November withheld", holding{held: all[:1], withhold: func(path []any) bool { return len(path) > 2 && path[2] == string(november) }}, compliance.Undisclosed, compliance.Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.wallet.vpWorld = w
			s := w.create(verifier.CreateOptions{})
			r := w.fetch(s.Link)
			if len(r.Query.Credentials) != 1 || r.Query.Credentials[0].Claims != nil {
				t.Errorf("the first step asks for %+v", r.Query)
			}
			c.wallet.answer(s.Link)
			s = w.session(s.ID)
			if s.Status != verifier.Waiting || s.Step != 2 || s.Result != nil {
				t.Fatalf("after the first step: %+v", s)
			}
			c.wallet.answer(s.Link)
			result := w.assessment(s.ID)
			data, err := w.vp.Evidence(context.Background(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			file, err := evidence.Read(data)
			if err != nil {
				t.Fatal(err)
			}
			if p, all := file.Presentation, len(c.wallet.held) == len(all); all != (len(p.Attestations) == 2) || all != (len(p.Statements) == 1) {
				t.Errorf("the file has %d attestations and %d statements", len(p.Attestations), len(p.Statements))
			}
			if got := findings(result); got["W-05"] != c.want || got["W-03"] != c.amount {
				t.Errorf("got %v, want %v and %v", got, c.want, c.amount)
			}
		})
	}
}

func TestAssessmentRefusesAnotherEngagement(t *testing.T) {
	w := newVPWorld(t)
	first := w.Engagement
	wallet := &holding{vpWorld: w, held: []string{first}}
	s := w.create(verifier.CreateOptions{})
	wallet.answer(s.Link)
	wallet.held = []string{w.Extend(first, attestation.NewDate(2026, 12, 31))}
	r := w.fetch(w.session(s.ID).Link)
	if status, body := w.send(r, &oid4vc.VPResponse{Token: wallet.token(r), State: r.State}); status != 400 {
		t.Errorf("got %d %s", status, body)
	}
	if s := w.session(s.ID); s.Status != verifier.Failed || s.Reason != "engagement.changed" {
		t.Errorf("got %+v", s)
	}
}

func TestSameDevice(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment, w.receipt}}
	const mine, other = "the browser session", "another browser session"
	begin := func() (*verifier.View, string) {
		s := w.create(verifier.CreateOptions{Query: wageQuery(t), SameDevice: true, Browser: mine})
		back := wallet.answer(s.Link).RedirectURI
		if !strings.HasPrefix(back, vpURL+"/vp/return?") {
			t.Fatalf("got redirect_uri %q", back)
		}
		if now := w.session(s.ID); now.Status != verifier.Returning || now.Result != nil {
			t.Fatalf("before the return: %+v", now)
		}
		return s, back
	}

	s, back := begin()
	if status, _ := w.get(strings.Replace(back, "response_code=", "response_code=x", 1), mine); status != 400 {
		t.Errorf("another code: %d", status)
	}
	if status, body := w.get(back, mine); status != 200 || w.session(s.ID).Status != verifier.Answered {
		t.Errorf("the return: %d %s", status, body)
	}
	if status, _ := w.get(back, mine); status != 400 {
		t.Errorf("the code for a second time: %d", status)
	}

	for _, browser := range []string{other, ""} {
		s, back = begin()
		if status, body := w.get(back, browser); status != http.StatusForbidden || strings.Contains(string(body), `"net"`) {
			t.Errorf("browser %q: %d %s", browser, status, body)
		}
		if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != "return.browser" || now.Result != nil {
			t.Errorf("after the return elsewhere: %+v", now)
		}
		if status, _ := w.get(back, mine); status != 400 {
			t.Errorf("the code after that: %d", status)
		}
	}

	s, _ = begin()
	w.World.Now = w.World.Now.Add(10 * time.Minute)
	if now := w.session(s.ID); now.Status != verifier.Expired || now.Result != nil {
		t.Errorf("without return: %+v", now)
	}

	s = w.create(verifier.CreateOptions{SameDevice: true, Browser: mine})
	for range 2 {
		if status, body := w.get(wallet.answer(w.session(s.ID).Link).RedirectURI, mine); status != 200 {
			t.Fatalf("the return: %d %s", status, body)
		}
	}
	w.assessment(s.ID)
	for browser, want := range map[string]int{mine: 200, other: 404} {
		if status, _ := w.get(vpURL+"/vp/sessions/"+s.ID+"/evidence", browser); status != want {
			t.Errorf("the evidence file for %q: %d", browser, status)
		}
	}
}

func TestSessionIsSeenByWhoBeganIt(t *testing.T) {
	w := newVPWorld(t)
	s := w.create(verifier.CreateOptions{Query: wageQuery(t), Browser: "mine"})
	for browser, want := range map[string]int{"mine": 200, "other": 404, "": 404} {
		for _, page := range []string{"", "/events"} {
			if page != "" && want == 200 {
				continue // it goes on, see TestEvents
			}
			if status, _ := w.get(vpURL+"/vp/sessions/"+s.ID+page, browser); status != want {
				t.Errorf("%s as %q: %d, want %d", page, browser, status, want)
			}
		}
	}
	if status, _ := w.get(vpURL+"/vp/sessions/"+s.ID+"/evidence", "mine"); status != 404 {
		t.Errorf("evidence of a waiting session: %d", status)
	}
}

func TestEvents(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment}}
	s := w.create(verifier.CreateOptions{Browser: "mine"})
	req, err := http.NewRequest(http.MethodGet, vpURL+"/vp/sessions/"+s.ID+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(verifier.BrowserCookie("mine"))
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("got %s", got)
	}
	var seen []string
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var now verifier.View
		if err := json.Unmarshal([]byte(data), &now); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, string(now.Status))
		if now.Status == verifier.Waiting {
			wallet.answer(now.Link)
		}
	}
	seen = slices.DeleteFunc(seen, func(s string) bool { return s == string(verifier.Verifying) }) // may be too short to be seen
	if want := []string{"waiting", "waiting", "answered"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestRefusedAndExpired(t *testing.T) {
	w := newVPWorld(t)
	for _, mode := range []string{oid4vc.ModeDirectPost, oid4vc.ModeDirectPostJWT} {
		s := w.create(verifier.CreateOptions{Query: wageQuery(t), Mode: mode})
		r := w.fetch(s.Link)
		if status, body := w.send(r, &oid4vc.VPResponse{Error: &oid4vc.ErrorResponse{Code: oid4vc.CodeAccessDenied}, State: r.State}); status != 200 {
			t.Errorf("got %d %s", status, body)
		}
		if s := w.session(s.ID); s.Status != verifier.Refused || s.Reason != oid4vc.CodeAccessDenied {
			t.Errorf("got %+v", s)
		}
	}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
	r := w.fetch(s.Link)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	token := wallet.token(r)
	w.World.Now = w.World.Now.Add(6 * time.Minute)
	if status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State}); status != 400 {
		t.Errorf("got %d %s", status, body)
	}
	if end, err := w.vp.Follow(context.Background(), s.ID, nil); err != nil || end.Status != verifier.Expired || end.Link != "" {
		t.Errorf("got %+v, %v", end, err)
	}
}

func TestCreateOverHTTP(t *testing.T) {
	w := newVPWorld(t)
	query := marshal(t, wageQuery(t))
	post := func(token, body string) (int, *http.Response) {
		req, err := http.NewRequest(http.MethodPost, vpURL+"/vp/sessions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := w.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp
	}
	for _, c := range []struct {
		name, token, body string
		want              int
	}{
		{"good", adminToken, `{"dcql_query":` + query + `}`, 201},
		{"same device", adminToken, `{"dcql_query":` + query + `,"same_device":true}`, 201},
		{"an assessment", adminToken, `{}`, 201},
		{"no token", "", `{}`, 401},
		{"another token", "x", `{}`, 401},
		{"no JSON", adminToken, `{`, 400},
		{"bad query", adminToken, `{"dcql_query":{}}`, 400},
		{"mdoc", adminToken, `{"dcql_query":{"credentials":[{"id":"m","format":"mso_mdoc","meta":{}}]}}`, 400},
		{"authorities that cannot be verified", adminToken, `{"dcql_query":{"credentials":[{"id":"m","format":"dc+sd-jwt","meta":{},"trusted_authorities":[{"type":"etsi_tl","values":["https://x"]}]}]}}`, 400},
		{"unknown prefix", adminToken, `{"client_id_prefix":"pre-registered"}`, 400},
		{"unknown mode", adminToken, `{"response_mode":"fragment"}`, 400},
		{"a claim twice", adminToken, `{"dcql_query":{"credentials":[{"id":"m","format":"dc+sd-jwt","meta":{},"claims":[{"path":["a"]},{"path":["a"]}]}]}}`, 400},
		{"over the Digital Credentials API", adminToken, `{"dcql_query":` + query + `,"response_mode":"dc_api.jwt","protocols":["openid4vp-v1-signed"]}`, 201},
		{"in one step", adminToken, `{"one_step":true,"from":"2025-11","to":"2025-12"}`, 201},
		{"POST of what is not fetched", adminToken, `{"client_id_prefix":"redirect_uri","request_uri_post":true}`, 400},
		{"transaction data of nothing", adminToken, `{"dcql_query":` + query + `,"transaction_data":["e30"]}`, 400},
	} {
		if status, resp := post(c.token, c.body); status != c.want || (status == 201) != (len(resp.Cookies()) == 1) {
			t.Errorf("%s: got %d, want %d", c.name, status, c.want)
		}
	}
	if _, err := w.vp.Create(context.Background(), verifier.CreateOptions{SameDevice: true}); !errors.Is(err, verifier.ErrOptions) {
		t.Errorf("same device without a browser: %v", err)
	}
}

func TestNewVPRefuses(t *testing.T) {
	w := newVPWorld(t)
	for name, spoil := range map[string]func(*verifier.VPConfig){
		"url with a slash":    func(c *verifier.VPConfig) { c.URL += "/" },
		"url without https":   func(c *verifier.VPConfig) { c.URL = "http://verifier.test" },
		"url with a fragment": func(c *verifier.VPConfig) { c.URL += "#x" },
		"no store":            func(c *verifier.VPConfig) { c.Store = nil },
		"no key":              func(c *verifier.VPConfig) { c.Key = nil },
		"no registry":         func(c *verifier.VPConfig) { c.Registry = nil },
		"host in capitals":    func(c *verifier.VPConfig) { c.URL = "https://Verifier.test" },
		"authority in chain":  func(c *verifier.VPConfig) { c.Chain = append(slices.Clone(c.Chain), w.root) },
		"self-signed":         func(c *verifier.VPConfig) { c.Chain = []*x509.Certificate{w.root} },
		"another's key":       func(c *verifier.VPConfig) { c.Key = evidencetest.Key(t) },
	} {
		cfg := w.vp.VPConfig
		spoil(&cfg)
		if _, err := verifier.NewVP(cfg); !errors.Is(err, verifier.ErrVPConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A wallet that says what it can gets a request that it can take, encrypted where it gives a key, or is told why not; the session goes on waiting for
// another.
func TestWalletMetadataIsFollowed(t *testing.T) {
	w := newVPWorld(t)
	s := w.create(verifier.CreateOptions{Query: wageQuery(t), Post: true})
	l, err := oid4vc.ParseRequestLink(s.Link)
	if err != nil {
		t.Fatal(err)
	}
	const formats = `"vp_formats_supported":{"dc+sd-jwt":{"sd-jwt_alg_values":["ES256"],"kb-jwt_alg_values":["ES256"]}}`
	for name, c := range map[string]struct{ metadata, code string }{
		"all that is needed": {`{` + formats + `,"client_id_prefixes_supported":["x509_hash"],"response_modes_supported":["direct_post.jwt"],"request_object_signing_alg_values_supported":["ES256"]}`, ""},
		"other format":       {`{"vp_formats_supported":{"mso_mdoc":{}}}`, oid4vc.CodeVPFormatsNotSupported},
		"other prefix":       {`{` + formats + `,"client_id_prefixes_supported":["redirect_uri"]}`, oid4vc.CodeInvalidRequest},
		"other mode":         {`{` + formats + `,"response_modes_supported":["direct_post"]}`, oid4vc.CodeInvalidRequest},
		"other signature":    {`{` + formats + `,"request_object_signing_alg_values_supported":["RS256"]}`, oid4vc.CodeInvalidRequest},
		"other key":          {`{` + formats + `,"jwks":{"keys":[{"kty":"RSA","kid":"1"}]}}`, oid4vc.CodeInvalidRequest},
		"no JSON":            {`x`, oid4vc.CodeInvalidRequest},
	} {
		status, body := w.postForm(l.URI, url.Values{"wallet_metadata": {c.metadata}, "wallet_nonce": {"n"}, "unknown": {"x"}})
		if c.code == "" && status != http.StatusOK || c.code != "" && (status != http.StatusBadRequest || !strings.Contains(string(body), `"`+c.code+`"`)) {
			t.Errorf("%s: got %d %s", name, status, body)
		}
	}
	key := evidencetest.Key(t)
	encryption, err := keys.NewEncryptionKey(key.Public(), "w")
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := oid4vc.NewWalletMetadata(encryption)
	if err != nil {
		t.Fatal(err)
	}
	status, body := w.postForm(l.URI, url.Values{"wallet_metadata": {marshal(t, metadata)}, "wallet_nonce": {"n"}})
	if status != http.StatusOK || strings.Count(string(body), ".") != 4 {
		t.Fatalf("encrypted: got %d %s", status, body)
	}
	compact, err := oid4vc.OpenRequestObject(string(body), key, "w")
	if err != nil {
		t.Fatal(err)
	}
	u, err := oid4vc.ParsePresentationRequest(compact)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Verify(oid4vc.ExpectRequest{ClientID: l.ClientID, WalletNonce: "n", Roots: []*x509.Certificate{w.root}, Now: w.World.Now}); err != nil {
		t.Error(err)
	}
	if now := w.session(s.ID); now.Status != verifier.Waiting {
		t.Errorf("got %+v", now)
	}
}

// What the request says, octet by octet where others compare it (OpenID4VP 1.0, Section 5; HAIP 1.0, Section 5).
func TestRequestObject(t *testing.T) {
	w := newVPWorld(t)
	s := w.create(verifier.CreateOptions{Query: wageQuery(t), VerifierInfo: []oid4vc.VerifierInfo{{Format: "jwt", Data: json.RawMessage(`"x"`)}}})
	l, err := oid4vc.ParseRequestLink(s.Link)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, l.URI, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/oauth-authz-req+jwt" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got Content-Type %s, Cache-Control %s", got, resp.Header.Get("Cache-Control"))
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Verify(string(body), w.vp.Key.Public(), keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(token.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(w.vp.Chain[0].Raw)
	for name, want := range map[string]any{
		"aud": "https://self-issued.me/v2", "response_type": "vp_token", "response_mode": "direct_post.jwt",
		"client_id": "x509_hash:" + base64.RawURLEncoding.EncodeToString(sum[:]), "redirect_uri": nil, "scope": nil, "iss": nil, "expected_origins": nil,
	} {
		if claims[name] != want {
			t.Errorf("%s: got %v, want %v", name, claims[name], want)
		}
	}
	if len(claims["nonce"].(string)) < 43 || len(claims["state"].(string)) < 43 || len(claims["verifier_info"].([]any)) != 1 {
		t.Errorf("got %v", claims)
	}
	if token.Header.Typ != "oauth-authz-req+jwt" || len(token.Header.X5C) != 1 {
		t.Errorf("got header %s", token.Header.Raw)
	}
	metadata := claims["client_metadata"].(map[string]any)
	if len(metadata) != 3 || !reflect.DeepEqual(metadata["encrypted_response_enc_values_supported"], []any{"A128GCM", "A256GCM"}) ||
		!reflect.DeepEqual(metadata["vp_formats_supported"], map[string]any{"dc+sd-jwt": map[string]any{"sd-jwt_alg_values": []any{"ES256"}, "kb-jwt_alg_values": []any{"ES256"}}}) {
		t.Errorf("got %v", metadata)
	}
	jwk := metadata["jwks"].(map[string]any)["keys"].([]any)[0].(map[string]any)
	if jwk["alg"] != "ECDH-ES" || jwk["use"] != "enc" || jwk["crv"] != "P-256" || jwk["kid"] == "" || jwk["d"] != nil {
		t.Errorf("got %v", jwk)
	}
}

// After a refusal too the browser that began is led back, once, and no other learns anything.
func TestSameDeviceRefused(t *testing.T) {
	w := newVPWorld(t)
	for _, browser := range []string{"mine", "another"} {
		s := w.create(verifier.CreateOptions{Query: wageQuery(t), SameDevice: true, Browser: "mine"})
		r := w.fetch(s.Link)
		status, body := w.send(r, &oid4vc.VPResponse{Error: &oid4vc.ErrorResponse{Code: oid4vc.CodeAccessDenied}, State: r.State})
		answer, err := oid4vc.ParseVPAnswer(body)
		if err != nil || status != http.StatusOK || answer.RedirectURI == "" {
			t.Fatalf("got %d %s, %v", status, body, err)
		}
		want, end := http.StatusOK, verifier.Refused
		if browser != "mine" {
			want, end = http.StatusForbidden, verifier.Failed
		}
		if status, body := w.get(answer.RedirectURI, browser); status != want {
			t.Errorf("as %s: %d %s", browser, status, body)
		}
		if now := w.session(s.ID); now.Status != end {
			t.Errorf("as %s: %+v", browser, now)
		}
		if status, _ := w.get(answer.RedirectURI, "mine"); status != http.StatusBadRequest {
			t.Errorf("the code again: %d", status)
		}
	}
}

// An assessment in one step, by wallets that show everything, know no "multiple", withhold a month, never had it in the plan, or open nothing.
func TestAssessmentInOneStep(t *testing.T) {
	w := newVPWorld(t)
	all := []string{w.Engagement, w.payment, w.receipt}
	isMonth := func(m attestation.Period) func(path []any) bool {
		return func(path []any) bool { return len(path) > 2 && path[2] == string(m) }
	}
	for _, c := range []struct {
		name     string
		wallet   holding
		from, to attestation.Period
		want     compliance.Finding // of W-05 in November
		amount   compliance.Finding // of W-03 there
	}{
		{"everything", holding{held: all}, "2025-11", "2025-12", compliance.Fulfilled, compliance.Fulfilled},
		{"no multiple", holding{held: all, single: true}, "2025-11", "2025-12", compliance.Fulfilled, compliance.Fulfilled},
		{"the engagement alone", holding{held: all[:1]}, "2025-11", "2025-12", compliance.Fulfilled, compliance.Undisclosed},
		{"months before the contract", holding{held: all}, "2025-02", "2025-12", compliance.Fulfilled, compliance.Fulfilled},
		{"a month after the contract", holding{held: all}, "2025-11", "2026-03", compliance.Fulfilled, compliance.Fulfilled},
		{"by default the last twelve", holding{held: all}, "", "", compliance.Fulfilled, compliance.Fulfilled},
		{"the first month withheld", holding{held: all[:1], withhold: isMonth(november)}, "2025-11", "2025-12", compliance.Undisclosed, compliance.Unknown},
		{"the last month withheld", holding{held: all[:1], withhold: isMonth("2025-12")}, "2025-11", "2025-12", compliance.Undisclosed, compliance.Unknown},
		{"terms withheld", holding{held: all[:1], withhold: func(path []any) bool { return path[0] == "terms" }}, "2025-11", "2025-12", compliance.Fulfilled, compliance.Undisclosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.wallet.vpWorld = w
			s := w.create(verifier.CreateOptions{OneStep: true, From: c.from, To: c.to})
			c.wallet.answer(s.Link)
			if got := findings(w.assessment(s.ID)); got["W-05"] != c.want || got["W-03"] != c.amount {
				t.Errorf("got %v, want %v and %v", got, c.want, c.amount)
			}
		})
	}
	for name, o := range map[string]verifier.CreateOptions{
		"more months than can be asked": {OneStep: true, From: "2023-01", To: "2025-12"},
		"to come":                       {OneStep: true, From: "2026-01", To: "2026-03"},
		"backwards":                     {OneStep: true, From: "2025-12", To: "2025-11"},
		"no months":                     {OneStep: true, From: "2025-Q4", To: "2025-12"},
		"no period":                     {From: "x"},
		"no last period":                {To: "2025-13"},
		"backwards in two steps":        {From: "2025-12", To: "2025-11"},
		"months of a query":             {Query: wageQuery(t), From: "2025-11"},
		"one step of a query":           {Query: wageQuery(t), OneStep: true},
	} {
		if _, err := w.vp.Create(context.Background(), o); !errors.Is(err, verifier.ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
