package verifier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"akashi/attestation"
	"akashi/internal/dcql"
	"akashi/internal/keys"
	"akashi/internal/oid4vc"
	"akashi/internal/store"
)

// Status of a session. The last four are final.
type Status string

const (
	Waiting   Status = "waiting"   // for the wallet
	Verifying Status = "verifying" // the response came; another one is refused
	Returning Status = "returning" // the response is good, the browser session that began must bring the response code
	Answered  Status = "answered"
	Refused   Status = "refused" // by the holder or the wallet, with their reason
	Failed    Status = "failed"  // the response did not verify
	Expired   Status = "expired"
)

// IsFinal tells whether the session has ended.
func (s Status) IsFinal() bool {
	return slices.Contains([]Status{Answered, Refused, Failed, Expired}, s)
}

// session is what is stored of one session.
type session struct {
	ID      string    `json:"id"`
	Status  Status    `json:"status"`
	Reason  string    `json:"reason,omitempty"` // stable code, or the wallet's error code
	Expires time.Time `json:"expires"`
	Browser string    `json:"browser,omitempty"` // hash of the browser session's secret

	Prefix          string                `json:"prefix"`
	Mode            string                `json:"mode"`
	Protocols       []string              `json:"protocols,omitempty"` // of the Digital Credentials API
	Origin          string                `json:"origin,omitempty"`    // of the page that asks by it
	Page            bool                  `json:"page,omitempty"`      // the page may ask by it too, beside the link
	Post            bool                  `json:"post,omitempty"`
	SameDevice      bool                  `json:"same_device,omitempty"`
	TransactionData []string              `json:"transaction_data,omitempty"`
	VerifierInfo    []oid4vc.VerifierInfo `json:"verifier_info,omitempty"`

	// Of the built-in query, which takes two steps; nil for a query of the operator's own.
	Assessment *assessing `json:"assessment,omitempty"`

	Exchange exchange `json:"exchange"`         // the request that waits
	Code     string   `json:"code,omitempty"`   // hash of the response code that was given out
	Result   any      `json:"result,omitempty"` // as it was found; of a stored session its JSON
}

// isDCAPI tells whether a page asks, over the Digital Credentials API.
func (s *session) isDCAPI() bool { return isDCAPI(s.mode()) }

// mode is the response mode of the request that waits, or is answered.
func (s *session) mode() string {
	switch {
	case !s.Exchange.ByPage:
		return s.Mode
	case s.Exchange.Key != nil:
		return oid4vc.ModeDCAPIJWT
	}
	return oid4vc.ModeDCAPI
}

// byPage makes the request that waits the one of the page, if that may ask beside the link: for this request, and as far as the session is stored for
// its answer.
func (s *session) byPage() { s.Exchange.ByPage = s.Page }

// leadsBack tells whether the wallet leads the browser back.
func (s *session) leadsBack() bool { return s.SameDevice && !s.isDCAPI() }

// exchange is one request to a wallet.
type exchange struct {
	Request  string          `json:"request"`  // name in the request_uri
	Response string          `json:"response"` // name in the response_uri, which only the request object tells, or of the page's endpoint
	Nonce    string          `json:"nonce"`
	State    string          `json:"state"`
	Query    *storedQuery    `json:"query,omitempty"` // nil once the session has ended
	Key      json.RawMessage `json:"key,omitempty"`   // private JWK that the response is encrypted to, for this request only
	ByPage   bool            `json:"by_page,omitempty"`
}

// storedQuery is a query in the store: our own, so that it is not read as strictly as one from outside.
type storedQuery dcql.Query

func (e *exchange) query() *dcql.Query { return (*dcql.Query)(e.Query) }

// assessing is how far an assessment has come.
type assessing struct {
	Step       int                `json:"step"` // 1 asks for the engagement, 2 for the months of its plan
	From       attestation.Period `json:"from,omitempty"`
	To         attestation.Period `json:"to,omitempty"`
	Engagement string             `json:"engagement,omitempty"` // ID, after step 1
}

// responseKey returns the key that the response must be encrypted to.
func (e *exchange) responseKey() (oid4vc.ResponseKey, error) {
	if e.Key == nil {
		return oid4vc.ResponseKey{}, nil
	}
	key, err := keys.ParsePrivate(e.Key)
	if err != nil {
		return oid4vc.ResponseKey{}, fmt.Errorf("reading the key of a request: %w", err)
	}
	return oid4vc.ResponseKey{Private: key, KID: e.Request}, nil
}

// Keys of the store:
//
//	vp/session/<id>        session as JSON
//	vp/request/<name>      id of the session
//	vp/response/<name>     id of the session
//	vp/evidence/<id>       evidence file
func keySession(id string) []byte    { return []byte("vp/session/" + id) }
func keyRequest(name string) []byte  { return []byte("vp/request/" + name) }
func keyResponse(name string) []byte { return []byte("vp/response/" + name) }
func keyEvidence(id string) []byte   { return []byte("vp/evidence/" + id) }

// Refusals of the endpoints for sessions.
var (
	errNoSession = &refusal{status: http.StatusNotFound, code: oid4vc.CodeInvalidRequest, text: "there is no such request", reason: "session.unknown"}
	errUsed      = &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequest, text: "this request was answered already", reason: "session.used"}
	errEnded     = &refusal{status: http.StatusBadRequest, code: oid4vc.CodeInvalidRequest, text: "this request has expired: ask for a new one", reason: "session.expired"}
)

// current is the session with what time has made of it.
func (s *session) current(now time.Time) {
	if !s.Status.IsFinal() && !now.Before(s.Expires) {
		s.end(Expired, "session.expired")
	}
}

// end ends the session and forgets what it no longer needs.
func (s *session) end(status Status, reason string) {
	s.Status, s.Reason, s.Code = status, reason, ""
	s.Exchange.Key, s.Exchange.Query = nil, nil
	if status != Answered {
		s.Result = nil
	}
}

func getSession(tx store.Tx, id string) (*session, error) {
	text, err := tx.Get(keySession(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, err
	}
	var stored struct {
		session
		Result json.RawMessage `json:"result"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // of values in a query
	if err := d.Decode(&stored); err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	if stored.Result != nil {
		stored.session.Result = stored.Result
	}
	return &stored.session, nil
}

// kept is until when a session is kept, by the clock of the machine, which the store goes by.
func (v *VP) kept() time.Time { return time.Now().Add(v.Life + v.Retention) }

func (v *VP) putSession(tx store.Tx, s *session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("storing a session: %w", err)
	}
	return tx.SetUntil(keySession(s.ID), text, v.kept())
}

// begin stores a session with its next request.
func (v *VP) begin(tx store.Tx, s *session) error {
	s.Status = Waiting
	return errors.Join(v.putSession(tx, s),
		tx.SetUntil(keyRequest(s.Exchange.Request), []byte(s.ID), v.kept()),
		tx.SetUntil(keyResponse(s.Exchange.Response), []byte(s.ID), v.kept()))
}

// byName finds the session that a request_uri or response_uri belongs to, also one that has gone on to its next request.
func byName(tx store.Tx, key []byte) (*session, error) {
	id, err := tx.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, err
	}
	return getSession(tx, string(id))
}

// read returns the session of an id as it is now.
func (v *VP) read(ctx context.Context, id string) (*session, error) {
	var s *session
	err := v.Store.View(ctx, func(tx store.Tx) (err error) {
		s, err = getSession(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.current(v.Now())
	return s, nil
}

// claim takes the one response that a request may have: from here on every other one is refused. For a session that may does not allow to be answered
// like this there is none, and it stays as it is.
func (v *VP) claim(ctx context.Context, name string, may func(*session) bool) (*session, error) {
	var s *session
	var late *refusal // committed as the session's end, so no error of the transaction
	err := v.Store.Update(ctx, func(tx store.Tx) (err error) {
		late = nil
		if s, err = byName(tx, keyResponse(name)); err != nil {
			return err
		}
		if !may(s) {
			return errNoSession
		}
		s.current(v.Now())
		switch {
		case s.Status == Expired:
			late = errEnded
			return v.putSession(tx, s)
		case s.Status != Waiting || s.Exchange.Response != name:
			return errUsed
		}
		s.Status = Verifying
		return v.putSession(tx, s)
	})
	if err == nil && late != nil {
		return nil, late
	}
	return s, err
}

// settle stores how a claimed session goes on, and tells those who watch it.
func (v *VP) settle(ctx context.Context, s *session, evidenceFile []byte) error {
	err := v.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		if evidenceFile != nil {
			if err := tx.SetUntil(keyEvidence(s.ID), evidenceFile, v.kept()); err != nil {
				return err
			}
		}
		if s.Status == Waiting {
			return v.begin(tx, s)
		}
		return v.putSession(tx, s)
	})
	v.hub.tell(s.ID)
	return err
}

// View is what whoever began a session learns of it.
type View struct {
	ID      string          `json:"id"`
	Status  Status          `json:"status"`
	Reason  string          `json:"reason,omitempty"`
	Step    int             `json:"step,omitempty"` // of an assessment
	Link    string          `json:"link,omitempty"` // for the wallet, while the session waits
	Page    string          `json:"page,omitempty"` // where a page that may ask too gets what it asks with, while the session waits
	Expires time.Time       `json:"expires"`
	Result  json.RawMessage `json:"result,omitempty"` // of an answered session
}

func (v *VP) view(s *session) (*View, error) {
	out := &View{ID: s.ID, Status: s.Status, Reason: s.Reason, Expires: s.Expires}
	if s.Assessment != nil {
		out.Step = s.Assessment.Step
	}
	if s.Status == Answered {
		var err error
		if out.Result, err = json.Marshal(s.Result); err != nil {
			return nil, fmt.Errorf("writing the result: %w", err)
		}
	}
	if s.Status != Waiting {
		return out, nil
	}
	if s.Page {
		out.Page = v.pageURI(s)
	}
	var err error
	out.Link, err = v.link(s)
	return out, err
}

// Session returns a session as it is now.
func (v *VP) Session(ctx context.Context, id string) (*View, error) {
	s, err := v.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return v.view(s)
}

// Evidence returns the evidence file of an answered assessment.
func (v *VP) Evidence(ctx context.Context, id string) ([]byte, error) {
	s, err := v.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if s.Status != Answered {
		return nil, errNoSession
	}
	var data []byte
	err = v.Store.View(ctx, func(tx store.Tx) (err error) {
		data, err = tx.Get(keyEvidence(id))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSession
	}
	return data, err
}
