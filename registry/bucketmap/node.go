package bucketmap

import (
	"errors"
	"fmt"

	"akashi/internal/store"
	"akashi/registry"
)

// node is a place in the top levels: a bucket, or a place above buckets, where the keys that have a 0 as their next bit go to child[0].
// A place without members is nil. Nodes never change, so that versions of the map share all that they have in common.
type node struct {
	hash   registry.Hash // root of the map of the members below alone
	newest uint64        // their greatest index
	count  int
	child  [2]*node // both nil in a bucket, never in others; one alone has the same hash as its parent
}

func (n *node) isBucket() bool { return n.child == [2]*node{} }

// bucketNode returns the node of a bucket with these members, nil for none.
func bucketNode(sorted []registry.MapMember) *node {
	if len(sorted) == 0 {
		return nil
	}
	n := &node{hash: registry.MapRoot(sorted), count: len(sorted)}
	for _, m := range sorted {
		n.newest = max(n.newest, m.Index)
	}
	return n
}

// join returns the node above two places, at the given path.
func join(p path, zero, one *node) *node {
	n := &node{child: [2]*node{zero, one}}
	for _, c := range n.child {
		if c != nil {
			n.newest, n.count, n.hash = max(n.newest, c.newest), n.count+c.count, c.hash
		}
	}
	switch {
	case zero == nil && one == nil:
		return nil
	case zero != nil && one != nil:
		n.hash = registry.InnerHash(byte(len(p)), p.prefix(), zero.hash, one.hash)
	}
	return n
}

func rootOf(top *node) registry.Hash {
	if top == nil {
		return registry.EmptyRoot()
	}
	return top.hash
}

func countOf(top *node) int {
	if top == nil {
		return 0
	}
	return top.count
}

// prefix returns the path's bits, padded with zeros.
func (p path) prefix() registry.Key {
	var k registry.Key
	for d, bit := range p {
		k[d>>3] |= bit << (7 - d&7)
	}
	return k
}

// bucketAt is a bucket with its place.
type bucketAt struct {
	path path
	node *node
}

// joinAll returns the top levels over buckets that are sorted by path, all of which begin with the first depth bits of the first.
func joinAll(buckets []bucketAt, depth int) (*node, error) {
	switch {
	case len(buckets) == 0:
		return nil, nil
	case len(buckets[0].path) == depth:
		if len(buckets) > 1 {
			return nil, fmt.Errorf("%w: one bucket lies inside another", ErrDamaged)
		}
		return buckets[0].node, nil
	}
	at := 0
	for at < len(buckets) && buckets[at].path[depth] == 0 {
		at++
	}
	zero, err0 := joinAll(buckets[:at], depth+1)
	one, err1 := joinAll(buckets[at:], depth+1)
	if err := errors.Join(err0, err1); err != nil {
		return nil, err
	}
	return join(buckets[0].path[:depth], zero, one), nil
}

// rewind returns the place as it was at an earlier position: without the members whose index is not below covered.
func (n *node) rewind(tx store.Tx, p path, covered uint64) (*node, error) {
	switch {
	case n == nil || n.newest < covered:
		return n, nil
	case n.isBucket():
		members, err := readMembers(tx, p, covered)
		return bucketNode(members), err
	}
	var child [2]*node
	for bit := range child {
		var err error
		if child[bit], err = n.child[bit].rewind(tx, p.child(bit), covered); err != nil {
			return nil, err
		}
	}
	return join(p, child[0], child[1]), nil
}

// child returns the path one bit further, in a slice of its own.
func (p path) child(bit int) path { return append(p[:len(p):len(p)], byte(bit)) }
