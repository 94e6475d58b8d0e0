package bucketmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"akashi/internal/store"
	"akashi/registry"
)

// The keys of the store, all of which begin with "map/". Integers are big endian.
//
//	map/state                     0x01 || covered(8) || count(8) || root(32)
//	map/top/    || path           0x01 || newest(8) || count(4) || root(32)       of the bucket at path
//	map/bucket/ || path           count times K(32) || i(8) || V(32), ascending by K
//
// path has one byte, 0 or 1, for each leading bit that the keys of a bucket share. No path is the beginning of another one: the buckets
// are the leaves of a binary tree. newest is the greatest index in the bucket, root the root of a map of its members alone.
//
// state is written last. A member whose index is not below covered belongs to an epoch that was not finished, and does not count.
const (
	keyMap    = "map/"
	keyState  = "map/state"
	keyTop    = "map/top/"
	keyBucket = "map/bucket/"

	layoutVersion = 0x01
	memberSize    = 32 + 8 + 32
	topSize       = 1 + 8 + 4 + 32
	stateSize     = 1 + 8 + 8 + 32
)

// ErrDamaged is returned when the store does not hold what was written. Then the map is emptied ([Erase]) and rebuilt from the log.
var ErrDamaged = errors.New("stored map is damaged")

// state says how far the stored map goes.
type state struct {
	covered uint64
	count   uint64
	root    registry.Hash
}

func (s state) marshal() []byte {
	b := append(make([]byte, 0, stateSize), layoutVersion)
	b = binary.BigEndian.AppendUint64(b, s.covered)
	b = binary.BigEndian.AppendUint64(b, s.count)
	return append(b, s.root[:]...)
}

func readState(tx store.Tx) (state, error) {
	b, err := tx.Get([]byte(keyState))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return state{root: registry.EmptyRoot()}, nil
	case err != nil:
		return state{}, err
	case len(b) != stateSize || b[0] != layoutVersion:
		return state{}, fmt.Errorf("%w: its state is not of version %d", ErrDamaged, layoutVersion)
	}
	return state{binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), registry.Hash(b[17:])}, nil
}

func marshalTop(n *node) []byte {
	b := append(make([]byte, 0, topSize), layoutVersion)
	b = binary.BigEndian.AppendUint64(b, n.newest)
	b = binary.BigEndian.AppendUint32(b, uint32(n.count))
	return append(b, n.hash[:]...)
}

func parseTop(key, b []byte) (bucketAt, error) {
	p := path(key[len(keyTop):])
	if len(p) > 256 || len(bytes.Trim(p, "\x00\x01")) > 0 || len(b) != topSize || b[0] != layoutVersion {
		return bucketAt{}, fmt.Errorf("%w: the top of a bucket is not of version %d", ErrDamaged, layoutVersion)
	}
	return bucketAt{p, &node{
		newest: binary.BigEndian.Uint64(b[1:]),
		count:  int(binary.BigEndian.Uint32(b[9:])),
		hash:   registry.Hash(b[13:]),
	}}, nil
}

func marshalMembers(members []registry.MapMember) []byte {
	b := make([]byte, 0, memberSize*len(members))
	for _, m := range members {
		b = registry.AppendMember(b, m)
	}
	return b
}

// appendMembers reads a bucket and appends those of its members whose index is below covered.
func appendMembers(to []registry.MapMember, b []byte, covered uint64) ([]registry.MapMember, error) {
	if len(b)%memberSize != 0 {
		return nil, fmt.Errorf("%w: a bucket is cut", ErrDamaged)
	}
	for ; len(b) > 0; b = b[memberSize:] {
		m := registry.MapMember{Key: registry.Key(b[:32]), Index: binary.BigEndian.Uint64(b[32:]), Value: registry.Value(b[40:memberSize])}
		if m.Index < covered {
			to = append(to, m)
		}
	}
	return to, nil
}

// path is the way from the top to a bucket, one byte, 0 or 1, a bit.
type path []byte

// pathOf returns the path of the first bits bits of k.
func pathOf(k registry.Key, bits int) path {
	p := make(path, bits)
	for d := range p {
		p[d] = k.Bit(byte(d))
	}
	return p
}

func (p path) key(kind string) []byte { return append([]byte(kind), p...) }

// readMembers returns the members at and below path, sorted, whose index is below covered. What was one bucket in an older version of
// the map may be several by now.
func readMembers(tx store.Tx, p path, covered uint64) ([]registry.MapMember, error) {
	var members []registry.MapMember
	b, err := tx.Get(p.key(keyBucket))
	switch {
	case err == nil:
		members, err = appendMembers(make([]registry.MapMember, 0, len(b)/memberSize), b, covered)
	case errors.Is(err, store.ErrNotFound):
		err = tx.Scan(p.key(keyBucket), func(_, b []byte) error {
			var err error
			members, err = appendMembers(members, b, covered)
			return err
		})
	}
	if err == nil {
		err = checkOrder(members)
	}
	return members, err
}

// checkOrder keeps members that are not sorted, or there twice, from the functions that rely on it.
func checkOrder(members []registry.MapMember) error {
	for i := 1; i < len(members); i++ {
		if bytes.Compare(members[i-1].Key[:], members[i].Key[:]) >= 0 {
			return fmt.Errorf("%w: the keys of a bucket are not in order", ErrDamaged)
		}
	}
	return nil
}
