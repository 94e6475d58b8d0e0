package wallet

import (
	"bytes"
	"errors"
	"testing"

	"akashi/internal/keys"
	"akashi/internal/store"
)

func smallWallet(t testing.TB) *Wallet {
	t.Helper()
	anchor, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Create(t.Context(), Config{Store: store.NewMemory()}, "registry.example", anchor.Public())
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * backupChunk / 2 {
		id := string(rune('a'+n%26)) + string(rune('a'+n/26))
		if err := w.Store.Update(t.Context(), func(tx store.Tx) error { return saveItem(tx, Item{ID: id, SDJWT: id + "~"}) }); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestBackupAndRestore(t *testing.T) {
	w := smallWallet(t)
	code := NewRecoveryCode()
	if other := NewRecoveryCode(); other == code || len(code) != 29 {
		t.Errorf("recovery codes %q and %q", code, other)
	}
	data, err := w.Backup(t.Context(), code, []byte("extra"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(keySettings)) {
		t.Error("the backup is readable")
	}
	spelt := " " + string(bytes.ToLower(bytes.ReplaceAll([]byte(code), []byte("-"), []byte(" ")))) + "\n"
	b, err := OpenBackup(data, spelt)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := b.Restore(t.Context(), Config{Store: store.NewMemory()})
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := restored.List(t.Context())
	if err != nil || len(got) != len(want) || string(b.Extra) != "extra" {
		t.Errorf("%d documents of %d, %v", len(got), len(want), err)
	}
	if !restored.holder.Public().Equal(w.holder.Public()) || !restored.delivery.Public().Equal(w.delivery.Public()) {
		t.Error("other keys after the restore")
	}
	if _, err := b.Restore(t.Context(), restored.Config); !errors.Is(err, ErrWallet) {
		t.Errorf("over another wallet: %v", err)
	}
}

// TestBackupRefuses starts from a backup that opens and spoils one thing a row.
func TestBackupRefuses(t *testing.T) {
	code := NewRecoveryCode()
	good, err := smallWallet(t).Backup(t.Context(), code, nil)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
		code  string
		want  error
	}{
		{"magic", flip(0), code, ErrBackup},
		{"empty", func([]byte) []byte { return nil }, code, ErrBackup},
		{"cut in the header", func(b []byte) []byte { return b[:backupHeader-1] }, code, ErrBackup},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, code, ErrRecoveryCode},
		{"longer", func(b []byte) []byte { return append(b, 0) }, code, ErrRecoveryCode},
		{"work without end", func(b []byte) []byte { b[len(backupMagic)] = 40; return b }, code, ErrBackup},
		{"other work", func(b []byte) []byte { b[len(backupMagic)]--; return b }, code, ErrRecoveryCode},
		{"salt", flip(len(backupMagic) + 1), code, ErrRecoveryCode},
		{"nonce", flip(backupHeader - 1), code, ErrRecoveryCode},
		{"text", flip(backupHeader), code, ErrRecoveryCode},
		{"tag", flip(-1), code, ErrRecoveryCode},
		{"another code", func(b []byte) []byte { return b }, NewRecoveryCode(), ErrRecoveryCode},
		{"half a code", func(b []byte) []byte { return b }, code[:14], ErrRecoveryCode},
		{"no code", func(b []byte) []byte { return b }, "", ErrRecoveryCode},
	} {
		if _, err := OpenBackup(c.spoil(bytes.Clone(good)), c.code); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := OpenBackup(good, code); err != nil {
		t.Errorf("the unspoilt one: %v", err)
	}
}

// FuzzParseBackup: what parses, written again, is the same octets.
func FuzzParseBackup(f *testing.F) {
	field := func(texts ...string) (b []byte) {
		for _, t := range texts {
			b = appendField(b, []byte(t))
		}
		return b
	}
	f.Add(field("extra", "a", "1", "b", "2"))
	f.Add(field("", "b", "1", "a", "2"))
	f.Add(field("", "a"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBackup(data)
		if err != nil {
			return
		}
		again := appendField(nil, b.Extra)
		for _, e := range b.entries {
			again = appendField(appendField(again, e.key), e.value)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x became %x", data, again)
		}
	})
}
