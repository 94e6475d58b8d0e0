package prefixmap

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"testing"

	"akashi/registry"
)

// TestMutatedProofs: whatever is done to a proof, and whichever key it is then held against, no false statement comes of it. 10^4 proofs,
// or 10^6 with AKASHI_LONG set.
func TestMutatedProofs(t *testing.T) {
	n := 10_000
	if os.Getenv("AKASHI_LONG") != "" {
		n = 1_000_000
	}
	rnd := rand.New(rand.NewPCG(5, 9))
	m := New()
	// Few bits differ, so that keys part at all depths and a changed octet often makes another key of the map.
	key := func() (k registry.Key) {
		binary.BigEndian.PutUint16(k[:], uint16(rnd.IntN(1<<12)))
		return k
	}
	for i := range uint64(2000) {
		m.Insert(key(), i, registry.Value{byte(i), byte(i >> 8)})
	}
	s := m.Snapshot()
	defer s.Release()
	kept := 0
	for range n {
		k := key()
		proof := s.Prove(k)
		for range rnd.IntN(4) {
			if proof = mutate(proof, rnd); len(proof) == 0 {
				break
			}
		}
		if rnd.IntN(4) == 0 {
			proof = disguise(s.Prove(k), k)
		}
		about := k
		if rnd.IntN(2) == 0 {
			about = key()
		}
		index, value, member := s.Get(about)
		if i, v, err := registry.VerifyMember(s.Root(), about, proof); err == nil {
			kept++
			if !member || i != index || v != value {
				t.Fatalf("key %v is said to stand at %d, which is not so: proof %x", about, i, proof)
			}
		}
		if err := registry.VerifyAbsent(s.Root(), about, proof); err == nil {
			kept++
			if member {
				t.Fatalf("key %v is said to be absent, which is not so: proof %x", about, proof)
			}
		}
	}
	if kept == n {
		t.Error("no proof was refused: the mutations change nothing")
	}
}

// disguise passes a key's own leaf off as another's, which no random change does: if it were believed, a member would be absent.
func disguise(proof []byte, k registry.Key) []byte {
	p, err := registry.ParseProof(proof)
	if err != nil || p.Kind != registry.ProofMember {
		return proof
	}
	p.Kind, p.Foreign = registry.ProofForeign, k
	return p.Marshal()
}
