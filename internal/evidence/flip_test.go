package evidence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

// blame says which checks may refuse a file in which a byte of a top-level member was changed, besides evidence.canonical.
var blame = map[string][]string{
	"format":       nil,
	"from":         {"evidence.range", "record.order", "assessment.reproduced"},
	"to":           {"evidence.range", "record.order", "assessment.reproduced"},
	"ruleset_hash": {"seal.file"}, // without a seal it would be unknown
	"presentation": {"engagement.", "kb.", "statement.", "presentation.", "record."},
	"checkpoint":   {"checkpoint."},
	"head":         {"head."},
	"trust_lists":  {"trust_list."},
	"ladder":       {"record.", "engagement."},
	"slots":        {"record.", "presentation."},
	"statements":   {"record."},
	"notes":        {"checkpoint."},
	"assessment":   {"assessment.reproduced"},
	"seal":         {"seal."},
}

// memberEnds returns the top-level members of a file in order, each with the offset at which it ends.
func memberEnds(t *testing.T, data []byte) (names []string, ends []int) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		names, ends = append(names, name.(string)), append(ends, int(d.InputOffset()))
	}
	return names, ends
}

// TestEveryByteCounts changes every byte of a saved file, one at a time, and expects that the file fails, by a check that has to do with the
// member in which the byte stands.
func TestEveryByteCounts(t *testing.T) {
	w := evidencetest.NewLean(t, evidencetest.At(2025, 10, 30, 9))
	credentials, statements := play(w)
	f := makeFile(t, w, w.Presentation(opened, credentials[1:], statements)) // the payment comes as nonce and JWT
	w.Seal(f)
	data := evidencetest.Marshal(w, f)
	names, ends := memberEnds(t, data)
	if len(blame) != len(names) {
		t.Fatalf("the file has the members %v, the test knows %d", names, len(blame))
	}
	trust := w.Trust()
	every := 1
	if testing.Short() {
		every = 11
	}
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	wrong := make(chan string, len(data))
	for worker := range workers {
		wg.Go(func() {
			for i := worker * every; i < len(data); i += workers * every {
				member := names[min(sortedIndex(ends, i), len(names)-1)]
				if complaint := spoil(data, i, blame[member], trust); complaint != "" {
					wrong <- fmt.Sprintf("byte %d of %s (%.40q): %s", i, member, data[max(0, i-20):min(len(data), i+20)], complaint)
				}
			}
		})
	}
	wg.Wait()
	close(wrong)
	for complaint := range wrong {
		t.Error(complaint)
	}
	t.Logf("%d bytes", len(data))
}

func sortedIndex(ends []int, i int) int {
	n, _ := slices.BinarySearch(ends, i+1)
	return n
}

// spoil flips one bit of byte i and says what is wrong about the outcome, "" for nothing.
func spoil(data []byte, i int, codes []string, trust evidence.Trust) (complaint string) {
	defer func() {
		if p := recover(); p != nil {
			complaint = fmt.Sprintf("panic: %v", p)
		}
	}()
	spoilt := bytes.Clone(data)
	spoilt[i] ^= 1 << (i % 7)
	r := evidence.VerifyBytes(spoilt, trust, evidence.Options{})
	if r.Result != compliance.Fail {
		return fmt.Sprintf("the result is %v", r.Result)
	}
	last := r.Checks[len(r.Checks)-1]
	if last.Result != compliance.Fail {
		return "the last check did not fail"
	}
	if last.Code == evidence.CodeCanonical || slices.ContainsFunc(codes, func(c string) bool { return strings.HasPrefix(last.Code, c) }) {
		return ""
	}
	return "failed by " + last.Code
}
