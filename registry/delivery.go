package registry

import (
	"encoding/json"
	"errors"
	"fmt"

	"akashi/internal/keys"
)

// TypDeliveryProof is the typ of a delivery proof.
const TypDeliveryProof = "akashi-delivery+jwt"

// Why a delivery proof was refused.
var (
	ErrDeliveryKey      = errors.New("delivery key must be a P-256 key")
	ErrDeliveryType     = errors.New("not a delivery proof (typ " + TypDeliveryProof + ")")
	ErrDeliveryAudience = errors.New("delivery proof is for another registry")
)

// deliveryClaims are the claims of a delivery proof: a JWT with typ "akashi-delivery+jwt", signed with the key that becomes the
// engagement's cnf key. It says: seal what is mine to this key.
//
//	{"delivery_jwk": P-256 JWK, "aud": registry origin}
//
// It has no date: it is as lasting as the engagement, which repeats it.
type deliveryClaims struct {
	DeliveryJWK json.RawMessage `json:"delivery_jwk"`
	Audience    string          `json:"aud"`
}

// MakeDeliveryProof announces the delivery key with a signature of the holder key.
func MakeDeliveryProof(holder *keys.Private, delivery keys.Public, origin string) (string, error) {
	if delivery.IsZero() || delivery.Alg() != keys.ES256 {
		return "", ErrDeliveryKey
	}
	payload, err := json.Marshal(deliveryClaims{delivery.JWK(), origin})
	if err != nil {
		return "", fmt.Errorf("delivery proof: %w", err)
	}
	return holder.Sign(keys.Header{"typ": TypDeliveryProof}, payload)
}

// CheckDeliveryProof returns the delivery key that holder announced to the registry origin. An attester seals only to a key out of
// such a proof, never to one named by the employer.
func CheckDeliveryProof(jwt string, holder keys.Public, origin string) (delivery keys.Public, err error) {
	token, err := keys.Verify(jwt, holder, keys.ES256, keys.EdDSA)
	if err != nil {
		return keys.Public{}, fmt.Errorf("delivery proof: %w", err)
	}
	if token.Header.Typ != TypDeliveryProof {
		return keys.Public{}, ErrDeliveryType
	}
	var c deliveryClaims
	if err := keys.DecodeJSON(token.Payload, &c); err != nil {
		return keys.Public{}, fmt.Errorf("delivery proof: %w", err)
	}
	if c.Audience != origin {
		return keys.Public{}, ErrDeliveryAudience
	}
	delivery, err = keys.ParsePublic(c.DeliveryJWK)
	if err != nil {
		return keys.Public{}, errors.Join(ErrDeliveryKey, err)
	}
	if delivery.Alg() != keys.ES256 {
		return keys.Public{}, ErrDeliveryKey
	}
	return delivery, nil
}
