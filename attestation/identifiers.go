package attestation

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	corporateNumber = regexp.MustCompile(`^[1-9][0-9]{12}$`)
	cardNumber      = regexp.MustCompile(`^[A-Z]{2}[0-9]{8}[A-Z]{2}$`)
	registration    = regexp.MustCompile(`^([0-9]{2})登-?([0-9]{6})$`)
)

// CheckCorporateNumber refuses what is not a corporate number (法人番号): 13 digits, of which the first is 9 minus the remainder by 9
// of the sum of the other twelve, weighted from the right 1, 2, 1, 2 ... (2014 Ministry of Finance Ordinance 70, Article 2). A 0
// written for a 9, or the reverse, goes unnoticed.
func CheckCorporateNumber(s string) error {
	if !corporateNumber.MatchString(s) {
		return errors.New("a corporate number has 13 digits, the first not 0")
	}
	sum := 0
	for n := 1; n <= 12; n++ {
		sum += int(s[13-n]-'0') * (2 - n%2)
	}
	if int(s[0]-'0') != 9-sum%9 {
		return errors.New("the corporate number's check digit is wrong: compare it with the registry certificate")
	}
	return nil
}

// CheckCardNumber refuses what is not written as the number of a residence card (在留カード); only the immigration agency can say
// whether a card is valid.
func CheckCardNumber(s string) error {
	if !cardNumber.MatchString(s) {
		return errors.New("a residence card number has two capital letters, eight digits, two capital letters")
	}
	return nil
}

// CheckSupportRegistration returns the registration number of a support organization (登録支援機関) in its one spelling, 19登-000001.
// Full-width digits, spaces and hyphens of all kinds are accepted.
func CheckSupportRegistration(s string) (string, error) {
	m := registration.FindStringSubmatch(strings.Map(plain, s))
	if m == nil {
		return "", errors.New("a registration number has two digits, 登, a hyphen and six digits, as in 19登-000001")
	}
	return m[1] + "登-" + m[2], nil
}

// plain maps digits to ASCII, hyphens of all kinds to '-', and drops spaces.
func plain(r rune) rune {
	if d, ok := digitOf(r); ok {
		return '0' + rune(d)
	}
	switch separatorOf(r) {
	case hyphen:
		return '-'
	case space, invisible:
		return -1
	}
	return r
}

// CheckEntityID refuses what is neither a corporate number nor a support organization's registration number in its one spelling.
func CheckEntityID(s string) error {
	if CheckCorporateNumber(s) == nil {
		return nil
	}
	if r, err := CheckSupportRegistration(s); err == nil && r == s {
		return nil
	}
	return errors.New("neither a corporate number with a right check digit nor a registration number such as 19登-000001")
}

// FindMyNumber reports whether s holds an Individual Number (マイナンバー): twelve digits in any script with a right check digit, in one
// piece or in groups divided by spaces or by hyphens. Twelve digits inside a longer number are not one.
func FindMyNumber(s string) bool {
	if tooFewDigits(s) {
		return false
	}
	groups := digitGroups(s)
	for i := range groups {
		digits := groups[i].digits
		for j := i + 1; len(digits) < 12 && j < len(groups) && groups[j].before != other && groups[j].before == groups[i+1].before; j++ {
			digits += groups[j].digits
		}
		if len(digits) == 12 && checkMyNumber(digits) {
			return true
		}
	}
	return false
}

// tooFewDigits is the quick answer for most texts: fewer than twelve octets that may belong to a digit.
func tooFewDigits(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' || s[i] >= utf8.RuneSelf {
			n++
		}
	}
	return n < 12
}

// checkMyNumber checks the last digit: 11 minus the remainder by 11 of the sum of the others, weighted from the right 2 to 7, then 2
// to 6; 0 for remainders 0 and 1 (2014 Ministry of Internal Affairs and Communications Ordinance 85, Article 5).
func checkMyNumber(digits string) bool {
	sum := 0
	for n := 1; n <= 11; n++ {
		weight := n + 1
		if n > 6 {
			weight = n - 5
		}
		sum += int(digits[11-n]-'0') * weight
	}
	want := 0
	if sum%11 > 1 {
		want = 11 - sum%11
	}
	return int(digits[11]-'0') == want
}

// A digitGroup is a longest run of digits, and what stands between it and the one before.
type digitGroup struct {
	before separator
	digits string
}

func digitGroups(s string) []digitGroup {
	var groups []digitGroup
	before := other
	inside := false
	for _, r := range s {
		d, ok := digitOf(r)
		sep := separatorOf(r)
		switch {
		case ok && inside:
			groups[len(groups)-1].digits += string(rune('0' + d))
		case ok:
			groups = append(groups, digitGroup{before, string(rune('0' + d))})
			inside = true
		case sep == invisible:
		case inside:
			inside, before = false, sep
		case sep == other || before == other:
			before = other
		default:
			before = max(before, sep) // a hyphen between spaces is a hyphen
		}
	}
	return groups
}

type separator int

const (
	other separator = iota
	invisible
	space
	hyphen
)

func separatorOf(r rune) separator {
	switch {
	case unicode.Is(unicode.Pd, r), r == '\u2212', r == 'ー', r == 'ｰ':
		return hyphen
	case unicode.IsSpace(r):
		return space
	case unicode.Is(unicode.Cf, r):
		return invisible
	}
	return other
}

// digitOf returns the value of a decimal digit of any script: category Nd is made of whole rows 0 to 9.
func digitOf(r rune) (int, bool) {
	if !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	n := 0
	for unicode.Is(unicode.Nd, r-1) {
		r--
		n++
	}
	return n % 10, true
}
