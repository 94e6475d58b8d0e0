package verifier

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"akashi/internal/store"
)

// Keys of the desk in the store, beside those of [VP]:
//
//	desk/case/<id>                   deskCase as JSON
//	desk/of/<owner>/<time>/<id>      nothing: the cases of an owner, the newest first
//	desk/asked/<session>             id of the case that a session of [VP] is for
//	desk/code/<code>                 id of the case that waits under the code
//	desk/file/<id>                   evidence file of a case
//	desk/number/<assessment number>  numbered as JSON: the case, or when its file was deleted
//	desk/audit/<number>              AuditLine as JSON
//	desk/audit-head                  auditHead as JSON
//	desk/reviewer/<id>               reviewer as JSON
//	desk/session/<hash>              deskSession as JSON
//	desk/once/<hash>                 once as JSON: an invitation, or a sign-in that has begun
func keyCase(id string) []byte         { return []byte("desk/case/" + id) }
func keyAsked(session string) []byte   { return []byte("desk/asked/" + session) }
func keyCode(code string) []byte       { return []byte("desk/code/" + code) }
func keyFile(id string) []byte         { return []byte("desk/file/" + id) }
func keyNumber(number string) []byte   { return []byte("desk/number/" + number) }
func keyAudit(n uint64) []byte         { return fmt.Appendf(nil, "desk/audit/%016x", n) }
func keyReviewer(id string) []byte     { return []byte("desk/reviewer/" + id) }
func keySignedIn(secret string) []byte { return []byte("desk/session/" + hashed(secret)) }
func keyOnce(secret string) []byte     { return []byte("desk/once/" + hashed(secret)) }

func prefixOf(owner string) []byte { return []byte("desk/of/" + owner + "/") }

// keyOf sorts the cases of an owner by time, the newest first.
func keyOf(c *deskCase) []byte {
	return fmt.Appendf(prefixOf(c.Owner), "%016x/%s", math.MaxInt64-c.Opened.UnixMilli(), c.ID)
}

var (
	prefixCases     = []byte("desk/case/")
	prefixAudit     = []byte("desk/audit/")
	prefixReviewers = []byte("desk/reviewer/")
	prefixSignedIn  = []byte("desk/session/")
	keyAuditHead    = []byte("desk/audit-head")
)

// setUntil stores v as JSON, for tidying up until a time that is so far from now as life says, by the machine's clock.
func setUntil(tx store.Tx, key []byte, v any, life time.Duration) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.SetUntil(key, text, time.Now().Add(life))
}
