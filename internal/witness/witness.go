// Package witness is a C2SP tlog-witness: it cosigns the checkpoints of the logs it is configured for, each with the time by its own
// clock, and only ever for a tree that contains the last one it signed (add-checkpoint; cosignature/v1 of C2SP tlog-cosignature).
//
// The times are what the registry's deadlines rest on, so this witness promises one thing more than the specification: its times never
// run backwards while a log grows. It takes the time inside the transaction that records the size, and does not sign while its
// clock is behind the last time that it gave.
//
// Left out: bastions, other signature types, serving checkpoints. The witness of github.com/transparency-dev/witness was not used: it
// signs the first checkpoint of a log whatever old size and proof come with it, and its core would sit between clock and transaction.
package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/note"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// Config says who the witness is and what it watches. All fields are required.
type Config struct {
	Name  string // of its key, a URL without scheme such as witness.example/w1
	Key   ed25519.PrivateKey
	Store store.Store // may be shared: keys begin with witness/
	Logs  []string    // vkeys of the logs; a log's origin is the name in its vkey
	Now   func() time.Time
	Log   *slog.Logger
}

// Witness cosigns checkpoints. Its methods may be called from several goroutines.
type Witness struct {
	cfg  Config
	logs map[string]note.Verifier // by origin
}

// New checks the configuration.
func New(cfg Config) (*Witness, error) {
	if cfg.Store == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("witness: store, clock and logger are required")
	}
	if _, err := registry.NewCosigner(cfg.Name, cfg.Key, cfg.Now); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	w := &Witness{cfg: cfg, logs: make(map[string]note.Verifier)}
	for _, vkey := range cfg.Logs {
		v, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("witness: vkey of a log: %w", err)
		}
		if w.logs[v.Name()] != nil {
			return nil, fmt.Errorf("witness: log %s is configured twice", v.Name())
		}
		w.logs[v.Name()] = v
	}
	if len(w.logs) == 0 {
		return nil, errors.New("witness: no log is configured")
	}
	return w, nil
}

// VKey returns the verifier key for policy files.
func (w *Witness) VKey() string {
	return registry.CosignerVKey(w.cfg.Name, w.cfg.Key.Public().(ed25519.PublicKey))
}

// Handler serves POST /add-checkpoint, and the witness's vkey at GET / as a sign of life.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /add-checkpoint", &registry.CosignerHandler{Logs: w.logs, Log: w.cfg.Log, Cosign: w.cosign})
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(rw, w.VKey())
	})
	return mux
}

var (
	errProof = &registry.Refusal{Status: http.StatusUnprocessableEntity, Err: errors.New("the consistency proof does not lead from the last checkpoint signed to this one")}
	errClock = &registry.Refusal{Status: http.StatusServiceUnavailable, Err: errors.New("the clock is behind the last cosignature: not signing until it has caught up")}
)

// cosign records the checkpoint, and only then signs it.
func (w *Witness) cosign(ctx context.Context, req *registry.AddCheckpoint, c *registry.Checkpoint) ([]byte, error) {
	at, err := w.record(ctx, req, c)
	if err != nil {
		return nil, err
	}
	return w.sign(c, at)
}

// record makes the checkpoint the last one signed, if it extends the one before, and returns the time to sign it with. Comparing
// and writing are one transaction: of two requests from the same old size one wins, and the other sees the winner's size.
func (w *Witness) record(ctx context.Context, req *registry.AddCheckpoint, c *registry.Checkpoint) (at time.Time, err error) {
	err = w.cfg.Store.Update(ctx, func(tx store.Tx) error {
		last, err := w.last(tx, c.Origin)
		if err != nil {
			return err
		}
		if last.Size != req.OldSize {
			return &registry.StaleSizeError{Size: last.Size}
		}
		if err := registry.VerifyConsistency(last.Size, c.Size, last.Root, c.Root, req.Proof); err != nil {
			w.cfg.Log.WarnContext(ctx, "checkpoint does not extend the last one: the log may have forked",
				"origin", c.Origin, "size", c.Size, "root", c.Root, "last_size", last.Size, "last_root", last.Root)
			return errProof
		}
		if at = w.cfg.Now(); at.Unix() < last.Time {
			w.cfg.Log.ErrorContext(ctx, "clock is behind the last cosignature", "now", at.Unix(), "last", last.Time)
			return errClock
		}
		return w.setLast(tx, c.Origin, state{Size: c.Size, Root: c.Root, Time: at.Unix()})
	})
	return at, err
}

// sign returns the signature line over the checkpoint's text with that time.
func (w *Witness) sign(c *registry.Checkpoint, at time.Time) ([]byte, error) {
	signer, err := registry.NewCosigner(w.cfg.Name, w.cfg.Key, func() time.Time { return at })
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("cosigning: %w", err)
	}
	return bytes.TrimPrefix(signed, []byte(c.Text()+"\n")), nil
}

// state is the last checkpoint signed of one log.
type state struct {
	Size uint64        `json:"size"`
	Root registry.Hash `json:"root"`
	Time int64         `json:"time"` // of the cosignature, unix seconds
}

// stateKey is where the state of a log is kept: "witness/" name " " origin. Names hold no spaces, so the space divides them.
func (w *Witness) stateKey(origin string) []byte {
	return []byte("witness/" + w.cfg.Name + " " + origin)
}

// last returns the last checkpoint signed; before the first that is the empty tree.
func (w *Witness) last(tx store.Tx, origin string) (state, error) {
	b, err := tx.Get(w.stateKey(origin))
	if errors.Is(err, store.ErrNotFound) {
		return state{Root: registry.HashOf(nil)}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("reading the last checkpoint of %s: %w", origin, err)
	}
	var s state
	if err := keys.DecodeJSON(b, &s); err != nil {
		return state{}, fmt.Errorf("the record of the last checkpoint of %s is damaged: %w", origin, err)
	}
	return s, nil
}

func (w *Witness) setLast(tx store.Tx, origin string, s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the last checkpoint of %s: %w", origin, err)
	}
	return tx.Set(w.stateKey(origin), b)
}
