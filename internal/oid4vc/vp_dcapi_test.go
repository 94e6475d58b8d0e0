package oid4vc

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"akashi/internal/did"
	"akashi/internal/keys"
)

const dcOrigin = "https://verifier.example"

// dcRequest is a request over the Digital Credentials API.
func (v *vpVerifier) dcRequest(t testing.TB) PresentationRequest {
	t.Helper()
	r := v.request(t, "")
	r.ResponseMode, r.ResponseURI, r.State, r.ExpectedOrigins = ModeDCAPIJWT, "", "", []string{"https://other.example", dcOrigin}
	return *r
}

// signers are the ways in which the verifier is known, the one by certificate first.
func (v *vpVerifier) signers() []DCSigner {
	d := did.FromKeyJWK(v.key.Public())
	return []DCSigner{
		{X509HashClientID(v.leaf), v.key, v.header()},
		{PrefixDID + ":" + d, v.key, keys.Header{"kid": d + "#0"}},
	}
}

// dcRequests writes the request in the three ways.
func (v *vpVerifier) dcRequests(t testing.TB) map[string]DCRequest {
	t.Helper()
	r := v.dcRequest(t)
	unsigned, err1 := UnsignedDCRequest(r)
	signed, err2 := SignedDCRequest(r, v.signers()[0], now, now.Add(5*time.Minute))
	multi, err3 := MultisignedDCRequest(r, v.signers(), now, now.Add(5*time.Minute))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return map[string]DCRequest{ProtocolUnsigned: unsigned, ProtocolSigned: signed, ProtocolMultisigned: multi}
}

func (v *vpVerifier) verifyDC(r DCRequest, origin string) (*VerifiedRequest, error) {
	u, err := ParseDCRequest(r)
	if err != nil {
		return nil, err
	}
	return u.Verify(v.expect(""), origin, func(*VerifiedRequest) bool { return false })
}

func TestDCRequest(t *testing.T) {
	v := newVPVerifier(t)
	want := v.dcRequest(t)
	for protocol, r := range v.dcRequests(t) {
		if r.Protocol != protocol {
			t.Errorf("got protocol %s", r.Protocol)
		}
		got, err := v.verifyDC(r, dcOrigin)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		if got.Nonce != want.Nonce || got.ResponseMode != ModeDCAPIJWT || !reflect.DeepEqual(got.Query, want.Query) || !reflect.DeepEqual(got.Metadata, want.Metadata) ||
			!reflect.DeepEqual(got.TransactionData, want.TransactionData) || !reflect.DeepEqual(got.VerifierInfo, want.VerifierInfo) {
			t.Errorf("%s: got %+v", protocol, got)
		}
		signed := protocol != ProtocolUnsigned
		if signed != (got.ClientID == X509HashClientID(v.leaf)) || signed != got.Key.Equal(v.key.Public()) || signed != (got.Leaf != nil) {
			t.Errorf("%s: who asks: %+v", protocol, got)
		}
	}
	var data object
	if err := json.Unmarshal(v.dcRequests(t)[ProtocolUnsigned].Data, &data); err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"client_id", "expected_origins", "state", "response_uri", "aud"} {
		if _, ok := data[absent]; ok {
			t.Errorf("the unsigned request has %s", absent)
		}
	}
}

// What does not count in a request over the Digital Credentials API is ignored, whatever it is.
func TestDCRequestIgnores(t *testing.T) {
	v := newVPVerifier(t)
	var data object
	if err := json.Unmarshal(v.dcRequests(t)[ProtocolUnsigned].Data, &data); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{"client_id": 1, "expected_origins": "x", "state": object{}, "response_uri": "http://x", "redirect_uri": 1, "scope": "x", "more": nil} {
		data[name] = value
	}
	got, err := v.verifyDC(DCRequest{ProtocolUnsigned, jsonOf(t, data)}, dcOrigin)
	if err != nil || got.ClientID != "" || got.State != "" || got.ResponseURI != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDCRequestRefused(t *testing.T) {
	v, other := newVPVerifier(t), newVPVerifier(t)
	requests := v.dcRequests(t)
	unsigned := func(name string, value any) DCRequest {
		var data object
		if err := json.Unmarshal(requests[ProtocolUnsigned].Data, &data); err != nil {
			t.Fatal(err)
		}
		if data[name] = value; value == nil {
			delete(data, name)
		}
		return DCRequest{ProtocolUnsigned, jsonOf(t, data)}
	}
	signed := func(key *keys.Private, spoil func(header, claims object)) DCRequest {
		compact, err := dcRequestOf[string](requests[ProtocolSigned].Data)
		if err != nil {
			t.Fatal(err)
		}
		return DCRequest{ProtocolSigned, jsonOf(t, object{"request": respell(t, key, compact, spoil)})}
	}
	claim := func(name string, value any) DCRequest {
		return signed(v.key, func(_, claims object) {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		})
	}
	multi := func(spoil func(jws *multiJWS)) DCRequest {
		jws, err := dcRequestOf[multiJWS](requests[ProtocolMultisigned].Data)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&jws)
		return DCRequest{ProtocolMultisigned, jsonOf(t, object{"request": jws})}
	}
	for _, c := range []struct {
		name   string
		r      DCRequest
		origin string
		want   error
	}{
		{"unknown protocol", DCRequest{"openid4vp", requests[ProtocolUnsigned].Data}, dcOrigin, ErrVPProtocol},
		{"unsigned: no object", DCRequest{ProtocolUnsigned, []byte(`[]`)}, dcOrigin, ErrVPRequestMalformed},
		{"unsigned: no data", DCRequest{ProtocolUnsigned, nil}, dcOrigin, ErrVPRequestMalformed},
		{"unsigned: mode of links", unsigned("response_mode", "direct_post.jwt"), dcOrigin, ErrVPResponseMode},
		{"unsigned: response_type", unsigned("response_type", "code"), dcOrigin, ErrVPResponseType},
		{"unsigned: no nonce", unsigned("nonce", nil), dcOrigin, ErrVPNonce},
		{"unsigned: no query", unsigned("dcql_query", nil), dcOrigin, ErrVPQuery},
		{"unsigned: no metadata", unsigned("client_metadata", nil), dcOrigin, ErrVPMetadata},
		{"unsigned: no encryption key", unsigned("client_metadata", object{"vp_formats_supported": object{"dc+sd-jwt": object{}}}), dcOrigin, ErrVPEncryption},
		{"unsigned: bad transaction data", unsigned("transaction_data", []string{"e30"}), dcOrigin, ErrVPTransactionData},

		{"signed: page of another origin", requests[ProtocolSigned], "https://evil.example", ErrVPOrigin},
		{"signed: origin with a slash", requests[ProtocolSigned], dcOrigin + "/", ErrVPOrigin},
		{"signed: no origins", claim("expected_origins", nil), dcOrigin, ErrVPOrigin},
		{"signed: empty origins", claim("expected_origins", []any{}), dcOrigin, ErrVPOrigin},
		{"signed: no client_id", claim("client_id", nil), dcOrigin, ErrVPClientID},
		{"signed: origin as client_id", claim("client_id", "origin:"+dcOrigin), dcOrigin, ErrVPClientID},
		{"signed: redirect_uri", claim("client_id", "redirect_uri:"+dcOrigin), dcOrigin, ErrVPSigned},
		{"signed: client_id of another", claim("client_id", X509HashClientID(other.leaf)), dcOrigin, ErrVPRequestSignature},
		{"signed: key of another", signed(other.key, func(object, object) {}), dcOrigin, ErrVPRequestSignature},
		{"signed: typ", signed(v.key, func(h, _ object) { h["typ"] = "JWT" }), dcOrigin, ErrVPRequestType},
		{"signed: aud", claim("aud", "https://wallet.example"), dcOrigin, ErrVPRequestAudience},
		{"signed: expired", claim("exp", now.Unix()), dcOrigin, ErrVPRequestTime},
		{"signed: mode of links", claim("response_mode", "direct_post"), dcOrigin, ErrVPResponseMode},
		{"signed: an object", DCRequest{ProtocolSigned, requests[ProtocolMultisigned].Data}, dcOrigin, ErrVPRequestMalformed},
		{"signed: as unsigned", DCRequest{ProtocolUnsigned, requests[ProtocolSigned].Data}, dcOrigin, ErrVPResponseMode},

		{"multisigned: page of another origin", requests[ProtocolMultisigned], "https://evil.example", ErrVPOrigin},
		{"multisigned: no signatures", multi(func(jws *multiJWS) { jws.Signatures = nil }), dcOrigin, ErrVPRequestMalformed},
		{"multisigned: too many", multi(func(jws *multiJWS) { jws.Signatures = make([]multiSignature, maxSignatures+1) }), dcOrigin, ErrVPRequestMalformed},
		{"multisigned: header of another", multi(func(jws *multiJWS) {
			jws.Signatures = jws.Signatures[:1]
			jws.Signatures[0].Protected = strings.Split(v.sign(t, v.request(t, X509HashClientID(v.leaf)), v.header()), ".")[0]
		}), dcOrigin, ErrVPClientID},
		{"multisigned: signatures exchanged", multi(func(jws *multiJWS) {
			s := jws.Signatures
			s[0].Signature, s[1].Signature = s[1].Signature, s[0].Signature
		}), dcOrigin, ErrVPRequestSignature},
		{"multisigned: payload changed", multi(func(jws *multiJWS) { jws.Payload = b64.EncodeToString([]byte(`{"response_type":"vp_token"}`)) }), dcOrigin, ErrVPRequestSignature},
		{"multisigned: client_id in the payload", multi(func(jws *multiJWS) { jws.Payload = b64.EncodeToString([]byte(`{"client_id":"x509_hash:x"}`)) }), dcOrigin, ErrVPRequestMalformed},
		{"multisigned: typ", multi(func(jws *multiJWS) {
			for i := range jws.Signatures {
				jws.Signatures[i].Protected = b64.EncodeToString([]byte(`{"alg":"ES256","typ":"JWT"}`))
			}
		}), dcOrigin, ErrVPRequestType},
		{"multisigned: a string", DCRequest{ProtocolMultisigned, requests[ProtocolSigned].Data}, dcOrigin, ErrVPRequestMalformed},
	} {
		if _, err := v.verifyDC(c.r, c.origin); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	// Somebody who is known counts before the others.
	u, err := ParseDCRequest(requests[ProtocolMultisigned])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := u.Verify(v.expect(""), dcOrigin, func(v *VerifiedRequest) bool { return v.Prefix == PrefixDID }); err != nil || got.Prefix != PrefixDID {
		t.Errorf("of two signatures: got %+v, %v", got, err)
	}
	// One signature that holds is enough, whatever the others are.
	foreign := multi(func(jws *multiJWS) {
		jws.Signatures[0].Protected = b64.EncodeToString([]byte(`{"alg":"X","crit":["x"]}`))
	})
	if got, err := v.verifyDC(foreign, dcOrigin); err != nil || got.Prefix != PrefixDID {
		t.Errorf("beside a foreign one: got %+v, %v", got, err)
	}
	got, err := v.verifyDC(multi(func(jws *multiJWS) { jws.Signatures[0].Signature = jws.Signatures[1].Signature }), dcOrigin)
	if err != nil || got.Prefix != PrefixDID {
		t.Errorf("the second signature: got %+v, %v", got, err)
	}
}

func TestDCRequestIsNotMade(t *testing.T) {
	v := newVPVerifier(t)
	good, signer := v.dcRequest(t), v.signers()[0]
	for name, c := range map[string]struct {
		spoil func(r *PresentationRequest, s *DCSigner)
		want  error
	}{
		"mode of links":   {func(r *PresentationRequest, _ *DCSigner) { r.ResponseMode = ModeDirectPost }, ErrVPResponseMode},
		"no origins":      {func(r *PresentationRequest, _ *DCSigner) { r.ExpectedOrigins = []string{} }, ErrVPOrigin},
		"redirect_uri":    {func(_ *PresentationRequest, s *DCSigner) { s.ClientID = "redirect_uri:" + dcOrigin }, ErrVPSigned},
		"no encryption":   {func(r *PresentationRequest, _ *DCSigner) { r.Metadata = &VerifierMetadata{Formats: r.Metadata.Formats} }, ErrVPEncryption},
		"no such query":   {func(r *PresentationRequest, _ *DCSigner) { r.Query = nil }, ErrVPQuery},
		"nonce forgotten": {func(r *PresentationRequest, _ *DCSigner) { r.Nonce = "" }, ErrVPNonce},
	} {
		r, s := good, signer
		c.spoil(&r, &s)
		_, err1 := SignedDCRequest(r, s, now, now.Add(time.Minute))
		_, err2 := MultisignedDCRequest(r, []DCSigner{s}, now, now.Add(time.Minute))
		if !errors.Is(err1, c.want) || !errors.Is(err2, c.want) {
			t.Errorf("%s: got %v and %v, want %v", name, err1, err2, c.want)
		}
	}
	if _, err := MultisignedDCRequest(good, nil, now, now); !errors.Is(err, ErrVPSigned) {
		t.Errorf("nobody signs: %v", err)
	}
}

func TestDCResponse(t *testing.T) {
	v := newVPVerifier(t)
	sealed := ResponseKey{v.encryption, "k1"}
	for mode, key := range map[string]ResponseKey{ModeDCAPI: {}, ModeDCAPIJWT: sealed} {
		r := v.dcRequest(t)
		r.ResponseMode = mode
		for _, resp := range []*VPResponse{
			{Token: VPToken{"w": {"a~b~c"}}},
			{Error: &ErrorResponse{Code: CodeAccessDenied}},
		} {
			data, err := resp.Data(&r)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ReadDCResponse(data, key); err != nil || !reflect.DeepEqual(got, resp) {
				t.Errorf("%s: got %+v, %v", mode, got, err)
			}
		}
	}
	r := v.dcRequest(t)
	good, err := (&VPResponse{Token: VPToken{"w": {"a"}}}).Data(&r)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, data string
		key        ResponseKey
		want       error
	}{
		{"in clear where encryption is asked", `{"vp_token":{"w":["a"]}}`, sealed, ErrVPResponsePlain},
		{"encrypted unasked", string(good), ResponseKey{}, ErrVPResponseEncrypted},
		{"encrypted to another", string(good), ResponseKey{v.key, "k1"}, ErrVPResponseDecrypt},
		{"encrypted with another kid", string(good), ResponseKey{v.encryption, "k2"}, ErrVPResponseDecrypt},
		{"encrypted and in clear", `{"vp_token":{"w":["a"]},"response":"x"}`, sealed, ErrVPResponse},
		{"error and token", `{"vp_token":{"w":["a"]},"error":"access_denied"}`, ResponseKey{}, ErrVPResponse},
		{"token as string", `{"vp_token":"{}"}`, ResponseKey{}, ErrVPToken},
		{"presentation outside an array", `{"vp_token":{"w":"a"}}`, ResponseKey{}, ErrVPToken},
		{"nothing", `{}`, ResponseKey{}, ErrVPToken},
		{"null", `null`, ResponseKey{}, ErrVPToken},
		{"no object", `"x"`, ResponseKey{}, ErrVPResponse},
		{"response of another kind", `{"response":{}}`, sealed, ErrVPResponse},
		{"error of another kind", `{"error":{}}`, sealed, ErrVPResponse},
		{"empty error", `{"error":""}`, sealed, ErrVPResponse},
		{"state is ignored", `{"vp_token":{"w":["a"]},"state":1}`, ResponseKey{}, nil},
	} {
		if _, err := ReadDCResponse([]byte(c.data), c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for origin, good := range map[string]bool{
		"https://v.example": true, "https://v.example:8443": true, "http://localhost:8080": true,
		"https://v.example/": false, "https://v.example/x": false, "https://V.example": false, "http://v.example": false, "v.example": false, "null": false, "": false,
		"https://u@v.example": false, "https://v.example?x": false,
	} {
		if err := CheckOrigin(origin); (err == nil) != good {
			t.Errorf("%s: got %v", origin, err)
		}
	}
}

func FuzzParseDCRequest(f *testing.F) {
	v := newVPVerifier(f)
	for protocol, r := range v.dcRequests(f) {
		f.Add(protocol, []byte(r.Data))
	}
	f.Fuzz(func(t *testing.T, protocol string, data []byte) {
		got, err := v.verifyDC(DCRequest{protocol, data}, dcOrigin)
		if err != nil {
			if RefusalOf(err) == nil {
				t.Fatalf("an error without answer: %v", err)
			}
			return
		}
		if err := got.validateDC(); err != nil {
			t.Fatal(err)
		}
		if r, err := UnsignedDCRequest(got.PresentationRequest); err != nil {
			t.Fatal(err)
		} else if _, err := v.verifyDC(r, dcOrigin); err != nil {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

func FuzzReadDCResponse(f *testing.F) {
	f.Add([]byte(`{"vp_token":{"w":["a"]}}`))
	f.Add([]byte(`{"error":"access_denied"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadDCResponse(data, ResponseKey{})
		if err != nil {
			if RefusalOf(err) == nil {
				t.Fatalf("an error without answer: %v", err)
			}
			return
		}
		again, err := r.Data(&PresentationRequest{ResponseMode: ModeDCAPI})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ReadDCResponse(again, ResponseKey{}); err != nil || !reflect.DeepEqual(r, back) {
			t.Fatalf("read again as %+v, %v", back, err)
		}
	})
}
