package oid4vc

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"akashi/internal/keys"
)

// TypDPoP is the type of a DPoP proof (RFC 9449, Section 4.2).
const TypDPoP = "dpop+jwt"

// HeaderDPoP and HeaderDPoPNonce are the header fields of RFC 9449.
const (
	HeaderDPoP      = "DPoP"
	HeaderDPoPNonce = "DPoP-Nonce"
)

// Refusals of DPoP proofs, in the order of the checks of RFC 9449, Section 4.3.
var (
	ErrDPoPMissing   = refuse(CodeInvalidRequest, "the request needs a DPoP proof") // of a server; a proof that is there and bad is another error
	ErrDPoPCount     = refuse(CodeInvalidDPoPProof, "the request must have exactly one DPoP header")
	ErrDPoPMalformed = refuse(CodeInvalidDPoPProof, "the DPoP proof is no JWT, or a claim is missing or of the wrong kind")
	ErrDPoPTyp       = refuse(CodeInvalidDPoPProof, "typ of the DPoP proof must be dpop+jwt")
	ErrDPoPAlg       = refuse(CodeInvalidDPoPProof, "alg of the DPoP proof is not one of those supported")
	ErrDPoPKey       = refuse(CodeInvalidDPoPProof, "jwk of the DPoP proof must be a public key of a supported kind")
	ErrDPoPSignature = refuse(CodeInvalidDPoPProof, "the signature of the DPoP proof does not verify")
	ErrDPoPMethod    = refuse(CodeInvalidDPoPProof, "htm of the DPoP proof is another method")
	ErrDPoPURL       = refuse(CodeInvalidDPoPProof, "htu of the DPoP proof is another URL")
	ErrDPoPTime      = refuse(CodeInvalidDPoPProof, "iat of the DPoP proof is too old or lies ahead")
	ErrDPoPToken     = refuse(CodeInvalidDPoPProof, "ath of the DPoP proof is not of this access token")
	ErrDPoPBinding   = refuse(CodeInvalidDPoPProof, "the DPoP proof is of another key than the token or code is bound to")
)

type dpopClaims struct {
	JTI      string            `json:"jti"`
	Method   string            `json:"htm"`
	URL      string            `json:"htu"`
	IssuedAt *keys.NumericDate `json:"iat"`
	Token    string            `json:"ath,omitempty"`
	Nonce    string            `json:"nonce,omitempty"`
}

// DPoPOptions say what a proof is for.
type DPoPOptions struct {
	Method      string
	URL         string // query and fragment are left out
	AccessToken string // "" where none is sent along
	Nonce       string // of the server, "" where it asked for none
	Now         time.Time
}

// MakeDPoP makes a proof with a fresh jti.
func MakeDPoP(key *keys.Private, o DPoPOptions) (string, error) {
	target, err := url.Parse(o.URL)
	if err != nil {
		return "", err
	}
	target.RawQuery, target.ForceQuery, target.Fragment, target.RawFragment = "", false, "", ""
	claims := dpopClaims{JTI: randomToken(), Method: o.Method, URL: target.String(), IssuedAt: datePointer(o.Now), Nonce: o.Nonce}
	if o.AccessToken != "" {
		claims.Token = TokenHash(o.AccessToken)
	}
	return signJWT(key, TypDPoP, keys.Header{"jwk": key.Public().JWK()}, claims)
}

// TokenHash is the ath claim: BASE64URL(SHA-256(ASCII(access token))).
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return b64.EncodeToString(sum[:])
}

// ExpectDPoP is what a server expects of a proof.
type ExpectDPoP struct {
	Method string
	URL    string     // of this endpoint, as the outside sees it
	Algs   []keys.Alg // none: both of the project
	Now    time.Time

	AccessToken string // at a resource: the token that came along, "" elsewhere
	Thumbprint  string // the key that token, code or refresh token is bound to (cnf.jkt, dpop_jkt), "" where any will do

	// Nonce judges the nonce of the proof, "" where it has none. Anything but nil is answered with use_dpop_nonce, and the server adds the
	// DPoP-Nonce header. Without the function no nonce is asked for.
	Nonce func(nonce string) error

	MaxAge, Ahead time.Duration // 5 minutes and 1 minute where zero
}

// DPoPProof is a proof that was checked. The server still has to refuse a JTI that it has seen from this key ([ErrReplayedDPoP]).
type DPoPProof struct {
	Key         keys.Public
	Thumbprint  string // cnf.jkt of the tokens to be bound
	JTI         string
	Nonce       string
	IssuedAt    time.Time
	ForgetAfter time.Time // until then the JTI is to be remembered
}

// HasDPoP tells whether the request carries a DPoP header at all.
func HasDPoP(header http.Header) bool { return len(header.Values(HeaderDPoP)) > 0 }

// CheckDPoP checks the one proof of a request by RFC 9449, Section 4.3.
func CheckDPoP(header http.Header, want ExpectDPoP) (*DPoPProof, error) {
	fields := header.Values(HeaderDPoP)
	if len(fields) != 1 || strings.Contains(fields[0], ",") {
		return nil, ErrDPoPCount
	}
	claims, key, err := verifyDPoP(fields[0], algsOrDefault(want.Algs))
	if err != nil {
		return nil, err
	}
	w := newWindow(want.Now, want.MaxAge, want.Ahead)
	switch {
	case claims.Method != want.Method:
		return nil, ErrDPoPMethod
	case !sameTarget(claims.URL, want.URL):
		return nil, ErrDPoPURL
	case !w.contains(claims.IssuedAt):
		return nil, ErrDPoPTime
	case want.AccessToken != "" && subtle.ConstantTimeCompare([]byte(claims.Token), []byte(TokenHash(want.AccessToken))) != 1:
		return nil, ErrDPoPToken
	case want.Thumbprint != "" && key.Thumbprint() != want.Thumbprint:
		return nil, ErrDPoPBinding
	}
	if want.Nonce != nil {
		if err := want.Nonce(claims.Nonce); err != nil {
			return nil, ErrUseDPoPNonce.because(err)
		}
	}
	return &DPoPProof{Key: key, Thumbprint: key.Thumbprint(), JTI: claims.JTI, Nonce: claims.Nonce, IssuedAt: claims.IssuedAt.Time(), ForgetAfter: w.forgetAfter(claims.IssuedAt)}, nil
}

func verifyDPoP(compact string, algs []keys.Alg) (*dpopClaims, keys.Public, error) {
	var none keys.Public
	u, err := keys.ParseToken(compact)
	if err != nil {
		return nil, none, ErrDPoPMalformed.because(err)
	}
	if u.Header().Typ != TypDPoP {
		return nil, none, ErrDPoPTyp
	}
	if !algAllowed(u.Header(), algs) {
		return nil, none, ErrDPoPAlg
	}
	key, err := u.Header().EmbeddedKey()
	if err != nil {
		return nil, none, ErrDPoPKey.because(err)
	}
	token, err := u.Verify(key, algs...)
	if err != nil {
		return nil, none, ErrDPoPSignature.because(err)
	}
	r, err := readClaims(token.Payload)
	if err != nil {
		return nil, none, ErrDPoPMalformed.because(err)
	}
	claims := dpopClaims{JTI: r.text("jti"), Method: r.text("htm"), URL: r.text("htu"), IssuedAt: r.date("iat"), Token: r.text("ath"), Nonce: r.text("nonce")}
	if r.wrong != nil {
		return nil, none, ErrDPoPMalformed.because(r.wrong)
	}
	if claims.JTI == "" || len(claims.JTI) > maxJTI || claims.Method == "" || claims.URL == "" || claims.IssuedAt == nil {
		return nil, none, ErrDPoPMalformed
	}
	return &claims, key, nil
}

// maxJTI bounds what a server has to remember.
const maxJTI = 256

// sameTarget compares htu with the request's URL after syntax-based and scheme-based normalization (RFC 3986, Sections 6.2.2 and 6.2.3), which
// RFC 9449, Section 4.3 asks for, ignoring query and fragment. requested is of a form that htu could have.
func sameTarget(htu, requested string) bool {
	if htu == requested {
		return true
	}
	a, okA := normalTarget(htu)
	b, okB := normalTarget(requested)
	return okA && okB && a == b
}

func normalTarget(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || len(text) > maxURL {
		return "", false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host += ":" + port
	}
	return u.Scheme + "://" + host + normalPath(u.EscapedPath()), true
}

// normalPath decodes escapes of unreserved characters, writes the others in capitals, and takes out dot segments; an empty path is "/".
func normalPath(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' || i+2 >= len(escaped) {
			b.WriteByte(escaped[i])
			continue
		}
		triplet := strings.ToUpper(escaped[i : i+3])
		if c, err := url.PathUnescape(triplet); err == nil && isUnreserved(c) {
			b.WriteString(c)
		} else {
			b.WriteString(triplet)
		}
		i += 2
	}
	p := b.String()
	if p == "" {
		return "/"
	}
	if !strings.Contains(p, "/.") {
		return p
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..") {
		clean = strings.TrimSuffix(clean, "/") + "/"
	}
	return clean
}

func isUnreserved(c string) bool {
	return len(c) == 1 && (c >= "a" && c <= "z" || c >= "A" && c <= "Z" || c >= "0" && c <= "9" || strings.Contains("-._~", c))
}
