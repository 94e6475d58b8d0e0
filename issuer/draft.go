package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"akashi/attestation"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/schemas"
)

// draft is a row on its way to being an attestation.
type draft struct {
	row       int
	reference string
	typ       attestation.Type
	claims    any            // as the row gave them
	payload   map[string]any // claims; the members that signing adds come with [Issuer.complete]; nil once stored
	stream    attestation.Stream
	period    attestation.Period
	identity  string // what it speaks of, so that another one that differs is a correction; "" where each row is a fact of its own
	enrolment *Enrolment

	ladder   ladder
	content  []byte // what the digest covers
	digest   registry.Hash
	record   *record // once it has a rung, or from the import that issued it
	wrong    error   // why it cannot be attested
	last     *record // the latest about the same thing, from an earlier import
	free     int     // the rung after those of earlier imports
	earlier  bool    // record is from an earlier import
	replaces string  // ID of the record that this one supersedes
	sdJWT    string  // of an engagement, once issued
}

func (d *draft) isEngagement() bool { return d.typ == attestation.TypeEngagement }

// result says where the draft stands.
func (d *draft) result() RowResult {
	r := RowResult{Row: d.row, Status: StatusReady, Reference: d.reference, Engagement: d.enrolment.Engagement, Stream: d.stream, Period: d.period, Supersedes: d.replaces, SDJWT: d.sdJWT}
	if d.record == nil {
		return r
	}
	r.ID, r.J = d.record.ID, d.record.J
	if d.isEngagement() {
		r.Engagement = d.record.ID
	}
	switch {
	case d.record.ID == "":
	case d.record.NoRoom:
		r.Status = StatusNoRoom
	case !d.record.Logged:
		r.Status = StatusStored
	default:
		r.Status, r.Index, r.Confirmed = StatusLogged, &d.record.Index, d.record.Confirmed
		if d.earlier {
			r.Status = StatusAlready
		}
	}
	return r
}

// ladder is where the rungs of one period stand, or those of one contract's engagements.
type ladder struct {
	engagement string // ID; of engagements: the hash of the contract document
	stream     attestation.Stream
	period     attestation.Period
}

func (d *draft) setLadder() {
	d.ladder = ladder{d.enrolment.Engagement, d.stream, d.period}
	if d.isEngagement() {
		d.ladder.engagement = d.enrolment.Terms.ContractHash
	}
}

// place finds each draft's slot and completes its claims: the same content again is the record made before; other content about the same
// thing is a correction, which must be asked for; everything else takes the next rung of its ladder. Drafts that cannot be issued go
// into the report.
func (i *Issuer) place(ctx context.Context, o *org, drafts []*draft, opt Options, report *Report) ([]*draft, error) {
	if err := each(drafts, (*draft).state); err != nil {
		return nil, err
	}
	p := placer{o: o, opt: opt, report: report, times: map[registry.Hash]int{}, identities: map[string]int{}, references: map[string]int{}, next: map[ladder]int{}}
	for _, d := range drafts {
		p.digest(d)
	}
	if err := i.each(ctx, drafts, func(tx store.Tx, d *draft) error { return d.lookBack(tx, o.ID) }); err != nil {
		return nil, err
	}
	drafts, err := p.filter(ctx, i.Store, drafts, p.recognise)
	if err != nil {
		return nil, err
	}
	drafts = i.complete(o, drafts, report)
	if err := i.each(ctx, drafts, func(tx store.Tx, d *draft) (err error) {
		d.free, err = nextRung(tx, o.ID, d.ladder)
		return err
	}); err != nil {
		return nil, err
	}
	return p.filter(ctx, i.Store, drafts, p.rung)
}

type placer struct {
	o      *org
	opt    Options
	report *Report

	times      map[registry.Hash]int // rows of the file that say exactly this
	identities map[string]int        // row by what it speaks of
	references map[string]int        // row by reference, of engagements
	next       map[ladder]int        // free rung
}

// filter keeps the drafts that keep accepts.
func (p *placer) filter(ctx context.Context, s store.Store, drafts []*draft, keep func(store.Tx, *draft) (bool, error)) (kept []*draft, err error) {
	err = s.View(ctx, func(tx store.Tx) error {
		for _, d := range drafts {
			ok, err := keep(tx, d)
			if err != nil {
				return err
			}
			if ok {
				kept = append(kept, d)
			}
		}
		return nil
	})
	return kept, err
}

func (p *placer) refuse(d *draft, column, value, problem, remedy string) (bool, error) {
	p.report.refuse(d.row, column, value, problem, remedy)
	return false, nil
}

// recognise decides whether the draft is new, was issued before, or corrects something.
func (p *placer) recognise(tx store.Tx, d *draft) (bool, error) {
	if !d.isEngagement() {
		if !d.enrolment.fills(p.o, d.stream) {
			return p.refuse(d, "", string(d.stream), "in this engagement another organization makes these records", "leave the row to the organization that the engagement names")
		}
		if _, open := d.enrolment.Secrets[d.stream][d.period]; !open {
			return p.refuse(d, "", string(d.period), fmt.Sprintf("the slot %s %s is not open to this organization", d.stream, d.period),
				"check the dates; if they are right, the period is outside the contract, or the worker has not shown it: enrol again")
		}
	}
	// A record issued before may have been replaced since: only an explicit correction goes back to it.
	if d.earlier = d.record != nil; d.earlier && !(p.opt.Supersede && d.last != nil && d.last.ID != d.record.ID) {
		return true, nil
	}
	d.earlier, d.record = false, nil
	return p.isNew(tx, d)
}

// isNew checks a draft that was not issued before.
func (p *placer) isNew(tx store.Tx, d *draft) (bool, error) {
	if d.identity != "" {
		about := d.ladder.engagement + "\n" + d.identity
		if row, twice := p.identities[about]; twice {
			return p.refuse(d, "", d.identity, fmt.Sprintf("row %d speaks of the same", row), "leave one of them in the file")
		}
		p.identities[about] = d.row
	}
	switch {
	case d.last != nil && d.isEngagement():
		return p.refuse(d, "contract_hash", d.ladder.engagement, "an engagement with other terms or another key was issued for this contract document", "use the hash of the new contract document")
	case d.last != nil && !p.opt.Supersede:
		return p.refuse(d, "", d.identity, "this was attested before with other values",
			"if the row corrects it, import again with --supersede; the earlier record stays visible as replaced")
	case d.last != nil:
		d.payload["supersedes"], d.replaces = d.last.ID, d.last.ID
	}
	if !d.isEngagement() {
		return true, nil
	}
	if len(d.reference) > maxReference {
		return p.refuse(d, "reference", "", fmt.Sprintf("the number is longer than %d bytes", maxReference), "give the engagement a short number")
	}
	if row, twice := p.references[d.reference]; twice {
		return p.refuse(d, "reference", d.reference, fmt.Sprintf("row %d has this number too", row), "give each engagement a number of its own")
	}
	p.references[d.reference] = d.row
	switch _, err := tx.Get(enrolKey(p.o.ID, d.reference)); {
	case err == nil:
		return p.refuse(d, "reference", d.reference, errReference.Error(), "give the engagement another number")
	case !errors.Is(err, store.ErrNotFound):
		return false, err
	}
	return true, nil
}

// spell writes the claims out as the members of a JSON object.
func (d *draft) spell() (err error) {
	if d.payload, err = object(d.claims); err != nil {
		return err
	}
	if d.claims = nil; d.isEngagement() {
		delete(d.payload, "slots") // they come with their secrets
	}
	return nil
}

// state sets the draft's ladder and the content that its digest covers: what the row says and whom it concerns. Left out are the
// fingerprint of the row itself, which changes with every column that is not attested, and the signature in a delivery proof.
func (d *draft) state() error {
	if d.setLadder(); !d.isEngagement() {
		d.payload["engagement"] = d.enrolment.Engagement
	}
	content := maps.Clone(d.payload)
	delete(content, "ledger_row_hash")
	if _, ok := content["delivery_proof"]; ok {
		content["delivery_proof"] = d.enrolment.Delivery
	}
	text, err := json.Marshal(content) // maps are written in the order of their keys
	if err != nil {
		return err
	}
	d.content = fmt.Appendf(text, "\n%s\n%s\n%s\n%s", d.typ, d.ladder.stream, d.ladder.period, d.enrolment.Holder)
	d.digest = sha256.Sum256(d.content)
	return nil
}

// digest makes the digest of a draft without an identity its own: two credits alike on one day are two facts, so they are counted.
func (p *placer) digest(d *draft) {
	if d.identity != "" {
		return
	}
	p.times[d.digest]++
	if n := p.times[d.digest]; n > 1 {
		d.digest = sha256.Sum256(fmt.Appendf(d.content, "\n%d", n))
	}
}

// each calls fn for every draft, on all processors.
func each(drafts []*draft, fn func(*draft) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for part := range slices.Chunk(drafts, 64) {
		g.Go(func() error {
			for _, d := range part {
				if err := fn(d); err != nil {
					return fmt.Errorf("row %d: %w", d.row, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// each is [each] with a look into the store.
func (i *Issuer) each(ctx context.Context, drafts []*draft, fn func(store.Tx, *draft) error) error {
	return each(drafts, func(d *draft) error {
		return i.Store.View(ctx, func(tx store.Tx) error { return fn(tx, d) })
	})
}

// lookBack finds what was issued before: the record with this content, and the latest about the same thing.
func (d *draft) lookBack(tx store.Tx, orgID string) (err error) {
	if d.record, err = recordOf(tx, orgID, d.digest); err == nil {
		d.last, err = lastAbout(tx, orgID, d)
	}
	return err
}

// lastAbout returns the latest record about the same thing, or nil.
func lastAbout(tx store.Tx, orgID string, d *draft) (*record, error) {
	if d.identity == "" {
		return nil, nil
	}
	return follow(tx, identityKey(orgID, d.ladder.engagement, d.identity))
}

// rung gives a new draft the next free rung of its ladder.
func (p *placer) rung(_ store.Tx, d *draft) (bool, error) {
	if d.earlier {
		return true, nil
	}
	j, known := p.next[d.ladder]
	if !known {
		j = d.free
	}
	if j >= registry.MaxRungs {
		return p.refuse(d, "", string(d.period), fmt.Sprintf("the period has %d records, which is all it can hold", j), "check whether rows were imported by mistake; ask the registry's operator")
	}
	p.next[d.ladder] = j + 1
	d.record = &record{Type: d.typ, Engagement: d.ladder.engagement, Digest: d.digest, Identity: d.identity, Stream: d.stream, Period: d.period, J: j}
	return true, nil
}

const (
	maxClaims = 4500 // bytes of a row's claims whose disclosures fit into box B
	maxSlots  = 300  // of an engagement whose JWT fits into box A: seven years
)

// complete adds what signing needs to the claims of new drafts, and checks them by the schema of their type. It comes before anything is
// signed, so that a row that cannot be attested stops the file as any other bad row does.
func (i *Issuer) complete(o *org, drafts []*draft, report *Report) []*draft {
	day := roundToDay(i.Now())
	_ = each(drafts, func(d *draft) error {
		if !d.earlier {
			d.wrong = i.completeOne(o, d, day)
		}
		return nil
	})
	var kept []*draft
	for _, d := range drafts {
		if d.wrong != nil {
			report.refuse(d.row, "", "", d.wrong.Error(), "correct the row; the place is the member's name in the attestation")
			continue
		}
		kept = append(kept, d)
	}
	return kept
}

func (i *Issuer) completeOne(o *org, d *draft, day int64) error {
	if d.isEngagement() {
		if err := i.newSlots(o, d.enrolment, d.payload); err != nil {
			return err
		}
	} else if len(d.content) > maxClaims {
		return fmt.Errorf("the row says more than the %d bytes that an attestation can hold", maxClaims)
	}
	d.payload["vct"], d.payload["iss"], d.payload["iat"] = d.typ.VCT(), o.Issuer, day
	d.payload["vct#integrity"] = typeIntegrity(d.typ)
	d.payload["cnf"] = d.enrolment.cnf
	return schemas.ValidateClaims(d.typ.VCT(), d.payload)
}

// fresh returns the drafts that are to be issued.
func fresh(drafts []*draft) []*draft {
	return slices.DeleteFunc(slices.Clone(drafts), func(d *draft) bool { return d.earlier })
}
