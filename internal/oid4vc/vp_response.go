package oid4vc

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"akashi/internal/keys"
)

// Refusals of responses, which a verifier answers with (OpenID4VP 1.0, Section 8.6).
var (
	ErrVPResponse          = refuse(CodeInvalidRequest, "the response is malformed")
	ErrVPToken             = refuse(CodeInvalidRequest, "vp_token must be an object with a non-empty array of presentations for each id of the query")
	ErrVPResponseState     = refuse(CodeInvalidRequest, "state is not that of the request")
	ErrVPResponsePlain     = refuse(CodeInvalidRequest, "the response must be encrypted, as the request asks")
	ErrVPResponseEncrypted = refuse(CodeInvalidRequest, "the response must not be encrypted: the request does not ask for it")
	ErrVPResponseDecrypt   = refuse(CodeInvalidRequest, "the response cannot be decrypted with the key and the algorithms of the request")
	ErrVPTransactionHashes = refuse(CodeInvalidTransactionData, "the key binding does not confirm the transaction data of the request")
)

// VPToken is the presentations by the id of the credential query that they answer (Section 8.1), always in arrays. All are of formats whose
// presentation is a string.
type VPToken map[string][]string

// VPResponse is what a wallet sends to the response_uri: presentations or an error.
type VPResponse struct {
	Token VPToken
	State string
	Error *ErrorResponse
}

// vpPayload is the content of an encrypted response.
type vpPayload struct {
	Token VPToken `json:"vp_token,omitempty"`
	State string  `json:"state,omitempty"`
	Code  string  `json:"error,omitempty"`
	Text  string  `json:"error_description,omitempty"`
}

// readVPPayload reads the content of an encrypted response, once: a year's presentations are long. Unknown members are ignored.
func readVPPayload(text []byte) (*vpPayload, error) {
	var members map[string]any
	if err := keys.DecodeJSON(text, &members); err != nil {
		return nil, ErrVPResponse.because(err)
	}
	p := &vpPayload{}
	for name, field := range map[string]*string{"state": &p.State, "error": &p.Code, "error_description": &p.Text} {
		s, isString := members[name].(string)
		if !isString && members[name] != nil {
			return nil, ErrVPResponse
		}
		*field = s
	}
	if members["vp_token"] == nil {
		return p, nil
	}
	var err error
	p.Token, err = readVPToken(members["vp_token"])
	return p, err
}

func readVPToken(v any) (VPToken, error) {
	byID, ok := v.(map[string]any)
	if !ok {
		return nil, ErrVPToken
	}
	token := make(VPToken, len(byID))
	for id, v := range byID {
		array, ok := v.([]any)
		if !ok {
			return nil, ErrVPToken
		}
		presentations := make([]string, len(array))
		for i := range array {
			if presentations[i], ok = array[i].(string); !ok {
				return nil, ErrVPToken
			}
		}
		token[id] = presentations
	}
	return token, nil
}

func (p *vpPayload) response() (*VPResponse, error) {
	r := &VPResponse{Token: p.Token, State: p.State}
	if p.Code != "" {
		r.Error = &ErrorResponse{Code: p.Code, Description: p.Text}
	}
	return r, r.check()
}

// check makes sure of either presentations or an error.
func (r *VPResponse) check() error {
	if r.Error != nil {
		if r.Token != nil || !isErrorCode(r.Error.Code) {
			return ErrVPResponse
		}
		return nil
	}
	if len(r.Token) == 0 {
		return ErrVPToken
	}
	for _, presentations := range r.Token {
		if len(presentations) == 0 || slices.Contains(presentations, "") {
			return ErrVPToken
		}
	}
	return nil
}

// isErrorCode tells whether a text can be an error code at all; codes that are not known are taken for refusals like the others.
func isErrorCode(code string) bool { return len(code) <= 64 && nonceText.MatchString(code) }

// Form writes a response in clear (response mode direct_post), or an error in either mode.
func (r *VPResponse) Form() (url.Values, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	form := make(url.Values)
	if r.State != "" {
		form.Set("state", r.State)
	}
	if r.Error != nil {
		form.Set("error", r.Error.Code)
		if r.Error.Description != "" {
			form.Set("error_description", r.Error.Description)
		}
		return form, nil
	}
	token, err := json.Marshal(r.Token)
	if err != nil {
		return nil, err
	}
	form.Set("vp_token", string(token))
	return form, nil
}

// Seal writes a response encrypted for the verifier (response mode direct_post.jwt, Section 8.3):
//
//	response = JWE({"vp_token": {...}, "state": ...})
func (r *VPResponse) Seal(m *VerifierMetadata) (url.Values, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	compact, err := r.seal(m)
	if err != nil {
		return nil, err
	}
	return url.Values{"response": {compact}}, nil
}

func (r *VPResponse) seal(m *VerifierMetadata) (string, error) {
	if m == nil {
		return "", ErrVPMetadata
	}
	key, enc, err := m.Encryption()
	if err != nil {
		return "", err
	}
	p := vpPayload{Token: r.Token, State: r.State}
	if r.Error != nil {
		p.Code, p.Text = r.Error.Code, r.Error.Description
	}
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return keys.EncryptMessage(key, enc, false, text)
}

// FormFor writes the response as the request's mode asks. An error goes in clear where the request has no way to encrypt it (Section 8.3.1).
func (r *VPResponse) FormFor(request *PresentationRequest) (url.Values, error) {
	if !request.IsEncrypted() {
		return r.Form()
	}
	form, err := r.Seal(request.Metadata)
	if err != nil && r.Error != nil {
		return r.Form()
	}
	return form, err
}

// ResponseKey is what a verifier made for one request to be answered with.
type ResponseKey struct {
	Private *keys.Private // nil in response mode direct_post
	KID     string
}

// ReadVPResponse reads the form that came to the response_uri of a request with this state. An error may come in clear in either mode
// (Section 8.3).
func ReadVPResponse(form url.Values, key ResponseKey, state string) (*VPResponse, error) {
	r, err := readVPResponse(form, key)
	if err != nil {
		return nil, err
	}
	if r.State != state {
		return nil, ErrVPResponseState
	}
	return r, nil
}

func readVPResponse(form url.Values, key ResponseKey) (*VPResponse, error) {
	raw := rawResponse{state: form.Get("state"), response: form.Get("response"), hasResponse: form.Has("response"),
		code: form.Get("error"), hasCode: form.Has("error"), text: form.Get("error_description")}
	if form.Has("vp_token") {
		raw.token = json.RawMessage(form.Get("vp_token"))
	}
	return readResponse(raw, key)
}

// rawResponse are the parameters of a response as they came, in a form or in an object.
type rawResponse struct {
	response, code, text, state string
	hasResponse, hasCode        bool
	token                       json.RawMessage // nil where there is none
}

func readResponse(raw rawResponse, key ResponseKey) (*VPResponse, error) {
	switch {
	case raw.hasResponse && key.Private == nil:
		return nil, ErrVPResponseEncrypted
	case raw.hasResponse:
		if raw.token != nil || raw.hasCode {
			return nil, ErrVPResponse
		}
		return key.open(raw.response)
	case raw.hasCode:
		p := vpPayload{State: raw.state, Code: raw.code, Text: raw.text}
		if p.Code == "" || raw.token != nil {
			return nil, ErrVPResponse
		}
		return p.response()
	case key.Private != nil:
		return nil, ErrVPResponsePlain
	}
	var token any
	if err := keys.DecodeJSON(raw.token, &token); err != nil {
		return nil, ErrVPToken.because(err)
	}
	p := vpPayload{State: raw.state}
	var err error
	if p.Token, err = readVPToken(token); err != nil {
		return nil, err
	}
	return p.response()
}

func (k ResponseKey) open(compact string) (*VPResponse, error) {
	m, err := keys.ParseMessage(compact, keys.A128GCM, keys.A256GCM)
	if err != nil {
		return nil, ErrVPResponseDecrypt.because(err)
	}
	if m.Deflate || m.KID != k.KID {
		return nil, ErrVPResponseDecrypt
	}
	text, err := m.Open(k.Private, MaxMessage)
	if err != nil {
		return nil, ErrVPResponseDecrypt.because(err)
	}
	p, err := readVPPayload(text)
	if err != nil {
		return nil, err
	}
	return p.response()
}

// VPAnswer is the verifier's answer to a response (Section 8.2).
type VPAnswer struct {
	RedirectURI string `json:"redirect_uri,omitempty"` // where the wallet sends the browser on, with the response_code in it
}

// ParseVPAnswer reads the verifier's answer.
func ParseVPAnswer(body []byte) (*VPAnswer, error) {
	var a VPAnswer
	if err := keys.DecodeJSON(body, &a); err != nil {
		return nil, ErrVPResponse.because(err)
	}
	if a.RedirectURI == "" {
		return &a, nil
	}
	// The response_code may stand in the fragment.
	u, err := url.Parse(a.RedirectURI)
	if err != nil || strings.ContainsFunc(a.RedirectURI, func(r rune) bool { return r <= ' ' || r > '~' }) { // RFC 3986; a person is shown it
		return nil, ErrIdentifier
	}
	u.Fragment, u.RawFragment = "", ""
	return &a, checkEndpoint(u.String())
}

// TransactionData says what the holder agrees to by presenting (Section 5.1). Members of its type are in Raw.
type TransactionData struct {
	Type          string          `json:"type"`
	CredentialIDs []string        `json:"credential_ids"`
	HashAlgs      []string        `json:"transaction_data_hashes_alg,omitempty"` // nil means sha-256 (Appendix B.3.3.1)
	Raw           json.RawMessage `json:"-"`
}

// hashSHA256 is the name of the one hash algorithm (IANA Named Information registry).
const hashSHA256 = "sha-256"

// ParseTransactionData reads one element of transaction_data. Whether the type is known is the wallet's to decide: an unknown one must be refused.
func ParseTransactionData(encoded string) (*TransactionData, error) {
	text, err := b64.DecodeString(encoded)
	if err != nil {
		return nil, ErrVPTransactionData.because(err)
	}
	d := TransactionData{Raw: text}
	if err := keys.DecodeJSON(text, &d); err != nil {
		return nil, ErrVPTransactionData.because(err)
	}
	if d.Type == "" || len(d.CredentialIDs) == 0 || slices.Contains(d.CredentialIDs, "") {
		return nil, ErrVPTransactionData
	}
	if d.HashAlgs != nil && !slices.Contains(d.HashAlgs, hashSHA256) {
		return nil, ErrVPTransactionData
	}
	return &d, nil
}

// TransactionHash is the hash that confirms one element of transaction_data in a key binding (Appendix B.3.3):
//
//	BASE64URL(SHA-256(the base64url string as received))
func TransactionHash(encoded string) string {
	sum := sha256.Sum256([]byte(encoded))
	return b64.EncodeToString(sum[:])
}

// transactionClaims are the claims of a key binding that confirm transaction data (Appendix B.3.3.1).
type transactionClaims struct {
	Hashes []string `json:"transaction_data_hashes"`
	Alg    *string  `json:"transaction_data_hashes_alg"`
}

// TransactionClaims makes the claims of the key binding that confirms elements of transaction_data, nil for none.
func TransactionClaims(elements []string) (map[string]any, error) {
	if len(elements) == 0 {
		return nil, nil
	}
	var hashes []string
	claims := make(map[string]any)
	for _, encoded := range elements {
		d, err := ParseTransactionData(encoded)
		if err != nil {
			return nil, err
		}
		if d.HashAlgs != nil { // then the key binding must name the one it takes
			claims["transaction_data_hashes_alg"] = hashSHA256
		}
		hashes = append(hashes, TransactionHash(encoded))
	}
	claims["transaction_data_hashes"] = hashes
	return claims, nil
}

// ConfirmedTransactions returns which elements of transaction_data the presentation that answers one credential query confirms, by their place. The
// caller has verified the signature of the key binding. What is hashed there must be elements that name the query, each once.
func ConfirmedTransactions(keyBinding, id string, transactionData []string) ([]int, error) {
	payload, err := keys.UnverifiedPayload(keyBinding)
	if err != nil {
		return nil, ErrVPTransactionHashes.because(err)
	}
	if len(transactionData) == 0 && !bytes.Contains(payload, []byte("transaction_data_")) && !bytes.ContainsRune(payload, '\\') {
		return nil, nil // without escapes a name stands there as it is, and this one does not
	}
	var got transactionClaims
	if err := keys.DecodeJSON(payload, &got); err != nil {
		return nil, ErrVPTransactionHashes.because(err)
	}
	if got.Hashes != nil && len(got.Hashes) == 0 || got.Alg != nil && *got.Alg != hashSHA256 {
		return nil, ErrVPTransactionHashes
	}
	var confirmed []int
	for _, hash := range got.Hashes {
		n := slices.IndexFunc(transactionData, func(encoded string) bool { return TransactionHash(encoded) == hash })
		if n < 0 || slices.Contains(confirmed, n) {
			return nil, ErrVPTransactionHashes
		}
		d, err := ParseTransactionData(transactionData[n])
		if err != nil {
			return nil, err
		}
		if !slices.Contains(d.CredentialIDs, id) || d.HashAlgs != nil && got.Alg == nil {
			return nil, ErrVPTransactionHashes
		}
		confirmed = append(confirmed, n)
	}
	return confirmed, nil
}
