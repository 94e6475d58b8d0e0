package registry

// MaxLookupKeys is the number of keys that one lookup may name.
const MaxLookupKeys = 1000

// LookupRequest is the body of POST /v1/lookup and POST /v1/records: slot keys, each once.
type LookupRequest struct {
	Keys []Key `json:"keys"`
}

// LookupResponse answers a lookup under one head: the newest that the auditors' quorum has cosigned. Nothing in it counts before the
// caller has checked it.
type LookupResponse struct {
	Head    HeadProof      `json:"head"`
	Results []LookupResult `json:"results"` // in the order of the request
}

// HeadProof is a head entry with its place in the log. The checkpoint has size Covered+1, so that the head is its last entry, and
// carries the cosignatures of witnesses and auditors.
type HeadProof struct {
	Entry      Bytes  `json:"entry"`
	Index      uint64 `json:"index"`
	Inclusion  []Hash `json:"inclusion"` // under Checkpoint
	Checkpoint string `json:"checkpoint"`
}

// LookupResult says what the map holds at one key. Proof is the map proof ([VerifyMember] or [VerifyAbsent]) under the head's root;
// Member is nil for an absent key.
type LookupResult struct {
	Key    Key          `json:"key"`
	Proof  Bytes        `json:"proof"`
	Member *MemberProof `json:"member,omitempty"`
}

// MemberProof is what the registry holds of a member: the sealed record, the place of its entry in the log, the checkpoints that
// bound its time, and who submitted it.
type MemberProof struct {
	Index uint64 `json:"index"`
	Value Value  `json:"value"`
	// A and B are nil when the registry does not have them, or when B was submitted empty; HB, the hash of B, tells which, and lets A
	// be checked without B. Erased says that they were erased on the worker's request.
	A      Bytes `json:"a,omitempty"`
	B      Bytes `json:"b,omitempty"`
	HB     Hash  `json:"hb"`
	Erased bool  `json:"erased,omitempty"`
	// X shows that the slot of an erased record is a worker's statement's ([CheckErased]).
	X Hash `json:"x,omitzero"`
	// Inclusion of the slot entry at Index under the head's checkpoint.
	Inclusion []Hash `json:"inclusion"`
	// FirstAfter is the archived checkpoint of size > Index with the smallest existed_by, LastBefore that of size <= Index with the
	// largest not_larger_at; "" when there is none.
	FirstAfter string `json:"first_after,omitempty"`
	LastBefore string `json:"last_before,omitempty"`
	// Submission is the submission JWT, Path leads from the record at Position among Count to its records root
	// ([VerifyRecordsPath]). "" for a worker's statement, whose admission is not kept.
	Submission string `json:"submission,omitempty"`
	Path       []Hash `json:"path,omitempty"`
	Position   int    `json:"position"`
	Count      int    `json:"count"`
}

// MatchesValue reports whether A, with the hash of B, is what the log committed to. Whether B is what HB says is checked by whoever opens it.
func (m *MemberProof) MatchesValue() bool { return ValueOfHashes(HashOf(m.A), m.HB) == m.Value }

// StoredRecord is one sealed record in the answer of POST /v1/records, which has no proofs: it is for auditors, who have the log. A and B
// are nil when the registry does not have them.
type StoredRecord struct {
	Key    Key
	Index  uint64
	A, B   Bytes
	Erased bool
}

// TrustListProof is one version of the trust list with the place of its list entry in the log, the answer of GET
// /v1/trust-list/{n|latest}.
type TrustListProof struct {
	JWT        string `json:"jwt"`
	Index      uint64 `json:"index"`
	Inclusion  []Hash `json:"inclusion"` // of the ListEntry under Checkpoint
	Checkpoint string `json:"checkpoint"`
}

// TrustListsResponse answers GET /v1/trust-lists: every version from 1 on, all inclusion proofs under the one checkpoint.
type TrustListsResponse struct {
	Checkpoint string          `json:"checkpoint"`
	Lists      []TrustListItem `json:"lists"`
}

// TrustListItem is one version in a [TrustListsResponse].
type TrustListItem struct {
	JWT       string `json:"jwt"`
	Index     uint64 `json:"index"`
	Inclusion []Hash `json:"inclusion"`
}

// CheckpointsResponse answers GET /v1/checkpoints?first_after=i (or last_before=i). Checkpoint is "" when the archive has none.
type CheckpointsResponse struct {
	Checkpoint string `json:"checkpoint"`
}
