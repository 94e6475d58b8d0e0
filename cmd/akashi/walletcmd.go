package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/scrypt"
	"golang.org/x/term"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/wallet"
)

// walletFile is DIR/wallet.json: what is needed to open the store beside it.
type walletFile struct {
	Registry string `json:"registry"` // URL
	CA       string `json:"ca,omitempty"`
	Salt     []byte `json:"salt"`
	LogN     int    `json:"log_n"` // scrypt work factor, as a power of two
}

const (
	walletFileName = "wallet.json"
	walletStore    = "store"
	scryptLogN     = 16 // about 0.1 s and 64 MiB
	envPassphrase  = "AKASHI_PASSPHRASE"
)

// walletFlags are the flags that all wallet commands share.
type walletFlags struct {
	dir, ca string
	json    bool
}

func newWallet(s streams) *cobra.Command {
	var w walletFlags
	cmd := &cobra.Command{Use: "wallet", Short: "Hold, receive, state and present"}
	cmd.PersistentFlags().StringVar(&w.dir, "wallet", "", "folder of the wallet")
	cmd.PersistentFlags().StringVar(&w.ca, "ca", "", "PEM file of the certificate authority to trust besides the system's")
	cmd.PersistentFlags().BoolVar(&w.json, "json", false, "print one JSON document")
	cmd.AddCommand(w.newInit(s), w.newPin(s), w.newReceive(s), w.newSync(s), w.newRefresh(s), w.newList(s), w.newShow(s), w.newStatement(s), w.newErase(s), w.newPresent(s), w.newLog(s),
		w.newBackup(s), w.newRestore(s), w.newExport(s))
	return cmd
}

// with opens the wallet for one command.
func (f *walletFlags) with(s streams, do func(context.Context, *wallet.Wallet, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		st, cfg, err := f.open(s)
		if err != nil {
			return err
		}
		w, err := wallet.Open(cmd.Context(), *cfg)
		if err == nil {
			err = nameCA(do(cmd.Context(), w, args))
		}
		return errors.Join(err, st.Close())
	}
}

// nameCA says what to do about a server whose certificate nobody whom this machine trusts has signed.
func nameCA(err error) error {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("%w; nobody known vouches for this service. Only where you know who runs it, give the file of its own authority with --ca: DIR/ca.pem of the folder that akashi init made", err)
	}
	return err
}

func (f *walletFlags) open(s streams) (store.Store, *wallet.Config, error) {
	file, err := f.file()
	if err != nil {
		return nil, nil, err
	}
	pass, err := passphrase(s, false)
	if err != nil {
		return nil, nil, err
	}
	return f.openStore(*file, pass)
}

func (f *walletFlags) file() (*walletFile, error) {
	if f.dir == "" {
		return nil, &exitError{exitUsage, errors.New("--wallet DIR is needed")}
	}
	data, err := os.ReadFile(filepath.Join(f.dir, walletFileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", f.dir, wallet.ErrNoWallet)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the wallet: %w", err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, walletStore)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: the wallet's documents are gone; do not make a new wallet, its keys would be others: bring them back with `akashi wallet restore` from the backup file", f.dir)
	}
	file := new(walletFile)
	if err := json.Unmarshal(data, file); err != nil {
		return nil, fmt.Errorf("%s: %w", walletFileName, err)
	}
	return file, nil
}

func (f *walletFlags) openStore(file walletFile, pass []byte) (store.Store, *wallet.Config, error) {
	if f.ca != "" {
		file.CA = f.ca
	}
	client, err := httpClient(file.CA)
	if err != nil {
		return nil, nil, err
	}
	issuers, err := fetcher(file.Registry, file.CA)
	if err != nil {
		return nil, nil, err
	}
	roots, err := authorities(file.CA)
	if err != nil {
		return nil, nil, err
	}
	key, err := scrypt.Key(pass, file.Salt, 1<<file.LogN, 8, 1, 32)
	if err != nil {
		return nil, nil, err
	}
	st, err := store.OpenBadger(filepath.Join(f.dir, walletStore), key, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the wallet, is the passphrase right? %w", err)
	}
	return st, &wallet.Config{Store: st, Registry: &registry.Client{BaseURL: file.Registry, HTTP: client}, Web: issuers, VerifierRoots: roots}, nil
}

// passphrase takes AKASHI_PASSPHRASE, or asks on a terminal; twice for a new wallet.
func passphrase(s streams, isNew bool) ([]byte, error) {
	if p, ok := os.LookupEnv(envPassphrase); ok {
		return []byte(p), nil
	}
	f, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, &exitError{exitUsage, errors.New("no terminal to ask for the passphrase: set " + envPassphrase)}
	}
	ask := func(prompt string) ([]byte, error) {
		fmt.Fprint(s.err, prompt)
		defer fmt.Fprintln(s.err)
		return term.ReadPassword(int(f.Fd()))
	}
	p, err := ask("Passphrase: ")
	if err != nil || !isNew {
		return p, err
	}
	again, err := ask("Again: ")
	if err == nil && string(again) != string(p) {
		err = errors.New("the two are not the same")
	}
	return p, err
}

func (f *walletFlags) newInit(s streams) *cobra.Command {
	var registryURL, anchorPath, origin, policy string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a wallet; print its public key and delivery proof",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.dir == "" || registryURL == "" || anchorPath == "" {
				return &exitError{exitUsage, errors.New("--wallet DIR, --registry URL and --trust-anchor FILE are needed")}
			}
			anchor, err := loadAnchor(anchorPath)
			if err != nil {
				return err
			}
			if origin == "" {
				u, err := url.Parse(registryURL)
				if err != nil || u.Host == "" {
					return &exitError{exitUsage, fmt.Errorf("--registry %q is no URL", registryURL)}
				}
				origin = u.Host + strings.TrimSuffix(u.Path, "/")
			}
			return f.create(cmd.Context(), s, registryURL, origin, policy, anchor)
		},
	}
	cmd.Flags().StringVar(&registryURL, "registry", "", "URL of the registry")
	cmd.Flags().StringVar(&origin, "origin", "", "name of the registry's log; default the URL without https://")
	cmd.Flags().StringVar(&policy, "policy", "", "folder with policy and policy-auditors to pin; without it the registry's word is taken")
	cmd.Flags().StringVar(&anchorPath, "trust-anchor", "", "file of the trust anchor's public JWK")
	return cmd
}

func (f *walletFlags) create(ctx context.Context, s streams, registryURL, origin, policy string, anchor keys.Public) error {
	var w *wallet.Wallet
	err := f.fill(s, registryURL, func(cfg wallet.Config) (err error) {
		if w, err = wallet.Create(ctx, cfg, origin, anchor); err == nil && policy != "" {
			err = pinPolicies(ctx, w, policy)
		}
		return err
	})
	if err != nil {
		return err
	}
	proof, err := w.DeliveryProof()
	if err != nil {
		return err
	}
	s.say("made a wallet in %s; give the employer both values, and nobody the folder", f.dir)
	return s.json(struct {
		HolderJWK     json.RawMessage `json:"holder_jwk"`
		DeliveryProof string          `json:"delivery_proof"`
	}{w.PublicJWK(), proof})
}

// fill makes the folder of a new wallet, with a store under a new passphrase, and lets put fill it.
func (f *walletFlags) fill(s streams, registryURL string, put func(wallet.Config) error) error {
	path := filepath.Join(f.dir, walletFileName)
	if _, err := os.Stat(path); err == nil {
		return wallet.ErrWallet
	}
	pass, err := passphrase(s, true)
	if err != nil {
		return err
	}
	file := walletFile{Registry: strings.TrimSuffix(registryURL, "/"), Salt: make([]byte, 16), LogN: scryptLogN}
	if f.ca != "" {
		if file.CA, err = filepath.Abs(f.ca); err != nil {
			return err
		}
	}
	if _, err := rand.Read(file.Salt); err != nil {
		return err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	st, cfg, err := f.openStore(file, pass)
	if err != nil {
		return err
	}
	data, err := json.Marshal(file)
	if err == nil {
		err = put(*cfg)
	}
	if err == nil {
		err = writeFile(path, data, 0o600)
	}
	if err != nil { // the store was made just now, for a wallet that there will not be: the next try needs its place
		return errors.Join(err, st.Close(), os.RemoveAll(filepath.Join(f.dir, walletStore)))
	}
	return st.Close()
}

func (f *walletFlags) newSync(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "sync",
		Short: "Collect what is new from the registry, send own statements that wait",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) error {
			report, err := w.Sync(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return s.json(report)
			}
			for _, it := range report.New {
				fmt.Fprintf(s.out, "new: %s %s from %s (%s)\n", it.Type, it.Period, it.Issuer, it.ID)
			}
			printStatuses(s, report.Statuses)
			for _, place := range report.Junk {
				fmt.Fprintf(s.out, "not valid, counts for nothing: %s\n", place)
			}
			for _, place := range report.Unavailable {
				fmt.Fprintf(s.out, "recorded, but the registry does not give it now: %s\n", place)
			}
			if report.Incomplete > 0 {
				s.say("%d came without all their parts: ask their issuers with `akashi wallet refresh`", report.Incomplete)
			}
			s.say("%d new, %d statements sent", len(report.New), report.Sent)
			f.sayHowRead(s, report)
			return nil
		}),
	}
}

// printStatuses says what became of credentials that the wallet had.
func printStatuses(s streams, changes []wallet.StatusChange) {
	for _, c := range changes {
		fmt.Fprintf(s.out, "now %s, was %s: %s\n", c.Is, orNone(c.Was), c.ID)
	}
}

// sayHowRead says what the registry learned, and whether its word was checked.
func (f *walletFlags) sayHowRead(s streams, report *wallet.SyncReport) {
	switch {
	case !report.Proven:
		s.say("note: this wallet pins no policy, so it asked for its own keys, which the registry sees, and took the registry's word; see akashi wallet pin --help")
	case report.AsOf != nil:
		s.say("proven complete until %s", report.AsOf.UTC().Format(time.RFC3339))
		if time.Since(*report.AsOf) > time.Hour {
			s.say("note: that is long ago; what was recorded since may be missing here, so sync again later")
		}
	}
}

func (f *walletFlags) newPin(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "pin DIR",
		Short: "Pin the witnesses and auditors of the registry: DIR/policy and DIR/policy-auditors",
		Long: "Pin the witnesses and auditors of the registry, once and for good. From then on the wallet reads the registry in whole buckets, so that\n" +
			"it does not show which records it wants, and takes nothing without proof.",
		Args: exactArgs("DIR"),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			if err := pinPolicies(ctx, w, args[0]); err != nil {
				return err
			}
			s.say("pinned the witnesses and auditors of %s", args[0])
			if f.json {
				return s.json(map[string]bool{"pinned": true})
			}
			return nil
		}),
	}
}

func pinPolicies(ctx context.Context, w *wallet.Wallet, dir string) error {
	witnesses, auditors, err := loadPolicies(filepath.Join(dir, filePolicy), filepath.Join(dir, fileAuditors))
	if err != nil {
		return err
	}
	return w.Pin(ctx, witnesses, auditors)
}

func (f *walletFlags) newList(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what the wallet holds",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) error {
			items, err := w.List(ctx)
			if err != nil {
				return err
			}
			held, err := w.Credentials(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return s.json(struct {
					Documents   []wallet.Item       `json:"documents"`
					Credentials []wallet.Credential `json:"credentials"`
				}{items, held})
			}
			for _, it := range items {
				fmt.Fprintf(s.out, "%s  %-20s %-9s %s\n", it.ID, it.Type, it.Period, it.Issuer)
			}
			for _, c := range held {
				fmt.Fprintf(s.out, "%s  %-20s %-9s %s\n", c.ID, inWords(c.Names), c.Status, c.Issuer)
			}
			return nil
		}),
	}
}

func (f *walletFlags) newShow(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one document with its claims",
		Args:  exactArgs("ID"),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			it, err := w.Show(ctx, args[0])
			if errors.Is(err, wallet.ErrUnknownID) {
				return f.showCredential(ctx, s, w, args[0])
			}
			if err != nil {
				return err
			}
			if err := f.printItem(s, it); err != nil || f.json {
				return err
			}
			fmt.Fprintf(s.out, "%s\n", it.Claims)
			return nil
		}),
	}
}

func (f *walletFlags) showCredential(ctx context.Context, s streams, w *wallet.Wallet, id string) error {
	held, err := w.Credentials(ctx)
	if err != nil {
		return err
	}
	for _, c := range held {
		switch {
		case c.ID != id:
		case f.json:
			return s.json(c)
		default:
			checked := ""
			if c.Checked != nil {
				checked = " at " + clock(*c.Checked)
			}
			fmt.Fprintf(s.out, "%s\n%s (%s) from %s, status %s%s\n%s\n", c.ID, inWords(c.Names), c.VCT, c.Issuer, orNone(c.Status), checked, c.Claims)
			return nil
		}
	}
	return wallet.ErrUnknownID
}

// printItem says what a document is, and not what it says: that is for `akashi wallet show`, since others may look at the screen.
func (f *walletFlags) printItem(s streams, it *wallet.Item) error {
	if f.json {
		return s.json(it)
	}
	recorded := "not yet recorded"
	if it.Index != nil {
		recorded = fmt.Sprintf("recorded at log position %d", *it.Index)
	}
	from := it.Issuer
	if from == "" {
		from = "yourself"
	}
	fmt.Fprintf(s.out, "%s\n%s from %s, %s\n", it.ID, it.Type, from, recorded)
	return nil
}

// statementFlags are the claims of an own statement.
type statementFlags struct {
	engagement, kind, date, stream, period, obligation, eventDate, id, text, addressee, reference, filedDate, endDate, reason string
}

func (f *walletFlags) newStatement(s streams) *cobra.Command {
	var o statementFlags
	cmd := &cobra.Command{
		Use:   "statement",
		Short: "Make a statement of your own, sealed and recorded; nobody can read it until you show it",
		Args:  exactArgs(),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, _ []string) error {
			claims, err := o.claims()
			if err != nil {
				return &exitError{exitUsage, err}
			}
			it, err := w.State(ctx, o.engagement, *claims)
			if it == nil {
				return err
			}
			return errors.Join(err, f.printItem(s, it))
		}),
	}
	c := cmd.Flags()
	c.StringVar(&o.engagement, "engagement", "", "ID of the engagement, when the wallet holds several")
	c.StringVar(&o.kind, "kind", "", "unpaid, not-held, demand, complaint, job-search, contradiction, ended, accept, retract or filed")
	c.StringVar(&o.date, "date", "", "date of the statement; default today")
	c.StringVar(&o.stream, "stream", "", "about a slot: its stream, as wage-employer")
	c.StringVar(&o.period, "period", "", "about a slot: its period, as 2026-06")
	c.StringVar(&o.obligation, "obligation", "", "about an event: the obligation, as H-01")
	c.StringVar(&o.eventDate, "event-date", "", "about an event: its date")
	c.StringVar(&o.id, "about", "", "about a document: its ID")
	c.StringVar(&o.endDate, "end-date", "", "for ended: the last day")
	c.StringVar(&o.reason, "reason", "", "for ended: employer or worker")
	c.StringVar(&o.text, "text", "", "in your own words")
	c.StringVar(&o.addressee, "addressee", "", "for demand and complaint: to whom")
	c.StringVar(&o.reference, "reference", "", "for filed: the receipt number")
	c.StringVar(&o.filedDate, "filed-date", "", "for filed: the day it was filed")
	return cmd
}

func (o *statementFlags) claims() (*attestation.WorkerStatement, error) {
	if o.kind == "" {
		return nil, errors.New("--kind is needed")
	}
	c := &attestation.WorkerStatement{Date: attestation.DateOf(time.Now()), Kind: &o.kind}
	about := attestation.About{Stream: attestation.Stream(o.stream), Period: attestation.Period(o.period), Obligation: o.obligation, ID: o.id, ReasonClass: o.reason}
	var filed attestation.Date
	for _, d := range []struct {
		flag, text string
		dst        *attestation.Date
	}{{"--date", o.date, &c.Date}, {"--event-date", o.eventDate, &about.EventDate}, {"--end-date", o.endDate, &about.EndDate}, {"--filed-date", o.filedDate, &filed}} {
		if d.text == "" {
			continue
		}
		v, err := attestation.ParseDate(d.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.flag, err)
		}
		*d.dst = v
	}
	if err := statementNeeds(o.kind, about); err != nil {
		return nil, err
	}
	if about != (attestation.About{}) {
		c.About = &about
	}
	if !filed.IsZero() {
		c.FiledDate = &filed
	}
	for _, t := range []struct {
		text string
		dst  **string
	}{{o.text, &c.Text}, {o.addressee, &c.Addressee}, {o.reference, &c.ReferenceNumber}} {
		if t.text != "" {
			*t.dst = &t.text
		}
	}
	return c, nil
}

// statementNeeds refuses a statement that does not say what it is about: it would be recorded for good, and count for nothing.
func statementNeeds(kind string, about attestation.About) error {
	var there bool
	var flags string
	switch kind {
	case attestation.StatementUnpaid, attestation.StatementNotHeld, attestation.StatementContradiction:
		there, flags = about.Stream != "" || about.Obligation != "" || about.ID != "", "--stream with --period, --obligation with --period or --event-date, or --about"
	case attestation.StatementEnded:
		there, flags = !about.EndDate.IsZero(), "--end-date"
	case attestation.StatementAccept, attestation.StatementRetract:
		there, flags = about.ID != "", "--about"
	case attestation.StatementFiled:
		there, flags = about.Obligation != "", "--obligation with --event-date"
	default:
		return nil
	}
	if !there {
		return fmt.Errorf("--kind %s needs what it is about: %s", kind, flags)
	}
	return nil
}

func (f *walletFlags) newErase(s streams) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "erase ID",
		Short: "Have a statement of your own erased from the registry, and forget it",
		Long: "Have the sealed record of your own statement deleted by the registry, and the statement from this wallet. It cannot be brought back. That\n" +
			"something was recorded stays, not what. Whoever was shown it keeps the copy, and so do your backups. What others recorded about you cannot\n" +
			"be erased.",
		Args: exactArgs("ID"),
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			it, err := w.Show(ctx, args[0])
			if err != nil {
				return err
			}
			if it.Type == attestation.TypeWorkerStatement && !yes {
				if err := confirm(s, fmt.Sprintf("Erase your statement of %s for good?", attestation.DateOf(it.Received)), "nothing was erased"); err != nil {
					return err
				}
			}
			if err := w.Erase(ctx, it.ID); err != nil {
				return err
			}
			s.say("erased")
			if f.json {
				return s.json(map[string]string{"erased": it.ID})
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// presentFlags are the flags of `akashi wallet present`.
type presentFlags struct {
	wallet.PresentOptions
	out                   string
	yes, trustAny, refuse bool
}

func (f *walletFlags) newPresent(s streams) *cobra.Command {
	var o presentFlags
	cmd := &cobra.Command{
		Use:   "present [LINK]",
		Short: "Show proof: answer a verifier's link or QR code, or write a presentation for one audience to a file",
		Long: "With a LINK, openid4vp://, haip-vp:// or https, answer the verifier who made it (OpenID4VP). You see who asks and what would be shown, and\n" +
			"are asked before anything is sent; --hide leaves out more, --refuse tells the verifier that you show nothing. Who is not on the trust list\n" +
			"as a verifier, nor has a certificate of the authority given with --ca, is refused, unless --trust-any is given; an employer or a bank that is\n" +
			"listed as such may not ask, whatever certificate it has. An assessment asks twice: the verifier\n" +
			"shows a second link. Without a LINK, write a presentation for --aud and --nonce to the file --out: verifiers\n" +
			"take it for five minutes, unless they allow more.",
		Args: cobra.ArbitraryArgs,
		RunE: f.with(s, func(ctx context.Context, w *wallet.Wallet, args []string) error {
			if err := o.check(args); err != nil {
				return &exitError{exitUsage, err}
			}
			if len(args) == 1 {
				return f.presentLink(ctx, s, w, args[0], &o)
			}
			return o.writeFile(ctx, s, w, f.json)
		}),
	}
	c := cmd.Flags()
	c.StringVar(&o.Engagement, "engagement", "", "ID of the engagement, when the wallet holds several")
	c.StringVar(&o.Audience, "aud", "", "for whom: the verifier's client id, or an issuer identifier to enrol there")
	c.StringVar(&o.Nonce, "nonce", "", "the number that the audience gave; enrol to enrol")
	c.StringArrayVar(&o.Show, "show", nil, "show only the engagement, with the claims at or below this path; repeatable")
	c.StringArrayVar(&o.Hide, "hide", nil, "leave out this document (ID), claim of the engagement (path) or of another document (ID.path); repeatable")
	c.StringVar(&o.out, "out", "", "file to write")
	c.BoolVar(&o.yes, "yes", false, "do not ask")
	c.BoolVar(&o.refuse, "refuse", false, "with a LINK: tell the verifier that you show nothing")
	c.BoolVar(&o.trustAny, "trust-any", false, "with a LINK: show it to a verifier whom nobody knows, or who is registered as something else")
	return cmd
}

// check tells the two forms of the command apart.
func (o *presentFlags) check(args []string) error {
	toFile := o.Audience != "" || o.Nonce != "" || o.out != "" || len(o.Show) > 0
	switch {
	case len(args) > 1:
		return errors.New("one LINK can be answered at a time")
	case len(args) == 1 && toFile:
		return errors.New("--aud, --nonce, --show and --out go without a LINK: the verifier says what it asks for")
	case len(args) == 0 && (o.refuse || o.trustAny):
		return errors.New("--refuse and --trust-any need a LINK")
	case len(args) == 0 && (o.Audience == "" || o.Nonce == "" || o.out == ""):
		return errors.New("a LINK, or --aud, --nonce and --out, are needed")
	}
	return nil
}

// writeFile writes a presentation to a file.
func (o *presentFlags) writeFile(ctx context.Context, s streams, w *wallet.Wallet, asJSON bool) error {
	p, err := w.Present(ctx, o.PresentOptions)
	if err != nil {
		return err
	}
	s.say("for %s: the engagement, %d attestations, %d own statements", o.Audience, len(p.Attestations), len(p.Statements))
	if !o.yes {
		if err := confirm(s, "Write it?", "nothing was written"); err != nil {
			return err
		}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := writeFile(o.out, data, 0o600); err != nil {
		return err
	}
	s.say("wrote %s; hand it over within %s, or the verifier must allow more with assess --max-age", o.out, sdjwt.DefaultMaxAge)
	if asJSON {
		return s.json(map[string]any{"file": o.out, "audience": o.Audience, "attestations": len(p.Attestations), "statements": len(p.Statements)})
	}
	return nil
}

// readLine reads a line and nothing beyond it, which is the next question's; without the white space around it.
func readLine(in io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := in.Read(one)
		if n == 1 && one[0] != '\n' {
			line = append(line, one[0])
		}
		if err != nil || n == 1 && one[0] == '\n' || len(line) > maxLine {
			return strings.TrimSpace(string(line)), err
		}
	}
}

const maxLine = 1 << 10

// confirm asks a yes or no question. Anything but yes is no: the error then says what was not done, and how to answer where nobody can be asked.
func confirm(s streams, question, otherwise string) error {
	fmt.Fprintf(s.err, "%s [yes/no] ", question)
	line, err := readLine(s.in)
	switch answer := strings.ToLower(line); {
	case slices.Contains([]string{"y", "yes", "はい"}, answer):
		return nil
	case answer == "" && err != nil:
		return &exitError{exitFails, errors.New(otherwise + ": there is no terminal to ask on; --yes answers for you")}
	}
	return &exitError{exitFails, errors.New(otherwise)}
}
