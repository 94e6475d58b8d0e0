package evidence_test

import (
	"bytes"
	"testing"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
)

// FuzzRead reads files: what is read is written again to the octet, and nothing but the file itself passes.
func FuzzRead(f *testing.F) {
	w, p := small(f)
	made := makeFile(f, w, p)
	data := evidencetest.Marshal(w, made)
	w.Seal(made)
	sealed := evidencetest.Marshal(w, made)
	made.RulesetHash[0] ^= 1
	trust := w.Trust()
	f.Add(data)
	f.Add(sealed)
	f.Add(evidencetest.Marshal(w, made))
	f.Add(data[:len(data)/2])
	f.Add([]byte(`{"format":"akashi-evidence/1","from":"","to":"","ruleset_hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","presentation":{"engagement":""},"checkpoint":"","head":{"entry":""},"trust_lists":[],"ladder":[],"assessment":{},"seal":"a.b.c"}`))
	f.Add(bytes.Replace(data, []byte(`"ladder":[`), []byte(`"ladder":[],"slots":[`), 1))
	f.Fuzz(func(t *testing.T, spoilt []byte) {
		file, err := evidence.Read(spoilt)
		if err != nil {
			return
		}
		again, err := file.Marshal()
		if err != nil || !bytes.Equal(again, spoilt) {
			t.Fatalf("read and written again, the file has other octets: %v", err)
		}
		if r := evidence.Verify(file, trust, evidence.Options{}); r.Result == compliance.Pass && !bytes.Equal(spoilt, data) && !bytes.Equal(spoilt, sealed) {
			t.Fatalf("a file that nobody made: %v", r.Result)
		}
	})
}

// FuzzParsePresentation reads presentation files: what is read has an engagement.
func FuzzParsePresentation(f *testing.F) {
	f.Add([]byte(`{"engagement":"a~b","attestations":["c~d"],"statements":["e~"]}`))
	f.Add([]byte(`{"engagement":"a~b","engagement":"c"}`))
	f.Add([]byte(`{"engagement":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := evidence.ParsePresentation(data); err == nil && p.Engagement == "" {
			t.Fatal("a presentation without an engagement")
		}
	})
}
