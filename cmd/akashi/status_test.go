package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/statuslist"
	"akashi/issuer"
)

// TestStatusListsOfAnInstance reads the list of all organizations as an outside verifier does, whose roots have the issuers' authority, and as a
// verifier with the trust list; and again after the key was replaced.
func TestStatusListsOfAnInstance(t *testing.T) {
	dir := t.TempDir()
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	check := func(in *instance) string {
		t.Helper()
		checkTLS(t, in)
		if err := in.admin().listStatuses(ctx); err != nil {
			t.Fatal(err)
		}
		resp, err := in.client.Get(issuer.StatusAggregation(cfg.Issuer.URL))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %v", resp.StatusCode, err)
		}
		a, err := statuslist.ParseAggregation(body)
		if err != nil || len(a.StatusLists) != 1 || !strings.HasPrefix(a.StatusLists[0], cfg.Issuer.URL+"/status/") {
			t.Fatalf("lists %+v: %v", a, err)
		}
		uri := a.StatusLists[0]
		token, fetched, err := in.statuses.StatusList(ctx, uri)
		if err != nil {
			t.Fatal(err)
		}
		u, err := statuslist.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		list, err := cfg.latestTrustList()
		if err != nil {
			t.Fatal(err)
		}
		key, served, err := list.StatusKey(uri, u.Header())
		if err != nil || !served {
			t.Fatalf("served %t: %v", served, err)
		}
		if _, err := u.Verify(key, statuslist.Expect{URI: uri, Now: time.Now(), Fetched: fetched}); err != nil {
			t.Fatal(err)
		}
		ca, err := loadAuthority(cfg.path(fileIssuerCA), cfg.path(fileIssuerKey))
		if err != nil {
			t.Fatal(err)
		}
		certified, _, err := keys.VerifyChain(u.Header().X5C, certificatesOf(ca), time.Now())
		if err != nil || !certified.Equal(key) {
			t.Errorf("x5c: %v", err)
		}
		return u.Header().Kid
	}
	run := func() string {
		t.Helper()
		in, err := startInstance(ctx, cfg, instanceOptions{})
		defer func() {
			if err := in.stop(ctx); err != nil {
				t.Error(err)
			}
		}()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.admin().AddOrg(ctx, orgRequest{Role: attestation.Bank, ID: "5990000000004", Name: map[string]string{"ja": "見本銀行"}, From: attestation.DateOf(time.Now())}); err != nil {
			t.Fatal(err)
		}
		return check(in)
	}
	first := run()
	for _, name := range []string{fileStatusKey, fileStatusCert} {
		if err := os.Remove(cfg.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if second := run(); second == first {
		t.Error("the key was not replaced")
	}
}

func certificatesOf(a *authority) []*x509.Certificate { return []*x509.Certificate{a.cert} }

// checkTLS connects as clients of different age and care (RFC 9325, Sections 3.1.1 and 4.2).
func checkTLS(t *testing.T, in *instance) {
	t.Helper()
	roots := in.client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, c := range map[string]struct {
		oldest, newest uint16
		suites         []uint16
		ok             bool
	}{
		"TLS 1.3":             {oldest: tls.VersionTLS13, ok: true},
		"TLS 1.2, GCM":        {newest: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, ok: true},
		"TLS 1.2, CBC":        {newest: tls.VersionTLS12, suites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"TLS 1.2, key by RSA": {newest: tls.VersionTLS12, suites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		"TLS 1.1":             {oldest: tls.VersionTLS10, newest: tls.VersionTLS11},
	} {
		conn, err := tls.Dial("tcp", in.cfg.Issuer.Listen, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: c.oldest, MaxVersion: c.newest, CipherSuites: c.suites})
		if (err == nil) != c.ok {
			t.Errorf("%s: connected %t: %v", name, err == nil, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
