package issuer

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

	"akashi/attestation"
)

// cellError says why a cell cannot be read and what to write instead. It never quotes the cell.
type cellError struct{ problem, remedy string }

func (e *cellError) Error() string { return e.problem + "; " + e.remedy }

// maxYen is what an attestation can state; it keeps sums of any number of columns far inside an int64.
const maxYen = 999_999_999

var (
	yenPattern  = regexp.MustCompile(`^(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.0{1,2})?$`)
	hourPattern = regexp.MustCompile(`^([0-9]{1,3})(?:\.([0-9]{1,2})|:([0-5][0-9]))?$`)
	datePattern = regexp.MustCompile(`^([0-9]{4})([-/.年])([0-9]{1,2})([-/.月])([0-9]{1,2})日?$`)
	eraPattern  = regexp.MustCompile(`^(令和|平成|昭和|[RHSrhs])\.?(元|[0-9]{1,2})([-/.年])([0-9]{1,2})([-/.月])([0-9]{1,2})日?$`)
	shortEra    = regexp.MustCompile(`^([0-9]{2})[/.]([0-9]{1,2})[/.]([0-9]{1,2})$`)
	monthText   = regexp.MustCompile(`^([0-9]{4})[-/.年]([0-9]{1,2})(?:月分?)?$`)
	eraMonth    = regexp.MustCompile(`^(令和|平成|昭和|[RHSrhs])\.?(元|[0-9]{1,2})[-/.年]([0-9]{1,2})(?:月分?)?$`)
)

// parseYen reads a whole, not negative number of yen from a normalised cell: 1234, 1,234, ¥1,234, 1,234円, 1,234.00.
func parseYen(s string) (int64, *cellError) {
	t := strings.TrimSpace(strings.TrimSuffix(s, "円"))
	if strings.HasPrefix(t, "-") || strings.HasPrefix(t, "△") || strings.HasPrefix(t, "▲") || strings.HasPrefix(t, "−") || strings.HasPrefix(t, "(") || strings.HasPrefix(t, "¥-") {
		return 0, &cellError{"the amount is negative", "give the amount without a sign, in the column it belongs to: payments and deductions are each positive"}
	}
	for _, sign := range []string{"¥", `\`} { // \ is the yen sign of Shift_JIS
		t = strings.TrimSpace(strings.TrimPrefix(t, sign))
	}
	if !yenPattern.MatchString(t) {
		return 0, &cellError{"this is not an amount in yen", "write whole yen, such as 212000 or 212,000"}
	}
	t, _, _ = strings.Cut(strings.ReplaceAll(t, ",", ""), ".")
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n > maxYen {
		return 0, &cellError{"the amount is too large", "check the column: at most 9 digits"}
	}
	return n, nil
}

// parseHours reads hours from 160, 8.5 or 8:30 into a decimal string with one or two places, such as 8.0 or 8.25. Minutes that two
// places cannot express are refused rather than rounded.
func parseHours(s string) (string, *cellError) {
	m := hourPattern.FindStringSubmatch(s)
	if m == nil {
		return "", &cellError{"this is not a number of hours", "write hours such as 8, 8.5 or 8:30"}
	}
	whole, _ := strconv.Atoi(m[1])
	hundredths := 0
	switch {
	case len(m[2]) == 1:
		hundredths = 10 * int(m[2][0]-'0')
	case len(m[2]) == 2:
		hundredths, _ = strconv.Atoi(m[2])
	case m[3] != "":
		minutes, _ := strconv.Atoi(m[3])
		if minutes%3 != 0 {
			return "", &cellError{"these minutes are not a whole hundredth of an hour", "export hours as decimals, rounded as the work rules say"}
		}
		hundredths = minutes * 5 / 3
	}
	if whole > 744 {
		return "", &cellError{"no month has that many hours", "check the column and its unit"}
	}
	if hundredths%10 == 0 {
		return fmt.Sprintf("%d.%d", whole, hundredths/10), nil
	}
	return fmt.Sprintf("%d.%02d", whole, hundredths), nil
}

// parseDay reads a date from a normalised cell: 2025-11-25, 2025/11/25, 2025.11.25, 2025年11月25日, 20251125, 令和7年11月25日,
// R7.11.25; and 07/11/25 as a year of the present era (Reiwa) only where the mapping says so.
func parseDay(s string, short bool) (attestation.Date, *cellError) {
	if len(s) == 8 && strings.Trim(s, "0123456789") == "" {
		s = s[:4] + "-" + s[4:6] + "-" + s[6:]
	}
	s = strings.Join(strings.Fields(s), "")
	if m := datePattern.FindStringSubmatch(s); m != nil && (m[2] == m[4] || m[2] == "年" && m[4] == "月") {
		return civilDay(m[1], m[3], m[5])
	}
	if m := eraPattern.FindStringSubmatch(s); m != nil && (m[3] == m[5] || m[3] == "年" && m[5] == "月") {
		return eraDay(m[1], m[2], m[4], m[6])
	}
	if m := shortEra.FindStringSubmatch(s); m != nil {
		if !short {
			return attestation.Date{}, &cellError{"a year of two digits can be of an era or of a century", "write 2025/11/25, or set short_wareki in the mapping if it is the year of Reiwa"}
		}
		return eraDay("令和", m[1], m[2], m[3])
	}
	return attestation.Date{}, &cellError{"this is not a date", "write 2025-11-25, 2025/11/25, 令和7年11月25日 or R7.11.25"}
}

func civilDay(year, month, day string) (attestation.Date, *cellError) {
	y, _ := strconv.Atoi(year)
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(day)
	date, err := attestation.ParseDate(fmt.Sprintf("%04d-%02d-%02d", y, m, d))
	if err != nil || y < 1900 {
		return attestation.Date{}, &cellError{"there is no such day", "check the date"}
	}
	return date, nil
}

// eras are the spans of the eras still met in files.
var eras = map[byte]struct{ first, last attestation.Date }{
	'S': {attestation.Date{Year: 1926, Month: time.December, Day: 25}, attestation.Date{Year: 1989, Month: time.January, Day: 7}},
	'H': {attestation.Date{Year: 1989, Month: time.January, Day: 8}, attestation.Date{Year: 2019, Month: time.April, Day: 30}},
	'R': {attestation.Date{Year: 2019, Month: time.May, Day: 1}, attestation.Date{Year: 9999, Month: time.December, Day: 31}},
}

func eraLetter(name string) byte {
	switch name {
	case "令和", "R", "r":
		return 'R'
	case "平成", "H", "h":
		return 'H'
	}
	return 'S'
}

func eraYear(era, year string) int {
	n := 1 // 元年
	if year != "元" {
		n, _ = strconv.Atoi(year)
	}
	return eras[eraLetter(era)].first.Year + n - 1
}

func eraDay(era, year, month, day string) (attestation.Date, *cellError) {
	date, err := civilDay(strconv.Itoa(eraYear(era, year)), month, day)
	if err != nil {
		return date, err
	}
	if span := eras[eraLetter(era)]; date.Before(span.first) || date.After(span.last) {
		return attestation.Date{}, &cellError{"the day lies outside the era", "check the era and the year"}
	}
	return date, nil
}

// parseMonth reads a month: 2025-11, 2025/11, 2025年11月, 2025年11月分, 令和7年11月分, R7.11, 202511.
func parseMonth(s string) (attestation.Period, *cellError) {
	s = strings.Join(strings.Fields(s), "")
	if len(s) == 6 && strings.Trim(s, "0123456789") == "" {
		s = s[:4] + "-" + s[4:]
	}
	var day attestation.Date
	err := &cellError{"this is not a month", "write 2025-11, 2025年11月 or 令和7年11月"}
	if m := monthText.FindStringSubmatch(s); m != nil {
		day, err = civilDay(m[1], m[2], "1")
	} else if m := eraMonth.FindStringSubmatch(s); m != nil {
		day, err = civilDay(strconv.Itoa(eraYear(m[1], m[2])), m[3], "1")
	}
	if err != nil {
		return "", err
	}
	return attestation.MonthOf(day), nil
}

// parseFlag reads yes or no.
func parseFlag(s string) (bool, *cellError) {
	switch strings.ToLower(s) {
	case "1", "yes", "true", "y", "有", "あり", "はい", "○", "〇", "◯", "済", "該当", "同意あり":
		return true, nil
	case "0", "no", "false", "n", "無", "なし", "いいえ", "×", "未", "非該当", "同意なし":
		return false, nil
	}
	return false, &cellError{"this is neither yes nor no", "write yes or no, 有 or 無, ○ or ×"}
}

// parseCount reads a small whole number.
func parseCount(s string, low, high int) (int, *cellError) {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSuffix(s, "日"), "分"), 10, 31)
	if err != nil || int(n) < low || int(n) > high {
		return 0, &cellError{"this is not a whole number in the range", fmt.Sprintf("write a number from %d to %d", low, high)}
	}
	return int(n), nil
}

var clockPattern = regexp.MustCompile(`^([01]?[0-9]|2[0-3])[:時]([0-5][0-9])分?$`)

// parseClock reads a time of day into HH:MM.
func parseClock(s string) (string, *cellError) {
	m := clockPattern.FindStringSubmatch(s)
	if m == nil {
		return "", &cellError{"this is not a time of day", "write 14:30"}
	}
	return fmt.Sprintf("%02s:%s", m[1], m[2]), nil
}

// A choice is a closed list of values with the Japanese words for them.
type choice map[string]string

func (c choice) parse(s string) (string, *cellError) {
	if v, ok := c[strings.ToLower(s)]; ok {
		return v, nil
	}
	return "", &cellError{"this is not one of the known words", "write one of: " + c.words()}
}

// words lists the words of c as a person writes them: each Japanese word once, sorted.
func (c choice) words() string {
	return strings.Join(slices.Sorted(maps.Keys(c)), ", ")
}

// narrow turns katakana into the half-width form of the Zengin formats, voiced sounds as two characters. Cells were normalised to
// full width before.
func narrow(s string) string { return width.Narrow.String(norm.NFD.String(s)) }
