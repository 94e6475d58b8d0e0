package evidence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/schemas"
)

// hasCheck says whether a check with a code came out so.
func hasCheck(r *evidence.Result, code string, want compliance.Result) bool {
	return slices.ContainsFunc(r.Checks, func(c compliance.Check) bool { return c.Code == code && c.Result == want })
}

func TestSealSaysWhoSaved(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	bare := evidencetest.Marshal(w, f)
	if r := evidence.VerifyBytes(bare, w.Trust(), evidence.Options{}); r.Result != compliance.Pass || r.SavedBy != nil || !hasCheck(r, evidence.CodeNotSealed, compliance.CannotTell) {
		t.Fatalf("without a seal: got %v, saved by %+v, %+v", r.Result, r.SavedBy, r.Checks)
	}
	w.Seal(f)
	data := evidencetest.Marshal(w, f)
	if want := string(bare[:len(bare)-1]) + `,"seal":"` + f.Seal + `"}`; string(data) != want {
		t.Error("the file is not the one without the seal and the seal before its last brace")
	}
	r := evidence.VerifyBytes(data, w.Trust(), evidence.Options{})
	if r.Result != compliance.Pass || hasCheck(r, evidence.CodeNotSealed, compliance.CannotTell) {
		t.Fatalf("with a seal: got %v, %+v", r.Result, r.Checks)
	}
	s := r.SavedBy
	if s == nil || s.ID != evidencetest.VerifierID || s.Name["en"] != "verifier" || s.Number != evidencetest.Number || !s.At.Equal(w.Now) {
		t.Errorf("saved by %+v", s)
	}
	if !slices.ContainsFunc(r.Checks, func(c compliance.Check) bool { return c.Code == evidence.CodeReproduced }) {
		t.Error("the seal took the place of the assessment's check")
	}
}

// sealed is a seal before it is signed, and who signs it.
type sealed struct {
	file   *evidence.File
	header keys.Header
	claims map[string]any
	body   []byte // in place of the claims
	key    *keys.Private
}

// TestSpoiltSeals signs one valid seal and seals with one thing wrong.
func TestSpoiltSeals(t *testing.T) {
	w, p := small(t)
	good := makeFile(t, w, p)
	stranger := evidencetest.Key(t)
	other := registry.HashOf([]byte("another file"))
	for _, c := range []struct {
		name  string
		spoil func(*sealed)
		code  string // "" for a seal that holds
	}{
		{"as it should be", func(*sealed) {}, ""},
		{"by key id, with the certificates' member", func(s *sealed) { s.header["x5c"] = []string{} }, evidence.CodeSealForm},
		{"no type", func(s *sealed) { delete(s.header, "typ") }, evidence.CodeSealForm},
		{"another type", func(s *sealed) { s.header["typ"] = trustlist.Typ }, evidence.CodeSealForm},
		{"critical header", func(s *sealed) { s.header["crit"] = []string{"x"}; s.header["x"] = 1 }, evidence.CodeSealForm},
		{"no JSON", func(s *sealed) { s.body = []byte("x") }, evidence.CodeSealForm},
		{"claims in another order", func(s *sealed) {
			text, _ := other.MarshalText()
			s.body = []byte(`{"iat":1,"file":"` + string(text) + `","number":"1"}`)
		}, evidence.CodeSealForm},
		{"a claim more", func(s *sealed) { s.claims["verdict"] = "good" }, evidence.CodeSealForm},
		{"no number", func(s *sealed) { s.claims["number"] = "" }, evidence.CodeSealForm},
		{"a sentence for a number", func(s *sealed) { s.claims["number"] = "all is well" }, evidence.CodeSealForm},
		{"a number too long", func(s *sealed) { s.claims["number"] = strings.Repeat("1", 65) }, evidence.CodeSealForm},
		{"no time", func(s *sealed) { s.claims["iat"] = 0 }, evidence.CodeSealForm},
		{"a stranger's key", func(s *sealed) { s.key = stranger; s.header["kid"] = stranger.Public().Thumbprint() }, evidence.CodeSealSigner},
		{"no key id", func(s *sealed) { delete(s.header, "kid") }, evidence.CodeSealSigner},
		{"the employer's key", func(s *sealed) { s.key = w.Employer.Key; s.header["kid"] = s.key.Public().Thumbprint() }, evidence.CodeSealSigner},
		{"the authority's key", func(s *sealed) { s.key = w.Authority.Key; s.header["kid"] = s.key.Public().Thumbprint() }, evidence.CodeSealSigner},
		{"before it was listed", func(s *sealed) { s.claims["iat"] = evidencetest.At(2025, 9, 30, 23).Unix() }, evidence.CodeSealSigner},
		{"another's signature", func(s *sealed) { s.key = stranger }, evidence.CodeSealSignature},
		{"of another file", func(s *sealed) { s.claims["file"] = other }, evidence.CodeSealFile},
		{"the file changed afterwards", func(s *sealed) { s.file.RulesetHash[0] ^= 1 }, evidence.CodeSealFile},
		{"saved before its checkpoint", func(s *sealed) { s.claims["iat"] = w.Now.Add(-6 * time.Minute).Unix() }, evidence.CodeSealTime},
		{"saved by a clock that is a little behind", func(s *sealed) { s.claims["iat"] = w.Now.Add(-4 * time.Minute).Unix() }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := clone(t, good)
			data := evidencetest.Marshal(w, f)
			s := &sealed{
				file: f, key: w.Verifier.Key, header: keys.Header{"typ": evidence.TypSeal, "kid": w.Verifier.Key.Public().Thumbprint()},
				claims: map[string]any{"file": registry.HashOf(data), "iat": w.Now.Unix(), "number": evidencetest.Number},
			}
			c.spoil(s)
			if s.body == nil {
				s.body, _ = json.Marshal(s.claims) // in the order of the names, which is that of the seal
			}
			var err error
			if f.Seal, err = s.key.Sign(s.header, s.body); err != nil {
				t.Fatal(err)
			}
			r := evidence.VerifyBytes(evidencetest.Marshal(w, f), w.Trust(), evidence.Options{})
			switch last := lastCheck(r); {
			case c.code == "" && (r.Result != compliance.Pass || r.SavedBy == nil):
				t.Errorf("got %v by %s (%s), want pass", r.Result, last.Code, last.Detail)
			case c.code != "" && (r.Result != compliance.Fail || last.Code != c.code || r.SavedBy != nil):
				t.Errorf("got %v by %s (%s), saved by %+v, want fail by %s", r.Result, last.Code, last.Detail, r.SavedBy, c.code)
			}
		})
	}
}

// TestSealIsNotMade asks for seals that would not verify.
func TestSealIsNotMade(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	for _, c := range []struct {
		name   string
		key    *keys.Private
		number string
		at     time.Time
		code   string
	}{
		{"a key that is not listed", evidencetest.Key(t), evidencetest.Number, w.Now, evidence.CodeSealSigner},
		{"an issuer's key", w.Employer.Key, evidencetest.Number, w.Now, evidence.CodeSealSigner},
		{"no number", w.Verifier.Key, "", w.Now, evidence.CodeSealForm},
		{"an hour early", w.Verifier.Key, evidencetest.Number, w.Now.Add(-time.Hour), evidence.CodeSealTime},
	} {
		err := evidence.Seal(f, registry.HashOf(evidencetest.Marshal(w, f)), w.Trust(), evidence.Sealer{Key: c.key}, c.number, c.at, nil)
		var failed *evidence.CheckError
		if !errors.As(err, &failed) || failed.Check.Code != c.code {
			t.Errorf("%s: got %v, want %s", c.name, err, c.code)
		}
		if f.Seal != "" {
			t.Errorf("%s: sealed all the same", c.name)
		}
	}
}

// TestSealOfWhoLeft seals with a key whose listing ended, and with one that was reported as compromised.
func TestSealOfWhoLeft(t *testing.T) {
	for name, change := range map[string]func(*evidencetest.World, *trustlist.Entity){
		"left before": func(_ *evidencetest.World, e *trustlist.Entity) { e.Until = attestation.NewDate(2026, 1, 19) },
		"compromised later than the seal says": func(w *evidencetest.World, e *trustlist.Entity) {
			e.Compromised = []trustlist.Compromise{{Kid: w.Verifier.Key.Public().Thumbprint(), Since: w.Now.Add(time.Hour).UTC()}}
		},
	} {
		w := evidencetest.New(t, evidencetest.At(2025, 10, 30, 9))
		credentials, statements := play(w)
		entities := w.Entities()
		change(w, entities[len(entities)-1])
		w.AddTrustList(entities...)
		f := makeFile(t, w, w.Presentation(opened, credentials, statements))
		err := evidence.Seal(f, registry.HashOf(evidencetest.Marshal(w, f)), w.Trust(), evidence.Sealer{Key: w.Verifier.Key}, evidencetest.Number, w.Now, nil)
		var failed *evidence.CheckError
		if !errors.As(err, &failed) || failed.Check.Code != evidence.CodeSealSigner {
			t.Errorf("%s: got %v, want %s", name, err, evidence.CodeSealSigner)
		}
	}
}

// TestOtherRuleset verifies files of another release: what they state cannot be told, and is not refused.
func TestOtherRuleset(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	f.RulesetHash[0] ^= 1
	for name, assessment := range map[string]string{
		"the same assessment": string(f.Assessment),
		"another assessment":  strings.Replace(string(f.Assessment), `"finding":"fulfilled"`, `"finding":"absent"`, 1),
	} {
		g := clone(t, f)
		g.Assessment = json.RawMessage(assessment)
		w.Seal(g)
		r := evidence.VerifyBytes(evidencetest.Marshal(w, g), w.Trust(), evidence.Options{})
		if r.Result != compliance.CannotTell || !hasCheck(r, evidence.CodeRuleset, compliance.CannotTell) || r.SavedBy == nil {
			t.Errorf("%s: got %v, saved by %+v, %+v", name, r.Result, r.SavedBy, r.Checks)
		}
		if !hasCheck(r, evidence.CodeReproduced, compliance.CannotTell) {
			t.Errorf("%s: %+v", name, r.Checks)
		}
		g.Seal = flip(g.Seal)
		if r := evidence.Verify(g, w.Trust(), evidence.Options{}); r.Result != compliance.Fail {
			t.Errorf("%s, and the seal spoilt: got %v, want fail", name, r.Result)
		}
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// TestStoredFile verifies a saved file that an earlier release made. Once the rules are others, what it states cannot be told; whoever saved
// it still can.
func TestStoredFile(t *testing.T) {
	dir := filepath.Join("testdata", "saved")
	if *update {
		storeFile(t, dir)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var trust evidence.Trust
	var err error
	if trust.Policy, err = registry.ParsePolicy(read("policy")); err != nil {
		t.Fatal(err)
	}
	if trust.Auditors, err = registry.ParsePolicy(read("policy-auditors")); err != nil {
		t.Fatal(err)
	}
	if trust.Anchor, err = keys.ParsePublic(read("trust-anchor.jwk")); err != nil {
		t.Fatal(err)
	}
	data := read("evidence.json")
	f, err := evidence.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	want := compliance.Pass
	if f.RulesetHash != schemas.RulesetHash() {
		want = compliance.CannotTell
	}
	r := evidence.VerifyBytes(data, trust, evidence.Options{})
	if r.Result != want {
		t.Fatalf("got %v, want %v: %+v", r.Result, want, r.Checks)
	}
	got, err := json.MarshalIndent(r.SavedBy, "", "  ")
	if err != nil || !bytes.Equal(bytes.TrimSpace(read("saved-by.json")), got) {
		t.Errorf("saved by %s: %v", got, err)
	}
	f.Seal = ""
	if r := evidence.Verify(f, trust, evidence.Options{}); r.Result != want || !hasCheck(r, evidence.CodeNotSealed, compliance.CannotTell) {
		t.Errorf("without the seal: got %v, want %v", r.Result, want)
	}
}

func storeFile(t *testing.T, dir string) {
	w := evidencetest.NewLean(t, evidencetest.At(2025, 10, 30, 9))
	credentials, statements := play(w)
	f := makeFile(t, w, w.Presentation(opened, credentials, statements))
	w.Seal(f)
	r := evidence.Verify(f, w.Trust(), evidence.Options{})
	savedBy, err := json.MarshalIndent(r.SavedBy, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"policy": w.Policy.Marshal(), "policy-auditors": w.Auditors.Marshal(), "trust-anchor.jwk": w.Anchor.Public().JWK(),
		"evidence.json": evidencetest.Marshal(w, f), "saved-by.json": append(savedBy, '\n'),
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
