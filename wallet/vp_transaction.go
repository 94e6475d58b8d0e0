package wallet

import (
	"slices"
	"strings"
	"unicode"

	"akashi/internal/keys"
	"akashi/internal/oid4vc"
)

// TransactionPurpose is the type of transaction data that this wallet knows: the holder agrees that what is shown is used for a purpose, at one office,
// and for nothing else (Act on the Protection of Personal Information, Articles 17 and 18).
//
//	{"type": "urn:akashi:transaction:purpose:1", "credential_ids": [...], "purpose": text, "office": text, optional}
const TransactionPurpose = "urn:akashi:transaction:purpose:1"

// Transaction is what the holder agrees to by answering (OpenID4VP 1.0, Section 8.4): the key binding confirms it.
type Transaction struct {
	Type    string `json:"type"`
	Purpose string `json:"purpose"`
	Office  string `json:"office,omitempty"`

	encoded       string // as it came
	credentialIDs []string
}

// maxTransactionText bounds what a person is asked to read.
const maxTransactionText = 1000

// isHidden tells whether a character is not seen where it stands, and may move or hide others that the person would agree to: a line of its own, what
// steers a terminal, and what turns the direction of a text. The joiners are part of some scripts.
func isHidden(r rune) bool { return !unicode.IsGraphic(r) && r != '\u200c' && r != '\u200d' }

// transactionsOf reads the elements of transaction_data. One of an unknown type or with a member that is unknown or of the wrong kind refuses the whole
// request (Section 8.5): nobody can agree to what is not shown.
func transactionsOf(elements []string) ([]Transaction, error) {
	var out []Transaction
	for _, encoded := range elements {
		d, err := oid4vc.ParseTransactionData(encoded)
		if err != nil {
			return nil, err
		}
		var members map[string]any
		if err := keys.DecodeJSON(d.Raw, &members); err != nil || d.Type != TransactionPurpose {
			return nil, oid4vc.ErrVPTransactionData
		}
		t := Transaction{Type: d.Type, encoded: encoded, credentialIDs: d.CredentialIDs}
		for name, value := range members {
			text, _ := value.(string)
			switch {
			case slices.Contains([]string{"type", "credential_ids", "transaction_data_hashes_alg"}, name):
			case text == "" || len(text) > maxTransactionText || strings.ContainsFunc(text, isHidden):
				return nil, oid4vc.ErrVPTransactionData
			case name == "purpose":
				t.Purpose = text
			case name == "office":
				t.Office = text
			default:
				return nil, oid4vc.ErrVPTransactionData
			}
		}
		if t.Purpose == "" {
			return nil, oid4vc.ErrVPTransactionData
		}
		out = append(out, t)
	}
	return out, nil
}

// authorize chooses for each transaction the one credential that confirms it: the first of those it names that is in the answer (Section 5.1).
func (a *Answer) authorize(transactions []Transaction) error {
	for _, t := range transactions {
		chosen := slices.IndexFunc(a.parts, func(p part) bool { return slices.Contains(t.credentialIDs, p.query.ID) })
		if chosen < 0 {
			return oid4vc.ErrVPTransactionData
		}
		a.parts[chosen].confirms = append(a.parts[chosen].confirms, t.encoded)
	}
	return nil
}
