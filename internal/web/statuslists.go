package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"akashi/internal/statuslist"
)

// ErrStatusList is returned for a status list that may not be asked for.
var ErrStatusList = errors.New("the status list is of no service that is asked here")

const (
	statusLife    = 5 * time.Minute // of a list that states no limit
	maxStatusLife = 24 * time.Hour
	maxStatuses   = 256 // lists kept
)

// StatusLists reads Status List Tokens, each whole, and keeps one for as long as it says itself (ttl and exp: Token Status List, Sections 5.1
// and 13.7). What [StatusLists.Refresh] reads ahead on a timer is answered from memory: no service learns that somebody looks at a credential.
// Tokens are not verified here.
type StatusLists struct {
	// Fetch reads a document, and must not keep it: the life of a list is in the list. [Fetcher.Get] of a fetcher without cache is one.
	Fetch func(ctx context.Context, target string, accept ...string) (*Response, error)
	Allow func(uri string) bool // which lists may be asked for; nil: any
	Now   func() time.Time

	mu    sync.Mutex // guards what follows
	lists map[string]keptList
}

// keptList is a list in memory. It is due for another one after half of its life.
type keptList struct {
	token        string
	fetched, due time.Time
	until        time.Time
}

// NewStatusLists reads lists as the options of a [Fetcher] allow.
func NewStatusLists(o FetchOptions, allow func(uri string) bool) *StatusLists {
	o = o.withDefaults()
	o.CacheBytes = -1
	return &StatusLists{Fetch: NewFetcher(o).Get, Allow: allow, Now: o.Now}
}

// StatusList returns the token at a URI, and when it was fetched.
func (s *StatusLists) StatusList(ctx context.Context, uri string) (token string, fetched time.Time, err error) {
	if s.Allow != nil && !s.Allow(uri) {
		return "", time.Time{}, ErrStatusList
	}
	s.mu.Lock()
	kept, ok := s.lists[uri]
	s.mu.Unlock()
	if !ok || !s.Now().Before(kept.until) {
		kept, err = s.read(ctx, uri)
	}
	return kept.token, kept.fetched, err
}

// read fetches a list and keeps it.
func (s *StatusLists) read(ctx context.Context, uri string) (k keptList, err error) {
	resp, err := s.Fetch(ctx, uri, statuslist.MediaType)
	if err != nil {
		return k, err
	}
	if resp.Status != http.StatusOK || resp.MediaType != statuslist.MediaType {
		return k, fmt.Errorf("the status list was answered with status %d", resp.Status)
	}
	u, err := statuslist.Parse(strings.TrimSpace(string(resp.Body)))
	if err != nil {
		return k, err
	}
	until := u.UnverifiedFreshUntil(resp.Fetched)
	if until.IsZero() {
		until = resp.Fetched.Add(statusLife)
	}
	if latest := resp.Fetched.Add(maxStatusLife); until.After(latest) {
		until = latest
	}
	k = keptList{token: strings.TrimSpace(string(resp.Body)), fetched: resp.Fetched, due: resp.Fetched.Add(until.Sub(resp.Fetched) / 2), until: until}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lists == nil || len(s.lists) >= maxStatuses {
		s.lists = map[string]keptList{}
	}
	s.lists[uri] = k
	return k, nil
}

// Refresh reads the lists that an aggregation names (Token Status List, Section 9), as far as half of their life is over.
func (s *StatusLists) Refresh(ctx context.Context, aggregation string) error {
	resp, err := s.Fetch(ctx, aggregation, "application/json")
	if err != nil {
		return err
	}
	if resp.Status != http.StatusOK {
		return fmt.Errorf("the list of status lists was answered with status %d", resp.Status)
	}
	a, err := statuslist.ParseAggregation(resp.Body)
	if err != nil {
		return err
	}
	var errs []error
	for _, uri := range a.StatusLists[:min(len(a.StatusLists), maxStatuses)] {
		s.mu.Lock()
		kept, ok := s.lists[uri]
		s.mu.Unlock()
		if ok && s.Now().Before(kept.due) || s.Allow != nil && !s.Allow(uri) {
			continue
		}
		if _, err := s.read(ctx, uri); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
