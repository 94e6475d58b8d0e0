package auditor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/mod/sumdb/note"

	"akashi/registry"
)

// Handler returns the auditor's interface. These are all its routes.
func (a *Auditor) Handler() http.Handler {
	logs := map[string]note.Verifier{a.cfg.Log.Name(): a.cfg.Log}
	r := mux.NewRouter()
	r.Handle("/add-checkpoint", &registry.CosignerHandler{Logs: logs, Log: a.cfg.Logger, Cosign: a.decide}).Methods(http.MethodPost)
	return r
}

var errBusy = errors.New("busy with an earlier request, ask again later")

// decide judges one checkpoint at a time. What it began it finishes, whether or not the log still waits.
func (a *Auditor) decide(ctx context.Context, req *registry.AddCheckpoint, cp *registry.Checkpoint) ([]byte, error) {
	if !a.mu.TryLock() {
		return nil, refuse(http.StatusServiceUnavailable, errBusy)
	}
	defer a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Work)
	defer cancel()
	return a.judge(ctx, req, cp)
}

func refuse(status int, err error) error { return &registry.Refusal{Status: status, Err: err} }

// judge decides on a checkpoint that the log signed. a.mu is held.
func (a *Auditor) judge(ctx context.Context, req *registry.AddCheckpoint, cp *registry.Checkpoint) ([]byte, error) {
	if a.fraud != nil {
		return nil, refuse(http.StatusUnprocessableEntity, fmt.Errorf("this auditor has stopped: %w", a.fraud))
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
		return nil, refuse(http.StatusUnprocessableEntity, fraud)
	case errors.Is(err, errUnavailable):
		a.cfg.Logger.Warn("not cosigned", "size", cp.Size, "error", err)
		return nil, refuse(http.StatusServiceUnavailable, err)
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
		return refuse(http.StatusUnprocessableEntity, badProof)
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
