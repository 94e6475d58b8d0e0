package issuer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// dump returns everything in the store.
func dump(t testing.TB, s store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.View(ctx, func(tx store.Tx) error {
		for _, prefix := range []string{"org/", "enrol/", "engagement/", "slot/", "octets/", "pending/", "done/", "identity/"} {
			if err := tx.Scan([]byte(prefix), func(k, v []byte) error {
				out[string(k)] = string(v)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantUnchanged(t testing.TB, before, after map[string]string) {
	t.Helper()
	for k := range after {
		if before[k] != after[k] {
			t.Errorf("%s was written", k)
		}
	}
}

// TestActToCome: a row is taken from the day in Japan on which its act was done.
func TestActToCome(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	w.Start()
	file := issuer.File{Name: "sheet.csv", Data: []byte("reference,interviewee,date,mode\nS-2510-01,worker,2026-05-29,対面\n")}
	midnight := time.Date(2026, 5, 28, 15, 0, 0, 0, time.UTC)
	w.Clock.Set(midnight.Add(-time.Second))
	if r := w.Import("supporter", attestation.TypeSupportInterview, file, issuer.Options{}); len(r.Errors) != 1 || r.Errors[0].Remedy != "import it on or after 2026-05-29" {
		t.Errorf("the evening before: %+v", r.Errors)
	}
	w.Clock.Set(midnight)
	if r := w.Import("supporter", attestation.TypeSupportInterview, file, issuer.Options{}); !r.OK() || r.Count(issuer.StatusLogged) != 1 {
		t.Errorf("on the day: %+v", r)
	}
}

// TestSendingDoesNotWait: a submission without an answer holds up no other.
func TestSendingDoesNotWait(t *testing.T) {
	const workers, months = 60, 20
	w := issuertest.New(t, store.NewMemory())
	w.Registry.Unchecked = true
	p := issuertest.NewWorker(t)
	var rows [][2]string
	for n := range workers {
		if r := w.EngageMore(fmt.Sprint(n), p); !r.OK() {
			t.Fatal(r.Errors)
		}
		for m := range months {
			rows = append(rows, [2]string{attestation.NewDate(2025, 11, 1).AddMonths(m).String()[:7], fmt.Sprint(n)})
		}
	}
	w.Clock.Set(time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC))
	var mu sync.Mutex
	var first registry.Hash
	sent, rest := 0, make(chan struct{})
	w.Registry.Before = func(req registry.SubmitRequest) error {
		mu.Lock()
		if sent == 0 {
			first = req.Records[0].X
		}
		held := first == req.Records[0].X
		if sent += len(req.Records); sent == len(rows) {
			close(rest)
		}
		mu.Unlock()
		if held {
			select {
			case <-rest:
			case <-time.After(time.Minute):
				return errors.New("the others wait for the first")
			}
		}
		return nil
	}
	if r := pay(t, w, payslips("8.00", rows...), issuer.Options{}); r.Count(issuer.StatusLogged) != len(rows) {
		t.Errorf("%d of %d rows logged; %v", r.Count(issuer.StatusLogged), len(rows), r.Errors)
	}
}

// TestRowErrors: each says where, what and what to do, and stops the file.
func TestRowErrors(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	w.Start()
	w.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	good := [2]string{"2026-04", "1042"}
	sheet := func(header string, rows ...string) issuer.File {
		return issuer.File{Name: "sheet.csv", Data: []byte(header + "\n" + strings.Join(rows, "\n") + "\n")}
	}
	withMyNumber := payslips("8.00", good, [2]string{"2026-05", "1042"})
	withMyNumber.Data = append(withMyNumber.Data[:len(withMyNumber.Data)-1], []byte("1234-5678-9018\n")...)
	for _, c := range []struct {
		name   string
		actor  string
		typ    attestation.Type
		file   issuer.File
		row    int
		column string
		value  string
		says   string
		good   int
	}{
		{"unknown reference", "employer-A", attestation.TypeWagePayment, payslips("8.00", good, [2]string{"2026-04", "9"}), 3, "スタッフ番号", "9", "no engagement is known", 1},
		{"month before the contract", "employer-A", attestation.TypeWagePayment, payslips("8.00", [2]string{"2025-10", "1042"}, good), 2, "", "2025-10", "slot wage-employer 2025-10 is not open", 1},
		{"another's stream", "employer-A", attestation.TypeSupportInterview, sheet("reference,interviewee,date,mode", "1042,worker,2026-03-05,対面"), 2, "", "interview-worker-support", "another organization makes these records", 0},
		{"the same date twice", "supporter", attestation.TypeSupportInterview,
			sheet("reference,interviewee,date,mode", "S-2510-01,worker,2026-03-05,対面", "S-2510-01,worker,2026-03-05,オンライン"), 3, "", "interview with the worker on 2026-03-05", "row 2 speaks of the same", 1},
		{"amount unreadable", "employer-A", attestation.TypeWagePayment, issuer.File{Name: "p.csv", Data: bytes.Replace(payslips("8.00", good).Data, []byte("230000"), []byte("23万"), 1)}, 2, "基本給", "23万", "", 0},
		{"My Number", "employer-A", attestation.TypeWagePayment, withMyNumber, 3, "メモ", "", "My Number", 1},
		{"pay day to come", "employer-A", attestation.TypeWagePayment, payslips("8.00", good, [2]string{"2026-06", "1042"}), 3, "支給日", "2026-06-28", "yet to come", 1},
		{"interview to come", "supporter", attestation.TypeSupportInterview,
			sheet("利用者番号,面談対象,面談日,実施方法", "S-2510-01,worker,2026-05-29,対面"), 2, "面談日", "2026-05-29", "yet to come", 0},
		{"longer than an attestation", "supporter", attestation.TypeSupportSession, sheet("reference,item,date,mode,place", "S-2510-01,ニ,2026-03-05,対面,"+strings.Repeat("x", 6000)), 2, "", "", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.file.Mapping = issuertest.File(t, "payroll/C.mapping.json")
			before, n := dump(t, w.Store), w.Registry.Len()
			r := w.Import(c.actor, c.typ, c.file, issuer.Options{})
			if len(r.Errors) != 1 {
				t.Fatalf("errors %v, want one", r.Errors)
			}
			if e := r.Errors[0]; e.Row != c.row || e.Column != c.column || e.Value != c.value || !strings.Contains(e.Problem, c.says) || e.Remedy == "" || e.File != c.file.Name {
				t.Errorf("error %+v, want row %d, column %q, value %q, %q", e, c.row, c.column, c.value, c.says)
			}
			if r.OK() || r.Count(issuer.StatusReady) != c.good || len(r.Rows) != c.good {
				t.Errorf("rows %+v, want %d ready", r.Rows, c.good)
			}
			wantUnchanged(t, before, dump(t, w.Store))
			if w.Registry.Len() != n {
				t.Error("something was logged")
			}
		})
	}
}

// TestRemediesAndReceipts: the employer records that a gap was mended, the authority that a notice arrived.
func TestRemediesAndReceipts(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	w.Clock.Set(time.Date(2026, 9, 20, 9, 0, 0, 0, time.UTC))
	w.Enrol("authority", "I-7", workers["A"])
	for _, c := range []struct {
		actor          string
		typ            attestation.Type
		header, row    string
		stream         attestation.Stream
		period         attestation.Period
		notYet, column string
	}{
		{"employer-A", attestation.TypeRemedy, "社員番号,義務,対象月,是正日,支払賃金", "1042,W-05,2026-06,2026/09/18,212000", attestation.RemedyEmployer, "events-FY2026", "1042,W-05,2026-07,2026/09/30,212000", "是正日"},
		{"authority", attestation.TypeNotificationReceipt, "届出対象者,届出区分,対象年度,届出日,受理日,提出方法", "I-7,P-01,2025年度,2026/05/15,2026/05/16,郵送", attestation.ReportAuthority, "FY2025", "I-7,P-01,2026年度,2026/09/30,2026/09/30,郵送", "受理日"},
		{"authority", attestation.TypeNotificationReceipt, "届出対象者,届出区分,事由発生日,届出日,受理日,提出方法", "I-7,N-02,2026/08/30,2026/09/02,2026/09/03,窓口", attestation.NoticeAuthority, "events-FY2026", "I-7,N-02,2026/09/19,2026/09/30,2026/09/30,窓口", "受理日"},
	} {
		file := issuer.File{Name: "sheet.csv", Data: []byte(c.header + "\n" + c.row + "\n")}
		r := w.Import(c.actor, c.typ, file, issuer.Options{})
		if !r.OK() || r.Count(issuer.StatusLogged) != 1 || r.Rows[0].Stream != c.stream || r.Rows[0].Period != c.period {
			t.Errorf("%s: %+v", c.stream, r)
		}
		if r := w.Import(c.actor, c.typ, file, issuer.Options{}); r.Count(issuer.StatusAlready) != 1 {
			t.Errorf("%s again: %+v", c.stream, r)
		}
		file.Data = []byte(c.header + "\n" + c.notYet + "\n")
		if r := w.Import(c.actor, c.typ, file, issuer.Options{}); len(r.Errors) != 1 || r.Errors[0].Column != c.column {
			t.Errorf("%s of a day to come: %+v", c.stream, r)
		}
	}
}

func TestGoodRowsGoOn(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	f := payslips("8.00", [2]string{"2026-03", "1042"}, [2]string{"2026-04", "9"}, [2]string{"2026-05", "1042"})
	r := pay(t, w, f, issuer.Options{GoodRows: true})
	wantStatus(t, r, issuer.StatusLogged, issuer.StatusLogged)
	if len(r.Errors) != 1 || r.OK() || r.Rows[0].Row != 2 || r.Rows[1].Row != 4 {
		t.Errorf("%+v", r)
	}
	if got := filled(t, w, p); got != "wage-employer 2026-03:1 2026-05:1" {
		t.Error(got)
	}
}

func TestDryRunSignsAndStoresNothing(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	w.Registry.Before = func(registry.SubmitRequest) error { return errDown }
	pay(t, w, payslips("8.00", [2]string{"2026-04", "1042"}), issuer.Options{}) // waits for the registry
	before := dump(t, w.Store)
	w.Registry.Before = func(registry.SubmitRequest) error {
		t.Error("something was sent")
		return errDown
	}
	r := pay(t, w, payslips("8.00", [2]string{"2026-04", "1042"}, [2]string{"2026-05", "1042"}), issuer.Options{DryRun: true})
	wantStatus(t, r, issuer.StatusStored, issuer.StatusReady)
	if r.Rows[1].ID != "" || !r.DryRun || r.Rows[1].Period != "2026-05" {
		t.Errorf("%+v", r.Rows)
	}
	wantUnchanged(t, before, dump(t, w.Store))
}

func TestCorrections(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	file := func(overtime string) issuer.File { return payslips(overtime, [2]string{"2026-05", "1042"}) }
	first := pay(t, w, file("8.00"), issuer.Options{})
	refused := pay(t, w, file("9.00"), issuer.Options{})
	if len(refused.Errors) != 1 || !strings.Contains(refused.Errors[0].Remedy, "--supersede") || refused.Errors[0].Value != "wage of 2026-05" {
		t.Fatalf("a changed row: %+v", refused)
	}
	second := pay(t, w, file("9.00"), issuer.Options{Supersede: true})
	wantStatus(t, second, issuer.StatusLogged)
	// The old file again is known, and is no correction unless asked for.
	wantStatus(t, pay(t, w, file("8.00"), issuer.Options{}), issuer.StatusAlready)
	wantStatus(t, pay(t, w, file("9.00"), issuer.Options{Supersede: true}), issuer.StatusAlready)
	third := pay(t, w, file("8.00"), issuer.Options{Supersede: true})
	wantStatus(t, third, issuer.StatusLogged)
	wantStatus(t, pay(t, w, file("8.00"), issuer.Options{Supersede: true}), issuer.StatusAlready)
	rungs := ladder(t, w, p, attestation.WageEmployer, "2026-05")
	if len(rungs) != 3 {
		t.Fatalf("%d rungs, want 3", len(rungs))
	}
	for n, want := range []string{"", first.Rows[0].ID, second.Rows[0].ID} {
		if got := rungs[n].claims.(*attestation.WagePayment).Supersedes; got != want {
			t.Errorf("rung %d supersedes %q, want %q", n, got, want)
		}
	}
}

// TestAnotherMemoIsTheSamePayslip: what is not attested does not make a row another one.
func TestAnotherMemoIsTheSamePayslip(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	pay(t, w, may, issuer.Options{})
	memo := issuer.File{Name: may.Name, Data: append(bytes.TrimRight(bytes.Clone(may.Data), "\n"), "checked\n"...)}
	wantStatus(t, pay(t, w, memo, issuer.Options{}), issuer.StatusAlready)
}

// TestPartPayments: several payments of one period are rungs of their own, none corrects another.
func TestPartPayments(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	f := payslips("8.00", [2]string{"2026-05", "1042"}, [2]string{"2026-05", "1042"})
	f.Data = bytes.Replace(f.Data, []byte("2026-05-28"), []byte("2026-05-15"), 1)
	f.Data = bytes.ReplaceAll(f.Data, []byte("265625,\n"), []byte("265625,一部\n"))
	f.Mapping = bytes.Replace(issuertest.File(t, "payroll/C.mapping.json"), []byte(`"columns": {`), []byte(`"kinds": {"一部": "part"}, "columns": {"kind": "メモ",`), 1)
	r := w.Import("employer-A", attestation.TypeWagePayment, f, issuer.Options{})
	wantStatus(t, r, issuer.StatusLogged, issuer.StatusLogged)
	wantStatus(t, w.Import("employer-A", attestation.TypeWagePayment, f, issuer.Options{}), issuer.StatusAlready, issuer.StatusAlready)
	rungs := ladder(t, w, p, attestation.WageEmployer, "2026-05")
	if len(rungs) != 2 {
		t.Fatalf("%d rungs, want 2", len(rungs))
	}
	for n, day := range []string{"2026-05-15", "2026-05-28"} {
		if c := rungs[n].claims.(*attestation.WagePayment); c.PaidDate.String() != day || c.Kind != attestation.WagePart || c.Supersedes != "" {
			t.Errorf("rung %d: %+v", n, c)
		}
	}
}

// TestCreditsAlike: two credits alike on one day are two facts, and the same file again is still the same two.
func TestCreditsAlike(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	w.Clock.Set(time.Date(2026, 5, 26, 0, 30, 0, 0, time.UTC))
	f := issuer.File{Name: "bank.txt", Data: twice(t, issuertest.File(t, "bank/A-2026-05.txt"))}
	r := w.Import("bank", attestation.TypeWageReceipt, f, issuer.Options{})
	wantStatus(t, r, issuer.StatusLogged, issuer.StatusLogged)
	again := w.Import("bank", attestation.TypeWageReceipt, f, issuer.Options{})
	wantStatus(t, again, issuer.StatusAlready, issuer.StatusAlready)
	if got := len(ladder(t, w, workers["A"], attestation.WageBank, "2026-05")); got != 2 {
		t.Errorf("%d rungs, want 2", got)
	}
	single := w.Import("bank", attestation.TypeWageReceipt, issuer.File{Name: "bank.txt", Data: issuertest.File(t, "bank/A-2026-05.txt")}, issuer.Options{})
	wantStatus(t, single, issuer.StatusAlready)
}

// twice returns a file of one account whose last transaction, the wage, stands in it twice, with totals that agree.
func twice(t *testing.T, file []byte) []byte {
	t.Helper()
	records := bytes.Split(file, []byte("\r\n"))
	wage := bytes.Replace(records[4], []byte("200000004"), []byte("200000005"), 1)
	records[5] = bytes.Replace(records[5], []byte("80000010000000212000"), []byte("80000020000000424000"), 1)
	records[5] = bytes.Replace(records[5], []byte("000000011160360000004"), []byte("000000013280360000005"), 1)
	records[6] = bytes.Replace(records[6], []byte("90000000007"), []byte("90000000008"), 1)
	return bytes.Join(slices.Insert(records, 5, wage), []byte("\r\n"))
}

func TestWhoImportsWhat(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	for _, c := range []struct {
		actor string
		typ   attestation.Type
	}{
		{"bank", attestation.TypeWagePayment}, {"employer-A", attestation.TypeWageReceipt}, {"supporter", attestation.TypeEngagement},
		{"supporter", attestation.TypeSeparation}, {"supporter", attestation.TypeRemedy}, {"employer-A", attestation.TypeNotificationReceipt}, {"authority", attestation.TypeNotificationFiled},
		{"employer-A", attestation.TypeWorkerStatement}, {"bank", "nothing"},
	} {
		if _, err := w.Issuer.Import(ctx, w.Orgs[c.actor].ID, c.typ, issuer.File{}, issuer.Options{}); !errors.Is(err, issuer.ErrType) {
			t.Errorf("%s imports %s: %v, want %v", c.actor, c.typ, err, issuer.ErrType)
		}
	}
	if _, err := w.Issuer.Import(ctx, "8990000000009", attestation.TypeWagePayment, issuer.File{}, issuer.Options{}); !errors.Is(err, issuer.ErrUnknownOrg) {
		t.Errorf("unknown organization: %v", err)
	}
	if _, err := w.Issuer.Import(ctx, w.Orgs["employer-A"].ID, attestation.TypeWagePayment, may, issuer.Options{}); err == nil {
		t.Error("a payroll file without a mapping was read")
	}
}

func TestAddOrg(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	ids, err := w.Issuer.Orgs(ctx)
	if err != nil || len(ids) != 6 {
		t.Errorf("%v, %v", ids, err)
	}
	o := w.Orgs["bank"]
	if err := w.Issuer.AddOrg(ctx, o); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for name, spoil := range map[string]func(*issuer.Org){
		"other name":             func(o *issuer.Org) { o.Name = map[string]string{"ja": "別"} },
		"id without check digit": func(o *issuer.Org) { o.ID = "5990000000005" },
		"signing key missing":    func(o *issuer.Org) { o.Signing = nil },
		"submission key missing": func(o *issuer.Org) { o.Submission = nil },
	} {
		spoilt := o
		spoil(&spoilt)
		if err := w.Issuer.AddOrg(ctx, spoilt); err == nil {
			t.Errorf("%s: added", name)
		}
	}
	if got, err := w.Issuer.Org(context.Background(), o.ID); err != nil || got.Issuer != o.Issuer {
		t.Errorf("%+v, %v", got.Issuer, err)
	}
	for name, spoil := range map[string]func(*issuer.Config){
		"store":            func(c *issuer.Config) { c.Store = nil },
		"registry":         func(c *issuer.Config) { c.Registry = nil },
		"origin":           func(c *issuer.Config) { c.Origin = "" },
		"other origin":     func(c *issuer.Config) { c.Origin = "other.example" },
		"witnesses":        func(c *issuer.Config) { c.Policy = nil },
		"auditors":         func(c *issuer.Config) { c.Auditors = nil },
		"one policy twice": func(c *issuer.Config) { c.Auditors = c.Policy },
		"another log":      func(c *issuer.Config) { c.Auditors = issuertest.NewSigners(t, w.Clock.Now).Auditors },
	} {
		cfg := w.Config()
		spoil(&cfg)
		if _, err := issuer.New(cfg); err == nil {
			t.Errorf("an issuer without all that it needs was made: %s", name)
		}
	}
}
