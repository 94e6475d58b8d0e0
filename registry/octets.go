package registry

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Two bodies carry boxes by the hundred, and travel as octets: the request of POST /v1/entries and the answer of POST /v1/records.
//
//	submission = 0x01 || 0x11 || records(2) || length of the JWT(4) || JWT || for each record:
//	             x(32) || length of A(4) || length of B(4) || A || B
//	records    = 0x01 || 0x12 || records(2) || for each record:
//	             K(32) || index(8) || state(1) || length of A(4) || length of B(4) || A || B
//
// The state is 0x00 when the registry does not have the boxes, 0x01 when they follow, 0x02 when they were erased; both lengths are zero
// unless it is 0x01, and A is never empty when it is. Nothing may follow the last record: what was cut short or goes on does not read.
const (
	// TypeOctetsSubmission is the media type of the body of POST /v1/entries.
	TypeOctetsSubmission = "application/vnd.akashi.submission"
	// TypeOctetsRecords is the media type of the answer of POST /v1/records.
	TypeOctetsRecords = "application/vnd.akashi.records"

	octetsVersion    = 0x01
	octetsSubmission = 0x11
	octetsRecords    = 0x12
	octetsHeader     = 4 // version, kind, number of records

	// maxSubmissionJWT bounds the JWT of a submission: an engagement of the longest kind with its key binding fits.
	maxSubmissionJWT = 64 << 10

	stateMissing = 0x00
	stateHeld    = 0x01
	stateErased  = 0x02
)

// ErrOctets is returned for octets that are not of the layout.
var ErrOctets = errors.New("octets refused")

// Marshal returns the request as octets.
func (r SubmitRequest) Marshal() ([]byte, error) {
	size := octetsHeader + 4 + len(r.Submission)
	for _, rec := range r.Records {
		size += 32 + 8 + len(rec.A) + len(rec.B)
	}
	if len(r.Records) > MaxRecords || len(r.Submission) > maxSubmissionJWT {
		return nil, fmt.Errorf("%w: more than %d records, or too long a submission", ErrOctets, MaxRecords)
	}
	out := append(make([]byte, 0, size), octetsVersion, octetsSubmission)
	out = binary.BigEndian.AppendUint16(out, uint16(len(r.Records)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(r.Submission)))
	out = append(out, r.Submission...)
	for _, rec := range r.Records {
		if len(rec.A) > MaxA || len(rec.B) > MaxB {
			return nil, fmt.Errorf("%w: %w", ErrOctets, ErrBoxLength)
		}
		out = append(out, rec.X[:]...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(rec.A)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(rec.B)))
		out = append(append(out, rec.A...), rec.B...)
	}
	return out, nil
}

// ReadSubmitRequest reads a request up to its end. What it keeps was sent: no length is believed before the octets are there, beyond
// one record. An error of r's own is passed on; all others are [ErrOctets].
func ReadSubmitRequest(r io.Reader) (*SubmitRequest, error) {
	in := octetsReader{r: bufio.NewReaderSize(r, 16<<10)}
	count, err := in.header(octetsSubmission, MaxRecords)
	if err != nil {
		return nil, err
	}
	jwt, err := in.sized(maxSubmissionJWT)
	if err != nil {
		return nil, err
	}
	out := &SubmitRequest{Submission: string(jwt)}
	for range count {
		head, err := in.take(32 + 8)
		if err != nil {
			return nil, err
		}
		rec := Record{X: Hash(head)}
		if rec.A, rec.B, err = in.boxes(head[32:], nil); err != nil {
			return nil, err
		}
		out.Records = append(out.Records, rec)
	}
	return out, in.end()
}

// WriteRecords writes records as octets.
func WriteRecords(w io.Writer, records []StoredRecord) error {
	if len(records) > MaxLookupKeys {
		return fmt.Errorf("%w: more than %d records", ErrOctets, MaxLookupKeys)
	}
	if _, err := w.Write(binary.BigEndian.AppendUint16([]byte{octetsVersion, octetsRecords}, uint16(len(records)))); err != nil {
		return err
	}
	var head []byte
	for _, rec := range records {
		state := byte(stateHeld)
		switch {
		case rec.Erased:
			state = stateErased
		case len(rec.A) == 0:
			state = stateMissing
		}
		if len(rec.A) > MaxA || len(rec.B) > MaxB || state != stateHeld && len(rec.A)+len(rec.B) > 0 {
			return fmt.Errorf("%w: %w", ErrOctets, ErrBoxLength)
		}
		head = append(head[:0], rec.Key[:]...)
		head = append(binary.BigEndian.AppendUint64(head, rec.Index), state)
		head = binary.BigEndian.AppendUint32(head, uint32(len(rec.A)))
		head = binary.BigEndian.AppendUint32(head, uint32(len(rec.B)))
		for _, part := range [][]byte{head, rec.A, rec.B} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadRecords reads records up to their end and calls fn with each. The octets of the boxes are fn's only until it returns. An error of
// fn or of r is passed on; all others are [ErrOctets].
func ReadRecords(r io.Reader, fn func(StoredRecord) error) error {
	in := octetsReader{r: bufio.NewReaderSize(r, 16<<10)}
	count, err := in.header(octetsRecords, MaxLookupKeys)
	if err != nil {
		return err
	}
	var buf []byte
	for range count {
		head, err := in.take(32 + 8 + 1 + 8)
		if err != nil {
			return err
		}
		rec := StoredRecord{Key: Key(head), Index: binary.BigEndian.Uint64(head[32:]), Erased: head[40] == stateErased}
		state, lengths := head[40], head[41:]
		if held := state == stateHeld; state > stateErased || held != (binary.BigEndian.Uint32(lengths) > 0) || !held && binary.BigEndian.Uint32(lengths[4:]) > 0 {
			return fmt.Errorf("%w: a record's state and lengths do not fit", ErrOctets)
		}
		if rec.A, rec.B, err = in.boxes(lengths, &buf); err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return in.end()
}

// octetsReader reads parts of known or bounded length.
type octetsReader struct {
	r    *bufio.Reader
	head [64]byte
}

// take returns the next n octets, at most 64, until the next call.
func (in *octetsReader) take(n int) ([]byte, error) {
	return in.fill(in.head[:n])
}

func (in *octetsReader) fill(b []byte) ([]byte, error) {
	_, err := io.ReadFull(in.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: cut short", ErrOctets)
	}
	return b, err
}

// header reads version, kind and number of records.
func (in *octetsReader) header(kind byte, most int) (int, error) {
	b, err := in.take(octetsHeader)
	if err != nil {
		return 0, err
	}
	if b[0] != octetsVersion || b[1] != kind {
		return 0, fmt.Errorf("%w: another kind or version", ErrOctets)
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > most {
		return 0, fmt.Errorf("%w: more than %d records", ErrOctets, most)
	}
	return n, nil
}

// sized reads a length and as many octets.
func (in *octetsReader) sized(most uint32) ([]byte, error) {
	b, err := in.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b)
	if n > most {
		return nil, fmt.Errorf("%w: more than %d octets", ErrOctets, most)
	}
	return in.fill(make([]byte, n))
}

// boxes reads A and B of the two lengths, into buf where there is one.
func (in *octetsReader) boxes(lengths []byte, buf *[]byte) (a, b []byte, err error) {
	na, nb := binary.BigEndian.Uint32(lengths), binary.BigEndian.Uint32(lengths[4:])
	if na > MaxA || nb > MaxB {
		return nil, nil, fmt.Errorf("%w: %w", ErrOctets, ErrBoxLength)
	}
	var both []byte
	if buf != nil && uint32(cap(*buf)) >= na+nb {
		both = (*buf)[:na+nb]
	} else {
		both = make([]byte, na+nb)
		if buf != nil {
			*buf = both
		}
	}
	if both, err = in.fill(both); err != nil {
		return nil, nil, err
	}
	if na > 0 {
		a = both[:na:na]
	}
	if nb > 0 {
		b = both[na:]
	}
	return a, b, nil
}

// end makes sure that nothing follows.
func (in *octetsReader) end() error {
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows the last record", ErrOctets)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}
