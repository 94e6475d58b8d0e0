package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"akashi/attestation"
	"akashi/registry"
)

// The one encoding of a file, in both directions. It is the JSON that encoding/json makes of a [File] without escapes for HTML; that
// package is not used because it takes several times as long. The writer alone says what the encoding is. The reader takes the members in
// their order and may take more than is allowed: [Read] writes again what it took and compares the octets.

var (
	std64 = base64.StdEncoding.Strict()
	url64 = base64.RawURLEncoding.Strict()
)

// writer writes JSON to out, a piece at a time. The first error stays.
type writer struct {
	out    io.Writer
	buf    []byte
	joined []byte // the path at hand
	some   bool   // the object or array at hand has a member
	err    error
}

const writeAfter = 8 << 10

// write writes the file's one encoding.
func (f *File) write(out io.Writer) error {
	w := &writer{out: out, buf: make([]byte, 0, 4*writeAfter)}
	w.open('{')
	w.string("format", f.Format)
	w.string("from", string(f.From))
	w.string("to", string(f.To))
	w.base64("ruleset_hash", url64, f.RulesetHash[:])
	w.presentation("presentation", &f.Presentation)
	w.string("checkpoint", f.Checkpoint)
	w.head("head", &f.Head)
	writeArray(w, "trust_lists", f.TrustLists, (*writer).trustList)
	writeArray(w, "ladder", f.Ladder, (*writer).record)
	if len(f.Slots) > 0 {
		writeArray(w, "slots", f.Slots, (*writer).record)
	}
	if len(f.Statements) > 0 {
		writeArray(w, "statements", f.Statements, (*writer).record)
	}
	w.strings("notes", f.Notes)
	w.json("assessment", f.Assessment)
	if f.Seal != "" {
		w.string("seal", f.Seal)
	}
	w.close('}')
	w.flush()
	return w.err
}

func (w *writer) flush() {
	if w.err == nil {
		_, w.err = w.out.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

func (w *writer) open(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.some = false
}

func (w *writer) close(bracket byte) {
	w.buf = append(w.buf, bracket)
	w.some = true
}

// comma goes on to the next member or element.
func (w *writer) comma() {
	if len(w.buf) >= writeAfter {
		w.flush()
	}
	if w.some {
		w.buf = append(w.buf, ',')
	}
	w.some = true
}

// name writes a member's name, which is a plain word.
func (w *writer) name(name string) {
	w.comma()
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '"', ':')
}

func (w *writer) string(name, s string) {
	w.name(name)
	w.text(s)
}

// plain are the octets that stand in a string as they are.
var plain = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// text writes a string; what is not printable ASCII is left to encoding/json.
func (w *writer) text(s string) {
	for i := range len(s) {
		if !plain[s[i]] {
			var b bytes.Buffer
			if err := encode(&b, s); err != nil && w.err == nil {
				w.err = err
			}
			w.buf = append(w.buf, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
			return
		}
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, '"')
}

// strings writes an array of strings unless it is empty.
func (w *writer) strings(name string, array []string) {
	if len(array) > 0 {
		writeArray(w, name, array, func(w *writer, s *string) { w.text(*s) })
	}
}

// writeArray writes an array, also an empty one.
func writeArray[T any](w *writer, name string, array []T, element func(*writer, *T)) {
	w.name(name)
	if array == nil { // of no file that a reader takes
		w.buf = append(w.buf, "null"...)
		return
	}
	w.open('[')
	for i := range array {
		w.comma()
		element(w, &array[i])
		w.some = true
	}
	w.close(']')
}

func (w *writer) uint(name string, n uint64) {
	w.name(name)
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// base64 writes octets, as they come, in one of the two alphabets.
func (w *writer) base64(name string, encoding *base64.Encoding, octets []byte) {
	w.name(name)
	w.buf = append(w.buf, '"')
	w.buf = encoding.AppendEncode(w.buf, octets)
	w.buf = append(w.buf, '"')
}

// path writes a path unless it is empty.
func (w *writer) path(name string, p Path) {
	if len(p) == 0 {
		return
	}
	w.joined = w.joined[:0]
	for i := range p {
		w.joined = append(w.joined, p[i][:]...)
	}
	w.base64(name, url64, w.joined)
}

// json writes JSON without its white space.
func (w *writer) json(name string, text json.RawMessage) {
	w.name(name)
	if text == nil { // of no file that a reader takes
		text = json.RawMessage("null")
	}
	var b bytes.Buffer
	b.Grow(len(text))
	if err := json.Compact(&b, text); err != nil && w.err == nil {
		w.err = err
	}
	w.flush()
	if w.err == nil {
		_, w.err = b.WriteTo(w.out)
	}
}

func (w *writer) presentation(name string, p *Presentation) {
	w.name(name)
	w.open('{')
	w.string("engagement", p.Engagement)
	w.strings("attestations", p.Attestations)
	w.strings("statements", p.Statements)
	w.close('}')
}

func (w *writer) head(name string, h *Head) {
	w.name(name)
	w.open('{')
	w.base64("entry", std64, h.Entry)
	w.path("inclusion", h.Inclusion)
	w.close('}')
}

func (w *writer) trustList(l *TrustList) {
	w.open('{')
	w.string("jwt", l.JWT)
	w.uint("index", l.Index)
	w.path("inclusion", l.Inclusion)
	w.close('}')
}

func (w *writer) record(r *Record) {
	w.open('{')
	w.base64("key", url64, r.Key[:])
	w.base64("proof", std64, r.Proof)
	w.path("inclusion", r.Inclusion)
	if r.HB != nil {
		w.base64("hb", url64, r.HB[:])
	}
	if len(r.Nonce) > 0 {
		w.base64("nonce", std64, r.Nonce)
	}
	if r.JWT != "" {
		w.string("jwt", r.JWT)
	}
	if len(r.A) > 0 {
		w.base64("a", std64, r.A)
	}
	if r.Erased {
		w.name("erased")
		w.buf = append(w.buf, "true"...)
	}
	if r.Submission != nil {
		w.submission("submission", r.Submission)
	}
	w.close('}')
}

func (w *writer) submission(name string, s *Submission) {
	w.name(name)
	w.open('{')
	w.string("jwt", s.JWT)
	w.name("position")
	w.buf = strconv.AppendInt(w.buf, int64(s.Position), 10)
	w.path("path", s.Path)
	w.close('}')
}

// reader takes a file's members one after the other; pos is the first octet not yet taken. What is not as expected makes it bad, after
// which it takes nothing.
type reader struct {
	data []byte
	text string // data; the strings of the file are parts of it
	pos  int
	bad  bool
}

func (r *reader) file() *File {
	f := new(File)
	f.Format = r.string(`{"format":`)
	f.From = attestation.Period(r.string(`,"from":`))
	f.To = attestation.Period(r.string(`,"to":`))
	f.RulesetHash = r.hash(`,"ruleset_hash":`)
	f.Presentation.Engagement = r.string(`,"presentation":{"engagement":`)
	f.Presentation.Attestations = r.strings(`,"attestations":`)
	f.Presentation.Statements = r.strings(`,"statements":`)
	f.Checkpoint = r.string(`},"checkpoint":`)
	f.Head.Entry = r.octets(`,"head":{"entry":`, std64)
	f.Head.Inclusion = r.path(`,"inclusion":`)
	f.TrustLists = readArray(r, `},"trust_lists":`, (*reader).trustList)
	f.Ladder = readArray(r, `,"ladder":`, (*reader).record)
	f.Slots = readArray(r, `,"slots":`, (*reader).record)
	f.Statements = readArray(r, `,"statements":`, (*reader).record)
	f.Notes = r.strings(`,"notes":`)
	f.Assessment, f.Seal = r.rest(`,"assessment":`, `,"seal":`, `}`)
	return f
}

func (r *reader) trustList() (l TrustList) {
	l.JWT = r.string(`{"jwt":`)
	l.Index = r.uint(`,"index":`)
	l.Inclusion = r.path(`,"inclusion":`)
	r.must(`}`)
	return l
}

func (r *reader) record() (rec Record) {
	rec.Key = registry.Key(r.hash(`{"key":`))
	rec.Proof = r.octets(`,"proof":`, std64)
	rec.Inclusion = r.path(`,"inclusion":`)
	if r.next(`,"hb":`) {
		hb := registry.Hash(r.hash(`,"hb":`))
		rec.HB = &hb
	}
	if r.next(`,"nonce":`) {
		rec.Nonce = r.octets(`,"nonce":`, std64)
	}
	if r.next(`,"jwt":`) {
		rec.JWT = r.string(`,"jwt":`)
	}
	if r.next(`,"a":`) {
		rec.A = r.octets(`,"a":`, std64)
	}
	rec.Erased = r.may(`,"erased":true`)
	if r.next(`,"submission":`) {
		rec.Submission = r.submission(`,"submission":`)
	}
	r.must(`}`)
	return rec
}

func (r *reader) submission(before string) *Submission {
	s := new(Submission)
	r.must(before)
	s.JWT = r.string(`{"jwt":`)
	s.Position = r.int(`,"position":`)
	s.Path = r.path(`,"path":`)
	r.must(`}`)
	return s
}

// next says whether the literal is next.
func (r *reader) next(literal string) bool {
	return !r.bad && strings.HasPrefix(r.text[r.pos:], literal)
}

// may takes the literal if it is next, and says whether it was.
func (r *reader) may(literal string) bool {
	if !r.next(literal) {
		return false
	}
	r.pos += len(literal)
	return true
}

// must takes the literal.
func (r *reader) must(literal string) bool {
	if !r.may(literal) {
		r.bad = true
	}
	return !r.bad
}

// readArray takes an array, nil if what stands before it is not next.
func readArray[T any](r *reader, before string, element func(*reader) T) []T {
	if !r.may(before) {
		return nil
	}
	array := []T{}
	for closing := r.must(`[`) && r.may(`]`); !closing && !r.bad; closing = r.may(`]`) {
		if len(array) > 0 {
			r.must(`,`)
		}
		array = append(array, element(r))
	}
	return array
}

func (r *reader) strings(before string) []string {
	return readArray(r, before, func(r *reader) string { return r.string("") })
}

// string takes a string; one with escapes is left to encoding/json.
func (r *reader) string(before string) (s string) {
	start, end := r.quoted(before)
	if strings.IndexByte(r.text[start:end], '\\') < 0 {
		return r.text[start:end]
	}
	if json.Unmarshal(r.data[start-1:end+1], &s) != nil {
		r.bad = true
	}
	return s
}

// quoted takes a string and returns where its content stands.
func (r *reader) quoted(before string) (start, end int) {
	if !r.must(before) || !r.must(`"`) {
		return r.pos, r.pos
	}
	start = r.pos
	n := strings.IndexByte(r.text[start:], '"')
	if n >= 0 && strings.IndexByte(r.text[start:start+n], '\\') < 0 {
		r.pos += n + 1
		return start, start + n
	}
	for end = start; end < len(r.text); end++ {
		switch r.text[end] {
		case '"':
			r.pos = end + 1
			return start, end
		case '\\':
			end++
		}
	}
	r.bad = true
	return r.pos, r.pos
}

func (r *reader) octets(before string, encoding *base64.Encoding) []byte {
	start, end := r.quoted(before)
	octets, err := encoding.AppendDecode(nil, r.data[start:end])
	if err != nil {
		r.bad = true
	}
	return octets
}

func (r *reader) hash(before string) (h [32]byte) {
	start, end := r.quoted(before)
	if err := (*registry.Hash)(&h).UnmarshalText(r.data[start:end]); err != nil {
		r.bad = true
	}
	return h
}

// path takes a path, nil if what stands before it is not next.
func (r *reader) path(before string) (p Path) {
	if !r.next(before) {
		return nil
	}
	start, end := r.quoted(before)
	if err := p.UnmarshalText(r.data[start:end]); err != nil {
		r.bad = true
	}
	return p
}

func (r *reader) uint(before string) uint64 {
	n, err := strconv.ParseUint(r.number(before), 10, 64)
	if err != nil {
		r.bad = true
	}
	return n
}

func (r *reader) int(before string) int {
	n, err := strconv.Atoi(r.number(before))
	if err != nil {
		r.bad = true
	}
	return n
}

func (r *reader) number(before string) string {
	r.must(before)
	start := r.pos
	for !r.bad && r.pos < len(r.text) && strings.IndexByte("-0123456789", r.text[r.pos]) >= 0 {
		r.pos++
	}
	return r.text[start:r.pos]
}

// rest takes all octets but the last ones, and those. Where the rest ends with a string that has no escapes and is the member that may stand
// there, it is taken as such: the JSON before it is an object, and does not end like that.
func (r *reader) rest(before, member, last string) (text json.RawMessage, value string) {
	if !r.must(before) || !strings.HasSuffix(r.text[r.pos:], last) {
		r.bad = true
		return nil, ""
	}
	start, end := r.pos, len(r.text)-len(last)
	r.pos = len(r.text)
	if text, ok := strings.CutSuffix(r.text[start:end], `"`); ok {
		quote := strings.LastIndexByte(text, '"')
		if json, ok := strings.CutSuffix(text[:max(quote, 0)], member); ok {
			value, end = text[quote+1:], start+len(json)
		}
	}
	return bytes.Clone(r.data[start:end]), value
}
