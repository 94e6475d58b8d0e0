package i18n

import (
	"net/http"
	"slices"

	"golang.org/x/text/language"
)

// QueryName is the parameter that chooses a page's language, CookieName the cookie that remembers it.
const (
	QueryName  = "lang"
	CookieName = "akashi-lang"
)

// Of returns the language to answer a request in: the one chosen in the URL, the one that the browser remembers, or the best of those that it
// accepts (RFC 9110, Section 12.5.4).
func Of(r *http.Request) string {
	if lang := r.URL.Query().Get(QueryName); slices.Contains(Languages, lang) {
		return lang
	}
	if c, err := r.Cookie(CookieName); err == nil && slices.Contains(Languages, c.Value) {
		return c.Value
	}
	accepted, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(accepted) == 0 {
		return Languages[0]
	}
	_, i, confidence := language.NewMatcher(tags()).Match(accepted...)
	if confidence < language.High { // of two languages that the reader did not name, the default is the better guess
		return Languages[0]
	}
	return Languages[i]
}

// Remember has the browser remember a language that the URL chose.
func Remember(w http.ResponseWriter, r *http.Request) {
	lang := r.URL.Query().Get(QueryName)
	if !slices.Contains(Languages, lang) {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600, Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func tags() (out []language.Tag) {
	for _, lang := range Languages {
		out = append(out, language.Make(lang))
	}
	return out
}
