package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry/trustlist"
)

// A copy is an attestation that a wallet collected from the issuer for a key of its own. It has the digests of the logged JWT, and says under
// "logged" which that is. A wallet that knows nothing of the registry has no other form. The record keeps the logged JWT; the copy brings the
// disclosures, which hold because their digests stand in that JWT.

// copyClaims are those in which a copy differs from what it is a copy of.
var copyClaims = []string{"cnf", "iat", "status", "logged"}

// loggedOf returns the ID of the JWT that a credential says it is a copy of, "" for none. Nothing is verified. Most are none, and are not parsed.
func loggedOf(compact string) string {
	var claims struct {
		Logged string `json:"logged"`
	}
	payload, err := keys.UnverifiedPayload(jwtOf(compact))
	if err != nil || !bytes.Contains(payload, []byte(`"logged"`)) || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Logged
}

// belongsTo names the record of a presented credential: by its JWT, of a copy by the ID of the logged one.
func belongsTo(compact string) string {
	if logged := loggedOf(compact); logged != "" {
		return logged
	}
	return jwtOf(compact)
}

// idOf returns the ID of a JWT, "" for what is none.
func idOf(jwt string) string {
	id, err := keys.ID(jwt)
	if err != nil {
		return ""
	}
	return id
}

// isCopy reports whether the presented credential at a place is a copy of the JWT that a record comes with.
func (j *judge) isCopy(r *rung, place int) bool {
	all := j.file.Presentation.Attestations
	if r.of != ofSlot || r.record.JWT == "" || place >= len(all) {
		return false
	}
	logged := loggedOf(all[place])
	return logged != "" && logged == idOf(r.jwt)
}

// joined is the logged credential with the disclosures of its copy.
func joined(jwt, compact string) string {
	_, disclosures, _ := strings.Cut(compact, "~")
	return jwt + "~" + disclosures[:strings.LastIndexByte(disclosures, '~')+1] // without the key binding
}

// checkCopy verifies the copy that is shown of a record: its issuer is the record's, its holder signed the presentation, and it says what the record
// says. Which key of the issuer signed the copy does not matter: what is believed is the record.
func (j *judge) checkCopy(r *rung, v *verifiedRecord) error {
	u, err := j.memory.parse(r.presented)
	if err != nil {
		return err
	}
	entity, key, err := j.copySigner(u)
	if err != nil {
		return err
	}
	c, err := j.memory.verify(u, key, j.keyBinding())
	switch {
	case errors.Is(err, sdjwt.ErrKeyBinding):
		return &failure{CodeKBAttestation, err}
	case err != nil:
		return err
	case entity.ID != v.entity.ID || c.Claims["logged"] != v.ID:
		return errors.New("it is of another issuer, or of another record")
	}
	said, logged := maps.Clone(c.Claims), maps.Clone(v.Claims)
	for _, name := range copyClaims {
		delete(said, name)
		delete(logged, name)
	}
	if !reflect.DeepEqual(said, logged) {
		return errors.New("it says something else than the record")
	}
	return j.checkShownTogether(c)
}

// copySigner finds who signed a copy: on the newest trust list that has the key.
func (j *judge) copySigner(u *sdjwt.Unverified) (entity *trustlist.Entity, key keys.Public, err error) {
	err = trustlist.ErrUnknownKey
	for _, v := range slices.Backward(j.lists.versions) {
		if entity, key, err = v.List.EntityForHeader(u.Header(), issuedAt(u)); err == nil {
			break
		}
	}
	return entity, key, err
}

// checkShownTogether checks that a credential was presented together with the engagement.
func (j *judge) checkShownTogether(v *sdjwt.Verified) error {
	if shown := j.engagement.verified.KB; v.KB != nil && (v.KB.Aud != shown.Aud || v.KB.Nonce != shown.Nonce) {
		return &failure{CodeKBAttestation, errors.New("its presentation was made for another audience or nonce than the engagement's")}
	}
	return nil
}

// copyFailure gives what is wrong with a copy its code, unless it has one.
func copyFailure(err error) error {
	var known *failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &failure{CodeCopyDiffers, fmt.Errorf("a copy of a record: %w", err)}
}
