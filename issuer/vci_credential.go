package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// bearer is a request with a valid access token.
type bearer struct {
	i     *Issuer
	o     *org
	ctx   context.Context
	grant *grant
	once  []once // the DPoP proof; used up by what the request does, or when it is refused
	spent bool
}

// bearer checks the access token of a request and the proof that goes with it (RFC 6750; RFC 9449, Section 7).
func (i *Issuer) bearer(r *http.Request, o *org, endpoint string) (*bearer, error) {
	scheme, token, err := oid4vc.AccessToken(r.Header)
	if err != nil {
		return nil, err
	}
	b := &bearer{i: i, o: o, ctx: r.Context(), grant: new(grant)}
	err = i.Store.View(b.ctx, func(tx store.Tx) error {
		var a access
		if err := find(tx, accessKey(token), &a, oid4vc.ErrInvalidToken); err != nil {
			return err
		}
		if !i.Now().Before(a.Expires) {
			return oid4vc.ErrInvalidToken
		}
		return find(tx, grantKey(a.Grant), b.grant, oid4vc.ErrInvalidToken)
	})
	switch {
	case err != nil:
		return nil, err
	case b.grant.Org != o.ID || !i.Now().Before(b.grant.Expires):
		return nil, oid4vc.ErrInvalidToken
	case b.grant.JKT != "" && scheme == oid4vc.TokenBearer:
		return nil, oid4vc.ErrBoundToken
	case b.grant.JKT == "" && scheme == oid4vc.TokenDPoP:
		return nil, oid4vc.ErrUnboundToken
	case b.grant.JKT == "":
		return b, nil
	}
	want := i.expectDPoP(b.ctx, o, r.Method, endpoint)
	want.AccessToken, want.Thumbprint = token, b.grant.JKT
	proof, err := oid4vc.CheckDPoP(r.Header, want)
	if err != nil {
		return nil, err
	}
	b.once = []once{onceDPoP(proof)}
	return b, nil
}

// update runs fn in one transaction with the using up of the DPoP proof and of further one-time values.
func (b *bearer) update(fn func(tx store.Tx) error, more ...once) error {
	err := b.i.Store.Update(b.ctx, func(tx store.Tx) error {
		if err := use(tx, append(slices.Clone(b.once), more...)...); err != nil {
			return err
		}
		return fn(tx)
	})
	b.spent = b.spent || err == nil
	return err
}

// spend uses up the proof of a request that is refused. The refusal of a proof seen before comes first.
func (b *bearer) spend(refusal error) error {
	if b.spent {
		return refusal
	}
	if err := b.update(func(store.Tx) error { return nil }); err != nil {
		return err
	}
	return refusal
}

// protected runs a handler of a protected endpoint. What it answers is encrypted where the request asks for it; errors never are.
func (i *Issuer) protected(w http.ResponseWriter, r *http.Request, o *org, endpoint string, do func(b *bearer, body []byte, encrypted bool) (*answer, error)) error {
	b, err := i.bearer(r, o, endpoint)
	if err != nil {
		return err
	}
	body, encrypted, err := i.readMessage(r)
	var a *answer
	if err == nil {
		a, err = do(b, body, encrypted)
	}
	if err != nil {
		return b.spend(err)
	}
	return a.write(w)
}

// readMessage reads a JSON message, or one encrypted to this instance.
func (i *Issuer) readMessage(r *http.Request) (body []byte, encrypted bool, err error) {
	mediaType, body, err := web.ReadBody(r, oid4vc.MediaTypeJSON, oid4vc.MediaTypeJWT)
	if err != nil || mediaType == oid4vc.MediaTypeJSON {
		return body, false, err
	}
	offered, err := i.requestEncryption(r.Context())
	if err != nil {
		return nil, false, err
	}
	s, err := i.vciSecrets(r.Context())
	if err != nil {
		return nil, false, err
	}
	body, err = oid4vc.OpenRequest(string(body), offered, func(kid string) *keys.Private {
		if kid == s.public.KID() {
			return s.decrypt
		}
		return nil
	})
	return body, true, err
}

// answer is a credential response, or nothing to say.
type answer struct {
	response *oid4vc.CredentialResponse // nil: 204
	encrypt  *oid4vc.ResponseEncryption // nil: plain
}

func (a *answer) write(w http.ResponseWriter) error {
	if a.response == nil {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if a.encrypt == nil {
		web.WriteJSON(w, a.response.Status(), a.response)
		return nil
	}
	body, err := json.Marshal(a.response)
	if err != nil {
		return err
	}
	jwe, err := a.encrypt.Seal(body)
	if err == nil {
		web.WriteBody(w, a.response.Status(), oid4vc.MediaTypeJWT, []byte(jwe))
	}
	return err
}

// serveCredential is the credential endpoint (OpenID4VCI 1.0, Section 8).
func (i *Issuer) serveCredential(w http.ResponseWriter, r *http.Request, o *org) error {
	return i.protected(w, r, o, "/credential", func(b *bearer, body []byte, encrypted bool) (*answer, error) {
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
	known := b.i.configurations(b.o)
	c := known[g.Subject.Configuration]
	if req.ConfigurationID != "" && known[req.ConfigurationID] == nil {
		return nil, oid4vc.ErrUnknownConfiguration
	}
	if err := req.CheckIdentified(g.Identifiers); err != nil {
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
		MaxProofs: maxBatch, ClientID: b.grant.Client, Now: b.i.Now(), NonceRequired: true, AttestationRequired: c.KeyAttestation,
		Nonce: func(nonce string) error { return b.i.checkNonce(b.ctx, b.o, nonceProof, nonce) },
	}
	if b.i.attestsKeys() {
		want.Types[oid4vc.ProofTypeAttestation] = vciAlgs
		want.KeyAttestation = &oid4vc.ExpectKeyAttestation{AttesterKey: b.i.walletProvider}
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

// collected notes which attestations the grant gave.
func (b *bearer) collected(tx store.Tx, made []made) error {
	g := new(grant)
	if err := find(tx, grantKey(b.grant.ID), g, oid4vc.ErrInvalidToken); err != nil {
		return err
	}
	n := len(g.Collected)
	for _, m := range made {
		if m.issued.Logged != "" && !slices.Contains(g.Collected, m.issued.Logged) {
			g.Collected = append(g.Collected, m.issued.Logged)
		}
	}
	if len(g.Collected) == n {
		return nil
	}
	return g.save(tx)
}

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
	return i.protected(w, r, o, "/deferred", func(b *bearer, body []byte, encrypted bool) (*answer, error) {
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
	c := b.i.configurations(b.o)[d.Configuration]
	if c == nil {
		return nil, oid4vc.ErrCredentialRequestDenied
	}
	return b.give(&wanted{configuration: c, subject: b.grant.Subject, logged: d.Logged, holders: d.Holders}, &id, nil)
}

// notification is what a wallet may tell about the credentials of one response (Section 11).
type notification struct {
	Grant       string    `json:"grant"`
	Credentials []string  `json:"credentials"`
	Expires     time.Time `json:"expires"`
}

// serveNotification is the notification endpoint. The same notification again changes nothing.
func (i *Issuer) serveNotification(w http.ResponseWriter, r *http.Request, o *org) error {
	return i.protected(w, r, o, "/notification", func(b *bearer, body []byte, _ bool) (*answer, error) {
		req, err := oid4vc.ParseNotificationRequest(body)
		if err != nil {
			return nil, err
		}
		return &answer{}, b.update(func(tx store.Tx) error { return b.notified(tx, req) })
	})
}

// notified records the event with each credential.
func (b *bearer) notified(tx store.Tx, req *oid4vc.NotificationRequest) error {
	n := new(notification)
	if err := find(tx, noteKey(req.NotificationID), n, oid4vc.ErrInvalidNotificationID); err != nil {
		return err
	}
	if n.Grant != b.grant.ID || !b.i.Now().Before(n.Expires) {
		return oid4vc.ErrInvalidNotificationID
	}
	for _, id := range n.Credentials {
		s := new(issued)
		if err := getJSON(tx, issuedKey(b.o.ID, id), s); err != nil {
			return err
		}
		if s.Event == req.Event {
			continue
		}
		s.Event, s.EventAt = req.Event, b.i.Now()
		if err := setJSON(tx, issuedKey(b.o.ID, id), s); err != nil {
			return err
		}
	}
	return nil
}
