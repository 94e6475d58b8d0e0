package registry

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// MaxPolicyMembers bounds the members of a policy. A note holds at most 100 signature lines, and two policies and the log share it.
const MaxPolicyMembers = 32

var (
	// ErrPolicy is returned for a policy file that is not one, or that uses what this package leaves out.
	ErrPolicy = errors.New("policy")
	// ErrUnsafeQuorum is returned by [CheckPair] for a witness quorum that could prove an entry both on time and late.
	ErrUnsafeQuorum = errors.New("witness quorum is too small: it needs 2q > n + f, with f = n - q witnesses that may be wrong")
)

// Policy says whose signatures make a checkpoint count: one log and a quorum of its members. Members are witnesses in the one file that
// a verifier pins, auditors in the other.
type Policy struct {
	Origin  string // the log's name, which is the checkpoint's origin
	Log     note.Verifier
	LogVKey string
	LogURL  string // "" when the file has none
	Members []Member
	Quorum  int // how many members must have signed
}

// Member is one witness or auditor. Name is used in the policy file only; the cosignatures carry the name in the key.
type Member struct {
	Name     string
	VKey     string
	URL      string // submission prefix for add-checkpoint; "" when the file has none
	Verifier note.Verifier
}

// NewPolicy makes a policy of parts: members need Name, VKey and, where known, URL.
func NewPolicy(logVKey, logURL string, members []Member, quorum int) (*Policy, error) {
	p := &Policy{LogVKey: logVKey, LogURL: logURL, Members: members, Quorum: quorum}
	return ParsePolicy(p.Marshal())
}

// Marshal writes the policy as a C2SP tlog-policy file. [ParsePolicy] of it is the same policy, whose Marshal is the same text.
func (p *Policy) Marshal() []byte {
	var b strings.Builder
	writeLine(&b, "log", p.LogVKey, p.LogURL)
	for _, m := range p.Members {
		writeLine(&b, "witness", m.Name, m.VKey, m.URL)
	}
	fmt.Fprintf(&b, "group %s %d", p.groupName(), p.Quorum)
	for _, m := range p.Members {
		b.WriteString(" " + m.Name)
	}
	fmt.Fprintf(&b, "\nquorum %s\n", p.groupName())
	return []byte(b.String())
}

// groupName returns a name for the group that no member has.
func (p *Policy) groupName() string {
	name := "quorum"
	for slices.ContainsFunc(p.Members, func(m Member) bool { return m.Name == name }) {
		name += "-group"
	}
	return name
}

func writeLine(b *strings.Builder, words ...string) {
	if words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	b.WriteString(strings.Join(words, " ") + "\n")
}

// ParsePolicy reads a C2SP tlog-policy file:
//
//	log <vkey> [<url>]
//	witness <name> <vkey> [<url>]
//	group <name> <k>|any|all <name>...
//	quorum <name>
//
// It reads policies of the form "q of n": one log, whose vkey name is the origin, and one quorum that is a witness or a group of all
// the witnesses. Refused, beyond what the specification refuses: nested or further groups, witnesses outside the quorum, "quorum none",
// and lines that other readers of the format split in another way.
func ParsePolicy(text []byte) (*Policy, error) {
	r := policyReader{policy: new(Policy)}
	for i, line := range strings.Split(string(text), "\n") {
		fields, err := splitPolicyLine(line)
		if err == nil && len(fields) > 0 {
			err = r.line(fields[0], fields[1:])
		}
		if err != nil {
			return nil, fmt.Errorf("%w line %d: %w", ErrPolicy, i+1, err)
		}
	}
	if err := r.finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	return r.policy, nil
}

// splitPolicyLine returns the words of a line, none for empty and comment lines. Only space and tab separate words; a "#" starts a
// comment only at the beginning. Readers disagree on both, so lines on which they would are refused.
func splitPolicyLine(line string) ([]string, error) {
	trimmed := strings.Trim(line, " \t")
	if strings.IndexFunc(line, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) >= 0 {
		return nil, errors.New("has a control character: end lines with a newline only")
	}
	if trimmed == "" || trimmed[0] == '#' {
		return nil, nil
	}
	fields := strings.FieldsFunc(trimmed, func(r rune) bool { return r == ' ' || r == '\t' })
	if strings.Contains(trimmed, "#") {
		return nil, errors.New(`put comments on lines of their own: "#" stands within a line`)
	}
	if !slices.Equal(fields, strings.Fields(trimmed)) {
		return nil, errors.New("has white space other than space and tab")
	}
	return fields, nil
}

type policyReader struct {
	policy *Policy
	group  struct {
		name    string
		members []string
	}
	quorum string
	keys   keySet
}

func (r *policyReader) line(keyword string, args []string) error {
	switch keyword {
	case "log":
		return r.log(args)
	case "witness":
		return r.witness(args)
	case "group":
		return r.groupLine(args)
	case "quorum":
		return r.quorumLine(args)
	}
	return fmt.Errorf("unknown keyword %q: one of log, witness, group, quorum", keyword)
}

func (r *policyReader) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("write: log <vkey> [<url>]")
	}
	if r.policy.Log != nil {
		return errors.New("a second log: one policy is for one log")
	}
	k, err := parseVKey(args[0])
	if err != nil {
		return err
	}
	v, err := note.NewVerifier(args[0])
	if err != nil {
		return fmt.Errorf("not the vkey of a log: %w", err)
	}
	r.policy.Origin, r.policy.Log, r.policy.LogVKey = v.Name(), v, args[0]
	r.policy.LogURL = optional(args, 1)
	return r.keys.add(k.public)
}

func (r *policyReader) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("write: witness <name> <vkey> [<url>]")
	}
	if len(r.policy.Members) == MaxPolicyMembers {
		return fmt.Errorf("more than %d witnesses", MaxPolicyMembers)
	}
	if err := r.newName(args[0]); err != nil {
		return err
	}
	v, err := NewCosignatureVerifier(args[1])
	if err != nil {
		return err
	}
	r.policy.Members = append(r.policy.Members, Member{Name: args[0], VKey: args[1], URL: optional(args, 2), Verifier: v})
	return r.keys.add(v.(*cosignatureVerifier).public)
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func (r *policyReader) newName(name string) error {
	if name == "none" {
		return errors.New(`the name "none" is reserved`)
	}
	if name == r.group.name || r.member(name) {
		return fmt.Errorf("the name %q is defined twice", name)
	}
	return nil
}

func (r *policyReader) member(name string) bool {
	return slices.ContainsFunc(r.policy.Members, func(m Member) bool { return m.Name == name })
}

func (r *policyReader) groupLine(args []string) error {
	if len(args) < 3 {
		return errors.New("write: group <name>, then a number, any or all, then the witnesses")
	}
	name, number, members := args[0], args[1], args[2:]
	if r.group.name != "" {
		return errors.New("a second group: groups of groups are not supported")
	}
	if err := r.newName(name); err != nil {
		return err
	}
	for i, m := range members {
		if !r.member(m) {
			return fmt.Errorf("%q in the group is not a witness defined above", m)
		}
		if slices.Contains(members[:i], m) {
			return fmt.Errorf("%q stands twice in the group", m)
		}
	}
	k, err := threshold(number, len(members))
	r.policy.Quorum, r.group.name, r.group.members = k, name, members
	return err
}

func threshold(s string, n int) (int, error) {
	switch s {
	case "any":
		return 1, nil
	case "all":
		return n, nil
	}
	k, err := strconv.Atoi(s)
	if err != nil || s != strconv.Itoa(k) || k < 1 || k > n {
		return 0, fmt.Errorf("the group's number must be any, all or 1 to %d", n)
	}
	return k, nil
}

func (r *policyReader) quorumLine(args []string) error {
	if len(args) != 1 {
		return errors.New("write: quorum <name>")
	}
	if r.quorum != "" {
		return errors.New("a second quorum")
	}
	switch name := args[0]; {
	case name == "none":
		return errors.New("a quorum of none proves nothing: name a witness or a group")
	case r.member(name):
		r.group.members, r.policy.Quorum = []string{name}, 1
	case name != r.group.name:
		return fmt.Errorf("%q is not a witness or group defined above", name)
	}
	r.quorum = args[0]
	return nil
}

func (r *policyReader) finish() error {
	switch {
	case r.policy.Log == nil:
		return errors.New("has no log line")
	case r.quorum == "":
		return errors.New("has no quorum line")
	}
	for _, m := range r.policy.Members {
		if !slices.Contains(r.group.members, m.Name) {
			return fmt.Errorf("witness %q is not in the quorum: remove it or add it to the group", m.Name)
		}
	}
	return nil
}

// keySet finds a public key that is used twice, under whatever names (C2SP tlog-policy, "Public key representation").
type keySet map[[ed25519.PublicKeySize]byte]bool

func (s *keySet) add(public ed25519.PublicKey) error {
	k := [ed25519.PublicKeySize]byte(public)
	if (*s)[k] {
		return errors.New("the same public key stands twice: every log, witness and auditor has its own")
	}
	if *s == nil {
		*s = make(keySet)
	}
	(*s)[k] = true
	return nil
}

// CheckPair checks that two policies belong together: they name the same log, no key stands in both, and the witnesses' quorum is
// large enough that, with up to f = n - q of them wrong, an entry is never provably on time and late: 2q > n + f. Two quorums share
// at least 2q - n members; when that is more than f, one of them is honest.
func CheckPair(witnesses, auditors *Policy) error {
	if witnesses.LogVKey != auditors.LogVKey {
		return fmt.Errorf("%w: witnesses and auditors are for different logs, %q and %q", ErrPolicy, witnesses.Origin, auditors.Origin)
	}
	var keys keySet
	for _, m := range slices.Concat(witnesses.Members, auditors.Members) {
		k, err := parseVKey(m.VKey)
		if err == nil {
			err = keys.add(k.public)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPolicy, m.Name, err)
		}
	}
	n, q := len(witnesses.Members), witnesses.Quorum
	if f := n - q; 2*q <= n+f {
		return fmt.Errorf("%w: n = %d, q = %d", ErrUnsafeQuorum, n, q)
	}
	return nil
}

// verifier returns the member's verifier for a signature line with that name and key hash, or nil.
func (p *Policy) verifier(name string, hash uint32) note.Verifier {
	for _, m := range p.Members {
		if m.Verifier.Name() == name && m.Verifier.KeyHash() == hash {
			return m.Verifier
		}
	}
	return nil
}
