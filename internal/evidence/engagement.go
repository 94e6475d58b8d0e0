package evidence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// algs are the algorithms accepted for every signature of an issuer or a holder.
var algs = []keys.Alg{keys.ES256, keys.EdDSA}

// engagement is the engagement shown, and its place among those of the contract.
type engagement struct {
	index    uint64 // in the log, as the map proof of its record gives it
	entity   *trustlist.Entity
	key      keys.Public // of the entity, that signed it
	verified *sdjwt.Verified
	plan     plan
	secrets  map[attestation.Stream]map[attestation.Period]registry.Secret
	claims   *attestation.Engagement
	role     attestation.Role // in which the issuer issued it
	writer   string

	ids       map[string]bool         // of the ladder's valid rungs
	inForce   *attestation.Engagement // the last valid rung
	inForceID string
	loggedAt  time.Time // of the first valid rung
	planSince map[attestation.Stream]map[attestation.Period]time.Time
}

// plan gives the one digest of each slot.
type plan map[attestation.Stream]map[attestation.Period]string

// keyBinding returns what the key bindings must be made for.
func (j *judge) keyBinding() *sdjwt.ExpectKeyBinding {
	if j.expect != nil {
		return j.expect
	}
	return &sdjwt.ExpectKeyBinding{AnyAudience: true}
}

// openEngagement verifies the signatures of the engagement's issuer and of its holder. The issuer's key comes from the trust list in force
// at the index that the record's map proof names; the steps over the records verify that index.
func (j *judge) openEngagement() (string, error) {
	u, err := j.memory.parse(j.file.Presentation.Engagement)
	if err != nil {
		return "", err
	}
	index, err := j.shownIndex()
	if err != nil {
		return "", &failure{CodeEngagementLadder, err}
	}
	list := j.lists.At(index)
	if list == nil {
		return "", errors.New("no trust list was in force when it was logged")
	}
	existedBy, _ := j.bounds(index)
	entity, key, err := list.EntityForHeader(u.Header(), existedBy)
	if err != nil {
		return "", err
	}
	v, err := j.verifyEngagement(u, entity, key)
	if err != nil {
		return "", err
	}
	j.engagement = engagement{index: index, entity: entity, key: key, verified: v}
	return "", nil
}

// verifyEngagement verifies an engagement with the key of an entity.
func (j *judge) verifyEngagement(u *sdjwt.Unverified, entity *trustlist.Entity, key keys.Public) (*sdjwt.Verified, error) {
	v, err := j.memory.verify(u, key, j.keyBinding())
	switch {
	case errors.Is(err, sdjwt.ErrKeyBinding):
		return nil, &failure{CodeKBEngagement, err}
	case err != nil:
		return nil, err
	case v.Claims["vct"] != attestation.TypeEngagement.VCT():
		return nil, sdjwt.ErrVCT
	case entity.Issuer == "" || v.Claims["iss"] != entity.Issuer:
		return nil, errIssuer
	case v.Holder.IsZero():
		return nil, errors.New("it is bound to no key")
	}
	return v, nil
}

var errIssuer = errors.New("iss is not the issuer that the trust list gives for the signing key")

// shownIndex returns the log index of the record that the engagement shown belongs to.
func (j *judge) shownIndex() (index uint64, err error) {
	found := false
	for i := range j.file.Ladder {
		r := &j.file.Ladder[i]
		if !r.takesPresented() {
			continue
		}
		p, err := registry.ParseProof(r.Proof)
		if err != nil || p.Kind != registry.ProofMember || found {
			return 0, errors.New("exactly one rung must be that of the engagement shown")
		}
		index, found = p.Index, true
	}
	if !found {
		return 0, errors.New("no rung is that of the engagement shown")
	}
	return index, nil
}

// openSlots checks the form of the plan and reads the secrets that were disclosed.
func (j *judge) openSlots() (detail string, err error) {
	e := &j.engagement
	if e.plan, err = planOf(e.verified.Signed); err != nil {
		return "", err
	}
	if e.secrets, err = secretsOf(e.verified.Disclosed); err != nil {
		return "", err
	}
	opened, all := 0, 0
	for s := range e.plan {
		opened, all = opened+len(e.secrets[s]), all+len(e.plan[s])
	}
	return fmt.Sprintf("%d of %d slots opened", opened, all), nil
}

// planOf reads the slots of an engagement's claims as they were signed. Each must be an object with the one member _sd, an array of
// exactly one digest, so that one slot has one secret.
func planOf(signed map[string]any) (plan, error) {
	slots, _ := signed["slots"].(map[string]any)
	if len(slots) == 0 {
		return nil, errors.New("slots: there is no plan")
	}
	p := make(plan, len(slots))
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		s, err := attestation.ParseStream(name)
		if err != nil {
			return nil, fmt.Errorf("slots: %w", err)
		}
		periods, ok := slots[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("slots: %s is not an object", s)
		}
		if p[s], err = digestsOf(s, periods); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// digestsOf reads the slots of one stream.
func digestsOf(s attestation.Stream, periods map[string]any) (map[attestation.Period]string, error) {
	out := make(map[attestation.Period]string, len(periods))
	for _, name := range slices.Sorted(maps.Keys(periods)) {
		period, err := attestation.ParsePeriod(name)
		if err != nil || period.Kind() != s.Kind() {
			return nil, fmt.Errorf("slots: %s has a member that is no period of its kind", s)
		}
		slot, _ := periods[name].(map[string]any)
		digests, _ := slot["_sd"].([]any)
		if len(slot) != 1 || len(digests) != 1 {
			return nil, fmt.Errorf("slots: %s %s is not an object that has only _sd, with exactly one digest", s, period)
		}
		digest, ok := digests[0].(string)
		if !ok {
			return nil, fmt.Errorf("slots: %s %s has a digest that is no string", s, period)
		}
		out[period] = digest
	}
	return out, nil
}

// planOfPayload is [planOf] for claims that were not read yet.
func planOfPayload(payload []byte) (plan, error) {
	var signed map[string]any
	if err := keys.DecodeJSON(payload, &signed); err != nil {
		return nil, err
	}
	return planOf(signed)
}

// secretsOf reads the disclosed period secrets: everything disclosed below slots must be one named s.
func secretsOf(disclosed []sdjwt.DisclosedClaim) (map[attestation.Stream]map[attestation.Period]registry.Secret, error) {
	out := make(map[attestation.Stream]map[attestation.Period]registry.Secret)
	for _, d := range disclosed {
		if d.Path[0] != "slots" {
			continue
		}
		if len(d.Path) != 4 || d.Path[3] != "s" {
			return nil, errors.New("slots: a disclosure is something else than the secret s of one slot")
		}
		stream, period := attestation.Stream(d.Path[1].(string)), attestation.Period(d.Path[2].(string))
		var secret registry.Secret
		if text, ok := d.Text(); !ok || secret.UnmarshalText([]byte(text)) != nil {
			return nil, fmt.Errorf("slots: the secret of %s %s is not 32 bytes in base64url", stream, period)
		}
		if out[stream] == nil {
			out[stream] = make(map[attestation.Period]registry.Secret)
		}
		out[stream][period] = secret
	}
	return out, nil
}

func (j *judge) readClaims() (string, error) {
	claims, err := j.memory.decode(attestation.TypeEngagement.VCT(), j.engagement.verified)
	if err != nil {
		return "", err
	}
	j.engagement.claims = claims.(*attestation.Engagement)
	return "", nil
}

func (j *judge) checkRegistry() (string, error) {
	if j.engagement.claims.Registry != j.trust.Policy.Origin {
		return "", errors.New("the engagement names another registry than the policy")
	}
	return "", nil
}

// checkIssuer checks that the issuer was accredited to issue engagements, as a party of the engagement or as an authority.
func (j *judge) checkIssuer() (string, error) {
	e := &j.engagement
	existedBy, _ := j.bounds(e.index)
	role, err := issuerRole(e.entity, e.claims, attestation.DateOf(existedBy))
	if err != nil {
		return "", err
	}
	e.role, e.writer = role, registry.WriterFor(role, e.entity.ID)
	if j.lists.Compromised(e.key.Thumbprint(), existedBy) {
		return "", errors.New("the signing key was compromised before the engagement was logged")
	}
	return string(role), nil
}

func issuerRole(entity *trustlist.Entity, e *attestation.Engagement, d attestation.Date) (attestation.Role, error) {
	err := error(trustlist.ErrNotAccredited)
	for _, role := range []attestation.Role{attestation.AcceptingOrganization, attestation.SupportOrganization, attestation.Authority} {
		if !isParty(entity.ID, role, e) {
			continue
		}
		if err = entity.MayAttest(attestation.TypeEngagement, role, d); err == nil {
			return role, nil
		}
	}
	return "", err
}

// isParty reports whether the engagement leaves the role to that entity: it names the accepting organization and the support
// organization, and no bank or authority.
func isParty(entityID string, role attestation.Role, e *attestation.Engagement) bool {
	switch role {
	case attestation.AcceptingOrganization:
		return entityID == e.Employer.ID
	case attestation.SupportOrganization:
		return e.Support != nil && entityID == e.Support.ID
	}
	return true
}

func (j *judge) checkRange() (string, error) {
	f, e := j.file, j.engagement.claims
	for _, p := range []attestation.Period{f.From, f.To} {
		if _, err := attestation.ParsePeriod(string(p)); err != nil || p.Kind() != attestation.Month {
			return "", errors.New("from and to must be months")
		}
	}
	if f.To.First().Before(f.From.First()) || f.From.Last().Before(e.Start) || f.To.First().After(e.End) {
		return "", errors.New("the months must lie within the contract, the first not after the last")
	}
	return fmt.Sprintf("%s to %s", f.From, f.To), nil
}

// wanted reports whether a slot bears on the months under judgement: its period shares a day with them or, for events, which may end a
// contract, begins before the time of the assessment.
func wanted(p, from, to attestation.Period, asOf time.Time) bool {
	if p.Kind() == attestation.Events {
		return !p.First().After(attestation.DateOf(asOf))
	}
	return p.Overlaps(from.First(), to.Last())
}

// checkLadder reads the ladder of engagements. A rung that is not valid is passed over; the last valid one is in force.
func (j *judge) checkLadder() (string, error) {
	e := &j.engagement
	e.ids, e.inForce, e.loggedAt = make(map[string]bool), nil, time.Time{}
	e.planSince = make(map[attestation.Stream]map[attestation.Period]time.Time)
	before := plan{}
	unread, passed := false, 0
	for _, r := range j.rungs {
		if r.of != ofLadder || !r.member {
			continue
		}
		shown := r.record.takesPresented()
		c, p, err := j.engagementRung(r, before)
		if err != nil {
			if shown {
				return "", err
			}
			unread = unread || !r.kept
			passed++
			continue
		}
		id, _ := keys.ID(r.jwt)
		existedBy, _ := j.bounds(r.effective)
		e.ids[id], e.inForce, e.inForceID = true, c, id
		if e.loggedAt.IsZero() {
			e.loggedAt = existedBy
		}
		e.since(p, existedBy)
		before = p
		unread = false
	}
	j.noteInForce(unread)
	if passed > 0 {
		return fmt.Sprintf("%d rungs, and %d that count for nothing", len(e.ids), passed), nil
	}
	return fmt.Sprintf("%d rungs", len(e.ids)), nil
}

// noteInForce says whether the engagement shown is the one in force; of another one only the visible terms are known.
func (j *judge) noteInForce(unread bool) {
	e := &j.engagement
	check := compliance.Check{Code: CodeEngagementInForce, Result: compliance.Pass}
	switch {
	case unread:
		check.Result, check.Detail = compliance.CannotTell, "a later rung of the ladder cannot be read"
	case e.inForceID != e.verified.ID:
		check.Result, check.Detail = compliance.CannotTell, "a later engagement is in force: its visible terms are used"
	}
	j.inForce = check
}

func (e *engagement) since(p plan, existedBy time.Time) {
	for s, periods := range p {
		if e.planSince[s] == nil {
			e.planSince[s] = make(map[attestation.Period]time.Time)
		}
		for period := range periods {
			if _, ok := e.planSince[s][period]; !ok {
				e.planSince[s][period] = existedBy
			}
		}
	}
}

// fixedTerms are the visible terms from which duties follow.
type fixedTerms struct {
	employer, support, ruleset, class, field, supportMode string
	start                                                 attestation.Date
	closingDay, payDay, payMonthOffset                    int
	holidayRule, payMethod                                string
}

func fixedTermsOf(e *attestation.Engagement) fixedTerms {
	f := fixedTerms{e.Employer.ID, "", e.Ruleset, e.Class, e.Field, e.SupportMode, e.Start, e.ClosingDay, e.PayDay, e.PayMonthOffset, e.HolidayRule, e.PayMethod}
	if e.Support != nil {
		f.support = e.Support.ID
	}
	return f
}

// mayFollow checks the terms of a later rung. Every rung of a ladder is of one contract document, so its issuer may lengthen the contract
// and nothing else: one who could move a pay day, or the end, could make missed duties go away. Other terms need another document, and so
// another ladder.
func mayFollow(before, c *attestation.Engagement) error {
	switch {
	case before == nil:
		return nil
	case fixedTermsOf(before) != fixedTermsOf(c):
		return errors.New("the later engagement of the contract changes its terms: they need a contract document of their own")
	case c.End.Before(before.End):
		return errors.New("the later engagement ends the contract earlier: attest its end as a separation")
	}
	return nil
}

// repeats checks that a later plan has every digest of an earlier one.
func (p plan) repeats(before plan) error {
	for s, periods := range before {
		for period, digest := range periods {
			if p[s][period] != digest {
				return &failure{CodeEngagementSlots, fmt.Errorf("the later engagement does not repeat the slot %s %s", s, period)}
			}
		}
	}
	return nil
}

// CheckFollows checks what one engagement says against an earlier one of its contract's ladder, each given with its payload as signed. A
// wallet asks before it takes the later one: a verifier refuses an engagement that does not follow, and with it all that the worker has.
func CheckFollows(earlier, later *attestation.Engagement, earlierPayload, laterPayload []byte) error {
	before, err := planOfPayload(earlierPayload)
	if err != nil {
		return err
	}
	p, err := planOfPayload(laterPayload)
	if err != nil {
		return err
	}
	return errors.Join(mayFollow(earlier, later), p.repeats(before))
}

// engagementRung verifies one rung of the ladder. before is the plan of the valid rung below it: its digests must be repeated, and a
// period may be added only if it begins after the day of the logging.
func (j *judge) engagementRung(r *rung, before plan) (*attestation.Engagement, plan, error) {
	e := &j.engagement
	c, p, err := j.engagementClaims(r)
	if err != nil {
		return nil, nil, err
	}
	if c.ContractHash != e.claims.ContractHash || c.Registry != e.claims.Registry {
		return nil, nil, errors.New("the rung is for another contract or registry")
	}
	if err := mayFollow(e.inForce, c); err != nil {
		return nil, nil, err
	}
	existedBy, _ := j.bounds(r.effective)
	if err := p.repeats(before); err != nil {
		return nil, nil, err
	}
	for s, periods := range p {
		for period := range periods {
			if _, ok := before[s][period]; !ok && len(before) > 0 && !period.First().After(attestation.DateOf(existedBy)) {
				return nil, nil, &failure{CodeEngagementSlots, fmt.Errorf("the later engagement adds the slot %s %s, which had begun", s, period)}
			}
		}
	}
	return c, p, nil
}

// engagementClaims returns claims and plan of a rung: those of the engagement shown, or the visible ones of another.
func (j *judge) engagementClaims(r *rung) (*attestation.Engagement, plan, error) {
	e := &j.engagement
	if r.record.takesPresented() {
		return e.claims, e.plan, nil
	}
	if !r.opens {
		return nil, nil, errors.New("the rung cannot be read")
	}
	if r.engagement != nil {
		return r.engagement, r.plan, nil
	}
	v, entity, key, err := j.verifyJWT(r, r.jwt+"~", nil)
	if err != nil {
		return nil, nil, err
	}
	existedBy, _ := j.bounds(r.index)
	if j.lists.Compromised(key.Thumbprint(), existedBy) {
		return nil, nil, errors.New("the rung's signing key was compromised")
	}
	claims, err := attestation.Decode(attestation.TypeEngagement.VCT(), v.Claims)
	if err != nil || v.Claims["vct"] != attestation.TypeEngagement.VCT() {
		return nil, nil, errors.New("the rung is not an engagement")
	}
	c := claims.(*attestation.Engagement)
	if _, err := issuerRole(entity, c, attestation.DateOf(existedBy)); err != nil || entity.ID != e.entity.ID {
		return nil, nil, errors.New("the rung's issuer is another or was not accredited")
	}
	if !v.Holder.Equal(e.verified.Holder) {
		return nil, nil, errors.New("the rung is bound to another key")
	}
	p, err := planOf(v.Signed)
	if err != nil {
		return nil, nil, err
	}
	r.engagement, r.plan = c, p
	return c, p, nil
}
