package attestation

import "fmt"

// The structs below are the claims of each credential type after the disclosures were put in their places. A pointer, map or slice
// that the text calls disclosable is nil when it was not disclosed. Amounts are whole yen. Hashes and IDs are base64url of 32 bytes.

// Values of claims that name a choice.
const (
	ClassI  = "i"  // Specified Skilled Worker (i)
	ClassII = "ii" // Specified Skilled Worker (ii): no support duties

	SupportFull    = "full"    // all support outsourced to a registered support organization
	SupportPartial = "partial" // some of it
	SupportSelf    = "self"    // none: the accepting organization does it

	HolidayPrev = "prev" // a pay day on a closed day is the bank business day before
	HolidayNext = "next" // ... or after
	HolidayNone = "none" // ... or stays

	PayTransfer      = "transfer"       // to the worker's own bank account
	PayCash          = "cash"           //
	PayFundsTransfer = "funds-transfer" // digital wage, to an account with a funds-transfer operator

	WageRegular = "regular" // the whole wage of the period
	WagePart    = "part"    // one of several payments of the period
	WageFinal   = "final"   // the last wage of the contract
	WageZero    = "zero"    // nothing was due for the period, stated as such

	SourceAccountStatement    = "account-statement"            // the worker's own account, read by the bank
	SourceAccountProvider     = "account-information-provider" // the same through an account-information provider
	SourcePayerTransferResult = "payer-transfer-result"        // the payer's own transfer result: corroborates nothing
	SourceTranscribed         = "transcribed"                  // copied from paper: corroborates nothing

	ModeInPerson = "in-person"
	ModeOnline   = "online"

	IntervieweeWorker     = "worker"
	IntervieweeSupervisor = "supervisor"

	ChannelESystem = "e-system"
	ChannelCounter = "counter"
	ChannelPost    = "post"

	ReasonEmployer  = "employer" // the accepting organization's cause
	ReasonWorker    = "worker"   // the worker's own wish or cause
	ReasonExpiry    = "expiry"   // the contract ran out
	ReasonAuthority = "authority"

	ItemEnrolled = "enrolled" // a support session that only says: this organization took up the engagement

	StatementUnpaid        = "unpaid"
	StatementNotHeld       = "not-held"
	StatementDemand        = "demand"
	StatementComplaint     = "complaint"
	StatementJobSearch     = "job-search"
	StatementContradiction = "contradiction"
	StatementEnded         = "ended"
	StatementAccept        = "accept"
	StatementRetract       = "retract"
	StatementFiled         = "filed"
)

// Party is an organization named in an engagement.
type Party struct {
	ID   string            `json:"id"`   // corporate number, or registration number of a support organization
	Name map[string]string `json:"name"` // by language: ja, en
}

// Slot is one slot of an engagement's plan. It stands in the plan whether or not it was opened.
type Slot struct {
	S *string `json:"s,omitzero"` // disclosable: the period secret
}

// Engagement is one worker, one accepting organization, one contract: it says what is due.
type Engagement struct {
	Employer       Party  `json:"employer"`
	Support        *Party `json:"support,omitzero"` // visible; nil only when the accepting organization supports by itself
	Ruleset        string `json:"ruleset"`
	Class          string `json:"class"`
	Field          string `json:"field"` // code of the industry field, as mfg, food, bldgclean
	SupportMode    string `json:"support_mode"`
	Start          Date   `json:"start"`
	End            Date   `json:"end"`
	ClosingDay     int    `json:"closing_day"` // 31 is the last day of the month
	PayDay         int    `json:"pay_day"`     // 31 is the last day of the month
	PayMonthOffset int    `json:"pay_month_offset"`
	HolidayRule    string `json:"holiday_rule"`
	PayMethod      string `json:"pay_method"`
	ContractHash   string `json:"contract_hash"`
	Registry       string `json:"registry"`             // origin of the log
	Supersedes     string `json:"supersedes,omitempty"` // ID of the engagement's earlier rung

	WorkerIdentity *WorkerIdentity            `json:"worker,omitzero"`
	Terms          *Terms                     `json:"terms,omitzero"`
	DeliveryProof  *string                    `json:"delivery_proof,omitzero"` // disclosable
	Slots          map[Stream]map[Period]Slot `json:"slots"`
}

// WorkerIdentity holds who the worker is, each member disclosable.
type WorkerIdentity struct {
	Name        *string `json:"name,omitzero"`
	BirthDate   *Date   `json:"birth_date,omitzero"`
	Nationality *string `json:"nationality,omitzero"` // ISO 3166-1 alpha-2
	CardNumber  *string `json:"card_number,omitzero"`
	StayUntil   *Date   `json:"stay_until,omitzero"`
}

// Terms holds the terms of the contract that are not always visible, each member disclosable.
type Terms struct {
	PayKind          *string           `json:"pay_kind,omitzero"` // monthly, daily, hourly
	BaseAmount       *int64            `json:"base_amount,omitzero"`
	EstimatedNet     *int64            `json:"estimated_net,omitzero"`
	ScheduledHours   *string           `json:"scheduled_hours,omitzero"` // a month, decimal
	Allowances       map[string]int64  `json:"allowances,omitzero"`      // by code
	OvertimeRate     map[string]string `json:"overtime_rate,omitzero"`   // by class, decimal: 1.25
	AgreedDeductions map[string]int64  `json:"agreed_deductions,omitzero"`
	Prefecture       *string           `json:"prefecture,omitzero"`
	PayerKana        *string           `json:"payer_kana,omitzero"` // as banks write it
}

// HasSupport reports whether a registered support organization takes part.
func (e *Engagement) HasSupport() bool { return e.Support != nil }

// InPlan reports whether the engagement has the slot at all.
func (e *Engagement) InPlan(s Stream, p Period) bool {
	_, ok := e.Slots[s][p]
	return ok
}

// Opened returns the period secret where it was disclosed.
func (e *Engagement) Opened(s Stream, p Period) (secret string, ok bool) {
	if v := e.Slots[s][p].S; v != nil {
		return *v, true
	}
	return "", false
}

// WagePayment is the accepting organization's record of a wage.
type WagePayment struct {
	Engagement     string `json:"engagement"`
	Period         Period `json:"period"` // the month in which the pay period closes
	From           Date   `json:"from"`
	To             Date   `json:"to"`
	Kind           string `json:"kind"`
	PaidDate       Date   `json:"paid_date"`
	Method         string `json:"method"`
	DeclaredInFull bool   `json:"declared_in_full"`
	LedgerRowHash  string `json:"ledger_row_hash"`
	Supersedes     string `json:"supersedes,omitempty"`
	Withdraws      string `json:"withdraws,omitempty"`

	Hours       *Hours           `json:"hours,omitzero"`        // disclosable
	Base        *int64           `json:"base,omitzero"`         // disclosable
	Allowances  map[string]int64 `json:"allowances,omitzero"`   // disclosable as one, by code
	OvertimePay map[string]int64 `json:"overtime_pay,omitzero"` // disclosable as one, by class
	Gross       *int64           `json:"gross,omitzero"`        // disclosable
	Deductions  map[string]int64 `json:"deductions,omitzero"`   // each member disclosable, by code
	Net         *int64           `json:"net,omitzero"`          // disclosable
}

// Hours are the hours worked by class, as decimal numbers.
type Hours struct {
	Scheduled  string `json:"scheduled"`
	Overtime   string `json:"overtime,omitempty"`    // to 60 hours a month
	Overtime60 string `json:"overtime_60,omitempty"` // beyond
	Holiday    string `json:"holiday,omitempty"`
	Night      string `json:"night,omitempty"`
}

// WageReceipt is the bank's record of a credit to the worker's account.
type WageReceipt struct {
	Engagement string `json:"engagement"`
	Period     Period `json:"period"`
	ValueDate  Date   `json:"value_date"`
	Source     string `json:"source"`
	Supersedes string `json:"supersedes,omitempty"`
	Withdraws  string `json:"withdraws,omitempty"`

	Amount           *int64  `json:"amount,omitzero"`            // disclosable
	PayerName        *string `json:"payer_name,omitzero"`        // disclosable
	PayerCode        *string `json:"payer_code,omitzero"`        // disclosable
	TransactionClass *string `json:"transaction_class,omitzero"` // disclosable; Zengin two digits
}

// SupportSession is one performance of a support item.
type SupportSession struct {
	Engagement string `json:"engagement"`
	Item       string `json:"item"` // イ to ヌ, or "enrolled"
	Date       Date   `json:"date"`
	Mode       string `json:"mode"`
	Supersedes string `json:"supersedes,omitempty"`
	Withdraws  string `json:"withdraws,omitempty"`

	Minutes       *int64   `json:"minutes,omitzero"`        // disclosable, as all that follow
	Place         *string  `json:"place,omitzero"`          //
	Language      *string  `json:"language,omitzero"`       // BCP 47
	Interpreter   *string  `json:"interpreter,omitzero"`    // own, external, none
	Staff         *string  `json:"staff,omitzero"`          //
	Topics        []string `json:"topics,omitzero"`         //
	MaterialsHash *string  `json:"materials_hash,omitzero"` //
}

// SupportInterview is one of the periodic interviews with the worker or the worker's supervisor.
type SupportInterview struct {
	Engagement  string `json:"engagement"`
	Interviewee string `json:"interviewee"`
	Date        Date   `json:"date"`
	Mode        string `json:"mode"`
	Supersedes  string `json:"supersedes,omitempty"`
	Withdraws   string `json:"withdraws,omitempty"`

	Private         *bool    `json:"private,omitzero"`          // disclosable, as all that follow
	Language        *string  `json:"language,omitzero"`         // BCP 47
	Interpreter     *string  `json:"interpreter,omitzero"`      // own, external, none
	InterviewerRole *string  `json:"interviewer_role,omitzero"` // responsible, charge
	Start           *string  `json:"start,omitzero"`            // HH:MM
	End             *string  `json:"end,omitzero"`              // HH:MM
	OnlineConsent   *bool    `json:"online_consent,omitzero"`   //
	RecordingHash   *string  `json:"recording_hash,omitzero"`   //
	SecondSignature *string  `json:"second_signature,omitzero"` // compact JWS of the interviewee
	Findings        []string `json:"findings,omitzero"`         // codes
	ReportedTo      *string  `json:"reported_to,omitzero"`      //
	ReportedAt      *Date    `json:"reported_at,omitzero"`      //
}

// Notification is what a notice as filed and its receipt have in common.
type Notification struct {
	Engagement  string `json:"engagement"`
	Obligation  string `json:"obligation"`          // N-02, N-06, P-01, H-01 ...
	EventDate   Date   `json:"event_date,omitzero"` // of an event duty
	Period      Period `json:"period,omitempty"`    // of a periodic one
	KnownDate   Date   `json:"known_date,omitzero"` // day the filer learned of the event
	FiledDate   Date   `json:"filed_date"`
	ArrivedDate Date   `json:"arrived_date"`
	Channel     string `json:"channel"`
	Supersedes  string `json:"supersedes,omitempty"`
	Withdraws   string `json:"withdraws,omitempty"`

	Form          *string `json:"form,omitzero"`           // disclosable, as all that follow
	Office        *string `json:"office,omitzero"`         //
	ReceiptNumber *string `json:"receipt_number,omitzero"` //
	DocumentHash  *string `json:"document_hash,omitzero"`  //
}

// NotificationFiled is the filer's record of a notice.
type NotificationFiled struct{ Notification }

// NotificationReceipt is the office's receipt of a notice.
type NotificationReceipt struct {
	Notification
	Source string `json:"source"` // authority, transcribed
}

// Separation is the end of a contract.
type Separation struct {
	Engagement string `json:"engagement"`
	EndDate    Date   `json:"end_date"`
	Supersedes string `json:"supersedes,omitempty"`
	Withdraws  string `json:"withdraws,omitempty"`

	ReasonClass *string `json:"reason_class,omitzero"` // disclosable
	ReasonCode  *string `json:"reason_code,omitzero"`  // disclosable
	Objection   *bool   `json:"objection,omitzero"`    // disclosable: the worker objects to the reason
}

// DutyRef names a duty of the engagement by its period or by the date of its event.
type DutyRef struct {
	Obligation string `json:"obligation"`
	Period     Period `json:"period,omitempty"`
	EventDate  Date   `json:"event_date,omitzero"`
}

// Remedy says that a gap was mended.
type Remedy struct {
	Engagement   string  `json:"engagement"`
	Duty         DutyRef `json:"duty"`
	RemediedDate Date    `json:"remedied_date"`
	Supersedes   string  `json:"supersedes,omitempty"`
	Withdraws    string  `json:"withdraws,omitempty"`

	Amounts         map[string]int64 `json:"amounts,omitzero"`          // disclosable as one
	DirectiveNumber *string          `json:"directive_number,omitzero"` // disclosable
}

// About says what a statement is about: a slot, a duty's event, an attestation by its ID, or the end of the contract.
type About struct {
	Stream      Stream `json:"stream,omitempty"`
	Period      Period `json:"period,omitempty"`
	Obligation  string `json:"obligation,omitempty"`
	EventDate   Date   `json:"event_date,omitzero"`
	ID          string `json:"id,omitempty"`
	EndDate     Date   `json:"end_date,omitzero"`
	ReasonClass string `json:"reason_class,omitempty"`
}

// WorkerStatement is what the worker states, signed with the key that the engagement confirms.
type WorkerStatement struct {
	Engagement string  `json:"engagement"`
	Date       Date    `json:"date"`
	Kind       *string `json:"kind,omitzero"` // visible for accept, retract and filed, else disclosable

	About           *About           `json:"about,omitzero"`            // disclosable, as all that follow
	Text            *string          `json:"text,omitzero"`             //
	Amounts         map[string]int64 `json:"amounts,omitzero"`          //
	Addressee       *string          `json:"addressee,omitzero"`        //
	FiledDate       *Date            `json:"filed_date,omitzero"`       // of kind filed
	ReferenceNumber *string          `json:"reference_number,omitzero"` //
}

// Links names the engagement that an attestation belongs to and the earlier rung that it corrects or takes back.
type Links struct{ Engagement, Supersedes, Withdraws string }

// LinksOf returns the links of claims that [Decode] returned. An engagement's own Engagement is empty.
func LinksOf(claims any) Links {
	switch c := claims.(type) {
	case *Engagement:
		return Links{"", c.Supersedes, ""}
	case *WagePayment:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *WageReceipt:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *SupportSession:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *SupportInterview:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *NotificationFiled:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *NotificationReceipt:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *Separation:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *Remedy:
		return Links{c.Engagement, c.Supersedes, c.Withdraws}
	case *WorkerStatement:
		return Links{Engagement: c.Engagement}
	}
	return Links{}
}

// registered are the claims that SD-JWT VC and this project put on every type; they belong to the format, not to the attestation.
var registered = []string{"iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status", "logged"}

func newClaims(t Type) checker {
	switch t {
	case TypeEngagement:
		return new(Engagement)
	case TypeWagePayment:
		return new(WagePayment)
	case TypeWageReceipt:
		return new(WageReceipt)
	case TypeSupportSession:
		return new(SupportSession)
	case TypeSupportInterview:
		return new(SupportInterview)
	case TypeNotificationFiled:
		return new(NotificationFiled)
	case TypeNotificationReceipt:
		return new(NotificationReceipt)
	case TypeSeparation:
		return new(Separation)
	case TypeRemedy:
		return new(Remedy)
	}
	return new(WorkerStatement)
}

// Decode returns a pointer to the struct of type vct for processed claims (digests and disclosures already gone), in which numbers are
// json.Number. It is strict: what it returns encodes to the same claims, so any claim that is missing, unknown, null, empty or written in
// another way is refused. No error holds a claim's value.
func Decode(vct string, claims map[string]any) (any, error) {
	t, err := TypeOf(vct)
	if err != nil {
		return nil, err
	}
	out := newClaims(t)
	if err := readClaims(claims, out); err != nil {
		return nil, fmt.Errorf("claims of %s: %w", t, err)
	}
	if err := out.check(); err != nil {
		return nil, fmt.Errorf("claims of %s: %w", t, err)
	}
	return out, nil
}
