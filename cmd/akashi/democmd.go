package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"akashi/compliance"
	"akashi/testdata/story"
)

// demoResult is what the story ends with.
type demoResult struct {
	Assessments []*compliance.Assessment `json:"assessments"`
	files       map[string][]byte        // evidence file by engagement
}

func newDemo(s streams) *cobra.Command {
	var exit, asJSON bool
	var out string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a year of three engagements on this machine and judge them",
		Long: "Start every service on loopback with a certificate authority of its own, play twelve months of three invented engagements (A kept,\n" +
			"B abandoned, C underpaid) from files as companies, a bank and a support organization export them, let the three workers' wallets answer a\n" +
			"verifier (OpenID4VP), and print what it finds. The story's time is simulated; log, witnesses, auditors, signatures and proofs are real.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), s, exit, asJSON, out)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&exit, "exit", false, "stop after the story")
	f.BoolVar(&asJSON, "json", false, "print the assessments as one JSON document")
	f.StringVar(&out, "out", "", "write evidence files, policy files and trust anchor to this folder")
	return cmd
}

func runDemo(ctx context.Context, s streams, exit, asJSON bool, out string) (err error) {
	dir, err := os.MkdirTemp("", "akashi-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start := time.Now()
	p, err := newPlayer(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, p.in.stop(ctx))
	}()
	s.say("registry, %d witnesses, %d auditors, the issuers and a verifier run on loopback; playing 2025-11 to 2026-10", witnessCount, auditorCount)
	result, err := p.play(ctx, nil)
	if err != nil {
		return err
	}
	s.say("%d stops of the story's clock in %.1f s", p.stops, time.Since(start).Seconds())
	if out != "" {
		if err := p.write(out, result); err != nil {
			return err
		}
		s.say("evidence files, policies and trust anchor are in %s", out)
	}
	if asJSON {
		err = s.json(result)
	} else {
		for i, name := range story.Engagements() {
			printAssessment(s.out, name, result.Assessments[i])
		}
		p.sayNext(s, out, exit)
	}
	if err != nil || exit {
		return err
	}
	s.say("running until interrupted (Ctrl-C)")
	<-ctx.Done()
	s.say("stopping")
	return nil
}

// write puts the evidence files and what is needed to verify them into a folder.
func (p *player) write(dir string, r *demoResult) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range r.files {
		if err := writeFile(filepath.Join(dir, name+".evidence.json"), data, 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{filePolicy, fileAuditors, fileAnchor} {
		data, err := os.ReadFile(p.in.cfg.path(name))
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sayNext says what is open, unless the demo stops now, and what to try.
func (p *player) sayNext(s streams, out string, exit bool) {
	if !exit {
		s.say("\nopen until you stop the demo:")
		p.in.sayWhere(s)
	}
	s.say("\ntry next (`go run ./cmd/akashi` where akashi is not installed):")
	if out == "" {
		s.say("  akashi demo --exit --out FILES         keep the evidence files")
		out = "FILES"
	}
	s.say("  akashi verify %s/B.evidence.json --policy %s --trust-anchor %s/%s", out, out, out, fileAnchor)
	s.say("  change any byte of the file and verify it again")
}

var errStory = errors.New("the story cannot go on")

func storyError(it story.Item, err error) error {
	return fmt.Errorf("%w: %s %s of %s at %s: %w", errStory, it.Action, it.Type, it.Actor, it.At.Format(time.RFC3339), err)
}
