package registry

import (
	"context"
	"fmt"
	"net/http"
)

// MaxDeltaEntries bounds the entries that one delta of the interface is over. Who is further behind replays the log.
const MaxDeltaEntries = 100_000

// maxDeltaAnswer has room for that many keys in a map of 10^9, in base64.
const maxDeltaAnswer = 128 << 20

// DeltaResponse answers GET /v1/delta?from=SIZE: the [MapDelta] over the slot entries from index SIZE, which follows a head, up to the
// newest head that the auditors' quorum vouches for.
type DeltaResponse struct {
	Head  HeadProof `json:"head"`
	Delta Bytes     `json:"delta"`
}

// Delta asks for the delta of the map from the head that is the last entry of a checkpoint of that size, or from the beginning for 0.
func (c *Client) Delta(ctx context.Context, from uint64) (*DeltaResponse, error) {
	out := new(DeltaResponse)
	return out, c.do(ctx, request{method: http.MethodGet, path: fmt.Sprintf("/v1/delta?from=%d", from)}, out, maxDeltaAnswer)
}
