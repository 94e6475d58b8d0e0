package registry

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// treeOf returns the root of leaves by the definition of RFC 9162, Section 2.1.1.
func treeOf(leaves []Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return nodeHash(treeOf(leaves[:k]), treeOf(leaves[k:]))
}

func TestRangeProof(t *testing.T) {
	var entries [][]byte
	var leaves []Hash
	for i := range 37 {
		entries = append(entries, fmt.Append(nil, i))
		leaves = append(leaves, Hash(tlog.RecordHash(entries[i])))
	}
	for size := 1; size <= len(leaves); size++ {
		root := treeOf(leaves[:size])
		for from := 0; from < size; from++ {
			for end := from; end <= size; end++ {
				var proof []Hash
				for _, p := range RangeParts(uint64(from), uint64(end), uint64(size)) {
					proof = append(proof, treeOf(leaves[p[0]:p[1]]))
				}
				if end == from {
					got, err := PrefixRoot(uint64(from), uint64(size), proof, root)
					if from > 0 && (err != nil || got != treeOf(leaves[:from])) {
						t.Fatalf("prefix %d of %d: %v", from, size, err)
					}
					continue
				}
				run := entries[from:end]
				if err := VerifyRange(run, uint64(from), uint64(size), proof, root); err != nil {
					t.Fatalf("%d to %d of %d: %v", from, end, size, err)
				}
				for i := range proof {
					bad := append([]Hash(nil), proof...)
					bad[i][0] ^= 1
					if VerifyRange(run, uint64(from), uint64(size), bad, root) == nil || VerifyRange(run, uint64(from), uint64(size), proof[:i], root) == nil {
						t.Fatalf("%d to %d of %d: a spoilt proof holds", from, end, size)
					}
				}
				if VerifyRange(run, uint64(from), uint64(size), append(proof, Hash{}), root) == nil {
					t.Fatal("a hash is left over")
				}
				if end < size && VerifyRange(run, uint64(from)+1, uint64(size), proof, root) == nil {
					t.Fatal("holds at another place")
				}
			}
		}
	}
	for _, err := range []error{
		VerifyRange(nil, 0, 5, nil, Hash{}), VerifyRange(entries, 1, 37, nil, Hash{}), VerifyRange(entries, 40, 37, nil, Hash{}),
		VerifyRange(entries[:1], 1<<62, 1<<63, nil, Hash{}),
	} {
		if !errors.Is(err, ErrTreeSize) {
			t.Errorf("got %v, want ErrTreeSize", err)
		}
	}
	if _, err := PrefixRoot(5, 9, []Hash{{1}}, Hash{}); !errors.Is(err, ErrRange) {
		t.Errorf("prefix with a cut proof: got %v, want ErrRange", err)
	}
}
