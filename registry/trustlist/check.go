package trustlist

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
)

// parseKey reads a JWK as [keys.ParsePublic] does.
type parseKey func(jwk []byte) (keys.Public, error)

// add checks an entity against the rules and against the entities before it, and indexes it.
func (l *List) add(e *Entity, issuers map[string]bool, parse parseKey) error {
	if e == nil {
		return errors.New("is null")
	}
	if l.byID[e.ID] != nil {
		return errors.New("its id stands twice")
	}
	for _, check := range []func() error{e.checkID, e.checkRoles, e.checkTypes, e.checkDates, e.checkCompromised} {
		if err := check(); err != nil {
			return err
		}
	}
	if e.Issuer != "" {
		if issuers[e.Issuer] {
			return errors.New("its issuer stands twice")
		}
		issuers[e.Issuer] = true
	}
	l.byID[e.ID] = e
	return errors.Join(l.addKeys(e, e.Keys, l.bySigning, parse), l.addKeys(e, e.SubmissionKeys, l.bySubmission, parse), l.addRoots(e))
}

func (e *Entity) checkID() error {
	if err := attestation.CheckEntityID(e.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if e.Name["ja"] == "" && e.Name["en"] == "" {
		return errors.New("name needs ja or en")
	}
	return nil
}

func (e *Entity) checkRoles() error {
	if len(e.Roles) == 0 {
		return errors.New("has no role")
	}
	for i, r := range e.Roles {
		if _, err := attestation.ParseRole(string(r)); err != nil {
			return err
		}
		if r == attestation.Worker {
			return errors.New("workers are not listed: their engagement names their key")
		}
		if slices.Contains(e.Roles[:i], r) {
			return errors.New("a role stands twice")
		}
	}
	return nil
}

func (e *Entity) checkTypes() error {
	if e.Issuer == "" {
		if len(e.Types) > 0 {
			return errors.New("has no issuer, so it can have no types")
		}
		if len(e.Keys)+len(e.Roots) > 0 && !e.HasRole(attestation.Verifier) {
			return errors.New("has no issuer and is no verifier, so it can have no keys or roots")
		}
		return nil
	}
	for i, t := range e.Types {
		if !slices.Contains(attestation.Types, t) || t == attestation.TypeWorkerStatement {
			return fmt.Errorf("type %q is not one that an organization attests", t)
		}
		if slices.Contains(e.Types[:i], t) {
			return errors.New("a type stands twice")
		}
	}
	return checkIssuer(e.Issuer)
}

// checkIssuer accepts what may stand as iss (SD-JWT VC): an https URL without query, fragment or user. Plain http is for the own
// machine only, where demonstrations run.
func checkIssuer(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || strings.HasSuffix(s, "#") {
		return errors.New("issuer must be an https URL without query or fragment")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errors.New("issuer must begin with https://")
	}
	return nil
}

func (e *Entity) checkDates() error {
	if e.From.IsZero() {
		return errors.New("from is missing")
	}
	if !e.Until.IsZero() && e.Until.Before(e.From) {
		return errors.New("until lies before from")
	}
	return nil
}

func (e *Entity) checkCompromised() error {
	for i, c := range e.Compromised {
		if b, err := base64.RawURLEncoding.Strict().DecodeString(c.Kid); err != nil || len(b) != 32 || len(c.Kid) != 43 {
			return errors.New("compromised kid is not a thumbprint")
		}
		if c.Since.IsZero() {
			return errors.New("compromised since is missing")
		}
		if slices.ContainsFunc(e.Compromised[:i], func(o Compromise) bool { return o.Kid == c.Kid }) {
			return errors.New("a key is marked compromised twice")
		}
	}
	return nil
}

// addKeys indexes keys. Each stands once in the whole list: one key, one entity, one purpose.
func (l *List) addKeys(e *Entity, jwks []json.RawMessage, index map[string]listedKey, parse parseKey) error {
	for _, jwk := range jwks {
		k, err := parse(jwk)
		if err != nil {
			return err
		}
		_, signing := l.bySigning[k.Thumbprint()]
		_, submission := l.bySubmission[k.Thumbprint()]
		if signing || submission {
			return errors.New("a key stands twice: each has one entity and one purpose")
		}
		index[k.Thumbprint()] = listedKey{e, k}
	}
	return nil
}

func (l *List) addRoots(e *Entity) error {
	for _, der := range e.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return errors.New("a root is not a certificate")
		}
		if !root.IsCA || !root.BasicConstraintsValid {
			return errors.New("a root is not a certification authority")
		}
		if l.byRoot[string(der)] != nil {
			return errors.New("a root stands twice: each belongs to one entity")
		}
		l.byRoot[string(der)] = e
		l.roots.AddCert(root)
	}
	return nil
}

// checkAnchor refuses a list on which the anchor's own key attests, submits or signs statuses.
func (l *List) checkAnchor(anchor keys.Public) error {
	if l.owner(anchor.Thumbprint()) != "" {
		return fmt.Errorf("%w: the trust anchor's key stands on it as an entity's or a service's", ErrList)
	}
	return nil
}
