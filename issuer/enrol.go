package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	// ErrUntrustedEngagement is returned when the engagement's issuer is not accredited for engagements.
	ErrUntrustedEngagement = errors.New("the engagement's issuer is not on the trust list for engagements: ask the worker who gave it")
	// ErrNothingDisclosed is returned when a presentation opens no slot that the organization fills.
	ErrNothingDisclosed = errors.New("the presentation opens none of this organization's slots: ask the worker to show the engagement with `--show slots.<stream>`")
)

// Enrol takes a worker's presentation file of an engagement, made for this organization's issuer identifier, under the organization's own
// reference. The same again changes nothing; a later one may open more slots; another engagement under a reference in use is refused.
func (i *Issuer) Enrol(ctx context.Context, orgID, reference string, presentation []byte, list *trustlist.List) (*Enrolment, error) {
	o, err := i.org(ctx, orgID)
	if err != nil {
		return nil, err
	}
	v, err := i.verifyEngagement(presentation, o.Issuer, list)
	if err != nil {
		return nil, err
	}
	e, err := i.enrolment(o, reference, v)
	if err != nil {
		return nil, err
	}
	return e, i.Store.Update(ctx, func(tx store.Tx) error { return saveEnrolment(tx, o.ID, e) })
}

// EnrolNonce is the nonce of a presentation made for enrolment. It is the same for all: such a presentation is a file that the worker
// hands over once, it grants nothing but what it discloses, and only to its audience.
const EnrolNonce = "enrol"

// verifyEngagement checks a presentation of an engagement made for audience within the last month.
func (i *Issuer) verifyEngagement(presentation []byte, audience string, list *trustlist.List) (*sdjwt.Verified, error) {
	p, err := evidence.ParsePresentation(presentation)
	if err != nil {
		return nil, err
	}
	u, err := sdjwt.Parse(p.Engagement)
	if err != nil {
		return nil, fmt.Errorf("reading the presentation: %w", err)
	}
	now := i.Now()
	entity, key, err := list.EntityForHeader(u.Header(), now)
	if err != nil {
		return nil, errors.Join(ErrUntrustedEngagement, err)
	}
	if err := entity.MayAttest(attestation.TypeEngagement, attestation.AcceptingOrganization, attestation.DateOf(now)); err != nil {
		return nil, errors.Join(ErrUntrustedEngagement, err)
	}
	return u.Verify(key, sdjwt.Expect{
		Algs:       []keys.Alg{keys.ES256, keys.EdDSA},
		VCT:        []string{attestation.TypeEngagement.VCT()},
		Now:        now,
		KeyBinding: &sdjwt.ExpectKeyBinding{Audience: audience, Nonce: EnrolNonce, Now: now, MaxAge: 31 * 24 * time.Hour, Ahead: time.Minute},
	})
}

// enrolment takes from a verified engagement what the organization needs.
func (i *Issuer) enrolment(o *org, reference string, v *sdjwt.Verified) (*Enrolment, error) {
	claims, err := attestation.Decode(attestation.TypeEngagement.VCT(), v.Claims)
	if err != nil {
		return nil, err
	}
	terms := claims.(*attestation.Engagement)
	if terms.Registry != i.Origin {
		return nil, fmt.Errorf("the engagement is logged at another registry than %s", i.Origin)
	}
	e := &Enrolment{Reference: reference, Engagement: v.ID, Holder: v.Holder.JWK(), Terms: *terms}
	if e.Secrets, err = openedSecrets(terms, func(s attestation.Stream) bool { return e.fills(o, s) }); err != nil {
		return nil, err
	}
	if len(e.Secrets) == 0 {
		return nil, ErrNothingDisclosed
	}
	if terms.DeliveryProof != nil {
		delivery, err := registry.CheckDeliveryProof(*terms.DeliveryProof, v.Holder, i.Origin)
		if err != nil {
			return nil, fmt.Errorf("the worker's delivery key: %w", err)
		}
		e.Delivery = delivery.JWK()
	}
	e.Terms.Slots, e.Terms.DeliveryProof, e.Terms.WorkerIdentity = nil, nil, nil
	return e, nil
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

// saveEnrolment stores e, joined with the slots that an earlier presentation of the same engagement opened.
func saveEnrolment(tx store.Tx, orgID string, e *Enrolment) error {
	var old Enrolment
	switch err := getJSON(tx, enrolKey(orgID, e.Reference), &old); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	case old.Engagement != e.Engagement:
		return fmt.Errorf("reference %q is in use for another engagement: choose another reference", e.Reference)
	default:
		for stream, periods := range old.Secrets {
			if e.Secrets[stream] == nil {
				e.Secrets[stream] = map[attestation.Period]registry.Secret{}
			}
			for p, s := range periods {
				e.Secrets[stream][p] = s
			}
		}
	}
	if err := setJSON(tx, enrolKey(orgID, e.Reference), e); err != nil {
		return err
	}
	return setJSON(tx, engagementKey(orgID, e.Engagement), e.Reference)
}

// deliveryKey returns the key that box B is sealed for; zero when the worker gave none.
func (e *Enrolment) deliveryKey() (keys.Public, error) {
	if len(e.Delivery) == 0 {
		return keys.Public{}, nil
	}
	return keys.ParsePublic(e.Delivery)
}
