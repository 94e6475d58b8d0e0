package registry

import (
	"context"
	"errors"

	"akashi/attestation"
)

// A worker may have the sealed record of a statement erased. The slot entry and its place in the map stay, so that no proof is touched,
// but nobody can have A any more, and a lookup says so.
//
//	POST /v1/erase {"statement": the statement's JWT, "request": the engagement without disclosures, with a key binding
//	                whose aud is the registry's origin and whose nonce is base64url(H("akashi/erase/v1" || K))}
//
// The statement gives the slot, K = KeyOf("worker", StatementSecret(JWT).Find()). The request is admitted when the engagement stands under the
// trust list, the key binding verifies under the engagement's key, and the statement too is signed with that key. So only the worker
// who made a statement can have it erased, not those who were shown it, nor the issuer of the engagement. The request is forgotten: kept,
// it would for ever join the slot with the worker's key. What is kept is x, which opens nothing, and shows by K = KeyOf("worker", x) that
// the slot is one in which only statements stand: that is what auditors ask for who come later and cannot have the record.
//
// Attestations cannot be erased. Their box A decides between an attestation and junk, and junk never hides that a duty was not fulfilled.
// The one who may write a slot could fill it with junk that names a key of its own as the worker's, have that erased as the worker, and
// so turn a provable absence into "cannot tell"; the registry cannot know whose engagement is the true one. A holds no name and no
// amount, and opens only with the secret of its period; B opens only to the worker.
type EraseRequest struct {
	Statement string `json:"statement"`
	Request   string `json:"request"`
}

// Slot returns x and the key of the statement's slot.
func (r EraseRequest) Slot() (x Hash, k Key) {
	x = StatementSecret(r.Statement).Find()
	return x, KeyOf(WriterFor(attestation.Worker, ""), x)
}

// EraseNonce returns the nonce of the key binding that asks for an erasure:
//
//	base64url(H("akashi/erase/v1" || K))
func EraseNonce(k Key) string { return Hash(hashOf("akashi/erase/v1", k[:])).String() }

// ErrErased is returned for an erased record in a slot that is none of a worker's statements.
var ErrErased = errors.New("said to be erased, but not shown to be a worker's statement")

// CheckErased checks that a slot whose record is said to be erased is a slot of worker's statements, over which no absence is claimed.
func CheckErased(k Key, x Hash) error {
	if KeyOf(WriterFor(attestation.Worker, ""), x) != k {
		return ErrErased
	}
	return nil
}

// Erase asks for the erasure of a statement. Asking again does nothing.
func (c *Client) Erase(ctx context.Context, r EraseRequest) error {
	var done struct{}
	return c.post(ctx, "/v1/erase", r, &done, maxAnswer)
}
