package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		Long: "Add an organization that attests here: make its keys, list it in a new version of the trust list, and print its issuer identifier.\n" +
			"An organization that is there already is left as it is. --id is the 13-digit corporate number (check digit first) or the registration\n" +
			"number of a support organization, such as 19登-000001. With --role verifier the key of this instance's verifier is listed as that of an\n" +
			"office, so that wallets know who asks and files that it saves say who saved them.",
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config)
			if err != nil {
				return err
			}
			r := attestation.Role(role)
			if _, ok := typesOf[r]; !ok && r != attestation.Verifier {
				return &exitError{exitUsage, fmt.Errorf("--role %q: accepting-organization, support-organization, bank, authority or verifier", role)}
			}
			if id == "" {
				return &exitError{exitUsage, errors.New("--id is needed: the corporate number, or the registration number of a support organization")}
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
			if resp.Before {
				s.say("%s is there already and was left as it is, with its name", resp.ID)
			}
			if asJSON {
				return s.json(resp)
			}
			if resp.Role == attestation.Verifier {
				fmt.Fprintln(s.out, resp.ID)
			} else {
				fmt.Fprintln(s.out, resp.Issuer)
			}
			return nil
		},
	}
	f := add.Flags()
	f.StringVar(&config, "config", "", "config.yaml of the instance")
	f.StringVar(&role, "role", "", "accepting-organization, support-organization, bank, authority or verifier")
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
			"--mapping), wage-receipt (Zengin type 03), support-interview, support-session, notification-filed, notification-receipt, separation,\n" +
			"remedy (CSV).\n" +
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

// importTypes are the types of files that can be imported.
var importTypes = []attestation.Type{attestation.TypeEngagement, issuer.TypeEnrolment, attestation.TypeWagePayment, attestation.TypeWageReceipt,
	attestation.TypeSupportInterview, attestation.TypeSupportSession, attestation.TypeNotificationFiled, attestation.TypeSeparation}

func (o *importFlags) request(path string) (*importRequest, error) {
	switch typ := attestation.Type(o.typ); {
	case o.org == "":
		return nil, &exitError{exitUsage, errors.New("--org is needed: the id that was given to akashi org add")}
	case !slices.Contains(importTypes, typ):
		return nil, &exitError{exitUsage, fmt.Errorf("--type %q: one of %s", o.typ, joined(importTypes))}
	case typ == attestation.TypeWagePayment && o.mapping == "":
		return nil, &exitError{exitUsage, errors.New("--mapping FILE is needed for a payroll file: it says which column holds what; testdata/story/payroll has some to start from")}
	}
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
		s.say("columns not read: %s", strings.Join(r.Ignored, ", "))
	}
	for _, n := range r.Notes {
		s.say("note: %s", noted(n))
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
	s.say("%s", summary(r))
}

// noted is a note with its place.
func noted(n issuer.Note) string {
	var where []string
	if n.Row > 0 {
		where = append(where, fmt.Sprintf("row %d", n.Row))
	}
	if n.Column != "" {
		where = append(where, "column "+n.Column)
	}
	if len(where) == 0 {
		return n.Text
	}
	return strings.Join(where, ", ") + ": " + n.Text
}

// summary counts what became of the rows, and says how to go on where something is left to do.
func summary(r *issuer.Report) string {
	var parts []string
	for _, c := range []struct {
		status string
		text   string
	}{
		{issuer.StatusLogged, "logged"},
		{issuer.StatusEnrol, "enrolled"},
		{issuer.StatusStored, "stored, to be sent to the registry when it is reached"},
		{issuer.StatusAlready, "there already"},
		{issuer.StatusNoRoom, "without room: others have filled the slots of the period"},
		{issuer.StatusReady, "ready"},
	} {
		if n := r.Count(c.status); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	parts = append(parts, fmt.Sprintf("%d error(s)", len(r.Errors)))
	switch ready := r.Count(issuer.StatusReady); {
	case r.DryRun:
		return strings.Join(parts, ", ") + "; a dry run: nothing was signed"
	case ready > 0 && len(r.Errors) > 0:
		return strings.Join(parts, ", ") + "; nothing was signed: correct the errors, or issue the good rows alone with --good-rows"
	}
	return strings.Join(parts, ", ")
}

func joined[T ~string](list []T) string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return strings.Join(out, ", ")
}
