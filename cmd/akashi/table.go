package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/schemas"
)

// printAssessment prints one assessment as a table of duties and months, then every gap with its reason, then the gaps by duty holder.
func printAssessment(w io.Writer, name string, a *compliance.Assessment) {
	fmt.Fprintf(w, "\nEngagement %s   as of %s   %d duties\n", name, a.AsOf.Format("2006-01-02 15:04Z"), len(a.Findings))
	fmt.Fprintln(w, answer(a))
	printMatrix(w, a.Findings)
	for _, f := range a.Findings {
		if f.Finding.Gap() || f.Finding == compliance.Undisclosed || f.Finding == compliance.Unknown {
			printReason(w, f)
		}
	}
	printCounts(w, a)
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
	fmt.Fprintf(w, "%-16s", "")
	for _, m := range months {
		fmt.Fprintf(w, " %s", string(m)[2:])
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		fmt.Fprintf(w, "%-16s", r)
		for _, m := range months {
			fmt.Fprintf(w, "  %s  ", pad(strings.Join(cells[r][m], ""), 2))
		}
		fmt.Fprintln(w)
	}
}

// pad fills s to width columns; the glyphs in use are one column each in a terminal without CJK width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-len([]rune(s))))
}

func printReason(w io.Writer, f compliance.DutyFinding) {
	word := schemas.Words().Findings[f.Finding.String()]
	late := ""
	if f.DaysLate > 0 {
		late = fmt.Sprintf(" +%d days", f.DaysLate)
	}
	fmt.Fprintf(w, "  %s %s%s: %s %s (%s), due %s, owed by %s\n", word.Glyph, word.Text["en"], late, f.Obligation, f.Period, f.Title["en"], f.Due, f.DutyHolder)
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
