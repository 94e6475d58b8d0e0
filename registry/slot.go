package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"akashi/attestation"
)

// MaxRungs is the number of slots that one period, or one contract's ladder of engagements, has. A ladder with MaxRungs members is closed.
const MaxRungs = 64

// SlotSecret returns the secret of rung j of a period:
//
//	s(j) = HMAC-SHA256(period secret, "akashi/slot/v1" || uint16(j))
//
// It panics, as an index does, when j is not in 0 ... MaxRungs-1.
func SlotSecret(period Secret, j int) Secret { return rungSecret(period[:], "akashi/slot/v1", j) }

// EngagementSecret returns the secret of rung n in the ladder of engagements of one contract. Whoever has the contract document can
// find all engagements made for it:
//
//	s(n) = HMAC-SHA256(contract document hash, "akashi/engagement/v1" || uint16(n))
//
// It panics, as an index does, when n is not in 0 ... MaxRungs-1.
func EngagementSecret(contractHash Hash, n int) Secret {
	return rungSecret(contractHash[:], "akashi/engagement/v1", n)
}

func rungSecret(key []byte, label string, j int) Secret {
	if j < 0 || j >= MaxRungs {
		panic(fmt.Sprintf("registry: rung %d out of range 0 to %d", j, MaxRungs-1))
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, label)
	mac.Write(binary.BigEndian.AppendUint16(nil, uint16(j)))
	var s Secret
	mac.Sum(s[:0])
	return s
}

// StatementSecret returns the secret of a worker's statement, which takes its slot from itself, so that nobody finds or opens it
// before the worker shows it:
//
//	s = H("akashi/statement/v1" || the statement's JWT)
//
// jwt is the compact issuer-signed JWT, signature included, without disclosures.
func StatementSecret(jwt string) Secret { return hashOf("akashi/statement/v1", []byte(jwt)) }

// Find returns what a writer tells the registry of the slot, from which the registry computes the key with the writer's own name:
//
//	x = H("akashi/find/v1" || s)
func (s Secret) Find() Hash { return hashOf("akashi/find/v1", s[:]) }

// KeyOf returns the slot's key in the map:
//
//	K = H("akashi/key/v1" || H(writer) || x)
func KeyOf(writer string, x Hash) Key {
	w := sha256.Sum256([]byte(writer))
	return hashOf("akashi/key/v1", w[:], x[:])
}

// WriterFor returns the name under which an entity acting in role writes: its entity id where the engagement names the attester
// (accepting organization, support organization), else the name of the role, so that one secret has one slot whichever bank or
// authority fills it.
func WriterFor(role attestation.Role, entityID string) string {
	switch role {
	case attestation.AcceptingOrganization, attestation.SupportOrganization:
		return entityID
	}
	return string(role)
}

// WriterOf returns the writer of a stream in an engagement between these two parties. supportID is "" for self-support: then the
// support streams are the employer's.
func WriterOf(stream attestation.Stream, employerID, supportID string) string {
	role := stream.Filler(supportID != "")
	if role == attestation.SupportOrganization {
		return WriterFor(role, supportID)
	}
	return WriterFor(role, employerID)
}
