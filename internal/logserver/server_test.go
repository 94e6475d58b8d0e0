package logserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"akashi/attestation"
	"akashi/internal/auditor"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

func TestSubmitAndLookup(t *testing.T) {
	r := newRig(t).start()
	var records []registry.Record
	for i := range 9 {
		rec, _ := record(fmt.Sprintf("jwt %d", i))
		records = append(records, rec)
	}
	resp := r.submit(records[:7]...)
	for i, res := range resp.Results {
		if res.Status != registry.StatusLogged || res.Key != keyOf(records[i]) {
			t.Errorf("record %d: got %+v, want it logged", i, res)
		}
	}
	r.clock.forward(time.Hour)
	r.submit(records[7])
	r.waitAudited()

	var slots []registry.Key
	for _, rec := range records {
		slots = append(slots, keyOf(rec))
	}
	look, head, cp := r.lookup(slots...)
	if !cp.Audited() {
		t.Error("the head's checkpoint lacks the auditors' quorum")
	}
	for i, res := range look.Results[:8] {
		r.checkMember(res, records[i], head, cp)
	}
	if err := registry.VerifyAbsent(head.MapRoot, slots[8], look.Results[8].Proof); err != nil || look.Results[8].Member != nil {
		t.Errorf("key never written: got %v, %+v, want its absence", err, look.Results[8].Member)
	}
	if head.MapSize != 8 || head.ListN != 1 {
		t.Errorf("head has %d keys under list %d, want 8 under 1", head.MapSize, head.ListN)
	}
	// Entry 0 is the list; the records of the first epoch are bounded by its checkpoint, the later one by both.
	late := look.Results[7].Member
	after, before := r.open1(late.FirstAfter), r.open1(late.LastBefore)
	by, _ := after.ExistedBy()
	not, _ := before.NotLargerAt()
	if !by.Equal(r.clock.now()) || !not.Equal(r.clock.now().Add(-time.Hour)) {
		t.Errorf("times are %v and %v, want %v and an hour before", not, by, r.clock.now())
	}
}

func (r *rig) open1(signed string) *registry.Checkpoint {
	r.t.Helper()
	cp, err := registry.OpenCheckpoint([]byte(signed), r.cfg.Policy, r.cfg.Auditors)
	if err != nil {
		r.t.Fatal(err)
	}
	return cp
}

func TestFirstWriteWins(t *testing.T) {
	r := newRig(t).start()
	rec, secret := record("first")
	first := r.submit(rec)
	again := r.submit(rec)
	if got := again.Results[0]; got.Status != registry.StatusAlready || got.Index != first.Results[0].Index {
		t.Errorf("same record again: got %+v, want already at %d", got, first.Results[0].Index)
	}
	other := recordAt(secret, employerID, "second")
	free, _ := record("free")
	resp, err := r.client.Submit(t.Context(), r.sign(other, free))
	if !errors.Is(err, registry.ErrConflict) {
		t.Fatalf("another record: got %v, want ErrConflict", err)
	}
	if got := resp.Results; got[0].Status != registry.StatusConflict || got[1].Status != registry.StatusLogged {
		t.Errorf("got %+v, want a conflict and one logged", got)
	}
	look, head, cp := r.lookupPublished(keyOf(rec), keyOf(free))
	r.checkMember(look.Results[0], rec, head, cp)
	r.checkMember(look.Results[1], free, head, cp)
}

// lookupPublished looks up under the newest published head.
func (r *rig) lookupPublished(slots ...registry.Key) (*registry.LookupResponse, registry.HeadEntry, *registry.Checkpoint) {
	r.t.Helper()
	r.waitAudited()
	return r.lookup(slots...)
}

// Many submissions race for one slot, in one epoch and in several: one wins, the others see that it did.
func TestRace(t *testing.T) {
	r := newRig(t).start()
	_, secret := record("")
	var wg sync.WaitGroup
	statuses := make([]registry.SubmitStatus, 20)
	for i := range statuses {
		req := r.sign(recordAt(secret, employerID, fmt.Sprintf("writer %d", i)))
		wg.Go(func() {
			resp, err := r.client.Submit(t.Context(), req)
			if err != nil && !errors.Is(err, registry.ErrConflict) {
				t.Error(err)
				return
			}
			statuses[i] = resp.Results[0].Status
		})
	}
	wg.Wait()
	won := 0
	for _, s := range statuses {
		if s == registry.StatusLogged {
			won++
		} else if s != registry.StatusConflict {
			t.Errorf("got status %q, want conflict", s)
		}
	}
	if won != 1 {
		t.Errorf("%d submissions won the slot, want 1", won)
	}
}

func TestWitnessesDown(t *testing.T) {
	r := newRig(t).start()
	r.witnesses[0].down(true)
	rec, _ := record("one down")
	r.submit(rec)

	r.witnesses[1].down(true)
	lost, _ := record("two down")
	req := r.sign(lost)
	_, err := r.client.Submit(t.Context(), req)
	var retry *registry.RetryError
	if !errors.As(err, &retry) || retry.Problem.Status != http.StatusServiceUnavailable {
		t.Fatalf("below the quorum: got %v, want 503", err)
	}
	if resp, body := r.get("/readyz"); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "too few witnesses") {
		t.Errorf("readyz: got %d %s, want 503 and why", resp.StatusCode, body)
	}
	if err := r.server.CloseEpoch(t.Context()); !errors.Is(err, ErrNotPublished) {
		t.Errorf("CloseEpoch: got %v, want ErrNotPublished", err)
	}

	r.witnesses[0].down(false)
	resp, err := r.client.Submit(t.Context(), req) // the same request, which never got its receipt
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Results[0].Status; got != registry.StatusAlready {
		t.Errorf("after the quorum is back: got %q, want already: it was logged", got)
	}
	look, head, cp := r.lookupPublished(keyOf(lost))
	r.checkMember(look.Results[0], lost, head, cp)
	if resp, body := r.get("/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: got %d %s, want 200", resp.StatusCode, body)
	}
}

func (r *rig) get(path string) (*http.Response, string) {
	r.t.Helper()
	resp, err := http.Get(r.front.URL + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := fmt.Fprint(&b, readAll(resp)); err != nil {
		r.t.Fatal(err)
	}
	return resp, b.String()
}

func readAll(resp *http.Response) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// All four lines are waited for, so that the times do not hang on the three that answered first; a slow one is merged later.
func TestRemainingWitnesses(t *testing.T) {
	r := newRig(t).start()
	r.witnesses[3].slow(50 * time.Millisecond)
	if err := r.server.CloseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.witnessLines(); got != 4 {
		t.Errorf("%d witness lines, want 4 within the grace", got)
	}

	r = newRig(t, func(c *Config) { c.WitnessGrace = time.Millisecond }).start()
	answer := r.witnesses[3].hold()
	defer answer()
	if err := r.server.CloseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.witnessLines(); got != 3 {
		t.Errorf("%d witness lines, want 3 after the grace", got)
	}
	answer()
	waitFor(t, "the late line to be merged", func() bool { return r.witnessLines() == 4 })
}

func (r *rig) witnessLines() int {
	_, served := r.get("/checkpoint")
	return strings.Count(served, "w.example/")
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestAdmission(t *testing.T) {
	r := newRig(t).start()
	good, _ := record("good")
	stranger := mustKey(keys.ES256)
	sign := func(key *keys.Private, iss, aud string, at time.Time, writer string, records ...registry.Record) string {
		return must(registry.MakeSubmission(key, iss, aud, records, writer, at))
	}
	now := r.clock.now()
	tests := []struct {
		name string
		req  registry.SubmitRequest
		want int
	}{
		{"key not listed", registry.SubmitRequest{Submission: sign(stranger, employerID, origin, now, employerID, good), Records: []registry.Record{good}}, 403},
		{"another entity's name", registry.SubmitRequest{Submission: sign(r.bank, employerID, origin, now, employerID, good), Records: []registry.Record{good}}, 403},
		{"another's slot", registry.SubmitRequest{Submission: sign(r.bank, bankID, origin, now, employerID, good), Records: []registry.Record{good}}, 403},
		{"for another registry", registry.SubmitRequest{Submission: sign(r.employer, employerID, "other.example/log", now, employerID, good), Records: []registry.Record{good}}, 403},
		{"expired", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now.Add(-6*time.Minute), employerID, good), Records: []registry.Record{good}}, 403},
		{"from the future", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now.Add(6*time.Minute), employerID, good), Records: []registry.Record{good}}, 403},
		{"other records than signed", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now, employerID, good), Records: []registry.Record{must2(record("other"))}}, 403},
		{"no records", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now, employerID, good)}, 400},
		{"one slot twice", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now, employerID, good, good), Records: []registry.Record{good, good}}, 403},
		{"box of no size class", registry.SubmitRequest{Submission: sign(r.employer, employerID, origin, now, employerID, good), Records: []registry.Record{{X: good.X, A: good.A[1:]}}}, 400},
		{"not a token", registry.SubmitRequest{Submission: "abc", Records: []registry.Record{good}}, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp, body := r.post("/v1/entries", octetsOf(test.req))
			if resp.StatusCode != test.want || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
	octets := string(octetsOf(r.sign(good)))
	bodies := []struct {
		name, body string
		want       int
	}{
		{"empty", "", 400},
		{"cut short", octets[:len(octets)-1], 400},
		{"trailing data", octets + "\x00", 400},
		{"JSON", `{"submission":"a","records":[]}`, 400},
		{"too many records", "\x01\x11\x03\xe9" + octets[4:], 400},
		{"too large", string(octetsOf(registry.SubmitRequest{Submission: "abc", Records: slices.Repeat([]registry.Record{{A: make([]byte, registry.MaxA)}}, 600)})), 413},
	}
	for _, test := range bodies {
		t.Run(test.name, func(t *testing.T) {
			if resp, body := r.post("/v1/entries", []byte(test.body)); resp.StatusCode != test.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
	// Nothing of all that had an effect: the slot is free, and the list is the only entry besides heads.
	if resp := r.submit(good); resp.Results[0].Status != registry.StatusLogged {
		t.Errorf("the slot was touched: %+v", resp.Results[0])
	}
	if _, head, _ := r.lookupPublished(keyOf(good)); head.MapSize != 1 {
		t.Errorf("the map has %d keys, want 1", head.MapSize)
	}
}

func must2[T, U any](v T, _ U) T { return v }

func TestReplayedSubmission(t *testing.T) {
	r := newRig(t).start()
	rec, _ := record("once")
	req := r.sign(rec)
	if _, err := r.client.Submit(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		_, err := r.client.Submit(t.Context(), req)
		var p *registry.Problem
		if !errors.As(err, &p) || p.Status != http.StatusForbidden || !strings.Contains(p.Title, "taken already") {
			t.Errorf("%s: got %v, want a refusal as replayed", when, err)
		}
	}
	refused("at once")
	r.reopen()
	refused("after a restart")
}

func TestFloodAndQuota(t *testing.T) {
	var flooded atomic.Bool
	write := make(chan struct{}) // what the first epoch of the flood waits for, and all behind it
	release := sync.OnceFunc(func() { close(write) })
	defer release()
	r := newRig(t, func(c *Config) {
		c.Limits.QueueRecords = 10
		c.step = func(at step) {
			if at == stepStored && flooded.Load() {
				<-write
			}
		}
	}).start()
	flooded.Store(true)
	var wg sync.WaitGroup
	var logged, refused atomic.Int64
	for range 40 {
		rec, _ := record("flood")
		body := octetsOf(r.sign(rec))
		wg.Go(func() {
			switch resp, answer := r.post("/v1/entries", body); {
			case resp.StatusCode == http.StatusOK:
				logged.Add(1)
			case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "":
				refused.Add(1)
			default:
				t.Errorf("got %d %s %v", resp.StatusCode, answer, resp.Header)
			}
		})
	}
	waitFor(t, "all but those in the epoch and in the queue", func() bool { return refused.Load() >= 20 })
	release()
	wg.Wait()
	if l, r := logged.Load(), refused.Load(); l < 11 || r < 20 || l+r != 40 {
		t.Errorf("%d logged and %d told to wait, want at least eleven and twenty", l, r)
	}

	q := newRig(t, func(c *Config) { c.Limits.EntityPerMinute = 3 }).start()
	a, _ := record("a")
	b, _ := record("b")
	c, _ := record("c")
	d, _ := record("d")
	q.submit(a, b)
	over := q.sign(c, d)
	_, err := q.client.Submit(t.Context(), over)
	var retry *registry.RetryError
	if !errors.As(err, &retry) || retry.Problem.Status != http.StatusTooManyRequests || retry.After < time.Second {
		t.Errorf("over the quota: got %v, want 429 with a time", err)
	}
	q.submit(c) // what was turned away did not count
}

func TestNoTrustList(t *testing.T) {
	r := newRig(t)
	rec, _ := record("early")
	var retry *registry.RetryError
	if _, err := r.client.Submit(t.Context(), r.sign(rec)); !errors.As(err, &retry) || retry.Problem.Status != http.StatusServiceUnavailable {
		t.Errorf("before the first trust list: got %v, want 503", err)
	}
	if resp, _ := r.get("/checkpoint"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("checkpoint before anything is published: got %d, want 503", resp.StatusCode)
	}
}

func TestTrustLists(t *testing.T) {
	r := newRig(t).start()
	other := must(trustlist.Sign(mustKey(keys.ES256), 2, r.clock.now(), r.entities))
	gap := must(trustlist.Sign(r.anchor, 3, r.clock.now(), r.entities))
	for name, jwt := range map[string]string{"another anchor": other, "gap": gap, "no token": "x"} {
		if err := r.server.AddTrustList(t.Context(), jwt); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	rec, _ := record("before")
	r.submit(rec)
	r.entities[0].Until = attestation.NewDate(2026, 5, 24) // yesterday
	jwt := must(trustlist.Sign(r.anchor, 2, r.clock.now(), r.entities))
	size := must(r.server.log.reader.IntegratedSize(t.Context()))
	for _, l := range []string{jwt, jwt, r.server.lists[0].List.JWT} { // a version again does nothing
		if err := r.server.AddTrustList(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if got := must(r.server.log.reader.IntegratedSize(t.Context())); got != size+2 {
		t.Errorf("the log grew by %d entries, want list and head", got-size)
	}
	after, _ := record("after")
	var p *registry.Problem
	if _, err := r.client.Submit(t.Context(), r.sign(after)); !errors.As(err, &p) || p.Status != http.StatusForbidden {
		t.Errorf("entity whose listing has ended: got %v, want 403", err)
	}
	r.waitAudited()
	all, err := r.client.TrustLists(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cp := r.open1(all.Checkpoint)
	var versions []trustlist.Version
	for _, l := range all.Lists {
		list := must(trustlist.Verify(l.JWT, r.anchor.Public()))
		if err := registry.VerifyInclusion(list.Entry().Marshal(), l.Index, cp.Size, l.Inclusion, cp.Root); err != nil {
			t.Error(err)
		}
		versions = append(versions, trustlist.Version{List: list, Index: l.Index})
	}
	if _, err := trustlist.NewHistory(versions); err != nil || len(versions) != 2 {
		t.Errorf("%d versions: %v", len(versions), err)
	}
	for _, n := range []uint64{0, 1, 2} {
		l, err := r.client.TrustList(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if want := all.Lists[max(int(n), 1)-1]; n > 0 && l.JWT != want.JWT || n == 0 && l.JWT != jwt {
			t.Errorf("version %d is another", n)
		}
	}
	if resp, _ := r.get("/v1/trust-list/3"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("version 3: got %d, want 404", resp.StatusCode)
	}
}

// engagement makes an engagement of the employer's for a worker, without anything in it that could be disclosed.
func (r *rig) engagement(worker *keys.Private) string {
	r.t.Helper()
	return must(sdjwt.Issue(r.issuer, keys.Header{"kid": r.issuer.Public().Thumbprint()}, map[string]any{
		"iss": "https://employer.example", "iat": r.clock.now().Unix(), "vct": attestation.TypeEngagement.VCT(),
		"cnf": map[string]any{"jwk": worker.Public().JWK()},
	}, sdjwt.Options{}))
}

func statement(text string) (registry.Record, registry.RecordRef) {
	s := registry.StatementSecret(text)
	rec := recordAt(s, string(attestation.Worker), text)
	return rec, rec.Ref(string(attestation.Worker))
}

func TestWorkersStatement(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.StatementsPerDay = 2 }).start()
	worker := mustKey(keys.ES256)
	engagement := r.engagement(worker)
	bind := func(aud string, ref registry.RecordRef, at time.Time) string {
		return must(sdjwt.BindKey(engagement, worker, aud, registry.StatementNonce(ref.K, ref.V), at))
	}
	rec, ref := statement("first statement")
	other, otherRef := statement("other")
	now := r.clock.now()
	foreign := must(sdjwt.Issue(mustKey(keys.ES256), keys.Header{"kid": r.issuer.Public().Thumbprint()}, map[string]any{
		"iss": "https://employer.example", "vct": attestation.TypeEngagement.VCT(), "cnf": map[string]any{"jwk": worker.Public().JWK()},
	}, sdjwt.Options{}))
	for _, test := range []struct {
		name       string
		submission string
		records    []registry.Record
		want       int
	}{
		{"no key binding", engagement, []registry.Record{rec}, 403},
		{"for another record", bind(origin, otherRef, now), []registry.Record{rec}, 403},
		{"for another registry", bind("other", ref, now), []registry.Record{rec}, 403},
		{"old", bind(origin, ref, now.Add(-time.Hour)), []registry.Record{rec}, 403},
		{"two records", bind(origin, ref, now), []registry.Record{rec, other}, 400},
		{"engagement by a stranger", must(sdjwt.BindKey(foreign, worker, origin, registry.StatementNonce(ref.K, ref.V), now)), []registry.Record{rec}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp, body := r.post("/v1/entries", octetsOf(registry.SubmitRequest{Submission: test.submission, Records: test.records}))
			if resp.StatusCode != test.want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, test.want)
			}
		})
	}
	resp, err := r.client.Submit(t.Context(), registry.SubmitRequest{Submission: bind(origin, ref, now), Records: []registry.Record{rec}})
	if err != nil || resp.Results[0].Status != registry.StatusLogged || resp.Results[0].Key != ref.K {
		t.Fatalf("got %+v, %v, want it logged at its key", resp, err)
	}
	look, head, _ := r.lookupPublished(ref.K)
	if _, v, err := registry.VerifyMember(head.MapRoot, ref.K, look.Results[0].Proof); err != nil || v != ref.V {
		t.Errorf("got %v, %v", v, err)
	}
	if m := look.Results[0].Member; m.Submission != "" || !m.MatchesValue() {
		t.Errorf("got submission %q, want none kept", m.Submission)
	}
	// Nothing of the engagement stays, and the quota holds across a restart.
	r.reopen()
	r.noTraceOf(engagement)
	for i, want := range []int{200, 429} {
		rec, ref := statement(fmt.Sprintf("statement %d", i))
		resp, body := r.post("/v1/entries", octetsOf(registry.SubmitRequest{Submission: bind(origin, ref, now), Records: []registry.Record{rec}}))
		if resp.StatusCode != want {
			t.Errorf("statement %d: got %d %s, want %d", i+2, resp.StatusCode, body, want)
		}
	}
}

// noTraceOf makes sure that the store holds neither the engagement nor its ID.
func (r *rig) noTraceOf(engagement string) {
	r.t.Helper()
	jwt := strings.TrimSuffix(engagement, "~")
	id := must(keys.ID(jwt))
	err := r.cfg.Store.View(r.t.Context(), func(tx store.Tx) error {
		return tx.Scan([]byte("log/"), func(key, value []byte) error {
			for _, s := range []string{jwt, id} {
				if strings.Contains(string(key), s) || strings.Contains(string(value), s) {
					return fmt.Errorf("%q holds it", key)
				}
			}
			return nil
		})
	})
	if err != nil {
		r.t.Error(err)
	}
}

func TestRestart(t *testing.T) {
	r := newRig(t).start()
	var records []registry.Record
	for range 300 { // more than a bundle
		rec, _ := record("x")
		records = append(records, rec)
	}
	r.submit(records[:200]...)
	r.submit(records[200:]...)
	r.waitAudited()
	before, head, cp := r.lookup(keyOf(records[0]))
	r.reopen()
	after, head2, cp2 := r.lookup(keyOf(records[0]))
	if head != head2 || cp.Root != cp2.Root || cp.Size != cp2.Size || string(before.Results[0].Proof) != string(after.Results[0].Proof) {
		t.Errorf("after the restart: head %+v, was %+v", head2, head)
	}
	r.checkMember(after.Results[0], records[0], head2, cp2)
	if resp := r.submit(records[7]); resp.Results[0].Status != registry.StatusAlready {
		t.Errorf("got %q, want already", resp.Results[0].Status)
	}
	more, _ := record("more")
	r.submit(more)
	look, head3, cp3 := r.lookupPublished(keyOf(more), keyOf(records[299]))
	if head3.MapSize != 301 || head3.PrevIndex != head.Covered {
		t.Errorf("next head %+v does not follow %+v", head3, head)
	}
	r.checkMember(look.Results[0], more, head3, cp3)
	r.checkMember(look.Results[1], records[299], head3, cp3)
}

// The process dies after entries were logged and before their head: the next run covers them with its first head.
func TestDiedBeforeHead(t *testing.T) {
	r := newRig(t).start()
	rec, _ := record("logged, no head")
	boom := errors.New("died")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the sequencer went on")
			}
		}()
		s := r.server
		s.seq.close()
		s.stop()
		s.done.Wait()
		s.seq.tamper = func(*registry.HeadEntry) { panic(boom) }
		req := r.sign(rec)
		j := must(s.check(&req))
		j.done = make(chan outcome, 1)
		_ = s.closeEpoch(context.Background(), []*job{j})
	}()
	if err := r.server.log.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.open()
	waitFor(t, "the head over the entry", func() bool {
		look, err := r.client.Lookup(t.Context(), []registry.Key{keyOf(rec)})
		return err == nil && look.Results[0].Member != nil
	})
	if resp := r.submit(rec); resp.Results[0].Status != registry.StatusAlready {
		t.Errorf("got %q, want already: no slot twice", resp.Results[0].Status)
	}
	look, head, cp := r.lookupPublished(keyOf(rec))
	r.checkMember(look.Results[0], rec, head, cp)
}

// A record that was stored and not logged is nobody's: another one may take the slot.
func TestStoredButNotLogged(t *testing.T) {
	r := newRig(t).start()
	lost, secret := record("stored only")
	req := r.sign(lost)
	j := must(r.server.check(&req))
	if err := r.server.save(t.Context(), &plan{added: []addition{{keyOf(lost), j.records[0], j.jwt}}}); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	other := recordAt(secret, employerID, "another")
	if resp := r.submit(other); resp.Results[0].Status != registry.StatusLogged {
		t.Fatalf("got %+v, want it logged", resp.Results[0])
	}
	look, head, cp := r.lookupPublished(keyOf(other))
	r.checkMember(look.Results[0], other, head, cp)
}

func TestAuditorsRefuse(t *testing.T) {
	rec, _ := record("hidden")
	for _, test := range []struct {
		name string
		lie  func(*Server)
		what string
	}{
		{"entry hidden from the map", func(s *Server) { s.seq.state.hide = func(k registry.Key) bool { return k == keyOf(rec) } }, "map root"},
		{"wrong epoch", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.Epoch++ } }, "epoch"},
		{"wrong covered", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.Covered-- } }, "covered"},
		{"wrong map size", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.MapSize++ } }, "map size"},
		{"wrong list", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.ListN++ } }, "trust list"},
		{"wrong previous index", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.PrevIndex-- } }, "previous head index"},
		{"wrong previous hash", func(s *Server) { s.seq.tamper = func(h *registry.HeadEntry) { h.PrevHash[0]++ } }, "hash of the previous"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t).start()
			size := r.waitAll(t)
			test.lie(r.server)
			r.submit(rec)
			for i, a := range r.audits {
				waitFor(t, "the auditor to stop", func() bool { return a.Status().Fraud != nil })
				st := a.Status()
				if st.Size != size || st.Fraud.Kind != auditor.KindHead || !strings.Contains(st.Fraud.What, test.what) {
					t.Errorf("got size %d, %v, want it stopped at %d over the %s", st.Size, st.Fraud, size, test.what)
				}
				var f auditor.Fraud
				data := must(os.ReadFile(filepath.Join(r.auditCfgs[i].Dir, auditor.FraudFile)))
				if err := keys.DecodeJSON(data, &f); err != nil || f.Index != st.Fraud.Index || f.Checkpoint == "" || f.Signed == "" {
					t.Errorf("fraud.json: %v, %v", err, &f)
				}
			}
			if look, _, cp := r.lookup(keyOf(rec)); cp.Size != size || look.Results[0].Member != nil {
				t.Error("a lookup is answered under a head that no auditor signed")
			}
			again := must(auditor.New(t.Context(), r.auditCfgs[0]))
			if again.Status().Fraud == nil {
				t.Error("the auditor forgot over a restart that it has stopped")
			}
		})
	}
}

// waitAll waits until every auditor has signed the newest head and returns its size.
func (r *rig) waitAll(t *testing.T) uint64 {
	t.Helper()
	r.waitAudited()
	size := must(r.client.LatestHead(t.Context())).Index + 1
	for _, a := range r.audits {
		waitFor(t, "all auditors", func() bool { return a.Status().Size == size })
	}
	return size
}

func TestRecordWithheld(t *testing.T) {
	r := newRig(t).start()
	size := r.waitAll(t)
	rec, _ := record("withheld")
	var kept []byte
	key := keyed(keyRecord, keyOf(rec))
	for _, a := range r.auditors {
		a.down(true)
	}
	r.submit(rec)
	swap := func(fn func(tx store.Tx) error) {
		if err := r.cfg.Store.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	swap(func(tx store.Tx) (err error) {
		if kept, err = tx.Get(key); err != nil {
			return err
		}
		return tx.Delete(key)
	})
	for _, a := range r.auditors {
		a.down(false)
	}
	time.Sleep(300 * time.Millisecond) // several rounds
	for _, a := range r.audits {
		if st := a.Status(); st.Size != size || st.Fraud != nil {
			t.Errorf("got %+v, want no cosignature beyond %d, and no divergence", st, size)
		}
	}
	if look, _, cp := r.lookup(keyOf(rec)); cp.Size != size || look.Results[0].Member != nil {
		t.Error("a lookup is answered under a head over a record that nobody can have")
	}
	swap(func(tx store.Tx) error { return tx.Set(key, kept) })
	look, head, cp := r.lookupPublished(keyOf(rec))
	r.checkMember(look.Results[0], rec, head, cp)
}

// A registry that has lost a record gets it back from whoever sends it again.
func TestRecordSuppliedAgain(t *testing.T) {
	r := newRig(t).start()
	rec, _ := record("lost")
	r.submit(rec)
	err := r.cfg.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(keyed(keyRecord, keyOf(rec))) })
	if err != nil {
		t.Fatal(err)
	}
	if resp := r.submit(rec); resp.Results[0].Status != registry.StatusAlready {
		t.Errorf("got %+v, want already", resp.Results[0])
	}
	look, head, cp := r.lookupPublished(keyOf(rec))
	r.checkMember(look.Results[0], rec, head, cp)
}

// The process dies, or is closed, between head and publication: the next run publishes the head.
func TestDiedBeforePublication(t *testing.T) {
	r := newRig(t).start()
	for _, w := range r.witnesses[:2] {
		w.down(true)
	}
	rec, _ := record("unpublished")
	if _, err := r.client.Submit(t.Context(), r.sign(rec)); err == nil {
		t.Fatal("receipt without a quorum")
	}
	size := must(r.server.log.reader.IntegratedSize(t.Context()))
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.server.CloseEpoch(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("closed server: got %v, want ErrStopped", err)
	}
	for _, w := range r.witnesses[:2] {
		w.down(false)
	}
	r.open()
	waitFor(t, "publication", func() bool { // which comes after the archive has it
		r.server.mu.RLock()
		defer r.server.mu.RUnlock()
		return r.server.published != nil && r.server.published.size == size
	})
	if h := must(r.client.HeadAt(t.Context(), size)); h.Index != size-1 {
		t.Errorf("the head at %d stands at %d", size, h.Index)
	}
	look, head, cp := r.lookupPublished(keyOf(rec))
	r.checkMember(look.Results[0], rec, head, cp)
}

func TestAuditorRestartsAndCatchesUp(t *testing.T) {
	r := newRig(t).start()
	a, _ := record("a")
	r.submit(a)
	r.waitAudited()
	r.auditors[2].down(true)
	for range 3 {
		rec, _ := record("b")
		r.submit(rec)
	}
	r.waitAudited() // by two
	r.audits[2] = must(auditor.New(t.Context(), r.auditCfgs[2]))
	r.audits[1] = must(auditor.New(t.Context(), r.auditCfgs[1]))
	r.auditors[2].set(r.audits[2].Handler())
	r.auditors[1].set(r.audits[1].Handler())
	r.auditors[2].down(false)
	r.auditors[0].down(true)
	c, _ := record("c")
	r.submit(c)
	look, head, cp := r.lookupPublished(keyOf(c), keyOf(a)) // by the two that were restarted
	r.checkMember(look.Results[0], c, head, cp)
	r.checkMember(look.Results[1], a, head, cp)
}

func TestReads(t *testing.T) {
	r := newRig(t).start()
	rec, _ := record("x")
	r.submit(rec)
	r.waitAudited()
	resp, served := r.get("/checkpoint")
	if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("checkpoint has content type %q", got)
	}
	cp := must(registry.OpenCheckpointExactly([]byte(served), r.cfg.Policy, r.cfg.Auditors))
	for _, path := range []string{fmt.Sprintf("/tile/0/000.p/%d", cp.Size), fmt.Sprintf("/tile/entries/000.p/%d", cp.Size)} {
		resp, body := r.get(path)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || len(body) == 0 {
			t.Errorf("%s: got %d %v", path, resp.StatusCode, resp.Header)
		}
	}
	for _, path := range []string{"/tile/0/000", "/tile/64/000", "/tile/0/1000", "/tile/entries/000.p/256", "/tile/0/000.p/0", "/.state/treeState", "/tile/0/../../.state/treeState", "/nothing", "/v1/heads/0", "/v1/heads/999"} {
		if resp, _ := r.get(path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, resp.StatusCode)
		}
	}
	for _, path := range []string{"/v1/heads/x", "/v1/heads/01", "/v1/checkpoints", "/v1/checkpoints?first_after=1&last_before=1", "/v1/checkpoints?first_after=-1"} {
		if resp, _ := r.get(path); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %d, want 400", path, resp.StatusCode)
		}
	}
	latest := must(r.client.LatestHead(t.Context()))
	r.checkHead(*latest)
	r.checkHead(*must(r.client.HeadAt(t.Context(), cp.Size)))
	r.checkHead(*must(r.client.HeadAt(t.Context(), 2))) // list and head
	if first := r.open1(must(r.client.FirstAfter(t.Context(), 0))); first.Size < 1 {
		t.Errorf("first_after=0 has size %d", first.Size)
	}
	if last := r.open1(must(r.client.LastBefore(t.Context(), 2))); last.Size != 2 {
		t.Errorf("last_before=2 has size %d, want 2", last.Size)
	}
	if none := must(r.client.LastBefore(t.Context(), 1)); none != "" {
		t.Error("last_before=1 gave a checkpoint")
	}
	if resp, _ := r.post("/v1/lookup", []byte(`{"keys":[]}`)); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("lookup of nothing: got %d, want 400", resp.StatusCode)
	}
	var stored []registry.Value
	err := r.client.Records(t.Context(), []registry.Key{keyOf(rec), {1}}, func(r registry.StoredRecord) error {
		stored = append(stored, registry.ValueOf(r.A, r.B))
		return nil
	})
	if err != nil || len(stored) != 1 || stored[0] != registry.ValueOf(rec.A, rec.B) {
		t.Errorf("records: %v, %v", stored, err)
	}
	if resp, _ := r.get("/healthz"); resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: got %d", resp.StatusCode)
	}
}

func TestIdle(t *testing.T) {
	r := newRig(t, func(c *Config) { c.IdleInterval = 30 * time.Millisecond }).start()
	first := must(r.client.LatestHead(t.Context())).Index
	waitFor(t, "an idle epoch", func() bool {
		h, err := r.client.LatestHead(t.Context())
		return err == nil && h.Index > first
	})
}

// The log folder was restored from an old copy: the server must not go on from there.
func TestLogLostEntries(t *testing.T) {
	r := newRig(t).start()
	if err := r.server.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := r.cfg
	cfg.Dir = t.TempDir()
	if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("got %v, want a refusal", err)
	}
}
