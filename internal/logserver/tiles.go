package logserver

import (
	"context"
	"fmt"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"akashi/registry"
)

// tileCache keeps full tiles, which never change, with all the nodes above their hashes worked out.
type tileCache struct {
	read client.TileFetcherFunc

	mu    sync.Mutex
	tiles map[tileID]tile
}

// maxCachedTiles bounds the cache: 16 KiB a tile.
const maxCachedTiles = 2048

type tileID struct{ level, index uint64 }

// tile has the hashes of a tile in row 0 and in each further row the hashes of the complete pairs below.
type tile [][][]byte

func newTileCache(read client.TileFetcherFunc) *tileCache {
	return &tileCache{read: read, tiles: make(map[tileID]tile)}
}

func (c *tileCache) get(ctx context.Context, id tileID, partial uint8) (tile, error) {
	c.mu.Lock()
	t, ok := c.tiles[id]
	c.mu.Unlock()
	if ok {
		return t, nil
	}
	raw, err := c.read(ctx, id.level, id.index, partial)
	if err != nil {
		return nil, fmt.Errorf("reading a tile: %w", err)
	}
	var leaves api.HashTile
	if err := leaves.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("reading a tile: %w", err)
	}
	t = newTile(leaves.Nodes)
	if len(leaves.Nodes) == layout.TileWidth {
		c.put(id, t)
	}
	return t, nil
}

func (c *tileCache) put(id tileID, t tile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old := range c.tiles { // any one, in no order
		if len(c.tiles) < maxCachedTiles {
			break
		}
		delete(c.tiles, old)
	}
	c.tiles[id] = t
}

func newTile(row [][]byte) tile {
	t := tile{row}
	for len(row) > 1 {
		above := make([][]byte, len(row)/2)
		for i := range above {
			above[i] = hasher.HashChildren(row[2*i], row[2*i+1])
		}
		t, row = append(t, above), above
	}
	return t
}

// prover makes proofs in the log at one size. It is used by one goroutine.
type prover struct {
	size  uint64
	cache *tileCache
	tiles map[tileID]tile // those read so far, partial ones included
}

func (s *Server) prover(size uint64) *prover {
	return &prover{size: size, cache: s.tiles, tiles: make(map[tileID]tile)}
}

// inclusion returns the inclusion proof of the entry at index (RFC 9162, Section 2.1.3).
func (p *prover) inclusion(ctx context.Context, index uint64) ([]registry.Hash, error) {
	nodes, err := proof.Inclusion(index, p.size)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof: %w", err)
	}
	return p.prove(ctx, nodes)
}

// consistency returns the consistency proof from an older size (RFC 9162, Section 2.1.4).
func (p *prover) consistency(ctx context.Context, old uint64) ([]registry.Hash, error) {
	nodes, err := proof.Consistency(old, p.size)
	if err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	return p.prove(ctx, nodes)
}

func (p *prover) prove(ctx context.Context, nodes proof.Nodes) ([]registry.Hash, error) {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := p.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	hashes, err := nodes.Rehash(hashes, hasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("building a proof: %w", err)
	}
	out := make([]registry.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = registry.Hash(h)
	}
	return out, nil
}

// node returns the hash of a complete subtree.
func (p *prover) node(ctx context.Context, id compact.NodeID) ([]byte, error) {
	level, index, row, column := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
	at := tileID{level, index}
	t, ok := p.tiles[at]
	if !ok {
		var err error
		if t, err = p.cache.get(ctx, at, layout.PartialTileSize(level, index, p.size)); err != nil {
			return nil, err
		}
		p.tiles[at] = t
	}
	if row >= uint(len(t)) || column >= uint64(len(t[row])) {
		return nil, fmt.Errorf("tile %d/%d is cut short", level, index)
	}
	return t[row][column], nil
}
