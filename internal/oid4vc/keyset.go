package oid4vc

import (
	"encoding/json"
	"errors"
	"fmt"

	"akashi/internal/keys"
)

// ErrKeyNotFound is returned when a key set has no usable key of the kid asked for, or more than one.
var ErrKeyNotFound = errors.New("no such key in the key set")

// KeySet is a JWK Set (RFC 7517, Section 5). Keys of kinds that we do not use may stand in it; they are never found.
type KeySet struct {
	Keys []json.RawMessage `json:"keys"`
}

// ParseKeySet reads a JWK Set.
func ParseKeySet(data []byte) (*KeySet, error) {
	var s KeySet
	if err := keys.DecodeJSON(data, &s); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(s.Keys) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrKeyNotFound)
	}
	return &s, nil
}

// SigningKeySet writes public keys as a set for verifying: each with kid (its thumbprint), alg and use.
func SigningKeySet(publics ...keys.Public) (KeySet, error) {
	var s KeySet
	for _, public := range publics {
		members := map[string]any{"kid": public.Thumbprint(), "alg": public.Alg(), "use": "sig"}
		if err := json.Unmarshal(public.JWK(), &members); err != nil {
			return KeySet{}, err
		}
		jwk, err := json.Marshal(members)
		if err != nil {
			return KeySet{}, err
		}
		s.Keys = append(s.Keys, jwk)
	}
	return s, nil
}

// Find returns the signature key with the kid. Without kid the set must have exactly one usable key.
func (s *KeySet) Find(kid string) (keys.Public, error) {
	var found keys.Public
	for _, jwk := range s.Keys {
		var name, alg string
		if err := decodeKeyNames(jwk, &name, &alg); err != nil || kid != "" && name != kid {
			continue
		}
		key, err := keys.ParsePublic(jwk)
		if err != nil {
			continue
		}
		if !found.IsZero() {
			return keys.Public{}, fmt.Errorf("%w: more than one fits", ErrKeyNotFound)
		}
		found = key
	}
	if found.IsZero() {
		return keys.Public{}, ErrKeyNotFound
	}
	return found, nil
}

// FindNamed returns the signature key whose thumbprint the kid is, else what [KeySet.Find] does: for keys that were exchanged beforehand, with
// or without a name.
func (s *KeySet) FindNamed(kid string) (keys.Public, error) {
	for _, jwk := range s.Keys {
		if key, err := keys.ParsePublic(jwk); err == nil && key.Thumbprint() == kid {
			return key, nil
		}
	}
	return s.Find(kid)
}

// EncryptionKey returns the first key of the set that messages can be encrypted to.
func (s *KeySet) EncryptionKey() (keys.EncryptionKey, error) {
	for _, jwk := range s.Keys {
		if key, err := keys.ParseEncryptionKey(jwk); err == nil {
			return key, nil
		}
	}
	return keys.EncryptionKey{}, ErrKeyNotFound
}

// decodeKeyNames reads kid and alg of a key of any kind.
func decodeKeyNames(jwk []byte, kid, alg *string) error {
	var members map[string]any
	if err := keys.DecodeJSON(jwk, &members); err != nil {
		return err
	}
	for name, field := range map[string]*string{"kid": kid, "alg": alg} {
		v, present := members[name]
		s, isString := v.(string)
		if present && !isString {
			return fmt.Errorf("%q of a key must be a string", name)
		}
		*field = s
	}
	return nil
}
