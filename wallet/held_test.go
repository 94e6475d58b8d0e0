package wallet

import "testing"

func TestIntegrity(t *testing.T) {
	const (
		body   = "alert('Hello, world.');" // the example of W3C Subresource Integrity, Section 3.1
		sha256 = "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
		sha384 = "sha384-H8BRh8j48O9oYatfu5AZzq6A9RINhZO5H16dQZngK7T62em8MUt1FLm52t+eX6xO"
	)
	for integrity, want := range map[string]bool{
		sha256:                             true,
		sha384:                             true,
		sha256 + "?foo":                    true,
		sha256 + " " + sha384:              true,
		"sha256-AAAA " + sha384:            true,
		sha256 + " sha384-AAAA":            false,
		"sha384-AAAA " + sha256:            false,
		"sha384-AAAA " + sha384:            true,
		"sha256-AAAA":                      false,
		"md5-AAAA":                         false,
		"":                                 false,
		sha256[:len(sha256)-1]:             false,
		"sha256-qznLcsROx4GACP2dm0UCKCzCG": false,
	} {
		if got := hasIntegrity(integrity, []byte(body)); got != want {
			t.Errorf("%q: %t, want %t", integrity, got, want)
		}
	}
}
