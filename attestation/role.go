// Package attestation is the vocabulary of the project: who attests, what is attested, for which period, and the identifiers of
// the people and organizations concerned. It knows no formats, keys or stores.
//
// Days are civil days in Japan; a day ends at 24:00 Japan time (15:00Z).
package attestation

import "fmt"

// Role is the part a party plays for an engagement.
type Role string

const (
	AcceptingOrganization Role = "accepting-organization" // 特定技能所属機関, the employer
	SupportOrganization   Role = "support-organization"   // 登録支援機関
	Bank                  Role = "bank"
	Authority             Role = "authority"
	Worker                Role = "worker"

	// Relay attests nothing: a watch or an NGO that hands sealed statements of workers on to the registry, so that it does not learn
	// from whom they come.
	Relay Role = "relay"
	// Verifier attests nothing: an office to which workers present. Its keys sign its requests and the evidence files that it saves.
	Verifier Role = "verifier"
)

// ParseRole returns the role named s.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case AcceptingOrganization, SupportOrganization, Bank, Authority, Worker, Relay, Verifier:
		return r, nil
	}
	return "", fmt.Errorf("unknown role %q: one of accepting-organization, support-organization, bank, authority, worker, relay, verifier", s)
}

// Type names a credential type; its SD-JWT VC vct is given by [Type.VCT].
type Type string

const (
	TypeEngagement          Type = "engagement"
	TypeWagePayment         Type = "wage-payment"
	TypeWageReceipt         Type = "wage-receipt"
	TypeSupportSession      Type = "support-session"
	TypeSupportInterview    Type = "support-interview"
	TypeNotificationFiled   Type = "notification-filed"
	TypeNotificationReceipt Type = "notification-receipt"
	TypeSeparation          Type = "separation"
	TypeRemedy              Type = "remedy"
	TypeWorkerStatement     Type = "worker-statement"
)

// Types lists every credential type.
var Types = []Type{
	TypeEngagement, TypeWagePayment, TypeWageReceipt, TypeSupportSession, TypeSupportInterview,
	TypeNotificationFiled, TypeNotificationReceipt, TypeSeparation, TypeRemedy, TypeWorkerStatement,
}

// VCT returns the type's collision-resistant name, urn:akashi:<type>:1.
func (t Type) VCT() string { return "urn:akashi:" + string(t) + ":1" }

// TypeOf returns the type whose VCT is vct.
func TypeOf(vct string) (Type, error) {
	for _, t := range Types {
		if t.VCT() == vct {
			return t, nil
		}
	}
	return "", fmt.Errorf("unknown credential type %q", vct)
}
