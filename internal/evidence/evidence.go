// Package evidence makes, reads and re-verifies the evidence file: one file from which a third party repeats a whole assessment
// offline, years later. The format and every check code stand in docs/evidence.md.
//
// What the file holds is either octets that verify (signatures, hashes, Merkle proofs), or is recomputed from those and compared. So
// there is nothing in it to be believed: the slots' keys follow from the disclosed period secrets, the order of the records from the
// engagement's plan, the times from the witnesses' cosignatures, as_of from the checkpoint, and the findings from all of it.
//
// Use: [Make] builds a file from a presentation and a registry; [Seal] lets a verifier sign it; [Read] and [File.Marshal] are exact inverses;
// [Verify] repeats everything with the pinned policies and the trust anchor's key.
//
// Left out: status lists, outage records, and fraud proofs.
package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/registry"
)

// Format is the first member of every evidence file.
const Format = "akashi-evidence/1"

// MaxFile bounds an evidence file.
const MaxFile = 64 << 20

// ErrFormat is returned for octets that are not an evidence file in its one canonical encoding.
var ErrFormat = errors.New("not an evidence file in canonical form: get the file again from whoever made it, unchanged")

// File is an evidence file. Its encoding is JSON with the members in this order and no white space; see [File.Marshal].
type File struct {
	Format string `json:"format"`
	// From and To are the first and the last month under judgement.
	From attestation.Period `json:"from"`
	To   attestation.Period `json:"to"`

	RulesetHash registry.Hash `json:"ruleset_hash"` // [schemas.RulesetHash] of the rules by which the maker of the file judged

	Presentation Presentation `json:"presentation"`

	Checkpoint string      `json:"checkpoint"` // the note everything is proved against, with witness and auditor cosignatures
	Head       Head        `json:"head"`
	TrustLists []TrustList `json:"trust_lists"` // all versions from 1 to the head's

	Ladder     []Record `json:"ladder"`               // the contract's engagements, rung 0 to the first that is empty
	Slots      []Record `json:"slots,omitempty"`      // by stream, period and rung; each ladder to the first rung that is empty
	Statements []Record `json:"statements,omitempty"` // one for each statement of the presentation

	Notes []string `json:"notes,omitempty"` // further checkpoints that bound times, by size, with witness cosignatures only

	Assessment json.RawMessage `json:"assessment"` // as stated by whoever made the file

	Seal string `json:"seal,omitempty"` // who saved the file, see [Seal]; "" for nobody who says so
}

// Head is the map's head: the last entry below the checkpoint's size.
type Head struct {
	Entry     registry.Bytes `json:"entry"`
	Inclusion Path           `json:"inclusion,omitempty"`
}

// TrustList is one version of the trust list and the place of its entry in the log.
type TrustList struct {
	JWT       string `json:"jwt"`
	Index     uint64 `json:"index"`
	Inclusion Path   `json:"inclusion,omitempty"`
}

// Record is what the registry holds at one key. An absent key has a map proof alone. For a member the index and the value stand in the
// map proof, and the sealed box A comes in one of these forms:
//
//	nonce          A is sealed anew from the nonce and the next presented credential, or the presented engagement
//	nonce, jwt     A is sealed anew from the nonce and the JWT, of which the next presented credential may be a copy
//	a              A as it is, where it does not open
//	none of them   A is not to be had; or, for a statement, not needed, since its key follows from the statement itself
type Record struct {
	Key       registry.Key   `json:"key"`
	Proof     registry.Bytes `json:"proof"`
	Inclusion Path           `json:"inclusion,omitempty"` // of the slot entry under the checkpoint

	HB         *registry.Hash `json:"hb,omitempty"` // H(B); none where A is not to be had or B is empty
	Nonce      registry.Bytes `json:"nonce,omitempty"`
	JWT        string         `json:"jwt,omitempty"`
	A          registry.Bytes `json:"a,omitempty"`
	Erased     bool           `json:"erased,omitempty"`     // the registry says that the record was erased on the worker's request
	Submission *Submission    `json:"submission,omitempty"` // of junk: who wrote it
}

// Submission binds a record to its submitter. The path leads from the record to the submission's records root; bit n of Position is set
// where step n has its sibling on the left.
type Submission struct {
	JWT      string `json:"jwt"`
	Position int    `json:"position"`
	Path     Path   `json:"path,omitempty"`
}

// Path is an inclusion proof, leaf to root, as the base64url of its hashes joined.
type Path []registry.Hash

// MarshalText writes the joined hashes.
func (p Path) MarshalText() ([]byte, error) {
	joined := make([]byte, 0, len(p)*len(registry.Hash{}))
	for i := range p {
		joined = append(joined, p[i][:]...)
	}
	return base64.RawURLEncoding.AppendEncode(nil, joined), nil
}

// UnmarshalText reads joined hashes.
func (p *Path) UnmarshalText(text []byte) error {
	var room [64 * len(registry.Hash{})]byte
	joined, err := url64.AppendDecode(room[:0], text)
	if err != nil || len(joined)%len(registry.Hash{}) != 0 {
		return errors.New("not base64url of whole hashes")
	}
	*p = make(Path, 0, len(joined)/len(registry.Hash{}))
	for ; len(joined) > 0; joined = joined[len(registry.Hash{}):] {
		*p = append(*p, registry.Hash(joined))
	}
	return nil
}

// Marshal returns the file's one encoding.
func (f *File) Marshal() ([]byte, error) {
	var b bytes.Buffer
	b.Grow(f.size())
	if err := f.write(&b); err != nil {
		return nil, fmt.Errorf("encoding the evidence file: %w", err)
	}
	return b.Bytes(), nil
}

// size is about how long the encoding is.
func (f *File) size() int {
	n := len(f.Presentation.Engagement) + len(f.Checkpoint) + len(f.Assessment) + 1024*(1+len(f.Ladder)+len(f.Slots)+len(f.Statements))
	for _, long := range [][]string{f.Presentation.Attestations, f.Presentation.Statements, f.Notes} {
		for _, s := range long {
			n += len(s) + 16
		}
	}
	for i := range f.TrustLists {
		n += len(f.TrustLists[i].JWT) + 1024
	}
	return n
}

// Read decodes an evidence file. It verifies nothing but the form: what it accepts, [File.Marshal] writes again to the octet. Unknown,
// missing, misspelt or repeated members, nulls, white space and loose base64 all fail that comparison.
func Read(data []byte) (*File, error) {
	if err := keys.CheckSize(data, MaxFile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	r := reader{data: data, text: string(data)}
	f := r.file()
	if r.bad {
		return nil, fmt.Errorf("%w: not JSON of that form", ErrFormat)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("%w: the format is not %s", ErrFormat, Format)
	}
	if f.TrustLists == nil || f.Ladder == nil {
		return nil, fmt.Errorf("%w: a member is missing", ErrFormat)
	}
	same := comparer{data}
	if err := f.write(&same); err != nil || len(same.rest) > 0 {
		return nil, fmt.Errorf("%w: encoded again it gives other octets", ErrFormat)
	}
	return f, nil
}

// comparer is a writer that compares what it gets with what is expected.
type comparer struct{ rest []byte }

func (c *comparer) Write(p []byte) (int, error) {
	rest, ok := bytes.CutPrefix(c.rest, p)
	if !ok {
		return 0, ErrFormat
	}
	c.rest = rest
	return len(p), nil
}

// encode writes the one JSON text of v and a newline.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
