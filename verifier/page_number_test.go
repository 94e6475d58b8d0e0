package verifier

import (
	"os"
	"strings"
	"testing"

	"akashi/internal/evidence"
)

func TestAssessmentNumber(t *testing.T) {
	a, b := AssessmentNumber([]byte("one file")), AssessmentNumber([]byte("another"))
	if a == b || len(a) != 14 || a != AssessmentNumber([]byte("one file")) {
		t.Errorf("numbers %q and %q", a, b)
	}
	if got, ok := ParseAssessmentNumber(a); !ok || got != a {
		t.Errorf("%q is read as %q", a, got)
	}
}

func TestParseAssessmentNumber(t *testing.T) {
	for _, c := range []struct{ name, typed, want string }{
		{"as printed", "7F3K-Q2MX-91TD", "7F3K-Q2MX-91TD"},
		{"small, no hyphens, spaces around", " 7f3kq2mx91td ", "7F3K-Q2MX-91TD"},
		{"misread letters", "7F3K Q2MX 9ItD", "7F3K-Q2MX-91TD"},
		{"O for 0", "OOOO-0000-0000", "0000-0000-0000"},
		{"too short", "7F3K-Q2MX-91T", ""},
		{"too long", "7F3K-Q2MX-91TDD", ""},
		{"a letter that is none", "7F3K-Q2MX-91TU", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := ParseAssessmentNumber(c.typed); got != c.want || ok != (c.want != "") {
				t.Errorf("got %q, %t", got, ok)
			}
		})
	}
}

func FuzzParseAssessmentNumber(f *testing.F) {
	f.Add("7F3K-Q2MX-91TD")
	f.Add("7f3kq2mx9ltd")
	f.Fuzz(func(t *testing.T, typed string) {
		number, ok := ParseAssessmentNumber(typed)
		if !ok {
			return
		}
		if again, ok := ParseAssessmentNumber(number); !ok || again != number {
			t.Errorf("%q gives %q, which gives %q", typed, number, again)
		}
	})
}

// TestDrawQR: a short link of an ordinary host takes version 3, which is 29 modules and a quiet zone of 4 on each side.
func TestDrawQR(t *testing.T) {
	for link, size := range map[string]int{
		shortLink("https://verify.example.jp", "7F3K-Q2MX-91TD"):               37,
		shortLink("https://akashi.verifier.example.jp", "7F3K-Q2MX-91TD"):      37, // with less error correction
		shortLink("https://"+strings.Repeat("long.", 12)+"example", "7F3K-Q2"): 45,
		"7F3K-Q2MX-91TD": 37,
	} {
		code, err := drawQR(link)
		if err != nil {
			t.Fatal(err)
		}
		if code.Size != size || !strings.HasPrefix(code.Path, "M4 4h7v1h-7z") {
			t.Errorf("%s: %d modules, %.20s", link, code.Size, code.Path)
		}
	}
	if _, err := drawQR(strings.Repeat("x", 5000)); err == nil {
		t.Error("what no QR code holds was drawn")
	}
}

// TestNumberOfSealedFile: the seal holds the number, and changes nothing about it.
func TestNumberOfSealedFile(t *testing.T) {
	sealed, err := os.ReadFile("../internal/evidence/testdata/saved/evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := evidence.Read(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if f.Seal == "" {
		t.Fatal("the file has no seal")
	}
	f.Seal = ""
	bare, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := AssessmentNumber(sealed), AssessmentNumber(bare); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if AssessmentNumber(append(bare, ' ')) == AssessmentNumber(bare) {
		t.Error("other octets have the same number")
	}
}
