package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"akashi/attestation"
	"akashi/internal/evidence"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/internal/store"
	"akashi/registry"
	"akashi/registry/trustlist"
)

// Enrolment is what an organization knows of an engagement: enough to attest to its own slots, and no more than the worker, or the
// issuing of the engagement itself, let it see.
type Enrolment struct {
	Reference  string                                                        `json:"reference"` // the organization's own number: employee, account, file
	Engagement string                                                        `json:"engagement"`
	Holder     json.RawMessage                                               `json:"holder"`             // cnf JWK
	Delivery   json.RawMessage                                               `json:"delivery,omitempty"` // delivery JWK; none: the wallet collects from the issuer
	Terms      attestation.Engagement                                        `json:"terms"`              // claims that were visible or disclosed, without the slots
	Secrets    map[attestation.Stream]map[attestation.Period]registry.Secret `json:"secrets"`

	cnf map[string]any // the claim, and
	to  keys.Public    // the key of box B: the zero key without Delivery; see prepare
}

// prepare reads the keys, which every attestation of one engagement needs.
func (e *Enrolment) prepare() (err error) {
	var holder map[string]any
	if err := keys.DecodeJSON(e.Holder, &holder); err != nil {
		return err
	}
	e.cnf = map[string]any{"jwk": holder}
	if len(e.Delivery) > 0 {
		e.to, err = keys.ParsePublic(e.Delivery)
	}
	return err
}

// loadEnrolment returns what is stored under the reference.
func loadEnrolment(tx store.Tx, orgID, reference string) (*Enrolment, error) {
	e := new(Enrolment)
	if err := store.GetJSON(tx, enrolKey(orgID, reference), e); err != nil {
		return nil, err
	}
	return e, e.prepare()
}

// supportID returns the support organization's id, "" under self-support.
func (e *Enrolment) supportID() string {
	if e.Terms.Support == nil {
		return ""
	}
	return e.Terms.Support.ID
}

// fills reports whether an organization in role with id is the one that fills the stream for this engagement.
func (e *Enrolment) fills(o *org, stream attestation.Stream) bool {
	if stream.Filler(e.Terms.HasSupport()) != o.Role {
		return false
	}
	switch o.Role {
	case attestation.AcceptingOrganization:
		return o.ID == e.Terms.Employer.ID
	case attestation.SupportOrganization:
		return o.ID == e.supportID()
	}
	return true
}

var (
	// ErrUntrustedEngagement is returned when the engagement's issuer is not accredited for it.
	ErrUntrustedEngagement = errors.New("the engagement's issuer is not on the trust list for engagements of this employer: ask the worker who gave it")
	// ErrNothingDisclosed is returned when a presentation opens no slot that the organization fills.
	ErrNothingDisclosed = errors.New("the presentation opens none of this organization's slots: ask the worker to show the engagement with `--show slots.<stream>`")

	errReference = errors.New("the reference is in use for another engagement: choose another reference")
)

const (
	// EnrolNonce is the nonce of a presentation made for enrolment. It is the same for all: such a presentation is a file that the
	// worker hands over once, it grants nothing but what it discloses, and only to its audience.
	EnrolNonce = "enrol"

	maxEnrolAge  = 31 * 24 * time.Hour // of such a presentation
	maxReference = 200                 // bytes
)

// Enrol takes a worker's presentation file of an engagement, made for this organization's issuer identifier, under the organization's own
// reference. The same again changes nothing; a later one may open more slots; another engagement under a reference in use is refused.
func (i *Issuer) Enrol(ctx context.Context, orgID, reference string, presentation []byte, list *trustlist.List) (*Enrolment, error) {
	o, err := i.org(ctx, orgID)
	if err != nil {
		return nil, err
	}
	e, err := i.checkEnrolment(o, normalise(reference), presentation, list)
	if err != nil {
		return nil, err
	}
	return e, i.Store.Update(ctx, func(tx store.Tx) error { return e.save(tx, o.ID) })
}

// checkEnrolment verifies a presentation of an engagement and takes from it what the organization needs.
func (i *Issuer) checkEnrolment(o *org, reference string, presentation []byte, list *trustlist.List) (*Enrolment, error) {
	if reference == "" || len(reference) > maxReference {
		return nil, fmt.Errorf("a reference has 1 to %d bytes", maxReference)
	}
	if list == nil {
		return nil, ErrNoTrustList
	}
	v, entity, err := i.verifyEngagement(presentation, o.Issuer, list)
	if err != nil {
		return nil, err
	}
	claims, err := attestation.Decode(attestation.TypeEngagement.VCT(), v.Claims)
	if err != nil {
		return nil, err
	}
	terms := claims.(*attestation.Engagement)
	if err := mayIssue(entity, terms, attestation.DateOf(i.Now())); err != nil {
		return nil, errors.Join(ErrUntrustedEngagement, err)
	}
	return i.enrolment(o, reference, v, terms)
}

// verifyEngagement checks the signatures on a presentation of an engagement, which must be made for the audience.
func (i *Issuer) verifyEngagement(presentation []byte, audience string, list *trustlist.List) (*sdjwt.Verified, *trustlist.Entity, error) {
	p, err := evidence.ParsePresentation(presentation)
	if err != nil {
		return nil, nil, err
	}
	u, err := sdjwt.Parse(p.Engagement)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the presentation: %w", err)
	}
	now := i.Now()
	entity, key, err := list.EntityForHeader(u.Header(), now)
	if err != nil {
		return nil, nil, errors.Join(ErrUntrustedEngagement, err)
	}
	v, err := u.Verify(key, sdjwt.Expect{
		Algs:       []keys.Alg{keys.ES256, keys.EdDSA},
		VCT:        []string{attestation.TypeEngagement.VCT()},
		Now:        now,
		KeyBinding: &sdjwt.ExpectKeyBinding{Audience: audience, Nonce: EnrolNonce, Now: now, MaxAge: maxEnrolAge, Ahead: time.Minute},
	})
	if err == nil && v.Claims["iss"] != entity.Issuer {
		err = fmt.Errorf("%w: iss is not the issuer that the list gives for the key", ErrUntrustedEngagement)
	}
	return v, entity, err
}

// mayIssue checks that the entity may issue this engagement: as the employer or the support organization that it names, or as an authority.
func mayIssue(entity *trustlist.Entity, e *attestation.Engagement, day attestation.Date) error {
	role := attestation.Authority
	switch {
	case entity.ID == e.Employer.ID:
		role = attestation.AcceptingOrganization
	case e.Support != nil && entity.ID == e.Support.ID:
		role = attestation.SupportOrganization
	}
	return entity.MayAttest(attestation.TypeEngagement, role, day)
}

// enrolment takes from a verified engagement what the organization needs.
func (i *Issuer) enrolment(o *org, reference string, v *sdjwt.Verified, terms *attestation.Engagement) (*Enrolment, error) {
	if terms.Registry != i.Origin {
		return nil, fmt.Errorf("the engagement is logged at another registry than %s", i.Origin)
	}
	e := &Enrolment{Reference: reference, Engagement: v.ID, Holder: v.Holder.JWK(), Terms: *terms}
	var err error
	if e.Secrets, err = openedSecrets(terms, func(s attestation.Stream) bool { return e.fills(o, s) }); err != nil {
		return nil, err
	}
	if len(e.Secrets) == 0 {
		return nil, ErrNothingDisclosed
	}
	if terms.DeliveryProof != nil {
		if e.Delivery, err = deliveryOf(*terms.DeliveryProof, v.Holder, i.Origin); err != nil {
			return nil, err
		}
	}
	e.Terms.Slots, e.Terms.DeliveryProof, e.Terms.WorkerIdentity = nil, nil, nil
	return e, nil
}

// deliveryOf returns the delivery key (JWK) of a proof that the holder signed.
func deliveryOf(proof string, holder keys.Public, origin string) (json.RawMessage, error) {
	delivery, err := registry.CheckDeliveryProof(proof, holder, origin)
	if err != nil {
		return nil, fmt.Errorf("the worker's delivery key: %w", err)
	}
	return delivery.JWK(), nil
}

// openedSecrets returns the disclosed period secrets of the streams that want picks.
func openedSecrets(e *attestation.Engagement, want func(attestation.Stream) bool) (map[attestation.Stream]map[attestation.Period]registry.Secret, error) {
	out := map[attestation.Stream]map[attestation.Period]registry.Secret{}
	for stream, periods := range e.Slots {
		if !want(stream) {
			continue
		}
		for period := range periods {
			text, ok := e.Opened(stream, period)
			if !ok {
				continue
			}
			var s registry.Secret
			if err := s.UnmarshalText([]byte(text)); err != nil {
				return nil, fmt.Errorf("period secret of %s %s: %w", stream, period, err)
			}
			if out[stream] == nil {
				out[stream] = map[attestation.Period]registry.Secret{}
			}
			out[stream][period] = s
		}
	}
	return out, nil
}

// earlier returns what is stored under the reference, nil when there is nothing. Another engagement there is an error.
func (e *Enrolment) earlier(tx store.Tx, orgID string) (*Enrolment, error) {
	old, err := loadEnrolment(tx, orgID, e.Reference)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case old.Engagement != e.Engagement:
		return nil, errReference
	}
	return old, nil
}

// save stores e, joined with what an earlier presentation of the same engagement showed and this one does not.
func (e *Enrolment) save(tx store.Tx, orgID string) error {
	old, err := e.earlier(tx, orgID)
	if err != nil {
		return err
	}
	if old != nil {
		if err := e.join(old); err != nil {
			return err
		}
	}
	if err := store.SetJSON(tx, enrolKey(orgID, e.Reference), e); err != nil {
		return err
	}
	return tx.Set(engagementKey(orgID, e.Engagement), []byte(e.Reference))
}

func (e *Enrolment) join(old *Enrolment) error {
	for stream, periods := range old.Secrets {
		if e.Secrets[stream] == nil {
			e.Secrets[stream] = map[attestation.Period]registry.Secret{}
		}
		maps.Copy(e.Secrets[stream], periods)
	}
	if len(e.Delivery) == 0 {
		e.Delivery = old.Delivery
	}
	if old.Terms.Terms == nil || e.Terms.Terms == nil {
		e.Terms.Terms = cmp.Or(e.Terms.Terms, old.Terms.Terms)
		return nil
	}
	shown, err := json.Marshal(e.Terms.Terms) // without what was withheld
	if err != nil {
		return err
	}
	e.Terms.Terms = old.Terms.Terms
	return json.Unmarshal(shown, e.Terms.Terms)
}
