package verifier_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/verifier"
)

// parts are an SD-JWT with key binding in its parts.
type parts struct {
	jwt         string
	disclosures []string
	kb          string
}

func partsOf(compact string) parts {
	all := strings.Split(compact, "~")
	return parts{all[0], all[1 : len(all)-1], all[len(all)-1]}
}

func (p parts) String() string {
	return p.jwt + "~" + strings.Join(append(slices.Clone(p.disclosures), ""), "~") + p.kb
}

// rebound gives the presentation a new key binding over what it is now, so that another rule is the one that is broken.
func (p parts) rebound(w *vpWorld, r *oid4vc.PresentationRequest) string {
	w.t.Helper()
	p.kb = ""
	bound, err := sdjwt.BindKey(p.String(), w.Holder, r.ClientID, r.Nonce, w.World.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	return bound
}

// Each row spoils one thing of a good presentation. Every one is answered with 4xx, ends the session with its reason, and shows nothing.
func TestHostilePresentations(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	stranger := evidencetest.Key(t)
	binding := func(spoil func(header keys.Header, claims map[string]any)) func(*oid4vc.PresentationRequest, parts) string {
		return func(_ *oid4vc.PresentationRequest, p parts) string {
			p.kb = signedAnew(t, w.Holder, p.kb, spoil)
			return p.String()
		}
	}
	kbClaim := func(name string, value any) func(*oid4vc.PresentationRequest, parts) string {
		return binding(func(_ keys.Header, claims map[string]any) { claims[name] = value })
	}
	credential := func(spoil func(header keys.Header, claims map[string]any)) func(*oid4vc.PresentationRequest, parts) string {
		return func(r *oid4vc.PresentationRequest, p parts) string {
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, spoil)
			return p.rebound(w, r)
		}
	}
	claim := func(name string, value any) func(*oid4vc.PresentationRequest, parts) string {
		return credential(func(_ keys.Header, claims map[string]any) { claims[name] = value })
	}
	now := w.World.Now
	for _, c := range []struct {
		name   string
		spoil  func(*oid4vc.PresentationRequest, parts) string
		reason string
	}{
		{"nonce", kbClaim("nonce", "another"), "kb.nonce"},
		{"nonce missing", binding(func(_ keys.Header, claims map[string]any) { delete(claims, "nonce") }), "kb.claims"},
		{"aud", kbClaim("aud", "x509_san_dns:other.test"), "kb.audience"},
		{"aud without prefix", kbClaim("aud", "verifier.test"), "kb.audience"},
		{"aud as array", kbClaim("aud", []string{"x509_san_dns:verifier.test"}), "kb.claims"},
		{"sd_hash", kbClaim("sd_hash", strings.Repeat("A", 43)), "kb.sd_hash"},
		{"disclosure left out after binding", func(_ *oid4vc.PresentationRequest, p parts) string { p.disclosures = nil; return p.String() }, "kb.sd_hash"},
		{"iat long ago", kbClaim("iat", now.Add(-10*time.Minute).Unix()), "kb.iat"},
		{"iat ahead", kbClaim("iat", now.Add(10*time.Minute).Unix()), "kb.iat"},
		{"typ of the key binding", binding(func(h keys.Header, _ map[string]any) { h["typ"] = "JWT" }), "kb.type"},
		{"key binding by another key", func(_ *oid4vc.PresentationRequest, p parts) string {
			p.kb = signedAnew(t, stranger, p.kb, func(keys.Header, map[string]any) {})
			return p.String()
		}, "kb.signature"},
		{"signature of the key binding", func(_ *oid4vc.PresentationRequest, p parts) string {
			p.kb = p.kb[:len(p.kb)-10] + flipped(p.kb[len(p.kb)-10:len(p.kb)-9]) + p.kb[len(p.kb)-9:]
			return p.String()
		}, "kb.signature"},
		{"no key binding", func(_ *oid4vc.PresentationRequest, p parts) string { p.kb = ""; return p.String() }, "kb.missing"},
		{"credential bound to nobody", func(r *oid4vc.PresentationRequest, p parts) string {
			kb := p.kb
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) { delete(claims, "cnf") })
			p.kb = kb
			return p.String()
		}, "kb.no_key"},
		{"credential of another key", func(r *oid4vc.PresentationRequest, p parts) string {
			p.jwt = signedAnew(t, stranger, p.jwt, func(keys.Header, map[string]any) {})
			return p.rebound(w, r)
		}, "credential.signature"},
		{"payload changed", func(r *oid4vc.PresentationRequest, p parts) string {
			segments := strings.Split(p.jwt, ".")
			again := strings.Split(signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) { claims["method"] = "cash" }), ".")
			p.jwt = segments[0] + "." + again[1] + "." + segments[2]
			return p.rebound(w, r)
		}, "credential.signature"},
		{"issuer unknown", credential(func(h keys.Header, _ map[string]any) { h["kid"] = stranger.Public().Thumbprint() }), "issuer.listed"},
		{"issuer's key not named", credential(func(h keys.Header, _ map[string]any) { delete(h, "kid") }), "issuer.listed"},
		{"iss of another", claim("iss", w.Bank.Issuer), "credential.issuer"},
		{"typ of the credential", credential(func(h keys.Header, _ map[string]any) { h["typ"] = "vc+sd-jwt" }), "credential.typ"},
		{"vct", claim("vct", attestation.TypeWageReceipt.VCT()), "credential.vct"},
		{"vct missing", credential(func(_ keys.Header, claims map[string]any) { delete(claims, "vct") }), "credential.vct"},
		{"expired", claim("exp", now.Add(-time.Hour).Unix()), "credential.expired"},
		{"not yet valid", claim("nbf", now.Add(time.Hour).Unix()), "credential.not_yet_valid"},
		{"hash algorithm", claim("_sd_alg", "sha-512"), "disclosure.hash"},
		{"disclosure twice", func(r *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = append(p.disclosures, p.disclosures[0])
			return p.rebound(w, r)
		}, "disclosure.digest_twice"},
		{"disclosure of another credential", func(r *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = append(p.disclosures, partsOf(w.receipt).disclosures[0])
			return p.rebound(w, r)
		}, "disclosure.unreferenced"},
		{"disclosure no JSON", func(_ *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = append(p.disclosures, "AAAA")
			return p.String()
		}, "disclosure.malformed"},
		{"digest twice", credential(func(_ keys.Header, claims map[string]any) {
			sd := claims["_sd"].([]any)
			claims["_sd"] = append(sd, sd[0])
		}), "disclosure.digest_twice"},
		{"claim shown and hidden", claim("net", 1), "disclosure.name_taken"},
		{"claim asked for withheld", func(r *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = nil
			return p.rebound(w, r)
		}, "query.claims"},
		{"no SD-JWT", func(*oid4vc.PresentationRequest, parts) string { return "x" }, "credential.form"},
		{"no tilde", func(_ *oid4vc.PresentationRequest, p parts) string { return p.jwt }, "credential.form"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
			r := w.fetch(s.Link)
			good := wallet.token(r)["wage"][0]
			token := oid4vc.VPToken{"wage": {c.spoil(r, partsOf(good))}}
			status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State})
			if status != http.StatusBadRequest || strings.Contains(string(body), "212000") || !strings.Contains(string(body), c.reason) {
				t.Errorf("got %d %s", status, body)
			}
			if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != c.reason || now.Result != nil {
				t.Errorf("got %s for %q, want %q", now.Status, now.Reason, c.reason)
			}
			if status, _ := w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"wage": {good}}, State: r.State}); status != http.StatusBadRequest {
				t.Errorf("a good response after that: %d", status)
			}
		})
	}
}

// Each row spoils the response around good presentations.
func TestHostileResponses(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	form := func(mode string, spoil func(r *oid4vc.PresentationRequest, v *oid4vc.VPResponse)) func(*oid4vc.PresentationRequest) (string, string) {
		return func(r *oid4vc.PresentationRequest) (string, string) {
			v := &oid4vc.VPResponse{Token: wallet.token(r), State: r.State}
			spoil(r, v)
			out, err := v.FormFor(&oid4vc.PresentationRequest{ResponseMode: mode, Metadata: r.Metadata})
			if err != nil {
				t.Fatal(err)
			}
			return oid4vc.MediaTypeForm, out.Encode()
		}
	}
	body := func(mediaType, text string) func(*oid4vc.PresentationRequest) (string, string) {
		return func(*oid4vc.PresentationRequest) (string, string) { return mediaType, text }
	}
	sealed := func(change func(compact string) string) func(*oid4vc.PresentationRequest) (string, string) {
		return func(r *oid4vc.PresentationRequest) (string, string) {
			_, text := form(oid4vc.ModeDirectPostJWT, func(*oid4vc.PresentationRequest, *oid4vc.VPResponse) {})(r)
			out, err := url.ParseQuery(text)
			if err != nil {
				t.Fatal(err)
			}
			return oid4vc.MediaTypeForm, url.Values{"response": {change(out.Get("response"))}}.Encode()
		}
	}
	asIs := func(*oid4vc.PresentationRequest, *oid4vc.VPResponse) {}
	const both, plain = oid4vc.ModeDirectPostJWT, oid4vc.ModeDirectPost
	for _, c := range []struct {
		name, mode string
		response   func(*oid4vc.PresentationRequest) (mediaType, body string)
		status     int
		reason     string
	}{
		{"state of another", both, form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) { v.State = "x" }), 400, "response.state"},
		{"state missing", plain, form(plain, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) { v.State = "" }), 400, "response.state"},
		{"in clear", both, form(plain, asIs), 400, "response.not_encrypted"},
		{"encrypted to whom", plain, func(r *oid4vc.PresentationRequest) (string, string) {
			other := w.fetch(w.create(verifier.CreateOptions{Query: wageQuery(t)}).Link)
			return form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) { r.Metadata = other.Metadata })(r)
		}, 400, "response.encrypted"},
		{"encrypted for another request", both, func(r *oid4vc.PresentationRequest) (string, string) {
			other := w.fetch(w.create(verifier.CreateOptions{Query: wageQuery(t)}).Link)
			return form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) { r.Metadata = other.Metadata })(r)
		}, 400, "response.decrypt"},
		{"enc not offered", both, sealed(func(compact string) string {
			_, rest, _ := strings.Cut(compact, ".")
			return "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTEyOENCQy1IUzI1NiJ9." + rest // {"alg":"ECDH-ES","enc":"A128CBC-HS256"}
		}), 400, "response.decrypt"},
		{"ciphertext changed", both, sealed(func(compact string) string { return compact[:len(compact)-4] + "AAAA" }), 400, "response.decrypt"},
		{"presentation of another request", both, func(r *oid4vc.PresentationRequest) (string, string) {
			other := w.fetch(w.create(verifier.CreateOptions{Query: wageQuery(t)}).Link)
			return form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) { v.Token = wallet.token(other) })(r)
		}, 400, "kb.nonce"},
		{"id that was not asked for", both, form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) {
			v.Token["more"] = v.Token["wage"]
		}), 400, "query.unknown_id"},
		{"two where one was asked for", both, form(both, func(_ *oid4vc.PresentationRequest, v *oid4vc.VPResponse) {
			v.Token["wage"] = append(v.Token["wage"], v.Token["wage"][0])
		}), 400, "query.count"},
		{"string for an array", plain, func(r *oid4vc.PresentationRequest) (string, string) {
			return oid4vc.MediaTypeForm, url.Values{"vp_token": {`{"wage":"x"}`}, "state": {r.State}}.Encode()
		}, 400, "response.vp_token"},
		{"nothing", plain, body(oid4vc.MediaTypeForm, ""), 400, "response.vp_token"},
		{"parameter twice", plain, body(oid4vc.MediaTypeForm, "state=a&state=b"), 400, "response.form"},
		{"no form", plain, body(oid4vc.MediaTypeForm, "%zz"), 400, "response.form"},
		{"JSON", plain, body("application/json", "{}"), 400, "response.form"},
		{"too large", plain, body(oid4vc.MediaTypeForm, "vp_token="+strings.Repeat("x", 2<<20)), 413, "response.too_large"},
		{"deep JSON", plain, body(oid4vc.MediaTypeForm, "vp_token="+strings.Repeat("[", 1000)), 400, "response.vp_token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.create(verifier.CreateOptions{Query: wageQuery(t), Mode: c.mode})
			r := w.fetch(s.Link)
			uri := r.ResponseURI
			mediaType, text := c.response(r)
			if status, answer := w.post(uri, mediaType, text); status != c.status {
				t.Errorf("got %d %s", status, answer)
			}
			if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != c.reason || now.Result != nil {
				t.Errorf("got %s for %q, want %q", now.Status, now.Reason, c.reason)
			}
		})
	}
}

func TestResponseIsTakenOnce(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
	r := w.fetch(s.Link)
	response := &oid4vc.VPResponse{Token: wallet.token(r), State: r.State}
	form, err := response.FormFor(r)
	if err != nil {
		t.Fatal(err)
	}
	var taken, refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := w.http.PostForm(r.ResponseURI, form)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			switch resp.StatusCode {
			case http.StatusOK:
				taken++
			case http.StatusBadRequest:
				refused++
			}
		})
	}
	wg.Wait()
	if taken != 1 || refused != 7 || w.session(s.ID).Status != verifier.Answered {
		t.Errorf("%d taken, %d refused, %+v", taken, refused, w.session(s.ID))
	}
	for target, want := range map[string]int{r.ResponseURI: 400, vpURL + "/vp/response/unknown": 404} {
		if status, _ := w.postForm(target, form); status != want {
			t.Errorf("again to %s: got %d, want %d", target, status, want)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodOptions, http.MethodPut} {
		req, err := http.NewRequest(method, r.ResponseURI, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := w.do(req); status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, status)
		}
	}
	if w.session(s.ID).Status != verifier.Answered {
		t.Error("a replay changed the session")
	}
}

// Of an assessment, what the registry does not bear out is refused like what is not signed, and one bad attestation costs that one only.
func TestHostileAssessments(t *testing.T) {
	w := newVPWorld(t)
	second := func(held ...string) (*verifier.View, *oid4vc.PresentationRequest, oid4vc.VPToken) {
		wallet := &holding{vpWorld: w, held: held}
		s := w.create(verifier.CreateOptions{})
		wallet.answer(s.Link)
		r := w.fetch(w.session(s.ID).Link)
		return s, r, wallet.token(r)
	}

	s, r, token := second(w.Engagement, w.payment, w.receipt)
	bad := partsOf(token["wage-receipt"][0])
	bad.kb = signedAnew(t, evidencetest.Key(t), bad.kb, func(keys.Header, map[string]any) {})
	token["wage-receipt"] = []string{bad.String()}
	if status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State}); status != 200 {
		t.Fatalf("got %d %s", status, body)
	}
	if got := findings(w.assessment(s.ID)); got["W-05"] == 0 {
		t.Errorf("got %v", got)
	}

	s, r, token = second(w.Engagement, w.payment)
	delete(token, "engagement")
	if status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State}); status != 400 {
		t.Errorf("without the engagement: %d %s", status, body)
	}
	if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != "query.unsatisfied" {
		t.Errorf("got %+v", now)
	}

	// An engagement that nobody logged.
	unlogged := w.Issue(w.Employer.Key, w.Claims(attestation.NewDate(2025, 11, 1), attestation.NewDate(2026, 1, 31)))
	s, r, token = second(unlogged)
	status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State})
	if now := w.session(s.ID); status != 400 || now.Status != verifier.Failed || now.Reason != evidence.CodeEngagementLadder && now.Reason != "engagement.not_logged" {
		t.Errorf("an engagement that nobody logged: %d %s, %+v", status, body, now)
	}
}

// The transaction that the holder agreed to is confirmed by the key binding, or nothing is.
func TestTransactionData(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	data := "eyJ0eXBlIjoidCIsImNyZWRlbnRpYWxfaWRzIjpbIndhZ2UiXX0" // {"type":"t","credential_ids":["wage"]}
	for hash, want := range map[string]verifier.Status{oid4vc.TransactionHash(data): verifier.Answered, "x": verifier.Failed, "": verifier.Failed} {
		s := w.create(verifier.CreateOptions{Query: wageQuery(t), TransactionData: []string{data}})
		r := w.fetch(s.Link)
		p := partsOf(wallet.token(r)["wage"][0])
		p.kb = signedAnew(t, w.Holder, p.kb, func(_ keys.Header, claims map[string]any) {
			if hash != "" {
				claims["transaction_data_hashes"] = []string{hash}
			}
		})
		w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"wage": {p.String()}}, State: r.State})
		if now := w.session(s.ID); now.Status != want || want == verifier.Failed && now.Reason != "kb.transaction_data" {
			t.Errorf("hash %q: got %+v", hash, now)
		}
	}
}

// unreachable is a registry that looks nothing up, and where lists is set does not give its trust lists either.
type unreachable struct {
	evidence.Source
	lists bool
}

var errDown = errors.New("no route")

func (u unreachable) Lookup(context.Context, []registry.Key) (*registry.LookupResponse, error) {
	return nil, errDown
}

func (u unreachable) TrustLists(ctx context.Context) (*registry.TrustListsResponse, error) {
	if u.lists {
		return nil, errDown
	}
	return u.Source.TrustLists(ctx)
}

// Where the registry does not answer the wallet is told that it was not its fault, and the session ends.
func TestRegistryDown(t *testing.T) {
	for _, lists := range []bool{true, false} {
		w := newVPWorld(t)
		wallet := &holding{vpWorld: w, held: []string{w.Engagement}}
		s := w.create(verifier.CreateOptions{})
		wallet.answer(s.Link)
		r := w.fetch(w.session(s.ID).Link)
		w.vp.Registry = unreachable{w.World, lists}
		if status, body := w.send(r, &oid4vc.VPResponse{Token: wallet.token(r), State: r.State}); status != http.StatusServiceUnavailable || strings.Contains(string(body), "no route") {
			t.Errorf("got %d %s", status, body)
		}
		if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != "registry.unavailable" {
			t.Errorf("got %+v", now)
		}
	}
}
