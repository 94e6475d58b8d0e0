package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

const (
	roleWitness = "witness"
	roleAuditor = "auditor"

	defaultPort   = 8440
	witnessCount  = 4
	witnessQuorum = 3
	auditorCount  = 3
	auditorQuorum = 2
	filePolicy    = "policy"
	fileAuditors  = "policy-auditors"
	fileAnchor    = "trust-anchor.jwk"
	fileAnchorKey = "trust-anchor-private.jwk"
	fileCA        = "ca.pem"
	fileCAKey     = "ca-key.pem"
	fileIssuerCA  = "issuer-ca.pem"
	fileIssuerKey = "issuer-ca-key.pem"
	fileTLS       = "tls.pem"
	fileTLSKey    = "tls-key.pem"
	fileLogKey    = "log.key"
	fileLogVKey   = "log.vkey"
	dirTrustLists = "trust-lists"
)

// initOptions says what `akashi init` makes.
type initOptions struct {
	dir, host string
	port      int       // first port; 0 = free ones
	now       time.Time // for what is judged by the story's clock: issuer certificates and trust list
	policy    string    // files of outside witnesses and auditors; empty = our own four and three
	auditors  string
}

func newInit(s streams) *cobra.Command {
	var o initOptions
	var m memberOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make keys, certificates, trust list, policy and DIR/config.yaml",
		Long: "Make a folder that `akashi serve --config DIR/config.yaml` runs: keys, a certificate authority (DIR/ca.pem), certificates,\n" +
			"an empty trust list, the two policy files and the configuration. With --role, a witness or auditor of its own: give it the log's\n" +
			"verifier key, DIR/log.vkey of the registry; it prints its policy line. With --policy and --policy-auditors, a registry with outside\n" +
			"witnesses and auditors in place of its own: files of such lines, also for a folder that was made before and never served.",
		Args: exactArgs("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir, o.now = args[0], time.Now()
			if m.role != "" {
				m.dir, m.host, m.port, m.json = o.dir, o.host, o.port, asJSON
				return initMember(s, m)
			}
			c, err := initInstance(o)
			if err != nil {
				return err
			}
			s.say("made %s: registry %s, issuer %s", filepath.Join(o.dir, configName), c.Registry.URL, c.Issuer.URL)
			s.say("next: akashi org add --config %s --role accepting-organization --id ID --name NAME", filepath.Join(o.dir, configName))
			if asJSON {
				return s.json(map[string]string{"config": filepath.Join(o.dir, configName), "registry": c.Registry.URL, "issuer": c.Issuer.URL})
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.host, "host", "localhost", "name under which the services are reached")
	f.IntVar(&o.port, "port", defaultPort, "first port; the others follow; 0 takes free ones")
	f.StringVar(&o.policy, "policy", "", "file of the outside witnesses' policy lines, or C2SP policy file (with --policy-auditors)")
	f.StringVar(&o.auditors, "policy-auditors", "", "the same of the outside auditors")
	f.StringVar(&m.role, "role", "", "witness or auditor: a folder for one of these alone")
	f.StringVar(&m.name, "name", "", "with --role: its name in the policy")
	f.StringVar(&m.log, "log", "", "with --role: the log's verifier key")
	f.StringVar(&m.logURL, "log-url", "", "with --role auditor: where the log is read")
	f.StringVar(&m.anchor, "trust-anchor", "", "with --role auditor: file of the trust anchor's public JWK")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// initInstance makes a folder for a whole instance. An existing configuration is never overwritten.
func initInstance(o initOptions) (*Config, error) {
	if (o.policy == "") != (o.auditors == "") {
		return nil, &exitError{exitUsage, errors.New("--policy and --policy-auditors go together")}
	}
	if _, err := os.Stat(filepath.Join(o.dir, configName)); err == nil && o.policy != "" {
		return o.replaceMembers()
	} else if err == nil {
		return nil, fmt.Errorf("%s is there already: choose another folder, or remove it", filepath.Join(o.dir, configName))
	}
	if err := os.MkdirAll(filepath.Join(o.dir, dirTrustLists), 0o700); err != nil {
		return nil, err
	}
	ports, err := choosePorts(o.port, 4+witnessCount+auditorCount)
	if err != nil {
		return nil, err
	}
	service := func(i int) ServiceConfig {
		p := strconv.Itoa(ports[i])
		return ServiceConfig{Listen: net.JoinHostPort(listenHost(o.host), p), URL: "https://" + net.JoinHostPort(o.host, p)}
	}
	c := &Config{Host: o.host, dir: o.dir}
	c.Registry.ServiceConfig, c.Issuer = service(0), service(1)
	c.Verifier.ServiceConfig = service(3 + witnessCount + auditorCount)
	c.Registry.Origin = net.JoinHostPort(o.host, strconv.Itoa(ports[0]))
	c.Registry.Epoch, c.Registry.Idle = time.Second, time.Minute
	c.Registry.MetricsListen = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[2+witnessCount+auditorCount]))

	logVKey, err := o.writeKeys(c)
	if err != nil {
		return nil, err
	}
	if o.policy != "" {
		err = o.outsidePolicies(c, logVKey)
	} else {
		err = o.writeMembers(c, logVKey, service)
	}
	if err != nil {
		return nil, err
	}
	return c, c.write()
}

// listenHost keeps the services of a loopback name on loopback.
func listenHost(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return host
	}
	return ""
}

// writeKeys makes the certificate authorities, the signer of status lists, the trust anchor with a first list of no organization, and the log's key, whose verifier it returns.
func (o initOptions) writeKeys(c *Config) (logVKey string, err error) {
	if err := o.writeTLS(time.Now()); err != nil {
		return "", err
	}
	issuers, err := newAuthority("Akashi issuers", o.now)
	if err != nil {
		return "", err
	}
	if err := issuers.save(c.path(fileIssuerCA), c.path(fileIssuerKey)); err != nil {
		return "", err
	}
	if err := c.makeStatusSigner(issuers, o.now); err != nil {
		return "", err
	}
	statuses, err := c.ownStatusService()
	if err != nil {
		return "", err
	}
	anchor, err := keys.Generate(keys.ES256)
	if err != nil {
		return "", err
	}
	private, err := anchor.MarshalJWK()
	if err != nil {
		return "", err
	}
	list, err := trustlist.Sign(anchor, 1, o.now, nil, statuses)
	if err != nil {
		return "", err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, c.Registry.Origin)
	if err != nil {
		return "", err
	}
	return vkey, errors.Join(
		writeFile(c.path(fileAnchor), anchor.Public().JWK(), 0o644),
		writeFile(c.path(fileAnchorKey), private, 0o600),
		writeFile(c.trustListPath(1), []byte(list), 0o644),
		writeFile(c.path(fileLogVKey), []byte(vkey+"\n"), 0o644),
		writeFile(c.path(fileLogKey), []byte(skey+"\n"), 0o600))
}

func (c *Config) trustListPath(n uint64) string {
	return c.path(dirTrustLists, fmt.Sprintf("%06d.jwt", n))
}

// writeTLS makes the certificate authority for https and one certificate for all services of the folder.
func (o initOptions) writeTLS(now time.Time) error {
	ca, err := newAuthority("Akashi on "+o.host, now)
	if err != nil {
		return err
	}
	server, err := ca.server(o.host, now)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return err
	}
	return errors.Join(
		ca.save(filepath.Join(o.dir, fileCA), filepath.Join(o.dir, fileCAKey)),
		writeFile(filepath.Join(o.dir, fileTLS), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]}), 0o644),
		writeFile(filepath.Join(o.dir, fileTLSKey), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}

// writeMembers makes our own witnesses and auditors and the two policy files that name them.
func (o initOptions) writeMembers(c *Config, logVKey string, service func(int) ServiceConfig) error {
	build := func(role, suffix, prefix, file string, n, quorum, firstPort int) error {
		var members []registry.Member
		for i := range n {
			name := fmt.Sprintf("%s%d.%s", prefix, i+1, o.host)
			m := MemberConfig{Role: role, Name: name, ServiceConfig: service(firstPort + i), Key: fmt.Sprintf("%s%d.key", prefix, i+1)}
			public, err := writeSeed(c.path(m.Key))
			if err != nil {
				return err
			}
			members = append(members, registry.Member{Name: name, VKey: registry.CosignerVKey(name+suffix, public), URL: m.URL})
			c.Members = append(c.Members, m)
		}
		p, err := registry.NewPolicy(logVKey, c.Registry.URL, members, quorum)
		if err != nil {
			return err
		}
		return writeFile(c.path(file), p.Marshal(), 0o644)
	}
	return errors.Join(
		build(roleWitness, "", "w", filePolicy, witnessCount, witnessQuorum, 2),
		build(roleAuditor, auditor.KeySuffix, "a", fileAuditors, auditorCount, auditorQuorum, 2+witnessCount))
}

// loadPolicies reads the pair of policy files and checks that they fit together. Without an auditors' file auditors is nil.
func loadPolicies(policyPath, auditorsPath string) (witnesses, auditors *registry.Policy, err error) {
	if witnesses, err = loadPolicy(policyPath); err != nil {
		return nil, nil, err
	}
	if auditorsPath == "" {
		return witnesses, nil, nil
	}
	if auditors, err = loadPolicy(auditorsPath); err != nil {
		return nil, nil, err
	}
	return witnesses, auditors, registry.CheckPair(witnesses, auditors)
}

func loadPolicy(path string) (*registry.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the policy, which the registry publishes: %w", err)
	}
	p, err := registry.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// writeSeed makes an Ed25519 key and stores its seed in hex.
func writeSeed(path string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return public, writeFile(path, []byte(hex.EncodeToString(private.Seed())+"\n"), 0o600)
}

// Free ports are sought below those that systems give to outgoing connections (from 32768 on Linux), in blocks, so that what is free now is
// still free when the service starts.
const (
	portBlocksBegin, portBlocksEnd = 20000, 32752
	portBlock                      = 16
)

// choosePorts returns n ports from first on, or from the first of a free block when first is 0.
func choosePorts(first, n int) ([]int, error) {
	blocks := (portBlocksEnd - portBlocksBegin) / portBlock
	for range blocks {
		if first != 0 {
			break
		}
		if b := portBlocksBegin + portBlock*mathrand.IntN(blocks); portsFree(b, n) {
			first = b
		}
	}
	if first == 0 {
		return nil, fmt.Errorf("no %d free ports in a row were found between %d and %d: name the first with --port", n, portBlocksBegin, portBlocksEnd)
	}
	ports := make([]int, n)
	for i := range ports {
		ports[i] = first + i
	}
	return ports, nil
}

func portsFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
