package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"akashi/internal/browsertest"
	"akashi/verifier"
)

// newPasskeyWorld is a desk on this machine whose reviewers sign in with passkeys.
func newPasskeyWorld(t *testing.T) *deskWorld {
	t.Helper()
	return newDeskWorldOver(t, &registryDown{}, onThisMachine, func(c *verifier.DeskConfig) {
		m, err := verifier.NewPasskeys(c.VP.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.SignIn = []verifier.SignInMethod{m}
	})
}

// authenticator gives a page a virtual authenticator; verified says whether the person is the one that it knows.
func authenticator(p *browsertest.Page, verified bool) {
	p.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: verified, AutomaticPresenceSimulation: true,
		}})
		return err
	}))
}

func (w *deskWorld) invite(name string) string {
	w.t.Helper()
	i, err := w.desk.Invite(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.HasPrefix(i.Link, w.url+"/signin/invitation#") || i.Expires.Sub(w.clock.Now()) != time.Hour {
		w.t.Errorf("the invitation: %+v", i)
	}
	return i.Link
}

const trouble = `!document.querySelector("[data-trouble]").hidden`

// TestPasskeyInBrowser: an invited person makes a passkey, is in, signs out, and signs in with it; the invitation is used up.
func TestPasskeyInBrowser(t *testing.T) {
	b := browsertest.New(t)
	w := newPasskeyWorld(t)
	link := w.invite("Reviewer One")
	p := b.Open(link, browsertest.Options{Width: browsertest.Phone, Accept: "en"})
	authenticator(p, true)
	p.NoSidewaysScroll()
	p.Axe()
	look(t, p, "invitation")
	p.Click(`[data-passkey="make"]`)
	arrive(p, `location.pathname === "/desk"`)
	if got := p.Text(".who span"); got != "Reviewer One" {
		t.Errorf("signed in as %q", got)
	}
	p.LoadsNothingElse(w.url)
	p.Click(".who button")
	arrive(p, `location.pathname === "/"`)
	p.Do(chromedp.Navigate(w.url + "/desk"))
	arrive(p, `location.pathname === "/signin"`)
	p.NoSidewaysScroll()
	p.Axe()
	look(t, p, "signin")
	p.Click(`[data-passkey="sign-in"]`)
	arrive(p, `location.pathname === "/desk"`)
	p.Do(chromedp.Navigate(link))
	p.Click(`[data-passkey="make"]`)
	p.Wait(trouble)
	want := []string{"reviewer.invited", "signin.ok", "reviewer.enrolled", "signin.out", "signin.ok", "signin.refused"}
	if got := w.whats(); !slices.Equal(got, want) {
		t.Errorf("the audit log has %v, want %v", got, want)
	}

	// The operator removes the reviewer: the passkey is nobody's any more.
	all, err := w.desk.Reviewers(context.Background())
	if err != nil || len(all) != 1 {
		t.Fatalf("reviewers %v, %v", all, err)
	}
	if err := w.desk.RemoveReviewer(context.Background(), all[0].ID); err != nil {
		t.Fatal(err)
	}
	p.Do(chromedp.Navigate(w.url + "/desk"))
	arrive(p, `location.pathname === "/signin"`)
	p.Click(`[data-passkey="sign-in"]`)
	p.Wait(trouble)
}

// TestPasskeyOfSomebodyElse: an authenticator that does not know the person, and one without a passkey, let nobody in.
func TestPasskeyOfSomebodyElse(t *testing.T) {
	b := browsertest.New(t)
	w := newPasskeyWorld(t)
	for name, verified := range map[string]bool{"not verified": false, "no passkey": true} {
		p := b.Open(w.url+"/signin", browsertest.Options{Accept: "en"})
		authenticator(p, verified)
		p.Click(`[data-passkey="sign-in"]`)
		p.Wait(trouble)
		if got := browsertest.Eval[string](p, "location.pathname"); got != "/signin" {
			t.Errorf("%s: at %s", name, got)
		}
	}
}

// call sends the body of a passkey's endpoint.
func (b *browser) call(path, body string) shownPage {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodPost, vpURL+"/signin/passkey"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

// TestPasskeyEndpointsRefuse: what no invitation, no ceremony and no authenticator stands behind.
func TestPasskeyEndpointsRefuse(t *testing.T) {
	for _, c := range []struct {
		name, path string
		body       func(w *deskWorld, b *browser) string
		status     int
	}{
		{"an invitation", "/make/begin", func(w *deskWorld, _ *browser) string { return `{"invitation":"` + w.secret("A") + `"}` }, http.StatusOK},
		{"an unknown invitation", "/make/begin", func(*deskWorld, *browser) string { return `{"invitation":"x"}` }, http.StatusForbidden},
		{"no invitation", "/make/begin", func(*deskWorld, *browser) string { return `{}` }, http.StatusForbidden},
		{"an invitation that has run out", "/make/begin", func(w *deskWorld, _ *browser) string {
			secret := w.secret("A")
			w.clock.forward(time.Hour)
			return `{"invitation":"` + secret + `"}`
		}, http.StatusForbidden},
		{"a ceremony for an invitation", "/make/begin", func(_ *deskWorld, b *browser) string {
			return `{"invitation":"` + b.ceremony(b.call("/begin", `{}`)) + `"}`
		}, http.StatusForbidden},
		{"no credential made", "/make/finish", func(w *deskWorld, b *browser) string {
			secret := w.secret("A")
			return `{"invitation":"` + secret + `","ceremony":"` + b.ceremony(b.call("/make/begin", `{"invitation":"`+secret+`"}`)) + `","credential":{}}`
		}, http.StatusForbidden},
		{"an unknown ceremony", "/make/finish", func(*deskWorld, *browser) string { return `{"ceremony":"x","credential":{}}` }, http.StatusForbidden},
		{"no credential used", "/finish", func(_ *deskWorld, b *browser) string {
			return `{"ceremony":"` + b.ceremony(b.call("/begin", `{}`)) + `","credential":{}}`
		}, http.StatusForbidden},
		{"a ceremony too late", "/finish", func(w *deskWorld, b *browser) string {
			c := b.ceremony(b.call("/begin", `{}`))
			w.clock.forward(10 * time.Minute)
			return `{"ceremony":"` + c + `","credential":{}}`
		}, http.StatusForbidden},
		{"no JSON", "/finish", func(*deskWorld, *browser) string { return `{` }, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newPasskeyWorld(t)
			b := w.browser()
			p := b.call(c.path, c.body(w, b))
			if p.status != c.status {
				t.Errorf("got %d %s", p.status, p.body)
			}
			if len(p.header.Values("Set-Cookie")) > 0 {
				t.Error("somebody was signed in")
			}
		})
	}
}

// secret invites somebody and returns the secret of the link.
func (w *deskWorld) secret(name string) string {
	w.t.Helper()
	_, secret, _ := strings.Cut(w.invite(name), "#")
	return secret
}

// ceremony is the secret of a ceremony that has begun.
func (b *browser) ceremony(p shownPage) string {
	b.t.Helper()
	var begun struct{ Ceremony string }
	if err := json.Unmarshal([]byte(p.body), &begun); err != nil || begun.Ceremony == "" {
		b.t.Fatalf("%d %s", p.status, p.body)
	}
	return begun.Ceremony
}

func TestInviteNames(t *testing.T) {
	w := newPasskeyWorld(t)
	for _, name := range []string{"", "  ", strings.Repeat("x", 81), "a\nb"} {
		if _, err := w.desk.Invite(context.Background(), name); !errors.Is(err, verifier.ErrReviewer) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
