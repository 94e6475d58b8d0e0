// Command akashi signs, logs, holds and judges attestations about the duties owed to a Specified Skilled Worker.
//
// Data goes to stdout, messages to stderr. Exit codes: 0 when what was asked holds, 1 when it does not or failed, 2 for wrong usage,
// 3 when it cannot be decided.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// exitError ends the command with a code of its own. Its message is printed when it has one.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

const (
	exitFails   = 1
	exitUsage   = 2
	exitUnknown = 3
)

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// say writes a message for people to stderr.
func (s streams) say(format string, args ...any) { fmt.Fprintf(s.err, format+"\n", args...) }

// json writes v as one JSON document to stdout.
func (s streams) json(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// The log's library writes to klog; what matters of it comes back as errors.
func init() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(streams{in, out, errOut})
	root.SetArgs(idsAsWords(root, args))
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(errOut, "akashi:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(errOut, "akashi:", err)
	return exitFails
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "akashi",
		Short: "Prove what was done, when, and what was never done",
		Long: "Akashi signs, logs, holds and judges attestations about the duties owed to a Specified Skilled Worker.\nStart with: akashi demo\n\n" +
			"Data goes to stdout, messages to stderr; with --json, data is one JSON document. Exit codes: 0 when what was asked holds, 1 when it\n" +
			"does not or the command failed, 2 for wrong usage, 3 when it cannot be decided. The passphrase of a wallet is asked for, or taken from\n" +
			"AKASHI_PASSPHRASE. The steps from an empty folder to a case file are in README.md, \"Run your own\".",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newDemo(s), newInit(s), newOrg(s), newServe(s), newCalendar(s), newIssuer(s), newRegistry(s), newWallet(s), newVerifier(s), newAssess(s), newVerify(s), newBench(s),
	)
	refuseUnknown(root)
	return root
}

// idsAsWords lets an ID that begins with "-", as one in 64 does, be a word of the command line and not a flag: it goes behind "--".
func idsAsWords(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var kept, ids []string
	for i, arg := range args {
		switch {
		case arg == "--":
			return slices.Concat(kept, args[i:i+1], ids, args[i+1:])
		case strings.HasPrefix(arg, "-") && isID(arg) && (i == 0 || !wantsValue(cmd, args[i-1])):
			ids = append(ids, arg)
		default:
			kept = append(kept, arg)
		}
	}
	if ids == nil {
		return args
	}
	return slices.Concat(kept, []string{"--"}, ids)
}

// isID tells whether s has the form of [keys.ID].
func isID(s string) bool {
	sum, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil && len(sum) == sha256.Size
}

// wantsValue tells whether arg is a flag whose value is the next argument.
func wantsValue(cmd *cobra.Command, arg string) bool {
	name, long := strings.CutPrefix(arg, "--")
	flag := cmd.Flag(name)
	return long && flag != nil && flag.NoOptDefVal == ""
}

// refuseUnknown lets a command that only groups others explain itself, and refuse a word that is none of them.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	if !c.HasSubCommands() || c.Runnable() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		hint := ""
		c.SuggestionsMinimumDistance = 2
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = fmt.Sprintf(", did you mean %s?", strings.Join(near, " or "))
		}
		return &exitError{exitUsage, fmt.Errorf("%s has no command %q%s; see %s --help", c.CommandPath(), args[0], hint, c.CommandPath())}
	}
}

// exactArgs is cobra.ExactArgs with the usage exit code and the names of what is missing.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			want := strings.Join(names, " ")
			if want == "" {
				want = "no arguments"
			}
			return &exitError{exitUsage, fmt.Errorf("%s takes %s, and %d were given; see %s --help", c.CommandPath(), want, len(args), c.CommandPath())}
		}
		return nil
	}
}
