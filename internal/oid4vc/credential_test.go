package oid4vc

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"akashi/internal/keys"
)

func encryptionPair(t testing.TB, kid string) (*keys.Private, keys.EncryptionKey) {
	t.Helper()
	private := newKey(t, keys.ES256)
	key, err := keys.NewEncryptionKey(private.Public(), kid)
	if err != nil {
		t.Fatal(err)
	}
	return private, key
}

func TestCredentialRequest(t *testing.T) {
	_, key := encryptionPair(t, "r1")
	valid := CredentialRequest{ConfigurationID: "a", Proofs: jwtProofs("x"), ResponseEncryption: &ResponseEncryption{Key: key, Enc: keys.A256GCM, Zip: true}}
	text := jsonOf(t, valid)
	got, err := ParseCredentialRequest(spoilt(t, text, func(m object) { m["unknown"] = 1; m["format"] = "x" }))
	if err != nil || got.ConfigurationID != "a" || !reflect.DeepEqual(got.Proofs, valid.Proofs) || got.ResponseEncryption.Key.KID() != "r1" || !got.ResponseEncryption.Zip {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got, err := ParseCredentialRequest([]byte(`{"credential_identifier":"i"}`)); err != nil || got.Identifier != "i" || got.Proofs != nil || got.ResponseEncryption != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	encryption := func(m object) object { return m["credential_response_encryption"].(object) }
	rows := []struct {
		name  string
		spoil func(m object)
		want  *Refusal
	}{
		{"neither", func(m object) { delete(m, "credential_configuration_id") }, ErrCredentialWhich},
		{"both", func(m object) { m["credential_identifier"] = "i" }, ErrCredentialWhich},
		{"empty", func(m object) { m["credential_configuration_id"] = "" }, ErrCredentialWhich},
		{"long", func(m object) { m["credential_configuration_id"] = strings.Repeat("x", maxOpaque+1) }, ErrCredentialWhich},
		{"null", func(m object) { m["credential_configuration_id"] = nil }, ErrCredentialWhich},
		{"number", func(m object) { m["credential_configuration_id"] = 1 }, ErrCredentialRequest},
		{"proofs empty", func(m object) { m["proofs"] = object{} }, ErrProofsMalformed},
		{"proofs null", func(m object) { m["proofs"] = nil }, ErrProofsMalformed},
		{"proofs array", func(m object) { m["proofs"] = []any{"x"} }, ErrProofsMalformed},
		{"proofs of two types", func(m object) { m["proofs"] = object{"jwt": []any{"x"}, "attestation": []any{"x"}} }, ErrProofsMalformed},
		{"proofs without any", func(m object) { m["proofs"] = object{"jwt": []any{}} }, ErrProofsMalformed},
		{"proofs number", func(m object) { m["proofs"] = object{"jwt": []any{1}} }, ErrProofsMalformed},
		{"encryption text", func(m object) { m["credential_response_encryption"] = "x" }, ErrEncryptionMalformed},
		{"encryption null", func(m object) { m["credential_response_encryption"] = nil }, ErrEncryptionMalformed},
		{"encryption without jwk", func(m object) { delete(encryption(m), "jwk") }, ErrEncryptionMalformed},
		{"encryption key without alg", func(m object) { delete(encryption(m)["jwk"].(object), "alg") }, ErrEncryptionMalformed},
		{"encryption alg RSA-OAEP", func(m object) { encryption(m)["jwk"].(object)["alg"] = "RSA-OAEP" }, ErrEncryptionMalformed},
		{"encryption alg of a draft", func(m object) { encryption(m)["alg"] = "ECDH-ES" }, nil},
		{"encryption alg of a draft, not supported", func(m object) { encryption(m)["alg"] = "RSA-OAEP" }, ErrEncryptionMalformed},
		{"encryption alg of a draft, empty", func(m object) { encryption(m)["alg"] = "" }, ErrEncryptionMalformed},
		{"encryption key without kid", func(m object) { delete(encryption(m)["jwk"].(object), "kid") }, nil},
		{"encryption private key", func(m object) { encryption(m)["jwk"].(object)["d"] = "AA" }, ErrEncryptionMalformed},
		{"encryption zip", func(m object) { encryption(m)["zip"] = "GZ" }, ErrEncryptionZip},
	}
	for _, row := range rows {
		if _, err := ParseCredentialRequest(spoilt(t, text, row.spoil)); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	for _, body := range []string{"", "null", "[]", "1", `{"credential_configuration_id":"a","credential_configuration_id":"b"}`, `{"credential_configuration_id":"a"} x`, `{"Credential_Configuration_ID":"a"}`} {
		if _, err := ParseCredentialRequest([]byte(body)); RefusalOf(err) == nil || RefusalOf(err).Code != CodeInvalidCredentialRequest {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestCheckIdentified(t *testing.T) {
	byID, byIdentifier := &CredentialRequest{ConfigurationID: "a"}, &CredentialRequest{Identifier: "i"}
	for _, row := range []struct {
		r     *CredentialRequest
		given bool
		want  *Refusal
	}{{byID, false, nil}, {byIdentifier, true, nil}, {byID, true, ErrIdentifierExpected}, {byIdentifier, false, ErrIdentifierUnasked}} {
		if err := row.r.CheckIdentified(row.given); RefusalOf(err) != row.want {
			t.Errorf("%+v: got %v", row, err)
		}
	}
}

func TestDeferredRequest(t *testing.T) {
	_, key := encryptionPair(t, "")
	text := jsonOf(t, DeferredRequest{TransactionID: "t", ResponseEncryption: &ResponseEncryption{Key: key, Enc: keys.A128GCM}})
	if got, err := ParseDeferredRequest(text); err != nil || got.TransactionID != "t" || got.ResponseEncryption.Enc != keys.A128GCM {
		t.Errorf("got %+v, %v", got, err)
	}
	for body, want := range map[string]*Refusal{"": ErrCredentialRequest, "[]": ErrCredentialRequest, "{}": ErrDeferredRequest, `{"transaction_id":""}`: ErrDeferredRequest, `{"transaction_id":1}`: ErrCredentialRequest,
		`{"transaction_id":"t","credential_response_encryption":{}}`: ErrEncryptionMalformed} {
		if _, err := ParseDeferredRequest([]byte(body)); RefusalOf(err) != want {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

func TestCredentialResponse(t *testing.T) {
	issued := CredentialResponse{Credentials: []IssuedCredential{TextCredential("a~"), TextCredential("b~")}, NotificationID: "n"}
	got, err := ParseCredentialResponse(200, jsonOf(t, issued), 2)
	if err != nil || !reflect.DeepEqual(*got, issued) || issued.Status() != 200 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if text, err := got.Credentials[1].Text(); err != nil || text != "b~" {
		t.Errorf("got %s, %v", text, err)
	}
	deferred := CredentialResponse{TransactionID: "t", Interval: 60}
	if got, err := ParseCredentialResponse(202, jsonOf(t, deferred), 2); err != nil || !reflect.DeepEqual(*got, deferred) || deferred.Status() != 202 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseCredentialResponse(202, []byte(`{"transaction_id":"t","interval":0.5}`), 0); err != nil || got.Interval != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseCredentialResponse(202, []byte(`{"transaction_id":"t","interval":1e300}`), 0); err != nil || got.Interval != maxInterval {
		t.Errorf("got %+v, %v", got, err)
	}
	rows := []struct {
		name   string
		status int
		body   string
		keys   int
	}{
		{"HTML", 200, "<html>", 1}, {"null", 200, "null", 1}, {"neither", 200, "{}", 1}, {"credentials empty", 200, `{"credentials":[]}`, 1},
		{"both", 200, `{"credentials":[{"credential":"a"}],"transaction_id":"t","interval":1}`, 1},
		{"status 202 with credentials", 202, `{"credentials":[{"credential":"a"}]}`, 1},
		{"status 201", 201, `{"credentials":[{"credential":"a"}]}`, 1},
		{"status 200 deferred", 200, `{"transaction_id":"t","interval":1}`, 1},
		{"interval missing", 202, `{"transaction_id":"t"}`, 1}, {"interval zero", 202, `{"transaction_id":"t","interval":0}`, 1}, {"interval negative", 202, `{"transaction_id":"t","interval":-1}`, 1},
		{"interval text", 202, `{"transaction_id":"t","interval":"soon"}`, 1},
		{"notification without credentials", 202, `{"transaction_id":"t","interval":1,"notification_id":"n"}`, 1},
		{"more than keys", 200, `{"credentials":[{"credential":"a"},{"credential":"b"}]}`, 1},
		{"credential missing", 200, `{"credentials":[{}]}`, 1}, {"credential number", 200, `{"credentials":[{"credential":1}]}`, 1}, {"credential null", 200, `{"credentials":[{"credential":null}]}`, 1},
		{"credentials of strings", 200, `{"credentials":["a"]}`, 1},
		{"old form", 200, `{"credential":"a"}`, 1},
		{"notification_id long", 200, `{"credentials":[{"credential":"a"}],"notification_id":"` + strings.Repeat("x", maxOpaque+1) + `"}`, 1},
	}
	for _, row := range rows {
		if _, err := ParseCredentialResponse(row.status, []byte(row.body), row.keys); !errors.Is(err, ErrCredentialResponse) {
			t.Errorf("%s: got %v, want %v", row.name, err, ErrCredentialResponse)
		}
	}
	for _, other := range []any{map[string]any{}, json.Number("1"), "", nil} {
		if _, err := (IssuedCredential{other}).Text(); !errors.Is(err, ErrCredentialResponse) {
			t.Errorf("%v as text: got %v", other, err)
		}
	}
}

func TestNotification(t *testing.T) {
	for _, event := range []string{EventAccepted, EventFailure, EventDeleted} {
		want := NotificationRequest{NotificationID: "n", Event: event, Description: "d"}
		if got, err := ParseNotificationRequest(spoilt(t, jsonOf(t, want), func(m object) { m["unknown"] = 1 })); err != nil || *got != want {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	for _, body := range []string{"", "null", "[]", "{}", `{"notification_id":"n"}`, `{"event":"credential_accepted"}`, `{"notification_id":"","event":"credential_accepted"}`, `{"notification_id":1,"event":"credential_accepted"}`,
		`{"notification_id":"n","event":"credential_lost"}`, `{"notification_id":"n","event":"credential_accepted","event_description":"é"}`, `{"notification_id":"n","event":"credential_accepted","event_description":"a\\b"}`,
		`{"notification_id":"n","event":"credential_accepted","event":"credential_failure"}`, `{"notification_id":"n","event":"credential_accepted","event_description":"` + strings.Repeat("x", maxOpaque+1) + `"}`} {
		if _, err := ParseNotificationRequest([]byte(body)); RefusalOf(err) != ErrNotificationRequest {
			t.Errorf("%.60s: got %v", body, err)
		}
	}
}

func TestEncryptedMessages(t *testing.T) {
	serverKey, serverPublic := encryptionPair(t, "e1")
	offered := &RequestEncryptionMetadata{JWKS: KeySet{Keys: []json.RawMessage{[]byte(`{"kty":"RSA","kid":"r","alg":"RSA-OAEP"}`), jsonOf(t, serverPublic)}}, Enc: []string{"A128GCM", "A256GCM"}, Zip: []string{"DEF"}}
	find := func(kid string) *keys.Private {
		if kid == "e1" {
			return serverKey
		}
		return nil
	}
	e, ok := ChooseRequestEncryption(offered)
	if !ok || e.Enc != keys.A256GCM || !e.Zip {
		t.Fatalf("got %+v, %v", e, ok)
	}
	sealed, err := e.Seal([]byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenRequest(sealed, offered, find); err != nil || string(got) != `{"a":1}` {
		t.Fatalf("got %s, %v", got, err)
	}
	plain := *offered
	plain.Zip = nil
	narrow := *offered
	narrow.Enc = []string{"A128GCM"}
	_, stranger := encryptionPair(t, "e1")
	_, unnamed := encryptionPair(t, "")
	seal := func(key keys.EncryptionKey) string {
		s, err := RequestEncryption{Key: key, Enc: keys.A256GCM}.Seal([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, row := range []struct {
		name, sealed string
		offered      *RequestEncryptionMetadata
		want         *Refusal
	}{
		{"not offered", sealed, nil, ErrEncryptedRequest},
		{"enc not offered", sealed, &narrow, ErrEncryptedRequest},
		{"zip not offered", sealed, &plain, ErrEncryptionZip},
		{"malformed", "a.b.c.d.e", offered, ErrEncryptedRequest},
		{"a signed token", "a.b.c", offered, ErrEncryptedRequest},
		{"another key", seal(stranger), offered, ErrEncryptedRequest},
		{"kid missing", seal(unnamed), offered, ErrEncryptedRequest},
	} {
		if _, err := OpenRequest(row.sealed, row.offered, find); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if _, err := OpenRequest(sealed, offered, func(string) *keys.Private { return nil }); RefusalOf(err) != ErrEncryptedRequest {
		t.Errorf("unknown kid: got %v", err)
	}

	walletKey, walletPublic := encryptionPair(t, "w1")
	r, ok := ChooseResponseEncryption(&ResponseEncryptionMetadata{Alg: []string{"ECDH-ES"}, Enc: []string{"A128GCM"}, Zip: []string{"DEF"}}, walletPublic)
	if !ok || r.Enc != keys.A128GCM || !r.Zip {
		t.Fatalf("got %+v, %v", r, ok)
	}
	answer, err := r.Seal([]byte(`{"credentials":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.OpenResponse(answer, walletKey); err != nil || string(got) != `{"credentials":[]}` {
		t.Errorf("got %s, %v", got, err)
	}
	unzipped, renamed := *r, *r
	unzipped.Zip = false
	_, renamed.Key = encryptionPair(t, "w2")
	for name, asked := range map[string]*ResponseEncryption{"zip not asked for": &unzipped, "another kid": &renamed, "another enc": {Key: walletPublic, Enc: keys.A256GCM, Zip: true}} {
		if _, err := asked.OpenResponse(answer, walletKey); !errors.Is(err, keys.ErrDecrypt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestChooseEncryption(t *testing.T) {
	_, key := encryptionPair(t, "e1")
	_, unnamed := encryptionPair(t, "")
	for name, offered := range map[string]*RequestEncryptionMetadata{
		"none":        nil,
		"no key":      {Enc: []string{"A128GCM"}},
		"no enc":      {JWKS: KeySet{Keys: []json.RawMessage{jsonOf(t, key)}}, Enc: []string{"A256CBC-HS512"}},
		"key unnamed": {JWKS: KeySet{Keys: []json.RawMessage{jsonOf(t, unnamed)}}, Enc: []string{"A128GCM"}},
	} {
		if _, ok := ChooseRequestEncryption(offered); ok {
			t.Errorf("request, %s: something was chosen", name)
		}
	}
	for name, offered := range map[string]*ResponseEncryptionMetadata{"none": nil, "alg": {Alg: []string{"RSA-OAEP"}, Enc: []string{"A128GCM"}}, "enc": {Alg: []string{"ECDH-ES"}, Enc: []string{"x"}}} {
		if _, ok := ChooseResponseEncryption(offered, key); ok {
			t.Errorf("response, %s: something was chosen", name)
		}
	}
}

func TestCheckResponseEncryption(t *testing.T) {
	_, key := encryptionPair(t, "")
	asked := &ResponseEncryption{Key: key, Enc: keys.A128GCM, Zip: true}
	full := ResponseEncryptionMetadata{Alg: []string{"ECDH-ES"}, Enc: []string{"A128GCM"}, Zip: []string{"DEF"}}
	required, noZip, otherEnc, otherAlg, unknownEnc := full, full, full, full, full
	required.Required, noZip.Zip, otherEnc.Enc, otherAlg.Alg, unknownEnc.Enc = true, nil, []string{"A256GCM"}, []string{"RSA-OAEP"}, []string{"x"}
	for _, row := range []struct {
		name      string
		asked     *ResponseEncryption
		offered   *ResponseEncryptionMetadata
		encrypted bool
		want      *Refusal
	}{
		{"good", asked, &full, true, nil},
		{"nothing asked", nil, &full, false, nil},
		{"nothing asked or offered", nil, nil, false, nil},
		{"required", nil, &required, true, ErrEncryptionRequired},
		{"not offered", asked, nil, true, ErrEncryptionUnasked},
		{"alg", asked, &otherAlg, true, ErrEncryptionUnasked},
		{"enc", asked, &otherEnc, true, ErrEncryptionEnc},
		{"enc unknown to us", &ResponseEncryption{Key: key, Enc: "x"}, &unknownEnc, true, ErrEncryptionEnc},
		{"zip", asked, &noZip, true, ErrEncryptionZip},
		{"request in the clear", asked, &full, false, ErrEncryptionPlain},
	} {
		if err := CheckResponseEncryption(row.asked, row.offered, row.encrypted); RefusalOf(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}
