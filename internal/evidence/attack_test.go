package evidence_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/evidence/evidencetest"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// The attacks of somebody who has accepted keys, or a true file to edit. Each test says who attacks and what comes of it.

// january is after the grace of both months of the contract.
var january = evidencetest.At(2026, 1, 20, 9)

// judged closes an epoch at a time, makes a file and returns it with its assessment.
func judged(t *testing.T, w *evidencetest.World, at time.Time, credentials, statements []string) (*evidence.File, *compliance.Assessment) {
	t.Helper()
	w.Now = at
	w.CloseEpoch()
	f, r, err := evidence.Make(context.Background(), w.Presentation(opened, credentials, statements), w, w.Trust(), evidence.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Result != compliance.Pass {
		t.Fatalf("the file that was just made: got %v, want pass: %+v", r.Result, r.Checks)
	}
	return f, r.Assessment
}

// dutyOf returns the finding of a duty, nil where the assessment has none.
func dutyOf(a *compliance.Assessment, obligation, period string) *compliance.DutyFinding {
	for i := range a.Findings {
		if f := &a.Findings[i]; f.Obligation == obligation && f.Period == period {
			return f
		}
	}
	return nil
}

func findingOf(a *compliance.Assessment, obligation string, period attestation.Period) string {
	if f := dutyOf(a, obligation, string(period)); f != nil {
		return f.Finding.String()
	}
	return "none"
}

func wantFinding(t *testing.T, a *compliance.Assessment, obligation string, period attestation.Period, want string) {
	t.Helper()
	if got := findingOf(a, obligation, period); got != want {
		t.Errorf("%s %s: got %s, want %s", obligation, period, got, want)
	}
}

// restate writes into an edited file the assessment that now follows from it, as a forger would, and verifies it.
func restate(t *testing.T, w *evidencetest.World, f *evidence.File) *evidence.Result {
	t.Helper()
	r := evidence.Verify(f, w.Trust(), evidence.Options{})
	if r.Assessment == nil {
		return r
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r.Assessment); err != nil {
		t.Fatal(err)
	}
	f.Assessment = bytes.TrimSpace(b.Bytes())
	return evidence.VerifyBytes(evidencetest.Marshal(w, f), w.Trust(), evidence.Options{})
}

// payNovember logs the employer's record of the November wage, paid on its day.
func payNovember(w *evidencetest.World) string {
	pay := w.WagePayment(nov, attestation.NewDate(2025, 11, 25))
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, pay)
	return pay
}

// An employer that has paid nothing logs a later engagement of the contract with terms under which nothing was due.
func TestTermsAreNotChangedAfterwards(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"an earlier end":           {"end": "2025-11-02"},
		"a later pay day":          {"pay_day": 31},
		"pay in the next month":    {"pay_month_offset": 1},
		"another closing day":      {"closing_day": 10},
		"a later start":            {"start": "2025-12-01"},
		"another support":          {"support": map[string]any{"id": "5990000000004", "name": map[string]any{"en": "Other"}}},
		"another holiday rule":     {"holiday_rule": "none"},
		"another class":            {"class": "ii"},
		"another employer of it":   {"employer": map[string]any{"id": "5990000000004", "name": map[string]any{"en": "Other"}}},
		"another way of paying":    {"pay_method": "cash"},
		"partial support":          {"support_mode": "partial"},
		"nothing, but its own iat": {"iat": 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := engaged(t)
			first := w.Engagement
			w.Now = evidencetest.At(2025, 12, 28, 9)
			w.EngageSigned(1, w.Edited(w.Extend(first, attestation.NewDate(2025, 12, 31)), change))
			later := w.Engagement

			w.Engagement = first
			_, a := judged(t, w, january, nil, nil)
			wantFinding(t, a, "W-05", nov, "absent")
			wantFinding(t, a, "W-05", dec, "absent")

			_, _, err := evidence.Make(context.Background(), evidence.Presentation{Engagement: w.Present(later, opened)}, w, w.Trust(), evidence.MakeOptions{})
			switch {
			case change["iat"] != nil && err != nil:
				t.Errorf("the same terms: %v", err)
			case change["iat"] == nil && err == nil:
				t.Error("an engagement with other terms than its contract's was judged")
			}
		})
	}
}

// A bank of the employer's group, which the employer has told the slot's secret, logs the independent bank's receipt of half the wage
// again. The worker's file shows it twice.
func TestReceiptLoggedTwice(t *testing.T) {
	w := engaged(t)
	pay := payNovember(w)
	w.Now = evidencetest.At(2025, 11, 26, 10)
	half := w.WageReceipt(nov, attestation.NewDate(2025, 11, 25), 106000)
	w.Log(w.Bank, attestation.WageBank, nov, 0, half)
	w.Log(w.Bank, attestation.WageBank, nov, 1, half)
	f, a := judged(t, w, january, []string{pay, half}, nil)
	wantFinding(t, a, "W-03", nov, "contradicted")

	f.Presentation.Attestations = append(f.Presentation.Attestations, f.Presentation.Attestations[1])
	for i := range f.Slots {
		f.Slots[i].JWT = "" // sealed anew from the presented credential
	}
	r := restate(t, w, f)
	if r.Result == compliance.Pass {
		wantFinding(t, r.Assessment, "W-03", nov, "contradicted")
	}
}

// edits are what somebody who has a true file can take out of it so that all that is left still verifies.
func edits(f *evidence.File) map[string]func(*evidence.File) {
	out := make(map[string]func(*evidence.File))
	for i := range f.Notes {
		out["without note "+string(rune('0'+i))] = func(f *evidence.File) { f.Notes = slices.Delete(f.Notes, i, i+1) }
		out["with note "+string(rune('0'+i))+" alone"] = func(f *evidence.File) { f.Notes = f.Notes[i : i+1] }
	}
	out["without notes"] = func(f *evidence.File) { f.Notes = nil }
	presented := 0
	for i := range f.Slots {
		r := &f.Slots[i]
		if len(r.Nonce) == 0 && len(r.A) == 0 {
			continue
		}
		n := presented
		if r.JWT == "" && len(r.Nonce) > 0 {
			presented++
		}
		out["with box "+string(rune('A'+i))+" withheld"] = func(f *evidence.File) {
			r := &f.Slots[i]
			if r.JWT == "" && len(r.Nonce) > 0 {
				f.Presentation.Attestations = slices.Delete(f.Presentation.Attestations, n, n+1)
			}
			r.HB, r.Nonce, r.JWT, r.A, r.Submission = nil, nil, "", nil, nil
		}
	}
	return out
}

// Somebody takes octets out of a true file and states what then follows. The file verifies, since a file may say less; but less is
// unknown, and never another finding. (The bank's record left out leaves the employer's own word, marked as such.)
func TestTruncatedFilesSayLess(t *testing.T) {
	paid := attestation.NewDate(2025, 11, 25)
	for name, act := range map[string]func(*evidencetest.World) (credentials []string){
		"paid, and received": func(w *evidencetest.World) []string {
			pay := payNovember(w)
			w.Now = evidencetest.At(2025, 11, 26, 10)
			receipt := w.WageReceipt(nov, paid, 212000)
			w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
			return []string{pay, receipt}
		},
		"logged before it was paid": func(w *evidencetest.World) []string {
			w.Now = evidencetest.At(2025, 11, 3, 9)
			pay := payNovember(w)
			w.Now = evidencetest.At(2025, 11, 26, 9)
			w.Log(w.Employer, attestation.WageEmployer, dec, 0, w.WagePayment(dec, attestation.NewDate(2025, 12, 25)))
			return []string{pay}
		},
		"logged after grace": func(w *evidencetest.World) []string {
			w.Now = evidencetest.At(2025, 12, 12, 9)
			return []string{payNovember(w)}
		},
		"a part, corrected in time": func(w *evidencetest.World) []string {
			pay := payNovember(w)
			w.Now = evidencetest.At(2025, 11, 27, 9)
			w.Log(w.Employer, attestation.WageEmployer, nov, 1, part(w, pay))
			return []string{pay}
		},
		"signed by one who left since": func(w *evidencetest.World) []string {
			w.Bank.Types = append(w.Bank.Types, attestation.TypeSupportSession) // a version in which it is listed until December
			left := w.Entities()
			left[2].From, left[2].Until = attestation.NewDate(2025, 11, 1), attestation.NewDate(2025, 12, 1)
			w.AddTrustList(left...)
			w.Now = evidencetest.At(2025, 11, 26, 10)
			receipt := w.WageReceipt(nov, paid, 212000)
			w.Log(w.Bank, attestation.WageBank, nov, 0, receipt)
			return nil // the record is found in its slot, not presented
		},
		"junk and nothing": func(w *evidencetest.World) []string {
			w.Submit(w.Employer, w.JunkRecord(attestation.WageEmployer, nov, 0))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := engaged(t)
			f, a := judged(t, w, january, act(w), nil)
			for what, edit := range edits(f) {
				g := clone(t, f)
				edit(g)
				r := restate(t, w, g)
				if r.Result == compliance.Fail {
					continue
				}
				for _, was := range a.Findings {
					if is := dutyOf(r.Assessment, was.Obligation, was.Period); is != nil && !saysLess(is, &was) {
						t.Errorf("%s: %s %s: of %s, %d days late, was made %s, %d days late", what, was.Obligation, was.Period, was.Finding, was.DaysLate, is.Finding, is.DaysLate)
					}
				}
			}
		})
	}
}

// saysLess reports whether a finding claims nothing beyond another: it is the same, or none. Without the bank's record the employer's own
// word is left, and is marked as such.
func saysLess(is, was *compliance.DutyFinding) bool {
	switch is.Finding {
	case compliance.Unknown, compliance.Undisclosed:
		return true
	case compliance.Fulfilled:
		return was.Finding == compliance.Fulfilled || is.OwnRecordOnly && len(was.CorroboratedBy) > 0
	}
	return is.Finding == was.Finding && is.DaysLate <= was.DaysLate
}

// part issues a correction of a wage payment, by which only a part was paid.
func part(w *evidencetest.World, of string) string {
	c := w.Common(w.Employer, attestation.TypeWagePayment)
	maps.Copy(c, map[string]any{
		"period": "2025-11", "from": "2025-11-01", "to": "2025-11-30", "kind": "part", "paid_date": "2025-11-25", "method": "transfer",
		"declared_in_full": false, "ledger_row_hash": w.ContractHash.String(), "supersedes": w.IDOf(of), "net": sdjwt.Hidden(100000),
	})
	return w.Issue(w.Employer.Key, c)
}

// The registry's operator loses the employer's correction, by which the wage was short.
func TestCorrectionWithheld(t *testing.T) {
	w := engaged(t)
	pay := payNovember(w)
	w.Log(w.Employer, attestation.WageEmployer, nov, 1, part(w, pay))
	_, a := judged(t, w, january, []string{pay}, nil)
	wantFinding(t, a, "W-05", nov, "short")
	w.Lose(w.KeyOf(attestation.WageEmployer, nov, 1), false)
	_, a = judged(t, w, january, []string{pay}, nil)
	wantFinding(t, a, "W-05", nov, "unknown")
}

// A record signed under a root's certificate that ran out since: at the time of its logging the certificate was valid. Left open by the
// checkpoints in the file, it is unknown, and no junk out of which an absence could be made.
func TestCertificateRunOut(t *testing.T) {
	w := engaged(t)
	pay := paidUnder(t, w, evidencetest.At(2025, 12, 1, 0))
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, pay)
	f, a := judged(t, w, january, nil, nil)
	wantFinding(t, a, "W-05", nov, "fulfilled")
	for what, edit := range edits(f) {
		g := clone(t, f)
		edit(g)
		if r := restate(t, w, g); r.Result != compliance.Fail {
			if is := findingOf(r.Assessment, "W-05", nov); is != "fulfilled" && is != "unknown" {
				t.Errorf("%s: %s was made of fulfilled", what, is)
			}
		}
	}
}

// A record signed under a certificate that had run out before it was logged, as one checkpoint proves: the file keeps that one.
func TestCertificateHadRunOut(t *testing.T) {
	w := engaged(t)
	pay := paidUnder(t, w, w.Now.Add(24*time.Hour))
	w.Now = w.Now.Add(48 * time.Hour)
	w.CloseEpoch()
	w.Now = w.Now.Add(48 * time.Hour)
	w.Log(w.Employer, attestation.WageEmployer, nov, 0, pay)
	f, _ := judged(t, w, january, nil, nil)
	ev, _ := evidence.EvidenceOf(f, w.Trust())
	if got := ladderOf(t, ev, attestation.WageEmployer, nov).Rungs[0]; got.Validity != compliance.Junk || got.Reason != evidence.ReasonNotAccredited {
		t.Errorf("got %v, %s; want junk, %s", got.Validity, got.Reason, evidence.ReasonNotAccredited)
	}
}

// paidUnder signs a payment of November under a certificate that runs out, of a root that it lists for the employer.
func paidUnder(t *testing.T, w *evidencetest.World, until time.Time) string {
	ca, leaf := ecKey(t), evidencetest.Key(t)
	caDER := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: evidencetest.At(2025, 1, 1, 0), NotAfter: evidencetest.At(2035, 1, 1, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &ca.PublicKey, ca)
	root, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	leafDER := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: evidencetest.At(2025, 10, 10, 0), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature}, root, leaf.Public().Crypto(), ca)
	listed := w.Entities()
	listed[0].Roots = []registry.Bytes{caDER}
	w.AddTrustList(listed...)
	claims := w.Common(w.Employer, attestation.TypeWagePayment)
	maps.Copy(claims, map[string]any{
		"period": "2025-11", "from": "2025-11-01", "to": "2025-11-30", "kind": "regular", "paid_date": "2025-11-25", "method": "transfer",
		"declared_in_full": true, "ledger_row_hash": w.ContractHash.String(),
	})
	pay, err := sdjwt.Issue(leaf, keys.Header{"x5c": []string{base64.StdEncoding.EncodeToString(leafDER)}}, claims, sdjwt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return pay
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificate(t *testing.T, template, parent *x509.Certificate, public any, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The registry shows an old head, as if nothing had been logged since.
func TestStaleHead(t *testing.T) {
	w, p := small(t)
	for after, want := range map[time.Duration]compliance.Result{time.Hour: compliance.Pass, 30 * 24 * time.Hour: compliance.CannotTell} {
		now := w.Now.Add(after)
		kb := &sdjwt.ExpectKeyBinding{Audience: evidencetest.Audience, Nonce: evidencetest.Nonce, Now: now, MaxAge: 60 * 24 * time.Hour}
		_, r, err := evidence.Make(context.Background(), p, w, w.Trust(), evidence.MakeOptions{KeyBinding: kb})
		if err != nil {
			t.Fatal(err)
		}
		if r.Result != want {
			t.Errorf("a head %v old: got %v, want %v", after, r.Result, want)
		}
	}
}

// An old trust list is replayed: the file lacks the version that says that a key was stolen.
func TestOldTrustListReplayed(t *testing.T) {
	w := engaged(t)
	marked := w.Entities()
	marked[0].Compromised = []trustlist.Compromise{{Kid: w.Employer.Key.Public().Thumbprint(), Since: w.Now}}
	w.AddTrustList(marked...)
	w.Now = evidencetest.At(2025, 12, 1, 9)
	thief := payNovember(w)
	f, a := judged(t, w, january, nil, nil)
	wantFinding(t, a, "W-05", nov, "unknown") // neither paid, nor proven that it was not
	f.TrustLists = f.TrustLists[:1]
	if r := restate(t, w, f); r.Result != compliance.Fail || lastCheck(r).Code != evidence.CodeListSequence {
		t.Errorf("got %v by %s, want fail by %s", r.Result, lastCheck(r).Code, evidence.CodeListSequence)
	}
	_ = thief
}

// Whoever sends a file decides what it costs to refuse it.
func TestHostileFilesAreCheap(t *testing.T) {
	w, _ := small(t)
	for name, unit := range map[string][3]string{
		"empty records":  {`{"format":"akashi-evidence/1","slots":[{}`, `,{}`, `]}`},
		"empty notes":    {`{"format":"akashi-evidence/1","notes":[""`, `,""`, `]}`},
		"empty arrays":   {`{"format":"akashi-evidence/1","assessment":[[]`, `,[]`, `]}`},
		"deep arrays":    {`{"format":"akashi-evidence/1","assessment":`, `[`, `]}`},
		"deep objects":   {`{"format":"akashi-evidence/1","assessment":`, `{"a":`, `]}`},
		"one long":       {`{"format":"akashi-evidence/1","checkpoint":"`, `\u0000`, `"}`},
		"many disclosed": {`{"format":"akashi-evidence/1","presentation":{"engagement":"`, `~`, `"}}`},
	} {
		data := []byte(unit[0] + strings.Repeat(unit[1], (16<<20)/len(unit[1])) + unit[2])
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := evidence.VerifyBytes(data, w.Trust(), evidence.Options{})
		runtime.ReadMemStats(&after)
		if r.Result != compliance.Fail {
			t.Errorf("%s: got %v, want fail", name, r.Result)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
			t.Errorf("%s: %d MiB for a file of 16", name, used>>20)
		}
	}
}

// A registry's answers are not believed, neither in what they say nor in what they leave out.
func TestHostileRegistry(t *testing.T) {
	w, p := small(t)
	for name, spoil := range map[string]func(*registry.LookupResponse){
		"leaves a key out":   func(l *registry.LookupResponse) { l.Results = l.Results[1:] },
		"answers nothing":    func(l *registry.LookupResponse) { *l = registry.LookupResponse{} },
		"denies what it has": func(l *registry.LookupResponse) { each(l, func(r *registry.LookupResult) { r.Member = nil }) },
		"hides boxes":        func(l *registry.LookupResponse) { each(l, func(r *registry.LookupResult) { r.Member.A = nil }) },
		"cuts boxes": func(l *registry.LookupResponse) {
			each(l, func(r *registry.LookupResult) { r.Member.A = r.Member.A[:1] })
		},
		"miscounts submissions": func(l *registry.LookupResponse) {
			each(l, func(r *registry.LookupResult) { r.Member.Count = 1<<63 - 1 })
		},
		"negative position": func(l *registry.LookupResponse) {
			each(l, func(r *registry.LookupResult) { r.Member.Position = -1 << 62 })
		},
		"no inclusion":           func(l *registry.LookupResponse) { each(l, func(r *registry.LookupResult) { r.Member.Inclusion = nil }) },
		"no proofs":              func(l *registry.LookupResponse) { each(l, func(r *registry.LookupResult) { r.Proof = nil }) },
		"no bounding checkpoint": func(l *registry.LookupResponse) { each(l, func(r *registry.LookupResult) { r.Member.FirstAfter = "" }) },
		"no checkpoint at all":   func(l *registry.LookupResponse) { l.Head.Checkpoint = "" },
		"no place of the head":   func(l *registry.LookupResponse) { l.Head.Inclusion = nil },
		"another box and its value": func(l *registry.LookupResponse) {
			each(l, func(r *registry.LookupResult) {
				r.Member.A = append(slices.Clone(r.Member.A[:len(r.Member.A)-1]), r.Member.A[len(r.Member.A)-1]^1)
				r.Member.Value = registry.ValueOfHashes(registry.HashOf(r.Member.A), r.Member.HB)
			})
		},
		"another hash of a box and its value": func(l *registry.LookupResponse) {
			each(l, func(r *registry.LookupResult) {
				r.Member.HB = registry.HashOf([]byte("another"))
				r.Member.Value = registry.ValueOfHashes(registry.HashOf(r.Member.A), r.Member.HB)
			})
		},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			src := &spoiling{w, spoil}
			f, r, err := evidence.Make(context.Background(), p, src, w.Trust(), evidence.MakeOptions{})
			if err != nil {
				return
			}
			if again := evidence.Verify(f, w.Trust(), evidence.Options{}); again.Result == compliance.Fail {
				t.Errorf("%s: a file was made that does not verify: %+v", name, again.Checks)
			}
			for _, d := range r.Assessment.Findings {
				if d.Finding == compliance.Absent && d.Period == string(nov) {
					t.Errorf("%s: an absence was made of nothing", name)
				}
			}
		}()
		select {
		case <-done:
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: no end", name)
		}
	}
	_, _, err := evidence.Make(context.Background(), p, &unplaced{w}, w.Trust(), evidence.MakeOptions{})
	wantCheck(t, "a trust list without its place", err, evidence.CodeListInclusion)
}

// unplaced is a source that does not show that the log has the trust lists.
type unplaced struct{ *evidencetest.World }

func (s *unplaced) TrustLists(ctx context.Context) (*registry.TrustListsResponse, error) {
	lists, err := s.World.TrustLists(ctx)
	if err == nil {
		for i := range lists.Lists {
			lists.Lists[i].Inclusion = nil
		}
	}
	return lists, err
}

func each(l *registry.LookupResponse, spoil func(*registry.LookupResult)) {
	for i := range l.Results {
		if l.Results[i].Member != nil {
			spoil(&l.Results[i])
		}
	}
}

// spoiling is a source whose answers are spoilt.
type spoiling struct {
	*evidencetest.World
	spoil func(*registry.LookupResponse)
}

func (s *spoiling) Lookup(ctx context.Context, k []registry.Key) (*registry.LookupResponse, error) {
	l, err := s.World.Lookup(ctx, k)
	if err == nil {
		s.spoil(l)
	}
	return l, err
}
