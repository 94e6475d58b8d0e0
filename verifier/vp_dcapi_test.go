package verifier_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/verifier"
)

const pageBrowser = "the browser session of the page"

// page is a page that asks over the Digital Credentials API.
type page struct {
	*holding
	session *verifier.View
	origin  string // that the platform tells the wallet
	sends   string // that the script says
	header  string // Origin of the browser
	browser string
	token   string // of the administrator
}

func (h *holding) openPage(o verifier.CreateOptions) *page {
	h.t.Helper()
	o.Browser = pageBrowser
	return &page{holding: h, session: h.create(o), origin: vpURL, sends: vpURL, header: vpURL, browser: pageBrowser}
}

// options is what the page hands to navigator.credentials.get.
func (p *page) options() []oid4vc.DCRequest {
	p.t.Helper()
	status, body := p.get(p.session.Link, p.browser)
	var options struct {
		Digital struct{ Requests []oid4vc.DCRequest }
	}
	if err := json.Unmarshal(body, &options); err != nil || status != http.StatusOK {
		p.t.Fatalf("got %d %s", status, body)
	}
	return options.Digital.Requests
}

// ask is the request as a wallet reads it. The client_id is that of the audience.
func (p *page) ask(dc oid4vc.DCRequest) *oid4vc.PresentationRequest {
	p.t.Helper()
	u, err := oid4vc.ParseDCRequest(dc)
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := u.Verify(oid4vc.ExpectRequest{Roots: []*x509.Certificate{p.root}, Now: p.World.Now}, vpURL, func(*oid4vc.VerifiedRequest) bool { return true })
	if err != nil {
		p.t.Fatal(err)
	}
	r := v.PresentationRequest
	r.ClientID = oid4vc.OriginAudience(p.origin)
	return &r
}

// give posts what the page got.
func (p *page) give(protocol string, data json.RawMessage) (int, []byte) {
	p.t.Helper()
	return p.postPage("application/json", []byte(marshal(p.t, map[string]any{"protocol": protocol, "data": data, "origin": p.sends})))
}

func (p *page) postPage(mediaType string, body []byte) (int, []byte) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.session.Link, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	if p.header != "" {
		req.Header.Set("Origin", p.header)
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	if p.browser != "" {
		req.AddCookie(verifier.BrowserCookie(p.browser))
	}
	return p.do(req)
}

func (p *page) data(r *oid4vc.PresentationRequest, response *oid4vc.VPResponse) json.RawMessage {
	p.t.Helper()
	data, err := response.Data(r)
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

func TestDCAPIByEveryWay(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment}}
	for _, mode := range []string{oid4vc.ModeDCAPI, oid4vc.ModeDCAPIJWT} {
		for _, protocol := range []string{oid4vc.ProtocolUnsigned, oid4vc.ProtocolSigned, oid4vc.ProtocolMultisigned} {
			p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: mode, Protocols: []string{protocol}})
			requests := p.options()
			if len(requests) != 1 || requests[0].Protocol != protocol {
				t.Fatalf("asked with %+v", requests)
			}
			r := p.ask(requests[0])
			if r.State != "" || r.ResponseURI != "" || r.ResponseMode != mode {
				t.Errorf("%s: got %+v", protocol, r)
			}
			status, body := p.give(protocol, p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)}))
			var view verifier.View
			if err := json.Unmarshal(body, &view); err != nil || status != http.StatusOK || view.Status != verifier.Answered || !strings.Contains(string(view.Result), w.Employer.ID) {
				t.Errorf("%s %s: got %d %s", mode, protocol, status, body)
			}
			if status, _ := p.give(protocol, p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})); status != http.StatusBadRequest {
				t.Errorf("%s %s: again: %d", mode, protocol, status)
			}
			if status, _ := p.get(p.session.Link, p.browser); status != http.StatusBadRequest {
				t.Errorf("%s %s: asked again: %d", mode, protocol, status)
			}
		}
	}
}

func TestDCAPIDefaults(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w}
	p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT})
	requests := p.options()
	if len(requests) != 2 || requests[0].Protocol != oid4vc.ProtocolSigned || requests[1].Protocol != oid4vc.ProtocolUnsigned {
		t.Fatalf("got %+v", requests)
	}
	if signed, unsigned := p.ask(requests[0]), p.ask(requests[1]); signed.Nonce != unsigned.Nonce {
		t.Error("the two ways of one request differ in the nonce")
	}
	other := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT})
	if p.ask(requests[0]).Nonce == other.ask(other.options()[0]).Nonce {
		t.Error("two requests have their nonce in common")
	}
	for name, o := range map[string]verifier.CreateOptions{
		"unknown protocol":   {Mode: oid4vc.ModeDCAPI, Protocols: []string{"openid4vp"}},
		"protocol twice":     {Mode: oid4vc.ModeDCAPI, Protocols: []string{oid4vc.ProtocolSigned, oid4vc.ProtocolSigned}},
		"no protocol":        {Mode: oid4vc.ModeDCAPI, Protocols: []string{}},
		"protocol of a link": {Mode: oid4vc.ModeDirectPost, Protocols: []string{oid4vc.ProtocolSigned}},
		"fetched":            {Mode: oid4vc.ModeDCAPI, Post: true},
		"led back":           {Mode: oid4vc.ModeDCAPI, SameDevice: true, Browser: "x"},
		"redirect_uri":       {Mode: oid4vc.ModeDCAPI, Prefix: oid4vc.PrefixRedirectURI},
		"origin of a link":   {Mode: oid4vc.ModeDirectPost, Origin: vpURL},
		"page of nobody":     {Page: true},
		"page beside itself": {Mode: oid4vc.ModeDCAPIJWT, Page: true, Browser: "x"},
		"page and unsigned":  {Prefix: oid4vc.PrefixRedirectURI, Page: true, Browser: "x"},
		"no origin":          {Mode: oid4vc.ModeDCAPI, Origin: vpURL + "/page"},
	} {
		if _, err := w.vp.Create(context.Background(), o); !errors.Is(err, verifier.ErrOptions) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDCAPIAssessment(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment, w.receipt}}
	p := wallet.openPage(verifier.CreateOptions{Mode: oid4vc.ModeDCAPIJWT})
	first := p.session.Link
	for range 2 {
		dc := p.options()[0]
		r := p.ask(dc)
		if status, body := p.give(dc.Protocol, p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})); status != http.StatusOK {
			t.Fatalf("got %d %s", status, body)
		}
		p.session = w.session(p.session.ID)
		if status, _ := p.get(first, p.browser); status != http.StatusBadRequest {
			t.Errorf("the address of the step before asks for the next one: %d", status)
		}
	}
	if got := findings(w.assessment(p.session.ID)); got["W-05"] != compliance.Fulfilled || got["W-03"] != compliance.Fulfilled {
		t.Errorf("got %v", got)
	}
	p.session.Link = first
	if status, _ := p.give(oid4vc.ProtocolSigned, []byte(`{"error":"access_denied"}`)); status != http.StatusBadRequest {
		t.Errorf("the first request again: %d", status)
	}
}

// Each row spoils one thing of a page's good answer. What comes from elsewhere than the page leaves the session as it is; everything else ends it.
func TestDCAPIHostile(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	for _, c := range []struct {
		name, mode string
		spoil      func(p *page)
		data       func(p *page, r *oid4vc.PresentationRequest) json.RawMessage // nil: as asked
		status     int
		reason     string // "": the session waits
	}{
		{"page of another origin", oid4vc.ModeDCAPIJWT, func(p *page) { p.header = "https://evil.example" }, nil, 400, "response.origin"},
		{"script of another origin", oid4vc.ModeDCAPIJWT, func(p *page) { p.sends = "https://evil.example" }, nil, 400, "response.origin"},
		{"no origin", oid4vc.ModeDCAPIJWT, func(p *page) { p.sends = "" }, nil, 400, "response.origin"},
		{"sandboxed page", oid4vc.ModeDCAPIJWT, func(p *page) { p.header = "null" }, nil, 400, "response.origin"},
		{"wallet asked by another origin", oid4vc.ModeDCAPIJWT, func(p *page) { p.origin = "https://evil.example" }, nil, 400, "kb.audience"},
		{"origin with a slash", oid4vc.ModeDCAPIJWT, func(p *page) { p.origin = vpURL + "/" }, nil, 400, "kb.audience"},
		{"client_id as audience", oid4vc.ModeDCAPIJWT, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			r.ClientID = "x509_san_dns:verifier.test"
			return p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
		}, 400, "kb.audience"},
		{"origin as audience without prefix", oid4vc.ModeDCAPI, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			r.ClientID = vpURL
			return p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
		}, 400, "kb.audience"},
		{"another browser", oid4vc.ModeDCAPIJWT, func(p *page) { p.browser = "another" }, nil, 404, ""},
		{"no browser session", oid4vc.ModeDCAPIJWT, func(p *page) { p.browser = "" }, nil, 404, ""},
		{"in clear where encryption is asked", oid4vc.ModeDCAPIJWT, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			r.ResponseMode = oid4vc.ModeDCAPI
			return p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
		}, 400, "response.not_encrypted"},
		{"encrypted unasked", oid4vc.ModeDCAPI, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			other := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT})
			return p.data(other.ask(other.options()[0]), &oid4vc.VPResponse{Token: wallet.token(r)})
		}, 400, "response.encrypted"},
		{"response to another session", oid4vc.ModeDCAPIJWT, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			other := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT})
			asked := other.ask(other.options()[0])
			return p.data(asked, &oid4vc.VPResponse{Token: wallet.token(asked)})
		}, 400, "response.decrypt"},
		{"presentation for another session", oid4vc.ModeDCAPIJWT, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			other := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT})
			return p.data(r, &oid4vc.VPResponse{Token: wallet.token(other.ask(other.options()[0]))})
		}, 400, "kb.nonce"},
		{"presentation as string", oid4vc.ModeDCAPI, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			return []byte(`{"vp_token":{"wage":"x"}}`)
		}, 400, "response.vp_token"},
		{"nothing", oid4vc.ModeDCAPI, func(*page) {}, func(*page, *oid4vc.PresentationRequest) json.RawMessage { return []byte(`{}`) }, 400, "response.vp_token"},
		{"no data", oid4vc.ModeDCAPI, func(*page) {}, func(*page, *oid4vc.PresentationRequest) json.RawMessage { return []byte(`"x"`) }, 400, "response.form"},
		{"id that was not asked for", oid4vc.ModeDCAPI, func(*page) {}, func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
			return []byte(`{"vp_token":{"more":["x"]}}`)
		}, 400, "query.unknown_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: c.mode})
			dc := p.options()[0]
			c.spoil(p)
			r := p.ask(dc)
			if c.data == nil {
				c.data = func(p *page, r *oid4vc.PresentationRequest) json.RawMessage {
					return p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
				}
			}
			if status, body := p.give(dc.Protocol, c.data(p, r)); status != c.status || strings.Contains(string(body), "212000") {
				t.Errorf("got %d %s", status, body)
			}
			want := verifier.Failed
			if c.reason == "" {
				want = verifier.Waiting
			}
			if now := w.session(p.session.ID); now.Status != want || now.Reason != c.reason || now.Result != nil {
				t.Errorf("got %s for %q, want %q", now.Status, now.Reason, c.reason)
			}
		})
	}
}

func TestDCAPIBodies(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	for _, c := range []struct {
		name, mediaType, body string
		status                int
		reason                string
	}{
		{"another protocol", "application/json", `{"protocol":"openid4vp-v1-multisigned","data":{},"origin":"` + vpURL + `"}`, 400, "response.protocol"},
		{"no protocol", "application/json", `{"data":{},"origin":"` + vpURL + `"}`, 400, "response.protocol"},
		{"no JSON", "application/json", `{`, 400, "response.form"},
		{"member twice", "application/json", `{"protocol":"a","protocol":"b"}`, 400, "response.form"},
		{"a form", oid4vc.MediaTypeForm, `vp_token={}`, 400, "response.form"},
		{"too large", "application/json", `{"protocol":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "response.too_large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPI})
			if status, body := p.postPage(c.mediaType, []byte(c.body)); status != c.status {
				t.Errorf("got %d %s", status, body)
			}
			if now := w.session(p.session.ID); now.Status != verifier.Failed || now.Reason != c.reason {
				t.Errorf("got %s for %q, want %q", now.Status, now.Reason, c.reason)
			}
		})
	}
}

// A page elsewhere asks under its own origin, and its server brings the answer with the administrator's token.
func TestDCAPIOfAnotherPage(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	const origin = "https://desk.example"
	for sends, want := range map[string]verifier.Status{origin: verifier.Answered, vpURL: verifier.Failed} {
		p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT, Origin: origin})
		dc := p.options()[0]
		u, err := oid4vc.ParseDCRequest(dc)
		if err != nil {
			t.Fatal(err)
		}
		v, err := u.Verify(oid4vc.ExpectRequest{Roots: []*x509.Certificate{w.root}, Now: w.World.Now}, origin, func(*oid4vc.VerifiedRequest) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		r := &v.PresentationRequest
		r.ClientID = oid4vc.OriginAudience(origin)
		p.header, p.sends, p.browser, p.token = "", sends, "", adminToken
		status, body := p.give(dc.Protocol, p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)}))
		if now := w.session(p.session.ID); now.Status != want || (status == http.StatusOK) != (want == verifier.Answered) {
			t.Errorf("from %s: got %d %s, %+v", sends, status, body, now)
		}
	}
}

// Where a page may ask beside a link, each step of an assessment is answered in one way or the other. The wallet that answers the page leads nobody back.
func TestDCAPIBesideALink(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment, w.receipt}}
	for _, mode := range []string{oid4vc.ModeDirectPost, oid4vc.ModeDirectPostJWT} {
		for _, first := range []string{"link", "page"} {
			p := wallet.openPage(verifier.CreateOptions{Mode: mode, Page: true})
			byLink := func() { wallet.answer(p.session.Link) }
			byPage := func() {
				beside := *p.session
				p.session = &verifier.View{Link: beside.Page}
				dc := p.options()[0]
				r := p.ask(dc)
				if r.ResponseURI != "" || r.IsEncrypted() != (mode == oid4vc.ModeDirectPostJWT) {
					t.Errorf("asked with %+v", r)
				}
				answer := p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
				if status, body := p.give(dc.Protocol, answer); status != http.StatusOK {
					t.Fatalf("got %d %s", status, body)
				}
				if status, _ := p.give(dc.Protocol, answer); status != http.StatusBadRequest {
					t.Errorf("again: %d", status)
				}
				if status, _ := w.get(requestURI(t, beside.Link), ""); status != http.StatusBadRequest {
					t.Errorf("the link that was not used: %d", status)
				}
				p.session = &beside
			}
			steps := []func(){byLink, byPage}
			if first == "page" {
				steps = []func(){byPage, byLink}
			}
			for _, step := range steps {
				step()
				p.session = w.session(p.session.ID)
			}
			if got := findings(w.assessment(p.session.ID)); got["W-05"] != compliance.Fulfilled {
				t.Errorf("%s, first by %s: got %v", mode, first, got)
			}
		}
	}
}

// Each row spoils the answer of a page beside a link.
func TestDCAPIBesideALinkHostile(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	for _, c := range []struct {
		name   string
		spoil  func(p *page)
		status int
		want   verifier.Status
		reason string
	}{
		{"as asked", func(*page) {}, 200, verifier.Answered, ""},
		{"page of another origin", func(p *page) { p.header = "https://evil.example" }, 400, verifier.Failed, "response.origin"},
		{"wallet asked by another origin", func(p *page) { p.origin = "https://evil.example" }, 400, verifier.Failed, "kb.audience"},
		{"another browser", func(p *page) { p.browser = "another" }, 404, verifier.Waiting, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Page: true, SameDevice: true})
			p.session.Link = p.session.Page
			dc := p.options()[0]
			c.spoil(p)
			r := p.ask(dc)
			if status, body := p.give(dc.Protocol, p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})); status != c.status {
				t.Errorf("got %d %s", status, body)
			}
			if now := w.session(p.session.ID); now.Status != c.want || now.Reason != c.reason {
				t.Errorf("got %s for %q, want %s for %q", now.Status, now.Reason, c.want, c.reason)
			}
		})
	}
}

// requestURI is where the request of a link is fetched.
func requestURI(t *testing.T, link string) string {
	t.Helper()
	l, err := oid4vc.ParseRequestLink(link)
	if err != nil {
		t.Fatal(err)
	}
	return l.URI
}

// A session is answered in the one way that it was begun for, unless a page may ask beside a link.
func TestDCAPIAndLinksStayApart(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPI})
	name := p.session.Link[strings.LastIndex(p.session.Link, "/")+1:]
	for _, target := range []string{"/vp/response/", "/vp/request/"} {
		if status, _ := w.postForm(vpURL+target+name, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", target, status)
		}
	}
	if now := w.session(p.session.ID); now.Status != verifier.Waiting {
		t.Errorf("got %+v", now)
	}
	s := w.create(verifier.CreateOptions{Query: wageQuery(t), Browser: pageBrowser})
	r := w.fetch(s.Link)
	p.session.Link = strings.Replace(r.ResponseURI, "/vp/response/", "/vp/credential/", 1)
	if status, _ := p.give(oid4vc.ProtocolSigned, []byte(`{}`)); status != http.StatusNotFound {
		t.Errorf("a link's session was answered by a page: %d", status)
	}
	if status, _ := p.get(p.session.Link, pageBrowser); status != http.StatusNotFound {
		t.Errorf("a link's session was asked for by a page: %d", status)
	}
	if now := w.session(s.ID); now.Status != verifier.Waiting {
		t.Errorf("got %+v", now)
	}
}

func TestDCAPIRefusedAndExpired(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w, held: []string{w.payment}}
	for _, mode := range []string{oid4vc.ModeDCAPI, oid4vc.ModeDCAPIJWT} {
		p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: mode})
		status, body := p.give(oid4vc.ProtocolUnsigned, []byte(`{"error":"access_denied"}`))
		if now := w.session(p.session.ID); status != http.StatusOK || now.Status != verifier.Refused || now.Reason != oid4vc.CodeAccessDenied {
			t.Errorf("%s: got %d %s, %+v", mode, status, body, now)
		}
	}
	p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPI})
	dc := p.options()[0]
	r := p.ask(dc)
	data := p.data(r, &oid4vc.VPResponse{Token: wallet.token(r)})
	w.World.Now = w.World.Now.Add(6 * time.Minute)
	if status, _ := p.get(p.session.Link, pageBrowser); status != http.StatusBadRequest {
		t.Errorf("asked too late: %d", status)
	}
	if status, _ := p.give(dc.Protocol, data); status != http.StatusBadRequest || w.session(p.session.ID).Status != verifier.Expired {
		t.Errorf("answered too late: %d, %+v", status, w.session(p.session.ID))
	}
}

// The signed request names the page's origin and signs by every name that the verifier has.
func TestDCAPISignatures(t *testing.T) {
	w := newVPWorld(t)
	wallet := &holding{vpWorld: w}
	p := wallet.openPage(verifier.CreateOptions{Query: wageQuery(t), Mode: oid4vc.ModeDCAPIJWT, Protocols: []string{oid4vc.ProtocolMultisigned},
		VerifierInfo: []oid4vc.VerifierInfo{{Format: "jwt", Data: json.RawMessage(`"x"`)}}})
	var data struct {
		Request struct {
			Payload    string
			Signatures []struct{ Protected, Signature string }
		}
	}
	if err := json.Unmarshal(p.options()[0].Data, &data); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range data.Request.Signatures {
		token, err := keys.Verify(s.Protected+"."+data.Request.Payload+"."+s.Signature, w.vp.Key.Public(), keys.ES256)
		if err != nil {
			t.Fatal(err)
		}
		var header struct {
			ClientID     string `json:"client_id"`
			VerifierInfo []any  `json:"verifier_info"`
		}
		var claims map[string]any
		if err := errors.Join(json.Unmarshal(token.Header.Raw, &header), json.Unmarshal(token.Payload, &claims)); err != nil {
			t.Fatal(err)
		}
		prefix, _, err := oid4vc.SplitClientID(header.ClientID)
		if err != nil || token.Header.Typ != oid4vc.TypeRequestObject || len(header.VerifierInfo) != 1 {
			t.Errorf("got header %s", token.Header.Raw)
		}
		seen[prefix] = true
		origins, _ := claims["expected_origins"].([]any)
		if len(origins) != 1 || origins[0] != vpURL || claims["client_id"] != nil || claims["verifier_info"] != nil || claims["state"] != nil {
			t.Errorf("got payload %s", token.Payload)
		}
	}
	if len(seen) != 3 {
		t.Errorf("signed as %v", seen)
	}
}
