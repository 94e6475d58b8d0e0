package i18n

import (
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"akashi/attestation"
)

// TestEveryLanguageSaysTheSame: each language has every text, with the same parameters in every plural form that it needs.
func TestEveryLanguageSaysTheSame(t *testing.T) {
	first := catalogues()[Languages[0]]
	for _, lang := range Languages {
		texts := catalogues()[lang]
		for _, key := range slices.Sorted(maps.Keys(first)) {
			if _, ok := texts[key]; !ok {
				t.Errorf("%s has no text %s", lang, key)
			}
		}
		for key, m := range texts {
			model, ok := first[key]
			if !ok {
				t.Errorf("%s has no text %s, which %s has", Languages[0], key, lang)
				continue
			}
			for form, text := range m {
				got, want := slices.Sorted(slices.Values(parameters(text))), slices.Sorted(slices.Values(parameters(model[other])))
				if text == "" || !slices.Equal(got, want) {
					t.Errorf("%s of %s, form %s: parameters %v, want %v", key, lang, form, got, want)
				}
			}
		}
	}
	if len(first) == 0 {
		t.Fatal("no catalogue was read")
	}
}

// TestPluralsOfEnglish: a text with a number has both of English's forms, or none.
func TestPluralsOfEnglish(t *testing.T) {
	for key, m := range catalogues()["en"] {
		if len(m) > 1 && m["one"] == "" {
			t.Errorf("%s has plural forms, but none for one", key)
		}
	}
}

func TestFill(t *testing.T) {
	m := message{"one": "{n} gap of {who}", other: "{n} gaps of {who}"}
	for _, c := range []struct {
		name string
		lang string
		args []any
		want string
		err  error
	}{
		{"one", "en", []any{"n", 1, "who", "A"}, "1 gap of A", nil},
		{"none", "en", []any{"n", 0, "who", "A"}, "0 gaps of A", nil},
		{"no plural in Japanese", "ja", []any{"n", 1, "who", "A"}, "1 gaps of A", nil},
		{"what a parameter holds is no parameter", "en", []any{"n", 2, "who", "{n}"}, "2 gaps of {n}", nil},
		{"without a parameter", "en", []any{"n", 1}, "", ErrNoText},
		{"without a value", "en", []any{"n"}, "", ErrNoText},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := m.fill(c.lang, "key", c.args)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %q, %v; want %q, %v", got, err, c.want, c.err)
			}
		})
	}
	if _, err := Text("ja", "page.nothing"); !errors.Is(err, ErrNoText) {
		t.Errorf("an unknown key: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":              `{`,
		"a number":             `{"a": 1}`,
		"plural without other": `{"a": {"one": "x"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(fstest.MapFS{"messages/en/x.json": {Data: []byte(text)}}); err == nil {
				t.Error("it was read")
			}
		})
	}
}

func TestLanguageOfARequest(t *testing.T) {
	for _, c := range []struct{ name, target, cookie, accept, want string }{
		{"nothing said", "/", "", "", "ja"},
		{"accepted", "/", "", "fr;q=0.9, en-US;q=0.8, ja;q=0.5", "en"},
		{"none of ours accepted", "/", "", "vi", "ja"},
		{"malformed", "/", "", "en;q=x", "ja"},
		{"remembered", "/", "ja", "en", "ja"},
		{"remembered another", "/", "xx", "en", "en"},
		{"chosen", "/?lang=en", "ja", "ja", "en"},
		{"chosen another", "/?lang=xx", "en", "ja", "en"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", c.target, nil)
			if c.cookie != "" {
				r.Header.Set("Cookie", CookieName+"="+c.cookie)
			}
			if c.accept != "" {
				r.Header.Set("Accept-Language", c.accept)
			}
			if got := Of(r); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRememberOnlyWhatWeHave(t *testing.T) {
	for target, want := range map[string]int{"/": 0, "/?lang=xx": 0, "/?lang=en": 1} {
		w := httptest.NewRecorder()
		Remember(w, httptest.NewRequest("GET", target, nil))
		if got := len(w.Result().Cookies()); got != want {
			t.Errorf("%s: %d cookies, want %d", target, got, want)
		}
	}
}

func TestWareki(t *testing.T) {
	for _, c := range []struct {
		date attestation.Date
		want string
	}{
		{attestation.NewDate(2026, time.November, 25), "令和8年11月25日"},
		{attestation.NewDate(2019, time.May, 1), "令和元年5月1日"},
		{attestation.NewDate(2019, time.April, 30), "平成31年4月30日"},
		{attestation.NewDate(1989, time.January, 8), "平成元年1月8日"},
		{attestation.NewDate(1989, time.January, 7), ""},
		{attestation.Date{}, ""},
	} {
		if got := Wareki(c.date); got != c.want {
			t.Errorf("%s: got %s, want %s", c.date, got, c.want)
		}
		if got, month := WarekiMonth(c.date), strings.Split(c.want+"月", "月")[0]; got != month+"月" && c.want != "" || c.want == "" && got != "" {
			t.Errorf("%s: the month is %s", c.date, got)
		}
	}
}
