package registry

import (
	"errors"
	"fmt"
)

// HeadChain is what the next head of a log must follow on.
type HeadChain struct {
	Epoch uint64 // of the last head, 0 before the first
	At    uint64 // its index, NoPrevHead before the first
	Hash  Hash   // of the last head, zero before the first
	Lists uint64 // trust list versions so far
}

// NewHeadChain is the chain of an empty log.
func NewHeadChain() HeadChain { return HeadChain{At: NoPrevHead} }

// Next returns the head that must stand at index, over a map of that size and root. The time is the operator's word.
func (c HeadChain) Next(index, mapSize uint64, mapRoot Hash, unixMilli int64) HeadEntry {
	return HeadEntry{
		Epoch: c.Epoch + 1, Covered: index, MapSize: mapSize, UnixMilli: unixMilli, ListN: c.Lists,
		MapRoot: mapRoot, PrevIndex: c.At, PrevHash: c.Hash,
	}
}

// Add takes a head into the chain.
func (c *HeadChain) Add(h HeadEntry) {
	c.Epoch, c.At, c.Hash = h.Epoch, h.Covered, HashOf(h.Marshal())
}

// WrongField names the first field in which a head differs from the one that must stand there, "" for none.
func (h HeadEntry) WrongField(want HeadEntry) string {
	switch {
	case h.MapRoot != want.MapRoot:
		return "map root: an entry is missing from the map, or is there with another value"
	case h.MapSize != want.MapSize:
		return "map size"
	case h.Epoch != want.Epoch:
		return "epoch"
	case h.Covered != want.Covered:
		return "covered index"
	case h.ListN != want.ListN:
		return "trust list number"
	case h.PrevIndex != want.PrevIndex:
		return "previous head index"
	case h.PrevHash != want.PrevHash:
		return "hash of the previous head"
	case h.UnixMilli != want.UnixMilli:
		return "time"
	}
	return ""
}

// Span is a run of a log's entries that follows a head, or stands at the beginning.
type Span struct {
	Head    *HeadEntry // that stands right before the entries; nil at the beginning of the log
	Entries [][]byte
}

// From returns the index of the first entry.
func (s Span) From() uint64 {
	if s.Head == nil {
		return 0
	}
	return s.Head.Covered + 1
}

// Slots returns the slot entries of the span with their indices.
func (s Span) Slots() []MapMember {
	var out []MapMember
	for i, data := range s.Entries {
		if entry, err := ParseEntry(data); err == nil {
			if e, ok := entry.(SlotEntry); ok {
				out = append(out, MapMember{Key: e.K, Index: s.From() + uint64(i), Value: e.V})
			}
		}
	}
	return out
}

// DifferenceError says what in a log is not as it must be.
type DifferenceError struct {
	Index uint64 // of the entry
	What  string
	Want  []byte // the entry that should stand there, if that is known
}

func (e *DifferenceError) Error() string { return fmt.Sprintf("entry %d: %s", e.Index, e.What) }

// ErrDeltaBase is returned for a delta that does not begin at the map of the span's head, and so says nothing about the span.
var ErrDeltaBase = errors.New("map delta: does not lead back to the map of the head before")

// Check replays a span on the map that its head states, with a delta over the span, and returns a [*DifferenceError] for the first
// entry that cannot follow: a head with a wrong field, or a trust list version with a wrong number. Then the log has broken its rules at
// that entry, or already at the head. A span without a head needs no delta. Any other error is of the delta, and says nothing about the log.
func (s Span) Check(delta []byte) error {
	chain, roots, err := s.start(delta)
	if err != nil {
		return err
	}
	for i, data := range s.Entries {
		index := s.From() + uint64(i)
		entry, err := ParseEntry(data)
		if err != nil {
			continue // of unknown form: counts for nothing
		}
		switch e := entry.(type) {
		case ListEntry:
			if e.N != chain.Lists+1 {
				return &DifferenceError{Index: index, What: fmt.Sprintf("trust list version %d, where only %d can follow", e.N, chain.Lists+1)}
			}
			chain.Lists++
		case HeadEntry:
			m := roots[index]
			if want := chain.Next(index, m.size, m.root, e.UnixMilli); e != want {
				return &DifferenceError{Index: index, What: "a head states a wrong " + e.WrongField(want), Want: want.Marshal()}
			}
			chain.Add(e)
		}
	}
	return nil
}

type rootAndSize struct {
	root Hash
	size uint64
}

// start returns the chain at the span's head, and the map at every head in the span.
func (s Span) start(delta []byte) (HeadChain, map[uint64]rootAndSize, error) {
	chain, base := NewHeadChain(), rootAndSize{root: EmptyRoot()}
	if s.Head != nil {
		chain.Add(*s.Head)
		chain.Lists = s.Head.ListN
		base = rootAndSize{s.Head.MapRoot, s.Head.MapSize}
	}
	heads := s.heads()
	if len(heads) == 0 {
		return chain, nil, nil
	}
	d, err := ParseMapDelta(delta, s.From(), s.Slots())
	if err != nil {
		return chain, nil, err
	}
	roots := make(map[uint64]rootAndSize, len(heads))
	for i := len(heads) - 1; i >= 0; i-- {
		root, err := d.Rewind(heads[i])
		if err != nil {
			return chain, nil, err
		}
		roots[heads[i]] = rootAndSize{root, base.size + uint64(d.Added())}
	}
	if root, err := d.Rewind(s.From()); err != nil || root != base.root {
		return chain, nil, errors.Join(err, ErrDeltaBase)
	}
	return chain, roots, nil
}

func (s Span) heads() []uint64 {
	var at []uint64
	for i, data := range s.Entries {
		if entry, err := ParseEntry(data); err == nil {
			if _, ok := entry.(HeadEntry); ok {
				at = append(at, s.From()+uint64(i))
			}
		}
	}
	return at
}
