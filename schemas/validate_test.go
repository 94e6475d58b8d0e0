package schemas_test

import (
	"akashi/attestation"
	"akashi/schemas"
	"testing"
)

func TestX(t *testing.T) {
	for _, ty := range attestation.Types {
		if err := schemas.Validate(ty.VCT(), schemas.Example(ty.VCT())); err != nil {
			t.Error(err)
		}
	}
}
