package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

func TestOctets(t *testing.T) {
	made := recipe{secret: registry.Secret{1}, nonce: [registry.NonceSize]byte{2}, b: keys.Recipe{3}}
	for _, o := range []octets{{recipe: made, sdJWT: []byte("x~y~")}, {recipe: made, sdJWT: []byte{}}} {
		got, err := parseOctets(o.marshal())
		if err != nil || got.recipe != o.recipe || !bytes.Equal(got.sdJWT, o.sdJWT) {
			t.Errorf("got %+v, %v, want %+v", got, err, o)
		}
	}
	for n := range recipeSize {
		if _, err := parseOctets(make([]byte, n)); !errors.Is(err, errOctets) {
			t.Errorf("parseOctets(%d octets): %v, want %v", n, err, errOctets)
		}
	}
}

// The boxes come back from the store as they were sealed, an empty B as an empty one.
func TestBoxesMadeAgain(t *testing.T) {
	delivery, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	secret, k, jwt, disclosures := registry.Secret{1}, registry.Key{2}, "header.payload.signature", []string{"YQ", "Yg"}
	for name, to := range map[string]keys.Public{"delivered": delivery.Public(), "no delivery key": {}} {
		a, err := registry.SealA(rand.Reader, secret, k, jwt)
		if err != nil {
			t.Fatal(err)
		}
		b, again, err := registry.SealBRecipe(to, k, disclosures)
		if err != nil {
			t.Fatal(err)
		}
		stored := octets{recipe: recipe{secret, [registry.NonceSize]byte(a), again}, sdJWT: []byte(jwt + "~YQ~Yg~")}
		o, err := parseOctets(stored.marshal())
		if err != nil {
			t.Fatal(err)
		}
		if err := o.seal(k); err != nil || !bytes.Equal(o.a, a) || !bytes.Equal(o.b, b) {
			t.Errorf("%s: got %x %q, %v, want %x %q", name, o.a, o.b, err, a, b)
		}
	}
}

// Boxes are made for the record's own SD-JWT alone: not of octets in another layout, or of another record.
func TestOctetsOfAnother(t *testing.T) {
	r := &record{ID: "AAAA", Engagement: "e", Key: registry.Key{2}}
	o := octets{recipe: recipe{secret: registry.Secret{1}}, sdJWT: []byte("header.payload.signature~")}
	s := store.NewMemory()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if err := r.save(tx, "o", &o); err != nil {
			return err
		}
		_, err := loadOctets(tx, "o", r)
		return err
	})
	if !errors.Is(err, errOctets) {
		t.Errorf("got %v, want %v", err, errOctets)
	}
}

func TestChunks(t *testing.T) {
	for _, total := range []int{0, 1, lastChunk, lastChunk + 1, 333, chunkSize, 2*chunkSize - 1, 2 * chunkSize, 10_000} {
		drafts := make([]*draft, total)
		for n := range drafts {
			drafts[n] = &draft{row: n}
		}
		next := 0
		for chunk := range chunks(drafts) {
			if len(chunk) == 0 || len(chunk) > chunkSize {
				t.Fatalf("%d drafts: a chunk of %d", total, len(chunk))
			}
			for _, d := range chunk {
				if d.row != next {
					t.Fatalf("%d drafts: draft %d where %d should be", total, d.row, next)
				}
				next++
			}
			if next == total && len(chunk) > lastChunk {
				t.Errorf("%d drafts: the last chunk has %d", total, len(chunk))
			}
		}
		if next != total {
			t.Errorf("%d drafts: %d are in chunks", total, next)
		}
	}
}

func FuzzParseOctets(f *testing.F) {
	f.Add(append(make([]byte, recipeSize), "c~"...))
	f.Add(make([]byte, recipeSize-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := parseOctets(b)
		if err == nil && !bytes.Equal(o.marshal(), b) {
			t.Errorf("%x comes back as %x", b, o.marshal())
		}
	})
}
