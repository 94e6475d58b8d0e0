package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
)

// serveCredential is the credential endpoint (OpenID4VCI 1.0, Section 8).
func (i *Issuer) serveCredential(w http.ResponseWriter, r *http.Request, o *org) error {
	return i.protected(w, r, o, "/credential", encryptable, func(b *bearer, body []byte, encrypted bool) (*answer, error) {
		req, err := oid4vc.ParseCredentialRequest(body)
		if err == nil {
			err = oid4vc.CheckResponseEncryption(req.ResponseEncryption, responseEncryption(), encrypted)
		}
		if err != nil {
			return nil, err
		}
		resp, err := b.credential(req)
		return &answer{resp, req.ResponseEncryption}, err
	})
}

// wanted is what a request asks for and the grant gives.
type wanted struct {
	configuration *configuration
	subject       subject
	logged        string // ID of the attestation to copy, "" where there is none, or the newest is meant
	holders       []holder
}

// holder is a key that a credential is bound to.
type holder struct {
	Key           json.RawMessage `json:"key"`
	DeliveryProof string          `json:"delivery_proof,omitempty"`
}

func (b *bearer) credential(req *oid4vc.CredentialRequest) (*oid4vc.CredentialResponse, error) {
	want, err := b.wanted(req)
	if err != nil {
		return nil, err
	}
	set, err := oid4vc.CheckProofs(req.Proofs, b.expectProofs(want.configuration))
	if err != nil {
		return nil, err
	}
	for _, a := range set.Attestations {
		if err := b.i.checkAttested(b.ctx, a.Status, oid4vc.ErrKeyAttestationStatus); err != nil {
			return nil, err
		}
	}
	if want.holders, err = b.holders(want, set); err != nil {
		return nil, err
	}
	var nonces []once
	for _, nonce := range set.Nonces {
		nonces = append(nonces, once{nonceProof, nonce, 2 * nonceLife, oid4vc.ErrInvalidNonce})
	}
	resp, err := b.give(want, nil, nonces)
	if err != nil && !b.spent {
		// A nonce is for one request, whatever came of it.
		err = errors.Join(err, b.update(func(store.Tx) error { return nil }, nonces...))
	}
	return resp, err
}

// wanted finds what the request asks for (Section 8.2).
func (b *bearer) wanted(req *oid4vc.CredentialRequest) (*wanted, error) {
	g := b.grant
	c := b.i.configuration(b.o, g.Subject.Configuration)
	if req.ConfigurationID != "" && b.i.configuration(b.o, req.ConfigurationID) == nil {
		return nil, oid4vc.ErrUnknownConfiguration
	}
	if req.Identifier != "" && req.ConfigurationID == "" && !b.identifiers {
		return nil, oid4vc.ErrUnknownIdentifier // the token came with none
	}
	if err := req.CheckIdentified(b.identifiers); err != nil {
		return nil, err
	}
	switch {
	case c == nil:
		return nil, oid4vc.ErrCredentialRequestDenied // the operator took it out of the configuration
	case req.ConfigurationID != "" && req.ConfigurationID != c.id:
		return nil, oid4vc.ErrInsufficientScope
	}
	want := &wanted{configuration: c, subject: g.Subject}
	if req.Identifier == "" || req.Identifier == g.identifier() {
		return want, nil
	}
	if !isAttestation(c.typ) {
		return nil, oid4vc.ErrUnknownIdentifier
	}
	want.logged = req.Identifier
	return want, b.i.Store.View(b.ctx, func(tx store.Tx) error {
		records, err := attestationsOf(tx, b.o.ID, g.Subject.Engagement, c.typ)
		if err == nil && !slices.ContainsFunc(records, func(r *record) bool { return r.ID == want.logged }) {
			err = oid4vc.ErrUnknownIdentifier
		}
		return err
	})
}

func (b *bearer) expectProofs(c *configuration) oid4vc.ExpectProofs {
	want := oid4vc.ExpectProofs{
		Issuer: b.o.Issuer, Types: map[string][]keys.Alg{oid4vc.ProofTypeJWT: vciAlgs}, BindingMethods: []string{oid4vc.BindingJWK, oid4vc.BindingDIDKey, oid4vc.BindingDIDJWK},
		MaxProofs: maxBatch, ClientID: b.grant.Client, Now: b.i.Now(), NonceRequired: true, AttestationRequired: c.KeyAttestation != nil,
		Nonce: func(nonce string) error { return b.i.checkNonce(b.ctx, b.o, nonceProof, nonce) },
	}
	if b.i.attestsKeys() {
		want.Types[oid4vc.ProofTypeAttestation] = vciAlgs
		want.KeyAttestation = c.KeyAttestation.expect()
		want.KeyAttestation.AttesterKey = b.i.walletProvider
	}
	return want
}

// holders are the keys to bind: one for what comes in no batch.
func (b *bearer) holders(want *wanted, set *oid4vc.ProofSet) ([]holder, error) {
	count := len(set.Keys)
	if !want.configuration.Batch {
		count = 1
	}
	out := make([]holder, 0, count)
	for _, key := range set.Keys[:count] {
		h := holder{Key: key.JWK()}
		for _, p := range set.Proofs {
			if p.Key.Equal(key) {
				h.DeliveryProof = p.DeliveryProof
			}
		}
		if h.DeliveryProof != "" && want.configuration.typ == attestation.TypeEngagement {
			if _, err := deliveryOf(h.DeliveryProof, key, b.i.Origin); err != nil {
				return nil, errDeliveryProof
			}
		}
		out = append(out, h)
	}
	return out, nil
}

var errDeliveryProof = &oid4vc.Refusal{Code: oid4vc.CodeInvalidProof, Status: http.StatusBadRequest, Description: "delivery_proof of a key proof is not one of the same key for this registry"}

// give makes and stores the credentials, or a transaction for later. transaction is that of an earlier answer, nil for none.
func (b *bearer) give(want *wanted, transaction *string, more []once) (*oid4vc.CredentialResponse, error) {
	made, err := b.produce(want)
	if errors.Is(err, errNotReady) {
		return b.later(want, transaction, more)
	}
	if err != nil {
		return nil, err
	}
	noteID, err := b.i.secretText()
	if err != nil {
		return nil, err
	}
	for {
		err = b.update(func(tx store.Tx) error { return b.storeMade(tx, want, made, noteID, transaction) }, more...)
		if !errors.Is(err, errIndexTaken) {
			break
		}
		if made, err = b.produce(want); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	resp := &oid4vc.CredentialResponse{NotificationID: noteID}
	for _, m := range made {
		resp.Credentials = append(resp.Credentials, oid4vc.TextCredential(m.compact))
	}
	return resp, nil
}

// storeMade stores what was made, before the wallet has it.
func (b *bearer) storeMade(tx store.Tx, want *wanted, made []made, noteID string, transaction *string) error {
	if transaction != nil {
		if err := find(tx, deferredKey(*transaction), new(deferred), oid4vc.ErrInvalidTransactionID); err != nil {
			return err
		}
		if err := tx.Delete(deferredKey(*transaction)); err != nil {
			return err
		}
	}
	n := notification{Grant: b.grant.ID, Expires: b.i.Now().Add(noteLife)}
	for _, m := range made {
		if err := m.save(tx, b.o.ID); err != nil {
			return err
		}
		n.Credentials = append(n.Credentials, m.issued.ID)
	}
	if err := b.collected(tx, made); err != nil {
		return err
	}
	return setJSONFor(tx, noteKey(noteID), n, noteLife)
}

// collected notes which attestations the grant gave, if it is still there.
func (b *bearer) collected(tx store.Tx, credentials []made) error {
	value, err := tx.Get(grantKey(b.grant.ID))
	if errors.Is(err, store.ErrNotFound) {
		return oid4vc.ErrInvalidToken
	}
	isLogged := func(m made) bool { return m.issued.Logged != "" }
	if err != nil || !slices.ContainsFunc(credentials, isLogged) {
		return err
	}
	g := new(grant)
	if err := json.Unmarshal(value, g); err != nil {
		return err
	}
	for _, m := range credentials {
		if isLogged(m) && !slices.Contains(g.Collected, m.issued.Logged) {
			g.Collected = append(g.Collected, m.issued.Logged)
		}
	}
	return g.save(tx)
}
