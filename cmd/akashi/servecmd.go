package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

func newServe(s streams) *cobra.Command {
	var config string
	var roles []string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the services of a folder until interrupted",
		Long: "Run the services that config.yaml names until interrupted (Ctrl-C, SIGTERM). While the issuer runs, org add and issuer import go\n" +
			"through it. Every key of config.yaml can be overridden by AKASHI_<PATH>, for example AKASHI_REGISTRY_EPOCH=2s. docs/operations.md says how\n" +
			"to run witnesses and auditors elsewhere.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			for _, r := range roles {
				if !slices.Contains(allRoles, r) {
					return &exitError{exitUsage, fmt.Errorf("--roles %q: some of %v", r, allRoles)}
				}
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
			traces, flush, err := startTracing(s, os.Getenv)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			err = serve(cmd.Context(), s, cfg, instanceOptions{roles: roles, log: log, traces: traces})
			ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), traceFlush)
			defer cancel()
			if ferr := flush(ctx); ferr != nil {
				log.Warn("the last traces were not delivered", "error", ferr)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringSliceVar(&roles, "roles", nil, "some of registry,witness,auditor,issuer,verifier; default all")
	f.BoolVar(&verbose, "verbose", false, "log details")
	return cmd
}

// traceFlush bounds how long a stop waits for the last traces.
const traceFlush = 5 * time.Second

// flushEvery is how often records without a receipt are sent again.
const flushEvery = 30 * time.Second

func serve(ctx context.Context, s streams, cfg *Config, opt instanceOptions) (err error) {
	in, err := startInstance(ctx, cfg, opt)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, in.stop(ctx))
	}()
	if err != nil {
		return err
	}
	if in.registry != nil {
		if err := in.serveRegistryAdmin(); err != nil {
			return err
		}
	}
	if in.issuer != nil {
		a := in.admin()
		if err := in.serveSocket(socketName, adminHandler(a)); err != nil {
			return err
		}
		if err := a.listStatuses(ctx); err != nil {
			in.opt.log.WarnContext(ctx, "the key of the status lists is not on the trust list, so nobody will believe them", "error", err)
		}
		defer in.flushing(ctx)()
	}
	if in.verifier != nil {
		defer in.readingStatuses(ctx)()
		defer in.sweeping(ctx)()
	}
	in.sayWhere(s)
	select {
	case <-ctx.Done():
		s.say("stopping")
		return nil
	case err := <-in.failed:
		return err
	}
}

func (in *instance) admin() *localAdmin {
	return &localAdmin{cfg: in.cfg, issuer: in.issuer, registry: in.registry, now: in.opt.now}
}

// flushing sends records without a receipt in the background, now and then.
func (in *instance) flushing(ctx context.Context) (stop func()) {
	return background(ctx, flushEvery, func(ctx context.Context) {
		if n, err := in.issuer.Flush(ctx); err != nil && ctx.Err() == nil {
			in.opt.log.WarnContext(ctx, "records still wait for the registry", "error", err)
		} else if n > 0 {
			in.opt.log.InfoContext(ctx, "records sent to the registry", "records", n)
		}
	})
}

// background does something now and then, and at once. stop ends that and waits for it: a server that fails ends no context but this.
func background(ctx context.Context, every time.Duration, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			do(ctx)
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

func (in *instance) sayWhere(s streams) {
	if in.registry != nil {
		s.say("registry  %s", in.cfg.Registry.URL)
	}
	if in.issuer != nil {
		s.say("issuer    %s", in.cfg.Issuer.URL)
	}
	if in.verifier != nil {
		s.say("verifier  %s", in.cfg.Verifier.URL)
	}
	for _, m := range in.cfg.Members {
		if in.runs(m.Role) {
			s.say("%-9s %s  %s", m.Role, m.URL, m.Name)
		}
	}
	for _, addr := range in.metricsAddresses() {
		s.say("metrics   http://%s/metrics", addr)
	}
}
