package storygen

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"golang.org/x/text/encoding/japanese"

	"akashi/attestation"
)

// A transaction is one line of an account.
type transaction struct {
	day         attestation.Date
	credit      bool
	class       string
	amount      int64
	payer       string // half-width kana
	summary     string
	payerBank   string
	payerBranch string
}

// A bankFile is one file of one account: a month's transactions up to the wage, or to the end of the month without one.
type bankFile struct {
	month    string
	from, to attestation.Date
	wage     *wage
}

// bankFiles returns the files of an account, one a month from 2025-11 to 2026-10, each beginning where the last one ended.
func bankFiles(e string) []bankFile {
	var files []bankFile
	next := day("2025-11-01")
	for _, month := range attestation.PeriodsBetween(attestation.Month, day("2025-11-01"), day("2026-10-31")) {
		f := bankFile{month: string(month), from: next, to: month.Last()}
		for i, w := range wages[e] {
			if w.credited > 0 && w.paid[:7] == f.month {
				f.wage, f.to = &wages[e][i], day(w.paid)
			}
		}
		files = append(files, f)
		next = f.to.AddDays(1)
	}
	return files
}

func (f bankFile) path(e string) string { return "bank/" + e + "-" + f.month + ".txt" }

func writeBank(files map[string][]byte) error {
	for i, e := range engagements {
		balance := int64(184_320 + 7_110*i)
		for n, f := range bankFiles(e) {
			text, after, err := zengin(e, f, balance)
			if err != nil {
				return err
			}
			if n%2 == 0 { // some banks end the file with an end-of-file octet
				text = append(text, 0x1a)
			}
			files[f.path(e)], balance = text, after
		}
	}
	return nil
}

// transactions returns what happened in the account: card payments, cash and a few transfers from others beside the wage.
func transactions(e string, f bankFile, balance int64) []transaction {
	seed := fnv.New64a()
	fmt.Fprint(seed, e, f.month)
	rng := rand.New(rand.NewPCG(seed.Sum64(), 9999))
	length := f.to.DaysSince(f.from) + 1
	on := func(share int) attestation.Date { return f.from.AddDays(length * share / 10) }
	pick := func(low, high int64) int64 { return low + rng.Int64N(high-low+1) }
	list := []transaction{
		{day: on(1), class: "14", amount: pick(2_100, 3_900), summary: "ｹｲﾀｲﾘﾖｳﾘﾖｳ"},
		{day: on(3), class: "10", amount: 1000 * min(pick(15, 40), balance/4000), summary: "ATM"},
		{day: on(6), class: "14", amount: min(pick(6_000, 24_000), balance/5), summary: "ｶ-ﾄﾞ ｼﾊﾗｲ"},
	}
	if strings.HasSuffix(f.month, "-02") || strings.HasSuffix(f.month, "-08") {
		list = append(list, transaction{day: on(7), credit: true, class: "18", amount: pick(1, 40), summary: "ﾘｿｸ"})
	}
	if f.month == "2025-12" || f.month == "2026-06" { // a transfer from somebody who is not the employer
		list = append(list, transaction{day: on(5), credit: true, class: "11", amount: pick(2, 9) * 1000, payer: "ﾀﾅｶ ﾊﾅｺ", summary: "ﾌﾘｺﾐ", payerBank: "ﾐﾎﾝｷﾞﾝｺｳ", payerBranch: "ﾎﾝﾃﾝ"})
	}
	if f.month == "2026-04" {
		list = append(list, transaction{day: on(4), credit: true, class: "10", amount: 10_000, summary: "ATMﾆﾕｳｷﾝ"})
	}
	if f.wage != nil {
		list = append(list, transaction{day: f.to, credit: true, class: "11", amount: f.wage.credited, payer: companies[e].payerKana, summary: "ｷﾕｳﾖ", payerBank: "ﾐﾎﾝﾀﾞｲﾆ", payerBranch: "ﾎﾝﾃﾝ"})
	}
	return list
}

// zengin writes a file of type 03 and returns the balance after it.
func zengin(e string, f bankFile, balance int64) (text []byte, after int64, err error) {
	made := nextBankDay(f.to)
	account := people[e].account
	records := []string{
		"1" + "03" + "0" + yymmdd(made) + yymmdd(f.from) + yymmdd(f.to) + "9999" + left("ﾐﾎﾝｷﾞﾝｺｳ", 15) + "999" + left("ﾐﾎﾝｼﾃﾝ", 15) +
			"000" + "1" + "000" + account + left(people[e].kana, 40) + "1" + "1" + num(balance, 14) + left("", 71),
	}
	var credits, debits, creditSum, debitSum int64
	for i, t := range sorted(transactions(e, f, balance)) {
		direction := "2"
		if t.credit {
			direction = "1"
			credits, creditSum = credits+1, creditSum+t.amount
		} else {
			debits, debitSum = debits+1, debitSum+t.amount
		}
		records = append(records, "2"+num(int64(i+1), 8)+yymmdd(t.day)+yymmdd(t.day)+direction+t.class+num(t.amount, 12)+num(0, 12)+
			"000000"+"000000"+"0"+num(0, 7)+"000"+num(0, 10)+left(t.payer, 48)+left(t.payerBank, 15)+left(t.payerBranch, 15)+left(t.summary, 20)+left("", 20)+" ")
	}
	after = balance + creditSum - debitSum
	if after < 0 {
		return nil, 0, fmt.Errorf("account of %s is overdrawn in %s", e, f.month)
	}
	records = append(records,
		"8"+num(credits, 6)+num(creditSum, 13)+num(debits, 6)+num(debitSum, 13)+"1"+num(after, 14)+num(credits+debits, 7)+left("", 139),
		"9"+num(int64(len(records)+2), 10)+num(1, 5)+left("", 184))
	var buf bytes.Buffer
	for _, r := range records {
		octets, err := japanese.ShiftJIS.NewEncoder().Bytes([]byte(r))
		if err != nil || len(octets) != 200 {
			return nil, 0, fmt.Errorf("record of %d octets in %s: %w", len(octets), f.month, err)
		}
		buf.Write(octets)
		buf.WriteString("\r\n")
	}
	return buf.Bytes(), after, nil
}

// sorted puts transactions in the order of their days; the wage, added last, stays last of its day.
func sorted(list []transaction) []transaction {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && list[j].day.Before(list[j-1].day); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list
}

func yymmdd(d attestation.Date) string {
	return fmt.Sprintf("%02d%02d%02d", d.Year-2018, d.Month, d.Day)
}

func num(n int64, width int) string { return fmt.Sprintf("%0*d", width, n) }

// left pads text, one octet a character, with spaces.
func left(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-len([]rune(s))))
}
