package logserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"

	"akashi/registry"
	"akashi/registry/trustlist"
)

// state is what the entries of the log, applied in order, amount to. Only the sequencer touches it.
type state struct {
	size uint64
	tree *compact.Range
	m    slotMap

	epochs   uint64 // heads so far
	head     registry.HeadEntry
	headHash registry.Hash
	headAt   uint64 // NoPrevHead before the first

	lists []trustlist.Version

	inserts int // since the last commit

	// hide makes the state leave a slot entry out of the map. Tests set it, to be an operator who lies.
	hide func(registry.Key) bool
}

func newState(m slotMap) *state {
	return &state{tree: treeFactory.NewEmptyRange(0), m: m, headAt: registry.NoPrevHead}
}

// apply adds the entry that the log has at index st.size. Entries of unknown form and slot entries for taken keys count for nothing.
// list gives the version that a list entry admits.
func (st *state) apply(ctx context.Context, data []byte, list func(registry.ListEntry) (*trustlist.List, error)) error {
	index := st.size
	entry, err := registry.ParseEntry(data)
	if err != nil && !errors.Is(err, registry.ErrUnknownEntry) {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	switch e := entry.(type) {
	case registry.SlotEntry:
		if st.hide == nil || !st.hide(e.K) {
			if _, err := st.m.Insert(ctx, e.K, index, e.V); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
			st.inserts++
		}
	case registry.HeadEntry:
		st.setHead(e, index, data)
	case registry.ListEntry:
		l, err := list(e)
		if err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		st.lists = append(st.lists[:len(st.lists):len(st.lists)], trustlist.Version{List: l, Index: index})
	}
	if err := st.tree.Append(hasher.HashLeaf(data), nil); err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	st.size++
	return nil
}

func (st *state) setHead(e registry.HeadEntry, index uint64, data []byte) {
	st.epochs, st.head, st.headAt, st.headHash = e.Epoch, e, index, registry.HashOf(data)
}

// commit makes the inserts lasting and returns the map over all entries so far.
func (st *state) commit(ctx context.Context) (mapView, error) {
	snap, err := st.m.Commit(ctx, st.size)
	if err == nil {
		st.inserts = 0
	}
	return snap, err
}

// closed tells whether the last entry is a head, so that nothing waits to be covered.
func (st *state) closed() bool { return st.size > 0 && st.headAt == st.size-1 }

// listN returns the number of the trust list in force for the next entry, 0 before the first.
func (st *state) listN() uint64 { return uint64(len(st.lists)) }

func (st *state) root() (registry.Hash, error) {
	root, err := st.tree.GetRootHash(nil)
	if err != nil {
		return registry.Hash{}, fmt.Errorf("hashing the log: %w", err)
	}
	return registry.Hash(root), nil
}

// epoch is a closed epoch: a head that is the last entry of a log of that size, with the map as it was.
type epoch struct {
	size  uint64 // covered + 1
	head  registry.HeadEntry
	snap  mapView       // at the head
	root  registry.Hash // of the log
	lists int           // trust list versions below size
}

// epoch returns the epoch that the last entry, a head, closed. The caller holds its snapshot.
func (st *state) epoch(ctx context.Context) (*epoch, error) {
	if !st.closed() {
		return nil, fmt.Errorf("entry %d of the log is not a head", st.size-1)
	}
	snap, err := st.m.At(ctx, st.headAt)
	if err != nil {
		return nil, err
	}
	return st.epochWith(snap)
}

// epochWith is epoch for one who holds the map at the head.
func (st *state) epochWith(snap mapView) (*epoch, error) {
	root, err := st.root()
	if err != nil {
		snap.Release()
		return nil, err
	}
	return &epoch{size: st.size, head: st.head, snap: snap, root: root, lists: len(st.lists)}, nil
}
