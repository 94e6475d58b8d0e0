package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"akashi/internal/evidence"
	"akashi/verifier"
)

// pageFlags say how an assessment is written as a page.
type pageFlags struct {
	out     string
	options verifier.PageOptions
}

func (p *pageFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.out, "page", "", "write the assessment as one HTML file")
	f.BoolVar(&p.options.Submission, "submission", false, "with --page: one sheet of A4 to submit with the evidence file")
	f.StringVar(&p.options.Lang, "lang", "", "with --page: ja or en, the other stands beside; default ja")
	f.StringVar(&p.options.Service, "service", "", "with --page: URL of the verifier that keeps the file; the printed code then leads to its page that verifies again")
}

// check refuses what is said about a page that nobody asked for.
func (p *pageFlags) check() error {
	if p.out == "" && (p.options.Submission || p.options.Lang != "" || p.options.Service != "") {
		return &exitError{exitUsage, errors.New("--submission, --lang and --service go with --page FILE, the HTML file to write")}
	}
	return nil
}

// write makes the page of a file of a kind, which was read from a path.
func (p *pageFlags) write(file []byte, kind, path string, trust evidence.Trust, now time.Time) error {
	switch {
	case p.out == "":
		return nil
	case kind != evidence.Kind:
		return &exitError{exitUsage, errors.New("--page: only an evidence file has an assessment to write")}
	}
	p.options.FileName, p.options.Made = filepath.Base(path), now
	var b bytes.Buffer
	if _, err := verifier.WritePage(&b, file, trust, p.options); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--page: %w", err)}
	}
	return writeFile(p.out, b.Bytes(), 0o644)
}
