package oid4vc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"akashi/internal/dcql"
	"akashi/internal/keys"
)

// Protocols of the Digital Credentials API (OpenID4VP 1.0, Appendix A.1).
const (
	ProtocolUnsigned    = "openid4vp-v1-unsigned"
	ProtocolSigned      = "openid4vp-v1-signed"
	ProtocolMultisigned = "openid4vp-v1-multisigned"
)

// prefixOrigin makes the audience of an origin. No request may have it as its client_id.
const prefixOrigin = "origin:"

// OriginAudience is whom the key bindings of a response over the Digital Credentials API name, for signed requests too (Appendix A.4).
func OriginAudience(origin string) string { return prefixOrigin + origin }

// DCRequest is one element of the requests that a page hands to navigator.credentials.get (Digital Credentials API):
//
//	unsigned     {"protocol": ..., "data": {"response_type": ..., ...}}
//	signed       {"protocol": ..., "data": {"request": compact JWS}}
//	multisigned  {"protocol": ..., "data": {"request": {"payload": ..., "signatures": [{"protected": ..., "signature": ...}]}}}
type DCRequest struct {
	Protocol string          `json:"protocol"`
	Data     json.RawMessage `json:"data"`
}

// dcSigned is the data of a signed request.
type dcSigned struct {
	Request json.RawMessage `json:"request"`
}

// multiJWS is the general JWS JSON serialization (RFC 7515, Section 7.2.1) without unprotected headers.
type multiJWS struct {
	Payload    string           `json:"payload"`
	Signatures []multiSignature `json:"signatures"`
}

type multiSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// maxSignatures bounds the signatures of one request.
const maxSignatures = 16

// A DCSigner is one of the ways in which a verifier can be known.
type DCSigner struct {
	ClientID string
	Key      *keys.Private
	Header   keys.Header // x5c or kid, as the prefix of the client_id asks
}

// UnsignedDCRequest writes a request that nobody signs: the platform tells the wallet the page's origin.
func UnsignedDCRequest(r PresentationRequest) (DCRequest, error) {
	r.ClientID, r.ExpectedOrigins = "", nil
	if err := r.validateDC(); err != nil {
		return DCRequest{}, err
	}
	data, err := json.Marshal(r)
	return DCRequest{ProtocolUnsigned, data}, err
}

// SignedDCRequest writes a request that one signs.
func SignedDCRequest(r PresentationRequest, s DCSigner, issued, expires time.Time) (DCRequest, error) {
	r.ClientID = s.ClientID
	if err := r.validateDC(); err != nil {
		return DCRequest{}, err
	}
	compact, err := SignPresentationRequest(s.Key, s.Header, &r, issued, expires)
	if err != nil {
		return DCRequest{}, err
	}
	request, err := json.Marshal(compact)
	if err != nil {
		return DCRequest{}, err
	}
	return signedData(ProtocolSigned, request)
}

func signedData(protocol string, request json.RawMessage) (DCRequest, error) {
	data, err := json.Marshal(dcSigned{request})
	return DCRequest{protocol, data}, err
}

// MultisignedDCRequest writes a request that is signed in several ways, of which a wallet takes one that it trusts (Appendix A.3.2.2). client_id and
// verifier_info stand in the protected headers, everything else in the payload.
func MultisignedDCRequest(r PresentationRequest, signers []DCSigner, issued, expires time.Time) (DCRequest, error) {
	var out multiJWS
	info := r.VerifierInfo
	for _, s := range signers {
		r.ClientID, r.VerifierInfo = s.ClientID, info
		if err := r.validateDC(); err != nil {
			return DCRequest{}, err
		}
		header := keys.Header{"client_id": s.ClientID}
		if info != nil {
			header["verifier_info"] = info
		}
		for name, value := range s.Header {
			header[name] = value
		}
		r.ClientID, r.VerifierInfo = "", nil
		compact, err := signJWT(s.Key, TypeRequestObject, header, r.signed(issued, expires))
		if err != nil {
			return DCRequest{}, err
		}
		segments := strings.Split(compact, ".")
		out.Payload = segments[1] // the same for every signer
		out.Signatures = append(out.Signatures, multiSignature{segments[0], segments[2]})
	}
	if len(out.Signatures) == 0 {
		return DCRequest{}, ErrVPSigned
	}
	request, err := json.Marshal(out)
	if err != nil {
		return DCRequest{}, err
	}
	return signedData(ProtocolMultisigned, request)
}

// validateDC checks a request over the Digital Credentials API.
func (r *PresentationRequest) validateDC() error {
	if !r.IsDCAPI() {
		return ErrVPResponseMode
	}
	return r.Validate()
}

// dcWire are the parameters that count over the Digital Credentials API; a wallet ignores all others, state among them (Appendix A.2).
type dcWire struct {
	ResponseType    string            `json:"response_type"`
	ResponseMode    string            `json:"response_mode"`
	Nonce           string            `json:"nonce"`
	Query           *dcql.Query       `json:"dcql_query"`
	Metadata        *VerifierMetadata `json:"client_metadata"`
	TransactionData []string          `json:"transaction_data"`
	VerifierInfo    []VerifierInfo    `json:"verifier_info"`
}

// dcSignedWire has what counts in signed requests only.
type dcSignedWire struct {
	dcWire
	ClientID        string            `json:"client_id"`
	ExpectedOrigins []string          `json:"expected_origins"`
	Audience        Audience          `json:"aud"`
	Issued          *keys.NumericDate `json:"iat"`
	Expires         *keys.NumericDate `json:"exp"`
	NotBefore       *keys.NumericDate `json:"nbf"`
}

func (w *dcWire) request() PresentationRequest {
	return PresentationRequest{ResponseType: w.ResponseType, ResponseMode: w.ResponseMode, Nonce: w.Nonce, Query: w.Query, Metadata: w.Metadata,
		TransactionData: w.TransactionData, VerifierInfo: w.VerifierInfo}
}

func (w *dcSignedWire) full() *requestWire {
	r := w.request()
	r.ClientID, r.ExpectedOrigins, r.Audience, r.Issued, r.Expires = w.ClientID, w.ExpectedOrigins, w.Audience, w.Issued, w.Expires
	return &requestWire{PresentationRequest: r, Audience: w.Audience, Issued: w.Issued, Expires: w.Expires, NotBefore: w.NotBefore}
}

// UnverifiedDCRequest is a request over the Digital Credentials API that was read and not verified: unsigned, or with one or more signatures.
type UnverifiedDCRequest struct {
	unsigned *PresentationRequest
	signed   []*UnverifiedPresentationRequest
}

// ParseDCRequest reads a request that a platform handed over.
func ParseDCRequest(r DCRequest) (*UnverifiedDCRequest, error) {
	switch r.Protocol {
	case ProtocolUnsigned:
		var w dcWire
		if err := decodeObject(r.Data, &w); err != nil {
			return nil, ErrVPRequestMalformed.because(err)
		}
		request := w.request()
		return &UnverifiedDCRequest{unsigned: &request}, request.validateDC()
	case ProtocolSigned:
		compact, err := dcRequestOf[string](r.Data)
		if err != nil {
			return nil, err
		}
		u, err := parseDCToken(compact)
		if err != nil {
			return nil, err
		}
		return &UnverifiedDCRequest{signed: []*UnverifiedPresentationRequest{u}}, nil
	case ProtocolMultisigned:
		jws, err := dcRequestOf[multiJWS](r.Data)
		if err != nil {
			return nil, err
		}
		return parseMultisigned(jws)
	}
	return nil, ErrVPProtocol
}

// dcRequestOf reads the member of a signed request's data.
func dcRequestOf[T any](data json.RawMessage) (request T, err error) {
	var signed dcSigned
	if err := decodeObject(data, &signed); err != nil {
		return request, ErrVPRequestMalformed.because(err)
	}
	if err := keys.DecodeJSON(signed.Request, &request); err != nil {
		return request, ErrVPRequestMalformed.because(err)
	}
	return request, nil
}

func parseDCToken(compact string) (*UnverifiedPresentationRequest, error) {
	token, err := keys.ParseToken(compact)
	if err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	if token.Header().Typ != TypeRequestObject {
		return nil, ErrVPRequestType
	}
	var w dcSignedWire
	if err := decodeObject(token.UnverifiedPayload(), &w); err != nil {
		return nil, ErrVPRequestMalformed.because(err)
	}
	return &UnverifiedPresentationRequest{token: token, wire: w.full()}, nil
}

// parseMultisigned makes one request of each signature that can be read: others may be meant for other wallets.
func parseMultisigned(jws multiJWS) (*UnverifiedDCRequest, error) {
	if len(jws.Signatures) == 0 || len(jws.Signatures) > maxSignatures {
		return nil, ErrVPRequestMalformed
	}
	out := new(UnverifiedDCRequest)
	var unread error
	for _, s := range jws.Signatures {
		u, err := parseDCToken(s.Protected + "." + jws.Payload + "." + s.Signature)
		if err != nil {
			unread = err
			continue
		}
		if u.wire.ClientID != "" || u.wire.VerifierInfo != nil {
			return nil, ErrVPRequestMalformed // Appendix A.3.2.2: in the protected headers only
		}
		var header struct {
			ClientID string         `json:"client_id"`
			Info     []VerifierInfo `json:"verifier_info"`
		}
		if err := keys.DecodeJSON(u.token.Header().Raw, &header); err != nil {
			return nil, ErrVPRequestMalformed.because(err)
		}
		u.wire.ClientID, u.wire.VerifierInfo = header.ClientID, header.Info
		out.signed = append(out.signed, u)
	}
	if out.signed == nil {
		return nil, unread
	}
	return out, nil
}

// Verify checks who makes the request that came from a page of an origin, which the platform, and never the request, tells. Of several signatures
// that hold the first by somebody who is known counts, or else the first; where none holds the first one's error is returned. For an unsigned request
// nothing but the origin is known.
func (u *UnverifiedDCRequest) Verify(want ExpectRequest, origin string, known func(*VerifiedRequest) bool) (*VerifiedRequest, error) {
	if u.unsigned != nil {
		return &VerifiedRequest{PresentationRequest: *u.unsigned}, nil
	}
	var stranger *VerifiedRequest
	var refused error
	for _, signed := range u.signed {
		switch v, err := signed.verifyDC(want, origin); {
		case err == nil && known(v):
			return v, nil
		case err == nil && stranger == nil:
			stranger = v
		case err != nil && refused == nil:
			refused = err
		}
	}
	if stranger != nil {
		return stranger, nil
	}
	return nil, refused
}

func (u *UnverifiedPresentationRequest) verifyDC(want ExpectRequest, origin string) (*VerifiedRequest, error) {
	v, err := u.identify(want)
	if err != nil {
		return nil, err
	}
	if err := u.wire.checkFresh(want); err != nil {
		return nil, err
	}
	if err := u.wire.validateDC(); err != nil {
		return nil, err
	}
	if !slices.Contains(u.wire.ExpectedOrigins, origin) {
		return nil, ErrVPOrigin
	}
	return v, nil
}

// Data writes a response as the page gets it (Appendix A.4): {"vp_token": ...}, {"response": JWE} or {"error": code}.
func (r *VPResponse) Data(request *PresentationRequest) (json.RawMessage, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.Error != nil {
		return json.Marshal(vpPayload{Code: r.Error.Code})
	}
	if !request.IsEncrypted() {
		return json.Marshal(vpPayload{Token: r.Token})
	}
	compact, err := r.seal(request.Metadata)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"response": compact})
}

// ReadDCResponse reads what the page got. State is not part of it: the page's session takes its place.
func ReadDCResponse(data json.RawMessage, key ResponseKey) (*VPResponse, error) {
	var members map[string]json.RawMessage
	if err := keys.DecodeJSON(data, &members); err != nil {
		return nil, ErrVPResponse.because(err)
	}
	text := func(name string) (value string, err error) {
		if member, ok := members[name]; ok {
			err = keys.DecodeJSON(member, &value)
		}
		return value, err
	}
	response, err1 := text("response")
	code, err2 := text("error")
	if err := errors.Join(err1, err2); err != nil {
		return nil, ErrVPResponse.because(err)
	}
	return readResponse(rawResponse{response: response, hasResponse: members["response"] != nil, code: code, hasCode: members["error"] != nil, token: members["vp_token"]}, key)
}

// CheckOrigin checks that a text is an origin of the web as browsers write it (RFC 6454, Section 6.2).
func CheckOrigin(origin string) error {
	u, err := parseURL(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
		return fmt.Errorf("%w: it must be an origin, scheme://host and the port where it is not the scheme's", ErrIdentifier)
	}
	return nil
}
