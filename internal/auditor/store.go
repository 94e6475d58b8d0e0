package auditor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/prefixmap"
	"akashi/registry/trustlist"
)

// The keys of the store, all of which begin with "auditor/" || name || "/".
//
//	state               savedState as JSON: what the last cosigned checkpoint covers
//	slot/ || K(32)      index(8) || V(32): a member of the map; one at or above the state's size is from work that was cut short
//	list/ || n(8)       index(8) || trust list JWT, likewise
//	fraud               Fraud as JSON: the auditor has stopped
//
// Slots and lists are written first and the state last, so that they may take many transactions.
func (c *Config) key(name string) []byte { return []byte("auditor/" + c.Name + "/" + name) }

var (
	hasher  = rfc6962.DefaultHasher
	factory = &compact.RangeFactory{Hash: hasher.HashChildren}
)

// signed is the checkpoint that the auditor cosigned last; zero before the first.
type signed struct {
	size uint64
	root registry.Hash
	note []byte
}

// state is what replaying the log up to a size has given.
type state struct {
	size uint64
	tree *compact.Range
	note []byte // a checkpoint, signed by the log, of a tree that begins with these entries
	m    *prefixmap.Map

	chain registry.HeadChain
	list  *trustlist.List // the newest version that was checked
}

func newState() *state {
	return &state{tree: factory.NewEmptyRange(0), m: prefixmap.New(), chain: registry.NewHeadChain()}
}

func rootOf(tree *compact.Range) (registry.Hash, error) {
	if tree.End() == 0 {
		return registry.Hash(hasher.EmptyRoot()), nil
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return registry.Hash{}, fmt.Errorf("hashing the log: %w", err)
	}
	return registry.Hash(root), nil
}

type savedState struct {
	Size     uint64          `json:"size"`
	Range    []registry.Hash `json:"range"` // compact range of the log
	Note     []byte          `json:"note"`
	Epoch    uint64          `json:"epoch"`
	HeadAt   uint64          `json:"head_at"`
	HeadHash registry.Hash   `json:"head_hash"`
	MapRoot  registry.Hash   `json:"map_root"` // checks that the slots were read back whole
}

// errDamaged says that the state on disk is not what was written. The auditor does not start: it would have to sign what it cannot know.
var errDamaged = errors.New("auditor: the stored state is damaged: restore it, or start with a new store and a new key")

func loadState(ctx context.Context, cfg Config) (*state, signed, error) {
	st, last := newState(), signed{root: registry.Hash(hasher.EmptyRoot())}
	err := cfg.Store.View(ctx, func(tx store.Tx) error {
		data, err := tx.Get(cfg.key("state"))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		var saved savedState
		if err := json.Unmarshal(data, &saved); err != nil {
			return errDamaged
		}
		if err := st.read(tx, cfg, saved); err != nil {
			return err
		}
		last.size, last.note = saved.Size, saved.Note
		last.root, err = rootOf(st.tree)
		return err
	})
	if err != nil {
		return nil, signed{}, fmt.Errorf("auditor: reading the state: %w", err)
	}
	return st, last, nil
}

func (st *state) read(tx store.Tx, cfg Config, saved savedState) error {
	hashes := make([][]byte, len(saved.Range))
	for i, h := range saved.Range {
		hashes[i] = slices.Clone(h[:])
	}
	var err error
	if st.tree, err = factory.NewRange(0, saved.Size, hashes); err != nil {
		return errDamaged
	}
	st.size, st.note = saved.Size, saved.Note
	st.chain = registry.HeadChain{Epoch: saved.Epoch, At: saved.HeadAt, Hash: saved.HeadHash}
	if err := st.readSlots(tx, cfg.key("slot/")); err != nil {
		return err
	}
	snap := st.m.Snapshot()
	defer snap.Release()
	if snap.Root() != saved.MapRoot {
		return errDamaged
	}
	return st.readLists(tx, cfg)
}

func (st *state) readSlots(tx store.Tx, prefix []byte) error {
	return tx.Scan(prefix, func(key, value []byte) error {
		if len(key) != len(prefix)+32 || len(value) != 8+32 {
			return errDamaged
		}
		if i := binary.BigEndian.Uint64(value); i < st.size {
			st.m.Insert(registry.Key(key[len(prefix):]), i, registry.Value(value[8:]))
		}
		return nil
	})
}

func (st *state) readLists(tx store.Tx, cfg Config) error {
	return tx.Scan(cfg.key("list/"), func(_, value []byte) error {
		if len(value) < 8 {
			return errDamaged
		}
		i := binary.BigEndian.Uint64(value)
		if i >= st.size {
			return nil
		}
		l, err := trustlist.Verify(string(value[8:]), cfg.Anchor)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		if l.N != st.chain.Lists+1 {
			return errDamaged
		}
		st.chain.Lists, st.list = l.N, l
		return nil
	})
}

// slotsPerWrite bounds one transaction.
const slotsPerWrite = 5000

// save makes durable what was replayed up to the checkpoint.
func (a *Auditor) save(ctx context.Context, cp *registry.Checkpoint) error {
	for part := range slices.Chunk(a.pending.members, slotsPerWrite) {
		if err := a.cfg.Store.Update(ctx, func(tx store.Tx) error { return a.cfg.saveSlots(tx, part) }); err != nil {
			return fmt.Errorf("storing slots: %w", err)
		}
	}
	st := a.state
	snap := st.m.Snapshot()
	defer snap.Release()
	saved := savedState{
		Size: cp.Size, Note: cp.Note, Epoch: st.chain.Epoch, HeadAt: st.chain.At, HeadHash: st.chain.Hash, MapRoot: snap.Root(),
	}
	for _, h := range st.tree.Hashes() {
		saved.Range = append(saved.Range, registry.Hash(h))
	}
	data, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("storing the state: %w", err)
	}
	err = a.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, l := range a.pending.lists {
			key := binary.BigEndian.AppendUint64(a.cfg.key("list/"), l.entry.N)
			if err := tx.Set(key, append(binary.BigEndian.AppendUint64(nil, l.index), l.list.JWT...)); err != nil {
				return err
			}
		}
		return tx.Set(a.cfg.key("state"), data)
	})
	if err != nil {
		return fmt.Errorf("storing the state: %w", err)
	}
	return nil
}

func (c *Config) saveSlots(tx store.Tx, members []member) error {
	for _, m := range members {
		value := append(binary.BigEndian.AppendUint64(nil, m.index), m.V[:]...)
		if err := tx.Set(append(c.key("slot/"), m.K[:]...), value); err != nil {
			return err
		}
	}
	return nil
}
