package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/mux"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/logserver"
	"akashi/issuer"
	"akashi/registry/trustlist"
)

// admin is what the commands with --config do to an instance: in the running service over its unix socket, or, where none listens,
// on the stores themselves.
type admin interface {
	AddOrg(context.Context, orgRequest) (*orgResponse, error)
	Import(context.Context, importRequest) (*importResponse, error)
	Offer(context.Context, offerRequest) (*issuer.Offer, error)
	Revoke(context.Context, revokeRequest) (*issuer.Revoked, error)
}

type orgRequest struct {
	Role  attestation.Role  `json:"role"`
	ID    string            `json:"id"`
	Name  map[string]string `json:"name"`
	Group string            `json:"group"`
	From  attestation.Date  `json:"from"`
}

type orgResponse struct {
	ID        string           `json:"id"`
	Role      attestation.Role `json:"role"`
	Issuer    string           `json:"issuer"`
	TrustList uint64           `json:"trust_list"` // version that names it
	Before    bool             `json:"before"`     // it was there before and is left as it was
}

type importRequest struct {
	Org       string            `json:"org"`
	Type      attestation.Type  `json:"type"`
	Name      string            `json:"name"`
	Data      []byte            `json:"data"`
	Mapping   []byte            `json:"mapping"`
	Files     map[string][]byte `json:"files"` // files that rows name
	DryRun    bool              `json:"dry_run"`
	GoodRows  bool              `json:"good_rows"`
	Supersede bool              `json:"supersede"`
}

type importResponse struct {
	Report *issuer.Report `json:"report"`
	SDJWTs []string       `json:"sd_jwts"` // by row of the report: of an engagement, for the worker
}

// localAdmin works on an issuer that this process holds.
type localAdmin struct {
	cfg      *Config
	issuer   *issuer.Issuer
	registry *logserver.Server // nil when it does not run in this process
	now      func() time.Time
	listing  sync.Mutex // held from reading the newest version of the trust list to keeping the next
}

// typesOf says what an organization in a role may attest.
var typesOf = map[attestation.Role][]attestation.Type{
	attestation.AcceptingOrganization: {attestation.TypeEngagement, attestation.TypeWagePayment, attestation.TypeNotificationFiled, attestation.TypeSeparation, attestation.TypeRemedy, attestation.TypeSupportSession, attestation.TypeSupportInterview},
	attestation.SupportOrganization:   {attestation.TypeSupportSession, attestation.TypeSupportInterview},
	attestation.Bank:                  {attestation.TypeWageReceipt, attestation.TypeRemedy},
	attestation.Authority:             {attestation.TypeEngagement, attestation.TypeNotificationReceipt, attestation.TypeSeparation},
}

// AddOrg makes the organization's keys and certificate, stores them, and lists it in a new version of the trust list, which the registry
// logs. An organization that is there already is left as it is.
func (a *localAdmin) AddOrg(ctx context.Context, req orgRequest) (*orgResponse, error) {
	a.listing.Lock()
	defer a.listing.Unlock()
	list, err := a.cfg.latestTrustList()
	if err != nil {
		return nil, err
	}
	if req.Role == attestation.Verifier {
		return a.addVerifier(ctx, req, list)
	}
	if e, ok := list.EntityByID(req.ID); ok {
		if !e.HasRole(req.Role) {
			return nil, fmt.Errorf("organization %s is listed as %v already", req.ID, e.Roles)
		}
		return &orgResponse{ID: e.ID, Role: req.Role, Issuer: e.Issuer, TrustList: list.N, Before: true}, nil
	}
	types, ok := typesOf[req.Role]
	if !ok {
		return nil, fmt.Errorf("role %q takes no organization", req.Role)
	}
	// The keys are stored before they are listed; where a crash came in between, the same ones are listed now.
	org, err := a.issuer.Org(ctx, req.ID)
	if errors.Is(err, issuer.ErrUnknownOrg) {
		if org, err = a.newOrg(req); err == nil {
			err = a.issuer.AddOrg(ctx, org)
		}
	}
	if err != nil {
		return nil, err
	}
	entity, err := entityOf(org, types, req.From)
	if err != nil {
		return nil, err
	}
	n, err := a.list(ctx, append(list.Entities, entity), list.N+1)
	if err != nil {
		return nil, err
	}
	return &orgResponse{ID: req.ID, Role: req.Role, Issuer: org.Issuer, TrustList: n}, nil
}

// addVerifier lists the key of this instance's verifier as that of an office: one that is listed already, as an authority for example, or a
// new one.
func (a *localAdmin) addVerifier(ctx context.Context, req orgRequest, list *trustlist.List) (*orgResponse, error) {
	key, err := a.cfg.verifierKey()
	if err != nil {
		return nil, err
	}
	office := &trustlist.Entity{ID: req.ID, Name: req.Name, Group: req.Group, From: req.From}
	others := slices.Clone(list.Entities)
	if i := slices.IndexFunc(others, func(e *trustlist.Entity) bool { return e.ID == req.ID }); i >= 0 {
		listed := *others[i]
		office, others = &listed, slices.Delete(others, i, i+1)
	}
	resp := &orgResponse{ID: req.ID, Role: req.Role, Issuer: office.Issuer, TrustList: list.N}
	if owner, _, ok := list.EntityByKey(key.Public().Thumbprint()); ok {
		if owner.ID != req.ID {
			return nil, fmt.Errorf("this instance's verifier is listed as that of %s already", owner.ID)
		}
		resp.Before = true
		return resp, nil
	}
	if !office.HasRole(attestation.Verifier) {
		office.Roles = append(slices.Clone(office.Roles), attestation.Verifier)
	}
	office.Keys = append(slices.Clone(office.Keys), key.Public().JWK())
	resp.TrustList, err = a.list(ctx, append(others, office), list.N+1)
	return resp, err
}

// newOrg makes the organization's keys and the certificate of its signing key.
func (a *localAdmin) newOrg(req orgRequest) (issuer.Org, error) {
	org := issuer.Org{ID: req.ID, Role: req.Role, Name: req.Name, Issuer: a.cfg.Issuer.URL + issuer.Path(req.ID), Group: req.Group, Ledger: make([]byte, 32)}
	if _, err := rand.Read(org.Ledger); err != nil {
		return org, err
	}
	signing, jwk, err := newKey()
	if err != nil {
		return org, err
	}
	org.Signing = jwk
	if _, org.Submission, err = newKey(); err != nil {
		return org, err
	}
	ca, err := loadAuthority(a.cfg.path(fileIssuerCA), a.cfg.path(fileIssuerKey))
	if err != nil {
		return org, err
	}
	org.X5C, err = ca.signer(req.ID, a.cfg.Host, signing.Public().Crypto(), a.now())
	return org, err
}

// entityOf is the organization as the trust list names it.
func entityOf(o issuer.Org, types []attestation.Type, from attestation.Date) (*trustlist.Entity, error) {
	signing, err := keys.ParsePrivate(o.Signing)
	if err != nil {
		return nil, err
	}
	submission, err := keys.ParsePrivate(o.Submission)
	if err != nil {
		return nil, err
	}
	return &trustlist.Entity{ID: o.ID, Name: o.Name, Roles: []attestation.Role{o.Role}, Issuer: o.Issuer, Types: types, From: from, Group: o.Group,
		Keys: []json.RawMessage{signing.Public().JWK()}, SubmissionKeys: []json.RawMessage{submission.Public().JWK()}}, nil
}

func newKey() (*keys.Private, json.RawMessage, error) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, nil, err
	}
	jwk, err := k.MarshalJWK()
	return k, jwk, err
}

// list signs version n of the trust list, keeps it in the folder, and brings it to the log where the registry runs here. Elsewhere the
// registry admits it when it starts.
func (a *localAdmin) list(ctx context.Context, entities []*trustlist.Entity, n uint64) (uint64, error) {
	data, err := os.ReadFile(a.cfg.path(fileAnchorKey))
	if err != nil {
		return 0, fmt.Errorf("the trust anchor's key is not here, so nobody can be listed: %w", err)
	}
	anchor, err := keys.ParsePrivate(data)
	if err != nil {
		return 0, err
	}
	services, err := a.cfg.statusServices()
	if err != nil {
		return 0, err
	}
	jwt, err := trustlist.Sign(anchor, n, a.now(), entities, services...)
	if err != nil {
		return 0, err
	}
	if err := writeFile(a.cfg.trustListPath(n), []byte(jwt), 0o644); err != nil {
		return 0, err
	}
	if a.registry == nil {
		return n, nil
	}
	if err := a.registry.AddTrustList(ctx, jwt); err != nil {
		return 0, err
	}
	a.awaitAudit(ctx)
	return n, nil
}

// auditPatience is how long a command waits until everybody can see what it changed.
const auditPatience = 15 * time.Second

// awaitAudit waits for the auditors, so that the next command finds what this one did. Where they do not answer, it goes on: what was
// logged is logged.
func (a *localAdmin) awaitAudit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, auditPatience)
	defer cancel()
	_ = a.registry.WaitAudited(ctx)
}

// Import imports one file.
func (a *localAdmin) Import(ctx context.Context, req importRequest) (*importResponse, error) {
	list, err := a.cfg.latestTrustList()
	if err != nil {
		return nil, err
	}
	file := issuer.File{Name: req.Name, Data: req.Data, Mapping: req.Mapping, Open: func(name string) ([]byte, error) {
		data, ok := req.Files[name]
		if !ok {
			return nil, errors.New("no such file beside the sheet")
		}
		return data, nil
	}}
	report, err := a.issuer.Import(ctx, req.Org, req.Type, file, issuer.Options{DryRun: req.DryRun, GoodRows: req.GoodRows, Supersede: req.Supersede, List: list})
	if err != nil {
		return nil, err
	}
	resp := &importResponse{Report: report}
	for _, row := range report.Rows {
		resp.SDJWTs = append(resp.SDJWTs, row.SDJWT)
	}
	return resp, nil
}

// importAndShow imports one file and waits for the auditors. Who imports many files in this process waits once, after the last.
func (a *localAdmin) importAndShow(ctx context.Context, req importRequest) (*importResponse, error) {
	resp, err := a.Import(ctx, req)
	if err == nil && !req.DryRun && a.registry != nil {
		a.awaitAudit(ctx)
	}
	return resp, err
}

const (
	socketName  = "akashi.sock"
	maxAdminReq = 256 << 20
)

// adminHandler serves an admin over the socket.
func adminHandler(a *localAdmin) http.Handler {
	r := mux.NewRouter()
	r.HandleFunc("/orgs", adminRoute(a.AddOrg)).Methods(http.MethodPost)
	r.HandleFunc("/import", adminRoute(a.importAndShow)).Methods(http.MethodPost)
	r.HandleFunc("/offer", adminRoute(a.Offer)).Methods(http.MethodPost)
	r.HandleFunc("/revoke", adminRoute(a.Revoke)).Methods(http.MethodPost)
	return http.MaxBytesHandler(r, maxAdminReq)
}

func adminRoute[Req, Resp any](do func(context.Context, Req) (*Resp, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req Req
		err := json.NewDecoder(r.Body).Decode(&req)
		var resp *Resp
		if err == nil {
			resp, err = do(r.Context(), req)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
			return
		}
		_ = json.NewEncoder(w).Encode(resp)
	}
}

// serveSocket listens on a unix socket in the folder, which only the owner may use.
func (in *instance) serveSocket(name string, h http.Handler) error {
	path := in.cfg.path(name)
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return fmt.Errorf("another akashi serves %s already", in.cfg.path(configName))
	}
	_ = os.Remove(path) // left behind by a killed process
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	in.servers = append(in.servers, s)
	go func() { _ = s.Serve(l) }()
	return nil
}

// remoteAdmin speaks to a running service.
type remoteAdmin struct{ client *http.Client }

func (a *remoteAdmin) AddOrg(ctx context.Context, req orgRequest) (*orgResponse, error) {
	return callAdmin[orgResponse](ctx, a.client, "/orgs", req)
}

func (a *remoteAdmin) Import(ctx context.Context, req importRequest) (*importResponse, error) {
	return callAdmin[importResponse](ctx, a.client, "/import", req)
}

func callAdmin[Resp any](ctx context.Context, client *http.Client, path string, in any) (*Resp, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://akashi"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the service gave no answer; if it has stopped, start it and give the same command again: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminReq))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Error string }
		if err := json.Unmarshal(data, &problem); err != nil || problem.Error == "" {
			return nil, fmt.Errorf("the service answered %s", resp.Status)
		}
		return nil, errors.New(problem.Error)
	}
	out := new(Resp)
	return out, json.Unmarshal(data, out)
}

// openAdmin reaches the instance of a configuration. done ends what it opened.
func openAdmin(s streams, cfg *Config) (a admin, done func() error, err error) {
	path := cfg.path(socketName)
	if client := dialSocket(path); client != nil {
		return &remoteAdmin{client}, func() error { return nil }, nil
	}
	s.say("no service listens on %s: working on the stores in %s", path, cfg.dir)
	st, err := cfg.openStore(nil, "issuer", "store")
	if err != nil {
		return nil, nil, err
	}
	i, err := cfg.newIssuer(st, instanceOptions{now: time.Now, log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return &localAdmin{cfg: cfg, issuer: i, now: time.Now}, st.Close, nil
}
