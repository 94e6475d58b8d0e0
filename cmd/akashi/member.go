package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/registry"
)

// memberOptions says which witness or auditor `akashi init --role` makes.
type memberOptions struct {
	dir, host, role, name, log, logURL, anchor string
	port                                       int
	json                                       bool
}

// initMember makes a folder for one witness or auditor, to be run by another party than the registry's, and prints its policy line.
func initMember(s streams, o memberOptions) error {
	if err := o.check(); err != nil {
		return &exitError{exitUsage, err}
	}
	if _, err := os.Stat(filepath.Join(o.dir, configName)); err == nil {
		return fmt.Errorf("%s is there already: choose another folder, or remove it", filepath.Join(o.dir, configName))
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	ports, err := choosePorts(o.port, 1)
	if err != nil {
		return err
	}
	port := strconv.Itoa(ports[0])
	c := &Config{Host: o.host, dir: o.dir}
	m := MemberConfig{Role: o.role, Name: o.name, Key: o.role + ".key", Log: o.log, LogURL: o.logURL}
	m.ServiceConfig = ServiceConfig{Listen: net.JoinHostPort(listenHost(o.host), port), URL: "https://" + net.JoinHostPort(o.host, port)}
	public, err := writeSeed(c.path(m.Key))
	if err != nil {
		return err
	}
	if err := (initOptions{dir: o.dir, host: o.host}).writeTLS(time.Now()); err != nil {
		return err
	}
	if o.role == roleAuditor {
		if err := copyAnchor(o.anchor, c.path(fileAnchor)); err != nil {
			return err
		}
	}
	c.Members = []MemberConfig{m}
	if err := c.write(); err != nil {
		return err
	}
	s.say("made %s; give the line below and %s to the registry's operator", filepath.Join(o.dir, configName), c.path(fileCA))
	line := fmt.Sprintf("witness %s %s %s", o.name, registry.CosignerVKey(o.name+m.suffix(), public), m.URL)
	if o.json {
		return s.json(map[string]string{"config": filepath.Join(o.dir, configName), "url": m.URL, "policy_line": line})
	}
	fmt.Fprintln(s.out, line)
	return nil
}

func (o memberOptions) check() error {
	switch {
	case o.role != roleWitness && o.role != roleAuditor:
		return fmt.Errorf("--role %q: witness or auditor", o.role)
	case o.name == "":
		return errors.New("--name is needed: the member's name in the policy")
	case o.log == "":
		return errors.New("--log is needed: the log's verifier key, the second word of the policy's log line")
	case o.role == roleAuditor && (o.logURL == "" || o.anchor == ""):
		return errors.New("an auditor needs --log-url, where it reads the log, and --trust-anchor, whose lists it checks")
	}
	return nil
}

// suffix of the key name: an auditor's key means exactly that the map is right.
func (m MemberConfig) suffix() string {
	if m.Role == roleAuditor {
		return auditor.KeySuffix
	}
	return ""
}

func copyAnchor(from, to string) error {
	anchor, err := loadAnchor(from)
	if err != nil {
		return err
	}
	return writeFile(to, anchor.JWK(), 0o644)
}

// loadAnchor reads the trust anchor's public JWK.
func loadAnchor(path string) (keys.Public, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return keys.Public{}, fmt.Errorf("reading the trust anchor's public key: %w", err)
	}
	anchor, err := keys.ParsePublic(data)
	if err != nil {
		return keys.Public{}, fmt.Errorf("%s is not the trust anchor's public key, a file such as %s: %w", path, fileAnchor, err)
	}
	return anchor, nil
}
