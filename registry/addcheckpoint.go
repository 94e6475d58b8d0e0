package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const (
	// TypeTreeSize is the content type of the answer to a request with a stale old size.
	TypeTreeSize = "text/x.tlog.size"
	// MaxAddCheckpoint bounds the body of an add-checkpoint request.
	MaxAddCheckpoint = maxNoteSize + 64*(44+1) + 32

	maxConsistency = 63 // hashes, as the specification has it
	maxCosignature = 16 << 10
)

// ErrAddCheckpoint is returned for a body that is no add-checkpoint request.
var ErrAddCheckpoint = errors.New("not an add-checkpoint request")

// AddCheckpoint is the request with which a log asks a witness or an auditor for its cosignature (C2SP tlog-witness):
//
//	old <size>
//	consistency proof from the old size, one base64 hash a line, at most 63
//	<empty line>
//	checkpoint note
type AddCheckpoint struct {
	OldSize uint64
	Proof   []Hash
	Note    []byte // not verified
}

// Marshal writes the request's body.
func (r AddCheckpoint) Marshal() []byte {
	b := fmt.Appendf(nil, "old %d\n", r.OldSize)
	for _, h := range r.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), r.Note...)
}

// ParseAddCheckpoint reads a request's body. It accepts exactly what [AddCheckpoint.Marshal] writes. The note is not looked at.
func ParseAddCheckpoint(body []byte) (*AddCheckpoint, error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	old, hasOld := strings.CutPrefix(lines[0], "old ")
	size, err := strconv.ParseUint(old, 10, 63)
	if !ok || !hasOld || err != nil {
		return nil, fmt.Errorf("%w: it must begin with an old size line and have an empty line before the checkpoint", ErrAddCheckpoint)
	}
	if len(lines)-1 > maxConsistency {
		return nil, fmt.Errorf("%w: more than %d proof lines", ErrAddCheckpoint, maxConsistency)
	}
	r := &AddCheckpoint{OldSize: size, Note: signed}
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != len(Hash{}) {
			return nil, fmt.Errorf("%w: a proof line is not a hash in base64", ErrAddCheckpoint)
		}
		r.Proof = append(r.Proof, Hash(h))
	}
	if !bytes.Equal(r.Marshal(), body) {
		return nil, fmt.Errorf("%w: not in canonical form", ErrAddCheckpoint)
	}
	return r, nil
}

// StaleSizeError is a cosigner's answer to a request whose old size is not the size it signed last: ask again from Size.
type StaleSizeError struct{ Size uint64 }

func (e *StaleSizeError) Error() string {
	return fmt.Sprintf("the cosigner is at size %d: send a proof from there", e.Size)
}

// RequestCosignature sends an add-checkpoint request to the cosigner at that submission prefix and returns the signature lines of its
// answer, not verified: see [MergeCosignatures]. A stale old size gives a [*StaleSizeError], any other refusal a [*Problem].
func RequestCosignature(ctx context.Context, client *http.Client, prefix string, r AddCheckpoint) ([]byte, error) {
	url := strings.TrimSuffix(prefix, "/") + "/add-checkpoint"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.Marshal()))
	if err != nil {
		return nil, fmt.Errorf("the cosigner's address is not a URL: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reaching the cosigner: %w", err)
	}
	defer resp.Body.Close()
	body, err := readBounded(resp.Body, maxCosignature)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return body, nil
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode == http.StatusConflict && t == TypeTreeSize {
		size, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%w: 409 without a size", ErrAnswer)
		}
		return nil, &StaleSizeError{size}
	}
	return nil, &Problem{Status: resp.StatusCode, Title: strings.TrimSpace(string(body))}
}
