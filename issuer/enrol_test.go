package issuer_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
)

// forge returns the worker with an engagement that was spoilt before an organization signed it.
func forge(t testing.TB, w *issuertest.World, p *issuertest.Worker, actor string, spoil func(claims map[string]any)) *issuertest.Worker {
	t.Helper()
	out := *p
	out.SDJWT = w.ForgeEngagement(actor, p.SDJWT, spoil)
	return &out
}

// TestEnrolRefuses starts from a presentation that the bank takes and spoils one thing a row.
func TestEnrolRefuses(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	bank := w.Orgs["bank"]
	paths := issuertest.StreamsOf(attestation.Bank)
	now := w.Clock.Now()
	spoilt := func(actor string, spoil func(map[string]any)) func() []byte {
		return func() []byte {
			return forge(t, w, p, actor, spoil).Present(t, bank.Issuer, issuer.EnrolNonce, now, paths...)
		}
	}
	nothing := func(map[string]any) {}
	other := issuertest.NewWorker(t)
	for _, c := range []struct {
		name    string
		present func() []byte
		want    error
		says    string
	}{
		{"another audience", func() []byte {
			return p.Present(t, w.Orgs["supporter"].Issuer, issuer.EnrolNonce, now, paths...)
		}, sdjwt.ErrKeyBindingAudience, ""},
		{"another nonce", func() []byte { return p.Present(t, bank.Issuer, "other", now, paths...) }, sdjwt.ErrKeyBindingNonce, ""},
		{"an old presentation", func() []byte {
			return p.Present(t, bank.Issuer, issuer.EnrolNonce, now.AddDate(0, 0, -32), paths...)
		}, sdjwt.ErrKeyBindingIat, ""},
		{"no key binding", func() []byte {
			data, _ := json.Marshal(evidence.Presentation{Engagement: p.SDJWT})
			return data
		}, sdjwt.ErrKeyBindingMissing, ""},
		{"bound by another worker", func() []byte {
			var shown, mine evidence.Presentation
			_ = json.Unmarshal(p.Present(t, bank.Issuer, issuer.EnrolNonce, now, paths...), &shown)
			thief := forge(t, w, &issuertest.Worker{Holder: other.Holder, SDJWT: p.SDJWT}, "employer-A", func(c map[string]any) {
				c["cnf"] = map[string]any{"jwk": other.Holder.Public().JWK()}
			})
			_ = json.Unmarshal(thief.Present(t, bank.Issuer, issuer.EnrolNonce, now, paths...), &mine)
			i := strings.LastIndexByte(shown.Engagement, '~')
			shown.Engagement = shown.Engagement[:i] + mine.Engagement[strings.LastIndexByte(mine.Engagement, '~'):]
			data, _ := json.Marshal(shown)
			return data
		}, sdjwt.ErrKeyBinding, ""},
		{"nothing of the bank's opened", func() []byte {
			return p.Present(t, bank.Issuer, issuer.EnrolNonce, now, "slots.wage-employer", "terms.payer_kana")
		}, issuer.ErrNothingDisclosed, ""},
		{"issuer not for engagements", spoilt("supporter", func(c map[string]any) { c["iss"] = w.Orgs["supporter"].Issuer }), issuer.ErrUntrustedEngagement, ""},
		{"an accredited stranger", spoilt("employer-B", func(c map[string]any) { c["iss"] = w.Orgs["employer-B"].Issuer }), issuer.ErrUntrustedEngagement, ""},
		{"iss of another", spoilt("employer-A", func(c map[string]any) { c["iss"] = w.Orgs["employer-B"].Issuer }), issuer.ErrUntrustedEngagement, ""},
		{"other registry", spoilt("employer-A", func(c map[string]any) { c["registry"] = "other.example" }), nil, "another registry"},
		{"another worker's delivery proof", spoilt("employer-A", func(c map[string]any) { c["delivery_proof"] = other.Proof(t) }), nil, "delivery key"},
		{"proof for another registry", spoilt("employer-A", func(c map[string]any) {
			proof, _ := registry.MakeDeliveryProof(p.Holder, p.Delivery.Public(), "other.example")
			c["delivery_proof"] = proof
		}), registry.ErrDeliveryAudience, ""},
		{"no JSON", func() []byte { return []byte(p.SDJWT) }, evidence.ErrPresentation, ""},
		{"altered", func() []byte {
			return []byte(strings.Replace(string(spoilt("employer-A", nothing)()), ".", ".A", 1))
		}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := dump(t, w.Store)
			_, err := w.Issuer.Enrol(ctx, bank.ID, "9999-999-0000001", c.present(), w.Registry.List)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v %q", err, c.want, c.says)
			}
			wantUnchanged(t, before, dump(t, w.Store))
		})
	}
	valid := spoilt("employer-A", nothing)()
	if _, err := w.Issuer.Enrol(ctx, bank.ID, "r", valid, nil); !errors.Is(err, issuer.ErrNoTrustList) {
		t.Errorf("without a trust list: %v", err)
	}
	for _, reference := range []string{"", strings.Repeat("9", 201)} {
		if _, err := w.Issuer.Enrol(ctx, bank.ID, reference, valid, w.Registry.List); err == nil {
			t.Errorf("a reference of %d bytes was taken", len(reference))
		}
	}
	if _, err := w.Issuer.Enrol(ctx, bank.ID, "r", valid, w.Registry.List); err != nil {
		t.Errorf("the valid one: %v", err)
	}
}

func TestEnrolTakesWhatTheOrganizationNeeds(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	for actor, want := range map[string][]attestation.Stream{
		"bank":      {attestation.WageBank},
		"supporter": {attestation.InterviewSuperior, attestation.InterviewWorker, attestation.SessionSupport},
		"authority": {attestation.NoticeAuthority, attestation.ReportAuthority, attestation.SeparationOffice},
	} {
		o := w.Orgs[actor]
		data := p.Present(t, o.Issuer, issuer.EnrolNonce, w.Clock.Now(), "slots", "delivery_proof", "terms", "worker")
		e, err := w.Issuer.Enrol(ctx, o.ID, "r", data, w.Registry.List)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(e.Secrets)); !slices.Equal(got, want) {
			t.Errorf("%s keeps the secrets of %v, want %v", actor, got, want)
		}
		if e.Terms.WorkerIdentity != nil || e.Terms.Slots != nil || len(e.Delivery) == 0 || e.Engagement != p.Engagement {
			t.Errorf("%s: %+v", actor, e)
		}
	}
}

func TestEnrolAgain(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	bank := w.Orgs["bank"]
	present := func(paths ...string) []byte {
		return p.Present(t, bank.Issuer, issuer.EnrolNonce, w.Clock.Now(), paths...)
	}
	enrol := func(data []byte) *issuer.Enrolment {
		t.Helper()
		e, err := w.Issuer.Enrol(ctx, bank.ID, "r", data, w.Registry.List)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	enrol(present("slots.wage-bank.2026-05", "delivery_proof", "terms.payer_kana"))
	e := enrol(present("slots.wage-bank.2026-06"))
	if got := slices.Sorted(maps.Keys(e.Secrets[attestation.WageBank])); !slices.Equal(got, []attestation.Period{"2026-05", "2026-06"}) {
		t.Errorf("open: %v", got)
	}
	if len(e.Delivery) == 0 || e.Terms.Terms == nil || e.Terms.Terms.PayerKana == nil {
		t.Error("what the first presentation showed is lost")
	}
	second := issuertest.NewWorker(t)
	if r := w.EngageMore("2000", second); !r.OK() {
		t.Fatal(r.Errors)
	}
	data := second.Present(t, bank.Issuer, issuer.EnrolNonce, w.Clock.Now(), "slots.wage-bank")
	if _, err := w.Issuer.Enrol(ctx, bank.ID, "r", data, w.Registry.List); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second engagement under one reference: %v", err)
	}
	sheet := issuer.File{Name: "enrol.csv", Data: []byte("reference,presentation\nr,second\nr2,second\nr3,missing\n"), Open: func(name string) ([]byte, error) {
		if name == "missing" {
			return nil, errors.New("no such file")
		}
		return data, nil
	}}
	r := w.Import("bank", issuer.TypeEnrolment, sheet, issuer.Options{})
	if len(r.Errors) != 2 || r.Errors[0].Row != 2 || r.Errors[1].Row != 4 || r.Errors[0].Column != "presentation" {
		t.Errorf("errors %v", r.Errors)
	}
	wantStatus(t, r, issuer.StatusReady)
	wantStatus(t, w.Import("bank", issuer.TypeEnrolment, sheet, issuer.Options{GoodRows: true, DryRun: true}), issuer.StatusReady)
	wantStatus(t, w.Import("bank", issuer.TypeEnrolment, sheet, issuer.Options{GoodRows: true}), issuer.StatusEnrol)
}

func TestEngagements(t *testing.T) {
	onEachStore(t, func(t *testing.T, w *issuertest.World, p *issuertest.Worker, reopen func()) {
		first := p.SDJWT
		again := w.Engage("A", p)
		wantStatus(t, again, issuer.StatusAlready)
		if p.SDJWT != first || again.Rows[0].Engagement != again.Rows[0].ID {
			t.Error("the engagement imported again is another one")
		}
		other := issuertest.NewWorker(t)
		if r := w.Engage("A", other); len(r.Errors) != 1 || r.Errors[0].Column != "契約書ハッシュ" {
			t.Errorf("the same contract for another key: %+v", r)
		}
		if r := w.EngageMore("1042", other); len(r.Errors) != 1 || r.Errors[0].Column != "社員番号" {
			t.Errorf("a second contract under one number: %+v", r)
		}
		w.Registry.After = func(registry.SubmitRequest) error { return errDown }
		wantStatus(t, w.EngageMore("2000", other), issuer.StatusStored)
		if other.SDJWT == "" {
			t.Error("a stored engagement is not handed out")
		}
		stored := other.SDJWT
		w.Registry.After = nil
		reopen()
		flush(t, w, 1)
		wantStatus(t, w.EngageMore("2000", other), issuer.StatusAlready)
		if other.SDJWT != stored {
			t.Error("another engagement after the restart")
		}
	})
}

// TestEngagementLadder: an engagement stands in the ladder of its contract, A opens with the contract's hash, B is empty.
func TestEngagementLadder(t *testing.T) {
	w, p := workerA(t, store.NewMemory())
	e := engagement(t, w, p)
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(e.ContractHash)); err != nil {
		t.Fatal(err)
	}
	s := registry.EngagementSecret(contract, 0)
	key := registry.KeyOf(e.Employer.ID, s.Find())
	m, ok := w.Registry.Entries()[key]
	if !ok {
		t.Fatal("not in its ladder")
	}
	if jwt, err := registry.OpenA(s, key, m.A); err != nil || jwt != verify(t, w, p.SDJWT).JWT || len(m.B) != 0 {
		t.Errorf("%v, %d bytes in B", err, len(m.B))
	}
}

func TestEngagementRowErrors(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	p, other := issuertest.NewWorker(t), issuertest.NewWorker(t)
	sheet := string(issuertest.File(t, "engagement/A.csv"))
	for _, c := range []struct{ name, actor, sheet, proof, column string }{
		{"another employer", "employer-B", sheet, p.Proof(t), "法人番号"},
		{"another's delivery proof", "employer-A", sheet, other.Proof(t), "delivery_proof"},
		{"a contract of ten years", "employer-A", strings.Replace(strings.Replace(sheet, "2027-10-31", "2035-10-31", 1), "L5fx", "L5fy", 1), p.Proof(t), ""},
	} {
		data := strings.NewReplacer("1042", "3000", "{{holder_jwk}}", `"`+strings.ReplaceAll(string(p.Holder.Public().JWK()), `"`, `""`)+`"`, "{{delivery_proof}}", c.proof).Replace(c.sheet)
		r := w.Import(c.actor, attestation.TypeEngagement, issuer.File{Name: "e.csv", Data: []byte(data)}, issuer.Options{})
		if len(r.Errors) != 1 || r.Errors[0].Column != c.column || r.Errors[0].Row != 2 || r.Errors[0].Remedy == "" {
			t.Errorf("%s: %+v", c.name, r.Errors)
		}
	}
}

// TestWithoutDeliveryProof: nothing is sealed for a worker whose wallet announced no key.
func TestWithoutDeliveryProof(t *testing.T) {
	w, _ := workerA(t, store.NewMemory())
	p := issuertest.NewWorker(t)
	sheet := strings.NewReplacer("1042", "3000", "L5fx", "L5fy", "{{holder_jwk}}", `"`+strings.ReplaceAll(string(p.Holder.Public().JWK()), `"`, `""`)+`"`, "{{delivery_proof}}", "").Replace(string(issuertest.File(t, "engagement/A.csv")))
	if r := w.Import("employer-A", attestation.TypeEngagement, issuer.File{Name: "e.csv", Data: []byte(sheet)}, issuer.Options{}); !r.OK() {
		t.Fatal(r.Errors)
	}
	r := pay(t, w, payslips("8.00", [2]string{"2026-05", "3000"}), issuer.Options{})
	wantStatus(t, r, issuer.StatusLogged)
	for _, m := range w.Registry.Entries() {
		if m.Index == *r.Rows[0].Index && len(m.B) != 0 {
			t.Error("box B is not empty")
		}
	}
}

func FuzzEnrol(f *testing.F) {
	w, p := workerA(f, store.NewMemory())
	bank := w.Orgs["bank"]
	valid := p.Present(f, bank.Issuer, issuer.EnrolNonce, w.Clock.Now(), "slots.wage-bank.2026-05", "delivery_proof")
	f.Add(valid)
	f.Add([]byte(`{"engagement":"` + p.SDJWT + `"}`))
	f.Add([]byte(`{"engagement":"a.b.c~"}`))
	f.Add([]byte(`{"engagement":null,"attestations":[""]}`))
	f.Add(valid[:len(valid)-20])
	want, err := w.Issuer.Enrol(ctx, bank.ID, "r", valid, w.Registry.List)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := w.Issuer.Enrol(ctx, bank.ID, "r", data, w.Registry.List)
		if err == nil && e.Engagement != want.Engagement {
			t.Errorf("took up %s", e.Engagement)
		}
	})
}
