// Package prefixmap keeps the registry's map in memory: a write-once binary trie over 256-bit keys with the hashes and proofs that
// package registry describes, in which one goroutine inserts while others prove against snapshots.
//
// A leaf is 72 bytes and an inner node 48, both in arenas without pointers, so that the collector has nothing to look at: about 121
// bytes a key. Hashes are worked out once per epoch, in [Map.Snapshot], not once per insert. Snapshots share all nodes that did not
// change; what only a released snapshot could see is used again.
//
// The log is the truth, and a map is rebuilt by inserting its slot entries in the order of their index. A file ([Snapshot.Save], [Load])
// makes that short: it holds the map as of one position in the log, from which the replay goes on.
//
// Left out: storage of every epoch as it comes. Package bucketmap does that, for the same map.
package prefixmap

import (
	"slices"
	"sync"

	"akashi/registry"
)

// Map is the trie that grows. Its methods may be called from several goroutines.
//
// It holds at most 2^31 keys, which would take 260 GB.
type Map struct {
	mu    sync.Mutex // guards everything below
	arena arena      // the nodes, those of snapshots included
	root  ref
	count int

	epoch     uint32      // inner nodes made now bear it; grows with each snapshot
	snapshots []*Snapshot // not yet released, oldest first
	dead      []ref       // nodes of the newest snapshot that the map has replaced since
	free      []ref       // nodes that nobody sees
}

// New returns an empty map.
func New() *Map { return &Map{root: none, epoch: 1} }

// Len returns the number of keys.
func (m *Map) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// Get returns the index and value at k, those inserted since the last snapshot included.
func (m *Map) Get(k registry.Key) (i uint64, v registry.Value, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.arena.get(m.root, k)
}

// Insert puts the member k with index i and value v into the map. It returns false, and changes nothing, when k is a member already:
// the first write wins.
func (m *Map) Insert(k registry.Key, i uint64, v registry.Value) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.root == none {
		m.root = m.arena.newLeaf(k, i, v)
		m.count = 1
		return true
	}
	nearest := m.arena.leaf(m.arena.walk(m.root, k))
	at := nearest.key.CommonBits(k)
	if at == 256 {
		return false
	}
	m.insertAt(byte(at), k, m.arena.newLeaf(k, i, v))
	m.count++
	return true
}

// insertAt hangs leaf into a new inner node that tests bit d, below the nodes that test earlier bits. All nodes above it will need
// another hash, and are copied first where a snapshot shows them.
func (m *Map) insertAt(d byte, k registry.Key, leaf ref) {
	at := &m.root
	for !at.isLeaf() && m.arena.inner(*at).depth < d {
		n := m.own(at)
		n.stale = true
		at = &n.child[k.Bit(n.depth)]
	}
	r, n := m.newInner()
	side := k.Bit(d)
	n.depth, n.stale = d, true
	n.child[side], n.child[1-side] = leaf, *at
	*at = r
}

// own returns the inner node at *at for writing: itself when no snapshot shows it, else a copy that takes its place.
func (m *Map) own(at *ref) *inner {
	old := m.arena.inner(*at)
	if len(m.snapshots) == 0 || old.born > m.snapshots[len(m.snapshots)-1].epoch {
		return old
	}
	r, n := m.newInner()
	*n = *old
	n.born = m.epoch
	m.dead = append(m.dead, *at)
	*at = r
	return n
}

// newInner returns a node of the present epoch, with whatever content it had before.
func (m *Map) newInner() (ref, *inner) {
	var r ref
	if last := len(m.free) - 1; last >= 0 {
		r, m.free = m.free[last], m.free[:last]
	} else {
		r = m.arena.newInner()
	}
	n := m.arena.inner(r)
	n.born = m.epoch
	return r, n
}

// Snapshot works out the root and returns the map as it is now. It stays as it is while later inserts happen, until released.
func (m *Map) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &Snapshot{m: m, arena: m.arena, top: m.root, count: m.count, epoch: m.epoch, dead: m.dead}
	s.hash = registry.EmptyRoot()
	if m.root != none {
		s.hash, _ = m.arena.rehash(m.root)
	}
	s.holders.Store(1)
	m.snapshots = append(m.snapshots, s)
	m.dead = nil
	m.epoch++
	return s
}

// forget takes s out of the snapshots and frees the nodes that only s showed.
//
// Each snapshot has the list of nodes that its predecessor shows and it does not; the map itself has one against the newest snapshot.
// So a node in the successor's list was shown by s. If it is younger than the predecessor of s, nobody else shows it. All others, like
// those in the list of s, are now what the successor lacks against the predecessor.
func (m *Map) forget(s *Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.Index(m.snapshots, s)
	next := &m.dead
	if at+1 < len(m.snapshots) {
		next = &m.snapshots[at+1].dead
	}
	var before uint32
	if at > 0 {
		before = m.snapshots[at-1].epoch
	}
	kept := s.dead
	for _, r := range *next {
		if m.arena.inner(r).born > before {
			m.free = append(m.free, r)
		} else {
			kept = append(kept, r)
		}
	}
	*next = kept
	s.dead = nil
	m.snapshots = slices.Delete(m.snapshots, at, at+1)
}
