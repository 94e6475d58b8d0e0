// Package auditor is an auditor of the registry: it replays the whole log and cosigns a checkpoint (C2SP tlog-cosignature) only when
// everything below its size is as it must be. It speaks the add-checkpoint protocol of C2SP tlog-witness, so that the log asks it as it
// asks a witness; its key, named "<name>/akashi-map", means more than a witness's, and its times mean nothing.
//
// What its cosignature of size S says, by the auditor's own work and on nobody's word:
//
//   - the log grew from the tree that it cosigned before, and the entries served hash to the checkpoint's root;
//   - every head below S states the root and size of the map over exactly the slot entries before it, first write to a key wins, and has
//     every other field right;
//   - the versions of the trust list are 1, 2, 3 ..., signed by the anchor, each a valid successor, each the one that was logged;
//   - for every member of the map the sealed record, A and B, could be had and is what the log committed to, or is a worker's statement's
//     and was said to be erased (registry.EraseRequest).
//
// A record that cannot be had is no proof of anything: the auditor does not sign, and tries again when it is asked again. Anything else
// that is not as it must be is a divergence: it stops for good and writes what it saw to fraud.json. To go on with a log that was
// mended, start an auditor with a new store and a new key.
//
// The state is durable before a signature leaves (store.go). The map is rebuilt from it at the start.
//
// Left out: gossip among auditors.
package auditor

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// KeySuffix follows the auditor's name in the name of its key, and says what its signatures mean.
const KeySuffix = "/akashi-map"

// Config says who an auditor is and what it audits. Everything without a default must be set.
type Config struct {
	Name   string             // such as auditor.example/a1; the key's name is that and KeySuffix
	Key    ed25519.PrivateKey // of the cosignatures
	Store  store.Store        // may be shared: keys begin with auditor/ and the name; not closed
	Dir    string             // folder for fraud.json, of its own
	LogURL string             // where the registry answers
	Log    note.Verifier      // the log's own signature; its name is the origin
	Anchor keys.Public        // signs trust lists
	HTTP   *http.Client       // nil means http.DefaultClient
	Now    func() time.Time   // nil means time.Now
	Logger *slog.Logger       // nil means none

	// Work bounds the time for one checkpoint, which goes on when the one who asked has gone; default 10 min.
	Work time.Duration
}

// Auditor audits one log. Its methods may be called from several goroutines.
type Auditor struct {
	cfg     Config
	signer  note.Signer
	remote  *registry.Client
	log     logReader
	metrics *metrics

	mu      sync.Mutex // held while a checkpoint is worked on; guards what follows
	signed  signed     // the checkpoint that it cosigned last
	state   *state     // what it has replayed, at least the signed size
	pending pending    // what lies between the two
	fraud   *Fraud     // what stopped it, nil while all is well

	look sync.Mutex // guards the copy for those who only look
	seen Status
}

// Status is what an auditor tells about itself.
type Status struct {
	Size  uint64 // of the checkpoint that it cosigned last
	Fraud *Fraud // nil while all is well
}

// New opens an auditor and rebuilds its map.
func New(ctx context.Context, cfg Config) (*Auditor, error) {
	if cfg.Store == nil || cfg.Log == nil || cfg.Dir == "" || cfg.Anchor.IsZero() {
		return nil, errors.New("auditor: Store, Dir, Log and Anchor must be set")
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Work == 0 {
		cfg.Work = 10 * time.Minute
	}
	if root, err := url.Parse(cfg.LogURL); err != nil || root.Host == "" {
		return nil, errors.New("auditor: LogURL must be a URL")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("auditor: the folder for %s: %w", FraudFile, err)
	}
	cfg.LogURL = strings.TrimSuffix(cfg.LogURL, "/")
	a := &Auditor{
		cfg: cfg, remote: &registry.Client{BaseURL: cfg.LogURL, HTTP: cfg.HTTP, Origin: cfg.Log.Name()}, log: logReader{cfg.LogURL, cfg.HTTP},
		metrics: newMetrics(cfg.Name),
	}
	a.pending.clear()
	var err error
	if a.signer, err = registry.NewCosigner(cfg.Name+KeySuffix, cfg.Key, cfg.Now); err != nil {
		return nil, fmt.Errorf("auditor: %w", err)
	}
	if a.state, a.signed, err = loadState(ctx, cfg); err != nil {
		return nil, err
	}
	if a.fraud, err = a.loadFraud(ctx); err != nil {
		return nil, err
	}
	a.seen = Status{a.signed.size, a.fraud}
	return a, nil
}

// VKey returns the verifier key of the auditor's cosignatures, for policy files.
func (a *Auditor) VKey() string {
	return registry.CosignerVKey(a.signer.Name(), a.cfg.Key.Public().(ed25519.PublicKey))
}

// Status returns the size that the auditor has cosigned and whether it has stopped. It does not wait for work under way.
func (a *Auditor) Status() Status {
	a.look.Lock()
	defer a.look.Unlock()
	return a.seen
}

func (a *Auditor) show() {
	a.look.Lock()
	defer a.look.Unlock()
	a.seen = Status{a.signed.size, a.fraud}
}
