package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/logserver"
	"akashi/internal/store"
	"akashi/internal/web"
	"akashi/internal/witness"
	"akashi/issuer"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/verifier"
)

// Roles that `akashi serve --roles` takes.
var allRoles = []string{"registry", roleWitness, roleAuditor, "issuer", roleVerifier}

// instanceOptions change how an instance runs; the zero value is the normal way.
type instanceOptions struct {
	roles  []string         // nil = all
	now    func() time.Time // clock of the log, the witnesses and the issuers; TLS and timers keep the machine's
	log    *slog.Logger
	traces trace.TracerProvider // nil = none
	epoch  time.Duration        // replaces the configuration's, and turns the idle epoch off: for a story told in a minute, which waits for its members
}

// instance is a running set of services.
type instance struct {
	cfg      *Config
	opt      instanceOptions
	client   *http.Client
	anchor   keys.Public
	registry *logserver.Server
	issuer   *issuer.Issuer
	verifier *verifier.VP
	desk     *verifier.Desk
	statuses *web.StatusLists     // that the verifier asks
	metrics  *prometheus.Registry // of all services here

	servers []*http.Server
	stores  []store.Store
	failed  chan error // a server that ended by itself
}

// startInstance starts the services of a folder, in the order in which they need one another. What it returns must be stopped, also
// when there is an error.
func startInstance(ctx context.Context, cfg *Config, opt instanceOptions) (*instance, error) {
	in := newInstance(cfg, opt)
	var err error
	if in.client, err = cfg.client(); err != nil {
		return in, err
	}
	for _, step := range []func(context.Context) error{in.startMembers, in.startRegistry, in.startIssuer, in.startVerifier, in.startMetrics} {
		if err := step(ctx); err != nil {
			return in, err
		}
	}
	return in, nil
}

// newInstance is an instance that runs nothing yet.
func newInstance(cfg *Config, opt instanceOptions) *instance {
	in := &instance{cfg: cfg, opt: opt, failed: make(chan error, 16), metrics: newMetrics()}
	if in.opt.now == nil {
		in.opt.now = time.Now
	}
	if in.opt.log == nil {
		in.opt.log = slog.New(slog.DiscardHandler)
	}
	if in.opt.roles == nil {
		in.opt.roles = allRoles
	}
	return in
}

// client returns the client by which the services of the folder reach one another: it trusts the folder's own authority, and those of
// outside members that the operator put beside it as ca-*.pem.
func (c *Config) client() (*http.Client, error) {
	paths, err := filepath.Glob(c.path("ca-*.pem"))
	if err != nil {
		return nil, err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return filepath.Base(p) == fileCAKey })
	return httpClient(append([]string{c.path(fileCA)}, paths...)...)
}

func (in *instance) runs(role string) bool { return slices.Contains(in.opt.roles, role) }

// stop ends every service, the registry after its epoch, and closes the stores.
func (in *instance) stop(ctx context.Context) error {
	var errs []error
	if in.registry != nil {
		errs = append(errs, in.registry.Close(ctx))
	}
	if in.client != nil {
		in.client.CloseIdleConnections()
	}
	if in.verifier != nil {
		in.verifier.Close() // pages that wait are told nothing more
	}
	// All together: each server gives its HTTP/2 clients a second to go.
	var g errgroup.Group
	for _, s := range in.servers {
		g.Go(func() error { return s.Shutdown(ctx) })
	}
	errs = append(errs, g.Wait())
	for _, s := range slices.Backward(in.stores) {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// openStore opens the store of one service below the folder.
func (in *instance) openStore(elem ...string) (store.Store, error) {
	s, err := in.cfg.openStore(in.opt.log, elem...)
	if err == nil {
		in.stores = append(in.stores, s)
	}
	return s, err
}

func (c *Config) openStore(log *slog.Logger, elem ...string) (store.Store, error) {
	key, err := c.storeKey()
	if err != nil {
		return nil, err
	}
	return store.OpenBadger(c.path(elem...), key, log)
}

// storeKey returns the key that encrypts the stores, nil for none.
func (c *Config) storeKey() ([]byte, error) {
	if c.Stores.Key == "" {
		return nil, nil
	}
	key, err := readHexKey(c.path(c.Stores.Key), 32)
	if err != nil {
		return nil, fmt.Errorf("stores.key: %w", err)
	}
	return key, nil
}

// cipherSuites are those that RFC 9325, Section 4.2 recommends for TLS 1.2; those of TLS 1.3 need no choice.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

// listen serves h over https where a service listens.
func (in *instance) listen(service ServiceConfig, h http.Handler) error {
	l, err := net.Listen("tcp", service.Listen)
	if err != nil {
		return fmt.Errorf("%w; another process may use the port: change it in %s or stop that process", err, in.cfg.path(configName))
	}
	return in.serveTLS(l, h)
}

// serveTLS serves h over https until the instance stops, which closes the listener.
func (in *instance) serveTLS(l net.Listener, h http.Handler) error {
	cert, err := tls.LoadX509KeyPair(in.cfg.path(fileTLS), in.cfg.path(fileTLSKey))
	if err != nil {
		return errors.Join(fmt.Errorf("reading the server certificate: %w", err), l.Close())
	}
	s := &http.Server{
		Handler:           h,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, CipherSuites: cipherSuites},
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(in.opt.log.Handler(), slog.LevelDebug),
	}
	in.servers = append(in.servers, s)
	go func() {
		if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			in.failed <- err
		}
	}()
	return nil
}

func (in *instance) startMembers(ctx context.Context) error {
	for _, m := range in.cfg.Members {
		if !in.runs(m.Role) {
			continue
		}
		h, err := in.member(ctx, m)
		if err != nil {
			return fmt.Errorf("%s %s: %w", m.Role, m.Name, err)
		}
		if err := in.listen(m.ServiceConfig, h); err != nil {
			return fmt.Errorf("%s %s: %w", m.Role, m.Name, err)
		}
	}
	return nil
}

// member makes a witness or auditor.
func (in *instance) member(ctx context.Context, m MemberConfig) (http.Handler, error) {
	key, err := readSeed(in.cfg.path(m.Key))
	if err != nil {
		return nil, err
	}
	log := LogConfig{m.Log, m.LogURL}
	if log.VKey == "" {
		if log, err = in.cfg.ownLog(); err != nil {
			return nil, err
		}
	}
	st, err := in.openStore(m.Role + "-" + m.Name)
	if err != nil {
		return nil, err
	}
	if m.Role == roleWitness {
		w, err := witness.New(witness.Config{Name: m.Name, Key: key, Store: st, Logs: []string{log.VKey}, Now: in.opt.now, Log: in.opt.log})
		if err != nil {
			return nil, err
		}
		return w.Handler(), nil
	}
	anchor, err := loadAnchor(in.cfg.path(fileAnchor))
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(log.VKey)
	if err != nil {
		return nil, fmt.Errorf("the log's verifier key: %w", err)
	}
	a, err := auditor.New(ctx, auditor.Config{
		Name: m.Name, Key: key, Store: st, Dir: in.cfg.path(m.Role + "-" + m.Name), LogURL: log.URL, Log: verifier, Anchor: anchor, HTTP: in.client, Now: in.opt.now, Logger: in.opt.log,
	})
	if err != nil {
		return nil, err
	}
	in.metrics.MustRegister(a)
	return a.Handler(), nil
}

// LogConfig names a log and where it is read.
type LogConfig struct{ VKey, URL string }

// ownLog returns the log of the folder's policy.
func (c *Config) ownLog() (LogConfig, error) {
	p, err := loadPolicy(c.path(filePolicy))
	if err != nil {
		return LogConfig{}, err
	}
	return LogConfig{p.LogVKey, p.LogURL}, nil
}

func (in *instance) startRegistry(ctx context.Context) error {
	if !in.cfg.runsRegistry() {
		return nil
	}
	var err error
	if in.anchor, err = loadAnchor(in.cfg.path(fileAnchor)); err != nil {
		return err
	}
	if !in.runs("registry") {
		return nil
	}
	cfg, err := in.registryConfig()
	if err != nil {
		return err
	}
	if in.registry, err = logserver.Open(ctx, cfg); err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	in.metrics.MustRegister(in.registry)
	if err := in.listen(in.cfg.Registry.ServiceConfig, in.registry.Handler()); err != nil {
		return err
	}
	return in.admitTrustLists(ctx)
}

func (in *instance) registryConfig() (logserver.Config, error) {
	c := in.cfg
	witnesses, auditors, err := loadPolicies(c.path(filePolicy), c.path(fileAuditors))
	if err != nil {
		return logserver.Config{}, err
	}
	skey, err := os.ReadFile(c.path(fileLogKey))
	if err != nil {
		return logserver.Config{}, err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(skey)))
	if err != nil {
		return logserver.Config{}, fmt.Errorf("%s: %w", fileLogKey, err)
	}
	st, err := in.openStore("registry", "store")
	if err != nil {
		return logserver.Config{}, err
	}
	epoch, idle, patience := c.Registry.Epoch, c.Registry.Idle, time.Duration(0)
	if in.opt.epoch != 0 {
		epoch, idle, patience = in.opt.epoch, 0, time.Minute
	}
	return logserver.Config{
		Dir: c.path("registry", "log"), Origin: c.Registry.Origin, LogKey: signer, Store: st, Anchor: in.anchor,
		Policy: witnesses, Auditors: auditors, Witnesses: endpoints(witnesses), AuditorURLs: endpoints(auditors),
		Map: logserver.MapKind(c.Registry.Map), Folders: []string{c.path("registry", "store")},
		HTTP: in.client, Now: in.opt.now, EpochInterval: epoch, IdleInterval: idle, WitnessTimeout: patience, AuditorTimeout: patience, Log: in.opt.log, Traces: in.opt.traces,
	}, nil
}

func endpoints(p *registry.Policy) []logserver.Endpoint {
	var out []logserver.Endpoint
	for _, m := range p.Members {
		out = append(out, logserver.Endpoint{Name: m.Name, URL: m.URL})
	}
	return out
}

// admitTrustLists brings every version in the folder to the log that is not there yet.
func (in *instance) admitTrustLists(ctx context.Context) error {
	lists, err := in.cfg.trustLists()
	if err != nil {
		return err
	}
	for _, jwt := range lists {
		err := in.registry.AddTrustList(ctx, jwt)
		if errors.Is(err, logserver.ErrNotPublished) {
			in.opt.log.WarnContext(ctx, "a trust list is logged and not published: too few witnesses answer")
			err = nil
		}
		if err != nil {
			return fmt.Errorf("admitting a trust list: %w", err)
		}
	}
	return nil
}

// trustLists returns the versions in the folder, oldest first.
func (c *Config) trustLists() ([]string, error) {
	paths, err := filepath.Glob(c.path(dirTrustLists, "*.jwt"))
	if err != nil {
		return nil, err
	}
	sort.Strings(paths)
	var lists []string
	for _, p := range paths {
		jwt, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		lists = append(lists, strings.TrimSpace(string(jwt)))
	}
	return lists, nil
}

// latestTrustList returns the newest version in the folder, checked against the anchor.
func (c *Config) latestTrustList() (*trustlist.List, error) {
	anchor, err := loadAnchor(c.path(fileAnchor))
	if err != nil {
		return nil, err
	}
	lists, err := c.trustLists()
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 {
		return nil, fmt.Errorf("no trust list in %s", c.path(dirTrustLists))
	}
	return trustlist.Verify(lists[len(lists)-1], anchor)
}

func (c *Config) registryClient() (*registry.Client, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return &registry.Client{BaseURL: c.Registry.URL, HTTP: client}, nil
}

func (in *instance) startIssuer(ctx context.Context) error {
	if !in.cfg.runsRegistry() || !in.runs("issuer") {
		return nil
	}
	st, err := in.openStore("issuer", "store")
	if err != nil {
		return err
	}
	if in.issuer, err = in.cfg.newIssuer(st, in.opt); err != nil {
		return err
	}
	return in.listen(in.cfg.Issuer, in.issuer.Handler())
}

func (c *Config) newIssuer(st store.Store, opt instanceOptions) (*issuer.Issuer, error) {
	client, err := c.registryClient()
	if err != nil {
		return nil, err
	}
	vci, err := c.VCI.load(c, opt.now)
	if err != nil {
		return nil, fmt.Errorf("vci: %w", err)
	}
	witnesses, auditors, err := loadPolicies(c.path(filePolicy), c.path(fileAuditors))
	if err != nil {
		return nil, err
	}
	statuses, err := c.statusSigner()
	if err != nil {
		return nil, err
	}
	return issuer.New(issuer.Config{Store: st, Registry: client, Origin: c.Registry.Origin, Policy: witnesses, Auditors: auditors, Now: opt.now, Log: opt.log, Status: statuses, VCI: vci})
}
