package logserver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

const (
	// envKills is how often TestKill kills the registry: 20 unless it says otherwise, 200 in the long mode.
	envKills = "AKASHI_KILLS"
	// envChild makes TestKilledChild be the registry: childConfig as JSON.
	envChild = "AKASHI_CRASH_CHILD"
)

// childConfig is what the process that is to be killed gets to know.
type childConfig struct {
	Dir, Key, Policy, Auditors string
	Witnesses, AuditorURLs     []Endpoint
	Anchor                     json.RawMessage
	List                       string // trust list version 1
	Now                        time.Time
	Map                        MapKind
	DieAt                      step // the process kills itself when it is there for the DieAfter-th time
	DieAfter                   int
}

// TestKilledChild is not a test: it is the registry in a process of its own, in which TestKill runs it.
func TestKilledChild(t *testing.T) {
	text := os.Getenv(envChild)
	if text == "" {
		t.Skip("run by TestKill")
	}
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	cfg := c.config(t)
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddTrustList(t.Context(), c.List); err != nil && !errors.Is(err, ErrNotPublished) {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("ready http://%s\n", l.Addr())
	t.Fatal(http.Serve(l, s.Handler()))
}

func (c *childConfig) config(t *testing.T) Config {
	t.Helper()
	times := 0
	var mu sync.Mutex
	return Config{
		Dir: filepath.Join(c.Dir, "log"), Origin: origin, LogKey: must(note.NewSigner(c.Key)),
		Store:  must(store.OpenBadger(filepath.Join(c.Dir, "store"), nil, quiet(t))),
		Anchor: must(keys.ParsePublic(c.Anchor)), Policy: must(registry.ParsePolicy([]byte(c.Policy))),
		Auditors: must(registry.ParsePolicy([]byte(c.Auditors))), Witnesses: c.Witnesses, AuditorURLs: c.AuditorURLs,
		Now: func() time.Time { return c.Now }, Log: quiet(t), Map: c.Map, MapFileEpochs: 3,
		EpochInterval: 2 * time.Millisecond, RetryInterval: 20 * time.Millisecond, WitnessGrace: 50 * time.Millisecond,
		Limits: Limits{EntityPerMinute: 1e9},
		step: func(at step) {
			mu.Lock()
			defer mu.Unlock()
			if at != c.DieAt {
				return
			}
			if times++; times == c.DieAfter {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		},
	}
}

// child is one run of the registry in a process of its own.
type child struct {
	cmd   *exec.Cmd
	ready <-chan string // gets its address
	dead  chan struct{} // closed when it is gone
	out   *bytes.Buffer // what it said, to be read when it is gone
}

func startChild(t *testing.T, c childConfig) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
	cmd.Env = append(os.Environ(), envChild+"="+string(must(json.Marshal(c))))
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &child{cmd: cmd, dead: make(chan struct{}), out: new(bytes.Buffer)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(p.dead)
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
			fmt.Fprintln(p.out, lines.Text())
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(p.kill)
	p.ready = ready
	return p
}

// waitReady waits until it answers. It returns false when it died before that.
func (p *child) waitReady(t *testing.T, r *rig) bool {
	t.Helper()
	select {
	case at := <-p.ready:
		proxy := httputil.NewSingleHostReverseProxy(must(url.Parse(at)))
		proxy.ErrorLog = log.New(io.Discard, "", 0) // that the registry dies is what we are here for
		r.front.set(proxy)
		return true
	case <-p.dead:
	case <-time.After(patience):
		p.kill()
		t.Fatalf("the registry did not start:\n%s", p.out)
	}
	return false
}

// kill ends the process with SIGKILL, unless it has ended.
func (p *child) kill() {
	_ = p.cmd.Process.Kill()
	<-p.dead
}

// failed tells whether the process ended in another way than by SIGKILL.
func (p *child) failed() bool {
	<-p.dead
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL
}

// receipts is what the submitters were promised. Whatever happens to the registry, it must hold.
type receipts struct {
	mu     sync.Mutex
	given  map[registry.Key]receipt
	logged map[registry.Key]int             // how often a receipt said that the slot was written now
	roots  map[uint64]registry.Hash         // of the checkpoints in receipts
	size   uint64                           // of the largest
	open   map[registry.Key]registry.Record // sent, and no receipt yet
}

type receipt struct {
	index uint64
	value registry.Value
}

func (b *receipts) add(t *testing.T, r *rig, records []registry.Record, resp *registry.SubmitResponse) {
	cp, err := registry.OpenCheckpoint([]byte(resp.Checkpoint), r.cfg.Policy, r.cfg.Auditors)
	if err != nil {
		t.Errorf("receipt without a checkpoint: %v", err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if root, ok := b.roots[cp.Size]; ok && root != cp.Root {
		t.Errorf("two roots at size %d", cp.Size)
	}
	if _, ok := cp.ExistedBy(); !ok {
		t.Errorf("receipt under a checkpoint of size %d without the witnesses' quorum", cp.Size)
	}
	b.roots[cp.Size] = cp.Root
	b.size = max(b.size, cp.Size)
	for i, res := range resp.Results {
		delete(b.open, res.Key)
		if res.Index >= cp.Size {
			t.Errorf("receipt for entry %d under a checkpoint of size %d", res.Index, cp.Size)
		}
		if res.Status == registry.StatusConflict {
			if old, ok := b.given[res.Key]; ok && (old.index != res.Index || old.value == records[i].Ref(employerID).V) {
				t.Errorf("conflict with entry %d in a slot for which a receipt was given for entry %d", res.Index, old.index)
			}
			continue
		}
		got := receipt{res.Index, records[i].Ref(employerID).V}
		if old, ok := b.given[res.Key]; ok && old != got {
			t.Errorf("receipt for entry %d in a slot for which one was given for entry %d", got.index, old.index)
		}
		b.given[res.Key] = got
		if res.Status == registry.StatusLogged {
			if b.logged[res.Key]++; b.logged[res.Key] > 1 {
				t.Errorf("slot of entry %d was written twice", res.Index)
			}
		}
	}
}

// unanswered returns a few records that were sent without a receipt.
func (b *receipts) unanswered(n int) (records []registry.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rec := range b.open {
		if len(records) == n {
			break
		}
		records = append(records, rec)
	}
	return records
}

func (b *receipts) sent(records []registry.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rec := range records {
		b.open[keyOf(rec)] = rec
	}
}

// submitUntil sends records until stop: new ones, ones for slots that others are after, and ones that got no receipt.
func (b *receipts) submitUntil(t *testing.T, r *rig, id int, stop context.Context) {
	for n := 0; stop.Err() == nil; n++ {
		var records []registry.Record
		switch n % 3 {
		case 0:
			for range 1 + mrand.IntN(6) {
				rec, _ := record("fresh")
				records = append(records, rec)
			}
		case 1: // contested: the same secret with all submitters
			s := registry.Secret(registry.HashOf(fmt.Appendf(nil, "contested %d", n/9)))
			records = append(records, recordAt(s, employerID, fmt.Sprint(id)))
		case 2:
			if records = b.unanswered(5); len(records) == 0 {
				time.Sleep(time.Millisecond)
				continue
			}
		}
		b.sent(records)
		b.submit(t, r, records)
	}
}

func (b *receipts) submit(t *testing.T, r *rig, records []registry.Record) bool {
	jwt, err := registry.MakeSubmission(r.employer, employerID, origin, records, employerID, r.clock.now())
	if err != nil {
		t.Error(err)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := r.client.Submit(ctx, registry.SubmitRequest{Submission: jwt, Records: records})
	var refused *registry.Problem
	switch {
	case err == nil || errors.Is(err, registry.ErrConflict):
		b.add(t, r, records, resp)
		return true
	case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
		t.Errorf("refused: %v", err)
	}
	time.Sleep(5 * time.Millisecond)
	return false
}

// check reads the log through a registry that has just started, and compares the last receipts with it.
func (b *receipts) check(t *testing.T, r *rig) {
	t.Helper()
	b.mu.Lock()
	size := b.size
	b.mu.Unlock()
	if size == 0 {
		return
	}
	signed, err := r.client.Checkpoint(t.Context())
	if err != nil {
		return // killed meanwhile
	}
	cp := r.open1(string(signed))
	if cp.Size < size {
		t.Errorf("the registry shows %d entries, and a receipt was given over %d", cp.Size, size)
	}
}

// TestKill kills a registry with SIGKILL, at random moments and at each step of an epoch, while submitters send, and starts it again. No
// receipt is lost, no slot is written twice, every head has the root of the log's own entries (three auditors replay all of it), and no
// tree is ever taken back (four witnesses would not sign the next).
func TestKill(t *testing.T) {
	kills := 20
	if text := os.Getenv(envKills); text != "" {
		kills = must(strconv.Atoi(text))
	}
	if testing.Short() {
		kills = 6
	}
	for _, kind := range mapKinds {
		t.Run(string(kind), func(t *testing.T) { killLoop(t, kind, (kills+1)/2) })
	}
}

func killLoop(t *testing.T, kind MapKind, kills int) {
	r := newWorld(t)
	c := childConfig{
		Dir: t.TempDir(), Key: r.skey, Policy: string(r.cfg.Policy.Marshal()), Auditors: string(r.cfg.Auditors.Marshal()),
		Witnesses: r.cfg.Witnesses, AuditorURLs: r.cfg.AuditorURLs, Anchor: r.anchor.Public().JWK(),
		List: must(trustlist.Sign(r.anchor, 1, r.clock.now(), r.entities)), Now: r.clock.now(), Map: kind,
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := &receipts{
		given: make(map[registry.Key]receipt), logged: make(map[registry.Key]int), roots: make(map[uint64]registry.Hash),
		open: make(map[registry.Key]registry.Record),
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var submitters sync.WaitGroup
	for id := range 4 {
		submitters.Go(func() { b.submitUntil(t, r, id, ctx) })
	}
	steps := []step{stepStored, stepLogged, stepMapped, stepHeaded, stepWitnessed, stepArchived, stepShown, stepAnswered}
	for n := range kills {
		c.DieAt, c.DieAfter = "", 1+mrand.IntN(6)
		if n%2 == 0 {
			c.DieAt = steps[n/2%len(steps)]
		}
		p := startChild(t, c)
		switch {
		case n%6 == 5: // while it starts
		case p.waitReady(t, r):
			b.check(t, r)
		}
		life := time.Duration(mrand.IntN(300)) * time.Millisecond
		if c.DieAt != "" {
			life = patience
		}
		select {
		case <-p.dead:
		case <-time.After(life):
			if c.DieAt != "" {
				t.Errorf("never came to %q", c.DieAt)
			}
		}
		p.kill()
		if p.failed() {
			t.Fatalf("the registry ended by itself:\n%s", p.out)
		}
	}
	stop()
	submitters.Wait()
	c.DieAt = ""
	p := startChild(t, c)
	if !p.waitReady(t, r) {
		t.Fatalf("the registry did not start:\n%s", p.out)
	}
	for records := b.unanswered(100); len(records) > 0; records = b.unanswered(100) {
		if !b.submit(t, r, records) && t.Failed() {
			return
		}
	}
	b.checkAll(t, r)
}

// checkAll compares every receipt with the audited map and with the log itself.
func (b *receipts) checkAll(t *testing.T, r *rig) {
	t.Helper()
	waitFor(t, "the auditors", func() bool {
		head, err := r.client.LatestHead(t.Context())
		return err == nil && head.Index+1 >= b.size && r.open1(head.Checkpoint).Audited()
	})
	var slots []registry.Key
	for k := range b.given {
		slots = append(slots, k)
	}
	var head registry.HeadEntry
	var cp *registry.Checkpoint
	for len(slots) > 0 {
		part := slots[:min(len(slots), registry.MaxLookupKeys)]
		slots = slots[len(part):]
		var look *registry.LookupResponse
		look, head, cp = r.lookup(part...)
		for _, res := range look.Results {
			want := b.given[res.Key]
			i, v, err := registry.VerifyMember(head.MapRoot, res.Key, res.Proof)
			if err != nil || i != want.index || v != want.value || res.Member == nil || !res.Member.MatchesValue() {
				t.Errorf("receipt for entry %d: the map has %d, %v", want.index, i, err)
			}
		}
	}
	entries := make(map[registry.Key]int)
	for _, data := range r.readLog(cp.Size) {
		if e, err := registry.ParseEntry(data); err == nil {
			if slot, ok := e.(registry.SlotEntry); ok {
				entries[slot.K]++
			}
		}
	}
	for k, n := range entries {
		if n != 1 {
			t.Errorf("slot %v stands %d times in the log", k, n)
		}
	}
	if got, want := head.MapRoot, r.naiveRoot(cp.Size); got != want || head.MapSize != uint64(len(entries)) {
		t.Errorf("the last head has another root than the log's entries")
	}
	for _, a := range r.audits {
		if f := a.Status().Fraud; f != nil {
			t.Errorf("an auditor has stopped: %v", f)
		}
	}
	t.Logf("%d receipts over %d entries", len(b.given), cp.Size)
}
