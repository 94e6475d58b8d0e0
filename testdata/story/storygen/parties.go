package storygen

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// A company is an accepting organization.
type company struct {
	id, nameJA, nameEN, payerKana   string
	field, fieldJA, prefecture      string
	payMonth, holidayRule, ruleText string
}

var companies = map[string]company{
	"A": {"8990000000001", "株式会社見本A", "Mihon A K.K.", "ｶ)ﾐﾎﾝA", "mfg", "工業製品製造業", "Aichi", "当月", "前営業日", "休日にあたるときは前営業日"},
	"B": {"7990000000002", "株式会社見本B", "Mihon B K.K.", "ｶ)ﾐﾎﾝB", "food", "飲食料品製造業", "Ibaraki", "当月", "翌営業日", "休日にあたるときは翌営業日"},
	"C": {"6990000000003", "株式会社見本C", "Mihon C K.K.", "ｶ)ﾐﾎﾝC", "bldgclean", "ビルクリーニング", "Osaka", "翌月", "翌営業日", "休日にあたるときは翌営業日"},
}

var payDays = map[string]string{"A": "25", "B": "25", "C": "10"}

// A person is a worker, with the number that each organization has for them.
type person struct {
	name, kana, birth, nationality, card string
	employee                             string // at the employer
	client                               string // at the support organization
	account                              string // at the bank
}

// The names say "example" in the languages of their countries.
var people = map[string]person{
	"A": {"NGUYEN VAN MAU", "ｸﾞｴﾝ ﾊﾞﾝ ﾏｳ", "1999-03-14", "VN", "ZZ10000001ZZ", "1042", "S-2510-01", "0000001"},
	"B": {"CONTOH SARI", "ﾁﾖﾝﾄ ｻﾘ", "2001-08-02", "ID", "ZZ10000002ZZ", "B0207", "S-2510-02", "0000002"},
	"C": {"HALIMBAWA MARIA", "ﾊﾘﾝﾊﾞﾜ ﾏﾘｱ", "1997-12-21", "PH", "ZZ10000003ZZ", "00318", "S-2510-03", "0000003"},
}

const (
	supportID     = "19登-999999"
	supportNameJA = "見本支援センター"
	supportNameEN = "Mihon Support Center"
	stayUntil     = "2026-10-28"
)

// party is one line of parties.json.
type party struct {
	Actor        string            `json:"actor"`
	Role         string            `json:"role"`
	ID           string            `json:"id,omitempty"`
	Corporate    string            `json:"corporate_number,omitempty"`
	Name         map[string]string `json:"name"`
	From         string            `json:"from,omitempty"` // on the trust list since
	PayerKana    string            `json:"payer_kana,omitempty"`
	BankCode     string            `json:"bank_code,omitempty"`
	BranchCode   string            `json:"branch_code,omitempty"`
	Engagement   string            `json:"engagement,omitempty"`
	Account      string            `json:"account,omitempty"`
	Nationality  string            `json:"nationality,omitempty"`
	EmployeeNo   string            `json:"employee_number,omitempty"`
	SupportRefNo string            `json:"support_reference,omitempty"`
}

const listedFrom = "2025-10-01"

func writeParties(files map[string][]byte) error {
	var list []party
	for _, e := range engagements {
		c := companies[e]
		list = append(list, party{Actor: "employer-" + e, Role: "accepting-organization", ID: c.id, Name: map[string]string{"ja": c.nameJA, "en": c.nameEN}, From: listedFrom, PayerKana: c.payerKana})
	}
	list = append(list,
		party{Actor: "supporter", Role: "support-organization", ID: supportID, Corporate: "3990000000006", Name: map[string]string{"ja": supportNameJA, "en": supportNameEN}, From: listedFrom},
		party{Actor: "bank", Role: "bank", ID: "5990000000004", Name: map[string]string{"ja": "見本銀行", "en": "Mihon Bank"}, From: listedFrom, BankCode: "9999", BranchCode: "999"},
		party{Actor: "authority", Role: "authority", ID: "4990000000005", Name: map[string]string{"ja": "見本公共職業安定所", "en": "Mihon Public Employment Security Office"}, From: listedFrom},
	)
	for _, e := range engagements {
		p := people[e]
		list = append(list, party{Actor: "worker-" + e, Role: "worker", Name: map[string]string{"en": p.name, "kana": p.kana}, Engagement: e,
			Account: p.account, Nationality: p.nationality, EmployeeNo: p.employee, SupportRefNo: p.client})
	}
	return writeJSON(files, "parties.json", list)
}

func contractFile(e string) string { return "contract/" + e + ".txt" }

// contract is the text of an employment contract, of which an engagement holds the hash.
func contract(e string) []byte {
	c, p := companies[e], people[e]
	return fmt.Appendf(nil, `特定技能雇用契約書(見本)

甲 %s(法人番号 %s)
乙 %s(%s)

1 契約期間 2025年11月1日から2027年10月31日まで
2 分野 %s、就業場所 %s
3 基本給 月額230,000円、技能手当 20,000円、所定労働時間 月160時間、時間外割増 1.25
4 賃金締切日 末日、支払日 %s%s日、%s
5 支払方法 乙名義の口座への振込
6 控除 労使協定による家賃 10,000円、法定控除、手取り見込額 212,000円
7 支援 全部を%s(%s)に委託
`, c.nameJA, c.id, p.name, p.nationality, c.fieldJA, c.prefecture, c.payMonth, payDays[e], c.ruleText, supportNameJA, supportID)
}

func writeContracts(files map[string][]byte) error {
	for _, e := range engagements {
		files[contractFile(e)] = contract(e)
		sum := sha256.Sum256(files[contractFile(e)])
		c, p := companies[e], people[e]
		files["engagement/"+e+".csv"] = withBOM(table(
			[]string{"社員番号", "法人番号", "所属機関名", "所属機関名(英語)", "登録支援機関番号", "登録支援機関名", "登録支援機関名(英語)", "支援方法", "在留資格区分", "分野",
				"契約開始日", "契約終了日", "締日", "支払日", "支払月", "休日の扱い", "支払方法", "契約書ハッシュ", "氏名", "生年月日", "国籍", "在留カード番号", "在留期限",
				"給与形態", "基本給", "手取り見込額", "所定労働時間", "allowance.skill", "overtime_rate.overtime", "deduction.rent", "都道府県", "振込名義カナ", "holder_jwk", "delivery_proof"},
			[]string{p.employee, c.id, c.nameJA, c.nameEN, supportID, supportNameJA, supportNameEN, "全部委託", "1号", c.field,
				"2025-11-01", "2027-10-31", "末日", payDays[e], c.payMonth, c.holidayRule, "口座振込", base64.RawURLEncoding.EncodeToString(sum[:]), p.name, p.birth, p.nationality, p.card, stayUntil,
				"月給", "230000", "212000", "160", "20000", "1.25", "10000", c.prefecture, c.payerKana, "{{holder_jwk}}", "{{delivery_proof}}"},
		))
	}
	return nil
}
