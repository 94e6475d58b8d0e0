package registry

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

func testCosigner(t testing.TB, name string, at time.Time) note.Signer {
	t.Helper()
	s, err := NewCosigner(name, testKey(name), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func checkpointText(size uint64) string {
	root := HashOf(fmt.Append(nil, "root of ", size))
	return fmt.Sprintf("%s\n%d\n%s\n", testOrigin, size, base64.StdEncoding.EncodeToString(root[:]))
}

// signCheckpoint returns a note signed by the log and the signers.
func signCheckpoint(t testing.TB, size uint64, signers ...note.Signer) []byte {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: checkpointText(size)}, append([]note.Signer{testLogSigner(t)}, signers...)...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func lineOf(t testing.TB, text string, s note.Signer) string {
	t.Helper()
	b, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(string(b), text+"\n")
}

func at(seconds int64) time.Time { return time.Unix(1_760_000_000+seconds, 0).UTC() }

// TestCosignerAgainstTorchwood signs with our code and verifies with another's, and the reverse.
func TestCosignerAgainstTorchwood(t *testing.T) {
	key := testKey("w")
	ours, err := NewCosigner("w.example/x", key, func() time.Time { return at(5) })
	if err != nil {
		t.Fatal(err)
	}
	vkey := CosignerVKey("w.example/x", publicOf(key))
	theirs, err := torchwood.NewCosignatureVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: checkpointText(3)}, ours)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(theirs))
	if err != nil {
		t.Fatal(err)
	}
	if ts, err := torchwood.CosignatureTimestamp(n.Sigs[0]); err != nil || ts != at(5).Unix() {
		t.Errorf("time: got %d, %v", ts, err)
	}
	signer, err := torchwood.NewCosignatureSigner("w.example/x", key)
	if err != nil {
		t.Fatal(err)
	}
	if got := signer.Verifier().String(); got != vkey {
		t.Errorf("vkey: got %s, want %s", vkey, got)
	}
	v, err := NewCosignatureVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = note.Sign(&note.Note{Text: checkpointText(3)}, signer); err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		t.Errorf("verifying torchwood's: %v", err)
	}
}

func TestCosignerRefuses(t *testing.T) {
	now := func() time.Time { return at(0) }
	for _, name := range []string{"", "a b", "a+b", "a\nb", "\xff"} {
		if _, err := NewCosigner(name, testKey("w"), now); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
	if _, err := NewCosigner("w", testKey("w")[:32], now); err == nil {
		t.Error("half a key accepted")
	}
	s := testCosigner(t, "w", at(0))
	for _, text := range []string{"", "no checkpoint\n", checkpointText(1) + "\n", strings.TrimSuffix(checkpointText(1), "\n"), strings.Replace(checkpointText(1), "\n1\n", "\n01\n", 1)} {
		if _, err := s.Sign([]byte(text)); err == nil {
			t.Errorf("signed %q", text)
		}
	}
	for _, clock := range []time.Time{{}, time.Unix(maxCosignatureTime+1, 0)} {
		if _, err := testCosigner(t, "w", clock).Sign([]byte(checkpointText(1))); err == nil {
			t.Errorf("signed at %v", clock)
		}
	}
}

func TestCosignatureVerifierRefuses(t *testing.T) {
	key, text := testKey("w"), []byte(checkpointText(1))
	v, err := NewCosignatureVerifier(cosignerVKey("w"))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(seconds uint64) []byte {
		msg, err := cosignedMessage(seconds, text)
		if err != nil {
			t.Fatal(err)
		}
		return append(binary.BigEndian.AppendUint64(nil, seconds), ed25519.Sign(key, msg)...)
	}
	good := sign(5)
	if !v.Verify(text, good) || !v.Verify(text, sign(maxCosignatureTime)) {
		t.Fatal("good cosignature refused")
	}
	for name, sig := range map[string][]byte{
		"empty": nil, "cut": good[:71], "longer": append(slices.Clone(good), 0), "another time": append(sign(6)[:8:8], good[8:]...),
		"after the year 9999": sign(maxCosignatureTime + 1), "time over 63 bits": sign(1 << 63),
	} {
		if v.Verify(text, sig) {
			t.Errorf("%s: accepted", name)
		}
	}
	if v.Verify([]byte(checkpointText(2)), good) || v.Verify([]byte("x"), good) {
		t.Error("accepted for another text")
	}
}

func TestOpenCheckpoint(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	signed := signCheckpoint(t, 9,
		testCosigner(t, witnessName(0), at(30)), testCosigner(t, witnessName(1), at(10)), testCosigner(t, "stranger", at(0)),
		testCosigner(t, auditorName(0), at(99)), testCosigner(t, witnessName(2), at(20)), testCosigner(t, auditorName(2), at(1)),
		testCosigner(t, witnessName(3), at(40)))
	c, err := OpenCheckpoint(signed, w, a)
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != testOrigin || c.Size != 9 || c.Root != HashOf([]byte("root of 9")) || c.Text() != checkpointText(9) {
		t.Errorf("got %+v", c)
	}
	if got, ok := c.ExistedBy(); !ok || got != at(30) {
		t.Errorf("ExistedBy: got %v, %v, want the third smallest", got, ok)
	}
	if got, ok := c.NotLargerAt(); !ok || got != at(20) {
		t.Errorf("NotLargerAt: got %v, %v, want the third largest", got, ok)
	}
	if !c.Audited() {
		t.Error("two of three auditors signed, not audited")
	}
	if bytes.Contains(c.Note, []byte("stranger")) {
		t.Error("a stranger's line is in the canonical note")
	}
	if again, err := OpenCheckpointExactly(c.Note, w, a); err != nil || !bytes.Equal(again.Note, c.Note) {
		t.Errorf("the canonical note is not accepted exactly: %v", err)
	}
	if _, err := OpenCheckpointExactly(signed, w, a); !errors.Is(err, ErrNotExact) {
		t.Errorf("exactly: got %v", err)
	}
}

func TestCheckpointBelowQuorum(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	for _, signers := range [][]note.Signer{
		nil,
		{testCosigner(t, witnessName(0), at(1)), testCosigner(t, witnessName(1), at(1))},
		{testCosigner(t, witnessName(0), at(1)), testCosigner(t, witnessName(1), at(1)), testCosigner(t, auditorName(0), at(1))},
		// One witness twice with one and the same line counts once.
		{testCosigner(t, witnessName(0), at(1)), testCosigner(t, witnessName(1), at(1)), testCosigner(t, witnessName(1), at(1))},
	} {
		c, err := OpenCheckpoint(signCheckpoint(t, 9, signers...), w, a)
		if err != nil {
			t.Fatal(err)
		}
		_, existed := c.ExistedBy()
		_, notLarger := c.NotLargerAt()
		if existed || notLarger || c.Audited() {
			t.Errorf("%d signers: got %v, %v, %v", len(signers), existed, notLarger, c.Audited())
		}
	}
	c, err := OpenLogCheckpoint(signCheckpoint(t, 9, testCosigner(t, witnessName(0), at(1))), w.Log)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.ExistedBy(); ok || c.Audited() {
		t.Error("without policies there is no time and no audit")
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	line := func(name string, seconds int64) string {
		return lineOf(t, checkpointText(9), testCosigner(t, name, at(seconds)))
	}
	good := string(signCheckpoint(t, 9, testCosigner(t, witnessName(0), at(1)), testCosigner(t, auditorName(0), at(1))))
	logLine := lineOf(t, checkpointText(9), testLogSigner(t))
	other := func(name string) string { return lineOf(t, checkpointText(8), testCosigner(t, name, at(1))) }
	_, otherLog, _ := strings.Cut(string(signCheckpoint(t, 8)), "\n\n")
	for _, c := range []struct {
		name, old, new string
		want           error
	}{
		{"size changed", "\n9\n", "\n8\n", ErrNotSignedByLog},
		{"no log line", logLine, "", ErrNotSignedByLog},
		{"log line over another text", logLine, otherLog, ErrNotSignedByLog},
		{"two different log lines", logLine, logLine + otherLog, ErrBadSignatureLine},
		{"witness line over another text", line(witnessName(0), 1), other(witnessName(0)), ErrBadSignatureLine},
		{"auditor line over another text", line(auditorName(0), 1), other(auditorName(0)), ErrBadSignatureLine},
		{"a witness with two times", line(witnessName(0), 1), line(witnessName(0), 1) + line(witnessName(0), 2), ErrBadSignatureLine},
		{"an auditor with two times", line(auditorName(0), 1), line(auditorName(0), 2) + line(auditorName(0), 1), ErrBadSignatureLine},
		{"another origin", testOrigin + "\n9", "other.example\n9", ErrCheckpoint},
		{"leading zero", "\n9\n", "\n09\n", ErrCheckpoint},
		{"size over 63 bits", "\n9\n", "\n9223372036854775808\n", ErrCheckpoint},
		{"no root", checkpointText(9), testOrigin + "\n9\n", ErrCheckpoint},
		{"root too short", checkpointText(9), testOrigin + "\n9\nAAAA\n", ErrCheckpoint},
		{"control character", testOrigin + "\n", testOrigin + "\x01\n", ErrCheckpoint},
		{"no empty line", "\n\n", "\n", ErrCheckpoint},
		{"no last newline", line(auditorName(0), 1), strings.TrimSuffix(line(auditorName(0), 1), "\n"), ErrCheckpoint},
		{"another dash", "— " + witnessName(0), "- " + witnessName(0), ErrCheckpoint},
		{"base64 with loose bits", line(auditorName(0), 1), loosenBase64(line(auditorName(0), 1)), ErrCheckpoint},
		{"empty extension line", "=\n\n", "=\n\n\n", ErrCheckpoint},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing spoilt", c.name)
		}
		if got, err := OpenCheckpoint([]byte(text), w, a); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := OpenCheckpoint([]byte(good+strings.Repeat(line("x", 1), 100)), w, a); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("101 lines: got %v", err)
	}
	if _, err := OpenCheckpoint(bytes.Repeat([]byte("x"), maxNoteSize+1), w, a); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("large note: got %v", err)
	}
	_, foreign := testPolicies(t, 4, 3)
	foreign.LogVKey = "another"
	if _, err := OpenCheckpoint([]byte(good), w, foreign); !errors.Is(err, ErrPolicy) {
		t.Errorf("policies of two logs: got %v", err)
	}
}

// loosenBase64 spells the last base64 digit before the padding in a way that decodes to the same octets.
func loosenBase64(line string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := strings.LastIndexFunc(line, func(r rune) bool { return r != '=' && r != '\n' })
	return line[:i] + string(alphabet[strings.IndexByte(alphabet, line[i])|1]) + line[i+1:]
}

func TestOpenCheckpointExactlyRefuses(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	c, err := OpenCheckpoint(signCheckpoint(t, 9, testCosigner(t, witnessName(0), at(1)), testCosigner(t, auditorName(0), at(1))), w, a)
	if err != nil {
		t.Fatal(err)
	}
	stranger := lineOf(t, checkpointText(9), testCosigner(t, "stranger", at(1)))
	witness := lineOf(t, checkpointText(9), testCosigner(t, witnessName(0), at(1)))
	logLine := lineOf(t, checkpointText(9), testLogSigner(t))
	for name, text := range map[string]string{
		"stranger's line": string(c.Note) + stranger,
		"line twice":      string(c.Note) + witness,
		"log line last":   strings.Replace(string(c.Note), logLine, "", 1) + logLine,
	} {
		if _, err := OpenCheckpoint([]byte(text), w, a); err != nil {
			t.Errorf("%s: OpenCheckpoint: %v", name, err)
		}
		if _, err := OpenCheckpointExactly([]byte(text), w, a); !errors.Is(err, ErrNotExact) {
			t.Errorf("%s: got %v, want %v", name, err, ErrNotExact)
		}
	}
	// Every single octet counts.
	for i := range c.Note {
		spoilt := slices.Clone(c.Note)
		spoilt[i] ^= 1
		if _, err := OpenCheckpointExactly(spoilt, w, a); err == nil {
			t.Fatalf("octet %d changed and accepted", i)
		}
	}
}

func TestMergeCosignatures(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	signed := signCheckpoint(t, 9, testCosigner(t, witnessName(0), at(1)))
	text := checkpointText(9)
	lines := lineOf(t, text, testCosigner(t, witnessName(1), at(2))) +
		"junk\n\n" +
		lineOf(t, text, testCosigner(t, "stranger", at(2))) +
		lineOf(t, text, testCosigner(t, witnessName(0), at(3))) + // signed already, with another time
		lineOf(t, checkpointText(8), testCosigner(t, witnessName(2), at(2))) + // over another tree
		lineOf(t, text, testCosigner(t, auditorName(1), at(2))) +
		strings.TrimSuffix(lineOf(t, text, testCosigner(t, witnessName(3), at(2))), "\n") // cut
	merged, added, err := MergeCosignatures(signed, []byte(lines), w, a)
	if err != nil || added != 2 {
		t.Fatalf("got %d, %v", added, err)
	}
	c, err := OpenCheckpointExactly(merged, w, a)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.times) != 2 || c.times[0] != at(1).Unix() || c.auditors != 1 {
		t.Errorf("got times %v and %d auditors", c.times, c.auditors)
	}
	if _, _, err := MergeCosignatures([]byte(text), []byte(lines), w, a); err == nil {
		t.Error("merged into a note without the log's signature")
	}
}

// TestTimeRulesCannotContradict plays witnesses with any delays, up to f = n - q of them lying, and a log operator who picks which lines
// go into which note: an entry is never provably on time and late, and never absent and on time, for the same deadline.
//
//	on time        size >  i and ExistedBy   <= deadline
//	late, absent   size <= i and NotLargerAt >  deadline
func TestTimeRulesCannotContradict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "n")
		q := rapid.IntRange(2*n/3+1, n).Draw(t, "q") // 2q > n + f with f = n - q
		liars := rapid.IntRange(0, n-q).Draw(t, "liars")
		const sizes = 4
		signed := make([][]int64, sizes) // times of the lines on the note of each size
		for w := range n {
			clock := int64(0)
			for size := range sizes {
				sign := rapid.Bool().Draw(t, "sign")
				if w < liars {
					clock = rapid.Int64Range(0, 40).Draw(t, "lie")
				} else {
					clock += rapid.Int64Range(0, 12).Draw(t, "delay") // honest: growing trees, growing times
				}
				if sign {
					signed[size] = append(signed[size], clock)
				}
			}
		}
		var notes []*Checkpoint
		for size, times := range signed {
			// The operator may leave lines out, so several notes of one size exist.
			for range 3 {
				keep := slices.DeleteFunc(slices.Clone(times), func(int64) bool { return rapid.IntRange(0, 4).Draw(t, "drop") == 0 })
				slices.Sort(keep)
				notes = append(notes, &Checkpoint{Size: uint64(size), times: keep, quorum: q})
			}
		}
		i := rapid.Uint64Range(0, sizes).Draw(t, "i")
		deadline := time.Unix(rapid.Int64Range(0, 50).Draw(t, "deadline"), 0)
		for _, early := range notes {
			existed, ok := early.ExistedBy()
			if onTime := ok && early.Size > i && !existed.After(deadline); !onTime {
				continue
			}
			for _, late := range notes {
				if notLarger, ok := late.NotLargerAt(); ok && late.Size <= i && notLarger.After(deadline) {
					t.Fatalf("n=%d q=%d liars=%d: on time by %v and late by %v", n, q, liars, early.times, late.times)
				}
			}
		}
	})
}

// TestUnsafeQuorumContradicts shows that the rule on quorums is needed: with 2 of 3 one liar suffices.
func TestUnsafeQuorumContradicts(t *testing.T) {
	// Witness 1 is honest and slow: it signs size 1 late and then size 2; witness 2 is honest and quick; witness 0 lies.
	small := &Checkpoint{Size: 1, times: []int64{20, 20}, quorum: 2} // liar, 1
	large := &Checkpoint{Size: 2, times: []int64{5, 5}, quorum: 2}   // liar, 2
	existed, _ := large.ExistedBy()
	notLarger, _ := small.NotLargerAt()
	if deadline := time.Unix(10, 0); existed.After(deadline) || !notLarger.After(deadline) {
		t.Error("expected the contradiction")
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	w, a := testPolicies(f, 4, 3)
	good := signCheckpoint(f, 9, testCosigner(f, witnessName(0), at(1)), testCosigner(f, "stranger", at(1)), testCosigner(f, auditorName(0), at(1)))
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("\n9\n"), []byte("\n09\n"), 1))
	f.Add([]byte(checkpointText(1) + "\n— x AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		c, err := OpenCheckpoint(signed, w, a)
		if err != nil {
			return
		}
		if again, err := OpenCheckpointExactly(c.Note, w, a); err != nil || !slices.Equal(again.times, c.times) || again.auditors != c.auditors {
			t.Fatalf("canonical form differs: %v", err)
		}
		if _, err := note.Open(signed, note.VerifierList(w.Log)); err != nil {
			t.Fatalf("accepted what sumdb/note refuses: %v", err)
		}
	})
}

// FuzzCheckpointText compares the reader of the text with another's.
func FuzzCheckpointText(f *testing.F) {
	f.Add(checkpointText(9))
	f.Add(checkpointText(9) + "extension\n")
	f.Add("o\n01\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCheckpointText(text)
		if err != nil {
			return
		}
		theirs, err := torchwood.ParseCheckpoint(text)
		if err != nil || theirs.Origin != c.Origin || uint64(theirs.N) != c.Size || Hash(theirs.Hash) != c.Root {
			t.Fatalf("torchwood reads %+v, %v", theirs, err)
		}
	})
}
