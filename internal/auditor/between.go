package auditor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/client"

	"akashi/internal/keys"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Between checks a log between two of its checkpoints without any state: it reads the entries between them and one map delta.
type Between struct {
	LogURL   string
	Policy   *registry.Policy // the log and the witnesses
	Auditors *registry.Policy
	Anchor   keys.Public
	HTTP     *http.Client // nil means http.DefaultClient
}

// BetweenReport says what was checked, up to the newest audited head or the first difference.
type BetweenReport struct {
	From       uint64 `json:"from"`
	FromAudit  bool   `json:"from_audited"` // the auditors' quorum vouches for the head that the check begins with
	To         uint64 `json:"to"`
	Entries    uint64 `json:"entries"`
	Heads      int    `json:"heads"`
	Keys       uint64 `json:"keys"` // that the map has got
	Lists      int    `json:"lists"`
	Difference string `json:"difference,omitempty"`
	Index      uint64 `json:"index,omitempty"` // of the entry with the difference
}

// Check checks that the log at its newest audited head continues the one at the checkpoint of size from, and that every head between,
// the one at size to among them, states the map that follows from the head at from and the entries. The head at from is taken as right; it
// is 0 for the beginning. to is 0 for the newest. An error says that it could not be decided.
func (b Between) Check(ctx context.Context, from, to uint64) (*BetweenReport, error) {
	b.HTTP = orDefaultClient(b.HTTP)
	remote := &registry.Client{BaseURL: b.LogURL, HTTP: b.HTTP, Origin: b.Policy.Origin}
	resp, err := remote.Delta(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("asking for the delta: %w", err)
	}
	newest, err := b.head(resp.Head)
	if err != nil {
		return nil, fmt.Errorf("the newest head: %w", err)
	}
	if to == 0 {
		to = newest.cp.Size
	}
	if from >= to || to > newest.cp.Size {
		return nil, fmt.Errorf("from %d to %d: sizes must ascend, and the newest is %d", from, to, newest.cp.Size)
	}
	report := &BetweenReport{From: from, To: to}
	w := spanWalk{Between: b, remote: remote, report: report, newest: newest, delta: resp.Delta}
	err = w.run(ctx)
	var differs *registry.DifferenceError
	if errors.As(err, &differs) {
		report.Difference, report.Index = differs.What, differs.Index
		err = nil
	}
	return report, err
}

// provenHead is a head under the checkpoint whose last entry it is.
type provenHead struct {
	cp    *registry.Checkpoint
	entry registry.HeadEntry
}

// head verifies a head and the witnesses' quorum of its checkpoint.
func (b Between) head(p registry.HeadProof) (*provenHead, error) {
	cp, err := registry.OpenCheckpoint([]byte(p.Checkpoint), b.Policy, b.Auditors)
	if err != nil {
		return nil, err
	}
	if _, ok := cp.ExistedBy(); !ok {
		return nil, errors.New("its checkpoint lacks the witnesses' quorum")
	}
	if p.Index+1 != cp.Size {
		return nil, errors.New("it is not the last entry of its checkpoint")
	}
	if err := registry.VerifyInclusion(p.Entry, p.Index, cp.Size, p.Inclusion, cp.Root); err != nil {
		return nil, err
	}
	entry, err := registry.ParseEntry(p.Entry)
	if err != nil {
		return nil, err
	}
	head, ok := entry.(registry.HeadEntry)
	if !ok || head.Covered != p.Index {
		return nil, errors.New("it is not a head that covers itself")
	}
	return &provenHead{cp, head}, nil
}

// spanWalk is the state of one check.
type spanWalk struct {
	Between
	remote *registry.Client
	report *BetweenReport
	newest *provenHead
	delta  []byte
	span   registry.Span
}

func (w *spanWalk) run(ctx context.Context) error {
	tree, err := w.start(ctx)
	if err != nil {
		return err
	}
	if err := w.read(ctx, tree); err != nil {
		return err
	}
	if err := w.trustLists(ctx); err != nil {
		return err
	}
	if err := w.span.Check(w.delta); err != nil {
		return err
	}
	base := uint64(0)
	if w.span.Head != nil {
		base = w.span.Head.MapSize
	}
	w.report.Keys = w.newest.entry.MapSize - base
	return nil
}

// start verifies the head that the check begins with, and returns the tree of the log up to it.
func (w *spanWalk) start(ctx context.Context) (*compact.Range, error) {
	from := w.report.From
	if from == 0 {
		w.report.FromAudit = true // nothing to vouch for
		return factory.NewEmptyRange(0), nil
	}
	proof, err := w.remote.HeadAt(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("the head at %d: %w", from, err)
	}
	old, err := w.head(*proof)
	if err != nil || old.cp.Size != from {
		return nil, fmt.Errorf("the head at %d: %w", from, errors.Join(err, errors.New("cannot be used")))
	}
	w.span.Head, w.report.FromAudit = &old.entry, old.cp.Audited()
	root, err := url.Parse(w.LogURL)
	if err != nil {
		return nil, err
	}
	fetcher, err := client.NewHTTPFetcher(root, w.HTTP)
	if err != nil {
		return nil, err
	}
	nodes, err := client.FetchRangeNodes(ctx, from, fetcher.ReadTile)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	tree, err := factory.NewRange(0, from, nodes)
	if err != nil {
		return nil, fmt.Errorf("reading tiles: %w", err)
	}
	if got, err := rootOf(tree); err != nil || got != old.cp.Root {
		return nil, errors.Join(err, errors.New("the tiles served are not those of the checkpoint to begin with"))
	}
	return tree, nil
}

// read reads the entries, and makes sure that they lead from the one checkpoint to the others.
func (w *spanWalk) read(ctx context.Context, tree *compact.Range) error {
	entries, err := logReader{w.LogURL, w.HTTP}.entries(ctx, w.report.From, w.newest.cp.Size)
	if err != nil {
		return err
	}
	for i, data := range entries {
		if err := tree.Append(hasher.HashLeaf(data), nil); err != nil {
			return err
		}
		w.count(data)
		if size := w.report.From + uint64(i) + 1; size == w.report.To && size < w.newest.cp.Size {
			if err := w.checkTo(ctx, tree); err != nil {
				return err
			}
		}
	}
	w.span.Entries = entries
	w.report.Entries = uint64(len(entries))
	if root, err := rootOf(tree); err != nil || root != w.newest.cp.Root {
		return errors.Join(err, &registry.DifferenceError{Index: w.report.From,
			What: "the entries served, after those of the first checkpoint, do not hash to the root that the log signed"})
	}
	return nil
}

// checkTo compares the tree with the checkpoint that was asked for.
func (w *spanWalk) checkTo(ctx context.Context, tree *compact.Range) error {
	proof, err := w.remote.HeadAt(ctx, w.report.To)
	if err != nil {
		return fmt.Errorf("the head at %d: %w", w.report.To, err)
	}
	h, err := w.head(*proof)
	if err != nil || h.cp.Size != w.report.To {
		return fmt.Errorf("the head at %d: %w", w.report.To, errors.Join(err, errors.New("cannot be used")))
	}
	if root, err := rootOf(tree); err != nil || root != h.cp.Root {
		return errors.Join(err, &registry.DifferenceError{Index: w.report.To, What: "the entries do not hash to the root that the log signed for this size"})
	}
	return nil
}

func (w *spanWalk) count(data []byte) {
	entry, err := registry.ParseEntry(data)
	if err != nil {
		return
	}
	switch entry.(type) {
	case registry.HeadEntry:
		w.report.Heads++
	case registry.ListEntry:
		w.report.Lists++
	}
}

// trustLists checks the versions that were admitted in the span.
func (w *spanWalk) trustLists(ctx context.Context) error {
	if w.report.Lists == 0 {
		return nil
	}
	all, err := w.remote.TrustLists(ctx)
	if err != nil {
		return fmt.Errorf("the trust lists: %w", err)
	}
	var previous *trustlist.List
	for n, item := range all.Lists {
		list, err := trustlist.Verify(item.JWT, w.Anchor)
		if err == nil && previous != nil {
			err = trustlist.ValidateSuccessor(previous, list)
		}
		if err != nil {
			return &registry.DifferenceError{Index: item.Index, What: fmt.Sprintf("trust list version %d must not be in the log: %v", n+1, err)}
		}
		previous = list
		at := item.Index - w.span.From()
		if item.Index < w.span.From() || at >= uint64(len(w.span.Entries)) {
			continue
		}
		if string(w.span.Entries[at]) != string(list.Entry().Marshal()) {
			return fmt.Errorf("trust list version %d: the one served is not the one in the log", n+1)
		}
	}
	return nil
}

func orDefaultClient(c *http.Client) *http.Client {
	if c == nil {
		return http.DefaultClient
	}
	return c
}
