package wallet

import (
	"encoding/base64"
	"testing"

	"akashi/internal/oid4vc"
)

// What is taken of transaction data is shown whole; everything else refuses the request with the error that the verifier is told.
func FuzzTransactions(f *testing.F) {
	f.Add([]byte(`{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"],"purpose":"Extension of stay","office":"Sample bureau"}`))
	f.Add([]byte(`{"type":"urn:akashi:transaction:purpose:1","credential_ids":["e"],"purpose":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := transactionsOf([]string{base64.RawURLEncoding.EncodeToString(text)})
		if err != nil {
			if r := oid4vc.RefusalOf(err); r == nil || r.Code != oid4vc.CodeInvalidTransactionData {
				t.Fatalf("an error without answer: %v", err)
			}
			return
		}
		if len(got) != 1 || got[0].Type != TransactionPurpose || got[0].Purpose == "" || len(got[0].credentialIDs) == 0 {
			t.Fatalf("got %+v", got)
		}
	})
}
