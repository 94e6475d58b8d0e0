package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"akashi/attestation"
	"akashi/issuer"
)

func newOrg(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "Organizations that issue here"}
	var config, role, id, name, nameEn, group, from string
	var asJSON bool
	add := &cobra.Command{
		Use:   "add",
		Short: "Add an organization: keys, trust list entry, issuer path",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			r, err := attestation.ParseRole(role)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			req := orgRequest{Role: r, ID: id, Name: map[string]string{"ja": name}, Group: group, From: attestation.DateOf(time.Now())}
			if name == "" {
				return &exitError{exitUsage, errors.New("--name is needed")}
			}
			if nameEn != "" {
				req.Name["en"] = nameEn
			}
			if from != "" {
				if req.From, err = attestation.ParseDate(from); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--from: %w", err)}
				}
			}
			a, done, err := openAdmin(s, cfg)
			if err != nil {
				return err
			}
			resp, err := a.AddOrg(cmd.Context(), req)
			if err := errors.Join(err, done()); err != nil {
				return err
			}
			if asJSON {
				return s.json(resp)
			}
			fmt.Fprintln(s.out, resp.Issuer)
			return nil
		},
	}
	f := add.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&role, "role", "", "accepting-organization, support-organization, bank or authority")
	f.StringVar(&id, "id", "", "corporate number, or registration number of a support organization")
	f.StringVar(&name, "name", "", "name in Japanese")
	f.StringVar(&nameEn, "name-en", "", "name in English")
	f.StringVar(&group, "group", "", "group of companies it belongs to: members never corroborate each other")
	f.StringVar(&from, "from", "", "first day of accreditation; default today")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.AddCommand(add)
	return cmd
}

func newIssuer(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "issuer", Short: "Issue attestations from files, and offer credentials to wallets"}
	cmd.AddCommand(newImport(s), newOffer(s), newRevoke(s))
	return cmd
}

// importFlags are the flags of `akashi issuer import`.
type importFlags struct {
	config, org, typ, mapping, out string
	dryRun, goodRows, supersede    bool
	json                           bool
}

func newImport(s streams) *cobra.Command {
	var o importFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Issue one attestation for each row of a payroll, bank, support or notice file",
		Long: "Each row of FILE becomes one signed attestation in its slot of the registry. Types: engagement, enrolment, wage-payment (CSV with\n" +
			"--mapping), wage-receipt (Zengin type 03), support-interview, support-session, notification-filed, separation (CSV).\n" +
			"The same file again issues nothing twice. Try --dry-run first.",
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(o.config)
			if err != nil {
				return err
			}
			req, err := o.request(args[0])
			if err != nil {
				return err
			}
			a, done, err := openAdmin(s, cfg)
			if err != nil {
				return err
			}
			resp, err := a.Import(cmd.Context(), *req)
			if err := errors.Join(err, done()); err != nil {
				return err
			}
			if err := o.writeEngagements(resp); err != nil {
				return err
			}
			return o.print(s, resp.Report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "config.yaml of the instance")
	f.StringVar(&o.org, "org", "", "id of the organization that attests")
	f.StringVar(&o.typ, "type", "", "type of attestation")
	f.StringVar(&o.mapping, "mapping", "", "for wage-payment: JSON file that says which column holds what")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be issued; sign nothing")
	f.BoolVar(&o.goodRows, "good-rows", false, "issue the good rows although others have errors")
	f.BoolVar(&o.supersede, "supersede", false, "a row that differs from what was attested before replaces it; the earlier one stays visible")
	f.StringVar(&o.out, "out", "", "for engagement: folder that receives one SD-JWT a row, for the worker")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	return cmd
}

func (o *importFlags) request(path string) (*importRequest, error) {
	req := &importRequest{Org: o.org, Type: attestation.Type(o.typ), Name: filepath.Base(path), DryRun: o.dryRun, GoodRows: o.goodRows, Supersede: o.supersede}
	var err error
	if req.Data, err = os.ReadFile(path); err != nil {
		return nil, err
	}
	if o.mapping != "" {
		if req.Mapping, err = os.ReadFile(o.mapping); err != nil {
			return nil, err
		}
	}
	if req.Type == issuer.TypeEnrolment {
		req.Files = map[string][]byte{}
		for _, row := range issuer.ParseEnrolments(req.Name, req.Data).Rows {
			name := row.Claims.Presentation
			data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
			if err == nil {
				req.Files[name] = data
			}
		}
	}
	return req, nil
}

// writeEngagements writes one file a row, named after the reference.
func (o *importFlags) writeEngagements(resp *importResponse) error {
	if o.out == "" {
		return nil
	}
	if err := os.MkdirAll(o.out, 0o700); err != nil {
		return err
	}
	for n, row := range resp.Report.Rows {
		if resp.SDJWTs[n] == "" {
			continue
		}
		if err := writeFile(filepath.Join(o.out, fmt.Sprintf("engagement-row%d.sdjwt", row.Row)), []byte(resp.SDJWTs[n]), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// print shows the report; it is an error unless every row is where it should be.
func (o *importFlags) print(s streams, r *issuer.Report) error {
	if o.json {
		if err := s.json(r); err != nil {
			return err
		}
	} else {
		printReport(s, r)
	}
	if !r.OK() {
		return &exitError{exitFails, nil}
	}
	return nil
}

func printReport(s streams, r *issuer.Report) {
	if r.Encoding != "" {
		s.say("%s: read as %s", r.File, r.Encoding)
	}
	if len(r.Ignored) > 0 {
		s.say("columns not read: %v", r.Ignored)
	}
	for _, n := range r.Notes {
		s.say("note: row %d %s %s", n.Row, n.Column, n.Text)
	}
	for _, e := range r.Errors {
		s.say("error: %s", e.Clerk())
	}
	for _, row := range r.Rows {
		place := fmt.Sprintf("%s %s", row.Stream, row.Period)
		if row.Stream == "" {
			place = "engagement"
		}
		log := ""
		if row.Index != nil {
			log = fmt.Sprintf(" recorded at log position %d", *row.Index)
		}
		fmt.Fprintf(s.out, "row %d %s: %s%s\n", row.Row, row.Status, place, log)
	}
	s.say("%d logged, %d stored and waiting for the registry, %d already there, %d ready (dry run), %d errors",
		r.Count(issuer.StatusLogged), r.Count(issuer.StatusStored), r.Count(issuer.StatusAlready), r.Count(issuer.StatusReady), len(r.Errors))
}
