package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/schemas"
)

// printAssessment prints one assessment as a table of duties and months, then every gap with its reason, then the gaps by duty holder.
func printAssessment(w io.Writer, name string, a *compliance.Assessment) {
	fmt.Fprintf(w, "\nEngagement %s   as of %s   %d duties\n", name, clock(a.AsOf), len(a.Findings))
	fmt.Fprintln(w, answer(a))
	printMatrix(w, a.Findings)
	printLegend(w, a.Findings)
	early := newEarlyDuties(a.Findings)
	for _, f := range a.Findings {
		if (f.Finding.Gap() || f.Finding == compliance.Undisclosed || f.Finding == compliance.Unknown) && !early.has(f) {
			printReason(w, f)
		}
	}
	early.print(w)
	printCounts(w, a)
}

// earlyDuties are the periods, by obligation, of duties that cannot be verified for one reason alone: the engagement is not proven to have been
// in the log before they fell due. Of an engagement that was logged late there are many, and what is to be said of them is the same.
type earlyDuties map[string][]string

func newEarlyDuties(findings []compliance.DutyFinding) earlyDuties {
	early := earlyDuties{}
	for _, f := range findings {
		reasons := slices.DeleteFunc(slices.Clone(f.Checks), func(c compliance.Check) bool { return c.Result == compliance.Pass })
		if f.Finding == compliance.Unknown && len(f.WorkerActions) == 0 && len(reasons) > 0 &&
			!slices.ContainsFunc(reasons, func(c compliance.Check) bool { return c.Code != compliance.CodeLoggedBeforeDue }) {
			early[f.Obligation] = append(early[f.Obligation], f.Period)
		}
	}
	return early
}

func (e earlyDuties) has(f compliance.DutyFinding) bool {
	return slices.Contains(e[f.Obligation], f.Period)
}

func (e earlyDuties) print(w io.Writer) {
	if len(e) == 0 {
		return
	}
	word := schemas.Words().Findings[compliance.Unknown.String()]
	fmt.Fprintf(w, "  %s %s: these fell due before the engagement stood in the log, as far as that is proven (%s)\n", word.Glyph, word.Text["en"], compliance.CodeLoggedBeforeDue)
	for _, obligation := range slices.Sorted(maps.Keys(e)) {
		fmt.Fprintf(w, "      %s: %s\n", obligation, strings.Join(e[obligation], ", "))
	}
}

// answer is the line that says what the reviewer came to learn. It counts gaps; it never says "paid" or "not paid".
func answer(a *compliance.Assessment) string {
	total := 0
	for _, n := range a.Gaps {
		total += n
	}
	switch {
	case total > 0:
		return fmt.Sprintf("%d gap(s): fulfilment within the deadline cannot be shown", total)
	case a.Counts[compliance.Undisclosed.String()] > 0:
		return "within what was shown, every duty of the period was fulfilled in time"
	case a.Counts[compliance.Unknown.String()] > 0:
		return "no gap; some duties cannot be verified"
	}
	return "every duty of the period was fulfilled in time"
}

// printMatrix prints one row an obligation and one column a month: wages under their period, everything else under the month of its
// nominal due date.
func printMatrix(w io.Writer, findings []compliance.DutyFinding) {
	cells := map[string]map[attestation.Period][]string{}
	var rows []string
	var months []attestation.Period
	words := schemas.Words()
	for _, f := range findings {
		month := attestation.Period(f.Period)
		if month.Kind() != attestation.Month {
			month = attestation.MonthOf(f.NominalDue)
		}
		if cells[f.Obligation] == nil {
			cells[f.Obligation] = map[attestation.Period][]string{}
			rows = append(rows, f.Obligation)
		}
		cells[f.Obligation][month] = append(cells[f.Obligation][month], words.Findings[f.Finding.String()].Glyph)
		if !slices.Contains(months, month) {
			months = append(months, month)
		}
	}
	slices.Sort(months)
	line := newLine(w)
	for i, m := range months {
		line.at(labelColumns+i*monthColumns+1, string(m)[2:])
	}
	line.end()
	for _, r := range rows {
		line.at(0, r)
		for i, m := range months {
			line.at(labelColumns+i*monthColumns+2, strings.Join(cells[r][m], ""))
		}
		line.end()
	}
}

const (
	labelColumns = 16
	monthColumns = 6
)

// printLegend says what the glyphs in use and the rows' names mean.
func printLegend(w io.Writer, findings []compliance.DutyFinding) {
	words := schemas.Words()
	var glyphs, rows []string
	for _, f := range findings {
		word := words.Findings[f.Finding.String()]
		if g := word.Glyph + " " + word.Text["en"]; !slices.Contains(glyphs, g) {
			glyphs = append(glyphs, g)
		}
		if r := fmt.Sprintf("  %-*s%s", labelColumns, f.Obligation, f.Title["en"]); !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	fmt.Fprintf(w, "%s\n%s\n", strings.Join(glyphs, "   "), strings.Join(rows, "\n"))
}

// clock writes a time as the reader's clock shows it: every deadline is one of Japan.
func clock(t time.Time) string { return t.In(attestation.JST).Format("2006-01-02 15:04 JST") }

// line writes cells at columns. Most glyphs of findings are of ambiguous width (Unicode Standard Annex 11): Japanese terminals may show them two
// columns wide, and nothing tells. So a terminal is told the column of each cell (ECMA-48, CHA); elsewhere they count as one column.
type line struct {
	w        io.Writer
	terminal bool
	column   int
}

func newLine(w io.Writer) *line {
	f, ok := w.(*os.File)
	name := os.Getenv("TERM")
	return &line{w: w, terminal: ok && term.IsTerminal(int(f.Fd())) && name != "" && name != "dumb"}
}

func (l *line) at(column int, s string) {
	switch {
	case s == "":
		return
	case l.terminal && column > 0:
		fmt.Fprintf(l.w, "\x1b[%dG", column+1)
	default:
		fmt.Fprint(l.w, strings.Repeat(" ", max(0, column-l.column)))
	}
	fmt.Fprint(l.w, s)
	l.column = max(l.column, column) + columns(s)
}

func (l *line) end() {
	fmt.Fprintln(l.w)
	l.column = 0
}

// columns is the width of s where characters of ambiguous width are narrow.
func columns(s string) (n int) {
	for _, r := range s {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

func printReason(w io.Writer, f compliance.DutyFinding) {
	word := schemas.Words().Findings[f.Finding.String()]
	late := ""
	if f.DaysLate > 0 {
		late = fmt.Sprintf(" +%d days", f.DaysLate)
	}
	fmt.Fprintf(w, "  %s %s%s: %s %s (%s), due %s, owed by %s\n", word.Glyph, word.Text["en"], late, f.Obligation, f.Period, f.Title["en"], f.Due, f.DutyHolder)
	if f.Finding == compliance.Absent {
		fmt.Fprintf(w, "      no such attestation was recorded by %s\n", clock(f.AsOf))
	}
	for _, c := range f.Checks {
		if c.Result != compliance.Pass && c.Detail != "" {
			fmt.Fprintf(w, "      %s: %s\n", c.Code, c.Detail)
		}
	}
	for _, act := range f.WorkerActions {
		fmt.Fprintf(w, "      the worker stated %s on %s\n", act.Kind, act.Date)
	}
}

func printCounts(w io.Writer, a *compliance.Assessment) {
	var parts []string
	for _, holder := range slices.Sorted(maps.Keys(a.Gaps)) {
		parts = append(parts, fmt.Sprintf("%s %d", holder, a.Gaps[holder]))
	}
	fmt.Fprintf(w, "gaps: %s\n", strings.Join(parts, ", "))
	parts = nil
	for _, finding := range slices.Sorted(maps.Keys(a.Counts)) {
		if a.Counts[finding] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", finding, a.Counts[finding]))
		}
	}
	fmt.Fprintf(w, "findings: %s\n", strings.Join(parts, ", "))
}
