package oid4vc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"akashi/internal/did"
	"akashi/internal/keys"
)

// Proof types (OpenID4VCI 1.0, Appendix F).
const (
	ProofTypeJWT         = "jwt"
	ProofTypeAttestation = "attestation"
	ProofTypeDIVP        = "di_vp" // carried, never accepted
)

// Types of key proofs and key attestations.
const (
	TypKeyProof       = "openid4vci-proof+jwt"
	TypKeyAttestation = "key-attestation+jwt"
)

// Ways to name the holder's key (cryptographic_binding_methods_supported).
const (
	BindingJWK    = "jwk"
	BindingDIDKey = "did:key"
	BindingDIDJWK = "did:jwk"
)

// Refusals of key proofs, in the order of the checks.
var (
	ErrProofMissing    = refuse(CodeInvalidProof, "proofs are missing")
	ErrProofType       = refuse(CodeInvalidProof, "the proof type is not one of those supported")
	ErrProofCount      = refuse(CodeInvalidProof, "there are more proofs than this issuer takes at once")
	ErrProofMalformed  = refuse(CodeInvalidProof, "a key proof is no JWT, or a claim is missing or of the wrong kind")
	ErrProofTyp        = refuse(CodeInvalidProof, "typ of a key proof must be openid4vci-proof+jwt")
	ErrProofAlg        = refuse(CodeInvalidProof, "alg of a key proof is not one of those supported")
	ErrProofKeyCount   = refuse(CodeInvalidProof, "the header of a key proof must have exactly one of jwk, kid and x5c")
	ErrProofKey        = refuse(CodeInvalidProof, "the key of a key proof must be a public key of a supported kind and named in a supported way")
	ErrProofSignature  = refuse(CodeInvalidProof, "the signature of a key proof does not verify with the key in its header")
	ErrProofAudience   = refuse(CodeInvalidProof, "aud of a key proof must be the credential issuer and nothing else")
	ErrProofIssuer     = refuse(CodeInvalidProof, "iss of a key proof must be the client_id, and be left out by an anonymous client")
	ErrProofTime       = refuse(CodeInvalidProof, "iat of a key proof is too old or lies ahead, or the proof has expired")
	ErrProofNoNonce    = refuse(CodeInvalidProof, "a key proof has no nonce: ask the nonce endpoint for one")
	ErrProofKeyTwice   = refuse(CodeInvalidProof, "two key proofs are of the same key")
	ErrProofUnattested = refuse(CodeInvalidProof, "a key proof needs a key attestation")
	ErrProofOtherKey   = refuse(CodeInvalidProof, "a key proof is signed with a key that its key attestation does not name")
)

// Refusals of key attestations.
var (
	ErrKeyAttestationMalformed = refuse(CodeInvalidProof, "a key attestation is no JWT, or a claim is missing or of the wrong kind")
	ErrKeyAttestationTyp       = refuse(CodeInvalidProof, "typ of a key attestation must be key-attestation+jwt")
	ErrKeyAttestationAlg       = refuse(CodeInvalidProof, "alg of a key attestation is not one of those supported")
	ErrKeyAttestationUntrusted = refuse(CodeInvalidProof, "a key attestation is of nobody whom this issuer trusts")
	ErrKeyAttestationSignature = refuse(CodeInvalidProof, "the signature of a key attestation does not verify")
	ErrKeyAttestationTime      = refuse(CodeInvalidProof, "a key attestation has expired, lies ahead, or has no exp where it needs one")
	ErrKeyAttestationKeys      = refuse(CodeInvalidProof, "attested_keys must be public keys of a supported kind, each once")
	ErrKeyAttestationOld       = refuse(CodeInvalidProof, "a key attestation is too old: get another from the wallet provider")
	ErrKeyAttestationStatus    = refuse(CodeInvalidProof, "a key attestation is not valid any more, or its status cannot be had now")
	ErrKeyAttestationLevel     = refuse(CodeInvalidProof, "a key attestation states none of the levels that this issuer asks for")
	ErrKeyAttestationNoNonce   = refuse(CodeInvalidProof, "a key attestation has no nonce: ask the nonce endpoint for one")
	ErrKeyAttestationCount     = refuse(CodeInvalidProof, "there must be exactly one key attestation")
)

// Proofs is the "proofs" member of a credential request: exactly one type, and at least one proof of it (Section 8.2).
type Proofs struct {
	Type   string
	Values []string // of the types jwt and attestation
	Others []any    // of any other type, as [keys.DecodeJSON] reads them
}

// MarshalJSON writes {"<type>": [...]}.
func (p Proofs) MarshalJSON() ([]byte, error) {
	if len(p.Others) > 0 {
		return json.Marshal(map[string][]any{p.Type: p.Others})
	}
	return json.Marshal(map[string][]string{p.Type: p.Values})
}

// UnmarshalJSON reads {"<type>": [...]}.
func (p *Proofs) UnmarshalJSON(data []byte) error {
	var tree any
	if err := keys.DecodeJSON(data, &tree); err != nil {
		return err
	}
	return p.read(tree)
}

// read takes the proofs from the decoded member.
func (p *Proofs) read(member any) error {
	byType, _ := member.(map[string]any)
	if len(byType) != 1 {
		return errors.New("proofs must have exactly one proof type")
	}
	for name, of := range byType {
		array, _ := of.([]any)
		if len(array) == 0 {
			return errors.New("proofs must have a non-empty array")
		}
		p.Type = name
		if name != ProofTypeJWT && name != ProofTypeAttestation {
			p.Others = array
			return nil
		}
		for _, element := range array {
			value, ok := element.(string)
			if !ok {
				return fmt.Errorf("proofs of type %s must be strings", name)
			}
			p.Values = append(p.Values, value)
		}
	}
	return nil
}

// Count is the number of proofs.
func (p *Proofs) Count() int { return len(p.Values) + len(p.Others) }

// IsZero tells whether there are none.
func (p *Proofs) IsZero() bool { return p == nil || p.Count() == 0 }

type proofClaims struct {
	Issuer        string            `json:"iss,omitempty"`
	Audience      string            `json:"aud"` // a string in this standard, never an array
	IssuedAt      *keys.NumericDate `json:"iat"`
	NotBefore     *keys.NumericDate `json:"nbf,omitempty"`
	Expires       *keys.NumericDate `json:"exp,omitempty"`
	Nonce         string            `json:"nonce,omitempty"`
	DeliveryProof string            `json:"delivery_proof,omitempty"` // ours: where the holder takes deliveries; others ignore it
}

// KeyProofOptions say what a key proof is for.
type KeyProofOptions struct {
	Issuer         string // credential issuer: the audience
	ClientID       string // "" for an anonymous client
	Nonce          string // c_nonce, "" where the issuer has no nonce endpoint
	Now            time.Time
	Binding        string // BindingJWK where empty
	KeyAttestation string
	DeliveryProof  string
}

// MakeKeyProof makes a proof of type jwt.
func MakeKeyProof(holder *keys.Private, o KeyProofOptions) (string, error) {
	header := keys.Header{}
	switch o.Binding {
	case "", BindingJWK:
		header["jwk"] = holder.Public().JWK()
	case BindingDIDKey:
		id := did.FromKey(holder.Public())
		header["kid"] = id + "#" + strings.TrimPrefix(id, "did:key:")
	case BindingDIDJWK:
		header["kid"] = did.FromKeyJWK(holder.Public()) + "#0"
	default:
		return "", fmt.Errorf("key proof: binding method %s is not known", printable(o.Binding))
	}
	if o.KeyAttestation != "" {
		header["key_attestation"] = o.KeyAttestation
	}
	claims := proofClaims{Issuer: o.ClientID, Audience: o.Issuer, IssuedAt: datePointer(o.Now), Nonce: o.Nonce, DeliveryProof: o.DeliveryProof}
	return signJWT(holder, TypKeyProof, header, claims)
}

// ExpectProofs is what an issuer expects of the proofs in one request.
type ExpectProofs struct {
	Issuer         string                // credential issuer: the audience
	Types          map[string][]keys.Alg // proof types supported, each with its algorithms
	BindingMethods []string              // BindingJWK, ...
	MaxProofs      int                   // batch_size, 1 where there is no batch
	ClientID       string                // of the access token; "" for an anonymous client, whose proofs must have no iss
	Now            time.Time
	MaxAge, Ahead  time.Duration // 5 minutes and 1 minute where zero

	// NonceRequired is set where the issuer has a nonce endpoint. Nonce judges each different nonce of the request, once, after everything else
	// was found in order, so that it may also use it up; anything but nil is answered with invalid_nonce.
	NonceRequired bool
	Nonce         func(nonce string) error

	// KeyAttestation is nil where key attestations are not looked at. With AttestationRequired a proof of type jwt must have one.
	KeyAttestation      *ExpectKeyAttestation
	AttestationRequired bool
}

// ExpectKeyAttestation is what an issuer expects of key attestations.
type ExpectKeyAttestation struct {
	// AttesterKey returns the key that the header names, if this issuer trusts its owner to attest keys. Without the function nobody is trusted.
	AttesterKey func(header keys.UnverifiedHeader) (keys.Public, error)
	// MaxAge bounds the age by iat; 0 means as long as exp says.
	MaxAge time.Duration
	// KeyStorage and UserAuthentication are acceptable levels; where there are any, the attestation must state one of them.
	KeyStorage, UserAuthentication []string
}

// ProofSet is what the proofs of a request showed.
type ProofSet struct {
	// Keys are the keys to bind credentials to, one each and none twice: those of the proofs, and all others that key attestations name.
	Keys []keys.Public
	// Proofs are the proofs of type jwt in the order sent.
	Proofs []KeyProof
	// Attestations are the key attestations that were checked.
	Attestations []*KeyAttestation
	// Nonces are the different nonces of proofs and attestations.
	Nonces []string
}

// KeyProof is a proof of type jwt that was checked.
type KeyProof struct {
	Key           keys.Public
	DID           string // the did:key or did:jwk that named the key, "" where it came as jwk
	IssuedAt      time.Time
	DeliveryProof string // unchecked; "" where there is none
}

// CheckProofs checks the proofs of a credential request (Appendix F.4) and names the keys to bind.
func CheckProofs(p *Proofs, want ExpectProofs) (*ProofSet, error) {
	if p.IsZero() {
		return nil, ErrProofMissing
	}
	algs, known := want.Types[p.Type]
	if !known || p.Type != ProofTypeJWT && p.Type != ProofTypeAttestation {
		return nil, ErrProofType
	}
	if len(p.Values) > max(1, want.MaxProofs) {
		return nil, ErrProofCount
	}
	c := &proofCheck{want: want, algs: algsOrDefault(algs), w: newWindow(want.Now, want.MaxAge, want.Ahead), seen: make(map[string]*KeyAttestation)}
	check := c.proof
	if p.Type == ProofTypeAttestation {
		if len(p.Values) != 1 {
			return nil, ErrKeyAttestationCount
		}
		check = c.attestationProof
	}
	for _, value := range p.Values {
		if err := check(value); err != nil {
			return nil, err
		}
	}
	c.addAttestedKeys()
	if len(c.set.Keys) > max(1, want.MaxProofs) {
		c.set.Keys = c.set.Keys[:max(1, want.MaxProofs)] // an issuer may issue fewer credentials than there are keys
	}
	if want.Nonce != nil {
		for _, nonce := range c.set.Nonces {
			if err := want.Nonce(nonce); err != nil {
				return nil, ErrInvalidNonce.because(err)
			}
		}
	}
	return &c.set, nil
}

// proofCheck gathers what the proofs of one request show.
type proofCheck struct {
	want ExpectProofs
	algs []keys.Alg
	w    window
	set  ProofSet
	seen map[string]*KeyAttestation // by compact form
}

// proof checks one proof of type jwt (Appendix F.1).
func (c *proofCheck) proof(compact string) error {
	u, err := keys.ParseToken(compact)
	if err != nil {
		return ErrProofMalformed.because(err)
	}
	if u.Header().Typ != TypKeyProof {
		return ErrProofTyp
	}
	if !algAllowed(u.Header(), c.algs) {
		return ErrProofAlg
	}
	attestation, err := c.attestationOf(u.Header())
	if err != nil {
		return err
	}
	key, id, err := c.proofKey(u.Header(), attestation)
	if err != nil {
		return err
	}
	token, err := u.Verify(key, c.algs...)
	if err != nil {
		return ErrProofSignature.because(err)
	}
	r, err := readClaims(token.Payload)
	if err != nil {
		return ErrProofMalformed.because(err)
	}
	claims := proofClaims{Issuer: r.text("iss"), Audience: r.text("aud"), IssuedAt: r.date("iat"), NotBefore: r.date("nbf"), Expires: r.date("exp"),
		Nonce: r.text("nonce"), DeliveryProof: r.text("delivery_proof")}
	if r.wrong != nil {
		return ErrProofMalformed.because(r.wrong)
	}
	if err := c.checkClaims(&claims); err != nil {
		return err
	}
	if attestation != nil && !attestation.has(key) {
		return ErrProofOtherKey
	}
	if c.isBound(key) {
		return ErrProofKeyTwice
	}
	c.set.Keys = append(c.set.Keys, key)
	c.set.Proofs = append(c.set.Proofs, KeyProof{Key: key, DID: id, IssuedAt: claims.IssuedAt.Time(), DeliveryProof: claims.DeliveryProof})
	c.addNonce(claims.Nonce)
	return nil
}

func (c *proofCheck) checkClaims(claims *proofClaims) error {
	switch {
	case claims.IssuedAt == nil:
		return ErrProofMalformed
	case claims.Audience != c.want.Issuer || claims.Audience == "":
		return ErrProofAudience
	case claims.Issuer != "" && claims.Issuer != c.want.ClientID:
		return ErrProofIssuer
	case !c.w.contains(claims.IssuedAt) || c.w.expired(claims.Expires, claims.NotBefore):
		return ErrProofTime
	case c.want.NonceRequired && claims.Nonce == "":
		return ErrProofNoNonce
	case len(claims.Nonce) > maxOpaque:
		return ErrInvalidNonce
	}
	return nil
}

func (c *proofCheck) isBound(key keys.Public) bool { return slices.ContainsFunc(c.set.Keys, key.Equal) }

func (c *proofCheck) addNonce(nonce string) {
	if nonce != "" && !slices.Contains(c.set.Nonces, nonce) {
		c.set.Nonces = append(c.set.Nonces, nonce)
	}
}

// addAttestedKeys puts the keys of the attestations behind those that proved themselves: a credential should be issued for each of them.
func (c *proofCheck) addAttestedKeys() {
	for _, a := range c.set.Attestations {
		for _, key := range a.Keys {
			if !c.isBound(key) {
				c.set.Keys = append(c.set.Keys, key)
			}
		}
	}
}

// proofKey finds the key that the header names: exactly one of jwk, kid and x5c. With two of them one could name an honest key and the other
// the attacker's.
func (c *proofCheck) proofKey(h keys.UnverifiedHeader, attestation *KeyAttestation) (key keys.Public, id string, err error) {
	named := 0
	for _, there := range []bool{h.JWK != nil, h.Kid != "", h.X5C != nil} {
		if there {
			named++
		}
	}
	if named != 1 {
		return key, "", ErrProofKeyCount
	}
	switch {
	case h.X5C != nil:
		return key, "", ErrProofKey
	case h.JWK != nil:
		if !slices.Contains(c.want.BindingMethods, BindingJWK) {
			return key, "", ErrProofKey
		}
		key, err = h.EmbeddedKey()
	case strings.HasPrefix(h.Kid, "did:"):
		return c.didKey(h.Kid)
	case attestation != nil:
		key, err = attestation.keyNamed(h.Kid)
	default:
		return key, "", ErrProofKey
	}
	if err != nil {
		return key, "", ErrProofKey.because(err)
	}
	return key, "", nil
}

// didKey resolves a DID URL of did:key or did:jwk. Of each such DID there is one verification method, and its fragment may be left out.
func (c *proofCheck) didKey(kid string) (keys.Public, string, error) {
	id, fragment, hasFragment := strings.Cut(kid, "#")
	method, want := BindingDIDJWK, "0"
	if rest, ok := strings.CutPrefix(id, "did:key:"); ok {
		method, want = BindingDIDKey, rest
	}
	if !slices.Contains(c.want.BindingMethods, method) || hasFragment && fragment != want {
		return keys.Public{}, "", ErrProofKey
	}
	key, err := did.Resolve(id)
	if err != nil {
		return keys.Public{}, "", ErrProofKey.because(err)
	}
	return key, id, nil
}

// attestationOf checks the key attestation in the header of a proof. Without one it returns nil, where none is required.
func (c *proofCheck) attestationOf(h keys.UnverifiedHeader) (*KeyAttestation, error) {
	member, there := h.Member("key_attestation")
	attestation, isString := member.(string)
	switch {
	case !there && c.want.AttestationRequired:
		return nil, ErrProofUnattested
	case !there:
		return nil, nil
	case !isString:
		return nil, ErrProofMalformed
	case c.want.KeyAttestation == nil:
		return nil, nil
	}
	a, err := c.keyAttestation(attestation)
	if err != nil {
		return nil, err
	}
	if a.Expires.IsZero() { // required together with the proof type jwt (Appendix D.1)
		return nil, ErrKeyAttestationTime
	}
	return a, nil
}

// attestationProof checks the one proof of type attestation (Appendix F.3).
func (c *proofCheck) attestationProof(compact string) error {
	if c.want.KeyAttestation == nil {
		return ErrProofType
	}
	a, err := c.keyAttestation(compact)
	if err != nil {
		return err
	}
	if c.want.NonceRequired && a.Nonce == "" {
		return ErrKeyAttestationNoNonce
	}
	return nil
}

// KeyAttestation is a key attestation that was checked (Appendix D).
type KeyAttestation struct {
	Keys               []keys.Public
	KeyStorage         []string
	UserAuthentication []string
	Certification      string
	Nonce              string
	Status             json.RawMessage // to be looked up by the caller
	IssuedAt           time.Time
	Expires            time.Time // zero where it has none
	kids               []string  // as attested_keys state them
}

func (a *KeyAttestation) has(key keys.Public) bool { return slices.ContainsFunc(a.Keys, key.Equal) }

// keyNamed finds the attested key that the kid of a proof means: by the kid of the key, by its thumbprint, or, as in the example of Appendix F.1,
// by its place in attested_keys.
func (a *KeyAttestation) keyNamed(kid string) (keys.Public, error) {
	if i := slices.Index(a.kids, kid); i >= 0 {
		return a.Keys[i], nil
	}
	for _, key := range a.Keys {
		if key.Thumbprint() == kid {
			return key, nil
		}
	}
	if i, err := strconv.Atoi(kid); err == nil && i >= 0 && i < len(a.Keys) {
		return a.Keys[i], nil
	}
	return keys.Public{}, errors.New("kid names no attested key")
}

type keyAttestationClaims struct {
	Issuer             string            `json:"iss,omitempty"`
	IssuedAt           *keys.NumericDate `json:"iat"`
	Expires            *keys.NumericDate `json:"exp,omitempty"`
	NotBefore          *keys.NumericDate `json:"nbf,omitempty"`
	AttestedKeys       []json.RawMessage `json:"attested_keys"`
	KeyStorage         []string          `json:"key_storage,omitempty"`
	UserAuthentication []string          `json:"user_authentication,omitempty"`
	Certification      string            `json:"certification,omitempty"`
	Nonce              string            `json:"nonce,omitempty"`
	Status             json.RawMessage   `json:"status,omitempty"`
}

// maxAttestedKeys bounds the work for one attestation.
const maxAttestedKeys = 64

// keyAttestation checks a key attestation once per request: the proofs of a batch usually carry the same.
func (c *proofCheck) keyAttestation(compact string) (*KeyAttestation, error) {
	if a, ok := c.seen[compact]; ok {
		return a, nil
	}
	u, err := keys.ParseToken(compact)
	if err != nil {
		return nil, ErrKeyAttestationMalformed.because(err)
	}
	if u.Header().Typ != TypKeyAttestation {
		return nil, ErrKeyAttestationTyp
	}
	if !algAllowed(u.Header(), c.algs) {
		return nil, ErrKeyAttestationAlg
	}
	if c.want.KeyAttestation.AttesterKey == nil {
		return nil, ErrKeyAttestationUntrusted
	}
	signer, err := c.want.KeyAttestation.AttesterKey(u.Header())
	if err != nil {
		return nil, ErrKeyAttestationUntrusted.because(err)
	}
	token, err := u.Verify(signer, c.algs...)
	if err != nil {
		return nil, ErrKeyAttestationSignature.because(err)
	}
	var claims keyAttestationClaims
	if err := keys.DecodeJSON(token.Payload, &claims); err != nil {
		return nil, ErrKeyAttestationMalformed.because(err)
	}
	a, err := c.judgeKeyAttestation(&claims)
	if err != nil {
		return nil, err
	}
	c.seen[compact] = a
	c.set.Attestations = append(c.set.Attestations, a)
	c.addNonce(a.Nonce)
	return a, nil
}

func (c *proofCheck) judgeKeyAttestation(claims *keyAttestationClaims) (*KeyAttestation, error) {
	if claims.IssuedAt == nil || len(claims.Nonce) > maxOpaque || checkNonEmptySet(claims.KeyStorage) != nil || checkNonEmptySet(claims.UserAuthentication) != nil {
		return nil, ErrKeyAttestationMalformed
	}
	if claims.IssuedAt.Time().After(c.w.now.Add(c.w.ahead)) || c.w.expired(claims.Expires, claims.NotBefore) {
		return nil, ErrKeyAttestationTime
	}
	a := &KeyAttestation{KeyStorage: claims.KeyStorage, UserAuthentication: claims.UserAuthentication, Certification: claims.Certification, Nonce: claims.Nonce,
		Status: claims.Status, IssuedAt: claims.IssuedAt.Time()}
	if claims.Expires != nil {
		a.Expires = claims.Expires.Time()
	}
	if err := a.readKeys(claims.AttestedKeys); err != nil {
		return nil, err
	}
	want := c.want.KeyAttestation
	if want.MaxAge > 0 && a.IssuedAt.Before(c.w.now.Add(-want.MaxAge)) {
		return nil, ErrKeyAttestationOld
	}
	if !meets(a.KeyStorage, want.KeyStorage) || !meets(a.UserAuthentication, want.UserAuthentication) {
		return nil, ErrKeyAttestationLevel
	}
	return a, nil
}

func (a *KeyAttestation) readKeys(attested []json.RawMessage) error {
	if len(attested) == 0 || len(attested) > maxAttestedKeys {
		return ErrKeyAttestationKeys
	}
	for _, jwk := range attested {
		key, err := keys.ParsePublic(jwk)
		if err != nil {
			return ErrKeyAttestationKeys.because(err)
		}
		var kid, alg string
		if err := decodeKeyNames(jwk, &kid, &alg); err != nil || a.has(key) {
			return ErrKeyAttestationKeys
		}
		a.Keys, a.kids = append(a.Keys, key), append(a.kids, kid)
	}
	return nil
}

// meets tells whether one of the acceptable levels is stated; where none is asked for, any will do.
func meets(stated, acceptable []string) bool {
	return len(acceptable) == 0 || slices.ContainsFunc(stated, func(level string) bool { return slices.Contains(acceptable, level) })
}

// KeyAttestationOptions are what a wallet provider attests about keys.
type KeyAttestationOptions struct {
	Keys               []keys.Public
	KeyStorage         []string
	UserAuthentication []string
	Certification      string
	Nonce              string // c_nonce of the issuer, required for the proof type attestation
	Issued, Expires    time.Time
	Status             json.RawMessage
}

// MakeKeyAttestation makes a key attestation. The header names the signer: for HAIP x5c without the trust anchor.
func MakeKeyAttestation(provider *keys.Private, header keys.Header, o KeyAttestationOptions) (string, error) {
	claims := keyAttestationClaims{IssuedAt: datePointer(o.Issued), KeyStorage: o.KeyStorage, UserAuthentication: o.UserAuthentication,
		Certification: o.Certification, Nonce: o.Nonce, Status: o.Status}
	if !o.Expires.IsZero() {
		claims.Expires = datePointer(o.Expires)
	}
	for _, key := range o.Keys {
		claims.AttestedKeys = append(claims.AttestedKeys, key.JWK())
	}
	return signJWT(provider, TypKeyAttestation, header, claims)
}
