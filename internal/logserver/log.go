package logserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"akashi/registry"
)

const (
	// batchAge is how long Tessera waits for more entries. The sequencer hands over whole epochs, so there is nothing to wait for.
	batchAge = 2 * time.Millisecond
	// checkpointInterval of Tessera's own checkpoint file, which nobody is shown: its garbage collector and its shutdown look at it.
	checkpointInterval = 200 * time.Millisecond
)

// tileLog is the Tessera log in a folder. It has one appender.
type tileLog struct {
	origin   string
	key      note.Signer
	appender *tessera.Appender
	reader   tessera.LogReader
	shutdown func(context.Context) error
}

// openTileLog opens the log. ctx ends Tessera's goroutines; shutdown comes before that.
func openTileLog(ctx context.Context, cfg Config) (*tileLog, error) {
	driver, err := posix.New(ctx, posix.Config{Path: cfg.Dir})
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	// Tessera's goroutines must outlive ctx until shutdown has returned.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(cfg.LogKey).
		WithBatching(uint(cfg.Limits.EpochRecords)+1, batchAge).
		WithCheckpointInterval(checkpointInterval).
		WithCheckpointRepublishInterval(0)
	appender, shutdown, reader, err := tessera.NewAppender(run, driver, opts)
	if err != nil {
		stop()
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	l := &tileLog{origin: cfg.Origin, key: cfg.LogKey, appender: appender, reader: reader}
	l.shutdown = func(ctx context.Context) error {
		defer stop()
		return shutdown(ctx)
	}
	return l, nil
}

// add appends entries, which must get the indices from first on, and returns when they are durable and integrated.
func (l *tileLog) add(ctx context.Context, first uint64, entries [][]byte) error {
	futures := make([]tessera.IndexFuture, len(entries))
	for i, data := range entries {
		futures[i] = l.appender.Add(ctx, tessera.NewEntry(data))
	}
	var errs error
	for i, future := range futures {
		index, err := future()
		if err == nil && index.Index != first+uint64(i) {
			err = fmt.Errorf("entry %d of the batch got index %d, want %d: does another process write to this log?", i, index.Index, first+uint64(i))
		}
		if err != nil && errs == nil {
			errs = fmt.Errorf("adding to the log: %w", err)
		}
	}
	return errs
}

// readTile reads a tile. What is read may be a larger part of the tile than was asked for, as what it begins with never changes.
func (l *tileLog) readTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error) {
	return l.orNewest(ctx, level, index, width, func(width uint8) ([]byte, error) { return l.reader.ReadTile(ctx, level, index, width) })
}

// readBundle reads an entry bundle likewise.
func (l *tileLog) readBundle(ctx context.Context, index uint64, width uint8) ([]byte, error) {
	return l.orNewest(ctx, 0, index, width, func(width uint8) ([]byte, error) { return l.reader.ReadEntryBundle(ctx, index, width) })
}

// orNewest reads a partial file or, if it is gone, the full one, or, if there is none yet, the newest partial one: a folder that was
// restored has only that.
func (l *tileLog) orNewest(ctx context.Context, level, index uint64, width uint8, read func(uint8) ([]byte, error)) ([]byte, error) {
	data, err := read(width)
	if width == 0 || !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	size, err := l.reader.IntegratedSize(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the size of the log: %w", err)
	}
	return read(layout.PartialTileSize(level, index, size))
}

// entries calls fn with the data of every entry from index from up to size.
func (l *tileLog) entries(ctx context.Context, from, size uint64, fn func(data []byte) error) error {
	for from < size {
		n := from / layout.EntryBundleWidth
		bundle, err := client.GetEntryBundle(ctx, l.readBundle, n, size)
		if err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		end := min(size, (n+1)*layout.EntryBundleWidth)
		first := n * layout.EntryBundleWidth
		if first+uint64(len(bundle.Entries)) < end {
			return fmt.Errorf("reading the log: entry bundle %d is cut short", n)
		}
		for ; from < end; from++ {
			if err := fn(bundle.Entries[from-first]); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry returns the data of one entry of a log of that size.
func (l *tileLog) entry(ctx context.Context, index, size uint64) (data []byte, err error) {
	if index >= size {
		return nil, fmt.Errorf("entry %d of %d does not exist", index, size)
	}
	bundle, err := client.GetEntryBundle(ctx, l.readBundle, index/layout.EntryBundleWidth, size)
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	i := index % layout.EntryBundleWidth
	if i >= uint64(len(bundle.Entries)) {
		return nil, fmt.Errorf("reading the log: entry bundle %d is cut short", index/layout.EntryBundleWidth)
	}
	return bundle.Entries[i], nil
}

// checkpoint signs the log at size with root, the root that the sequencer worked out from the entries it added. The tiles on disk must
// hash to the same, or readers would be shown another tree than the one that is signed. Ed25519 is deterministic, so the note is
// the very one that Tessera makes for that size.
func (l *tileLog) checkpoint(ctx context.Context, size uint64, root registry.Hash) ([]byte, error) {
	nodes, err := client.FetchRangeNodes(ctx, size, l.readTile)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	r, err := treeFactory.NewRange(0, size, nodes)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	onDisk, err := r.GetRootHash(nil)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	if !bytes.Equal(onDisk, root[:]) {
		return nil, errors.New("the tiles on disk do not hash to the root of the entries that were added: nothing is signed; check the disk")
	}
	text := log.Checkpoint{Origin: l.origin, Size: size, Hash: root[:]}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, l.key)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

var (
	hasher      = rfc6962.DefaultHasher
	treeFactory = &compact.RangeFactory{Hash: hasher.HashChildren}
)
