package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

type octetsVectors struct {
	Submission struct {
		JWT     string
		Records []struct {
			X    Hash
			A, B hexBytes
		}
		Bytes hexBytes
	}
	SubmissionRefused []octetsRefused `json:"submission_refused"`
	Records           struct {
		Records []struct {
			Key    Key
			Index  uint64
			A, B   hexBytes
			Erased bool
		}
		Bytes hexBytes
	}
	RecordsRefused []octetsRefused `json:"records_refused"`
}

type octetsRefused struct {
	Why   string
	Bytes hexBytes
}

// octetsOf writes records.
func octetsOf(t testing.TB, records []StoredRecord) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := WriteRecords(&out, records); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// recordsOf reads records and keeps them.
func recordsOf(r io.Reader) (records []StoredRecord, err error) {
	err = ReadRecords(r, func(rec StoredRecord) error {
		rec.A, rec.B = bytes.Clone(rec.A), bytes.Clone(rec.B)
		records = append(records, rec)
		return nil
	})
	return records, err
}

// boxOf reads no octets as none at all.
func boxOf(b hexBytes) Bytes {
	if len(b) == 0 {
		return nil
	}
	return Bytes(b)
}

func TestOctetsVectors(t *testing.T) {
	var v octetsVectors
	readVectors(t, "octets.json", &v)
	want := SubmitRequest{Submission: v.Submission.JWT}
	for _, r := range v.Submission.Records {
		want.Records = append(want.Records, Record{X: r.X, A: boxOf(r.A), B: boxOf(r.B)})
	}
	if b, err := want.Marshal(); err != nil || !bytes.Equal(b, v.Submission.Bytes) {
		t.Errorf("submission: got %x, %v", b, err)
	}
	if got, err := ReadSubmitRequest(iotest.OneByteReader(bytes.NewReader(v.Submission.Bytes))); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("submission: got %+v, %v", got, err)
	}
	var records []StoredRecord
	for _, r := range v.Records.Records {
		records = append(records, StoredRecord{Key: r.Key, Index: r.Index, A: boxOf(r.A), B: boxOf(r.B), Erased: r.Erased})
	}
	if b := octetsOf(t, records); !bytes.Equal(b, v.Records.Bytes) {
		t.Errorf("records: got %x", b)
	}
	if got, err := recordsOf(iotest.OneByteReader(bytes.NewReader(v.Records.Bytes))); err != nil || !reflect.DeepEqual(got, records) {
		t.Errorf("records: got %+v, %v", got, err)
	}
	for _, c := range v.SubmissionRefused {
		if _, err := ReadSubmitRequest(bytes.NewReader(c.Bytes)); !errors.Is(err, ErrOctets) {
			t.Errorf("submission with %s: got %v", c.Why, err)
		}
	}
	for _, c := range v.RecordsRefused {
		if _, err := recordsOf(bytes.NewReader(c.Bytes)); !errors.Is(err, ErrOctets) {
			t.Errorf("records with %s: got %v", c.Why, err)
		}
	}
	if len(v.SubmissionRefused) < 13 || len(v.RecordsRefused) < 14 {
		t.Error("the vectors are cut")
	}
}

func TestOctetsNotWritten(t *testing.T) {
	for name, r := range map[string]SubmitRequest{
		"records":    {Records: make([]Record, MaxRecords+1)},
		"submission": {Submission: string(make([]byte, maxSubmissionJWT+1))},
		"A":          {Records: []Record{{A: make(Bytes, MaxA+1)}}},
		"B":          {Records: []Record{{B: make(Bytes, MaxB+1)}}},
	} {
		if _, err := r.Marshal(); !errors.Is(err, ErrOctets) {
			t.Errorf("submission, too much of %s: got %v", name, err)
		}
	}
	for name, records := range map[string][]StoredRecord{
		"records":  make([]StoredRecord, MaxLookupKeys+1),
		"A":        {{A: make(Bytes, MaxA+1)}},
		"B":        {{A: Bytes("a"), B: make(Bytes, MaxB+1)}},
		"B alone":  {{B: Bytes("b")}},
		"erased A": {{A: Bytes("a"), Erased: true}},
	} {
		if err := WriteRecords(io.Discard, records); !errors.Is(err, ErrOctets) {
			t.Errorf("records, %s: got %v", name, err)
		}
	}
}

// The longest of everything reads, one octet more does not.
func TestOctetsBounds(t *testing.T) {
	submission := func(jwt, a, b int) []byte {
		out := binary.BigEndian.AppendUint32([]byte{octetsVersion, octetsSubmission, 0, 1}, uint32(jwt))
		out = append(out, make([]byte, jwt+32)...)
		out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(out, uint32(a)), uint32(b))
		return append(out, make([]byte, a+b)...)
	}
	records := func(a, b int) []byte {
		out := append([]byte{octetsVersion, octetsRecords, 0, 1}, make([]byte, 32+8)...)
		out = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(append(out, stateHeld), uint32(a)), uint32(b))
		return append(out, make([]byte, a+b)...)
	}
	for _, c := range []struct {
		jwt, a, b int
		want      error
	}{
		{maxSubmissionJWT, MaxA, MaxB, nil}, {maxSubmissionJWT + 1, MaxA, MaxB, ErrOctets}, {0, MaxA + 1, MaxB, ErrOctets}, {0, MaxA, MaxB + 1, ErrOctets},
	} {
		if _, err := ReadSubmitRequest(bytes.NewReader(submission(c.jwt, c.a, c.b))); !errors.Is(err, c.want) {
			t.Errorf("submission of %d, %d, %d octets: got %v, want %v", c.jwt, c.a, c.b, err, c.want)
		}
		if c.jwt > maxSubmissionJWT {
			continue
		}
		if _, err := recordsOf(bytes.NewReader(records(c.a, c.b))); !errors.Is(err, c.want) {
			t.Errorf("record of %d, %d octets: got %v, want %v", c.a, c.b, err, c.want)
		}
	}
}

// What goes wrong with the connection is not the other side's layout.
func TestOctetsReaderFails(t *testing.T) {
	broken := iotest.ErrReader(errors.New("broken"))
	for _, b := range [][]byte{nil, {octetsVersion}, {octetsVersion, octetsSubmission, 0, 0, 0, 0, 0, 0}} {
		if _, err := ReadSubmitRequest(io.MultiReader(bytes.NewReader(b), broken)); err == nil || errors.Is(err, ErrOctets) {
			t.Errorf("submission after %d octets: got %v", len(b), err)
		}
	}
	if _, err := recordsOf(io.MultiReader(bytes.NewReader([]byte{octetsVersion, octetsRecords, 0, 0}), broken)); err == nil || errors.Is(err, ErrOctets) {
		t.Errorf("records: got %v", err)
	}
}

// FuzzOctets reads what comes as both bodies: what reads is written again as it was.
func FuzzOctets(f *testing.F) {
	var v octetsVectors
	readVectors(f, "octets.json", &v)
	f.Add([]byte(v.Submission.Bytes))
	f.Add([]byte(v.Records.Bytes))
	for _, c := range append(v.SubmissionRefused, v.RecordsRefused...) {
		if len(c.Bytes) < 1<<10 {
			f.Add([]byte(c.Bytes))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ReadSubmitRequest(bytes.NewReader(b)); err == nil {
			if again, err := r.Marshal(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("a submission is written again as %x, %v", again, err)
			}
		}
		if records, err := recordsOf(bytes.NewReader(b)); err == nil {
			if again := octetsOf(t, records); !bytes.Equal(again, b) {
				t.Errorf("records are written again as %x", again)
			}
		}
	})
}
