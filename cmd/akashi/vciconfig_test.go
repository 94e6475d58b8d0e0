package main

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
)

// vciFolder is a folder with the files that a section "vci" can name.
func vciFolder(t *testing.T) *Config {
	t.Helper()
	c := &Config{Host: "localhost", dir: t.TempDir()}
	ca, err := newAuthority("wallet providers", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	for name, content := range map[string]string{
		fileCA: string(certificate), "roots.pem": string(certificate), "key.jwk": string(key.Public().JWK()), "jwks.json": `{"keys":[` + string(key.Public().JWK()) + `]}`,
		"permit.json": `{"id":"permit","name":"Permit","display":[{"locale":"en","name":"Permit"}],"schema":{"type":"object"},"key_attestation":{"key_storage":["iso_18045_high"]}}`,
	} {
		if err := writeFile(c.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func vciSection() VCIConfig {
	return VCIConfig{Bearer: true, Authenticated: true, WalletRoots: []string{"roots.pem"}, WalletKeys: []string{"key.jwk"}, Configurations: []string{"permit.json"},
		Clients:           []VCIClientConfig{{ID: "app", RedirectURIs: []string{"https://app.example/back"}, JWKS: "jwks.json"}},
		AttestationMaxAge: time.Hour, AcceptUnknownAttestationStatus: true, TrustedProxies: []string{"10.0.0.0/8"}, RatePerSecond: 7, RateBurst: 9}
}

func TestVCIConfigLoad(t *testing.T) {
	c := vciFolder(t)
	got, err := vciSection().load(c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Bearer || !got.Authenticated || len(got.WalletRoots) != 1 || len(got.WalletKeys) != 1 || len(got.Configurations) != 1 || got.Configurations[0].KeyAttestation == nil ||
		len(got.Clients) != 1 || len(got.Clients[0].Keys) != 1 || got.Attestations.MaxAge != time.Hour || !got.Attestations.AcceptUnknownStatus || got.Attestations.Statuses == nil ||
		len(got.TrustedProxies) != 1 || got.Rate.PerSecond != 7 || got.Rate.Burst != 9 {
		t.Errorf("loaded %+v", got)
	}
	for name, spoil := range map[string]func(*VCIConfig){
		"wallet_roots":    func(v *VCIConfig) { v.WalletRoots = []string{"key.jwk"} },
		"wallet_keys":     func(v *VCIConfig) { v.WalletKeys = []string{"roots.pem"} },
		"configurations":  func(v *VCIConfig) { v.Configurations = []string{"jwks.json"} },
		"clients":         func(v *VCIConfig) { v.Clients[0].JWKS = "nothing.json" },
		"trusted_proxies": func(v *VCIConfig) { v.TrustedProxies = []string{"everybody"} },
	} {
		v := vciSection()
		spoil(&v)
		if _, err := v.load(c, time.Now); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestVCIConfigIsDescribed looks for every key in the operator's manual, and for every member of a type's file.
func TestVCIConfigIsDescribed(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	typ := reflect.TypeFor[VCIConfig]()
	for n := range typ.NumField() {
		key, _, _ := strings.Cut(typ.Field(n).Tag.Get("yaml"), ",")
		if !strings.Contains(string(manual), "`vci."+key+"`") {
			t.Errorf("docs/operations.md does not describe vci.%s", key)
		}
	}
	c := vciFolder(t)
	loaded, err := vciSection().load(c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(loaded.Configurations[0])
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name := range members {
		if !strings.Contains(string(manual), "`"+name+"`") {
			t.Errorf("docs/operations.md does not describe the member %s of a type's file", name)
		}
	}
}
