package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	transparency "github.com/transparency-dev/witness/client/http"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/internal/store"
	"akashi/registry"
)

const origin = "log.example/test"

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// testLog is a log in memory that can prove and sign any of its sizes.
type testLog struct {
	t      testing.TB
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	sizes  []tlog.Hash // root by size
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

// newLog returns a log of 20 entries. Logs with another salt fork at the first entry.
func newLog(t testing.TB, salt string) *testLog {
	private := key(origin)
	vkey, err := note.NewEd25519VerifierKey(origin, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(vkey, "+")
	hash, _, _ := strings.Cut(rest, "+")
	signer, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...)))
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{t: t, signer: signer, vkey: vkey, sizes: []tlog.Hash{sha256.Sum256(nil)}}
	for i := range int64(20) {
		hashes, err := tlog.StoredHashes(i, fmt.Append(nil, salt, i), l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, hashes...)
		root, err := tlog.TreeHash(i+1, l)
		if err != nil {
			t.Fatal(err)
		}
		l.sizes = append(l.sizes, root)
	}
	return l
}

func (l *testLog) text(size int) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(l.sizes[size][:]))
}

func (l *testLog) request(old, size int) registry.AddCheckpoint {
	signed, err := note.Sign(&note.Note{Text: l.text(size)}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	r := registry.AddCheckpoint{OldSize: uint64(old), Note: signed}
	if old > 0 && old < size {
		proof, err := tlog.ProveTree(int64(size), int64(old), l)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, h := range proof {
			r.Proof = append(r.Proof, registry.Hash(h))
		}
	}
	return r
}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) set(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = time.Unix(1_760_000_000+seconds, 0)
}

func newWitness(t testing.TB, s store.Store, c *clock) *Witness {
	t.Helper()
	w, err := New(Config{
		Name: "witness.example/w1", Key: key("w1"), Store: s, Logs: []string{newLog(t, "").vkey}, Now: c.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newMemoryWitness(t testing.TB) (*Witness, *clock) {
	c := new(clock)
	c.set(0)
	s := store.NewMemory()
	t.Cleanup(func() { s.Close() })
	return newWitness(t, s, c), c
}

func post(w *Witness, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return rec
}

// verify returns the time of the cosignature in an answer, checked by another implementation.
func verify(t testing.TB, w *Witness, l *testLog, size int, lines string) int64 {
	t.Helper()
	v, err := torchwood.NewCosignatureVerifier(w.VKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(l.text(size)+"\n"+lines), note.VerifierList(v))
	if err != nil {
		t.Fatalf("cosignature does not verify: %v", err)
	}
	ts, err := torchwood.CosignatureTimestamp(n.Sigs[0])
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestAddCheckpoint(t *testing.T) {
	w, c := newMemoryWitness(t)
	l := newLog(t, "")
	old := 0
	for i, size := range []int{0, 0, 1, 1, 2, 7, 8, 20, 20} {
		c.set(int64(10 * i))
		rec := post(w, l.request(old, size).Marshal())
		if rec.Code != http.StatusOK {
			t.Fatalf("%d to %d: got %d %s", old, size, rec.Code, rec.Body)
		}
		if got := verify(t, w, l, size, rec.Body.String()); got != c.now().Unix() {
			t.Errorf("time: got %d, want %d", got, c.now().Unix())
		}
		old = size
	}
}

// TestAnswers starts from a witness at size 8 and a good request to size 12, and spoils one thing per row.
func TestAnswers(t *testing.T) {
	l, fork := newLog(t, ""), newLog(t, "fork")
	good := func() string { return string(l.request(8, 12).Marshal()) }
	otherKey, err := note.NewSigner(skeyOf(t, "other", origin))
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(text string, s note.Signer) string {
		b, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	stranger, err := note.NewSigner(skeyOf(t, "other", "other.example"))
	if err != nil {
		t.Fatal(err)
	}
	logLine := strings.TrimPrefix(signedBy(l.text(12), l.signer), l.text(12)+"\n")
	body := func(r registry.AddCheckpoint) string { return string(r.Marshal()) }
	withProof := func(r registry.AddCheckpoint, proof ...registry.Hash) string { r.Proof = proof; return body(r) }
	for _, c := range []struct {
		name, body string
		want       int
		answer     string
	}{
		{"good", good(), 200, "— witness.example/w1 "},
		{"same size again", body(l.request(8, 8)), 200, "— witness.example/w1 "},
		{"another signature beside the log's", good() + strings.TrimPrefix(signedBy(l.text(12), stranger), l.text(12)+"\n"), 200, "— witness.example/w1 "},
		{"empty", "", 400, "must begin with an old size"},
		{"no old line", strings.TrimPrefix(good(), "old 8\n"), 400, "must begin with an old size"},
		{"old larger than the checkpoint", strings.Replace(good(), "old 8", "old 13", 1), 400, "old size is larger"},
		{"not a note", "old 8\n\n" + origin + "\nrubbish\n", 400, "not a signed note"},
		{"size with a leading zero", "old 8\n\n" + strings.Replace(signedBy(l.text(12), l.signer), "\n12\n", "\n012\n", 1), 400, "not a tree size"},
		{"another log", strings.ReplaceAll(good(), origin, "other.example"), 404, "unknown log"},
		{"signed by a key of the same name", strings.Replace(good(), logLine, strings.TrimPrefix(signedBy(l.text(12), otherKey), l.text(12)+"\n"), 1), 403, "not signed by the log"},
		{"signature over another size", strings.Replace(good(), "\n12\n", "\n13\n", 1), 403, "not signed by the log"},
		{"old size too small", body(l.request(7, 12)), 409, "8\n"},
		{"old size too large", body(l.request(9, 12)), 409, "8\n"},
		{"old size 0", body(l.request(0, 12)), 409, "8\n"},
		{"smaller checkpoint", body(l.request(6, 7)), 409, "8\n"},
		{"no proof", withProof(l.request(8, 12)), 422, "consistency proof"},
		{"proof of another size", withProof(l.request(8, 12), l.request(8, 13).Proof...), 422, "consistency proof"},
		{"a hash too many", withProof(l.request(8, 12), append(l.request(8, 12).Proof, registry.Hash{})...), 422, "consistency proof"},
		{"a fork", body(fork.request(8, 12)), 422, "consistency proof"},
		{"same size, another root", body(fork.request(8, 8)), 422, "consistency proof"},
		{"same size with a proof", withProof(l.request(8, 8), registry.Hash{}), 422, "consistency proof"},
	} {
		w, _ := newMemoryWitness(t)
		if rec := post(w, l.request(0, 8).Marshal()); rec.Code != 200 {
			t.Fatalf("preparing: %d %s", rec.Code, rec.Body)
		}
		rec := post(w, []byte(c.body))
		if rec.Code != c.want || !strings.Contains(rec.Body.String(), c.answer) {
			t.Errorf("%s: got %d %q, want %d", c.name, rec.Code, rec.Body, c.want)
		}
		if got, want := rec.Header().Get("Content-Type"), map[bool]string{true: "text/x.tlog.size", false: "text/plain; charset=utf-8"}[c.want == 409]; got != want {
			t.Errorf("%s: content type %q, want %q", c.name, got, want)
		}
		// Whatever was refused changed nothing.
		if c.want != 200 {
			if rec := post(w, []byte(good())); rec.Code != 200 {
				t.Errorf("%s: afterwards the good request gets %d", c.name, rec.Code)
			}
		}
	}
}

func skeyOf(t *testing.T, seed, name string) string {
	t.Helper()
	private := key(seed)
	vkey, err := note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	return "PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
}

// TestEmptyTree plays the rules for a witness that has signed nothing yet.
func TestEmptyTree(t *testing.T) {
	l := newLog(t, "")
	for _, c := range []struct {
		name  string
		spoil func(r *registry.AddCheckpoint)
		want  int
	}{
		{"first", func(*registry.AddCheckpoint) {}, 200},
		{"old size that was never signed", func(r *registry.AddCheckpoint) { *r = l.request(3, 8) }, 409},
		{"proof for old size 0", func(r *registry.AddCheckpoint) { r.Proof = []registry.Hash{{}} }, 422},
		{"size 0", func(r *registry.AddCheckpoint) { *r = l.request(0, 0) }, 200},
		{"size 0 with another root", func(r *registry.AddCheckpoint) {
			l := newLog(t, "")
			l.sizes[0] = l.sizes[1]
			*r = l.request(0, 0)
		}, 422},
	} {
		w, _ := newMemoryWitness(t)
		r := l.request(0, 8)
		c.spoil(&r)
		if rec := post(w, r.Marshal()); rec.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, rec.Code, rec.Body, c.want)
		}
	}
}

func TestBodyAndRoutes(t *testing.T) {
	w, _ := newMemoryWitness(t)
	if rec := post(w, make([]byte, registry.MaxAddCheckpoint+1)); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: got %d", rec.Code)
	}
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != 200 || rec.Body.String() != w.VKey()+"\n" {
		t.Errorf("GET /: got %d %q", rec.Code, rec.Body)
	}
	for _, target := range []string{"GET /add-checkpoint", "POST /", "GET /x"} {
		method, path, _ := strings.Cut(target, " ")
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != http.StatusMethodNotAllowed && rec.Code != http.StatusNotFound {
			t.Errorf("%s: got %d", target, rec.Code)
		}
	}
	broken := httptest.NewRequest(http.MethodPost, "/add-checkpoint", io.MultiReader(strings.NewReader("old"), failingReader{}))
	rec = httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, broken)
	if rec.Code != http.StatusBadRequest {
		t.Errorf("cut body: got %d", rec.Code)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestClockNeverRunsBackwards is what the registry's deadlines rest on.
func TestClockNeverRunsBackwards(t *testing.T) {
	w, c := newMemoryWitness(t)
	l := newLog(t, "")
	c.set(100)
	if rec := post(w, l.request(0, 5).Marshal()); rec.Code != 200 {
		t.Fatalf("got %d", rec.Code)
	}
	c.set(99)
	if rec := post(w, l.request(5, 6).Marshal()); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("with the clock set back: got %d, want 503", rec.Code)
	}
	c.set(100)
	if rec := post(w, l.request(5, 6).Marshal()); rec.Code != 200 {
		t.Errorf("with the clock caught up: got %d", rec.Code)
	}
}

// TestConcurrentForks sends two different trees of one size, many times at once: the witness must sign one of them only.
func TestConcurrentForks(t *testing.T) {
	stores := map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return store.NewMemory() },
		"badger": func(t *testing.T) store.Store { return openBadger(t, t.TempDir()) },
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			c := new(clock)
			c.set(0)
			w := newWitness(t, s, c)
			a, b := newLog(t, ""), newLog(t, "fork")
			signed := make([]int, 2)
			var wg sync.WaitGroup
			var mu sync.Mutex
			for i := range 40 {
				l := []*testLog{a, b}[i%2]
				wg.Go(func() {
					rec := post(w, l.request(0, 9).Marshal())
					mu.Lock()
					defer mu.Unlock()
					switch rec.Code {
					case 200:
						verify(t, w, l, 9, rec.Body.String())
						signed[i%2]++
					case 409:
					default:
						t.Errorf("got %d %s", rec.Code, rec.Body)
					}
				})
			}
			wg.Wait()
			if signed[0]+signed[1] != 1 {
				t.Errorf("signed %d of one tree and %d of the other, want one signature in all", signed[0], signed[1])
			}
		})
	}
}

func openBadger(t *testing.T, dir string) store.Store {
	t.Helper()
	s, err := store.OpenBadger(dir, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRestartKeepsState(t *testing.T) {
	dir := t.TempDir()
	c := new(clock)
	c.set(50)
	l, fork := newLog(t, ""), newLog(t, "fork")
	s := openBadger(t, dir)
	if rec := post(newWitness(t, s, c), l.request(0, 9).Marshal()); rec.Code != 200 {
		t.Fatalf("got %d", rec.Code)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openBadger(t, dir)
	defer s.Close()
	w := newWitness(t, s, c)
	for _, row := range []struct {
		name string
		r    registry.AddCheckpoint
		want int
	}{
		{"from nothing", l.request(0, 9), 409},
		{"a fork of the same size", fork.request(9, 9), 422},
		{"a fork that grows", fork.request(9, 10), 422},
		{"the log", l.request(9, 10), 200},
	} {
		if rec := post(w, row.r.Marshal()); rec.Code != row.want {
			t.Errorf("%s: got %d %s, want %d", row.name, rec.Code, rec.Body, row.want)
		}
	}
	c.set(49)
	if rec := post(w, l.request(10, 11).Marshal()); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("the last time was not kept: got %d", rec.Code)
	}
}

// failingStore fails when a transaction commits, before or after its writes became lasting.
type failingStore struct {
	store.Store
	stored bool
}

var errDisk = errors.New("disk full at /secret/path")

func (s failingStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.stored {
		if err := s.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return errDisk
}

// TestNothingSignedWithoutRecord: an answer needs a lasting record; a record without an answer harms nobody.
func TestNothingSignedWithoutRecord(t *testing.T) {
	l := newLog(t, "")
	for _, stored := range []bool{false, true} {
		w, _ := newMemoryWitness(t)
		good := w.cfg.Store
		w.cfg.Store = failingStore{good, stored}
		rec := post(w, l.request(0, 9).Marshal())
		if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "secret") || strings.Contains(rec.Body.String(), "—") {
			t.Errorf("stored %v: got %d %s", stored, rec.Code, rec.Body)
		}
		w.cfg.Store = good
		rec = post(w, l.request(0, 9).Marshal())
		if want := map[bool]int{false: 200, true: 409}[stored]; rec.Code != want {
			t.Errorf("stored %v: afterwards got %d, want %d", stored, rec.Code, want)
		}
		if stored {
			if rec := post(w, l.request(9, 9).Marshal()); rec.Code != 200 {
				t.Errorf("asking again from the size told: got %d", rec.Code)
			}
		}
	}
}

func TestDamagedRecord(t *testing.T) {
	w, _ := newMemoryWitness(t)
	err := w.cfg.Store.Update(context.Background(), func(tx store.Tx) error { return tx.Set(w.stateKey(origin), []byte("{")) })
	if err != nil {
		t.Fatal(err)
	}
	if rec := post(w, newLog(t, "").request(0, 9).Marshal()); rec.Code != http.StatusInternalServerError {
		t.Errorf("got %d, must not start anew from an unreadable record", rec.Code)
	}
}

// TestClients lets our client and another's speak to the witness over HTTP.
func TestClients(t *testing.T) {
	w, _ := newMemoryWitness(t)
	srv := httptest.NewServer(w.Handler())
	defer srv.Close()
	l := newLog(t, "")
	ctx := context.Background()
	lines, err := registry.RequestCosignature(ctx, srv.Client(), srv.URL, l.request(0, 5))
	if err != nil {
		t.Fatal(err)
	}
	verify(t, w, l, 5, string(lines))
	var stale *registry.StaleSizeError
	if _, err := registry.RequestCosignature(ctx, srv.Client(), srv.URL, l.request(0, 6)); !errors.As(err, &stale) || stale.Size != 5 {
		t.Errorf("stale: got %v", err)
	}
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := l.request(5, 9)
	var proof [][]byte
	for _, h := range r.Proof {
		proof = append(proof, h[:])
	}
	theirs := transparency.NewWitness(u, srv.Client())
	lines, _, err = theirs.Update(ctx, 5, r.Note, proof)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, w, l, 9, string(lines))
	if _, size, err := theirs.Update(ctx, 5, r.Note, proof); err == nil || size != 9 {
		t.Errorf("stale: got size %d, %v", size, err)
	}
}

func TestNewRefuses(t *testing.T) {
	vkey := newLog(t, "").vkey
	for _, c := range []struct {
		name  string
		spoil func(*Config)
	}{
		{"no store", func(c *Config) { c.Store = nil }},
		{"no clock", func(c *Config) { c.Now = nil }},
		{"no logger", func(c *Config) { c.Log = nil }},
		{"no key", func(c *Config) { c.Key = nil }},
		{"bad name", func(c *Config) { c.Name = "a b" }},
		{"no log", func(c *Config) { c.Logs = nil }},
		{"bad vkey", func(c *Config) { c.Logs = []string{"x"} }},
		{"log twice", func(c *Config) { c.Logs = []string{vkey, vkey} }},
	} {
		cfg := Config{Name: "w", Key: key("w"), Store: store.NewMemory(), Logs: []string{vkey}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		c.spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

func FuzzAddCheckpoint(f *testing.F) {
	w, _ := newMemoryWitness(f)
	l := newLog(f, "")
	if rec := post(w, l.request(0, 8).Marshal()); rec.Code != 200 {
		f.Fatal(rec.Code)
	}
	f.Add(l.request(8, 8).Marshal())
	f.Add(l.request(0, 8).Marshal())
	f.Add(newLog(f, "fork").request(8, 9).Marshal())
	f.Add([]byte("old 8\n\n" + l.text(8) + "\n— " + origin + " AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		switch rec := post(w, body); rec.Code {
		case 200:
			// Without the log's key nobody makes another tree than its own.
			verify(t, w, l, 8, rec.Body.String())
		case 400, 403, 404, 409, 413, 422:
		default:
			t.Fatalf("got %d %s", rec.Code, rec.Body)
		}
	})
}
