package registry

import (
	"errors"
	"fmt"
)

var (
	// ErrNotProven is returned for an answer of the registry that the pinned policies do not bear out. It is no evidence of the opposite.
	ErrNotProven = errors.New("the registry's answer is not proven")
	// ErrNotWitnessed is returned for a checkpoint below the witnesses' quorum.
	ErrNotWitnessed = fmt.Errorf("%w: fewer witnesses than the policy's quorum have signed", ErrNotProven)
	// ErrNotAudited is returned for a head below the auditors' quorum: nobody but the operator says that its map is the log's. An honest
	// registry shows such a head while its auditors are away.
	ErrNotAudited = fmt.Errorf("%w: fewer auditors than the policy's quorum vouch for the map", ErrNotProven)
)

// VerifiedHead is a head of the map that the witnesses' and the auditors' quorum vouch for. It is made by [VerifyHead] only.
type VerifiedHead struct {
	HeadEntry
	Checkpoint *Checkpoint // whose last entry the head is
}

// VerifyCheckpoint opens a checkpoint and demands the witnesses' quorum.
func VerifyCheckpoint(note string, witnesses, auditors *Policy) (*Checkpoint, error) {
	c, err := OpenCheckpoint([]byte(note), witnesses, auditors)
	if err != nil {
		return nil, errors.Join(ErrNotProven, err)
	}
	if _, ok := c.ExistedBy(); !ok {
		return nil, ErrNotWitnessed
	}
	return c, nil
}

// VerifyHead checks a head: both quorums have signed its checkpoint, its entry stands there as the last one, and it says so itself. How
// old it is, and whether the caller has seen a newer one, is the caller's to ask.
func VerifyHead(h HeadProof, witnesses, auditors *Policy) (*VerifiedHead, error) {
	c, err := VerifyCheckpoint(h.Checkpoint, witnesses, auditors)
	if err != nil {
		return nil, err
	}
	if !c.Audited() {
		return nil, ErrNotAudited
	}
	entry, err := ParseEntry(h.Entry)
	head, ok := entry.(HeadEntry)
	switch {
	case err != nil || !ok:
		return nil, fmt.Errorf("%w: the entry is not a head", ErrNotProven)
	case head.Covered != h.Index || h.Index+1 != c.Size:
		return nil, fmt.Errorf("%w: the head is not the last entry of its checkpoint", ErrNotProven)
	case head.PrevIndex != NoPrevHead && head.PrevIndex >= head.Covered:
		return nil, fmt.Errorf("%w: the head's predecessor stands after it", ErrNotProven)
	}
	if err := VerifyInclusion(h.Entry, h.Index, c.Size, h.Inclusion, c.Root); err != nil {
		return nil, errors.Join(ErrNotProven, err)
	}
	return &VerifiedHead{head, c}, nil
}

// Standing is what is proven of a key. The zero value is "no proof either way".
type Standing int

const (
	NotShown     Standing = iota // neither is proven: it counts for nothing and against nobody
	ProvenAbsent                 // the map of the head does not have the key
	ProvenMember                 // the map has it, and the log has its entry
)

// VerifiedResult is what a lookup proves of one key.
type VerifiedResult struct {
	Key      Key
	Standing Standing
	Err      error // of NotShown: why

	// Of a ProvenMember. Record is what the registry gave of it; of its boxes only what Sealed returns is the log's word.
	Index  uint64
	Value  Value
	Record *MemberProof
}

// Sealed returns box A of a member when it is shown, whole, and the one that the log committed to; else false: an erased or withheld record,
// or another one than was logged, shows nothing of what stands there.
func (r *VerifiedResult) Sealed() (a []byte, ok bool) {
	if r.Standing != ProvenMember || r.Record == nil || r.Record.Erased || r.Record.A == nil {
		return nil, false
	}
	if ValueOfHashes(HashOf(r.Record.A), r.Record.HB) != r.Value {
		return nil, false
	}
	return r.Record.A, true
}

var errOtherRecord = errors.New("the record is another than its map proof says")

// Verify checks what a lookup says of one key under the head.
func (h *VerifiedHead) Verify(r LookupResult) VerifiedResult {
	out := VerifiedResult{Key: r.Key}
	if r.Member == nil {
		if out.Err = VerifyAbsent(h.MapRoot, r.Key, r.Proof); out.Err == nil {
			out.Standing = ProvenAbsent
		}
		return out
	}
	if out.Index, out.Value, out.Err = VerifyMember(h.MapRoot, r.Key, r.Proof); out.Err != nil {
		return out
	}
	if r.Member.Index != out.Index || r.Member.Value != out.Value {
		out.Err = errOtherRecord
		return out
	}
	c := h.Checkpoint
	entry := SlotEntry{K: r.Key, V: out.Value}.Marshal()
	if out.Err = VerifyInclusion(entry, out.Index, c.Size, r.Member.Inclusion, c.Root); out.Err == nil {
		out.Standing, out.Record = ProvenMember, r.Member
	}
	return out
}

// VerifyAll checks what a lookup says of the keys that were asked for, in their order.
func (h *VerifiedHead) VerifyAll(asked []Key, results []LookupResult) ([]VerifiedResult, error) {
	if len(results) != len(asked) {
		return nil, fmt.Errorf("%w: %d results for %d keys", ErrAnswer, len(results), len(asked))
	}
	out := make([]VerifiedResult, len(asked))
	for i, r := range results {
		if r.Key != asked[i] {
			return nil, fmt.Errorf("%w: result %d is for another key", ErrAnswer, i)
		}
		out[i] = h.Verify(r)
	}
	return out, nil
}

// VerifiedLookup is what a lookup proves.
type VerifiedLookup struct {
	Head    *VerifiedHead
	Results []VerifiedResult // in the order in which the keys were asked for
}

// VerifyLookup checks the answer to a lookup of the keys asked under the pinned policies: the head ([VerifyHead]), and for each key the map
// proof under its root and, for a member, the inclusion of the slot entry ([VerifiedHead.Verify]) and whether A is the one that the log
// committed to ([VerifiedResult.Sealed]). An error means that nothing in the answer counts. It is for whoever acts on a lookup: issuers before they call
// a record logged or a slot taken, wallets before they show what stands in a slot. A caller that keeps the newest head that it has seen
// verifies the head by itself, compares, and then takes [VerifiedHead.VerifyAll].
func VerifyLookup(resp *LookupResponse, asked []Key, witnesses, auditors *Policy) (*VerifiedLookup, error) {
	head, err := VerifyHead(resp.Head, witnesses, auditors)
	if err != nil {
		return nil, err
	}
	results, err := head.VerifyAll(asked, resp.Results)
	if err != nil {
		return nil, err
	}
	return &VerifiedLookup{head, results}, nil
}
