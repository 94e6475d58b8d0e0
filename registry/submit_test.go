package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
)

const (
	submitOrigin = "registry.example/akashi"
	submitter    = "1010401089234"
)

var submitNow = time.Date(2026, time.June, 25, 3, 0, 0, 0, time.UTC)

func submitRecords(n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = Record{X: Hash{byte(i), byte(i >> 8)}, A: []byte{byte(i)}, B: []byte("b")}
	}
	return records
}

func submitExpect() ExpectSubmission {
	return ExpectSubmission{Issuer: submitter, Roles: []attestation.Role{attestation.Bank, attestation.AcceptingOrganization}, Origin: submitOrigin, Now: submitNow}
}

func TestSubmission(t *testing.T) {
	for _, alg := range []keys.Alg{keys.ES256, keys.EdDSA} {
		key := newKey(t, alg)
		for _, writer := range []string{"bank", submitter} {
			records := submitRecords(3)
			jwt, err := MakeSubmission(key, submitter, submitOrigin, records, writer, submitNow)
			if err != nil {
				t.Fatal(err)
			}
			got, err := CheckSubmission(jwt, key.Public(), submitExpect(), records)
			if err != nil {
				t.Fatalf("%s as %s: %v", alg, writer, err)
			}
			if got.Writer != writer || got.ID == "" || !got.Expires.Equal(submitNow.Add(5*time.Minute)) || got.Refs[2] != records[2].Ref(writer) {
				t.Errorf("got %+v", got)
			}
			path := RecordsPaths(got.Refs)[1]
			if err := CheckSubmissionRecord(jwt, key.Public(), submitter, submitOrigin, got.Refs[1], 1, 3, path); err != nil {
				t.Errorf("one record of it: %v", err)
			}
			if err := CheckSubmissionRecord(jwt, key.Public(), submitter, submitOrigin, got.Refs[0], 1, 3, path); !errors.Is(err, ErrSubmissionRecords) {
				t.Errorf("another record: got %v, want ErrSubmissionRecords", err)
			}
		}
	}
}

func TestSubmissionOfManyAndNone(t *testing.T) {
	key := newKey(t, keys.EdDSA)
	for _, n := range []int{0, MaxRecords + 1} {
		if _, err := MakeSubmission(key, submitter, submitOrigin, submitRecords(n), "bank", submitNow); !errors.Is(err, ErrSubmissionCount) {
			t.Errorf("%d records: got %v, want ErrSubmissionCount", n, err)
		}
	}
	records := submitRecords(MaxRecords)
	jwt, err := MakeSubmission(key, submitter, submitOrigin, records, "bank", submitNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckSubmission(jwt, key.Public(), submitExpect(), records); err != nil {
		t.Errorf("%d records: %v", len(records), err)
	}
}

func TestSubmissionRefused(t *testing.T) {
	key, other := newKey(t, keys.ES256), newKey(t, keys.ES256)
	type spoiled struct {
		signer  *keys.Private
		typ     string
		claims  submissionClaims
		records []Record
		want    ExpectSubmission
	}
	second := int64(1)
	for _, c := range []struct {
		name  string
		spoil func(*spoiled)
		want  error
	}{
		{"nothing", func(*spoiled) {}, nil},
		{"another key", func(s *spoiled) { s.signer = other }, keys.ErrSignature},
		{"another typ", func(s *spoiled) { s.typ = "JWT" }, ErrSubmissionType},
		{"iss of another entity", func(s *spoiled) { s.claims.Issuer = "9999999999999" }, ErrSubmissionIssuer},
		{"no iss", func(s *spoiled) { s.claims.Issuer, s.want.Issuer = "", "" }, ErrSubmissionIssuer},
		{"another registry", func(s *spoiled) { s.claims.Audience = "other.example" }, ErrSubmissionAudience},
		{"no aud", func(s *spoiled) { s.claims.Audience = "" }, ErrSubmissionAudience},
		{"no jti", func(s *spoiled) { s.claims.ID = "" }, ErrSubmissionID},
		{"endless jti", func(s *spoiled) { s.claims.ID = strings.Repeat("j", 129) }, ErrSubmissionID},
		{"valid for 301 seconds", func(s *spoiled) { s.claims.Expires += second }, ErrSubmissionTime},
		{"expires before it is made", func(s *spoiled) { s.claims.IssuedAt = s.claims.Expires + second }, ErrSubmissionTime},
		{"no times", func(s *spoiled) { s.claims.IssuedAt, s.claims.Expires = 0, 0 }, ErrSubmissionTime},
		{"times beyond reason", func(s *spoiled) { s.claims.IssuedAt, s.claims.Expires = 1<<63-2, 1<<63-1 }, ErrSubmissionTime},
		{"expired this second", func(s *spoiled) { s.want.Now = submitNow.Add(5 * time.Minute) }, ErrSubmissionTime},
		{"in its last second", func(s *spoiled) { s.want.Now = submitNow.Add(5*time.Minute - time.Second) }, nil},
		{"clock ahead by 30 seconds", func(s *spoiled) { s.want.Now = submitNow.Add(-30 * time.Second) }, nil},
		{"clock ahead by 31 seconds", func(s *spoiled) { s.want.Now = submitNow.Add(-31 * time.Second) }, ErrSubmissionTime},
		{"a record fewer", func(s *spoiled) { s.records = s.records[:2] }, ErrSubmissionRecords},
		{"a record more", func(s *spoiled) { s.records = append(s.records, Record{}) }, ErrSubmissionRecords},
		{"records in another order", func(s *spoiled) { s.records[0], s.records[1] = s.records[1], s.records[0] }, ErrSubmissionRecords},
		{"another x", func(s *spoiled) { s.records[0].X[0]++ }, ErrSubmissionRecords},
		{"another A", func(s *spoiled) { s.records[0].A = []byte("other") }, ErrSubmissionRecords},
		{"another B", func(s *spoiled) { s.records[0].B = nil }, ErrSubmissionRecords},
		{"A and B exchanged", func(s *spoiled) { s.records[0].A, s.records[0].B = s.records[0].B, s.records[0].A }, ErrSubmissionRecords},
		{"a role it does not have", func(s *spoiled) { s.want.Roles = []attestation.Role{attestation.Authority} }, ErrSubmissionRecords},
		{"no role", func(s *spoiled) { s.want.Roles = nil }, ErrSubmissionRecords},
		{"no records", func(s *spoiled) { s.records, s.claims.Records = nil, RecordsRoot(nil) }, ErrSubmissionCount},
		{"too many records", func(s *spoiled) { s.records = submitRecords(MaxRecords + 1) }, ErrSubmissionCount},
		{"one slot twice", func(s *spoiled) {
			s.records[1].X = s.records[0].X
			s.claims.Records = RecordsRoot(Refs(s.records, "bank"))
		}, ErrSubmissionTwice},
	} {
		records := submitRecords(3)
		s := spoiled{key, TypSubmission, submissionClaims{submitter, submitOrigin, submitNow.Unix(), submitNow.Unix() + 300, "id",
			RecordsRoot(Refs(records, "bank"))}, records, submitExpect()}
		c.spoil(&s)
		payload, err := json.Marshal(s.claims)
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := s.signer.Sign(keys.Header{"typ": s.typ}, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckSubmission(jwt, key.Public(), s.want, s.records); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestBytesText(t *testing.T) {
	var r Record
	if err := json.Unmarshal([]byte(`{"a":"AQI=","b":""}`), &r); err != nil || !bytes.Equal(r.A, []byte{1, 2}) || len(r.B) != 0 {
		t.Errorf("got %v %v, %v", r.A, r.B, err)
	}
	for name, bad := range map[string]string{"no padding": "AQI", "base64url": "-_-_", "a line break": "AQ\\nI=", "bits left over": "AQJ=", "a number": "1"} {
		if err := json.Unmarshal([]byte(`{"a":"`+bad+`"}`), &r); err == nil {
			t.Errorf("read a text with %s", name)
		}
	}
}

// FuzzSubmission takes the octets for a submission JWT.
func FuzzSubmission(f *testing.F) {
	key := newKey(f, keys.EdDSA) // whose signatures have one form only
	records := submitRecords(2)
	jwt, err := MakeSubmission(key, submitter, submitOrigin, records, "bank", submitNow)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(jwt))
	f.Add([]byte(jwt + "~"))
	f.Add([]byte(strings.Replace(jwt, ".", "..", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := CheckSubmission(string(b), key.Public(), submitExpect(), records); err == nil && string(b) != jwt {
			t.Error("accepted a submission that nobody signed")
		}
	})
}
