// Package issuer signs attestations for many organizations from the files their clerks have, and writes them to the registry.
//
// One [Issuer] serves many organizations, each with its own issuer identifier, signing key and submission key. [Issuer.Import] reads
// a file, shows or makes one attestation a row, and stores everything that the registry will receive before it receives anything:
// a killed process resends the same octets ([Issuer.Flush]), and a file imported twice issues nothing twice. [Issuer.Enrol] takes up a
// worker's presentation of an engagement, which opens the slots that an organization may fill.
//
// The registry is not believed. A receipt makes a record logged as stated, which is what an import waits for; it is confirmed by a lookup that
// is proven under the pinned policies, which [Issuer.Flush] makes later and for many records at a time. A record whose receipt turns out to
// be false is reported and sent again, and one whose slot is said to be taken leaves it only when the other record there is proven.
//
// The credentials are SD-JWT VCs (draft-ietf-oauth-sd-jwt-vc over RFC 9901), bound to the worker's key; [Issuer.Handler] serves the issuers'
// metadata, and their side of OpenID4VCI 1.0 ([Issuer.MakeOffer], files vci_*.go). Left out: engagements that succeed an earlier one of the same contract.
package issuer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// Registry is where attestations are logged; [registry.Client] is one. Submit gives the response together with
// [registry.ErrConflict] when a slot holds something else already.
type Registry interface {
	Submit(ctx context.Context, req registry.SubmitRequest) (*registry.SubmitResponse, error)
	Lookup(ctx context.Context, keys []registry.Key) (*registry.LookupResponse, error)
}

// Config is what an Issuer works with.
type Config struct {
	Store    store.Store
	Registry Registry
	Origin   string           // of the registry's log
	Policy   *registry.Policy // pinned: whose times and signatures on the registry's checkpoints count
	Auditors *registry.Policy // pinned: who vouches for the registry's map
	Now      func() time.Time // nil means time.Now
	Rand     io.Reader        // nil means crypto/rand; read from several goroutines
	Log      *slog.Logger     // nil discards
	Status   StatusSigner     // of the status lists of all organizations
	VCI      VCIConfig        // how wallets collect credentials
}

// Issuer issues for every organization in its store.
type Issuer struct {
	Config
	imports keyedMutex // by organization: its records are made and sent by one at a time
	vci     *vci
}

// New returns an issuer over cfg.Store.
func New(cfg Config) (*Issuer, error) {
	if cfg.Store == nil || cfg.Registry == nil || cfg.Origin == "" {
		return nil, errors.New("issuer: store, registry and origin are needed")
	}
	if cfg.Policy == nil || cfg.Auditors == nil {
		return nil, errors.New("issuer: the policies of witnesses and auditors are needed, else the registry's receipts could not be checked")
	}
	if err := registry.CheckPair(cfg.Policy, cfg.Auditors); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	if cfg.Policy.Origin != cfg.Origin {
		return nil, fmt.Errorf("issuer: the policy is for the registry %q, the issuer for %q", cfg.Policy.Origin, cfg.Origin)
	}
	if err := cfg.Status.check(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	v, err := newVCI(cfg.VCI)
	return &Issuer{Config: cfg, vci: v}, err
}

// Org is an organization that issues here.
type Org struct {
	ID         string            `json:"id"` // corporate number or support registration number
	Role       attestation.Role  `json:"role"`
	Name       map[string]string `json:"name"`   // by language
	Issuer     string            `json:"issuer"` // issuer identifier, the credentials' iss
	Group      string            `json:"group,omitempty"`
	Signing    json.RawMessage   `json:"signing"`    // private JWK
	Submission json.RawMessage   `json:"submission"` // private JWK
	X5C        []string          `json:"x5c,omitempty"`
	Ledger     []byte            `json:"ledger"` // secret that keys the hashes of ledger rows
}

// org is an Org with its keys parsed.
type org struct {
	Org
	signing, submission *keys.Private
}

// ErrUnknownOrg is returned for an organization that does not issue here.
var ErrUnknownOrg = errors.New("no such organization here: add it with `akashi org add`")

// AddOrg stores an organization. Adding the same one again changes nothing; another one under its id is refused.
func (i *Issuer) AddOrg(ctx context.Context, o Org) error {
	if _, err := o.parse(); err != nil {
		return err
	}
	if err := attestation.CheckEntityID(o.ID); err != nil {
		return err
	}
	value, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return i.Store.Update(ctx, func(tx store.Tx) error {
		switch old, err := tx.Get(orgKey(o.ID)); {
		case err == nil && string(old) != string(value):
			return fmt.Errorf("organization %s is here already, with other keys or names", o.ID)
		case err == nil:
			return nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		return tx.Set(orgKey(o.ID), value)
	})
}

func (o Org) parse() (*org, error) {
	signing, err := keys.ParsePrivate(o.Signing)
	if err != nil {
		return nil, fmt.Errorf("organization %s: signing key: %w", o.ID, err)
	}
	submission, err := keys.ParsePrivate(o.Submission)
	if err != nil {
		return nil, fmt.Errorf("organization %s: submission key: %w", o.ID, err)
	}
	return &org{Org: o, signing: signing, submission: submission}, nil
}

// Org returns the organization's public facts.
func (i *Issuer) Org(ctx context.Context, id string) (Org, error) {
	o, err := i.org(ctx, id)
	if err != nil {
		return Org{}, err
	}
	return o.Org, nil
}

// Orgs returns the ids of all organizations, in order.
func (i *Issuer) Orgs(ctx context.Context) ([]string, error) {
	var ids []string
	err := i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixOrg), func(key, _ []byte) error {
			ids = append(ids, strings.TrimPrefix(string(key), prefixOrg))
			return nil
		})
	})
	return ids, err
}

func (i *Issuer) org(ctx context.Context, id string) (*org, error) {
	var o Org
	err := i.get(ctx, orgKey(id), &o)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", id, ErrUnknownOrg)
	}
	if err != nil {
		return nil, err
	}
	return o.parse()
}

// Path returns the path of an organization's issuer identifier: the id in ASCII, as 19登-999999 must not stand in a URL.
func Path(id string) string { return "/o/" + url.PathEscape(strings.ReplaceAll(id, "登", "T")) }

// Keys of the store. Everything of one organization begins with its id, so that one scan finds it. A slot is <engagement
// ID>/<stream>/<period>/<rung>; an engagement's own is <contract hash>///<rung>.
//
//	org/<id>                                  Org
//	enrol/<id>/<reference>                    Enrolment
//	engagement/<id>/<engagement ID>           reference
//	slot/<id>/<slot>                          record
//	octets/<id>/<slot>                        its octets
//	pending/<id>/<slot>                       key of a record without a receipt
//	unconfirmed/<id>/<slot>                   key of a record whose receipt is not confirmed
//	seen-head                                 the newest head of the registry that was seen
//	done/<id>/<content digest>                key of the record that says this
//	identity/<id>/<engagement ID>/<identity>  key of the latest record about this
const (
	prefixOrg         = "org/"
	prefixSlot        = "slot/"
	prefixPending     = "pending/"
	prefixUnconfirmed = "unconfirmed/"
	keySeenHead       = "seen-head"
)

func orgKey(id string) []byte               { return []byte(prefixOrg + id) }
func enrolKey(id, reference string) []byte  { return []byte("enrol/" + id + "/" + reference) }
func engagementKey(id, engID string) []byte { return []byte("engagement/" + id + "/" + engID) }
func doneKey(id string, d registry.Hash) []byte {
	return []byte("done/" + id + "/" + d.String())
}
func identityKey(id, engID, identity string) []byte {
	return []byte("identity/" + id + "/" + engID + "/" + identity)
}

// ladderKey begins the keys of all rungs of a ladder.
func ladderKey(id string, l ladder) []byte {
	return fmt.Appendf(nil, "%s%s/%s/%s/%s/", prefixSlot, id, l.engagement, l.stream, l.period)
}
func slotKey(id string, l ladder, j int) []byte { return fmt.Appendf(ladderKey(id, l), "%02d", j) }

// octetsKey, pendingKey and unconfirmedKey turn the key of a record, or of a ladder, into that of what stands beside.
func octetsKey(slot []byte) []byte { return append([]byte("octets/"), slot[len(prefixSlot):]...) }
func pendingKey(slot []byte) []byte {
	return append([]byte(prefixPending), slot[len(prefixSlot):]...)
}
func unconfirmedKey(slot []byte) []byte {
	return append([]byte(prefixUnconfirmed), slot[len(prefixSlot):]...)
}

func (i *Issuer) get(ctx context.Context, key []byte, v any) error {
	return i.Store.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, key, v) })
}
