package evidence

import "akashi/compliance"

// EvidenceOf verifies a file and returns what it hands to the judgement.
func EvidenceOf(f *File, trust Trust) (compliance.Evidence, *Result) {
	var ev compliance.Evidence
	r := verify(f, trust, Options{}, func(j *judge) { ev = j.evidence() })
	return ev, r
}

// CompletePosition is completePosition.
var CompletePosition = completePosition

// LoggedOf is loggedOf.
var LoggedOf = loggedOf

// Joined is joined.
var Joined = joined
