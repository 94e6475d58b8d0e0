package oid4vc

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"akashi/internal/keys"
)

// What is longer than anything needs, or empty where something must stand, is refused for that alone.
func TestPresentationLimits(t *testing.T) {
	v := newVPVerifier(t)
	const san = "x509_san_dns:verifier.example"
	spoilt := func(spoil func(object)) string {
		return respell(t, v.key, v.sign(t, v.request(t, san), v.header()), func(_, claims object) { spoil(claims) })
	}
	nonce := strings.Repeat("n", maxNonce+1)
	for name, c := range map[string]struct {
		spoil func(object)
		nonce string // of the wallet
		want  error
	}{
		"nonce too long":              {func(m object) { m["nonce"] = nonce }, "", ErrVPNonce},
		"wallet_nonce too long":       {func(m object) { m["wallet_nonce"] = nonce }, nonce, ErrVPWalletNonce},
		"verifier_info with a number": {func(m object) { m["verifier_info"] = []any{object{"format": "jwt", "data": 1}} }, "", ErrVPVerifierInfo},
		"transaction data for an empty id": {func(m object) {
			m["transaction_data"] = []any{b64.EncodeToString([]byte(`{"type":"t","credential_ids":["w",""]}`))}
		}, "", ErrVPTransactionData},
	} {
		want := v.expect(san)
		want.WalletNonce = c.nonce
		if _, err := verifyRequest(spoilt(c.spoil), want); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	for _, id := range []string{"x509_hash:", "x509_hash", "redirect_uri:https://a.example/" + strings.Repeat("a", maxURL)} {
		if _, _, err := SplitClientID(id); !errors.Is(err, ErrVPClientID) {
			t.Errorf("%.30s: got %v", id, err)
		}
	}
	link, err := (&RequestLink{ClientID: san, URI: "https://verifier.example/r"}).Link(SchemePresentation)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRequestLink(link + "&x=" + strings.Repeat("x", maxRequestLink)); !errors.Is(err, ErrVPRequestMalformed) {
		t.Errorf("a link that is too long: got %v", err)
	}
	formats := &VerifierMetadata{Formats: map[string]json.RawMessage{FormatSDJWTVC: json.RawMessage(`{"kb-jwt_alg_values":["EdDSA"]}`)}}
	if _, err := formats.CheckFormats(keys.ES256); !errors.Is(err, ErrVPFormats) {
		t.Errorf("key bindings of another algorithm: got %v", err)
	}
}

// Taken for a stranger, whose authority nobody knows, a certificate must still be valid today.
func TestStrangersCertificate(t *testing.T) {
	v := newVPVerifier(t)
	const san = "x509_san_dns:verifier.example"
	compact := respell(t, v.key, v.sign(t, v.request(t, san), v.header()), func(_, claims object) { delete(claims, "exp") })
	for at, good := range map[time.Duration]bool{0: true, -2 * time.Hour: false, 2 * time.Hour: false} {
		_, err := verifyRequest(compact, ExpectRequest{ClientID: san, AnyRoot: true, Now: now.Add(at)})
		if (err == nil) != good || !good && !errors.Is(err, ErrVPRequestSignature) {
			t.Errorf("%s from now: got %v", at, err)
		}
	}
}

// Of several signatures only so many are read, and what the protected headers say stands nowhere else.
func TestMultisignedLimits(t *testing.T) {
	v := newVPVerifier(t)
	good := v.dcRequests(t)[ProtocolMultisigned]
	again := func(change func(*multiJWS)) error {
		jws, err := dcRequestOf[multiJWS](good.Data)
		if err != nil {
			t.Fatal(err)
		}
		change(&jws)
		request, err := json.Marshal(jws)
		if err != nil {
			t.Fatal(err)
		}
		r, err := signedData(ProtocolMultisigned, request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseDCRequest(r)
		return err
	}
	for n, want := range map[int]error{maxSignatures: nil, maxSignatures + 1: ErrVPRequestMalformed} {
		if err := again(func(jws *multiJWS) {
			one := jws.Signatures[0]
			jws.Signatures = nil
			for range n {
				jws.Signatures = append(jws.Signatures, one)
			}
		}); !errors.Is(err, want) {
			t.Errorf("%d signatures: got %v, want %v", n, err, want)
		}
	}
	if err := again(func(jws *multiJWS) {
		text, err := b64.DecodeString(jws.Payload)
		if err != nil {
			t.Fatal(err)
		}
		jws.Payload = b64.EncodeToString(append([]byte(`{"verifier_info":[{"format":"jwt","data":"x"}],`), text[1:]...))
	}); !errors.Is(err, ErrVPRequestMalformed) {
		t.Errorf("verifier_info in the payload: got %v", err)
	}
}

// Nothing that comes encrypted is decompressed, and an encrypted response has no error beside it.
func TestEnvelopeLimits(t *testing.T) {
	v := newVPVerifier(t)
	key, err := keys.NewEncryptionKey(v.encryption.Public(), "k1")
	if err != nil {
		t.Fatal(err)
	}
	compact := v.sign(t, v.request(t, X509HashClientID(v.leaf)), v.header())
	for deflate, want := range map[bool]error{false: nil, true: ErrVPRequestMalformed} {
		sealed, err := keys.EncryptMessage(key, keys.A256GCM, deflate, []byte(compact))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenRequestObject(sealed, v.encryption, "k1"); !errors.Is(err, want) {
			t.Errorf("a request object, compressed %t: got %v, want %v", deflate, err, want)
		}
	}
	response, err := (&VPResponse{Token: VPToken{"w": {"x"}}, State: "s"}).Seal(v.metadata(t))
	if err != nil {
		t.Fatal(err)
	}
	response.Set("error", "access_denied")
	if _, err := ReadVPResponse(url.Values(response), ResponseKey{Private: v.encryption, KID: "k1"}, "s"); !errors.Is(err, ErrVPResponse) {
		t.Errorf("an error beside it: got %v", err)
	}
}
