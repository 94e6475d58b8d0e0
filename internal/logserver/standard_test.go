package logserver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"akashi/registry"
)

// sumdbTiles reads the log as package tlog wants it, whose paths have the height of tiles in them where those of C2SP tlog-tiles do not.
type sumdbTiles struct{ url string }

func (sumdbTiles) Height() int                     { return 8 }
func (sumdbTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (s sumdbTiles) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		body, err := fetch(s.url + "/tile/" + strings.TrimPrefix(tile.Path(), "tile/8/"))
		if err != nil {
			return nil, err
		}
		data = append(data, body)
	}
	return data, nil
}

func fetch(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// readLog reads all entries below size as a plain reader of entry bundles does.
func (r *rig) readLog(size uint64) (entries [][]byte) {
	r.t.Helper()
	for n := int64(0); n < int64(size); n += 256 {
		tile := tlog.Tile{H: 8, L: -1, N: n / 256, W: int(min(256, int64(size)-n))}
		rest, err := fetch(r.front.URL + "/" + torchwood.TilePath(tile))
		for range tile.W {
			if err != nil {
				break
			}
			var entry []byte
			entry, rest, err = torchwood.ReadTileEntry(rest)
			entries = append(entries, entry)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return entries
}

// filled returns a rig whose log has several bundles and tiles on two levels, grown in epochs of different sizes.
func filled(t *testing.T) *rig {
	r := newRig(t).start()
	for _, n := range []int{1, 254, 3, 300, 1, 60} {
		records := make([]registry.Record, n)
		for i := range records {
			records[i], _ = record("x")
		}
		r.submit(records...)
	}
	r.waitAudited()
	return r
}

// The reader that the Go checksum database is read with verifies our log: every tile is authenticated by the root, every entry proven,
// and every older checkpoint found to be a prefix.
func TestReadWithSumDB(t *testing.T) {
	r := filled(t)
	_, served := r.get("/checkpoint")
	cp := must(registry.OpenCheckpointExactly([]byte(served), r.cfg.Policy, r.cfg.Auditors))
	tree := tlog.Tree{N: int64(cp.Size), Hash: tlog.Hash(cp.Root)}
	hashes := tlog.TileHashReader(tree, sumdbTiles{r.front.URL})
	for i, data := range r.readLog(cp.Size) {
		proof, err := tlog.ProveRecord(tree.N, int64(i), hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(data)); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	for size := int64(1); size < tree.N; size += 7 {
		old, err := tlog.TreeHash(size, hashes)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, old); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
	tree.Hash[0] ^= 1
	if _, err := tlog.ProveRecord(tree.N, 0, tlog.TileHashReader(tree, sumdbTiles{r.front.URL})); err == nil {
		t.Error("tiles are taken for those of another root")
	}
}

// A client for C2SP tlog-tiles that is not ours reads our policy file, verifies the checkpoint with its witnesses, and then all entries.
func TestReadWithTorchwood(t *testing.T) {
	r := filled(t)
	ctx := t.Context()
	fetcher, err := torchwood.NewTileFetcher(r.front.URL, torchwood.WithUserAgent("test"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy(r.cfg.Policy.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	cp, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	want := r.readLog(uint64(cp.N))
	got := r.torchwoodEntries(ctx, client, cp.Tree)
	if len(got) != len(want) {
		t.Fatalf("read %d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("entry %d is another", i)
		}
	}
	entry, proof, err := client.Entry(ctx, cp.Tree, 255)
	if err != nil || !bytes.Equal(entry, want[255]) {
		t.Fatalf("entry 255: %v", err)
	}
	if err := tlog.CheckRecord(proof, cp.N, cp.Hash, 255, tlog.RecordHash(entry)); err != nil {
		t.Error(err)
	}
}

// torchwoodEntries reads all entries, those at the right edge too.
func (r *rig) torchwoodEntries(ctx context.Context, client *torchwood.Client, tree tlog.Tree) (entries [][]byte) {
	r.t.Helper()
	for i, entry := range client.AllEntries(ctx, tree, 0) {
		if i != int64(len(entries)) {
			r.t.Fatalf("entry %d after %d", i, len(entries)-1)
		}
		entries = append(entries, bytes.Clone(entry))
	}
	if err := client.Err(); err != nil {
		r.t.Fatal(err)
	}
	return entries
}
