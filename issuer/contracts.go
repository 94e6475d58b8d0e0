package issuer

import (
	"encoding/base64"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
)

// engagementColumns are the columns of a sheet of contracts. Besides them, allowance.CODE, overtime_rate.CLASS and deduction.CODE
// hold agreed allowances, overtime rates and deductions and may stand any number of times.
var engagementColumns = []sheetColumn{
	referenceColumn,
	needed("employer_id", "法人番号"),
	needed("employer_name_ja", "所属機関名"),
	needed("employer_name_en", "所属機関名(英語)"),
	optional("support_id", "登録支援機関番号", "登録番号"),
	optional("support_name_ja", "登録支援機関名"),
	optional("support_name_en", "登録支援機関名(英語)"),
	needed("support_mode", "支援方法"),
	needed("class", "在留資格区分"),
	needed("field", "分野"),
	needed("start", "契約開始日"),
	needed("end", "契約終了日"),
	needed("closing_day", "締日"),
	needed("pay_day", "支払日"),
	needed("pay_month_offset", "支払月"),
	needed("holiday_rule", "休日の扱い"),
	needed("pay_method", "支払方法"),
	needed("contract_hash", "契約書ハッシュ"),
	needed("holder_jwk", "本人の鍵"),
	optional("delivery_proof", "配達鍵の証明"),
	optional("worker_name", "氏名"),
	optional("birth_date", "生年月日"),
	optional("nationality", "国籍"),
	optional("card_number", "在留カード番号"),
	optional("stay_until", "在留期限"),
	optional("pay_kind", "給与形態"),
	optional("base_amount", "基本給"),
	optional("estimated_net", "手取り見込額"),
	optional("scheduled_hours", "所定労働時間"),
	optional("prefecture", "都道府県"),
	optional("payer_kana", "振込名義カナ"),
}

var codedTerm = regexp.MustCompile(`^(allowance|overtime_rate|deduction)\.([a-z][a-z0-9_]{0,31})$`)

var (
	closingDays  = choice{"末日": "31", "月末": "31"}
	payMonths    = choice{"0": "0", "当月": "0", "1": "1", "翌月": "1", "2": "2", "翌々月": "2"}
	classes      = choice{"i": attestation.ClassI, "1号": attestation.ClassI, "特定技能1号": attestation.ClassI, "ii": attestation.ClassII, "2号": attestation.ClassII, "特定技能2号": attestation.ClassII}
	supportModes = choice{"full": attestation.SupportFull, "全部委託": attestation.SupportFull, "partial": attestation.SupportPartial, "一部委託": attestation.SupportPartial, "self": attestation.SupportSelf, "自社支援": attestation.SupportSelf}
	holidayRules = choice{"prev": attestation.HolidayPrev, "前営業日": attestation.HolidayPrev, "next": attestation.HolidayNext, "翌営業日": attestation.HolidayNext, "none": attestation.HolidayNone, "変更なし": attestation.HolidayNone}
	payMethods   = choice{"transfer": attestation.PayTransfer, "口座振込": attestation.PayTransfer, "cash": attestation.PayCash, "現金": attestation.PayCash, "funds-transfer": attestation.PayFundsTransfer, "資金移動": attestation.PayFundsTransfer}
	payKinds     = choice{"monthly": "monthly", "月給": "monthly", "daily": "daily", "日給": "daily", "hourly": "hourly", "時給": "hourly"}
)

// ParseEngagements reads a sheet of contracts (CSV) with each worker's public key and delivery proof.
func ParseEngagements(file string, data []byte) *Sheet[EngagementRow] {
	var coded map[string]int
	out := parseSheet(file, data, engagementColumns, func(c *cells) EngagementRow {
		if coded == nil {
			coded = codedTerms(c.header)
		}
		c.columns = withColumns(c.columns, coded)
		r := EngagementRow{Engagement: readEngagement(c), HolderJWK: c.value("holder_jwk"), DeliveryProof: c.value("delivery_proof")}
		r.Engagement.Terms = readTerms(c, coded)
		r.Engagement.WorkerIdentity = &attestation.WorkerIdentity{
			Name: maybeCell(c, "worker_name", anyText), BirthDate: maybeCell(c, "birth_date", parseISODay), Nationality: maybeCell(c, "nationality", parseNationality),
			CardNumber: maybeCell(c, "card_number", parseCardNumber), StayUntil: maybeCell(c, "stay_until", parseISODay),
		}
		if *r.Engagement.WorkerIdentity == (attestation.WorkerIdentity{}) {
			r.Engagement.WorkerIdentity = nil
		}
		checkHolder(c)
		return r
	})
	out.Ignored = notCoded(out.Ignored)
	return out
}

func codedTerms(header []string) map[string]int {
	at := map[string]int{}
	for i, name := range header {
		if codedTerm.MatchString(name) {
			at[name] = i
		}
	}
	return at
}

func withColumns(a, b map[string]int) map[string]int {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func notCoded(names []string) (out []string) {
	for _, n := range names {
		if !codedTerm.MatchString(n) {
			out = append(out, n)
		}
	}
	return out
}

func readEngagement(c *cells) attestation.Engagement {
	e := attestation.Engagement{
		Employer: attestation.Party{ID: c.text("employer_id"), Name: map[string]string{"ja": c.text("employer_name_ja"), "en": c.text("employer_name_en")}},
		Ruleset:  "ssw-1", Class: c.choice("class", classes), Field: c.text("field"), SupportMode: c.choice("support_mode", supportModes),
		Start: c.day("start", false), End: c.day("end", false), ClosingDay: readCell(c, "closing_day", parseDayOfMonth), PayDay: readCell(c, "pay_day", parseDayOfMonth),
		HolidayRule: c.choice("holiday_rule", holidayRules), PayMethod: c.choice("pay_method", payMethods), ContractHash: readCell(c, "contract_hash", parseHash),
	}
	if offset := c.choice("pay_month_offset", payMonths); offset != "" {
		e.PayMonthOffset = int(offset[0] - '0')
	}
	if !c.blank("employer_id") && attestation.CheckCorporateNumber(e.Employer.ID) != nil {
		c.fail("employer_id", "this is not a corporate number, or its check digit is wrong", "compare it with the registry certificate: 13 digits")
	}
	if e.SupportMode != "" {
		e.Support = readSupport(c, e.SupportMode)
	}
	if !e.Start.IsZero() && !e.End.IsZero() && e.End.Before(e.Start) {
		c.fail("end", "the contract ends before it begins", "check both dates")
	}
	return e
}

func readSupport(c *cells, mode string) *attestation.Party {
	if mode == attestation.SupportSelf {
		if !c.blank("support_id") {
			c.fail("support_id", "there is no support organization where the employer supports by itself", "empty the cell, or correct support_mode")
		}
		return nil
	}
	id, err := attestation.CheckSupportRegistration(c.text("support_id"))
	if err != nil {
		c.fail("support_id", "this is not a registration number", "write it as 19登-000001")
	}
	return &attestation.Party{ID: id, Name: map[string]string{"ja": c.text("support_name_ja"), "en": c.text("support_name_en")}}
}

func readTerms(c *cells, coded map[string]int) *attestation.Terms {
	t := &attestation.Terms{
		PayKind: maybeCell(c, "pay_kind", payKinds.parse), BaseAmount: maybeCell(c, "base_amount", parseYen), EstimatedNet: maybeCell(c, "estimated_net", parseYen),
		ScheduledHours: maybeCell(c, "scheduled_hours", parseHours), Prefecture: maybeCell(c, "prefecture", anyText), PayerKana: maybeCell(c, "payer_kana", parsePayer),
	}
	for name := range coded {
		kind, code, _ := strings.Cut(name, ".")
		switch {
		case c.blank(name):
		case kind == "allowance":
			t.Allowances = put(t.Allowances, code, c.yen(name))
		case kind == "deduction":
			t.AgreedDeductions = put(t.AgreedDeductions, code, c.yen(name))
		default:
			t.OvertimeRate = put(t.OvertimeRate, code, readCell(c, name, parseRate))
		}
	}
	if reflect.ValueOf(*t).IsZero() {
		return nil
	}
	return t
}

func put[V any](m map[string]V, k string, v V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[k] = v
	return m
}

// checkHolder checks the form of the worker's keys; the issuing service verifies the proof.
func checkHolder(c *cells) {
	if text := c.text("holder_jwk"); text != "" {
		if _, err := keys.ParsePublic([]byte(text)); err != nil {
			c.fail("holder_jwk", "this is not a public key as a JWK", "copy the key that `akashi wallet init` printed, whole")
		}
	}
	if proof := c.value("delivery_proof"); proof != "" && strings.Count(proof, ".") != 2 {
		c.fail("delivery_proof", "this is not a delivery proof", "copy the proof that `akashi wallet init` printed, whole")
	}
}

func parseDayOfMonth(s string) (int, *cellError) {
	if v, ok := closingDays[s]; ok {
		s = v
	}
	return parseCount(s, 1, 31)
}

func parseHash(s string) (string, *cellError) {
	if b, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(b) != 32 {
		return "", &cellError{"this is not the SHA-256 of a document", "write base64url of 32 octets: 43 characters"}
	}
	return s, nil
}

var (
	ratePattern = regexp.MustCompile(`^[0-9]\.[0-9]{1,2}$`)
	nationality = regexp.MustCompile(`^[A-Z]{2}$`)
)

func parseRate(s string) (string, *cellError) {
	if !ratePattern.MatchString(s) {
		return "", &cellError{"this is not a rate", "write it as 1.25"}
	}
	return s, nil
}

func parseNationality(s string) (string, *cellError) {
	if !nationality.MatchString(s) {
		return "", &cellError{"this is not a country code", "write two capital letters (ISO 3166-1), such as VN"}
	}
	return s, nil
}

func parseCardNumber(s string) (string, *cellError) {
	if attestation.CheckCardNumber(s) != nil {
		return "", &cellError{"this is not the number of a residence card", "write it as on the card: two letters, eight digits, two letters"}
	}
	return s, nil
}

// parsePayer keeps a payer's name as banks write it: half-width kana.
func parsePayer(s string) (string, *cellError) { return narrow(s), nil }
