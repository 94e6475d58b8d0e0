package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
	"akashi/schemas"
)

// A Source answers questions about the registry; [registry.Client] is one. Nothing it answers is believed.
type Source interface {
	Lookup(context.Context, []registry.Key) (*registry.LookupResponse, error)
	TrustLists(context.Context) (*registry.TrustListsResponse, error)
}

// MakeOptions of [Make].
type MakeOptions struct {
	// From and To are the first and last month to judge; "" means from the contract's first, and to the one of the assessment or the
	// contract's last.
	From, To attestation.Period
	// KeyBinding is what the presentation must have been made for; nil accepts a stored one, made for anybody at any time.
	KeyBinding *sdjwt.ExpectKeyBinding
	// Memory is what the caller has verified of the presentation already; nil for nothing.
	Memory *Memory
}

var (
	// ErrNotLogged is returned for an engagement that the registry does not have: nothing can be said about it.
	ErrNotLogged = errors.New("the engagement does not stand in the registry: whoever issued it must log it")
	// ErrRegistryMoves is returned when the registry's head changed during every attempt to look everything up under one.
	ErrRegistryMoves = errors.New("the registry closes epochs faster than the records can be looked up: try again")

	errHeadMoved = errors.New("the head changed between two lookups")
)

const makeAttempts = 5

// A CheckError is returned by [Make] when what it gathered does not verify: the registry, the presentation or the pinned trust is at fault.
type CheckError struct{ Check compliance.Check }

func (e *CheckError) Error() string { return e.Check.Code + ": " + e.Check.Detail }

// Make gathers from the registry what a presentation opens, judges it and returns the evidence file and its verification. Everything is
// looked up under one head. Presented credentials and statements that count for nothing are left out of the file; the result notes them
// with [CodeNotLogged]. Where the registry's head is old at the time of the presentation, the result is unknown: the file tells how things
// stood then, not how they stand.
func Make(ctx context.Context, p Presentation, src Source, trust Trust, o MakeOptions) (*File, *Result, error) {
	f, _, r, err := MakeBytes(ctx, p, src, trust, o)
	return f, r, err
}

// MakeBytes is [Make], and returns the file's encoding too.
func MakeBytes(ctx context.Context, p Presentation, src Source, trust Trust, o MakeOptions) (*File, []byte, *Result, error) {
	if o.Memory == nil {
		o.Memory = NewMemory()
	}
	for range makeAttempts {
		g := &gathering{presentation: p, src: src, trust: trust, options: o, rungs: make(map[slotRung]place), found: make(map[registry.Key]*registry.LookupResult)}
		err := g.gather(ctx)
		if errors.Is(err, errHeadMoved) {
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		return g.finish()
	}
	return nil, nil, nil, ErrRegistryMoves
}

// gathering is one attempt to make a file.
type gathering struct {
	presentation Presentation
	src          Source
	trust        Trust
	options      MakeOptions

	lists *registry.TrustListsResponse
	judge *judge // knows the trust lists and the engagement before the file has any record
	head  *registry.HeadProof
	rungs map[slotRung]place
	found map[registry.Key]*registry.LookupResult
	notes []compliance.Check
	stale string // how old the head was when the presentation arrived, where that is too old

	file        *File
	submissions map[registry.Key]*Submission
	copies      map[string]string // presented and not placed yet, by the ID of what they are copies of
}

func (g *gathering) note(format string, args ...any) {
	g.notes = append(g.notes, compliance.Check{Code: CodeNotLogged, Result: compliance.CannotTell, Detail: fmt.Sprintf(format, args...)})
}

func (g *gathering) gather(ctx context.Context) (err error) {
	g.judge = &judge{trust: g.trust, file: &File{Format: Format, RulesetHash: schemas.RulesetHash(), Presentation: g.presentation}, making: true, expect: g.options.KeyBinding, memory: g.options.Memory}
	if g.lists, err = g.src.TrustLists(ctx); err != nil {
		return fmt.Errorf("fetching the trust lists: %w", err)
	}
	if err := g.openEngagement(); err != nil {
		return err
	}
	g.openStatements()
	if err := g.lookupFirst(ctx); err != nil {
		return err
	}
	g.keepLogged()
	if err := g.setHead(); err != nil {
		return err
	}
	if err := g.chooseWriter(); err != nil {
		return err
	}
	return g.lookupRest(ctx)
}

// run runs steps of the verification on what is there.
func (g *gathering) run(steps ...step) error { return g.judge.mustRun(steps) }

// openEngagement verifies the engagement with the newest trust list that has its issuer's key. Which one counts is known only once its
// index is; the file's verification looks again.
func (g *gathering) openEngagement() error {
	j := g.judge
	for _, l := range g.lists.Lists {
		j.file.TrustLists = append(j.file.TrustLists, TrustList{JWT: l.JWT, Index: l.Index, Inclusion: l.Inclusion})
	}
	if err := g.run(step{CodePolicyPair, (*judge).checkPolicies}, step{CodeListAnchor, (*judge).openLists}); err != nil {
		return err
	}
	u, err := g.options.Memory.parse(g.presentation.Engagement)
	if err != nil {
		return &CheckError{compliance.Check{Code: CodeEngagementSignature, Result: compliance.Fail, Detail: err.Error()}}
	}
	open := func(j *judge) (string, error) {
		err := error(trustlist.ErrUnknownKey)
		for _, v := range slices.Backward(j.lists.versions) {
			entity, key, lookupErr := v.List.EntityForHeader(u.Header(), issuedAt(u))
			if lookupErr != nil {
				continue
			}
			j.engagement = engagement{entity: entity, key: key}
			if j.engagement.verified, err = j.verifyEngagement(u, entity, key); err == nil {
				return "", nil
			}
		}
		return "", err
	}
	return g.run(step{CodeEngagementSignature, open},
		step{CodeEngagementSlots, (*judge).openSlots}, step{CodeEngagementClaims, (*judge).readClaims}, step{CodeEngagementRegistry, (*judge).checkRegistry})
}

// issuedAt returns a time at which the certificates of an engagement's issuer should be valid: the end of the day of its iat.
func issuedAt(u *sdjwt.Unverified) time.Time {
	var claims struct {
		Iat int64 `json:"iat"`
	}
	if json.Unmarshal(u.UnverifiedPayload(), &claims) != nil || claims.Iat <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Iat, 0).Add(24*time.Hour - time.Second)
}

// openStatements keeps the statements that verify.
func (g *gathering) openStatements() {
	j := g.judge
	seen := make(map[string]bool)
	for i, compact := range g.presentation.Statements {
		s, err := g.options.Memory.statement(compact, j.engagement.verified.Holder)
		if err != nil {
			g.note("statement %d is left out: %v", i, err)
			continue
		}
		if seen[s.id] {
			continue
		}
		seen[s.id] = true
		j.statements = append(j.statements, *s)
	}
}

// keepLogged keeps the statements that stand in the registry.
func (g *gathering) keepLogged() {
	j := g.judge
	j.statements = slices.DeleteFunc(j.statements, func(s statement) bool {
		if g.member(statementKey(s.jwt)) != nil {
			return false
		}
		g.note("statement %s is left out: it does not stand in the registry", s.id)
		return true
	})
}

// writers are the names under which the engagement's issuer may have logged it.
func (g *gathering) writers() []string {
	e := g.judge.engagement.claims
	out := []string{e.Employer.ID}
	if e.Support != nil {
		out = append(out, e.Support.ID)
	}
	return append(out, string(attestation.Authority))
}

func (g *gathering) contract() registry.Hash {
	var h registry.Hash
	_ = h.UnmarshalText([]byte(g.judge.engagement.claims.ContractHash)) // the claims were checked
	return h
}

// lookupFirst asks for rung 0 of everything at once: the contract under each possible writer, every slot that was opened, the statements.
func (g *gathering) lookupFirst(ctx context.Context) error {
	e := &g.judge.engagement
	var slots []registry.Key
	for _, w := range g.writers() {
		slots = append(slots, registry.KeyOf(w, registry.EngagementSecret(g.contract(), 0).Find()))
	}
	for _, s := range attestation.Streams {
		for _, secret := range e.secrets[s] {
			slots = append(slots, g.rung(s, secret, 0).key)
		}
	}
	for _, s := range g.judge.statements {
		slots = append(slots, statementKey(s.jwt))
	}
	return g.lookup(ctx, slots)
}

// slotRung is a rung of a slot, by the secret that opens the slot and by who writes into it.
type slotRung struct {
	secret registry.Secret
	writer string
	n      int
}

// place is what follows for a rung.
type place struct {
	secret registry.Secret
	key    registry.Key
}

// rung returns the place of a slot's rung, which is asked for again when the file is filled.
func (g *gathering) rung(s attestation.Stream, secret registry.Secret, n int) place {
	id := slotRung{secret, writerOf(s, g.judge.engagement.claims), n}
	p, known := g.rungs[id]
	if !known {
		p.secret = registry.SlotSecret(secret, n)
		p.key = registry.KeyOf(id.writer, p.secret.Find())
		g.rungs[id] = p
	}
	return p
}

func statementKey(jwt string) registry.Key {
	return registry.KeyOf(string(attestation.Worker), registry.StatementSecret(jwt).Find())
}

// lookup asks for keys under the one head of the gathering.
func (g *gathering) lookup(ctx context.Context, slots []registry.Key) error {
	slices.SortFunc(slots, func(a, b registry.Key) int { return slices.Compare(a[:], b[:]) }) // says nothing of what belongs together
	for chunk := range slices.Chunk(slices.Compact(slots), registry.MaxLookupKeys) {
		answer, err := g.src.Lookup(ctx, chunk)
		if err != nil {
			return fmt.Errorf("looking up %d keys: %w", len(chunk), err)
		}
		if g.head == nil {
			g.head = &answer.Head
		}
		if string(answer.Head.Entry) != string(g.head.Entry) || answer.Head.Index != g.head.Index {
			return errHeadMoved
		}
		for i := range answer.Results {
			g.found[answer.Results[i].Key] = &answer.Results[i]
		}
		for _, k := range chunk {
			if g.found[k] == nil {
				return fmt.Errorf("looking up %d keys: %w: a key is left out", len(chunk), registry.ErrAnswer)
			}
		}
	}
	return nil
}

// member returns what was found at a key, nil for nothing.
func (g *gathering) member(k registry.Key) *registry.MemberProof {
	if r := g.found[k]; r != nil {
		return r.Member
	}
	return nil
}

// setHead opens the checkpoint, from which the time of the assessment follows, and settles the months.
func (g *gathering) setHead() error {
	j, f := g.judge, g.judge.file
	auditors := g.trust.Auditors
	if auditors == nil {
		auditors = j.nobody()
	}
	c, err := g.options.Memory.checkpoint(g.head.Checkpoint, g.trust.Policy, auditors)
	if err != nil {
		return &CheckError{compliance.Check{Code: CodeCheckpointSignature, Result: compliance.Fail, Detail: err.Error()}}
	}
	f.Checkpoint, f.Head = string(c.Note), Head{Entry: g.head.Entry, Inclusion: g.head.Inclusion}
	lists, err := g.options.Memory.checkpoint(g.lists.Checkpoint, g.trust.Policy, auditors)
	if err != nil {
		return &CheckError{compliance.Check{Code: CodeCheckpointSignature, Result: compliance.Fail, Detail: "of the trust lists: " + err.Error()}}
	}
	if lists.Size != c.Size || lists.Root != c.Root {
		return errHeadMoved
	}
	if err := g.run(step{CodeCheckpointSignature, (*judge).openCheckpoint}, step{CodeCheckpointWitnesses, (*judge).checkWitnesses}); err != nil {
		return err
	}
	if kb := g.options.KeyBinding; kb != nil && !kb.Now.IsZero() && kb.Now.Sub(j.asOf) > compliance.FreshFor {
		g.stale = fmt.Sprintf("the newest head that the registry shows is %v old: what happened since is not seen", kb.Now.Sub(j.asOf).Round(time.Hour))
	}
	g.setRange()
	return nil
}

func (g *gathering) setRange() {
	f, e := g.judge.file, g.judge.engagement.claims
	f.From, f.To = g.options.From, g.options.To
	if f.From == "" {
		f.From = attestation.MonthOf(e.Start)
	}
	if f.To == "" {
		last := attestation.DateOf(g.judge.asOf)
		if last.After(e.End) {
			last = e.End
		}
		if last.Before(e.Start) {
			last = e.Start
		}
		f.To = attestation.MonthOf(last)
	}
}

// chooseWriter finds under which name the engagement shown was logged.
func (g *gathering) chooseWriter() error {
	j := g.judge
	for _, w := range g.writers() {
		j.engagement.writer = w
		if g.member(g.ladderKey(0)) != nil {
			return nil
		}
	}
	return ErrNotLogged
}

func (g *gathering) ladderKey(n int) registry.Key {
	return registry.KeyOf(g.judge.engagement.writer, registry.EngagementSecret(g.contract(), n).Find())
}

// lookupRest asks for the rungs above those that are members, round by round, until every ladder ends.
func (g *gathering) lookupRest(ctx context.Context) error {
	j := g.judge
	j.slots = j.neededSlots()
	ladders := []func(int) registry.Key{g.ladderKey}
	for _, s := range j.slots {
		ladders = append(ladders, func(n int) registry.Key { return g.rung(s.stream, s.secret, n).key })
	}
	for n := 1; n < registry.MaxRungs; n++ {
		ladders = slices.DeleteFunc(ladders, func(key func(int) registry.Key) bool { return g.member(key(n-1)) == nil })
		if len(ladders) == 0 {
			return nil
		}
		var slots []registry.Key
		for _, key := range ladders {
			slots = append(slots, key(n))
		}
		if err := g.lookup(ctx, slots); err != nil {
			return err
		}
	}
	return nil
}

// finish turns what was found into a file: all of it first, then without what turned out to be of no use, then with the assessment. The file as it
// was written is read and verified before anybody gets it.
func (g *gathering) finish() (*File, []byte, *Result, error) {
	g.file, g.submissions = g.judge.file, make(map[registry.Key]*Submission)
	if err := g.fill(); err != nil {
		return nil, nil, nil, err
	}
	j := &judge{trust: g.trust, file: g.file, making: true, expect: g.options.KeyBinding, memory: g.options.Memory}
	if err := j.mustRun(withoutProofs(verifySteps[:stepOf(CodeEngagementLadder)])); err != nil {
		return nil, nil, nil, err
	}
	t := &trimming{judge: j, all: j.notes, checks: j.checks}
	if err := t.open(t.all); err != nil {
		return nil, nil, nil, err
	}
	g.dropPresented(j)
	g.attachSubmissions(j)
	t.show(t.needed())
	if err := t.assess(); err != nil {
		return nil, nil, nil, err
	}
	f, data, r, err := g.state(j.stated)
	if errors.Is(err, errOtherwise) {
		if err = t.trim(); err == nil {
			f, data, r, err = g.state(j.stated)
		}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	g.report(r)
	return f, data, r, nil
}

// fill adds the records in their order, with all presented credentials that they hold and all checkpoints.
func (g *gathering) fill() error {
	f := g.file
	f.Presentation = Presentation{Engagement: g.presentation.Engagement}
	shown := map[string]string{jwtOf(g.presentation.Engagement): g.presentation.Engagement}
	for n := 0; n < registry.MaxRungs; n++ {
		r, _ := g.record(g.ladderKey(n), registry.EngagementSecret(g.contract(), n), shown)
		if f.Ladder = append(f.Ladder, r); g.member(r.Key) == nil {
			break
		}
	}
	if len(shown) > 0 {
		return ErrNotLogged
	}
	g.fillSlots()
	for _, s := range g.judge.statements {
		f.Presentation.Statements = append(f.Presentation.Statements, s.compact)
		f.Statements = append(f.Statements, g.bareRecord(statementKey(s.jwt)))
	}
	return g.fillNotes()
}

func (g *gathering) fillSlots() {
	f := g.file
	shown := make(map[string]string)
	g.copies = make(map[string]string)
	for i, compact := range g.presentation.Attestations {
		name, of := belongsTo(compact), shown
		if name != jwtOf(compact) {
			of = g.copies
		}
		if _, twice := of[name]; twice {
			g.note("credential %d is left out: it was presented twice", i)
			continue
		}
		of[name] = compact
	}
	for _, s := range g.judge.slots {
		for n := 0; n < registry.MaxRungs; n++ {
			at := g.rung(s.stream, s.secret, n)
			r, taken := g.record(at.key, at.secret, shown)
			if taken != "" {
				f.Presentation.Attestations = append(f.Presentation.Attestations, taken)
			}
			if f.Slots = append(f.Slots, r); g.member(r.Key) == nil {
				break
			}
		}
	}
	for range len(shown) + len(g.copies) {
		g.note("a credential is left out: it stands in no slot that was opened")
	}
}

// bareRecord returns the record at a key with its proofs alone.
func (g *gathering) bareRecord(k registry.Key) Record {
	found := g.found[k]
	r := Record{Key: k, Proof: found.Proof}
	if found.Member != nil {
		r.Inclusion = found.Member.Inclusion
	}
	return r
}

// record returns the record at a key in the form that [Record] describes, and the presented credential that it holds, which is taken out
// of shown (by JWT), or of the copies. A box that is not the one of the map's value is not to be had.
func (g *gathering) record(k registry.Key, secret registry.Secret, shown map[string]string) (r Record, taken string) {
	r = g.bareRecord(k)
	m := g.found[k].Member
	if m == nil {
		return r, ""
	}
	if m.Erased || len(m.A) == 0 || registry.ValueOfHashes(registry.HashOf(m.A), m.HB) != m.Value {
		r.Erased = m.Erased
		return r, ""
	}
	if m.HB != registry.HashOf(nil) {
		r.HB = &m.HB
	}
	if m.Submission != "" && m.Count <= registry.MaxRecords {
		g.submissions[k] = &Submission{JWT: m.Submission, Position: completePosition(m.Position, m.Count), Path: m.Path}
	}
	jwt, err := registry.OpenA(secret, k, m.A)
	if err != nil {
		r.A = m.A
		return r, ""
	}
	r.Nonce = m.A[:nonceSize]
	if taken = shown[jwt]; taken != "" {
		delete(shown, jwt)
		return r, taken
	}
	if r.JWT = jwt; len(g.copies) > 0 {
		id := idOf(jwt)
		taken = g.copies[id]
		delete(g.copies, id)
	}
	return r, taken
}

// nonceSize is the length of the nonce that A begins with.
const nonceSize = 12

// completePosition returns the position in the complete tree of the path's height at which a path has the same sides as the one for
// position in the RFC 6962 tree over count records. Unlike position and count it has one value for a path.
func completePosition(position, count int) int {
	p := 0
	for count > 1 {
		left := 1
		for 2*left < count {
			left *= 2
		}
		if p <<= 1; position < left {
			count = left
		} else {
			p, position, count = p|1, position-left, count-left
		}
	}
	return p
}

// fillNotes adds every checkpoint that the registry gave as a bound, without auditors' lines. Of two with one size the one that existed
// earlier is kept.
func (g *gathering) fillNotes() error {
	j := g.judge
	bySize := make(map[uint64]*registry.Checkpoint)
	opened := make(map[string]bool)
	for _, found := range g.found {
		if found.Member == nil {
			continue
		}
		for _, text := range []string{found.Member.FirstAfter, found.Member.LastBefore} {
			if text == "" || opened[text] {
				continue
			}
			opened[text] = true
			c, err := g.options.Memory.checkpoint(text, g.trust.Policy, j.nobody())
			if err != nil {
				return &CheckError{compliance.Check{Code: CodeNotes, Result: compliance.Fail, Detail: err.Error()}}
			}
			existedBy, ok := c.ExistedBy()
			if !ok || c.Size >= j.checkpoint.Size {
				continue
			}
			if other := bySize[c.Size]; other != nil {
				if t, _ := other.ExistedBy(); !existedBy.Before(t) {
					continue
				}
			}
			bySize[c.Size] = c
		}
	}
	for _, size := range slices.Sorted(maps.Keys(bySize)) {
		g.file.Notes = append(g.file.Notes, string(bySize[size].Note))
	}
	return nil
}

// dropPresented takes out the credentials that are no valid record of their slot; the record keeps its JWT.
func (g *gathering) dropPresented(j *judge) {
	dropped := make(map[string]bool)
	for _, r := range j.rungs {
		if r.dropped != nil {
			r.record.JWT = r.jwt
			dropped[r.jwt], dropped[idOf(r.jwt)] = true, true
			g.note("a credential is left out: %v", r.dropped)
		}
	}
	p := &g.file.Presentation
	p.Attestations = slices.DeleteFunc(p.Attestations, func(compact string) bool { return dropped[belongsTo(compact)] })
}

// attachSubmissions shows who wrote junk, where the submission proves it.
func (g *gathering) attachSubmissions(j *judge) {
	for _, r := range j.rungs {
		s := g.submissions[r.record.Key]
		if s == nil || r.of != ofSlot || r.entry.Validity != compliance.Junk {
			continue
		}
		if _, err := j.submitter(r, s); err == nil {
			r.record.Submission = s
		}
	}
}

// withoutProofs takes the steps that find out nothing out of those by which a file is made: that the log and the map are as the registry says is
// verified when the file that was written is read, which needs it more.
func withoutProofs(steps []step) []step {
	steps = slices.Clone(steps)
	for i, s := range steps {
		switch s.code {
		case CodeHeadInclusion, CodeListInclusion, CodeRecordInclusion:
			steps[i].run = func(*judge) (string, error) { return "", nil }
		}
	}
	return steps
}

// trimming finds the checkpoints without which the assessment is the same; the file holds no others.
type trimming struct {
	judge  *judge
	all    []*registry.Checkpoint // that the registry gave as bounds, by size
	checks []compliance.Check     // of the steps before those whose outcome depends on times
}

// needed returns the checkpoints that say by when a record existed. They stay in any case.
func (t *trimming) needed() []*registry.Checkpoint {
	first := make(map[*registry.Checkpoint]bool)
	for _, r := range t.judge.rungs {
		if r.member {
			own, _ := t.judge.boundingNotes(r.index)
			ladder, _ := t.judge.boundingNotes(r.effective)
			first[own], first[ladder] = true, true
		}
	}
	return slices.DeleteFunc(slices.Clone(t.all), func(c *registry.Checkpoint) bool { return !first[c] })
}

// open reads the records under the bounds that some checkpoints give. Why a record is worth nothing may be a matter of these.
func (t *trimming) open(bounds []*registry.Checkpoint) error {
	t.judge.notes, t.judge.checks, t.judge.failed = bounds, slices.Clone(t.checks), false
	for _, r := range t.judge.rungs {
		if r.cached != nil && r.cached.err != nil {
			r.cached = nil
		}
	}
	return t.judge.mustRun(verifySteps[stepOf(CodeEngagementLadder):stepOf(CodeRecordSubmission)])
}

// show puts checkpoints into the file.
func (t *trimming) show(kept []*registry.Checkpoint) {
	t.judge.file.Notes = nil
	for _, c := range kept {
		t.judge.file.Notes = append(t.judge.file.Notes, string(c.Note))
	}
}

// assess judges what was opened, as the checkpoints in the file let it be said.
func (t *trimming) assess() error {
	j := t.judge
	of := func(c compliance.Check) bool { return c.Code == CodeNotes }
	j.checks[slices.IndexFunc(j.checks, of)].Detail = countNotes(len(j.file.Notes))
	return j.mustRun([]step{
		{CodeRecordSubmission, (*judge).checkSubmissions},
		{CodeNotesUsed, func(*judge) (string, error) { return "", nil }}, // by those in the file, as its own verification tells
		{CodeRuleset, (*judge).checkRuleset},
		{CodeAssess, (*judge).assess},
	})
}

// trim leaves out one checkpoint after the other, as long as the assessment is that under all of them.
func (t *trimming) trim() error {
	want, needed, kept := string(t.judge.stated), t.needed(), t.all
	under := func(bounds []*registry.Checkpoint) error {
		if err := t.open(bounds); err != nil {
			return err
		}
		return t.assess()
	}
	for _, c := range t.all {
		if slices.Contains(needed, c) {
			continue
		}
		without := slices.DeleteFunc(slices.Clone(kept), func(o *registry.Checkpoint) bool { return o == c })
		if under(without) == nil && string(t.judge.stated) == want {
			kept = without
		}
	}
	t.show(kept)
	return under(kept)
}

// errOtherwise is returned when a file says something else than what was judged to make it.
var errOtherwise = errors.New("with the checkpoints in the file alone the assessment is another")

// state writes the file with its assessment, and reads and verifies what was written as anybody else will.
func (g *gathering) state(stated []byte) (*File, []byte, *Result, error) {
	g.file.Assessment = stated
	data, err := g.file.Marshal()
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := Read(data)
	if err != nil {
		return nil, nil, nil, err
	}
	j := &judge{file: f, trust: g.trust, memory: g.options.Memory}
	r := j.verify(Options{}, func(*judge) {})
	last := r.Checks[len(r.Checks)-1]
	switch {
	case j.stated != nil && string(j.stated) != string(stated), last.Code == CodeRecordSubmission: // of what is no junk under these checkpoints
		return nil, nil, nil, errOtherwise
	case r.Result == compliance.Fail:
		return nil, nil, nil, &CheckError{last}
	}
	return f, data, r, nil
}

// report adds to the result of a file's verification what was found when the file was made.
func (g *gathering) report(r *Result) {
	r.Checks = slices.DeleteFunc(r.Checks, func(c compliance.Check) bool { return c.Code == CodeNotSealed }) // nobody has saved it yet
	r.Checks = append(r.Checks, g.notes...)
	if g.stale != "" {
		r.Result = compliance.CannotTell
		r.Checks = append(r.Checks, compliance.Check{Code: compliance.CodeHeadFresh, Result: compliance.CannotTell, Detail: g.stale})
	}
}
