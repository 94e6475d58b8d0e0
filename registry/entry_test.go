package registry

import (
	"bytes"
	"testing"
)

func FuzzParseEntry(f *testing.F) {
	var v entryVectors
	readVectors(f, "entries.json", &v)
	f.Add([]byte(v.Slots[0].Bytes))
	f.Add([]byte(v.Heads[1].Bytes))
	f.Add([]byte(v.Lists[0].Bytes))
	for _, b := range v.Unknown {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		if again := e.(interface{ Marshal() []byte }).Marshal(); !bytes.Equal(again, b) {
			t.Errorf("%x is written again as %x", b, again)
		}
	})
}
