package issuer_test

import (
	"context"
	"encoding/json"
	"fmt"
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
	"akashi/schemas"
	"akashi/testdata/story"
)

// period returns the secret of a slot of the worker's engagement.
func period(t testing.TB, w *issuertest.World, p *issuertest.Worker, stream attestation.Stream, period attestation.Period) registry.Secret {
	t.Helper()
	text, ok := engagement(t, w, p).Opened(stream, period)
	if !ok {
		t.Fatalf("%s %s is not in the plan", stream, period)
	}
	var s registry.Secret
	if err := s.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func verify(t testing.TB, w *issuertest.World, compact string) *sdjwt.Verified {
	t.Helper()
	u, err := sdjwt.Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := w.Registry.List.EntityForHeader(u.Header(), w.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}, Now: w.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func engagement(t testing.TB, w *issuertest.World, p *issuertest.Worker) *attestation.Engagement {
	t.Helper()
	e, err := attestation.Decode(attestation.TypeEngagement.VCT(), verify(t, w, p.SDJWT).Claims)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*attestation.Engagement)
}

// rung is an attestation as the worker reads it from the registry.
type rung struct {
	compact  string
	verified *sdjwt.Verified
	claims   any
	header   keys.UnverifiedHeader
}

// ladder opens all rungs of a period with the worker's keys.
func ladder(t testing.TB, w *issuertest.World, p *issuertest.Worker, stream attestation.Stream, per attestation.Period) (rungs []rung) {
	t.Helper()
	e := engagement(t, w, p)
	secret := period(t, w, p, stream, per)
	entries := w.Registry.Entries()
	for j := range registry.MaxRungs {
		s := registry.SlotSecret(secret, j)
		key := registry.KeyOf(registry.WriterOf(stream, e.Employer.ID, e.Support.ID), s.Find())
		m, ok := entries[key]
		if !ok {
			break
		}
		jwt, err := registry.OpenA(s, key, m.A)
		if err != nil {
			rungs = append(rungs, rung{})
			continue
		}
		disclosures, err := registry.OpenB(p.Delivery, key, m.B)
		if err != nil {
			t.Fatal(err)
		}
		r := rung{compact: strings.Join(append([]string{jwt}, disclosures...), "~") + "~"}
		r.verified = verify(t, w, r.compact)
		r.header, err = keys.PeekHeader(jwt)
		if err != nil {
			t.Fatal(err)
		}
		if r.claims, err = attestation.Decode(stream.Type().VCT(), r.verified.Claims); err != nil {
			t.Fatal(err)
		}
		if got := attestation.LinksOf(r.claims).Engagement; got != p.Engagement {
			t.Errorf("%s %s rung %d names engagement %s, want %s", stream, per, j, got, p.Engagement)
		}
		rungs = append(rungs, r)
	}
	return rungs
}

// TestStory imports every file of the story at its time, and finds each attestation where the timeline says.
func TestStory(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	if got, want := w.Registry.Len(), 3; got != want {
		t.Fatalf("%d entries after the engagements, want %d", got, want)
	}
	for _, it := range story.Timeline() {
		w.Clock.Set(it.At)
		switch {
		case it.Action == "enrol" && it.Actor == "authority":
			w.Enrol(it.Actor, it.Reference, workers[it.Engagement])
		case it.Action == "import":
			importItem(t, w, it)
		}
	}
	for name, want := range map[string]string{
		"A": "wage-employer 2025-11:1 2025-12:1 2026-01:1 2026-02:1 2026-03:1 2026-04:2 2026-05:1 2026-06:1 2026-07:1 2026-08:1 2026-09:1 2026-10:1 " +
			"wage-bank 2025-11:1 2025-12:1 2026-01:1 2026-03:1 2026-04:1 2026-05:1 2026-06:1 2026-07:1 2026-08:1 2026-09:1 2026-10:1 " +
			"interview-worker-support 2025-Q4:1 2026-Q1:1 2026-Q2:1 2026-Q3:1 interview-supervisor-support 2025-Q4:1 2026-Q1:1 2026-Q2:1 2026-Q3:1 report-employer FY2025:1",
		"B": "wage-employer 2025-11:1 2025-12:1 2026-01:1 2026-02:1 2026-03:1 2026-04:1 2026-05:1 2026-06:1 " +
			"wage-bank 2025-11:1 2025-12:1 2026-01:1 2026-02:1 2026-03:1 2026-04:1 2026-05:1 " +
			"interview-worker-support 2025-Q4:1 2026-Q1:1 interview-supervisor-support 2025-Q4:1 2026-Q1:1 report-employer FY2025:1 separation-authority events-FY2026:1",
		"C": "wage-employer 2025-11:1 2025-12:1 2026-01:1 2026-02:1 2026-03:1 2026-04:1 2026-05:1 2026-06:1 2026-07:1 2026-08:1 2026-09:1 " +
			"wage-bank 2025-11:1 2025-12:1 2026-01:1 2026-02:1 2026-03:1 2026-04:1 2026-05:1 2026-06:1 2026-07:1 2026-08:1 2026-09:1 " +
			"interview-worker-support 2025-Q4:1 2026-Q1:1 2026-Q2:1 2026-Q3:1 interview-supervisor-support 2025-Q4:1 2026-Q1:1 2026-Q2:1 2026-Q3:1 " +
			"report-employer FY2025:1 notice-employer events-FY2026:1 separation-employer events-FY2026:1",
	} {
		if got := filled(t, w, workers[name]); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
	checkCorrection(t, ladder(t, w, workers["A"], attestation.WageEmployer, "2026-04"))
}

func importItem(t *testing.T, w *issuertest.World, it story.Item) {
	t.Helper()
	n := w.Registry.Len()
	report := w.ImportItem(it, issuer.Options{})
	if !report.OK() {
		t.Fatalf("%s: errors %v, rows %+v", it.File, report.Errors, report.Rows)
	}
	if got := w.Registry.Len() - n; got != report.Count(issuer.StatusLogged) {
		t.Errorf("%s: %d entries for %d rows logged", it.File, got, report.Count(issuer.StatusLogged))
	}
	for _, row := range report.Rows {
		if it.Period != "" && row.Status == issuer.StatusLogged && row.Period != it.Period {
			t.Errorf("%s row %d went to %s, want %s", it.File, row.Row, row.Period, it.Period)
		}
	}
	again := w.ImportItem(it, issuer.Options{})
	if !again.OK() || again.Count(issuer.StatusAlready) != len(report.Rows) {
		t.Errorf("%s again: %+v %v", it.File, again.Rows, again.Errors)
	}
	for i, row := range again.Rows {
		if row.ID != report.Rows[i].ID || row.J != report.Rows[i].J || *row.Index != *report.Rows[i].Index {
			t.Errorf("%s again: row %d is another record", it.File, row.Row)
		}
	}
}

// filled lists the slots that have rungs, with their number, in the order of the plan.
func filled(t *testing.T, w *issuertest.World, p *issuertest.Worker) string {
	t.Helper()
	var out []string
	e := engagement(t, w, p)
	for _, s := range attestation.Streams {
		named := false
		for _, per := range attestation.PeriodsBetween(s.Kind(), e.Start, e.End) {
			if n := len(ladder(t, w, p, s, per)); n > 0 {
				if !named {
					out, named = append(out, string(s)), true
				}
				out = append(out, fmt.Sprintf("%s:%d", per, n))
			}
		}
	}
	return strings.Join(out, " ")
}

func checkCorrection(t *testing.T, rungs []rung) {
	t.Helper()
	first, second := rungs[0].claims.(*attestation.WagePayment), rungs[1].claims.(*attestation.WagePayment)
	if first.Hours.Overtime != "80.0" || first.Supersedes != "" || second.Hours.Overtime != "8.0" || second.Supersedes != rungs[0].verified.ID {
		t.Errorf("correction: %+v %q then %+v %q", first.Hours, first.Supersedes, second.Hours, second.Supersedes)
	}
}

// TestWhatIsSigned checks for every type of the story: header, day of iat, holder, and that exactly the claims of the type metadata are
// disclosable.
func TestWhatIsSigned(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	for _, it := range story.Timeline() {
		w.Clock.Set(it.At)
		if it.Action == "import" && it.At.Before(time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC)) && it.Engagement != "B" {
			w.ImportItem(it, issuer.Options{})
		}
	}
	compacts := []string{workers["A"].SDJWT}
	for _, c := range []struct {
		stream attestation.Stream
		period attestation.Period
	}{{attestation.WageEmployer, "2026-05"}, {attestation.WageEmployer, "2026-04"}, {attestation.WageBank, "2026-05"}, {attestation.InterviewWorker, "2026-Q2"}, {attestation.ReportEmployer, "FY2025"}} {
		for _, r := range ladder(t, w, workers["A"], c.stream, c.period) {
			compacts = append(compacts, r.compact)
		}
	}
	for _, r := range ladder(t, w, workers["C"], attestation.SeparationEmployer, "events-FY2026") {
		compacts = append(compacts, r.compact)
	}
	for _, compact := range compacts {
		checkSigned(t, w, compact)
	}
}

func checkSigned(t *testing.T, w *issuertest.World, compact string) {
	t.Helper()
	v := verify(t, w, compact)
	vct, _ := v.Claims["vct"].(string)
	header, err := keys.PeekHeader(v.JWT)
	if err != nil {
		t.Fatal(err)
	}
	entity, key, err := w.Registry.List.EntityForHeader(header, w.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if header.Typ != "dc+sd-jwt" || header.Kid != key.Thumbprint() || len(header.X5C) != 1 || v.Claims["iss"] != entity.Issuer {
		t.Errorf("%s: header typ %q, %d certificates, iss %v", vct, header.Typ, len(header.X5C), v.Claims["iss"])
	}
	iat, err := v.Claims["iat"].(json.Number).Int64()
	if err != nil || iat%86400 != 0 || iat > w.Clock.Now().Unix() {
		t.Errorf("%s: iat %v is no whole day", vct, v.Claims["iat"])
	}
	if v.Holder.IsZero() {
		t.Errorf("%s is bound to no key", vct)
	}
	if err := schemas.Validate(vct, v.ClaimsJSON()); err != nil {
		t.Error(err)
	}
	disclosed := map[string]bool{}
	for _, d := range v.Disclosed {
		path := pathOf(d)
		disclosed[strings.Join(path, ".")] = true
		if sd, ok := schemas.SDOf(vct, path...); !ok || sd == schemas.SDNever {
			t.Errorf("%s: %s is disclosable, the metadata say %q", vct, strings.Join(path, "."), sd)
		}
	}
	leaves(v.Claims, nil, func(path []string) {
		if sd, _ := schemas.SDOf(vct, path...); sd == schemas.SDAlways && !disclosed[strings.Join(path, ".")] {
			t.Errorf("%s: %s is always visible, the metadata say %q", vct, strings.Join(path, "."), sd)
		}
	})
}

// pathOf returns the path of a disclosure; no type here has arrays with disclosable elements.
func pathOf(d sdjwt.DisclosedClaim) (path []string) {
	for _, p := range d.Path {
		path = append(path, p.(string))
	}
	return path
}

// leaves calls fn for every member at any depth.
func leaves(v any, path []string, fn func([]string)) {
	object, _ := v.(map[string]any)
	for name, member := range object {
		at := append(slices.Clone(path), name)
		fn(at)
		leaves(member, at, fn)
	}
}

// TestDisclosableClaims states once more, from the table of the credentials, what must be disclosable in a full payslip.
func TestDisclosableClaims(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	workers := w.Start()
	w.Clock.Set(time.Date(2026, 5, 26, 9, 0, 0, 0, time.UTC))
	for _, it := range story.Timeline() {
		if it.File == "payroll/A-2026-05.csv" || it.File == "bank/A-2026-05.txt" {
			w.ImportItem(it, issuer.Options{})
		}
	}
	disclosed := func(stream attestation.Stream) (out []string) {
		for _, d := range ladder(t, w, workers["A"], stream, "2026-05")[0].verified.Disclosed {
			out = append(out, strings.Join(pathOf(d), "."))
		}
		slices.Sort(out)
		return out
	}
	for stream, want := range map[attestation.Stream][]string{
		attestation.WageEmployer: {"allowances", "base", "deductions.employment_insurance", "deductions.health", "deductions.income_tax", "deductions.pension", "deductions.rent", "gross", "hours", "net", "overtime_pay"},
		attestation.WageBank:     {"amount", "payer_name", "transaction_class"},
	} {
		if got := disclosed(stream); !slices.Equal(got, want) {
			t.Errorf("%s: disclosable %q, want %q", stream, got, want)
		}
	}
}

// TestSlotsOfAnEngagement checks that each slot is a visible object with exactly one digest, whose disclosure is named s and holds 32 bytes, no
// two alike.
func TestSlotsOfAnEngagement(t *testing.T) {
	w := issuertest.New(t, store.NewMemory())
	p := issuertest.NewWorker(t)
	if r := w.Engage("A", p); !r.OK() {
		t.Fatal(r.Errors)
	}
	v := verify(t, w, p.SDJWT)
	var payload struct {
		Slots map[attestation.Stream]map[attestation.Period]map[string][]string `json:"slots"`
	}
	if err := json.Unmarshal(v.Payload, &payload); err != nil {
		t.Fatal(err)
	}
	e, n := engagement(t, w, p), 0
	for stream, periods := range e.Plan() {
		for _, per := range periods {
			n++
			if slot := payload.Slots[stream][per]; len(slot) != 1 || len(slot["_sd"]) != 1 {
				t.Errorf("%s %s: %v", stream, per, slot)
			}
		}
	}
	secrets := map[string]bool{}
	for _, d := range v.Disclosed {
		if d.Path[0] != "slots" {
			continue
		}
		var s registry.Secret
		if err := json.Unmarshal(d.Value, &s); err != nil || len(d.Path) != 4 || d.Name != "s" {
			t.Errorf("disclosure %v: %v", d.Path, err)
		}
		secrets[string(d.Value)] = true
	}
	if len(secrets) != n {
		t.Errorf("%d secrets for %d slots", len(secrets), n)
	}
	if _, err := w.Issuer.Org(context.Background(), "1"); err == nil {
		t.Error("an organization that is not there was found")
	}
}
