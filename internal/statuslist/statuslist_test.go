package statuslist

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// vectors are the test vectors of the draft: a status for some indices, and one for all others.
type vectors struct {
	Vectors []struct {
		Name      string            `json:"name"`
		Bits      int               `json:"bits"`
		Entries   int               `json:"entries"`
		NonListed Status            `json:"nonlisted"`
		Expected  map[string]Status `json:"expected"`
		List      string            `json:"lst"`
	} `json:"vectors"`
}

func runVectors(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file vectors
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			l, err := Decode(Encoded{Bits: v.Bits, List: v.List}, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if l.Len() != v.Entries || l.Bits() != v.Bits {
				t.Fatalf("got %d entries of %d bits", l.Len(), l.Bits())
			}
			built, err := New(v.Bits, v.Entries)
			if err != nil {
				t.Fatal(err)
			}
			for i := range uint64(v.Entries) {
				want, listed := v.Expected[strconv.FormatUint(i, 10)]
				if !listed {
					want = v.NonListed
				}
				if got, err := l.Get(i); err != nil || got != want {
					t.Fatalf("entry %d: got %v, %v, want %v", i, got, err, want)
				}
				if err := built.Set(i, want); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(built.Packed(), l.Packed()) {
				t.Error("the list built of the statuses has other octets")
			}
		})
	}
}

// The vectors with lists of 2^20 entries, from the folder that AKASHI_VECTORS names.
func TestVectors(t *testing.T) {
	dir := os.Getenv("AKASHI_VECTORS")
	if dir == "" {
		t.Skip("AKASHI_VECTORS is not set: the long vectors of Token Status List are not tested")
	}
	runVectors(t, filepath.Join(dir, "token-status-list", "vectors.json"))
}

// The two short examples of Section 4 of the draft.
func TestShortVectors(t *testing.T) { runVectors(t, filepath.Join("testdata", "short.json")) }

func TestList(t *testing.T) {
	for _, bits := range []int{1, 2, 4, 8} {
		l, err := New(bits, 1000)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]Status, l.Len())
		for range 3000 {
			i, s := rand.IntN(len(want)), Status(rand.IntN(1<<bits))
			if err := l.Set(uint64(i), s); err != nil {
				t.Fatal(err)
			}
			want[i] = s
		}
		encoded, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := Decode(encoded, len(l.Packed()))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := FromPacked(bits, l.Packed())
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range want {
			for _, l := range []*List{l, decoded, kept} {
				if got, err := l.Get(uint64(i)); err != nil || got != s {
					t.Fatalf("%d bits, entry %d: got %v, %v, want %v", bits, i, got, err, s)
				}
			}
		}
	}
}

func TestListRefuses(t *testing.T) {
	l, err := New(2, 10)
	if err != nil {
		t.Fatal(err)
	}
	if l.Len() != 12 {
		t.Errorf("10 entries of 2 bits in whole octets: got %d", l.Len())
	}
	good, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, errGet := l.Get(12)
	_, errBits := New(3, 10)
	_, errNone := New(1, 0)
	_, errMany := New(1, MaxEntries+1)
	_, errPacked := FromPacked(1, nil)
	_, errPackedBits := FromPacked(5, []byte{0})
	rows := []struct {
		name      string
		got, want error
	}{
		{"get out of range", errGet, ErrOutOfRange},
		{"set out of range", l.Set(12, Valid), ErrOutOfRange},
		{"set far out of range", l.Set(1<<63, Valid), ErrOutOfRange},
		{"status too large", l.Set(0, 4), ErrStatus},
		{"bits", errBits, ErrBits},
		{"no entries", errNone, ErrTooLarge},
		{"too many entries", errMany, ErrTooLarge},
		{"packed empty", errPacked, ErrTooLarge},
		{"packed bits", errPackedBits, ErrBits},
		{"decode bits", decodeError(Encoded{Bits: 0, List: good.List}), ErrBits},
		{"padding", decodeError(Encoded{Bits: 2, List: good.List + "="}), ErrEncoding},
		{"line break", decodeError(Encoded{Bits: 2, List: good.List[:4] + "\n" + good.List[4:]}), ErrEncoding},
		{"empty", decodeError(Encoded{Bits: 2}), ErrEncoding},
		{"cut off", decodeError(Encoded{Bits: 2, List: good.List[:len(good.List)-4]}), ErrEncoding},
		{"no zlib", decodeError(Encoded{Bits: 2, List: b64.EncodeToString([]byte("not zlib"))}), ErrEncoding},
		{"something behind", decodeError(Encoded{Bits: 2, List: spliced(t, good.List, "x")}), ErrEncoding},
		{"nothing inside", decodeError(Encoded{Bits: 2, List: deflated(t, nil)}), ErrEncoding},
		{"bomb", decodeError(Encoded{Bits: 2, List: deflated(t, make([]byte, 1<<24))}), ErrTooLarge},
		{"one octet too many", decodeError(Encoded{Bits: 2, List: deflated(t, make([]byte, 1025))}), ErrTooLarge},
	}
	for _, row := range rows {
		if !errors.Is(row.got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, row.got, row.want)
		}
	}
	if err := decodeError(Encoded{Bits: 2, List: deflated(t, make([]byte, 1024))}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

func decodeError(e Encoded) error {
	_, err := Decode(e, 1024)
	return err
}

func deflated(t testing.TB, data []byte) string {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b64.EncodeToString(out.Bytes())
}

func spliced(t testing.TB, list, more string) string {
	t.Helper()
	data, err := b64.DecodeString(list)
	if err != nil {
		t.Fatal(err)
	}
	return b64.EncodeToString(append(data, more...))
}

func TestStatusNames(t *testing.T) {
	names := []string{Valid.String(), Invalid.String(), Suspended.String(), Status(11).String()}
	if got := strings.Join(names, ","); got != "valid,invalid,suspended,status 11" {
		t.Errorf("got %s", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(1, "eNrbuRgAAhcBXQ")
	f.Add(2, "eNo76fITAAPfAgc")
	f.Add(8, "")
	f.Fuzz(func(t *testing.T, bits int, text string) {
		l, err := Decode(Encoded{Bits: bits, List: text}, 1<<16)
		if err != nil {
			return
		}
		encoded, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(encoded, 1<<16)
		if err != nil || again.bits != l.bits || !bytes.Equal(again.data, l.data) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
