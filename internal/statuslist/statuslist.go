// Package statuslist implements the IETF Token Status List (draft-ietf-oauth-status-list-20): building, compressing and reading lists (Section
// 4), the Status List Token in JWT form (Section 5.1), references to it in credentials (Section 6) and aggregation (Section 9).
//
// An issuer keeps a [List], sets statuses and signs with [SignToken]. Who relies on a credential takes its [Reference], has the token
// fetched, and calls [Parse], [Unverified.Verify] and [Token.Status], in the order of Section 8.3. The credential itself must be valid first:
// an expired one stays expired.
//
// Left out: fetching and serving (the caller's), CWT, and the Bitstring Status List of W3C, which counts bits from the other end.
package statuslist

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Errors of lists.
var (
	ErrBits       = errors.New("status list: bits must be 1, 2, 4 or 8")
	ErrEncoding   = errors.New("status list: lst is not the base64url of zlib data")
	ErrTooLarge   = errors.New("status list: larger than allowed")
	ErrOutOfRange = errors.New("status list: no entry with this index")
	ErrStatus     = errors.New("status list: the status does not fit the bits of an entry")
)

// Status is the value of one entry (Section 7.1).
type Status uint8

// Statuses with a meaning for every credential; 3 and 12 to 15 are for applications, the rest is reserved.
const (
	Valid     Status = 0
	Invalid   Status = 1 // for good
	Suspended Status = 2 // may become valid again
)

// String names the status.
func (s Status) String() string {
	switch s {
	case Valid:
		return "valid"
	case Invalid:
		return "invalid"
	case Suspended:
		return "suspended"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// MinEntries is the size from which a list hides who is in it: the larger, the less a request for it tells.
const MinEntries = 1 << 17

// MaxEntries bounds a list: 2^24 entries are 16 MiB at 8 bits.
const MaxEntries = 1 << 24

// List is a status list. The zero value is not usable; it is not safe for concurrent changes.
type List struct {
	bits int
	data []byte
}

// New makes a list in which everything is valid. The count is rounded up to whole octets.
func New(bits, entries int) (*List, error) {
	if !validBits(bits) {
		return nil, ErrBits
	}
	if entries < 1 || entries > MaxEntries {
		return nil, fmt.Errorf("%w: 1 to %d entries", ErrTooLarge, MaxEntries)
	}
	return &List{bits, make([]byte, (entries*bits+7)/8)}, nil
}

// FromPacked makes a list of octets as [List.Packed] gives them; they are copied.
func FromPacked(bits int, packed []byte) (*List, error) {
	if !validBits(bits) {
		return nil, ErrBits
	}
	if len(packed) == 0 || len(packed) > MaxEntries {
		return nil, ErrTooLarge
	}
	return &List{bits, bytes.Clone(packed)}, nil
}

func validBits(bits int) bool { return bits == 1 || bits == 2 || bits == 4 || bits == 8 }

// Bits is the number of bits of one entry.
func (l *List) Bits() int { return l.bits }

// Len is the number of entries.
func (l *List) Len() int { return len(l.data) * 8 / l.bits }

// Packed returns the octets of the list, which must not be changed.
func (l *List) Packed() []byte { return l.data }

// position returns where entry i stands: in octet i*bits/8, from the least significant bits up (Section 4.1).
func (l *List) position(i uint64) (octet int, shift uint, err error) {
	if i >= uint64(l.Len()) {
		return 0, 0, ErrOutOfRange
	}
	bit := i * uint64(l.bits)
	return int(bit / 8), uint(bit % 8), nil
}

// Get returns the status of an entry.
func (l *List) Get(i uint64) (Status, error) {
	octet, shift, err := l.position(i)
	if err != nil {
		return 0, err
	}
	return Status(l.data[octet]>>shift) & l.mask(), nil
}

// Set changes the status of an entry.
func (l *List) Set(i uint64, s Status) error {
	octet, shift, err := l.position(i)
	if err != nil {
		return err
	}
	if s > l.mask() {
		return ErrStatus
	}
	l.data[octet] = l.data[octet]&^(byte(l.mask())<<shift) | byte(s)<<shift
	return nil
}

func (l *List) mask() Status { return Status(1<<l.bits - 1) }

// Encoded is a list as it stands in a token (Section 4.2).
type Encoded struct {
	Bits           int    `json:"bits"`
	List           string `json:"lst"`
	AggregationURI string `json:"aggregation_uri,omitempty"`
}

var b64 = base64.RawURLEncoding.Strict()

// Encode compresses the list: BASE64URL(ZLIB(octets)), at the highest level, as Section 4.1 recommends.
func (l *List) Encode() (Encoded, error) {
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return Encoded{}, err
	}
	if _, err := w.Write(l.data); err != nil {
		return Encoded{}, err
	}
	if err := w.Close(); err != nil {
		return Encoded{}, err
	}
	return Encoded{Bits: l.bits, List: b64.EncodeToString(out.Bytes())}, nil
}

// Decode inflates a list to no more than maxBytes octets.
func Decode(e Encoded, maxBytes int) (*List, error) {
	if !validBits(e.Bits) {
		return nil, ErrBits
	}
	compressed, err := b64.DecodeString(e.List)
	if err != nil || strings.ContainsAny(e.List, "\r\n") {
		return nil, ErrEncoding
	}
	in := bytes.NewReader(compressed)
	r, err := zlib.NewReader(in)
	if err != nil {
		return nil, ErrEncoding
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(maxBytes)+1))
	if len(data) > maxBytes {
		return nil, fmt.Errorf("%w: more than %d octets", ErrTooLarge, maxBytes)
	}
	if err != nil || len(data) == 0 || in.Len() > 0 {
		return nil, ErrEncoding
	}
	return &List{e.Bits, data}, nil
}
