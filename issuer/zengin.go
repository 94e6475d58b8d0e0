package issuer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"akashi/attestation"
)

// BankRow is one credit that can be a wage.
type BankRow struct {
	Record           int    // number of the 200-octet record in the file, from 1
	Bank             string // 4 digits
	Branch           string // 3 digits
	AccountKind      string // 1 ordinary, 2 current, 9 other
	Account          string // 7 digits; 10 where the bank has longer ones
	ValueDate        attestation.Date
	Amount           int64
	PayerName        string // kana as in the file, half-width, without the padding; compare by [MatchKana]
	PayerCode        string // empty when the file has zeros
	TransactionClass string // 11 transfer, 14 with a summary that says wages
	Summary          string
}

// Reference names the account as an enrolment of a bank does: 9999-999-0000001.
func (r BankRow) Reference() string { return r.Bank + "-" + r.Branch + "-" + r.Account }

// BankFile is what a bank file held. A file with an error in its structure or sums has no rows at all: no part of it can be relied on.
type BankFile struct {
	File     string
	Accounts int
	Rows     []BankRow // credits that can be wages, in order
	Skipped  []Skipped // every other transaction
	Errors   []RowError
	Notes    []Note
}

// Skipped is a transaction that cannot be a wage, and why.
type Skipped struct {
	Record int
	Reason string
}

const (
	recordLength = 200
	maxRecords   = 80_000
)

// ParseZengin reads a file of account transactions in the format of the Japanese Bankers Association (全銀協規定形式, 種別 03 入出金取引明細):
// records of 200 octets in JIS X 0201, each with or without a line end, after the last perhaps an end-of-file octet 0x1A. Positions
// count from 1; N is right-aligned digits, C left-aligned text:
//
//	header 1   種別 2(2N)=03 コード区分 4(1N)=0 作成日 5(6N) 勘定日自 11(6N) 至 17(6N) 銀行 23(4N) 銀行名 27(15C) 支店 42(3N) 支店名 45(15C)
//	           000 60(3N) 預金種目 63(1N) 口座番号 64(10N) 口座名 74(40C) 貸越区分 114(1N) 通帳証書区分 115(1N) 取引前残高 116(14N)
//	data 2     照会番号 2(8N) 勘定日 10(6N) 預入払出日 16(6N) 入払区分 22(1N) 取引区分 23(2N) 取引金額 25(12N) 他店券 37(12N) 交換呈示日 49(6N)
//	           不渡返還日 55(6N) 手形小切手区分 61(1N) 手形番号 62(7N) 僚店番号 69(3N) 振込依頼人コード 72(10N) 振込依頼人名 82(48C)
//	           仕向銀行名 130(15C) 仕向店名 145(15C) 摘要 160(20C) EDI情報 180(20C)
//	trailer 8  入金件数 2(6N) 入金額 8(13N) 出金件数 21(6N) 出金額 27(13N) 貸越区分 40(1N) 取引後残高 41(14N) データ件数 55(7N)
//	end 9      レコード総件数 2(10N) 口座数 12(5N)
//
// Dates are YYMMDD with the year of Reiwa. A file may hold several accounts, each from header to trailer. Counts, sums and balances of
// the trailers are checked. Credits of class 11 (振込), and of class 14 (振替) whose summary says wages or bonus, are rows; every other
// transaction is reported as skipped.
func ParseZengin(file string, data []byte) *BankFile {
	z := zenginReader{out: &BankFile{File: file}}
	records, err := splitRecords(data)
	if err != nil {
		z.fail(err.record, "", "", err.problem, err.remedy)
		return z.out
	}
	for i, r := range records {
		z.number = i + 1
		z.read(zenginRecord(r))
		if z.out.Errors != nil {
			break
		}
	}
	if z.out.Errors == nil && z.state != afterEnd {
		z.fail(z.number, "", "", "the file breaks off before its end record", "fetch it from the bank again")
	}
	if z.out.Errors != nil {
		z.out.Rows, z.out.Skipped, z.out.Notes, z.out.Accounts = nil, nil, nil, 0
	}
	return z.out
}

type recordError struct {
	record          int
	problem, remedy string
}

// splitRecords cuts the file into records. Line ends are all there or all missing.
func splitRecords(data []byte) ([][]byte, *recordError) {
	const again = "fetch the file from the bank again, unchanged, in the Zengin format with records of 200 octets"
	data = bytes.TrimRight(data, "\x1a")
	if len(data) == 0 {
		return nil, &recordError{0, "the file is empty", again}
	}
	end := ""
	if len(data) > recordLength {
		rest := data[recordLength:]
		switch {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			end = "\r\n"
		case rest[0] == '\n':
			end = "\n"
		}
	}
	var records [][]byte
	for n := 1; len(data) > 0; n++ {
		if n > maxRecords {
			return nil, &recordError{0, fmt.Sprintf("more than %d records", maxRecords), "split the file by account"}
		}
		if len(data) < recordLength {
			return nil, &recordError{n, "the record is shorter than 200 octets", again}
		}
		r := data[:recordLength]
		if bytes.ContainsAny(r, "\r\n\x1a\x00") {
			return nil, &recordError{n, "the record is not 200 octets long", again}
		}
		data = data[recordLength:]
		if end != "" && len(data) > 0 {
			if !bytes.HasPrefix(data, []byte(end)) {
				return nil, &recordError{n, "the record is longer than 200 octets", again}
			}
			data = data[len(end):]
		}
		records = append(records, r)
	}
	return records, nil
}

// A zenginRecord is one of 200 octets.
type zenginRecord []byte

// at returns the octets of a field by its position, counted from 1, and length.
func (r zenginRecord) at(position, length int) []byte { return r[position-1 : position-1+length] }

type zenginState int

const (
	atStart zenginState = iota
	inAccount
	afterAccount
	afterEnd
)

type zenginReader struct {
	out    *BankFile
	number int
	state  zenginState

	account BankRow // bank, branch and account of the header
	from    attestation.Date
	to      attestation.Date
	balance int64

	credits, debits, creditSum, debitSum int64 // of the account
}

func (z *zenginReader) fail(record int, column, value, problem, remedy string) {
	z.out.Errors = append(z.out.Errors, RowError{z.out.File, record, column, value, problem, remedy})
}

func (z *zenginReader) read(r zenginRecord) {
	switch kind := r[0]; {
	case kind == '1' && (z.state == atStart || z.state == afterAccount):
		z.header(r)
	case kind == '2' && z.state == inAccount:
		z.data(r)
	case kind == '8' && z.state == inAccount:
		z.trailer(r)
	case kind == '9' && z.state == afterAccount:
		z.end(r)
	case bytes.IndexByte([]byte("1289"), kind) >= 0:
		z.fail(z.number, "データ区分", string(rune(kind)), "the records are not in the order header, data, trailer, end", "fetch the file from the bank again")
	default:
		z.fail(z.number, "データ区分", string(rune(kind)), "there is no record of this kind", "check that the file is in the Zengin format, type 03, in JIS (not EBCDIC)")
	}
}

// digits reads an N field. Spaces stand for no value, as some banks leave fields empty that they do not use.
func (z *zenginReader) digits(r zenginRecord, name string, position, length int) int64 {
	text := strings.TrimSpace(string(r.at(position, length)))
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		z.fail(z.number, name, kana(r.at(position, length)), "this field has digits only", "fetch the file from the bank again")
		return 0
	}
	return int64(n)
}

// code reads an N field that is a code, zeros and all.
func (z *zenginReader) code(r zenginRecord, name string, position, length int) string {
	text := r.at(position, length)
	for _, c := range text {
		if c < '0' || c > '9' {
			z.fail(z.number, name, kana(text), "this field has digits only", "fetch the file from the bank again")
			return ""
		}
	}
	return string(text)
}

// text reads a C field.
func (z *zenginReader) text(r zenginRecord, name string, position, length int) string {
	b := r.at(position, length)
	for _, c := range b {
		if c < 0x20 || c > 0x7E && c < 0xA1 || c > 0xDF {
			z.fail(z.number, name, "", "this field has a character that is not of JIS X 0201", "fetch the file from the bank again, in single-octet code")
			return ""
		}
	}
	s := strings.TrimRight(kana(b), " ")
	if attestation.FindMyNumber(s) {
		z.fail(z.number, name, "", "this looks like an Individual Number (My Number), which must not be collected here", "do not send the file to anybody; ask the bank")
		return ""
	}
	return s
}

// kana turns JIS X 0201 into Unicode: ASCII but for the yen sign and the overline, and half-width katakana.
func kana(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		switch {
		case c == 0x5C:
			s.WriteRune('¥')
		case c == 0x7E:
			s.WriteRune('‾')
		case c < 0x80:
			s.WriteByte(c)
		case c >= 0xA1 && c <= 0xDF:
			s.WriteRune(0xFF61 + rune(c-0xA1))
		default:
			s.WriteRune('?')
		}
	}
	return s.String()
}

// date reads YYMMDD with a year of Reiwa.
func (z *zenginReader) date(r zenginRecord, name string, position int) attestation.Date {
	text := z.code(r, name, position, 6)
	if text == "" {
		return attestation.Date{}
	}
	year, _ := strconv.Atoi(text[:2])
	d, err := attestation.ParseDate(fmt.Sprintf("%04d-%s-%s", 2018+year, text[2:4], text[4:6]))
	if err != nil || d.Before(attestation.Date{Year: 2019, Month: time.May, Day: 1}) {
		z.fail(z.number, name, text, "this is not a date of the Reiwa era as YYMMDD", "fetch the file from the bank again; files from before May 2019 are not read")
		return attestation.Date{}
	}
	return d
}

func (z *zenginReader) header(r zenginRecord) {
	if kind := string(r.at(2, 2)); kind != "03" {
		z.fail(z.number, "種別コード", kana(r.at(2, 2)), "this is not a file of account transactions (type 03)", "fetch 入出金取引明細, not the notice of incoming transfers")
		return
	}
	if r[3] != '0' {
		z.fail(z.number, "コード区分", kana(r.at(4, 1)), "the file is in EBCDIC", "fetch it in JIS code")
		return
	}
	made := z.date(r, "作成日", 5)
	z.from, z.to = z.date(r, "勘定日自", 11), z.date(r, "勘定日至", 17)
	z.account = BankRow{
		Bank: z.code(r, "銀行コード", 23, 4), Branch: z.code(r, "支店コード", 42, 3),
		AccountKind: z.code(r, "預金種目", 63, 1), Account: z.code(r, "口座番号", 64, 10),
	}
	z.account.Account = strings.TrimPrefix(z.account.Account, "000")
	z.balance = signed(z.digits(r, "取引前残高", 116, 14), r[113])
	z.credits, z.debits, z.creditSum, z.debitSum = 0, 0, 0, 0
	if len(z.out.Errors) == 0 && (z.to.Before(z.from) || made.Before(z.to)) {
		z.fail(z.number, "勘定日至", kana(r.at(17, 6)), "the range of days is not in order, or ends after the day on which the file was made", "fetch the file from the bank again")
	}
	z.state = inAccount
	z.out.Accounts++
}

// signed gives a balance its sign: 貸越区分 2 is an overdraft.
func signed(balance int64, kind byte) int64 {
	if kind == '2' {
		return -balance
	}
	return balance
}

func (z *zenginReader) data(r zenginRecord) {
	row := z.account
	row.Record = z.number
	booked := z.date(r, "勘定日", 10)
	row.ValueDate = z.date(r, "預入・払出日", 16)
	direction := z.code(r, "入払区分", 22, 1)
	row.TransactionClass = z.code(r, "取引区分", 23, 2)
	row.Amount = z.digits(r, "取引金額", 25, 12)
	row.PayerCode = strings.Trim(z.code(r, "振込依頼人コード", 72, 10), "0")
	if row.PayerCode != "" {
		row.PayerCode = string(r.at(72, 10))
	}
	row.PayerName, row.Summary = z.text(r, "振込依頼人名", 82, 48), z.text(r, "摘要", 160, 20)
	if len(z.out.Errors) > 0 {
		return
	}
	if booked.Before(z.from) || booked.After(z.to) {
		z.fail(z.number, "勘定日", kana(r.at(10, 6)), "the day lies outside the range of the header", "fetch the file from the bank again")
		return
	}
	switch direction {
	case "1":
		z.credits++
		z.creditSum += row.Amount
		z.credit(row)
	case "2":
		z.debits++
		z.debitSum += row.Amount
		z.skip("a debit")
	default:
		z.fail(z.number, "入払区分", direction, "this is neither 1 (credit) nor 2 (debit)", "fetch the file from the bank again")
	}
}

func (z *zenginReader) credit(row BankRow) {
	switch {
	case row.Amount > maxYen:
		z.skip("an amount that no wage has")
	case row.TransactionClass == "11" && row.PayerName == "":
		z.skip("a transfer without the name of the payer")
	case row.TransactionClass == "11", row.TransactionClass == "14" && saysWage(row.Summary):
		z.out.Rows = append(z.out.Rows, row)
	case row.TransactionClass == "19":
		z.skip("a correction (class 19)")
		z.out.Notes = append(z.out.Notes, Note{z.out.File, z.number, "取引区分", "the bank corrected an earlier entry here: if it was a wage, correct its receipt by hand"})
	default:
		z.skip("a credit of class " + row.TransactionClass + ", which is not a transfer of wages")
	}
}

func (z *zenginReader) skip(reason string) {
	z.out.Skipped = append(z.out.Skipped, Skipped{z.number, reason})
}

// saysWage reports whether a summary begins with wages (給与) or bonus (賞与) in kana.
func saysWage(summary string) bool {
	s := MatchKana(summary)
	return strings.HasPrefix(s, MatchKana("ｷﾕｳﾖ")) || strings.HasPrefix(s, MatchKana("ｼﾖｳﾖ"))
}

func (z *zenginReader) trailer(r zenginRecord) {
	for _, f := range []struct {
		name             string
		position, length int
		want             int64
	}{
		{"入金件数", 2, 6, z.credits}, {"入金額合計", 8, 13, z.creditSum}, {"出金件数", 21, 6, z.debits}, {"出金額合計", 27, 13, z.debitSum},
		{"データ件数", 55, 7, z.credits + z.debits},
	} {
		if got := z.digits(r, f.name, f.position, f.length); got != f.want && len(z.out.Errors) == 0 {
			z.fail(z.number, f.name, kana(r.at(f.position, f.length)), "the trailer does not agree with the transactions above it", "fetch the file from the bank again: transactions are missing or were changed")
		}
	}
	after := signed(z.digits(r, "取引後残高", 41, 14), r[39])
	if after != z.balance+z.creditSum-z.debitSum && len(z.out.Errors) == 0 {
		z.fail(z.number, "取引後残高", kana(r.at(41, 14)), "the balance does not follow from the transactions", "fetch the file from the bank again: transactions are missing or were changed")
	}
	z.state = afterAccount
}

// end checks the totals. Banks differ in whether the number of records counts the end record itself.
func (z *zenginReader) end(r zenginRecord) {
	if n := z.digits(r, "レコード総件数", 2, 10); n != int64(z.number) && n != int64(z.number-1) {
		z.fail(z.number, "レコード総件数", kana(r.at(2, 10)), "the number of records is another one", "fetch the file from the bank again")
	}
	if n := z.digits(r, "口座数", 12, 5); n != int64(z.out.Accounts) && len(z.out.Errors) == 0 {
		z.fail(z.number, "口座数", kana(r.at(12, 5)), "the number of accounts is another one", "fetch the file from the bank again")
	}
	z.state = afterEnd
}

var largeKana = strings.NewReplacer("ァ", "ア", "ィ", "イ", "ゥ", "ウ", "ェ", "エ", "ォ", "オ", "ッ", "ツ", "ャ", "ヤ", "ュ", "ユ", "ョ", "ヨ", "ヮ", "ワ",
	"ヵ", "カ", "ヶ", "ケ", "ー", "-", "‐", "-", "‑", "-", "–", "-", "—", "-", "―", "-", "−", "-", "ヲ", "オ")

// MatchKana returns the form by which two spellings of a payer's name are compared. Payers write small kana as large ones, the long
// vowel sign as a hyphen and ヲ as オ; width, letter case and spaces differ too.
func MatchKana(name string) string {
	s := largeKana.Replace(norm.NFKC.String(name))
	return strings.ToUpper(strings.Join(strings.Fields(s), ""))
}
