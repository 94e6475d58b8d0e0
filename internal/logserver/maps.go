package logserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/transparency-dev/tessera/client"

	"akashi/registry"
	"akashi/registry/bucketmap"
	"akashi/registry/prefixmap"
	"akashi/registry/trustlist"
)

// MapKind says where a registry keeps its map. Both give the same roots and proofs, and either can be chosen at any start: what the
// other one left is built anew from the log.
type MapKind string

const (
	// MapMemory keeps the map in memory, about 121 bytes a key, and writes it to a file now and then so that a restart replays only
	// what came later.
	MapMemory MapKind = "memory"
	// MapBuckets keeps it in the store, about 8 bytes of memory a key.
	MapBuckets MapKind = "buckets"
)

// mapFile is the name of the map's file in the folder of the log.
const mapFile = "map"

// slotMap is the map, with the sequencer as its one writer.
type slotMap interface {
	// Get returns what stands at k, inserts that were not committed included.
	Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error)
	// Insert puts in a member; false when there is one at k. An insert of before may be repeated.
	Insert(ctx context.Context, k registry.Key, i uint64, v registry.Value) (bool, error)
	// Commit makes the inserts lasting, as far as the map is, and returns the map that covers the log's entries below covered.
	Commit(ctx context.Context, covered uint64) (mapView, error)
	// At returns the map that covers the entries below covered. Those from there on were not inserted, or are in the store only.
	At(ctx context.Context, covered uint64) (mapView, error)
}

// mapView is the map as of one position. It stays as it is, and does not wait for the sequencer, until the last holder releases it.
type mapView interface {
	Root() registry.Hash
	Len() int
	Get(ctx context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error)
	Prove(ctx context.Context, k registry.Key) ([]byte, error)
	Bucket(ctx context.Context, prefix registry.Key, bits int) (*registry.Bucket, error)
	Retain() bool
	Release()
}

// memoryMap is package prefixmap's map.
type memoryMap struct{ *prefixmap.Map }

func (m memoryMap) Get(_ context.Context, k registry.Key) (i uint64, v registry.Value, ok bool, err error) {
	i, v, ok = m.Map.Get(k)
	return i, v, ok, nil
}

func (m memoryMap) Insert(_ context.Context, k registry.Key, i uint64, v registry.Value) (bool, error) {
	return m.Map.Insert(k, i, v), nil
}

func (m memoryMap) Commit(context.Context, uint64) (mapView, error) {
	return memoryView{m.Snapshot()}, nil
}

func (m memoryMap) At(context.Context, uint64) (mapView, error) { return memoryView{m.Snapshot()}, nil }

type memoryView struct{ *prefixmap.Snapshot }

func (v memoryView) Get(_ context.Context, k registry.Key) (i uint64, value registry.Value, ok bool, err error) {
	i, value, ok = v.Snapshot.Get(k)
	return i, value, ok, nil
}

func (v memoryView) Prove(_ context.Context, k registry.Key) ([]byte, error) {
	return v.Snapshot.Prove(k), nil
}

func (v memoryView) Bucket(_ context.Context, prefix registry.Key, bits int) (*registry.Bucket, error) {
	return v.Snapshot.Bucket(prefix, bits), nil
}

// bucketMap is package bucketmap's map.
type bucketMap struct{ *bucketmap.Map }

func (m bucketMap) Commit(ctx context.Context, covered uint64) (mapView, error) {
	return m.Map.Commit(ctx, covered)
}

// At commits what a replay has inserted.
func (m bucketMap) At(ctx context.Context, covered uint64) (mapView, error) {
	if covered > m.Covered() {
		return m.Map.Commit(ctx, covered)
	}
	return m.Map.At(ctx, covered)
}

// errMapUnusable is returned for a map on disk that is not the map of this log. It is only a shortcut: the log is replayed.
var errMapUnusable = errors.New("the map on disk cannot be used")

// rebuild makes the state and the epochs that readers see out of the map on disk and the entries that it does not cover, or, if it
// cannot be used, out of the whole log.
func (s *Server) rebuild(ctx context.Context, size uint64) error {
	err := s.rebuildFrom(ctx, size, s.openMap)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errMapUnusable) || errors.Is(err, bucketmap.ErrDamaged) || errors.Is(err, prefixmap.ErrDamaged) {
		if !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Log.Warn("the whole log is replayed", "cause", err)
		}
		err = s.rebuildFrom(ctx, size, s.emptyMap)
	}
	return err
}

// mapOnDisk is a map with its position: the size of the log up to and with the head that closed the epoch, 0 for the beginning.
type mapOnDisk struct {
	slotMap
	size uint64
}

func (s *Server) rebuildFrom(ctx context.Context, size uint64, open func(context.Context) (mapOnDisk, error)) error {
	m, err := open(ctx)
	if err != nil {
		return err
	}
	published, audited := s.archive.newest()
	s.seq.state = newState(m.slotMap)
	if m.size > 0 {
		if s.seq.state, err = s.stateAt(ctx, m); err != nil {
			return err
		}
	}
	if s.audited, err = s.epochAt(ctx, audited); err != nil {
		return err
	}
	if s.published, err = s.epochAt(ctx, published); err != nil {
		return err
	}
	for _, e := range []*epoch{s.audited, s.published} {
		if m.size > 0 && e != nil && e.snap.Root() != e.head.MapRoot {
			return fmt.Errorf("%w: it has another root than the log's head", errMapUnusable)
		}
	}
	return s.replay(ctx, size)
}

// openMap opens the map on disk at a position from which everything can be reached that readers see: entries can be added to it, not
// taken away.
func (s *Server) openMap(ctx context.Context) (mapOnDisk, error) {
	published, audited := s.archive.newest()
	first := audited
	if first == 0 {
		first = published
	}
	if s.cfg.Map == MapBuckets {
		m, err := bucketmap.Open(ctx, s.cfg.Store, bucketmap.Options{})
		switch {
		case err != nil:
			return mapOnDisk{}, err
		case first == 0 || m.Covered() < first-1:
			return mapOnDisk{slotMap: bucketMap{m}}, nil
		}
		return mapOnDisk{bucketMap{m}, first}, nil
	}
	m, covered, err := prefixmap.Load(filepath.Join(s.cfg.Dir, mapFile))
	switch {
	case err != nil:
		return mapOnDisk{}, err
	case covered >= first:
		return mapOnDisk{}, fmt.Errorf("%w: it covers %d entries, more than the epoch that is to be shown", errMapUnusable, covered)
	}
	s.saved.Store(covered + 1)
	return mapOnDisk{memoryMap{m}, covered + 1}, nil
}

func (s *Server) emptyMap(ctx context.Context) (mapOnDisk, error) {
	s.saved.Store(0)
	if s.cfg.Map == MapMemory {
		return mapOnDisk{slotMap: memoryMap{prefixmap.New()}}, nil
	}
	if err := bucketmap.Erase(ctx, s.cfg.Store); err != nil {
		return mapOnDisk{}, err
	}
	m, err := bucketmap.Open(ctx, s.cfg.Store, bucketmap.Options{})
	return mapOnDisk{slotMap: bucketMap{m}}, err
}

// stateAt returns the state at the map's position without the entries before. The tiles must hash to the root that was published there,
// the map must have the root that the head states, and the trust lists must be the ones in the log.
func (s *Server) stateAt(ctx context.Context, m mapOnDisk) (*state, error) {
	unusable := func(err error) (*state, error) { return nil, fmt.Errorf("%w: %w", errMapUnusable, err) }
	st := newState(m.slotMap)
	st.size = m.size
	signed, err := s.archive.note(ctx, m.size)
	if err != nil {
		return unusable(err)
	}
	cp, err := registry.OpenCheckpoint(signed, s.cfg.Policy, s.cfg.Auditors)
	if err != nil {
		return unusable(err)
	}
	nodes, err := client.FetchRangeNodes(ctx, m.size, s.log.readTile)
	if err != nil {
		return unusable(err)
	}
	if st.tree, err = treeFactory.NewRange(0, m.size, nodes); err != nil {
		return unusable(err)
	}
	if root, err := st.root(); err != nil || root != cp.Root {
		return unusable(errors.Join(err, errors.New("the tiles do not hash to the checkpoint that was published")))
	}
	if err := s.readHead(ctx, st); err != nil {
		return unusable(err)
	}
	if err := s.readLists(ctx, st); err != nil {
		return unusable(err)
	}
	snap, err := m.At(ctx, st.headAt)
	if err != nil {
		return unusable(err)
	}
	defer snap.Release()
	if snap.Root() != st.head.MapRoot || uint64(snap.Len()) != st.head.MapSize {
		return unusable(errors.New("it has another root than the log's head"))
	}
	return st, nil
}

// readHead reads the head that is the last entry.
func (s *Server) readHead(ctx context.Context, st *state) error {
	data, err := s.log.entry(ctx, st.size-1, st.size)
	if err != nil {
		return err
	}
	entry, err := registry.ParseEntry(data)
	if err != nil {
		return err
	}
	head, ok := entry.(registry.HeadEntry)
	if !ok {
		return fmt.Errorf("entry %d is not a head", st.size-1)
	}
	st.setHead(head, st.size-1, data)
	return nil
}

// readLists reads the trust list versions that the last head counts. Where they stand in the log is noted in the store, and looked up there.
func (s *Server) readLists(ctx context.Context, st *state) error {
	for n := uint64(1); n <= st.head.ListN; n++ {
		index, err := s.listIndex(ctx, n)
		if err != nil {
			return err
		}
		data, err := s.log.entry(ctx, index, st.size)
		if err != nil {
			return err
		}
		entry, err := registry.ParseEntry(data)
		if err != nil {
			return err
		}
		e, ok := entry.(registry.ListEntry)
		if !ok || e.N != n {
			return fmt.Errorf("entry %d is not version %d of the trust list", index, n)
		}
		list, err := s.storedList(ctx, e)
		if err != nil {
			return err
		}
		st.lists = append(st.lists, trustlist.Version{List: list, Index: index})
	}
	return nil
}

// saveMap writes the map of the newest audited epoch to its file, unless it is there.
func (s *Server) saveMap() {
	if !s.saving.TryLock() {
		return
	}
	defer s.saving.Unlock()
	s.mu.RLock()
	e := s.audited
	if e == nil || e.size <= s.saved.Load() {
		s.mu.RUnlock()
		return
	}
	v, ok := e.snap.(memoryView)
	ok = ok && v.Retain()
	s.mu.RUnlock()
	if !ok {
		return
	}
	defer v.Release()
	if err := v.Save(filepath.Join(s.cfg.Dir, mapFile), e.head.Covered); err != nil {
		s.cfg.Log.Warn("the map was not saved: a restart will take longer", "error", err)
		return
	}
	s.saved.Store(e.size)
	s.savedEpoch.Store(e.head.Epoch)
}
