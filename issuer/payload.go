package issuer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/schemas"
)

// hidden lists, per credential type, the members that the holder discloses one by one; ".*" means every member inside. What is not
// listed is always visible.
var hidden = map[attestation.Type][]string{
	attestation.TypeEngagement:          {"worker.*", "terms.*", "delivery_proof"},
	attestation.TypeWagePayment:         {"hours", "base", "allowances", "overtime_pay", "gross", "deductions.*", "net"},
	attestation.TypeWageReceipt:         {"amount", "payer_name", "payer_code", "transaction_class"},
	attestation.TypeSupportSession:      {"minutes", "place", "language", "interpreter", "staff", "topics", "materials_hash"},
	attestation.TypeSupportInterview:    {"private", "language", "interpreter", "interviewer_role", "start", "end", "online_consent", "recording_hash", "second_signature", "findings", "reported_to", "reported_at"},
	attestation.TypeNotificationFiled:   {"form", "office", "receipt_number", "document_hash"},
	attestation.TypeNotificationReceipt: {"form", "office", "receipt_number", "document_hash"},
	attestation.TypeSeparation:          {"reason_class", "reason_code", "objection"},
	attestation.TypeRemedy:              {"amounts", "directive_number"},
}

// object turns claims into the members of a JSON object, numbers kept as written.
func object(claims any) (map[string]any, error) {
	b, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	return m, dec.Decode(&m)
}

// hide marks the disclosable members of payload.
func hide(typ attestation.Type, payload map[string]any) {
	for _, name := range hidden[typ] {
		parent, all := payload, false
		if n := len(name) - len(".*"); n > 0 && name[n:] == ".*" {
			name, all = name[:n], true
		}
		v, ok := parent[name]
		if !ok {
			continue
		}
		if !all {
			parent[name] = sdjwt.Hidden(v)
			continue
		}
		if inner, ok := v.(map[string]any); ok {
			for k, v := range inner {
				inner[k] = sdjwt.Hidden(v)
			}
		}
	}
}

// sign makes the SD-JWT VC of claims for the holder: iss and iat (rounded to the day, since time comes from the registry) and cnf are
// added, the schema of the type is checked.
func (o *org) sign(typ attestation.Type, claims any, holder json.RawMessage, now time.Time, opts sdjwt.Options) (string, error) {
	payload, err := object(claims)
	if err != nil {
		return "", err
	}
	payload["vct"] = typ.VCT()
	payload["iss"] = o.Issuer
	payload["iat"] = now.Truncate(24 * time.Hour).Unix()
	payload["cnf"] = map[string]any{"jwk": holder}
	checked, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	if err := schemas.Validate(typ.VCT(), checked); err != nil {
		return "", fmt.Errorf("%s: %w", typ, err)
	}
	hide(typ, payload)
	hideSlots(payload)
	return sdjwt.Issue(o.signing, o.header(), payload, opts)
}

func (o *org) header() keys.Header {
	h := keys.Header{"typ": "dc+sd-jwt", "kid": o.signing.Public().Thumbprint()}
	if len(o.X5C) > 0 {
		h["x5c"] = o.X5C
	}
	return h
}

// hideSlots makes each slots.<stream>.<period> a visible object whose one member, the secret s, is disclosable.
func hideSlots(payload map[string]any) {
	streams, _ := payload["slots"].(map[string]any)
	for _, v := range streams {
		periods, _ := v.(map[string]any)
		for _, v := range periods {
			if slot, ok := v.(map[string]any); ok {
				slot["s"] = sdjwt.Hidden(slot["s"])
			}
		}
	}
}
