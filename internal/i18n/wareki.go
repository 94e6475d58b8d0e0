package i18n

import (
	"fmt"
	"strings"
	"time"

	"akashi/attestation"
)

// eras are the names of the years that Japanese papers use, the latest first (Era Name Act, and the cabinet orders under it).
var eras = []struct {
	name  string
	first attestation.Date
}{
	{"令和", attestation.NewDate(2019, time.May, 1)},
	{"平成", attestation.NewDate(1989, time.January, 8)},
}

// Wareki returns a date in the Japanese calendar, as 令和8年11月25日, and "" for days before 1989-01-08.
func Wareki(d attestation.Date) string {
	for _, era := range eras {
		if d.Before(era.first) {
			continue
		}
		year := fmt.Sprint(d.Year - era.first.Year + 1)
		if year == "1" {
			year = "元"
		}
		return fmt.Sprintf("%s%s年%d月%d日", era.name, year, int(d.Month), d.Day)
	}
	return ""
}

// WarekiMonth returns the month of a date in the Japanese calendar, as 令和8年11月, and "" where there is no [Wareki].
func WarekiMonth(d attestation.Date) string {
	month, _, ok := strings.Cut(Wareki(d), "月")
	if !ok {
		return ""
	}
	return month + "月"
}
