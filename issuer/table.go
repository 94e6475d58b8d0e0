package issuer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/unicode/norm"

	"akashi/attestation"
)

// RowError says what is wrong with one cell, row or file, and what to do about it. Row is the line in the file, the header being
// line 1; 0 means the whole file.
//
// Value is what stands in the cell. It is for the clerk's own screen, see [RowError.Clerk]; Error and LogValue leave it out, so that
// no wage, name or account reaches a log.
type RowError struct {
	File    string `json:"file"`
	Row     int    `json:"row"`
	Column  string `json:"column,omitempty"`
	Value   string `json:"value,omitempty"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// Error is the form without the value and without the name of the file, which may be a person's.
func (e RowError) Error() string {
	var where []string
	if e.Row > 0 {
		where = append(where, fmt.Sprintf("row %d", e.Row))
	}
	if e.Column != "" {
		where = append(where, "column "+e.Column)
	}
	if len(where) == 0 {
		return e.Problem + "; " + e.Remedy
	}
	return strings.Join(where, ", ") + ": " + e.Problem + "; " + e.Remedy
}

// LogValue is what a log may hold of the error.
func (e RowError) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("row", e.Row), slog.String("column", e.Column), slog.String("problem", e.Problem))
}

// Clerk is the whole of the error, with file and value, for the screen or terminal of the person who has the file.
func (e RowError) Clerk() string {
	s := e.Error()
	if e.Value != "" {
		s = fmt.Sprintf("%s (here: %q)", s, e.Value)
	}
	return e.File + ": " + s
}

// Note tells the clerk what was read in a way that could have been read otherwise, or was left out.
type Note struct {
	File   string `json:"file"`
	Row    int    `json:"row,omitempty"`
	Column string `json:"column,omitempty"`
	Text   string `json:"text"`
}

// Row is one good row: whom it concerns, in the file's own numbering, and what it attests. Claims lacks what the issuing service
// adds: engagement, iss, iat, vct, cnf.
type Row[T any] struct {
	Row       int    // line in the file
	Reference string // employee number, or bank account for a bank; see Enrolment
	Claims    T
}

// Sheet is what a file held: every good row, and every error. The caller decides whether good rows go on without the bad ones.
type Sheet[T any] struct {
	File     string
	Encoding Encoding
	Ignored  []string          // columns that are not read
	Headers  map[string]string // field to the name of its column in the file, of the columns that are read
	Rows     []Row[T]
	Errors   []RowError
	Notes    []Note
}

// Encoding names how the text of a file is coded.
type Encoding string

const (
	UTF8    Encoding = "UTF-8"
	UTF8BOM Encoding = "UTF-8 with BOM"
	CP932   Encoding = "Shift_JIS" // with the extensions of Windows code page 932
)

const (
	maxFile    = 16 << 20
	maxRows    = 100_000
	maxColumns = 500
	maxErrors  = 1000 // of one file; the rest would not be read by anybody
)

// A table is a CSV file with one header row, its cells normalised by [normalise].
type table struct {
	file     string
	encoding Encoding
	header   []string // normalised; unnamed columns are ""
	rows     []tableRow
	errors   []RowError
	notes    []Note
}

type tableRow struct {
	line  int
	cells []string // as long as the header
}

// separators are what may divide cells, with a word for it.
var separators = map[string]string{",": "commas", ";": "semicolons", "\t": "tabs"}

// readTable reads a CSV file (RFC 4180). Its cells are divided by commas, unless separator names something else, and the encoding is detected
// unless want names it; see [decodeText].
//
// A whole-file error leaves no rows. A row that is broken (quotes, number of cells, a My Number) is an error, and the others stand.
func readTable(file string, data []byte, want Encoding, separator string) *table {
	t := &table{file: file}
	text, enc, ambiguous, err := decodeText(data, want)
	if err != nil {
		t.fail(0, "", "", err.problem, err.remedy)
		return t
	}
	t.encoding = enc
	if ambiguous {
		t.note(0, "", fmt.Sprintf("the octets can be read as UTF-8 and as Shift_JIS; %s was used: name the encoding in the mapping if that is wrong", enc))
	}
	if separator == "" {
		separator = ","
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma = rune(separator[0])
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	if t.checkSeparator(text, separator) && t.readHeader(r) {
		t.readRows(r)
	}
	return t
}

// checkSeparator refuses a file whose first line has none of the separators that were expected, and others: every row would seem to have one cell.
func (t *table) checkSeparator(text, separator string) bool {
	line, _, _ := strings.Cut(text, "\n")
	if strings.Contains(line, separator) {
		return true
	}
	for _, other := range slices.Sorted(maps.Keys(separators)) {
		if strings.Contains(line, other) {
			t.fail(1, "", "", fmt.Sprintf("the cells are divided by %s where %s are expected", separators[other], separators[separator]),
				"export the file again with "+separators[separator]+"; for payroll, the mapping may say \"separator\" instead")
			return false
		}
	}
	return true
}

func (t *table) readHeader(r *csv.Reader) bool {
	record, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		t.fail(0, "", "", "the file is empty", "export it again with its header row")
		return false
	case err != nil:
		t.fail(1, "", "", "the header row has a broken quotation mark", "export the file again as CSV")
		return false
	case len(record) > maxColumns:
		t.fail(1, "", "", fmt.Sprintf("more than %d columns", maxColumns), "export only the columns that the mapping names")
		return false
	}
	ok := true
	for i, cell := range record {
		name := headerName(cell)
		if name != "" && slices.Contains(t.header, name) {
			t.fail(1, name, "", "two columns have this name", fmt.Sprintf("rename or remove column %d: it cannot be told which one is meant", i+1))
			ok = false
		}
		t.header = append(t.header, name)
	}
	return ok
}

func (t *table) readRows(r *csv.Reader) {
	for blank := 0; ; {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			if blank > 0 {
				t.note(0, "", fmt.Sprintf("%d rows without any text were left out", blank))
			}
			if len(t.rows) == 0 && len(t.errors) == 0 {
				t.fail(0, "", "", "the file has a header and no rows", "check the month and the filter of the export")
			}
			return
		}
		if len(t.errors) >= maxErrors || len(t.rows) >= maxRows {
			t.fail(0, "", "", fmt.Sprintf("more than %d rows or %d errors: the rest was not read", maxRows, maxErrors), "split the file, or mend these errors first")
			t.rows = nil
			return
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			t.fail(broken.StartLine, "", "", "a quotation mark is not closed or stands inside a cell", "export the file again as CSV, with quotation marks doubled inside cells")
			continue
		}
		line, _ := r.FieldPos(0)
		if !t.readRow(line, record) {
			blank++
		}
	}
}

// readRow returns false for a row without any text.
func (t *table) readRow(line int, record []string) bool {
	cells := make([]string, len(record))
	text := false
	for i, c := range record {
		cells[i] = normalise(c)
		text = text || cells[i] != ""
	}
	if !text {
		return false
	}
	if len(cells) != len(t.header) {
		t.fail(line, "", "", fmt.Sprintf("%d cells where the header has %d", len(cells), len(t.header)), "put cells that hold the separator in quotation marks, or export the file again")
		return true
	}
	for i, c := range cells {
		if attestation.FindMyNumber(c) {
			t.fail(line, t.header[i], "", "this looks like an Individual Number (My Number), which must not be collected here",
				"remove the column from the export; do not send the file to anybody")
			return true
		}
	}
	t.rows = append(t.rows, tableRow{line, cells})
	return true
}

func (t *table) fail(row int, column, value, problem, remedy string) {
	t.errors = append(t.errors, RowError{t.file, row, column, value, problem, remedy})
}

func (t *table) note(row int, column, text string) {
	t.notes = append(t.notes, Note{t.file, row, column, text})
}

// column returns the index of the column named name, or -1.
func (t *table) column(name string) int { return slices.Index(t.header, headerName(name)) }

// headers returns the names of the columns at which fields stand.
func (t *table) headers(at map[string]int) map[string]string {
	names := make(map[string]string, len(at))
	for field, i := range at {
		if i >= 0 {
			names[field] = t.header[i]
		}
	}
	return names
}

// ignored returns the columns that are not used, by name, or by number where they have none.
func (t *table) ignored(used map[int]bool) []string {
	var out []string
	for i, name := range t.header {
		if used[i] {
			continue
		}
		if name == "" {
			name = fmt.Sprintf("(column %d)", i+1)
		}
		out = append(out, name)
	}
	return out
}

// textError is a whole-file error of the encoding.
type textError struct{ problem, remedy string }

// decodeText returns the text of a file and its encoding.
//
// The encodings of Japanese office software are UTF-8, with or without byte order mark, and Shift_JIS as Microsoft extended it (code
// page 932). Octets that are valid in only one of them are that one. Octets that are valid in both and give different text are taken
// as UTF-8, whose multi-octet sequences hardly ever arise by chance, and ambiguous is true so that the clerk is told. Where want names
// an encoding, the file must be in it: another one is an error, never a silent conversion.
func decodeText(data []byte, want Encoding) (text string, enc Encoding, ambiguous bool, err *textError) {
	if len(data) > maxFile {
		return "", "", false, &textError{fmt.Sprintf("the file is larger than %d MiB", maxFile>>20), "split it"}
	}
	if bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		return "", "", false, &textError{"the file is UTF-16 text", "save it as \"CSV UTF-8\" or as \"CSV\""}
	}
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return "", "", false, &textError{"the file is a workbook, not CSV", "save it as \"CSV UTF-8\""}
	}
	body, bom := bytes.CutPrefix(data, []byte{0xEF, 0xBB, 0xBF})
	asUTF8, asCP932 := "", ""
	okUTF8 := utf8.Valid(body) && printable(string(body))
	if okUTF8 {
		asUTF8 = string(body)
	}
	okCP932 := false
	if !bom {
		asCP932, okCP932 = fromCP932(body)
	}
	ambiguous = okUTF8 && okCP932 && asUTF8 != asCP932
	switch {
	case want == CP932 && okCP932:
		return asCP932, CP932, false, nil
	case (want == UTF8 || want == UTF8BOM) && okUTF8:
		ambiguous = false
	case want != "" && (okUTF8 || okCP932):
		found := CP932
		if okUTF8 {
			found = UTF8
		}
		return "", "", false, &textError{fmt.Sprintf("the mapping says %s, and the file is %s", want, found), "export the file in the encoding of the mapping, or correct the mapping"}
	}
	switch {
	case okUTF8 && bom:
		return asUTF8, UTF8BOM, false, nil
	case okUTF8:
		return asUTF8, UTF8, ambiguous, nil
	case okCP932:
		return asCP932, CP932, false, nil
	}
	return "", "", false, &textError{"the file is neither UTF-8 nor Shift_JIS text", "export it again as CSV in one of these encodings"}
}

// fromCP932 decodes Windows code page 932 and reports whether every octet had a meaning in it.
func fromCP932(data []byte) (string, bool) {
	out, err := japanese.ShiftJIS.NewDecoder().Bytes(data)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) || !printable(string(out)) {
		return "", false
	}
	return string(out), true
}

// printable reports whether s has no control characters but tab and line ends, and nothing from the private use area.
func printable(s string) bool {
	for _, r := range s {
		if r == '\t' || r == '\n' || r == '\r' {
			continue
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Co, r) {
			return false
		}
	}
	return true
}

// normalise brings a cell to Unicode NFKC, so that half-width kana, full-width digits and full-width signs are one thing each, and takes
// white space from its ends.
func normalise(s string) string { return strings.TrimSpace(norm.NFKC.String(s)) }

// headerName is normalise without the white space and line breaks that spreadsheets put inside header cells.
func headerName(s string) string { return strings.Join(strings.Fields(norm.NFKC.String(s)), "") }
