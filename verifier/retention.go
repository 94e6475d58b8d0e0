package verifier

import (
	"context"
	"errors"

	"akashi/internal/store"
)

// Reasons for which a case is deleted.
const (
	deletedByTime  = "retention"
	deletedByOwner = "request"
)

// Sweep takes over what wallets have answered, and deletes the cases whose time has come: evidence file, presentation and all, but for the lines of the
// audit log and, under the assessment number, the day on which the file was deleted. It returns how many it deleted. It is called now and then.
func (d *Desk) Sweep(ctx context.Context) (deleted int, err error) {
	cases, err := d.allCases(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, c := range cases {
		if _, err := d.settled(ctx, c); err == nil {
			continue
		} else if !errors.Is(err, errNoCase) {
			errs = append(errs, err)
			continue
		}
		if err := d.remove(ctx, c.ID, AuditLine{Who: byService, Reason: deletedByTime}); err != nil {
			errs = append(errs, err)
			continue
		}
		deleted++
	}
	return deleted, errors.Join(errs...)
}

// remove deletes a case; by says who does it, and why.
func (d *Desk) remove(ctx context.Context, id string, by AuditLine) error {
	return d.update(ctx, func(tx store.Tx) error {
		c, err := getCase(tx, id)
		if errors.Is(err, errNoCase) {
			return nil
		}
		if err != nil {
			return err
		}
		if c.Number != "" {
			err = store.SetJSON(tx, keyNumber(c.Number), numbered{Deleted: d.now().UTC()})
		}
		by.What, by.Case, by.Number = auditCaseDeleted, c.ID, c.Number
		return errors.Join(err, d.forgetSession(tx, c.Session), tx.Delete(keyCode(c.Code)), tx.Delete(keyFile(c.ID)), tx.Delete(keyOf(c)), tx.Delete(keyCase(c.ID)), d.record(tx, by))
	})
}

// keep keeps the case of a worker's own for as long as a reviewer's.
func (d *Desk) keep(ctx context.Context, o owner, c *deskCase) error {
	return d.update(ctx, func(tx store.Tx) error {
		c, err := getCase(tx, c.ID)
		if err != nil {
			return err
		}
		c.Until = c.Opened.Add(d.Retention)
		return errors.Join(d.putCase(tx, c), d.record(tx, o.line(auditCaseKept, c)))
	})
}
