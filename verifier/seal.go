package verifier

import (
	"context"
	"errors"
	"slices"

	"akashi/internal/evidence"
)

// save returns the evidence file as this verifier keeps it: signed, under its assessment number, so that a third party knows who saved it. A
// verifier whose key is listed as no office's cannot say that; its files prove the same, and are not signed.
func (v *VP) save(ctx context.Context, f *evidence.File, memory *evidence.Memory) ([]byte, error) {
	data, err := f.Marshal()
	if err != nil {
		return nil, err
	}
	err = evidence.Seal(f, v.Trust, evidence.Sealer{Key: v.Key, Chain: v.Chain}, AssessmentNumber(data), v.Now(), memory)
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
