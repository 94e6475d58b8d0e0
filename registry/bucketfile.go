package registry

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

const (
	// MaxBucketMembers is about how many members a bucket may have that a registry serves: for larger ones, name more bits.
	MaxBucketMembers = 4096
	// MaxBucketBits is the longest prefix of a bucket that a registry serves.
	MaxBucketBits = 64

	crowd = 128 // members of a bucket, at most and on average, among which a wallet hides
)

// BucketResponse answers GET /v1/buckets/{prefix}: a whole [Bucket] under the newest head that the auditors' quorum has cosigned. Nothing
// in it counts before [VerifyBucket] has been passed with the root of that head.
//
// Who fetches the bucket of a key learns whether the key is a member, and its index and value, without saying which of the bucket's keys
// it wants. To have the records without saying it either, it looks up all members of the bucket, wanted or not, in one [Client.Lookup]:
// up to [MaxLookupKeys], so [BucketBits] makes buckets smaller than that. What the registry then still learns is that somebody at that
// address wanted something in the bucket.
type BucketResponse struct {
	Head   HeadProof `json:"head"`
	Bucket Bytes     `json:"bucket"`
}

// BucketBits returns how many bits of its keys a wallet names in a map of that size: so many that a bucket has 64 to 128 members on
// average, at least 1.
func BucketBits(mapSize uint64) int {
	return min(max(bits.Len64((mapSize-min(mapSize, 1))/crowd), 1), MaxBucketBits)
}

// BucketName returns the prefix as it stands in the path: its bits as the digits 0 and 1.
func BucketName(prefix Key, bits int) string {
	var b strings.Builder
	for d := range bits {
		b.WriteByte('0' + prefix.Bit(byte(d)))
	}
	return b.String()
}

// ErrBucketName is returned for what is no prefix of a bucket.
var ErrBucketName = fmt.Errorf("the prefix of a bucket is 1 to %d digits 0 or 1", MaxBucketBits)

// ParseBucketName reads what [BucketName] writes.
func ParseBucketName(name string) (prefix Key, bits int, err error) {
	if len(name) == 0 || len(name) > MaxBucketBits || strings.Trim(name, "01") != "" {
		return Key{}, 0, ErrBucketName
	}
	for d, c := range []byte(name) {
		prefix[d>>3] |= (c - '0') << (7 - d&7)
	}
	return prefix, len(name), nil
}

// Bucket asks for the bucket of the keys that begin with the first bits bits of prefix.
func (c *Client) Bucket(ctx context.Context, prefix Key, bits int) (*BucketResponse, error) {
	if bits < 1 || bits > MaxBucketBits {
		return nil, ErrBucketName
	}
	out, err := get(ctx, c, "/v1/buckets/"+BucketName(prefix, bits), new(BucketResponse))
	if err == nil && len(out.Bucket) == 0 {
		err = errors.Join(ErrAnswer, ErrBucketCut)
	}
	return out, err
}
