package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// valueThreshold sends larger values to the value log. Sealed records are all larger, so that a transaction may hold a thousand of
// them, and compaction never copies them.
const valueThreshold = 2 << 10

// badgerStore is a store in a folder, which it locks.
type badgerStore struct {
	db      *badger.DB
	updates *group

	mu      sync.Mutex // guards closed, and that running grows only before it is set
	closed  bool
	running sync.WaitGroup // transactions: using the database after its files are unmapped would end the process
}

// OpenBadger opens the store in the folder dir, and makes it when there is none. A committed Update survives the end of the process at
// any moment (SyncWrites). encryptionKey (16, 24 or 32 bytes) encrypts everything at rest, nil nothing; a folder keeps the choice with
// which it was made. Only warnings and errors of Badger reach log, which may be nil.
//
// Maintenance: none is needed from day to day. Superseded and expired values under 2 KiB go with Badger's own compaction. Larger ones
// stand in the value log, whose space Badger gives back only on demand, which nothing here makes: sealed records are kept for good.
// So what was deleted or set anew can still be read from the files. Only a copy of the values into a new folder is without it.
func OpenBadger(dir string, encryptionKey []byte, log *slog.Logger) (Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	opts := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // one writes at a time
		WithMetricsEnabled(false).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(256 << 20).
		WithMemTableSize(32 << 20).
		WithBlockCacheSize(32 << 20).
		WithLogger(badgerLog{log})
	switch len(encryptionKey) {
	case 0:
	case 16, 24, 32:
		opts = opts.WithEncryptionKey(encryptionKey).WithIndexCacheSize(64 << 20) // without it every read decrypts its index
	default:
		return nil, fmt.Errorf("opening the store in %s: an encryption key has 16, 24 or 32 bytes: give the key with which the folder was made", dir)
	}
	db, err := openAgain(opts)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, hint(err))
	}
	s := &badgerStore{db: db}
	s.updates = newGroup(s.commit)
	return s, nil
}

// openAgain opens a database in which a process may have died between making a file and giving it a size. Badger fails over such a file
// once: it has a size then, and is an empty one of its kind. There is at most one in the value log and one beside the tables.
func openAgain(opts badger.Options) (db *badger.DB, err error) {
	for range 3 {
		if db, err = badger.Open(opts); err == nil || !strings.Contains(err.Error(), "Create a new file") {
			break
		}
	}
	return db, err
}

// hint adds what to do about the two mistakes that people make.
func hint(err error) error {
	switch {
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return fmt.Errorf("%w (give the key, or no key, with which the folder was made)", err)
	case strings.Contains(err.Error(), "directory lock"):
		return fmt.Errorf("%w (another process has it open: stop that one, or send the command to it)", err)
	}
	return err
}

func (s *badgerStore) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.running.Add(1)
	return nil
}

func (s *badgerStore) View(ctx context.Context, fn func(Tx) error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return fn(&badgerTx{ctx: ctx, txn: txn})
}

func (s *badgerStore) Update(ctx context.Context, fn func(Tx) error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.running.Done()
	return s.updates.update(ctx, fn)
}

// commit runs the functions over one transaction. Each has what those before it wrote.
func (s *badgerStore) commit(updates []*update) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, u := range updates {
		tx := newOverlay(u.ctx, &badgerTx{ctx: context.Background(), txn: txn}, time.Now())
		if u.run(tx); u.err != nil {
			continue
		}
		if err := write(txn, tx.writes); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// write hands the writes to Badger, which keeps them until the commit.
func write(txn *badger.Txn, writes map[string]entry) error {
	for k, e := range writes {
		var err error
		if e.deleted {
			err = txn.Delete([]byte(k))
		} else {
			err = txn.SetEntry(&badger.Entry{Key: []byte(k), Value: e.value, ExpiresAt: uint64(e.expires)})
		}
		if errors.Is(err, badger.ErrTxnTooBig) {
			return ErrTooBig
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

func (s *badgerStore) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	if already {
		return nil
	}
	return s.db.Close()
}

// badgerTx reads.
type badgerTx struct {
	readOnly
	ctx context.Context
	txn *badger.Txn
}

func (tx *badgerTx) Get(key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, ErrNotFound
	}
	item, err := tx.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return item.ValueCopy(nil)
}

func (tx *badgerTx) Scan(prefix []byte, fn func(key, value []byte) error) error {
	opts := badger.DefaultIteratorOptions
	opts.Prefix = prefix
	opts.PrefetchValues = false // by a goroutine and a copy for each: dearer than reading them
	it := tx.txn.NewIterator(opts)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := tx.ctx.Err(); err != nil {
			return err
		}
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := fn(it.Item().KeyCopy(nil), value); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// badgerLog passes on what an operator must act on, and the rest for debugging.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(format string, args ...any)   { l.write(slog.LevelError, format, args) }
func (l badgerLog) Warningf(format string, args ...any) { l.write(slog.LevelWarn, format, args) }
func (l badgerLog) Infof(format string, args ...any)    { l.write(slog.LevelDebug, format, args) }
func (l badgerLog) Debugf(format string, args ...any)   { l.write(slog.LevelDebug, format, args) }

func (l badgerLog) write(level slog.Level, format string, args []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
