package registry

import (
	"errors"
	"testing"
)

// The values were worked out by hand with another program (hashlib of Python).
func TestErase(t *testing.T) {
	var k Key
	for i := range k {
		k[i] = byte(i)
	}
	if got, want := EraseNonce(k), "-oUPRykGrcwKb6qYZKpRDCJcJxJdRd4KIUSL8gSaY4E"; got != want {
		t.Errorf("nonce: got %s, want %s", got, want)
	}
	x, slot := EraseRequest{Statement: "header.payload.signature"}.Slot()
	if got, want := x.String(), "1kxuOOV9PzWejE9YtJcucfc0OOwQt4AOuEl_5_fkqdg"; got != want {
		t.Errorf("x: got %s, want %s", got, want)
	}
	if got, want := slot.String(), "fZfAfAxz0zhSsh1w_KU-VCzTXxghp7bZznmczjN-cZk"; got != want {
		t.Errorf("slot: got %s, want %s", got, want)
	}
	if err := CheckErased(slot, x); err != nil {
		t.Error(err)
	}
	for name, other := range map[string]Key{"an employer's slot": KeyOf("8990000000001", x), "a bank's slot": KeyOf("bank", x), "another statement's": k} {
		if err := CheckErased(other, x); !errors.Is(err, ErrErased) {
			t.Errorf("%s: got %v, want ErrErased", name, err)
		}
	}
}
