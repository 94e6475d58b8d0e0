package schemas

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// grouped matches digits in one piece or divided by spaces, or by hyphens; [plainDigits] has made them uniform.
var grouped = []*regexp.Regexp{
	regexp.MustCompile(`[0-9]+(?: [0-9]+)*`),
	regexp.MustCompile(`[0-9]+(?:-[0-9]+)*`),
}

var dividers = regexp.MustCompile(` *-[ -]*| +`)

// holdsMyNumber reports whether s holds an Individual Number (マイナンバー): twelve digits with a right check digit, in one piece or in
// groups, as written or in compatibility form (NFKC: full-width, superscript, circled). Twelve digits inside a longer piece are not one.
func holdsMyNumber(s string) bool {
	if isASCII, digits := longestGroup(s); isASCII {
		return digits >= 12 && findMyNumber(s) // NFKC leaves ASCII as it is
	}
	return findMyNumber(s) || findMyNumber(norm.NFKC.String(s))
}

// longestGroup is the quick answer for most claims: whether s is ASCII, and then how many digits its longest run of digits, hyphens and
// spaces has. A piece of more than twelve digits is none and parts the run in two.
func longestGroup(s string) (isASCII bool, most int) {
	run, piece := 0, 0
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' {
			piece++
			continue
		}
		if c >= utf8.RuneSelf {
			return false, 0
		}
		if run += piece; piece > 12 {
			run = 0
		}
		piece, most = 0, max(most, run)
		if c != '-' && !unicode.IsSpace(rune(c)) {
			run = 0
		}
	}
	if piece > 12 {
		return true, most
	}
	return true, max(most, run+piece)
}

func findMyNumber(s string) bool {
	s = dividers.ReplaceAllStringFunc(strings.Map(plainDigits, s), func(d string) string {
		if strings.Contains(d, "-") {
			return "-"
		}
		return " "
	})
	for _, g := range grouped {
		for _, found := range g.FindAllString(s, -1) {
			if anyTwelve(strings.FieldsFunc(found, func(r rune) bool { return r == ' ' || r == '-' })) {
				return true
			}
		}
	}
	return false
}

// anyTwelve tries every row of whole groups that has twelve digits.
func anyTwelve(groups []string) bool {
	for i := range groups {
		digits := ""
		for j := i; j < len(groups) && len(digits) < 12; j++ {
			digits += groups[j]
		}
		if len(digits) == 12 && hasCheckDigit(digits) {
			return true
		}
	}
	return false
}

// hasCheckDigit checks the last digit: 11 minus the remainder by 11 of the weighted sum of the others, 0 for remainders 0 and 1.
func hasCheckDigit(digits string) bool {
	sum := 0
	for i, weight := range []int{6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2} {
		sum += int(digits[i]-'0') * weight
	}
	return int(digits[11]-'0') == (11-sum%11)%11%10
}

// plainDigits maps decimal digits of all scripts to ASCII, all hyphens to '-' and all spaces to ' ', and drops invisible characters.
func plainDigits(r rune) rune {
	switch {
	case unicode.Is(unicode.Nd, r):
		n := rune(0)
		for unicode.Is(unicode.Nd, r-1) {
			r--
			n++
		}
		return '0' + n%10
	case unicode.Is(unicode.Pd, r), r == '\u2212', r == 'ー', r == 'ｰ':
		return '-'
	case unicode.IsSpace(r):
		return ' '
	case unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}
