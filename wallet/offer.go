package wallet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/oid4vc"
	"akashi/registry/trustlist"
)

// Offer is a credential offer with what the wallet found out about it, for the person to decide on.
type Offer struct {
	Issuer      string              `json:"issuer"`           // identifier
	Entity      string              `json:"entity,omitempty"` // id on the trust list; empty for an unknown issuer
	Names       map[string]string   `json:"names"`            // by language: the trust list's, or what an unknown issuer says of itself
	Signed      bool                `json:"signed"`           // the metadata are signed by the entity
	Credentials []OfferedCredential `json:"credentials"`
	Grant       string              `json:"grant"`             // that is going to be used
	TxCode      *oid4vc.TxCode      `json:"tx_code,omitempty"` // a transaction code is needed

	offer    *oid4vc.CredentialOffer
	metadata *oid4vc.IssuerMetadata
	server   *oid4vc.ServerMetadata
}

// OfferedCredential is one kind of credential in an offer.
type OfferedCredential struct {
	Configuration string            `json:"configuration"`
	VCT           string            `json:"vct"`
	Names         map[string]string `json:"names"` // by language
}

var (
	// ErrOffer is returned for an offer that cannot be had any more, or that is none.
	ErrOffer = errors.New("the offer cannot be read: it may be used or expired, so ask the issuer for another")
	// ErrUnknownIssuer is returned where the issuer is not on the trust list. It is a stop, not a warning.
	ErrUnknownIssuer = errors.New("the issuer is not a registered organization: do not go on, and ask for help")
	// ErrMetadata is returned for metadata of an issuer that are malformed, or about another.
	ErrMetadata = errors.New("what the issuer says about itself is not in order")
)

// OpenOffer reads the link of an offer and everything that is needed to decide on it. Nothing is asked for yet.
func (w *Wallet) OpenOffer(ctx context.Context, link string) (*Offer, error) {
	if w.Web == nil {
		return nil, ErrOffline
	}
	history, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	credentials, err := w.fetchOffer(ctx, link)
	if err != nil {
		return nil, err
	}
	o := &Offer{Issuer: credentials.CredentialIssuer, offer: credentials}
	if err := w.readIssuer(ctx, o, history.Latest()); err != nil {
		return nil, err
	}
	for _, id := range credentials.ConfigurationIDs {
		c, ok := o.metadata.Configurations[id]
		if !ok {
			return nil, fmt.Errorf("%w: it offers %q, of which its metadata know nothing", ErrMetadata, id)
		}
		if c.Format != oid4vc.FormatSDJWTVC {
			return nil, fmt.Errorf("%w: %q is in the format %q", ErrUnusable, id, c.Format)
		}
		o.Credentials = append(o.Credentials, OfferedCredential{id, c.VCT, namesOf(c.Metadata)})
	}
	return o, w.chooseGrant(ctx, o)
}

func namesOf(m *oid4vc.CredentialMetadata) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return names(m.Display)
}

func names(display []oid4vc.Display) map[string]string {
	out := map[string]string{}
	for _, d := range display {
		if _, ok := out[d.Locale]; !ok {
			out[d.Locale] = d.Name
		}
	}
	return out
}

func (w *Wallet) fetchOffer(ctx context.Context, link string) (*oid4vc.CredentialOffer, error) {
	l, err := oid4vc.ParseOfferLink(link)
	if err != nil {
		return nil, err
	}
	if l.Offer != nil {
		return l.Offer, nil
	}
	body, err := w.document(ctx, l.URI, oid4vc.MediaTypeJSON)
	if err != nil {
		return nil, errors.Join(ErrOffer, err)
	}
	return oid4vc.ParseOffer(body)
}

// document fetches a document that must be there, in the media type asked for.
func (w *Wallet) document(ctx context.Context, target, mediaType string) ([]byte, error) {
	resp, err := w.Web.Get(ctx, target, mediaType)
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK || resp.MediaType != mediaType {
		return nil, fmt.Errorf("the answer has status %d and type %q", resp.Status, resp.MediaType)
	}
	return resp.Body, nil
}

// readIssuer reads the issuer's metadata and finds it on the trust list.
func (w *Wallet) readIssuer(ctx context.Context, o *Offer, list *trustlist.List) error {
	entity := entityOf(list, o.Issuer, attestation.DateOf(w.Now()))
	if entity != nil {
		o.Entity, o.Names = entity.ID, entity.Name
	}
	var err error
	if o.metadata, o.Signed, err = w.issuerMetadata(ctx, o.Issuer, list); err != nil {
		return errors.Join(ErrMetadata, err)
	}
	if entity == nil {
		o.Names = names(o.metadata.Display)
	}
	return nil
}

// entityOf returns who is listed with the issuer identifier on the day, nil for nobody.
func entityOf(list *trustlist.List, issuer string, day attestation.Date) *trustlist.Entity {
	for _, e := range list.Entities {
		if e.Issuer == issuer && !day.Before(e.From) && (e.Until.IsZero() || !e.Until.Before(day)) {
			return e
		}
	}
	return nil
}

// issuerMetadata reads credential issuer metadata: signed by a listed key of the issuer where it can be had, else as it stands under https.
func (w *Wallet) issuerMetadata(ctx context.Context, issuer string, list *trustlist.List) (m *oid4vc.IssuerMetadata, signed bool, err error) {
	target, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, issuer)
	if err != nil {
		return nil, false, err
	}
	resp, err := w.Web.Get(ctx, target, oid4vc.MediaTypeJWT, oid4vc.MediaTypeJSON)
	if err != nil {
		return nil, false, err
	}
	if resp.Status == http.StatusOK && resp.MediaType == oid4vc.MediaTypeJWT {
		u, err := oid4vc.ParseSignedIssuerMetadata(strings.TrimSpace(string(resp.Body)))
		if err != nil {
			return nil, false, err
		}
		if entity, key, err := list.EntityForHeader(u.Header(), w.Now()); err == nil && entity.Issuer == issuer {
			m, err := u.Verify(key, issuer, w.Now())
			return m, err == nil, err
		}
	}
	body, err := w.document(ctx, target, oid4vc.MediaTypeJSON) // signed by nobody whom we know: the signature says nothing
	if err != nil {
		return nil, false, err
	}
	m, err = oid4vc.ParseIssuerMetadata(body, issuer)
	return m, false, err
}

func (w *Wallet) serverMetadata(ctx context.Context, issuer string) (*oid4vc.ServerMetadata, error) {
	target, err := oid4vc.WellKnown(oid4vc.WellKnownAuthorizationServer, issuer)
	if err != nil {
		return nil, err
	}
	body, err := w.document(ctx, target, oid4vc.MediaTypeJSON)
	if err != nil {
		return nil, err
	}
	return oid4vc.ParseServerMetadata(body, issuer)
}

// chooseGrant picks the grant and its authorization server. With a pre-authorized code in hand no other way is taken: the person was given it.
func (w *Wallet) chooseGrant(ctx context.Context, o *Offer) error {
	hint := ""
	o.Grant = oid4vc.GrantAuthorizationCode
	if g := o.offer.Grants; g != nil && g.PreAuthorizedCode != nil {
		o.Grant, o.TxCode, hint = oid4vc.GrantPreAuthorizedCode, g.PreAuthorizedCode.TxCode, g.PreAuthorizedCode.AuthorizationServer
	} else if g != nil && g.AuthorizationCode != nil {
		hint = g.AuthorizationCode.AuthorizationServer
	}
	servers, err := o.metadata.Servers(hint)
	if err != nil {
		return errors.Join(ErrMetadata, err)
	}
	for _, server := range servers {
		m, err := w.serverMetadata(ctx, server)
		if err != nil {
			return fmt.Errorf("%w: its authorization server: %w", ErrMetadata, err)
		}
		// A server that is named alone is asked even when it lists no grants: without a list RFC 8414 has one that knows no pre-authorized codes.
		if m.Supports(o.Grant) || len(servers) == 1 && len(m.GrantTypesSupported) == 0 {
			o.server = m
			return nil
		}
	}
	return fmt.Errorf("%w: none of its authorization servers has the grant that it offers", ErrUnusable)
}

// usesDetails tells whether a credential is asked for by authorization_details: where it has no scope, and for attestations, of which the
// server then names each one.
func (o *Offer) usesDetails(configuration string) bool {
	c := o.metadata.Configurations[configuration]
	typ, err := attestation.TypeOf(c.VCT)
	listed := err == nil && typ != attestation.TypeEngagement && slices.Contains(o.server.DetailsTypesSupported, oid4vc.TypeOpenIDCredential)
	return c.Scope == "" || listed
}
