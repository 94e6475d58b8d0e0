package storygen

import (
	"fmt"

	"akashi/attestation"
)

// A slip is a payslip of a full month, or of a month without any work.
type slip struct {
	scheduled, overtime                             float64
	base, skill, overtimePay, gross                 int64
	health, pension, employment, tax, rent, deducts int64
	net                                             int64
}

var fullMonth = slip{160, 8, 230_000, 20_000, 15_625, 265_625, 13_000, 23_800, 1_500, 5_325, 10_000, 53_625, fullNet}

func slipOf(w wage) slip {
	if w.zero {
		return slip{}
	}
	return fullMonth
}

// writePayroll writes one file a month and company, and the mapping of each company.
func writePayroll(files map[string][]byte) error {
	layouts := map[string]func(wage, slip) ([]byte, error){"A": payrollA, "B": payrollB, "C": payrollC}
	for _, e := range engagements {
		for _, w := range wages[e] {
			if w.paid == "" {
				continue
			}
			s := slipOf(w)
			if e == "A" && w.period == "2026-04" {
				corrected, err := layouts[e](w, s)
				if err != nil {
					return err
				}
				files["payroll/A-2026-04-correction.csv"] = corrected
				s.overtime = 80 // typed with a slip of the finger, the amounts are right
			}
			text, err := layouts[e](w, s)
			if err != nil {
				return err
			}
			files[payrollFile(e, w)] = text
		}
		if err := writeJSON(files, "payroll/"+e+".mapping.json", mappings[e]); err != nil {
			return err
		}
	}
	return nil
}

func payrollFile(e string, w wage) string { return "payroll/" + e + "-" + w.period + ".csv" }

// payrollA is an export with dates by slashes and amounts with commas.
func payrollA(w wage, s slip) ([]byte, error) {
	p := attestation.Period(w.period)
	days, remark := "20", ""
	if w.zero {
		days, remark = "0", "私事都合による無給休暇 2/2～2/27"
	}
	return shiftJIS(table(
		[]string{"支給年月", "社員番号", "氏名", "部署", "対象期間(自)", "対象期間(至)", "支給日", "出勤日数", "有休日数", "所定労働時間", "時間外労働時間",
			"基本給", "技能手当", "時間外手当", "総支給額", "健康保険料", "厚生年金保険料", "雇用保険料", "所得税", "社宅費", "控除合計", "差引支給額", "振込額", "備考"},
		[]string{p.First().String()[:4] + "/" + p.First().String()[5:7], people["A"].employee, "ＮＧＵＹＥＮ　ＶＡＮ　ＭＡＵ", "製造一課", slashes(p.First()), slashes(p.Last()), slashes(day(w.paid)),
			days, "0", fmt.Sprintf("%.1f", s.scheduled), fmt.Sprintf("%.1f", s.overtime),
			yen(s.base), yen(s.skill), yen(s.overtimePay), yen(s.gross), yen(s.health), yen(s.pension), yen(s.employment), yen(s.tax), yen(s.rent), yen(s.deducts), yen(s.net), yen(s.net), remark},
	))
}

// payrollB is an export with dates by era, amounts with the yen sign, hours as hours and minutes, and half-width kana.
func payrollB(w wage, s slip) ([]byte, error) {
	p := attestation.Period(w.period)
	sign := func(n int64) string { return `\` + yen(n) } // the octet 5C, which Japanese systems show as the yen sign
	clock := func(h float64) string { return fmt.Sprintf("%d:%02d", int(h), int(h*60)%60) }
	return shiftJIS(table(
		[]string{"従業員ｺｰﾄﾞ", "従業員名", "所属ｺｰﾄﾞ", "給与区分", "計算期間開始日", "計算期間終了日", "支払日", "支払方法", "実働日数", "労働時間", "残業時間",
			"本給", "技術手当", "残業手当", "支給合計", "健保", "厚年", "雇保", "源泉所得税", "寮費", "控除計", "差引支給額", "振込先銀行", "振込先支店"},
		[]string{people["B"].employee, "ﾁｮﾝﾄ ｻﾘ", "０３", "定例給与", reiwa(p.First()), reiwa(p.Last()), reiwa(day(w.paid)), "銀行振込", "20", clock(s.scheduled), clock(s.overtime),
			sign(s.base), sign(s.skill), sign(s.overtimePay), sign(s.gross), sign(s.health), sign(s.pension), sign(s.employment), sign(s.tax), sign(s.rent), sign(s.deducts), sign(s.net), "9999", "999"},
	))
}

// payrollC is an export with plain numbers, the month in place of the period, and empty cells for 0.
func payrollC(w wage, s slip) ([]byte, error) {
	p := attestation.Period(w.period)
	plain := func(n int64) string { return fmt.Sprint(n) }
	return withBOM(table(
		[]string{"対象月", "支給日", "スタッフ番号", "スタッフ名", "拠点", "所定時間", "残業時間", "深夜時間", "休日時間", "基本給", "技能手当", "残業代", "通勤手当", "支給額合計",
			"健康保険", "介護保険", "厚生年金", "雇用保険", "所得税", "住民税", "家賃", "控除額合計", "差引支給額", "課税対象額", "メモ"},
		[]string{fmt.Sprintf("%d年%d月分", p.First().Year, p.First().Month), w.paid, people["C"].employee, "HALIMBAWA MARIA", "大阪第二", fmt.Sprintf("%.2f", s.scheduled), fmt.Sprintf("%.2f", s.overtime), "", "",
			plain(s.base), plain(s.skill), plain(s.overtimePay), "", plain(s.gross),
			plain(s.health), "", plain(s.pension), plain(s.employment), plain(s.tax), "", plain(s.rent), plain(s.deducts), plain(s.net), plain(s.gross), ""},
	)), nil
}

type mapping struct {
	Name           string            `json:"name"`
	Encoding       string            `json:"encoding"`
	ClosingDay     int               `json:"closing_day,omitempty"`
	BlankIsZero    bool              `json:"blank_is_zero"`
	Method         string            `json:"method,omitempty"`
	Methods        map[string]string `json:"methods,omitempty"`
	Kinds          map[string]string `json:"kinds,omitempty"`
	DeclaredInFull bool              `json:"declared_in_full"`
	Columns        map[string]string `json:"columns"`
}

var mappings = map[string]mapping{
	"A": {Name: "株式会社見本A 給与明細一覧", Encoding: "Shift_JIS", Method: "transfer", DeclaredInFull: true, Columns: map[string]string{
		"month": "支給年月", "employee_number": "社員番号", "from": "対象期間(自)", "to": "対象期間(至)", "paid_date": "支給日",
		"hours.scheduled": "所定労働時間", "hours.overtime": "時間外労働時間", "base": "基本給", "allowances.skill": "技能手当", "overtime_pay.overtime": "時間外手当",
		"gross": "総支給額", "deductions.health": "健康保険料", "deductions.pension": "厚生年金保険料", "deductions.employment_insurance": "雇用保険料",
		"deductions.income_tax": "所得税", "deductions.rent": "社宅費", "total_deductions": "控除合計", "net": "差引支給額"}},
	"B": {Name: "株式会社見本B 賃金台帳出力", Encoding: "Shift_JIS", DeclaredInFull: true,
		Methods: map[string]string{"銀行振込": "transfer", "現金": "cash"}, Kinds: map[string]string{"定例給与": "regular", "最終給与": "final", "支給なし": "zero"},
		Columns: map[string]string{
			"employee_number": "従業員コード", "kind": "給与区分", "from": "計算期間開始日", "to": "計算期間終了日", "paid_date": "支払日", "method": "支払方法",
			"hours.scheduled": "労働時間", "hours.overtime": "残業時間", "base": "本給", "allowances.skill": "技術手当", "overtime_pay.overtime": "残業手当",
			"gross": "支給合計", "deductions.health": "健保", "deductions.pension": "厚年", "deductions.employment_insurance": "雇保",
			"deductions.income_tax": "源泉所得税", "deductions.rent": "寮費", "total_deductions": "控除計", "net": "差引支給額"}},
	"C": {Name: "株式会社見本C 給与データ", Encoding: "UTF-8 with BOM", ClosingDay: 31, BlankIsZero: true, Method: "transfer", DeclaredInFull: true, Columns: map[string]string{
		"month": "対象月", "employee_number": "スタッフ番号", "paid_date": "支給日",
		"hours.scheduled": "所定時間", "hours.overtime": "残業時間", "hours.night": "深夜時間", "hours.holiday": "休日時間", "base": "基本給",
		"allowances.skill": "技能手当", "allowances.commuting": "通勤手当", "overtime_pay.overtime": "残業代", "gross": "支給額合計",
		"deductions.health": "健康保険", "deductions.care": "介護保険", "deductions.pension": "厚生年金", "deductions.employment_insurance": "雇用保険",
		"deductions.income_tax": "所得税", "deductions.resident_tax": "住民税", "deductions.rent": "家賃", "total_deductions": "控除額合計", "net": "差引支給額"}},
}
