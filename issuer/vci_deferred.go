package issuer

import (
	"errors"
	"net/http"
	"time"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
)

// deferred is a request whose credentials were not ready (Section 9).
type deferred struct {
	Grant         string    `json:"grant"`
	Configuration string    `json:"configuration"`
	Logged        string    `json:"logged,omitempty"`
	Holders       []holder  `json:"holders"`
	Expires       time.Time `json:"expires"`
}

// retryAfter is how often a wallet should ask for what is not ready.
const retryAfter = 5 * time.Second

var errNotReady = errors.New("the credential is not ready yet")

// later answers with a transaction, which is kept for days.
func (b *bearer) later(want *wanted, transaction *string, more []once) (*oid4vc.CredentialResponse, error) {
	resp := &oid4vc.CredentialResponse{Interval: int(retryAfter.Seconds())}
	if transaction != nil {
		resp.TransactionID = *transaction
		return resp, b.update(func(store.Tx) error { return nil }, more...)
	}
	var err error
	if resp.TransactionID, err = b.i.secretText(); err != nil {
		return nil, err
	}
	d := deferred{Grant: b.grant.ID, Configuration: want.configuration.id, Logged: want.logged, Holders: want.holders, Expires: b.i.Now().Add(deferredLife)}
	return resp, b.update(func(tx store.Tx) error { return setJSONFor(tx, deferredKey(resp.TransactionID), d, deferredLife) }, more...)
}

// serveDeferred is the deferred credential endpoint (Section 9). The encryption that this request asks for counts.
func (i *Issuer) serveDeferred(w http.ResponseWriter, r *http.Request, o *org) error {
	return i.protected(w, r, o, "/deferred", encryptable, func(b *bearer, body []byte, encrypted bool) (*answer, error) {
		req, err := oid4vc.ParseDeferredRequest(body)
		if err == nil {
			err = oid4vc.CheckResponseEncryption(req.ResponseEncryption, responseEncryption(), encrypted)
		}
		if err != nil {
			return nil, err
		}
		resp, err := b.deferred(req.TransactionID)
		return &answer{resp, req.ResponseEncryption}, err
	})
}

func (b *bearer) deferred(id string) (*oid4vc.CredentialResponse, error) {
	d := new(deferred)
	err := b.i.Store.View(b.ctx, func(tx store.Tx) error { return find(tx, deferredKey(id), d, oid4vc.ErrInvalidTransactionID) })
	if err != nil {
		return nil, err
	}
	if d.Grant != b.grant.ID || !b.i.Now().Before(d.Expires) {
		return nil, oid4vc.ErrInvalidTransactionID
	}
	c := b.i.configuration(b.o, d.Configuration)
	if c == nil {
		return nil, oid4vc.ErrCredentialRequestDenied
	}
	return b.give(&wanted{configuration: c, subject: b.grant.Subject, logged: d.Logged, holders: d.Holders}, &id, nil)
}
