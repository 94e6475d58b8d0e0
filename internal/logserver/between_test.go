package logserver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"akashi/internal/auditor"
	"akashi/registry"
	"akashi/registry/fraud"
)

func (r *rig) between() auditor.Between {
	return auditor.Between{LogURL: r.front.URL, Policy: r.cfg.Policy, Auditors: r.cfg.Auditors, Anchor: r.anchor.Public()}
}

// Who has one head can check what came after it without any state.
func TestBetween(t *testing.T) {
	r := newRig(t).start()
	r.fill(300)
	r.waitAudited()
	first := r.server.published.size
	r.fill(20)
	r.addList(2)
	r.waitAudited()
	second := r.server.published.size
	r.fill(7)
	if err := r.server.CloseEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.waitAudited()
	newest := r.server.published.size
	for _, c := range []struct {
		from, to, end uint64
		keys          uint64
		lists         int
	}{{0, 0, newest, 327, 2}, {first, 0, newest, 27, 1}, {first, second, second, 27, 1}, {second, 0, newest, 7, 0}} {
		got, err := r.between().Check(t.Context(), c.from, c.to)
		if err != nil || got.Difference != "" || got.To != c.end || got.Keys != c.keys || got.Lists != c.lists || !got.FromAudit || got.Heads == 0 {
			t.Errorf("from %d to %d: %v, %+v", c.from, c.to, err, got)
		}
	}
	for _, c := range [][2]uint64{{newest, 0}, {second, first}, {0, newest + 1}, {first + 1, 0}, {newest + 5, 0}, {0, first + 1}} {
		if got, err := r.between().Check(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("from %d to %d: %+v, want an error", c[0], c[1], got)
		}
	}
}

// What a lying operator does between two heads is found, whatever it serves with it.
func TestBetweenFinds(t *testing.T) {
	r := newRig(t).start()
	r.fill(10)
	r.waitAudited()
	from := r.server.published.size
	rec, _ := record("hidden")
	r.server.seq.tamper = func(h *registry.HeadEntry) { h.MapRoot[0] ^= 1 }
	r.submit(rec)
	r.server.seq.tamper = nil
	for _, a := range r.auditors {
		a.down(true)
	}
	r.server.mu.Lock()
	r.server.audited = nil // so that the newest head is served
	r.server.mu.Unlock()
	got, err := r.between().Check(t.Context(), from, 0)
	if err != nil || !strings.Contains(got.Difference, "map root") || got.Index != from+1 {
		t.Errorf("got %v, %+v; want the head at %d", err, got, from+1)
	}

	// An answer in which anything was changed proves nothing, and never that all is well.
	resp, err := r.client.Delta(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	for i := range resp.Delta {
		spoilt := *resp
		spoilt.Delta = append(registry.Bytes(nil), resp.Delta...)
		spoilt.Delta[i] ^= 4
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/v1/delta" {
				_ = json.NewEncoder(w).Encode(spoilt)
				return
			}
			r.front.handler.ServeHTTP(w, req)
		}))
		b := r.between()
		b.LogURL = front.URL
		got, err := b.Check(t.Context(), from, 0)
		if err == nil && got.Difference == "" {
			t.Errorf("byte %d of the delta: nothing was found", i)
		}
		front.Close()
	}
}

// An auditor of a lying registry writes a report that convinces others.
func TestLieIsProven(t *testing.T) {
	r := newRig(t).start()
	r.fill(300)
	r.waitAudited()
	r.fill(3)
	r.waitAudited()
	lied, _ := record("hidden")
	r.server.seq.state.hide = func(k registry.Key) bool { return k == keyOf(lied) }
	r.submit(lied)
	waitFor(t, "the auditors to stop", func() bool { return r.audits[0].Status().Fraud != nil && r.audits[0].Status().Fraud.Proof != nil })
	data, err := os.ReadFile(filepath.Join(r.auditCfgs[0].Dir, auditor.FraudFile))
	if err != nil {
		t.Fatal(err)
	}
	report, err := fraud.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := fraud.Check(report, r.cfg.Policy.Log, r.anchor.Public()); err != nil {
		t.Errorf("not proven: %v", err)
	}
	if len(data) > 64<<10 {
		t.Errorf("the report has %d bytes", len(data))
	}
	t.Logf("report of %d bytes", len(data))
}
