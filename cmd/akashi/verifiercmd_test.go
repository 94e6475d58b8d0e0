package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"akashi/internal/oid4vc"
	"akashi/verifier"
)

// A wallet that trusts the folder's authority reads the request over https and refuses; the command prints how it ended.
func TestVerifierRequestWaits(t *testing.T) {
	dir := t.TempDir()
	cfg, err := initInstance(initOptions{dir: dir, host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	in, err := startInstance(ctx, cfg, instanceOptions{})
	defer func() {
		if err := in.stop(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{"https://elsewhere.example/status/1": "of no service", cfg.Issuer.URL + "/status/none": "status 404"} {
		if _, _, err := in.verifier.Statuses.StatusList(ctx, uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the status list at %s: got %v, want %q", uri, err, want)
		}
	}
	query := filepath.Join(dir, "query.json")
	if err := os.WriteFile(query, []byte(`{"credentials":[{"id":"c","format":"dc+sd-jwt","meta":{}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run([]string{"verifier", "request", "--config", dir, "--dcql", query, "--wait"}, nil, writer, io.Discard)
		writer.Close()
	}()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("no link was printed")
	}
	refuse(t, in, lines.Text())
	if !lines.Scan() {
		t.Fatal("no result was printed")
	}
	var view verifier.View
	if err := json.Unmarshal(lines.Bytes(), &view); err != nil {
		t.Fatal(err)
	}
	if view.Status != verifier.Refused || view.Reason != oid4vc.CodeAccessDenied {
		t.Errorf("got %+v", view)
	}
	if got := <-code; got != exitFails {
		t.Errorf("got exit code %d", got)
	}
}

// readRequest reads the request behind a link as a wallet does.
func readRequest(t *testing.T, in *instance, text string) *oid4vc.PresentationRequest {
	t.Helper()
	link, err := oid4vc.ParseRequestLink(text)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := in.client.Get(link.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	object, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	u, err := oid4vc.ParsePresentationRequest(string(object))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := loadAuthority(in.cfg.path(fileCA), in.cfg.path(fileCAKey))
	if err != nil {
		t.Fatal(err)
	}
	r, err := u.Verify(oid4vc.ExpectRequest{ClientID: link.ClientID, Roots: []*x509.Certificate{ca.cert}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return &r.PresentationRequest
}

// refuse is a wallet whose holder says no.
func refuse(t *testing.T, in *instance, text string) {
	t.Helper()
	r := readRequest(t, in, text)
	form, err := (&oid4vc.VPResponse{Error: &oid4vc.ErrorResponse{Code: oid4vc.CodeAccessDenied}, State: r.State}).FormFor(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := in.client.PostForm(r.ResponseURI, form)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the verifier answered %s", answer.Status)
	}
}

// A configuration that was made before there was a verifier stays valid and runs none.
func TestConfigWithoutVerifier(t *testing.T) {
	cfg, err := initInstance(initOptions{dir: t.TempDir(), host: "localhost", now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		verifier ServiceConfig
		valid    bool
	}{
		{cfg.Verifier.ServiceConfig, true},
		{ServiceConfig{}, true},
		{ServiceConfig{URL: cfg.Verifier.URL}, false},
		{ServiceConfig{Listen: cfg.Verifier.Listen}, false},
	} {
		cfg.Verifier = VerifierConfig{ServiceConfig: c.verifier}
		if err := cfg.write(); err != nil {
			t.Fatal(err)
		}
		if got, err := loadConfig(cfg.dir); (err == nil) != c.valid || err == nil && got.Verifier.ServiceConfig != c.verifier {
			t.Errorf("%+v: got %v", c.verifier, err)
		}
	}
}
