package auditor

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
	"akashi/registry/trustlist"
)

const origin = "registry.example/log"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fakeLog is a registry in memory that logs whatever it is told to.
type fakeLog struct {
	signer note.Signer
	log    note.Verifier
	anchor *keys.Private

	mu      sync.Mutex
	entries [][]byte
	records map[registry.Key]registry.StoredRecord
	lists   map[uint64]string
	broken  bool // serves nothing
	garble  bool // serves other entries than it signs

	m     *prefixmap.Map
	epoch uint64
	prev  registry.HeadEntry
	at    uint64
	list  uint64
}

func newFakeLog() *fakeLog {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		panic(err)
	}
	return &fakeLog{
		signer: must(note.NewSigner(skey)), log: must(note.NewVerifier(vkey)), anchor: must(keys.Generate(keys.ES256)),
		records: make(map[registry.Key]registry.StoredRecord), lists: make(map[uint64]string),
		m: prefixmap.New(), at: registry.NoPrevHead,
	}
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n uint64
	switch {
	case l.broken:
		w.WriteHeader(http.StatusBadGateway)
	case strings.HasPrefix(r.URL.Path, "/tile/entries/"):
		n, width, err := layout.ParseTileIndexPartial(strings.TrimPrefix(r.URL.Path, "/tile/entries/"))
		end := (n + 1) * 256
		if width > 0 {
			end = n*256 + uint64(width)
		}
		if err != nil || end > uint64(len(l.entries)) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		for _, e := range l.entries[n*256 : end] {
			if l.garble {
				e = append([]byte("garbled"), e...)
			}
			_, _ = w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(e))), e...))
		}
	case r.URL.Path == "/v1/records":
		var req registry.LookupRequest
		_ = json.NewDecoder(r.Body).Decode(&req)
		var records []registry.StoredRecord
		for _, k := range req.Keys {
			if rec, ok := l.records[k]; ok {
				records = append(records, rec)
			}
		}
		_ = registry.WriteRecords(w, records)
	case scan(r.URL.Path, &n):
		if l.lists[n] == "" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(registry.TrustListProof{JWT: l.lists[n]})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func scan(path string, n *uint64) bool {
	_, err := fmt.Sscanf(path, "/v1/trust-list/%d", n)
	return err == nil
}

func (l *fakeLog) add(data []byte) { l.entries = append(l.entries, data) }

// slot logs a record for a fresh key.
func (l *fakeLog) slot(text string) registry.Key {
	k, a := registry.Key(registry.HashOf([]byte(text))), []byte(text)
	l.slotAt(k, a)
	return k
}

func (l *fakeLog) slotAt(k registry.Key, a []byte) {
	v := registry.ValueOf(a, nil)
	if l.m.Insert(k, uint64(len(l.entries)), v) {
		l.records[k] = registry.StoredRecord{Key: k, Index: uint64(len(l.entries)), A: a}
	}
	l.add(registry.SlotEntry{K: k, V: v}.Marshal())
}

func (l *fakeLog) trustList(n uint64, key *keys.Private) {
	l.lists[n] = must(trustlist.Sign(key, n, time.Unix(1760000000, 0), []*trustlist.Entity{{
		ID: "8990000000001", Name: map[string]string{"en": "A"}, Roles: []attestation.Role{attestation.AcceptingOrganization},
		From: attestation.NewDate(2025, 10, 1),
	}}))
	l.list = n
	l.add(registry.ListEntry{N: n, Hash: registry.HashOf([]byte(l.lists[n]))}.Marshal())
}

func (l *fakeLog) head() {
	snap := l.m.Snapshot()
	defer snap.Release()
	h := registry.HeadEntry{
		Epoch: l.epoch + 1, Covered: uint64(len(l.entries)), MapSize: uint64(snap.Len()), ListN: l.list, MapRoot: snap.Root(), PrevIndex: l.at,
	}
	if l.epoch > 0 {
		h.PrevHash = registry.HashOf(l.prev.Marshal())
	}
	l.epoch, l.prev, l.at = h.Epoch, h, h.Covered
	l.add(h.Marshal())
}

// tree returns the hashes of the log as package tlog stores them.
func (l *fakeLog) tree(size int) tlog.HashReader {
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for i, e := range l.entries[:size] {
		hashes = append(hashes, must(tlog.StoredHashes(int64(i), e, reader))...)
	}
	return reader
}

func (l *fakeLog) sign(size int) []byte {
	root := must(tlog.TreeHash(int64(size), l.tree(size)))
	text := log.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal()
	return must(note.Sign(&note.Note{Text: string(text)}, l.signer))
}

// request is what the log sends for its present size to a cosigner at size old.
func (l *fakeLog) request(old int) registry.AddCheckpoint {
	size := len(l.entries)
	req := registry.AddCheckpoint{OldSize: uint64(old), Note: l.sign(size)}
	if old > 0 && old < size {
		for _, h := range must(tlog.ProveTree(int64(size), int64(old), l.tree(size))) {
			req.Proof = append(req.Proof, registry.Hash(h))
		}
	}
	return req
}

type fixture struct {
	*fakeLog
	t   *testing.T
	cfg Config
	a   *Auditor
}

func newFixture(t *testing.T) *fixture {
	l := newFakeLog()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{fakeLog: l, t: t, cfg: Config{
		Name: "a.example/1", Key: key, Store: store.NewMemory(), Dir: t.TempDir(), LogURL: server.URL, Log: l.log, Anchor: l.anchor.Public(),
		Now: func() time.Time { return time.Unix(1760000000, 0) },
	}}
	f.open()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	a, err := New(f.t.Context(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.a = a
}

// ask sends a request through the handler and returns status and answer.
func (f *fixture) ask(req registry.AddCheckpoint) (int, string) { return f.post(req.Marshal()) }

func (f *fixture) post(body []byte) (int, string) {
	w := httptest.NewRecorder()
	f.a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return w.Code, w.Body.String()
}

// signed asks for the present size and wants a valid cosignature.
func (f *fixture) signed() {
	f.t.Helper()
	req := f.request(int(f.a.Status().Size))
	status, lines := f.ask(req)
	if status != http.StatusOK {
		f.t.Fatalf("got %d %s, want a cosignature", status, lines)
	}
	v := must(registry.NewCosignatureVerifier(f.a.VKey()))
	if n, err := note.Open(append(bytes.Clone(req.Note), lines...), note.VerifierList(f.log, v)); err != nil || len(n.Sigs) != 2 {
		f.t.Fatalf("the cosignature does not verify: %v", err)
	}
	if got := f.a.Status().Size; got != uint64(len(f.entries)) {
		f.t.Errorf("status has size %d, want %d", got, len(f.entries))
	}
}

// begin is a short honest log.
func (f *fixture) begin() *fixture {
	f.t.Helper()
	f.trustList(1, f.anchor)
	f.head()
	f.slot("a")
	f.slot("b")
	f.head()
	f.signed()
	return f
}

func TestCosigns(t *testing.T) {
	f := newFixture(t).begin()
	f.signed() // the same again
	f.add([]byte("nobody knows this form"))
	f.slotAt(registry.Key(registry.HashOf([]byte("a"))), []byte("second write to a taken slot"))
	f.add(bytes.Repeat([]byte{1}, 72))
	f.head()
	for i := range 600 {
		f.slot(fmt.Sprint(i))
	}
	f.head()
	f.trustList(2, f.anchor)
	f.head()
	f.signed()
	f.slot("not yet covered")
	f.signed()
	f.open() // restart
	f.head()
	f.signed()
}

func TestRefusals(t *testing.T) {
	f := newFixture(t).begin()
	size := len(f.entries)
	f.slot("c")
	f.head()
	good := f.request(size)
	other := newFakeLog()
	other.slot("x")
	tests := []struct {
		name string
		body []byte
		want int
	}{
		{"no request", []byte("hello"), 400},
		{"another origin", bytes.Replace(good.Marshal(), []byte("\n\n"+origin), []byte("\n\nother.example"), 1), 404},
		{"another log's key", registry.AddCheckpoint{OldSize: uint64(size), Note: other.sign(1)}.Marshal(), 403},
		{"old above the size", registry.AddCheckpoint{OldSize: 1000, Note: good.Note}.Marshal(), 400},
		{"proof missing", registry.AddCheckpoint{OldSize: good.OldSize, Note: good.Note}.Marshal(), 422},
		{"proof of another size", registry.AddCheckpoint{OldSize: good.OldSize, Note: good.Note, Proof: f.request(size - 1).Proof}.Marshal(), 422},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if status, body := f.post(test.body); status != test.want {
				t.Errorf("got %d %s, want %d", status, body, test.want)
			}
		})
	}
	if status, body := f.ask(f.request(size - 1)); status != http.StatusConflict || body != fmt.Sprintf("%d\n", size) {
		t.Errorf("stale size: got %d %q, want 409 and the size", status, body)
	}
	if status, _ := f.post(bytes.Repeat([]byte("x"), registry.MaxAddCheckpoint+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: got %d, want 413", status)
	}
	if f.a.Status().Fraud != nil {
		t.Fatalf("what others send stopped the auditor: %v", f.a.Status().Fraud)
	}
	f.signed()
}

// What cannot be had is no divergence: the auditor signs as soon as it can be had.
func TestUnavailable(t *testing.T) {
	tests := []struct {
		name       string
		hide, show func(f *fixture, k registry.Key)
	}{
		{"log down", func(f *fixture, _ registry.Key) { f.broken = true }, func(f *fixture, _ registry.Key) { f.broken = false }},
		{"record missing", func(f *fixture, k registry.Key) { delete(f.records, k) }, func(f *fixture, k registry.Key) {
			f.records[k] = registry.StoredRecord{Key: k, A: []byte("c")}
		}},
		{"A missing", func(f *fixture, k registry.Key) { f.records[k] = registry.StoredRecord{Key: k} }, func(f *fixture, k registry.Key) {
			f.records[k] = registry.StoredRecord{Key: k, A: []byte("c")}
		}},
		{"another A", func(f *fixture, k registry.Key) { f.records[k] = registry.StoredRecord{Key: k, A: []byte("d")} }, func(f *fixture, k registry.Key) {
			f.records[k] = registry.StoredRecord{Key: k, A: []byte("c")}
		}},
		{"another B", func(f *fixture, k registry.Key) {
			f.records[k] = registry.StoredRecord{Key: k, A: []byte("c"), B: []byte("b")}
		}, func(f *fixture, k registry.Key) { f.records[k] = registry.StoredRecord{Key: k, A: []byte("c")} }},
		{"trust list missing", func(f *fixture, _ registry.Key) { f.lists[3] = f.lists[2]; delete(f.lists, 2) }, func(f *fixture, _ registry.Key) { f.lists[2] = f.lists[3] }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t).begin()
			size := f.a.Status().Size
			f.trustList(2, f.anchor)
			k := f.slot("c")
			f.head()
			test.hide(f, k)
			for range 2 {
				if status, body := f.ask(f.request(int(size))); status != http.StatusServiceUnavailable {
					t.Fatalf("got %d %s, want 503", status, body)
				}
			}
			if st := f.a.Status(); st.Size != size || st.Fraud != nil {
				t.Errorf("got %+v, want it waiting at %d", st, size)
			}
			f.slot("more")
			f.head()
			test.show(f, k)
			f.signed()
			f.open()
			f.signed()
		})
	}
}

func TestDivergence(t *testing.T) {
	tests := []struct {
		name, kind string
		lie        func(f *fixture)
	}{
		{"head states another map", KindHead, func(f *fixture) { f.m.Insert(registry.Key{1}, 0, registry.Value{}); f.head() }},
		{"head repeated", KindHead, func(f *fixture) { f.add(f.prev.Marshal()) }},
		{"list number left out", KindTrustList, func(f *fixture) { f.trustList(3, f.anchor) }},
		{"list number repeated", KindTrustList, func(f *fixture) { f.trustList(1, f.anchor) }},
		{"list of a stranger", KindTrustList, func(f *fixture) { f.trustList(2, must(keys.Generate(keys.ES256))) }},
		{"list of another number", KindTrustList, func(f *fixture) {
			f.trustList(2, f.anchor)
			f.entries = f.entries[:len(f.entries)-1]
			f.lists[2] = f.lists[1]
			f.add(registry.ListEntry{N: 2, Hash: registry.HashOf([]byte(f.lists[1]))}.Marshal())
		}},
		{"history rewritten", KindFork, func(f *fixture) { f.entries[3] = f.entries[2]; f.slot("c") }},
		{"history rewritten at the same size", KindFork, func(f *fixture) { f.entries[3] = f.entries[2] }},
		{"serves other entries than it signs", KindFork, func(f *fixture) { f.slot("c"); f.garble = true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t).begin()
			size := f.a.Status().Size
			test.lie(f)
			req := f.request(int(size))
			for range 2 { // for good
				if status, body := f.ask(req); status != http.StatusUnprocessableEntity {
					t.Fatalf("got %d %s, want 422", status, body)
				}
			}
			fraud := f.a.Status().Fraud
			if fraud == nil || fraud.Kind != test.kind || f.a.Status().Size != size {
				t.Fatalf("got %+v, want it stopped over a %s", f.a.Status(), test.kind)
			}
			var written Fraud
			data := must(os.ReadFile(filepath.Join(f.cfg.Dir, FraudFile)))
			if err := json.Unmarshal(data, &written); err != nil || written.What != fraud.What || written.Checkpoint != string(req.Note) || written.Signed == "" {
				t.Errorf("fraud.json: %v, %s", err, data)
			}
			checkProven(t, f, data, test.name != "serves other entries than it signs")
			f.open()
			if status, _ := f.ask(req); status != http.StatusUnprocessableEntity {
				t.Errorf("after a restart: got %d, want 422", status)
			}
			f.cfg.Store = store.NewMemory() // the file alone is enough
			f.open()
			if status, _ := f.ask(req); status != http.StatusUnprocessableEntity {
				t.Errorf("after the store was lost: got %d, want 422", status)
			}
		})
	}
}

// broken is a store whose writes fail from the n-th on.
type broken struct {
	store.Store
	left int
}

func (b *broken) Update(ctx context.Context, fn func(store.Tx) error) error {
	if b.left--; b.left < 0 {
		return errors.New("disk full")
	}
	return b.Store.Update(ctx, fn)
}

// Nothing is signed that is not durable, and work that was cut short between its transactions does no harm.
func TestStoreFails(t *testing.T) {
	for left := range 2 {
		f := newFixture(t).begin()
		good := f.cfg.Store
		f.cfg.Store = &broken{good, left}
		f.open()
		size := f.a.Status().Size
		f.slot("c")
		f.head()
		if status, body := f.ask(f.request(int(size))); status != http.StatusInternalServerError {
			t.Fatalf("got %d %s, want 500", status, body)
		}
		f.cfg.Store.(*broken).left = 100
		f.signed() // without a restart
		f.cfg.Store = &broken{good, left}
		f.open()
		size = f.a.Status().Size
		f.slot("d")
		f.head()
		if status, _ := f.ask(f.request(int(size))); status != http.StatusInternalServerError {
			t.Fatalf("got %d, want 500", status)
		}
		f.cfg.Store = good
		f.open() // with one
		f.signed()
	}
}

func TestStateDamaged(t *testing.T) {
	f := newFixture(t).begin()
	k := registry.Key(registry.HashOf([]byte("a")))
	err := f.cfg.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(append(f.cfg.key("slot/"), k[:]...)) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), f.cfg); !errors.Is(err, errDamaged) {
		t.Errorf("got %v, want errDamaged", err)
	}
}

func TestBusy(t *testing.T) {
	f := newFixture(t).begin()
	f.a.mu.Lock()
	defer f.a.mu.Unlock()
	if status, _ := f.ask(f.request(len(f.entries))); status != http.StatusServiceUnavailable {
		t.Errorf("got %d, want 503", status)
	}
}
