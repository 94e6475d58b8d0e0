package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// SyncReport says what a sync found.
type SyncReport struct {
	New         []Item         `json:"new"`
	Incomplete  int            `json:"incomplete"`  // of the new ones: without all their disclosures; the issuer has them
	Junk        []string       `json:"junk"`        // slots found now that hold no attestation of this engagement: stream, period and rung
	Unavailable []string       `json:"unavailable"` // slots that are taken, by what the registry does not give; asked for again
	Sent        int            `json:"sent"`        // own statements that got their receipt now
	Statuses    []StatusChange `json:"statuses"`    // credentials that were suspended, revoked or made valid again since they were last asked about

	// Proven says that whole buckets were read and every proof checked; else single keys were asked for, and the registry believed. AsOf is the
	// time until which the registry's answers are complete, as the witnesses say.
	Proven bool       `json:"proven"`
	AsOf   *time.Time `json:"as_of,omitempty"`
}

// Sync reads the slots of every engagement from the registry, stores what is new, and sends own statements that have no receipt yet. It asks about
// the status of other credentials where a service on the trust list serves the list, and never an issuer.
func (w *Wallet) Sync(ctx context.Context) (*SyncReport, error) {
	report := &SyncReport{New: []Item{}, Junk: []string{}, Unavailable: []string{}, Statuses: []StatusChange{}}
	err := w.collectAll(ctx, report)
	settled := newCollected()
	err = errors.Join(err, w.takeWaiting(ctx, settled))
	report.New = append(report.New, settled.Items...)
	sent, flushErr := w.flush(ctx)
	report.Sent = sent
	return report, errors.Join(err, w.askStatuses(ctx, report), flushErr)
}

func (w *Wallet) collectAll(ctx context.Context, report *SyncReport) error {
	history, err := w.trust(ctx)
	if err != nil {
		return err
	}
	engagements, err := w.engagements(ctx)
	if err != nil {
		return err
	}
	reader := w.reader()
	for _, it := range engagements {
		s := syncing{w: w, reader: reader, engagement: it.ID, history: history, report: report}
		if s.terms, err = it.terms(); err != nil {
			return err
		}
		if err := s.run(ctx); err != nil {
			return err
		}
	}
	if report.Proven = w.Pinned(); !reader.asOf.IsZero() {
		report.AsOf = &reader.asOf
	}
	return nil
}

// terms returns the claims of an engagement.
func (it *Item) terms() (*attestation.Engagement, error) {
	var claims map[string]any
	if err := keys.DecodeJSON(it.Claims, &claims); err != nil {
		return nil, err
	}
	e, err := attestation.Decode(attestation.TypeEngagement.VCT(), claims)
	if err != nil {
		return nil, err
	}
	return e.(*attestation.Engagement), nil
}

// syncing is the reading of one engagement's slots.
type syncing struct {
	w          *Wallet
	reader     *reader
	engagement string // ID
	terms      *attestation.Engagement
	history    *trustlist.History
	report     *SyncReport
	known      map[string]bool // rungs whose content is settled, by String
}

// rung is one place to look at.
type rung struct {
	stream attestation.Stream
	period attestation.Period
	j      int
	secret registry.Secret // of the period
	writer string
}

func (r rung) slot() (registry.Secret, registry.Key) {
	s := registry.SlotSecret(r.secret, r.j)
	return s, registry.KeyOf(r.writer, s.Find())
}

func (r rung) String() string { return fmt.Sprintf("%s %s %02d", r.stream, r.period, r.j) }

// run looks at all ladders together: the first rung of each that is not settled, then the next one of those that had a member there.
// Rungs whose content is settled, junk among it, are never asked for again.
func (s *syncing) run(ctx context.Context) error {
	if err := s.loadKnown(ctx); err != nil {
		return err
	}
	front := s.first()
	for len(front) > 0 {
		batch := front[:min(len(front), registry.MaxLookupKeys)]
		front = front[len(batch):]
		wanted := make([]registry.Key, len(batch))
		for n, r := range batch {
			_, wanted[n] = r.slot()
		}
		members, err := s.reader.lookup(ctx, wanted)
		if err != nil {
			return err
		}
		if err := s.take(ctx, batch, members); err != nil {
			return err
		}
		for n, r := range batch {
			if members[n] == nil {
				continue
			}
			r.j++
			if r = s.skipKnown(r); r.j < registry.MaxRungs {
				front = append(front, r)
			}
		}
	}
	return nil
}

func (s *syncing) prefix() string { return prefixRung + s.engagement + "/" }

func (s *syncing) loadKnown(ctx context.Context) error {
	s.known = map[string]bool{}
	return s.w.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(s.prefix()), func(key, _ []byte) error {
			s.known[strings.TrimPrefix(string(key), s.prefix())] = true
			return nil
		})
	})
}

func (s *syncing) skipKnown(r rung) rung {
	for r.j < registry.MaxRungs && s.known[r.String()] {
		r.j++
	}
	return r
}

// first returns the first rung of every ladder that is not settled.
func (s *syncing) first() []rung {
	supportID := ""
	if s.terms.HasSupport() {
		supportID = s.terms.Support.ID
	}
	var out []rung
	for _, stream := range attestation.Streams {
		writer := registry.WriterOf(stream, s.terms.Employer.ID, supportID)
		for period := range s.terms.Slots[stream] {
			secret, ok := opened(s.terms, stream, period)
			if r := s.skipKnown(rung{stream, period, 0, secret, writer}); ok && r.j < registry.MaxRungs {
				out = append(out, r)
			}
		}
	}
	slices.SortFunc(out, func(a, b rung) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// take stores what the members of a batch hold.
func (s *syncing) take(ctx context.Context, batch []rung, members []*registry.MemberProof) error {
	var found []content
	for n, r := range batch {
		if members[n] != nil {
			found = append(found, s.open(r, members[n]))
		}
	}
	if len(found) == 0 {
		return nil
	}
	var fresh []Item
	err := s.w.Store.Update(ctx, func(tx store.Tx) error {
		fresh = nil
		for _, c := range found {
			item, err := s.save(tx, c)
			if err != nil {
				return err
			}
			if item != nil {
				fresh = append(fresh, *item)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.say(found, fresh)
	return nil
}

func (s *syncing) say(found []content, fresh []Item) {
	for _, c := range found {
		switch {
		case c.item == nil && c.settled:
			s.report.Junk = append(s.report.Junk, c.rung.String())
		case c.item == nil:
			s.report.Unavailable = append(s.report.Unavailable, c.rung.String())
		}
	}
	for _, it := range fresh {
		s.report.New = append(s.report.New, it)
		if !it.Complete {
			s.report.Incomplete++
		}
	}
}

// save stores one rung. It returns the item when the wallet did not hold it, or not with all its disclosures.
func (s *syncing) save(tx store.Tx, c content) (*Item, error) {
	if c.settled {
		id := ""
		if c.item != nil {
			id = c.item.ID
		}
		if err := tx.Set([]byte(s.prefix()+c.rung.String()), []byte(id)); err != nil {
			return nil, err
		}
	}
	if c.item == nil {
		return nil, nil
	}
	var old Item
	switch err := store.GetJSON(tx, []byte(prefixItem+c.item.ID), &old); {
	case err == nil && (old.Complete || !c.item.Complete):
		return nil, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return c.item, saveItem(tx, *c.item)
}

// content is what a rung holds: an attestation, or nothing that counts.
type content struct {
	rung rung
	item *Item // nil for junk, and for what the registry does not give
	// settled says that the rung need not be asked for again. It is not where the registry withholds a box, which it may give later.
	settled bool
}

// errJunk is returned for an entry that holds no attestation of this engagement.
var errJunk = errors.New("no attestation of this engagement")

// open opens the member at a rung.
func (s *syncing) open(r rung, m *registry.MemberProof) content {
	c := content{rung: r}
	if m.A == nil || !m.MatchesValue() { // also where the registry says that it was erased: an attestation cannot be
		return c
	}
	withheld := registry.HashOf(m.B) != m.HB
	d, err := s.document(r, m, withheld)
	if err == nil {
		c.item, err = d.item(s.w.Now())
	}
	if err != nil {
		c.item, c.settled = nil, true
		return c
	}
	c.settled = !withheld
	c.item.Stream, c.item.Period, c.item.J, c.item.Index, c.item.Proven = r.stream, r.period, r.j, &m.Index, s.w.Pinned()
	return c
}

// document returns the attestation in the boxes.
func (s *syncing) document(r rung, m *registry.MemberProof, withheld bool) (*document, error) {
	secret, key := r.slot()
	jwt, err := registry.OpenA(secret, key, m.A)
	if err != nil {
		return nil, err
	}
	list := s.history.At(m.Index)
	if list == nil {
		return nil, errJunk
	}
	compact := jwt + "~"
	if !withheld {
		if disclosures, err := registry.OpenB(s.w.delivery, key, m.B); err == nil && len(disclosures) > 0 {
			compact += strings.Join(disclosures, "~") + "~"
		}
	}
	d, err := s.w.verify(compact, list)
	if err != nil && compact != jwt+"~" {
		d, err = s.w.verify(jwt+"~", list) // disclosures that do not fit are not the worker's loss
	}
	if err != nil {
		return nil, err
	}
	return d, s.belongs(r, d)
}

// belongs checks that the attestation is one of the stream, about this engagement, by a party that fills the stream.
func (s *syncing) belongs(r rung, d *document) error {
	if d.typ != r.stream.Type() || attestation.LinksOf(d.claims).Engagement != s.engagement {
		return errJunk
	}
	role := r.stream.Filler(s.terms.HasSupport())
	if registry.WriterFor(role, d.issuer.ID) != r.writer {
		return errJunk
	}
	return d.mayAttest(role)
}
