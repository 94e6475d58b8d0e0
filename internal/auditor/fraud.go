package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"akashi/internal/store"
)

// The kinds of divergence.
const (
	KindFork      = "fork"       // two checkpoints signed by the log that no consistency proof joins
	KindHead      = "head"       // a head with a wrong field
	KindTrustList = "trust-list" // a trust list version that the log must not have admitted
)

// Fraud is what an auditor saw when it stopped, with what anybody needs to check it: the entries themselves are in the log.
type Fraud struct {
	Kind       string    `json:"kind"`
	What       string    `json:"what"`
	Index      uint64    `json:"index"`                // of the entry; with a fork the size up to which the trees agree
	Entry      []byte    `json:"entry,omitempty"`      // as logged
	Want       string    `json:"want,omitempty"`       // what should stand there
	TrustList  string    `json:"trust_list,omitempty"` // the version, a JWT
	Checkpoint string    `json:"checkpoint"`           // over the entry, signed by the log
	Earlier    string    `json:"earlier,omitempty"`    // the checkpoint before
	Signed     string    `json:"signed,omitempty"`     // the checkpoint that the auditor cosigned last
	Auditor    string    `json:"auditor"`
	SeenAt     time.Time `json:"seen_at"`
}

// Error says what was seen, without the octets.
func (f *Fraud) Error() string {
	return fmt.Sprintf("divergence (%s) at entry %d: %s", f.Kind, f.Index, f.What)
}

// FraudFile is the name of the file in the auditor's folder.
const FraudFile = "fraud.json"

// halt stops the auditor for good. It has stopped even when the file or the store cannot be written.
func (a *Auditor) halt(ctx context.Context, f *Fraud) error {
	f.Auditor, f.SeenAt = a.signer.Name(), a.cfg.Now().UTC()
	f.Signed = string(a.signed.note)
	a.fraud = f
	defer a.show()
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the fraud proof: %w", err)
	}
	stored := a.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.Set(a.cfg.key("fraud"), data) })
	return errors.Join(stored, writeFile(filepath.Join(a.cfg.Dir, FraudFile), append(data, '\n')))
}

// loadFraud returns what stopped the auditor in an earlier run, nil if nothing did.
func (a *Auditor) loadFraud(ctx context.Context) (*Fraud, error) {
	var data []byte
	err := a.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		data, err = tx.Get(a.cfg.key("fraud"))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		data, err = os.ReadFile(filepath.Join(a.cfg.Dir, FraudFile))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("auditor: looking for an earlier divergence: %w", err)
	}
	f := new(Fraud)
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("auditor: the record of an earlier divergence is damaged: %w", err)
	}
	return f, nil
}

// writeFile writes a file that is there whole or not at all.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing the fraud proof: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("writing the fraud proof: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
