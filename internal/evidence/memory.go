package evidence

import (
	"sync"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Memory remembers what was verified of one presentation. Each signature is met several times: when the response is verified, when the records are
// looked up, when the file is filled, when it is read again and when it is sealed. What is in it was verified in full, under the key or the
// policies that it is asked for again with; octets that differ in anything are not known. It is for one goroutine. Nil remembers nothing: whoever
// verifies a file from elsewhere has none.
type Memory struct {
	read        map[string]*sdjwt.Unverified // by compact form
	credentials map[*sdjwt.Unverified]verifiedCredential
	claims      map[*sdjwt.Verified]any // of those credentials, read as their type
	lists       map[listKey]*trustlist.List
	readers     map[string]*trustlist.Reader // by the anchor's thumbprint

	mu          sync.Mutex // guards checkpoints, which are opened on all processors
	checkpoints map[checkpointKey]*registry.Checkpoint
}

// verifiedCredential is a presentation of a credential that was verified.
type verifiedCredential struct {
	key      keys.Public // that the issuer's signature was verified with
	verified *sdjwt.Verified
}

// listKey is a version of the trust list under an anchor.
type listKey struct{ jwt, anchor string }

// checkpointKey is a checkpoint as it was written, and under which policies it was opened.
type checkpointKey struct {
	note      string
	witnesses *registry.Policy
	auditors  *registry.Policy // nil where nobody's lines were looked at
}

// NewMemory returns a memory for one presentation.
func NewMemory() *Memory {
	return &Memory{
		read: make(map[string]*sdjwt.Unverified), credentials: make(map[*sdjwt.Unverified]verifiedCredential), claims: make(map[*sdjwt.Verified]any), lists: make(map[listKey]*trustlist.List), readers: make(map[string]*trustlist.Reader),
		checkpoints: make(map[checkpointKey]*registry.Checkpoint),
	}
}

// Remember takes a presented credential that the caller has read, and verified with a key for the KeyBinding of [MakeOptions].
func (m *Memory) Remember(compact string, parsed *sdjwt.Unverified, key keys.Public, verified *sdjwt.Verified) {
	m.read[compact] = parsed
	m.credentials[parsed] = verifiedCredential{key, verified}
}

// List is [trustlist.Verify].
func (m *Memory) List(jwt string, anchor keys.Public) (*trustlist.List, error) {
	key := listKey{jwt, anchor.Thumbprint()}
	if list := m.lists[key]; list != nil {
		return list, nil
	}
	if m.readers[key.anchor] == nil {
		m.readers[key.anchor] = trustlist.NewReader(anchor)
	}
	list, err := m.readers[key.anchor].Verify(jwt)
	if err == nil {
		m.lists[key] = list
	}
	return list, err
}

// parse reads a credential.
func (m *Memory) parse(compact string) (*sdjwt.Unverified, error) {
	if m == nil {
		return sdjwt.Parse(compact)
	}
	if u := m.read[compact]; u != nil {
		return u, nil
	}
	u, err := sdjwt.Parse(compact)
	if err == nil {
		m.read[compact] = u
	}
	return u, err
}

// verify verifies a credential that parse has read. One that was verified with its key binding holds without an expectation of who it was made
// for as well; kb is nil exactly where there is no key binding.
func (m *Memory) verify(u *sdjwt.Unverified, key keys.Public, kb *sdjwt.ExpectKeyBinding) (*sdjwt.Verified, error) {
	if m != nil {
		if c, ok := m.credentials[u]; ok && c.key.Equal(key) && (c.verified.KB != nil) == (kb != nil) {
			return c.verified, nil
		}
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: algs, KeyBinding: kb})
	if err == nil && m != nil {
		m.credentials[u] = verifiedCredential{key, v}
	}
	return v, err
}

// checkpoint is [registry.OpenCheckpoint].
func (m *Memory) checkpoint(note string, witnesses, auditors *registry.Policy) (*registry.Checkpoint, error) {
	if m == nil {
		return registry.OpenCheckpoint([]byte(note), witnesses, auditors)
	}
	key := checkpointKey{note: note, witnesses: witnesses}
	if len(auditors.Members) > 0 {
		key.auditors = auditors
	}
	m.mu.Lock()
	c := m.checkpoints[key]
	m.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := registry.OpenCheckpoint([]byte(note), witnesses, auditors)
	if err == nil {
		m.mu.Lock()
		m.checkpoints[key] = c
		key.note = string(c.Note)
		m.checkpoints[key] = c
		m.mu.Unlock()
	}
	return c, err
}

// checkpointExactly is [registry.OpenCheckpointExactly].
func (m *Memory) checkpointExactly(note string, witnesses, auditors *registry.Policy) (*registry.Checkpoint, error) {
	c, err := m.checkpoint(note, witnesses, auditors)
	if err == nil && string(c.Note) != note {
		return nil, registry.ErrNotExact
	}
	return c, err
}

// decode is [attestation.Decode].
func (m *Memory) decode(vct string, v *sdjwt.Verified) (any, error) {
	if m == nil {
		return attestation.Decode(vct, v.Claims)
	}
	if claims := m.claims[v]; claims != nil && v.Claims["vct"] == vct {
		return claims, nil
	}
	claims, err := attestation.Decode(vct, v.Claims)
	if err == nil {
		m.claims[v] = claims
	}
	return claims, err
}
