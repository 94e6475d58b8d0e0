package issuer

import "testing"

func checkCells[T any](t *testing.T, name string, parse func(string) (T, *cellError), show func(T) string, good map[string]string, bad []string) {
	t.Helper()
	for in, want := range good {
		v, err := parse(normalise(in))
		if err != nil {
			t.Errorf("%s %q: %v", name, in, err)
		} else if got := show(v); got != want {
			t.Errorf("%s %q: got %s, want %s", name, in, got, want)
		}
	}
	for _, in := range bad {
		if v, err := parse(normalise(in)); err == nil {
			t.Errorf("%s %q: got %s, want an error", name, in, show(v))
		}
	}
}

func same(s string) string { return s }

func TestYen(t *testing.T) {
	checkCells(t, "yen", parseYen, func(n int64) string { return yenText(n) }, map[string]string{
		"0": "0", "212000": "212000", "212,000": "212000", "¥212,000": "212000", "￥２１２，０００": "212000", `\1,234`: "1234", "1,234円": "1234", "1,234.00": "1234", "999,999,999": "999999999",
	}, []string{"", "-1", "－1", "▲1,000", "△5", "(1,000)", "¥-5", "1,23", "12,34,567", "1.5", "1e3", "abc", "1 000", "1,000,000,000", "99999999999999999999", "+5", "円", "¥"})
}

func yenText(n int64) string {
	if n == 0 {
		return "0"
	}
	var out string
	for ; n > 0; n /= 10 {
		out = string(rune('0'+n%10)) + out
	}
	return out
}

func TestHours(t *testing.T) {
	checkCells(t, "hours", parseHours, same, map[string]string{
		"160": "160.0", "8.0": "8.0", "8.00": "8.0", "8.5": "8.5", "8.25": "8.25", "8:30": "8.5", "160:00": "160.0", "0:03": "0.05", "８．５": "8.5", "0": "0.0",
	}, []string{"", "8:20", "8:60", "8.125", "-8", "745", "8h", "1000"})
}

func TestDates(t *testing.T) {
	day := func(s string) (string, *cellError) { d, err := parseDay(s, false); return d.String(), err }
	checkCells(t, "date", day, same, map[string]string{
		"2025-11-25": "2025-11-25", "2025/11/25": "2025-11-25", "2025/1/5": "2025-01-05", "2025.11.25": "2025-11-25", "2025年11月25日": "2025-11-25", "20251125": "2025-11-25",
		"令和7年11月25日": "2025-11-25", "令和　７年１１月２５日": "2025-11-25", "R7.11.25": "2025-11-25", "R07/11/25": "2025-11-25", "r7-11-25": "2025-11-25",
		"令和元年5月1日": "2019-05-01", "平成31年4月30日": "2019-04-30", "H1.1.8": "1989-01-08", "昭和64年1月7日": "1989-01-07", "㋿7年11月25日": "2025-11-25",
	}, []string{"", "2025-11/25", "2025-02-29", "2025-13-01", "07/11/25", "7.11.25", "11/25", "令和元年4月30日", "平成31年5月1日", "昭和64年1月8日", "R0.1.1", "2025-11-25T00:00", "Nov 25", "0025-11-25"})
	short := func(s string) (string, *cellError) { d, err := parseDay(s, true); return d.String(), err }
	checkCells(t, "short date", short, same, map[string]string{"07/11/25": "2025-11-25", "08.2.1": "2026-02-01"}, []string{"7/11/25", "00/01/01", "01/04/30"})
}

func TestMonths(t *testing.T) {
	month := func(s string) (string, *cellError) { p, err := parseMonth(s); return string(p), err }
	checkCells(t, "month", month, same, map[string]string{
		"2025-11": "2025-11", "2025/1": "2025-01", "2025年11月": "2025-11", "2025年11月分": "2025-11", "令和7年11月分": "2025-11", "R7.11": "2025-11", "202511": "2025-11", "2025年 4月": "2025-04",
	}, []string{"", "2025-13", "11", "2025", "2025-11-25", "25/11"})
}

func TestClockAndFlag(t *testing.T) {
	checkCells(t, "clock", parseClock, same, map[string]string{"9:05": "09:05", "14:30": "14:30", "14時30分": "14:30", "０９：３０": "09:30"}, []string{"", "24:00", "14:60", "14"})
	flag := func(s string) (string, *cellError) {
		v, err := parseFlag(s)
		return map[bool]string{true: "yes", false: "no"}[v], err
	}
	checkCells(t, "flag", flag, same, map[string]string{"○": "yes", "有": "yes", "Yes": "yes", "×": "no", "無": "no"}, []string{"", "?", "2"})
}

func TestNarrowGivesTheKanaOfBanks(t *testing.T) {
	for in, want := range map[string]string{"カ)ミホンA": "ｶ)ﾐﾎﾝA", "パンダ": "ﾊﾟﾝﾀﾞ", "ｶ)ﾐﾎﾝB": "ｶ)ﾐﾎﾝB", "ヴー": "ｳﾞｰ"} {
		if got := narrow(normalise(in)); got != want {
			t.Errorf("narrow(%q) = %q, want %q", in, got, want)
		}
	}
}
