package logserver

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// threats says which tests play which attack on the registry, or on what is concluded from it. Tests are named by folder and function.
var threats = []struct {
	attack string
	tests  string
}{
	{"two secrets for one slot", "internal/evidence.TestSlotsOfOtherShape internal/evidence.TestLaterEngagementMustRepeatSlots wallet.TestReceiveRefuses cmd/akashi.TestAttacksOnEngagements"},
	{"a rung ahead of a gap", "internal/evidence.TestRungAheadOfAGap cmd/akashi.TestAttacksOnWages"},
	{"attestations logged in advance", "compliance.TestRules cmd/akashi.TestAttacksOnWages"},
	{"a placeholder corrected a year later", "compliance.TestRules compliance.TestLateOwnRecordClosesNothing internal/evidence.TestCorrectionWithheld cmd/akashi.TestAttacksOnWages"},
	{"off-log attestation", "internal/evidence.TestWhatIsLeftOut internal/evidence.TestRefusedPresentations wallet.TestReceiveRefuses cmd/akashi.TestAttacksOnWages"},
	{"wrong slot", "internal/evidence.TestWhatAnEntryIsWorth internal/logserver.TestAdmission registry.TestSubmissionRefused cmd/akashi.TestAttacksOnWages"},
	{"junk in the right slot and in an events ladder", "internal/evidence.TestWhatAnEntryIsWorth compliance.TestJunkChangesNothing wallet.TestWhatIsNoAttestation issuer.TestJunkInTheSlotMovesTheRecordUp cmd/akashi.TestAttacksOnWages cmd/akashi.TestAttacksOnNotices"},
	{"A withheld by the registry", "internal/logserver.TestRecordWithheld internal/logserver.TestRecordSuppliedAgain internal/auditor.TestUnavailable internal/evidence.TestCorrectionWithheld wallet.TestWithheld"},
	{"an absence hidden behind junk that is erased", "internal/logserver.TestEraseRefused internal/logserver.TestErasedAttestation"},
	{"somebody else has a worker's statement erased", "internal/logserver.TestEraseRefused"},
	{"issuer logs but does not deliver", "wallet.TestSync wallet.TestIncomplete"},
	{"worker hides an entry", "internal/evidence.TestTruncatedFilesSayLess internal/evidence.TestSpoiltFiles registry.TestMemberRefused registry.TestAbsenceRefused compliance.TestClosingAPeriodMakesNoGap cmd/akashi.TestWorkerHides"},
	{"employer opens its engagement's mailbox, or plants its own delivery key", "registry.TestBoxVectorsB registry.TestDeliveryProofRefused wallet.TestReceiveRefuses issuer.TestWithoutDeliveryProof cmd/akashi.TestAttacksOnEngagements"},
	{"employer scans for its worker's statements", "internal/logserver.TestEmployerScans internal/logserver.TestWorkersStatement internal/logserver.TestRelay"},
	{"stale head", "internal/evidence.TestStaleHead internal/logserver.TestLogLostEntries wallet.TestAnOlderHeadIsRefused issuer.TestReceiptNotShownYet"},
	{"backdating", "internal/logserver.TestBackdating registry.TestTimeRulesCannotContradict cmd/akashi.TestAttacksOnWages"},
	{"operator drops an entry", "internal/logserver.TestAuditorsRefuse internal/logserver.TestLogLostEntries internal/auditor.TestDivergence registry.TestSpanDiffers"},
	{"operator alters or reorders entries", "internal/logserver.TestEntriesAltered internal/auditor.TestDivergence"},
	{"operator shows two faces", "internal/logserver.TestTwoFaces internal/witness.TestConcurrentForks internal/auditor.TestDivergence"},
	{"operator gives a receipt and does not log", "issuer.TestReceiptWithoutLogging issuer.TestReceiptForSlotOfAnother issuer.TestFalseReceiptBelowTrueOnes issuer.TestReceiptNotShownYet"},
	{"operator invents a conflict, so that a record stands above an empty rung", "issuer.TestInventedConflict issuer.TestSlotTakenByWhatIsNotShown"},
	{"operator's proofs do not hold", "registry.TestVerifyLookupRefused registry.TestVerifyLookupOneKey registry.TestSealedIsWhatTheLogHas wallet.TestUnproven"},
	{"witness with a wrong clock", "internal/logserver.TestWitnessClocksWrong registry.TestTimeRulesCannotContradict internal/witness.TestClockNeverRunsBackwards"},
	{"witnesses absent or slow", "internal/logserver.TestWitnessesDown internal/logserver.TestRemainingWitnesses"},
	{"auditor absent", "internal/logserver.TestAuditorRestartsAndCatchesUp internal/evidence.TestWithoutAuditorsNothingIsAbsent"},
	{"accredited stranger", "internal/logserver.TestAdmission internal/logserver.TestRelay internal/evidence.TestWhatAnEntryIsWorth internal/evidence.TestWhoMayIssueAnEngagement cmd/akashi.TestAttacksOnWages"},
	{"replay and flood of submissions", "internal/logserver.TestReplayedSubmission internal/logserver.TestFloodAndQuota internal/logserver.TestRelayBounds"},
	{"two submissions racing for one slot", "internal/logserver.TestRace internal/logserver.TestFirstWriteWins internal/logserver.TestKill"},
	{"replayed old trust list", "internal/logserver.TestTrustLists internal/evidence.TestOldTrustListReplayed wallet.TestTrustListNeverGoesBack cmd/akashi.TestAttacksWithStolenKeys"},
	{"stolen key", "internal/logserver.TestStolenKey internal/evidence.TestWhatAnEntryIsWorth cmd/akashi.TestAttacksWithStolenKeys"},
	{"second engagement for the same contract", "internal/evidence.TestEngagementLadder issuer.TestEngagementLadder internal/evidence.TestTermsAreNotChangedAfterwards cmd/akashi.TestAttacksOnEngagements"},
	{"second contract document", "compliance.TestContractFiled"},
	{"crash between log, map, head and publication, at every step", "internal/logserver.TestKill internal/logserver.TestDiedBeforeHead internal/logserver.TestDiedBeforePublication internal/logserver.TestStoredButNotLogged"},
	{"a store that fails, or fails after having stored", "internal/logserver.TestStoreFails internal/logserver.TestStoreFailsAnywhere internal/logserver.TestLogAnswerLost"},
	{"disk full", "internal/logserver.TestDiskFull internal/logserver.TestDiskReallyFull"},
	{"cut and truncated files", "internal/logserver.TestMapOnDiskUnusable registry/prefixmap.TestDamagedFile internal/evidence.TestEveryByteCounts internal/evidence.TestHostileFilesAreCheap registry.TestBucketOctetsRefused"},
	{"a reader that is asked too much", "internal/logserver.TestBucketHTTP internal/logserver.TestReads"},
	{"registry learns which key a wallet wants", "internal/logserver.TestBuckets wallet.TestSyncByBuckets"},
}

// Every test that is named plays in its folder.
func TestThreatsArePlayed(t *testing.T) {
	known := make(map[string]map[string]bool)
	for _, threat := range threats {
		for _, name := range strings.Fields(threat.tests) {
			folder, test, _ := strings.Cut(name, ".")
			if known[folder] == nil {
				known[folder] = testsIn(t, filepath.Join("..", "..", filepath.FromSlash(folder)))
			}
			if !known[folder][test] {
				t.Errorf("%s: there is no %s in %s", threat.attack, test, folder)
			}
		}
	}
}

// Every test that docs/threat-model.md says plays an attack is in the folder that is named before it.
func TestThreatModelNamesTests(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "threat-model.md"))
	if err != nil {
		t.Fatal(err)
	}
	var folder string
	named := 0
	for row := range strings.Lines(string(doc)) {
		if !strings.HasPrefix(row, "|") {
			continue
		}
		cells := strings.Split(row, "|")
		for _, word := range strings.FieldsFunc(cells[len(cells)-2], func(r rune) bool { return strings.ContainsRune(" ,;()", r) }) {
			switch {
			case strings.HasPrefix(word, "`"):
				folder = strings.Trim(word, "`")
			case strings.HasPrefix(word, "Test"):
				if named++; !testsIn(t, filepath.Join("..", "..", filepath.FromSlash(folder)))[word] {
					t.Errorf("there is no %s in %s", word, folder)
				}
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests were looked for", named)
	}
}

// testsIn returns the names of the test functions in a folder.
func testsIn(t *testing.T, folder string) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	files, err := fs.Glob(os.DirFS(folder), "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// An employer knows the engagement, the contract document and every period's secret, and what the statement is likely to say. None of
// that finds a statement, and nothing that the registry hands out tells one from any other record.
func TestEmployerScans(t *testing.T) {
	r := newRig(t).start()
	worker := mustKey(keys.ES256)
	engagement := r.engagement(worker)
	jwt, rec := r.signedStatement(worker, "the wage was not paid")
	r.state(engagement, worker, rec)
	own, period := record("an attestation of about that length") // a slot of which the employer knows all
	r.submit(own)

	header, payload, _ := strings.Cut(jwt, ".")
	payload, _, _ = strings.Cut(payload, ".")
	forged := must(mustKey(keys.ES256).Sign(keys.Header{"typ": "dc+sd-jwt", "kid": worker.Public().Thumbprint()}, must(keys.UnverifiedPayload(jwt))))
	contract := registry.HashOf([]byte("contract"))
	guesses := []registry.Secret{
		registry.StatementSecret(header + "." + payload), registry.StatementSecret(forged), registry.StatementSecret(engagement),
		registry.Secret(contract), registry.StatementSecret(strings.TrimSuffix(engagement, "~")),
	}
	for j := range registry.MaxRungs {
		guesses = append(guesses, registry.SlotSecret(period, j), registry.EngagementSecret(contract, j))
	}
	var slots []registry.Key
	for _, s := range guesses {
		slots = append(slots, registry.KeyOf(string(attestation.Worker), s.Find()))
	}
	look, head, _ := r.lookupPublished(slots...)
	for _, res := range look.Results {
		if err := registry.VerifyAbsent(head.MapRoot, res.Key, res.Proof); err != nil {
			t.Error("a guess has found a slot")
		}
	}

	// What is handed out about every entry in the log.
	k := rec.Ref(string(attestation.Worker)).K
	found := 0
	err := r.client.Records(t.Context(), []registry.Key{k, keyOf(own)}, func(s registry.StoredRecord) error {
		found++
		for _, guess := range guesses {
			if _, err := registry.OpenA(guess, s.Key, s.A); err == nil && s.Key == k {
				t.Error("a guess has opened the statement")
			}
		}
		if len(s.A) != len(own.A) || len(s.B) != len(own.B) {
			t.Error("a statement is told by its size")
		}
		return nil
	})
	if err != nil || found != 2 {
		t.Fatalf("%d records, %v", found, err)
	}
	r.noTraceOf(engagement)
}

// The operator sets its clock back by a month. No time that counts moves: those are the witnesses'.
func TestBackdating(t *testing.T) {
	var back atomic.Int64 // a time.Duration
	r := newWorld(t)
	r.cfg.Now = func() time.Time { return r.clock.now().Add(-time.Duration(back.Load())) }
	r.open()
	r.start()
	r.clock.forward(31 * 24 * time.Hour)
	back.Store(int64(31 * 24 * time.Hour))
	rec, _ := record("late")
	jwt := must(registry.MakeSubmission(r.employer, employerID, origin, []registry.Record{rec}, employerID, r.cfg.Now()))
	if _, err := r.client.Submit(t.Context(), registry.SubmitRequest{Submission: jwt, Records: []registry.Record{rec}}); err != nil {
		t.Fatal(err)
	}
	look, head, _ := r.lookupPublished(keyOf(rec))
	if got := time.UnixMilli(head.UnixMilli); !got.Equal(r.cfg.Now()) {
		t.Fatalf("the head says %v, want the operator's %v", got, r.cfg.Now())
	}
	by, ok := r.open1(look.Results[0].Member.FirstAfter).ExistedBy()
	if !ok || !by.Equal(r.clock.now()) {
		t.Errorf("the entry is shown to have existed by %v, want %v", by, r.clock.now())
	}
}

// One witness of four has a wrong clock: receipts come, and the times are those of the others, whoever answers first.
func TestWitnessClocksWrong(t *testing.T) {
	for name, skew := range map[string]time.Duration{"a year fast": 365 * 24 * time.Hour, "a year slow": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			r := newWorld(t)
			r.clock.skew[2] = skew
			for i, w := range r.witnesses {
				if i != 2 {
					w.slow(20 * time.Millisecond) // the wrong one is the first to answer
				}
			}
			r.open()
			r.start()
			begin := r.clock.now()
			first, _ := record("first")
			r.submit(first)
			r.clock.forward(time.Hour)
			rec, _ := record("second")
			r.submit(rec)
			look, _, cp := r.lookupPublished(keyOf(rec))
			by, _ := r.open1(look.Results[0].Member.FirstAfter).ExistedBy()
			not, _ := r.open1(look.Results[0].Member.LastBefore).NotLargerAt()
			if !by.Equal(r.clock.now()) || !not.Equal(begin) {
				t.Errorf("times are %v and %v, want %v and %v", not, by, begin, r.clock.now())
			}
			if strings.Count(string(cp.Note), "w.example/") != 4 {
				t.Error("the times are of fewer than four witnesses")
			}
		})
	}
}

// A key was stolen, and the trust list says so: it submits nothing more, not even what was signed before and waits.
func TestStolenKey(t *testing.T) {
	r := newRig(t).start()
	before, _ := record("before")
	r.submit(before)
	rec, _ := record("stolen")
	req := r.sign(rec)
	j := must(r.server.check(&req))
	kid := r.employer.Public().Thumbprint()
	r.entities[0].Compromised = []trustlist.Compromise{{Kid: kid, Since: r.clock.now().Add(-time.Hour)}}
	r.addList(2)
	var p *registry.Problem
	if _, err := r.client.Submit(t.Context(), r.sign(rec)); !errors.As(err, &p) || p.Status != http.StatusForbidden || !strings.Contains(p.Title, "compromised") {
		t.Errorf("got %v, want a refusal that says why", err)
	}
	if _, err := r.server.submit(t.Context(), j); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("what was let in before: got %v, want ErrNotAdmitted", err)
	}
	look, head, cp := r.lookupPublished(keyOf(before), keyOf(rec))
	r.checkMember(look.Results[0], before, head, cp)
	if err := registry.VerifyAbsent(head.MapRoot, keyOf(rec), look.Results[1].Proof); err != nil {
		t.Error(err)
	}
	// The anchor signs no version that takes the word back.
	r.entities[0].Compromised = nil
	jwt := must(trustlist.Sign(r.anchor, 3, r.clock.now(), r.entities))
	if err := r.server.AddTrustList(t.Context(), jwt); err == nil {
		t.Error("the theft was forgotten")
	}
}

// The operator changes entries in the files of the log. Whoever replays them finds out: an auditor signs nothing over them, and the
// registry itself signs nothing after a start that reads them.
func TestEntriesAltered(t *testing.T) {
	const list, slot = 2 + 48, 2 + 72 // octets of entries in a bundle, each after its length
	const head = 2 + 120
	for name, alter := range map[string]func(bundle []byte){
		"a value altered": func(b []byte) { b[list+head+slot-1] ^= 1 },
		"two entries reordered": func(b []byte) {
			first := slices.Clone(b[list+head:][:slot])
			copy(b[list+head:], b[list+head+slot:][:slot])
			copy(b[list+head+slot:], first)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t).start()
			a, _ := record("a")
			b, _ := record("b")
			r.submit(a, b)
			r.waitAll(t)
			if err := r.server.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(r.cfg.Dir, "tile", "entries", "000.p", "5")
			data := must(os.ReadFile(path))
			alter(data)
			if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600), os.Remove(filepath.Join(r.cfg.Dir, mapFile))); err != nil {
				t.Fatal(err)
			}
			cfg := r.auditCfgs[0]
			cfg.Store, cfg.Dir = store.NewMemory(), t.TempDir()
			fresh := must(auditor.New(t.Context(), cfg))
			r.auditors[0].set(fresh.Handler())
			r.open()
			if err := r.server.CloseEpoch(t.Context()); err == nil {
				t.Error("a checkpoint was published over a log that is another than its files")
			}
			signed := must(r.client.Checkpoint(t.Context()))
			req := registry.AddCheckpoint{Note: signed}
			if _, err := registry.RequestCosignature(t.Context(), http.DefaultClient, r.auditors[0].URL, req); err == nil || fresh.Status().Size > 0 {
				t.Errorf("a new auditor has signed altered entries: %v", err)
			}
		})
	}
}

// The operator keeps two logs under one key, and shows each to other people. The witnesses sign one of them; the other finds no quorum,
// so that nobody gets a receipt or a proof from it.
func TestTwoFaces(t *testing.T) {
	r := newRig(t).start()
	rec, _ := record("shown")
	r.submit(rec)
	r.waitAudited()
	other := r.cfg
	other.Dir, other.Store, other.WitnessTimeout = t.TempDir(), store.NewMemory(), 300*time.Millisecond
	face, err := Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer face.Close(context.Background())
	jwt := must(trustlist.Sign(r.anchor, 1, r.clock.now(), r.entities))
	if err := face.AddTrustList(t.Context(), jwt); !errors.Is(err, ErrNotPublished) {
		t.Fatalf("another log of the same name: got %v, want ErrNotPublished", err)
	}
	for range 5 { // let it outgrow the first
		if err := face.CloseEpoch(t.Context()); !errors.Is(err, ErrNotPublished) {
			t.Fatalf("got %v, want ErrNotPublished", err)
		}
	}
	face.mu.RLock()
	defer face.mu.RUnlock()
	if face.published != nil {
		t.Error("the second face was published")
	}
}
