package verifier_test

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"testing"

	"akashi/internal/oid4vc"
	"akashi/internal/store"
	"akashi/verifier"
)

// stores tells whether any of the texts stands anywhere in what the verifier stores.
func (w *vpWorld) stores(texts ...string) bool {
	w.t.Helper()
	found := false
	err := w.vp.Store.View(context.Background(), func(tx store.Tx) error {
		return tx.Scan(nil, func(_, value []byte) error {
			found = found || slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains(value, []byte(text)) })
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// withAll is a presentation with every disclosure of the credential, and which of them the good one did not have.
func (w *vpWorld) withAll(r *oid4vc.PresentationRequest, good, credential string) (all string, more []string) {
	w.t.Helper()
	p := partsOf(good)
	for _, d := range partsOf(credential).disclosures {
		if !slices.Contains(p.disclosures, d) {
			more = append(more, d)
		}
	}
	if len(more) == 0 {
		w.t.Fatal("all of the credential was asked for")
	}
	p.disclosures = partsOf(credential).disclosures
	return p.rebound(w, r), more
}

// What was not asked for is not kept, whatever the rest is worth. The holder's signature is over all that was sent, so that nothing can be cut off.
func TestUnaskedIsNotKept(t *testing.T) {
	w := newVPWorld(t)
	for name, c := range map[string]struct {
		ask            verifier.CreateOptions
		id, credential string
	}{
		"of an engagement, of which nothing was asked":          {verifier.CreateOptions{}, "engagement", w.Engagement},
		"of an engagement, of which another month was asked":    {verifier.CreateOptions{OneStep: true, From: "2025-12", To: "2025-12"}, "engagement", w.Engagement},
		"of a wage, in answer to a query of the operator's own": {verifier.CreateOptions{Query: wageQuery(t)}, "wage", w.payment},
	} {
		t.Run(name, func(t *testing.T) {
			wallet := &holding{vpWorld: w, held: []string{c.credential}}
			s := w.create(c.ask)
			r := w.fetch(s.Link)
			token := wallet.token(r)
			good := token[c.id][0]
			all, more := w.withAll(r, good, c.credential)
			token[c.id] = []string{all}
			status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State})
			if now := w.session(s.ID); status != http.StatusBadRequest || now.Status != verifier.Failed || now.Reason != "query.unasked" || now.Result != nil {
				t.Errorf("got %d %s, %+v", status, body, now)
			}
			if w.stores(append(more, all, good)...) {
				t.Error("it is stored all the same")
			}
		})
	}

	// What was asked for is, and found so.
	wallet := &holding{vpWorld: w, held: []string{w.Engagement, w.payment}}
	s := w.create(verifier.CreateOptions{OneStep: true, From: "2025-12", To: "2025-12"})
	r := w.fetch(s.Link)
	token := wallet.token(r)
	if status, body := w.send(r, &oid4vc.VPResponse{Token: token, State: r.State}); status != http.StatusOK {
		t.Fatalf("as asked: %d %s", status, body)
	}
	if file, err := w.vp.Evidence(context.Background(), s.ID); err != nil || !bytes.Contains(file, []byte(partsOf(token["engagement"][0]).disclosures[0])) {
		t.Errorf("a file without what was asked for: %v", err)
	}
}
