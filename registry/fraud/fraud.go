// Package fraud is the report of an auditor that has stopped, and the check by which anybody decides offline whether it proves that the
// log has broken its rules. A proof rests on the log's own signatures, the rules, and, for trust lists, the anchor's key; the auditor's
// word counts for nothing.
//
// What can be proven, and with what:
//
//   - fork: two checkpoints that the log signed, of one size and different roots, or a range proof that the larger tree had another root
//     at the size of the smaller one.
//   - head: the entries from one head to another under a checkpoint that the log signed, with a map delta over them, from which the
//     second head must follow and does not. One of the two then is wrong.
//   - trust-list: an entry with a number that cannot follow, shown in the same way; or an entry whose version the anchor did not sign, or
//     that is another version, or that may not follow the one before.
//
// What cannot: that the log withholds entries, or serves others than it has signed.
package fraud

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Format is the first member of every report.
const Format = "akashi-fraud/1"

// MaxFile bounds a report.
const MaxFile = 64 << 20

// The kinds of divergence.
const (
	KindFork      = "fork"       // two checkpoints signed by the log that no consistency proof joins
	KindHead      = "head"       // a head with a wrong field
	KindTrustList = "trust-list" // a trust list version that the log must not have admitted
)

// Report is what an auditor saw when it stopped.
type Report struct {
	Format     string    `json:"format"`
	Kind       string    `json:"kind"`
	What       string    `json:"what"`
	Index      uint64    `json:"index"`                // of the entry; with a fork the size up to which the trees agree
	Entry      []byte    `json:"entry,omitempty"`      // as logged
	Want       string    `json:"want,omitempty"`       // what should stand there
	TrustList  string    `json:"trust_list,omitempty"` // the version, a JWT
	Checkpoint string    `json:"checkpoint"`           // over the entry, signed by the log
	Earlier    string    `json:"earlier,omitempty"`    // the checkpoint before
	Signed     string    `json:"signed,omitempty"`     // the checkpoint that the auditor cosigned last
	Auditor    string    `json:"auditor"`
	SeenAt     time.Time `json:"seen_at"`
	Proof      *Proof    `json:"proof,omitempty"` // nil when none could be had
}

// Proof is what a report is proven with.
type Proof struct {
	// Range ties what follows to the checkpoint. For a fork it is that of the empty run at the size of the earlier checkpoint.
	Range []registry.Hash `json:"range,omitempty"`

	// Head is the last head before the entry, nil for none, and Entries are those after it, up to the entry and with it.
	Head    registry.Bytes   `json:"head,omitempty"`
	Entries []registry.Bytes `json:"entries,omitempty"`
	Delta   registry.Bytes   `json:"delta,omitempty"` // of the map over the entries

	// Previous is the version of the trust list before, with the range proof of its entry.
	Previous      string          `json:"previous,omitempty"`
	PreviousIndex uint64          `json:"previous_index,omitempty"`
	PreviousRange []registry.Hash `json:"previous_range,omitempty"`
}

// Error says what was seen, without the octets.
func (r *Report) Error() string {
	return fmt.Sprintf("divergence (%s) at entry %d: %s", r.Kind, r.Index, r.What)
}

var (
	// ErrNoProof is returned for a report that has nothing with which it could be decided.
	ErrNoProof = errors.New("the report holds no proof: what the auditor saw cannot be repeated from this file")
	// ErrNotProven is returned for a report whose proof does not hold.
	ErrNotProven = errors.New("the report does not prove a fraud")
)

func notProven(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNotProven, fmt.Errorf(format, args...))
}

// Parse reads a report.
func Parse(data []byte) (*Report, error) {
	r := new(Report)
	if err := keys.DecodeJSONMax(data, r, MaxFile); err != nil {
		return nil, err
	}
	if r.Format != Format {
		return nil, fmt.Errorf("the format is %q, this version reads %s", r.Format, Format)
	}
	return r, nil
}

// Check decides on a report with the key of the log and that of the anchor, both pinned: nil when it proves that the log has broken its
// rules, [ErrNoProof] when it cannot be decided, [ErrNotProven] when the proof does not hold.
func Check(r *Report, log note.Verifier, anchor keys.Public) error {
	cp, err := registry.OpenLogCheckpoint([]byte(r.Checkpoint), log)
	if err != nil {
		return notProven("its checkpoint: %w", err)
	}
	switch r.Kind {
	case KindFork:
		return r.checkFork(cp, log)
	case KindHead:
		return r.checkSpan(cp)
	case KindTrustList:
		if r.TrustList != "" {
			return r.checkList(cp, anchor)
		}
		return r.checkSpan(cp)
	}
	return notProven("%q is no kind of divergence", r.Kind)
}

func (r *Report) checkFork(cp *registry.Checkpoint, log note.Verifier) error {
	earlier, err := registry.OpenLogCheckpoint([]byte(r.Earlier), log)
	switch {
	case r.Earlier == "":
		return ErrNoProof
	case err != nil:
		return notProven("its earlier checkpoint: %w", err)
	case earlier.Size == cp.Size && earlier.Root != cp.Root:
		return nil
	case r.Proof == nil:
		return ErrNoProof
	}
	root, err := registry.PrefixRoot(earlier.Size, cp.Size, r.Proof.Range, cp.Root)
	if err != nil {
		return notProven("%w", err)
	}
	if root == earlier.Root {
		return notProven("the later tree begins with the earlier one")
	}
	return nil
}

// checkSpan replays the entries from the head before.
func (r *Report) checkSpan(cp *registry.Checkpoint) error {
	if r.Proof == nil || len(r.Proof.Entries) == 0 {
		return ErrNoProof
	}
	span, run, err := r.Proof.span()
	if err != nil {
		return err
	}
	from := span.From() - uint64(len(run)-len(span.Entries))
	if err := registry.VerifyRange(run, from, cp.Size, r.Proof.Range, cp.Root); err != nil {
		return notProven("its entries: %w", err)
	}
	var differs *registry.DifferenceError
	switch err := span.Check(r.Proof.Delta); {
	case errors.As(err, &differs):
		return nil
	case err != nil:
		return notProven("%w", err)
	}
	return notProven("every entry follows from the ones before")
}

// span returns the entries to replay, and the run of entries that must be in the log: those and the head before.
func (p *Proof) span() (span registry.Span, run [][]byte, err error) {
	for _, e := range p.Entries {
		span.Entries = append(span.Entries, e)
	}
	if p.Head == nil {
		return span, span.Entries, nil
	}
	entry, err := registry.ParseEntry(p.Head)
	head, ok := entry.(registry.HeadEntry)
	if err != nil || !ok || head.Covered > 1<<62 {
		return span, nil, notProven("what its entries follow is not a head")
	}
	span.Head = &head
	return span, append([][]byte{p.Head}, span.Entries...), nil
}

// checkList checks that a version of the trust list is in the log and must not be.
func (r *Report) checkList(cp *registry.Checkpoint, anchor keys.Public) error {
	if r.Proof == nil {
		return ErrNoProof
	}
	e, err := listEntry(r.Entry, r.TrustList)
	if err != nil {
		return err
	}
	if err := registry.VerifyRange([][]byte{r.Entry}, r.Index, cp.Size, r.Proof.Range, cp.Root); err != nil {
		return notProven("its entry: %w", err)
	}
	list, err := trustlist.Verify(r.TrustList, anchor)
	if err != nil || list.N != e.N {
		return nil // the anchor did not sign this as that version
	}
	if r.Proof.Previous == "" {
		return notProven("the anchor signed the version")
	}
	previous, err := trustlist.Verify(r.Proof.Previous, anchor)
	if err != nil {
		return notProven("the version before: %w", err)
	}
	entry := previous.Entry().Marshal()
	if r.Proof.PreviousIndex >= r.Index {
		return notProven("the version before stands behind")
	}
	if err := registry.VerifyRange([][]byte{entry}, r.Proof.PreviousIndex, cp.Size, r.Proof.PreviousRange, cp.Root); err != nil {
		return notProven("the entry of the version before: %w", err)
	}
	if previous.N+1 != list.N {
		return notProven("version %d is not the one before %d", previous.N, list.N)
	}
	if trustlist.ValidateSuccessor(previous, list) == nil {
		return notProven("the version may follow the one before")
	}
	return nil
}

func listEntry(data []byte, jwt string) (registry.ListEntry, error) {
	entry, err := registry.ParseEntry(data)
	e, ok := entry.(registry.ListEntry)
	if err != nil || !ok {
		return e, notProven("its entry is not one of a trust list")
	}
	if registry.HashOf([]byte(jwt)) != e.Hash {
		return e, notProven("the trust list is not the one of its entry")
	}
	return e, nil
}
