package wallet_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"akashi/internal/sdjwt"
	"akashi/internal/web"
	"akashi/wallet"
)

// serveType serves type metadata at a path of the fake issuer and returns the type's name and the integrity of the document.
func (f *fakeIssuer) serveType(path, extends, integrity string, claims ...map[string]any) (vct, sum string) {
	vct = f.srv.URL + path
	m := map[string]any{"vct": vct, "claims": claims}
	if extends != "" {
		m["extends"] = extends
	}
	if integrity != "" {
		m["extends#integrity"] = integrity
	}
	body, err := json.Marshal(m)
	check(f.t, err)
	f.handle[path] = func(w http.ResponseWriter, _ *http.Request) {
		web.WriteBody(w, http.StatusOK, "application/json", body)
	}
	digest := sha256.Sum256(body)
	return vct, "sha256-" + base64.StdEncoding.EncodeToString(digest[:])
}

func typeClaim(name, sd string, mandatory any) map[string]any {
	c := map[string]any{"path": []any{name}}
	if sd != "" {
		c["sd"] = sd
	}
	if mandatory != nil {
		c["mandatory"] = mandatory
	}
	return c
}

// TestTypesExtend: the card's type extends another, which extends a third; the card has name, level and grade.
func TestTypesExtend(t *testing.T) {
	const base, middle, card = "/types/base", "/types/middle", "/types/card"
	for _, c := range []struct {
		name  string
		types func(*fakeIssuer)
		want  error
	}{
		{"rules of all three kept", func(f *fakeIssuer) {
			b, sum := f.serveType(base, "", "", typeClaim("name", "always", true))
			m, sum := f.serveType(middle, b, sum, typeClaim("level", "never", nil))
			f.serveType(card, m, sum, typeClaim("grade", "allowed", true), typeClaim("name", "", nil))
		}, nil},
		{"without integrity", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("name", "always", true))
			f.serveType(card, b, "")
		}, nil},
		{"a type of this project", func(f *fakeIssuer) { f.serveType(card, "urn:akashi:engagement:1", "") }, wallet.ErrTypeMetadata}, // of which the card has nothing
		{"a rule of the base broken", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("level", "always", nil))
			m, _ := f.serveType(middle, b, "")
			f.serveType(card, m, "")
		}, wallet.ErrTypeMetadata},
		{"a claim of the base missing", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("height", "", true))
			f.serveType(card, b, "")
		}, wallet.ErrTypeMetadata},
		{"a free claim made a fixed one, and kept", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("level", "allowed", false))
			f.serveType(card, b, "", typeClaim("level", "never", true))
		}, nil},
		{"a free claim made a fixed one, and broken", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("level", "allowed", nil))
			f.serveType(card, b, "", typeClaim("level", "always", nil))
		}, wallet.ErrTypeMetadata},
		{"always loosened", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("name", "always", nil))
			f.serveType(card, b, "", typeClaim("name", "allowed", nil))
		}, wallet.ErrTypeMetadata},
		{"mandatory loosened", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "", typeClaim("name", "", true))
			f.serveType(card, b, "", typeClaim("name", "", false))
		}, wallet.ErrTypeMetadata},
		{"wrong integrity of the base", func(f *fakeIssuer) {
			b, _ := f.serveType(base, "", "")
			_, other := f.serveType("/types/other", "", "")
			f.serveType(card, b, other)
		}, wallet.ErrTypeMetadata},
		{"the base out of reach", func(f *fakeIssuer) { f.serveType(card, f.srv.URL+"/types/none", "") }, wallet.ErrTypeMetadata},
		{"a base of another kind of name", func(f *fakeIssuer) { f.serveType(card, "urn:example:base", "") }, wallet.ErrTypeMetadata},
		{"the base's metadata of another type", func(f *fakeIssuer) {
			f.serveType(base, "", "")
			f.serveType(card, f.srv.URL+"/types/alias", "")
			f.handle["/types/alias"] = f.handle[base]
		}, wallet.ErrTypeMetadata},
		{"extends itself", func(f *fakeIssuer) { f.serveType(card, f.srv.URL+card, "") }, wallet.ErrTypeMetadata},
		{"extends in a circle", func(f *fakeIssuer) {
			f.serveType(base, f.srv.URL+card, "")
			f.serveType(card, f.srv.URL+base, "")
		}, wallet.ErrTypeMetadata},
		{"eight types", func(f *fakeIssuer) { f.serveChain(card, 8) }, nil},
		{"nine types", func(f *fakeIssuer) { f.serveChain(card, 9) }, wallet.ErrTypeMetadata},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			o.fake.claims = func(_ int, claims map[string]any) { claims["level"], claims["grade"] = 3, sdjwt.Hidden("b") }
			c.types(o.fake)
			_, got, err := o.collect(o.fake.link(true))
			if !errors.Is(err, c.want) || (len(got.Credentials) == 3) != (c.want == nil) {
				t.Errorf("got %+v, %v; want %v", got, err, c.want)
			}
			if n := o.fake.asked["/types/base"]; n > 3 {
				t.Errorf("the base was fetched %d times", n)
			}
		})
	}
}

// serveChain serves n types of which each extends the next.
func (f *fakeIssuer) serveChain(card string, n int) {
	extends := ""
	for i := n; i > 1; i-- {
		extends, _ = f.serveType(fmt.Sprintf("/types/%d", i), extends, "")
	}
	f.serveType(card, extends, "")
}
