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
	if o.Memory == nil {
		o.Memory = NewMemory()
	}
	for range makeAttempts {
		g := &gathering{presentation: p, src: src, trust: trust, options: o, found: make(map[registry.Key]*registry.LookupResult)}
		err := g.gather(ctx)
		if errors.Is(err, errHeadMoved) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		return g.finish()
	}
	return nil, nil, ErrRegistryMoves
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
	found map[registry.Key]*registry.LookupResult
	notes []compliance.Check
	stale string // how old the head was when the presentation arrived, where that is too old

	file        *File
	submissions map[registry.Key]*Submission
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

// run runs steps of the verification on what is there and turns a failed check into an error.
func (g *gathering) run(steps ...step) error {
	if g.judge.run(steps) {
		return nil
	}
	return &CheckError{g.judge.checks[len(g.judge.checks)-1]}
}

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
		s, err := openStatement(compact, j.engagement.verified.Holder)
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
		for _, p := range slices.Sorted(maps.Keys(e.secrets[s])) {
			slots = append(slots, registry.KeyOf(writerOf(s, e.claims), registry.SlotSecret(e.secrets[s][p], 0).Find()))
		}
	}
	for _, s := range g.judge.statements {
		slots = append(slots, statementKey(s.jwt))
	}
	return g.lookup(ctx, slots)
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
		writer := writerOf(s.stream, j.engagement.claims)
		ladders = append(ladders, func(n int) registry.Key { return registry.KeyOf(writer, registry.SlotSecret(s.secret, n).Find()) })
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

// finish turns what was found into a file: all of it first, then without what turned out to be of no use, then with the assessment.
func (g *gathering) finish() (*File, *Result, error) {
	g.file, g.submissions = g.judge.file, make(map[registry.Key]*Submission)
	if err := g.fill(); err != nil {
		return nil, nil, err
	}
	j, err := g.verify()
	if err != nil {
		return nil, nil, err
	}
	g.dropPresented(j)
	g.attachSubmissions(j)
	if err := g.trimNotes(j); err != nil {
		return nil, nil, err
	}
	return g.state()
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
	for i, compact := range g.presentation.Attestations {
		if _, twice := shown[jwtOf(compact)]; twice {
			g.note("credential %d is left out: it was presented twice", i)
			continue
		}
		shown[jwtOf(compact)] = compact
	}
	for _, s := range g.judge.slots {
		writer := writerOf(s.stream, g.judge.engagement.claims)
		for n := 0; n < registry.MaxRungs; n++ {
			secret := registry.SlotSecret(s.secret, n)
			r, taken := g.record(registry.KeyOf(writer, secret.Find()), secret, shown)
			if taken != "" {
				f.Presentation.Attestations = append(f.Presentation.Attestations, taken)
			}
			if f.Slots = append(f.Slots, r); g.member(r.Key) == nil {
				break
			}
		}
	}
	for range shown {
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
// of shown (by JWT). A box that is not the one of the map's value is not to be had.
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
	if taken = shown[jwt]; taken == "" {
		r.JWT = jwt
	}
	delete(shown, jwt)
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

// verify runs the file's verification up to the assessment.
func (g *gathering) verify() (*judge, error) {
	j := &judge{trust: g.trust, file: g.file, making: true, expect: g.options.KeyBinding, memory: g.options.Memory}
	last := slices.IndexFunc(verifySteps, func(s step) bool { return s.code == CodeNotesUsed })
	if !j.run(verifySteps[:last]) {
		return nil, &CheckError{j.checks[len(j.checks)-1]}
	}
	return j, nil
}

// dropPresented takes out the credentials that are no valid record of their slot; the record keeps its JWT.
func (g *gathering) dropPresented(j *judge) {
	dropped := make(map[string]bool)
	for _, r := range j.rungs {
		if r.dropped != nil {
			r.record.JWT = r.jwt
			dropped[r.jwt] = true
			g.note("a credential is left out: %v", r.dropped)
		}
	}
	p := &g.file.Presentation
	p.Attestations = slices.DeleteFunc(p.Attestations, func(compact string) bool { return dropped[jwtOf(compact)] })
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

// trimNotes leaves out the checkpoints without which the assessment is the same. Those that say by when a record existed stay.
func (g *gathering) trimNotes(j *judge) error {
	all := j.notes
	checks := slices.Clone(j.checks)
	assess := func(notes []*registry.Checkpoint) (string, error) {
		j.notes, j.checks = notes, slices.Clone(checks)
		if !j.run(judgeSteps) {
			return "", &CheckError{j.checks[len(j.checks)-1]}
		}
		return string(j.stated), nil
	}
	want, err := assess(all)
	if err != nil {
		return err
	}
	first := make(map[*registry.Checkpoint]bool)
	for _, r := range j.rungs {
		if r.member {
			own, _ := j.boundingNotes(r.index)
			ladder, _ := j.boundingNotes(r.effective)
			first[own], first[ladder] = true, true
		}
	}
	kept := slices.DeleteFunc(slices.Clone(all), func(c *registry.Checkpoint) bool { return !first[c] })
	if got, err := assess(kept); err != nil || got != want {
		kept = all
		for _, c := range all {
			if first[c] {
				continue
			}
			without := slices.DeleteFunc(slices.Clone(kept), func(o *registry.Checkpoint) bool { return o == c })
			if got, err := assess(without); err == nil && got == want {
				kept = without
			}
		}
	}
	g.file.Notes = nil
	for _, c := range kept {
		g.file.Notes = append(g.file.Notes, string(c.Note))
	}
	return nil
}

// judgeSteps are those whose outcome depends on the times.
var judgeSteps = []step{
	{CodeEngagementLadder, (*judge).checkLadder},
	{CodeAttestation, (*judge).openRecords},
	{CodeRecordSubmission, (*judge).checkSubmissions},
	{CodeAssess, (*judge).assess},
}

// state verifies the finished file and writes the assessment into it.
func (g *gathering) state() (*File, *Result, error) {
	f := g.file
	j := &judge{file: f, trust: g.trust, memory: g.options.Memory}
	r := j.verify(Options{}, func(j *judge) { f.Assessment = j.stated })
	if r.Result == compliance.Fail {
		return nil, nil, &CheckError{r.Checks[len(r.Checks)-1]}
	}
	data, err := f.Marshal()
	if err != nil {
		return nil, nil, err
	}
	if _, err := Read(data); err != nil {
		return nil, nil, err
	}
	r.Checks = slices.DeleteFunc(r.Checks, func(c compliance.Check) bool { return c.Code == CodeNotSealed }) // nobody has saved it yet
	r.Checks = append(r.Checks, g.notes...)
	if g.stale != "" {
		r.Result = compliance.CannotTell
		r.Checks = append(r.Checks, compliance.Check{Code: compliance.CodeHeadFresh, Result: compliance.CannotTell, Detail: g.stale})
	}
	return f, r, nil
}
