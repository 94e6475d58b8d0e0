package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRulesetHash makes the hash from the files in the folder, as somebody without this program would.
func TestRulesetHash(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"obligations/*.json", "calendar/*.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	octets := []byte("akashi/ruleset/v1")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		octets = binary.BigEndian.AppendUint64(octets, uint64(len(path)))
		octets = append(octets, path...)
		octets = binary.BigEndian.AppendUint64(octets, uint64(len(content)))
		octets = append(octets, content...)
	}
	if got, want := RulesetHash(), sha256.Sum256(octets); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}
