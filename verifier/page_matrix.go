package verifier

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/schemas"
)

// matrix is the duties by month: a real table, whose cells say in words what their glyphs show.
type matrix struct {
	Months []month
	Rows   []row
}

type month struct {
	Year  string // where it is the first of its year in the block
	Month int
	Name  string // as a reader hears it
	Later bool   // outside of the months under judgement: a duty of theirs falls due in it
}

type row struct {
	Title, Second string // in the page's language, and in the other
	Due           string
	Holder        string // key of its name
	Cells         []cell
}

// cell is one duty in one month, rarely several; without any, none of this kind falls into the month.
type cell struct {
	Class string
	Items []cellItem
}

type cellItem struct {
	Glyph  string
	Word   string // of the finding, with what belongs to it
	Mark   string // of a legend line
	Detail string // days, yen or date, always shown
	Short  string // the same as it fits into the cell
	Gap    string // E-1
	Drawer string
}

// Marks of legend lines.
const (
	markOwnRecord = "*"
	markNotOpened = "†"
)

// classes are the looks of the cells, by glyph: border and hatching say the same as the colour.
var classes = map[string]string{"○": "ok", "△": "late", "≠": "con", "×": "abs", "？": "und", "…": "pen", "!": "unk", "–": "nd"}

// monthOf is the month in which a finding stands: wages under their period, everything else under that of its nominal due date.
// Where no calendar tells the due date, the month is that of the period's end or of the event.
func monthOf(f *compliance.DutyFinding) attestation.Period {
	p := attestation.Period(f.Period)
	switch {
	case p.Kind() == attestation.Month:
		return p
	case !f.NominalDue.IsZero():
		return attestation.MonthOf(f.NominalDue)
	}
	if event, err := attestation.ParseDate(f.Period); err == nil {
		return attestation.MonthOf(event)
	}
	return attestation.MonthOf(p.Last())
}

// columnsAtMost fit beside the names of the duties on A4 portrait.
const columnsAtMost = 14

// months are those under judgement, and those outside in which a duty falls due.
func (v *view) months() (all []attestation.Period, inside map[attestation.Period]bool) {
	all = attestation.PeriodsBetween(attestation.Month, v.facts.First.First(), v.facts.Last.Last())
	inside = map[attestation.Period]bool{}
	for _, m := range all {
		inside[m] = true
	}
	for i := range v.assessment.Findings {
		if m := monthOf(&v.assessment.Findings[i]); !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	slices.Sort(all)
	return all, inside
}

// matrices lays the duties out by month, in blocks of about equally many months.
func (v *view) matrices() (blocks []matrix) {
	all, inside := v.months()
	if len(all) == 0 {
		return nil
	}
	n := (len(all) + columnsAtMost - 1) / columnsAtMost
	for chunk := range slices.Chunk(all, (len(all)+n-1)/n) {
		m := matrix{Months: v.columns(chunk, inside)}
		for _, o := range v.rows() {
			m.Rows = append(m.Rows, v.row(o, chunk))
		}
		blocks = append(blocks, m)
	}
	return blocks
}

func (v *view) columns(chunk []attestation.Period, inside map[attestation.Period]bool) (out []month) {
	year := 0
	for _, m := range chunk {
		first := m.First()
		c := month{Month: int(first.Month), Name: v.period(string(m)), Later: !inside[m]}
		if first.Year != year {
			year, c.Year = first.Year, strconv.Itoa(first.Year)
		}
		out = append(out, c)
	}
	return out
}

// rows are the obligations that have a finding, and those that arise from the end of the contract where it is shown that it has not ended:
// where that was not shown, nothing is said of them.
func (v *view) rows() (out []schemas.Obligation) {
	found, taken := map[string]bool{}, map[string]bool{}
	for _, f := range v.assessment.Findings {
		found[f.Obligation] = true
	}
	events := v.eventsOpened()
	for _, o := range schemas.Obligations() { // one row, however often the law has changed it
		if !taken[o.ID] && (found[o.ID] || events && o.Recurrence == "event") {
			out, taken[o.ID] = append(out, o), true
		}
	}
	return out
}

// eventsOpened reports whether every slot that could tell of the end of the contract was opened.
func (v *view) eventsOpened() bool {
	some := false
	for _, l := range v.facts.Ladders {
		if l.Stream == attestation.SeparationEmployer || l.Stream == attestation.SeparationOffice {
			if !l.Opened && l.Period.First().Before(v.facts.Last.Last()) {
				return false
			}
			some = some || l.Opened
		}
	}
	return some
}

func (v *view) row(o schemas.Obligation, months []attestation.Period) row {
	r := row{Title: o.Title[v.lang], Second: o.Title[otherLanguage(v.lang)], Due: v.dueRule(o), Holder: holderKey(v.holderOf(o)), Cells: make([]cell, len(months))}
	for i := range v.assessment.Findings {
		f := &v.assessment.Findings[i]
		if f.Obligation != o.ID {
			continue
		}
		if at := slices.Index(months, monthOf(f)); at >= 0 {
			r.Cells[at].Items = append(r.Cells[at].Items, v.cellItem(i))
		}
	}
	for i := range r.Cells {
		r.Cells[i].finish(v)
	}
	return r
}

// holderOf is who owes a duty of this engagement.
func (v *view) holderOf(o schemas.Obligation) attestation.Role {
	if o.DutyHolderWithoutSupport != "" && !v.facts.Shown.HasSupport() {
		return attestation.Role(o.DutyHolderWithoutSupport)
	}
	return attestation.Role(o.DutyHolder)
}

// finish gives a cell its look, that of its first finding that is a gap, and a word where no duty falls into the month.
func (c *cell) finish(v *view) {
	if len(c.Items) == 0 {
		c.Items = []cellItem{{Glyph: "–", Word: v.note("not_applicable")}}
	}
	c.Class = classes[c.Items[0].Glyph]
	for _, item := range c.Items {
		if item.Gap != "" {
			c.Class = classes[item.Glyph]
			return
		}
	}
}

func (v *view) cellItem(i int) cellItem {
	f := &v.assessment.Findings[i]
	item := cellItem{Glyph: glyph(f.Finding), Word: v.word(f.Finding), Detail: v.detail(f), Gap: v.gaps[i], Drawer: drawerID(f)}
	item.Short = strings.NewReplacer(" days", "d", " day", "d").Replace(item.Detail)
	for _, n := range v.additions(f) {
		item.Word += v.t("assessment.addition", "note", v.note(n))
		switch n {
		case noteOwnRecord:
			item.Mark = markOwnRecord
		case noteNotOpened:
			item.Mark = markNotOpened
		}
	}
	return item
}

func glyph(f compliance.Finding) string { return schemas.Words().Findings[f.String()].Glyph }

// detail is what always stands beside a finding's word: days late, yen short, or the day of the remedy.
func (v *view) detail(f *compliance.DutyFinding) string {
	form := schemas.Words().Findings[f.Finding.String()].Detail[v.lang]
	n, d := strconv.Itoa(f.DaysLate), ""
	switch f.Finding {
	case compliance.Short:
		amount, known := v.unshownOf(f)
		if !known {
			return ""
		}
		n = strings.TrimPrefix(yen(amount), "¥")
	case compliance.Remedied:
		r := v.remedyOf(f)
		if r == nil {
			return ""
		}
		d = v.shortDay(r.RemediedDate)
	}
	if form == "+{n} days" && f.DaysLate == 1 {
		form = "+{n} day"
	}
	return strings.NewReplacer("{n}", n, "{d}", d).Replace(form)
}

// Additions to a finding's word (schemas.WordTable.Notes).
const (
	noteOwnRecord = "own_record_only"
	noteZero      = "zero"
	noteInvalid   = "invalid_record"
	noteNotOpened = "not_opened"
)

// additions are what a finding's word does not say and must not be passed over.
func (v *view) additions(f *compliance.DutyFinding) (out []string) {
	if f.OwnRecordOnly {
		out = append(out, noteOwnRecord)
	}
	if f.Finding == compliance.Fulfilled && v.isZeroWage(f) {
		out = append(out, noteZero)
	}
	if f.Finding == compliance.Absent && len(v.junkOf(f)) > 0 {
		out = append(out, noteInvalid)
	}
	if f.Finding == compliance.Undisclosed && slices.ContainsFunc(f.Checks, func(c compliance.Check) bool { return c.Code == compliance.CodeSlotNotOpened }) {
		out = append(out, noteNotOpened)
	}
	return out
}

// dueRule says in few words when a duty falls due, by the register and the contract.
func (v *view) dueRule(o schemas.Obligation) string {
	if o.Deadline != "pay-day" {
		return v.t("due." + o.Deadline)
	}
	e := v.facts.Shown
	key := fmt.Sprintf("due.pay-day_%d", min(max(e.PayMonthOffset, 0), 2))
	if e.PayDay >= 31 {
		return v.t(key + "_last")
	}
	return v.t(key, "day", e.PayDay)
}

// legendItem is a line that says what a glyph means.
type legendItem struct {
	Glyph, Class string
	Words        []string // of the findings that it stands for, as far as the page has them
	Seconds      []string
	Meaning      string // key
}

// legend explains the glyphs of the page; six of them always, for a reader who compares pages.
func (v *view) legend() (out []legendItem) {
	words := schemas.Words()
	add := func(key string, always bool, findings ...compliance.Finding) {
		item := legendItem{Glyph: glyph(findings[0]), Meaning: "legend." + key}
		item.Class = classes[item.Glyph]
		for i, f := range findings {
			if v.count(f) > 0 || always && i == 0 {
				text := words.Findings[f.String()].Text
				item.Words, item.Seconds = append(item.Words, text[v.lang]), append(item.Seconds, text[otherLanguage(v.lang)])
			}
		}
		if len(item.Words) > 0 {
			out = append(out, item)
		}
	}
	add("fulfilled", true, compliance.Fulfilled)
	add("late", true, compliance.PerformedLate, compliance.AttestedLate, compliance.Short, compliance.Remedied)
	add("contradicted", true, compliance.Contradicted)
	add("absent", true, compliance.Absent)
	add("undisclosed", true, compliance.Undisclosed)
	add("not_due", true, compliance.NotDue, compliance.Excused)
	out[len(out)-1].Words = append(out[len(out)-1].Words, words.Notes["not_applicable"][v.lang])
	out[len(out)-1].Seconds = append(out[len(out)-1].Seconds, words.Notes["not_applicable"][otherLanguage(v.lang)])
	add("pending", false, compliance.Pending)
	add("unknown", false, compliance.Unknown)
	return out
}

// notes are texts under the matrix, for what stands in it.
func (v *view) notes() (keys []string) {
	marks := map[string]bool{}
	for i := range v.assessment.Findings {
		marks[v.cellItem(i).Mark] = true
	}
	if marks[markOwnRecord] {
		keys = append(keys, "legend.own_record")
	}
	if marks[markNotOpened] {
		keys = append(keys, "legend.not_opened")
	}
	if !v.eventsOpened() {
		keys = append(keys, "legend.events_not_opened")
	}
	return append(keys, "legend.notices")
}
