package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
	"akashi/registry/trustlist"
)

var (
	// ErrUntrusted is returned for a document whose issuer is not on the trust list for it. The wallet stops there: it is not a warning.
	ErrUntrusted = errors.New("the issuer is not a registered organization for this document: do not accept it, and ask for help")
	// ErrNotYours is returned for a document bound to another key.
	ErrNotYours = errors.New("the document is made for another wallet's key")
)

// document is a credential that was verified.
type document struct {
	*sdjwt.Verified
	typ     attestation.Type
	claims  any // as [attestation.Decode] gives them
	issuer  *trustlist.Entity
	compact string
}

// verify checks the issuer's signature by the trust list, and that the document is bound to this wallet's key. Whether the issuer may attest
// what it does is the caller's to check.
func (w *Wallet) verify(compact string, list *trustlist.List) (*document, error) {
	u, err := sdjwt.Parse(compact)
	if err != nil {
		return nil, err
	}
	entity, key, err := list.EntityForHeader(u.Header(), issuedAt(u))
	if err != nil {
		return nil, errors.Join(ErrUntrusted, err)
	}
	v, err := u.Verify(key, sdjwt.Expect{Algs: []keys.Alg{keys.ES256, keys.EdDSA}})
	if err != nil {
		return nil, err
	}
	if !v.Holder.Equal(w.holder.Public()) {
		return nil, ErrNotYours
	}
	if v.Claims["iss"] != entity.Issuer {
		return nil, fmt.Errorf("%w: the issuer named is not the one whose key signed", ErrUntrusted)
	}
	d := &document{Verified: v, issuer: entity, compact: compact}
	vct, _ := v.Claims["vct"].(string)
	if d.typ, err = attestation.TypeOf(vct); err != nil {
		return nil, err
	}
	d.claims, err = attestation.Decode(vct, v.Claims)
	return d, err
}

// issuedAt returns the time for which the issuer's certificate must be valid: the document's own day, since one that ran out later voids
// nothing. A document without a day has no such time.
func issuedAt(u *sdjwt.Unverified) time.Time {
	var claims struct {
		Iat int64 `json:"iat"`
	}
	if err := json.Unmarshal(u.UnverifiedPayload(), &claims); err != nil || claims.Iat <= 0 {
		return time.Time{}
	}
	return time.Unix(claims.Iat, 0)
}

func (d *document) day() attestation.Date {
	iat, _ := d.Claims["iat"].(json.Number)
	seconds, err := iat.Int64()
	if err != nil {
		return attestation.Date{}
	}
	return attestation.DateOf(time.Unix(seconds, 0))
}

// mayAttest checks that the issuer was accredited for the document in the role on the document's day.
func (d *document) mayAttest(role attestation.Role) error {
	if err := d.issuer.MayAttest(d.typ, role, d.day()); err != nil {
		return errors.Join(ErrUntrusted, err)
	}
	return nil
}

// complete reports whether every digest in the signed payload and in the disclosures has its disclosure. Issuers of this project add no decoys.
func (d *document) complete() bool {
	digests := countDigests(d.Payload)
	for _, c := range d.Disclosed {
		digests += countDigests(c.Value)
	}
	return digests == len(d.Disclosed)
}

func countDigests(text []byte) int {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return 0
	}
	return digestsIn(v)
}

func digestsIn(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			list, _ := member.([]any)
			switch name {
			case "_sd":
				n += len(list)
			case "...":
				n++
			default:
				n += digestsIn(member)
			}
		}
	case []any:
		for _, element := range v {
			n += digestsIn(element)
		}
	}
	return n
}

// item returns what the wallet stores of the document.
func (d *document) item(now time.Time) (*Item, error) {
	claims, err := json.Marshal(d.Claims)
	if err != nil {
		return nil, err
	}
	it := &Item{ID: d.ID, Type: d.typ, Claims: claims, Issuer: d.issuer.ID, Received: now, Complete: d.complete(), SDJWT: d.compact}
	if it.Engagement = attestation.LinksOf(d.claims).Engagement; d.typ == attestation.TypeEngagement {
		it.Engagement = d.ID
	}
	return it, nil
}

// opened returns the period secret of a slot of the engagement.
func opened(e *attestation.Engagement, stream attestation.Stream, period attestation.Period) (s registry.Secret, ok bool) {
	text, ok := e.Opened(stream, period)
	return s, ok && s.UnmarshalText([]byte(text)) == nil
}
