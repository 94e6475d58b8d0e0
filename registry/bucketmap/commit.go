package bucketmap

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"akashi/internal/store"
	"akashi/registry"
)

// commit is one epoch on its way into the store.
//
// The buckets in the store are always the leaves of one tree: a bucket and those that it is split into change places in one
// transaction. So whatever a crash cuts off, each member is in one place, and those that do not count yet are known by their index.
type commit struct {
	m       *Map
	top     *node
	covered uint64

	changes []change // not yet written
}

// change replaces one bucket, or puts the first ones where there was none.
type change struct {
	gone    []path // the bucket that is no longer there, if any
	buckets []fullBucket
}

// fullBucket is a bucket with its place and its members.
type fullBucket struct {
	bucketAt
	members []registry.MapMember
}

func (c *commit) run(ctx context.Context, sorted []registry.MapMember) error {
	for len(sorted) > membersPerPass {
		if err := c.pass(ctx, sorted[:membersPerPass]); err != nil {
			return err
		}
		if err := c.flush(ctx, nil); err != nil {
			return err
		}
		sorted = sorted[membersPerPass:]
	}
	if err := c.pass(ctx, sorted); err != nil {
		return err
	}
	return c.flush(ctx, &state{covered: c.covered, count: uint64(countOf(c.top)), root: rootOf(c.top)})
}

// pass works out the top levels and the changes after inserting members.
func (c *commit) pass(ctx context.Context, sorted []registry.MapMember) error {
	return c.m.store.View(ctx, func(tx store.Tx) (err error) {
		c.top, err = c.insert(tx, c.top, nil, sorted)
		return err
	})
}

func (c *commit) insert(tx store.Tx, n *node, p path, sorted []registry.MapMember) (*node, error) {
	switch {
	case len(sorted) == 0:
		return n, nil
	case n == nil || n.isBucket():
		return c.insertHere(tx, n, p, sorted)
	}
	at := half(sorted, p)
	zero, err := c.insert(tx, n.child[0], p.child(0), sorted[:at])
	if err != nil {
		return nil, err
	}
	one, err := c.insert(tx, n.child[1], p.child(1), sorted[at:])
	if err != nil {
		return nil, err
	}
	return join(p, zero, one), nil
}

// half returns the place of the first member that has the bit after path set. All begin with path.
func half(sorted []registry.MapMember, p path) int {
	return sort.Search(len(sorted), func(i int) bool { return sorted[i].Key.Bit(byte(len(p))) == 1 })
}

// insertHere inserts members into the bucket n, or where there is none.
func (c *commit) insertHere(tx store.Tx, n *node, p path, sorted []registry.MapMember) (*node, error) {
	var old []registry.MapMember
	if n != nil {
		var err error
		if old, err = c.bucket(tx, n, p); err != nil {
			return nil, err
		}
	}
	all := merge(old, sorted)
	var ch change
	if n != nil && len(all) > c.m.bucketSize {
		ch.gone = []path{p}
	}
	place := ch.split(p, all, c.m.bucketSize)
	c.changes = append(c.changes, ch)
	return place, nil
}

func (c *commit) bucket(tx store.Tx, n *node, p path) ([]registry.MapMember, error) {
	if members, ok := c.m.loaded[n]; ok {
		return members, nil
	}
	return checkedMembers(tx, n, p, c.covered)
}

// split cuts members into buckets and returns their place. All begin with p.
func (ch *change) split(p path, sorted []registry.MapMember, size int) *node {
	if len(sorted) <= size {
		n := bucketNode(sorted)
		if n != nil {
			ch.buckets = append(ch.buckets, fullBucket{bucketAt{p, n}, sorted})
		}
		return n
	}
	at := half(sorted, p)
	zero := ch.split(p.child(0), sorted[:at], size)
	return join(p, zero, ch.split(p.child(1), sorted[at:], size))
}

// merge merges two sorted lists that have no key in common.
func merge(a, b []registry.MapMember) []registry.MapMember {
	all := append(append(make([]registry.MapMember, 0, len(a)+len(b)), a...), b...)
	registry.SortMembers(all)
	return all
}

// flush writes the changes, in as few transactions as hold them, the last one together with the state.
func (c *commit) flush(ctx context.Context, last *state) error {
	for changes := c.changes; len(changes) > 0 || last != nil; {
		n := fitting(changes, c.m.perUpdate)
		with := last
		if n < len(changes) {
			with = nil
		}
		if err := c.m.write(ctx, changes[:n], with); err != nil {
			return err
		}
		if changes = changes[n:]; len(changes) == 0 {
			break
		}
	}
	c.changes = nil
	return nil
}

// fitting returns how many changes are written at once: at least one.
func fitting(changes []change, limit int) int {
	bytes := 0
	for n, ch := range changes {
		if bytes += ch.size(); bytes > limit && n > 0 {
			return n
		}
	}
	return len(changes)
}

func (ch change) size() int {
	n := 0
	for _, p := range ch.gone {
		n += len(keyTop) + len(keyBucket) + 2*len(p)
	}
	for _, b := range ch.buckets {
		n += len(keyTop) + len(keyBucket) + 2*len(b.path) + topSize + memberSize*len(b.members)
	}
	return n
}

func (m *Map) write(ctx context.Context, changes []change, last *state) error {
	return m.store.Update(ctx, func(tx store.Tx) error {
		for _, ch := range changes {
			if err := ch.write(tx); err != nil {
				return err
			}
		}
		if last == nil {
			return nil
		}
		return tx.Set([]byte(keyState), last.marshal())
	})
}

func (ch change) write(tx store.Tx) error {
	for _, p := range ch.gone {
		if err := errors.Join(tx.Delete(p.key(keyTop)), tx.Delete(p.key(keyBucket))); err != nil {
			return err
		}
	}
	for _, b := range ch.buckets {
		err := errors.Join(tx.Set(b.path.key(keyTop), marshalTop(b.node)), tx.Set(b.path.key(keyBucket), marshalMembers(b.members)))
		if err != nil {
			return err
		}
	}
	return nil
}

// loader reads the top levels, and tidies up.
type loader struct {
	m     *Map
	state state
	top   *node
}

func (l *loader) run(ctx context.Context) error {
	buckets, err := l.read(ctx)
	if err != nil {
		return err
	}
	if buckets, err = l.tidy(ctx, buckets); err != nil {
		return err
	}
	if l.top, err = joinAll(buckets, 0); err != nil {
		return err
	}
	if rootOf(l.top) != l.state.root || uint64(countOf(l.top)) != l.state.count {
		return fmt.Errorf("%w: its buckets have another root than it says", ErrDamaged)
	}
	return nil
}

func (l *loader) read(ctx context.Context) (buckets []bucketAt, err error) {
	err = l.m.store.View(ctx, func(tx store.Tx) (err error) {
		if l.state, err = readState(tx); err != nil {
			return err
		}
		return tx.Scan([]byte(keyTop), func(key, value []byte) error {
			b, err := parseTop(key, value)
			buckets = append(buckets, b)
			return err
		})
	})
	return buckets, err
}

// tidy takes out of the buckets the members of an epoch that was not finished.
func (l *loader) tidy(ctx context.Context, buckets []bucketAt) ([]bucketAt, error) {
	kept := buckets[:0]
	var changes []change
	err := l.m.store.View(ctx, func(tx store.Tx) error {
		for _, b := range buckets {
			if b.node.newest >= l.state.covered {
				members, err := readMembers(tx, b.path, l.state.covered)
				if err != nil {
					return err
				}
				ch := change{gone: []path{b.path}}
				if b.node = bucketNode(members); b.node != nil {
					ch = change{buckets: []fullBucket{{b, members}}}
				}
				changes = append(changes, ch)
			}
			if b.node != nil {
				kept = append(kept, b)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := commit{m: l.m, changes: changes}
	return kept, c.flush(ctx, nil)
}
