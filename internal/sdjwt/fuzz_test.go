package sdjwt

import (
	"os"
	"strings"
	"testing"

	"akashi/internal/keys"
)

// FuzzParse reads any text, verifies it, and presents it again: nothing panics, nothing is believed that the issuer did not sign, and what
// parses comes out of Present unchanged.
func FuzzParse(f *testing.F) {
	b := newBench(f)
	good := b.issue(b.payload(), Options{Decoys: 1})
	jwt, _, _ := strings.Cut(good, "~")
	f.Add(good)
	f.Add(b.bind(good))
	f.Add(jwt + "~")
	f.Add(jwt)
	f.Add(b.sign(keys.Header{"typ": Typ}, `{"vct":"v","_sd":["x","x"],"a":[{"...":"y"},{"...":1}]}`, disclosure(`["s","a",1]`)))
	if data, err := os.ReadFile("testdata/rfc9901-section5.json"); err == nil {
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, compact string) {
		u, err := Parse(compact)
		if err != nil {
			return
		}
		v, err := u.Verify(b.issuer.Public(), Expect{Algs: []keys.Alg{keys.ES256}, KeyBinding: &ExpectKeyBinding{AnyAudience: true}})
		if err == nil && v.JWT != jwt {
			t.Fatal("forged")
		}
		out, err := Present(compact, func([]any) bool { return true })
		if err == nil && out != u.presented {
			t.Fatalf("presented otherwise:\n%q\n%q", out, u.presented)
		}
	})
}

// FuzzProcess signs any payload with any two disclosures, so that the walk over digests is reached. D1 and D2 in the payload
// stand for their digests.
func FuzzProcess(f *testing.F) {
	b := newBench(f)
	f.Add(`{"vct":"v","_sd":["D1"],"a":[{"...":"D2"}]}`, `["s","gross",{"_sd":["x"]}]`, `["s",1]`)
	f.Add(`{"vct":"v","a":[{"...":"x"}]}`, `["s","a",[]]`, `["s",{"...":"y"}]`)
	f.Fuzz(func(t *testing.T, payload, first, second string) {
		b := b
		b.t = t
		firstEncoded, secondEncoded := disclosure(first), disclosure(second)
		payload = strings.NewReplacer("D1", digest(firstEncoded), "D2", digest(secondEncoded)).Replace(payload)
		u, err := Parse(b.sign(keys.Header{"typ": Typ}, payload, firstEncoded, secondEncoded))
		if err != nil {
			return
		}
		v, err := u.Verify(b.issuer.Public(), Expect{Algs: []keys.Alg{keys.ES256}})
		if err != nil {
			return
		}
		if len(v.Disclosed) != 2 || containsDigests(v.Claims) {
			t.Fatalf("digests left, or a disclosure without a place: %s", v.ClaimsJSON())
		}
	})
}

func FuzzKeyBinding(f *testing.F) {
	f.Add([]byte(`{"iat":1,"aud":"a","nonce":"n","sd_hash":"h"}`))
	f.Add([]byte(`{"iat":1.5,"aud":["a"],"nonce":"n","sd_hash":"h","exp":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		kb, err := readKeyBinding(payload, now)
		if err == nil && (kb.Aud == "" || kb.Nonce == "" || kb.SDHash == "") {
			t.Fatalf("taken with a claim missing: %+v", kb)
		}
	})
}
