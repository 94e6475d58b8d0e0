package wallet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"akashi/internal/store"
	"akashi/registry"
)

// Buckets is a registry of which whole buckets can be had; [registry.Client] is one.
type Buckets interface {
	LatestHead(ctx context.Context) (*registry.HeadProof, error)
	Bucket(ctx context.Context, prefix registry.Key, bits int) (*registry.BucketResponse, error)
}

var (
	// ErrNotProven is returned when an answer of the registry does not hold under the policies that the wallet has pinned.
	ErrNotProven = errors.New("the registry's answer is not proven by the witnesses and auditors that this wallet trusts: do not go on, and ask for help")
	// ErrOldHead is returned when the registry shows an earlier state than the wallet has seen, or another one of the same size.
	ErrOldHead = errors.New("the registry shows an earlier state than before, or another one: try again later, and ask for help if it stays so")
	// ErrPinned is returned by Pin for a wallet that has other policies.
	ErrPinned = errors.New("the wallet has pinned other policies already")
)

// pins are the policies under which the registry's proofs must hold.
type pins struct{ witnesses, auditors *registry.Policy }

// Pin fixes the witnesses and auditors whose cosignatures this wallet believes. From then on it reads whole buckets, so that the registry
// does not learn which keys it wants, and checks every proof. Without it the wallet asks for single keys and takes the registry's word.
func (w *Wallet) Pin(ctx context.Context, witnesses, auditors *registry.Policy) error {
	if err := registry.CheckPair(witnesses, auditors); err != nil {
		return err
	}
	if witnesses.Origin != w.settings.Origin {
		return fmt.Errorf("the policy is for the registry %q, this wallet for %q", witnesses.Origin, w.settings.Origin)
	}
	s := w.settings
	s.Witnesses, s.Auditors = string(witnesses.Marshal()), string(auditors.Marshal())
	if w.pins != nil && (s.Witnesses != w.settings.Witnesses || s.Auditors != w.settings.Auditors) {
		return ErrPinned
	}
	if err := w.Store.Update(ctx, func(tx store.Tx) error { return store.SetJSON(tx, []byte(keySettings), s) }); err != nil {
		return err
	}
	w.settings = s
	return w.loadPins()
}

// Pinned reports whether the wallet checks the registry's proofs.
func (w *Wallet) Pinned() bool { return w.pins != nil }

func (w *Wallet) loadPins() error {
	if w.settings.Witnesses == "" {
		return nil
	}
	witnesses, err := registry.ParsePolicy([]byte(w.settings.Witnesses))
	if err != nil {
		return err
	}
	auditors, err := registry.ParsePolicy([]byte(w.settings.Auditors))
	w.pins = &pins{witnesses, auditors}
	return err
}

// prove says of an error of package registry what the worker needs to know.
func prove(err error) error {
	if err != nil {
		return errors.Join(ErrNotProven, err)
	}
	return nil
}

// seenHead is the newest state of the registry that the wallet has seen.
type seenHead struct {
	Size uint64        `json:"size"`
	Root registry.Hash `json:"root"`
}

// see verifies a head and refuses one that is older than what the wallet has seen.
func (w *Wallet) see(ctx context.Context, proof registry.HeadProof) (*registry.VerifiedHead, error) {
	h, err := registry.VerifyHead(proof, w.pins.witnesses, w.pins.auditors)
	if err != nil {
		return nil, prove(err)
	}
	now := seenHead{h.Checkpoint.Size, h.Checkpoint.Root}
	return h, w.Store.Update(ctx, func(tx store.Tx) error {
		var before seenHead
		err := store.GetJSON(tx, []byte(keySeen), &before)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case now.Size < before.Size || now.Size == before.Size && now.Root != before.Root:
			return ErrOldHead
		case now == before:
			return nil
		}
		return store.SetJSON(tx, []byte(keySeen), now)
	})
}

// reader reads slots for one command.
type reader struct {
	w       *Wallet
	bits    int // of the prefixes of the buckets, once a head is known
	buckets map[registry.Key]*readBucket
	asOf    time.Time // of the oldest head that something was read under
}

// readBucket is a bucket that was verified, with the records of its members once they were needed.
type readBucket struct {
	*registry.Bucket
	records map[registry.Key]*registry.MemberProof
}

// keptBits is the longest prefix for which records are kept for the rest of the command: with longer ones the next key is hardly ever in the
// same bucket, and all records of many buckets take much memory.
const keptBits = 4

func (w *Wallet) reader() *reader {
	return &reader{w: w, buckets: map[registry.Key]*readBucket{}}
}

// lookup returns what stands at the keys; a nil member stands for nothing.
func (r *reader) lookup(ctx context.Context, wanted []registry.Key) ([]*registry.MemberProof, error) {
	if r.w.pins == nil {
		resp, err := r.w.ask(ctx, wanted)
		if err != nil {
			return nil, err
		}
		members := make([]*registry.MemberProof, len(wanted))
		for n, result := range resp.Results {
			members[n] = result.Member
		}
		return members, nil
	}
	members := make([]*registry.MemberProof, len(wanted))
	for n, key := range wanted {
		b, err := r.bucket(ctx, key)
		if err != nil {
			return nil, err
		}
		index, value, ok, err := b.Find(key)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		records, err := r.records(ctx, b)
		if err != nil {
			return nil, err
		}
		m := records[key]
		if m == nil || m.Index != index || m.Value != value {
			return nil, fmt.Errorf("%w: a record is another than the map says", ErrNotProven)
		}
		members[n] = m
	}
	return members, nil
}

// ask looks up keys one by one, visible to the registry.
func (w *Wallet) ask(ctx context.Context, wanted []registry.Key) (*registry.LookupResponse, error) {
	resp, err := w.Registry.Lookup(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if len(resp.Results) != len(wanted) {
		return nil, fmt.Errorf("%w: it is not about the slots that were asked for", registry.ErrAnswer)
	}
	for n, r := range resp.Results {
		if r.Key != wanted[n] {
			return nil, fmt.Errorf("%w: it is not about the slots that were asked for", registry.ErrAnswer)
		}
	}
	return resp, nil
}

// bucket returns the verified bucket of a key.
func (r *reader) bucket(ctx context.Context, key registry.Key) (*readBucket, error) {
	source, ok := r.w.Registry.(Buckets)
	if !ok {
		return nil, errors.New("the registry gives no buckets, by which this wallet reads")
	}
	if r.bits == 0 {
		proof, err := source.LatestHead(ctx)
		if err != nil {
			return nil, err
		}
		head, err := r.see(ctx, *proof)
		if err != nil {
			return nil, err
		}
		r.bits = registry.BucketBits(head.MapSize)
	}
	prefix := key.PrefixBits(r.bits)
	if b := r.buckets[prefix]; b != nil {
		return b, nil
	}
	resp, err := source.Bucket(ctx, prefix, r.bits)
	if err != nil {
		return nil, err
	}
	head, err := r.see(ctx, resp.Head)
	if err != nil {
		return nil, err
	}
	b, err := registry.VerifyBucket(head.MapRoot, prefix, r.bits, resp.Bucket)
	if err != nil {
		return nil, prove(err)
	}
	r.buckets[prefix] = &readBucket{Bucket: b}
	return r.buckets[prefix], nil
}

func (r *reader) see(ctx context.Context, proof registry.HeadProof) (*registry.VerifiedHead, error) {
	head, err := r.w.see(ctx, proof)
	if err != nil {
		return nil, err
	}
	if at, _ := head.Checkpoint.NotLargerAt(); r.asOf.IsZero() || at.Before(r.asOf) {
		r.asOf = at
	}
	return head, nil
}

// records looks up all members of a bucket, wanted or not, and checks the proof of each.
func (r *reader) records(ctx context.Context, b *readBucket) (map[registry.Key]*registry.MemberProof, error) {
	if b.records != nil {
		return b.records, nil
	}
	all := make([]registry.Key, len(b.Members))
	for n, m := range b.Members {
		all[n] = m.Key
	}
	records := make(map[registry.Key]*registry.MemberProof, len(all))
	for len(all) > 0 {
		part := all[:min(len(all), registry.MaxLookupKeys)]
		all = all[len(part):]
		resp, err := r.w.ask(ctx, part)
		if err != nil {
			return nil, err
		}
		head, err := r.see(ctx, resp.Head)
		if err != nil {
			return nil, err
		}
		results, err := head.VerifyAll(part, resp.Results)
		if err != nil {
			return nil, err
		}
		for _, result := range results {
			if result.Standing != registry.ProvenMember {
				return nil, fmt.Errorf("%w: a member of the map is not shown: %w", ErrNotProven, result.Err)
			}
			records[result.Key] = result.Record
		}
	}
	if r.bits <= keptBits {
		b.records = records
	}
	return records, nil
}

// checkLists checks that the log has each version of the trust list where the registry says.
func (p *pins) checkLists(resp *registry.TrustListsResponse, entries []registry.ListEntry) error {
	c, err := registry.VerifyCheckpoint(resp.Checkpoint, p.witnesses, p.auditors)
	if err != nil {
		return prove(err)
	}
	for n, item := range resp.Lists {
		if err := registry.VerifyInclusion(entries[n].Marshal(), item.Index, c.Size, item.Inclusion, c.Root); err != nil {
			return fmt.Errorf("%w: trust list %d: %w", ErrNotProven, entries[n].N, err)
		}
	}
	return nil
}
