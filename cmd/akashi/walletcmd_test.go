package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/wallet"
)

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]string{
		"yes\n": "", "y\n": "", "YES\n": "", " はい \n": "", "yes": "",
		"no\n": "nothing was done", "yess\n": "nothing was done", "\n": "nothing was done", "いいえ\n": "nothing was done",
		"": "--yes answers for you",
	} {
		err := confirm(streams{in: strings.NewReader(answer), err: io.Discard}, "Do it?", "nothing was done")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", answer, err, want)
		}
	}
}

// TestQuestionsInARow: what is typed ahead, or piped, answers the next question.
func TestQuestionsInARow(t *testing.T) {
	s := streams{in: strings.NewReader("y\n4935\n"), err: io.Discard}
	if err := confirm(s, "Take it?", ""); err != nil {
		t.Fatal(err)
	}
	if line, err := readLine(s.in); line != "4935" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := readLine(strings.NewReader(strings.Repeat("x", 1<<20))); err != nil {
		t.Errorf("a line without end: %v", err)
	}
}

// TestWalletProviderWithCertificate: the provider's file may have x5c, which goes into both attestations; without, they name the key alone.
func TestWalletProviderWithCertificate(t *testing.T) {
	ca, err := newAuthority("provider", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, jwk, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	x5c, err := ca.signer("provider", "provider.example", key.Public().Crypto(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(jwk, &members); err != nil {
		t.Fatal(err)
	}
	for _, certified := range []bool{true, false} {
		if delete(members, "x5c"); certified {
			members["x5c"] = x5c
		}
		path := filepath.Join(t.TempDir(), "provider.jwk")
		text, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		client, err := (&clientFlags{provider: path}).client()
		if err != nil {
			t.Fatal(err)
		}
		instance, err := client.Attest(t.Context(), key.Public())
		if err != nil {
			t.Fatal(err)
		}
		bound, err := client.AttestKeys(t.Context(), []keys.Public{key.Public()}, "nonce")
		if err != nil {
			t.Fatal(err)
		}
		for _, attestation := range []string{instance, bound} {
			h, err := keys.PeekHeader(attestation)
			if err != nil || h.Kid != key.Public().Thumbprint() || slices.Equal(h.X5C, x5c) != certified || !certified && h.X5C != nil {
				t.Errorf("certified %v: header %s, %v", certified, h.Raw, err)
			}
		}
	}
}

func TestUnknownAuthorityNamesTheFlag(t *testing.T) {
	unknown := fmt.Errorf("asking: %w", x509.UnknownAuthorityError{})
	if err := nameCA(unknown); !errors.Is(err, unknown) || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("got %v", err)
	}
	if err := nameCA(wallet.ErrUnknownID); err != wallet.ErrUnknownID {
		t.Errorf("got %v", err)
	}
	if nameCA(nil) != nil {
		t.Error("an error out of nothing")
	}
}

// A statement that does not say what it is about is not made.
func TestStatementNeeds(t *testing.T) {
	for _, c := range []struct {
		flags statementFlags
		want  string // "" for a statement
	}{
		{statementFlags{kind: "unpaid", stream: "wage-employer", period: "2026-06"}, ""},
		{statementFlags{kind: "contradiction", id: "x"}, ""},
		{statementFlags{kind: "ended", endDate: "2026-07-10"}, ""},
		{statementFlags{kind: "filed", obligation: "H-01", eventDate: "2026-07-10"}, ""},
		{statementFlags{kind: "job-search"}, ""},
		{statementFlags{kind: "complaint", text: "they did not answer"}, ""},
		{statementFlags{kind: "unpaid"}, "--stream"},
		{statementFlags{kind: "unpaid", period: "2026-06"}, "--stream"},
		{statementFlags{kind: "not-held", text: "nobody came"}, "--obligation"},
		{statementFlags{kind: "contradiction"}, "--about"},
		{statementFlags{kind: "ended", reason: "employer"}, "--end-date"},
		{statementFlags{kind: "accept"}, "--about"},
		{statementFlags{kind: "retract"}, "--about"},
		{statementFlags{kind: "filed", reference: "1"}, "--obligation"},
	} {
		claims, err := c.flags.claims()
		if (err == nil) != (c.want == "") || (claims != nil) != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.flags, err, c.want)
		}
	}
}
