package evidence

import (
	"sync"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// VerifiedCredential is a presentation of a credential that was read and verified.
type VerifiedCredential struct {
	Compact  string
	Parsed   *sdjwt.Unverified
	Key      keys.Public // that the issuer's signature was verified with
	Verified *sdjwt.Verified
}

// memory remembers what was verified while a file is made: each signature is met when the records are looked up, when the file is filled, and
// when it is read again. What is in it was verified in full, under the key or the policies that it is asked for again with; octets that differ
// in anything are not known. Nil remembers nothing: whoever verifies a file from elsewhere has none.
type memory struct {
	credentials map[string]*VerifiedCredential // by compact form
	lists       map[string]*trustlist.List     // by JWT, of the pinned anchor

	mu          sync.Mutex // guards checkpoints, which are opened on all processors
	checkpoints map[checkpointKey]*registry.Checkpoint
}

// checkpointKey is a checkpoint as it was written, and whether the lines of auditors were looked at.
type checkpointKey struct {
	note    string
	audited bool
}

func newMemory(verified []VerifiedCredential) *memory {
	m := &memory{credentials: make(map[string]*VerifiedCredential), checkpoints: make(map[checkpointKey]*registry.Checkpoint), lists: make(map[string]*trustlist.List)}
	for i := range verified {
		m.credentials[verified[i].Compact] = &verified[i]
	}
	return m
}

// parse reads a credential.
func (m *memory) parse(compact string) (*sdjwt.Unverified, error) {
	if m != nil {
		if c := m.credentials[compact]; c != nil {
			return c.Parsed, nil
		}
	}
	return sdjwt.Parse(compact)
}

// verify verifies a credential that parse has read. One that was verified with its key binding holds without an expectation of who it was made
// for as well; kb is nil exactly where there is no key binding.
func (m *memory) verify(u *sdjwt.Unverified, compact string, key keys.Public, kb *sdjwt.ExpectKeyBinding) (*sdjwt.Verified, error) {
	if m != nil {
		if c := m.credentials[compact]; c != nil && c.Key.Equal(key) && (c.Verified.KB != nil) == (kb != nil) {
			return c.Verified, nil
		}
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: algs, KeyBinding: kb})
	if err == nil && m != nil {
		m.credentials[compact] = &VerifiedCredential{compact, u, key, v}
	}
	return v, err
}

// checkpoint is [registry.OpenCheckpoint].
func (m *memory) checkpoint(note string, witnesses, auditors *registry.Policy) (*registry.Checkpoint, error) {
	if m == nil {
		return registry.OpenCheckpoint([]byte(note), witnesses, auditors)
	}
	key := checkpointKey{note, len(auditors.Members) > 0}
	m.mu.Lock()
	c := m.checkpoints[key]
	m.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := registry.OpenCheckpoint([]byte(note), witnesses, auditors)
	if err == nil {
		m.mu.Lock()
		m.checkpoints[key], m.checkpoints[checkpointKey{string(c.Note), key.audited}] = c, c
		m.mu.Unlock()
	}
	return c, err
}

// checkpointExactly is [registry.OpenCheckpointExactly].
func (m *memory) checkpointExactly(note string, witnesses, auditors *registry.Policy) (*registry.Checkpoint, error) {
	c, err := m.checkpoint(note, witnesses, auditors)
	if err == nil && string(c.Note) != note {
		return nil, registry.ErrNotExact
	}
	return c, err
}

// list verifies a version of the trust list.
func (m *memory) list(reader *trustlist.Reader, jwt string) (*trustlist.List, error) {
	if m == nil {
		return reader.Verify(jwt)
	}
	if list := m.lists[jwt]; list != nil {
		return list, nil
	}
	list, err := reader.Verify(jwt)
	if err == nil {
		m.lists[jwt] = list
	}
	return list, err
}
