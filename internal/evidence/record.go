package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/registry"
)

// What a record belongs to.
type belongs int

const (
	ofLadder    belongs = iota // of engagements of one contract
	ofSlot                     // of the plan
	ofStatement                // of the worker
)

// slot is a slot of the plan that was opened and bears on the months under judgement.
type slot struct {
	stream attestation.Stream
	period attestation.Period
	secret registry.Secret
	rungs  []*rung // members
	closed bool    // the rung after the last is proven empty, or there is none
}

// rung is a record with what follows from the presentation and, step by step, from the record.
type rung struct {
	record *Record
	of     belongs
	slot   *slot // of ofSlot
	n      int   // rung, or number of the statement
	secret registry.Secret

	member    bool
	index     uint64
	value     registry.Value
	effective uint64 // the greatest index among the ladder's rungs 0..n

	kept      bool // A is to be had
	opens     bool
	jwt       string // what A holds, where it opens
	presented string // the credential shown with it, "" for none
	isCopy    bool   // that is a copy of what A holds

	cached     *verifiedRecord
	engagement *attestation.Engagement // of ofLadder, once verified
	plan       plan
	entry      compliance.Entry // of ofSlot
	dropped    error            // why the presented credential counts for nothing; while a file is made only
}

func (r *rung) String() string {
	switch r.of {
	case ofLadder:
		return fmt.Sprintf("rung %d of the engagement", r.n)
	case ofStatement:
		return fmt.Sprintf("statement %d", r.n)
	}
	return fmt.Sprintf("%s %s rung %d", r.slot.stream, r.slot.period, r.n)
}

// takesPresented reports whether the record's box holds the JWT of a credential that is shown in the presentation.
func (r *Record) takesPresented() bool { return len(r.Nonce) > 0 && r.JWT == "" }

// bare reports whether the record has nothing but its map proof and, for a member, its inclusion.
func (r *Record) bare() bool {
	return r.HB == nil && len(r.Nonce) == 0 && r.JWT == "" && len(r.A) == 0 && !r.Erased && r.Submission == nil
}

// neededSlots lists the slots of the plan that a file must show, by stream and period.
func (j *judge) neededSlots() []slot {
	var out []slot
	e := &j.engagement
	for _, s := range attestation.Streams {
		for _, p := range slices.Sorted(maps.Keys(e.secrets[s])) {
			if wanted(p, j.file.From, j.file.To, j.asOf) {
				out = append(out, slot{stream: s, period: p, secret: e.secrets[s][p]})
			}
		}
	}
	return out
}

// writerOf returns the name under which a stream's party writes.
func writerOf(s attestation.Stream, e *attestation.Engagement) string {
	support := ""
	if e.Support != nil {
		support = e.Support.ID
	}
	return registry.WriterOf(s, e.Employer.ID, support)
}

// checkOrder walks the keys that follow from the presentation and takes the file's records for them, one by one.
func (j *judge) checkOrder() (string, error) {
	if err := j.takeLadder(); err != nil {
		return "", err
	}
	j.slots = j.neededSlots()
	rest := j.file.Slots
	for i := range j.slots {
		var err error
		if rest, err = j.takeSlot(&j.slots[i], rest); err != nil {
			return "", err
		}
	}
	if len(rest) > 0 {
		return "", errors.New("there are records of keys that do not follow from the presentation")
	}
	if err := j.takeStatements(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d records", len(j.rungs)), nil
}

// take takes a record for the key of r and reports whether it is a member. Nothing of the proof is verified yet.
func (j *judge) take(r *rung, records []Record, key registry.Key) error {
	if len(records) == 0 {
		return fmt.Errorf("%s: the record is missing", r)
	}
	r.record = &records[0]
	if r.record.Key != key {
		return fmt.Errorf("%s: the record is for another key", r)
	}
	p, err := registry.ParseProof(r.record.Proof)
	if err != nil {
		return &failure{CodeRecordProof, fmt.Errorf("%s: %w", r, err)}
	}
	r.member = p.Kind == registry.ProofMember
	if !r.member && (!r.record.bare() || len(r.record.Inclusion) > 0) {
		return fmt.Errorf("%s: an absent record has nothing but its proof", r)
	}
	j.rungs = append(j.rungs, r)
	return nil
}

func (j *judge) takeLadder() error {
	hash := new(registry.Hash)
	if err := hash.UnmarshalText([]byte(j.engagement.claims.ContractHash)); err != nil {
		return err
	}
	rest := j.file.Ladder
	for n := 0; n < registry.MaxRungs; n++ {
		r := &rung{of: ofLadder, n: n, secret: registry.EngagementSecret(*hash, n)}
		if err := j.take(r, rest, registry.KeyOf(j.engagement.writer, r.secret.Find())); err != nil {
			return err
		}
		if rest = rest[1:]; !r.member {
			break
		}
	}
	if len(rest) > 0 {
		return errors.New("the ladder of engagements goes on after its end")
	}
	return nil
}

func (j *judge) takeSlot(s *slot, records []Record) ([]Record, error) {
	writer := writerOf(s.stream, j.engagement.claims)
	for n := 0; n < registry.MaxRungs; n++ {
		r := &rung{of: ofSlot, slot: s, n: n, secret: registry.SlotSecret(s.secret, n)}
		if err := j.take(r, records, registry.KeyOf(writer, r.secret.Find())); err != nil {
			return nil, err
		}
		if records = records[1:]; !r.member {
			break
		}
		s.rungs = append(s.rungs, r)
	}
	s.closed = true
	return records, nil
}

func (j *judge) takeStatements() error {
	rest := j.file.Statements
	for i := range j.statements {
		r := &rung{of: ofStatement, n: i, secret: registry.StatementSecret(j.statements[i].jwt)}
		if err := j.take(r, rest, registry.KeyOf(string(attestation.Worker), r.secret.Find())); err != nil {
			return err
		}
		if !r.member || !r.record.bare() {
			return fmt.Errorf("%s: it must stand in the registry, with nothing but its proofs", r)
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return errors.New("there are more records than statements")
	}
	return nil
}

func (j *judge) checkProofs() (string, error) {
	var ladder uint64
	for _, r := range j.rungs {
		key, proof := r.record.Key, r.record.Proof
		if !r.member {
			if err := registry.VerifyAbsent(j.head.MapRoot, key, proof); err != nil {
				return "", fmt.Errorf("%s: %w", r, err)
			}
			continue
		}
		var err error
		if r.index, r.value, err = registry.VerifyMember(j.head.MapRoot, key, proof); err != nil {
			return "", fmt.Errorf("%s: %w", r, err)
		}
		if r.n == 0 || r.of == ofStatement {
			ladder = 0
		}
		ladder = max(ladder, r.index)
		r.effective = ladder
	}
	return "", nil
}

func (j *judge) checkInclusions() (string, error) {
	c := j.checkpoint
	for _, r := range j.rungs {
		if !r.member {
			continue
		}
		entry := registry.SlotEntry{K: r.record.Key, V: r.value}.Marshal()
		if err := registry.VerifyInclusion(entry, r.index, c.Size, r.record.Inclusion, c.Root); err != nil {
			return "", fmt.Errorf("%s: %w", r, err)
		}
	}
	return "", nil
}

// checkValues takes what the sealed boxes hold and checks them against what the log committed to.
func (j *judge) checkValues() (string, error) {
	next := 0
	for _, r := range j.rungs {
		if !r.member || r.of == ofStatement {
			continue
		}
		if r.record.takesPresented() {
			if r.of == ofLadder {
				r.presented = j.file.Presentation.Engagement
			} else if next < len(j.file.Presentation.Attestations) {
				r.presented = j.file.Presentation.Attestations[next]
				next++
			} else {
				return "", &failure{CodeAttestation, fmt.Errorf("%s: the credential that it holds is not in the presentation", r)}
			}
		}
		r.unpack()
		if j.isCopy(r, next) {
			r.presented, r.isCopy = j.file.Presentation.Attestations[next], true
			next++
		}
		if j.making { // out of a box of the value that the registry says
			continue
		}
		if err := r.checkBox(); err != nil {
			return "", fmt.Errorf("%s: %w", r, err)
		}
	}
	if n := len(j.file.Presentation.Attestations) - next; n > 0 {
		return "", &failure{CodeNotLogged, fmt.Errorf("%d of the credentials belong to no record", n)}
	}
	return "", nil
}

// unpack takes what the record says of the box.
func (r *rung) unpack() {
	rec := r.record
	r.opens, r.kept = len(rec.Nonce) > 0, len(rec.Nonce) > 0 || len(rec.A) > 0
	if !r.opens {
		return
	}
	if r.jwt = rec.JWT; r.jwt == "" {
		r.jwt = jwtOf(r.presented)
	}
}

var errBoxForm = errors.New("the box must come as nonce and JWT, or whole where it does not open, or not at all")

// checkBox takes A from the record, or seals it anew from the nonce and the JWT: the same secret, key, nonce and content give the same
// octets, and a content has one padding.
func (r *rung) checkBox() (err error) {
	rec, a := r.record, []byte(nil)
	switch {
	case r.opens:
		nonce := bytes.NewReader(rec.Nonce)
		if a, err = registry.SealA(nonce, r.secret, rec.Key, r.jwt); err != nil || nonce.Len() > 0 || len(rec.A) > 0 || rec.Erased {
			return errBoxForm
		}
	case r.kept:
		if _, err := registry.OpenA(r.secret, rec.Key, rec.A); err == nil || rec.JWT != "" || rec.Erased {
			return errBoxForm
		}
		a = rec.A
	default:
		if rec.JWT != "" || rec.HB != nil {
			return errBoxForm
		}
		return nil
	}
	hb := registry.HashOf(nil)
	if rec.HB != nil {
		if *rec.HB == hb {
			return errors.New("the hash of an empty box is left out")
		}
		hb = *rec.HB
	}
	if registry.ValueOfHashes(registry.HashOf(a), hb) != r.value {
		return errors.New("the sealed box is not the one that the log committed to")
	}
	return nil
}
