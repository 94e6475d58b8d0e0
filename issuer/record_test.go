package issuer

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"akashi/registry"
)

// recipe is that of any box A.
var recipe = bytes.Repeat([]byte{7}, recipeSize)

func TestOctets(t *testing.T) {
	for _, o := range []octets{{recipe: recipe, b: []byte("bb"), sdJWT: []byte("x~y~")}, {recipe: recipe, b: []byte{}, sdJWT: []byte{}}} {
		got, err := parseOctets(o.marshal())
		if err != nil || !bytes.Equal(got.recipe, o.recipe) || !bytes.Equal(got.b, o.b) || !bytes.Equal(got.sdJWT, o.sdJWT) {
			t.Errorf("got %+v, %v, want %+v", got, err, o)
		}
	}
	for _, bad := range []string{"", string(recipe), string(recipe) + "\x00\x00\x00", string(recipe) + "\x00\x00\x00\x02a", string(recipe) + "\xff\xff\xff\xff"} {
		if _, err := parseOctets([]byte(bad)); !errors.Is(err, errOctets) {
			t.Errorf("parseOctets(%q): %v, want %v", bad, err, errOctets)
		}
	}
}

// Box A comes back from the store as it was sealed.
func TestBoxAMadeAgain(t *testing.T) {
	secret, k := registry.Secret{1}, registry.Key{2}
	a, err := registry.SealA(rand.Reader, secret, k, "header.payload.signature")
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseOctets(octets{recipe: append(secret[:], a[:registry.NonceSize]...), sdJWT: []byte("header.payload.signature~d~")}.marshal())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.makeA(k); err != nil || !bytes.Equal(o.a, a) {
		t.Errorf("got %x, %v, want %x", o.a, err, a)
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
	f.Add(octets{recipe: recipe, b: []byte("b"), sdJWT: []byte("c~")}.marshal())
	f.Add([]byte("\x00\x00\x00\x02a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := parseOctets(b)
		if err == nil && !bytes.Equal(o.marshal(), b) {
			t.Errorf("%x comes back as %x", b, o.marshal())
		}
	})
}
