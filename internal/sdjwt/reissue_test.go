package sdjwt_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
)

func TestReissue(t *testing.T) {
	issuer, first, second := generate(t), generate(t), generate(t)
	bound := func(k *keys.Private) map[string]any { return map[string]any{"jwk": k.Public().JWK()} }
	original, err := sdjwt.Issue(issuer, nil, map[string]any{"vct": "urn:test:1", "iat": 1, "cnf": bound(first), "open": "a", "net": sdjwt.Hidden(7),
		"worker": map[string]any{"name": sdjwt.Hidden("X")}}, sdjwt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := sdjwt.Reissue(issuer, nil, original, map[string]any{"cnf": bound(second), "iat": 86400, "logged": "id"})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(compact string) *sdjwt.Verified {
		t.Helper()
		u, err := sdjwt.Parse(compact)
		if err != nil {
			t.Fatal(err)
		}
		v, err := u.Verify(issuer.Public(), sdjwt.Expect{Algs: []keys.Alg{keys.ES256}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := verify(original), verify(again)
	if !b.Holder.Equal(second.Public()) || b.Claims["logged"] != "id" || b.Claims["open"] != "a" || b.ID == a.ID {
		t.Errorf("claims of the second: %v", b.Claims)
	}
	digests := func(v *sdjwt.Verified) (out []string) {
		for _, d := range v.Disclosed {
			out = append(out, d.Digest)
		}
		return out
	}
	if !slices.Equal(digests(a), digests(b)) || len(b.Disclosed) != 2 {
		t.Errorf("disclosures %v, of the first %v", digests(b), digests(a))
	}

	presented, err := sdjwt.BindKey(original, first, "aud", "nonce", time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		compact string
		claims  map[string]any
		want    error
	}{
		"malformed":        {"x", nil, sdjwt.ErrTilde},
		"with key binding": {presented, nil, sdjwt.ErrKeyBindingUnexpected},
		"digests":          {original, map[string]any{"_sd": []any{}}, sdjwt.ErrReservedName},
		"disclosable":      {original, map[string]any{"net": 8}, sdjwt.ErrNameTaken},
		"no type":          {original, map[string]any{"vct": ""}, sdjwt.ErrVCT},
	} {
		if _, err := sdjwt.Reissue(issuer, nil, row.compact, row.claims); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
	if _, err := sdjwt.Reissue(issuer, nil, original, map[string]any{"more": sdjwt.Hidden(1)}); err == nil {
		t.Error("a hidden claim was added")
	}
}

func generate(t *testing.T) *keys.Private {
	t.Helper()
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
