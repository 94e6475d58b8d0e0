package wallet

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry/trustlist"
)

// Credential is a credential of any other type than those of the engagement. The wallet holds it and knows nothing about its meaning.
type Credential struct {
	ID            string            `json:"id"`
	VCT           string            `json:"vct"`
	Names         map[string]string `json:"names"` // of the type, by language
	Configuration string            `json:"configuration"`
	Issuer        string            `json:"issuer"`            // identifier
	Entity        string            `json:"entity,omitempty"`  // id on the trust list; empty where the person chose to trust an unknown issuer
	Group         string            `json:"group"`             // the same for copies that came together
	Key           string            `json:"key,omitempty"`     // thumbprint of the key it is bound to
	Status        string            `json:"status,omitempty"`  // when it was last asked: valid, suspended, revoked, or unknown where the list could not be had
	Checked       *time.Time        `json:"checked,omitempty"` // when that was
	Received      time.Time         `json:"received"`
	Expires       *time.Time        `json:"expires,omitempty"`
	Claims        json.RawMessage   `json:"claims"`
	SDJWT         string            `json:"sd_jwt"`
}

var (
	// ErrOtherCredential is returned for a credential that is not the one that was asked for: another type or another issuer.
	ErrOtherCredential = errors.New("the issuer sent another credential than the one asked for")
	// ErrTypeMetadata is returned for a credential that breaks the rules that its type's metadata state.
	ErrTypeMetadata = errors.New("the credential does not fit its type")
	// ErrRevoked is returned for a credential that its issuer has withdrawn already.
	ErrRevoked = errors.New("the issuer has withdrawn this credential")
	// ErrStatus is returned when the status of a credential is not in order, which is something else than not to be reached.
	ErrStatus = errors.New("the status of the credential is not in order")
	// ErrFuture is returned for a credential that says that it was issued later than now.
	ErrFuture = errors.New("the credential is dated in the future")
)

// take checks and stores one credential. left are the keys that no credential is bound to yet; it returns those that remain.
func (c *collecting) take(ctx context.Context, wish wish, group, compact string, left []*keys.Private, mustBind bool) ([]*keys.Private, error) {
	u, err := sdjwt.Parse(compact)
	if err != nil {
		return left, err
	}
	conf := c.metadata.Configurations[wish.configuration]
	if err := c.isAsked(u, conf.VCT); err != nil {
		return left, err
	}
	if _, err := attestation.TypeOf(conf.VCT); err == nil {
		return nil, c.takeOwn(ctx, compact)
	}
	v, status, err := c.verifyOther(ctx, u, conf.VCT)
	if err != nil {
		return left, err
	}
	bound := slices.IndexFunc(left, func(k *keys.Private) bool { return k.Public().Equal(v.Holder) })
	if bound < 0 && (mustBind || !v.Holder.IsZero()) {
		return left, ErrNotYours
	}
	held := Credential{ID: v.ID, VCT: conf.VCT, Names: namesOf(conf.Metadata), Configuration: wish.configuration, Issuer: c.grant.Issuer, Group: group, Status: status,
		Received: c.w.Now(), Expires: expiry(v), Claims: v.ClaimsJSON(), SDJWT: compact}
	if status != "" {
		held.Checked = &held.Received
	}
	if e := entityOf(c.list, c.grant.Issuer, attestation.DateOf(c.w.Now())); e != nil {
		held.Entity = e.ID
	}
	var private *keys.Private
	if bound >= 0 {
		private = left[bound]
		held.Key = private.Public().Thumbprint()
		left = slices.Delete(slices.Clone(left), bound, bound+1)
	}
	if err := c.w.hold(ctx, held, private); err != nil {
		return left, err
	}
	c.report.Credentials = append(c.report.Credentials, held)
	return left, nil
}

// isAsked checks that a credential states the type and the issuer that it was asked for. Whether that is true its signature tells.
func (c *collecting) isAsked(u *sdjwt.Unverified, vct string) error {
	var claims struct {
		VCT string            `json:"vct"`
		Iss string            `json:"iss"`
		Iat *keys.NumericDate `json:"iat"`
	}
	if err := json.Unmarshal(u.UnverifiedPayload(), &claims); err != nil {
		return sdjwt.ErrMalformed
	}
	switch {
	case claims.VCT != vct:
		return fmt.Errorf("%w: it is of the type %.100q", ErrOtherCredential, claims.VCT)
	case claims.Iss != c.grant.Issuer && (claims.Iss != "" || u.Header().X5C == nil):
		return fmt.Errorf("%w: its issuer is %.100q", ErrOtherCredential, claims.Iss)
	case claims.Iat != nil && claims.Iat.Time().After(c.w.Now().Add(24*time.Hour)):
		return ErrFuture
	}
	return nil
}

// verifyOther checks a credential of a type that this project does not know: signature, dates, the type's metadata, and status.
func (c *collecting) verifyOther(ctx context.Context, u *sdjwt.Unverified, vct string) (v *sdjwt.Verified, status string, err error) {
	key, err := c.issuerKey(ctx, u.Header())
	if err != nil {
		return nil, "", err
	}
	v, err = u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256, keys.EdDSA}, VCT: []string{vct}, Now: c.w.Now()})
	if err != nil {
		return nil, "", err
	}
	if err := c.w.checkType(ctx, v); err != nil {
		return nil, "", err
	}
	status, err = c.statuses().of(ctx, v.Claims)
	if status == StatusRevoked {
		err = ErrRevoked
	}
	return v, status, err
}

// expiry is the exp claim, nil for none.
func expiry(v *sdjwt.Verified) *time.Time {
	exp, _ := v.Claims["exp"].(json.Number)
	seconds, err := exp.Float64()
	if err != nil {
		return nil
	}
	at := time.Unix(int64(seconds), 0).UTC()
	return &at
}

func (w *Wallet) hold(ctx context.Context, held Credential, private *keys.Private) error {
	var jwk json.RawMessage
	if private != nil {
		var err error
		if jwk, err = private.MarshalJWK(); err != nil {
			return err
		}
	}
	return w.Store.Update(ctx, func(tx store.Tx) error {
		if jwk != nil {
			if err := store.SetJSON(tx, []byte(prefixKey+held.Key), jwk); err != nil {
				return err
			}
		}
		return store.SetJSON(tx, []byte(prefixCredential+held.ID), held)
	})
}

// Credentials returns every credential of other types, oldest first.
func (w *Wallet) Credentials(ctx context.Context) ([]Credential, error) {
	var held []Credential
	err := w.Store.View(ctx, func(tx store.Tx) error {
		held = []Credential{}
		return tx.Scan([]byte(prefixCredential), func(_, value []byte) error {
			var c Credential
			held = append(held, c)
			return json.Unmarshal(value, &held[len(held)-1])
		})
	})
	slices.SortFunc(held, func(a, b Credential) int {
		if c := a.Received.Compare(b.Received); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return held, err
}

// issuerKey returns the key with which the issuer of this grant signs what has the header: by the trust list or, where the person chose to
// trust an unknown issuer, by what it publishes itself.
func (c *collecting) issuerKey(ctx context.Context, header keys.UnverifiedHeader) (keys.Public, error) {
	if !c.grant.TrustAny {
		entity, key, err := c.list.EntityForHeader(header, c.w.Now())
		if err != nil {
			return keys.Public{}, errors.Join(ErrUntrusted, err)
		}
		if entity.Issuer != c.grant.Issuer {
			return keys.Public{}, ErrUntrusted
		}
		return key, nil
	}
	if header.X5C != nil && len(c.w.IssuerRoots) > 0 {
		key, leaf, err := keys.VerifyChain(header.X5C, c.w.IssuerRoots, c.w.Now())
		if err == nil {
			err = speaksFor(leaf, c.grant.Issuer)
		}
		return key, err
	}
	key, err := c.publishedKey(ctx, header)
	if err == nil || header.X5C == nil {
		return key, err
	}
	chain, err := header.Chain()
	if err != nil {
		return keys.Public{}, err
	}
	if err := speaksFor(chain[0], c.grant.Issuer); err != nil {
		return keys.Public{}, err
	}
	return keys.PublicFrom(chain[0].PublicKey)
}

// speaksFor checks that a certificate names the issuer (SD-JWT VC, Section 2.5).
func speaksFor(leaf *x509.Certificate, issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(leaf.URIs, func(named *url.URL) bool { return named.String() == issuer }) {
		return nil
	}
	if err := leaf.VerifyHostname(u.Hostname()); err != nil {
		return fmt.Errorf("%w: the certificate in x5c is not the issuer's", ErrUntrusted)
	}
	return nil
}

// publishedKey finds a key in JWT VC Issuer Metadata (SD-JWT VC, Section 4).
func (c *collecting) publishedKey(ctx context.Context, header keys.UnverifiedHeader) (keys.Public, error) {
	target, err := oid4vc.WellKnown(oid4vc.WellKnownJWTVCIssuer, c.grant.Issuer)
	if err != nil {
		return keys.Public{}, err
	}
	body, err := c.w.document(ctx, target, oid4vc.MediaTypeJSON)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%w: its keys cannot be read: %w", ErrUntrusted, err)
	}
	m, err := oid4vc.ParseJWTVCIssuerMetadata(body, c.grant.Issuer)
	if err != nil {
		return keys.Public{}, err
	}
	set := m.JWKS
	if set == nil {
		resp, err := c.w.Web.Get(ctx, m.JWKSURI, oid4vc.MediaTypeJSON, "application/jwk-set+json")
		if err != nil {
			return keys.Public{}, err
		}
		if resp.Status != http.StatusOK {
			return keys.Public{}, fmt.Errorf("%w: its key set cannot be read", ErrUntrusted)
		}
		if set, err = oid4vc.ParseKeySet(resp.Body); err != nil {
			return keys.Public{}, err
		}
	}
	return set.Find(header.Kid)
}

// takeOwn takes an engagement, or a copy of an attestation. What is not in the registry yet is kept until it is.
func (c *collecting) takeOwn(ctx context.Context, compact string) error {
	it, err := c.w.receiveOnline(ctx, compact, c.list)
	if errors.Is(err, ErrNotLogged) {
		id, idErr := keys.ID(strings.SplitN(compact, "~", 2)[0])
		if idErr != nil {
			return idErr
		}
		c.report.Waiting = append(c.report.Waiting, id)
		return c.w.Store.Update(ctx, func(tx store.Tx) error { return store.SetJSON(tx, []byte(prefixWaiting+id), compact) })
	}
	if err != nil {
		return err
	}
	c.report.Items = append(c.report.Items, *it)
	c.grant.Taken = append(c.grant.Taken, it.ID) // by which the issuer names attestations
	return nil
}

// receiveOnline takes what an issuer sent. A copy of an attestation, which says under "logged" what it is a copy of, brings the disclosures of
// the one that the wallet has from the registry; the copy itself is not needed.
func (w *Wallet) receiveOnline(ctx context.Context, compact string, list *trustlist.List) (*Item, error) {
	d, err := w.verify(compact, list)
	if err != nil {
		return nil, err
	}
	logged, isCopy := d.Claims["logged"].(string)
	if !isCopy {
		return w.Receive(ctx, compact)
	}
	return w.join(ctx, logged, d.Disclosed, list)
}

// Settle tries again what the registry did not show when it came. It asks nobody but the registry.
func (w *Wallet) Settle(ctx context.Context, report *Collected) error {
	report.Waiting = []string{}
	return w.takeWaiting(ctx, report)
}

func (w *Wallet) takeWaiting(ctx context.Context, report *Collected) error {
	waiting := map[string]string{}
	err := w.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixWaiting), func(key, value []byte) error {
			var compact string
			err := json.Unmarshal(value, &compact)
			waiting[string(key)] = compact
			return err
		})
	})
	if err != nil || len(waiting) == 0 {
		return err
	}
	history, err := w.trust(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for key, compact := range waiting {
		it, err := w.receiveOnline(ctx, compact, history.Latest())
		switch {
		case errors.Is(err, ErrNotLogged):
			report.Waiting = append(report.Waiting, strings.TrimPrefix(key, prefixWaiting))
			continue
		case err != nil:
			errs = append(errs, err) // it stays, in case the registry was not to be reached
			continue
		}
		report.Items = append(report.Items, *it)
		errs = append(errs, w.Store.Update(ctx, func(tx store.Tx) error { return tx.Delete([]byte(key)) }))
	}
	return errors.Join(errs...)
}
