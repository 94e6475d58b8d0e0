package issuer

import (
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/internal/keys"
)

// A sheetCase spoils one cell of a valid sheet and expects the error there.
type sheetCase struct{ column, value, problem, at string } // at: the column named by the error, when it is another one

// sheetText makes a sheet of one row.
func sheetText(columns []string, cells map[string]string) []byte {
	p := payrollRows{header: columns, cells: cells}
	return p.text()
}

func spoilSheet[T any](t *testing.T, parse func(string, []byte) *Sheet[T], columns []string, valid map[string]string, cases []sheetCase) {
	t.Helper()
	if got := parse("s.csv", sheetText(columns, valid)); len(got.Rows) != 1 || len(got.Errors) != 0 {
		t.Fatalf("valid sheet: got %d rows, errors %v", len(got.Rows), got.Errors)
	}
	for _, c := range cases {
		cells := map[string]string{}
		for k, v := range valid {
			cells[k] = v
		}
		cells[c.column] = c.value
		got := parse("s.csv", sheetText(columns, cells))
		if c.at == "" {
			c.at = c.column
		}
		if len(got.Rows) != 0 || len(got.Errors) != 1 || got.Errors[0].Column != c.at || got.Errors[0].Problem != c.problem || got.Errors[0].Remedy == "" {
			t.Errorf("%s = %q: got %d rows, errors %v, want %s", c.column, c.value, len(got.Rows), got.Errors, c.problem)
		}
	}
}

func TestSheetNamesItsColumnsWhenOneIsMissing(t *testing.T) {
	for _, c := range []struct{ header, column, problem string }{
		{"利用者番号,面談対象,面談日", "mode", "the column is missing"},
		{"利用者番号,社員番号,面談対象,面談日,実施方法", "利用者番号", "this column and 社員番号 mean the same"},
	} {
		got := ParseInterviews("s.csv", []byte(c.header+"\n"+strings.Repeat("x,", strings.Count(c.header, ","))+"x\n"))
		if len(got.Rows) != 0 || len(got.Errors) != 1 || got.Errors[0].Column != c.column || got.Errors[0].Problem != c.problem {
			t.Errorf("%s: got %v, want %s: %s", c.header, got.Errors, c.column, c.problem)
		}
	}
	got := ParseInterviews("s.csv", []byte("利用者番号\n7\n"))
	if len(got.Errors) != 3 || !strings.Contains(got.Errors[0].Remedy, "reference = 対象者番号 = 社員番号") || !strings.Contains(got.Errors[0].Remedy, "private = 個室") {
		t.Errorf("got %v, want the table of headers", got.Errors)
	}
}

func TestInterviews(t *testing.T) {
	columns := []string{"利用者番号", "面談対象", "面談日", "実施方法", "個室", "使用言語", "通訳", "面談者", "開始時刻", "終了時刻", "所見"}
	valid := map[string]string{"利用者番号": "S-1", "面談対象": "監督者", "面談日": "2026/06/10", "実施方法": "オンライン", "個室": "○", "使用言語": "日本語", "通訳": "不要", "面談者": "支援責任者", "開始時刻": "9:00", "終了時刻": "9:30", "所見": "overtime; rent"}
	got := ParseInterviews("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 {
		t.Fatalf("got errors %v", got.Errors)
	}
	c := got.Rows[0].Claims
	if got.Rows[0].Reference != "S-1" || c.Interviewee != "supervisor" || c.Date.String() != "2026-06-10" || c.Mode != "online" || !*c.Private || *c.Language != "ja" || *c.Interpreter != "none" ||
		*c.InterviewerRole != "responsible" || *c.Start != "09:00" || *c.End != "09:30" || strings.Join(c.Findings, "|") != "overtime|rent" || c.ReportedAt != nil {
		t.Errorf("got %+v", c)
	}
	spoilSheet(t, ParseInterviews, columns, valid, []sheetCase{
		{"利用者番号", "", "the cell is empty", ""}, {"面談対象", "社長", "this is not one of the known words", ""}, {"面談日", "6/10", "this is not a date", ""}, {"実施方法", "電話", "this is not one of the known words", ""},
		{"個室", "たぶん", "this is neither yes nor no", ""}, {"使用言語", "方言", "this is not one of the known words", ""}, {"終了時刻", "8:00", "the interview ends before it begins", ""}, {"開始時刻", "25:00", "this is not a time of day", ""},
	})
}

func TestSessions(t *testing.T) {
	columns := []string{"reference", "item", "date", "mode", "minutes", "place", "language", "staff", "topics"}
	valid := map[string]string{"reference": "S-1", "item": "ハ", "date": "令和7年11月4日", "mode": "対面", "minutes": "480", "place": "本社", "language": "vi", "staff": "見本", "topics": "届出、交通"}
	got := ParseSessions("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 || got.Rows[0].Claims.Item != "ハ" || *got.Rows[0].Claims.Minutes != 480 || len(got.Rows[0].Claims.Topics) != 2 {
		t.Errorf("got %+v, errors %v", got.Rows, got.Errors)
	}
	spoilSheet(t, ParseSessions, columns, valid, []sheetCase{{"item", "ル", "this is not one of the known words", ""}, {"minutes", "1441", "this is not a whole number in the range", ""}, {"minutes", "-1", "this is not a whole number in the range", ""}})
}

func TestNotifications(t *testing.T) {
	columns := []string{"社員番号", "届出区分", "対象年度", "事由発生日", "届出日", "受理日", "提出方法", "受付番号"}
	valid := map[string]string{"社員番号": "7", "届出区分": "N-02", "事由発生日": "2026/09/30", "届出日": "2026/10/22", "受理日": "2026/10/22", "提出方法": "電子届出", "受付番号": "E-1"}
	spoilSheet(t, ParseNotifications, columns, valid, []sheetCase{
		{"届出区分", "第2号", "this is not the id of an obligation", ""}, {"対象年度", "2025年度", "a notice is about one event or about one period", "事由発生日"}, {"事由発生日", "", "a notice is about one event or about one period", ""},
		{"受理日", "2026/10/21", "the notice arrived before it was filed", ""}, {"事由発生日", "2026/10/23", "the notice was filed before the event", "届出日"}, {"提出方法", "電話", "this is not one of the known words", ""}, {"対象年度", "去年", "this is not a period", ""},
	})
	for in, want := range map[string]attestation.Period{"2025年度": "FY2025", "令和7年度": "FY2025", "FY2025": "FY2025", "R7年度": "FY2025", "令和元年度": "FY2019", "2026-Q2": "2026-Q2"} {
		if got, err := parseDutyPeriod(in); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestReceipts(t *testing.T) {
	columns := []string{"届出対象者", "届出区分", "対象年度", "事由発生日", "届出日", "受理日", "提出方法", "受付番号", "出所"}
	valid := map[string]string{"届出対象者": "7", "届出区分": "P-01", "対象年度": "令和7年度", "届出日": "2026/05/15", "受理日": "2026/05/16", "提出方法": "郵送", "受付番号": "E-1", "出所": "転記"}
	got := ParseReceipts("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 || got.Rows[0].Claims.Source != attestation.SourceTranscribed || got.Rows[0].Claims.Period != "FY2025" || *got.Rows[0].Claims.ReceiptNumber != "E-1" {
		t.Errorf("got %+v, errors %v", got.Rows, got.Errors)
	}
	spoilSheet(t, ParseReceipts, columns, valid, []sheetCase{
		{"出所", "噂", "this is not one of the known words", ""}, {"受理日", "2026/05/14", "the notice arrived before it was filed", ""}, {"事由発生日", "2026/05/14", "a notice is about one event or about one period", ""},
	})
	valid["出所"] = ""
	if got := ParseReceipts("s.csv", sheetText(columns, valid)); len(got.Rows) != 1 || got.Rows[0].Claims.Source != attestation.SourceAuthority {
		t.Errorf("without a source: got %+v, errors %v", got.Rows, got.Errors)
	}
}

func TestRemedies(t *testing.T) {
	columns := []string{"社員番号", "義務", "対象月", "事由発生日", "是正日", "支払賃金", "遅延利息", "勧告番号"}
	valid := map[string]string{"社員番号": "7", "義務": "W-05", "対象月": "2026-06", "是正日": "令和8年9月18日", "支払賃金": "212,000", "遅延利息": "3,000", "勧告番号": "第3号"}
	got := ParseRemedies("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 {
		t.Fatalf("got errors %v", got.Errors)
	}
	r := got.Rows[0].Claims
	if r.Duty != (attestation.DutyRef{Obligation: "W-05", Period: "2026-06"}) || r.RemediedDate.String() != "2026-09-18" || r.Amounts["wage"] != 212000 || r.Amounts["interest"] != 3000 || *r.DirectiveNumber != "第3号" {
		t.Errorf("got %+v", r)
	}
	spoilSheet(t, ParseRemedies, columns, valid, []sheetCase{
		{"義務", "賃金", "this is not the id of an obligation", ""}, {"是正日", "", "the cell is empty", ""}, {"対象月", "", "a remedy is about one event or about one period", "事由発生日"},
		{"事由発生日", "2026/09/01", "a remedy is about one event or about one period", ""}, {"支払賃金", "-1", "the amount is negative", ""},
	})
}

func TestSeparations(t *testing.T) {
	columns := []string{"対象者番号", "離職日", "離職理由", "離職理由コード", "異議の有無"}
	valid := map[string]string{"対象者番号": "7", "離職日": "令和8年9月30日", "離職理由": "自己都合", "離職理由コード": "4D", "異議の有無": "無"}
	got := ParseSeparations("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 || *got.Rows[0].Claims.ReasonClass != "worker" || got.Rows[0].Claims.EndDate.String() != "2026-09-30" || *got.Rows[0].Claims.Objection {
		t.Errorf("got %+v, errors %v", got.Rows, got.Errors)
	}
	spoilSheet(t, ParseSeparations, columns, valid, []sheetCase{{"離職日", "", "the cell is empty", ""}, {"離職理由", "不明", "this is not one of the known words", ""}})
}

func TestEnrolments(t *testing.T) {
	spoilSheet(t, ParseEnrolments, []string{"reference", "presentation"}, map[string]string{"reference": "9999-999-0000001", "presentation": "A-bank.sdjwt"}, []sheetCase{
		{"presentation", "../x", "this is not the plain name of a file", ""}, {"presentation", `c\x`, "this is not the plain name of a file", ""}, {"presentation", ".ssh", "this is not the plain name of a file", ""},
	})
}

func holderJWK(t testing.TB) string {
	t.Helper()
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return string(key.Public().JWK())
}

func TestEngagements(t *testing.T) {
	columns := []string{"reference", "employer_id", "employer_name_ja", "employer_name_en", "support_id", "support_name_ja", "support_name_en", "support_mode", "class", "field", "start", "end", "closing_day", "pay_day",
		"pay_month_offset", "holiday_rule", "pay_method", "contract_hash", "holder_jwk", "delivery_proof", "worker_name", "card_number", "nationality", "base_amount", "allowance.skill", "overtime_rate.overtime", "deduction.rent", "payer_kana", "memo"}
	valid := map[string]string{"reference": "1042", "employer_id": "8990000000001", "employer_name_ja": "見本", "employer_name_en": "Mihon", "support_id": "１９登９９９９９９", "support_name_ja": "支援", "support_name_en": "Support",
		"support_mode": "全部委託", "class": "1号", "field": "mfg", "start": "2025/11/1", "end": "2027/10/31", "closing_day": "末日", "pay_day": "25", "pay_month_offset": "翌月", "holiday_rule": "前営業日", "pay_method": "口座振込",
		"contract_hash": strings.Repeat("A", 43), "holder_jwk": holderJWK(t), "delivery_proof": "a.b.c", "worker_name": "MIHON", "card_number": "ZZ10000001ZZ", "nationality": "VN",
		"base_amount": "230,000", "allowance.skill": "20000", "overtime_rate.overtime": "1.25", "deduction.rent": "10000", "payer_kana": "ｶ)ﾐﾎﾝA"}
	got := ParseEngagements("s.csv", sheetText(columns, valid))
	if len(got.Rows) != 1 {
		t.Fatalf("got errors %v", got.Errors)
	}
	e := got.Rows[0].Claims.Engagement
	if e.Support.ID != "19登-999999" || e.ClosingDay != 31 || e.PayMonthOffset != 1 || e.HolidayRule != "prev" || *e.Terms.PayerKana != "ｶ)ﾐﾎﾝA" || e.Terms.Allowances["skill"] != 20000 ||
		e.Terms.OvertimeRate["overtime"] != "1.25" || e.Terms.AgreedDeductions["rent"] != 10000 || *e.WorkerIdentity.CardNumber != "ZZ10000001ZZ" || e.WorkerIdentity.BirthDate != nil {
		t.Errorf("got %+v, terms %+v", e, e.Terms)
	}
	if len(got.Ignored) != 1 || got.Ignored[0] != "memo" {
		t.Errorf("ignored: got %q, want memo", got.Ignored)
	}
	spoilSheet(t, ParseEngagements, columns, valid, []sheetCase{
		{"employer_id", "8990000000002", "this is not a corporate number, or its check digit is wrong", ""}, {"support_id", "19-1", "this is not a registration number", ""},
		{"end", "2025/10/31", "the contract ends before it begins", ""}, {"closing_day", "32", "this is not a whole number in the range", ""},
		{"contract_hash", "abc", "this is not the SHA-256 of a document", ""}, {"holder_jwk", `{"kty":"oct"}`, "this is not a public key as a JWK", ""}, {"holder_jwk", "{{holder_jwk}}", "this is not a public key as a JWK", ""},
		{"delivery_proof", "a.b", "this is not a delivery proof", ""}, {"card_number", "1234", "this is not the number of a residence card", ""}, {"nationality", "Vietnam", "this is not a country code", ""},
		{"overtime_rate.overtime", "125%", "this is not a rate", ""}, {"deduction.rent", "-1", "the amount is negative", ""},
	})
	valid["support_mode"] = "自社支援"
	if got := ParseEngagements("s.csv", sheetText(columns, valid)); len(got.Errors) != 1 || got.Errors[0].Column != "support_id" {
		t.Errorf("self-support with a support organization: got %v", got.Errors)
	}
}

func FuzzSheets(f *testing.F) {
	f.Add([]byte("利用者番号,面談対象,面談日,実施方法\nS-1,本人,2026/06/10,対面\n"))
	f.Add([]byte("reference,item,date,mode\nS-1,ハ,R8.6.1,online\n"))
	f.Add([]byte("reference,obligation,period,filed_date,arrived_date,channel\n7,P-01,令和7年度,2026-05-15,2026-05-15,窓口\n"))
	f.Add([]byte("reference,end_date,reason_class\n7,令和8年9月30日,自己都合\n"))
	f.Add([]byte("reference,obligation,event_date,filed_date,arrived_date,channel,source\n7,N-02,2026-09-30,2026-10-22,2026-10-22,窓口,転記\n"))
	f.Add([]byte("reference,obligation,period,remedied_date,wage\n7,W-05,2026-06,2026-09-18,212000\n"))
	f.Add([]byte("reference;presentation\n7;x.sdjwt\n"))
	f.Add([]byte("reference,presentation\n7,x.sdjwt\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		check(t, ParseInterviews("s.csv", data))
		check(t, ParseSessions("s.csv", data))
		check(t, ParseNotifications("s.csv", data))
		check(t, ParseReceipts("s.csv", data))
		check(t, ParseRemedies("s.csv", data))
		check(t, ParseSeparations("s.csv", data))
		check(t, ParseEnrolments("s.csv", data))
		check(t, ParseEngagements("s.csv", data))
	})
}

func check[T any](t *testing.T, s *Sheet[T]) {
	t.Helper()
	if len(s.Rows) == 0 && len(s.Errors) == 0 {
		t.Fatal("neither rows nor errors")
	}
	for _, r := range s.Rows {
		if r.Reference == "" || r.Row < 2 {
			t.Fatalf("a row without a reference: line %d", r.Row)
		}
	}
}
