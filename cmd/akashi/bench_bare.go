package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// A bareCheck is one signature check with nothing around it: the hash of the message and the curve.
type bareCheck func() bool

func runBare(checks []bareCheck) error {
	for _, ok := range checks {
		if !ok() {
			return errBareCheck
		}
	}
	return nil
}

// bareChecks returns every signature in an evidence file, each with its own key and message: trust lists, credentials and their key
// bindings, the worker's statements, JWTs and submissions in records, and the lines under every checkpoint.
func bareChecks(f *evidence.File, trust evidence.Trust) ([]bareCheck, error) {
	c := &bareCollector{anchor: trust.Anchor}
	for _, l := range f.TrustLists {
		c.jwt(l.JWT, trust.Anchor)
		c.openList(l.JWT)
	}
	c.credential(f.Presentation.Engagement)
	for _, a := range f.Presentation.Attestations {
		c.credential(a)
	}
	for _, s := range f.Presentation.Statements {
		c.jwt(strings.SplitN(s, "~", 2)[0], c.holder)
	}
	for _, records := range [][]evidence.Record{f.Ladder, f.Slots, f.Statements} {
		for _, r := range records {
			if r.JWT != "" {
				c.jwt(r.JWT, c.signer(r.JWT))
			}
			if r.Submission != nil {
				c.jwt(r.Submission.JWT, c.submitter(r.Submission.JWT))
			}
		}
	}
	for _, text := range append([]string{f.Checkpoint}, f.Notes...) {
		c.note(text, trust)
	}
	return c.checks, c.err
}

// bareCollector gathers checks; the first error stays.
type bareCollector struct {
	checks []bareCheck
	anchor keys.Public
	list   *trustlist.List // the newest
	holder keys.Public     // of the engagement, which comes first
	err    error
}

func (c *bareCollector) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *bareCollector) openList(jwt string) {
	list, err := trustlist.Verify(jwt, c.anchor)
	if err != nil {
		c.fail(err)
		return
	}
	c.list = list
}

// credential adds the issuer's signature of a presented credential and the holder's of its key binding.
func (c *bareCollector) credential(compact string) {
	parts := strings.Split(compact, "~")
	jwt := parts[0]
	c.jwt(jwt, c.signer(jwt))
	payload, err := keys.UnverifiedPayload(jwt)
	if err != nil {
		c.fail(err)
		return
	}
	var claims struct {
		Cnf struct {
			JWK json.RawMessage `json:"jwk"`
		} `json:"cnf"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		c.fail(err)
		return
	}
	if c.holder, err = keys.ParsePublic(claims.Cnf.JWK); err != nil {
		c.fail(err)
		return
	}
	if kb := parts[len(parts)-1]; kb != "" {
		c.jwt(kb, c.holder)
	}
}

func (c *bareCollector) signer(jwt string) keys.Public {
	return c.listed(jwt, func(kid string) (*trustlist.Entity, keys.Public, bool) { return c.list.EntityByKey(kid) })
}

func (c *bareCollector) submitter(jwt string) keys.Public {
	return c.listed(jwt, func(kid string) (*trustlist.Entity, keys.Public, bool) { return c.list.EntityBySubmissionKey(kid) })
}

func (c *bareCollector) listed(jwt string, find func(kid string) (*trustlist.Entity, keys.Public, bool)) keys.Public {
	h, err := keys.PeekHeader(jwt)
	if err != nil || c.list == nil {
		c.fail(errors.Join(err, errBareCheck))
		return keys.Public{}
	}
	_, key, ok := find(h.Kid)
	if !ok {
		c.fail(trustlist.ErrUnknownKey)
	}
	return key
}

// jwt adds the signature of a compact JWS (RFC 7515, Section 5.2) by an ES256 key, the one algorithm that this instance signs with.
func (c *bareCollector) jwt(compact string, key keys.Public) {
	dot := strings.LastIndexByte(compact, '.')
	if dot < 0 {
		c.fail(errBareCheck)
		return
	}
	sig, err := base64.RawURLEncoding.DecodeString(compact[dot+1:])
	public, ok := key.Crypto().(*ecdsa.PublicKey)
	if err != nil || !ok || len(sig) != 64 {
		c.fail(errors.Join(err, errBareCheck))
		return
	}
	input := []byte(compact[:dot])
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	c.checks = append(c.checks, func() bool {
		sum := sha256.Sum256(input)
		return ecdsa.Verify(public, sum[:], r, s)
	})
}

// note adds every line under a checkpoint: the log's, and the cosignatures of witnesses and auditors.
func (c *bareCollector) note(signed string, trust evidence.Trust) {
	verifiers := []note.Verifier{trust.Policy.Log}
	vkeys := map[string]string{trust.Policy.Log.Name(): trust.Policy.LogVKey}
	for _, p := range []*registry.Policy{trust.Policy, trust.Auditors} {
		for _, m := range p.Members {
			verifiers = append(verifiers, m.Verifier)
			vkeys[m.Verifier.Name()] = m.VKey
		}
	}
	n, err := note.Open([]byte(signed), note.VerifierList(verifiers...))
	if err != nil {
		c.fail(err)
		return
	}
	for _, line := range n.Sigs {
		c.line(n.Text, line, vkeys[line.Name])
	}
}

// algCosignature is the algorithm of witnesses' and auditors' keys (C2SP tlog-cosignature, cosignature/v1); the log's is plain Ed25519.
const algCosignature = 4

func (c *bareCollector) line(text string, line note.Signature, vkey string) {
	_, hashed, _ := strings.Cut(vkey, "+") // name+hash+key, the key in base64, which may have a + too
	_, key, _ := strings.Cut(hashed, "+")
	raw, err := base64.StdEncoding.DecodeString(key)
	sig, sigErr := base64.StdEncoding.DecodeString(line.Base64)
	if err != nil || sigErr != nil || len(raw) != 1+ed25519.PublicKeySize || len(sig) < 4 {
		c.fail(errors.Join(err, sigErr, errBareCheck))
		return
	}
	message, sig := text, sig[4:] // after the key's hash
	if raw[0] == algCosignature && len(sig) > 8 {
		message = fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), text)
		sig = sig[8:]
	}
	public, signed := ed25519.PublicKey(raw[1:]), []byte(message)
	c.checks = append(c.checks, func() bool { return ed25519.Verify(public, signed, sig) })
}
