package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"akashi/compliance"
	"akashi/testdata/story"
)

// demoResult is what the story ends with.
type demoResult struct {
	Assessments []*compliance.Assessment `json:"assessments"`
	cases       map[string]*demoCase     // by engagement
}

// demoCase is an assessment that a worker made at the verifier.
type demoCase struct {
	page string // its address
	file []byte // the evidence file that is saved there
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
		sayNext(s, out)
	}
	if err != nil || exit {
		return err
	}
	if err := p.sayOpen(ctx, s, result); err != nil {
		return err
	}
	p.answering(ctx, s)
	s.say("stopping")
	return nil
}

// write puts the evidence files and what is needed to verify them into a folder.
func (p *player) write(dir string, r *demoResult) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, c := range r.cases {
		if err := writeFile(filepath.Join(dir, name+".evidence.json"), c.file, 0o644); err != nil {
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

// sayNext says what to try with the evidence files.
func sayNext(s streams, out string) {
	s.say("\ntry next (`go run ./cmd/akashi` where akashi is not installed):")
	if out == "" {
		s.say("  akashi demo --exit --out FILES         keep the evidence files")
		out = "FILES"
	}
	s.say("  akashi verify %s/B.evidence.json --policy %s --trust-anchor %s/%s", out, out, out, fileAnchor)
	s.say("  change any byte of the file and verify it again")
}

// sayOpen says what can be opened until the demo stops.
func (p *player) sayOpen(ctx context.Context, s streams, result *demoResult) error {
	base, err := p.showCases(result.cases)
	if err != nil {
		return err
	}
	invitation, err := p.in.desk.Invite(ctx, "審査 花子")
	if err != nil {
		return err
	}
	s.say("\nopen in a browser on this machine, until you stop the demo; its certificates are signed by %s:", p.in.cfg.path(fileCA))
	for _, name := range story.Engagements() {
		s.say("  engagement %s     %s/%s", name, base, name)
	}
	service := p.in.cfg.Verifier.URL
	s.say("  verify again     %s/r", service)
	s.say("  for submission   %s/submission", service)
	s.say("  reviewer's desk  %s", invitation.Link)
	s.say("                   makes a passkey to sign in with: browsers do that only where they trust the certificates")
	s.say("\nthe services:")
	p.in.sayWhere(s)
	s.say("\na worker's wallet answers the code that a page shows: type A, B or C and the code. Ctrl-C stops the demo.")
	return nil
}

// answering lets the workers answer as the lines of the input say, such as "B 4KDW-91TZ", until ctx ends.
func (p *player) answering(ctx context.Context, s streams) {
	lines := make(chan string)
	go func() { // until the input ends: nothing else ends a read from a terminal
		defer close(lines)
		for in := bufio.NewScanner(s.in); in.Scan(); {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case line, ok := <-lines:
			if !ok {
				lines = nil
			} else if err := p.answerLine(ctx, line); err != nil {
				s.say("%v", err)
			} else {
				s.say("answered")
			}
		}
	}
}

func (p *player) answerLine(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) != 2 || p.workers[strings.ToUpper(words[0])] == nil {
		return errors.New("type a worker and a code, such as: B 4KDW-91TZ")
	}
	return p.answerCode(ctx, strings.ToUpper(words[0]), words[1])
}

var errStory = errors.New("the story cannot go on")

func storyError(it story.Item, err error) error {
	return fmt.Errorf("%w: %s %s of %s at %s: %w", errStory, it.Action, it.Type, it.Actor, it.At.Format(time.RFC3339), err)
}
