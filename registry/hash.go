package registry

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Hash is a SHA-256 value, a Key the key of a slot in the map, a Value what the map holds at a key. As text all three are base64url
// without padding, read strictly.
type (
	Hash  [32]byte
	Key   [32]byte
	Value [32]byte
)

// Secret opens slots: whoever has the secret of a period finds the period's slots and opens their records. As text (in JSON) it is
// base64url; formatted or logged it shows nothing of itself.
type Secret [32]byte

// errText is returned for text that is not the base64url of 32 bytes. The text is not repeated: it may be a secret.
var errText = errors.New("not 32 bytes in base64url without padding")

func encode32(b [32]byte) string { return base64.RawURLEncoding.EncodeToString(b[:]) }

func decode32(dst *[32]byte, text []byte) error {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(dst)) {
		return errText
	}
	var b [33]byte // room for what Decode may write
	n, err := base64.RawURLEncoding.Strict().Decode(b[:], text)
	if err != nil || n != len(dst) {
		return errText
	}
	copy(dst[:], b[:])
	return nil
}

// String returns the hash in base64url.
func (h Hash) String() string { return encode32(h) }

// MarshalText writes the hash in base64url.
func (h Hash) MarshalText() ([]byte, error) { return []byte(encode32(h)), nil }

// UnmarshalText reads the base64url of a hash.
func (h *Hash) UnmarshalText(b []byte) error { return decode32((*[32]byte)(h), b) }

// String returns the key in base64url.
func (k Key) String() string { return encode32(k) }

// MarshalText writes the key in base64url.
func (k Key) MarshalText() ([]byte, error) { return []byte(encode32(k)), nil }

// UnmarshalText reads the base64url of a key.
func (k *Key) UnmarshalText(b []byte) error { return decode32((*[32]byte)(k), b) }

// String returns the value in base64url.
func (v Value) String() string { return encode32(v) }

// MarshalText writes the value in base64url.
func (v Value) MarshalText() ([]byte, error) { return []byte(encode32(v)), nil }

// UnmarshalText reads the base64url of a value.
func (v *Value) UnmarshalText(b []byte) error { return decode32((*[32]byte)(v), b) }

// MarshalText writes the secret in base64url.
func (s Secret) MarshalText() ([]byte, error) { return []byte(encode32(s)), nil }

// UnmarshalText reads the base64url of a secret.
func (s *Secret) UnmarshalText(b []byte) error { return decode32((*[32]byte)(s), b) }

// Format writes a placeholder whatever the verb, so that no secret reaches an error or a printed line by mistake.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue keeps the secret out of structured logs, which would use its text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

const hidden = "[secret]"

// HashOf returns H(b).
func HashOf(b []byte) Hash { return sha256.Sum256(b) }

// hashOf returns H over a label and the parts joined.
func hashOf(label string, parts ...[]byte) [32]byte {
	var room [128]byte // enough for a label and two hashes
	b := append(room[:0], label...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}
