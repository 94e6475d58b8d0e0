package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"akashi/internal/logserver"
)

// Config is DIR/config.yaml. Every field outside lists may be overridden by the variable named AKASHI_ and its path in capitals, for example
// AKASHI_REGISTRY_EPOCH=2s. Unknown keys are refused. Paths are relative to the folder of the file.
type Config struct {
	Host     string         `yaml:"host"`     // name in URLs and certificates
	Registry RegistryConfig `yaml:"registry"` // log, map, sealed records, trust list
	Issuer   ServiceConfig  `yaml:"issuer"`
	Verifier VerifierConfig `yaml:"verifier,omitempty"` // asks wallets for presentations; empty = none
	VCI      VCIConfig      `yaml:"vci,omitempty"`      // how wallets collect credentials from the issuer
	Members  []MemberConfig `yaml:"members"`            // witnesses and auditors that this instance runs
	Stores   StoreConfig    `yaml:"stores"`

	dir string // folder of the file
}

// RegistryConfig is the registry's part.
type RegistryConfig struct {
	ServiceConfig `yaml:",inline"`
	Origin        string        `yaml:"origin"`         // name of the log, first line of every checkpoint
	Epoch         time.Duration `yaml:"epoch"`          // how long a batch is collected; 1ms to 60s
	Idle          time.Duration `yaml:"idle"`           // an idle registry closes an epoch this often; 0 = never
	Map           string        `yaml:"map,omitempty"`  // memory (default) or buckets: where the map is kept; may be changed at any start
	MetricsListen string        `yaml:"metrics_listen"` // host:port for GET /metrics, plain http for the operator alone; empty = none
}

// ServiceConfig is where a service listens and how others reach it.
type ServiceConfig struct {
	Listen string `yaml:"listen"` // host:port
	URL    string `yaml:"url"`    // without a trailing slash
}

// VerifierConfig is the verifier's part.
type VerifierConfig struct {
	ServiceConfig `yaml:",inline"`
	IssuerRoots   []string `yaml:"issuer_roots,omitempty"` // PEM files: authorities of issuers besides those on the trust list, for queries of the operator's own
	AdminToken    string   `yaml:"admin_token,omitempty"`  // file with the token of at least 32 characters for requests over HTTP; empty = none are taken
	// StatusLists are the beginnings of further addresses, each with a slash at the end, from which status lists are read besides the services on the
	// trust list. Whoever answers there learns when credentials of its list are looked at.
	StatusLists []string `yaml:"status_lists,omitempty"`

	Retention           time.Duration `yaml:"retention,omitempty"`            // how long a reviewer's case and its evidence are kept; 0 = 2160h, 90 days
	SubmissionRetention time.Duration `yaml:"submission_retention,omitempty"` // how long an assessment is kept that a worker made alone; 0 = 24h
	SignInIdle          time.Duration `yaml:"signin_idle,omitempty"`          // a reviewer who does nothing for so long is signed out; 0 = 30m
	SignInLongest       time.Duration `yaml:"signin_longest,omitempty"`       // nobody stays signed in for longer; 0 = 10h
	TrustedProxies      []string      `yaml:"trusted_proxies,omitempty"`      // networks whose X-Forwarded-For names the client, for the limits of rate
	OIDC                OIDCConfig    `yaml:"oidc,omitempty"`                 // with whom reviewers sign in; empty = with passkeys, by invitation
}

// OIDCConfig is the identity provider of the reviewers' office (OpenID Connect), and who of its people may sign in: whoever subjects, emails, or claim and
// values name.
type OIDCConfig struct {
	Issuer       string   `yaml:"issuer"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret string   `yaml:"client_secret,omitempty"` // file with the secret; empty = a public client
	Scopes       []string `yaml:"scopes,omitempty"`        // besides openid; empty = profile and email
	Subjects     []string `yaml:"subjects,omitempty"`
	Emails       []string `yaml:"emails,omitempty"` // that the provider has verified
	Claim        string   `yaml:"claim,omitempty"`  // name of a claim, such as groups
	Values       []string `yaml:"values,omitempty"` // of which the claim must have one
}

// MemberConfig is one witness or auditor.
type MemberConfig struct {
	Role          string `yaml:"role"` // witness or auditor
	Name          string `yaml:"name"`
	ServiceConfig `yaml:",inline"`
	Key           string `yaml:"key"`                      // file of the Ed25519 seed
	Log           string `yaml:"log,omitempty"`            // verifier key of an outside log; empty = this instance's own
	LogURL        string `yaml:"log_url,omitempty"`        // where an auditor reads an outside log
	MetricsListen string `yaml:"metrics_listen,omitempty"` // as the registry's, for a folder without one
}

// StoreConfig is where data lies.
type StoreConfig struct {
	Key string `yaml:"key"` // file of 32 octets in hex: stores are encrypted with it; empty = not encrypted
}

const configName = "config.yaml"

// loadConfig reads path, which may also name the folder that holds config.yaml, and checks it whole.
func loadConfig(path string) (*Config, error) {
	if path == "" {
		return nil, &exitError{exitUsage, errors.New("--config is needed: the config.yaml that `akashi init DIR` made")}
	}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, configName)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w; `akashi init DIR` makes one", err)
		}
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := override(reflect.ValueOf(&c).Elem(), "AKASHI", os.LookupEnv); err != nil {
		return nil, err
	}
	c.dir = filepath.Dir(path)
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &c, nil
}

// override sets the fields of v, a struct, that lookup knows under prefix and their path in capitals.
func override(v reflect.Value, prefix string, lookup func(string) (string, bool)) error {
	for i := range v.NumField() {
		field, tag := v.Field(i), v.Type().Field(i).Tag.Get("yaml")
		name, _, _ := strings.Cut(tag, ",")
		path := prefix
		if name != "" {
			path += "_" + strings.ToUpper(name)
		}
		if tag == "" {
			continue
		}
		if field.Kind() == reflect.Struct {
			if err := override(field, path, lookup); err != nil {
				return err
			}
			continue
		}
		value, ok := lookup(path)
		if !ok {
			continue
		}
		switch p := field.Addr().Interface().(type) {
		case *string:
			*p = value
		case *bool:
			b, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("%s: %q is neither true nor false", path, value)
			}
			*p = b
		case *int:
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("%s: %q is no whole number", path, value)
			}
			*p = n
		case *float64:
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("%s: %q is no number", path, value)
			}
			*p = f
		case *time.Duration:
			d, err := time.ParseDuration(value)
			if err != nil {
				return fmt.Errorf("%s: %q is no duration such as 2s", path, value)
			}
			*p = d
		default:
			return fmt.Errorf("%s: a list is set in %s only", path, configName)
		}
	}
	return nil
}

// runsRegistry tells an instance with a registry from the folder of one outside witness or auditor.
func (c *Config) runsRegistry() bool { return c.Registry.Listen != "" || len(c.Members) == 0 }

func (c *Config) check() error {
	return errors.Join(c.checkServices(), c.checkVerifier(), c.checkMembers())
}

func (c *Config) checkServices() error {
	if !c.runsRegistry() {
		return nil
	}
	need := func(name, v string) error {
		if v == "" {
			return fmt.Errorf("%s is missing", name)
		}
		return nil
	}
	err := errors.Join(need("host", c.Host), need("registry.origin", c.Registry.Origin), need("registry.url", c.Registry.URL),
		need("registry.listen", c.Registry.Listen), need("issuer.url", c.Issuer.URL), need("issuer.listen", c.Issuer.Listen))
	for _, prefix := range c.Verifier.StatusLists {
		if !strings.HasPrefix(prefix, "https://") || !strings.HasSuffix(prefix, "/") {
			err = errors.Join(err, fmt.Errorf("verifier.status_lists: %q must begin with https:// and end with a slash", prefix))
		}
	}
	if v := c.Verifier; v.ServiceConfig != (ServiceConfig{}) || v.AdminToken != "" || len(v.IssuerRoots)+len(v.StatusLists) > 0 {
		err = errors.Join(err, need("verifier.url", c.Verifier.URL), need("verifier.listen", c.Verifier.Listen))
	}
	if c.Registry.Epoch < time.Millisecond || c.Registry.Epoch > time.Minute {
		err = errors.Join(err, fmt.Errorf("registry.epoch %s is outside 1ms to 60s", c.Registry.Epoch))
	}
	if m := logserver.MapKind(c.Registry.Map); m != "" && m != logserver.MapMemory && m != logserver.MapBuckets {
		err = errors.Join(err, fmt.Errorf("registry.map %q is neither memory nor buckets", m))
	}
	return err
}

func (c *Config) checkVerifier() (err error) {
	v := c.Verifier
	for _, d := range []struct {
		key string
		d   time.Duration
	}{{"retention", v.Retention}, {"submission_retention", v.SubmissionRetention}, {"signin_idle", v.SignInIdle}, {"signin_longest", v.SignInLongest}} {
		if d.d < 0 {
			err = errors.Join(err, fmt.Errorf("verifier.%s must not be negative", d.key))
		}
	}
	if _, wrong := parseNetworks(v.TrustedProxies); wrong != nil {
		err = errors.Join(err, fmt.Errorf("verifier.trusted_proxies: %w", wrong))
	}
	return err
}

func (c *Config) checkMembers() error {
	var err error
	for _, m := range c.Members {
		switch {
		case m.Role != roleWitness && m.Role != roleAuditor:
			err = errors.Join(err, fmt.Errorf("member %q: role %q is neither witness nor auditor", m.Name, m.Role))
		case m.Name == "" || m.Listen == "" || m.Key == "":
			err = errors.Join(err, fmt.Errorf("member %q: name, listen and key are needed", m.Name))
		case !c.runsRegistry() && m.Log == "":
			err = errors.Join(err, fmt.Errorf("member %q: log is missing: the verifier key of the log", m.Name))
		}
	}
	return err
}

// path returns a path of the configuration, which is relative to its folder.
func (c *Config) path(elem ...string) string {
	p := filepath.Join(elem...)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

func (c *Config) write() error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	head := "# Akashi, one instance. Every key can be overridden by AKASHI_<PATH>, for example AKASHI_REGISTRY_EPOCH=2s.\n"
	return writeFile(filepath.Join(c.dir, configName), append([]byte(head), data...), 0o600)
}

// readSeed reads an Ed25519 seed in hex.
func readSeed(path string) (ed25519.PrivateKey, error) {
	seed, err := readHexKey(path, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// readHexKey reads a file of n octets in hex.
func readHexKey(path string, n int) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(b) != n {
		return nil, fmt.Errorf("%s does not hold %d octets in hex", path, n)
	}
	return b, nil
}
