package issuer_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/statuslist"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

func certificates(authorities ...*issuertest.Authority) (out []*x509.Certificate) {
	for _, a := range authorities {
		out = append(out, a.Cert)
	}
	return out
}

// attestationWith makes a client attestation with another header, or other claims.
func (h *hostileWorld) attestationWith(t *testing.T, p *testWallet, header keys.Header, spoil func(*oid4vc.ClientAttestationOptions)) string {
	t.Helper()
	o := oid4vc.ClientAttestationOptions{ClientID: "good-wallet", Key: p.holder.Public(), Issued: h.Clock.Now(), Expires: h.Clock.Now().Add(48 * time.Hour)}
	spoil(&o)
	compact, err := oid4vc.MakeClientAttestation(h.provider, header, o)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// attest asks for a credential with an attestation of the wallet's key as the proof.
func (p *testWallet) attest(t *testing.T, provider *keys.Private, header keys.Header, spoil func(*oid4vc.KeyAttestationOptions)) *reply {
	t.Helper()
	now := p.w.Clock.Now()
	o := oid4vc.KeyAttestationOptions{Keys: []keys.Public{p.holder.Public()}, Nonce: p.challenge(), Issued: now, Expires: now.Add(48 * time.Hour)}
	spoil(&o)
	text, err := oid4vc.MakeKeyAttestation(provider, header, o)
	if err != nil {
		t.Fatal(err)
	}
	return p.json("/credential", oid4vc.CredentialRequest{ConfigurationID: p.token.Scope, Proofs: &oid4vc.Proofs{Type: "attestation", Values: []string{text}}})
}

// attested is a configuration that asks for attested keys.
func attested(t *testing.T, rule string) issuer.Configuration {
	t.Helper()
	c, err := issuer.ParseConfiguration([]byte(`{"id":"sealed","name":"Sealed","description":"","display":[{"locale":"en","name":"Sealed"}],"claims":[{"path":["n"],"sd":"always"}],
		"schema":{"type":"object"},"example":{"n":"{random}"},"batch":true,"valid_days":0,"key_attestation":` + rule + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestVCIKeyAttestationLevels asks for levels and freshness, announces them, and refuses what has less.
func TestVCIKeyAttestationLevels(t *testing.T) {
	provider := issuertest.Key(t)
	rule := `{"key_storage":["iso_18045_high","iso_18045_moderate"],"user_authentication":["iso_18045_high"],"max_age_seconds":3600}`
	w := newVCIWorld(t, issuer.VCIConfig{WalletKeys: []json.RawMessage{provider.Public().JWK()}, Configurations: []issuer.Configuration{attested(t, rule)}})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("sealed")))
	at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	var raw struct {
		Configurations map[string]struct {
			ProofTypes map[string]struct {
				Required json.RawMessage `json:"key_attestations_required"`
			} `json:"proof_types_supported"`
		} `json:"credential_configurations_supported"`
	}
	w.get(at).want(http.StatusOK).as(&raw)
	for _, typ := range []string{"jwt", "attestation"} {
		if got, want := string(raw.Configurations["sealed"].ProofTypes[typ].Required), `{"key_storage":["iso_18045_high","iso_18045_moderate"],"user_authentication":["iso_18045_high"]}`; got != want {
			t.Errorf("%s: key_attestations_required %s, want %s", typ, got, want)
		}
		if got := raw.Configurations["staff-card"].ProofTypes[typ].Required; got != nil {
			t.Errorf("%s: announced where no attestation is needed: %s", typ, got)
		}
	}
	kid := keys.Header{"kid": provider.Public().Thumbprint()}
	good := func(o *oid4vc.KeyAttestationOptions) {
		o.KeyStorage, o.UserAuthentication = []string{"iso_18045_moderate"}, []string{"other", "iso_18045_high"}
	}
	p.attest(t, provider, kid, good).want(http.StatusOK)
	for name, spoil := range map[string]func(*oid4vc.KeyAttestationOptions){
		"no levels":               func(o *oid4vc.KeyAttestationOptions) { o.KeyStorage, o.UserAuthentication = nil, nil },
		"storage too low":         func(o *oid4vc.KeyAttestationOptions) { o.KeyStorage = []string{"iso_18045_basic"} },
		"no user authentication":  func(o *oid4vc.KeyAttestationOptions) { o.UserAuthentication = nil },
		"older than an hour":      func(o *oid4vc.KeyAttestationOptions) { o.Issued = o.Issued.Add(-time.Hour - time.Second) },
		"expired":                 func(o *oid4vc.KeyAttestationOptions) { o.Expires = o.Issued },
		"status of another kind":  func(o *oid4vc.KeyAttestationOptions) { o.Status = json.RawMessage(`{"other":1}`) },
		"status that is not read": func(o *oid4vc.KeyAttestationOptions) { o.Status = reference(t, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := p.attest(t, provider, kid, func(o *oid4vc.KeyAttestationOptions) { good(o); spoil(o) })
			r.t = t
			r.refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
		})
	}
	p.json("/credential", p.ask("sealed")).refused(http.StatusBadRequest, oid4vc.CodeInvalidProof) // a key nobody attests

	if _, err := issuer.New(func() issuer.Config {
		cfg := w.Config()
		cfg.VCI.Configurations = w.cfg.Configurations
		return cfg
	}()); err == nil {
		t.Error("attestations are asked for where no wallet provider is trusted")
	}
	for _, rule := range []string{`{"key_storage":[""]}`, `{"max_age_seconds":-1}`, `{"unknown":1}`, `true`} {
		if _, err := issuer.ParseConfiguration([]byte(`{"id":"x","name":"X","display":[{"locale":"en","name":"X"}],"schema":{},"key_attestation":` + rule + `}`)); err == nil {
			t.Errorf("%s was read", rule)
		}
	}
}

const providerList = "https://provider.example/status/1"

func reference(t *testing.T, idx uint64) json.RawMessage {
	return mustJSON(t, statuslist.Reference{Index: idx, URI: providerList}.Claim())
}

// providerStatuses is the wallet provider's status list: entry 1 is valid, 2 revoked, 3 suspended.
type providerStatuses struct {
	token string
	at    time.Time
	err   error
}

func (s *providerStatuses) StatusList(_ context.Context, uri string) (string, time.Time, error) {
	if uri != providerList {
		return "", time.Time{}, errors.New("another list")
	}
	return s.token, s.at, s.err
}

func (s *providerStatuses) sign(t *testing.T, key *keys.Private, now time.Time) {
	t.Helper()
	l, err := statuslist.New(2, 16)
	if err == nil {
		err = errors.Join(l.Set(2, statuslist.Invalid), l.Set(3, statuslist.Suspended))
	}
	if err == nil {
		s.token, err = statuslist.SignToken(key, l, statuslist.TokenOptions{URI: providerList, IssuedAt: now, TTL: time.Hour, KeyID: key.Public().Thumbprint()})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.at, s.err = now, nil
}

// TestVCIAttestationStatus looks up what the wallet provider says of its attestations now. What cannot be had is refused unless the operator
// said otherwise; what is revoked is refused always.
func TestVCIAttestationStatus(t *testing.T) {
	for _, accept := range []bool{false, true} {
		statuses := &providerStatuses{}
		w := &hostileWorld{provider: issuertest.Key(t), client: issuertest.Key(t)}
		w.vciWorld = newVCIWorld(t, issuer.VCIConfig{WalletKeys: []json.RawMessage{w.provider.Public().JWK()},
			Attestations: issuer.AttestationPolicy{Statuses: statuses, AcceptUnknownStatus: accept}})
		kid := keys.Header{"kid": w.provider.Public().Thumbprint()}
		now := w.Clock.Now()
		p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
		for _, row := range []struct {
			name    string
			status  json.RawMessage
			prepare func()
			ok      bool
		}{
			{"none", nil, func() {}, true},
			{"valid", reference(t, 1), func() {}, true},
			{"revoked", reference(t, 2), func() {}, false},
			{"suspended", reference(t, 3), func() {}, false},
			{"beyond the list", reference(t, 99), func() {}, accept},
			{"unreachable", reference(t, 1), func() { statuses.err = errors.New("no route") }, accept},
			{"signed by a stranger", reference(t, 1), func() { statuses.sign(t, issuertest.Key(t), now) }, accept},
			{"too old", reference(t, 1), func() { statuses.at = now.Add(-2 * time.Hour) }, accept},
			{"no token", reference(t, 1), func() { statuses.token = "x" }, accept},
			{"of another kind", json.RawMessage(`{"other":true}`), func() {}, accept},
			{"no object", json.RawMessage(`"valid"`), func() {}, accept},
		} {
			t.Run(row.name, func(t *testing.T) {
				statuses.sign(t, w.provider, now)
				row.prepare()
				attestation := w.attestationWith(t, p, kid, func(o *oid4vc.ClientAttestationOptions) { o.Status = row.status })
				asClient := p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"),
					oid4vc.HeaderClientAttestation, attestation, oid4vc.HeaderClientAttestationPoP, w.pop(t, p))
				asKey := p.attest(t, w.provider, kid, func(o *oid4vc.KeyAttestationOptions) { o.Status = row.status })
				asClient.t, asKey.t = t, t
				if row.ok {
					asClient.want(http.StatusCreated)
					asKey.want(http.StatusOK)
					return
				}
				asClient.refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
				asKey.refused(http.StatusBadRequest, oid4vc.CodeInvalidProof)
			})
		}
	}
}

// TestVCIFreshAttestation asks for a newer attestation where one is older than configured, though it has not expired.
func TestVCIFreshAttestation(t *testing.T) {
	w := &hostileWorld{provider: issuertest.Key(t), client: issuertest.Key(t)}
	w.vciWorld = newVCIWorld(t, issuer.VCIConfig{WalletKeys: []json.RawMessage{w.provider.Public().JWK()}, Attestations: issuer.AttestationPolicy{MaxAge: 24 * time.Hour}})
	kid := keys.Header{"kid": w.provider.Public().Thumbprint()}
	p := w.wallet(w.Orgs["employer-A"].Issuer)
	send := func(age time.Duration) *reply {
		attestation := w.attestationWith(t, p, kid, func(o *oid4vc.ClientAttestationOptions) { o.Issued = o.Issued.Add(-age) })
		return p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, attestation, oid4vc.HeaderClientAttestationPoP, w.pop(t, p))
	}
	send(24 * time.Hour).want(http.StatusCreated)
	send(24*time.Hour+time.Second).refused(http.StatusBadRequest, oid4vc.CodeUseFreshAttestation)
}

// TestVCIWalletProviderKeys names a known key of a wallet provider by its thumbprint, by the name that it was exchanged under, and not at all.
func TestVCIWalletProviderKeys(t *testing.T) {
	named := func(key *keys.Private, kid string) json.RawMessage {
		jwk := map[string]any{}
		if err := json.Unmarshal(key.Public().JWK(), &jwk); err != nil {
			t.Fatal(err)
		}
		jwk["kid"], jwk["alg"], jwk["use"] = kid, "ES256", "sig"
		return mustJSON(t, jwk)
	}
	provider, other := issuertest.Key(t), issuertest.Key(t)
	one, two := []json.RawMessage{named(provider, "attester-1")}, []json.RawMessage{named(provider, "attester-1"), named(other, "attester-2")}
	for _, row := range []struct {
		name   string
		known  []json.RawMessage
		header keys.Header
		ok     bool
	}{
		{"thumbprint", two, keys.Header{"kid": provider.Public().Thumbprint()}, true},
		{"own name", two, keys.Header{"kid": "attester-1"}, true},
		{"name of another", two, keys.Header{"kid": "attester-2"}, false},
		{"unknown name", one, keys.Header{"kid": "attester-3"}, false},
		{"no name, one key", one, nil, true},
		{"no name, two keys", two, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &hostileWorld{provider: provider}
			w.vciWorld = newVCIWorld(t, issuer.VCIConfig{WalletKeys: row.known})
			p := w.wallet(w.Orgs["employer-A"].Issuer)
			attestation := w.attestationWith(t, p, row.header, func(*oid4vc.ClientAttestationOptions) {})
			r := p.form("/par", pushedForm(t, "good-wallet", "https://wallet.example/back"), oid4vc.HeaderClientAttestation, attestation, oid4vc.HeaderClientAttestationPoP, w.pop(t, p))
			if row.ok {
				r.want(http.StatusCreated)
			} else {
				r.refused(http.StatusUnauthorized, oid4vc.CodeInvalidClient)
			}
		})
	}
	cfg := newVCIWorld(t, issuer.VCIConfig{}).Config()
	cfg.VCI.WalletKeys = []json.RawMessage{json.RawMessage(`{"kty":"oct","k":"AA"}`)}
	if _, err := issuer.New(cfg); err == nil {
		t.Error("a symmetric key of a wallet provider was taken")
	}
}
