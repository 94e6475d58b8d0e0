package issuer

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// validZengin is a file with two accounts: the first has a wage, a debit and interest, the second nothing.
func validZengin(t testing.TB) [][]byte {
	t.Helper()
	pad := func(s string, n int) string { return s + strings.Repeat(" ", n-len([]rune(s))) }
	header := func(account string, balance int) string {
		return "1030" + "071201" + "071101" + "071130" + "9999" + pad("ﾐﾎﾝｷﾞﾝｺｳ", 15) + "999" + pad("ﾎﾝﾃﾝ", 15) + "000" + "1" + "000" + account + pad("ﾐﾎﾝ ﾀﾛｳ", 40) + "11" + fmt.Sprintf("%014d", balance) + pad("", 71)
	}
	data := func(n int, day, direction, class string, amount int, payer, summary string) string {
		return fmt.Sprintf("2%08d%s%s%s%s%012d%012d0000000000000%07d0000000000000", n, day, day, direction, class, amount, 0, 0) + pad(payer, 48) + pad("", 30) + pad(summary, 20) + pad("", 21)
	}
	trailer := func(credits, creditSum, debits, debitSum, balance int) string {
		return fmt.Sprintf("8%06d%013d%06d%013d1%014d%07d", credits, creditSum, debits, debitSum, balance, credits+debits) + pad("", 139)
	}
	var records [][]byte
	for _, r := range []string{
		header("0000001", 1000), data(1, "071125", "1", "11", 212_000, "ｶ)ﾐﾎﾝA", "ｷﾕｳﾖ"), data(2, "071126", "2", "10", 50_000, "", "ATM"), data(3, "071127", "1", "18", 3, "", "ﾘｿｸ"), trailer(2, 212_003, 1, 50_000, 163_003),
		header("0000002", 0), trailer(0, 0, 0, 0, 0),
		"9" + fmt.Sprintf("%010d%05d", 8, 2) + pad("", 184),
	} {
		b := cp932(t, r)
		if len(b) != recordLength {
			t.Fatalf("test record of %d octets: %s", len(b), r)
		}
		records = append(records, b)
	}
	return records
}

func TestZengin(t *testing.T) {
	records := validZengin(t)
	for name, text := range map[string][]byte{
		"no line ends": bytes.Join(records, nil), "CR LF": append(bytes.Join(records, []byte("\r\n")), '\r', '\n'), "LF": bytes.Join(records, []byte("\n")),
		"CR LF and end of file": append(append(bytes.Join(records, []byte("\r\n")), '\r', '\n'), 0x1a), "end of file": append(bytes.Join(records, nil), 0x1a),
	} {
		got := ParseZengin("b.txt", text)
		if len(got.Errors) != 0 || len(got.Rows) != 1 || len(got.Skipped) != 2 || got.Accounts != 2 {
			t.Errorf("%s: got %d accounts, %d rows, %d skipped, errors %v", name, got.Accounts, len(got.Rows), len(got.Skipped), got.Errors)
			continue
		}
		r := got.Rows[0]
		if r.Reference() != "9999-999-0000001" || r.AccountKind != "1" || r.ValueDate.String() != "2025-11-25" || r.Amount != 212_000 || r.PayerName != "ｶ)ﾐﾎﾝA" ||
			r.PayerCode != "" || r.TransactionClass != "11" || r.Summary != "ｷﾕｳﾖ" || r.Record != 2 {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestZenginTransfersBetweenAccountsCountWhenTheySayWages(t *testing.T) {
	for summary, rows := range map[string]int{"ｷﾕｳﾖ": 1, "ｷｭｳﾖ": 1, "ｼﾖｳﾖ 12ｶﾞﾂ": 1, "ﾂﾐﾀﾃ": 0, "": 0} {
		records := validZengin(t)
		copy(records[1][22:], "14")
		copy(records[1][159:179], cp932(t, summary+strings.Repeat(" ", 20-len([]rune(summary)))))
		if got := ParseZengin("b.txt", bytes.Join(records, nil)); len(got.Errors) != 0 || len(got.Rows) != rows {
			t.Errorf("class 14 with summary %q: got %d rows, errors %v, want %d rows", summary, len(got.Rows), got.Errors, rows)
		}
	}
}

func TestZenginIsRefused(t *testing.T) {
	put := func(record, position int, text string) func([][]byte) {
		return func(r [][]byte) { copy(r[record][position-1:], text) }
	}
	drop := func(record int) func([][]byte) { return func(r [][]byte) { r[record] = nil } }
	for _, c := range []struct {
		name            string
		spoil           func([][]byte)
		record          int
		column, problem string
	}{
		{"other kind of file", put(0, 2, "01"), 1, "種別コード", "this is not a file of account transactions (type 03)"},
		{"EBCDIC", put(0, 4, "1"), 1, "コード区分", "the file is in EBCDIC"},
		{"no such day", put(0, 11, "071131"), 1, "勘定日自", "this is not a date of the Reiwa era as YYMMDD"},
		{"range backwards", put(0, 17, "071031"), 1, "勘定日至", "the range of days is not in order, or ends after the day on which the file was made"},
		{"made before the range ends", put(0, 5, "071129"), 1, "勘定日至", "the range of days is not in order, or ends after the day on which the file was made"},
		{"day outside the range", put(1, 10, "071201"), 2, "勘定日", "the day lies outside the range of the header"},
		{"amount not digits", put(1, 25, "00000021200A"), 2, "取引金額", "this field has digits only"},
		{"neither credit nor debit", put(1, 22, "3"), 2, "入払区分", "this is neither 1 (credit) nor 2 (debit)"},
		{"amount changed", put(1, 25, "000000212001"), 5, "入金額合計", "the trailer does not agree with the transactions above it"},
		{"transaction removed", drop(1), 4, "入金件数", "the trailer does not agree with the transactions above it"},
		{"debit turned into credit", put(2, 22, "1"), 5, "入金件数", "the trailer does not agree with the transactions above it"},
		{"balance before changed", put(0, 116, "00000000009999"), 5, "取引後残高", "the balance does not follow from the transactions"},
		{"overdraft", put(0, 114, "2"), 5, "取引後残高", "the balance does not follow from the transactions"},
		{"trailer removed", drop(4), 5, "データ区分", "the records are not in the order header, data, trailer, end"},
		{"header removed", drop(0), 1, "データ区分", "the records are not in the order header, data, trailer, end"},
		{"end removed", drop(7), 7, "", "the file breaks off before its end record"},
		{"number of records", put(7, 2, "0000000009"), 8, "レコード総件数", "the number of records is another one"},
		{"number of accounts", put(7, 12, "00001"), 8, "口座数", "the number of accounts is another one"},
		{"unknown record", put(1, 1, "5"), 2, "データ区分", "there is no record of this kind"},
		{"two-octet character", put(1, 82, "\x8a\x94"), 2, "振込依頼人名", "this field has a character that is not of JIS X 0201"},
		{"My Number as the payer", put(1, 82, myNumber), 2, "振込依頼人名", "this looks like an Individual Number (My Number), which must not be collected here"},
		{"line end inside", put(1, 82, "\n"), 2, "", "the record is not 200 octets long"},
	} {
		records := validZengin(t)
		c.spoil(records)
		got := ParseZengin("b.txt", bytes.Join(records, nil))
		if len(got.Rows) != 0 || len(got.Skipped) != 0 || len(got.Errors) != 1 {
			t.Errorf("%s: got %d rows, errors %v, want no rows and one error", c.name, len(got.Rows), got.Errors)
			continue
		}
		if e := got.Errors[0]; e.Row != c.record || e.Column != c.column || e.Problem != c.problem || e.Remedy == "" || strings.Contains(e.Clerk(), myNumber) {
			t.Errorf("%s: got %s, want record %d, %s: %s", c.name, e.Clerk(), c.record, c.column, c.problem)
		}
	}
}

func TestZenginOfOtherLengths(t *testing.T) {
	records := validZengin(t)
	whole := bytes.Join(records, nil)
	for name, text := range map[string][]byte{
		"empty": nil, "only end of file": {0x1a}, "cut": whole[:len(whole)-1], "one octet too many": append(bytes.Clone(whole[:200]), append([]byte{'2'}, whole[200:]...)...),
		"line ends here and there": append(append(bytes.Clone(records[0]), "\r\n"...), bytes.Join(records[1:], nil)...), "records of 120 octets": bytes.Join([][]byte{records[0][:120], records[1][:120]}, []byte("\r\n")),
	} {
		if got := ParseZengin("b.txt", text); len(got.Errors) != 1 || got.Rows != nil {
			t.Errorf("%s: got %d rows, errors %v, want one error", name, len(got.Rows), got.Errors)
		}
	}
}

func TestMatchKana(t *testing.T) {
	for _, pair := range [][2]string{{"ｶ)ﾐﾎﾝA", "カ）ミホンＡ"}, {"ｷｭｳﾖ", "ｷﾕｳﾖ"}, {"ﾄｰｷｮｰ", "ﾄ-ｷﾖ-"}, {"ﾊﾟﾝ ﾔ", "パンヤ"}, {"abc", "ABC"}, {"ｦ", "ｵ"}} {
		if MatchKana(pair[0]) != MatchKana(pair[1]) {
			t.Errorf("%q and %q do not match: %q, %q", pair[0], pair[1], MatchKana(pair[0]), MatchKana(pair[1]))
		}
	}
	for _, pair := range [][2]string{{"ｶ)ﾐﾎﾝA", "ｶ)ﾐﾎﾝB"}, {"ﾊﾝ", "ﾊﾟﾝ"}} {
		if MatchKana(pair[0]) == MatchKana(pair[1]) {
			t.Errorf("%q and %q match", pair[0], pair[1])
		}
	}
}

func FuzzZengin(f *testing.F) {
	records := validZengin(f)
	f.Add(bytes.Join(records, nil))
	f.Add(bytes.Join(records, []byte("\r\n")))
	f.Add(bytes.Join(records[1:], nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := ParseZengin("b.txt", data)
		if len(got.Errors) > 0 && (len(got.Rows) > 0 || len(got.Skipped) > 0) {
			t.Fatal("half a result")
		}
		for _, r := range got.Rows {
			if r.Amount < 0 || r.ValueDate.IsZero() || len(r.Bank) != 4 || len(r.Branch) != 3 {
				t.Fatalf("a row that is none: record %d", r.Record)
			}
		}
	})
}
