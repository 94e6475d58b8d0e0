package evidence_test

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
)

// copying is how a copy of a logged wage receipt is made and presented; a test spoils one thing of it.
type copying struct {
	w               *evidencetest.World
	of              string // what its digests and disclosures are of
	issuer, holder  *keys.Private
	forged          bool // the signature of the presentation
	claims          map[string]any
	audience, nonce string
}

func (c *copying) present(t *testing.T) string {
	t.Helper()
	claims := maps.Clone(c.claims)
	claims["cnf"] = map[string]any{"jwk": c.holder.Public().JWK()}
	compact, err := sdjwt.Reissue(c.issuer, keys.Header{"kid": c.issuer.Public().Thumbprint()}, c.of, claims)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := sdjwt.BindKey(compact, c.holder, c.audience, c.nonce, c.w.Now)
	if err != nil {
		t.Fatal(err)
	}
	if c.forged {
		return flipSignature(bound)
	}
	return bound
}

// newCopying logs a receipt and begins a copy of it.
func newCopying(t *testing.T) (*copying, string) {
	w := engaged(t)
	receipt := w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 212000)
	w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
	w.Now = w.Now.Add(24 * time.Hour)
	w.CloseEpoch()
	return &copying{w: w, of: receipt, issuer: w.Bank.Key, holder: evidencetest.Key(t), audience: evidencetest.Audience, nonce: evidencetest.Nonce,
		claims: map[string]any{"logged": w.IDOf(receipt), "iat": w.Now.Truncate(24 * time.Hour).Unix(), "status": map[string]any{"status_list": map[string]any{"idx": 1, "uri": "https://issuer.example/1"}}}}, receipt
}

// makeWith makes a file of a presentation with the given attestations.
func makeWith(t *testing.T, w *evidencetest.World, attestations ...string) (*evidence.File, *evidence.Result) {
	t.Helper()
	p := w.Presentation(evidencetest.All, nil, nil)
	p.Attestations = attestations
	f, r, err := evidence.Make(context.Background(), p, w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return f, r
}

// TestCopyShowsItsRecord: a wallet that has only a copy of an attestation, for a key of its own, discloses by it what the record holds.
func TestCopyShowsItsRecord(t *testing.T) {
	c, receipt := newCopying(t)
	f, r := makeWith(t, c.w, c.present(t), c.w.Present(receipt, evidencetest.All))
	if got := len(f.Presentation.Attestations); got != 1 || len(notes(r)) != 1 {
		t.Errorf("the record and its copy: %d in the file, notes %q; want one of the two", got, notes(r))
	}
	f, r = makeWith(t, c.w, c.present(t))
	if len(notes(r)) > 0 {
		t.Errorf("left out: %q", notes(r))
	}
	ev, r := evidence.EvidenceOf(f, c.w.Trust())
	if r.Result != compliance.Pass {
		t.Fatalf("got %v: %+v", r.Result, r.Checks)
	}
	shown := ladderOf(t, ev, attestation.WageBank, nov).Rungs[0]
	if claims := shown.Claims.(*attestation.WageReceipt); !shown.Presented || claims.Amount == nil || *claims.Amount != 212000 || shown.ID != c.w.IDOf(receipt) {
		t.Errorf("got %+v, want the amount of the record", shown)
	}
	_, of := evidence.VerifyCase(evidencetest.Marshal(c.w, f), c.w.Trust(), evidence.Options{})
	if got := of.Credentials[shown.Index]; !strings.HasPrefix(got, evidencetest.JWT(receipt)+"~") || len(got) != len(receipt) {
		t.Errorf("shown as %q, want the record with its disclosures", got)
	}
}

// TestCopyIsRefused: what is not a copy of the record is left out when a file is made, and fails a file that has it.
func TestCopyIsRefused(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(*testing.T, *copying)
		code  string
	}{
		{"signed by another issuer", func(_ *testing.T, c *copying) { c.issuer = c.w.Employer.Key }, evidence.CodeCopyDiffers},
		{"signed by nobody known", func(t *testing.T, c *copying) { c.issuer = evidencetest.Key(t) }, evidence.CodeCopyDiffers},
		{"a visible claim differs", func(_ *testing.T, c *copying) { c.claims["value_date"] = "2025-11-24" }, evidence.CodeCopyDiffers},
		{"a visible claim more", func(_ *testing.T, c *copying) { c.claims["note"] = "x" }, evidence.CodeCopyDiffers},
		{"discloses what the record does not have", func(_ *testing.T, c *copying) {
			c.of = c.w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 999999)
		}, evidence.CodeCopyDiffers},
		{"its holder did not sign the presentation", func(_ *testing.T, c *copying) { c.forged = true }, evidence.CodeKBAttestation},
		{"presented to another audience", func(_ *testing.T, c *copying) { c.audience = "x509_hash:other" }, evidence.CodeKBAttestation},
		{"presented for another request", func(_ *testing.T, c *copying) { c.nonce = "other" }, evidence.CodeKBAttestation},
		{"of another record", func(_ *testing.T, c *copying) { c.claims["logged"] = c.w.EngagementID }, evidence.CodeNotLogged},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, _ := newCopying(t)
			whole, _ := makeWith(t, c.w, c.present(t))
			row.spoil(t, c)
			spoiled := c.present(t)
			f, r := makeWith(t, c.w, spoiled)
			if len(f.Presentation.Attestations) != 0 || len(notes(r)) != 1 {
				t.Errorf("%d in the file, notes %q; want it left out", len(f.Presentation.Attestations), notes(r))
			}
			whole.Presentation.Attestations[0] = spoiled
			if r := evidence.Verify(whole, c.w.Trust(), evidence.Options{}); r.Result != compliance.Fail || r.Checks[len(r.Checks)-1].Code != row.code {
				t.Errorf("in a file: got %v, %+v; want %s", r.Result, r.Checks[len(r.Checks)-1], row.code)
			}
		})
	}
}

// TestCopyIsSeen: where in a payload the member stands, and what stands around it, does not matter.
func TestCopyIsSeen(t *testing.T) {
	for _, payload := range []string{`{"logged":"ID"}`, `{"a":1,"logged":"ID"}`, `{"ab":1,"logged":"ID"}`, `{"abc":1, "logged" :"ID","z":2}`} {
		if got := evidence.LoggedOf("e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln~"); got != "ID" {
			t.Errorf("%s: got %q", payload, got)
		}
	}
	for _, compact := range []string{"", "~", "..", "e30.!.c2ln~", "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"logge":"ID"}`)) + ".c2ln~", "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"logged":1}`)) + ".c2ln~"} {
		if got := evidence.LoggedOf(compact); got != "" {
			t.Errorf("%q: got %q", compact, got)
		}
	}
}

// FuzzCopy: whatever is presented, it is told whether it is a copy, and joining takes nothing of it but disclosures.
func FuzzCopy(f *testing.F) {
	f.Add("e30.eyJsb2dnZWQiOiJJRCJ9.c2ln~d1~d2~kb")
	f.Add("e30.eyJsb2dnZWQiOiJJRCJ9.c2ln")
	f.Add("~~")
	f.Fuzz(func(t *testing.T, compact string) {
		_ = evidence.LoggedOf(compact)
		got := evidence.Joined("jwt", compact)
		_, disclosures, _ := strings.Cut(compact, "~")
		if kept, ok := strings.CutPrefix(got, "jwt~"); !ok || !strings.HasPrefix(disclosures, kept) || kept != "" && !strings.HasSuffix(kept, "~") {
			t.Errorf("%q became %q", compact, got)
		}
	})
}
