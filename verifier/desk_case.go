package verifier

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"akashi/attestation"
	"akashi/internal/store"
)

// Purposes for which a reviewer asks; each has its text.
var purposes = []string{"renewal", "change", "other"}

// purposeSubmission is that of an assessment which a worker makes to hand in.
const purposeSubmission = "submission"

// deskCase is one case: one worker is asked, with a new request as often as it takes, and answers once.
type deskCase struct {
	ID         string             `json:"id"`
	Owner      string             `json:"owner"` // see owner
	Purpose    string             `json:"purpose"`
	From       attestation.Period `json:"from,omitempty"`
	To         attestation.Period `json:"to,omitempty"`
	Opened     time.Time          `json:"opened"`
	Until      time.Time          `json:"until"` // then it is deleted
	SameDevice bool               `json:"same_device,omitempty"`

	Session string `json:"session,omitempty"` // of VP, while it goes on
	Code    string `json:"code,omitempty"`    // under which a wallet finds the request, while it waits

	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	Number string `json:"number,omitempty"` // of the assessment, when it was answered
}

// owner is who may see a case: a reviewer, or the browser in which a worker made it. Its name is that in the store's keys.
type owner struct {
	name     string
	reviewer *reviewer // nil for a browser
	browser  string    // secret of the browser, which VP binds its sessions to
}

func (o owner) line(what string, c *deskCase) AuditLine {
	l := AuditLine{What: what, Who: byWorker, Case: c.ID, Number: c.Number, Reason: c.Reason}
	if o.reviewer != nil {
		l.Who, l.Name = o.reviewer.ID, o.reviewer.Name
	}
	return l
}

// numbered is what is known under an assessment number.
type numbered struct {
	Case    string    `json:"case,omitempty"`
	Deleted time.Time `json:"deleted,omitzero"` // when its evidence file was
}

// asking says what a case is to ask.
type asking struct {
	Purpose    string
	From, To   attestation.Period
	SameDevice bool
}

// codeLength is that of the code which a worker types, in Crockford's base 32: 40 bits, for the minutes in which a request waits.
const codeLength = 8

func newCode() string {
	b := make([]byte, codeLength*5/8)
	_, _ = rand.Read(b) // never fails
	return crockford.EncodeToString(b)
}

// readCode reads a code as people type it.
func readCode(typed string) (code string, ok bool) {
	s := strings.NewReplacer("-", "", " ", "", "\u3000", "", "−", "", "ー", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(typed)))
	if len(s) != codeLength {
		return "", false
	}
	b, err := crockford.DecodeString(s)
	return s, err == nil && crockford.EncodeToString(b) == s
}

// writtenCode is a code as it is shown.
func writtenCode(code string) string {
	if len(code) != codeLength {
		return code
	}
	return code[:4] + "-" + code[4:]
}

// open opens a case and asks.
func (d *Desk) open(ctx context.Context, o owner, a asking) (*deskCase, error) {
	kept := d.Retention
	if o.reviewer == nil {
		kept = d.Submission
	}
	now := d.now()
	c := &deskCase{ID: newCode() + newCode(), Owner: o.name, Purpose: a.Purpose, From: a.From, To: a.To, Opened: now, Until: now.Add(kept), SameDevice: a.SameDevice}
	return c, d.ask(ctx, o, c, auditCaseOpened)
}

// again asks once more, with a new request, where a case has come to no answer.
func (d *Desk) again(ctx context.Context, o owner, c *deskCase, sameDevice bool) error {
	if c.Status == Answered {
		return nil
	}
	c.SameDevice = sameDevice
	return d.ask(ctx, o, c, auditCaseAsked)
}

// ask gives a case a new session of VP and a new code.
func (d *Desk) ask(ctx context.Context, o owner, c *deskCase, what string) error {
	view, err := d.vp.Create(ctx, CreateOptions{From: c.From, To: c.To, SameDevice: c.SameDevice, Browser: o.browser, Page: true})
	if err != nil {
		return err
	}
	oldSession, oldCode := c.Session, c.Code
	c.Session, c.Status, c.Reason = view.ID, view.Status, ""
	return d.update(ctx, func(tx store.Tx) error {
		c.Code = newCode()
		if _, err := tx.Get(keyCode(c.Code)); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, errors.New("this code is taken"))
		}
		return errors.Join(d.forgetSession(tx, oldSession), tx.Delete(keyCode(oldCode)), tx.Set(keyOf(c), nil), d.putCase(tx, c),
			setUntil(tx, keyCode(c.Code), c.ID, d.vp.Life+d.vp.Retention), setUntil(tx, keyAsked(c.Session), c.ID, d.vp.Life+d.vp.Retention), d.record(tx, o.line(what, c)))
	})
}

func (d *Desk) putCase(tx store.Tx, c *deskCase) error { return store.SetJSON(tx, keyCase(c.ID), c) }

func getCase(tx store.Tx, id string) (*deskCase, error) {
	var c deskCase
	err := store.GetJSON(tx, keyCase(id), &c)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoCase
	}
	if err != nil {
		return nil, fmt.Errorf("reading a case: %w", err)
	}
	return &c, nil
}

// forgetSession removes a session of VP, "" for none, and what leads from it to its case.
func (d *Desk) forgetSession(tx store.Tx, id string) error {
	if id == "" {
		return nil
	}
	s, err := getSession(tx, id)
	if errors.Is(err, errNoSession) {
		return tx.Delete(keyAsked(id))
	}
	if err != nil {
		return err
	}
	return errors.Join(d.vp.forget(tx, s), tx.Delete(keyAsked(id)))
}

// caseOf returns a case of an owner as it is now. For others there is none.
func (d *Desk) caseOf(ctx context.Context, o owner, id string) (*deskCase, error) {
	c, err := d.caseByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if !sameSecret(c.Owner, o.name) {
		return nil, errNoCase
	}
	return c, nil
}

// caseByID returns a case as it is now.
func (d *Desk) caseByID(ctx context.Context, id string) (*deskCase, error) {
	c, err := d.stored(ctx, func(tx store.Tx) (*deskCase, error) { return getCase(tx, id) })
	if err != nil {
		return nil, err
	}
	return d.settled(ctx, c)
}

// caseBy returns the case that a key leads to.
func (d *Desk) caseBy(ctx context.Context, key []byte) (*deskCase, error) {
	c, err := d.stored(ctx, func(tx store.Tx) (*deskCase, error) {
		var id string
		if err := store.GetJSON(tx, key, &id); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				err = errNoCase
			}
			return nil, err
		}
		return getCase(tx, id)
	})
	if err != nil {
		return nil, err
	}
	return d.settled(ctx, c)
}

func (d *Desk) stored(ctx context.Context, get func(store.Tx) (*deskCase, error)) (c *deskCase, err error) {
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		c, err = get(tx)
		return err
	})
	return c, err
}

// settled is the case with what has become of its session. When the session has ended the case takes over what is left of it: of an answer the
// evidence file, under its number. The session is then forgotten. One whose time has come is there no more.
func (d *Desk) settled(ctx context.Context, c *deskCase) (*deskCase, error) {
	if !d.now().Before(c.Until) {
		return nil, errNoCase
	}
	if c.Session == "" {
		return c, nil
	}
	view, err := d.vp.Session(ctx, c.Session)
	switch {
	case errors.Is(err, errNoSession): // its time is long over
		view = &View{Status: Expired, Reason: errEnded.reason}
	case err != nil:
		return nil, err
	}
	if !view.Status.IsFinal() {
		c.Status, c.Reason = view.Status, view.Reason
		return c, nil
	}
	var file []byte
	if view.Status == Answered {
		file, err = d.vp.Evidence(ctx, c.Session)
		if errors.Is(err, errNoSession) { // another request has just taken it over
			return d.stored(ctx, func(tx store.Tx) (*deskCase, error) { return getCase(tx, c.ID) })
		}
		if err != nil {
			return nil, err
		}
	}
	return d.takeOver(ctx, c.ID, c.Session, view, file)
}

// takeOver stores how the session of a case ended.
func (d *Desk) takeOver(ctx context.Context, id, session string, view *View, file []byte) (c *deskCase, err error) {
	err = d.update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		if c, err = getCase(tx, id); err != nil || c.Session != session {
			return err // deleted, or another request was here first
		}
		old := c.Code
		c.Session, c.Code, c.Status, c.Reason = "", "", view.Status, view.Reason
		what := auditCaseEnded
		if file != nil {
			what, c.Number = auditCaseAnswered, AssessmentNumber(file)
			err = errors.Join(tx.Set(keyFile(c.ID), file), store.SetJSON(tx, keyNumber(c.Number), numbered{Case: c.ID}))
		}
		return errors.Join(err, d.forgetSession(tx, session), tx.Delete(keyCode(old)), d.putCase(tx, c),
			d.record(tx, AuditLine{What: what, Who: byService, Case: c.ID, Number: c.Number, Reason: c.Reason}))
	})
	return c, err
}

// file returns the evidence file of an answered case, and records why it was read.
func (d *Desk) file(ctx context.Context, o owner, c *deskCase, what string) (data []byte, err error) {
	err = d.update(ctx, func(tx store.Tx) error {
		data, err = tx.Get(keyFile(c.ID))
		if errors.Is(err, store.ErrNotFound) {
			return errNoCase
		}
		return errors.Join(err, d.record(tx, o.line(what, c)))
	})
	return data, err
}

// shownCases is how many cases a desk lists.
const shownCases = 50

// casesOf returns the latest cases of an owner, the newest first.
func (d *Desk) casesOf(ctx context.Context, o owner) (out []*deskCase, err error) {
	var all []*deskCase
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		all = nil
		return tx.Scan(prefixOf(o.name), func(key, _ []byte) error {
			_, id, _ := strings.Cut(strings.TrimPrefix(string(key), string(prefixOf(o.name))), "/")
			c, err := getCase(tx, id)
			if err != nil {
				return err
			}
			if all = append(all, c); len(all) == shownCases {
				return store.ErrStop
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		now, err := d.settled(ctx, c)
		if errors.Is(err, errNoCase) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, now)
	}
	return out, nil
}

// allCases returns every case that is stored.
func (d *Desk) allCases(ctx context.Context) (out []*deskCase, err error) {
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		out = nil
		return tx.Scan(prefixCases, func(_, value []byte) error {
			var c deskCase
			if err := json.Unmarshal(value, &c); err != nil {
				return fmt.Errorf("reading a case: %w", err)
			}
			out = append(out, &c)
			return nil
		})
	})
	return out, err
}

func isPurpose(s string) bool { return slices.Contains(purposes, s) }
