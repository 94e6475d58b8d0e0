package verifier_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
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
		{"sd_hash missing", binding(func(_ keys.Header, claims map[string]any) { delete(claims, "sd_hash") }), "kb.claims"},
		{"sd_hash in standard base64", kbClaim("sd_hash", strings.Repeat("A", 43)+"="), "kb.sd_hash"},
		{"iat missing", binding(func(_ keys.Header, claims map[string]any) { delete(claims, "iat") }), "kb.claims"},
		{"iat as text", kbClaim("iat", "now"), "kb.claims"},
		{"key binding expired", kbClaim("exp", now.Add(-time.Second).Unix()), "kb.iat"},
		{"key binding without typ", binding(func(h keys.Header, _ map[string]any) { delete(h, "typ") }), "kb.type"},
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
		{"issuer not accredited for the type", func(r *oid4vc.PresentationRequest, p parts) string {
			p.jwt = signedAnew(t, w.Bank.Key, p.jwt, func(h keys.Header, claims map[string]any) {
				h["kid"], claims["iss"] = w.Bank.Key.Public().Thumbprint(), w.Bank.Issuer
			})
			return p.rebound(w, r)
		}, "issuer.accredited"},
		{"issuer not accredited at the time", claim("iat", evidencetest.At(2025, 9, 30, 0).Unix()), "issuer.accredited"},
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
		{"digest that is no text", credential(func(_ keys.Header, claims map[string]any) {
			claims["_sd"] = append(claims["_sd"].([]any), 1)
		}), "disclosure.digests"},
		{"a claim that must be visible hidden", func(r *oid4vc.PresentationRequest, p parts) string {
			hidden := base64.RawURLEncoding.EncodeToString([]byte(`["AAAAAAAAAAAAAAAAAAAAAA","status",{}]`))
			digest := sha256.Sum256([]byte(hidden))
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) {
				claims["_sd"] = append(claims["_sd"].([]any), base64.RawURLEncoding.EncodeToString(digest[:]))
			})
			p.disclosures = append(p.disclosures, hidden)
			return p.rebound(w, r)
		}, "disclosure.never"},
		{"a disclosure named _sd", func(r *oid4vc.PresentationRequest, p parts) string {
			hidden := base64.RawURLEncoding.EncodeToString([]byte(`["AAAAAAAAAAAAAAAAAAAAAA","_sd",[]]`))
			digest := sha256.Sum256([]byte(hidden))
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) {
				claims["_sd"] = append(claims["_sd"].([]any), base64.RawURLEncoding.EncodeToString(digest[:]))
			})
			p.disclosures = append(p.disclosures, hidden)
			return p.String()
		}, "disclosure.reserved_name"},
		{"alg none", func(r *oid4vc.PresentationRequest, p parts) string {
			segments := strings.Split(p.jwt, ".")
			p.jwt = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"dc+sd-jwt","kid":"`+w.Employer.Key.Public().Thumbprint()+`"}`)) + "." + segments[1] + "."
			return p.rebound(w, r)
		}, "credential.algorithm"},
		{"critical header", func(r *oid4vc.PresentationRequest, p parts) string {
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(h keys.Header, _ map[string]any) { h["crit"] = []string{"x"} })
			return p.String()
		}, "credential.header"},
		{"claim shown and hidden", claim("net", 1), "disclosure.name_taken"},
		{"claim asked for withheld", func(r *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = nil
			return p.rebound(w, r)
		}, "query.claims"},
		{"claim shown that was not asked for", func(r *oid4vc.PresentationRequest, p parts) string {
			p.disclosures = partsOf(w.payment).disclosures
			return p.rebound(w, r)
		}, "query.unasked"},
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
		{"key wrapping", both, sealed(func(compact string) string {
			_, rest, _ := strings.Cut(compact, ".")
			return "eyJhbGciOiJFQ0RILUVTK0ExMjhLVyIsImVuYyI6IkEyNTZHQ00ifQ." + rest // {"alg":"ECDH-ES+A128KW","enc":"A256GCM"}
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
		{"vp_token as array", plain, body(oid4vc.MediaTypeForm, `vp_token=["x"]`), 400, "response.vp_token"},
		{"vp_token as text", plain, body(oid4vc.MediaTypeForm, `vp_token=x~y~`), 400, "response.vp_token"},
		{"empty array", plain, body(oid4vc.MediaTypeForm, `vp_token={"wage":[]}`), 400, "response.vp_token"},
		{"object for a text", plain, body(oid4vc.MediaTypeForm, `vp_token={"wage":[{}]}`), 400, "response.vp_token"},
		{"empty id", plain, body(oid4vc.MediaTypeForm, `vp_token={"":["x"]}&state=x`), 400, "response.state"},
		{"no JWE", both, body(oid4vc.MediaTypeForm, `response=x`), 400, "response.decrypt"},
		{"a signed token for a JWE", both, body(oid4vc.MediaTypeForm, `response=e30.e30.AA`), 400, "response.decrypt"},
		{"JWE and vp_token", both, body(oid4vc.MediaTypeForm, `response=x&vp_token={}`), 400, "response.form"},
		{"error and vp_token", plain, body(oid4vc.MediaTypeForm, `error=access_denied&vp_token={}`), 400, "response.form"},
		{"error of another session", plain, body(oid4vc.MediaTypeForm, `error=access_denied&state=x`), 400, "response.state"},
		{"multipart", plain, body("multipart/form-data; boundary=x", "--x--"), 400, "response.form"},
		{"other charset", plain, body("application/x-www-form-urlencoded; charset=shift_jis", "vp_token={}"), 400, "response.form"},
		{"just too large", plain, body(oid4vc.MediaTypeForm, "vp_token="+strings.Repeat("x", 1<<20-8)), 413, "response.too_large"},
		{"as large as can be", plain, body(oid4vc.MediaTypeForm, "vp_token="+strings.Repeat("x", 1<<20-9)), 400, "response.vp_token"},
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

	// Unless it was made for another request: then nothing of the response counts.
	s, r, token = second(w.Engagement, w.payment, w.receipt)
	_, other, _ := second(w.Engagement, w.receipt)
	token["wage-receipt"] = (&holding{vpWorld: w, held: []string{w.receipt, w.Engagement}}).token(other)["wage-receipt"]
	if status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State}); status != 400 {
		t.Errorf("with one of another request: %d %s", status, body)
	}
	if now := w.session(s.ID); now.Status != verifier.Failed || now.Reason != "kb.nonce" {
		t.Errorf("got %+v", now)
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

// The transaction that the holder agreed to is confirmed by the key binding of one of the credentials that it names, or nothing is.
func TestTransactionData(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment, w.receipt}}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	either := encode(`{"type":"t","credential_ids":["wage","receipt"]}`)
	wage := encode(`{"type":"u","credential_ids":["wage"],"transaction_data_hashes_alg":["sha-256"]}`)
	both := []string{either, wage}
	hashes := func(of ...string) map[string]any {
		out := make([]string, len(of))
		for i := range of {
			out[i] = oid4vc.TransactionHash(of[i])
		}
		return map[string]any{"transaction_data_hashes": out, "transaction_data_hashes_alg": "sha-256"}
	}
	for _, c := range []struct {
		name    string
		data    []string
		claims  map[string]map[string]any // by the credential whose key binding has them
		refused bool
	}{
		{"by the one", []string{wage}, map[string]map[string]any{"wage": hashes(wage)}, false},
		{"by one of two", []string{either}, map[string]map[string]any{"receipt": hashes(either)}, false},
		{"both by one", both, map[string]map[string]any{"wage": hashes(wage, either)}, false},
		{"each by another", both, map[string]map[string]any{"wage": hashes(wage), "receipt": hashes(either)}, false},
		{"algorithm by default", []string{either}, map[string]map[string]any{"wage": {"transaction_data_hashes": hashes(either)["transaction_data_hashes"]}}, false},
		{"unasked", nil, map[string]map[string]any{"wage": hashes(either)}, true},
		{"by none", []string{either}, nil, true},
		{"one of two", both, map[string]map[string]any{"wage": hashes(wage)}, true},
		{"by another credential", []string{wage}, map[string]map[string]any{"receipt": hashes(wage)}, true},
		{"of other data", []string{either}, map[string]map[string]any{"wage": hashes("x")}, true},
		{"algorithm not named", []string{wage}, map[string]map[string]any{"wage": {"transaction_data_hashes": hashes(wage)["transaction_data_hashes"]}}, true},
		{"another algorithm", []string{wage}, map[string]map[string]any{"wage": {"transaction_data_hashes": hashes(wage)["transaction_data_hashes"], "transaction_data_hashes_alg": "sha-512"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := wageQuery(t)
			q.Credentials = append(q.Credentials, dcql.Credential{ID: "receipt", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{VCTs: []string{attestation.TypeWageReceipt.VCT()}}})
			s := w.create(verifier.CreateOptions{Query: q, TransactionData: c.data})
			r := w.fetch(s.Link)
			token := wallet.token(r)
			for id, claims := range c.claims {
				p := partsOf(token[id][0])
				p.kb = signedAnew(t, w.Holder, p.kb, func(_ keys.Header, all map[string]any) { maps.Copy(all, claims) })
				token[id] = []string{p.String()}
			}
			w.send(r, &oid4vc.VPResponse{Token: token, State: r.State})
			now := w.session(s.ID)
			if refused := now.Status == verifier.Failed; refused != c.refused || refused && now.Reason != "kb.transaction_data" {
				t.Errorf("got %s for %q", now.Status, now.Reason)
			}
		})
	}
	for name, q := range map[string]*dcql.Query{
		"for what is not asked":  {Credentials: []dcql.Credential{{ID: "x", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{}}}},
		"without holder binding": {Credentials: []dcql.Credential{{ID: "wage", Format: dcql.FormatSDJWTVC, Meta: &dcql.Meta{}, HolderBinding: dcql.Bool(false)}}},
	} {
		if _, err := w.vp.Create(context.Background(), verifier.CreateOptions{Query: q, TransactionData: []string{wage}}); !errors.Is(err, verifier.ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Where no holder binding is asked for, one that comes all the same must hold (Appendix B.3).
func TestHolderBindingUnasked(t *testing.T) {
	w := newVPWorld(t)
	q := wageQuery(t)
	q.Credentials[0].HolderBinding = dcql.Bool(false)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	for name, c := range map[string]struct {
		present func(r *oid4vc.PresentationRequest, bare string) string
		reason  string
	}{
		"none": {func(_ *oid4vc.PresentationRequest, bare string) string { return bare }, ""},
		"good": {func(r *oid4vc.PresentationRequest, bare string) string { return partsOf(bare).rebound(w, r) }, ""},
		"nonce": {func(r *oid4vc.PresentationRequest, bare string) string {
			r.Nonce = "x"
			return partsOf(bare).rebound(w, r)
		}, "kb.nonce"},
		"of a credential that is bound to nobody": {func(r *oid4vc.PresentationRequest, bare string) string {
			p := partsOf(partsOf(bare).rebound(w, r))
			p.jwt = signedAnew(t, w.Employer.Key, p.jwt, func(_ keys.Header, claims map[string]any) { delete(claims, "cnf") })
			return p.String()
		}, "kb.no_key"},
	} {
		s := w.create(verifier.CreateOptions{Query: q})
		r := w.fetch(s.Link)
		shown := c.present(r, wallet.token(r)["wage"][0])
		w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"wage": {shown}}, State: r.State})
		if now := w.session(s.ID); now.Reason != c.reason || (now.Status == verifier.Answered) != (c.reason == "") {
			t.Errorf("%s: got %s for %q", name, now.Status, now.Reason)
		}
	}
}

// A key that was reported as compromised signs nothing any more that is believed without the registry.
func TestCompromisedIssuer(t *testing.T) {
	w := newVPWorld(t)
	entities := w.Entities()
	for _, e := range entities {
		if e.ID == w.Employer.ID {
			e.Compromised = []trustlist.Compromise{{Kid: w.Employer.Key.Public().Thumbprint(), Since: w.World.Now.Add(-time.Hour)}}
		}
	}
	w.AddTrustList(entities...)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
	r := w.fetch(s.Link)
	status, body := w.send(r, &oid4vc.VPResponse{Token: wallet.token(r), State: r.State})
	if now := w.session(s.ID); status != http.StatusBadRequest || now.Status != verifier.Failed || now.Reason != "issuer.compromised" {
		t.Errorf("got %d %s, %+v", status, body, now)
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

// An engagement that stands in the registry, by somebody who may not issue any, or not then.
func TestAssessmentOfNobodyAccredited(t *testing.T) {
	from, to := attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 31)
	for name, c := range map[string]struct {
		engage func(w *vpWorld)
		reason string
	}{
		"not for the type": {func(w *vpWorld) {
			claims := w.Claims(from, to)
			claims["iss"] = w.Bank.Issuer
			w.EngageBy(w.Bank, 0, w.Issue(w.Bank.Key, claims))
		}, "engagement.not_logged"}, // where those who may would have logged it
		"not at the time": {func(w *vpWorld) {
			entities := w.Entities()
			for _, e := range entities {
				e.From = attestation.NewDate(2025, 11, 5)
			}
			w.AddTrustList(entities...)
			w.Engage(0, w.Claims(from, to))
		}, evidence.CodeEngagementIssuer},
	} {
		t.Run(name, func(t *testing.T) {
			w := &vpWorld{World: evidencetest.New(t, evidencetest.At(2025, 10, 30, 9)), t: t}
			w.World.Now = evidencetest.At(2025, 10, 30, 10)
			c.engage(w)
			w.CloseEpoch()
			w.World.Now = evidencetest.At(2025, 12, 8, 9)
			w.CloseEpoch()
			w.serve()
			wallet := &holding{vpWorld: w, held: []string{w.Engagement}}
			s := w.create(verifier.CreateOptions{})
			wallet.answer(s.Link)
			r := w.fetch(w.session(s.ID).Link)
			status, body := w.send(r, &oid4vc.VPResponse{Token: wallet.token(r), State: r.State})
			if now := w.session(s.ID); status != http.StatusBadRequest || now.Status != verifier.Failed || now.Reason != c.reason || now.Result != nil {
				t.Errorf("got %d %s, %s for %q", status, body, now.Status, now.Reason)
			}
		})
	}
}
