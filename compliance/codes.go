package compliance

// Codes of the checks that this package makes. They are stable: pages, files and tools may rely on them. Checks handed in with
// [Evidence] (log, signatures, accreditation) keep the codes that they came with.
const (
	CodeSlotOpened    = "slot.opened"      // pass: the period's secret was disclosed and its ladder could be read
	CodeSlotNotOpened = "slot.not_opened"  // unknown: the period was not opened, so that nothing is known of its entries
	CodeSlotNotInPlan = "slot.not_in_plan" // unknown: no engagement rung has this slot
	CodeMapAbsent     = "map.absent"       // pass: proven that the slot held no valid entry at the time named
	CodeMapMember     = "map.member"       // pass: the slot holds a valid entry

	CodeLadderIncomplete = "ladder.incomplete" // unknown: the end of the slot's ladder could not be proven
	CodeEntryJunk        = "entry.junk"        // fail: an entry does not open, verify, or belong to who may attest there
	CodeEntryMisplaced   = "entry.misplaced"   // fail: a valid attestation stands in a slot of another party, period or type
	CodeEntryPremature   = "entry.premature"   // fail: an entry stood in the log before the day on which it says the act was done
	CodeEntryRepeated    = "entry.repeated"    // fail: an entry holds a credential that stands in a lower rung of its slot
	CodeEntryUnavailable = "entry.unavailable" // unknown: an entry's record is not to be had, or cannot be judged
	// unknown: no checkpoint tells whether an entry stood in the log before the day of the act, or while its signer was accredited
	CodeEntryUndetermined = "entry.undetermined"
	// unknown: an entry is signed with a key that was compromised before the witnesses saw the entry
	CodeIssuerCompromised = "issuer.compromised"

	CodeTimeOnTime       = "time.on_time"      // pass: the first valid entry stood in the log by due + grace
	CodeTimeLate         = "time.late"         // fail: the first valid entry was not in the log at due + grace
	CodeTimeUndetermined = "time.undetermined" // unknown: no checkpoint tells whether an entry stood in the log by due + grace
	CodeHeadFresh        = "head.fresh"        // pass: the map's head is at most 24 hours older than the judgement; unknown: it is not
	CodeAuditorsQuorum   = "auditors.quorum"   // pass: the auditors' quorum vouches for the map's head; unknown: it does not

	CodeLoggedBeforeDue = "engagement.logged_before_due" // unknown: the engagement did not stand in the log before the duty fell due
	CodeTermsAsStated   = "terms.as_stated"              // pass: the worker accepted the engagement; unknown: its terms are the employer's word
	CodeContractFiled   = "contract.filed"               // pass: an authority's own receipt names the hash of this contract document; unknown: none does, and there may be another contract
	CodePartyEnrolled   = "party.not_enrolled"           // fail or unknown: no entry of the party shows that it took up the engagement before the due date

	CodeClaimWithheld    = "claim.withheld"        // unknown: a claim that the duty needs was not disclosed
	CodeAmountEqual      = "amount.equal"          // pass: the employer's net and the bank's credits agree
	CodeAmountDiffers    = "amount.differ"         // fail: they do not
	CodeAmountNoPayslip  = "amount.no_payslip"     // unknown: the employer recorded no amount to compare with
	CodeAmountTerms      = "amount.below_terms"    // fail: a full month's base and allowances lie below the contract's base amount
	CodePartial          = "wage.partial"          // fail: the employer declares that the wage was not paid in full
	CodeUnpaidStatement  = "wage.unpaid_statement" // fail: the worker states that the wage was not paid; unknown: but an independent record says it was
	CodeWorkerDisputes   = "worker.disputes"       // fail: the worker states that the record is wrong
	CodeWorkerAccepted   = "worker.accepted"       // pass: the worker accepted the record
	CodeCorroborationTie = "corroboration.tied"    // unknown: a record is by an entity tied to the duty holder, or copied from its papers, and corroborates nothing
	CodeSupersedes       = "supersedes"            // pass: a later entry corrects an earlier one
	CodeWithdraws        = "withdraws"             // fail: an entry was taken back after grace; pass: before
	CodeRemedied         = "remedy.stated"         // pass: the duty holder states that the gap was mended; the detail says what it was
	CodeRollingGap       = "interview.rolling_gap" // pass or fail: at most three months lie between this interview and the one before
	CodeNominal          = "report.nominal"        // pass or fail: the report also arrived by the nominal day, before any roll
	CodeOwnNoEntry       = "own.no_entry"          // unknown: no entry of a duty of the worker's own; the agency holds its own record
	CodeNoCalendar       = "calendar.no_table"     // unknown: no holiday table for the year in which the duty falls due
	CodeOutage           = "grace.outage"          // pass: an outage signed by the trust anchor lengthened grace
	CodeEventWorkerOnly  = "event.worker_only"     // unknown: the event is known from the worker alone
	CodeEventDisputed    = "event.disputed"        // fail: the parties state the event differently
	CodeEndEmployerOnly  = "end.employer_only"     // unknown: only the employer says that the contract had ended before
	CodeEndNotExcluded   = "end.not_excluded"      // unknown: not every slot that could hold an earlier end of the contract was opened
)
