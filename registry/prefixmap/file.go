package prefixmap

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"akashi/registry"
)

// The file of a map, version 1:
//
//	"akashi map\n" || 0x01 || covered(8) || count(8) || root(32)          header
//	count times: K(32) || i(8) || V(32)                                    ascending by K
//	H(everything before)(32)
//
// covered is the position in the log: every entry below it is in the map, none from it on. Nothing in it is secret, the log says the
// same. The checksum finds files that were torn or damaged. It does not make them true: whoever can write the file can write a false
// one, which the next head would show, as its root differs from that of a replay.
const (
	fileMagic   = "akashi map\n"
	fileVersion = 0x01
	headerSize  = len(fileMagic) + 1 + 8 + 8 + 32
	memberSize  = 32 + 8 + 32

	fileBuffer = 1 << 20
)

// ErrDamaged is returned for a file that is not, or is not wholly, what was written. Then the map is rebuilt from the log: the file is
// only a shortcut.
var ErrDamaged = errors.New("map file is damaged")

// Write writes the snapshot to w. covered is the position in the log that it stands for: all entries below it have been inserted.
func (s *Snapshot) Write(w io.Writer, covered uint64) error {
	sum := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(w, sum), fileBuffer)
	header := append(make([]byte, 0, headerSize), fileMagic...)
	header = append(header, fileVersion)
	header = binary.BigEndian.AppendUint64(header, covered)
	header = binary.BigEndian.AppendUint64(header, uint64(s.count))
	header = append(header, s.hash[:]...)
	_, err := buffered.Write(header)
	if err == nil && s.top != none {
		err = s.arena.writeMembers(buffered, s.top, covered)
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		_, err = w.Write(sum.Sum(nil))
	}
	if err != nil {
		return fmt.Errorf("writing the map: %w", err)
	}
	return nil
}

// writeMembers writes the members at and below r, ascending by key. All must be covered.
func (a *arena) writeMembers(w *bufio.Writer, r ref, covered uint64) error {
	if r.isLeaf() {
		l := a.leaf(r)
		if l.index >= covered {
			return fmt.Errorf("a member has index %d, and only entries below %d are covered", l.index, covered)
		}
		_, err := w.Write(registry.AppendMember(w.AvailableBuffer(), registry.MapMember{Key: l.key, Index: l.index, Value: l.value}))
		return err
	}
	n := a.inner(r)
	if err := a.writeMembers(w, n.child[0], covered); err != nil {
		return err
	}
	return a.writeMembers(w, n.child[1], covered)
}

// Read reads what [Snapshot.Write] wrote, up to the end of r, and returns the map and its position in the log. It returns [ErrDamaged]
// unless every byte is as it was written and the members have the root that the header says.
func Read(r io.Reader) (m *Map, covered uint64, err error) {
	sum := sha256.New()
	in := bufio.NewReaderSize(r, fileBuffer)
	from := io.TeeReader(in, sum)
	var header [headerSize]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return nil, 0, readError(err)
	}
	rest, ok := bytes.CutPrefix(header[:], []byte(fileMagic+string(rune(fileVersion))))
	if !ok {
		return nil, 0, fmt.Errorf("%w: not a map of version %d", ErrDamaged, fileVersion)
	}
	covered = binary.BigEndian.Uint64(rest)
	m = New()
	if err := m.readMembers(from, binary.BigEndian.Uint64(rest[8:]), covered); err != nil {
		return nil, 0, err
	}
	if err := checkEnd(in, sum); err != nil {
		return nil, 0, err
	}
	s := m.Snapshot()
	defer s.Release()
	if s.Root() != registry.Hash(rest[16:]) {
		return nil, 0, fmt.Errorf("%w: its members have another root than it says", ErrDamaged)
	}
	return m, covered, nil
}

// membersPerRead bounds the memory for reading: the count in a damaged file may be anything.
const membersPerRead = 4096

func (m *Map) readMembers(r io.Reader, count, covered uint64) error {
	var last registry.Key
	buffer := make([]byte, membersPerRead*memberSize)
	for n := uint64(0); n < count; {
		part := buffer[:memberSize*min(count-n, membersPerRead)]
		if _, err := io.ReadFull(r, part); err != nil {
			return readError(err)
		}
		for ; len(part) > 0; part = part[memberSize:] {
			k, i, v := registry.Key(part[:32]), binary.BigEndian.Uint64(part[32:]), registry.Value(part[40:memberSize])
			if n > 0 && bytes.Compare(last[:], k[:]) >= 0 || i >= covered {
				return fmt.Errorf("%w: member %d is out of place", ErrDamaged, n)
			}
			m.Insert(k, i, v)
			last = k
			n++
		}
	}
	return nil
}

// checkEnd reads the checksum and compares it with sum, and expects nothing after it.
func checkEnd(r io.Reader, sum hash.Hash) error {
	var want [sha256.Size + 1]byte
	n, err := io.ReadFull(r, want[:])
	switch {
	case err == nil:
		return fmt.Errorf("%w: bytes are left over", ErrDamaged)
	case n == sha256.Size && errors.Is(err, io.ErrUnexpectedEOF):
	default:
		return readError(err)
	}
	if !bytes.Equal(want[:sha256.Size], sum.Sum(nil)) {
		return fmt.Errorf("%w: its checksum is wrong", ErrDamaged)
	}
	return nil
}

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut", ErrDamaged)
	}
	return fmt.Errorf("reading the map: %w", err)
}

// Save writes the snapshot to the file at path, by way of path with ".new" added. A crash at any moment leaves the old file or the new
// one, whole. Two must not save to one path at the same time.
func (s *Snapshot) Save(path string, covered uint64) error {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("saving the map: %w", err)
	}
	err = s.Write(f, covered)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("saving the map: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename in the folder lasting.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("saving the map: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("saving the map: %w", err)
	}
	return nil
}

// Load reads the file at path. Where there is none the error is [fs.ErrNotExist], where it cannot be used [ErrDamaged].
func Load(path string) (m *Map, covered uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("loading the map: %w", err)
	}
	defer f.Close()
	return Read(f)
}
