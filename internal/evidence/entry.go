package evidence

import (
	"errors"
	"fmt"

	"akashi/attestation"
	"akashi/compliance"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Why an entry of a slot is worth nothing (compliance.Entry.Reason). The first four leave it open whether it is: it counts for nobody.
const (
	ReasonUnavailable   = "entry.unavailable" // the sealed box is not to be had
	ReasonErased        = "entry.erased"      // it was erased on the worker's request
	ReasonCompromised   = compliance.CodeIssuerCompromised
	ReasonUndetermined  = compliance.CodeEntryUndetermined // no checkpoint tells whether its signer was accredited when it was logged
	ReasonJunk          = "entry.junk"                     // the box does not open, or holds no credential
	ReasonSignature     = "entry.signature"                // the credential's signature or form does not verify
	ReasonNotAccredited = "issuer.accredited"              // the signer may not attest this in that role
	ReasonType          = "entry.type"                     // another type than the stream's, or claims that the type does not have
	ReasonEngagement    = "entry.engagement"               // it names no engagement of this contract
	ReasonHolder        = "entry.holder"                   // it is bound to another key than the engagement
	ReasonSlot          = "entry.slot"                     // its period, date or interviewee is that of another slot
)

// junk is an error with the reason for which an entry is junk.
type junk struct {
	reason string
	err    error
}

func (e *junk) Error() string { return e.err.Error() }
func (e *junk) Unwrap() error { return e.err }

// verifiedRecord is the outcome of the signature checks of a record.
type verifiedRecord struct {
	*sdjwt.Verified
	entity *trustlist.Entity
	key    keys.Public
	claims any // decoded, of records of slots
	err    error
}

// openRecords judges every member of every slot. It fails when a presented credential is not the valid record of its slot; where a file is
// being made, such a credential is marked and counts for nothing.
func (j *judge) openRecords() (string, error) {
	valid, members := 0, 0
	for i := range j.slots {
		for _, r := range j.slots[i].rungs {
			err := j.openRecord(r)
			if err != nil && r.presented != "" {
				if !j.making {
					return "", err
				}
				r.dropped, r.presented, r.isCopy, r.cached = err, "", false, nil
				_ = j.openRecord(r) // without the presentation; the entry says what it is worth
			}
			members++
			if r.entry.Validity == compliance.Valid {
				valid++
			}
		}
	}
	return fmt.Sprintf("%d of %d records valid", valid, members), nil
}

// openRecord fills r.entry. The error says why it is not valid.
func (j *judge) openRecord(r *rung) error {
	existedBy, notBefore := j.bounds(r.effective)
	r.entry = compliance.Entry{J: r.n, Index: r.index, ExistedBy: existedBy, NotBefore: notBefore}
	switch {
	case r.record.Erased:
		r.entry.Reason = ReasonErased
		return errors.New("the record was erased")
	case !r.kept:
		r.entry.Reason = ReasonUnavailable
		return errors.New("the record is not to be had")
	case !r.opens:
		r.entry.Validity, r.entry.Reason = compliance.Junk, ReasonJunk
		return errors.New("the record does not open")
	}
	err := j.admit(r)
	var why *junk
	switch {
	case err == nil:
		r.entry.Validity, r.entry.Presented = compliance.Valid, r.presented != ""
	case errors.As(err, &why) && (why.reason == ReasonCompromised || why.reason == ReasonUndetermined):
		r.entry.Reason = why.reason
	case why != nil:
		r.entry.Validity, r.entry.Reason = compliance.Junk, why.reason
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// admit checks that the record is what its slot is for, and fills r.entry from it. All errors but those of a key binding are junk.
func (j *judge) admit(r *rung) error {
	v := j.verifyRecord(r)
	if v.err != nil {
		return v.err
	}
	e, s := &j.engagement, r.slot
	role := s.stream.Filler(e.claims.HasSupport())
	ownTime, _ := j.bounds(r.index)
	switch {
	case !isParty(v.entity.ID, role, e.claims):
		return &junk{ReasonNotAccredited, errors.New("the signer is not the party that fills this stream")}
	case !e.ids[attestation.LinksOf(v.claims).Engagement]:
		return &junk{ReasonEngagement, errors.New("it names no engagement of this contract")}
	case !v.Holder.Equal(e.verified.Holder):
		return &junk{ReasonHolder, errors.New("it is bound to another key than the engagement")}
	case !fits(s.stream, s.period, v.claims):
		return &junk{ReasonSlot, errors.New("it belongs into another slot")}
	}
	if err := j.accredited(r, v.entity, s.stream.Type(), role); err != nil {
		return err
	}
	if j.lists.Compromised(v.key.Thumbprint(), ownTime) {
		return &junk{ReasonCompromised, errors.New("the signing key was compromised before the record was seen")}
	}
	r.entry.ID, r.entry.Type, r.entry.Attester, r.entry.Role, r.entry.Claims = v.ID, s.stream.Type(), v.entity.ID, role, v.claims
	r.entry.Tied = j.tied(r.index, v.entity, role)
	return nil
}

// accredited checks that the signer was accredited when the record was logged. Who was when the engagement was logged stays so for this
// engagement to its end. The file's checkpoints bound the time from both sides, and may leave it open.
func (j *judge) accredited(r *rung, entity *trustlist.Entity, t attestation.Type, role attestation.Role) error {
	existedBy, notBefore := j.bounds(r.index)
	err := entity.MayAttest(t, role, attestation.DateOf(existedBy))
	if err == nil || entity.MayAttest(t, role, attestation.DateOf(j.engagement.loggedAt)) == nil {
		return nil
	}
	// Listed until a day between the two bounds, it may have been.
	last := entity.Until
	if last.IsZero() || last.Before(attestation.DateOf(notBefore)) || !last.Before(attestation.DateOf(existedBy)) || entity.MayAttest(t, role, last) != nil {
		return &junk{ReasonNotAccredited, err}
	}
	return &junk{ReasonUndetermined, errors.New("no checkpoint tells whether the signer was still accredited when the record was logged")}
}

// tied reports whether a bank or an authority is not independent of the accepting organization.
func (j *judge) tied(index uint64, entity *trustlist.Entity, role attestation.Role) bool {
	if role != attestation.Bank && role != attestation.Authority {
		return false
	}
	employer, ok := j.lists.At(index).EntityByID(j.engagement.claims.Employer.ID)
	return ok && entity.Tied(employer)
}

// verifyRecord verifies the credential of a record once, the presented one with its key binding where there is one.
func (j *judge) verifyRecord(r *rung) *verifiedRecord {
	if r.cached != nil {
		return r.cached
	}
	v := new(verifiedRecord)
	r.cached = v
	compact, kb := r.presented, j.keyBinding()
	switch {
	case r.isCopy:
		compact, kb = joined(r.jwt, r.presented), nil
	case compact == "":
		compact, kb = r.jwt+"~", nil
	}
	if v.Verified, v.entity, v.key, v.err = j.verifyJWT(r, compact, kb); v.err != nil {
		if r.isCopy { // it discloses what the record does not have
			v.err = copyFailure(v.err)
		}
		return v
	}
	if v.err = j.checkShownTogether(v.Verified); v.err == nil && r.isCopy {
		v.err = copyFailure(j.checkCopy(r, v))
	}
	if v.err != nil {
		return v
	}
	vct := r.slot.stream.Type().VCT()
	if v.Claims["vct"] != vct {
		v.err = &junk{ReasonType, errors.New("another type of credential than the stream has")}
		return v
	}
	if v.claims, v.err = j.memory.decode(vct, v.Verified); v.err != nil {
		v.err = &junk{ReasonType, v.err}
	}
	return v
}

// verifyJWT verifies an SD-JWT with the key that the trust list in force at the record's index gives.
func (j *judge) verifyJWT(r *rung, compact string, kb *sdjwt.ExpectKeyBinding) (*sdjwt.Verified, *trustlist.Entity, keys.Public, error) {
	refuse := func(reason string, err error) (*sdjwt.Verified, *trustlist.Entity, keys.Public, error) {
		return nil, nil, keys.Public{}, &junk{reason, err}
	}
	u, err := j.memory.parse(compact)
	if err != nil {
		return refuse(ReasonJunk, err)
	}
	list := j.lists.At(r.index)
	if list == nil {
		return refuse(ReasonNotAccredited, errors.New("no trust list was in force"))
	}
	existedBy, notBefore := j.bounds(r.index)
	entity, key, err := list.EntityForHeader(u.Header(), existedBy)
	if err != nil {
		if last, ok := trustlist.LastValid(u.Header()); ok && last.Before(existedBy) && last.After(notBefore) {
			if _, _, before := list.EntityForHeader(u.Header(), last); before == nil {
				return refuse(ReasonUndetermined, errors.New("no checkpoint tells whether the signer's certificate was still valid when the record was logged"))
			}
		}
		return refuse(ReasonNotAccredited, err)
	}
	v, err := j.memory.verify(u, key, kb)
	switch {
	case errors.Is(err, sdjwt.ErrKeyBinding):
		return nil, nil, keys.Public{}, &failure{CodeKBAttestation, err}
	case err != nil:
		return refuse(ReasonSignature, err)
	case entity.Issuer == "" || v.Claims["iss"] != entity.Issuer:
		return refuse(ReasonNotAccredited, errIssuer)
	}
	return v, entity, key, nil
}

// fits reports whether a record's visible claims belong into the slot of that stream and period. An interview may be held after its
// quarter, since late is late, but not before; an event belongs into the fiscal year of its date.
func fits(s attestation.Stream, p attestation.Period, claims any) bool {
	switch c := claims.(type) {
	case *attestation.WagePayment:
		return c.Period == p
	case *attestation.WageReceipt:
		return c.Period == p
	case *attestation.SupportInterview:
		interviewee := attestation.IntervieweeWorker
		if s == attestation.InterviewSuperior {
			interviewee = attestation.IntervieweeSupervisor
		}
		return c.Interviewee == interviewee && !c.Date.Before(p.First())
	case *attestation.SupportSession:
		return attestation.EventsOf(c.Date) == p
	case *attestation.NotificationFiled:
		return fitsNotice(p, &c.Notification)
	case *attestation.NotificationReceipt:
		return fitsNotice(p, &c.Notification)
	case *attestation.Separation:
		return attestation.EventsOf(c.EndDate) == p
	case *attestation.Remedy:
		return attestation.EventsOf(c.RemediedDate) == p
	}
	return false
}

func fitsNotice(p attestation.Period, n *attestation.Notification) bool {
	if p.Kind() == attestation.Events {
		return !n.EventDate.IsZero() && attestation.EventsOf(n.EventDate) == p
	}
	return n.Period == p
}

// checkSubmissions verifies the submissions shown with junk: they say who wrote it. They have no place elsewhere.
func (j *judge) checkSubmissions() (string, error) {
	shown := 0
	for _, r := range j.rungs {
		if r.record.Submission == nil {
			continue
		}
		if r.of != ofSlot || r.entry.Validity != compliance.Junk {
			return "", fmt.Errorf("%s: only a junk record is shown with its submission", r)
		}
		submitter, err := j.submitter(r, r.record.Submission)
		if err != nil {
			return "", fmt.Errorf("%s: %w", r, err)
		}
		r.entry.Submitter = submitter
		shown++
	}
	return fmt.Sprintf("%d submissions", shown), nil
}

// submitter returns the entity that submitted a record. The path alone says where the record stands in its submission, so the position is
// read in the complete tree of the path's height.
func (j *judge) submitter(r *rung, s *Submission) (string, error) {
	header, err := keys.PeekHeader(s.JWT)
	if err != nil {
		return "", err
	}
	list := j.lists.At(r.index)
	if list == nil {
		return "", errors.New("no trust list was in force")
	}
	entity, key, ok := list.EntityBySubmissionKey(header.Kid)
	if !ok {
		return "", trustlist.ErrUnknownKey
	}
	if len(s.Path) > maxSubmissionPath {
		return "", registry.ErrTreeSize
	}
	ref := registry.RecordRef{K: r.record.Key, V: r.value}
	err = registry.CheckSubmissionRecord(s.JWT, key, entity.ID, j.trust.Policy.Origin, ref, s.Position, 1<<len(s.Path), s.Path)
	return entity.ID, err
}

// maxSubmissionPath is the height of the tree over [registry.MaxRecords] records.
const maxSubmissionPath = 10
