package issuer

import (
	"context"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

func encNames() []string { return []string{string(keys.A256GCM), string(keys.A128GCM)} }

// credentialIssuerMetadata is credential issuer metadata (OpenID4VCI 1.0, Section 12.2.4). The organization is its own authorization server.
func (i *Issuer) credentialIssuerMetadata(ctx context.Context, o *org) (*oid4vc.IssuerMetadata, error) {
	request, err := i.requestEncryption(ctx)
	if err != nil {
		return nil, err
	}
	m := &oid4vc.IssuerMetadata{
		CredentialIssuer: o.Issuer, CredentialEndpoint: o.Issuer + "/credential", NonceEndpoint: o.Issuer + "/nonce", DeferredEndpoint: o.Issuer + "/deferred",
		NotificationEndpoint: o.Issuer + "/notification", RequestEncryption: request, ResponseEncryption: responseEncryption(),
		Batch: &oid4vc.BatchMetadata{BatchSize: maxBatch}, Display: issuerDisplay(o), StatusAggregation: StatusAggregation(i.Status.URL),
		Configurations: map[string]oid4vc.CredentialConfiguration{},
	}
	for id, c := range i.configurations(o) {
		m.Configurations[id] = c.wire(o, i.attestsKeys())
	}
	return m, m.Validate(o.Issuer)
}

// issuerDisplay names the organization in each language; in Vietnamese it goes by its name in Latin letters.
func issuerDisplay(o *org) []oid4vc.Display {
	var out []oid4vc.Display
	for _, locale := range []string{"ja", "en", "vi"} {
		name := o.Name[locale]
		if name == "" {
			name = english(o.Name)
		}
		if name != "" {
			out = append(out, oid4vc.Display{Name: name, Locale: locale})
		}
	}
	return out
}

// requestEncryption says how requests may be encrypted.
func (i *Issuer) requestEncryption(ctx context.Context) (*oid4vc.RequestEncryptionMetadata, error) {
	s, err := i.vciSecrets(ctx)
	if err != nil {
		return nil, err
	}
	jwk, err := s.public.MarshalJSON()
	if err != nil {
		return nil, err
	}
	m := &oid4vc.RequestEncryptionMetadata{Enc: encNames(), Zip: []string{oid4vc.ZipDeflate}}
	m.JWKS.Keys = append(m.JWKS.Keys, jwk)
	return m, nil
}

func responseEncryption() *oid4vc.ResponseEncryptionMetadata {
	return &oid4vc.ResponseEncryptionMetadata{Alg: []string{oid4vc.AlgECDHES}, Enc: encNames(), Zip: []string{oid4vc.ZipDeflate}}
}

// attestsKeys tells whether any wallet provider is trusted to attest keys.
func (i *Issuer) attestsKeys() bool {
	return len(i.vci.cfg.WalletRoots)+len(i.vci.cfg.WalletKeys) > 0
}

// serverMetadata is authorization server metadata (RFC 8414).
func (i *Issuer) serverMetadata(o *org) *oid4vc.ServerMetadata {
	m := &oid4vc.ServerMetadata{
		Issuer: o.Issuer, AuthorizationEndpoint: o.Issuer + "/authorize", TokenEndpoint: o.Issuer + "/token", PushedEndpoint: o.Issuer + "/par", RequirePushed: true, JWKSURI: o.Issuer + "/jwks",
		ResponseTypesSupported: []string{"code"}, ResponseModesSupported: []string{"query"},
		GrantTypesSupported:           []string{oid4vc.GrantAuthorizationCode, oid4vc.GrantPreAuthorizedCode, oid4vc.GrantRefreshToken},
		CodeChallengeMethodsSupported: []string{"S256"}, TokenAuthMethodsSupported: []string{oid4vc.AuthPrivateKeyJWT, oid4vc.AuthNone},
		TokenAuthAlgsSupported: algNames(), DPoPAlgsSupported: algNames(), IssParameterSupported: true, DetailsTypesSupported: []string{oid4vc.TypeOpenIDCredential},
		AnonymousPreAuthorized: true, StatusAggregation: StatusAggregation(i.Status.URL),
	}
	for id := range i.configurations(o) {
		m.ScopesSupported = append(m.ScopesSupported, id)
	}
	slices.Sort(m.ScopesSupported)
	if i.vci.cfg.Authenticated {
		m.TokenAuthMethodsSupported, m.AnonymousPreAuthorized = []string{oid4vc.AuthPrivateKeyJWT}, false
	}
	if i.attestsKeys() {
		m.TokenAuthMethodsSupported = append([]string{oid4vc.AuthAttestation, oid4vc.AuthAttestationDPoP}, m.TokenAuthMethodsSupported...)
		m.ChallengeEndpoint = o.Issuer + "/challenge"
		m.AttestationAlgsSupported, m.AttestationPoPAlgsSupported = algNames(), algNames()
	}
	return m
}

// metadataLife is how long signed metadata says that it is valid.
const metadataLife = 24 * time.Hour

// serveCredentialIssuer answers with the metadata as JSON or, where the client asks for it, signed.
func (i *Issuer) serveCredentialIssuer(w http.ResponseWriter, r *http.Request, o *org) error {
	m, err := i.credentialIssuerMetadata(r.Context(), o)
	if err != nil {
		return err
	}
	w.Header().Set("Vary", "Accept")
	if !prefersJWT(r.Header.Values("Accept")) {
		writePublic(w, m)
		return nil
	}
	jwt, err := i.signedOnce("metadata "+o.ID, time.Hour, func(now time.Time) (string, error) {
		return oid4vc.SignIssuerMetadata(o.signing, o.signer(), m, now, now.Add(metadataLife))
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "max-age=300")
	w.Header().Set("Content-Type", oid4vc.MediaTypeJWT)
	_, _ = w.Write([]byte(jwt))
	return nil
}

// prefersJWT tells whether the Accept header prefers the signed form (RFC 9110, Section 12.5.1). Who takes either alike gets JSON, unless the signed
// form stands first.
func prefersJWT(accept []string) bool {
	signed, plain, first := 0.0, 0.0, false
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		mediaType, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch mediaType {
		case oid4vc.MediaTypeJWT:
			signed, first = q, plain == 0
		case oid4vc.MediaTypeJSON, "application/*", "*/*":
			plain = max(plain, q)
		}
	}
	return signed > plain || signed > 0 && signed == plain && first
}

func (i *Issuer) serveServerMetadata(w http.ResponseWriter, _ *http.Request, o *org) error {
	m := i.serverMetadata(o)
	if err := m.Validate(o.Issuer); err != nil {
		return err
	}
	writePublic(w, m)
	return nil
}

// serveOwnType serves the type metadata of an operator-defined type.
func (i *Issuer) serveOwnType(w http.ResponseWriter, r *http.Request, o *org) error {
	c := i.configuration(o, mux.Vars(r)["type"])
	if c == nil || c.typ != "" {
		web.WriteProblem(w, web.Problem{Status: http.StatusNotFound, Title: "no such credential type"})
		return nil
	}
	body, err := c.typeMetadata(o)
	if err == nil {
		writeJSON(w, body)
	}
	return err
}

// signer is the header of what the organization signs besides credentials: the chain without its anchor, and the key's name.
func (o *org) signer() keys.Header {
	h := o.header()
	delete(h, "typ")
	return h
}

// signedOnce returns a signature from memory, or makes it. The clock is the issuer's.
func (i *Issuer) signedOnce(what string, life time.Duration, sign func(now time.Time) (string, error)) (string, error) {
	now := i.Now()
	i.vci.mu.Lock()
	known, ok := i.vci.signed[what]
	i.vci.mu.Unlock()
	if ok && now.Before(known.until) && now.After(known.until.Add(-life-time.Second)) {
		return known.text, nil
	}
	text, err := sign(now)
	if err != nil {
		return "", err
	}
	i.vci.mu.Lock()
	defer i.vci.mu.Unlock()
	if len(i.vci.signed) > 10_000 {
		clear(i.vci.signed)
	}
	i.vci.signed[what] = signedText{text, now.Add(life)}
	return text, nil
}

// forgetSigned drops signatures over what has changed.
func (i *Issuer) forgetSigned(what string) {
	i.vci.mu.Lock()
	defer i.vci.mu.Unlock()
	delete(i.vci.signed, what)
}
