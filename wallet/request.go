package wallet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/web"
)

// ask asks for one credential, or a batch of it, and stores what comes.
func (c *collecting) ask(ctx context.Context, wish wish) error {
	bound, err := c.keysFor(wish.configuration)
	if err != nil {
		return err
	}
	resp, err := c.requestCredential(ctx, wish, bound)
	var refused *oid4vc.ErrorResponse
	if errors.As(err, &refused) && refused.Code == oid4vc.CodeInvalidNonce {
		resp, err = c.requestCredential(ctx, wish, bound) // with a fresh nonce, once
	}
	if err != nil {
		return err
	}
	if resp.TransactionID != "" {
		return c.postpone(ctx, wish, bound, resp)
	}
	return c.accept(ctx, wish, bound, resp)
}

// keysFor returns the keys to bind: the wallet's own for what belongs to the engagement, of which there is one; else fresh ones.
func (c *collecting) keysFor(configuration string) ([]*keys.Private, error) {
	conf, ok := c.metadata.Configurations[configuration]
	if !ok {
		return nil, fmt.Errorf("%w: the issuer does not offer it any more", ErrMetadata)
	}
	if _, err := attestation.TypeOf(conf.VCT); err == nil {
		return []*keys.Private{c.w.holder}, nil
	}
	if len(conf.ProofTypes) == 0 {
		return nil, nil // bound to no key
	}
	n := 1
	if c.metadata.Batch != nil {
		n = c.grant.Batch
		if n <= 0 {
			n = DefaultBatch
		}
		n = min(n, c.metadata.Batch.BatchSize)
	}
	bound := make([]*keys.Private, n)
	for i := range bound {
		var err error
		if bound[i], err = keys.Generate(keys.ES256); err != nil {
			return nil, err
		}
	}
	return bound, nil
}

func (c *collecting) requestCredential(ctx context.Context, wish wish, bound []*keys.Private) (*oid4vc.CredentialResponse, error) {
	proofs, err := c.prove(ctx, wish.configuration, bound)
	if err != nil {
		return nil, err
	}
	r := &oid4vc.CredentialRequest{Identifier: wish.identifier, Proofs: proofs}
	if wish.identifier == "" {
		r.ConfigurationID = wish.configuration
	}
	return c.exchange(ctx, c.metadata.CredentialEndpoint, len(bound), func(e *oid4vc.ResponseEncryption) any {
		r.ResponseEncryption = e
		return r
	})
}

// prove shows possession of the keys (OpenID4VCI 1.0, Appendix F): by a proof of each, or where the issuer takes nothing else by the wallet
// provider's attestation of all. Either has the nonce of the issuer.
func (c *collecting) prove(ctx context.Context, configuration string, bound []*keys.Private) (*oid4vc.Proofs, error) {
	if len(bound) == 0 {
		return nil, nil
	}
	conf := c.metadata.Configurations[configuration]
	nonce, err := c.nonce(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for a nonce: %w", err)
	}
	if p, ok := conf.ProofTypes[oid4vc.ProofTypeJWT]; ok && slices.Contains(p.SigningAlgs, string(keys.ES256)) {
		attestation := ""
		if p.KeyAttestations != nil {
			if attestation, err = c.attestKeys(ctx, bound, nonce); err != nil {
				return nil, err
			}
		}
		return c.signProofs(conf.BindingMethods, bound, nonce, attestation)
	}
	if _, ok := conf.ProofTypes[oid4vc.ProofTypeAttestation]; ok {
		attestation, err := c.attestKeys(ctx, bound, nonce)
		return &oid4vc.Proofs{Type: oid4vc.ProofTypeAttestation, Values: []string{attestation}}, err
	}
	return nil, fmt.Errorf("%w: it takes no key proofs of type jwt with ES256", ErrUnusable)
}

// signProofs makes proofs of type jwt, in that of the wallet's own key with the word for its delivery key. With an attestation of all keys one
// proof brings them all.
func (c *collecting) signProofs(methods []string, bound []*keys.Private, nonce, attestation string) (*oid4vc.Proofs, error) {
	o := oid4vc.KeyProofOptions{Issuer: c.grant.Issuer, ClientID: c.clientID, Nonce: nonce, Now: c.w.Now(), Binding: bindingOf(methods), KeyAttestation: attestation}
	if o.Binding == "" {
		return nil, fmt.Errorf("%w: it names keys in no way that this wallet knows", ErrUnusable)
	}
	if attestation != "" {
		bound = bound[:1]
	}
	proofs := &oid4vc.Proofs{Type: oid4vc.ProofTypeJWT}
	for _, key := range bound {
		o.DeliveryProof = ""
		if key == c.w.holder {
			var err error
			if o.DeliveryProof, err = c.w.DeliveryProof(); err != nil {
				return nil, err
			}
		}
		proof, err := oid4vc.MakeKeyProof(key, o)
		if err != nil {
			return nil, err
		}
		proofs.Values = append(proofs.Values, proof)
	}
	return proofs, nil
}

// bindingOf returns the first way to name a key that the issuer and this wallet know.
func bindingOf(methods []string) string {
	for _, m := range []string{oid4vc.BindingJWK, oid4vc.BindingDIDJWK, oid4vc.BindingDIDKey} {
		if slices.Contains(methods, m) {
			return m
		}
	}
	return ""
}

func (c *collecting) attestKeys(ctx context.Context, bound []*keys.Private, nonce string) (string, error) {
	if c.w.Client.AttestKeys == nil {
		return "", fmt.Errorf("%w: it wants keys attested by a wallet provider, and this wallet has none", ErrUnusable)
	}
	publics := make([]keys.Public, len(bound))
	for i, key := range bound {
		publics[i] = key.Public()
	}
	attestation, err := c.w.Client.AttestKeys(ctx, publics, nonce)
	if err != nil {
		return "", fmt.Errorf("asking the wallet provider to attest keys: %w", err)
	}
	return attestation, nil
}

// exchange sends a request for credentials and reads the answer. It asks for an encrypted one, with a key for this answer alone, where the
// issuer can encrypt and the request itself is encrypted, and takes no other then.
func (c *collecting) exchange(ctx context.Context, target string, keyCount int, message func(*oid4vc.ResponseEncryption) any) (*oid4vc.CredentialResponse, error) {
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	public, err := keys.NewEncryptionKey(key.Public(), "")
	if err != nil {
		return nil, err
	}
	encryption, encrypted := oid4vc.ChooseResponseEncryption(c.metadata.ResponseEncryption, public)
	if _, canAsk := oid4vc.ChooseRequestEncryption(c.metadata.RequestEncryption); !canAsk {
		encryption, encrypted = nil, false
	}
	if !encrypted && c.metadata.ResponseEncryption != nil && c.metadata.ResponseEncryption.Required {
		return nil, fmt.Errorf("%w: it encrypts its answers in a way that this wallet does not know", ErrUnusable)
	}
	resp, err := c.resource(ctx, target, c.grant.Token, message(encryption))
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK && resp.Status != http.StatusAccepted {
		return nil, oid4vc.ParseErrorResponse(resp.Status, resp.Body)
	}
	body, err := openAnswer(resp, encryption, key)
	if err != nil {
		return nil, err
	}
	return oid4vc.ParseCredentialResponse(resp.Status, body, keyCount)
}

// openAnswer returns the message in an answer, decrypted where that was asked for.
func openAnswer(resp *web.Response, encryption *oid4vc.ResponseEncryption, key *keys.Private) ([]byte, error) {
	switch {
	case encryption == nil && resp.MediaType == oid4vc.MediaTypeJSON:
		return resp.Body, nil
	case encryption == nil:
		return nil, fmt.Errorf("%w: it has type %q", oid4vc.ErrCredentialResponse, resp.MediaType)
	case resp.MediaType != oid4vc.MediaTypeJWT:
		return nil, fmt.Errorf("%w: the credential did not come encrypted", ErrDowngrade)
	}
	return encryption.OpenResponse(string(resp.Body), key)
}

// postpone keeps what is needed to ask for a deferred credential again.
func (c *collecting) postpone(ctx context.Context, wish wish, bound []*keys.Private, resp *oid4vc.CredentialResponse) error {
	d := deferred{Configuration: wish.configuration, Identifier: wish.identifier, Transaction: resp.TransactionID, After: c.w.Now().Add(time.Duration(resp.Interval) * time.Second)}
	for _, key := range bound {
		if key == c.w.holder {
			continue
		}
		jwk, err := key.MarshalJWK()
		if err != nil {
			return err
		}
		d.Keys = append(d.Keys, jwk)
	}
	c.grant.Deferred = append(c.grant.Deferred, d)
	return c.save(ctx)
}

// pollDeferred asks for what the issuer deferred, no sooner than it said.
func (c *collecting) pollDeferred(ctx context.Context) error {
	var still []deferred
	var errs []error
	for _, d := range c.grant.Deferred {
		if c.w.Now().Before(d.After) {
			still = append(still, d)
			continue
		}
		again, err := c.poll(ctx, d)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.Configuration, err))
		}
		if again != nil {
			still = append(still, *again)
		}
	}
	c.grant.Deferred = still
	return errors.Join(append(errs, c.save(ctx))...)
}

// poll asks for one deferred credential; it returns what is to be asked for again.
func (c *collecting) poll(ctx context.Context, d deferred) (*deferred, error) {
	var bound []*keys.Private
	for _, jwk := range d.Keys {
		key, err := keys.ParsePrivate(jwk)
		if err != nil {
			return nil, err
		}
		bound = append(bound, key)
	}
	if conf := c.metadata.Configurations[d.Configuration]; len(bound) == 0 && len(conf.ProofTypes) > 0 {
		bound = []*keys.Private{c.w.holder}
	}
	if c.metadata.DeferredEndpoint == "" {
		return nil, fmt.Errorf("%w: it has no endpoint for deferred credentials", ErrMetadata)
	}
	resp, err := c.exchange(ctx, c.metadata.DeferredEndpoint, len(bound), func(e *oid4vc.ResponseEncryption) any {
		return oid4vc.DeferredRequest{TransactionID: d.Transaction, ResponseEncryption: e}
	})
	var refused *oid4vc.ErrorResponse
	switch {
	case errors.As(err, &refused) && (refused.Code == oid4vc.CodeInvalidTransactionID || refused.Code == oid4vc.CodeCredentialRequestDenied):
		return nil, err // for good
	case err != nil:
		return &d, err
	case resp.TransactionID != "":
		d.Transaction, d.After = resp.TransactionID, c.w.Now().Add(time.Duration(resp.Interval)*time.Second)
		return &d, nil
	}
	return nil, c.accept(ctx, wish{d.Configuration, d.Identifier}, bound, resp)
}

// accept checks and stores what came, tells the issuer so where it wants to know, and remembers what need not be asked for again.
func (c *collecting) accept(ctx context.Context, wish wish, bound []*keys.Private, resp *oid4vc.CredentialResponse) error {
	var errs []error
	left := slices.Clone(bound)
	group := randomText()
	for _, one := range resp.Credentials {
		compact, err := one.Text()
		if err == nil {
			left, err = c.take(ctx, wish, group, compact, left, len(bound) > 0)
		}
		if err != nil {
			c.report.Refused = append(c.report.Refused, fmt.Sprintf("%s: %v", wish.configuration, err))
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 && wish.identifier != "" && !slices.Contains(c.grant.Taken, wish.identifier) {
		c.grant.Taken = append(c.grant.Taken, wish.identifier)
	}
	c.notify(ctx, resp.NotificationID, errors.Join(errs...))
	return errors.Join(append(errs, c.save(ctx))...)
}

// notify tells the issuer what became of the credentials (OpenID4VCI 1.0, Section 11). It may get lost; nothing depends on it. Why
// something was refused stays here.
func (c *collecting) notify(ctx context.Context, id string, refused error) {
	if id == "" || c.metadata.NotificationEndpoint == "" {
		return
	}
	event := oid4vc.EventAccepted
	if refused != nil {
		event = oid4vc.EventFailure
	}
	_, _ = c.resource(ctx, c.metadata.NotificationEndpoint, c.grant.Token, oid4vc.NotificationRequest{NotificationID: id, Event: event})
}

// isDue tells whether more of a configuration is wanted: attestations always, engagements never, since each comes with an offer of its own,
// others when nothing good for another week is held.
func (c *collecting) isDue(ctx context.Context, configuration string) bool {
	conf := c.metadata.Configurations[configuration]
	if typ, err := attestation.TypeOf(conf.VCT); err == nil {
		return typ != attestation.TypeEngagement
	}
	for _, d := range c.grant.Deferred {
		if d.Configuration == configuration {
			return false
		}
	}
	held, err := c.w.Credentials(ctx)
	return err == nil && !slices.ContainsFunc(held, func(h Credential) bool {
		return h.Issuer == c.grant.Issuer && h.Configuration == configuration && h.Status != StatusRevoked && (h.Expires == nil || h.Expires.After(c.w.Now().AddDate(0, 0, 7)))
	})
}
