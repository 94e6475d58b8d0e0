package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"akashi/internal/keys"
)

// Bounds of the answers that a client reads. A lookup of [MaxLookupKeys] keys with the largest records fits.
const (
	maxLookupAnswer  = 96 << 20
	maxListsAnswer   = 32 << 20
	maxAnswer        = 4 << 20
	maxProblemAnswer = 64 << 10
)

var (
	// ErrConflict is returned with the response when a slot of the submission holds something else already. The submitter opens that
	// entry: its own JWT means done, anything else the next rung.
	ErrConflict = errors.New("a slot of the submission holds another record")
	// ErrAnswer is returned for an answer that is not what was asked for.
	ErrAnswer = errors.New("the answer cannot be used")
)

// Problem is an error answer of the registry (RFC 9457).
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Error gives status and title. Details are left out: they may repeat what was sent.
func (p *Problem) Error() string {
	return fmt.Sprintf("refused with %d %s: %.120q", p.Status, http.StatusText(p.Status), p.Title)
}

// RetryError is returned when the registry has no room just now (429, 503). The same request may be sent again after After.
type RetryError struct {
	After   time.Duration
	Problem *Problem
}

func (e *RetryError) Error() string {
	return fmt.Sprintf("the registry is busy, try again in %v: %v", e.After, e.Problem)
}

func (e *RetryError) Unwrap() error { return e.Problem }

// Client speaks to a registry. It checks the form of answers only: nothing in them counts before the proofs are verified. It never
// retries.
type Client struct {
	BaseURL string       // without a slash at the end
	HTTP    *http.Client // nil means http.DefaultClient; deadlines are the context's
	Origin  string       // the log's name, the audience of submissions
}

// Submit sends records. On a conflict it returns the response and [ErrConflict]; records without one are logged all the same.
func (c *Client) Submit(ctx context.Context, r SubmitRequest) (*SubmitResponse, error) {
	out := new(SubmitResponse)
	body, err := r.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding the submission: %w", err)
	}
	err = c.do(ctx, request{http.MethodPost, "/v1/entries", TypeOctetsSubmission, body}, out, maxAnswer)
	if err != nil && !errors.Is(err, ErrConflict) {
		return nil, err
	}
	if len(out.Results) != len(r.Records) {
		return nil, fmt.Errorf("%w: %d results for %d records", ErrAnswer, len(out.Results), len(r.Records))
	}
	return out, err
}

// Lookup asks what stands at the keys, at most [MaxLookupKeys].
func (c *Client) Lookup(ctx context.Context, slots []Key) (*LookupResponse, error) {
	out := new(LookupResponse)
	if err := c.post(ctx, "/v1/lookup", LookupRequest{slots}, out, maxLookupAnswer); err != nil {
		return nil, err
	}
	if len(out.Results) != len(slots) {
		return nil, fmt.Errorf("%w: %d results for %d keys", ErrAnswer, len(out.Results), len(slots))
	}
	for i, r := range out.Results {
		if r.Key != slots[i] {
			return nil, fmt.Errorf("%w: result %d is for another key", ErrAnswer, i)
		}
	}
	return out, nil
}

// Records asks for sealed records without proofs, at most [MaxLookupKeys], and calls fn with each as it comes, as [ReadRecords] does.
// A key that the registry does not know is left out. An error of fn is passed on.
func (c *Client) Records(ctx context.Context, slots []Key, fn func(StoredRecord) error) error {
	body, err := json.Marshal(LookupRequest{slots})
	if err != nil {
		return fmt.Errorf("encoding the request for records: %w", err)
	}
	answer, err := c.open(ctx, request{http.MethodPost, "/v1/records", typeJSON, body})
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := ReadRecords(answer, fn); errors.Is(err, ErrOctets) {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	} else if err != nil {
		return fmt.Errorf("reading records: %w", err)
	}
	return nil
}

// LatestHead asks for the newest head that the auditors' quorum vouches for.
func (c *Client) LatestHead(ctx context.Context) (*HeadProof, error) {
	return get(ctx, c, "/v1/heads/latest", new(HeadProof))
}

// HeadAt asks for the head that is the last entry of the checkpoint of that size.
func (c *Client) HeadAt(ctx context.Context, size uint64) (*HeadProof, error) {
	return get(ctx, c, fmt.Sprintf("/v1/heads/%d", size), new(HeadProof))
}

// TrustList asks for version n of the trust list, 0 for the latest.
func (c *Client) TrustList(ctx context.Context, n uint64) (*TrustListProof, error) {
	version := "latest"
	if n > 0 {
		version = strconv.FormatUint(n, 10)
	}
	return get(ctx, c, "/v1/trust-list/"+version, new(TrustListProof))
}

// TrustLists asks for all versions of the trust list.
func (c *Client) TrustLists(ctx context.Context) (*TrustListsResponse, error) {
	out := new(TrustListsResponse)
	return out, c.do(ctx, request{method: http.MethodGet, path: "/v1/trust-lists"}, out, maxListsAnswer)
}

// FirstAfter asks for the archived checkpoint of size > i with the smallest [Checkpoint.ExistedBy], "" when there is none yet.
func (c *Client) FirstAfter(ctx context.Context, i uint64) (string, error) {
	out, err := get(ctx, c, fmt.Sprintf("/v1/checkpoints?first_after=%d", i), new(CheckpointsResponse))
	return out.Checkpoint, err
}

// LastBefore asks for the archived checkpoint of size <= i with the largest [Checkpoint.NotLargerAt], "" when there is none.
func (c *Client) LastBefore(ctx context.Context, i uint64) (string, error) {
	out, err := get(ctx, c, fmt.Sprintf("/v1/checkpoints?last_before=%d", i), new(CheckpointsResponse))
	return out.Checkpoint, err
}

// Checkpoint asks for the newest published checkpoint, a note (C2SP tlog-tiles).
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.send(ctx, request{method: http.MethodGet, path: "/checkpoint"}, maxNoteSize)
}

func get[T any](ctx context.Context, c *Client, path string, out *T) (*T, error) {
	return out, c.do(ctx, request{method: http.MethodGet, path: path}, out, maxAnswer)
}

// request is one request; without a body it has no media type.
type request struct {
	method, path, mediaType string
	body                    []byte
}

const typeJSON = "application/json"

func (c *Client) post(ctx context.Context, path string, in, out any, limit int64) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding the request for %s: %w", path, err)
	}
	return c.do(ctx, request{http.MethodPost, path, typeJSON, body}, out, limit)
}

// do sends a request and decodes a 200, or a 409 that is no problem, into out; the latter with [ErrConflict].
func (c *Client) do(ctx context.Context, r request, out any, limit int64) error {
	answer, err := c.send(ctx, r, limit)
	if err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	if decodeErr := keys.DecodeJSONMax(answer, out, int(limit)); decodeErr != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, decodeErr)
	}
	return err
}

// send returns the whole answer; with [ErrConflict] that of a 409 that is no problem.
func (c *Client) send(ctx context.Context, r request, limit int64) ([]byte, error) {
	answer, err := c.open(ctx, r)
	if err != nil && !errors.Is(err, ErrConflict) {
		return nil, err
	}
	defer answer.Close()
	b, readErr := readBounded(answer, limit)
	return b, errors.Join(readErr, err)
}

// open sends a request and returns the body of the answer, to be closed by the caller; with [ErrConflict] that of a 409 that is no problem.
func (c *Client) open(ctx context.Context, r request) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, strings.TrimSuffix(c.BaseURL, "/")+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("the registry's address is not a URL: %w", err)
	}
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reaching the registry: %w", err)
	}
	isProblem := strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json")
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	case resp.StatusCode == http.StatusConflict && !isProblem:
		return resp.Body, ErrConflict
	}
	defer resp.Body.Close()
	return nil, refusal(resp, isProblem)
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrAnswer, limit)
	}
	return b, nil
}

// refusal turns an error answer into a [*Problem], within a [*RetryError] when it may be sent again.
func refusal(resp *http.Response, isProblem bool) error {
	p := &Problem{}
	if isProblem {
		if b, err := readBounded(resp.Body, maxProblemAnswer); err != nil || keys.DecodeJSON(b, p) != nil {
			p = &Problem{}
		}
	}
	p.Status = resp.StatusCode
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		return &RetryError{retryAfter(resp.Header), p}
	}
	return p
}

// retryAfter reads Retry-After (RFC 9110, Section 10.2.3), between a second and an hour. A date counts from the answer's own.
func retryAfter(h http.Header) time.Duration {
	var after time.Duration
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil {
		after = time.Duration(min(n, 3600)) * time.Second
	} else if until, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		if now, err := http.ParseTime(h.Get("Date")); err == nil {
			after = until.Sub(now)
		}
	}
	return min(max(after, time.Second), time.Hour)
}
