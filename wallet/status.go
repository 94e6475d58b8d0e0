package wallet

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"akashi/internal/keys"
	"akashi/internal/statuslist"
	"akashi/internal/store"
	"akashi/registry/trustlist"
)

// Words for [Credential.Status].
const (
	StatusValid     = "valid"
	StatusSuspended = "suspended"
	StatusRevoked   = "revoked"
	StatusUnknown   = "unknown"
)

// StatusChange is a credential whose status is another than when it was last asked about.
type StatusChange struct {
	ID  string `json:"id"`
	Was string `json:"was"`
	Is  string `json:"is"`
}

// statusLists reads status lists (Token Status List, Section 8.3), each whole and once.
type statusLists struct {
	w    *Wallet
	list *trustlist.List
	key  func(context.Context, keys.UnverifiedHeader) (keys.Public, error) // of lists that no listed service serves
	read map[string]readList                                               // by URI
}

// readList is what came of reading a list; neither token nor error where it could not be reached.
type readList struct {
	token *statuslist.Token
	err   error
}

// statuses reads the lists of this grant's issuer too.
func (c *collecting) statuses() *statusLists {
	if c.lists == nil {
		c.lists = &statusLists{w: c.w, list: c.list, key: c.issuerKey, read: map[string]readList{}}
	}
	return c.lists
}

// of looks up the status of a credential, "" for one that has none.
func (s *statusLists) of(ctx context.Context, claims map[string]any) (string, error) {
	ref, err := statuslist.ReferenceOf(claims)
	if err != nil {
		return "", errors.Join(ErrStatus, err)
	}
	if ref == nil {
		return "", nil
	}
	found, ok := s.read[ref.URI]
	if !ok {
		found.token, found.err = s.fetch(ctx, ref.URI)
		s.read[ref.URI] = found
	}
	switch {
	case found.err != nil:
		return "", errors.Join(ErrStatus, found.err)
	case found.token == nil:
		return StatusUnknown, nil
	}
	status, err := found.token.Status(ref.Index)
	switch {
	case err != nil:
		return "", errors.Join(ErrStatus, err)
	case status == statuslist.Valid:
		return StatusValid, nil
	case status == statuslist.Suspended:
		return StatusSuspended, nil
	}
	return StatusRevoked, nil
}

// fetch returns the list at a URI, nil for one that cannot be reached, which decides nothing.
func (s *statusLists) fetch(ctx context.Context, uri string) (*statuslist.Token, error) {
	resp, err := s.w.Web.Get(ctx, uri, statuslist.MediaType)
	if err != nil || resp.Status != http.StatusOK || resp.MediaType != statuslist.MediaType {
		return nil, nil
	}
	u, err := statuslist.Parse(strings.TrimSpace(string(resp.Body)))
	if err != nil {
		return nil, err
	}
	key, served, err := s.list.StatusKey(uri, u.Header()) // of many issuers' lists
	if !served {
		key, err = s.key(ctx, u.Header())
	}
	if err != nil {
		return nil, err
	}
	return u.Verify(key, statuslist.Expect{URI: uri, Now: s.w.Now(), Fetched: resp.Fetched})
}

// askStatuses asks again about what the wallet holds, where a listed service serves the list: it has those of many issuers, none of which learns
// that the wallet looks.
func (w *Wallet) askStatuses(ctx context.Context, report *SyncReport) error {
	if w.Web == nil {
		return nil
	}
	held, err := w.Credentials(ctx)
	if err != nil || len(held) == 0 {
		return err
	}
	history, err := w.trust(ctx)
	if err != nil {
		return err
	}
	s := &statusLists{w: w, list: history.Latest(), read: map[string]readList{}}
	changes, err := s.askAgain(ctx, held, func(uri string, _ *Credential) bool {
		_, served := history.Latest().StatusService(uri)
		return served
	})
	report.Statuses = append(report.Statuses, changes...)
	return err
}

// askStatuses asks the issuer of this grant about its own lists.
func (c *collecting) askStatuses(ctx context.Context) error {
	held, err := c.w.Credentials(ctx)
	if err != nil {
		return err
	}
	changes, err := c.statuses().askAgain(ctx, held, func(uri string, h *Credential) bool {
		_, served := c.list.StatusService(uri)
		return !served && h.Issuer == c.grant.Issuer
	})
	c.report.Statuses = append(c.report.Statuses, changes...)
	return err
}

// askAgain asks about the credentials that are wanted and stores what changed. A list that cannot be had changes nothing.
func (s *statusLists) askAgain(ctx context.Context, held []Credential, want func(uri string, h *Credential) bool) (changes []StatusChange, err error) {
	var errs []error
	now := s.w.Now()
	for i := range held {
		h := &held[i]
		var claims map[string]any
		if err := keys.DecodeJSON(h.Claims, &claims); err != nil {
			return changes, err
		}
		ref, err := statuslist.ReferenceOf(claims)
		if err != nil || ref == nil || !want(ref.URI, h) {
			continue
		}
		is, err := s.of(ctx, claims)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if is == StatusUnknown {
			continue
		}
		if is != h.Status {
			changes = append(changes, StatusChange{h.ID, h.Status, is})
		}
		h.Status, h.Checked = is, &now
		errs = append(errs, s.w.Store.Update(ctx, func(tx store.Tx) error { return store.SetJSON(tx, []byte(prefixCredential+h.ID), h) }))
	}
	return changes, errors.Join(errs...)
}
