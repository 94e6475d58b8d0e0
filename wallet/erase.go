package wallet

import (
	"context"
	"errors"
	"fmt"

	"akashi/attestation"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
)

// ErrNotErasable is returned for what is no statement of the worker's own.
var ErrNotErasable = errors.New("only your own statements can be erased: what others recorded about you stays, so that nobody can make a gap out of it")

// Erase has a statement of the worker's own erased: the registry deletes its sealed record (see [registry.EraseRequest]), then the wallet forgets
// it. One that the registry never had is only forgotten. Whoever was shown the statement keeps the copy, and so does a backup.
func (w *Wallet) Erase(ctx context.Context, id string) error {
	it, err := w.Show(ctx, id)
	if err != nil {
		return err
	}
	if it.Type != attestation.TypeWorkerStatement {
		return ErrNotErasable
	}
	u, err := sdjwt.Parse(it.SDJWT)
	if err != nil {
		return err
	}
	request := registry.EraseRequest{Statement: u.JWT()}
	_, key := request.Slot()
	recorded := it.Index != nil
	if !recorded { // it waits to be sent, or was sent and the receipt got lost
		members, err := w.reader().lookup(ctx, []registry.Key{key})
		if err != nil {
			return err
		}
		recorded = members[0] != nil
	}
	if recorded {
		if request.Request, err = w.bareEngagement(ctx, it.Engagement, registry.EraseNonce(key)); err != nil {
			return err
		}
		if err := w.Registry.Erase(ctx, request); err != nil {
			return fmt.Errorf("asking the registry to erase it: %w", err)
		}
	}
	return w.Store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.Delete([]byte(prefixItem+id)), tx.Delete([]byte(prefixOutbox+id)))
	})
}

// bareEngagement is an engagement with nothing disclosed, with a key binding for the registry: by it the registry knows the worker.
func (w *Wallet) bareEngagement(ctx context.Context, id, nonce string) (string, error) {
	e, err := w.Show(ctx, id)
	if err != nil {
		return "", err
	}
	bare, err := sdjwt.Present(e.SDJWT, func([]any) bool { return false })
	if err != nil {
		return "", err
	}
	return sdjwt.BindKey(bare, w.holder, w.settings.Origin, nonce, w.Now())
}
