package evidence

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// A seal says who saved a file, when, and under which assessment number. It adds nothing to what the file proves. It is a JWT (RFC 7519) in
// compact serialization that a verifier signs, the last member of the file:
//
//	header:   {"alg": "ES256", "kid": THUMBPRINT, "typ": "akashi-evidence-seal+jwt", "x5c": [...]}
//	payload:  {"file":BASE64URL(SHA-256(octets)),"iat":SECONDS,"number":"7F3K-Q2MX-91TD"}
//
// The octets are those of the file's encoding without the member seal: the file with the text
//
//	,"seal":"HEADER.PAYLOAD.SIGNATURE"
//
// cut out before its last brace. The payload has its members in this order and no white space. THUMBPRINT is the RFC 7638 thumbprint of the
// verifier's key; x5c stands there where wallets find the verifier by its certificate, and the key must be listed, or its root, either way.

// TypSeal is the typ header of a seal.
const TypSeal = "akashi-evidence-seal+jwt"

// sealAhead is how far the clocks of witnesses may be ahead of the verifier's.
const sealAhead = 5 * time.Minute

// Sealer is the key of a verifier, and its certificate with what lies between it and the root, if it has one.
type Sealer struct {
	Key   *keys.Private
	Chain []*x509.Certificate
}

// SavedBy is what a verified seal says.
type SavedBy struct {
	ID     string            `json:"id"`   // of the verifier on the trust list
	Name   map[string]string `json:"name"` // by language, as the trust list has it
	Number string            `json:"number"`
	At     time.Time         `json:"at"`
}

type sealClaims struct {
	File   registry.Hash `json:"file"`
	Iat    int64         `json:"iat"`
	Number string        `json:"number"`
}

// unverifiedSeal is a seal as the file has it.
type unverifiedSeal struct {
	token  *keys.UnverifiedToken
	claims sealClaims
	entity *trustlist.Entity // who has the key that the header names
	key    keys.Public
}

func (u *unverifiedSeal) at() time.Time { return time.Unix(u.claims.Iat, 0).UTC() }

var assessmentNumber = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// Seal signs a file as the verifier that saves it at a time under an assessment number: letters, digits and hyphens. A seal that would not
// verify is not made: a [CheckError] with [CodeSealSigner] says that the file's trust list does not name the key as a verifier's.
//
// hash is the SHA-256 of what [File.Marshal] makes of the file, which has no seal yet. memory is that of the file's making; nil for a file from
// elsewhere.
func Seal(f *File, hash registry.Hash, trust Trust, by Sealer, number string, at time.Time, memory *Memory) error {
	payload, err := json.Marshal(sealClaims{hash, at.Unix(), number})
	if err != nil {
		return fmt.Errorf("encoding the seal: %w", err)
	}
	header := keys.Header{"typ": TypSeal, "kid": by.Key.Public().Thumbprint()}
	if len(by.Chain) > 0 {
		header["x5c"] = keys.FormatChain(by.Chain...)
	}
	sealed := *f
	if sealed.Seal, err = by.Key.Sign(header, payload); err != nil {
		return err
	}
	j := &judge{file: &sealed, trust: trust, memory: memory, unsealed: &hash}
	if err := j.mustRun(append(sealBasis(), sealSteps...)); err != nil {
		return err
	}
	f.Seal = sealed.Seal
	return nil
}

// sealBasis are the steps before those of the seal, as far as it rests on them: up to the trust lists, without the notes.
func sealBasis() []step {
	lists := stepOf(CodeListInclusion) + 1
	return slices.DeleteFunc(slices.Clone(verifySteps[:lists]), func(s step) bool { return s.code == CodeNotes })
}

// unsealedHash returns the SHA-256 of the file's encoding without its seal.
func (f *File) unsealedHash() (registry.Hash, error) {
	bare, h := *f, sha256.New()
	bare.Seal = ""
	if err := bare.write(h); err != nil {
		return registry.Hash{}, fmt.Errorf("encoding the evidence file: %w", err)
	}
	return registry.Hash(h.Sum(nil)), nil
}

var sealSteps = []step{
	{CodeSealForm, (*judge).openSeal},
	{CodeSealSigner, (*judge).findSealer},
	{CodeSealSignature, (*judge).checkSealSignature},
	{CodeSealFile, (*judge).checkSealedFile},
	{CodeSealTime, (*judge).checkSealTime},
}

// checkSeal verifies the seal, or notes that there is none.
func (j *judge) checkSeal() {
	if j.file.Seal == "" {
		j.note(compliance.Check{Code: CodeNotSealed, Result: compliance.CannotTell, Detail: "not signed by a verifier: who saved the file is not known, and changes nothing"})
		return
	}
	if j.run(sealSteps) {
		s := &j.seal
		j.savedBy = &SavedBy{ID: s.entity.ID, Name: s.entity.Name, Number: s.claims.Number, At: s.at()}
	}
}

func (j *judge) openSeal() (detail string, err error) {
	s := &j.seal
	if s.token, err = keys.ParseToken(j.file.Seal); err != nil {
		return "", err
	}
	if s.token.Header().Typ != TypSeal {
		return "", errors.New("typ is not " + TypSeal)
	}
	payload := s.token.UnverifiedPayload()
	if err := keys.DecodeJSON(payload, &s.claims); err != nil {
		return "", err
	}
	if again, err := json.Marshal(s.claims); err != nil || !bytes.Equal(again, payload) {
		return "", errors.New("encoded again the payload has other octets")
	}
	if !assessmentNumber.MatchString(s.claims.Number) || s.claims.Iat <= 0 {
		return "", errors.New("the number must be 1 to 64 letters, digits and hyphens, and iat a time")
	}
	return "assessment " + s.claims.Number, nil
}

// findSealer finds whose key it is, by the newest trust list in the file, as wallets do with those who ask. Whoever has a compromised key can
// write any time into a seal, so that one that is marked as such on that list is refused whenever it was.
func (j *judge) findSealer() (detail string, err error) {
	s := &j.seal
	if s.entity, s.key, err = j.lists.Latest().EntityForHeader(s.token.Header(), s.at()); err != nil {
		return "", err
	}
	day, kid := attestation.DateOf(s.at()), s.key.Thumbprint()
	switch e := s.entity; {
	case !e.HasRole(attestation.Verifier):
		return "", fmt.Errorf("%s is not listed as a verifier", e.ID)
	case day.Before(e.From), !e.Until.IsZero() && day.After(e.Until):
		return "", fmt.Errorf("the listing of %s does not cover %s", e.ID, day)
	case slices.ContainsFunc(e.Compromised, func(c trustlist.Compromise) bool { return c.Kid == kid }):
		return "", fmt.Errorf("the key of %s was reported as compromised", e.ID)
	}
	return s.entity.ID, nil
}

func (j *judge) checkSealSignature() (string, error) {
	_, err := j.seal.token.Verify(j.seal.key, keys.ES256, keys.EdDSA)
	return "", err
}

func (j *judge) checkSealedFile() (string, error) {
	hash, err := j.unsealed, error(nil)
	if hash == nil {
		hash = new(registry.Hash)
		*hash, err = j.file.unsealedHash()
	}
	if err == nil && *hash != j.seal.claims.File {
		err = errors.New("the seal is that of other octets: the file was changed after it was saved, or the seal is another file's")
	}
	return "", err
}

func (j *judge) checkSealTime() (string, error) {
	at := j.seal.at()
	if at.Before(j.asOf.Add(-sealAhead)) {
		return "", fmt.Errorf("saved at %s, before the checkpoint of %s was made", at.Format(time.RFC3339), j.asOf.Format(time.RFC3339))
	}
	return "saved at " + at.Format(time.RFC3339), nil
}
