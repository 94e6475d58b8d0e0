package schemas

import "sync"

// Word is how one finding looks and reads. The glyph is the cell's; the text is the finding's own, by language: ja and en always,
// ja-easy (easy Japanese) and vi where a worker sees the finding.
type Word struct {
	Glyph       string            `json:"glyph"`                  // for reviewers
	WorkerGlyph string            `json:"worker_glyph,omitempty"` // ○ does not mean "good" everywhere
	Text        map[string]string `json:"text"`
	Detail      map[string]string `json:"detail,omitempty"` // what is always shown beside the text; {n} days or yen, {d} a date
}

// WordTable holds the words used on pages and papers.
type WordTable struct {
	Findings map[string]Word              `json:"findings"` // by name of the finding
	Notes    map[string]map[string]string `json:"notes"`    // additions to a finding, by key and language
	Texts    map[string]map[string]string `json:"texts"`    // phrases, by key and language
}

// Words returns the table. The caller must not change it.
func Words() WordTable { return words() }

var words = sync.OnceValue(func() WordTable {
	var w WordTable
	mustLoad("words.json", &w)
	return w
})
