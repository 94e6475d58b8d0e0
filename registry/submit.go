package registry

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
)

const (
	// TypSubmission is the typ of a submission JWT.
	TypSubmission = "akashi-submission+jwt"
	// MaxRecords is the number of records that one submission may carry.
	MaxRecords = 1000
	// MaxSubmissionAge bounds exp - iat, and so how long a registry must remember a jti.
	MaxSubmissionAge = 5 * time.Minute
	// SubmissionAhead is how far the submitter's clock may be ahead of the registry's.
	SubmissionAhead = 30 * time.Second

	maxJTI = 128
)

// Bytes are octets that stand in JSON as standard base64 with padding, read strictly.
type Bytes []byte

// MarshalText writes standard base64.
func (b Bytes) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, b), nil }

// UnmarshalText reads standard base64. Line breaks, which the decoder would pass over, are refused like any other foreign character.
func (b *Bytes) UnmarshalText(text []byte) error {
	out, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || base64.StdEncoding.EncodedLen(len(out)) != len(text) {
		return errors.New("not standard base64 with padding")
	}
	*b = out
	return nil
}

// Record is one record as its writer submits it. The registry computes the key from X and the writer's own name, so that nobody
// writes to another's slots.
type Record struct {
	X Hash  `json:"x"`
	A Bytes `json:"a"`
	B Bytes `json:"b"`
}

// Ref returns the record's key and value for that writer.
func (r Record) Ref(writer string) RecordRef {
	return RecordRef{K: KeyOf(writer, r.X), V: ValueOf(r.A, r.B)}
}

// Refs returns the key and value of each record, in order.
func Refs(records []Record, writer string) []RecordRef {
	refs := make([]RecordRef, len(records))
	for i, r := range records {
		refs[i] = r.Ref(writer)
	}
	return refs
}

// SubmitRequest is the body of POST /v1/entries, which travels as octets (octets.go). Submission is a submission JWT, or, for one record
// of a worker, the engagement as an SD-JWT without disclosures and with a key binding whose nonce is [StatementNonce].
type SubmitRequest struct {
	Submission string
	Records    []Record
}

// SubmitStatus says what became of a record.
type SubmitStatus string

const (
	StatusLogged   SubmitStatus = "logged"   // the slot was empty, the record stands in it now
	StatusAlready  SubmitStatus = "already"  // this very record stood in the slot before
	StatusConflict SubmitStatus = "conflict" // another record stands in the slot: open it, then take the next rung
)

// SubmitResult is the answer for one record. Index is the log index of the entry that stands in the slot.
type SubmitResult struct {
	Key    Key          `json:"key"`
	Index  uint64       `json:"index"`
	Status SubmitStatus `json:"status"`
}

// SubmitResponse answers a submission after the checkpoint that covers its entries is published: 200, or 409 when any record was a
// conflict; the others are logged all the same. Results are in the order of the records.
type SubmitResponse struct {
	Results    []SubmitResult `json:"results"`
	Checkpoint string         `json:"checkpoint"`
}

// submissionClaims are the claims of a submission JWT: typ "akashi-submission+jwt", kid the thumbprint of the accredited submission
// key that signs.
//
//	{"iss": entity id, "aud": registry origin, "iat": seconds, "exp": at most 300 later, "jti": once, "records": base64url(RecordsRoot)}
type submissionClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
	Records  Hash   `json:"records"`
}

// Why a submission was refused.
var (
	ErrSubmissionType     = errors.New("submission: not a submission JWT (typ " + TypSubmission + ")")
	ErrSubmissionIssuer   = errors.New("submission: iss is not the entity that the trust list gives for this key")
	ErrSubmissionAudience = errors.New("submission: aud is another registry")
	ErrSubmissionTime     = errors.New("submission: expired, not yet valid or valid for more than 5 minutes; set the clock and sign anew")
	ErrSubmissionID       = errors.New("submission: jti missing or longer than 128 characters")
	ErrSubmissionRecords  = errors.New("submission: the records are not the ones that were signed, or not by a writer that this entity may be")
	ErrSubmissionCount    = fmt.Errorf("submission: must carry 1 to %d records", MaxRecords)
	ErrSubmissionTwice    = errors.New("submission: names one slot twice")
)

// MakeSubmission signs the records of an entity that writes as writer (see [WriterFor]) for the registry origin.
func MakeSubmission(key *keys.Private, iss, origin string, records []Record, writer string, now time.Time) (string, error) {
	if len(records) == 0 || len(records) > MaxRecords {
		return "", ErrSubmissionCount
	}
	payload, err := json.Marshal(submissionClaims{
		Issuer: iss, Audience: origin,
		IssuedAt: now.Unix(), Expires: now.Add(MaxSubmissionAge).Unix(),
		ID:      rand.Text(),
		Records: RecordsRoot(Refs(records, writer)),
	})
	if err != nil {
		return "", fmt.Errorf("submission: %w", err)
	}
	return key.Sign(keys.Header{"typ": TypSubmission, "kid": key.Public().Thumbprint()}, payload)
}

// ExpectSubmission is what the registry knows of a submission before it reads it: the trust list gives the entity by the key.
type ExpectSubmission struct {
	Issuer string             // the entity's id
	Roles  []attestation.Role // the entity's roles: each gives a name under which it may write
	Origin string             // the registry's
	Now    time.Time
}

// Submission is a submission that was verified.
type Submission struct {
	Writer  string // the name under which the entity wrote: the one whose keys it signed
	ID      string // jti, to be remembered until Expires
	Expires time.Time
	Refs    []RecordRef
}

// CheckSubmission verifies a submission JWT over records with the accredited submission key. It does not know which jti were seen:
// that is the caller's. An entity of several roles does not say as which it writes; its signature does, because the signed root is
// over the keys and each writer has other keys.
func CheckSubmission(jwt string, key keys.Public, want ExpectSubmission, records []Record) (*Submission, error) {
	c, err := submissionOf(jwt, key, want.Issuer, want.Origin)
	if err != nil {
		return nil, err
	}
	iat, exp := time.Unix(c.IssuedAt, 0), time.Unix(c.Expires, 0)
	switch {
	case iat.After(want.Now.Add(SubmissionAhead)), !want.Now.Before(exp), exp.Before(iat), exp.Sub(iat) > MaxSubmissionAge:
		return nil, ErrSubmissionTime
	case len(records) == 0 || len(records) > MaxRecords:
		return nil, ErrSubmissionCount
	}
	s := &Submission{ID: c.ID, Expires: exp}
	if s.Writer, s.Refs = writerOf(c.Records, want, records); s.Refs == nil {
		return nil, ErrSubmissionRecords
	}
	if twice(s.Refs) {
		return nil, ErrSubmissionTwice
	}
	return s, nil
}

// writerOf finds the writer under whose name the signed root was made.
func writerOf(root Hash, want ExpectSubmission, records []Record) (string, []RecordRef) {
	refs := make([]RecordRef, len(records))
	for i, r := range records {
		refs[i].V = ValueOf(r.A, r.B)
	}
	for _, role := range want.Roles {
		writer := WriterFor(role, want.Issuer)
		for i, r := range records {
			refs[i].K = KeyOf(writer, r.X)
		}
		if RecordsRoot(refs) == root {
			return writer, refs
		}
	}
	return "", nil
}

func twice(refs []RecordRef) bool {
	seen := make(map[Key]bool, len(refs))
	for _, r := range refs {
		if seen[r.K] {
			return true
		}
		seen[r.K] = true
	}
	return false
}

// CheckSubmissionRecord verifies, at any later time, that the holder of key submitted the record: it binds what stands in a slot to
// who wrote it, junk included. The times of the submission are not judged, the log has better ones.
func CheckSubmissionRecord(jwt string, key keys.Public, issuer, origin string, ref RecordRef, position, count int, path []Hash) error {
	c, err := submissionOf(jwt, key, issuer, origin)
	if err != nil {
		return err
	}
	if err := VerifyRecordsPath(ref, position, count, path, c.Records); err != nil {
		return errors.Join(ErrSubmissionRecords, err)
	}
	return nil
}

// submissionOf verifies everything of a submission that does not depend on the time.
func submissionOf(jwt string, key keys.Public, issuer, origin string) (*submissionClaims, error) {
	token, err := keys.Verify(jwt, key, keys.ES256, keys.EdDSA)
	if err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	if token.Header.Typ != TypSubmission {
		return nil, ErrSubmissionType
	}
	var c submissionClaims
	if err := keys.DecodeJSON(token.Payload, &c); err != nil {
		return nil, fmt.Errorf("submission: %w", err)
	}
	switch {
	case c.Issuer == "" || c.Issuer != issuer:
		return nil, ErrSubmissionIssuer
	case c.Audience != origin:
		return nil, ErrSubmissionAudience
	case c.ID == "" || len(c.ID) > maxJTI:
		return nil, ErrSubmissionID
	}
	return &c, nil
}

// StatementNonce returns the nonce of the key binding with which a worker submits a record without an accredited key:
//
//	base64url(H("akashi/submit/v1" || K || V))
func StatementNonce(k Key, v Value) string {
	return Hash(hashOf("akashi/submit/v1", k[:], v[:])).String()
}
