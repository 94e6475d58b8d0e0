package auditor

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"

	"github.com/transparency-dev/merkle/compact"

	"akashi/registry"
	"akashi/registry/fraud"
	"akashi/registry/trustlist"
)

// prove adds to a report what anybody needs to repeat it offline, and writes it once more. It reads the whole log again: what is not
// served now, or not as it was signed, cannot be proven, and the report stays as it is. The auditor has stopped already.
func (a *Auditor) prove(ctx context.Context, f *Fraud, cp *registry.Checkpoint) error {
	p, err := a.proof(ctx, f, cp)
	if err != nil {
		return err
	}
	proven := *f // others may be reading the report
	proven.Proof = p
	if err := fraud.Check(&proven, a.cfg.Log, a.cfg.Anchor); err != nil {
		return err
	}
	data, err := encodeReport(&proven)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(a.cfg.Dir, FraudFile), data); err != nil {
		return err
	}
	a.fraud = &proven // after the file: who is told of the proof finds it there
	a.show()
	return nil
}

func (a *Auditor) proof(ctx context.Context, f *Fraud, cp *registry.Checkpoint) (*fraud.Proof, error) {
	switch {
	case f.Kind == KindFork:
		return a.proveFork(ctx, f, cp)
	case f.TrustList != "":
		return a.proveList(ctx, f, cp)
	}
	return a.proveSpan(ctx, f, cp)
}

func (a *Auditor) proveFork(ctx context.Context, f *Fraud, cp *registry.Checkpoint) (*fraud.Proof, error) {
	earlier, err := registry.OpenLogCheckpoint([]byte(f.Earlier), a.cfg.Log)
	if err != nil {
		return nil, err
	}
	if earlier.Size == cp.Size {
		return nil, nil // the two checkpoints are enough
	}
	parts := newParts(earlier.Size, earlier.Size, cp.Size)
	if err := a.readAgain(ctx, cp, parts.add); err != nil {
		return nil, err
	}
	p := new(fraud.Proof)
	p.Range, err = parts.hashes()
	return p, err
}

// proveSpan proves the entry by those from the last head on. The map holds all slot entries before it.
func (a *Auditor) proveSpan(ctx context.Context, f *Fraud, cp *registry.Checkpoint) (*fraud.Proof, error) {
	first := a.state.chain.At
	if first == registry.NoPrevHead {
		first = 0
	}
	parts := newParts(first, f.Index+1, cp.Size)
	var run []registry.Bytes
	err := a.readAgain(ctx, cp, func(index uint64, data []byte, leaf []byte) error {
		if index >= first && index <= f.Index {
			run = append(run, bytes.Clone(data))
		}
		return parts.add(index, data, leaf)
	})
	if err != nil {
		return nil, err
	}
	p := &fraud.Proof{Entries: run}
	if p.Range, err = parts.hashes(); err != nil {
		return nil, err
	}
	span := registry.Span{}
	if a.state.chain.At != registry.NoPrevHead {
		p.Head, p.Entries = run[0], run[1:]
		span.Head = &registry.HeadEntry{Covered: first}
	}
	for _, e := range p.Entries {
		span.Entries = append(span.Entries, e)
	}
	snap := a.state.m.Snapshot()
	defer snap.Release()
	p.Delta, err = registry.MakeMapDelta(span.From(), span.Slots(), func(k registry.Key) ([]byte, error) { return snap.Prove(k), nil })
	return p, err
}

func (a *Auditor) proveList(ctx context.Context, f *Fraud, cp *registry.Checkpoint) (*fraud.Proof, error) {
	p, parts := new(fraud.Proof), newParts(f.Index, f.Index+1, cp.Size)
	previous, found := previousEntry(a.state.list), false
	err := a.readAgain(ctx, cp, func(index uint64, data []byte, leaf []byte) error {
		if index < f.Index && bytes.Equal(data, previous) {
			p.PreviousIndex, found = index, true
		}
		return parts.add(index, data, leaf)
	})
	if err != nil {
		return nil, err
	}
	if p.Range, err = parts.hashes(); err != nil || !found {
		return p, err
	}
	p.Previous = a.state.list.JWT
	parts = newParts(p.PreviousIndex, p.PreviousIndex+1, cp.Size)
	if err := a.readAgain(ctx, cp, parts.add); err != nil {
		return nil, err
	}
	p.PreviousRange, err = parts.hashes()
	return p, err
}

func previousEntry(l *trustlist.List) []byte {
	if l == nil {
		return nil
	}
	return l.Entry().Marshal()
}

// entriesPerRead bounds what is held in memory.
const entriesPerRead = 1 << 14

// readAgain reads the log from the beginning and calls fn with every entry. It fails unless the entries are those that the checkpoint is over.
func (a *Auditor) readAgain(ctx context.Context, cp *registry.Checkpoint, fn func(index uint64, data, leaf []byte) error) error {
	tree := factory.NewEmptyRange(0)
	for from := uint64(0); from < cp.Size; {
		entries, err := a.log.entries(ctx, from, min(cp.Size, from+entriesPerRead))
		if err != nil {
			return err
		}
		for _, data := range entries {
			leaf := hasher.HashLeaf(data)
			if err := errors.Join(fn(from, data, leaf), tree.Append(leaf, nil)); err != nil {
				return err
			}
			from++
		}
	}
	root, err := rootOf(tree)
	if err == nil && root != cp.Root {
		err = errors.New("the log does not serve the entries that it has signed")
	}
	return err
}

// parts collects the hashes of a range proof.
type parts struct {
	bounds [][2]uint64
	trees  []*compact.Range
	at     int
}

func newParts(from, end, size uint64) *parts {
	p := &parts{bounds: registry.RangeParts(from, end, size)}
	for range p.bounds {
		p.trees = append(p.trees, factory.NewEmptyRange(0))
	}
	return p
}

// add takes the leaves in their order.
func (p *parts) add(index uint64, _, leaf []byte) error {
	for p.at < len(p.bounds) && index >= p.bounds[p.at][1] {
		p.at++
	}
	if p.at < len(p.bounds) && index >= p.bounds[p.at][0] {
		return p.trees[p.at].Append(leaf, nil)
	}
	return nil
}

func (p *parts) hashes() ([]registry.Hash, error) {
	var out []registry.Hash
	for _, t := range p.trees {
		h, err := rootOf(t)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// proveFraud is prove for a caller who can do nothing about its errors.
func (a *Auditor) proveFraud(ctx context.Context, f *Fraud, cp *registry.Checkpoint) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Work)
	defer cancel()
	if err := a.prove(ctx, f, cp); err != nil {
		a.cfg.Logger.Warn("the divergence cannot be proven to others", "error", err)
	}
}
