package evidence

// Codes of the checks, in the order in which they run. They are stable: others branch on them.
const (
	CodeCanonical           = "evidence.canonical"
	CodePolicyPair          = "policy.pair"
	CodeCheckpointSignature = "checkpoint.signature"
	CodeCheckpointWitnesses = "checkpoint.witnesses"
	CodeAuditorsQuorum      = "auditors.quorum"
	CodeNotes               = "checkpoint.notes"
	CodeHeadInclusion       = "head.inclusion"
	CodeHeadFields          = "head.fields"
	CodeListAnchor          = "trust_list.anchor"
	CodeListSequence        = "trust_list.sequence"
	CodeListInclusion       = "trust_list.inclusion"
	CodeEngagementSignature = "engagement.signature"
	CodeKBEngagement        = "kb.engagement"
	CodeEngagementSlots     = "engagement.slots"
	CodeEngagementClaims    = "engagement.claims"
	CodeEngagementRegistry  = "engagement.registry"
	CodeEngagementIssuer    = "engagement.issuer"
	CodeRange               = "evidence.range"
	CodeStatementSignature  = "statement.signature"
	CodeRecordOrder         = "record.order"
	CodeRecordProof         = "record.proof"
	CodeRecordInclusion     = "record.inclusion"
	CodeRecordValue         = "record.value"
	CodeEngagementLadder    = "engagement.ladder"
	CodeEngagementInForce   = "engagement.in_force"
	CodeAttestation         = "presentation.attestation"
	CodeKBAttestation       = "kb.attestation"
	CodeCopyDiffers         = "copy.differs"
	CodeNotLogged           = "presentation.not_logged"
	CodeRecordSubmission    = "record.submission"
	CodeNotesUsed           = "checkpoint.notes_used"
	CodeRuleset             = "ruleset.same"
	CodeAssess              = "assessment.made"
	CodeReproduced          = "assessment.reproduced"
	CodeNotSealed           = "seal.none"
	CodeSealForm            = "seal.form"
	CodeSealSigner          = "seal.signer"
	CodeSealSignature       = "seal.signature"
	CodeSealFile            = "seal.file"
	CodeSealTime            = "seal.time"
	CodeReverified          = "reverified.at"
)

// Codes lists every code of this package with its meaning.
var Codes = []struct{ Code, Meaning string }{
	{CodeCanonical, "the file is in its one canonical encoding"},
	{CodePolicyPair, "the pinned policies name one log, share no key, and the witnesses' quorum is safe"},
	{CodeCheckpointSignature, "the log signed the checkpoint, and every further line is a valid one of a policy key"},
	{CodeCheckpointWitnesses, "the witnesses' quorum cosigned the checkpoint; as_of follows from their times"},
	{CodeAuditorsQuorum, "the auditors' quorum vouches for the map; unknown without their policy or their quorum, and absences with it"},
	{CodeNotes, "the further checkpoints are signed by the log and the witnesses' quorum, smaller than the checkpoint, by size"},
	{CodeHeadInclusion, "the head is the last entry of the log under the checkpoint"},
	{CodeHeadFields, "the head is a head entry that covers itself"},
	{CodeListAnchor, "the pinned trust anchor signed every version of the trust list"},
	{CodeListSequence, "the versions run from 1 to the head's without gap and each may follow the one before"},
	{CodeListInclusion, "every version stands in the log where the file says"},
	{CodeEngagementSignature, "the engagement is an SD-JWT VC signed by a key on the trust list in force when it was logged"},
	{CodeKBEngagement, "the holder signed the engagement's presentation (key and sd_hash; audience and nonce are not known offline)"},
	{CodeEngagementSlots, "every slot has exactly one digest and its disclosure is one 32-byte secret named s; later engagements repeat the digests"},
	{CodeEngagementClaims, "the engagement's claims are those of its type"},
	{CodeEngagementRegistry, "the engagement names this registry"},
	{CodeEngagementIssuer, "the issuer of the engagement was accredited for it when it was logged"},
	{CodeRange, "the months under judgement lie within the contract"},
	{CodeStatementSignature, "every statement is an SD-JWT VC signed by the holder's key"},
	{CodeRecordOrder, "the file has the records of exactly the keys that follow from the presentation, in their order"},
	{CodeRecordProof, "every record is proven present or absent under the head's map root"},
	{CodeRecordInclusion, "every member's entry stands in the log at the index that the map gives"},
	{CodeRecordValue, "every sealed box that the file holds is the one that the log committed to"},
	{CodeEngagementLadder, "the engagement stands in the ladder of its contract; a later one may lengthen the contract and change no other term"},
	{CodeEngagementInForce, "the engagement shown is the last of its ladder; unknown when a later one is in force or cannot be read"},
	{CodeAttestation, "every presented attestation is the valid record of a slot that was opened"},
	{CodeKBAttestation, "the holder signed each attestation's presentation, for the same audience and nonce as the engagement's"},
	{CodeCopyDiffers, "the copy that is shown of a record was signed by the record's issuer and says what the record says"},
	{CodeNotLogged, "a presented credential stands in no opened slot and counts for nothing; noted when a file is made"},
	{CodeRecordSubmission, "the submission shown with a junk record is that of an accredited submitter over this record"},
	{CodeNotesUsed, "every further checkpoint bounds the time of a record"},
	{CodeRuleset, "this program judges by the rules that the file was judged by; unknown under others, and what the file states with it"},
	{CodeAssess, "the verified evidence could be judged"},
	{CodeReproduced, "the stated assessment is, octet by octet, the one that follows from the evidence"},
	{CodeNotSealed, "unknown: the file is not signed, so that who saved it is not known; it changes nothing"},
	{CodeSealForm, "the seal is a JWT of its type with hash, time and assessment number in their one form"},
	{CodeSealSigner, "the trust list names the seal's key as a verifier's on the day of saving, and not as compromised"},
	{CodeSealSignature, "the verifier signed the seal"},
	{CodeSealFile, "the seal is over the octets of this file"},
	{CodeSealTime, "the file was not saved before the time of its checkpoint"},
	{CodeReverified, "when the file was verified again, where asked for; it changes nothing"},
}
