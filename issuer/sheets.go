package issuer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"akashi/attestation"
)

// EnrolmentRow says which presentation of a worker belongs to a reference.
type EnrolmentRow struct {
	Presentation string // name of the file with the worker's presentation of the engagement; never a path
}

// EngagementRow is one contract, for the worker who owns the holder key.
type EngagementRow struct {
	Engagement    attestation.Engagement // without registry and slots, which the issuing service adds
	HolderJWK     string                 // the worker's public key
	DeliveryProof string                 // compact JWS by that key, which names the delivery key
}

// A sheetColumn is one column of a sheet with fixed headers: its name, and the Japanese headers that are taken for it.
type sheetColumn struct {
	name     string
	synonyms []string
	needed   bool
}

func needed(name string, synonyms ...string) sheetColumn { return sheetColumn{name, synonyms, true} }
func optional(name string, synonyms ...string) sheetColumn {
	return sheetColumn{name, synonyms, false}
}

// columns finds the columns of a sheet; false after errors.
func (t *table) columns(want []sheetColumn) (map[string]int, bool) {
	at, used, ok := map[string]int{}, map[int]bool{}, true
	for _, c := range want {
		at[c.name] = -1
		for _, name := range append([]string{c.name}, c.synonyms...) {
			i := t.column(name)
			if i < 0 {
				continue
			}
			if at[c.name] >= 0 {
				t.fail(1, t.header[i], "", "this column and "+t.header[at[c.name]]+" mean the same", "remove or rename one of them")
				ok = false
			}
			at[c.name], used[i] = i, true
		}
		if c.needed && at[c.name] < 0 {
			t.fail(1, c.name, "", "the column is missing", "the columns are: "+describe(want))
			ok = false
		}
	}
	return at, ok
}

// describe prints the table of headers, for errors and help.
func describe(columns []sheetColumn) string {
	var out []string
	for _, c := range columns {
		s := strings.Join(append([]string{c.name}, c.synonyms...), " = ")
		if !c.needed {
			s += " (optional)"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// parseSheet reads a sheet with fixed headers; parse reads one row and may report errors through its cells.
func parseSheet[T any](file string, data []byte, want []sheetColumn, parse func(c *cells) T) *Sheet[T] {
	t := readTable(file, data, "", "")
	out := &Sheet[T]{File: file, Encoding: t.encoding}
	if len(t.header) > 0 {
		at, ok := t.columns(want)
		if ok {
			out.Ignored, out.Headers = t.ignored(usedColumns(at)), t.headers(at)
			for _, row := range t.rows {
				c := &cells{table: t, row: row, columns: at}
				r := Row[T]{Row: row.line, Reference: c.text("reference"), Claims: parse(c)}
				if !c.failed {
					out.Rows = append(out.Rows, r)
				}
			}
		}
	}
	slices.SortStableFunc(t.errors, func(a, b RowError) int { return a.Row - b.Row })
	out.Errors, out.Notes = t.errors, t.notes
	return out
}

func usedColumns(at map[string]int) map[int]bool {
	used := map[int]bool{}
	for _, i := range at {
		used[i] = true
	}
	return used
}

var (
	referenceColumn = needed("reference", "対象者番号", "社員番号", "従業員番号", "利用者番号", "口座番号", "届出対象者")
	modeColumn      = needed("mode", "実施方法", "方法")
	modes           = choice{"in-person": attestation.ModeInPerson, "対面": attestation.ModeInPerson, "online": attestation.ModeOnline, "オンライン": attestation.ModeOnline}
	interpreters    = choice{"own": "own", "自社": "own", "自所": "own", "external": "external", "外部": "external", "none": "none", "なし": "none", "不要": "none"}
	languages       = choice{"ja": "ja", "日本語": "ja", "en": "en", "英語": "en", "vi": "vi", "ベトナム語": "vi", "id": "id", "インドネシア語": "id",
		"tl": "tl", "タガログ語": "tl", "fil": "fil", "フィリピノ語": "fil", "my": "my", "ミャンマー語": "my", "ビルマ語": "my", "km": "km", "クメール語": "km", "カンボジア語": "km",
		"ne": "ne", "ネパール語": "ne", "zh": "zh", "中国語": "zh", "th": "th", "タイ語": "th", "mn": "mn", "モンゴル語": "mn", "si": "si", "シンハラ語": "si",
		"bn": "bn", "ベンガル語": "bn", "ur": "ur", "ウルドゥー語": "ur", "hi": "hi", "ヒンディー語": "hi", "lo": "lo", "ラオス語": "lo", "uz": "uz", "ウズベク語": "uz"}
)

var interviewColumns = []sheetColumn{
	referenceColumn,
	needed("interviewee", "面談対象", "面談相手"),
	needed("date", "面談日", "実施日"),
	modeColumn,
	optional("private", "個室", "第三者の同席なし"),
	optional("language", "使用言語", "言語"),
	optional("interpreter", "通訳"),
	optional("interviewer_role", "面談者", "面談者区分"),
	optional("start", "開始時刻", "開始"),
	optional("end", "終了時刻", "終了"),
	optional("online_consent", "オンライン同意"),
	optional("findings", "所見", "問題の有無"),
	optional("reported_to", "通報先"),
	optional("reported_at", "通報日"),
}

// ParseInterviews reads a sheet of periodic interviews (CSV). Findings are codes divided by semicolons; an empty cell states none.
func ParseInterviews(file string, data []byte) *Sheet[attestation.SupportInterview] {
	who := choice{"worker": attestation.IntervieweeWorker, "本人": attestation.IntervieweeWorker, "特定技能外国人": attestation.IntervieweeWorker,
		"supervisor": attestation.IntervieweeSupervisor, "監督者": attestation.IntervieweeSupervisor, "監督をする立場の者": attestation.IntervieweeSupervisor}
	roles := choice{"responsible": "responsible", "支援責任者": "responsible", "責任者": "responsible", "charge": "charge", "支援担当者": "charge", "担当者": "charge"}
	return parseSheet(file, data, interviewColumns, func(c *cells) attestation.SupportInterview {
		s := attestation.SupportInterview{
			Interviewee: c.choice("interviewee", who), Date: c.day("date", false), Mode: c.choice("mode", modes),
			Private: maybeCell(c, "private", parseFlag), Language: maybeCell(c, "language", languages.parse),
			Interpreter: maybeCell(c, "interpreter", interpreters.parse), InterviewerRole: maybeCell(c, "interviewer_role", roles.parse),
			Start: maybeCell(c, "start", parseClock), End: maybeCell(c, "end", parseClock),
			OnlineConsent: maybeCell(c, "online_consent", parseFlag), Findings: c.list("findings"),
			ReportedTo: maybeCell(c, "reported_to", anyText), ReportedAt: maybeCell(c, "reported_at", parseISODay),
		}
		if s.Start != nil && s.End != nil && *s.End <= *s.Start {
			c.fail("end", "the interview ends before it begins", "check both times")
		}
		return s
	})
}

var sessionColumns = []sheetColumn{
	referenceColumn,
	needed("item", "支援項目", "支援区分"),
	needed("date", "実施日"),
	modeColumn,
	optional("minutes", "時間(分)", "所要時間"),
	optional("place", "場所", "実施場所"),
	optional("language", "使用言語", "言語"),
	optional("interpreter", "通訳"),
	optional("staff", "担当者", "支援担当者"),
	optional("topics", "内容", "支援内容"),
}

// ParseSessions reads a sheet of support sessions (CSV). The item is イ to ヌ, or enrolled for having taken up the engagement.
func ParseSessions(file string, data []byte) *Sheet[attestation.SupportSession] {
	items := choice{attestation.ItemEnrolled: attestation.ItemEnrolled, "登録": attestation.ItemEnrolled}
	for _, item := range attestation.Items {
		items[item] = item
	}
	minutes := func(s string) (int64, *cellError) { n, err := parseCount(s, 0, 24*60); return int64(n), err }
	return parseSheet(file, data, sessionColumns, func(c *cells) attestation.SupportSession {
		return attestation.SupportSession{
			Item: c.choice("item", items), Date: c.day("date", false), Mode: c.choice("mode", modes),
			Minutes: maybeCell(c, "minutes", minutes), Place: maybeCell(c, "place", anyText), Language: maybeCell(c, "language", languages.parse),
			Interpreter: maybeCell(c, "interpreter", interpreters.parse), Staff: maybeCell(c, "staff", anyText), Topics: c.list("topics"),
		}
	})
}

var notificationColumns = []sheetColumn{
	referenceColumn,
	needed("obligation", "届出区分", "届出番号"),
	optional("event_date", "事由発生日"),
	optional("period", "対象年度", "対象期間"),
	optional("known_date", "覚知日", "事由を知った日"),
	needed("filed_date", "届出日", "提出日"),
	needed("arrived_date", "受理日", "到達日"),
	needed("channel", "提出方法", "届出方法"),
	optional("form", "様式", "様式番号"),
	optional("office", "届出先", "提出先"),
	optional("receipt_number", "受付番号"),
}

var (
	obligationPattern = regexp.MustCompile(`^[A-Z]-[0-9]{2}[a-z]?$`)
	fiscalYearPattern = regexp.MustCompile(`^(?:FY([0-9]{4})|([0-9]{4})年度|(?:令和|R)(元|[0-9]{1,2})年度?)$`)
)

// ParseNotifications reads a sheet of notices filed (CSV). An event duty has event_date, a periodic one period: FY2025, 2025年度, 令和7年度.
func ParseNotifications(file string, data []byte) *Sheet[attestation.NotificationFiled] {
	return parseSheet(file, data, notificationColumns, func(c *cells) attestation.NotificationFiled {
		return attestation.NotificationFiled{Notification: c.notification()}
	})
}

var receiptColumns = append(slices.Clone(notificationColumns), optional("source", "出所"))

// ParseReceipts reads a sheet of receipts of notices (CSV), which has the columns of the notices and may say that a receipt was transcribed from
// paper; else the office itself gave it.
func ParseReceipts(file string, data []byte) *Sheet[attestation.NotificationReceipt] {
	sources := choice{"authority": attestation.SourceAuthority, "官署": attestation.SourceAuthority, "transcribed": attestation.SourceTranscribed, "転記": attestation.SourceTranscribed}
	return parseSheet(file, data, receiptColumns, func(c *cells) attestation.NotificationReceipt {
		r := attestation.NotificationReceipt{Notification: c.notification(), Source: attestation.SourceAuthority}
		if source := maybeCell(c, "source", sources.parse); source != nil {
			r.Source = *source
		}
		return r
	})
}

// notification reads the columns of a notice.
func (c *cells) notification() attestation.Notification {
	channels := choice{"e-system": attestation.ChannelESystem, "電子届出": attestation.ChannelESystem, "電子届出システム": attestation.ChannelESystem,
		"counter": attestation.ChannelCounter, "窓口": attestation.ChannelCounter, "post": attestation.ChannelPost, "郵送": attestation.ChannelPost}
	n := attestation.Notification{
		Obligation: readCell(c, "obligation", parseObligation), FiledDate: c.day("filed_date", false), ArrivedDate: c.day("arrived_date", false),
		Channel: c.choice("channel", channels), Form: maybeCell(c, "form", anyText), Office: maybeCell(c, "office", anyText),
		ReceiptNumber: maybeCell(c, "receipt_number", anyText),
	}
	n.KnownDate = c.maybeDay("known_date")
	n.EventDate, n.Period = c.occasion("a notice")
	switch {
	case c.failed:
	case n.ArrivedDate.Before(n.FiledDate):
		c.fail("arrived_date", "the notice arrived before it was filed", "check both dates")
	case !n.EventDate.IsZero() && n.FiledDate.Before(n.EventDate):
		c.fail("filed_date", "the notice was filed before the event", "check both dates")
	}
	return n
}

// occasion reads the event or the period that a row is about.
func (c *cells) occasion(what string) (event attestation.Date, period attestation.Period) {
	event = c.maybeDay("event_date")
	if p := maybeCell(c, "period", parseDutyPeriod); p != nil {
		period = *p
	}
	if !c.failed && (period == "") == event.IsZero() {
		c.fail("event_date", what+" is about one event or about one period", "fill in exactly one of event_date and period")
	}
	return event, period
}

var remedyColumns = []sheetColumn{
	referenceColumn,
	needed("obligation", "義務", "届出区分"),
	optional("event_date", "事由発生日"),
	optional("period", "対象月", "対象期間", "対象年度"),
	needed("remedied_date", "是正日", "支払日"),
	optional("wage", "支払賃金", "是正額"),
	optional("interest", "遅延損害金", "遅延利息"),
	optional("directive_number", "是正勧告番号", "勧告番号"),
}

// ParseRemedies reads a sheet of gaps that were mended afterwards (CSV): the duty, by its event or its period, and what was done on which day.
func ParseRemedies(file string, data []byte) *Sheet[attestation.Remedy] {
	return parseSheet(file, data, remedyColumns, func(c *cells) attestation.Remedy {
		r := attestation.Remedy{
			Duty:         attestation.DutyRef{Obligation: readCell(c, "obligation", parseObligation)},
			RemediedDate: c.day("remedied_date", false), DirectiveNumber: maybeCell(c, "directive_number", anyText),
		}
		r.Duty.EventDate, r.Duty.Period = c.occasion("a remedy")
		for _, name := range []string{"wage", "interest"} {
			amount := maybeCell(c, name, parseYen)
			if amount == nil {
				continue
			}
			if r.Amounts == nil {
				r.Amounts = map[string]int64{}
			}
			r.Amounts[name] = *amount
		}
		return r
	})
}

func parseObligation(s string) (string, *cellError) {
	if !obligationPattern.MatchString(s) {
		return "", &cellError{"this is not the id of an obligation", "write an id of the register, such as N-02"}
	}
	return s, nil
}

func parseDutyPeriod(s string) (attestation.Period, *cellError) {
	if m := fiscalYearPattern.FindStringSubmatch(s); m != nil {
		year := m[1] + m[2]
		if year == "" {
			year = fmt.Sprint(eraYear("令和", m[3]))
		}
		return attestation.Period("FY" + year), nil
	}
	p, err := attestation.ParsePeriod(s)
	if err != nil || p.Kind() == attestation.Events {
		return "", &cellError{"this is not a period", "write FY2025, 2025年度, 2026-Q2 or 2026-05"}
	}
	return p, nil
}

var separationColumns = []sheetColumn{
	referenceColumn,
	needed("end_date", "契約終了日", "離職日", "退職日"),
	optional("reason_class", "終了事由", "離職理由", "離職理由区分"),
	optional("reason_code", "離職理由コード"),
	optional("objection", "異議の有無", "異議"),
}

// ParseSeparations reads a sheet of ended contracts (CSV).
func ParseSeparations(file string, data []byte) *Sheet[attestation.Separation] {
	reasons := choice{"employer": attestation.ReasonEmployer, "会社都合": attestation.ReasonEmployer, "所属機関の責め": attestation.ReasonEmployer, "事業主都合": attestation.ReasonEmployer,
		"worker": attestation.ReasonWorker, "自己都合": attestation.ReasonWorker, "expiry": attestation.ReasonExpiry, "期間満了": attestation.ReasonExpiry, "authority": attestation.ReasonAuthority}
	return parseSheet(file, data, separationColumns, func(c *cells) attestation.Separation {
		return attestation.Separation{
			EndDate: c.day("end_date", false), ReasonClass: maybeCell(c, "reason_class", reasons.parse),
			ReasonCode: maybeCell(c, "reason_code", anyText), Objection: maybeCell(c, "objection", parseFlag),
		}
	})
}

var enrolmentColumns = []sheetColumn{referenceColumn, needed("presentation", "提示ファイル", "ファイル名")}

// ParseEnrolments reads which presentation file belongs to which reference (CSV).
func ParseEnrolments(file string, data []byte) *Sheet[EnrolmentRow] {
	return parseSheet(file, data, enrolmentColumns, func(c *cells) EnrolmentRow {
		name := c.text("presentation")
		if strings.ContainsAny(name, `/\¥:`) || strings.HasPrefix(name, ".") {
			c.fail("presentation", "this is not the plain name of a file", "put the file beside the sheet and write its name alone")
		}
		return EnrolmentRow{name}
	})
}

// list reads texts divided by semicolons; none is an empty list where the column is there, and nil where it is not.
func (c *cells) list(field string) []string {
	if !c.has(field) {
		return nil
	}
	out := []string{}
	for _, s := range strings.FieldsFunc(c.value(field), func(r rune) bool { return r == ';' || r == '、' }) {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func parseISODay(s string) (attestation.Date, *cellError) { return parseDay(s, false) }

func (c *cells) maybeDay(field string) attestation.Date {
	if c.blank(field) {
		return attestation.Date{}
	}
	return c.day(field, false)
}
