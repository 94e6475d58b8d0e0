package registry

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"akashi/internal/keys"
)

// hexBytes are octets that stand in the vectors as hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

func readVectors(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/registry/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestSlotVectors(t *testing.T) {
	var v struct {
		PeriodSecret Secret `json:"period_secret"`
		Rungs        []struct {
			J      int
			Secret Secret
			Find   Hash
			Keys   []struct {
				Writer string
				Key    Key
			}
		}
		ContractHash   Hash   `json:"contract_hash"`
		ContractWriter string `json:"contract_writer"`
		Engagements    []struct {
			N      int
			Secret Secret
			Find   Hash
			Key    Key
		}
		Statement struct {
			JWT    string
			Secret Secret
			Find   Hash
			Key    Key
		}
	}
	readVectors(t, "slots.json", &v)
	for _, r := range v.Rungs {
		s := SlotSecret(v.PeriodSecret, r.J)
		if s != r.Secret || s.Find() != r.Find {
			t.Errorf("rung %d: another secret or x", r.J)
		}
		for _, k := range r.Keys {
			if got := KeyOf(k.Writer, s.Find()); got != k.Key {
				t.Errorf("rung %d of %s: key %v, want %v", r.J, k.Writer, got, k.Key)
			}
		}
	}
	for _, e := range v.Engagements {
		s := EngagementSecret(v.ContractHash, e.N)
		if s != e.Secret || s.Find() != e.Find || KeyOf(v.ContractWriter, s.Find()) != e.Key {
			t.Errorf("engagement %d: another secret, x or key", e.N)
		}
	}
	s := StatementSecret(v.Statement.JWT)
	if s != v.Statement.Secret || s.Find() != v.Statement.Find || KeyOf("worker", s.Find()) != v.Statement.Key {
		t.Error("statement: another secret, x or key")
	}
	if len(v.Rungs) < 5 || len(v.Engagements) < 3 {
		t.Error("the vectors are cut")
	}
}

// vectorContent is the text of that length that the vectors seal.
func vectorContent(length int) string {
	const part = "eyJhbGciOiJFUzI1NiJ9.vector."
	return strings.Repeat(part, length/len(part)+1)[:length]
}

type boxVectors struct {
	Secret Secret
	Key    Key
	Nonce  hexBytes
	A      []struct {
		Length  int
		BoxSize int  `json:"box_size"`
		BoxHash Hash `json:"box_hash"`
		Box     hexBytes
	}
	ARefused []struct {
		Why string
		Box hexBytes
	} `json:"a_refused"`
	DeliveryJWK json.RawMessage `json:"delivery_jwk"`
	B           []struct {
		Disclosures []string
		Box         string
	}
	BRefused []struct{ Why, Box string } `json:"b_refused"`
	Values   []struct {
		A, B  hexBytes
		Value Value
	}
	Nonces []struct {
		Key   Key
		Value Value
		Nonce string
	}
}

func TestBoxVectorsA(t *testing.T) {
	var v boxVectors
	readVectors(t, "boxes.json", &v)
	for _, c := range v.A {
		content := vectorContent(c.Length)
		box, err := SealA(bytes.NewReader(v.Nonce), v.Secret, v.Key, content)
		if err != nil || len(box) != c.BoxSize || HashOf(box) != c.BoxHash {
			t.Errorf("sealing %d bytes: %d bytes with hash %v, %v; want %d with %v", c.Length, len(box), HashOf(box), err, c.BoxSize, c.BoxHash)
			continue
		}
		if len(c.Box) > 0 && !bytes.Equal(box, c.Box) {
			t.Errorf("sealing %d bytes: other octets", c.Length)
		}
		if err := CheckBoxes(box, nil); err != nil {
			t.Errorf("CheckBoxes: %v", err)
		}
		if got, err := OpenA(v.Secret, v.Key, box); err != nil || got != content {
			t.Errorf("opening %d bytes: %d bytes, %v", c.Length, len(got), err)
		}
	}
	want := map[string]error{
		"last byte is not zero": ErrBoxPadding, "byte after the content is not zero": ErrBoxPadding, "a class too large": ErrBoxClass,
		"says more than there is": ErrBoxContent, "says 2^32-1 bytes": ErrBoxContent, "no class: 4095": ErrBoxLength,
		"no content at all": ErrBoxLength, "associated data is another key": ErrBoxSealed,
	}
	for _, c := range v.ARefused {
		if _, err := OpenA(v.Secret, v.Key, c.Box); want[c.Why] == nil || !errors.Is(err, want[c.Why]) {
			t.Errorf("%s: got %v, want %v", c.Why, err, want[c.Why])
		}
		delete(want, c.Why)
	}
	if len(want) != 0 {
		t.Errorf("no vector for %v", want)
	}
}

func TestBoxVectorsB(t *testing.T) {
	var v boxVectors
	readVectors(t, "boxes.json", &v)
	worker, err := keys.ParsePrivate(v.DeliveryJWK)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range v.B {
		got, err := OpenB(worker, v.Key, []byte(c.Box))
		if err != nil || !slices.Equal(got, c.Disclosures) {
			t.Errorf("got %q, %v; want %q", got, err, c.Disclosures)
		}
		if err := CheckBoxes(make([]byte, MaxA), []byte(c.Box)); err != nil {
			t.Errorf("CheckBoxes: %v", err)
		}
	}
	want := map[string]error{"a class too large": ErrBoxClass, "padding is not zero": ErrBoxPadding, "an empty disclosure": ErrDisclosures,
		"apv is another key": ErrBoxSealed}
	for _, c := range v.BRefused {
		if _, err := OpenB(worker, v.Key, []byte(c.Box)); want[c.Why] == nil || !errors.Is(err, want[c.Why]) {
			t.Errorf("%s: got %v, want %v", c.Why, err, want[c.Why])
		}
		delete(want, c.Why)
	}
	if len(want) != 0 {
		t.Errorf("no vector for %v", want)
	}
}

func TestValueVectors(t *testing.T) {
	var v boxVectors
	readVectors(t, "boxes.json", &v)
	for i, c := range v.Values {
		if got := ValueOf(c.A, c.B); got != c.Value {
			t.Errorf("value %d: got %v, want %v", i, got, c.Value)
		}
		if got := ValueOfHashes(HashOf(c.A), HashOf(c.B)); got != c.Value {
			t.Errorf("value %d from hashes: got %v, want %v", i, got, c.Value)
		}
	}
	for _, c := range v.Nonces {
		if got := StatementNonce(c.Key, c.Value); got != c.Nonce {
			t.Errorf("nonce: got %s, want %s", got, c.Nonce)
		}
	}
	if len(v.Values) < 3 || len(v.Nonces) < 1 {
		t.Error("the vectors are cut")
	}
}

type entryVectors struct {
	Slots []struct {
		Key   Key
		Value Value
		Bytes hexBytes
	}
	Heads []struct {
		Epoch, Covered uint64
		MapSize        uint64 `json:"map_size"`
		UnixMilli      int64  `json:"unix_milli"`
		ListN          uint64 `json:"list_n"`
		MapRoot        Hash   `json:"map_root"`
		PrevIndex      uint64 `json:"prev_index"`
		PrevHash       Hash   `json:"prev_hash"`
		Bytes          hexBytes
	}
	Lists []struct {
		N     uint64
		Hash  Hash
		Bytes hexBytes
	}
	Unknown []hexBytes
}

func TestEntryVectors(t *testing.T) {
	var v entryVectors
	readVectors(t, "entries.json", &v)
	check := func(e interface{ Marshal() []byte }, want []byte) {
		t.Helper()
		if got := e.Marshal(); !bytes.Equal(got, want) {
			t.Errorf("%#v marshals to %x, want %x", e, got, want)
		}
		if got, err := ParseEntry(want); err != nil || got != e {
			t.Errorf("ParseEntry = %#v, %v; want %#v", got, err, e)
		}
	}
	for _, e := range v.Slots {
		check(SlotEntry{e.Key, e.Value}, e.Bytes)
	}
	for i, e := range v.Heads {
		check(HeadEntry{e.Epoch, e.Covered, e.MapSize, e.UnixMilli, e.ListN, e.MapRoot, e.PrevIndex, e.PrevHash}, e.Bytes)
		if i > 0 && HashOf(v.Heads[i-1].Bytes) != e.PrevHash {
			t.Errorf("head %d does not chain to the one before", i)
		}
	}
	for _, e := range v.Lists {
		check(ListEntry{e.N, e.Hash}, e.Bytes)
	}
	if v.Heads[0].PrevIndex != NoPrevHead {
		t.Errorf("the first head's previous index is %d", v.Heads[0].PrevIndex)
	}
	for _, b := range v.Unknown {
		if e, err := ParseEntry(b); !errors.Is(err, ErrUnknownEntry) {
			t.Errorf("ParseEntry(%x) = %v, %v; want ErrUnknownEntry", []byte(b), e, err)
		}
	}
}

type vectorMember struct {
	Key   Key
	Index uint64
	Value Value
}

type vectorProof struct {
	Key   Key
	Kind  ProofKind
	Proof hexBytes
}

type mapVectors struct {
	Empty Hash
	Leaf  struct {
		vectorMember
		Hash Hash
	}
	Inner []struct {
		Depth             byte
		Key, Prefix       Key
		Left, Right, Hash Hash
	}
	NumberedSets []struct {
		Size   int
		Root   Hash
		Proofs []vectorProof
	} `json:"numbered_sets"`
	OddSet struct {
		Members []vectorMember
		Root    Hash
		Proofs  []vectorProof
	} `json:"odd_set"`
}

// numbered returns member n of the numbered sets.
func numbered(n int) vectorMember {
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	return vectorMember{hashOf("vector key ", b), uint64(n), hashOf("vector value ", b)}
}

func TestMapVectors(t *testing.T) {
	var v mapVectors
	readVectors(t, "map.json", &v)
	if EmptyRoot() != v.Empty {
		t.Error("another empty root")
	}
	if got := LeafHash(v.Leaf.Key, v.Leaf.Index, v.Leaf.Value); got != v.Leaf.Hash {
		t.Errorf("leaf: got %v, want %v", got, v.Leaf.Hash)
	}
	for _, c := range v.Inner {
		if c.Key.Prefix(c.Depth) != c.Prefix {
			t.Errorf("prefix of %d bits: got %v, want %v", c.Depth, c.Key.Prefix(c.Depth), c.Prefix)
		}
		if got := InnerHash(c.Depth, c.Key, c.Left, c.Right); got != c.Hash {
			t.Errorf("inner at %d: got %v, want %v", c.Depth, got, c.Hash)
		}
	}
	kinds := map[ProofKind]int{}
	for _, set := range v.NumberedSets {
		members := make(map[Key]vectorMember)
		for n := range set.Size {
			members[numbered(n).Key] = numbered(n)
		}
		checkProofVectors(t, set.Root, members, set.Proofs, kinds)
	}
	members := make(map[Key]vectorMember)
	for _, m := range v.OddSet.Members {
		members[m.Key] = m
	}
	checkProofVectors(t, v.OddSet.Root, members, v.OddSet.Proofs, kinds)
	for kind := ProofEmpty; kind <= ProofInner; kind++ {
		if kinds[kind] == 0 {
			t.Errorf("no proof of kind %d among the vectors", kind)
		}
	}
}

// checkProofVectors expects of each proof that it shows what is true and not the reverse, also not for another key.
func checkProofVectors(t *testing.T, root Hash, members map[Key]vectorMember, proofs []vectorProof, kinds map[ProofKind]int) {
	t.Helper()
	for _, c := range proofs {
		kinds[c.Kind]++
		p, err := ParseProof(c.Proof)
		if err != nil || p.Kind != c.Kind || !bytes.Equal(p.Marshal(), c.Proof) {
			t.Errorf("ParseProof: %+v, %v; want kind %d, and the same octets again", p, err, c.Kind)
			continue
		}
		i, v, memberErr := VerifyMember(root, c.Key, c.Proof)
		absentErr := VerifyAbsent(root, c.Key, c.Proof)
		m, present := members[c.Key]
		switch {
		case present && (memberErr != nil || i != m.Index || v != m.Value || !errors.Is(absentErr, ErrProofPresence)):
			t.Errorf("member: VerifyMember = %d, %v, %v; VerifyAbsent = %v", i, v, memberErr, absentErr)
		case !present && (!errors.Is(memberErr, ErrProofAbsence) || absentErr != nil):
			t.Errorf("no member: VerifyMember = %v, VerifyAbsent = %v", memberErr, absentErr)
		}
		other := root
		other[7] ^= 1
		if _, _, err := VerifyMember(other, c.Key, c.Proof); err == nil {
			t.Error("a member under another root")
		}
		if VerifyAbsent(other, c.Key, c.Proof) == nil {
			t.Error("an absence under another root")
		}
		for k := range members {
			if VerifyAbsent(root, k, c.Proof) == nil {
				t.Errorf("the proof for %v shows the member %v absent", c.Key, k)
			}
		}
	}
}

func TestRecordVectors(t *testing.T) {
	var v struct {
		Sets []struct {
			Count int
			Root  Hash
			Paths []struct {
				Position int
				Path     []Hash
			}
		}
	}
	readVectors(t, "records.json", &v)
	for _, set := range v.Sets {
		refs := make([]RecordRef, set.Count)
		for n := range refs {
			refs[n] = RecordRef{numbered(n).Key, numbered(n).Value}
		}
		if got := RecordsRoot(refs); got != set.Root {
			t.Errorf("%d records: root %v, want %v", set.Count, got, set.Root)
		}
		paths := RecordsPaths(refs)
		for _, p := range set.Paths {
			if got := paths[p.Position]; !slices.Equal(got, p.Path) {
				t.Errorf("path of %d in %d: %v", p.Position, set.Count, got)
			}
			if err := VerifyRecordsPath(refs[p.Position], p.Position, set.Count, p.Path, set.Root); err != nil {
				t.Errorf("%d in %d: %v", p.Position, set.Count, err)
			}
		}
	}
	if len(v.Sets) < 10 {
		t.Error("the vectors are cut")
	}
}
