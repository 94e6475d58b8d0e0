package auditor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/mod/sumdb/note"

	"akashi/registry"
)

// Handler returns the auditor's interface. These are all its routes.
func (a *Auditor) Handler() http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/add-checkpoint", a.serveAddCheckpoint).Methods(http.MethodPost)
	return http.MaxBytesHandler(r, registry.MaxAddCheckpoint)
}

// refusal is an answer other than a cosignature (C2SP tlog-witness).
type refusal struct {
	status int
	error
}

func (r *refusal) Unwrap() error { return r.error }

var errBusy = errors.New("busy with an earlier request, ask again later")

func (a *Auditor) serveAddCheckpoint(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var line []byte
	if err != nil {
		err = &refusal{http.StatusBadRequest, errors.New("the body cannot be read, or is too large")}
	} else {
		line, err = a.processAddCheckpoint(r.Context(), body)
	}
	var stale *registry.StaleSizeError
	var refused *refusal
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case err == nil:
		_, _ = w.Write(line)
	case errors.As(err, &stale):
		w.Header().Set("Content-Type", registry.TypeTreeSize)
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, "%d\n", stale.Size)
	case errors.As(err, &refused):
		w.WriteHeader(refused.status)
		fmt.Fprintln(w, refused)
	default:
		a.cfg.Logger.Error("audit failed", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, "internal error: the auditor's log has the cause")
	}
}

// processAddCheckpoint judges a checkpoint and returns the cosignature line.
func (a *Auditor) processAddCheckpoint(ctx context.Context, body []byte) ([]byte, error) {
	req, err := registry.ParseAddCheckpoint(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if origin, _, _ := bytes.Cut(req.Note, []byte("\n")); string(origin) != a.cfg.Log.Name() {
		return nil, &refusal{http.StatusNotFound, errors.New("this auditor does not know the log")}
	}
	cp, err := registry.OpenLogCheckpoint(req.Note, a.cfg.Log)
	if errors.Is(err, registry.ErrNotSignedByLog) {
		return nil, &refusal{http.StatusForbidden, err}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err}
	}
	if req.OldSize > cp.Size {
		return nil, &refusal{http.StatusBadRequest, errors.New("the old size is larger than the checkpoint")}
	}
	if !a.mu.TryLock() {
		return nil, &refusal{http.StatusServiceUnavailable, errBusy}
	}
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Work)
	defer cancel()
	return a.judge(ctx, req, cp)
}

// judge decides on a checkpoint that the log signed. a.mu is held.
func (a *Auditor) judge(ctx context.Context, req *registry.AddCheckpoint, cp *registry.Checkpoint) ([]byte, error) {
	if a.fraud != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, fmt.Errorf("this auditor has stopped: %w", a.fraud)}
	}
	begin := time.Now()
	err := a.audit(ctx, req, cp)
	a.metrics.worked(begin, outcomeOf(err))
	var fraud *Fraud
	switch {
	case errors.As(err, &fraud):
		fraud.Checkpoint = string(cp.Note)
		a.cfg.Logger.Error("stopped for good", "kind", fraud.Kind, "index", fraud.Index, "what", fraud.What)
		if err := a.halt(ctx, fraud); err != nil {
			a.cfg.Logger.Error("fraud proof not written", "error", err)
		}
		a.proveFraud(ctx, fraud, cp)
		return nil, &refusal{http.StatusUnprocessableEntity, fraud}
	case errors.Is(err, errUnavailable):
		a.cfg.Logger.Warn("not cosigned", "size", cp.Size, "error", err)
		return nil, &refusal{http.StatusServiceUnavailable, err}
	case err != nil:
		return nil, err
	}
	return a.cosign(cp)
}

func outcomeOf(err error) string {
	var fraud *Fraud
	switch {
	case err == nil:
		return outcomeCosigned
	case errors.As(err, &fraud):
		return outcomeDivergence
	case errors.Is(err, errUnavailable):
		return outcomeUnavailable
	}
	return outcomeRefused
}

// audit makes sure of everything that a cosignature of the checkpoint says, and makes that durable.
func (a *Auditor) audit(ctx context.Context, req *registry.AddCheckpoint, cp *registry.Checkpoint) error {
	if cp.Size == a.signed.size && cp.Root != a.signed.root {
		return &Fraud{Kind: KindFork, Index: cp.Size, Earlier: string(a.signed.note), Want: a.signed.root.String(),
			What: "the log signed two checkpoints of one size with different roots"}
	}
	if req.OldSize != a.signed.size {
		return &registry.StaleSizeError{Size: a.signed.size}
	}
	badProof := registry.VerifyConsistency(a.signed.size, cp.Size, a.signed.root, cp.Root, req.Proof)
	if cp.Size < a.state.size {
		return fmt.Errorf("checkpoint %d, when %d was asked for before: %w", cp.Size, a.state.size, errUnavailable)
	}
	if err := a.replay(ctx, cp); err != nil {
		return err
	}
	if badProof != nil { // the trees do join, only the sender's proof is wrong
		return &refusal{http.StatusUnprocessableEntity, badProof}
	}
	if err := a.obtain(ctx); err != nil {
		return err
	}
	if cp.Size > a.signed.size {
		if err := a.save(ctx, cp); err != nil {
			return err
		}
	}
	a.signed = signed{cp.Size, cp.Root, cp.Note}
	a.pending.clear()
	a.show()
	return nil
}

// cosign returns the cosignature line.
func (a *Auditor) cosign(cp *registry.Checkpoint) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: cp.Text()}, a.signer)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return signed[bytes.LastIndex(signed, []byte("\n\n"))+2:], nil
}
