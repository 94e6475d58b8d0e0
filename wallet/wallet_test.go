package wallet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/issuer"
	"akashi/issuer/issuertest"
	"akashi/registry"
	"akashi/testdata/story"
	"akashi/wallet"
)

var ctx = context.Background()

// setup is a world, and the wallet of worker A with a store that can be opened again.
type setup struct {
	*issuertest.World
	t      testing.TB
	store  store.Store
	wallet *wallet.Wallet
	compact,
	engagement string // SD-JWT as issued, and its ID
}

func newSetup(t testing.TB) *setup {
	t.Helper()
	s := &setup{World: issuertest.New(t, store.NewMemory()), t: t, store: store.NewMemory()}
	s.wallet = s.newWallet(s.store)
	proof, err := s.wallet.DeliveryProof()
	if err != nil {
		t.Fatal(err)
	}
	r := s.EngageKeys("A", s.wallet.PublicJWK(), proof)
	if !r.OK() {
		t.Fatal(r.Errors)
	}
	s.compact, s.engagement = r.Rows[0].SDJWT, r.Rows[0].Engagement
	return s
}

// received is newSetup with the engagement in the wallet and May 2026 come.
func received(t testing.TB) *setup {
	t.Helper()
	s := newSetup(t)
	if _, err := s.wallet.Receive(ctx, s.compact); err != nil {
		t.Fatal(err)
	}
	s.Clock.Set(time.Date(2026, 5, 28, 9, 0, 0, 0, time.UTC))
	return s
}

func (s *setup) config(st store.Store) wallet.Config {
	return wallet.Config{Store: st, Registry: s.Registry, Now: s.Clock.Now}
}

func (s *setup) newWallet(st store.Store) *wallet.Wallet {
	s.t.Helper()
	w, err := wallet.Create(ctx, s.config(st), issuertest.Origin, s.Anchor.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// reopen opens the wallet again, as the next command does.
func (s *setup) reopen() {
	s.t.Helper()
	w, err := wallet.Open(ctx, s.config(s.store))
	if err != nil {
		s.t.Fatal(err)
	}
	s.wallet = w
}

func (s *setup) sync() *wallet.SyncReport {
	s.t.Helper()
	r, err := s.wallet.Sync(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *setup) list() []wallet.Item {
	s.t.Helper()
	items, err := s.wallet.List(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return items
}

// secret returns the secret of rung j of a period of the engagement.
func (s *setup) secret(stream attestation.Stream, period attestation.Period, j int) registry.Secret {
	s.t.Helper()
	e, err := attestation.Decode(attestation.TypeEngagement.VCT(), s.Claims(s.compact))
	if err != nil {
		s.t.Fatal(err)
	}
	text, _ := e.(*attestation.Engagement).Opened(stream, period)
	var p registry.Secret
	if err := p.UnmarshalText([]byte(text)); err != nil {
		s.t.Fatal(err)
	}
	return registry.SlotSecret(p, j)
}

func (s *setup) key(stream attestation.Stream, period attestation.Period, j int) registry.Key {
	return registry.KeyOf(registry.WriterOf(stream, s.Orgs["employer-A"].ID, s.Orgs["supporter"].ID), s.secret(stream, period, j).Find())
}

// importFile imports a file of the story for employer A, the bank or the supporter.
func (s *setup) importFile(name string, opt issuer.Options) *issuer.Report {
	s.t.Helper()
	for _, it := range story.Timeline() {
		if it.File == name && it.Action == "import" {
			r := s.ImportItem(it, opt)
			if !r.OK() {
				s.t.Fatalf("%s: %v", name, r.Errors)
			}
			return r
		}
	}
	s.t.Fatalf("no file %s in the story", name)
	return nil
}

// wagePayment returns claims of a wage payment of 2026-05, as they are signed.
func (s *setup) wagePayment() map[string]any {
	return map[string]any{
		"vct": attestation.TypeWagePayment.VCT(), "iss": s.Orgs["employer-A"].Issuer, "iat": s.Clock.Now().Truncate(24 * time.Hour).Unix(),
		"cnf": map[string]any{"jwk": s.wallet.PublicJWK()}, "engagement": s.engagement, "period": "2026-05", "from": "2026-05-01", "to": "2026-05-31",
		"kind": "regular", "paid_date": "2026-05-25", "method": "transfer", "declared_in_full": true,
		"ledger_row_hash": registry.HashOf(nil).String(), "net": sdjwt.Hidden(212000),
	}
}

// put seals an SD-JWT by hand into rung j of a slot.
func (s *setup) put(stream attestation.Stream, period attestation.Period, j int, compact string, delivery keys.Public) {
	s.t.Helper()
	writer := registry.WriterOf(stream, s.Orgs["employer-A"].ID, s.Orgs["supporter"].ID)
	parts := strings.Split(strings.TrimSuffix(compact, "~"), "~")
	s.Registry.Put(writer, s.Seal(writer, s.secret(stream, period, j), parts[0], parts[1:], delivery))
}

func TestCreateAndOpen(t *testing.T) {
	dir := t.TempDir()
	open := func() store.Store {
		st, err := store.OpenBadger(dir, bytes.Repeat([]byte{1}, 32), nil)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	s := &setup{World: issuertest.New(t, store.NewMemory()), t: t, store: open()}
	if _, err := wallet.Open(ctx, s.config(s.store)); !errors.Is(err, wallet.ErrNoWallet) {
		t.Errorf("opening nothing: %v, want %v", err, wallet.ErrNoWallet)
	}
	w := s.newWallet(s.store)
	if _, err := wallet.Create(ctx, s.config(s.store), issuertest.Origin, s.Anchor.Public()); !errors.Is(err, wallet.ErrWallet) {
		t.Errorf("a second one in its place: %v, want %v", err, wallet.ErrWallet)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.store = open()
	defer func() { s.store.Close() }()
	s.reopen()
	if !bytes.Equal(w.PublicJWK(), s.wallet.PublicJWK()) {
		t.Error("another key after opening again")
	}
	holder, err := keys.ParsePublic(w.PublicJWK())
	if err != nil {
		t.Fatal(err)
	}
	proof, err := s.wallet.DeliveryProof()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.CheckDeliveryProof(proof, holder, issuertest.Origin); err != nil {
		t.Error(err)
	}
}

func TestReceiveEngagement(t *testing.T) {
	s := newSetup(t)
	it, err := s.wallet.Receive(ctx, s.compact)
	if err != nil {
		t.Fatal(err)
	}
	if it.ID != s.engagement || it.Engagement != it.ID || it.Index == nil || *it.Index != 1 || !it.Complete || it.Issuer != s.Orgs["employer-A"].ID {
		t.Errorf("%+v", it)
	}
	if _, err := s.wallet.Receive(ctx, s.compact); err != nil || len(s.list()) != 1 {
		t.Errorf("the same again: %v, %d documents", err, len(s.list()))
	}
	got, err := s.wallet.Show(ctx, it.ID)
	if err != nil || got.SDJWT != s.compact {
		t.Errorf("Show: %v", err)
	}
	if _, err := s.wallet.Show(ctx, "x"); !errors.Is(err, wallet.ErrUnknownID) {
		t.Errorf("Show of nothing: %v", err)
	}
}

// TestReceiveRefuses starts from an engagement that the wallet takes and spoils one thing a row.
func TestReceiveRefuses(t *testing.T) {
	type spoil = func(map[string]any)
	slot := func(c map[string]any, stream, period string) map[string]any {
		return c["slots"].(map[string]any)[stream].(map[string]any)[period].(map[string]any)
	}
	for _, c := range []struct {
		name   string
		actor  string
		spoil  func(*setup) spoil
		cut    bool // one disclosure less
		unseen bool // not in the registry
		want   error
		says   string
	}{
		{name: "nothing", actor: "employer-A"},
		{name: "issuer not for engagements", actor: "supporter", spoil: func(s *setup) spoil { return func(c map[string]any) { c["iss"] = s.Orgs["supporter"].Issuer } }, want: wallet.ErrUntrusted},
		{name: "accredited stranger", actor: "employer-B", spoil: func(s *setup) spoil { return func(c map[string]any) { c["iss"] = s.Orgs["employer-B"].Issuer } }, want: wallet.ErrUntrusted},
		{name: "iss of another", actor: "employer-A", spoil: func(s *setup) spoil { return func(c map[string]any) { c["iss"] = s.Orgs["employer-B"].Issuer } }, want: wallet.ErrUntrusted},
		{name: "before the issuer was listed", actor: "employer-A", spoil: func(s *setup) spoil {
			return func(c map[string]any) { c["iat"] = time.Date(2025, 9, 1, 0, 0, 0, 0, time.UTC).Unix() }
		}, want: wallet.ErrUntrusted},
		{name: "another's key", actor: "employer-A", spoil: func(s *setup) spoil {
			return func(c map[string]any) { c["cnf"] = map[string]any{"jwk": issuertest.Key(t).Public().JWK()} }
		}, want: wallet.ErrNotYours},
		{name: "another registry", actor: "employer-A", spoil: func(*setup) spoil { return func(c map[string]any) { c["registry"] = "other.example" } }, says: "other.example"},
		{name: "a slot missing", actor: "employer-A", spoil: func(*setup) spoil {
			return func(c map[string]any) {
				delete(c["slots"].(map[string]any)["wage-bank"].(map[string]any), "2026-05")
			}
		}, want: wallet.ErrPlan, says: "wage-bank 2026-05 is missing"},
		{name: "a stream missing", actor: "employer-A", spoil: func(*setup) spoil {
			return func(c map[string]any) { delete(c["slots"].(map[string]any), "notice-authority") }
		}, want: wallet.ErrPlan},
		{name: "a slot without a secret", actor: "employer-A", spoil: func(*setup) spoil {
			return func(c map[string]any) { delete(slot(c, "wage-bank", "2026-05"), "s") }
		}, want: wallet.ErrPlan},
		{name: "a secret in the open", actor: "employer-A", spoil: func(*setup) spoil {
			return func(c map[string]any) {
				text, _ := json.Marshal(slot(c, "wage-bank", "2026-05")["s"])
				slot(c, "wage-bank", "2026-05")["s"] = json.RawMessage(text)
			}
		}, want: wallet.ErrPlan},
		{name: "one secret for two slots", actor: "employer-A", spoil: func(*setup) spoil {
			return func(c map[string]any) { slot(c, "wage-bank", "2026-05")["s"] = slot(c, "wage-bank", "2026-06")["s"] }
		}, want: wallet.ErrPlan, says: "the secret of another slot"},
		{name: "another's delivery proof", actor: "employer-A", spoil: func(s *setup) spoil {
			return func(c map[string]any) { c["delivery_proof"] = issuertest.NewWorker(t).Proof(t) }
		}, says: "delivery proof"},
		{name: "own proof for another registry", actor: "employer-A", spoil: func(s *setup) spoil {
			w, err := wallet.Create(ctx, s.config(store.NewMemory()), "other.example", s.Anchor.Public())
			if err != nil {
				t.Fatal(err)
			}
			proof, _ := w.DeliveryProof()
			return func(c map[string]any) { c["delivery_proof"] = proof }
		}, says: "delivery proof"},
		{name: "a disclosure missing", actor: "employer-A", cut: true, want: wallet.ErrIncomplete},
		{name: "not logged", actor: "employer-A", unseen: true, want: wallet.ErrNotLogged},
		{name: "other secrets than an earlier one of its contract", actor: "employer-A", spoil: func(s *setup) spoil {
			earlier := s.Claims(s.compact)["contract_hash"]
			return func(c map[string]any) { c["contract_hash"] = earlier }
		}, want: wallet.ErrFollows},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t)
			change := func(map[string]any) {}
			if c.spoil != nil {
				change = c.spoil(s)
			}
			compact := s.ForgeEngagement(c.actor, s.compact, func(claims map[string]any) {
				claims["contract_hash"] = registry.Hash{1}.String() // a contract of its own, in which it follows no other
				change(claims)
			})
			if !c.unseen {
				s.logEngagement(c.actor, compact)
			}
			if c.cut {
				compact = compact[:strings.LastIndexByte(compact[:len(compact)-1], '~')+1]
			}
			it, err := s.wallet.Receive(ctx, compact)
			if c.want == nil && c.says == "" {
				if err != nil || it.Index == nil || *it.Index == 1 {
					t.Fatalf("the unspoilt one: %v", err)
				}
				return
			}
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v %q", err, c.want, c.says)
			}
			if len(s.list()) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// logEngagement writes an engagement into its contract's ladder, above what stands there.
func (s *setup) logEngagement(actor, compact string) {
	s.t.Helper()
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(s.Claims(compact)["contract_hash"].(string))); err != nil {
		s.t.Fatal(err)
	}
	jwt, _, _ := strings.Cut(compact, "~")
	writer := s.Orgs[actor].ID
	for n := range registry.MaxRungs {
		secret := registry.EngagementSecret(contract, n)
		if _, taken := s.Registry.Entries()[registry.KeyOf(writer, secret.Find())]; !taken {
			s.Registry.Put(writer, s.Seal(writer, secret, jwt, nil, keys.Public{}))
			return
		}
	}
}

func TestAltered(t *testing.T) {
	s := newSetup(t)
	jwt, rest, _ := strings.Cut(s.compact, "~")
	for name, compact := range map[string]string{
		"signature":   jwt[:len(jwt)-4] + "AAAA~" + rest,
		"no tilde":    jwt,
		"nothing":     "",
		"key binding": s.compact + "a.b.c",
	} {
		if _, err := s.wallet.Receive(ctx, compact); err == nil {
			t.Errorf("%s: received", name)
		}
	}
}

func TestTrustListNeverGoesBack(t *testing.T) {
	s := newSetup(t)
	s.Publish()
	if _, err := s.wallet.Receive(ctx, s.compact); err != nil {
		t.Fatal(err)
	}
	lists := s.Registry.Lists
	s.Registry.Lists = lists[:1]
	if _, err := s.wallet.Receive(ctx, s.compact); !errors.Is(err, wallet.ErrOldTrustList) {
		t.Errorf("an older list: %v, want %v", err, wallet.ErrOldTrustList)
	}
	s.reopen()
	if _, err := s.wallet.Sync(ctx); !errors.Is(err, wallet.ErrOldTrustList) {
		t.Errorf("an older list after opening again: %v, want %v", err, wallet.ErrOldTrustList)
	}
	s.Clock.Set(s.Clock.Now().Add(time.Hour))
	s.Publish() // another version 2
	if _, err := s.wallet.Sync(ctx); !errors.Is(err, wallet.ErrOldTrustList) {
		t.Errorf("another history: %v, want %v", err, wallet.ErrOldTrustList)
	}
	s.Registry.Lists = nil
	if _, err := s.wallet.Sync(ctx); err == nil {
		t.Error("no list at all was taken")
	}
	other := newSetup(t)
	s.Registry.Lists = other.Registry.Lists
	if _, err := s.wallet.Sync(ctx); err == nil {
		t.Error("another anchor's list was taken")
	}
	s.Registry.Lists = lists
	s.sync()
}

func TestSync(t *testing.T) {
	s := received(t)
	w := s.enrol(t, "bank", "9999-999-0000001")
	s.enrol(t, "supporter", "S-2510-01")
	if len(w.Attestations)+len(w.Statements) != 0 {
		t.Error("an enrolment shows more than the engagement")
	}
	want := []string{
		s.importFile("payroll/A-2026-03.csv", issuer.Options{}).Rows[0].ID,
		s.importFile("payroll/A-2026-04.csv", issuer.Options{}).Rows[0].ID,
		s.importFile("payroll/A-2026-04-correction.csv", issuer.Options{}).Rows[0].ID,
		s.importFile("bank/A-2026-04.txt", issuer.Options{}).Rows[0].ID,
		s.importFile("interviews/2026-Q1-as-of-2026-03-08.csv", issuer.Options{}).Rows[0].ID,
		s.importFile("interviews/2026-Q1-as-of-2026-03-08.csv", issuer.Options{}).Rows[1].ID,
		s.importFile("notices/A-P-01.csv", issuer.Options{}).Rows[0].ID,
	}
	report := s.sync()
	var got []string
	for _, it := range report.New {
		got = append(got, it.ID)
		if !it.Complete || it.Index == nil || it.Engagement != s.engagement || it.Stream == "" || it.Period == "" {
			t.Errorf("%+v", it)
		}
		checkStored(t, s, it)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || report.Incomplete != 0 || len(report.Junk) != 0 || len(report.Unavailable) != 0 {
		t.Errorf("got %d new, %+v; want %d", len(got), report, len(want))
	}
	s.reopen()
	s.Registry.Lookups = nil
	again := s.sync()
	if len(again.New) != 0 || len(s.list()) != len(want)+1 {
		t.Errorf("a second sync found %d, the wallet holds %d", len(again.New), len(s.list()))
	}
	if slices.Contains(s.Registry.Lookups, s.key(attestation.WageEmployer, "2026-04", 0)) || !slices.Contains(s.Registry.Lookups, s.key(attestation.WageEmployer, "2026-04", 2)) {
		t.Error("the second sync does not begin after what it holds")
	}
}

// checkStored checks that what the wallet says of an item is what its issuer signed.
func checkStored(t *testing.T, s *setup, it wallet.Item) {
	t.Helper()
	want, err := json.Marshal(s.Claims(it.SDJWT))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, it.Claims) {
		t.Errorf("%s: stored claims differ from the signed ones", it.ID)
	}
}

// enrol enrols worker A with an organization through the wallet.
func (s *setup) enrol(t testing.TB, actor, reference string) *presentation {
	t.Helper()
	o := s.Orgs[actor]
	p, err := s.wallet.Present(ctx, wallet.PresentOptions{Audience: o.Issuer, Nonce: issuer.EnrolNonce, Show: show(o.Role)})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Issuer.Enrol(ctx, o.ID, reference, data, s.Registry.List); err != nil {
		t.Fatal(err)
	}
	return p
}

func show(role attestation.Role) []string { return issuertest.StreamsOf(role) }

// TestWhatIsNoAttestation: junk is told once, is never asked for again, and does not stop the ladder.
func TestWhatIsNoAttestation(t *testing.T) {
	s := received(t)
	employer := s.Orgs["employer-A"].ID
	sign := func(actor string, spoil func(map[string]any)) string {
		claims := s.wagePayment()
		spoil(claims)
		return s.Sign(actor, claims)
	}
	for name, put := range map[string]func(j int){
		"octets that do not open": func(j int) {
			s.Registry.Put(employer, registry.Record{X: s.secret(attestation.WageEmployer, "2026-05", j).Find(), A: make([]byte, 12+4096+16), B: []byte{}})
		},
		"another engagement": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, sign("employer-A", func(c map[string]any) { c["engagement"] = registry.HashOf([]byte("x")).String() }), keys.Public{})
		},
		"another type": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, s.Sign("employer-A", map[string]any{
				"vct": attestation.TypeSeparation.VCT(), "iss": s.Orgs["employer-A"].Issuer, "iat": 1779926400, "cnf": map[string]any{"jwk": s.wallet.PublicJWK()},
				"engagement": s.engagement, "end_date": "2026-05-31"}), keys.Public{})
		},
		"a stranger": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, sign("employer-B", func(c map[string]any) { c["iss"] = s.Orgs["employer-B"].Issuer }), keys.Public{})
		},
		"not accredited for the type": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, sign("bank", func(c map[string]any) { c["iss"] = s.Orgs["bank"].Issuer }), keys.Public{})
		},
		"another's key": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, sign("employer-A", func(c map[string]any) {
				c["cnf"] = map[string]any{"jwk": issuertest.Key(t).Public().JWK()}
			}), keys.Public{})
		},
		"a broken claim": func(j int) {
			s.put(attestation.WageEmployer, "2026-05", j, sign("employer-A", func(c map[string]any) { c["kind"] = "gift" }), keys.Public{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := 0
			for s.Registry.Entries()[s.key(attestation.WageEmployer, "2026-05", j)].Value != (registry.Value{}) {
				j++
			}
			put(j)
			report := s.sync()
			if len(report.New) != 0 || !slices.Equal(report.Junk, []string{"wage-employer 2026-05 0" + string(rune('0'+j))}) {
				t.Errorf("%+v", report)
			}
			s.Registry.Lookups = nil
			if again := s.sync(); len(again.Junk) != 0 || slices.Contains(s.Registry.Lookups, s.key(attestation.WageEmployer, "2026-05", j)) {
				t.Errorf("junk is read again: %+v", again)
			}
		})
	}
	s.importFile("payroll/A-2026-05.csv", issuer.Options{})
	if report := s.sync(); len(report.New) != 1 || report.New[0].J != 7 {
		t.Errorf("after the junk: %+v", report)
	}
}

// TestIncomplete: without its disclosures an attestation is kept, and completed with the issuer's file.
func TestIncomplete(t *testing.T) {
	for name, delivery := range map[string]keys.Public{"B empty": {}, "B for another key": issuertest.Key(t).Public()} {
		t.Run(name, func(t *testing.T) {
			s := received(t)
			compact := s.Sign("employer-A", s.wagePayment())
			s.put(attestation.WageEmployer, "2026-05", 0, compact, delivery)
			report := s.sync()
			if len(report.New) != 1 || report.Incomplete != 1 || report.New[0].Complete || bytes.Contains(report.New[0].Claims, []byte("212000")) {
				t.Fatalf("%+v", report)
			}
			if again := s.sync(); len(again.New) != 0 {
				t.Errorf("found again: %+v", again)
			}
			it, err := s.wallet.Receive(ctx, compact)
			if err != nil || !it.Complete || !bytes.Contains(it.Claims, []byte(`"net":212000`)) || *it.Index != *report.New[0].Index {
				t.Errorf("%+v, %v", it, err)
			}
			jwt, _, _ := strings.Cut(compact, "~")
			if it, err := s.wallet.Receive(ctx, jwt+"~"); err != nil || !it.Complete || it.SDJWT != compact {
				t.Errorf("a poorer copy takes something away: %v", err)
			}
		})
	}
	s := received(t)
	if _, err := s.wallet.Receive(ctx, s.Sign("employer-A", s.wagePayment())); !errors.Is(err, wallet.ErrNotLogged) {
		t.Errorf("an attestation off the log: %v, want %v", err, wallet.ErrNotLogged)
	}
}

// TestWithheld: what the registry does not give is neither junk nor forgotten.
func TestWithheld(t *testing.T) {
	for _, c := range []struct {
		name        string
		alter       func(*registry.MemberProof)
		new         int
		unavailable bool
		later       int
	}{
		{"no A", func(m *registry.MemberProof) { m.A = nil }, 0, true, 1},
		{"A altered", func(m *registry.MemberProof) { m.A = slices.Clone(m.A); m.A[20] ^= 1 }, 0, true, 1},
		{"no B", func(m *registry.MemberProof) { m.B = nil }, 1, false, 1},
		{"B altered", func(m *registry.MemberProof) { m.B = registry.Bytes("a.b.c.d.e") }, 1, false, 1},
		{"erased", func(m *registry.MemberProof) { m.A, m.B, m.Erased = nil, nil, true }, 0, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := received(t)
			s.importFile("payroll/A-2026-05.csv", issuer.Options{})
			s.Registry.Alter = func(_ registry.Key, m *registry.MemberProof) { c.alter(m) }
			for n, want := range []int{c.new, 0} {
				report := s.sync()
				if len(report.New) != want || report.Incomplete != want || (len(report.Unavailable) == 1) != c.unavailable {
					t.Errorf("sync %d: %+v", n, report)
				}
			}
			s.Registry.Alter = nil
			report := s.sync()
			if len(report.New) != c.later || report.Incomplete != 0 {
				t.Errorf("later: %+v", report)
			}
			if again := s.sync(); len(again.New) != 0 || len(s.list()) != 1+c.later {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// TestTheListOfTheTimeCounts: what an organization attested while it was listed stays, also for a wallet that reads it only later.
func TestTheListOfTheTimeCounts(t *testing.T) {
	s := received(t)
	s.importFile("payroll/A-2026-05.csv", issuer.Options{})
	for _, e := range s.Entities {
		if e.ID == s.Orgs["employer-A"].ID {
			e.Until, e.Keys = attestation.DateOf(s.Clock.Now()), []json.RawMessage{issuertest.Key(t).Public().JWK()}
		}
	}
	s.Publish()
	s.Clock.Set(s.Clock.Now().AddDate(1, 0, 0))
	if report := s.sync(); len(report.New) != 1 {
		t.Errorf("%+v", report)
	}
}

func TestSyncSaysWhatFails(t *testing.T) {
	s := received(t)
	down := errors.New("down")
	s.Registry.BeforeLookup = func([]registry.Key) error { return down }
	if _, err := s.wallet.Sync(ctx); !errors.Is(err, down) {
		t.Errorf("%v, want %v", err, down)
	}
}

// statements are one of each kind.
func statements() []attestation.WorkerStatement {
	text, filed := "text", attestation.NewDate(2026, time.May, 27)
	about := &attestation.About{Stream: attestation.WageEmployer, Period: "2026-05"}
	of := func(kind string, s attestation.WorkerStatement) attestation.WorkerStatement {
		s.Kind, s.Date = &kind, attestation.NewDate(2026, time.May, 28)
		return s
	}
	return []attestation.WorkerStatement{
		of(attestation.StatementUnpaid, attestation.WorkerStatement{About: about, Text: &text}),
		of(attestation.StatementAccept, attestation.WorkerStatement{About: about}),
		of(attestation.StatementDemand, attestation.WorkerStatement{About: about, Text: &text, Addressee: &text, Amounts: map[string]int64{"wage": 212000}}),
		of(attestation.StatementEnded, attestation.WorkerStatement{About: &attestation.About{EndDate: filed, ReasonClass: attestation.ReasonEmployer}}),
		of(attestation.StatementFiled, attestation.WorkerStatement{About: &attestation.About{Obligation: "H-01", EventDate: filed}, FiledDate: &filed, ReferenceNumber: &text}),
		of(attestation.StatementJobSearch, attestation.WorkerStatement{Text: &text}),
	}
}

func TestStatements(t *testing.T) {
	s := received(t)
	visible := map[string]bool{attestation.StatementAccept: true, attestation.StatementRetract: true, attestation.StatementFiled: true}
	for _, claims := range statements() {
		n := s.Registry.Size()
		it, err := s.wallet.State(ctx, "", claims)
		if err != nil {
			t.Fatalf("%s: %v", *claims.Kind, err)
		}
		if it.Index == nil || *it.Index != n || s.Registry.Size() != n+1 || it.Engagement != s.engagement || !it.Complete {
			t.Errorf("%s: %+v", *claims.Kind, it)
		}
		u, err := sdjwt.Parse(it.SDJWT)
		if err != nil {
			t.Fatal(err)
		}
		holder, err := keys.ParsePublic(s.wallet.PublicJWK())
		if err != nil {
			t.Fatal(err)
		}
		v, err := u.Verify(holder, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}, VCT: []string{attestation.TypeWorkerStatement.VCT()}, Now: s.Clock.Now()})
		if err != nil {
			t.Fatal(err)
		}
		var bare map[string]any
		if err := json.Unmarshal(v.Payload, &bare); err != nil {
			t.Fatal(err)
		}
		for name := range bare {
			allowed := []string{"vct", "iat", "engagement", "date", "_sd", "_sd_alg"}
			if !slices.Contains(allowed, name) && !(name == "kind" && visible[*claims.Kind]) {
				t.Errorf("%s: %s is visible", *claims.Kind, name)
			}
		}
		if _, shown := bare["kind"]; shown != visible[*claims.Kind] {
			t.Errorf("%s: kind visible %v", *claims.Kind, shown)
		}
		got, err := attestation.Decode(attestation.TypeWorkerStatement.VCT(), v.Claims)
		claims.Engagement = s.engagement
		if err != nil || !reflect.DeepEqual(got, &claims) {
			t.Errorf("%s: %+v, %v", *claims.Kind, got, err)
		}
		if h := u.Header(); h.Kid != holder.Thumbprint() || h.X5C != nil {
			t.Errorf("%s: header %+v", *claims.Kind, h)
		}
		checkSealed(t, s, it)
	}
	if _, err := s.wallet.State(ctx, "x", statements()[0]); !errors.Is(err, wallet.ErrUnknownID) {
		t.Errorf("about an engagement that is not there: %v", err)
	}
	kind := "gossip"
	if _, err := s.wallet.State(ctx, "", attestation.WorkerStatement{Kind: &kind, Date: attestation.NewDate(2026, time.May, 28)}); err == nil {
		t.Error("a statement of no kind was signed")
	}
}

// checkSealed opens the statement's entry from the statement alone.
func checkSealed(t *testing.T, s *setup, it *wallet.Item) {
	t.Helper()
	jwt, _, _ := strings.Cut(it.SDJWT, "~")
	secret := registry.StatementSecret(jwt)
	key := registry.KeyOf(string(attestation.Worker), secret.Find())
	m := s.Registry.Entries()[key]
	if got, err := registry.OpenA(secret, key, m.A); err != nil || got != jwt || len(m.B) != 0 {
		t.Errorf("the entry does not hold the statement: %v", err)
	}
}

func TestStatementWaitsForTheRegistry(t *testing.T) {
	s := received(t)
	down := errors.New("down")
	var tried []registry.Record
	s.Registry.Before = func(req registry.SubmitRequest) error {
		tried = append(tried, req.Records...)
		return down
	}
	it, err := s.wallet.State(ctx, "", statements()[0])
	if !errors.Is(err, down) || it == nil || it.Index != nil {
		t.Fatalf("%+v, %v", it, err)
	}
	if report, err := s.wallet.Sync(ctx); !errors.Is(err, down) || report.Sent != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	s.Registry.Before, s.Registry.After = nil, func(registry.SubmitRequest) error { return down } // now the answer is lost
	s.reopen()
	if _, err := s.wallet.Sync(ctx); !errors.Is(err, down) {
		t.Error(err)
	}
	s.Registry.After = nil
	if report := s.sync(); report.Sent != 1 {
		t.Errorf("%+v", report)
	}
	got, err := s.wallet.Show(ctx, it.ID)
	if err != nil || got.Index == nil || *got.Index != s.Registry.Size()-1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, req := range s.Registry.Submits[1:] {
		if !reflect.DeepEqual(req.Records[0], tried[0]) {
			t.Error("other octets were sent the second time")
		}
	}
	if report := s.sync(); report.Sent != 0 || s.Registry.Len() != 2 {
		t.Errorf("%+v, %d entries", report, s.Registry.Len())
	}
}

// TestOneStatementDoesNotHoldUpTheOthers: one that is refused stays, the others go.
func TestOneStatementDoesNotHoldUpTheOthers(t *testing.T) {
	s := received(t)
	down := errors.New("down")
	s.Registry.Before = func(registry.SubmitRequest) error { return down }
	for _, c := range statements()[:3] {
		if _, err := s.wallet.State(ctx, "", c); !errors.Is(err, down) {
			t.Fatal(err)
		}
	}
	first := true
	s.Registry.Before = func(registry.SubmitRequest) error {
		if first {
			first = false
			return down
		}
		return nil
	}
	report, err := s.wallet.Sync(ctx)
	if !errors.Is(err, down) || report.Sent != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}
