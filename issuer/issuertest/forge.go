package issuertest

import (
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
)

// Claims returns the claims of an SD-JWT of this world, verified.
func (w *World) Claims(compact string) map[string]any {
	w.T.Helper()
	u, err := sdjwt.Parse(compact)
	if err != nil {
		w.T.Fatal(err)
	}
	_, key, err := w.Registry.List.EntityForHeader(u.Header(), w.Clock.Now())
	if err != nil {
		w.T.Fatal(err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256}})
	if err != nil {
		w.T.Fatal(err)
	}
	return v.Claims
}

// Sign signs claims with the key of the organization of actor. Values to be disclosable are marked with [sdjwt.Hidden].
func (w *World) Sign(actor string, claims map[string]any) string {
	w.T.Helper()
	key, err := keys.ParsePrivate(w.Orgs[actor].Signing)
	if err != nil {
		w.T.Fatal(err)
	}
	compact, err := sdjwt.Issue(key, keys.Header{"kid": key.Public().Thumbprint()}, claims, sdjwt.Options{})
	if err != nil {
		w.T.Fatal(err)
	}
	return compact
}

// ForgeEngagement signs an engagement again as actor, in the right form, after spoiling its claims. Values that are hidden already stay so.
func (w *World) ForgeEngagement(actor, compact string, spoil func(claims map[string]any)) string {
	w.T.Helper()
	claims := w.Claims(compact)
	spoil(claims)
	for _, name := range []string{"worker", "terms"} {
		hide(claims[name])
	}
	if proof, ok := claims["delivery_proof"].(string); ok {
		claims["delivery_proof"] = sdjwt.Hidden(proof)
	}
	for _, periods := range claims["slots"].(map[string]any) {
		for _, slot := range periods.(map[string]any) {
			hide(slot)
		}
	}
	return w.Sign(actor, claims)
}

// hide marks the members of an object that are plain values.
func hide(v any) {
	members, _ := v.(map[string]any)
	for name, member := range members {
		switch member.(type) {
		case map[string]any, string, bool, interface{ Int64() (int64, error) }:
			members[name] = sdjwt.Hidden(member)
		}
	}
}

// Seal seals an SD-JWT for a slot of the writer. The zero delivery key leaves box B empty.
func (w *World) Seal(writer string, secret registry.Secret, jwt string, disclosures []string, delivery keys.Public) registry.Record {
	w.T.Helper()
	key := registry.KeyOf(writer, secret.Find())
	a, err := registry.SealA(zeros{}, secret, key, jwt)
	if err != nil {
		w.T.Fatal(err)
	}
	b, err := registry.SealB(delivery, key, disclosures)
	if err != nil {
		w.T.Fatal(err)
	}
	return registry.Record{X: secret.Find(), A: a, B: b}
}

// zeros is a source of nonces for records that are sealed once.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
