package oid4vc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"akashi/internal/keys"
)

// Types and header fields of attestation-based client authentication (draft-ietf-oauth-attestation-based-client-auth-10, Sections 4 to 6; -07 has
// the same names).
const (
	TypClientAttestation    = "oauth-client-attestation+jwt"
	TypClientAttestationPoP = "oauth-client-attestation-pop+jwt"

	HeaderClientAttestation          = "OAuth-Client-Attestation"
	HeaderClientAttestationPoP       = "OAuth-Client-Attestation-PoP"
	HeaderClientAttestationChallenge = "OAuth-Client-Attestation-Challenge"
)

// Refusals of client attestations and of their proofs of possession.
var (
	ErrAttestationCount     = refuse(CodeInvalidClient, "the request must have exactly one client attestation and one proof of possession")
	ErrAttestationMalformed = refuse(CodeInvalidClient, "the client attestation is no JWT, or a claim is missing or of the wrong kind")
	ErrAttestationTyp       = refuse(CodeInvalidClient, "typ of the client attestation must be oauth-client-attestation+jwt")
	ErrAttestationAlg       = refuse(CodeInvalidClient, "alg of the client attestation is not one of those supported")
	ErrAttestationUntrusted = refuse(CodeInvalidClient, "the client attestation is of nobody whom this server trusts")
	ErrAttestationSignature = refuse(CodeInvalidClient, "the signature of the client attestation does not verify")
	ErrAttestationExpired   = refuse(CodeInvalidClient, "the client attestation has expired or is not valid yet")
	ErrAttestationOld       = refuse(CodeUseFreshAttestation, "the client attestation is too old: get another from the wallet provider")
	ErrAttestationStatus    = refuse(CodeInvalidClient, "the client attestation is not valid any more, or its status cannot be had now")
	ErrAttestationClient    = refuse(CodeInvalidClient, "client_id is not the subject of the client attestation")
	ErrAttestationKey       = refuse(CodeInvalidClient, "cnf of the client attestation must have a public jwk of a supported kind")

	ErrPoPMalformed = refuse(CodeInvalidClient, "the proof of possession of the client attestation is no JWT, or a claim is missing or of the wrong kind")
	ErrPoPTyp       = refuse(CodeInvalidClient, "typ of the proof of possession must be oauth-client-attestation-pop+jwt")
	ErrPoPSignature = refuse(CodeInvalidClient, "the proof of possession is not signed with the key of the client attestation")
	ErrPoPIssuer    = refuse(CodeInvalidClient, "iss of the proof of possession is not the subject of the client attestation")
	ErrPoPAudience  = refuse(CodeInvalidClient, "aud of the proof of possession must be the issuer of this authorization server")
	ErrPoPTime      = refuse(CodeInvalidClient, "iat of the proof of possession is missing, too old or lies ahead")
)

type attestationClaims struct {
	Issuer       string            `json:"iss,omitempty"` // -07 has it, -10 does not
	Subject      string            `json:"sub"`
	IssuedAt     *keys.NumericDate `json:"iat,omitempty"`
	NotBefore    *keys.NumericDate `json:"nbf,omitempty"`
	Expires      *keys.NumericDate `json:"exp"`
	Confirmation struct {
		JWK json.RawMessage `json:"jwk"`
	} `json:"cnf"`
	WalletName string          `json:"wallet_name,omitempty"`
	WalletLink string          `json:"wallet_link,omitempty"`
	Status     json.RawMessage `json:"status,omitempty"`
}

type popClaims struct {
	Issuer    string            `json:"iss,omitempty"` // -07: the client_id
	Audience  Audience          `json:"aud"`
	JTI       string            `json:"jti"`
	IssuedAt  *keys.NumericDate `json:"iat"`
	NotBefore *keys.NumericDate `json:"nbf,omitempty"`
	Expires   *keys.NumericDate `json:"exp,omitempty"`
	Challenge string            `json:"challenge,omitempty"`
}

// ClientAttestationOptions are what a wallet provider attests.
type ClientAttestationOptions struct {
	Issuer     string // the wallet provider; draft -07 asks for it
	ClientID   string
	Key        keys.Public // of the wallet instance
	Issued     time.Time
	Expires    time.Time
	WalletName string
	WalletLink string
	Status     json.RawMessage
}

// MakeClientAttestation makes an attestation that both drafts accept. The header names the signer: for HAIP x5c without the trust anchor.
func MakeClientAttestation(provider *keys.Private, header keys.Header, o ClientAttestationOptions) (string, error) {
	claims := attestationClaims{Issuer: o.Issuer, Subject: o.ClientID, IssuedAt: datePointer(o.Issued), Expires: datePointer(o.Expires),
		WalletName: o.WalletName, WalletLink: o.WalletLink, Status: o.Status}
	claims.Confirmation.JWK = o.Key.JWK()
	return signJWT(provider, TypClientAttestation, header, claims)
}

// ClientAttestationPoPOptions say what a proof of possession is for.
type ClientAttestationPoPOptions struct {
	ClientID  string
	Audience  string // issuer of the authorization server, not its endpoint
	Challenge string // of the server, "" where it has no challenge endpoint
	Now       time.Time
}

// MakeClientAttestationPoP makes a proof with a fresh jti, which both drafts accept.
func MakeClientAttestationPoP(instance *keys.Private, o ClientAttestationPoPOptions) (string, error) {
	claims := struct {
		popClaims
		Audience string `json:"aud"`
	}{popClaims{Issuer: o.ClientID, JTI: randomToken(), IssuedAt: datePointer(o.Now), Challenge: o.Challenge}, o.Audience}
	return signJWT(instance, TypClientAttestationPoP, nil, claims)
}

// ExpectClientAttestation is what an authorization server expects.
type ExpectClientAttestation struct {
	Issuer   string // of the authorization server: the audience
	ClientID string // as the form has it, "" where it has none
	Algs     []keys.Alg
	Now      time.Time

	// AttesterKey returns the key of the wallet provider that the attestation's header names, if this server trusts it. iss is as the
	// attestation states it, "" where it does not. Without the function nobody is trusted.
	AttesterKey func(header keys.UnverifiedHeader, iss string) (keys.Public, error)

	// Challenge judges the challenge of the proof, "" where it has none. Anything but nil is answered with use_attestation_challenge, and the
	// server adds the OAuth-Client-Attestation-Challenge header. Without the function none is asked for.
	Challenge func(challenge string) error

	// DPoP is the checked proof of the request, where the server offers attest_jwt_client_auth_dpop: without a proof of possession header the
	// DPoP proof stands for it.
	DPoP *DPoPProof

	MaxAttestationAge time.Duration // by iat, 0 = as long as exp says
	MaxAge, Ahead     time.Duration // of the proof: 5 minutes and 1 minute where zero
}

// ClientAttestation is an attestation that was checked with its proof. The server still has to refuse a JTI that it has seen from this key
// ([ErrReplayedClientAssertion]); with DPoP in place of the proof there is none.
type ClientAttestation struct {
	ClientID    string
	Issuer      string // as stated, "" where it is not
	Key         keys.Public
	WalletName  string
	WalletLink  string
	Status      json.RawMessage // of the attestation, to be looked up by the caller
	Expires     time.Time
	JTI         string
	ForgetAfter time.Time
}

// HasClientAttestation tells whether the request carries one of the two header fields.
func HasClientAttestation(header http.Header) bool {
	return len(header.Values(HeaderClientAttestation)) > 0 || len(header.Values(HeaderClientAttestationPoP)) > 0
}

// CheckClientAttestation checks attestation and proof of a request, of draft -07 as of -10.
func CheckClientAttestation(header http.Header, want ExpectClientAttestation) (*ClientAttestation, error) {
	attestations, proofs := header.Values(HeaderClientAttestation), header.Values(HeaderClientAttestationPoP)
	byDPoP := want.DPoP != nil && len(proofs) == 0
	if len(attestations) != 1 || len(proofs) != 1 && !byDPoP {
		return nil, ErrAttestationCount
	}
	w := newWindow(want.Now, want.MaxAge, want.Ahead)
	claims, err := verifyAttestation(attestations[0], &want, w)
	if err != nil {
		return nil, err
	}
	key, err := keys.ParsePublic(claims.Confirmation.JWK)
	if err != nil {
		return nil, ErrAttestationKey.because(err)
	}
	a := &ClientAttestation{ClientID: claims.Subject, Issuer: claims.Issuer, Key: key, WalletName: claims.WalletName, WalletLink: claims.WalletLink,
		Status: claims.Status, Expires: claims.Expires.Time()}
	challenge := ""
	if byDPoP {
		if !want.DPoP.Key.Equal(key) {
			return nil, ErrPoPSignature
		}
		challenge = want.DPoP.Nonce
	} else {
		pop, err := verifyPoP(proofs[0], key, &want, claims.Subject, w)
		if err != nil {
			return nil, err
		}
		challenge, a.JTI, a.ForgetAfter = pop.Challenge, pop.JTI, w.forgetAfter(pop.IssuedAt)
	}
	if want.Challenge != nil {
		if err := want.Challenge(challenge); err != nil {
			return nil, ErrUseAttestationChallenge.because(err)
		}
	}
	return a, nil
}

func verifyAttestation(compact string, want *ExpectClientAttestation, w window) (*attestationClaims, error) {
	u, err := keys.ParseToken(compact)
	if err != nil {
		return nil, ErrAttestationMalformed.because(err)
	}
	if u.Header().Typ != TypClientAttestation {
		return nil, ErrAttestationTyp
	}
	algs := algsOrDefault(want.Algs)
	if !algAllowed(u.Header(), algs) {
		return nil, ErrAttestationAlg
	}
	var claims attestationClaims
	if err := keys.DecodeJSON(u.UnverifiedPayload(), &claims); err != nil {
		return nil, ErrAttestationMalformed.because(err)
	}
	if want.AttesterKey == nil {
		return nil, ErrAttestationUntrusted
	}
	key, err := want.AttesterKey(u.Header(), claims.Issuer)
	if err != nil {
		return nil, ErrAttestationUntrusted.because(err)
	}
	if _, err := u.Verify(key, algs...); err != nil {
		return nil, ErrAttestationSignature.because(err)
	}
	switch {
	case claims.Subject == "" || claims.Expires == nil || len(claims.Confirmation.JWK) == 0:
		return nil, ErrAttestationMalformed
	case w.expired(claims.Expires, claims.NotBefore) || claims.IssuedAt != nil && claims.IssuedAt.Time().After(w.now.Add(w.ahead)):
		return nil, ErrAttestationExpired
	case want.MaxAttestationAge > 0 && (claims.IssuedAt == nil || claims.IssuedAt.Time().Before(w.now.Add(-want.MaxAttestationAge))):
		return nil, ErrAttestationOld
	case want.ClientID != "" && want.ClientID != claims.Subject:
		return nil, ErrAttestationClient
	}
	return &claims, nil
}

func verifyPoP(compact string, key keys.Public, want *ExpectClientAttestation, clientID string, w window) (*popClaims, error) {
	u, err := keys.ParseToken(compact)
	if err != nil {
		return nil, ErrPoPMalformed.because(err)
	}
	if u.Header().Typ != TypClientAttestationPoP {
		return nil, ErrPoPTyp
	}
	token, err := u.Verify(key, algsOrDefault(want.Algs)...)
	if err != nil {
		return nil, ErrPoPSignature.because(err)
	}
	var claims popClaims
	if err := keys.DecodeJSON(token.Payload, &claims); err != nil {
		return nil, ErrPoPMalformed.because(err)
	}
	switch {
	case claims.JTI == "" || len(claims.JTI) > maxJTI:
		return nil, ErrPoPMalformed
	case claims.Issuer != "" && claims.Issuer != clientID:
		return nil, ErrPoPIssuer
	case !claims.Audience.is(want.Issuer):
		return nil, ErrPoPAudience
	case !w.contains(claims.IssuedAt) || w.expired(claims.Expires, claims.NotBefore):
		return nil, ErrPoPTime
	}
	return &claims, nil
}

// AssertionType is the client_assertion_type of private_key_jwt (RFC 7523, Section 2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Refusals of client assertions.
var (
	ErrAssertionForm      = refuse(CodeInvalidClient, "client_assertion and its type must both be there, and be a JWT")
	ErrAssertionClient    = refuse(CodeInvalidClient, "iss and sub of the client assertion must be the client_id")
	ErrAssertionKey       = refuse(CodeInvalidClient, "the client has no such key")
	ErrAssertionSignature = refuse(CodeInvalidClient, "the signature of the client assertion does not verify")
	ErrAssertionAudience  = refuse(CodeInvalidClient, "aud of the client assertion must be the issuer of this authorization server")
	ErrAssertionTime      = refuse(CodeInvalidClient, "the client assertion has expired, is not valid yet, or is valid for too long")
)

// maxAssertionLife bounds how long a server has to remember a jti.
const maxAssertionLife = time.Hour

type assertionClaims struct {
	Issuer    string            `json:"iss"`
	Subject   string            `json:"sub"`
	Audience  Audience          `json:"aud"`
	JTI       string            `json:"jti"`
	IssuedAt  *keys.NumericDate `json:"iat,omitempty"`
	NotBefore *keys.NumericDate `json:"nbf,omitempty"`
	Expires   *keys.NumericDate `json:"exp"`
}

// MakeClientAssertion adds client_id, client_assertion and its type to a form, for private_key_jwt. The audience is the issuer of the server.
func MakeClientAssertion(form url.Values, key *keys.Private, clientID, audience string, now time.Time) error {
	claims := struct {
		assertionClaims
		Audience string `json:"aud"`
	}{assertionClaims{Issuer: clientID, Subject: clientID, JTI: randomToken(), IssuedAt: datePointer(now), Expires: datePointer(now.Add(time.Minute))}, audience}
	assertion, err := signJWT(key, "JWT", keys.Header{"kid": key.Public().Thumbprint()}, claims)
	if err != nil {
		return err
	}
	form.Set("client_id", clientID)
	form.Set("client_assertion_type", AssertionType)
	form.Set("client_assertion", assertion)
	return nil
}

// ExpectClientAssertion is what an authorization server expects of private_key_jwt.
type ExpectClientAssertion struct {
	Issuer string // of the authorization server: the audience, alone and as it is (FAPI 2.0 Security Profile, Section 5.3.2.1)
	Algs   []keys.Alg
	Now    time.Time
	// ClientKey returns the key that a registered client uses under this header. Without the function there are no such clients.
	ClientKey func(clientID string, header keys.UnverifiedHeader) (keys.Public, error)
}

// ClientAssertion is an assertion that was checked. The server still has to refuse a JTI that it has seen from this client
// ([ErrReplayedClientAssertion]).
type ClientAssertion struct {
	ClientID    string
	Key         keys.Public
	JTI         string
	ForgetAfter time.Time
}

// HasClientAssertion tells whether the form carries one.
func HasClientAssertion(form url.Values) bool {
	return form.Has("client_assertion") || form.Has("client_assertion_type")
}

// CheckClientAssertion checks a client assertion (RFC 7523, Section 3).
func CheckClientAssertion(form url.Values, want ExpectClientAssertion) (*ClientAssertion, error) {
	if len(form["client_assertion"]) != 1 || !slices.Equal(form["client_assertion_type"], []string{AssertionType}) {
		return nil, ErrAssertionForm
	}
	u, err := keys.ParseToken(form.Get("client_assertion"))
	if err != nil {
		return nil, ErrAssertionForm.because(err)
	}
	var claims assertionClaims
	if err := keys.DecodeJSON(u.UnverifiedPayload(), &claims); err != nil {
		return nil, ErrAssertionForm.because(err)
	}
	if claims.Subject == "" || claims.Issuer != claims.Subject || form.Has("client_id") && form.Get("client_id") != claims.Subject {
		return nil, ErrAssertionClient
	}
	if want.ClientKey == nil {
		return nil, ErrAssertionKey
	}
	key, err := want.ClientKey(claims.Subject, u.Header())
	if err != nil {
		return nil, ErrAssertionKey.because(err)
	}
	if _, err := u.Verify(key, algsOrDefault(want.Algs)...); err != nil {
		return nil, ErrAssertionSignature.because(err)
	}
	w := newWindow(want.Now, maxAssertionLife, 0)
	switch {
	case claims.JTI == "" || len(claims.JTI) > maxJTI || claims.Expires == nil:
		return nil, ErrAssertionForm
	case !claims.Audience.is(want.Issuer):
		return nil, ErrAssertionAudience
	case w.expired(claims.Expires, claims.NotBefore) || claims.Expires.Time().After(want.Now.Add(maxAssertionLife)) || claims.IssuedAt != nil && !w.contains(claims.IssuedAt):
		return nil, ErrAssertionTime
	}
	return &ClientAssertion{ClientID: claims.Subject, Key: key, JTI: claims.JTI, ForgetAfter: claims.Expires.Time().Add(time.Second)}, nil
}
