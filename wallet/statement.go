package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/schemas"
)

// outboxItem is a statement that has no receipt yet: the octets that are sent, again and again the same.
type outboxItem struct {
	Engagement string          `json:"engagement"`
	Record     registry.Record `json:"record"`
	Key        registry.Key    `json:"key"`
}

// State makes a statement of the worker's own about an engagement, stores it, and submits it. When the registry gives no receipt the
// statement is kept and sent by the next [Wallet.Sync]; the error then says so and the item is returned all the same.
func (w *Wallet) State(ctx context.Context, engagementID string, claims attestation.WorkerStatement) (*Item, error) {
	e, err := w.engagement(ctx, engagementID)
	if err != nil {
		return nil, err
	}
	claims.Engagement = e.ID
	compact, stated, err := w.signStatement(claims)
	if err != nil {
		return nil, err
	}
	jwt, _, _ := strings.Cut(compact, "~")
	id, err := keys.ID(jwt)
	if err != nil {
		return nil, err
	}
	out, err := w.sealStatement(e.ID, jwt)
	if err != nil {
		return nil, err
	}
	it := Item{ID: id, Type: attestation.TypeWorkerStatement, Claims: stated, Engagement: e.ID, Received: w.Now(), Complete: true, SDJWT: compact}
	err = w.Store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(saveItem(tx, it), store.SetJSON(tx, []byte(prefixOutbox+id), out))
	})
	if err != nil {
		return nil, err
	}
	if _, err := w.flush(ctx); err != nil {
		return &it, fmt.Errorf("the statement is kept and sent with the next sync: %w", err)
	}
	return w.Show(ctx, id)
}

// visibleKinds are the kinds of statement that anybody who finds the statement may read, since they help nobody to harm the worker.
var visibleKinds = map[string]bool{attestation.StatementAccept: true, attestation.StatementRetract: true, attestation.StatementFiled: true}

// signStatement signs the claims with the holder's key; all but date, engagement and the visible kinds is disclosed one by one.
func (w *Wallet) signStatement(claims attestation.WorkerStatement) (compact string, stated json.RawMessage, err error) {
	if stated, err = json.Marshal(claims); err != nil {
		return "", nil, err
	}
	var payload map[string]any
	if err := keys.DecodeJSON(stated, &payload); err != nil {
		return "", nil, err
	}
	payload["vct"] = attestation.TypeWorkerStatement.VCT()
	payload["iat"] = w.Now().Truncate(24 * time.Hour).Unix()
	if stated, err = json.Marshal(payload); err != nil {
		return "", nil, err
	}
	if err := schemas.Validate(attestation.TypeWorkerStatement.VCT(), stated); err != nil {
		return "", nil, fmt.Errorf("the statement: %w", err)
	}
	for name, v := range payload {
		switch name {
		case "vct", "iat", "engagement", "date":
			continue
		case "kind":
			if kind, _ := v.(string); visibleKinds[kind] {
				continue
			}
		}
		payload[name] = sdjwt.Hidden(v)
	}
	compact, err = sdjwt.Issue(w.holder, keys.Header{"typ": "dc+sd-jwt", "kid": w.holder.Public().Thumbprint()}, payload, sdjwt.Options{Rand: w.Rand})
	return compact, stated, err
}

func (w *Wallet) sealStatement(engagement, jwt string) (*outboxItem, error) {
	s := registry.StatementSecret(jwt)
	x := s.Find()
	key := registry.KeyOf(registry.WriterFor(attestation.Worker, ""), x)
	a, err := registry.SealA(w.Rand, s, key, jwt)
	return &outboxItem{Engagement: engagement, Record: registry.Record{X: x, A: a, B: registry.Bytes{}}, Key: key}, err
}

// flush submits every statement in the outbox, and returns how many got their receipt.
func (w *Wallet) flush(ctx context.Context) (sent int, err error) {
	type entry struct {
		id  string
		out outboxItem
	}
	var waiting []entry
	err = w.Store.View(ctx, func(tx store.Tx) error {
		waiting = nil
		return tx.Scan([]byte(prefixOutbox), func(key, value []byte) error {
			e := entry{id: strings.TrimPrefix(string(key), prefixOutbox)}
			if err := json.Unmarshal(value, &e.out); err != nil {
				return err
			}
			waiting = append(waiting, e)
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range waiting {
		if err := w.submit(ctx, e.id, e.out); err != nil {
			errs = append(errs, err)
			continue
		}
		sent++
	}
	return sent, errors.Join(errs...)
}

// submit sends one statement with a key binding JWT over the engagement, nothing disclosed.
func (w *Wallet) submit(ctx context.Context, id string, out outboxItem) error {
	bound, err := w.bareEngagement(ctx, out.Engagement, registry.StatementNonce(out.Key, registry.ValueOf(out.Record.A, out.Record.B)))
	if err != nil {
		return err
	}
	resp, err := w.Registry.Submit(ctx, registry.SubmitRequest{Submission: bound, Records: []registry.Record{out.Record}})
	if err != nil && !errors.Is(err, registry.ErrConflict) { // the slot follows from the statement: only itself, sealed before, can be there
		return err
	}
	if resp == nil || len(resp.Results) != 1 || resp.Results[0].Key != out.Key {
		return fmt.Errorf("%w: it is not about what was sent", registry.ErrAnswer)
	}
	it, err := w.Show(ctx, id)
	if err != nil {
		return err
	}
	it.Index = &resp.Results[0].Index
	return w.Store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(saveItem(tx, *it), tx.Delete([]byte(prefixOutbox+id)))
	})
}
