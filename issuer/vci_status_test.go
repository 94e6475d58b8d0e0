package issuer_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/sdjwt"
	"akashi/internal/statuslist"
	"akashi/issuer"
	"akashi/issuer/issuertest"
)

// TestVCIStatus suspends, resumes and revokes, and reads the list as it stood in between.
func TestVCIStatus(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	o := w.Orgs["employer-A"]
	p := w.wallet(o.Issuer).redeem(w.offer("employer-A", example("staff-card")))
	credential, _ := p.collect("staff-card")
	v := w.verify("employer-A", credential)
	begun := w.Clock.Now().Unix()
	var times []int64
	set := func(s statuslist.Status, reason string) error {
		w.Clock.Set(w.Clock.Now().Add(time.Hour))
		times = append(times, w.Clock.Now().Unix())
		_, err := w.Issuer.Revoke(context.Background(), o.ID, v.ID, issuer.Revocation{Status: s, Reason: reason})
		return err
	}
	for _, s := range []statuslist.Status{statuslist.Suspended, statuslist.Valid, statuslist.Invalid} {
		if err := set(s, "lost card"); err != nil {
			t.Fatal(err)
		}
		if got := w.status(v); got != s {
			t.Errorf("status %s, want %s", got, s)
		}
	}
	if err := set(statuslist.Valid, "found"); err == nil {
		t.Error("what was revoked was made valid again")
	}
	if err := set(statuslist.Invalid, ""); err == nil {
		t.Error("revoked without a reason")
	}
	ref, _ := statuslist.ReferenceOf(v.Claims)
	at := func(seconds int64) string { return "?time=" + json.Number(mustJSON(t, seconds)).String() }
	for n, want := range []statuslist.Status{statuslist.Suspended, statuslist.Valid, statuslist.Invalid} {
		token := w.statusList(ref.URI, at(times[n]), time.Unix(times[n], 0))
		if got, _ := token.Status(ref.Index); got != want {
			t.Errorf("status then %s, want %s", got, want)
		}
	}
	w.get(ref.URI+at(begun-1000)).refused(http.StatusNotFound, oid4vc.CodeInvalidRequest)
	w.get(ref.URI+at(times[len(times)-1]+10)).refused(http.StatusNotFound, oid4vc.CodeInvalidRequest)
	w.get(ref.URI+"?time=soon").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	w.get(ref.URI+"?time=1&time=2").refused(http.StatusBadRequest, oid4vc.CodeInvalidRequest)
	w.get(issuertest.URL+"/status/77").refused(http.StatusNotFound, oid4vc.CodeInvalidRequest)
	w.do(w.request(http.MethodPost, ref.URI, "", nil)).refused(http.StatusMethodNotAllowed, oid4vc.CodeInvalidRequest)
	w.get(o.Issuer + "/status/1").want(http.StatusNotFound)
	a, err := statuslist.ParseAggregation(w.get(issuertest.URL + "/status").want(http.StatusOK).body)
	if err != nil || len(a.StatusLists) != 1 || a.StatusLists[0] != ref.URI {
		t.Errorf("aggregation %+v %v", a, err)
	}
}

// TestVCIStatusListsAreShared issues for every organization at the same time, with a restart in between. All entries stand in one list, which
// does not tell whose they are, and each organization changes only its own.
func TestVCIStatusListsAreShared(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	seen := map[uint64]bool{}
	uris := map[string]bool{}
	var last *sdjwt.Verified
	for range 2 {
		credentials := w.collectEverywhere(t)
		for actor, text := range credentials {
			v := w.verify(actor, text)
			ref, err := statuslist.ReferenceOf(v.Claims)
			if err != nil {
				t.Fatal(err)
			}
			if seen[ref.Index] {
				t.Error("an entry is of two credentials")
			}
			seen[ref.Index], uris[ref.URI] = true, true
			if last != nil && actor == "bank" {
				how := issuer.Revocation{Status: statuslist.Invalid, Reason: "lost"}
				if _, err := w.Issuer.Revoke(context.Background(), w.Orgs["employer-A"].ID, v.ID, how); err == nil {
					t.Error("an organization revoked another's credential")
				}
			}
			last = v
		}
		w.restart()
	}
	if len(uris) != 1 || len(seen) != 2*len(w.Orgs) {
		t.Errorf("%d entries in lists %v", len(seen), uris)
	}
	for uri := range uris {
		if !strings.HasPrefix(uri, issuertest.URL+"/status/") {
			t.Errorf("the list stands at %s", uri)
		}
		text := string(w.get(uri).want(http.StatusOK).body)
		u, err := statuslist.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := keys.UnverifiedPayload(text)
		if err != nil {
			t.Fatal(err)
		}
		for actor, o := range w.Orgs {
			signing, err := keys.ParsePrivate(o.Signing)
			if err != nil {
				t.Fatal(err)
			}
			if u.Header().Kid == signing.Public().Thumbprint() || strings.Contains(string(payload), issuer.Path(o.ID)) {
				t.Errorf("the list tells of %s", actor)
			}
		}
	}
	const many = 64 // indices of so many credentials are not drawn near one another, whoever issues
	low := 0
	for range many / len(w.Orgs) {
		for actor, text := range w.collectEverywhere(t) {
			ref, err := statuslist.ReferenceOf(w.verify(actor, text).Claims)
			if err != nil {
				t.Fatal(err)
			}
			if seen[ref.Index] {
				t.Error("an entry is of two credentials")
			}
			seen[ref.Index] = true
			if ref.Index < 8*statuslist.MinEntries/2 {
				low++
			}
		}
	}
	if low < 6 || low > many-6 { // by chance once in 10^11
		t.Errorf("%d of %d indices in the lower half of the list", low, many)
	}
}

// collectEverywhere collects one card of each organization, by actor, all at the same time.
func (w *vciWorld) collectEverywhere(t *testing.T) map[string]string {
	t.Helper()
	wallets, texts := map[string]*testWallet{}, map[string]*string{}
	for actor, o := range w.Orgs {
		wallets[actor], texts[actor] = w.wallet(o.Issuer).redeem(w.offer(actor, example("staff-card"))), new(string)
	}
	var g errgroup.Group
	for actor, p := range wallets {
		ask, text := p.ask("staff-card"), texts[actor]
		g.Go(func() error {
			var resp oid4vc.CredentialResponse
			r := p.json("/credential", ask)
			if err := json.Unmarshal(r.body, &resp); err != nil {
				return err
			}
			if len(resp.Credentials) != 1 {
				return fmt.Errorf("status %d, %d credentials", r.status, len(resp.Credentials))
			}
			var err error
			*text, err = resp.Credentials[0].Text()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for actor, text := range texts {
		out[actor] = *text
	}
	return out
}

// TestVCIStatusCaching reads what caches may do with a list, and a list that comes compressed.
func TestVCIStatusCaching(t *testing.T) {
	w := newVCIWorld(t, issuer.VCIConfig{})
	p := w.wallet(w.Orgs["employer-A"].Issuer).redeem(w.offer("employer-A", example("staff-card")))
	credential, _ := p.collect("staff-card")
	ref, err := statuslist.ReferenceOf(w.verify("employer-A", credential).Claims)
	if err != nil {
		t.Fatal(err)
	}
	plain := w.get(ref.URI, "Accept-Encoding", "identity").want(http.StatusOK)
	token := w.statusList(ref.URI, "", w.Clock.Now())
	if got, want := plain.header.Get("Cache-Control"), "max-age=900"; got != want || token.TTL != 15*time.Minute {
		t.Errorf("Cache-Control %q of a list with ttl %s, want %q", got, token.TTL, want)
	}
	if plain.header.Get("Content-Encoding") != "" || plain.header.Get("Vary") != "Accept-Encoding" || plain.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("header %v", plain.header)
	}
	packed := w.get(ref.URI, "Accept-Encoding", "br, gzip;q=0.5").want(http.StatusOK)
	if packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Content-Type") != statuslist.MediaType || len(packed.body) >= len(plain.body) {
		t.Fatalf("%d octets, header %v", len(packed.body), packed.header)
	}
	z, err := gzip.NewReader(strings.NewReader(string(packed.body)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != string(plain.body) {
		t.Errorf("inflated to something else: %v", err)
	}
	w.get(ref.URI, "Accept", "application/statuslist+cwt").refused(http.StatusNotAcceptable, oid4vc.CodeInvalidRequest)
	for _, accept := range []string{statuslist.MediaType, "application/statuslist+cwt, application/statuslist+jwt;q=0.5", "application/statuslist+cwt, */*;q=0.1"} {
		w.get(ref.URI, "Accept", accept).want(http.StatusOK)
	}
	past := w.get(ref.URI + "?time=" + json.Number(mustJSON(t, w.Clock.Now().Unix())).String()).want(http.StatusOK)
	if got := past.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of a list of then: %q", got)
	}
	at, err := oid4vc.WellKnown(oid4vc.WellKnownCredentialIssuer, p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	m, err := oid4vc.ParseIssuerMetadata(w.get(at).want(http.StatusOK).body, p.issuer)
	if err != nil || m.StatusAggregation != issuertest.URL+"/status" || token.AggregationURI != m.StatusAggregation {
		t.Errorf("aggregation announced at %q and %q: %v", m.StatusAggregation, token.AggregationURI, err)
	}
}
