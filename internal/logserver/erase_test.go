package logserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
)

// signedStatement makes a statement's JWT and its record.
func (r *rig) signedStatement(worker *keys.Private, text string) (jwt string, rec registry.Record) {
	r.t.Helper()
	jwt = must(worker.Sign(keys.Header{"typ": "dc+sd-jwt", "kid": worker.Public().Thumbprint()}, must(json.Marshal(map[string]any{"vct": attestation.TypeWorkerStatement.VCT(), "text": text}))))
	rec, _ = statement(jwt)
	return jwt, rec
}

// state submits a statement under an engagement.
func (r *rig) state(engagement string, worker *keys.Private, rec registry.Record) *registry.SubmitResponse {
	r.t.Helper()
	ref := rec.Ref(string(attestation.Worker))
	bound := must(sdjwt.BindKey(engagement, worker, origin, registry.StatementNonce(ref.K, ref.V), r.clock.now()))
	resp, err := r.client.Submit(r.t.Context(), registry.SubmitRequest{Submission: bound, Records: []registry.Record{rec}})
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// A worker has a statement erased: nobody gets it any more, also after a restart and when it is sent again; its place in the log and the
// map stays, and an auditor who starts then goes on.
func TestErase(t *testing.T) {
	for _, kind := range mapKinds {
		t.Run(string(kind), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Map = kind }).start()
			worker := mustKey(keys.ES256)
			engagement := r.engagement(worker)
			jwt, rec := r.signedStatement(worker, "to be erased")
			_, kept := r.signedStatement(worker, "kept")
			r.state(engagement, worker, rec)
			r.state(engagement, worker, kept)
			k := rec.Ref(string(attestation.Worker)).K
			r.waitAudited()
			req := registry.EraseRequest{Statement: jwt, Request: must(sdjwt.BindKey(engagement, worker, origin, registry.EraseNonce(k), r.clock.now()))}
			for range 2 {
				if err := r.client.Erase(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}
			r.checkErased(t, k, rec)
			r.noTraceOf(engagement)
			r.reopen()
			r.checkErased(t, k, rec)
			if resp := r.state(engagement, worker, rec); resp.Results[0].Status != registry.StatusAlready {
				t.Errorf("sent again: got %+v, want already", resp.Results[0])
			}
			r.checkErased(t, k, rec)

			// An auditor with nothing, and one who has to do without the others.
			cfg := r.auditCfgs[0]
			cfg.Store, cfg.Dir = store.NewMemory(), t.TempDir()
			r.audits[0] = must(auditor.New(t.Context(), cfg))
			r.auditors[0].set(r.audits[0].Handler())
			r.auditors[1].down(true)
			more, _ := record("more")
			r.submit(more)
			look, head, cp := r.lookupPublished(keyOf(more))
			r.checkMember(look.Results[0], more, head, cp)
		})
	}
}

func (r *rig) checkErased(t *testing.T, k registry.Key, rec registry.Record) {
	t.Helper()
	look, head, cp := r.lookupPublished(k)
	i, v, err := registry.VerifyMember(head.MapRoot, k, look.Results[0].Proof)
	m := look.Results[0].Member
	if err != nil || v != registry.ValueOf(rec.A, rec.B) || !m.Erased || m.A != nil || m.B != nil || registry.CheckErased(k, m.X) != nil {
		t.Errorf("got %v, %+v, want an erased member", err, m)
	}
	if err := registry.VerifyInclusion(registry.SlotEntry{K: k, V: v}.Marshal(), i, cp.Size, m.Inclusion, cp.Root); err != nil {
		t.Error(err)
	}
	err = r.cfg.Store.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan([]byte("log/"), func(key, value []byte) error {
			if bytes.Contains(value, rec.A) {
				return fmt.Errorf("%q holds it", key[:len(keyRecord)])
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// Nobody but the worker who made a statement has it erased, and nothing else can be erased.
func TestEraseRefused(t *testing.T) {
	r := newRig(t).start()
	worker, other := mustKey(keys.ES256), mustKey(keys.ES256)
	engagement, others := r.engagement(worker), r.engagement(other)
	jwt, rec := r.signedStatement(worker, "mine")
	k := rec.Ref(string(attestation.Worker)).K
	r.state(engagement, worker, rec)
	wage, _ := record("an attestation")
	r.submit(wage)
	r.waitAudited()
	now := r.clock.now()
	bind := func(engagement string, key *keys.Private, aud, nonce string, at time.Time) string {
		return must(sdjwt.BindKey(engagement, key, aud, nonce, at))
	}
	forged := must(other.Sign(keys.Header{"typ": "dc+sd-jwt", "kid": other.Public().Thumbprint()}, []byte(`{"x":1}`)))
	_, forgedKey := registry.EraseRequest{Statement: forged}.Slot()
	stranger := mustKey(keys.ES256)
	selfMade := must(sdjwt.Issue(stranger, keys.Header{"kid": r.issuer.Public().Thumbprint()}, map[string]any{
		"iss": "https://employer.example", "vct": attestation.TypeEngagement.VCT(), "cnf": map[string]any{"jwk": worker.Public().JWK()},
	}, sdjwt.Options{}))
	for _, test := range []struct {
		name string
		req  registry.EraseRequest
		want int
	}{
		{"another worker who was shown it", registry.EraseRequest{Statement: jwt, Request: bind(others, other, origin, registry.EraseNonce(k), now)}, 403},
		{"no key binding", registry.EraseRequest{Statement: jwt, Request: engagement}, 403},
		{"key binding by another key", registry.EraseRequest{Statement: jwt, Request: engagement + strings.TrimPrefix(bind(others, other, origin, registry.EraseNonce(k), now), others)}, 403},
		{"a key binding for submitting it", registry.EraseRequest{Statement: jwt, Request: bind(engagement, worker, origin, registry.StatementNonce(k, rec.Ref("worker").V), now)}, 403},
		{"for another slot", registry.EraseRequest{Statement: jwt, Request: bind(engagement, worker, origin, registry.EraseNonce(keyOf(wage)), now)}, 403},
		{"for another registry", registry.EraseRequest{Statement: jwt, Request: bind(engagement, worker, "other.example/log", registry.EraseNonce(k), now)}, 403},
		{"old", registry.EraseRequest{Statement: jwt, Request: bind(engagement, worker, origin, registry.EraseNonce(k), now.Add(-time.Hour))}, 403},
		{"under an engagement of one's own making", registry.EraseRequest{Statement: jwt, Request: bind(selfMade, worker, origin, registry.EraseNonce(k), now)}, 403},
		{"a statement that is not in the registry", registry.EraseRequest{Statement: forged, Request: bind(others, other, origin, registry.EraseNonce(forgedKey), now)}, 409},
		{"no statement", registry.EraseRequest{Request: bind(engagement, worker, origin, registry.EraseNonce(k), now)}, 403},
		{"not a token", registry.EraseRequest{Statement: jwt, Request: "x~"}, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			if resp, body := r.post("/v1/erase", must(json.Marshal(test.req))); resp.StatusCode != test.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
	look, head, cp := r.lookupPublished(k, keyOf(wage))
	if m := look.Results[0].Member; m.Erased || !m.MatchesValue() {
		t.Error("the statement was touched")
	}
	r.checkMember(look.Results[1], wage, head, cp)
}

// A registry that says of an attestation that it was erased finds no auditor who goes on.
func TestErasedAttestation(t *testing.T) {
	r := newRig(t).start()
	size := r.waitAll(t)
	for _, a := range r.auditors {
		a.down(true)
	}
	rec, _ := record("an attestation")
	r.submit(rec)
	for _, x := range []registry.Hash{{}, rec.X} {
		err := r.cfg.Store.Update(t.Context(), func(tx store.Tx) error {
			return tx.Set(keyed(keyRecord, keyOf(rec)), (&sealedRecord{erased: true, x: x}).marshal())
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range r.auditors {
			a.down(false)
		}
		time.Sleep(200 * time.Millisecond)
		for _, a := range r.audits {
			if st := a.Status(); st.Size != size || st.Fraud != nil {
				t.Errorf("got %+v, want no cosignature beyond %d", st, size)
			}
		}
	}
	if err := registry.CheckErased(keyOf(rec), rec.X); !errors.Is(err, registry.ErrErased) {
		t.Errorf("got %v, want ErrErased", err)
	}
}
