package verifier

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"akashi/internal/evidence"
)

// save returns an evidence file, of which data is the encoding, as this verifier keeps it: signed, under its assessment number, so that a third party
// knows who saved it. A verifier whose key is listed as no office's cannot say that; its files prove the same, and are not signed.
func (v *VP) save(ctx context.Context, f *evidence.File, data []byte, memory *evidence.Memory) ([]byte, error) {
	hash := sha256.Sum256(data)
	err := evidence.Seal(f, hash, v.Trust, evidence.Sealer{Key: v.Key, Chain: v.Chain}, numberOf(hash), v.Now(), memory)
	var failed *evidence.CheckError
	if errors.As(err, &failed) && failed.Check.Code == evidence.CodeSealSigner {
		v.Log.WarnContext(ctx, "an evidence file is not signed: the trust list names no office with this verifier's key", "key", v.Key.Public().Thumbprint())
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(data[:len(data)-1], []byte(`,"seal":"`+f.Seal+`"}`)), nil // its last member
}
