package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/fraud"
	"akashi/verifier"
)

// forkedLog signs what it likes.
type forkedLog struct {
	signer note.Signer
	trust  evidence.Trust
}

func newForkedLog(t *testing.T) *forkedLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	witness, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := registry.NewPolicy(vkey, "", []registry.Member{{Name: "w", VKey: registry.CosignerVKey("w.test", witness)}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &forkedLog{signer, evidence.Trust{Policy: policy, Anchor: anchor.Public()}}
}

func (l *forkedLog) sign(t *testing.T, size uint64, root byte) string {
	t.Helper()
	text := log.Checkpoint{Origin: "log.test", Size: size, Hash: bytes.Repeat([]byte{root}, 32)}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// An auditor's report is decided by the keys of the policy, not by the auditor's word.
func TestVerifyFraud(t *testing.T) {
	l, other := newForkedLog(t), newForkedLog(t)
	file := func(change func(*fraud.Report)) string {
		r := &fraud.Report{Format: fraud.Format, Kind: fraud.KindFork, What: "forked", Index: 5, Checkpoint: l.sign(t, 5, 1), Earlier: l.sign(t, 5, 2), Auditor: "a/akashi-map"}
		change(r)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, c := range []struct {
		name   string
		file   string
		trust  evidence.Trust
		result compliance.Result
		code   string
	}{
		{"fork", file(func(*fraud.Report) {}), l.trust, compliance.Pass, verifier.CodeFraud},
		{"of another log", file(func(*fraud.Report) {}), other.trust, compliance.Fail, verifier.CodeFraud},
		{"one checkpoint twice", file(func(r *fraud.Report) { r.Earlier = r.Checkpoint }), l.trust, compliance.CannotTell, verifier.CodeFraud},
		{"another size, no proof", file(func(r *fraud.Report) { r.Earlier = l.sign(t, 4, 2) }), l.trust, compliance.CannotTell, verifier.CodeFraud},
		{"another size, empty proof", file(func(r *fraud.Report) { r.Earlier, r.Proof = l.sign(t, 4, 2), new(fraud.Proof) }), l.trust, compliance.Fail, verifier.CodeFraud},
		{"the auditor's word alone", file(func(r *fraud.Report) { r.Kind = fraud.KindHead }), l.trust, compliance.CannotTell, verifier.CodeFraud},
		{"unknown kind", file(func(r *fraud.Report) { r.Kind = "x" }), l.trust, compliance.Fail, verifier.CodeFraud},
		{"an unknown member", fmt.Sprintf(`{"format":%q,"index":"five"}`, fraud.Format), l.trust, compliance.Fail, verifier.CodeForm},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := verifier.Verify([]byte(c.file), c.trust, verifier.Options{At: time.Unix(1800000000, 0)})
			if r.Kind != verifier.KindFraud || r.Result != c.result || r.Checks[0].Code != c.code || r.Checks[0].Result != c.result {
				t.Errorf("got %s %s %v; want %s by %s", r.Kind, r.Result, r.Checks, c.result, c.code)
			}
		})
	}
}
