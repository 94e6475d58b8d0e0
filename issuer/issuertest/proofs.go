package issuertest

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/registry"
)

// Signers are a log, four witnesses of whom three are a quorum, and two auditors who are one.
type Signers struct {
	Policy, Auditors *registry.Policy

	Log       note.Signer
	Cosigners []note.Signer             // witnesses, then auditors
	Absent    int                       // cosigners that do not sign, from the end
	Head      func(*registry.HeadEntry) // spoils heads before they are signed, where set
	proving   func(err error)           // ends the test
}

// NewSigners makes keys and policies. Cosigners sign with the clock's time.
func NewSigners(t testing.TB, clock func() time.Time) *Signers {
	t.Helper()
	s := &Signers{proving: func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}}
	skey, vkey, err := note.GenerateKey(rand.Reader, Origin)
	s.proving(err)
	s.Log, err = note.NewSigner(skey)
	s.proving(err)
	members := func(name string, n int) (out []registry.Member) {
		for i := range n {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			s.proving(err)
			full := fmt.Sprintf("%s%d.example", name, i)
			signer, err := registry.NewCosigner(full, private, clock)
			s.proving(err)
			s.Cosigners = append(s.Cosigners, signer)
			out = append(out, registry.Member{Name: full, VKey: registry.CosignerVKey(full, public)})
		}
		return out
	}
	s.Policy, err = registry.NewPolicy(vkey, "", members("w", 4), 3)
	s.proving(err)
	s.Auditors, err = registry.NewPolicy(vkey, "", members("a", 2), 2)
	s.proving(err)
	return s
}

// State is a log with a head as its last entry, and what is proven under it.
type State struct {
	Members []registry.MapMember
	Head    registry.HeadProof

	s      *Signers
	hashes []tlog.Hash // stored hashes
	size   int64
}

// State closes the entries with a head.
func (s *Signers) State(entries [][]byte) *State {
	st := &State{s: s}
	for i, e := range entries {
		st.add(e)
		if entry, err := registry.ParseEntry(e); err == nil {
			if slot, ok := entry.(registry.SlotEntry); ok {
				st.Members = append(st.Members, registry.MapMember{Key: slot.K, Index: uint64(i), Value: slot.V})
			}
		}
	}
	registry.SortMembers(st.Members)
	at := uint64(st.size)
	head := registry.HeadEntry{Epoch: 1, Covered: at, MapSize: uint64(len(st.Members)), MapRoot: registry.MapRoot(st.Members), PrevIndex: registry.NoPrevHead}
	if s.Head != nil {
		s.Head(&head)
	}
	st.add(head.Marshal())
	root, err := tlog.TreeHash(st.size, st)
	s.proving(err)
	text := fmt.Sprintf("%s\n%d\n%s\n", Origin, st.size, root)
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{s.Log}, s.Cosigners[:len(s.Cosigners)-s.Absent]...)...)
	s.proving(err)
	st.Head = registry.HeadProof{Entry: head.Marshal(), Index: at, Inclusion: st.Inclusion(at), Checkpoint: string(signed)}
	return st
}

func (st *State) add(entry []byte) {
	hashes, err := tlog.StoredHashes(st.size, entry, st)
	st.s.proving(err)
	st.hashes = append(st.hashes, hashes...)
	st.size++
}

// ReadHashes implements [tlog.HashReader].
func (st *State) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = st.hashes[at]
	}
	return out, nil
}

// Inclusion proves the entry at the index under the head's checkpoint.
func (st *State) Inclusion(index uint64) []registry.Hash {
	proof, err := tlog.ProveRecord(st.size, int64(index), st)
	st.s.proving(err)
	out := []registry.Hash{}
	for _, h := range proof {
		out = append(out, registry.Hash(h))
	}
	return out
}

// Prove proves that the key is in the map of the head, or that it is not.
func (st *State) Prove(key registry.Key) []byte {
	if len(st.Members) == 0 {
		return (&registry.MapProof{Kind: registry.ProofEmpty}).Marshal()
	}
	proof, err := registry.BucketBelow(key, registry.MaxBucketBits, nil, nil, st.Members).Prove(key)
	st.s.proving(err)
	return proof
}

// Covers reports whether the entry at the index stands below the head.
func (st *State) Covers(index uint64) bool { return index < st.Head.Index }
