package logserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
	"akashi/registry/trustlist"
)

// CheckReport says what a check went through, up to the newest published checkpoint or the first difference.
type CheckReport struct {
	Size        uint64        `json:"size"` // of the newest published checkpoint
	Root        registry.Hash `json:"root"`
	Entries     uint64        `json:"entries"`
	Heads       uint64        `json:"heads"`
	Keys        int           `json:"keys"`
	Lists       uint64        `json:"lists"`
	Checkpoints uint64        `json:"checkpoints"` // archived ones whose root is that of the entries
	Records     uint64        `json:"records"`     // whose A and B are what the log committed to
	Erased      uint64        `json:"erased"`      // on a worker's request
	Difference  *Difference   `json:"difference,omitempty"`
}

// Difference is the first thing that is not as it must be.
type Difference struct {
	Index uint64 `json:"index"` // of the entry
	What  string `json:"what"`
}

// Check checks everything that this registry has, running or not, without trusting anything that it worked out before: it reads every
// entry, recomputes every tile, every root of the log for which a checkpoint is archived, and every root of the map that a head states;
// compares every sealed record with what the log committed to; and checks every archived checkpoint and every trust list version. Of cfg
// it uses Dir, Store, Policy, Auditors and Anchor. It holds a map of its own in memory. An error says that something could not be read.
func (s *Server) Check(ctx context.Context) (*CheckReport, error) { return Check(ctx, s.cfg) }

// Check is [Server.Check] for a registry that may also be stopped.
func Check(ctx context.Context, cfg Config) (*CheckReport, error) {
	c := &checker{
		cfg: cfg, files: client.FileFetcher{Root: cfg.Dir}, tree: treeFactory.NewEmptyRange(0),
		m: prefixmap.New(), chain: registry.NewHeadChain(),
	}
	// One view: what the registry adds in the meantime is not looked at.
	err := cfg.Store.View(ctx, func(tx store.Tx) error {
		cp, err := newestCheckpoint(tx, cfg)
		if err != nil {
			return err
		}
		c.tx, c.report.Size, c.report.Root = tx, cp.Size, cp.Root
		return c.run(ctx)
	})
	var different *registry.DifferenceError
	if errors.As(err, &different) {
		c.report.Difference = &Difference{different.Index, different.What}
		err = nil
	}
	c.report.Keys = c.m.Len()
	return &c.report, err
}

type checker struct {
	cfg    Config
	files  client.FileFetcher
	tx     store.Tx
	tree   *compact.Range
	tiles  []tileRow
	m      *prefixmap.Map
	chain  registry.HeadChain
	list   *trustlist.List
	report CheckReport
}

func (c *checker) differs(index uint64, format string, args ...any) error {
	return &registry.DifferenceError{Index: index, What: fmt.Sprintf(format, args...)}
}

func (c *checker) run(ctx context.Context) error {
	for n := range bundles(c.report.Size) {
		entries, err := bundleOf(ctx, c.files, n, c.report.Size)
		if err != nil {
			return fmt.Errorf("entry bundle %d: %w", n, err)
		}
		leaves, err := tileOf(ctx, c.files, 0, n, c.report.Size)
		if err != nil {
			return fmt.Errorf("tile 0/%d: %w", n, err)
		}
		for i, data := range entries {
			if err := c.entry(ctx, n*layout.EntryBundleWidth+uint64(i), data, leaves[i]); err != nil {
				return err
			}
		}
	}
	if err := c.partialTiles(ctx); err != nil {
		return err
	}
	return c.archive()
}

// entry applies an entry that the lowest tile says to hash to want.
func (c *checker) entry(ctx context.Context, index uint64, data, want []byte) error {
	leaf := hasher.HashLeaf(data)
	if !bytes.Equal(leaf, want) {
		return c.differs(index, "the entry does not hash to what the tile has in its place: one of the files is damaged")
	}
	if err := c.tree.Append(leaf, nil); err != nil {
		return err
	}
	if err := c.addNode(ctx, 0, leaf); err != nil {
		return err
	}
	c.report.Entries++
	entry, err := registry.ParseEntry(data)
	if err != nil {
		return nil // of unknown form: counts for nothing
	}
	switch e := entry.(type) {
	case registry.SlotEntry:
		if c.m.Insert(e.K, index, e.V) {
			return c.record(index, e)
		}
	case registry.ListEntry:
		return c.trustList(index, e)
	case registry.HeadEntry:
		return c.head(index, e)
	}
	return nil
}

// record compares a sealed record with what the log committed to.
func (c *checker) record(index uint64, e registry.SlotEntry) error {
	rec, err := readRecord(c.tx, e.K)
	switch {
	case errors.Is(err, errRecord):
		return c.differs(index, "the stored record is damaged")
	case err != nil:
		return err
	case rec == nil:
		return c.differs(index, "the record is missing from the store: whoever has it may send it again")
	case rec.erased:
		c.report.Erased++
		return nil
	case registry.ValueOf(rec.a, rec.b) != e.V:
		return c.differs(index, "the stored record is not the one that the log committed to")
	}
	c.report.Records++
	return nil
}

func (c *checker) trustList(index uint64, e registry.ListEntry) error {
	if e.N != c.chain.Lists+1 {
		return c.differs(index, "trust list version %d, where only %d can follow", e.N, c.chain.Lists+1)
	}
	jwt, err := c.tx.Get(numbered(keyList, e.N))
	if errors.Is(err, store.ErrNotFound) || err == nil && registry.HashOf(jwt) != e.Hash {
		return c.differs(index, "trust list version %d in the store is not the one in the log", e.N)
	}
	if err != nil {
		return err
	}
	list, err := trustlist.Verify(string(jwt), c.cfg.Anchor)
	if err == nil && list.N != e.N {
		err = fmt.Errorf("it is version %d", list.N)
	}
	if err == nil && c.list != nil {
		err = trustlist.ValidateSuccessor(c.list, list)
	}
	if err != nil {
		return c.differs(index, "trust list version %d must not be in the log: %v", e.N, err)
	}
	c.list = list
	c.chain.Lists++
	c.report.Lists++
	return nil
}

func (c *checker) head(index uint64, e registry.HeadEntry) error {
	snap := c.m.Snapshot()
	want := c.chain.Next(index, uint64(snap.Len()), snap.Root(), e.UnixMilli)
	snap.Release()
	if e != want {
		return c.differs(index, "a head states a wrong %s", e.WrongField(want))
	}
	c.chain.Add(e)
	c.report.Heads++
	signed, err := c.tx.Get(numbered(keyNote, index+1))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.checkpoint(index, signed)
}

// checkpoint checks the archived checkpoint whose last entry is the head at index.
func (c *checker) checkpoint(index uint64, signed []byte) error {
	cp, err := registry.OpenCheckpoint(signed, c.cfg.Policy, c.cfg.Auditors)
	if err != nil {
		return c.differs(index, "the archived checkpoint of size %d: %v", index+1, err)
	}
	root, err := c.tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if _, ok := cp.ExistedBy(); !ok || cp.Size != index+1 || cp.Root != registry.Hash(root) {
		return c.differs(index, "the archived checkpoint of size %d states another root than the entries give, or lacks the witnesses' quorum", index+1)
	}
	c.report.Checkpoints++
	return nil
}

// archive makes sure that every archived checkpoint stood at a head.
func (c *checker) archive() error {
	seen := uint64(0)
	err := c.tx.Scan([]byte(keyTime), func(key, _ []byte) error {
		if len(key) == len(keyTime)+8 && binary.BigEndian.Uint64(key[len(keyTime):]) <= c.report.Size {
			seen++
		}
		return nil
	})
	if err == nil && seen != c.report.Checkpoints {
		err = c.differs(c.report.Size-1, "%d checkpoints are archived, but %d stand at heads of the log with their notes", seen, c.report.Checkpoints)
	}
	return err
}

// tileRow is the tile of one level that is being filled.
type tileRow struct {
	index uint64
	nodes [][]byte
}

// addNode adds a node to the tiles of a level. A full one is compared with the file, and its root goes to the level above.
func (c *checker) addNode(ctx context.Context, level int, node []byte) error {
	if level == len(c.tiles) {
		c.tiles = append(c.tiles, tileRow{})
	}
	row := &c.tiles[level]
	if row.nodes = append(row.nodes, node); len(row.nodes) < layout.TileWidth {
		return nil
	}
	if level > 0 {
		if err := c.tile(ctx, level); err != nil {
			return err
		}
	}
	r := treeFactory.NewEmptyRange(0)
	for _, n := range row.nodes {
		if err := r.Append(n, nil); err != nil {
			return err
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return err
	}
	*row = tileRow{index: row.index + 1}
	return c.addNode(ctx, level+1, root)
}

func (c *checker) partialTiles(ctx context.Context) error {
	for level, row := range c.tiles {
		if level > 0 && len(row.nodes) > 0 {
			if err := c.tile(ctx, level); err != nil {
				return err
			}
		}
	}
	return nil
}

// tile compares the tile of a level above the lowest with its file.
func (c *checker) tile(ctx context.Context, level int) error {
	row := c.tiles[level]
	onDisk, err := tileOf(ctx, c.files, uint64(level), row.index, c.report.Size)
	if err != nil {
		return err
	}
	for i := range row.nodes {
		if i >= len(onDisk) || !bytes.Equal(onDisk[i], row.nodes[i]) {
			first := (row.index*layout.TileWidth + uint64(i)) << (8 * level)
			return c.differs(first, "tile %d/%d has another hash at place %d than the entries give", level, row.index, i)
		}
	}
	return nil
}
