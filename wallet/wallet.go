// Package wallet is the holder's side: the worker's keys, the engagement, every attestation that was written for the worker, and the
// worker's own statements.
//
// Attestations come from the registry, which gives whole buckets of records, so that neither it nor any employer learns which records the
// wallet wants ([Wallet.Sync]). Engagements, and credentials of any other kind, come from an issuer by OpenID for Verifiable Credential Issuance
// 1.0 with HAIP 1.0: [Wallet.OpenOffer], then [Wallet.Collect] when the person agrees, later [Wallet.Refresh]. Verifiers are answered by OpenID for
// Verifiable Presentations 1.0: [Wallet.OpenRequest], [Wallet.Answer], then [Wallet.Send], or [Wallet.Refuse]; over the Digital Credentials API, where
// a platform has it, [Wallet.OpenCredentialRequest], [Wallet.Answer], then [Wallet.Credential]. What the wallet stores it has
// verified: issuer on the trust list (that was in force when the entry was logged), signature, type, holder key, and that the registry's proofs
// hold under the pinned policies ([Wallet.Pin]). Everything can be saved in an encrypted file ([Wallet.Backup]).
//
// Left out: transaction data of other types than [TransactionPurpose], and credentials of other formats than SD-JWT VC. A backup does not hold
// the record of what was shown to whom.
package wallet

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Registry is what the wallet needs of the registry; [registry.Client] is one.
type Registry interface {
	Lookup(ctx context.Context, keys []registry.Key) (*registry.LookupResponse, error)
	Submit(ctx context.Context, req registry.SubmitRequest) (*registry.SubmitResponse, error)
	TrustLists(ctx context.Context) (*registry.TrustListsResponse, error)
	Erase(ctx context.Context, req registry.EraseRequest) error // of a statement; nothing the second time
}

// Config is what a wallet works with.
type Config struct {
	Store    store.Store
	Registry Registry
	Web      Web              // nil: nothing is collected from issuers
	Client   Client           // how the wallet shows issuers what program it is
	Now      func() time.Time // nil means time.Now
	Rand     io.Reader        // nil means crypto/rand

	// IssuerRoots are certification authorities of issuers that are not on the trust list, for who chooses to trust such; without any their
	// certificates are believed like the https address they came from.
	IssuerRoots []*x509.Certificate
	// VerifierRoots are certification authorities whose certificates show who asks for a presentation, besides the keys on the trust list.
	VerifierRoots []*x509.Certificate
}

// Wallet is an opened wallet.
type Wallet struct {
	Config
	holder   *keys.Private // signs: cnf of every credential
	delivery *keys.Private // opens box B of sealed records
	settings settings
	pins     *pins // nil: the registry's proofs are not checked
}

// settings are fixed when the wallet is made.
type settings struct {
	Holder   json.RawMessage `json:"holder"`   // private JWK
	Delivery json.RawMessage `json:"delivery"` // private JWK
	Origin   string          `json:"origin"`   // of the registry
	Anchor   json.RawMessage `json:"anchor"`   // trust anchor, public JWK

	Witnesses string `json:"witnesses,omitempty"` // pinned C2SP tlog-policy files, both or none
	Auditors  string `json:"auditors,omitempty"`
}

var (
	// ErrNoWallet is returned by Open where no wallet was made.
	ErrNoWallet = errors.New("there is no wallet here: make one with `akashi wallet init`")
	// ErrWallet is returned by Create where a wallet is already.
	ErrWallet = errors.New("there is a wallet here already")
	// ErrUnknownID is returned for an ID that the wallet does not hold.
	ErrUnknownID = errors.New("the wallet holds no such document; `akashi wallet list` shows what it holds")
	// ErrOldTrustList is returned when the registry shows an older trust list, or another history of it, than the wallet has seen.
	ErrOldTrustList = errors.New("the registry shows an older trust list than before, or another one: do not go on, and ask for help")
)

// Create makes the keys of a new wallet for one registry and the trust anchor whose lists say who may attest.
func Create(ctx context.Context, cfg Config, origin string, anchor keys.Public) (*Wallet, error) {
	s := settings{Origin: origin, Anchor: anchor.JWK()}
	for _, dst := range []*json.RawMessage{&s.Holder, &s.Delivery} {
		k, err := keys.Generate(keys.ES256)
		if err != nil {
			return nil, err
		}
		if *dst, err = k.MarshalJWK(); err != nil {
			return nil, err
		}
	}
	err := cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Get([]byte(keySettings)); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(ErrWallet, err)
		}
		return store.SetJSON(tx, []byte(keySettings), s)
	})
	if err != nil {
		return nil, err
	}
	return Open(ctx, cfg)
}

// Open opens a wallet.
func Open(ctx context.Context, cfg Config) (*Wallet, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	w := &Wallet{Config: cfg}
	err := cfg.Store.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, []byte(keySettings), &w.settings) })
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoWallet
	}
	if err != nil {
		return nil, err
	}
	if w.holder, err = keys.ParsePrivate(w.settings.Holder); err != nil {
		return nil, err
	}
	if w.delivery, err = keys.ParsePrivate(w.settings.Delivery); err != nil {
		return nil, err
	}
	return w, w.loadPins()
}

// PublicJWK returns the holder's public key.
func (w *Wallet) PublicJWK() json.RawMessage { return w.holder.Public().JWK() }

// DeliveryProof returns the holder's word for the delivery key, for the registry of this wallet.
func (w *Wallet) DeliveryProof() (string, error) {
	return registry.MakeDeliveryProof(w.holder, w.delivery.Public(), w.settings.Origin)
}

// Keys of the store.
//
//	settings                                     settings
//	item/<ID>                                    Item
//	rung/<engagement ID>/<stream> <period> <jj>  what was found there: an ID, or nothing for junk
//	trust-list                                   the newest trust list
//	outbox/<ID>                                  statement without a receipt
//	seen                                         the newest state of the registry
//	grant/<id>                                   grant: tokens of an issuer
//	credential/<ID>                              Credential
//	key/<thumbprint>                             private JWK that a Credential is bound to
//	instance/<authorization server>              private JWK that the wallet provider attests there
//	waiting/<ID>                                 SD-JWT that is not in the registry yet
//	shown/<time> <random>                        Receipt
const (
	keySettings  = "settings"
	prefixItem   = "item/"
	prefixRung   = "rung/"
	keyTrustList = "trust-list"
	prefixOutbox = "outbox/"
	keySeen      = "seen"

	prefixGrant      = "grant/"
	prefixCredential = "credential/"
	prefixKey        = "key/"
	prefixInstance   = "instance/"
	prefixWaiting    = "waiting/"
	prefixShown      = "shown/"
)

// Item is one document in the wallet.
type Item struct {
	ID         string             `json:"id"`
	Type       attestation.Type   `json:"type"`
	Engagement string             `json:"engagement,omitempty"` // ID of the engagement it belongs to
	Stream     attestation.Stream `json:"stream,omitempty"`
	Period     attestation.Period `json:"period,omitempty"`
	J          int                `json:"j,omitempty"`
	Issuer     string             `json:"issuer,omitempty"` // entity id; none for the worker's own
	Received   time.Time          `json:"received"`
	Index      *uint64            `json:"index,omitempty"` // in the registry's log
	Proven     bool               `json:"proven"`          // the registry's proofs for it were checked under the pinned policies
	Complete   bool               `json:"complete"`        // with every disclosure; else only some of its claims are known
	Claims     json.RawMessage    `json:"claims"`          // as verified when it was received, disclosed claims in place
	SDJWT      string             `json:"sd_jwt"`
}

// List returns every document, oldest first.
func (w *Wallet) List(ctx context.Context) ([]Item, error) {
	var items []Item
	err := w.Store.View(ctx, func(tx store.Tx) error {
		items = []Item{}
		return tx.Scan([]byte(prefixItem), func(_, value []byte) error {
			var it Item
			if err := json.Unmarshal(value, &it); err != nil {
				return err
			}
			items = append(items, it)
			return nil
		})
	})
	slices.SortFunc(items, func(a, b Item) int {
		if c := a.Received.Compare(b.Received); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return items, err
}

// Show returns one document.
func (w *Wallet) Show(ctx context.Context, id string) (*Item, error) {
	var it Item
	err := w.Store.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, []byte(prefixItem+id), &it) })
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknownID
	}
	return &it, err
}

// engagements returns the engagements that the wallet holds.
func (w *Wallet) engagements(ctx context.Context) ([]Item, error) {
	items, err := w.List(ctx)
	return slices.DeleteFunc(items, func(it Item) bool { return it.Type != attestation.TypeEngagement }), err
}

// engagement returns the engagement with the ID, or the only one when id is "".
func (w *Wallet) engagement(ctx context.Context, id string) (*Item, error) {
	if id != "" {
		it, err := w.Show(ctx, id)
		if err == nil && it.Type != attestation.TypeEngagement {
			err = fmt.Errorf("%s is no engagement", id)
		}
		return it, err
	}
	all, err := w.engagements(ctx)
	if err != nil {
		return nil, err
	}
	switch len(all) {
	case 0:
		return nil, errors.New("the wallet holds no engagement yet: receive it with `akashi wallet receive FILE`")
	case 1:
		return &all[0], nil
	}
	return nil, errors.New("the wallet holds several engagements: name one with --engagement ID")
}

// trust returns every version of the trust list that the registry has logged. One seen before must still be among them.
func (w *Wallet) trust(ctx context.Context) (*trustlist.History, error) {
	anchor, err := keys.ParsePublic(w.settings.Anchor)
	if err != nil {
		return nil, err
	}
	resp, err := w.Registry.TrustLists(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for the trust list: %w", err)
	}
	versions, entries := make([]trustlist.Version, len(resp.Lists)), make([]registry.ListEntry, len(resp.Lists))
	for i, item := range resp.Lists {
		versions[i].Index = item.Index
		if versions[i].List, err = trustlist.Verify(item.JWT, anchor); err != nil {
			return nil, err
		}
		entries[i] = versions[i].List.Entry()
	}
	if w.pins != nil {
		if err := w.pins.checkLists(resp, entries); err != nil {
			return nil, err
		}
	}
	h, err := trustlist.NewHistory(versions)
	if err != nil {
		return nil, err
	}
	return h, w.remember(ctx, h, anchor)
}

// remember stores the newest list, unless the one stored does not stand in the history.
func (w *Wallet) remember(ctx context.Context, h *trustlist.History, anchor keys.Public) error {
	return w.Store.Update(ctx, func(tx store.Tx) error {
		jwt, err := tx.Get([]byte(keyTrustList))
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case string(jwt) == h.Latest().JWT:
			return nil
		default:
			known, err := trustlist.Verify(string(jwt), anchor)
			if err != nil {
				return err
			}
			if versions := h.Versions(); known.N > uint64(len(versions)) || versions[known.N-1].List.JWT != known.JWT {
				return ErrOldTrustList
			}
		}
		return tx.Set([]byte(keyTrustList), []byte(h.Latest().JWT))
	})
}

func saveItem(tx store.Tx, it Item) error { return store.SetJSON(tx, []byte(prefixItem+it.ID), it) }
