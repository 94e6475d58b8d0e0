package prefixmap

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"akashi/registry"
)

type vectorProof struct {
	Key   registry.Key
	Proof string
}

// TestVectors compares roots and proofs, to the byte, with those of a program in another language.
func TestVectors(t *testing.T) {
	var v struct {
		NumberedSets []struct {
			Size   int
			Root   registry.Hash
			Proofs []vectorProof
		} `json:"numbered_sets"`
		OddSet struct {
			Members []struct {
				Key   registry.Key
				Index uint64
				Value registry.Value
			}
			Root   registry.Hash
			Proofs []vectorProof
		} `json:"odd_set"`
	}
	data, err := os.ReadFile("../../testdata/registry/map.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	for _, set := range v.NumberedSets {
		m := New()
		for n := range set.Size {
			number := binary.BigEndian.AppendUint32(nil, uint32(n))
			m.Insert(sha256.Sum256(append([]byte("vector key "), number...)), uint64(n), sha256.Sum256(append([]byte("vector value "), number...)))
		}
		checkVectors(t, m.Snapshot(), set.Root, set.Proofs)
	}
	odd := New()
	for _, e := range v.OddSet.Members {
		odd.Insert(e.Key, e.Index, e.Value)
	}
	checkVectors(t, odd.Snapshot(), v.OddSet.Root, v.OddSet.Proofs)
	if len(v.NumberedSets) < 10 || len(v.OddSet.Proofs) < 20 {
		t.Error("the vectors are cut")
	}
}

func checkVectors(t *testing.T, s *Snapshot, root registry.Hash, proofs []vectorProof) {
	t.Helper()
	if s.Root() != root {
		t.Errorf("root of %d keys: got %v, want %v", s.Len(), s.Root(), root)
	}
	for _, p := range proofs {
		if got := hex.EncodeToString(s.Prove(p.Key)); got != p.Proof {
			t.Errorf("proof of %v among %d keys:\ngot  %s\nwant %s", p.Key, s.Len(), got, p.Proof)
		}
	}
}
