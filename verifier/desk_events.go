package verifier

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"akashi/internal/web"
)

// streams counts the streams of events that are open: each holds a connection for as long as somebody waits.
type streams struct {
	mu  sync.Mutex // guards what follows
	all int
	of  map[string]int // by client
}

// comeBack is after how long a client may try again that finds no room for its stream.
const comeBack = 15 * time.Second

// oneStream serves a stream of events while there is room for one more: for one client (429), and in all (503). A page does without, see desk.js.
func (d *Desk) oneStream(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := d.client(r)
		status, title := d.openStream(client)
		if status != 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(comeBack.Seconds())))
			web.WriteProblem(w, web.Problem{Status: status, Title: title})
			return
		}
		defer d.streams.close(client)
		next(w, r)
	})
}

// openStream takes a stream into account, or tells by which status and why there is no room for it.
func (d *Desk) openStream(client string) (status int, title string) {
	s := &d.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.of[client] >= d.StreamsPerClient:
		return http.StatusTooManyRequests, "too many pages of this address wait for events: close some of them, or come back after the time in Retry-After"
	case s.all >= d.Streams:
		return http.StatusServiceUnavailable, "too many pages wait for events: load the page again to see how it stands, or come back after the time in Retry-After"
	}
	s.all++
	s.of[client]++
	return 0, ""
}

func (s *streams) close(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[client]--; s.of[client] == 0 {
		delete(s.of, client)
	}
}

// serveEvents sends the state of a case, now and after each change, until it has ended:
//
//	event: state
//	data: waiting.1
func (p casePages) serveEvents(w http.ResponseWriter, r *http.Request) {
	_, c, err := p.caseFor(w, r, false)
	if err != nil {
		http.Error(w, "there is no such case", http.StatusNotFound)
		return
	}
	p.sendEvents(w, r, c)
}

func (d *Desk) sendEvents(w http.ResponseWriter, r *http.Request, c *deskCase) {
	err := d.follow(r.Context(), c, eventStream(w))
	if err != nil && r.Context().Err() == nil && !errors.Is(err, ErrClosed) {
		d.vp.Log.WarnContext(r.Context(), "an event stream ended early", "error", err)
	}
}

// follow sends an event for the state of a case now and after each change, and a comment now and then, until the case has ended or is asked anew.
func (d *Desk) follow(ctx context.Context, c *deskCase, send func(event string) error) error {
	changed, done := d.vp.hub.watch(c.Session)
	defer done()
	tick := time.NewTicker(expiryCheck)
	defer tick.Stop()
	session, last, quiet := c.Session, "", time.Now()
	for {
		state, ended, err := d.stateNow(ctx, c.ID, session)
		if err != nil {
			return err
		}
		event := ""
		switch {
		case state != last:
			event = "event: state\ndata: " + state + "\n\n"
		case time.Since(quiet) >= heartbeat:
			event = stillHere
		}
		if event != "" {
			if err := send(event); err != nil {
				return err
			}
			last, quiet = state, time.Now()
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.vp.hub.closed:
			return ErrClosed
		case <-changed:
		case <-tick.C:
		}
	}
}

// stateNow is the state of a case, and whether nothing more is to come of the session.
func (d *Desk) stateNow(ctx context.Context, id, session string) (state string, ended bool, err error) {
	c, err := d.caseByID(ctx, id)
	if errors.Is(err, errNoCase) {
		return "deleted", true, nil
	}
	if err != nil {
		return "", false, err
	}
	if c.Session != session || c.Session == "" {
		return string(c.Status), true, nil
	}
	view, err := d.vp.Session(ctx, session)
	if err != nil {
		return "", false, err
	}
	return stateOf(view), false, nil
}
