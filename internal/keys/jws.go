package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// Errors of reading a compact JWS.
var (
	ErrMalformed = errors.New("token malformed")
	ErrAlgorithm = errors.New("algorithm not allowed")
	ErrCritical  = errors.New("critical header members are not supported")
	ErrSignature = errors.New("signature does not verify")
)

const signatureSize = 64 // ES256: r || s (RFC 7518, Section 3.4); EdDSA: R || S

// Header is the protected header to sign; "alg" is set by the key.
type Header map[string]any

// UnverifiedHeader is a protected header as the token states it. Inside a [Token] the signature over it was verified; that says nothing
// about the certificates or the key it names. Tokens with the same header share its slices: they must not be changed.
type UnverifiedHeader struct {
	Alg string
	Typ string
	Kid string
	X5C []string        // standard base64 of DER, the leaf first (RFC 7515, Section 4.1.6)
	JWK json.RawMessage // the embedded key, see EmbeddedKey
	Raw json.RawMessage // the header as it was sent

	members map[string]any                      // of Raw; nil where the header was not read from a token
	chain   func() ([]*x509.Certificate, error) // of X5C, once; nil where the header was not read from a token
	leaf    func() (Public, error)              // of X5C, once; as chain
	key     func() (Public, error)              // of "jwk", once; as chain
}

// Member returns any member of a header that was read from a token, as [DecodeJSON] reads it into an interface. It must not be changed.
func (h UnverifiedHeader) Member(name string) (v any, ok bool) {
	v, ok = h.members[name]
	return v, ok
}

// Chain is [ParseChain] of X5C. Tokens with the same header share the certificates.
func (h UnverifiedHeader) Chain() ([]*x509.Certificate, error) {
	if h.chain == nil {
		return ParseChain(h.X5C)
	}
	return h.chain()
}

// EmbeddedKey is [ParsePublic] of the key in a token's own header. Nothing here verifies with it: it is for the proofs whose point is that whoever
// made them has the key which they name (RFC 9449, Section 4.2; OpenID4VCI 1.0, Appendix F.1).
func (h UnverifiedHeader) EmbeddedKey() (Public, error) {
	if h.key == nil {
		return Public{}, errNoEmbeddedKey
	}
	return h.key()
}

var errNoEmbeddedKey = fmt.Errorf("%w: the header has no jwk, or it is no object", ErrKey)

func (h UnverifiedHeader) parseKey() (Public, error) {
	members, ok := h.members["jwk"].(map[string]any)
	if !ok {
		return Public{}, errNoEmbeddedKey
	}
	return PublicFromMembers(members)
}

// LeafKey is the key of the first certificate in X5C.
func (h UnverifiedHeader) LeafKey() (Public, error) {
	if h.leaf == nil {
		return h.readLeaf()
	}
	return h.leaf()
}

func (h UnverifiedHeader) readLeaf() (Public, error) {
	chain, err := h.Chain()
	if err != nil {
		return Public{}, err
	}
	return PublicFrom(chain[0].PublicKey)
}

// Token is a compact JWS whose signature was verified.
type Token struct {
	Header  UnverifiedHeader
	Payload []byte
}

// ecSigner hides the concrete key type from jwx: given the type itself jwx signs with a copy of the key, and crypto/ecdsa, which keeps
// its precomputed form by address, prepares that copy anew each time.
type ecSigner struct{ *ecdsa.PrivateKey }

// Sign makes a compact JWS (RFC 7515, Section 7.1):
//
//	BASE64URL(header) || '.' || BASE64URL(payload) || '.' || BASE64URL(signature)
func (p *Private) Sign(h Header, payload []byte) (string, error) {
	out, err := p.AppendSigned(nil, h, payload)
	return string(out), err
}

// AppendSigned appends to out what [Private.Sign] makes.
func (p *Private) AppendSigned(out []byte, h Header, payload []byte) ([]byte, error) {
	if alg, ok := h["alg"]; ok && alg != string(p.public.alg) {
		return nil, fmt.Errorf(`signing: "alg" is set by the key, leave it out: %w`, ErrAlgorithm)
	}
	header, err := p.encodeHeader(h)
	if err != nil {
		return nil, fmt.Errorf("signing: writing the header: %w", err)
	}
	start := len(out)
	out = slices.Grow(out, len(header)+b64.EncodedLen(len(payload))+b64.EncodedLen(signatureSize)+2)
	out = append(out, header...)
	out = append(out, '.')
	out = b64.AppendEncode(out, payload)
	signature, err := p.signOctets(out[start:])
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	out = append(out, '.')
	return b64.AppendEncode(out, signature), nil
}

// encodedHeader is a protected header that a key wrote.
type encodedHeader struct {
	members Header
	text    string // BASE64URL(header)
}

// encodeHeader writes the header with "alg". An issuer's tokens all have the same, with its certificates: the last one is remembered.
func (p *Private) encodeHeader(h Header) (string, error) {
	if last := p.header.Load(); last != nil && last.is(h) {
		return last.text, nil
	}
	full := make(Header, len(h)+1)
	maps.Copy(full, h)
	full["alg"] = string(p.public.alg)
	header, err := json.Marshal(full)
	if err != nil {
		return "", err
	}
	e := &encodedHeader{h.clone(), b64.EncodeToString(header)}
	if e.members != nil {
		p.header.Store(e)
	}
	return e.text, nil
}

// clone returns a copy, nil when there are members other than strings, lists of strings and texts of JSON.
func (h Header) clone() Header {
	out := make(Header, len(h))
	for name, v := range h {
		switch v := v.(type) {
		case string:
			out[name] = v
		case []string:
			out[name] = slices.Clone(v)
		case json.RawMessage:
			out[name] = slices.Clone(v)
		default:
			return nil
		}
	}
	return out
}

// is tells whether the header was written from h.
func (e *encodedHeader) is(h Header) bool {
	for name, known := range e.members {
		switch known := known.(type) {
		case string:
			if s, ok := h[name].(string); !ok || s != known {
				return false
			}
		case []string:
			if list, ok := h[name].([]string); !ok || (list == nil) != (known == nil) || !slices.Equal(list, known) {
				return false
			}
		case json.RawMessage:
			if text, ok := h[name].(json.RawMessage); !ok || (text == nil) != (known == nil) || !bytes.Equal(text, known) {
				return false
			}
		}
	}
	return len(h) == len(e.members)
}

func (p *Private) signOctets(input []byte) ([]byte, error) {
	signer, err := jws.NewSigner(jwa.SignatureAlgorithm(p.public.alg))
	if err != nil {
		return nil, err
	}
	if key, ok := p.signer.(*ecdsa.PrivateKey); ok {
		return signer.Sign(input, ecSigner{key})
	}
	return signer.Sign(input, p.signer)
}

// Verify checks a compact JWS with the given key. The algorithm must be one of algs and the one of the key. The token's own "jwk", "jku",
// "x5u" and "x5c" have no say; a "crit" or "b64" member is refused.
func Verify(compact string, key Public, algs ...Alg) (*Token, error) {
	u, err := ParseToken(compact)
	if err != nil {
		return nil, err
	}
	return u.Verify(key, algs...)
}

// UnverifiedToken is a compact JWS that was read and not verified.
type UnverifiedToken struct {
	parts   parts
	known   *knownHeader
	payload []byte
}

// ParseToken reads a compact JWS, so that the key can be chosen by what it says before [UnverifiedToken.Verify].
func ParseToken(compact string) (*UnverifiedToken, error) {
	parts, err := split(compact)
	if err != nil {
		return nil, err
	}
	u := &UnverifiedToken{parts: parts}
	if u.known, err = parts.readHeader(); err != nil {
		return nil, err
	}
	if u.payload, err = parts.decodePayload(); err != nil {
		return nil, err
	}
	return u, nil
}

// Header is the protected header as the token states it.
func (u *UnverifiedToken) Header() UnverifiedHeader { return u.known.header }

// UnverifiedPayload is the payload as the token states it.
func (u *UnverifiedToken) UnverifiedPayload() []byte { return u.payload }

// ID is the name of the token, see [ID].
func (u *UnverifiedToken) ID() string { return u.parts.id() }

// Verify is [Verify] for a token already read.
func (u *UnverifiedToken) Verify(key Public, algs ...Alg) (*Token, error) {
	if err := checkAlg(u.Header().Alg, key, algs); err != nil {
		return nil, err
	}
	signature, err := decodeStrict(u.parts.signature)
	if err != nil || len(signature) != signatureSize {
		return nil, fmt.Errorf("%w: it must be the base64url of %d octets", ErrSignature, signatureSize)
	}
	known, err := u.known.jose()
	if err != nil {
		return nil, fmt.Errorf("%w: the header has a member of the wrong form", ErrMalformed)
	}
	signed := *known // shared with other tokens
	signed.Signatures = slices.Clone(known.Signatures)
	signed.Signatures[0].Signature = signature
	if err := signed.DetachedVerify(u.payload, key.key); err != nil {
		return nil, ErrSignature
	}
	return &Token{Header: u.Header(), Payload: u.payload}, nil
}

// knownHeader is a protected header that was read.
type knownHeader struct {
	text   string
	header UnverifiedHeader
	jose   func() (*jose.JSONWebSignature, error) // what go-jose makes of it: a signature object without a signature of its own
}

// knownHeaders remembers the last header met in each place. An issuer's tokens all have the same header, and so have the DPoP proofs of a wallet;
// reading it, with its certificates, takes a third of the time of a verification. Whoever fills the places with other headers costs others that time and
// nothing else.
var (
	knownHeaders [2048]atomic.Pointer[knownHeader]
	headerSeed   = maphash.MakeSeed()
)

const maxKnownHeader = 8 << 10 // longer ones are not remembered

func (p parts) readHeader() (*knownHeader, error) {
	place := &knownHeaders[maphash.String(headerSeed, p.header)%uint64(len(knownHeaders))]
	if h := place.Load(); h != nil && h.text == p.header {
		return h, nil
	}
	header, err := p.parseHeader()
	if err != nil {
		return nil, err
	}
	header.chain = sync.OnceValues(func() ([]*x509.Certificate, error) { return ParseChain(header.X5C) })
	header.key = sync.OnceValues(header.parseKey)
	header.leaf = sync.OnceValues(header.readLeaf)
	h := &knownHeader{text: strings.Clone(p.header), header: header}
	h.jose = sync.OnceValues(h.parseJose)
	if len(p.header) <= maxKnownHeader {
		place.Store(h)
	}
	return h, nil
}

// parseJose has an empty payload stand in: the payload is given to DetachedVerify.
func (h *knownHeader) parseJose() (*jose.JSONWebSignature, error) {
	return jose.ParseSignedCompact(h.text+"..", []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.header.Alg)})
}

func checkAlg(alg string, key Public, algs []Alg) error {
	if key.IsZero() {
		return fmt.Errorf("%w: no key to verify with", ErrKey)
	}
	if !slices.Contains(algs, Alg(alg)) || Alg(alg) != key.alg {
		return fmt.Errorf("%w: the token must be signed with %s", ErrAlgorithm, key.alg)
	}
	return nil
}

// PeekHeader reads the protected header of a compact JWS without verifying anything, to find out which key to verify with.
func PeekHeader(compact string) (UnverifiedHeader, error) {
	parts, err := split(compact)
	if err != nil {
		return UnverifiedHeader{}, err
	}
	known, err := parts.readHeader()
	if err != nil {
		return UnverifiedHeader{}, err
	}
	return known.header, nil
}

// UnverifiedPayload returns the payload of a compact JWS without verifying anything.
func UnverifiedPayload(compact string) ([]byte, error) {
	parts, err := split(compact)
	if err != nil {
		return nil, err
	}
	return parts.decodePayload()
}

// ID is the name of a token everywhere in the project: the base64url SHA-256 of its signing input, header || '.' || payload.
// The signature is no part of it, since ECDSA allows many for one input.
func ID(compact string) (string, error) {
	parts, err := split(compact)
	if err != nil {
		return "", err
	}
	return parts.id(), nil
}

// parts are the three strings of a compact JWS.
type parts struct {
	input                      string // header || '.' || payload: what is signed (RFC 7515, Section 5.2)
	header, payload, signature string
}

func split(compact string) (parts, error) {
	if len(compact) > 2*maxJSON {
		return parts{}, fmt.Errorf("%w: too long", ErrMalformed)
	}
	header, rest, ok1 := strings.Cut(compact, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || header == "" || strings.Contains(signature, ".") {
		return parts{}, fmt.Errorf("%w: a compact token has three parts", ErrMalformed)
	}
	return parts{compact[:len(compact)-len(signature)-1], header, payload, signature}, nil
}

func (p parts) id() string {
	sum := sha256.Sum256([]byte(p.input))
	return b64.EncodeToString(sum[:])
}

func (p parts) decodePayload() ([]byte, error) {
	payload, err := decodeStrict(p.payload)
	if err != nil {
		return nil, fmt.Errorf("%w: the payload is not base64url", ErrMalformed)
	}
	return payload, nil
}

// decodeStrict decodes base64url and refuses line breaks, which encoding/base64 skips.
func decodeStrict(s string) ([]byte, error) {
	if hasLineBreak(s) {
		return nil, errors.New("line break in base64url")
	}
	return b64.DecodeString(s)
}

func hasLineBreak(s string) bool {
	return strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0
}

func (p parts) parseHeader() (UnverifiedHeader, error) {
	raw, err := decodeStrict(p.header)
	if err != nil {
		return UnverifiedHeader{}, fmt.Errorf("%w: the header is not base64url", ErrMalformed)
	}
	members, texts, err := DecodeObject(raw)
	if err != nil {
		return UnverifiedHeader{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	return headerFromMembers(raw, members, texts)
}

func headerFromMembers(raw []byte, members map[string]any, texts map[string]json.RawMessage) (h UnverifiedHeader, err error) {
	for _, name := range []string{"crit", "b64"} {
		if _, ok := members[name]; ok {
			return h, fmt.Errorf("%w: %q", ErrCritical, name)
		}
	}
	h.Raw = raw
	for name, field := range map[string]*string{"alg": &h.Alg, "typ": &h.Typ, "kid": &h.Kid} {
		v, present := members[name]
		s, isString := v.(string)
		if present && !isString {
			return h, fmt.Errorf("%w: header member %q must be a string", ErrMalformed, name)
		}
		*field = s
	}
	if h.Alg == "" {
		return h, fmt.Errorf(`%w: header member "alg" is missing`, ErrMalformed)
	}
	if v, ok := members["x5c"]; ok {
		if h.X5C, err = stringsOf(v); err != nil {
			return h, err
		}
	}
	h.JWK, h.members = texts["jwk"], members
	return h, nil
}

func stringsOf(v any) ([]string, error) {
	array, _ := v.([]any)
	out := make([]string, 0, len(array))
	for _, element := range array {
		s, ok := element.(string)
		if !ok {
			return nil, fmt.Errorf(`%w: header member "x5c" must be an array of strings`, ErrMalformed)
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf(`%w: header member "x5c" must be an array of strings`, ErrMalformed)
	}
	return out, nil
}
