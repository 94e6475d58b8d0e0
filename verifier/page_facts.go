package verifier

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/i18n"
	"akashi/schemas"
)

// deviation is the evidence of one gap, on one line of the page: who owed what by when, by which rule, what was found, and what the worker did.
type deviation struct {
	Number, Drawer string
	Period, Title  string
	Due            string
	Word           string
	Facts          string
	Proof          []string
	Holder         string // key
	Principal      string // who answers too
	Actions        string // "" for none
}

func (v *view) deviations() (out []deviation) {
	for i := range v.assessment.Findings {
		number, ok := v.gaps[i]
		if !ok {
			continue
		}
		f := &v.assessment.Findings[i]
		out = append(out, deviation{
			Number: number, Drawer: drawerID(f), Period: v.shortPeriod(f.Period), Title: v.pick(f.Title),
			Due:   v.t("assessment.due_on", "d", v.shortDay(f.Due), "rule", v.dueRule(obligationOf(f))),
			Word:  v.word(f.Finding),
			Facts: v.fact(f), Proof: v.proof(f), Holder: holderKey(f.DutyHolder), Principal: v.principal(f), Actions: v.actions(f),
		})
	}
	return out
}

// basis is the law that obligations rest on, named once for all their gaps.
type basis struct{ Titles, Law string }

func (v *view) bases() (out []basis) {
	for i := range v.assessment.Findings {
		f := &v.assessment.Findings[i]
		if !f.Finding.Gap() {
			continue
		}
		title, law := v.pick(f.Title), v.basis(f)
		at := slices.IndexFunc(out, func(b basis) bool { return b.Law == law })
		switch {
		case at < 0:
			out = append(out, basis{title, law})
		case !strings.Contains(out[at].Titles, title):
			out[at].Titles += v.t("assessment.list") + title
		}
	}
	return out
}

// shortPeriod is the period of a duty in a line of text, an event by its short date.
func (v *view) shortPeriod(p string) string {
	if event, err := attestation.ParseDate(p); err == nil {
		return v.t("assessment.period_event", "d", v.shortDay(event))
	}
	return v.period(p)
}

// obligationOf returns the row of the register that was in force for a finding.
func obligationOf(f *compliance.DutyFinding) (found schemas.Obligation) {
	for _, o := range schemas.Obligations() {
		if o.ID == f.Obligation && (found.ID == "" || o.Effective.From <= f.NominalDue.String()) {
			found = o
		}
	}
	return found
}

// basis is the law that a duty rests on; a finding has it in both languages.
func (v *view) basis(f *compliance.DutyFinding) string {
	ja, en, ok := strings.Cut(f.LegalBasis, " / ")
	if !ok || v.lang == "ja" {
		return ja
	}
	return en
}

// principal names who answers for the duty besides its holder: under full outsourcing the accepting organization, for which it is done.
func (v *view) principal(f *compliance.DutyFinding) string {
	var names []string
	for _, role := range f.AlsoAnswerable {
		if name := v.nameOf(role); name != "" {
			names = append(names, v.t("assessment.principal", "note", v.note("principal"), "name", name))
		}
	}
	return strings.Join(names, "")
}

func (v *view) nameOf(role attestation.Role) string {
	e := v.facts.Shown
	switch {
	case role == attestation.AcceptingOrganization:
		return v.pick(e.Employer.Name)
	case role == attestation.SupportOrganization && e.Support != nil:
		return v.pick(e.Support.Name)
	}
	return ""
}

// shortDay writes a date in a line of text, without the year where it is that of the assessment.
func (v *view) shortDay(d attestation.Date) string {
	if d.IsZero() {
		return "–"
	}
	month := v.monthName(d)
	if d.Year == attestation.DateOf(v.assessment.AsOf).Year {
		return v.t("assessment.day", "m", month, "d", d.Day)
	}
	return v.t("assessment.day_year", "y", d.Year, "m", month, "d", d.Day)
}

// actions tells what the worker did about a duty.
func (v *view) actions(f *compliance.DutyFinding) string {
	var parts []string
	for _, a := range f.WorkerActions {
		parts = append(parts, v.shortDay(a.Date)+" "+v.t("statement."+a.Kind))
	}
	return strings.Join(slices.Compact(parts), v.t("assessment.list"))
}

// fact is what was found about a gap, never more than the proof says: an absence is that nothing was recorded, not that nothing was done.
func (v *view) fact(f *compliance.DutyFinding) string {
	switch f.Finding {
	case compliance.Absent:
		return v.absence(f)
	case compliance.PerformedLate:
		return v.t("fact.performed_late", "done", v.shortDay(f.Due.AddDays(f.DaysLate)), "n", f.DaysLate)
	case compliance.AttestedLate:
		return v.t("fact.attested_late", "done", v.shortDay(f.Due.AddDays(f.DaysLate)), "n", f.DaysLate)
	case compliance.Contradicted:
		return v.contradiction(f)
	case compliance.Short:
		return v.shortfall(f)
	case compliance.Remedied:
		if r := v.remedyOf(f); r != nil {
			return v.t("fact.remedied", "done", v.shortDay(r.RemediedDate))
		}
	}
	return v.word(f.Finding)
}

// absence names the streams that hold nothing, and what invalid records stand in their place, by whom.
func (v *view) absence(f *compliance.DutyFinding) string {
	out := v.t("fact.absent", "streams", v.streamNames(f))
	for _, e := range v.junkOf(f) {
		who := e.entry.Submitter
		if name := v.pick(v.facts.Names[who]); name != "" {
			who = name
		}
		if who == "" {
			who = v.t("fact.unknown_writer")
		}
		out += v.t("fact.invalid", "day", v.shortDay(attestation.DateOf(e.entry.ExistedBy)), "who", who)
	}
	if amount, known := v.unshownOf(f); known && amount > 0 {
		out += v.t("fact.estimated", "yen", yen(amount))
	}
	return out
}

// streamNames are the kinds of attestation that could show a duty.
func (v *view) streamNames(f *compliance.DutyFinding) string {
	var names []string
	for _, s := range obligationOf(f).Streams {
		names = append(names, v.t("stream."+s))
	}
	return strings.Join(names, v.t("assessment.and"))
}

// sums are the amounts that compliance.CodeAmountDiffers tells.
var sums = regexp.MustCompile(`^employer ([0-9,]+) yen, bank ([0-9,]+) yen$`)

// amounts returns what employer and bank say was paid, of a finding that they contradict each other in.
func amounts(f *compliance.DutyFinding) (employer, bank int64, ok bool) {
	for _, c := range f.Checks {
		if m := sums.FindStringSubmatch(c.Detail); c.Code == compliance.CodeAmountDiffers && m != nil {
			e, err1 := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
			b, err2 := strconv.ParseInt(strings.ReplaceAll(m[2], ",", ""), 10, 64)
			return e, b, err1 == nil && err2 == nil
		}
	}
	return 0, 0, false
}

func checkOf(f *compliance.DutyFinding, code string) *compliance.Check {
	i := slices.IndexFunc(f.Checks, func(c compliance.Check) bool { return c.Code == code && c.Result == compliance.Fail })
	if i < 0 {
		return nil
	}
	return &f.Checks[i]
}

// contradiction says who stands against whom.
func (v *view) contradiction(f *compliance.DutyFinding) string {
	holder := v.t(holderKey(f.DutyHolder))
	if e, b, ok := amounts(f); ok {
		return v.t("fact.amounts_differ", "employer", yen(e), "bank", yen(b), "difference", yen(max(e-b, b-e)))
	}
	if checkOf(f, compliance.CodeUnpaidStatement) != nil {
		said := v.t("fact.paid")
		if p := v.lastPayment(f); p != nil {
			said = v.t("fact.paid_on", "day", v.shortDay(p.PaidDate))
			if p.Net != nil {
				said += v.t("fact.amount", "yen", yen(*p.Net))
			}
		}
		return v.t("fact.unpaid_contradicted", "holder", holder, "said", said)
	}
	if checkOf(f, compliance.CodeWithdraws) != nil {
		return v.t("fact.withdrawn", "holder", holder)
	}
	return v.t("fact.disputed", "holder", holder)
}

func (v *view) shortfall(f *compliance.DutyFinding) string {
	if checkOf(f, compliance.CodeAmountTerms) != nil {
		return v.t("fact.below_terms")
	}
	return v.t("fact.partial")
}

// unshownOf is the part of a wage whose payment is not shown, where the amounts were disclosed.
func (v *view) unshownOf(f *compliance.DutyFinding) (amount int64, known bool) {
	terms := v.facts.Terms.Terms
	switch f.Finding {
	case compliance.Absent:
		if terms != nil && terms.EstimatedNet != nil && f.Obligation == "W-05" {
			return *terms.EstimatedNet, true
		}
	case compliance.Contradicted:
		if e, b, ok := amounts(f); ok {
			return max(0, e-b), true
		}
		if p := v.lastPayment(f); p != nil && p.Net != nil {
			return *p.Net, true
		}
	case compliance.Short:
		if p := v.lastPayment(f); p != nil && p.Base != nil && terms != nil && terms.BaseAmount != nil && checkOf(f, compliance.CodeAmountTerms) != nil {
			got := *p.Base
			for _, a := range p.Allowances {
				got += a
			}
			return *terms.BaseAmount - got, true
		}
	}
	return 0, false
}

// entriesOf are the entries that a finding rests on.
func (v *view) entriesOf(f *compliance.DutyFinding) (out []located) {
	for _, ref := range f.Entries {
		if e, ok := v.entries[ref.Index]; ok && ref.Stream != "" {
			out = append(out, e)
		}
	}
	return out
}

// junkOf are those of them that are invalid.
func (v *view) junkOf(f *compliance.DutyFinding) (out []located) {
	for _, e := range v.entriesOf(f) {
		if e.entry.Validity == compliance.Junk {
			out = append(out, e)
		}
	}
	return out
}

// lastPayment is the employer's last record of a wage.
func (v *view) lastPayment(f *compliance.DutyFinding) (last *attestation.WagePayment) {
	for _, e := range v.entriesOf(f) {
		if p, ok := e.entry.Claims.(*attestation.WagePayment); ok {
			last = p
		}
	}
	return last
}

func (v *view) isZeroWage(f *compliance.DutyFinding) bool {
	p := v.lastPayment(f)
	return p != nil && p.Kind == attestation.WageZero
}

// remedyOf is the last remedy that names the duty of a finding.
func (v *view) remedyOf(f *compliance.DutyFinding) (last *attestation.Remedy) {
	for i := range v.facts.Ladders {
		for _, e := range v.facts.Ladders[i].Rungs {
			r, ok := e.Claims.(*attestation.Remedy)
			if ok && r.Duty.Obligation == f.Obligation && (string(r.Duty.Period) == f.Period || r.Duty.EventDate.String() == f.Period) {
				last = r
			}
		}
	}
	return last
}

// proof lists what a gap is shown by.
func (v *view) proof(f *compliance.DutyFinding) (parts []string) {
	if f.Finding == compliance.Absent {
		parts = append(parts, v.t("fact.absence_proof", "at", v.shortDay(attestation.DateOf(f.AsOf))))
	}
	for _, e := range v.entriesOf(f) {
		key := "type." + string(e.ladder.Stream.Type())
		if e.entry.Validity != compliance.Valid {
			key = "fact.invalid_record"
		}
		parts = append(parts, v.t("fact.recorded", "what", v.t(key), "day", v.shortDay(attestation.DateOf(e.entry.ExistedBy)), "index", e.entry.Index))
	}
	return parts
}

// organization is a party as the drawer names it.
func (v *view) organization(id string) string {
	if id == "" {
		return ""
	}
	if name := v.pick(v.facts.Names[id]); name != "" {
		return name + brackets(v.lang, id)
	}
	return id
}

// checkGroup is one line of the checks of the whole file: several codes, one question.
type checkGroup struct {
	Key    string // of its name
	Result compliance.Result
	Value  string
}

func (g checkGroup) ResultKey() string { return "result." + g.Result.String() }

// checkGroups are the questions in their order, with the codes that answer each. What belongs to none is shown only where it does not pass.
var checkGroups = []struct {
	key   string
	codes []string
	value func(t *texts, c *evidence.Case) string
}{
	{"signatures", []string{evidence.CodeEngagementSignature, evidence.CodeStatementSignature, evidence.CodeAttestation}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.signatures_value", "n", validEntries(c)+1+len(c.Statements))
	}},
	{"accredited", []string{evidence.CodeListAnchor, evidence.CodeListSequence, evidence.CodeListInclusion, evidence.CodeEngagementIssuer}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.accredited_value", "n", attesters(c))
	}},
	{"binding", []string{evidence.CodeKBEngagement, evidence.CodeKBAttestation, evidence.CodeEngagementSignature, evidence.CodeAttestation}, func(t *texts, c *evidence.Case) string {
		if w := c.Shown.WorkerIdentity; w != nil && w.CardNumber != nil {
			return t.t("checks.binding_card", "card", masked(*w.CardNumber))
		}
		return t.t("checks.binding_value")
	}},
	{"inclusion", []string{evidence.CodeRecordInclusion, evidence.CodeRecordValue, evidence.CodeHeadInclusion}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.inclusion_value", "n", c.Present)
	}},
	{"absence", []string{evidence.CodeRecordProof, evidence.CodeRecordOrder, evidence.CodeHeadFields}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.absence_value", "n", c.Absent)
	}},
	{"checkpoint", []string{evidence.CodeCheckpointSignature, evidence.CodeNotes, evidence.CodeNotesUsed}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.checkpoint_value", "size", c.LogSize, "at", c.AbsentAsOf.In(attestation.JST).Format("1/2 15:04"))
	}},
	{"witnesses", []string{evidence.CodeCheckpointWitnesses, evidence.CodePolicyPair}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.signers_value", "n", c.Witnesses.Signed, "of", c.Witnesses.Of)
	}},
	{"auditors", []string{evidence.CodeAuditorsQuorum}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.signers_value", "n", c.Auditors.Signed, "of", c.Auditors.Of)
	}},
	{"reproduced", []string{evidence.CodeCanonical, evidence.CodeRuleset, evidence.CodeReproduced, evidence.CodeAssess}, func(t *texts, c *evidence.Case) string {
		return t.t("checks.reproduced_value")
	}},
}

// groupChecks answers each question by the worst of its checks; one that was not made cannot tell.
func groupChecks(t *texts, checks []compliance.Check, c *evidence.Case) (out []checkGroup) {
	for _, q := range checkGroups {
		g := checkGroup{Key: "checks." + q.key}
		made := false
		for _, k := range checks {
			if !slices.Contains(q.codes, k.Code) {
				continue
			}
			switch {
			case !made || k.Result == compliance.Fail:
				g.Result = k.Result
			case k.Result == compliance.CannotTell && g.Result == compliance.Pass:
				g.Result = compliance.CannotTell
			}
			made = true
		}
		if c != nil {
			g.Value = q.value(t, c)
		}
		out = append(out, g)
	}
	return out
}

// validEntries counts the attestations that hold.
func validEntries(c *evidence.Case) (n int) {
	for _, l := range c.Ladders {
		for _, e := range l.Rungs {
			if e.Validity == compliance.Valid {
				n++
			}
		}
	}
	return n
}

// attesters counts the organizations whose attestations hold, with the engagement's issuer.
func attesters(c *evidence.Case) int {
	ids := map[string]bool{c.IssuerID: true}
	for _, l := range c.Ladders {
		for _, e := range l.Rungs {
			if e.Validity == compliance.Valid {
				ids[e.Attester] = true
			}
		}
	}
	return len(ids)
}

// masked is a residence card's number without its middle.
func masked(card string) string {
	if len(card) != 12 {
		return strings.Repeat("•", len(card))
	}
	return card[:2] + "••••••" + card[8:]
}

// troubles are the checks that do not pass, each once.
func troubles(checks []compliance.Check) (out []compliance.Check) {
	for _, c := range checks {
		if c.Result != compliance.Pass && !slices.ContainsFunc(out, func(o compliance.Check) bool { return o.Code == c.Code }) {
			out = append(out, c)
		}
	}
	return out
}

// checkLine is one check in words.
type checkLine struct {
	Code, Sentence, Detail string
	Doubt                  string // the sentence where it cannot tell, for some
	Result                 compliance.Result
}

func (c checkLine) ResultKey() string { return "result." + c.Result.String() }
func (c checkLine) Sign() string      { return resultSigns[c.Result] }
func (g checkGroup) Sign() string     { return resultSigns[g.Result] }

var resultSigns = map[compliance.Result]string{compliance.Pass: "✓", compliance.Fail: "×", compliance.CannotTell: "!"}

func checkLines(t *texts, checks []compliance.Check) (out []checkLine) {
	for _, c := range checks {
		line := checkLine{Code: c.Code, Detail: c.Detail, Result: c.Result}
		if key := "check." + c.Code; i18n.Has(key) { // else a newer release made it: the code is all there is to say
			line.Sentence = t.t(key)
		}
		if key := "doubt." + c.Code; c.Result == compliance.CannotTell && i18n.Has(key) {
			line.Doubt = t.t(key)
		}
		out = append(out, line)
	}
	return out
}

// bound writes a time bound of an entry.
func (v *view) bound(at time.Time) string {
	if at.IsZero() {
		return v.t("drawer.no_bound")
	}
	return clockOf(at)
}
