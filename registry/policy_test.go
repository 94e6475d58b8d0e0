package registry

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// testKey returns a key that depends on its name only.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// cosignerVKey returns the vkey of the test key of that name.
func cosignerVKey(name string) string { return CosignerVKey(name, publicOf(testKey(name))) }

const testOrigin = "log.example/test"

func testLogVKey(t testing.TB) string {
	t.Helper()
	v, err := note.NewEd25519VerifierKey(testOrigin, publicOf(testKey(testOrigin)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// testLogSigner signs as the log does.
func testLogSigner(t testing.TB) note.Signer {
	t.Helper()
	seed := testKey(testOrigin).Seed()
	blob := append([]byte{1}, publicOf(testKey(testOrigin))...)
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", testOrigin, keyHash(testOrigin, blob), Bytes(append([]byte{1}, seed...)).text()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b Bytes) text() string { t, _ := b.MarshalText(); return string(t) }

func witnessName(i int) string { return fmt.Sprintf("w%d.example", i) }
func auditorName(i int) string { return fmt.Sprintf("a%d.example/akashi-map", i) }

// testPolicies returns policies with q of n witnesses and 2 of 3 auditors.
func testPolicies(t testing.TB, n, q int) (witnesses, auditors *Policy) {
	t.Helper()
	members := func(name func(int) string, prefix string, n int) []Member {
		var ms []Member
		for i := range n {
			ms = append(ms, Member{Name: fmt.Sprint(prefix, i), VKey: cosignerVKey(name(i)), URL: fmt.Sprintf("https://%s%d.example/", prefix, i)})
		}
		return ms
	}
	witnesses, err := NewPolicy(testLogVKey(t), "https://log.example", members(witnessName, "w", n), q)
	if err != nil {
		t.Fatal(err)
	}
	auditors, err = NewPolicy(testLogVKey(t), "", members(auditorName, "a", 3), 2)
	if err != nil {
		t.Fatal(err)
	}
	return witnesses, auditors
}

func samplePolicy(t testing.TB) string {
	return "# the policy\n\n  log " + testLogVKey(t) + "\thttps://log.example\n" +
		"witness w0 " + cosignerVKey("w0") + " https://w0.example/\n" +
		"witness w1\t \t" + cosignerVKey("w1") + "\n" +
		"witness w2 " + cosignerVKey("w2") + "\n" +
		"witness w3 " + cosignerVKey("w3") + "  \n" +
		"\t# the quorum\ngroup all-four 3 w0 w1 w2 w3\nquorum all-four\n"
}

func TestParsePolicy(t *testing.T) {
	p, err := ParsePolicy([]byte(samplePolicy(t)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Origin != testOrigin || p.LogURL != "https://log.example" || len(p.Members) != 4 || p.Quorum != 3 {
		t.Errorf("got %+v", p)
	}
	if m := p.Members[0]; m.Name != "w0" || m.URL != "https://w0.example/" || m.Verifier.Name() != "w0" || p.Members[1].URL != "" {
		t.Errorf("members: got %+v", p.Members)
	}
	again, err := ParsePolicy(p.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Marshal(), p.Marshal()) || again.Quorum != 3 || again.LogVKey != p.LogVKey {
		t.Errorf("Marshal is not stable:\n%s", again.Marshal())
	}
}

func TestParsePolicyQuorums(t *testing.T) {
	for old, want := range map[string]int{"3": 3, "any": 1, "all": 4} {
		p, err := ParsePolicy([]byte(strings.Replace(samplePolicy(t), "group all-four 3", "group all-four "+old, 1)))
		if err != nil || p.Quorum != want {
			t.Errorf("%s: got %+v, %v", old, p, err)
		}
	}
	single := "log " + testLogVKey(t) + "\nwitness quorum " + cosignerVKey("w0") + "\nquorum quorum\n"
	p, err := ParsePolicy([]byte(single))
	if err != nil || p.Quorum != 1 || len(p.Members) != 1 {
		t.Fatalf("single witness: got %+v, %v", p, err)
	}
	if again, err := ParsePolicy(p.Marshal()); err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
		t.Errorf("a witness named quorum: %v\n%s", err, p.Marshal())
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	logLine := "log " + testLogVKey(t)
	otherName := CosignerVKey("other-name", publicOf(testKey("w0")))
	logAsWitness := CosignerVKey("w0", publicOf(testKey(testOrigin)))
	for _, c := range []struct{ name, old, new, want string }{
		{"no log", logLine, "#", "no log line"},
		{"two logs", "witness w0", logLine + "\nwitness w0", "second log"},
		{"log without key", logLine + "\thttps://log.example", "log", "write: log"},
		{"log with too much", "https://log.example", "https://log.example x", "write: log"},
		{"log key of a witness", logLine, "log " + cosignerVKey("x"), "not the vkey of a log"},
		{"log key damaged", logLine, logLine[:len(logLine)-4], "not a vkey"},
		{"witness key of a log", cosignerVKey("w1"), testLogVKey(t), "not the vkey of a cosigner"},
		{"witness without key", "witness w2 " + cosignerVKey("w2"), "witness w2", "write: witness"},
		{"witness key hash", cosignerVKey("w2"), strings.Replace(cosignerVKey("w2"), "w2+", "w9+", 1), "hash does not match"},
		{"witness twice", "group all", "witness w1 " + cosignerVKey("w4") + "\ngroup all", "defined twice"},
		{"key twice under another name", cosignerVKey("w1"), otherName, "public key stands twice"},
		{"the log's key as witness", cosignerVKey("w1"), logAsWitness, "public key stands twice"},
		{"witness none", "witness w0 ", "witness none ", "reserved"},
		{"witness outside the group", "w0 w1 w2 w3", "w0 w1 w2", `"w3" is not in the quorum`},
		{"member twice", "w0 w1 w2 w3", "w0 w1 w2 w3 w3", "stands twice in the group"},
		{"unknown member", "w0 w1 w2 w3", "w0 w1 w2 w3 w4", "not a witness defined above"},
		{"nested group", "quorum all-four", "group outer 1 all-four\nquorum outer", "second group"},
		{"group named as a witness", "group all-four", "group w0", "defined twice"},
		{"empty group", "3 w0 w1 w2 w3", "3", "write: group"},
		{"group of 0", "four 3", "four 0", "any, all or 1 to 4"},
		{"group of 5", "four 3", "four 5", "any, all or 1 to 4"},
		{"group of +3", "four 3", "four +3", "any, all or 1 to 4"},
		{"no quorum", "quorum all-four", "", "no quorum line"},
		{"two quorums", "quorum all-four", "quorum all-four\nquorum all-four", "second quorum"},
		{"quorum none", "quorum all-four", "quorum none", "proves nothing"},
		{"quorum unknown", "quorum all-four", "quorum x", "not a witness or group"},
		{"quorum of two", "quorum all-four", "quorum all-four w0", "write: quorum"},
		{"quorum of one of four", "quorum all-four", "quorum w0", "not in the quorum"},
		{"keyword", "quorum all-four", "quota all-four", "unknown keyword"},
		{"carriage return", "quorum all-four", "quorum all-four\r", "control character"},
		{"comment within a line", "quorum all-four", "quorum all-four # here", "comments on lines of their own"},
		{"no-break space", "quorum all-four", "quorum\u00a0all-four", "white space"},
	} {
		text := strings.Replace(samplePolicy(t), c.old, c.new, 1)
		if text == samplePolicy(t) {
			t.Fatalf("%s: nothing spoilt", c.name)
		}
		if _, err := ParsePolicy([]byte(text)); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	var many strings.Builder
	for i := range MaxPolicyMembers + 1 {
		fmt.Fprintf(&many, "witness m%d %s\n", i, cosignerVKey(fmt.Sprint("m", i)))
	}
	if _, err := ParsePolicy([]byte(many.String())); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too many members: got %v", err)
	}
}

func TestCheckPair(t *testing.T) {
	for _, c := range []struct {
		n, q int
		safe bool
	}{{1, 1, true}, {2, 1, false}, {2, 2, true}, {3, 2, false}, {3, 3, true}, {4, 2, false}, {4, 3, true}, {5, 3, false}, {5, 4, true}, {6, 4, false}, {6, 5, true}, {7, 5, true}} {
		w, a := testPolicies(t, c.n, c.q)
		err := CheckPair(w, a)
		if (err == nil) != c.safe || err != nil && !errors.Is(err, ErrUnsafeQuorum) {
			t.Errorf("%d of %d: got %v", c.q, c.n, err)
		}
	}
	w, a := testPolicies(t, 4, 3)
	shared, err := NewPolicy(testLogVKey(t), "", []Member{{Name: "x", VKey: CosignerVKey("another-name", publicOf(testKey(witnessName(2))))}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPair(w, shared); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("key in both: got %v", err)
	}
	otherLog, err := note.NewEd25519VerifierKey("other.example", publicOf(testKey("other.example")))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewPolicy(otherLog, "", a.Members, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckPair(w, other); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "different logs") {
		t.Errorf("another log: got %v", err)
	}
}

// TestPolicyAgainstTorchwood lets another reader of the format decide the same notes.
func TestPolicyAgainstTorchwood(t *testing.T) {
	w, a := testPolicies(t, 4, 3)
	other, err := torchwood.ParsePolicy(w.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_760_000_000, 0)
	for mask := range 1 << 4 {
		var signers []note.Signer
		for i := range 4 {
			if mask&(1<<i) != 0 {
				signers = append(signers, testCosigner(t, witnessName(i), at))
			}
		}
		signed := signCheckpoint(t, 7, signers...)
		_, _, err := torchwood.VerifyCheckpoint(signed, other)
		c, ourErr := OpenCheckpoint(signed, w, a)
		if ourErr != nil {
			t.Fatal(ourErr)
		}
		if _, ok := c.ExistedBy(); ok != (err == nil) {
			t.Errorf("mask %04b: we say %v, torchwood says %v", mask, ok, err)
		}
	}
	if _, err := torchwood.ParsePolicy([]byte(samplePolicy(t))); err != nil {
		t.Errorf("torchwood refuses the sample: %v", err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(samplePolicy(f)))
	f.Add([]byte("log x\nwitness a b\ngroup g 1 a\nquorum g\n"))
	f.Add([]byte("log " + testLogVKey(f) + "\nwitness quorum " + cosignerVKey("w0") + "\nquorum quorum\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		again, err := ParsePolicy(p.Marshal())
		if err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Fatalf("accepted but not stable: %v", err)
		}
		if _, err := torchwood.ParsePolicy(text); err != nil {
			t.Fatalf("accepted what torchwood refuses: %v", err)
		}
	})
}
