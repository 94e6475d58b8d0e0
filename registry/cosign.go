package registry

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// algCosignatureV1 is the signature type of timestamped Ed25519 checkpoint cosignatures (C2SP signed-note, tlog-cosignature).
const algCosignatureV1 = 0x04

// maxCosignatureTime bounds the times that a verifier accepts: the end of the year 9999, beyond which times cannot be written.
const maxCosignatureTime = 253402300799

// NewCosigner returns a signer of C2SP cosignature/v1 lines that takes its time from now.
func NewCosigner(name string, key ed25519.PrivateKey, now func() time.Time) (note.Signer, error) {
	if !validKeyName(name) {
		return nil, fmt.Errorf("%q cannot be the name of a key: no spaces, no plus sign, not empty", name)
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("not an Ed25519 private key")
	}
	public := key.Public().(ed25519.PublicKey)
	return &cosigner{name: name, hash: cosignatureKeyHash(name, public), key: key, now: now}, nil
}

// CosignerVKey returns the verifier key of a cosigner (C2SP signed-note, "Verifier keys"):
//
//	name "+" 8 hexadecimal digits of the key ID "+" base64(0x04 || public key)
func CosignerVKey(name string, public ed25519.PublicKey) string {
	blob := append([]byte{algCosignatureV1}, public...)
	return fmt.Sprintf("%s+%08x+%s", name, cosignatureKeyHash(name, public), base64.StdEncoding.EncodeToString(blob))
}

// NewCosignatureVerifier returns the verifier of the cosignatures of a vkey.
func NewCosignatureVerifier(vkey string) (note.Verifier, error) {
	k, err := parseVKey(vkey)
	if err != nil {
		return nil, err
	}
	if k.alg != algCosignatureV1 {
		return nil, fmt.Errorf("not the vkey of a cosigner: its type is %#02x, a cosigner's is %#02x", k.alg, algCosignatureV1)
	}
	return &cosignatureVerifier{k}, nil
}

type cosigner struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
	now  func() time.Time
}

func (s *cosigner) Name() string    { return s.name }
func (s *cosigner) KeyHash() uint32 { return s.hash }

// Sign returns the signature blob of a cosignature: uint64 time || 64 bytes.
func (s *cosigner) Sign(text []byte) ([]byte, error) {
	t := s.now().Unix()
	if t < 0 || t > maxCosignatureTime {
		return nil, errors.New("the clock is out of range: set it")
	}
	msg, err := cosignedMessage(uint64(t), text)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, uint64(t)), ed25519.Sign(s.key, msg)...), nil
}

type cosignatureVerifier struct{ vkey }

func (v *cosignatureVerifier) Name() string    { return v.name }
func (v *cosignatureVerifier) KeyHash() uint32 { return v.hash }

func (v *cosignatureVerifier) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	t := binary.BigEndian.Uint64(sig)
	msg, err := cosignedMessage(t, text)
	return err == nil && t <= maxCosignatureTime && ed25519.Verify(v.public, msg, sig[8:])
}

// cosignedMessage returns what a cosignature signs (C2SP tlog-cosignature, "Format"):
//
//	cosignature/v1
//	time <unix seconds>
//	<checkpoint text, its last newline included>
func cosignedMessage(t uint64, text []byte) ([]byte, error) {
	if _, err := parseCheckpointText(string(text)); err != nil {
		return nil, err
	}
	msg := append(make([]byte, 0, 64+len(text)), "cosignature/v1\ntime "...)
	msg = append(strconv.AppendUint(msg, t, 10), '\n')
	return append(msg, text...), nil
}

// vkey is a parsed verifier key.
type vkey struct {
	name   string
	hash   uint32
	alg    byte
	public ed25519.PublicKey
}

func parseVKey(s string) (vkey, error) {
	name, rest, _ := strings.Cut(s, "+")
	hexHash, b64, _ := strings.Cut(rest, "+")
	hash, errHash := strconv.ParseUint(hexHash, 16, 32)
	blob, errKey := base64.StdEncoding.Strict().DecodeString(b64)
	if errHash != nil || len(hexHash) != 8 || errKey != nil || len(blob) != 1+ed25519.PublicKeySize || !validKeyName(name) {
		return vkey{}, errors.New("not a vkey of an Ed25519 key: write name+hash+base64 as printed by the key's owner")
	}
	k := vkey{name: name, hash: keyHash(name, blob), alg: blob[0], public: blob[1:]}
	if k.hash != uint32(hash) {
		return vkey{}, errors.New("the vkey's hash does not match its name and key: copy it again")
	}
	return k, nil
}

// keyHash returns the key ID, the first four bytes of SHA-256(name || 0x0A || type || public key).
func keyHash(name string, blob []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), blob...))
	return binary.BigEndian.Uint32(sum[:])
}

func cosignatureKeyHash(name string, public ed25519.PublicKey) uint32 {
	return keyHash(name, append([]byte{algCosignatureV1}, public...))
}

func validKeyName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || r == '+' || unicode.IsControl(r) })
}
