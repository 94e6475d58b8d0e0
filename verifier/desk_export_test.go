package verifier

import (
	"context"
	"net/http"
	"testing"

	"akashi/internal/store"
)

// Enter signs in a reviewer by no method, and returns the cookie of the browser.
func (d *Desk) Enter(t *testing.T, id, name string) *http.Cookie {
	t.Helper()
	var secret string
	err := d.update(context.Background(), func(tx store.Tx) (err error) {
		who := reviewer{ID: id, Name: name, Method: "test", Since: d.now()}
		if err := store.SetJSON(tx, keyReviewer(id), who); err != nil {
			return err
		}
		secret, err = d.enter(tx, &who)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hostCookie(reviewerCookie, secret)
}

// CodeLength, ReadCode and LocalNext are read by the tests.
var (
	ReadCode  = readCode
	LocalNext = localNext
)
