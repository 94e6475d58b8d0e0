package verifier

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"akashi/internal/i18n"
)

// The reviewer's pages are html/template files in pages/: NAME.html defines what layout.html leaves open, which are the templates title, bar (operations)
// and main, and head where it needs more than page.css. What they say stands in the catalogues of package i18n: {{t "page.name"}} is a text in
// the reader's language, {{both "page.name"}} the same with the other language beside it. They load nothing from elsewhere and have no
// inline style or script.
//
//go:embed all:pages
var pageFiles embed.FS

// pagePolicy is the Content-Security-Policy of every page.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// chrome is what layout.html shows around a page.
type chrome struct {
	Lang      string
	Languages []languageLink // to the same page, none where the page cannot be asked for again
	Data      any
}

type languageLink struct {
	Lang, Name, URL string
	Current         bool
}

// languageNames are the languages in their own words.
var languageNames = map[string]string{"ja": "日本語", "en": "English"}

// render answers with a page in the reader's language: the whole of it, or an error page. The error is for the log.
func render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	lang := i18n.Of(r)
	body, err := execute(lang, name, chrome{Lang: lang, Languages: languageLinks(r, lang), Data: data})
	if err != nil {
		status = http.StatusInternalServerError
		var second error
		if body, second = execute(lang, pageProblem, chrome{Lang: lang, Data: problemOf(status)}); second != nil {
			http.Error(w, http.StatusText(status), status)
			return fmt.Errorf("page %s: %w; %w", name, err, second)
		}
	}
	i18n.Remember(w, r)
	writePage(w, status, lang, body)
	if err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	return nil
}

// writePage answers with a page as it is.
func writePage(w http.ResponseWriter, status int, lang string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Language", lang)
	h.Add("Vary", "Accept-Language, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a reader that went away needs no answer
}

const pageProblem = "problem"

// problem is what problem.html shows.
type problem struct {
	Status  int
	Message string // key of a text that says what to do
}

func problemOf(status int) problem {
	key := fmt.Sprintf("page.problem_%d", status)
	if !i18n.Has(key) {
		key = fmt.Sprintf("page.problem_%d", http.StatusInternalServerError)
	}
	return problem{Status: status, Message: key}
}

// renderProblem answers with a page that says in words what is wrong and what to do; message is the key of a text, "" for that of the status.
func renderProblem(w http.ResponseWriter, r *http.Request, status int, message string) error {
	p := problemOf(status)
	p.Message = cmp.Or(message, p.Message)
	return render(w, r, status, pageProblem, p)
}

// languageLinks lead to the page of a request in every language.
func languageLinks(r *http.Request, current string) (out []languageLink) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	for _, lang := range i18n.Languages {
		q := r.URL.Query()
		q.Set(i18n.QueryName, lang)
		u := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
		out = append(out, languageLink{Lang: lang, Name: languageNames[lang], URL: u.RequestURI(), Current: lang == current})
	}
	return out
}

// execute writes a page in full before anybody sees it.
func execute(lang, name string, data any) ([]byte, error) {
	t := pageTemplates()[lang][name]
	if t == nil {
		return nil, fmt.Errorf("there is no template %q in %q", name, lang)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Templates that are no page: the frames around one, and files whose names begin with _, which every page can use the templates of.
const (
	layoutServed = "layout"     // answered over HTTP
	layoutAlone  = "standalone" // one file, with its style in it
	pagePaper    = "paper"      // the one page that is such a file
)

// pageTemplates are the pages by language and name. Every page is parsed once a language, for its texts.
var pageTemplates = sync.OnceValue(func() map[string]map[string]*template.Template {
	all, err := parsePages(pageFiles)
	if err != nil { // embedded, and held by the tests
		panic(err)
	}
	return all
})

func parsePages(fsys fs.FS) (map[string]map[string]*template.Template, error) {
	names, err := fs.Glob(fsys, "pages/*.html")
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]*template.Template{}
	for _, lang := range i18n.Languages {
		all[lang] = map[string]*template.Template{}
		for _, file := range names {
			name := strings.TrimSuffix(path.Base(file), ".html")
			if name == layoutServed || name == layoutAlone || strings.HasPrefix(name, "_") {
				continue
			}
			layout := "pages/" + layoutServed + ".html"
			if name == pagePaper {
				layout = "pages/" + layoutAlone + ".html"
			}
			t, err := template.New(path.Base(layout)).Funcs(pageFuncs(lang)).ParseFS(fsys, layout, "pages/_*.html", file)
			if err != nil {
				return nil, err
			}
			all[lang][name] = t.Option("missingkey=error")
		}
	}
	return all, nil
}

// otherLanguage is the language that stands beside the reader's.
func otherLanguage(lang string) string {
	if lang == "en" {
		return "ja"
	}
	return "en"
}

// pageFuncs are the functions of the templates, for a language.
func pageFuncs(lang string) template.FuncMap {
	return template.FuncMap{
		"t": func(key string, args ...any) (string, error) { return i18n.Text(lang, key, args...) },
		"t2": func(key string, args ...any) (string, error) { // in the other language; the element around it has lang="{{lang2}}"
			return i18n.Text(otherLanguage(lang), key, args...)
		},
		"both":     func(key string, args ...any) (template.HTML, error) { return bothLanguages(lang, key, args...) },
		"brackets": func(parts ...string) string { return brackets(lang, parts...) },
		"lang":     func() string { return lang },
		"lang2":    func() string { return otherLanguage(lang) },
		"asset":    assetURL,
	}
}

// brackets puts what is said by the way into the brackets of a language, to stand right behind what it belongs to.
func brackets(lang string, parts ...string) string {
	if lang == "ja" {
		return "（" + strings.Join(parts, "、") + "）"
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// bothLanguages is a text with the same in the other language beside it.
func bothLanguages(lang, key string, args ...any) (template.HTML, error) {
	first, err := i18n.Text(lang, key, args...)
	if err != nil {
		return "", err
	}
	second, err := i18n.Text(otherLanguage(lang), key, args...)
	if err != nil {
		return "", err
	}
	return template.HTML(template.HTMLEscapeString(first) + ` <span class="alt" lang="` + otherLanguage(lang) + `">` + template.HTMLEscapeString(second) + `</span>`), nil
}

// Assets are the pages' style sheets and scripts. Their addresses hold a hash of their content, so that browsers keep them for long.
const pathAssets = "/assets/"

// asset is a file that pages load.
type asset struct {
	name, mediaType string
	content         []byte
}

var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assets are the files by the name in their address.
var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{}
	for _, suffix := range slices.Sorted(maps.Keys(mediaTypes)) {
		names, _ := fs.Glob(pageFiles, "pages/*"+suffix) // the pattern is a good one
		for _, file := range names {
			content, err := pageFiles.ReadFile(file)
			if err != nil { // it is embedded
				panic(err)
			}
			sum := sha256.Sum256(content)
			name := path.Base(file)
			address := strings.TrimSuffix(name, suffix) + "-" + hex.EncodeToString(sum[:8]) + suffix
			all[address] = asset{name: name, mediaType: mediaTypes[suffix], content: content}
		}
	}
	return all
})

// assetURL is the address of a file in pages/.
func assetURL(name string) (string, error) {
	for address, a := range assets() {
		if a.name == name {
			return pathAssets + address, nil
		}
	}
	return "", fmt.Errorf("there is no asset %q", name)
}

// routeAssets adds the pages' assets to a router.
func routeAssets(r *mux.Router) {
	r.HandleFunc(pathAssets+"{name}", serveAsset).Methods(http.MethodGet, http.MethodHead)
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := assets()[mux.Vars(r)["name"]]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}
