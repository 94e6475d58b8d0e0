package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/verifier"
)

// loadTrust reads what a verifier pins. policy is a folder with the files policy and policy-auditors, or the witnesses' file with the
// auditors' file beside it. Without an auditors' file absences stay unknown.
func loadTrust(policy, anchor string) (evidence.Trust, error) {
	var t evidence.Trust
	path := policy
	if st, err := os.Stat(policy); err == nil && st.IsDir() {
		path = filepath.Join(policy, filePolicy)
	}
	auditors := filepath.Join(filepath.Dir(path), fileAuditors)
	if _, err := os.Stat(auditors); errors.Is(err, os.ErrNotExist) {
		auditors = ""
	}
	var err error
	if t.Policy, t.Auditors, err = loadPolicies(path, auditors); err != nil {
		return t, err
	}
	t.Anchor, err = loadAnchor(anchor)
	return t, err
}

func newVerify(s streams) *cobra.Command {
	var policy, anchor, at string
	var asJSON bool
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an evidence file, presentation, SD-JWT or an auditor's fraud.json offline",
		Long: "Check a file with nothing but the policy and the trust anchor. Exit code 0: every check passes and the stated assessment is\n" +
			"reproduced, whatever its findings; 1: a check fails; 2: a file that was named cannot be read; 3: it cannot be decided. A fraud.json\n" +
			"passes when it proves that the log has broken its rules. docs/evidence.md explains every check.\n\n" +
			"--page writes the assessment of an evidence file as one HTML file that needs no service and no internet, to read and to print. With\n" +
			"--submission it is one sheet of A4 to hand to an office together with the evidence file, whose SHA-256 it names.",
		Args: exactArgs("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := page.check(); err != nil {
				return err
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if policy == "" {
				policy = filepath.Dir(args[0])
			}
			if anchor == "" {
				anchor = filepath.Join(filepath.Dir(args[0]), fileAnchor)
			}
			trust, err := loadTrust(policy, anchor)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%w; see akashi verify --help: --policy and --trust-anchor", err)}
			}
			when := time.Now()
			if at != "" {
				if when, err = time.Parse(time.RFC3339, at); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--at %q: write 2027-11-20T00:00:00Z", at)}
				}
			}
			result := verifier.Verify(data, trust, verifier.Options{At: when, TrustList: listBeside(policy)})
			if err := page.write(data, result.Kind, args[0], trust, time.Now()); err != nil {
				return err
			}
			return printVerification(s, result, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&policy, "policy", "", "folder with policy and policy-auditors, or the policy file; default beside FILE")
	f.StringVar(&anchor, "trust-anchor", "", "trust anchor's public JWK; default trust-anchor.jwk beside FILE")
	f.StringVar(&at, "at", "", "time to report as that of this verification; it changes no finding")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	page.add(cmd)
	return cmd
}

// listBeside returns the newest trust list of an instance's folder; files that bring their own need none.
func listBeside(policy string) string {
	lists, err := (&Config{dir: policy}).trustLists()
	if err != nil || len(lists) == 0 {
		return ""
	}
	return lists[len(lists)-1]
}

// meaning says what a result is about: the file, not what the file finds.
var meaning = map[compliance.Result]string{
	compliance.Pass:       "what the file states is proven; what that is stands above",
	compliance.Fail:       "do not rely on this file: a check failed, see above",
	compliance.CannotTell: "it cannot be decided whether what the file states holds, see above",
}

func kindName(r *evidence.Result) string {
	if r.Kind == verifier.KindUnknown {
		return "file"
	}
	return r.Kind
}

// nameOf picks a name to print: the Japanese one, or whichever there is.
func nameOf(names map[string]string) string {
	for _, language := range append([]string{"ja", "en"}, slices.Sorted(maps.Keys(names))...) {
		if names[language] != "" {
			return names[language]
		}
	}
	return ""
}

func printVerification(s streams, r *evidence.Result, asJSON bool) error {
	if asJSON {
		if err := s.json(r); err != nil {
			return err
		}
	} else {
		for _, c := range r.Checks {
			fmt.Fprintf(s.out, "%-7s %-28s %s\n", c.Result, c.Code, c.Detail)
		}
		if r.Assessment != nil {
			printAssessment(s.out, r.Assessment.Engagement, r.Assessment)
		}
		if by := r.SavedBy; by != nil {
			fmt.Fprintf(s.out, "\nsaved by %s (%s), %s, as assessment %s\n", nameOf(by.Name), by.ID, clock(by.At), by.Number)
		}
		fmt.Fprintf(s.out, "\n%s: %s, %s\n", kindName(r), r.Result, meaning[r.Result])
	}
	switch r.Result {
	case compliance.Pass:
		return nil
	case compliance.Fail:
		return &exitError{exitFails, nil}
	}
	return &exitError{exitUnknown, nil}
}

// checkMonths refuses --from and --to that are given and no months.
func checkMonths(from, to string) error {
	for _, m := range []struct{ flag, month string }{{"from", from}, {"to", to}} {
		if m.month == "" {
			continue
		}
		if p, err := attestation.ParsePeriod(m.month); err != nil || p.Kind() != attestation.Month {
			return &exitError{exitUsage, fmt.Errorf("--%s %q is no month: write 2025-11", m.flag, m.month)}
		}
	}
	return nil
}

func newAssess(s streams) *cobra.Command {
	var config, presentation, asOf, from, to, out string
	var o verifier.Request
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "assess",
		Short: "Judge a presentation with the registry's proofs",
		Long: "Judge what a worker shows: recompute its slots, fetch their proofs from the registry, and find for every duty whether it was fulfilled,\n" +
			"late, contradicted or proven absent. --aud and --nonce are those that the worker was given, so that nobody shows a copy made for somebody\n" +
			"else; a presentation is taken within --max-age after it was made. The exit code says whether the proofs hold, not what they show: 0\n" +
			"when every check passes, 1 when one fails, 3 when it cannot be decided. --out keeps the case in one file, which anybody can check again with akashi verify.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			if presentation == "" || o.Audience == "" || o.Nonce == "" {
				return &exitError{exitUsage, errors.New("--presentation, --aud and --nonce are needed")}
			}
			if err := checkMonths(from, to); err != nil {
				return err
			}
			if o.MaxAge <= 0 {
				return &exitError{exitUsage, errors.New("--max-age must be longer than nothing")}
			}
			o.Now, o.From, o.To = time.Now(), attestation.Period(from), attestation.Period(to)
			at := o.Now
			if asOf != "" {
				if at, err = time.Parse(time.RFC3339, asOf); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--as-of %q: write 2026-11-20T00:00:00Z", asOf)}
				}
			}
			data, err := os.ReadFile(presentation)
			if err != nil {
				return err
			}
			shown, err := evidence.ParsePresentation(data)
			if err != nil {
				return fmt.Errorf("%s is not what akashi wallet present --out writes: %w", presentation, err)
			}
			o.Presentation = *shown
			trust, err := cfg.trust()
			if err != nil {
				return err
			}
			client, err := cfg.registryClient()
			if err != nil {
				return err
			}
			file, result, err := verifier.Assess(cmd.Context(), o, client, trust)
			var failed *evidence.CheckError
			if errors.As(err, &failed) && strings.HasPrefix(failed.Check.Code, "kb.") {
				return fmt.Errorf("%w; ask the worker to present again for this --aud and --nonce, or correct these; a file that was made earlier than --max-age ago (%s) needs a longer one", err, o.MaxAge)
			}
			if err != nil {
				return err
			}
			if err := fresh(result.Assessment, at); err != nil {
				return err
			}
			return printAssessed(s, file, result, out, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&presentation, "presentation", "", "file that a wallet wrote")
	f.StringVar(&o.Audience, "aud", "", "audience that the presentation must be made for")
	f.StringVar(&o.Nonce, "nonce", "", "nonce that the presentation must carry")
	f.DurationVar(&o.MaxAge, "max-age", sdjwt.DefaultMaxAge, "how long ago the presentation may have been made: longer for a file that came by another way, such as 72h; whoever keeps a copy can use it for as long")
	f.StringVar(&asOf, "as-of", "", "time of the judgement; it must lie within 24 hours after the registry's audited head")
	f.StringVar(&from, "from", "", "first month, as 2025-11; default the contract's first")
	f.StringVar(&to, "to", "", "last month; default the month of the judgement")
	f.StringVar(&out, "out", "", "write the evidence file")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// fresh checks that the registry's audited head, as of which the case was judged, is of the 24 hours before at.
func fresh(a *compliance.Assessment, at time.Time) error {
	if a == nil || !a.AsOf.After(at) && at.Sub(a.AsOf) <= compliance.FreshFor {
		return nil
	}
	return &exitError{exitUnknown, fmt.Errorf("the registry can prove the case as of %s only, not as of %s", a.AsOf.Format(time.RFC3339), at.Format(time.RFC3339))}
}

func printAssessed(s streams, file *evidence.File, result *evidence.Result, out string, asJSON bool) error {
	if out != "" {
		data, err := file.Marshal()
		if err != nil {
			return err
		}
		if err := writeFile(out, data, 0o644); err != nil {
			return err
		}
	}
	return printVerification(s, result, asJSON)
}

func newCalendar(s streams) *cobra.Command {
	var events, asOf string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "calendar ENGAGEMENT.json",
		Short: "Every duty of an engagement with due date, rule and legal basis",
		Long: "ENGAGEMENT.json holds the engagement's claims (`akashi wallet show ID --json` prints them as \"claims\"). --events is a JSON array of\n" +
			"events such as {\"kind\": \"end\", \"date\": \"2026-07-10\", \"reason_class\": \"employer\"}.",
		Args: exactArgs("ENGAGEMENT.json"),
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := readJSONFile[attestation.Engagement](args[0])
			if err != nil {
				return err
			}
			var list []compliance.Event
			if events != "" {
				p, err := readJSONFile[[]compliance.Event](events)
				if err != nil {
					return err
				}
				list = *p
			}
			until := attestation.Date{}
			if asOf != "" {
				if until, err = attestation.ParseDate(asOf); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--as-of: %w", err)}
				}
			}
			duties, err := compliance.Calendar(*e, list, attestation.Date{}, until)
			if err != nil {
				return err
			}
			if asJSON {
				return s.json(map[string]any{"duties": duties})
			}
			for _, d := range duties {
				fmt.Fprintf(s.out, "%-15s %-11s due %-10s (nominal %s, %s)  %s: %s; %s\n", d.Obligation, d.Period, d.Due, d.NominalDue, d.Rule, d.DutyHolder, d.Title["en"], d.LegalBasis)
				if d.Note != "" {
					fmt.Fprintf(s.out, "%-15s %s\n", "", d.Note)
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&events, "events", "", "JSON file of events")
	f.StringVar(&asOf, "as-of", "", "only periods up to this day")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func readJSONFile[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := keys.DecodeJSON(data, v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
