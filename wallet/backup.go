package wallet

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/scrypt"

	"akashi/internal/store"
)

// A backup is one file, everything that the wallet holds, encrypted under a recovery code:
//
//	magic    "akashi-wallet-backup-v1\n"
//	logN(1)  scrypt work factor as a power of two, with r = 8, p = 1
//	salt(16) nonce(24)
//	XChaCha20-Poly1305 under scrypt(code, salt), with all before it as associated data, of
//	    uint32 length || extra                                          the caller's own
//	    (uint32 length || key || uint32 length || value)*               the store, keys ascending
//
// Integers are big endian. The code is 24 letters and digits, 120 random bits, so that nobody guesses it; scrypt is for codes that leak in part.
const (
	backupMagic     = "akashi-wallet-backup-v1\n"
	backupSalt      = 16
	backupHeader    = len(backupMagic) + 1 + backupSalt + chacha20poly1305.NonceSizeX
	backupLogN      = 16
	backupMaxLogN   = 20                                 // 1 GiB: what a file may ask of the machine that opens it
	backupChunk     = 64                                 // entries a transaction
	recoveryLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford: nothing that can be misread
	recoveryLength  = 24
)

var (
	// ErrBackup is returned for what is no backup of a wallet, or a damaged one.
	ErrBackup = errors.New("this is no backup of a wallet, or it is damaged")
	// ErrRecoveryCode is returned when a backup does not open with the code.
	ErrRecoveryCode = errors.New("the recovery code does not open this backup: check each letter")
)

// NewRecoveryCode makes a code, in groups of four. It is to be shown once and kept by nobody but the worker.
func NewRecoveryCode() string {
	random := make([]byte, recoveryLength)
	_, _ = rand.Read(random) // never fails
	var b strings.Builder
	for n, r := range random {
		if n > 0 && n%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(recoveryLetters[r%32])
	}
	return b.String()
}

// normalCode undoes what people do to a code when they write it down: small letters, spaces, O for 0, I and L for 1.
func normalCode(code string) (string, error) {
	code = strings.NewReplacer("-", "", " ", "", "\t", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(code)))
	if len(code) != recoveryLength || strings.Trim(code, recoveryLetters) != "" {
		return "", fmt.Errorf("%w: it has %d letters and digits", ErrRecoveryCode, recoveryLength)
	}
	return code, nil
}

// Backup returns everything that the wallet holds, keys and own statements too, encrypted under the code. extra goes along.
func (w *Wallet) Backup(ctx context.Context, code string, extra []byte) ([]byte, error) {
	plain := appendField(nil, extra)
	err := w.Store.View(ctx, func(tx store.Tx) error {
		plain = appendField(nil, extra)
		return tx.Scan(nil, func(key, value []byte) error {
			plain = appendField(appendField(plain, key), value)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	header := append([]byte(backupMagic), backupLogN)
	random := make([]byte, backupSalt+chacha20poly1305.NonceSizeX)
	if _, err := w.Rand.Read(random); err != nil {
		return nil, err
	}
	header = append(header, random...)
	aead, err := backupKey(code, header)
	if err != nil {
		return nil, err
	}
	return aead.Seal(header, header[len(header)-chacha20poly1305.NonceSizeX:], plain, bytes.Clone(header)), nil
}

func appendField(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// backupKey derives the key by the work factor and salt in the header.
func backupKey(code string, header []byte) (cipher.AEAD, error) {
	code, err := normalCode(code)
	if err != nil {
		return nil, err
	}
	logN := header[len(backupMagic)]
	if logN < 10 || logN > backupMaxLogN {
		return nil, fmt.Errorf("%w: its work factor is out of range", ErrBackup)
	}
	salt := header[len(backupMagic)+1:][:backupSalt]
	key, err := scrypt.Key([]byte(code), salt, 1<<logN, 8, 1, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// Backup is an opened backup.
type Backup struct {
	Extra   []byte // as it was given to [Wallet.Backup]
	entries []backupEntry
}

type backupEntry struct{ key, value []byte }

// OpenBackup decrypts a backup.
func OpenBackup(data []byte, code string) (*Backup, error) {
	if len(data) < backupHeader || string(data[:len(backupMagic)]) != backupMagic {
		return nil, ErrBackup
	}
	header := data[:backupHeader]
	aead, err := backupKey(code, header)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, header[backupHeader-chacha20poly1305.NonceSizeX:], data[backupHeader:], header)
	if err != nil {
		return nil, ErrRecoveryCode
	}
	return parseBackup(plain)
}

// parseBackup reads what was encrypted.
func parseBackup(plain []byte) (*Backup, error) {
	b := &Backup{}
	var ok bool
	if b.Extra, plain, ok = cutField(plain); !ok {
		return nil, ErrBackup
	}
	for len(plain) > 0 {
		var e backupEntry
		if e.key, plain, ok = cutField(plain); ok {
			e.value, plain, ok = cutField(plain)
		}
		if !ok || len(b.entries) > 0 && bytes.Compare(b.entries[len(b.entries)-1].key, e.key) >= 0 {
			return nil, ErrBackup
		}
		b.entries = append(b.entries, e)
	}
	return b, nil
}

func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, nil, false
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:n], b[n:], true
}

// Restore writes the backup into an empty store and opens the wallet. The settings go in last: a restore that was cut short leaves no wallet.
func (b *Backup) Restore(ctx context.Context, cfg Config) (*Wallet, error) {
	err := cfg.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan(nil, func(key, _ []byte) error {
			if string(key) == keySettings {
				return ErrWallet
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	var settings, rest []backupEntry
	for _, e := range b.entries {
		if string(e.key) == keySettings {
			settings = append(settings, e)
		} else {
			rest = append(rest, e)
		}
	}
	if len(settings) == 0 {
		return nil, ErrBackup
	}
	for len(rest) > 0 {
		n := min(len(rest), backupChunk)
		if err := writeEntries(ctx, cfg.Store, rest[:n]); err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	if err := writeEntries(ctx, cfg.Store, settings); err != nil {
		return nil, err
	}
	return Open(ctx, cfg)
}

func writeEntries(ctx context.Context, s store.Store, entries []backupEntry) error {
	return s.Update(ctx, func(tx store.Tx) error {
		for _, e := range entries {
			if err := tx.Set(e.key, e.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Export is what the wallet holds, for other programs. It has no keys.
type Export struct {
	Holder      json.RawMessage `json:"holder_jwk"`
	Registry    string          `json:"registry"`
	TrustList   string          `json:"trust_list,omitempty"` // by which the documents were verified: the newest that the wallet knows
	Documents   []Item          `json:"documents"`
	Credentials []Credential    `json:"credentials"` // of other types
}

// Export returns every document with its SD-JWT.
func (w *Wallet) Export(ctx context.Context) (*Export, error) {
	e := &Export{Holder: w.PublicJWK(), Registry: w.settings.Origin}
	err := w.Store.View(ctx, func(tx store.Tx) error {
		list, err := tx.Get([]byte(keyTrustList))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		e.TrustList = string(list)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e.Documents, err = w.List(ctx); err != nil {
		return nil, err
	}
	e.Credentials, err = w.Credentials(ctx)
	return e, err
}
