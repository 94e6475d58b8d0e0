package issuer

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
)

// myNumber is a synthetic number with a right check digit.
const myNumber = "123456789018"

func cp932(t testing.TB, s string) []byte {
	t.Helper()
	b, err := japanese.ShiftJIS.NewEncoder().Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncodingIsDetectedAndNeverConvertedSilently(t *testing.T) {
	const text = "社員番号,氏名\r\n7,見本 ﾀﾛｳ①\r\n"
	both := []byte{0xC3, 0xA9} // é in UTF-8, two half-width kana in Shift_JIS
	for _, c := range []struct {
		name      string
		data      []byte
		want      Encoding
		text      string
		enc       Encoding
		ambiguous bool
		problem   string
	}{
		{name: "UTF-8", data: []byte(text), text: text, enc: UTF8},
		{name: "BOM", data: []byte("\ufeff" + text), text: text, enc: UTF8BOM},
		{name: "Shift_JIS", data: cp932(t, text), text: text, enc: CP932},
		{name: "ASCII", data: []byte("a,b\n"), text: "a,b\n", enc: UTF8},
		{name: "ASCII as Shift_JIS", data: []byte("a,b\n"), want: CP932, text: "a,b\n", enc: CP932},
		{name: "either", data: both, text: "é", enc: UTF8, ambiguous: true},
		{name: "either, named UTF-8", data: both, want: UTF8, text: "é", enc: UTF8},
		{name: "either, named Shift_JIS", data: both, want: CP932, text: "ﾃｩ", enc: CP932},
		{name: "Shift_JIS named, BOM found", data: []byte("\ufeff" + text), want: CP932, problem: "the mapping says Shift_JIS, and the file is UTF-8"},
		{name: "UTF-8 named, Shift_JIS found", data: cp932(t, text), want: UTF8, problem: "the mapping says UTF-8, and the file is Shift_JIS"},
		{name: "UTF-16", data: []byte{0xFF, 0xFE, 'a', 0}, problem: "the file is UTF-16 text"},
		{name: "workbook", data: []byte("PK\x03\x04rest"), problem: "the file is a workbook, not CSV"},
		{name: "neither", data: []byte{0x81, 0x20, 0xFF}, problem: "the file is neither UTF-8 nor Shift_JIS text"},
		{name: "control character", data: []byte("a\x00b"), problem: "the file is neither UTF-8 nor Shift_JIS text"},
	} {
		got, enc, ambiguous, err := decodeText(c.data, c.want)
		if problem := problemOf(err); problem != c.problem {
			t.Errorf("%s: got problem %q, want %q", c.name, problem, c.problem)
		} else if err == nil && (got != c.text || enc != c.enc || ambiguous != c.ambiguous) {
			t.Errorf("%s: got %q, %s, %v, want %q, %s, %v", c.name, got, enc, ambiguous, c.text, c.enc, c.ambiguous)
		}
	}
}

func problemOf(err *textError) string {
	if err == nil {
		return ""
	}
	return err.problem
}

func TestTableReportsWhatIsBroken(t *testing.T) {
	for _, c := range []struct{ name, text, problem string }{
		{"empty", "", "the file is empty"},
		{"header only", "a,b\n", "the file has a header and no rows"},
		{"same header twice", "ａ,a\n1,2\n", "two columns have this name"},
		{"cells missing", "a,b\n1\n", "1 cells where the header has 2"},
		{"cells too many", "a,b\n1,2,3\n", "3 cells where the header has 2"},
		{"semicolons", "a;b\n1;2\n3;4\n", "the cells are divided by semicolons where commas are expected"},
		{"tabs", "a\tb\n1\t2,5\n", "the cells are divided by tabs where commas are expected"},
		{"quotation mark", "a,b\n1,2\n\"3,4\n", "a quotation mark is not closed or stands inside a cell"},
		{"My Number", "a,b\n1," + myNumber + "\n", "this looks like an Individual Number (My Number), which must not be collected here"},
		{"My Number in full width with hyphens", "a,b\n1,１２３４-５６７８-９０１８\n", "this looks like an Individual Number (My Number), which must not be collected here"},
	} {
		got := readTable("f.csv", []byte(c.text), "", "")
		if len(got.errors) != 1 || got.errors[0].Problem != c.problem {
			t.Errorf("%s: got %v, want one error %q", c.name, got.errors, c.problem)
			continue
		}
		if e := got.errors[0]; e.Remedy == "" || strings.Contains(e.Clerk(), myNumber) {
			t.Errorf("%s: got %q, want a remedy and no My Number", c.name, e.Clerk())
		}
	}
}

func TestSeparators(t *testing.T) {
	for separator, text := range map[string]string{"": "a,b\n1,\"2,5\"\n", ",": "a,b\n1,\"2,5\"\n", ";": "a;b\n1;2,5\n", "\t": "a\tb\n1\t2,5\n"} {
		got := readTable("f.csv", []byte(text), "", separator)
		if len(got.errors) != 0 || len(got.rows) != 1 || got.rows[0].cells[1] != "2,5" {
			t.Errorf("%q: got %v, errors %v", separator, got.rows, got.errors)
		}
	}
	if got := readTable("f.csv", []byte("a,b\n1,2\n"), "", ";"); len(got.errors) != 1 || len(got.rows) != 0 {
		t.Errorf("commas where semicolons are expected: got %v, errors %v", got.rows, got.errors)
	}
	if got := readTable("f.csv", []byte("a\n1\n"), "", ";"); len(got.errors) != 0 || len(got.rows) != 1 {
		t.Errorf("one column: got %v, errors %v", got.rows, got.errors)
	}
}

func TestTableKeepsGoodRowsBesideBadOnes(t *testing.T) {
	got := readTable("f.csv", []byte("\"社員\n番号\",b,\n１,ﾊﾟﾝ,\n,,\n2,3\n4,5,\n"), "", "")
	if len(got.rows) != 2 || len(got.errors) != 1 || got.errors[0].Row != 5 || len(got.notes) != 1 {
		t.Fatalf("got %d rows, errors %v, notes %v, want 2 rows, an error in row 5, and a note on the blank row", len(got.rows), got.errors, got.notes)
	}
	if got.header[0] != "社員番号" || got.rows[0].cells[0] != "1" || got.rows[0].cells[1] != "パン" {
		t.Errorf("got %q and %q, want normalised text", got.header, got.rows[0].cells)
	}
	if ignored := got.ignored(map[int]bool{0: true}); len(ignored) != 2 || ignored[1] != "(column 3)" {
		t.Errorf("ignored columns: got %q", ignored)
	}
}

func TestRowErrorKeepsTheValueOutOfLogs(t *testing.T) {
	e := RowError{"山田太郎.csv", 7, "差引支給額", "212,001", "the net is wrong", "correct it"}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("refused", "row", e)
	for _, secret := range []string{"212,001", "山田太郎"} {
		if strings.Contains(buf.String()+e.Error(), secret) {
			t.Errorf("the log or the error text has %q", secret)
		}
		if !strings.Contains(e.Clerk(), secret) {
			t.Errorf("the clerk is not shown %q", secret)
		}
	}
	if want := "row 7, column 差引支給額: the net is wrong; correct it"; e.Error() != want {
		t.Errorf("got %q, want %q", e.Error(), want)
	}
}
