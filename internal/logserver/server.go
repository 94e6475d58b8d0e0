// Package logserver runs the registry: the log (C2SP tlog-tiles, kept by Tessera in a folder), the map over it, the sealed records
// beside it, the trust list versions, and the checkpoints that witnesses and auditors have cosigned (C2SP tlog-witness,
// tlog-cosignature). The formats and all checks are those of package registry; nothing here has to be trusted by a reader.
//
// One goroutine, the sequencer, is the only writer. For each epoch it collects submissions, stores their sealed records, adds their
// entries to the log, waits for the indices, inserts into the map in the order of the indices, and closes the epoch with a head entry.
// A second goroutine, the publisher, brings the checkpoint of the newest head before the witnesses, archives and serves it once their
// quorum has signed, and only then releases the receipts. A third one asks the auditors and merges their lines as they come.
//
// The log is the truth. The map, the heads and the list of trust list versions are rebuilt from it whenever a [Server] is opened; a map on
// disk that fits a published head saves the work for the entries below (maps.go). So a crash at any step leaves nothing to repair: what
// was logged is covered by the next head, what was stored and not logged is overwritten by whoever takes the slot.
//
// The store holds what the log only commits to: sealed records, submissions, trust lists, the archive of checkpoints (store.go).
//
// Left out: more than one process per log.
package logserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/mod/sumdb/note"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Endpoint is where a witness or an auditor answers: POST URL/add-checkpoint.
type Endpoint struct {
	Name string // as in the policy; for messages
	URL  string // without a slash at the end
}

// Config says what a registry is. Everything without a default must be set.
type Config struct {
	Dir         string           // folder of the log: tiles, bundles, Tessera's own state
	Origin      string           // the log's name: origin of checkpoints, audience of submissions
	LogKey      note.Signer      // signs checkpoints; its verifier is Policy.Log
	Store       store.Store      // not closed by the server
	Anchor      keys.Public      // signs trust lists
	Policy      *registry.Policy // the witnesses
	Auditors    *registry.Policy // the auditors
	Witnesses   []Endpoint       // whom to ask
	AuditorURLs []Endpoint       // the auditors to ask
	Map         MapKind          // where the map is kept; default [MapMemory]
	HTTP        *http.Client     // nil means http.DefaultClient
	Now         func() time.Time // clock of heads and submissions, real or a story's; nil means time.Now
	Log         *slog.Logger     // nil means none

	// Traces receives spans of submissions, epochs, publications and lookups; nil means none.
	Traces trace.TracerProvider

	// Timers run on the machine's clock whatever Now says.
	EpochInterval  time.Duration // how long an epoch collects after its first submission; default 1 s
	IdleInterval   time.Duration // an empty epoch is closed after that long without one; 0 means never
	WitnessTimeout time.Duration // how long the quorum of witnesses is waited for; default 5 s
	WitnessGrace   time.Duration // how long the healthy ones are waited for beyond the quorum; default 1 s
	AuditorTimeout time.Duration // how long an auditor may take for one checkpoint; default 30 s
	AuditInterval  time.Duration // auditors are asked at most once in it while nobody waits for them; default 1 s
	RetryInterval  time.Duration // pause before a checkpoint without quorum is brought again; default 2 s

	// MapFileEpochs is after how many epochs a map in memory is written to its file, which is done at Close too, so that a start after a crash replays no more; default 200.
	MapFileEpochs uint64

	// Reserve is how many bytes the disks of Dir and Folders, those of the store among them, must have free: below it nothing is taken in
	// and everything read. The log and the store never meet a disk that is full in the middle of something. Default 256 MiB; 1 to do without.
	Reserve uint64
	Folders []string

	Limits Limits

	step func(step)                                  // tests are told how far an epoch is, and may end the process there
	free func(folder string) (bytes uint64, ok bool) // tests have other disks
}

// Limits bound what the registry takes in. Zero means the default.
type Limits struct {
	Body             int64 // bytes of a request body; 16 MiB
	EpochRecords     int   // records in one epoch; 5,000
	QueueRecords     int   // records waiting for an epoch; 20,000
	Concurrent       int   // submissions being read and checked at once; 64
	EntityPerMinute  int   // records of one entity in a minute; 30,000
	StatementsPerDay int   // worker's statements under one engagement in a day; 50
}

// ErrNotPublished is returned when entries are in the log but too few witnesses have signed a checkpoint over them. They stay in the log;
// the next checkpoint that finds a quorum covers them.
var ErrNotPublished = errors.New("logged, but too few witnesses signed the checkpoint: no receipt yet; send the records again later")

// ErrStopped is returned by calls to a server that is closing.
var ErrStopped = errors.New("the registry is shutting down; try again later")

// Server is a running registry.
type Server struct {
	cfg     Config
	log     *tileLog
	tiles   *tileCache
	archive *archive
	gate    *gate
	metrics *metrics
	tracer  trace.Tracer

	witnesses []*cosigner
	auditors  []*cosigner

	seq  sequencer
	pub  publisher
	stop context.CancelFunc // ends the background goroutines
	done sync.WaitGroup     // waits for them

	// mu guards what readers see. Each epoch it names holds its snapshot.
	mu        sync.RWMutex
	published *epoch // newest with the witnesses' quorum, nil before the first
	audited   *epoch // newest with the auditors' quorum too, nil before the first
	served    []byte // note at /checkpoint: of published, with all lines so far
	lists     []trustlist.Version
	troubled  string        // why the last publication failed, "" when it did not
	changed   chan struct{} // closed and replaced at every change

	auditWake   chan struct{} // something is published that auditors have not signed
	auditUrgent chan struct{} // somebody waits for them

	thinning sync.Mutex // held while the archive is thinned; guards what follows
	thinned  time.Time  // when that was done last, by the machine's clock

	saving     sync.Mutex    // held while the map is written to its file
	saved      atomic.Uint64 // size of the epoch that the file has
	savedEpoch atomic.Uint64 // its number
}

// Open opens or creates the registry in cfg.Dir and cfg.Store and starts it. It replays what the map on disk does not cover.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	log, err := openTileLog(run, cfg)
	if err != nil {
		stop()
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: log, stop: stop,
		tiles:     newTileCache(log.readTile),
		witnesses: newCosigners(cfg.Witnesses, cfg.HTTP),
		auditors:  newCosigners(cfg.AuditorURLs, cfg.HTTP),
		metrics:   newMetrics(),
		tracer:    cfg.Traces.Tracer(tracerName),
		changed:   make(chan struct{}),
		auditWake: make(chan struct{}, 1), auditUrgent: make(chan struct{}, 1),
	}
	s.seq.init()
	s.pub.wake = make(chan struct{}, 1)
	if err := s.restore(ctx); err != nil {
		stop()
		return nil, errors.Join(err, log.shutdown(ctx))
	}
	s.done.Go(func() { s.sequence(run) })
	s.done.Go(func() { s.publish(run) })
	s.done.Go(func() { s.audit(run) })
	return s, nil
}

func (c *Config) complete() error {
	switch {
	case c.Dir == "" || c.Store == nil || c.LogKey == nil || c.Policy == nil || c.Auditors == nil:
		return errors.New("logserver: Dir, Store, LogKey, Policy and Auditors must be set")
	case c.Anchor.IsZero():
		return errors.New("logserver: Anchor must be set, or no trust list can be admitted")
	case c.LogKey.Name() != c.Origin || c.Policy.Origin != c.Origin:
		return fmt.Errorf("logserver: the log key, the policy and Origin %q must name the same log", c.Origin)
	case c.Policy.Log.KeyHash() != c.LogKey.KeyHash():
		return errors.New("logserver: the policy is for another log key")
	}
	if c.Map != "" && c.Map != MapMemory && c.Map != MapBuckets {
		return fmt.Errorf("logserver: Map must be %q or %q", MapMemory, MapBuckets)
	}
	if err := registry.CheckPair(c.Policy, c.Auditors); err != nil {
		return fmt.Errorf("logserver: %w", err)
	}
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Traces == nil {
		c.Traces = noop.NewTracerProvider()
	}
	orDefault(&c.Map, MapMemory)
	orDefault(&c.MapFileEpochs, 200)
	orDefault(&c.EpochInterval, time.Second)
	orDefault(&c.WitnessTimeout, 5*time.Second)
	orDefault(&c.WitnessGrace, time.Second)
	orDefault(&c.AuditorTimeout, 30*time.Second)
	orDefault(&c.RetryInterval, 2*time.Second)
	orDefault(&c.AuditInterval, time.Second)
	orDefault(&c.Reserve, 256<<20)
	if c.free == nil {
		c.free = freeSpace
	}
	orDefault(&c.Limits.Body, 16<<20)
	orDefault(&c.Limits.EpochRecords, 5000)
	orDefault(&c.Limits.QueueRecords, 20000)
	orDefault(&c.Limits.Concurrent, 64)
	orDefault(&c.Limits.EntityPerMinute, 30000)
	orDefault(&c.Limits.StatementsPerDay, 50)
	return nil
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// restore rebuilds everything from the log and the store.
func (s *Server) restore(ctx context.Context) error {
	var err error
	if s.archive, err = loadArchive(ctx, s.cfg.Store, s.cfg.Policy, s.cfg.Auditors); err != nil {
		return err
	}
	if s.gate, err = loadGate(ctx, s.cfg); err != nil {
		return err
	}
	size, err := s.log.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("reading the size of the log: %w", err)
	}
	published, _ := s.archive.newest()
	if published > size {
		return fmt.Errorf("the log holds %d entries, but a checkpoint over %d was published: restore the newest copy of the log folder", size, published)
	}
	if err := s.refuseBehind(ctx, published, size); err != nil {
		return err
	}
	if err := s.rebuild(ctx, size); err != nil {
		return err
	}
	if s.published != nil {
		if s.served, err = s.archive.note(ctx, published); err != nil {
			return err
		}
		s.savedEpoch.Store(s.published.head.Epoch)
	}
	s.lists = s.seq.state.lists
	s.metrics.logged.Store(s.seq.state.size)
	signal(s.auditWake)
	return nil
}

// epochAt replays the log up to size and returns the epoch that ends there, nil for size 0.
func (s *Server) epochAt(ctx context.Context, size uint64) (*epoch, error) {
	if size == 0 {
		return nil, nil
	}
	if err := s.replay(ctx, size); err != nil {
		return nil, err
	}
	return s.seq.state.epoch(ctx)
}

// replay applies the log's entries from the state's size up to size.
func (s *Server) replay(ctx context.Context, size uint64) error {
	st := s.seq.state
	return s.log.entries(ctx, st.size, size, func(data []byte) error {
		if err := st.apply(ctx, data, s.storedListOf(ctx)); err != nil || !st.closed() || st.inserts < insertsPerReplay {
			return err
		}
		snap, err := st.commit(ctx)
		if err == nil {
			snap.Release()
		}
		return err
	})
}

// insertsPerReplay bounds what a replay holds that is not committed.
const insertsPerReplay = 50000

// Close stops taking submissions, brings those that were taken to their end, a receipt as a rule, and returns when everything that was
// logged is durable and all goroutines have ended. Below the witnesses' quorum, or when ctx ends first, those that still wait get no
// receipt; the log keeps what it has, and the next start goes on from there.
func (s *Server) Close(ctx context.Context) error {
	if s.seq.close() {
		if _, err := s.submit(ctx, &job{last: true}); err != nil {
			s.cfg.Log.Warn("stopped before the last epoch was published", "error", err)
		}
	}
	s.stop()
	s.done.Wait()
	s.saveMap()
	return s.log.shutdown(ctx)
}

// CloseEpoch closes an epoch at once, an empty one if nothing waits, and returns after its checkpoint is published. It returns
// [ErrNotPublished] below the witnesses' quorum.
func (s *Server) CloseEpoch(ctx context.Context) error {
	_, err := s.submit(ctx, &job{closing: true})
	return err
}

// AddTrustList admits the next version of the trust list: signed by the anchor, its number one above the version in force. It returns
// after the version is logged and published; admitting a version again does nothing.
func (s *Server) AddTrustList(ctx context.Context, jwt string) error {
	list, err := trustlist.Verify(jwt, s.cfg.Anchor)
	if err != nil {
		return fmt.Errorf("trust list: %w", err)
	}
	_, err = s.submit(ctx, &job{list: list})
	return err
}

// WaitAudited returns when the auditors' quorum has signed the checkpoint that is the newest at the time of the call, or a later one.
func (s *Server) WaitAudited(ctx context.Context) error {
	signal(s.auditUrgent)
	var want uint64
	for first := true; ; first = false {
		s.mu.RLock()
		changed := s.changed
		if first && s.published != nil {
			want = s.published.size
		}
		reached := s.audited != nil && s.audited.size >= want
		s.mu.RUnlock()
		switch {
		case want == 0:
			return errors.New("nothing is published yet that auditors could sign")
		case reached:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the auditors' quorum: %w", ctx.Err())
		}
	}
}

// announce tells all who wait that what readers see has changed. s.mu is held.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// inForce returns the newest trust list version in the log, nil before the first.
func (s *Server) inForce() *trustlist.List {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.lists) == 0 {
		return nil
	}
	return s.lists[len(s.lists)-1].List
}
