package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"fmt"
	"slices"
)

// privateMembers are the members that only private or symmetric keys have (RFC 7518, Section 6). Who sends one with a public key has
// lost the key or expects us to take a secret for a public key; both end here.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// ParsePublic reads a public signature key from outside (RFC 7517, Section 4). Private members, other kinds and curves, another "alg"
// or "use" than signing, points off the curve and coordinates of another length than 32 octets are refused; unknown members are ignored.
func ParsePublic(jwk []byte) (Public, error) {
	var members map[string]any
	if err := DecodeJSON(jwk, &members); err != nil {
		return Public{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return PublicFromMembers(members)
}

// PublicFromMembers is [ParsePublic] for a key that [DecodeJSON] has already read as part of something else.
func PublicFromMembers(members map[string]any) (Public, error) {
	for _, name := range privateMembers {
		if _, ok := members[name]; ok {
			return Public{}, fmt.Errorf("%w: a public key must not have the private member %q", ErrKey, name)
		}
	}
	return publicFromMembers(members, "verify")
}

// publicFromMembers reads the public members; "d" is the caller's.
func publicFromMembers(members map[string]any, operation string) (Public, error) {
	alg, err := algOf(members)
	if err != nil {
		return Public{}, err
	}
	if err := checkUse(members, alg, operation); err != nil {
		return Public{}, err
	}
	x, err := octets(members, "x")
	if err != nil {
		return Public{}, err
	}
	if alg == EdDSA {
		if _, ok := members["y"]; ok {
			return Public{}, fmt.Errorf(`%w: an Ed25519 key has no "y"`, ErrKey)
		}
		return newEd25519(ed25519.PublicKey(x))
	}
	y, err := octets(members, "y")
	if err != nil {
		return Public{}, err
	}
	point := append(append([]byte{4}, x...), y...)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return Public{}, fmt.Errorf("%w: the point is not on the curve P-256", ErrKey)
	}
	return newP256(key, point), nil
}

// algOf is the algorithm that kty and crv stand for.
func algOf(members map[string]any) (Alg, error) {
	switch {
	case members["kty"] == "EC" && members["crv"] == "P-256":
		return ES256, nil
	case members["kty"] == "OKP" && members["crv"] == "Ed25519":
		return EdDSA, nil
	}
	return "", fmt.Errorf(`%w: "kty" and "crv" must be EC and P-256, or OKP and Ed25519`, ErrKey)
}

// checkUse refuses a key whose owner says that it is for something else (RFC 7517, Sections 4.2 to 4.4).
func checkUse(members map[string]any, alg Alg, operation string) error {
	if v, ok := members["alg"]; ok && v != string(alg) {
		return fmt.Errorf(`%w: "alg" must be %s for this kind of key`, ErrKey, alg)
	}
	if v, ok := members["use"]; ok && v != "sig" {
		return fmt.Errorf(`%w: "use" must be sig`, ErrKey)
	}
	v, ok := members["key_ops"]
	if !ok {
		return nil
	}
	ops, isArray := v.([]any)
	if !isArray || !slices.Contains(ops, any(operation)) {
		return fmt.Errorf(`%w: "key_ops" must contain %s`, ErrKey, operation)
	}
	return nil
}

func octets(members map[string]any, name string) ([]byte, error) {
	s, ok := members[name].(string)
	if !ok {
		return nil, fmt.Errorf("%w: member %q is missing or not a string", ErrKey, name)
	}
	b, err := b64.DecodeString(s)
	if err != nil || len(b) != coordinate || len(s) != b64.EncodedLen(coordinate) {
		return nil, fmt.Errorf("%w: member %q must be the base64url of %d octets", ErrKey, name, coordinate)
	}
	return b, nil
}

// ParsePrivate reads a private key that [Private.MarshalJWK] or a person wrote. The public members must belong to the private one.
func ParsePrivate(jwk []byte) (*Private, error) {
	var members map[string]any
	if err := DecodeJSON(jwk, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	public, err := publicFromMembers(members, "sign")
	if err != nil {
		return nil, err
	}
	d, err := octets(members, "d")
	if err != nil {
		return nil, err
	}
	private, err := privateFromOctets(public.alg, d)
	if err != nil {
		return nil, err
	}
	if !private.public.Equal(public) {
		return nil, fmt.Errorf(`%w: "d" belongs to another public key`, ErrKey)
	}
	return private, nil
}

func privateFromOctets(alg Alg, d []byte) (*Private, error) {
	if alg == EdDSA {
		return PrivateFrom(ed25519.NewKeyFromSeed(d))
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		return nil, fmt.Errorf(`%w: "d" is out of range`, ErrKey)
	}
	return PrivateFrom(key)
}
