package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/spf13/cobra"

	"akashi/verifier"
)

// newDesk makes the reviewer's desk and the public pages over a verifier.
func (c *Config) newDesk(vp *verifier.VP) (*verifier.Desk, error) {
	v := c.Verifier
	cfg := verifier.DeskConfig{VP: vp, Retention: v.Retention, Submission: v.SubmissionRetention, Idle: v.SignInIdle, Longest: v.SignInLongest}
	var err error
	if cfg.TrustedProxies, err = parseNetworks(v.TrustedProxies); err != nil {
		return nil, err
	}
	method, err := c.signInMethod()
	if err != nil {
		return nil, err
	}
	cfg.SignIn = []verifier.SignInMethod{method}
	return verifier.NewDesk(cfg)
}

// signInMethod is how reviewers sign in: with the identity provider of the configuration, or with passkeys where there is none.
func (c *Config) signInMethod() (verifier.SignInMethod, error) {
	o := c.Verifier.OIDC
	if reflect.ValueOf(o).IsZero() {
		return verifier.NewPasskeys(c.Verifier.URL)
	}
	secret := ""
	if o.ClientSecret != "" {
		data, err := os.ReadFile(c.path(o.ClientSecret))
		if err != nil {
			return nil, fmt.Errorf("verifier.oidc.client_secret: %w", err)
		}
		secret = strings.TrimSpace(string(data))
	}
	return verifier.NewOIDC(verifier.OIDCConfig{
		Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: secret, Scopes: o.Scopes, Subjects: o.Subjects, Emails: o.Emails, Claim: o.Claim, Values: o.Values,
	})
}

// sweepEvery is how often the desk deletes what is kept no longer.
const sweepEvery = 10 * time.Minute

// sweeping deletes cases in the background when their time has come.
func (in *instance) sweeping(ctx context.Context) (stop func()) {
	return background(ctx, sweepEvery, func(ctx context.Context) {
		if n, err := in.desk.Sweep(ctx); err != nil && ctx.Err() == nil {
			in.opt.log.WarnContext(ctx, "cases whose time has come could not all be deleted", "error", err)
		} else if n > 0 {
			in.opt.log.InfoContext(ctx, "cases deleted: their time has come", "cases", n)
		}
	})
}

// deskCommand is something that the operator does to the desk: in the running service over its socket, or on the store itself.
type deskCommand[Req, Resp any] struct {
	path string
	do   func(context.Context, *verifier.Desk, Req) (*Resp, error)
}

func (c deskCommand[Req, Resp]) route(r *mux.Router, d *verifier.Desk) {
	r.HandleFunc(c.path, adminRoute(func(ctx context.Context, req Req) (*Resp, error) { return c.do(ctx, d, req) })).Methods(http.MethodPost)
}

func (c deskCommand[Req, Resp]) run(ctx context.Context, s streams, config string, req Req) (resp *Resp, err error) {
	cfg, err := loadConfig(config)
	if err != nil {
		return nil, err
	}
	if cfg.Verifier.URL == "" {
		return nil, fmt.Errorf("no verifier is configured: %s has no verifier.url", cfg.path(configName))
	}
	path := cfg.path(verifierSocketName)
	if client := dialSocket(path); client != nil {
		return callAdmin[Resp](ctx, client, c.path, req)
	}
	s.say("no verifier listens on %s: working on the store in %s", path, cfg.dir)
	st, err := cfg.openStore(nil, roleVerifier, "store")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	vp, err := cfg.newVerifier(verifier.VPConfig{Store: st, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	d, err := cfg.newDesk(vp)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, d, req)
}

// auditLog is what `akashi verifier audit` prints.
type auditLog struct {
	Lines  []verifier.AuditLine `json:"lines"`
	Broken string               `json:"broken,omitempty"` // why the lines after these cannot be believed
}

type nothing struct{}

var (
	readAudit = deskCommand[nothing, auditLog]{"/audit", func(ctx context.Context, d *verifier.Desk, _ nothing) (*auditLog, error) {
		lines, err := d.Audit(ctx)
		out := &auditLog{Lines: lines}
		if errors.Is(err, verifier.ErrAudit) {
			out.Broken, err = err.Error(), nil
		}
		return out, err
	}}
	listReviewers = deskCommand[nothing, []verifier.Reviewer]{"/reviewers", func(ctx context.Context, d *verifier.Desk, _ nothing) (*[]verifier.Reviewer, error) {
		all, err := d.Reviewers(ctx)
		return &all, err
	}}
	inviteReviewer = deskCommand[string, verifier.Invitation]{"/invite", func(ctx context.Context, d *verifier.Desk, name string) (*verifier.Invitation, error) {
		return d.Invite(ctx, name)
	}}
	removeReviewer = deskCommand[string, nothing]{"/remove", func(ctx context.Context, d *verifier.Desk, id string) (*nothing, error) {
		return &nothing{}, d.RemoveReviewer(ctx, id)
	}}
)

// deskRoutes serves what the operator does to the desk.
func deskRoutes(r *mux.Router, d *verifier.Desk) {
	readAudit.route(r, d)
	listReviewers.route(r, d)
	removeReviewer.route(r, d)
	inviteReviewer.route(r, d)
}

func newVerifierInvite(s streams) *cobra.Command {
	var config, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Invite a reviewer to make a passkey",
		Long: "Print a link with which one person makes a passkey, and signs in at the reviewer's desk with it from then on. The link works once, for an hour;\n" +
			"hand it over on a way on which nobody else sees it. The name of a reviewer gives them another passkey, for a new device. Where an identity\n" +
			"provider is configured (verifier.oidc), it says who may sign in, and nobody is invited.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				return &exitError{exitUsage, errors.New("--name is needed: that of the person, as the audit log will have it")}
			}
			out, err := inviteReviewer.run(cmd.Context(), s, config, name)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(out)
			}
			s.say("for %s, once, until %s:", out.Name, clock(out.Expires))
			fmt.Fprintln(s.out, out.Link)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&name, "name", "", "name of the person")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func newVerifierAudit(s streams) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Print who did what at the reviewer's desk",
		Long: "Print the audit log of the reviewer's desk, oldest line first: who signed in, opened, saw, saved or deleted which case, and when. It names\n" +
			"reviewers and cases, and nothing that a worker has shown. Each line has the hash of the one before: exit code 1 when a line was removed or\n" +
			"changed. Keep the hash of the last line elsewhere now and then (the service's log has each), to notice a log that was written anew.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := readAudit.run(cmd.Context(), s, config, nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				err = s.json(out)
			} else {
				printAudit(s, out.Lines)
			}
			if err == nil && out.Broken != "" {
				err = &exitError{exitFails, errors.New(out.Broken)}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func printAudit(s streams, lines []verifier.AuditLine) {
	for _, l := range lines {
		fmt.Fprintf(s.out, "%6d  %s  %-17s %-18s", l.N, clock(l.At), l.What, l.Who)
		for _, detail := range []string{l.Name, l.About, l.Case, l.Number, l.Reason} {
			if detail != "" {
				fmt.Fprintf(s.out, "  %s", detail)
			}
		}
		fmt.Fprintln(s.out)
	}
	if len(lines) > 0 {
		fmt.Fprintf(s.out, "\nhash of line %d: %s\n", lines[len(lines)-1].N, lines[len(lines)-1].Hash)
	}
}

func newVerifierReviewers(s streams) *cobra.Command {
	var config, remove string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reviewers",
		Short: "List the reviewers, or remove one",
		Long: "List everybody who is or was a reviewer: id, how they sign in, since when, and name. --remove ID ends a reviewer's sessions at once and keeps them\n" +
			"from signing in, also where an identity provider would let them; their cases stay for as long as cases are kept.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if remove != "" {
				if _, err := removeReviewer.run(cmd.Context(), s, config, remove); err != nil {
					return err
				}
				s.say("removed %s", remove)
			}
			all, err := listReviewers.run(cmd.Context(), s, config, nothing{})
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(map[string]any{"reviewers": *all})
			}
			for _, r := range *all {
				state := r.Method
				if r.Removed {
					state = "removed"
				}
				fmt.Fprintf(s.out, "%-16s  %-8s  %s  %s\n", r.ID, state, clock(r.Since), r.Name)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&remove, "remove", "", "id of a reviewer to remove")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
