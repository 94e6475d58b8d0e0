package attestation

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckCorporateNumber(t *testing.T) {
	for _, ok := range []string{
		"7000012050002", "4011001098993", "7123456789012", "6010001000001",
		"8990000000001", "7990000000002", "6990000000003", "5990000000004", "4990000000005", "3990000000006",
	} {
		if err := CheckCorporateNumber(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "1234567890123", "7000012050003", "0000012050002", "700001205000", "70000120500022", "７000012050002", "T7000012050002", "7000012050002\n"} {
		if CheckCorporateNumber(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestCheckCardNumber(t *testing.T) {
	if err := CheckCardNumber("AB12345678CD"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "ab12345678CD", "AB1234567CD", "AB123456789CD", "AB12345678C", " AB12345678CD"} {
		if CheckCardNumber(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestCheckSupportRegistration(t *testing.T) {
	for _, in := range []string{"19登-999999", "19登999999", "１９登－９９９９９９", "19 登 ー 999999", "19登‐999999"} {
		got, err := CheckSupportRegistration(in)
		if err != nil || got != "19登-999999" {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "9登-999999", "19登-99999", "19登--999999", "2019登-999999", "19号-999999"} {
		if got, err := CheckSupportRegistration(bad); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

func TestCheckEntityID(t *testing.T) {
	for in, ok := range map[string]bool{"8990000000001": true, "19登-999999": true, "19登999999": false, "8990000000002": false, "": false, "bank": false} {
		if got := CheckEntityID(in) == nil; got != ok {
			t.Errorf("%q: accepted %v, want %v", in, got, ok)
		}
	}
}

func TestFindMyNumber(t *testing.T) {
	for _, in := range []string{
		"123456789018", "1234-5678-9018", "1234 5678 9018", "1234 - 5678 - 9018",
		"１２３４５６７８９０１８", "１２３４－５６７８－９０１８", "1234ー5678ー9018", "1234\u30005678\u30009018", "1234\u200b56789018",
		"number:123456789018.", "個人番号1234-5678-9018です", "1234-5678-9018 2026", "2026 1234-5678-9018", "-123456789018",
		"१२३४५६७८९०१८", "𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗𝟎𝟏𝟖", "123 456 789 018",
	} {
		if !FindMyNumber(in) {
			t.Errorf("%q is not found", in)
		}
	}
	for _, in := range []string{
		"", "123456789012", "12345678901", "1234567890180", "0123456789018", "1234/5678/9018", "1234-5678 9018", "1234x56789018",
		"8990000000001", "2026-05-25 1234", "2026-06-25 2026-07-25", "090-1234-5678", "AB12345678CD", "212000",
	} {
		if FindMyNumber(in) {
			t.Errorf("%q is taken for a My Number", in)
		}
	}
}

func FuzzFindMyNumber(f *testing.F) {
	for _, s := range []string{"123456789018", "1234-5678-9018", "１２３４ ５６７８", "\xff", "19登-999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		FindMyNumber(s)
		if last, _ := utf8.DecodeLastRuneInString(s); utf8.ValidString(s) && strings.TrimSpace(s) != "" {
			if _, digit := digitOf(last); !digit && separatorOf(last) == other && !FindMyNumber(s+"1234-5678-9018") {
				t.Errorf("not found after %q", s)
			}
		}
		if r, err := CheckSupportRegistration(s); err == nil {
			if again, err := CheckSupportRegistration(r); err != nil || again != r || CheckEntityID(r) != nil {
				t.Errorf("%q gives %q, which is not stable", s, r)
			}
		}
	})
}
