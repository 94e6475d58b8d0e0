package logserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

const (
	supportID = "19登-000001"
	watchID   = "2990000000007"
)

// relays adds a support organization and a watch to the trust list, and returns their submission keys.
func (r *rig) relays() (support, watch *keys.Private) {
	r.t.Helper()
	support, watch = mustKey(keys.ES256), mustKey(keys.EdDSA)
	r.entities = append(r.entities, &trustlist.Entity{
		ID: supportID, Name: map[string]string{"en": "Support"}, Roles: []attestation.Role{attestation.SupportOrganization},
		From: attestation.NewDate(2025, 10, 1), SubmissionKeys: []json.RawMessage{support.Public().JWK()},
	}, &trustlist.Entity{
		ID: watchID, Name: map[string]string{"en": "Watch"}, Roles: []attestation.Role{attestation.Relay},
		From: attestation.NewDate(2025, 10, 1), SubmissionKeys: []json.RawMessage{watch.Public().JWK()},
	})
	return support, watch
}

// Support organizations and watches relay sealed statements of workers; nobody else does, and they write nothing else with that.
func TestRelay(t *testing.T) {
	r := newRig(t)
	support, watch := r.relays()
	r.start()
	worker := string(attestation.Worker)
	sign := func(key *keys.Private, iss, writer string, records ...registry.Record) registry.SubmitRequest {
		jwt := must(registry.MakeSubmission(key, iss, origin, records, writer, r.clock.now()))
		return registry.SubmitRequest{Submission: jwt, Records: records}
	}
	var slots []registry.Key
	for i, relay := range []struct {
		key *keys.Private
		id  string
	}{{support, supportID}, {watch, watchID}} {
		one, ref := statement(fmt.Sprint("one ", i))
		two, ref2 := statement(fmt.Sprint("two ", i))
		resp, err := r.client.Submit(t.Context(), sign(relay.key, relay.id, worker, one, two))
		if err != nil || resp.Results[0].Key != ref.K || resp.Results[1].Key != ref2.K || resp.Results[0].Status != registry.StatusLogged {
			t.Fatalf("%s: got %+v, %v, want both logged", relay.id, resp, err)
		}
		slots = append(slots, ref.K, ref2.K)
		// The same one again, by another relay: it stands already.
		if resp, err := r.client.Submit(t.Context(), sign(watch, watchID, worker, two)); err != nil || resp.Results[0].Status != registry.StatusAlready {
			t.Errorf("the same by another relay: %+v, %v", resp, err)
		}
	}
	look, head, cp := r.lookupPublished(slots...)
	for _, res := range look.Results {
		i, v, err := registry.VerifyMember(head.MapRoot, res.Key, res.Proof)
		if err != nil || !res.Member.MatchesValue() {
			t.Fatalf("%v, %+v", err, res.Member)
		}
		if err := registry.VerifyInclusion(registry.SlotEntry{K: res.Key, V: v}.Marshal(), i, cp.Size, res.Member.Inclusion, cp.Root); err != nil {
			t.Error(err)
		}
	}

	own, _ := record("own")
	stmt, _ := statement("refused")
	withB, _ := statement("with a box for somebody")
	withB.B = must(registry.SealB(mustKey(keys.ES256).Public(), withB.Ref(worker).K, nil))
	for _, test := range []struct {
		name string
		req  registry.SubmitRequest
		want int
	}{
		{"employer relays", sign(r.employer, employerID, worker, stmt), 403},
		{"bank relays", sign(r.bank, bankID, worker, stmt), 403},
		{"watch writes as an employer", sign(watch, watchID, employerID, own), 403},
		{"watch writes as itself", sign(watch, watchID, watchID, own), 403},
		{"support relays in another's name", sign(support, watchID, worker, stmt), 403},
		{"box B", sign(support, supportID, worker, withB), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			if resp, body := r.post("/v1/entries", octetsOf(test.req)); resp.StatusCode != test.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
}

// A relay has a quota as every writer, and one that is struck off the list relays nothing more, not even what waits in the queue.
func TestRelayBounds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.EntityPerMinute = 3 })
	support, _ := r.relays()
	r.start()
	batch := func(n int) registry.SubmitRequest {
		records := make([]registry.Record, n)
		for i := range records {
			records[i], _ = statement(fmt.Sprint(n, i))
		}
		jwt := must(registry.MakeSubmission(support, supportID, origin, records, string(attestation.Worker), r.clock.now()))
		return registry.SubmitRequest{Submission: jwt, Records: records}
	}
	if _, err := r.client.Submit(t.Context(), batch(2)); err != nil {
		t.Fatal(err)
	}
	var retry *registry.RetryError
	if _, err := r.client.Submit(t.Context(), batch(3)); !errors.As(err, &retry) || retry.Problem.Status != http.StatusTooManyRequests {
		t.Errorf("over the quota: got %v, want 429", err)
	}
	req := batch(1)
	j := must(r.server.check(&req))
	r.entities[2].Roles = []attestation.Role{attestation.Bank}
	list := must(trustlist.Verify(must(trustlist.Sign(r.anchor, 2, r.clock.now(), r.entities)), r.anchor.Public()))
	if err := j.recheck(list); !errors.Is(err, ErrNotAdmitted) {
		t.Errorf("no relay any more: got %v, want ErrNotAdmitted", err)
	}
}
