package sdjwt

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
)

var (
	issueTime = time.Date(2026, time.May, 26, 0, 0, 0, 0, time.UTC)
	now       = issueTime.Add(10 * time.Hour)
)

const (
	aud   = "x509_hash:abc"
	nonce = "n-0S6_WzA2Mj"
)

// bench is one issuer and one holder.
type bench struct {
	t      testing.TB
	issuer *keys.Private
	holder *keys.Private
}

func newBench(t testing.TB) bench {
	t.Helper()
	issuer, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	holder, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return bench{t, issuer, holder}
}

func (b bench) payload() map[string]any {
	return map[string]any{
		"iss": "https://employer.example", "iat": issueTime.Unix(), "vct": "urn:akashi:wage-payment:1",
		"exp": now.Add(time.Hour).Unix(), "nbf": issueTime.Unix(),
		"cnf":        map[string]any{"jwk": b.holder.Public().JWK()},
		"period":     "2026-05",
		"gross":      Hidden(212000),
		"base":       Hidden("名古屋"),
		"deductions": Hidden(map[string]any{"tax": Hidden(3500), "rent": Hidden(20000), "currency": "JPY"}),
		"hours":      map[string]any{"scheduled": Hidden("160.0")},
		"days":       []any{Hidden("2026-05-01"), "2026-05-02", Hidden(map[string]any{"d": Hidden(3)})},
	}
}

func (b bench) issue(payload map[string]any, opts Options) string {
	b.t.Helper()
	compact, err := Issue(b.issuer, keys.Header{"kid": b.issuer.Public().Thumbprint()}, payload, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return compact
}

// sign signs any payload text with any header, which Issue would refuse.
func (b bench) sign(header keys.Header, payload string, disclosures ...string) string {
	b.t.Helper()
	jwt, err := b.issuer.Sign(header, []byte(payload))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(append([]string{jwt}, disclosures...), "~") + "~"
}

func (b bench) verify(compact string, want Expect) (*Verified, error) {
	u, err := Parse(compact)
	if err != nil {
		return nil, err
	}
	return u.Verify(b.issuer.Public(), want)
}

func (b bench) bind(presentation string) string {
	b.t.Helper()
	bound, err := BindKey(presentation, b.holder, aud, nonce, now)
	if err != nil {
		b.t.Fatal(err)
	}
	return bound
}

func expect() Expect {
	return Expect{Algs: []keys.Alg{keys.ES256}, VCT: []string{"urn:akashi:wage-payment:1"}, Now: now}
}

func expectBound() Expect {
	want := expect()
	want.KeyBinding = &ExpectKeyBinding{Audience: aud, Nonce: nonce, Now: now}
	return want
}

func disclosure(text string) string { return b64.EncodeToString([]byte(text)) }

func TestIssuePresentVerify(t *testing.T) {
	b := newBench(t)
	compact := b.issue(b.payload(), Options{})
	full, err := b.verify(compact, expect())
	if err != nil {
		t.Fatal(err)
	}
	const all = `{"base":"名古屋","days":["2026-05-01","2026-05-02",{"d":3}],"deductions":{"currency":"JPY","rent":20000,"tax":3500},"gross":212000,"hours":{"scheduled":"160.0"}}`
	if got := without(t, full.Claims, "iss", "iat", "vct", "exp", "nbf", "cnf", "period"); got != all {
		t.Errorf("fully disclosed:\n got %s\nwant %s", got, all)
	}
	if len(full.Disclosed) != 9 || !full.Holder.Equal(b.holder.Public()) || full.KB != nil || full.Header.Typ != Typ {
		t.Errorf("got %d disclosed claims, holder %s, %+v", len(full.Disclosed), full.Holder.JWK(), full.Header)
	}
	wanted := func(path []any) bool { // keeps parents although only the child is wanted
		return reflect.DeepEqual(path, []any{"deductions", "tax"}) || reflect.DeepEqual(path, []any{"days", 2, "d"})
	}
	presentation, err := Present(compact, wanted)
	if err != nil {
		t.Fatal(err)
	}
	some, err := b.verify(b.bind(presentation), expectBound())
	if err != nil {
		t.Fatal(err)
	}
	const part = `{"days":["2026-05-02",{"d":3}],"deductions":{"currency":"JPY","tax":3500},"hours":{}}`
	if got := without(t, some.Claims, "iss", "iat", "vct", "exp", "nbf", "cnf", "period"); got != part {
		t.Errorf("presented:\n got %s\nwant %s", got, part)
	}
	var paths []string
	for _, d := range some.Disclosed {
		text, err := json.Marshal(d.Path)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, string(text))
	}
	slices.Sort(paths)
	if got, want := strings.Join(paths, " "), `["days",1,"d"] ["days",1] ["deductions","tax"] ["deductions"]`; got != want {
		t.Errorf("paths: got %s, want %s", got, want)
	}
	if some.KB.Aud != aud || some.KB.Nonce != nonce || !some.KB.Iat.Equal(now) || some.ID != full.ID {
		t.Errorf("got %+v", some.KB)
	}
	var again map[string]any
	if err := keys.DecodeJSON(some.ClaimsJSON(), &again); err != nil || !reflect.DeepEqual(again, some.Claims) {
		t.Errorf("ClaimsJSON: %v", err)
	}
}

func without(t *testing.T, claims map[string]any, names ...string) string {
	t.Helper()
	claims = maps.Clone(claims)
	for _, name := range names {
		delete(claims, name)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestIssueForm(t *testing.T) {
	b := newBench(t)
	type object = map[string]any
	payload := func(compact string) string {
		u, err := Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		return string(u.UnverifiedPayload())
	}
	// One hidden member gives exactly one digest: absence of a slot rests on it.
	compact := b.issue(object{"vct": "v", "slots": object{"wage-bank": object{"2026-05": object{"s": Hidden("secret")}}}}, Options{Decoys: 3})
	u, err := Parse(compact)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"slots":{"wage-bank":{"2026-05":{"_sd":["` + u.Disclosures()[0].Digest + `"]}}}`; !strings.Contains(payload(compact), want) {
		t.Errorf("got %s, want in it %s", payload(compact), want)
	}
	var claims struct {
		SD []string `json:"_sd"`
	}
	if err := json.Unmarshal(u.UnverifiedPayload(), &claims); err != nil || len(claims.SD) != 3 || !slices.IsSorted(claims.SD) {
		t.Errorf("decoys: %v, %v", claims.SD, err)
	}
	// Nothing hidden: no _sd, no _sd_alg, and the tilde stays.
	plain := b.issue(object{"vct": "v"}, Options{})
	if got := payload(plain); got != `{"vct":"v"}` || strings.Count(plain, "~") != 1 || !strings.HasSuffix(plain, "~") {
		t.Errorf("got %s", got)
	}
	if got := payload(b.issue(object{}, Options{Plain: true, Decoys: 1})); !strings.Contains(got, `"_sd":["`) || !strings.Contains(got, `"_sd_alg":"sha-256"`) {
		t.Errorf("decoys alone: got %s", got)
	}
	// Values of every kind come out as encoding/json writes them.
	mixed := object{"a": "q\"\\\n<é", "b": true, "c": nil, "d": 1.5, "e": int64(-7), "f": json.Number("1e3"), "g": []string{"x"}, "h": struct{ X []int }{[]int{1}},
		"i": []any{}, "j": object{}, "k": []any(nil), "l": object(nil), "m": json.RawMessage(`{ "n": "..." }`), "o": "..."}
	want, err := json.Marshal(mixed)
	if err != nil {
		t.Fatal(err)
	}
	got := []byte(payload(b.issue(mixed, Options{Plain: true})))
	var x, y any
	if err := keys.DecodeJSON(got, &x); err != nil {
		t.Fatal(err)
	}
	if err := keys.DecodeJSON(want, &y); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(x, y) {
		t.Errorf("got %s, want %s", got, want)
	}
	if first, second := b.issue(b.payload(), Options{}), b.issue(b.payload(), Options{}); strings.Split(first, "~")[1] == strings.Split(second, "~")[1] {
		t.Error("a salt was used twice")
	}
}

func TestIssueRefuses(t *testing.T) {
	b := newBench(t)
	deep := any("x")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	rows := []struct {
		name  string
		spoil func(p map[string]any, h keys.Header)
		want  error
	}{
		{"typ", func(_ map[string]any, h keys.Header) { h["typ"] = "vc+sd-jwt" }, ErrType},
		{"no vct", func(p map[string]any, _ keys.Header) { delete(p, "vct") }, ErrVCT},
		{"hidden vct", func(p map[string]any, _ keys.Header) { p["vct"] = Hidden("v") }, ErrNeverDisclosable},
		{"hidden iss", func(p map[string]any, _ keys.Header) { p["iss"] = Hidden("v") }, ErrNeverDisclosable},
		{"hidden in status", func(p map[string]any, _ keys.Header) {
			p["status"] = map[string]any{"status_list": map[string]any{"idx": Hidden(1)}}
		}, ErrNeverDisclosable},
		{"hidden in an array of aka_vcts", func(p map[string]any, _ keys.Header) { p["aka_vcts"] = []any{Hidden("x")} }, ErrNeverDisclosable},
		{"aka_vcts with vct", func(p map[string]any, _ keys.Header) { p["aka_vcts"] = []any{p["vct"]} }, ErrAkaVCTs},
		{"iss no string", func(p map[string]any, _ keys.Header) { p["iss"] = 1 }, ErrClaim},
		{"name _sd", func(p map[string]any, _ keys.Header) { p["_sd"] = 1 }, ErrReservedName},
		{"name ... inside", func(p map[string]any, _ keys.Header) { p["x"] = map[string]any{"...": Hidden(1)} }, ErrReservedName},
		{"name _sd in a Go type", func(p map[string]any, _ keys.Header) { p["x"] = json.RawMessage(`{"a":[{"_sd":[]}]}`) }, ErrReservedName},
		{"hidden twice", func(p map[string]any, _ keys.Header) { p["x"] = Hidden(Hidden(1)) }, ErrDisclosure},
		{"not UTF-8", func(p map[string]any, _ keys.Header) { p["x"] = "\xff" }, ErrMalformed},
		{"too deep", func(p map[string]any, _ keys.Header) { p["x"] = deep }, ErrTooDeep},
		{"alg given", func(_ map[string]any, h keys.Header) { h["alg"] = "none" }, keys.ErrAlgorithm},
	}
	for _, row := range rows {
		p, h := b.payload(), keys.Header{"kid": "k"}
		row.spoil(p, h)
		if _, err := Issue(b.issuer, h, p, Options{}); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := Issue(b.issuer, nil, map[string]any{"vct": "v", "x": struct{ Secret any }{Hidden(1)}}, Options{}); err == nil {
		t.Error("a hidden value inside a Go type came out in the open")
	}
	if _, err := Issue(b.issuer, nil, b.payload(), Options{Rand: strings.NewReader("short")}); err == nil {
		t.Error("a source without salts was taken")
	}
}

// Every row signs one spoilt credential and expects that row's error.
func TestVerifyRefusesCredentials(t *testing.T) {
	b := newBench(t)
	header := keys.Header{"typ": Typ}
	d := disclosure(`["s","gross",1]`)
	el := disclosure(`["s",1]`)
	sd := func(members string, digests ...string) string { // a credential with these digests at its top
		text, err := json.Marshal(digests)
		if err != nil {
			t.Fatal(err)
		}
		return `{"vct":"v",` + members + `"_sd":` + string(text) + `}`
	}
	nested := func(inner string) string { return disclosure(`["n","x",` + inner + `]`) }
	deep := strings.Repeat("[", 20)
	deepEnd := strings.Repeat("]", 20)
	deepChild := disclosure(`["s","c",` + deep + deepEnd + `]`)
	deepParent := nested(deep + `{"_sd":["` + digest(deepChild) + `"]}` + deepEnd)
	rows := []struct {
		name    string
		compact string
		want    error
	}{
		{"typ missing", b.sign(nil, `{"vct":"v"}`), ErrType},
		{"typ of old drafts", b.sign(keys.Header{"typ": "vc+sd-jwt"}, `{"vct":"v"}`), ErrType},
		{"typ in other case", b.sign(keys.Header{"typ": "DC+SD-JWT"}, `{"vct":"v"}`), ErrType},
		{"typ as media type", b.sign(keys.Header{"typ": "application/dc+sd-jwt"}, `{"vct":"v"}`), ErrType},
		{"crit", b.sign(keys.Header{"typ": Typ, "crit": []string{"x"}, "x": 1}, `{"vct":"v"}`), keys.ErrCritical},

		{"no vct", b.sign(header, `{"iss":"i"}`), ErrVCT},
		{"other vct", b.sign(header, `{"vct":"V"}`), ErrVCT},
		{"vct no string", b.sign(header, `{"vct":["v"]}`), ErrVCT},
		{"aka_vcts empty", b.sign(header, `{"vct":"v","aka_vcts":[]}`), ErrAkaVCTs},
		{"aka_vcts no array", b.sign(header, `{"vct":"v","aka_vcts":"w"}`), ErrAkaVCTs},
		{"aka_vcts with vct", b.sign(header, `{"vct":"v","aka_vcts":["w","v"]}`), ErrAkaVCTs},
		{"aka_vcts no string", b.sign(header, `{"vct":"v","aka_vcts":["w",1]}`), ErrAkaVCTs},
		{"aka_vcts twice the same", b.sign(header, `{"vct":"v","aka_vcts":["w","w"]}`), ErrAkaVCTs},
		{"iss no string", b.sign(header, `{"vct":"v","iss":1}`), ErrClaim},
		{"integrity no string", b.sign(header, `{"vct":"v","vct#integrity":{}}`), ErrClaim},
		{"exp a string", b.sign(header, `{"vct":"v","exp":"1883000000"}`), ErrClaim},
		{"iat null", b.sign(header, `{"vct":"v","iat":null}`), ErrClaim},
		{"nbf far too large", b.sign(header, `{"vct":"v","nbf":1e300}`), ErrClaim},
		{"expired", b.sign(header, `{"vct":"v","exp":1000}`), ErrExpired},
		{"expired with a fraction", b.sign(header, `{"vct":"v","exp":1000.5}`), ErrExpired},
		{"not valid yet", b.sign(header, `{"vct":"v","nbf":4000000000}`), ErrNotYetValid},
		{"cnf no object", b.sign(header, `{"vct":"v","cnf":"x"}`), ErrConfirmationKey},
		{"cnf without jwk", b.sign(header, `{"vct":"v","cnf":{"kid":"x"}}`), ErrConfirmationKey},
		{"cnf with a bad key", b.sign(header, `{"vct":"v","cnf":{"jwk":{"kty":"EC"}}}`), ErrConfirmationKey},

		{"hash algorithm", b.sign(header, sd(`"_sd_alg":"sha-512",`)), ErrHashAlgorithm},
		{"hash algorithm in other case", b.sign(header, sd(`"_sd_alg":"SHA-256",`)), ErrHashAlgorithm},
		{"hash algorithm null", b.sign(header, sd(`"_sd_alg":null,`)), ErrHashAlgorithm},
		{"hash algorithm below the top", b.sign(header, `{"vct":"v","x":{"_sd_alg":"sha-256"}}`), ErrReservedName},
		{"unreferenced", b.sign(header, `{"vct":"v"}`, d), ErrUnreferencedDisclosure},
		{"disclosure sent twice", b.sign(header, sd("", digest(d)), d, d), ErrDigestTwice},
		{"digest twice in one _sd", b.sign(header, sd("", digest(d), digest(d)), d), ErrDigestTwice},
		{"decoy twice", b.sign(header, sd(`"x":{"_sd":["abc"]},`, "abc")), ErrDigestTwice},
		{"digest twice, member and element", b.sign(header, sd(`"x":[{"...":"`+digest(d)+`"}],`, digest(d))), ErrDigestTwice},
		{"digest twice, in a disclosure", b.sign(header, sd("", digest(d), digest(nested(`{"_sd":["`+digest(d)+`"]}`))), d, nested(`{"_sd":["`+digest(d)+`"]}`)), ErrDigestTwice},
		{"name present", b.sign(header, sd(`"gross":2,`, digest(d)), d), ErrNameTaken},
		{"name disclosed twice", b.sign(header, sd("", digest(d), digest(disclosure(`["t","gross",2]`))), d, disclosure(`["t","gross",2]`)), ErrNameTaken},
		{"element in _sd", b.sign(header, sd("", digest(el)), el), ErrElementCount},
		{"member in an array", b.sign(header, `{"vct":"v","x":[{"...":"`+digest(d)+`"}]}`, d), ErrElementCount},
		{"_sd no array", b.sign(header, `{"vct":"v","_sd":"x"}`), ErrDigestForm},
		{"_sd null", b.sign(header, `{"vct":"v","_sd":null}`), ErrDigestForm},
		{"digest a number", b.sign(header, `{"vct":"v","_sd":[1]}`), ErrDigestForm},
		{"element digest a number", b.sign(header, `{"vct":"v","x":[{"...":1}]}`), ErrDigestForm},
		{"element with a second member", b.sign(header, `{"vct":"v","x":[{"...":"d","y":1}]}`), ErrDigestForm},
		{"... outside an array", b.sign(header, `{"vct":"v","x":{"...":"d"}}`), ErrReservedName},
		{"... in a disclosed value", b.sign(header, sd("", digest(nested(`{"...":"d"}`))), nested(`{"...":"d"}`)), ErrReservedName},
		{"too deep together", b.sign(header, sd("", digest(deepParent)), deepParent, deepChild), ErrTooDeep},

		{"disclosed name _sd", b.sign(header, sd("", digest(disclosure(`["s","_sd",[]]`))), disclosure(`["s","_sd",[]]`)), ErrReservedName},
		{"disclosed name ...", b.sign(header, sd("", digest(disclosure(`["s","...","x"]`))), disclosure(`["s","...","x"]`)), ErrReservedName},
		{"disclosed name _sd_alg", b.sign(header, sd("", digest(disclosure(`["s","_sd_alg","sha-256"]`))), disclosure(`["s","_sd_alg","sha-256"]`)), ErrReservedName},
		{"one element", b.sign(header, sd("", digest(disclosure(`["s"]`))), disclosure(`["s"]`)), ErrDisclosure},
		{"four elements", b.sign(header, sd("", digest(disclosure(`["s","a",1,2]`))), disclosure(`["s","a",1,2]`)), ErrDisclosure},
		{"salt a number", b.sign(header, `{"vct":"v"}`, disclosure(`[1,"a",1]`)), ErrDisclosure},
		{"name a number", b.sign(header, `{"vct":"v"}`, disclosure(`["s",1,1]`)), ErrDisclosure},
		{"disclosure an object", b.sign(header, `{"vct":"v"}`, disclosure(`{}`)), ErrDisclosure},
		{"disclosure with a member twice", b.sign(header, `{"vct":"v"}`, disclosure(`["s","a",{"b":1,"b":2}]`)), ErrDisclosure},
		{"disclosure with padding", b.sign(header, `{"vct":"v"}`, d+"="), ErrDisclosure},
		{"disclosure spelt otherwise", b.sign(header, `{"vct":"v"}`, "WyJzIiwxXR"), ErrDisclosure},
		{"disclosure with a line break", b.sign(header, `{"vct":"v"}`, d+"\n"), ErrDisclosure},
		{"disclosure empty", b.sign(header, `{"vct":"v"}`, ""), ErrDisclosure},
		{"payload with a member twice", b.sign(header, `{"vct":"v","vct":"v"}`), ErrMalformed},
		{"payload with a member twice by an escape", b.sign(header, `{"vct":"v","\u0076ct":"v"}`), ErrMalformed},
		{"payload an array", b.sign(header, `[]`), ErrMalformed},
		{"no tilde", strings.TrimSuffix(b.sign(header, `{"vct":"v"}`), "~"), ErrTilde},
		{"last tilde missing", strings.TrimSuffix(b.sign(header, sd("", digest(d)), d), "~"), ErrTilde},
		{"empty", "", ErrTilde},
		{"tilde alone", "~", ErrMalformed},
		{"no token", "a.b~", ErrMalformed},
		{"far too long", strings.Repeat("x", maxCompact+1), ErrMalformed},
		{"too many disclosures", b.sign(header, `{"vct":"v"}`) + strings.Repeat("W10~", maxDisclosures+1), ErrMalformed},
	}
	for _, name := range slices.Sorted(maps.Keys(neverDisclosable)) {
		hidden := disclosure(`["s","` + name + `","v"]`)
		rows = append(rows, struct {
			name    string
			compact string
			want    error
		}{"disclosed " + name, b.sign(header, sd("", digest(hidden)), hidden), ErrNeverDisclosable})
		if name == "vct" {
			continue // a string has no inside
		}
		inside := b.sign(header, `{"vct":"v","`+name+`":{"x":[{"y":{"_sd":["d"]}}]}}`)
		rows = append(rows, struct {
			name    string
			compact string
			want    error
		}{"digest inside " + name, inside, ErrNeverDisclosable})
	}
	// "disclosed vct" takes the place of the visible one, so that the rule and not ErrNameTaken is tested.
	hiddenVCT := disclosure(`["s","vct","v"]`)
	for i := range rows {
		if rows[i].name == "disclosed vct" {
			rows[i].compact = b.sign(header, `{"_sd":["`+digest(hiddenVCT)+`"]}`, hiddenVCT)
		}
	}
	for _, row := range rows {
		want := Expect{Algs: []keys.Alg{keys.ES256}, VCT: []string{"v"}, Now: now}
		if _, err := b.verify(row.compact, want); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

func TestVerifyExpectations(t *testing.T) {
	b := newBench(t)
	compact := b.issue(b.payload(), Options{})
	other := newBench(t)
	rows := []struct {
		name  string
		spoil func(*Expect)
		want  error
	}{
		{"as it is", func(*Expect) {}, nil},
		{"no algorithm", func(e *Expect) { e.Algs = nil }, keys.ErrAlgorithm},
		{"other algorithm", func(e *Expect) { e.Algs = []keys.Alg{keys.EdDSA} }, keys.ErrAlgorithm},
		{"other typ", func(e *Expect) { e.Typ = "kb+jwt" }, ErrType},
		{"any vct", func(e *Expect) { e.VCT = nil }, nil},
		{"no vct", func(e *Expect) { e.VCT = []string{} }, ErrVCT},
		{"other vct", func(e *Expect) { e.VCT = []string{"urn:akashi:wage-payment"} }, ErrVCT},
		{"one of several", func(e *Expect) { e.VCT = []string{"x", "urn:akashi:wage-payment:1"} }, nil},
		{"at exp", func(e *Expect) { e.Now = now.Add(time.Hour) }, ErrExpired},
		{"just before exp", func(e *Expect) { e.Now = now.Add(time.Hour - 1) }, nil},
		{"at nbf", func(e *Expect) { e.Now = issueTime }, nil},
		{"before nbf", func(e *Expect) { e.Now = issueTime.Add(-1) }, ErrNotYetValid},
		{"time not judged", func(e *Expect) { e.Now = time.Time{} }, nil},
	}
	for _, row := range rows {
		want := expect()
		row.spoil(&want)
		if _, err := b.verify(compact, want); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := other.verify(compact, expect()); !errors.Is(err, keys.ErrSignature) {
		t.Errorf("other key: got %v", err)
	}
	aka := b.sign(keys.Header{"typ": Typ}, `{"vct":"w","aka_vcts":["x","urn:akashi:wage-payment:1"]}`)
	if _, err := b.verify(aka, expect()); err != nil {
		t.Errorf("matched by aka_vcts: %v", err)
	}
	// iat and sub may be withheld.
	hidden := b.issue(map[string]any{"vct": "urn:akashi:wage-payment:1", "iat": Hidden(1), "sub": Hidden("s")}, Options{})
	if _, err := b.verify(hidden, expect()); err != nil {
		t.Errorf("hidden iat and sub: %v", err)
	}
}

// Further claims stand in the key binding, and none of them in place of its own.
func TestBindKeyWith(t *testing.T) {
	b := newBench(t)
	presentation := b.issue(b.payload(), Options{})
	bound, err := BindKeyWith(presentation, b.holder, aud, nonce, now, map[string]any{"transaction_data_hashes": []string{"h"}, "aud": "other", "nonce": "other", "iat": 1, "sd_hash": "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.verify(bound, expectBound()); err != nil {
		t.Error(err)
	}
	payload, err := keys.UnverifiedPayload(bound[strings.LastIndex(bound, "~")+1:])
	if err != nil || !strings.Contains(string(payload), `"transaction_data_hashes":["h"]`) {
		t.Errorf("got %s, %v", payload, err)
	}
}

func TestKeyBindingRefuses(t *testing.T) {
	b, other := newBench(t), newBench(t)
	compact := b.issue(b.payload(), Options{})
	presentation, err := Present(compact, func(path []any) bool { return path[0] == "gross" })
	if err != nil {
		t.Fatal(err)
	}
	claims := func() map[string]any {
		return map[string]any{"iat": now.Unix(), "aud": aud, "nonce": nonce, "sd_hash": digest(presentation)}
	}
	kb := func(key *keys.Private, header keys.Header, claims any) string {
		text, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := key.Sign(header, text)
		if err != nil {
			t.Fatal(err)
		}
		return jwt
	}
	header := keys.Header{"typ": TypKeyBinding}
	with := func(name string, v any) string {
		c := claims()
		c[name] = v
		if v == nil {
			delete(c, name)
		}
		return presentation + kb(b.holder, header, c)
	}
	good := b.bind(presentation)
	jwt, rest, _ := strings.Cut(good, "~")
	unbound := b.issue(map[string]any{"vct": "urn:akashi:wage-payment:1"}, Options{})
	forged := strings.Split(good, ".")
	forged[len(forged)-1] = strings.Repeat("A", 86)
	raw := func(text string) string {
		jwt, err := b.holder.Sign(header, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return presentation + jwt
	}
	rows := []struct {
		name    string
		compact string
		spoil   func(*Expect)
		want    error
	}{
		{"as it is", good, func(*Expect) {}, nil},
		{"missing", presentation, func(*Expect) {}, ErrKeyBindingMissing},
		{"unexpected", good, func(e *Expect) { e.KeyBinding = nil }, ErrKeyBindingUnexpected},
		{"no cnf", unbound + kb(b.holder, header, claims()), func(*Expect) {}, ErrKeyBindingNoKey},
		{"other key", presentation + kb(other.holder, header, claims()), func(*Expect) {}, ErrKeyBindingSignature},
		{"issuer's key", presentation + kb(b.issuer, header, claims()), func(*Expect) {}, ErrKeyBindingSignature},
		{"signature zero", strings.Join(forged, "."), func(*Expect) {}, ErrKeyBindingSignature},
		{"alg none", presentation + b64.EncodeToString([]byte(`{"alg":"none","typ":"kb+jwt"}`)) + "." + b64.EncodeToString([]byte(`{}`)) + ".", func(*Expect) {}, ErrKeyBindingSignature},
		{"typ missing", presentation + kb(b.holder, nil, claims()), func(*Expect) {}, ErrKeyBindingType},
		{"typ jwt", presentation + kb(b.holder, keys.Header{"typ": "JWT"}, claims()), func(*Expect) {}, ErrKeyBindingType},
		{"no iat", with("iat", nil), func(*Expect) {}, ErrKeyBindingClaims},
		{"iat a string", with("iat", "1"), func(*Expect) {}, ErrKeyBindingClaims},
		{"no aud", with("aud", nil), func(*Expect) {}, ErrKeyBindingClaims},
		{"aud an array", with("aud", []string{aud}), func(*Expect) {}, ErrKeyBindingClaims},
		{"no nonce", with("nonce", nil), func(*Expect) {}, ErrKeyBindingClaims},
		{"no sd_hash", with("sd_hash", nil), func(*Expect) {}, ErrKeyBindingClaims},
		{"claim twice", raw(`{"iat":1,"iat":1}`), func(*Expect) {}, ErrKeyBindingClaims},
		{"payload no object", raw(`1`), func(*Expect) {}, ErrKeyBindingClaims},
		{"other sd_hash", with("sd_hash", digest(compact)), func(*Expect) {}, ErrKeyBindingSDHash},
		{"sd_hash without the tilde", with("sd_hash", digest(strings.TrimSuffix(presentation, "~"))), func(*Expect) {}, ErrKeyBindingSDHash},
		{"disclosure taken out", jwt + "~" + rest[strings.IndexByte(rest, '~')+1:], func(*Expect) {}, ErrKeyBindingSDHash},
		{"other aud", good, func(e *Expect) { e.KeyBinding.Audience = "x509_hash:abd" }, ErrKeyBindingAudience},
		{"aud not said", good, func(e *Expect) { e.KeyBinding.Audience = "" }, ErrKeyBindingAudience},
		{"other nonce", good, func(e *Expect) { e.KeyBinding.Nonce = "n" }, ErrKeyBindingNonce},
		{"nonce not said", good, func(e *Expect) { e.KeyBinding.Nonce = "" }, ErrKeyBindingNonce},
		{"at the oldest", good, func(e *Expect) { e.KeyBinding.Now = now.Add(DefaultMaxAge) }, nil},
		{"too old", good, func(e *Expect) { e.KeyBinding.Now = now.Add(DefaultMaxAge + 1) }, ErrKeyBindingIat},
		{"a little ahead", good, func(e *Expect) { e.KeyBinding.Now = now.Add(-DefaultAhead) }, nil},
		{"too far ahead", good, func(e *Expect) { e.KeyBinding.Now = now.Add(-DefaultAhead - 1) }, ErrKeyBindingIat},
		{"own window", good, func(e *Expect) { e.KeyBinding.Now, e.KeyBinding.MaxAge = now.Add(time.Hour), 2*time.Hour }, nil},
		{"time not said", good, func(e *Expect) { e.KeyBinding.Now = time.Time{} }, ErrKeyBindingIat},
		{"own exp", with("exp", now.Unix()), func(*Expect) {}, ErrKeyBindingIat},
		{"stored", good, func(e *Expect) { e.KeyBinding = &ExpectKeyBinding{AnyAudience: true} }, nil},
		{"stored, other nonce", good, func(e *Expect) { e.KeyBinding = &ExpectKeyBinding{AnyAudience: true, Nonce: "n"} }, ErrKeyBindingNonce},
		{"stored, other sd_hash", with("sd_hash", "x"), func(e *Expect) { e.KeyBinding = &ExpectKeyBinding{AnyAudience: true} }, ErrKeyBindingSDHash},
	}
	for _, row := range rows {
		want := expectBound()
		row.spoil(&want)
		want.Now = time.Time{}
		_, err := b.verify(row.compact, want)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
		if row.want != nil && !errors.Is(err, ErrKeyBinding) {
			t.Errorf("%s: %v is no error of key binding", row.name, err)
		}
	}
	if _, err := BindKey(presentation, other.holder, aud, nonce, now); !errors.Is(err, ErrConfirmationKey) {
		t.Errorf("binding with another key: got %v", err)
	}
	if _, err := BindKey(good, b.holder, aud, nonce, now); !errors.Is(err, ErrKeyBindingUnexpected) {
		t.Errorf("binding twice: got %v", err)
	}
	if _, err := BindKey(jwt, b.holder, aud, nonce, now); !errors.Is(err, ErrTilde) {
		t.Errorf("binding without a tilde: got %v", err)
	}
}

// The published example of RFC 9901, Section 5.2, with the signatures of its authors.
func TestRFC9901Example(t *testing.T) {
	data, err := os.ReadFile("testdata/rfc9901-section5.json")
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Source       string          `json:"source"`
		IssuerKey    json.RawMessage `json:"issuer_key"`
		Presentation string          `json:"presentation"`
		Audience     string          `json:"audience"`
		Nonce        string          `json:"nonce"`
		Iat          int64           `json:"iat"`
		Processed    any             `json:"processed"`
	}
	if err := keys.DecodeJSON(data, &example); err != nil {
		t.Fatal(err)
	}
	key, err := keys.ParsePublic(example.IssuerKey)
	if err != nil {
		t.Fatal(err)
	}
	u, err := Parse(example.Presentation)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(example.Iat, 0)
	got, err := u.Verify(key, Expect{Algs: []keys.Alg{keys.ES256}, Typ: "example+sd-jwt", Plain: true, Now: at,
		KeyBinding: &ExpectKeyBinding{Audience: example.Audience, Nonce: example.Nonce, Now: at}})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(any(got.Claims), example.Processed) {
		t.Errorf("got %s", got.ClaimsJSON())
	}
}
