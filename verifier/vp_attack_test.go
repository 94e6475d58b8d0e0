package verifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/verifier"
)

// Each row is an encrypted response that is wrong in its envelope, or right there and wrong in how its content is written.
func TestHostileEnvelopes(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	content := func(r *oid4vc.PresentationRequest) string {
		text, err := json.Marshal(map[string]any{"vp_token": wallet.token(r), "state": r.State})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	seal := func(r *oid4vc.PresentationRequest, kid string, deflate bool, text string) string {
		key, enc, err := r.Metadata.Encryption()
		if err != nil {
			t.Fatal(err)
		}
		if kid == "" {
			kid = key.KID()
		}
		to, err := keys.NewEncryptionKey(key.Public(), kid)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := keys.EncryptMessage(to, enc, deflate, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return compact
	}
	header := func(change func(map[string]any)) func(*oid4vc.PresentationRequest) string {
		return func(r *oid4vc.PresentationRequest) string {
			first, rest, _ := strings.Cut(seal(r, "", false, content(r)), ".")
			text, err := base64.RawURLEncoding.DecodeString(first)
			if err != nil {
				t.Fatal(err)
			}
			var members map[string]any
			if err := json.Unmarshal(text, &members); err != nil {
				t.Fatal(err)
			}
			change(members)
			if text, err = json.Marshal(members); err != nil {
				t.Fatal(err)
			}
			return base64.RawURLEncoding.EncodeToString(text) + "." + rest
		}
	}
	other := evidencetest.Key(t).Public()
	for _, c := range []struct {
		name   string
		make   func(*oid4vc.PresentationRequest) string
		reason string
	}{
		{"good", func(r *oid4vc.PresentationRequest) string { return seal(r, "", false, content(r)) }, ""},
		{"unknown members in it", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, `{"more":[{}],`+content(r)[1:])
		}, ""},
		{"kid of another key", func(r *oid4vc.PresentationRequest) string { return seal(r, "another", false, content(r)) }, "response.decrypt"},
		{"compressed", func(r *oid4vc.PresentationRequest) string { return seal(r, "", true, content(r)) }, "response.decrypt"},
		{"a compression bomb", func(r *oid4vc.PresentationRequest) string { return seal(r, "", true, strings.Repeat(" ", 64<<20)) }, "response.decrypt"},
		{"alg dir", header(func(m map[string]any) { m["alg"] = "dir" }), "response.decrypt"},
		{"alg RSA1_5", header(func(m map[string]any) { m["alg"] = "RSA1_5" }), "response.decrypt"},
		{"alg none", header(func(m map[string]any) { m["alg"] = "none" }), "response.decrypt"},
		{"no epk", header(func(m map[string]any) { delete(m, "epk") }), "response.decrypt"},
		{"epk of another", header(func(m map[string]any) {
			var jwk map[string]any
			if err := json.Unmarshal(other.JWK(), &jwk); err != nil {
				t.Fatal(err)
			}
			m["epk"] = jwk
		}), "response.decrypt"},
		{"epk off the curve", header(func(m map[string]any) { e := m["epk"].(map[string]any); e["x"] = e["y"] }), "response.decrypt"},
		{"epk of another curve", header(func(m map[string]any) { m["epk"].(map[string]any)["crv"] = "P-384" }), "response.decrypt"},
		{"apv put in afterwards", header(func(m map[string]any) { m["apv"] = "AAAA" }), "response.decrypt"},
		{"apu of another kind", header(func(m map[string]any) { m["apu"] = 1 }), "response.decrypt"},
		{"critical header", header(func(m map[string]any) { m["crit"] = []string{"exp"} }), "response.decrypt"},
		{"a member twice", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, `{"vp_token":{"wage":["x"]},`+content(r)[1:])
		}, "response.form"},
		{"state twice", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, `{"st\u0061te":"x",`+content(r)[1:])
		}, "response.form"},
		{"an id twice", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, strings.Replace(content(r), `{"wage":`, `{"wage":["x"],"wage":`, 1))
		}, "response.form"},
		{"deep", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, `{"more":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`,`+content(r)[1:])
		}, "response.form"},
		{"an error besides", func(r *oid4vc.PresentationRequest) string {
			return seal(r, "", false, `{"error":"access_denied",`+content(r)[1:])
		}, "response.form"},
		{"text after it", func(r *oid4vc.PresentationRequest) string { return seal(r, "", false, content(r)+"{}") }, "response.form"},
		{"nothing in it", func(r *oid4vc.PresentationRequest) string { return seal(r, "", false, "") }, "response.form"},
		{"the key binding says its nonce twice", func(r *oid4vc.PresentationRequest) string {
			p := partsOf(wallet.token(r)["wage"][0])
			payload, err := keys.UnverifiedPayload(p.kb)
			if err != nil {
				t.Fatal(err)
			}
			if p.kb, err = w.Holder.Sign(keys.Header{"typ": "kb+jwt"}, append([]byte(`{"nonce":"of another",`), payload[1:]...)); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(map[string]any{"vp_token": oid4vc.VPToken{"wage": {p.String()}}, "state": r.State})
			if err != nil {
				t.Fatal(err)
			}
			return seal(r, "", false, string(text))
		}, "kb.claims"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
			r := w.fetch(s.Link)
			status, body := w.postForm(r.ResponseURI, url.Values{"response": {c.make(r)}})
			now := w.session(s.ID)
			if c.reason == "" {
				if status != http.StatusOK || now.Status != verifier.Answered {
					t.Errorf("got %d %s, %+v", status, body, now)
				}
				return
			}
			if status != http.StatusBadRequest || now.Status != verifier.Failed || now.Reason != c.reason || now.Result != nil {
				t.Errorf("got %d %s, %s for %q, want %q", status, body, now.Status, now.Reason, c.reason)
			}
		})
	}
}

// Of "multiple" the same credential counts once, and a response full of junk is refused like one of it.
func TestManyPresentations(t *testing.T) {
	w := newVPWorld(t)
	q := wageQuery(t)
	q.Credentials[0].Multiple = true
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	ask := func(answer func(r *oid4vc.PresentationRequest) []string) (int, *verifier.View) {
		s := w.create(verifier.CreateOptions{Query: q})
		r := w.fetch(s.Link)
		status, _ := w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"wage": answer(r)}, State: r.State})
		return status, w.session(s.ID)
	}
	status, now := ask(func(r *oid4vc.PresentationRequest) []string {
		one := wallet.token(r)["wage"][0]
		return []string{one, partsOf(one).rebound(w, r), one}
	})
	var result struct {
		Credentials map[string][]json.RawMessage `json:"credentials"`
	}
	if err := json.Unmarshal(now.Result, &result); err != nil || status != http.StatusOK || len(result.Credentials["wage"]) != 1 {
		t.Errorf("three times the same: %d, %s, %v", status, now.Result, err)
	}
	for name, one := range map[string]string{"no SD-JWT": "x", "no JSON": "a.a.a~", "no signature": "e30.e30.AA~"} {
		status, now := ask(func(*oid4vc.PresentationRequest) []string {
			return strings.Split(strings.Repeat(one+" ", 10_000)+one, " ")
		})
		if status != http.StatusBadRequest || now.Status != verifier.Failed || now.Result != nil {
			t.Errorf("%s: %d, %+v", name, status, now)
		}
	}
}

// What a wallet writes into an error is neither logged nor shown, and no code of it can begin a line of its own. Without a browser to lead back there is
// nowhere to go on.
func TestWalletErrorsSayNothing(t *testing.T) {
	w := newVPWorld(t)
	var logged bytes.Buffer
	w.vp.Log = slog.New(slog.NewTextHandler(&logged, nil))
	const hostile = "<script>alert(1)</script>\nlevel=ERROR msg=forged"
	for _, c := range []struct {
		code   string
		status verifier.Status
		reason string
	}{
		{"access_denied", verifier.Refused, "access_denied"},
		{"x\nlevel=ERROR", verifier.Failed, "response.form"},
		{"<script>", verifier.Failed, "response.form"},
		{strings.Repeat("x", 65), verifier.Failed, "response.form"},
	} {
		s := w.create(verifier.CreateOptions{Query: wageQuery(t)})
		r := w.fetch(s.Link)
		_, body := w.postForm(r.ResponseURI, url.Values{"error": {c.code}, "error_description": {hostile}, "state": {r.State}})
		now := w.session(s.ID)
		if now.Status != c.status || now.Reason != c.reason {
			t.Errorf("%q: got %+v", c.code, now)
		}
		if c.status == verifier.Refused && strings.TrimSpace(string(body)) != "{}" {
			t.Errorf("%q: the answer leads somewhere: %s", c.code, body)
		}
		if all := fmt.Sprint(logged.String(), string(body), now); strings.Contains(all, "forged") || strings.Contains(all, "<script") {
			t.Errorf("%q: it is repeated: %s", c.code, all)
		}
	}
}

// A response code is good once, also when it comes from many sides at the same time.
func TestReturnIsTakenOnce(t *testing.T) {
	w := newVPWorld(t)
	const browser = "the browser that began"
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t), Browser: browser, SameDevice: true})
	back := wallet.answer(s.Link).RedirectURI
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := make(map[int]int)
	for range 8 {
		wg.Go(func() {
			req, err := http.NewRequest(http.MethodGet, back, nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.AddCookie(verifier.BrowserCookie(browser))
			resp, err := w.http.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			got[resp.StatusCode]++
		})
	}
	wg.Wait()
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != 7 || w.session(s.ID).Status != verifier.Answered {
		t.Errorf("got %v, %+v", got, w.session(s.ID))
	}
}

// A credential of a type that nobody is accredited for counts while its issuer is listed, and not for days before or after.
func TestOwnTypeOfListedIssuer(t *testing.T) {
	const vct = "https://employer.example/pass"
	q, err := dcql.Parse([]byte(`{"credentials":[{"id":"pass","format":"dc+sd-jwt","meta":{"vct_values":["` + vct + `"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	w := newVPWorld(t)
	entities := w.Entities()
	for _, e := range entities {
		if e.ID == w.Employer.ID {
			e.Until = attestation.NewDate(2025, 11, 30)
		}
	}
	w.AddTrustList(entities...)
	for name, c := range map[string]struct {
		issued time.Time
		reason string
	}{
		"while it is listed": {evidencetest.At(2025, 11, 30, 0), ""},
		"before":             {evidencetest.At(2025, 9, 30, 0), "issuer.accredited"},
		"after":              {evidencetest.At(2025, 12, 1, 0), "issuer.accredited"},
	} {
		pass := partsOf(w.payment)
		pass.disclosures = nil
		pass.jwt = signedAnew(t, w.Employer.Key, pass.jwt, func(_ keys.Header, claims map[string]any) {
			claims["vct"], claims["iat"] = vct, c.issued.Unix()
		})
		s := w.create(verifier.CreateOptions{Query: q})
		r := w.fetch(s.Link)
		status, body := w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"pass": {pass.rebound(w, r)}}, State: r.State})
		if now := w.session(s.ID); (status == http.StatusOK) != (c.reason == "") || now.Reason != c.reason {
			t.Errorf("%s: got %d %s, %+v", name, status, body, now)
		}
	}
}

// Where nothing is required, an answer of which nothing holds is refused all the same.
func TestNothingOfAnswerHolds(t *testing.T) {
	w := newVPWorld(t)
	q := wageQuery(t)
	q.Sets = []dcql.CredentialSet{{Options: [][]string{{"wage"}}, Required: dcql.Bool(false)}}
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	s := w.create(verifier.CreateOptions{Query: q})
	r := w.fetch(s.Link)
	bad := partsOf(wallet.token(r)["wage"][0])
	bad.kb = ""
	status, body := w.send(r, &oid4vc.VPResponse{Token: oid4vc.VPToken{"wage": {bad.String()}}, State: r.State})
	if now := w.session(s.ID); status != http.StatusBadRequest || now.Status != verifier.Failed || now.Reason != "kb.missing" {
		t.Errorf("got %d %s, %+v", status, body, now)
	}
}
