package verifier

import (
	"errors"
	"time"

	"akashi/compliance"
	"akashi/internal/evidence"
	"akashi/registry/fraud"
)

// KindFraud is the kind of an auditor's report that the log has broken its rules.
const KindFraud = "fraud"

// CodeFraud is the check of such a report: that it proves a fraud by the keys of the pinned policy and the pinned trust anchor.
const CodeFraud = "fraud.proof"

// verifyFraud decides on an auditor's report: pass when it proves that the log has broken its rules, fail when its proof does not hold,
// unknown when it has none. The auditor's word counts for nothing.
func verifyFraud(data []byte, trust evidence.Trust, o Options) *evidence.Result {
	r, err := fraud.Parse(data)
	if err != nil {
		return refuse(KindFraud, err)
	}
	check := compliance.Check{Code: CodeFraud, Result: compliance.Pass, Detail: r.Error()}
	switch err := fraud.Check(r, trust.Policy.Log, trust.Anchor); {
	case errors.Is(err, fraud.ErrNoProof):
		check.Result, check.Detail = compliance.CannotTell, err.Error()
	case err != nil:
		check.Result, check.Detail = compliance.Fail, err.Error()
	}
	result := &evidence.Result{Result: check.Result, Kind: KindFraud, Checks: []compliance.Check{check}}
	if !o.At.IsZero() {
		result.Checks = append(result.Checks, compliance.Check{Code: evidence.CodeReverified, Result: compliance.Pass, Detail: o.At.UTC().Format(time.RFC3339)})
	}
	return result
}
