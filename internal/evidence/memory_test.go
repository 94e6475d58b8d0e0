package evidence

import (
	"errors"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
)

func generate(t *testing.T) *keys.Private {
	t.Helper()
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestMemory asks for a credential again, exactly as it was verified and not quite so. That it is remembered shows by the pointer.
func TestMemory(t *testing.T) {
	issuer, other, holder, now := generate(t), generate(t), generate(t), time.Unix(1_780_000_000, 0)
	payload := map[string]any{"iss": "https://issuer.example", "vct": "urn:example:type", "cnf": map[string]any{"jwk": holder.Public().JWK()}, "name": sdjwt.Hidden("x")}
	bare, err := sdjwt.Issue(issuer, keys.Header{"typ": sdjwt.Typ}, payload, sdjwt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	compact, err := sdjwt.BindKey(bare, holder, "https://verifier.example", "n", now)
	if err != nil {
		t.Fatal(err)
	}
	kb := &sdjwt.ExpectKeyBinding{Audience: "https://verifier.example", Nonce: "n", Now: now}
	verify := func(m *Memory, compact string, key keys.Public, kb *sdjwt.ExpectKeyBinding) (*sdjwt.Verified, error) {
		u, err := m.parse(compact)
		if err != nil {
			return nil, err
		}
		return m.verify(u, key, kb)
	}
	dot := strings.LastIndexByte(compact, '.')
	for _, c := range []struct {
		name       string
		compact    string
		key        keys.Public
		kb         *sdjwt.ExpectKeyBinding
		remembered bool
		want       error
	}{
		{"the same", compact, issuer.Public(), kb, true, nil},
		{"for anybody", compact, issuer.Public(), &sdjwt.ExpectKeyBinding{AnyAudience: true}, true, nil},
		{"under another key", compact, other.Public(), kb, false, keys.ErrSignature},
		{"under no key", compact, keys.Public{}, kb, false, keys.ErrKey},
		{"without an expected key binding", compact, issuer.Public(), nil, false, sdjwt.ErrKeyBindingUnexpected},
		{"without its key binding", bare, issuer.Public(), kb, false, sdjwt.ErrKeyBindingMissing},
		{"without its key binding, which is not expected", bare, issuer.Public(), nil, false, nil},
		{"with another signature of the key binding", compact[:dot+1] + strings.Repeat("A", len(compact)-dot-1), issuer.Public(), kb, false, sdjwt.ErrKeyBindingSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMemory()
			first, err := verify(m, compact, issuer.Public(), kb)
			if err != nil {
				t.Fatal(err)
			}
			again, err := verify(m, c.compact, c.key, c.kb)
			if !errors.Is(err, c.want) || (again == first) != c.remembered {
				t.Errorf("got %v, remembered: %v; want %v, %v", err, again == first, c.want, c.remembered)
			}
			if _, err := verify(nil, c.compact, c.key, c.kb); !errors.Is(err, c.want) {
				t.Errorf("without memory: got %v, want %v", err, c.want)
			}
		})
	}
}
