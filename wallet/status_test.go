package wallet_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/statuslist"
	"akashi/internal/web"
	"akashi/issuer/issuertest"
	"akashi/registry/trustlist"
	"akashi/wallet"
)

// The list of many issuers is signed by the service that the trust list names for it, and by nobody else, the issuer included.
func TestSharedStatusList(t *testing.T) {
	for _, c := range []struct {
		name   string
		signer func(o *online, service *keys.Private) *keys.Private
		status statuslist.Status
		want   error
	}{
		{"valid", func(_ *online, service *keys.Private) *keys.Private { return service }, statuslist.Valid, nil},
		{"withdrawn", func(_ *online, service *keys.Private) *keys.Private { return service }, statuslist.Invalid, wallet.ErrRevoked},
		{"signed by the issuer", func(o *online, _ *keys.Private) *keys.Private { return o.fake.key }, statuslist.Valid, wallet.ErrStatus},
		{"signed by another service", func(o *online, _ *keys.Private) *keys.Private { return o.Status }, statuslist.Valid, wallet.ErrStatus},
		{"signed by nobody known", func(*online, *keys.Private) *keys.Private { return issuertest.Key(t) }, statuslist.Valid, wallet.ErrStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(t)
			service := issuertest.Key(t)
			o.Services = append(o.Services, trustlist.StatusService{URI: o.fake.srv.URL + "/shared/", Keys: []json.RawMessage{service.Public().JWK()}})
			o.Publish()
			uri := o.fake.srv.URL + "/shared/1"
			o.fake.claims = func(_ int, claims map[string]any) { claims["status"] = statuslist.Reference{Index: 1, URI: uri}.Claim() }
			l, err := statuslist.New(2, statuslist.MinEntries)
			check(t, err)
			check(t, l.Set(1, c.status))
			signer := c.signer(o, service)
			token, err := statuslist.SignToken(signer, l, statuslist.TokenOptions{URI: uri, IssuedAt: o.Clock.Now(), TTL: time.Hour, KeyID: signer.Public().Thumbprint()})
			check(t, err)
			o.fake.handle["/shared/1"] = func(w http.ResponseWriter, _ *http.Request) {
				web.WriteBody(w, http.StatusOK, statuslist.MediaType, []byte(token))
			}
			_, _, err = o.collect(o.fake.link(true))
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			held, err := o.wallet.Credentials(ctx)
			check(t, err)
			if (len(held) > 0) != (c.want == nil) {
				t.Errorf("%d credentials are held", len(held))
			}
			for _, h := range held {
				if h.Status != wallet.StatusValid {
					t.Errorf("status %s", h.Status)
				}
			}
		})
	}
}
