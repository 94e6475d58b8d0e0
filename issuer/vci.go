package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/internal/web"
)

// VCIConfig says how credentials are given to wallets over OpenID4VCI 1.0. The zero value serves what HAIP 1.0 asks for: tokens bound to a
// DPoP key, pushed authorization requests, authenticated clients; and anonymous wallets with a pre-authorized code.
type VCIConfig struct {
	Bearer         bool                // clients that send no DPoP proof get tokens bound to no key
	Authenticated  bool                // only clients that authenticate get tokens (HAIP 1.0, Section 4.4.1): not PublicWallet, and no anonymous ones
	OpenExamples   bool                // anybody may collect an example of an operator-defined configuration without an offer: for interoperability tests
	Clients        []VCIClient         // registered ones, besides PublicWallet
	WalletRoots    []*x509.Certificate // authorities of wallet providers, for client attestations and key attestations with x5c
	WalletKeys     []json.RawMessage   // public JWKs of wallet providers that send no x5c; kid is their own or the thumbprint
	Attestations   AttestationPolicy   // how what wallet providers attest is judged
	Configurations []Configuration     // operator-defined, besides the ready-made one
	Rate           web.RateLimit       // of one client address
	TrustedProxies []netip.Prefix      // whose X-Forwarded-For is believed
}

// VCIClient is a registered client.
type VCIClient struct {
	ID           string            `json:"id" yaml:"id"`
	RedirectURIs []string          `json:"redirect_uris" yaml:"redirect_uris"`
	Keys         []json.RawMessage `json:"keys" yaml:"-"` // public JWKs of private_key_jwt; none: a public client
}

// PublicWallet is the client_id that the project's own wallet uses where it has no attestation. Its answers go to loopback addresses only.
const PublicWallet = "akashi-wallet"

var publicWallet = VCIClient{ID: PublicWallet, RedirectURIs: []string{"http://127.0.0.1/callback", "http://[::1]/callback"}}

// Lifetimes. The authorization code's is HAIP's, the pushed request's is bounded by FAPI 2.0.
const (
	offerLife    = 24 * time.Hour
	pushedLife   = 5 * time.Minute
	codeLife     = time.Minute
	accessLife   = 10 * time.Minute
	bearerLife   = 5 * time.Minute      // of access tokens that are bound to no key
	grantLife    = 400 * 24 * time.Hour // of refresh tokens: a year's contract and its last wage
	deferredLife = 60 * 24 * time.Hour
	noteLife     = 60 * 24 * time.Hour
	nonceLife    = 5 * time.Minute
	keptLonger   = 10 * time.Minute // how long the store keeps what has expired: the expiry that counts is in the value
)

const (
	maxBatch      = 20
	maxTxAttempts = 5
)

var vciAlgs = []keys.Alg{keys.ES256, keys.EdDSA}

func algNames() []string { return []string{string(keys.ES256), string(keys.EdDSA)} }

// vci is what the OpenID4VCI side keeps in memory. Everything in it can be lost.
type vci struct {
	cfg     VCIConfig
	limiter *web.RateLimiter
	list    atomic.Int64 // status list that entries are drawn from, 0 while nobody knows

	mu      sync.Mutex // guards what follows
	secrets *vciSecrets
	orgs    map[string]*org       // by id; organizations never change
	own     []*configuration      // operator-defined, compiled
	signed  map[string]signedText // status list tokens and signed metadata, by what they are
}

// signedText is a signature that is served until then.
type signedText struct {
	text  string
	until time.Time
}

func newVCI(cfg VCIConfig) (*vci, error) {
	v := &vci{cfg: cfg, limiter: web.NewRateLimiter(cfg.Rate), orgs: map[string]*org{}, signed: map[string]signedText{}}
	for _, c := range append([]Configuration{readyMade()}, cfg.Configurations...) {
		compiled, err := c.compile()
		if err != nil {
			return nil, fmt.Errorf("credential configuration %q: %w", c.ID, err)
		}
		if c.KeyAttestation != nil && len(cfg.WalletRoots)+len(cfg.WalletKeys) == 0 {
			return nil, fmt.Errorf("credential configuration %q needs key attestations, and no wallet provider is trusted", c.ID)
		}
		if slices.ContainsFunc(v.own, func(o *configuration) bool { return o.id == c.ID }) {
			return nil, fmt.Errorf("credential configuration %q is there twice", c.ID)
		}
		v.own = append(v.own, compiled)
	}
	for _, jwk := range cfg.WalletKeys {
		if _, err := keys.ParsePublic(jwk); err != nil {
			return nil, fmt.Errorf("key of a wallet provider: %w", err)
		}
	}
	for _, c := range cfg.Clients {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (c VCIClient) check() error {
	if c.ID == "" || len(c.RedirectURIs) == 0 {
		return errors.New("a client needs an id and redirect_uris")
	}
	for _, uri := range c.RedirectURIs {
		if err := oid4vc.CheckRedirectURI(uri); err != nil {
			return fmt.Errorf("client %q: %w", c.ID, err)
		}
	}
	for _, jwk := range c.Keys {
		if _, err := keys.ParsePublic(jwk); err != nil {
			return fmt.Errorf("client %q: %w", c.ID, err)
		}
	}
	return nil
}

// client returns a registered client, nil for none.
func (v *vci) client(id string) *VCIClient {
	for _, c := range v.cfg.Clients {
		if c.ID == id {
			return &c
		}
	}
	if id == PublicWallet {
		return &publicWallet
	}
	return nil
}

// vciOrg returns an organization, from memory where it was read before.
func (i *Issuer) vciOrg(ctx context.Context, id string) (*org, error) {
	i.vci.mu.Lock()
	o := i.vci.orgs[id]
	i.vci.mu.Unlock()
	if o != nil {
		return o, nil
	}
	o, err := i.org(ctx, id)
	if err != nil {
		return nil, err
	}
	i.vci.mu.Lock()
	i.vci.orgs[id] = o
	i.vci.mu.Unlock()
	return o, nil
}

// vciSecrets are this instance's own: they survive a restart.
type vciSecrets struct {
	MAC        []byte          `json:"mac"`        // of nonces
	Encryption json.RawMessage `json:"encryption"` // private JWK that requests are encrypted to

	decrypt *keys.Private
	public  keys.EncryptionKey
	macs    sync.Pool // of hash.Hash, keyed by MAC
}

// vciSecrets reads the secrets, and makes them when there are none.
func (i *Issuer) vciSecrets(ctx context.Context) (*vciSecrets, error) {
	i.vci.mu.Lock()
	defer i.vci.mu.Unlock()
	if i.vci.secrets != nil {
		return i.vci.secrets, nil
	}
	fresh, err := i.newVCISecrets()
	if err != nil {
		return nil, err
	}
	s := new(vciSecrets)
	err = i.Store.Update(ctx, func(tx store.Tx) error {
		err := store.GetJSON(tx, keyVCISecrets, s)
		if errors.Is(err, store.ErrNotFound) {
			s.MAC, s.Encryption = fresh.MAC, fresh.Encryption
			err = store.SetJSON(tx, keyVCISecrets, s)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.decrypt, err = keys.ParsePrivate(s.Encryption); err != nil {
		return nil, err
	}
	if s.public, err = keys.NewEncryptionKey(s.decrypt.Public(), s.decrypt.Public().Thumbprint()); err != nil {
		return nil, err
	}
	s.macs.New = func() any { return hmac.New(sha256.New, s.MAC) }
	i.vci.secrets = s
	return s, nil
}

func (i *Issuer) newVCISecrets() (*vciSecrets, error) {
	mac, err := i.random(32)
	if err != nil {
		return nil, err
	}
	key, err := keys.Generate(keys.ES256)
	if err != nil {
		return nil, err
	}
	jwk, err := key.MarshalJWK()
	return &vciSecrets{MAC: mac, Encryption: jwk}, err
}
