package evidence

import (
	"maps"
	"slices"

	"akashi/compliance"
	"akashi/registry"
)

// EvidenceOf verifies a file and returns what it hands to the judgement.
func EvidenceOf(f *File, trust Trust) (compliance.Evidence, *Result) {
	var ev compliance.Evidence
	r := verify(f, trust, Options{}, func(j *judge) { ev = j.evidence() })
	return ev, r
}

// Bounds returns the checkpoints of a registry's answers as a file has them: without auditors' lines, by size, below that of the file.
func Bounds(notes []string, f *File, trust Trust) ([]string, error) {
	nobody := (&judge{trust: trust}).nobody()
	head, err := registry.OpenCheckpoint([]byte(f.Checkpoint), trust.Policy, nobody)
	if err != nil {
		return nil, err
	}
	bySize := make(map[uint64]string)
	for _, note := range notes {
		if note == "" {
			continue
		}
		c, err := registry.OpenCheckpoint([]byte(note), trust.Policy, nobody)
		if err != nil {
			return nil, err
		}
		if c.Size < head.Size {
			bySize[c.Size] = string(c.Note)
		}
	}
	var out []string
	for _, size := range slices.Sorted(maps.Keys(bySize)) {
		out = append(out, bySize[size])
	}
	return out, nil
}

// AssessedUnder judges a file as if it had other checkpoints, whether they are of use or not.
func AssessedUnder(f *File, trust Trust, notes []string) (*compliance.Assessment, error) {
	other := *f
	other.Notes = notes
	j := &judge{file: &other, trust: trust}
	err := j.mustRun(slices.DeleteFunc(slices.Clone(verifySteps), func(s step) bool { return s.code == CodeNotesUsed }))
	return j.assessment, err
}

// CompletePosition is completePosition.
var CompletePosition = completePosition

// LoggedOf is loggedOf.
var LoggedOf = loggedOf

// Joined is joined.
var Joined = joined
