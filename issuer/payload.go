package issuer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/keys"
	"akashi/internal/sdjwt"
	"akashi/registry"
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

// hide returns the claims with the disclosable members marked; payload itself stays as it is.
func hide(typ attestation.Type, payload map[string]any) map[string]any {
	out := maps.Clone(payload)
	for _, name := range hidden[typ] {
		if parent, ok := strings.CutSuffix(name, ".*"); ok {
			if members, ok := out[parent].(map[string]any); ok {
				out[parent] = hideMembers(members)
			}
		} else if v, ok := out[name]; ok {
			out[name] = sdjwt.Hidden(v)
		}
	}
	if typ == attestation.TypeEngagement {
		out["slots"] = hideSlots(out["slots"])
	}
	return out
}

func hideMembers(members map[string]any) map[string]any {
	out := make(map[string]any, len(members))
	for name, v := range members {
		out[name] = sdjwt.Hidden(v)
	}
	return out
}

// hideSlots makes each slots.<stream>.<period> a visible object whose one member, the secret s, is disclosable.
func hideSlots(slots any) map[string]any {
	out := map[string]any{}
	streams, _ := slots.(map[string]any)
	for stream, v := range streams {
		periods, _ := v.(map[string]any)
		shown := make(map[string]any, len(periods))
		for period, slot := range periods {
			members, _ := slot.(map[string]any)
			shown[period] = hideMembers(members)
		}
		out[stream] = shown
	}
	return out
}

// newSlots gives every slot of the engagement's plan a random secret in the credential's claims. The enrolment keeps those of the
// organization's own streams.
func (i *Issuer) newSlots(o *org, e *Enrolment, payload map[string]any) error {
	slots, n := map[string]any{}, 0
	for stream, periods := range e.Terms.Plan() {
		if n += len(periods); n > maxSlots {
			return errors.New("the contract is longer than an engagement can hold")
		}
		own := map[attestation.Period]registry.Secret{}
		inner := map[string]any{}
		for _, p := range periods {
			var s registry.Secret
			if _, err := io.ReadFull(i.Rand, s[:]); err != nil {
				return err
			}
			text, err := s.MarshalText()
			if err != nil {
				return err
			}
			own[p] = s
			inner[string(p)] = map[string]any{"s": string(text)}
		}
		if slots[string(stream)] = inner; e.fills(o, stream) {
			e.Secrets[stream] = own
		}
	}
	payload["slots"] = slots
	return nil
}

// roundToDay gives iat: the time of an attestation comes from the registry, and a finer one would let credentials be linked.
func roundToDay(t time.Time) int64 { return t.Truncate(24 * time.Hour).Unix() }

func (o *org) header() keys.Header {
	h := keys.Header{"typ": sdjwt.Typ, "kid": o.signing.Public().Thumbprint()}
	if len(o.X5C) > 0 {
		h["x5c"] = o.X5C
	}
	return h
}
