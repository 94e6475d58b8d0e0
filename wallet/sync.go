package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// SyncReport says what a sync found.
type SyncReport struct {
	New        []Item   `json:"new"`
	Incomplete int      `json:"incomplete"` // of the new ones: known by their visible claims only
	Junk       []string `json:"junk"`       // slots that hold something that is no attestation: stream, period and rung
	Sent       int      `json:"sent"`       // own statements that got their receipt now
}

// Sync reads the slots of every engagement from the registry, stores what is new, and sends own statements that have no receipt yet.
func (w *Wallet) Sync(ctx context.Context) (*SyncReport, error) {
	report := &SyncReport{New: []Item{}, Junk: []string{}}
	list, err := w.trust(ctx)
	if err != nil {
		return nil, err
	}
	engagements, err := w.engagements(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range engagements {
		if err := w.syncEngagement(ctx, e, list, report); err != nil {
			return nil, err
		}
	}
	report.Sent, err = w.flush(ctx)
	return report, err
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

func (r rung) String() string { return fmt.Sprintf("%s %s rung %d", r.stream, r.period, r.j) }

// syncEngagement looks at all ladders of one engagement together: rung 0 of each, then the next rung of those that had one. Rungs whose
// attestation the wallet holds already are asked for again only as part of their ladder's start.
func (w *Wallet) syncEngagement(ctx context.Context, it Item, list *trustlist.List, report *SyncReport) error {
	e, err := it.terms()
	if err != nil {
		return err
	}
	held, err := w.heldRungs(ctx, it.ID)
	if err != nil {
		return err
	}
	front := firstRungs(e, held)
	for len(front) > 0 {
		batch := front[:min(len(front), registry.MaxLookupKeys)]
		front = front[len(batch):]
		wanted := make([]registry.Key, len(batch))
		for n, r := range batch {
			_, wanted[n] = r.slot()
		}
		resp, err := w.Registry.Lookup(ctx, wanted)
		if err != nil {
			return err
		}
		if len(resp.Results) != len(batch) {
			return errors.New("the registry's answer is not about what was asked")
		}
		for n, r := range batch {
			m := resp.Results[n].Member
			if m == nil {
				continue
			}
			if err := w.collect(ctx, it, r, m, list, report); err != nil {
				return err
			}
			if r.j++; r.j < registry.MaxRungs {
				front = append(front, r)
			}
		}
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

// heldRungs returns how many rungs of each ladder the wallet has, without a gap from rung 0 on.
func (w *Wallet) heldRungs(ctx context.Context, engagement string) (map[string]int, error) {
	items, err := w.List(ctx)
	if err != nil {
		return nil, err
	}
	have := map[string]map[int]bool{}
	for _, it := range items {
		if it.Engagement != engagement || it.Stream == "" {
			continue
		}
		ladder := string(it.Stream) + " " + string(it.Period)
		if have[ladder] == nil {
			have[ladder] = map[int]bool{}
		}
		have[ladder][it.J] = true
	}
	out := map[string]int{}
	for ladder, js := range have {
		for js[out[ladder]] {
			out[ladder]++
		}
	}
	return out, nil
}

func firstRungs(e *attestation.Engagement, held map[string]int) []rung {
	supportID := ""
	if e.HasSupport() {
		supportID = e.Support.ID
	}
	var out []rung
	for _, stream := range attestation.Streams {
		writer := registry.WriterOf(stream, e.Employer.ID, supportID)
		for period := range e.Slots[stream] {
			text, ok := e.Opened(stream, period)
			var s registry.Secret
			if !ok || s.UnmarshalText([]byte(text)) != nil {
				continue
			}
			if j := held[string(stream)+" "+string(period)]; j < registry.MaxRungs {
				out = append(out, rung{stream, period, j, s, writer})
			}
		}
	}
	slices.SortFunc(out, func(a, b rung) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// collect stores the attestation of one member, or notes that the slot holds junk.
func (w *Wallet) collect(ctx context.Context, engagement Item, r rung, m *registry.MemberProof, list *trustlist.List, report *SyncReport) error {
	it, err := w.open(engagement, r, m, list)
	if err != nil {
		report.Junk = append(report.Junk, r.String())
		return nil
	}
	report.New = append(report.New, *it)
	if !it.Complete {
		report.Incomplete++
	}
	return w.Store.Update(ctx, func(tx store.Tx) error { return saveItem(tx, *it) })
}

// errJunk is returned for a member that holds no attestation of this engagement.
var errJunk = errors.New("no attestation of this engagement")

func (w *Wallet) open(engagement Item, r rung, m *registry.MemberProof, list *trustlist.List) (*Item, error) {
	if m.A == nil || !m.MatchesValue() {
		return nil, errJunk
	}
	s, key := r.slot()
	jwt, err := registry.OpenA(s, key, m.A)
	if err != nil {
		return nil, err
	}
	compact, complete := jwt+"~", false
	if len(m.B) > 0 {
		if disclosures, err := registry.OpenB(w.delivery, key, m.B); err == nil {
			compact, complete = jwt+"~"+strings.Join(disclosures, "~")+"~", true
		}
	}
	v, entity, err := w.verify(compact, list)
	if err != nil && complete {
		compact, complete = jwt+"~", false // disclosures that do not fit are not the worker's loss
		v, entity, err = w.verify(compact, list)
	}
	if err != nil {
		return nil, err
	}
	typ, _, err := decode(v)
	if err != nil {
		return nil, err
	}
	if typ != r.stream.Type() || v.Claims["engagement"] != engagement.ID {
		return nil, errJunk
	}
	claims, err := json.Marshal(v.Claims)
	if err != nil {
		return nil, err
	}
	return &Item{ID: v.ID, Type: typ, Claims: claims, Engagement: engagement.ID, Stream: r.stream, Period: r.period, J: r.j, Issuer: entity.ID,
		Received: w.Now(), Index: &m.Index, Complete: complete, SDJWT: compact}, nil
}
