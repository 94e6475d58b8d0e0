package logserver

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

// A backup is a folder:
//
//	checkpoint, tile/...   the log at the size of its newest published checkpoint, as a C2SP tlog-tiles folder that any reader can use
//	store/                 what the registry keeps beside the log, encrypted with the key of the registry's own store
//	backup.json            [BackupInfo]; written last, so that a folder with it is whole
//
// The map is not in it: it follows from the log. Nor are entries that no checkpoint covers yet, for which nobody has a receipt, nor
// keys and configuration, which do not change and are to be kept elsewhere.
const (
	backupFormat = "akashi-backup/1"
	backupFile   = "backup.json"
	backupStore  = "store"
	keyLog       = "log/"
)

// BackupInfo says what a backup holds.
type BackupInfo struct {
	Format  string        `json:"format"`
	Origin  string        `json:"origin"`
	Size    uint64        `json:"size"`
	Root    registry.Hash `json:"root"`
	Values  uint64        `json:"values"` // in the store, without those that tidy themselves away
	TakenAt time.Time     `json:"taken_at"`
}

// BehindError says that more witnesses than may be wrong have signed a larger log than the one at hand. What is at hand is an old copy, and
// going on from it would fork the log, which witnesses refuse to sign.
type BehindError struct{ Size, Signed uint64 }

func (e *BehindError) Error() string {
	return fmt.Sprintf("this copy of the log has %d entries, but the witnesses have signed one of %d: it is too old to go on from; "+
		"restore the newest backup, or the disk that holds the rest", e.Size, e.Signed)
}

// Backup writes a backup to the folder dst, which must be empty or not there, while the registry goes on. storeKey encrypts the copy of
// the store.
func (s *Server) Backup(ctx context.Context, dst string, storeKey []byte) (*BackupInfo, error) {
	return Backup(ctx, s.cfg, dst, storeKey)
}

// Backup is [Server.Backup] for a registry that may also be stopped: of cfg it uses Dir, Store, Policy, Auditors and Now.
func Backup(ctx context.Context, cfg Config, dst string, storeKey []byte) (*BackupInfo, error) {
	if err := emptyFolder(dst); err != nil {
		return nil, err
	}
	to, err := store.OpenBadger(filepath.Join(dst, backupStore), storeKey, cfg.Log)
	if err != nil {
		return nil, err
	}
	info, signed, err := copyStore(ctx, cfg, to)
	if err := errors.Join(err, to.Close()); err != nil {
		return nil, fmt.Errorf("copying the store: %w", err)
	}
	// The store was copied as of one moment, and the log has everything that was published by then.
	if err := copyTiles(ctx, client.FileFetcher{Root: cfg.Dir}, dst, info.Size, info.Root); err != nil {
		return nil, fmt.Errorf("copying the log: %w", err)
	}
	if err := writeSynced(filepath.Join(dst, layout.CheckpointPath), signed); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return nil, err
	}
	return info, writeSynced(filepath.Join(dst, backupFile), append(data, '\n'))
}

// emptyFolder makes a folder, or makes sure that it is empty.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		return fmt.Errorf("%s is not empty: choose a folder that is empty or not there", dir)
	}
	return nil
}

// writeSynced writes a file that is on the disk when it returns.
func writeSynced(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// copyStore copies what the store has at one moment, and returns the newest checkpoint that was published by then.
func copyStore(ctx context.Context, cfg Config, to store.Store) (info *BackupInfo, signed []byte, err error) {
	now := time.Now
	if cfg.Now != nil {
		now = cfg.Now
	}
	info = &BackupInfo{Format: backupFormat, TakenAt: now().UTC()}
	err = cfg.Store.View(ctx, func(tx store.Tx) error {
		cp, err := newestCheckpoint(tx, cfg)
		if err != nil {
			return err
		}
		info.Origin, info.Size, info.Root, signed = cp.Origin, cp.Size, cp.Root, cp.Note
		info.Values, err = copyValues(ctx, tx, to)
		return err
	})
	return info, signed, err
}

// errNeverPublished is returned for a registry without any published checkpoint.
var errNeverPublished = errors.New("nothing has been published yet")

// newestCheckpoint returns the newest archived checkpoint, verified.
func newestCheckpoint(tx store.Tx, cfg Config) (*registry.Checkpoint, error) {
	var size uint64
	err := tx.Scan([]byte(keyTime), func(key, _ []byte) error {
		if len(key) == len(keyTime)+8 {
			size = max(size, binary.BigEndian.Uint64(key[len(keyTime):]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, errNeverPublished
	}
	signed, err := tx.Get(numbered(keyNote, size))
	if err != nil {
		return nil, fmt.Errorf("checkpoint of size %d: %w", size, err)
	}
	return registry.OpenCheckpoint(signed, cfg.Policy, cfg.Auditors)
}

// Bounds of one transaction of the copy.
const (
	copyValuesMax = 500
	copyBytesMax  = 4 << 20
)

// expiries are for how long values live that tidy themselves away. A copy lives as long again: what must not be used after a time has
// the time in its value.
var expiries = map[string]time.Duration{keyJTI: 2 * registry.MaxSubmissionAge, keyQuota: 48 * time.Hour}

// copyValues copies everything but the map and returns how many values of it are for good.
func copyValues(ctx context.Context, from store.Tx, to store.Store) (n uint64, err error) {
	type value struct{ key, value []byte }
	var batch []value
	bytes := 0
	flush := func() error {
		err := to.Update(ctx, func(tx store.Tx) error {
			for _, v := range batch {
				if err := setCopy(tx, v.key, v.value); err != nil {
					return err
				}
			}
			return nil
		})
		batch, bytes = batch[:0], 0
		return err
	}
	err = from.Scan([]byte(keyLog), func(key, v []byte) error {
		batch = append(batch, value{key, v})
		if lifeOf(key) == 0 {
			n++
		}
		if bytes += len(key) + len(v); len(batch) < copyValuesMax && bytes < copyBytesMax {
			return nil
		}
		return flush()
	})
	return n, errors.Join(err, flush())
}

// lifeOf returns how long the value at a key lives, 0 for one that is for good.
func lifeOf(key []byte) time.Duration {
	for prefix, life := range expiries {
		if strings.HasPrefix(string(key), prefix) {
			return life
		}
	}
	return 0
}

func setCopy(tx store.Tx, key, value []byte) error {
	if life := lifeOf(key); life > 0 {
		return tx.SetUntil(key, value, time.Now().Add(life))
	}
	return tx.Set(key, value)
}

// copyTiles copies the files of a log of that size, cut to it where the log has grown, and makes sure that the entries hash to root.
func copyTiles(ctx context.Context, from client.FileFetcher, dst string, size uint64, root registry.Hash) error {
	tree := treeFactory.NewEmptyRange(0)
	for n := range bundles(size) {
		width := layout.PartialTileSize(0, n, size)
		entries, err := bundleOf(ctx, from, n, size)
		if err != nil {
			return err
		}
		for _, data := range entries {
			if err := tree.Append(hasher.HashLeaf(data), nil); err != nil {
				return err
			}
		}
		if err := writeSynced(filepath.Join(dst, layout.EntriesPath(n, width)), marshalBundle(entries)); err != nil {
			return err
		}
	}
	got, err := tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if registry.Hash(got) != root {
		return errors.New("the entries on disk do not hash to the published root: `akashi registry check` finds the first difference")
	}
	for level, nodes := uint64(0), size; nodes > 0; level, nodes = level+1, nodes/layout.TileWidth {
		for n := range bundles(nodes) {
			if err := copyTile(ctx, from, dst, level, n, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundles returns how many tiles or bundles, the last perhaps partial, hold n things.
func bundles(n uint64) uint64 { return (n + layout.TileWidth - 1) / layout.TileWidth }

// bundleOf returns exactly the entries that bundle n has in a log of that size.
func bundleOf(ctx context.Context, from client.FileFetcher, n, size uint64) ([][]byte, error) {
	b, err := client.GetEntryBundle(ctx, from.ReadEntryBundle, n, size)
	if err != nil {
		return nil, err
	}
	want := min(size-n*layout.EntryBundleWidth, layout.EntryBundleWidth)
	if uint64(len(b.Entries)) < want {
		return nil, fmt.Errorf("entry bundle %d is cut short", n)
	}
	return b.Entries[:want], nil
}

func marshalBundle(entries [][]byte) []byte {
	var out []byte
	for _, data := range entries {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(data))), data...)
	}
	return out
}

func copyTile(ctx context.Context, from client.FileFetcher, dst string, level, n, size uint64) error {
	nodes, err := tileOf(ctx, from, level, n, size)
	if err != nil {
		return err
	}
	raw, err := api.HashTile{Nodes: nodes}.MarshalText()
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dst, layout.TilePath(level, n, layout.PartialTileSize(level, n, size))), raw)
}

// tileOf returns exactly the hashes that a tile has in a log of that size.
func tileOf(ctx context.Context, from client.FileFetcher, level, n, size uint64) ([][]byte, error) {
	width := layout.PartialTileSize(level, n, size)
	raw, err := from.ReadTile(ctx, level, n, width)
	if err != nil {
		return nil, err
	}
	var tile api.HashTile
	if err := tile.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("tile %d/%d: %w", level, n, err)
	}
	want := layout.TileWidth
	if width > 0 {
		want = int(width)
	}
	if len(tile.Nodes) < want {
		return nil, fmt.Errorf("tile %d/%d is cut short", level, n)
	}
	return tile.Nodes[:want], nil
}

// ReadBackup reads what a backup says about itself.
func ReadBackup(dir string) (*BackupInfo, error) {
	data, err := os.ReadFile(filepath.Join(dir, backupFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no whole backup: %s is missing", dir, backupFile)
	}
	if err != nil {
		return nil, err
	}
	info := new(BackupInfo)
	if err := keys.DecodeJSON(data, info); err != nil {
		return nil, fmt.Errorf("%s: %w", backupFile, err)
	}
	if info.Format != backupFormat {
		return nil, fmt.Errorf("%s has format %q, this version reads %s", backupFile, info.Format, backupFormat)
	}
	return info, nil
}

// Restore makes a registry in cfg.Dir and cfg.Store, both empty, out of the backup in src. It first asks the witnesses: a backup older than
// what they have signed gives a [*BehindError], and nothing is written. The log is built anew from the backup's entries, so that its
// root is recomputed on the way. After an error in the middle the folders hold a part and must be emptied.
func Restore(ctx context.Context, cfg Config, src string, storeKey []byte) (*BackupInfo, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	info, err := ReadBackup(src)
	if err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(filepath.Join(src, layout.CheckpointPath))
	if err != nil {
		return nil, err
	}
	cp, err := registry.OpenCheckpoint(signed, cfg.Policy, cfg.Auditors)
	if err != nil {
		return nil, fmt.Errorf("the backup's checkpoint: %w", err)
	}
	if _, ok := cp.ExistedBy(); !ok || cp.Size != info.Size || cp.Root != info.Root {
		return nil, errors.New("the backup's checkpoint is not the one that it names, or lacks the witnesses' quorum: is it of this registry?")
	}
	if err := cfg.refuseBehind(ctx, cp, cp.Size); err != nil {
		return nil, err
	}
	if err := restoreStore(ctx, cfg, src, storeKey, info); err != nil {
		return nil, fmt.Errorf("restoring the store: %w", err)
	}
	if err := restoreLog(ctx, cfg, src, cp); err != nil {
		return nil, fmt.Errorf("restoring the log: %w", err)
	}
	return info, nil
}

func restoreStore(ctx context.Context, cfg Config, src string, storeKey []byte, info *BackupInfo) error {
	err := cfg.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(keyLog), func([]byte, []byte) error { return errors.New("the store is not empty") })
	})
	if err != nil {
		return err
	}
	from, err := store.OpenBadger(filepath.Join(src, backupStore), storeKey, cfg.Log)
	if err != nil {
		return err
	}
	var n uint64
	err = from.View(ctx, func(tx store.Tx) error {
		n, err = copyValues(ctx, tx, cfg.Store)
		return err
	})
	if err == nil && n != info.Values {
		err = fmt.Errorf("the backup says that it has %d values, and has %d", info.Values, n)
	}
	return errors.Join(err, from.Close())
}

// restoreLog logs the backup's entries again, which gives the same tree.
func restoreLog(ctx context.Context, cfg Config, src string, cp *registry.Checkpoint) error {
	if err := emptyFolder(cfg.Dir); err != nil {
		return err
	}
	log, err := openTileLog(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return err
	}
	return errors.Join(refill(ctx, log, client.FileFetcher{Root: src}, cfg.Limits.EpochRecords, cp), log.shutdown(context.WithoutCancel(ctx)))
}

func refill(ctx context.Context, log *tileLog, from client.FileFetcher, batch int, cp *registry.Checkpoint) error {
	var entries [][]byte
	done := uint64(0)
	flush := func() error {
		err := log.add(ctx, done, entries)
		done += uint64(len(entries))
		entries = entries[:0]
		return err
	}
	for n := range bundles(cp.Size) {
		part, err := bundleOf(ctx, from, n, cp.Size)
		if err != nil {
			return err
		}
		if entries = append(entries, part...); len(entries)+layout.EntryBundleWidth <= batch {
			continue
		}
		if err := flush(); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if _, err := log.checkpoint(ctx, cp.Size, cp.Root); err != nil {
		return fmt.Errorf("the backup's entries: %w", err)
	}
	return nil
}

// refuseBehind asks the witnesses whether they have signed a larger log than one of that size. cp is its newest published checkpoint. A
// witness answers a checkpoint that is behind its own with the size of that. One liar does not stop a registry.
func (c *Config) refuseBehind(ctx context.Context, cp *registry.Checkpoint, size uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.WitnessTimeout)
	defer cancel()
	sizes := make(chan uint64, len(c.Witnesses))
	for _, w := range c.Witnesses {
		go func() { sizes <- signedSize(ctx, c.HTTP, w.URL, cp) }()
	}
	behind := &BehindError{Size: size}
	ahead := 0
	mayBeWrong := len(c.Policy.Members) - c.Policy.Quorum
	for left := len(c.Witnesses); left > 0 && ahead+left > mayBeWrong; left-- {
		if n := <-sizes; n > size {
			ahead++
			behind.Signed = max(behind.Signed, n)
		}
	}
	if ahead > mayBeWrong {
		return behind
	}
	return nil
}

// errBehind is what a checkpoint fails with that more witnesses than may be wrong find behind what they have signed.
var errBehind = fmt.Errorf("%w. The witnesses have signed a larger log than this one: it is an old copy, and nobody will sign what is added to it", ErrNotPublished)

// refuseBehind does so for the log at its start.
func (s *Server) refuseBehind(ctx context.Context, published, size uint64) error {
	if published == 0 {
		return nil
	}
	signed, err := s.archive.note(ctx, published)
	if err != nil {
		return err
	}
	cp, err := registry.OpenCheckpoint(signed, s.cfg.Policy, s.cfg.Auditors)
	if err != nil {
		return err
	}
	return s.cfg.refuseBehind(ctx, cp, size)
}

// signedSize returns the size that a witness says it has signed last, 0 when it says none or is not reached.
func signedSize(ctx context.Context, client *http.Client, url string, cp *registry.Checkpoint) uint64 {
	_, err := registry.RequestCosignature(ctx, client, url, registry.AddCheckpoint{OldSize: cp.Size, Note: cp.Note})
	var stale *registry.StaleSizeError
	if errors.As(err, &stale) {
		return stale.Size
	}
	return 0
}

// TrustLists returns the versions of the trust list that a registry's store has, the first one first.
func TrustLists(ctx context.Context, st store.Store) (lists []string, err error) {
	err = st.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(keyList), func(_, jwt []byte) error {
			lists = append(lists, string(jwt))
			return nil
		})
	})
	return lists, err
}
