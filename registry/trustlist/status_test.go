package trustlist

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"akashi/internal/keys"
)

const statusURI = "https://shared.example/status/"

// withService signs and reads a list of the parties with services.
func (p *parties) withServices(n uint64, services ...StatusService) (*List, error) {
	jwt, err := Sign(p.anchor, n, issued.AddDate(0, 0, int(n)), p.entities(), services...)
	if err != nil {
		return nil, err
	}
	return Verify(jwt, p.anchor.Public())
}

func TestStatusKey(t *testing.T) {
	p := newParties(t)
	key, other := newKey(t, keys.ES256), newKey(t, keys.ES256)
	l, err := p.withServices(1, StatusService{statusURI, jwks(key)}, StatusService{"https://other.example/status/", jwks(other)})
	if err != nil {
		t.Fatal(err)
	}
	leaf := base64.StdEncoding.EncodeToString(p.ca.sign(leafTemplate(), key.Public().Crypto()).Raw)
	stranger := base64.StdEncoding.EncodeToString(p.ca.sign(leafTemplate(), &newECKey(t).PublicKey).Raw)
	thumbprint := key.Public().Thumbprint()
	for _, c := range []struct {
		name   string
		uri    string
		header keys.UnverifiedHeader
		served bool
		ok     bool
	}{
		{"by kid", statusURI + "1", keys.UnverifiedHeader{Kid: thumbprint}, true, true},
		{"by x5c", statusURI + "1", keys.UnverifiedHeader{X5C: []string{leaf}}, true, true},
		{"by both", statusURI + "1", keys.UnverifiedHeader{Kid: thumbprint, X5C: []string{leaf}}, true, true},
		{"kid and x5c differ", statusURI + "1", keys.UnverifiedHeader{Kid: other.Public().Thumbprint(), X5C: []string{leaf}}, true, false},
		{"neither", statusURI + "1", keys.UnverifiedHeader{}, true, false},
		{"no certificate", statusURI + "1", keys.UnverifiedHeader{X5C: []string{"x"}}, true, false},
		{"a stranger's certificate", statusURI + "1", keys.UnverifiedHeader{X5C: []string{stranger}}, true, false},
		{"key of another service", statusURI + "1", keys.UnverifiedHeader{Kid: other.Public().Thumbprint()}, true, false},
		{"key of an organization", statusURI + "1", keys.UnverifiedHeader{Kid: p.employerKey.Public().Thumbprint()}, true, false},
		{"list of nobody listed", "https://a.example/status/1", keys.UnverifiedHeader{Kid: thumbprint}, false, false},
		{"not below", strings.TrimSuffix(statusURI, "/"), keys.UnverifiedHeader{Kid: thumbprint}, false, false},
	} {
		got, served, err := l.StatusKey(c.uri, c.header)
		if served != c.served || got.Equal(key.Public()) != c.ok || (err != nil) != (c.served && !c.ok) || err != nil && !errors.Is(err, ErrStatusKey) {
			t.Errorf("%s: served %t, error %v", c.name, served, err)
		}
	}
	if e, _, err := l.EntityForHeader(keys.UnverifiedHeader{Kid: thumbprint}, issued); err == nil {
		t.Errorf("the key of statuses attests for %s", e.ID)
	}
	if _, served, err := (*List)(nil).StatusKey(statusURI+"1", keys.UnverifiedHeader{}); served || err != nil {
		t.Errorf("without a list: served %t, error %v", served, err)
	}
}

func TestStatusServicesRefused(t *testing.T) {
	p := newParties(t)
	key := newKey(t, keys.ES256)
	good := StatusService{statusURI, jwks(key)}
	for name, services := range map[string][]StatusService{
		"no slash":                      {{strings.TrimSuffix(statusURI, "/"), jwks(key)}},
		"over http":                     {{"http://shared.example/status/", jwks(key)}},
		"with query":                    {{statusURI + "?x/", jwks(key)}},
		"no keys":                       {{statusURI, nil}},
		"bad key":                       {{statusURI, []json.RawMessage{json.RawMessage(`{}`)}}},
		"key of an organization":        {{statusURI, jwks(p.employerKey)}},
		"key of submissions":            {{statusURI, jwks(p.employerSubmission)}},
		"the anchor's key":              {{statusURI, jwks(p.anchor)}},
		"a key twice":                   {good, {"https://other.example/", jwks(key)}},
		"inside another":                {good, {statusURI + "more/", jwks(newKey(t, keys.ES256))}},
		"around another, after another": {good, {"https://shared.example/", jwks(newKey(t, keys.ES256))}},
	} {
		if _, err := p.withServices(1, services...); !errors.Is(err, ErrList) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A service may go, and its key stays what it was.
func TestStatusServiceSucceeds(t *testing.T) {
	p := newParties(t)
	key := newKey(t, keys.ES256)
	version := func(n uint64, services ...StatusService) *List {
		l, err := p.withServices(n, services...)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := version(1, StatusService{statusURI, jwks(key)})
	if err := ValidateSuccessor(first, version(2, StatusService{statusURI, jwks(newKey(t, keys.ES256))})); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := ValidateSuccessor(first, version(2)); err != nil {
		t.Errorf("no service: %v", err)
	}
	p.employer.Keys = jwks(key)
	if err := ValidateSuccessor(first, version(2)); !errors.Is(err, ErrSuccessor) {
		t.Errorf("the key attests in the next version: %v", err)
	}
}
