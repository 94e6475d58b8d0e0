package issuer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
)

var ctx = context.Background()

// payslips is a payroll file of employer C's form, one row for each of the pairs (month, number) that rows gives, with this much overtime.
func payslips(overtime string, rows ...[2]string) issuer.File {
	var b strings.Builder
	b.WriteString("対象月,支給日,スタッフ番号,スタッフ名,拠点,所定時間,残業時間,深夜時間,休日時間,基本給,技能手当,残業代,通勤手当,支給額合計,健康保険,介護保険,厚生年金,雇用保険,所得税,住民税,家賃,控除額合計,差引支給額,課税対象額,メモ\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%s,%s-28,%s,見本,大阪,160.00,%s,,,230000,20000,15625,,265625,13000,,23800,1500,5325,,10000,53625,212000,265625,\n", r[0], r[0], r[1], overtime)
	}
	return issuer.File{Name: "payroll.csv", Data: []byte(b.String())}
}

// pay imports payslips for employer A.
func pay(t testing.TB, w *issuertest.World, f issuer.File, opt issuer.Options) *issuer.Report {
	t.Helper()
	f.Mapping = issuertest.File(t, "payroll/C.mapping.json")
	return w.Import("employer-A", attestation.TypeWagePayment, f, opt)
}

var may = payslips("8.00", [2]string{"2026-05", "1042"})

// workerA makes a world in May 2026 with worker A engaged and the registry's past forgotten.
func workerA(t testing.TB, s store.Store) (*issuertest.World, *issuertest.Worker) {
	t.Helper()
	w := issuertest.New(t, s)
	p := issuertest.NewWorker(t)
	if r := w.Engage("A", p); !r.OK() {
		t.Fatal(r.Errors)
	}
	w.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	w.Registry.Submits = nil
	return w, p
}

// onEachStore runs a test over memory and over Badger. reopen closes the store and opens it again, as a new process does.
func onEachStore(t *testing.T, test func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func())) {
	t.Run("memory", func(t *testing.T) {
		w, p := workerA(t, store.NewMemory())
		test(t, w, p, w.Restart)
	})
	t.Run("badger", func(t *testing.T) {
		dir := t.TempDir()
		open := func() store.Store {
			s, err := store.OpenBadger(dir, bytes.Repeat([]byte{7}, 32), nil)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		w, p := workerA(t, open())
		t.Cleanup(func() { w.Store.Close() })
		test(t, w, p, func() {
			if err := w.Store.Close(); err != nil {
				t.Fatal(err)
			}
			w.Store = open()
			w.Restart()
		})
	})
}

func wantStatus(t testing.TB, r *issuer.Report, want ...string) {
	t.Helper()
	var got []string
	for _, row := range r.Rows {
		got = append(got, row.Status)
	}
	if !slices.Equal(got, want) {
		t.Errorf("status %q, want %q (errors %v)", got, want, r.Errors)
	}
}

func flush(t testing.TB, w *issuertest.World, want int) {
	t.Helper()
	if n, err := w.Issuer.Flush(ctx); n != want || err != nil {
		t.Errorf("Flush sent %d, %v, want %d", n, err, want)
	}
}

var errDown = errors.New("the network is down")

// TestLostReply: the registry has the record and the issuer does not know. Nothing is logged twice.
func TestLostReply(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		n := w.Registry.Len()
		w.Registry.After = func(registry.SubmitRequest) error { return errDown }
		r := pay(t, w, may, issuer.Options{})
		wantStatus(t, r, issuer.StatusStored)
		if r.OK() || r.Rows[0].ID == "" || r.Rows[0].Index != nil {
			t.Errorf("report says it is logged: %+v", r.Rows[0])
		}
		reopen()
		w.Registry.After = nil
		again := pay(t, w, may, issuer.Options{})
		wantStatus(t, again, issuer.StatusAlready)
		if again.Rows[0].ID != r.Rows[0].ID || again.Rows[0].Index == nil || w.Registry.Len() != n+1 {
			t.Errorf("%d entries, rows %+v then %+v", w.Registry.Len()-n, r.Rows, again.Rows)
		}
		if s := w.Registry.Submits; len(s) != 2 || !reflect.DeepEqual(s[0].Records, s[1].Records) {
			t.Error("the second submission has other octets than the first")
		}
		flush(t, w, 0)
	})
}

// TestCrashBeforeSubmission: the records are stored and the registry has heard nothing.
func TestCrashBeforeSubmission(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		var tried []registry.Record
		w.Registry.Before = func(req registry.SubmitRequest) error {
			tried = req.Records
			return errDown
		}
		wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusStored)
		if _, err := w.Issuer.Flush(ctx); !errors.Is(err, errDown) {
			t.Errorf("Flush without a network: %v", err)
		}
		reopen()
		w.Registry.Before = nil
		flush(t, w, 1)
		if !reflect.DeepEqual(w.Registry.Submits[0].Records, tried) {
			t.Error("other octets were sent after the restart")
		}
		if got := ladder(t, w, p, attestation.WageEmployer, "2026-05"); len(got) != 1 || got[0].verified == nil {
			t.Errorf("%d rungs", len(got))
		}
		flush(t, w, 0)
		wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusAlready)
	})
}

func TestCancelledImportKeepsItsRecords(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	c, cancel := context.WithCancel(ctx)
	w.Registry.Before = func(registry.SubmitRequest) error {
		cancel()
		return c.Err()
	}
	f := may
	f.Mapping = issuertest.File(t, "payroll/C.mapping.json")
	if _, err := w.Issuer.Import(c, w.Orgs["employer-A"].ID, attestation.TypeWagePayment, f, issuer.Options{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.Registry.Before = nil
	flush(t, w, 1)
}

func TestBusyRegistry(t *testing.T) {
	for _, c := range []struct {
		name  string
		times int
		after time.Duration
		want  string
	}{
		{"twice", 2, time.Millisecond, issuer.StatusLogged},
		{"for ever", 1000, time.Millisecond, issuer.StatusStored},
		{"an hour", 1, time.Hour, issuer.StatusStored},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := workerA(t, store.NewMemory())
			tries := 0
			w.Registry.Before = func(registry.SubmitRequest) error {
				if tries++; tries <= c.times {
					return &registry.RetryError{After: c.after, Problem: &registry.Problem{Status: 429}}
				}
				return nil
			}
			wantStatus(t, pay(t, w, may, issuer.Options{}), c.want)
			if tries > 10 {
				t.Errorf("%d tries", tries)
			}
		})
	}
}

// TestWrongAnswers: an answer about something else is no receipt.
func TestWrongAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*registry.SubmitResponse)
	}{
		{"none", func(r *registry.SubmitResponse) { r.Results = nil }},
		{"too many", func(r *registry.SubmitResponse) { r.Results = append(r.Results, r.Results[0]) }},
		{"another key", func(r *registry.SubmitResponse) { r.Results[0].Key[0] ^= 1 }},
	} {
		w, _ := workerA(t, store.NewMemory())
		spoilt := &spoiler{w.Registry, c.spoil}
		cfg := w.Config()
		cfg.Registry = spoilt
		i, err := issuer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.Issuer = i
		wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusStored)
		if _, err := i.Flush(ctx); !errors.Is(err, registry.ErrAnswer) {
			t.Errorf("%s: %v, want %v", c.name, err, registry.ErrAnswer)
		}
	}
}

type spoiler struct {
	*issuertest.Registry
	spoil func(*registry.SubmitResponse)
}

func (s *spoiler) Submit(ctx context.Context, req registry.SubmitRequest) (*registry.SubmitResponse, error) {
	resp, err := s.Registry.Submit(ctx, req)
	if resp != nil {
		s.spoil(resp)
	}
	return resp, err
}

func TestJunkInTheSlotMovesTheRecordUp(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		secret := period(t, w, p, attestation.WageEmployer, "2026-05")
		w.Registry.Junk(w.Orgs["employer-A"].ID, secret, 0)
		w.Registry.Junk(w.Orgs["employer-A"].ID, secret, 1)
		r := pay(t, w, may, issuer.Options{})
		wantStatus(t, r, issuer.StatusLogged)
		if r.Rows[0].J != 2 {
			t.Errorf("rung %d, want 2", r.Rows[0].J)
		}
		rungs := ladder(t, w, p, attestation.WageEmployer, "2026-05")
		if len(rungs) != 3 || rungs[2].verified == nil || rungs[2].verified.ID != r.Rows[0].ID {
			t.Fatalf("%d rungs", len(rungs))
		}
		reopen()
		wantStatus(t, pay(t, w, may, issuer.Options{}), issuer.StatusAlready)
		// A correction takes the rung after it.
		fixed := pay(t, w, payslips("9.00", [2]string{"2026-05", "1042"}), issuer.Options{Supersede: true})
		if fixed.Rows[0].J != 3 || fixed.Rows[0].Supersedes != r.Rows[0].ID {
			t.Errorf("correction: %+v", fixed.Rows[0])
		}
	})
}

// TestOwnRecordSealedBefore: the slot holds our JWT in other octets, as after restoring an old backup. That is done, not a conflict.
func TestOwnRecordSealedBefore(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		var tried registry.Record
		w.Registry.Before = func(req registry.SubmitRequest) error {
			tried = req.Records[0]
			return errDown
		}
		pay(t, w, may, issuer.Options{})
		w.Registry.Before = nil
		s := registry.SlotSecret(period(t, w, p, attestation.WageEmployer, "2026-05"), 0)
		employer := w.Orgs["employer-A"].ID
		key := registry.KeyOf(employer, s.Find())
		jwt, err := registry.OpenA(s, key, tried.A)
		if err != nil {
			t.Fatal(err)
		}
		a, err := registry.SealA(bytes.NewReader(make([]byte, 12)), s, key, jwt)
		if err != nil {
			t.Fatal(err)
		}
		put := w.Registry.Put(employer, registry.Record{X: s.Find(), A: a, B: tried.B})
		flush(t, w, 1)
		r := pay(t, w, may, issuer.Options{})
		wantStatus(t, r, issuer.StatusAlready)
		if r.Rows[0].J != 0 || *r.Rows[0].Index != put.Index {
			t.Errorf("%+v, want rung 0 at %d", r.Rows[0], put.Index)
		}
	})
}

// TestSlotTakenByWhatIsNotShown: moving on without having seen the entry might log an attestation twice.
func TestSlotTakenByWhatIsNotShown(t *testing.T) {
	alter := func(f func(*registry.MemberProof)) func(*issuertest.Registry) {
		return func(r *issuertest.Registry) { r.Alter = func(_ registry.Key, m *registry.MemberProof) { f(m) } }
	}
	head := func(f func(*registry.HeadProof)) func(*issuertest.Registry) {
		return func(r *issuertest.Registry) { r.AlterLookup = func(l *registry.LookupResponse) { f(&l.Head) } }
	}
	for _, c := range []struct {
		name string
		hide func(*issuertest.Registry)
		want error // of Flush, besides that records wait
	}{
		{"not covered yet", (*issuertest.Registry).Blind, nil},
		{"A withheld", alter(func(m *registry.MemberProof) { m.A = nil }), nil},
		{"A that does not match V", alter(func(m *registry.MemberProof) { m.A = make([]byte, len(m.A)+1) }), nil},
		{"said to be erased", alter(func(m *registry.MemberProof) { m.A, m.Erased = nil, true }), nil},
		{"another V", alter(func(m *registry.MemberProof) { m.Value[0] ^= 1 }), nil},
		{"no inclusion", alter(func(m *registry.MemberProof) { m.Inclusion = m.Inclusion[1:] }), registry.ErrInclusion},
		{"not audited", func(r *issuertest.Registry) { r.Absent = 1 }, registry.ErrNotAudited},
		{"not witnessed", func(r *issuertest.Registry) { r.Cosigners = r.Cosigners[2:] }, registry.ErrNotWitnessed},
		{"another log's key", func(r *issuertest.Registry) { r.Log = issuertest.NewSigners(t, r.Now).Log }, registry.ErrNotSignedByLog},
		{"wrong map root", func(r *issuertest.Registry) { r.Head = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 } }, registry.ErrProofRoot},
		{"head of another index", head(func(h *registry.HeadProof) { h.Index-- }), registry.ErrNotProven},
		{"head altered", head(func(h *registry.HeadProof) { h.Entry[70] ^= 1 }), registry.ErrNotProven},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p := workerA(t, store.NewMemory())
			w.Registry.Junk(w.Orgs["employer-A"].ID, period(t, w, p, attestation.WageEmployer, "2026-05"), 0)
			honest := *w.Registry.Signers
			c.hide(w.Registry)
			r := pay(t, w, payslips("8.00", [2]string{"2026-05", "1042"}, [2]string{"2026-04", "1042"}), issuer.Options{})
			wantStatus(t, r, issuer.StatusStored, issuer.StatusLogged) // another ladder goes on
			if _, err := w.Issuer.Flush(ctx); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("Flush: got %v, want %v", err, c.want)
			}
			if got := ladder(t, w, p, attestation.WageEmployer, "2026-05"); len(got) != 1 {
				t.Errorf("%d rungs, want the junk alone", len(got))
			}
			w.Registry.Unblind()
			w.Registry.Alter, w.Registry.AlterLookup, *w.Registry.Signers = nil, nil, honest
			w.Registry.Junk("9999999999999", registry.Secret{}, 0) // the log grows
			flush(t, w, 1)
			if got := ladder(t, w, p, attestation.WageEmployer, "2026-05"); len(got) != 2 {
				t.Errorf("%d rungs, want junk and the record", len(got))
			}
		})
	}
}

// TestRungsOfOneLadderKeepTheirOrder: a wage and its correction wait for the registry when junk takes their slot.
func TestRungsOfOneLadderKeepTheirOrder(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		w.Registry.Before = func(registry.SubmitRequest) error { return errDown }
		var ids []string
		for _, overtime := range []string{"8.00", "9.00", "10.00"} {
			r := pay(t, w, payslips(overtime, [2]string{"2026-05", "1042"}), issuer.Options{Supersede: true})
			wantStatus(t, r, issuer.StatusStored)
			ids = append(ids, r.Rows[0].ID)
		}
		w.Registry.Before = nil
		w.Registry.Junk(w.Orgs["employer-A"].ID, period(t, w, p, attestation.WageEmployer, "2026-05"), 0)
		reopen()
		flush(t, w, 3)
		rungs := ladder(t, w, p, attestation.WageEmployer, "2026-05")
		if len(rungs) != 4 {
			t.Fatalf("%d rungs, want 4", len(rungs))
		}
		for n, r := range rungs[1:] {
			if r.verified.ID != ids[n] {
				t.Errorf("rung %d is another record", n+1)
			}
			if n > 0 && r.claims.(*attestation.WagePayment).Supersedes != ids[n-1] {
				t.Errorf("rung %d does not supersede the one before", n+1)
			}
		}
		for _, s := range w.Registry.Submits {
			if len(s.Records) != 1 {
				t.Errorf("%d rungs of one ladder in one submission", len(s.Records))
			}
		}
		next := pay(t, w, payslips("11.00", [2]string{"2026-05", "1042"}), issuer.Options{Supersede: true})
		if next.Rows[0].Supersedes != ids[2] || next.Rows[0].J != 4 {
			t.Errorf("the next correction: %+v", next.Rows[0])
		}
	})
}

func TestLadderFilledByOthers(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		secret := period(t, w, p, attestation.WageEmployer, "2026-05")
		w.Registry.Before = func(registry.SubmitRequest) error { return errDown }
		pay(t, w, may, issuer.Options{})
		second := payslips("9.00", [2]string{"2026-05", "1042"})
		pay(t, w, second, issuer.Options{Supersede: true})
		for j := range registry.MaxRungs - 1 {
			w.Registry.Junk(w.Orgs["employer-A"].ID, secret, j)
		}
		w.Registry.Before = nil
		other := payslips("8.00", [2]string{"2026-04", "1042"})
		wantStatus(t, pay(t, w, other, issuer.Options{}), issuer.StatusLogged)
		first := pay(t, w, may, issuer.Options{})
		wantStatus(t, first, issuer.StatusAlready)
		if first.Rows[0].J != registry.MaxRungs-1 {
			t.Errorf("rung %d, want the last", first.Rows[0].J)
		}
		r := pay(t, w, second, issuer.Options{})
		wantStatus(t, r, issuer.StatusNoRoom)
		if r.OK() {
			t.Error("a record that cannot be logged is called in order")
		}
		flush(t, w, 0)
		r = pay(t, w, payslips("10.00", [2]string{"2026-05", "1042"}), issuer.Options{Supersede: true})
		if len(r.Errors) != 1 || len(r.Rows) != 0 {
			t.Errorf("a further record: %+v", r)
		}
	})
}

func TestOwnFullLadder(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	var b strings.Builder
	b.WriteString("reference,item,date,mode\n")
	for day := range registry.MaxRungs + 1 {
		fmt.Fprintf(&b, "S-2510-01,ニ,%s,対面\n", time.Date(2025, 11, 1+day, 0, 0, 0, 0, time.UTC).Format("2006/01/02"))
	}
	f := issuer.File{Name: "sessions.csv", Data: []byte(b.String())}
	w.Clock.Set(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	r := w.Import("supporter", attestation.TypeSupportSession, f, issuer.Options{})
	if len(r.Errors) != 1 || r.Errors[0].Row != registry.MaxRungs+2 || r.Count(issuer.StatusReady) != registry.MaxRungs {
		t.Fatalf("errors %v, %d ready", r.Errors, r.Count(issuer.StatusReady))
	}
	r = w.Import("supporter", attestation.TypeSupportSession, f, issuer.Options{GoodRows: true})
	if n := r.Count(issuer.StatusLogged); n != registry.MaxRungs {
		t.Errorf("%d logged, want %d", n, registry.MaxRungs)
	}
	rungs := ladder(t, w, workers["A"], attestation.SessionSupport, "events-FY2025")
	if len(rungs) != registry.MaxRungs {
		t.Errorf("%d rungs", len(rungs))
	}
}

func TestImportsRunSideBySide(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	var rows [][2]string
	for n := range 20 {
		p := issuertest.NewWorker(t)
		if r := w.EngageMore(fmt.Sprint(n), p); !r.OK() {
			t.Fatal(r.Errors)
		}
		rows = append(rows, [2]string{"2026-05", fmt.Sprint(n)})
	}
	before, done := w.Registry.Len(), make(chan *issuer.Report)
	for range 4 {
		go func() { done <- pay(t, w, payslips("8.00", rows...), issuer.Options{}) }()
	}
	go func() {
		_, err := w.Issuer.Flush(ctx)
		if err != nil {
			t.Error(err)
		}
		done <- nil
	}()
	logged := 0
	for range 5 {
		if r := <-done; r != nil {
			logged += r.Count(issuer.StatusLogged)
		}
	}
	if logged != len(rows) || w.Registry.Len() != before+len(rows) {
		t.Errorf("%d logged, %d entries, want %d", logged, w.Registry.Len()-before, len(rows))
	}
}

// gate is a source of randomness that gives no salts for a second chunk before it is opened.
type gate struct {
	open    chan struct{}
	mu      sync.Mutex
	nonces  int // of boxes sealed
	atChunk int
}

func (g *gate) Read(p []byte) (int, error) {
	g.mu.Lock()
	if len(p) == 12 {
		g.nonces++
	}
	wait := len(p) == 16 && g.nonces >= g.atChunk
	g.mu.Unlock()
	if wait {
		<-g.open
	}
	return rand.Read(p)
}

// TestRungsMoveWhileOthersAreStored: more rows than one chunk holds, all in ten ladders whose first slot is junk. The records of the first
// chunk leave their rungs before the second, which is meant to stand in the last of these, is signed and stored.
func TestRungsMoveWhileOthersAreStored(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, _ func()) {
		const parts = 60
		workers := map[string]*issuertest.Worker{}
		for n := range 10 {
			reference := fmt.Sprint(n)
			workers[reference] = issuertest.NewWorker(t)
			if r := w.EngageMore(reference, workers[reference]); !r.OK() {
				t.Fatal(r.Errors)
			}
			w.Registry.Junk(w.Orgs["employer-A"].ID, period(t, w, workers[reference], attestation.WageEmployer, "2026-05"), 0)
		}
		var rows [][2]string
		for range parts {
			for n := range 10 {
				rows = append(rows, [2]string{"2026-05", fmt.Sprint(n)})
			}
		}
		f := payslips("8.00", rows...)
		f.Data = bytes.ReplaceAll(f.Data, []byte(",2026-05-28,"), []byte(",day,"))
		for n := range rows {
			day := attestation.NewDate(2026, 5, 1+n/10).String()
			f.Data = bytes.Replace(f.Data, []byte(",day,"), []byte(","+day+","), 1)
		}
		f.Data = bytes.ReplaceAll(f.Data, []byte("265625,\n"), []byte("265625,一部\n"))
		f.Mapping = bytes.Replace(issuertest.File(t, "payroll/C.mapping.json"), []byte(`"columns": {`), []byte(`"kinds": {"一部": "part"}, "columns": {"kind": "メモ",`), 1)
		g := &gate{open: make(chan struct{}), atChunk: 500}
		cfg := w.Config()
		cfg.Rand = g
		i, err := issuer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.Issuer = i
		w.Clock.Set(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)) // after the last part is paid
		submissions := 0
		w.Registry.Before = func(registry.SubmitRequest) error {
			if submissions++; submissions == 2 {
				close(g.open)
			}
			return nil
		}
		r := w.Import("employer-A", attestation.TypeWagePayment, f, issuer.Options{})
		if n := r.Count(issuer.StatusLogged); n != len(rows) {
			t.Fatalf("%d of %d rows logged; %v", n, len(rows), r.Errors)
		}
		for reference, worker := range workers {
			rungs := ladder(t, w, worker, attestation.WageEmployer, "2026-05")
			if len(rungs) != parts+1 {
				t.Fatalf("%s: %d rungs, want %d", reference, len(rungs), parts+1)
			}
			for n, r := range rungs[1:] {
				if got, want := r.claims.(*attestation.WagePayment).PaidDate, attestation.NewDate(2026, 5, 1+n); got != want {
					t.Errorf("%s rung %d: paid on %s, want %s", reference, n+1, got, want)
				}
			}
		}
	})
}
