package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gorilla/mux"
	"github.com/spf13/cobra"

	"akashi/internal/auditor"
	"akashi/internal/evidence"
	"akashi/internal/logserver"
)

func newRegistry(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "registry", Short: "Check, back up and restore a registry"}
	cmd.AddCommand(newRegistryCheck(s), newBackup(s), newRestore(s))
	return cmd
}

// registryAdmin is what the commands do to a registry, running or not.
type registryAdmin interface {
	Check(context.Context) (*logserver.CheckReport, error)
	Backup(ctx context.Context, dst string, storeKey []byte) (*logserver.BackupInfo, error)
}

// stoppedRegistry works on the files of a registry that no process runs.
type stoppedRegistry struct{ cfg logserver.Config }

func (r stoppedRegistry) Check(ctx context.Context) (*logserver.CheckReport, error) {
	return logserver.Check(ctx, r.cfg)
}

func (r stoppedRegistry) Backup(ctx context.Context, dst string, storeKey []byte) (*logserver.BackupInfo, error) {
	return logserver.Backup(ctx, r.cfg, dst, storeKey)
}

// remoteRegistry speaks to the process that runs the registry.
type remoteRegistry struct{ client *http.Client }

type backupRequest struct {
	Dir string `json:"dir"`
}

func (r remoteRegistry) Check(ctx context.Context) (*logserver.CheckReport, error) {
	return callAdmin[logserver.CheckReport](ctx, r.client, "/check", struct{}{})
}

// Backup needs no key: the process that runs the registry has it.
func (r remoteRegistry) Backup(ctx context.Context, dst string, _ []byte) (*logserver.BackupInfo, error) {
	return callAdmin[logserver.BackupInfo](ctx, r.client, "/backup", backupRequest{dst})
}

// registrySocket has a name of its own, so that registry and issuer may run in two processes.
const registrySocket = "registry.sock"

// serveRegistryAdmin lets the commands reach the registry of this process.
func (in *instance) serveRegistryAdmin() error {
	key, err := in.cfg.storeKey()
	if err != nil {
		return err
	}
	r := mux.NewRouter()
	r.HandleFunc("/check", adminRoute(func(ctx context.Context, _ struct{}) (*logserver.CheckReport, error) {
		return in.registry.Check(ctx)
	})).Methods(http.MethodPost)
	r.HandleFunc("/backup", adminRoute(func(ctx context.Context, req backupRequest) (*logserver.BackupInfo, error) {
		return in.registry.Backup(ctx, req.Dir, key)
	})).Methods(http.MethodPost)
	return in.serveSocket(registrySocket, r)
}

// openRegistry reaches the registry of a configuration. done ends what it opened.
func openRegistry(ctx context.Context, s streams, cfg *Config) (a registryAdmin, done func() error, err error) {
	if !cfg.runsRegistry() {
		return nil, nil, fmt.Errorf("%s is of a witness or auditor, not of a registry", cfg.path(configName))
	}
	if client := dialSocket(cfg.path(registrySocket)); client != nil {
		return remoteRegistry{client}, func() error { return nil }, nil
	}
	s.say("no registry runs on %s: working on its files", cfg.path(registrySocket))
	in, lc, err := stoppedInstance(cfg)
	if err != nil {
		return nil, nil, err
	}
	return stoppedRegistry{lc}, func() error { return in.stop(context.WithoutCancel(ctx)) }, nil
}

// stoppedInstance opens the registry's store and says what the registry is, without running it. The instance must be stopped.
func stoppedInstance(cfg *Config) (*instance, logserver.Config, error) {
	in := newInstance(cfg, instanceOptions{})
	lc, err := func() (lc logserver.Config, err error) {
		if in.client, err = cfg.client(); err != nil {
			return lc, err
		}
		if in.anchor, err = loadAnchor(cfg.path(fileAnchor)); err != nil {
			return lc, err
		}
		return in.registryConfig()
	}()
	if err != nil {
		return nil, lc, errors.Join(err, in.stop(context.Background()))
	}
	return in, lc, nil
}

// dialSocket returns a client of the process that listens on a unix socket, nil when none does.
func dialSocket(path string) *http.Client {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil
	}
	conn.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}

// checkFlags are the flags of `akashi registry check`.
type checkFlags struct {
	config                       string
	from, to                     uint64
	registry, policy, anchor, ca string
	json                         bool
}

func newRegistryCheck(s streams) *cobra.Command {
	var o checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Replay the log, recompute every root, compare every stored record; report the first difference",
		Long: "Check everything that a registry has stored, running or not, and report the first difference (exit code 1).\n" +
			"With --from, check over the network and without any state that the log between two of its checkpoints followed its rules, taking\n" +
			"the head at --from as right; --to is by default the newest audited checkpoint. That needs the policy and the trust anchor: those of\n" +
			"--config, or of --registry URL, --policy and --trust-anchor.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("from") || cmd.Flags().Changed("to") {
				return o.between(cmd.Context(), s)
			}
			return o.whole(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "config.yaml of the instance")
	f.Uint64Var(&o.from, "from", 0, "size of the checkpoint to begin with")
	f.Uint64Var(&o.to, "to", 0, "size of the checkpoint to end with")
	f.StringVar(&o.registry, "registry", "", "with --from, without --config: where the registry answers")
	f.StringVar(&o.policy, "policy", "", "with --registry: folder with policy and policy-auditors")
	f.StringVar(&o.anchor, "trust-anchor", "", "with --registry: the trust anchor's public JWK")
	f.StringVar(&o.ca, "ca", "", "with --registry: certificate authority of the registry's https")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	return cmd
}

func (o *checkFlags) whole(ctx context.Context, s streams) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return err
	}
	a, done, err := openRegistry(ctx, s, cfg)
	if err != nil {
		return err
	}
	report, err := a.Check(ctx)
	if err := errors.Join(err, done()); err != nil {
		return fmt.Errorf("checking the registry: %w", err)
	}
	if o.json {
		err = s.json(report)
	} else {
		fmt.Fprintf(s.out, "size %d, root %s\n%d entries: %d heads, %d keys, %d trust lists\n%d checkpoints, %d records, %d erased\n",
			report.Size, report.Root, report.Entries, report.Heads, report.Keys, report.Lists, report.Checkpoints, report.Records, report.Erased)
		if d := report.Difference; d != nil {
			fmt.Fprintf(s.out, "first difference: entry %d: %s\n", d.Index, d.What)
		}
	}
	if err == nil && report.Difference != nil {
		err = &exitError{exitFails, nil}
	}
	return err
}

func (o *checkFlags) between(ctx context.Context, s streams) error {
	b, err := o.reader()
	if err != nil {
		return err
	}
	report, err := b.Check(ctx, o.from, o.to)
	if err != nil {
		return &exitError{exitUnknown, err}
	}
	if o.json {
		err = s.json(report)
	} else {
		fmt.Fprintf(s.out, "from %d to %d: %d entries, %d heads, %d new keys, %d trust lists\n", report.From, report.To, report.Entries, report.Heads, report.Keys, report.Lists)
		if !report.FromAudit {
			s.say("note: no quorum of auditors vouches for the head at %d, which was taken as right", report.From)
		}
		if report.Difference != "" {
			fmt.Fprintf(s.out, "first difference: entry %d: %s\n", report.Index, report.Difference)
		}
	}
	if err == nil && report.Difference != "" {
		err = &exitError{exitFails, nil}
	}
	return err
}

// reader says which log is checked, and with which keys.
func (o *checkFlags) reader() (b auditor.Between, err error) {
	var trust evidence.Trust
	switch {
	case o.config != "" && o.registry == "":
		cfg, err := loadConfig(o.config)
		if err != nil {
			return b, err
		}
		b.LogURL = cfg.Registry.URL
		if b.HTTP, err = cfg.client(); err != nil {
			return b, err
		}
		if trust, err = cfg.trust(); err != nil {
			return b, err
		}
	case o.registry != "" && o.config == "" && o.policy != "" && o.anchor != "":
		b.LogURL = o.registry
		if b.HTTP, err = httpClient(o.ca); err != nil {
			return b, err
		}
		if trust, err = loadTrust(o.policy, o.anchor); err != nil {
			return b, err
		}
	default:
		return b, &exitError{exitUsage, errors.New("--from needs --config, or --registry with --policy and --trust-anchor")}
	}
	b.Policy, b.Auditors, b.Anchor = trust.Policy, trust.Auditors, trust.Anchor
	if b.Auditors == nil {
		return b, errors.New("the auditors' policy is missing")
	}
	return b, nil
}

func newBackup(s streams) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy log and store of a registry, running or not, to an empty folder",
		Long: "Write the log up to its newest published checkpoint, and what is stored beside it, to DIR. The registry goes on meanwhile. The store\n" +
			"is encrypted as the registry's own. Keys, policy and config.yaml are not in it.",
		Args: exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			dst, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			key, err := cfg.storeKey()
			if err != nil {
				return err
			}
			a, done, err := openRegistry(cmd.Context(), s, cfg)
			if err != nil {
				return err
			}
			info, err := a.Backup(cmd.Context(), dst, key)
			if err := errors.Join(err, done()); err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			return printBackup(s, info, asJSON)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "config.yaml of the instance")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func printBackup(s streams, info *logserver.BackupInfo, asJSON bool) error {
	if asJSON {
		return s.json(info)
	}
	fmt.Fprintf(s.out, "size %d, root %s\n%d values, taken %s\n", info.Size, info.Root, info.Values, info.TakenAt.Format(time.RFC3339))
	return nil
}

func newRestore(s streams) *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore DIR",
		Short: "Make log and store of a stopped registry out of a backup",
		Long: "Restore the backup in DIR into the folder of --config, which has keys, policy and config.yaml, and no folder registry. Every root is\n" +
			"recomputed. The witnesses are asked first: a backup that is older than what they have signed is refused, since a registry that went on\n" +
			"from it would fork its log.",
		Args: exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			info, err := restore(cmd.Context(), cfg, args[0])
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			s.say("restored; next: akashi serve --config %s", cfg.path(configName))
			return printBackup(s, info, asJSON)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "config.yaml of the instance")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// restore leaves nothing behind when it fails: the folder is one that it made.
func restore(ctx context.Context, cfg *Config, src string) (*logserver.BackupInfo, error) {
	if !cfg.runsRegistry() {
		return nil, fmt.Errorf("%s is of a witness or auditor, not of a registry", cfg.path(configName))
	}
	if _, err := logserver.ReadBackup(src); err != nil {
		return nil, err
	}
	folder := cfg.path("registry")
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already: move it away first", folder)
	}
	key, err := cfg.storeKey()
	if err != nil {
		return nil, err
	}
	in, lc, err := stoppedInstance(cfg)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	info, err := logserver.Restore(ctx, lc, src, key)
	if err == nil {
		err = cfg.keepTrustLists(ctx, lc)
	}
	if err := errors.Join(err, in.stop(context.WithoutCancel(ctx))); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return info, nil
}

// keepTrustLists puts versions of the trust list that the registry has and the folder lacks into the folder.
func (c *Config) keepTrustLists(ctx context.Context, lc logserver.Config) error {
	lists, err := logserver.TrustLists(ctx, lc.Store)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.path(dirTrustLists), 0o700); err != nil {
		return err
	}
	for n, jwt := range lists {
		path := c.trustListPath(uint64(n) + 1)
		_, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			err = writeFile(path, []byte(jwt), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
