package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// maxNoteSize bounds a checkpoint note: 100 signature lines fit.
const maxNoteSize = 64 << 10

var (
	// ErrCheckpoint is returned for a note that is not a checkpoint of the log.
	ErrCheckpoint = errors.New("checkpoint")
	// ErrNotSignedByLog is returned when the log's own signature is missing or wrong.
	ErrNotSignedByLog = fmt.Errorf("%w: not signed by the log", ErrCheckpoint)
	// ErrBadSignatureLine is returned when a line of a known key does not verify, or when a key has two different lines.
	ErrBadSignatureLine = fmt.Errorf("%w: bad signature line", ErrCheckpoint)
	// ErrNotExact is returned by [OpenCheckpointExactly] for a note with lines beyond the policies' keys, or written otherwise.
	ErrNotExact = fmt.Errorf("%w: has lines of unknown or repeated keys, or is not written in the canonical way", ErrCheckpoint)
)

// Checkpoint is a tree head of the log whose signatures have been verified (C2SP tlog-checkpoint, tlog-cosignature).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
	// Note is the signed note in canonical form: the log's line first, then the valid lines of the policies' keys in byte order, each
	// key once, lines of other keys left out. [OpenCheckpointExactly] accepts it under the same policies.
	Note []byte

	times      []int64 // of the witnesses' cosignatures, ascending
	quorum     int     // of witnesses; 0 when opened without a policy
	auditors   int     // how many auditors signed
	auditorMin int     // auditors' quorum; 0 when opened without a policy
}

// Text returns what the log and the cosigners signed.
func (c *Checkpoint) Text() string {
	return string(c.Note[:bytes.LastIndex(c.Note, []byte("\n\n"))+1])
}

// ExistedBy returns the time by which the checkpoint, and so every entry below its size, existed: the q-th smallest of the witnesses'
// times, for a quorum of q. With up to n - q wrong witnesses at least one honest witness signed by then. It reports false below the
// quorum.
func (c *Checkpoint) ExistedBy() (time.Time, bool) {
	if !c.witnessed() {
		return time.Time{}, false
	}
	return time.Unix(c.times[c.quorum-1], 0).UTC(), true
}

// NotLargerAt returns the time at which the log was not yet larger than the checkpoint: the q-th largest of the witnesses' times. At
// least one honest witness that signs only growing trees signed it then or later. It reports false below the quorum.
func (c *Checkpoint) NotLargerAt() (time.Time, bool) {
	if !c.witnessed() {
		return time.Time{}, false
	}
	return time.Unix(c.times[len(c.times)-c.quorum], 0).UTC(), true
}

func (c *Checkpoint) witnessed() bool { return c.quorum > 0 && len(c.times) >= c.quorum }

// Audited reports whether the auditors' quorum vouches for every head below the checkpoint's size.
func (c *Checkpoint) Audited() bool { return c.auditorMin > 0 && c.auditors >= c.auditorMin }

// OpenCheckpoint verifies a checkpoint. The log must have signed it; a line of a known key that does not verify, or a second and
// different line of one key, spoils the whole note; lines of other keys are ignored. Quorums are not demanded here: see
// [Checkpoint.ExistedBy], [Checkpoint.NotLargerAt] and [Checkpoint.Audited].
func OpenCheckpoint(signed []byte, witnesses, auditors *Policy) (*Checkpoint, error) {
	if witnesses.LogVKey != auditors.LogVKey {
		return nil, fmt.Errorf("%w: witnesses and auditors are for different logs", ErrPolicy)
	}
	return openCheckpoint(signed, witnesses.Log, witnesses, auditors)
}

// OpenLogCheckpoint verifies the log's own signature only, as witnesses and auditors do before they sign. It knows no times.
func OpenLogCheckpoint(signed []byte, log note.Verifier) (*Checkpoint, error) {
	return openCheckpoint(signed, log, &Policy{}, &Policy{})
}

// OpenCheckpointExactly is [OpenCheckpoint] for evidence files, in which nothing may stand that nobody checked: besides it refuses a
// note with lines of unknown keys or repeated lines, and a note that is not in the canonical form of [Checkpoint.Note].
func OpenCheckpointExactly(signed []byte, witnesses, auditors *Policy) (*Checkpoint, error) {
	c, err := OpenCheckpoint(signed, witnesses, auditors)
	if err == nil && !bytes.Equal(c.Note, signed) {
		err = ErrNotExact
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// MergeCosignatures adds to a checkpoint the signature lines (an add-checkpoint answer) that are valid and of a policy key that has not
// signed it yet. All others are left out, so that no cosigner can spoil the note. The answer is the canonical note and how many
// lines were added.
func MergeCosignatures(signed, lines []byte, witnesses, auditors *Policy) (merged []byte, added int, err error) {
	c, err := OpenCheckpoint(signed, witnesses, auditors)
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(lines[:min(len(lines), maxNoteSize)])) {
		next := append(slices.Clone(c.Note), line...)
		grown, err := OpenCheckpoint(next, witnesses, auditors)
		if err != nil || len(grown.Note) == len(c.Note) {
			continue
		}
		c = grown
		added++
	}
	return c.Note, added, nil
}

func openCheckpoint(signed []byte, log note.Verifier, witnesses, auditors *Policy) (*Checkpoint, error) {
	if len(signed) > maxNoteSize {
		return nil, fmt.Errorf("%w: note is larger than %d bytes", ErrCheckpoint, maxNoteSize)
	}
	text, lines, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpointText(text)
	if err != nil {
		return nil, err
	}
	if c.Origin != log.Name() {
		return nil, fmt.Errorf("%w: it is of another log than %q", ErrCheckpoint, log.Name())
	}
	c.quorum, c.auditorMin = witnesses.Quorum, auditors.Quorum
	logLine, cosignatures, err := c.verifyLines(text, lines, log, witnesses, auditors)
	if err != nil {
		return nil, err
	}
	slices.Sort(c.times)
	slices.Sort(cosignatures)
	c.Note = []byte(text + "\n" + logLine + strings.Join(cosignatures, ""))
	return c, nil
}

// verifyLines verifies every signature line of a known key, and returns them in canonical spelling.
func (c *Checkpoint) verifyLines(text string, lines []signatureLine, log note.Verifier, witnesses, auditors *Policy) (logLine string, cosignatures []string, err error) {
	type keyID struct {
		name string
		hash uint32
	}
	seen := make(map[keyID][]byte)
	for _, l := range lines {
		v, count := l.known(c, log, witnesses, auditors)
		if v == nil {
			continue
		}
		id := keyID{l.name, l.hash}
		if before, ok := seen[id]; ok {
			if !bytes.Equal(before, l.sig) {
				return "", nil, fmt.Errorf("%w: two different ones of %s", ErrBadSignatureLine, l.name)
			}
			continue
		}
		seen[id] = l.sig
		switch ok := v.Verify([]byte(text), l.sig); {
		case !ok && v == log:
			return "", nil, fmt.Errorf("%w: its line does not verify", ErrNotSignedByLog)
		case !ok:
			return "", nil, fmt.Errorf("%w: that of %s does not verify", ErrBadSignatureLine, l.name)
		case v == log:
			logLine = l.String()
		default:
			count(l.sig)
			cosignatures = append(cosignatures, l.String())
		}
	}
	if logLine == "" {
		return "", nil, ErrNotSignedByLog
	}
	return logLine, cosignatures, nil
}

// known returns the verifier of a line of a known key and what to do with its signature once verified.
func (l signatureLine) known(c *Checkpoint, log note.Verifier, witnesses, auditors *Policy) (note.Verifier, func(sig []byte)) {
	if log.Name() == l.name && log.KeyHash() == l.hash {
		return log, nil
	}
	if v := witnesses.verifier(l.name, l.hash); v != nil {
		return v, func(sig []byte) { c.times = append(c.times, int64(binary.BigEndian.Uint64(sig))) }
	}
	if v := auditors.verifier(l.name, l.hash); v != nil {
		return v, func([]byte) { c.auditors++ }
	}
	return nil, nil
}

// signatureLine is one line "— name base64(key ID || signature)" of a note (C2SP signed-note).
type signatureLine struct {
	text string // its one spelling, without the newline
	name string
	hash uint32
	sig  []byte
}

const signaturePrefix = "— "

func (l signatureLine) String() string { return l.text + "\n" }

// splitNote returns the text and the signature lines of a note, nothing of it verified. The rules are those of
// golang.org/x/mod/sumdb/note, which silently drops a key's second line, where this package must see it.
func splitNote(signed []byte) (text string, lines []signatureLine, err error) {
	malformed := func(what string) (string, []signatureLine, error) {
		return "", nil, fmt.Errorf("%w: not a signed note: %s", ErrCheckpoint, what)
	}
	text, block, ok := cutLast(string(signed), "\n\n")
	if !ok || block == "" || !strings.HasSuffix(block, "\n") {
		return malformed("no signatures after an empty line")
	}
	for line := range strings.Lines(block) {
		l, ok := parseSignatureLine(strings.TrimSuffix(line, "\n"))
		if !ok {
			return malformed("a signature line is not as it must be")
		}
		if lines = append(lines, l); len(lines) > 100 {
			return malformed("more than 100 signatures")
		}
	}
	return text + "\n", lines, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", "", false
}

func parseSignatureLine(line string) (signatureLine, bool) {
	rest, ok := strings.CutPrefix(line, signaturePrefix)
	name, b64, _ := strings.Cut(rest, " ")
	blob, err := base64.StdEncoding.Strict().DecodeString(b64)
	// DecodeString passes over line breaks: what it takes has one spelling without them.
	if !ok || err != nil || len(blob) < 5 || !validKeyName(name) || strings.ContainsAny(b64, "\r\n") {
		return signatureLine{}, false
	}
	return signatureLine{line, name, binary.BigEndian.Uint32(blob), blob[4:]}, true
}

// parseCheckpointText reads the text of a checkpoint (C2SP tlog-checkpoint) and accepts one spelling only:
//
//	origin
//	tree size, decimal
//	base64 of the root
//	extension lines, not empty (ours has none)
func parseCheckpointText(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" || slices.Contains(lines[:len(lines)-1], "") {
		return nil, fmt.Errorf("%w: needs the lines origin, size and root", ErrCheckpoint)
	}
	for _, r := range text {
		if r < 0x20 && r != '\n' || r == 0x7f || r == '\uFFFD' {
			return nil, fmt.Errorf("%w: has a character that a note may not have", ErrCheckpoint)
		}
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return nil, fmt.Errorf("%w: the second line is not a tree size", ErrCheckpoint)
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(Hash{}) {
		return nil, fmt.Errorf("%w: the third line is not a root hash", ErrCheckpoint)
	}
	return &Checkpoint{Origin: lines[0], Size: size, Root: Hash(root)}, nil
}
