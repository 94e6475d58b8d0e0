package registry

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"akashi/internal/keys"
)

func newKey(t testing.TB, alg keys.Alg) *keys.Private {
	t.Helper()
	k, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealA(t *testing.T) {
	s := Secret{1}
	k := KeyOf("bank", s.Find())
	for _, length := range []int{0, 1, 4092, 4093, 32764} {
		jwt := vectorContent(length)
		a, err := SealA(rand.Reader, s, k, jwt)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenA(s, k, a); err != nil || got != jwt {
			t.Errorf("%d bytes do not come back: %v", length, err)
		}
		again, err := SealA(rand.Reader, s, k, jwt)
		if err != nil || bytes.Equal(a[:NonceSize], again[:NonceSize]) {
			t.Errorf("two boxes with one nonce (%v)", err)
		}
	}
	if _, err := SealA(rand.Reader, s, k, vectorContent(32765)); !errors.Is(err, ErrBoxTooLarge) {
		t.Errorf("32765 bytes: got %v, want ErrBoxTooLarge", err)
	}
	if _, err := SealA(strings.NewReader("short"), s, k, "jwt"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no randomness: got %v, want ErrUnexpectedEOF", err)
	}
}

func TestOpenARefused(t *testing.T) {
	s := Secret{1}
	k := KeyOf("bank", s.Find())
	a, err := SealA(rand.Reader, s, k, "header.payload.signature")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte { b := bytes.Clone(a); b[i] ^= 1; return b }
	for _, c := range []struct {
		name string
		s    Secret
		k    Key
		a    []byte
		want error
	}{
		{"another secret", Secret{2}, k, a, ErrBoxSealed},
		{"another key", s, Key{2}, a, ErrBoxSealed},
		{"nonce changed", s, k, flip(0), ErrBoxSealed},
		{"content changed", s, k, flip(20), ErrBoxSealed},
		{"padding changed", s, k, flip(4000), ErrBoxSealed},
		{"tag changed", s, k, flip(len(a) - 1), ErrBoxSealed},
		{"nothing", s, k, nil, ErrBoxLength},
		{"cut", s, k, a[:len(a)-1], ErrBoxLength},
		{"longer", s, k, append(bytes.Clone(a), 0), ErrBoxLength},
		{"next class, zeros added", s, k, append(bytes.Clone(a), make([]byte, 4096)...), ErrBoxSealed},
	} {
		if _, err := OpenA(c.s, c.k, c.a); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSealB(t *testing.T) {
	worker, other := newKey(t, keys.ES256), newKey(t, keys.ES256)
	k := KeyOf("bank", Hash{1})
	long := strings.Repeat("d", 4200)
	sizes := map[string]int{}
	for name, disclosures := range map[string][]string{"none": nil, "two": {"WyJzIiwibiIsMV0", "WyJ0IiwibSIsMl0"}, "long": {long, "x"}} {
		b, err := SealB(worker.Public(), k, disclosures)
		if err != nil {
			t.Fatal(err)
		}
		sizes[name] = len(b)
		if got, err := OpenB(worker, k, b); err != nil || !slices.Equal(got, disclosures) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if err := CheckBoxes(make([]byte, 4124), b); err != nil {
			t.Errorf("%s: CheckBoxes: %v", name, err)
		}
		if _, err := OpenB(other, k, b); !errors.Is(err, ErrBoxSealed) {
			t.Errorf("%s: another worker: got %v, want ErrBoxSealed", name, err)
		}
		if _, err := OpenB(worker, Key{9}, b); !errors.Is(err, ErrBoxSealed) {
			t.Errorf("%s: another slot: got %v, want ErrBoxSealed", name, err)
		}
		if strings.Contains(string(b), worker.Public().Thumbprint()) {
			t.Errorf("%s: names its receiver", name)
		}
	}
	if sizes["none"] != sizes["two"] || sizes["long"] <= sizes["two"] {
		t.Errorf("sizes %v: content of one class must have one size", sizes)
	}
}

// One who kept the recipe makes the same octets again, for the same slot and disclosures.
func TestSealBAgain(t *testing.T) {
	worker, k := newKey(t, keys.ES256), KeyOf("bank", Hash{1})
	disclosures := []string{"WyJzIiwibiIsMV0", "WyJ0IiwibSIsMl0"}
	b, recipe, err := SealBRecipe(worker.Public(), k, disclosures)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := SealBAgain(recipe, k, disclosures); err != nil || !bytes.Equal(again, b) {
		t.Errorf("got %q, %v, want %q", again, err, b)
	}
	if again, err := SealBAgain(recipe, Key{9}, disclosures); err != nil || bytes.Equal(again, b) {
		t.Errorf("another slot: got the same B, %v", err)
	}
	if _, err := SealBAgain(recipe, k, []string{"a~b"}); !errors.Is(err, ErrDisclosures) {
		t.Errorf("got %v, want ErrDisclosures", err)
	}
	if b, recipe, err := SealBRecipe(keys.Public{}, k, disclosures); err != nil || len(b) != 0 || recipe != (keys.Recipe{}) {
		t.Errorf("without a delivery key: got %q, %v", b, err)
	}
	if b, err := SealBAgain(keys.Recipe{}, k, disclosures); err != nil || len(b) != 0 {
		t.Errorf("the empty B: got %q, %v", b, err)
	}
}

func TestSealBRefused(t *testing.T) {
	worker := newKey(t, keys.ES256)
	k := Key{1}
	if b, err := SealB(keys.Public{}, k, []string{"d"}); err != nil || len(b) != 0 {
		t.Errorf("without a delivery key: %d bytes, %v; want the empty B", len(b), err)
	}
	for name, bad := range map[string]string{"empty": "", "joined": "a~b", "padded": "YQ==", "not base64url": "a+b"} {
		if _, err := SealB(worker.Public(), k, []string{"ok", bad}); !errors.Is(err, ErrDisclosures) {
			t.Errorf("%s disclosure: got %v, want ErrDisclosures", name, err)
		}
	}
	if _, err := SealB(worker.Public(), k, []string{strings.Repeat("d", 8189)}); !errors.Is(err, ErrBoxTooLarge) {
		t.Errorf("8189 bytes: got %v, want ErrBoxTooLarge", err)
	}
	if _, err := SealB(newKey(t, keys.EdDSA).Public(), k, nil); err == nil {
		t.Error("sealed to a key that cannot receive")
	}
	if _, err := OpenB(worker, k, nil); !errors.Is(err, ErrBoxEmpty) {
		t.Errorf("empty B: got %v, want ErrBoxEmpty", err)
	}
	if _, err := OpenB(worker, k, make([]byte, MaxB+1)); !errors.Is(err, ErrBoxLength) {
		t.Errorf("endless B: got %v, want ErrBoxLength", err)
	}
	if _, err := OpenB(worker, k, []byte("a..b.c.d")); !errors.Is(err, ErrBoxSealed) {
		t.Errorf("no JWE: got %v, want ErrBoxSealed", err)
	}
}

func TestCheckBoxesRefused(t *testing.T) {
	a := make([]byte, 4124)
	for _, c := range []struct {
		name string
		a, b []byte
	}{
		{"no A", nil, nil},
		{"A of another length", a[1:], nil},
		{"B too long", a, bytes.Repeat([]byte("a"), MaxB+1)},
		{"B is text", a, []byte("hello")},
		{"B of four parts", a, []byte("a..b.c")},
		{"B of six parts", a, []byte("a..b.c.d.e")},
		{"B with an encrypted key", a, []byte("a.x.b.c.d")},
		{"B without a tag", a, []byte("a..b.c.")},
		{"B with a foreign character", a, []byte("a..b.c.d\n")},
	} {
		if err := CheckBoxes(c.a, c.b); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
	if err := CheckBoxes(a, []byte("a..b.c.d")); err != nil {
		t.Errorf("the valid form: %v", err)
	}
}

// FuzzOpenA takes the octets for a box and for the plaintext of one.
func FuzzOpenA(f *testing.F) {
	var v boxVectors
	readVectors(f, "boxes.json", &v)
	f.Add([]byte{})
	for _, c := range v.ARefused {
		f.Add([]byte(c.Box))
	}
	plain, err := pad("header.payload.signature", sizesA, 0, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		if jwt, err := OpenA(v.Secret, v.Key, b); err == nil {
			again, err := SealA(bytes.NewReader(b[:NonceSize]), v.Secret, v.Key, jwt)
			if err != nil || !bytes.Equal(again, b) {
				t.Error("a box opened that is not sealed the same way")
			}
		}
		if content, err := unpad(b, sizesA); err == nil {
			if again, err := pad(string(content), sizesA, 0, 0); err != nil || !bytes.Equal(again, b) {
				t.Error("a second form of one plaintext")
			}
		}
	})
}

func ExampleKeyOf() {
	period := Secret{} // from the disclosure slots.wage-bank.2026-05.s
	s := SlotSecret(period, 0)
	fmt.Println(KeyOf("bank", s.Find()))
	// Output: OpirwVkoQ6h7xhPH13v1Nep_2xuwh3q02gownO4GyHI
}
