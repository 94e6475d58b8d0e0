// Package i18n holds what the pages say, by language: message catalogues in messages/LANGUAGE/NAME.json, each a flat JSON object from key to
// text. [Text] returns the text of NAME.KEY. A text may hold parameters as {name}; where its number matters it is an object of CLDR plural
// categories (Unicode Technical Standard 35, part 3, Language Plural Rules) chosen by the parameter n:
//
//	"gaps": {"one": "{n} gap", "other": "{n} gaps"}
//
// A catalogue is added as one file per language of [Languages]; a test holds the languages against each other. Left out: the words of
// findings, which are data of package schemas, and any language that nobody has read.
package i18n

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Languages are those that the pages are shipped in, the first is the default.
var Languages = []string{"ja", "en"}

//go:embed messages
var files embed.FS

// ErrNoText is returned for a text that no catalogue has, or for parameters that are not those of the text.
var ErrNoText = errors.New("no such text")

// message is one text, with its plural forms by category; "other" is always there.
type message map[string]string

// UnmarshalJSON reads a text, or an object of plural categories.
func (m *message) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		*m = message{other: text}
		return nil
	}
	var forms map[string]string
	if err := json.Unmarshal(data, &forms); err != nil {
		return err
	}
	if forms[other] == "" {
		return fmt.Errorf("a plural without %q", other)
	}
	*m = forms
	return nil
}

const other = "other"

// categories are the names of the plural categories.
var categories = map[plural.Form]string{plural.Other: other, plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}

// catalogues are all messages by language and NAME.KEY.
var catalogues = sync.OnceValue(func() map[string]map[string]message {
	all, err := load(files)
	if err != nil { // embedded, and held by the tests
		panic(err)
	}
	return all
})

func load(fsys fs.FS) (map[string]map[string]message, error) {
	all := map[string]map[string]message{}
	for _, lang := range Languages {
		all[lang] = map[string]message{}
		names, err := fs.Glob(fsys, path.Join("messages", lang, "*.json"))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return nil, err
			}
			var texts map[string]message
			if err := json.Unmarshal(data, &texts); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			prefix := strings.TrimSuffix(path.Base(name), ".json")
			for key, m := range texts {
				all[lang][prefix+"."+key] = m
			}
		}
	}
	return all, nil
}

// Has reports whether the catalogues have a text.
func Has(key string) bool {
	_, ok := catalogues()[Languages[0]][key]
	return ok
}

// Text returns the text of a key in a language. args are names and values of its parameters in turn; n, an int, chooses the plural.
func Text(lang, key string, args ...any) (string, error) {
	m, ok := catalogues()[lang][key]
	if !ok {
		return "", fmt.Errorf("%w: %q in %q", ErrNoText, key, lang)
	}
	return m.fill(lang, key, args)
}

func (m message) fill(lang, key string, args []any) (string, error) {
	if len(args)%2 != 0 {
		return "", fmt.Errorf("%w: %q with a parameter that has no value", ErrNoText, key)
	}
	text := m[other]
	pairs := make([]string, 0, len(args))
	for i := 0; i < len(args); i += 2 {
		name := fmt.Sprint(args[i])
		if n, ok := args[i+1].(int); ok && name == "n" {
			if form := m[category(lang, n)]; form != "" {
				text = form
			}
		}
		pairs = append(pairs, "{"+name+"}", fmt.Sprint(args[i+1]))
	}
	for _, p := range parameters(text) {
		if !contains(pairs, p) {
			return "", fmt.Errorf("%w: %q without its parameter %s", ErrNoText, key, p)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

func contains(pairs []string, parameter string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == parameter {
			return true
		}
	}
	return false
}

// category returns the plural category of a whole number.
func category(lang string, n int) string {
	return categories[plural.Cardinal.MatchPlural(language.Make(lang), max(n, -n), 0, 0, 0, 0)]
}

// parameters lists the {name}s of a text.
func parameters(text string) (out []string) {
	for {
		_, rest, ok := strings.Cut(text, "{")
		if !ok {
			return out
		}
		name, rest, ok := strings.Cut(rest, "}")
		if !ok {
			return out
		}
		out, text = append(out, "{"+name+"}"), rest
	}
}
