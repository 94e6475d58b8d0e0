package main

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestVerifierConfigIsDescribed looks for every key in the operator's manual.
func TestVerifierConfigIsDescribed(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, typ := range map[string]reflect.Type{"verifier.": reflect.TypeFor[VerifierConfig](), "verifier.oidc.": reflect.TypeFor[OIDCConfig]()} {
		for n := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(n).Tag.Get("yaml"), ",")
			if key != "" && !strings.Contains(string(manual), "`"+prefix+key) {
				t.Errorf("docs/operations.md does not describe %s%s", prefix, key)
			}
		}
	}
}

// TestSignInMethod: passkeys, or an identity provider that is told who may.
func TestSignInMethod(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(cfg.path("oidc.secret"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	provider := OIDCConfig{Issuer: "https://idp.example", ClientID: "desk", ClientSecret: "oidc.secret", Emails: []string{"a@office.example"}}
	for _, c := range []struct {
		name  string
		spoil func(*OIDCConfig)
		text  string
	}{
		{"a provider", func(*OIDCConfig) {}, ""},
		{"none", func(o *OIDCConfig) { *o = OIDCConfig{} }, ""},
		{"a secret that is not there", func(o *OIDCConfig) { o.ClientSecret = "nowhere" }, "verifier.oidc.client_secret"},
		{"plain http", func(o *OIDCConfig) { o.Issuer = "http://idp.example" }, "oidc.issuer must be an https URL"},
		{"nobody may", func(o *OIDCConfig) { o.Emails = nil }, "say who may sign in"},
		{"no issuer", func(o *OIDCConfig) { o.Issuer = "" }, "oidc.issuer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg.Verifier.OIDC = provider
			c.spoil(&cfg.Verifier.OIDC)
			_, err := cfg.signInMethod()
			if (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
}

// TestVerifierConfigIsChecked spoils one key at a time.
func TestVerifierConfigIsChecked(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*VerifierConfig)
		text  string
	}{
		{"as it was made", func(*VerifierConfig) {}, ""},
		{"everything set", func(v *VerifierConfig) {
			v.Retention, v.SubmissionRetention, v.SignInIdle, v.SignInLongest = 720*time.Hour, time.Hour, 5*time.Minute, time.Hour
			v.TrustedProxies = []string{"10.0.0.0/8"}
		}, ""},
		{"retention", func(v *VerifierConfig) { v.Retention = -1 }, "verifier.retention must not be negative"},
		{"submission_retention", func(v *VerifierConfig) { v.SubmissionRetention = -1 }, "verifier.submission_retention must not be negative"},
		{"signin_idle", func(v *VerifierConfig) { v.SignInIdle = -1 }, "verifier.signin_idle must not be negative"},
		{"signin_longest", func(v *VerifierConfig) { v.SignInLongest = -1 }, "verifier.signin_longest must not be negative"},
		{"trusted_proxies", func(v *VerifierConfig) { v.TrustedProxies = []string{"10.0.0.0/8", "ten"} }, `verifier.trusted_proxies: "ten" is no network`},
	} {
		t.Run(c.name, func(t *testing.T) {
			spoilt := *cfg
			c.spoil(&spoilt.Verifier)
			if err := spoilt.write(); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(cfg.dir)
			if (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
		})
	}
}

// TestDeskOfConfig: what the configuration says is what the desk goes by.
func TestDeskOfConfig(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	in := newInstance(cfg, instanceOptions{roles: []string{roleVerifier}})
	defer func() {
		if err := in.stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	cfg.Verifier.Retention, cfg.Verifier.SignInIdle, cfg.Verifier.TrustedProxies = 720*time.Hour, 5*time.Minute, []string{"10.0.0.0/8"}
	cfg.Verifier.Listen = "127.0.0.1:0"
	if err := in.startVerifier(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := in.desk.DeskConfig
	if d.Retention != 720*time.Hour || d.Submission != 24*time.Hour || d.Idle != 5*time.Minute || d.Longest != 10*time.Hour {
		t.Errorf("the desk goes by %+v", d)
	}
	if len(d.TrustedProxies) != 1 || d.TrustedProxies[0] != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("the desk trusts %v", d.TrustedProxies)
	}
}
