package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// lookupRig is a log of two members with a head, and the honest answer to a lookup of the first and of a key that is in no map.
type lookupRig struct {
	witnesses, auditors *Policy
	signers             []note.Signer
	head                HeadEntry
	answer              *LookupResponse
}

var (
	presentKey = Key(HashOf([]byte("present")))
	otherKey   = Key(HashOf([]byte("other")))
	absentKey  = Key(HashOf([]byte("absent")))
	boxA       = []byte("box A")
)

// newLookupRig makes the log. spoil changes the head, or the signers, before anything is signed.
func newLookupRig(t *testing.T, spoil func(*lookupRig)) *lookupRig {
	t.Helper()
	r := &lookupRig{}
	r.witnesses, r.auditors = testPolicies(t, 4, 3)
	for i := range 4 {
		r.signers = append(r.signers, testCosigner(t, witnessName(i), at(int64(i))))
	}
	for i := range 3 {
		r.signers = append(r.signers, testCosigner(t, auditorName(i), at(9)))
	}
	members := []MapMember{{presentKey, 0, ValueOf(boxA, nil)}, {otherKey, 1, Value{1}}}
	entries := [][]byte{SlotEntry{presentKey, members[0].Value}.Marshal(), SlotEntry{otherKey, Value{1}}.Marshal()}
	SortMembers(members)
	r.head = HeadEntry{Epoch: 1, Covered: 2, MapSize: 2, MapRoot: MapRoot(members), PrevIndex: NoPrevHead}
	if spoil != nil {
		spoil(r)
	}
	l := &testLog{}
	for _, e := range append(entries, r.head.Marshal()) {
		hs, err := tlog.StoredHashes(int64(l.size), e, l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, hs...)
		l.size++
	}
	inclusion := func(i int64) []Hash {
		hs, err := tlog.ProveRecord(3, i, l)
		if err != nil {
			t.Fatal(err)
		}
		return fromTlog(hs)
	}
	prove := func(k Key) []byte {
		b, err := BucketBelow(k, MaxBucketBits, nil, nil, members).Prove(k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	root := l.root(t, 3)
	text := fmt.Sprintf("%s\n3\n%s\n", testOrigin, base64.StdEncoding.EncodeToString(root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{testLogSigner(t)}, r.signers...)...)
	if err != nil {
		t.Fatal(err)
	}
	r.answer = &LookupResponse{
		Head: HeadProof{Entry: r.head.Marshal(), Index: 2, Inclusion: inclusion(2), Checkpoint: string(signed)},
		Results: []LookupResult{
			{Key: presentKey, Proof: prove(presentKey), Member: &MemberProof{Index: 0, Value: ValueOf(boxA, nil), A: boxA, HB: HashOf(nil), Inclusion: inclusion(0)}},
			{Key: absentKey, Proof: prove(absentKey)},
		},
	}
	return r
}

func (r *lookupRig) verify() (*VerifiedLookup, error) {
	return VerifyLookup(r.answer, []Key{presentKey, absentKey}, r.witnesses, r.auditors)
}

func TestVerifyLookup(t *testing.T) {
	got, err := newLookupRig(t, nil).verify()
	if err != nil {
		t.Fatal(err)
	}
	if got.Head.MapSize != 2 || got.Head.Checkpoint.Size != 3 {
		t.Errorf("head %+v", got.Head)
	}
	member, absent := got.Results[0], got.Results[1]
	if a, ok := member.Sealed(); member.Standing != ProvenMember || member.Err != nil || member.Index != 0 || !ok || string(a) != string(boxA) {
		t.Errorf("the member: %+v", member)
	}
	if _, ok := absent.Sealed(); absent.Standing != ProvenAbsent || absent.Err != nil || ok {
		t.Errorf("the absent key: %+v", absent)
	}
}

// TestVerifyLookupRefused: nothing counts in an answer whose head does not hold, or that is about other keys.
func TestVerifyLookupRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		made  func(*lookupRig)      // before it was signed
		spoil func(*LookupResponse) // afterwards
		want  error
	}{
		{"two witnesses missing", func(r *lookupRig) { r.signers = r.signers[2:] }, nil, ErrNotWitnessed},
		{"two auditors missing", func(r *lookupRig) { r.signers = r.signers[:5] }, nil, ErrNotAudited},
		{"not a checkpoint", nil, func(a *LookupResponse) { a.Head.Checkpoint = "" }, ErrCheckpoint},
		{"another size", nil, func(a *LookupResponse) { a.Head.Checkpoint = "x" + a.Head.Checkpoint }, ErrNotProven},
		{"another entry", nil, func(a *LookupResponse) { a.Head.Entry[70] ^= 1 }, ErrInclusion},
		{"no head", nil, func(a *LookupResponse) { a.Head.Entry = SlotEntry{}.Marshal() }, ErrNotProven},
		{"another index", nil, func(a *LookupResponse) { a.Head.Index-- }, ErrNotProven},
		{"no inclusion", nil, func(a *LookupResponse) { a.Head.Inclusion = nil }, ErrInclusion},
		{"covers less", func(r *lookupRig) { r.head.Covered-- }, nil, ErrNotProven},
		{"follows itself", func(r *lookupRig) { r.head.PrevIndex = 2 }, nil, ErrNotProven},
		{"a result too few", nil, func(a *LookupResponse) { a.Results = a.Results[:1] }, ErrAnswer},
		{"a result too many", nil, func(a *LookupResponse) { a.Results = append(a.Results, a.Results[0]) }, ErrAnswer},
		{"results exchanged", nil, func(a *LookupResponse) { a.Results[0], a.Results[1] = a.Results[1], a.Results[0] }, ErrAnswer},
	} {
		r := newLookupRig(t, c.made)
		if c.spoil != nil {
			c.spoil(r.answer)
		}
		if got, err := r.verify(); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

// TestVerifyLookupOneKey: what is said of one key does not hold, and that of the other stands.
func TestVerifyLookupOneKey(t *testing.T) {
	for _, c := range []struct {
		name  string
		made  func(*lookupRig)
		spoil func(member, absent *LookupResult)
		want  [2]error // nil: proven
	}{
		{"another map root", func(r *lookupRig) { r.head.MapRoot[0] ^= 1 }, func(_, _ *LookupResult) {}, [2]error{ErrProofRoot, ErrProofRoot}},
		{"member without inclusion", nil, func(m, _ *LookupResult) { m.Member.Inclusion = nil }, [2]error{ErrInclusion, nil}},
		{"member without proof", nil, func(m, _ *LookupResult) { m.Proof = nil }, [2]error{ErrProofCut, nil}},
		{"member said to be absent", nil, func(m, _ *LookupResult) { m.Member = nil }, [2]error{ErrProofPresence, nil}},
		{"absent said to be a member", nil, func(m, a *LookupResult) { a.Member = m.Member }, [2]error{nil, ErrProofAbsence}},
		{"proof of another key", nil, func(m, a *LookupResult) { a.Proof = m.Proof }, [2]error{nil, ErrProofPresence}},
		{"another index", nil, func(m, _ *LookupResult) { m.Member.Index++ }, [2]error{errOtherRecord, nil}},
		{"another value", nil, func(m, _ *LookupResult) { m.Member.Value[0] ^= 1 }, [2]error{errOtherRecord, nil}},
	} {
		r := newLookupRig(t, c.made)
		c.spoil(&r.answer.Results[0], &r.answer.Results[1])
		got, err := r.verify()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for n, want := range c.want {
			one := got.Results[n]
			if !errors.Is(one.Err, want) || (one.Standing == NotShown) != (want != nil) {
				t.Errorf("%s: key %d: standing %d, %v, want %v", c.name, n, one.Standing, one.Err, want)
			}
		}
	}
}

func TestSealedIsWhatTheLogHas(t *testing.T) {
	for name, spoil := range map[string]func(*MemberProof){
		"withheld":            func(m *MemberProof) { m.A = nil },
		"erased":              func(m *MemberProof) { m.Erased = true },
		"another A":           func(m *MemberProof) { m.A = []byte("box B") },
		"another hash B":      func(m *MemberProof) { m.HB[0] ^= 1 },
		"empty, in A's place": func(m *MemberProof) { m.A = []byte{} },
	} {
		r := newLookupRig(t, nil)
		spoil(r.answer.Results[0].Member)
		got, err := r.verify()
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := got.Results[0].Sealed(); ok || a != nil || got.Results[0].Standing != ProvenMember {
			t.Errorf("%s: %q, %v", name, a, got.Results[0].Standing)
		}
	}
}
