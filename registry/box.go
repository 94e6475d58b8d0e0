package registry

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"akashi/internal/keys"
)

// A record is sealed in two boxes and published; publication is delivery.
//
//	A = nonce(12) || AES-256-GCM(seal, uint32 length || issuer-signed JWT || zeros)    opened by whoever was shown the period
//	B = JWE (ECDH-ES, A256GCM) of uint32 length || all disclosures || zeros             opened by the worker only
//	V = H("akashi/value/v1" || H(A) || H(B))
//	seal = HKDF-SHA256(s, salt = K, info "akashi/seal/v1", 32 bytes)
//
// The plaintext, length and zeros included, fills the smallest size class that holds it: 4, 8, 16 or 32 KiB in A, 2, 4 or 8 in B. The
// nonce is random and the associated data K. Disclosures are joined by "~", as in an SD-JWT. B's protected header is exactly alg, enc,
// epk and apv = base64url(K): a kid would link all that one worker receives. No B, for a worker without a delivery key, is zero bytes.

// A class more or less makes other plaintexts for the nonces and the recipes that issuers keep, which must not meet two: see [SealBAgain].
var (
	sizesA = []int{4 << 10, 8 << 10, 16 << 10, 32 << 10}
	sizesB = []int{2 << 10, 4 << 10, 8 << 10}
)

const (
	// NonceSize is the number of octets that A begins with.
	NonceSize = 12

	tagSize   = 16
	labelSeal = "akashi/seal/v1"

	// MaxA is the length of the longest A, MaxB a bound on the length of B.
	MaxA = NonceSize + 32<<10 + tagSize
	MaxB = 12 << 10
)

// Why a box was refused.
var (
	ErrBoxTooLarge = errors.New("does not fit into the largest box: shorten the attestation")
	ErrBoxLength   = errors.New("box has a length that no size class has")
	ErrBoxSealed   = errors.New("box does not open with this secret or key")
	ErrBoxContent  = errors.New("box says it holds more than there is room for")
	ErrBoxClass    = errors.New("box is larger than its content needs")
	ErrBoxPadding  = errors.New("box is filled up with something else than zeros")
	ErrBoxEmpty    = errors.New("box is empty: this record was not delivered through the registry, collect it from its issuer")
	ErrDisclosures = errors.New("disclosures must be base64url and not empty")
)

// pad returns uint32 length || content || zeros, filling the smallest of the sizes, after as many free octets as before says and with
// capacity for after more.
func pad(content string, sizes []int, before, after int) ([]byte, error) {
	for _, size := range sizes {
		if 4+len(content) <= size {
			b := make([]byte, before+size, before+size+after)
			binary.BigEndian.PutUint32(b[before:], uint32(len(content)))
			copy(b[before+4:], content)
			return b, nil
		}
	}
	return nil, ErrBoxTooLarge
}

// unpad is the exact reverse of pad: one content has one form.
func unpad(b []byte, sizes []int) ([]byte, error) {
	class := -1
	for i, size := range sizes {
		if len(b) == size {
			class = i
		}
	}
	if class < 0 {
		return nil, ErrBoxLength
	}
	n := binary.BigEndian.Uint32(b)
	switch {
	case uint64(n) > uint64(len(b)-4):
		return nil, ErrBoxContent
	case class > 0 && 4+int(n) <= sizes[class-1]:
		return nil, ErrBoxClass
	}
	for _, c := range b[4+n:] {
		if c != 0 {
			return nil, ErrBoxPadding
		}
	}
	return b[4 : 4+n], nil
}

// sealer returns the cipher of one slot. A key seals one record, at most a few where a submission lost a race, so that random nonces
// do not meet.
func sealer(s Secret, k Key) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s[:], k[:], labelSeal, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SealA seals an issuer-signed JWT for the slot with secret s and key k; the nonce is read from rand. The issuer keeps the result and
// submits the same octets again when an answer is lost: sealed anew it would be another record.
func SealA(rand io.Reader, s Secret, k Key, jwt string) ([]byte, error) {
	out, err := pad(jwt, sizesA, NonceSize, tagSize)
	if err != nil {
		return nil, fmt.Errorf("sealing A: %w", err)
	}
	aead, err := sealer(s, k)
	if err != nil {
		return nil, fmt.Errorf("sealing A: %w", err)
	}
	nonce, plain := out[:NonceSize], out[NonceSize:]
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("sealing A: reading the nonce: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, k[:]), nil // where plain stands
}

// OpenA opens A and returns the JWT inside, about which nothing is verified yet.
func OpenA(s Secret, k Key, a []byte) (jwt string, err error) {
	if !isSizeA(len(a)) {
		return "", fmt.Errorf("opening A: %w", ErrBoxLength)
	}
	aead, err := sealer(s, k)
	if err != nil {
		return "", fmt.Errorf("opening A: %w", err)
	}
	plain, err := aead.Open(nil, a[:NonceSize], a[NonceSize:], k[:])
	if err != nil {
		return "", fmt.Errorf("opening A: %w", ErrBoxSealed)
	}
	content, err := unpad(plain, sizesA)
	if err != nil {
		return "", fmt.Errorf("opening A: %w", err)
	}
	return string(content), nil
}

func isSizeA(n int) bool {
	for _, size := range sizesA {
		if n == NonceSize+size+tagSize {
			return true
		}
	}
	return false
}

// SealB seals the disclosures of a record for the worker's delivery key. The zero key stands for a worker whose wallet announced
// none, and gives the empty B.
func SealB(to keys.Public, k Key, disclosures []string) ([]byte, error) {
	b, _, err := SealBRecipe(to, k, disclosures)
	return b, err
}

// SealBRecipe is [SealB] for one who keeps the disclosures anyway: instead of B the recipe is enough, see [SealBAgain]. That of the empty B is
// zero.
func SealBRecipe(to keys.Public, k Key, disclosures []string) (b []byte, r keys.Recipe, err error) {
	if to.IsZero() {
		return nil, r, nil
	}
	plain, err := plainB(disclosures)
	if err == nil {
		b, r, err = keys.EncryptRecipe(to, k[:], plain)
	}
	if err != nil {
		return nil, r, fmt.Errorf("sealing B: %w", err)
	}
	return b, r, nil
}

// SealBAgain makes the same octets again as [SealBRecipe] did, when k and disclosures are the same.
func SealBAgain(r keys.Recipe, k Key, disclosures []string) ([]byte, error) {
	if r == (keys.Recipe{}) {
		return nil, nil
	}
	plain, err := plainB(disclosures)
	if err != nil {
		return nil, fmt.Errorf("sealing B: %w", err)
	}
	return r.Encrypt(k[:], plain)
}

// plainB returns the padded text of B.
func plainB(disclosures []string) ([]byte, error) {
	for _, d := range disclosures {
		if !isBase64URL(d) {
			return nil, ErrDisclosures
		}
	}
	return pad(strings.Join(disclosures, "~"), sizesB, 0, 0)
}

// OpenB opens B and returns the disclosures inside, about which nothing is verified yet.
func OpenB(key *keys.Private, k Key, b []byte) ([]string, error) {
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("opening B: %w", ErrBoxEmpty)
	case len(b) > MaxB:
		return nil, fmt.Errorf("opening B: %w", ErrBoxLength)
	}
	plain, err := key.Decrypt(string(b), k[:])
	if err != nil {
		return nil, fmt.Errorf("opening B: %w", errors.Join(ErrBoxSealed, err))
	}
	content, err := unpad(plain, sizesB)
	if err != nil {
		return nil, fmt.Errorf("opening B: %w", err)
	}
	if len(content) == 0 {
		return nil, nil
	}
	disclosures := strings.Split(string(content), "~")
	for _, d := range disclosures {
		if !isBase64URL(d) {
			return nil, fmt.Errorf("opening B: %w", ErrDisclosures)
		}
	}
	return disclosures, nil
}

// alphabet has 1 for the octets of base64url.
var alphabet = func() (is [256]byte) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		is[c] = 1
	}
	return is
}()

func isBase64URL[T string | []byte](s T) bool {
	all := byte(1)
	for i := range len(s) {
		all &= alphabet[s[i]]
	}
	return len(s) > 0 && all == 1
}

// CheckBoxes tells whether a and b can be boxes by their outer form, which is all that one without the secret can tell: A has the
// length of a size class, B is nothing or a compact JWE of bounded length.
func CheckBoxes(a, b []byte) error {
	switch {
	case !isSizeA(len(a)):
		return fmt.Errorf("box A of %d bytes: %w", len(a), ErrBoxLength)
	case len(b) > MaxB:
		return fmt.Errorf("box B of %d bytes: %w", len(b), ErrBoxLength)
	case len(b) == 0:
		return nil
	}
	parts := bytes.Split(b, []byte("."))
	if len(parts) != 5 {
		return fmt.Errorf("box B: %w", errNotJWE)
	}
	for i, p := range parts {
		if empty := i == 1; len(p) == 0 != empty || !empty && !isBase64URL(p) { // ECDH-ES has no encrypted key
			return fmt.Errorf("box B: %w", errNotJWE)
		}
	}
	return nil
}

var errNotJWE = errors.New("not a compact JWE by direct key agreement")

// ValueOf returns what the log commits to for a record: V = H("akashi/value/v1" || H(A) || H(B)).
func ValueOf(a, b []byte) Value { return ValueOfHashes(HashOf(a), HashOf(b)) }

// ValueOfHashes is [ValueOf] for one who has only the hashes of the boxes.
func ValueOfHashes(ha, hb Hash) Value { return hashOf("akashi/value/v1", ha[:], hb[:]) }
