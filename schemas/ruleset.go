package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"sync"
)

// RulesetHash names the data by which duties are judged: the register of obligations and the calendar, in the octets of their files. With D
// for "akashi/ruleset/v1" and the files of obligations/ and calendar/ in the order of their paths it is
//
//	SHA-256(D || for each file: uint64(len(path)) || path || uint64(len(content)) || content)
//
// with lengths as big-endian octets. Whoever judges by other data gets another hash.
func RulesetHash() [sha256.Size]byte { return rulesetHash() }

var rulesetHash = sync.OnceValue(func() (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write([]byte("akashi/ruleset/v1"))
	write := func(octets []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(octets))))
		h.Write(octets)
	}
	for _, dir := range []string{"calendar", "obligations"} {
		err := fs.WalkDir(files, dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := files.ReadFile(path)
			write([]byte(path))
			write(content)
			return err
		})
		if err != nil {
			panic(err) // the files are part of the program
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
})
