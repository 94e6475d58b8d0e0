package evidencetest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
)

// Audience and Nonce are what the world's presentations are made for.
const (
	Audience = "x509_san_dns:verifier.test"
	Nonce    = "nonce-of-the-request"
)

// At returns an hour of a day in Japan.
func At(year int, month time.Month, day, hour int) time.Time {
	return time.Date(year, month, day, hour, 0, 0, 0, attestation.JST).UTC()
}

func random(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}

func slotName(s attestation.Stream, p attestation.Period) string { return string(s) + " " + string(p) }

// Claims returns the claims of an engagement between the world's parties from start to end, with a fresh plan where the world has no secret
// for a slot yet.
func (w *World) Claims(start, end attestation.Date) map[string]any {
	if w.ContractHash == (registry.Hash{}) {
		random(w.ContractHash[:])
	}
	slots := make(map[string]any)
	for s, periods := range attestation.Plan(start, end, 31) {
		members := make(map[string]any)
		for _, p := range periods {
			secret, ok := w.Secrets[slotName(s, p)]
			if !ok {
				random(secret[:])
				w.Secrets[slotName(s, p)] = secret
			}
			text, _ := secret.MarshalText()
			members[string(p)] = map[string]any{"s": sdjwt.Hidden(string(text))}
		}
		slots[string(s)] = members
	}
	return map[string]any{
		"vct": attestation.TypeEngagement.VCT(), "iss": w.Employer.Issuer, "iat": day(w.Now), "cnf": w.confirmation(),
		"employer": map[string]any{"id": w.Employer.ID, "name": map[string]any{"en": "Employer"}},
		"support":  map[string]any{"id": w.Support.ID, "name": map[string]any{"en": "Support"}},
		"ruleset":  "ssw-1", "class": "i", "field": "mfg", "support_mode": "full",
		"start": start.String(), "end": end.String(), "closing_day": 31, "pay_day": 25, "pay_month_offset": 0,
		"holiday_rule": "prev", "pay_method": "transfer", "contract_hash": w.ContractHash.String(), "registry": Origin,
		"terms": map[string]any{"base_amount": sdjwt.Hidden(230000)},
		"slots": slots,
	}
}

// day rounds to the day, as issuers do.
func day(t time.Time) int64 { return t.Truncate(24 * time.Hour).Unix() }

func (w *World) confirmation() map[string]any {
	return map[string]any{"jwk": json.RawMessage(w.Holder.Public().JWK())}
}

// Issue signs an SD-JWT VC.
func (w *World) Issue(key *keys.Private, claims map[string]any) string {
	w.TB.Helper()
	compact, err := sdjwt.Issue(key, keys.Header{"kid": key.Public().Thumbprint()}, claims, sdjwt.Options{})
	check(w.TB, err)
	return compact
}

// JWT returns the issuer-signed JWT of an SD-JWT.
func JWT(compact string) string {
	jwt, _, _ := strings.Cut(compact, "~")
	return jwt
}

// IDOf returns the ID of an SD-JWT.
func (w *World) IDOf(compact string) string {
	id, err := keys.ID(JWT(compact))
	check(w.TB, err)
	return id
}

// Engage issues and logs an engagement as rung n of the contract's ladder and makes it the world's.
func (w *World) Engage(n int, claims map[string]any) {
	w.TB.Helper()
	w.EngageSigned(n, w.Issue(w.Employer.Key, claims))
}

// Extend issues an engagement until a later end that supersedes an earlier one and repeats its slots, digest by digest.
func (w *World) Extend(earlier string, end attestation.Date) string {
	w.TB.Helper()
	old := payloadOf(w, earlier)
	start, err := attestation.ParseDate(old["start"].(string))
	check(w.TB, err)
	claims := w.Claims(start, end)
	claims["supersedes"] = w.IDOf(earlier)
	fresh := w.Issue(w.Employer.Key, claims)
	payload := payloadOf(w, fresh)
	for s, periods := range old["slots"].(map[string]any) {
		maps.Copy(payload["slots"].(map[string]any)[s].(map[string]any), periods.(map[string]any))
	}
	text, err := json.Marshal(payload)
	check(w.TB, err)
	jwt, err := w.Employer.Key.Sign(keys.Header{"typ": sdjwt.Typ, "kid": w.Employer.Key.Public().Thumbprint()}, text)
	check(w.TB, err)
	compact := jwt + "~"
	for _, from := range []string{earlier, fresh} {
		for _, d := range strings.Split(from, "~")[1:] {
			sum := sha256.Sum256([]byte(d))
			if d != "" && bytes.Contains(text, []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) {
				compact += d + "~"
			}
		}
	}
	return compact
}

func payloadOf(w *World, compact string) map[string]any {
	payload, err := keys.UnverifiedPayload(JWT(compact))
	check(w.TB, err)
	var out map[string]any
	check(w.TB, keys.DecodeJSON(payload, &out))
	return out
}

// EngageSigned logs an engagement that the employer issued as rung n of the contract's ladder and makes it the world's.
func (w *World) EngageSigned(n int, compact string) {
	w.TB.Helper()
	w.EngageBy(w.Employer, n, compact)
}

// EngageBy logs an engagement that a party issued as rung n of the contract's ladder and makes it the world's.
func (w *World) EngageBy(p *Party, n int, compact string) {
	w.TB.Helper()
	w.Engagement = compact
	w.EngagementID = w.IDOf(w.Engagement)
	secret := registry.EngagementSecret(w.ContractHash, n)
	w.Submit(p, w.sealed(secret, registry.WriterFor(p.Role, p.ID), JWT(w.Engagement), nil))
}

// sealed returns the record of a JWT; without disclosures B is empty.
func (w *World) sealed(secret registry.Secret, writer, jwt string, disclosures []string) registry.Record {
	w.TB.Helper()
	k := registry.KeyOf(writer, secret.Find())
	a, err := registry.SealA(rand.Reader, secret, k, jwt)
	check(w.TB, err)
	var b []byte
	if disclosures != nil {
		b, err = registry.SealB(w.Delivery.Public(), k, disclosures)
		check(w.TB, err)
	}
	return registry.Record{X: secret.Find(), A: a, B: b}
}

// Secret returns the secret of rung j of a slot.
func (w *World) Secret(s attestation.Stream, p attestation.Period, j int) registry.Secret {
	period, ok := w.Secrets[slotName(s, p)]
	if !ok {
		w.TB.Fatalf("no secret for %s %s", s, p)
	}
	return registry.SlotSecret(period, j)
}

// KeyOf returns the map's key of rung j of a slot.
func (w *World) KeyOf(s attestation.Stream, p attestation.Period, j int) registry.Key {
	return registry.KeyOf(registry.WriterOf(s, w.Employer.ID, w.Support.ID), w.Secret(s, p, j).Find())
}

// Record returns the sealed record of an SD-JWT for rung j of a slot, as the party that fills the stream makes it.
func (w *World) Record(s attestation.Stream, p attestation.Period, j int, compact string) registry.Record {
	parts := strings.Split(strings.TrimSuffix(compact, "~"), "~")
	writer := registry.WriterOf(s, w.Employer.ID, w.Support.ID)
	return w.sealed(w.Secret(s, p, j), writer, parts[0], append([]string{}, parts[1:]...))
}

// JunkRecord returns a record for rung j of a slot whose box A has the right form and does not open.
func (w *World) JunkRecord(s attestation.Stream, p attestation.Period, j int) registry.Record {
	a := make([]byte, registry.MaxA-(32<<10)+(4<<10))
	random(a)
	return registry.Record{X: w.Secret(s, p, j).Find(), A: a}
}

// Common returns the claims that every attestation of a party has.
func (w *World) Common(p *Party, t attestation.Type) map[string]any {
	return map[string]any{
		"vct": t.VCT(), "iss": p.Issuer, "iat": day(w.Now), "cnf": w.confirmation(), "engagement": w.EngagementID,
	}
}

func with(claims, more map[string]any) map[string]any {
	maps.Copy(claims, more)
	return claims
}

// WagePayment issues the employer's record of a wage of 212,000 yen.
func (w *World) WagePayment(p attestation.Period, paid attestation.Date) string {
	return w.Issue(w.Employer.Key, with(w.Common(w.Employer, attestation.TypeWagePayment), map[string]any{
		"period": string(p), "from": p.First().String(), "to": p.Last().String(), "kind": "regular", "paid_date": paid.String(),
		"method": "transfer", "declared_in_full": true, "ledger_row_hash": w.ContractHash.String(),
		"base": sdjwt.Hidden(230000), "gross": sdjwt.Hidden(265625), "net": sdjwt.Hidden(212000),
		"deductions": map[string]any{"health": sdjwt.Hidden(53625)},
	}))
}

// WageReceipt issues the bank's record of a credit.
func (w *World) WageReceipt(p attestation.Period, value attestation.Date, amount int) string {
	return w.Issue(w.Bank.Key, with(w.Common(w.Bank, attestation.TypeWageReceipt), map[string]any{
		"period": string(p), "value_date": value.String(), "source": "account-statement",
		"amount": sdjwt.Hidden(amount), "payer_name": sdjwt.Hidden("ｶ)ﾐﾎﾝA"),
	}))
}

// Interview issues the support organization's record of an interview.
func (w *World) Interview(interviewee string, d attestation.Date) string {
	return w.Issue(w.Support.Key, with(w.Common(w.Support, attestation.TypeSupportInterview), map[string]any{
		"interviewee": interviewee, "date": d.String(), "mode": "in-person", "private": sdjwt.Hidden(true),
	}))
}

// Log submits an SD-JWT of a party to rung j of a slot and closes the epoch.
func (w *World) Log(p *Party, s attestation.Stream, period attestation.Period, j int, compact string) {
	w.TB.Helper()
	w.Submit(p, w.Record(s, period, j, compact))
}

// Statement issues a statement of the worker and, if logged, logs it.
func (w *World) Statement(logged bool, claims map[string]any) string {
	w.TB.Helper()
	all := with(map[string]any{"vct": attestation.TypeWorkerStatement.VCT(), "iat": day(w.Now), "engagement": w.EngagementID}, claims)
	compact := w.Issue(w.Holder, all)
	if logged {
		secret := registry.StatementSecret(JWT(compact))
		r := w.sealed(secret, string(attestation.Worker), JWT(compact), nil)
		w.idle()
		w.insert(&storedRecord{ref: r.Ref(string(attestation.Worker)), a: r.A})
		w.CloseEpoch()
	}
	return compact
}

// Present presents an SD-JWT with the disclosures that keep wants, bound to the holder for [Audience] and [Nonce].
func (w *World) Present(compact string, keep func(path []any) bool) string {
	w.TB.Helper()
	shown, err := sdjwt.Present(compact, keep)
	check(w.TB, err)
	bound, err := sdjwt.BindKey(shown, w.Holder, Audience, Nonce, w.Now)
	check(w.TB, err)
	return bound
}

// All keeps every disclosure.
func All([]any) bool { return true }

// Only keeps the slots of the given streams and periods, and everything that is no slot.
func Only(open map[attestation.Stream][]attestation.Period) func(path []any) bool {
	return func(path []any) bool {
		return path[0] != "slots" || slices.Contains(open[attestation.Stream(path[1].(string))], attestation.Period(path[2].(string)))
	}
}

// Presentation presents the engagement with the disclosures that keep wants, the given credentials with all of theirs, and statements.
func (w *World) Presentation(keep func(path []any) bool, credentials, statements []string) evidence.Presentation {
	p := evidence.Presentation{Engagement: w.Present(w.Engagement, keep), Statements: statements}
	for _, c := range credentials {
		p.Attestations = append(p.Attestations, w.Present(c, All))
	}
	return p
}

// Marshal returns the octets of a file.
func Marshal(w *World, f *evidence.File) []byte {
	data, err := f.Marshal()
	check(w.TB, err)
	return bytes.Clone(data)
}

// Number is the assessment number under which [World.Seal] saves.
const Number = "7F3K-Q2MX-91TD"

// Seal saves a file, as the verifier does.
func (w *World) Seal(f *evidence.File) {
	w.TB.Helper()
	hash := registry.HashOf(Marshal(w, f))
	check(w.TB, evidence.Seal(f, hash, w.Trust(), evidence.Sealer{Key: w.Verifier.Key}, Number, w.Now, nil))
}

// Edited signs an SD-JWT of the employer anew, with some of its visible claims changed.
func (w *World) Edited(compact string, change map[string]any) string {
	w.TB.Helper()
	text, err := json.Marshal(with(payloadOf(w, compact), change))
	check(w.TB, err)
	jwt, err := w.Employer.Key.Sign(keys.Header{"typ": sdjwt.Typ, "kid": w.Employer.Key.Public().Thumbprint()}, text)
	check(w.TB, err)
	return strings.Replace(compact, JWT(compact), jwt, 1)
}
