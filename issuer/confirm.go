package issuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"akashi/internal/keys"
	"akashi/internal/store"
	"akashi/registry"
)

var (
	// ErrNotLogged is returned by Flush when receipts were false: the audited map has nothing in the slot, or another record. The records are
	// sent again.
	ErrNotLogged = errors.New("the registry gave receipts for records that the audited map does not have; they are sent again: keep the log of this and tell the auditors")
	// ErrNotTaken is returned by Flush when the registry refuses a record because of another one that the audited map does not have.
	ErrNotTaken = errors.New("the registry says that slots are taken which the audited map shows to be empty: keep the log of this and tell the auditors")
	// ErrOldHead is returned when the registry shows an earlier state than before, or none of the last day.
	ErrOldHead = errors.New("the registry shows an old state, or another one than before: if it stays so, tell its operator and the auditors")
)

const (
	// overdue is how long after its receipt a record must be covered by a head, whatever index the receipt names. A registry closes one every minute.
	overdue = time.Hour
	// freshFor is how old a head may be that is all the registry has to show.
	freshFor = 24 * time.Hour
)

// seenHead is the newest state of the registry that the issuer has seen.
type seenHead struct {
	Size uint64        `json:"size"`
	Root registry.Hash `json:"root"`
}

// before reports whether s cannot follow old: it is smaller, or another one of the same size.
func (s seenHead) before(old seenHead) bool {
	return s.Size < old.Size || s.Size == old.Size && s.Root != old.Root
}

// lookup asks for the keys and returns what is proven of them. Lookups run side by side and their answers cross, so a head is measured by what
// was seen when the question was asked.
func (i *Issuer) lookup(ctx context.Context, asked []registry.Key) (*registry.VerifiedLookup, error) {
	var old seenHead
	if err := i.get(ctx, []byte(keySeenHead), &old); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	resp, err := i.Registry.Lookup(ctx, asked)
	if err != nil {
		return nil, err
	}
	look, err := registry.VerifyLookup(resp, asked, i.Policy, i.Auditors)
	if err != nil {
		return nil, err
	}
	now := seenHead{look.Head.Checkpoint.Size, look.Head.Checkpoint.Root}
	if now.before(old) {
		return nil, ErrOldHead
	}
	return look, i.see(ctx, now)
}

// see stores the state unless a newer one is stored.
func (i *Issuer) see(ctx context.Context, now seenHead) error {
	return i.Store.Update(ctx, func(tx store.Tx) error {
		var newest seenHead
		if err := store.GetJSON(tx, []byte(keySeenHead), &newest); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if now.Size <= newest.Size {
			return nil
		}
		return store.SetJSON(tx, []byte(keySeenHead), now)
	})
}

func keysOf(records []*record) []registry.Key {
	out := make([]registry.Key, len(records))
	for n, r := range records {
		out[n] = r.Key
	}
	return out
}

// holds is what a record's slot is proven to hold.
type holds int

const (
	holdsUnknown holds = iota // it is not proven, or not shown what
	holdsNothing
	holdsOurs    // the record, or its JWT in other octets
	holdsAnother // another one, which was shown
)

// inspect says what the slot of r holds. Another record is one only when it is shown whole: an erased one might be ours, sealed before, and
// the registry's word for it moves nothing.
func (s *sender) inspect(ctx context.Context, r *record, result *registry.VerifiedResult) (holds, error) {
	switch result.Standing {
	case registry.ProvenAbsent:
		return holdsNothing, nil
	case registry.NotShown:
		return holdsUnknown, nil
	}
	own, err := s.value(ctx, r)
	if err != nil || own == result.Value {
		return holdsOurs, err
	}
	a, ok := result.Sealed()
	if !ok {
		return holdsUnknown, nil
	}
	e, err := s.enrolment(ctx, r)
	if err != nil {
		return holdsUnknown, err
	}
	secret, err := r.secret(e)
	if err != nil {
		return holdsUnknown, err
	}
	if jwt, err := registry.OpenA(secret, r.Key, a); err == nil {
		if id, err := keys.ID(jwt); err == nil && id == r.ID {
			return holdsOurs, nil
		}
	}
	return holdsAnother, nil
}

// value returns what the log commits to when it has the octets that were sent.
func (s *sender) value(ctx context.Context, r *record) (v registry.Value, err error) {
	err = s.i.Store.View(ctx, func(tx store.Tx) error {
		o, err := loadOctets(tx, s.o.ID, r)
		v = registry.ValueOf(o.a, o.b)
		return err
	})
	return v, err
}

// confirm looks up all records of the organization whose receipts are not confirmed, and puts those back among the unsent whose receipts are
// false. Imports go on while it waits for the registry.
func (i *Issuer) confirm(ctx context.Context, o *org) error {
	c := confirmer{sender: i.sender(o)}
	var after []byte
	for {
		batch, last, err := c.next(ctx, after)
		if err != nil || len(batch) == 0 {
			return errors.Join(c.doubt, err)
		}
		if err := c.confirmAll(ctx, batch); err != nil {
			return errors.Join(c.doubt, err)
		}
		after = last
	}
}

// confirmer is one run of [Issuer.confirm].
type confirmer struct {
	*sender
	doubt error // the first for each kind of finding that speaks against the registry
}

func (c *confirmer) report(err error) {
	if err != nil && !errors.Is(c.doubt, err) {
		c.doubt = errors.Join(c.doubt, err)
	}
}

// errWithheld is reported for a slot that holds another record than the receipt says, of which the registry does not give the box.
var errWithheld = fmt.Errorf("%w: a slot holds another record than its receipt says, and it is not shown which", registry.ErrNotProven)

// next returns the unconfirmed records after the key, as many as one lookup may name.
func (c *confirmer) next(ctx context.Context, after []byte) (batch []*record, last []byte, err error) {
	err = c.i.Store.View(ctx, func(tx store.Tx) error {
		return tx.Scan([]byte(prefixUnconfirmed+c.o.ID+"/"), func(key, slot []byte) error {
			if string(key) <= string(after) {
				return nil
			}
			r := new(record)
			if err := store.GetJSON(tx, slot, r); err != nil {
				return err
			}
			batch, last = append(batch, r), append([]byte(nil), key...)
			if len(batch) == registry.MaxLookupKeys {
				return store.ErrStop
			}
			return nil
		})
	})
	return batch, last, err
}

// confirmAll judges a batch by one lookup.
func (c *confirmer) confirmAll(ctx context.Context, batch []*record) error {
	look, err := c.i.lookup(ctx, keysOf(batch))
	if err != nil {
		return err
	}
	var change, move []*record
	for n, r := range batch {
		result := &look.Results[n]
		what, err := c.inspect(ctx, r, result)
		if err != nil {
			return err
		}
		switch {
		case what == holdsOurs:
			r.Confirmed, r.Index = true, result.Index
			change = append(change, r)
		case what == holdsAnother:
			r.Logged = false
			change, move = append(change, r), append(move, r)
			c.report(ErrNotLogged)
		case what == holdsNothing && mustHave(look.Head, r):
			r.Logged = false
			change = append(change, r)
			c.report(ErrNotLogged)
		default:
			c.report(c.whyWaiting(look.Head, result))
		}
	}
	return c.apply(ctx, change, move)
}

// apply stores what was found, and moves the records whose slots others hold.
func (c *confirmer) apply(ctx context.Context, change, move []*record) error {
	defer c.i.imports.lock(c.o.ID)()
	if err := c.change(ctx, change); err != nil {
		return err
	}
	for _, r := range move {
		if err := c.moveUp(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// mustHave reports whether the head must cover the record if its receipt is true.
func mustHave(head *registry.VerifiedHead, r *record) bool {
	at, _ := head.Checkpoint.NotLargerAt()
	return head.Covered > r.Index || at.After(time.Unix(r.Receipt, 0).Add(overdue))
}

// whyWaiting says what speaks against the registry that has not shown a record; nil for a head that is only a little too early.
func (c *confirmer) whyWaiting(head *registry.VerifiedHead, result *registry.VerifiedResult) error {
	switch result.Standing {
	case registry.NotShown:
		return fmt.Errorf("%w: %w", registry.ErrNotProven, result.Err)
	case registry.ProvenMember:
		return errWithheld
	}
	if at, _ := head.Checkpoint.NotLargerAt(); c.i.Now().Sub(at) > freshFor {
		return ErrOldHead
	}
	return nil
}

// change stores what became of records, except those that another run has changed meanwhile.
func (c *confirmer) change(ctx context.Context, records []*record) error {
	if len(records) == 0 {
		return nil
	}
	return c.i.Store.Update(ctx, func(tx store.Tx) error {
		for _, r := range records {
			now := new(record)
			err := store.GetJSON(tx, r.slot(c.o.ID), now)
			if errors.Is(err, store.ErrNotFound) || err == nil && (now.ID != r.ID || !now.Logged || now.Confirmed || now.Receipt != r.Receipt) {
				continue
			}
			if err := errors.Join(err, r.save(tx, c.o.ID, nil)); err != nil {
				return err
			}
		}
		return nil
	})
}
