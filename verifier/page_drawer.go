package verifier

import (
	"slices"
	"strconv"
	"strings"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/schemas"
)

// drawer is what the finding of one duty rests on: R3, reached from its cell.
type drawer struct {
	ID, Gap       string
	Title, Second string
	Period        string
	Glyph, Class  string
	Word          string
	Due, Nominal  string // nominal "" where no roll moved it
	Rule, Grace   string
	Holder        string // key
	HolderName    string
	Principal     string
	Basis         string
	ProvenFor     string // T of an absence
	Corroborated  string // "" for nobody
	Performed     bool   // whether it matters who corroborates it
	Actions       string
	Entries       []drawerEntry
	Statements    []drawerEntry
	Empty         []string // streams proven to hold nothing valid
	Checks        []checkLine
}

// drawerEntry is one record in a drawer; the token comes last.
type drawerEntry struct {
	Type, Result    string // keys; Result says what the record is worth
	Sign            string
	Why             string // sentence of the reason why it is not valid
	Issuer, Role    string
	Values          []drawerValue
	Index           uint64
	ID              string
	Existed, Before string
	Presented       bool
	Tied            bool
	Token           string // "" where it is not to be had
}

type drawerValue struct {
	Key   string // of its name
	Value string
	Shown bool
}

// drawerID is the fragment of a finding's drawer.
func drawerID(f *compliance.DutyFinding) string {
	return "d-" + strings.ReplaceAll(f.Obligation, "/", "-") + "-" + f.Period
}

func (v *view) drawers() (out []drawer) {
	for i := range v.assessment.Findings {
		out = append(out, v.drawer(i))
	}
	return out
}

func (v *view) drawer(i int) drawer {
	f := &v.assessment.Findings[i]
	o := obligationOf(f)
	item := v.cellItem(i)
	d := drawer{
		ID: item.Drawer, Gap: item.Gap, Title: f.Title[v.lang], Second: f.Title[otherLanguage(v.lang)], Period: v.period(f.Period),
		Glyph: item.Glyph, Class: classes[item.Glyph], Word: strings.TrimSpace(item.Word + " " + item.Detail),
		Due: f.Due.String(), Rule: v.dueRule(o), Grace: clockOf(f.GraceUntil), Holder: holderKey(f.DutyHolder), HolderName: v.nameOf(f.DutyHolder),
		Principal: v.principal(f), Basis: v.basis(f), Actions: v.actions(f), Checks: checkLines(v.texts, f.Checks),
		Performed: f.Finding == compliance.Fulfilled || f.Finding == compliance.PerformedLate || f.Finding == compliance.AttestedLate,
	}
	if f.NominalDue != f.Due {
		d.Nominal = f.NominalDue.String()
	}
	if f.Finding == compliance.Absent {
		d.ProvenFor = clockOf(f.AsOf)
		for _, s := range o.Streams {
			d.Empty = append(d.Empty, v.t("stream."+s))
		}
	}
	var by []string
	for _, role := range f.CorroboratedBy {
		by = append(by, v.t(holderKey(role)))
	}
	d.Corroborated = strings.Join(by, v.t("assessment.list"))
	for _, e := range v.entriesOf(f) {
		d.Entries = append(d.Entries, v.drawerEntry(e))
	}
	d.Statements = v.statements(f)
	return d
}

// validities are what an entry is worth, as signs and keys.
var validities = map[compliance.Validity]struct{ sign, key string }{
	compliance.Valid: {"✓", "drawer.valid"}, compliance.Junk: {"×", "drawer.junk"}, compliance.Unavailable: {"!", "drawer.unavailable"},
}

func (v *view) drawerEntry(e located) drawerEntry {
	worth := validities[e.entry.Validity]
	d := drawerEntry{
		Type: "type." + string(e.ladder.Stream.Type()), Result: worth.key, Sign: worth.sign, Index: e.entry.Index, ID: e.entry.ID,
		Existed: v.bound(e.entry.ExistedBy), Before: v.bound(e.entry.NotBefore), Presented: e.entry.Presented, Tied: e.entry.Tied,
		Token: v.facts.Credentials[e.entry.Index], Issuer: v.organization(e.entry.Attester), Role: holderKey(e.ladder.Stream.Filler(v.facts.Shown.HasSupport())),
	}
	if e.entry.Validity != compliance.Valid {
		d.Issuer = v.organization(e.entry.Submitter)
		if line := checkLines(v.texts, []compliance.Check{{Code: e.entry.Reason}}); e.entry.Reason != "" {
			d.Why = line[0].Sentence
		}
	}
	d.Values = v.values(e.entry.Claims)
	return d
}

// statements are those that the worker made about a duty, of the day and kind that the finding names, and the worker's own records of it.
func (v *view) statements(f *compliance.DutyFinding) (out []drawerEntry) {
	for i := range v.facts.Statements {
		s := &v.facts.Statements[i]
		if s.Claims.Kind == nil {
			continue
		}
		named := slices.Contains(f.WorkerActions, compliance.WorkerAction{Kind: *s.Claims.Kind, Date: s.Claims.Date})
		listed := slices.ContainsFunc(f.Entries, func(e compliance.EntryRef) bool { return e.Stream == "" && e.Index == s.Index })
		if !named && !listed {
			continue
		}
		out = append(out, drawerEntry{
			Type: "type." + string(attestation.TypeWorkerStatement), Result: "drawer.valid", Sign: "✓", Role: holderKey(attestation.Worker), Presented: true,
			Index: s.Index, ID: s.ID, Existed: v.bound(s.ExistedBy), Before: v.bound(s.NotBefore), Values: v.values(s.Claims), Token: v.facts.Stated[s.ID],
		})
	}
	return out
}

// values are the claims of a record that say what was done: those always visible, and the ones that the worker chose to show or not.
func (v *view) values(claims any) []drawerValue {
	l := valueList{v: v}
	switch c := claims.(type) {
	case *attestation.WagePayment:
		l.text("period", v.period(string(c.Period))).date("paid_date", c.PaidDate).text("kind", v.t("kind."+c.Kind)).yes("declared_in_full", c.DeclaredInFull)
		l.money("base", c.Base).money("gross", c.Gross).money("net", c.Net)
	case *attestation.WageReceipt:
		l.text("period", v.period(string(c.Period))).date("value_date", c.ValueDate).text("source", v.t("source."+c.Source)).money("amount", c.Amount).maybe("payer_name", c.PayerName)
	case *attestation.SupportInterview:
		l.text("interviewee", v.t("interviewee."+c.Interviewee)).date("date", c.Date).text("mode", v.t("mode."+c.Mode)).maybe("language", c.Language)
	case *attestation.SupportSession:
		l.text("item", c.Item).date("date", c.Date).text("mode", v.t("mode."+c.Mode))
	case *attestation.NotificationFiled:
		l.notification(&c.Notification)
	case *attestation.NotificationReceipt:
		l.notification(&c.Notification).text("source", v.t("source."+c.Source))
	case *attestation.Separation:
		l.date("end_date", c.EndDate).choice("reason_class", "reason.", c.ReasonClass)
	case *attestation.Remedy:
		l.text("duty", c.Duty.Obligation+" "+string(c.Duty.Period)+c.Duty.EventDate.String()).date("remedied_date", c.RemediedDate)
	case *attestation.WorkerStatement:
		l.choice("statement", "statement.", c.Kind).date("date", c.Date)
		if c.FiledDate != nil {
			l.date("filed_date", *c.FiledDate)
		}
		if c.ReferenceNumber != nil {
			l.maybe("receipt_number", c.ReferenceNumber)
		}
	}
	return l.out
}

// valueList collects the values of a record.
type valueList struct {
	v   *view
	out []drawerValue
}

func (l *valueList) text(name, value string) *valueList {
	if value != "" {
		l.out = append(l.out, drawerValue{"value." + name, value, true})
	}
	return l
}

func (l *valueList) date(name string, d attestation.Date) *valueList { return l.text(name, d.String()) }

func (l *valueList) yes(name string, yes bool) *valueList {
	return l.text(name, l.v.t("value."+strconv.FormatBool(yes)))
}

// maybe is a claim that the worker may withhold: then that is said, and nothing is read from it.
func (l *valueList) maybe(name string, value *string) *valueList {
	if value != nil {
		return l.text(name, *value)
	}
	l.out = append(l.out, drawerValue{"value." + name, schemas.Words().Findings[compliance.Undisclosed.String()].Text[l.v.lang], false})
	return l
}

func (l *valueList) money(name string, n *int64) *valueList {
	if n == nil {
		return l.maybe(name, nil)
	}
	return l.text(name, yen(*n))
}

// choice is a claim whose values are words of the vocabulary.
func (l *valueList) choice(name, prefix string, value *string) *valueList {
	if value == nil {
		return l.maybe(name, nil)
	}
	return l.text(name, l.v.t(prefix+*value))
}

func (l *valueList) notification(n *attestation.Notification) *valueList {
	return l.text("duty", n.Obligation+" "+string(n.Period)+n.EventDate.String()).date("filed_date", n.FiledDate).date("arrived_date", n.ArrivedDate).
		text("channel", l.v.t("channel."+n.Channel)).maybe("receipt_number", n.ReceiptNumber).maybe("office", n.Office)
}
