package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
	"akashi/issuer"
)

// VCIConfig is how wallets collect credentials (OpenID4VCI). Without it they need DPoP, and a client attestation or a registered key where
// they come without a pre-authorized code.
type VCIConfig struct {
	Bearer         bool              `yaml:"bearer,omitempty"`                        // wallets that send no DPoP proof get tokens bound to no key
	Authenticated  bool              `yaml:"require_client_authentication,omitempty"` // no anonymous wallets, and no akashi-wallet without attestation or key
	OpenExamples   bool              `yaml:"open_examples,omitempty"`                 // anybody may collect examples of the configurations below: for interoperability tests
	RatePerSecond  float64           `yaml:"rate_per_second,omitempty"`               // requests of one client; 0 = 50, below zero = no limit
	RateBurst      int               `yaml:"rate_burst,omitempty"`                    // 0 = 500
	WalletRoots    []string          `yaml:"wallet_roots,omitempty"`                  // PEM files: authorities of wallet providers, for their attestations
	WalletKeys     []string          `yaml:"wallet_keys,omitempty"`                   // JWK files: keys of wallet providers that send no certificates
	Configurations []string          `yaml:"configurations,omitempty"`                // JSON files: further types of credentials
	Clients        []VCIClientConfig `yaml:"clients,omitempty"`

	AttestationMaxAge              time.Duration `yaml:"attestation_max_age,omitempty"`               // of client attestations, by iat; 0 = as long as they say
	AcceptUnknownAttestationStatus bool          `yaml:"accept_unknown_attestation_status,omitempty"` // of attestations whose status list cannot be had
	TrustedProxies                 []string      `yaml:"trusted_proxies,omitempty"`                   // networks whose X-Forwarded-For names the client
}

// VCIClientConfig is a registered client.
type VCIClientConfig struct {
	ID           string   `yaml:"id"`
	RedirectURIs []string `yaml:"redirect_uris"`
	JWKS         string   `yaml:"jwks,omitempty"` // file of its public keys for private_key_jwt; empty = a public client
}

// load reads the files that the section names.
func (v VCIConfig) load(c *Config, now func() time.Time) (out issuer.VCIConfig, err error) {
	fetch, err := c.fetchOptions(now)
	if err != nil {
		return out, err
	}
	out = issuer.VCIConfig{Bearer: v.Bearer, Authenticated: v.Authenticated, OpenExamples: v.OpenExamples, Rate: web.RateLimit{PerSecond: v.RatePerSecond, Burst: v.RateBurst}}
	out.Attestations = issuer.AttestationPolicy{MaxAge: v.AttestationMaxAge, Statuses: web.NewStatusLists(fetch, nil), AcceptUnknownStatus: v.AcceptUnknownAttestationStatus}
	if out.WalletRoots, err = each(c, v.WalletRoots, readCertificate); err != nil {
		return out, fmt.Errorf("wallet_roots: %w", err)
	}
	if out.WalletKeys, err = each(c, v.WalletKeys, readPublic); err != nil {
		return out, fmt.Errorf("wallet_keys: %w", err)
	}
	if out.Configurations, err = each(c, v.Configurations, issuer.ParseConfiguration); err != nil {
		return out, fmt.Errorf("configurations: %w", err)
	}
	for _, client := range v.Clients {
		loaded, err := client.load(c)
		if err != nil {
			return out, fmt.Errorf("clients: %s: %w", client.ID, err)
		}
		out.Clients = append(out.Clients, loaded)
	}
	if out.TrustedProxies, err = parseNetworks(v.TrustedProxies); err != nil {
		return out, fmt.Errorf("trusted_proxies: %w", err)
	}
	return out, nil
}

// parseNetworks reads networks such as 10.0.0.0/8.
func parseNetworks(networks []string) (out []netip.Prefix, err error) {
	for _, network := range networks {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return nil, fmt.Errorf("%q is no network such as 10.0.0.0/8", network)
		}
		out = append(out, prefix)
	}
	return out, nil
}

// each reads files of the folder.
func each[T any](c *Config, paths []string, parse func([]byte) (T, error)) (out []T, err error) {
	for _, path := range paths {
		data, err := os.ReadFile(c.path(path))
		if err != nil {
			return nil, err
		}
		v, err := parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// readPublic reads a public JWK, with the name that it has.
func readPublic(data []byte) (json.RawMessage, error) {
	_, err := keys.ParsePublic(data)
	return data, err
}

func readCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("this is no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

func (v VCIClientConfig) load(c *Config) (issuer.VCIClient, error) {
	client := issuer.VCIClient{ID: v.ID, RedirectURIs: v.RedirectURIs}
	if v.JWKS == "" {
		return client, nil
	}
	data, err := os.ReadFile(c.path(v.JWKS))
	if err != nil {
		return client, err
	}
	set, err := oid4vc.ParseKeySet(data)
	if err != nil {
		return client, err
	}
	client.Keys = append([]json.RawMessage{}, set.Keys...)
	return client, nil
}
