package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"akashi/registry"
)

// replaceMembers puts outside witnesses and auditors in the place of the folder's own. Once the log has begun that would be another
// policy than the one that readers have pinned.
func (o initOptions) replaceMembers() (*Config, error) {
	c, err := loadConfig(o.dir)
	if err != nil {
		return nil, err
	}
	if !c.runsRegistry() {
		return nil, fmt.Errorf("%s is of a witness or auditor, not of a registry", c.path(configName))
	}
	if _, err := os.Stat(c.path("registry")); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the log in %s has begun: its policy is pinned by every reader and is not changed by this command", c.path("registry"))
	}
	vkey, err := c.logVKey()
	if err != nil {
		return nil, err
	}
	if err := o.outsidePolicies(c, vkey); err != nil {
		return nil, err
	}
	members := c.Members
	c.Members = nil
	if err := c.write(); err != nil {
		return nil, err
	}
	for _, m := range members { // keys that mean nothing any more
		err = errors.Join(err, os.Remove(c.path(m.Key)))
	}
	return c, err
}

// logVKey returns the verifier key of the folder's log.
func (c *Config) logVKey() (string, error) {
	vkey, err := os.ReadFile(c.path(fileLogVKey))
	if err != nil {
		return "", fmt.Errorf("the log's verifier key: %w", err)
	}
	if _, err := note.NewVerifier(strings.TrimSpace(string(vkey))); err != nil {
		return "", fmt.Errorf("%s: %w", c.path(fileLogVKey), err)
	}
	return strings.TrimSpace(string(vkey)), nil
}

// outsidePolicies writes the two policy files of outside members.
func (o initOptions) outsidePolicies(c *Config, vkey string) error {
	witnesses, err := readMembers(o.policy, vkey, c.Registry.URL, safeQuorum)
	if err != nil {
		return err
	}
	auditors, err := readMembers(o.auditors, vkey, c.Registry.URL, majority)
	if err != nil {
		return err
	}
	if err := registry.CheckPair(witnesses, auditors); err != nil {
		return err
	}
	return errors.Join(
		writeFile(c.path(filePolicy), witnesses.Marshal(), 0o644),
		writeFile(c.path(fileAuditors), auditors.Marshal(), 0o644))
}

// safeQuorum is the smallest quorum q of n witnesses with 2q > n + f, where f = n - q may be wrong: 3 of 4.
func safeQuorum(n int) int { return 2*n/3 + 1 }

// majority is the smallest quorum of n auditors of whom not two can be without a common one: 2 of 3.
func majority(n int) int { return n/2 + 1 }

// readMembers reads a policy of this log, or only its witness lines, which then get the quorum that fits their number.
func readMembers(path, vkey, url string, quorum func(int) int) (*registry.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	p, err := policyOf(string(text), vkey, url, quorum)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.LogVKey != vkey {
		return nil, fmt.Errorf("%s is for another log: leave its log line out, or give a folder with that log's key", path)
	}
	for _, m := range p.Members {
		if m.URL == "" {
			return nil, fmt.Errorf("%s: member %s has no URL at which it can be asked", path, m.Name)
		}
	}
	return p, nil
}

func policyOf(text, vkey, url string, quorum func(int) int) (*registry.Policy, error) {
	var members []registry.Member
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "witness" && (len(words) == 3 || len(words) == 4):
			members = append(members, registry.Member{Name: words[1], VKey: words[2], URL: strings.Join(words[3:], "")})
		default: // more than lines of members: a whole policy
			return registry.ParsePolicy([]byte(text))
		}
	}
	if len(members) == 0 {
		return nil, errors.New("names nobody: it takes the lines that `akashi init --role` prints")
	}
	return registry.NewPolicy(vkey, url, members, quorum(len(members)))
}
