package registry

import (
	"encoding/json"
	"errors"
	"testing"

	"akashi/internal/keys"
)

func TestDeliveryProof(t *testing.T) {
	const origin = "registry.example/akashi"
	for _, alg := range []keys.Alg{keys.ES256, keys.EdDSA} {
		holder, delivery := newKey(t, alg), newKey(t, keys.ES256)
		proof, err := MakeDeliveryProof(holder, delivery.Public(), origin)
		if err != nil {
			t.Fatal(err)
		}
		got, err := CheckDeliveryProof(proof, holder.Public(), origin)
		if err != nil || !got.Equal(delivery.Public()) {
			t.Errorf("%s: got %v", alg, err)
		}
	}
}

func TestDeliveryProofRefused(t *testing.T) {
	const origin = "registry.example/akashi"
	holder, other, delivery := newKey(t, keys.ES256), newKey(t, keys.ES256), newKey(t, keys.ES256)
	ed := newKey(t, keys.EdDSA).Public()
	for _, bad := range []keys.Public{{}, ed} {
		if _, err := MakeDeliveryProof(holder, bad, origin); !errors.Is(err, ErrDeliveryKey) {
			t.Errorf("announcing %q: got %v, want ErrDeliveryKey", bad.Alg(), err)
		}
	}
	for _, c := range []struct {
		name   string
		signer *keys.Private
		typ    string
		claims map[string]any
		want   error
	}{
		{"signed by the employer", other, TypDeliveryProof, nil, keys.ErrSignature},
		{"another typ", holder, "openid4vci-proof+jwt", nil, ErrDeliveryType},
		{"no typ", holder, "", nil, ErrDeliveryType},
		{"another registry", holder, TypDeliveryProof, map[string]any{"aud": "other.example"}, ErrDeliveryAudience},
		{"aud with a slash more", holder, TypDeliveryProof, map[string]any{"aud": origin + "/"}, ErrDeliveryAudience},
		{"no aud", holder, TypDeliveryProof, map[string]any{"aud": ""}, ErrDeliveryAudience},
		{"a key that cannot receive", holder, TypDeliveryProof, map[string]any{"delivery_jwk": ed.JWK()}, ErrDeliveryKey},
		{"no key", holder, TypDeliveryProof, map[string]any{"delivery_jwk": nil}, ErrDeliveryKey},
	} {
		claims := map[string]any{"aud": origin, "delivery_jwk": delivery.Public().JWK()}
		for name, v := range c.claims {
			claims[name] = v
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		header := keys.Header{"typ": c.typ}
		if c.typ == "" {
			header = nil
		}
		jwt, err := c.signer.Sign(header, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckDeliveryProof(jwt, holder.Public(), origin); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	jwt, _ := holder.Sign(keys.Header{"typ": TypDeliveryProof}, []byte(`[]`))
	if _, err := CheckDeliveryProof(jwt, holder.Public(), origin); err == nil {
		t.Error("claims that are no object were accepted")
	}
}
