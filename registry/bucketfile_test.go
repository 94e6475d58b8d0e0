package registry

import (
	"errors"
	"strings"
	"testing"
)

func TestBucketBits(t *testing.T) {
	for size, want := range map[uint64]int{0: 1, 1: 1, 100: 1, 128: 1, 256: 1, 257: 2, 512: 2, 513: 3, 1_000_000: 13, 10_000_000: 17, 1 << 63: 56} {
		got := BucketBits(size)
		if got != want {
			t.Errorf("%d keys: got %d bits, want %d", size, got, want)
		}
		if mean := size >> got; mean > crowd || got > 1 && mean < crowd/2-1 {
			t.Errorf("%d keys: buckets of %d", size, mean)
		}
	}
}

func FuzzBucketName(f *testing.F) {
	for _, s := range []string{"", "0", "1", "0110", "2", "0x1", "01 ", strings.Repeat("1", 64), strings.Repeat("0", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		prefix, bits, err := ParseBucketName(name)
		if err != nil {
			if !errors.Is(err, ErrBucketName) {
				t.Errorf("got %v", err)
			}
			return
		}
		if prefix != prefix.PrefixBits(bits) || BucketName(prefix, bits) != name {
			t.Errorf("%q is read as %v, %d", name, prefix, bits)
		}
	})
}
