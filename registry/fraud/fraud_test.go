package fraud

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"testing"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/internal/keys"
	"akashi/registry"
)

// honestLog has one head over an empty map and one trust list, and the checkpoint over both.
type honestLog struct {
	signer     note.Signer
	log        note.Verifier
	anchor     keys.Public
	entries    [][]byte
	leaves     []registry.Hash
	checkpoint string
}

func newHonestLog(t testing.TB) *honestLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	l := new(honestLog)
	if l.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if l.log, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	anchor, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	l.anchor = anchor.Public()
	chain := registry.NewHeadChain()
	first := chain.Next(0, 0, registry.EmptyRoot(), 1)
	chain.Add(first)
	l.entries = [][]byte{first.Marshal(), chain.Next(1, 0, registry.EmptyRoot(), 2).Marshal()}
	for _, e := range l.entries {
		l.leaves = append(l.leaves, registry.Hash(tlog.RecordHash(e)))
	}
	l.checkpoint = l.sign(t, 2, registry.Hash(tlog.NodeHash(tlog.Hash(l.leaves[0]), tlog.Hash(l.leaves[1]))))
	return l
}

func (l *honestLog) sign(t testing.TB, size uint64, root registry.Hash) string {
	t.Helper()
	text := log.Checkpoint{Origin: "log.example", Size: size, Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// span is a report about the second head with everything that it takes, which proves nothing since the head is right.
func (l *honestLog) span() *Report {
	root := registry.EmptyRoot()
	return &Report{
		Format: Format, Kind: KindHead, Index: 1, Entry: l.entries[1], Checkpoint: l.checkpoint,
		Proof: &Proof{Head: l.entries[0], Entries: []registry.Bytes{l.entries[1]}, Delta: append([]byte{0}, root[:]...)},
	}
}

// fork is a report with the checkpoint over the first entry alone.
func (l *honestLog) fork(t testing.TB, root registry.Hash) *Report {
	return &Report{
		Format: Format, Kind: KindFork, Checkpoint: l.checkpoint, Earlier: l.sign(t, 1, root),
		Proof: &Proof{Range: l.leaves},
	}
}

func TestCheck(t *testing.T) {
	l := newHonestLog(t)
	tests := []struct {
		name   string
		report *Report
		want   error
	}{
		{"fork", l.fork(t, registry.Hash{1}), nil},
		{"no fork", l.fork(t, l.leaves[0]), ErrNotProven},
		{"right head", l.span(), ErrNotProven},
		{"no proof", &Report{Kind: KindHead, Checkpoint: l.checkpoint}, ErrNoProof},
		{"no list", &Report{Kind: KindTrustList, Checkpoint: l.checkpoint}, ErrNoProof},
		{"list without proof", &Report{Kind: KindTrustList, Checkpoint: l.checkpoint, TrustList: "x"}, ErrNoProof},
		{"list of an entry that is a head", &Report{Kind: KindTrustList, Checkpoint: l.checkpoint, TrustList: "x", Entry: l.entries[0], Proof: new(Proof)}, ErrNotProven},
		{"fork with nothing earlier", &Report{Kind: KindFork, Checkpoint: l.checkpoint}, ErrNoProof},
		{"no checkpoint", &Report{Kind: KindFork}, ErrNotProven},
		{"nothing", &Report{}, ErrNotProven},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := Check(test.report, l.log, l.anchor); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	l := newHonestLog(t)
	data, err := json.Marshal(l.span())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(data); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, []byte("{}"), data[:len(data)-1], append(bytes.Clone(data), '1'), bytes.Replace(data, []byte(Format), []byte("akashi-fraud/2"), 1)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%.60s: parsed", bad)
		}
	}
}

// Whatever a report says, an honest log is not proven to be false.
func FuzzCheck(f *testing.F) {
	l := newHonestLog(f)
	for _, r := range []*Report{l.span(), l.fork(f, l.leaves[0]), {Format: Format, Kind: KindTrustList, Checkpoint: l.checkpoint, TrustList: "x", Entry: l.entries[0], Proof: &Proof{Range: l.leaves[1:]}}} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		if r.Checkpoint == "" {
			r.Checkpoint = l.checkpoint
		}
		if Check(r, l.log, l.anchor) == nil {
			t.Fatalf("proven: %s", data)
		}
	})
}
