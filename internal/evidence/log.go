package evidence

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"akashi/registry"
	"akashi/registry/trustlist"
)

// checkPolicies checks the pinned policies and names them by a hash: H("akashi/policy/v1" || H(policy) || H(policy-auditors)), each in the
// form that [registry.Policy.Marshal] writes.
func (j *judge) checkPolicies() (string, error) {
	if j.trust.Policy == nil {
		return "", errors.New("no policy is pinned: give the policy file of the registry")
	}
	names := registry.HashOf(j.trust.Policy.Marshal())
	joined := append([]byte("akashi/policy/v1"), names[:]...)
	if j.trust.Auditors != nil {
		if err := registry.CheckPair(j.trust.Policy, j.trust.Auditors); err != nil {
			return "", err
		}
		names = registry.HashOf(j.trust.Auditors.Marshal())
		joined = append(joined, names[:]...)
	} else if err := registry.CheckPair(j.trust.Policy, j.nobody()); err != nil {
		return "", err
	}
	j.policyHash = registry.HashOf(joined)
	return "", nil
}

// nobody is the policy of the same log without auditors.
func (j *judge) nobody() *registry.Policy {
	return &registry.Policy{Origin: j.trust.Policy.Origin, Log: j.trust.Policy.Log, LogVKey: j.trust.Policy.LogVKey}
}

// openCheckpoint opens the checkpoint. Without the auditors' policy their lines cannot be told from others' and are passed over; the
// verification then ends in unknown at best.
func (j *judge) openCheckpoint() (detail string, err error) {
	if j.trust.Auditors == nil {
		j.checkpoint, err = j.memory.checkpoint(j.file.Checkpoint, j.trust.Policy, j.nobody())
	} else {
		j.checkpoint, err = j.memory.checkpointExactly(j.file.Checkpoint, j.trust.Policy, j.trust.Auditors)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("size %d", j.checkpoint.Size), nil
}

func (j *judge) checkWitnesses() (string, error) {
	asOf, ok := j.checkpoint.NotLargerAt()
	if !ok {
		return "", errors.New("fewer witnesses than the policy's quorum cosigned the checkpoint")
	}
	j.asOf = asOf
	return "as of " + asOf.Format(time.RFC3339), nil
}

func (j *judge) checkAuditors() (string, error) {
	switch {
	case j.trust.Auditors == nil:
		return "no policy-auditors is pinned: absences are unknown", errCannotTell
	case !j.checkpoint.Audited():
		return "fewer auditors than the policy's quorum vouch for the map: absences are unknown", errCannotTell
	}
	return "", nil
}

// openNotes opens the checkpoints that bound times. Auditors say nothing about time, so their lines have no place here.
func (j *judge) openNotes() (string, error) {
	seen := make(map[string]bool, len(j.file.Notes))
	for i, text := range j.file.Notes {
		if seen[text] {
			return "", fmt.Errorf("note %d: stands twice", i)
		}
		seen[text] = true
	}
	opened, err := j.verifyNotes()
	if err != nil {
		return "", err
	}
	for i, c := range opened {
		if _, ok := c.ExistedBy(); !ok {
			return "", fmt.Errorf("note %d: fewer witnesses than the policy's quorum", i)
		}
		if i > 0 && c.Size <= j.notes[i-1].Size || c.Size >= j.checkpoint.Size {
			return "", fmt.Errorf("note %d: not in order of size below the checkpoint", i)
		}
		j.notes = append(j.notes, c)
	}
	return countNotes(len(j.notes)), nil
}

func countNotes(n int) string { return fmt.Sprintf("%d notes", n) }

// verifyNotes verifies the notes' signatures, most of the work over a whole file, on all processors. Once one does not verify, no further
// one is looked at.
func (j *judge) verifyNotes() ([]*registry.Checkpoint, error) {
	notes, nobody := j.file.Notes, j.nobody()
	opened := make([]*registry.Checkpoint, len(notes))
	workers := min(runtime.GOMAXPROCS(0), len(notes))
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var wg sync.WaitGroup
	for first := range workers {
		wg.Go(func() {
			for i := first; i < len(notes) && ctx.Err() == nil; i += workers {
				var err error
				if opened[i], err = j.memory.checkpointExactly(notes[i], j.trust.Policy, nobody); err != nil {
					cancel(fmt.Errorf("note %d: %w", i, err))
				}
			}
		})
	}
	wg.Wait()
	return opened, context.Cause(ctx)
}

// checkHeadInclusion checks the head's place. It must be the last entry: an absence holds as of a time at which the log was not larger
// than what the head covers.
func (j *judge) checkHeadInclusion() (string, error) {
	c := j.checkpoint
	return "", registry.VerifyInclusion(j.file.Head.Entry, c.Size-1, c.Size, j.file.Head.Inclusion, c.Root)
}

func (j *judge) checkHeadFields() (string, error) {
	e, err := registry.ParseEntry(j.file.Head.Entry)
	if err != nil {
		return "", err
	}
	head, ok := e.(registry.HeadEntry)
	switch {
	case !ok:
		return "", errors.New("the entry is not a head")
	case head.Covered != j.checkpoint.Size-1:
		return "", errors.New("the head covers another index than its own")
	case head.PrevIndex != registry.NoPrevHead && head.PrevIndex >= head.Covered:
		return "", errors.New("the head's predecessor stands after it")
	}
	j.head = head
	return fmt.Sprintf("epoch %d", head.Epoch), nil
}

// history is the trust list's versions with what is asked of them again and again.
type history struct {
	*trustlist.History
	versions []trustlist.Version
}

func (j *judge) openLists() (string, error) {
	j.lists = new(history)
	memory := j.memory
	if memory == nil {
		memory = NewMemory() // versions have most keys in common, and each is read once
	}
	for i, l := range j.file.TrustLists {
		list, err := memory.List(l.JWT, j.trust.Anchor)
		if err != nil {
			return "", fmt.Errorf("version at position %d: %w", i, err)
		}
		j.lists.versions = append(j.lists.versions, trustlist.Version{List: list, Index: l.Index})
	}
	return "", nil
}

func (j *judge) checkListSequence() (detail string, err error) {
	j.lists.History, err = trustlist.NewHistory(j.lists.versions)
	if err != nil {
		return "", err
	}
	if n := j.lists.Latest().N; n != j.head.ListN {
		return "", fmt.Errorf("the head was made under version %d, the file ends with %d", j.head.ListN, n)
	}
	return fmt.Sprintf("%d versions", len(j.lists.versions)), nil
}

func (j *judge) checkListInclusion() (string, error) {
	for i, v := range j.lists.versions {
		err := registry.VerifyInclusion(v.List.Entry().Marshal(), v.Index, j.checkpoint.Size, j.file.TrustLists[i].Inclusion, j.checkpoint.Root)
		if err != nil {
			return "", fmt.Errorf("version %d: %w", v.List.N, err)
		}
	}
	return "", nil
}

// bounds returns by when the entry at index i stood in the log, and until when it did not, as the file's checkpoints prove it; zero for
// no proof of the latter. The checkpoint itself proves the former at the latest.
func (j *judge) bounds(i uint64) (existedBy, notBefore time.Time) {
	first, last := j.boundingNotes(i)
	existedBy, _ = first.ExistedBy()
	if last != nil {
		notBefore, _ = last.NotLargerAt()
	}
	return existedBy, notBefore
}

// boundingNotes returns the checkpoint of size > i with the smallest existed_by and the one of size <= i with the largest
// not_larger_at, nil for none.
func (j *judge) boundingNotes(i uint64) (first, last *registry.Checkpoint) {
	first = j.checkpoint
	earliest, _ := first.ExistedBy()
	var latest time.Time
	for _, c := range j.notes {
		if c.Size > i {
			if t, _ := c.ExistedBy(); t.Before(earliest) {
				first, earliest = c, t
			}
		} else if t, _ := c.NotLargerAt(); t.After(latest) {
			last, latest = c, t
		}
	}
	return first, last
}

// checkNotesUsed refuses checkpoints that bound nothing: a file holds only what is needed.
func (j *judge) checkNotesUsed() (string, error) {
	used := make(map[*registry.Checkpoint]bool)
	for _, r := range j.rungs {
		if r.member {
			first, last := j.boundingNotes(r.effective)
			used[first], used[last] = true, true
			first, _ = j.boundingNotes(r.index)
			used[first] = true
		}
	}
	for i, c := range j.notes {
		if !used[c] {
			return "", fmt.Errorf("note %d bounds the time of no record", i)
		}
	}
	return "", nil
}
