package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"akashi/internal/store"
	"akashi/registry/fraud"
)

// The kinds of divergence.
const (
	KindFork      = fraud.KindFork
	KindHead      = fraud.KindHead
	KindTrustList = fraud.KindTrustList
)

// Fraud is what an auditor saw when it stopped.
type Fraud = fraud.Report

// FraudFile is the name of the file in the auditor's folder.
const FraudFile = "fraud.json"

// halt stops the auditor for good. It has stopped even when the file or the store cannot be written.
func (a *Auditor) halt(ctx context.Context, f *Fraud) error {
	f.Format, f.Auditor, f.SeenAt = fraud.Format, a.signer.Name(), a.cfg.Now().UTC()
	f.Signed = string(a.signed.note)
	a.fraud = f
	defer a.show()
	data, err := encodeReport(f)
	if err != nil {
		return err
	}
	stored := a.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.Set(a.cfg.key("fraud"), data) })
	return errors.Join(stored, writeFile(filepath.Join(a.cfg.Dir, FraudFile), data))
}

func encodeReport(f *Fraud) ([]byte, error) {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the fraud proof: %w", err)
	}
	return append(data, '\n'), nil
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
