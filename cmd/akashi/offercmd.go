package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"akashi/internal/statuslist"
	"akashi/issuer"
)

type offerRequest struct {
	Org string `json:"org"`
	issuer.OfferRequest
}

type revokeRequest struct {
	Org string `json:"org"` // empty: whichever issued it
	ID  string `json:"id"`
	issuer.Revocation
}

// Offer makes a credential offer.
func (a *localAdmin) Offer(ctx context.Context, req offerRequest) (*issuer.Offer, error) {
	return a.issuer.MakeOffer(ctx, req.Org, req.OfferRequest)
}

// Revoke revokes what has the ID, of the organization that issued it.
func (a *localAdmin) Revoke(ctx context.Context, req revokeRequest) (*issuer.Revoked, error) {
	orgs := []string{req.Org}
	if req.Org == "" {
		var err error
		if orgs, err = a.issuer.Orgs(ctx); err != nil {
			return nil, err
		}
	}
	for _, org := range orgs {
		revoked, err := a.issuer.Revoke(ctx, org, req.ID, req.Revocation)
		if !errors.Is(err, issuer.ErrUnknownCredential) {
			return revoked, err
		}
	}
	return nil, issuer.ErrUnknownCredential
}

func (a *remoteAdmin) Offer(ctx context.Context, req offerRequest) (*issuer.Offer, error) {
	return callAdmin[issuer.Offer](ctx, a.client, "/offer", req)
}

func (a *remoteAdmin) Revoke(ctx context.Context, req revokeRequest) (*issuer.Revoked, error) {
	return callAdmin[issuer.Revoked](ctx, a.client, "/revoke", req)
}

// offerFlags are the flags of `akashi issuer offer`.
type offerFlags struct {
	config, org, typ, claims, reference, txCode, grant, scheme, qr string
	example, byValue, json                                         bool
}

func newOffer(s streams) *cobra.Command {
	var o offerFlags
	cmd := &cobra.Command{
		Use:   "offer",
		Short: "Offer a credential to one person's wallet and print the link for it",
		Long: "Print a credential offer (OpenID4VCI) for one person. The link is a secret: whoever has it, and the --tx-code where one is set, can\n" +
			"collect the credential, once, within 24 hours. An engagement is made when the wallet collects it, for the wallet's own key. Of\n" +
			"attestations a worker collects copies: name the worker by --reference. An --example of an attestation is logged nowhere and counts\n" +
			"for nothing.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(o.config)
			if err != nil {
				return err
			}
			req, err := o.request()
			if err != nil {
				return err
			}
			a, done, err := openAdmin(s, cfg)
			if err != nil {
				return err
			}
			offer, err := a.Offer(cmd.Context(), *req)
			if err := errors.Join(err, done()); err != nil {
				return err
			}
			return o.print(s, offer)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "config.yaml of the instance")
	f.StringVar(&o.org, "org", "", "id of the organization that issues")
	f.StringVar(&o.typ, "type", "", "what: engagement, a type of attestation, staff-card, or another configuration of the instance")
	f.StringVar(&o.claims, "claims", "", "JSON file of the claims, of an engagement or an operator's own type")
	f.BoolVar(&o.example, "example", false, "fresh valid claims instead of a file")
	f.StringVar(&o.reference, "reference", "", "of attestations: the worker's number here; of an engagement: the number it gets")
	f.StringVar(&o.txCode, "tx-code", "", "code that the person must enter, told on another way")
	f.StringVar(&o.grant, "grant", "pre-authorized", "pre-authorized or authorization")
	f.BoolVar(&o.byValue, "by-value", false, "put the whole offer into the link")
	f.StringVar(&o.scheme, "scheme", "", "begin the link with haip-vci:// or the https address of a wallet")
	f.StringVar(&o.qr, "qr", "", "also draw the link into this file, .png or .svg")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	return cmd
}

func (o *offerFlags) request() (*offerRequest, error) {
	req := &offerRequest{o.org, issuer.OfferRequest{Type: o.typ, Example: o.example, Reference: o.reference, TxCode: o.txCode, ByValue: o.byValue, Scheme: o.scheme}}
	switch o.grant {
	case "pre-authorized":
	case "authorization":
		req.Authorize = true
	default:
		return nil, &exitError{exitUsage, fmt.Errorf("--grant %q: pre-authorized or authorization", o.grant)}
	}
	if o.qr != "" && o.draw() == nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--qr %s: a file that ends with .png or .svg", o.qr)}
	}
	if o.claims == "" {
		return req, nil
	}
	data, err := os.ReadFile(o.claims)
	if err == nil && !json.Valid(data) {
		err = fmt.Errorf("%s is no JSON", o.claims)
	}
	req.Claims = data
	return req, err
}

// draw is how the QR code's file is drawn, nil for an unknown kind of file.
func (o *offerFlags) draw() func(string) ([]byte, error) {
	switch strings.ToLower(filepath.Ext(o.qr)) {
	case ".png":
		return issuer.QRPNG
	case ".svg":
		return issuer.QRSVG
	}
	return nil
}

func (o *offerFlags) print(s streams, offer *issuer.Offer) error {
	if o.qr != "" {
		image, err := o.draw()(offer.Link)
		if err != nil {
			return err
		}
		if err := writeFile(o.qr, image, 0o600); err != nil {
			return err
		}
	}
	if o.json {
		return s.json(offer)
	}
	fmt.Fprintln(s.out, offer.Link)
	return nil
}

func newRevoke(s streams) *cobra.Command {
	var config string
	var req revokeRequest
	var suspend, resume, asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke, suspend or resume a credential",
		Long: "Revoke the credential with the ID, or a logged attestation with all its copies; that also writes to the registry that the attestation\n" +
			"was taken back. Revoking is for good. An engagement cannot be revoked.",
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Reason == "" || suspend && resume {
				return &exitError{exitUsage, errors.New("--reason is needed, and at most one of --suspend and --resume")}
			}
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			if req.ID, req.Status = args[0], statuslist.Invalid; suspend {
				req.Status = statuslist.Suspended
			} else if resume {
				req.Status = statuslist.Valid
			}
			a, done, err := openAdmin(s, cfg)
			if err != nil {
				return err
			}
			revoked, err := a.Revoke(cmd.Context(), req)
			if err := errors.Join(err, done()); err != nil {
				return err
			}
			return printRevoked(s, revoked, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&req.Org, "org", "", "id of the organization that issued it; default: whichever did")
	f.StringVar(&req.Reason, "reason", "", "why; kept with the organization's records")
	f.BoolVar(&suspend, "suspend", false, "suspend, instead of revoking for good")
	f.BoolVar(&resume, "resume", false, "end a suspension")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func printRevoked(s streams, r *issuer.Revoked, asJSON bool) error {
	if asJSON {
		return s.json(r)
	}
	for _, id := range r.Credentials {
		fmt.Fprintln(s.out, id)
	}
	switch {
	case r.Recorded:
		s.say("the attestation is taken back in the registry")
	case r.Withdrawn != "":
		s.say("the registry gave no receipt yet: that the attestation is taken back is stored and sent again by itself")
	}
	return nil
}
