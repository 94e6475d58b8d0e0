package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
)

// clone returns a copy of a file that shares nothing with it.
func clone(t *testing.T, f *evidence.File) *evidence.File {
	t.Helper()
	data, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	g, err := evidence.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// lastCheck returns the check that decided.
func lastCheck(r *evidence.Result) compliance.Check { return r.Checks[len(r.Checks)-1] }

// flip changes one bit in the middle of base64 text, between its own characters.
func flip(s string) string {
	b := []byte(s)
	i := len(b) / 2
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

// cutLines removes the signature lines that hold a word.
func cutLines(note, word string) string {
	text, lines, _ := strings.Cut(note, "\n\n")
	var kept []string
	for line := range strings.Lines(lines) {
		if !strings.Contains(line, word) {
			kept = append(kept, line)
		}
	}
	return text + "\n\n" + strings.Join(kept, "")
}

// rebind replaces a presentation's key binding by one that key signs.
func rebind(t *testing.T, compact string, key *keys.Private, nonce string) string {
	t.Helper()
	presented := compact[:strings.LastIndexByte(compact, '~')+1]
	sum := sha256.Sum256([]byte(presented))
	payload, _ := json.Marshal(map[string]any{
		"aud": evidencetest.Audience, "nonce": nonce, "iat": time.Now().Unix(), "sd_hash": base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	jwt, err := key.Sign(keys.Header{"typ": sdjwt.TypKeyBinding}, payload)
	if err != nil {
		t.Fatal(err)
	}
	return presented + jwt
}

func TestSpoiltFiles(t *testing.T) {
	w, p := small(t)
	good := makeFile(t, w, p)
	stranger := evidencetest.Key(t)
	_, strangersWitness, _ := ed25519.GenerateKey(nil)
	other, otherPresentation := small(t) // another registry, other keys
	otherFile := makeFile(t, other, otherPresentation)

	for _, c := range []struct {
		name  string
		spoil func(*evidence.File)
		code  string
	}{
		{"checkpoint: its size", func(f *evidence.File) { f.Checkpoint = strings.Replace(f.Checkpoint, "\n1", "\n2", 1) }, evidence.CodeCheckpointSignature},
		{"checkpoint: a cosignature", func(f *evidence.File) {
			i := strings.Index(f.Checkpoint, "witness1.test ")
			f.Checkpoint = f.Checkpoint[:i+40] + flip(f.Checkpoint[i+40:i+50]) + f.Checkpoint[i+50:]
		}, evidence.CodeCheckpointSignature},
		{"checkpoint: a line of a stranger", func(f *evidence.File) {
			s, _ := registry.NewCosigner("stranger.test", strangersWitness, time.Now)
			sig, _ := s.Sign([]byte(f.Checkpoint[:strings.Index(f.Checkpoint, "\n\n")+1]))
			f.Checkpoint += "— stranger.test " + base64.StdEncoding.EncodeToString(append([]byte{1, 2, 3, 4}, sig...)) + "\n"
		}, evidence.CodeCheckpointSignature},
		{"checkpoint: of another log", func(f *evidence.File) { f.Checkpoint = otherFile.Checkpoint }, evidence.CodeCheckpointSignature},
		{"checkpoint: two witnesses short", func(f *evidence.File) {
			f.Checkpoint = cutLines(cutLines(f.Checkpoint, "witness0"), "witness1")
		}, evidence.CodeCheckpointWitnesses},
		{"checkpoint: a witness less, so another as_of", func(f *evidence.File) { f.Checkpoint = cutLines(f.Checkpoint, "witness3") }, evidence.CodeReproduced},
		{"checkpoint: auditors cut off, absences kept", func(f *evidence.File) { f.Checkpoint = cutLines(f.Checkpoint, "auditor") }, evidence.CodeReproduced},
		{"note: below the witnesses' quorum", func(f *evidence.File) { f.Notes[0] = cutLines(cutLines(f.Notes[0], "witness0"), "witness1") }, evidence.CodeNotes},
		{"note: stands twice", func(f *evidence.File) { f.Notes = slices.Insert(f.Notes, 0, f.Notes[0]) }, evidence.CodeNotes},
		{"note: out of order", func(f *evidence.File) { f.Notes[0], f.Notes[1] = f.Notes[1], f.Notes[0] }, evidence.CodeNotes},
		{"note: the checkpoint again", func(f *evidence.File) { f.Notes = append(f.Notes, cutLines(f.Checkpoint, "auditor")) }, evidence.CodeNotes},
		{"note: left out", func(f *evidence.File) { f.Notes = f.Notes[1:] }, evidence.CodeReproduced},
		{"head: another entry", func(f *evidence.File) { f.Head.Entry[9] ^= 1 }, evidence.CodeHeadInclusion},
		{"head: a slot entry", func(f *evidence.File) { f.Head.Entry = registry.SlotEntry{}.Marshal() }, evidence.CodeHeadInclusion},
		{"trust list: none", func(f *evidence.File) { f.TrustLists = []evidence.TrustList{} }, evidence.CodeListSequence},
		{"trust list: of another anchor", func(f *evidence.File) { f.TrustLists = otherFile.TrustLists }, evidence.CodeListAnchor},
		{"trust list: twice", func(f *evidence.File) { f.TrustLists = append(f.TrustLists, f.TrustLists[0]) }, evidence.CodeListSequence},
		{"trust list: at another index", func(f *evidence.File) { f.TrustLists[0].Index = 1 }, evidence.CodeListInclusion},
		{"engagement: of another world", func(f *evidence.File) { f.Presentation.Engagement = otherFile.Presentation.Engagement }, evidence.CodeEngagementSignature},
		{"engagement: a disclosure cut out", func(f *evidence.File) {
			parts := strings.Split(f.Presentation.Engagement, "~")
			f.Presentation.Engagement = strings.Join(slices.Delete(parts, 1, 2), "~")
		}, evidence.CodeKBEngagement},
		{"engagement: a period secret of another world", func(f *evidence.File) {
			parts := strings.Split(f.Presentation.Engagement, "~")
			parts[1] = strings.Split(otherFile.Presentation.Engagement, "~")[1]
			f.Presentation.Engagement = strings.Join(parts, "~")
		}, evidence.CodeEngagementSignature},
		{"engagement: bound by another key", func(f *evidence.File) {
			f.Presentation.Engagement = rebind(t, f.Presentation.Engagement, stranger, evidencetest.Nonce)
		}, evidence.CodeKBEngagement},
		{"engagement: not bound", func(f *evidence.File) {
			f.Presentation.Engagement = f.Presentation.Engagement[:strings.LastIndexByte(f.Presentation.Engagement, '~')+1]
		}, evidence.CodeKBEngagement},
		{"engagement: bound again for another request", func(f *evidence.File) {
			f.Presentation.Engagement = rebind(t, f.Presentation.Engagement, w.Holder, "another")
		}, evidence.CodeKBAttestation},
		{"engagement: fewer periods opened", func(f *evidence.File) {
			f.Presentation.Engagement = w.Present(w.Engagement, func([]any) bool { return false })
		}, evidence.CodeRecordOrder},
		{"attestation: bound by another key", func(f *evidence.File) {
			f.Presentation.Attestations[0] = rebind(t, f.Presentation.Attestations[0], stranger, evidencetest.Nonce)
		}, evidence.CodeKBAttestation},
		{"attestation: bound for another request", func(f *evidence.File) {
			f.Presentation.Attestations[0] = rebind(t, f.Presentation.Attestations[0], w.Holder, "another")
		}, evidence.CodeKBAttestation},
		{"attestation: not bound", func(f *evidence.File) {
			a := f.Presentation.Attestations
			a[0] = a[0][:strings.LastIndexByte(a[0], '~')+1]
		}, evidence.CodeKBAttestation},
		{"attestation: a disclosure cut out", func(f *evidence.File) {
			parts := strings.Split(f.Presentation.Attestations[0], "~")
			f.Presentation.Attestations[0] = strings.Join(slices.Delete(parts, 1, 2), "~")
		}, evidence.CodeKBAttestation},
		{"attestation: a disclosure changed", func(f *evidence.File) {
			parts := strings.Split(f.Presentation.Attestations[0], "~")
			parts[1] = strings.Split(f.Presentation.Attestations[1], "~")[1]
			f.Presentation.Attestations[0] = strings.Join(parts, "~")
		}, evidence.CodeAttestation},
		{"attestation: left out", func(f *evidence.File) { f.Presentation.Attestations = f.Presentation.Attestations[:1] }, evidence.CodeAttestation},
		{"attestations in another order", func(f *evidence.File) { slices.Reverse(f.Presentation.Attestations) }, evidence.CodeRecordValue},
		{"attestation: one more", func(f *evidence.File) {
			f.Presentation.Attestations = append(f.Presentation.Attestations, f.Presentation.Attestations[0])
		}, evidence.CodeNotLogged},
		{"statement: of another worker", func(f *evidence.File) { f.Presentation.Statements = otherFile.Presentation.Statements }, evidence.CodeStatementSignature},
		{"statement: twice", func(f *evidence.File) {
			f.Presentation.Statements = append(f.Presentation.Statements, f.Presentation.Statements[0])
		}, evidence.CodeStatementSignature},
		{"statement: not logged", func(f *evidence.File) {
			f.Presentation.Statements = []string{w.Statement(false, map[string]any{"date": "2026-01-06", "kind": "unpaid"})}
		}, evidence.CodeRecordOrder},
		{"statement: its record left out", func(f *evidence.File) { f.Statements = nil }, evidence.CodeRecordOrder},
		{"range: before the contract", func(f *evidence.File) { f.From = "2025-10" }, evidence.CodeRange},
		{"range: after the contract", func(f *evidence.File) { f.To = "2026-01" }, evidence.CodeRange},
		{"range: turned around", func(f *evidence.File) { f.From, f.To = dec, nov }, evidence.CodeRange},
		{"range: a quarter", func(f *evidence.File) { f.To = "2025-Q4" }, evidence.CodeRange},
		{"range: shorter", func(f *evidence.File) { f.To = nov }, evidence.CodeRecordOrder},
		{"ladder: its end left out", func(f *evidence.File) { f.Ladder = f.Ladder[:1] }, evidence.CodeRecordOrder},
		{"ladder: goes on", func(f *evidence.File) { f.Ladder = append(f.Ladder, f.Ladder[1]) }, evidence.CodeRecordOrder},
		{"ladder: the engagement shown is none of its rungs", func(f *evidence.File) {
			f.Ladder[0].JWT = evidencetest.JWT(f.Presentation.Engagement)
		}, evidence.CodeEngagementLadder},
		{"records in another order", func(f *evidence.File) { f.Slots[0], f.Slots[2] = f.Slots[2], f.Slots[0] }, evidence.CodeRecordOrder},
		{"record: left out", func(f *evidence.File) { f.Slots = f.Slots[:len(f.Slots)-1] }, evidence.CodeRecordOrder},
		{"record: one more", func(f *evidence.File) { f.Slots = append(f.Slots, f.Slots[0]) }, evidence.CodeRecordOrder},
		{"record: of another registry", func(f *evidence.File) { f.Slots[0] = otherFile.Slots[0] }, evidence.CodeRecordOrder},
		{"record: another map proof", func(f *evidence.File) { f.Slots[0].Proof[len(f.Slots[0].Proof)-1] ^= 1 }, evidence.CodeRecordProof},
		{"record: cut map proof", func(f *evidence.File) { f.Slots[0].Proof = f.Slots[0].Proof[:9] }, evidence.CodeRecordProof},
		{"record: another inclusion proof", func(f *evidence.File) { f.Slots[0].Inclusion[0][0] ^= 1 }, evidence.CodeRecordInclusion},
		{"record: longer inclusion proof", func(f *evidence.File) { f.Slots[0].Inclusion = append(f.Slots[0].Inclusion, registry.Hash{}) }, evidence.CodeRecordInclusion},
		{"record: another nonce", func(f *evidence.File) { f.Slots[0].Nonce[0] ^= 1 }, evidence.CodeRecordValue},
		{"record: longer nonce", func(f *evidence.File) { f.Slots[0].Nonce = append(f.Slots[0].Nonce, 0) }, evidence.CodeRecordValue},
		{"record: another B", func(f *evidence.File) { f.Slots[0].HB[0] ^= 1 }, evidence.CodeRecordValue},
		{"record: no B", func(f *evidence.File) { f.Slots[0].HB = nil }, evidence.CodeRecordValue},
		{"record: empty B spelt out", func(f *evidence.File) { h := registry.HashOf(nil); f.Ladder[0].HB = &h }, evidence.CodeRecordValue},
		{"junk: another box", func(f *evidence.File) { junkOf(f).A[100] ^= 1 }, evidence.CodeRecordValue},
		{"junk: its box withheld", func(f *evidence.File) { j := junkOf(f); j.A, j.HB, j.Submission = nil, nil, nil }, evidence.CodeReproduced},
		{"junk: its box withheld, its submission not", func(f *evidence.File) { j := junkOf(f); j.A, j.HB = nil, nil }, evidence.CodeRecordSubmission},
		{"junk: said to be erased", func(f *evidence.File) { junkOf(f).Erased = true }, evidence.CodeRecordValue},
		{"junk: its submission left out", func(f *evidence.File) { junkOf(f).Submission = nil }, evidence.CodeReproduced},
		{"junk: at another position", func(f *evidence.File) { junkOf(f).Submission.Position = 1 }, evidence.CodeRecordSubmission},
		{"junk: with a longer path", func(f *evidence.File) { s := junkOf(f).Submission; s.Path = append(s.Path, registry.Hash{}) }, evidence.CodeRecordSubmission},
		{"junk: with another's submission", func(f *evidence.File) { junkOf(f).Submission.JWT = junkOf(otherFile).Submission.JWT }, evidence.CodeRecordSubmission},
		{"submission of a record that is no junk", func(f *evidence.File) { f.Slots[0].Submission = junkOf(f).Submission }, evidence.CodeRecordSubmission},
		{"absent record with a box", func(f *evidence.File) { f.Slots[1].Nonce = make([]byte, 12) }, evidence.CodeRecordOrder},
		{"a finding edited", func(f *evidence.File) {
			f.Assessment = bytes.Replace(f.Assessment, []byte(`"finding":"fulfilled"`), []byte(`"finding":"absent"`), 1)
		}, evidence.CodeReproduced},
		{"counts edited", func(f *evidence.File) {
			f.Assessment = bytes.Replace(f.Assessment, []byte(`"fulfilled":`), []byte(`"fulfilled":1`), 1)
		}, evidence.CodeReproduced},
		{"no assessment", func(f *evidence.File) { f.Assessment = json.RawMessage(`{}`) }, evidence.CodeReproduced},
		{"a second period secret", func(f *evidence.File) {
			// A digest more in a slot needs the issuer's signature: see TestSlotsOfOtherShape.
			f.Presentation.Engagement = strings.Replace(f.Presentation.Engagement, "~", "~"+disclosure("s", strings.Repeat("A", 43))+"~", 1)
		}, evidence.CodeEngagementSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := clone(t, good)
			c.spoil(f)
			r := evidence.Verify(f, w.Trust(), evidence.Options{})
			if got := lastCheck(r); r.Result != compliance.Fail || got.Code != c.code {
				t.Errorf("got %v by %s (%s), want fail by %s", r.Result, got.Code, got.Detail, c.code)
			}
			if data, err := f.Marshal(); err == nil {
				if r := evidence.VerifyBytes(data, w.Trust(), evidence.Options{}); r.Result != compliance.Fail {
					t.Errorf("as octets: got %v, want fail", r.Result)
				}
			}
		})
	}
}

func disclosure(name, value string) string {
	text, _ := json.Marshal([]string{"c2FsdHNhbHRzYWx0c2FsdA", name, value})
	return base64.RawURLEncoding.EncodeToString(text)
}

// junkOf returns the junk record of the small world's file.
func junkOf(f *evidence.File) *evidence.Record {
	for i := range f.Slots {
		if len(f.Slots[i].A) > 0 {
			return &f.Slots[i]
		}
	}
	panic("the file has no junk")
}

func TestOtherTrust(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	other := evidencetest.New(t, w.Now)
	for _, c := range []struct {
		name   string
		trust  evidence.Trust
		result compliance.Result
		code   string // of the check with that result
	}{
		{"the right one", w.Trust(), compliance.Pass, evidence.CodeReproduced},
		{"no auditors", evidence.Trust{Policy: w.Policy, Anchor: w.Anchor.Public()}, compliance.CannotTell, evidence.CodeAuditorsQuorum},
		{"another registry's policies", evidence.Trust{Policy: other.Policy, Auditors: other.Auditors, Anchor: w.Anchor.Public()}, compliance.Fail, evidence.CodeCheckpointSignature},
		{"policies that do not belong together", evidence.Trust{Policy: w.Policy, Auditors: other.Auditors, Anchor: w.Anchor.Public()}, compliance.Fail, evidence.CodePolicyPair},
		{"auditors as witnesses", evidence.Trust{Policy: w.Auditors, Auditors: w.Policy, Anchor: w.Anchor.Public()}, compliance.Fail, evidence.CodePolicyPair},
		{"no policy", evidence.Trust{Anchor: w.Anchor.Public()}, compliance.Fail, evidence.CodePolicyPair},
		{"another anchor", evidence.Trust{Policy: w.Policy, Auditors: w.Auditors, Anchor: other.Anchor.Public()}, compliance.Fail, evidence.CodeListAnchor},
		{"no anchor", evidence.Trust{Policy: w.Policy, Auditors: w.Auditors}, compliance.Fail, evidence.CodeListAnchor},
	} {
		r := evidence.Verify(clone(t, f), c.trust, evidence.Options{})
		if r.Result != c.result {
			t.Errorf("%s: got %v, want %v", c.name, r.Result, c.result)
		}
		if !slices.ContainsFunc(r.Checks, func(k compliance.Check) bool { return k.Code == c.code && k.Result == c.result }) {
			t.Errorf("%s: no check %s with %v in %+v", c.name, c.code, c.result, r.Checks)
		}
	}
}

// TestCanonicalForm spells one file in other ways.
func TestCanonicalForm(t *testing.T) {
	w, p := small(t)
	data := string(evidencetest.Marshal(w, makeFile(t, w, p)))
	replace := func(old, new string) string {
		if !strings.Contains(data, old) {
			t.Fatalf("the file has no %q", old)
		}
		return strings.Replace(data, old, new, 1)
	}
	for name, spoilt := range map[string]string{
		"empty":               "",
		"cut":                 data[:len(data)-1],
		"cut in the middle":   data[:len(data)/2],
		"something after it":  data + " ",
		"a second one":        data + data,
		"white space":         replace(`,"to"`, `, "to"`),
		"unknown member":      replace(`,"to"`, `,"x":1,"to"`),
		"other letter case":   replace(`"to"`, `"To"`),
		"a member twice":      replace(`"from":"2025-11"`, `"from":"2025-11","from":"2025-11"`),
		"another order":       replace(`"from":"2025-11","to":"2025-12"`, `"to":"2025-12","from":"2025-11"`),
		"null":                replace(`"from":"2025-11"`, `"from":null`),
		"null for an array":   replace(`"notes":[`, `"notes":null,"notes":[`),
		"empty array":         replace(`"attestations":[`, `"statements":[],"attestations":[`),
		"escaped":             replace(`"2025-11"`, `"\u0032025-11"`),
		"another format":      replace(`akashi-evidence/1`, `akashi-evidence/2`),
		"an exponent":         replace(`"index":0`, `"index":0e0`),
		"padding":             replace(`"nonce":"`, `"nonce":"=`),
		"no trust lists":      replace(`"trust_lists"`, `"trust_list"`),
		"no JSON":             "akashi",
		"an array":            "[" + data + "]",
		"not UTF-8":           replace(`"2025-11"`, "\"2025-11\xff\""),
		"assessment null":     data[:strings.Index(data, `"assessment":`)] + `"assessment":null}`,
		"assessment indented": data[:strings.Index(data, `"assessment":`)] + `"assessment":{ }}`,
	} {
		r := evidence.VerifyBytes([]byte(spoilt), w.Trust(), evidence.Options{})
		if got := lastCheck(r); r.Result != compliance.Fail || got.Code != evidence.CodeCanonical && !strings.HasPrefix(name, "assessment null") {
			t.Errorf("%s: got %v by %s, want fail by %s", name, r.Result, got.Code, evidence.CodeCanonical)
		}
	}
}

func TestAtIsOnlyReported(t *testing.T) {
	w, p := small(t)
	f := makeFile(t, w, p)
	at := time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	r := evidence.Verify(f, w.Trust(), evidence.Options{At: at})
	if got := lastCheck(r); r.Result != compliance.Pass || got.Code != evidence.CodeReverified || got.Detail != "2036-01-01T00:00:00Z" {
		t.Errorf("got %v with %+v", r.Result, got)
	}
	if r.Assessment.AsOf.After(at.AddDate(-9, 0, 0)) {
		t.Errorf("judged as of %v: the time of the second verification must not enter", r.Assessment.AsOf)
	}
}
