package registry

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrUnknownEntry is returned for log entries that are not exactly one of the three layouts below. Such an entry counts for nothing,
// inclusion proof or not; a reader goes on with the next one.
var ErrUnknownEntry = errors.New("log entry of an unknown form: it counts for nothing")

const (
	entryVersion = 0x01
	entrySlot    = 0x01
	entryHead    = 0x02
	entryList    = 0x03

	entryHeader   = 8
	slotEntrySize = entryHeader + 32 + 32
	headEntrySize = entryHeader + 5*8 + 32 + 8 + 32
	listEntrySize = entryHeader + 8 + 32
)

// SlotEntry says that a record with value V was written to the slot K. Only the first one for a K enters the map.
//
//	0x01 || 0x01 || 0^6 || K(32) || V(32)                                                   72 bytes
type SlotEntry struct {
	K Key
	V Value
}

// HeadEntry closes an epoch: it states the map's root over all slot entries before it. Covered is its own index in the log, MapSize
// the number of keys in the map, UnixMilli the operator's clock (which proves nothing), ListN the number of the trust list in force
// (0 before the first).
//
//	0x01 || 0x02 || 0^6 || epoch(8) || covered(8) || map size(8) || unix ms(8) || list n(8)
//	     || map root(32) || previous head index(8) || H(previous head entry)(32)           120 bytes
type HeadEntry struct {
	Epoch     uint64
	Covered   uint64
	MapSize   uint64
	UnixMilli int64
	ListN     uint64
	MapRoot   Hash
	PrevIndex uint64 // NoPrevHead in the first head
	PrevHash  Hash   // zero in the first head
}

// NoPrevHead is the previous index in the first head of a log.
const NoPrevHead = math.MaxUint64

// ListEntry admits version N of the trust list. Hash is H over its JWT in compact form.
//
//	0x01 || 0x03 || 0^6 || n(8) || H(trust list JWT)(32)                                    48 bytes
type ListEntry struct {
	N    uint64
	Hash Hash
}

func entryStart(kind byte, size int) []byte {
	return append(make([]byte, 0, size), entryVersion, kind, 0, 0, 0, 0, 0, 0)
}

// Marshal returns the entry's bytes.
func (e SlotEntry) Marshal() []byte {
	b := entryStart(entrySlot, slotEntrySize)
	b = append(b, e.K[:]...)
	return append(b, e.V[:]...)
}

// Marshal returns the entry's bytes.
func (e HeadEntry) Marshal() []byte {
	b := entryStart(entryHead, headEntrySize)
	b = binary.BigEndian.AppendUint64(b, e.Epoch)
	b = binary.BigEndian.AppendUint64(b, e.Covered)
	b = binary.BigEndian.AppendUint64(b, e.MapSize)
	b = binary.BigEndian.AppendUint64(b, uint64(e.UnixMilli))
	b = binary.BigEndian.AppendUint64(b, e.ListN)
	b = append(b, e.MapRoot[:]...)
	b = binary.BigEndian.AppendUint64(b, e.PrevIndex)
	return append(b, e.PrevHash[:]...)
}

// Marshal returns the entry's bytes.
func (e ListEntry) Marshal() []byte {
	b := entryStart(entryList, listEntrySize)
	b = binary.BigEndian.AppendUint64(b, e.N)
	return append(b, e.Hash[:]...)
}

// ParseEntry reads a log entry and returns a SlotEntry, a HeadEntry or a ListEntry, or [ErrUnknownEntry].
func ParseEntry(b []byte) (any, error) {
	if len(b) < entryHeader || b[0] != entryVersion || [6]byte(b[2:entryHeader]) != [6]byte{} {
		return nil, ErrUnknownEntry
	}
	kind, rest := b[1], b[entryHeader:]
	switch {
	case kind == entrySlot && len(b) == slotEntrySize:
		return SlotEntry{K: Key(rest[:32]), V: Value(rest[32:])}, nil
	case kind == entryHead && len(b) == headEntrySize:
		return HeadEntry{
			Epoch:     binary.BigEndian.Uint64(rest),
			Covered:   binary.BigEndian.Uint64(rest[8:]),
			MapSize:   binary.BigEndian.Uint64(rest[16:]),
			UnixMilli: int64(binary.BigEndian.Uint64(rest[24:])),
			ListN:     binary.BigEndian.Uint64(rest[32:]),
			MapRoot:   Hash(rest[40:72]),
			PrevIndex: binary.BigEndian.Uint64(rest[72:]),
			PrevHash:  Hash(rest[80:]),
		}, nil
	case kind == entryList && len(b) == listEntrySize:
		return ListEntry{N: binary.BigEndian.Uint64(rest), Hash: Hash(rest[8:])}, nil
	}
	return nil, ErrUnknownEntry
}
