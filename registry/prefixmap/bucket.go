package prefixmap

import "akashi/registry"

// Bucket returns all members whose keys begin with the first bits bits of prefix, with what proves that under the snapshot's root.
func (s *Snapshot) Bucket(prefix registry.Key, bits int) *registry.Bucket {
	b := &registry.Bucket{Prefix: prefix.PrefixBits(bits), Bits: bits}
	if s.top == none {
		return b
	}
	near := s.arena.leaf(s.arena.walk(s.top, b.Prefix))
	common := near.key.CommonBits(b.Prefix)
	r := s.descend(&b.Way, b.Prefix, min(common, bits))
	switch {
	case common >= bits:
		b.Members = s.arena.appendMembers(nil, r)
	case r.isLeaf():
		endAtLeaf(&b.Way, b.Prefix, s.arena.leaf(r))
	default:
		s.endAtInner(&b.Way, near.key, s.arena.inner(r))
	}
	return b
}

// appendMembers appends the members at and below r, sorted by key.
func (a *arena) appendMembers(to []registry.MapMember, r ref) []registry.MapMember {
	if r.isLeaf() {
		l := a.leaf(r)
		return append(to, registry.MapMember{Key: l.key, Index: l.index, Value: l.value})
	}
	n := a.inner(r)
	return a.appendMembers(a.appendMembers(to, n.child[0]), n.child[1])
}
