package auditor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"akashi/registry"
	"akashi/registry/trustlist"
)

// pending is what was replayed and not yet cosigned: what must be had and checked before that, and what must be stored.
type pending struct {
	members []member
	lists   []*listEntry
	had     map[registry.Key]bool // members whose records were seen and are right
}

// member is a slot entry that got its slot.
type member struct {
	registry.SlotEntry
	index uint64
}

// listEntry is a list entry, and the version that it names once that was had.
type listEntry struct {
	entry registry.ListEntry
	index uint64
	list  *trustlist.List
}

func (p *pending) clear() { *p = pending{had: make(map[registry.Key]bool)} }

// errUnavailable is returned when something that the auditor must see cannot be had now.
var errUnavailable = errors.New("cannot be had now")

// replay brings the state up to the checkpoint: it reads the entries, makes sure that they are the ones that the log signed, and applies
// them. It returns a [*Fraud] for a divergence.
func (a *Auditor) replay(ctx context.Context, cp *registry.Checkpoint) error {
	entries, tree, err := a.signedEntries(ctx, cp)
	if err != nil {
		return err
	}
	for _, data := range entries {
		if err := a.apply(data); err != nil {
			return err
		}
	}
	a.state.tree, a.state.note = tree, cp.Note
	return nil
}

// signedEntries returns the entries from the state's size to the checkpoint's, with the tree that they give. If their tree is not the one
// that the log signed they are read once more, in case they were damaged on the way; the second time it is a fork.
func (a *Auditor) signedEntries(ctx context.Context, cp *registry.Checkpoint) ([][]byte, *compact.Range, error) {
	var root registry.Hash
	for range 2 {
		entries, err := a.log.entries(ctx, a.state.size, cp.Size)
		if err != nil {
			return nil, nil, err
		}
		tree, err := factory.NewRange(0, a.state.size, slices.Clone(a.state.tree.Hashes()))
		if err != nil {
			return nil, nil, fmt.Errorf("hashing the log: %w", err)
		}
		for _, data := range entries {
			if err := tree.Append(hasher.HashLeaf(data), nil); err != nil {
				return nil, nil, fmt.Errorf("hashing the log: %w", err)
			}
		}
		if root, err = rootOf(tree); err != nil {
			return nil, nil, err
		}
		if root == cp.Root {
			return entries, tree, nil
		}
	}
	return nil, nil, &Fraud{
		Kind: KindFork, Index: a.state.size, Earlier: string(a.state.note), Checkpoint: string(cp.Note), Want: root.String(),
		What: "the entries of the log, after those of the earlier checkpoint, do not hash to the root that the log signed",
	}
}

// logReader reads the entries of a log by its tiles (C2SP tlog-tiles). Nothing that it returns is verified.
type logReader struct {
	url  string // without a slash at the end
	http *http.Client
}

// entries reads the entries from index from up to size.
func (l logReader) entries(ctx context.Context, from, size uint64) ([][]byte, error) {
	var out [][]byte
	for from < size {
		n := from / layout.EntryBundleWidth
		end := min(size, (n+1)*layout.EntryBundleWidth)
		bundle, err := l.bundle(ctx, n, layout.PartialTileSize(0, n, size))
		if err != nil {
			return nil, err
		}
		first := n * layout.EntryBundleWidth
		if first+uint64(len(bundle)) < end {
			return nil, fmt.Errorf("entry bundle %d: cut short: %w", n, errUnavailable)
		}
		out = append(out, bundle[from-first:end-first]...)
		from = end
	}
	return out, nil
}

// bundle reads an entry bundle (C2SP tlog-tiles, "Entry bundles"). A partial one may have been removed when it became full.
func (l logReader) bundle(ctx context.Context, n uint64, width uint8) ([][]byte, error) {
	raw, err := l.fetch(ctx, layout.EntriesPath(n, width))
	if errors.Is(err, errNoFile) && width > 0 {
		raw, err = l.fetch(ctx, layout.EntriesPath(n, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("entry bundle %d: %w: %w", n, errUnavailable, err)
	}
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, fmt.Errorf("entry bundle %d: %w: %w", n, errUnavailable, err)
	}
	return b.Entries, nil
}

var errNoFile = errors.New("no such file")

// maxBundle bounds what is read: 256 entries with their lengths.
const maxBundle = layout.EntryBundleWidth * (2 + 1<<16)

func (l logReader) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(resp.Body, maxBundle))
	case http.StatusNotFound:
		return nil, errNoFile
	}
	return nil, fmt.Errorf("answered %d", resp.StatusCode)
}

// apply applies the entry at the state's size.
func (a *Auditor) apply(data []byte) error {
	st, index := a.state, a.state.size
	entry, err := registry.ParseEntry(data)
	if err == nil {
		switch e := entry.(type) {
		case registry.SlotEntry:
			if st.m.Insert(e.K, index, e.V) {
				a.pending.members = append(a.pending.members, member{e, index})
			}
		case registry.ListEntry:
			if e.N != st.chain.Lists+1 {
				return &Fraud{Kind: KindTrustList, Index: index, Entry: data, Want: fmt.Sprintf("version %d", st.chain.Lists+1),
					What: "the numbers of the trust list versions in the log have a gap or a repetition"}
			}
			st.chain.Lists++
			a.pending.lists = append(a.pending.lists, &listEntry{entry: e, index: index})
		case registry.HeadEntry:
			if err := st.follow(e, index, data); err != nil {
				return err
			}
		}
	}
	st.size++ // entries of unknown form count for nothing
	return nil
}

// follow checks every field of a head against the map as it is after all entries before it.
func (st *state) follow(e registry.HeadEntry, index uint64, data []byte) error {
	snap := st.m.Snapshot()
	defer snap.Release()
	if want := st.chain.Next(index, uint64(snap.Len()), snap.Root(), e.UnixMilli); e != want {
		return &Fraud{
			Kind: KindHead, Index: index, Entry: data, Want: fmt.Sprintf("%x", want.Marshal()),
			What: "a head states a wrong " + e.WrongField(want),
		}
	}
	st.chain.Add(e)
	return nil
}

// obtain makes sure that everything pending can be had and is what the log committed to.
func (a *Auditor) obtain(ctx context.Context) error {
	for _, l := range a.pending.lists {
		if err := a.obtainList(ctx, l); err != nil {
			return err
		}
	}
	var missing []member
	for _, m := range a.pending.members {
		if !a.pending.had[m.K] {
			missing = append(missing, m)
		}
	}
	for len(missing) > 0 {
		part := missing[:min(len(missing), recordsPerRequest)]
		missing = missing[len(part):]
		if err := a.obtainRecords(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// obtainList fetches and checks one version. An answer that is not the version in the log proves nothing; the version in the log that
// the anchor did not sign, or that may not follow, is a divergence.
func (a *Auditor) obtainList(ctx context.Context, l *listEntry) error {
	if l.list != nil {
		return nil
	}
	proof, err := a.remote.TrustList(ctx, l.entry.N)
	if err != nil {
		return fmt.Errorf("trust list %d: %w: %w", l.entry.N, errUnavailable, err)
	}
	if registry.HashOf([]byte(proof.JWT)) != l.entry.Hash {
		return fmt.Errorf("trust list %d: not the one in the log: %w", l.entry.N, errUnavailable)
	}
	list, err := trustlist.Verify(proof.JWT, a.cfg.Anchor)
	if err == nil && list.N != l.entry.N {
		err = fmt.Errorf("it is version %d", list.N)
	}
	if err == nil && a.state.list != nil {
		err = trustlist.ValidateSuccessor(a.state.list, list)
	}
	if err != nil {
		return &Fraud{Kind: KindTrustList, Index: l.index, Entry: l.entry.Marshal(), TrustList: proof.JWT,
			What: "the log admitted a version of the trust list that it must not admit: " + err.Error()}
	}
	l.list, a.state.list = list, list
	return nil
}

// recordsPerRequest bounds one answer to about 7 MiB.
const recordsPerRequest = 128

// obtainRecords fetches the sealed records of members and checks them against the values in the log.
func (a *Auditor) obtainRecords(ctx context.Context, members []member) error {
	slots := make([]registry.Key, len(members))
	values := make(map[registry.Key]registry.Value, len(members))
	for i, m := range members {
		slots[i], values[m.K] = m.K, m.V
	}
	var erased []registry.Key
	err := a.remote.Records(ctx, slots, func(r registry.StoredRecord) error {
		if r.Erased {
			erased = append(erased, r.Key)
		}
		if want, asked := values[r.Key]; asked && r.A != nil && registry.ValueOf(r.A, r.B) == want {
			a.pending.had[r.Key] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("records: %w: %w", errUnavailable, err)
	}
	if err := a.obtainErasures(ctx, erased); err != nil {
		return err
	}
	for _, m := range members {
		if !a.pending.had[m.K] {
			return fmt.Errorf("record of entry %d: %w", m.index, errUnavailable)
		}
	}
	return nil
}

// obtainErasures goes on without the records that are said to be erased, once it is shown that their slots are those of worker's
// statements: nothing counts on an absence there, and the worker has the statement. For any other slot that proves nothing.
func (a *Auditor) obtainErasures(ctx context.Context, slots []registry.Key) error {
	if len(slots) == 0 {
		return nil
	}
	answer, err := a.remote.Lookup(ctx, slots)
	if err != nil {
		return fmt.Errorf("erased records: %w: %w", errUnavailable, err)
	}
	for _, r := range answer.Results {
		if r.Member != nil && r.Member.Erased && registry.CheckErased(r.Key, r.Member.X) == nil {
			a.pending.had[r.Key] = true
		}
	}
	return nil
}
