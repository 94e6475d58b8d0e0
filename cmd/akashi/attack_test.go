package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/testdata/story"
	"akashi/verifier"
	"akashi/wallet"
)

// attackers is the story's whole stack with parties that do not keep to the rules: they use their own keys, and what they know of
// engagement A, as they like. The employer knows every period's secret.
type attackers struct {
	*player
	t       *testing.T
	secrets map[attestation.Stream]map[attestation.Period]attestation.Slot
	cnf     json.RawMessage
}

// newAttackers plays the story to the day on which engagement A begins.
func newAttackers(t *testing.T) *attackers {
	p := startStory(t)
	for _, it := range story.Timeline() {
		if it.At.Before(jst(2025, time.November, 1, 0)) && it.Engagement == "A" {
			if err := errors.Join(p.advance(t.Context(), it.At), p.step(t.Context(), it, nil, nil)); err != nil {
				t.Fatal(storyError(it, err))
			}
		}
	}
	a := &attackers{player: p, t: t}
	w := p.workers["A"]
	item := must(w.wallet.Show(t.Context(), w.engagement))(t)
	a.secrets = must(decode[attestation.Engagement](item.Claims))(t).Slots
	a.cnf = w.wallet.PublicJWK()
	return a
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func jst(year int, month time.Month, day, hour int) time.Time {
	return time.Date(year, month, day, hour, 0, 0, 0, attestation.JST)
}

// at moves the clock to an hour of a day.
func (a *attackers) at(year int, month time.Month, day, hour int) {
	a.t.Helper()
	if err := a.advance(a.t.Context(), jst(year, month, day, hour)); err != nil {
		a.t.Fatal(err)
	}
}

// sign issues a credential with the key of a party.
func (a *attackers) sign(actor string, typ attestation.Type, claims map[string]any) string {
	a.t.Helper()
	org := must(a.in.issuer.Org(a.t.Context(), a.parties[actor].ID))(a.t)
	key := must(keys.ParsePrivate(org.Signing))(a.t)
	all := map[string]any{
		"vct": typ.VCT(), "iss": org.Issuer, "iat": a.clock.now().Unix(), "cnf": map[string]any{"jwk": a.cnf}, "engagement": a.workers["A"].engagement,
	}
	maps.Copy(all, claims)
	return must(sdjwt.Issue(key, keys.Header{"kid": key.Public().Thumbprint()}, all, sdjwt.Options{}))(a.t)
}

// wage signs the record of a whole wage.
func (a *attackers) wage(actor string, p attestation.Period, paid string, change map[string]any) string {
	claims := map[string]any{
		"period": string(p), "from": p.First().String(), "to": p.Last().String(), "kind": "regular", "paid_date": paid, "method": "transfer",
		"declared_in_full": true, "ledger_row_hash": registry.Hash{1}.String(), "net": sdjwt.Hidden(212000),
	}
	maps.Copy(claims, change)
	return a.sign(actor, attestation.TypeWagePayment, claims)
}

// seal puts octets into a box for rung j of a slot, under a writer's name.
func (a *attackers) seal(writer string, s attestation.Stream, p attestation.Period, j int, jwt string) registry.Record {
	a.t.Helper()
	var period registry.Secret
	if err := period.UnmarshalText([]byte(*a.secrets[s][p].S)); err != nil {
		a.t.Fatal(err)
	}
	secret := registry.SlotSecret(period, j)
	box := must(registry.SealA(rand.Reader, secret, registry.KeyOf(writer, secret.Find()), jwt))(a.t)
	return registry.Record{X: secret.Find(), A: box, B: registry.Bytes{}}
}

// submit sends records with a party's submission key under a writer's name.
func (a *attackers) submit(actor, writer string, records ...registry.Record) error {
	a.t.Helper()
	id := a.parties[actor].ID
	org := must(a.in.issuer.Org(a.t.Context(), id))(a.t)
	key := must(keys.ParsePrivate(org.Submission))(a.t)
	jwt := must(registry.MakeSubmission(key, id, a.in.cfg.Registry.Origin, records, writer, a.clock.now()))(a.t)
	_, err := a.client().Submit(a.t.Context(), registry.SubmitRequest{Submission: jwt, Records: records})
	return err
}

// log writes a credential of a party to rung j of a slot, as that party.
func (a *attackers) log(actor string, s attestation.Stream, p attestation.Period, j int, compact string) {
	a.t.Helper()
	jwt, _, _ := strings.Cut(compact, "~")
	writer := registry.WriterFor(a.parties[actor].Role, a.parties[actor].ID)
	if err := a.submit(actor, writer, a.seal(writer, s, p, j, jwt)); err != nil {
		a.t.Fatal(err)
	}
}

// engage writes an engagement to rung n of a contract's ladder.
func (a *attackers) engage(actor string, contract registry.Hash, n int, compact string) {
	a.t.Helper()
	writer, secret := a.parties[actor].ID, registry.EngagementSecret(contract, n)
	jwt, _, _ := strings.Cut(compact, "~")
	box := must(registry.SealA(rand.Reader, secret, registry.KeyOf(writer, secret.Find()), jwt))(a.t)
	if err := a.submit(actor, writer, registry.Record{X: secret.Find(), A: box, B: registry.Bytes{}}); err != nil {
		a.t.Fatal(err)
	}
}

// judge lets the worker present everything and returns the assessment of the year.
func (a *attackers) judge() (*evidence.File, *compliance.Assessment) {
	a.t.Helper()
	if err := a.audited(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	f, r, err := a.assess(a.t.Context(), "A")
	if err != nil {
		a.t.Fatal(err)
	}
	if r.Result != compliance.Pass {
		a.t.Fatalf("got %v: %+v", r.Result, r.Checks)
	}
	return f, r.Assessment
}

// TestAttacksOnWages gives each month of the year to one attack on the record of its wage and judges them together.
func TestAttacksOnWages(t *testing.T) {
	a := newAttackers(t)
	const employer, pay = "employer-A", attestation.WageEmployer
	own := a.parties[employer].ID

	// Signed, and not logged: handed to the worker instead.
	a.at(2025, time.November, 25, 18)
	offLog := a.wage(employer, "2025-11", "2025-11-25", nil)

	// In another month's slot; the right record of that month goes one rung higher.
	a.at(2025, time.December, 25, 18)
	a.log(employer, pay, "2026-01", 0, a.wage(employer, "2025-12", "2025-12-25", nil))
	a.at(2026, time.January, 23, 18)
	a.log(employer, pay, "2026-01", 1, a.wage(employer, "2026-01", "2026-01-23", nil))

	// Logged two weeks before the day on which it says it was paid.
	a.at(2026, time.February, 10, 18)
	a.log(employer, pay, "2026-02", 0, a.wage(employer, "2026-02", "2026-02-25", nil))

	// Ahead of a gap, which is filled long after.
	a.at(2026, time.March, 25, 18)
	a.log(employer, pay, "2026-03", 1, a.wage(employer, "2026-03", "2026-03-25", nil))

	// A placeholder in time, "corrected" after grace; and a plain record of after grace, dated back.
	a.at(2026, time.April, 24, 18)
	placeholder := a.wage(employer, "2026-04", "2026-04-24", map[string]any{"kind": "part", "declared_in_full": false, "net": sdjwt.Hidden(1)})
	a.log(employer, pay, "2026-04", 0, placeholder)

	// A stranger with the right role: employer B, in its own name, in A's name, and in the name of the bank. The supporter tries the bank's slot.
	a.at(2026, time.May, 25, 18)
	foreign := a.wage("employer-B", "2026-05", "2026-05-25", nil)
	a.log("employer-B", pay, "2026-05", 0, foreign)
	receipt := a.sign("supporter", attestation.TypeWageReceipt, map[string]any{"period": "2026-05", "value_date": "2026-05-25", "source": "account-statement"})
	for _, try := range []struct{ actor, writer string }{{"employer-B", own}, {"employer-B", "bank"}, {"supporter", "bank"}, {employer, "bank"}, {employer, "worker"}} {
		stream := attestation.WageBank
		if try.writer == own {
			stream = pay
		}
		jwt, _, _ := strings.Cut(receipt, "~")
		var problem *registry.Problem
		if err := a.submit(try.actor, try.writer, a.seal(try.writer, stream, "2026-05", 0, jwt)); !errors.As(err, &problem) {
			t.Errorf("%s writes as %s: got %v, want it refused", try.actor, try.writer, err)
		}
	}

	a.at(2026, time.August, 20, 9)
	a.log(employer, pay, "2026-03", 0, a.wage(employer, "2026-03", "2026-03-25", nil))
	a.log(employer, pay, "2026-04", 1, a.wage(employer, "2026-04", "2026-04-24", map[string]any{"supersedes": idOf(t, placeholder)}))
	a.log(employer, pay, "2026-06", 0, a.wage(employer, "2026-06", "2026-06-25", map[string]any{"iat": jst(2026, time.June, 25, 9).Unix()}))

	// Junk first, the record after it; and junk alone.
	a.log(employer, pay, "2026-08", 0, "junk~")
	a.log(employer, pay, "2026-07", 0, "junk~")
	a.at(2026, time.August, 25, 18)
	a.log(employer, pay, "2026-08", 1, a.wage(employer, "2026-08", "2026-08-25", nil))

	if _, err := a.workers["A"].wallet.Receive(t.Context(), offLog); !errors.Is(err, wallet.ErrNotLogged) {
		t.Errorf("a credential that is not logged: the wallet says %v, want %v", err, wallet.ErrNotLogged)
	}
	a.at(2026, time.November, 20, 9)
	f, got := a.judge()
	for _, want := range []struct{ period, finding, why string }{
		{"2025-11", "absent", "an attestation signed but not logged counts for nothing"},
		{"2025-12", "absent", "in the wrong slot it counts for nothing"},
		{"2026-01", "fulfilled", "and blocks nothing"},
		{"2026-02", "absent", "a wage logged before it is paid is junk"},
		{"2026-03", "attested_late", "a rung ahead of a gap gains no early time"},
		{"2026-04", "short", "a partial record corrected after grace does not become fulfilled"},
		{"2026-05", "absent", "an accredited stranger fills no slot"},
		{"2026-06", "attested_late", "the issuer's own dates prove no time"},
		{"2026-07", "absent", "junk fulfils nothing"},
		{"2026-08", "fulfilled", "junk blocks nothing"},
		{"2026-09", "absent", "nothing was recorded"},
	} {
		if d := wageDuty(got, want.period); d == nil || d.Finding.String() != want.finding {
			t.Errorf("%s: got %+v, want %s: %s", want.period, d, want.finding, want.why)
		}
	}
	verifyLater(t, a.player, must(f.Marshal())(t), got)
}

func wageDuty(a *compliance.Assessment, period string) *compliance.DutyFinding {
	for i := range a.Findings {
		if f := &a.Findings[i]; f.Obligation == "W-05" && f.Period == period {
			return f
		}
	}
	return nil
}

func idOf(t *testing.T, compact string) string {
	jwt, _, _ := strings.Cut(compact, "~")
	return must(keys.ID(jwt))(t)
}

// TestAttacksOnEngagements has the employer make engagements that it could later turn against the worker.
func TestAttacksOnEngagements(t *testing.T) {
	a := newAttackers(t)
	const employer = "employer-A"
	w := a.workers["A"]
	item := must(w.wallet.Show(t.Context(), w.engagement))(t)
	old := must(sdjwt.Parse(item.SDJWT))(t)
	var payload map[string]any
	if err := keys.DecodeJSON(old.UnverifiedPayload(), &payload); err != nil {
		t.Fatal(err)
	}
	again := func(change func(map[string]any)) string {
		copied := map[string]any{}
		if err := json.Unmarshal(old.UnverifiedPayload(), &copied); err != nil {
			t.Fatal(err)
		}
		change(copied)
		org := must(a.in.issuer.Org(t.Context(), a.parties[employer].ID))(t)
		key := must(keys.ParsePrivate(org.Signing))(t)
		jwt := must(key.Sign(keys.Header{"typ": sdjwt.Typ, "kid": key.Public().Thumbprint()}, must(json.Marshal(copied))(t)))(t)
		_, disclosures, _ := strings.Cut(item.SDJWT, "~")
		return jwt + "~" + disclosures
	}
	slotOf := func(p map[string]any) map[string]any {
		return p["slots"].(map[string]any)["wage-bank"].(map[string]any)["2026-05"].(map[string]any)
	}
	for name, compact := range map[string]string{
		"two secrets for one slot": again(func(p map[string]any) { slotOf(p)["_sd"] = append(slotOf(p)["_sd"].([]any), registry.Hash{1}.String()) }),
		"a slot missing":           again(func(p map[string]any) { delete(p["slots"].(map[string]any)["wage-bank"].(map[string]any), "2026-05") }),
		"not logged":               again(func(p map[string]any) { p["iat"] = 1 }),
		"another registry":         again(func(p map[string]any) { p["registry"] = "registry.example/log" }),
	} {
		if _, err := w.wallet.Receive(t.Context(), compact); err == nil {
			t.Errorf("%s: the wallet takes the engagement", name)
		}
	}

	// Before it gives the worker an engagement, the employer logs another one of the same contract with another pay day.
	var other registry.Hash
	_, _ = rand.Read(other[:])
	trap := again(func(p map[string]any) { p["contract_hash"], p["pay_day"] = other.String(), 31 })
	given := again(func(p map[string]any) { p["contract_hash"] = other.String() })
	a.engage(employer, other, 0, trap)
	a.engage(employer, other, 1, given)
	if err := a.audited(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.wallet.Receive(t.Context(), given); !errors.Is(err, wallet.ErrFollows) {
		t.Errorf("an engagement that may not follow the one below it: the wallet says %v, want %v", err, wallet.ErrFollows)
	}

	// A delivery key of the employer's own: the proof is not the worker's.
	thief := must(keys.Generate(keys.ES256))(t)
	proof := must(registry.MakeDeliveryProof(thief, thief.Public(), a.in.cfg.Registry.Origin))(t)
	sheet := must(story.File("engagement/A.csv"))(t)
	filled := story.FillEngagement([]byte(strings.Replace(string(sheet), "1042", "4711", 1)), string(w.wallet.PublicJWK()), proof)
	resp := must(a.in.admin().Import(t.Context(), importRequest{Org: a.parties[employer].ID, Type: attestation.TypeEngagement, Name: "A.csv", Data: filled}))(t)
	if resp.Report.OK() {
		t.Error("an engagement was issued that delivers to a key which its holder did not announce")
	}

	// Nothing is paid, and at the end of the year the employer logs a second engagement of the contract, by which it had ended at once.
	a.at(2026, time.November, 19, 9)
	late := again(func(p map[string]any) { p["end"], p["supersedes"] = "2025-11-02", item.ID })
	var contract registry.Hash
	if err := contract.UnmarshalText([]byte(payload["contract_hash"].(string))); err != nil {
		t.Fatal(err)
	}
	a.engage(employer, contract, 1, late)
	a.at(2026, time.November, 20, 9)
	_, got := a.judge()
	for _, p := range []string{"2025-11", "2026-05", "2026-09"} {
		if d := wageDuty(got, p); d == nil || d.Finding != compliance.Absent {
			t.Errorf("%s: got %+v, want absent whatever the employer says afterwards", p, d)
		}
	}
}

// TestAttacksWithStolenKeys uses a key after the trust list says that it was stolen, and replays the list from before.
func TestAttacksWithStolenKeys(t *testing.T) {
	a := newAttackers(t)
	const employer = "employer-A"
	a.at(2025, time.November, 25, 18)
	a.log(employer, attestation.WageEmployer, "2025-11", 0, a.wage(employer, "2025-11", "2025-11-25", nil))

	old := must(a.in.cfg.latestTrustList())(t)
	org := must(a.in.issuer.Org(t.Context(), a.parties[employer].ID))(t)
	stolen := must(keys.ParsePrivate(org.Signing))(t).Public().Thumbprint()
	a.at(2025, time.December, 1, 9)
	var entities []*trustlist.Entity
	for _, e := range old.Entities {
		copied := *e
		if e.ID == org.ID {
			copied.Compromised = []trustlist.Compromise{{Kid: stolen, Since: a.clock.now()}}
		}
		entities = append(entities, &copied)
	}
	anchor := must(keys.ParsePrivate(must(os.ReadFile(a.in.cfg.path(fileAnchorKey)))(t)))(t)
	next := must(trustlist.Sign(anchor, old.N+1, a.clock.now(), entities))(t)
	if err := a.in.registry.AddTrustList(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	a.at(2025, time.December, 25, 18)
	a.log(employer, attestation.WageEmployer, "2025-12", 0, a.wage(employer, "2025-12", "2025-12-25", nil))
	// Replayed, the old list changes nothing: it is refused, or found in its own place.
	if err := a.in.registry.AddTrustList(t.Context(), old.JWT); err != nil {
		t.Logf("the old list again: %v", err)
	}
	if latest := must(a.client().TrustList(t.Context(), 0))(t); latest.JWT != next {
		t.Error("the old list is in force again")
	}

	a.at(2026, time.November, 20, 9)
	f, got := a.judge()
	if d := wageDuty(got, "2025-11"); d == nil || d.Finding != compliance.Fulfilled {
		t.Errorf("logged before the key was stolen: got %+v, want fulfilled", d)
	}
	if d := wageDuty(got, "2025-12"); d == nil || d.Finding != compliance.Unknown {
		t.Errorf("logged by the thief: got %+v, want unknown, which is neither a payment nor a gap", d)
	}
	trust := must(a.in.cfg.trust())(t)
	f.TrustLists = f.TrustLists[:len(f.TrustLists)-1]
	if r := evidence.Verify(f, trust, evidence.Options{}); r.Result != compliance.Fail {
		t.Errorf("a file with the list from before: got %v, want fail", r.Result)
	}
}

// TestAttacksOnNotices puts junk before the notice of the contract's end: it blocks nothing, and fulfils nothing.
func TestAttacksOnNotices(t *testing.T) {
	a := newAttackers(t)
	const employer = "employer-A"
	w := a.workers["A"]
	kind := attestation.StatementEnded
	a.at(2026, time.September, 30, 20)
	end := attestation.NewDate(2026, time.September, 30)
	if _, err := w.wallet.State(t.Context(), w.engagement, attestation.WorkerStatement{Date: end, Kind: &kind, About: &attestation.About{EndDate: end, ReasonClass: attestation.ReasonEmployer}}); err != nil {
		t.Fatal(err)
	}
	a.at(2026, time.October, 1, 9)
	a.log(employer, attestation.NoticeEmployer, "events-FY2026", 0, "junk~")
	a.at(2026, time.October, 9, 17)
	a.log(employer, attestation.NoticeEmployer, "events-FY2026", 1, a.sign(employer, attestation.TypeNotificationFiled, map[string]any{
		"obligation": "N-02", "event_date": "2026-09-30", "filed_date": "2026-10-09", "arrived_date": "2026-10-09", "channel": "counter",
	}))
	a.at(2026, time.November, 20, 9)
	_, got := a.judge()
	for _, want := range []struct{ obligation, finding string }{{"N-02", "fulfilled"}, {"N-06", "absent"}} {
		found := ""
		for _, f := range got.Findings {
			if f.Obligation == want.obligation {
				found = f.Finding.String()
			}
		}
		if found != want.finding {
			t.Errorf("%s: got %q, want %s", want.obligation, found, want.finding)
		}
	}
}

// TestWorkerHides lets the worker open less: what is not shown is never a gap.
func TestWorkerHides(t *testing.T) {
	a := newAttackers(t)
	const employer = "employer-A"
	a.at(2025, time.November, 25, 18)
	a.log(employer, attestation.WageEmployer, "2025-11", 0, a.wage(employer, "2025-11", "2025-11-25", nil))
	a.at(2026, time.November, 20, 9)
	_, all := a.judge()
	if d := wageDuty(all, "2025-12"); d == nil || d.Finding != compliance.Absent {
		t.Fatalf("with everything shown: got %+v, want absent", d)
	}
	for _, c := range []struct {
		name   string
		hidden []attestation.Stream
		period string // whose wage is not shown
	}{
		{"the employer's slots", []attestation.Stream{attestation.WageEmployer}, "2025-11"},
		{"the bank's slots", []attestation.Stream{attestation.WageBank}, "2025-12"},
		{"where an end of the contract would stand", []attestation.Stream{attestation.SeparationEmployer}, "2025-12"},
		{"where an authority's would", []attestation.Stream{attestation.SeparationOffice}, "2025-12"},
	} {
		o := wallet.PresentOptions{Engagement: a.workers["A"].engagement, Audience: "https://verifier.example", Nonce: "hides"}
		for _, s := range attestation.Streams {
			if !slices.Contains(c.hidden, s) {
				o.Show = append(o.Show, "slots."+string(s))
			}
		}
		shown := must(a.workers["A"].wallet.Present(t.Context(), o))(t)
		req := verifier.Request{Presentation: *shown, Audience: o.Audience, Nonce: o.Nonce, Now: a.clock.now(), From: storyFrom, To: storyTo}
		_, r, err := verifier.Assess(t.Context(), req, a.client(), must(a.in.cfg.trust())(t))
		if err != nil {
			t.Fatal(err)
		}
		if d := wageDuty(r.Assessment, c.period); d == nil || d.Finding != compliance.Undisclosed {
			t.Errorf("%s: got %+v, want undisclosed", c.name, d)
		}
		if n := r.Assessment.Counts["absent"]; n >= all.Counts["absent"] {
			t.Errorf("%s: %d absences, with everything shown %d", c.name, n, all.Counts["absent"])
		}
	}
}
