package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"akashi/internal/store"
)

// What the audit log records.
const (
	auditCaseOpened    = "case.opened"
	auditCaseAsked     = "case.asked" // again, with a new request
	auditCaseAnswered  = "case.answered"
	auditCaseEnded     = "case.ended" // refused, failed or expired: the reason says which
	auditCaseSeen      = "case.seen"
	auditCaseSaved     = "case.saved" // its evidence file was downloaded
	auditCaseKept      = "case.kept"  // a worker had a case of their own kept for longer
	auditCaseDeleted   = "case.deleted"
	auditSignedIn      = "signin.ok"
	auditSignInRefused = "signin.refused"
	auditSignedOut     = "signin.out"
	auditInvited       = "reviewer.invited"
	auditEnrolled      = "reviewer.enrolled" // an invited person made a passkey, or somebody of the identity provider came the first time
	auditRemoved       = "reviewer.removed"
)

// Who acts where it is no reviewer.
const (
	byOperator = "operator"
	byService  = "service"
	byWorker   = "worker" // whoever made an assessment without signing in
)

// AuditLine is one line of the audit log. It names reviewers and cases, and nothing that a worker has shown.
//
// Each line has the hash of the one before, and its own:
//
//	hash = BASE64URL(SHA-256(JSON of the line without its hash))
//
// so that a line that was removed or changed is noticed by [Desk.Audit]. Whoever can write the store could make a whole new chain: that is noticed by
// those who keep a hash elsewhere, and each one goes to the service's log.
type AuditLine struct {
	N      uint64    `json:"n"` // from 1
	At     time.Time `json:"at"`
	What   string    `json:"what"`
	Who    string    `json:"who,omitempty"`    // id of the reviewer, or operator, service, worker
	Name   string    `json:"name,omitempty"`   // of the reviewer, as it was then
	About  string    `json:"about,omitempty"`  // reviewer that was removed, by id, or invited, by name
	Case   string    `json:"case,omitempty"`   // id of the case
	Number string    `json:"number,omitempty"` // of its assessment
	Reason string    `json:"reason,omitempty"` // stable code
	Prev   string    `json:"prev,omitempty"`   // hash of the line before
	Hash   string    `json:"hash,omitempty"`
}

// ErrAudit is returned when the audit log is not as it was written.
var ErrAudit = errors.New("the audit log was changed")

// auditHead is the end of the chain.
type auditHead struct {
	N    uint64 `json:"n"`
	Hash string `json:"hash"`
}

func (l AuditLine) hash() (string, error) {
	l.Hash = ""
	text, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("encoding an audit line: %w", err)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// record appends a line to the audit log, in the transaction of what it is about.
func (d *Desk) record(tx store.Tx, l AuditLine) error {
	var head auditHead
	if err := store.GetJSON(tx, keyAuditHead, &head); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	l.N, l.At, l.Prev = head.N+1, d.now().UTC(), head.Hash
	var err error
	if l.Hash, err = l.hash(); err != nil {
		return err
	}
	return errors.Join(store.SetJSON(tx, keyAudit(l.N), l), store.SetJSON(tx, keyAuditHead, auditHead{l.N, l.Hash}))
}

// update runs a transaction that may write to the audit log, and tells the service's log the end of the chain.
func (d *Desk) update(ctx context.Context, fn func(store.Tx) error) error {
	var before, after auditHead
	err := d.vp.Store.Update(ctx, func(tx store.Tx) error {
		before, after = auditHead{}, auditHead{}
		if err := store.GetJSON(tx, keyAuditHead, &before); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		if err := store.GetJSON(tx, keyAuditHead, &after); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})
	if err == nil && after.N > before.N {
		d.vp.Log.InfoContext(ctx, "audit", "n", after.N, "hash", after.Hash)
	}
	return err
}

// note records a line by itself.
func (d *Desk) note(ctx context.Context, l AuditLine) error {
	return d.update(context.WithoutCancel(ctx), func(tx store.Tx) error { return d.record(tx, l) })
}

// Audit returns the audit log, oldest first. With [ErrAudit] it returns the lines up to the first that is not as it was written.
func (d *Desk) Audit(ctx context.Context) (lines []AuditLine, err error) {
	var head auditHead
	err = d.vp.Store.View(ctx, func(tx store.Tx) error {
		if err := store.GetJSON(tx, keyAuditHead, &head); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return tx.Scan(prefixAudit, func(_, value []byte) error {
			var l AuditLine
			if err := json.Unmarshal(value, &l); err != nil {
				return fmt.Errorf("%w: after line %d: it cannot be read", ErrAudit, len(lines))
			}
			lines = append(lines, l)
			return nil
		})
	})
	if err != nil {
		return lines, err
	}
	good, err := checkAudit(lines)
	if err == nil && (head.N != uint64(len(lines)) || good > 0 && head.Hash != lines[good-1].Hash) {
		err = fmt.Errorf("%w: it ends with line %d and should end with line %d", ErrAudit, len(lines), head.N)
	}
	return lines[:good], err
}

// checkAudit returns how many of the lines form one unbroken chain.
func checkAudit(lines []AuditLine) (good int, err error) {
	prev := ""
	for i, l := range lines {
		hash, err := l.hash()
		switch {
		case err != nil:
			return i, err
		case l.N != uint64(i)+1:
			return i, fmt.Errorf("%w: line %d is missing", ErrAudit, i+1)
		case l.Prev != prev:
			return i, fmt.Errorf("%w: line %d does not follow from the one before", ErrAudit, l.N)
		case l.Hash != hash:
			return i, fmt.Errorf("%w: line %d is not what was written", ErrAudit, l.N)
		}
		prev = l.Hash
	}
	return len(lines), nil
}
