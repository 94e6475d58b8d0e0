// Package registry holds the formats, the pure checks and the client of the registry: the log, the map, the sealed records and the
// time in which every attestation has its place. It follows RFC 6962 and RFC 9162 (trees and proofs), C2SP tlog-tiles, tlog-checkpoint,
// tlog-cosignature and tlog-policy (log and time), RFC 5869 (HKDF), RFC 7516 and RFC 7518 (JWE). None of these define a verifiable map
// or the proof of an absence: that part is our own, and its bytes stand in the comments of this package.
//
// One promise: an attestation counts only if it stands in its slot, so its place, its time and its absence are facts that anyone can
// check without trusting its issuer, the worker or the registry's operator.
//
// Where the bytes are described:
//
//   - [SlotSecret], [Secret.Find], [KeyOf]: from a period's secret to the key of a slot
//   - [SealA], [SealB], [ValueOf]: the sealed record, and the value that the log commits to
//   - [SlotEntry], [HeadEntry], [ListEntry]: what the log holds
//   - [LeafHash], [InnerHash], [EmptyRoot], [MapProof]: the map and its proofs of presence and absence
//   - [Bucket]: whole parts of the map, for readers who do not say which key they want
//   - [RecordsRoot], [MakeSubmission]: what a writer signs when it submits
//   - [BucketResponse]: how a wallet asks without saying which key it wants
//   - [EraseRequest]: what can be erased, on whose request, and why nothing else
//   - [MakeDeliveryProof]: how a wallet says where it wants its mail
//
// H is SHA-256, || joins, integers are big endian, labels are ASCII without a terminator, all base64 is read strictly. Every layout is
// pinned by the vectors in testdata/registry, which a second program in another language worked out.
//
// What the promises rest on: a key is absent only under a map root in a head that the auditors' quorum cosigned; a member counts only
// with the inclusion of its own log entry; a time is a statement of the witnesses' quorum, never of an issuer or the operator.
//
// Left out: the map itself (registry/prefixmap in memory, registry/bucketmap in a store), who may attest what (registry/trustlist), and
// running a log, a witness or an auditor. The package opens no store; only its client opens connections.
package registry
