package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
	"akashi/schemas"
)

func TestPath(t *testing.T) {
	for id, want := range map[string]string{"8990000000001": "/o/8990000000001", "19登-999999": "/o/19T-999999"} {
		if got := issuer.Path(id); got != want {
			t.Errorf("Path(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestIssuerMetadata(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	h := w.Issuer.Handler()
	for _, o := range w.Orgs {
		path := "/.well-known/jwt-vc-issuer" + strings.TrimPrefix(o.Issuer, "https://issuer.example")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		var m struct {
			Issuer string `json:"issuer"`
			JWKS   struct {
				Keys []map[string]string `json:"keys"`
			} `json:"jwks"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil || rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %v", path, rec.Code, err)
		}
		if m.Issuer != o.Issuer || len(m.JWKS.Keys) != 1 {
			t.Fatalf("%s: %s", path, rec.Body)
		}
		key, err := keys.ParsePrivate(o.Signing)
		if err != nil {
			t.Fatal(err)
		}
		jwk := m.JWKS.Keys[0]
		if jwk["kid"] != key.Public().Thumbprint() || jwk["alg"] != "ES256" || jwk["d"] != "" {
			t.Errorf("%s: %v", path, jwk)
		}
		text, _ := json.Marshal(jwk)
		if public, err := keys.ParsePublic(text); err != nil || !public.Equal(key.Public()) {
			t.Errorf("%s: %v", path, err)
		}
		for _, secret := range []json.RawMessage{o.Signing, o.Submission} {
			var private struct{ D string }
			if _ = json.Unmarshal(secret, &private); private.D == "" || strings.Contains(rec.Body.String(), private.D) {
				t.Errorf("%s: a private key is served", path)
			}
		}
	}
}

func TestTypeMetadataIsServed(t *testing.T) {
	h := issuertest.New(t, store.NewMemory()).Issuer.Handler()
	for _, typ := range attestation.Types {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/types/"+string(typ), nil))
		want, _ := schemas.TypeMetadata(typ.VCT())
		if rec.Code != http.StatusOK || rec.Body.String() != string(want) {
			t.Errorf("%s: %d", typ, rec.Code)
		}
	}
}

func TestProblems(t *testing.T) {
	h := issuertest.New(t, store.NewMemory()).Issuer.Handler()
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/healthz", http.StatusOK},
		{http.MethodGet, "/.well-known/jwt-vc-issuer/o/8990000000009", http.StatusNotFound},
		{http.MethodGet, "/.well-known/jwt-vc-issuer", http.StatusNotFound},
		{http.MethodGet, "/.well-known/jwt-vc-issuer/o/" + strings.Repeat("x", 2000), http.StatusNotFound},
		{http.MethodGet, "/types/nothing", http.StatusNotFound},
		{http.MethodGet, "/types/common", http.StatusNotFound},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.path, nil))
		if rec.Code != c.want {
			t.Errorf("%s %.40s: %d, want %d", c.method, c.path, rec.Code, c.want)
		}
		if c.want == http.StatusOK {
			continue
		}
		var p registry.Problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Status != c.want || p.Title == "" || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %.40s: %s", c.method, c.path, rec.Body)
		}
	}
}
