package verifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"akashi/internal/store"
	"akashi/verifier"
)

// scan looks at everything in the store.
func (w *deskWorld) scan(see func(key, value []byte)) {
	w.t.Helper()
	err := w.store.View(context.Background(), func(tx store.Tx) error {
		return tx.Scan(nil, func(key, value []byte) error {
			see(key, value)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestAudit: a line that is removed, changed, added or moved is noticed, and the lines before it are still read.
func TestAudit(t *testing.T) {
	line := func(n int) []byte { return fmt.Appendf(nil, "desk/audit/%016x", n) }
	for _, c := range []struct {
		name  string
		spoil func(tx store.Tx) error
		good  int
		text  string
	}{
		{"as it was written", func(store.Tx) error { return nil }, 4, ""},
		{"a line removed", func(tx store.Tx) error { return tx.Delete(line(2)) }, 1, "line 2 is missing"},
		{"the first removed", func(tx store.Tx) error { return tx.Delete(line(1)) }, 0, "line 1 is missing"},
		{"the last removed", func(tx store.Tx) error { return tx.Delete(line(4)) }, 3, "ends with line 3 and should end with line 4"},
		{"all removed", func(tx store.Tx) error {
			return errors.Join(tx.Delete(line(1)), tx.Delete(line(2)), tx.Delete(line(3)), tx.Delete(line(4)))
		}, 0, "ends with line 0"},
		{"another name", func(tx store.Tx) error {
			return change(tx, line(3), func(l *verifier.AuditLine) { l.Name = "Somebody" })
		}, 2, "line 3 is not what was written"},
		{"another chain", func(tx store.Tx) error { return change(tx, line(3), func(l *verifier.AuditLine) { l.Prev = "x" }) }, 2, "line 3 does not follow"},
		{"a line twice", func(tx store.Tx) error {
			value, err := tx.Get(line(4))
			return errors.Join(err, tx.Set(line(5), value))
		}, 4, "line 5 is missing"},
		{"no JSON", func(tx store.Tx) error { return tx.Set(line(2), []byte("{")) }, 1, "after line 1: it cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newDeskWorld(t, nil)
			b := w.signedIn("r1", "Reviewer One")
			b.post("/desk/cases", newCase())
			b.post("/desk/cases", newCase())
			b.post("/signout", nil)
			if err := w.store.Update(context.Background(), c.spoil); err != nil {
				t.Fatal(err)
			}
			lines, err := w.desk.Audit(context.Background())
			if len(lines) != c.good || errors.Is(err, verifier.ErrAudit) != (c.text != "") || c.text != "" && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %d lines, %v; want %d, %q", len(lines), err, c.good, c.text)
			}
		})
	}
}

func change(tx store.Tx, key []byte, spoil func(*verifier.AuditLine)) error {
	var l verifier.AuditLine
	if err := store.GetJSON(tx, key, &l); err != nil {
		return err
	}
	spoil(&l)
	return store.SetJSON(tx, key, l)
}

// TestAuditNamesNobodyElse: the audit log has nothing of what a worker has shown.
func TestAuditNamesNobodyElse(t *testing.T) {
	w := newDeskWorld(t, nil)
	b := w.signedIn("r1", "Reviewer One")
	w.answered(b, "/desk")
	lines := w.lines()
	for i := range lines {
		lines[i].Prev, lines[i].Hash = "", "" // which may have any digits
	}
	text, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{w.EngagementID, "NGUYEN", "8990000000001", "212000"} {
		if strings.Contains(string(text), shown) {
			t.Errorf("the audit log has %q", shown)
		}
	}
}
