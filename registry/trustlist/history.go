package trustlist

import (
	"fmt"
	"slices"
	"time"
)

// Version is a list with the index of its entry in the log. That the entry stands there is for the caller to check
// ([List.Entry], registry.VerifyInclusion).
type Version struct {
	List  *List
	Index uint64
}

// History is all versions of the trust list up to some time.
type History struct{ versions []Version }

// NewHistory orders versions: they must be 1, 2, 3 ... without gaps, logged in that order, and each a valid successor of the one before.
func NewHistory(versions []Version) (*History, error) {
	if len(versions) == 0 {
		return nil, fmt.Errorf("%w: no version at all", ErrSuccessor)
	}
	if n := versions[0].List.N; n != 1 {
		return nil, fmt.Errorf("%w: the first version is %d, versions below are missing", ErrSuccessor, n)
	}
	for i := 1; i < len(versions); i++ {
		if err := ValidateSuccessor(versions[i-1].List, versions[i].List); err != nil {
			return nil, err
		}
		if versions[i].Index <= versions[i-1].Index {
			return nil, fmt.Errorf("%w: version %d is not logged after version %d", ErrSuccessor, i+1, i)
		}
	}
	return &History{slices.Clone(versions)}, nil
}

// At returns the list in force for the log entry at index: the last version logged below it. It is nil before the first.
func (h *History) At(index uint64) *List {
	var l *List
	for _, v := range h.versions {
		if v.Index < index {
			l = v.List
		}
	}
	return l
}

// Latest returns the newest version.
func (h *History) Latest() *List { return h.versions[len(h.versions)-1].List }

// Versions returns all versions in order.
func (h *History) Versions() []Version { return slices.Clone(h.versions) }

// Compromised reports whether an entry is void because its signing or submission key, named by thumbprint, was compromised: some version, also
// a later one than that in force for the entry, says so since a time before the entry's existed_by.
func (h *History) Compromised(kid string, existedBy time.Time) bool {
	for _, v := range h.versions {
		for _, e := range v.List.Entities {
			if since, ok := e.compromisedSince(kid); ok && existedBy.After(since) {
				return true
			}
		}
	}
	return false
}

func (e *Entity) compromisedSince(kid string) (time.Time, bool) {
	for _, c := range e.Compromised {
		if c.Kid == kid {
			return c.Since, true
		}
	}
	return time.Time{}, false
}

// ValidateSuccessor checks what one version may change in the one before. Entities and keys may come, keys may go, an entity leaves by
// its until date. Refused are: a gap in n, an earlier iat, an entity that vanishes, a key or root that moves to another entity, a mark
// of compromise that vanishes or moves to a later time, and a mark on a key that its entity never had. Services of status lists come and go.
func ValidateSuccessor(prev, next *List) error {
	if next.N != prev.N+1 {
		return fmt.Errorf("%w: version %d does not follow version %d", ErrSuccessor, next.N, prev.N)
	}
	if next.IssuedAt.Before(prev.IssuedAt) {
		return fmt.Errorf("%w: version %d was issued before version %d", ErrSuccessor, next.N, prev.N)
	}
	for _, old := range prev.Entities {
		e, ok := next.EntityByID(old.ID)
		if !ok {
			return fmt.Errorf("%w: %s is missing, end it with until instead", ErrSuccessor, old.ID)
		}
		if err := keepsMarks(old, e); err != nil {
			return err
		}
	}
	if err := keepsOwners(prev, next); err != nil {
		return err
	}
	return newMarksAreOfOwnKeys(prev, next)
}

func keepsMarks(old, e *Entity) error {
	for _, c := range old.Compromised {
		since, ok := e.compromisedSince(c.Kid)
		if !ok || since.After(c.Since) {
			return fmt.Errorf("%w: %s takes back that a key was compromised", ErrSuccessor, old.ID)
		}
	}
	return nil
}

func keepsOwners(prev, next *List) error {
	for kid := range next.allKeys() {
		if was, is := prev.owner(kid), next.owner(kid); was != "" && was != is {
			return fmt.Errorf("%w: a key moves from %s to %s", ErrSuccessor, was, is)
		}
	}
	for der, e := range next.byRoot {
		if was := prev.byRoot[der]; was != nil && was.ID != e.ID {
			return fmt.Errorf("%w: a root moves from %s to %s", ErrSuccessor, was.ID, e.ID)
		}
	}
	return nil
}

// newMarksAreOfOwnKeys catches a mistyped kid. Keys below a root are not listed, so marks of an entity with roots are not checked.
func newMarksAreOfOwnKeys(prev, next *List) error {
	for _, e := range next.Entities {
		old, _ := prev.EntityByID(e.ID)
		if len(e.Roots) > 0 || old != nil && len(old.Roots) > 0 {
			continue
		}
		for _, c := range e.Compromised {
			if old != nil {
				if _, marked := old.compromisedSince(c.Kid); marked {
					continue
				}
			}
			if prev.owner(c.Kid) != e.ID && next.owner(c.Kid) != e.ID {
				return fmt.Errorf("%w: %s marks a key as compromised that it does not have", ErrSuccessor, e.ID)
			}
		}
	}
	return nil
}

// owner returns the id of the entity, or the URI of the status list service, that has the key, "" if none has.
func (l *List) owner(kid string) string {
	for _, index := range []map[string]listedKey{l.bySigning, l.bySubmission} {
		if k, ok := index[kid]; ok {
			return k.entity.ID
		}
	}
	return l.byStatus[kid].uri
}

func (l *List) allKeys() map[string]bool {
	all := make(map[string]bool)
	for kid := range l.bySigning {
		all[kid] = true
	}
	for kid := range l.bySubmission {
		all[kid] = true
	}
	for kid := range l.byStatus {
		all[kid] = true
	}
	return all
}
