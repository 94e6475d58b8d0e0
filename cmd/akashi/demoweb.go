package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"akashi/internal/oid4vc"
	"akashi/testdata/story"
	"akashi/verifier"
)

// storyBrowser is the browser in which the story's workers make their assessments, on the verifier's page for submission.
type storyBrowser struct {
	client *http.Client
	cookie *http.Cookie
	base   string // URL of the verifier
}

func newStoryBrowser(base string, transport http.RoundTripper) (*storyBrowser, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	b := &storyBrowser{cookie: verifier.BrowserCookie(base64.RawURLEncoding.EncodeToString(secret)), base: base}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	jar.SetCookies(u, []*http.Cookie{b.cookie})
	b.client = &http.Client{Transport: transport, Jar: jar}
	return b, nil
}

// do sends a request, follows where it leads, and returns the body and its address.
func (b *storyBrowser) do(r *http.Request) (body []byte, address string, err error) {
	resp, err := b.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", &pageError{resp.Request.URL.Path, resp.StatusCode}
	}
	return body, resp.Request.URL.String(), nil
}

// pageError is a page that is not there, or does not come.
type pageError struct {
	path   string
	status int
}

func (e *pageError) Error() string { return fmt.Sprintf("%s: status %d", e.path, e.status) }

func (b *storyBrowser) get(ctx context.Context, address, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	body, _, err := b.do(r)
	return body, err
}

// open asks for an assessment of the story's months, and returns the address of its case.
func (b *storyBrowser) open(ctx context.Context) (string, error) {
	form := url.Values{"period": {"months"}, "from": {string(storyFrom)}, "to": {string(storyTo)}, "device": {"other"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.base+"/submission/cases", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", oid4vc.MediaTypeForm)
	_, address, err := b.do(r)
	return address, err
}

// requestLink is the link for a wallet on the page of a case that waits.
var requestLink = regexp.MustCompile(`href="(` + regexp.QuoteMeta(oid4vc.SchemePresentation) + `[^"]+)"`)

// submit makes an assessment of a worker's: it opens a case, shows the wallet the links on its page until none is left, and saves the evidence file.
func (p *player) submit(ctx context.Context, engagement string, hide []story.Hidden) (*demoCase, error) {
	address, err := p.browser.open(ctx)
	if err != nil {
		return nil, err
	}
	for {
		page, err := p.browser.get(ctx, address, "text/html")
		if err != nil {
			return nil, err
		}
		link := requestLink.FindSubmatch(page)
		if link == nil {
			break
		}
		if err := p.workers[engagement].answer(ctx, html.UnescapeString(string(link[1])), hide); err != nil {
			return nil, err
		}
	}
	file, err := p.browser.get(ctx, address+"/evidence", oid4vc.MediaTypeJSON)
	return &demoCase{page: address, file: file}, err
}

// answerCode lets a worker's wallet answer what waits under the code that a desk shows, with all its steps.
func (p *player) answerCode(ctx context.Context, engagement, code string) error {
	for step := 1; ; step++ {
		body, err := p.browser.get(ctx, p.in.cfg.Verifier.URL+"/c/"+url.PathEscape(code), oid4vc.MediaTypeJSON)
		var none *pageError
		if errors.As(err, &none) && none.status == http.StatusNotFound {
			if step > 1 {
				return nil // answered
			}
			return errors.New("no page waits under this code: type the one that it shows now")
		}
		if err != nil {
			return err
		}
		var waiting struct{ Link string }
		if err := json.Unmarshal(body, &waiting); err != nil {
			return err
		}
		if err := p.workers[engagement].answer(ctx, waiting.Link, hiddenBy(engagement)); err != nil {
			return err
		}
	}
}

// hiddenBy is what a worker leaves out in the story.
func hiddenBy(engagement string) []story.Hidden {
	for _, it := range story.Timeline() {
		if it.Action == "assess" && it.Engagement == engagement {
			return it.Hide
		}
	}
	return nil
}

// showCases serves addresses, one for each assessment by its engagement, that give whoever watches the demo the cookie of the story's browser and lead
// to the page: cookies are of a host, whatever the port (RFC 6265, Section 8.5).
func (p *player) showCases(cases map[string]*demoCase) (base string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{engagement}", func(w http.ResponseWriter, r *http.Request) {
		c, ok := cases[r.PathValue("engagement")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.SetCookie(w, p.browser.cookie)
		http.Redirect(w, r, c.page, http.StatusSeeOther)
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	return "https://" + net.JoinHostPort(p.in.cfg.Host, port), p.in.serveTLS(l, mux)
}
