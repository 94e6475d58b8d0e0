package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// CosignerHandler serves POST /add-checkpoint of C2SP tlog-witness, the same for witnesses and auditors.
type CosignerHandler struct {
	Logs map[string]note.Verifier // by origin; no other log is known
	Log  *slog.Logger             // takes what went wrong here; whoever asked learns only that it did

	// Cosign decides on a checkpoint that one of the logs signed and returns the signature lines. It answers with a [*StaleSizeError] or
	// a [*Refusal]; any other error is this side's.
	Cosign func(ctx context.Context, req *AddCheckpoint, cp *Checkpoint) ([]byte, error)
}

// Refusal is an answer other than signature lines.
type Refusal struct {
	Status int // of HTTP
	Err    error
}

func (r *Refusal) Error() string { return r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

func (h *CosignerHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lines, err := h.addCheckpoint(r.Context(), http.MaxBytesReader(w, r.Body, MaxAddCheckpoint))
	var stale *StaleSizeError
	var refused *Refusal
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case err == nil:
		_, _ = w.Write(lines)
	case errors.As(err, &stale):
		w.Header().Set("Content-Type", TypeTreeSize)
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", stale.Size)
	case errors.As(err, &refused):
		w.WriteHeader(refused.Status)
		fmt.Fprintln(w, refused)
	default:
		h.Log.ErrorContext(r.Context(), "add-checkpoint failed", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, "the cosigner failed: try again")
	}
}

// addCheckpoint checks a request in the order of the specification up to the old size, which is Cosign's to compare.
func (h *CosignerHandler) addCheckpoint(ctx context.Context, body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(body)
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, &Refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", MaxAddCheckpoint)}
	}
	if err != nil {
		return nil, &Refusal{http.StatusBadRequest, errors.New("the body cannot be read")}
	}
	req, err := ParseAddCheckpoint(data)
	if err != nil {
		return nil, &Refusal{http.StatusBadRequest, err}
	}
	origin, _, _ := strings.Cut(string(req.Note), "\n")
	log := h.Logs[origin]
	if log == nil {
		return nil, &Refusal{http.StatusNotFound, errors.New("unknown log: its origin is not configured here")}
	}
	cp, err := OpenLogCheckpoint(req.Note, log)
	switch {
	case errors.Is(err, ErrNotSignedByLog), errors.Is(err, ErrBadSignatureLine):
		return nil, &Refusal{http.StatusForbidden, errors.New("the checkpoint is not signed by the log")}
	case err != nil:
		return nil, &Refusal{http.StatusBadRequest, err}
	case req.OldSize > cp.Size:
		return nil, &Refusal{http.StatusBadRequest, errors.New("the old size is larger than the checkpoint's")}
	}
	return h.Cosign(ctx, req, cp)
}
