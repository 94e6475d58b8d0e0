// Package bucketmap keeps the registry's map in a store: the same map, the same roots and proofs to the octet, as package prefixmap, for
// registries that have more keys than memory, or must be there again at once after a restart.
//
// The members are kept in buckets, sorted lists of those whose keys begin with the same bits. A bucket that has more than
// [Options.BucketSize] members is split by its next bit, so that an epoch costs the same at any size of the map, and a value never
// grows beyond what the store keeps beside its keys. The top levels, from the buckets' roots up, are in memory: about 8 bytes a key.
// The roots of the buckets are stored together with the buckets, and the nodes above are worked out when the map is opened.
//
// Versions cost nothing: the map only grows, and each member carries the index of its entry in the log. The map as of an earlier
// position is the same buckets without the members from that position on. So a [Snapshot] holds only its own top levels, unfinished
// epochs leave nothing that counts, and [Map.At] finds earlier versions after a restart too.
//
// [Map.Commit] makes an epoch lasting together with its position: [Map.Covered] tells which entries of the log are in the map, and a
// replay goes on from there. Replaying entries again that are in it already changes nothing.
//
// Left out: more than one writer, and taking members out.
package bucketmap

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"akashi/internal/store"
	"akashi/registry"
)

// Options of a map. The zero value is a good choice.
type Options struct {
	// BucketSize is how many members a bucket has at most; default 24. Maps of other sizes can be opened: buckets that are too large
	// are split when they are written again.
	BucketSize int
}

const (
	// defaultBucketSize makes an epoch and a proof about as cheap as they can be: more members are more to hash and to write again, fewer
	// are more nodes in memory. Buckets must stay under 4 KiB, 56 members, above which Badger moves values to a place whose space it
	// does not give back.
	defaultBucketSize = 24
	maxBucketSize     = 56

	// membersPerPass bounds how much one pass of a commit holds, so that also the bucket that a large first epoch splits into thousands
	// fits into one transaction.
	membersPerPass = 4096

	// bytesPerUpdate is where a commit begins another transaction.
	bytesPerUpdate = 3 << 20
)

// Map is the map with one writer. Its methods may be called from several goroutines, and wait for each other; those of its snapshots
// do not.
type Map struct {
	store      store.Store
	bucketSize int
	perUpdate  int // bytesPerUpdate, less in tests

	mu      sync.Mutex // guards everything below
	current *Snapshot  // what is committed
	pending map[registry.Key]registry.MapMember
	loaded  map[*node][]registry.MapMember // buckets of current that Insert has read: Commit needs them again
	unsure  bool                           // a commit failed, and nobody knows how much of it the store has
}

// Open opens the map in s, and begins an empty one when there is none. What a commit left behind that did not come to its end is
// tidied up. It returns [ErrDamaged] when the map cannot be used.
func Open(ctx context.Context, s store.Store, opts Options) (*Map, error) {
	if opts.BucketSize == 0 {
		opts.BucketSize = defaultBucketSize
	}
	if opts.BucketSize < 1 || opts.BucketSize > maxBucketSize {
		return nil, fmt.Errorf("bucketmap: a bucket of %d members: give 1 to %d, or 0 for the default", opts.BucketSize, maxBucketSize)
	}
	m := &Map{store: s, bucketSize: opts.BucketSize, perUpdate: bytesPerUpdate, pending: make(map[registry.Key]registry.MapMember)}
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Erase removes the map from s, for building it anew. A map that is open must not be used any more.
func Erase(ctx context.Context, s store.Store) error {
	for {
		keys, err := someKeys(ctx, s)
		if err != nil || len(keys) == 0 {
			return err
		}
		err = s.Update(ctx, func(tx store.Tx) error {
			for _, k := range keys {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// someKeys returns keys of the map, as many as one transaction can delete.
func someKeys(ctx context.Context, s store.Store) (keys [][]byte, err error) {
	err = s.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(keyMap), func(key, _ []byte) error {
			if keys = append(keys, key); len(keys) == membersPerPass {
				return store.ErrStop
			}
			return nil
		})
	})
	return keys, err
}

// Covered returns the committed position: every entry of the log below it is in the map.
func (m *Map) Covered() uint64 { return m.Snapshot().covered }

// Len returns the number of keys, those inserted since the last commit included.
func (m *Map) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current.Len() + len(m.pending)
}

// Snapshot returns the map as it was last committed.
func (m *Map) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.current
}

// At returns the map as it was at an earlier position. What that costs depends on how many members have come since. The head of that
// position says which root it must have.
func (m *Map) At(ctx context.Context, covered uint64) (*Snapshot, error) {
	now := m.Snapshot()
	if covered > now.covered {
		return nil, fmt.Errorf("bucketmap: the map covers %d entries, not %d", now.covered, covered)
	}
	var top *node
	err := m.store.View(ctx, func(tx store.Tx) (err error) {
		top, err = now.top.rewind(tx, nil, covered)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bucketmap: going back to entry %d: %w", covered, err)
	}
	return &Snapshot{store: m.store, top: top, covered: covered}, nil
}

// Get returns the index and value at k, those inserted since the last commit included.
func (m *Map) Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok, err := m.find(ctx, k)
	return e.Index, e.Value, ok, err
}

func (m *Map) find(ctx context.Context, k registry.Key) (registry.MapMember, bool, error) {
	if e, ok := m.pending[k]; ok {
		return e, true, nil
	}
	n, p := m.current.bucketOf(k)
	if n == nil {
		return registry.MapMember{}, false, nil
	}
	members, ok := m.loaded[n]
	if !ok {
		var err error
		if members, err = m.current.members(ctx, n, p); err != nil {
			return registry.MapMember{}, false, err
		}
	}
	e, ok := findMember(members, k)
	return e, ok, nil
}

// Insert puts the member k with index i and value v into the map. It returns false, and changes nothing, when k is a member already:
// the first write wins. Nothing is written before [Map.Commit].
//
// Entries below [Map.Covered] may come again. One that is not in the map shows that the map is that of another log: [ErrDamaged].
func (m *Map) Insert(ctx context.Context, k registry.Key, i uint64, v registry.Value) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.remember(ctx, k); err != nil {
		return false, err
	}
	e, ok, err := m.find(ctx, k)
	switch {
	case err != nil:
		return false, err
	case ok && e.Index > i, !ok && i < m.current.covered:
		return false, fmt.Errorf("%w: it covers %d entries of the log, but not entry %d", ErrDamaged, m.current.covered, i)
	case ok:
		return false, nil
	}
	m.pending[k] = registry.MapMember{Key: k, Index: i, Value: v}
	return true, nil
}

// remember keeps the bucket that k belongs to until the next commit.
func (m *Map) remember(ctx context.Context, k registry.Key) error {
	n, p := m.current.bucketOf(k)
	if n == nil || m.loaded[n] != nil {
		return nil
	}
	members, err := m.current.members(ctx, n, p)
	if err == nil {
		m.loaded[n] = members
	}
	return err
}

// Commit makes everything inserted lasting, together with the position: covered says that every entry of the log below it is in the map
// now. It returns the new version. After an error the same or a later position can be committed, with the inserts of before: nothing of
// them is lost, nor counted before a commit has come to its end.
//
// It is one transaction, except for an epoch of more than about 2,000 keys: then it is several, of which the last one makes it count.
func (m *Map) Commit(ctx context.Context, covered uint64) (*Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unsure {
		if err := m.load(ctx); err != nil {
			return nil, err
		}
	}
	members, err := m.inserted(covered)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 && covered == m.current.covered {
		return m.current, nil
	}
	c := commit{m: m, top: m.current.top, covered: covered}
	if err := c.run(ctx, members); err != nil {
		m.unsure = true
		return nil, fmt.Errorf("bucketmap: writing an epoch: %w", err)
	}
	m.current = &Snapshot{store: m.store, top: c.top, covered: covered}
	clear(m.pending)
	clear(m.loaded)
	return m.current, nil
}

// inserted returns what was inserted, sorted, after checking that it is below the position to be committed.
func (m *Map) inserted(covered uint64) ([]registry.MapMember, error) {
	if covered < m.current.covered {
		return nil, fmt.Errorf("bucketmap: cannot commit position %d after %d", covered, m.current.covered)
	}
	members := make([]registry.MapMember, 0, len(m.pending))
	for _, e := range m.pending {
		if e.Index >= covered {
			return nil, fmt.Errorf("bucketmap: entry %d was inserted, which position %d does not cover", e.Index, covered)
		}
		members = append(members, e)
	}
	registry.SortMembers(members)
	return members, nil
}

// load reads the top levels from the store, and drops from pending what turns out to be in the map.
func (m *Map) load(ctx context.Context) error {
	l := loader{m: m}
	if err := l.run(ctx); err != nil {
		return fmt.Errorf("bucketmap: opening: %w", err)
	}
	m.current = &Snapshot{store: m.store, top: l.top, covered: l.state.covered}
	m.loaded = make(map[*node][]registry.MapMember)
	for k := range m.pending {
		if m.pending[k].Index < m.current.covered {
			delete(m.pending, k)
		}
	}
	m.unsure = false
	return nil
}

func findMember(sorted []registry.MapMember, k registry.Key) (registry.MapMember, bool) {
	at, ok := slices.BinarySearchFunc(sorted, k, func(e registry.MapMember, k registry.Key) int { return bytes.Compare(e.Key[:], k[:]) })
	if !ok {
		return registry.MapMember{}, false
	}
	return sorted[at], true
}
