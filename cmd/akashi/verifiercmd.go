package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/gorilla/mux"
	"github.com/spf13/cobra"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/verifier"
)

const (
	roleVerifier       = "verifier"
	fileVerifierKey    = "verifier-private.jwk" // signs the requests; made at the first start
	verifierSocketName = "verifier.sock"
)

// startVerifier serves the verifier for wallets, and takes requests from the owner of the folder over a socket.
func (in *instance) startVerifier(context.Context) error {
	if in.cfg.Verifier.Listen == "" || !in.cfg.runsRegistry() || !in.runs(roleVerifier) {
		return nil
	}
	st, err := in.openStore(roleVerifier, "store")
	if err != nil {
		return err
	}
	if in.statuses, err = in.cfg.sharedStatuses(in.opt.now); err != nil {
		return err
	}
	if in.verifier, err = in.cfg.newVerifier(verifier.VPConfig{Store: st, Statuses: in.statuses, Now: in.opt.now, Log: in.opt.log}); err != nil {
		return fmt.Errorf("verifier: %w", err)
	}
	if in.desk, err = in.cfg.newDesk(in.verifier); err != nil {
		return err
	}
	if err := in.serveSocket(verifierSocketName, verifierHandler(in.verifier, in.desk)); err != nil {
		return err
	}
	return in.listen(in.cfg.Verifier.ServiceConfig, in.desk.Handler())
}

// newVerifier completes the verifier's configuration: its key and certificate, and what it pins.
func (c *Config) newVerifier(v verifier.VPConfig) (*verifier.VP, error) {
	v.URL = c.Verifier.URL
	var err error
	if v.Key, err = c.verifierKey(); err != nil {
		return nil, err
	}
	// The certificate is of the folder's authority, which wallets are given with --ca, and is made anew at each start.
	ca, err := loadAuthority(c.path(fileCA), c.path(fileCAKey))
	if err != nil {
		return nil, err
	}
	x5c, err := ca.signer("Akashi verifier", c.Host, v.Key.Public().Crypto(), v.Now())
	if err != nil {
		return nil, err
	}
	if v.Chain, err = keys.ParseChain(x5c); err != nil {
		return nil, err
	}
	if v.AdminToken, err = c.adminToken(); err != nil {
		return nil, err
	}
	if v.Roots, err = each(c, c.Verifier.IssuerRoots, readCertificate); err != nil {
		return nil, err
	}
	if v.Trust, err = c.trust(); err != nil {
		return nil, err
	}
	if v.Registry, err = c.registryClient(); err != nil {
		return nil, err
	}
	return verifier.NewVP(v)
}

// adminToken reads the token with which requests may be made over HTTP.
func (c *Config) adminToken() (string, error) {
	if c.Verifier.AdminToken == "" {
		return "", nil
	}
	data, err := os.ReadFile(c.path(c.Verifier.AdminToken))
	if err != nil {
		return "", fmt.Errorf("verifier.admin_token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 32 {
		return "", errors.New("verifier.admin_token: the token must have at least 32 characters; make one with: openssl rand -hex 32")
	}
	return token, nil
}

// verifierKey reads the key that signs requests, and makes one where there is none.
func (c *Config) verifierKey() (*keys.Private, error) {
	path := c.path(fileVerifierKey)
	jwk, err := os.ReadFile(path)
	if err == nil {
		return keys.ParsePrivate(jwk)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	if jwk, err = key.MarshalJWK(); err != nil {
		return nil, err
	}
	return key, writeFile(path, jwk, 0o600)
}

// presentationRequest is what `akashi verifier request` asks the running verifier for.
type presentationRequest struct {
	Query           *dcql.Query        `json:"dcql_query"` // nil: an assessment
	OneStep         bool               `json:"one_step"`
	From            attestation.Period `json:"from"`
	To              attestation.Period `json:"to"`
	TransactionData []string           `json:"transaction_data"`
	Prefix          string             `json:"client_id_prefix"`
	Mode            string             `json:"response_mode"`
	Post            bool               `json:"post"`
}

// presentationWait waits until a session is final or has come beyond a step.
type presentationWait struct {
	ID   string `json:"id"`
	Step int    `json:"step"`
}

var errNextStep = errors.New("the session has come to its next step")

// verifierHandler serves the verifier over the socket.
func verifierHandler(v *verifier.VP, d *verifier.Desk) http.Handler {
	r := mux.NewRouter()
	deskRoutes(r, d)
	r.HandleFunc("/request", adminRoute(func(ctx context.Context, req presentationRequest) (*verifier.View, error) {
		return v.Create(ctx, verifier.CreateOptions{Query: req.Query, OneStep: req.OneStep, From: req.From, To: req.To, TransactionData: req.TransactionData,
			Prefix: req.Prefix, Mode: req.Mode, Post: req.Post})
	})).Methods(http.MethodPost)
	r.HandleFunc("/wait", adminRoute(func(ctx context.Context, req presentationWait) (*verifier.View, error) {
		view, err := v.Follow(ctx, req.ID, func(now *verifier.View) error {
			if now.Status == verifier.Waiting && now.Step > req.Step {
				return errNextStep
			}
			return nil
		})
		if errors.Is(err, errNextStep) {
			err = nil
		}
		return view, err
	})).Methods(http.MethodPost)
	return r
}

// requestFlags are the flags of `akashi verifier request`.
type requestFlags struct {
	config, dcql, prefix, mode, transactions string
	from, to                                 string
	assessment, oneStep, post, wait          bool
}

func newVerifier(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "verifier", Short: "Ask wallets for presentations, and keep the reviewer's desk"}
	cmd.AddCommand(newVerifierRequest(s), newVerifierInvite(s), newVerifierReviewers(s), newVerifierAudit(s))
	return cmd
}

func newVerifierRequest(s streams) *cobra.Command {
	var o requestFlags
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Ask a wallet for credentials and print the link for it",
		Long: "Print the link of a presentation request (OpenID4VP) for a wallet; it is good for one answer within five minutes. --dcql is a file with a\n" +
			"DCQL query; --assessment asks in two steps for an engagement and what a judgement of it needs, with --one-step in one, of the months\n" +
			"--from to --to (at most 24; by default the last twelve). With --wait the command goes on until the wallet has answered, prints the link of the second step where there is one, and then the result as one line of JSON. Exit code 0:\n" +
			"answered and verified; 1: refused, failed or expired.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "config.yaml of the instance")
	f.StringVar(&o.dcql, "dcql", "", "file with the DCQL query")
	f.BoolVar(&o.assessment, "assessment", false, "in place of --dcql: ask for what an assessment needs")
	f.BoolVar(&o.oneStep, "one-step", false, "with --assessment: ask once, before the plan of the engagement is known")
	f.StringVar(&o.from, "from", "", "with --assessment: first month, as 2026-01")
	f.StringVar(&o.to, "to", "", "with --assessment: last month")
	f.StringVar(&o.transactions, "transaction-data", "", "with --dcql: file with a JSON array of transactions for the holder to agree to")
	f.StringVar(&o.prefix, "client-id-prefix", "", "x509_hash (default), x509_san_dns, decentralized_identifier or redirect_uri")
	f.StringVar(&o.mode, "response-mode", "", "direct_post.jwt (default) or direct_post")
	f.BoolVar(&o.post, "post", false, "the wallet fetches the request by POST")
	f.BoolVar(&o.wait, "wait", false, "wait for the answer and print it")
	return cmd
}

// readTransactions reads a file of transactions, each of which goes to the wallet in base64url (OpenID4VP 1.0, Section 5.1); no file has none.
func readTransactions(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var transactions []json.RawMessage
	if err := keys.DecodeJSON(data, &transactions); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := make([]string, len(transactions))
	for i, t := range transactions {
		out[i] = base64.RawURLEncoding.EncodeToString(t)
	}
	return out, nil
}

func (o *requestFlags) run(ctx context.Context, s streams) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return err
	}
	if (o.dcql == "") != o.assessment {
		return &exitError{exitUsage, errors.New("one of --dcql and --assessment is needed")}
	}
	if !o.assessment && (o.oneStep || o.from != "" || o.to != "") || o.assessment && o.transactions != "" {
		return &exitError{exitUsage, errors.New("--one-step, --from and --to go with --assessment, --transaction-data with --dcql")}
	}
	if err := checkMonths(o.from, o.to); err != nil {
		return err
	}
	req := presentationRequest{OneStep: o.oneStep, From: attestation.Period(o.from), To: attestation.Period(o.to), Prefix: o.prefix, Mode: o.mode, Post: o.post}
	if req.TransactionData, err = readTransactions(o.transactions); err != nil {
		return &exitError{exitUsage, err}
	}
	if o.dcql != "" {
		text, err := os.ReadFile(o.dcql)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		if req.Query, err = dcql.Parse(text); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", o.dcql, err)}
		}
	}
	client := dialSocket(cfg.path(verifierSocketName))
	if client == nil {
		return fmt.Errorf("no verifier runs on %s: start akashi serve; a configuration made before has no verifier until it gets verifier.listen and verifier.url", cfg.path(configName))
	}
	view, err := callAdmin[verifier.View](ctx, client, "/request", req)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, view.Link)
	for o.wait && !view.Status.IsFinal() {
		if view, err = callAdmin[verifier.View](ctx, client, "/wait", presentationWait{view.ID, view.Step}); err != nil {
			return err
		}
		if view.Link != "" {
			fmt.Fprintln(s.out, view.Link)
		}
	}
	if !o.wait {
		return nil
	}
	if err := s.json(view); err != nil {
		return err
	}
	if view.Status != verifier.Answered {
		return &exitError{exitFails, fmt.Errorf("the request was %s: %s", view.Status, view.Reason)}
	}
	return nil
}
