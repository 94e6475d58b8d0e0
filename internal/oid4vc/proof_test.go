package oid4vc

import (
	"errors"
	"testing"
	"time"

	"akashi/internal/did"
	"akashi/internal/keys"
)

// proofRig is a holder's key, what attests it, and an issuer's expectation.
type proofRig struct {
	holder, second, provider *keys.Private
	options                  KeyProofOptions
	attestation              KeyAttestationOptions
	want                     ExpectProofs
	asked                    []string // nonces that the issuer was asked about
}

func newProofRig(t testing.TB) *proofRig {
	t.Helper()
	r := &proofRig{holder: newKey(t, keys.ES256), second: newKey(t, keys.EdDSA), provider: newKey(t, keys.ES256)}
	r.options = KeyProofOptions{Issuer: issuerID, ClientID: clientID, Nonce: "n", Now: now, DeliveryProof: "d.d.d"}
	r.attestation = KeyAttestationOptions{Keys: []keys.Public{r.holder.Public(), r.second.Public()}, KeyStorage: []string{"iso_18045_moderate"}, UserAuthentication: []string{"iso_18045_high"},
		Certification: "https://c.example", Nonce: "n", Issued: now.Add(-time.Hour), Expires: now.Add(time.Hour), Status: []byte(`{}`)}
	both := []keys.Alg{keys.ES256, keys.EdDSA}
	r.want = ExpectProofs{Issuer: issuerID, Types: map[string][]keys.Alg{ProofTypeJWT: both, ProofTypeAttestation: both}, BindingMethods: []string{BindingJWK, BindingDIDKey, BindingDIDJWK},
		MaxProofs: 20, ClientID: clientID, Now: now, NonceRequired: true, Nonce: func(n string) error {
			r.asked = append(r.asked, n)
			if n != "n" {
				return errors.New("unknown nonce")
			}
			return nil
		}}
	return r
}

func (r *proofRig) proof(t testing.TB, key *keys.Private) string {
	t.Helper()
	proof, err := MakeKeyProof(key, r.options)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func (r *proofRig) keyAttestation(t testing.TB) string {
	t.Helper()
	a, err := MakeKeyAttestation(r.provider, keys.Header{"kid": "provider"}, r.attestation)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// attest makes the issuer want key attestations.
func (r *proofRig) attest() {
	r.want.AttestationRequired = true
	r.want.KeyAttestation = &ExpectKeyAttestation{KeyStorage: []string{"iso_18045_high", "iso_18045_moderate"}, AttesterKey: func(h keys.UnverifiedHeader) (keys.Public, error) {
		if h.Kid != "provider" {
			return keys.Public{}, errors.New("unknown provider")
		}
		return r.provider.Public(), nil
	}}
}

func jwtProofs(values ...string) *Proofs { return &Proofs{Type: ProofTypeJWT, Values: values} }

func TestKeyProofs(t *testing.T) {
	for _, binding := range []string{"", BindingJWK, BindingDIDKey, BindingDIDJWK} {
		r := newProofRig(t)
		r.options.Binding = binding
		set, err := CheckProofs(jwtProofs(r.proof(t, r.holder), r.proof(t, r.second)), r.want)
		if err != nil {
			t.Fatalf("%s: %v", binding, err)
		}
		if len(set.Keys) != 2 || !set.Keys[0].Equal(r.holder.Public()) || !set.Keys[1].Equal(r.second.Public()) {
			t.Errorf("%s: keys %v", binding, set.Keys)
		}
		if p := set.Proofs[0]; p.DeliveryProof != "d.d.d" || !p.IssuedAt.Equal(now) || (p.DID != "") != (binding == BindingDIDKey || binding == BindingDIDJWK) {
			t.Errorf("%s: proof %+v", binding, p)
		}
		if len(r.asked) != 1 || len(set.Nonces) != 1 {
			t.Errorf("%s: the nonce was asked for %d times", binding, len(r.asked))
		}
	}
	r := newProofRig(t)
	r.options.ClientID, r.want.ClientID = "", "" // anonymous
	if _, err := CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want); err != nil {
		t.Errorf("anonymous: %v", err)
	}
	r.options.Nonce, r.want.NonceRequired, r.want.Nonce = "", false, nil // no nonce endpoint
	if _, err := CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want); err != nil {
		t.Errorf("without nonce: %v", err)
	}
	bare := respell(t, r.holder, r.proof(t, r.holder), func(h, _ object) { delete(h, "jwk"); h["kid"] = did.FromKeyJWK(r.holder.Public()) })
	if _, err := CheckProofs(jwtProofs(bare), r.want); err != nil {
		t.Errorf("DID without fragment: %v", err)
	}
	r.options.Binding = "did:web"
	if _, err := MakeKeyProof(r.holder, r.options); err == nil {
		t.Error("unknown binding method")
	}
}

func TestKeyProofsRefused(t *testing.T) {
	other := newKey(t, keys.ES256)
	spoil := func(spoil func(h, c object)) func(*testing.T, *proofRig) *Proofs {
		return func(t *testing.T, r *proofRig) *Proofs {
			return jwtProofs(respell(t, r.holder, r.proof(t, r.holder), spoil))
		}
	}
	kid := func(kid func(r *proofRig) string) func(*testing.T, *proofRig) *Proofs {
		return func(t *testing.T, r *proofRig) *Proofs {
			return jwtProofs(respell(t, r.holder, r.proof(t, r.holder), func(h, _ object) { delete(h, "jwk"); h["kid"] = kid(r) }))
		}
	}
	alg := func(alg string) func(*testing.T, *proofRig) *Proofs {
		return func(t *testing.T, r *proofRig) *Proofs {
			proof := r.proof(t, r.holder)
			h := headerOf(t, proof)
			h["alg"] = alg
			return jwtProofs(unsigned(t, h, proof))
		}
	}
	rows := []struct {
		name string
		make func(t *testing.T, r *proofRig) *Proofs
		want *Refusal
	}{
		{"none", func(*testing.T, *proofRig) *Proofs { return nil }, ErrProofMissing},
		{"empty", func(*testing.T, *proofRig) *Proofs { return &Proofs{Type: ProofTypeJWT} }, ErrProofMissing},
		{"type unknown", func(*testing.T, *proofRig) *Proofs {
			return &Proofs{Type: "cwt", Others: []any{1}}
		}, ErrProofType},
		{"type di_vp", func(_ *testing.T, r *proofRig) *Proofs {
			r.want.Types[ProofTypeDIVP] = nil
			return &Proofs{Type: ProofTypeDIVP, Others: []any{object{}}}
		}, ErrProofType},
		{"type not offered", func(t *testing.T, r *proofRig) *Proofs {
			delete(r.want.Types, ProofTypeJWT)
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofType},
		{"too many", func(t *testing.T, r *proofRig) *Proofs {
			r.want.MaxProofs = 1
			return jwtProofs(r.proof(t, r.holder), r.proof(t, r.second))
		}, ErrProofCount},
		{"too many without batch", func(t *testing.T, r *proofRig) *Proofs {
			r.want.MaxProofs = 0
			return jwtProofs(r.proof(t, r.holder), r.proof(t, r.second))
		}, ErrProofCount},
		{"key twice", func(t *testing.T, r *proofRig) *Proofs { return jwtProofs(r.proof(t, r.holder), r.proof(t, r.holder)) }, ErrProofKeyTwice},
		{"malformed", func(*testing.T, *proofRig) *Proofs { return jwtProofs("x") }, ErrProofMalformed},
		{"second malformed", func(t *testing.T, r *proofRig) *Proofs { return jwtProofs(r.proof(t, r.holder), "x") }, ErrProofMalformed},
		{"typ JWT", spoil(func(h, _ object) { h["typ"] = "JWT" }), ErrProofTyp},
		{"typ missing", spoil(func(h, _ object) { delete(h, "typ") }), ErrProofTyp},
		{"typ of key binding", spoil(func(h, _ object) { h["typ"] = "kb+jwt" }), ErrProofTyp},
		{"alg none", alg("none"), ErrProofAlg},
		{"alg HS256", alg("HS256"), ErrProofAlg},
		{"alg RS256", alg("RS256"), ErrProofAlg},
		{"alg not offered", func(t *testing.T, r *proofRig) *Proofs {
			r.want.Types[ProofTypeJWT] = []keys.Alg{keys.EdDSA}
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofAlg},
		{"crit", spoil(func(h, _ object) { h["crit"] = []string{"x"} }), ErrProofMalformed},
		{"no key", spoil(func(h, _ object) { delete(h, "jwk") }), ErrProofKeyCount},
		{"jwk and kid", spoil(func(h, _ object) { h["kid"] = "x" }), ErrProofKeyCount},
		{"jwk and x5c", spoil(func(h, _ object) { h["x5c"] = []string{"AA=="} }), ErrProofKeyCount},
		{"x5c", spoil(func(h, _ object) { delete(h, "jwk"); h["x5c"] = []string{"AA=="} }), ErrProofKey},
		{"jwk private", spoil(func(h, _ object) { h["jwk"] = secretJWK(t, other) }), ErrProofKey},
		{"jwk symmetric", spoil(func(h, _ object) { h["jwk"] = object{"kty": "oct", "k": "AAAA"} }), ErrProofKey},
		{"jwk for encryption", spoil(func(h, _ object) { h["jwk"].(object)["use"] = "enc" }), ErrProofKey},
		{"jwk of another", spoil(func(h, _ object) { h["jwk"] = other.Public().JWK() }), ErrProofSignature},
		{"jwk not offered", func(t *testing.T, r *proofRig) *Proofs {
			r.want.BindingMethods = []string{BindingDIDKey}
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofKey},
		{"kid unknown", kid(func(*proofRig) string { return "x" }), ErrProofKey},
		{"did:web", kid(func(*proofRig) string { return "did:web:a.example#0" }), ErrProofKey},
		{"did:key malformed", kid(func(*proofRig) string { return "did:key:zx#zx" }), ErrProofKey},
		{"did:key wrong fragment", kid(func(r *proofRig) string { return did.FromKey(r.holder.Public()) + "#0" }), ErrProofKey},
		{"did:jwk wrong fragment", kid(func(r *proofRig) string { return did.FromKeyJWK(r.holder.Public()) + "#1" }), ErrProofKey},
		{"did:key of another", kid(func(*proofRig) string { return did.FromKey(other.Public()) }), ErrProofSignature},
		{"did:jwk not offered", func(t *testing.T, r *proofRig) *Proofs {
			r.want.BindingMethods, r.options.Binding = []string{BindingJWK, BindingDIDKey}, BindingDIDJWK
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofKey},
		{"aud missing", spoil(func(_, c object) { delete(c, "aud") }), ErrProofAudience},
		{"aud of the endpoint", spoil(func(_, c object) { c["aud"] = issuerID + "/credential" }), ErrProofAudience},
		{"aud with slash", spoil(func(_, c object) { c["aud"] = issuerID + "/" }), ErrProofAudience},
		{"aud array", spoil(func(_, c object) { c["aud"] = []string{issuerID} }), ErrProofMalformed},
		{"iss of another", spoil(func(_, c object) { c["iss"] = "x" }), ErrProofIssuer},
		{"iss of an anonymous client", func(t *testing.T, r *proofRig) *Proofs {
			r.want.ClientID = ""
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofIssuer},
		{"iat missing", spoil(func(_, c object) { delete(c, "iat") }), ErrProofMalformed},
		{"iat in milliseconds", spoil(func(_, c object) { c["iat"] = now.UnixMilli() }), ErrProofMalformed},
		{"iat text", spoil(func(_, c object) { c["iat"] = "1" }), ErrProofMalformed},
		{"iat old", spoil(func(_, c object) { c["iat"] = now.Add(-time.Hour).Unix() }), ErrProofTime},
		{"iat ahead", spoil(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrProofTime},
		{"expired", spoil(func(_, c object) { c["exp"] = now.Unix() }), ErrProofTime},
		{"nonce missing", spoil(func(_, c object) { delete(c, "nonce") }), ErrProofNoNonce},
		{"nonce unknown", spoil(func(_, c object) { c["nonce"] = "m" }), ErrInvalidNonce},
		{"nonce long", spoil(func(_, c object) { c["nonce"] = string(make([]byte, maxOpaque+1)) }), ErrInvalidNonce},
		{"nonce number", spoil(func(_, c object) { c["nonce"] = 1 }), ErrProofMalformed},
		{"delivery_proof number", spoil(func(_, c object) { c["delivery_proof"] = 1 }), ErrProofMalformed},
		{"attestation missing", func(t *testing.T, r *proofRig) *Proofs {
			r.attest()
			return jwtProofs(r.proof(t, r.holder))
		}, ErrProofUnattested},
	}
	for _, row := range rows {
		r := newProofRig(t)
		if _, err := CheckProofs(row.make(t, r), r.want); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
		if len(r.asked) > 0 && row.want != ErrInvalidNonce {
			t.Errorf("%s: a nonce was used up by a request that was refused", row.name)
		}
	}
}

func TestKeyAttestations(t *testing.T) {
	r := newProofRig(t)
	r.attest()
	r.options.KeyAttestation = r.keyAttestation(t)
	r.second, r.holder = r.holder, r.second
	set, err := CheckProofs(jwtProofs(r.proof(t, r.holder), r.proof(t, r.second)), r.want)
	if err != nil || len(set.Keys) != 2 || len(set.Attestations) != 1 || set.Attestations[0].Certification != "https://c.example" {
		t.Fatalf("a proof of each attested key: got %+v, %v", set, err)
	}
	// A credential for each attested key, the one that proved itself first; no more than a batch has.
	set, err = CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want)
	if err != nil || len(set.Keys) != 2 || !set.Keys[0].Equal(r.holder.Public()) {
		t.Fatalf("one proof: got %+v, %v", set, err)
	}
	r.want.MaxProofs = 1
	set, err = CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want)
	if err != nil || len(set.Keys) != 1 || !set.Keys[0].Equal(r.holder.Public()) {
		t.Fatalf("no batch: got %+v, %v", set, err)
	}
	// An attestation made ahead, without nonce, will do beside a proof that has one.
	r.attestation.Nonce = ""
	r.options.KeyAttestation = r.keyAttestation(t)
	if _, err := CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want); err != nil {
		t.Errorf("attestation without nonce: %v", err)
	}
	for _, kid := range []string{"1", r.holder.Public().Thumbprint(), "named"} {
		attestation := respell(t, r.provider, r.options.KeyAttestation, func(_, c object) { c["attested_keys"].([]any)[1].(object)["kid"] = "named" })
		proof := respell(t, r.holder, r.proof(t, r.holder), func(h, _ object) { delete(h, "jwk"); h["kid"], h["key_attestation"] = kid, attestation })
		if set, err := CheckProofs(jwtProofs(proof), r.want); err != nil || !set.Keys[0].Equal(r.holder.Public()) {
			t.Errorf("kid %s: %v", kid, err)
		}
	}
	// Not asked for, it is not looked at.
	r.want.KeyAttestation, r.want.AttestationRequired = nil, false
	r.options.KeyAttestation = "x"
	if _, err := CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want); err != nil {
		t.Errorf("not asked for: %v", err)
	}
}

func TestAttestationProof(t *testing.T) {
	r := newProofRig(t)
	r.attest()
	proofs := func(values ...string) *Proofs { return &Proofs{Type: ProofTypeAttestation, Values: values} }
	set, err := CheckProofs(proofs(r.keyAttestation(t)), r.want)
	if err != nil || len(set.Keys) != 2 || len(set.Proofs) != 0 || len(r.asked) != 1 {
		t.Fatalf("got %+v, %v", set, err)
	}
	if _, err := CheckProofs(proofs(r.keyAttestation(t), r.keyAttestation(t)), r.want); RefusalOf(err) != ErrKeyAttestationCount {
		t.Errorf("two: got %v", err)
	}
	r.attestation.Expires = time.Time{} // optional for this proof type
	if _, err := CheckProofs(proofs(r.keyAttestation(t)), r.want); err != nil {
		t.Errorf("without exp: %v", err)
	}
	r.attestation.Nonce = ""
	if _, err := CheckProofs(proofs(r.keyAttestation(t)), r.want); RefusalOf(err) != ErrKeyAttestationNoNonce {
		t.Errorf("without nonce: got %v", err)
	}
	r.want.KeyAttestation = nil
	if _, err := CheckProofs(proofs(r.keyAttestation(t)), r.want); RefusalOf(err) != ErrProofType {
		t.Errorf("nobody trusted: got %v", err)
	}
}

func TestKeyAttestationsRefused(t *testing.T) {
	other := newKey(t, keys.ES256)
	spoil := func(spoil func(h, c object)) func(*testing.T, *proofRig, string) string {
		return func(t *testing.T, r *proofRig, a string) string { return respell(t, r.provider, a, spoil) }
	}
	rows := []struct {
		name string
		make func(t *testing.T, r *proofRig, attestation string) string
		want *Refusal
	}{
		{"malformed", func(*testing.T, *proofRig, string) string { return "x" }, ErrKeyAttestationMalformed},
		{"typ", spoil(func(h, _ object) { h["typ"] = "keyattestation+jwt" }), ErrKeyAttestationTyp},
		{"alg none", func(t *testing.T, _ *proofRig, a string) string {
			h := headerOf(t, a)
			h["alg"] = "none"
			return unsigned(t, h, a)
		}, ErrKeyAttestationAlg},
		{"provider unknown", spoil(func(h, _ object) { h["kid"] = "x" }), ErrKeyAttestationUntrusted},
		{"signature of another", func(t *testing.T, _ *proofRig, a string) string { return respell(t, other, a, func(_, _ object) {}) }, ErrKeyAttestationSignature},
		{"iat missing", spoil(func(_, c object) { delete(c, "iat") }), ErrKeyAttestationMalformed},
		{"iat ahead", spoil(func(_, c object) { c["iat"] = now.Add(time.Hour).Unix() }), ErrKeyAttestationTime},
		{"exp missing", spoil(func(_, c object) { delete(c, "exp") }), ErrKeyAttestationTime},
		{"expired", spoil(func(_, c object) { c["exp"] = now.Unix() }), ErrKeyAttestationTime},
		{"exp text", spoil(func(_, c object) { c["exp"] = "x" }), ErrKeyAttestationMalformed},
		{"keys missing", spoil(func(_, c object) { delete(c, "attested_keys") }), ErrKeyAttestationKeys},
		{"keys empty", spoil(func(_, c object) { c["attested_keys"] = []any{} }), ErrKeyAttestationKeys},
		{"keys many", spoil(func(_, c object) { c["attested_keys"] = make([]object, maxAttestedKeys+1) }), ErrKeyAttestationKeys},
		{"key twice", spoil(func(_, c object) { k := c["attested_keys"].([]any); c["attested_keys"] = append(k, k[0]) }), ErrKeyAttestationKeys},
		{"key private", spoil(func(_, c object) { c["attested_keys"] = []any{secretJWK(t, other)} }), ErrKeyAttestationKeys},
		{"kid number", spoil(func(_, c object) { c["attested_keys"].([]any)[0].(object)["kid"] = 1 }), ErrKeyAttestationKeys},
		{"key of another", spoil(func(_, c object) { c["attested_keys"] = []any{other.Public().JWK()} }), ErrProofOtherKey},
		{"level", spoil(func(_, c object) { c["key_storage"] = []string{"iso_18045_basic"} }), ErrKeyAttestationLevel},
		{"level missing", spoil(func(_, c object) { delete(c, "key_storage") }), ErrKeyAttestationLevel},
		{"level empty", spoil(func(_, c object) { c["key_storage"] = []string{} }), ErrKeyAttestationMalformed},
		{"user_authentication empty", spoil(func(_, c object) { c["user_authentication"] = []string{} }), ErrKeyAttestationMalformed},
		{"nonce unknown", spoil(func(_, c object) { c["nonce"] = "m" }), ErrInvalidNonce},
	}
	for _, row := range rows {
		r := newProofRig(t)
		r.attest()
		r.options.KeyAttestation = row.make(t, r, r.keyAttestation(t))
		if _, err := CheckProofs(jwtProofs(r.proof(t, r.holder)), r.want); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	r := newProofRig(t)
	r.attest()
	proof := respell(t, r.holder, r.proof(t, r.holder), func(h, _ object) { h["key_attestation"] = 1 })
	if _, err := CheckProofs(jwtProofs(proof), r.want); RefusalOf(err) != ErrProofMalformed {
		t.Errorf("key_attestation number: got %v", err)
	}
	nobody := newProofRig(t)
	nobody.want.KeyAttestation = &ExpectKeyAttestation{}
	nobody.options.KeyAttestation = nobody.keyAttestation(t)
	if _, err := CheckProofs(jwtProofs(nobody.proof(t, nobody.holder)), nobody.want); RefusalOf(err) != ErrKeyAttestationUntrusted {
		t.Errorf("nobody trusted: got %v", err)
	}
	for _, kid := range []string{"2", "-1", "01x"} {
		attestation := r.keyAttestation(t)
		proof := respell(t, r.holder, r.proof(t, r.holder), func(h, _ object) { delete(h, "jwk"); h["kid"], h["key_attestation"] = kid, attestation })
		if _, err := CheckProofs(jwtProofs(proof), r.want); RefusalOf(err) != ErrProofKey {
			t.Errorf("kid %s: got %v", kid, err)
		}
	}
}

func TestProofsJSON(t *testing.T) {
	for _, text := range []string{`{"jwt":["a","b"]}`, `{"attestation":["a"]}`, `{"di_vp":[{"a":1}]}`} {
		var p Proofs
		if err := keys.DecodeJSON([]byte(text), &p); err != nil || string(jsonOf(t, p)) != text || p.IsZero() {
			t.Errorf("%s: got %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{`{}`, `{"jwt":[]}`, `{"jwt":["a"],"attestation":["b"]}`, `{"jwt":"a"}`, `{"jwt":[1]}`, `{"jwt":null}`, `[]`, `"x"`, `{"jwt":["a"],"jwt":["b"]}`} {
		var p Proofs
		if err := keys.DecodeJSON([]byte(text), &p); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	var none *Proofs
	if !none.IsZero() {
		t.Error("nil has no proofs")
	}
}
