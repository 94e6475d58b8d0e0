package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"akashi/internal/keys"
	"akashi/internal/web"
	"akashi/issuer"
	"akashi/registry/trustlist"
)

const (
	fileStatusKey  = "status-private.jwk" // signs the status lists of all organizations
	fileStatusCert = "status.pem"
)

// makeStatusSigner makes the key of the instance's status lists and its certificate.
func (c *Config) makeStatusSigner(ca *authority, now time.Time) error {
	key, jwk, err := newKey()
	if err != nil {
		return err
	}
	x5c, err := ca.signer("Akashi status lists", c.Host, key.Public().Crypto(), now)
	if err != nil {
		return err
	}
	chain, err := keys.ParseChain(x5c)
	if err != nil {
		return err
	}
	return errors.Join(
		writeFile(c.path(fileStatusCert), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[0].Raw}), 0o644),
		writeFile(c.path(fileStatusKey), jwk, 0o600))
}

// statusSigner reads by whom the instance's status lists are signed. Where there is no key, it is made.
func (c *Config) statusSigner() (s issuer.StatusSigner, err error) {
	if _, err := os.Stat(c.path(fileStatusKey)); errors.Is(err, os.ErrNotExist) {
		ca, err := loadAuthority(c.path(fileIssuerCA), c.path(fileIssuerKey))
		if err != nil {
			return s, fmt.Errorf("there is no %s to sign status lists, and none can be made: %w", fileStatusKey, err)
		}
		if err := c.makeStatusSigner(ca, time.Now()); err != nil {
			return s, err
		}
	}
	jwk, err := os.ReadFile(c.path(fileStatusKey))
	if err != nil {
		return s, err
	}
	s.URL = c.Issuer.URL
	if s.Key, err = keys.ParsePrivate(jwk); err != nil {
		return s, fmt.Errorf("%s: %w", fileStatusKey, err)
	}
	data, err := os.ReadFile(c.path(fileStatusCert))
	if err != nil {
		return s, err
	}
	cert, err := readCertificate(data)
	if err != nil {
		return s, fmt.Errorf("%s: %w", fileStatusCert, err)
	}
	if key, err := keys.PublicFrom(cert.PublicKey); err != nil || !key.Equal(s.Key.Public()) {
		return s, fmt.Errorf("%s is not the certificate of the key in %s", fileStatusCert, fileStatusKey)
	}
	s.X5C = keys.FormatChain(cert)
	return s, nil
}

// ownStatusService is the instance's status lists as the trust list names them.
func (c *Config) ownStatusService() (trustlist.StatusService, error) {
	s, err := c.statusSigner()
	if err != nil {
		return trustlist.StatusService{}, err
	}
	return trustlist.StatusService{URI: issuer.StatusLists(s.URL), Keys: []json.RawMessage{s.Key.Public().JWK()}}, nil
}

// statusServices are those of the newest trust list, with the instance's own as it is now.
func (c *Config) statusServices() ([]trustlist.StatusService, error) {
	list, err := c.latestTrustList()
	if err != nil {
		return nil, err
	}
	own, err := c.ownStatusService()
	others := slices.DeleteFunc(slices.Clone(list.StatusServices), func(s trustlist.StatusService) bool { return s.URI == own.URI })
	return append(others, own), err
}

// listStatuses brings the instance's status lists onto the trust list where they are not: in a folder that was made before there were any, and
// after their key was replaced.
func (a *localAdmin) listStatuses(ctx context.Context) error {
	a.listing.Lock()
	defer a.listing.Unlock()
	list, err := a.cfg.latestTrustList()
	if err != nil {
		return err
	}
	s, err := a.cfg.statusSigner()
	if err != nil {
		return err
	}
	if _, served, err := list.StatusKey(issuer.StatusLists(s.URL), keys.UnverifiedHeader{Kid: s.Key.Public().Thumbprint()}); served && err == nil {
		return nil
	}
	_, err = a.list(ctx, list.Entities, list.N+1)
	return err
}

// sharedStatuses reads the status lists of the services on the folder's trust list, and no others but those that the operator names: a host that one
// issuer alone controls would learn when its credentials are looked at.
func (c *Config) sharedStatuses(now func() time.Time) (*web.StatusLists, error) {
	o, err := c.fetchOptions(now)
	if err != nil {
		return nil, err
	}
	return web.NewStatusLists(o, func(uri string) bool {
		if slices.ContainsFunc(c.Verifier.StatusLists, func(prefix string) bool { return strings.HasPrefix(uri, prefix) }) {
			return true
		}
		list, err := c.latestTrustList()
		if err != nil {
			return false
		}
		_, ok := list.StatusService(uri)
		return ok
	}), nil
}

// fetchOptions are for what others name: the folder's own authority is trusted, and loopback met only by an instance on loopback.
func (c *Config) fetchOptions(now func() time.Time) (web.FetchOptions, error) {
	data, err := os.ReadFile(c.path(fileCA))
	if err != nil {
		return web.FetchOptions{}, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(data) {
		return web.FetchOptions{}, fmt.Errorf("%s holds no certificate in PEM form", fileCA)
	}
	return web.FetchOptions{RootCAs: roots, DangerouslyAllowLoopback: listenHost(c.Host) != "", Now: now}, nil
}

// statusEvery is how often lists are looked through for those that run out.
const statusEvery = time.Minute

// readingStatuses reads the lists of this instance ahead, so that a credential that is shown causes no question. stop ends that.
func (in *instance) readingStatuses(ctx context.Context) (stop func()) {
	return background(ctx, statusEvery, func(ctx context.Context) {
		if err := in.statuses.Refresh(ctx, issuer.StatusAggregation(in.cfg.Issuer.URL)); err != nil && ctx.Err() == nil {
			in.opt.log.WarnContext(ctx, "status lists cannot be read ahead", "error", err)
		}
	})
}
